/* bedrock_reply.c - what Converse and ConverseStream answer, told to a flow.
 *
 * In a stream only calls have a start event; text and reasoning begin with their
 * first delta. Usage comes behind messageStop, so the end of the flow is metadata or
 * the end of the bytes.
 */
#include "shapes/bedrock.h"
#include "shapes/bedrock_codec.h"
#include "shapes/reply.h"

struct reader {
	struct sl_usage usage;
};
_Static_assert(sizeof(struct reader) <= 256, "what a stream costs");

static const struct {
	const char  *word;
	enum sl_stop stop;
} stops[] = {
	{ "end_turn", SL_STOP_END },
	{ "stop_sequence", SL_STOP_SEQUENCE },
	{ "max_tokens", SL_STOP_MAX_TOKENS },
	{ "tool_use", SL_STOP_TOOL_CALLS },
	{ "content_filtered", SL_STOP_FILTER },
	{ "guardrail_intervened", SL_STOP_FILTER },
	{ "model_context_window_exceeded", SL_STOP_CONTEXT },
	{ "malformed_tool_use", SL_STOP_BAD_TOOL },
	{ "malformed_model_output", SL_STOP_BAD_TOOL },
};

static void
tell_stop(struct sl_flow *flow, struct sl_json reason)
{
	enum sl_stop stop = SL_STOP_UNKNOWN;

	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++)
		if (sl_json_is(reason, stops[i].word))
			stop = stops[i].stop;
	sl_flow_stop(flow, 0, stop, SL_TEXT_NONE);
}

static void
tell_usage(struct sl_flow *flow, struct sl_usage *usage, struct sl_json value)
{
	if (value.type != SL_JSON_OBJECT)
		return;
	sl_bedrock_usage(value, usage);
	sl_flow_usage(flow, usage);
}

static void
tell_signature(struct sl_flow *flow, int64_t key, struct sl_json value, struct sl_arena *arena)
{
	struct sl_slice text;

	if (sl_json_string(value, arena, &text))
		sl_flow_signature(flow, 0, key, text);
}

static void
open_block(struct sl_flow *flow, int64_t key, enum sl_part_kind kind, bool redacted)
{
	const struct sl_flow_open open = { .key = key, .kind = kind, .redacted = redacted };

	if (!sl_flow_is_open(flow, 0, key))
		sl_flow_open(flow, &open);
}

static void
open_call(struct sl_flow *flow, int64_t key, struct sl_json use)
{
	const struct sl_flow_open open = {
		.key = key,
		.kind = SL_PART_TOOL_CALL,
		.id = sl_text_json(sl_json_get(use, "toolUseId")),
		.name = sl_text_json(sl_json_get(use, "name")),
	};

	sl_flow_open(flow, &open);
}

/* Part of a thought: its text, its proof, or a whole one that nobody may read. */
static void
tell_reasoning(struct sl_flow *flow, int64_t key, struct sl_json reasoning,
               struct sl_arena *arena)
{
	struct sl_json hidden = sl_json_get(reasoning, "redactedContent");

	open_block(flow, key, SL_PART_REASONING, hidden.type == SL_JSON_STRING);
	sl_flow_delta(flow, 0, key, sl_text_json(sl_json_get(reasoning, "text")));
	tell_signature(flow, key, sl_json_get(reasoning, "signature"), arena);
	tell_signature(flow, key, hidden, arena);
}

static void
tell_citation(struct sl_flow *flow, int64_t key, struct sl_json value)
{
	const struct sl_citation citation = { .title = sl_text_json(sl_json_get(value, "title")),
		                              .start = -1,
		                              .end = -1,
		                              .origin = "bedrock_converse",
		                              .raw = value.raw };

	sl_flow_citation(flow, 0, key, &citation);
}

/* --- a whole reply ------------------------------------------------------------------ */

static void
tell_cited_text(struct sl_flow *flow, int64_t key, struct sl_json content)
{
	open_block(flow, key, SL_PART_TEXT, false);
	for (struct sl_json_iter it = sl_json_iter(sl_json_get(content, "content"));
	     sl_json_next(&it);)
		sl_flow_delta(flow, 0, key, sl_text_json(sl_json_get(it.value, "text")));
	for (struct sl_json_iter it = sl_json_iter(sl_json_get(content, "citations"));
	     sl_json_next(&it);)
		tell_citation(flow, key, it.value);
}

static void
tell_block(struct sl_flow *flow, int64_t key, struct sl_json block, struct sl_arena *arena)
{
	struct sl_json text = sl_json_get(block, "text"), use = sl_json_get(block, "toolUse");
	struct sl_json reasoning = sl_json_get(block, "reasoningContent");
	struct sl_json cited = sl_json_get(block, "citationsContent");
	struct sl_part part = { .kind = SL_PART_OPAQUE, .origin = "bedrock_converse",
		                .raw = block.raw };

	if (text.type == SL_JSON_STRING) {
		open_block(flow, key, SL_PART_TEXT, false);
		sl_flow_delta(flow, 0, key, sl_text_json(text));
	} else if (use.type == SL_JSON_OBJECT) {
		open_call(flow, key, use);
		if (!sl_codec_says_nothing(sl_json_get(use, "input")))
			sl_flow_delta(flow, 0, key, sl_text_plain(sl_json_get(use, "input").raw));
	} else if (reasoning.type == SL_JSON_OBJECT) {
		struct sl_json told = sl_json_get(reasoning, "reasoningText");

		tell_reasoning(flow, key, told.type == SL_JSON_OBJECT ? told : reasoning, arena);
	} else if (cited.type == SL_JSON_OBJECT) {
		tell_cited_text(flow, key, cited);
	} else {
		sl_flow_part(flow, 0, &part);
	}
	sl_flow_close(flow, 0, key);
}

static void
read_whole(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena)
{
	struct sl_json reply = sl_json_parse(body), message = sl_json_at(reply, "output.message");
	struct sl_usage usage = { .source = SL_USAGE_NONE };
	struct sl_slice text = SL_SLICE("The provider's reply holds no output.");
	struct sl_fault fault;

	if (message.type != SL_JSON_OBJECT) {
		sl_json_string(sl_json_get(reply, "message"), arena, &text);
		sl_fault_set(&fault, SL_FAULT_UPSTREAM_BROKEN, text);
		sl_flow_fail(flow, &fault);
		return;
	}
	sl_flow_start(flow, SL_TEXT_NONE, SL_TEXT_NONE, 0);
	for (struct sl_json_iter it = sl_json_iter(sl_json_get(message, "content"));
	     sl_json_next(&it);)
		tell_block(flow, (int64_t)it.index, it.value, arena);
	tell_usage(flow, &usage, sl_json_get(reply, "usage"));
	tell_stop(flow, sl_json_get(reply, "stopReason"));
	sl_flow_end(flow);
}

/* --- events ------------------------------------------------------------------------- */

static void
tell_delta(struct sl_flow *flow, int64_t key, struct sl_json delta, struct sl_arena *arena)
{
	struct sl_json text = sl_json_get(delta, "text");
	struct sl_json reasoning = sl_json_get(delta, "reasoningContent");
	struct sl_json citation = sl_json_get(delta, "citation");

	if (text.type == SL_JSON_STRING) {
		open_block(flow, key, SL_PART_TEXT, false);
		sl_flow_delta(flow, 0, key, sl_text_json(text));
	} else if (reasoning.type == SL_JSON_OBJECT) {
		tell_reasoning(flow, key, reasoning, arena);
	} else if (citation.type == SL_JSON_OBJECT) {
		open_block(flow, key, SL_PART_TEXT, false);
		tell_citation(flow, key, citation);
	} else {
		sl_flow_delta(flow, 0, key, sl_text_json(sl_json_at(delta, "toolUse.input")));
	}
}

static void
fail_with(struct sl_flow *flow, struct sl_slice event, struct sl_slice text)
{
	struct sl_fault fault;

	sl_fault_set(&fault, SL_FAULT_UPSTREAM_STATUS,
	             text.len ? text : SL_SLICE("The provider reported an error."));
	if (sl_slice_istarts(event, SL_SLICE("throttling")))
		fault.status = 429;
	else if (sl_slice_istarts(event, SL_SLICE("serviceUnavailable")))
		fault.status = 503;
	sl_flow_fail(flow, &fault);
}

static void
read_frame(void *context, struct sl_flow *flow, struct sl_slice event, struct sl_slice data,
           struct sl_arena *arena)
{
	enum { INDEX, DELTA, START, REASON, USAGE, MESSAGE, WANTS };
	static const struct sl_json_want wants[WANTS] = {
		{ "contentBlockIndex" }, { "delta" }, { "start" }, { "stopReason" }, { "usage" },
		{ "message" },
	};
	struct reader *reader = context;
	struct sl_reply_facts facts = { 0 };
	struct sl_json_found found[WANTS];
	struct sl_slice text = SL_SLICE_NONE;
	struct sl_fault fault;
	int64_t key = 0;

	if (!sl_reply_scan(data, wants, WANTS, found, arena, &facts)) {
		sl_fault_set(&fault, SL_FAULT_UPSTREAM_BROKEN, facts.error_message);
		sl_flow_fail(flow, &fault);
		return;
	}
	sl_json_i64(sl_reply_value(data, &found[INDEX]), &key);
	if (sl_bedrock_is_exception(event)) {
		sl_json_string(sl_reply_value(data, &found[MESSAGE]), arena, &text);
		fail_with(flow, event, text);
	} else if (sl_slice_is(event, "contentBlockDelta")) {
		tell_delta(flow, key, sl_reply_value(data, &found[DELTA]), arena);
	} else if (sl_slice_is(event, "contentBlockStart")) {
		open_call(flow, key,
		          sl_json_get(sl_reply_value(data, &found[START]), "toolUse"));
	} else if (sl_slice_is(event, "contentBlockStop")) {
		sl_flow_close(flow, 0, key);
	} else if (sl_slice_is(event, "messageStart")) {
		sl_flow_start(flow, SL_TEXT_NONE, SL_TEXT_NONE, 0);
	} else if (sl_slice_is(event, "messageStop")) {
		tell_stop(flow, sl_reply_value(data, &found[REASON]));
	} else if (sl_slice_is(event, "metadata")) {
		tell_usage(flow, &reader->usage, sl_reply_value(data, &found[USAGE]));
		sl_flow_end(flow);
	}
}

static void
read_end(void *reader, struct sl_flow *flow, struct sl_arena *arena)
{
	(void)reader;
	(void)arena;
	sl_flow_end(flow);
}

const struct sl_codec_ops sl_bedrock_codec = {
	.decode_request = sl_bedrock_decode,
	.write_whole = sl_bedrock_write_whole,
	.writer_size = SL_BEDROCK_WRITER_SIZE,
	.write_event = sl_bedrock_write_event,
	.caller_ids = &(const struct sl_id_rule){ .also = "_-.:", .max_len = 64 },
	/* Longer than Bedrock's own then, where a call is signed: nothing else of a call comes
	 * back, and what goes to Bedrock is cut to its length again. */
	.id_carries = true,
	.encode_request = sl_bedrock_encode,
	.read_whole = read_whole,
	.reader_size = sizeof(struct reader),
	.read_frame = read_frame,
	.read_end = read_end,
	.verb = "converse",
	.verb_stream = "converse-stream",
	.stream_framing = SL_FRAMING_EVENTS,
	.target_ids = &(const struct sl_id_rule){ .also = "_-.:", .max_len = 64 },
	.target_names = &(const struct sl_name_rule){ .also = "_-", .max_len = 64 },
	.schema_by_tool = true,
	.no_urls = 1u << SL_PART_IMAGE | 1u << SL_PART_VIDEO | 1u << SL_PART_DOCUMENT,
};

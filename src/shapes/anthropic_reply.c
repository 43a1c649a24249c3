/* anthropic_reply.c - what POST /v1/messages answers, told to a flow.
 *
 * The blocks of the stream have an index, which is the flow's key; a whole reply
 * is told block by block the same way.
 */
#include "shapes/anthropic.h"
#include "shapes/anthropic_codec.h"

struct reader {
	struct sl_usage usage;
};
_Static_assert(sizeof(struct reader) <= 256, "what a stream costs");

static const struct {
	const char  *word;
	enum sl_stop stop;
} stops[] = {
	{ "end_turn", SL_STOP_END },        { "stop_sequence", SL_STOP_SEQUENCE },
	{ "max_tokens", SL_STOP_MAX_TOKENS }, { "tool_use", SL_STOP_TOOL_CALLS },
	{ "refusal", SL_STOP_REFUSAL },     { "pause_turn", SL_STOP_PAUSE },
	{ "model_context_window_exceeded", SL_STOP_CONTEXT },
};

static void
tell_stop(struct sl_flow *flow, struct sl_json object)
{
	struct sl_json reason = sl_json_get(object, "stop_reason");
	enum sl_stop stop = SL_STOP_UNKNOWN;

	if (reason.type != SL_JSON_STRING)
		return;
	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++)
		if (sl_json_is(reason, stops[i].word))
			stop = stops[i].stop;
	sl_flow_stop(flow, 0, stop, sl_text_json(sl_json_get(object, "stop_sequence")));
}

static void
tell_usage(struct sl_flow *flow, struct sl_usage *usage, struct sl_json value)
{
	if (value.type != SL_JSON_OBJECT)
		return;
	sl_anthropic_usage(value, usage);
	usage->source = SL_USAGE_REPORTED;
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
tell_citation(struct sl_flow *flow, int64_t key, struct sl_json value, struct sl_arena *arena)
{
	struct sl_citation citation = { .start = -1, .end = -1, .origin = "anthropic_messages",
		                        .raw = value.raw };

	sl_json_string(sl_json_get(value, "url"), arena, &citation.url);
	citation.title = sl_text_json(sl_json_get(value, "title"));
	if (sl_text_empty(citation.title))
		citation.title = sl_text_json(sl_json_get(value, "document_title"));
	citation.quote = sl_text_json(sl_json_get(value, "cited_text"));
	sl_flow_citation(flow, 0, key, &citation);
}

static void
tell_opaque(struct sl_flow *flow, struct sl_json block)
{
	const struct sl_part part = { .kind = SL_PART_OPAQUE, .origin = "anthropic_messages",
		                      .raw = block.raw };

	sl_flow_part(flow, 0, &part);
}

/* A block's beginning, which in a whole reply is all of it. */
static void
tell_block(struct sl_flow *flow, int64_t key, struct sl_json block, struct sl_arena *arena)
{
	struct sl_json type = sl_json_get(block, "type"), input;
	struct sl_flow_open open = { .key = key, .kind = SL_PART_TEXT };
	struct sl_text text = SL_TEXT_NONE;

	if (sl_json_is(type, "text")) {
		text = sl_text_json(sl_json_get(block, "text"));
	} else if (sl_json_is(type, "thinking")) {
		open.kind = SL_PART_REASONING;
		text = sl_text_json(sl_json_get(block, "thinking"));
	} else if (sl_json_is(type, "redacted_thinking")) {
		open.kind = SL_PART_REASONING;
		open.redacted = true;
	} else if (sl_json_is(type, "tool_use")) {
		open.kind = SL_PART_TOOL_CALL;
		open.id = sl_text_json(sl_json_get(block, "id"));
		open.name = sl_text_json(sl_json_get(block, "name"));
	} else {
		tell_opaque(flow, block);
		return;
	}
	sl_flow_open(flow, &open);
	sl_flow_delta(flow, 0, key, text);
	if (open.kind == SL_PART_TOOL_CALL) {
		input = sl_json_get(block, "input");
		if (!sl_codec_says_nothing(input))
			sl_flow_delta(flow, 0, key, sl_text_plain(input.raw));
	}
	tell_signature(flow, key, sl_json_get(block, open.redacted ? "data" : "signature"), arena);
	for (struct sl_json_iter it = sl_json_iter(sl_json_get(block, "citations"));
	     sl_json_next(&it);)
		tell_citation(flow, key, it.value, arena);
}

static void
read_whole(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena)
{
	struct sl_json message = sl_json_parse(body);
	struct sl_usage usage = { .source = SL_USAGE_NONE };
	struct sl_fault fault;

	if (sl_json_get(message, "error").type == SL_JSON_OBJECT) {
		sl_codec_read_error_value(sl_json_get(message, "error"), arena, &fault);
		sl_flow_fail(flow, &fault);
		return;
	}
	sl_flow_start(flow, sl_text_json(sl_json_get(message, "id")),
	              sl_text_json(sl_json_get(message, "model")), 0);
	for (struct sl_json_iter it = sl_json_iter(sl_json_get(message, "content"));
	     sl_json_next(&it);) {
		tell_block(flow, (int64_t)it.index, it.value, arena);
		sl_flow_close(flow, 0, (int64_t)it.index);
	}
	tell_usage(flow, &usage, sl_json_get(message, "usage"));
	tell_stop(flow, message);
	sl_flow_end(flow);
}

/* --- events ---------------------------------------------------------------------------- */

static void
tell_delta(struct sl_flow *flow, int64_t key, struct sl_json delta, struct sl_arena *arena)
{
	struct sl_json type = sl_json_get(delta, "type");

	if (sl_json_is(type, "text_delta"))
		sl_flow_delta(flow, 0, key, sl_text_json(sl_json_get(delta, "text")));
	else if (sl_json_is(type, "input_json_delta"))
		sl_flow_delta(flow, 0, key, sl_text_json(sl_json_get(delta, "partial_json")));
	else if (sl_json_is(type, "thinking_delta"))
		sl_flow_delta(flow, 0, key, sl_text_json(sl_json_get(delta, "thinking")));
	else if (sl_json_is(type, "signature_delta"))
		tell_signature(flow, key, sl_json_get(delta, "signature"), arena);
	else if (sl_json_is(type, "citations_delta"))
		tell_citation(flow, key, sl_json_get(delta, "citation"), arena);
}

static void
read_frame(void *context, struct sl_flow *flow, struct sl_slice event,
                        struct sl_slice data, struct sl_arena *arena)
{
	enum { TYPE, INDEX, DELTA, BLOCK, MESSAGE, USAGE, ERROR, WANTS };
	static const struct sl_json_want wants[WANTS] = {
		{ "type" }, { "index" }, { "delta" }, { "content_block" }, { "message" },
		{ "usage" }, { "error" },
	};
	struct reader *reader = context;
	struct sl_reply_facts facts = { 0 };
	struct sl_json_found found[WANTS];
	struct sl_json type, message;
	struct sl_fault fault;
	int64_t key = 0;

	(void)event;
	if (!sl_reply_scan(data, wants, WANTS, found, arena, &facts)) {
		sl_fault_set(&fault, SL_FAULT_UPSTREAM_BROKEN, facts.error_message);
		sl_flow_fail(flow, &fault);
		return;
	}
	type = sl_reply_value(data, &found[TYPE]);
	sl_json_i64(sl_reply_value(data, &found[INDEX]), &key);
	if (sl_json_is(type, "content_block_delta")) {
		tell_delta(flow, key, sl_reply_value(data, &found[DELTA]), arena);
	} else if (sl_json_is(type, "content_block_start")) {
		tell_block(flow, key, sl_reply_value(data, &found[BLOCK]), arena);
	} else if (sl_json_is(type, "content_block_stop")) {
		sl_flow_close(flow, 0, key);
	} else if (sl_json_is(type, "message_start")) {
		message = sl_reply_value(data, &found[MESSAGE]);
		tell_usage(flow, &reader->usage, sl_json_get(message, "usage"));
		sl_flow_start(flow, sl_text_json(sl_json_get(message, "id")),
		              sl_text_json(sl_json_get(message, "model")), 0);
	} else if (sl_json_is(type, "message_delta")) {
		tell_usage(flow, &reader->usage, sl_reply_value(data, &found[USAGE]));
		tell_stop(flow, sl_reply_value(data, &found[DELTA]));
	} else if (sl_json_is(type, "message_stop")) {
		sl_flow_end(flow);
	} else if (sl_json_is(type, "ping")) {
		sl_flow_ping(flow);
	} else if (found[ERROR].type == SL_JSON_OBJECT) {
		sl_codec_read_error_value(sl_reply_value(data, &found[ERROR]), arena, &fault);
		sl_flow_fail(flow, &fault);
	}
}

static void
read_end(void *reader, struct sl_flow *flow, struct sl_arena *arena)
{
	struct sl_fault fault;

	(void)reader;
	(void)arena;
	if (flow->ended)
		return;
	/* Only message_stop ends a message of this API. */
	sl_fault_set(&fault, SL_FAULT_UPSTREAM_CUT,
	             SL_SLICE("The provider ended its stream before it was complete."));
	sl_flow_fail(flow, &fault);
}

const struct sl_codec_ops sl_anthropic_codec = {
	.decode_request = sl_anthropic_decode,
	.write_whole = sl_anthropic_write_whole,
	.writer_size = SL_ANTHROPIC_WRITER_SIZE,
	.write_event = sl_anthropic_write_event,
	.caller_ids = &(const struct sl_id_rule){ .also = "_-" },
	.id_carries = true,
	.encode_request = sl_anthropic_encode,
	.plain_tools = true,
	.read_whole = read_whole,
	.reader_size = sizeof(struct reader),
	.read_frame = read_frame,
	.read_end = read_end,
	.stream_framing = SL_FRAMING_SSE,
	.target_ids = &(const struct sl_id_rule){ .also = "_-" },
	.target_names = &(const struct sl_name_rule){ .also = "_-", .max_len = 64 },
	.schema_by_tool = true,
	.issuer = "anthropic",
};

/* cohere_chat.c - Cohere's POST /v2/chat, towards the provider only.
 * https://docs.cohere.com/reference/chat
 *
 * No caller speaks it here: it is reached by translation, and told to a flow. The
 * plan of a call comes before it as a text of its own, which is a thought; blocks of
 * content and calls are numbered each from 0, so their keys are kept apart.
 */
#include "shapes/cohere_codec.h"
#include "shapes/reply.h"

enum { KEY_PLAN = 1000000, KEY_CALLS = 2000000 };

struct reader {
	struct sl_usage usage;
};
_Static_assert(sizeof(struct reader) <= 256, "what a stream costs");

static const struct {
	const char  *word;
	enum sl_stop stop;
} stops[] = {
	{ "COMPLETE", SL_STOP_END },
	{ "STOP_SEQUENCE", SL_STOP_SEQUENCE },
	{ "MAX_TOKENS", SL_STOP_MAX_TOKENS },
	{ "TOOL_CALL", SL_STOP_TOOL_CALLS },
	{ "ERROR", SL_STOP_ERROR },
	{ "TIMEOUT", SL_STOP_ERROR },
};

static void
tell_stop(struct sl_flow *flow, struct sl_json reason)
{
	enum sl_stop stop = SL_STOP_UNKNOWN;

	if (reason.type != SL_JSON_STRING)
		return;
	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++)
		if (sl_json_is(reason, stops[i].word))
			stop = stops[i].stop;
	sl_flow_stop(flow, 0, stop, SL_TEXT_NONE);
}

static void
tell_usage(struct sl_flow *flow, struct sl_usage *usage, struct sl_json value)
{
	int64_t count;

	if (value.type != SL_JSON_OBJECT)
		return;
	if (sl_reply_count(value, "tokens.input_tokens", &count))
		sl_usage_set(usage, SL_USAGE_INPUT, count);
	if (sl_reply_count(value, "tokens.output_tokens", &count))
		sl_usage_set(usage, SL_USAGE_OUTPUT, count);
	if (sl_reply_count(value, "cached_tokens", &count))
		sl_usage_set(usage, SL_USAGE_CACHE_READ, count);
	usage->source = SL_USAGE_REPORTED;
	sl_flow_usage(flow, usage);
}

static void
tell_citation(struct sl_flow *flow, int64_t key, struct sl_json value)
{
	struct sl_citation citation = { .quote = sl_text_json(sl_json_get(value, "text")),
		                        .start = -1,
		                        .end = -1,
		                        .origin = "cohere_chat",
		                        .raw = value.raw };

	sl_json_i64(sl_json_get(value, "start"), &citation.start);
	sl_json_i64(sl_json_get(value, "end"), &citation.end);
	sl_flow_citation(flow, 0, key, &citation);
}

/* A piece of content: {"type","text"} or {"type","thinking"}, type absent in deltas. */
static void
tell_content(struct sl_flow *flow, int64_t key, struct sl_json content)
{
	struct sl_json thinking = sl_json_get(content, "thinking");
	bool thought = thinking.type == SL_JSON_STRING;
	const struct sl_flow_open open = { .key = key,
		                           .kind = thought ? SL_PART_REASONING : SL_PART_TEXT };

	if (!sl_flow_is_open(flow, 0, key))
		sl_flow_open(flow, &open);
	sl_flow_delta(flow, 0, key,
	              sl_text_json(thought ? thinking : sl_json_get(content, "text")));
}

static void
tell_plan(struct sl_flow *flow, struct sl_json plan)
{
	const struct sl_flow_open open = { .key = KEY_PLAN, .kind = SL_PART_REASONING };

	if (sl_text_empty(sl_text_json(plan)))
		return;
	if (!sl_flow_is_open(flow, 0, KEY_PLAN))
		sl_flow_open(flow, &open);
	sl_flow_delta(flow, 0, KEY_PLAN, sl_text_json(plan));
}

static void
tell_call(struct sl_flow *flow, int64_t index, struct sl_json call)
{
	const struct sl_flow_open open = {
		.key = KEY_CALLS + index,
		.kind = SL_PART_TOOL_CALL,
		.id = sl_text_json(sl_json_get(call, "id")),
		.name = sl_text_json(sl_json_at(call, "function.name")),
	};

	sl_flow_close(flow, 0, KEY_PLAN);
	sl_flow_open(flow, &open);
	sl_flow_delta(flow, 0, open.key, sl_text_json(sl_json_at(call, "function.arguments")));
}

/* --- a whole reply -------------------------------------------------------------------- */

static void
read_whole(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena)
{
	struct sl_json reply = sl_json_parse(body), message = sl_json_get(reply, "message");
	struct sl_usage usage = { .source = SL_USAGE_NONE };
	struct sl_fault fault;
	int64_t last_text = 0;

	if (message.type != SL_JSON_OBJECT) {
		sl_codec_read_error_value(reply, arena, &fault);
		sl_flow_fail(flow, &fault);
		return;
	}
	sl_flow_start(flow, sl_text_json(sl_json_get(reply, "id")), SL_TEXT_NONE, 0);
	for (struct sl_json_iter it = sl_json_iter(sl_json_get(message, "content"));
	     sl_json_next(&it);) {
		if (last_text)
			sl_flow_close(flow, 0, last_text - 1);
		tell_content(flow, (int64_t)it.index, it.value);
		last_text = (int64_t)it.index + 1;
	}
	for (struct sl_json_iter it = sl_json_iter(sl_json_get(message, "citations"));
	     last_text && sl_json_next(&it);)
		tell_citation(flow, last_text - 1, it.value);
	if (last_text)
		sl_flow_close(flow, 0, last_text - 1);
	tell_plan(flow, sl_json_get(message, "tool_plan"));
	for (struct sl_json_iter it = sl_json_iter(sl_json_get(message, "tool_calls"));
	     sl_json_next(&it);) {
		tell_call(flow, (int64_t)it.index, it.value);
		sl_flow_close(flow, 0, KEY_CALLS + (int64_t)it.index);
	}
	tell_usage(flow, &usage, sl_json_get(reply, "usage"));
	tell_stop(flow, sl_json_get(reply, "finish_reason"));
	sl_flow_end(flow);
}

/* --- events --------------------------------------------------------------------------- */

static void
tell_end(struct reader *reader, struct sl_flow *flow, struct sl_json delta,
         struct sl_arena *arena)
{
	struct sl_json error = sl_json_get(delta, "error");
	struct sl_slice text;
	struct sl_fault fault;

	if (sl_json_string(error, arena, &text)) {
		sl_fault_set(&fault, SL_FAULT_UPSTREAM_STATUS, text);
		sl_flow_fail(flow, &fault);
		return;
	}
	tell_usage(flow, &reader->usage, sl_json_get(delta, "usage"));
	tell_stop(flow, sl_json_get(delta, "finish_reason"));
	sl_flow_end(flow);
}

static void
read_frame(void *context, struct sl_flow *flow, struct sl_slice event, struct sl_slice data,
           struct sl_arena *arena)
{
	enum { TYPE, ID, INDEX, DELTA, MESSAGE, WANTS };
	static const struct sl_json_want wants[WANTS] = {
		{ "type" }, { "id" }, { "index" }, { "delta" }, { "delta.message" },
	};
	struct reader *reader = context;
	struct sl_reply_facts facts = { 0 };
	struct sl_json_found found[WANTS];
	struct sl_json type, message;
	struct sl_fault fault;
	int64_t index = 0;

	(void)event;
	if (!sl_reply_scan(data, wants, WANTS, found, arena, &facts)) {
		sl_fault_set(&fault, SL_FAULT_UPSTREAM_BROKEN, facts.error_message);
		sl_flow_fail(flow, &fault);
		return;
	}
	type = sl_reply_value(data, &found[TYPE]);
	message = sl_reply_value(data, &found[MESSAGE]);
	sl_json_i64(sl_reply_value(data, &found[INDEX]), &index);
	if (index < 0 || index >= KEY_PLAN)
		return;
	if (sl_json_is(type, "content-delta") || sl_json_is(type, "content-start"))
		tell_content(flow, index, sl_json_get(message, "content"));
	else if (sl_json_is(type, "content-end"))
		sl_flow_close(flow, 0, index);
	else if (sl_json_is(type, "tool-plan-delta"))
		tell_plan(flow, sl_json_get(message, "tool_plan"));
	else if (sl_json_is(type, "tool-call-start"))
		tell_call(flow, index, sl_json_get(message, "tool_calls"));
	else if (sl_json_is(type, "tool-call-delta"))
		sl_flow_delta(flow, 0, KEY_CALLS + index,
		              sl_text_json(sl_json_at(message, "tool_calls.function.arguments")));
	else if (sl_json_is(type, "tool-call-end"))
		sl_flow_close(flow, 0, KEY_CALLS + index);
	else if (sl_json_is(type, "citation-start"))
		tell_citation(flow, 0, sl_json_get(message, "citations"));
	else if (sl_json_is(type, "message-start"))
		sl_flow_start(flow, sl_text_json(sl_reply_value(data, &found[ID])), SL_TEXT_NONE, 0);
	else if (sl_json_is(type, "message-end"))
		tell_end(reader, flow, sl_reply_value(data, &found[DELTA]), arena);
}

static void
read_end(void *reader, struct sl_flow *flow, struct sl_arena *arena)
{
	struct sl_fault fault;

	(void)reader;
	(void)arena;
	if (flow->ended)
		return;
	/* Only message-end ends a message of this API. */
	sl_fault_set(&fault, SL_FAULT_UPSTREAM_CUT,
	             SL_SLICE("The provider ended its stream before it was complete."));
	sl_flow_fail(flow, &fault);
}

static const struct sl_codec_ops codec = {
	.encode_request = sl_cohere_encode,
	.read_whole = read_whole,
	.reader_size = sizeof(struct reader),
	.read_frame = read_frame,
	.read_end = read_end,
	.stream_framing = SL_FRAMING_SSE,
	.target_names = &(const struct sl_name_rule){ .also = "_", .max_len = 256 },
};

static const struct sl_shape_path paths[] = { { NULL, NULL } };

const struct sl_shape_ops sl_shape_cohere_chat = {
	.name = "cohere_chat",
	.family = "cohere",
	.operation = "chat",
	.paths = paths,
	.upstream_path = "/v2/chat",
	.codec = &codec,
};

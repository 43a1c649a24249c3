/* openai_chat_reply.c - what POST /v1/chat/completions answers, told to a flow.
 *
 * A whole message and a delta have the same members and are read alike. What
 * vendors do differently: reasoning under several names, calls without an index or
 * with one index for all, arguments as an object, content as a list, usage in odd
 * places, finish reasons of their own.
 */
#include <string.h>

#include "shapes/openai.h"
#include "shapes/openai_chat_codec.h"

enum { TEXT_KEY = -1, REASONING_KEY = -2, REFUSAL_KEY = -3, CALLS = 64 };

/* Which flow block an index of calls means now. */
struct call {
	int32_t  choice;
	int32_t  index;
	int64_t  key;
	uint64_t id; /* hash; 0: none was given */
};

struct reader {
	int64_t     next_key;
	uint32_t    calls; /* rows ever used */
	bool        stop_seen;
	struct call call[CALLS];
};
_Static_assert(sizeof(struct reader) <= SL_OPENAI_CHAT_READER_SIZE, "reader fits");

/* --- calls ------------------------------------------------------------------------------ */

static uint64_t
hash(struct sl_slice text)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < text.len; i++)
		h = (h ^ (unsigned char)text.ptr[i]) * UINT64_C(1099511628211);
	return h | 1;
}

static struct call *
last_call(struct reader *reader, int choice, int64_t index)
{
	uint32_t rows = reader->calls < CALLS ? reader->calls : CALLS;

	for (uint32_t i = 0; i < rows; i++) {
		struct call *call = &reader->call[(reader->calls - 1 - i) % CALLS];

		if (call->choice == choice && (index < 0 || call->index == index))
			return call;
	}
	return NULL;
}

/* The block of a piece of a call: a new id on a known index is a new call. */
static int64_t
key_of(struct reader *reader, int choice, int64_t index, struct sl_slice id)
{
	struct call *call = last_call(reader, choice, index);
	uint64_t id_hash = id.len > 2 ? hash(id) : 0;

	if (call && (id_hash == 0 || call->id == id_hash || call->id == 0)) {
		if (call->id == 0)
			call->id = id_hash;
		return call->key;
	}
	call = &reader->call[reader->calls++ % CALLS];
	*call = (struct call){ choice, (int32_t)index, reader->next_key++, id_hash };
	return call->key;
}

static void
tell_call(struct reader *reader, struct sl_flow *flow, int choice, size_t position,
          struct sl_json call)
{
	bool custom = sl_json_is(sl_json_get(call, "type"), "custom");
	struct sl_json function = sl_json_get(call, custom ? "custom" : "function");
	struct sl_json args = sl_json_get(function, custom ? "input" : "arguments");
	struct sl_flow_open open = { .choice = choice, .kind = SL_PART_TOOL_CALL,
		                     .id = sl_text_json(sl_json_get(call, "id")),
		                     .name = sl_text_json(sl_json_get(function, "name")),
		                     .custom = custom };
	int64_t index;

	if (!sl_json_i64(sl_json_get(call, "index"), &index) || index < 0 || index > INT32_MAX)
		index = (int64_t)position;
	open.key = key_of(reader, choice, index, open.id.raw);
	sl_flow_open(flow, &open);
	sl_flow_call(flow, choice, open.key, open.id, open.name);
	if (args.type == SL_JSON_STRING)
		sl_flow_delta(flow, choice, open.key, sl_text_json(args));
	else if (args.type == SL_JSON_OBJECT)
		sl_flow_delta(flow, choice, open.key, sl_text_plain(args.raw));
}

/* --- messages and deltas ---------------------------------------------------------------- */

/* A list of chunks, as Mistral has it. */
static void
tell_list(struct sl_flow *flow, int choice, struct sl_json list)
{
	for (struct sl_json_iter it = sl_json_iter(list); sl_json_next(&it);) {
		struct sl_json type = sl_json_get(it.value, "type");

		if (sl_json_is(type, "text"))
			sl_flow_run(flow, choice, TEXT_KEY, SL_PART_TEXT,
			            sl_text_json(sl_json_get(it.value, "text")));
		for (struct sl_json_iter inner = sl_json_iter(sl_json_get(it.value, "thinking"));
		     sl_json_next(&inner);)
			sl_flow_run(flow, choice, REASONING_KEY, SL_PART_REASONING,
			            sl_text_json(sl_json_get(inner.value, "text")));
	}
}

static void
tell_annotations(struct sl_flow *flow, int choice, struct sl_json list, struct sl_arena *arena)
{
	for (struct sl_json_iter it = sl_json_iter(list); sl_json_next(&it);) {
		struct sl_json url = sl_json_get(it.value, "url_citation");
		struct sl_citation citation = { .start = -1, .end = -1, .origin = "openai_chat",
			                        .raw = it.value.raw };

		if (!sl_json_string(sl_json_get(url, "url"), arena, &citation.url))
			continue;
		citation.title = sl_text_json(sl_json_get(url, "title"));
		sl_json_i64(sl_json_get(url, "start_index"), &citation.start);
		sl_json_i64(sl_json_get(url, "end_index"), &citation.end);
		sl_flow_citation(flow, choice, TEXT_KEY, &citation);
	}
}

struct piece {
	struct sl_json content, reasoning, refusal, calls, function, annotations;
};

static void
take_member(struct piece *piece, struct sl_slice key, struct sl_json value)
{
	if (sl_slice_is(key, "content"))
		piece->content = value;
	else if (sl_slice_is(key, "tool_calls"))
		piece->calls = value;
	else if (sl_slice_is(key, "refusal"))
		piece->refusal = value;
	else if (sl_slice_is(key, "function_call"))
		piece->function = value;
	else if (sl_slice_is(key, "annotations"))
		piece->annotations = value;
	else if (value.type == SL_JSON_STRING && sl_text_empty(sl_text_json(piece->reasoning)) &&
	         (sl_slice_is(key, "reasoning_content") || sl_slice_is(key, "reasoning") ||
	          sl_slice_is(key, "thinking")))
		piece->reasoning = value;
}

static void
tell_piece(struct reader *reader, struct sl_flow *flow, int choice, struct sl_json message,
           struct sl_arena *arena)
{
	struct piece piece;

	memset(&piece, 0, sizeof(piece));
	for (struct sl_json_iter it = sl_json_iter(message); sl_json_next(&it);)
		take_member(&piece, it.key, it.value);
	sl_flow_run(flow, choice, REASONING_KEY, SL_PART_REASONING, sl_text_json(piece.reasoning));
	if (piece.content.type == SL_JSON_STRING)
		sl_flow_run(flow, choice, TEXT_KEY, SL_PART_TEXT, sl_text_json(piece.content));
	else if (piece.content.type == SL_JSON_ARRAY)
		tell_list(flow, choice, piece.content);
	if (piece.annotations.type == SL_JSON_ARRAY)
		tell_annotations(flow, choice, piece.annotations, arena);
	sl_flow_run(flow, choice, REFUSAL_KEY, SL_PART_REFUSAL, sl_text_json(piece.refusal));
	if (piece.calls.type == SL_JSON_ARRAY && !sl_codec_says_nothing(piece.calls)) {
		/* Text of these grammars is over when calls begin. */
		sl_flow_close(flow, choice, TEXT_KEY);
		sl_flow_close(flow, choice, REASONING_KEY);
		for (struct sl_json_iter it = sl_json_iter(piece.calls); sl_json_next(&it);)
			tell_call(reader, flow, choice, it.index, it.value);
	}
	if (piece.function.type == SL_JSON_OBJECT) {
		const struct sl_flow_open open = {
			.choice = choice, .key = INT32_MAX, .kind = SL_PART_TOOL_CALL,
			.name = sl_text_json(sl_json_get(piece.function, "name")),
		};

		sl_flow_open(flow, &open);
		sl_flow_delta(flow, choice, INT32_MAX,
		              sl_text_json(sl_json_get(piece.function, "arguments")));
	}
}

static void
tell_finish(struct reader *reader, struct sl_flow *flow, int choice, struct sl_json reason)
{
	static const struct {
		const char  *word;
		enum sl_stop stop;
	} rows[] = {
		{ "stop", SL_STOP_END }, { "length", SL_STOP_MAX_TOKENS },
		{ "tool_calls", SL_STOP_TOOL_CALLS }, { "function_call", SL_STOP_TOOL_CALLS },
		{ "content_filter", SL_STOP_FILTER }, { "model_length", SL_STOP_CONTEXT },
		{ "sensitive", SL_STOP_FILTER }, { "network_error", SL_STOP_ERROR },
		{ "error", SL_STOP_ERROR }, { "insufficient_system_resource", SL_STOP_ERROR },
	};
	enum sl_stop stop = SL_STOP_UNKNOWN;
	struct sl_fault fault;

	if (reason.type != SL_JSON_STRING || reason.raw.len <= 2)
		return;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (sl_json_is(reason, rows[i].word))
			stop = rows[i].stop;
	reader->stop_seen = true;
	if (stop != SL_STOP_ERROR) {
		sl_flow_stop(flow, choice, stop, SL_TEXT_NONE);
		return;
	}
	sl_fault_set(&fault, SL_FAULT_UPSTREAM_STATUS,
	             SL_SLICE("The provider broke the answer off with an error of its own."));
	sl_flow_fail(flow, &fault);
}

static void
tell_usage(struct sl_flow *flow, struct sl_json value)
{
	struct sl_usage usage = { .source = SL_USAGE_REPORTED };

	if (sl_openai_usage(value, &usage))
		sl_flow_usage(flow, &usage);
}

/* A choice of a stream or of a whole reply; logprobs behind the text they are of. */
static void
tell_choice(struct reader *reader, struct sl_flow *flow, size_t position, struct sl_json choice,
            struct sl_arena *arena)
{
	struct sl_json index = sl_json_get(choice, "index");
	struct sl_json message = sl_json_get(choice, "delta");
	struct sl_json logprobs = sl_json_at(choice, "logprobs.content");
	int64_t number;

	if (!sl_json_i64(index, &number) || number < 0 || number >= SL_CHOICES_MAX)
		number = (int64_t)position < SL_CHOICES_MAX ? (int64_t)position : 0;
	if (message.type != SL_JSON_OBJECT)
		message = sl_json_get(choice, "message");
	tell_piece(reader, flow, (int)number, message, arena);
	if (logprobs.type == SL_JSON_ARRAY)
		sl_flow_logprobs(flow, (int)number, TEXT_KEY, logprobs.raw);
	tell_finish(reader, flow, (int)number, sl_json_get(choice, "finish_reason"));
	tell_usage(flow, sl_json_get(choice, "usage"));
}

static void
tell_error(struct sl_flow *flow, struct sl_json error, struct sl_arena *arena)
{
	struct sl_fault fault;

	sl_codec_read_error_value(error, arena, &fault);
	sl_flow_fail(flow, &fault);
}

static void
tell_start(struct sl_flow *flow, struct sl_json id, struct sl_json model, struct sl_json created)
{
	int64_t created_s = 0;

	sl_json_i64(created, &created_s);
	sl_flow_start(flow, sl_text_json(id), sl_text_json(model), created_s);
}

static void
read_whole(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena)
{
	struct reader reader = { .next_key = 0 };
	struct sl_json reply = sl_json_parse(body), error = sl_json_get(reply, "error");

	if (error.type > SL_JSON_NULL) {
		tell_error(flow, error, arena);
		return;
	}
	tell_start(flow, sl_json_get(reply, "id"), sl_json_get(reply, "model"),
	           sl_json_get(reply, "created"));
	for (struct sl_json_iter it = sl_json_iter(sl_json_get(reply, "choices"));
	     sl_json_next(&it);)
		tell_choice(&reader, flow, it.index, it.value, arena);
	tell_usage(flow, sl_json_get(reply, "usage"));
	sl_flow_end(flow);
}

static void
read_frame(void *context, struct sl_flow *flow, struct sl_slice event,
                          struct sl_slice data, struct sl_arena *arena)
{
	enum { ID, MODEL, CREATED, CHOICES, USAGE, ERROR, GROQ, WANTS };
	static const struct sl_json_want wants[WANTS] = {
		{ "id" }, { "model" }, { "created" }, { "choices" }, { "usage" }, { "error" },
		{ "x_groq.usage" },
	};
	struct reader *reader = context;
	struct sl_reply_facts facts = { 0 };
	struct sl_json_found found[WANTS];
	struct sl_json choices;
	struct sl_fault fault;

	(void)event;
	if (data.len == 0)
		return;
	if (sl_openai_is_done(data)) {
		sl_flow_end(flow);
		return;
	}
	if (!sl_reply_scan(data, wants, WANTS, found, arena, &facts)) {
		sl_fault_set(&fault, SL_FAULT_UPSTREAM_BROKEN, facts.error_message);
		sl_flow_fail(flow, &fault);
		return;
	}
	if (found[ERROR].type > SL_JSON_NULL) {
		tell_error(flow, sl_reply_value(data, &found[ERROR]), arena);
		return;
	}
	choices = sl_reply_value(data, &found[CHOICES]);
	/* Azure begins with a chunk of its filter that has no choice and no id. */
	if (!flow->started && !sl_codec_says_nothing(choices))
		tell_start(flow, sl_reply_value(data, &found[ID]),
		           sl_reply_value(data, &found[MODEL]),
		           sl_reply_value(data, &found[CREATED]));
	for (struct sl_json_iter it = sl_json_iter(choices); sl_json_next(&it);)
		tell_choice(reader, flow, it.index, it.value, arena);
	tell_usage(flow, sl_reply_value(data, &found[USAGE]));
	tell_usage(flow, sl_reply_value(data, &found[GROQ]));
}

static void
read_end(void *reader, struct sl_flow *flow, struct sl_arena *arena)
{
	(void)reader;
	(void)arena;
	/* Vendors that send no [DONE]: the stop reason was the end. */
	sl_flow_end(flow);
}

const struct sl_codec_ops sl_openai_chat_codec = {
	.decode_request = sl_openai_chat_decode,
	.write_whole = sl_openai_chat_write_whole,
	.writer_size = SL_OPENAI_CHAT_WRITER_SIZE,
	.write_event = sl_openai_chat_write_event,
	.writer_release = sl_openai_chat_writer_release,
	.id_carries = true,
	.encode_request = sl_openai_chat_encode,
	.read_whole = read_whole,
	.reader_size = sizeof(struct reader),
	.read_frame = read_frame,
	.read_end = read_end,
	.stream_framing = SL_FRAMING_SSE,
	.target_ids = &(const struct sl_id_rule){ .max_len = 40 },
	.target_names = &(const struct sl_name_rule){ .also = "_-", .max_len = 64 },
	.no_urls = 1u << SL_PART_AUDIO | 1u << SL_PART_DOCUMENT,
};

/* responses_read.c - what POST /v1/responses answers, told to a flow.
 *
 * An item's index and the index of a part in it name a block. What a provider did
 * not stream, or streamed only as a whole, is told from the .done events, and what
 * even those left out from the response that the terminal event embeds; what was
 * told is never told again.
 */
#include "shapes/openai.h"
#include "shapes/responses_codec.h"

enum { PARTS_MAX = 1024 };

struct reading {
	struct sl_responses_reader *state;
	struct sl_flow             *flow;
	struct sl_arena            *arena;
};

static void
fail(struct reading *r, enum sl_fault_kind kind, struct sl_slice message)
{
	struct sl_fault fault;

	sl_fault_set(&fault, kind, message);
	sl_flow_fail(r->flow, &fault);
}

static int64_t
index_in(struct sl_json event, const char *name)
{
	int64_t index;

	return sl_json_i64(sl_json_get(event, name), &index) && index >= 0 &&
	               index < INT32_MAX / PARTS_MAX
	           ? index
	           : 0;
}

static int64_t
key_of(int64_t item, int64_t part)
{
	return item * PARTS_MAX + (part < PARTS_MAX ? part : PARTS_MAX - 1);
}

/* --- blocks ------------------------------------------------------------------------- */

static void
open_block(struct reading *r, int64_t key, enum sl_part_kind kind)
{
	const struct sl_flow_open open = { .key = key, .kind = kind };

	if (!sl_flow_is_open(r->flow, 0, key))
		sl_flow_open(r->flow, &open);
}

static void
open_call(struct reading *r, int64_t key, struct sl_json item)
{
	const struct sl_flow_open open = {
		.key = key, .kind = SL_PART_TOOL_CALL,
		.id = sl_text_json(sl_json_get(item, "call_id")),
		.name = sl_text_json(sl_json_get(item, "name")),
		.custom = sl_json_is(sl_json_get(item, "type"), "custom_tool_call"),
	};

	if (!sl_flow_is_open(r->flow, 0, key))
		sl_flow_open(r->flow, &open);
}

static void
open_reasoning(struct reading *r, int64_t key, struct sl_json item, bool summary)
{
	struct sl_flow_open open = { .key = key, .kind = SL_PART_REASONING, .summary = summary };

	if (sl_flow_is_open(r->flow, 0, key))
		return;
	sl_json_string(sl_json_get(item, "id"), r->arena, &open.item_id);
	sl_flow_open(r->flow, &open);
}

/* A whole value, unless its pieces came before. */
static void
tell_once(struct reading *r, int64_t key, struct sl_json text)
{
	if (!sl_flow_has_delta(r->flow, 0, key))
		sl_flow_delta(r->flow, 0, key, sl_text_json(text));
}

static void
tell_annotation(struct reading *r, int64_t key, struct sl_json value)
{
	struct sl_citation citation = { .start = -1, .end = -1, .raw = value.raw,
		                        .origin = SL_RESPONSES_ORIGIN };

	sl_json_string(sl_json_get(value, "url"), r->arena, &citation.url);
	citation.title = sl_text_json(sl_json_get(value, "title"));
	if (sl_text_empty(citation.title))
		citation.title = sl_text_json(sl_json_get(value, "filename"));
	sl_json_i64(sl_json_get(value, "start_index"), &citation.start);
	sl_json_i64(sl_json_get(value, "end_index"), &citation.end);
	sl_flow_citation(r->flow, 0, key, &citation);
}

static void
tell_logprobs(struct reading *r, int64_t key, struct sl_json value)
{
	if (value.type == SL_JSON_ARRAY && value.raw.len > 2)
		sl_flow_logprobs(r->flow, 0, key, value.raw);
}

/* --- whole items ---------------------------------------------------------------------- */

static void
tell_part(struct reading *r, int64_t key, struct sl_json part)
{
	struct sl_json annotations = sl_json_get(part, "annotations");
	bool refusal = sl_json_is(sl_json_get(part, "type"), "refusal");
	bool streamed = sl_flow_has_delta(r->flow, 0, key);

	open_block(r, key, refusal ? SL_PART_REFUSAL : SL_PART_TEXT);
	tell_once(r, key, sl_json_get(part, refusal ? "refusal" : "text"));
	for (struct sl_json_iter it = sl_json_iter(annotations);
	     !streamed && annotations.type == SL_JSON_ARRAY && sl_json_next(&it);)
		tell_annotation(r, key, it.value);
	if (!streamed)
		tell_logprobs(r, key, sl_json_get(part, "logprobs"));
	sl_flow_close(r->flow, 0, key);
}

/* Texts of several parts of one thought are paragraphs. */
static void
tell_thought(struct reading *r, int64_t key, struct sl_json parts)
{
	bool streamed = sl_flow_has_delta(r->flow, 0, key);

	for (struct sl_json_iter it = sl_json_iter(parts);
	     !streamed && parts.type == SL_JSON_ARRAY && sl_json_next(&it);) {
		if (sl_flow_has_delta(r->flow, 0, key))
			sl_flow_delta(r->flow, 0, key, sl_text_plain(SL_SLICE("\n\n")));
		sl_flow_delta(r->flow, 0, key, sl_text_json(sl_json_get(it.value, "text")));
	}
}

static void
tell_reasoning(struct reading *r, int64_t item_index, struct sl_json item)
{
	struct sl_json content = sl_json_get(item, "content");
	struct sl_slice signature = SL_SLICE_NONE;
	int64_t key = key_of(item_index, 0);
	bool raw = content.type == SL_JSON_ARRAY && content.raw.len > 2;

	open_reasoning(r, key, item, !raw);
	tell_thought(r, key, raw ? content : sl_json_get(item, "summary"));
	sl_json_string(sl_json_get(item, "encrypted_content"), r->arena, &signature);
	sl_flow_signature(r->flow, 0, key, signature);
	sl_flow_close(r->flow, 0, key);
}

/* An item at its end: what of it was not told yet. */
static void
tell_item(struct reading *r, int64_t index, struct sl_json item)
{
	struct sl_json type = sl_json_get(item, "type");
	struct sl_json content = sl_json_get(item, "content");
	int64_t key = key_of(index, 0);

	if (index < r->state->next_item)
		return;
	r->state->next_item = index + 1;
	if (sl_json_is(type, "message")) {
		for (struct sl_json_iter it = sl_json_iter(content);
		     content.type == SL_JSON_ARRAY && sl_json_next(&it);)
			if (!(r->state->parts_done >> (it.index & 63) & 1))
				tell_part(r, key_of(index, (int64_t)it.index), it.value);
	} else if (sl_json_is(type, "function_call") || sl_json_is(type, "custom_tool_call")) {
		open_call(r, key, item);
		tell_once(r, key, sl_json_get(item, sl_json_is(type, "function_call")
		                                        ? "arguments"
		                                        : "input"));
		sl_flow_close(r->flow, 0, key);
	} else if (sl_json_is(type, "reasoning")) {
		tell_reasoning(r, index, item);
	} else if (item.type == SL_JSON_OBJECT) {
		sl_flow_part(r->flow, 0, &(struct sl_part){ .kind = SL_PART_OPAQUE,
		                                            .raw = item.raw,
		                                            .origin = SL_RESPONSES_ORIGIN });
	}
	r->state->parts_done = 0;
}

/* --- responses --------------------------------------------------------------------------- */

static void
start(struct reading *r, struct sl_json response)
{
	int64_t created_s = 0;

	if (r->flow->started)
		return;
	if (!sl_json_i64(sl_json_get(response, "created_at"), &created_s))
		created_s = 0;
	sl_flow_start(r->flow, sl_text_json(sl_json_get(response, "id")),
	              sl_text_json(sl_json_get(response, "model")), created_s);
}

static bool
failed(struct reading *r, struct sl_json response)
{
	struct sl_json error = sl_json_get(response, "error");
	struct sl_fault fault;

	if (error.type <= SL_JSON_NULL && !sl_json_is(sl_json_get(response, "status"), "failed"))
		return false;
	if (error.type <= SL_JSON_NULL) {
		fail(r, SL_FAULT_UPSTREAM_BROKEN,
		     SL_SLICE("The provider says that the response failed."));
		return true;
	}
	sl_codec_read_error_value(error, r->arena, &fault);
	sl_flow_fail(r->flow, &fault);
	return true;
}

/* A response that is complete: the whole reply, or in the terminal event. */
static void
tell_response(struct reading *r, struct sl_json response)
{
	struct sl_json output = sl_json_get(response, "output");
	struct sl_json reason = sl_json_at(response, "incomplete_details.reason");
	struct sl_usage usage = { .source = SL_USAGE_REPORTED };
	enum sl_stop stop = SL_STOP_END;

	start(r, response);
	if (sl_openai_usage(sl_json_get(response, "usage"), &usage))
		sl_flow_usage(r->flow, &usage);
	if (failed(r, response))
		return;
	for (struct sl_json_iter it = sl_json_iter(output);
	     output.type == SL_JSON_ARRAY && sl_json_next(&it);)
		tell_item(r, (int64_t)it.index, it.value);
	if (sl_json_is(sl_json_get(response, "status"), "incomplete"))
		stop = sl_json_is(reason, "content_filter") ? SL_STOP_FILTER : SL_STOP_MAX_TOKENS;
	if (output.type != SL_JSON_ARRAY && !r->flow->content)
		return; /* no response at all: the end is a cut */
	sl_flow_stop(r->flow, 0, stop, SL_TEXT_NONE);
	sl_flow_end(r->flow);
}

void
sl_responses_read_whole(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena)
{
	struct sl_responses_reader state = { 0 };
	struct reading r = { .state = &state, .flow = flow, .arena = arena };

	if (sl_json_validate(body, NULL, NULL) != SL_OK) {
		fail(&r, SL_FAULT_UPSTREAM_BROKEN, SL_SLICE("The provider's answer is no JSON."));
		return;
	}
	tell_response(&r, sl_json_parse(body));
	sl_flow_end(flow);
}

/* --- events --------------------------------------------------------------------------------- */

static void
on_item_added(struct reading *r, struct sl_json event)
{
	struct sl_json item = sl_json_get(event, "item");
	struct sl_json type = sl_json_get(item, "type");
	int64_t key = key_of(index_in(event, "output_index"), 0);

	if (sl_json_is(type, "function_call") || sl_json_is(type, "custom_tool_call"))
		open_call(r, key, item);
	else if (sl_json_is(type, "reasoning"))
		open_reasoning(r, key, item, true);
}

static void
on_part(struct reading *r, struct sl_json event, bool added)
{
	struct sl_json part = sl_json_get(event, "part");
	struct sl_json type = sl_json_get(part, "type");
	int64_t index = index_in(event, "content_index");
	int64_t key = key_of(index_in(event, "output_index"), index);

	if (!sl_json_is(type, "output_text") && !sl_json_is(type, "refusal"))
		return;
	if (added) {
		open_block(r, key, sl_json_is(type, "refusal") ? SL_PART_REFUSAL : SL_PART_TEXT);
		return;
	}
	tell_part(r, key, part);
	r->state->parts_done |= UINT64_C(1) << (index & 63);
}

/* deltas and the .done that repeats them, by the name before the last dot. */
static const struct {
	struct sl_slice   name;
	enum sl_part_kind kind;
	const char       *member; /* of the done event */
	const char       *part;   /* which index names the part; NULL: the item is one */
} texts[] = {
	{ SL_SLICE_INIT("output_text"), SL_PART_TEXT, "text", "content_index" },
	{ SL_SLICE_INIT("refusal"), SL_PART_REFUSAL, "refusal", "content_index" },
	{ SL_SLICE_INIT("reasoning_summary_text"), SL_PART_REASONING, "text", NULL },
	{ SL_SLICE_INIT("reasoning_text"), SL_PART_REASONING, "text", NULL },
	{ SL_SLICE_INIT("function_call_arguments"), SL_PART_TOOL_CALL, "arguments", NULL },
	{ SL_SLICE_INIT("custom_tool_call_input"), SL_PART_TOOL_CALL, "input", NULL },
};

static void
on_text(struct reading *r, size_t row, struct sl_json event, bool done)
{
	int64_t part = texts[row].part ? index_in(event, texts[row].part) : 0;
	int64_t key = key_of(index_in(event, "output_index"), part);

	/* Events of a block that nobody opened open it; a call needs its name first. */
	if (texts[row].kind == SL_PART_REASONING)
		open_reasoning(r, key, event, sl_slice_is(texts[row].name, "reasoning_summary_text"));
	else if (texts[row].kind != SL_PART_TOOL_CALL)
		open_block(r, key, texts[row].kind);
	if (done) {
		if (!sl_flow_is_open(r->flow, 0, key))
			return;
		/* The second paragraph of a thought is not the first one again. */
		if (texts[row].kind != SL_PART_REASONING || !sl_flow_has_delta(r->flow, 0, key))
			tell_once(r, key, sl_json_get(event, texts[row].member));
		return;
	}
	sl_flow_delta(r->flow, 0, key, sl_text_json(sl_json_get(event, "delta")));
	if (texts[row].kind == SL_PART_TEXT)
		tell_logprobs(r, key, sl_json_get(event, "logprobs"));
}

static void
on_lifecycle(struct reading *r, struct sl_slice name, struct sl_json event)
{
	struct sl_json response = sl_json_get(event, "response");

	if (sl_slice_is(name, "completed") || sl_slice_is(name, "incomplete")) {
		tell_response(r, response);
		return;
	}
	if (!sl_slice_is(name, "failed")) {
		start(r, response);
		return;
	}
	start(r, response);
	if (!failed(r, response))
		fail(r, SL_FAULT_UPSTREAM_BROKEN,
		     SL_SLICE("The provider says that the response failed."));
}

static void
on_event(struct reading *r, struct sl_slice name, struct sl_json event)
{
	ptrdiff_t dot = -1;
	struct sl_slice stem, last;

	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] == '.')
			dot = (ptrdiff_t)i;
	if (dot < 0) {
		on_lifecycle(r, name, event);
		return;
	}
	stem = sl_slice_upto(name, (size_t)dot);
	last = sl_slice_from(name, (size_t)dot + 1);
	if (sl_slice_is(name, "output_item.added")) {
		on_item_added(r, event);
	} else if (sl_slice_is(name, "output_item.done")) {
		tell_item(r, index_in(event, "output_index"), sl_json_get(event, "item"));
	} else if (sl_slice_is(stem, "content_part")) {
		on_part(r, event, sl_slice_is(last, "added"));
	} else if (sl_slice_is(name, "reasoning_summary_part.added")) {
		int64_t key = key_of(index_in(event, "output_index"), 0);

		if (index_in(event, "summary_index") > 0 && sl_flow_has_delta(r->flow, 0, key))
			sl_flow_delta(r->flow, 0, key, sl_text_plain(SL_SLICE("\n\n")));
	} else if (sl_slice_is(name, "output_text.annotation.added")) {
		tell_annotation(r, key_of(index_in(event, "output_index"),
		                          index_in(event, "content_index")),
		                sl_json_get(event, "annotation"));
	} else {
		for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
			if (sl_slice_eq(stem, texts[i].name))
				on_text(r, i, event, sl_slice_is(last, "done"));
	}
}

void
sl_responses_read_frame(void *reader, struct sl_flow *flow, struct sl_slice event,
                        struct sl_slice data, struct sl_arena *arena)
{
	struct reading r = { .state = reader, .flow = flow, .arena = arena };
	struct sl_json value, type;
	struct sl_slice name = event;
	struct sl_fault fault;

	if (data.len == 0 || sl_openai_is_done(data))
		return;
	if (sl_json_validate(data, NULL, NULL) != SL_OK) {
		fail(&r, SL_FAULT_UPSTREAM_BROKEN, SL_SLICE("The provider's answer is no JSON."));
		return;
	}
	value = sl_json_parse(data);
	type = sl_json_get(value, "type");
	if (type.type == SL_JSON_STRING) /* plain ASCII: its raw bytes are its text */
		name = sl_slice_make(type.raw.ptr + 1, type.raw.len - 2);
	if (sl_slice_is(name, "error") || name.len == 0) {
		struct sl_json inner = sl_json_get(value, "error");

		if (name.len == 0 && inner.type <= SL_JSON_NULL)
			return;
		sl_codec_read_error_value(inner.type > SL_JSON_NULL ? inner : value, arena, &fault);
		sl_flow_fail(flow, &fault);
	} else if (sl_slice_is(name, "keepalive")) {
		sl_flow_ping(flow);
	} else if (sl_slice_starts(name, SL_SLICE("response."))) {
		on_event(&r, sl_slice_from(name, sizeof("response.") - 1), value);
	}
}

void
sl_responses_read_end(void *reader, struct sl_flow *flow, struct sl_arena *arena)
{
	(void)reader;
	(void)arena;
	sl_flow_end(flow);
}

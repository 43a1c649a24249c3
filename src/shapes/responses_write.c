/* responses_write.c - an answer for a caller of POST /v1/responses.
 *
 *   created in_progress (ITEM)* completed | incomplete | error failed
 *   ITEM: output_item.added (PART)* output_item.done
 *   PART: ..._part.added delta* .done ..._part.done; a call has deltas and .done only
 *
 * Whatever was streamed is repeated by .done, by the item and by the terminal
 * event, because SDKs take each for the truth: so it is kept, escaped as it came.
 * Text blocks that follow each other are parts of one message. A whole reply is the
 * response that the terminal event would carry, written by the same hands.
 */
#include "shapes/openai.h"
#include "shapes/responses_codec.h"

#include <stdio.h>

enum { KEEP_MAX = 256 * 1024 * 1024 };

/* --- JSON by hand: what is kept is escaped already ------------------------------------ */

static void
add(struct sl_buf *out, const char *text)
{
	sl_buf_append_str(out, text);
}

static void
add_str(struct sl_buf *out, const char *key, struct sl_slice text)
{
	add(out, ",\"");
	add(out, key);
	add(out, "\":");
	sl_json_quote(out, text);
}

static void
add_text(struct sl_buf *out, const char *key, const struct sl_buf *escaped)
{
	add(out, ",\"");
	add(out, key);
	add(out, "\":\"");
	sl_buf_append(out, sl_buf_slice(escaped));
	add(out, "\"");
}

static void
add_raw(struct sl_buf *out, const char *key, struct sl_slice json)
{
	add(out, ",\"");
	add(out, key);
	add(out, "\":");
	sl_buf_append(out, json);
}

/* --- the response object ---------------------------------------------------------------- */

static struct sl_json
echo(const struct sl_codec_caller *caller, const char *name)
{
	return sl_json_get(sl_json_parse(caller->echo), name);
}

/* A member as the request had it, else what it means when left out; NULL: nothing. */
static void
add_echo(struct sl_buf *out, const struct sl_codec_caller *caller, const char *name,
         const char *otherwise)
{
	struct sl_json value = echo(caller, name);

	if (value.type > SL_JSON_NULL)
		add_raw(out, name, value.raw);
	else if (otherwise)
		add_raw(out, name, sl_slice_str(otherwise));
}

/* The request's tools. In an answer a function has members that a request may leave
 * out. */
static void
add_tools(struct sl_buf *out, const struct sl_codec_caller *caller)
{
	struct sl_json tools = echo(caller, "tools");

	add(out, ",\"tools\":[");
	for (struct sl_json_iter it = sl_json_iter(tools);
	     tools.type == SL_JSON_ARRAY && sl_json_next(&it);) {
		struct sl_slice raw = it.value.raw;

		add(out, it.index ? "," : "");
		if (sl_json_is(sl_json_get(it.value, "type"), "function")) {
			add(out, "{");
			if (sl_json_get(it.value, "strict").type == SL_JSON_NONE)
				add(out, "\"strict\":null,");
			if (sl_json_get(it.value, "parameters").type == SL_JSON_NONE)
				add(out, "\"parameters\":null,");
			raw = sl_slice_from(raw, 1);
		}
		sl_buf_append(out, raw);
	}
	add(out, "]");
}

static void
add_usage(struct sl_buf *out, const struct sl_usage *usage)
{
	int64_t input = sl_usage_get(usage, SL_USAGE_INPUT);
	int64_t output = sl_usage_get(usage, SL_USAGE_OUTPUT);

	if (!sl_usage_has(usage, SL_USAGE_INPUT) && !sl_usage_has(usage, SL_USAGE_OUTPUT))
		return; /* left out until it is known: the API's document allows no null */
	sl_buf_printf(out,
	              ",\"usage\":{\"input_tokens\":%lld,\"input_tokens_details\":"
	              "{\"cached_tokens\":%lld,\"cache_write_tokens\":%lld},"
	              "\"output_tokens\":%lld,\"output_tokens_details\":"
	              "{\"reasoning_tokens\":%lld},\"total_tokens\":%lld}",
	              (long long)input, (long long)sl_usage_get(usage, SL_USAGE_CACHE_READ),
	              (long long)sl_usage_get(usage, SL_USAGE_CACHE_WRITE), (long long)output,
	              (long long)sl_usage_get(usage, SL_USAGE_REASONING),
	              (long long)(input + output));
}

static const char *
status_of(enum sl_stop stop)
{
	switch (stop) {
	case SL_STOP_MAX_TOKENS:
	case SL_STOP_CONTEXT:
	case SL_STOP_FILTER:
	case SL_STOP_RECITATION:
		return "incomplete";
	case SL_STOP_BAD_TOOL:
	case SL_STOP_ERROR:
		return "failed";
	default:
		return "completed";
	}
}

static const char *
reason_of(enum sl_stop stop)
{
	return stop == SL_STOP_FILTER || stop == SL_STOP_RECITATION ? "content_filter"
	                                                           : "max_output_tokens";
}

/* error.code of a response is an enumeration. */
static const char *
code_of(const struct sl_fault *fault)
{
	int status = sl_fault_status(fault);

	if (status == 429)
		return "rate_limit_exceeded";
	return status >= 500 ? "server_error" : "invalid_prompt";
}

static void
add_state(struct sl_buf *out, const struct sl_responses_writer *writer, const char *status,
          const struct sl_fault *fault)
{
	add_str(out, "status", sl_slice_str(status));
	if (fault || sl_slice_is(sl_slice_str(status), "failed")) {
		add(out, ",\"error\":{\"code\":\"");
		add(out, fault ? code_of(fault) : "server_error");
		add(out, "\"");
		add_str(out, "message",
		        fault ? fault->message
		              : SL_SLICE("The model's call of a tool could not be read."));
		add(out, "}");
	} else {
		add(out, ",\"error\":null");
	}
	if (sl_slice_is(sl_slice_str(status), "incomplete")) {
		add(out, ",\"incomplete_details\":{\"reason\":\"");
		add(out, reason_of(writer->stop));
		add(out, "\"}");
	} else {
		add(out, ",\"incomplete_details\":null");
	}
}

static void
add_response(struct sl_buf *out, const struct sl_responses_writer *writer,
             const struct sl_codec_caller *caller, const char *status,
             const struct sl_fault *fault, const struct sl_usage *usage)
{
	static const struct {
		const char *name, *otherwise;
	} echoes[] = {
		{ "instructions", "null" }, { "max_output_tokens", "null" },
		{ "max_tool_calls", "null" }, { "parallel_tool_calls", "true" },
		{ "previous_response_id", "null" }, { "prompt_cache_key", NULL },
		{ "reasoning", "{\"effort\":null,\"summary\":null}" },
		{ "safety_identifier", NULL }, { "temperature", "null" },
		{ "text", "{\"format\":{\"type\":\"text\"}}" }, { "tool_choice", "\"auto\"" },
		{ "top_p", "null" }, { "truncation", "\"disabled\"" },
		{ "user", NULL }, { "metadata", "{}" },
	};

	add(out, "{\"id\":\"resp_");
	sl_buf_append(out, caller->request_id);
	sl_buf_printf(out, "\",\"object\":\"response\",\"created_at\":%lld,\"background\":false,"
	                   "\"store\":%s", (long long)writer->created_s,
	              caller->stores && !writer->unkept ? "true" : "false");
	add_state(out, writer, status, fault);
	add_raw(out, "model", writer->model);
	add(out, ",\"output\":[");
	if (usage)
		sl_buf_append(out, sl_buf_slice(&writer->output));
	add(out, "]");
	for (size_t i = 0; i < sizeof(echoes) / sizeof(echoes[0]); i++)
		add_echo(out, caller, echoes[i].name, echoes[i].otherwise);
	add_tools(out, caller);
	if (usage)
		add_usage(out, usage);
	add(out, "}");
}

/* --- events --------------------------------------------------------------------------------- */

/* False: nothing is to be written. The caller adds members and calls end(). */
static bool
begin(struct sl_responses_writer *writer, struct sl_buf *out, const char *type)
{
	if (writer->quiet)
		return false;
	sl_buf_printf(out, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%lld", type, type,
	              (long long)writer->sequence++);
	return true;
}

static void
end(struct sl_buf *out)
{
	add(out, "}\n\n");
}

/* An event of the open item. */
static bool
begin_of_item(struct sl_responses_writer *writer, struct sl_buf *out, const char *type)
{
	if (!begin(writer, out, type))
		return false;
	sl_buf_printf(out, ",\"item_id\":\"%s\",\"output_index\":%d", writer->item_id,
	              writer->items - 1);
	return true;
}

static void
add_part_index(struct sl_buf *out, const struct sl_responses_writer *writer)
{
	bool summary = writer->open == SL_RESPONSES_REASONING && writer->summary;

	sl_buf_printf(out, ",\"%s\":%d", summary ? "summary_index" : "content_index",
	              writer->part_count);
}

static void
lifecycle(struct sl_responses_writer *writer, const struct sl_codec_caller *caller,
          struct sl_buf *out, const char *type)
{
	if (!begin(writer, out, type))
		return;
	add(out, ",\"response\":");
	add_response(out, writer, caller, "in_progress", NULL, NULL);
	end(out);
}

/* --- parts ------------------------------------------------------------------------------------ */

static const char *
part_type(const struct sl_responses_writer *writer)
{
	if (writer->open == SL_RESPONSES_REASONING)
		return writer->summary ? "summary_text" : "reasoning_text";
	return writer->refusal ? "refusal" : "output_text";
}

/* Names of the events of the open part: before ".delta" and before ".added". */
static const char *
text_event(const struct sl_responses_writer *writer, bool done)
{
	static const char *const names[][2] = {
		{ "response.output_text.delta", "response.output_text.done" },
		{ "response.refusal.delta", "response.refusal.done" },
		{ "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done" },
		{ "response.reasoning_text.delta", "response.reasoning_text.done" },
	};
	size_t row = writer->refusal ? 1 : 0;

	if (writer->open == SL_RESPONSES_REASONING)
		row = writer->summary ? 2 : 3;
	return names[row][done];
}

static const char *
part_event(const struct sl_responses_writer *writer, bool done)
{
	if (writer->open == SL_RESPONSES_REASONING && writer->summary)
		return done ? "response.reasoning_summary_part.done"
		            : "response.reasoning_summary_part.added";
	return done ? "response.content_part.done" : "response.content_part.added";
}

/* The part with the text so far. */
static void
add_part(struct sl_buf *out, const struct sl_responses_writer *writer)
{
	const char *type = part_type(writer);

	add(out, "{\"type\":\"");
	add(out, type);
	add(out, "\"");
	add_text(out, writer->open == SL_RESPONSES_MESSAGE && writer->refusal ? "refusal" : "text",
	         &writer->text);
	if (writer->open == SL_RESPONSES_MESSAGE && !writer->refusal) {
		add(out, ",\"annotations\":[");
		sl_buf_append(out, sl_buf_slice(&writer->annotations));
		add(out, "],\"logprobs\":[");
		sl_buf_append(out, sl_buf_slice(&writer->logprobs));
		add(out, "]");
	}
	add(out, "}");
}

static void
open_part(struct sl_responses_writer *writer, struct sl_buf *out)
{
	if (writer->in_part)
		return;
	writer->in_part = true;
	sl_buf_clear(&writer->text);
	sl_buf_clear(&writer->annotations);
	sl_buf_clear(&writer->logprobs);
	writer->annotation_count = 0;
	if (!begin_of_item(writer, out, part_event(writer, false)))
		return;
	add_part_index(out, writer);
	add(out, ",\"part\":");
	add_part(out, writer);
	end(out);
}

static bool
is_output_text(const struct sl_responses_writer *writer)
{
	return writer->open == SL_RESPONSES_MESSAGE && !writer->refusal;
}

static void
close_part(struct sl_responses_writer *writer, struct sl_buf *out)
{
	if (!writer->in_part)
		return;
	writer->in_part = false;
	if (begin_of_item(writer, out, text_event(writer, true))) {
		add_part_index(out, writer);
		add_text(out, writer->open == SL_RESPONSES_MESSAGE && writer->refusal ? "refusal"
		                                                                     : "text",
		         &writer->text);
		if (is_output_text(writer)) {
			add(out, ",\"logprobs\":[");
			sl_buf_append(out, sl_buf_slice(&writer->logprobs));
			add(out, "]");
		}
		end(out);
	}
	if (begin_of_item(writer, out, part_event(writer, true))) {
		add_part_index(out, writer);
		add(out, ",\"part\":");
		add_part(out, writer);
		end(out);
	}
	if (writer->part_count++)
		add(&writer->parts, ",");
	add_part(&writer->parts, writer);
}

/* --- items -------------------------------------------------------------------------------------- */

static void
add_call(struct sl_buf *out, const struct sl_responses_writer *writer, bool done)
{
	static struct sl_buf nothing;

	add(out, writer->custom ? "{\"type\":\"custom_tool_call\"" : "{\"type\":\"function_call\"");
	add_str(out, "id", sl_slice_str(writer->item_id));
	add_str(out, "call_id", writer->call_id);
	add_str(out, "name", writer->name);
	if (writer->space.len)
		add_str(out, "namespace", writer->space);
	add_text(out, writer->custom ? "input" : "arguments", done ? &writer->text : &nothing);
	add_str(out, "status", done ? SL_SLICE("completed") : SL_SLICE("in_progress"));
	add(out, "}");
}

static void
add_message(struct sl_buf *out, const struct sl_responses_writer *writer, bool done)
{
	add(out, "{\"type\":\"message\"");
	add_str(out, "id", sl_slice_str(writer->item_id));
	add_str(out, "status", done ? SL_SLICE("completed") : SL_SLICE("in_progress"));
	add(out, ",\"role\":\"assistant\",\"content\":[");
	if (done)
		sl_buf_append(out, sl_buf_slice(&writer->parts));
	add(out, "]}");
}

static void
add_reasoning(struct sl_buf *out, const struct sl_responses_writer *writer, bool done)
{
	add(out, "{\"type\":\"reasoning\"");
	add_str(out, "id", sl_slice_str(writer->item_id));
	add(out, ",\"summary\":[");
	if (done && writer->summary)
		sl_buf_append(out, sl_buf_slice(&writer->parts));
	add(out, "]");
	if (done && !writer->summary) {
		add(out, ",\"content\":[");
		sl_buf_append(out, sl_buf_slice(&writer->parts));
		add(out, "]");
	}
	if (done && writer->signature.len)
		add_str(out, "encrypted_content", writer->signature);
	add(out, "}");
}

static void
add_item(struct sl_buf *out, const struct sl_responses_writer *writer, bool done)
{
	if (writer->open == SL_RESPONSES_CALL)
		add_call(out, writer, done);
	else if (writer->open == SL_RESPONSES_REASONING)
		add_reasoning(out, writer, done);
	else
		add_message(out, writer, done);
}

static void
open_item(struct sl_responses_writer *writer, const struct sl_codec_caller *caller,
          enum sl_responses_item kind, struct sl_buf *out)
{
	static const char *const prefixes[] = { "", "msg", "rs", "fc" };

	writer->open = kind;
	writer->part_count = 0;
	writer->signature = SL_SLICE_NONE;
	sl_buf_clear(&writer->parts);
	sl_buf_clear(&writer->text);
	snprintf(writer->item_id, sizeof(writer->item_id), "%s_%.*s_%d", prefixes[kind],
	         (int)(caller->request_id.len < 64 ? caller->request_id.len : 64),
	         caller->request_id.ptr ? caller->request_id.ptr : "", writer->items++);
	if (!begin(writer, out, "response.output_item.added"))
		return;
	sl_buf_printf(out, ",\"output_index\":%d,\"item\":", writer->items - 1);
	add_item(out, writer, false);
	end(out);
}

static void
close_item(struct sl_responses_writer *writer, struct sl_buf *out)
{
	if (writer->open == SL_RESPONSES_NOTHING)
		return;
	close_part(writer, out);
	if (writer->open == SL_RESPONSES_CALL &&
	    begin_of_item(writer, out, writer->custom ? "response.custom_tool_call_input.done"
	                                              : "response.function_call_arguments.done")) {
		if (!writer->custom)
			add_str(out, "name", writer->name);
		add_text(out, writer->custom ? "input" : "arguments", &writer->text);
		end(out);
	}
	if (begin(writer, out, "response.output_item.done")) {
		sl_buf_printf(out, ",\"output_index\":%d,\"item\":", writer->items - 1);
		add_item(out, writer, true);
		end(out);
	}
	if (writer->output.len)
		add(&writer->output, ",");
	add_item(&writer->output, writer, true);
	writer->open = SL_RESPONSES_NOTHING;
	if (writer->output.failed || writer->parts.failed || writer->text.failed)
		out->failed = true;
}

/* --- what happens --------------------------------------------------------------------------------- */

static void
prepare(struct sl_responses_writer *writer, const struct sl_codec_caller *caller,
        struct sl_text model, int64_t created_s)
{
	struct sl_buf name;

	sl_buf_init(&name, 65536);
	sl_buf_init(&writer->output, KEEP_MAX);
	sl_buf_init(&writer->parts, KEEP_MAX);
	sl_buf_init(&writer->text, KEEP_MAX);
	sl_buf_init(&writer->annotations, KEEP_MAX);
	sl_buf_init(&writer->logprobs, KEEP_MAX);
	writer->created_s = created_s > 0 ? created_s : caller->now_s;
	if (sl_text_empty(model))
		model = sl_text_plain(caller->model);
	add(&name, "\"");
	sl_text_append(&name, model);
	add(&name, "\"");
	writer->model = sl_arena_dup(caller->arena, sl_buf_slice(&name));
	if (!writer->model.ptr)
		writer->model = SL_SLICE("\"\"");
	sl_buf_release(&name);
}

static struct sl_slice
kept(const struct sl_codec_caller *caller, struct sl_text text, struct sl_buf *out)
{
	struct sl_slice utf8 = SL_SLICE_NONE, copy;

	if (!sl_text_utf8(text, caller->arena, &utf8))
		out->failed = true;
	copy = sl_arena_dup(caller->arena, utf8);
	if (!copy.ptr)
		out->failed = true;
	return copy;
}

static bool
is_in(struct sl_json tools, struct sl_slice name, struct sl_arena *arena)
{
	struct sl_slice one;

	for (struct sl_json_iter it = sl_json_iter(tools);
	     tools.type == SL_JSON_ARRAY && sl_json_next(&it);)
		if (sl_json_string(sl_json_get(it.value, "name"), arena, &one) &&
		    sl_slice_eq(one, name))
			return true;
	return false;
}

/* A tool that the request has in a namespace gets its two names back. */
static void
split_name(struct sl_responses_writer *writer, const struct sl_codec_caller *caller)
{
	const struct sl_slice end = SL_SLICE(SL_RESPONSES_SPACE_END);
	struct sl_json tools = echo(caller, "tools");

	writer->space = SL_SLICE_NONE;
	if (sl_slice_search(writer->name, end) < 0 || tools.type != SL_JSON_ARRAY)
		return;
	for (struct sl_json_iter it = sl_json_iter(tools); sl_json_next(&it);) {
		struct sl_slice space, rest;

		if (!sl_json_is(sl_json_get(it.value, "type"), "namespace") ||
		    !sl_json_string(sl_json_get(it.value, "name"), caller->arena, &space) ||
		    !sl_slice_starts(writer->name, space))
			continue;
		rest = sl_slice_from(writer->name, space.len);
		if (!sl_slice_starts(rest, end) ||
		    !is_in(sl_json_get(it.value, "tools"), sl_slice_from(rest, end.len),
		           caller->arena))
			continue;
		writer->space = space;
		writer->name = sl_slice_from(rest, end.len);
		return;
	}
}

static void
on_open(struct sl_responses_writer *writer, const struct sl_codec_caller *caller,
        const struct sl_event *event, struct sl_buf *out)
{
	bool said = event->block_kind == SL_PART_TEXT || event->block_kind == SL_PART_REFUSAL;

	if (!said || writer->open != SL_RESPONSES_MESSAGE)
		close_item(writer, out);
	writer->refusal = event->block_kind == SL_PART_REFUSAL;
	if (said) {
		if (writer->open == SL_RESPONSES_NOTHING)
			open_item(writer, caller, SL_RESPONSES_MESSAGE, out);
		open_part(writer, out);
	} else if (event->block_kind == SL_PART_REASONING) {
		/* What other APIs show is a summary as this one means it. */
		writer->summary = true;
		open_item(writer, caller, SL_RESPONSES_REASONING, out);
	} else {
		writer->custom = event->custom;
		writer->call_id = kept(caller, event->id, out);
		writer->name = kept(caller, event->name, out);
		split_name(writer, caller);
		open_item(writer, caller, SL_RESPONSES_CALL, out);
	}
}

static void
on_delta(struct sl_responses_writer *writer, const struct sl_event *event, struct sl_buf *out)
{
	bool call = writer->open == SL_RESPONSES_CALL;
	struct sl_json_writer w;

	if (!call)
		open_part(writer, out);
	sl_text_append(&writer->text, event->text);
	if (!call && !begin_of_item(writer, out, text_event(writer, false)))
		return;
	if (call && !begin_of_item(writer, out, writer->custom
	                               ? "response.custom_tool_call_input.delta"
	                               : "response.function_call_arguments.delta"))
		return;
	if (!call)
		add_part_index(out, writer);
	add(out, ",\"delta\":");
	sl_json_writer_init(&w, out);
	sl_text_put(&w, event->text);
	if (is_output_text(writer) && !call)
		add(out, ",\"logprobs\":[]");
	end(out);
}

static void
add_annotation(struct sl_buf *out, const struct sl_citation *citation)
{
	struct sl_json_writer w;

	sl_json_writer_init(&w, out);
	if (citation->origin && sl_slice_is(sl_slice_str(citation->origin), SL_RESPONSES_ORIGIN)) {
		sl_json_put_raw(&w, citation->raw);
		return;
	}
	sl_json_obj(&w);
	sl_json_str(&w, "type", SL_SLICE("url_citation"));
	sl_json_int(&w, "start_index", citation->start > 0 ? citation->start : 0);
	sl_json_int(&w, "end_index", citation->end > 0 ? citation->end : 0);
	sl_json_str(&w, "url", citation->url);
	sl_json_key(&w, "title");
	sl_text_put(&w, sl_text_empty(citation->title) ? sl_text_plain(SL_SLICE(""))
	                                              : citation->title);
	sl_json_obj_end(&w);
}

static void
on_citation(struct sl_responses_writer *writer, const struct sl_event *event, struct sl_buf *out)
{
	if (!is_output_text(writer) || !writer->in_part)
		return;
	if (begin_of_item(writer, out, "response.output_text.annotation.added")) {
		add_part_index(out, writer);
		sl_buf_printf(out, ",\"annotation_index\":%d,\"annotation\":",
		              writer->annotation_count);
		add_annotation(out, event->citation);
		end(out);
	}
	if (writer->annotation_count++)
		add(&writer->annotations, ",");
	add_annotation(&writer->annotations, event->citation);
}

static void
on_logprobs(struct sl_responses_writer *writer, struct sl_slice raw)
{
	struct sl_slice elements = sl_slice_trim(raw);

	if (!is_output_text(writer) || elements.len <= 2)
		return;
	if (writer->logprobs.len)
		add(&writer->logprobs, ",");
	sl_buf_append(&writer->logprobs, sl_slice_make(elements.ptr + 1, elements.len - 2));
}

static void
on_close(struct sl_responses_writer *writer, struct sl_buf *out)
{
	/* A message stays open: the next text goes on in it. */
	if (writer->open == SL_RESPONSES_MESSAGE)
		close_part(writer, out);
	else
		close_item(writer, out);
}

static void
on_error(struct sl_responses_writer *writer, const struct sl_codec_caller *caller,
         const struct sl_event *event, struct sl_buf *out)
{
	static const struct sl_usage none;
	struct sl_json_writer w;

	if (!writer->model.ptr)
		prepare(writer, caller, SL_TEXT_NONE, 0);
	if (begin(writer, out, "error")) {
		add_str(out, "code", sl_fault_code(event->fault));
		add_str(out, "message", event->fault->message);
		add(out, ",\"param\":");
		sl_json_writer_init(&w, out);
		if (event->fault->param.len)
			sl_json_put_str(&w, event->fault->param);
		else
			sl_json_put_null(&w);
		end(out);
	}
	if (begin(writer, out, "response.failed")) {
		add(out, ",\"response\":");
		add_response(out, writer, caller, "failed", event->fault,
		             event->usage ? event->usage : &none);
		end(out);
	}
}

static void
on_end(struct sl_responses_writer *writer, const struct sl_codec_caller *caller,
       const struct sl_usage *usage, struct sl_buf *out)
{
	const char *status = status_of(writer->stop);
	char type[32];

	close_item(writer, out);
	if (writer->stop == SL_STOP_PAUSE && caller->notes)
		sl_note(caller->notes, SL_NOTE_stop_reason_changed, NULL);
	if (writer->quiet) {
		writer->unkept = strcmp(status, "failed") == 0 || writer->output.len > caller->keeps_max;
		add_response(out, writer, caller, status, NULL, usage);
		return;
	}
	if (caller->kept) {
		writer->unkept = strcmp(status, "failed") == 0;
		add_response(caller->kept, writer, caller, status, NULL, usage);
		writer->unkept |= caller->kept->failed;
	}
	snprintf(type, sizeof(type), "response.%s", status);
	begin(writer, out, type);
	add(out, ",\"response\":");
	add_response(out, writer, caller, status, NULL, usage);
	end(out);
}

void
sl_responses_write_event(void *context, const struct sl_codec_caller *caller,
                         const struct sl_event *event, struct sl_buf *out)
{
	struct sl_responses_writer *writer = context;

	if (event->choice > 0) { /* this API has one answer */
		if (caller->notes)
			sl_note(caller->notes, SL_NOTE_output_dropped, NULL);
		return;
	}
	switch (event->kind) {
	case SL_EVENT_START:
		prepare(writer, caller, event->model, event->created_s);
		lifecycle(writer, caller, out, "response.created");
		lifecycle(writer, caller, out, "response.in_progress");
		break;
	case SL_EVENT_OPEN:
		on_open(writer, caller, event, out);
		break;
	case SL_EVENT_DELTA:
		on_delta(writer, event, out);
		break;
	case SL_EVENT_SIGNATURE:
		if (writer->open == SL_RESPONSES_REASONING)
			writer->signature = sl_arena_dup(caller->arena, event->signature);
		break;
	case SL_EVENT_CITATION:
		on_citation(writer, event, out);
		break;
	case SL_EVENT_LOGPROBS:
		on_logprobs(writer, event->logprobs);
		break;
	case SL_EVENT_CLOSE:
		on_close(writer, out);
		break;
	case SL_EVENT_PART:
		if (caller->notes)
			sl_note(caller->notes, SL_NOTE_output_dropped, NULL);
		break;
	case SL_EVENT_USAGE:
		break; /* the last one comes with END */
	case SL_EVENT_STOP:
		writer->stop = event->stop;
		break;
	case SL_EVENT_PING:
		if (!writer->quiet)
			add(out, ": keep-alive\n\n"); /* SDKs refuse events they do not know */
		break;
	case SL_EVENT_ERROR:
		on_error(writer, caller, event, out);
		break;
	case SL_EVENT_END:
		on_end(writer, caller, event->usage, out);
		break;
	}
}

void
sl_responses_writer_release(void *context)
{
	struct sl_responses_writer *writer = context;

	sl_buf_release(&writer->output);
	sl_buf_release(&writer->parts);
	sl_buf_release(&writer->text);
	sl_buf_release(&writer->annotations);
	sl_buf_release(&writer->logprobs);
}

/* --- a whole reply ------------------------------------------------------------------------------ */

static void
replay(struct sl_responses_writer *writer, const struct sl_codec_caller *caller,
       struct sl_event event, struct sl_buf *out)
{
	sl_responses_write_event(writer, caller, &event, out);
}

static bool
is_block(const struct sl_part *part)
{
	return part->kind == SL_PART_TEXT || part->kind == SL_PART_REFUSAL ||
	       part->kind == SL_PART_REASONING || part->kind == SL_PART_TOOL_CALL;
}

static void
replay_part(struct sl_responses_writer *writer, const struct sl_codec_caller *caller,
            const struct sl_part *part, struct sl_slice logprobs, struct sl_buf *out)
{
	bool call = part->kind == SL_PART_TOOL_CALL;
	struct sl_text text = call ? sl_text_plain(part->args) : part->text;

	if (!is_block(part)) {
		replay(writer, caller, (struct sl_event){ .kind = SL_EVENT_PART, .part = part }, out);
		return;
	}
	replay(writer, caller,
	       (struct sl_event){ .kind = SL_EVENT_OPEN, .block_kind = part->kind,
	                          .id = sl_text_plain(part->call_id),
	                          .name = sl_text_plain(part->name), .custom = part->custom,
	                          .summary = part->summary }, out);
	if (!sl_text_empty(text))
		replay(writer, caller, (struct sl_event){ .kind = SL_EVENT_DELTA, .text = text }, out);
	for (const struct sl_citation *c = part->citations; c; c = c->next)
		replay(writer, caller, (struct sl_event){ .kind = SL_EVENT_CITATION, .citation = c },
		       out);
	if (part->kind == SL_PART_TEXT && logprobs.len)
		replay(writer, caller, (struct sl_event){ .kind = SL_EVENT_LOGPROBS,
		                                          .logprobs = logprobs }, out);
	if (part->signature.len)
		replay(writer, caller, (struct sl_event){ .kind = SL_EVENT_SIGNATURE,
		                                          .signature = part->signature }, out);
	replay(writer, caller, (struct sl_event){ .kind = SL_EVENT_CLOSE }, out);
}

void
sl_responses_write_whole(const struct sl_completion *answer, const struct sl_codec_caller *caller,
                         struct sl_buf *out)
{
	struct sl_responses_writer writer = { .quiet = true };
	const struct sl_alternative *choice = answer->choice_count ? answer->choices : NULL;
	struct sl_slice logprobs = choice ? choice->logprobs : SL_SLICE_NONE;

	replay(&writer, caller,
	       (struct sl_event){ .kind = SL_EVENT_START, .model = answer->model,
	                          .created_s = answer->created_s }, out);
	if (answer->choice_count > 1 && caller->notes)
		sl_note(caller->notes, SL_NOTE_output_dropped, NULL);
	for (const struct sl_part *part = choice ? choice->parts : NULL; part; part = part->next) {
		replay_part(&writer, caller, part, logprobs, out);
		if (part->kind == SL_PART_TEXT)
			logprobs = SL_SLICE_NONE; /* they stand with the first text */
	}
	replay(&writer, caller,
	       (struct sl_event){ .kind = SL_EVENT_STOP,
	                          .stop = choice ? choice->stop : SL_STOP_END }, out);
	replay(&writer, caller, (struct sl_event){ .kind = SL_EVENT_END, .usage = &answer->usage },
	       out);
	sl_responses_writer_release(&writer);
}

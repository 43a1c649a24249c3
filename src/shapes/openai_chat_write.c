/* openai_chat_write.c - an answer as POST /v1/chat/completions gives it.
 *
 *   role, (content | refusal | reasoning | calls)*, finish, [usage], [DONE]
 *
 * Every chunk has the same id, created and model. Calls are numbered from 0 per
 * choice, other blocks do not count. An error is a chunk of its own, behind which
 * no [DONE] comes.
 */
#include "shapes/openai.h"
#include "shapes/openai_chat_codec.h"

enum { DETAIL_MAX = 1024 * 1024 };

static const char id_prefix[] = "chatcmpl-";

struct writer {
	struct sl_slice head;    /* of every chunk, on the caller's arena */
	struct sl_buf   thought; /* text of the open reasoning, to stand beside its proof */
	uint64_t        began[2];/* a bit per choice: its role was told */
	int             call;    /* number of the open call */
	int             details; /* reasoning blocks so far */
};
_Static_assert(sizeof(struct writer) <= SL_OPENAI_CHAT_WRITER_SIZE, "writer fits");

const char *
sl_openai_finish_reason(enum sl_stop stop)
{
	switch (stop) {
	case SL_STOP_MAX_TOKENS:
	case SL_STOP_CONTEXT:
		return "length";
	case SL_STOP_TOOL_CALLS:
		return "tool_calls";
	case SL_STOP_FILTER:
	case SL_STOP_RECITATION:
	case SL_STOP_REFUSAL:
		return "content_filter";
	default:
		return "stop";
	}
}

void
sl_openai_put_usage(struct sl_json_writer *w, const struct sl_usage *usage)
{
	int64_t input = sl_usage_get(usage, SL_USAGE_INPUT);
	int64_t output = sl_usage_get(usage, SL_USAGE_OUTPUT);

	sl_json_key(w, "usage");
	sl_json_obj(w);
	sl_json_int(w, "prompt_tokens", input);
	sl_json_int(w, "completion_tokens", output);
	sl_json_int(w, "total_tokens", input + output);
	sl_json_key(w, "prompt_tokens_details");
	sl_json_obj(w);
	sl_json_int(w, "cached_tokens", sl_usage_get(usage, SL_USAGE_CACHE_READ));
	if (sl_usage_has(usage, SL_USAGE_CACHE_WRITE))
		sl_json_int(w, "cache_write_tokens", sl_usage_get(usage, SL_USAGE_CACHE_WRITE));
	sl_json_int(w, "audio_tokens", sl_usage_get(usage, SL_USAGE_INPUT_AUDIO));
	sl_json_obj_end(w);
	sl_json_key(w, "completion_tokens_details");
	sl_json_obj(w);
	sl_json_int(w, "reasoning_tokens", sl_usage_get(usage, SL_USAGE_REASONING));
	sl_json_int(w, "audio_tokens", sl_usage_get(usage, SL_USAGE_OUTPUT_AUDIO));
	sl_json_int(w, "accepted_prediction_tokens", 0);
	sl_json_int(w, "rejected_prediction_tokens", 0);
	sl_json_obj_end(w);
	sl_json_obj_end(w);
}

void
sl_openai_put_head(struct sl_json_writer *w, const struct sl_codec_caller *caller,
                   const char *prefix, const char *object, struct sl_text id,
                   struct sl_text model, int64_t created_s)
{
	sl_codec_put_id(w, caller, prefix, id);
	sl_json_str(w, "object", sl_slice_str(object));
	sl_json_int(w, "created", created_s > 0 ? created_s : caller->now_s);
	sl_codec_put_model(w, caller, model);
}

struct sl_slice
sl_openai_chunk_head(const struct sl_codec_caller *caller, const char *prefix,
                     const char *object, const struct sl_event *start)
{
	struct sl_json_writer w;
	struct sl_slice kept;
	struct sl_buf head;

	sl_buf_init(&head, 64 * 1024);
	sl_buf_append_str(&head, "data: ");
	sl_json_writer_init(&w, &head);
	sl_json_obj(&w);
	sl_openai_put_head(&w, caller, prefix, object, start->id, start->model,
	                   start->created_s);
	sl_buf_append_str(&head, ",\"choices\":[");
	kept = sl_arena_dup(caller->arena, sl_buf_slice(&head));
	sl_buf_release(&head);
	return kept;
}

/* One entry of reasoning_details. */
static void
put_detail(struct sl_json_writer *w, int index, bool redacted, struct sl_text text,
           struct sl_slice signature)
{
	sl_json_obj(w);
	sl_json_str(w, "type", redacted ? SL_SLICE("reasoning.encrypted")
	                                : SL_SLICE("reasoning.text"));
	sl_json_int(w, "index", index);
	if (!redacted) {
		sl_json_key(w, "text");
		if (sl_text_empty(text))
			sl_json_put_raw(w, SL_SLICE("\"\""));
		else
			sl_text_put(w, text);
	}
	sl_json_str(w, redacted ? "data" : "signature", signature);
	sl_json_str(w, "format", SL_SLICE("sluice-v1"));
	sl_json_obj_end(w);
}

static bool
put_annotation(struct sl_json_writer *w, const struct sl_citation *citation)
{
	if (citation->url.len == 0)
		return false;
	sl_json_obj(w);
	sl_json_str(w, "type", SL_SLICE("url_citation"));
	sl_json_key(w, "url_citation");
	sl_json_obj(w);
	sl_json_str(w, "url", citation->url);
	sl_json_key(w, "title");
	if (sl_text_empty(citation->title))
		sl_json_put_raw(w, SL_SLICE("\"\""));
	else
		sl_text_put(w, citation->title);
	sl_json_int(w, "start_index", citation->start > 0 ? citation->start : 0);
	sl_json_int(w, "end_index", citation->end > 0 ? citation->end : 0);
	sl_json_obj_end(w);
	sl_json_obj_end(w);
	return true;
}

/* --- a whole answer --------------------------------------------------------------------- */

/* Texts of one kind as one string; null where there is none. */
static void
put_texts(struct sl_json_writer *w, const char *key, const struct sl_alternative *choice,
          enum sl_part_kind kind)
{
	const struct sl_part *first = NULL, *part;
	size_t count = 0;
	struct sl_buf all;

	for (part = choice->parts; part; part = part->next)
		if (part->kind == kind && !sl_text_empty(part->text)) {
			first = first ? first : part;
			count++;
		}
	if (count == 0 && kind == SL_PART_REASONING)
		return;
	sl_json_key(w, key);
	if (count == 0) {
		sl_json_put_null(w);
		return;
	}
	if (count == 1) {
		sl_text_put(w, first->text);
		return;
	}
	sl_buf_init(&all, w->buf->max_size);
	sl_buf_append_char(&all, '"');
	for (part = first; part; part = part->next)
		if (part->kind == kind)
			sl_text_append(&all, part->text);
	sl_buf_append_char(&all, '"');
	sl_json_put_raw(w, sl_buf_slice(&all));
	w->buf->failed = w->buf->failed || all.failed;
	sl_buf_release(&all);
}

static void
put_details(struct sl_json_writer *w, const struct sl_alternative *choice)
{
	int index = 0;

	for (const struct sl_part *part = choice->parts; part; part = part->next) {
		if (part->kind != SL_PART_REASONING || part->token_only || !part->signature.len)
			continue;
		if (index == 0) {
			sl_json_key(w, "reasoning_details");
			sl_json_arr(w);
		}
		put_detail(w, index++, part->redacted, part->text, part->signature);
	}
	if (index > 0)
		sl_json_arr_end(w);
}

static void
put_calls(struct sl_json_writer *w, const struct sl_alternative *choice)
{
	bool any = false;

	for (const struct sl_part *part = choice->parts; part; part = part->next) {
		if (part->kind != SL_PART_TOOL_CALL)
			continue;
		if (!any) {
			sl_json_key(w, "tool_calls");
			sl_json_arr(w);
		}
		any = true;
		sl_json_obj(w);
		sl_json_str(w, "id", part->call_id);
		sl_json_str(w, "type", part->custom ? SL_SLICE("custom") : SL_SLICE("function"));
		sl_json_key(w, part->custom ? "custom" : "function");
		sl_json_obj(w);
		sl_json_str(w, "name", part->name);
		sl_json_str(w, part->custom ? "input" : "arguments", part->args);
		sl_json_obj_end(w);
		sl_json_obj_end(w);
	}
	if (any)
		sl_json_arr_end(w);
}

static void
put_annotations(struct sl_json_writer *w, const struct sl_alternative *choice,
                const struct sl_codec_caller *caller)
{
	sl_json_key(w, "annotations");
	sl_json_arr(w);
	for (const struct sl_part *part = choice->parts; part; part = part->next)
		for (const struct sl_citation *at = part->citations; at; at = at->next)
			if (!put_annotation(w, at))
				sl_codec_note_lost(caller);
	sl_json_arr_end(w);
}

static void
put_choice(struct sl_json_writer *w, const struct sl_alternative *choice, size_t index,
           const struct sl_codec_caller *caller)
{
	for (const struct sl_part *part = choice->parts; part; part = part->next)
		if (part->kind >= SL_PART_TOOL_RESULT)
			sl_codec_note_lost(caller);
	sl_json_obj(w);
	sl_json_int(w, "index", (int64_t)index);
	sl_json_key(w, "message");
	sl_json_obj(w);
	sl_json_str(w, "role", SL_SLICE("assistant"));
	put_texts(w, "content", choice, SL_PART_TEXT);
	put_texts(w, "refusal", choice, SL_PART_REFUSAL);
	put_texts(w, "reasoning_content", choice, SL_PART_REASONING);
	put_details(w, choice);
	put_calls(w, choice);
	put_annotations(w, choice, caller);
	sl_json_obj_end(w);
	sl_json_key(w, "logprobs");
	if (choice->logprobs.len) {
		sl_json_obj(w);
		sl_json_key(w, "content");
		sl_json_put_raw(w, choice->logprobs);
		sl_json_key(w, "refusal");
		sl_json_put_null(w);
		sl_json_obj_end(w);
	} else {
		sl_json_put_null(w);
	}
	sl_json_str(w, "finish_reason", sl_slice_str(sl_openai_finish_reason(choice->stop)));
	sl_json_obj_end(w);
}

void
sl_openai_chat_write_whole(const struct sl_completion *answer,
                           const struct sl_codec_caller *caller, struct sl_buf *out)
{
	struct sl_json_writer w;

	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_openai_put_head(&w, caller, id_prefix, "chat.completion", answer->id, answer->model, answer->created_s);
	sl_json_key(&w, "choices");
	sl_json_arr(&w);
	for (size_t i = 0; i < answer->choice_count; i++)
		put_choice(&w, &answer->choices[i], i, caller);
	sl_json_arr_end(&w);
	sl_openai_put_usage(&w, &answer->usage);
	sl_json_obj_end(&w);
}

/* --- chunks --------------------------------------------------------------------------------- */

/* Up to the delta's value; the caller appends that and calls end_chunk. */
static void
begin_chunk(const struct writer *writer, int choice, struct sl_buf *out)
{
	if (writer->head.len == 0)
		out->failed = true;
	sl_buf_append(out, writer->head);
	sl_buf_append_str(out, "{\"index\":");
	if (choice < 10)
		sl_buf_append_char(out, (char)('0' + choice));
	else
		sl_buf_printf(out, "%d", choice);
	sl_buf_append_str(out, ",\"delta\":");
}

static void
end_chunk(struct sl_buf *out)
{
	sl_buf_append_str(out, ",\"finish_reason\":null}]}\n\n");
}

static void
write_role(struct writer *writer, int choice, struct sl_buf *out)
{
	uint64_t bit = UINT64_C(1) << (choice & 63);

	if (writer->began[choice >> 6 & 1] & bit)
		return;
	writer->began[choice >> 6 & 1] |= bit;
	begin_chunk(writer, choice, out);
	sl_buf_append_str(out, "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}");
	end_chunk(out);
}

static void
write_text(const struct writer *writer, int choice, const char *open, struct sl_text text,
           const char *close, struct sl_buf *out)
{
	begin_chunk(writer, choice, out);
	sl_buf_append_str(out, open);
	if (text.json)
		sl_buf_append(out, text.raw);
	else
		sl_json_quote(out, text.raw);
	sl_buf_append_str(out, close);
	end_chunk(out);
}

static void
write_call(struct writer *writer, const struct sl_event *event, struct sl_buf *out)
{
	struct sl_json_writer w;

	begin_chunk(writer, event->choice, out);
	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_key(&w, "tool_calls");
	sl_json_arr(&w);
	sl_json_obj(&w);
	sl_json_int(&w, "index", writer->call);
	sl_json_key(&w, "id");
	sl_text_put(&w, event->id);
	sl_json_str(&w, "type", event->custom ? SL_SLICE("custom") : SL_SLICE("function"));
	sl_json_key(&w, event->custom ? "custom" : "function");
	sl_json_obj(&w);
	sl_json_key(&w, "name");
	sl_text_put(&w, event->name);
	sl_json_key(&w, event->custom ? "input" : "arguments");
	sl_json_put_raw(&w, SL_SLICE("\"\""));
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
	sl_json_arr_end(&w);
	sl_json_obj_end(&w);
	end_chunk(out);
}

static void
write_arguments(const struct writer *writer, const struct sl_event *event, struct sl_buf *out)
{
	struct sl_json_writer w;

	begin_chunk(writer, event->choice, out);
	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_key(&w, "tool_calls");
	sl_json_arr(&w);
	sl_json_obj(&w);
	sl_json_int(&w, "index", writer->call);
	sl_json_key(&w, event->custom ? "custom" : "function");
	sl_json_obj(&w);
	sl_json_key(&w, event->custom ? "input" : "arguments");
	sl_text_put(&w, event->text);
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
	sl_json_arr_end(&w);
	sl_json_obj_end(&w);
	end_chunk(out);
}

/* What must come back, once for each thought. A thought too long to be kept here is
 * proved by nothing then; it stays readable. */
static void
write_signature(struct writer *writer, const struct sl_event *event, struct sl_buf *out)
{
	struct sl_json_writer w;
	struct sl_text text = SL_TEXT_NONE;

	if (event->block_kind != SL_PART_REASONING || event->token_only || writer->thought.failed)
		return;
	if (writer->thought.len) {
		sl_buf_append_char(&writer->thought, '"');
		text = (struct sl_text){ sl_buf_slice(&writer->thought), true };
	}
	begin_chunk(writer, event->choice, out);
	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_key(&w, "reasoning_details");
	sl_json_arr(&w);
	put_detail(&w, writer->details++, event->redacted, text, event->signature);
	sl_json_arr_end(&w);
	sl_json_obj_end(&w);
	end_chunk(out);
}

static void
on_open(struct writer *writer, const struct sl_event *event, struct sl_buf *out)
{
	write_role(writer, event->choice, out);
	sl_buf_clear(&writer->thought);
	if (event->block_kind == SL_PART_TOOL_CALL) {
		/* Blocks that are no calls do not count. */
		writer->call = event->call;
		write_call(writer, event, out);
	}
}

static void
on_delta(struct writer *writer, const struct sl_event *event, struct sl_buf *out)
{
	switch (event->block_kind) {
	case SL_PART_TOOL_CALL:
		writer->call = event->call;
		write_arguments(writer, event, out);
		break;
	case SL_PART_REASONING:
		if (writer->thought.len == 0)
			sl_buf_append_char(&writer->thought, '"');
		sl_text_append(&writer->thought, event->text);
		write_text(writer, event->choice, "{\"reasoning_content\":", event->text, "}", out);
		break;
	case SL_PART_REFUSAL:
		write_text(writer, event->choice, "{\"refusal\":", event->text, "}", out);
		break;
	default:
		write_text(writer, event->choice, "{\"content\":", event->text, "}", out);
		break;
	}
}

static void
write_stop(struct writer *writer, const struct sl_event *event, struct sl_buf *out)
{
	write_role(writer, event->choice, out);
	begin_chunk(writer, event->choice, out);
	sl_buf_append_str(out, "{},\"finish_reason\":\"");
	sl_buf_append_str(out, sl_openai_finish_reason(event->stop));
	sl_buf_append_str(out, "\"}]}\n\n");
}

static void
write_citation(const struct writer *writer, const struct sl_codec_caller *caller,
               const struct sl_event *event, struct sl_buf *out)
{
	struct sl_json_writer w;

	if (event->citation->url.len == 0) {
		sl_codec_note_lost(caller);
		return;
	}
	begin_chunk(writer, event->choice, out);
	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_key(&w, "annotations");
	sl_json_arr(&w);
	put_annotation(&w, event->citation);
	sl_json_arr_end(&w);
	sl_json_obj_end(&w);
	end_chunk(out);
}

static void
write_logprobs(const struct writer *writer, const struct sl_event *event, struct sl_buf *out)
{
	begin_chunk(writer, event->choice, out);
	sl_buf_append_str(out, "{},\"logprobs\":{\"content\":");
	sl_buf_append(out, event->logprobs);
	sl_buf_append_str(out, ",\"refusal\":null}");
	end_chunk(out);
}

static void
write_end(const struct writer *writer, const struct sl_codec_caller *caller,
          const struct sl_event *event, struct sl_buf *out)
{
	struct sl_json_writer w;

	if (caller->wants_usage) {
		sl_buf_append(out, writer->head);
		sl_buf_append_str(out, "],");
		sl_json_writer_init(&w, out);
		sl_openai_put_usage(&w, event->usage);
		sl_buf_append_str(out, "}\n\n");
	}
	sl_buf_append_str(out, "data: [DONE]\n\n");
}

void
sl_openai_chat_write_event(void *context, const struct sl_codec_caller *caller,
                           const struct sl_event *event, struct sl_buf *out)
{
	struct writer *writer = context;

	switch (event->kind) {
	case SL_EVENT_START:
		writer->head = sl_openai_chunk_head(caller, id_prefix, "chat.completion.chunk", event);
		sl_buf_init(&writer->thought, DETAIL_MAX);
		write_role(writer, 0, out);
		break;
	case SL_EVENT_OPEN:
		on_open(writer, event, out);
		break;
	case SL_EVENT_DELTA:
		on_delta(writer, event, out);
		break;
	case SL_EVENT_SIGNATURE:
		write_signature(writer, event, out);
		break;
	case SL_EVENT_CITATION:
		write_citation(writer, caller, event, out);
		break;
	case SL_EVENT_LOGPROBS:
		write_logprobs(writer, event, out);
		break;
	case SL_EVENT_STOP:
		write_stop(writer, event, out);
		break;
	case SL_EVENT_PART:
		sl_codec_note_lost(caller);
		break;
	case SL_EVENT_PING:
		sl_buf_append_str(out, ": ping\n\n");
		break;
	case SL_EVENT_ERROR:
		sl_buf_append_str(out, "data: ");
		sl_openai_write_fault(event->fault, caller->request_id, out);
		sl_buf_append_str(out, "\n\n");
		break;
	case SL_EVENT_END:
		write_end(writer, caller, event, out);
		break;
	case SL_EVENT_USAGE:
	case SL_EVENT_CLOSE:
		break;
	}
}

void
sl_openai_chat_writer_release(void *context)
{
	struct writer *writer = context;

	sl_buf_release(&writer->thought);
}

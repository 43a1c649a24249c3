/* gemini_write.c - an answer for a caller of generateContent.
 *
 *   text, thought     a chunk for each delta
 *   call              one chunk, at its end: arguments are an object here
 *   STOP              held until the next event, so that the usage, which comes
 *                     behind it, stands in the last chunk as callers expect it
 *
 * There is no terminal frame; an array is closed by its bracket.
 */
#include "shapes/gemini.h"
#include "shapes/gemini_codec.h"

enum { ARGS_MAX = 16 * 1024 * 1024, CITATIONS_MAX = 1024 * 1024 };

static const char *
reason_of(enum sl_stop stop)
{
	switch (stop) {
	case SL_STOP_MAX_TOKENS:
	case SL_STOP_CONTEXT:
		return "MAX_TOKENS";
	case SL_STOP_FILTER:
	case SL_STOP_REFUSAL:
		return "SAFETY";
	case SL_STOP_RECITATION:
		return "RECITATION";
	case SL_STOP_BAD_TOOL:
		return "MALFORMED_FUNCTION_CALL";
	case SL_STOP_ERROR:
		return "OTHER";
	default:
		return "STOP";
	}
}

static void
put_usage(struct sl_json_writer *w, const struct sl_usage *usage)
{
	int64_t input = sl_usage_get(usage, SL_USAGE_INPUT);
	int64_t output = sl_usage_get(usage, SL_USAGE_OUTPUT);
	int64_t thought = sl_usage_get(usage, SL_USAGE_REASONING);

	if (!sl_usage_has(usage, SL_USAGE_INPUT) && !sl_usage_has(usage, SL_USAGE_OUTPUT))
		return;
	if (thought > output)
		thought = output;
	sl_json_key(w, "usageMetadata");
	sl_json_obj(w);
	sl_json_int(w, "promptTokenCount", input);
	if (sl_usage_has(usage, SL_USAGE_CACHE_READ))
		sl_json_int(w, "cachedContentTokenCount",
		            sl_usage_get(usage, SL_USAGE_CACHE_READ));
	sl_json_int(w, "candidatesTokenCount", output - thought);
	if (thought)
		sl_json_int(w, "thoughtsTokenCount", thought);
	sl_json_int(w, "totalTokenCount", input + output);
	sl_json_obj_end(w);
}

static void
drop(const struct sl_codec_caller *caller)
{
	if (caller->notes)
		sl_note(caller->notes, SL_NOTE_output_dropped, NULL);
}

static void
note_stop(const struct sl_codec_caller *caller, enum sl_stop stop)
{
	if (stop == SL_STOP_PAUSE && caller->notes)
		sl_note(caller->notes, SL_NOTE_stop_reason_changed, NULL);
}

/* --- parts ---------------------------------------------------------------------------- */

static void
put_text(struct sl_json_writer *w, struct sl_text text, bool thought, struct sl_slice signature)
{
	sl_json_obj(w);
	sl_json_key(w, "text");
	sl_text_put(w, sl_text_empty(text) ? sl_text_plain(SL_SLICE("")) : text);
	if (thought)
		sl_json_bool(w, "thought", true);
	if (signature.len)
		sl_json_str(w, "thoughtSignature", signature);
	sl_json_obj_end(w);
}

/* False: the arguments are no object and nothing was written. */
static bool
put_call(struct sl_json_writer *w, struct sl_slice id, struct sl_slice name, struct sl_slice args,
         struct sl_slice signature)
{
	args = sl_slice_trim(args);
	if (args.len == 0)
		args = SL_SLICE("{}");
	if (args.ptr[0] != '{' || sl_json_validate(args, NULL, NULL) != SL_OK)
		return false;
	sl_json_obj(w);
	sl_json_key(w, "functionCall");
	sl_json_obj(w);
	if (id.len)
		sl_json_str(w, "id", id);
	sl_json_str(w, "name", name);
	sl_json_key(w, "args");
	sl_json_put_raw(w, args);
	sl_json_obj_end(w);
	if (signature.len)
		sl_json_str(w, "thoughtSignature", signature);
	sl_json_obj_end(w);
	return true;
}

/* Whole blocks. False: the API has nothing like it. */
static bool
put_block(struct sl_json_writer *w, const struct sl_part *part)
{
	bool media = part->kind == SL_PART_IMAGE || part->kind == SL_PART_AUDIO ||
	             part->kind == SL_PART_VIDEO || part->kind == SL_PART_DOCUMENT;

	if (part->kind == SL_PART_OPAQUE && part->origin &&
	    sl_slice_is(sl_slice_str(part->origin), "gemini_generate")) {
		sl_json_put_raw(w, part->raw);
		return true;
	}
	if (!media || part->media.source != SL_MEDIA_INLINE)
		return false;
	sl_json_obj(w);
	sl_json_key(w, "inlineData");
	sl_json_obj(w);
	sl_json_str(w, "mimeType", part->media.type);
	sl_json_str(w, "data", part->media.data);
	sl_json_obj_end(w);
	sl_json_obj_end(w);
	return true;
}

static void
put_citation(struct sl_json_writer *w, const struct sl_citation *citation)
{
	sl_json_obj(w);
	if (citation->start >= 0)
		sl_json_int(w, "startIndex", citation->start);
	if (citation->end >= 0)
		sl_json_int(w, "endIndex", citation->end);
	if (citation->url.len)
		sl_json_str(w, "uri", citation->url);
	sl_json_obj_end(w);
}

static void
put_citations(struct sl_json_writer *w, struct sl_slice elements)
{
	if (elements.len == 0)
		return;
	sl_json_key(w, "citationMetadata");
	sl_json_obj(w);
	sl_json_key(w, "citationSources");
	sl_json_arr(w);
	sl_json_put_raw(w, elements);
	sl_json_arr_end(w);
	sl_json_obj_end(w);
}

static void
put_token(struct sl_json_writer *w, struct sl_json token)
{
	struct sl_json text = sl_json_get(token, "token"), value = sl_json_get(token, "logprob");

	sl_json_obj(w);
	sl_json_key(w, "token");
	sl_json_put_raw(w, text.type == SL_JSON_STRING ? text.raw : SL_SLICE("\"\""));
	sl_json_key(w, "logProbability");
	sl_json_put_raw(w, value.type == SL_JSON_NUMBER ? value.raw : SL_SLICE("0"));
	sl_json_obj_end(w);
}

/* From chat's logprobs.content. */
static void
put_logprobs(struct sl_json_writer *w, struct sl_slice raw)
{
	struct sl_json content = sl_json_parse(raw);

	if (content.type != SL_JSON_ARRAY)
		return;
	sl_json_key(w, "logprobsResult");
	sl_json_obj(w);
	sl_json_key(w, "chosenCandidates");
	sl_json_arr(w);
	for (struct sl_json_iter it = sl_json_iter(content); sl_json_next(&it);)
		put_token(w, it.value);
	sl_json_arr_end(w);
	sl_json_key(w, "topCandidates");
	sl_json_arr(w);
	for (struct sl_json_iter it = sl_json_iter(content); sl_json_next(&it);) {
		struct sl_json tops = sl_json_get(it.value, "top_logprobs");

		sl_json_obj(w);
		sl_json_key(w, "candidates");
		sl_json_arr(w);
		for (struct sl_json_iter of = sl_json_iter(tops);
		     tops.type == SL_JSON_ARRAY && sl_json_next(&of);)
			put_token(w, of.value);
		sl_json_arr_end(w);
		sl_json_obj_end(w);
	}
	sl_json_arr_end(w);
	sl_json_obj_end(w);
}

/* --- a stream ---------------------------------------------------------------------------- */

static void
begin_frame(struct sl_gemini_writer *writer, const struct sl_codec_caller *caller,
            struct sl_buf *out)
{
	if (caller->framing == SL_FRAMING_JSON_ARRAY)
		sl_buf_append_str(out, writer->began ? ",\r\n" : "[");
	else
		sl_buf_append_str(out, "data: ");
	writer->began = true;
}

static void
end_frame(const struct sl_codec_caller *caller, struct sl_buf *out)
{
	if (caller->framing != SL_FRAMING_JSON_ARRAY)
		sl_buf_append_str(out, "\n\n");
}

/* {"candidates":[{"content":{"parts":[ */
static void
begin_parts(struct sl_json_writer *w)
{
	sl_json_obj(w);
	sl_json_key(w, "candidates");
	sl_json_arr(w);
	sl_json_obj(w);
	sl_json_key(w, "content");
	sl_json_obj(w);
	sl_json_key(w, "parts");
	sl_json_arr(w);
}

static void
end_parts(struct sl_json_writer *w, int choice)
{
	sl_json_arr_end(w);
	sl_json_str(w, "role", SL_SLICE("model"));
	sl_json_obj_end(w);
	sl_json_int(w, "index", choice);
}

static void
end_response(struct sl_json_writer *w, struct sl_slice id, struct sl_slice model)
{
	sl_json_key(w, "modelVersion");
	sl_json_put_raw(w, model);
	sl_json_key(w, "responseId");
	sl_json_put_raw(w, id);
	sl_json_obj_end(w);
}

/* The open candidate and all around it. */
static void
end_chunk(struct sl_json_writer *w, const struct sl_gemini_writer *writer,
          const struct sl_codec_caller *caller, struct sl_buf *out)
{
	sl_json_obj_end(w);
	sl_json_arr_end(w);
	end_response(w, writer->id, writer->model);
	end_frame(caller, out);
}

/* As a JSON string on the caller's arena. */
static struct sl_slice
literal(struct sl_text text, struct sl_slice instead, struct sl_arena *arena)
{
	struct sl_buf buf;
	struct sl_slice copy;

	if (sl_text_empty(text))
		text = sl_text_plain(instead);
	if (text.json)
		return sl_arena_dup(arena, text.raw);
	sl_buf_init(&buf, 65536);
	sl_json_quote(&buf, text.raw);
	copy = buf.failed ? SL_SLICE("\"\"") : sl_arena_dup(arena, sl_buf_slice(&buf));
	sl_buf_release(&buf);
	return copy;
}

static void
on_start(struct sl_gemini_writer *writer, const struct sl_codec_caller *caller,
         const struct sl_event *event)
{
	writer->id = literal(event->id, caller->request_id, caller->arena);
	writer->model = literal(event->model, caller->model, caller->arena);
	sl_buf_init(&writer->args, ARGS_MAX);
	sl_buf_init(&writer->citations, CITATIONS_MAX);
}

static void
on_open(struct sl_gemini_writer *writer, const struct sl_codec_caller *caller,
        const struct sl_event *event, struct sl_buf *out)
{
	struct sl_slice utf8;

	if (event->block_kind != SL_PART_TOOL_CALL)
		return;
	if (writer->in_call) { /* calls of two alternatives at once: the first is kept */
		drop(caller);
		return;
	}
	writer->in_call = true;
	writer->call_choice = event->choice;
	sl_buf_clear(&writer->args);
	writer->signature = SL_SLICE_NONE;
	writer->call_id = writer->name = SL_SLICE_NONE;
	if (sl_text_utf8(event->id, caller->arena, &utf8))
		writer->call_id = sl_arena_dup(caller->arena, utf8);
	if (sl_text_utf8(event->name, caller->arena, &utf8))
		writer->name = sl_arena_dup(caller->arena, utf8);
	if (!writer->call_id.ptr || !writer->name.ptr)
		out->failed = true;
}

static void
on_delta(struct sl_gemini_writer *writer, const struct sl_codec_caller *caller,
         const struct sl_event *event, struct sl_buf *out)
{
	struct sl_json_writer w;

	if (event->block_kind == SL_PART_TOOL_CALL) {
		if (event->choice == writer->call_choice)
			sl_text_append(&writer->args, event->text);
		return;
	}
	begin_frame(writer, caller, out);
	sl_json_writer_init(&w, out);
	begin_parts(&w);
	put_text(&w, event->text, event->block_kind == SL_PART_REASONING, SL_SLICE_NONE);
	end_parts(&w, event->choice);
	end_chunk(&w, writer, caller, out);
}

static void
on_signature(struct sl_gemini_writer *writer, const struct sl_codec_caller *caller,
             const struct sl_event *event, struct sl_buf *out)
{
	struct sl_json_writer w;

	if (event->block_kind == SL_PART_TOOL_CALL) {
		if (event->choice == writer->call_choice)
			writer->signature = sl_arena_dup(caller->arena, event->signature);
		return;
	}
	begin_frame(writer, caller, out);
	sl_json_writer_init(&w, out);
	begin_parts(&w);
	put_text(&w, SL_TEXT_NONE, event->block_kind == SL_PART_REASONING, event->signature);
	end_parts(&w, event->choice);
	end_chunk(&w, writer, caller, out);
}

/* The arguments' text from its escaped pieces. */
static struct sl_slice
args_text(struct sl_gemini_writer *writer, struct sl_arena *arena)
{
	struct sl_slice text = SL_SLICE_NONE;

	if (writer->args.failed ||
	    !sl_json_unescape(sl_buf_slice(&writer->args), arena, &text))
		return SL_SLICE("!");
	return text;
}

static void
on_close(struct sl_gemini_writer *writer, const struct sl_codec_caller *caller,
         const struct sl_event *event, struct sl_buf *out)
{
	struct sl_arena scratch;
	struct sl_json_writer w;
	size_t start = out->len;
	bool began = writer->began;

	if (event->block_kind != SL_PART_TOOL_CALL || event->choice != writer->call_choice)
		return;
	writer->in_call = false;
	sl_arena_init(&scratch, 1024, 0);
	begin_frame(writer, caller, out);
	sl_json_writer_init(&w, out);
	begin_parts(&w);
	if (put_call(&w, writer->call_id, writer->name, args_text(writer, &scratch),
	             writer->signature)) {
		end_parts(&w, event->choice);
		end_chunk(&w, writer, caller, out);
	} else if (!out->failed) {
		out->len = start;
		writer->began = began;
		writer->bad_call = true;
		drop(caller);
	}
	sl_arena_release(&scratch);
}

static void
on_part(struct sl_gemini_writer *writer, const struct sl_codec_caller *caller,
        const struct sl_event *event, struct sl_buf *out)
{
	struct sl_json_writer w;
	size_t start = out->len;
	bool began = writer->began;

	begin_frame(writer, caller, out);
	sl_json_writer_init(&w, out);
	begin_parts(&w);
	if (put_block(&w, event->part)) {
		end_parts(&w, event->choice);
		end_chunk(&w, writer, caller, out);
	} else if (!out->failed) {
		out->len = start;
		writer->began = began;
		drop(caller);
	}
}

static void
on_citation(struct sl_gemini_writer *writer, const struct sl_event *event)
{
	struct sl_json_writer w;

	if (event->choice != 0)
		return;
	if (writer->citations.len)
		sl_buf_append_char(&writer->citations, ',');
	sl_json_writer_init(&w, &writer->citations);
	put_citation(&w, event->citation);
}

static void
on_logprobs(struct sl_gemini_writer *writer, const struct sl_codec_caller *caller,
            const struct sl_event *event, struct sl_buf *out)
{
	struct sl_json_writer w;

	begin_frame(writer, caller, out);
	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_key(&w, "candidates");
	sl_json_arr(&w);
	sl_json_obj(&w);
	sl_json_int(&w, "index", event->choice);
	put_logprobs(&w, event->logprobs);
	end_chunk(&w, writer, caller, out);
}

/* The chunk of a finishReason, and of the usage if it is the last one. */
static void
flush_stop(struct sl_gemini_writer *writer, const struct sl_codec_caller *caller,
           const struct sl_usage *usage, struct sl_buf *out)
{
	enum sl_stop stop = writer->stop;
	struct sl_json_writer w;

	if (!writer->stopped)
		return;
	writer->stopped = false;
	if (writer->bad_call && stop == SL_STOP_TOOL_CALLS)
		stop = SL_STOP_BAD_TOOL;
	note_stop(caller, stop);
	begin_frame(writer, caller, out);
	sl_json_writer_init(&w, out);
	begin_parts(&w);
	end_parts(&w, writer->choice);
	sl_json_str(&w, "finishReason", sl_slice_str(reason_of(stop)));
	if (writer->choice == 0 && !writer->citations.failed)
		put_citations(&w, sl_buf_slice(&writer->citations));
	sl_json_obj_end(&w);
	sl_json_arr_end(&w);
	if (usage)
		put_usage(&w, usage);
	end_response(&w, writer->id, writer->model);
	end_frame(caller, out);
}

static void
on_error(struct sl_gemini_writer *writer, const struct sl_codec_caller *caller,
         const struct sl_event *event, struct sl_buf *out)
{
	const struct sl_stream_state state = { .frames = writer->began ? 1 : 0 };

	sl_gemini_write_stream_fault(&state, event->fault, caller->request_id, caller->framing,
	                             out);
}

void
sl_gemini_write_event(void *context, const struct sl_codec_caller *caller,
                      const struct sl_event *event, struct sl_buf *out)
{
	struct sl_gemini_writer *writer = context;

	switch (event->kind) {
	case SL_EVENT_START:
		on_start(writer, caller, event);
		break;
	case SL_EVENT_OPEN:
		on_open(writer, caller, event, out);
		break;
	case SL_EVENT_DELTA:
		on_delta(writer, caller, event, out);
		break;
	case SL_EVENT_SIGNATURE:
		on_signature(writer, caller, event, out);
		break;
	case SL_EVENT_CITATION:
		on_citation(writer, event);
		break;
	case SL_EVENT_LOGPROBS:
		on_logprobs(writer, caller, event, out);
		break;
	case SL_EVENT_CLOSE:
		on_close(writer, caller, event, out);
		break;
	case SL_EVENT_PART:
		on_part(writer, caller, event, out);
		break;
	case SL_EVENT_USAGE:
		break; /* the last one comes with END */
	case SL_EVENT_PING:
		break; /* the SDKs take a comment for an answer that is no JSON */
	case SL_EVENT_STOP:
		flush_stop(writer, caller, NULL, out);
		writer->stopped = true;
		writer->choice = event->choice;
		writer->stop = event->stop;
		break;
	case SL_EVENT_ERROR:
		on_error(writer, caller, event, out);
		break;
	case SL_EVENT_END:
		flush_stop(writer, caller, event->usage, out);
		if (caller->framing == SL_FRAMING_JSON_ARRAY)
			sl_buf_append_str(out, "]\r\n");
		break;
	}
}

void
sl_gemini_writer_release(void *context)
{
	struct sl_gemini_writer *writer = context;

	sl_buf_release(&writer->args);
	sl_buf_release(&writer->citations);
}

/* --- a whole reply ------------------------------------------------------------------------- */

static bool
put_part(struct sl_json_writer *w, const struct sl_part *part)
{
	switch (part->kind) {
	case SL_PART_TEXT:
	case SL_PART_REFUSAL:
		put_text(w, part->text, false, part->signature);
		return true;
	case SL_PART_REASONING:
		put_text(w, part->text, true, part->signature);
		return true;
	case SL_PART_TOOL_CALL:
		return put_call(w, part->call_id, part->name, part->args, part->signature);
	default:
		return put_block(w, part);
	}
}

static void
put_all_citations(struct sl_json_writer *w, const struct sl_alternative *choice)
{
	bool any = false;

	for (const struct sl_part *part = choice->parts; part; part = part->next)
		for (const struct sl_citation *c = part->citations; c; c = c->next) {
			if (!any) {
				sl_json_key(w, "citationMetadata");
				sl_json_obj(w);
				sl_json_key(w, "citationSources");
				sl_json_arr(w);
			}
			any = true;
			put_citation(w, c);
		}
	if (any) {
		sl_json_arr_end(w);
		sl_json_obj_end(w);
	}
}

static void
put_choice(struct sl_json_writer *w, const struct sl_alternative *choice, size_t index,
           const struct sl_codec_caller *caller)
{
	enum sl_stop stop = choice->stop;

	sl_json_obj(w);
	sl_json_key(w, "content");
	sl_json_obj(w);
	sl_json_key(w, "parts");
	sl_json_arr(w);
	for (const struct sl_part *part = choice->parts; part; part = part->next) {
		if (put_part(w, part))
			continue;
		drop(caller);
		if (part->kind == SL_PART_TOOL_CALL && stop == SL_STOP_TOOL_CALLS)
			stop = SL_STOP_BAD_TOOL;
	}
	end_parts(w, (int)index);
	note_stop(caller, stop);
	sl_json_str(w, "finishReason", sl_slice_str(reason_of(stop)));
	if (index == 0)
		put_all_citations(w, choice);
	if (choice->logprobs.len)
		put_logprobs(w, choice->logprobs);
	sl_json_obj_end(w);
}

void
sl_gemini_write_whole(const struct sl_completion *answer, const struct sl_codec_caller *caller,
                      struct sl_buf *out)
{
	struct sl_json_writer w;

	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_key(&w, "candidates");
	sl_json_arr(&w);
	for (size_t i = 0; i < answer->choice_count; i++)
		put_choice(&w, &answer->choices[i], i, caller);
	sl_json_arr_end(&w);
	put_usage(&w, &answer->usage);
	end_response(&w, literal(answer->id, caller->request_id, caller->arena),
	             literal(answer->model, caller->model, caller->arena));
}

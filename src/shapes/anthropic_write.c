/* anthropic_write.c - an answer as POST /v1/messages gives it.
 *
 *   message_start (content_block_start delta* content_block_stop)* message_delta
 *   message_stop, or `error` anywhere and nothing behind it
 *
 * Usage is known at the end with most providers: message_start says what is known
 * then, the one message_delta the final figures. SDKs skip events without their
 * `event:` line.
 */
#include "shapes/anthropic.h"
#include "shapes/anthropic_codec.h"

struct writer {
	int            index;  /* of the next content block */
	enum sl_stop   stop;
	struct sl_text sequence; /* on the caller's arena */
};
_Static_assert(sizeof(struct writer) <= SL_ANTHROPIC_WRITER_SIZE, "writer fits");

static const char *
stop_word(enum sl_stop stop)
{
	switch (stop) {
	case SL_STOP_SEQUENCE:
		return "stop_sequence";
	case SL_STOP_MAX_TOKENS:
		return "max_tokens";
	case SL_STOP_CONTEXT:
		return "model_context_window_exceeded";
	case SL_STOP_TOOL_CALLS:
		return "tool_use";
	case SL_STOP_FILTER:
	case SL_STOP_RECITATION:
	case SL_STOP_REFUSAL:
		return "refusal";
	case SL_STOP_PAUSE:
		return "pause_turn";
	default:
		return "end_turn";
	}
}

static void
put_null(struct sl_json_writer *w, const char *key)
{
	sl_json_key(w, key);
	sl_json_put_null(w);
}

/* input_tokens of this API are those that no cache took part in. */
static void
put_usage(struct sl_json_writer *w, const struct sl_usage *usage)
{
	int64_t read = sl_usage_get(usage, SL_USAGE_CACHE_READ);
	int64_t write = sl_usage_get(usage, SL_USAGE_CACHE_WRITE);
	int64_t fresh = sl_usage_get(usage, SL_USAGE_INPUT) - read - write;

	sl_json_key(w, "usage");
	sl_json_obj(w);
	sl_json_int(w, "input_tokens", fresh > 0 ? fresh : 0);
	sl_json_int(w, "cache_creation_input_tokens", write);
	sl_json_int(w, "cache_read_input_tokens", read);
	sl_json_int(w, "output_tokens", sl_usage_get(usage, SL_USAGE_OUTPUT));
	if (sl_usage_has(usage, SL_USAGE_REASONING)) {
		sl_json_key(w, "output_tokens_details");
		sl_json_obj(w);
		sl_json_int(w, "thinking_tokens", sl_usage_get(usage, SL_USAGE_REASONING));
		sl_json_obj_end(w);
	}
	sl_json_obj_end(w);
}

static void
put_stop(struct sl_json_writer *w, enum sl_stop stop, struct sl_text sequence)
{
	sl_json_str(w, "stop_reason", sl_slice_str(stop_word(stop)));
	sl_json_key(w, "stop_sequence");
	if (stop == SL_STOP_SEQUENCE && !sl_text_empty(sequence))
		sl_text_put(w, sequence);
	else
		sl_json_put_null(w);
}

static void
put_head(struct sl_json_writer *w, const struct sl_codec_caller *caller, struct sl_text id,
         struct sl_text model)
{
	sl_codec_put_id(w, caller, "msg_", id);
	sl_json_str(w, "type", SL_SLICE("message"));
	sl_json_str(w, "role", SL_SLICE("assistant"));
	sl_codec_put_model(w, caller, model);
}

/* --- a whole message ------------------------------------------------------------------- */

static void
put_citations(struct sl_json_writer *w, const struct sl_citation *citation,
              const struct sl_codec_caller *caller)
{
	bool any = false;

	for (const struct sl_citation *at = citation; at; at = at->next)
		any = any || strcmp(at->origin, "anthropic_messages") == 0;
	if (citation && !any)
		sl_codec_note_lost(caller);
	if (!any)
		return;
	sl_json_key(w, "citations");
	sl_json_arr(w);
	for (; citation; citation = citation->next)
		if (strcmp(citation->origin, "anthropic_messages") == 0)
			sl_json_put_raw(w, citation->raw);
	sl_json_arr_end(w);
}

static void
put_text_or_empty(struct sl_json_writer *w, const char *key, struct sl_text text)
{
	sl_json_key(w, key);
	if (sl_text_empty(text))
		sl_json_put_raw(w, SL_SLICE("\"\""));
	else
		sl_text_put(w, text);
}

static void
put_args(struct sl_json_writer *w, const struct sl_part *part)
{
	sl_json_key(w, "input");
	if (!part->custom && part->args.len && part->args.ptr[0] == '{' &&
	    sl_json_validate(part->args, NULL, NULL) == SL_OK) {
		sl_json_put_raw(w, part->args);
		return;
	}
	/* Cut off at the limit, or free-form. */
	sl_json_obj(w);
	if (part->args.len)
		sl_json_str(w, "input", part->args);
	sl_json_obj_end(w);
}

static void
put_block(struct sl_json_writer *w, const struct sl_part *part,
          const struct sl_codec_caller *caller)
{
	switch (part->kind) {
	case SL_PART_TEXT:
	case SL_PART_REFUSAL:
		sl_json_obj(w);
		sl_json_str(w, "type", SL_SLICE("text"));
		put_text_or_empty(w, "text", part->text);
		put_citations(w, part->citations, caller);
		sl_json_obj_end(w);
		break;
	case SL_PART_REASONING:
		sl_json_obj(w);
		sl_json_str(w, "type", part->redacted ? SL_SLICE("redacted_thinking")
		                                      : SL_SLICE("thinking"));
		if (!part->redacted)
			put_text_or_empty(w, "thinking", part->text);
		sl_json_str(w, part->redacted ? "data" : "signature", part->signature);
		sl_json_obj_end(w);
		break;
	case SL_PART_TOOL_CALL:
		sl_json_obj(w);
		sl_json_str(w, "type", SL_SLICE("tool_use"));
		sl_json_str(w, "id", part->call_id);
		sl_json_str(w, "name", part->name);
		put_args(w, part);
		sl_json_obj_end(w);
		break;
	case SL_PART_OPAQUE:
		if (strcmp(part->origin, "anthropic_messages") == 0) {
			sl_json_put_raw(w, part->raw);
			break;
		}
		/* fallthrough */
	default:
		sl_codec_note_lost(caller);
		break;
	}
}

void
sl_anthropic_write_whole(const struct sl_completion *answer, const struct sl_codec_caller *caller,
                         struct sl_buf *out)
{
	static const struct sl_alternative nothing;
	const struct sl_alternative *choice = answer->choice_count ? &answer->choices[0] : &nothing;
	struct sl_json_writer w;

	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	put_head(&w, caller, answer->id, answer->model);
	sl_json_key(&w, "content");
	sl_json_arr(&w);
	for (const struct sl_part *part = choice->parts; part; part = part->next)
		put_block(&w, part, caller);
	sl_json_arr_end(&w);
	put_stop(&w, choice->stop, choice->stop_sequence);
	put_usage(&w, &answer->usage);
	sl_json_obj_end(&w);
}

/* --- events ------------------------------------------------------------------------------ */

static void
begin(struct sl_json_writer *w, struct sl_buf *out, const char *name)
{
	sl_buf_append_str(out, "event: ");
	sl_buf_append_str(out, name);
	sl_buf_append_str(out, "\ndata: ");
	sl_json_writer_init(w, out);
	sl_json_obj(w);
	sl_json_str(w, "type", sl_slice_str(name));
}

static void
end(struct sl_json_writer *w, struct sl_buf *out)
{
	sl_json_obj_end(w);
	sl_buf_append_str(out, "\n\n");
}

static void
write_start(const struct sl_codec_caller *caller, const struct sl_event *event,
            struct sl_buf *out)
{
	struct sl_json_writer w;

	begin(&w, out, "message_start");
	sl_json_key(&w, "message");
	sl_json_obj(&w);
	put_head(&w, caller, event->id, event->model);
	sl_json_key(&w, "content");
	sl_json_put_raw(&w, SL_SLICE("[]"));
	put_null(&w, "stop_reason");
	put_null(&w, "stop_sequence");
	put_usage(&w, event->usage);
	sl_json_obj_end(&w);
	end(&w, out);
}

static void
write_block_start(const struct writer *writer, const struct sl_event *event, struct sl_buf *out)
{
	struct sl_json_writer w;

	begin(&w, out, "content_block_start");
	sl_json_int(&w, "index", writer->index);
	sl_json_key(&w, "content_block");
	if (event->block_kind == SL_PART_REASONING) {
		sl_json_put_raw(&w, SL_SLICE("{\"type\":\"thinking\",\"thinking\":\"\","
		                             "\"signature\":\"\"}"));
	} else if (event->block_kind == SL_PART_TOOL_CALL) {
		sl_json_obj(&w);
		sl_json_str(&w, "type", SL_SLICE("tool_use"));
		sl_json_key(&w, "id");
		sl_text_put(&w, event->id);
		sl_json_key(&w, "name");
		sl_text_put(&w, event->name);
		sl_json_key(&w, "input");
		sl_json_put_raw(&w, SL_SLICE("{}"));
		sl_json_obj_end(&w);
	} else {
		sl_json_put_raw(&w, SL_SLICE("{\"type\":\"text\",\"text\":\"\"}"));
	}
	end(&w, out);
}

static void
write_delta(const struct writer *writer, const char *type, const char *member,
            struct sl_text text, struct sl_buf *out)
{
	struct sl_json_writer w;

	begin(&w, out, "content_block_delta");
	sl_json_int(&w, "index", writer->index);
	sl_json_key(&w, "delta");
	sl_json_obj(&w);
	sl_json_str(&w, "type", sl_slice_str(type));
	sl_json_key(&w, member);
	sl_text_put(&w, text);
	sl_json_obj_end(&w);
	end(&w, out);
}

static void
write_block_stop(struct writer *writer, struct sl_buf *out)
{
	struct sl_json_writer w;

	begin(&w, out, "content_block_stop");
	sl_json_int(&w, "index", writer->index++);
	end(&w, out);
}

/* Blocks that come as a whole: a start that says all, and a stop. */
static void
write_whole_block(struct writer *writer, struct sl_slice raw, struct sl_buf *out)
{
	struct sl_json_writer w;

	begin(&w, out, "content_block_start");
	sl_json_int(&w, "index", writer->index);
	sl_json_key(&w, "content_block");
	sl_json_put_raw(&w, raw);
	end(&w, out);
	write_block_stop(writer, out);
}

static void
write_redacted(struct writer *writer, const struct sl_codec_caller *caller,
               struct sl_slice data, struct sl_buf *out)
{
	struct sl_json_writer w;
	struct sl_buf block;

	(void)caller;
	sl_buf_init(&block, data.len * 2 + 128);
	sl_json_writer_init(&w, &block);
	sl_json_obj(&w);
	sl_json_str(&w, "type", SL_SLICE("redacted_thinking"));
	sl_json_str(&w, "data", data);
	sl_json_obj_end(&w);
	if (block.failed)
		out->failed = true;
	else
		write_whole_block(writer, sl_buf_slice(&block), out);
	sl_buf_release(&block);
}

/* The arguments of a free-form call are a text; here they are {"input": text}. */
static const struct sl_text custom_before = { SL_SLICE_INIT("\"{\\\"input\\\":\\\"\""), true };
static const struct sl_text custom_behind = { SL_SLICE_INIT("\"\\\"}\""), true };

static struct sl_text
quoted_again(struct sl_text text, struct sl_buf *escaped)
{
	struct sl_buf once;

	sl_buf_init(&once, escaped->max_size);
	sl_text_append(&once, text);
	sl_json_quote(escaped, sl_buf_slice(&once));
	sl_buf_release(&once);
	return (struct sl_text){ sl_buf_slice(escaped), true };
}

static void
write_piece(const struct writer *writer, const struct sl_event *event, struct sl_buf *out)
{
	struct sl_buf escaped;

	if (event->block_kind == SL_PART_REASONING) {
		write_delta(writer, "thinking_delta", "thinking", event->text, out);
	} else if (event->block_kind != SL_PART_TOOL_CALL) {
		write_delta(writer, "text_delta", "text", event->text, out);
	} else if (!event->custom) {
		write_delta(writer, "input_json_delta", "partial_json", event->text, out);
	} else {
		sl_buf_init(&escaped, event->text.raw.len * 12 + 16);
		write_delta(writer, "input_json_delta", "partial_json",
		            quoted_again(event->text, &escaped), out);
		sl_buf_release(&escaped);
	}
}

static void
write_citation(const struct writer *writer, const struct sl_codec_caller *caller,
               const struct sl_citation *citation, struct sl_buf *out)
{
	struct sl_json_writer w;

	if (strcmp(citation->origin, "anthropic_messages") != 0) {
		sl_codec_note_lost(caller);
		return;
	}
	begin(&w, out, "content_block_delta");
	sl_json_int(&w, "index", writer->index);
	sl_json_key(&w, "delta");
	sl_json_obj(&w);
	sl_json_str(&w, "type", SL_SLICE("citations_delta"));
	sl_json_key(&w, "citation");
	sl_json_put_raw(&w, citation->raw);
	sl_json_obj_end(&w);
	end(&w, out);
}

static void
write_end(const struct writer *writer, const struct sl_event *event, struct sl_buf *out)
{
	struct sl_json_writer w;

	begin(&w, out, "message_delta");
	sl_json_key(&w, "delta");
	sl_json_obj(&w);
	put_stop(&w, writer->stop, writer->sequence);
	sl_json_obj_end(&w);
	put_usage(&w, event->usage);
	end(&w, out);
	begin(&w, out, "message_stop");
	end(&w, out);
}

static void
on_block(struct writer *writer, const struct sl_codec_caller *caller,
         const struct sl_event *event, struct sl_buf *out)
{
	bool custom = event->block_kind == SL_PART_TOOL_CALL && event->custom;

	/* A thought that cannot be read comes as a whole, with its signature. */
	if (event->redacted) {
		if (event->kind == SL_EVENT_SIGNATURE)
			write_redacted(writer, caller, event->signature, out);
		return;
	}
	switch (event->kind) {
	case SL_EVENT_OPEN:
		write_block_start(writer, event, out);
		if (custom)
			write_delta(writer, "input_json_delta", "partial_json", custom_before, out);
		break;
	case SL_EVENT_DELTA:
		write_piece(writer, event, out);
		break;
	case SL_EVENT_SIGNATURE:
		if (event->block_kind == SL_PART_REASONING)
			write_delta(writer, "signature_delta", "signature",
			            sl_text_plain(event->signature), out);
		break;
	case SL_EVENT_CITATION:
		write_citation(writer, caller, event->citation, out);
		break;
	case SL_EVENT_CLOSE:
		if (custom)
			write_delta(writer, "input_json_delta", "partial_json", custom_behind, out);
		write_block_stop(writer, out);
		break;
	default:
		break;
	}
}

void
sl_anthropic_write_event(void *context, const struct sl_codec_caller *caller,
                         const struct sl_event *event, struct sl_buf *out)
{
	struct writer *writer = context;

	/* This API has one answer to a request. */
	if (event->choice > 0)
		return;
	switch (event->kind) {
	case SL_EVENT_START:
		write_start(caller, event, out);
		break;
	case SL_EVENT_PART:
		if (event->part->kind == SL_PART_OPAQUE &&
		    strcmp(event->part->origin, "anthropic_messages") == 0)
			write_whole_block(writer, event->part->raw, out);
		else
			sl_codec_note_lost(caller);
		break;
	case SL_EVENT_STOP:
		writer->stop = event->stop;
		writer->sequence = event->stop_sequence;
		break;
	case SL_EVENT_PING:
		sl_buf_append_str(out, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
		break;
	case SL_EVENT_ERROR:
		sl_buf_append_str(out, "event: error\ndata: ");
		sl_anthropic_write_fault(event->fault, caller->request_id, out);
		sl_buf_append_str(out, "\n\n");
		break;
	case SL_EVENT_END:
		write_end(writer, event, out);
		break;
	case SL_EVENT_USAGE:
	case SL_EVENT_LOGPROBS:
		break;
	default:
		on_block(writer, caller, event, out);
		break;
	}
}

/* bedrock_write.c - an answer as Converse and ConverseStream give it.
 *
 *   messageStart (contentBlockStart? contentBlockDelta* contentBlockStop)*
 *   messageStop metadata, or an exception and nothing behind it
 *
 * Only calls have a contentBlockStart. Each event is one message of the binary event
 * stream, whose payload is made in a small buffer first because its length and
 * checksums stand around it.
 */
#include "base/eventstream.h"
#include "shapes/bedrock.h"
#include "shapes/bedrock_codec.h"

enum { PAYLOAD_MAX = 20 * 1024 * 1024 };

struct writer {
	int            index; /* of the next content block */
	enum sl_stop   stop;
	bool           opened; /* the open block has something in the stream */
};
_Static_assert(sizeof(struct writer) <= SL_BEDROCK_WRITER_SIZE, "writer fits");

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
		return "content_filtered";
	case SL_STOP_BAD_TOOL:
		return "malformed_tool_use";
	default:
		return "end_turn";
	}
}

/* inputTokens of this API are those that no cache took part in. */
static void
put_usage(struct sl_json_writer *w, const struct sl_usage *usage)
{
	int64_t read = sl_usage_get(usage, SL_USAGE_CACHE_READ);
	int64_t write = sl_usage_get(usage, SL_USAGE_CACHE_WRITE);
	int64_t input = sl_usage_get(usage, SL_USAGE_INPUT);
	int64_t output = sl_usage_get(usage, SL_USAGE_OUTPUT), total;

	sl_json_key(w, "usage");
	sl_json_obj(w);
	sl_json_int(w, "inputTokens", input > read + write ? input - read - write : 0);
	sl_json_int(w, "outputTokens", output);
	if (__builtin_add_overflow(input, output, &total))
		total = INT64_MAX;
	sl_json_int(w, "totalTokens", total);
	if (sl_usage_has(usage, SL_USAGE_CACHE_READ))
		sl_json_int(w, "cacheReadInputTokens", read);
	if (sl_usage_has(usage, SL_USAGE_CACHE_WRITE))
		sl_json_int(w, "cacheWriteInputTokens", write);
	sl_json_obj_end(w);
}

/* The time it took is the caller's to measure; the member is required. */
static void
put_metrics(struct sl_json_writer *w)
{
	sl_json_key(w, "metrics");
	sl_json_put_raw(w, SL_SLICE("{\"latencyMs\":0}"));
}

static void
put_text(struct sl_json_writer *w, const char *key, struct sl_text text)
{
	sl_json_key(w, key);
	if (sl_text_empty(text))
		sl_json_put_raw(w, SL_SLICE("\"\""));
	else
		sl_text_put(w, text);
}

/* --- a whole answer ------------------------------------------------------------------ */

static void
put_call(struct sl_json_writer *w, const struct sl_part *part)
{
	sl_json_key(w, "toolUse");
	sl_json_obj(w);
	sl_json_str(w, "toolUseId", part->call_id);
	sl_json_str(w, "name", part->name);
	sl_json_key(w, "input");
	if (!part->custom && part->args.len && part->args.ptr[0] == '{' &&
	    sl_json_validate(part->args, NULL, NULL) == SL_OK) {
		sl_json_put_raw(w, part->args);
	} else {
		/* Cut off at the limit, or free-form. */
		sl_json_obj(w);
		if (part->args.len)
			sl_json_str(w, "input", part->args);
		sl_json_obj_end(w);
	}
	sl_json_obj_end(w);
}

static void
put_reasoning(struct sl_json_writer *w, const struct sl_part *part)
{
	sl_json_key(w, "reasoningContent");
	sl_json_obj(w);
	if (part->redacted) {
		sl_json_str(w, "redactedContent", part->signature);
	} else {
		sl_json_key(w, "reasoningText");
		sl_json_obj(w);
		put_text(w, "text", part->text);
		if (part->signature.len)
			sl_json_str(w, "signature", part->signature);
		sl_json_obj_end(w);
	}
	sl_json_obj_end(w);
}

static void
put_block(struct sl_json_writer *w, const struct sl_part *part,
          const struct sl_codec_caller *caller)
{
	bool own = part->kind == SL_PART_OPAQUE && strcmp(part->origin, "bedrock_converse") == 0;

	if (own) {
		sl_json_put_raw(w, part->raw);
		return;
	}
	if (part->kind != SL_PART_TEXT && part->kind != SL_PART_REFUSAL &&
	    part->kind != SL_PART_TOOL_CALL && part->kind != SL_PART_REASONING) {
		sl_codec_note_lost(caller);
		return;
	}
	sl_json_obj(w);
	if (part->kind == SL_PART_TOOL_CALL)
		put_call(w, part);
	else if (part->kind == SL_PART_REASONING)
		put_reasoning(w, part);
	else
		put_text(w, "text", part->text);
	if (part->citations)
		sl_codec_note_lost(caller);
	sl_json_obj_end(w);
}

void
sl_bedrock_write_whole(const struct sl_completion *answer, const struct sl_codec_caller *caller,
                       struct sl_buf *out)
{
	static const struct sl_alternative nothing;
	const struct sl_alternative *choice = answer->choice_count ? &answer->choices[0] : &nothing;
	struct sl_json_writer w;

	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_key(&w, "output");
	sl_json_obj(&w);
	sl_json_key(&w, "message");
	sl_json_obj(&w);
	sl_json_str(&w, "role", SL_SLICE("assistant"));
	sl_json_key(&w, "content");
	sl_json_arr(&w);
	for (const struct sl_part *part = choice->parts; part; part = part->next)
		put_block(&w, part, caller);
	sl_json_arr_end(&w);
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
	sl_json_str(&w, "stopReason", sl_slice_str(stop_word(choice->stop)));
	put_usage(&w, &answer->usage);
	put_metrics(&w);
	sl_json_obj_end(&w);
}

/* --- events -------------------------------------------------------------------------- */

static void
begin(struct sl_json_writer *w, struct sl_buf *payload)
{
	sl_buf_init(payload, PAYLOAD_MAX);
	sl_json_writer_init(w, payload);
	sl_json_obj(w);
}

static void
end(struct sl_json_writer *w, const char *type, struct sl_buf *payload, struct sl_buf *out)
{
	sl_json_obj_end(w);
	if (payload->failed ||
	    sl_event_write(out, SL_SLICE("event"), sl_slice_str(type),
	                   SL_SLICE("application/json"), sl_buf_slice(payload)) != SL_OK)
		out->failed = true;
	sl_buf_release(payload);
}

static void
write_start(struct sl_buf *out)
{
	struct sl_json_writer w;
	struct sl_buf payload;

	begin(&w, &payload);
	sl_json_str(&w, "role", SL_SLICE("assistant"));
	end(&w, "messageStart", &payload, out);
}

static void
write_call_start(const struct writer *writer, const struct sl_event *event, struct sl_buf *out)
{
	struct sl_json_writer w;
	struct sl_buf payload;

	begin(&w, &payload);
	sl_json_int(&w, "contentBlockIndex", writer->index);
	sl_json_key(&w, "start");
	sl_json_obj(&w);
	sl_json_key(&w, "toolUse");
	sl_json_obj(&w);
	put_text(&w, "toolUseId", event->id);
	put_text(&w, "name", event->name);
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
	end(&w, "contentBlockStart", &payload, out);
}

/* outer: NULL, or the member that holds `member`. */
static void
write_delta(struct writer *writer, const char *outer, const char *member, struct sl_text text,
            struct sl_buf *out)
{
	struct sl_json_writer w;
	struct sl_buf payload;

	begin(&w, &payload);
	sl_json_int(&w, "contentBlockIndex", writer->index);
	sl_json_key(&w, "delta");
	sl_json_obj(&w);
	if (outer) {
		sl_json_key(&w, outer);
		sl_json_obj(&w);
	}
	put_text(&w, member, text);
	if (outer)
		sl_json_obj_end(&w);
	sl_json_obj_end(&w);
	end(&w, "contentBlockDelta", &payload, out);
	writer->opened = true;
}

static void
write_stop(struct writer *writer, struct sl_buf *out)
{
	struct sl_json_writer w;
	struct sl_buf payload;

	begin(&w, &payload);
	sl_json_int(&w, "contentBlockIndex", writer->index++);
	end(&w, "contentBlockStop", &payload, out);
}

static void
write_end(const struct writer *writer, const struct sl_event *event, struct sl_buf *out)
{
	struct sl_json_writer w;
	struct sl_buf payload;

	begin(&w, &payload);
	sl_json_str(&w, "stopReason", sl_slice_str(stop_word(writer->stop)));
	end(&w, "messageStop", &payload, out);
	begin(&w, &payload);
	put_usage(&w, event->usage);
	put_metrics(&w);
	end(&w, "metadata", &payload, out);
}

static void
write_piece(struct writer *writer, const struct sl_event *event, struct sl_buf *out)
{
	if (event->block_kind == SL_PART_TOOL_CALL)
		write_delta(writer, "toolUse", "input", event->text, out);
	else if (event->block_kind == SL_PART_REASONING)
		write_delta(writer, "reasoningContent", "text", event->text, out);
	else
		write_delta(writer, NULL, "text", event->text, out);
}

static void
write_signature(struct writer *writer, const struct sl_event *event, struct sl_buf *out)
{
	if (event->block_kind == SL_PART_REASONING)
		write_delta(writer, "reasoningContent",
		            event->redacted ? "redactedContent" : "signature",
		            sl_text_plain(event->signature), out);
}

void
sl_bedrock_write_event(void *context, const struct sl_codec_caller *caller,
                       const struct sl_event *event, struct sl_buf *out)
{
	struct writer *writer = context;

	switch (event->kind) {
	case SL_EVENT_START:
		write_start(out);
		break;
	case SL_EVENT_OPEN:
		writer->opened = event->block_kind == SL_PART_TOOL_CALL;
		if (writer->opened)
			write_call_start(writer, event, out);
		break;
	case SL_EVENT_DELTA:
		write_piece(writer, event, out);
		break;
	case SL_EVENT_SIGNATURE:
		write_signature(writer, event, out);
		break;
	case SL_EVENT_CLOSE:
		/* A block of which nothing was said does not exist here. */
		if (writer->opened)
			write_stop(writer, out);
		break;
	case SL_EVENT_STOP:
		writer->stop = event->stop;
		break;
	case SL_EVENT_END:
		write_end(writer, event, out);
		break;
	case SL_EVENT_ERROR:
		sl_bedrock_write_exception(event->fault, out);
		break;
	case SL_EVENT_CITATION:
	case SL_EVENT_PART:
	case SL_EVENT_LOGPROBS:
		sl_codec_note_lost(caller);
		break;
	case SL_EVENT_USAGE:
	case SL_EVENT_PING:
		break;
	}
}

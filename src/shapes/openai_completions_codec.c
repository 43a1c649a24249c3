/* openai_completions_codec.c - POST /v1/completions of callers, for providers of chat.
 *
 * One way only: the prompt becomes what a user says, the answer's text is all that
 * comes back. The API's own limit of 16 tokens holds where the caller gives none.
 */
#include "shapes/openai.h"
#include "shapes/openai_chat_codec.h"

#define NAME(text) SL_SLICE_INIT(text)
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static const char id_prefix[] = "cmpl-", object[] = "text_completion";

struct writer {
	struct sl_slice head; /* of every chunk, on the caller's arena */
};

/* --- the request ---------------------------------------------------------------------- */

static bool
decode_prompt(struct sl_dialog *dialog, struct sl_json prompt, const struct sl_where *where,
              struct sl_fault *fault)
{
	struct sl_json_iter it = sl_json_iter(prompt);
	struct sl_turn *turn;

	if (prompt.type == SL_JSON_ARRAY && sl_json_next(&it)) {
		struct sl_json first = it.value;

		if (sl_json_next(&it))
			return sl_codec_refuse(fault, SL_FAULT_UNSUPPORTED, dialog, where,
			                       "this model takes one prompt at a time, as text.");
		prompt = first;
	}
	if (prompt.type != SL_JSON_STRING)
		return sl_codec_refuse(fault, SL_FAULT_UNSUPPORTED, dialog, where,
		                       "this model takes a prompt as text, not as tokens.");
	turn = sl_dialog_turn(dialog, SL_ROLE_USER, *where);
	sl_turn_part(dialog, turn, SL_PART_TEXT, *where)->text = sl_text_json(prompt);
	return true;
}

static bool
decode(const struct sl_codec_input *in, struct sl_dialog *out, struct sl_fault *fault)
{
	static const struct sl_slice silent[] = { NAME("model"), NAME("nexus"), NAME("stoPayload"),
		                                  NAME("stream") };
	static const struct sl_codec_param refused[] = {
		{ NAME("suffix"), SL_PARAM_SUFFIX }, { NAME("echo"), SL_PARAM_ECHO },
	};
	struct sl_json_iter it = sl_json_iter(sl_json_parse(in->input->body));
	int64_t best_of;

	sl_dialog_init(out, "openai_completions", out->arena);
	while (sl_json_next(&it)) {
		struct sl_slice key = sl_codec_key(it.key, out->arena);
		struct sl_where where = sl_where_member(NULL, key);

		if (sl_slice_is(key, "prompt")) {
			if (!decode_prompt(out, it.value, sl_dialog_where(out, where), fault))
				return false;
		} else if (sl_slice_is(key, "stream_options")) {
			out->wants_usage = sl_json_true(sl_json_get(it.value, "include_usage"));
		} else if (sl_slice_is(key, "max_tokens")) {
			sl_dialog_param(out, SL_PARAM_MAX_TOKENS, it.value, where);
		} else if (sl_slice_is(key, "logprobs")) {
			sl_dialog_param(out, SL_PARAM_LOGPROBS, it.value, where);
		} else if (sl_slice_is(key, "best_of")) {
			if (!sl_json_i64(it.value, &best_of) || best_of != 1)
				sl_dialog_param(out, SL_PARAM_BEST_OF, it.value, where);
		} else if (sl_codec_find(key, silent, COUNT(silent)) < 0 &&
		           !sl_openai_take_common(out, key, it.value, where) &&
		           !sl_codec_says_nothing(it.value) &&
		           !sl_codec_take_param(out, refused, COUNT(refused), key, it.value,
		                                where)) {
			sl_dialog_extra(out, where, key, it.value.raw);
		}
	}
	if (!sl_dialog_has(out, SL_PARAM_MAX_TOKENS))
		sl_dialog_param(out, SL_PARAM_MAX_TOKENS,
		                (struct sl_json){ SL_JSON_NUMBER, SL_SLICE("16") },
		                sl_where_member(NULL, SL_SLICE("max_tokens")));
	return !out->failed || sl_codec_refuse(fault, SL_FAULT_OVERLOADED, out, NULL,
	                                       "The gateway is out of memory.");
}

/* --- the answer ------------------------------------------------------------------------- */

static void
put_choice(struct sl_json_writer *w, int64_t index, struct sl_text text, const char *finish)
{
	sl_json_obj(w);
	sl_json_key(w, "text");
	if (sl_text_empty(text))
		sl_json_put_raw(w, SL_SLICE("\"\""));
	else
		sl_text_put(w, text);
	sl_json_int(w, "index", index);
	sl_json_key(w, "logprobs");
	sl_json_put_null(w);
	sl_json_key(w, "finish_reason");
	if (finish)
		sl_json_put_str(w, sl_slice_str(finish));
	else
		sl_json_put_null(w);
	sl_json_obj_end(w);
}

static bool
is_text(enum sl_part_kind kind)
{
	return kind == SL_PART_TEXT || kind == SL_PART_REFUSAL;
}

static void
write_whole(const struct sl_completion *answer, const struct sl_codec_caller *caller,
            struct sl_buf *out)
{
	struct sl_json_writer w;

	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_openai_put_head(&w, caller, id_prefix, object, answer->id, answer->model,
	                   answer->created_s);
	sl_json_key(&w, "choices");
	sl_json_arr(&w);
	for (size_t i = 0; i < answer->choice_count; i++) {
		const struct sl_alternative *choice = &answer->choices[i];
		struct sl_buf text;

		sl_buf_init(&text, out->max_size);
		sl_buf_append_char(&text, '"');
		for (const struct sl_part *part = choice->parts; part; part = part->next)
			if (is_text(part->kind))
				sl_text_append(&text, part->text);
			else if (caller->notes)
				sl_note(caller->notes, SL_NOTE_output_dropped, NULL);
		sl_buf_append_char(&text, '"');
		out->failed = out->failed || text.failed;
		put_choice(&w, (int64_t)i, (struct sl_text){ sl_buf_slice(&text), true },
		           sl_openai_finish_reason(choice->stop));
		sl_buf_release(&text);
	}
	sl_json_arr_end(&w);
	sl_openai_put_usage(&w, &answer->usage);
	sl_json_obj_end(&w);
}

static void
write_chunk(const struct writer *writer, const struct sl_event *event, struct sl_text text,
            const char *finish, struct sl_buf *out)
{
	struct sl_json_writer w;

	if (writer->head.len == 0)
		out->failed = true;
	sl_buf_append(out, writer->head);
	sl_json_writer_init(&w, out);
	put_choice(&w, event->choice, text, finish);
	sl_buf_append_str(out, "]}\n\n");
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

static void
write_event(void *context, const struct sl_codec_caller *caller, const struct sl_event *event,
            struct sl_buf *out)
{
	struct writer *writer = context;

	switch (event->kind) {
	case SL_EVENT_START:
		writer->head = sl_openai_chunk_head(caller, id_prefix, object, event);
		break;
	case SL_EVENT_DELTA:
		if (is_text(event->block_kind))
			write_chunk(writer, event, event->text, NULL, out);
		break;
	case SL_EVENT_OPEN:
	case SL_EVENT_PART:
		if (!is_text(event->block_kind) && caller->notes)
			sl_note(caller->notes, SL_NOTE_output_dropped, NULL);
		break;
	case SL_EVENT_STOP:
		write_chunk(writer, event, SL_TEXT_NONE, sl_openai_finish_reason(event->stop), out);
		break;
	case SL_EVENT_ERROR:
		sl_buf_append_str(out, "data: ");
		sl_openai_write_fault(event->fault, caller->request_id, out);
		sl_buf_append_str(out, "\n\n");
		break;
	case SL_EVENT_END:
		write_end(writer, caller, event, out);
		break;
	default:
		break;
	}
}

const struct sl_codec_ops sl_openai_completions_codec = {
	.decode_request = decode,
	.write_whole = write_whole,
	.writer_size = sizeof(struct writer),
	.write_event = write_event,
};

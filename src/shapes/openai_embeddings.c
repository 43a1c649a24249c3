/* openai_embeddings.c - POST /v1/embeddings.
 * https://platform.openai.com/docs/api-reference/embeddings
 */
#include "shapes/codec_task.h"
#include "shapes/openai.h"

#include <string.h>

enum { USER = SL_WANT_OWN, WANTS };

static const struct sl_json_want wants[WANTS] = { SL_WANTS_COMMON, { "user" } };

static const struct sl_shape_path paths[] = { SL_OPENAI_PATHS("/embeddings", "embeddings") };

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	struct sl_reading reading = { wants, WANTS, steer, arena, fault };

	sl_steer_init(steer, input);
	if (!sl_steer_scan(&reading) || !sl_steer_string(&reading, SL_WANT_MODEL, &steer->model))
		return false;
	sl_steer_end_user(&reading, USER);
	return true;
}

/* --- translation ------------------------------------------------------------------- */

static bool
decode_input(struct sl_dialog *dialog, struct sl_json input, struct sl_fault *fault)
{
	const struct sl_where *up =
	    sl_dialog_where(dialog, sl_where_member(NULL, SL_SLICE("input")));

	if (input.type == SL_JSON_STRING) {
		sl_task_add_text(dialog, input.raw, *up);
		return true;
	}
	if (input.type != SL_JSON_ARRAY)
		return sl_codec_refuse(fault, SL_FAULT_BAD_TYPE, dialog, up,
		                       "expected a string or an array of strings.");
	for (struct sl_json_iter it = sl_json_iter(input); sl_json_next(&it);) {
		if (it.value.type != SL_JSON_STRING)
			return sl_codec_refuse(fault, SL_FAULT_UNSUPPORTED, dialog, up,
			                       "token numbers mean something to one tokenizer only. "
			                       "Send text.");
		sl_task_add_text(dialog, it.value.raw, sl_where_element(up, it.index));
	}
	return true;
}

static bool
decode(const struct sl_codec_input *in, struct sl_dialog *dialog, struct sl_fault *fault)
{
	static const struct sl_codec_param rows[] = {
		{ SL_SLICE_INIT("dimensions"), SL_PARAM_DIMENSIONS },
		{ SL_SLICE_INIT("user"), SL_PARAM_USER },
		{ SL_SLICE_INIT("output_dimension"), SL_PARAM_DIMENSIONS }, /* Mistral's */
	};
	struct sl_json body = sl_json_parse(in->input->body);

	sl_dialog_init(dialog, "openai_embeddings", dialog->arena);
	for (struct sl_json_iter it = sl_json_iter(body); sl_json_next(&it);) {
		struct sl_slice key = sl_codec_key(it.key, dialog->arena);
		const struct sl_where where = sl_where_member(NULL, key);

		if (sl_slice_is(key, "input_type") && sl_task_gemini_purpose(it.value).len) {
			sl_dialog_param(dialog, SL_PARAM_EMBEDDING_TASK,
			                sl_json_parse(sl_task_gemini_purpose(it.value)), where);
			continue;
		}
		if (!sl_codec_take_param(dialog, rows, sizeof(rows) / sizeof(rows[0]), key,
		                         it.value, where) &&
		    !sl_slice_is(key, "model") && !sl_slice_is(key, "input") &&
		    !sl_slice_is(key, "encoding_format"))
			sl_dialog_extra(dialog, where, key, it.value.raw);
	}
	return decode_input(dialog, sl_json_get(body, "input"), fault);
}

static enum sl_err
encode(struct sl_encode *e)
{
	struct sl_json_writer w;

	sl_json_writer_init(&w, e->out);
	sl_json_obj(&w);
	if (!e->target->model_in_path)
		sl_json_str(&w, "model", e->target->model);
	sl_task_put_texts(&w, "input", e->dialog);
	sl_json_str(&w, "encoding_format", SL_SLICE("float"));
	sl_encode_param(e, &w, SL_PARAM_DIMENSIONS, "dimensions");
	sl_encode_param(e, &w, SL_PARAM_USER, "user");
	sl_json_obj_end(&w);
	return SL_OK;
}

/* Little-endian 32-bit floats in base64: what the SDKs ask for unless told not to. */
static void
put_base64(struct sl_json_writer *w, struct sl_slice raw, struct sl_buf *out)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct sl_json values = sl_json_parse(raw);
	uint32_t group = 0;
	int bytes = 0;

	sl_json_put_raw(w, SL_SLICE("\""));
	for (struct sl_json_iter it = sl_json_iter(values);
	     values.type == SL_JSON_ARRAY && sl_json_next(&it);) {
		double value = 0;
		uint32_t bits;
		float single;

		sl_json_f64(it.value, &value);
		single = (float)value;
		memcpy(&bits, &single, sizeof(bits));
		for (int i = 0; i < 4; i++) {
			group = group << 8 | (bits >> (8 * i) & 0xff);
			if (++bytes < 3)
				continue;
			for (int shift = 18; shift >= 0; shift -= 6)
				sl_buf_append_char(out, digits[group >> shift & 63]);
			group = 0;
			bytes = 0;
		}
	}
	if (bytes) {
		group <<= 8 * (3 - bytes);
		sl_buf_append_char(out, digits[group >> 18 & 63]);
		sl_buf_append_char(out, digits[group >> 12 & 63]);
		sl_buf_append_char(out, bytes == 2 ? digits[group >> 6 & 63] : '=');
		sl_buf_append_char(out, '=');
	}
	sl_buf_append_char(out, '"');
}

static void
write_whole(const struct sl_completion *answer, const struct sl_codec_caller *caller,
            struct sl_buf *out)
{
	bool base64 = sl_json_is(sl_json_get(sl_json_parse(caller->echo), "encoding_format"),
	                         "base64");
	int64_t spent = sl_usage_get(&answer->usage, SL_USAGE_INPUT), index = 0;
	const struct sl_part *part = answer->choice_count ? answer->choices[0].parts : NULL;
	struct sl_json_writer w;

	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_str(&w, "object", SL_SLICE("list"));
	sl_json_key(&w, "data");
	sl_json_arr(&w);
	for (; part; part = part->next) {
		sl_json_obj(&w);
		sl_json_str(&w, "object", SL_SLICE("embedding"));
		sl_json_int(&w, "index", index++);
		sl_json_key(&w, "embedding");
		if (base64)
			put_base64(&w, part->raw, out);
		else
			sl_json_put_raw(&w, part->raw);
		sl_json_obj_end(&w);
	}
	sl_json_arr_end(&w);
	sl_json_str(&w, "model", caller->model);
	sl_json_key(&w, "usage");
	sl_json_obj(&w);
	sl_json_int(&w, "prompt_tokens", spent);
	sl_json_int(&w, "total_tokens", spent);
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
}

static const struct sl_codec_ops codec = {
	.task = SL_CODEC_EMBED,
	.decode_request = decode,
	.write_whole = write_whole,
	.keeps_request = true,
	.encode_request = encode,
	.read_whole = sl_task_read_data,
};

const struct sl_shape_ops sl_shape_openai_embeddings = {
	.name = "openai_embeddings",
	.family = "openai",
	.operation = "embeddings",
	.paths = paths,
	.codec = &codec,
	.upstream_path = "/embeddings",
	.read_request = read_request,
	.forward = sl_steer_forward,
	.read_reply = sl_openai_read_reply,
	.write_fault = sl_openai_write_fault,
	.write_stream_fault = sl_openai_write_stream_fault,
};

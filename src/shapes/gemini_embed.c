/* gemini_embed.c - models/{model}:embedContent and :batchEmbedContents.
 * https://ai.google.dev/api/embeddings
 *
 * Besides the path, the body names the model ("models/ID"): once, or once per
 * request of a batch, and the server refuses a difference. Where the target's
 * model is another, a batch is copied with each name replaced; everything else
 * keeps its bytes.
 */
#include "shapes/codec_task.h"
#include "shapes/gemini.h"
#include "shapes/gemini_codec.h"

enum { REQUESTS = SL_WANT_OWN, WANTS };

static const struct sl_json_want wants[WANTS] = { SL_WANTS_COMMON, { "requests" } };

static const struct sl_shape_path paths[] = {
	SL_GEMINI_PATHS("embedContent"),
	SL_GEMINI_PATHS("batchEmbedContents"),
	{ NULL, NULL },
};

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	struct sl_reading reading = { wants, WANTS, steer, arena, fault };

	return sl_gemini_read_request(&reading, input);
}

/* The value of `requests` with every request's model replaced, on the arena. */
static enum sl_err
rename_requests(struct sl_json requests, struct sl_slice named, struct sl_arena *arena,
                struct sl_slice *out)
{
	struct sl_json_iter it = sl_json_iter(requests);
	const char *done = requests.raw.ptr;
	size_t extra = 0, len = 0;
	char *text;

	while (sl_json_next(&it))
		extra += named.len;
	text = sl_arena_alloc(arena, requests.raw.len + extra);
	if (!text)
		return SL_ENOMEM;
	for (it = sl_json_iter(requests); sl_json_next(&it);) {
		struct sl_json model = sl_json_get(it.value, "model");

		if (model.type != SL_JSON_STRING)
			continue;
		memcpy(text + len, done, (size_t)(model.raw.ptr - done));
		len += (size_t)(model.raw.ptr - done);
		memcpy(text + len, named.ptr, named.len);
		len += named.len;
		done = model.raw.ptr + model.raw.len;
	}
	memcpy(text + len, done, (size_t)(requests.raw.ptr + requests.raw.len - done));
	len += (size_t)(requests.raw.ptr + requests.raw.len - done);
	*out = sl_slice_make(text, len);
	return SL_OK;
}

static enum sl_err
forward(const struct sl_steer *steer, const struct sl_shape_target *target,
        struct sl_arena *arena, struct sl_forward *out)
{
	const struct sl_json_found *found = &steer->found[REQUESTS];
	struct sl_json_splice splice;
	struct sl_slice named, requests;
	enum sl_err err = sl_gemini_splice(steer, target, arena, &splice, &named);

	sl_forward_clear(out);
	if (err == SL_OK && named.len && found->type == SL_JSON_ARRAY) {
		err = rename_requests(sl_json_parse(sl_json_found_raw(steer->input.body, found)),
		                      named, arena, &requests);
		if (err == SL_OK)
			err = sl_json_splice_replace(&splice, found, requests);
	}
	return err == SL_OK ? sl_steer_finish(&splice, out) : err;
}

/* --- translation ------------------------------------------------------------------- */

static struct sl_json
get(struct sl_json object, const char *camel, const char *snake)
{
	struct sl_json value = sl_json_get(object, camel);

	return value.type == SL_JSON_NONE ? sl_json_get(object, snake) : value;
}

/* One content: its texts, which are one. */
static bool
decode_one(struct sl_dialog *dialog, struct sl_json request, const struct sl_where *up,
           struct sl_fault *fault)
{
	struct sl_json parts = sl_json_at(request, "content.parts");
	struct sl_json dimensions = get(request, "outputDimensionality", "output_dimensionality");
	struct sl_json task = get(request, "taskType", "task_type");
	struct sl_json before = dialog->params[SL_PARAM_DIMENSIONS].value;
	const struct sl_where content = sl_where_member(up, SL_SLICE("content"));
	struct sl_buf text;

	if (dialog->turns && !sl_slice_eq(before.raw, dimensions.raw))
		return sl_codec_refuse(fault, SL_FAULT_UNSUPPORTED, dialog, up,
		                       "all texts must ask for the same dimensions.");
	if (dialog->turns && !sl_slice_eq(dialog->params[SL_PARAM_EMBEDDING_TASK].value.raw, task.raw))
		return sl_codec_refuse(fault, SL_FAULT_UNSUPPORTED, dialog, up,
		                       "all texts must have the same taskType.");
	sl_dialog_param(dialog, SL_PARAM_DIMENSIONS, dimensions,
	                sl_where_member(up, SL_SLICE("outputDimensionality")));
	sl_dialog_param(dialog, SL_PARAM_EMBEDDING_TASK, task,
	                sl_where_member(up, SL_SLICE("taskType")));
	for (struct sl_json_iter it = sl_json_iter(request); sl_json_next(&it);) {
		struct sl_slice key = sl_gemini_camel(sl_codec_key(it.key, dialog->arena),
		                                      dialog->arena);

		if (!sl_slice_is(key, "content") && !sl_slice_is(key, "model") &&
		    !sl_slice_is(key, "outputDimensionality") && !sl_slice_is(key, "requests") &&
		    !sl_slice_is(key, "taskType"))
			sl_dialog_extra(dialog, sl_where_member(up, key), key, it.value.raw);
	}
	sl_buf_init(&text, parts.raw.len + 2);
	sl_buf_append_char(&text, '"');
	for (struct sl_json_iter it = sl_json_iter(parts);
	     parts.type == SL_JSON_ARRAY && sl_json_next(&it);) {
		struct sl_text piece = sl_text_json(sl_json_get(it.value, "text"));

		if (!piece.json) {
			sl_buf_release(&text);
			return sl_codec_refuse(fault, SL_FAULT_UNSUPPORTED, dialog, &content,
			                       "only text can be embedded elsewhere.");
		}
		sl_text_append(&text, piece);
	}
	sl_buf_append_char(&text, '"');
	sl_task_add_text(dialog, sl_arena_dup(dialog->arena, sl_buf_slice(&text)), content);
	dialog->failed |= text.failed;
	sl_buf_release(&text);
	return true;
}

static bool
decode(const struct sl_codec_input *in, struct sl_dialog *dialog, struct sl_fault *fault)
{
	struct sl_json body = sl_json_parse(in->input->body);
	struct sl_json requests = sl_json_get(body, "requests");
	const struct sl_where *up;

	sl_dialog_init(dialog, "gemini_embed", dialog->arena);
	if (requests.type != SL_JSON_ARRAY)
		return decode_one(dialog, body, NULL, fault);
	up = sl_dialog_where(dialog, sl_where_member(NULL, SL_SLICE("requests")));
	for (struct sl_json_iter it = sl_json_iter(requests); sl_json_next(&it);)
		if (!decode_one(dialog, it.value,
		                sl_dialog_where(dialog, sl_where_element(up, it.index)), fault))
			return false;
	return true;
}

static enum sl_err
encode(struct sl_encode *e)
{
	struct sl_slice model = sl_arena_printf(e->arena, "models/%.*s", SL_ARG(e->target->model));
	struct sl_json_writer w;

	sl_json_writer_init(&w, e->out);
	sl_json_obj(&w);
	sl_json_key(&w, "requests");
	sl_json_arr(&w);
	for (const struct sl_part *part = sl_task_texts(e->dialog); part; part = part->next) {
		sl_json_obj(&w);
		sl_json_str(&w, "model", model);
		sl_json_key(&w, "content");
		sl_json_obj(&w);
		sl_json_key(&w, "parts");
		sl_json_arr(&w);
		sl_json_obj(&w);
		sl_json_key(&w, "text");
		sl_json_put_raw(&w, part->raw);
		sl_json_obj_end(&w);
		sl_json_arr_end(&w);
		sl_json_obj_end(&w);
		sl_encode_param(e, &w, SL_PARAM_DIMENSIONS, "outputDimensionality");
		sl_encode_param(e, &w, SL_PARAM_EMBEDDING_TASK, "taskType");
		sl_json_obj_end(&w);
	}
	sl_json_arr_end(&w);
	sl_json_obj_end(&w);
	return SL_OK;
}

static void
tell_values(struct sl_flow *flow, struct sl_json values)
{
	sl_task_tell_vector(flow, values.type == SL_JSON_ARRAY ? values.raw : SL_SLICE("[]"));
}

static void
read_whole(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena)
{
	struct sl_json reply = sl_task_reply(flow, body, arena);
	struct sl_json list = sl_json_get(reply, "embeddings");

	if (list.type != SL_JSON_ARRAY) {
		sl_flow_end(flow);
		return;
	}
	for (struct sl_json_iter it = sl_json_iter(list); sl_json_next(&it);)
		tell_values(flow, sl_json_get(it.value, "values"));
	sl_task_end(flow, -1);
}

static void
put_values(struct sl_json_writer *w, struct sl_slice values)
{
	sl_json_obj(w);
	sl_json_key(w, "values");
	sl_json_put_raw(w, values);
	sl_json_obj_end(w);
}

static void
write_whole(const struct sl_completion *answer, const struct sl_codec_caller *caller,
            struct sl_buf *out)
{
	struct sl_json requests = sl_json_get(sl_json_parse(caller->echo), "requests");
	const struct sl_part *part = answer->choice_count ? answer->choices[0].parts : NULL;
	struct sl_json_writer w;

	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	if (requests.type != SL_JSON_ARRAY) {
		sl_json_key(&w, "embedding");
		put_values(&w, part ? part->raw : SL_SLICE("[]"));
	} else {
		sl_json_key(&w, "embeddings");
		sl_json_arr(&w);
		for (; part; part = part->next)
			put_values(&w, part->raw);
		sl_json_arr_end(&w);
	}
	sl_json_obj_end(&w);
}

static const struct sl_codec_ops codec = {
	.task = SL_CODEC_EMBED,
	.decode_request = decode,
	.write_whole = write_whole,
	.keeps_request = true,
	.encode_request = encode,
	.read_whole = read_whole,
	.verb = "batchEmbedContents",
};

const struct sl_shape_ops sl_shape_gemini_embed = {
	.name = "gemini_embed",
	.family = "gemini",
	.operation = "embeddings",
	.paths = paths,
	.codec = &codec,
	.upstream_path = "/v1beta/models/{model}:{verb}",
	.read_request = read_request,
	.forward = forward,
	.read_reply = sl_gemini_read_reply,
	.write_fault = sl_gemini_write_fault,
	.write_stream_fault = sl_gemini_write_stream_fault,
};

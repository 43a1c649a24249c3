/* gemini_embed.c - models/{model}:embedContent and :batchEmbedContents.
 * https://ai.google.dev/api/embeddings
 *
 * Besides the path, the body names the model ("models/ID"): once, or once per
 * request of a batch, and the server refuses a difference. Where the target's
 * model is another, a batch is copied with each name replaced; everything else
 * keeps its bytes.
 */
#include "shapes/gemini.h"

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

	*out = (struct sl_forward){ 0 };
	if (err == SL_OK && named.len && found->type == SL_JSON_ARRAY) {
		err = rename_requests(sl_json_parse(sl_json_found_raw(steer->input.body, found)),
		                      named, arena, &requests);
		if (err == SL_OK)
			err = sl_json_splice_replace(&splice, found, requests);
	}
	return err == SL_OK ? sl_steer_finish(&splice, out) : err;
}

const struct sl_shape_ops sl_shape_gemini_embed = {
	.name = "gemini_embed",
	.family = "gemini",
	.operation = "embeddings",
	.paths = paths,
	.upstream_path = "/v1beta/models/{model}:{verb}",
	.read_request = read_request,
	.forward = forward,
	.read_reply = sl_gemini_read_reply,
	.write_fault = sl_gemini_write_fault,
	.write_stream_fault = sl_gemini_write_stream_fault,
};

/* gemini_count_tokens.c - models/{model}:countTokens. Free of charge: the number
 * in the reply is an answer, not a usage.
 * https://ai.google.dev/api/tokens
 *
 * The request to be counted may be embedded, and then it names its model again
 * ("models/ID"), which must be the target's.
 */
#include "shapes/codec_task.h"
#include "shapes/gemini.h"
#include "shapes/gemini_codec.h"

enum { INNER_MODEL = SL_WANT_OWN, INNER_MODEL_SNAKE, WANTS };

static const struct sl_json_want wants[WANTS] = {
	SL_WANTS_COMMON,
	{ "generateContentRequest.model" },
	{ "generate_content_request.model" },
};

static const struct sl_shape_path paths[] = {
	SL_GEMINI_PATHS("countTokens"),
	{ NULL, NULL },
};

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	struct sl_reading reading = { wants, WANTS, steer, arena, fault };

	return sl_gemini_read_request(&reading, input);
}

static enum sl_err
forward(const struct sl_steer *steer, const struct sl_shape_target *target,
        struct sl_arena *arena, struct sl_forward *out)
{
	struct sl_json_splice splice;
	struct sl_slice named;
	enum sl_err err = sl_gemini_splice(steer, target, arena, &splice, &named);

	sl_forward_clear(out);
	for (size_t i = INNER_MODEL; err == SL_OK && named.len && i < WANTS; i++)
		if (steer->found[i].type == SL_JSON_STRING)
			err = sl_json_splice_replace(&splice, &steer->found[i], named);
	return err == SL_OK ? sl_steer_finish(&splice, out) : err;
}

/* --- translation ------------------------------------------------------------------- */

/* The whole request may stand inside. */
static bool
decode(const struct sl_codec_input *in, struct sl_dialog *out, struct sl_fault *fault)
{
	struct sl_json body = sl_json_parse(in->input->body);
	struct sl_json inner = sl_json_get(body, "generateContentRequest");
	struct sl_shape_input input = *in->input;
	struct sl_codec_input within = *in;
	struct sl_slice name = SL_SLICE("generateContentRequest");

	if (inner.type == SL_JSON_NONE) {
		name = SL_SLICE("generate_content_request");
		inner = sl_json_get(body, name.ptr);
	}
	if (inner.type != SL_JSON_OBJECT)
		return sl_gemini_decode(in, out, fault);
	input.body = inner.raw;
	within.input = &input;
	return sl_gemini_decode_within(&within, sl_dialog_where(out, sl_where_member(NULL, name)),
	                               out, fault);
}

static enum sl_err
encode(struct sl_encode *e)
{
	struct sl_json_writer w;
	enum sl_err err;

	sl_json_writer_init(&w, e->out);
	sl_json_obj(&w);
	sl_json_key(&w, "generateContentRequest");
	sl_json_obj(&w);
	sl_json_str(&w, "model",
	            sl_arena_printf(e->arena, "models/%.*s", SL_ARG(e->target->model)));
	err = sl_task_put_request(e, sl_gemini_encode, NULL, 0, &w);
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
	return err;
}

static void
read_whole(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena)
{
	sl_task_read_count(flow, body, "totalTokens", arena);
}

static void
write_whole(const struct sl_completion *answer, const struct sl_codec_caller *caller,
            struct sl_buf *out)
{
	(void)caller;
	sl_buf_printf(out, "{\"totalTokens\":%lld}",
	              (long long)sl_usage_get(&answer->usage, SL_USAGE_INPUT));
}

static const struct sl_codec_ops codec = {
	.task = SL_CODEC_COUNT,
	.decode_request = decode,
	.write_whole = write_whole,
	.encode_request = encode,
	.read_whole = read_whole,
	.verb = "countTokens",
	.target_names = &(const struct sl_name_rule){ "_.:-", 128, true },
	.issuer = "gemini",
};

const struct sl_shape_ops sl_shape_gemini_count_tokens = {
	.name = "gemini_count_tokens",
	.family = "gemini",
	.operation = "count_tokens",
	.free_of_charge = true,
	.paths = paths,
	.codec = &codec,
	.upstream_path = "/v1beta/models/{model}:{verb}",
	.read_request = read_request,
	.forward = forward,
	.read_reply = sl_reply_read_plain,
	.write_fault = sl_gemini_write_fault,
	.write_stream_fault = sl_gemini_write_stream_fault,
};

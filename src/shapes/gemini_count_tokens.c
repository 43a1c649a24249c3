/* gemini_count_tokens.c - models/{model}:countTokens. Free of charge: the number
 * in the reply is an answer, not a usage.
 * https://ai.google.dev/api/tokens
 *
 * The request to be counted may be embedded, and then it names its model again
 * ("models/ID"), which must be the target's.
 */
#include "shapes/gemini.h"

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

	*out = (struct sl_forward){ 0 };
	for (size_t i = INNER_MODEL; err == SL_OK && named.len && i < WANTS; i++)
		if (steer->found[i].type == SL_JSON_STRING)
			err = sl_json_splice_replace(&splice, &steer->found[i], named);
	return err == SL_OK ? sl_steer_finish(&splice, out) : err;
}

static void
read_reply(const struct sl_steer *steer, struct sl_slice body, struct sl_arena *arena,
           struct sl_reply_facts *facts)
{
	static const struct sl_json_want reply_wants[] = { { "error" } };
	struct sl_json_found found;

	(void)steer;
	if (!sl_reply_scan(body, reply_wants, 1, &found, arena, facts) ||
	    sl_reply_error(facts, sl_reply_value(body, &found), arena))
		return;
	facts->content = true;
	facts->finished = true;
}

const struct sl_shape_ops sl_shape_gemini_count_tokens = {
	.name = "gemini_count_tokens",
	.family = "gemini",
	.operation = "count_tokens",
	.paths = paths,
	.upstream_path = "/v1beta/models/{model}:{verb}",
	.read_request = read_request,
	.forward = forward,
	.read_reply = read_reply,
	.write_fault = sl_gemini_write_fault,
	.write_stream_fault = sl_gemini_write_stream_fault,
};

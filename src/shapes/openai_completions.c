/* openai_completions.c - POST /v1/completions, the legacy text endpoint.
 * https://platform.openai.com/docs/api-reference/completions
 */
#include "shapes/openai.h"
#include "shapes/openai_chat_codec.h"
#include "shapes/prompt.h"

enum {
	STREAM_OPTIONS = SL_WANT_OWN,
	INCLUDE_USAGE,
	MAX_TOKENS,
	CHOICES,
	BEST_OF,
	USER,
	WANTS,
};
_Static_assert((int)WANTS <= (int)SL_SHAPE_WANTS_MAX, "the steer has room for every want");

static const struct sl_json_want wants[WANTS] = {
	SL_WANTS_COMMON,
	{ "stream_options" },
	{ "stream_options.include_usage" },
	{ "max_tokens" },
	{ "n" },
	{ "best_of" },
	{ "user" },
};
static const struct sl_openai_stream_wants stream_wants = { STREAM_OPTIONS, INCLUDE_USAGE,
	                                                        "max_tokens" };

static const struct sl_shape_path paths[] = { SL_OPENAI_PATHS("/completions", "completions") };

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	struct sl_reading reading = { wants, WANTS, steer, arena, fault };
	int64_t best_of = 1;

	sl_steer_init(steer, input);
	if (!sl_steer_scan(&reading) || !sl_steer_common(&reading) ||
	    !sl_openai_read_stream(&reading, &stream_wants) ||
	    !sl_steer_limit(&reading, MAX_TOKENS, &steer->max_output_tokens) ||
	    !sl_steer_choices(&reading, CHOICES, &steer->choices) ||
	    !sl_steer_choices(&reading, BEST_OF, &best_of))
		return false;
	/* Candidates that are generated and dropped are billed as well. */
	if (best_of > steer->choices)
		steer->choices = best_of;
	sl_steer_end_user(&reading, USER);
	return true;
}

static enum sl_err
forward(const struct sl_steer *steer, const struct sl_shape_target *target,
        struct sl_arena *arena, struct sl_forward *out)
{
	return sl_openai_forward_chunks(steer, target, &stream_wants, arena, out);
}

const struct sl_shape_ops sl_shape_openai_completions = {
	.name = "openai_completions",
	.family = "openai",
	.operation = "text_completion",
	.paths = paths,
	.upstream_path = "/completions",
	.codec = &sl_openai_completions_codec,
	.takes_limit = true,
	.read_request = read_request,
	.read_prompt = sl_prompt_read,
	.forward = forward,
	.read_reply = sl_openai_read_reply,
	.read_frame = sl_openai_read_chunk,
	.end_stream = sl_openai_end_chunks,
	.write_fault = sl_openai_write_fault,
	.write_stream_fault = sl_openai_write_stream_fault,
};

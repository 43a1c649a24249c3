/* openai_chat.c - POST /v1/chat/completions.
 * https://platform.openai.com/docs/api-reference/chat
 */
#include "shapes/openai.h"
#include "shapes/openai_chat_codec.h"
#include "shapes/prompt.h"

enum {
	STREAM_OPTIONS = SL_WANT_OWN,
	INCLUDE_USAGE,
	MAX_TOKENS,
	MAX_COMPLETION_TOKENS,
	CHOICES,
	SAFETY_IDENTIFIER,
	USER,
	WANTS,
};
_Static_assert((int)WANTS <= (int)SL_SHAPE_WANTS_MAX, "the steer has room for every want");

static const struct sl_json_want wants[WANTS] = {
	SL_WANTS_COMMON,
	{ "stream_options" },
	{ "stream_options.include_usage" },
	{ "max_tokens" },
	{ "max_completion_tokens" },
	{ "n" },
	{ "safety_identifier" },
	{ "user" },
};
static const struct sl_openai_stream_wants stream_wants = { STREAM_OPTIONS, INCLUDE_USAGE,
	                                                        "max_completion_tokens" };

static const struct sl_shape_path paths[] = { SL_OPENAI_PATHS("/chat/completions", "chat") };

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	struct sl_reading reading = { wants, WANTS, steer, arena, fault };

	sl_steer_init(steer, input);
	/* max_completion_tokens comes later and so wins over its old name. */
	if (!sl_steer_scan(&reading) || !sl_steer_common(&reading) ||
	    !sl_openai_read_stream(&reading, &stream_wants) ||
	    !sl_steer_limit(&reading, MAX_TOKENS, &steer->max_output_tokens) ||
	    !sl_steer_limit(&reading, MAX_COMPLETION_TOKENS, &steer->max_output_tokens) ||
	    !sl_steer_choices(&reading, CHOICES, &steer->choices))
		return false;
	sl_steer_end_user(&reading, SAFETY_IDENTIFIER);
	sl_steer_end_user(&reading, USER);
	return true;
}

static enum sl_err
forward(const struct sl_steer *steer, const struct sl_shape_target *target,
        struct sl_arena *arena, struct sl_forward *out)
{
	return sl_openai_forward_chunks(steer, target, &stream_wants, arena, out);
}

const struct sl_shape_ops sl_shape_openai_chat = {
	.name = "openai_chat",
	.family = "openai",
	.operation = "chat",
	.paths = paths,
	.upstream_path = "/chat/completions",
	.codec = &sl_openai_chat_codec,
	.takes_limit = true,
	.read_request = read_request,
	.read_prompt = sl_prompt_read,
	.forward = forward,
	.read_reply = sl_openai_read_reply,
	.read_gist = sl_gist_openai_chat,
	.read_frame = sl_openai_read_chunk,
	.end_stream = sl_openai_end_chunks,
	.write_fault = sl_openai_write_fault,
	.write_stream_fault = sl_openai_write_stream_fault,
};

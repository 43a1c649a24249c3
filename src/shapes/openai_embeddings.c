/* openai_embeddings.c - POST /v1/embeddings.
 * https://platform.openai.com/docs/api-reference/embeddings
 */
#include "shapes/openai.h"

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

const struct sl_shape_ops sl_shape_openai_embeddings = {
	.name = "openai_embeddings",
	.family = "openai",
	.operation = "embeddings",
	.paths = paths,
	.upstream_path = "/embeddings",
	.read_request = read_request,
	.forward = sl_steer_forward,
	.read_reply = sl_openai_read_reply,
	.write_fault = sl_openai_write_fault,
	.write_stream_fault = sl_openai_write_stream_fault,
};

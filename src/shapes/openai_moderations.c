/* openai_moderations.c - POST /v1/moderations. Free of charge, reports no
 * usage; the model may be left out.
 * https://platform.openai.com/docs/api-reference/moderations
 */
#include "shapes/openai.h"

static const struct sl_json_want wants[] = { SL_WANTS_COMMON };

static const struct sl_shape_path paths[] = { SL_OPENAI_PATHS("/moderations", "moderations") };

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	struct sl_reading reading = { wants, SL_WANT_OWN, steer, arena, fault };

	sl_steer_init(steer, input);
	/* Nothing is reported because nothing is charged. */
	steer->counted.source = SL_USAGE_COUNTED;
	sl_usage_set(&steer->counted, SL_USAGE_INPUT, 0);
	if (!sl_steer_scan(&reading) || !sl_steer_string(&reading, SL_WANT_MODEL, &steer->model))
		return false;
	/* What OpenAI takes then. */
	if (steer->found[SL_WANT_MODEL].type == SL_JSON_NONE && steer->model.len == 0)
		steer->model = SL_SLICE("omni-moderation-latest");
	return true;
}

const struct sl_shape_ops sl_shape_openai_moderations = {
	.name = "openai_moderations",
	.family = "openai",
	.operation = "moderations",
	.paths = paths,
	.upstream_path = "/moderations",
	.read_request = read_request,
	.forward = sl_steer_forward,
	.read_reply = sl_openai_read_reply,
	.write_fault = sl_openai_write_fault,
	.write_stream_fault = sl_openai_write_stream_fault,
};

/* proxy.c - bytes that pass as they are.
 *
 * For paths that belong to no API known here, when the caller's contract lets it
 * talk to a provider directly. Nothing steers and nothing is read, so there is no
 * usage to charge by either.
 */
#include "shapes/openai.h"

static const struct sl_shape_path paths[] = { { NULL, NULL } };

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	(void)arena;
	(void)fault;
	sl_steer_init(steer, input);
	steer->reply_opaque = true;
	return true;
}

static enum sl_err
forward(const struct sl_steer *steer, const struct sl_shape_target *target,
        struct sl_arena *arena, struct sl_forward *out)
{
	(void)target;
	(void)arena;
	*out = (struct sl_forward){ .body = { steer->input.body },
	                            .body_count = steer->input.body.len > 0 };
	return SL_OK;
}

const struct sl_shape_ops sl_shape_proxy = {
	.name = "proxy",
	.family = "openai",
	.operation = "proxy",
	.paths = paths,
	.read_request = read_request,
	.forward = forward,
	.write_fault = sl_openai_write_fault,
	.write_stream_fault = sl_openai_write_stream_fault,
};

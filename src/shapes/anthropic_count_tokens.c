/* anthropic_count_tokens.c - POST /v1/messages/count_tokens. Free of charge:
 * the number in the reply is an answer, not a usage.
 * https://docs.anthropic.com/en/api/messages-count-tokens
 */
#include "shapes/anthropic.h"

static const struct sl_json_want wants[] = { SL_WANTS_COMMON };

static const struct sl_shape_path paths[] = {
	{ "/v1/messages/count_tokens", "count_tokens" },
	{ NULL, NULL },
};

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	struct sl_reading reading = { wants, SL_WANT_OWN, steer, arena, fault };

	sl_steer_init(steer, input);
	return sl_steer_scan(&reading) &&
	       sl_steer_string(&reading, SL_WANT_MODEL, &steer->model);
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

const struct sl_shape_ops sl_shape_anthropic_count_tokens = {
	.name = "anthropic_count_tokens",
	.family = "anthropic",
	.operation = "count_tokens",
	.paths = paths,
	.upstream_path = "/v1/messages/count_tokens",
	.read_request = read_request,
	.forward = sl_steer_forward,
	.read_reply = read_reply,
	.write_fault = sl_anthropic_write_fault,
	.write_stream_fault = sl_anthropic_write_stream_fault,
};

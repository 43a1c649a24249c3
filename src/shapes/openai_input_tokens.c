/* openai_input_tokens.c - POST /v1/responses/input_tokens: what a Responses request
 * would be as input. Free of charge: the number in the reply is an answer, not a usage.
 * https://platform.openai.com/docs/api-reference/responses/input-tokens
 */
#include "shapes/codec_task.h"
#include "shapes/openai.h"
#include "shapes/responses_codec.h"

static const struct sl_json_want wants[] = { SL_WANTS_COMMON };

static const struct sl_shape_path paths[] = {
	SL_OPENAI_PATHS("/responses/input_tokens", "input_tokens"),
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

/* --- translation ------------------------------------------------------------------- */

/* The request for an answer, without what only matters for answering. */
static enum sl_err
encode(struct sl_encode *e)
{
	static const struct sl_slice gone[] = {
		SL_SLICE_INIT("max_output_tokens"), SL_SLICE_INIT("stream"),
		SL_SLICE_INIT("temperature"), SL_SLICE_INIT("top_p"), SL_SLICE_INIT("top_logprobs"),
		SL_SLICE_INIT("include"), SL_SLICE_INIT("max_tool_calls"), SL_SLICE_INIT("user"),
		SL_SLICE_INIT("safety_identifier"), SL_SLICE_INIT("metadata"),
		SL_SLICE_INIT("prompt_cache_key"), SL_SLICE_INIT("prompt_cache_retention"),
		SL_SLICE_INIT("service_tier"), SL_SLICE_INIT("background"), SL_SLICE_INIT("prompt"),
		SL_SLICE_INIT("context_management"), SL_SLICE_INIT("store"),
	};
	struct sl_json_writer w;
	enum sl_err err;

	sl_json_writer_init(&w, e->out);
	sl_json_obj(&w);
	err = sl_task_put_request(e, sl_responses_encode, gone, sizeof(gone) / sizeof(gone[0]), &w);
	sl_json_obj_end(&w);
	return err;
}

static void
read_whole(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena)
{
	sl_task_read_count(flow, body, "input_tokens", arena);
}

static void
write_whole(const struct sl_completion *answer, const struct sl_codec_caller *caller,
            struct sl_buf *out)
{
	(void)caller;
	sl_buf_printf(out, "{\"object\":\"response.input_tokens\",\"input_tokens\":%lld}",
	              (long long)sl_usage_get(&answer->usage, SL_USAGE_INPUT));
}

static const struct sl_codec_ops codec = {
	.task = SL_CODEC_COUNT,
	.decode_request = sl_responses_decode,
	.write_whole = write_whole,
	.encode_request = encode,
	.read_whole = read_whole,
	.target_ids = &(const struct sl_id_rule){ "_-", 64, 0 },
	.target_names = &(const struct sl_name_rule){ "_-", 64, false },
	.issuer = "openai",
};

const struct sl_shape_ops sl_shape_openai_input_tokens = {
	.name = "openai_input_tokens",
	.family = "openai",
	.operation = "count_tokens",
	.free_of_charge = true,
	.paths = paths,
	.codec = &codec,
	.upstream_path = "/responses/input_tokens",
	.read_request = read_request,
	.forward = sl_steer_forward,
	.read_reply = sl_reply_read_plain,
	.write_fault = sl_openai_write_fault,
	.write_stream_fault = sl_openai_write_stream_fault,
};

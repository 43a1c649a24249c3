/* openai_images.c - POST /v1/images/generations.
 * https://platform.openai.com/docs/api-reference/images
 *
 * Newer models report tokens, older ones only pictures; both are noted and the
 * price list decides. A stream shows partial pictures and ends with one
 * image_generation.completed that has the usage; nothing follows it.
 */
#include "shapes/openai.h"

enum { CHOICES = SL_WANT_OWN, USER, WANTS };

static const struct sl_json_want wants[WANTS] = { SL_WANTS_COMMON, { "n" }, { "user" } };

static const struct sl_shape_path paths[] = {
	SL_OPENAI_PATHS("/images/generations", "generations")
};

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	struct sl_reading reading = { wants, WANTS, steer, arena, fault };

	sl_steer_init(steer, input);
	if (!sl_steer_scan(&reading) || !sl_steer_common(&reading) ||
	    !sl_steer_choices(&reading, CHOICES, &steer->choices))
		return false;
	if (steer->stream)
		steer->framing = SL_FRAMING_SSE;
	sl_steer_end_user(&reading, USER);
	return true;
}

/* Where the details do not say otherwise, what comes out is pictures. */
static void
note_usage(struct sl_json value, struct sl_reply_facts *facts)
{
	struct sl_usage usage = { .source = SL_USAGE_REPORTED };

	if (!sl_openai_usage(value, &usage))
		return;
	if (sl_usage_has(&usage, SL_USAGE_OUTPUT) && !sl_usage_has(&usage, SL_USAGE_OUTPUT_IMAGE))
		sl_usage_set(&usage, SL_USAGE_OUTPUT_IMAGE,
		             sl_usage_get(&usage, SL_USAGE_OUTPUT));
	sl_usage_merge(&facts->usage, &usage);
}

static void
note_pictures(struct sl_reply_facts *facts, int64_t count)
{
	struct sl_usage usage = { .source = SL_USAGE_REPORTED };

	sl_usage_set(&usage, SL_USAGE_IMAGES, count);
	sl_usage_merge(&facts->usage, &usage);
}

static void
read_reply(const struct sl_steer *steer, struct sl_slice body, struct sl_arena *arena,
           struct sl_reply_facts *facts)
{
	enum { MODEL, ERROR, USAGE, DATA, REPLY_WANTS };
	static const struct sl_json_want reply_wants[REPLY_WANTS] = {
		{ "model" }, { "error" }, { "usage" }, { "data" },
	};
	struct sl_json_found found[REPLY_WANTS];
	struct sl_json data;
	struct sl_json_iter it;
	int64_t pictures = 0;

	(void)steer;
	if (!sl_reply_scan(body, reply_wants, REPLY_WANTS, found, arena, facts))
		return;
	sl_reply_model(facts, sl_reply_value(body, &found[MODEL]), arena);
	if (sl_reply_error(facts, sl_reply_value(body, &found[ERROR]), arena))
		return;
	data = sl_reply_value(body, &found[DATA]);
	it = sl_json_iter(data);
	while (data.type == SL_JSON_ARRAY && sl_json_next(&it))
		pictures++;
	note_pictures(facts, pictures);
	note_usage(sl_reply_value(body, &found[USAGE]), facts);
	facts->content = true;
	facts->finished = true;
}

static enum sl_frame_verdict
read_frame(struct sl_stream_state *state, struct sl_slice event, struct sl_slice data,
           struct sl_arena *arena)
{
	enum { TYPE, MODEL, ERROR, USAGE, FRAME_WANTS };
	static const struct sl_json_want frame_wants[FRAME_WANTS] = {
		{ "type" }, { "model" }, { "error" }, { "usage" },
	};
	struct sl_json_found found[FRAME_WANTS];
	struct sl_json type;

	(void)event;
	if (data.len == 0 || sl_openai_is_done(data))
		return SL_FRAME_PASS;
	state->frames++;
	if (!sl_reply_scan(data, frame_wants, FRAME_WANTS, found, arena, &state->facts))
		return SL_FRAME_PASS;
	sl_reply_model(&state->facts, sl_reply_value(data, &found[MODEL]), arena);
	if (sl_reply_error(&state->facts, sl_reply_value(data, &found[ERROR]), arena))
		return SL_FRAME_PASS;
	type = sl_reply_value(data, &found[TYPE]);
	state->facts.content = true;
	if (sl_json_is(type, "image_generation.completed")) {
		note_pictures(&state->facts,
		              sl_usage_get(&state->facts.usage, SL_USAGE_IMAGES) + 1);
		note_usage(sl_reply_value(data, &found[USAGE]), &state->facts);
		state->facts.finished = true;
	}
	return SL_FRAME_PASS;
}

const struct sl_shape_ops sl_shape_openai_images = {
	.name = "openai_images",
	.family = "openai",
	.operation = "image_generation",
	.paths = paths,
	.upstream_path = "/images/generations",
	.read_request = read_request,
	.forward = sl_steer_forward,
	.read_reply = read_reply,
	.read_frame = read_frame,
	.write_fault = sl_openai_write_fault,
	.write_stream_fault = sl_openai_write_stream_fault,
};

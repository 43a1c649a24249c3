/* openai_speech.c - POST /v1/audio/speech: text in, audio out.
 * https://platform.openai.com/docs/api-reference/audio/createSpeech
 *
 * The reply is audio and reports nothing, so the characters of the input are
 * counted here. With stream_format "sse" the audio comes as events and the last
 * one, speech.audio.done, may report tokens.
 */
#include "shapes/openai.h"

enum { INPUT = SL_WANT_OWN, STREAM_FORMAT, WANTS };

static const struct sl_json_want wants[WANTS] = {
	SL_WANTS_COMMON, { "input" }, { "stream_format" },
};

static const struct sl_shape_path paths[] = { SL_OPENAI_PATHS("/audio/speech", "speech") };

/* Code points: every byte of UTF-8 that does not continue one. */
static int64_t
characters(struct sl_slice text)
{
	int64_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
	return count;
}

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	struct sl_reading reading = { wants, WANTS, steer, arena, fault };
	struct sl_slice text = SL_SLICE_NONE, format = SL_SLICE_NONE;

	sl_steer_init(steer, input);
	if (!sl_steer_scan(&reading) ||
	    !sl_steer_string(&reading, SL_WANT_MODEL, &steer->model) ||
	    !sl_steer_string(&reading, INPUT, &text))
		return false;
	if (steer->found[STREAM_FORMAT].type != SL_JSON_NULL &&
	    !sl_steer_string(&reading, STREAM_FORMAT, &format))
		return false;
	steer->stream = sl_slice_is(format, "sse");
	steer->framing = steer->stream ? SL_FRAMING_SSE : SL_FRAMING_WHOLE;
	steer->reply_opaque = !steer->stream;
	steer->counted.source = SL_USAGE_COUNTED;
	sl_usage_set(&steer->counted, SL_USAGE_CHARACTERS, characters(text));
	return true;
}

static void
read_reply(const struct sl_steer *steer, struct sl_slice body, struct sl_arena *arena,
           struct sl_reply_facts *facts)
{
	(void)body;
	(void)arena;
	sl_usage_merge(&facts->usage, &steer->counted);
	facts->content = true;
	facts->finished = true;
}

static enum sl_frame_verdict
read_frame(struct sl_stream_state *state, struct sl_slice event, struct sl_slice data,
           struct sl_arena *arena)
{
	enum { TYPE, ERROR, USAGE, FRAME_WANTS };
	static const struct sl_json_want frame_wants[FRAME_WANTS] = {
		{ "type" }, { "error" }, { "usage" },
	};
	struct sl_reply_facts *facts = &state->facts;
	struct sl_json_found found[FRAME_WANTS];
	struct sl_usage usage = { .source = SL_USAGE_REPORTED };
	struct sl_json type;

	(void)event;
	if (data.len == 0 || sl_openai_is_done(data))
		return SL_FRAME_PASS;
	state->frames++;
	if (!sl_reply_scan(data, frame_wants, FRAME_WANTS, found, arena, facts) ||
	    sl_reply_error(facts, sl_reply_value(data, &found[ERROR]), arena))
		return SL_FRAME_PASS;
	type = sl_reply_value(data, &found[TYPE]);
	facts->content = true;
	if (sl_json_is(type, "speech.audio.done")) {
		facts->finished = true;
		if (sl_openai_usage(sl_reply_value(data, &found[USAGE]), &usage))
			sl_usage_merge(&facts->usage, &usage);
	}
	return SL_FRAME_PASS;
}

const struct sl_shape_ops sl_shape_openai_speech = {
	.name = "openai_speech",
	.family = "openai",
	.operation = "speech",
	.paths = paths,
	.upstream_path = "/audio/speech",
	.read_request = read_request,
	.forward = sl_steer_forward,
	.read_reply = read_reply,
	.relay_reply = true,
	.read_frame = read_frame,
	.write_fault = sl_openai_write_fault,
	.write_stream_fault = sl_openai_write_stream_fault,
};

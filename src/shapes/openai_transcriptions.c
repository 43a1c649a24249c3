/* openai_transcriptions.c - POST /v1/audio/transcriptions: audio in, text out.
 * https://platform.openai.com/docs/api-reference/audio/createTranscription
 *
 * The request is multipart/form-data. Only the bytes of the `model` field are
 * replaced; the recording, the order of the parts and the boundary stay. The
 * reply is JSON, or plain text and subtitles when response_format says so.
 */
#include "shapes/multipart.h"
#include "shapes/openai.h"

enum { PARTS_MAX = 64 };

static const struct sl_shape_path paths[] = {
	SL_OPENAI_PATHS("/audio/transcriptions", "transcriptions")
};

struct form {
	struct sl_slice model, stream, response_format;
};

static bool
refuse(struct sl_fault *fault, enum sl_fault_kind kind, const char *param,
       struct sl_slice message)
{
	sl_fault_set(fault, kind, message);
	fault->param = sl_slice_str(param);
	return false;
}

/* Notes a part that steers. False: it stands there twice. */
static bool
note_part(const struct sl_multipart_part *part, struct form *form, struct sl_arena *arena,
          struct sl_fault *fault)
{
	const struct {
		const char      *name;
		struct sl_slice *value;
	} fields[] = {
		{ "model", &form->model },
		{ "stream", &form->stream },
		{ "response_format", &form->response_format },
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (part->is_file || !sl_slice_is(part->name, fields[i].name))
			continue;
		if (fields[i].value->ptr)
			return refuse(fault, SL_FAULT_BAD_REQUEST, fields[i].name,
			              sl_arena_printf(arena, "The form field '%s' occurs twice; "
			                                     "send it once.",
			                              fields[i].name));
		*fields[i].value = part->body;
	}
	return true;
}

static bool
read_form(struct sl_multipart *m, struct form *form, struct sl_arena *arena,
          struct sl_fault *fault)
{
	struct sl_multipart_part part;
	enum sl_err err = SL_OK;

	for (size_t i = 0; i < PARTS_MAX; i++) {
		err = sl_multipart_next(m, &part);
		if (err == SL_ENOTFOUND)
			return true;
		if (err != SL_OK)
			break;
		if (!note_part(&part, form, arena, fault))
			return false;
	}
	if (err == SL_ESYNTAX)
		return refuse(fault, SL_FAULT_BAD_REQUEST, "",
		              sl_arena_printf(arena, "The multipart body is broken or cut off in "
		                                     "the part at byte %zu.", m->at));
	return refuse(fault, SL_FAULT_BAD_REQUEST, "",
	              sl_arena_printf(arena, "The multipart body has more than %d parts or a "
	                                     "part with too long headers.", PARTS_MAX));
}

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	struct form form = { 0 };
	struct sl_multipart m;
	struct sl_slice boundary;

	sl_steer_init(steer, input);
	if (!sl_multipart_boundary(input->content_type, &boundary))
		return refuse(fault, SL_FAULT_MEDIA_TYPE, "",
		              SL_SLICE("Send the recording as multipart/form-data."));
	if (boundary.len == 0)
		return refuse(fault, SL_FAULT_BAD_REQUEST, "",
		              SL_SLICE("The Content-Type header needs a valid boundary."));
	if (sl_multipart_begin(&m, input->body, boundary) != SL_OK)
		return refuse(fault, SL_FAULT_BAD_REQUEST, "",
		              SL_SLICE("The body does not contain the boundary that the "
		                       "Content-Type header names."));
	if (!read_form(&m, &form, arena, fault))
		return false;
	steer->model = form.model;
	steer->model_part = form.model;
	steer->stream = sl_slice_ieq(sl_slice_trim(form.stream), SL_SLICE("true"));
	steer->framing = steer->stream ? SL_FRAMING_SSE : SL_FRAMING_WHOLE;
	steer->reply_opaque = sl_slice_is(form.response_format, "text") ||
	                      sl_slice_is(form.response_format, "srt") ||
	                      sl_slice_is(form.response_format, "vtt");
	return true;
}

static enum sl_err
forward(const struct sl_steer *steer, const struct sl_shape_target *target,
        struct sl_arena *arena, struct sl_forward *out)
{
	struct sl_slice body = steer->input.body, part = steer->model_part;
	size_t before;

	(void)arena;
	sl_forward_clear(out);
	if (!part.ptr || sl_slice_eq(part, target->model)) {
		out->body[out->body_count++] = body;
		return SL_OK;
	}
	/* A line end in a model's name could begin a part of its own. */
	if (sl_slice_find(target->model, '\r') >= 0 || sl_slice_find(target->model, '\n') >= 0)
		return SL_EINVAL;
	before = (size_t)(part.ptr - body.ptr);
	out->body[out->body_count++] = sl_slice_upto(body, before);
	out->body[out->body_count++] = target->model;
	out->body[out->body_count++] = sl_slice_from(body, before + part.len);
	return SL_OK;
}

/* --- replies ------------------------------------------------------------------ */

/* Seconds as a number or, in older replies, as a text; exact to the ms. */
static bool
seconds_to_ms(struct sl_json value, int64_t *out)
{
	struct sl_slice text = value.raw;
	double seconds;

	if (value.type == SL_JSON_STRING)
		text = sl_slice_make(value.raw.ptr + 1, value.raw.len - 2);
	else if (value.type != SL_JSON_NUMBER)
		return false;
	if (text.len == 0 || !sl_json_f64((struct sl_json){ SL_JSON_NUMBER, text }, &seconds) ||
	    !(seconds >= 0 && seconds < 1e9))
		return false;
	*out = (int64_t)(seconds * 1000 + 0.5);
	return true;
}

static void
note_usage(struct sl_json value, struct sl_json duration, struct sl_reply_facts *facts)
{
	struct sl_usage usage = { .source = SL_USAGE_REPORTED };
	int64_t ms;

	if (seconds_to_ms(sl_json_get(value, "seconds"), &ms) || seconds_to_ms(duration, &ms))
		sl_usage_set(&usage, SL_USAGE_AUDIO_MS, ms);
	sl_openai_usage(value, &usage);
	if (usage.present)
		sl_usage_merge(&facts->usage, &usage);
}

static void
read_reply(const struct sl_steer *steer, struct sl_slice body, struct sl_arena *arena,
           struct sl_reply_facts *facts)
{
	enum { ERROR, USAGE, DURATION, REPLY_WANTS };
	static const struct sl_json_want reply_wants[REPLY_WANTS] = {
		{ "error" }, { "usage" }, { "duration" },
	};
	struct sl_json_found found[REPLY_WANTS];

	if (!steer->reply_opaque) {
		if (!sl_reply_scan(body, reply_wants, REPLY_WANTS, found, arena, facts) ||
		    sl_reply_error(facts, sl_reply_value(body, &found[ERROR]), arena))
			return;
		note_usage(sl_reply_value(body, &found[USAGE]),
		           sl_reply_value(body, &found[DURATION]), facts);
	}
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

	(void)event;
	if (data.len == 0 || sl_openai_is_done(data))
		return SL_FRAME_PASS;
	state->frames++;
	if (!sl_reply_scan(data, frame_wants, FRAME_WANTS, found, arena, facts) ||
	    sl_reply_error(facts, sl_reply_value(data, &found[ERROR]), arena))
		return SL_FRAME_PASS;
	facts->content = true;
	if (sl_json_is(sl_reply_value(data, &found[TYPE]), "transcript.text.done")) {
		note_usage(sl_reply_value(data, &found[USAGE]), (struct sl_json){ 0 }, facts);
		facts->finished = true;
	}
	return SL_FRAME_PASS;
}

const struct sl_shape_ops sl_shape_openai_transcriptions = {
	.name = "openai_transcriptions",
	.family = "openai",
	.operation = "transcription",
	.paths = paths,
	.upstream_path = "/audio/transcriptions",
	.read_request = read_request,
	.forward = forward,
	.read_reply = read_reply,
	.read_frame = read_frame,
	.write_fault = sl_openai_write_fault,
	.write_stream_fault = sl_openai_write_stream_fault,
};

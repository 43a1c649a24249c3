/* gemini.c - what the shapes of the Gemini family share.
 *
 * Whether candidatesTokenCount includes thoughts differs between surfaces and
 * versions. The total does not lie: output is what remains of it, if that is
 * one of the two sums that can be meant.
 */
#include "shapes/gemini.h"

#include <stdio.h>

bool
sl_gemini_read_request(struct sl_reading *reading, const struct sl_shape_input *input)
{
	sl_steer_init(reading->steer, input);
	reading->steer->model = input->path_model;
	return sl_steer_scan(reading);
}

enum sl_err
sl_gemini_splice(const struct sl_steer *steer, const struct sl_shape_target *target,
                 struct sl_arena *arena, struct sl_json_splice *splice, struct sl_slice *named)
{
	/* The path has the model: a body without one must not get one. */
	struct sl_shape_target inner = { .model = target->model, .model_in_path = true };
	enum sl_err err;

	*named = SL_SLICE_NONE;
	if (!sl_slice_eq(steer->model, target->model)) {
		inner.model = sl_arena_printf(arena, "models/%.*s", SL_ARG(target->model));
		if (!inner.model.ptr)
			return SL_ENOMEM;
		err = sl_steer_quote(inner.model, arena, named);
		if (err != SL_OK)
			return err;
	}
	return sl_steer_splice(steer, &inner, arena, splice);
}

/* --- usage -------------------------------------------------------------------- */

static void
note_modalities(struct sl_json details, enum sl_usage_class audio, enum sl_usage_class image,
                struct sl_usage *usage)
{
	struct sl_json_iter it = sl_json_iter(details);
	int64_t count;

	while (details.type == SL_JSON_ARRAY && sl_json_next(&it)) {
		struct sl_json modality = sl_json_get(it.value, "modality");

		if (!sl_reply_count(it.value, "tokenCount", &count))
			continue;
		if (sl_json_is(modality, "AUDIO"))
			sl_usage_set(usage, audio, count);
		else if (sl_json_is(modality, "IMAGE"))
			sl_usage_set(usage, image, count);
	}
}

/* Counts of a protocol of 32-bit integers: what is larger is no count, and
 * sums of a few cannot wrap. */
static bool
count32(struct sl_json value, const char *name, int64_t *out)
{
	int64_t count;

	if (!sl_reply_count(value, name, &count) || count > INT32_MAX)
		return false;
	*out = count;
	return true;
}

bool
sl_gemini_usage(struct sl_json value, struct sl_usage *usage)
{
	int64_t prompt = 0, tools = 0, candidates = 0, thoughts = 0, total = 0, cached;
	bool has_candidates, has_thoughts;

	if (value.type != SL_JSON_OBJECT)
		return false;
	if (count32(value, "promptTokenCount", &prompt)) {
		count32(value, "toolUsePromptTokenCount", &tools);
		sl_usage_set(usage, SL_USAGE_INPUT, prompt + tools);
	}
	if (count32(value, "cachedContentTokenCount", &cached))
		sl_usage_set(usage, SL_USAGE_CACHE_READ, cached);
	has_thoughts = count32(value, "thoughtsTokenCount", &thoughts);
	if (has_thoughts)
		sl_usage_set(usage, SL_USAGE_REASONING, thoughts);
	has_candidates = count32(value, "candidatesTokenCount", &candidates);
	if (has_candidates || has_thoughts) {
		int64_t output = candidates + thoughts;

		if (count32(value, "totalTokenCount", &total) &&
		    total - sl_usage_get(usage, SL_USAGE_INPUT) == candidates)
			output = candidates;
		sl_usage_set(usage, SL_USAGE_OUTPUT, output);
	}
	note_modalities(sl_json_get(value, "promptTokensDetails"), SL_USAGE_INPUT_AUDIO,
	                SL_USAGE_INPUT_IMAGE, usage);
	note_modalities(sl_json_get(value, "candidatesTokensDetails"), SL_USAGE_OUTPUT_AUDIO,
	                SL_USAGE_OUTPUT_IMAGE, usage);
	return usage->present != 0;
}

void
sl_gemini_read_reply(const struct sl_steer *steer, struct sl_slice body, struct sl_arena *arena,
                     struct sl_reply_facts *facts)
{
	enum { MODEL, ERROR, USAGE, WANTS };
	static const struct sl_json_want wants[WANTS] = {
		{ "modelVersion" }, { "error" }, { "usageMetadata" },
	};
	struct sl_json_found found[WANTS];

	(void)steer;
	if (!sl_reply_scan(body, wants, WANTS, found, arena, facts))
		return;
	sl_reply_model(facts, sl_reply_value(body, &found[MODEL]), arena);
	if (sl_reply_error(facts, sl_reply_value(body, &found[ERROR]), arena))
		return;
	if (sl_gemini_usage(sl_reply_value(body, &found[USAGE]), &facts->usage))
		facts->usage.source = SL_USAGE_REPORTED;
	facts->content = true;
	facts->finished = true;
}

/* --- faults ------------------------------------------------------------------- */

const char *
sl_gemini_status_name(int status)
{
	switch (status) {
	case 401:
		return "UNAUTHENTICATED";
	case 403:
		return "PERMISSION_DENIED";
	case 404:
		return "NOT_FOUND";
	case 409:
		return "ABORTED";
	case 402:
	case 429:
		return "RESOURCE_EXHAUSTED";
	case 503:
		return "UNAVAILABLE";
	case 408:
	case 504:
		return "DEADLINE_EXCEEDED";
	default:
		return status >= 500 ? "INTERNAL" : "INVALID_ARGUMENT";
	}
}

/* RetryInfo and BadRequest are what Google's clients know how to read. */
static void
put_details(struct sl_json_writer *w, const struct sl_fault *fault)
{
	char delay[24];

	if (!fault->retry_after_s && !fault->param.len)
		return;
	sl_json_key(w, "details");
	sl_json_arr(w);
	if (fault->retry_after_s) {
		int len = snprintf(delay, sizeof(delay), "%us", fault->retry_after_s);

		sl_json_obj(w);
		sl_json_str(w, "@type", SL_SLICE("type.googleapis.com/google.rpc.RetryInfo"));
		sl_json_str(w, "retryDelay", sl_slice_make(delay, (size_t)len));
		sl_json_obj_end(w);
	}
	if (fault->param.len) {
		sl_json_obj(w);
		sl_json_str(w, "@type", SL_SLICE("type.googleapis.com/google.rpc.BadRequest"));
		sl_json_key(w, "fieldViolations");
		sl_json_arr(w);
		sl_json_obj(w);
		sl_json_str(w, "field", fault->param);
		sl_json_str(w, "description", fault->message);
		sl_json_obj_end(w);
		sl_json_arr_end(w);
		sl_json_obj_end(w);
	}
	sl_json_arr_end(w);
}

void
sl_gemini_write_fault(const struct sl_fault *fault, struct sl_slice request_id,
                      struct sl_buf *out)
{
	struct sl_json_writer w;
	int status = sl_fault_status(fault);

	(void)request_id; /* in a header: this envelope has no place for it */
	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_key(&w, "error");
	sl_json_obj(&w);
	sl_json_int(&w, "code", status);
	sl_json_str(&w, "message", fault->message);
	sl_json_str(&w, "status", sl_slice_str(sl_gemini_status_name(status)));
	put_details(&w, fault);
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
}

/* The array is closed behind the error, so that a caller who reads it whole can
 * read the error; an error element is no success. */
void
sl_gemini_write_stream_fault(const struct sl_stream_state *state, const struct sl_fault *fault,
                             struct sl_slice request_id, enum sl_framing framing,
                             struct sl_buf *out)
{
	if (framing == SL_FRAMING_JSON_ARRAY) {
		sl_buf_append_str(out, state->frames ? "," : "[");
		sl_gemini_write_fault(fault, request_id, out);
		sl_buf_append_str(out, "]");
		return;
	}
	sl_buf_append_str(out, "data: ");
	sl_gemini_write_fault(fault, request_id, out);
	sl_buf_append_str(out, "\n\n");
}

/* openai_responses.c - POST /v1/responses.
 * https://platform.openai.com/docs/api-reference/responses
 *
 * Events are named by their `type` (the SSE event field repeats it). A stream
 * ends with exactly one of response.completed, .incomplete or .failed, which
 * carries the whole response and its usage; no [DONE] is needed. What a caller
 * needs when the upstream dies is remembered on the way: the response's id, its
 * creation time and the next sequence number.
 */
#include "shapes/openai.h"
#include "shapes/responses_codec.h"
#include "shapes/prompt.h"

enum { MAX_OUTPUT_TOKENS = SL_WANT_OWN, SAFETY_IDENTIFIER, USER, WANTS };

static const struct sl_json_want wants[WANTS] = {
	SL_WANTS_COMMON, { "max_output_tokens" }, { "safety_identifier" }, { "user" },
};

static const struct sl_shape_path paths[] = { SL_OPENAI_PATHS("/responses", "responses") };

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	struct sl_reading reading = { wants, WANTS, steer, arena, fault };

	sl_steer_init(steer, input);
	if (!sl_steer_scan(&reading) || !sl_steer_common(&reading) ||
	    !sl_steer_limit(&reading, MAX_OUTPUT_TOKENS, &steer->max_output_tokens))
		return false;
	if (steer->stream)
		steer->framing = SL_FRAMING_SSE;
	sl_steer_end_user(&reading, SAFETY_IDENTIFIER);
	sl_steer_end_user(&reading, USER);
	return true;
}

static enum sl_err
forward(const struct sl_steer *steer, const struct sl_shape_target *target,
        struct sl_arena *arena, struct sl_forward *out)
{
	struct sl_json_splice splice;
	enum sl_err err = sl_steer_splice(steer, target, arena, &splice);

	sl_forward_clear(out);
	if (err == SL_OK)
		err = sl_steer_put_limit(steer, target, "max_output_tokens", arena, &splice);
	return err == SL_OK ? sl_steer_finish(&splice, out) : err;
}

/* A response object: the whole reply, or what a lifecycle event embeds. */
static void
note_response(struct sl_json response, struct sl_arena *arena, struct sl_reply_facts *facts)
{
	struct sl_usage usage = { .source = SL_USAGE_REPORTED };
	struct sl_json reason = sl_json_at(response, "incomplete_details.reason");

	sl_reply_model(facts, sl_json_get(response, "model"), arena);
	sl_reply_error(facts, sl_json_get(response, "error"), arena);
	if (sl_json_is(reason, "content_filter"))
		facts->content_filter = true;
	if (sl_openai_usage(sl_json_get(response, "usage"), &usage))
		sl_usage_merge(&facts->usage, &usage);
}

static void
read_reply(const struct sl_steer *steer, struct sl_slice body, struct sl_arena *arena,
           struct sl_reply_facts *facts)
{
	struct sl_json response;

	(void)steer;
	if (!sl_reply_scan(body, NULL, 0, NULL, arena, facts))
		return;
	response = sl_json_parse(body);
	note_response(response, arena, facts);
	if (sl_json_is(sl_json_get(response, "status"), "failed"))
		sl_reply_fail(facts, arena, SL_SLICE("server_error"),
		              SL_SLICE("The provider says that the response failed."));
	facts->content = !facts->failed;
	facts->finished = !facts->failed;
}

/* The id and the time of the response that the first event embeds. */
static void
note_identity(struct sl_stream_state *state, struct sl_json response, struct sl_arena *arena)
{
	struct sl_slice id;

	if (state->response_id.len)
		return;
	if (sl_json_string(sl_json_get(response, "id"), arena, &id) && id.len <= 256)
		state->response_id = sl_arena_dup(arena, id);
	sl_json_i64(sl_json_get(response, "created_at"), &state->created_s);
}

static bool
is_delta(struct sl_slice type)
{
	return sl_slice_ends(type, SL_SLICE(".delta")) ||
	       sl_slice_ends(type, SL_SLICE(".partial_image")) ||
	       sl_slice_is(type, "response.output_item.done");
}

static void
note_event(struct sl_stream_state *state, struct sl_slice type, struct sl_slice data,
           struct sl_arena *arena)
{
	struct sl_reply_facts *facts = &state->facts;
	struct sl_json response;

	if (sl_slice_is(type, "error")) {
		sl_reply_error(facts, sl_json_parse(data), arena);
		return;
	}
	response = sl_json_get(sl_json_parse(data), "response");
	if (response.type != SL_JSON_OBJECT)
		return;
	note_identity(state, response, arena);
	note_response(response, arena, facts);
	if (sl_slice_is(type, "response.failed")) {
		sl_reply_fail(facts, arena, SL_SLICE("server_error"),
		              SL_SLICE("The provider says that the response failed."));
	} else if (sl_slice_is(type, "response.completed") ||
	           sl_slice_is(type, "response.incomplete")) {
		/* Providers that send no deltas have everything in this event. */
		facts->content = true;
		facts->finished = !facts->failed;
	}
}

static enum sl_frame_verdict
read_frame(struct sl_stream_state *state, struct sl_slice event, struct sl_slice data,
           struct sl_arena *arena)
{
	enum { TYPE, SEQUENCE, ERROR, DELTA, FRAME_WANTS };
	static const struct sl_json_want frame_wants[FRAME_WANTS] = {
		{ "type" }, { "sequence_number" }, { "error" }, { "delta" },
	};
	struct sl_json_found found[FRAME_WANTS];
	struct sl_json named;
	struct sl_slice type = event;
	int64_t sequence;

	if (data.len == 0 || sl_openai_is_done(data))
		return SL_FRAME_PASS;
	if (!sl_reply_scan(data, frame_wants, FRAME_WANTS, found, arena, &state->facts))
		return SL_FRAME_PASS;
	state->frames++;
	if (sl_json_i64(sl_reply_value(data, &found[SEQUENCE]), &sequence) && sequence >= 0 &&
	    sequence < INT32_MAX)
		state->next_sequence = sequence + 1;
	else
		state->next_sequence = state->frames;
	sl_reply_error(&state->facts, sl_reply_value(data, &found[ERROR]), arena);
	/* An event type is plain ASCII: its raw bytes are its text. */
	named = sl_reply_value(data, &found[TYPE]);
	if (named.type == SL_JSON_STRING)
		type = sl_slice_make(named.raw.ptr + 1, named.raw.len - 2);
	if (is_delta(type)) {
		state->facts.content = true;
		state->facts.text_bytes +=
		    (int64_t)sl_reply_value(data, &found[DELTA]).raw.len;
	} else
		note_event(state, type, data, arena);
	return SL_FRAME_PASS;
}

/* --- faults ----------------------------------------------------------------- */

/* One event. The caller writes the members behind type and sequence_number. */
static void
begin_event(struct sl_json_writer *w, struct sl_buf *out, const char *type, int64_t sequence)
{
	sl_buf_printf(out, "event: %s\ndata: ", type);
	sl_json_writer_init(w, out);
	sl_json_obj(w);
	sl_json_str(w, "type", sl_slice_str(type));
	sl_json_int(w, "sequence_number", sequence);
}

static void
end_event(struct sl_json_writer *w, struct sl_buf *out)
{
	sl_json_obj_end(w);
	sl_buf_append_str(out, "\n\n");
}

/* error.code of a response is an enumeration. */
static const char *
response_error_code(const struct sl_fault *fault)
{
	int status = sl_fault_status(fault);

	if (status == 429)
		return "rate_limit_exceeded";
	return status >= 500 ? "server_error" : "invalid_prompt";
}

static void
put_null(struct sl_json_writer *w, const char *key)
{
	sl_json_key(w, key);
	sl_json_put_null(w);
}

/* The members that the API's document requires of every response. */
static void
put_failed_response(struct sl_json_writer *w, const struct sl_stream_state *state,
                    const struct sl_fault *fault, struct sl_slice request_id)
{
	sl_json_obj(w);
	sl_json_str(w, "id", state->response_id.len ? state->response_id : request_id);
	sl_json_str(w, "object", SL_SLICE("response"));
	sl_json_int(w, "created_at", state->created_s);
	sl_json_str(w, "status", SL_SLICE("failed"));
	sl_json_key(w, "error");
	sl_json_obj(w);
	sl_json_str(w, "code", sl_slice_str(response_error_code(fault)));
	sl_json_str(w, "message", fault->message);
	sl_json_obj_end(w);
	put_null(w, "incomplete_details");
	put_null(w, "instructions");
	sl_json_str(w, "model", state->facts.model);
	sl_json_key(w, "output");
	sl_json_arr(w);
	sl_json_arr_end(w);
	sl_json_bool(w, "parallel_tool_calls", true);
	sl_json_key(w, "metadata");
	sl_json_obj(w);
	sl_json_obj_end(w);
	sl_json_str(w, "tool_choice", SL_SLICE("auto"));
	sl_json_key(w, "tools");
	sl_json_arr(w);
	sl_json_arr_end(w);
	put_null(w, "temperature");
	put_null(w, "top_p");
	sl_json_obj_end(w);
}

/* Two events: `error`, which SDKs raise, then the terminal that agents which
 * read events themselves wait for. */
static void
write_stream_fault(const struct sl_stream_state *state, const struct sl_fault *fault,
                   struct sl_slice request_id, enum sl_framing framing, struct sl_buf *out)
{
	struct sl_json_writer w;

	(void)framing;
	begin_event(&w, out, "error", state->next_sequence);
	sl_json_str(&w, "code", sl_fault_code(fault));
	sl_json_str(&w, "message", fault->message);
	sl_json_key(&w, "param");
	if (fault->param.len)
		sl_json_put_str(&w, fault->param);
	else
		sl_json_put_null(&w);
	end_event(&w, out);

	begin_event(&w, out, "response.failed", state->next_sequence + 1);
	sl_json_key(&w, "response");
	put_failed_response(&w, state, fault, request_id);
	end_event(&w, out);
}

const struct sl_shape_ops sl_shape_openai_responses = {
	.name = "openai_responses",
	.family = "openai",
	.operation = "chat",
	.paths = paths,
	.upstream_path = "/responses",
	.codec = &sl_responses_codec,
	.takes_limit = true,
	.read_request = read_request,
	.read_prompt = sl_prompt_read,
	.forward = forward,
	.read_reply = read_reply,
	.read_gist = sl_gist_openai_responses,
	.read_frame = read_frame,
	.write_fault = sl_openai_write_fault,
	.write_stream_fault = write_stream_fault,
};

/* bedrock_converse.c - Amazon Bedrock's Converse and ConverseStream.
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
 *
 * Model and streaming are in the path. A stream is a binary event stream whose
 * usage comes behind messageStop, in `metadata`: what ends before messageStop was
 * cut, what ends behind it without metadata is complete and unreported.
 */
#include "base/eventstream.h"
#include "shapes/bedrock.h"
#include "shapes/bedrock_codec.h"
#include "shapes/prompt.h"
#include "shapes/reply.h"
#include "shapes/steer.h"

enum { MAX_TOKENS = SL_WANT_OWN, CONFIG, WANTS };
_Static_assert((int)WANTS <= (int)SL_SHAPE_WANTS_MAX, "the steer has room for every want");

static const struct sl_json_want wants[WANTS] = {
	SL_WANTS_COMMON,
	{ "inferenceConfig.maxTokens" },
	{ "inferenceConfig" },
};

static const struct sl_shape_path paths[] = {
	{ "/model/{model}/converse", "converse" },
	{ "/model/{model}/converse-stream", "converse-stream" },
	{ NULL, NULL },
};

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	struct sl_reading reading = { wants, WANTS, steer, arena, fault };

	sl_steer_init(steer, input);
	steer->model = input->path_model;
	if (!sl_steer_scan(&reading) ||
	    !sl_steer_limit(&reading, MAX_TOKENS, &steer->max_output_tokens))
		return false;
	steer->stream = sl_slice_is(sl_slice_str(input->verb), "converse-stream");
	if (steer->stream)
		steer->framing = SL_FRAMING_EVENTS;
	return true;
}

static enum sl_err
put_limit(const struct sl_steer *steer, const struct sl_shape_target *target,
          struct sl_arena *arena, struct sl_json_splice *splice)
{
	const struct sl_json_found *config = &steer->found[CONFIG];
	struct sl_slice number = sl_arena_u64(arena, (uint64_t)target->max_output_tokens);
	struct sl_slice object;

	if (!number.ptr)
		return SL_ENOMEM;
	if (config->type == SL_JSON_OBJECT)
		return sl_json_splice_insert(splice, config, SL_SLICE("maxTokens"), number);
	object = sl_arena_join(arena, (struct sl_slice[]){ SL_SLICE("{\"maxTokens\":"), number,
	                                                   SL_SLICE("}") }, 3);
	if (!object.ptr)
		return SL_ENOMEM;
	return config->type == SL_JSON_NULL
	           ? sl_json_splice_replace(splice, config, object)
	           : sl_json_splice_insert(splice, &steer->top, SL_SLICE("inferenceConfig"), object);
}

static enum sl_err
forward(const struct sl_steer *steer, const struct sl_shape_target *target,
        struct sl_arena *arena, struct sl_forward *out)
{
	/* The path has the model. */
	const struct sl_shape_target inner = { .model = target->model, .model_in_path = true };
	struct sl_json_splice splice;
	enum sl_err err = sl_steer_splice(steer, &inner, arena, &splice);

	sl_forward_clear(out);
	if (err == SL_OK && target->max_output_tokens > 0)
		err = put_limit(steer, target, arena, &splice);
	return err == SL_OK ? sl_steer_finish(&splice, out) : err;
}

/* --- replies ------------------------------------------------------------------ */

/* Cached reads and writes come beside inputTokens, not inside them. */
void
sl_bedrock_usage(struct sl_json value, struct sl_usage *usage)
{
	int64_t input, read = 0, written = 0, output, total;
	bool has_read, has_written;

	if (!sl_reply_count(value, "inputTokens", &input))
		return;
	has_read = sl_reply_count(value, "cacheReadInputTokens", &read);
	has_written = sl_reply_count(value, "cacheWriteInputTokens", &written);
	if (__builtin_add_overflow(input, read, &total) ||
	    __builtin_add_overflow(total, written, &total))
		total = INT64_MAX;
	sl_usage_set(usage, SL_USAGE_INPUT, total);
	if (has_read)
		sl_usage_set(usage, SL_USAGE_CACHE_READ, read);
	if (has_written)
		sl_usage_set(usage, SL_USAGE_CACHE_WRITE, written);
	if (sl_reply_count(value, "outputTokens", &output))
		sl_usage_set(usage, SL_USAGE_OUTPUT, output);
	usage->source = SL_USAGE_REPORTED;
}

static void
note_stop(struct sl_json reason, struct sl_reply_facts *facts)
{
	if (sl_json_is(reason, "guardrail_intervened") || sl_json_is(reason, "content_filtered"))
		facts->content_filter = true;
}

static void
read_reply(const struct sl_steer *steer, struct sl_slice body, struct sl_arena *arena,
           struct sl_reply_facts *facts)
{
	enum { OUTPUT, REASON, USAGE, MESSAGE, REPLY_WANTS };
	static const struct sl_json_want reply_wants[REPLY_WANTS] = {
		{ "output" }, { "stopReason" }, { "usage" }, { "message" },
	};
	struct sl_json_found found[REPLY_WANTS];
	struct sl_slice text = SL_SLICE("The reply holds no output.");

	(void)steer;
	if (!sl_reply_scan(body, reply_wants, REPLY_WANTS, found, arena, facts))
		return;
	/* Errors have come with status 200. */
	if (found[OUTPUT].type != SL_JSON_OBJECT) {
		sl_json_string(sl_reply_value(body, &found[MESSAGE]), arena, &text);
		sl_reply_fail(facts, arena, SL_SLICE_NONE, text);
		return;
	}
	sl_bedrock_usage(sl_reply_value(body, &found[USAGE]), &facts->usage);
	note_stop(sl_reply_value(body, &found[REASON]), facts);
	facts->content = true;
	facts->finished = true;
}

bool
sl_bedrock_is_exception(struct sl_slice type)
{
	return sl_slice_ends(type, SL_SLICE("Exception")) || sl_slice_is(type, "error");
}

static void
note_delta(struct sl_json delta, struct sl_reply_facts *facts)
{
	static const char *const texts[] = { "text", "toolUse.input", "reasoningContent.text" };

	facts->content = true;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		facts->text_bytes += (int64_t)sl_json_at(delta, texts[i]).raw.len;
}

static enum sl_frame_verdict
read_frame(struct sl_stream_state *state, struct sl_slice event, struct sl_slice data,
           struct sl_arena *arena)
{
	enum { DELTA, START, REASON, USAGE, MESSAGE, FRAME_WANTS };
	static const struct sl_json_want frame_wants[FRAME_WANTS] = {
		{ "delta" }, { "start" }, { "stopReason" }, { "usage" }, { "message" },
	};
	struct sl_reply_facts *facts = &state->facts;
	struct sl_json_found found[FRAME_WANTS];
	struct sl_slice text = SL_SLICE_NONE;

	state->frames++;
	if (!sl_reply_scan(data, frame_wants, FRAME_WANTS, found, arena, facts))
		return SL_FRAME_PASS;
	if (sl_bedrock_is_exception(event)) {
		sl_json_string(sl_reply_value(data, &found[MESSAGE]), arena, &text);
		sl_reply_fail(facts, arena, event, text);
	} else if (sl_slice_is(event, "contentBlockDelta")) {
		note_delta(sl_reply_value(data, &found[DELTA]), facts);
	} else if (sl_slice_is(event, "contentBlockStart")) {
		facts->content = true;
	} else if (sl_slice_is(event, "messageStop")) {
		state->stop_seen = true;
		note_stop(sl_reply_value(data, &found[REASON]), facts);
	} else if (sl_slice_is(event, "metadata")) {
		sl_bedrock_usage(sl_reply_value(data, &found[USAGE]), &facts->usage);
		facts->finished = state->stop_seen && !facts->failed;
	}
	return SL_FRAME_PASS;
}

static void
end_stream(struct sl_stream_state *state)
{
	if (state->stop_seen && !state->facts.failed)
		state->facts.finished = true;
}

/* --- faults ------------------------------------------------------------------- */

/* "ThrottlingException" for 429. */
static const char *
error_type(int status)
{
	switch (status) {
	case 401:
	case 403:
		return "AccessDeniedException";
	case 402:
		return "ServiceQuotaExceededException";
	case 404:
		return "ResourceNotFoundException";
	case 408:
	case 504:
		return "ModelTimeoutException";
	case 409:
		return "ConflictException";
	case 429:
		return "ThrottlingException";
	case 503:
	case 529:
		return "ServiceUnavailableException";
	default:
		return status >= 500 ? "InternalServerException" : "ValidationException";
	}
}

/* SDKs take the type from a header or from __type; the latter travels here. */
static void
put_fault(const char *type, const struct sl_fault *fault, struct sl_buf *out)
{
	struct sl_json_writer w;

	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	if (type)
		sl_json_str(&w, "__type", sl_slice_str(type));
	sl_json_str(&w, "message", fault->message);
	sl_json_obj_end(&w);
}

static void
write_fault(const struct sl_fault *fault, struct sl_slice request_id, struct sl_buf *out)
{
	(void)request_id;
	put_fault(error_type(sl_fault_status(fault)), fault, out);
}

/* The exceptions that a stream knows have their own spelling. */
void
sl_bedrock_write_exception(const struct sl_fault *fault, struct sl_buf *out)
{
	int status = sl_fault_status(fault);
	const char *type = status == 429                  ? "throttlingException"
	                   : status == 503 || status == 529 ? "serviceUnavailableException"
	                   : status >= 500                ? "modelStreamErrorException"
	                                                  : "validationException";
	struct sl_buf payload;

	sl_buf_init(&payload, 64 * 1024);
	put_fault(NULL, fault, &payload);
	if (!payload.failed)
		sl_event_write(out, SL_SLICE("exception"), sl_slice_str(type),
		               SL_SLICE("application/json"), sl_buf_slice(&payload));
	sl_buf_release(&payload);
}

static void
write_stream_fault(const struct sl_stream_state *state, const struct sl_fault *fault,
                   struct sl_slice request_id, enum sl_framing framing, struct sl_buf *out)
{
	(void)state;
	(void)request_id;
	(void)framing;
	sl_bedrock_write_exception(fault, out);
}

const struct sl_shape_ops sl_shape_bedrock_converse = {
	.name = "bedrock_converse",
	.family = "bedrock",
	.operation = "chat",
	.paths = paths,
	.upstream_path = "/model/{model}/{verb}",
	.takes_limit = true,
	.read_request = read_request,
	.read_prompt = sl_prompt_read,
	.forward = forward,
	.read_reply = read_reply,
	.read_frame = read_frame,
	.end_stream = end_stream,
	.write_fault = write_fault,
	.write_stream_fault = write_stream_fault,
	.codec = &sl_bedrock_codec,
};

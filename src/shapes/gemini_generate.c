/* gemini_generate.c - models/{model}:generateContent and :streamGenerateContent.
 * https://ai.google.dev/api/generate-content
 *
 * Whether it streams is in the verb, how is in the query: alt=sse, else one JSON
 * array that arrives element by element. Every element is a whole response.
 * There is no terminal frame: the end of the bytes behind a finishReason (or a
 * blocked prompt) is the proper end, which end_stream decides.
 */
#include "shapes/gemini.h"
#include "shapes/gemini_codec.h"
#include "shapes/prompt.h"

/* The protocol's JSON form takes member names in both spellings. */
enum {
	MAX_TOKENS = SL_WANT_OWN,
	MAX_TOKENS_SNAKE,
	CHOICES,
	CHOICES_SNAKE,
	CONFIG,
	CONFIG_SNAKE,
	WANTS,
};
_Static_assert((int)WANTS <= (int)SL_SHAPE_WANTS_MAX, "the steer has room for every want");

static const struct sl_json_want wants[WANTS] = {
	SL_WANTS_COMMON,
	{ "generationConfig.maxOutputTokens" },
	{ "generation_config.max_output_tokens" },
	{ "generationConfig.candidateCount" },
	{ "generation_config.candidate_count" },
	{ "generationConfig" },
	{ "generation_config" },
};

static const struct sl_shape_path paths[] = {
	SL_GEMINI_PATHS("generateContent"),
	SL_GEMINI_PATHS("streamGenerateContent"),
	{ NULL, NULL },
};

static bool
asks_for_sse(struct sl_slice query)
{
	while (query.len)
		if (sl_slice_is(sl_slice_cut(&query, '&'), "alt=sse"))
			return true;
	return false;
}

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	struct sl_reading reading = { wants, WANTS, steer, arena, fault };

	if (!sl_gemini_read_request(&reading, input) ||
	    !sl_steer_limit(&reading, MAX_TOKENS, &steer->max_output_tokens) ||
	    !sl_steer_limit(&reading, MAX_TOKENS_SNAKE, &steer->max_output_tokens) ||
	    !sl_steer_choices(&reading, CHOICES, &steer->choices) ||
	    !sl_steer_choices(&reading, CHOICES_SNAKE, &steer->choices))
		return false;
	steer->stream = sl_slice_is(sl_slice_str(input->verb), "streamGenerateContent");
	if (steer->stream)
		steer->framing = asks_for_sse(input->query) ? SL_FRAMING_SSE
		                                            : SL_FRAMING_JSON_ARRAY;
	return true;
}

static enum sl_err
put_limit(const struct sl_steer *steer, const struct sl_shape_target *target,
          struct sl_arena *arena, struct sl_json_splice *splice)
{
	bool snake = steer->found[CONFIG_SNAKE].type == SL_JSON_OBJECT;
	const struct sl_json_found *config = &steer->found[snake ? CONFIG_SNAKE : CONFIG];
	struct sl_slice number = sl_arena_u64(arena, (uint64_t)target->max_output_tokens);
	struct sl_slice object;

	if (!number.ptr)
		return SL_ENOMEM;
	if (config->type == SL_JSON_OBJECT)
		return sl_json_splice_insert(splice, config, snake ? SL_SLICE("max_output_tokens")
		                                                   : SL_SLICE("maxOutputTokens"),
		                             number);
	object = sl_arena_join(arena, (struct sl_slice[]){ SL_SLICE("{\"maxOutputTokens\":"), number,
	                                                   SL_SLICE("}") }, 3);
	if (!object.ptr)
		return SL_ENOMEM;
	return config->type == SL_JSON_NULL
	           ? sl_json_splice_replace(splice, config, object)
	           : sl_json_splice_insert(splice, &steer->top, SL_SLICE("generationConfig"), object);
}

static enum sl_err
forward(const struct sl_steer *steer, const struct sl_shape_target *target,
        struct sl_arena *arena, struct sl_forward *out)
{
	struct sl_json_splice splice;
	struct sl_slice named;
	enum sl_err err = sl_gemini_splice(steer, target, arena, &splice, &named);

	sl_forward_clear(out);
	if (err == SL_OK && target->max_output_tokens > 0)
		err = put_limit(steer, target, arena, &splice);
	return err == SL_OK ? sl_steer_finish(&splice, out) : err;
}

/* --- replies ------------------------------------------------------------------ */

static bool
is_filter(struct sl_json reason)
{
	static const char *const filters[] = {
		"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE",
		"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION",
	};

	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
		if (sl_json_is(reason, filters[i]))
			return true;
	return false;
}

static bool
part_has_content(struct sl_json part)
{
	static const char *const pieces[] = {
		"text", "functionCall", "inlineData", "fileData", "executableCode",
		"codeExecutionResult", "thoughtSignature",
	};

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
		if (sl_reply_has(sl_json_get(part, pieces[i])))
			return true;
	return false;
}

static void
note_candidates(struct sl_json candidates, struct sl_reply_facts *facts, bool *stop_seen)
{
	struct sl_json_iter it = sl_json_iter(candidates);

	while (candidates.type == SL_JSON_ARRAY && sl_json_next(&it)) {
		struct sl_json reason = sl_json_get(it.value, "finishReason");
		struct sl_json parts = sl_json_at(it.value, "content.parts");
		struct sl_json_iter part = sl_json_iter(parts);

		if (reason.type == SL_JSON_STRING) {
			*stop_seen = true;
			facts->content_filter |= is_filter(reason);
		}
		while (parts.type == SL_JSON_ARRAY && sl_json_next(&part)) {
			facts->content = facts->content || part_has_content(part.value);
			facts->text_bytes += (int64_t)part.value.raw.len;
		}
	}
}

/* One response object: the whole reply or one element of a stream. */
static void
note_response(struct sl_slice data, struct sl_arena *arena, struct sl_reply_facts *facts,
              bool *stop_seen)
{
	enum { MODEL, ERROR, USAGE, CANDIDATES, BLOCK, REPLY_WANTS };
	static const struct sl_json_want reply_wants[REPLY_WANTS] = {
		{ "modelVersion" }, { "error" }, { "usageMetadata" }, { "candidates" },
		{ "promptFeedback.blockReason" },
	};
	struct sl_json_found found[REPLY_WANTS];

	if (!sl_reply_scan(data, reply_wants, REPLY_WANTS, found, arena, facts))
		return;
	sl_reply_model(facts, sl_reply_value(data, &found[MODEL]), arena);
	sl_reply_error(facts, sl_reply_value(data, &found[ERROR]), arena);
	note_candidates(sl_reply_value(data, &found[CANDIDATES]), facts, stop_seen);
	if (found[BLOCK].type == SL_JSON_STRING) {
		*stop_seen = true;
		facts->content_filter = true;
	}
	if (sl_gemini_usage(sl_reply_value(data, &found[USAGE]), &facts->usage))
		facts->usage.source = *stop_seen ? SL_USAGE_REPORTED : SL_USAGE_PARTIAL;
}

static void
read_reply(const struct sl_steer *steer, struct sl_slice body, struct sl_arena *arena,
           struct sl_reply_facts *facts)
{
	bool stop_seen = true; /* a whole reply has come to its end */

	(void)steer;
	note_response(body, arena, facts, &stop_seen);
	facts->content = !facts->failed;
	facts->finished = !facts->failed;
}

static enum sl_frame_verdict
read_frame(struct sl_stream_state *state, struct sl_slice event, struct sl_slice data,
           struct sl_arena *arena)
{
	(void)event;
	if (data.len == 0)
		return SL_FRAME_PASS;
	state->frames++;
	note_response(data, arena, &state->facts, &state->stop_seen);
	return SL_FRAME_PASS;
}

static void
end_stream(struct sl_stream_state *state)
{
	if (state->stop_seen && !state->facts.failed)
		state->facts.finished = true;
}

const struct sl_shape_ops sl_shape_gemini_generate = {
	.name = "gemini_generate",
	.family = "gemini",
	.operation = "generate_content",
	.paths = paths,
	.upstream_path = "/v1beta/models/{model}:{verb}",
	.codec = &sl_gemini_codec,
	.takes_limit = true,
	.read_request = read_request,
	.read_prompt = sl_prompt_read,
	.forward = forward,
	.read_reply = read_reply,
	.read_gist = sl_gist_gemini,
	.read_frame = read_frame,
	.end_stream = end_stream,
	.write_fault = sl_gemini_write_fault,
	.write_stream_fault = sl_gemini_write_stream_fault,
};

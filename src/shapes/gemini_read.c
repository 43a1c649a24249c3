/* gemini_read.c - what generateContent answers, told to a flow.
 *
 * Every chunk is a whole response: its parts go on where the last ones ended. Text
 * and thoughts are runs; a call comes at once and is closed at once, unless the caller of
 * Vertex asked for its arguments piece by piece: then the first part names it, those behind
 * it (willContinue) bring pieces, and the first that says nothing of going on ends it. There
 * is no terminal: the end of the bytes behind a finishReason is the end.
 */
#include "base/timestamp.h"
#include "shapes/gemini.h"
#include "shapes/gemini_codec.h"

enum { KEY_TEXT, KEY_THOUGHT, KEY_FIRST };

struct reading {
	struct sl_gemini_reader *state;
	struct sl_flow          *flow;
	struct sl_arena         *arena;
	int                      choice;
};

static const struct {
	const char  *name;
	enum sl_stop stop;
} reasons[] = {
	{ "STOP", SL_STOP_END }, { "MAX_TOKENS", SL_STOP_MAX_TOKENS },
	{ "SAFETY", SL_STOP_FILTER }, { "BLOCKLIST", SL_STOP_FILTER },
	{ "PROHIBITED_CONTENT", SL_STOP_FILTER }, { "SPII", SL_STOP_FILTER },
	{ "IMAGE_SAFETY", SL_STOP_FILTER }, { "IMAGE_PROHIBITED_CONTENT", SL_STOP_FILTER },
	{ "RECITATION", SL_STOP_RECITATION }, { "IMAGE_RECITATION", SL_STOP_RECITATION },
	{ "LANGUAGE", SL_STOP_RECITATION }, { "CONTINUATION", SL_STOP_PAUSE },
	{ "MALFORMED_FUNCTION_CALL", SL_STOP_BAD_TOOL },
	{ "UNEXPECTED_TOOL_CALL", SL_STOP_BAD_TOOL },
	{ "TOO_MANY_TOOL_CALLS", SL_STOP_BAD_TOOL }, { "OTHER", SL_STOP_ERROR },
	{ "FINISH_REASON_UNSPECIFIED", SL_STOP_ERROR }, { "IMAGE_OTHER", SL_STOP_ERROR },
	{ "NO_IMAGE", SL_STOP_ERROR },
};

static enum sl_stop
stop_of(struct sl_json reason)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (sl_json_is(reason, reasons[i].name))
			return reasons[i].stop;
	return SL_STOP_UNKNOWN;
}

static struct sl_slice
text_of(struct reading *r, struct sl_json value)
{
	struct sl_slice text = SL_SLICE_NONE;

	sl_json_string(value, r->arena, &text);
	return text;
}

/* --- parts -------------------------------------------------------------------------- */

/* A signature that belongs to no call and to no thought is one of its own. */
static void
tell_bare_signature(struct reading *r, struct sl_slice signature)
{
	const struct sl_flow_open open = { .choice = r->choice, .key = r->state->next_key++,
		                           .kind = SL_PART_REASONING };

	sl_flow_close(r->flow, r->choice, KEY_TEXT);
	sl_flow_open(r->flow, &open);
	sl_flow_signature(r->flow, r->choice, open.key, signature);
	sl_flow_close(r->flow, r->choice, open.key);
}

static void
tell_text(struct reading *r, struct sl_json text, bool thought, struct sl_slice signature)
{
	int64_t key = thought ? KEY_THOUGHT : KEY_TEXT;

	sl_flow_run(r->flow, r->choice, key, thought ? SL_PART_REASONING : SL_PART_TEXT,
	            sl_text_json(text));
	if (signature.len == 0)
		return;
	if (thought && sl_flow_is_open(r->flow, r->choice, key))
		sl_flow_signature(r->flow, r->choice, key, signature);
	else
		tell_bare_signature(r, signature);
}

static void
fail(struct reading *r, struct sl_slice message)
{
	struct sl_fault fault;

	sl_fault_set(&fault, SL_FAULT_UPSTREAM_BROKEN, message);
	sl_flow_fail(r->flow, &fault);
}

/* The arguments so far are all, and the call with them. */
static void
end_pieces(struct reading *r)
{
	struct sl_gemini_reader *state = r->state;
	struct sl_buf text;

	sl_buf_init(&text, SL_GEMINI_STEPS_MAX * 2);
	sl_gemini_args_end(&state->args, &text);
	if (text.len)
		sl_flow_delta(r->flow, state->args_choice, state->args_key,
		              sl_text_plain(sl_buf_slice(&text)));
	sl_flow_close(r->flow, state->args_choice, state->args_key);
	sl_buf_release(&text);
}

/* A part of the call whose arguments come in pieces. */
static void
tell_pieces(struct reading *r, struct sl_json call, struct sl_slice signature)
{
	struct sl_gemini_reader *state = r->state;
	struct sl_buf text;

	sl_flow_call(r->flow, r->choice, state->args_key, sl_text_json(sl_json_get(call, "id")),
	             SL_TEXT_NONE);
	if (signature.len)
		sl_flow_signature(r->flow, r->choice, state->args_key, signature);
	sl_buf_init(&text, SL_FLOW_WAITING_MAX);
	if (!sl_gemini_args_add(&state->args, sl_json_get(call, "partialArgs"), r->arena, &text) ||
	    text.failed)
		fail(r, SL_SLICE("The provider's pieces of a call's arguments make no JSON "
		                 "object."));
	else if (text.len)
		sl_flow_delta(r->flow, r->choice, state->args_key,
		              sl_text_plain(sl_buf_slice(&text)));
	sl_buf_release(&text);
	if (!sl_json_true(sl_json_get(call, "willContinue")))
		end_pieces(r);
}

/* Whether the part belongs to the call whose arguments come in pieces; a name that comes
 * without a piece is of the next call. */
static bool
goes_on(const struct reading *r, struct sl_json call)
{
	return r->state->args.open && r->state->args_choice == r->choice &&
	       (sl_json_get(call, "name").type != SL_JSON_STRING ||
	        sl_json_get(call, "partialArgs").type == SL_JSON_ARRAY);
}

static void
begin_pieces(struct reading *r, struct sl_json call, int64_t key)
{
	sl_gemini_args_begin(&r->state->args);
	r->state->args_choice = r->choice;
	r->state->args_key = key;
	tell_pieces(r, call, SL_SLICE_NONE);
}

static void
tell_call(struct reading *r, struct sl_json call, struct sl_slice signature)
{
	struct sl_json args = sl_json_get(call, "args");
	const struct sl_flow_open open = {
		.choice = r->choice, .key = r->state->next_key++, .kind = SL_PART_TOOL_CALL,
		.id = sl_text_json(sl_json_get(call, "id")),
		.name = sl_text_json(sl_json_get(call, "name")), .signature = signature,
	};

	if (goes_on(r, call)) {
		tell_pieces(r, call, signature);
		return;
	}
	if (r->state->args.open && r->state->args_choice != r->choice) {
		fail(r, SL_SLICE("The provider mixes the pieces of two candidates' calls."));
		return;
	}
	if (r->state->args.open)
		end_pieces(r);
	sl_flow_close(r->flow, r->choice, KEY_TEXT);
	sl_flow_close(r->flow, r->choice, KEY_THOUGHT);
	sl_flow_open(r->flow, &open);
	if (sl_json_true(sl_json_get(call, "willContinue")) ||
	    sl_json_get(call, "partialArgs").type == SL_JSON_ARRAY) {
		begin_pieces(r, call, open.key);
		return;
	}
	if (args.type == SL_JSON_OBJECT)
		sl_flow_delta(r->flow, r->choice, open.key, sl_text_plain(args.raw));
	sl_flow_close(r->flow, r->choice, open.key);
}

static void
tell_blob(struct reading *r, struct sl_json blob)
{
	struct sl_part part = { .kind = SL_PART_IMAGE };

	part.media.source = SL_MEDIA_INLINE;
	part.media.type = text_of(r, sl_json_get(blob, "mimeType"));
	part.media.data = text_of(r, sl_json_get(blob, "data"));
	if (sl_slice_starts(part.media.type, SL_SLICE("audio/")))
		part.kind = SL_PART_AUDIO;
	else if (sl_slice_starts(part.media.type, SL_SLICE("video/")))
		part.kind = SL_PART_VIDEO;
	sl_flow_part(r->flow, r->choice, &part);
}

static void
tell_part(struct reading *r, struct sl_json part)
{
	struct sl_slice signature = text_of(r, sl_json_get(part, "thoughtSignature"));
	struct sl_json text = sl_json_get(part, "text");
	struct sl_json call = sl_json_get(part, "functionCall");
	struct sl_json blob = sl_json_get(part, "inlineData");

	if (text.type == SL_JSON_STRING)
		tell_text(r, text, sl_json_true(sl_json_get(part, "thought")), signature);
	else if (call.type == SL_JSON_OBJECT)
		tell_call(r, call, signature);
	else if (blob.type == SL_JSON_OBJECT)
		tell_blob(r, blob);
	else if (sl_json_get(part, "executableCode").type == SL_JSON_OBJECT ||
	         sl_json_get(part, "codeExecutionResult").type == SL_JSON_OBJECT)
		sl_flow_part(r->flow, r->choice,
		             &(struct sl_part){ .kind = SL_PART_OPAQUE, .raw = part.raw,
		                                .origin = "gemini_generate" });
	else if (signature.len)
		tell_bare_signature(r, signature);
}

/* --- citations --------------------------------------------------------------------------- */

static void
tell_citation(struct reading *r, struct sl_json segment, struct sl_slice url,
              struct sl_json title, struct sl_slice raw)
{
	struct sl_citation citation = { .url = url, .title = sl_text_json(title), .start = -1,
		                        .end = -1, .raw = raw, .origin = "gemini_generate" };

	sl_json_i64(sl_json_get(segment, "startIndex"), &citation.start);
	sl_json_i64(sl_json_get(segment, "endIndex"), &citation.end);
	if (citation.end >= 0 && citation.start < 0)
		citation.start = 0; /* the protocol leaves zeros out */
	citation.quote = sl_text_json(sl_json_get(segment, "text"));
	sl_flow_citation(r->flow, r->choice, KEY_TEXT, &citation);
}

static struct sl_json
element(struct sl_json array, int64_t index)
{
	struct sl_json none = { .type = SL_JSON_NONE };

	for (struct sl_json_iter it = sl_json_iter(array);
	     array.type == SL_JSON_ARRAY && sl_json_next(&it);)
		if ((int64_t)it.index == index)
			return it.value;
	return none;
}

static void
tell_grounding(struct reading *r, struct sl_json grounding)
{
	struct sl_json supports = sl_json_get(grounding, "groundingSupports");
	struct sl_json chunks = sl_json_get(grounding, "groundingChunks");

	for (struct sl_json_iter it = sl_json_iter(supports);
	     supports.type == SL_JSON_ARRAY && sl_json_next(&it);) {
		struct sl_json indices = sl_json_get(it.value, "groundingChunkIndices");

		for (struct sl_json_iter of = sl_json_iter(indices);
		     indices.type == SL_JSON_ARRAY && sl_json_next(&of);) {
			struct sl_json web;
			int64_t index;

			if (!sl_json_i64(of.value, &index))
				continue;
			web = sl_json_get(element(chunks, index), "web");
			if (web.type == SL_JSON_OBJECT)
				tell_citation(r, sl_json_get(it.value, "segment"),
				              text_of(r, sl_json_get(web, "uri")),
				              sl_json_get(web, "title"), it.value.raw);
		}
	}
}

static void
tell_citations(struct reading *r, struct sl_json candidate)
{
	struct sl_json sources = sl_json_at(candidate, "citationMetadata.citationSources");

	for (struct sl_json_iter it = sl_json_iter(sources);
	     sources.type == SL_JSON_ARRAY && sl_json_next(&it);)
		tell_citation(r, it.value, text_of(r, sl_json_get(it.value, "uri")),
		              sl_json_get(it.value, "title"), it.value.raw);
	tell_grounding(r, sl_json_get(candidate, "groundingMetadata"));
}

/* --- logprobs ------------------------------------------------------------------------------- */

static void
put_token(struct reading *r, struct sl_json_writer *w, struct sl_json token)
{
	struct sl_json value = sl_json_get(token, "logProbability");
	struct sl_json text = sl_json_get(token, "token");
	struct sl_slice utf8;

	sl_json_key(w, "token");
	if (text.type == SL_JSON_STRING)
		sl_json_put_raw(w, text.raw);
	else
		sl_json_put_str(w, SL_SLICE(""));
	sl_json_key(w, "logprob");
	sl_json_put_raw(w, value.type == SL_JSON_NUMBER ? value.raw : SL_SLICE("0"));
	/* Not reported, and Responses takes no null. */
	sl_json_key(w, "bytes");
	if (!sl_json_string(text, r->arena, &utf8)) {
		sl_json_put_null(w);
		return;
	}
	sl_json_arr(w);
	for (size_t i = 0; i < utf8.len; i++)
		sl_json_put_i64(w, (unsigned char)utf8.ptr[i]);
	sl_json_arr_end(w);
}

/* As chat's logprobs.content. */
static void
tell_logprobs(struct reading *r, struct sl_json result)
{
	struct sl_json chosen = sl_json_get(result, "chosenCandidates");
	struct sl_json_iter tops = sl_json_iter(sl_json_get(result, "topCandidates"));
	struct sl_json_writer w;
	struct sl_buf buf;

	if (chosen.type != SL_JSON_ARRAY || !sl_flow_is_open(r->flow, r->choice, KEY_TEXT))
		return;
	sl_buf_init(&buf, 16u * 1024 * 1024);
	sl_json_writer_init(&w, &buf);
	sl_json_arr(&w);
	for (struct sl_json_iter it = sl_json_iter(chosen); sl_json_next(&it);) {
		struct sl_json top = { .type = SL_JSON_NONE };

		if (sl_json_next(&tops))
			top = sl_json_get(tops.value, "candidates");
		sl_json_obj(&w);
		put_token(r, &w, it.value);
		sl_json_key(&w, "top_logprobs");
		sl_json_arr(&w);
		for (struct sl_json_iter of = sl_json_iter(top);
		     top.type == SL_JSON_ARRAY && sl_json_next(&of);) {
			sl_json_obj(&w);
			put_token(r, &w, of.value);
			sl_json_obj_end(&w);
		}
		sl_json_arr_end(&w);
		sl_json_obj_end(&w);
	}
	sl_json_arr_end(&w);
	if (!buf.failed)
		sl_flow_logprobs(r->flow, r->choice, KEY_TEXT, sl_buf_slice(&buf));
	sl_buf_release(&buf);
}

/* --- responses ---------------------------------------------------------------------------------- */

static void
tell_candidate(struct reading *r, struct sl_json candidate)
{
	struct sl_json parts = sl_json_at(candidate, "content.parts");
	struct sl_json reason = sl_json_get(candidate, "finishReason");
	enum sl_stop stop;
	int64_t index;

	r->choice = sl_json_i64(sl_json_get(candidate, "index"), &index) && index >= 0 &&
	            index < SL_CHOICES_MAX ? (int)index : 0;
	for (struct sl_json_iter it = sl_json_iter(parts);
	     parts.type == SL_JSON_ARRAY && sl_json_next(&it);)
		tell_part(r, it.value);
	tell_citations(r, candidate);
	tell_logprobs(r, sl_json_get(candidate, "logprobsResult"));
	if (reason.type != SL_JSON_STRING)
		return;
	stop = stop_of(reason);
	if (stop == SL_STOP_ERROR) {
		fail(r, sl_arena_printf(r->arena, "The provider stopped the answer: %.*s.",
		                        SL_ARG(text_of(r, reason))));
		return;
	}
	/* Of a call that the limit cut off what came is kept. */
	if (r->state->args.open && r->state->args_choice == r->choice && stop != SL_STOP_MAX_TOKENS)
		end_pieces(r);
	sl_flow_stop(r->flow, r->choice, stop, SL_TEXT_NONE);
}

static void
start(struct reading *r, struct sl_json response)
{
	int64_t created_ms = 0;

	if (r->flow->started)
		return;
	if (!sl_timestamp_parse(text_of(r, sl_json_get(response, "createTime")), &created_ms))
		created_ms = 0;
	sl_flow_start(r->flow, sl_text_json(sl_json_get(response, "responseId")),
	              sl_text_json(sl_json_get(response, "modelVersion")), created_ms / 1000);
}

static void
tell_response(struct reading *r, struct sl_slice data)
{
	struct sl_json response, error, candidates;
	struct sl_usage usage = { .source = SL_USAGE_REPORTED };
	struct sl_fault fault;

	if (sl_json_validate(data, NULL, NULL) != SL_OK) {
		fail(r, SL_SLICE("The provider's answer is no JSON."));
		return;
	}
	response = sl_json_parse(data);
	if (response.type == SL_JSON_ARRAY)
		response = element(response, 0); /* errors come wrapped on some paths */
	error = sl_json_get(response, "error");
	if (error.type > SL_JSON_NULL) {
		sl_codec_read_error_value(error, r->arena, &fault);
		sl_flow_fail(r->flow, &fault);
		return;
	}
	start(r, response);
	if (sl_gemini_usage(sl_json_get(response, "usageMetadata"), &usage))
		sl_flow_usage(r->flow, &usage);
	candidates = sl_json_get(response, "candidates");
	for (struct sl_json_iter it = sl_json_iter(candidates);
	     candidates.type == SL_JSON_ARRAY && sl_json_next(&it);)
		tell_candidate(r, it.value);
	if (sl_json_at(response, "promptFeedback.blockReason").type == SL_JSON_STRING)
		sl_flow_stop(r->flow, 0, SL_STOP_FILTER, SL_TEXT_NONE);
}

void
sl_gemini_read_frame(void *reader, struct sl_flow *flow, struct sl_slice event,
                     struct sl_slice data, struct sl_arena *arena)
{
	struct reading r = { .state = reader, .flow = flow, .arena = arena };

	(void)event;
	if (r.state->next_key == 0)
		r.state->next_key = KEY_FIRST;
	if (data.len)
		tell_response(&r, data);
}

void
sl_gemini_read_end(void *reader, struct sl_flow *flow, struct sl_arena *arena)
{
	(void)reader;
	(void)arena;
	sl_flow_end(flow);
}

void
sl_gemini_read_whole(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena)
{
	struct sl_gemini_reader state = { .next_key = KEY_FIRST };
	struct reading r = { .state = &state, .flow = flow, .arena = arena };

	tell_response(&r, body);
	sl_gemini_reader_release(&state);
	sl_flow_end(flow);
}

void
sl_gemini_reader_release(void *reader)
{
	struct sl_gemini_reader *state = reader;

	sl_gemini_args_release(&state->args);
}

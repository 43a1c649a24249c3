/* openai.c - what the shapes of the OpenAI family share.
 *
 * Usage has one table for chat, Responses, images and transcriptions and for
 * the names that vendors of compatible endpoints gave the same thing (DeepSeek
 * prompt_cache_hit_tokens, Moonshot cached_tokens, Perplexity reasoning_tokens).
 *
 * A stream's usage may sit on a chunk of its own (choices empty), on the last
 * chunk with a choice, on every chunk (cumulative), in x_groq, or on a choice
 * (Moonshot). Only a chunk of its own can be hidden from a caller who did not
 * ask: bytes are never rewritten on this lane, so a usage that rides on a chunk
 * with choices, and the "usage":null that OpenAI then puts on each other chunk,
 * reach the caller as they are.
 */
#include "shapes/openai.h"

#include "base/compiler.h"

struct usage_row {
	enum sl_usage_class class_;
	struct sl_slice     object; /* the member of usage that holds it; empty: usage itself */
	struct sl_slice     name;
};

#define ROW(class_, object, name) { class_, SL_SLICE_INIT(object), SL_SLICE_INIT(name) }
/* Of several rows of one class that are there, the first counts. */
static const struct usage_row usage_rows[] = {
	ROW(SL_USAGE_INPUT, "", "prompt_tokens"),
	ROW(SL_USAGE_OUTPUT, "", "completion_tokens"),
	ROW(SL_USAGE_INPUT, "", "input_tokens"),
	ROW(SL_USAGE_CACHE_READ, "prompt_tokens_details", "cached_tokens"),
	ROW(SL_USAGE_CACHE_READ, "input_tokens_details", "cached_tokens"),
	ROW(SL_USAGE_CACHE_READ, "", "prompt_cache_hit_tokens"),
	ROW(SL_USAGE_CACHE_READ, "", "cached_tokens"),
	ROW(SL_USAGE_CACHE_WRITE, "prompt_tokens_details", "cache_write_tokens"),
	ROW(SL_USAGE_CACHE_WRITE, "input_tokens_details", "cache_write_tokens"),
	ROW(SL_USAGE_INPUT_AUDIO, "prompt_tokens_details", "audio_tokens"),
	ROW(SL_USAGE_INPUT_AUDIO, "input_tokens_details", "audio_tokens"),
	ROW(SL_USAGE_INPUT_AUDIO, "input_token_details", "audio_tokens"),
	ROW(SL_USAGE_INPUT_IMAGE, "prompt_tokens_details", "image_tokens"),
	ROW(SL_USAGE_INPUT_IMAGE, "input_tokens_details", "image_tokens"),
	ROW(SL_USAGE_OUTPUT, "", "output_tokens"),
	ROW(SL_USAGE_REASONING, "completion_tokens_details", "reasoning_tokens"),
	ROW(SL_USAGE_REASONING, "output_tokens_details", "reasoning_tokens"),
	ROW(SL_USAGE_REASONING, "", "reasoning_tokens"),
	ROW(SL_USAGE_OUTPUT_AUDIO, "completion_tokens_details", "audio_tokens"),
	ROW(SL_USAGE_OUTPUT_AUDIO, "output_tokens_details", "audio_tokens"),
	ROW(SL_USAGE_OUTPUT_IMAGE, "completion_tokens_details", "image_tokens"),
	ROW(SL_USAGE_OUTPUT_IMAGE, "output_tokens_details", "image_tokens"),
};
#undef ROW
enum { USAGE_ROWS = sizeof(usage_rows) / sizeof(usage_rows[0]) };

/* Some vendors (xAI) leave reasoning out of completion_tokens; then only the
 * total shows it. */
static void
include_reasoning(struct sl_json usage, struct sl_usage *out)
{
	int64_t input = sl_usage_get(out, SL_USAGE_INPUT);
	int64_t output = sl_usage_get(out, SL_USAGE_OUTPUT);
	int64_t reasoning = sl_usage_get(out, SL_USAGE_REASONING);
	int64_t total, sum;

	if (reasoning > 0 && sl_reply_count(usage, "total_tokens", &total) &&
	    !__builtin_add_overflow(input, output, &sum) && total > sum &&
	    total - sum == reasoning)
		sl_usage_set(out, SL_USAGE_OUTPUT, output + reasoning);
}

/* best[]: the row that each class was taken from, USAGE_ROWS for none. */
static void
take_count(struct sl_slice object, struct sl_slice key, int64_t count,
           size_t best[SL_USAGE_COUNT], struct sl_usage *out)
{
	/* Nearly all have it, and no row does. */
	if (sl_slice_is(key, "total_tokens"))
		return;
	for (size_t i = 0; i < USAGE_ROWS; i++) {
		const struct usage_row *row = &usage_rows[i];

		/* A repeated member: the last one, as everywhere. */
		if (row->name.len != key.len || row->object.len != object.len ||
		    i > best[row->class_] || !sl_slice_eq(row->name, key) ||
		    !sl_slice_eq(row->object, object))
			continue;
		best[row->class_] = i;
		sl_usage_set(out, row->class_, count);
		return;
	}
}

/* Takes the counts among an object's members, and among those of its objects. */
static void
take_counts(struct sl_json_walk *walk, struct sl_slice name, size_t best[SL_USAGE_COUNT],
            struct sl_usage *out)
{
	struct sl_slice key;
	int64_t count;

	for (sl_json_walk_enter(walk); sl_json_walk_member(walk, &key);) {
		if (name.len == 0 && key.len > 0 && sl_json_walk_type(walk) == SL_JSON_OBJECT)
			take_counts(walk, key, best, out);
		else if (sl_json_walk_count(walk, &count))
			take_count(name, key, count, best, out);
	}
}

/* One walk over the usage, not one for each name: it is on every request's way. */
bool
sl_openai_usage(struct sl_json usage, struct sl_usage *out)
{
	struct sl_json_walk walk = sl_json_walk(usage.raw);
	size_t best[SL_USAGE_COUNT];

	if (usage.type != SL_JSON_OBJECT)
		return false;
	for (size_t i = 0; i < SL_USAGE_COUNT; i++)
		best[i] = USAGE_ROWS;
	take_counts(&walk, SL_SLICE_NONE, best, out);
	include_reasoning(usage, out);
	return sl_usage_has(out, SL_USAGE_INPUT) || sl_usage_has(out, SL_USAGE_OUTPUT);
}

static void
note_content(struct sl_json value, struct sl_reply_facts *facts)
{
	if (!sl_reply_has(value))
		return;
	facts->content = true;
	facts->text_bytes += (int64_t)value.raw.len - 2;
}

static struct sl_json
take_value(struct sl_json_walk *walk)
{
	enum sl_json_type type = sl_json_walk_type(walk);

	return (struct sl_json){ type, sl_json_walk_skip(walk) };
}

/* The message or delta of a choice: everything that an answer may consist of. */
static void
read_piece(struct sl_json_walk *walk, struct sl_reply_facts *facts)
{
	static const struct sl_slice pieces[] = {
		SL_SLICE_INIT("content"), SL_SLICE_INIT("tool_calls"),
		SL_SLICE_INIT("reasoning_content"), SL_SLICE_INIT("reasoning"),
		SL_SLICE_INIT("thinking"), SL_SLICE_INIT("reasoning_details"),
		SL_SLICE_INIT("refusal"), SL_SLICE_INIT("function_call"), SL_SLICE_INIT("audio"),
	};
	struct sl_slice key;

	if (sl_json_walk_type(walk) != SL_JSON_OBJECT) {
		sl_json_walk_skip(walk);
		return;
	}
	for (sl_json_walk_enter(walk); sl_json_walk_member(walk, &key);) {
		struct sl_json value = take_value(walk);

		for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
			if (sl_slice_eq(key, pieces[i]))
				note_content(value, facts);
	}
}

/* What a choice says that matters here. Returns usage that rides on it, if any. */
static struct sl_json
read_choice(struct sl_json_walk *walk, struct sl_reply_facts *facts, bool *stop_seen)
{
	struct sl_json usage = { 0 }, reason = { 0 };
	struct sl_slice key;

	for (sl_json_walk_enter(walk); sl_json_walk_member(walk, &key);) {
		if (sl_slice_is(key, "delta") || sl_slice_is(key, "message"))
			read_piece(walk, facts);
		else if (sl_slice_is(key, "finish_reason"))
			reason = take_value(walk);
		else if (sl_slice_is(key, "usage"))
			usage = take_value(walk);
		else if (sl_slice_is(key, "text"))
			note_content(take_value(walk), facts);
		else
			sl_json_walk_skip(walk);
	}
	if (reason.type == SL_JSON_STRING && reason.raw.len > 2) {
		*stop_seen = true;
		if (sl_json_is(reason, "content_filter"))
			facts->content_filter = true;
	}
	return usage;
}

/* One pass, because this runs for every frame of every stream. Returns usage that rides on
 * the last choice (Moonshot), if any. */
static struct sl_json
read_choices(struct sl_json choices, struct sl_reply_facts *facts, bool *stop_seen)
{
	struct sl_json_walk walk = sl_json_walk(choices.raw);
	struct sl_json usage = { 0 };

	if (choices.type != SL_JSON_ARRAY)
		return usage;
	for (sl_json_walk_enter(&walk); sl_json_walk_next(&walk);) {
		if (sl_json_walk_type(&walk) == SL_JSON_OBJECT) {
			usage = read_choice(&walk, facts, stop_seen);
		} else {
			sl_json_walk_skip(&walk);
			usage = (struct sl_json){ 0 };
		}
	}
	return usage;
}

void
sl_openai_read_reply(const struct sl_steer *steer, struct sl_slice body, struct sl_arena *arena,
                     struct sl_reply_facts *facts)
{
	enum { MODEL, ERROR, USAGE, CHOICES, WANTS };
	static const struct sl_json_want wants[WANTS] = {
		{ "model" }, { "error" }, { "usage" }, { "choices" },
	};
	SL_UNINIT struct sl_json_found found[WANTS]; /* the scan writes it */
	struct sl_usage usage = { .source = SL_USAGE_REPORTED };
	struct sl_json choices;
	bool stop_seen;

	(void)steer;
	if (!sl_reply_scan(body, wants, WANTS, found, arena, facts))
		return;
	sl_reply_model(facts, sl_reply_value(body, &found[MODEL]), arena);
	if (sl_reply_error(facts, sl_reply_value(body, &found[ERROR]), arena))
		return;
	if (sl_openai_usage(sl_reply_value(body, &found[USAGE]), &usage))
		sl_usage_merge(&facts->usage, &usage);
	facts->content = true; /* a whole reply: need not be looked for */
	choices = sl_reply_value(body, &found[CHOICES]);
	/* How long the text is matters only where nothing is reported, and else only what
	 * stopped it. */
	if (!sl_usage_has(&usage, SL_USAGE_OUTPUT) ||
	    sl_slice_search(choices.raw, SL_SLICE("content_filter")) >= 0)
		read_choices(choices, facts, &stop_seen);
	facts->finished = true;
}

/* --- faults ----------------------------------------------------------------- */

/* The members message, type, param and code, into an open object. */
static void
put_error(struct sl_json_writer *w, const struct sl_fault *fault)
{
	sl_json_str(w, "message", fault->message);
	sl_json_str(w, "type", sl_slice_str(sl_fault_type(fault->kind)));
	sl_json_key(w, "param");
	if (fault->param.len)
		sl_json_put_str(w, fault->param);
	else
		sl_json_put_null(w);
	sl_json_str(w, "code", sl_fault_code(fault));
}

void
sl_openai_write_fault(const struct sl_fault *fault, struct sl_slice request_id,
                      struct sl_buf *out)
{
	struct sl_json_writer w;

	(void)request_id; /* in a header: this envelope has no place for it */
	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_key(&w, "error");
	sl_json_obj(&w);
	put_error(&w, fault);
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
}

void
sl_openai_write_stream_fault(const struct sl_stream_state *state, const struct sl_fault *fault,
                             struct sl_slice request_id, enum sl_framing framing,
                             struct sl_buf *out)
{
	(void)state;
	(void)framing;
	sl_buf_append_str(out, "data: ");
	sl_openai_write_fault(fault, request_id, out);
	sl_buf_append_str(out, "\n\n");
}

/* --- chunks of chat and completions ----------------------------------------- */

enum sl_frame_verdict
sl_openai_read_chunk(struct sl_stream_state *state, struct sl_slice event, struct sl_slice data,
                     struct sl_arena *arena)
{
	enum { MODEL, ERROR, CHOICES, USAGE, GROQ, WANTS };
	static const struct sl_json_want wants[WANTS] = {
		{ "model" }, { "error" }, { "choices" }, { "usage" }, { "x_groq.usage" },
	};
	struct sl_reply_facts *facts = &state->facts;
	SL_UNINIT struct sl_json_found found[WANTS]; /* the scan writes it */
	struct sl_usage usage = { .source = SL_USAGE_NONE };
	struct sl_json choices, choice_usage;
	bool own_usage;

	(void)event;
	if (data.len == 0)
		return SL_FRAME_PASS;
	state->frames++;
	if (sl_openai_is_done(data)) {
		if (!facts->failed)
			facts->finished = true;
		if (facts->usage.source == SL_USAGE_PARTIAL)
			facts->usage.source = SL_USAGE_REPORTED;
		return SL_FRAME_PASS;
	}
	if (!sl_reply_scan(data, wants, WANTS, found, arena, facts))
		return SL_FRAME_PASS;
	sl_reply_model(facts, sl_reply_value(data, &found[MODEL]), arena);
	sl_reply_error(facts, sl_reply_value(data, &found[ERROR]), arena);
	choices = sl_reply_value(data, &found[CHOICES]);
	choice_usage = read_choices(choices, facts, &state->stop_seen);

	own_usage = sl_openai_usage(sl_reply_value(data, &found[USAGE]), &usage);
	if (own_usage || sl_openai_usage(sl_reply_value(data, &found[GROQ]), &usage) ||
	    sl_openai_usage(choice_usage, &usage)) {
		usage.source = state->stop_seen ? SL_USAGE_REPORTED : SL_USAGE_PARTIAL;
		sl_usage_merge(&facts->usage, &usage);
	}
	return own_usage && state->hide_usage && choices.type == SL_JSON_ARRAY &&
	                       !sl_reply_has(choices)
	               ? SL_FRAME_HIDE
	               : SL_FRAME_PASS;
}

/* Vendors that send no [DONE]: the stop reason was the end. */
void
sl_openai_end_chunks(struct sl_stream_state *state)
{
	if (state->stop_seen && !state->facts.failed)
		state->facts.finished = true;
}

bool
sl_openai_read_stream(struct sl_reading *reading, const struct sl_openai_stream_wants *wants)
{
	struct sl_steer *steer = reading->steer;

	if (!sl_steer_object(reading, wants->stream_options) ||
	    !sl_steer_bool(reading, wants->include_usage, &steer->wants_usage))
		return false;
	if (steer->stream)
		steer->framing = SL_FRAMING_SSE;
	else
		steer->wants_usage = false;
	return true;
}

static enum sl_err
ask_for_usage(const struct sl_steer *steer, const struct sl_openai_stream_wants *wants,
              struct sl_json_splice *splice)
{
	const struct sl_json_found *options = &steer->found[wants->stream_options];
	const struct sl_json_found *include = &steer->found[wants->include_usage];

	if (options->type == SL_JSON_NONE)
		return sl_json_splice_insert(splice, &steer->top, SL_SLICE("stream_options"),
		                             SL_SLICE("{\"include_usage\":true}"));
	if (options->type == SL_JSON_NULL)
		return sl_json_splice_replace(splice, options,
		                              SL_SLICE("{\"include_usage\":true}"));
	if (include->type == SL_JSON_NONE)
		return sl_json_splice_insert(splice, options, SL_SLICE("include_usage"),
		                             SL_SLICE("true"));
	return sl_json_splice_replace(splice, include, SL_SLICE("true"));
}

enum sl_err
sl_openai_forward_chunks(const struct sl_steer *steer, const struct sl_shape_target *target,
                         const struct sl_openai_stream_wants *wants, struct sl_arena *arena,
                         struct sl_forward *out)
{
	SL_UNINIT struct sl_json_splice splice; /* read up to its counts */
	enum sl_err err;

	sl_forward_clear(out);
	err = sl_steer_splice(steer, target, arena, &splice);
	if (err == SL_OK)
		err = sl_steer_put_limit(steer, target,
		                         target->old_limit_name ? "max_tokens" : wants->limit,
		                         arena, &splice);
	if (err != SL_OK || !steer->stream || target->as_written) {
		/* Nothing to add and nothing to take away. */
	} else if (!target->ask_for_usage) {
		/* A target that does not know the member refuses the request. */
		err = sl_json_splice_remove(&splice, &steer->found[wants->stream_options]);
	} else if (!steer->wants_usage) {
		err = ask_for_usage(steer, wants, &splice);
		out->usage_injected = true;
	}
	return err == SL_OK ? sl_steer_finish(&splice, out) : err;
}

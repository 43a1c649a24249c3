/* vectors_test.c - recorded requests, replies and streams of every shape.
 *
 * tests/vectors/SHAPE/CASE/ holds
 *   case.json     path, query, content_type; target {model, model_in_path,
 *                 ask_for_usage, no_developer}; end: text without which no stream is finished
 *   request       the caller's body, byte for byte
 *   forwarded     the body for the target; absent: the request is refused
 *   reply         a whole reply, or
 *   stream        a stream as it came, and
 *   relayed       what the caller gets of it where that is not the same
 *   facts.json    what was read of both, as this test prints it
 *
 * A stream is replayed whole, byte by byte, in two parts split at every offset,
 * and cut off at every offset. UPDATE_VECTORS=1 writes what is seen instead of
 * comparing; what it wrote is to be read before it is committed.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "pipeline/frames.h"
#include "shapes/shape.h"

#define ROOT "tests/vectors"
enum { FILE_MAX = 1 << 20, PATH_SIZE = 512, CASES_MAX = 256, NAME_SIZE = 128 };

struct vector {
	const struct sl_shape_ops *shape;
	char                       dir[PATH_SIZE];
	struct sl_arena            arena;
	struct sl_json             about; /* case.json */
	struct sl_steer            steer;
	struct sl_fault            fault;
	struct sl_forward          forward;
	bool                       accepted;
};

static struct sl_slice
load(struct sl_arena *arena, const char *dir, const char *name)
{
	char path[PATH_SIZE + 64];
	char *bytes = sl_arena_alloc(arena, FILE_MAX);
	FILE *file;
	size_t size;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "rb");
	if (!file)
		return SL_SLICE_NONE;
	size = fread(bytes, 1, FILE_MAX, file);
	fclose(file);
	return sl_slice_make(bytes, size);
}

/* Compares with a file of the case, or writes it. */
static void
expect(struct vector *v, const char *name, struct sl_slice seen)
{
	struct sl_slice wanted = load(&v->arena, v->dir, name);
	char path[PATH_SIZE + 64];
	FILE *file;

	if (sl_slice_eq(seen, wanted))
		return;
	if (!getenv("UPDATE_VECTORS"))
		fail_msg("%s/%s\nexpected:\n%.*s\nseen:\n%.*s", v->dir, name, SL_ARG(wanted),
		         SL_ARG(seen));
	snprintf(path, sizeof(path), "%s/%s", v->dir, name);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(seen.ptr, 1, seen.len, file), seen.len);
	assert_int_equal(fclose(file), 0);
}

static struct sl_slice
text_of(struct vector *v, const char *path)
{
	struct sl_slice out = SL_SLICE_NONE;

	sl_json_string(sl_json_at(v->about, path), &v->arena, &out);
	return out;
}

/* --- printing ------------------------------------------------------------------- */

static void
put_text(struct sl_buf *out, const char *key, struct sl_slice text)
{
	sl_buf_printf(out, "    \"%s\": ", key);
	sl_json_quote(out, text);
	sl_buf_append_str(out, ",\n");
}

static void
put_flag(struct sl_buf *out, const char *key, bool value)
{
	sl_buf_printf(out, "    \"%s\": %s,\n", key, value ? "true" : "false");
}

static void
put_usage(struct sl_buf *out, const struct sl_usage *usage)
{
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		if (sl_usage_has(usage, (enum sl_usage_class)i))
			sl_buf_printf(out, "    \"%s\": %lld,\n",
			              sl_usage_class_name((enum sl_usage_class)i),
			              (long long)usage->count[i]);
	sl_buf_printf(out, "    \"source\": \"%s\"\n", sl_usage_source_name(usage->source));
}

static void
put_steer(struct sl_buf *out, const struct vector *v)
{
	static const char *const framings[] = { "whole", "sse", "json_array", "events" };
	const struct sl_steer *steer = &v->steer;

	sl_buf_append_str(out, "  \"steer\": {\n");
	put_text(out, "model", steer->model);
	put_flag(out, "stream", steer->stream);
	put_text(out, "framing", sl_slice_str(framings[steer->framing]));
	put_flag(out, "wants_usage", steer->wants_usage);
	put_flag(out, "usage_injected", v->forward.usage_injected);
	put_flag(out, "reply_opaque", steer->reply_opaque);
	put_text(out, "end_user", steer->end_user);
	sl_buf_printf(out, "    \"max_output_tokens\": %lld,\n    \"choices\": %lld\n  }",
	              (long long)steer->max_output_tokens, (long long)steer->choices);
}

static void
put_facts(struct sl_buf *out, const struct sl_reply_facts *facts)
{
	sl_buf_append_str(out, ",\n  \"facts\": {\n");
	put_text(out, "model", facts->model);
	put_flag(out, "content", facts->content);
	put_flag(out, "finished", facts->finished);
	put_flag(out, "failed", facts->failed);
	put_flag(out, "content_filter", facts->content_filter);
	put_text(out, "error_type", facts->error_type);
	put_text(out, "error_message", facts->error_message);
	put_usage(out, &facts->usage);
	sl_buf_append_str(out, "  }");
}

static void
put_fault(struct sl_buf *out, const struct vector *v)
{
	sl_buf_append_str(out, "  \"fault\": {\n");
	put_text(out, "kind", sl_slice_str(sl_fault_name(v->fault.kind)));
	put_text(out, "param", v->fault.param);
	sl_buf_append_str(out, "    \"body\": ");
	v->shape->write_fault(&v->fault, SL_SLICE("req_1"), out);
	sl_buf_append_str(out, "\n  }");
}

/* --- replaying ------------------------------------------------------------------ */

struct replay {
	struct sl_stream_state state;
	struct sl_buf          relayed;
	struct sl_frames       frames;
};

static void
begin(struct replay *r, const struct vector *v)
{
	*r = (struct replay){ .state.hide_usage = v->forward.usage_injected };
	sl_buf_init(&r->relayed, FILE_MAX);
	sl_frames_init(&r->frames, v->steer.framing, FILE_MAX);
}

static void
take(struct replay *r, struct vector *v, const struct sl_sse_frame *frame)
{
	if (frame->data.len == 0 || v->shape->read_frame(&r->state, frame->event, frame->data,
	                                                 &v->arena) == SL_FRAME_PASS)
		sl_buf_append(&r->relayed, frame->raw);
}

static void
feed(struct replay *r, struct vector *v, struct sl_slice bytes)
{
	struct sl_sse_frame frame;
	enum sl_err err;

	while ((err = sl_frames_read(&r->frames, &bytes, &frame)) == SL_OK)
		take(r, v, &frame);
	assert_int_equal(err, SL_MORE);
}

/* The upstream's bytes end here, properly as far as HTTP knows. */
static void
end(struct replay *r, struct vector *v)
{
	struct sl_sse_frame frame;
	struct sl_slice rest;

	if (sl_frames_finish(&r->frames, &frame, &rest) == SL_OK)
		take(r, v, &frame);
	sl_buf_append(&r->relayed, rest);
	if (v->shape->end_stream && sl_frames_closed(&r->frames))
		v->shape->end_stream(&r->state);
	sl_frames_release(&r->frames);
}

static bool
same_facts(const struct sl_reply_facts *a, const struct sl_reply_facts *b)
{
	struct sl_buf left, right;
	bool same;

	sl_buf_init(&left, FILE_MAX);
	sl_buf_init(&right, FILE_MAX);
	put_facts(&left, a);
	put_facts(&right, b);
	same = sl_slice_eq(sl_buf_slice(&left), sl_buf_slice(&right));
	sl_buf_release(&left);
	sl_buf_release(&right);
	return same;
}

static void
in_parts(struct vector *v, struct sl_slice stream, const struct replay *whole)
{
	struct replay r;

	begin(&r, v);
	for (size_t i = 0; i < stream.len; i++)
		feed(&r, v, sl_slice_make(stream.ptr + i, 1));
	end(&r, v);
	if (!same_facts(&r.state.facts, &whole->state.facts) ||
	    !sl_slice_eq(sl_buf_slice(&r.relayed), sl_buf_slice(&whole->relayed)))
		fail_msg("%s: byte by byte", v->dir);
	sl_buf_release(&r.relayed);
	for (size_t i = 0; i <= stream.len; i++) {
		begin(&r, v);
		feed(&r, v, sl_slice_upto(stream, i));
		feed(&r, v, sl_slice_from(stream, i));
		end(&r, v);
		if (!same_facts(&r.state.facts, &whole->state.facts) ||
		    !sl_slice_eq(sl_buf_slice(&r.relayed), sl_buf_slice(&whole->relayed)))
			fail_msg("%s: split at %zu", v->dir, i);
		sl_buf_release(&r.relayed);
	}
}

/* Cut off anywhere, a stream is never taken for finished before its end. */
static void
cut_off(struct vector *v, struct sl_slice stream)
{
	struct sl_slice marker = text_of(v, "end");

	for (size_t i = 0; i < stream.len; i++) {
		struct sl_slice head = sl_slice_upto(stream, i);
		struct replay r;

		begin(&r, v);
		feed(&r, v, head);
		end(&r, v);
		if (r.state.facts.finished &&
		    (r.state.facts.failed || sl_slice_search(head, marker) < 0))
			fail_msg("%s: finished when cut at %zu", v->dir, i);
		sl_buf_release(&r.relayed);
	}
}

static void
replay_stream(struct vector *v, struct sl_slice stream, struct sl_buf *facts)
{
	struct replay whole;

	assert_non_null(v->shape->read_frame);
	begin(&whole, v);
	feed(&whole, v, stream);
	end(&whole, v);
	put_facts(facts, &whole.state.facts);
	if (!sl_slice_eq(sl_buf_slice(&whole.relayed), stream))
		expect(v, "relayed", sl_buf_slice(&whole.relayed));
	in_parts(v, stream, &whole);
	cut_off(v, stream);
	sl_buf_release(&whole.relayed);
}

/* --- cases ------------------------------------------------------------------------ */

static void
read_case(struct vector *v)
{
	struct sl_slice about = load(&v->arena, v->dir, "case.json");
	struct sl_shape_input input = { .body = load(&v->arena, v->dir, "request") };

	if (sl_json_validate(about, NULL, NULL) != SL_OK)
		fail_msg("%s/case.json", v->dir);
	v->about = sl_json_parse(about);
	input.query = text_of(v, "query");
	input.content_type = text_of(v, "content_type");
	if (sl_shape_match(text_of(v, "path"), &v->arena, &input) != v->shape)
		fail_msg("%s: the path is not of this shape", v->dir);
	v->accepted = v->shape->read_request(&input, &v->arena, &v->steer, &v->fault);
}

static void
forward_case(struct vector *v)
{
	const struct sl_shape_target target = {
		.model = text_of(v, "target.model"),
		.model_in_path = sl_json_true(sl_json_at(v->about, "target.model_in_path")),
		.no_developer = sl_json_true(sl_json_at(v->about, "target.no_developer")),
		.ask_for_usage = sl_json_true(sl_json_at(v->about, "target.ask_for_usage")),
	};
	struct sl_buf body;

	assert_int_equal(v->shape->forward(&v->steer, &target, &v->arena, &v->forward), SL_OK);
	sl_buf_init(&body, FILE_MAX);
	for (size_t i = 0; i < v->forward.body_count; i++)
		sl_buf_append(&body, v->forward.body[i]);
	expect(v, "forwarded", sl_buf_slice(&body));
	sl_buf_release(&body);
}

static void
run_case(struct vector *v)
{
	struct sl_slice reply = load(&v->arena, v->dir, "reply");
	struct sl_slice stream = load(&v->arena, v->dir, "stream");
	struct sl_reply_facts facts = { 0 };
	struct sl_buf out;

	read_case(v);
	sl_buf_init(&out, FILE_MAX);
	sl_buf_append_str(&out, "{\n");
	if (!v->accepted) {
		put_fault(&out, v);
	} else {
		forward_case(v);
		put_steer(&out, v);
		if (stream.ptr) {
			replay_stream(v, stream, &out);
		} else if (reply.ptr) {
			v->shape->read_reply(&v->steer, reply, &v->arena, &facts);
			put_facts(&out, &facts);
		}
	}
	sl_buf_append_str(&out, "\n}\n");
	expect(v, "facts.json", sl_buf_slice(&out));
	sl_buf_release(&out);
}

static size_t
cases_of(const char *dir, char names[CASES_MAX][NAME_SIZE])
{
	DIR *open = opendir(dir);
	struct dirent *entry;
	size_t count = 0;

	while (open && (entry = readdir(open)) && count < CASES_MAX)
		if (entry->d_name[0] != '.' && strlen(entry->d_name) < NAME_SIZE)
			strcpy(names[count++], entry->d_name);
	if (open)
		closedir(open);
	return count;
}

static void
every_shape_replays_its_vectors(void **state)
{
	static char names[CASES_MAX][NAME_SIZE];

	(void)state;
	for (size_t s = 0; s < sl_shape_count(); s++) {
		const struct sl_shape_ops *shape = sl_shape_at(s);
		char dir[PATH_SIZE / 2];
		size_t count;

		snprintf(dir, sizeof(dir), ROOT "/%s", shape->name);
		count = cases_of(dir, names);
		/* One that no caller speaks is translated only: translate_test. */
		if (count == 0 && shape->paths->pattern)
			fail_msg("the shape %s has no vectors under " ROOT, shape->name);
		for (size_t i = 0; i < count; i++) {
			struct vector *v = test_calloc(1, sizeof(*v));

			v->shape = shape;
			snprintf(v->dir, sizeof(v->dir), "%s/%.100s", dir, names[i]);
			sl_arena_init(&v->arena, 64 * 1024, 0);
			run_case(v);
			sl_arena_release(&v->arena);
			test_free(v);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_shape_replays_its_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* crossings_test.c - recorded translations between Responses, Gemini and the others.
 *
 * tests/vectors/crossings/ has one file for each case:
 *
 *   what it shows, in one line
 *   CALLED_SHAPE -> PROVIDERS_SHAPE MODEL [stream] [array]
 *   --- request     the caller's body
 *   --- sent        the body for the provider, or:
 *   --- refused     param: message
 *   --- notes       what was changed, as the header tells it; left out: nothing
 *   --- reply       the provider's whole reply, and
 *   --- answer      what the caller gets of it
 *   --- stream      the provider's stream, and
 *   --- events      what the caller gets of it
 *
 * A stream is replayed whole, with CRLF for LF, split at every offset, byte by
 * byte, and cut at every offset, where it must end in an error and in nothing
 * else. UPDATE_VECTORS=1 writes what is seen; read it before it is committed.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json_array.h"
#include "base/sse.h"
#include "shapes/codec.h"

#define ROOT "tests/vectors/crossings"
enum { FILE_MAX = 1 << 20, PATH_SIZE = 512, CASES_MAX = 512, SECTIONS_MAX = 12,
       OUT_MAX = 16 << 20 };

struct section {
	struct sl_slice name, text;
};

struct vector {
	char                       path[PATH_SIZE];
	struct sl_arena            arena;
	struct sl_slice            title, head;
	struct section             sections[SECTIONS_MAX];
	size_t                     count;
	const struct sl_shape_ops *from, *via;
	struct sl_slice            model;
	bool                       streams, array;
	struct sl_dialog           dialog;
	struct sl_tool_names       names;
	struct sl_notes            notes;
	bool                       changed;
};

static const struct sl_sealer sealer = { "an unchanging key of thirty-two" };

/* --- files ------------------------------------------------------------------------ */

static struct section *
find(struct vector *v, const char *name)
{
	for (size_t i = 0; i < v->count; i++)
		if (sl_slice_is(v->sections[i].name, name))
			return &v->sections[i];
	return NULL;
}

static void
parse(struct vector *v, struct sl_slice file)
{
	struct sl_slice rest, word;
	ptrdiff_t at;

	v->title = sl_slice_cut(&file, '\n');
	v->head = sl_slice_cut(&file, '\n');
	rest = v->head;
	v->from = sl_shape_by_name(sl_slice_cut(&rest, ' '));
	assert_true(sl_slice_is(sl_slice_cut(&rest, ' '), "->"));
	v->via = sl_shape_by_name(sl_slice_cut(&rest, ' '));
	v->model = sl_slice_cut(&rest, ' ');
	while ((word = sl_slice_cut(&rest, ' ')).len) {
		v->streams |= sl_slice_is(word, "stream");
		v->array |= sl_slice_is(word, "array");
	}
	while (file.len) {
		struct section *section = &v->sections[v->count++];

		assert_true(v->count < SECTIONS_MAX);
		section->name = sl_slice_from(sl_slice_cut(&file, '\n'), 4);
		at = sl_slice_search(file, SL_SLICE("\n--- "));
		if (sl_slice_starts(file, SL_SLICE("--- ")))
			at = -2; /* an empty section */
		section->text = at == -2 ? SL_SLICE_NONE
		                         : sl_slice_upto(file, at < 0 ? file.len : (size_t)at + 1);
		file = sl_slice_from(file, section->text.len);
	}
}

static void
store(const struct vector *v)
{
	FILE *file = fopen(v->path, "wb");

	assert_non_null(file);
	fprintf(file, "%.*s\n%.*s\n", SL_ARG(v->title), SL_ARG(v->head));
	for (size_t i = 0; i < v->count; i++) {
		const struct section *section = &v->sections[i];

		fprintf(file, "--- %.*s\n", SL_ARG(section->name));
		fwrite(section->text.ptr, 1, section->text.len, file);
		if (section->text.len && section->text.ptr[section->text.len - 1] != '\n')
			fputc('\n', file);
	}
	fclose(file);
}

static void
see(struct vector *v, const char *name, struct sl_slice text)
{
	struct section *section = find(v, name);

	if (getenv("UPDATE_VECTORS")) {
		if (!section) {
			section = &v->sections[v->count++];
			section->name = sl_slice_str(name);
		}
		section->text = sl_arena_dup(&v->arena, text);
		v->changed = true;
		return;
	}
	if (!section || !sl_slice_eq(sl_slice_trim(section->text), sl_slice_trim(text)))
		fail_msg("%s: %s is\n%.*s\nnot\n%.*s", v->path, name, SL_ARG(text),
		         SL_ARG(section ? section->text : SL_SLICE("(no such section)")));
}

/* --- requests ------------------------------------------------------------------------ */

static const char *
issuer(const struct sl_shape_ops *via)
{
	return via->codec->issuer ? via->codec->issuer : via->family;
}

static bool
decode(struct vector *v, struct sl_fault *fault)
{
	struct sl_shape_input input = { .body = sl_slice_trim(find(v, "request")->text) };
	struct sl_codec_input in = { .input = &input, .sealer = &sealer, .notes = &v->notes };

	input.verb = sl_slice_is(sl_slice_str(v->from->family), "gemini")
	                 ? (v->streams ? "streamGenerateContent" : "generateContent")
	                 : v->from->paths[0].verb;
	if (sl_json_validate(input.body, NULL, NULL) != SL_OK)
		fail_msg("%s: the request is no JSON", v->path);
	v->dialog.arena = &v->arena;
	return v->from->codec->decode_request(&in, &v->dialog, fault) &&
	       sl_dialog_settle(&v->dialog, &v->notes);
}

static enum sl_err
encode(struct vector *v, struct sl_fault *fault, struct sl_buf *out)
{
	struct sl_codec_target target = {
		.provider = v->via->family, .model = v->model, .issuer = issuer(v->via),
		.rules = sl_model_rules(v->model), .ask_for_usage = true,
		.model_in_path = sl_slice_is(sl_slice_str(v->via->family), "gemini"),
	};
	struct sl_encode encoding = { .dialog = &v->dialog, .target = &target,
		                      .codec = v->via->codec, .notes = &v->notes, .fault = fault,
		                      .arena = &v->arena, .out = out };
	enum sl_err err;

	assert_true(sl_tool_names_make(&v->names, &v->dialog, v->via->codec->target_names,
	                               &v->notes, &v->arena));
	err = v->via->codec->encode_request(&encoding);
	assert_false(out->failed);
	return err == SL_OK ? sl_encode_leftovers(&encoding) : err;
}

static bool
check_request(struct vector *v)
{
	struct sl_fault fault = { 0 };
	struct sl_buf out;
	struct sl_slice notes;
	bool ok;

	sl_buf_init(&out, OUT_MAX);
	ok = decode(v, &fault) && encode(v, &fault, &out) == SL_OK;
	if (ok) {
		if (sl_json_validate(sl_buf_slice(&out), NULL, NULL) != SL_OK)
			fail_msg("%s: what is sent is no JSON: %.*s", v->path,
			         SL_ARG(sl_buf_slice(&out)));
		see(v, "sent", sl_buf_slice(&out));
	} else {
		see(v, "refused", sl_arena_printf(&v->arena, "%.*s: %.*s", SL_ARG(fault.param),
		                                  SL_ARG(fault.message)));
	}
	notes = sl_notes_print(&v->notes, &v->arena);
	if (notes.len || find(v, "notes"))
		see(v, "notes", notes);
	sl_buf_release(&out);
	return ok;
}

/* --- replies --------------------------------------------------------------------------- */

/* Both sides of a flow. */
struct run {
	struct vector         *v;
	struct sl_arena        arena;
	struct sl_flow         flow;
	struct sl_codec_caller caller;
	struct sl_fold         fold;
	void                  *writer, *reader;
	struct sl_buf          out;
};

static void
write_event(void *context, const struct sl_event *event)
{
	struct run *run = context;

	run->v->from->codec->write_event(run->writer, &run->caller, event, &run->out);
}

static void
run_init(struct run *run, struct vector *v, bool folds)
{
	struct sl_flow_setup setup = {
		.arena = &run->arena, .names = &v->names, .call_ids = v->from->codec->caller_ids,
		.sealer = &sealer, .issuer = sl_slice_str(issuer(v->via)),
		.sealed = v->from != v->via, .id_carries = v->from->codec->id_carries, .seed = 7,
	};

	*run = (struct run){ .v = v };
	sl_arena_init(&run->arena, 4096, 0);
	sl_buf_init(&run->out, OUT_MAX);
	sl_fold_init(&run->fold, &run->arena, false);
	run->writer = calloc(1, v->from->codec->writer_size + 1);
	run->reader = calloc(1, v->via->codec->reader_size + 1);
	run->caller = (struct sl_codec_caller){
		.arena = &run->arena, .request_id = SL_SLICE("req1"), .now_s = 1760000000,
		.wants_usage = v->dialog.wants_usage, .model = v->model,
		.framing = v->array ? SL_FRAMING_JSON_ARRAY : SL_FRAMING_SSE,
		.echo = v->from->codec->keeps_request ? sl_slice_trim(find(v, "request")->text)
		                                      : SL_SLICE_NONE,
	};
	setup.sink = folds ? (struct sl_flow_sink){ sl_fold_event, &run->fold }
	                   : (struct sl_flow_sink){ write_event, run };
	sl_flow_init(&run->flow, &setup);
}

static void
run_release(struct run *run)
{
	if (run->v->from->codec->writer_release)
		run->v->from->codec->writer_release(run->writer);
	if (run->v->via->codec->reader_release)
		run->v->via->codec->reader_release(run->reader);
	sl_flow_release(&run->flow);
	sl_fold_release(&run->fold);
	sl_buf_release(&run->out);
	sl_arena_release(&run->arena);
	free(run->writer);
	free(run->reader);
}

static void
check_reply(struct vector *v, struct sl_slice body)
{
	struct run run;

	run_init(&run, v, true);
	v->via->codec->read_whole(&run.flow, sl_slice_trim(body), &run.arena);
	assert_true(run.flow.ended);
	if (run.fold.failed)
		v->from->write_fault(&run.fold.fault, run.caller.request_id, &run.out);
	else
		v->from->codec->write_whole(&run.fold.answer, &run.caller, &run.out);
	if (sl_json_validate(sl_buf_slice(&run.out), NULL, NULL) != SL_OK)
		fail_msg("%s: the answer is no JSON: %.*s", v->path,
		         SL_ARG(sl_buf_slice(&run.out)));
	see(v, "answer", sl_buf_slice(&run.out));
	run_release(&run);
}

/* --- streams ------------------------------------------------------------------------------ */

static void
feed(struct run *run, struct sl_sse_reader *sse, struct sl_slice bytes)
{
	const struct sl_codec_ops *codec = run->v->via->codec;
	struct sl_sse_frame frame;

	while (sl_sse_read(sse, &bytes, &frame) == SL_OK)
		if (!frame.comment_only)
			codec->read_frame(run->reader, &run->flow, frame.event, frame.data,
			                  &run->arena);
}

/* In pieces of `step` bytes, but the first of `first`; all of it when step is 0. */
static void
play(struct run *run, struct sl_slice bytes, size_t first, size_t step)
{
	struct sl_sse_reader sse;
	struct sl_sse_frame frame;

	sl_sse_reader_init(&sse, OUT_MAX);
	feed(run, &sse, sl_slice_upto(bytes, first));
	bytes = sl_slice_from(bytes, first);
	for (; step && bytes.len; bytes = sl_slice_from(bytes, step))
		feed(run, &sse, sl_slice_upto(bytes, step));
	feed(run, &sse, bytes);
	if (sl_sse_finish(&sse, &frame) == SL_OK && sl_json_validate(frame.data, NULL, NULL) == SL_OK)
		run->v->via->codec->read_frame(run->reader, &run->flow, frame.event, frame.data,
		                               &run->arena);
	run->v->via->codec->read_end(run->reader, &run->flow, &run->arena);
	sl_sse_reader_release(&sse);
}

static void
expect_same(struct vector *v, struct sl_slice stream, size_t first, size_t step,
            struct sl_slice wanted)
{
	struct run run;

	run_init(&run, v, false);
	play(&run, stream, first, step);
	if (!sl_slice_eq(sl_buf_slice(&run.out), wanted))
		fail_msg("%s: split at %zu by %zu it becomes\n%.*s", v->path, first, step,
		         SL_ARG(sl_buf_slice(&run.out)));
	run_release(&run);
}

static struct sl_slice
with_crlf(struct vector *v, struct sl_slice stream)
{
	struct sl_buf buf;
	struct sl_slice copy;

	sl_buf_init(&buf, OUT_MAX);
	for (size_t i = 0; i < stream.len; i++) {
		if (stream.ptr[i] == '\n')
			sl_buf_append_char(&buf, '\r');
		sl_buf_append_char(&buf, stream.ptr[i]);
	}
	copy = sl_arena_dup(&v->arena, sl_buf_slice(&buf));
	sl_buf_release(&buf);
	return copy;
}

static void
check_cuts(struct vector *v, struct sl_slice stream, struct sl_slice whole, bool whole_failed)
{
	for (size_t size = 0; size < stream.len; size++) {
		struct run run;

		run_init(&run, v, false);
		play(&run, sl_slice_upto(stream, size), size, 0);
		assert_true(run.flow.ended);
		/* Either the end was there already, or it is an error. */
		if (!run.flow.failed && !sl_slice_eq(sl_buf_slice(&run.out), whole) &&
		    run.flow.stop == SL_STOP_NONE)
			fail_msg("%s: cut at %zu it ends as if nothing were missing:\n%.*s",
			         v->path, size, SL_ARG(sl_buf_slice(&run.out)));
		if (!whole_failed && run.flow.failed)
			assert_true(run.out.len > 0);
		run_release(&run);
	}
}

static void
check_stream(struct vector *v, struct sl_slice stream)
{
	struct sl_slice whole;
	struct run run;
	bool failed;

	run_init(&run, v, false);
	play(&run, stream, stream.len, 0);
	assert_true(run.flow.ended);
	failed = run.flow.failed;
	whole = sl_arena_dup(&v->arena, sl_buf_slice(&run.out));
	run_release(&run);
	see(v, "events", whole);
	expect_same(v, stream, 0, 1, whole);
	expect_same(v, with_crlf(v, stream), 0, 1, whole);
	for (size_t first = 1; first < stream.len; first++)
		expect_same(v, stream, first, 0, whole);
	check_cuts(v, stream, whole, failed);
}

/* --- cases ------------------------------------------------------------------------------------ */

static void
run_case(const char *name)
{
	static char bytes[FILE_MAX];
	struct vector *v = calloc(1, sizeof(*v));
	FILE *file;
	bool sent;

	assert_non_null(v);
	snprintf(v->path, sizeof(v->path), "%s/%.255s", ROOT, name);
	file = fopen(v->path, "rb");
	assert_non_null(file);
	sl_arena_init(&v->arena, 65536, 0);
	parse(v, sl_arena_dup(&v->arena, sl_slice_make(bytes, fread(bytes, 1, FILE_MAX, file))));
	fclose(file);
	if (!v->from || !v->via || !sl_codec_can(v->from, v->via))
		fail_msg("%s: %.*s cannot be translated", v->path, SL_ARG(v->head));
	sent = check_request(v);
	if (sent && find(v, "reply"))
		check_reply(v, find(v, "reply")->text);
	if (sent && find(v, "stream"))
		check_stream(v, find(v, "stream")->text);
	if (v->changed)
		store(v);
	sl_arena_release(&v->arena);
	free(v);
}

static int
order(const void *a, const void *b)
{
	return strcmp(a, b);
}

static char names[CASES_MAX][256];
static size_t name_count;

static void
all_cases(void **state)
{
	const char *only = getenv("VECTOR");

	(void)state;
	for (size_t i = 0; i < name_count; i++)
		if (!only || strstr(names[i], only))
			run_case(names[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_cases) };
	DIR *dir = opendir(ROOT);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)) && name_count < CASES_MAX)
		if (entry->d_name[0] != '.')
			snprintf(names[name_count++], sizeof(names[0]), "%s", entry->d_name);
	if (dir)
		closedir(dir);
	qsort(names, name_count, sizeof(names[0]), order);
	return name_count ? cmocka_run_group_tests_name("crossings", tests, NULL, NULL) : 1;
}

/* crossings_test.c - recorded translations between shapes.
 *
 * tests/vectors/crossings/ has one file for each case; NN_ in its name is its number in
 * tests/vectors/golden.md:
 *
 *   what it shows, in one line
 *   CALLED_SHAPE -> PROVIDERS_SHAPE MODEL [stream] [array] [provider=KIND] [most=TOKENS]
 *                                   [reasoning]
 *   --- request     the caller's body
 *   --- sent        the body for the provider, or:
 *   --- refused     param: message
 *   --- notes       what was changed, as the header tells it; left out: nothing
 *   --- reply       the provider's whole reply, and
 *   --- answer      what the caller gets of it
 *   --- stream      the provider's stream, and
 *   --- events      what the caller gets of it
 *
 * "array": the caller reads a JSON array; "most" and "reasoning": what the catalogue
 * says of the model. Binary event streams are written as lines of a message's type
 * and its payload.
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

#include "translate_harness.h"

#define ROOT "tests/vectors/crossings"
enum { FILE_MAX = 1 << 20, PATH_SIZE = 512, CASES_MAX = 512, SECTIONS_MAX = 12,
       OUT_MAX = 16 << 20 };

/* Streams are split at every byte; where threads are watched, of which there is one
 * here, at every eleventh: it takes minutes otherwise. */
#ifdef __SANITIZE_THREAD__
enum { STEP = 11 };
#else
enum { STEP = 1 };
#endif

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
	struct crossing_target     target;
	bool                       streams, array;
	bool                       changed;
};

/* --- files ------------------------------------------------------------------------ */

static struct section *
find(struct vector *v, const char *name)
{
	for (size_t i = 0; i < v->count; i++)
		if (sl_slice_is(v->sections[i].name, name))
			return &v->sections[i];
	return NULL;
}

static bool
value_of(struct sl_slice word, const char *name, struct sl_slice *value)
{
	struct sl_slice key = sl_slice_cut(&word, '=');

	*value = word;
	return sl_slice_is(key, name) && word.len;
}

static void
parse_head(struct vector *v)
{
	struct sl_slice rest = v->head, word, value;

	v->from = sl_shape_by_name(sl_slice_cut(&rest, ' '));
	assert_true(sl_slice_is(sl_slice_cut(&rest, ' '), "->"));
	v->via = sl_shape_by_name(sl_slice_cut(&rest, ' '));
	if (!v->from || !v->via || !sl_codec_can(v->from, v->via))
		fail_msg("%s: %.*s cannot be translated", v->path, SL_ARG(v->head));
	v->target = (struct crossing_target){
		.provider = v->via->family, .model = sl_slice_cut(&rest, ' '),
		.model_in_path = sl_slice_is(sl_slice_str(v->via->family), "gemini"),
	};
	while ((word = sl_slice_cut(&rest, ' ')).len) {
		if (value_of(word, "provider", &value))
			v->target.provider = sl_arena_strdup(&v->arena, value);
		else if (value_of(word, "most", &value))
			assert_true(sl_slice_i64(value, &v->target.most));
		else if (sl_slice_is(word, "reasoning"))
			v->target.capabilities = SL_CAP_REASONING;
		else if (sl_slice_is(word, "array"))
			v->array = true;
		else if (sl_slice_is(word, "stream"))
			v->streams = true;
		else
			fail_msg("%s: what is '%.*s'?", v->path, SL_ARG(word));
	}
}

static void
parse(struct vector *v, struct sl_slice file)
{
	ptrdiff_t at;

	v->title = sl_slice_cut(&file, '\n');
	v->head = sl_slice_cut(&file, '\n');
	parse_head(v);
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

/* --- binary event streams ------------------------------------------------------------ */

/* Lines of "TYPE PAYLOAD", an exception's with '!' before its type, as the bytes. */
static struct sl_slice
to_messages(struct vector *v, struct sl_slice lines)
{
	struct sl_slice line, type, bytes;
	struct sl_buf out;

	sl_buf_init(&out, OUT_MAX);
	while ((line = sl_slice_cut(&lines, '\n')).len || lines.len) {
		bool exception = sl_slice_starts(line, SL_SLICE("!"));

		type = sl_slice_cut(&line, ' ');
		if (type.len)
			sl_event_write(&out, exception ? SL_SLICE("exception") : SL_SLICE("event"),
			               sl_slice_from(type, exception), SL_SLICE("application/json"),
			               line);
	}
	bytes = sl_arena_dup(&v->arena, sl_buf_slice(&out));
	sl_buf_release(&out);
	return bytes;
}

static struct sl_slice
to_lines(struct vector *v, struct sl_slice bytes)
{
	struct sl_event_reader reader;
	struct sl_event_message message;
	struct sl_slice lines;
	struct sl_buf out;

	sl_buf_init(&out, OUT_MAX);
	sl_event_reader_init(&reader, OUT_MAX);
	while (sl_event_read(&reader, &bytes, &message) == SL_OK)
		sl_buf_printf(&out, "%s%.*s %.*s\n",
		              sl_slice_is(message.kind, "exception") ? "!" : "",
		              SL_ARG(message.type), SL_ARG(message.payload));
	assert_int_equal(sl_event_pending(&reader), 0);
	sl_event_reader_release(&reader);
	lines = sl_arena_dup(&v->arena, sl_buf_slice(&out));
	sl_buf_release(&out);
	return lines;
}

/* --- requests ------------------------------------------------------------------------ */

/* The name of the caller's path: the one that streams where a stream is asked for. */
static const char *
verb_of(const struct vector *v)
{
	for (const struct sl_shape_path *path = v->from->paths; path->pattern; path++)
		if ((strstr(path->verb, "stream") != NULL) == v->streams)
			return path->verb;
	return v->from->paths[0].verb;
}

static bool
send(struct vector *v, struct crossing *c)
{
	const struct sl_shape_input input = {
		.verb = verb_of(v), .path_model = SL_SLICE("model-asked-for"),
		.query = v->array ? SL_SLICE_NONE : SL_SLICE("alt=sse"),
		.body = sl_slice_trim(find(v, "request")->text),
	};

	crossing_init(c, v->from, v->via);
	return crossing_request(c, &input, &v->target);
}

/* --- places ----------------------------------------------------------------------- */

/* What stands at a place of the caller's body; NONE: nothing does. */
static struct sl_json
at_place(struct sl_json document, const struct sl_where *where, struct sl_arena *arena)
{
	struct sl_json up = where ? at_place(document, where->up, arena) : document;
	struct sl_json_iter it = sl_json_iter(up);
	struct sl_slice key;

	if (!where)
		return document;
	while ((up.type == SL_JSON_OBJECT || up.type == SL_JSON_ARRAY) && sl_json_next(&it)) {
		if (up.type == SL_JSON_ARRAY && where->name.len == 0 && it.index == where->index)
			return it.value;
		if (up.type == SL_JSON_OBJECT && where->name.len > 0 &&
		    sl_json_unescape(it.key, arena, &key) && sl_slice_eq(key, where->name))
			return it.value;
	}
	return (struct sl_json){ 0 };
}

static void
check_place(struct vector *v, struct sl_json body, const struct sl_where *where)
{
	if (at_place(body, where, &v->arena).type == SL_JSON_NONE)
		fail_msg("%s: nothing is at %.*s", v->path,
		         SL_ARG(sl_where_pointer(where, &v->arena)));
}

static void
check_parts(struct vector *v, struct sl_json body, const struct sl_part *part)
{
	for (; part; part = part->next) {
		check_place(v, body, &part->where);
		check_parts(v, body, part->parts);
	}
}

/* Whatever a warning or a refusal may name is in what the caller sent. */
static void
check_places(struct vector *v, const struct crossing *c)
{
	struct sl_json body;

	if (sl_json_validate(c->steer.input.body, NULL, NULL) != SL_OK)
		return;
	body = sl_json_parse(c->steer.input.body);
	for (const struct sl_turn *turn = c->dialog.turns; turn; turn = turn->next)
		check_parts(v, body, turn->parts);
	for (const struct sl_tool *tool = c->dialog.tools; tool; tool = tool->next)
		check_place(v, body, &tool->where);
	for (const struct sl_extra *extra = c->dialog.extras; extra; extra = extra->next)
		check_place(v, body, &extra->where);
	for (size_t i = 0; i < c->notes.count; i++)
		check_place(v, body, c->notes.items[i].where);
}

static bool
check_request(struct vector *v)
{
	struct sl_slice notes;
	struct crossing c;
	bool ok = send(v, &c);

	check_places(v, &c);
	if (ok) {
		if (sl_json_validate(sl_buf_slice(&c.sent), NULL, NULL) != SL_OK)
			fail_msg("%s: what is sent is no JSON: %.*s", v->path,
			         SL_ARG(sl_buf_slice(&c.sent)));
		see(v, "sent", sl_buf_slice(&c.sent));
	} else {
		see(v, "refused", sl_arena_printf(&v->arena, "%.*s: %.*s", SL_ARG(c.fault.param),
		                                  SL_ARG(c.fault.message)));
	}
	notes = sl_notes_print(&c.notes, &v->arena);
	if (notes.len || find(v, "notes"))
		see(v, "notes", notes);
	crossing_release(&c);
	return ok;
}

/* --- replies --------------------------------------------------------------------------- */

static void
check_reply(struct vector *v, struct sl_slice body)
{
	struct crossing c;

	assert_true(send(v, &c));
	crossing_begin_reply(&c, v->target.provider);
	crossing_whole(&c, sl_slice_trim(body));
	assert_true(c.flow.ended);
	if (sl_json_validate(sl_buf_slice(&c.out), NULL, NULL) != SL_OK)
		fail_msg("%s: the answer is no JSON: %.*s", v->path,
		         SL_ARG(sl_buf_slice(&c.out)));
	see(v, "answer", sl_buf_slice(&c.out));
	crossing_free_reply(&c);
	crossing_release(&c);
}

/* --- streams ------------------------------------------------------------------------------ */

/* How a stream ended. */
struct played {
	bool         failed;
	enum sl_stop stop;
};

/* What the caller gets of `bytes` in pieces (see crossing_stream), on `arena`. */
static struct sl_slice
play(struct vector *v, struct sl_slice bytes, size_t size, size_t split, struct sl_arena *arena,
     struct played *how)
{
	struct sl_slice out;
	struct crossing c;

	assert_true(send(v, &c));
	if (!c.stream)
		fail_msg("%s: the request asks for no stream", v->path);
	crossing_begin_reply(&c, v->target.provider);
	crossing_stream(&c, bytes, size, split);
	assert_false(c.out.failed);
	assert_true(c.flow.ended);
	*how = (struct played){ .failed = c.flow.failed, .stop = c.flow.stop };
	out = sl_arena_dup(arena, sl_buf_slice(&c.out));
	crossing_free_reply(&c);
	crossing_release(&c);
	return out;
}

static struct sl_slice
with_crlf(struct vector *v, struct sl_slice stream)
{
	struct sl_buf buf;
	struct sl_slice copy;

	sl_buf_init(&buf, OUT_MAX);
	for (size_t i = 0; i < stream.len; i++) {
		if (stream.ptr[i] == '\n' && (i == 0 || stream.ptr[i - 1] != '\r'))
			sl_buf_append_char(&buf, '\r');
		sl_buf_append_char(&buf, stream.ptr[i]);
	}
	copy = sl_arena_dup(&v->arena, sl_buf_slice(&buf));
	sl_buf_release(&buf);
	return copy;
}

static void
expect_same(struct vector *v, struct sl_slice stream, size_t split, struct sl_slice wanted)
{
	struct sl_arena arena;
	struct sl_slice seen;
	struct played how;

	sl_arena_init(&arena, 65536, 0);
	seen = play(v, stream, 1, split, &arena, &how);
	if (!sl_slice_eq(seen, wanted))
		fail_msg("%s: split at %zu it becomes\n%.*s", v->path, split, SL_ARG(seen));
	sl_arena_release(&arena);
}

/* Cut anywhere: either the end was there already, or it is an error. */
static void
expect_cut(struct vector *v, struct sl_slice stream, size_t size, const struct played *whole_how,
           struct sl_slice whole)
{
	struct sl_slice seen;
	struct sl_arena arena;
	struct played how;

	sl_arena_init(&arena, 65536, 0);
	seen = play(v, sl_slice_upto(stream, size), stream.len, 0, &arena, &how);
	if (!how.failed && (whole_how->failed ||
	                    (!sl_slice_eq(seen, whole) && how.stop == SL_STOP_NONE)))
		fail_msg("%s: cut at %zu it ends as if nothing were missing:\n%.*s", v->path, size,
		         SL_ARG(seen));
	if (how.failed)
		assert_true(seen.len > 0);
	sl_arena_release(&arena);
}

static void
check_stream(struct vector *v, struct sl_slice stream)
{
	bool binary = v->via->codec->stream_framing == SL_FRAMING_EVENTS;
	struct sl_slice whole;
	struct played how;

	if (binary)
		stream = to_messages(v, stream);
	whole = play(v, stream, stream.len, 0, &v->arena, &how);
	see(v, "events", v->from->codec == sl_shape_bedrock_converse.codec ? to_lines(v, whole)
	                                                                   : whole);
	if (!binary)
		expect_same(v, with_crlf(v, stream), 0, whole);
	for (size_t at = 0; at < stream.len; at += STEP) {
		expect_same(v, stream, at, whole); /* at 0: byte by byte */
		expect_cut(v, stream, at, &how, whole);
	}
}

/* --- cases ------------------------------------------------------------------------------------ */

static void
run_case(const char *name)
{
	static char bytes[FILE_MAX];
	struct vector *v = test_calloc(1, sizeof(*v));
	FILE *file;
	bool sent;

	snprintf(v->path, sizeof(v->path), "%s/%.255s", ROOT, name);
	file = fopen(v->path, "rb");
	assert_non_null(file);
	sl_arena_init(&v->arena, 65536, 0);
	parse(v, sl_arena_dup(&v->arena, sl_slice_make(bytes, fread(bytes, 1, FILE_MAX, file))));
	fclose(file);
	sent = check_request(v);
	if (sent && find(v, "reply"))
		check_reply(v, find(v, "reply")->text);
	if (sent && find(v, "stream"))
		check_stream(v, find(v, "stream")->text);
	if (v->changed)
		store(v);
	sl_arena_release(&v->arena);
	test_free(v);
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

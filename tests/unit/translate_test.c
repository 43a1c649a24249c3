/* translate_test.c - golden crossings between shapes.
 *
 * tests/vectors/translate/CASE/ holds
 *   case.json     from, via (shapes); provider, model, most (output tokens of the
 *                 model), reasoning (it can), path_model
 *   request       the caller's body
 *   sent          what the provider gets; absent: the request is refused
 *   reply         the provider's whole reply, or
 *   stream        its stream
 *   answer        what the caller gets
 *   notes         what was changed or lost, or why it was refused
 *
 * A stream is replayed whole, byte by byte, and in two parts split at every offset:
 * the answer is the same each time. Cut off at every offset it must not end well
 * unless the grammar's end was there. UPDATE_VECTORS=1 writes what is seen; what it
 * wrote is to be read before it is committed.
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

#define ROOT "tests/vectors/translate"
enum { FILE_MAX = 1 << 20, PATH_SIZE = 512 };

struct vector {
	char            dir[PATH_SIZE];
	struct sl_arena arena;
	struct sl_json  about;
};

static struct sl_slice
load(struct vector *v, const char *name)
{
	char path[PATH_SIZE + 64], *bytes;
	FILE *file;
	size_t size;

	snprintf(path, sizeof(path), "%s/%s", v->dir, name);
	file = fopen(path, "rb");
	if (!file)
		return SL_SLICE_NONE;
	bytes = sl_arena_alloc(&v->arena, FILE_MAX);
	size = fread(bytes, 1, FILE_MAX, file);
	fclose(file);
	return sl_slice_make(bytes, size);
}

static void
expect(struct vector *v, const char *name, struct sl_slice seen)
{
	struct sl_slice wanted = load(v, name);
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
	assert_int_equal(seen.len ? fwrite(seen.ptr, 1, seen.len, file) : 0, seen.len);
	assert_int_equal(fclose(file), 0);
}

static struct sl_slice
about(struct vector *v, const char *name)
{
	struct sl_slice out = SL_SLICE_NONE;

	sl_json_string(sl_json_get(v->about, name), &v->arena, &out);
	return out;
}

static const struct sl_shape_ops *
shape_of(struct vector *v, const char *name)
{
	const struct sl_shape_ops *shape = sl_shape_by_name(about(v, name));

	if (!shape)
		fail_msg("%s: no shape '%s'", v->dir, name);
	return shape;
}

/* The request again, for a reply that needs a fresh start. */
static bool
send(struct vector *v, struct crossing *c)
{
	const struct sl_shape_input input = {
		.verb = sl_json_true(sl_json_get(v->about, "stream")) ? "streamGenerateContent"
		                                                      : "generateContent",
		.path_model = about(v, "path_model"), .query = about(v, "query"),
		.body = load(v, "request"),
	};
	struct crossing_target target = {
		.provider = sl_arena_strdup(&v->arena, about(v, "provider")),
		.model = about(v, "model"),
		.capabilities = sl_json_true(sl_json_get(v->about, "reasoning")) ? SL_CAP_REASONING
		                                                                 : 0,
	};

	sl_json_i64(sl_json_get(v->about, "most"), &target.most);
	crossing_init(c, shape_of(v, "from"), shape_of(v, "via"));
	return crossing_request(c, &input, &target);
}

/* What the caller gets of `bytes` in pieces; dup'd on the vector's arena. */
static struct sl_slice
play(struct vector *v, struct sl_slice bytes, bool stream, size_t size, size_t split, bool *ended)
{
	char *provider = sl_arena_strdup(&v->arena, about(v, "provider"));
	struct crossing c;
	struct sl_slice out;

	assert_true(send(v, &c));
	crossing_begin_reply(&c, provider);
	if (stream)
		crossing_stream(&c, bytes, size, split);
	else
		crossing_whole(&c, bytes);
	assert_false(c.out.failed);
	assert_true(c.flow.ended);
	*ended = !c.flow.failed;
	out = sl_arena_dup(&v->arena, sl_buf_slice(&c.out));
	crossing_free_reply(&c);
	crossing_release(&c);
	return out;
}

static void
replay(struct vector *v, struct sl_slice stream)
{
	bool well, ended;
	struct sl_slice once = play(v, stream, true, stream.len, 0, &well);
	struct sl_slice again;

	expect(v, "answer", once);
	for (size_t at = 0; at < stream.len; at++) {
		struct sl_arena kept = v->arena;

		sl_arena_init(&v->arena, 64 * 1024, 0);
		again = play(v, stream, true, 1, at, &ended);
		if (!sl_slice_eq(once, again))
			fail_msg("%s: split at %zu\nwhole:\n%.*s\nsplit:\n%.*s", v->dir, at,
			         SL_ARG(once), SL_ARG(again));
		play(v, sl_slice_upto(stream, at), true, stream.len, 0, &ended);
		if (ended && !well)
			fail_msg("%s: ends well when cut off at %zu", v->dir, at);
		sl_arena_release(&v->arena);
		v->arena = kept;
	}
}

static void
run_case(struct vector *v)
{
	struct sl_slice reply, stream;
	struct crossing c;
	bool ended;

	v->about = sl_json_parse(load(v, "case.json"));
	if (!send(v, &c)) {
		expect(v, "notes", sl_arena_printf(&v->arena, "refused: %.*s\nparam: %.*s\n",
		                                   SL_ARG(c.fault.message), SL_ARG(c.fault.param)));
		assert_int_equal(load(v, "sent").len, 0);
		crossing_release(&c);
		return;
	}
	expect(v, "sent", sl_buf_slice(&c.sent));
	assert_int_equal(sl_json_validate(sl_buf_slice(&c.sent), NULL, NULL), SL_OK);
	expect(v, "notes", sl_notes_print(&c.notes, &v->arena));
	crossing_release(&c);
	reply = load(v, "reply");
	stream = load(v, "stream");
	if (reply.len)
		expect(v, "answer", play(v, reply, false, 0, 0, &ended));
	if (stream.len)
		replay(v, stream);
}

static void
every_crossing_is_as_recorded(void **state)
{
	struct dirent *entry;
	DIR *open = opendir(ROOT);
	size_t count = 0;

	(void)state;
	assert_non_null(open);
	while ((entry = readdir(open))) {
		struct vector *v;

		/* Directories only: beside them are the cases of single codecs. */
		if (strchr(entry->d_name, '.') ||
		    (getenv("VECTOR") && strcmp(getenv("VECTOR"), entry->d_name) != 0))
			continue;
		v = test_calloc(1, sizeof(*v));
		snprintf(v->dir, sizeof(v->dir), ROOT "/%.200s", entry->d_name);
		sl_arena_init(&v->arena, 64 * 1024, 0);
		run_case(v);
		sl_arena_release(&v->arena);
		test_free(v);
		count++;
	}
	closedir(open);
	assert_true(count > 0);
}

/* --- properties ---------------------------------------------------------------------- */

/* A -> dialog -> A: nothing that the dialog knows is lost, members that it does not
 * know travel at the top, and a second time changes nothing at all. */
static void
same_shape_round_trips(void **state)
{
	static const struct {
		const struct sl_shape_ops *shape;
		const char *provider, *body;
	} rows[] = {
		{ &sl_shape_openai_chat, "openai",
		  "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
		  "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\\u00e9\\n\"},"
		  "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/y.png\","
		  "\"detail\":\"low\"}}]},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":["
		  "{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
		  "\"{\\\"n\\\":9007199254740993}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c1\","
		  "\"content\":\"ok\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
		  "\"f\",\"parameters\":{\"type\":\"object\",\"x\":1e400}}}],\"temperature\":0.70,"
		  "\"n\":2,\"logit_bias\":{\"1\":2},\"seed\":9223372036854775807,"
		  "\"new_member\":{\"a\":[1]}}" },
		{ &sl_shape_anthropic_messages, "anthropic",
		  "{\"model\":\"claude-haiku-4-5\",\"max_tokens\":100,\"system\":[{\"type\":\"text\","
		  "\"text\":\"s\",\"cache_control\":{\"type\":\"ephemeral\"}}],\"messages\":[{\"role\":"
		  "\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":[{\"type\":"
		  "\"thinking\",\"thinking\":\"t\",\"signature\":\"c2ln\"},{\"type\":\"tool_use\","
		  "\"id\":\"t1\",\"name\":\"f\",\"input\":{\"n\":9007199254740993}}]},{\"role\":"
		  "\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t1\","
		  "\"content\":[{\"type\":\"text\",\"text\":\"x\"}],\"is_error\":true},{\"type\":"
		  "\"new_block\",\"z\":1}]}],\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":"
		  "\"object\"}},{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}],"
		  "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024},\"speed\":\"fast\"}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct crossing_target target = { .provider = rows[i].provider,
			                                .model = SL_SLICE("m") };
		struct sl_shape_input input = { .verb = "x", .body = sl_slice_str(rows[i].body) };
		struct crossing first, second;

		crossing_init(&first, rows[i].shape, rows[i].shape);
		assert_true(crossing_request(&first, &input, &target));
		assert_false(first.notes.dropped);
		input.body = sl_buf_slice(&first.sent);
		crossing_init(&second, rows[i].shape, rows[i].shape);
		assert_true(crossing_request(&second, &input, &target));
		assert_true(sl_slice_eq(sl_buf_slice(&first.sent), sl_buf_slice(&second.sent)));
		assert_true(sl_slice_search(input.body, SL_SLICE("9007199254740993")) > 0);
		crossing_release(&first);
		crossing_release(&second);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_crossing_is_as_recorded),
		cmocka_unit_test(same_shape_round_trips),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

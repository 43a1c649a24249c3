/* json_splice_test.c - edits against a reference that rebuilds the document
 * from its members' texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/json.h"
#include "json_fixture.h"

enum { MEMBERS_MAX = 6 };

static void
assert_result(struct sl_json_splice *splice, const char *text)
{
	struct sl_slice slices[SL_JSON_SLICES_MAX];
	struct sl_buf buf, joined;
	int count = sl_json_splice_slices(splice, slices, SL_JSON_SLICES_MAX);

	sl_buf_init(&buf, 1 << 16);
	sl_buf_init(&joined, 1 << 16);
	assert_int_equal(sl_json_splice_append(splice, &buf), SL_OK);
	if (!sl_slice_is(sl_buf_slice(&buf), text))
		fail_msg("got  %.*s\nwant %s", SL_ARG(sl_buf_slice(&buf)), text);
	assert_true(count > 0);
	for (int i = 0; i < count; i++) {
		assert_true(slices[i].len > 0);
		sl_buf_append(&joined, slices[i]);
	}
	assert_true(sl_slice_eq(sl_buf_slice(&joined), sl_buf_slice(&buf)));
	if (count > 1)
		assert_int_equal(sl_json_splice_slices(splice, slices, (size_t)count - 1), SL_ELIMIT);
	sl_buf_release(&buf);
	sl_buf_release(&joined);
}

static void
a_chat_request_is_edited(void **state)
{
	static const struct sl_json_want wants[] = {
		{ "model" }, { "stream_options" }, { "stream_options.include_usage" }, { "metadata" },
		{ "user" },
	};
	struct sl_slice doc = SL_SLICE("{ \"user\":\"u\",\n  \"model\" : \"a\" , \"x\" : 1.0e0, "
	                               "\"stream_options\":{ } , \"metadata\":{\"k\":[1, 2]} }");
	struct sl_json_found found[5], top;
	struct sl_json_splice splice;

	(void)state;
	assert_int_equal(sl_json_scan(doc, NULL, wants, 5, found, &top, NULL), SL_OK);
	sl_json_splice_init(&splice, doc);
	assert_result(&splice, doc.ptr);
	assert_int_equal(sl_json_splice_replace(&splice, &found[0], SL_SLICE("\"bb\"")), SL_OK);
	assert_int_equal(sl_json_splice_insert(&splice, &found[1], SL_SLICE("include_usage"),
	                                       SL_SLICE("true")), SL_OK);
	assert_int_equal(sl_json_splice_remove(&splice, &found[3]), SL_OK);
	assert_int_equal(sl_json_splice_remove(&splice, &found[4]), SL_OK);
	assert_result(&splice, "{ \"model\" : \"bb\" , \"x\" : 1.0e0, "
	                       "\"stream_options\":{\"include_usage\":true }  }");
	/* Absent: nothing to remove, nothing to replace. */
	assert_int_equal(sl_json_splice_remove(&splice, &found[2]), SL_OK);
	assert_int_equal(sl_json_splice_replace(&splice, &found[2], SL_SLICE("1")), SL_ENOTFOUND);
	assert_int_equal(sl_json_splice_insert(&splice, &found[0], SL_SLICE("k"), SL_SLICE("1")),
	                 SL_ETYPE);
}

static void
an_object_may_be_emptied_and_filled(void **state)
{
	static const struct sl_json_want wants[] = { { "a" }, { "b" } };
	struct sl_slice doc = SL_SLICE(" { \"a\":1 , \"b\":2 } ");
	struct sl_json_found found[2], top;
	struct sl_json_splice splice;

	(void)state;
	assert_int_equal(sl_json_scan(doc, NULL, wants, 2, found, &top, NULL), SL_OK);
	sl_json_splice_init(&splice, doc);
	sl_json_splice_remove(&splice, &found[1]);
	sl_json_splice_remove(&splice, &found[0]);
	assert_result(&splice, " {  } ");
	assert_int_equal(sl_json_splice_insert(&splice, &top, SL_SLICE("c"), SL_SLICE("3")), SL_OK);
	assert_result(&splice, " {\"c\":3  } ");
	assert_int_equal(sl_json_splice_insert(&splice, &top, SL_SLICE("d"), SL_SLICE("4")), SL_OK);
	assert_result(&splice, " {\"c\":3,\"d\":4  } ");
}

static void
overlapping_edits_are_refused(void **state)
{
	static const struct sl_json_want wants[] = { { "a" }, { "a.b" } };
	struct sl_slice doc = SL_SLICE("{\"a\":{\"b\":1}}");
	struct sl_json_found found[2], top;
	struct sl_json_splice splice;

	(void)state;
	assert_int_equal(sl_json_scan(doc, NULL, wants, 2, found, &top, NULL), SL_OK);
	sl_json_splice_init(&splice, doc);
	assert_int_equal(sl_json_splice_remove(&splice, &found[0]), SL_OK);
	assert_int_equal(sl_json_splice_remove(&splice, &found[0]), SL_EINVAL);
	assert_int_equal(sl_json_splice_replace(&splice, &found[1], SL_SLICE("2")), SL_EINVAL);
	assert_int_equal(sl_json_splice_insert(&splice, &found[0], SL_SLICE("k"), SL_SLICE("1")),
	                 SL_EINVAL);
	assert_result(&splice, "{}");
	sl_json_splice_init(&splice, SL_SLICE("{}"));
	assert_int_equal(sl_json_splice_remove(&splice, &found[0]), SL_EINVAL);
}

static void
edits_are_counted(void **state)
{
	struct sl_slice doc = SL_SLICE("{}");
	struct sl_json_found top;
	struct sl_json_splice splice;
	struct sl_buf buf;

	(void)state;
	assert_int_equal(sl_json_scan(doc, NULL, NULL, 0, NULL, &top, NULL), SL_OK);
	sl_json_splice_init(&splice, doc);
	for (size_t i = 0; i < SL_JSON_EDITS_MAX; i++)
		assert_int_equal(sl_json_splice_insert(&splice, &top, SL_SLICE("k"), SL_SLICE("1")), SL_OK);
	assert_int_equal(sl_json_splice_insert(&splice, &top, SL_SLICE("k"), SL_SLICE("1")), SL_ELIMIT);
	sl_buf_init(&buf, 4096);
	assert_int_equal(sl_json_splice_append(&splice, &buf), SL_OK);
	assert_int_equal(sl_json_validate(sl_buf_slice(&buf), NULL, NULL), SL_OK);
	sl_buf_clear(&buf);
	buf.max_size = 100;
	sl_buf_release(&buf);
	assert_int_equal(sl_json_splice_append(&splice, &buf), SL_ELIMIT);
	assert_int_equal(buf.len, 0);
	sl_buf_release(&buf);
}

/* --- against a reference --------------------------------------------------- */

enum action { KEEP, REMOVE, REPLACE };

/* Every document of up to six members, every set of actions on them, with and
 * without insertions; once at the top level and once nested. The reference
 * drops whitespace, so results are compared value by value. */
static void
check_plan(size_t count, const enum action *plan, size_t insertions, bool nested, uint64_t *seed)
{
	static const struct sl_json_want wants[2][MEMBERS_MAX + 1] = {
		{ { "m0" }, { "m1" }, { "m2" }, { "m3" }, { "m4" }, { "m5" }, { "o" } },
		{ { "o.m0" }, { "o.m1" }, { "o.m2" }, { "o.m3" }, { "o.m4" }, { "o.m5" }, { "o" } },
	};
	struct sl_json_found found[MEMBERS_MAX + 1], top;
	struct sl_json_splice splice;
	struct sl_buf doc, want, got;
	struct sl_json_writer w;
	struct sl_json_iter a, b;
	bool more;

	sl_buf_init(&doc, 1 << 16);
	sl_buf_init(&want, 1 << 16);
	sl_buf_init(&got, 1 << 16);
	sl_buf_append_str(&doc, nested ? "{\"x\" :0 , \"o\": {" : "{");
	random_space(&doc, seed);
	for (size_t i = 0; i < count; i++) {
		size_t values = 0;

		sl_buf_printf(&doc, "%s\"m%zu\"", i ? "," : "", i);
		random_space(&doc, seed);
		sl_buf_append_char(&doc, ':');
		random_value(&doc, seed, 4, &values);
		random_space(&doc, seed);
	}
	sl_buf_append_str(&doc, nested ? "} }" : "}");
	assert_int_equal(sl_json_scan(sl_buf_slice(&doc), NULL, wants[nested], MEMBERS_MAX + 1, found,
	                              &top, NULL), SL_OK);

	sl_json_splice_init(&splice, sl_buf_slice(&doc));
	sl_json_writer_init(&w, &want);
	sl_json_obj(&w);
	for (size_t i = 0; i < insertions; i++) {
		assert_int_equal(sl_json_splice_insert(&splice, nested ? &found[MEMBERS_MAX] : &top,
		                                       SL_SLICE("new"), SL_SLICE("[\"n\"]")), SL_OK);
		sl_json_key(&w, "new");
		sl_json_put_raw(&w, SL_SLICE("[\"n\"]"));
	}
	for (size_t k = 0; k < count; k++) {
		/* In an order that is not the document's. */
		size_t i = (k + count / 2) % count;

		if (plan[i] == REMOVE)
			assert_int_equal(sl_json_splice_remove(&splice, &found[i]), SL_OK);
		if (plan[i] == REPLACE)
			assert_int_equal(sl_json_splice_replace(&splice, &found[i], SL_SLICE("-7")), SL_OK);
	}
	for (size_t i = 0; i < count; i++) {
		char name[32];

		if (plan[i] == REMOVE)
			continue;
		snprintf(name, sizeof(name), "m%zu", i);
		sl_json_key(&w, name);
		sl_json_put_raw(&w, plan[i] == REPLACE ? SL_SLICE("-7")
		                                       : sl_json_found_raw(sl_buf_slice(&doc), &found[i]));
	}
	sl_json_obj_end(&w);

	assert_int_equal(sl_json_splice_append(&splice, &got), SL_OK);
	if (sl_json_validate(sl_buf_slice(&got), NULL, NULL) != SL_OK)
		fail_msg("%.*s\nbecame\n%.*s", SL_ARG(sl_buf_slice(&doc)), SL_ARG(sl_buf_slice(&got)));
	a = sl_json_iter(sl_json_parse(sl_buf_slice(&want)));
	b = sl_json_iter(nested ? sl_json_get(sl_json_parse(sl_buf_slice(&got)), "o")
	                        : sl_json_parse(sl_buf_slice(&got)));
	do {
		more = sl_json_next(&a);
		assert_int_equal(more, sl_json_next(&b));
		if (more && (!sl_slice_eq(a.key, b.key) || !sl_slice_eq(a.value.raw, b.value.raw)))
			fail_msg("%.*s\nbecame\n%.*s", SL_ARG(sl_buf_slice(&doc)), SL_ARG(sl_buf_slice(&got)));
	} while (more);
	sl_buf_release(&doc);
	sl_buf_release(&want);
	sl_buf_release(&got);
}

static void
every_set_of_edits_matches_the_reference(void **state)
{
	uint64_t seed = 17;

	(void)state;
	for (size_t count = 0; count <= MEMBERS_MAX; count++) {
		size_t plans = 1;

		for (size_t i = 0; i < count; i++)
			plans *= 3;
		for (size_t code = 0; code < plans; code++)
			for (size_t variant = 0; variant < 6; variant++) {
				enum action plan[MEMBERS_MAX];
				size_t rest = code;

				for (size_t i = 0; i < count; i++, rest /= 3)
					plan[i] = (enum action)(rest % 3);
				check_plan(count, plan, variant / 2, variant % 2, &seed);
			}
	}
}

/* Outside of the cuts, bytes are the document's own, in place. */
static void
untouched_bytes_are_the_documents(void **state)
{
	static const struct sl_json_want wants[] = { { "b" } };
	struct sl_slice doc = SL_SLICE("{\"a\": 1.00 ,\t\"b\"\n:\"x\",\"c\" : \"\\u0041\" }");
	struct sl_slice slices[SL_JSON_SLICES_MAX];
	struct sl_json_found found[1];
	struct sl_json_splice splice;

	(void)state;
	assert_int_equal(sl_json_scan(doc, NULL, wants, 1, found, NULL, NULL), SL_OK);
	sl_json_splice_init(&splice, doc);
	sl_json_splice_replace(&splice, &found[0], SL_SLICE("\"y\""));
	assert_int_equal(sl_json_splice_slices(&splice, slices, SL_JSON_SLICES_MAX), 3);
	assert_ptr_equal(slices[0].ptr, doc.ptr);
	assert_int_equal(slices[0].len, found[0].value_start);
	assert_ptr_equal(slices[2].ptr, doc.ptr + found[0].value_end);
	assert_ptr_equal(slices[2].ptr + slices[2].len, doc.ptr + doc.len);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chat_request_is_edited),
		cmocka_unit_test(an_object_may_be_emptied_and_filled),
		cmocka_unit_test(overlapping_edits_are_refused),
		cmocka_unit_test(edits_are_counted),
		cmocka_unit_test(every_set_of_edits_matches_the_reference),
		cmocka_unit_test(untouched_bytes_are_the_documents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

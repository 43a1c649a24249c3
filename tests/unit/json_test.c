/* json_test.c - scanner, reader and writer: grammar, places, numbers, bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "json_fixture.h"

static enum sl_err
validate(struct sl_slice text)
{
	struct fence fence;
	enum sl_err err, again;

	/* From a copy that ends at an unreadable page, and from where it is. */
	err = sl_json_validate(fence_make(&fence, text), NULL, NULL);
	fence_free(&fence);
	again = sl_json_validate(text, NULL, NULL);
	assert_int_equal(err, again);
	return err;
}

/* --- grammar -------------------------------------------------------------- */

static void
valid_texts_are_taken(void **state)
{
	static const char *const texts[] = {
		"{}", "[]", " \t\r\n[ ]\n", "null", "true", "false", "0", "-0", "-0.0e-0", "1E+2",
		"123.456e78", "\"\"", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00aF\"", "\"\\ud800\"",
		"\"\\udc00\\ud800\"", "\"\\ud83d\\ude00\"", "\"\\u0000\"", "\"\x7f\"",
		"\"\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf\"",
		"\"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf\"", "\"\xe2\x80\xa8\"",
		"{\"\":0}", "{\"a\":{\"a\":[{\"a\":[]}]}}", "{\"a\":1,\"a\":2}", "[1,2,\"\",null]",
		"1e999999999", "-1e-999999999", "[0.000000000000000000000000000001]",
		"123456789012345678901234567890",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (validate(sl_slice_str(texts[i])) != SL_OK)
			fail_msg("refused: %s", texts[i]);
}

static void
invalid_texts_are_refused(void **state)
{
	static const char *const texts[] = {
		"", " ", "{", "}", "[", "]", "\"", "\"a", "\"\\", "\"\\\"", "{]", "[}", "[1,]",
		"[,1]", "[1 2]", "[1,,2]", "{,}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}",
		"{\"a\" 1}", "{\"a\"::1}", "{1:1}", "{'a':1}", "{\"a\":1 \"b\":2}", "{\"a\":1}}",
		"[]]", "[] []", "1 2", "nul", "nulll", "True", "NaN", "Infinity", "-", "+1", "01",
		"-01", "1.", ".1", "1.e1", "1e", "1e+", "1e1.0", "0x10", "1_000", "--1", "- 1",
		"\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\U0041\"", "\"\\u 041\"", "\"\t\"",
		"\"\n\"", "\"\x1f\"", "\"\\\n\"", "/**/1", "1//", "[1]\f", "\v1",
		"\xef\xbb\xbf{}", "\"\x80\"", "\"\xbf\"", "\"\xc0\x80\"", "\"\xc1\xbf\"",
		"\"\xc2\"", "\"\xc2 \"", "\"\xe0\x80\x80\"", "\"\xe0\x9f\xbf\"",
		"\"\xed\xa0\x80\"", "\"\xed\xbf\xbf\"", "\"\xe2\x82\"", "\"\xe2\x28\xa1\"",
		"\"\xf0\x80\x80\x80\"", "\"\xf0\x8f\xbf\xbf\"", "\"\xf4\x90\x80\x80\"",
		"\"\xf5\x80\x80\x80\"", "\"\xff\"", "\"\xfe\"", "\"\xf0\x9f\x98\"", "\302\2401",
		"[\"a\",\n4\n,1,", "{\"a\":\"b\",\"c\":", "[1:2]", "{\"a\",\"b\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (validate(sl_slice_str(texts[i])) != SL_ESYNTAX)
			fail_msg("taken: %s", texts[i]);
	assert_int_equal(validate(SL_SLICE("[1]\0")), SL_ESYNTAX);
	assert_int_equal(validate(SL_SLICE("\"a\0b\"")), SL_ESYNTAX);
	assert_int_equal(validate(SL_SLICE_NONE), SL_ESYNTAX);
}

/* Every bad thing at every distance from the start of a string, so that each
 * lane of the vector code meets it, as well as the bytes behind it. */
static void
bad_bytes_are_found_in_every_lane(void **state)
{
	static const char *const bad[] = {
		"\x01", "\x1f", "\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\\q", "\\u00g0",
	};
	static const char *const good[] = {
		"\x7f", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\\n", "\\u00e9", "\\\\", "\\\"",
	};
	char text[400];

	(void)state;
	for (size_t i = 0; i < 8; i++)
		for (size_t before = 0; before < 150; before++) {
			int len = snprintf(text, sizeof(text), "\"%*s%s%*s\"", (int)before, "",
			                   bad[i], (int)(before * 7 % 90), "");

			assert_int_equal(validate(sl_slice_make(text, (size_t)len)), SL_ESYNTAX);
			len = snprintf(text, sizeof(text), "\"%*s%s%*s\"", (int)before, "",
			               good[i], (int)(before * 7 % 90), "");
			assert_int_equal(validate(sl_slice_make(text, (size_t)len)), SL_OK);
		}
}

/* Runs of escapes that straddle blocks of 16 and 64 bytes at every offset, the
 * last one good, bad or the one that hides the closing quote. */
static void
runs_of_escapes_are_followed(void **state)
{
	static const struct { const char *escape; const char *last; enum sl_err err; } cases[] = {
		{ "\\\\", "", SL_OK }, { "\\\\", "\\", SL_ESYNTAX }, { "\\n\\\"", "", SL_OK },
		{ "\\u00e9", "", SL_OK }, { "\\u00e9", "\\u00e", SL_ESYNTAX }, { "\\n", "\\x", SL_ESYNTAX },
		{ "\\\"x", "\\\\", SL_OK }, { "\\n", "\n", SL_ESYNTAX }, { "\\t", "\"\"", SL_ESYNTAX },
	};
	char text[400];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t before = 0; before < 70; before++)
			for (size_t count = 0; count < 30; count++) {
				size_t len = before + 1;

				memset(text, ' ', len);
				text[0] = '"';
				for (size_t k = 0; k < count; k++)
					len += (size_t)snprintf(text + len, 8, "%s", cases[i].escape);
				len += (size_t)snprintf(text + len, 16, "%s\"", cases[i].last);
				assert_int_equal(validate(sl_slice_make(text, len)), cases[i].err);
			}
}

/* Any code point in UTF-8, right or wrong, against the definition. */
static void
utf8_is_judged_by_the_table(void **state)
{
	(void)state;
	for (uint32_t lead = 0x80; lead <= 0xff; lead++)
		for (uint32_t second = 0; second <= 0xff; second++) {
			char text[8] = { '"', (char)lead, (char)second, (char)0x80, (char)0x80, '"' };
			bool tail = second >= 0x80 && second <= 0xbf;
			size_t tails = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
			bool good = lead >= 0xc2 && lead <= 0xf4 && tail &&
			            (lead != 0xe0 || second >= 0xa0) && (lead != 0xed || second < 0xa0) &&
			            (lead != 0xf0 || second >= 0x90) && (lead != 0xf4 || second < 0x90);

			text[2 + tails] = '"';
			assert_int_equal(validate(sl_slice_make(text, 3 + tails)),
			                 good ? SL_OK : SL_ESYNTAX);
		}
}

static void
depth_and_members_are_bounded(void **state)
{
	struct sl_json_limits limits = { .max_depth = 5, .max_members = 3 };
	struct sl_json_error error;
	static char bomb[200000];

	(void)state;
	memset(bomb, '[', sizeof(bomb));
	assert_int_equal(sl_json_validate(sl_slice_make(bomb, sizeof(bomb)), NULL, &error), SL_ELIMIT);
	assert_int_equal(error.offset, 64);
	limits.max_depth = 1u << 30;
	assert_int_equal(sl_json_validate(sl_slice_make(bomb, sizeof(bomb)), &limits, &error),
	                 SL_ELIMIT);
	assert_int_equal(error.offset, 1024);
	for (size_t i = 0; i < 1024; i++)
		bomb[2047 - i] = ']';
	assert_int_equal(sl_json_validate(sl_slice_make(bomb, 2048), &limits, &error), SL_OK);
	limits.max_depth = 5;
	assert_int_equal(sl_json_validate(SL_SLICE("[[[[[]]]]]"), &limits, NULL), SL_OK);
	assert_int_equal(sl_json_validate(SL_SLICE("[{\"a\":[[[[]]]]}]"), &limits, NULL), SL_ELIMIT);
	assert_int_equal(sl_json_validate(SL_SLICE("{\"a\":1,\"b\":2,\"c\":3}"), &limits, NULL), SL_OK);
	assert_int_equal(sl_json_validate(SL_SLICE("{\"a\":1,\"b\":2,\"c\":3,\"d\":4}"), &limits, &error),
	                 SL_ELIMIT);
	assert_int_equal(error.offset, 19);
	assert_int_equal(sl_json_validate(SL_SLICE("[1,2,3,4,5,6,7]"), &limits, NULL), SL_OK);
}

/* --- locating ------------------------------------------------------------- */

#define WANTS(...) (const struct sl_json_want[]){ __VA_ARGS__ }

static bool
raw_is(struct sl_slice doc, const struct sl_json_found *found, const char *text)
{
	return sl_slice_is(sl_json_found_raw(doc, found), text);
}

static void
members_are_located(void **state)
{
	static const struct sl_json_want wants[] = {
		{ "model" }, { "stream" }, { "stream_options" }, { "stream_options.include_usage" },
		{ "metadata.astrolabe.stack" }, { "n" }, { "absent" },
	};
	struct sl_slice doc = SL_SLICE(" {\"messages\":[{\"model\":\"no\"}], \"model\" : \"gpt\" ,"
	                               "\"stream_options\":{\"x\":[1],\"include_usage\":true},"
	                               "\"x\":{\"n\":1},\"metadata\":{\"astrolabe\":{\"stack\":\"s\"}},"
	                               "\"stream\":false, \"\\u006e\":1e2 } ");
	struct sl_json_found found[7], top;

	(void)state;
	assert_int_equal(sl_json_scan(doc, NULL, wants, 7, found, &top, NULL), SL_OK);
	assert_true(raw_is(doc, &found[0], "\"gpt\""));
	assert_int_equal(found[0].type, SL_JSON_STRING);
	assert_int_equal(doc.ptr[found[0].key_start], '"');
	assert_int_equal(found[1].type, SL_JSON_FALSE);
	assert_true(raw_is(doc, &found[2], "{\"x\":[1],\"include_usage\":true}"));
	assert_int_equal(found[2].member_count, 2);
	assert_true(raw_is(doc, &found[3], "true"));
	assert_int_equal(found[3].parent_inside, found[2].value_start + 1);
	assert_true(raw_is(doc, &found[4], "\"s\""));
	assert_true(raw_is(doc, &found[5], "1e2"));
	assert_int_equal(found[6].type, SL_JSON_NONE);
	assert_int_equal(top.member_count, 7);
	assert_int_equal(top.value_start, 1);
	assert_int_equal(top.value_end, doc.len - 1);
}

static void
names_with_dots_are_not_paths(void **state)
{
	static const struct sl_json_want wants[] = { { "a.b" }, { "c" } };
	struct sl_slice doc = SL_SLICE("{\"a.b\":1,\"a\\u002eb\":2,\"c\\u0000\":3,\"c.\":4,\"\":5}");
	struct sl_json_found found[2];

	(void)state;
	assert_int_equal(sl_json_scan(doc, NULL, wants, 2, found, NULL, NULL), SL_OK);
	assert_int_equal(found[0].type, SL_JSON_NONE);
	assert_int_equal(found[1].type, SL_JSON_NONE);
}

static void
duplicates_of_steering_members_are_refused(void **state)
{
	static const struct { const char *text; enum sl_err err; } cases[] = {
		{ "{\"model\":1,\"model\":2}", SL_EDUPLICATE },
		{ "{\"model\":1,\"m\\u006fdel\":2}", SL_EDUPLICATE },
		{ "{\"a\":{\"b\":1,\"b\":2}}", SL_EDUPLICATE },
		{ "{\"a\":{},\"a\":{}}", SL_EDUPLICATE },
		{ "{\"a\":null,\"x\":0,\"a\":3}", SL_EDUPLICATE },
		{ "{\"x\":1,\"x\":2}", SL_OK },
		{ "{\"x\":{\"model\":1,\"model\":2},\"model\":3}", SL_OK },
		{ "{\"a\":{\"model\":1,\"c\":{\"b\":1}},\"b\":4}", SL_OK },
		{ "{\"a\":[{\"b\":1,\"b\":2}]}", SL_OK },
		{ "{\"Model\":1,\"model\":2}", SL_OK },
	};
	static const struct sl_json_want wants[] = { { "model" }, { "a.b" } };
	struct sl_json_found found[2];
	struct sl_json_error error;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(sl_json_scan(sl_slice_str(cases[i].text), NULL, wants, 2, found,
		                              NULL, &error), cases[i].err);
	sl_json_scan(sl_slice_str(cases[0].text), NULL, wants, 2, found, NULL, &error);
	assert_int_equal(error.offset, 11);
	assert_non_null(error.reason);
}

static void
top_level_must_be_an_object(void **state)
{
	(void)state;
	assert_int_equal(sl_json_scan(SL_SLICE("[{}]"), NULL, NULL, 0, NULL, NULL, NULL), SL_ETYPE);
	assert_int_equal(sl_json_scan(SL_SLICE("null"), NULL, NULL, 0, NULL, NULL, NULL), SL_ETYPE);
	assert_int_equal(sl_json_scan(SL_SLICE("[1,"), NULL, NULL, 0, NULL, NULL, NULL), SL_ESYNTAX);
	assert_int_equal(sl_json_scan(SL_SLICE("{}"), NULL, NULL, 0, NULL, NULL, NULL), SL_OK);
}

static void
paths_beyond_the_limits_are_an_error(void **state)
{
	struct sl_json_want wants[65];
	struct sl_json_found found[65];
	struct sl_slice deep = SL_SLICE("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":"
	                                "{\"a\":1}}}}}}}}}");

	(void)state;
	for (size_t i = 0; i < 65; i++)
		wants[i] = i % 2 ? (struct sl_json_want){ "a" } : (struct sl_json_want){ "b" };
	assert_int_equal(sl_json_scan(deep, NULL, wants, 65, found, NULL, NULL), SL_EINVAL);
	assert_int_equal(sl_json_scan(deep, NULL, wants, 64, found, NULL, NULL), SL_OK);
	assert_int_equal(found[63].type, SL_JSON_OBJECT);
	wants[0] = (struct sl_json_want){ "a.a.a.a.a.a.a.a" };
	assert_int_equal(sl_json_scan(deep, NULL, wants, 1, found, NULL, NULL), SL_OK);
	assert_true(raw_is(deep, &found[0], "{\"a\":1}"));
	wants[0] = (struct sl_json_want){ "a.a.a.a.a.a.a.a.a" };
	assert_int_equal(sl_json_scan(deep, NULL, wants, 1, found, NULL, NULL), SL_EINVAL);
}

/* --- reading -------------------------------------------------------------- */

static void
documents_are_walked(void **state)
{
	struct sl_json doc = sl_json_parse(SL_SLICE(
	    " { \"a\" : [ 1 , \"x]\\\"\" , { } , [ ] , null ] , \"b\\n\":{\"c\":{\"d\":true}},\"a\":7}\n"));
	struct sl_json_iter it = sl_json_iter(doc);
	const char *const raws[] = { "1", "\"x]\\\"\"", "{ }", "[ ]", "null" };
	size_t count = 0;

	(void)state;
	assert_int_equal(doc.type, SL_JSON_OBJECT);
	assert_true(sl_json_next(&it));
	assert_true(sl_slice_is(it.key, "a"));
	assert_int_equal(it.index, 0);
	for (struct sl_json_iter el = sl_json_iter(it.value); sl_json_next(&el); count++) {
		assert_int_equal(el.index, count);
		assert_true(sl_slice_is(el.value.raw, raws[count]));
	}
	assert_int_equal(count, 5);
	assert_true(sl_json_next(&it));
	assert_true(sl_slice_is(it.key, "b\\n"));
	assert_true(sl_json_next(&it));
	assert_false(sl_json_next(&it));
	assert_false(sl_json_next(&it));
	assert_true(sl_slice_is(sl_json_get(doc, "a").raw, "7"));
	assert_true(sl_json_true(sl_json_at(doc, "b\n.c.d")));
	assert_int_equal(sl_json_at(doc, "a.c").type, SL_JSON_NONE);
	assert_int_equal(sl_json_get(doc, "c").type, SL_JSON_NONE);
	assert_int_equal(sl_json_parse(SL_SLICE(" ")).type, SL_JSON_NONE);
	it = sl_json_iter(sl_json_parse(SL_SLICE("12")));
	assert_false(sl_json_next(&it));
}

/* Everything of a value in the order of the document, as key=value. */
static void
walk_all(struct sl_json_walk *walk, struct sl_buf *out)
{
	struct sl_slice key;

	switch (sl_json_walk_type(walk)) {
	case SL_JSON_OBJECT:
		sl_buf_append_char(out, '{');
		for (sl_json_walk_enter(walk); sl_json_walk_member(walk, &key);) {
			sl_buf_append(out, key);
			sl_buf_append_char(out, '=');
			walk_all(walk, out);
		}
		sl_buf_append_char(out, '}');
		break;
	case SL_JSON_ARRAY:
		sl_buf_append_char(out, '[');
		for (sl_json_walk_enter(walk); sl_json_walk_next(walk);)
			walk_all(walk, out);
		sl_buf_append_char(out, ']');
		break;
	default:
		sl_buf_append(out, sl_json_walk_skip(walk));
		sl_buf_append_char(out, ' ');
	}
}

static void
documents_are_walked_in_one_pass(void **state)
{
	static const char text[] = " { \"a\" : [ 1 ,\"x]\\\"\" , { } ,[], null ] ,\"b\\n\":{\"c\":\n"
	                           "{\"d\":true}},\"e\":{},\"f\":-7.5e1 } ";
	struct sl_json_walk walk = sl_json_walk(sl_slice_str(text));
	struct sl_slice key;
	struct sl_buf out;

	(void)state;
	sl_buf_init(&out, 4096);
	walk_all(&walk, &out);
	assert_true(sl_slice_is(sl_buf_slice(&out), "{a=[1 \"x]\\\"\" {}[]null ]b\\n={c={d=true }}"
	                                            "e={}f=-7.5e1 }"));
	sl_buf_release(&out);
	/* A container that is not gone through is left behind whole. */
	walk = sl_json_walk(sl_slice_str(text));
	sl_json_walk_enter(&walk);
	assert_true(sl_json_walk_member(&walk, &key));
	assert_true(sl_json_key_is(key, SL_SLICE("a")));
	assert_true(sl_slice_ends(sl_json_walk_skip(&walk), SL_SLICE("null ]")));
	assert_true(sl_json_walk_member(&walk, &key));
	assert_true(sl_json_key_is(key, SL_SLICE("b\n")));
	assert_false(sl_json_key_is(key, SL_SLICE("b")));
	walk = sl_json_walk(SL_SLICE_NONE);
	assert_int_equal(sl_json_walk_type(&walk), SL_JSON_NONE);
	assert_int_equal(sl_json_walk_skip(&walk).len, 0);
}

static void
strings_are_unescaped(void **state)
{
	static const struct { const char *raw; const char *text; } cases[] = {
		{ "\"plain\"", "plain" },
		{ "\"\"", "" },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
		{ "\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00!\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!" },
		{ "\"\\ud83d\"", "\xef\xbf\xbd" },
		{ "\"\\ud83dx\"", "\xef\xbf\xbdx" },
		{ "\"\\ude00\\ud83d\"", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\"\\ud83d\\ud83d\\ude00\"", "\xef\xbf\xbd\xf0\x9f\x98\x80" },
		{ "\"\\ud83d\\u0041\"", "\xef\xbf\xbd""A" },
	};
	struct sl_arena arena;

	(void)state;
	sl_arena_init(&arena, 256, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_json value = sl_json_parse(sl_slice_str(cases[i].raw));
		struct sl_slice text;

		assert_true(sl_json_string(value, &arena, &text));
		assert_true(sl_slice_is(text, cases[i].text));
		assert_true(sl_json_is(value, cases[i].text));
		assert_false(sl_json_is(value, "something else"));
	}
	assert_false(sl_json_is(sl_json_parse(SL_SLICE("\"\\u0000\"")), ""));
	assert_false(sl_json_is(sl_json_parse(SL_SLICE("12")), "12"));
	sl_arena_release(&arena);
}

static void
integers_are_exact_and_bounded(void **state)
{
	static const struct { const char *raw; bool ok; int64_t value; } cases[] = {
		{ "0", true, 0 }, { "-0", true, 0 }, { "0e999999999999999999999", true, 0 },
		{ "42", true, 42 }, { "-42", true, -42 }, { "1.0", true, 1 }, { "1e3", true, 1000 },
		{ "1500e-2", true, 15 }, { "1.5e1", true, 15 }, { "0.00015E+5", true, 15 },
		{ "1.5", false, 0 }, { "1e-1", false, 0 }, { "1050e-2", false, 0 },
		{ "9223372036854775807", true, INT64_MAX }, { "9223372036854775808", false, 0 },
		{ "-9223372036854775808", true, INT64_MIN }, { "-9223372036854775809", false, 0 },
		{ "9.223372036854775807e18", true, INT64_MAX }, { "1e18", true, 1000000000000000000 },
		{ "1e19", false, 0 }, { "1e999999999", false, 0 }, { "1e-999999999", false, 0 },
		{ "100000000000000000000e-20", true, 1 }, { "\"1\"", false, 0 }, { "null", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t value = 0;

		if (sl_json_i64(sl_json_parse(sl_slice_str(cases[i].raw)), &value) != cases[i].ok ||
		    value != cases[i].value)
			fail_msg("%s gave %lld", cases[i].raw, (long long)value);
	}
}

static void
dollars_are_exact(void **state)
{
	static const struct { const char *raw; bool ok; int64_t nano; } cases[] = {
		{ "1.5", true, 1500000000 }, { "0.000000001", true, 1 }, { "1e-9", true, 1 },
		{ "0.0000000010", true, 1 }, { "0.0000000001", false, 0 }, { "-2", true, -2000000000 },
		{ "9223372036.854775807", true, INT64_MAX }, { "9223372036.854775808", false, 0 },
		{ "0.1", true, 100000000 }, { "1e10", false, 0 }, { "\"1\"", false, 0 },
	};
	struct sl_buf buf;

	(void)state;
	sl_buf_init(&buf, 4096);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_json_writer w;
		int64_t nano = 0, back = 0;

		assert_int_equal(sl_json_nanousd(sl_json_parse(sl_slice_str(cases[i].raw)), &nano),
		                 cases[i].ok);
		assert_int_equal(nano, cases[i].nano);
		sl_buf_clear(&buf);
		sl_json_writer_init(&w, &buf);
		sl_json_put_nanousd(&w, nano);
		assert_true(sl_json_nanousd(sl_json_parse(sl_buf_slice(&buf)), &back));
		assert_int_equal(nano, back);
	}
	sl_buf_release(&buf);
}

static void
doubles_round_correctly(void **state)
{
	static const char *const texts[] = {
		"0", "1.5", "-1.5e3", "0.1", "1e308", "1.7976931348623157e308", "5e-324", "2.4e-324",
		"2.2250738585072014e-308", "9007199254740993", "9007199254740993.00000000000001",
		"123456789012345678901234567890e-10", "1e-400", "0.3", "1e23", "8.5e-5",
	};
	double value;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_true(sl_json_f64(sl_json_parse(sl_slice_str(texts[i])), &value));
		assert_true(value == strtod(texts[i], NULL));
	}
	assert_false(sl_json_f64(sl_json_parse(SL_SLICE("1e999999999")), &value));
	assert_false(sl_json_f64(sl_json_parse(SL_SLICE("-1e99999999999999999999")), &value));
	assert_true(sl_json_f64(sl_json_parse(SL_SLICE("1e-99999999999999999999")), &value));
	assert_true(value == 0);
	assert_false(sl_json_f64(sl_json_parse(SL_SLICE("true")), &value));
}

/* A tie that only a digit far behind breaks, and zeros that an exponent
 * balances. */
static void
long_numbers_keep_their_meaning(void **state)
{
	static char text[3000];
	double value;
	int64_t integer;

	(void)state;
	snprintf(text, sizeof(text), "9007199254740993.%02000d1", 0);
	assert_true(sl_json_f64(sl_json_parse(sl_slice_str(text)), &value));
	assert_true(value == 9007199254740994.0);
	snprintf(text, sizeof(text), "0.%02000d7e2001", 0);
	assert_true(sl_json_i64(sl_json_parse(sl_slice_str(text)), &integer));
	assert_int_equal(integer, 7);
	snprintf(text, sizeof(text), "1%02000de-2000", 0);
	assert_true(sl_json_i64(sl_json_parse(sl_slice_str(text)), &integer));
	assert_int_equal(integer, 1);
	assert_true(sl_json_f64(sl_json_parse(sl_slice_str(text)), &value));
	assert_true(value == 1.0);
}

/* --- writing -------------------------------------------------------------- */

static void
writer_places_commas(void **state)
{
	struct sl_json_writer w;
	struct sl_buf buf;

	(void)state;
	sl_buf_init(&buf, 4096);
	sl_json_writer_init(&w, &buf);
	sl_json_obj(&w);
	sl_json_str(&w, "a\"", SL_SLICE("b"));
	sl_json_key(&w, "list");
	sl_json_arr(&w);
	sl_json_put_i64(&w, INT64_MIN);
	sl_json_put_null(&w);
	sl_json_obj(&w);
	sl_json_obj_end(&w);
	sl_json_arr(&w);
	sl_json_arr_end(&w);
	sl_json_put_bool(&w, true);
	sl_json_put_raw(&w, SL_SLICE("{\"x\":1}"));
	sl_json_arr_end(&w);
	sl_json_usd(&w, "usd", 1500000000);
	sl_json_bool(&w, "no", false);
	sl_json_int(&w, "n", 7);
	sl_json_obj_end(&w);
	assert_true(sl_slice_is(sl_buf_slice(&buf),
	    "{\"a\\\"\":\"b\",\"list\":[-9223372036854775808,null,{},[],true,{\"x\":1}],"
	    "\"usd\":1.5,\"no\":false,\"n\":7}"));
	sl_buf_clear(&buf);
	sl_json_writer_init(&w, &buf);
	for (size_t i = 0; i < 65; i++)
		sl_json_arr(&w);
	assert_true(buf.failed);
	sl_buf_release(&buf);
}

static void
doubles_are_written_short(void **state)
{
	static const struct { double value; const char *text; } cases[] = {
		{ 0.1, "0.1" }, { 1, "1" }, { -0.5, "-0.5" }, { 1e21, "1e+21" }, { 5e-324, "5e-324" },
		{ 1.0 / 3, "0.3333333333333333" }, { 0.1 + 0.2, "0.30000000000000004" },
	};
	struct sl_buf buf;

	(void)state;
	sl_buf_init(&buf, 64);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_json_writer w;

		sl_buf_clear(&buf);
		sl_json_writer_init(&w, &buf);
		sl_json_put_f64(&w, cases[i].value);
		assert_true(sl_slice_is(sl_buf_slice(&buf), cases[i].text));
	}
	sl_buf_release(&buf);
}

/* Any bytes become a valid string; UTF-8 text comes back as it was. */
static void
strings_survive_a_round_trip(void **state)
{
	struct sl_arena arena;
	struct sl_buf buf;
	uint64_t seed = 7;

	(void)state;
	sl_buf_init(&buf, 1 << 20);
	sl_arena_init(&arena, 4096, 0);
	for (size_t round = 0; round < 3000; round++) {
		char text[300];
		size_t len = random_below(&seed, sizeof(text));
		bool ascii = round % 2;
		struct sl_slice back;

		for (size_t i = 0; i < len; i++)
			text[i] = (char)random_below(&seed, ascii ? 128 : 256);
		sl_buf_clear(&buf);
		assert_int_equal(sl_json_quote(&buf, sl_slice_make(text, len)), SL_OK);
		assert_int_equal(validate(sl_buf_slice(&buf)), SL_OK);
		assert_true(sl_json_string(sl_json_parse(sl_buf_slice(&buf)), &arena, &back));
		if (ascii)
			assert_true(sl_slice_eq(back, sl_slice_make(text, len)));
	}
	sl_arena_release(&arena);
	sl_buf_release(&buf);
}

/* --- generated documents -------------------------------------------------- */

/* Counts values by walking with the reader. */
static size_t
count_values(struct sl_json value)
{
	size_t count = 1;

	for (struct sl_json_iter it = sl_json_iter(value); sl_json_next(&it);)
		count += count_values(it.value);
	return count;
}

static void
generated_documents_are_valid_and_whole(void **state)
{
	struct sl_buf buf;
	uint64_t seed = 1;

	(void)state;
	sl_buf_init(&buf, 1 << 20);
	for (size_t round = 0; round < 2000; round++) {
		size_t values = 0;

		sl_buf_clear(&buf);
		random_value(&buf, &seed, 0, &values);
		assert_int_equal(validate(sl_buf_slice(&buf)), SL_OK);
		assert_int_equal(count_values(sl_json_parse(sl_buf_slice(&buf))), values);
	}
	sl_buf_release(&buf);
}

/* A proper prefix of a document in brackets is never a document, and a changed
 * byte never makes the scanner or the reader leave the text. */
static void
damaged_documents_are_survived(void **state)
{
	struct sl_buf buf;
	uint64_t seed = 3;

	(void)state;
	sl_buf_init(&buf, 1 << 20);
	for (size_t round = 0; round < 60; round++) {
		size_t values = 0;
		struct fence fence;
		struct sl_slice doc;

		sl_buf_clear(&buf);
		sl_buf_append_char(&buf, '[');
		random_value(&buf, &seed, 0, &values);
		sl_buf_append_char(&buf, ']');
		doc = sl_buf_slice(&buf);
		for (size_t len = 0; len < doc.len && len < 300; len++)
			assert_int_equal(validate(sl_slice_upto(doc, len)), SL_ESYNTAX);
		for (size_t i = 0; i < 40; i++) {
			buf.ptr[random_below(&seed, buf.len)] = (char)random_below(&seed, 256);
			doc = fence_make(&fence, sl_buf_slice(&buf));
			sl_json_validate(doc, NULL, NULL);
			count_values(sl_json_parse(doc));
			fence_free(&fence);
		}
	}
	sl_buf_release(&buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(valid_texts_are_taken),
		cmocka_unit_test(invalid_texts_are_refused),
		cmocka_unit_test(bad_bytes_are_found_in_every_lane),
		cmocka_unit_test(runs_of_escapes_are_followed),
		cmocka_unit_test(utf8_is_judged_by_the_table),
		cmocka_unit_test(depth_and_members_are_bounded),
		cmocka_unit_test(members_are_located),
		cmocka_unit_test(names_with_dots_are_not_paths),
		cmocka_unit_test(duplicates_of_steering_members_are_refused),
		cmocka_unit_test(top_level_must_be_an_object),
		cmocka_unit_test(paths_beyond_the_limits_are_an_error),
		cmocka_unit_test(documents_are_walked),
		cmocka_unit_test(documents_are_walked_in_one_pass),
		cmocka_unit_test(strings_are_unescaped),
		cmocka_unit_test(integers_are_exact_and_bounded),
		cmocka_unit_test(dollars_are_exact),
		cmocka_unit_test(doubles_round_correctly),
		cmocka_unit_test(long_numbers_keep_their_meaning),
		cmocka_unit_test(writer_places_commas),
		cmocka_unit_test(doubles_are_written_short),
		cmocka_unit_test(strings_survive_a_round_trip),
		cmocka_unit_test(generated_documents_are_valid_and_whole),
		cmocka_unit_test(damaged_documents_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* json_scan_test.c - the scan against its reference, over documents made at random, damaged
 * and cut at every place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "json_fixture.h"
#include "json_reference.h"

/* Of a few bytes, of about sixteen, and as long as there is room; more than sixteen of them:
 * so many bytes, and so many wants, are looked at together. */
static const struct sl_json_want wants[] = {
	{ "model" }, { "stream" }, { "stream_options" }, { "stream_options.include_usage" },
	{ "metadata.astrolabe" }, { "metadata.astrolabe.stack" }, { "n" }, { "n.n" },
	{ "max_tokens" }, { "max_completion_tokens" }, { "mo" }, { "a.b.c" }, { "a.b" },
	{ "a_name_of_14_b" }, { "a_name_of_15_by" }, { "a_name_of_16_byt" },
	{ "a_name_of_17_byte" }, { "a_name_of_15_by.a_name_of_15_by" },
	{ "a_name_of_16_byt.a_name_of_16_byt" }, { "a_name_of_17_byte.n" },
	{ "a_name_of_30_bytes_before_one_.a_name_of_16_byt" },
	{ "a_name_of_30_bytes_before_one_.a_name_of_15_by" },
	{ "a_name_that_is_as_long_as_any_can_be_in_a_want_" },
};
enum { WANTS = sizeof(wants) / sizeof(wants[0]) };

/* Appends an object of names that are wanted, nearly are, or are not. */
static void
steering_object(struct sl_buf *buf, uint64_t *seed, unsigned depth)
{
	static const char *const names[] = {
		"model", "stream", "stream_options", "include_usage", "metadata", "astrolabe",
		"stack", "n", "max_tokens", "max_completion_tokens", "mo", "a", "b", "c", "a.b", "",
		"m", "model2", "m\\u006fdel", "\\u006dodel", "max_completion_tokens_more",
		"met\\u0061data", "include_us\\u0061ge", "n.n", "messages", "role", "content",
		"a_name_of_14_b", "a_name_of_15_by", "a_name_of_16_byt", "a_name_of_17_byte",
		"a_name_of_15_by.", "a_name_of_15_bx", "a_name_of_30_bytes_before_one_",
		"a_name_that_is_as_long_as_any_can_be_in_a_want_",
		"a_name_that_is_as_long_as_any_can_be_in_a_want_x",
	};
	const size_t name_count = sizeof(names) / sizeof(names[0]);
	size_t values = 0;

	sl_buf_append_char(buf, '{');
	random_space(buf, seed);
	for (size_t i = random_below(seed, 7); i > 0; i--) {
		sl_buf_append_char(buf, '"');
		sl_buf_append_str(buf, names[random_below(seed, name_count)]);
		sl_buf_append_char(buf, '"');
		random_space(buf, seed);
		sl_buf_append_char(buf, ':');
		random_space(buf, seed);
		if (depth < 4 && random_below(seed, 2))
			steering_object(buf, seed, depth + 1);
		else
			random_value(buf, seed, 4, &values);
		random_space(buf, seed);
		if (i > 1)
			sl_buf_append_char(buf, ',');
		random_space(buf, seed);
	}
	sl_buf_append_char(buf, '}');
}

/* From a copy that ends at an unreadable page. */
static void
agrees(struct sl_slice doc, uint64_t *seed)
{
	struct sl_json_limits limits = sl_json_limits_default;
	struct fence fence;

	if (random_below(seed, 8) == 0)
		limits = (struct sl_json_limits){ (uint32_t)random_below(seed, 5),
		                                  (uint32_t)random_below(seed, 5) };
	doc = fence_make(&fence, doc);
	if (!reference_agrees(doc, &limits, wants, random_below(seed, 10) ? WANTS : 0))
		fail_msg("they differ: %.*s", SL_ARG(doc));
	fence_free(&fence);
}

static void
scans_agree_with_the_reference(void **state)
{
	static const char damage[] = "\"\\{}[],:0a \n\x01\x80\xc3\xff.e-";
	struct sl_buf buf;
	uint64_t seed = 11;

	(void)state;
	sl_buf_init(&buf, 1 << 20);
	for (size_t round = 0; round < 1500; round++) {
		sl_buf_clear(&buf);
		random_space(&buf, &seed);
		steering_object(&buf, &seed, 0);
		random_space(&buf, &seed);
		agrees(sl_buf_slice(&buf), &seed);
		for (size_t len = 0; round % 50 == 0 && len < buf.len && len < 400; len++)
			agrees(sl_slice_upto(sl_buf_slice(&buf), len), &seed);
		for (size_t i = 0; i < 4; i++) {
			buf.ptr[random_below(&seed, buf.len)] =
			    damage[random_below(&seed, sizeof(damage))];
			agrees(sl_buf_slice(&buf), &seed);
		}
	}
	sl_buf_release(&buf);
}

/* A string of every length, its end and its one escape at every place of a block, in the
 * midst of a document and at its end. */
static void
strings_of_every_length_agree(void **state)
{
	static const char *const tails[] = { "\"}", "\",\"model\":1}", "", "\\" };
	uint64_t seed = 5;

	(void)state;
	for (size_t len = 0; len < 150; len++) {
		for (size_t escape = 0; escape <= len; escape += 1 + escape / 8) {
			char text[256] = "{\"n\":\"";
			size_t start = strlen(text);

			memset(text + start, 'x', len);
			if (escape + 2 <= len)
				memcpy(text + start + escape, "\\n", 2);
			for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
				memcpy(text + start + len, tails[i], strlen(tails[i]) + 1);
				agrees(sl_slice_str(text), &seed);
			}
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scans_agree_with_the_reference),
		cmocka_unit_test(strings_of_every_length_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

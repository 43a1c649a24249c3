/* headers_test.c - rules of fields, byte by byte against their definition, and look-ups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/headers.h"

enum { LEN_MAX = 50 };

/* tchar of RFC 9110 5.6.2 without upper case. */
static bool
may_name(unsigned char c)
{
	return c && (strchr("!#$%&'*+-.^_`|~", c) || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'));
}

/* Inside of a value; at its ends space and tab are none. */
static bool
may_value(unsigned char c)
{
	return c == '\t' || (c >= ' ' && c != 0x7f);
}

/* Every byte at every place of runs of every length, each in memory of its own size. */
static void
each_byte_is_judged_in_every_lane(void **state)
{
	(void)state;
	for (size_t len = 1; len <= LEN_MAX; len++) {
		char *text = malloc(len);
		struct sl_slice run = sl_slice_make(text, len);

		assert_non_null(text);
		memset(text, 'a', len);
		for (size_t at = 0; at < len; at++)
			for (unsigned c = 0; c <= 0xff; c++) {
				bool end = at == 0 || at == len - 1;

				text[at] = (char)c;
				assert_int_equal(sl_header_is_valid(run, SL_SLICE("v")),
				                 may_name((unsigned char)c));
				assert_int_equal(sl_header_is_valid(SL_SLICE("n"), run),
				                 may_value((unsigned char)c) &&
				                 !(end && (c == ' ' || c == '\t')));
				text[at] = 'a';
			}
		free(text);
	}
	assert_false(sl_header_is_valid(SL_SLICE_NONE, SL_SLICE("v")));
	assert_true(sl_header_is_valid(SL_SLICE("n"), SL_SLICE_NONE));
}

static void
only_letters_become_lower(void **state)
{
	(void)state;
	for (size_t len = 0; len <= LEN_MAX; len++) {
		char *text = malloc(len + 1);

		assert_non_null(text);
		for (unsigned first = 0; first <= 0xff; first++) {
			for (size_t i = 0; i < len; i++)
				text[i] = (char)(first + i);
			sl_header_lower(text, len);
			for (size_t i = 0; i < len; i++) {
				unsigned char c = (unsigned char)(first + i);

				if (c >= 'A' && c <= 'Z')
					c = (unsigned char)(c + 'a' - 'A');
				assert_int_equal((unsigned char)text[i], c);
			}
		}
		free(text);
	}
}

static void
look_ups_agree_with_and_without_marks(void **state)
{
	static struct sl_header fields[] = {
		{ SL_SLICE_INIT("host"), SL_SLICE_INIT("h") },
		{ SL_SLICE_INIT("x-a"), SL_SLICE_INIT("first") },
		{ SL_SLICE_INIT("x-a"), SL_SLICE_INIT("second") },
		{ SL_SLICE_INIT("x-of-a-name-as-long-as-four-and-sixty-bytes-and-then-a-few-more-"),
		  SL_SLICE_INIT("long") },
	};
	static const char *const names[] = { "host", "hose", "x-a", "x-", "content-type" };
	struct sl_headers plain = { .items = fields, .count = sizeof(fields) / sizeof(fields[0]) };
	struct sl_headers known = plain;

	(void)state;
	for (size_t i = 0; i < known.count; i++)
		known.marks |= sl_header_mark(fields[i].name.ptr, fields[i].name.len);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_ptr_equal(sl_headers_find(&known, names[i], strlen(names[i])),
		                 sl_headers_find(&plain, names[i], strlen(names[i])));
	assert_true(sl_slice_is(sl_headers_get(&known, "x-a"), "first"));
	assert_true(sl_slice_is(sl_headers_get(&known, fields[3].name.ptr), "long"));
	assert_false(sl_headers_has(&known, "hose"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_byte_is_judged_in_every_lane),
		cmocka_unit_test(only_letters_become_lower),
		cmocka_unit_test(look_ups_agree_with_and_without_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

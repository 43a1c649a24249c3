/* slice_test.c - comparing without case and searching, byte by byte against their definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/slice.h"

static unsigned
fold(unsigned c)
{
	return c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c;
}

/* Two bytes at every place of texts of every length, each in memory of its own size. */
static void
letters_compare_without_case(void **state)
{
	enum { LEN_MAX = 20 };

	(void)state;
	for (size_t len = 1; len <= LEN_MAX; len++) {
		char *a = malloc(len), *b = malloc(len);

		assert_non_null(a);
		assert_non_null(b);
		memset(a, 'k', len);
		memset(b, 'K', len);
		assert_true(sl_slice_ieq(sl_slice_make(a, len), sl_slice_make(b, len)));
		assert_false(sl_slice_ieq(sl_slice_make(a, len), sl_slice_make(b, len - 1)));
		for (size_t at = 0; at < len; at++) {
			for (unsigned c = 0; c < 256; c++) {
				static const unsigned masks[] = { 0, 0x20, 0x80, 0x40, 1 };

				for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
					unsigned other = c ^ masks[i];

					a[at] = (char)c;
					b[at] = (char)other;
					assert_int_equal(sl_slice_ieq(sl_slice_make(a, len),
					                              sl_slice_make(b, len)),
					                 fold(c) == fold(other));
				}
			}
			a[at] = 'k';
			b[at] = 'K';
		}
		free(a);
		free(b);
	}
	assert_true(sl_slice_ieq(SL_SLICE_NONE, SL_SLICE_NONE));
}

static ptrdiff_t
plain_search(struct sl_slice a, struct sl_slice needle)
{
	for (size_t i = 0; i + needle.len <= a.len; i++)
		if (memcmp(a.ptr + i, needle.ptr, needle.len) == 0)
			return (ptrdiff_t)i;
	return -1;
}

/* Texts around the lengths where the ways of searching change, in memory of their own size:
 * the needle at each place and nowhere, among bytes that it begins and ends with. */
static void
needles_are_found_wherever_they_are(void **state)
{
	static const size_t lens[] = { 1, 15, 16, 17, 40, 78, 255, 256, 257, 300, 319, 320, 383, 390 };
	static const size_t needles[] = { 1, 2, 8, 16, 63, 64, 65, 200, 256 };

	(void)state;
	for (size_t l = 0; l < sizeof(lens) / sizeof(lens[0]); l++)
		for (size_t n = 0; n < sizeof(needles) / sizeof(needles[0]); n++) {
			struct sl_slice text = { malloc(lens[l]), lens[l] };
			struct sl_slice needle = { malloc(needles[n]), needles[n] };
			char *bytes = (char *)(uintptr_t)text.ptr, *wanted = (char *)(uintptr_t)needle.ptr;

			assert_non_null(bytes);
			assert_non_null(wanted);
			memset(wanted, 'm', needle.len);
			wanted[0] = 'a';
			wanted[needle.len - 1] = 'z';
			for (size_t at = 0; at <= text.len; at++) {
				for (size_t i = 0; i < text.len; i++)
					bytes[i] = "az-m"[i % 4];
				if (at + needle.len <= text.len)
					memcpy(bytes + at, wanted, needle.len);
				assert_int_equal(sl_slice_search(text, needle),
				                 plain_search(text, needle));
			}
			free(bytes);
			free(wanted);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters_compare_without_case),
		cmocka_unit_test(needles_are_found_wherever_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

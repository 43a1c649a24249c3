/* slice_test.c - comparing without case, byte by byte against its definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters_compare_without_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

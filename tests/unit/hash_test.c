/* hash_test.c - every byte of a text and its length count, and no other byte is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"

enum { LEN_MAX = 40 };

static void
each_byte_counts(void **state)
{
	(void)state;
	for (size_t len = 0; len <= LEN_MAX; len++) {
		/* Of its own size, so that sanitizers see a read beyond it. */
		char *text = malloc(len ? len : 1);
		struct sl_slice slice = sl_slice_make(text, len);
		uint64_t hash;

		assert_non_null(text);
		memset(text, 'a', len);
		hash = sl_hash(7, slice);
		assert_true(sl_hash(7, slice) == hash);
		assert_true(sl_hash(8, slice) != hash);
		assert_true(len == 0 || sl_hash(7, sl_slice_upto(slice, len - 1)) != hash);
		for (size_t i = 0; i < len; i++) {
			text[i] = 'b';
			assert_true(sl_hash(7, slice) != hash);
			text[i] = 'a';
		}
		free(text);
	}
}

/* What is hashed one after the other does not run together. */
static void
where_a_text_ends_counts(void **state)
{
	(void)state;
	assert_true(sl_hash(sl_hash(0, SL_SLICE("open")), SL_SLICE("ai/gpt")) !=
	            sl_hash(sl_hash(0, SL_SLICE("openai")), SL_SLICE("/gpt")));
	assert_true(sl_hash(sl_hash(0, SL_SLICE_NONE), SL_SLICE("x")) !=
	            sl_hash(sl_hash(0, SL_SLICE("x")), SL_SLICE_NONE));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_byte_counts),
		cmocka_unit_test(where_a_text_ends_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* utf8_test.c - the vector code against the table, at every offset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "json_fixture.h"

/* The definition, one sequence at a time. */
static size_t
reference(struct sl_slice text)
{
	const uint8_t *p = (const uint8_t *)text.ptr, *end = p + text.len, *start = p;

	while (p < end) {
		size_t size = *p < 0x80 ? 1 : sl_utf8_size(p, end);

		if (size == 0)
			break;
		p += size;
	}
	return (size_t)(p - start);
}

/* All two-byte beginnings, followed by tails, at every place in a block. */
static void
all_pairs_are_judged_everywhere(void **state)
{
	char text[100];

	(void)state;
	for (uint32_t pair = 0; pair < 0x10000; pair++) {
		size_t at = 60 + pair % 37;

		memset(text, 'a', sizeof(text));
		for (size_t tails = 0; tails < 3; tails++) {
			text[at - 20] = (char)(pair >> 8);
			text[at - 19] = (char)pair;
			memset(text + at - 18, (char)0x80, tails);
			assert_int_equal(sl_utf8_check(sl_slice_make(text, sizeof(text))),
			                 reference(sl_slice_make(text, sizeof(text))));
		}
	}
}

static void
random_texts_are_judged_alike(void **state)
{
	static const char *const pieces[] = {
		"a", "plain text of some length, to fill blocks", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
		"\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf", "\xe0\xa0\x80", "\xf0\x90\x80\x80",
		/* Rarely: bad ones. */
		"\x80", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\x80",
		"\xf8\x88\x80\x80\x80", "\xff",
	};
	uint64_t seed = 23;
	struct sl_buf buf;

	(void)state;
	sl_buf_init(&buf, 1 << 16);
	for (size_t round = 0; round < 20000; round++) {
		struct fence fence;
		struct sl_slice text;

		sl_buf_clear(&buf);
		for (size_t i = random_below(&seed, 60); i > 0; i--)
			sl_buf_append_str(&buf, pieces[random_below(&seed, random_below(&seed, 40) ? 10 : 19)]);
		/* Cut anywhere, so that sequences end with the text. */
		text = fence_make(&fence, sl_slice_upto(sl_buf_slice(&buf),
		                                        random_below(&seed, buf.len + 1)));
		assert_int_equal(sl_utf8_check(text), reference(text));
		fence_free(&fence);
	}
	sl_buf_release(&buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_pairs_are_judged_everywhere),
		cmocka_unit_test(random_texts_are_judged_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

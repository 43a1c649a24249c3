/* percent_test.c - percent-decoding: once, whole, and refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/percent.h"

static void
segments_are_decoded(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "" },
		{ "gpt-4o", "gpt-4o" },
		{ "anthropic%3Aclaude", "anthropic:claude" },
		{ "a%2Fb%2fc", "a/b/c" },
		{ "100%25", "100%" },
		{ "%25%33%41", "%3A" }, /* decoded once, not twice */
		{ "a+b", "a+b" },       /* plus is a space in forms only */
		{ "%C3%A9", "\xc3\xa9" },
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ptrdiff_t len = sl_percent_decode(sl_slice_str(cases[i].in), out);

		assert_int_equal(len, strlen(cases[i].out));
		assert_memory_equal(out, cases[i].out, (size_t)len);
	}
}

static void
broken_escapes_are_refused(void **state)
{
	static const char *const cases[] = { "%", "a%", "%4", "%zz", "%0g", "%g0", "%00", "x%00y",
		                             "%%41" };
	char out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(sl_percent_decode(sl_slice_str(cases[i]), out), SL_ESYNTAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_are_decoded),
		cmocka_unit_test(broken_escapes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

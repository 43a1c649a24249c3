/* timestamp_test.c - RFC 3339 against the C library's calendar, and odd input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "base/timestamp.h"

static void
every_day_of_four_centuries_agrees_with_gmtime(void **state)
{
	(void)state;
	for (int64_t day = 0; day < 146097; day++) {
		int64_t wall_ms = (day * 86400 + day % 86400) * 1000 + day % 1000, back = -1;
		time_t seconds = (time_t)(wall_ms / 1000);
		char text[SL_TIMESTAMP_LEN + 1], expected[32];
		struct tm tm;
		size_t len = sl_timestamp_format(wall_ms, text);

		strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
		assert_memory_equal(text, expected, 19);
		assert_true(sl_timestamp_parse(sl_slice_make(text, len), &back));
		assert_int_equal(back, wall_ms);
	}
}

static void
forms_that_are_taken(void **state)
{
	static const struct {
		const char *text;
		int64_t     wall_ms;
	} cases[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2026-01-31", 1769817600000 },
		{ "2026-01-31 00:00:00z", 1769817600000 },
		{ "2026-01-31t01:30:00+01:30", 1769817600000 },
		{ "2026-01-30T19:00:00-05:00", 1769817600000 },
		{ "2026-01-31T00:00:00.5Z", 1769817600500 },
		{ "2026-01-31T00:00:00.123456789Z", 1769817600123 },
		{ "2024-02-29T23:59:60Z", 1709251200000 },
		{ "1769817600", 1769817600000 },
		{ "9999-12-31T23:59:59Z", 253402300799000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t wall_ms = -1;

		assert_true(sl_timestamp_parse(sl_slice_str(cases[i].text), &wall_ms));
		assert_int_equal(wall_ms, cases[i].wall_ms);
	}
}

static void
forms_that_are_refused(void **state)
{
	static const char *const wrong[] = {
		"", "now", "-1", "1e9", "99999999999999", "9223372036854775807",
		"2026-02-29", "2026-13-01", "2026-00-10", "2026-1-1", "2026-01-31T",
		"2026-01-31T24:00:00Z", "2026-01-31T00:60:00Z", "2026-01-31T00:00:61Z",
		"2026-01-31T00:00:00", "2026-01-31T00:00:00Zx", "2026-01-31T00:00:00+25:00",
		"1969-12-31T23:59:59Z", "1970-01-01T00:00:00+01:00",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		int64_t wall_ms;

		assert_false(sl_timestamp_parse(sl_slice_str(wrong[i]), &wall_ms));
	}
}

static void
dates_of_http(void **state)
{
	static const char *const wrong[] = {
		"", "7", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
		"Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
		"Sun, 31 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 GMTx", "Sun, 06 Nix 1994 08:49:37 GMT",
	};
	int64_t wall_ms;

	(void)state;
	assert_true(sl_timestamp_parse_http(SL_SLICE("Sun, 06 Nov 1994 08:49:37 GMT"), &wall_ms));
	assert_int_equal(wall_ms, 784111777000);
	assert_true(sl_timestamp_parse_http(SL_SLICE("Thu, 29 Feb 2024 23:59:59 GMT"), &wall_ms));
	assert_int_equal(wall_ms, 1709251199000);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(sl_timestamp_parse_http(sl_slice_str(wrong[i]), &wall_ms));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_day_of_four_centuries_agrees_with_gmtime),
		cmocka_unit_test(forms_that_are_taken),
		cmocka_unit_test(forms_that_are_refused),
		cmocka_unit_test(dates_of_http),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* money_zone_test.c - calendars of zones against the C library's, day by day. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "ledger/zone.h"

static void
agrees_with_the_c_library(void **state)
{
	static const char *const names[] = { "Europe/Berlin", "America/New_York", "Asia/Kolkata",
		                             "Australia/Lord_Howe", "America/Sao_Paulo",
		                             "Pacific/Apia", "Africa/Cairo", "UTC" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct sl_zone *zone = NULL;

		assert_int_equal(sl_zone_new(sl_slice_str(names[i]), &zone), SL_OK);
		setenv("TZ", names[i], 1);
		tzset();
		/* 1990 to 2060: beyond the file's transitions, too. */
		for (int64_t at = 631152000; at < 2840140800; at += 5 * 3600 + 1237) {
			time_t t = (time_t)at;
			struct tm tm;

			localtime_r(&t, &tm);
			assert_int_equal(sl_zone_offset_s(zone, at), tm.tm_gmtoff);
		}
		sl_zone_free(zone);
	}
	setenv("TZ", "UTC", 1);
	tzset();
}

static void
days_begin_at_their_first_moment(void **state)
{
	struct sl_zone *zone = NULL;

	(void)state;
	/* Days of 23, 24 and 25 hours. */
	assert_int_equal(sl_zone_new(SL_SLICE("Europe/Berlin"), &zone), SL_OK);
	for (int32_t day = 20000; day < 21500; day++) {
		int64_t begin = sl_zone_day_begins_ms(zone, day);

		assert_int_equal(sl_zone_day(zone, begin), day);
		assert_int_equal(sl_zone_day(zone, begin - 1), day - 1);
	}
	sl_zone_free(zone);
	assert_int_equal(sl_zone_new(SL_SLICE("+05:30"), &zone), SL_OK);
	assert_int_equal(sl_zone_day(zone, (18 * 60 + 30) * 60000), 1);
	assert_int_equal(sl_zone_day_begins_ms(zone, 1), (18 * 60 + 30) * 60000);
	sl_zone_free(zone);
}

static void
weeks_and_months_are_numbered(void **state)
{
	(void)state;
	assert_int_equal(sl_week_of_day(3), 0); /* Sunday, 4 January 1970 */
	assert_int_equal(sl_week_of_day(4), 1);
	assert_int_equal(sl_week_of_day(-4), -1);
	for (int32_t day = -1000; day < 40000; day++) {
		int32_t month = sl_month_of_day(day), week = sl_week_of_day(day);

		assert_true(sl_day_of_month(month) <= day && day < sl_day_of_month(month + 1));
		assert_true(sl_day_of_week(week) <= day && day < sl_day_of_week(week + 1));
	}
	assert_int_equal(sl_day_of_month(sl_month_of_day(19782) + 1), 19783); /* 29 February 2024 */
}

static void
what_is_no_zone_is_refused(void **state)
{
	static const char *const names[] = { "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "+99",
		                             "+5x", "Europe" };
	struct sl_zone *zone = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_not_equal(sl_zone_new(sl_slice_str(names[i]), &zone), SL_OK);
	for (size_t len = 0; len < 200; len++) {
		char *bytes = calloc(1, len + 1);

		memcpy(bytes, "TZif2", len < 5 ? len : 5);
		assert_int_equal(sl_zone_parse(sl_slice_make(bytes, len), &zone), SL_ESYNTAX);
		free(bytes);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_c_library),
		cmocka_unit_test(days_begin_at_their_first_moment),
		cmocka_unit_test(weeks_and_months_are_numbered),
		cmocka_unit_test(what_is_no_zone_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* usage_scan_test.c - sums over records: what counts, what narrows, how long it took. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"
#include "telemetry/usage_scan.h"

enum { HOUR_MS = 3600 * 1000, ROOM = 8 };

static struct sl_usage_scan *scan;
static struct sl_usage_hour hours[ROOM];

static int
set_up(void **state)
{
	(void)state;
	scan = calloc(1, sizeof(*scan));
	if (!scan)
		return -1;
	sl_arena_init(&scan->arena, 1024, 1024 * 1024);
	scan->question.times = true;
	scan->hours = hours;
	scan->hour_room = ROOM;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	sl_arena_release(&scan->arena);
	free(scan);
	return 0;
}

static struct sl_log_row
row_of(int64_t hour, int64_t total_us)
{
	return (struct sl_log_row){
		.request_id = SL_SLICE("req_1"), .outcome = SL_SLICE("ok"),
		.provider = SL_SLICE("openai"), .model_requested = SL_SLICE("small"),
		.model_served = SL_SLICE("gpt-4o-mini"), .end_wall_ms = hour * HOUR_MS,
		.status = 200, .attempts = 1, .cached = SL_RECORD_NULL, .total_us = total_us,
		.input_tokens = 10, .output_tokens = 5, .cost_nanousd = 7,
	};
}

static void
test_hours_come_in_order(void **state)
{
	(void)state;
	for (int64_t hour = 12; hour > 9; hour--)
		for (int64_t i = 0; i < hour - 9; i++) {
			struct sl_log_row row = row_of(hour, 1000);

			assert_true(sl_usage_scan_take(scan, &row));
		}
	sl_usage_scan_end(scan);
	assert_int_equal(scan->hour_count, 3);
	for (int64_t i = 0; i < 3; i++) {
		assert_int_equal(hours[i].hour, 10 + i);
		assert_int_equal(hours[i].requests, 1 + i);
		assert_int_equal(hours[i].input_tokens, 10 * (1 + i));
		assert_int_equal(hours[i].cost_nanousd, 7 * (1 + i));
	}
	assert_int_equal(scan->times.requests, 6);
	assert_int_equal(scan->times.total_us, 6000);
}

static void
test_what_counts(void **state)
{
	struct sl_log_row refused = row_of(1, 50), failed = row_of(1, 50), cut = row_of(1, 50),
	                  kept = row_of(1, 50);

	(void)state;
	refused.attempts = 0;
	refused.status = 429;
	failed.status = 502;
	failed.outcome = SL_SLICE("failed");
	cut.outcome = SL_SLICE("cut");
	kept.attempts = 0;
	kept.cached = 1;
	assert_true(sl_usage_scan_take(scan, &refused));
	assert_true(sl_usage_scan_take(scan, &failed));
	assert_true(sl_usage_scan_take(scan, &cut));
	assert_true(sl_usage_scan_take(scan, &kept));
	sl_usage_scan_end(scan);
	assert_int_equal(scan->times.requests, 3);
	assert_int_equal(scan->times.failed, 2);
	assert_int_equal(scan->times.cached, 1);
	assert_int_equal(scan->hour_count, 1);
}

static void
test_what_narrows(void **state)
{
	struct sl_log_row row = row_of(1, 50);

	(void)state;
	assert_false(sl_usage_is_narrowed(&scan->question));
	scan->question.model = SL_SLICE("small");
	assert_true(sl_usage_is_narrowed(&scan->question));
	sl_usage_scan_take(scan, &row);
	scan->question.model = SL_SLICE("gpt-4o-mini");
	sl_usage_scan_take(scan, &row);
	assert_int_equal(scan->times.requests, 2);
	scan->question.end_user = SL_SLICE("alice");
	sl_usage_scan_take(scan, &row);
	assert_int_equal(scan->times.requests, 2);
	row.end_user = SL_SLICE("alice");
	sl_usage_scan_take(scan, &row);
	assert_int_equal(scan->times.requests, 3);
}

static void
test_newest_calls_and_no_more(void **state)
{
	struct sl_usage_call calls[2];
	struct sl_log_row row = row_of(3, 50);

	(void)state;
	scan->question.times = false;
	scan->hours = NULL;
	scan->calls = calls;
	scan->question.calls = 2;
	row.attempts = 0;
	assert_true(sl_usage_scan_take(scan, &row)); /* it only read something */
	row.status = 401;
	row.model_served = SL_SLICE_NONE;
	row.cost_nanousd = SL_RECORD_NULL;
	assert_true(sl_usage_scan_take(scan, &row));
	row = row_of(2, 60);
	assert_false(sl_usage_scan_take(scan, &row));
	assert_int_equal(scan->call_count, 2);
	assert_int_equal(calls[0].status, 401);
	assert_false(calls[0].priced);
	assert_true(sl_slice_is(calls[0].model, "small"));
	assert_true(calls[1].priced);
	assert_true(sl_slice_is(calls[1].model, "gpt-4o-mini"));
}

static int
compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

/* Against the exact one, of durations over the whole range. */
static void
test_p99(void **state)
{
	static uint64_t all[5000];
	uint64_t seed = 1, exact;

	(void)state;
	for (size_t count = 1; count <= 5000; count = count * 3 + 1) {
		memset(scan->cells, 0, sizeof(scan->cells));
		scan->times = (struct sl_usage_times){ 0 };
		scan->longest_us = 0;
		for (size_t i = 0; i < count; i++) {
			struct sl_log_row row;

			seed = seed * 6364136223846793005u + 1442695040888963407u;
			all[i] = seed >> 33 >> (seed >> 28 & 31);
			row = row_of(1, (int64_t)all[i]);
			sl_usage_scan_take(scan, &row);
		}
		sl_usage_scan_end(scan);
		qsort(all, count, sizeof(all[0]), compare);
		exact = all[(count * 99 + 99) / 100 - 1];
		assert_true(scan->times.p99_us >= exact);
		assert_true(scan->times.p99_us <= exact + exact / 64);
	}
}

static void
test_the_longest_imaginable(void **state)
{
	struct sl_log_row row = row_of(1, INT64_MAX);

	(void)state;
	sl_usage_scan_take(scan, &row);
	sl_usage_scan_end(scan);
	assert_int_equal(scan->cells[SL_SPAN_CELLS - 1], 1);
	assert_int_equal(scan->times.p99_us, UINT32_MAX);
}

static void
test_nothing(void **state)
{
	(void)state;
	sl_usage_scan_end(scan);
	assert_int_equal(scan->times.p99_us, 0);
	assert_int_equal(scan->hour_count, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hours_come_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_narrows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_newest_calls_and_no_more, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_p99, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_longest_imaginable, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

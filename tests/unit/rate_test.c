/* rate_test.c - the sliding window on a simulated clock: exact up to its marks,
 * never over the limit above them, refusals are free, the wait it tells is true. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ledger/rate.h"

static bool
take(struct sl_rate *rate, int64_t limit, uint64_t now_ms)
{
	struct sl_rate_state state;

	return sl_rate_take(rate, limit, now_ms, &state);
}

static void
a_burst_is_cut_at_the_limit_and_comes_back_after_a_minute(void **state)
{
	struct sl_rate_state told;
	struct sl_rate rate;

	(void)state;
	sl_rate_init(&rate);
	for (int i = 0; i < 120; i++) {
		assert_true(sl_rate_take(&rate, 120, 1000, &told));
		assert_int_equal(told.remaining, 119 - i);
	}
	assert_false(sl_rate_take(&rate, 120, 1000, &told));
	assert_int_equal(told.wait_ms, 60000);
	assert_false(sl_rate_take(&rate, 120, 60999, &told));
	assert_int_equal(told.wait_ms, 1);
	for (int i = 0; i < 120; i++)
		assert_true(take(&rate, 120, 61000));
	assert_false(take(&rate, 120, 61000));
	sl_rate_release(&rate);
}

static void
refused_requests_consume_nothing(void **state)
{
	struct sl_rate rate;

	(void)state;
	sl_rate_init(&rate);
	assert_true(take(&rate, 2, 0));
	assert_true(take(&rate, 2, 30000));
	for (uint64_t now = 30000; now < 60000; now += 10)
		assert_false(take(&rate, 2, now));
	assert_true(take(&rate, 2, 60000));
	assert_false(take(&rate, 2, 60001));
	assert_true(take(&rate, 2, 90000));
	sl_rate_release(&rate);
}

/* Random arrivals against a plain list of everything that was accepted. */
static void
against_a_list(int64_t limit, unsigned gap_ms, bool exact)
{
	enum { STEPS = 60000 };
	uint64_t *accepted = calloc(STEPS, sizeof(*accepted)), now = 123456789;
	size_t count = 0, oldest = 0;
	struct sl_rate rate;

	assert_non_null(accepted);
	sl_rate_init(&rate);
	srandom(7);
	for (int step = 0; step < STEPS; step++) {
		struct sl_rate_state told;
		bool room, taken;

		now += (uint64_t)random() % gap_ms;
		while (oldest < count && now - accepted[oldest] >= SL_RATE_WINDOW_MS)
			oldest++;
		room = (int64_t)(count - oldest) < limit;
		taken = sl_rate_take(&rate, limit, now, &told);
		assert_true(room || !taken);
		if (exact)
			assert_int_equal(taken, room);
		if (exact && !taken)
			assert_int_equal(told.wait_ms, SL_RATE_WINDOW_MS - (now - accepted[oldest]));
		if (!taken)
			assert_in_range(told.wait_ms, 1, SL_RATE_WINDOW_MS);
		if (taken)
			accepted[count++] = now;
		assert_true(rate.live <= SL_RATE_MARKS_MAX);
	}
	assert_true(count > (size_t)limit);
	sl_rate_release(&rate);
	free(accepted);
}

static void
it_agrees_with_a_list_of_all_requests(void **state)
{
	(void)state;
	against_a_list(1, 5000, true);
	against_a_list(60, 200, true);
	against_a_list(1024, 20, true);
	against_a_list(1025, 20, false);
	against_a_list(20000, 4, false);
}

static void
high_limits_are_used_to_the_full(void **state)
{
	struct sl_rate rate;
	int64_t accepted = 0;

	(void)state;
	sl_rate_init(&rate);
	for (uint64_t now = 0; now < 600000; now++)
		for (int i = 0; i < 3; i++)
			accepted += take(&rate, 100000, now);
	/* Ten windows of a full limit, less a thousandth for the grain. */
	assert_in_range(accepted, 998000, 1000000);
	assert_true(rate.live <= SL_RATE_MARKS_MAX);
	sl_rate_release(&rate);
}

static void
a_changed_limit_keeps_what_was_used(void **state)
{
	struct sl_rate_state told;
	struct sl_rate rate;

	(void)state;
	sl_rate_init(&rate);
	for (uint64_t i = 0; i < 100; i++)
		assert_true(take(&rate, 100, i * 100));
	/* Lowered to 10: 91 of the hundred must leave first. */
	assert_false(sl_rate_take(&rate, 10, 10000, &told));
	assert_int_equal(told.wait_ms, 90 * 100 + 60000 - 10000);
	assert_false(take(&rate, 10, 69099 - 100));
	assert_true(take(&rate, 10, 69000));
	/* Raised: room at once. */
	assert_true(take(&rate, 5000, 69000));
	for (int i = 0; i < 4000; i++)
		assert_true(take(&rate, 5000, 69000));
	sl_rate_release(&rate);
}

static void
a_clock_that_steps_back_gives_nothing_away(void **state)
{
	struct sl_rate rate;

	(void)state;
	sl_rate_init(&rate);
	assert_true(take(&rate, 2, 100000));
	assert_true(take(&rate, 2, 40000));
	assert_false(take(&rate, 2, 0));
	assert_false(take(&rate, 2, 159999));
	assert_true(take(&rate, 2, 160000));
	sl_rate_release(&rate);
}

static void
marks_survive_the_wrap_of_their_low_bits(void **state)
{
	uint64_t now = ((uint64_t)1 << 32) - 30000;
	struct sl_rate rate;

	(void)state;
	sl_rate_init(&rate);
	assert_true(take(&rate, 1, now));
	assert_false(take(&rate, 1, now + 59999));
	assert_true(take(&rate, 1, now + 60000));
	/* Idle for 50 days: more than the low bits can tell. */
	assert_true(take(&rate, 1, now + 50ull * 86400 * 1000));
	sl_rate_release(&rate);
}

static void
amounts_are_taken_whole_and_given_back(void **state)
{
	struct sl_rate_state told;
	struct sl_rate rate;

	(void)state;
	sl_rate_init(&rate);
	assert_true(sl_rate_fits(&rate, 100, 100, 0, &told));
	sl_rate_add(&rate, 100, 70, 0);
	sl_rate_add(&rate, 100, 20, 1000);
	assert_false(sl_rate_fits(&rate, 100, 11, 2000, &told));
	assert_int_equal(told.remaining, 10);
	assert_int_equal(told.wait_ms, 58000);
	assert_false(sl_rate_fits(&rate, 100, 90, 2000, &told));
	assert_int_equal(told.wait_ms, 59000);
	/* No wait helps what exceeds the limit alone. */
	assert_false(sl_rate_fits(&rate, 100, 101, 2000, &told));
	assert_int_equal(told.wait_ms, 0);
	sl_rate_undo(&rate, 50, 0, 2000);
	assert_true(sl_rate_fits(&rate, 100, 60, 2000, &told));
	sl_rate_undo(&rate, 500, 1000, 2000);
	assert_int_equal(rate.used, 20);
	/* More than the limit, when more was used than asked for. */
	sl_rate_add(&rate, 100, 200, 3000);
	sl_rate_look(&rate, 100, 3000, &told);
	assert_int_equal(told.remaining, 0);
	assert_false(sl_rate_fits(&rate, 100, 1, 62999, &told));
	assert_true(sl_rate_fits(&rate, 100, 100, 63000, &told));
	/* What has left the window cannot be given back. */
	sl_rate_add(&rate, 100, 5, 63000);
	sl_rate_undo(&rate, 200, 3000, 63000);
	assert_int_equal(rate.used, 5);
	sl_rate_release(&rate);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_is_cut_at_the_limit_and_comes_back_after_a_minute),
		cmocka_unit_test(refused_requests_consume_nothing),
		cmocka_unit_test(it_agrees_with_a_list_of_all_requests),
		cmocka_unit_test(high_limits_are_used_to_the_full),
		cmocka_unit_test(a_changed_limit_keeps_what_was_used),
		cmocka_unit_test(a_clock_that_steps_back_gives_nothing_away),
		cmocka_unit_test(amounts_are_taken_whole_and_given_back),
		cmocka_unit_test(marks_survive_the_wrap_of_their_low_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

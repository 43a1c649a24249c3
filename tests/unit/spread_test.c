/* spread_test.c - percentiles of the histogram against those of the sorted samples, how it
 * forgets, and the budget of second attempts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "routing/health.h"
#include "routing/spread.h"

static uint64_t
next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static int
compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static void
nothing_is_known_of_few(void **state)
{
	struct sl_spread spread = { 0 };

	(void)state;
	for (int i = 0; i < SL_SPREAD_MIN - 1; i++)
		sl_spread_add(&spread, 5000);
	assert_int_equal(sl_spread_percentile(&spread, 95), 0);
	sl_spread_add(&spread, 5000);
	assert_in_range(sl_spread_percentile(&spread, 95), 5000, 5000 * 5 / 4);
}

/* Never below the true percentile, and at most a step above it. */
static void
a_step_too_high_at_most(void **state)
{
	uint64_t seed = 0x9e3779b97f4a7c15u, samples[1000];

	(void)state;
	for (int round = 0; round < 50; round++) {
		struct sl_spread spread = { 0 };
		unsigned shift = (unsigned)(next(&seed) % 12);

		for (size_t i = 0; i < 1000; i++) {
			samples[i] = 1 + (next(&seed) % 10000 << shift);
			sl_spread_add(&spread, samples[i]);
		}
		qsort(samples, 1000, sizeof(samples[0]), compare);
		for (uint32_t percent = 1; percent < 100; percent++) {
			uint64_t exact = samples[percent * 10 - 1];
			uint64_t told = sl_spread_percentile(&spread, percent);

			assert_true(told >= exact);
			assert_true(told <= exact + exact / 4 + 256);
		}
	}
}

static void
both_ends_hold(void **state)
{
	struct sl_spread spread = { 0 };

	(void)state;
	for (int i = 0; i < SL_SPREAD_MIN; i++)
		sl_spread_add(&spread, 0);
	assert_int_equal(sl_spread_percentile(&spread, 99), 256);
	for (int i = 0; i < 100 * SL_SPREAD_MIN; i++)
		sl_spread_add(&spread, UINT64_MAX);
	assert_true(sl_spread_percentile(&spread, 50) > 60000000);
}

static void
what_was_fades(void **state)
{
	struct sl_spread spread = { 0 };

	(void)state;
	for (int i = 0; i < SL_SPREAD_MAX; i++)
		sl_spread_add(&spread, 4000000);
	for (int i = 0; i < 3 * SL_SPREAD_MAX; i++)
		sl_spread_add(&spread, 1000);
	assert_true(sl_spread_percentile(&spread, 80) < 2000);
	assert_true(spread.total <= SL_SPREAD_MAX);
}

/* At no moment more than their share of the requests so far, and few at once. */
static void
hedges_stay_within_their_share(void **state)
{
	(void)state;
	for (uint32_t percent = 1; percent <= 100; percent += 3) {
		struct sl_hedge_budget budget = { 0 };
		uint64_t requests = 0, hedges = 0, burst = 0;

		for (; requests < 3000; hedges += sl_hedge_take(&budget)) {
			sl_hedge_earn(&budget, percent);
			requests++;
			assert_true(hedges * 100 <= requests * percent);
		}
		assert_int_equal(hedges, requests * percent / 100);
		for (int i = 0; i < 3000; i++)
			sl_hedge_earn(&budget, percent);
		while (sl_hedge_take(&budget))
			burst++;
		assert_int_equal(burst, SL_HEDGE_BURST);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_known_of_few),
		cmocka_unit_test(a_step_too_high_at_most),
		cmocka_unit_test(both_ends_hold),
		cmocka_unit_test(what_was_fades),
		cmocka_unit_test(hedges_stay_within_their_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

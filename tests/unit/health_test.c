/* health_test.c - the breaker's exact transitions along scripted traces, the
 * figures, the budget, and thousands of requests on targets that fail, from a seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "routing/health.h"

#define MS 1000u
#define S  1000000u

/* --- scripted traces --------------------------------------------------------- */

enum {
	OK = SL_VERDICT_OK, FAILED = SL_VERDICT_FAILED, LIMITED = SL_VERDICT_LIMITED,
	NONE = SL_VERDICT_NONE,
};

/* One attempt from begin to end; false: it was not let through. */
static bool
attempt(struct sl_health *health, int verdict, uint64_t at_us)
{
	struct sl_health_ticket ticket;

	if (!sl_health_begin(health, true, false, at_us, &ticket))
		return false;
	sl_health_end(health, &ticket, (enum sl_verdict)verdict, 0, at_us, 0);
	return true;
}

static void
expect(const struct sl_health *health, enum sl_breaker breaker)
{
	assert_string_equal(sl_breaker_name(health->breaker), sl_breaker_name(breaker));
}

/* With chance 0 the first cool-down is three quarters of a second. */
static void
trip(struct sl_health *health, uint64_t at_us)
{
	for (int i = 0; i < SL_HEALTH_CONSECUTIVE; i++)
		assert_true(attempt(health, FAILED, at_us));
	expect(health, SL_BREAKER_OPEN);
}

static void
five_in_a_row_open_it(void **state)
{
	struct sl_health health = { .breaker = SL_BREAKER_CLOSED };

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_true(attempt(&health, FAILED, S));
	assert_true(attempt(&health, OK, S));
	for (int i = 0; i < 4; i++) {
		assert_true(attempt(&health, FAILED, 30 * S));
		expect(&health, SL_BREAKER_CLOSED);
		/* Neither of these says how it is. */
		assert_true(attempt(&health, NONE, 30 * S));
	}
	assert_true(attempt(&health, FAILED, 30 * S));
	expect(&health, SL_BREAKER_OPEN);
	assert_int_equal(health.opened, 1);
	assert_int_equal(health.in_flight, 0);
	assert_false(attempt(&health, OK, 30 * S + 749 * MS));
}

static void
half_of_twenty_in_ten_seconds_open_it(void **state)
{
	struct sl_health health = { .breaker = SL_BREAKER_CLOSED };

	(void)state;
	for (uint64_t i = 0; i < 19; i++) {
		assert_true(attempt(&health, i % 2 ? OK : FAILED, (100 + i / 2) * S));
		expect(&health, SL_BREAKER_CLOSED);
	}
	/* 10 of 20. */
	assert_true(attempt(&health, OK, 109 * S));
	expect(&health, SL_BREAKER_OPEN);

	/* The same, with the first of them older than ten seconds. */
	health = (struct sl_health){ .breaker = SL_BREAKER_CLOSED };
	assert_true(attempt(&health, FAILED, 99 * S));
	for (uint64_t i = 1; i < 20; i++)
		assert_true(attempt(&health, i % 2 ? OK : FAILED, 109 * S));
	expect(&health, SL_BREAKER_CLOSED);

	/* 9 of 20. */
	health = (struct sl_health){ .breaker = SL_BREAKER_CLOSED };
	for (uint64_t i = 0; i < 20; i++)
		assert_true(attempt(&health, i % 2 == 0 && i < 18 ? FAILED : OK, 100 * S));
	expect(&health, SL_BREAKER_CLOSED);
}

static void
exactly_one_probe_goes_through(void **state)
{
	struct sl_health health = { .breaker = SL_BREAKER_CLOSED };
	struct sl_health_ticket probe, other;

	(void)state;
	trip(&health, 10 * S);
	assert_false(sl_health_begin(&health, true, false, 10 * S + 749 * MS, &probe));
	assert_true(sl_health_begin(&health, true, false, 10 * S + 750 * MS, &probe));
	expect(&health, SL_BREAKER_HALF_OPEN);
	for (int i = 0; i < 100; i++)
		assert_false(sl_health_begin(&health, true, false, 12 * S, &other));
	sl_health_end(&health, &probe, SL_VERDICT_OK, 0, 12 * S, 0);
	expect(&health, SL_BREAKER_CLOSED);
	assert_true(attempt(&health, OK, 12 * S));
	assert_int_equal(health.in_flight, 0);
}

static void
a_failed_probe_doubles_the_cool_down(void **state)
{
	struct sl_health health = { .breaker = SL_BREAKER_CLOSED };
	static const uint64_t waits_ms[] = { 750, 1500, 3000, 6000, 12000, 22500, 22500, 22500 };
	uint64_t at_us = 10 * S;

	(void)state;
	trip(&health, at_us);
	for (size_t i = 0; i < sizeof(waits_ms) / sizeof(waits_ms[0]); i++) {
		assert_false(attempt(&health, FAILED, at_us + waits_ms[i] * MS - 1));
		at_us += waits_ms[i] * MS;
		assert_true(attempt(&health, FAILED, at_us));
		expect(&health, SL_BREAKER_OPEN);
	}
	/* A good end takes the back-off away. */
	assert_true(attempt(&health, OK, at_us + 60 * S));
	expect(&health, SL_BREAKER_CLOSED);
	trip(&health, at_us + 70 * S);
	assert_false(attempt(&health, OK, at_us + 70 * S + 749 * MS));
	assert_true(attempt(&health, OK, at_us + 70 * S + 750 * MS));
}

static void
jitter_stays_within_a_quarter(void **state)
{
	(void)state;
	for (uint64_t chance = 0; chance < 1000000; chance += 997) {
		struct sl_health health = { .breaker = SL_BREAKER_CLOSED };
		struct sl_health_ticket ticket;

		for (int i = 0; i < SL_HEALTH_CONSECUTIVE; i++) {
			assert_true(sl_health_begin(&health, true, false, S, &ticket));
			sl_health_end(&health, &ticket, SL_VERDICT_FAILED, 0, S, chance);
		}
		assert_in_range(health.open_until_us - S, 750 * MS, 1250 * MS);
	}
}

static void
content_closes_it_before_the_end(void **state)
{
	struct sl_health health = { .breaker = SL_BREAKER_CLOSED };
	struct sl_health_ticket probe;

	(void)state;
	trip(&health, 10 * S);
	assert_true(sl_health_begin(&health, true, false, 20 * S, &probe));
	sl_health_content(&health, &probe, 21 * S);
	expect(&health, SL_BREAKER_CLOSED);
	/* It broke off later: counted as any other, and the back-off goes on. */
	sl_health_end(&health, &probe, SL_VERDICT_FAILED, 0, 300 * S, 0);
	expect(&health, SL_BREAKER_CLOSED);
	assert_int_equal(health.consecutive, 1);
	for (int i = 0; i < 4; i++)
		assert_true(attempt(&health, FAILED, 300 * S));
	expect(&health, SL_BREAKER_OPEN);
	assert_false(attempt(&health, OK, 301 * S));
	assert_true(attempt(&health, OK, 301 * S + 500 * MS));
}

static void
a_probe_that_learnt_nothing_is_made_again(void **state)
{
	struct sl_health health = { .breaker = SL_BREAKER_CLOSED };

	(void)state;
	trip(&health, 10 * S);
	assert_true(attempt(&health, NONE, 11 * S));
	expect(&health, SL_BREAKER_OPEN);
	assert_int_equal(health.opened, 1);
	assert_true(attempt(&health, OK, 11 * S));
	expect(&health, SL_BREAKER_CLOSED);
}

static void
late_results_move_nothing(void **state)
{
	struct sl_health health = { .breaker = SL_BREAKER_CLOSED };
	struct sl_health_ticket old[12], probe;

	(void)state;
	for (size_t i = 0; i < 12; i++)
		assert_true(sl_health_begin(&health, true, false, 9 * S, &old[i]));
	trip(&health, 10 * S);
	/* A success from before the opening does not close it ... */
	sl_health_content(&health, &old[0], 10 * S);
	sl_health_end(&health, &old[0], SL_VERDICT_OK, 0, 10 * S, 0);
	expect(&health, SL_BREAKER_OPEN);
	assert_true(sl_health_begin(&health, true, false, 11 * S, &probe));
	sl_health_end(&health, &old[1], SL_VERDICT_FAILED, 0, 11 * S, 0);
	expect(&health, SL_BREAKER_HALF_OPEN);
	sl_health_end(&health, &probe, SL_VERDICT_OK, 0, 11 * S, 0);
	/* ... and failures from before do not open it again. */
	for (size_t i = 2; i < 12; i++)
		sl_health_end(&health, &old[i], SL_VERDICT_FAILED, 0, 12 * S, 0);
	expect(&health, SL_BREAKER_CLOSED);
	assert_int_equal(health.in_flight, 0);
}

static void
the_last_target_is_never_refused(void **state)
{
	struct sl_health health = { .breaker = SL_BREAKER_CLOSED };
	struct sl_health_ticket ticket, probe;

	(void)state;
	trip(&health, 10 * S);
	assert_true(sl_health_begin(&health, true, true, 10 * S, &ticket));
	assert_false(ticket.probe);
	sl_health_end(&health, &ticket, SL_VERDICT_FAILED, 0, 10 * S, 0);
	/* Forced failures do not put the probe off. */
	assert_int_equal(health.open_until_us, 10 * S + 750 * MS);
	assert_true(sl_health_begin(&health, true, true, 10 * S, &ticket));
	sl_health_end(&health, &ticket, SL_VERDICT_OK, 0, 10 * S, 0);
	expect(&health, SL_BREAKER_CLOSED);
	/* Beside a probe, too. */
	trip(&health, 20 * S);
	assert_true(sl_health_begin(&health, true, true, 22 * S, &probe));
	assert_true(probe.probe);
	assert_true(sl_health_begin(&health, true, true, 22 * S, &ticket));
	assert_false(ticket.probe);
	sl_health_end(&health, &ticket, SL_VERDICT_FAILED, 0, 22 * S, 0);
	expect(&health, SL_BREAKER_HALF_OPEN);
	sl_health_end(&health, &probe, SL_VERDICT_FAILED, 0, 22 * S, 0);
	expect(&health, SL_BREAKER_OPEN);
	assert_int_equal(health.in_flight, 0);
}

static void
limits_cool_and_do_not_open(void **state)
{
	struct sl_health health = { .breaker = SL_BREAKER_CLOSED };
	struct sl_health_figures seen;
	struct sl_health_ticket ticket;

	(void)state;
	for (int i = 0; i < 40; i++) {
		assert_true(sl_health_begin(&health, true, true, 10 * S, &ticket));
		sl_health_end(&health, &ticket, SL_VERDICT_LIMITED, i == 7 ? 7000 : 0, 10 * S, 0);
	}
	expect(&health, SL_BREAKER_CLOSED);
	assert_int_equal(health.limited, 40);
	assert_int_equal(health.failures, 0);
	sl_health_figures(&health, true, 16 * S, &seen);
	assert_true(seen.ejected);
	assert_int_equal(seen.due_us, 17 * S);
	assert_false(attempt(&health, OK, 17 * S - 1));
	assert_true(attempt(&health, OK, 17 * S));
	/* A day is not believed. */
	assert_true(sl_health_begin(&health, true, false, 20 * S, &ticket));
	sl_health_end(&health, &ticket, SL_VERDICT_LIMITED, 86400000, 20 * S, 0);
	assert_true(attempt(&health, OK, 20 * S + SL_HEALTH_RETRY_AFTER_MAX_MS * (uint64_t)MS));
	/* 503 may ask for quiet as well; and one that limits us lives. */
	health = (struct sl_health){ .breaker = SL_BREAKER_CLOSED };
	assert_true(sl_health_begin(&health, true, false, S, &ticket));
	sl_health_end(&health, &ticket, SL_VERDICT_FAILED, 3000, S, 0);
	assert_false(attempt(&health, OK, 4 * S - 1));
	health = (struct sl_health){ .breaker = SL_BREAKER_CLOSED };
	trip(&health, 10 * S);
	assert_true(attempt(&health, LIMITED, 11 * S));
	expect(&health, SL_BREAKER_CLOSED);
	assert_false(attempt(&health, OK, 12 * S - 1));
	assert_true(attempt(&health, OK, 12 * S));
}

/* --- figures ----------------------------------------------------------------- */

static uint64_t
latency_at(const struct sl_health *health, bool stream, uint64_t at_us)
{
	struct sl_health_figures seen;

	sl_health_figures(health, stream, at_us, &seen);
	return seen.latency_us;
}

static void
answer_after(struct sl_health *health, bool stream, uint64_t at_us, uint64_t latency_us)
{
	struct sl_health_ticket ticket;

	assert_true(sl_health_begin(health, stream, false, at_us - latency_us, &ticket));
	sl_health_content(health, &ticket, at_us);
	sl_health_end(health, &ticket, SL_VERDICT_OK, 0, at_us, 0);
}

static void
latency_rises_at_once_and_fades(void **state)
{
	struct sl_health health = { .breaker = SL_BREAKER_CLOSED };
	struct sl_health_ticket ticket;

	(void)state;
	assert_int_equal(latency_at(&health, true, S), 0);
	answer_after(&health, true, 100 * S, 50 * MS);
	assert_in_range(latency_at(&health, true, 100 * S), 50 * MS, 50 * MS + 1);
	answer_after(&health, true, 100 * S, 900 * MS);
	assert_in_range(latency_at(&health, true, 100 * S), 900 * MS, 900 * MS + 1);
	answer_after(&health, true, 101 * S, 50 * MS);
	assert_in_range(latency_at(&health, true, 101 * S), 800 * MS, 860 * MS);
	/* 1/e after ten seconds without a new one. */
	assert_in_range(latency_at(&health, true, 111 * S), 290 * MS, 320 * MS);
	/* Whole replies are another figure. */
	assert_int_equal(latency_at(&health, false, 111 * S), 0);
	answer_after(&health, false, 112 * S, 2 * S);
	assert_in_range(latency_at(&health, false, 112 * S), 2 * S, 2 * S + 1);
	/* A caller who left after five seconds tells that it takes as long. */
	assert_true(sl_health_begin(&health, true, false, 200 * S, &ticket));
	sl_health_end(&health, &ticket, SL_VERDICT_NONE, 0, 205 * S, 0);
	assert_in_range(latency_at(&health, true, 205 * S), 5 * S, 5 * S + 1);
}

static void
errors_are_remembered_for_a_while(void **state)
{
	struct sl_health health = { .breaker = SL_BREAKER_CLOSED };

	(void)state;
	for (int i = 0; i < 50; i++)
		attempt(&health, i % 4 ? OK : FAILED, (uint64_t)i * 20 * S);
	assert_true(health.error_rate > 0.1 && health.error_rate < 0.4);
	for (int i = 0; i < 50; i++)
		attempt(&health, OK, (uint64_t)(50 + i) * 20 * S);
	assert_true(health.error_rate < 0.01);
}

/* --- the budget ------------------------------------------------------------------ */

static void
retries_stay_a_tenth(void **state)
{
	struct sl_retry_budget budget;
	unsigned taken = 0;

	(void)state;
	memset(&budget, 0, sizeof(budget));
	for (int i = 0; i < 1000; i++)
		taken += sl_retry_take(&budget, 100 * S);
	assert_int_equal(taken, SL_RETRY_FLOOR);
	/* Everything fails: 1000 requests a second for a minute, each wants two more. */
	memset(&budget, 0, sizeof(budget));
	taken = 0;
	for (uint64_t i = 0; i < 60000; i++) {
		sl_retry_request(&budget, 200 * S + i * MS);
		taken += sl_retry_take(&budget, 200 * S + i * MS);
		taken += sl_retry_take(&budget, 200 * S + i * MS);
	}
	assert_in_range(taken, 5000, 6000 + SL_RETRY_FLOOR);
}

/* --- a simulation -------------------------------------------------------------------- */

enum { TARGETS = 4, REQUESTS = 40000, STEP_US = 2000, SLOTS_IN_FLIGHT = 64 };

static uint64_t seed;

static uint64_t
next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

struct flying {
	bool                    used;
	size_t                  target;
	uint64_t                end_us;
	bool                    good;
	struct sl_health_ticket ticket;
};

/* Target t is down in the second quarter of every period of its own length. */
static bool
is_down(size_t target, uint64_t at_us)
{
	uint64_t period_us = (uint64_t)(8 + 3 * target) * S;
	uint64_t phase = (at_us + target * S) % period_us;

	return target < TARGETS - 1 && phase > period_us / 4 && phase < period_us / 2;
}

static void
land(struct sl_health *health, struct flying *flying)
{
	if (flying->good)
		sl_health_content(&health[flying->target], &flying->ticket, flying->end_us);
	sl_health_end(&health[flying->target], &flying->ticket,
	              flying->good ? SL_VERDICT_OK : SL_VERDICT_FAILED, 0, flying->end_us,
	              next_random());
	flying->used = false;
}

/* With one target that never fails and the rest failing by turns: attempts at a
 * target that is down stay few, at most one probe is out at a time, and a target
 * is in use again soon after it came back. */
static void
simulate(uint64_t with_seed)
{
	struct sl_health health[TARGETS] = { { .breaker = SL_BREAKER_CLOSED } };
	struct flying flying[SLOTS_IN_FLIGHT] = { { .used = false } };
	uint64_t back_us[TARGETS] = { 0 }, now_us = S;
	unsigned wasted = 0, nowhere = 0;

	seed = with_seed;
	for (unsigned n = 0; n < REQUESTS; n++, now_us += STEP_US) {
		size_t first = next_random() % TARGETS, tries = 0;
		struct flying *free_slot = NULL;

		for (size_t i = 0; i < SLOTS_IN_FLIGHT; i++) {
			if (flying[i].used && flying[i].end_us <= now_us)
				land(health, &flying[i]);
			if (!flying[i].used)
				free_slot = &flying[i];
		}
		assert_non_null(free_slot);
		for (; tries < TARGETS; tries++) {
			size_t at = (first + tries) % TARGETS;

			if (!sl_health_begin(&health[at], true, false, now_us,
			                     &free_slot->ticket))
				continue;
			free_slot->used = true;
			free_slot->target = at;
			free_slot->good = !is_down(at, now_us);
			free_slot->end_us = now_us + (free_slot->good ? 20 * MS : MS);
			wasted += !free_slot->good;
			break;
		}
		nowhere += tries == TARGETS;
		for (size_t t = 0; t < TARGETS; t++) {
			unsigned probes = 0;

			for (size_t i = 0; i < SLOTS_IN_FLIGHT; i++)
				probes += flying[i].used && flying[i].target == t &&
				          flying[i].ticket.probe &&
				          flying[i].ticket.epoch == health[t].epoch &&
				          health[t].breaker == SL_BREAKER_HALF_OPEN;
			assert_true(probes <= 1);
			if (is_down(t, now_us))
				back_us[t] = now_us;
			/* Downtimes are short: the cool-down doubles twice at most. */
			else if (now_us - back_us[t] > 5500 * MS)
				assert_int_equal(health[t].breaker, SL_BREAKER_CLOSED);
		}
	}
	assert_int_equal(nowhere, 0);
	/* About a fifth of the time one is down; without a breaker 1 in 6 is wasted. */
	assert_true(wasted < REQUESTS / 100);
	for (size_t i = 0; i < SLOTS_IN_FLIGHT; i++)
		if (flying[i].used)
			land(health, &flying[i]);
	for (size_t t = 0; t < TARGETS; t++)
		assert_int_equal(health[t].in_flight, 0);
}

static void
failing_targets_cost_little(void **state)
{
	(void)state;
	for (uint64_t with_seed = 1; with_seed <= 20; with_seed++)
		simulate(with_seed * 0x9e3779b97f4a7c15u);
}

static void
probes_hint_once(void **state)
{
	struct sl_health health = { 0 };
	struct sl_health_ticket ticket;
	uint64_t now = 1000000;

	(void)state;
	/* Of what works a probe says nothing. */
	sl_health_hint(&health, false, now, now + 5000000);
	assert_int_equal(health.breaker, SL_BREAKER_CLOSED);
	for (int i = 0; i < SL_HEALTH_CONSECUTIVE; i++) {
		assert_true(sl_health_begin(&health, false, false, now, &ticket));
		sl_health_end(&health, &ticket, SL_VERDICT_FAILED, 0, now, 7);
	}
	assert_int_equal(health.breaker, SL_BREAKER_OPEN);
	/* Silence keeps it shut beyond its cool-down. */
	sl_health_hint(&health, false, now, now + 60000000);
	assert_false(sl_health_begin(&health, false, false, now + 50000000, &ticket));
	/* A sign of life lets one attempt through at once. */
	sl_health_hint(&health, true, now, now);
	assert_true(sl_health_begin(&health, false, false, now, &ticket));
	assert_int_equal(health.breaker, SL_BREAKER_HALF_OPEN);
	sl_health_end(&health, &ticket, SL_VERDICT_FAILED, 0, now, 7);
	assert_int_equal(health.breaker, SL_BREAKER_OPEN);
	/* The list of models answers, the models do not: callers are not tried on it. */
	sl_health_hint(&health, true, now, now);
	assert_false(sl_health_begin(&health, false, false, now, &ticket));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(five_in_a_row_open_it),
		cmocka_unit_test(half_of_twenty_in_ten_seconds_open_it),
		cmocka_unit_test(exactly_one_probe_goes_through),
		cmocka_unit_test(a_failed_probe_doubles_the_cool_down),
		cmocka_unit_test(jitter_stays_within_a_quarter),
		cmocka_unit_test(content_closes_it_before_the_end),
		cmocka_unit_test(a_probe_that_learnt_nothing_is_made_again),
		cmocka_unit_test(late_results_move_nothing),
		cmocka_unit_test(the_last_target_is_never_refused),
		cmocka_unit_test(limits_cool_and_do_not_open),
		cmocka_unit_test(latency_rises_at_once_and_fades),
		cmocka_unit_test(errors_are_remembered_for_a_while),
		cmocka_unit_test(retries_stay_a_tenth),
		cmocka_unit_test(failing_targets_cost_little),
		cmocka_unit_test(probes_hint_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* money_model_test.c - random operations against plain sums in memory: every answer and
 * every balance must be the model's, after every step; the clock steps by days, months
 * end, and the process starts anew now and then. The same commit gives the same verdict;
 * SEED=7 in the environment draws other operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "money_harness.h"

enum { STEPS = 6000, OPEN_MAX = 24, KEYS = 3, SUMS = 4096, DAY_MS = 86400000 };

static struct till till;
static uint64_t seed;

static uint64_t
next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* The model: sums by name, and what is open. */
struct sum {
	int     owner, window;
	int32_t period;
	int64_t spent, held;
};
struct open {
	struct sl_hold *hold;
	int             key;
	int32_t         period[SL_WINDOW_COUNT];
	int64_t         held;
	bool            dispatched, over;
};
static struct sum sums[SUMS];
static size_t sum_count;
static struct open opened[OPEN_MAX];
static size_t open_count;
static int64_t credit, overrun;
static struct sl_zone *zone;
static struct sl_money_limits limits[KEYS + 1]; /* keys, then the workspace */
static const char *const names[KEYS + 1] = { "key-0", "key-1", "key-2", "work" };

static struct sum *
sum_of(int owner, int window, int32_t period)
{
	for (size_t i = 0; i < sum_count; i++)
		if (sums[i].owner == owner && sums[i].window == window && sums[i].period == period)
			return &sums[i];
	assert_true(sum_count < SUMS);
	sums[sum_count] = (struct sum){ owner, window, period, 0, 0 };
	return &sums[sum_count++];
}

static void
periods(int64_t wall_ms, int32_t out[SL_WINDOW_COUNT])
{
	out[0] = sl_zone_day(zone, wall_ms);
	out[1] = sl_week_of_day(out[0]);
	out[2] = sl_month_of_day(out[0]);
	out[3] = 0;
}

static void
add(const struct open *o, int64_t held, int64_t spent)
{
	const int owners[2] = { o->key, KEYS };

	for (int i = 0; i < 2; i++) {
		for (int w = 0; w < SL_WINDOW_COUNT; w++) {
			struct sum *sum = sum_of(owners[i], w, o->period[w]);

			sum->held += held;
			sum->spent += spent;
		}
	}
	credit -= held + spent;
}

static bool
model_allows(int key, int64_t amount)
{
	const int owners[2] = { key, KEYS };
	int32_t period[SL_WINDOW_COUNT];

	periods(till.now_ms, period);
	for (int i = 0; i < 2; i++) {
		const struct sl_money_limits *l = &limits[owners[i]];

		if (l->per_request >= 0 && amount > l->per_request)
			return false;
		for (int w = 0; w < SL_WINDOW_COUNT; w++) {
			const struct sum *sum = sum_of(owners[i], w, period[w]);

			if (l->window[w] >= 0 && sum->spent + sum->held + amount > l->window[w])
				return false;
		}
	}
	return credit >= amount && credit >= limits[KEYS].minimum_balance;
}

static void
compare(void)
{
	struct sl_money_standing standing;
	struct sl_money_totals totals;
	int32_t period[SL_WINDOW_COUNT];

	periods(till.now_ms, period);
	for (int owner = 0; owner <= KEYS; owner++) {
		sl_money_standing(till.money, owner == KEYS ? SL_SCOPE_WORKSPACE : SL_SCOPE_KEY,
		                  sl_slice_str(names[owner]), zone, till.now_ms, &standing);
		for (int w = 0; w < SL_WINDOW_COUNT; w++) {
			const struct sum *sum = sum_of(owner, w, period[w]);

			assert_int_equal(standing.spent[w], sum->spent);
			assert_int_equal(standing.held[w], sum->held);
		}
		if (owner == KEYS)
			assert_int_equal(standing.available, credit);
	}
	sl_money_totals(till.money, &totals);
	assert_int_equal(totals.open_holds, open_count);
	assert_int_equal(totals.overrun, overrun);
}

/* --- operations ----------------------------------------------------------------------- */

static void
do_hold(void)
{
	int key = (int)(next() % KEYS);
	int64_t amount = (int64_t)(next() % 4000);
	struct sl_money_request request = {
		.scopes = { { SL_SCOPE_KEY, sl_slice_str(names[key]), &limits[key] },
		            { SL_SCOPE_WORKSPACE, sl_slice_str(names[KEYS]), &limits[KEYS] } },
		.scope_count = 2, .amount = amount, .now_wall_ms = till.now_ms,
	};
	struct open *o = &opened[open_count];
	struct sl_money_refusal why;
	bool allowed = model_allows(key, amount);
	enum sl_err err;

	if (open_count == OPEN_MAX)
		return;
	*o = (struct open){ .key = key, .held = amount };
	err = till_hold(&till, &request, &o->hold, &why);
	assert_int_equal(err, allowed ? SL_OK : SL_ELIMIT);
	if (err != SL_OK) {
		if (why.resets_wall_ms)
			assert_true(why.resets_wall_ms > till.now_ms);
		return;
	}
	periods(till.now_ms, o->period);
	add(o, amount, 0);
	open_count++;
}

static void
end(struct open *o)
{
	int64_t cost, charged;

	cost = next() % 12 == 0 ? o->held + 5 : (int64_t)(next() % (uint64_t)(o->held + 1));
	charged = cost < o->held ? cost : o->held;
	if (next() % 4 == 0) {
		sl_money_release(o->hold, till.now_ms);
		cost = charged = 0;
	} else {
		sl_money_settle(o->hold, &(struct sl_money_settlement){ .cost = cost,
		                .now_wall_ms = till.now_ms, .source = SL_USAGE_REPORTED });
	}
	add(o, -o->held, charged);
	overrun += cost - charged;
	*o = opened[--open_count];
}

static void
do_end(void)
{
	size_t index = open_count ? next() % open_count : 0;
	struct open *o = &opened[index];

	if (open_count == 0)
		return;
	if (!o->dispatched && next() % 3) {
		sl_money_dispatched(o->hold, 1);
		o->dispatched = true;
		return;
	}
	if (o->dispatched && next() % 4 == 0) {
		sl_money_progress(o->hold, (int64_t)(next() % 1000));
		return;
	}
	end(o);
}

static void
do_credit(void)
{
	static int serial;
	char id[32];
	int64_t amount = (int64_t)(next() % 60000);

	snprintf(id, sizeof(id), "credit-%d", serial++);
	assert_int_equal(till_topup(&till, names[KEYS], id, amount), SL_OK);
	assert_int_equal(till_topup(&till, names[KEYS], id, amount), SL_EEXIST);
	assert_int_equal(till_topup(&till, names[KEYS], id, amount + 1), SL_EDUPLICATE);
	credit += amount;
}

/* Forward most of the time; a day back or forth at times; over the ends of months. No
 * request is open for days: of a window whose kept periods all have holds, the next one's
 * would count to its neighbour. */
static void
do_clock(void)
{
	static int64_t latest;
	int32_t today;

	if (till.now_ms > latest)
		latest = till.now_ms;
	switch (next() % 8) {
	case 0:
		if (till.now_ms == latest)
			till.now_ms -= DAY_MS;
		break;
	case 1:
		till.now_ms += DAY_MS;
		break;
	default:
		till.now_ms += (int64_t)(next() % (6 * 3600 * 1000));
	}
	today = sl_zone_day(zone, till.now_ms);
	for (size_t i = open_count; i-- > 0;)
		if (opened[i].period[SL_WINDOW_DAY] + 2 < today)
			end(&opened[i]);
}

static void
do_limits(void)
{
	struct sl_money_limits *l = &limits[next() % (KEYS + 1)];
	int w = (int)(next() % SL_WINDOW_COUNT);

	l->window[w] = next() % 3 ? (int64_t)(next() % 400000) : -1;
	l->per_request = next() % 3 ? -1 : (int64_t)(next() % 5000);
}

static void
do_restart(void)
{
	struct sl_money_audit audit;

	while (open_count > 0)
		do_end();
	till_shut(&till);
	assert_true(till_verify(&till, &audit));
	assert_int_equal(audit.open, 0);
	assert_true(till_reopen(&till));
	assert_int_equal(till.recovery.settled + till.recovery.released, 0);
}

static void
as_the_model_says(void **state)
{
	(void)state;
	assert_true(till_open(&till, SL_DURABLE_LEASE));
	assert_int_equal(sl_zone_new(SL_SLICE("Europe/Berlin"), &zone), SL_OK);
	for (int i = 0; i <= KEYS; i++) {
		limits[i] = sl_money_unlimited;
		limits[i].zone = zone;
	}
	limits[KEYS].prepaid = true;
	limits[KEYS].minimum_balance = 100;
	for (int step = 0; step < STEPS; step++) {
		uint64_t what = next() % 1000;

		if (what < 400)
			do_hold();
		else if (what < 930)
			do_end();
		else if (what < 960)
			do_clock();
		else if (what < 975)
			do_limits();
		else if (what < 997)
			do_credit();
		else
			do_restart();
		compare();
	}
	do_restart();
	compare();
	till_shut(&till);
	till_remove(&till);
	sl_zone_free(zone);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(as_the_model_says) };
	const char *given = getenv("SEED");

	seed = (given ? strtoull(given, NULL, 10) : 1) * 2654435761u | 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

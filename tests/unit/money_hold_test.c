/* money_hold_test.c - holds on real files: all scopes or none, exact settlement, what a
 * refusal says, credit once, recovery after a start without an end, the audit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "money_harness.h"

static struct till till;

static int
set_up(void **state)
{
	enum sl_durability durability = SL_DURABLE_LEASE;

	if (*state)
		durability = *(enum sl_durability *)*state;
	return till_open(&till, durability) ? 0 : -1;
}

/* After every test: nothing is held and the rows are right. */
static int
tear_down(void **state)
{
	struct sl_money_audit audit;
	struct sl_money_totals totals = { 0 };
	bool good;

	(void)state;
	if (till.money)
		sl_money_totals(till.money, &totals);
	till_shut(&till);
	good = till_verify(&till, &audit) && audit.open == 0 && totals.open_holds == 0 &&
	       totals.held == 0;
	till_remove(&till);
	return good ? 0 : -1;
}

static struct sl_hold *
hold_of(struct sl_money_request *request)
{
	struct sl_money_refusal why;
	struct sl_hold *hold;

	assert_int_equal(till_hold(&till, request, &hold, &why), SL_OK);
	return hold;
}

static void
settle(struct sl_hold *hold, int64_t cost)
{
	sl_money_settle(hold, &(struct sl_money_settlement){ .cost = cost,
	                .now_wall_ms = till.now_ms, .source = SL_USAGE_REPORTED,
	                .input_tokens = 10, .output_tokens = 20 });
}

static int64_t
spent(enum sl_scope_kind kind, const char *name, enum sl_money_window window)
{
	struct sl_money_standing standing;

	sl_money_standing(till.money, kind, sl_slice_str(name), NULL, till.now_ms, &standing);
	return standing.spent[window];
}

static int64_t
available(const char *name)
{
	struct sl_money_standing standing;

	sl_money_standing(till.money, SL_SCOPE_WORKSPACE, sl_slice_str(name), NULL, till.now_ms,
	                  &standing);
	return standing.available;
}

static void
exactly_the_cost_is_settled_in_every_scope(void **state)
{
	struct sl_money_request request = till_request(&till, "k", "t", "w", &sl_money_unlimited,
	                                               5 * USD);
	struct sl_hold *hold = hold_of(&request);

	(void)state;
	sl_money_dispatched(hold, 1);
	sl_money_progress(hold, 1234);
	settle(hold, 1234567891);
	for (int w = 0; w < SL_WINDOW_COUNT; w++) {
		assert_int_equal(spent(SL_SCOPE_KEY, "k", (enum sl_money_window)w), 1234567891);
		assert_int_equal(spent(SL_SCOPE_TEAM, "t", (enum sl_money_window)w), 1234567891);
		assert_int_equal(spent(SL_SCOPE_WORKSPACE, "w", (enum sl_money_window)w), 1234567891);
	}
	hold = hold_of(&request);
	sl_money_release(hold, till.now_ms);
	assert_int_equal(spent(SL_SCOPE_KEY, "k", SL_WINDOW_TOTAL), 1234567891);
	/* The same after a restart. */
	till_shut(&till);
	assert_true(till_reopen(&till));
	assert_int_equal(spent(SL_SCOPE_TEAM, "t", SL_WINDOW_MONTH), 1234567891);
	assert_int_equal(till.recovery.settled + till.recovery.released, 0);
}

/* Each cent is in the sums at once and in the books after the next batch, together with
 * its likes; a limit that is set later counts it. */
static void
what_nothing_limits_is_charged_whole_and_stored_in_sums(void **state)
{
	struct sl_money_request request = till_request(&till, "k", "t", "w", &sl_money_unlimited, 0);
	struct sl_money_limits team = sl_money_unlimited;
	struct sl_money_refusal why;
	struct sl_hold *hold, *open;
	struct sl_money_audit audit;
	/* In strict mode each waits for the disk, and has a row. */
	bool is_strict = till.options.durability == SL_DURABLE_STRICT;
	int count = is_strict ? 20 : 1000;
	int64_t sum = count * (USD / 1000 + 1);

	(void)state;
	request.unlimited = true;
	for (int i = 0; i < count; i++) {
		hold = hold_of(&request);
		sl_money_dispatched(hold, 0);
		sl_money_progress(hold, 5);
		settle(hold, USD / 1000 + 1);
	}
	hold = hold_of(&request);
	sl_money_release(hold, till.now_ms);
	assert_int_equal(spent(SL_SCOPE_KEY, "k", SL_WINDOW_DAY), sum);
	assert_int_equal(spent(SL_SCOPE_WORKSPACE, "w", SL_WINDOW_TOTAL), sum);
	/* Beside one that is limited and open. */
	team.window[SL_WINDOW_MONTH] = sum + USD + 1;
	request = till_request(&till, "k", "t", "w", &sl_money_unlimited, USD);
	request.scopes[1].limits = &team;
	open = hold_of(&request);
	assert_int_equal(till_hold(&till, &request, &hold, &why), SL_ELIMIT);
	assert_int_equal(why.used, USD + sum);
	settle(open, 7);
	till_shut(&till);
	assert_true(till_verify(&till, &audit));
	assert_int_equal(audit.charged, sum + 7);
	assert_int_equal(audit.overrun, 0);
	assert_true(is_strict || audit.attempts < 100);
	assert_true(till_reopen(&till));
	assert_int_equal(spent(SL_SCOPE_TEAM, "t", SL_WINDOW_MONTH), sum + 7);
}

/* As a crash would leave them: one not sent, one sent, one with progress. */
static void
what_nothing_limits_is_resolved_at_the_next_start(void **state)
{
	struct sl_money_request request = till_request(&till, "k", "t", "w", &sl_money_unlimited, 0);
	struct sl_money_audit audit;
	struct sl_hold *hold;

	(void)state;
	request.unlimited = true;
	settle(hold_of(&request), 1000);
	hold_of(&request);
	hold = hold_of(&request);
	sl_money_dispatched(hold, 30);
	hold = hold_of(&request);
	sl_money_dispatched(hold, 30);
	sl_money_progress(hold, 200);
	request.amount = 50; /* a bound that was no bound */
	hold = hold_of(&request);
	sl_money_dispatched(hold, 400);
	till_shut(&till);
	assert_true(till_reopen(&till));
	assert_int_equal(till.recovery.found, 4);
	assert_int_equal(till.recovery.released, 1);
	assert_int_equal(till.recovery.settled, 3);
	assert_int_equal(till.recovery.charged, 630);
	assert_int_equal(spent(SL_SCOPE_KEY, "k", SL_WINDOW_TOTAL), 1630);
	/* Once. */
	till_shut(&till);
	assert_true(till_reopen(&till));
	assert_int_equal(till.recovery.found + till.recovery.replayed, 0);
	assert_true(till_verify(&till, &audit));
	assert_int_equal(audit.charged, 1630);
	assert_int_equal(audit.open, 0);
}

/* More at once than there are slips: the others are recorded as any attempt. */
static void
what_nothing_limits_needs_no_slip(void **state)
{
	enum { MANY = 16384 + 100 };
	static struct sl_hold *holds[MANY];
	struct sl_money_request request = till_request(&till, "k", "t", "w", &sl_money_unlimited, 5);
	struct sl_money_totals totals;
	struct sl_money_audit audit;

	(void)state;
	request.unlimited = true;
	for (size_t i = 0; i < MANY; i++) {
		holds[i] = hold_of(&request);
		sl_money_dispatched(holds[i], 3);
	}
	for (size_t i = 0; i < MANY; i++)
		settle(holds[i], 7);
	sl_money_totals(till.money, &totals);
	assert_int_equal(totals.open_holds + totals.held + totals.overrun, 0);
	till_shut(&till);
	assert_true(till_verify(&till, &audit));
	assert_int_equal(audit.charged, 7 * MANY);
	assert_int_equal(audit.overrun, 0);
}

static void
a_refusal_changes_nothing_and_says_why(void **state)
{
	struct sl_money_limits team = sl_money_unlimited;
	struct sl_money_request request = till_request(&till, "k", "t", "w", &sl_money_unlimited,
	                                               3 * USD);
	struct sl_money_standing standing;
	struct sl_money_refusal why;
	struct sl_hold *first, *hold;

	(void)state;
	team.window[SL_WINDOW_DAY] = 5 * USD;
	request.scopes[1].limits = &team;
	first = hold_of(&request);
	assert_int_equal(till_hold(&till, &request, &hold, &why), SL_ELIMIT);
	assert_null(hold);
	assert_int_equal(why.by, SL_REFUSED_DAY);
	assert_int_equal(why.scope, 1);
	assert_int_equal(why.limit, 5 * USD);
	assert_int_equal(why.used, 3 * USD);
	assert_int_equal(why.needed, 3 * USD);
	/* 14:13:20 to midnight. */
	assert_int_equal(why.retry_after_s, 9 * 3600 + 46 * 60 + 40);
	sl_money_standing(till.money, SL_SCOPE_KEY, SL_SLICE("k"), NULL, till.now_ms, &standing);
	assert_int_equal(standing.held[SL_WINDOW_TOTAL], 3 * USD);
	sl_money_release(first, till.now_ms);
	first = hold_of(&request);
	sl_money_release(first, till.now_ms);
	/* No wait helps one that is larger than the limit. */
	request.amount = 6 * USD;
	assert_int_equal(till_hold(&till, &request, &hold, &why), SL_ELIMIT);
	assert_int_equal(why.retry_after_s, 0);
	team.per_request = USD;
	request.amount = USD + 1;
	assert_int_equal(till_hold(&till, &request, &hold, &why), SL_ELIMIT);
	assert_int_equal(why.by, SL_REFUSED_PER_REQUEST);
	request.scope_count = 0;
	assert_int_equal(till_hold(&till, &request, &hold, &why), SL_EINVAL);
}

static void
prepaid_credit_is_never_overdrawn(void **state)
{
	struct sl_money_limits prepaid = sl_money_unlimited;
	struct sl_money_request request = till_request(&till, "k", "t", "w", &sl_money_unlimited,
	                                               2 * USD);
	struct sl_money_totals totals;
	struct sl_money_refusal why;
	struct sl_hold *hold;

	(void)state;
	prepaid.prepaid = true;
	prepaid.minimum_balance = USD;
	request.scopes[2].limits = &prepaid;
	assert_int_equal(till_hold(&till, &request, &hold, &why), SL_ELIMIT);
	assert_int_equal(why.by, SL_REFUSED_BALANCE);
	assert_int_equal(till_topup(&till, "w", "pay-1", 3 * USD), SL_OK);
	assert_int_equal(till_topup(&till, "w", "pay-1", 3 * USD), SL_EEXIST);
	assert_int_equal(available("w"), 3 * USD);
	hold = hold_of(&request);
	sl_money_dispatched(hold, 0);
	/* More than was held: the operator pays the rest. */
	settle(hold, 7 * USD);
	assert_int_equal(available("w"), USD);
	sl_money_totals(till.money, &totals);
	assert_int_equal(totals.overrun, 5 * USD);
	assert_int_equal(till_hold(&till, &request, &hold, &why), SL_ELIMIT);
	request.amount = USD / 2;
	hold = hold_of(&request);
	settle(hold, 1);
	/* Below the minimum now. */
	assert_int_equal(till_hold(&till, &request, &hold, &why), SL_ELIMIT);
	assert_int_equal(why.by, SL_REFUSED_BALANCE);
	assert_int_equal(why.used, USD - 1);
}

static void
vouchers_refunds_and_corrections(void **state)
{
	struct sl_money_credit credit = { .kind = SL_CREDIT_VOUCHER, .workspace = SL_SLICE("w"),
		                          .external_id = SL_SLICE("voucher-0123456789"),
		                          .now_wall_ms = till.now_ms };

	(void)state;
	assert_int_equal(till_credit(&till, &credit), SL_ENOTFOUND);
	assert_int_equal(till_voucher(&till, SL_SLICE("short"), 5), SL_EINVAL);
	assert_int_equal(till_voucher(&till, credit.external_id, 500), SL_OK);
	assert_int_equal(till_voucher(&till, credit.external_id, 500), SL_EEXIST);
	assert_int_equal(till_credit(&till, &credit), SL_OK);
	assert_int_equal(till_credit(&till, &credit), SL_EEXIST);
	assert_int_equal(available("w"), 500);
	credit = (struct sl_money_credit){ .kind = SL_CREDIT_CORRECTION, .workspace = SL_SLICE("w"),
		                           .external_id = SL_SLICE("fix-1"), .amount = -501 };
	assert_int_equal(till_credit(&till, &credit), SL_ELIMIT);
	credit.amount = -500;
	assert_int_equal(till_credit(&till, &credit), SL_OK);
	credit = (struct sl_money_credit){ .kind = SL_CREDIT_REFUND, .workspace = SL_SLICE("w"),
		                           .external_id = SL_SLICE("refund-1"), .amount = 77 };
	assert_int_equal(till_credit(&till, &credit), SL_OK);
	assert_int_equal(available("w"), 77);
	till_shut(&till);
	assert_true(till_reopen(&till));
	assert_int_equal(available("w"), 77);
	assert_int_equal(till_credit(&till, &credit), SL_EEXIST);
}

/* What a crash leaves is told by what the next start finds: three holds, left open. */
static void
holds_left_open_are_resolved_once(void **state)
{
	struct sl_money_request request = till_request(&till, "k", "t", "w", &sl_money_unlimited,
	                                               1000);
	struct sl_hold *hold;

	(void)state;
	hold_of(&request);
	hold = hold_of(&request);
	sl_money_dispatched(hold, 5);
	sl_money_progress(hold, 70);
	request.policy = SL_UNKNOWN_HOLD;
	hold = hold_of(&request);
	sl_money_dispatched(hold, 5);
	request.policy = SL_UNKNOWN_RELEASE;
	hold = hold_of(&request);
	sl_money_dispatched(hold, 5);
	till_shut(&till);
	assert_true(till_reopen(&till));
	assert_int_equal(till.recovery.released, 1);
	assert_int_equal(till.recovery.settled, 3);
	assert_int_equal(till.recovery.charged, 1070);
	assert_int_equal(spent(SL_SCOPE_KEY, "k", SL_WINDOW_TOTAL), 1070);
	till_shut(&till);
	assert_true(till_reopen(&till));
	assert_int_equal(till.recovery.released + till.recovery.settled, 0);
	assert_int_equal(spent(SL_SCOPE_KEY, "k", SL_WINDOW_TOTAL), 1070);
}

/* --- a full disk ---------------------------------------------------------------------- */

/* No file may grow beyond this. The journal was made at its full size before. */
static void
limit_files(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void
a_full_disk_refuses_with_a_reason_and_heals(void **state)
{
	struct sl_money_request request = till_request(&till, "k", "t", "w", &sl_money_unlimited,
	                                               1000);
	struct sl_hold *open = hold_of(&request), *hold = NULL;
	struct sl_money_refusal why;
	enum sl_err err = SL_OK;
	int64_t charged = 0;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	sl_money_dispatched(open, 1);
	/* The write-ahead log is longer, the used part of the journal is not. */
	limit_files(65536);
	for (int i = 0; i < 30000 && err == SL_OK; i++) {
		err = till_hold(&till, &request, &hold, &why);
		if (err == SL_OK) {
			settle(hold, 10);
			charged += 10;
		}
		usleep(1000);
	}
	assert_int_equal(err, SL_EFULL);
	assert_int_equal(why.by, SL_REFUSED_STORE);
	assert_true(why.retry_after_s > 0);
	/* What is in flight ends as always. */
	settle(open, 500);
	limit_files(RLIM_INFINITY);
	for (int i = 0; i < 30000 && err == SL_EFULL; i++) {
		err = till_hold(&till, &request, &hold, &why);
		usleep(1000);
	}
	assert_int_equal(err, SL_OK);
	sl_money_release(hold, till.now_ms);
	assert_int_equal(spent(SL_SCOPE_KEY, "k", SL_WINDOW_TOTAL), charged + 500);
	till_shut(&till);
	assert_true(till_reopen(&till));
	assert_int_equal(spent(SL_SCOPE_KEY, "k", SL_WINDOW_TOTAL), charged + 500);
}

/* --- parallel ----------------------------------------------------------------------- */

enum { THREADS = 1000, ROUNDS = 20, FIT = 500 };
static struct sl_money_limits fits;
static atomic_int passed, refused;
static int round_;

static void *
one_request(void *argument)
{
	static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j",
		                             "k", "l", "m", "n", "o", "p", "q", "r", "s", "t" };
	struct sl_money_request request = till_request(&till, names[round_], names[round_],
	                                               names[round_], &fits, 1000);
	struct sl_money_refusal why;
	struct sl_hold *hold;

	(void)argument;
	if (till_hold(&till, &request, &hold, &why) == SL_OK) {
		sl_money_dispatched(hold, 0);
		settle(hold, 1000);
		passed++;
	} else if (why.by == SL_REFUSED_MONTH) {
		refused++;
	}
	return NULL;
}

static void
five_hundred_of_a_thousand_parallel_requests_pass(void **state)
{
	static pthread_t threads[THREADS];
	pthread_attr_t attr;

	(void)state;
	fits = sl_money_unlimited;
	fits.window[SL_WINDOW_MONTH] = FIT * 1000;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	for (round_ = 0; round_ < ROUNDS; round_++) {
		passed = refused = 0;
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], &attr, one_request, NULL), 0);
		for (int i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		assert_int_equal(passed, FIT);
		assert_int_equal(refused, THREADS - FIT);
	}
	pthread_attr_destroy(&attr);
}

/* --- the audit ------------------------------------------------------------------------ */

static void
tamper(const char *sql, const char *invariant)
{
	struct sl_money_audit audit;
	sqlite3 *db;


	assert_int_equal(sqlite3_open(till.url + strlen("sqlite:"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN; DROP TRIGGER IF EXISTS money_entries_frozen", NULL,
	                              NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_false(till_verify(&till, &audit));
	assert_string_equal(audit.broken, invariant);
}

static void
the_audit_names_what_was_changed(void **state)
{
	static const struct {
		const char *sql, *back, *invariant;
	} cases[] = {
		{ "UPDATE money_entries SET amount = amount - 1 WHERE id = 3",
		  "UPDATE money_entries SET amount = amount + 1 WHERE id = 3", "I8" },
		{ "UPDATE money_books SET balance = balance + 1 WHERE book = 1",
		  "UPDATE money_books SET balance = balance - 1 WHERE book = 1", "I8" },
		{ "UPDATE money_attempts SET charged = charged - 1",
		  "UPDATE money_attempts SET charged = charged + 1", "I5" },
		{ "UPDATE money_spent SET amount = amount - 1 WHERE win = 2",
		  "UPDATE money_spent SET amount = amount + 1 WHERE win = 2", "I7" },
	};
	struct sl_money_request request = till_request(&till, "k", "t", "w", &sl_money_unlimited,
	                                               1000);
	struct sl_money_audit audit;
	sqlite3 *db;

	(void)state;
	till_topup(&till, "w", "x", 5);
	settle(hold_of(&request), 900);
	till_shut(&till);
	assert_true(till_verify(&till, &audit));
	assert_int_equal(audit.charged, 900);
	assert_int_equal(audit.topped_up, 5);
	assert_non_null(freopen("/dev/null", "w", stderr));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tamper(cases[i].sql, cases[i].invariant);
		assert_int_equal(sqlite3_open(till.url + strlen("sqlite:"), &db), SQLITE_OK);
		assert_int_equal(sqlite3_exec(db, cases[i].back, NULL, NULL, NULL), SQLITE_OK);
		sqlite3_close(db);
	}
}

static enum sl_durability strict = SL_DURABLE_STRICT, relaxed = SL_DURABLE_RELAXED;

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_AS(name, how)                                                                \
	cmocka_unit_test_prestate_setup_teardown(name, set_up, tear_down, how)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(exactly_the_cost_is_settled_in_every_scope),
		TEST_AS(exactly_the_cost_is_settled_in_every_scope, &strict),
		TEST_AS(exactly_the_cost_is_settled_in_every_scope, &relaxed),
		TEST(what_nothing_limits_is_charged_whole_and_stored_in_sums),
		TEST_AS(what_nothing_limits_is_charged_whole_and_stored_in_sums, &strict),
		TEST_AS(what_nothing_limits_is_charged_whole_and_stored_in_sums, &relaxed),
		TEST(what_nothing_limits_is_resolved_at_the_next_start),
		TEST_AS(what_nothing_limits_is_resolved_at_the_next_start, &relaxed),
		TEST(what_nothing_limits_needs_no_slip),
		TEST(a_refusal_changes_nothing_and_says_why),
		TEST(prepaid_credit_is_never_overdrawn),
		TEST_AS(prepaid_credit_is_never_overdrawn, &strict),
		TEST(vouchers_refunds_and_corrections),
		TEST(holds_left_open_are_resolved_once),
		TEST(a_full_disk_refuses_with_a_reason_and_heals),
		TEST(five_hundred_of_a_thousand_parallel_requests_pass),
		TEST(the_audit_names_what_was_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* answers_test.c - names claimed, kept, dropped, forgotten, read back from a store, and
 * left behind by a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../money_harness.h"
#include "../store_fixture.h"
#include "ledger/answers.h"

#define NOW INT64_C(1700000000000)

static struct sl_store *store;
static struct sl_answers *answers;

static void
open_all(int64_t now_ms)
{
	store = open_store();
	answers = sl_answers_new(store, NULL, now_ms);
	assert_non_null(answers);
}

static void
close_all(void)
{
	sl_store_free(store);
	sl_answers_free(answers);
}

static int
set_up(void **state)
{
	(void)state;
	if (make_directory() != 0)
		return -1;
	open_all(NOW);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	close_all();
	return remove_directory();
}

static enum sl_err
claim(const char *key, const char *name, const char *body, int64_t now_ms, struct sl_answer **out)
{
	const struct sl_answer_query query = {
		.key_id = sl_slice_str(key), .name = sl_slice_str(name),
		.path = SL_SLICE("/v1/x"), .body = sl_slice_str(body), .now_wall_ms = now_ms,
	};

	return sl_answers_claim(answers, &query, out);
}

static void
keep(struct sl_answer *claimed, const char *text, size_t padding)
{
	struct sl_buf body;

	sl_buf_init(&body, 2 * SL_ANSWER_BYTES_MAX);
	sl_buf_append_str(&body, text);
	for (size_t i = 0; i < padding; i++)
		sl_buf_append_char(&body, '.');
	sl_answers_keep(answers, claimed, 200, SL_SLICE("application/json"),
	                SL_SLICE("{\"model\":\"m\"}"), &body);
}

static void
assert_kept_at(const char *name, const char *text, int64_t now_ms)
{
	struct sl_answer *found;

	assert_int_equal(claim("k", name, "b", now_ms, &found), SL_EEXIST);
	assert_int_equal(sl_answer_status(found), 200);
	assert_true(sl_slice_is(sl_answer_content_type(found), "application/json"));
	assert_true(sl_slice_is(sl_answer_body(found), text));
	assert_true(sl_slice_is(sl_answer_told(found), "{\"model\":\"m\"}"));
	sl_answer_unref(found);
}

static void
assert_kept(const char *name, const char *text)
{
	assert_kept_at(name, text, NOW);
}

static void
a_name_is_served_once(void **state)
{
	struct sl_answer *first, *other;

	(void)state;
	assert_int_equal(claim("k", "n", "b", NOW, &first), SL_OK);
	assert_int_equal(claim("k", "n", "b", NOW, &other), SL_EBUSY);
	assert_int_equal(claim("k", "n", "c", NOW, &other), SL_EINVAL);
	keep(first, "said", 0);
	assert_kept("n", "said");
	assert_int_equal(claim("k", "n", "c", NOW, &other), SL_EINVAL);
	/* Parts cannot be divided another way, and names belong to their key. */
	assert_int_equal(claim("kn", "", "b", NOW, &other), SL_OK);
	sl_answers_drop(answers, other);
	assert_int_equal(claim("j", "n", "b", NOW, &other), SL_OK);
	sl_answers_drop(answers, other);
	assert_int_equal(claim("j", "n", "b", NOW, &other), SL_OK);
	sl_answers_drop(answers, other);
}

static void
a_day_later_it_is_forgotten(void **state)
{
	struct sl_answer *first;

	(void)state;
	assert_int_equal(claim("k", "n", "b", NOW, &first), SL_OK);
	keep(first, "said", 0);
	assert_int_equal(claim("k", "n", "other", NOW + SL_ANSWER_TTL_MS, &first), SL_OK);
	sl_answers_drop(answers, first);
}

static void
a_large_answer_is_only_remembered(void **state)
{
	struct sl_answer *first;

	(void)state;
	assert_int_equal(claim("k", "n", "b", NOW, &first), SL_OK);
	keep(first, "said", SL_ANSWER_BYTES_MAX);
	assert_int_equal(claim("k", "n", "b", NOW, &first), SL_ELIMIT);
	close_all();
	open_all(NOW);
	assert_int_equal(claim("k", "n", "b", NOW, &first), SL_ELIMIT);
}

static void
the_oldest_make_room(void **state)
{
	struct sl_answer *claimed, *running;
	char name[16];

	(void)state;
	assert_int_equal(claim("k", "running", "b", NOW, &running), SL_OK);
	for (int i = 0; i < 80; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		assert_int_equal(claim("k", name, "b", NOW, &claimed), SL_OK);
		keep(claimed, "", SL_ANSWER_BYTES_MAX);
	}
	assert_int_equal(claim("k", "n0", "b", NOW, &claimed), SL_OK);
	sl_answers_drop(answers, claimed);
	assert_int_equal(claim("k", "n79", "b", NOW, &claimed), SL_EEXIST);
	sl_answer_unref(claimed);
	assert_int_equal(claim("k", "running", "b", NOW, &claimed), SL_EBUSY);
	sl_answers_drop(answers, running);
}

static void
names_in_flight_are_bounded(void **state)
{
	static struct sl_answer *running[SL_ANSWERS_MAX];
	struct sl_answer *more;
	char name[16];

	(void)state;
	for (int i = 0; i < SL_ANSWERS_MAX; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		assert_int_equal(claim("k", name, "b", NOW, &running[i]), SL_OK);
	}
	assert_int_equal(claim("k", "more", "b", NOW, &more), SL_EFULL);
	for (int i = 0; i < SL_ANSWERS_MAX; i++)
		sl_answers_drop(answers, running[i]);
	assert_int_equal(claim("k", "more", "b", NOW, &more), SL_OK);
	sl_answers_drop(answers, more);
}

static void
kept_answers_are_read_back(void **state)
{
	struct sl_answer *first, *dropped;

	(void)state;
	assert_int_equal(claim("k", "n", "b", NOW, &first), SL_OK);
	assert_int_equal(claim("k", "m", "b", NOW, &dropped), SL_OK);
	keep(first, "said", 0);
	sl_answers_drop(answers, dropped);
	close_all();
	open_all(NOW);
	assert_kept("n", "said");
	assert_int_equal(claim("k", "m", "b", NOW, &first), SL_OK);
	sl_answers_drop(answers, first);
	close_all();
	open_all(NOW + SL_ANSWER_TTL_MS + 1);
	assert_int_equal(claim("k", "n", "b", NOW, &first), SL_OK);
	sl_answers_drop(answers, first);
}

/* --- with a ledger ------------------------------------------------------------------- */

static struct till till;

static void
open_till(int64_t now_ms)
{
	till.options.now_wall_ms = now_ms;
	assert_true(till_reopen(&till));
	answers = sl_answers_new(till.store, till.money, now_ms);
	assert_non_null(answers);
}

static void
shut_till(void)
{
	sl_answers_leave_money(answers);
	till_shut(&till);
	sl_answers_free(answers);
}

/* A name and an attempt under it. */
static struct sl_hold *
buy(const char *name, struct sl_answer **claimed)
{
	struct sl_money_request request = till_request(&till, "k", "t", "w", &sl_money_unlimited, 0);
	struct sl_money_refusal why;
	struct sl_hold *hold = NULL;

	request.unlimited = true;
	memcpy(request.request_id, name, strlen(name));
	assert_int_equal(claim("k", name, "b", WALL_MS, claimed), SL_OK);
	request.claim = sl_answer_claim(*claimed);
	assert_int_equal(till_hold(&till, &request, &hold, &why), SL_OK);
	sl_answer_recorded(*claimed, request.request_id);
	return hold;
}

static void
assert_cut_off(const char *name, int64_t charged)
{
	struct sl_answer *found;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(claim("k", name, "b", WALL_MS, &found), SL_ECLOSED);
		assert_int_equal(sl_answer_charged(found), charged);
		assert_int_equal(sl_answer_begun_ms(found), WALL_MS);
		assert_memory_equal(sl_answer_request(found), name, strlen(name));
		sl_answer_unref(found);
	}
	assert_int_equal(claim("k", name, "c", WALL_MS, &found), SL_EINVAL);
}

static void
assert_free(const char *name, int64_t now_ms)
{
	struct sl_answer *found;

	assert_int_equal(claim("k", name, "c", now_ms, &found), SL_OK);
	sl_answers_drop(answers, found);
}

static void
a_crash_leaves_names_of_what_was_bought(void **state)
{
	static const struct sl_money_settlement end = { .cost = 900, .now_wall_ms = WALL_MS };
	struct sl_answer *claimed, *left[3];
	struct sl_hold *hold;

	(void)state;
	assert_true(till_open(&till, SL_DURABLE_LEASE));
	answers = sl_answers_new(till.store, till.money, WALL_MS);
	sl_money_dispatched(buy("sent", &left[0]), 70);
	buy("not sent", &left[1]);
	hold = buy("settled", &left[2]);
	sl_money_dispatched(hold, 70);
	sl_money_settle(hold, &end);
	hold = buy("kept", &claimed);
	sl_money_dispatched(hold, 70);
	sl_money_settle(hold, &end);
	keep(claimed, "said", 0);
	hold = buy("failed", &claimed);
	sl_money_dispatched(hold, 70);
	sl_money_release(hold, WALL_MS);
	sl_answers_drop(answers, claimed);
	shut_till();
	for (size_t i = 0; i < 3; i++)
		sl_answer_unref(left[i]);
	for (int i = 0; i < 2; i++) {
		open_till(WALL_MS);
		assert_cut_off("sent", 70);
		assert_cut_off("settled", 900);
		assert_kept_at("kept", "said", WALL_MS);
		assert_free("not sent", WALL_MS);
		assert_free("failed", WALL_MS);
		shut_till();
	}
	open_till(WALL_MS + SL_ANSWER_TTL_MS);
	assert_free("sent", WALL_MS + SL_ANSWER_TTL_MS);
	shut_till();
	till_remove(&till);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_name_is_served_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_day_later_it_is_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_large_answer_is_only_remembered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_oldest_make_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_in_flight_are_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(kept_answers_are_read_back, set_up, tear_down),
		cmocka_unit_test(a_crash_leaves_names_of_what_was_bought),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

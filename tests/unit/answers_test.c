/* answers_test.c - names claimed, kept, dropped, forgotten, and read back from a store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ledger/answers.h"
#include "store/store.h"

#define NOW INT64_C(1700000000000)

static char directory[64], url[128];
static struct sl_store *store;
static struct sl_answers *answers;

static void
open_all(int64_t now_ms)
{
	const char *reason = "";

	store = sl_store_new(sl_slice_str(url), &reason);
	assert_non_null(store);
	answers = sl_answers_new(store, now_ms);
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
	strcpy(directory, "/tmp/sluice-answers-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(url, sizeof(url), "sqlite:%s/test.db", directory);
	open_all(NOW);
	return 0;
}

static int
tear_down(void **state)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	char name[128];

	(void)state;
	close_all();
	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s/test.db%s", directory, suffixes[i]);
		unlink(name);
	}
	return rmdir(directory);
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
	sl_answers_keep(answers, claimed, 200, SL_SLICE("application/json"), &body);
}

static void
assert_kept(const char *name, const char *text)
{
	struct sl_answer *found;

	assert_int_equal(claim("k", name, "b", NOW, &found), SL_EEXIST);
	assert_int_equal(sl_answer_status(found), 200);
	assert_true(sl_slice_is(sl_answer_content_type(found), "application/json"));
	assert_true(sl_slice_is(sl_answer_body(found), text));
	sl_answer_unref(found);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

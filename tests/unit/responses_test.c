/* responses_test.c - kept answers: chains, owners, age, bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../store_fixture.h"
#include "ledger/responses.h"

#define NOW INT64_C(1700000000000)
#define DAY INT64_C(86400000)

static struct sl_store *store;
static sem_t found;

static int
set_up(void **state)
{
	(void)state;
	if (make_directory() != 0)
		return -1;
	store = open_store();
	sem_init(&found, 0, 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	sl_store_free(store);
	sem_destroy(&found);
	return remove_directory();
}

static bool
keep(const char *id, const char *previous, const char *input, const char *output, int64_t now_ms)
{
	char response[256];

	snprintf(response, sizeof(response), "{\"id\":\"%s\",\"output\":%s}", id, output);
	return sl_responses_keep(store, &(struct sl_response_keep){
	    .id = sl_slice_str(id), .owner = SL_SLICE("vk_1"), .previous = sl_slice_str(previous),
	    .input = sl_slice_str(input), .response = sl_slice_str(response),
	    .now_wall_ms = now_ms, .keep_ms = 30 * DAY, .most_bytes = 1 << 20 });
}

static void
on_found(struct sl_response_find *find)
{
	(void)find;
	sem_post(&found);
}

/* On the store's thread instead of a loop; the jobs before it are done. */
static struct sl_response_find *
look(enum sl_response_wish wish, const char *id, const char *owner, int64_t since, size_t most)
{
	const struct sl_response_query query = { wish, sl_slice_str(id), sl_slice_str(owner), since,
		                                 most };
	struct sl_response_find *find = sl_responses_find(store, NULL, &query, on_found, NULL);

	assert_non_null(find);
	while (sem_wait(&found) != 0)
		continue;
	return find;
}

static void
expect(enum sl_response_wish wish, const char *id, enum sl_err err, const char *items)
{
	struct sl_response_find *find = look(wish, id, "vk_1", 0, 4096);

	assert_int_equal(find->err, err);
	if (items && !sl_slice_is(sl_buf_slice(&find->items), items))
		fail_msg("%.*s", SL_ARG(sl_buf_slice(&find->items)));
	sl_response_find_free(find);
}

static void
a_chain_is_read_from_its_beginning(void **state)
{
	(void)state;
	assert_true(keep("a", "", "\"hi\"", "[{\"o\":1}]", NOW));
	assert_true(keep("b", "a", "[ {\"i\":2}, {\"i\":3} ]", "[{\"o\":4},{\"o\":5}]", NOW));
	assert_true(keep("c", "b", "[]", "[]", NOW));
	assert_true(keep("d", "c", "[{\"i\":6}]", "[]", NOW));
	expect(SL_RESPONSE_CHAIN, "d", SL_OK,
	       "{\"type\":\"message\",\"role\":\"user\",\"content\":\"hi\"},{\"o\":1},"
	       "{\"i\":2}, {\"i\":3},{\"o\":4},{\"o\":5},{\"i\":6}");
	expect(SL_RESPONSE_ONE, "b", SL_OK, "{\"i\":2}, {\"i\":3}");
	expect(SL_RESPONSE_CHAIN, "x", SL_ENOTFOUND, NULL);
	/* Without its beginning a conversation is none. */
	expect(SL_RESPONSE_REMOVE, "b", SL_OK, NULL);
	expect(SL_RESPONSE_REMOVE, "b", SL_ENOTFOUND, NULL);
	expect(SL_RESPONSE_CHAIN, "d", SL_ENOTFOUND, NULL);
	expect(SL_RESPONSE_CHAIN, "a", SL_OK, NULL);
}

static void
others_and_the_old_are_not_found(void **state)
{
	struct sl_response_find *find;

	(void)state;
	assert_true(keep("a", "", "\"hi\"", "[]", NOW));
	find = look(SL_RESPONSE_ONE, "a", "vk_2", 0, 4096);
	assert_int_equal(find->err, SL_ENOTFOUND);
	sl_response_find_free(find);
	find = look(SL_RESPONSE_REMOVE, "a", "vk_2", 0, 4096);
	assert_int_equal(find->err, SL_ENOTFOUND);
	sl_response_find_free(find);
	find = look(SL_RESPONSE_ONE, "a", "vk_1", NOW + 1, 4096);
	assert_int_equal(find->err, SL_ENOTFOUND);
	sl_response_find_free(find);
	find = look(SL_RESPONSE_CHAIN, "a", "vk_1", NOW + 1, 4096);
	assert_int_equal(find->err, SL_ENOTFOUND);
	sl_response_find_free(find);
	expect(SL_RESPONSE_ONE, "a", SL_OK, NULL);
}

static void
chains_are_bounded(void **state)
{
	struct sl_response_find *find;
	char id[16], previous[16] = "";

	(void)state;
	assert_true(keep("own", "own", "\"x\"", "[]", NOW));
	expect(SL_RESPONSE_CHAIN, "own", SL_ELIMIT, NULL);
	for (int i = 0; i < 60; i++) {
		snprintf(id, sizeof(id), "r%d", i);
		assert_true(keep(id, previous, "[{\"i\":\"0123456789\"}]", "[]", NOW + i));
		strcpy(previous, id);
	}
	find = look(SL_RESPONSE_CHAIN, "r59", "vk_1", 0, 600);
	assert_int_equal(find->err, SL_ELIMIT);
	sl_response_find_free(find);
	find = look(SL_RESPONSE_CHAIN, "r20", "vk_1", 0, 600);
	assert_int_equal(find->err, SL_OK);
	sl_response_find_free(find);
}

static void
what_is_too_much_is_not_kept(void **state)
{
	char *large = malloc(SL_RESPONSE_BYTES_MAX + 1);
	struct sl_response_keep what = { .id = SL_SLICE("a"), .owner = SL_SLICE("vk_1"),
		                         .input = SL_SLICE("\"x\""), .response = SL_SLICE("{}"),
		                         .now_wall_ms = NOW, .keep_ms = DAY, .most_bytes = 4096 };

	(void)state;
	assert_non_null(large);
	memset(large, ' ', SL_RESPONSE_BYTES_MAX + 1);
	what.response = sl_slice_make(large, SL_RESPONSE_BYTES_MAX + 1);
	assert_false(sl_responses_keep(store, &what));
	what.response = SL_SLICE("{}");
	what.id = sl_slice_make(large, SL_RESPONSE_ID_MAX + 1);
	assert_false(sl_responses_keep(store, &what));
	free(large);
}

static void
the_oldest_make_room(void **state)
{
	char id[16], input[1100];

	(void)state;
	memset(input, 'x', sizeof(input));
	input[0] = input[1000] = '"';
	input[1001] = '\0';
	for (int i = 0; i < 70; i++) {
		snprintf(id, sizeof(id), "r%d", i);
		assert_true(sl_responses_keep(store, &(struct sl_response_keep){
		    .id = sl_slice_str(id), .owner = SL_SLICE("vk_1"), .input = sl_slice_str(input),
		    .response = SL_SLICE("{}"), .now_wall_ms = NOW + i, .keep_ms = DAY,
		    .most_bytes = 8192 }));
	}
	expect(SL_RESPONSE_ONE, "r69", SL_OK, NULL);
	expect(SL_RESPONSE_ONE, "r0", SL_ENOTFOUND, NULL);
	expect(SL_RESPONSE_ONE, "r20", SL_ENOTFOUND, NULL);
	/* By age as well, with the next that is kept. */
	for (int i = 0; i < 40; i++)
		assert_true(keep("late", "", "\"x\"", "[]", NOW + 40 * DAY));
	expect(SL_RESPONSE_ONE, "r69", SL_ENOTFOUND, NULL);
	expect(SL_RESPONSE_ONE, "late", SL_OK, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_chain_is_read_from_its_beginning, set_up, tear_down),
		cmocka_unit_test_setup_teardown(others_and_the_old_are_not_found, set_up, tear_down),
		cmocka_unit_test_setup_teardown(chains_are_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_too_much_is_not_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_oldest_make_room, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

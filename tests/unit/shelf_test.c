/* shelf_test.c - answers that are found again, replaced, too old, pushed out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "base/slice.h"
#include "pipeline/shelf.h"

enum { ROOM = 1 << 20, TTL_MS = 1000 };

static void
id_of(unsigned n, unsigned char id[SL_SHELF_ID_SIZE])
{
	memset(id, 0, SL_SHELF_ID_SIZE);
	/* Numbers that differ in the last byte only share a bucket. */
	id[SL_SHELF_ID_SIZE - 1] = (unsigned char)n;
	id[SL_SHELF_ID_SIZE - 2] = (unsigned char)(n >> 8);
}

static void
put(struct sl_shelf *shelf, unsigned n, const char *body, uint64_t bytes_max, uint64_t now_ms)
{
	unsigned char id[SL_SHELF_ID_SIZE];

	id_of(n, id);
	sl_shelf_put(shelf, id, &(struct sl_shelved){
		.content_type = SL_SLICE("application/json"),
		.body = sl_slice_str(body),
		.provider = SL_SLICE("openai"),
		.model = SL_SLICE("gpt-4o-mini"),
		.status = 200,
	}, TTL_MS, bytes_max, now_ms);
}

static const struct sl_shelved *
find(struct sl_shelf *shelf, unsigned n, uint64_t now_ms)
{
	unsigned char id[SL_SHELF_ID_SIZE];

	id_of(n, id);
	return sl_shelf_find(shelf, id, now_ms);
}

static bool
has(struct sl_shelf *shelf, unsigned n, const char *body, uint64_t now_ms)
{
	const struct sl_shelved *found = find(shelf, n, now_ms);
	bool good = found && sl_slice_is(found->body, body);

	if (good) {
		assert_true(sl_slice_is(found->content_type, "application/json"));
		assert_true(sl_slice_is(found->provider, "openai"));
		assert_true(sl_slice_is(found->model, "gpt-4o-mini"));
		assert_int_equal(found->warnings.len, 0);
		assert_int_equal(found->status, 200);
	}
	sl_shelved_unref(found);
	return good;
}

static void
found_until_its_time_is_over(void **state)
{
	struct sl_shelf *shelf = sl_shelf_new();

	(void)state;
	assert_null(find(shelf, 1, 0));
	put(shelf, 1, "one", ROOM, 10);
	put(shelf, 2, "two", ROOM, 10);
	assert_true(has(shelf, 1, "one", 10 + TTL_MS - 1));
	assert_true(has(shelf, 2, "two", 11));
	put(shelf, 1, "uno", ROOM, 500);
	assert_true(has(shelf, 1, "uno", 500 + TTL_MS - 1));
	assert_null(find(shelf, 2, 10 + TTL_MS));
	assert_null(find(shelf, 1, 500 + TTL_MS));
	sl_shelf_free(shelf);
}

static void
the_least_recently_used_goes_first(void **state)
{
	enum { COUNT = 200, MAX = 16 * 1024 };
	struct sl_shelf *shelf = sl_shelf_new();
	char body[400];
	unsigned left = 0;

	(void)state;
	memset(body, 'x', sizeof(body));
	body[sizeof(body) - 1] = '\0';
	for (unsigned n = 0; n < COUNT; n++) {
		put(shelf, n, body, MAX, 0);
		assert_true(has(shelf, 0, body, 1)); /* used all the time */
	}
	for (unsigned n = 1; n < COUNT; n++)
		left += has(shelf, n, body, 1);
	assert_in_range(left, 1, MAX / sizeof(body));
	assert_true(has(shelf, COUNT - 1, body, 1));
	assert_false(has(shelf, 1, body, 1));
	/* What does not fit at all pushes nobody out; a smaller room empties with the next. */
	put(shelf, 999, body, 100, 0);
	assert_null(find(shelf, 999, 1));
	assert_true(has(shelf, 0, body, 1));
	put(shelf, 998, "small", 400, 0);
	assert_true(has(shelf, 998, "small", 1));
	assert_null(find(shelf, 0, 1));
	put(shelf, 997, "none", 0, 0);
	assert_null(find(shelf, 997, 1));
	sl_shelf_free(shelf);
}

static void
a_larger_body_is_not_kept(void **state)
{
	static char body[SL_SHELVED_BODY_MAX + 2];
	struct sl_shelf *shelf = sl_shelf_new();

	(void)state;
	memset(body, 'x', sizeof(body) - 1);
	put(shelf, 1, body, SIZE_MAX, 0);
	assert_null(find(shelf, 1, 0));
	body[SL_SHELVED_BODY_MAX] = '\0';
	put(shelf, 1, body, SIZE_MAX, 0);
	assert_true(has(shelf, 1, body, 0));
	sl_shelf_free(shelf);
}

static void
an_answer_on_its_way_outlives_its_eviction(void **state)
{
	struct sl_shelf *shelf = sl_shelf_new();
	const struct sl_shelved *one;

	(void)state;
	put(shelf, 1, "one", ROOM, 0);
	one = find(shelf, 1, 0);
	put(shelf, 1, "uno", ROOM, 0);
	assert_true(sl_slice_is(one->body, "one"));
	sl_shelved_unref(one);
	assert_true(has(shelf, 1, "uno", 0));
	sl_shelf_free(shelf);
	sl_shelf_free(NULL);
	sl_shelved_unref(NULL);
}

static void *
use(void *context)
{
	struct sl_shelf *shelf = context;

	for (unsigned i = 0; i < 5000; i++) {
		const struct sl_shelved *found = find(shelf, i % 50, i);

		if (found)
			assert_true(sl_slice_is(found->body, "body"));
		sl_shelved_unref(found);
		put(shelf, i * 7 % 50, "body", 4096, i);
	}
	return NULL;
}

static void
loops_share_it(void **state)
{
	struct sl_shelf *shelf = sl_shelf_new();
	pthread_t threads[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use, shelf), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	sl_shelf_free(shelf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found_until_its_time_is_over),
		cmocka_unit_test(the_least_recently_used_goes_first),
		cmocka_unit_test(a_larger_body_is_not_kept),
		cmocka_unit_test(an_answer_on_its_way_outlives_its_eviction),
		cmocka_unit_test(loops_share_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

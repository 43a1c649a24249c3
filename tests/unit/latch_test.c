/* latch_test.c - one at a time, whoever waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/latch.h"

enum { THREADS = 4, ROUNDS = 20000 };

static struct sl_latch latch;
static unsigned long count; /* guarded by it */

static void *
count_up(void *unused)
{
	(void)unused;
	for (int i = 0; i < ROUNDS; i++) {
		sl_latch_lock(&latch);
		count++;
		sl_latch_unlock(&latch);
	}
	return NULL;
}

/* Long enough for the others to have gone to sleep. */
static void
nothing_is_lost(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	sl_latch_lock(&latch);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
	nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	assert_int_equal(count, 0);
	sl_latch_unlock(&latch);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(count, (unsigned long)THREADS * ROUNDS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* secret_test.c - contents, reuse and wiping of secrets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/secret.h"

static void
contents_are_kept_and_compared(void **state)
{
	struct sl_secret a = { 0 };

	(void)state;
	assert_true(sl_secret_empty(&a));
	assert_true(sl_secret_eq(&a, SL_SLICE_NONE));
	assert_int_equal(sl_secret_set(&a, SL_SLICE("hunter2")), SL_OK);
	assert_false(sl_secret_empty(&a));
	assert_true(sl_secret_eq(&a, SL_SLICE("hunter2")));
	assert_false(sl_secret_eq(&a, SL_SLICE("hunter3")));
	assert_false(sl_secret_eq(&a, SL_SLICE("hunter22")));
	/* From its own bytes. */
	assert_int_equal(sl_secret_set(&a, sl_slice_from(sl_secret_reveal(&a), 3)), SL_OK);
	assert_true(sl_slice_is(sl_secret_reveal(&a), "ter2"));
	sl_secret_release(&a);
	assert_true(sl_secret_empty(&a));
	sl_secret_release(&a);
}

static void
release_wipes(void **state)
{
	struct sl_secret a = { 0 };
	const char *at;

	(void)state;
	assert_int_equal(sl_secret_set(&a, SL_SLICE("wipe me")), SL_OK);
	at = sl_secret_reveal(&a).ptr;
	sl_secret_release(&a);
	/* The slab stays mapped, so the bytes can be looked at. */
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(at[i], 0);
}

static void
many_sizes_do_not_touch_each_other(void **state)
{
	struct sl_secret secrets[300] = { { 0 } };
	static char bytes[70000];

	(void)state;
	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < 300; i++) {
			memset(bytes, (int)(i + 1), sizeof(bytes));
			assert_int_equal(sl_secret_set(&secrets[i], sl_slice_make(bytes, (i * 37 + round) % 3000)),
			                 SL_OK);
		}
		for (size_t i = 0; i < 300; i++) {
			memset(bytes, (int)(i + 1), sizeof(bytes));
			assert_true(sl_secret_eq(&secrets[i], sl_slice_make(bytes, (i * 37 + round) % 3000)));
		}
		for (size_t i = round; i < 300; i += 2)
			sl_secret_release(&secrets[i]);
	}
	assert_int_equal(sl_secret_set(&secrets[0], sl_slice_make(bytes, sizeof(bytes))), SL_ELIMIT);
	for (size_t i = 0; i < 300; i++)
		sl_secret_release(&secrets[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contents_are_kept_and_compared),
		cmocka_unit_test(release_wipes),
		cmocka_unit_test(many_sizes_do_not_touch_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

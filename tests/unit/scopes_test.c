/* scopes_test.c - which accounts a key's requests touch, and when they bind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ledger/scopes.h"

static void
done(struct sl_key_change *change)
{
	(void)change;
}

static struct sl_key *
make_key(struct sl_keyring *ring, const char *body, struct sl_arena *arena)
{
	struct sl_key_change change = { .done = done };
	struct sl_key *key = NULL;
	struct sl_fault fault;
	struct sl_slice secret;

	assert_true(sl_keyring_create(ring, sl_json_parse(sl_slice_str(body)), arena, &change,
	                              &fault));
	assert_int_equal(change.err, SL_OK);
	assert_true(sl_json_string(sl_json_get(sl_json_parse(sl_buf_slice(&change.json)), "key"),
	                           arena, &secret));
	assert_int_equal(sl_keyring_find(ring, secret, &key, &fault), SL_OK);
	sl_buf_release(&change.json);
	return key;
}

static void
the_key_its_team_and_its_workspace(void **state)
{
	struct sl_keyring *ring = sl_keyring_new();
	struct sl_tenancy tenancy;
	struct sl_scopes scopes;
	struct sl_arena arena;
	struct sl_money_limits limits = sl_money_unlimited;
	struct sl_key *key;

	(void)state;
	sl_arena_init(&arena, 1024, 0);
	key = make_key(ring, "{\"name\":\"a\",\"team\":\"search\",\"workspace\":\"acme\"}", &arena);
	sl_tenancy_open(&tenancy, NULL, key);
	sl_scopes_of_tenancy(&tenancy, &scopes);
	assert_int_equal(scopes.count, 3);
	assert_int_equal(scopes.scope[0].kind, SL_SCOPE_KEY);
	assert_true(sl_slice_eq(scopes.scope[0].name, sl_key_id(key)));
	assert_int_equal(scopes.scope[1].kind, SL_SCOPE_TEAM);
	assert_true(sl_slice_is(scopes.scope[1].name, "search"));
	assert_int_equal(scopes.scope[2].kind, SL_SCOPE_WORKSPACE);
	assert_true(sl_slice_is(scopes.scope[2].name, "acme"));
	assert_false(sl_scopes_bind(&scopes));
	limits.prepaid = true;
	scopes.scope[2].limits = &limits;
	assert_true(sl_scopes_bind(&scopes));
	sl_tenancy_close(&tenancy);
	sl_key_unref(key);
	key = make_key(ring, "{\"name\":\"b\"}", &arena);
	sl_tenancy_open(&tenancy, NULL, key);
	sl_scopes_of_tenancy(&tenancy, &scopes);
	assert_int_equal(scopes.count, 1);
	scopes.scope[0].limits = &limits;
	limits.prepaid = false;
	for (int w = 0; w < SL_WINDOW_COUNT; w++) {
		assert_false(sl_scopes_bind(&scopes));
		limits.window[w] = 0;
		assert_true(sl_scopes_bind(&scopes));
		limits.window[w] = -1;
	}
	limits.per_request = 5;
	assert_true(sl_scopes_bind(&scopes));
	sl_tenancy_close(&tenancy);
	sl_scopes_of_tenancy(&tenancy, &scopes);
	assert_int_equal(scopes.count, 0);
	sl_key_unref(key);
	sl_keyring_free(ring);
	sl_arena_release(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_key_its_team_and_its_workspace) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

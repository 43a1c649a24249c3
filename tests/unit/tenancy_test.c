/* tenancy_test.c - workspaces, teams, keys and end users on a real store: made, changed,
 * read back, audited; and the limits of all levels as one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../store_fixture.h"
#include "ledger/audit.h"
#include "ledger/scopes.h"
#include "model/config.h"

static struct sl_store *store;
static struct sl_tenants *tenants;
static struct sl_keyring *ring;
static struct sl_arena arena;
static struct sl_fault fault;
static struct sl_allowances left;

static void
open_all(void)
{
	store = open_store();
	tenants = sl_tenants_new();
	assert_int_equal(sl_tenants_load(tenants, store), SL_OK);
	ring = sl_keyring_new();
	assert_int_equal(sl_keyring_load(ring, store), SL_OK);
}

static void
close_all(void)
{
	sl_store_free(store);
	sl_keyring_free(ring);
	sl_tenants_free(tenants);
}

static int
set_up(void **state)
{
	(void)state;
	if (make_directory() != 0)
		return -1;
	sl_arena_init(&arena, 4096, 0);
	open_all();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	close_all();
	sl_arena_release(&arena);
	return remove_directory();
}

/* --- changes, waited for ------------------------------------------------------ */

struct waited {
	struct sl_tenant_change change;
	sem_t                   done;
};

static void
wake(struct sl_tenant_change *change)
{
	sem_post(&SL_CONTAINER(change, struct waited, change)->done);
}

static enum sl_err
await(struct waited *waited)
{
	while (sem_wait(&waited->done) != 0)
		continue;
	sem_destroy(&waited->done);
	return waited->change.err;
}

static struct sl_json
json(const char *text)
{
	return sl_json_parse(sl_slice_str(text));
}

enum act { CREATE, PATCH, REMOVE };

/* SL_EINVAL: refused, see fault. */
static enum sl_err
change(enum act act, enum sl_scope_kind kind, const char *slug, const char *body)
{
	struct waited waited = { .change = { .done = wake, .actor = SL_SLICE("the test") } };
	bool begun;

	sem_init(&waited.done, 0, 0);
	if (act == CREATE)
		begun = sl_tenants_create(tenants, kind, json(body), &arena, &waited.change, NULL,
		                          &fault);
	else if (act == PATCH)
		begun = sl_tenants_patch(tenants, kind, sl_slice_str(slug), json(body), &arena,
		                         &waited.change, &fault);
	else
		begun = sl_tenants_remove(tenants, kind, sl_slice_str(slug), &waited.change, &fault);
	return begun ? await(&waited) : SL_EINVAL;
}

static void
key_done(struct sl_key_change *key_change)
{
	sem_post(key_change->user);
}

static struct sl_key *
make_key(const char *body)
{
	struct sl_key_change key_change = { .done = key_done };
	struct sl_key *key = NULL;
	struct sl_slice secret;
	sem_t done;

	sem_init(&done, 0, 0);
	key_change.user = &done;
	assert_true(sl_keyring_create(ring, json(body), &arena, &key_change, &fault));
	while (sem_wait(&done) != 0)
		continue;
	sem_destroy(&done);
	assert_int_equal(key_change.err, SL_OK);
	assert_true(sl_json_string(sl_json_get(sl_json_parse(sl_buf_slice(&key_change.json)), "key"),
	                           &arena, &secret));
	assert_int_equal(sl_keyring_find(ring, secret, &key, &fault), SL_OK);
	sl_buf_release(&key_change.json);
	return key;
}

static const char *
list(enum sl_scope_kind kind)
{
	struct sl_json_writer w;
	struct sl_buf body;
	const char *text;

	sl_buf_init(&body, 1 << 20);
	sl_json_writer_init(&w, &body);
	sl_tenants_list(tenants, kind, NULL, &w);
	text = sl_arena_strdup(&arena, sl_buf_slice(&body));
	sl_buf_release(&body);
	return text;
}

/* --- the registry --------------------------------------------------------------- */

static void
tenants_live_through_a_restart_until_they_are_removed(void **state)
{
	struct sl_tenant *tenant;

	(void)state;
	assert_int_equal(change(CREATE, SL_SCOPE_TEAM, "", "{\"slug\":\"search\",\"rpm\":7}"), SL_OK);
	assert_int_equal(change(CREATE, SL_SCOPE_TEAM, "", "{\"name\":\"Data Science\"}"), SL_OK);
	assert_int_equal(change(CREATE, SL_SCOPE_WORKSPACE, "", "{\"slug\":\"search\"}"), SL_OK);
	assert_int_equal(change(CREATE, SL_SCOPE_TEAM, "", "{\"slug\":\"search\"}"), SL_EEXIST);
	assert_int_equal(change(CREATE, SL_SCOPE_TEAM, "", "{\"rpm\":1}"), SL_EINVAL);
	assert_true(sl_slice_is(fault.param, "slug"));
	assert_int_equal(change(PATCH, SL_SCOPE_TEAM, "search", "{\"tpm\":9}"), SL_OK);
	assert_int_equal(change(PATCH, SL_SCOPE_TEAM, "nobody", "{\"tpm\":9}"), SL_EINVAL);
	assert_int_equal(fault.kind, SL_FAULT_NOT_FOUND);
	assert_int_equal(change(PATCH, SL_SCOPE_TEAM, "search", "{\"tmp\":9}"), SL_EINVAL);
	assert_int_equal(change(REMOVE, SL_SCOPE_TEAM, "Data Science", ""), SL_OK);
	assert_int_equal(change(REMOVE, SL_SCOPE_TEAM, "Data Science", ""), SL_EINVAL);
	close_all();
	open_all();
	assert_null(sl_tenants_find(tenants, SL_SCOPE_TEAM, SL_SLICE("Data Science")));
	tenant = sl_tenants_find(tenants, SL_SCOPE_TEAM, SL_SLICE("search"));
	assert_non_null(tenant);
	assert_int_equal(sl_tenant_policy(tenant)->limits.rpm, 7);
	assert_int_equal(sl_tenant_policy(tenant)->limits.tpm, 9);
	sl_tenant_unref(tenant);
	assert_non_null(strstr(list(SL_SCOPE_TEAM), "[{\"id\":\"search\",\"slug\":\"search\","));
	assert_null(strstr(list(SL_SCOPE_TEAM), "},{"));
}

static void
the_configuration_makes_what_is_missing(void **state)
{
	struct sl_config_workspace config[] = {
		{ .slug = SL_SLICE_INIT("acme"), .stack = SL_SLICE_INIT("default"), .prepaid = true,
		  .minimum_balance_nanousd = 1000000000 },
		{ .slug = SL_SLICE_INIT("other") },
	};
	struct sl_tenant *tenant;

	(void)state;
	sl_tenants_seed(tenants, config, 2);
	/* Behind the seeds, which the store does in order. */
	assert_int_equal(change(CREATE, SL_SCOPE_WORKSPACE, "", "{\"slug\":\"acme\"}"), SL_EEXIST);
	assert_int_equal(change(PATCH, SL_SCOPE_WORKSPACE, "acme", "{\"minimum_balance_usd\":5}"),
	                 SL_OK);
	sl_tenants_seed(tenants, config, 2);
	assert_int_equal(change(PATCH, SL_SCOPE_WORKSPACE, "other", "{\"rpm\":5}"), SL_OK);
	tenant = sl_tenants_find(tenants, SL_SCOPE_WORKSPACE, SL_SLICE("acme"));
	assert_true(sl_tenant_policy(tenant)->limits.money.prepaid);
	assert_true(sl_slice_is(sl_tenant_policy(tenant)->stack, "default"));
	assert_int_equal(sl_tenant_policy(tenant)->limits.money.minimum_balance, 5000000000);
	sl_tenant_unref(tenant);
}

static void
patches_that_come_together_lose_nothing(void **state)
{
	enum { COUNT = 30 };
	struct waited waited[COUNT];
	struct sl_tenant *tenant;

	(void)state;
	assert_int_equal(change(CREATE, SL_SCOPE_TEAM, "", "{\"slug\":\"t\"}"), SL_OK);
	for (int i = 0; i < COUNT; i++) {
		static const char *const bodies[] = { "{\"rpm\":5}", "{\"tpm\":6}",
			                              "{\"concurrency\":7}" };

		waited[i] = (struct waited){ .change = { .done = wake } };
		sem_init(&waited[i].done, 0, 0);
		assert_true(sl_tenants_patch(tenants, SL_SCOPE_TEAM, SL_SLICE("t"), json(bodies[i % 3]),
		                             &arena, &waited[i].change, &fault));
	}
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(await(&waited[i]), SL_OK);
	tenant = sl_tenants_find(tenants, SL_SCOPE_TEAM, SL_SLICE("t"));
	assert_int_equal(sl_tenant_policy(tenant)->limits.rpm, 5);
	assert_int_equal(sl_tenant_policy(tenant)->limits.tpm, 6);
	assert_int_equal(sl_tenant_policy(tenant)->limits.concurrency, 7);
	sl_tenant_unref(tenant);
}

/* --- the audit log ----------------------------------------------------------------- */

static void
verify(struct sl_audit_check *check)
{
	const struct sl_store_ops *ops;
	const char *reason;
	void *conn;

	assert_int_equal(sl_store_open_reader(sl_slice_str(url), &ops, &conn, &reason), SL_OK);
	assert_int_equal(sl_audit_verify(ops, conn, check), SL_OK);
	ops->close(conn);
}

static void
tamper(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_close(db);
}

static void
every_change_is_audited_and_the_first_bad_row_is_named(void **state)
{
	struct sl_audit_check check;
	sqlite3 *db;

	(void)state;
	assert_int_equal(change(CREATE, SL_SCOPE_TEAM, "", "{\"slug\":\"a\",\"rpm\":1}"), SL_OK);
	assert_int_equal(change(PATCH, SL_SCOPE_TEAM, "a", "{\"rpm\":2}"), SL_OK);
	assert_int_equal(change(CREATE, SL_SCOPE_TEAM, "", "{\"slug\":\"a\"}"), SL_EEXIST);
	assert_int_equal(change(REMOVE, SL_SCOPE_TEAM, "a", ""), SL_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(change(CREATE, SL_SCOPE_TEAM, "",
		                        i == 0   ? "{\"slug\":\"x\"}"
		                        : i == 1 ? "{\"slug\":\"y\"}"
		                                 : "{\"slug\":\"z\"}"), SL_OK);
	verify(&check);
	assert_null(check.why);
	assert_int_equal(check.rows, 6);
	/* The table itself refuses. */
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_not_equal(sqlite3_exec(db, "UPDATE audit SET actor = 'x'", NULL, NULL, NULL),
	                     SQLITE_OK);
	assert_int_not_equal(sqlite3_exec(db, "DELETE FROM audit", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	tamper("DROP TRIGGER audit_frozen; UPDATE audit SET after_json ="
	       " replace(after_json, '\"rpm\":2', '\"rpm\":3') WHERE id = 2");
	verify(&check);
	assert_int_equal(check.bad_id, 2);
	tamper("UPDATE audit SET after_json = replace(after_json, '\"rpm\":3', '\"rpm\":2')"
	       " WHERE id = 2");
	verify(&check);
	assert_null(check.why);
	tamper("DROP TRIGGER audit_kept; DELETE FROM audit WHERE id = 4");
	verify(&check);
	assert_int_equal(check.bad_id, 5);
	assert_non_null(check.why);
}

/* --- limits ------------------------------------------------------------------------ */

static bool
begin(struct sl_tenancy *tenancy, struct sl_key *key, const char *end_user, int64_t tokens,
      uint64_t now_ms)
{
	sl_tenancy_open(tenancy, tenants, key);
	if (sl_tenancy_admit(tenancy, now_ms, 0, &arena, &left, &fault) &&
	    sl_tenancy_take_tokens(tenancy, sl_slice_str(end_user), tokens, now_ms, &arena, &left,
	                           &fault))
		return true;
	sl_tenancy_close(tenancy);
	return false;
}

/* One request from begin to end. */
static bool
ask(struct sl_key *key, const char *end_user, int64_t tokens, uint64_t now_ms)
{
	struct sl_tenancy tenancy;
	bool admitted = begin(&tenancy, key, end_user, tokens, now_ms);

	if (admitted)
		sl_tenancy_close(&tenancy);
	return admitted;
}

static void
says(const char *kind, const char *message)
{
	assert_string_equal(fault.limit_kind, kind);
	if (!sl_slice_is(fault.message, message))
		fail_msg("%.*s", SL_ARG(fault.message));
}

static void
the_tightest_level_holds_and_refusals_consume_nothing(void **state)
{
	struct sl_key *one, *two;

	(void)state;
	change(CREATE, SL_SCOPE_WORKSPACE, "", "{\"slug\":\"acme\",\"rpm\":6}");
	change(CREATE, SL_SCOPE_TEAM, "", "{\"slug\":\"search\",\"rpm\":4,\"workspace\":\"acme\"}");
	one = make_key("{\"team\":\"search\",\"rpm\":3}");
	two = make_key("{\"team\":\"search\",\"rpm\":30}");
	for (int i = 0; i < 3; i++)
		assert_true(ask(one, "", 0, 1000));
	assert_int_equal(left.requests.limit, 3);
	assert_int_equal(left.requests.remaining, 0);
	assert_false(ask(one, "", 0, 2000));
	assert_string_equal(fault.limit_kind, "rpm");
	/* What the key refused did not count for the team: one is left. */
	assert_true(ask(two, "", 0, 2000));
	assert_false(ask(two, "", 0, 3000));
	says("team_rpm", "Team search exceeded its 4 req/min limit.");
	assert_int_equal(fault.retry_after_s, 58);
	/* The next request sees the change. */
	assert_int_equal(change(PATCH, SL_SCOPE_TEAM, "search", "{\"rpm\":null}"), SL_OK);
	assert_true(ask(two, "", 0, 4000));
	assert_true(ask(two, "", 0, 4000));
	assert_false(ask(two, "", 0, 4000));
	says("workspace_rpm", "Workspace acme exceeded its 6 req/min limit.");
	/* The team's three were forgotten by no one. */
	assert_int_equal(change(PATCH, SL_SCOPE_WORKSPACE, "acme", "{\"rpm\":0}"), SL_OK);
	assert_int_equal(change(PATCH, SL_SCOPE_TEAM, "search", "{\"rpm\":4}"), SL_OK);
	assert_false(ask(two, "", 0, 4000));
	assert_true(ask(two, "", 0, 61000));
	sl_key_unref(one);
	sl_key_unref(two);
}

static void
tokens_count_by_estimate_and_then_by_truth(void **state)
{
	struct sl_key *key = make_key("{\"tpm\":1000,\"team\":\"t\",\"rpm\":100}");
	struct sl_tenancy tenancy;

	(void)state;
	change(CREATE, SL_SCOPE_TEAM, "", "{\"slug\":\"t\",\"tpm\":1500}");
	assert_true(begin(&tenancy, key, "", 400, 1000));
	assert_int_equal(left.tokens.limit, 1000);
	assert_int_equal(left.tokens.remaining, 600);
	assert_false(ask(key, "", 601, 1000));
	assert_string_equal(fault.limit_kind, "tpm");
	assert_int_equal(fault.retry_after_s, 60);
	/* Refused for its tokens, it is not counted as a request either. */
	assert_int_equal(left.requests.remaining, 99);
	sl_tenancy_correct(&tenancy, 100, 5000);
	sl_tenancy_close(&tenancy);
	assert_true(begin(&tenancy, key, "", 900, 6000));
	assert_int_equal(left.tokens.remaining, 0);
	/* It became more than it said: over the limit, and waited for. */
	sl_tenancy_correct(&tenancy, 1300, 7000);
	sl_tenancy_close(&tenancy);
	assert_false(ask(key, "", 1, 61000));
	assert_false(ask(key, "", 601, 66000));
	assert_true(ask(key, "", 600, 66000));
	assert_false(ask(key, "", 5000, 200000));
	assert_non_null(strstr(sl_arena_strdup(&arena, fault.message), "This request alone"));
	sl_key_unref(key);
}

static void
what_was_refused_later_is_given_back(void **state)
{
	struct sl_key *key = make_key("{\"tpm\":100,\"rpm\":1,\"concurrency\":1,\"end_user_rpm\":1}");
	struct sl_tenancy tenancy;

	(void)state;
	for (uint64_t now_ms = 0; now_ms < 20; now_ms++) {
		assert_true(begin(&tenancy, key, "bob", 100, now_ms));
		assert_false(ask(key, "bob", 1, now_ms));
		assert_int_equal(fault.kind, SL_FAULT_CONCURRENCY);
		sl_tenancy_undo(&tenancy, now_ms);
		sl_tenancy_close(&tenancy);
	}
	assert_true(ask(key, "bob", 100, 20));
	assert_false(ask(key, "bob", 1, 20));
	sl_key_unref(key);
}

static void
each_end_user_has_a_share_of_its_own(void **state)
{
	char label[201];
	struct sl_key *key;
	struct sl_scopes scopes;
	struct sl_tenancy tenancy;

	(void)state;
	memset(label, 'x', 200);
	label[200] = '\0';
	change(CREATE, SL_SCOPE_TEAM, "", "{\"slug\":\"t\",\"end_user_rpm\":2}");
	key = make_key("{\"team\":\"t\",\"rpm\":100}");
	assert_true(ask(key, "bob", 0, 0) && ask(key, "bob", 0, 0));
	assert_false(ask(key, "bob", 0, 0));
	says("end_user_rpm", "End user bob exceeded its 2 req/min limit.");
	assert_true(ask(key, "eve", 0, 0) && ask(key, "", 0, 0) && ask(key, label, 0, 0));
	/* The refused ones cost the key nothing. */
	assert_int_equal(left.requests.limit, 2);
	assert_true(begin(&tenancy, key, label, 0, 0));
	sl_scopes_of_tenancy(&tenancy, &scopes);
	assert_int_equal(scopes.count, 2);
	sl_tenancy_close(&tenancy);
	label[199] = 'y';
	assert_true(ask(key, label, 0, 0));
	/* With a budget for each it is an account, and the nearest level decides. */
	change(PATCH, SL_SCOPE_TEAM, "t", "{\"end_user_daily_budget_usd\":1}");
	assert_true(begin(&tenancy, key, "joe", 0, 0));
	sl_scopes_of_tenancy(&tenancy, &scopes);
	assert_int_equal(scopes.count, 3);
	assert_true(sl_slice_is(scopes.scope[2].name, "team/t/joe"));
	assert_int_equal(scopes.scope[2].limits->window[SL_WINDOW_DAY], 1000000000);
	assert_true(sl_scopes_bind(&scopes));
	sl_tenancy_close(&tenancy);
	sl_key_unref(key);
}

static void
lists_of_every_level_hold(void **state)
{
	struct sl_tenancy tenancy;
	struct sl_key *key;

	(void)state;
	change(CREATE, SL_SCOPE_WORKSPACE, "", "{\"slug\":\"w\",\"blocked_providers\":[\"shady\"]}");
	change(CREATE, SL_SCOPE_TEAM, "", "{\"slug\":\"t\",\"models\":[\"gpt*\"],\"workspace\":\"w\"}");
	key = make_key("{\"team\":\"t\",\"blocked_models\":[\"gpt-4\"]}");
	sl_tenancy_open(&tenancy, tenants, key);
	assert_true(sl_slice_is(sl_tenancy_workspace(&tenancy), "w"));
	assert_true(sl_tenancy_allows(&tenancy, SL_SLICE("gpt-5"), SL_SLICE("p"), SL_SLICE("m")));
	assert_false(sl_tenancy_allows(&tenancy, SL_SLICE("o1"), SL_SLICE("p"), SL_SLICE("m")));
	assert_false(sl_tenancy_allows(&tenancy, SL_SLICE("gpt-4"), SL_SLICE("p"), SL_SLICE("m")));
	assert_false(sl_tenancy_allows(&tenancy, SL_SLICE("gpt-5"), SL_SLICE("shady"),
	                               SL_SLICE("m")));
	sl_tenancy_close(&tenancy);
	assert_true(sl_tenancy_allows(&tenancy, SL_SLICE("o1"), SL_SLICE("p"), SL_SLICE("m")));
	sl_key_unref(key);
}

static void
a_disabled_or_expired_level_closes_what_is_below(void **state)
{
	struct sl_tenancy tenancy;
	struct sl_key *key;

	(void)state;
	change(CREATE, SL_SCOPE_WORKSPACE, "", "{\"slug\":\"w\",\"enabled\":false}");
	key = make_key("{\"workspace\":\"w\"}");
	assert_false(ask(key, "", 0, 0));
	assert_int_equal(fault.kind, SL_FAULT_DISABLED);
	change(PATCH, SL_SCOPE_WORKSPACE, "w", "{\"enabled\":true,\"expires_at\":1700000000}");
	sl_tenancy_open(&tenancy, tenants, key);
	assert_true(sl_tenancy_admit(&tenancy, 0, 1699999999999, &arena, &left, &fault));
	sl_tenancy_close(&tenancy);
	sl_tenancy_open(&tenancy, tenants, key);
	assert_false(sl_tenancy_admit(&tenancy, 0, 1700000000000, &arena, &left, &fault));
	assert_int_equal(fault.kind, SL_FAULT_EXPIRED);
	sl_tenancy_close(&tenancy);
	sl_key_unref(key);
}

/* --- threads -------------------------------------------------------------------------- */

enum { THREADS = 4, TRIES = 400 };

struct crowd {
	struct sl_key *key;
	int            admitted;
};

static void *
crowd_in(void *argument)
{
	struct crowd *crowd = argument;
	struct sl_arena own;

	sl_arena_init(&own, 1024, 0);
	for (int i = 0; i < TRIES; i++) {
		struct sl_allowances mine;
		struct sl_tenancy tenancy;
		struct sl_fault why;

		sl_tenancy_open(&tenancy, tenants, crowd->key);
		if (sl_tenancy_admit(&tenancy, 1000, 0, &own, &mine, &why) &&
		    sl_tenancy_take_tokens(&tenancy, SL_SLICE("bob"), 3, 1000, &own, &mine, &why))
			crowd->admitted++;
		sl_tenancy_close(&tenancy);
		sl_arena_release(&own);
	}
	return NULL;
}

/* Every level admits exactly its limit, whichever key or limit is in the way. */
static void
many_threads_pass_exactly_the_limit(void **state)
{
	struct crowd crowds[THREADS] = { 0 };
	pthread_t threads[THREADS];
	int admitted = 0;

	(void)state;
	change(CREATE, SL_SCOPE_WORKSPACE, "", "{\"slug\":\"w\",\"rpm\":500}");
	change(CREATE, SL_SCOPE_TEAM, "", "{\"slug\":\"t\",\"workspace\":\"w\",\"tpm\":1203}");
	for (int i = 0; i < THREADS; i++)
		crowds[i].key = make_key(i % 2 ? "{\"team\":\"t\",\"end_user_rpm\":90}"
		                               : "{\"team\":\"t\",\"concurrency\":9}");
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, crowd_in, &crowds[i]);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		admitted += crowds[i].admitted;
		assert_true(i % 2 == 0 || crowds[i].admitted <= 90);
		sl_key_unref(crowds[i].key);
	}
	assert_int_equal(admitted, 401);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(tenants_live_through_a_restart_until_they_are_removed),
		TEST(the_configuration_makes_what_is_missing),
		TEST(patches_that_come_together_lose_nothing),
		TEST(every_change_is_audited_and_the_first_bad_row_is_named),
		TEST(the_tightest_level_holds_and_refusals_consume_nothing),
		TEST(tokens_count_by_estimate_and_then_by_truth),
		TEST(what_was_refused_later_is_given_back),
		TEST(each_end_user_has_a_share_of_its_own),
		TEST(lists_of_every_level_hold),
		TEST(a_disabled_or_expired_level_closes_what_is_below),
		TEST(many_threads_pass_exactly_the_limit),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* keyring_test.c - keys end to end on a real store: made, found, limited, changed,
 * revoked, read back; what is kept of a secret; look-ups against changes from
 * other threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "../store_fixture.h"
#include "base/rand.h"
#include "ledger/keyring.h"
#include "ledger/tenancy.h"

enum { SECRET_LEN = 8 + SL_SECRET_HEX_LEN };


static int
set_up(void **state)
{
	(void)state;
	return make_directory();
}

static int
tear_down(void **state)
{
	(void)state;
	return remove_directory();
}

/* --- changes, waited for ------------------------------------------------------ */

struct waited {
	struct sl_key_change change;
	sem_t                done;
};

static void
wake(struct sl_key_change *change)
{
	sem_post(&SL_CONTAINER(change, struct waited, change)->done);
}

static void
prepare(struct waited *waited)
{
	*waited = (struct waited){ .change = { .done = wake } };
	sem_init(&waited->done, 0, 0);
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

struct made {
	char secret[SECRET_LEN + 32], id[KEY_ID_LEN + 1];
};

static struct made
make_key(struct sl_keyring *ring, const char *body)
{
	struct made made = { 0 };
	struct sl_fault fault;
	struct sl_arena arena;
	struct waited waited;
	struct sl_slice text;

	sl_arena_init(&arena, 1024, 0);
	prepare(&waited);
	if (!sl_keyring_create(ring, json(body), &arena, &waited.change, &fault))
		fail_msg("%.*s", SL_ARG(fault.message));
	assert_int_equal(await(&waited), SL_OK);
	assert_true(sl_json_string(
	    sl_json_get(sl_json_parse(sl_buf_slice(&waited.change.json)), "key"), &arena, &text));
	memcpy(made.secret, text.ptr, text.len);
	assert_true(sl_json_string(
	    sl_json_get(sl_json_parse(sl_buf_slice(&waited.change.json)), "id"), &arena, &text));
	memcpy(made.id, text.ptr, text.len);
	sl_buf_release(&waited.change.json);
	sl_arena_release(&arena);
	return made;
}

static enum sl_err
patch_key(struct sl_keyring *ring, const char *id, const char *body)
{
	struct sl_fault fault;
	struct sl_arena arena;
	struct waited waited;
	enum sl_err err = SL_EINVAL;

	sl_arena_init(&arena, 1024, 0);
	prepare(&waited);
	if (sl_keyring_patch(ring, sl_slice_str(id), json(body), &arena, &waited.change, &fault)) {
		err = await(&waited);
		sl_buf_release(&waited.change.json);
	}
	sl_arena_release(&arena);
	return err;
}

static enum sl_err
revoke_key(struct sl_keyring *ring, const char *id)
{
	struct sl_fault fault;
	struct waited waited;
	enum sl_err err = SL_ENOTFOUND;

	prepare(&waited);
	if (sl_keyring_revoke(ring, sl_slice_str(id), &waited.change, &fault)) {
		err = await(&waited);
		sl_buf_release(&waited.change.json);
	}
	return err;
}

static enum sl_fault_kind
look_up(struct sl_keyring *ring, const char *secret)
{
	struct sl_fault fault;
	struct sl_key *key;

	sl_keyring_find(ring, sl_slice_str(secret), &key, &fault);
	sl_key_unref(key);
	return fault.kind;
}

/* One request of a key alone, which has no references to give back. */
static bool
admit(struct sl_key *key, uint64_t now_mono_ms, int64_t now_wall_ms, struct sl_arena *arena,
      struct sl_allowance *requests, struct sl_fault *fault)
{
	struct sl_tenancy tenancy;
	struct sl_allowances left;
	bool admitted;

	sl_tenancy_open(&tenancy, NULL, key);
	admitted = sl_tenancy_admit(&tenancy, now_mono_ms, now_wall_ms, arena, &left, fault);
	*requests = left.requests;
	return admitted;
}

static void
leave(struct sl_key *key)
{
	atomic_fetch_sub(&sl_key_meter(key)->in_flight, 1);
}

/* --- tests --------------------------------------------------------------------- */

static void
a_key_lives_through_a_restart_until_it_is_revoked(void **state)
{
	struct sl_keyring *ring = sl_keyring_new();
	struct sl_store *store = open_store();
	struct made made, other;
	struct sl_tenancy tenancy;
	struct sl_fault fault;
	struct sl_key *key;

	(void)state;
	assert_int_equal(sl_keyring_load(ring, store), SL_OK);
	made = make_key(ring, "{\"name\":\"a\",\"team\":\"search\",\"models\":[\"gpt-4o*\"],"
	                      "\"rpm\":7}");
	other = make_key(ring, "{}");
	assert_memory_equal(made.secret, "gw_virt_", 8);
	assert_memory_equal(made.id, "vk_", 3);
	assert_int_equal(strlen(made.id), KEY_ID_LEN);
	assert_int_equal(patch_key(ring, made.id, "{\"rpm\":9}"), SL_OK);
	assert_int_equal(revoke_key(ring, other.id), SL_OK);
	assert_int_equal(look_up(ring, other.secret), SL_FAULT_AUTH);
	assert_int_equal(revoke_key(ring, other.id), SL_ENOTFOUND);
	sl_store_free(store);
	sl_keyring_free(ring);

	ring = sl_keyring_new();
	store = open_store();
	assert_int_equal(sl_keyring_load(ring, store), SL_OK);
	assert_int_equal(sl_keyring_count(ring), 1);
	assert_int_equal(look_up(ring, other.secret), SL_FAULT_AUTH);
	assert_int_equal(sl_keyring_find(ring, sl_slice_str(made.secret), &key, &fault), SL_OK);
	assert_true(sl_slice_is(sl_key_id(key), made.id));
	assert_int_equal(sl_key_policy(key)->limits.rpm, 9);
	assert_true(sl_slice_is(sl_key_policy(key)->team, "search"));
	sl_tenancy_open(&tenancy, NULL, key);
	assert_true(sl_tenancy_allows(&tenancy, SL_SLICE("gpt-4o-mini"), SL_SLICE_NONE,
	                              SL_SLICE_NONE));
	assert_false(sl_tenancy_allows(&tenancy, SL_SLICE("gpt-4.1"), SL_SLICE_NONE,
	                               SL_SLICE_NONE));
	sl_tenancy_close(&tenancy);
	sl_key_unref(key);
	sl_store_free(store);
	sl_keyring_free(ring);
}

static void
the_121st_request_of_a_minute_is_refused_as_the_contract_writes_it(void **state)
{
	struct sl_keyring *ring = sl_keyring_new();
	struct made made = make_key(ring, "{\"rpm\":120}");
	struct sl_allowance allowance;
	struct sl_fault fault;
	struct sl_arena arena;
	struct sl_key *key;
	char message[128];

	(void)state;
	sl_arena_init(&arena, 1024, 0);
	assert_int_equal(sl_keyring_find(ring, sl_slice_str(made.secret), &key, &fault), SL_OK);
	for (int i = 0; i < 120; i++) {
		assert_true(admit(key, 5000, 0, &arena, &allowance, &fault));
		assert_int_equal(allowance.limit, 120);
		assert_int_equal(allowance.remaining, 119 - i);
		leave(key);
	}
	assert_false(admit(key, 53001, 0, &arena, &allowance, &fault));
	assert_int_equal(fault.kind, SL_FAULT_RPM);
	assert_string_equal(fault.limit_kind, "rpm");
	assert_int_equal(fault.retry_after_s, 12);
	snprintf(message, sizeof(message), "Key %s exceeded its 120 req/min limit.", made.id);
	assert_true(sl_slice_is(fault.message, message));
	assert_int_equal(allowance.remaining, 0);
	/* What it says is true: not a second earlier, but then. */
	assert_false(admit(key, 53001 + 11000, 0, &arena, &allowance, &fault));
	assert_true(admit(key, 53001 + 12000, 0, &arena, &allowance, &fault));
	leave(key);
	sl_key_unref(key);
	sl_keyring_free(ring);
	sl_arena_release(&arena);
}

static void
changes_take_effect_on_the_next_request(void **state)
{
	struct sl_keyring *ring = sl_keyring_new();
	struct made made = make_key(ring, "{\"rpm\":5}");
	struct sl_allowance allowance;
	struct sl_fault fault;
	struct sl_arena arena;
	struct sl_key *before, *key;
	const int64_t at = 1700000000000;

	(void)state;
	sl_arena_init(&arena, 1024, 0);
	sl_keyring_find(ring, sl_slice_str(made.secret), &before, &fault);
	for (int i = 0; i < 5; i++)
		assert_true(admit(before, 0, at, &arena, &allowance, &fault));
	assert_int_equal(patch_key(ring, made.id, "{\"rpm\":6,\"concurrency\":5}"), SL_OK);
	sl_keyring_find(ring, sl_slice_str(made.secret), &key, &fault);
	/* Five are still in flight, under the policy they began with. */
	assert_false(admit(key, 0, at, &arena, &allowance, &fault));
	assert_int_equal(fault.kind, SL_FAULT_CONCURRENCY);
	leave(before);
	assert_true(admit(key, 0, at, &arena, &allowance, &fault));
	assert_int_equal(allowance.remaining, 0);
	for (int i = 0; i < 5; i++)
		leave(before);
	assert_false(admit(key, 0, at, &arena, &allowance, &fault));
	assert_int_equal(fault.kind, SL_FAULT_RPM);
	sl_key_unref(before);
	sl_key_unref(key);

	assert_int_equal(patch_key(ring, made.id, "{\"rpm\":null,\"expires_at\":1700000001}"),
	                 SL_OK);
	sl_keyring_find(ring, sl_slice_str(made.secret), &key, &fault);
	assert_true(admit(key, 0, at + 999, &arena, &allowance, &fault));
	assert_int_equal(allowance.limit, 0);
	leave(key);
	assert_false(admit(key, 0, at + 1000, &arena, &allowance, &fault));
	assert_int_equal(fault.kind, SL_FAULT_EXPIRED);
	sl_key_unref(key);

	assert_int_equal(patch_key(ring, made.id, "{\"expires_at\":null,\"is_active\":false}"),
	                 SL_OK);
	sl_keyring_find(ring, sl_slice_str(made.secret), &key, &fault);
	assert_false(admit(key, 0, at, &arena, &allowance, &fault));
	assert_int_equal(fault.kind, SL_FAULT_DISABLED);
	sl_key_unref(key);
	sl_keyring_free(ring);
	sl_arena_release(&arena);
}

static void
a_hundred_thousand_wrong_keys_open_nothing(void **state)
{
	struct sl_keyring *ring = sl_keyring_new();
	struct made made = make_key(ring, "{}");
	char guess[SECRET_LEN + 1];
	unsigned char random[SL_SECRET_HEX_LEN / 2];

	(void)state;
	for (int i = 0; i < 100000; i++) {
		memcpy(guess, "gw_virt_", 8);
		sl_rand_bytes(random, sizeof(random));
		sl_hex_encode(random, sizeof(random), guess + 8);
		guess[SECRET_LEN] = '\0';
		assert_int_equal(look_up(ring, guess), SL_FAULT_AUTH);
	}
	/* The right one with one digit changed, at every place. */
	for (size_t i = 8; i < SECRET_LEN; i++) {
		memcpy(guess, made.secret, sizeof(guess));
		guess[i] = guess[i] == '0' ? '1' : '0';
		assert_int_equal(look_up(ring, guess), SL_FAULT_AUTH);
	}
	assert_int_equal(look_up(ring, made.secret), SL_FAULT_NONE);
	sl_keyring_free(ring);
}

static void
malformed_secrets_are_refused_by_shape(void **state)
{
	static const char *const wrong[] = {
		"x", "gw_virt_", "gw_virt_0123", "Bearer gw_virt_0123",
		"' OR 1=1 --", "gw_virt_' UNION SELECT id FROM keys --",
		"gw_virt_zz23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"gw_virt_0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
		"gw_real_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"gw_virt_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0",
	};
	struct sl_keyring *ring = sl_keyring_new();
	struct sl_fault fault;
	struct sl_key *key;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_false(sl_secret_shaped(sl_slice_str(wrong[i])));
		assert_int_equal(look_up(ring, wrong[i]), SL_FAULT_AUTH);
	}
	sl_keyring_find(ring, SL_SLICE_NONE, &key, &fault);
	assert_int_equal(fault.kind, SL_FAULT_AUTH_MISSING);
	sl_keyring_free(ring);
}

static void
every_surface_has_its_own_prefix(void **state)
{
	static const char *const surfaces[][2] = {
#define SL_SURFACE(id, prefix) { #id, prefix },
#include "model/surfaces.def"
	};
	struct sl_keyring *ring = sl_keyring_new();

	(void)state;
	for (size_t i = 0; i < sizeof(surfaces) / sizeof(surfaces[0]); i++) {
		char body[64];
		struct made made;

		snprintf(body, sizeof(body), "{\"surface\":\"%s\"}", surfaces[i][0]);
		made = make_key(ring, body);
		assert_memory_equal(made.secret, surfaces[i][1], strlen(surfaces[i][1]));
		assert_true(sl_secret_intact(sl_slice_str(made.secret)));
		assert_int_equal(look_up(ring, made.secret), SL_FAULT_NONE);
	}
	sl_keyring_free(ring);
}

/* --- what the store knows ---------------------------------------------------- */

struct forgery {
	struct sl_store_job job;
	struct sl_key_row   row;
};

static void
run_forgery(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	job->err = ops->key_put(conn, &SL_CONTAINER(job, struct forgery, job)->row);
}

static void
who_can_only_write_the_database_cannot_make_a_key(void **state)
{
	struct forgery forgery = { .job = { .run = run_forgery } };
	struct sl_keyring *ring = sl_keyring_new();
	struct sl_store *store = open_store();
	char secret[SECRET_LEN + 1];
	unsigned int size;

	(void)state;
	sl_secret_mint("gw_virt_", secret);
	forgery.row = (struct sl_key_row){ .id = SL_SLICE("vk_01HZX0000000000000000000AA"),
		                           .policy_json = SL_SLICE("{}"),
		                           .created_wall_ms = 1 };
	EVP_Digest(secret, SECRET_LEN, forgery.row.digest, &size, EVP_sha256(), NULL);
	assert_int_equal(sl_store_run(store, &forgery.job), SL_OK);
	assert_int_equal(sl_keyring_load(ring, store), SL_OK);
	assert_int_equal(sl_keyring_count(ring), 1);
	assert_int_equal(look_up(ring, secret), SL_FAULT_AUTH);
	sl_store_free(store);
	sl_keyring_free(ring);
}

static bool
file_holds(const char *name, const void *bytes, size_t size)
{
	static char content[4 << 20];
	FILE *file = fopen(name, "rb");
	size_t len;

	if (!file)
		return false;
	len = fread(content, 1, sizeof(content), file);
	fclose(file);
	return memmem(content, len, bytes, size) != NULL;
}

static void
neither_secret_nor_plain_digest_reaches_the_disk(void **state)
{
	struct sl_keyring *ring = sl_keyring_new();
	struct sl_store *store = open_store();
	unsigned char digest[32];
	char wal[128], hex[64];
	unsigned int size;
	struct sl_buf master;
	struct made made;

	(void)state;
	sl_buf_init(&master, 256);
	snprintf(wal, sizeof(wal), "%s-wal", path);
	assert_int_equal(sl_keyring_load(ring, store), SL_OK);
	made = make_key(ring, "{\"name\":\"a-name-to-find\"}");
	assert_int_equal(sl_keyring_set_master(ring, store, SL_SLICE_NONE, &master), SL_OK);
	assert_true(file_holds(wal, "a-name-to-find", 14) ||
	            file_holds(path, "a-name-to-find", 14));
	EVP_Digest(made.secret, strlen(made.secret), digest, &size, EVP_sha256(), NULL);
	sl_hex_encode(digest, 32, hex);
	for (int i = 0; i < 2; i++) {
		const char *name = i ? path : wal;

		assert_false(file_holds(name, made.secret, strlen(made.secret)));
		assert_false(file_holds(name, made.secret + 16, 32));
		assert_false(file_holds(name, digest, sizeof(digest)));
		assert_false(file_holds(name, hex, sizeof(hex)));
		assert_false(file_holds(name, master.ptr, master.len));
		assert_false(file_holds(name, master.ptr + 20, 32));
	}
	sl_buf_release(&master);
	sl_store_free(store);
	sl_keyring_free(ring);
}

static void
the_master_key_is_made_once_and_a_configured_one_rules(void **state)
{
	struct sl_keyring *ring = sl_keyring_new();
	struct sl_store *store = open_store();
	struct sl_buf first, again;
	struct made made;

	(void)state;
	sl_buf_init(&first, 256);
	sl_buf_init(&again, 256);
	assert_int_equal(sl_keyring_load(ring, store), SL_OK);
	assert_false(sl_keyring_is_master(ring, SL_SLICE("")));
	assert_int_equal(sl_keyring_set_master(ring, store, SL_SLICE_NONE, &first), SL_OK);
	assert_true(sl_slice_starts(sl_buf_slice(&first), SL_SLICE("sk-master-")));
	assert_true(sl_keyring_is_master(ring, sl_buf_slice(&first)));
	made = make_key(ring, "{}");
	assert_false(sl_keyring_is_master(ring, sl_slice_str(made.secret)));
	assert_int_equal(sl_buf_append_char(&first, '\0'), SL_OK);
	assert_int_equal(look_up(ring, first.ptr), SL_FAULT_AUTH);
	first.len--;
	sl_store_free(store);
	sl_keyring_free(ring);

	ring = sl_keyring_new();
	store = open_store();
	assert_int_equal(sl_keyring_load(ring, store), SL_OK);
	assert_int_equal(sl_keyring_set_master(ring, store, SL_SLICE_NONE, &again), SL_OK);
	assert_int_equal(again.len, 0);
	assert_true(sl_keyring_is_master(ring, sl_buf_slice(&first)));
	assert_int_equal(sl_keyring_set_master(ring, store, SL_SLICE("chosen"), &again), SL_OK);
	assert_true(sl_keyring_is_master(ring, SL_SLICE("chosen")));
	assert_false(sl_keyring_is_master(ring, SL_SLICE("chosen ")));
	assert_false(sl_keyring_is_master(ring, sl_buf_slice(&first)));
	sl_buf_release(&first);
	sl_buf_release(&again);
	sl_store_free(store);
	sl_keyring_free(ring);
}

static void
the_first_key_works_and_is_kept(void **state)
{
	struct sl_keyring *ring = sl_keyring_new();
	struct sl_store *store = open_store();
	struct sl_buf secret;

	(void)state;
	sl_buf_init(&secret, 256);
	assert_int_equal(sl_keyring_load(ring, store), SL_OK);
	assert_int_equal(sl_keyring_create_first(ring, SL_SLICE("first"), &secret), SL_OK);
	sl_store_free(store);
	sl_keyring_free(ring);
	ring = sl_keyring_new();
	store = open_store();
	assert_int_equal(sl_keyring_load(ring, store), SL_OK);
	assert_int_equal(sl_buf_append_char(&secret, '\0'), SL_OK);
	assert_int_equal(look_up(ring, secret.ptr), SL_FAULT_NONE);
	sl_buf_release(&secret);
	sl_store_free(store);
	sl_keyring_free(ring);
}

static void
limit_files(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static enum sl_err
try_to_create(struct sl_keyring *ring)
{
	struct sl_fault fault;
	struct sl_arena arena;
	struct waited waited;
	enum sl_err err;

	sl_arena_init(&arena, 1024, 0);
	prepare(&waited);
	assert_true(sl_keyring_create(ring, json("{}"), &arena, &waited.change, &fault));
	err = await(&waited);
	/* A secret that opens nothing is not handed out. */
	if (err != SL_OK)
		assert_int_equal(waited.change.json.len, 0);
	sl_buf_release(&waited.change.json);
	sl_arena_release(&arena);
	return err;
}

static void
a_store_that_refuses_writes_changes_nothing_in_memory(void **state)
{
	struct sl_keyring *ring = sl_keyring_new();
	struct sl_store *store = open_store();
	struct sl_fault fault;
	struct sl_key *key;
	struct made made;

	(void)state;
	assert_int_equal(sl_keyring_load(ring, store), SL_OK);
	made = make_key(ring, "{\"rpm\":5}");
	signal(SIGXFSZ, SIG_IGN);
	limit_files(1);
	assert_int_not_equal(try_to_create(ring), SL_OK);
	assert_int_not_equal(patch_key(ring, made.id, "{\"rpm\":9}"), SL_OK);
	assert_int_not_equal(revoke_key(ring, made.id), SL_OK);
	assert_int_equal(sl_keyring_count(ring), 1);
	assert_int_equal(sl_keyring_find(ring, sl_slice_str(made.secret), &key, &fault), SL_OK);
	assert_int_equal(sl_key_policy(key)->limits.rpm, 5);
	sl_key_unref(key);
	limit_files(RLIM_INFINITY);
	signal(SIGXFSZ, SIG_DFL);
	/* And all of it works again without a restart. */
	assert_int_equal(try_to_create(ring), SL_OK);
	assert_int_equal(patch_key(ring, made.id, "{\"rpm\":9}"), SL_OK);
	assert_int_equal(revoke_key(ring, made.id), SL_OK);
	assert_int_equal(sl_keyring_count(ring), 1);
	sl_store_free(store);
	sl_keyring_free(ring);
}

/* --- threads -------------------------------------------------------------------- */

enum { READERS = 3, ROUNDS = 40 };

struct contest {
	struct sl_keyring *ring;
	char               secret[SECRET_LEN + 32];
	atomic_bool        revoked, stop;
	atomic_uint        admitted, found_late;
};

static void *
read_keys(void *argument)
{
	struct contest *contest = argument;
	struct sl_arena arena;

	sl_arena_init(&arena, 1024, 0);
	while (!atomic_load(&contest->stop)) {
		bool revoked = atomic_load(&contest->revoked);
		struct sl_allowance allowance;
		struct sl_fault fault;
		struct sl_key *key;

		if (sl_keyring_find(contest->ring, sl_slice_str(contest->secret), &key, &fault) !=
		    SL_OK)
			continue;
		if (revoked)
			atomic_fetch_add(&contest->found_late, 1);
		if (admit(key, 1, 1, &arena, &allowance, &fault)) {
			atomic_fetch_add(&contest->admitted, 1);
			leave(key);
		}
		sl_key_unref(key);
		sl_arena_release(&arena);
	}
	return NULL;
}

static void
look_ups_and_changes_do_not_disturb_each_other(void **state)
{
	struct contest contest = { .ring = sl_keyring_new() };
	struct sl_store *store = open_store();
	pthread_t readers[READERS];
	struct made made, other;

	(void)state;
	assert_int_equal(sl_keyring_load(contest.ring, store), SL_OK);
	made = make_key(contest.ring, "{\"rpm\":500,\"concurrency\":100}");
	memcpy(contest.secret, made.secret, sizeof(contest.secret));
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_keys, &contest), 0);
	while (atomic_load(&contest.admitted) == 0)
		usleep(1000);
	for (int i = 0; i < ROUNDS; i++) {
		char body[64];

		other = make_key(contest.ring, "{\"name\":\"passing\"}");
		snprintf(body, sizeof(body), "{\"rpm\":%d}", i % 2 ? 500 : 400);
		assert_int_equal(patch_key(contest.ring, made.id, body), SL_OK);
		assert_int_equal(revoke_key(contest.ring, other.id), SL_OK);
	}
	assert_int_equal(revoke_key(contest.ring, made.id), SL_OK);
	atomic_store(&contest.revoked, true);
	usleep(20000);
	atomic_store(&contest.stop, true);
	for (int i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	/* All at one moment of a simulated clock: one window. */
	assert_in_range(contest.admitted, 1, 500);
	assert_int_equal(contest.found_late, 0);
	assert_int_equal(sl_keyring_count(contest.ring), 0);
	sl_store_free(store);
	sl_keyring_free(contest.ring);
}

struct patcher {
	struct sl_keyring *ring;
	const char        *id, *body;
};

static void *
patch_often(void *argument)
{
	struct patcher *patcher = argument;

	for (int i = 0; i < 20; i++)
		if (patch_key(patcher->ring, patcher->id, patcher->body) != SL_OK)
			return argument;
	return NULL;
}

static void
patches_that_meet_lose_nothing(void **state)
{
	struct sl_keyring *ring = sl_keyring_new();
	struct sl_store *store = open_store();
	struct sl_fault fault;
	struct sl_key *key;
	struct made made;
	void *failed;

	(void)state;
	assert_int_equal(sl_keyring_load(ring, store), SL_OK);
	made = make_key(ring, "{}");
	{
		struct patcher patchers[] = { { ring, made.id, "{\"rpm\":11}" },
			                      { ring, made.id, "{\"team\":\"t\"}" } };
		pthread_t threads[2];

		for (int i = 0; i < 2; i++)
			pthread_create(&threads[i], NULL, patch_often, &patchers[i]);
		for (int i = 0; i < 2; i++) {
			pthread_join(threads[i], &failed);
			assert_null(failed);
		}
	}
	sl_keyring_find(ring, sl_slice_str(made.secret), &key, &fault);
	assert_int_equal(sl_key_policy(key)->limits.rpm, 11);
	assert_true(sl_slice_is(sl_key_policy(key)->team, "t"));
	sl_key_unref(key);
	sl_store_free(store);
	sl_keyring_free(ring);
}

/* --- cost ------------------------------------------------------------------------ */

/* Processor time of this thread: what others do on the machine counts little. */
static uint64_t
look_up_often(struct sl_keyring *ring, const char *secret)
{
	enum { TIMES = 500 };
	struct timespec begin, end;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	for (int i = 0; i < TIMES; i++)
		look_up(ring, secret);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
	return (uint64_t)((end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec -
	                  begin.tv_nsec) / TIMES;
}

/* A guess that shares all but its last digit with a key costs what one costs that
 * shares nothing. Measured in turns, the best of many; wide bounds. */
static void
look_ups_are_cheap_and_their_time_tells_nothing(void **state)
{
	struct sl_keyring *ring = sl_keyring_new();
	struct made made = make_key(ring, "{}");
	uint64_t best[3] = { UINT64_MAX, UINT64_MAX, UINT64_MAX };
	char near[SECRET_LEN + 1], far[SECRET_LEN + 1];
	const char *const secrets[3] = { made.secret, near, far };

	(void)state;
	memcpy(near, made.secret, sizeof(near));
	near[SECRET_LEN - 1] = near[SECRET_LEN - 1] == '0' ? '1' : '0';
	sl_secret_mint("gw_virt_", far);
	for (int round = 0; round < 60; round++) {
		uint64_t took = look_up_often(ring, secrets[round % 3]);

		if (took < best[round % 3])
			best[round % 3] = took;
	}
	print_message("look-up: hit %d ns, near miss %d ns, far miss %d ns\n", (int)best[0],
	              (int)best[1], (int)best[2]);
	assert_true(best[1] < 2 * best[2] && best[2] < 2 * best[1]);
	assert_true(best[0] < 100000);
	sl_keyring_free(ring);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
		ON_DISK(a_key_lives_through_a_restart_until_it_is_revoked),
		cmocka_unit_test(the_121st_request_of_a_minute_is_refused_as_the_contract_writes_it),
		cmocka_unit_test(changes_take_effect_on_the_next_request),
		cmocka_unit_test(a_hundred_thousand_wrong_keys_open_nothing),
		cmocka_unit_test(malformed_secrets_are_refused_by_shape),
		cmocka_unit_test(every_surface_has_its_own_prefix),
		ON_DISK(who_can_only_write_the_database_cannot_make_a_key),
		ON_DISK(neither_secret_nor_plain_digest_reaches_the_disk),
		ON_DISK(the_master_key_is_made_once_and_a_configured_one_rules),
		ON_DISK(the_first_key_works_and_is_kept),
		ON_DISK(a_store_that_refuses_writes_changes_nothing_in_memory),
		ON_DISK(look_ups_and_changes_do_not_disturb_each_other),
		ON_DISK(patches_that_meet_lose_nothing),
		cmocka_unit_test(look_ups_are_cheap_and_their_time_tells_nothing),
#undef ON_DISK
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* keyring_load.c - what start-up takes out of the store: pepper, keys, master key.
 *
 * All of it runs before the loops and waits for the store. A key that cannot be
 * read stops the start: its holder would get a 401 for a fault that is ours.
 */
#include "ledger/keyring.h"

#include <stdlib.h>

#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/log.h"
#include "ledger/key_policy.h"
#include "store/store.h"

static const char meta_pepper[] = "key_pepper";
static const char meta_master[] = "master_key_digest";

enum { MASTER_SAFE_LEN = 16 }; /* bytes; 64 bits as hexadecimal digits */

/* One synchronous piece of work on the store. */
struct startup {
	struct sl_store_job job;
	struct sl_keyring  *ring;
	struct sl_key      *key;    /* to put */
	struct sl_buf      *secret; /* where a made secret goes */
	enum sl_err         err;    /* of a row */
};

/* A named value of exactly size bytes, kept as hexadecimal digits. */
static enum sl_err
get_bytes(const struct sl_store_ops *ops, void *conn, const char *name, unsigned char *out,
          size_t size)
{
	struct sl_buf text;
	enum sl_err err;

	sl_buf_init(&text, 1024);
	err = ops->meta_get(conn, name, &text);
	if (err == SL_OK && !sl_hex_decode(sl_buf_slice(&text), out, size))
		err = SL_ESYNTAX;
	if (text.cap)
		OPENSSL_cleanse(text.ptr, text.cap);
	sl_buf_release(&text);
	return err;
}

static enum sl_err
put_bytes(const struct sl_store_ops *ops, void *conn, const char *name,
          const unsigned char *bytes, size_t size)
{
	char text[128];
	enum sl_err err;

	sl_hex_encode(bytes, size, text);
	err = ops->meta_put(conn, name, sl_slice_make(text, 2 * size));
	OPENSSL_cleanse(text, sizeof(text));
	return err;
}

static enum sl_err
load_pepper(struct sl_keyring *ring, const struct sl_store_ops *ops, void *conn)
{
	unsigned char pepper[SL_PEPPER_SIZE];
	enum sl_err err = get_bytes(ops, conn, meta_pepper, pepper, sizeof(pepper));

	if (err == SL_ENOTFOUND) {
		sl_rand_bytes(pepper, sizeof(pepper));
		err = put_bytes(ops, conn, meta_pepper, pepper, sizeof(pepper));
	}
	if (err == SL_OK)
		err = sl_keyring_set_pepper(ring, pepper);
	OPENSSL_cleanse(pepper, sizeof(pepper));
	return err;
}

static enum sl_err
load_policy(struct sl_key *key, struct sl_slice json)
{
	struct sl_json_error error;
	struct sl_arena scratch;
	struct sl_fault fault;
	enum sl_err err = sl_json_validate(json, &sl_json_limits_default, &error);

	if (err != SL_OK)
		return err;
	sl_arena_init(&scratch, 1024, 0);
	if (!sl_key_policy_apply(&key->policy, sl_json_parse(json), SL_POLICY_STORED, 0,
	                         &key->arena, &scratch, &fault))
		err = fault.kind == SL_FAULT_UNAVAILABLE ? SL_ENOMEM : SL_ESYNTAX;
	sl_arena_release(&scratch);
	return err;
}

static bool
load_row(void *context, const struct sl_key_row *row)
{
	struct startup *startup = context;
	struct sl_key_account *account;
	struct sl_key *key;

	if (row->revoked_wall_ms)
		return true;
	account = sl_key_account_new(row->id, row->hint, row->digest, row->created_wall_ms);
	key = account ? sl_key_new(account) : NULL;
	if (account)
		sl_key_account_unref(account);
	startup->err = key ? load_policy(key, row->policy_json) : SL_ENOMEM;
	if (startup->err == SL_OK)
		startup->err = sl_keyring_add(startup->ring, key);
	sl_key_unref(key);
	if (startup->err != SL_OK)
		sl_log(SL_LOG_ERROR, "a key in the store cannot be read",
		       SL_LOG_S("key_id", row->id), SL_LOG_Z("error", sl_err_text(startup->err)));
	return startup->err == SL_OK;
}

static void
run_load(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct startup *startup = SL_CONTAINER(job, struct startup, job);

	job->err = load_pepper(startup->ring, ops, conn);
	if (job->err == SL_OK)
		job->err = ops->key_each(conn, load_row, startup);
	if (job->err == SL_OK)
		job->err = startup->err;
}

enum sl_err
sl_keyring_load(struct sl_keyring *ring, struct sl_store *store)
{
	struct startup startup = { .job = { .run = run_load }, .ring = ring };
	enum sl_err err = sl_store_run(store, &startup.job);

	if (err == SL_OK)
		ring->store = store;
	return err;
}

/* --- the first key ----------------------------------------------------------- */

static void
run_put(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct startup *startup = SL_CONTAINER(job, struct startup, job);

	job->err = sl_key_put_row(startup->key, 0, ops, conn);
	if (job->err == SL_OK)
		job->err = sl_key_audit(NULL, startup->key, SL_SLICE("first start"), ops, conn);
}

enum sl_err
sl_keyring_create_first(struct sl_keyring *ring, struct sl_slice name, struct sl_buf *secret)
{
	struct startup startup = { .job = { .run = run_put }, .ring = ring };
	char minted[KEY_SECRET_MAX + 1];
	struct sl_key *key = sl_key_mint(ring, SL_SLICE("gateway"), minted);
	enum sl_err err;

	if (!key)
		return SL_ENOMEM;
	key->policy.name = sl_arena_dup(&key->arena, name);
	startup.key = key;
	err = sl_keyring_add(ring, key);
	if (err == SL_OK && ring->store)
		err = sl_store_run(ring->store, &startup.job);
	if (err == SL_OK)
		err = sl_buf_append_str(secret, minted);
	if (err != SL_OK)
		sl_keyring_remove(ring, key->account);
	OPENSSL_cleanse(minted, sizeof(minted));
	sl_key_unref(key);
	return err;
}

/* --- the master key ------------------------------------------------------------ */

static void
run_master(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct startup *startup = SL_CONTAINER(job, struct startup, job);
	struct sl_keyring *ring = startup->ring;
	char minted[KEY_SECRET_MAX + 1];
	size_t len;

	if (ops) {
		job->err = get_bytes(ops, conn, meta_master, ring->master, SL_DIGEST_SIZE);
		if (job->err != SL_ENOTFOUND)
			return;
	}
	len = sl_secret_mint("sk-master-", minted);
	job->err = SL_ENOMEM;
	if (sl_digest(&ring->digester, sl_slice_make(minted, len), ring->master))
		job->err = ops ? put_bytes(ops, conn, meta_master, ring->master, SL_DIGEST_SIZE)
		               : SL_OK;
	if (job->err == SL_OK)
		job->err = sl_buf_append(startup->secret, sl_slice_make(minted, len));
	OPENSSL_cleanse(minted, sizeof(minted));
}

enum sl_err
sl_keyring_set_master(struct sl_keyring *ring, struct sl_store *store,
                      struct sl_slice configured, struct sl_buf *generated)
{
	struct startup startup = { .job = { .run = run_master }, .ring = ring,
		                   .secret = generated };
	enum sl_err err;

	if (configured.len > SL_SECRET_MAX)
		return SL_ELIMIT;
	if (configured.len && configured.len < MASTER_SAFE_LEN)
		sl_log(SL_LOG_WARN, "the configured master key is short enough to be guessed: use 32 "
		                    "or more random characters", SL_LOG_I("bytes", configured.len));
	if (configured.len)
		err = sl_digest(&ring->digester, configured, ring->master) ? SL_OK : SL_ENOMEM;
	else if (store)
		err = sl_store_run(store, &startup.job);
	else {
		run_master(&startup.job, NULL, NULL);
		err = startup.job.err;
	}
	ring->has_master = err == SL_OK;
	return err;
}

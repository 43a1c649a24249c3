/* keyring.h - inside the keyring: what keyring.c and keyring_change.c share.
 *
 * Locks, in the order in which they may be taken: directory, shard, meter.
 */
#ifndef SL_LEDGER_KEYRING_H
#define SL_LEDGER_KEYRING_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/rand.h"
#include "ledger/digest.h"
#include "ledger/key.h"

enum {
	KEYRING_SHARDS = 16,
	KEYRING_MAX = 1 << 20,               /* keys */
	KEY_ID_LEN = 3 + SL_ULID_LEN,        /* "vk_" and a ULID */
	KEY_HINT_MAX = 24,                   /* longest prefix and a few digits */
	KEY_SECRET_MAX = 24 + SL_SECRET_HEX_LEN,
};

/* Who a key is and what it has used: outlives every change of its policy.
 * shared: atomic. */
struct sl_key_account {
	atomic_uint            refs;
	char                   id[KEY_ID_LEN + 1];
	char                   hint[KEY_HINT_MAX];
	uint8_t                id_len, hint_len;
	unsigned char          digest[SL_DIGEST_SIZE];
	int64_t                created_wall_ms;
	struct sl_key_account *next;    /* in its bucket; guarded by the shard */
	struct sl_key         *current; /* guarded by the shard */
	struct sl_meter        meter;
};

/* One frozen policy of an account. */
struct sl_key {
	atomic_uint            refs;
	struct sl_key_account *account;
	struct sl_arena        arena; /* of the policy */
	struct sl_key_policy   policy;
};

struct sl_keyring_change;
struct sl_store_ops;

struct sl_keyring_shard {
	_Alignas(64) pthread_rwlock_t lock;
	struct sl_key_account **buckets;
	size_t                  bucket_count; /* a power of two */
	size_t                  count;
};

struct sl_keyring {
	struct sl_digester      digester;
	unsigned char           master[SL_DIGEST_SIZE];
	bool                    has_master;
	struct sl_store        *store; /* NULL: kept in memory only */
	struct sl_keyring_shard shards[KEYRING_SHARDS];
	pthread_mutex_t         directory; /* guards by_id */
	struct sl_key_account **by_id;     /* sorted by id, thus by creation; each is
	                                    * held by its current key */
	size_t                  by_id_cap;
	atomic_size_t           count;
	/* Changes that wait for the one at the store to end. */
	pthread_mutex_t           changing; /* guards what follows */
	struct sl_keyring_change *first_change;
	size_t                    change_count;
	bool                      change_runs;
};

/* A new identity with a reference; NULL: out of memory. hint may be empty. */
struct sl_key_account *sl_key_account_new(struct sl_slice id, struct sl_slice hint,
                                          const unsigned char digest[SL_DIGEST_SIZE],
                                          int64_t created_wall_ms);
void sl_key_account_unref(struct sl_key_account *account);
/* A key with an initial policy, which holds a reference of its account. */
struct sl_key *sl_key_new(struct sl_key_account *account);

/* Puts a key with its account into the ring, which keeps a reference of it.
 * SL_EEXIST, SL_ELIMIT (KEYRING_MAX), SL_ENOMEM: nothing was changed. */
enum sl_err sl_keyring_add(struct sl_keyring *ring, struct sl_key *key);
/* Every key, each with a reference, in the order of ids; *keys is the caller's to
 * free. 0 when out of memory. */
size_t sl_keyring_all(struct sl_keyring *ring, struct sl_key ***keys);
/* Makes key its account's policy from the next look-up on. */
void sl_keyring_swap(struct sl_keyring *ring, struct sl_key *key);
void sl_keyring_remove(struct sl_keyring *ring, struct sl_key_account *account);
/* Starts over under another pepper; only while the ring is empty. */
enum sl_err sl_keyring_set_pepper(struct sl_keyring *ring,
                                  const unsigned char pepper[SL_PEPPER_SIZE]);

/* A key with a fresh identity and the surface's kind of secret, not in the ring
 * yet. NULL: out of memory. */
struct sl_key *sl_key_mint(struct sl_keyring *ring, struct sl_slice surface,
                           char secret[KEY_SECRET_MAX + 1]);
/* Writes the key's row; store thread. */
enum sl_err sl_key_put_row(const struct sl_key *key, int64_t revoked_wall_ms,
                           const struct sl_store_ops *ops, void *conn);
/* Writes what the audit log says of a change; before NULL: created, after NULL: revoked.
 * Store thread, in the change's transaction. */
enum sl_err sl_key_audit(const struct sl_key *before, const struct sl_key *after,
                         struct sl_slice actor, const struct sl_store_ops *ops, void *conn);

#endif

/* keyring.c - finding a key.
 *
 *   account (identity, digest, what was used)  <--- key (one frozen policy)
 *      '--- current: the key that a look-up gives out
 *
 * A change of policy makes another key for the same account and swaps
 * `current`; asks under way keep the policy that they began with, the next
 * look-up sees the new one. Windows and counts live in the account, so that a
 * change neither forgets nor doubles what was used.
 *
 * Look-ups take one of sixteen reader locks, chosen by the digest, for the few
 * instructions between probe and reference. Digests are keyed and so no caller
 * can choose a bucket. Changes come from the store's thread, one at a time.
 */
#include "ledger/keyring.h"

#include <stdlib.h>

#include <openssl/crypto.h>

#include "ledger/key_policy.h"

enum { BUCKETS_MIN = 16, POLICY_CHUNK = 512, POLICY_ARENA_MAX = 512 * 1024 };

/* --- lifetimes ------------------------------------------------------------- */

struct sl_keyring *
sl_keyring_new(void)
{
	struct sl_keyring *ring = aligned_alloc(_Alignof(struct sl_keyring), sizeof(*ring));
	unsigned char pepper[SL_PEPPER_SIZE];

	if (!ring)
		return NULL;
	memset(ring, 0, sizeof(*ring));
	sl_rand_bytes(pepper, sizeof(pepper));
	if (sl_digester_init(&ring->digester, pepper) != SL_OK) {
		free(ring);
		return NULL;
	}
	OPENSSL_cleanse(pepper, sizeof(pepper));
	for (size_t i = 0; i < KEYRING_SHARDS; i++)
		pthread_rwlock_init(&ring->shards[i].lock, NULL);
	pthread_mutex_init(&ring->directory, NULL);
	pthread_mutex_init(&ring->changing, NULL);
	return ring;
}

void
sl_keyring_free(struct sl_keyring *ring)
{
	if (!ring)
		return;
	while (atomic_load(&ring->count))
		sl_keyring_remove(ring, ring->by_id[atomic_load(&ring->count) - 1]);
	for (size_t i = 0; i < KEYRING_SHARDS; i++) {
		pthread_rwlock_destroy(&ring->shards[i].lock);
		free(ring->shards[i].buckets);
	}
	pthread_mutex_destroy(&ring->directory);
	pthread_mutex_destroy(&ring->changing);
	free(ring->by_id);
	sl_digester_release(&ring->digester);
	free(ring);
}

enum sl_err
sl_keyring_set_pepper(struct sl_keyring *ring, const unsigned char pepper[SL_PEPPER_SIZE])
{
	sl_digester_release(&ring->digester);
	return sl_digester_init(&ring->digester, pepper);
}

size_t
sl_keyring_count(const struct sl_keyring *ring)
{
	return atomic_load(&ring->count);
}

struct sl_key_account *
sl_key_account_new(struct sl_slice id, struct sl_slice hint,
                   const unsigned char digest[SL_DIGEST_SIZE], int64_t created_wall_ms)
{
	struct sl_key_account *account;

	if (id.len == 0 || id.len > KEY_ID_LEN)
		return NULL;
	account = calloc(1, sizeof(*account));
	if (!account)
		return NULL;
	atomic_init(&account->refs, 1);
	memcpy(account->id, id.ptr, id.len);
	account->id_len = (uint8_t)id.len;
	hint = sl_slice_upto(hint, KEY_HINT_MAX - 1);
	if (hint.len)
		memcpy(account->hint, hint.ptr, hint.len);
	account->hint_len = (uint8_t)hint.len;
	memcpy(account->digest, digest, SL_DIGEST_SIZE);
	account->created_wall_ms = created_wall_ms;
	sl_meter_init(&account->meter);
	return account;
}

void
sl_key_account_unref(struct sl_key_account *account)
{
	if (atomic_fetch_sub(&account->refs, 1) > 1)
		return;
	sl_meter_release(&account->meter);
	free(account);
}

struct sl_key *
sl_key_new(struct sl_key_account *account)
{
	struct sl_key *key = calloc(1, sizeof(*key));

	if (!key)
		return NULL;
	atomic_init(&key->refs, 1);
	atomic_fetch_add(&account->refs, 1);
	key->account = account;
	sl_arena_init(&key->arena, POLICY_CHUNK, POLICY_ARENA_MAX);
	sl_key_policy_init(&key->policy, SL_SCOPE_KEY);
	return key;
}

static struct sl_key *
key_ref(struct sl_key *key)
{
	atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
	return key;
}

void
sl_key_unref(struct sl_key *key)
{
	if (!key || atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) > 1)
		return;
	sl_arena_release(&key->arena);
	sl_key_account_unref(key->account);
	free(key);
}

/* --- the index ------------------------------------------------------------- */

static struct sl_keyring_shard *
shard_of(struct sl_keyring *ring, const unsigned char *digest)
{
	return &ring->shards[digest[0] % KEYRING_SHARDS];
}

static size_t
bucket_of(const struct sl_keyring_shard *shard, const unsigned char *digest)
{
	uint32_t hash;

	memcpy(&hash, digest + 4, sizeof(hash));
	return hash & (shard->bucket_count - 1);
}

static struct sl_key_account *
probe(const struct sl_keyring_shard *shard, const unsigned char *digest)
{
	struct sl_key_account *account =
	    shard->bucket_count ? shard->buckets[bucket_of(shard, digest)] : NULL;

	while (account && !sl_digest_eq(account->digest, digest))
		account = account->next;
	return account;
}

static bool
shard_grow(struct sl_keyring_shard *shard)
{
	struct sl_keyring_shard bigger = {
		.bucket_count = shard->bucket_count ? shard->bucket_count * 2 : BUCKETS_MIN,
	};

	if (shard->count < shard->bucket_count)
		return true;
	bigger.buckets = calloc(bigger.bucket_count, sizeof(*bigger.buckets));
	if (!bigger.buckets)
		return false;
	for (size_t i = 0; i < shard->bucket_count; i++) {
		struct sl_key_account *account, *next;

		for (account = shard->buckets[i]; account; account = next) {
			size_t bucket = bucket_of(&bigger, account->digest);

			next = account->next;
			account->next = bigger.buckets[bucket];
			bigger.buckets[bucket] = account;
		}
	}
	free(shard->buckets);
	shard->buckets = bigger.buckets;
	shard->bucket_count = bigger.bucket_count;
	return true;
}

static enum sl_err
shard_insert(struct sl_keyring_shard *shard, struct sl_key *key)
{
	struct sl_key_account *account = key->account;
	enum sl_err err = SL_OK;

	pthread_rwlock_wrlock(&shard->lock);
	if (probe(shard, account->digest)) {
		err = SL_EEXIST;
	} else if (!shard_grow(shard)) {
		err = SL_ENOMEM;
	} else {
		size_t bucket = bucket_of(shard, account->digest);

		account->current = key_ref(key);
		account->next = shard->buckets[bucket];
		shard->buckets[bucket] = account;
		shard->count++;
	}
	pthread_rwlock_unlock(&shard->lock);
	return err;
}

/* Takes the account out; its key is the caller's to unref. */
static struct sl_key *
shard_remove(struct sl_keyring_shard *shard, struct sl_key_account *account)
{
	struct sl_key_account **at;
	struct sl_key *key;

	pthread_rwlock_wrlock(&shard->lock);
	at = &shard->buckets[bucket_of(shard, account->digest)];
	while (*at != account)
		at = &(*at)->next;
	*at = account->next;
	shard->count--;
	key = account->current;
	account->current = NULL;
	pthread_rwlock_unlock(&shard->lock);
	return key;
}

/* Where an id stands in the directory, or would. */
static size_t
directory_find(const struct sl_keyring *ring, struct sl_slice id, bool *found)
{
	size_t low = 0, high = atomic_load(&ring->count);

	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		struct sl_slice other = sl_slice_str(ring->by_id[middle]->id);
		size_t common = other.len < id.len ? other.len : id.len;
		int order = common ? memcmp(other.ptr, id.ptr, common) : 0;

		if (order == 0 && other.len == id.len) {
			*found = true;
			return middle;
		}
		if (order < 0 || (order == 0 && other.len < id.len))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
directory_grow(struct sl_keyring *ring)
{
	size_t cap = ring->by_id_cap ? ring->by_id_cap * 2 : 16;
	struct sl_key_account **items;

	if (atomic_load(&ring->count) < ring->by_id_cap)
		return true;
	items = realloc(ring->by_id, cap * sizeof(*items));
	if (!items)
		return false;
	ring->by_id = items;
	ring->by_id_cap = cap;
	return true;
}

enum sl_err
sl_keyring_add(struct sl_keyring *ring, struct sl_key *key)
{
	struct sl_key_account *account = key->account;
	enum sl_err err = SL_OK;
	size_t at, count;
	bool found;

	pthread_mutex_lock(&ring->directory);
	count = atomic_load(&ring->count);
	at = directory_find(ring, sl_slice_str(account->id), &found);
	if (found)
		err = SL_EEXIST;
	else if (count >= KEYRING_MAX)
		err = SL_ELIMIT;
	else if (!directory_grow(ring))
		err = SL_ENOMEM;
	else
		err = shard_insert(shard_of(ring, account->digest), key);
	if (err == SL_OK) {
		memmove(&ring->by_id[at + 1], &ring->by_id[at],
		        (count - at) * sizeof(*ring->by_id));
		ring->by_id[at] = account;
		atomic_store(&ring->count, count + 1);
	}
	pthread_mutex_unlock(&ring->directory);
	return err;
}

struct sl_key *
sl_keyring_by_id(struct sl_keyring *ring, struct sl_slice id)
{
	struct sl_key *key = NULL;
	size_t at;
	bool found;

	pthread_mutex_lock(&ring->directory);
	at = directory_find(ring, id, &found);
	if (found) {
		struct sl_key_account *account = ring->by_id[at];
		struct sl_keyring_shard *shard = shard_of(ring, account->digest);

		pthread_rwlock_rdlock(&shard->lock);
		key = key_ref(account->current);
		pthread_rwlock_unlock(&shard->lock);
	}
	pthread_mutex_unlock(&ring->directory);
	return key;
}

size_t
sl_keyring_all(struct sl_keyring *ring, struct sl_key ***keys)
{
	size_t count;

	pthread_mutex_lock(&ring->directory);
	count = atomic_load(&ring->count);
	*keys = calloc(count ? count : 1, sizeof(**keys));
	if (!*keys)
		count = 0;
	for (size_t i = 0; i < count; i++) {
		struct sl_keyring_shard *shard = shard_of(ring, ring->by_id[i]->digest);

		pthread_rwlock_rdlock(&shard->lock);
		(*keys)[i] = key_ref(ring->by_id[i]->current);
		pthread_rwlock_unlock(&shard->lock);
	}
	pthread_mutex_unlock(&ring->directory);
	return count;
}

void
sl_keyring_swap(struct sl_keyring *ring, struct sl_key *key)
{
	struct sl_keyring_shard *shard = shard_of(ring, key->account->digest);
	struct sl_key *before;

	pthread_rwlock_wrlock(&shard->lock);
	before = key->account->current;
	key->account->current = key_ref(key);
	pthread_rwlock_unlock(&shard->lock);
	sl_key_unref(before);
}

void
sl_keyring_remove(struct sl_keyring *ring, struct sl_key_account *account)
{
	struct sl_key *key;
	size_t at, count;
	bool found;

	pthread_mutex_lock(&ring->directory);
	count = atomic_load(&ring->count);
	at = directory_find(ring, sl_slice_str(account->id), &found);
	if (!found) {
		pthread_mutex_unlock(&ring->directory);
		return;
	}
	memmove(&ring->by_id[at], &ring->by_id[at + 1],
	        (count - at - 1) * sizeof(*ring->by_id));
	atomic_store(&ring->count, count - 1);
	key = shard_remove(shard_of(ring, account->digest), account);
	pthread_mutex_unlock(&ring->directory);
	sl_key_unref(key);
}

/* --- the way of a request ---------------------------------------------------- */

/* Only the form is told, and that anybody can see. */
static void
explain_unknown(struct sl_slice secret, struct sl_fault *fault)
{
	struct sl_slice message =
	    SL_SLICE("The API key is not known here: it is wrong or was revoked. 'sluice keys "
	             "create' makes another.");

	if (!sl_secret_shaped(secret))
		message = SL_SLICE("This is not a virtual key of this gateway. Use the one that the "
		                   "first start printed (gw_virt_...) or make one with 'sluice keys "
		                   "create'; keys of providers and the master key are not taken "
		                   "here.");
	else if (!sl_secret_intact(secret))
		message = SL_SLICE("The API key is mistyped or cut: its last eight digits, a "
		                   "checksum, do not fit. Copy it again.");
	sl_fault_set(fault, SL_FAULT_AUTH, message);
}

enum sl_err
sl_keyring_find(struct sl_keyring *ring, struct sl_slice secret, struct sl_key **key,
                struct sl_fault *fault)
{
	unsigned char digest[SL_DIGEST_SIZE];
	struct sl_keyring_shard *shard;
	struct sl_key_account *account;

	*key = NULL;
	if (secret.len == 0) {
		sl_fault_set(fault, SL_FAULT_AUTH_MISSING,
		             SL_SLICE("No API key was sent. Send one as \"Authorization: Bearer "
		                      "gw_virt_...\", x-api-key, api-key or x-goog-api-key."));
		return SL_ENOTFOUND;
	}
	/* Nothing of another length is worth a digest; what else the form says can wait. */
	if (secret.len <= SL_SECRET_HEX_LEN || secret.len > SL_SECRET_MAX) {
		explain_unknown(secret, fault);
		return SL_ENOTFOUND;
	}
	if (!sl_digest(&ring->digester, secret, digest)) {
		sl_fault_set(fault, SL_FAULT_UNAVAILABLE,
		             SL_SLICE("The API key could not be checked: out of memory."));
		return SL_ENOMEM;
	}
	shard = shard_of(ring, digest);
	pthread_rwlock_rdlock(&shard->lock);
	account = probe(shard, digest);
	if (account)
		*key = key_ref(account->current);
	pthread_rwlock_unlock(&shard->lock);
	if (*key) {
		fault->kind = SL_FAULT_NONE;
		return SL_OK;
	}
	explain_unknown(secret, fault);
	return SL_ENOTFOUND;
}

struct sl_slice
sl_key_id(const struct sl_key *key)
{
	return sl_slice_make(key->account->id, key->account->id_len);
}

struct sl_slice
sl_key_hint(const struct sl_key *key)
{
	return sl_slice_make(key->account->hint, key->account->hint_len);
}

const struct sl_key_policy *
sl_key_policy(const struct sl_key *key)
{
	return &key->policy;
}

struct sl_meter *
sl_key_meter(const struct sl_key *key)
{
	return &key->account->meter;
}

bool
sl_keyring_is_master(const struct sl_keyring *ring, struct sl_slice secret)
{
	/* The digester's contexts are no part of what const promises. */
	struct sl_digester *digester = (struct sl_digester *)(uintptr_t)&ring->digester;
	unsigned char digest[SL_DIGEST_SIZE];

	return ring->has_master && secret.len > 0 && secret.len <= SL_SECRET_MAX &&
	       sl_digest(digester, secret, digest) && sl_digest_eq(digest, ring->master);
}

bool
sl_keyring_derive(struct sl_keyring *ring, struct sl_slice purpose,
                  unsigned char out[SL_DIGEST_SIZE])
{
	return sl_digest(&ring->digester, purpose, out);
}

/* keyring_change.c - changing keys: the store first, then memory.
 *
 * Changes of a ring run one after the other, in the order in which they came:
 *
 *   WAITING --its turn--> RUNNING (store thread: row written)
 *      RUNNING --commit succeeded--> applied in memory --> told (on its loop)
 *      RUNNING --anything failed---> nothing changed   --> told
 *
 * A PATCH is merged with the policy that is current when its turn comes, so of two
 * that arrive together neither loses the other's members. A created key stands
 * in memory before its row is written, because nothing may fail for want of
 * memory after that; nobody has its secret before it is durable.
 */
#include "ledger/keyring.h"

#include <stdlib.h>

#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/timestamp.h"
#include "ledger/audit.h"
#include "ledger/key_policy.h"
#include "store/store.h"

enum {
	CHANGES_MAX = 1024,          /* waiting changes of a ring */
	POLICY_JSON_MAX = 512 * 1024,
	SHOWN_KEY_MAX = POLICY_JSON_MAX + 1024,
};

enum change_kind { CREATE, PATCH, REVOKE };

struct sl_keyring_change {
	struct sl_store_job       job;
	struct sl_task            task; /* to tell the loop */
	struct sl_keyring_change *next;
	struct sl_keyring        *ring;
	struct sl_key_change     *public;
	enum change_kind          kind;
	char                      id[KEY_ID_LEN + 1];
	struct sl_key            *key;   /* CREATE: prepared; PATCH: made when it runs */
	struct sl_arena           arena; /* of body and actor */
	struct sl_json            body;
	struct sl_slice           actor;
};

/* --- showing --------------------------------------------------------------- */

static void
show_moment(struct sl_json_writer *out, const char *name, int64_t wall_ms)
{
	char text[SL_TIMESTAMP_LEN + 1];

	sl_json_str(out, name, sl_slice_make(text, sl_timestamp_format(wall_ms, text)));
}

static void
show_key(const struct sl_key *key, struct sl_slice secret, const struct sl_key_spend *spend,
         struct sl_json_writer *out)
{
	sl_json_obj(out);
	sl_json_str(out, "id", sl_key_id(key));
	if (secret.len)
		sl_json_str(out, "key", secret);
	sl_key_policy_show(&key->policy, out);
	sl_json_str(out, "hint", sl_slice_str(key->account->hint));
	show_moment(out, "created_at", key->account->created_wall_ms);
	if (spend) {
		sl_json_usd(out, "spend_usd", spend->nanousd(spend->context, sl_key_id(key)));
		sl_json_usd(out, "held_usd", 0);
	}
	sl_json_obj_end(out);
}

bool
sl_keyring_show(struct sl_keyring *ring, struct sl_slice id, const struct sl_key_spend *spend,
                struct sl_json_writer *out)
{
	struct sl_key *key = sl_keyring_by_id(ring, id);

	if (!key)
		return false;
	show_key(key, SL_SLICE_NONE, spend, out);
	sl_key_unref(key);
	return true;
}

bool
sl_keyring_name(struct sl_keyring *ring, struct sl_slice id, struct sl_buf *out)
{
	struct sl_key *key = sl_keyring_by_id(ring, id);

	if (!key)
		return false;
	sl_buf_append(out, key->policy.name);
	sl_key_unref(key);
	return true;
}

bool
sl_keyring_names(struct sl_keyring *ring, enum sl_scope_kind kind, struct sl_slice slug)
{
	struct sl_key **keys;
	size_t count = sl_keyring_all(ring, &keys);
	bool found = false;

	for (size_t i = 0; i < count; i++) {
		const struct sl_key_policy *policy = &keys[i]->policy;

		found |= sl_slice_eq(kind == SL_SCOPE_TEAM ? policy->team : policy->workspace, slug);
		sl_key_unref(keys[i]);
	}
	free(keys);
	return found;
}

bool
sl_keyring_strays(struct sl_keyring *ring, struct sl_slice team, struct sl_slice workspace)
{
	struct sl_key **keys;
	size_t count = sl_keyring_all(ring, &keys);
	bool found = false;

	for (size_t i = 0; i < count; i++) {
		const struct sl_key_policy *policy = &keys[i]->policy;

		found |= sl_slice_eq(policy->team, team) && policy->workspace.len > 0 &&
		         !sl_slice_eq(policy->workspace, workspace);
		sl_key_unref(keys[i]);
	}
	free(keys);
	return found;
}

void
sl_keyring_list(struct sl_keyring *ring, const struct sl_key_spend *spend,
                struct sl_json_writer *out)
{
	struct sl_key **keys;
	size_t count = sl_keyring_all(ring, &keys);

	sl_json_arr(out);
	for (size_t i = 0; i < count; i++) {
		show_key(keys[i], SL_SLICE_NONE, spend, out);
		sl_key_unref(keys[i]);
	}
	sl_json_arr_end(out);
	free(keys);
}

/* --- rows ------------------------------------------------------------------- */

/* Without secrets; empty for no key. */
static void
write_policy(const struct sl_key *key, struct sl_buf *json)
{
	struct sl_json_writer writer;

	sl_buf_init(json, POLICY_JSON_MAX);
	if (!key)
		return;
	sl_json_writer_init(&writer, json);
	sl_json_obj(&writer);
	sl_key_policy_show(&key->policy, &writer);
	sl_json_obj_end(&writer);
}

enum sl_err
sl_key_put_row(const struct sl_key *key, int64_t revoked_wall_ms, const struct sl_store_ops *ops,
               void *conn)
{
	const struct sl_key_account *account = key->account;
	struct sl_key_row row = {
		.id = sl_slice_str(account->id),
		.hint = sl_slice_str(account->hint),
		.created_wall_ms = account->created_wall_ms,
		.revoked_wall_ms = revoked_wall_ms,
	};
	struct sl_buf json;
	enum sl_err err = SL_ENOMEM;

	write_policy(key, &json);
	memcpy(row.digest, account->digest, SL_DIGEST_SIZE);
	row.policy_json = sl_buf_slice(&json);
	if (!json.failed)
		err = ops->key_put(conn, &row);
	sl_buf_release(&json);
	return err;
}

enum sl_err
sl_key_audit(const struct sl_key *before, const struct sl_key *after, struct sl_slice actor,
             const struct sl_store_ops *ops, void *conn)
{
	struct sl_buf was, is;
	struct sl_audit_entry entry = {
		.actor = actor,
		.action = sl_slice_str(!before ? "key.create" : after ? "key.update" : "key.revoke"),
		.target = sl_key_id(before ? before : after),
	};
	enum sl_err err = SL_ENOMEM;

	write_policy(before, &was);
	write_policy(after, &is);
	entry.before_json = sl_buf_slice(&was);
	entry.after_json = sl_buf_slice(&is);
	if (!was.failed && !is.failed)
		err = sl_audit_add(ops, conn, &entry, sl_clock_wall_ms());
	sl_buf_release(&was);
	sl_buf_release(&is);
	return err;
}

/* Another key of base's account with the body's members changed. NULL: *fault. */
static struct sl_key *
patched(const struct sl_key *base, struct sl_json body, struct sl_arena *scratch,
        struct sl_fault *fault)
{
	struct sl_key *key = sl_key_new(base->account);
	struct sl_buf json;

	sl_fault_set(fault, SL_FAULT_UNAVAILABLE, SL_SLICE("Out of memory."));
	write_policy(base, &json);
	if (key && (json.failed ||
	            !sl_key_policy_apply(&key->policy, sl_json_parse(sl_buf_slice(&json)),
	                                 SL_POLICY_STORED, 0, &key->arena, scratch, fault) ||
	            !sl_key_policy_apply(&key->policy, body, SL_POLICY_PATCH,
	                                 sl_clock_wall_ms(), &key->arena, scratch, fault))) {
		sl_key_unref(key);
		key = NULL;
	}
	sl_buf_release(&json);
	return key;
}

/* --- one change -------------------------------------------------------------- */

static void
free_change(struct sl_keyring_change *change)
{
	sl_key_unref(change->key);
	sl_arena_release(&change->arena);
	free(change);
}

static void
tell(struct sl_task *task)
{
	struct sl_keyring_change *change = SL_CONTAINER(task, struct sl_keyring_change, task);
	struct sl_key_change *public = change->public;

	public->err = change->job.err;
	public->internal = NULL;
	if (public->err != SL_OK)
		sl_buf_release(&public->json);
	free_change(change);
	public->done(public);
}

/* The row and what the audit log says of it. */
static enum sl_err
write_change(const struct sl_keyring_change *change, const struct sl_key *key,
             const struct sl_store_ops *ops, void *conn)
{
	const struct sl_key *after = change->kind == PATCH ? change->key : key;
	int64_t revoked_wall_ms = change->kind == REVOKE ? sl_clock_wall_ms() : 0;
	enum sl_err err = sl_key_put_row(after, revoked_wall_ms, ops, conn);

	if (err != SL_OK)
		return err;
	return sl_key_audit(change->kind == CREATE ? NULL : key,
	                    change->kind == REVOKE ? NULL : after, change->actor, ops, conn);
}

/* Store thread (or, without a store, the caller's): writes the row. */
static void
run_change(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct sl_keyring_change *change = SL_CONTAINER(job, struct sl_keyring_change, job);
	struct sl_key *key = sl_keyring_by_id(change->ring, sl_slice_str(change->id));
	struct sl_fault ignored;

	job->err = SL_ENOTFOUND;
	if (!key)
		return;
	job->err = SL_OK;
	if (change->kind == PATCH)
		change->key = patched(key, change->body, &change->arena, &ignored);
	if (change->kind == PATCH && !change->key)
		job->err = SL_ENOMEM;
	else if (ops)
		job->err = write_change(change, key, ops, conn);
	sl_key_unref(key);
}

/* Memory follows what became durable. */
static void
apply_change(struct sl_keyring_change *change)
{
	bool durable = change->job.err == SL_OK;
	struct sl_key *key = sl_keyring_by_id(change->ring, sl_slice_str(change->id));

	if (key && change->kind == PATCH && durable)
		sl_keyring_swap(change->ring, change->key);
	else if (key && change->kind == REVOKE && durable)
		sl_keyring_remove(change->ring, key->account);
	else if (key && change->kind == CREATE && !durable)
		sl_keyring_remove(change->ring, key->account);
	sl_key_unref(key);
}

static void
finish_change(struct sl_keyring_change *change)
{
	apply_change(change);
	change->task.run = tell;
	if (change->public->loop)
		sl_loop_post(change->public->loop, &change->task);
	else
		tell(&change->task);
}

/* --- one after the other ------------------------------------------------------ */

static void done_change(struct sl_store_job *job);

/* Hands the first waiting change to the store; what the store does not take
 * fails at once. Only whoever set or inherited ring->change_runs calls this. */
static void
start_next(struct sl_keyring *ring)
{
	for (;;) {
		struct sl_keyring_change *change;
		enum sl_err err;

		pthread_mutex_lock(&ring->changing);
		change = ring->first_change;
		ring->change_runs = change != NULL;
		if (change) {
			ring->first_change = change->next;
			ring->change_count--;
		}
		pthread_mutex_unlock(&ring->changing);
		if (!change)
			return;
		change->job.run = run_change;
		change->job.done = done_change;
		/* From here on the change is the store thread's, if it took it. */
		err = sl_store_submit(ring->store, &change->job);
		if (err == SL_OK)
			return;
		change->job.err = err;
		finish_change(change);
	}
}

/* On the store thread, after the commit. */
static void
done_change(struct sl_store_job *job)
{
	struct sl_keyring_change *change = SL_CONTAINER(job, struct sl_keyring_change, job);
	struct sl_keyring *ring = change->ring;

	finish_change(change);
	start_next(ring);
}

static bool
enqueue(struct sl_keyring_change *change, struct sl_fault *fault)
{
	struct sl_keyring *ring = change->ring;
	struct sl_keyring_change **at = &ring->first_change;
	bool runs = true, room;

	pthread_mutex_lock(&ring->changing);
	room = ring->change_count < CHANGES_MAX;
	if (room) {
		while (*at)
			at = &(*at)->next;
		*at = change;
		ring->change_count++;
		runs = ring->change_runs;
		ring->change_runs = true;
	}
	pthread_mutex_unlock(&ring->changing);
	if (!room) {
		sl_fault_set(fault, SL_FAULT_OVERLOADED,
		             SL_SLICE("Too many changes of keys are waiting. Try again soon."));
		fault->retry_after_s = 1;
		return false;
	}
	if (!runs)
		start_next(ring);
	return true;
}

static struct sl_keyring_change *
new_change(struct sl_keyring *ring, enum change_kind kind, struct sl_slice id,
           struct sl_key_change *public, struct sl_fault *fault)
{
	struct sl_keyring_change *change = calloc(1, sizeof(*change));

	if (!change) {
		sl_fault_set(fault, SL_FAULT_UNAVAILABLE, SL_SLICE("Out of memory."));
		return NULL;
	}
	change->ring = ring;
	change->kind = kind;
	change->public = public;
	memcpy(change->id, id.ptr, id.len < KEY_ID_LEN ? id.len : KEY_ID_LEN);
	sl_arena_init(&change->arena, 1024, POLICY_JSON_MAX);
	change->actor = sl_arena_dup(&change->arena, public->actor);
	public->internal = change;
	public->err = SL_OK;
	sl_buf_init(&public->json, SHOWN_KEY_MAX);
	return change;
}

static bool
begin(struct sl_keyring_change *change, struct sl_fault *fault)
{
	if (!change->ring->store) {
		run_change(&change->job, NULL, NULL);
		finish_change(change);
		return true;
	}
	if (enqueue(change, fault))
		return true;
	change->job.err = SL_EBUSY;
	apply_change(change);
	sl_buf_release(&change->public->json);
	free_change(change);
	return false;
}

/* --- creating ----------------------------------------------------------------- */

struct sl_key *
sl_key_mint(struct sl_keyring *ring, struct sl_slice surface, char secret[KEY_SECRET_MAX + 1])
{
	const char *prefix = sl_secret_prefix(surface);
	int64_t now_wall_ms = sl_clock_wall_ms();
	unsigned char digest[SL_DIGEST_SIZE];
	struct sl_key_account *account = NULL;
	struct sl_key *key = NULL;
	char id[KEY_ID_LEN + 1] = "vk_";
	size_t len = sl_secret_mint(prefix, secret);

	sl_rand_ulid(id + 3, now_wall_ms);
	if (sl_digest(&ring->digester, sl_slice_make(secret, len), digest))
		account = sl_key_account_new(sl_slice_str(id),
		                             sl_slice_make(secret, strlen(prefix) +
		                                                   SL_SECRET_HINT_HEX),
		                             digest, now_wall_ms);
	if (account) {
		key = sl_key_new(account);
		sl_key_account_unref(account);
	}
	return key;
}

static bool
fail_add(enum sl_err err, struct sl_fault *fault)
{
	sl_fault_set(fault, SL_FAULT_UNAVAILABLE,
	             err == SL_ELIMIT ? SL_SLICE("There are too many keys: revoke some first.")
	                              : SL_SLICE("Out of memory."));
	return false;
}

bool
sl_keyring_create(struct sl_keyring *ring, struct sl_json body, struct sl_arena *arena,
                  struct sl_key_change *public, struct sl_fault *fault)
{
	struct sl_key_policy asked;
	struct sl_keyring_change *change;
	struct sl_json_writer writer;
	char secret[KEY_SECRET_MAX + 1];
	struct sl_key *key;
	enum sl_err err;

	/* Once to learn the surface and every problem, once into the key. */
	sl_key_policy_init(&asked, SL_SCOPE_KEY);
	if (!sl_key_policy_apply(&asked, body, SL_POLICY_CREATE, sl_clock_wall_ms(), arena,
	                         arena, fault))
		return false;
	key = sl_key_mint(ring, asked.surface, secret);
	if (!key)
		return fail_add(SL_ENOMEM, fault);
	if (!sl_key_policy_apply(&key->policy, body, SL_POLICY_CREATE, 0, &key->arena, arena,
	                         fault)) {
		sl_key_unref(key);
		return false;
	}
	change = new_change(ring, CREATE, sl_key_id(key), public, fault);
	if (!change) {
		sl_key_unref(key);
		return false;
	}
	change->key = key;
	sl_json_writer_init(&writer, &public->json);
	show_key(key, sl_slice_str(secret),
	         &(struct sl_key_spend){ .nanousd = sl_key_spend_none }, &writer);
	OPENSSL_cleanse(secret, sizeof(secret));
	err = public->json.failed ? SL_ENOMEM : sl_keyring_add(ring, key);
	if (err != SL_OK) {
		sl_buf_release(&public->json);
		free_change(change);
		return fail_add(err, fault);
	}
	return begin(change, fault);
}

int64_t
sl_key_spend_none(void *context, struct sl_slice id)
{
	(void)context;
	(void)id;
	return 0;
}

/* --- changing and revoking ------------------------------------------------------ */

static bool
not_found(struct sl_fault *fault)
{
	sl_fault_set(fault, SL_FAULT_NOT_FOUND,
	             SL_SLICE("There is no key with this id, or it was revoked."));
	return false;
}

bool
sl_keyring_patch(struct sl_keyring *ring, struct sl_slice id, struct sl_json body,
                 struct sl_arena *arena, struct sl_key_change *public, struct sl_fault *fault)
{
	struct sl_key *key = sl_keyring_by_id(ring, id), *trial;
	struct sl_keyring_change *change;
	struct sl_slice copy;

	if (!key)
		return not_found(fault);
	trial = patched(key, body, arena, fault);
	sl_key_unref(key);
	if (!trial)
		return false;
	sl_key_unref(trial);
	change = new_change(ring, PATCH, id, public, fault);
	if (!change)
		return false;
	copy = sl_arena_dup(&change->arena, body.raw);
	if (!copy.ptr) {
		free_change(change);
		return fail_add(SL_ENOMEM, fault);
	}
	change->body = sl_json_parse(copy);
	return begin(change, fault);
}

bool
sl_keyring_revoke(struct sl_keyring *ring, struct sl_slice id, struct sl_key_change *public,
                  struct sl_fault *fault)
{
	struct sl_key *key = sl_keyring_by_id(ring, id);
	struct sl_keyring_change *change;

	if (!key)
		return not_found(fault);
	sl_key_unref(key);
	change = new_change(ring, REVOKE, id, public, fault);
	return change && begin(change, fault);
}

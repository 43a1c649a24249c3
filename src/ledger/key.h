/* key.h - virtual keys in memory.
 *
 * The keyring is loaded at start and changed by the admin API; the request path
 * never asks the store. A presented secret is recognised by its keyed digest
 * (HMAC-SHA-256 under the pepper), compared in constant time; unknown, revoked
 * and malformed secrets take the same path. shared: atomic - any loop may look
 * up, admit and change; a change is seen by the next look-up.
 */
#ifndef SL_LEDGER_KEY_H
#define SL_LEDGER_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/slice.h"
#include "ledger/limits.h"
#include "model/fault.h"

struct sl_store;
struct sl_keyring;
struct sl_key; /* reference-counted; what it points to is one frozen policy */

struct sl_name_list {
	struct sl_slice *items;
	size_t           count;
};

/* What a key may do, or all keys of a team or of a workspace together. Frozen; a PATCH
 * makes another. Names as in the admin API; key_policy.c says which level has which. */
struct sl_key_policy {
	enum sl_scope_kind  level;
	struct sl_slice     name, slug, surface, team, workspace, stack, user, metadata_json;
	/* A trailing star matches any rest. Allowed: empty is all. A model is written as
	 * the caller does or as "provider/model"; a blocked one also as the provider does. */
	struct sl_name_list models, blocked_models, providers, blocked_providers;
	struct sl_limits    limits;
	struct sl_limits    end_user;        /* of each end user by its own */
	struct { bool set; uint8_t count, percent[8]; } alerts; /* of budgets; not set: the usual */
	struct sl_slice     zone;            /* whose days, weeks and months; empty: UTC */
	int64_t             expires_wall_ms; /* 0: never */
	bool                cancel_on_disconnect; /* else drain */
	bool                strict;
	bool                disabled;        /* "enabled": false */
};

/* Empty, with a pepper of its own: without sl_keyring_load it lives in memory only. */
struct sl_keyring *sl_keyring_new(void);
/* After the store that it was loaded from was freed: changes may be on their way. */
void sl_keyring_free(struct sl_keyring *ring);
/* Reads pepper (made at first start) and keys; changes go to this store from now
 * on. Before the loops start. Any failure (SL_ESYNTAX: a row that cannot be read,
 * named in the log) must stop the start. */
enum sl_err sl_keyring_load(struct sl_keyring *ring, struct sl_store *store);
size_t sl_keyring_count(const struct sl_keyring *ring);
/* A key of its own for a purpose, made from the pepper: the same as long as the store
 * lives, and on every process with it. False: out of memory. */
bool sl_keyring_derive(struct sl_keyring *ring, struct sl_slice purpose,
                       unsigned char out[32]);

/* Finds a live key by its secret. SL_OK: *key is a reference the caller gives
 * back. SL_ENOTFOUND: unknown or revoked; *fault is filled (AUTH; the same for
 * both). Expired keys are found here and refused at admission. */
enum sl_err sl_keyring_find(struct sl_keyring *ring, struct sl_slice secret,
                            struct sl_key **key, struct sl_fault *fault);
/* The live key of an id with a reference, or NULL. */
struct sl_key *sl_keyring_by_id(struct sl_keyring *ring, struct sl_slice id);
void sl_key_unref(struct sl_key *key);
struct sl_slice sl_key_id(const struct sl_key *key);
/* The first characters of the secret, for people: "gw_virt_ab12". */
struct sl_slice sl_key_hint(const struct sl_key *key);
const struct sl_key_policy *sl_key_policy(const struct sl_key *key);
/* What the key itself used; how it is taken: ledger/tenancy.h. */
struct sl_meter *sl_key_meter(const struct sl_key *key);

/* --- administration: on a loop; done is called on that loop once it is durable -- */

struct sl_loop;
struct sl_key_change {
	void (*done)(struct sl_key_change *change);
	struct sl_loop  *loop;
	struct sl_slice  actor;    /* who, for the audit log; copied */
	enum sl_err      err;      /* SL_OK; SL_ENOTFOUND: revoked meanwhile; SL_EFULL,
	                            * SL_EIO, SL_EBUSY ...: nothing was changed */
	struct sl_buf    json;     /* creation: the key with its secret; the caller
	                            * releases it */
	void            *user;
	void            *internal; /* private */
};
/* body is the request's JSON (validated). False: *fault with param, and done is
 * not called. On true, done follows (with a NULL loop: on the store's thread, or
 * inside this call when there is no store). Changes of a ring run in order; on
 * creation json holds "key", the secret, this one time. */
bool sl_keyring_create(struct sl_keyring *ring, struct sl_json body, struct sl_arena *arena,
                       struct sl_key_change *change, struct sl_fault *fault);
bool sl_keyring_patch(struct sl_keyring *ring, struct sl_slice id, struct sl_json body,
                      struct sl_arena *arena, struct sl_key_change *change,
                      struct sl_fault *fault); /* NOT_FOUND when unknown or revoked */
bool sl_keyring_revoke(struct sl_keyring *ring, struct sl_slice id,
                       struct sl_key_change *change, struct sl_fault *fault);
/* What a key has spent, by whoever knows; NULL: the members are left out. */
struct sl_key_spend {
	int64_t (*nanousd)(void *context, struct sl_slice id);
	void *context;
};
int64_t sl_key_spend_none(void *context, struct sl_slice id); /* 0 */
/* Never a secret. False: unknown. */
bool sl_keyring_show(struct sl_keyring *ring, struct sl_slice id,
                     const struct sl_key_spend *spend, struct sl_json_writer *out);
/* Appends the key's name, which may be empty. False: unknown. */
bool sl_keyring_name(struct sl_keyring *ring, struct sl_slice id, struct sl_buf *out);
/* Whether a live key belongs to this team or workspace. */
bool sl_keyring_names(struct sl_keyring *ring, enum sl_scope_kind kind, struct sl_slice slug);
/* Whether a live key of the team says that it belongs to another workspace than this. */
bool sl_keyring_strays(struct sl_keyring *ring, struct sl_slice team, struct sl_slice workspace);
/* An array, oldest first. */
void sl_keyring_list(struct sl_keyring *ring, const struct sl_key_spend *spend,
                     struct sl_json_writer *out);

/* Synchronous creation at first start, before the loops run: the secret is
 * appended to `secret`. */
enum sl_err sl_keyring_create_first(struct sl_keyring *ring, struct sl_slice name,
                                    struct sl_buf *secret);

/* --- the master key ------------------------------------------------------- */

/* At start: configured secret rules; empty: the stored one is used, or one is
 * generated ("sk-master-..."), its digest stored and the secret appended to
 * `generated`. */
enum sl_err sl_keyring_set_master(struct sl_keyring *ring, struct sl_store *store,
                                  struct sl_slice configured, struct sl_buf *generated);
bool sl_keyring_is_master(const struct sl_keyring *ring, struct sl_slice secret);

#endif

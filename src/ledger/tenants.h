/* tenants.h - workspaces and teams in memory.
 *
 * Each has a slug and one frozen policy; what it used outlives changes of the policy.
 * Loaded at start, changed by the admin API (the store first, then memory); the request
 * path never asks the store. The admin API lets keys and teams name only what was created;
 * of a store that an older version wrote, anything else is a label without limits, until
 * it is. shared: atomic.
 */
#ifndef SL_LEDGER_TENANTS_H
#define SL_LEDGER_TENANTS_H

#include "base/json.h"
#include "ledger/key.h"

struct sl_store;
struct sl_tenants;
struct sl_tenant;   /* reference-counted */
struct sl_end_user; /* reference-counted; kept while it is in use or counted */

enum { SL_TENANTS_MAX = 1 << 17, SL_END_USERS_MAX = 1 << 17 };

struct sl_tenants *sl_tenants_new(void);
/* After the store that it was loaded from was freed. NULL is fine. */
void sl_tenants_free(struct sl_tenants *tenants);
/* Before the loops start. Any failure (SL_ESYNTAX: a row that cannot be read, named in
 * the log) must stop the start. */
enum sl_err sl_tenants_load(struct sl_tenants *tenants, struct sl_store *store);

struct sl_config_workspace;
/* Makes the workspaces of the configuration that are not there yet; one that is keeps what
 * the admin API made of it, and a difference is told in the log. The store has them when
 * it has done what was submitted before now. */
void sl_tenants_seed(struct sl_tenants *tenants, const struct sl_config_workspace *workspaces,
                     size_t count);

/* kind: TEAM or WORKSPACE. NULL: there is none; else the caller's reference. */
struct sl_tenant *sl_tenants_find(struct sl_tenants *tenants, enum sl_scope_kind kind,
                                  struct sl_slice slug);
/* Whether a team belongs to this workspace. */
bool sl_tenants_name(struct sl_tenants *tenants, struct sl_slice workspace);
struct sl_tenant *sl_tenant_ref(struct sl_tenant *tenant);
void sl_tenant_unref(struct sl_tenant *tenant); /* NULL is fine */
const struct sl_key_policy *sl_tenant_policy(const struct sl_tenant *tenant);
struct sl_meter *sl_tenant_meter(const struct sl_tenant *tenant);

/* The counters of one end user, made at first use. NULL: too many are in use, or out of
 * memory. */
struct sl_end_user *sl_tenants_end_user(struct sl_tenants *tenants, struct sl_slice name,
                                        uint64_t now_mono_ms);
void sl_end_user_unref(struct sl_end_user *user); /* NULL is fine */
struct sl_meter *sl_end_user_meter(struct sl_end_user *user);

/* --- administration: on a loop; done is called on that loop once it is durable -------- */

struct sl_loop;
struct sl_tenant_change {
	void (*done)(struct sl_tenant_change *change);
	struct sl_loop *loop; /* NULL: done is called on the store's thread */
	struct sl_slice actor; /* who, for the audit log; copied */
	enum sl_err     err;  /* SL_ENOTFOUND, SL_EEXIST: the slug is taken; SL_EFULL, SL_EIO,
	                       * SL_EBUSY ...: nothing was changed */
	void           *user;
};
/* body is the request's JSON (validated). False: *fault, and done is not called. The slug
 * is the body's, or its name; *slug, which may be NULL, is on the arena. */
bool sl_tenants_create(struct sl_tenants *tenants, enum sl_scope_kind kind, struct sl_json body,
                       struct sl_arena *arena, struct sl_tenant_change *change,
                       struct sl_slice *slug, struct sl_fault *fault);
bool sl_tenants_patch(struct sl_tenants *tenants, enum sl_scope_kind kind, struct sl_slice slug,
                      struct sl_json body, struct sl_arena *arena,
                      struct sl_tenant_change *change, struct sl_fault *fault);
bool sl_tenants_remove(struct sl_tenants *tenants, enum sl_scope_kind kind, struct sl_slice slug,
                       struct sl_tenant_change *change, struct sl_fault *fault);

/* What a tenant has spent and holds, written as members by whoever knows; NULL: nothing. */
struct sl_tenant_figures {
	void (*write)(void *context, const struct sl_key_policy *policy, struct sl_json_writer *out);
	void *context;
};
/* False: there is none. */
bool sl_tenants_show(struct sl_tenants *tenants, enum sl_scope_kind kind, struct sl_slice slug,
                     const struct sl_tenant_figures *figures, struct sl_json_writer *out);
/* An array in the order of slugs. */
void sl_tenants_list(struct sl_tenants *tenants, enum sl_scope_kind kind,
                     const struct sl_tenant_figures *figures, struct sl_json_writer *out);

#endif

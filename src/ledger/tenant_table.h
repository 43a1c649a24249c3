/* tenant_table.h - inside the tenants: what tenants.c and tenants_change.c share.
 */
#ifndef SL_LEDGER_TENANT_TABLE_H
#define SL_LEDGER_TENANT_TABLE_H

#include <pthread.h>
#include <stdatomic.h>

#include "ledger/tenants.h"

enum { TENANT_SLUG_MAX = 64, END_USER_NAME_MAX = SL_SCOPE_NAME_MAX };

/* Who it is and what it has used: outlives every change of its policy. */
struct tenant_account {
	atomic_uint            refs;
	enum sl_scope_kind     kind;
	struct sl_slice        slug;
	int64_t                created_wall_ms;
	struct tenant_account *next;    /* in its bucket; guarded by the table */
	struct sl_tenant      *current; /* guarded by the table */
	struct sl_meter        meter;
	char                   text[TENANT_SLUG_MAX];
};

/* One frozen policy of an account. */
struct sl_tenant {
	atomic_uint            refs;
	struct tenant_account *account;
	struct sl_arena        arena; /* of the policy */
	struct sl_key_policy   policy;
};

struct sl_end_user {
	atomic_uint         refs;    /* one is the table's */
	struct sl_end_user *next;
	uint64_t            used_ms; /* monotonic, last time it was asked for */
	struct sl_meter     meter;
	size_t              len;
	char                name[END_USER_NAME_MAX];
};

struct sl_tenants {
	struct sl_store        *store; /* NULL: kept in memory only */
	pthread_rwlock_t        lock;  /* guards what follows */
	struct tenant_account **buckets;
	size_t                  bucket_count, count;
	pthread_mutex_t         end_user_lock; /* guards what follows */
	struct sl_end_user    **end_users;
	size_t                  end_user_count, sweep_at;
};

/* A tenant with a fresh account, and one of the same account. NULL: out of memory. */
struct sl_tenant *tenant_new(enum sl_scope_kind kind, struct sl_slice slug,
                             int64_t created_wall_ms);
struct sl_tenant *tenant_sibling(const struct sl_tenant *tenant);
/* Makes it the tenant of its name from the next look-up on. SL_ELIMIT: nothing was
 * changed. */
enum sl_err tenants_put(struct sl_tenants *tenants, struct sl_tenant *tenant);
void tenants_drop(struct sl_tenants *tenants, enum sl_scope_kind kind, struct sl_slice slug);
/* Fills the policy from its stored form. */
enum sl_err tenant_read(struct sl_tenant *tenant, struct sl_slice policy_json);

#endif

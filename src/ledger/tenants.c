/* tenants.c - finding a workspace, a team, an end user.
 *
 *   account (slug, what was used)  <--- tenant (one frozen policy)
 *      '--- current: the policy that a look-up gives out
 *
 * As with keys, a change makes another policy for the same account; asks under way keep
 * the one that they began with. Look-ups take a reader lock for the few instructions
 * between probe and reference.
 *
 * End users are made by their first request. Their table is swept of those that are in
 * no request and whose windows have passed when it has doubled, so it holds about as
 * many as were active in the last minute.
 */
#include "ledger/tenant_table.h"

#include <stdlib.h>

#include "base/log.h"
#include "ledger/key_policy.h"
#include "store/store.h"
#include "store/tenant_store.h"

enum {
	BUCKETS_MIN = 64,
	END_USER_BUCKETS = 4096,
	SWEEP_MIN = 1024,
	POLICY_CHUNK = 512,
	POLICY_ARENA_MAX = 512 * 1024,
};

/* --- lifetimes ------------------------------------------------------------- */

struct sl_tenants *
sl_tenants_new(void)
{
	struct sl_tenants *tenants = calloc(1, sizeof(*tenants));

	if (!tenants)
		return NULL;
	tenants->buckets = calloc(BUCKETS_MIN, sizeof(*tenants->buckets));
	tenants->end_users = calloc(END_USER_BUCKETS, sizeof(*tenants->end_users));
	if (!tenants->buckets || !tenants->end_users) {
		free(tenants->buckets);
		free(tenants->end_users);
		free(tenants);
		return NULL;
	}
	tenants->bucket_count = BUCKETS_MIN;
	tenants->sweep_at = SWEEP_MIN;
	pthread_rwlock_init(&tenants->lock, NULL);
	pthread_mutex_init(&tenants->end_user_lock, NULL);
	return tenants;
}

void
sl_tenants_free(struct sl_tenants *tenants)
{
	if (!tenants)
		return;
	for (size_t i = 0; i < tenants->bucket_count; i++)
		while (tenants->buckets[i]) {
			struct tenant_account *gone = tenants->buckets[i];

			tenants->buckets[i] = gone->next;
			sl_tenant_unref(gone->current);
		}
	for (size_t i = 0; i < END_USER_BUCKETS; i++)
		while (tenants->end_users[i]) {
			struct sl_end_user *gone = tenants->end_users[i];

			tenants->end_users[i] = gone->next;
			sl_end_user_unref(gone);
		}
	pthread_rwlock_destroy(&tenants->lock);
	pthread_mutex_destroy(&tenants->end_user_lock);
	free(tenants->buckets);
	free(tenants->end_users);
	free(tenants);
}

static struct sl_tenant *
tenant_of(struct tenant_account *account)
{
	struct sl_tenant *tenant = calloc(1, sizeof(*tenant));

	if (!tenant)
		return NULL;
	atomic_init(&tenant->refs, 1);
	atomic_fetch_add(&account->refs, 1);
	tenant->account = account;
	sl_arena_init(&tenant->arena, POLICY_CHUNK, POLICY_ARENA_MAX);
	sl_key_policy_init(&tenant->policy, account->kind);
	return tenant;
}

static void
account_unref(struct tenant_account *account)
{
	if (atomic_fetch_sub(&account->refs, 1) > 1)
		return;
	sl_meter_release(&account->meter);
	free(account);
}

struct sl_tenant *
tenant_new(enum sl_scope_kind kind, struct sl_slice slug, int64_t created_wall_ms)
{
	struct tenant_account *account = slug.len <= TENANT_SLUG_MAX ? calloc(1, sizeof(*account))
	                                                             : NULL;
	struct sl_tenant *tenant;

	if (!account)
		return NULL;
	atomic_init(&account->refs, 1);
	account->kind = kind;
	memcpy(account->text, slug.len ? slug.ptr : "", slug.len);
	account->slug = sl_slice_make(account->text, slug.len);
	account->created_wall_ms = created_wall_ms;
	sl_meter_init(&account->meter);
	tenant = tenant_of(account);
	account_unref(account);
	if (tenant)
		tenant->policy.slug = account->slug;
	return tenant;
}

struct sl_tenant *
tenant_sibling(const struct sl_tenant *tenant)
{
	struct sl_tenant *sibling = tenant_of(tenant->account);

	if (sibling)
		sibling->policy.slug = tenant->account->slug;
	return sibling;
}

struct sl_tenant *
sl_tenant_ref(struct sl_tenant *tenant)
{
	atomic_fetch_add_explicit(&tenant->refs, 1, memory_order_relaxed);
	return tenant;
}

void
sl_tenant_unref(struct sl_tenant *tenant)
{
	if (!tenant || atomic_fetch_sub_explicit(&tenant->refs, 1, memory_order_acq_rel) > 1)
		return;
	sl_arena_release(&tenant->arena);
	account_unref(tenant->account);
	free(tenant);
}

const struct sl_key_policy *
sl_tenant_policy(const struct sl_tenant *tenant)
{
	return &tenant->policy;
}

struct sl_meter *
sl_tenant_meter(const struct sl_tenant *tenant)
{
	return &tenant->account->meter;
}

/* --- the table --------------------------------------------------------------- */

static size_t
hash_of(unsigned kind, struct sl_slice name)
{
	uint64_t hash = 0xcbf29ce484222325u ^ kind;

	for (size_t i = 0; i < name.len; i++)
		hash = (hash ^ (unsigned char)name.ptr[i]) * 0x100000001b3u;
	return (size_t)(hash ^ hash >> 29);
}

/* Where the account hangs, or the end of its chain. */
static struct tenant_account **
probe(const struct sl_tenants *tenants, enum sl_scope_kind kind, struct sl_slice slug)
{
	struct tenant_account **at =
	    &tenants->buckets[hash_of(kind, slug) & (tenants->bucket_count - 1)];

	while (*at && !((*at)->kind == kind && sl_slice_eq((*at)->slug, slug)))
		at = &(*at)->next;
	return at;
}

struct sl_tenant *
sl_tenants_find(struct sl_tenants *tenants, enum sl_scope_kind kind, struct sl_slice slug)
{
	struct tenant_account *account;
	struct sl_tenant *tenant;

	pthread_rwlock_rdlock(&tenants->lock);
	account = *probe(tenants, kind, slug);
	tenant = account ? sl_tenant_ref(account->current) : NULL;
	pthread_rwlock_unlock(&tenants->lock);
	return tenant;
}

bool
sl_tenants_name(struct sl_tenants *tenants, struct sl_slice workspace)
{
	bool found = false;

	pthread_rwlock_rdlock(&tenants->lock);
	for (size_t i = 0; !found && i < tenants->bucket_count; i++)
		for (struct tenant_account *at = tenants->buckets[i]; at; at = at->next)
			found |= at->kind == SL_SCOPE_TEAM &&
			         sl_slice_eq(at->current->policy.workspace, workspace);
	pthread_rwlock_unlock(&tenants->lock);
	return found;
}

/* More buckets; the old ones do too when there is no memory. */
static void
spread(struct sl_tenants *tenants)
{
	size_t count = tenants->bucket_count * 2;
	struct tenant_account **buckets = calloc(count, sizeof(*buckets));

	if (!buckets)
		return;
	for (size_t i = 0; i < tenants->bucket_count; i++)
		while (tenants->buckets[i]) {
			struct tenant_account *at = tenants->buckets[i];
			size_t to = hash_of(at->kind, at->slug) & (count - 1);

			tenants->buckets[i] = at->next;
			at->next = buckets[to];
			buckets[to] = at;
		}
	free(tenants->buckets);
	tenants->buckets = buckets;
	tenants->bucket_count = count;
}

enum sl_err
tenants_put(struct sl_tenants *tenants, struct sl_tenant *tenant)
{
	struct sl_tenant *before = NULL;
	struct tenant_account **at;
	enum sl_err err = SL_OK;

	pthread_rwlock_wrlock(&tenants->lock);
	if (tenants->count >= tenants->bucket_count)
		spread(tenants);
	at = probe(tenants, tenant->account->kind, tenant->account->slug);
	if (*at) {
		before = (*at)->current;
		/* Another account only where one was removed and made anew meanwhile. */
		if (*at != tenant->account) {
			tenant->account->next = (*at)->next;
			*at = tenant->account;
		}
		tenant->account->current = sl_tenant_ref(tenant);
	} else if (tenants->count >= SL_TENANTS_MAX) {
		err = SL_ELIMIT;
	} else {
		*at = tenant->account;
		tenant->account->next = NULL;
		tenant->account->current = sl_tenant_ref(tenant);
		tenants->count++;
	}
	pthread_rwlock_unlock(&tenants->lock);
	sl_tenant_unref(before);
	return err;
}

void
tenants_drop(struct sl_tenants *tenants, enum sl_scope_kind kind, struct sl_slice slug)
{
	struct sl_tenant *gone = NULL;
	struct tenant_account **at;

	pthread_rwlock_wrlock(&tenants->lock);
	at = probe(tenants, kind, slug);
	if (*at) {
		gone = (*at)->current;
		*at = (*at)->next;
		tenants->count--;
	}
	pthread_rwlock_unlock(&tenants->lock);
	sl_tenant_unref(gone);
}

/* --- reading what is stored ------------------------------------------------------ */

enum sl_err
tenant_read(struct sl_tenant *tenant, struct sl_slice policy_json)
{
	struct sl_json_error error;
	struct sl_arena scratch;
	struct sl_fault fault;
	enum sl_err err = sl_json_validate(policy_json, &sl_json_limits_default, &error);

	if (err != SL_OK)
		return err;
	sl_arena_init(&scratch, 1024, 0);
	if (!sl_key_policy_apply(&tenant->policy, sl_json_parse(policy_json), SL_POLICY_STORED, 0,
	                         &tenant->arena, &scratch, &fault))
		err = fault.kind == SL_FAULT_UNAVAILABLE ? SL_ENOMEM : SL_ESYNTAX;
	sl_arena_release(&scratch);
	return err;
}

struct loading {
	struct sl_store_job job;
	struct sl_tenants  *tenants;
	enum sl_err         err; /* of a row */
};

static bool
load_row(void *context, const struct sl_tenant_row *row)
{
	struct loading *loading = context;
	struct sl_tenant *tenant = tenant_new((enum sl_scope_kind)row->kind, row->slug,
	                                      row->created_wall_ms);

	loading->err = tenant ? tenant_read(tenant, row->policy_json) : SL_ENOMEM;
	if (loading->err == SL_OK)
		loading->err = tenants_put(loading->tenants, tenant);
	sl_tenant_unref(tenant);
	if (loading->err != SL_OK)
		sl_log(SL_LOG_ERROR, "a team or workspace in the store cannot be read",
		       SL_LOG_S("slug", row->slug), SL_LOG_Z("error", sl_err_text(loading->err)));
	return loading->err == SL_OK;
}

static void
run_load(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct loading *loading = SL_CONTAINER(job, struct loading, job);

	job->err = ops->tenants->tenant_each(conn, load_row, loading);
	if (job->err == SL_OK)
		job->err = loading->err;
}

enum sl_err
sl_tenants_load(struct sl_tenants *tenants, struct sl_store *store)
{
	struct loading loading = { .job = { .run = run_load }, .tenants = tenants };
	enum sl_err err = sl_store_run(store, &loading.job);

	if (err == SL_OK)
		tenants->store = store;
	return err;
}

/* --- end users --------------------------------------------------------------------- */

void
sl_end_user_unref(struct sl_end_user *user)
{
	if (!user || atomic_fetch_sub_explicit(&user->refs, 1, memory_order_acq_rel) > 1)
		return;
	sl_meter_release(&user->meter);
	free(user);
}

struct sl_meter *
sl_end_user_meter(struct sl_end_user *user)
{
	return &user->meter;
}

static void
sweep(struct sl_tenants *tenants, uint64_t now_mono_ms)
{
	for (size_t i = 0; i < END_USER_BUCKETS; i++) {
		struct sl_end_user **at = &tenants->end_users[i];

		while (*at) {
			struct sl_end_user *user = *at;

			if (atomic_load(&user->refs) > 1 ||
			    now_mono_ms < user->used_ms + SL_RATE_WINDOW_MS) {
				at = &user->next;
				continue;
			}
			*at = user->next;
			tenants->end_user_count--;
			sl_end_user_unref(user);
		}
	}
	tenants->sweep_at = 2 * tenants->end_user_count;
	if (tenants->sweep_at < SWEEP_MIN)
		tenants->sweep_at = SWEEP_MIN;
}

static struct sl_end_user *
add_end_user(struct sl_tenants *tenants, struct sl_slice name, uint64_t now_mono_ms)
{
	struct sl_end_user *user, **bucket;

	if (tenants->end_user_count >= tenants->sweep_at ||
	    tenants->end_user_count >= SL_END_USERS_MAX)
		sweep(tenants, now_mono_ms);
	if (tenants->end_user_count >= SL_END_USERS_MAX)
		return NULL;
	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	atomic_init(&user->refs, 1);
	memcpy(user->name, name.len ? name.ptr : "", name.len);
	user->len = name.len;
	sl_meter_init(&user->meter);
	bucket = &tenants->end_users[hash_of(SL_SCOPE_END_USER, name) % END_USER_BUCKETS];
	user->next = *bucket;
	*bucket = user;
	tenants->end_user_count++;
	return user;
}

struct sl_end_user *
sl_tenants_end_user(struct sl_tenants *tenants, struct sl_slice name, uint64_t now_mono_ms)
{
	struct sl_end_user *user;

	if (name.len > END_USER_NAME_MAX)
		return NULL;
	pthread_mutex_lock(&tenants->end_user_lock);
	user = tenants->end_users[hash_of(SL_SCOPE_END_USER, name) % END_USER_BUCKETS];
	while (user && !sl_slice_eq(sl_slice_make(user->name, user->len), name))
		user = user->next;
	if (!user)
		user = add_end_user(tenants, name, now_mono_ms);
	if (user) {
		atomic_fetch_add(&user->refs, 1);
		user->used_ms = now_mono_ms;
	}
	pthread_mutex_unlock(&tenants->end_user_lock);
	return user;
}

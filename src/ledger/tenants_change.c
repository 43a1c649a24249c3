/* tenants_change.c - changing teams and workspaces: the store first, then memory.
 *
 *   submitted --> run (store thread: row and audit row written)
 *      commit succeeded --> memory follows --> told (on its loop)
 *      anything failed  --> nothing changed --> told
 *
 * A PATCH is merged with the row as the store has it when its turn comes, not with
 * memory: of two in one transaction the second sees the first, and neither loses the
 * other's members. Memory follows in the same order, on the store's thread.
 */
#include "ledger/tenant_table.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/timestamp.h"
#include "ledger/audit.h"
#include "ledger/key_policy.h"
#include "model/config.h"
#include "store/store.h"
#include "store/tenant_store.h"

enum { POLICY_JSON_MAX = 512 * 1024 };

enum change_kind { CREATE, PATCH, REMOVE };

struct change {
	struct sl_store_job      job;
	struct sl_task           task; /* to tell the loop */
	struct sl_tenants       *tenants;
	struct sl_tenant_change *public;
	enum change_kind         kind;
	struct sl_tenant        *tenant; /* CREATE: prepared; PATCH: made when it runs */
	enum sl_scope_kind       level;
	struct sl_slice          slug, actor; /* on the arena */
	struct sl_json           body;
	struct sl_arena          arena;
};

/* --- showing --------------------------------------------------------------- */

static void
show(const struct sl_tenant *tenant, const struct sl_tenant_figures *figures,
     struct sl_json_writer *out)
{
	char text[SL_TIMESTAMP_LEN + 1];

	sl_json_obj(out);
	sl_json_str(out, "id", tenant->account->slug);
	sl_key_policy_show(&tenant->policy, out);
	sl_json_str(out, "created_at",
	            sl_slice_make(text, sl_timestamp_format(tenant->account->created_wall_ms, text)));
	if (figures)
		figures->write(figures->context, &tenant->policy, out);
	sl_json_obj_end(out);
}

bool
sl_tenants_show(struct sl_tenants *tenants, enum sl_scope_kind kind, struct sl_slice slug,
                const struct sl_tenant_figures *figures, struct sl_json_writer *out)
{
	struct sl_tenant *tenant = sl_tenants_find(tenants, kind, slug);

	if (tenant)
		show(tenant, figures, out);
	sl_tenant_unref(tenant);
	return tenant != NULL;
}

static int
by_slug(const void *a, const void *b)
{
	struct sl_slice left = (*(struct sl_tenant *const *)a)->account->slug;
	struct sl_slice right = (*(struct sl_tenant *const *)b)->account->slug;
	int order = memcmp(left.ptr, right.ptr, left.len < right.len ? left.len : right.len);

	return order ? order : (left.len > right.len) - (left.len < right.len);
}

/* Every tenant of a kind, each with a reference; *all is the caller's to free. */
static size_t
gather(struct sl_tenants *tenants, enum sl_scope_kind kind, struct sl_tenant ***all)
{
	size_t count = 0;

	pthread_rwlock_rdlock(&tenants->lock);
	*all = calloc(tenants->count + 1, sizeof(**all));
	for (size_t i = 0; *all && i < tenants->bucket_count; i++)
		for (struct tenant_account *at = tenants->buckets[i]; at; at = at->next)
			if (at->kind == kind)
				(*all)[count++] = sl_tenant_ref(at->current);
	pthread_rwlock_unlock(&tenants->lock);
	if (*all)
		qsort(*all, count, sizeof(**all), by_slug);
	return count;
}

void
sl_tenants_list(struct sl_tenants *tenants, enum sl_scope_kind kind,
                const struct sl_tenant_figures *figures, struct sl_json_writer *out)
{
	struct sl_tenant **all;
	size_t count = gather(tenants, kind, &all);

	sl_json_arr(out);
	for (size_t i = 0; i < count; i++) {
		show(all[i], figures, out);
		sl_tenant_unref(all[i]);
	}
	sl_json_arr_end(out);
	free(all);
}

/* --- one change -------------------------------------------------------------- */

static void
free_change(struct change *change)
{
	sl_tenant_unref(change->tenant);
	sl_arena_release(&change->arena);
	free(change);
}

static void
tell(struct sl_task *task)
{
	struct change *change = SL_CONTAINER(task, struct change, task);
	struct sl_tenant_change *public = change->public;

	public->err = change->job.err;
	free_change(change);
	public->done(public);
}

static void
write_policy(const struct sl_tenant *tenant, struct sl_buf *json)
{
	struct sl_json_writer writer;

	sl_json_writer_init(&writer, json);
	sl_json_obj(&writer);
	sl_key_policy_show(&tenant->policy, &writer);
	sl_json_obj_end(&writer);
}

/* The stored policy with the body's members changed. NULL: *fault. */
static struct sl_tenant *
patched(const struct sl_tenant *base, struct sl_slice stored, struct sl_json body,
        struct sl_arena *scratch, struct sl_fault *fault)
{
	struct sl_tenant *tenant = tenant_sibling(base);

	sl_fault_set(fault, SL_FAULT_UNAVAILABLE, SL_SLICE("Out of memory."));
	if (!tenant || tenant_read(tenant, stored) != SL_OK ||
	    !sl_key_policy_apply(&tenant->policy, body, SL_POLICY_PATCH, sl_clock_wall_ms(),
	                         &tenant->arena, scratch, fault)) {
		sl_tenant_unref(tenant);
		return NULL;
	}
	return tenant;
}

static enum sl_err
write_row(struct change *change, const struct sl_store_ops *ops, void *conn,
          struct sl_slice after)
{
	const struct sl_tenant_row row = {
		.kind = (uint8_t)change->level, .slug = change->slug, .policy_json = after,
		.created_wall_ms = change->tenant ? change->tenant->account->created_wall_ms : 0,
	};

	return change->kind == REMOVE
	           ? ops->tenants->tenant_remove(conn, row.kind, row.slug)
	           : ops->tenants->tenant_put(conn, &row);
}

static enum sl_err
audit(const struct change *change, const struct sl_store_ops *ops, void *conn,
      struct sl_slice before, struct sl_slice after)
{
	static const char *const actions[2][3] = {
		{ "team.create", "team.update", "team.delete" },
		{ "workspace.create", "workspace.update", "workspace.delete" },
	};
	const struct sl_audit_entry entry = {
		.actor = change->actor,
		.action = sl_slice_str(actions[change->level == SL_SCOPE_WORKSPACE][change->kind]),
		.target = change->slug,
		.before_json = before,
		.after_json = after,
	};

	return sl_audit_add(ops, conn, &entry, sl_clock_wall_ms());
}

static enum sl_err
prepare_patch(struct change *change, struct sl_slice before)
{
	struct sl_tenant *base =
	    sl_tenants_find(change->tenants, change->level, change->slug);
	struct sl_fault ignored;

	if (!base)
		return SL_ENOTFOUND;
	change->tenant = patched(base, before, change->body, &change->arena, &ignored);
	sl_tenant_unref(base);
	return change->tenant ? SL_OK : SL_ENOMEM;
}

/* Store thread. */
static void
run_change(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct change *change = SL_CONTAINER(job, struct change, job);
	struct sl_buf before, after;
	enum sl_err err;

	sl_buf_init(&before, POLICY_JSON_MAX);
	sl_buf_init(&after, POLICY_JSON_MAX);
	err = ops->tenants->tenant_get(conn, (uint8_t)change->level, change->slug, &before);
	if (change->kind == CREATE)
		err = err == SL_OK ? SL_EEXIST : err == SL_ENOTFOUND ? SL_OK : err;
	if (err == SL_OK && change->kind == PATCH)
		err = prepare_patch(change, sl_buf_slice(&before));
	if (err == SL_OK && change->kind != REMOVE)
		write_policy(change->tenant, &after);
	if (after.failed)
		err = SL_ENOMEM;
	if (err == SL_OK)
		err = write_row(change, ops, conn, sl_buf_slice(&after));
	if (err == SL_OK)
		err = audit(change, ops, conn, sl_buf_slice(&before), sl_buf_slice(&after));
	sl_buf_release(&before);
	sl_buf_release(&after);
	job->err = err;
}

/* Store thread, after the commit: memory follows what became durable. */
static void
change_done(struct sl_store_job *job)
{
	struct change *change = SL_CONTAINER(job, struct change, job);

	if (job->err == SL_OK && change->kind == REMOVE)
		tenants_drop(change->tenants, change->level, change->slug);
	else if (job->err == SL_OK)
		job->err = tenants_put(change->tenants, change->tenant);
	change->task.run = tell;
	if (change->public->loop)
		sl_loop_post(change->public->loop, &change->task);
	else
		tell(&change->task);
}

static struct change *
new_change(struct sl_tenants *tenants, enum change_kind kind, enum sl_scope_kind level,
           struct sl_slice slug, struct sl_tenant_change *public, struct sl_fault *fault)
{
	struct change *change = calloc(1, sizeof(*change));

	sl_fault_set(fault, SL_FAULT_UNAVAILABLE, SL_SLICE("Out of memory."));
	if (!change)
		return NULL;
	change->job.run = run_change;
	change->job.done = change_done;
	change->tenants = tenants;
	change->public = public;
	change->kind = kind;
	change->level = level;
	sl_arena_init(&change->arena, 1024, POLICY_JSON_MAX);
	change->slug = sl_arena_dup(&change->arena, slug);
	change->actor = sl_arena_dup(&change->arena, public->actor);
	if (change->slug.ptr && change->actor.ptr)
		return change;
	free_change(change);
	return NULL;
}

static bool
begin(struct change *change, struct sl_fault *fault)
{
	if (change->tenants->store && sl_store_submit(change->tenants->store, &change->job) == SL_OK)
		return true;
	sl_fault_set(fault, SL_FAULT_OVERLOADED,
	             SL_SLICE("Too many changes wait for the store. Try again soon."));
	fault->retry_after_s = 1;
	free_change(change);
	return false;
}

/* --- create ------------------------------------------------------------------------ */

static bool
not_found(enum sl_scope_kind kind, struct sl_fault *fault)
{
	sl_fault_set(fault, SL_FAULT_NOT_FOUND,
	             kind == SL_SCOPE_TEAM ? SL_SLICE("There is no team of this slug.")
	                                   : SL_SLICE("There is no workspace of this slug."));
	return false;
}

static bool
refuse_nameless(struct sl_fault *fault)
{
	sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
	             SL_SLICE("slug must be given (or name, which is then the slug): 1 to 64 "
	                      "bytes without a slash."));
	fault->param = SL_SLICE("slug");
	return false;
}

bool
sl_tenants_create(struct sl_tenants *tenants, enum sl_scope_kind kind, struct sl_json body,
                  struct sl_arena *arena, struct sl_tenant_change *public, struct sl_slice *slug,
                  struct sl_fault *fault)
{
	int64_t now_wall_ms = sl_clock_wall_ms();
	struct sl_key_policy asked;
	struct sl_tenant *tenant;
	struct change *change;
	struct sl_slice name;

	sl_key_policy_init(&asked, kind);
	if (!sl_key_policy_apply(&asked, body, SL_POLICY_CREATE, now_wall_ms, arena, arena, fault))
		return false;
	name = asked.slug.len ? asked.slug : asked.name;
	if (name.len == 0 || name.len > TENANT_SLUG_MAX || sl_slice_find(name, '/') >= 0)
		return refuse_nameless(fault);
	change = new_change(tenants, CREATE, kind, name, public, fault);
	if (!change)
		return false;
	tenant = change->tenant = tenant_new(kind, name, now_wall_ms);
	if (!tenant || !sl_key_policy_apply(&tenant->policy, body, SL_POLICY_CREATE, now_wall_ms,
	                                    &tenant->arena, arena, fault)) {
		free_change(change);
		return false;
	}
	tenant->policy.slug = tenant->account->slug;
	if (slug)
		*slug = name;
	return begin(change, fault);
}

/* --- from the configuration ------------------------------------------------------- */

static void
seeded(struct sl_tenant_change *public)
{
	if (public->err != SL_OK && public->err != SL_EEXIST)
		sl_log(SL_LOG_ERROR, "a workspace of the configuration was not stored",
		       SL_LOG_Z("error", sl_err_text(public->err)));
	free(public);
}

static void
seed(struct sl_tenants *tenants, const struct sl_config_workspace *workspace)
{
	struct sl_tenant_change *public = calloc(1, sizeof(*public));
	struct change *change = NULL;
	struct sl_key_policy *policy;
	struct sl_fault ignored;

	if (public) {
		public->done = seeded;
		public->actor = SL_SLICE("configuration");
		change = new_change(tenants, CREATE, SL_SCOPE_WORKSPACE, workspace->slug, public,
		                    &ignored);
	}
	if (change)
		change->tenant = tenant_new(SL_SCOPE_WORKSPACE, workspace->slug, sl_clock_wall_ms());
	if (change && change->tenant) {
		policy = &change->tenant->policy;
		policy->stack = sl_arena_dup(&change->tenant->arena, workspace->stack);
		policy->limits.money.prepaid = workspace->prepaid;
		policy->limits.money.minimum_balance = workspace->minimum_balance_nanousd;
		if (begin(change, &ignored))
			return;
	} else if (change) {
		free_change(change);
	}
	free(public);
	sl_log(SL_LOG_ERROR, "a workspace of the configuration was not stored",
	       SL_LOG_S("slug", workspace->slug));
}

void
sl_tenants_seed(struct sl_tenants *tenants, const struct sl_config_workspace *workspaces,
                size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct sl_tenant *known =
		    sl_tenants_find(tenants, SL_SCOPE_WORKSPACE, workspaces[i].slug);
		const struct sl_key_policy *policy = known ? &known->policy : NULL;

		if (!known)
			seed(tenants, &workspaces[i]);
		else if (policy->limits.money.prepaid != workspaces[i].prepaid ||
		         policy->limits.money.minimum_balance !=
		             workspaces[i].minimum_balance_nanousd ||
		         !sl_slice_eq(policy->stack, workspaces[i].stack))
			sl_log(SL_LOG_WARN, "a workspace differs from the configuration, which only "
			       "makes what is missing: PATCH /admin/workspaces changes it",
			       SL_LOG_S("slug", workspaces[i].slug));
		sl_tenant_unref(known);
	}
}

/* --- patch and remove ------------------------------------------------------------- */

bool
sl_tenants_patch(struct sl_tenants *tenants, enum sl_scope_kind kind, struct sl_slice slug,
                 struct sl_json body, struct sl_arena *arena, struct sl_tenant_change *public,
                 struct sl_fault *fault)
{
	struct sl_tenant *tenant = sl_tenants_find(tenants, kind, slug), *trial;
	struct change *change;
	struct sl_slice copy;
	struct sl_buf json;

	if (!tenant)
		return not_found(kind, fault);
	/* Every problem of the body is told now; merged again when its turn comes. */
	sl_buf_init(&json, POLICY_JSON_MAX);
	write_policy(tenant, &json);
	trial = patched(tenant, sl_buf_slice(&json), body, arena, fault);
	sl_buf_release(&json);
	sl_tenant_unref(tenant);
	sl_tenant_unref(trial);
	change = trial ? new_change(tenants, PATCH, kind, slug, public, fault) : NULL;
	if (!change)
		return false;
	copy = sl_arena_dup(&change->arena, body.raw);
	if (!copy.ptr) {
		free_change(change);
		return false;
	}
	change->body = sl_json_parse(copy);
	return begin(change, fault);
}

bool
sl_tenants_remove(struct sl_tenants *tenants, enum sl_scope_kind kind, struct sl_slice slug,
                  struct sl_tenant_change *public, struct sl_fault *fault)
{
	struct sl_tenant *tenant = sl_tenants_find(tenants, kind, slug);
	struct change *change;

	sl_tenant_unref(tenant);
	if (!tenant)
		return not_found(kind, fault);
	change = new_change(tenants, REMOVE, kind, slug, public, fault);
	return change && begin(change, fault);
}

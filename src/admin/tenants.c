/* tenants.c - /admin/workspaces and /admin/teams: one set of handlers for both.
 *
 * As with keys: create, list, show, PATCH, DELETE; a change is answered when it is
 * durable and holds from the next request on. A team or workspace that keys, or
 * teams, still name is not deleted, because its limits would go and its keys would not.
 */
#include <stdlib.h>

#include "admin/call.h"
#include "admin/membership.h"
#include "base/clock.h"
#include "ledger/key_policy.h"
#include "ledger/money.h"
#include "ledger/tenants.h"

/* --- showing ------------------------------------------------------------------- */

static void
write_figures(void *context, const struct sl_key_policy *policy, struct sl_json_writer *w)
{
	struct sl_money *money = context;
	struct sl_money_standing standing;

	sl_money_standing(money, policy->level, policy->slug, policy->limits.money.zone,
	                  sl_clock_wall_ms(), &standing);
	sl_json_usd(w, "spend_usd", standing.spent[SL_WINDOW_TOTAL]);
	sl_json_usd(w, "held_usd", standing.held[SL_WINDOW_TOTAL]);
	if (policy->level == SL_SCOPE_WORKSPACE)
		/* What is held of prepaid credit is no longer in what is available. */
		sl_json_usd(w, "balance_usd",
		            standing.available +
		                (policy->limits.money.prepaid ? standing.held[SL_WINDOW_TOTAL] : 0));
}

static void
answer_list(struct admin_call *call, enum sl_scope_kind kind)
{
	const struct sl_admin_services *services = &call->admin->services;
	const struct sl_tenant_figures figures = { write_figures, services->money };
	struct sl_json_writer w;
	struct sl_buf body;

	sl_buf_init(&body, ADMIN_ANSWER_MAX);
	sl_json_writer_init(&w, &body);
	sl_json_obj(&w);
	sl_json_key(&w, "data");
	sl_tenants_list(services->tenants, kind, services->money ? &figures : NULL, &w);
	sl_json_obj_end(&w);
	admin_answer_json(call, 200, &body);
}

static void
answer_one(struct admin_call *call, enum sl_scope_kind kind, struct sl_slice slug, int status)
{
	const struct sl_admin_services *services = &call->admin->services;
	const struct sl_tenant_figures figures = { write_figures, services->money };
	struct sl_json_writer w;
	struct sl_buf body;

	sl_buf_init(&body, ADMIN_ANSWER_MAX);
	sl_json_writer_init(&w, &body);
	if (sl_tenants_show(services->tenants, kind, slug, services->money ? &figures : NULL, &w))
		admin_answer_json(call, status, &body);
	else
		admin_answer_fault_text(call, SL_FAULT_NOT_FOUND,
		                        kind == SL_SCOPE_TEAM ? "There is no team of this slug."
		                                              : "There is no workspace of this slug.");
	sl_buf_release(&body);
}

/* --- changing ------------------------------------------------------------------ */

struct change {
	struct sl_tenant_change public;
	struct admin_call      *call;
	enum sl_scope_kind      kind;
	int                     status; /* of success; 204 answers nothing */
	char                    slug[ADMIN_ID_MAX + 1];
};

static void
drop(struct change *change)
{
	struct admin_call *call = change->call;

	free(change);
	admin_call_unref(call);
}

static void
changed(struct sl_tenant_change *public)
{
	struct change *change = SL_CONTAINER(public, struct change, public);
	struct admin_call *call = change->call;

	if (admin_call_alive(call) && public->err == SL_EEXIST)
		admin_answer_fault_text(call, SL_FAULT_CONFLICT,
		                        "This slug is taken: PATCH changes what is there.");
	else if (admin_call_alive(call) && public->err != SL_OK)
		admin_answer_store(call, public->err);
	else if (admin_call_alive(call) && change->status == 204)
		admin_answer_empty(call, 204);
	else if (admin_call_alive(call))
		answer_one(call, change->kind, sl_slice_str(change->slug), change->status);
	drop(change);
}

static struct change *
new_change(struct admin_call *call, enum sl_scope_kind kind, int status)
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change) {
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE, "Out of memory.");
		return NULL;
	}
	*change = (struct change){
		.public = { .done = changed, .loop = call->admin->loop, .actor = admin_actor(call) },
		.call = call, .kind = kind, .status = status,
	};
	memcpy(change->slug, call->id, sizeof(change->slug));
	admin_call_ref(call);
	return change;
}

/* False: a team's body names a workspace that is not there, and was answered. Anything
 * else that is wrong with it is told by whoever reads all of it. */
static bool
workspace_stands(struct admin_call *call, enum sl_scope_kind kind, struct sl_json body)
{
	struct sl_arena *arena = &call->exchange->arena;
	struct sl_slice slug, team = sl_slice_str(call->id);

	/* One that is made has its name in the body; keys may have named it before. */
	if (team.len == 0 && !sl_json_string(sl_json_get(body, "slug"), arena, &team))
		team = SL_SLICE_NONE;
	return kind != SL_SCOPE_TEAM ||
	       !sl_json_string(sl_json_get(body, "workspace"), arena, &slug) ||
	       (admin_workspace_stands(call, slug) && admin_team_moves(call, team, slug));
}

static void
create(struct admin_call *call, enum sl_scope_kind kind)
{
	struct change *change;
	struct sl_fault fault;
	struct sl_slice slug;
	struct sl_json body;

	if (!admin_body(call, &body) || !workspace_stands(call, kind, body) ||
	    !(change = new_change(call, kind, 201)))
		return;
	if (!sl_tenants_create(call->admin->services.tenants, kind, body, &call->exchange->arena,
	                       &change->public, &slug, &fault)) {
		admin_answer_fault(call, &fault);
		drop(change);
		return;
	}
	/* The store's answer comes through this loop, so not before now. */
	memcpy(change->slug, slug.ptr, slug.len);
	change->slug[slug.len] = '\0';
}

static void
patch(struct admin_call *call, enum sl_scope_kind kind)
{
	struct change *change;
	struct sl_fault fault;
	struct sl_json body;

	if (!admin_body(call, &body) || !workspace_stands(call, kind, body) ||
	    !(change = new_change(call, kind, 200)))
		return;
	if (!sl_tenants_patch(call->admin->services.tenants, kind, sl_slice_str(call->id), body,
	                      &call->exchange->arena, &change->public, &fault)) {
		admin_answer_fault(call, &fault);
		drop(change);
	}
}

static bool
in_use(struct admin_call *call, enum sl_scope_kind kind)
{
	const struct sl_admin_services *services = &call->admin->services;
	struct sl_slice slug = sl_slice_str(call->id);
	struct sl_money_standing standing = { 0 };
	const char *message = NULL;

	if (kind == SL_SCOPE_WORKSPACE && services->money)
		sl_money_standing(services->money, kind, slug, NULL, sl_clock_wall_ms(), &standing);
	if (sl_keyring_names(services->keyring, kind, slug))
		message = "Keys still belong to it and would lose its limits: revoke them or PATCH them "
		          "first, or set \"enabled\": false.";
	else if (kind == SL_SCOPE_WORKSPACE && sl_tenants_name(services->tenants, slug))
		message = "Teams still belong to it, and their keys would lose its limits: DELETE them "
		          "or PATCH them first, or set \"enabled\": false.";
	else if (standing.available > 0 || standing.held[SL_WINDOW_TOTAL] > 0)
		message = "It still has credit, or requests in flight: give the credit back with a "
		          "negative amount to its credits first, or set \"enabled\": false.";
	if (message)
		admin_answer_fault_text(call, SL_FAULT_CONFLICT, message);
	return message != NULL;
}

static void
delete(struct admin_call *call, enum sl_scope_kind kind)
{
	struct change *change;
	struct sl_fault fault;

	if (in_use(call, kind) || !(change = new_change(call, kind, 204)))
		return;
	if (!sl_tenants_remove(call->admin->services.tenants, kind, sl_slice_str(call->id),
	                       &change->public, &fault)) {
		admin_answer_fault(call, &fault);
		drop(change);
	}
}

/* --- the routes ------------------------------------------------------------------- */

#define TENANT_HANDLERS(plural, kind)                                                    \
	void admin_##plural##_list(struct admin_call *call) { answer_list(call, kind); } \
	void admin_##plural##_create(struct admin_call *call) { create(call, kind); }    \
	void admin_##plural##_patch(struct admin_call *call) { patch(call, kind); }      \
	void admin_##plural##_delete(struct admin_call *call) { delete(call, kind); }    \
	void admin_##plural##_show(struct admin_call *call)                              \
	{                                                                                \
		answer_one(call, kind, sl_slice_str(call->id), 200);                     \
	}
TENANT_HANDLERS(teams, SL_SCOPE_TEAM)
TENANT_HANDLERS(workspaces, SL_SCOPE_WORKSPACE)

/* membership.c - a key belongs to levels that exist.
 *
 *   workspace that was not created --> 400: a slip of the pen would be a key that its
 *                                     budget and its balance do not hold
 *   team that was not created      --> made before the key: without limits of its own,
 *                                     but listed, limitable and in the audit log
 *
 * Teams differ because callers of POST /admin/keys name them freely, as labels to group
 * spend by.
 */
#include <stdlib.h>

#include "admin/membership.h"
#include "base/clock.h"
#include "ledger/tenants.h"

enum { TEAM_JSON_MAX = 4096 };

/* A team that is made for a key. */
struct founding {
	struct sl_tenant_change public;
	struct admin_call      *call;
	void (*next)(struct admin_call *call);
};

static bool
exists(struct admin_call *call, enum sl_scope_kind kind, struct sl_slice slug)
{
	struct sl_tenant *tenant = sl_tenants_find(call->admin->services.tenants, kind, slug);

	sl_tenant_unref(tenant);
	return tenant != NULL;
}

bool
admin_workspace_stands(struct admin_call *call, struct sl_slice slug)
{
	struct sl_slice message;

	if (slug.len == 0 || exists(call, SL_SCOPE_WORKSPACE, slug))
		return true;
	message = sl_arena_printf(&call->exchange->arena, "There is no workspace '%.*s', so nothing "
	                          "would limit it. Create it first: POST /admin/workspaces with "
	                          "its slug.", SL_ARG(slug));
	return admin_refuse(call, "workspace", message.ptr ? message.ptr : "Out of memory.");
}

static void
founded(struct sl_tenant_change *public)
{
	struct founding *founding = SL_CONTAINER(public, struct founding, public);
	struct admin_call *call = founding->call;

	/* Two keys may found it at the same time. */
	if (admin_call_alive(call) && (public->err == SL_OK || public->err == SL_EEXIST))
		founding->next(call);
	else if (admin_call_alive(call))
		admin_answer_store(call, public->err);
	free(founding);
	admin_call_unref(call);
}

static void
found_team(struct admin_call *call, struct sl_slice slug, void (*next)(struct admin_call *call))
{
	struct founding *founding = calloc(1, sizeof(*founding));
	struct sl_json_writer w;
	struct sl_fault fault;
	struct sl_buf body;

	sl_fault_set(&fault, SL_FAULT_UNAVAILABLE, SL_SLICE("Out of memory."));
	sl_buf_init(&body, TEAM_JSON_MAX);
	sl_json_writer_init(&w, &body);
	sl_json_obj(&w);
	sl_json_str(&w, "slug", slug);
	sl_json_obj_end(&w);
	if (founding && !body.failed) {
		*founding = (struct founding){
			.public = { .done = founded, .loop = call->admin->loop,
			            .actor = admin_actor(call) },
			.call = call, .next = next,
		};
		admin_call_ref(call);
		if (sl_tenants_create(call->admin->services.tenants, SL_SCOPE_TEAM,
		                      sl_json_parse(sl_buf_slice(&body)), &call->exchange->arena,
		                      &founding->public, NULL, &fault)) {
			sl_buf_release(&body);
			return;
		}
		admin_call_unref(call);
	}
	if (fault.param.len)
		fault.param = SL_SLICE("team");
	admin_answer_fault(call, &fault);
	sl_buf_release(&body);
	free(founding);
}

void
admin_membership(struct admin_call *call, enum sl_policy_source source,
                 void (*next)(struct admin_call *call))
{
	struct sl_key_policy asked;
	struct sl_fault fault;
	struct sl_json body;

	if (!admin_body(call, &body))
		return;
	sl_key_policy_init(&asked, SL_SCOPE_KEY);
	if (!sl_key_policy_apply(&asked, body, source, sl_clock_wall_ms(), &call->exchange->arena,
	                         &call->exchange->arena, &fault)) {
		admin_answer_fault(call, &fault);
		return;
	}
	if (!admin_workspace_stands(call, asked.workspace))
		return;
	if (asked.team.len == 0 || exists(call, SL_SCOPE_TEAM, asked.team))
		next(call);
	else
		found_team(call, asked.team, next);
}

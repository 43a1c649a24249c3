/* membership.c - a key belongs to levels that exist.
 *
 *   workspace that was not created --> 400: a slip of the pen would be a key that its
 *                                     budget and its balance do not hold
 *   team that was not created      --> made before the key: without limits of its own,
 *                                     but listed, limitable and in the audit log
 *
 *   team of another workspace      --> 400: the requests would pass that one's limits by
 *
 * Teams differ because callers of POST /admin/keys name them freely, as labels to group
 * spend by.
 */
#include <stdlib.h>

#include "admin/membership.h"
#include "base/clock.h"
#include "ledger/key.h"
#include "ledger/key_policy.h"
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

/* False: the key would belong to one workspace and its team to another, and was answered. */
static bool
team_fits(struct admin_call *call, struct sl_slice team, struct sl_slice workspace)
{
	struct sl_tenant *tenant = sl_tenants_find(call->admin->services.tenants, SL_SCOPE_TEAM, team);
	struct sl_slice of = tenant ? sl_tenant_policy(tenant)->workspace : SL_SLICE_NONE, message;
	bool fits = of.len == 0 || workspace.len == 0 || sl_slice_eq(of, workspace);

	message = fits ? SL_SLICE_NONE
	               : sl_arena_printf(&call->exchange->arena, "Team '%.*s' belongs to workspace "
	                                 "'%.*s', so its keys cannot belong to '%.*s': name another "
	                                 "team, or leave the workspace out.", SL_ARG(team),
	                                 SL_ARG(of), SL_ARG(workspace));
	sl_tenant_unref(tenant);
	return fits || admin_refuse(call, "workspace", message.ptr ? message.ptr : "Out of memory.");
}

bool
admin_team_moves(struct admin_call *call, struct sl_slice team, struct sl_slice workspace)
{
	if (workspace.len == 0 || team.len == 0 ||
	    !sl_keyring_strays(call->admin->services.keyring, team, workspace))
		return true;
	admin_answer_fault_text(call, SL_FAULT_CONFLICT,
	                        "Keys of this team belong to another workspace and would pass the "
	                        "limits of this one by: PATCH their workspace first.");
	return false;
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

/* What the body asks for, with what the key has where it says nothing. */
static bool
read_levels(struct admin_call *call, struct sl_json body, const struct sl_key *key,
            struct sl_slice *team, struct sl_slice *workspace)
{
	struct sl_key_policy asked;
	struct sl_fault fault;

	sl_key_policy_init(&asked, SL_SCOPE_KEY);
	if (!sl_key_policy_apply(&asked, body, key ? SL_POLICY_PATCH : SL_POLICY_CREATE,
	                         sl_clock_wall_ms(), &call->exchange->arena,
	                         &call->exchange->arena, &fault)) {
		admin_answer_fault(call, &fault);
		return false;
	}
	*team = asked.team;
	*workspace = asked.workspace;
	if (key && sl_json_get(body, "team").type == SL_JSON_NONE &&
	    sl_json_get(body, "team_id").type == SL_JSON_NONE)
		*team = sl_arena_dup(&call->exchange->arena, sl_key_policy(key)->team);
	if (key && sl_json_get(body, "workspace").type == SL_JSON_NONE)
		*workspace = sl_arena_dup(&call->exchange->arena, sl_key_policy(key)->workspace);
	return true;
}

void
admin_membership(struct admin_call *call, const struct sl_key *key,
                 void (*next)(struct admin_call *call))
{
	struct sl_slice team, workspace;
	struct sl_json body;

	if (!admin_body(call, &body) || !read_levels(call, body, key, &team, &workspace) ||
	    !admin_workspace_stands(call, workspace) || !team_fits(call, team, workspace))
		return;
	if (team.len == 0 || exists(call, SL_SCOPE_TEAM, team))
		next(call);
	else
		found_team(call, team, next);
}

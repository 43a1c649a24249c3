/* scopes.c - a key's accounts. */
#include "ledger/scopes.h"

static struct sl_money_limits *
add(struct sl_scopes *scopes, enum sl_scope_kind kind, struct sl_slice name)
{
	struct sl_money_limits *limits = &scopes->limits[scopes->count];

	*limits = sl_money_unlimited;
	scopes->scope[scopes->count++] =
	    (struct sl_money_scope){ .kind = kind, .name = name, .limits = limits };
	return limits;
}

void
sl_scopes_of_key(const struct sl_key *key, struct sl_scopes *out)
{
	const struct sl_key_policy *policy = sl_key_policy(key);
	struct sl_money_limits *limits;

	out->count = 0;
	limits = add(out, SL_SCOPE_KEY, sl_key_id(key));
	limits->window[SL_WINDOW_DAY] = policy->daily_budget_nanousd;
	limits->window[SL_WINDOW_MONTH] = policy->monthly_budget_nanousd;
	limits->window[SL_WINDOW_TOTAL] = policy->total_budget_nanousd;
	if (policy->team.len)
		add(out, SL_SCOPE_TEAM, policy->team);
	if (policy->workspace.len)
		add(out, SL_SCOPE_WORKSPACE, policy->workspace);
}

bool
sl_scopes_bind(const struct sl_scopes *scopes)
{
	for (size_t i = 0; i < scopes->count; i++) {
		const struct sl_money_limits *limits = scopes->scope[i].limits;

		if (limits->prepaid || limits->per_request >= 0)
			return true;
		for (int w = 0; w < SL_WINDOW_COUNT; w++)
			if (limits->window[w] >= 0)
				return true;
	}
	return false;
}

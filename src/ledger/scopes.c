/* scopes.c - the accounts of a request. */
#include "ledger/scopes.h"

void
sl_scopes_of_tenancy(const struct sl_tenancy *tenancy, struct sl_scopes *out)
{
	out->count = 0;
	for (size_t i = 0; i < tenancy->count; i++) {
		const struct sl_level *level = &tenancy->levels[i];

		/* Every end user would be an account for ever: only where it limits something. */
		if (level->kind == SL_SCOPE_END_USER && !sl_money_limits_set(&level->limits->money))
			continue;
		out->scope[out->count++] = (struct sl_money_scope){ .kind = level->kind,
			                                            .name = level->name,
			                                            .limits = &level->limits->money };
	}
}

void
sl_scopes_add_stack(struct sl_scopes *scopes, struct sl_slice slug,
                    const struct sl_config_budget *budget, struct sl_money_limits *limits)
{
	if (slug.len == 0 || (budget->daily_nanousd <= 0 && budget->monthly_nanousd <= 0))
		return;
	*limits = sl_money_unlimited;
	if (budget->stop_percent > 0 && budget->daily_nanousd > 0)
		limits->window[SL_WINDOW_DAY] = sl_percent_of(budget->daily_nanousd, budget->stop_percent);
	if (budget->stop_percent > 0 && budget->monthly_nanousd > 0)
		limits->window[SL_WINDOW_MONTH] =
		    sl_percent_of(budget->monthly_nanousd, budget->stop_percent);
	scopes->scope[scopes->count++] =
	    (struct sl_money_scope){ .kind = SL_SCOPE_STACK, .name = slug, .limits = limits };
}

bool
sl_scopes_bind(const struct sl_scopes *scopes)
{
	for (size_t i = 0; i < scopes->count; i++)
		if (sl_money_limits_set(scopes->scope[i].limits))
			return true;
	return false;
}

static void
bound(int64_t *room, int64_t left)
{
	if (left < 0)
		left = 0;
	if (*room < 0 || left < *room)
		*room = left;
}

int64_t
sl_scopes_room(const struct sl_scopes *scopes, struct sl_money *money, int64_t now_wall_ms)
{
	int64_t room = -1;

	for (size_t i = 0; i < scopes->count; i++) {
		const struct sl_money_scope *scope = &scopes->scope[i];
		const struct sl_money_limits *limits = scope->limits;
		struct sl_money_standing standing;

		if (!sl_money_limits_set(limits))
			continue;
		sl_money_standing(money, scope->kind, scope->name, limits->zone, now_wall_ms,
		                  &standing);
		for (int k = 0; k < SL_WINDOW_COUNT; k++)
			if (limits->window[k] >= 0)
				bound(&room, limits->window[k] - standing.spent[k] - standing.held[k]);
		if (limits->per_request >= 0)
			bound(&room, limits->per_request);
		if (limits->prepaid)
			bound(&room, sl_money_spendable(limits, standing.available));
	}
	return room;
}

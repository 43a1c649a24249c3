/* quota.c - how much of its own budget the caller's key has used, for contracts that
 * tell it with each answer. */
#include "pipeline/ask.h"

static const char *const window_names[SL_WINDOW_COUNT] = {
#define WINDOW_NAME(id, name) [SL_WINDOW_##id] = (name),
	SL_MONEY_WINDOWS(WINDOW_NAME)
#undef WINDOW_NAME
};

/* The budget that people mean by the key's: of the month, else the shortest. */
static int
window_of(const struct sl_money_limits *limits)
{
	static const enum sl_money_window order[] = { SL_WINDOW_MONTH, SL_WINDOW_DAY,
		                                      SL_WINDOW_WEEK, SL_WINDOW_TOTAL };

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (limits->window[order[i]] >= 0)
			return (int)order[i];
	return -1;
}

void
sl_quota_note(struct sl_ask *ask)
{
	struct sl_money *money = ask->gateway->services.money;
	const struct sl_money_limits *limits;
	struct sl_money_standing standing;
	int window;

	if (!ask->surface->tells_quota || !ask->key || !money)
		return;
	limits = &sl_key_policy(ask->key)->limits.money;
	window = window_of(limits);
	if (window < 0)
		return;
	sl_money_standing(money, SL_SCOPE_KEY, sl_key_id(ask->key), limits->zone,
	                  sl_loop_wall_ms(ask->gateway->loop), &standing);
	ask->head->standing.has_quota = true;
	ask->head->standing.quota_window = window_names[window];
	ask->head->standing.quota_limit_nanousd = limits->window[window];
	ask->head->standing.quota_used_nanousd = standing.spent[window];
}

/* policy_least_busy.c - fewest requests in flight first; equal ones by turns. */
#include "routing/policy.h"

static int64_t
in_flight(const struct sl_candidate *candidate)
{
	return candidate->live.in_flight;
}

static void
rank(const struct sl_policy_view *view, struct sl_candidate *list, size_t count)
{
	sl_policy_round_robin.rank(view, list, count);
	sl_policy_sort(list, count, in_flight);
}

const struct sl_policy_ops sl_policy_least_busy = {
	.name = "least_busy",
	.reason = "least busy",
	.rank = rank,
};

/* policy_priority.c - lowest priority number first, equal ones as written. */
#include "routing/policy.h"

static int64_t
key(const struct sl_candidate *candidate)
{
	return candidate->deployment->priority;
}

static void
rank(const struct sl_policy_view *view, struct sl_candidate *list, size_t count)
{
	(void)view;
	sl_policy_sort(list, count, key);
}

const struct sl_policy_ops sl_policy_priority = {
	.name = "priority",
	.reason = "priority",
	.rank = rank,
};

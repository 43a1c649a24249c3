/* policy_round_robin.c - each request starts one deployment further on. */
#include "routing/policy.h"

static void
rank(const struct sl_policy_view *view, struct sl_candidate *list, size_t count)
{
	for (uint64_t turn = view->turn % count; turn > 0; turn--) {
		struct sl_candidate first = list[0];

		for (size_t i = 0; i + 1 < count; i++)
			list[i] = list[i + 1];
		list[count - 1] = first;
	}
}

const struct sl_policy_ops sl_policy_round_robin = {
	.name = "round_robin",
	.reason = "round robin",
	.rank = rank,
};

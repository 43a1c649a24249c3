/* policy_tier.c - the tier of the request's bucket, then those above it, the
 * nearest first, then those below: a stronger model is no worse an answer, a
 * weaker one is better than none. */
#include "routing/policy.h"

static int
place_of(const struct sl_candidate *candidate, enum sl_bucket bucket)
{
	enum sl_bucket tier = SL_BUCKET_DEFAULT;

	sl_bucket_find(candidate->deployment->tier, &tier);
	return tier >= bucket ? (int)tier - (int)bucket : SL_BUCKETS + (int)bucket - (int)tier;
}

static void
rank(const struct sl_policy_view *view, struct sl_candidate *list, size_t count)
{
	/* A handful of deployments: insertion keeps equal ones in order. */
	for (size_t i = 1; i < count; i++) {
		struct sl_candidate moving = list[i];
		int place = place_of(&moving, view->bucket);
		size_t at = i;

		for (; at > 0 && place_of(&list[at - 1], view->bucket) > place; at--)
			list[at] = list[at - 1];
		list[at] = moving;
	}
}

const struct sl_policy_ops sl_policy_tier = {
	.name = "tier",
	.reason = "tier",
	.by_bucket = true,
	.rank = rank,
};

/* policy_weighted.c - drawn by weight, without replacement. */
#include "routing/policy.h"

/* Position of the candidate that `chance` draws by weight; without weights the
 * first. */
static size_t
draw(const struct sl_candidate *list, size_t count, uint64_t chance)
{
	uint64_t sum = 0, at;

	for (size_t i = 0; i < count; i++)
		sum += list[i].deployment->weight;
	if (sum == 0)
		return 0;
	at = chance % sum;
	for (size_t i = 0; i < count; i++) {
		if (at < list[i].deployment->weight)
			return i;
		at -= list[i].deployment->weight;
	}
	return 0;
}

static void
rank(const struct sl_policy_view *view, struct sl_candidate *list, size_t count)
{
	uint64_t chance = view->chance;

	for (size_t i = 0; i + 1 < count; i++) {
		size_t drawn = i + draw(list + i, count - i, chance);
		struct sl_candidate taken = list[drawn];

		for (; drawn > i; drawn--)
			list[drawn] = list[drawn - 1];
		list[i] = taken;
		/* The next draw must not follow from this one. */
		chance = chance * 6364136223846793005u + 1442695040888963407u;
		chance ^= chance >> 32;
	}
}

const struct sl_policy_ops sl_policy_weighted = {
	.name = "weighted",
	.reason = "weighted",
	.rank = rank,
};

/* policy_least_latency.c - the quicker of two drawn at random, by peak EWMA.
 *
 * Two choices instead of the best of all: figures are a little old, and everybody
 * running to the same best one makes it the worst (Mitzenmacher, "The Power of
 * Two Choices in Randomized Load Balancing"). The cost is the time to first
 * content times what is waiting there; who has no figure yet is tried first, one
 * request at a time.
 */
#include "routing/policy.h"

enum { UNKNOWN_US = 1000000 }; /* assumed while the first answer is awaited */

static int64_t
cost(const struct sl_candidate *candidate)
{
	const struct sl_health_figures *live = &candidate->live;
	uint64_t latency_us = live->latency_us;

	if (latency_us == 0)
		latency_us = live->in_flight > 0 ? UNKNOWN_US : 0;
	return (int64_t)(latency_us * ((uint64_t)live->in_flight + 1));
}

static void
rank(const struct sl_policy_view *view, struct sl_candidate *list, size_t count)
{
	size_t first, second, drawn;
	struct sl_candidate taken;

	if (count < 2)
		return;
	first = (size_t)(view->chance % count);
	second = (size_t)((view->chance >> 32) % (count - 1));
	second += second >= first;
	drawn = cost(&list[second]) < cost(&list[first]) ? second : first;
	taken = list[drawn];
	for (; drawn > 0; drawn--)
		list[drawn] = list[drawn - 1];
	list[0] = taken;
	/* Those that are tried when it fails: the quickest first. */
	sl_policy_sort(list + 1, count - 1, cost);
}

const struct sl_policy_ops sl_policy_least_latency = {
	.name = "least_latency",
	.reason = "least latency",
	.rank = rank,
};

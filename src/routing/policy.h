/* policy.h - in which order an alias's deployments are tried.
 *
 * A policy orders candidates and nothing else: what may not be used at all was
 * dropped before, targets whose breaker is open are ranked by themselves behind
 * the others, what is tried next when one fails is the next in order. Pure:
 * chance, counters and live figures arrive in the view and on the candidates.
 *
 * To add a policy: one file that defines `const struct sl_policy_ops
 * sl_policy_NAME`, one line in policies.def; its name is then a strategy of the
 * configuration.
 */
#ifndef SL_ROUTING_POLICY_H
#define SL_ROUTING_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "model/catalog.h"
#include "model/config.h"
#include "routing/classify.h"
#include "routing/health.h"

struct sl_candidate {
	const struct sl_config_deployment *deployment;
	const struct sl_model_card        *card;  /* NULL: not in the catalogue */
	size_t                             index; /* as written in the configuration */
	struct sl_health_figures           live;  /* zero: nothing is known */
};

struct sl_policy_view {
	uint64_t chance; /* uniformly random */
	uint64_t turn;   /* counts up with each request */
	enum sl_bucket bucket; /* of the prompt; for policies by_bucket */
};

struct sl_policy_ops {
	const char *name;   /* as written in the configuration */
	const char *reason; /* for the decision record */
	bool        by_bucket; /* the prompt must be classified first */
	/* Orders list[0..count) in place, best first; count >= 1. */
	void (*rank)(const struct sl_policy_view *view, struct sl_candidate *list, size_t count);
};

#define SL_POLICY(id) extern const struct sl_policy_ops sl_policy_##id;
#include "routing/policies.def"
#undef SL_POLICY

/* NULL: unknown. */
const struct sl_policy_ops *sl_policy_find(struct sl_slice name);

/* Stable sort by a key, smallest first; for policies whose order is a number. */
void sl_policy_sort(struct sl_candidate *list, size_t count,
                    int64_t (*key)(const struct sl_candidate *candidate));

#endif

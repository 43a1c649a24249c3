/* plan.h - where a request may go, in order, and why.
 *
 * Every way of choosing yields one plan: targets in the order in which they are
 * tried, each with the reason it stands there, and what was dropped with the
 * reason for that. Pure: chance and counters arrive as arguments, so a plan can
 * be recomputed from its inputs.
 */
#ifndef SL_ROUTING_PLAN_H
#define SL_ROUTING_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "model/catalog.h"
#include "model/config.h"
#include "model/fault.h"
#include "routing/classify.h"
#include "routing/health.h"

enum { SL_PLAN_TARGETS_MAX = 16 };

struct sl_plan_target {
	size_t                      provider;   /* index into config->providers */
	struct sl_slice             model;      /* the provider's id */
	struct sl_slice             deployment; /* id; empty for provider/model */
	const struct sl_model_card *card;       /* NULL: not in the catalogue */
	const char                 *reason;     /* static text */
	bool                        ejected;    /* its breaker is open, or it asked for quiet */
};

/* A target that was found and is not used. */
struct sl_plan_drop {
	size_t          provider;
	struct sl_slice model, deployment;
	const char     *reason; /* static text */
};

struct sl_plan {
	struct sl_plan_target targets[SL_PLAN_TARGETS_MAX];
	size_t                count;
	struct sl_slice       requested; /* as the caller wrote it */
	bool                  from_alias;
	struct sl_class       class;     /* when classified: a policy went by it */
	bool                  classified;
	/* Targets that were found but may not be used, and the last reason. */
	size_t                dropped;
	size_t                dropped_provider; /* of the last one dropped for its shape */
	bool                  dropped_shape;
	bool                  dropped_key;
	bool                  dropped_disabled;
	/* The first of them, each with its reason. */
	struct sl_plan_drop   drops[SL_PLAN_TARGETS_MAX];
	size_t                drop_count;
};

/* What limits the choice; answers come from the pipeline. */
struct sl_plan_query {
	const struct sl_config  *config;
	const struct sl_catalog *catalog;
	struct sl_slice          model;
	/* A configured provider that the caller named instead of leaving the choice to
	 * the model: it and its fallbacks, under the same model name, which may then
	 * be empty. Empty: not named. */
	struct sl_slice          provider;
	uint64_t                 chance;   /* uniformly random */
	uint64_t                 turn;     /* counts up with each request: round robin */
	void                    *context;
	/* Whether the provider speaks the request's shape. */
	bool (*serves)(void *context, size_t provider);
	/* Whether the caller may have the request sent to this provider's model. */
	bool (*allows)(void *context, size_t provider, struct sl_slice model);
	/* Whether the provider answers to any model name (the simulated one). */
	bool (*accepts_any)(void *context, size_t provider);
	/* What the request asks, called at most once and only when a policy goes by
	 * it. False, or NULL: it holds no prompt, the default bucket stands. */
	bool (*prompt)(void *context, struct sl_prompt *out);
	/* How the target is doing. NULL: nothing is known of any. */
	void (*figures)(void *context, size_t provider, struct sl_slice model,
	                struct sl_health_figures *out);
	/* Whether an operator switched it off; deployment is empty for a target that
	 * was named as provider/model. NULL: none is. */
	bool (*disabled)(void *context, size_t provider, struct sl_slice model,
	                 struct sl_slice deployment);
};

/* Resolution: a named provider and its fallbacks; else `auto` stands for router.auto; an alias; provider/model; a model
 * that the catalogue knows for a configured provider; a provider that accepts
 * any name. Ejected targets are dropped while there is another; when there is
 * none they are all kept: the last target of a plan is never ejected. False: *fault
 * (NO_ROUTE, MODEL_DENIED, UNSUPPORTED, UNAVAILABLE), text on the arena. */
bool sl_plan_make(const struct sl_plan_query *query, struct sl_arena *arena,
                  struct sl_plan *plan, struct sl_fault *fault);

#endif

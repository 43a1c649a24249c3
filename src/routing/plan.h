/* plan.h - where a request may go, in order, and why.
 *
 * Every way of choosing yields one plan: targets in the order in which they are
 * tried, each with the reason it stands there, and what was dropped with the
 * reason for that. It is the decision record: header fields, log, explain and the
 * attempts all read it. Pure: chance, counters and live figures arrive as arguments,
 * so a plan can be recomputed from its inputs.
 *
 *   named provider, route, alias, provider/model, virtual model, stack
 *        |
 *        '-> candidates --may not be used--> drops      (policy, key, switches, API)
 *                |
 *                '-- cannot do it ---------> drops      (catalogue; the last one stays)
 *                |
 *                '-- cannot be paid -------> drops      (budgets; the last one stays)
 *                |
 *                '-- objective or strategy --> targets  (the sick last or dropped)
 */
#ifndef SL_ROUTING_PLAN_H
#define SL_ROUTING_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/slice.h"
#include "model/catalog.h"
#include "model/config.h"
#include "model/fault.h"
#include "model/wish.h"
#include "routing/classify.h"
#include "routing/cost.h"
#include "routing/health.h"
#include "routing/offers.h"

enum { SL_PLAN_TARGETS_MAX = 16 };

struct sl_plan_target {
	size_t                      provider;   /* index into config->providers */
	struct sl_slice             model;      /* the provider's id */
	struct sl_slice             deployment; /* id; empty for provider/model */
	struct sl_slice             name;       /* its own, as a candidate of a virtual model:
	                                         * of its alias, or in the catalogue */
	const struct sl_model_card *card;       /* NULL: not in the catalogue */
	void                       *place;      /* as the query tells; NULL: nobody asked yet */
	const char                 *reason;     /* static text: why it stands there, or why not */
	bool                        looked;     /* how it is doing, as there was a choice: */
	bool                        ejected;    /* its breaker is open, or it asked for quiet */
	bool                        bounded;    /* asked, as a budget limits the request: */
	int64_t                     bound_nanousd; /* the most that it can cost there */
	enum sl_bucket              tier;       /* as configured, else by its price */
	/* Of a judged plan: */
	bool                        passes;     /* good enough for the quality asked for */
	double                      quality;    /* expected of the answer, 0-1 */
	bool                        by_model;   /* the quality is the model's own, not its tier's */
	uint64_t                    latency_us; /* to the first content; 0: unknown */
	struct sl_tokens            tokens;     /* by its own tokenizer where that was asked */
	struct sl_cost              cost;
};

struct sl_plan {
	struct sl_plan_target targets[SL_PLAN_TARGETS_MAX];
	size_t                count;
	/* The first of those that were found and are not used. */
	struct sl_plan_target drops[SL_PLAN_TARGETS_MAX];
	size_t                drop_count;
	size_t                dropped;   /* all of them */
	size_t                found;     /* all that may be used, also what others stand for */
	struct sl_slice       requested; /* as the caller wrote it */
	bool                  from_alias;
	struct sl_class       class;     /* when classified: the choice went by it */
	bool                  classified;
	/* Why nothing may be left. */
	size_t                dropped_provider; /* of the last one dropped for its shape */
	bool                  dropped_shape;
	bool                  dropped_key;
	bool                  dropped_disabled;
	bool                  nothing_offered;  /* to a virtual model */
	const char           *dropped_policy;   /* the first boundary that was in the way */
	/* What was in force; slices on the arena. */
	struct sl_slice       stack;            /* slug; empty: none */
	int64_t               stack_version;
	struct sl_config_budget stack_budget;
	const struct sl_config_route *route;    /* NULL: none was named */
	enum sl_objective     objective;        /* UNSET: the alias's strategy chose */
	enum sl_quality       quality;
	enum sl_verification  verification;
	bool                  fallback;         /* further targets may be tried */
	/* When judged: costs and qualities above are filled, and: */
	bool                  judged;
	bool                  counted;  /* input tokens are counted, not guessed */
	struct sl_prompt      prompt;           /* what the request asks */
	bool                  prompt_read, has_prompt;
	struct sl_tokens      tokens;
	const struct sl_model_card *baseline_card; /* NULL: nothing to compare with */
	struct sl_cost        baseline;
};

/* Empty. The targets and drops, 5 KB, are read up to their counts and stay as they are. */
static inline void
sl_plan_clear(struct sl_plan *plan)
{
	plan->count = 0;
	memset(&plan->drop_count, 0, sizeof(*plan) - offsetof(struct sl_plan, drop_count));
}

struct sl_plan_names;

/* What limits the choice; answers come from the pipeline. */
struct sl_plan_query {
	const struct sl_config  *config;
	const struct sl_catalog *catalog;
	/* What a virtual model stands for where nothing is configured for it; NULL: nothing. */
	const struct sl_offers  *offers;
	struct sl_slice          model;
	/* A configured provider that the caller named instead of leaving the choice to
	 * the model: it and its fallbacks, under the same model name, which may then
	 * be empty. Empty: not named. */
	struct sl_slice          provider;
	/* What is remembered of names, and the number that only this configuration and
	 * catalogue have; NULL: nothing is. */
	struct sl_plan_names    *names;
	uint64_t                 serial;
	uint64_t                 chance;   /* uniformly random */
	uint64_t                 turn;     /* counts up with each request: round robin */
	/* Policy in force; NULL: none. */
	const struct sl_config_stack *stack;
	const struct sl_wish    *wish;     /* NULL: none */
	/* Of the request; max_output_tokens -1: not given. */
	int64_t                  body_bytes, max_output_tokens, choices;
	bool                     explain;  /* judge every target, also where nothing goes by it */
	void                    *context;
	/* Whether the provider speaks the request's shape. */
	bool (*serves)(void *context, size_t provider);
	/* Whether the caller may have the request sent to this provider's model. */
	bool (*allows)(void *context, size_t provider, struct sl_slice model);
	/* Whether it may be sent there as a candidate of a virtual model, which has a name of
	 * its own (an alias). NULL: as `allows` says. */
	bool (*allows_choice)(void *context, struct sl_slice name, size_t provider,
	                      struct sl_slice model);
	/* Whether the provider answers to any model name (the simulated one). */
	bool (*accepts_any)(void *context, size_t provider);
	/* What the request asks, called at most once and only when a policy goes by
	 * it. False, or NULL: it holds no prompt, the default bucket stands. */
	bool (*prompt)(void *context, struct sl_prompt *out);
	/* Input tokens of the request by the model's own tokenizer. Costs the length of the
	 * body, so it is asked where a guess would not do. NULL: guesses have to. */
	void (*count)(void *context, size_t provider, struct sl_slice model, int64_t *low,
	              int64_t *tokens, int64_t *high);
	/* What budgets and balances leave for the request, the stack's in the plan too, in
	 * nano-dollars; -1: nothing limits it. Asked at most once, where there is a choice.
	 * Advice: a hold decides. NULL: nothing does. */
	int64_t (*room)(void *context, const struct sl_plan *plan);
	/* The most that it can cost at the target, no more than a hold would ask for; false:
	 * that has no bound, and a hold would refuse it. Asked where there is room. */
	bool (*bound)(void *context, const struct sl_plan_target *target, int64_t *nanousd);
	/* How the target is doing. NULL: nothing is known of any. */
	void (*figures)(void *context, size_t provider, struct sl_slice model,
	                struct sl_health_figures *out);
	/* What the caller knows the target by for as long as the configuration is in force:
	 * asked once for each name that is remembered. NULL: there is no such thing. */
	void *(*place)(void *context, size_t provider, struct sl_slice model);
	/* Where the conversation has its prompt cache, which is then tried first while it
	 * is well. Asked where there is a choice; false, or NULL: nowhere. */
	bool (*sticky)(void *context, const struct sl_prompt *prompt, struct sl_slice *provider,
	               struct sl_slice *model);
	/* Whether an operator switched it off; deployment is empty for a target that
	 * was named as provider/model. NULL: none is. */
	bool (*disabled)(void *context, size_t provider, struct sl_slice model,
	                 struct sl_slice deployment);
};

/* Resolution: a route; a named provider and its fallbacks; an alias; a virtual model
 * (`auto`), which stands for the stack's models, else router.auto, else every alias, else
 * what the providers offer;
 * provider/model; a model that the catalogue knows for a configured provider; a provider
 * that accepts any name. Ejected targets are dropped while there is another, and so are
 * those that the catalogue says cannot do it, and those that cost more than there is room
 * for; when there is none they are all kept: the last target of a plan is never ejected, a
 * catalogue may be wrong, and a hold says best what cannot be paid. False: *fault
 * (NO_ROUTE, MODEL_DENIED, UNSUPPORTED, UNAVAILABLE, POLICY), text on the arena. */
bool sl_plan_make(const struct sl_plan_query *query, struct sl_arena *arena,
                  struct sl_plan *plan, struct sl_fault *fault);

/* The card of a provider's model: the operator's own prices and facts stand under the
 * provider's name, the shipped ones under its kind. NULL: unknown. */
const struct sl_model_card *sl_plan_card(const struct sl_plan_query *query,
                                         struct sl_slice provider, struct sl_slice model);

#endif

/* plan.c - resolve a request into ordered targets.
 *
 *   route ------------> its model, or its own place
 *   name --alias------> deployments in the order of its strategy, then its fallbacks
 *        --virtual----> the stack's models, else router.auto, else every alias, else
 *                        what the providers offer
 *        --provider/model | catalogue | any-name provider
 *
 * Hard filters come before any ranking: what is switched off, outside the stack, not
 * allowed for the key or does not speak the API is dropped with the reason, so that a
 * refusal can say what was missing. Then what the catalogue says cannot do it (judge.c),
 * what the caller's budgets cannot pay, then the order by objective where one is in force.
 * Targets whose breaker is open are
 * ranked behind the others and dropped at the end, unless nothing else is left.
 */
#include "routing/plan.h"

#include <string.h>

#include "base/compiler.h"
#include "routing/judge.h"
#include "routing/plan_names.h"
#include "routing/policy.h"
#include "routing/stack.h"

enum {
	FALLBACK_DEPTH_MAX = 8,
};

static const struct sl_config_model *
find_alias(const struct sl_config *config, struct sl_slice name)
{
	for (size_t i = 0; i < config->model_count; i++)
		if (sl_slice_eq(config->models[i].name, name))
			return &config->models[i];
	return NULL;
}

static bool
find_provider(const struct sl_config *config, struct sl_slice name, size_t *index)
{
	for (size_t i = 0; i < config->provider_count; i++)
		if (sl_slice_eq(config->providers[i].name, name)) {
			*index = i;
			return true;
		}
	return false;
}

const struct sl_model_card *
sl_plan_card(const struct sl_plan_query *query, struct sl_slice provider, struct sl_slice model)
{
	const struct sl_model_card *card = sl_catalog_find(query->catalog, provider, model);
	size_t index;

	if (card || !find_provider(query->config, provider, &index))
		return card;
	return sl_catalog_find(query->catalog, query->config->providers[index].kind, model);
}

static const struct sl_model_card *
find_card(const struct sl_plan_query *query, size_t provider, struct sl_slice model)
{
	const struct sl_config_provider *config = &query->config->providers[provider];
	const struct sl_model_card *card = sl_catalog_find(query->catalog, config->name, model);

	return card ? card : sl_catalog_find(query->catalog, config->kind, model);
}

/* What a fine-tuned model ("ft:gpt-4.1:team::id") was made from; else the name. */
static struct sl_slice
untuned(struct sl_slice name)
{
	struct sl_slice rest = name;

	return sl_slice_is(sl_slice_cut(&rest, ':'), "ft") ? sl_slice_cut(&rest, ':') : name;
}

/* A provider's "*" row prices any name; it does not say that the model exists. A
 * tuned model is where the one it was made from is, though its price may differ. */
static bool
is_known(const struct sl_plan_query *query, size_t provider, struct sl_slice model)
{
	const struct sl_model_card *card = find_card(query, provider, model);

	if (!card || sl_slice_is(card->model, "*"))
		card = find_card(query, provider, untuned(model));
	return card && !sl_slice_is(card->model, "*");
}

static void
drop(struct sl_plan *plan, const struct sl_plan_target *target, const char *reason)
{
	plan->dropped++;
	if (plan->drop_count == SL_PLAN_TARGETS_MAX)
		return;
	plan->drops[plan->drop_count] = *target;
	plan->drops[plan->drop_count++].reason = reason;
}

static void
look_at(const struct sl_plan_query *query, struct sl_plan_target *target,
        struct sl_health_figures *live)
{
	*live = (struct sl_health_figures){ .breaker = SL_BREAKER_CLOSED };
	if (query->figures)
		query->figures(query->context, target->provider, target->model, live);
	target->ejected = live->ejected;
	target->latency_us = live->latency_us;
	target->looked = true;
}

static bool
allows(const struct sl_plan_query *query, const struct sl_plan_target *target)
{
	return query->allows(query->context, target->provider, target->model) ||
	       (target->name.len > 0 && query->allows_choice &&
	        query->allows_choice(query->context, target->name, target->provider,
	                             target->model));
}

/* NULL, or why the target may not be used at all. */
static const char *
forbidden(const struct sl_plan_query *query, struct sl_plan *plan,
          const struct sl_plan_target *target)
{
	const char *boundary;

	if (query->disabled && query->disabled(query->context, target->provider, target->model,
	                                       target->deployment)) {
		plan->dropped_disabled = true;
		return "disabled by an operator";
	}
	if (!query->config->providers[target->provider].enabled)
		return "provider disabled";
	if (!allows(query, target)) {
		plan->dropped_key = true;
		return "not allowed for this key";
	}
	boundary = sl_judge_boundary(query, target);
	if (boundary) {
		if (!plan->dropped_policy)
			plan->dropped_policy = boundary;
		return boundary;
	}
	if (!query->serves(query->context, target->provider)) {
		plan->dropped_shape = true;
		plan->dropped_provider = target->provider;
		return "does not speak this API";
	}
	return NULL;
}

/* Whether it may be used; else it is dropped with the reason. */
static bool
may_use(const struct sl_plan_query *query, struct sl_plan *plan,
        const struct sl_plan_target *target)
{
	const char *why = forbidden(query, plan, target);

	if (why)
		drop(plan, target, why);
	return !why;
}

static void
add_target(struct sl_plan *plan, const struct sl_plan_target *target)
{
	plan->found++;
	if (plan->count == SL_PLAN_TARGETS_MAX)
		return;
	for (size_t i = 0; i < plan->count; i++)
		if (plan->targets[i].provider == target->provider &&
		    sl_slice_eq(plan->targets[i].model, target->model))
			return;
	plan->targets[plan->count++] = *target;
}

static void
add_usable(const struct sl_plan_query *query, struct sl_plan *plan,
           const struct sl_plan_target *target)
{
	if (may_use(query, plan, target))
		add_target(plan, target);
}

static void
add_named(const struct sl_plan_query *query, struct sl_plan *plan,
          size_t provider, struct sl_slice model, const char *reason)
{
	struct sl_plan_target target = { .provider = provider, .model = model, .reason = reason,
		                         .card = find_card(query, provider, model) };

	target.tier = sl_judge_tier(SL_SLICE_NONE, target.card);
	add_usable(query, plan, &target);
}

/* Moves the ejected behind the others, each group in its order. Returns how many
 * are not ejected. */
static size_t
part_ejected(struct sl_candidate *list, size_t count)
{
	size_t usable = 0;

	for (size_t i = 0; i < count; i++) {
		struct sl_candidate moving = list[i];

		if (moving.live.ejected)
			continue;
		for (size_t k = i; k > usable; k--)
			list[k] = list[k - 1];
		list[usable++] = moving;
	}
	return usable;
}

/* Of the prompt, which is classified when the first policy asks. */
static enum sl_bucket
bucket_of(const struct sl_plan_query *query, struct sl_plan *plan)
{
	return sl_judge_class(query, plan) ? plan->class.bucket : SL_BUCKET_DEFAULT;
}

/* candidate: of a virtual model; else the alias, or one it falls back to, was meant. */
static void
add_deployments(const struct sl_plan_query *query, struct sl_plan *plan,
                const struct sl_config_model *alias, bool fallback, bool candidate)
{
	struct sl_policy_view view = { .chance = query->chance, .turn = query->turn };
	const struct sl_policy_ops *policy = sl_policy_find(alias->strategy);
	struct sl_candidate list[SL_PLAN_TARGETS_MAX];
	struct sl_plan_target targets[SL_PLAN_TARGETS_MAX];
	size_t count = 0, usable;

	if (!policy)
		policy = &sl_policy_weighted;
	for (size_t i = 0; i < alias->deployment_count && count < SL_PLAN_TARGETS_MAX; i++) {
		const struct sl_config_deployment *deployment = &alias->deployments[i];
		struct sl_plan_target *target = &targets[count];

		*target = (struct sl_plan_target){ .model = deployment->model,
			                           .deployment = deployment->id,
			                           .name = candidate ? alias->name
			                                             : SL_SLICE_NONE,
			                           .reason = fallback ? "fallback"
			                                              : policy->reason };
		if (!find_provider(query->config, deployment->provider, &target->provider))
			continue;
		target->card = find_card(query, target->provider, deployment->model);
		target->tier = sl_judge_tier(deployment->tier, target->card);
		if (!may_use(query, plan, target))
			continue;
		list[count] = (struct sl_candidate){
			.deployment = deployment,
			.card = target->card,
			.index = count,
		};
		count++;
	}
	if (count == 0)
		return;
	if (policy->by_bucket)
		view.bucket = bucket_of(query, plan);
	for (size_t i = 0; i < count && count > 1; i++)
		look_at(query, &targets[i], &list[i].live);
	usable = part_ejected(list, count);
	if (usable > 0)
		policy->rank(&view, list, usable);
	if (count > usable)
		policy->rank(&view, list + usable, count - usable);
	for (size_t i = 0; i < count; i++)
		add_target(plan, &targets[list[i].index]);
}

static SL_APART void
add_alias(const struct sl_plan_query *query, struct sl_plan *plan,
          const struct sl_config_model *alias, unsigned depth, bool candidate)
{
	add_deployments(query, plan, alias, depth > 0, candidate);
	if (depth == FALLBACK_DEPTH_MAX)
		return;
	for (size_t i = 0; i < alias->fallbacks.count; i++) {
		const struct sl_config_model *next =
		    find_alias(query->config, alias->fallbacks.items[i]);

		if (next && next != alias)
			add_alias(query, plan, next, depth + 1, candidate);
	}
}

/* AWS's own name of a model or of an inference profile, which has slashes of its own. */
static bool
is_arn(struct sl_slice name)
{
	return sl_slice_starts(name, SL_SLICE("arn:")) &&
	       sl_slice_search(name, SL_SLICE(":bedrock:")) > 0;
}

static SL_APART void
add_by_name(const struct sl_plan_query *query, struct sl_plan *plan,
            struct sl_slice name)
{
	struct sl_slice rest = name;
	struct sl_slice prefix = sl_slice_cut(&rest, '/');
	size_t provider;

	for (size_t i = 0; is_arn(name) && i < query->config->provider_count; i++)
		if (sl_slice_is(query->config->providers[i].kind, "bedrock"))
			add_named(query, plan, i, name, "ARN");
	/* Of several models of a stack an earlier one may stand there already. */
	if (is_arn(name) && (plan->count > 0 || plan->dropped > 0))
		return;
	if (rest.len > 0 && find_provider(query->config, prefix, &provider)) {
		add_named(query, plan, provider, rest, "named by the caller");
		return;
	}
	for (size_t i = 0; i < query->config->provider_count; i++)
		if (is_known(query, i, name))
			add_named(query, plan, i, name, "catalogue");
	if (plan->count > 0 || plan->dropped > 0)
		return;
	for (size_t i = 0; i < query->config->provider_count; i++)
		if (query->accepts_any(query->context, i))
			add_named(query, plan, i, name, "any model");
}

static SL_APART void
add_provider(const struct sl_plan_query *query, struct sl_plan *plan)
{
	const struct sl_config_strings *fallbacks;
	size_t provider;

	if (!find_provider(query->config, query->provider, &provider))
		return;
	add_named(query, plan, provider, query->model, "named by the caller");
	fallbacks = &query->config->providers[provider].fallback;
	for (size_t i = 0; i < fallbacks->count; i++)
		if (find_provider(query->config, fallbacks->items[i], &provider))
			add_named(query, plan, provider, query->model, "fallback");
}

/* The model's aliases are the operator's choice; these are nobody's, so a handful of those
 * that the caller may use will do. */
static void
add_offers(const struct sl_plan_query *query, struct sl_plan *plan)
{
	for (size_t i = 0; query->offers && i < query->offers->count && plan->count < SL_OFFERS_MAX;
	     i++) {
		const struct sl_offer *offer = &query->offers->list[i];
		struct sl_plan_target target = { .provider = offer->provider, .tier = offer->tier,
			                         .model = offer->card->model, .card = offer->card,
			                         .reason = "catalogue" };

		if (!find_alias(query->config, target.model))
			target.name = target.model;
		add_usable(query, plan, &target);
	}
}

/* Candidates of a name that stands for a choice. False: there are none to choose
 * from, and the name is taken as any other. */
static bool
add_virtual(const struct sl_plan_query *query, struct sl_plan *plan)
{
	const struct sl_config *config = query->config;
	const struct sl_config_strings *models = query->stack ? &query->stack->models : NULL;
	const struct sl_config_model *alias;

	for (size_t i = 0; models && i < models->count; i++) {
		alias = find_alias(config, models->items[i]);
		if (alias)
			add_deployments(query, plan, alias, false, true);
		else
			add_by_name(query, plan, models->items[i]);
	}
	if (models && models->count > 0)
		return true;
	if (config->router_auto.len > 0) {
		alias = find_alias(config, config->router_auto);
		if (alias)
			add_alias(query, plan, alias, 0, true);
		else
			add_by_name(query, plan, config->router_auto);
		plan->from_alias = alias != NULL;
		return true;
	}
	if (!query->stack)
		return false;
	for (size_t i = 0; i < config->model_count; i++)
		add_deployments(query, plan, &config->models[i], false, true);
	if (plan->count == 0)
		add_offers(query, plan);
	plan->nothing_offered = plan->count == 0 && plan->dropped == 0;
	return !plan->nothing_offered;
}

/* That was named. False: *fault. */
static SL_APART bool
find_route(const struct sl_plan_query *query, struct sl_arena *arena, struct sl_plan *plan,
           struct sl_fault *fault)
{
	struct sl_slice name = query->wish->route;

	for (size_t i = 0; i < query->config->route_count; i++)
		if (sl_slice_eq(query->config->routes[i].name, name)) {
			plan->route = &query->config->routes[i];
			return true;
		}
	sl_fault_set(fault, SL_FAULT_NO_ROUTE,
	             sl_arena_printf(arena, "There is no route '%.*s' in this gateway.",
	                             SL_ARG(name)));
	fault->code = SL_SLICE("route_not_found");
	fault->param = SL_SLICE("route");
	return false;
}

static SL_COLD void
explain_empty(const struct sl_plan_query *query, struct sl_arena *arena,
              const struct sl_plan *plan, struct sl_fault *fault)
{
	struct sl_slice rest = plan->requested;
	struct sl_slice prefix = sl_slice_cut(&rest, '/');
	struct sl_slice message;
	size_t provider;

	if (plan->dropped_policy) {
		message = sl_arena_printf(arena,
		    "The stack '%.*s' leaves no target for the model '%.*s': %s.",
		    SL_ARG(plan->stack), SL_ARG(plan->requested), plan->dropped_policy);
		sl_fault_set(fault, SL_FAULT_POLICY, message);
		fault->code = SL_SLICE("routing_policy_blocked");
		fault->param = SL_SLICE("stack");
		return;
	}
	if (plan->dropped_key) {
		message = sl_arena_printf(arena, "This key may not use the model '%.*s'.",
		                          SL_ARG(plan->requested));
		sl_fault_set(fault, SL_FAULT_MODEL_DENIED, message);
	} else if (plan->dropped_shape) {
		struct sl_slice name = query->config->providers[plan->dropped_provider].name;

		message = sl_arena_printf(arena,
		    "The model '%.*s' is served by '%.*s', which does not speak this API. Call it "
		    "in its own API, or choose another model.",
		    SL_ARG(plan->requested), SL_ARG(name));
		sl_fault_set(fault, SL_FAULT_UNSUPPORTED, message);
	} else if (plan->dropped_disabled) {
		message = sl_arena_printf(arena,
		    "Every deployment of the model '%.*s' is disabled in this gateway for now.",
		    SL_ARG(plan->requested));
		sl_fault_set(fault, SL_FAULT_UNAVAILABLE, message);
	} else if (plan->nothing_offered) {
		message = sl_arena_printf(arena,
		    "'%.*s' has nothing to choose from: the catalogue knows no current chat model of "
		    "the configured providers. Name some under `models`, or give the prices of yours "
		    "under `prices`.", SL_ARG(plan->requested));
		sl_fault_set(fault, SL_FAULT_NO_ROUTE, message);
	} else if (query->provider.len > 0) {
		message = sl_arena_printf(arena,
		    "The provider '%.*s' is not configured in this gateway, or not enabled.",
		    SL_ARG(query->provider));
		sl_fault_set(fault, SL_FAULT_NO_ROUTE, message);
		fault->code = SL_SLICE("provider_not_found");
		return;
	} else if (plan->dropped > 0) {
		message = sl_arena_printf(arena,
		    "The provider of the model '%.*s' is switched off in this gateway.",
		    SL_ARG(plan->requested));
		sl_fault_set(fault, SL_FAULT_NO_ROUTE, message);
	} else if (rest.len > 0 && !find_provider(query->config, prefix, &provider)) {
		message = sl_arena_printf(arena,
		    "The model '%.*s' does not exist here: there is no provider '%.*s'. GET "
		    "/v1/models lists what this key can use.",
		    SL_ARG(plan->requested), SL_ARG(prefix));
		sl_fault_set(fault, SL_FAULT_NO_ROUTE, message);
	} else {
		message = sl_arena_printf(arena,
		    "The model '%.*s' does not exist here. GET /v1/models lists what this key can "
		    "use; 'provider/model' reaches any model of a configured provider.",
		    SL_ARG(plan->requested));
		sl_fault_set(fault, SL_FAULT_NO_ROUTE, message);
	}
	fault->param = SL_SLICE("model");
}

/* Drops the targets with a reason, unless all have one. */
static void
drop_while_others(struct sl_plan *plan, const char *const *why)
{
	size_t good = 0, kept = 0;

	for (size_t i = 0; i < plan->count; i++)
		good += !why[i];
	if (good == 0)
		return;
	for (size_t i = 0; i < plan->count; i++)
		if (why[i])
			drop(plan, &plan->targets[i], why[i]);
		else
			plan->targets[kept++] = plan->targets[i];
	plan->count = kept;
}

/* What is ejected is not tried while there is another. */
static void
drop_ejected(struct sl_plan *plan)
{
	const char *why[SL_PLAN_TARGETS_MAX];

	if (plan->count < 2)
		return;
	for (size_t i = 0; i < plan->count; i++)
		why[i] = plan->targets[i].ejected ? "breaker open or cooling down" : NULL;
	drop_while_others(plan, why);
}

/* Of what the catalogue says cannot serve the request, nothing is tried while there is
 * another: a catalogue may be behind. */
static SL_APART void
drop_unfit(const struct sl_plan_query *query, struct sl_plan *plan)
{
	const char *why[SL_PLAN_TARGETS_MAX];

	for (size_t i = 0; i < plan->count; i++)
		why[i] = sl_judge_fitness(query, plan, &plan->targets[i]);
	drop_while_others(plan, why);
}

/* Of what a hold would refuse, nothing is tried while there is another: where nothing can
 * be paid it is the hold that says what of, and until when. */
static SL_APART void
drop_unpaid(const struct sl_plan_query *query, struct sl_plan *plan)
{
	int64_t room = query->room ? query->room(query->context, plan) : -1;
	const char *why[SL_PLAN_TARGETS_MAX];

	if (room < 0)
		return;
	for (size_t i = 0; i < plan->count; i++) {
		struct sl_plan_target *target = &plan->targets[i];

		target->bounded = query->bound(query->context, target, &target->bound_nanousd);
		why[i] = NULL;
		if (!target->bounded)
			why[i] = "budget: the most that it may cost is not known";
		else if (target->bound_nanousd > room)
			why[i] = "budget: it may cost more than is left";
	}
	drop_while_others(plan, why);
}

static SL_APART void
drop_dear(const struct sl_plan_query *query, struct sl_plan *plan)
{
	int64_t most = query->stack->max_cost_nanousd;
	size_t kept = 0;

	for (size_t i = 0; i < plan->count; i++) {
		const struct sl_plan_target *target = &plan->targets[i];
		const char *why = NULL;

		if (!target->cost.known)
			why = "its cost is unknown, and the stack sets a limit";
		else if (target->cost.expected_nanousd > most)
			why = "expected to cost more than the stack allows";
		if (why)
			drop(plan, target, why);
		else
			plan->targets[kept++] = *target;
		if (why && !plan->dropped_policy)
			plan->dropped_policy = why;
	}
	plan->count = kept;
}

/* Where the conversation's prompt cache is comes first, if it is as good a place. */
static void
prefer_sticky(const struct sl_plan_query *query, struct sl_plan *plan)
{
	struct sl_slice provider, model;
	SL_UNINIT struct sl_plan_target moving; /* set before it is read */
	size_t at = 0;

	if (plan->count < 2 || !query->sticky || !sl_judge_prompt(query, plan) ||
	    !query->sticky(query->context, &plan->prompt, &provider, &model))
		return;
	while (at < plan->count &&
	       !(sl_slice_eq(query->config->providers[plan->targets[at].provider].name,
	                     provider) &&
	         sl_slice_eq(plan->targets[at].model, model)))
		at++;
	if (at == 0 || at == plan->count || plan->targets[at].ejected)
		return;
	/* Upwards only: a conversation does not fall to a weaker tier, but may rise. */
	if (plan->targets[at].tier < plan->targets[0].tier)
		return;
	moving = plan->targets[at];
	for (; at > 0; at--)
		plan->targets[at] = plan->targets[at - 1];
	moving.reason = "holds the conversation's prompt cache";
	plan->targets[0] = moving;
}

static void
keep_first(struct sl_plan *plan)
{
	for (size_t i = 1; i < plan->count; i++)
		drop(plan, &plan->targets[i], "fallback is off");
	if (plan->count > 1)
		plan->count = 1;
}

/* What holds for the request: its own wishes, then the stack's. */
static void
settle_policy(const struct sl_plan_query *query, bool virtual, struct sl_plan *plan)
{
	const struct sl_config_stack *stack = query->stack;
	static const struct sl_wish none;
	const struct sl_wish *wish = query->wish ? query->wish : &none;

	if (stack) {
		plan->stack = stack->slug;
		plan->stack_version = stack->version;
		plan->stack_budget = stack->budget;
		sl_quality_find(stack->quality, &plan->quality);
		sl_verification_find(stack->verification, &plan->verification);
		if (virtual || wish->quality != SL_QUALITY_UNSET)
			sl_objective_find(stack->objective, &plan->objective);
	}
	plan->fallback = !stack || stack->fallback;
	if (wish->quality != SL_QUALITY_UNSET) {
		plan->quality = wish->quality;
		if (plan->objective == SL_OBJECTIVE_UNSET)
			plan->objective = SL_OBJECTIVE_BALANCED;
	}
	if (wish->cost_mode != SL_OBJECTIVE_UNSET)
		plan->objective = wish->cost_mode;
	if (wish->verification != SL_VERIFY_UNSET)
		plan->verification = wish->verification;
	if (wish->fallback != SL_UNSET)
		plan->fallback = wish->fallback == SL_YES;
}

/* A name that stands for one place alone: what is left of its journey. */
static bool
add_known(const struct sl_plan_query *query, struct sl_plan *plan)
{
	const struct sl_plan_name *known =
	    query->names ? sl_plan_names_find(query->names, query->serial, query->model) : NULL;
	SL_UNINIT struct sl_plan_target target; /* copied before it is read */

	if (!known)
		return false;
	target = known->target;
	if (known->within < query->model.len)
		target.model.ptr = query->model.ptr + known->within;
	plan->from_alias = known->from_alias;
	settle_policy(query, false, plan);
	add_usable(query, plan, &target);
	return true;
}

/* Nothing but the configuration made it the only one: the caller was kept from no other, and
 * nothing of the request was read. */
static SL_APART void
remember(const struct sl_plan_query *query, struct sl_plan *plan)
{
	struct sl_plan_target *only = &plan->targets[0];

	if (!query->names || plan->found != 1 || plan->dropped > 0 || plan->prompt_read)
		return;
	if (query->place)
		only->place = query->place(query->context, only->provider, only->model);
	sl_plan_names_put(query->names, query->serial, query->model, only, plan->from_alias);
}

/* What a route, a provider or a name stands for. False: *fault. */
static SL_APART bool
resolve(const struct sl_plan_query *query, struct sl_plan *plan, struct sl_fault *fault)
{
	struct sl_slice name = query->model;
	const struct sl_config_model *alias;
	bool virtual;
	size_t provider;

	if (plan->route && plan->route->model.len > 0)
		name = plan->route->model;
	alias = find_alias(query->config, name);
	virtual = !alias && sl_stack_of_virtual(name).len > 0;
	settle_policy(query, virtual, plan);
	if (plan->route && plan->route->base_url.len > 0) {
		if (find_provider(query->config, plan->route->name, &provider))
			add_named(query, plan, provider, name, "route");
		return true;
	}
	if (query->provider.len > 0) {
		add_provider(query, plan);
		return true;
	}
	if (name.len == 0) {
		sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
		             SL_SLICE("The request names no model. Set 'model'."));
		fault->param = SL_SLICE("model");
		return false;
	}
	if (alias) {
		plan->from_alias = true;
		add_alias(query, plan, alias, 0, false);
	} else if (!virtual || !add_virtual(query, plan)) {
		add_by_name(query, plan, name);
	}
	if (!plan->route && !virtual)
		remember(query, plan);
	return true;
}

/* Candidates in the order of strategies. False: *fault. */
static bool
gather(const struct sl_plan_query *query, struct sl_arena *arena, struct sl_plan *plan,
       struct sl_fault *fault)
{
	if (query->wish && query->wish->route.len > 0) {
		if (!find_route(query, arena, plan, fault))
			return false;
	} else if (query->provider.len == 0 && add_known(query, plan)) {
		return true;
	}
	return resolve(query, plan, fault);
}

/* How the targets are doing, where that matters. */
static SL_APART void
look_at_targets(const struct sl_plan_query *query, struct sl_plan *plan)
{
	SL_UNINIT struct sl_health_figures live; /* told through the target */

	for (size_t i = 0; i < plan->count; i++)
		if (!plan->targets[i].looked)
			look_at(query, &plan->targets[i], &live);
}

bool
sl_plan_make(const struct sl_plan_query *query, struct sl_arena *arena, struct sl_plan *plan,
             struct sl_fault *fault)
{
	bool ranked, capped = query->stack && query->stack->max_cost_nanousd > 0;

	sl_plan_clear(plan);
	plan->requested = query->model;
	if (!gather(query, arena, plan, fault))
		return false;
	ranked = plan->objective != SL_OBJECTIVE_UNSET;
	if (plan->count > 1 || ranked || query->explain)
		look_at_targets(query, plan);
	if (ranked || query->explain || capped)
		sl_judge_plan(query, plan);
	if (plan->count > 1)
		drop_unfit(query, plan);
	if (capped)
		drop_dear(query, plan);
	if (plan->count > 1 || query->explain)
		drop_unpaid(query, plan);
	if (ranked)
		sl_judge_rank(query, plan);
	drop_ejected(plan);
	prefer_sticky(query, plan);
	if (!plan->fallback)
		keep_first(plan);
	if (plan->count > 0)
		return true;
	explain_empty(query, arena, plan, fault);
	return false;
}

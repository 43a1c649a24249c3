/* plan.c - resolve a model name into ordered targets.
 *
 *   name --auto--> alias --deployments in the order of its strategy--> targets
 *                    '--fallback aliases, each the same way----------> targets
 *   name --provider/model | catalogue | any-name provider-----------> target
 *
 * Hard filters come before any ranking: a provider that is switched off or does
 * not speak the shape, a deployment that an operator disabled, and names the key
 * may not use, are dropped with the reason, so that a refusal can say what was
 * missing. Targets whose breaker is open are ranked behind the others and dropped
 * at the end, unless nothing else is left.
 */
#include "routing/plan.h"

#include <string.h>

#include "routing/policy.h"

enum { FALLBACK_DEPTH_MAX = 8 };

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

/* Prices and facts of the operator stand under the provider's name, the shipped
 * ones under its kind. */
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
	plan->drops[plan->drop_count++] = (struct sl_plan_drop){
		.provider = target->provider,
		.model = target->model,
		.deployment = target->deployment,
		.reason = reason,
	};
}

static void
get_figures(const struct sl_plan_query *query, size_t provider, struct sl_slice model,
            struct sl_health_figures *out)
{
	*out = (struct sl_health_figures){ .breaker = SL_BREAKER_CLOSED };
	if (query->figures)
		query->figures(query->context, provider, model, out);
}

static bool
drop_disabled(const struct sl_plan_query *query, struct sl_plan *plan,
              const struct sl_plan_target *target)
{
	if (!query->disabled || !query->disabled(query->context, target->provider,
	                                         target->model, target->deployment))
		return false;
	drop(plan, target, "disabled by an operator");
	plan->dropped_disabled = true;
	return true;
}

static void
add_target(const struct sl_plan_query *query, struct sl_plan *plan,
           const struct sl_plan_target *target)
{
	if (!query->config->providers[target->provider].enabled) {
		drop(plan, target, "provider disabled");
		return;
	}
	if (!query->allows(query->context, target->provider, target->model)) {
		drop(plan, target, "not allowed for this key");
		plan->dropped_key = true;
		return;
	}
	if (!query->serves(query->context, target->provider)) {
		drop(plan, target, "does not speak this API");
		plan->dropped_shape = true;
		plan->dropped_provider = target->provider;
		return;
	}
	if (plan->count == SL_PLAN_TARGETS_MAX)
		return;
	for (size_t i = 0; i < plan->count; i++)
		if (plan->targets[i].provider == target->provider &&
		    sl_slice_eq(plan->targets[i].model, target->model))
			return;
	plan->targets[plan->count] = *target;
	plan->targets[plan->count++].card = find_card(query, target->provider, target->model);
}

static void
add_named(const struct sl_plan_query *query, struct sl_plan *plan,
          size_t provider, struct sl_slice model, const char *reason)
{
	struct sl_plan_target target = { .provider = provider, .model = model, .reason = reason };
	struct sl_health_figures live;

	if (drop_disabled(query, plan, &target))
		return;
	get_figures(query, provider, model, &live);
	target.ejected = live.ejected;
	add_target(query, plan, &target);
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
	struct sl_prompt prompt;

	if (!plan->classified && query->prompt && query->prompt(query->context, &prompt)) {
		plan->class = sl_classify(&prompt);
		plan->classified = true;
	}
	return plan->classified ? plan->class.bucket : SL_BUCKET_DEFAULT;
}

static void
add_deployments(const struct sl_plan_query *query,
                struct sl_plan *plan, const struct sl_config_model *alias, bool fallback)
{
	struct sl_policy_view view = { .chance = query->chance, .turn = query->turn };
	const struct sl_policy_ops *policy = sl_policy_find(alias->strategy);
	struct sl_candidate list[SL_PLAN_TARGETS_MAX];
	size_t providers[SL_PLAN_TARGETS_MAX];
	size_t count = 0, usable;

	if (!policy)
		policy = &sl_policy_weighted;
	if (policy->by_bucket)
		view.bucket = bucket_of(query, plan);
	for (size_t i = 0; i < alias->deployment_count && count < SL_PLAN_TARGETS_MAX; i++) {
		const struct sl_config_deployment *deployment = &alias->deployments[i];
		struct sl_plan_target target = { .model = deployment->model,
			                         .deployment = deployment->id };

		if (!find_provider(query->config, deployment->provider, &target.provider) ||
		    drop_disabled(query, plan, &target))
			continue;
		providers[count] = target.provider;
		list[count] = (struct sl_candidate){
			.deployment = deployment,
			.card = find_card(query, providers[count], deployment->model),
			.index = count,
		};
		get_figures(query, providers[count], deployment->model, &list[count].live);
		count++;
	}
	usable = part_ejected(list, count);
	if (usable > 0)
		policy->rank(&view, list, usable);
	if (count > usable)
		policy->rank(&view, list + usable, count - usable);
	for (size_t i = 0; i < count; i++) {
		const struct sl_plan_target target = {
			.provider = providers[list[i].index],
			.model = list[i].deployment->model,
			.deployment = list[i].deployment->id,
			.reason = fallback ? "fallback" : policy->reason,
			.ejected = list[i].live.ejected,
		};

		add_target(query, plan, &target);
	}
}

static void
add_alias(const struct sl_plan_query *query, struct sl_plan *plan,
          const struct sl_config_model *alias, unsigned depth)
{
	add_deployments(query, plan, alias, depth > 0);
	if (depth == FALLBACK_DEPTH_MAX)
		return;
	for (size_t i = 0; i < alias->fallbacks.count; i++) {
		const struct sl_config_model *next =
		    find_alias(query->config, alias->fallbacks.items[i]);

		if (next && next != alias)
			add_alias(query, plan, next, depth + 1);
	}
}

static void
add_by_name(const struct sl_plan_query *query, struct sl_plan *plan,
            struct sl_slice name)
{
	struct sl_slice rest = name;
	struct sl_slice prefix = sl_slice_cut(&rest, '/');
	size_t provider;

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

static void
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

static void
explain_empty(const struct sl_plan_query *query, struct sl_arena *arena,
              const struct sl_plan *plan, struct sl_fault *fault)
{
	struct sl_slice rest = plan->requested;
	struct sl_slice prefix = sl_slice_cut(&rest, '/');
	struct sl_slice message;
	size_t provider;

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

/* What is ejected is not tried while there is another. */
static void
drop_ejected(struct sl_plan *plan)
{
	size_t usable = 0, kept = 0;

	for (size_t i = 0; i < plan->count; i++)
		usable += !plan->targets[i].ejected;
	if (usable == 0)
		return;
	for (size_t i = 0; i < plan->count; i++)
		if (plan->targets[i].ejected)
			drop(plan, &plan->targets[i], "breaker open or cooling down");
		else
			plan->targets[kept++] = plan->targets[i];
	plan->count = kept;
}

bool
sl_plan_make(const struct sl_plan_query *query, struct sl_arena *arena, struct sl_plan *plan,
             struct sl_fault *fault)
{
	struct sl_slice name = query->model;
	const struct sl_config_model *alias;

	memset(plan, 0, sizeof(*plan));
	plan->requested = name;
	if (query->provider.len > 0) {
		add_provider(query, plan);
		goto added;
	}
	if (name.len == 0) {
		sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
		             SL_SLICE("The request names no model. Set 'model'."));
		fault->param = SL_SLICE("model");
		return false;
	}
	if (sl_slice_is(name, "auto") && query->config->router_auto.len > 0)
		name = query->config->router_auto;
	alias = find_alias(query->config, name);
	if (alias) {
		plan->from_alias = true;
		add_alias(query, plan, alias, 0);
	} else {
		add_by_name(query, plan, name);
	}
added:
	drop_ejected(plan);
	if (plan->count > 0)
		return true;
	explain_empty(query, arena, plan, fault);
	return false;
}

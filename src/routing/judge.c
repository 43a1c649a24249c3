/* judge.c - boundaries, fitness, cost, expected quality, and the order by objective.
 *
 * Expected quality is that of a tier of models for this prompt (classify.h), of models that
 * the training data knows by name their own (model_quality.h). Other targets of one tier
 * differ by cost and latency only. It is compared as a share of the best tier's, or of the
 * best target's where none comes up to that: a prompt that nobody answers well does not need
 * the dearest model for a draft.
 */
#include "routing/judge.h"

#include <string.h>

#include "routing/model_quality.h"
#include "routing/stack.h"

/* Longer requests are not read for a plan: half a millisecond is enough. */
enum { COUNTED_BYTES_MAX = 32 * 1024 };

/* --- the request ---------------------------------------------------------------- */

bool
sl_judge_prompt(const struct sl_plan_query *query, struct sl_plan *plan)
{
	if (!plan->prompt_read) {
		plan->prompt_read = true;
		plan->has_prompt = query->prompt && query->prompt(query->context, &plan->prompt);
	}
	return plan->has_prompt;
}

bool
sl_judge_class(const struct sl_plan_query *query, struct sl_plan *plan)
{
	if (!plan->classified && sl_judge_prompt(query, plan)) {
		plan->class = sl_classify(&plan->prompt);
		plan->classified = true;
	}
	return plan->classified;
}

static void
guess_tokens(const struct sl_plan_query *query, struct sl_plan *plan)
{
	bool has_prompt = sl_judge_prompt(query, plan);

	sl_tokens_guess(has_prompt ? &plan->prompt : NULL, query->body_bytes,
	                query->max_output_tokens, query->choices,
	                plan->classified ? plan->class.category : NULL, &plan->tokens);
}

/* --- boundaries of a stack -------------------------------------------------------- */

static bool
holds(const struct sl_config_strings *list, struct sl_slice name)
{
	for (size_t i = 0; i < list->count; i++)
		if (sl_slice_eq(list->items[i], name))
			return true;
	return false;
}

/* A model is listed by the provider's id, by "provider/model", by the alias that was
 * asked for, or by a beginning with a star. */
static bool
lists_model(const struct sl_config_strings *list, const struct sl_plan_query *query,
            const struct sl_plan_target *target)
{
	struct sl_slice provider = query->config->providers[target->provider].name;

	for (size_t i = 0; i < list->count; i++) {
		struct sl_slice item = list->items[i], rest = item;

		if (sl_slice_eq(item, target->model) || sl_slice_eq(item, query->model) ||
		    (sl_slice_eq(sl_slice_cut(&rest, '/'), provider) &&
		     sl_slice_eq(rest, target->model)))
			return true;
		if (item.len > 0 && item.ptr[item.len - 1] == '*' &&
		    sl_slice_starts(target->model, sl_slice_upto(item, item.len - 1)))
			return true;
	}
	return false;
}

static bool
meets(const struct sl_config_strings *requires, const struct sl_model_card *card)
{
	uint32_t modality = 0, capability = 0;

	for (size_t i = 0; i < requires->count; i++)
		sl_stack_requirement(requires->items[i], &modality, &capability);
	return (modality | capability) == 0 ||
	       (card && (card->input_modalities & modality) == modality &&
	        (card->capabilities & capability) == capability);
}

const char *
sl_judge_boundary(const struct sl_plan_query *query, const struct sl_plan_target *target)
{
	const struct sl_config_stack *stack = query->stack;
	const struct sl_config_provider *provider = &query->config->providers[target->provider];

	if (!stack)
		return NULL;
	if (stack->allowed_providers.count > 0 && !holds(&stack->allowed_providers, provider->name))
		return "provider not among the stack's allowed_providers";
	if (holds(&stack->blocked_providers, provider->name))
		return "provider blocked by the stack";
	if (stack->allowed_models.count > 0 && !lists_model(&stack->allowed_models, query, target))
		return "model not among the stack's allowed_models";
	if (lists_model(&stack->blocked_models, query, target))
		return "model blocked by the stack";
	if (stack->regions.count > 0 && !holds(&stack->regions, provider->cloud.region))
		return "provider not in the stack's regions";
	if (!meets(&stack->requires, target->card))
		return "lacks what the stack requires";
	return NULL;
}

/* --- fitness ------------------------------------------------------------------------ */

static void
count_input(const struct sl_plan_query *query, const struct sl_plan_target *target,
            struct sl_tokens *tokens)
{
	if (query->count)
		query->count(query->context, target->provider, target->model, &tokens->input_low,
		             &tokens->input, &tokens->input_high);
}

/* Counted only where the length alone does not tell. */
static bool
fits_window(const struct sl_plan_query *query, const struct sl_plan *plan,
            const struct sl_plan_target *target, int64_t output)
{
	int64_t window = target->card->context_tokens;
	struct sl_tokens tokens = plan->tokens;

	if (window == 0 || tokens.input_high + output <= window)
		return true;
	if (tokens.input_low + output > window)
		return false;
	count_input(query, target, &tokens);
	return tokens.input + output <= window;
}

const char *
sl_judge_fitness(const struct sl_plan_query *query, struct sl_plan *plan,
                 const struct sl_plan_target *target)
{
	const struct sl_model_card *card = target->card;
	int64_t output = query->max_output_tokens > 0 ? query->max_output_tokens : 1;

	/* A card without facts, such as of a price in the configuration, says nothing. */
	if (!card || (card->capabilities == 0 && card->context_tokens == 0))
		return NULL;
	if (!sl_judge_prompt(query, plan))
		return NULL;
	if (plan->prompt.tools && !(card->capabilities & SL_CAP_TOOLS))
		return "takes no tools";
	if (plan->prompt.schema && !(card->capabilities & SL_CAP_JSON_SCHEMA))
		return "takes no JSON schema";
	if (plan->prompt.modalities & ~card->input_modalities)
		return "does not take this kind of input";
	if (plan->tokens.input == 0)
		guess_tokens(query, plan);
	return fits_window(query, plan, target, output) ? NULL : "context window too small";
}

/* --- cost and quality --------------------------------------------------------------- */

enum sl_bucket
sl_judge_tier(struct sl_slice configured, const struct sl_model_card *card)
{
	/* Nano-dollars for a million tokens: what small and frontier models cost. */
	static const int64_t medium_from = 2000000000, complex_from = 8000000000;
	enum sl_bucket tier = SL_BUCKET_DEFAULT;
	int64_t price;

	if (sl_bucket_find(configured, &tier) || !card ||
	    !((card->price.present >> SL_USAGE_OUTPUT) & 1))
		return tier;
	price = card->price.nanousd[SL_USAGE_OUTPUT];
	if (price < medium_from)
		return SL_BUCKET_SIMPLE;
	return price < complex_from ? SL_BUCKET_MEDIUM : SL_BUCKET_COMPLEX;
}

/* Of each tier. A stronger model is never expected to do worse. */
static void
qualities(const struct sl_plan *plan, double out[SL_BUCKETS])
{
	/* Means over public data, for prompts of which nothing is known. */
	static const double usual[SL_BUCKETS] = { 0.70, 0.80, 0.88 };
	bool known = plan->classified && !plan->class.unsure;

	for (size_t i = 0; i < SL_BUCKETS; i++) {
		out[i] = known ? plan->class.quality[i] : usual[i];
		if (i > 0 && out[i] < out[i - 1])
			out[i] = out[i - 1];
	}
}

static void
judge(const struct sl_plan_query *query, const struct sl_plan *plan,
      const double quality[SL_BUCKETS], struct sl_model_heads_of *heads,
      struct sl_plan_target *target)
{
	target->quality = quality[target->tier];
	target->by_model = sl_model_quality(target->model, quality, heads, &target->quality);
	target->tokens = plan->tokens;
	if (plan->counted)
		count_input(query, target, &target->tokens);
	sl_cost_of(target->card, &target->tokens, &target->cost);
}

/* By the best tier, or by the best target where none is expected to come up to that. */
static void
mark_passing(struct sl_plan *plan, double best_tier)
{
	static const double shares[SL_QUALITY_COUNT] = {
		[SL_QUALITY_UNSET] = 0.85, [SL_QUALITY_DRAFT] = 0.70,
		[SL_QUALITY_STANDARD] = 0.85, [SL_QUALITY_HIGH] = 0.95, [SL_QUALITY_CRITICAL] = 1,
	};
	double best = plan->count > 0 ? plan->targets[0].quality : best_tier;

	for (size_t i = 1; i < plan->count; i++)
		if (plan->targets[i].quality > best)
			best = plan->targets[i].quality;
	if (best > best_tier)
		best = best_tier;
	for (size_t i = 0; i < plan->count; i++)
		plan->targets[i].passes = plan->targets[i].quality >= shares[plan->quality] * best;
	for (size_t i = 0; i < plan->drop_count; i++)
		plan->drops[i].passes = plan->drops[i].quality >= shares[plan->quality] * best;
}

static const struct sl_model_card *
find_baseline(const struct sl_plan_query *query)
{
	struct sl_slice name = query->config->router_baseline;
	struct sl_slice rest = name, provider, model;

	for (size_t i = 0; i < query->config->model_count; i++)
		if (sl_slice_eq(query->config->models[i].name, name) &&
		    query->config->models[i].deployment_count > 0) {
			provider = query->config->models[i].deployments[0].provider;
			model = query->config->models[i].deployments[0].model;
			return sl_plan_card(query, provider, model);
		}
	provider = sl_slice_cut(&rest, '/');
	return rest.len > 0 ? sl_plan_card(query, provider, rest) : NULL;
}

static void
consider_baseline(struct sl_plan *plan, const struct sl_plan_target *target)
{
	if (!target->cost.known || (plan->baseline.known && plan->baseline.expected_nanousd >=
	                                                    target->cost.expected_nanousd))
		return;
	plan->baseline = target->cost;
	plan->baseline_card = target->card;
}

static bool
limits_cost(const struct sl_plan_query *query)
{
	return query->stack && query->stack->max_cost_nanousd > 0;
}

void
sl_judge_plan(const struct sl_plan_query *query, struct sl_plan *plan)
{
	struct sl_model_heads_of heads;
	double quality[SL_BUCKETS];
	struct sl_tokens tokens;

	plan->judged = true;
	sl_judge_class(query, plan);
	heads.prompt = plan->classified && !plan->class.unsure ? &plan->prompt : NULL;
	heads.read = false;
	guess_tokens(query, plan);
	qualities(plan, quality);
	/* Costs are compared, or told: by the models' own tokenizers, each run once. */
	plan->counted = query->count &&
	                (query->explain || (query->body_bytes <= COUNTED_BYTES_MAX &&
	                                    (plan->count > 1 || limits_cost(query))));
	for (size_t i = 0; i < plan->count; i++)
		judge(query, plan, quality, &heads, &plan->targets[i]);
	for (size_t i = 0; i < plan->drop_count; i++)
		judge(query, plan, quality, &heads, &plan->drops[i]);
	mark_passing(plan, quality[SL_BUCKETS - 1]);
	plan->baseline_card = find_baseline(query);
	tokens = plan->tokens;
	if (plan->baseline_card && plan->counted && plan->count > 0)
		query->count(query->context, plan->targets[0].provider, plan->baseline_card->model,
		             &tokens.input_low, &tokens.input, &tokens.input_high);
	sl_cost_of(plan->baseline_card, &tokens, &plan->baseline);
	if (plan->baseline_card)
		return;
	/* What was dropped could have been paid for as well. */
	for (size_t i = 0; i < plan->count; i++)
		consider_baseline(plan, &plan->targets[i]);
	for (size_t i = 0; i < plan->drop_count; i++)
		consider_baseline(plan, &plan->drops[i]);
}

/* --- the order ------------------------------------------------------------------------ */

struct ranking {
	enum sl_objective objective;
	uint64_t          latency_slo_us;
	double            best_quality, dearest_nanousd;
};

/* A cost that is not known is not taken for a low one. */
static double
cost_of(const struct ranking *ranking, const struct sl_plan_target *target)
{
	return target->cost.known ? (double)target->cost.expected_nanousd
	                          : ranking->dearest_nanousd + 1;
}

/* Smaller is better, among targets that pass. */
static double
key_of(const struct ranking *ranking, const struct sl_plan_target *target)
{
	/* What the whole range of costs is worth, as a share of the best quality. */
	static const double cost_weight = 0.16;
	double cost = cost_of(ranking, target);
	double cost_share = ranking->dearest_nanousd > 0 ? cost / ranking->dearest_nanousd : 0;

	switch (ranking->objective) {
	case SL_OBJECTIVE_LOWEST_PASSABLE:
		return cost;
	case SL_OBJECTIVE_FASTEST_PASSABLE:
		/* Unknown comes after any known one, the cheaper first. */
		return target->latency_us > 0 ? (double)target->latency_us : 1e12 + cost_share;
	case SL_OBJECTIVE_PREMIUM:
		return -(double)target->tier - cost_share / 2;
	case SL_OBJECTIVE_BALANCED:
		return cost_weight * cost_share -
		       (ranking->best_quality > 0 ? target->quality / ranking->best_quality : 0);
	case SL_OBJECTIVE_UNSET:
	case SL_OBJECTIVE_FIXED:
	case SL_OBJECTIVE_COUNT:
		break;
	}
	return 0;
}

/* 0: good enough and quick enough; the others stand behind, the better first. */
static unsigned
class_of(const struct ranking *ranking, const struct sl_plan_target *target)
{
	bool slow = ranking->latency_slo_us > 0 && target->latency_us > ranking->latency_slo_us;

	return (target->passes ? 0u : 2u) + (slow ? 1u : 0u);
}

static bool
comes_before(const struct ranking *ranking, const struct sl_plan_target *a,
             const struct sl_plan_target *b)
{
	unsigned class_a = class_of(ranking, a), class_b = class_of(ranking, b);

	if (class_a != class_b)
		return class_a < class_b;
	if (class_a >= 2 && a->tier != b->tier)
		return a->tier > b->tier;
	return key_of(ranking, a) < key_of(ranking, b);
}

void
sl_judge_rank(const struct sl_plan_query *query, struct sl_plan *plan)
{
	struct ranking ranking = { .objective = plan->objective };
	int64_t slo_ms = query->stack ? (int64_t)query->stack->latency_slo_ms : 0;

	if (query->wish && query->wish->latency_slo_ms > 0)
		slo_ms = query->wish->latency_slo_ms;
	ranking.latency_slo_us = (uint64_t)slo_ms * 1000;
	for (size_t i = 0; i < plan->count; i++) {
		const struct sl_plan_target *target = &plan->targets[i];

		if (target->quality > ranking.best_quality)
			ranking.best_quality = target->quality;
		if (target->cost.known && (double)target->cost.expected_nanousd > ranking.dearest_nanousd)
			ranking.dearest_nanousd = (double)target->cost.expected_nanousd;
	}
	/* A handful: insertion keeps equal ones in order. */
	for (size_t i = 1; i < plan->count && plan->objective != SL_OBJECTIVE_FIXED; i++) {
		struct sl_plan_target moving = plan->targets[i];
		size_t at = i;

		for (; at > 0 && comes_before(&ranking, &moving, &plan->targets[at - 1]); at--)
			plan->targets[at] = plan->targets[at - 1];
		plan->targets[at] = moving;
	}
	for (size_t i = 0; i < plan->count; i++)
		plan->targets[i].reason = plan->targets[i].passes
		                              ? sl_objective_name(plan->objective)
		                              : "below the quality asked for";
}

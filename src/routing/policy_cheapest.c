/* policy_cheapest.c - lowest catalogue price for an assumed mix of tokens.
 *
 * Three tokens in for one out, about what chat traffic shows; nothing cached. A
 * price that is not known is not assumed to be low: such a deployment comes last.
 */
#include "routing/policy.h"

enum { MIX_INPUT = 3, MIX_OUTPUT = 1 };

static bool
has(const struct sl_price *price, enum sl_usage_class class_)
{
	return (price->present >> class_) & 1;
}

static int64_t
price_of(const struct sl_candidate *candidate)
{
	const struct sl_model_card *card = candidate->card;
	int64_t sum;

	if (!card || !has(&card->price, SL_USAGE_INPUT))
		return INT64_MAX;
	sum = MIX_INPUT * card->price.nanousd[SL_USAGE_INPUT];
	if (has(&card->price, SL_USAGE_OUTPUT))
		return sum + MIX_OUTPUT * card->price.nanousd[SL_USAGE_OUTPUT];
	/* Embeddings put no tokens out. */
	return card->output_modalities == SL_MODALITY_EMBEDDING ? sum : INT64_MAX;
}

static void
rank(const struct sl_policy_view *view, struct sl_candidate *list, size_t count)
{
	(void)view;
	sl_policy_sort(list, count, price_of);
}

const struct sl_policy_ops sl_policy_cheapest = {
	.name = "cheapest",
	.reason = "cheapest",
	.rank = rank,
};

/* learn.c - one request in a few is counted here and compared with its bill: of every
 * eighth until a model's mean is settled, then of every 256th, to see it move.
 *
 * Only for models whose counts are estimates, and only requests of text and tools, of
 * which no more than 64 KB have to be read: at most about a millisecond, after the
 * request is on its way.
 */
#include "pipeline/learn.h"

#include "base/compiler.h"
#include "pipeline/ask.h"
#include "shapes/tally.h"

enum { EVERY = 8, EVERY_SETTLED = 256, BODY_MAX = 64 * 1024, PER_MILLE = 1000 };

/* turn was counted up for this request. */
static bool
is_due(const struct sl_ask *ask)
{
	const struct sl_token_memory *memory = ask->gateway->services.corrections;

	if (!memory || ask->gateway->turn % EVERY != 0)
		return false;
	return ask->gateway->turn % EVERY_SETTLED == 0 ||
	       !sl_token_memory_is_settled(memory, ask->decision.provider, ask->decision.model);
}

static bool
is_estimated(struct sl_slice model)
{
	const struct sl_token_family *family = sl_token_family_of(model);

	return family->low != PER_MILLE || family->high != PER_MILLE;
}

void
sl_learn_count(struct sl_ask *ask)
{
	const struct sl_ask_front *front = ask->front;
	const struct sl_token_family *family;
	SL_UNINIT struct sl_tally tally; /* read once it was begun */

	/* An answer made here has no front. */
	if (!front || !front->target || !ask->shape->read_prompt ||
	    front->steer.input.body.len > BODY_MAX || !is_due(ask) ||
	    !is_estimated(front->target->model))
		return;
	family = sl_token_family_of(front->target->model);
	sl_tally_init(&tally, family->encoding);
	sl_tally_request(&tally, front->steer.input.body);
	if (tally.images > 0 || tally.media_bytes > 0)
		return;
	ask->counted_for = family;
	ask->counted_tokens = sl_tally_total(&tally, family, SL_TOKEN_RATIO_ONE).tokens;
}

void
sl_learn_note(struct sl_ask *ask)
{
	const struct sl_usage *usage = &ask->reply.facts.usage;
	struct sl_slice model = ask->decision.model;

	/* A later target may be of another family, which counts another way. */
	if (!ask->counted_for || !ask->finished_upstream ||
	    !sl_usage_has(usage, SL_USAGE_INPUT) || sl_token_family_of(model) != ask->counted_for)
		return;
	sl_token_memory_note(ask->gateway->services.corrections, ask->decision.provider, model,
	                     ask->counted_tokens, sl_usage_get(usage, SL_USAGE_INPUT));
}

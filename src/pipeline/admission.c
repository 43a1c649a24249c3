/* admission.c - who asks, and what is taken of their allowances.
 *
 * Requests are counted when the head is here, tokens when the body is; what a provider
 * then reports replaces the estimate. A request that is refused here before any attempt
 * was made gives back what it took.
 */
#include "base/compiler.h"
#include "pipeline/ask.h"
#include "pipeline/estimate.h"
#include "shapes/tally.h"

enum { EXACT_BYTES_MAX = 256 * 1024 }; /* read by a tokenizer; a few milliseconds */

void
sl_admission_open(struct sl_ask *ask)
{
	sl_tenancy_open(&ask->tenancy, ask->gateway->services.tenants, ask->key);
}

static void
tell(struct sl_ask *ask, const struct sl_allowances *left)
{
	struct sl_standing *standing = &ask->head->standing;

	standing->rpm_limit = left->requests.limit;
	standing->rpm_remaining = left->requests.remaining;
	standing->rpm_reset_s = left->requests.reset_s;
	standing->tpm_limit = left->tokens.limit;
	standing->tpm_remaining = left->tokens.remaining;
	standing->tpm_reset_s = left->tokens.reset_s;
}

static bool
admit(struct sl_ask *ask, struct sl_fault *fault)
{
	struct sl_allowances left;
	bool admitted = sl_tenancy_admit(&ask->tenancy, sl_loop_now_ms(ask->gateway->loop),
	                                 sl_loop_wall_ms(ask->gateway->loop),
	                                 &ask->exchange->arena, &left, fault);

	tell(ask, &left);
	ask->unadmitted = !admitted;
	return admitted;
}

bool
sl_admission_head(struct sl_ask *ask)
{
	SL_UNINIT struct sl_fault fault; /* read where it was filled */

	if (!ask->key || admit(ask, &fault))
		return true;
	/* Its body can come while it waits; what is answered here is not worth a wait. */
	if (fault.kind == SL_FAULT_CONCURRENCY && sl_waiting_may(ask) &&
	    ask->shape != &sl_shape_estimate && ask->stored_page == SL_STORED_NONE)
		return true;
	sl_ask_refuse(ask, &fault);
	return false;
}

/* What the request is expected to read. Where a limit asks for it: the text by the tokenizer
 * of the model's family, or of a long one by its characters; never a picture by its bytes. */
static int64_t
expected_tokens(const struct sl_ask *ask)
{
	const struct sl_token_family *family;
	size_t len = ask->exchange->body.len;
	SL_UNINIT struct sl_tally tally; /* read once it was begun */

	if (!sl_tenancy_limits_tokens(&ask->tenancy))
		return 0;
	if (!ask->front || !ask->shape->read_prompt)
		return sl_tokens_estimate(len);
	family = sl_token_family_of(ask->record.model_requested);
	sl_tally_init(&tally, family->encoding);
	tally.guessed |= len > EXACT_BYTES_MAX;
	sl_tally_request(&tally, ask->front->steer.input.body);
	return sl_tally_total(&tally, family, SL_TOKEN_RATIO_ONE).tokens;
}

static bool
take_tokens(struct sl_ask *ask, struct sl_fault *fault)
{
	const struct sl_standing *standing = &ask->head->standing;
	struct sl_allowances left = {
		.requests = { standing->rpm_limit, standing->rpm_remaining, standing->rpm_reset_s },
	};
	bool taken = sl_tenancy_take_tokens(&ask->tenancy, ask->record.end_user,
	                                    expected_tokens(ask),
	                                    sl_loop_now_ms(ask->gateway->loop),
	                                    &ask->exchange->arena, &left, fault);

	tell(ask, &left);
	return taken;
}

/* It is in flight no more, and whoever waits for that is told. */
static void
release(struct sl_ask *ask)
{
	const void *meters[SL_TENANCY_LEVELS_MAX];
	size_t count = ask->tenancy.admitted ? ask->tenancy.count : 0;

	for (size_t i = 0; i < count; i++)
		meters[i] = ask->tenancy.levels[i].meter;
	sl_tenancy_close(&ask->tenancy);
	for (size_t i = 0; i < count; i++)
		sl_waiting_freed(ask, meters[i]);
}

bool
sl_admission_body(struct sl_ask *ask)
{
	const struct sl_meter *full;
	SL_UNINIT struct sl_fault fault; /* read where it was filled */

	if (!ask->key)
		return true;
	if ((!ask->unadmitted || admit(ask, &fault)) && take_tokens(ask, &fault))
		return true;
	/* One that waits for its end user's limit is not in flight for its key. */
	if (fault.kind == SL_FAULT_CONCURRENCY && sl_waiting_may(ask)) {
		full = ask->tenancy.full;
		release(ask);
		sl_admission_open(ask);
		ask->head->standing.workspace = sl_tenancy_workspace(&ask->tenancy);
		ask->tenancy.full = full;
		ask->unadmitted = true;
		if (sl_waiting_for_limit(ask, &fault))
			return false;
	}
	sl_ask_refuse(ask, &fault);
	return false;
}

bool
sl_admission_allows(const struct sl_ask *ask, struct sl_slice requested,
                    struct sl_slice provider, struct sl_slice model)
{
	return sl_tenancy_allows(&ask->tenancy, requested, provider, model);
}

void
sl_admission_close(struct sl_ask *ask)
{
	uint64_t now_ms = sl_loop_now_ms(ask->gateway->loop);
	const struct sl_usage *usage = &ask->reply.facts.usage;

	if (ask->decision.recall == SL_RECALL_HIT)
		sl_tenancy_correct(&ask->tenancy, 0, now_ms);
	else if (ask->record.attempts == 0)
		sl_tenancy_undo(&ask->tenancy, now_ms);
	else if (usage->present)
		sl_tenancy_correct(&ask->tenancy, sl_usage_get(usage, SL_USAGE_INPUT) +
		                                  sl_usage_get(usage, SL_USAGE_OUTPUT), now_ms);
	release(ask);
}

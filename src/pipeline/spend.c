/* spend.c - what an attempt may cost, and what it did cost. */
#include "pipeline/spend.h"

#include "base/compiler.h"
#include "base/log.h"
#include "base/timestamp.h"
#include "ledger/answers.h"
#include "ledger/scopes.h"
#include "pipeline/alerts.h"
#include "pipeline/ask.h"
#include "pipeline/outlay.h"

enum {
	BYTES_PER_TOKEN = 4,     /* of text in most languages; counting never claims more */
	TOKENS_PER_MEDIA = 1000,
	PROGRESS_MS = 1000,
	HELD_RETRY_S = 1,        /* what others hold comes back within seconds */
	NO_RETRY_S = 60,         /* an SDK should not wait longer than that by itself */
};

/* --- the input --------------------------------------------------------------------- */

static const struct sl_extent *
count_input(struct sl_ask *ask)
{
	const struct sl_extent *extent =
	    sl_extent_once(ask->shape, &ask->front->steer, &ask->front->extent);

	ask->spend.input_tokens = extent->text_bytes / BYTES_PER_TOKEN +
	                          extent->media_parts * TOKENS_PER_MEDIA;
	return extent;
}

void
sl_spend_count_input(struct sl_ask *ask)
{
	if (ask->front && ask->spend.open && ask->spend.input_tokens < 0)
		count_input(ask);
}

/* --- the bound ------------------------------------------------------------------- */

/* What nothing limits goes out as it is. Held is what it costs at most if it is only text:
 * the walk that would find more takes longer than all else that money does, and nothing
 * would be refused for it. 0: that has no bound either. */
static int64_t
unlimited_amount(const struct sl_ask *ask, const struct sl_model_card *card)
{
	const struct sl_extent text = { .text_bytes = (int64_t)ask->front->steer.input.body.len };
	const struct sl_outlay outlay = { ask->shape, &ask->front->steer, &text, text.text_bytes, 0 };
	int64_t amount = 0;

	return sl_outlay_bound(&outlay, card, &amount) == SL_BOUND_PROVEN ? amount : 0;
}

/* False: refused. A missing limit of the answer is put in where the shape can. A
 * translation may say more than the caller did (tools written again, instructions about
 * a format), so what is sent is made first and measured. */
static SL_APART bool
find_amount(struct sl_ask *ask, const struct sl_plan_target *target, int64_t *amount,
            struct sl_fault *fault)
{
	int64_t bytes = (int64_t)ask->front->steer.input.body.len, sent;
	struct sl_extent extent = *count_input(ask);
	struct sl_outlay outlay = { ask->shape, &ask->front->steer, &extent, bytes, 0 };
	enum sl_bound_gap gap;

	/* No tool of a provider goes to another one. */
	if (extent.paid_calls != 0 && sl_lane_translates(ask, target))
		extent.paid_calls = 0;
	gap = sl_outlay_limit(&outlay, target->card, ask->world->config->limits.output_tokens,
	                      amount);
	ask->spend.output_limit = outlay.output_limit;
	if (gap == SL_BOUND_PROVEN) {
		if (!sl_attempt_size(ask, target, &sent, fault))
			return false;
		if (sent <= bytes)
			return true;
		outlay.body_bytes = sent;
		gap = sl_outlay_bound(&outlay, target->card, amount);
	}
	if (gap == SL_BOUND_PROVEN)
		return true;
	sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
	             sl_arena_printf(&ask->exchange->arena,
	                             "A budget holds for this request, and the highest possible cost of the "
	                             "request cannot be known: %s.", sl_bound_gap_text(gap)));
	fault->code = SL_SLICE("cost_not_bounded");
	if (gap == SL_BOUND_NO_MAX_TOKENS || gap == SL_BOUND_TOO_LARGE)
		fault->param = SL_SLICE("max_tokens");
	return false;
}

/* --- refusals ---------------------------------------------------------------------- */

void
sl_spend_explain_store(struct sl_fault *fault)
{
	sl_fault_set(fault, SL_FAULT_UNAVAILABLE,
	             SL_SLICE("The gateway cannot write its ledger now, and what is paid for waits "
	                      "until it can. Try again shortly; the operator may have to free "
	                      "space on the disk of the store."));
	fault->retry_after_s = 2;
}

struct sl_slice
sl_spend_usd(struct sl_arena *arena, int64_t nanousd)
{
	uint64_t amount = nanousd < 0 ? 0 - (uint64_t)nanousd : (uint64_t)nanousd;
	struct sl_slice text = sl_arena_printf(arena, "%s%llu.%09llu", nanousd < 0 ? "-" : "",
	                                       (unsigned long long)(amount / 1000000000u),
	                                       (unsigned long long)(amount % 1000000000u));

	while (text.len > 0 && text.ptr[text.len - 1] == '0' && text.ptr[text.len - 2] != '.')
		text.len--;
	return text;
}

static SL_COLD struct sl_slice
explain_budget(struct sl_arena *arena, const struct sl_money_scope *scope,
               const struct sl_money_refusal *why, bool soon)
{
	const char *kind = sl_scope_kind_name(scope->kind);
	struct sl_slice needed = sl_spend_usd(arena, why->needed), limit = sl_spend_usd(arena, why->limit);
	char moment[SL_TIMESTAMP_LEN + 1] = "";
	struct sl_slice when = SL_SLICE_NONE;

	if (why->by == SL_REFUSED_BALANCE)
		return sl_arena_printf(arena, "The balance of %s '%.*s' is %.*s US dollars, requests stop "
		                       "below %.*s, and this one may cost up to %.*s. Add credit, or "
		                       "lower max_tokens.", kind, SL_ARG(scope->name),
		                       SL_ARG(sl_spend_usd(arena, why->used)), SL_ARG(limit), SL_ARG(needed));
	if (why->by == SL_REFUSED_PER_REQUEST)
		return sl_arena_printf(arena, "This request may cost up to %.*s US dollars; %s '%.*s' "
		                       "allows %.*s for one request. Lower max_tokens, or send less.",
		                       SL_ARG(needed), kind, SL_ARG(scope->name), SL_ARG(limit));
	if (soon)
		when = SL_SLICE(" Try again when requests in flight are done.");
	else if (why->resets_wall_ms > 0 && sl_timestamp_format(why->resets_wall_ms, moment) > 0)
		when = sl_arena_printf(arena, " It begins anew at %s.", moment);
	return sl_arena_printf(arena, "The %s budget of %s '%.*s' is %.*s US dollars: %.*s is spent, "
	                       "%.*s is held by requests in flight, and this one may cost up to "
	                       "%.*s.%.*s Lower max_tokens, or have the budget raised.",
	                       sl_refused_by_name(why->by), kind, SL_ARG(scope->name), SL_ARG(limit),
	                       SL_ARG(sl_spend_usd(arena, why->used - why->held)),
	                       SL_ARG(sl_spend_usd(arena, why->held)),
	                       SL_ARG(needed), SL_ARG(when));
}

/* Budgets that may have reached a threshold. */
static void
touch(const struct sl_ask *ask)
{
	sl_alerts_touch(ask->gateway->services.alerts, &ask->tenancy);
	if (ask->decision.stack.len > 0)
		sl_alerts_touch_stack(ask->gateway->services.alerts, ask->decision.stack);
}

static SL_COLD void
explain(struct sl_ask *ask, const struct sl_scopes *scopes, const struct sl_money_refusal *why,
        struct sl_fault *fault)
{
	/* What others hold may come back: no reason to wait for next month. */
	bool soon = why->held > 0 && why->used - why->held + why->needed <= why->limit;

	switch (why->by) {
	case SL_REFUSED_STORE:
		sl_spend_explain_store(fault);
		return;
	case SL_REFUSED_BUSY:
		sl_fault_set(fault, SL_FAULT_UNAVAILABLE,
		             SL_SLICE("More requests are in flight than the ledger can keep. Try again "
		                      "shortly."));
		fault->retry_after_s = why->retry_after_s > 0 ? why->retry_after_s : HELD_RETRY_S;
		return;
	default:
		break;
	}
	sl_fault_set(fault, why->by == SL_REFUSED_BALANCE ? SL_FAULT_BALANCE : SL_FAULT_BUDGET,
	             explain_budget(&ask->exchange->arena, &scopes->scope[why->scope], why, soon));
	fault->limit_of = sl_arena_printf(&ask->exchange->arena, "%s:%.*s",
	                                  sl_scope_kind_name(scopes->scope[why->scope].kind),
	                                  SL_ARG(scopes->scope[why->scope].name));
	fault->limit_nanousd = why->limit;
	fault->used_nanousd = why->used;
	touch(ask);
	if (why->by != SL_REFUSED_BALANCE)
		fault->limit_kind = sl_limit_kind(scopes->scope[why->scope].kind, "budget");
	fault->retry_after_s = soon ? HELD_RETRY_S : why->retry_after_s;
	fault->no_retry = fault->retry_after_s == 0 || fault->retry_after_s > NO_RETRY_S;
}

/* --- begin ------------------------------------------------------------------------------ */

/* Of the paths that pass as they are, those which only read: lists of models, files, jobs. */
bool
sl_spend_is_free(const struct sl_ask *ask)
{
	struct sl_slice method = ask->exchange->request.method;

	return ask->shape->free_of_charge ||
	       (ask->shape == &sl_shape_proxy &&
	        (sl_slice_is(method, "GET") || sl_slice_is(method, "HEAD")));
}

/* Of a model that no catalogue knows, only the provider: callers may name what they like. */
static uint32_t
target_number(struct sl_ask *ask, const struct sl_plan_target *target)
{
	struct sl_slice provider = ask->world->config->providers[target->provider].name;
	struct sl_slice model = target->card ? target->model : SL_SLICE_NONE;
	atomic_uint *known = sl_board_number(&ask->ticket, target->card != NULL);
	uint32_t number = known ? atomic_load_explicit(known, memory_order_relaxed) : 0;

	if (number == 0)
		number = sl_money_target(ask->gateway->services.money, provider, model);
	if (known)
		atomic_store_explicit(known, number, memory_order_relaxed);
	return number;
}

static void
ready(struct sl_hold *hold, enum sl_err err)
{
	struct sl_ask *ask = sl_hold_user(hold);

	ask->front->on_held(ask, err);
}

enum sl_err
sl_spend_begin(struct sl_ask *ask, const struct sl_plan_target *target,
               void (*on_held)(struct sl_ask *ask, enum sl_err err), struct sl_fault *fault)
{
	struct sl_money *money = ask->gateway->services.money;
	struct sl_spend *spend = &ask->spend;
	struct sl_answer *claim = ask->repeat ? ask->repeat->claim : NULL;
	/* Read up to its count, where there is a stack's budget, and on a refusal. */
	SL_UNINIT struct sl_scopes scopes;
	SL_UNINIT struct sl_money_limits of_stack;
	SL_UNINIT struct sl_money_refusal why;
	struct sl_money_request request = {
		.now_wall_ms = sl_loop_wall_ms(ask->gateway->loop),
		.attempt_no = ask->record.attempts + 1,
		.price_version = target->card ? target->card->price_version : 0,
		.policy = SL_UNKNOWN_PROGRESS,
		.loop = ask->gateway->loop,
		.ready = ready,
		.user = ask,
	};
	enum sl_err err;

	spend->open = true;
	spend->attempt_no = request.attempt_no;
	spend->gave_up = false;
	spend->output_limit = 0;
	spend->told_ns = 0;
	spend->input_tokens = -1;
	/* With the caller's own credential the provider's bill is the caller's. */
	if (!money || sl_spend_is_free(ask) || sl_fields_callers_account(ask, ask->upstream))
		return SL_OK;
	sl_scopes_of_tenancy(&ask->tenancy, &scopes);
	sl_scopes_add_stack(&scopes, ask->front->plan.stack, &ask->front->plan.stack_budget,
	                    &of_stack);
	if (scopes.count == 0)
		return SL_OK;
	spend->bound = sl_scopes_bind(&scopes);
	request.unlimited = !spend->bound;
	if (!spend->bound)
		request.amount = unlimited_amount(ask, target->card);
	else if (!find_amount(ask, target, &request.amount, fault))
		return SL_EUNSUPPORTED;
	if (claim)
		request.claim = sl_answer_claim(claim);
	memcpy(request.scopes, scopes.scope, scopes.count * sizeof(scopes.scope[0]));
	request.scope_count = scopes.count;
	request.target = target_number(ask, target);
	memcpy(request.request_id, ask->head->id, sizeof(request.request_id));
	ask->front->on_held = on_held;
	err = sl_money_hold(money, &request, &spend->hold, &why);
	if (err != SL_OK && err != SL_AGAIN)
		explain(ask, &scopes, &why, fault);
	else if (request.claim)
		sl_answer_recorded(claim, request.request_id);
	return err;
}

/* --- on the way ----------------------------------------------------------------------------- */

/* What the attempt used, as far as it is known. */
static void
usage_so_far(struct sl_ask *ask, struct sl_usage *usage)
{
	const struct sl_reply_facts *facts = &ask->reply.facts;
	int64_t output = (facts->text_bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
	bool whole = facts->finished || ask->finished_upstream;

	*usage = facts->usage;
	if (usage->present && (whole || usage->source == SL_USAGE_COUNTED)) {
		if (usage->source == SL_USAGE_NONE || usage->source == SL_USAGE_PARTIAL)
			usage->source = SL_USAGE_REPORTED;
		return;
	}
	sl_spend_count_input(ask);
	/* A whole document that says nothing of its text. */
	if (whole && !ask->stream && output == 0)
		output = (int64_t)(ask->held.len + ask->bytes_out) / BYTES_PER_TOKEN;
	if (!usage->present || !sl_usage_has(usage, SL_USAGE_INPUT))
		sl_usage_set(usage, SL_USAGE_INPUT, ask->spend.input_tokens);
	else if (output <= sl_usage_get(usage, SL_USAGE_OUTPUT)) {
		usage->source = SL_USAGE_PARTIAL;
		return;
	}
	if (output > sl_usage_get(usage, SL_USAGE_OUTPUT))
		sl_usage_set(usage, SL_USAGE_OUTPUT, output);
	usage->source = SL_USAGE_COUNTED;
}

/* What the input alone costs. Where it was not counted it is taken for text, and no more
 * than the model can read. */
static int64_t
floor_of(const struct sl_ask *ask)
{
	struct sl_usage usage = { 0 };
	int64_t cost, tokens = ask->spend.input_tokens;

	if (tokens < 0) {
		tokens = (int64_t)ask->front->steer.input.body.len / BYTES_PER_TOKEN;
		if (ask->card && ask->card->context_tokens > 0 && tokens > ask->card->context_tokens)
			tokens = ask->card->context_tokens;
	}
	sl_usage_set(&usage, SL_USAGE_INPUT, tokens);
	return ask->card && sl_price_cost(ask->card, &usage, &cost) ? cost : 0;
}

static int64_t
within_bound(const struct sl_spend *spend, int64_t cost)
{
	return !spend->bound || cost < sl_hold_amount(spend->hold) ? cost
	                                                           : sl_hold_amount(spend->hold);
}

void
sl_spend_sent(struct sl_ask *ask)
{
	if (ask->spend.hold)
		sl_money_dispatched(ask->spend.hold, within_bound(&ask->spend, floor_of(ask)));
}

void
sl_spend_progress(struct sl_ask *ask)
{
	struct sl_hold *hold = ask->spend.hold;
	struct sl_usage usage;
	uint64_t now_ns;
	int64_t cost;

	if (!hold)
		return;
	now_ns = sl_loop_now_ns(ask->gateway->loop);
	if (now_ns - ask->spend.told_ns < (uint64_t)PROGRESS_MS * 1000000u)
		return;
	ask->spend.told_ns = now_ns;
	usage_so_far(ask, &usage);
	if (ask->card && sl_price_cost(ask->card, &usage, &cost))
		sl_money_progress(hold, within_bound(&ask->spend, cost));
}

/* --- the end ----------------------------------------------------------------------------------- */

/* Whether the provider may charge for the attempt. */
static bool
was_bought(const struct sl_ask *ask)
{
	const struct sl_reply_facts *facts = &ask->reply.facts;
	int status = ask->upstream_status;

	/* Nothing came: a request that was not whole cannot have been served, and a
	 * connection that broke served nobody. */
	if (status == 0)
		return ask->spend.gave_up || (ask->fetching && ask->fetch.sent);
	if (status < 200 || status >= 300)
		return false;
	if (ask->finished_upstream || facts->finished || facts->content)
		return true;
	if (facts->usage.present && facts->usage.source != SL_USAGE_COUNTED)
		return true;
	/* An error instead of an answer, or no reply of the API at all. */
	return !facts->failed;
}

/* Whether others come behind it, or may: then it is told of by itself. */
static bool
is_one_of_many(const struct sl_ask *ask)
{
	const struct sl_reply_facts *facts = &ask->reply.facts;
	bool whole = (ask->finished_upstream || facts->finished) && !facts->failed;

	return !whole || ask->record.attempts > 1 || (ask->front && ask->front->verify);
}

/* One mark is enough: earlier attempts of the request are found with the last. */
static void
keep_mark(struct sl_ask *ask, uint32_t mark)
{
	struct sl_money *money = ask->gateway->services.money;
	struct sl_spend *spend = &ask->spend;

	if (spend->mark > 0 && (mark == 0 || spend->mark_no > spend->attempt_no)) {
		sl_money_unmark(money, mark);
		return;
	}
	sl_money_unmark(money, spend->mark);
	spend->mark = mark;
	spend->mark_no = spend->attempt_no;
}

void
sl_spend_recorded(struct sl_ask *ask)
{
	if (ask->spend.mark > 0)
		sl_money_unmark(ask->gateway->services.money, ask->spend.mark);
	ask->spend.mark = 0;
}

void
sl_spend_end(struct sl_ask *ask)
{
	struct sl_spend *spend = &ask->spend;
	struct sl_usage *usage = &ask->reply.facts.usage;
	int64_t cost = 0, now_ms = sl_loop_wall_ms(ask->gateway->loop);
	struct sl_hold *hold = spend->hold;
	bool bought, priced;

	if (!spend->open)
		return;
	priced = sl_spend_is_free(ask);
	bought = !priced && was_bought(ask);
	spend->hold = NULL;
	if (bought) {
		usage_so_far(ask, usage);
		priced = ask->card && sl_price_cost(ask->card, usage, &cost);
		if (!priced && usage->source == SL_USAGE_COUNTED)
			*usage = (struct sl_usage){ 0 };
		if (hold && spend->bound && usage->source == SL_USAGE_COUNTED && cost > sl_hold_amount(hold)) {
			cost = sl_hold_amount(hold);
			usage->source = SL_USAGE_BOUND;
		}
		if (!sl_usage_consistent(usage))
			sl_log(SL_LOG_WARN, "the provider's usage contradicts itself",
			       SL_LOG_S("request_id", ask->decision.request_id),
			       SL_LOG_S("provider", ask->decision.provider));
	} else {
		*usage = (struct sl_usage){ 0 };
	}
	spend->open = false; /* not before: what is open is counted */
	spend->bought = spend->bought || bought;
	spend->priced = spend->priced || priced;
	if (priced)
		spend->cost_nanousd += cost;
	if (hold && bought)
		keep_mark(ask, sl_money_settle(hold, &(struct sl_money_settlement){
			.cost = priced ? cost : 0,
			.now_wall_ms = now_ms,
			.source = usage->source,
			.input_tokens = sl_usage_get(usage, SL_USAGE_INPUT),
			.output_tokens = sl_usage_get(usage, SL_USAGE_OUTPUT),
			.own_row = is_one_of_many(ask),
			.mark = !ask->rowless,
		}));
	else if (hold)
		sl_money_release(hold, now_ms);
	if (hold && bought && cost > 0)
		touch(ask);
}

/* attempt.c - send the ask to the next target of its plan.
 *
 * One attempt is one physical try at one provider. Nothing has reached the
 * caller while attempts are made; what a provider may have bought is marked, so
 * that the caller's SDK does not buy it again.
 *
 *   fail --another target--> allowed by router.retries and the budget? --> attempt
 *    |                        '-- same provider again: after a random wait
 *    '-- none, or not allowed --> the most useful error reply, else the last reason
 *
 * The budget is the process's (routing/health.h). What was refused before a byte
 * was sent cost the provider nothing and takes nothing from it.
 */
#include "pipeline/ask.h"
#include "pipeline/bidding.h"
#include "pipeline/count.h"
#include "pipeline/sticky.h"

#include "base/compiler.h"

enum {
	FIELDS_USUAL = 128,
	FIELDS_OWN_MAX = 16, /* of a request to a provider: credential, signature, trace, id */
	/* Full jitter, doubling: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ */
	BACKOFF_MS = 100,
	BACKOFF_MAX_MS = 2000,
	RETRY_AFTER_MAX_S = 30,
};

/* Good enough to judge a target by: a turn is short. */
static uint64_t
now_us(const struct sl_ask *ask)
{
	return sl_loop_turn_ns(ask->gateway->loop) / 1000;
}

void
sl_attempt_content(struct sl_ask *ask)
{
	sl_hedge_decide(ask);
	sl_board_content(&ask->ticket, now_us(ask));
	sl_waiting_freed(ask, ask->ticket.target); /* where it had asked for quiet */
	if (ask->conversation)
		sl_sticky_put(ask->gateway->services.sticky, ask->conversation,
		              ask->decision.provider, ask->decision.model, now_us(ask));
}

void
sl_attempt_end(struct sl_ask *ask, enum sl_verdict verdict)
{
	const void *target = ask->ticket.target;

	sl_board_end(&ask->ticket, verdict, ask->retry_after_ms, now_us(ask));
	sl_waiting_freed(ask, target);
}

/* What an attempt that nobody waits for any longer has shown. */
static enum sl_verdict
verdict_so_far(const struct sl_ask *ask)
{
	if (ask->reply.facts.failed)
		return SL_VERDICT_FAILED;
	/* SDKs hang up as soon as they saw the stream's last frame. */
	return ask->reply.facts.finished ? SL_VERDICT_OK : SL_VERDICT_NONE;
}

void
sl_attempt_drop(struct sl_ask *ask)
{
	sl_hedge_end(ask);
	sl_waiting_cancel(ask);
	if (ask->front) {
		sl_timer_clear(&ask->front->backoff);
		sl_token_waiter_cancel(&ask->front->token_waiter);
		sl_attach_cancel(ask);
	}
	sl_attempt_end(ask, verdict_so_far(ask));
	sl_spend_end(ask);
	if (ask->fetching) {
		ask->record.upstream_us =
		    (sl_loop_now_ns(ask->gateway->loop) - ask->attempt_ns) / 1000;
		ask->fetching = false;
		sl_fetch_cancel(&ask->fetch);
	}
	sl_frames_release(&ask->frames);
}

static void on_token(struct sl_token_waiter *waiter);

struct sl_board_target *
sl_attempt_place(const struct sl_ask *ask, const struct sl_plan_target *target)
{
	return target->place ? target->place
	                     : sl_board_place(ask->gateway->services.board,
	                                      ask->world->config->providers[target->provider].name,
	                                      target->model);
}

void
sl_attempt_begin(struct sl_ask *ask, const struct sl_plan_target *target)
{
	ask->upstream = &ask->world->upstreams[target->provider];
	ask->card = target->card;
	ask->decision.provider = ask->upstream->config->name;
	/* The plan is gone when the answer begins, the record needs the name. */
	ask->decision.model = sl_arena_dup(&ask->exchange->arena, target->model);
	ask->record.deployment = target->deployment;
	ask->reply = (struct sl_stream_state){ 0 };
	ask->front->target = target;
	ask->front->has_body = false;
	ask->front->ask = ask;
	ask->front->token_waiter.on_ready = on_token;
	ask->key_index = sl_keyset_pick(&ask->world->upstreams[target->provider].keys, now_us(ask));
	ask->sent = false;
	ask->retry_after_ms = 0;
	ask->upstream_status = ask->answer_status = 0;
	sl_lane_close(ask);
	ask->paused = false;
	ask->finished_upstream = false;
	sl_buf_clear(&ask->held);
}

/* What the caller wrote for this provider alone, under its name or its kind. */
static struct sl_json
extensions_for(struct sl_ask *ask)
{
	const struct sl_json all = ask->head->selection.extensions;
	char *name;
	struct sl_json own;

	if (all.type != SL_JSON_OBJECT)
		return all;
	name = sl_arena_strdup(&ask->front->arena, ask->upstream->config->name);
	own = name ? sl_json_get(all, name) : (struct sl_json){ 0 };
	return own.type == SL_JSON_OBJECT ? own : sl_json_get(all, ask->upstream->kind->name);
}

/* Makes the body for the target. */
static enum sl_err
make_body(struct sl_ask *ask, const struct sl_plan_target *target)
{
	struct sl_ask_front *front = ask->front;
	const struct sl_provider_kind *kind = ask->upstream->kind;
	const struct sl_shape_target shape_target = {
		.model = target->model,
		.model_in_path = (kind->quirks & SL_QUIRK_MODEL_IN_PATH) != 0,
		.body_version = kind->body_version,
		.ask_for_usage = (kind->quirks & SL_QUIRK_NO_STREAM_OPTIONS) == 0,
		.as_written = ask->upstream->config->from_route ||
		              sl_fields_callers_account(ask, ask->upstream),
		.max_output_tokens = ask->spend.output_limit,
		.extensions = extensions_for(ask),
		.no_developer = (kind->quirks & SL_QUIRK_DEVELOPER_ROLE) == 0,
		.old_limit_name = strcmp(kind->name, "openai") != 0 && strcmp(kind->name, "azure") != 0,
	};
	enum sl_err err;

	sl_forward_clear(&front->forward);
	front->refused.kind = SL_FAULT_NONE;
	err = sl_lane_choose(ask, target);
	if (err != SL_OK)
		return err;
	return ask->lane ? sl_lane_encode(ask, &shape_target, &front->forward)
	                 : ask->shape->forward(&front->steer, &shape_target, &front->arena,
	                                       &front->forward);
}

static void explain_start(struct sl_ask *ask, enum sl_err err, struct sl_fault *fault);

bool
sl_attempt_size(struct sl_ask *ask, const struct sl_plan_target *target, int64_t *bytes,
                struct sl_fault *fault)
{
	struct sl_forward *forward = &ask->front->forward;
	enum sl_err err = make_body(ask, target);

	*bytes = 0;
	for (size_t i = 0; i < forward->body_count; i++)
		*bytes += (int64_t)forward->body[i].len;
	ask->front->has_body = err == SL_OK;
	if (err != SL_OK)
		explain_start(ask, err, fault);
	return err == SL_OK;
}

static struct sl_slice
target_of(const struct sl_upstream *upstream, const struct sl_provider_request *where,
          struct sl_arena *arena)
{
	size_t index = where->path.len || where->query.len ? sl_shape_count()
	                                                   : sl_shape_index(where->shape);

	if (index < sl_shape_count() && upstream->targets[index].len)
		return upstream->targets[index];
	return sl_provider_target(upstream->kind, where, arena);
}

/* Builds the request and starts it. SL_OK: a callback of relay.c follows. */
static enum sl_err
start(struct sl_ask *ask, const struct sl_plan_target *target)
{
	struct sl_ask_front *front = ask->front;
	struct sl_arena *arena = &front->arena;
	struct sl_provider_request where = {
		.shape = ask->shape,
		.verb = ask->head->input.verb,
		.path = ask->shape == &sl_shape_proxy ? ask->head->selection.path : SL_SLICE_NONE,
		.model = target->model,
		.stream = ask->stream,
		.query = sl_fields_query(ask),
		.base_path = ask->upstream->url.path,
		.region = ask->upstream->config->cloud.region,
		.project = ask->upstream->project,
		.base_query = ask->upstream->url.query,
		.api_version = ask->upstream->config->api_version,
	};
	SL_UNINIT struct sl_header usual[FIELDS_USUAL]; /* read up to request.header_count */
	const size_t room = ask->exchange->request.headers.count + FIELDS_OWN_MAX +
	                    ask->upstream->kind->header_count + ask->upstream->config->header_count;
	/* All of the caller's have room, so that they never stand in the way of the credential. */
	struct sl_header *const fields =
	    room <= FIELDS_USUAL ? usual : sl_arena_alloc(arena, room * sizeof(*fields));
	struct sl_fetch_request request = { .method = ask->exchange->request.method,
		                            .headers = fields,
		                            .lines = sl_headers_lines(
		                                &ask->exchange->request.headers) };
	enum sl_err err = front->has_body ? SL_OK : make_body(ask, target);

	if (err == SL_OK && !fields)
		err = SL_ENOMEM;
	if (err != SL_OK)
		return err;
	front->has_body = true;
	if (ask->lane)
		sl_lane_where(ask, &where);
	request.target = target_of(ask->upstream, &where, arena);
	if (request.target.len == 0)
		return SL_EUNSUPPORTED;
	request.header_count = sl_fields_to_upstream(ask, ask->upstream, fields, room,
	                                             &ask->used_callers_credential);
	request.body = front->forward.body;
	request.body_count = front->forward.body_count;
	err = sl_credential_put(ask, &request, fields, room);
	if (err != SL_OK)
		return err;
	ask->reply.hide_usage = front->forward.usage_injected;
	ask->reply.facts.usage = front->steer.counted;
	ask->fetch = (struct sl_fetch){ .ops = &sl_relay_ops };
	ask->attempt_ns = sl_loop_now_ns(ask->gateway->loop);
	if (ask->record.attempts == 0)
		ask->forward_ns = ask->attempt_ns - ask->exchange->body_end_ns -
		                  front->waiting.waited_ns;
	sl_spend_sent(ask);
	err = sl_fetch_start(ask->gateway->client, &ask->upstream->origin, &ask->fetch, &request);
	if (err == SL_OK) {
		ask->fetching = true;
		ask->record.attempts++;
		ask->decision.attempts = ask->record.attempts;
	}
	return err;
}

static void
explain_start(struct sl_ask *ask, enum sl_err err, struct sl_fault *fault)
{
	struct sl_arena *arena = &ask->exchange->arena;

	if (ask->front->refused.kind != SL_FAULT_NONE)
		*fault = ask->front->refused;
	else if (err == SL_ELIMIT)
		sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
		             SL_SLICE("The request repeats gateway options too often to be "
		                      "forwarded."));
	else if (err == SL_EUNSUPPORTED)
		sl_fault_set(fault, SL_FAULT_UNSUPPORTED,
		             sl_arena_printf(arena, "The provider '%.*s' does not serve this "
		                             "operation.", SL_ARG(ask->decision.provider)));
	else if (err == SL_ECONNECT)
		sl_fault_set(fault, SL_FAULT_UPSTREAM_UNREACHABLE,
		             sl_arena_printf(arena, "The gateway could not get an access token for "
		                             "the provider '%.*s'. Its log says why.",
		                             SL_ARG(ask->decision.provider)));
	else
		sl_fault_set(fault, SL_FAULT_OVERLOADED,
		             SL_SLICE("The gateway has no room for this request now. Try again "
		                      "shortly."));
}

/* --- when attempts fail ------------------------------------------------------ */

/* How much an error reply tells a caller who could not be served: when to come
 * back, that the provider is full, that it is broken. */
static int
usefulness(int status)
{
	switch (status) {
	case 0:
		return 0;
	case 429:
		return 4;
	case 503:
	case 529:
		return 3;
	default:
		return status >= 500 ? 2 : 1;
	}
}

void
sl_attempt_keep_error(struct sl_ask *ask)
{
	struct sl_kept_error *kept = &ask->front->kept;

	if (usefulness(ask->upstream_status) <= usefulness(kept->status))
		return;
	sl_buf_release(&kept->body);
	*kept = (struct sl_kept_error){
		.status = ask->upstream_status,
		.answer_status = ask->answer_status,
		.target = ask->front->target,
		.headers = ask->reply_headers,
		.header_count = ask->reply_header_count,
		.body = ask->held,
	};
	sl_buf_init(&ask->held, sl_relay_held_max(&ask->world->config->limits));
}

static void
send_kept(struct sl_ask *ask)
{
	struct sl_kept_error *kept = &ask->front->kept;

	sl_attempt_begin(ask, kept->target);
	sl_buf_release(&ask->held);
	ask->held = kept->body;
	kept->body = (struct sl_buf){ 0 };
	ask->upstream_status = kept->status;
	ask->answer_status = kept->answer_status;
	ask->reply_headers = kept->headers;
	ask->reply_header_count = kept->header_count;
	ask->reply_mode = SL_REPLY_ERROR;
	sl_relay_error(ask);
}

/* Position of the running target in the plan, or its count. */
static size_t
position(const struct sl_ask_front *front)
{
	size_t at = 0;

	while (at < front->plan.count && &front->plan.targets[at] != front->target)
		at++;
	return at;
}

bool
sl_attempt_other_key(struct sl_ask *ask)
{
	struct sl_ask_front *front = ask->front;
	size_t at = position(front);

	if (ask->used_callers_credential || at == front->plan.count ||
	    !sl_keyset_rest(&ask->world->upstreams[front->target->provider].keys, ask->key_index,
	                    ask->upstream_status, ask->retry_after_ms, now_us(ask)))
		return false;
	front->next_target = at;
	front->at_once = true;
	return true;
}

bool
sl_attempt_bigger_window(struct sl_ask *ask)
{
	struct sl_ask_front *front = ask->front;
	int64_t tokens = ask->card ? ask->card->context_tokens : 0;

	for (size_t i = front->next_target; i < front->plan.count; i++) {
		const struct sl_model_card *card = front->plan.targets[i].card;

		if (card && card->context_tokens > tokens) {
			front->next_target = i;
			return true;
		}
	}
	return false;
}

/* When the first of the targets may be tried again. */
static uint32_t
retry_after_s(const struct sl_ask *ask)
{
	const struct sl_plan *plan = &ask->front->plan;
	uint64_t now = now_us(ask), wait_us = UINT64_MAX;

	for (size_t i = 0; i < plan->count; i++) {
		const struct sl_plan_target *target = &plan->targets[i];
		struct sl_health_figures live;

		sl_board_figures(ask->gateway->services.board,
		                 ask->world->config->providers[target->provider].name,
		                 target->model, ask->stream, now, &live);
		if (live.due_us <= now)
			return 1;
		if (live.due_us - now < wait_us)
			wait_us = live.due_us - now;
	}
	wait_us = wait_us / 1000000 + 1;
	return wait_us < RETRY_AFTER_MAX_S ? (uint32_t)wait_us : RETRY_AFTER_MAX_S;
}

void
sl_attempt_give_up(struct sl_ask *ask, const struct sl_fault *last)
{
	struct sl_fault fault;

	if (sl_verify_fall_back(ask))
		return;
	if (last)
		fault = *last;
	else
		sl_waiting_explain(ask, &fault);
	if (sl_bidding_next(ask, &fault) || sl_waiting_for_targets(ask, last))
		return;
	if (ask->front->kept.status > 0) {
		send_kept(ask);
		return;
	}
	/* Where the operator must act, coming back soon does not help. */
	if (!ask->maybe_bought &&
	    (fault.kind == SL_FAULT_UPSTREAM_UNREACHABLE ||
	     fault.kind == SL_FAULT_UPSTREAM_BROKEN || fault.kind == SL_FAULT_OVERLOADED))
		fault.retry_after_s = retry_after_s(ask);
	sl_ask_refuse(ask, &fault);
}

bool
sl_attempt_may_go_on(const struct sl_ask *ask)
{
	/* Nobody waits for another answer. */
	return !ask->drain && ask->front->next_target < ask->front->plan.count &&
	       ask->record.attempts <=
	           ask->world->config->router_retries + sl_verify_extra(ask);
}

static void run(struct sl_ask *ask, const struct sl_fault *last);

static void
on_backoff(struct sl_timer *timer)
{
	struct sl_ask_front *front = SL_CONTAINER(timer, struct sl_ask_front, backoff);
	struct sl_fault last = front->last;

	run(front->ask, &last);
}

/* Another target of a provider that has just failed is likely to fail with it, and
 * everybody's second attempts must not come at once. */
static bool
back_off(struct sl_ask *ask, const struct sl_fault *last)
{
	struct sl_ask_front *front = ask->front;
	uint64_t most_ms = BACKOFF_MS;

	if (front->at_once) {
		front->at_once = false;
		return false;
	}
	if (!front->target ||
	    front->plan.targets[front->next_target].provider != front->target->provider)
		return false;
	for (uint32_t i = 1; i < ask->record.attempts && most_ms < BACKOFF_MAX_MS; i++)
		most_ms *= 2;
	front->last = *last;
	front->ask = ask;
	front->backoff.on_due = on_backoff;
	sl_timer_set(ask->gateway->loop, &front->backoff, sl_rand_u64() % most_ms);
	return true;
}

/* The attempt is paid for. True: it is under way, or what it waits for will call. */
bool
sl_attempt_launch(struct sl_ask *ask, struct sl_fault *fault)
{
	enum sl_err err = start(ask, ask->front->target);

	if (err == SL_OK && ask->state != SL_ASK_WAITING)
		sl_ask_set_state(ask, SL_ASK_WAITING);
	if (err == SL_OK)
		sl_hedge_arm(ask);
	if (err == SL_OK || err == SL_AGAIN)
		return true;
	sl_spend_end(ask);
	sl_attempt_end(ask, SL_VERDICT_NONE);
	explain_start(ask, err, fault);
	return false;
}

void
sl_attempt_held(struct sl_ask *ask, enum sl_err err)
{
	struct sl_fault fault;

	if (err != SL_OK) {
		sl_attempt_drop(ask);
		sl_spend_explain_store(&fault);
		sl_attempt_give_up(ask, &fault);
	} else if (!sl_attempt_launch(ask, &fault)) {
		run(ask, &fault);
	}
}

static void
on_token(struct sl_token_waiter *waiter)
{
	struct sl_ask_front *front = SL_CONTAINER(waiter, struct sl_ask_front, token_waiter);
	struct sl_ask *ask = front->ask;
	struct sl_fault fault;

	if (!sl_attempt_launch(ask, &fault))
		run(ask, &fault);
}

/* What the next target needs in the body is there, or cannot be had. */
static void
on_attached(struct sl_ask *ask)
{
	struct sl_fault last = ask->front->last;

	run(ask, &last);
}

/* Goes through the targets until an attempt is under way. What a budget refuses for one
 * target may be there for another: the plan left out what it knew to cost too much, but not
 * what others took since, or a translation adds. Where none can be paid the first tells why. */
static void
run(struct sl_ask *ask, const struct sl_fault *last)
{
	struct sl_ask_front *front = ask->front;
	/* Read where it was filled; of the other the kind, which says whether it was. */
	SL_UNINIT struct sl_fault fault, dear;

	dear.kind = SL_FAULT_NONE;
	while (sl_attempt_may_go_on(ask)) {
		const struct sl_plan_target *target = &front->plan.targets[front->next_target];
		enum sl_err err;

		if (sl_lane_ends_here(ask, target)) {
			front->next_target++;
			if (sl_count_answer(ask, target, &fault))
				return;
			last = &fault;
			continue;
		}
		err = sl_attach_start(ask, target, on_attached, &fault);
		if (err == SL_AGAIN) {
			if (last)
				front->last = *last;
			return;
		}
		front->next_target++;
		if (err != SL_OK) {
			last = &fault;
			continue;
		}
		if (sl_waiting_skips(ask, target) ||
		    !sl_board_begin(sl_attempt_place(ask, target), ask->stream,
		                    front->next_target == front->plan.count, now_us(ask),
		                    &ask->ticket))
			continue;
		sl_waiting_over(ask);
		sl_attempt_begin(ask, target);
		err = sl_spend_begin(ask, target, sl_attempt_held, &fault);
		if (err == SL_AGAIN || (err == SL_OK && sl_attempt_launch(ask, &fault)))
			return;
		last = &fault;
		if (err == SL_OK)
			continue;
		sl_spend_end(ask);
		sl_attempt_end(ask, SL_VERDICT_NONE);
		if (err == SL_ELIMIT && dear.kind == SL_FAULT_NONE)
			dear = fault;
		if (err != SL_EUNSUPPORTED && err != SL_ELIMIT)
			break;
	}
	sl_attempt_give_up(ask, dear.kind != SL_FAULT_NONE ? &dear : last);
}

void
sl_attempt_next(struct sl_ask *ask, const struct sl_fault *last)
{
	sl_attempt_drop(ask);
	if (ask->state == SL_ASK_WAITING)
		sl_ask_set_state(ask, SL_ASK_PLANNED);
	if (!last) {
		run(ask, NULL);
		return;
	}
	if (!sl_attempt_may_go_on(ask) ||
	    (ask->sent && !sl_board_retry(ask->gateway->services.board, now_us(ask))))
		sl_attempt_give_up(ask, last);
	else if (!back_off(ask, last))
		run(ask, last);
}

void
sl_attempt_again(struct sl_ask *ask, const struct sl_fault *last)
{
	ask->front->next_target = 0;
	run(ask, last);
}

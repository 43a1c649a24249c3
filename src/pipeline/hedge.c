/* hedge.c - two attempts that change places. */
#include "pipeline/hedge.h"

#include <string.h>

#include "base/compiler.h"
#include "base/log.h"
#include "pipeline/ask.h"
#include "pipeline/queue.h"
#include "shapes/extent.h"

/* What belongs to one attempt, by its place in the ask. The fetch is moved apart from
 * these, and of the spend the sums over all attempts stay. */
#define OF_ATTEMPT(X)                                                                 \
	X(bool, fetching, fetching)                                                   \
	X(struct sl_board_ticket, ticket, ticket)                                     \
	X(struct sl_spend, spend, spend)                                              \
	X(uint32_t, retry_after_ms, retry_after_ms)                                   \
	X(bool, sent, sent)                                                           \
	X(const struct sl_upstream *, upstream, upstream)                             \
	X(const struct sl_model_card *, card, card)                                   \
	X(struct sl_lane *, lane, lane)                                               \
	X(enum sl_reply_mode, reply_mode, reply_mode)                                 \
	X(int, answer_status, answer_status)                                          \
	X(int, upstream_status, upstream_status)                                      \
	X(bool, paused, paused)                                                       \
	X(bool, used_callers_credential, used_callers_credential)                     \
	X(size_t, key_index, key_index)                                               \
	X(struct sl_header *, reply_headers, reply_headers)                           \
	X(size_t, reply_header_count, reply_header_count)                             \
	X(struct sl_buf, held, held)                                                  \
	X(struct sl_frames, frames, frames)                                           \
	X(struct sl_stream_state, reply, reply)                                       \
	X(uint64_t, attempt_ns, attempt_ns)                                           \
	X(bool, finished_upstream, finished_upstream)                                 \
	X(struct sl_slice, provider, decision.provider)                               \
	X(struct sl_slice, model, decision.model)                                     \
	X(uint64_t, first_byte_us, decision.first_byte_us)                            \
	X(struct sl_slice, deployment, record.deployment)                             \
	X(struct sl_slice, translation, record.translation)                           \
	X(uint64_t, upstream_us, record.upstream_us)                                  \
	X(const struct sl_plan_target *, target, front->target)                       \
	X(struct sl_buf, body, front->body)

/* On the ask's front. */
struct sl_hedge {
	struct sl_ask  *ask;
	struct sl_fetch fetch;  /* of the parked attempt */
	bool            racing; /* an attempt is parked */
	bool            second; /* the ask's own attempt is the later one */
	bool            told;   /* that it won */
	struct {
#define MEMBER(type, name, place) type name;
		OF_ATTEMPT(MEMBER)
#undef MEMBER
	} parked;
};

static const struct sl_fetch_ops hedge_ops;

static struct sl_board *
board_of(const struct sl_ask *ask)
{
	return ask->gateway->services.board;
}

static void
change_places(struct sl_hedge *hedge)
{
	struct sl_ask *ask = hedge->ask;
	int64_t cost_nanousd = ask->spend.cost_nanousd;
	bool bought = ask->spend.bought, priced = ask->spend.priced;
	uint32_t mark = ask->spend.mark, mark_no = ask->spend.mark_no;

#define EXCHANGE(type, name, place)                                                   \
	{                                                                             \
		type own = ask->place;                                                \
                                                                                      \
		ask->place = hedge->parked.name;                                      \
		hedge->parked.name = own;                                             \
	}
	OF_ATTEMPT(EXCHANGE)
#undef EXCHANGE
	ask->spend.cost_nanousd = cost_nanousd;
	ask->spend.bought = bought;
	ask->spend.priced = priced;
	ask->spend.mark = mark;
	ask->spend.mark_no = mark_no;
	sl_fetch_swap(&ask->fetch, &hedge->fetch);
	ask->fetch.ops = &sl_relay_ops;
	hedge->fetch.ops = &hedge_ops;
	hedge->second = !hedge->second;
	ask->decision.hedge_won = hedge->second;
}

/* Ends the ask's own attempt and forgets it; the parked one takes its place. */
static void
leave(struct sl_hedge *hedge)
{
	struct sl_ask *ask = hedge->ask;

	hedge->racing = false;
	sl_attempt_drop(ask);
	sl_lane_close(ask);
	sl_buf_release(&ask->held);
	sl_buf_release(&ask->front->body);
	change_places(hedge);
}

/* --- when ------------------------------------------------------------------------ */

static bool
is_set(const struct sl_config_hedge *hedge)
{
	return hedge->delay_ms > 0 || hedge->percentile > 0;
}

/* The alias that the target is a deployment of, whose text the plan borrows; NULL: none. */
static const struct sl_config_model *
alias_of(const struct sl_config *config, struct sl_slice deployment)
{
	for (size_t i = 0; i < config->model_count && deployment.len > 0; i++) {
		const struct sl_config_model *model = &config->models[i];

		for (size_t k = 0; k < model->deployment_count; k++)
			if (model->deployments[k].id.ptr == deployment.ptr)
				return model;
	}
	return NULL;
}

const struct sl_config_hedge *
sl_hedge_of(const struct sl_config *config, const struct sl_plan_target *target)
{
	const struct sl_config_hedge *of_router = is_set(&config->hedge) ? &config->hedge : NULL;
	const struct sl_config_model *alias;

	if (!config->hedges)
		return NULL;
	alias = alias_of(config, target->deployment);
	if (!alias)
		return of_router;
	if (!alias->hedge.enabled)
		return NULL;
	return is_set(&alias->hedge) ? &alias->hedge : of_router;
}

uint64_t
sl_hedge_delay_us(const struct sl_config_hedge *hedge, const struct sl_config *config,
                  struct sl_board *board, const struct sl_plan_target *target, bool stream)
{
	uint64_t delay_us = hedge->delay_ms * 1000, usual_us = 0;

	if (hedge->percentile > 0)
		usual_us = sl_board_percentile_us(board, config->providers[target->provider].name,
		                                  target->model, stream,
		                                  (uint32_t)hedge->percentile);
	return usual_us > delay_us ? usual_us : delay_us;
}

/* --- whether ----------------------------------------------------------------------- */

static bool
is_kept(const struct sl_shape_ops *shape, struct sl_json body)
{
	struct sl_json store = sl_json_get(body, "store");

	/* The Responses API stores where it is not told otherwise. */
	if (strcmp(shape->name, "openai_responses") == 0)
		return store.type != SL_JSON_FALSE;
	return store.type == SL_JSON_TRUE;
}

bool
sl_hedge_may_double(const struct sl_shape_ops *shape, const struct sl_steer *steer)
{
	static const char *const operations[] = { "chat", "text_completion", "generate_content",
		                                  "embeddings" };
	struct sl_extent extent;
	size_t i = 0, count = sizeof(operations) / sizeof(operations[0]);

	while (i < count && strcmp(shape->operation, operations[i]) != 0)
		i++;
	if (i == count)
		return false;
	sl_extent_read(shape, steer, &extent);
	return extent.paid_calls == 0 && !extent.stored_context &&
	       !is_kept(shape, sl_json_parse(steer->input.body));
}

/* The reply of the first is coming in, though not as a stream. */
static bool
is_coming(const struct sl_ask *ask)
{
	return ask->upstream_status > 0 && ask->reply_mode != SL_REPLY_STREAM && ask->held.len > 0;
}

/* --- the second attempt ---------------------------------------------------------------- */

/* It will not be made: its target stays for when the first fails. */
static void
give_up(struct sl_hedge *hedge, enum sl_hedge_event why)
{
	struct sl_ask *ask = hedge->ask;

	leave(hedge);
	ask->front->next_target--;
	ask->decision.hedged = false;
	sl_board_hedge_count(board_of(ask), why);
}

static void
launch(struct sl_hedge *hedge)
{
	struct sl_ask *ask = hedge->ask;
	struct sl_fault fault;

	/* One without a token at hand is not the quicker one. */
	if (!sl_attempt_launch(ask, &fault) || !ask->fetching) {
		give_up(hedge, SL_HEDGE_NO_TARGET);
		return;
	}
	sl_board_hedge_count(board_of(ask), SL_HEDGE_STARTED);
	sl_log(SL_LOG_INFO, "hedged", SL_LOG_S("request_id", ask->decision.request_id),
	       SL_LOG_S("provider", ask->decision.provider),
	       SL_LOG_S("model", ask->decision.model));
}

/* The disk has its hold, or refused it. */
static void
on_held(struct sl_ask *ask, enum sl_err err)
{
	struct sl_hedge *hedge = ask->front->hedge;

	if (!hedge->racing) {
		sl_attempt_held(ask, err);
		return;
	}
	if (!hedge->second)
		change_places(hedge);
	if (err != SL_OK)
		give_up(hedge, SL_HEDGE_NO_MONEY);
	else
		launch(hedge);
}

/* Whether nothing must be fetched for the body first, and nobody waits for the target. */
static bool
is_ready(struct sl_ask *ask, const struct sl_plan_target *target)
{
	struct sl_queue *queue = ask->gateway->services.queue;
	struct sl_slice provider = ask->world->config->providers[target->provider].name;
	struct sl_fault fault;
	enum sl_err err;

	if (queue && sl_queue_any(queue, sl_board_thing(board_of(ask), provider, target->model)))
		return false;
	err = sl_attach_start(ask, target, NULL, &fault);

	if (err == SL_AGAIN)
		sl_attach_cancel(ask);
	return err == SL_OK;
}

static void
begin(struct sl_hedge *hedge)
{
	struct sl_ask *ask = hedge->ask;
	struct sl_ask_front *front = ask->front;
	const struct sl_plan_target *target = &front->plan.targets[front->next_target++];
	struct sl_fault fault;
	enum sl_err err;

	hedge->racing = true;
	sl_buf_init(&hedge->parked.held, sl_relay_held_max(&ask->world->config->limits));
	change_places(hedge);
	ask->decision.hedged = true;
	if (!sl_board_begin(sl_attempt_place(ask, target), ask->stream, false,
	                    sl_loop_now_ns(ask->gateway->loop) / 1000, &ask->ticket)) {
		give_up(hedge, SL_HEDGE_NO_TARGET);
		return;
	}
	sl_attempt_begin(ask, target);
	err = sl_spend_begin(ask, target, on_held, &fault);
	if (err == SL_OK)
		launch(hedge);
	else if (err != SL_AGAIN)
		give_up(hedge, SL_HEDGE_NO_MONEY);
}

static void
on_due(struct sl_timer *timer)
{
	struct sl_ask_front *front = SL_CONTAINER(timer, struct sl_ask_front, hedge_timer);
	struct sl_ask *ask = front->ask;
	struct sl_board *board = board_of(ask);

	if (ask->state != SL_ASK_WAITING || !ask->fetching || is_coming(ask))
		return;
	if (!sl_attempt_may_go_on(ask) ||
	    !is_ready(ask, &front->plan.targets[front->next_target])) {
		sl_board_hedge_count(board, SL_HEDGE_NO_TARGET);
		return;
	}
	if ((ask->repeat && ask->repeat->claim) || front->bidding ||
	    sl_fields_callers_account(ask, ask->upstream) ||
	    !sl_hedge_may_double(ask->shape, &front->steer)) {
		sl_board_hedge_count(board, SL_HEDGE_NOT_TWICE);
		return;
	}
	if (!sl_board_hedge_take(board, sl_loop_now_ns(ask->gateway->loop) / 1000))
		return;
	front->hedge = SL_ARENA_NEW(&front->arena, struct sl_hedge);
	if (!front->hedge)
		return;
	front->hedge->ask = ask;
	begin(front->hedge);
}

void
sl_hedge_arm(struct sl_ask *ask)
{
	struct sl_ask_front *front = ask->front;
	const struct sl_config *config = ask->world->config;
	const struct sl_config_hedge *hedge;
	uint64_t delay_us;

	if (front->hedge && !front->hedge->racing)
		ask->decision.hedge_won = false; /* one after both */
	/* Only the first attempt of a request, and of one with a choice. */
	if (ask->record.attempts != 1 || front->next_target >= front->plan.count)
		return;
	hedge = sl_hedge_of(config, front->target);
	if (!hedge)
		return;
	sl_board_hedge_earn(board_of(ask), (uint32_t)config->hedge_budget_percent);
	delay_us = sl_hedge_delay_us(hedge, config, board_of(ask), front->target, ask->stream);
	if (delay_us == 0)
		return;
	front->hedge_timer.on_due = on_due;
	sl_timer_set(ask->gateway->loop, &front->hedge_timer, (delay_us + 999) / 1000);
}

/* --- the end of two ------------------------------------------------------------------- */

void
sl_hedge_end(struct sl_ask *ask)
{
	struct sl_hedge *hedge = ask->front ? ask->front->hedge : NULL;

	if (ask->front)
		sl_timer_clear(&ask->front->hedge_timer);
	if (!hedge || !hedge->racing)
		return;
	/* The second of an answer that came is not missed by the health of its target. */
	change_places(hedge);
	leave(hedge);
}

void
sl_hedge_decide(struct sl_ask *ask)
{
	struct sl_hedge *hedge = ask->front ? ask->front->hedge : NULL;

	if (hedge && ask->decision.hedge_won && !hedge->told) {
		hedge->told = true;
		sl_board_hedge_count(board_of(ask), SL_HEDGE_WON);
	}
	sl_hedge_end(ask);
	if (hedge)
		ask->decision.hedge_won = hedge->second;
}

bool
sl_hedge_go_on(struct sl_ask *ask)
{
	struct sl_hedge *hedge = ask->front ? ask->front->hedge : NULL;

	if (!hedge || !hedge->racing)
		return false;
	leave(hedge);
	return true;
}

/* --- what the parked attempt has to say ------------------------------------------------ */

static struct sl_fetch *
enter(struct sl_fetch *fetch)
{
	struct sl_hedge *hedge = SL_CONTAINER(fetch, struct sl_hedge, fetch);

	change_places(hedge);
	return &hedge->ask->fetch;
}

static void
on_head(struct sl_fetch *fetch, int status, const struct sl_headers *headers,
        int64_t content_length)
{
	sl_relay_ops.on_head(enter(fetch), status, headers, content_length);
}

static void
on_data(struct sl_fetch *fetch, struct sl_slice bytes)
{
	sl_relay_ops.on_data(enter(fetch), bytes);
}

static void
on_end(struct sl_fetch *fetch, const struct sl_headers *trailers)
{
	sl_relay_ops.on_end(enter(fetch), trailers);
}

static void
on_fail(struct sl_fetch *fetch, const struct sl_fetch_error *error)
{
	sl_relay_ops.on_fail(enter(fetch), error);
}

static const struct sl_fetch_ops hedge_ops = {
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_fail = on_fail,
};

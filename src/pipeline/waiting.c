/* waiting.c - when to wait, for what, and what follows. */
#include "pipeline/waiting.h"

#include "pipeline/ask.h"
#include "pipeline/queue.h"

enum {
	TICK_MS = 1000, /* to look for room that nobody told of */
	SDK_TIMEOUT_MAX_S = 86400,
};

static void on_turn(void *user, bool displaced);
static void on_due(struct sl_timer *timer);

static struct sl_queue *
queue_of(const struct sl_ask *ask)
{
	return ask->gateway->services.queue;
}

static uint64_t
now_ms(const struct sl_ask *ask)
{
	return sl_loop_now_ms(ask->gateway->loop);
}

bool
sl_waiting_may(const struct sl_ask *ask)
{
	return queue_of(ask) && ask->world->config->queue_requests > 0 && !ask->drain;
}

/* --- what targets have --------------------------------------------------------------- */

struct view {
	bool     room;     /* one of them may be tried */
	bool     full;     /* one has as many requests as it may */
	uint64_t quiet_ms; /* how long the first of those that asked for quiet still wants it;
	                    * UINT64_MAX: none did */
};

static void
figures_of(struct sl_ask *ask, const struct sl_plan_target *target,
           struct sl_health_figures *out)
{
	sl_board_figures(ask->gateway->services.board,
	                 ask->world->config->providers[target->provider].name, target->model,
	                 ask->stream, sl_loop_now_ns(ask->gateway->loop) / 1000, out);
}

static uint64_t
quiet_ms(const struct sl_ask *ask, const struct sl_health_figures *live)
{
	uint64_t now_us = sl_loop_now_ns(ask->gateway->loop) / 1000;

	return live->due_us > now_us ? (live->due_us - now_us) / 1000 + 1 : 0;
}

static void
look(struct sl_ask *ask, struct view *out)
{
	const struct sl_plan *plan = &ask->front->plan;

	*out = (struct view){ .quiet_ms = UINT64_MAX };
	for (size_t i = 0; i < plan->count; i++) {
		struct sl_health_figures live;
		uint64_t wait_ms;

		figures_of(ask, &plan->targets[i], &live);
		out->full |= live.full;
		out->room |= !live.full && !live.cooling;
		wait_ms = live.cooling ? quiet_ms(ask, &live) : UINT64_MAX;
		if (wait_ms < out->quiet_ms)
			out->quiet_ms = wait_ms;
	}
}

static const void *
thing_of(const struct sl_ask *ask, const struct sl_plan_target *target)
{
	return sl_board_thing(ask->gateway->services.board,
	                      ask->world->config->providers[target->provider].name,
	                      target->model);
}

/* The same targets are the same gate, in whatever order the plan has them. */
static void
add_thing(struct sl_queue_entry *entry, const void *thing)
{
	size_t at = entry->thing_count;

	if (!thing || at == SL_QUEUE_THINGS_MAX)
		return;
	for (; at > 0 && (uintptr_t)entry->things[at - 1] > (uintptr_t)thing; at--)
		entry->things[at] = entry->things[at - 1];
	entry->things[at] = thing;
	entry->thing_count++;
}

/* --- the place ------------------------------------------------------------------------- */

/* The caller's own patience, where its SDK tells. */
static uint64_t
until_ms(const struct sl_ask *ask)
{
	uint64_t wait_ms = ask->world->config->queue_wait_ms;
	int64_t seconds;

	if (sl_slice_i64(sl_headers_get(&ask->exchange->request.headers, "x-stainless-timeout"),
	                 &seconds) &&
	    seconds > 0 && seconds < SDK_TIMEOUT_MAX_S && (uint64_t)seconds * 1000 < wait_ms)
		wait_ms = (uint64_t)seconds * 1000;
	return now_ms(ask) + wait_ms;
}

static void
set_timer(struct sl_ask *ask, uint64_t due_ms)
{
	struct sl_waiting *waiting = &ask->front->waiting;
	uint64_t now = now_ms(ask);
	uint64_t left_ms = waiting->until_ms > now ? waiting->until_ms - now : 0;

	if (due_ms > TICK_MS)
		due_ms = TICK_MS;
	waiting->timer.on_due = on_due;
	sl_timer_set(ask->gateway->loop, &waiting->timer, due_ms < left_ms ? due_ms : left_ms);
}

/* True: it stands in its line, again or from now on. */
static bool
stand(struct sl_ask *ask, struct sl_queue_entry *entry)
{
	struct sl_waiting *waiting = &ask->front->waiting;

	ask->front->ask = ask;
	if (waiting->place) {
		waiting->turn = false;
		sl_queue_again(waiting->place);
		return true;
	}
	entry->max = (size_t)ask->world->config->queue_requests;
	entry->loop = ask->gateway->loop;
	entry->on_turn = on_turn;
	entry->user = ask;
	waiting->place = sl_queue_join(queue_of(ask), entry);
	waiting->begin_ns = sl_loop_now_ns(ask->gateway->loop);
	if (!waiting->place) {
		waiting->over = true;
		sl_queue_ended(queue_of(ask), SL_QUEUE_FULL);
	}
	return waiting->place != NULL;
}

static void
leave(struct sl_ask *ask, bool used, enum sl_queue_end end)
{
	struct sl_waiting *waiting = &ask->front->waiting;
	struct sl_place *place = waiting->place;

	sl_timer_clear(&waiting->timer);
	waiting->place = NULL;
	waiting->turn = false;
	waiting->waited_ns += sl_loop_now_ns(ask->gateway->loop) - waiting->begin_ns;
	sl_queue_leave(place, used);
	sl_queue_ended(queue_of(ask), end);
}

/* --- waiting --------------------------------------------------------------------------- */

/* A further attempt is one, however long it waited. */
static bool
may_try_again(struct sl_ask *ask)
{
	struct sl_waiting *waiting = &ask->front->waiting;
	uint32_t attempts = ask->record.attempts;

	if (attempts == waiting->retried)
		return true;
	if (attempts > ask->world->config->router_retries + sl_verify_extra(ask) ||
	    !sl_board_retry(ask->gateway->services.board,
	                    sl_loop_now_ns(ask->gateway->loop) / 1000))
		return false;
	waiting->retried = attempts;
	return true;
}

bool
sl_waiting_for_targets(struct sl_ask *ask, const struct sl_fault *last)
{
	struct sl_waiting *waiting = &ask->front->waiting;
	const struct sl_plan *plan = &ask->front->plan;
	struct sl_queue_entry entry = { .thing_count = 0 };
	struct view view;
	bool late;

	/* Only the provider's 429 is a reason to come back to it. */
	if (!sl_waiting_may(ask) || waiting->over || (last && ask->front->kept.status != 429))
		return false;
	look(ask, &view);
	/* It was left nothing to try, and another loop has made room since. */
	late = view.room && !last;
	if (waiting->until_ms == 0)
		waiting->until_ms = until_ms(ask);
	if (now_ms(ask) >= waiting->until_ms ||
	    (!view.full && !late &&
	     (view.quiet_ms == UINT64_MAX ||
	      now_ms(ask) + view.quiet_ms > waiting->until_ms)) ||
	    !may_try_again(ask))
		return false;
	for (size_t i = 0; i < plan->count; i++)
		add_thing(&entry, thing_of(ask, &plan->targets[i]));
	entry.tenant = ask->head->standing.workspace.len > 0 ? ask->head->standing.workspace
	                                               : ask->decision.key_id;
	waiting->for_limit = false;
	waiting->failed = last != NULL;
	if (last)
		waiting->why = *last;
	if (entry.thing_count == 0 || !stand(ask, &entry))
		return false;
	set_timer(ask, late ? 0 : view.quiet_ms);
	return true;
}

bool
sl_waiting_for_limit(struct sl_ask *ask, const struct sl_fault *refused)
{
	struct sl_waiting *waiting = &ask->front->waiting;
	struct sl_queue_entry entry = { .things = { ask->tenancy.full }, .thing_count = 1,
		                        .tenant = ask->decision.key_id };

	if (!sl_waiting_may(ask) || waiting->over)
		return false;
	if (waiting->until_ms == 0)
		waiting->until_ms = until_ms(ask);
	waiting->for_limit = true;
	waiting->why = *refused;
	if (now_ms(ask) >= waiting->until_ms || !stand(ask, &entry))
		return false;
	set_timer(ask, TICK_MS);
	return true;
}

bool
sl_waiting_skips(struct sl_ask *ask, const struct sl_plan_target *target)
{
	struct sl_waiting *waiting = &ask->front->waiting;
	struct sl_health_figures live;

	/* One that failed elsewhere has nothing else to wait for. */
	if (!sl_waiting_may(ask) || waiting->over ||
	    (ask->record.attempts > 0 && ask->front->kept.status != 429))
		return false;
	if (!waiting->place && ask->record.attempts == 0 &&
	    sl_queue_any(queue_of(ask), thing_of(ask, target)))
		return true;
	figures_of(ask, target, &live);
	return live.cooling &&
	       now_ms(ask) + quiet_ms(ask, &live) <
	           (waiting->until_ms > 0 ? waiting->until_ms : until_ms(ask));
}

/* --- the end of it --------------------------------------------------------------------- */

static void
expire(struct sl_ask *ask, enum sl_queue_end end)
{
	struct sl_waiting *waiting = &ask->front->waiting;
	struct sl_fault why = waiting->why;

	leave(ask, false, end);
	waiting->over = true;
	if (waiting->for_limit)
		sl_ask_refuse(ask, &why);
	else
		sl_attempt_give_up(ask, waiting->failed ? &why : NULL);
}

static void
on_turn(void *user, bool displaced)
{
	struct sl_ask *ask = user;
	struct sl_waiting *waiting = &ask->front->waiting;
	struct sl_fault why = waiting->why;

	sl_timer_clear(&waiting->timer);
	waiting->turn = true;
	if (displaced || now_ms(ask) >= waiting->until_ms)
		expire(ask, displaced ? SL_QUEUE_DISPLACED : SL_QUEUE_EXPIRED);
	else if (waiting->for_limit)
		sl_gateway_admit(ask);
	else
		sl_attempt_again(ask, waiting->failed ? &why : NULL);
}

static void
on_due(struct sl_timer *timer)
{
	struct sl_waiting *waiting = SL_CONTAINER(timer, struct sl_waiting, timer);
	struct sl_ask_front *front = SL_CONTAINER(waiting, struct sl_ask_front, waiting);
	struct sl_ask *ask = front->ask;
	struct view view = { .room = true, .quiet_ms = UINT64_MAX };

	if (now_ms(ask) >= waiting->until_ms) {
		expire(ask, SL_QUEUE_EXPIRED);
		return;
	}
	if (!waiting->for_limit)
		look(ask, &view);
	set_timer(ask, view.quiet_ms);
	if (view.room)
		sl_queue_nudge(waiting->place, now_ms(ask));
}

void
sl_waiting_over(struct sl_ask *ask)
{
	if (ask->front->waiting.place)
		leave(ask, true, SL_QUEUE_SERVED);
}

void
sl_waiting_cancel(struct sl_ask *ask)
{
	if (ask->front && ask->front->waiting.place)
		leave(ask, false, SL_QUEUE_LEFT);
}

void
sl_waiting_freed(struct sl_ask *ask, const void *thing)
{
	if (queue_of(ask) && thing)
		sl_queue_freed(queue_of(ask), thing);
}

void
sl_waiting_explain(struct sl_ask *ask, struct sl_fault *fault)
{
	const struct sl_slice requested = ask->record.model_requested;

	sl_fault_set(fault, SL_FAULT_OVERLOADED,
	             sl_arena_printf(&ask->exchange->arena,
	                             ask->front->waiting.until_ms > 0
	                                 ? "No target of '%.*s' had room for this request in the "
	                                   "time that it may wait. Try again shortly."
	                                 : "All targets of '%.*s' have as many requests as they "
	                                   "may. Try again shortly.",
	                             SL_ARG(requested)));
}

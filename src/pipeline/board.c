/* board.c - targets in a hash table of pointers that only grow.
 *
 * A target is published, complete, by one store and never moves or leaves, so
 * finding one takes no lock; its health does. The table is twice as large as the
 * targets it may get, so a probe always ends at an empty slot.
 */
#include "pipeline/board.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/rand.h"

enum { SLOTS = 2 * SL_BOARD_TARGETS_MAX };

struct sl_board_target {
	struct sl_latch  lock; /* guards health */
	struct sl_health health;
	uint64_t         hash;
	atomic_uint      deployed;         /* the registration that named it last */
	atomic_uint      number[2];        /* sl_board_number: of the provider, with the model */
	struct sl_slice  provider, model; /* frozen */
	char             text[];
};

struct sl_board {
	struct sl_board_target *_Atomic slots[SLOTS];
	atomic_uint            registration; /* counts up */
	pthread_mutex_t        lock;     /* guards what follows */
	size_t                 count;    /* targets */
	char                  *disabled[SL_BOARD_SWITCHES_MAX];
	atomic_size_t          disabled_count; /* written under the lock */
	struct sl_latch        retry_lock; /* guards what follows */
	struct sl_retry_budget retries;
	uint64_t               retries_refused;
	struct sl_hedge_budget hedges;
	atomic_uint_fast64_t   hedge_events[SL_HEDGE_EVENT_COUNT];
};

struct sl_board *
sl_board_new(void)
{
	struct sl_board *board = calloc(1, sizeof(*board));

	if (!board)
		return NULL;
	pthread_mutex_init(&board->lock, NULL);
	return board;
}

void
sl_board_free(struct sl_board *board)
{
	if (!board)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		free(atomic_load(&board->slots[i]));
	for (size_t i = 0; i < atomic_load(&board->disabled_count); i++)
		free(board->disabled[i]);
	pthread_mutex_destroy(&board->lock);
	free(board);
}

/* --- targets -------------------------------------------------------------------- */

static uint64_t
hash_of(struct sl_slice provider, struct sl_slice model)
{
	return sl_hash(sl_hash(0, provider), model);
}

/* The target, or NULL; *slot is where it stands or would stand. */
static struct sl_board_target *
find(struct sl_board *board, uint64_t hash, struct sl_slice provider, struct sl_slice model,
     size_t *slot)
{
	for (*slot = hash % SLOTS;; *slot = (*slot + 1) % SLOTS) {
		struct sl_board_target *target =
		    atomic_load_explicit(&board->slots[*slot], memory_order_acquire);

		if (!target)
			return NULL;
		if (target->hash == hash && sl_slice_eq(target->provider, provider) &&
		    sl_slice_eq(target->model, model))
			return target;
	}
}

static struct sl_board_target *
new_target(uint64_t hash, struct sl_slice provider, struct sl_slice model)
{
	struct sl_board_target *target = calloc(1, sizeof(*target) + provider.len + model.len);

	if (!target)
		return NULL;
	target->hash = hash;
	memcpy(target->text, provider.ptr, provider.len);
	memcpy(target->text + provider.len, model.ptr, model.len);
	target->provider = sl_slice_make(target->text, provider.len);
	target->model = sl_slice_make(target->text + provider.len, model.len);
	return target;
}

/* The target, made if there are fewer than `max`; NULL: none. */
static struct sl_board_target *
take(struct sl_board *board, struct sl_slice provider, struct sl_slice model, size_t max)
{
	uint64_t hash = hash_of(provider, model);
	size_t slot;
	struct sl_board_target *target = find(board, hash, provider, model, &slot);

	if (target)
		return target;
	pthread_mutex_lock(&board->lock);
	/* Another thread may have been quicker. */
	target = find(board, hash, provider, model, &slot);
	if (!target && board->count < max) {
		target = new_target(hash, provider, model);
		if (target) {
			board->count++;
			atomic_store_explicit(&board->slots[slot], target, memory_order_release);
		}
	}
	pthread_mutex_unlock(&board->lock);
	return target;
}

/* Of several deployments of one target the lowest holds. */
static void
limit_target(struct sl_board_target *target, uint64_t concurrency, bool first)
{
	uint32_t limit = (uint32_t)concurrency;

	sl_latch_lock(&target->lock);
	if (first || target->health.max_in_flight == 0 ||
	    (limit > 0 && limit < target->health.max_in_flight))
		target->health.max_in_flight = limit;
	sl_latch_unlock(&target->lock);
}

/* What no configuration names any more has no limit. */
static void
unlimit_others(struct sl_board *board, unsigned registration)
{
	for (size_t i = 0; i < SLOTS; i++) {
		struct sl_board_target *target = atomic_load(&board->slots[i]);

		if (target && atomic_load(&target->deployed) != registration)
			limit_target(target, 0, true);
	}
}

void
sl_board_register(struct sl_board *board, const struct sl_config *config)
{
	unsigned registration = atomic_fetch_add(&board->registration, 1) + 1;

	for (size_t i = 0; i < config->model_count; i++)
		for (size_t k = 0; k < config->models[i].deployment_count; k++) {
			const struct sl_config_deployment *deployment =
			    &config->models[i].deployments[k];
			struct sl_board_target *target = take(board, deployment->provider,
			                                      deployment->model,
			                                      SL_BOARD_TARGETS_MAX);

			if (!target)
				continue;
			limit_target(target, deployment->concurrency,
			             atomic_load(&target->deployed) != registration);
			atomic_store(&target->deployed, registration);
		}
	unlimit_others(board, registration);
}

/* --- attempts ------------------------------------------------------------------- */

void
sl_board_figures(struct sl_board *board, struct sl_slice provider, struct sl_slice model,
                 bool stream, uint64_t now_us, struct sl_health_figures *out)
{
	size_t slot;
	struct sl_board_target *target =
	    find(board, hash_of(provider, model), provider, model, &slot);

	if (!target) {
		*out = (struct sl_health_figures){ .breaker = SL_BREAKER_CLOSED };
		return;
	}
	sl_latch_lock(&target->lock);
	sl_health_figures(&target->health, stream, now_us, out);
	sl_latch_unlock(&target->lock);
}

const void *
sl_board_thing(struct sl_board *board, struct sl_slice provider, struct sl_slice model)
{
	size_t slot;

	return find(board, hash_of(provider, model), provider, model, &slot);
}

struct sl_board_target *
sl_board_place(struct sl_board *board, struct sl_slice provider, struct sl_slice model)
{
	struct sl_board_target *place = take(board, provider, model, SL_BOARD_NAMED_MAX);

	return place ? place : take(board, provider, SL_SLICE("*"), SL_BOARD_TARGETS_MAX);
}

bool
sl_board_begin(struct sl_board_target *place, bool stream, bool last, uint64_t now_us,
               struct sl_board_ticket *ticket)
{
	bool begun;

	*ticket = (struct sl_board_ticket){ .target = NULL };
	if (!place)
		return true;
	sl_latch_lock(&place->lock);
	begun = sl_health_begin(&place->health, stream, last, now_us, &ticket->health);
	sl_latch_unlock(&place->lock);
	if (begun)
		ticket->target = place;
	return begun;
}

atomic_uint *
sl_board_number(const struct sl_board_ticket *ticket, bool with_model)
{
	struct sl_board_target *target = ticket->target;

	if (!target || (with_model && sl_slice_is(target->model, "*")))
		return NULL;
	return &target->number[with_model];
}

static void
tell_change(const struct sl_board_target *target, enum sl_breaker before, enum sl_breaker after)
{
	if (before == after)
		return;
	sl_log(after == SL_BREAKER_OPEN ? SL_LOG_WARN : SL_LOG_INFO, "circuit breaker",
	       SL_LOG_S("provider", target->provider), SL_LOG_S("model", target->model),
	       SL_LOG_Z("was", sl_breaker_name(before)), SL_LOG_Z("is", sl_breaker_name(after)));
}

void
sl_board_content(struct sl_board_ticket *ticket, uint64_t now_us)
{
	struct sl_board_target *target = ticket->target;
	enum sl_breaker before, after;

	if (!target)
		return;
	sl_latch_lock(&target->lock);
	before = target->health.breaker;
	sl_health_content(&target->health, &ticket->health, now_us);
	after = target->health.breaker;
	sl_latch_unlock(&target->lock);
	tell_change(target, before, after);
}

void
sl_board_end(struct sl_board_ticket *ticket, enum sl_verdict verdict, uint64_t retry_after_ms,
             uint64_t now_us)
{
	struct sl_board_target *target = ticket->target;
	uint64_t chance = verdict == SL_VERDICT_FAILED ? sl_rand_u64() : 0;
	enum sl_breaker before, after;

	if (!target)
		return;
	ticket->target = NULL;
	sl_latch_lock(&target->lock);
	before = target->health.breaker;
	sl_health_end(&target->health, &ticket->health, verdict, retry_after_ms, now_us, chance);
	after = target->health.breaker;
	sl_latch_unlock(&target->lock);
	tell_change(target, before, after);
}

bool
sl_board_is_open(struct sl_board *board, struct sl_slice provider)
{
	bool open = false;

	for (size_t i = 0; i < SLOTS && !open; i++) {
		struct sl_board_target *target =
		    atomic_load_explicit(&board->slots[i], memory_order_acquire);

		if (!target || !sl_slice_eq(target->provider, provider))
			continue;
		sl_latch_lock(&target->lock);
		open = target->health.breaker == SL_BREAKER_OPEN;
		sl_latch_unlock(&target->lock);
	}
	return open;
}

void
sl_board_hint(struct sl_board *board, struct sl_slice provider, bool alive, uint64_t now_us,
              uint64_t until_us)
{
	for (size_t i = 0; i < SLOTS; i++) {
		struct sl_board_target *target =
		    atomic_load_explicit(&board->slots[i], memory_order_acquire);

		if (!target || !sl_slice_eq(target->provider, provider))
			continue;
		sl_latch_lock(&target->lock);
		sl_health_hint(&target->health, alive, now_us, until_us);
		sl_latch_unlock(&target->lock);
	}
}

void
sl_board_request(struct sl_board *board, uint64_t now_us)
{
	sl_latch_lock(&board->retry_lock);
	sl_retry_request(&board->retries, now_us);
	sl_latch_unlock(&board->retry_lock);
}

bool
sl_board_retry(struct sl_board *board, uint64_t now_us)
{
	bool taken;

	sl_latch_lock(&board->retry_lock);
	taken = sl_retry_take(&board->retries, now_us);
	board->retries_refused += !taken;
	sl_latch_unlock(&board->retry_lock);
	return taken;
}

uint64_t
sl_board_retries_refused(struct sl_board *board)
{
	uint64_t refused;

	sl_latch_lock(&board->retry_lock);
	refused = board->retries_refused;
	sl_latch_unlock(&board->retry_lock);
	return refused;
}

/* --- hedges ------------------------------------------------------------------------ */

void
sl_board_hedge_earn(struct sl_board *board, uint32_t percent)
{
	sl_latch_lock(&board->retry_lock);
	sl_hedge_earn(&board->hedges, percent);
	sl_latch_unlock(&board->retry_lock);
}

bool
sl_board_hedge_take(struct sl_board *board, uint64_t now_us)
{
	bool taken;

	sl_latch_lock(&board->retry_lock);
	taken = sl_hedge_take(&board->hedges) && sl_retry_take(&board->retries, now_us);
	sl_latch_unlock(&board->retry_lock);
	if (!taken)
		sl_board_hedge_count(board, SL_HEDGE_NO_BUDGET);
	return taken;
}

void
sl_board_hedge_count(struct sl_board *board, enum sl_hedge_event event)
{
	atomic_fetch_add_explicit(&board->hedge_events[event], 1, memory_order_relaxed);
}

uint64_t
sl_board_hedges(const struct sl_board *board, enum sl_hedge_event event)
{
	return atomic_load_explicit(&board->hedge_events[event], memory_order_relaxed);
}

uint64_t
sl_board_percentile_us(struct sl_board *board, struct sl_slice provider, struct sl_slice model,
                       bool stream, uint32_t percent)
{
	size_t slot;
	struct sl_board_target *target =
	    find(board, hash_of(provider, model), provider, model, &slot);
	uint64_t us;

	if (!target)
		return 0;
	sl_latch_lock(&target->lock);
	us = sl_spread_percentile(&target->health.spread[stream], percent);
	sl_latch_unlock(&target->lock);
	return us;
}

/* --- switches ---------------------------------------------------------------------- */

/* Position of the id, or the count. Under the lock. */
static size_t
find_switch(const struct sl_board *board, size_t count, struct sl_slice id)
{
	size_t at = 0;

	while (at < count && !sl_slice_is(id, board->disabled[at]))
		at++;
	return at;
}

bool
sl_board_all_enabled(const struct sl_board *board)
{
	return atomic_load_explicit(&board->disabled_count, memory_order_relaxed) == 0;
}

bool
sl_board_is_disabled(struct sl_board *board, struct sl_slice id)
{
	bool found;
	size_t count;

	if (sl_board_all_enabled(board))
		return false;
	pthread_mutex_lock(&board->lock);
	count = atomic_load_explicit(&board->disabled_count, memory_order_relaxed);
	found = find_switch(board, count, id) < count;
	pthread_mutex_unlock(&board->lock);
	return found;
}

static enum sl_err
switch_off(struct sl_board *board, size_t count, struct sl_slice id)
{
	char *text;

	if (count == SL_BOARD_SWITCHES_MAX || id.len > SL_BOARD_ID_MAX)
		return SL_ELIMIT;
	text = strndup(id.ptr, id.len);
	if (!text)
		return SL_ENOMEM;
	board->disabled[count] = text;
	atomic_store_explicit(&board->disabled_count, count + 1, memory_order_relaxed);
	return SL_OK;
}

enum sl_err
sl_board_switch(struct sl_board *board, struct sl_slice id, bool disabled)
{
	enum sl_err err = SL_OK;
	size_t count, at;

	pthread_mutex_lock(&board->lock);
	count = atomic_load_explicit(&board->disabled_count, memory_order_relaxed);
	at = find_switch(board, count, id);
	if (disabled && at == count) {
		err = switch_off(board, count, id);
	} else if (!disabled && at < count) {
		free(board->disabled[at]);
		board->disabled[at] = board->disabled[count - 1];
		atomic_store_explicit(&board->disabled_count, count - 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&board->lock);
	return err;
}

void
sl_board_each_disabled(struct sl_board *board, void (*each)(void *context, struct sl_slice id),
                       void *context)
{
	size_t count;

	pthread_mutex_lock(&board->lock);
	count = atomic_load_explicit(&board->disabled_count, memory_order_relaxed);
	for (size_t i = 0; i < count; i++)
		each(context, sl_slice_str(board->disabled[i]));
	pthread_mutex_unlock(&board->lock);
}

/* --- looking ------------------------------------------------------------------------ */

static void
view_of(struct sl_board *board, struct sl_board_target *target, uint64_t now_us, struct sl_board_view *out)
{
	const struct sl_health *health = &target->health;

	out->provider = target->provider;
	out->model = target->model;
	out->deployed = atomic_load(&target->deployed) == atomic_load(&board->registration);
	sl_latch_lock(&target->lock);
	sl_health_figures(health, true, now_us, &out->live);
	if (out->live.latency_us == 0)
		sl_health_figures(health, false, now_us, &out->live);
	out->attempts = health->attempts;
	out->failures = health->failures;
	out->limited = health->limited;
	out->opened = health->opened;
	sl_latch_unlock(&target->lock);
}

bool
sl_board_look(struct sl_board *board, struct sl_slice provider, struct sl_slice model,
              uint64_t now_us, struct sl_board_view *out)
{
	size_t slot;
	struct sl_board_target *target =
	    find(board, hash_of(provider, model), provider, model, &slot);

	*out = (struct sl_board_view){ .provider = provider, .model = model };
	if (!target)
		return false;
	view_of(board, target, now_us, out);
	return true;
}

void
sl_board_each(struct sl_board *board, uint64_t now_us,
              void (*each)(void *context, const struct sl_board_view *view), void *context)
{
	for (size_t i = 0; i < SLOTS; i++) {
		struct sl_board_target *target =
		    atomic_load_explicit(&board->slots[i], memory_order_acquire);
		struct sl_board_view view;

		if (!target)
			continue;
		view_of(board, target, now_us, &view);
		each(context, &view);
	}
}

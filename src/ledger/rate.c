/* rate.c - exact sliding windows in little memory.
 *
 * A window is a ring of marks, oldest first: how much was accepted
 * at which millisecond. A mark leaves when it is a whole window old, so the
 * sum over the ring is the number of requests in the last window.
 *
 * Up to SL_RATE_MARKS_MAX requests per window each may have a mark of its own
 * and the window is exact. Above that, requests closer than a grain (the window
 * divided by the marks, 59 ms) share one, which carries the time of its newest:
 * its older requests count up to a grain longer, so the limit still holds in
 * every window and the price is a thousandth of it. The ring grows by doubling
 * with what is really used: a quiet key with a high limit costs 64 bytes.
 *
 * Token buckets and GCRA need less memory, but with a burst of the whole limit
 * they accept nearly twice the limit in one window.
 */
#include "ledger/rate.h"

#include <stdlib.h>

enum { MARKS_MIN = 8, GRAIN_MS = SL_RATE_WINDOW_MS / SL_RATE_MARKS_MAX + 1 };

void
sl_rate_init(struct sl_rate *rate)
{
	*rate = (struct sl_rate){ 0 };
}

void
sl_rate_release(struct sl_rate *rate)
{
	free(rate->marks);
	sl_rate_init(rate);
}

static struct sl_rate_mark *
mark_at(const struct sl_rate *rate, uint32_t index)
{
	return &rate->marks[(rate->first + index) & (rate->size - 1)];
}

/* Age of a mark. Marks are never older than newest_ms by a window or more, so
 * the low 32 bits decide. */
static uint32_t
age_ms(const struct sl_rate_mark *mark, uint64_t now_ms)
{
	return (uint32_t)now_ms - mark->at_ms;
}

static void
expire(struct sl_rate *rate, uint64_t now_ms)
{
	if (now_ms - rate->newest_ms >= SL_RATE_WINDOW_MS) {
		rate->first = rate->live = 0;
		rate->used = 0;
		return;
	}
	while (rate->live && age_ms(mark_at(rate, 0), now_ms) >= SL_RATE_WINDOW_MS) {
		rate->used -= mark_at(rate, 0)->count;
		rate->first = (rate->first + 1) & (rate->size - 1);
		rate->live--;
	}
}

/* Room for one more mark; false: the newest must be shared. */
static bool
grow(struct sl_rate *rate)
{
	uint32_t size = rate->size ? rate->size * 2 : MARKS_MIN;
	struct sl_rate_mark *marks;

	if (rate->live < rate->size)
		return true;
	if (size > SL_RATE_MARKS_MAX)
		return false;
	marks = malloc(size * sizeof(*marks));
	if (!marks)
		return false;
	for (uint32_t i = 0; i < rate->live; i++)
		marks[i] = *mark_at(rate, i);
	free(rate->marks);
	rate->marks = marks;
	rate->size = size;
	rate->first = 0;
	return true;
}

static void
count_more(struct sl_rate_mark *mark, struct sl_rate *rate, int64_t amount)
{
	uint32_t room = UINT32_MAX - mark->count;
	uint32_t more = amount < (int64_t)room ? (uint32_t)amount : room;

	mark->count += more;
	rate->used += more;
}

/* Milliseconds until enough marks have left for the amount. More than the oldest
 * must leave for more than one, or after the limit was lowered. */
static int64_t
wait_ms(const struct sl_rate *rate, int64_t limit, int64_t amount, uint64_t now_ms)
{
	uint64_t left = rate->used;

	for (uint32_t i = 0; i < rate->live && amount <= limit; i++) {
		left -= mark_at(rate, i)->count;
		if (left <= (uint64_t)(limit - amount))
			return SL_RATE_WINDOW_MS - (int64_t)age_ms(mark_at(rate, i), now_ms);
	}
	return 0;
}

static bool
has_room(const struct sl_rate *rate, int64_t limit, int64_t amount)
{
	return amount <= limit && rate->used <= (uint64_t)(limit - amount);
}

static void
tell(const struct sl_rate *rate, int64_t limit, int64_t amount, uint64_t now_ms,
     struct sl_rate_state *state)
{
	*state = (struct sl_rate_state){ 0 };
	if (rate->used < (uint64_t)limit)
		state->remaining = limit - (int64_t)rate->used;
	if (!has_room(rate, limit, amount))
		state->wait_ms = wait_ms(rate, limit, amount, now_ms);
	if (rate->live)
		state->reset_ms = SL_RATE_WINDOW_MS - (int64_t)age_ms(mark_at(rate, 0), now_ms);
}

/* The newest time seen; what is a window older is gone. */
static uint64_t
advance(struct sl_rate *rate, uint64_t now_ms)
{
	if (now_ms < rate->newest_ms)
		now_ms = rate->newest_ms;
	expire(rate, now_ms);
	return now_ms;
}

bool
sl_rate_fits(struct sl_rate *rate, int64_t limit, int64_t amount, uint64_t now_ms,
             struct sl_rate_state *state)
{
	now_ms = advance(rate, now_ms);
	if (has_room(rate, limit, amount) && (rate->live > 0 || grow(rate)))
		return true;
	tell(rate, limit, amount, now_ms, state);
	return false;
}

void
sl_rate_add(struct sl_rate *rate, int64_t limit, int64_t amount, uint64_t now_ms)
{
	uint32_t grain_ms = limit > SL_RATE_MARKS_MAX ? GRAIN_MS : 1;
	struct sl_rate_mark *newest;

	now_ms = advance(rate, now_ms);
	newest = rate->live ? mark_at(rate, rate->live - 1) : NULL;
	if (!newest || newest->at_ms / grain_ms != (uint32_t)now_ms / grain_ms) {
		if (grow(rate)) {
			newest = mark_at(rate, rate->live++);
			newest->count = 0;
		} else if (!newest) {
			return;
		}
	}
	newest->at_ms = (uint32_t)now_ms;
	rate->newest_ms = now_ms;
	count_more(newest, rate, amount);
}

void
sl_rate_undo(struct sl_rate *rate, int64_t amount, uint64_t at_ms, uint64_t now_ms)
{
	now_ms = advance(rate, now_ms);
	if (now_ms - at_ms >= SL_RATE_WINDOW_MS)
		return;
	/* The first mark that is not older has it: later ones may have joined it there. */
	for (uint32_t i = 0; i < rate->live; i++) {
		struct sl_rate_mark *mark = mark_at(rate, i);

		if (age_ms(mark, now_ms) > (uint32_t)(now_ms - at_ms))
			continue;
		if (amount > (int64_t)mark->count)
			amount = mark->count;
		mark->count -= (uint32_t)amount;
		rate->used -= (uint64_t)amount;
		return;
	}
}

void
sl_rate_look(struct sl_rate *rate, int64_t limit, uint64_t now_ms, struct sl_rate_state *state)
{
	tell(rate, limit, 0, advance(rate, now_ms), state);
}

bool
sl_rate_take(struct sl_rate *rate, int64_t limit, uint64_t now_ms, struct sl_rate_state *state)
{
	if (!sl_rate_fits(rate, limit, 1, now_ms, state))
		return false;
	sl_rate_add(rate, limit, 1, now_ms);
	tell(rate, limit, 1, rate->newest_ms, state);
	return true;
}

/* money_slip.c - attempts that nothing limits: a slip for each instead of records.
 *
 * Such an attempt has no bound to keep, but it must not be lost either. Its slip lies on
 * the journal's board, memory that outlives the process, and is written in place:
 *
 *   FREE --take--> HELD --dispatched--> DISPATCHED --settle--> SETTLED --own row--> MARK
 *    ^ ^             '---- release ----'                          |                   |
 *    | '-------------------'                                      |                   |
 *    '--- log thread, ten times a second: SPENT record for many --'-------------------'
 *
 * So an attempt costs its loop a few stores and no record of its own; the store sees one
 * row for a batch. After a crash every slip that is not FREE is an attempt that the store
 * does not know (money_fold.c): HELD was not bought, DISPATCHED costs what its slip says,
 * and SETTLED counts unless the record with it was written. Which that would be is noted
 * on the slip before; its sequence is taken under the lock.
 *
 * Neither is given back before its request's record lies where a crash does not take it
 * (sl_money_unmark): what is found here and has no record gets one. Attempts that have
 * records from their beginning leave a MARK at their end for the same reason.
 *
 * The board's epoch says whose slips these are; the transaction that resolves them notes
 * it, so that a crash before they were wiped does not resolve them twice.
 */
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "ledger/money_internal.h"

enum { FRESH_MS = 100, TALLIES = 64, TALLY_SLIPS = 256 };
#define NONE     UINT32_MAX /* ends a list */
#define COST_MAX (INT64_MAX / 16384) /* of one record: a batch of them fits into a sum */

struct money_board {
	uint64_t          epoch; /* of the process that wrote it */
	uint64_t          used;  /* slips that were ever taken */
	unsigned char     unused[sizeof(struct money_slip) - 2 * sizeof(uint64_t)];
	struct money_slip slips[];
};

size_t
money_board_size(void)
{
	return sizeof(struct money_board) + MONEY_SLIPS * sizeof(struct money_slip);
}

/* The compiler must not move what is written on a slip past its state. */
static void
set_slip(struct money_slip *slip, enum money_slip_state state)
{
	atomic_signal_fence(memory_order_release);
	*(volatile uint8_t *)&slip->state = (uint8_t)state;
	atomic_signal_fence(memory_order_release);
}

/* --- one attempt: under the lock, except on its way ------------------------------------ */

/* What stood there may be of an earlier process. */
static uint32_t
use_another(struct money_board *board)
{
	uint32_t index = (uint32_t)board->used;

	set_slip(&board->slips[index], SLIP_FREE);
	board->used = index + 1;
	atomic_signal_fence(memory_order_release);
	return index;
}

/* NULL: none is free. */
static struct money_slip *
take_slip(struct sl_hold *hold)
{
	struct money_slips *slips = &hold->money->slips;
	struct money_slip *slip;
	uint32_t index = slips->free;

	if (index != NONE)
		slips->free = slips->next[index];
	else if (slips->board->used < MONEY_SLIPS)
		index = use_another(slips->board);
	else
		return NULL;
	slip = &slips->board->slips[index];
	slip->hold = hold->record;
	slip->cost = 0;
	slip->seq = 0;
	slip->unmarked = 0;
	slip->scope_count = hold->scope_count;
	return slip;
}

bool
money_slip_take(struct sl_hold *hold)
{
	hold->slip = take_slip(hold);
	if (hold->slip)
		set_slip(hold->slip, SLIP_HELD);
	return hold->slip != NULL;
}

/* Under the lock: who asks whether it is behind takes none. */
static void
add_unrecorded(struct money_slips *slips, ptrdiff_t more)
{
	size_t count = atomic_load_explicit(&slips->unrecorded, memory_order_relaxed);

	atomic_store_explicit(&slips->unrecorded, count + (size_t)more, memory_order_relaxed);
}

bool
sl_money_behind(struct sl_money *money)
{
	return atomic_load_explicit(&money->slips.unrecorded, memory_order_relaxed) >
	       MONEY_SLIPS / 2;
}

void
money_slip_dispatched(struct sl_hold *hold)
{
	hold->slip->cost = hold->progress;
	set_slip(hold->slip, SLIP_DISPATCHED);
}

void
money_slip_progress(struct sl_hold *hold)
{
	hold->slip->cost = hold->progress;
}

static void
give_back(struct money_slips *slips, uint32_t index)
{
	slips->next[index] = slips->free;
	slips->free = index;
}

static uint32_t
index_of(const struct sl_hold *hold)
{
	return (uint32_t)(hold->slip - hold->money->slips.board->slips);
}

void
money_slip_release(struct sl_hold *hold)
{
	set_slip(hold->slip, SLIP_FREE);
	give_back(&hold->money->slips, index_of(hold));
	hold->slip = NULL;
}

/* A clock may step, and a provider say anything. */
static uint32_t
in_32_bits(int64_t number)
{
	return number < 0 ? 0 : number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

/* Its slips go on waiting. Under the lock. */
static void
wait_again(struct money_slips *slips, uint32_t first, uint32_t last, size_t count)
{
	slips->next[last] = slips->settled;
	slips->settled = first;
	slips->settled_count += count;
}

static void
write_end(struct money_slip *slip, const struct sl_money_settlement *settlement)
{
	slip->cost = settlement->cost;
	slip->input_tokens = in_32_bits(settlement->input_tokens);
	slip->output_tokens = in_32_bits(settlement->output_tokens);
	slip->source = (uint8_t)settlement->source;
	slip->took_ms = in_32_bits(settlement->now_wall_ms - slip->hold.wall_ms);
}

/* It waits for the log thread from now on. */
static uint32_t
settled(struct sl_money *money, struct money_slip *slip)
{
	struct money_slips *slips = &money->slips;
	uint32_t index = (uint32_t)(slip - slips->board->slips);

	wait_again(slips, index, index, 0);
	/* Whoever comes next finds the thread awake. */
	if (slips->settled_count++ == 0)
		sl_journal_nudge(money->journal);
	return index + 1;
}

uint32_t
money_slip_settle(struct sl_hold *hold, const struct sl_money_settlement *settlement)
{
	struct money_slip *slip = hold->slip;

	write_end(slip, settlement);
	slip->unmarked = !settlement->mark;
	set_slip(slip, SLIP_SETTLED);
	hold->slip = NULL;
	add_unrecorded(&hold->money->slips, 1);
	return settled(hold->money, slip);
}

void
money_slip_ends(struct sl_hold *hold, const struct sl_money_settlement *settlement, uint64_t seq)
{
	hold->slip->seq = seq;
	if (settlement)
		write_end(hold->slip, settlement);
	set_slip(hold->slip, settlement ? SLIP_SETTLED : SLIP_HELD);
}

uint32_t
money_slip_mark(struct sl_hold *hold, bool wanted)
{
	struct money_slip *slip = hold->slip;

	if (!wanted) {
		money_slip_release(hold);
		return 0;
	}
	set_slip(slip, SLIP_MARK);
	hold->slip = NULL;
	return settled(hold->money, slip);
}

uint32_t
money_mark_take(struct sl_hold *hold, const struct sl_money_settlement *settlement, uint64_t seq)
{
	struct money_slip *slip = take_slip(hold);

	if (!slip)
		return 0;
	slip->seq = seq;
	write_end(slip, settlement);
	set_slip(slip, SLIP_MARK);
	return settled(hold->money, slip);
}

void
sl_money_unmark(struct sl_money *money, uint32_t mark)
{
	if (mark > 0) /* the slip is the mark's until then */
		__atomic_store_n(&money->slips.board->slips[mark - 1].unmarked, 1, __ATOMIC_RELEASE);
}

/* --- many: the log thread, and the closing one ---------------------------------------- */

/* Slips of the same owners, day and prices. */
struct tally {
	struct money_spent spent; /* count 0: not in use */
	uint8_t            scope_count, source;
	uint32_t           first, last; /* by next */
};

static bool
is_like(const struct tally *tally, const struct money_slip *slip)
{
	const struct money_spent *spent = &tally->spent;

	return tally->source == slip->source && tally->scope_count == slip->scope_count &&
	       spent->count < TALLY_SLIPS && spent->price_version == slip->hold.price_version &&
	       spent->cost < COST_MAX &&
	       memcmp(spent->owner, slip->hold.owner, sizeof(spent->owner)) == 0 &&
	       memcmp(spent->day, slip->hold.day, sizeof(spent->day)) == 0 &&
	       memcmp(&spent->fifth, &slip->hold.fifth, sizeof(spent->fifth)) == 0;
}

/* Becomes a record, if there is room; else its slips go on waiting. */
static void
write_tally(struct sl_money *money, struct tally *tally)
{
	struct money_slips *slips = &money->slips;
	struct sl_journal_record record = {
		.kind = MONEY_SPENT, .small = { tally->scope_count, tally->source },
	};
	uint64_t seq;

	memcpy(record.body, &tally->spent, sizeof(tally->spent));
	pthread_mutex_lock(&money->lock);
	if (!money_room(money, 1)) {
		wait_again(slips, tally->first, tally->last, tally->spent.count);
	} else {
		seq = sl_journal_appended(money->journal) + 1;
		for (uint32_t i = tally->first; i != NONE; i = slips->next[i])
			slips->board->slips[i].seq = seq;
		atomic_signal_fence(memory_order_seq_cst);
		sl_journal_append(money->journal, &record);
		atomic_signal_fence(memory_order_seq_cst);
		for (uint32_t i = tally->first; i != NONE; i = slips->next[i])
			set_slip(&slips->board->slips[i], SLIP_FREE);
		slips->next[tally->last] = slips->free;
		slips->free = tally->first;
		add_unrecorded(slips, -(ptrdiff_t)tally->spent.count);
	}
	pthread_mutex_unlock(&money->lock);
	tally->spent.count = 0;
}

static void
add(struct sl_money *money, struct tally *tally, uint32_t index)
{
	struct money_slips *slips = &money->slips;
	const struct money_slip *slip = &slips->board->slips[index];
	struct money_spent *spent = &tally->spent;

	if (spent->count > 0 && !is_like(tally, slip))
		write_tally(money, tally);
	slips->next[index] = spent->count > 0 ? tally->first : NONE;
	if (spent->count == 0) {
		*spent = (struct money_spent){ .price_version = slip->hold.price_version };
		memcpy(spent->id, slip->hold.id, sizeof(spent->id));
		memcpy(spent->owner, slip->hold.owner, sizeof(spent->owner));
		memcpy(spent->day, slip->hold.day, sizeof(spent->day));
		spent->fifth = slip->hold.fifth;
		tally->scope_count = slip->scope_count;
		tally->source = slip->source;
		tally->last = index;
	}
	tally->first = index;
	spent->count++;
	spent->cost += slip->cost;
	spent->input_tokens += slip->input_tokens;
	spent->output_tokens += slip->output_tokens;
	spent->wall_ms = slip->hold.wall_ms + slip->took_ms;
}

/* A list of slips that was taken out belongs to who took it. */
static uint32_t
take_settled(struct sl_money *money, bool all, uint64_t now_ns)
{
	struct money_slips *slips = &money->slips;
	uint32_t first = NONE;

	pthread_mutex_lock(&money->lock);
	if (slips->settled_count > 0 &&
	    (all || slips->settled_count >= MONEY_SLIPS / 4 ||
	     now_ns - slips->gathered_ns >= (uint64_t)FRESH_MS * 1000000u)) {
		first = slips->settled;
		slips->settled = NONE;
		slips->settled_count = 0;
		slips->gathered_ns = now_ns;
	} else if (slips->settled_count > 0) {
		sl_journal_nudge(money->journal); /* not to sleep on them */
	}
	pthread_mutex_unlock(&money->lock);
	return first;
}

static void
put_back(struct sl_money *money, uint32_t index, bool done)
{
	struct money_slips *slips = &money->slips;

	pthread_mutex_lock(&money->lock);
	if (done) {
		set_slip(&slips->board->slips[index], SLIP_FREE);
		give_back(slips, index);
	} else {
		wait_again(slips, index, index, 1);
		sl_journal_nudge(money->journal); /* not to sleep on it */
	}
	pthread_mutex_unlock(&money->lock);
}

void
money_slips_gather(struct sl_money *money, bool all)
{
	struct tally tallies[TALLIES] SL_UNINIT; /* read where the count is not 0 */
	uint32_t at = take_settled(money, all, sl_clock_mono_ns());

	if (at == NONE)
		return;
	for (size_t i = 0; i < TALLIES; i++)
		tallies[i].spent.count = 0;
	while (at != NONE) {
		uint32_t next = money->slips.next[at];
		struct money_slip *slip = &money->slips.board->slips[at];

		/* At the end there is nobody who could. */
		if (!all && !__atomic_load_n(&slip->unmarked, __ATOMIC_ACQUIRE))
			put_back(money, at, false);
		else if (slip->state == SLIP_MARK)
			put_back(money, at, true);
		else
			add(money, &tallies[slip->hold.owner[0] % TALLIES], at);
		at = next;
	}
	for (size_t i = 0; i < TALLIES; i++)
		if (tallies[i].spent.count > 0)
			write_tally(money, &tallies[i]);
}

/* --- at start ---------------------------------------------------------------------------- */

void
money_slips_open(struct sl_money *money, uint64_t resolved_epoch, struct sl_money_left *left)
{
	struct money_slips *slips = &money->slips;

	slips->board = sl_journal_board(money->journal);
	slips->free = slips->settled = NONE;
	left->slips = slips->board->slips;
	left->slip_count = slips->board->epoch > resolved_epoch && slips->board->used <= MONEY_SLIPS
	                       ? (size_t)slips->board->used : 0;
}

void
money_slips_begin(struct sl_money *money, uint64_t epoch)
{
	struct money_board *board = money->slips.board;

	/* With none used, nothing of them is looked at: pages never touched stay so. */
	board->used = 0;
	atomic_signal_fence(memory_order_seq_cst);
	board->epoch = epoch;
}

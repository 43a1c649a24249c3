/* money.c - holds, under one lock.
 *
 *   FREE --hold--> WAITING --synced--> HELD --dispatched--> DISPATCHED
 *     |              |                  ^ |                    |
 *     '---- hold that need not wait ----' |                    |
 *     ^              |                    |                    |
 *     '--- release --'-- release, settle -'-- release, settle -'
 *
 * One lock for all accounts instead of one for each: a hold must change all its scopes
 * or none, a few hundred nanoseconds serve a million a second, and the journal needs
 * one order of everything anyway. Taking the scopes one by one with atomics would let a
 * request that fails on its third scope refuse, for a moment, others that fit.
 *
 * Leases. A hold may be dispatched before its record is on the disk as long as what
 * its payer has spent and holds stays below the payer's lease mark, which is on the
 * disk. The mark runs ahead (16 holds or 1 % of the credit, more for a payer that uses
 * it up quickly), is renewed when half of that is used, and waits for one sync only when it was used up at once. So a power
 * loss loses at most what the marks allow, and that amount is known. With several
 * nodes on one database a mark becomes a guarded update of the shared balance; nothing
 * else here changes. Strict holds wait for their own record instead; relaxed ones
 * write a record only when they are settled. Those that nothing limits have a slip
 * instead (money_slip.c), unless that would not do: in strict mode, under a caller's
 * claim, for a request's further attempts (each has a row), or when there is none left.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/log.h"
#include "base/rand.h"
#include "ledger/money_internal.h"
#include "store/store.h"

enum { LEASE_HOLDS = 16, LEASE_PART = 100, LEASE_FAST_MS = 250, LEASE_SLOW_MS = 5000,
       BUSY_RETRY_S = 1, STORE_RETRY_S = 2 };
/* Of one attempt: two million dollars. Sums of accounts end at SUM_MAX, so that nothing
 * overflows. */
#define AMOUNT_MAX (INT64_MAX / 4096)
#define LEASE_MAX  (1000 * INT64_C(1000000000))
#define SUM_MAX    (INT64_MAX / 4)

static void
set_state(struct sl_hold *hold, enum hold_state state)
{
	static const unsigned char legal[] = {
		[HOLD_FREE] = 1 << HOLD_WAITING | 1 << HOLD_HELD,
		[HOLD_WAITING] = 1 << HOLD_HELD | 1 << HOLD_FREE,
		[HOLD_HELD] = 1 << HOLD_DISPATCHED | 1 << HOLD_FREE,
		[HOLD_DISPATCHED] = 1 << HOLD_FREE,
	};

	assert(legal[hold->state] & (1 << state));
	hold->state = state;
}

/* --- tokens --------------------------------------------------------------------------- */

static struct sl_hold *
take_token(struct sl_money *money)
{
	struct sl_hold *hold;
	struct sl_list *node;

	if (sl_list_empty(&money->spare)) {
		struct slab *slab = calloc(1, sizeof(*slab));

		if (!slab)
			return NULL;
		slab->next = money->slabs;
		money->slabs = slab;
		for (size_t i = 0; i < sizeof(slab->holds) / sizeof(slab->holds[0]); i++) {
			slab->holds[i].money = money;
			sl_list_push_back(&money->spare, &slab->holds[i].node);
		}
	}
	node = money->spare.next;
	sl_list_remove(node);
	hold = SL_CONTAINER(node, struct sl_hold, node);
	assert(hold->state == HOLD_FREE);
	return hold;
}

/* To the back: a token used after its end is found free, not somebody else's. */
static void
give_token(struct sl_hold *hold)
{
	set_state(hold, HOLD_FREE);
	if (hold->posted)
		hold->abandoned = true; /* its task gives it back */
	else
		sl_list_push_back(&hold->money->spare, &hold->node);
}

/* --- records -------------------------------------------------------------------------- */

static SL_APART uint64_t
record_hold(struct sl_money *money, const struct sl_hold *hold)
{
	struct sl_journal_record record = {
		.kind = MONEY_HOLD,
		.small = { hold->scope_count, hold->policy, hold->flags },
	};

	memcpy(record.body, &hold->record, sizeof(hold->record));
	return sl_journal_append(money->journal, &record);
}

static SL_APART void
record_mark(struct sl_hold *hold, enum money_record_kind kind, int64_t cost, int64_t wall_ms)
{
	struct sl_journal_record record = { .kind = (uint8_t)kind };
	struct money_mark mark = { .cost = cost, .wall_ms = wall_ms };

	memcpy(mark.id, hold->record.id, sizeof(mark.id));
	memcpy(record.body, &mark, sizeof(mark));
	sl_journal_append(hold->money->journal, &record);
}

static SL_APART void
record_settle(struct sl_hold *hold, const struct sl_money_settlement *settlement)
{
	struct sl_journal_record record = { .kind = MONEY_SETTLE,
		                            .small = { (uint8_t)settlement->source } };
	struct money_settle settle = {
		.cost = settlement->cost, .wall_ms = settlement->now_wall_ms,
		.input_tokens = settlement->input_tokens,
		.output_tokens = settlement->output_tokens,
	};

	memcpy(settle.id, hold->record.id, sizeof(settle.id));
	memcpy(record.body, &settle, sizeof(settle));
	sl_journal_append(hold->money->journal, &record);
}

static SL_APART void
record_claim(struct sl_money *money, enum money_record_kind kind,
             const struct sl_money_claim *claim, const unsigned char request_id[16])
{
	struct sl_journal_record record = { .kind = (uint8_t)kind };
	struct money_claim body = { .expires_wall_ms = claim->expires_wall_ms };

	memcpy(body.name, claim->name, sizeof(body.name));
	memcpy(body.digest, claim->digest, sizeof(body.digest));
	memcpy(body.request, request_id, sizeof(body.request));
	memcpy(record.body, &body, sizeof(body));
	sl_journal_append(money->journal, &record);
}

/* --- leases --------------------------------------------------------------------------- */

/* How far ahead: doubled while renewals come more often than LEASE_FAST_MS, so that a
 * busy payer does not wait for syncs, and back again when they have become rare. */
static int64_t
lease_block(struct account *payer, int64_t amount, bool prepaid, int64_t now_wall_ms)
{
	int64_t least = amount * LEASE_HOLDS, age_ms = now_wall_ms - payer->lease_wall_ms;
	int64_t most = prepaid ? payer->available / 4 : LEASE_MAX;

	if (prepaid && payer->available / LEASE_PART > least)
		least = payer->available / LEASE_PART;
	if (age_ms >= 0 && age_ms < LEASE_FAST_MS)
		payer->lease_block *= 2;
	else if (age_ms < 0 || age_ms > LEASE_SLOW_MS)
		payer->lease_block /= 2;
	if (payer->lease_block > most)
		payer->lease_block = most;
	if (payer->lease_block < least)
		payer->lease_block = least;
	payer->lease_wall_ms = now_wall_ms;
	return payer->lease_block;
}

/* The sequence a hold of this amount must wait for; 0: none. */
static SL_APART uint64_t
lease(struct sl_money *money, struct account *payer, int64_t amount, bool prepaid,
      int64_t now_wall_ms)
{
	int64_t reach = payer->total.spent + payer->total.held + amount;
	struct sl_journal_record record = { .kind = MONEY_LEASE };
	struct money_lease body;

	if (payer->lease_seq && payer->lease_seq <= money->synced) {
		payer->lease_mark = payer->lease_asked;
		payer->lease_seq = 0;
	}
	/* There is room: try_hold counted this record in. */
	if (reach + payer->lease_block / 2 > payer->lease_asked) {
		payer->lease_asked = reach + lease_block(payer, amount, prepaid, now_wall_ms);
		body = (struct money_lease){ .number = payer->number, .mark = payer->lease_asked };
		memcpy(record.body, &body, sizeof(body));
		payer->lease_seq = sl_journal_append(money->journal, &record);
	}
	return reach <= payer->lease_mark ? 0 : payer->lease_seq;
}

/* --- waiting --------------------------------------------------------------------------- */

static void
run_ready(struct sl_task *task)
{
	struct sl_hold *hold = SL_CONTAINER(task, struct sl_hold, task);
	struct sl_money *money = hold->money;
	bool abandoned;

	pthread_mutex_lock(&money->lock);
	hold->posted = false;
	abandoned = hold->abandoned;
	hold->abandoned = false;
	if (abandoned)
		sl_list_push_back(&money->spare, &hold->node);
	else if (hold->outcome == SL_OK)
		set_state(hold, HOLD_HELD);
	pthread_mutex_unlock(&money->lock);
	if (!abandoned)
		hold->ready(hold, hold->outcome);
}

void
money_wake_waiting(struct sl_money *money, enum sl_err err)
{
	while (!sl_list_empty(&money->waiting)) {
		struct sl_hold *hold = SL_CONTAINER(money->waiting.next, struct sl_hold, node);

		if (err == SL_OK && hold->wait_seq > money->synced)
			return;
		sl_list_remove(&hold->node);
		hold->outcome = err;
		hold->posted = true;
		hold->task.run = run_ready;
		if (hold->loop) {
			sl_loop_post(hold->loop, &hold->task);
		} else {
			pthread_mutex_unlock(&money->lock);
			run_ready(&hold->task);
			pthread_mutex_lock(&money->lock);
		}
	}
}

/* In the order of sequences; nearly always at the end. */
static SL_APART void
wait_for(struct sl_money *money, struct sl_hold *hold, uint64_t seq)
{
	struct sl_list *at = money->waiting.prev;

	hold->wait_seq = seq;
	set_state(hold, HOLD_WAITING);
	while (at != &money->waiting &&
	       SL_CONTAINER(at, struct sl_hold, node)->wait_seq > seq)
		at = at->prev;
	sl_list_push_front(at, &hold->node);
}

/* --- hold -------------------------------------------------------------------------------- */

static SL_COLD void
refuse_for_now(struct sl_money_refusal *why, enum sl_refused_by by, uint32_t retry_after_s)
{
	*why = (struct sl_money_refusal){ .by = by, .retry_after_s = retry_after_s };
}

/* When a window begins anew in the zone. */
static int64_t
resets_ms(const struct sl_zone *zone, int window, int32_t day)
{
	switch (window) {
	case SL_WINDOW_DAY:
		return sl_zone_day_begins_ms(zone, day + 1);
	case SL_WINDOW_WEEK:
		return sl_zone_day_begins_ms(zone, sl_day_of_week(sl_week_of_day(day) + 1));
	case SL_WINDOW_MONTH:
		return sl_zone_day_begins_ms(zone, sl_day_of_month(sl_month_of_day(day) + 1));
	default:
		return 0;
	}
}

static struct period_sum *
sum_of(const struct sl_hold *hold, size_t scope, int window)
{
	return &hold->account[scope]->sums[window][hold->slot[scope][window]];
}

static SL_COLD enum sl_err
refuse(const struct sl_money_request *request, const struct sl_hold *hold, size_t scope,
       enum sl_refused_by by, struct sl_money_refusal *why)
{
	const struct sl_money_limits *limits = request->scopes[scope].limits;
	const struct account *account = hold->account[scope];

	*why = (struct sl_money_refusal){ .by = by, .scope = scope, .needed = request->amount };
	if (by == SL_REFUSED_PER_REQUEST) {
		why->limit = limits->per_request;
	} else if (by == SL_REFUSED_BALANCE) {
		why->limit = limits->minimum_balance;
		why->used = account->available;
	} else {
		const struct period_sum *sum = by == SL_REFUSED_TOTAL ? &account->total
		                                                      : sum_of(hold, scope, (int)by);
		int64_t wait_ms;

		why->limit = limits->window[by];
		why->used = sum->spent + sum->held;
		why->held = sum->held;
		why->resets_wall_ms = resets_ms(limits->zone, (int)by,
		                                money_hold_place(&hold->record, scope).day);
		wait_ms = why->resets_wall_ms - request->now_wall_ms;
		/* Waiting cannot help what exceeds the limit alone. */
		if (why->resets_wall_ms && request->amount <= why->limit)
			why->retry_after_s = wait_ms > 0 ? (uint32_t)((wait_ms + 999) / 1000) : 1;
	}
	return SL_ELIMIT;
}

/* The index in the request of the scope that pays. */
static size_t
payer_of(const struct sl_money_request *request)
{
	for (size_t i = 0; i < request->scope_count; i++)
		if (request->scopes[i].kind == SL_SCOPE_WORKSPACE)
			return i;
	return 0;
}

/* Finds the accounts and sums, in the order of the request. False: there is no room. */
static bool
look_up(struct sl_money *money, const struct sl_money_request *request, struct sl_hold *hold)
{
	for (size_t i = 0; i < request->scope_count; i++) {
		const struct sl_money_scope *scope = &request->scopes[i];
		int32_t day = sl_zone_day(scope->limits->zone, request->now_wall_ms);
		struct account *account = money_account(money, scope->kind, scope->name);

		if (!account)
			return false;
		hold->account[i] = account;
		money_hold_put(&hold->record, i, (struct money_place){ account->number, day });
		money_slots(account, day, hold->slot[i]);
	}
	hold->scope_count = (uint8_t)request->scope_count;
	return true;
}

static enum sl_err
check(const struct sl_money_request *request, const struct sl_hold *hold, size_t payer,
      struct sl_money_refusal *why)
{
	const struct sl_money_limits *pays = request->scopes[payer].limits;
	int64_t available = hold->account[payer]->available;

	for (size_t i = 0; i < request->scope_count; i++) {
		const struct sl_money_limits *limits = request->scopes[i].limits;
		int over;

		if (hold->account[i]->total.spent + hold->account[i]->total.held > SUM_MAX) {
			refuse_for_now(why, SL_REFUSED_BUSY, 0);
			return SL_EBUSY;
		}
		if (limits->per_request >= 0 && request->amount > limits->per_request)
			return refuse(request, hold, i, SL_REFUSED_PER_REQUEST, why);
		over = money_over(hold->account[i], hold->slot[i], limits, request->amount);
		if (over >= 0)
			return refuse(request, hold, i, (enum sl_refused_by)over, why);
	}
	if (pays->prepaid && request->amount > sl_money_spendable(pays, available))
		return refuse(request, hold, payer, SL_REFUSED_BALANCE, why);
	return SL_OK;
}

/* Adds to what all scopes hold and have spent. */
static void
move(struct sl_hold *hold, int64_t held, int64_t spent)
{
	for (size_t i = 0; i < hold->scope_count; i++) {
		for (int w = 0; w < SL_WINDOW_TOTAL; w++) {
			struct period_sum *sum = sum_of(hold, i, w);

			sum->held += held;
			sum->spent += spent;
			assert(sum->held >= 0);
		}
		hold->account[i]->total.held += held;
		hold->account[i]->total.spent += spent;
	}
	if (hold->flags & HOLD_PREPAID)
		hold->account[0]->available -= held + spent;
	hold->money->held += held;
	assert(!(hold->flags & HOLD_PREPAID) || hold->account[0]->available >= 0);
}

/* The payer's place is the first, here and in every row. */
static SL_APART void
put_payer_first(struct sl_hold *hold, size_t payer)
{
	struct account *account = hold->account[payer];
	struct money_place pays = money_hold_place(&hold->record, payer);
	uint8_t slot[SL_WINDOW_TOTAL];

	memcpy(slot, hold->slot[payer], sizeof(slot));
	hold->account[payer] = hold->account[0];
	money_hold_put(&hold->record, payer, money_hold_place(&hold->record, 0));
	memmove(hold->slot[payer], hold->slot[0], sizeof(slot));
	hold->account[0] = account;
	money_hold_put(&hold->record, 0, pays);
	memcpy(hold->slot[0], slot, sizeof(slot));
}

static bool
has_slip(const struct sl_money *money, const struct sl_money_request *request,
         struct sl_hold *hold)
{
	enum sl_durability durability = money->durability;

	return request->unlimited && !request->claim && durability != SL_DURABLE_STRICT &&
	       (request->attempt_no <= 1 || durability == SL_DURABLE_RELAXED) &&
	       money_slip_take(hold);
}

/* Everything is checked: the hold exists from here on. */
static enum sl_err
begin(struct sl_money *money, const struct sl_money_request *request, struct sl_hold *hold,
      size_t payer)
{
	bool prepaid = request->scopes[payer].limits->prepaid;
	uint64_t wait = 0;

	if (payer > 0)
		put_payer_first(hold, payer);
	hold->flags = (uint8_t)((prepaid ? HOLD_PREPAID : 0) |
	                        (money->durability == SL_DURABLE_STRICT ? HOLD_STRICT : 0));
	hold->policy = (uint8_t)(request->unlimited ? SL_UNKNOWN_COUNTED : request->policy);
	hold->unlimited = request->unlimited;
	hold->slip = NULL;
	hold->record.amount = request->amount;
	hold->record.attempt = request->target << MONEY_ATTEMPT_BITS |
	                       (request->attempt_no < MONEY_ATTEMPT_MAX ? request->attempt_no
	                                                                : MONEY_ATTEMPT_MAX);
	hold->record.price_version = request->price_version;
	memcpy(hold->record.request, request->request_id, sizeof(hold->record.request));
	hold->progress = 0;
	hold->posted = hold->abandoned = false;
	hold->loop = request->loop;
	hold->ready = request->ready;
	hold->user = request->user;
	hold->recorded = !has_slip(money, request, hold) &&
	                 (money->durability != SL_DURABLE_RELAXED || request->claim);
	if (hold->recorded && money->durability == SL_DURABLE_LEASE && !request->unlimited)
		wait = lease(money, hold->account[0], request->amount, prepaid,
		             request->now_wall_ms);
	move(hold, hold->record.amount, 0);
	money->open_holds++;
	money->recorded_holds += !hold->slip;
	if (request->claim)
		record_claim(money, MONEY_CLAIM, request->claim, request->request_id);
	if (hold->recorded) {
		uint64_t seq = record_hold(money, hold);

		if (money->durability == SL_DURABLE_STRICT)
			wait = seq;
	}
	if (wait == 0 || wait <= money->synced || SL_PLANTED("early-acknowledgement")) {
		set_state(hold, HOLD_HELD);
		return SL_OK;
	}
	wait_for(money, hold, wait);
	return SL_AGAIN;
}

static enum sl_err
try_hold(struct sl_money *money, const struct sl_money_request *request, struct sl_hold **out,
         struct sl_money_refusal *why)
{
	size_t payer = payer_of(request);
	struct sl_hold *hold;
	enum sl_err err;

	if (money->failed) {
		refuse_for_now(why, SL_REFUSED_STORE, 0);
		return SL_EFULL;
	}
	/* Its own records, a lease, a claim, and names that are new. */
	hold = money_room(money, HOLD_RECORDS + 3 + 2 * SL_MONEY_SCOPES_MAX) ? take_token(money)
	                                                                      : NULL;
	if (!hold) {
		refuse_for_now(why, SL_REFUSED_BUSY, BUSY_RETRY_S);
		return SL_EBUSY;
	}
	hold->record = (struct money_hold){ .wall_ms = request->now_wall_ms };
	if (look_up(money, request, hold)) {
		err = check(request, hold, payer, why);
	} else {
		refuse_for_now(why, SL_REFUSED_BUSY, BUSY_RETRY_S);
		err = SL_EBUSY;
	}
	if (err != SL_OK) {
		sl_list_push_front(&money->spare, &hold->node);
		return err;
	}
	/* Sorts by time. */
	_Static_assert(sizeof(hold->record.id) == SL_ULID_SIZE, "an attempt's id is a ULID");
	sl_ulid_mint(hold->record.id, request->now_wall_ms);
	*out = hold;
	return begin(money, request, hold, payer);
}

static bool
is_sound(const struct sl_money_request *request)
{
	if (request->scope_count == 0 || request->scope_count > SL_MONEY_SCOPES_MAX ||
	    request->amount < 0 || request->amount > AMOUNT_MAX || request->now_wall_ms < 0)
		return false;
	for (size_t i = 0; i < request->scope_count; i++)
		if (request->scopes[i].name.len > SL_SCOPE_NAME_MAX)
			return false;
	return true;
}

enum sl_err
sl_money_hold(struct sl_money *money, const struct sl_money_request *request,
              struct sl_hold **hold, struct sl_money_refusal *why)
{
	enum sl_err err;

	*hold = NULL;
	if (!is_sound(request)) {
		refuse_for_now(why, SL_REFUSED_PER_REQUEST, 0);
		return SL_EINVAL;
	}
	/* The journal would still take it; but what cannot be folded must not grow. */
	if (!sl_store_healthy(money->store)) {
		refuse_for_now(why, SL_REFUSED_STORE, STORE_RETRY_S);
		return SL_EFULL;
	}
	pthread_mutex_lock(&money->lock);
	err = try_hold(money, request, hold, why);
	pthread_mutex_unlock(&money->lock);
	if (err == SL_AGAIN)
		sl_journal_hurry(money->journal);
	return err;
}

/* --- after the hold ---------------------------------------------------------------------------- */

void
sl_money_dispatched(struct sl_hold *hold, int64_t floor)
{
	struct sl_money *money = hold->money;

	hold->progress = floor > 0 ? floor : 0;
	/* Of a hold that need not wait only its owner knows, and of its slip until its end. */
	if (hold->slip) {
		set_state(hold, HOLD_DISPATCHED);
		money_slip_dispatched(hold);
		return;
	}
	pthread_mutex_lock(&money->lock);
	set_state(hold, HOLD_DISPATCHED);
	if (hold->recorded && !SL_PLANTED("early-acknowledgement"))
		record_mark(hold, MONEY_DISPATCHED, hold->progress, hold->record.wall_ms);
	pthread_mutex_unlock(&money->lock);
}

void
sl_money_progress(struct sl_hold *hold, int64_t cost)
{
	struct sl_money *money = hold->money;

	pthread_mutex_lock(&money->lock);
	assert(hold->state == HOLD_DISPATCHED);
	if (cost > hold->progress && hold->slip) {
		hold->progress = cost;
		money_slip_progress(hold);
	} else if (cost > hold->progress && hold->recorded && money_room(money, 1)) {
		hold->progress = cost;
		record_mark(hold, MONEY_PROGRESS, cost, 0);
	}
	pthread_mutex_unlock(&money->lock);
}

/* What both ends have in common. */
static void
finish(struct sl_hold *hold, int64_t charged, bool on_slip)
{
	struct sl_money *money = hold->money;

	if (hold->state == HOLD_WAITING && !hold->posted)
		sl_list_remove(&hold->node);
	move(hold, -hold->record.amount, charged);
	money->open_holds--;
	money->recorded_holds -= !on_slip;
	assert(money->open_holds >= 0 && money->recorded_holds >= 0);
	give_token(hold);
}

/* A slip's attempt gets records of its own; settlement NULL: it is released. False: there is
 * no room, and it ends among its likes. */
static SL_APART bool
leave_slip(struct sl_hold *hold, const struct sl_money_settlement *settlement,
           int64_t released_wall_ms)
{
	struct sl_money *money = hold->money;

	if (!money_room(money, 2))
		return false;
	/* Until the second is written the slip alone counts. */
	money_slip_ends(hold, settlement, sl_journal_appended(money->journal) + 2);
	record_hold(money, hold);
	if (settlement)
		record_settle(hold, settlement);
	else
		record_mark(hold, MONEY_RELEASE, 0, released_wall_ms);
	return true;
}

uint32_t
sl_money_settle(struct sl_hold *hold, const struct sl_money_settlement *settlement)
{
	struct sl_money *money = hold->money;
	struct sl_money_settlement with = *settlement;
	bool on_slip = hold->slip != NULL;
	int64_t held, charged, over;
	uint32_t mark = 0;

	assert(with.cost >= 0);
	/* A provider that reports nonsense cannot break the sums. */
	if (with.cost > AMOUNT_MAX)
		with.cost = AMOUNT_MAX;
	pthread_mutex_lock(&money->lock);
	/* Something may have been bought without its first byte being known (an error with
	 * usage); never without a hold that may be dispatched. */
	assert(hold->state == HOLD_HELD || hold->state == HOLD_DISPATCHED);
	held = hold->record.amount;
	charged = hold->unlimited || with.cost < held ? with.cost : held;
	over = with.cost - charged;
	if (on_slip && with.own_row && leave_slip(hold, &with, 0)) {
		mark = money_slip_mark(hold, with.mark);
	} else if (on_slip) {
		mark = money_slip_settle(hold, &with);
	} else {
		if (with.mark)
			mark = money_mark_take(hold, &with,
			                       sl_journal_appended(money->journal) +
			                           (hold->recorded ? 1 : 2));
		if (!hold->recorded)
			record_hold(money, hold);
		record_settle(hold, &with);
	}
	money->overrun += over;
	finish(hold, charged, on_slip);
	pthread_mutex_unlock(&money->lock);
	if (over > 0)
		sl_log(SL_LOG_ERROR, "an attempt cost more than the bound that was held; the operator "
		                     "bears the rest", SL_LOG_I("held_nanousd", held),
		       SL_LOG_I("overrun_nanousd", over));
	return mark;
}

void
sl_money_release(struct sl_hold *hold, int64_t now_wall_ms)
{
	struct sl_money *money = hold->money;
	bool on_slip = hold->slip != NULL;

	pthread_mutex_lock(&money->lock);
	assert(hold->state != HOLD_FREE);
	/* What was sent and not served has a row, as others follow it. */
	if (on_slip && hold->state == HOLD_DISPATCHED)
		(void)leave_slip(hold, NULL, now_wall_ms);
	if (on_slip)
		money_slip_release(hold);
	else if (hold->recorded)
		record_mark(hold, MONEY_RELEASE, 0, now_wall_ms);
	finish(hold, 0, on_slip);
	pthread_mutex_unlock(&money->lock);
}

void
sl_money_unclaim(struct sl_money *money, const struct sl_money_claim *claim,
                 const unsigned char request_id[16])
{
	pthread_mutex_lock(&money->lock);
	if (!money->failed && money_room(money, 1))
		record_claim(money, MONEY_UNCLAIM, claim, request_id);
	pthread_mutex_unlock(&money->lock);
}

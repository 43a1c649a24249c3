/* money_account.c - what each scope has spent and holds, in memory.
 *
 * Sums are kept by period number. When another day begins, another slot is used; the
 * old one stays until its place is needed, so a clock that steps back finds what was
 * spent. A slot in which something is held keeps its place, because holds point at it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "ledger/money_internal.h"

const struct sl_money_limits sl_money_unlimited = {
	.window = { -1, -1, -1, -1 }, .per_request = -1,
};

int64_t
sl_money_spendable(const struct sl_money_limits *limits, int64_t available)
{
	return available < limits->minimum_balance ? -1 : available;
}

const char *
sl_scope_kind_name(enum sl_scope_kind kind)
{
	static const char *const names[SL_SCOPE_KIND_COUNT] = {
#define SCOPE_NAME(id, name) name,
		SL_SCOPE_KINDS(SCOPE_NAME)
#undef SCOPE_NAME
	};

	return kind < SL_SCOPE_KIND_COUNT ? names[kind] : "damaged";
}

const char *
sl_refused_by_name(enum sl_refused_by by)
{
	static const char *const names[] = {
#define WINDOW_NAME(id, name) name,
		SL_MONEY_WINDOWS(WINDOW_NAME)
#undef WINDOW_NAME
		"per_request", "balance", "store", "busy",
	};

	return names[by];
}

/* --- accounts ------------------------------------------------------------------------- */

static size_t
hash_of(enum sl_scope_kind kind, struct sl_slice name)
{
	return (size_t)sl_hash((uint64_t)kind, name);
}

struct account *
money_account_find(struct sl_money *money, enum sl_scope_kind kind, struct sl_slice name)
{
	struct account *at = money->buckets[hash_of(kind, name) & (money->bucket_count - 1)];

	while (at && !(at->kind == kind && at->name_len == name.len &&
	               memcmp(at->name, name.len ? name.ptr : "", name.len) == 0))
		at = at->next;
	return at;
}

/* More buckets; the old ones do too when there is no memory. */
static void
spread(struct sl_money *money)
{
	size_t count = money->bucket_count * 2;
	struct account **buckets = calloc(count, sizeof(*buckets));

	if (!buckets)
		return;
	for (size_t i = 0; i < money->bucket_count; i++) {
		while (money->buckets[i]) {
			struct account *at = money->buckets[i];
			size_t to = hash_of(at->kind, sl_slice_make(at->name, at->name_len)) & (count - 1);

			money->buckets[i] = at->next;
			at->next = buckets[to];
			buckets[to] = at;
		}
	}
	free(money->buckets);
	money->buckets = buckets;
	money->bucket_count = count;
}

static struct account *
add(struct sl_money *money, enum sl_scope_kind kind, struct sl_slice name, uint32_t number)
{
	struct account *account = calloc(1, sizeof(*account) + name.len), **bucket;

	if (!account)
		return NULL;
	account->kind = kind;
	account->number = number;
	account->name_len = (uint8_t)name.len;
	memcpy(account->name, name.len ? name.ptr : "", name.len);
	if (money->account_count >= money->bucket_count)
		spread(money);
	bucket = &money->buckets[hash_of(kind, name) & (money->bucket_count - 1)];
	account->next = *bucket;
	*bucket = account;
	money->account_count++;
	if (number >= money->next_number)
		money->next_number = number + 1;
	return account;
}

struct account *
money_account_restore(struct sl_money *money, const struct sl_money_owner_row *row)
{
	struct account *account;

	if (row->name.len > SL_SCOPE_NAME_MAX || row->kind >= SL_SCOPE_KIND_COUNT)
		return NULL;
	account = add(money, row->kind, row->name, row->number);
	if (account)
		account->lease_mark = account->lease_asked = row->lease_mark;
	return account;
}

bool
money_room(const struct sl_money *money, size_t records)
{
	return sl_journal_room(money->journal) >=
	       (size_t)money->recorded_holds * HOLD_RECORDS + records;
}

static void
record_owner(struct sl_money *money, const struct account *account)
{
	for (size_t at = 0; at == 0 || at < account->name_len; at += OWNER_TEXT) {
		size_t part = account->name_len - at < OWNER_TEXT ? account->name_len - at : OWNER_TEXT;
		struct sl_journal_record record = {
			.kind = at ? MONEY_OWNER_REST : MONEY_OWNER,
			.small = { (uint8_t)account->kind, account->name_len, (uint8_t)part },
		};
		struct money_owner owner = { .number = account->number };

		memcpy(owner.text, account->name + at, part);
		memcpy(record.body, &owner, sizeof(owner));
		sl_journal_append(money->journal, &record);
	}
}

struct account *
money_account(struct sl_money *money, enum sl_scope_kind kind, struct sl_slice name)
{
	struct account *account = money_account_find(money, kind, name);

	if (account || !money_room(money, 2) || money->next_number >= MONEY_OWNERS_MAX)
		return account;
	account = add(money, kind, name, money->next_number);
	if (account)
		record_owner(money, account);
	return account;
}

/* --- sums ------------------------------------------------------------------------------- */

struct period_sum *
money_sum(struct account *account, enum sl_money_window window, int32_t period)
{
	struct period_sum *slots = account->sums[window], *oldest = NULL, *nearest = NULL;

	for (int i = 0; i < MONEY_SLOTS; i++) {
		struct period_sum *at = &slots[i];

		if (at->used && at->period == period)
			return at;
		if (!at->used) {
			oldest = at;
			break;
		}
		if (at->held == 0 && (!oldest || at->period < oldest->period))
			oldest = at;
		if (!nearest || llabs((long long)at->period - period) <
		                    llabs((long long)nearest->period - period))
			nearest = at;
	}
	/* A period before all that are kept may have sums that were dropped: it counts to
	 * the nearest one, which is never too generous. */
	if (!oldest || (oldest->used && oldest->period > period))
		return nearest ? nearest : &slots[0];
	*oldest = (struct period_sum){ .period = period, .used = true };
	return oldest;
}

/* No period of another day is asked for in between, which could take a place away. */
static void
find_slots(struct account *account, int32_t day)
{
	const int32_t period[] = { day, sl_week_of_day(day), sl_month_of_day(day) };

	account->day = day;
	account->placed = true;
	for (int w = 0; w < SL_WINDOW_TOTAL; w++) {
		const struct period_sum *sum = money_sum(account, (enum sl_money_window)w, period[w]);

		account->slot[w] = (uint8_t)(sum - account->sums[w]);
		/* The nearest one only stands in. */
		account->placed &= sum->period == period[w];
	}
}

void
money_slots(struct account *account, int32_t day, uint8_t slot[SL_WINDOW_TOTAL])
{
	if (!account->placed || account->day != day)
		find_slots(account, day);
	memcpy(slot, account->slot, sizeof(account->slot));
}

static bool
exceeds(const struct period_sum *sum, int64_t limit, int64_t amount)
{
	return limit >= 0 && (amount > limit || sum->spent + sum->held > limit - amount);
}

int
money_over(const struct account *account, const uint8_t slot[SL_WINDOW_TOTAL],
           const struct sl_money_limits *limits, int64_t amount)
{
	if (exceeds(&account->total, limits->window[SL_WINDOW_TOTAL], amount))
		return SL_WINDOW_TOTAL;
	/* The one that lasts longest first: its reset is the one to wait for. */
	for (int w = SL_WINDOW_MONTH; w >= 0; w--)
		if (exceeds(&account->sums[w][slot[w]], limits->window[w], amount))
			return w;
	return -1;
}

/* --- questions ----------------------------------------------------------------------------- */

void
sl_money_standing(struct sl_money *money, enum sl_scope_kind kind, struct sl_slice name,
                  const struct sl_zone *zone, int64_t now_wall_ms, struct sl_money_standing *out)
{
	int32_t day = sl_zone_day(zone, now_wall_ms);
	const int32_t period[SL_WINDOW_TOTAL] = { day, sl_week_of_day(day), sl_month_of_day(day) };
	const struct account *account;

	*out = (struct sl_money_standing){ 0 };
	pthread_mutex_lock(&money->lock);
	account = money_account_find(money, kind, name);
	if (account) {
		for (int w = 0; w < SL_WINDOW_TOTAL; w++) {
			for (int i = 0; i < MONEY_SLOTS; i++) {
				const struct period_sum *at = &account->sums[w][i];

				if (!at->used || at->period != period[w])
					continue;
				out->spent[w] = at->spent;
				out->held[w] = at->held;
			}
		}
		out->spent[SL_WINDOW_TOTAL] = account->total.spent;
		out->held[SL_WINDOW_TOTAL] = account->total.held;
		out->available = account->available;
	}
	pthread_mutex_unlock(&money->lock);
}

uint32_t
sl_money_target(struct sl_money *money, struct sl_slice provider, struct sl_slice model)
{
	char name[SL_SCOPE_NAME_MAX];
	struct account *account;
	uint32_t number = 0;
	size_t size = 0;

	provider = sl_slice_upto(provider, sizeof(name) / 2);
	model = sl_slice_upto(model, sizeof(name) - provider.len - 1);
	memcpy(name, provider.ptr, provider.len);
	size = provider.len;
	name[size++] = '/';
	if (model.len > 0)
		memcpy(name + size, model.ptr, model.len);
	size += model.len;
	pthread_mutex_lock(&money->lock);
	if (!money->failed && money_room(money, 2)) {
		account = money_account(money, SL_SCOPE_TARGET, sl_slice_make(name, size));
		number = account ? account->number : 0;
	}
	pthread_mutex_unlock(&money->lock);
	return number;
}

uint32_t
sl_money_owner(struct sl_money *money, enum sl_scope_kind kind, struct sl_slice name)
{
	const struct account *account;
	uint32_t number;

	pthread_mutex_lock(&money->lock);
	account = money_account_find(money, kind, name);
	number = account ? account->number : 0;
	pthread_mutex_unlock(&money->lock);
	return number;
}

void *
sl_hold_user(const struct sl_hold *hold)
{
	return hold->user;
}

int64_t
sl_hold_amount(const struct sl_hold *hold)
{
	return hold->record.amount;
}

const unsigned char *
sl_hold_attempt_id(const struct sl_hold *hold)
{
	return hold->record.id;
}

void
sl_money_totals(struct sl_money *money, struct sl_money_totals *out)
{
	pthread_mutex_lock(&money->lock);
	*out = (struct sl_money_totals){
		.open_holds = money->open_holds, .held = money->held, .overrun = money->overrun,
		.appended = sl_journal_appended(money->journal) + money->slips.unrecorded,
		.folded = atomic_load(&money->folded),
	};
	pthread_mutex_unlock(&money->lock);
}

/* money_tally.c - what is spent where nothing limits it.
 *
 * Such an attempt has no bound to keep, so its cost may reach the journal a moment
 * later, in one record with its likes (same owners, day, prices, source of usage):
 *
 *   settle --first in a while--> record
 *     '----soon after one------> tally --log thread's next turn, or another--> record
 *
 * The log thread goes on turning for 200 ms after a record, so a tally is written when it
 * is FRESH_MS old; kill -9 loses no more than that. Each record makes the store fold and
 * sync, which is why they are not written at every turn. All under the lock.
 */
#include <string.h>

#include "base/clock.h"
#include "ledger/money_internal.h"

enum { FRESH_MS = 100 };
#define COST_MAX (INT64_MAX / 16384) /* of one record: a batch of them fits into a sum */

static void
write_tally(struct sl_money *money, struct money_tally *tally)
{
	struct sl_journal_record record = {
		.kind = MONEY_SPENT, .small = { tally->scope_count, tally->source },
	};

	memcpy(record.body, &tally->spent, sizeof(tally->spent));
	sl_journal_append(money->journal, &record);
	money->tallies_open--;
	tally->spent.count = 0;
}

static bool
is_like(const struct money_tally *tally, const struct sl_hold *hold,
        const struct sl_money_settlement *settlement)
{
	const struct money_spent *spent = &tally->spent;

	return tally->source == settlement->source && tally->scope_count == hold->scope_count &&
	       spent->price_version == hold->record.price_version && spent->cost < COST_MAX &&
	       memcmp(spent->owner, hold->record.owner, sizeof(spent->owner)) == 0 &&
	       memcmp(spent->day, hold->record.day, sizeof(spent->day)) == 0 &&
	       memcmp(&spent->fifth, &hold->record.fifth, sizeof(spent->fifth)) == 0;
}

void
money_tally_add(struct sl_money *money, const struct sl_hold *hold,
                const struct sl_money_settlement *settlement)
{
	struct money_tally *tally = &money->tallies[hold->record.owner[0] % MONEY_TALLIES];
	struct money_spent *spent = &tally->spent;
	int64_t age_ms = settlement->now_wall_ms - money->tally_wall_ms;

	/* The hold's reserve has room for it. */
	if (spent->count > 0 && !is_like(tally, hold, settlement))
		write_tally(money, tally);
	if (spent->count == 0) {
		*spent = (struct money_spent){ .price_version = hold->record.price_version };
		memcpy(spent->id, hold->record.id, sizeof(spent->id));
		memcpy(spent->owner, hold->record.owner, sizeof(spent->owner));
		memcpy(spent->day, hold->record.day, sizeof(spent->day));
		spent->fifth = hold->record.fifth;
		tally->scope_count = (uint8_t)hold->scope_count;
		tally->source = (uint8_t)settlement->source;
		money->tallies_open++;
	}
	spent->count++;
	spent->cost += settlement->cost;
	spent->input_tokens += settlement->input_tokens;
	spent->output_tokens += settlement->output_tokens;
	spent->wall_ms = settlement->now_wall_ms;
	if (age_ms >= 0 && age_ms < FRESH_MS)
		return;
	money->tally_wall_ms = settlement->now_wall_ms;
	write_tally(money, tally);
}

void
money_tally_flush(struct sl_money *money, bool all)
{
	int64_t now_wall_ms, age_ms;

	if (money->tallies_open == 0)
		return;
	now_wall_ms = sl_clock_wall_ms();
	age_ms = now_wall_ms - money->tally_wall_ms;
	if (!all && age_ms >= 0 && age_ms < FRESH_MS)
		return;
	money->tally_wall_ms = now_wall_ms;
	for (size_t i = 0; i < MONEY_TALLIES && money_room(money, 1); i++)
		if (money->tallies[i].spent.count > 0)
			write_tally(money, &money->tallies[i]);
}

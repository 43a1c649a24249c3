/* money_record.h - what the ledger leaves for its next start: the bodies of its journal
 * records, and slips. Stored: append only.
 *
 *   OWNER       a scope got its number (long names: OWNER, then OWNER_REST)
 *   HOLD        an attempt and what it holds
 *   DISPATCHED  its first byte is about to go out
 *   PROGRESS    what it costs so far
 *   SETTLE      its end, with the cost
 *   RELEASE     its end, without
 *   LEASE       how far an owner's holds and costs may reach before the next one
 *   SPENT       what attempts that nothing limits cost; id: of the first
 *   CLAIM       a caller's name for a request that is about to be bought
 *   UNCLAIM     its answer is stored, or the name is free again
 *
 * A slip is an attempt that nothing limits, in place and without a checksum: only the
 * death of the process can interrupt its writing, and that keeps the order of what was
 * written. Its state is written last. A mark is a slip of an attempt whose end is in a
 * record while its request's is not told yet.
 */
#ifndef SL_LEDGER_MONEY_RECORD_H
#define SL_LEDGER_MONEY_RECORD_H

#include "store/journal.h"
#include "store/money_store.h"

enum money_record_kind {
	MONEY_OWNER = 1,
	MONEY_OWNER_REST,
	MONEY_HOLD,
	MONEY_DISPATCHED,
	MONEY_PROGRESS,
	MONEY_SETTLE,
	MONEY_RELEASE,
	MONEY_LEASE,
	MONEY_SPENT,
	MONEY_CLAIM,
	MONEY_UNCLAIM,
};

enum { OWNER_TEXT = 96 };
struct money_owner { /* small: scope kind, bytes of the name, bytes in this record */
	uint32_t number, unused;
	char     text[OWNER_TEXT];
};

/* Owners and days (local, days since 1970) of the scopes, the payer's first. Once there were
 * four; where the fifth stands, older records have zeros. */
enum { MONEY_SCOPES_FIRST = 4 };
_Static_assert(SL_MONEY_SCOPES_MAX == MONEY_SCOPES_FIRST + 1, "one scope has a place of its own");
struct money_place {
	uint32_t owner;
	int32_t  day;
};

enum { HOLD_PREPAID = 1, HOLD_STRICT = 2 };
struct money_hold { /* small: scopes, policy, flags */
	unsigned char id[SL_ATTEMPT_ID_SIZE], request[16];
	int64_t       amount, wall_ms;
	uint32_t      owner[MONEY_SCOPES_FIRST];
	int32_t       day[MONEY_SCOPES_FIRST];
	uint32_t      attempt, price_version; /* attempt: see below */
	struct money_place fifth;
};
/* Its number within the request, and above these bits the number of its target. */
enum { MONEY_ATTEMPT_BITS = 8, MONEY_ATTEMPT_MAX = (1 << MONEY_ATTEMPT_BITS) - 1 };

struct money_mark { /* DISPATCHED, PROGRESS, RELEASE */
	unsigned char id[SL_ATTEMPT_ID_SIZE];
	int64_t       cost, wall_ms;
};

struct money_settle { /* small: usage source */
	unsigned char id[SL_ATTEMPT_ID_SIZE];
	int64_t       cost, wall_ms, input_tokens, output_tokens;
};

struct money_spent { /* small: scopes, usage source */
	unsigned char id[SL_ATTEMPT_ID_SIZE];
	int64_t       cost, wall_ms, input_tokens, output_tokens;
	uint32_t      owner[MONEY_SCOPES_FIRST];
	int32_t       day[MONEY_SCOPES_FIRST];
	uint32_t      price_version, count;
	struct money_place fifth;
};

struct money_lease {
	uint32_t number, unused;
	int64_t  mark;
};

struct money_claim {
	unsigned char name[SL_CLAIM_DIGEST_SIZE], digest[SL_CLAIM_DIGEST_SIZE], request[16];
	int64_t       expires_wall_ms;
};

enum money_slip_state { SLIP_FREE, SLIP_HELD, SLIP_DISPATCHED, SLIP_SETTLED, SLIP_MARK };
struct money_slip {
	struct money_hold hold;
	int64_t  cost; /* so far, then at last */
	uint32_t input_tokens, output_tokens;
	uint64_t seq;  /* of the SPENT record with it, if that record is there; 0: none yet */
	uint32_t took_ms;
	uint8_t  state, scope_count, source;
	uint8_t  unmarked; /* 1: the request's record is told */
};
_Static_assert(sizeof(struct money_slip) == 128, "slip size");

static inline struct money_place
money_hold_place(const struct money_hold *hold, size_t at)
{
	return at < MONEY_SCOPES_FIRST ? (struct money_place){ hold->owner[at], hold->day[at] }
	                               : hold->fifth;
}

static inline void
money_hold_put(struct money_hold *hold, size_t at, struct money_place place)
{
	if (at < MONEY_SCOPES_FIRST) {
		hold->owner[at] = place.owner;
		hold->day[at] = place.day;
	} else {
		hold->fifth = place;
	}
}

#define MONEY_FITS(type) _Static_assert(sizeof(struct type) <= SL_JOURNAL_BODY_SIZE, #type)
MONEY_FITS(money_owner);
MONEY_FITS(money_hold);
MONEY_FITS(money_settle);
MONEY_FITS(money_spent);
MONEY_FITS(money_claim);

#endif

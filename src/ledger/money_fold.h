/* money_fold.h - from journal records to rows of the store. Store thread only. */
#ifndef SL_LEDGER_MONEY_FOLD_H
#define SL_LEDGER_MONEY_FOLD_H

#include "ledger/money_book.h"
#include "store/journal.h"
#include "store/store.h"

#ifndef SL_PLANTED
#define SL_PLANTED(bug) 0
#endif

struct sl_money_fold;
struct money_slip; /* ledger/money_record.h */

struct sl_money_fold *sl_money_fold_new(void);
void sl_money_fold_free(struct sl_money_fold *fold);

/* In the transaction of the caller. Records must follow those folded before (the
 * sequence of the last is kept in the same transaction). */
enum sl_err sl_money_fold_records(struct sl_money_fold *fold, const struct sl_store_ops *ops,
                                  void *conn, const struct sl_journal_record *records,
                                  size_t count);
/* How many of the records may make a batch: the two of a long name stay together. */
size_t sl_money_fold_whole(const struct sl_journal_record *records, size_t count);
/* What a crash left open, by policy: attempts of the store, and those of slips. */
struct sl_money_left {
	const struct money_slip *slips;
	size_t                   slip_count;
	uint64_t                 last_seq; /* of the journal */
	int64_t                  now_wall_ms;
};
enum sl_err sl_money_fold_resolve(struct sl_money_fold *fold, const struct sl_store_ops *ops,
                                  void *conn, const struct sl_money_left *left,
                                  struct sl_money_recovery *recovery);
/* Moves amount from an operator's book to an owner's available or owed credit. */
enum sl_err sl_money_fold_credit(struct sl_money_fold *fold, const struct sl_store_ops *ops,
                                 void *conn, const struct sl_money_credit *credit,
                                 uint32_t owner);
/* What the memory says may not be what the store says: read it again. */
void sl_money_fold_forget(struct sl_money_fold *fold);

/* Sums of spent amounts by owner, window and period. */
void sl_money_spent_of(const struct sl_attempt_row *row, unsigned scope, int64_t amount,
                       struct sl_spent_row out[SL_WINDOW_COUNT]);

#endif

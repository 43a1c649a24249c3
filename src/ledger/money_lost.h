/* money_lost.h - the records of requests that a crash took. Store thread only.
 *
 * Everything that was spent has a record of a request, so that what is summed over records
 * is what the ledger says. A killed process leaves requests without one: those in flight,
 * and those whose last attempt had ended and their answer not. They get one here, from
 * what the ledger knows, in the transaction that resolves their attempts.
 */
#ifndef SL_LEDGER_MONEY_LOST_H
#define SL_LEDGER_MONEY_LOST_H

#include "store/money_store.h"
#include "store/store.h"

/* Attempts whose requests may have no record. Zeros: none. */
struct money_lost {
	struct sl_attempt_row *rows;
	size_t                 count, size;
};

enum sl_err money_lost_add(struct money_lost *lost, const struct sl_attempt_row *row);
/* Writes the records that are missing, with the outcome "killed"; adds to *written. Every
 * attempt is stored. */
enum sl_err money_lost_record(struct money_lost *lost, const struct sl_store_ops *ops,
                              void *conn, uint64_t *written);
void money_lost_release(struct money_lost *lost);

#endif

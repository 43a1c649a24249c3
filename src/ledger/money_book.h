/* money_book.h - books in memory while a batch is folded; named numbers of the store.
 * Private to the ledger; store thread only.
 */
#ifndef SL_LEDGER_MONEY_BOOK_H
#define SL_LEDGER_MONEY_BOOK_H

#include "ledger/money.h"
#include "store/store.h"

enum { MONEY_BOOK_BUCKETS = 4096 };

struct money_book;
struct money_books {
	struct money_book         *buckets[MONEY_BOOK_BUCKETS];
	struct money_book         *changed;    /* those that the batch posted to */
	int64_t                    event;      /* of the entries that are posted */
	int64_t                    next_entry; /* id the store will give the next one */
	const struct sl_store_ops *ops;  /* of the running call */
	void                      *conn;
};

/* Books of zeros are empty; forgetting empties them. */
void money_books_forget(struct money_books *books);
/* One side of an event; amount 0 is none. SL_ELIMIT: no balance is that large. */
enum sl_err money_post(struct money_books *books, int64_t book, int64_t amount, const char *kind,
                       struct sl_slice reference, int64_t wall_ms);
enum sl_err money_book_balance(struct money_books *books, int64_t book, int64_t *balance);
/* Writes the balances that changed. */
enum sl_err money_books_flush(struct money_books *books);

/* The next link of a book's chain. */
void sl_money_chain(unsigned char chain[SL_CHAIN_SIZE], const struct sl_entry_row *entry);

/* Named numbers of the ledger in the store's meta table; absent: 0. */
enum sl_err sl_money_meta_get(const struct sl_store_ops *ops, void *conn, const char *name,
                              uint64_t *out);
enum sl_err sl_money_meta_put(const struct sl_store_ops *ops, void *conn, const char *name,
                              uint64_t number);
#define SL_MONEY_META_FOLDED   "money_folded"
#define SL_MONEY_META_EPOCH    "money_epoch"
#define SL_MONEY_META_INSTANCE "money_instance"
#define SL_MONEY_META_SLIPS    "money_slips" /* those of epochs up to it are resolved */

#endif

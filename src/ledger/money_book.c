/* money_book.c - balances and chains of hashes.
 *
 * Each entry of a book is hashed together with the hash of the one before it, so that
 * a row that is changed, removed or put between others later does not go unnoticed.
 */
#include "ledger/money_book.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"

struct money_book {
	struct money_book *next;
	struct money_book *next_changed;
	struct sl_book_row row;
	bool               changed;
};

/* --- named numbers ------------------------------------------------------------------ */

enum sl_err
sl_money_meta_get(const struct sl_store_ops *ops, void *conn, const char *name, uint64_t *out)
{
	struct sl_buf text;
	enum sl_err err;
	int64_t number = 0;

	sl_buf_init(&text, 64);
	err = ops->meta_get(conn, name, &text);
	if (err == SL_ENOTFOUND)
		err = SL_OK;
	else if (err == SL_OK && !sl_slice_i64(sl_buf_slice(&text), &number))
		err = SL_ESYNTAX;
	*out = (uint64_t)number;
	sl_buf_release(&text);
	return err;
}

enum sl_err
sl_money_meta_put(const struct sl_store_ops *ops, void *conn, const char *name, uint64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)number);
	return ops->meta_put(conn, name, sl_slice_str(text));
}

/* --- chains --------------------------------------------------------------------------- */

void
sl_money_chain(unsigned char chain[SL_CHAIN_SIZE], const struct sl_entry_row *entry)
{
	const int64_t numbers[] = { entry->event, entry->book, entry->amount, entry->balance,
		                    entry->wall_ms };
	struct sl_sha256 hash;

	sl_sha256_begin(&hash);
	sl_sha256_add(&hash, sl_slice_make((const char *)chain, SL_CHAIN_SIZE));
	sl_sha256_add(&hash, sl_slice_make((const char *)numbers, sizeof(numbers)));
	sl_sha256_add(&hash, entry->kind);
	sl_sha256_add(&hash, entry->reference);
	sl_sha256_end(&hash, chain);
}

/* --- books ------------------------------------------------------------------------------ */

void
money_books_forget(struct money_books *books)
{
	books->changed = NULL;
	for (size_t i = 0; i < MONEY_BOOK_BUCKETS; i++) {
		while (books->buckets[i]) {
			struct money_book *gone = books->buckets[i];

			books->buckets[i] = gone->next;
			free(gone);
		}
	}
}

static enum sl_err
find(struct money_books *books, int64_t number, struct money_book **out)
{
	struct money_book **bucket = &books->buckets[(uint64_t)number % MONEY_BOOK_BUCKETS], *book;
	enum sl_err err;

	for (book = *bucket; book; book = book->next)
		if (book->row.book == number)
			break;
	*out = book;
	if (book)
		return SL_OK;
	book = calloc(1, sizeof(*book));
	if (!book)
		return SL_ENOMEM;
	err = books->ops->money->book_get(books->conn, number, &book->row);
	if (err != SL_OK) {
		free(book);
		return err;
	}
	book->next = *bucket;
	*bucket = *out = book;
	return SL_OK;
}

enum sl_err
money_post(struct money_books *books, int64_t number, int64_t amount, const char *kind,
           struct sl_slice reference, int64_t wall_ms)
{
	struct sl_entry_row entry = { .event = books->event, .book = number, .amount = amount,
		                      .wall_ms = wall_ms, .kind = sl_slice_str(kind),
		                      .reference = reference };
	struct money_book *book;
	enum sl_err err;

	if (amount == 0)
		return SL_OK;
	err = find(books, number, &book);
	if (err != SL_OK)
		return err;
	if (__builtin_add_overflow(book->row.balance, amount, &book->row.balance))
		return SL_ELIMIT;
	entry.balance = book->row.balance;
	book->row.entries++;
	if (!book->changed) {
		book->changed = true;
		book->next_changed = books->changed;
		books->changed = book;
	}
	sl_money_chain(book->row.chain, &entry);
	memcpy(entry.chain, book->row.chain, sizeof(entry.chain));
	books->next_entry++;
	return books->ops->money->entry_add(books->conn, &entry);
}

enum sl_err
money_book_balance(struct money_books *books, int64_t number, int64_t *balance)
{
	struct money_book *book;
	enum sl_err err = find(books, number, &book);

	*balance = err == SL_OK ? book->row.balance : 0;
	return err;
}

enum sl_err
money_books_flush(struct money_books *books)
{
	enum sl_err err = SL_OK;

	for (; books->changed && err == SL_OK; books->changed = books->changed->next_changed) {
		err = books->ops->money->book_put(books->conn, &books->changed->row);
		books->changed->changed = false;
	}
	return err;
}

/* money_verify.c - every invariant, from the rows alone.
 *
 *   I1  each event, and all entries together, sum to zero
 *   I2  credit and held of an owner = what came in - what its attempts were charged
 *   I3  held of an owner = what its open attempts hold
 *   I4  an open attempt has its hold in the held book, an ended one nothing
 *   I5  an ended attempt has its cost in the cost book exactly once
 *   I6  no attempt is open for more than a day
 *   I7  sums by owner and period = what the attempts of the period were charged
 *   I8  every chain of hashes and every running balance is right
 *
 * One pass over the entries and one over the attempts, in memory proportional to the
 * attempts and books.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/money_fold.h"

enum { OPEN_MAX_MS = 24 * 3600 * 1000 + 5000 };

struct attempt {
	struct sl_attempt_row row;
	int64_t               cost, held; /* by the entries */
	bool                  posted;     /* has entries of its own */
};
struct book {
	struct sl_book_row row;     /* as stored */
	struct sl_book_row seen;    /* as the entries make it */
	int64_t            came_in, charged, open;
};

struct verify {
	struct sl_money_audit *audit;
	struct attempt        *attempts; /* by id */
	size_t                 attempt_count, attempt_size;
	struct book           *books;    /* by number */
	size_t                 book_count, book_size;
	struct sl_spent_row   *spent;    /* by owner, window, period */
	size_t                 spent_count, spent_size, spent_at;
	int64_t                event, event_sum, now_wall_ms;
	int64_t                together, unposted; /* cost posted for many; of those without entries */
	bool                   no_memory;
};

static void
hex(const unsigned char *bytes, size_t size, char *out)
{
	for (size_t i = 0; i < size; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* The first finding stays. Always false. */
static bool __attribute__((format(printf, 3, 4)))
broken(struct verify *v, const char *which, const char *format, ...)
{
	va_list args;

	if (v->audit->broken)
		return false;
	v->audit->broken = which;
	va_start(args, format);
	vsnprintf(v->audit->where, sizeof(v->audit->where), format, args);
	va_end(args);
	return false;
}

static bool
broken_attempt(struct verify *v, const char *which, const struct attempt *attempt,
               const char *what)
{
	char id[33];

	hex(attempt->row.id, 16, id);
	return broken(v, which, "attempt %s %s (%s, held %lld, charged %lld, overrun %lld)", id, what,
	              sl_attempt_state_name(attempt->row.state), (long long)attempt->row.held,
	              (long long)attempt->row.charged, (long long)attempt->row.overrun);
}

/* Room for one more; the array may move. */
static bool
grow(struct verify *v, void **array, size_t count, size_t *size, size_t item)
{
	size_t more = *size ? *size * 2 : 256;
	void *grown;

	if (count < *size)
		return true;
	grown = realloc(*array, more * item);
	v->no_memory = !grown;
	if (!grown)
		return false;
	*array = grown;
	*size = more;
	return true;
}

/* --- rows in ---------------------------------------------------------------------------- */

static int
compare_spent(const void *a, const void *b)
{
	const struct sl_spent_row *x = a, *y = b;

	if (x->owner != y->owner)
		return x->owner < y->owner ? -1 : 1;
	if (x->window != y->window)
		return x->window < y->window ? -1 : 1;
	return x->period < y->period ? -1 : x->period > y->period;
}

static bool
see_attempt(void *context, const struct sl_attempt_row *row)
{
	struct verify *v = context;

	if (!grow(v, (void **)&v->attempts, v->attempt_count, &v->attempt_size,
	          sizeof(*v->attempts)))
		return false;
	v->attempts[v->attempt_count++] = (struct attempt){ .row = *row };
	v->audit->charged += row->charged;
	v->audit->overrun += row->overrun;
	v->audit->open += row->state < SL_ATTEMPT_SETTLED;
	for (unsigned s = 0; s < row->scope_count && row->charged != 0; s++) {
		struct sl_spent_row rows[SL_WINDOW_COUNT];

		sl_money_spent_of(row, s, row->charged, rows);
		for (int w = 0; w < SL_WINDOW_COUNT; w++) {
			if (!grow(v, (void **)&v->spent, v->spent_count, &v->spent_size,
			          sizeof(*v->spent)))
				return false;
			v->spent[v->spent_count++] = rows[w];
		}
	}
	return true;
}

static bool
see_book(void *context, const struct sl_book_row *row)
{
	struct verify *v = context;

	if (!grow(v, (void **)&v->books, v->book_count, &v->book_size, sizeof(*v->books)))
		return false;
	v->books[v->book_count++] = (struct book){ .row = *row, .seen = { .book = row->book } };
	return true;
}

static struct book *
find_book(struct verify *v, int64_t number)
{
	size_t low = 0, high = v->book_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (v->books[middle].row.book == number)
			return &v->books[middle];
		if (v->books[middle].row.book < number)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static struct attempt *
find_attempt(struct verify *v, const char *id)
{
	size_t low = 0, high = v->attempt_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = memcmp(v->attempts[middle].row.id, id, SL_ATTEMPT_ID_SIZE);

		if (order == 0)
			return &v->attempts[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static bool
is_of_attempt(const struct sl_entry_row *row)
{
	return sl_slice_is(row->kind, "hold") || sl_slice_is(row->kind, "settle") ||
	       sl_slice_is(row->kind, "release");
}

static bool
add_to_attempt(struct verify *v, const struct sl_entry_row *row)
{
	struct attempt *attempt = row->reference.len == SL_ATTEMPT_ID_SIZE
	                              ? find_attempt(v, row->reference.ptr) : NULL;

	if (!attempt)
		return broken(v, "I5", "entry %lld belongs to no attempt", (long long)row->id);
	attempt->posted = true;
	if (row->book == SL_BOOK_COST)
		attempt->cost += row->amount;
	else if (row->book >= SL_BOOK_PARTS && row->book % SL_BOOK_PARTS % 2 == 1)
		attempt->held += row->amount;
	return true;
}

static bool
see_entry(void *context, const struct sl_entry_row *row)
{
	struct verify *v = context;
	struct book *book = find_book(v, row->book);

	v->audit->entries++;
	if (!book)
		return broken(v, "I8", "entry %lld is of book %lld, which does not exist",
		              (long long)row->id, (long long)row->book);
	book->seen.entries++;
	if (__builtin_add_overflow(book->seen.balance, row->amount, &book->seen.balance) ||
	    book->seen.balance != row->balance)
		return broken(v, "I8", "entry %lld: the balance of book %lld is %lld, the entries "
		              "before it make %lld", (long long)row->id, (long long)row->book,
		              (long long)row->balance, (long long)book->seen.balance);
	sl_money_chain(book->seen.chain, row);
	if (memcmp(book->seen.chain, row->chain, SL_CHAIN_SIZE) != 0)
		return broken(v, "I8", "entry %lld does not continue the chain of book %lld",
		              (long long)row->id, (long long)row->book);
	if (row->event != v->event && v->event_sum != 0)
		return broken(v, "I1", "event %lld sums to %lld", (long long)v->event,
		              (long long)v->event_sum);
	v->event = row->event;
	v->event_sum += row->amount;
	if (sl_slice_is(row->kind, "settled")) {
		if (row->book == SL_BOOK_COST)
			v->together += row->amount;
		return true;
	}
	if (is_of_attempt(row))
		return add_to_attempt(v, row);
	book->came_in += row->amount;
	return true;
}

static bool
see_owner(void *context, const struct sl_money_owner_row *row)
{
	(void)row;
	((struct verify *)context)->audit->owners++;
	return true;
}

/* --- what must be so ------------------------------------------------------------------------ */

static bool
check_attempt(struct verify *v, const struct attempt *attempt)
{
	const struct sl_attempt_row *row = &attempt->row;
	int64_t part = row->prepaid ? SL_BOOK_AVAILABLE : SL_BOOK_OWED;
	struct book *book = find_book(v, (int64_t)row->owner[0] * SL_BOOK_PARTS + part);
	bool open = row->state < SL_ATTEMPT_SETTLED;

	if (row->held < 0 || row->charged < 0 || row->overrun < 0 || row->charged > row->held ||
	    ((open || row->state == SL_ATTEMPT_RELEASED) && row->charged + row->overrun != 0))
		return broken_attempt(v, "I5", attempt, "has amounts that cannot be");
	if (!attempt->posted && !open)
		v->unposted += row->charged + row->overrun;
	else if (attempt->cost != row->charged + row->overrun)
		return broken_attempt(v, "I5", attempt, "is not in the cost book exactly once");
	if (attempt->held != (open ? row->held : 0))
		return broken_attempt(v, "I4", attempt, open ? "has no hold" : "still has a hold");
	if (open && v->now_wall_ms - row->begin_wall_ms > OPEN_MAX_MS)
		return broken_attempt(v, "I6", attempt, "is open for more than a day");
	if (book)
		book->charged += row->charged;
	else if (row->charged)
		return broken_attempt(v, "I2", attempt, "has no payer's book");
	book = find_book(v, (int64_t)row->owner[0] * SL_BOOK_PARTS + part + 1);
	if (book && open)
		book->open += row->held;
	return true;
}

static bool
check_books(struct verify *v)
{
	int64_t sum = 0;

	for (size_t i = 0; i < v->book_count; i++) {
		const struct book *book = &v->books[i], *held;
		int64_t number = book->row.book, part = number % SL_BOOK_PARTS;

		sum += book->row.balance;
		if (book->seen.balance != book->row.balance || book->seen.entries != book->row.entries ||
		    memcmp(book->seen.chain, book->row.chain, SL_CHAIN_SIZE) != 0)
			return broken(v, "I8", "book %lld says %lld after %lld entries, which make %lld",
			              (long long)number, (long long)book->row.balance,
			              (long long)book->row.entries, (long long)book->seen.balance);
		if (number < SL_BOOK_PARTS)
			continue;
		if (part % 2 == 1) {
			if (book->row.balance != book->open)
				return broken(v, "I3", "book %lld holds %lld, its open attempts %lld",
				              (long long)number, (long long)book->row.balance,
				              (long long)book->open);
			continue;
		}
		held = find_book(v, number + 1);
		if (book->row.balance + (held ? held->row.balance : 0) != book->came_in - book->charged)
			return broken(v, "I2", "book %lld: %lld free and %lld held, but %lld came in and "
			              "%lld was charged", (long long)number, (long long)book->row.balance,
			              (long long)(held ? held->row.balance : 0),
			              (long long)book->came_in, (long long)book->charged);
		if (part == SL_BOOK_AVAILABLE && book->row.balance < 0)
			return broken(v, "I2", "the prepaid balance of book %lld is %lld",
			              (long long)number, (long long)book->row.balance);
	}
	if (v->event_sum != 0)
		return broken(v, "I1", "event %lld sums to %lld", (long long)v->event,
		              (long long)v->event_sum);
	return sum == 0 || broken(v, "I1", "all books together make %lld", (long long)sum);
}

/* The expected sums, one for each owner, window and period. */
static void
merge_spent(struct verify *v)
{
	size_t out = 0;

	if (v->spent_count == 0)
		return;
	qsort(v->spent, v->spent_count, sizeof(*v->spent), compare_spent);
	for (size_t i = 1; i < v->spent_count; i++) {
		if (compare_spent(&v->spent[out], &v->spent[i]) == 0)
			v->spent[out].amount += v->spent[i].amount;
		else
			v->spent[++out] = v->spent[i];
	}
	v->spent_count = out + 1;
}

static bool
see_spent(void *context, const struct sl_spent_row *row)
{
	struct verify *v = context;
	const struct sl_spent_row *wanted = v->spent_at < v->spent_count ? &v->spent[v->spent_at]
	                                                                 : NULL;

	v->spent_at++;
	if (wanted && compare_spent(wanted, row) == 0 && wanted->amount == row->amount)
		return true;
	return broken(v, "I7", "owner %u, window %u, period %d: %lld spent, which is not what its "
	              "attempts were charged", row->owner, row->window, row->period,
	              (long long)row->amount);
}

static enum sl_err
read_all(const struct sl_store_ops *ops, void *conn, struct verify *v)
{
	const struct sl_money_ops *money = ops->money;
	enum sl_err err = money->owner_each(conn, see_owner, v);

	if (err == SL_OK)
		err = money->attempt_each(conn, false, see_attempt, v);
	if (err == SL_OK)
		err = money->book_each(conn, see_book, v);
	if (err == SL_OK && !v->no_memory)
		err = money->entry_each(conn, -1, 0, see_entry, v);
	if (err != SL_OK || v->no_memory)
		return v->no_memory ? SL_ENOMEM : err;
	for (size_t i = 0; i < v->attempt_count && !v->audit->broken; i++)
		check_attempt(v, &v->attempts[i]);
	if (!v->audit->broken && v->together != v->unposted)
		broken(v, "I5", "attempts settled together cost %lld, their entries say %lld",
		       (long long)v->unposted, (long long)v->together);
	if (!v->audit->broken)
		check_books(v);
	merge_spent(v);
	if (!v->audit->broken)
		err = money->spent_each(conn, see_spent, v);
	if (err == SL_OK && !v->audit->broken && v->spent_at < v->spent_count)
		broken(v, "I7", "owner %u has no sum for window %u, period %d",
		       v->spent[v->spent_at].owner, v->spent[v->spent_at].window,
		       v->spent[v->spent_at].period);
	return err;
}

enum sl_err
sl_money_verify(const struct sl_store_ops *ops, void *conn, int64_t now_wall_ms,
                struct sl_money_audit *audit)
{
	struct verify v = { .audit = audit, .now_wall_ms = now_wall_ms };
	const struct book *topup;
	enum sl_err err = ops->begin(conn);

	*audit = (struct sl_money_audit){ 0 };
	if (err != SL_OK)
		return err;
	err = read_all(ops, conn, &v);
	ops->rollback(conn);
	topup = find_book(&v, SL_BOOK_TOPUP);
	audit->topped_up = topup ? -topup->row.balance : 0;
	audit->books = (int64_t)v.book_count;
	audit->attempts = (int64_t)v.attempt_count;
	free(v.attempts);
	free(v.books);
	free(v.spent);
	return err;
}

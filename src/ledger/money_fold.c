/* money_fold.c - double entry.
 *
 * A batch of records becomes rows in one transaction, together with the sequence of
 * its last record: a batch is folded wholly or not at all, and never twice.
 *
 * An attempt that begins and ends within a batch moves its cost from the payer's credit
 * to the cost book at once; several of one payer do so together, in one event of the kind
 * "settled" that says how many they are (under load nearly all are such, and their rows
 * are all that is written for each). One that is open at the end of a batch moves its
 * hold from available to held, and back when it ends:
 *
 *   hold      available -h   held +h
 *   settle    held -h   available +(h - charged)   cost +charged
 *   overrun   overrun -(cost - h)   cost +(cost - h)
 *   release   held -h   available +h
 *
 * Attempts that nothing limits are one row for all of a batch with the same owners, day
 * and prices: its attempt_no is how many they are, its id that of the first. Those whose
 * slips a crash left get rows of their own.
 *
 * The memory here (open attempts, balances, ends of chains) mirrors the store and can
 * be thrown away at any time.
 */
#include "ledger/money_fold.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "ledger/money_book.h"
#include "ledger/money_lost.h"
#include "ledger/money_record.h"

enum { BUCKETS = 8192, SUM_BUCKETS = 256, NAME_SIZE = SL_SCOPE_NAME_MAX };
#define SUM_MAX (INT64_MAX / 4) /* of one row */

struct open_attempt {
	struct open_attempt  *next;
	struct sl_list        changed; /* in the fold's, when this batch changed it */
	struct sl_attempt_row row;
	bool                  stored; /* has a row and entries */
};
/* What attempts of this batch cost a payer who never saw them open. */
struct settled {
	struct settled *next;
	int64_t         book, charged, overrun, wall_ms;
	unsigned        count;
	unsigned char   id[SL_ATTEMPT_ID_SIZE]; /* of the first */
};
struct spent {
	struct spent       *next;
	struct spent       *after; /* in the fold's list of them */
	struct sl_spent_row row;
};

struct sl_money_fold {
	struct open_attempt *attempts[BUCKETS];
	struct sl_list       changed; /* those of them that the batch began or changed */
	struct open_attempt *sums[SUM_BUCKETS]; /* of attempts that nothing limits; this batch's */
	struct spent        *spent[SUM_BUCKETS]; /* this batch's, by what they are of */
	struct spent        *first_spent;
	struct settled      *settled[SUM_BUCKETS];
	struct money_books   books;
	struct money_lost   *lost;     /* while a crash is cleaned up after: what ends */
	bool                 loaded;   /* open attempts are those of the store */
	uint64_t             folded;   /* as of the last run, if the store kept it */
	char                 name[NAME_SIZE]; /* of an owner whose record goes on */
	size_t               name_len;
};

struct sl_money_fold *
sl_money_fold_new(void)
{
	struct sl_money_fold *fold = calloc(1, sizeof(*fold));

	if (fold)
		sl_list_init(&fold->changed);
	return fold;
}

/* The sums of the batch are written, or it failed. */
static void
forget_spent(struct sl_money_fold *fold)
{
	while (fold->first_spent) {
		struct spent *gone = fold->first_spent;

		fold->first_spent = gone->after;
		free(gone);
	}
	memset(fold->spent, 0, sizeof(fold->spent));
}

void
sl_money_fold_forget(struct sl_money_fold *fold)
{
	sl_list_init(&fold->changed);
	forget_spent(fold);
	for (size_t i = 0; i < BUCKETS; i++) {
		while (fold->attempts[i]) {
			struct open_attempt *gone = fold->attempts[i];

			fold->attempts[i] = gone->next;
			free(gone);
		}
		while (i < SUM_BUCKETS && fold->sums[i]) {
			struct open_attempt *gone = fold->sums[i];

			fold->sums[i] = gone->next;
			free(gone);
		}
		while (i < SUM_BUCKETS && fold->settled[i]) {
			struct settled *gone = fold->settled[i];

			fold->settled[i] = gone->next;
			free(gone);
		}
	}
	money_books_forget(&fold->books);
	fold->loaded = false;
}

void
sl_money_fold_free(struct sl_money_fold *fold)
{
	if (!fold)
		return;
	sl_money_fold_forget(fold);
	money_books_forget(&fold->books);
	free(fold);
}

/* --- books ---------------------------------------------------------------------------- */

static int64_t
payer_book(const struct sl_attempt_row *row, bool held)
{
	int64_t part = row->prepaid ? SL_BOOK_AVAILABLE : SL_BOOK_OWED;

	return (int64_t)row->owner[0] * SL_BOOK_PARTS + part + (held ? 1 : 0);
}

/* --- spent ------------------------------------------------------------------------------ */

void
sl_money_spent_of(const struct sl_attempt_row *row, unsigned scope, int64_t amount,
                  struct sl_spent_row out[SL_WINDOW_COUNT])
{
	int32_t day = row->day[scope];
	const int32_t period[SL_WINDOW_COUNT] = { day, sl_week_of_day(day), sl_month_of_day(day), 0 };

	for (int w = 0; w < SL_WINDOW_COUNT; w++)
		out[w] = (struct sl_spent_row){ row->owner[scope], (uint8_t)w, period[w], amount };
}

static enum sl_err
add_spent(struct sl_money_fold *fold, const struct sl_attempt_row *row, int64_t amount)
{
	struct sl_spent_row rows[SL_WINDOW_COUNT];

	for (unsigned s = 0; s < row->scope_count && amount != 0; s++) {
		sl_money_spent_of(row, s, amount, rows);
		for (int w = 0; w < SL_WINDOW_COUNT; w++) {
			size_t hash = (rows[w].owner * 31u + (uint32_t)rows[w].period) * 4u + (uint32_t)w;
			struct spent **bucket = &fold->spent[hash % SUM_BUCKETS], *at = *bucket;

			while (at && (at->row.owner != rows[w].owner || at->row.window != w ||
			              at->row.period != rows[w].period))
				at = at->next;
			if (at) {
				at->row.amount += amount;
				continue;
			}
			at = malloc(sizeof(*at));
			if (!at)
				return SL_ENOMEM;
			*at = (struct spent){ *bucket, fold->first_spent, rows[w] };
			*bucket = fold->first_spent = at;
		}
	}
	return SL_OK;
}

/* --- attempts ---------------------------------------------------------------------------- */

static struct open_attempt **
slot_of(struct sl_money_fold *fold, const unsigned char *id)
{
	struct open_attempt **at;
	uint64_t hash;

	/* The end of an id is random. */
	memcpy(&hash, id + 8, sizeof(hash));
	at = &fold->attempts[hash % BUCKETS];
	while (*at && memcmp((*at)->row.id, id, SL_ATTEMPT_ID_SIZE) != 0)
		at = &(*at)->next;
	return at;
}

static bool
load_open(void *context, const struct sl_attempt_row *row)
{
	struct sl_money_fold *fold = context;
	struct open_attempt **slot = slot_of(fold, row->id), *attempt;

	attempt = calloc(1, sizeof(*attempt));
	fold->loaded = attempt != NULL;
	if (!attempt)
		return false;
	sl_list_init(&attempt->changed);
	attempt->row = *row;
	attempt->stored = true;
	*slot = attempt;
	return true;
}

/* The store says how far it got. Another place than the last run left it at: that run's
 * transaction was lost, and this memory with it. */
static enum sl_err
load(struct sl_money_fold *fold, const struct sl_store_ops *ops, void *conn)
{
	uint64_t folded = 0;
	int64_t next = 0;
	enum sl_err err = ops->money->event_next(conn, &next);

	if (err == SL_OK)
		err = sl_money_meta_get(ops, conn, SL_MONEY_META_FOLDED, &folded);
	if (fold->loaded && (folded != fold->folded || next != fold->books.next_entry))
		sl_money_fold_forget(fold);
	fold->folded = folded;
	fold->books.event = fold->books.next_entry = next;
	fold->books.ops = ops;
	fold->books.conn = conn;
	if (err != SL_OK || fold->loaded)
		return err;
	fold->loaded = true;
	err = ops->money->attempt_each(conn, true, load_open, fold);
	if (err == SL_OK && !fold->loaded)
		err = SL_ENOMEM;
	if (err != SL_OK)
		sl_money_fold_forget(fold);
	return err;
}

static struct sl_slice
id_of(const struct sl_attempt_row *row)
{
	return sl_slice_make(row->id, sizeof(row->id));
}

/* From the payer's books and the operator's to the cost book, as one event. */
static enum sl_err
post_cost(struct sl_money_fold *fold, int64_t charged, int64_t overrun, const char *kind,
          struct sl_slice reference, int64_t wall_ms)
{
	enum sl_err err = money_post(&fold->books, SL_BOOK_OVERRUN, -overrun, kind, reference,
	                             wall_ms);

	if (err == SL_OK)
		err = money_post(&fold->books, SL_BOOK_COST, charged + overrun, kind, reference,
		                 wall_ms);
	return err;
}

/* The entries of an end whose hold was posted as `held`. */
static enum sl_err
post_end(struct sl_money_fold *fold, const struct sl_attempt_row *row, int64_t held,
         const char *kind)
{
	enum sl_err err;

	fold->books.event++;
	err = money_post(&fold->books, payer_book(row, true), -held, kind, id_of(row),
	                 row->end_wall_ms);
	if (err == SL_OK)
		err = money_post(&fold->books, payer_book(row, false), held - row->charged, kind,
		                 id_of(row), row->end_wall_ms);
	if (err == SL_OK)
		err = post_cost(fold, row->charged, row->overrun, kind, id_of(row), row->end_wall_ms);
	return err;
}

/* The end of one that was never posted: posted with its likes, at the end of the batch. */
static enum sl_err
add_settled(struct sl_money_fold *fold, const struct sl_attempt_row *row)
{
	int64_t book = payer_book(row, false);
	struct settled **bucket = &fold->settled[(uint64_t)book % SUM_BUCKETS], *at = *bucket;

	if (row->charged + row->overrun == 0)
		return SL_OK;
	while (at && at->book != book)
		at = at->next;
	if (!at) {
		at = calloc(1, sizeof(*at));
		if (!at)
			return SL_ENOMEM;
		at->next = *bucket;
		at->book = book;
		memcpy(at->id, row->id, sizeof(at->id));
		*bucket = at;
	}
	at->count++;
	at->wall_ms = row->end_wall_ms;
	if (__builtin_add_overflow(at->charged, row->charged, &at->charged) ||
	    __builtin_add_overflow(at->overrun, row->overrun, &at->overrun))
		return SL_ELIMIT;
	return SL_OK;
}

static enum sl_err
post_settled(struct sl_money_fold *fold, const struct settled *settled)
{
	const char *kind = settled->count == 1 ? "settle" : "settled";
	struct sl_slice reference = sl_slice_make((const char *)settled->id, sizeof(settled->id));
	char text[32];
	enum sl_err err;

	if (settled->count > 1) {
		snprintf(text, sizeof(text), "%u attempts", settled->count);
		reference = sl_slice_str(text);
	}
	fold->books.event++;
	err = money_post(&fold->books, settled->book, -settled->charged, kind, reference,
	                 settled->wall_ms);
	if (err == SL_OK)
		err = post_cost(fold, settled->charged, settled->overrun, kind, reference,
		                settled->wall_ms);
	return err;
}

/* Ends an attempt; its memory goes. */
static enum sl_err
end_attempt(struct sl_money_fold *fold, struct open_attempt **slot, enum sl_attempt_state state,
            int64_t cost, int64_t wall_ms)
{
	struct open_attempt *attempt = *slot;
	struct sl_attempt_row *row = &attempt->row;
	int64_t held = row->held;
	enum sl_err err;

	row->state = (uint8_t)state;
	if (row->policy == SL_UNKNOWN_COUNTED && cost > held)
		row->held = cost; /* nothing limits it */
	row->charged = cost < row->held ? cost : row->held;
	row->overrun = cost - row->charged;
	row->end_wall_ms = wall_ms;
	if (SL_PLANTED("double-settle") && cost > 0)
		post_end(fold, row, held, "settle");
	if (SL_PLANTED("release-after-settle") && cost > 0)
		money_post(&fold->books, payer_book(row, false), row->held, "release", id_of(row), wall_ms);
	err = attempt->stored ? fold->books.ops->money->attempt_update(fold->books.conn, row)
	                      : fold->books.ops->money->attempt_add(fold->books.conn, row);
	if (err == SL_OK)
		err = !attempt->stored ? add_settled(fold, row)
		                       : post_end(fold, row, held, state == SL_ATTEMPT_RELEASED
		                                                       ? "release" : "settle");
	if (err == SL_OK)
		err = add_spent(fold, row, row->charged);
	if (err == SL_OK && fold->lost)
		err = money_lost_add(fold->lost, row);
	if (err == SL_OK) {
		*slot = attempt->next;
		sl_list_remove(&attempt->changed);
		free(attempt);
	}
	return err;
}

static void
put_scopes(struct sl_attempt_row *row, const uint32_t owner[MONEY_SCOPES_FIRST],
           const int32_t day[MONEY_SCOPES_FIRST], const struct money_place *fifth)
{
	memcpy(row->owner, owner, MONEY_SCOPES_FIRST * sizeof(row->owner[0]));
	memcpy(row->day, day, MONEY_SCOPES_FIRST * sizeof(row->day[0]));
	row->owner[MONEY_SCOPES_FIRST] = fifth->owner;
	row->day[MONEY_SCOPES_FIRST] = fifth->day;
}

/* NULL: no memory. */
static struct open_attempt *
new_attempt(const struct money_hold *hold, uint8_t scope_count)
{
	struct open_attempt *attempt = calloc(1, sizeof(*attempt));
	struct sl_attempt_row *row;

	if (!attempt)
		return NULL;
	sl_list_init(&attempt->changed);
	row = &attempt->row;
	memcpy(row->id, hold->id, sizeof(row->id));
	memcpy(row->request, hold->request, sizeof(row->request));
	put_scopes(row, hold->owner, hold->day, &hold->fifth);
	row->attempt_no = hold->attempt & MONEY_ATTEMPT_MAX;
	row->target = hold->attempt >> MONEY_ATTEMPT_BITS;
	row->price_version = hold->price_version;
	row->scope_count = scope_count;
	row->held = hold->amount;
	row->begin_wall_ms = hold->wall_ms;
	return attempt;
}

static enum sl_err
begin_attempt(struct sl_money_fold *fold, const struct sl_journal_record *record)
{
	struct open_attempt **slot, *attempt;
	struct money_hold hold;
	struct sl_attempt_row *row;

	memcpy(&hold, record->body, sizeof(hold));
	slot = slot_of(fold, hold.id);
	if (*slot)
		return SL_EDUPLICATE;
	attempt = new_attempt(&hold, record->small[0]);
	if (!attempt)
		return SL_ENOMEM;
	row = &attempt->row;
	row->policy = record->small[1];
	row->prepaid = (record->small[2] & HOLD_PREPAID) != 0;
	/* In strict mode the first byte may go out as soon as the hold is on the disk. */
	row->state = record->small[2] & HOLD_STRICT ? SL_ATTEMPT_DISPATCHED : SL_ATTEMPT_HELD;
	sl_list_push_back(&fold->changed, &attempt->changed);
	*slot = attempt;
	return SL_OK;
}

static enum sl_err
mark_attempt(struct sl_money_fold *fold, const struct sl_journal_record *record)
{
	struct open_attempt **slot;
	struct money_mark mark;

	memcpy(&mark, record->body, sizeof(mark));
	slot = slot_of(fold, mark.id);
	if (!*slot)
		return SL_ENOTFOUND;
	if (record->kind == MONEY_RELEASE)
		return end_attempt(fold, slot, SL_ATTEMPT_RELEASED, 0, mark.wall_ms);
	(*slot)->row.state = SL_ATTEMPT_DISPATCHED;
	if (mark.cost > (*slot)->row.progress)
		(*slot)->row.progress = mark.cost;
	sl_list_remove(&(*slot)->changed);
	sl_list_push_back(&fold->changed, &(*slot)->changed);
	return SL_OK;
}

static enum sl_err
settle_attempt(struct sl_money_fold *fold, const struct sl_journal_record *record)
{
	struct open_attempt **slot;
	struct money_settle settle;

	memcpy(&settle, record->body, sizeof(settle));
	slot = slot_of(fold, settle.id);
	if (!*slot)
		return SL_ENOTFOUND;
	(*slot)->row.usage_source = record->small[0];
	(*slot)->row.input_tokens = settle.input_tokens;
	(*slot)->row.output_tokens = settle.output_tokens;
	return end_attempt(fold, slot, SL_ATTEMPT_SETTLED, settle.cost, settle.wall_ms);
}

static bool
is_sum(const struct sl_attempt_row *row, const struct sl_journal_record *record,
       const struct money_spent *spent)
{
	return row->scope_count == record->small[0] && row->usage_source == record->small[1] &&
	       row->price_version == spent->price_version && row->held < SUM_MAX &&
	       memcmp(row->owner, spent->owner, sizeof(spent->owner)) == 0 &&
	       memcmp(row->day, spent->day, sizeof(spent->day)) == 0 &&
	       row->owner[MONEY_SCOPES_FIRST] == spent->fifth.owner &&
	       row->day[MONEY_SCOPES_FIRST] == spent->fifth.day;
}

static enum sl_err
add_to_sum(struct sl_money_fold *fold, const struct sl_journal_record *record)
{
	struct open_attempt **bucket, *at;
	struct sl_attempt_row *row;
	struct money_spent spent;

	memcpy(&spent, record->body, sizeof(spent));
	at = *(bucket = &fold->sums[spent.owner[0] % SUM_BUCKETS]);
	while (at && !is_sum(&at->row, record, &spent))
		at = at->next;
	if (!at) {
		at = calloc(1, sizeof(*at));
		if (!at)
			return SL_ENOMEM;
		sl_list_init(&at->changed);
		row = &at->row;
		memcpy(row->id, spent.id, sizeof(row->id));
		put_scopes(row, spent.owner, spent.day, &spent.fifth);
		row->scope_count = record->small[0];
		row->usage_source = record->small[1];
		row->price_version = spent.price_version;
		row->begin_wall_ms = spent.wall_ms;
		at->next = *bucket;
		*bucket = at;
	}
	row = &at->row;
	row->attempt_no += spent.count;
	row->held += spent.cost;
	row->input_tokens += spent.input_tokens;
	row->output_tokens += spent.output_tokens;
	row->end_wall_ms = spent.wall_ms;
	return SL_OK;
}

static enum sl_err
put_owner(struct sl_money_fold *fold, const struct sl_journal_record *record)
{
	struct sl_money_owner_row row = { .kind = record->small[0] };
	size_t size = record->small[1], part = record->small[2];
	struct money_owner owner;

	memcpy(&owner, record->body, sizeof(owner));
	if (record->kind == MONEY_OWNER)
		fold->name_len = 0;
	if (size > NAME_SIZE || part > OWNER_TEXT || fold->name_len + part > size)
		return SL_ESYNTAX;
	memcpy(fold->name + fold->name_len, owner.text, part);
	fold->name_len += part;
	if (fold->name_len < size)
		return SL_OK;
	row.number = owner.number;
	row.name = sl_slice_make(fold->name, size);
	return fold->books.ops->money->owner_put(fold->books.conn, &row);
}

static enum sl_err
put_lease(struct sl_money_fold *fold, const struct sl_journal_record *record)
{
	struct money_lease lease;

	memcpy(&lease, record->body, sizeof(lease));
	return fold->books.ops->money->lease_put(fold->books.conn, lease.number, lease.mark);
}

static enum sl_err
put_claim(struct sl_money_fold *fold, const struct sl_journal_record *record)
{
	struct sl_claim_row row = { .charged = -1 };
	struct money_claim claim;

	memcpy(&claim, record->body, sizeof(claim));
	row.name = sl_slice_make((const char *)claim.name, sizeof(claim.name));
	row.digest = sl_slice_make((const char *)claim.digest, sizeof(claim.digest));
	row.expires_wall_ms = claim.expires_wall_ms;
	memcpy(row.request, claim.request, sizeof(row.request));
	if (record->kind == MONEY_CLAIM)
		return fold->books.ops->money->claim_put(fold->books.conn, &row);
	return fold->books.ops->money->claim_drop(fold->books.conn, row.name, row.request);
}

static enum sl_err
fold_one(struct sl_money_fold *fold, const struct sl_journal_record *record)
{
	switch (record->kind) {
	case MONEY_OWNER:
	case MONEY_OWNER_REST:
		return put_owner(fold, record);
	case MONEY_HOLD:
		return begin_attempt(fold, record);
	case MONEY_DISPATCHED:
	case MONEY_PROGRESS:
	case MONEY_RELEASE:
		return mark_attempt(fold, record);
	case MONEY_SETTLE:
		return settle_attempt(fold, record);
	case MONEY_LEASE:
		return put_lease(fold, record);
	case MONEY_SPENT:
		return add_to_sum(fold, record);
	case MONEY_CLAIM:
	case MONEY_UNCLAIM:
		return put_claim(fold, record);
	default:
		return SL_ESYNTAX;
	}
}

size_t
sl_money_fold_whole(const struct sl_journal_record *records, size_t count)
{
	if (count > 1 && records[count - 1].kind == MONEY_OWNER &&
	    records[count - 1].small[2] < records[count - 1].small[1])
		count--;
	return count;
}

/* --- the end of a batch -------------------------------------------------------------------- */

static enum sl_err
store_open(struct sl_money_fold *fold, struct open_attempt *attempt)
{
	struct sl_attempt_row *row = &attempt->row;
	enum sl_err err;

	sl_list_remove(&attempt->changed);
	if (attempt->stored)
		return fold->books.ops->money->attempt_update(fold->books.conn, row);
	attempt->stored = true;
	err = fold->books.ops->money->attempt_add(fold->books.conn, row);
	fold->books.event++;
	if (err == SL_OK)
		err = money_post(&fold->books, payer_book(row, false), -row->held, "hold", id_of(row),
		           row->begin_wall_ms);
	if (err == SL_OK)
		err = money_post(&fold->books, payer_book(row, true), row->held, "hold", id_of(row),
		           row->begin_wall_ms);
	return err;
}

static enum sl_err
flush(struct sl_money_fold *fold)
{
	enum sl_err err = SL_OK;

	for (size_t i = 0; i < SUM_BUCKETS && err == SL_OK; i++)
		while (fold->sums[i] && err == SL_OK)
			err = end_attempt(fold, &fold->sums[i], SL_ATTEMPT_SETTLED,
			                  fold->sums[i]->row.held, fold->sums[i]->row.end_wall_ms);
	for (size_t i = 0; i < SUM_BUCKETS && err == SL_OK; i++) {
		while (fold->settled[i] && err == SL_OK) {
			struct settled *gone = fold->settled[i];

			err = post_settled(fold, gone);
			fold->settled[i] = gone->next;
			free(gone);
		}
	}
	while (!sl_list_empty(&fold->changed) && err == SL_OK)
		err = store_open(fold, SL_CONTAINER(fold->changed.next, struct open_attempt, changed));
	if (err == SL_OK)
		err = money_books_flush(&fold->books);
	for (struct spent *at = fold->first_spent; at && err == SL_OK; at = at->after)
		err = fold->books.ops->money->spent_add(fold->books.conn, &at->row);
	forget_spent(fold);
	return err;
}

/* What failed is taken back in the store, so it must be here. */
static enum sl_err
ended(struct sl_money_fold *fold, enum sl_err err)
{
	if (err == SL_OK)
		err = flush(fold);
	if (err != SL_OK)
		sl_money_fold_forget(fold);
	return err;
}

enum sl_err
sl_money_fold_records(struct sl_money_fold *fold, const struct sl_store_ops *ops, void *conn,
                      const struct sl_journal_record *records, size_t count)
{
	enum sl_err err = load(fold, ops, conn);
	uint64_t folded = fold->folded;

	for (size_t i = 0; i < count && err == SL_OK; i++) {
		if (records[i].seq <= folded)
			continue;
		err = fold_one(fold, &records[i]);
		if (err != SL_OK)
			sl_log(SL_LOG_ERROR, "a record of the journal cannot be folded",
			       SL_LOG_I("seq", records[i].seq), SL_LOG_I("kind", records[i].kind),
			       SL_LOG_Z("error", sl_err_text(err)));
	}
	err = ended(fold, err);
	if (err == SL_OK && count > 0 && records[count - 1].seq > folded &&
	    !SL_PLANTED("split-recovery"))
		err = sl_money_meta_put(ops, conn, SL_MONEY_META_FOLDED,
		                        fold->folded = records[count - 1].seq);
	return err;
}

/* --- after a crash ---------------------------------------------------------------------------- */

static int64_t
cost_by_policy(const struct sl_attempt_row *row)
{
	switch (row->policy) {
	case SL_UNKNOWN_HOLD:
		return row->held;
	case SL_UNKNOWN_RELEASE:
		return 0;
	case SL_UNKNOWN_COUNTED:
		return row->progress;
	default:
		return row->progress < row->held ? row->progress : row->held;
	}
}

/* What a slip says of its attempt. */
static void
read_slip(const struct money_slip *slip, int64_t now_wall_ms, struct sl_attempt_row *row)
{
	row->policy = SL_UNKNOWN_COUNTED;
	row->progress = slip->cost;
	row->end_wall_ms = now_wall_ms;
	if (slip->state == SLIP_SETTLED || slip->state == SLIP_MARK) {
		row->usage_source = slip->source;
		row->input_tokens = slip->input_tokens;
		row->output_tokens = slip->output_tokens;
		row->end_wall_ms = slip->hold.wall_ms + slip->took_ms;
	} else if (slip->state == SLIP_DISPATCHED) {
		row->usage_source = SL_USAGE_PARTIAL;
	}
}

/* The attempt is in the store, but its request may have no record. */
static enum sl_err
take_mark(struct sl_money_fold *fold, const struct money_slip *slip,
          const struct sl_money_left *left)
{
	struct open_attempt *attempt = new_attempt(&slip->hold, slip->scope_count);
	enum sl_err err;

	if (!attempt)
		return SL_ENOMEM;
	read_slip(slip, left->now_wall_ms, &attempt->row);
	attempt->row.state = SL_ATTEMPT_SETTLED;
	attempt->row.charged = slip->cost; /* with what went over the hold */
	err = money_lost_add(fold->lost, &attempt->row);
	free(attempt);
	return err;
}

/* What a slip says has happened, unless a record with it was written. */
static enum sl_err
take_slip(struct sl_money_fold *fold, const struct money_slip *slip,
          const struct sl_money_left *left, struct sl_money_recovery *recovery)
{
	static const enum sl_attempt_state states[] = {
		[SLIP_HELD] = SL_ATTEMPT_RELEASED, [SLIP_DISPATCHED] = SL_ATTEMPT_UNKNOWN_SETTLED,
		[SLIP_SETTLED] = SL_ATTEMPT_SETTLED,
	};
	bool recorded = slip->seq > 0 && slip->seq <= left->last_seq;
	struct open_attempt **slot, *attempt;
	enum sl_err err;

	if (slip->state == SLIP_FREE || slip->state > SLIP_MARK)
		return SL_OK;
	if (recorded && slip->state != SLIP_HELD)
		return take_mark(fold, slip, left);
	/* The first of its two records may be there, or that of an attempt that has others. */
	if (recorded || slip->state == SLIP_MARK)
		return SL_OK;
	slot = slot_of(fold, slip->hold.id);
	if (!*slot) {
		*slot = new_attempt(&slip->hold, slip->scope_count);
		if (!*slot)
			return SL_ENOMEM;
	}
	attempt = *slot;
	read_slip(slip, left->now_wall_ms, &attempt->row);
	recovery->found++;
	recovery->released += slip->state == SLIP_HELD;
	if (slip->state == SLIP_DISPATCHED) {
		recovery->settled++;
		recovery->charged += slip->cost;
	}
	err = end_attempt(fold, slot, states[slip->state],
	                  slip->state == SLIP_HELD ? 0 : slip->cost, attempt->row.end_wall_ms);
	if (err != SL_EEXIST)
		return err;
	/* A board older than the store, as a copy of the machine's memory may be. */
	*slot = attempt->next;
	sl_list_remove(&attempt->changed);
	free(attempt);
	return SL_OK;
}

static enum sl_err
end_open(struct sl_money_fold *fold, const struct sl_money_left *left,
         struct sl_money_recovery *recovery)
{
	enum sl_err err = SL_OK;

	for (size_t i = 0; i < BUCKETS && err == SL_OK; i++) {
		while (fold->attempts[i] && err == SL_OK) {
			struct open_attempt **slot = &fold->attempts[i];
			bool sent = (*slot)->row.state == SL_ATTEMPT_DISPATCHED;
			int64_t cost = sent ? cost_by_policy(&(*slot)->row) : 0;

			if (sent)
				(*slot)->row.usage_source = (*slot)->row.policy == SL_UNKNOWN_HOLD
				                                ? SL_USAGE_BOUND : SL_USAGE_PARTIAL;
			recovery->released += !sent;
			recovery->settled += sent;
			recovery->charged += cost;
			err = end_attempt(fold, slot, sent ? SL_ATTEMPT_UNKNOWN_SETTLED
			                                   : SL_ATTEMPT_RELEASED, cost,
			                  left->now_wall_ms);
		}
	}
	return err;
}

enum sl_err
sl_money_fold_resolve(struct sl_money_fold *fold, const struct sl_store_ops *ops, void *conn,
                      const struct sl_money_left *left, struct sl_money_recovery *recovery)
{
	struct money_lost lost = { 0 };
	enum sl_err err = load(fold, ops, conn);

	fold->lost = &lost;
	for (size_t i = 0; i < left->slip_count && err == SL_OK; i++)
		err = take_slip(fold, &left->slips[i], left, recovery);
	if (err == SL_OK)
		err = end_open(fold, left, recovery);
	fold->lost = NULL;
	err = ended(fold, err);
	if (err == SL_OK)
		err = money_lost_record(&lost, ops, conn, &recovery->records);
	money_lost_release(&lost);
	return err;
}

enum sl_err
sl_money_fold_credit(struct sl_money_fold *fold, const struct sl_store_ops *ops, void *conn,
                     const struct sl_money_credit *credit, uint32_t owner)
{
	static const struct {
		const char *name;
		int64_t     book;
	} kinds[] = {
		[SL_CREDIT_TOPUP] = { "topup", SL_BOOK_TOPUP },
		[SL_CREDIT_REFUND] = { "refund", SL_BOOK_CORRECTION },
		[SL_CREDIT_CORRECTION] = { "correction", SL_BOOK_CORRECTION },
		[SL_CREDIT_VOUCHER] = { "voucher", SL_BOOK_PROMO },
	};
	struct sl_slice reference = credit->kind == SL_CREDIT_VOUCHER ? SL_SLICE("voucher")
	                                                              : credit->external_id;
	int64_t available = 0;
	enum sl_err err = load(fold, ops, conn);

	if (err == SL_OK)
		err = money_book_balance(&fold->books, (int64_t)owner * SL_BOOK_PARTS, &available);
	if (err == SL_OK && available + credit->amount < 0)
		err = SL_ELIMIT;
	if (err != SL_OK)
		return ended(fold, err);
	fold->books.event++;
	err = money_post(&fold->books, kinds[credit->kind].book, -credit->amount, kinds[credit->kind].name,
	           reference, credit->now_wall_ms);
	if (err == SL_OK)
		err = money_post(&fold->books, (int64_t)owner * SL_BOOK_PARTS, credit->amount,
		           kinds[credit->kind].name, reference, credit->now_wall_ms);
	return ended(fold, err);
}

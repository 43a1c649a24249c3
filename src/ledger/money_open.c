/* money_open.c - recovery, folding in the background, the end.
 *
 * Recovery, in this order: the journal is replayed into the store in batches, each with
 * the sequence it reached; in one transaction what is still open, and what slips tell, is
 * resolved, the epoch of this process becomes durable and memory is read from the store;
 * the journal starts anew, in that epoch. A crash anywhere in it is met by doing it again.
 *
 * Afterwards the log thread submits a fold when records are written that are not in
 * the store. One is under way at a time. One that fails (a full disk) is tried again
 * every FOLD_RETRY_MS; the store's health refuses holds meanwhile.
 */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "ledger/money_internal.h"
#include "store/store.h"

enum { FOLD_RETRY_MS = 250, REPLAY_BATCH = FOLD_BATCH };

static _Thread_local char reason_text[256];

/* --- folding ---------------------------------------------------------------------------- */

static void
run_fold(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct sl_money *money = SL_CONTAINER(job, struct sl_money, fold_job);
	size_t count = sl_journal_read(money->journal, money->fold_from, money->batch, FOLD_BATCH);

	count = sl_money_fold_whole(money->batch, count);
	money->fold_upto = money->fold_from + count - 1;
	job->err = sl_money_fold_records(money->fold, ops, conn, money->batch, count);
}

static void
fold_done(struct sl_store_job *job)
{
	struct sl_money *money = SL_CONTAINER(job, struct sl_money, fold_job);

	if (job->err == SL_OK) {
		atomic_store(&money->folded, money->fold_upto);
		sl_journal_folded(money->journal, money->fold_upto);
	}
	pthread_mutex_lock(&money->fold_lock);
	atomic_store(&money->folding, false);
	pthread_cond_signal(&money->fold_done);
	pthread_mutex_unlock(&money->fold_lock);
}

/* Log thread, and the closing one after it. */
static void
submit_fold(struct sl_money *money, uint64_t written)
{
	uint64_t folded = atomic_load(&money->folded), now_ns = sl_clock_mono_ns();

	if (written <= folded || atomic_load(&money->folding))
		return;
	/* The last one failed. */
	if (money->fold_from == folded + 1 && now_ns < money->fold_retry_ns)
		return;
	money->fold_retry_ns = now_ns + (uint64_t)FOLD_RETRY_MS * 1000000u;
	money->fold_from = folded + 1;
	atomic_store(&money->folding, true);
	if (sl_store_submit(money->store, &money->fold_job) != SL_OK)
		atomic_store(&money->folding, false);
}

void
money_advanced(void *context, uint64_t written, uint64_t synced)
{
	struct sl_money *money = context;

	pthread_mutex_lock(&money->lock);
	money->synced = synced;
	money_wake_waiting(money, SL_OK);
	pthread_mutex_unlock(&money->lock);
	money_slips_gather(money, false);
	submit_fold(money, written);
}

void
money_journal_failed(void *context)
{
	struct sl_money *money = context;

	pthread_mutex_lock(&money->lock);
	money->failed = true;
	money_wake_waiting(money, SL_EIO);
	pthread_mutex_unlock(&money->lock);
}

/* --- recovery ------------------------------------------------------------------------------ */

struct start {
	struct sl_store_job job;
	sem_t               resolved;
	struct sl_money    *money;
	struct sl_money_recovery *recovery;
	int64_t             now_wall_ms;
	uint64_t            instance, epoch, folded, slips_resolved;
	struct sl_money_left left;
	size_t              count; /* records in money->batch */
	bool                is_new; /* the instance is not in the store yet */
	bool                failed;
};

static enum sl_err
run(struct start *start, void (*work)(struct sl_store_job *, const struct sl_store_ops *, void *))
{
	start->job = (struct sl_store_job){ .run = work };
	return sl_store_run(start->money->store, &start->job);
}

/* Nothing bears the new epoch, or is believed for a new instance, before run_resolve. */
static void
run_read(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct start *start = SL_CONTAINER(job, struct start, job);

	job->err = ops->money ? SL_OK : SL_EUNSUPPORTED;
	if (job->err == SL_OK)
		job->err = sl_money_meta_get(ops, conn, SL_MONEY_META_INSTANCE, &start->instance);
	if (job->err == SL_OK)
		job->err = sl_money_meta_get(ops, conn, SL_MONEY_META_EPOCH, &start->epoch);
	if (job->err == SL_OK)
		job->err = sl_money_meta_get(ops, conn, SL_MONEY_META_FOLDED, &start->folded);
	if (job->err == SL_OK)
		job->err = sl_money_meta_get(ops, conn, SL_MONEY_META_SLIPS, &start->slips_resolved);
	start->is_new = start->instance == 0;
	if (start->is_new)
		start->instance = sl_rand_u64() >> 2 | 1;
	start->epoch++;
}

static void
run_batch(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct start *start = SL_CONTAINER(job, struct start, job);
	struct sl_money *money = start->money;

	job->err = sl_money_fold_records(money->fold, ops, conn, money->batch, start->count);
}

static void
run_folded(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct start *start = SL_CONTAINER(job, struct start, job);

	job->err = sl_money_meta_put(ops, conn, SL_MONEY_META_FOLDED, start->folded);
}

/* Folds what was gathered; the first part of a long name stays for the next batch. */
static enum sl_err
fold_gathered(struct start *start)
{
	struct sl_money *money = start->money;
	size_t whole = sl_money_fold_whole(money->batch, start->count), rest = start->count - whole;
	enum sl_err err;

	if (start->count == 0)
		return SL_OK;
	start->count = whole;
	start->recovery->replayed += whole;
	err = run(start, run_batch);
	if (err == SL_OK && SL_PLANTED("split-recovery")) {
		start->folded = money->batch[whole - 1].seq;
		err = run(start, run_folded);
	}
	if (rest)
		money->batch[0] = money->batch[whole];
	start->count = rest;
	return err;
}

static enum sl_err
gather(void *context, const struct sl_journal_record *record)
{
	struct start *start = context;
	enum sl_err err = SL_OK;

	start->money->batch[start->count++] = *record;
	if (start->count == REPLAY_BATCH)
		err = fold_gathered(start);
	return err;
}

/* --- memory from the store ------------------------------------------------------------------- */

struct loading {
	struct start    *start;
	struct account **by_number;
	size_t           size;
};

static bool
load_owner(void *context, const struct sl_money_owner_row *row)
{
	struct loading *loading = context;
	struct account *account = money_account_restore(loading->start->money, row);

	if (account && row->number >= loading->size) {
		size_t size = (size_t)row->number * 2 + 64;
		struct account **grown = row->number < MONEY_OWNERS_MAX
		    ? realloc(loading->by_number, size * sizeof(*grown)) : NULL;

		if (!grown) {
			account = NULL;
		} else {
			memset(grown + loading->size, 0, (size - loading->size) * sizeof(*grown));
			loading->by_number = grown;
			loading->size = size;
		}
	}
	if (account)
		loading->by_number[row->number] = account;
	else
		loading->start->failed = true;
	return account != NULL;
}

static struct account *
by_number(const struct loading *loading, int64_t number)
{
	return number >= 0 && (size_t)number < loading->size ? loading->by_number[number] : NULL;
}

static bool
load_book(void *context, const struct sl_book_row *row)
{
	struct loading *loading = context;
	struct account *account = by_number(loading, row->book / SL_BOOK_PARTS);

	if (account && row->book % SL_BOOK_PARTS == SL_BOOK_AVAILABLE)
		account->available = row->balance;
	if (row->book == SL_BOOK_OVERRUN)
		loading->start->money->overrun = -row->balance;
	return true;
}

/* Rows come in the order of periods: the latest ones stay. */
static bool
load_spent(void *context, const struct sl_spent_row *row)
{
	struct loading *loading = context;
	struct account *account = by_number(loading, row->owner);

	if (!account || row->window >= SL_WINDOW_COUNT)
		return true;
	if (row->window == SL_WINDOW_TOTAL)
		account->total.spent = row->amount;
	else
		money_sum(account, (enum sl_money_window)row->window, row->period)->spent = row->amount;
	return true;
}

static enum sl_err
load(struct start *start, const struct sl_store_ops *ops, void *conn)
{
	struct loading loading = { .start = start };
	enum sl_err err = ops->money->owner_each(conn, load_owner, &loading);

	if (err == SL_OK && start->failed)
		err = SL_ENOMEM;
	if (err == SL_OK)
		err = ops->money->book_each(conn, load_book, &loading);
	if (err == SL_OK)
		err = ops->money->spent_each(conn, load_spent, &loading);
	free(loading.by_number);
	return err;
}

static void
run_resolve(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct start *start = SL_CONTAINER(job, struct start, job);

	job->err = sl_money_fold_resolve(start->money->fold, ops, conn, &start->left,
	                                 start->recovery);
	if (job->err == SL_OK && start->is_new)
		job->err = sl_money_meta_put(ops, conn, SL_MONEY_META_INSTANCE, start->instance);
	if (job->err == SL_OK)
		job->err = sl_money_meta_put(ops, conn, SL_MONEY_META_EPOCH, start->epoch);
	if (job->err == SL_OK)
		job->err = sl_money_meta_put(ops, conn, SL_MONEY_META_FOLDED, start->folded);
	if (job->err == SL_OK)
		job->err = sl_money_meta_put(ops, conn, SL_MONEY_META_SLIPS, start->epoch - 1);
	if (job->err == SL_OK)
		job->err = load(start, ops, conn);
}

static void
resolved(struct sl_store_job *job)
{
	sem_post(&SL_CONTAINER(job, struct start, job)->resolved);
}

/* While the disk syncs what this writes, the journal's files are settled. */
static enum sl_err
resolve(struct start *start, const char **reason)
{
	struct sl_money *money = start->money;
	enum sl_err err, settled;

	start->job = (struct sl_store_job){ .run = run_resolve, .done = resolved };
	sem_init(&start->resolved, 0, 0);
	err = sl_store_submit(money->store, &start->job);
	settled = sl_journal_settle(money->journal, reason);
	if (err == SL_OK) {
		while (sem_wait(&start->resolved) != 0)
			continue; /* a signal; the job is on its way */
		err = start->job.err;
	}
	sem_destroy(&start->resolved);
	return err != SL_OK ? err : settled;
}

/* --- open ----------------------------------------------------------------------------------------- */

static enum sl_err
recover(struct start *start, const struct sl_journal_options *options, const char **reason)
{
	struct sl_money *money = start->money;
	struct sl_journal_sink sink = { .advanced = money_advanced,
		                        .failed = money_journal_failed, .context = money };
	struct sl_journal_options with = *options;
	uint64_t last = 0;
	enum sl_err err = run(start, run_read);

	if (err != SL_OK)
		return err;
	with.instance = start->instance;
	money->journal = sl_journal_open(&with, reason);
	if (!money->journal)
		return SL_EIO;
	err = sl_journal_replay(money->journal, start->folded, gather, start, &last);
	while (err == SL_OK && start->count > 0)
		err = fold_gathered(start);
	start->folded = last;
	start->left = (struct sl_money_left){ .last_seq = last, .now_wall_ms = start->now_wall_ms };
	money_slips_open(money, start->slips_resolved, &start->left);
	if (err == SL_OK)
		err = resolve(start, reason);
	if (err != SL_OK)
		return err;
	money_slips_begin(money, start->epoch);
	atomic_store(&money->folded, last);
	money->synced = last;
	return sl_journal_start(money->journal, last, start->epoch, &sink);
}

static struct sl_money *
make(struct sl_store *store, const struct sl_money_options *options)
{
	struct sl_money *money = calloc(1, sizeof(*money));
	pthread_condattr_t attr;

	if (!money)
		return NULL;
	money->store = store;
	money->durability = options->durability;
	money->bucket_count = MONEY_BUCKETS;
	money->next_number = 1;
	money->fold_job = (struct sl_store_job){ .run = run_fold, .done = fold_done };
	sl_list_init(&money->waiting);
	sl_list_init(&money->spare);
	pthread_mutex_init(&money->lock, NULL);
	pthread_mutex_init(&money->fold_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&money->fold_done, &attr);
	pthread_condattr_destroy(&attr);
	money->buckets = calloc(money->bucket_count, sizeof(*money->buckets));
	money->fold = sl_money_fold_new();
	money->batch = malloc(sizeof(*money->batch) * FOLD_BATCH);
	return money;
}

static void
destroy(struct sl_money *money)
{
	sl_journal_free(money->journal);
	for (size_t i = 0; money->buckets && i < money->bucket_count; i++) {
		while (money->buckets[i]) {
			struct account *gone = money->buckets[i];

			money->buckets[i] = gone->next;
			free(gone);
		}
	}
	while (money->slabs) {
		struct slab *gone = money->slabs;

		money->slabs = gone->next;
		free(gone);
	}
	free(money->buckets);
	free(money->batch);
	sl_money_fold_free(money->fold);
	pthread_mutex_destroy(&money->lock);
	pthread_mutex_destroy(&money->fold_lock);
	pthread_cond_destroy(&money->fold_done);
	free(money);
}

struct sl_money *
sl_money_open(struct sl_store *store, const struct sl_money_options *options,
              struct sl_money_recovery *recovery, const char **reason)
{
	struct sl_money_recovery unasked = { 0 };
	struct start start = { .money = make(store, options), .now_wall_ms = options->now_wall_ms,
		               .recovery = recovery ? recovery : &unasked };
	uint64_t began_ns = sl_clock_mono_ns();
	char ring[4096];
	struct sl_journal_options journal = {
		.path = options->journal_path,
		.ring_path = options->ring_path ? options->ring_path : ring,
		.ring_slots = options->ring_slots ? options->ring_slots : 65536,
		.segment_records = options->segment_records ? options->segment_records : 65536,
		.sync_ms = options->sync_ms ? options->sync_ms : 5,
		.board_size = money_board_size(),
	};
	enum sl_err err = SL_ENOMEM;

	snprintf(ring, sizeof(ring), "%s.ring", options->journal_path);
	*start.recovery = (struct sl_money_recovery){ 0 };
	*reason = NULL;
	if (start.money && start.money->buckets && start.money->fold && start.money->batch)
		err = recover(&start, &journal, reason);
	start.recovery->took_us = (sl_clock_mono_ns() - began_ns) / 1000;
	if (err == SL_OK)
		return start.money;
	if (!*reason) {
		snprintf(reason_text, sizeof(reason_text), "the ledger cannot be recovered (%s); run "
		         "`sluice ledger verify`, or restore a backup", sl_err_text(err));
		*reason = reason_text;
	}
	if (start.money)
		destroy(start.money);
	return NULL;
}

/* The journal's thread goes on until all is written, which needs segments folded. */
bool
sl_money_close(struct sl_money *money)
{
	bool whole;

	if (!money)
		return true;
	pthread_mutex_lock(&money->fold_lock);
	for (int tries = 0; tries < 400; tries++) {
		struct timespec due;
		uint64_t appended;
		bool waiting;

		money_slips_gather(money, true);
		pthread_mutex_lock(&money->lock);
		waiting = money->slips.unrecorded > 0;
		appended = sl_journal_appended(money->journal);
		pthread_mutex_unlock(&money->lock);
		if (!waiting && atomic_load(&money->folded) == appended &&
		    !atomic_load(&money->folding))
			break;
		sl_journal_hurry(money->journal);
		clock_gettime(CLOCK_MONOTONIC, &due);
		due.tv_nsec += 10 * 1000000;
		due.tv_sec += due.tv_nsec / 1000000000;
		due.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&money->fold_done, &money->fold_lock, &due);
		if (money->failed || !sl_store_healthy(money->store))
			break;
	}
	pthread_mutex_unlock(&money->fold_lock);
	if (money->open_holds > 0)
		sl_log(SL_LOG_WARN, "holds are open at the end; the next start resolves them",
		       SL_LOG_I("open", money->open_holds));
	/* What was not folded is in the journal's files, for the next start. A fold that is
	 * under way still reads them. */
	sl_journal_stop(money->journal);
	pthread_mutex_lock(&money->fold_lock);
	while (atomic_load(&money->folding))
		pthread_cond_wait(&money->fold_done, &money->fold_lock);
	whole = atomic_load(&money->folded) == sl_journal_appended(money->journal) &&
	        money->slips.unrecorded == 0 && money->open_holds == 0;
	pthread_mutex_unlock(&money->fold_lock);
	destroy(money);
	return whole;
}

/* telemetry.c - what was done, told once: counters, log line, stored row.
 *
 * On the loop, sl_telemetry_finish counts into the loop's shard (metrics.c) and
 * appends the encoded row to the loop's queue (row_queue.c): under a microsecond,
 * no lock, and no system call unless the telemetry thread sleeps. That thread
 * takes the rows of all loops together every FLUSH_MS (under load BUSY_FLUSH_MS:
 * fewer and longer transactions), writes their access-log lines in one write and
 * hands the store one batch at a time:
 *
 *   loop --push--> queue --seen--> log lines
 *                    `------------> batch --store thread--> durable --> freed
 *
 * Each queue is read by two cursors, `seen` (logged) ahead of `stored`. While the
 * store is ill the rows stay where they are, the same batch is tried again every
 * RETRY_MS, and log lines go on. An ask gets its row's room when it begins, so rows of
 * asks that were taken are never lost for want of room; when there is none, new asks are
 * refused. Long before that a store that works, but slower than the loops, slows them
 * down: sl_telemetry_room is TIGHT and they let requests wait (pipeline/pace.h).
 * Only without memory at all is a row dropped, counted and reported as an error.
 */
#include "telemetry/telemetry.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "store/store.h"
#include "telemetry/metrics.h"
#include "telemetry/row.h"
#include "telemetry/row_queue.h"
#include "telemetry/spool.h"

enum {
	FLUSH_MS = 40,
	BUSY_FLUSH_MS = 100,
	BUSY_ROWS = 128,              /* 3,200 a second */
	RETRY_MS = 200,
	REPORT_MS = 1000,             /* between two complaints about dropped rows */
	TIDY_MS = 1000,
	LAST_TRIES_MS = 3000,         /* an ill store's chance at shutdown */
	STUCK_MS = 2000,              /* in which the store takes nothing */
	MOVED_ROWS = 1024,            /* between two looks at the clock */
	BATCH_ROWS = 32768,
	LINES_MAX_SIZE = 256 * 1024,  /* bytes of log lines per write */
	LINE_MAX_SIZE = 16 * 1024,
};
#define QUEUE_BYTES ((size_t)64 << 20)

/* One loop's part. */
struct feed {
	struct sl_metrics_shard *shard;
	struct sl_row_queue      queue;
	size_t                   open;    /* owner: loop; asks that will leave a row */
	int64_t                  last_end_wall_ms; /* owner: loop; of the last row */
	bool                     last_has_row; /* owner: loop; the record before was pushed */
	struct sl_row_cursor     seen;    /* owner: telemetry thread */
	struct sl_row_cursor     stored;  /* owner: telemetry thread */
	struct sl_row_cursor     batch;   /* owner: the running batch; up to where it read */
	uint64_t                 taken;   /* owner: telemetry thread; rows before `stored` */
	uint64_t                 due;     /* of these, as many as this round stores */
	uint64_t                 read;    /* owner: the running batch; rows before `batch` */
};

/* Rows behind `stored` of all feeds, as a store job. A round stores what there was when it
 * began, in as many batches as that takes: no loop waits for more than a round of others. */
struct batch {
	struct sl_store_job     job;
	struct sl_record_source source;
	struct sl_telemetry    *telemetry;
	size_t                  feed;    /* being read */
	size_t                  rows;
};

struct sl_telemetry {
	struct sl_store *store;          /* NULL: rows are only counted and logged */
	struct sl_spool *spool;          /* where they wait, or NULL */
	bool             access_log;
	const char      *version;
	unsigned         feed_count;
	pthread_t        thread;
	pthread_mutex_t  lock;           /* guards the three that follow */
	pthread_cond_t   wake;
	bool             woken;
	bool             stopping;
	bool             in_flight;      /* the batch is with the store */
	atomic_bool      asleep;         /* a loop that pushes must wake the thread */
	_Atomic uint64_t settled;        /* rows that are durable, or given up */
	_Atomic uint64_t rounds_begun, rounds_ended;
	_Atomic uint64_t lost;           /* rows the store refused for good */
	_Atomic uint64_t paced;          /* asks that waited for the store to catch up */
	_Atomic uint64_t skipped;        /* that were answered at the head and have no row */
	_Atomic uint64_t moved_ms;       /* it took rows, or answered a batch */
	/* owner: telemetry thread */
	struct batch     batch;
	bool             batch_out;      /* submitted, its result not yet taken */
	uint64_t         rows_seen;
	uint64_t         retry_due_ms, report_due_ms, reported, tidy_due_ms;
	struct sl_buf    lines;
	struct feed      feeds[];
};

static uint64_t
now_ms(void)
{
	return sl_clock_mono_ns() / 1000000u;
}

static void
moved(struct sl_telemetry *telemetry)
{
	atomic_store_explicit(&telemetry->moved_ms, now_ms(), memory_order_relaxed);
}

static uint64_t
pushed_rows(const struct sl_telemetry *telemetry)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < telemetry->feed_count; i++)
		sum += atomic_load(&telemetry->feeds[i].queue.pushed);
	return sum;
}

static uint64_t
dropped_rows(const struct sl_telemetry *telemetry)
{
	uint64_t sum = atomic_load_explicit(&telemetry->lost, memory_order_relaxed);

	for (unsigned i = 0; i < telemetry->feed_count; i++)
		sum += atomic_load_explicit(&telemetry->feeds[i].queue.dropped,
		                            memory_order_relaxed);
	return sum;
}

uint64_t
sl_telemetry_pending(const struct sl_telemetry *telemetry)
{
	/* What is settled first: it never passes what was pushed. */
	uint64_t settled = atomic_load(&telemetry->settled);
	uint64_t pushed = pushed_rows(telemetry);

	return pushed > settled ? pushed - settled : 0;
}

uint64_t
sl_telemetry_mark(const struct sl_telemetry *telemetry)
{
	/* The next one has them all. */
	return atomic_load(&telemetry->rounds_begun) + 1;
}

bool
sl_telemetry_stored(const struct sl_telemetry *telemetry, uint64_t mark)
{
	return atomic_load(&telemetry->rounds_ended) >= mark ||
	       sl_telemetry_pending(telemetry) == 0;
}

/* --- on the loops ---------------------------------------------------------- */

bool
sl_telemetry_begin(struct sl_telemetry *telemetry, unsigned loop_index)
{
	struct feed *feed = &telemetry->feeds[loop_index];

	sl_metrics_begin(feed->shard);
	if (!sl_row_queue_takes(&feed->queue, feed->open + 1))
		return false;
	feed->open++;
	return true;
}

static void
wake_thread(struct sl_telemetry *telemetry)
{
	if (!atomic_exchange(&telemetry->asleep, false))
		return;
	pthread_mutex_lock(&telemetry->lock);
	telemetry->woken = true;
	pthread_cond_signal(&telemetry->wake);
	pthread_mutex_unlock(&telemetry->lock);
}

void
sl_telemetry_finish(struct sl_telemetry *telemetry, unsigned loop_index,
                    struct sl_record *record)
{
	struct feed *feed = &telemetry->feeds[loop_index];
	struct sl_record_row *row = &record->row;
	bool alike;

	feed->open--;
	sl_record_complete(record);
	alike = sl_row_alike(&feed->queue, row);
	sl_metrics_finish(feed->shard, record, alike && feed->last_has_row);
	/* Its begin and its time were both cut to milliseconds. It cannot have ended before the
	 * last one; and rows in order are quicker stored. */
	if (row->end_wall_ms == feed->last_end_wall_ms - 1)
		row->end_wall_ms++;
	feed->last_end_wall_ms = row->end_wall_ms;
	feed->last_has_row = sl_row_push(&feed->queue, row, alike);
	sl_metrics_over(feed->shard);
	if (atomic_load(&telemetry->asleep))
		wake_thread(telemetry);
}

void
sl_telemetry_finish_headed(struct sl_telemetry *telemetry, unsigned loop_index,
                           struct sl_record *record)
{
	struct feed *feed = &telemetry->feeds[loop_index];

	if (!telemetry->store || sl_row_queue_roomy(&feed->queue)) {
		sl_telemetry_finish(telemetry, loop_index, record);
		return;
	}
	feed->open--;
	atomic_fetch_add_explicit(&telemetry->skipped, 1, memory_order_relaxed);
	sl_telemetry_finish_rowless(telemetry, loop_index, record);
}

enum sl_room
sl_telemetry_room(const struct sl_telemetry *telemetry, unsigned loop_index)
{
	if (!telemetry->store || !sl_row_queue_behind(&telemetry->feeds[loop_index].queue))
		return SL_ROOM_FREE;
	if (!sl_store_healthy(telemetry->store) ||
	    now_ms() > atomic_load_explicit(&telemetry->moved_ms, memory_order_relaxed) + STUCK_MS)
		return SL_ROOM_STUCK;
	return SL_ROOM_TIGHT;
}

void
sl_telemetry_paced(struct sl_telemetry *telemetry)
{
	atomic_fetch_add_explicit(&telemetry->paced, 1, memory_order_relaxed);
}

void
sl_telemetry_finish_rowless(struct sl_telemetry *telemetry, unsigned loop_index,
                            const struct sl_record *record)
{
	struct feed *feed = &telemetry->feeds[loop_index];

	feed->last_has_row = false;
	sl_metrics_finish(feed->shard, record, false);
	sl_metrics_over(feed->shard);
}

/* --- log lines ------------------------------------------------------------- */

/* Without a store, what was seen is done with. */
static void
forget_rows(struct sl_telemetry *telemetry)
{
	for (unsigned i = 0; i < telemetry->feed_count; i++)
		sl_row_free_before(&telemetry->feeds[i].queue, &telemetry->feeds[i].seen);
	atomic_store(&telemetry->settled, telemetry->rows_seen);
}

/* Moves `seen` over what has arrived, writing lines where they are wanted. Where they are
 * not, and the store has the rows, nothing is told from here: they are left untouched. */
static void
see_rows(struct sl_telemetry *telemetry)
{
	struct sl_buf *lines = &telemetry->lines;
	struct sl_record_row row = { 0 };

	if (!telemetry->access_log && telemetry->store)
		return;
	for (unsigned i = 0; i < telemetry->feed_count; i++) {
		struct feed *feed = &telemetry->feeds[i];

		while (sl_row_next(&feed->queue, &feed->seen,
		                   telemetry->access_log ? &row : NULL)) {
			telemetry->rows_seen++;
			if (!telemetry->access_log)
				continue;
			sl_access_log_append(lines, &row);
			if (lines->len > LINES_MAX_SIZE - LINE_MAX_SIZE)
				sl_log_flush(lines);
		}
	}
	if (lines->len)
		sl_log_flush(lines);
	if (!telemetry->store)
		forget_rows(telemetry);
}

static void
report_drops(struct sl_telemetry *telemetry)
{
	uint64_t dropped = dropped_rows(telemetry);

	if (dropped == telemetry->reported || now_ms() < telemetry->report_due_ms)
		return;
	sl_log(SL_LOG_ERROR, "records were dropped: the store does not keep up",
	       SL_LOG_I("dropped", dropped - telemetry->reported),
	       SL_LOG_I("dropped_total", dropped));
	telemetry->reported = dropped;
	telemetry->report_due_ms = now_ms() + REPORT_MS;
}

/* --- batches --------------------------------------------------------------- */

/* On the store thread, which has the `batch` cursors until batch_done. Nothing is
 * freed meanwhile. */
static bool
next_row(struct sl_record_source *source, struct sl_record_row *row)
{
	struct batch *batch = SL_CONTAINER(source, struct batch, source);
	struct sl_telemetry *telemetry = batch->telemetry;

	for (; batch->feed < telemetry->feed_count; batch->feed++) {
		struct feed *feed = &telemetry->feeds[batch->feed];

		if (batch->rows == BATCH_ROWS)
			return false;
		if (feed->read < feed->due && sl_row_next(&feed->queue, &feed->batch, row)) {
			feed->read++;
			if (++batch->rows % MOVED_ROWS == 0)
				moved(telemetry);
			return true;
		}
	}
	return false;
}

static void
run_batch(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct batch *batch = SL_CONTAINER(job, struct batch, job);

	job->err = ops->records_append(conn, &batch->source);
}

static void
batch_done(struct sl_store_job *job)
{
	struct sl_telemetry *telemetry = SL_CONTAINER(job, struct batch, job)->telemetry;

	pthread_mutex_lock(&telemetry->lock);
	telemetry->in_flight = false;
	pthread_cond_signal(&telemetry->wake);
	pthread_mutex_unlock(&telemetry->lock);
}

static bool
is_in_flight(struct sl_telemetry *telemetry)
{
	bool in_flight;

	pthread_mutex_lock(&telemetry->lock);
	in_flight = telemetry->in_flight;
	pthread_mutex_unlock(&telemetry->lock);
	return in_flight;
}

static bool
round_is_open(const struct sl_telemetry *telemetry)
{
	for (unsigned i = 0; i < telemetry->feed_count; i++)
		if (telemetry->feeds[i].taken < telemetry->feeds[i].due)
			return true;
	return false;
}

static void
begin_round(struct sl_telemetry *telemetry)
{
	/* First: whoever sees the number from before has pushed what is counted now. */
	atomic_fetch_add(&telemetry->rounds_begun, 1);
	for (unsigned i = 0; i < telemetry->feed_count; i++)
		telemetry->feeds[i].due = atomic_load(&telemetry->feeds[i].queue.pushed);
}

/* Rows up to where the batch read need not be kept. */
static void
settle(struct sl_telemetry *telemetry)
{
	/* What is freed must have been logged. */
	see_rows(telemetry);
	for (unsigned i = 0; i < telemetry->feed_count; i++) {
		struct feed *feed = &telemetry->feeds[i];

		feed->stored = feed->batch;
		feed->taken = feed->read;
		sl_row_free_before(&feed->queue, &feed->stored);
	}
	atomic_fetch_add(&telemetry->settled, telemetry->batch.rows);
	if (!round_is_open(telemetry))
		atomic_store(&telemetry->rounds_ended, atomic_load(&telemetry->rounds_begun));
}

/* Takes the result of a batch that came back. */
static void
take_result(struct sl_telemetry *telemetry)
{
	enum sl_err err;

	if (!telemetry->batch_out || is_in_flight(telemetry))
		return;
	telemetry->batch_out = false;
	moved(telemetry);
	err = telemetry->batch.job.err;
	switch (err) {
	case SL_OK:
		settle(telemetry);
		break;
	case SL_EFULL:
	case SL_EIO:
	case SL_EBUSY:
	case SL_ENOMEM:
	case SL_EEXIST: /* an id of theirs; they get others */
		telemetry->retry_due_ms = now_ms() + RETRY_MS;
		break;
	default:
		/* Another try would fail the same way, and hold up all that follow. */
		sl_log(SL_LOG_ERROR, "records were dropped: the store refuses them",
		       SL_LOG_I("dropped", telemetry->batch.rows),
		       SL_LOG_Z("reason", sl_err_text(err)));
		atomic_fetch_add(&telemetry->lost, telemetry->batch.rows);
		telemetry->reported += telemetry->batch.rows;
		settle(telemetry);
	}
}

static void
submit_batch(struct sl_telemetry *telemetry)
{
	struct batch *batch = &telemetry->batch;

	if (!telemetry->store || telemetry->batch_out || sl_telemetry_pending(telemetry) == 0 ||
	    now_ms() < telemetry->retry_due_ms)
		return;
	if (!round_is_open(telemetry))
		begin_round(telemetry);
	for (unsigned i = 0; i < telemetry->feed_count; i++) {
		telemetry->feeds[i].batch = telemetry->feeds[i].stored;
		telemetry->feeds[i].read = telemetry->feeds[i].taken;
	}
	batch->feed = batch->rows = 0;
	moved(telemetry);
	pthread_mutex_lock(&telemetry->lock);
	telemetry->in_flight = true;
	pthread_mutex_unlock(&telemetry->lock);
	telemetry->batch_out = true;
	if (sl_store_submit(telemetry->store, &batch->job) == SL_OK)
		return;
	/* The store's queue is full; the next turn tries again. */
	pthread_mutex_lock(&telemetry->lock);
	telemetry->in_flight = false;
	pthread_mutex_unlock(&telemetry->lock);
	telemetry->batch_out = false;
}

/* --- the thread ------------------------------------------------------------ */

static void
tidy(struct sl_telemetry *telemetry)
{
	bool idle = sl_telemetry_pending(telemetry) == 0;

	if (!telemetry->spool || (!idle && now_ms() < telemetry->tidy_due_ms))
		return;
	sl_spool_tidy(telemetry->spool, idle);
	telemetry->tidy_due_ms = now_ms() + TIDY_MS;
}

static void
turn(struct sl_telemetry *telemetry)
{
	see_rows(telemetry);
	take_result(telemetry);
	submit_batch(telemetry);
	report_drops(telemetry);
	tidy(telemetry);
}

static void
wait_until(struct sl_telemetry *telemetry, uint64_t due_ms)
{
	struct timespec due = { .tv_sec = (time_t)(due_ms / 1000),
		                .tv_nsec = (long)(due_ms % 1000 * 1000000) };

	pthread_cond_timedwait(&telemetry->wake, &telemetry->lock, &due);
}

/* How long rows may come together. A backlog of a whole batch waits for nothing more. */
static unsigned
flush_ms(const struct sl_telemetry *telemetry)
{
	uint64_t pending = sl_telemetry_pending(telemetry);

	return pending >= BUSY_ROWS && pending < BATCH_ROWS ? BUSY_FLUSH_MS : FLUSH_MS;
}

/* Sleeps while there is nothing to do, then long enough for more rows to come
 * together. False: it is time to stop. */
static bool
wait_for_rows(struct sl_telemetry *telemetry)
{
	uint64_t due_ms;
	bool stopping;

	pthread_mutex_lock(&telemetry->lock);
	if (!telemetry->stopping && sl_telemetry_pending(telemetry) == 0) {
		sl_buf_release(&telemetry->lines);
		telemetry->woken = false;
		atomic_store(&telemetry->asleep, true);
		/* A row pushed before the flag was up woke nobody. */
		if (sl_telemetry_pending(telemetry) == 0)
			while (!telemetry->woken && !telemetry->stopping)
				pthread_cond_wait(&telemetry->wake, &telemetry->lock);
		atomic_store(&telemetry->asleep, false);
		moved(telemetry);
	}
	due_ms = now_ms() + flush_ms(telemetry);
	while (!telemetry->stopping && now_ms() < due_ms)
		wait_until(telemetry, due_ms);
	stopping = telemetry->stopping;
	pthread_mutex_unlock(&telemetry->lock);
	return !stopping;
}

/* Everything that was pushed goes to the store, as far as it takes it: the time
 * runs only while it takes nothing. */
static void
finish(struct sl_telemetry *telemetry)
{
	uint64_t due_ms = now_ms() + LAST_TRIES_MS, lost, before = UINT64_MAX;

	do {
		turn(telemetry);
		pthread_mutex_lock(&telemetry->lock);
		/* The job is part of us: it must come back, however long it takes. */
		while (telemetry->in_flight)
			pthread_cond_wait(&telemetry->wake, &telemetry->lock);
		if (now_ms() < telemetry->retry_due_ms)
			wait_until(telemetry, telemetry->retry_due_ms);
		pthread_mutex_unlock(&telemetry->lock);
		take_result(telemetry);
		lost = telemetry->store ? sl_telemetry_pending(telemetry) : 0;
		if (lost < before)
			due_ms = now_ms() + LAST_TRIES_MS;
		before = lost;
	} while (lost > 0 && now_ms() < due_ms);
	telemetry->report_due_ms = 0;
	report_drops(telemetry);
	if (lost > 0)
		sl_log(SL_LOG_ERROR, "records were lost: the store refused them until the end",
		       SL_LOG_I("lost", lost));
}

static void *
thread_main(void *argument)
{
	struct sl_telemetry *telemetry = argument;

	while (wait_for_rows(telemetry))
		turn(telemetry);
	finish(telemetry);
	return NULL;
}

static int
start_thread(struct sl_telemetry *telemetry)
{
	sigset_t all, before;
	int failed;

	/* Signals belong to the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&telemetry->thread, NULL, thread_main, telemetry);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!failed)
		pthread_setname_np(telemetry->thread, "sluice-tell");
	return failed;
}

/* --- life ------------------------------------------------------------------ */

static void
release(struct sl_telemetry *telemetry)
{
	for (unsigned i = 0; i < telemetry->feed_count; i++) {
		sl_metrics_shard_free(telemetry->feeds[i].shard);
		sl_row_queue_release(&telemetry->feeds[i].queue);
	}
	sl_buf_release(&telemetry->lines);
	pthread_cond_destroy(&telemetry->wake);
	pthread_mutex_destroy(&telemetry->lock);
	free(telemetry);
}

struct sl_telemetry *
sl_telemetry_new(const struct sl_telemetry_config *config, struct sl_store *store)
{
	struct sl_telemetry *telemetry =
	    calloc(1, sizeof(*telemetry) + config->loops * sizeof(struct feed));
	pthread_condattr_t attr;
	bool complete = true;

	if (!telemetry)
		return NULL;
	telemetry->store = store;
	telemetry->spool = config->spool;
	telemetry->access_log = config->access_log;
	telemetry->version = config->version ? config->version : "unknown";
	telemetry->feed_count = config->loops;
	telemetry->batch = (struct batch){ .job = { .run = run_batch, .done = batch_done },
		                           .source.next = next_row,
		                           .telemetry = telemetry };
	sl_buf_init(&telemetry->lines, LINES_MAX_SIZE);
	pthread_mutex_init(&telemetry->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&telemetry->wake, &attr);
	pthread_condattr_destroy(&attr);
	for (unsigned i = 0; i < config->loops; i++) {
		sl_row_queue_init(&telemetry->feeds[i].queue,
		                  (config->queue_bytes ? config->queue_bytes : QUEUE_BYTES) /
		                      config->loops, config->spool);
		telemetry->feeds[i].shard = sl_metrics_shard_new();
		complete = complete && telemetry->feeds[i].shard;
	}
	if (!complete || start_thread(telemetry) != 0) {
		release(telemetry);
		return NULL;
	}
	return telemetry;
}

bool
sl_telemetry_free(struct sl_telemetry *telemetry)
{
	bool whole;

	if (!telemetry)
		return true;
	pthread_mutex_lock(&telemetry->lock);
	telemetry->stopping = true;
	pthread_cond_signal(&telemetry->wake);
	pthread_mutex_unlock(&telemetry->lock);
	pthread_join(telemetry->thread, NULL);
	whole = telemetry->store && sl_telemetry_pending(telemetry) == 0;
	release(telemetry);
	return whole;
}

/* --- metrics --------------------------------------------------------------- */

static void
put_gauges(struct sl_buf *out, const struct sl_telemetry_gauges *gauges)
{
	sl_metrics_put(out, "sluice_connections", "gauge", "Callers' connections.",
	               (double)gauges->connections);
	sl_metrics_put(out, "sluice_exchanges", "gauge", "Requests and streams being served.",
	               (double)gauges->exchanges);
	sl_metrics_put(out, "sluice_upstream_connections_open", "gauge",
	               "Connections to providers.", (double)gauges->upstream_open);
	sl_metrics_put(out, "sluice_upstream_connections_idle", "gauge",
	               "Connections to providers that wait for a request.",
	               (double)gauges->upstream_idle);
	sl_metrics_put(out, "sluice_upstream_connections_opened_total", "counter",
	               "Connections to providers ever opened.", (double)gauges->upstream_opened);
	sl_metrics_put(out, "sluice_upstream_connections_reused_total", "counter",
	               "Requests to providers on a connection that was open.",
	               (double)gauges->upstream_reused);
	sl_metrics_put(out, "sluice_keys", "gauge", "Virtual keys.", (double)gauges->keys);
	sl_metrics_put(out, "sluice_config_loaded_timestamp_seconds", "gauge",
	               "When the configuration in use was loaded.",
	               (double)gauges->config_loaded_wall_ms * 1e-3);
	sl_metrics_put(out, "sluice_money_open_holds", "gauge",
	               "Attempts in flight that money is held for.", (double)gauges->open_holds);
	sl_metrics_put(out, "sluice_money_held_usd", "gauge", "What is held for them.",
	               (double)gauges->held_nanousd / 1e9);
	sl_metrics_put(out, "sluice_money_overrun_usd_total", "counter",
	               "What attempts cost above their holds; the operator bears it.",
	               (double)gauges->overrun_nanousd / 1e9);
	sl_metrics_put(out, "sluice_money_journal_records", "gauge",
	               "Records of the ledger's journal that are not in the store yet.",
	               (double)gauges->unfolded);
	sl_metrics_put(out, "sluice_drains", "gauge",
	               "Answers that are read on although their callers hung up.",
	               (double)gauges->drains);
}

void
sl_telemetry_metrics(struct sl_telemetry *telemetry, const struct sl_telemetry_gauges *gauges,
                     struct sl_buf *out)
{
	struct sl_metrics_shard **shards = calloc(telemetry->feed_count + 1, sizeof(*shards));

	sl_buf_printf(out,
	              "# HELP sluice_build_info The version that runs.\n"
	              "# TYPE sluice_build_info gauge\n"
	              "sluice_build_info{version=\"%s\"} 1\n",
	              telemetry->version);
	if (!shards) {
		out->failed = true;
		return;
	}
	for (unsigned i = 0; i < telemetry->feed_count; i++)
		shards[i] = telemetry->feeds[i].shard;
	sl_metrics_render(shards, telemetry->feed_count, out);
	free(shards);
	put_gauges(out, gauges);
	sl_metrics_put(out, "sluice_records_pending", "gauge",
	               "Records that are not durable yet.",
	               (double)sl_telemetry_pending(telemetry));
	sl_metrics_put(out, "sluice_records_paced_total", "counter",
	               "Requests that waited for the store to catch up with records.",
	               (double)atomic_load_explicit(&telemetry->paced, memory_order_relaxed));
	sl_metrics_put(out, "sluice_records_skipped_total", "counter",
	               "Requests answered at their head that have no record, for many waited.",
	               (double)atomic_load_explicit(&telemetry->skipped, memory_order_relaxed));
	sl_metrics_put(out, "sluice_records_dropped_total", "counter",
	               "Records lost because the store did not take them.",
	               (double)dropped_rows(telemetry));
	sl_metrics_put(out, "sluice_store_healthy", "gauge",
	               "1 while the store takes writes.",
	               telemetry->store && sl_store_healthy(telemetry->store));
	sl_metrics_put_process(out);
}

/* journal.c - the ring and the log thread.
 *
 *   appended (head) --pwrite--> written --fdatasync--> synced --store--> folded
 *
 * The ring's slot of a record follows from its sequence, so head and written are all
 * the state there is. With nothing to do the thread sleeps until somebody appends;
 * with records about it wakes every sync_ms by itself, so that appending makes no
 * system call on a busy gateway.
 *
 * A segment that is full is synced before the other one is begun: replay may then
 * trust that no record before a written one is missing. When the other one is not
 * folded yet the thread waits; the ring fills, and whoever watches its room refuses
 * new work.
 */
#include "store/journal_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum { FORGET_RECORDS = 4096, IDLE_TURNS = 40, STOP_TURNS = 1000 /* of a millisecond */, WRITE_MAX = 4096 /* records */ };

static _Thread_local char reason_text[4096 + 128];

/* --- appending ------------------------------------------------------------------------ */

size_t
sl_journal_room(const struct sl_journal *journal)
{
	uint64_t head = atomic_load_explicit(&journal->head, memory_order_relaxed);
	uint64_t written = atomic_load_explicit(&journal->written, memory_order_acquire);

	return journal->options.ring_slots - (size_t)(head - written);
}

/* After a store in sequential order that rest() looks at. */
static void
wake_sleeper(struct sl_journal *journal)
{
	if (atomic_load_explicit(&journal->sleeping, memory_order_seq_cst)) {
		pthread_mutex_lock(&journal->lock);
		atomic_store_explicit(&journal->sleeping, false, memory_order_relaxed);
		pthread_cond_signal(&journal->wake);
		pthread_mutex_unlock(&journal->lock);
	}
}

static void
publish(struct sl_journal *journal, const struct sl_journal_record *record)
{
	journal->ring[record->seq & (journal->options.ring_slots - 1)] = *record;
	atomic_store_explicit(&journal->head, record->seq, memory_order_seq_cst);
	wake_sleeper(journal);
}

uint64_t
sl_journal_append(struct sl_journal *journal, struct sl_journal_record *record)
{
	record->seq = atomic_load_explicit(&journal->head, memory_order_relaxed) + 1;
	record->epoch = journal->epoch;
	record->crc = sl_journal_crc(record);
	publish(journal, record);
	return record->seq;
}

void
sl_journal_hurry(struct sl_journal *journal)
{
	pthread_mutex_lock(&journal->lock);
	if (!journal->hurry) {
		journal->hurry = true;
		pthread_cond_signal(&journal->wake);
	}
	pthread_mutex_unlock(&journal->lock);
}

void
sl_journal_nudge(struct sl_journal *journal)
{
	atomic_store_explicit(&journal->nudged, true, memory_order_seq_cst);
	wake_sleeper(journal);
}

void *
sl_journal_board(const struct sl_journal *journal)
{
	return journal->board;
}

uint64_t
sl_journal_appended(const struct sl_journal *journal)
{
	return atomic_load_explicit(&journal->head, memory_order_acquire);
}

uint64_t
sl_journal_written(const struct sl_journal *journal)
{
	return atomic_load_explicit(&journal->written, memory_order_acquire);
}

/* --- reading back --------------------------------------------------------------------- */

size_t
sl_journal_read(struct sl_journal *journal, uint64_t from, struct sl_journal_record *out,
                size_t max)
{
	size_t count = 0;
	uint64_t offset = 0;
	int fd = -1;

	pthread_mutex_lock(&journal->lock);
	for (int i = 0; i < JOURNAL_SEGMENTS; i++) {
		const struct sl_journal_segment *segment = &journal->segments[i];

		if (segment->count == 0 || from < segment->first ||
		    from >= segment->first + segment->count)
			continue;
		fd = segment->fd;
		offset = from - segment->first;
		count = segment->count - (size_t)offset;
	}
	pthread_mutex_unlock(&journal->lock);
	if (count > max)
		count = max;
	for (size_t done = 0; done < count * sizeof(*out);) {
		ssize_t got = pread(fd, (char *)out + done, count * sizeof(*out) - done,
		                    (off_t)(offset * sizeof(*out) + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return done / sizeof(*out);
		done += (size_t)got;
	}
	return count;
}

void
sl_journal_folded(struct sl_journal *journal, uint64_t seq)
{
	pthread_mutex_lock(&journal->lock);
	journal->folded = seq;
	pthread_cond_signal(&journal->wake);
	pthread_mutex_unlock(&journal->lock);
}

/* --- the log thread --------------------------------------------------------------------- */

static void
fail(struct sl_journal *journal, const char *what)
{
	if (journal->failed)
		return;
	journal->failed = true;
	sl_log(SL_LOG_ERROR, "the journal cannot be written; paid requests are refused until a "
	                     "restart", SL_LOG_Z("call", what), SL_LOG_Z("error", strerror(errno)));
	if (journal->sink.failed)
		journal->sink.failed(journal->sink.context);
}

static void
sync_current(struct sl_journal *journal)
{
	uint64_t written = sl_journal_written(journal);

	if (written == journal->synced || journal->failed)
		return;
	if (!SL_PLANTED("missing-fsync") &&
	    fdatasync(journal->segments[journal->current].fd) < 0) {
		fail(journal, "fdatasync");
		return;
	}
	journal->synced = written;
}

/* The segment for the next record; NULL: the other one is not folded yet. */
static struct sl_journal_segment *
segment_for(struct sl_journal *journal, uint64_t seq)
{
	struct sl_journal_segment *segment = &journal->segments[journal->current], *next;
	bool free_;

	if (segment->count < journal->options.segment_records)
		return segment;
	next = &journal->segments[!journal->current];
	pthread_mutex_lock(&journal->lock);
	free_ = next->count == 0 || next->first + next->count - 1 <= journal->folded;
	pthread_mutex_unlock(&journal->lock);
	if (!free_)
		return NULL;
	sync_current(journal);
	pthread_mutex_lock(&journal->lock);
	next->first = seq;
	next->count = 0;
	journal->current = !journal->current;
	pthread_mutex_unlock(&journal->lock);
	return next;
}

/* Writes what the ring holds, as far as there is room. */
static void
write_ring(struct sl_journal *journal)
{
	uint64_t head = atomic_load_explicit(&journal->head, memory_order_acquire);
	uint64_t at = sl_journal_written(journal) + 1;
	uint32_t mask = journal->options.ring_slots - 1;

	while (at <= head && !journal->failed) {
		struct sl_journal_segment *segment = segment_for(journal, at);
		uint64_t count = head - at + 1, to_wrap = mask + 1 - (at & mask);

		if (!segment || journal->failed)
			return;
		if (count > to_wrap)
			count = to_wrap;
		if (count > journal->options.segment_records - segment->count)
			count = journal->options.segment_records - segment->count;
		if (count > WRITE_MAX)
			count = WRITE_MAX;
		if (!sl_journal_pwrite(segment->fd, &journal->ring[at & mask],
		                       count * SL_JOURNAL_RECORD_SIZE,
		                       (uint64_t)segment->count * SL_JOURNAL_RECORD_SIZE)) {
			fail(journal, "write");
			return;
		}
		pthread_mutex_lock(&journal->lock);
		if (segment->count == 0)
			segment->first = at;
		segment->count += (uint32_t)count;
		pthread_mutex_unlock(&journal->lock);
		at += count;
		atomic_store_explicit(&journal->written, at - 1, memory_order_release);
	}
	if (at - journal->forgotten > FORGET_RECORDS) {
		journal->forgotten = at;
		sl_journal_forget_pages(journal);
	}
}

static void
wait_ms(struct sl_journal *journal, uint32_t ms)
{
	uint64_t due_ns = sl_clock_mono_ns() + (uint64_t)ms * 1000000u;
	struct timespec due = { .tv_sec = (time_t)(due_ns / 1000000000u),
		                .tv_nsec = (long)(due_ns % 1000000000u) };

	pthread_cond_timedwait(&journal->wake, &journal->lock, &due);
}

/* Sleeps until there is something to do; returns whether to go on. *idle counts
 * turns without a record. */
static bool
rest(struct sl_journal *journal, unsigned *idle)
{
	bool stop;

	pthread_mutex_lock(&journal->lock);
	if (!journal->hurry && !journal->stopping) {
		bool nothing = sl_journal_written(journal) == journal->folded;

		if (nothing && *idle >= IDLE_TURNS) {
			atomic_store_explicit(&journal->sleeping, true, memory_order_seq_cst);
			/* An append that did not see the flag is seen here, a nudge too. */
			while (atomic_load_explicit(&journal->sleeping, memory_order_relaxed) &&
			       !journal->hurry && !journal->stopping &&
			       !atomic_load_explicit(&journal->nudged, memory_order_seq_cst) &&
			       atomic_load_explicit(&journal->head, memory_order_seq_cst) ==
			           sl_journal_written(journal))
				pthread_cond_wait(&journal->wake, &journal->lock);
			atomic_store_explicit(&journal->sleeping, false, memory_order_relaxed);
			*idle = 0;
		} else {
			wait_ms(journal, journal->options.sync_ms);
		}
	} else if (journal->stopping && *idle > 0) {
		wait_ms(journal, 1); /* the last records wait for a segment */
	}
	journal->hurry = false;
	if (atomic_exchange(&journal->nudged, false) && !journal->stopping)
		*idle = 0;
	stop = journal->stopping && (journal->failed || *idle > STOP_TURNS ||
	       atomic_load_explicit(&journal->head, memory_order_acquire) ==
	           sl_journal_written(journal));
	pthread_mutex_unlock(&journal->lock);
	return !stop;
}

static void *
thread_main(void *argument)
{
	struct sl_journal *journal = argument;
	unsigned idle = 0;
	bool going = true;

	while (going) {
		uint64_t before = journal->synced;

		going = rest(journal, &idle);
		write_ring(journal);
		sync_current(journal);
		idle = journal->synced == before ? idle + 1 : 0;
		if (!journal->failed && journal->sink.advanced)
			journal->sink.advanced(journal->sink.context, sl_journal_written(journal),
			                       journal->synced);
	}
	return NULL;
}

/* --- open, start, free -------------------------------------------------------------------- */

/* errno says why. */
static void
explain(const char *what, const char **reason)
{
	snprintf(reason_text, sizeof(reason_text), "the ledger's journal %s cannot be "
	         "opened at its full size: %s", what, strerror(errno));
	*reason = reason_text;
}

struct sl_journal *
sl_journal_open(const struct sl_journal_options *options, const char **reason)
{
	struct sl_journal *journal = calloc(1, sizeof(*journal));
	pthread_condattr_t attr;
	const char *what = "";

	if (!journal) {
		*reason = "out of memory";
		return NULL;
	}
	journal->options = *options;
	if (!sl_journal_open_files(journal, &what)) {
		explain(what, reason);
		sl_journal_close_files(journal);
		free(journal);
		return NULL;
	}
	pthread_mutex_init(&journal->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&journal->wake, &attr);
	pthread_condattr_destroy(&attr);
	return journal;
}

enum sl_err
sl_journal_settle(struct sl_journal *journal, const char **reason)
{
	const char *what;

	if (sl_journal_settle_files(journal, &what))
		return SL_OK;
	explain(what, reason);
	return SL_EIO;
}

enum sl_err
sl_journal_start(struct sl_journal *journal, uint64_t last, uint64_t epoch,
                 const struct sl_journal_sink *sink)
{
	sigset_t all, before;

	journal->sink = *sink;
	journal->epoch = epoch;
	journal->folded = journal->synced = last;
	atomic_store(&journal->head, last);
	atomic_store(&journal->written, last);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	journal->running = pthread_create(&journal->thread, NULL, thread_main, journal) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!journal->running)
		return SL_ENOMEM;
	pthread_setname_np(journal->thread, "sluice-journal");
	return SL_OK;
}

void
sl_journal_stop(struct sl_journal *journal)
{
	if (!journal->running)
		return;
	pthread_mutex_lock(&journal->lock);
	journal->stopping = true;
	pthread_cond_signal(&journal->wake);
	pthread_mutex_unlock(&journal->lock);
	pthread_join(journal->thread, NULL);
	journal->running = false;
}

void
sl_journal_free(struct sl_journal *journal)
{
	if (!journal)
		return;
	sl_journal_stop(journal);
	sl_journal_close_files(journal);
	pthread_cond_destroy(&journal->wake);
	pthread_mutex_destroy(&journal->lock);
	free(journal);
}

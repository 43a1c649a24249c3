/* store.c - the store thread and its queue.
 *
 * Jobs wait in one bounded list under a mutex that is held for a few
 * instructions only; there are tens of jobs a second, never one per request. The
 * thread takes all that wait, runs them in one transaction (each behind its own
 * mark, so that one that fails takes nothing else with it), commits, and only
 * then tells their owners: group commit, one fsync for as many jobs as arrived
 * during the last one.
 *
 * Health:
 *
 *   WELL --a job or commit fails with EFULL, EIO, EBUSY--> ILL
 *   ILL  --a probe write commits (every SL_STORE_PROBE_MS)--> WELL
 *
 * Only the probe ends ILL: reading jobs succeed on a full disk and say nothing
 * about writing. While ILL every job is still tried, because a failing write is
 * cheap and its owner wants the reason.
 */
#include "store/store.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

enum { GROUP_MAX = 64 }; /* jobs in one transaction */

struct sl_store {
	const struct sl_store_ops *ops;
	void                      *conn;   /* owner: store thread */
	pthread_t                  thread;
	pthread_mutex_t            lock;   /* guards what follows */
	pthread_cond_t             wake;
	struct sl_task            *head;
	struct sl_task           **tail;
	size_t                     count;
	bool                       stopping;
	atomic_bool                healthy; /* shared: atomic */
	uint64_t                   probe_due_ms; /* owner: store thread */
};

static const struct sl_store_ops *const kinds[] = {
#define SL_STORE(id) &sl_store_##id,
#include "store/stores.def"
#undef SL_STORE
};

static uint64_t
now_ms(void)
{
	return sl_clock_mono_ns() / 1000000u;
}

static bool
is_disk_trouble(enum sl_err err)
{
	return err == SL_EFULL || err == SL_EIO || err == SL_EBUSY;
}

static void
fall_ill(struct sl_store *store, enum sl_err err)
{
	if (!is_disk_trouble(err))
		return;
	if (!atomic_exchange_explicit(&store->healthy, false, memory_order_relaxed))
		return;
	store->probe_due_ms = now_ms() + SL_STORE_PROBE_MS;
	sl_log(SL_LOG_ERROR, "the store refuses writes; records wait in memory until it is well",
	       SL_LOG_Z("store", store->ops->scheme), SL_LOG_Z("reason", sl_err_text(err)));
}

/* One small real write. */
static void
probe(struct sl_store *store)
{
	const struct sl_store_ops *ops = store->ops;
	char text[32];
	enum sl_err err = ops->begin(store->conn);

	store->probe_due_ms = now_ms() + SL_STORE_PROBE_MS;
	if (err == SL_OK) {
		snprintf(text, sizeof(text), "%lld", (long long)sl_clock_wall_ms());
		err = ops->meta_put(store->conn, "probed_wall_ms", sl_slice_str(text));
		if (err == SL_OK)
			err = ops->commit(store->conn);
		if (err != SL_OK)
			ops->rollback(store->conn);
	}
	if (err != SL_OK)
		return;
	atomic_store_explicit(&store->healthy, true, memory_order_relaxed);
	sl_log(SL_LOG_INFO, "the store takes writes again",
	       SL_LOG_Z("store", store->ops->scheme));
}

static void
deliver(struct sl_task *task)
{
	struct sl_store_job *job = SL_CONTAINER(task, struct sl_store_job, task);

	if (job->done)
		job->done(job);
}

/* Runs one job behind a mark. False: the whole transaction is lost. */
static bool
run_marked(struct sl_store *store, struct sl_store_job *job)
{
	const struct sl_store_ops *ops = store->ops;

	job->err = ops->mark(store->conn);
	if (job->err != SL_OK)
		return false;
	job->run(job, ops, store->conn);
	if (job->err == SL_OK) {
		job->err = ops->keep(store->conn);
		return job->err == SL_OK;
	}
	return ops->undo(store->conn) == SL_OK;
}

/* Every job that ran well so far shares the transaction's fate. */
static void
fail_jobs(struct sl_store_job **jobs, size_t count, enum sl_err err)
{
	for (size_t i = 0; i < count; i++)
		if (jobs[i]->err == SL_OK)
			jobs[i]->err = err;
}

/* Runs jobs in one transaction; returns how many it took, at least one. */
static size_t
run_transaction(struct sl_store *store, struct sl_store_job **jobs, size_t count)
{
	const struct sl_store_ops *ops = store->ops;
	enum sl_err err = ops->begin(store->conn);

	if (err != SL_OK) {
		fall_ill(store, err);
		for (size_t i = 0; i < count; i++)
			jobs[i]->err = err;
		return count;
	}
	for (size_t i = 0; i < count; i++) {
		bool whole = run_marked(store, jobs[i]);

		fall_ill(store, jobs[i]->err);
		if (!whole) {
			ops->rollback(store->conn);
			fail_jobs(jobs, i, jobs[i]->err);
			return i + 1;
		}
	}
	err = ops->commit(store->conn);
	if (err != SL_OK) {
		ops->rollback(store->conn);
		fall_ill(store, err);
		fail_jobs(jobs, count, err);
	}
	return count;
}

static void
run_group(struct sl_store *store, struct sl_store_job **jobs, size_t count)
{
	size_t ran = 0;

	while (ran < count)
		ran += run_transaction(store, jobs + ran, count - ran);
	for (size_t i = 0; i < count; i++) {
		struct sl_store_job *job = jobs[i];

		job->task.run = deliver;
		/* The owner may free the job as soon as it was handed over. */
		if (job->loop)
			sl_loop_post(job->loop, &job->task);
		else
			deliver(&job->task);
	}
}

static void
wait_until(struct sl_store *store, uint64_t due_ms)
{
	struct timespec due = { .tv_sec = (time_t)(due_ms / 1000),
		                .tv_nsec = (long)(due_ms % 1000 * 1000000) };

	pthread_cond_timedwait(&store->wake, &store->lock, &due);
}

/* Waits for work and takes up to GROUP_MAX jobs; none when a probe is due or, with
 * *stop set, when all was done. */
static size_t
take_jobs(struct sl_store *store, struct sl_store_job **jobs, bool *stop)
{
	size_t count = 0;

	pthread_mutex_lock(&store->lock);
	while (!store->head && !store->stopping) {
		if (sl_store_healthy(store))
			pthread_cond_wait(&store->wake, &store->lock);
		else if (now_ms() < store->probe_due_ms)
			wait_until(store, store->probe_due_ms);
		else
			break;
	}
	while (store->head && count < GROUP_MAX) {
		jobs[count++] = SL_CONTAINER(store->head, struct sl_store_job, task);
		store->head = store->head->next;
	}
	if (!store->head)
		store->tail = &store->head;
	store->count -= count;
	*stop = store->stopping && count == 0;
	pthread_mutex_unlock(&store->lock);
	return count;
}

static void *
thread_main(void *argument)
{
	struct sl_store *store = argument;
	struct sl_store_job *jobs[GROUP_MAX];
	bool stop = false;

	while (!stop) {
		size_t count = take_jobs(store, jobs, &stop);

		if (count > 0)
			run_group(store, jobs, count);
		if (!stop && !sl_store_healthy(store) && now_ms() >= store->probe_due_ms)
			probe(store);
	}
	return NULL;
}

enum sl_err
sl_store_submit(struct sl_store *store, struct sl_store_job *job)
{
	enum sl_err err = SL_EBUSY;

	pthread_mutex_lock(&store->lock);
	if (store->count < SL_STORE_JOBS_MAX && !store->stopping) {
		job->task.next = NULL;
		*store->tail = &job->task;
		store->tail = &job->task.next;
		store->count++;
		err = SL_OK;
		pthread_cond_signal(&store->wake);
	}
	pthread_mutex_unlock(&store->lock);
	return err;
}

struct waiter {
	struct sl_store_job  job;
	struct sl_store_job *target;
	sem_t                done;
};

static void
waiter_run(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct waiter *waiter = SL_CONTAINER(job, struct waiter, job);

	waiter->target->err = SL_OK;
	waiter->target->run(waiter->target, ops, conn);
	job->err = waiter->target->err;
}

static void
waiter_done(struct sl_store_job *job)
{
	sem_post(&SL_CONTAINER(job, struct waiter, job)->done);
}

enum sl_err
sl_store_run(struct sl_store *store, struct sl_store_job *job)
{
	struct waiter waiter = { .job = { .run = waiter_run, .done = waiter_done },
		                 .target = job };

	enum sl_err err;

	sem_init(&waiter.done, 0, 0);
	err = sl_store_submit(store, &waiter.job);
	if (err == SL_OK) {
		while (sem_wait(&waiter.done) != 0)
			continue; /* a signal; the job is on its way */
		err = waiter.job.err;
	}
	sem_destroy(&waiter.done);
	job->err = err;
	return err;
}

bool
sl_store_healthy(const struct sl_store *store)
{
	return atomic_load_explicit(&store->healthy, memory_order_relaxed);
}

static const struct sl_store_ops *
find_kind(struct sl_slice scheme)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (sl_slice_is(scheme, kinds[i]->scheme))
			return kinds[i];
	return NULL;
}

/* Signals belong to the main thread. */
static int
start_thread(struct sl_store *store)
{
	sigset_t all, before;
	int failed;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&store->thread, NULL, thread_main, store);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!failed)
		pthread_setname_np(store->thread, "sluice-store");
	return failed;
}

struct sl_store *
sl_store_new(struct sl_slice url, const char **reason)
{
	struct sl_slice rest = url;
	struct sl_slice scheme = sl_slice_cut(&rest, ':');
	const struct sl_store_ops *ops = find_kind(scheme);
	struct sl_store *store;
	pthread_condattr_t attr;

	if (!ops || scheme.len == url.len) {
		*reason = "the store must be written as sqlite:PATH, for example sqlite:sluice.db";
		return NULL;
	}
	store = calloc(1, sizeof(*store));
	if (!store) {
		*reason = "out of memory";
		return NULL;
	}
	store->ops = ops;
	if (ops->open(rest, &store->conn, reason) != SL_OK) {
		free(store);
		return NULL;
	}
	store->tail = &store->head;
	atomic_store(&store->healthy, true);
	pthread_mutex_init(&store->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&store->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (start_thread(store) != 0) {
		*reason = "the store's thread could not be started";
		ops->close(store->conn);
		free(store);
		return NULL;
	}
	return store;
}

enum sl_err
sl_store_open_reader(struct sl_slice url, const struct sl_store_ops **ops, void **conn,
                     const char **reason)
{
	struct sl_slice rest = url;
	struct sl_slice scheme = sl_slice_cut(&rest, ':');

	*ops = find_kind(scheme);
	if (!*ops || scheme.len == url.len) {
		*reason = "the store must be written as sqlite:PATH, for example sqlite:sluice.db";
		return SL_EINVAL;
	}
	return (*ops)->open_reader(rest, conn, reason);
}

void
sl_store_free(struct sl_store *store)
{
	if (!store)
		return;
	pthread_mutex_lock(&store->lock);
	store->stopping = true;
	pthread_cond_signal(&store->wake);
	pthread_mutex_unlock(&store->lock);
	pthread_join(store->thread, NULL);
	store->ops->close(store->conn);
	pthread_cond_destroy(&store->wake);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

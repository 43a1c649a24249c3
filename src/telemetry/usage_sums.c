/* usage_sums.c - ask the store's thread for what a key used.
 *
 *   SUMS --nothing else is asked--> done
 *     '---> RECORDS --a piece, more to come--> RECORDS
 *              '------ended, or nobody waits--> done
 *
 * Each piece is a job of its own: what others have to write goes between them.
 */
#include "telemetry/usage_sums.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "store/store.h"
#include "telemetry/settled.h"
#include "telemetry/usage_scan.h"

enum {
	HOURS_MAX = (SL_USAGE_DAYS_MAX + 1) * 24,
	PIECE = 20000, /* records: some 20 ms */
	TEXT_BYTES_MAX = 4 * 1024 * 1024,
};

struct reading {
	struct sl_usage_sums sums;
	struct sl_store_job  job;
	struct sl_store     *store;
	struct sl_settled    settled;
	bool                 asked; /* the store's thread has the job */
	struct sl_log_query  query;
	uint32_t             looked_at;
	bool                 has_hours; /* or nobody asked for them */
	bool                 scans;
	struct sl_usage_scan scan;
};

static bool
take(void *context, const struct sl_spend_row *row)
{
	struct reading *reading = context;

	if (!sl_slice_eq(row->name, reading->query.key_id))
		return true;
	reading->sums.hours[reading->sums.count++] = (struct sl_usage_hour){
		.hour = row->hour,
		.requests = row->requests,
		.input_tokens = row->input_tokens,
		.output_tokens = row->output_tokens,
		.cost_nanousd = row->cost_nanousd,
	};
	return reading->sums.count < HOURS_MAX;
}

static bool
take_record(void *context, const struct sl_log_row *row)
{
	return sl_usage_scan_take(context, row);
}

static void
run(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct reading *reading = SL_CONTAINER(job, struct reading, job);
	const struct sl_spend_query query = {
		.by = SL_SPEND_KEY,
		.since_wall_ms = reading->query.since_wall_ms,
		.until_wall_ms = reading->query.until_wall_ms,
		.hourly = true,
	};

	job->err = SL_OK;
	if (!reading->has_hours)
		job->err = ops->spend(conn, &query, take, reading);
	reading->has_hours = true;
	if (job->err != SL_OK || !reading->scans)
		return;
	job->err = ops->log->each(conn, &reading->query, take_record, &reading->scan);
	reading->looked_at += PIECE;
}

static void
tell(struct reading *reading)
{
	struct sl_usage_sums *sums = &reading->sums;
	struct sl_usage_scan *scan = &reading->scan;

	if (reading->scans && reading->query.ended) {
		sl_usage_scan_end(scan);
		sums->has_times = scan->question.times;
		sums->times = scan->times;
	} else if (reading->scans && scan->hours && sums->err == SL_OK) {
		sums->err = SL_ELIMIT;
	}
	if (scan->out_of_memory)
		sums->err = SL_ENOMEM;
	if (scan->hours)
		sums->count = scan->hour_count;
	sums->calls = scan->calls;
	sums->call_count = scan->call_count;
	sums->done(sums);
}

static void
job_done(struct sl_store_job *job)
{
	struct reading *reading = SL_CONTAINER(job, struct reading, job);

	reading->sums.err = job->err;
	if (job->err == SL_OK && reading->scans && !reading->query.ended && reading->sums.user &&
	    reading->looked_at < SL_USAGE_RECORDS_MAX) {
		reading->sums.err = sl_store_submit(reading->store, job);
		if (reading->sums.err == SL_OK)
			return;
	}
	tell(reading);
}

/* Of their owner, whose request may end before. */
static bool
copy_question(struct reading *reading, const struct sl_usage_question *question)
{
	struct sl_usage_question *to = &reading->scan.question;
	struct sl_slice *texts[] = { &to->provider, &to->model, &to->team, &to->end_user,
		                     &to->tag };

	*to = *question;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		*texts[i] = sl_arena_dup(&reading->scan.arena, *texts[i]);
		if (!texts[i]->ptr)
			return false;
	}
	if (to->calls > SL_USAGE_CALLS_MAX)
		to->calls = SL_USAGE_CALLS_MAX;
	return true;
}

static bool
prepare(struct reading *reading, struct sl_slice key_id, const struct sl_usage_question *question)
{
	struct sl_usage_scan *scan = &reading->scan;
	bool narrowed = sl_usage_is_narrowed(question);

	sl_arena_init(&scan->arena, 1024, TEXT_BYTES_MAX);
	if (!copy_question(reading, question))
		return false;
	reading->query = (struct sl_log_query){
		.key_id = sl_arena_dup(&scan->arena, key_id),
		.since_wall_ms = question->since_wall_ms,
		.until_wall_ms = question->until_wall_ms,
		.most = PIECE,
	};
	reading->scans = narrowed || question->times || question->calls > 0;
	reading->has_hours = narrowed;
	reading->sums.hours = calloc(HOURS_MAX, sizeof(reading->sums.hours[0]));
	if (narrowed && question->calls == 0) {
		scan->hours = reading->sums.hours;
		scan->hour_room = HOURS_MAX;
	}
	if (question->calls > 0)
		scan->calls = SL_ARENA_ARRAY(&scan->arena, struct sl_usage_call,
		                             scan->question.calls);
	return reading->query.key_id.ptr && reading->sums.hours &&
	       (question->calls == 0 || scan->calls);
}

/* Not from within the start. */
static void
refuse(struct sl_timer *timer)
{
	struct reading *reading = SL_CONTAINER(timer, struct reading, settled.timer);

	reading->sums.err = SL_EBUSY;
	tell(reading);
}

static void
settled(struct sl_settled *settled)
{
	struct reading *reading = SL_CONTAINER(settled, struct reading, settled);

	reading->asked = sl_store_submit(reading->store, &reading->job) == SL_OK;
	if (reading->asked)
		return;
	reading->settled.timer.on_due = refuse;
	sl_timer_set(reading->job.loop, &reading->settled.timer, 0);
}

struct sl_usage_sums *
sl_usage_sums_start(struct sl_store *store, struct sl_telemetry *telemetry, struct sl_loop *loop,
                    struct sl_slice key_id, const struct sl_usage_question *question,
                    void (*done)(struct sl_usage_sums *sums), void *user)
{
	struct reading *reading = calloc(1, sizeof(*reading));

	if (!reading)
		return NULL;
	reading->store = store;
	reading->sums.done = done;
	reading->sums.user = user;
	reading->job = (struct sl_store_job){ .loop = loop, .run = run, .done = job_done };
	if (prepare(reading, key_id, question)) {
		sl_settled_wait(&reading->settled, telemetry, loop, settled);
		return &reading->sums;
	}
	sl_usage_sums_free(&reading->sums);
	return NULL;
}

void
sl_usage_sums_leave(struct sl_usage_sums *sums)
{
	struct reading *reading = SL_CONTAINER(sums, struct reading, sums);

	sums->user = NULL;
	if (reading->asked)
		return;
	sl_settled_cancel(&reading->settled);
	sl_usage_sums_free(sums);
}

void
sl_usage_sums_free(struct sl_usage_sums *sums)
{
	struct reading *reading;

	if (!sums)
		return;
	reading = SL_CONTAINER(sums, struct reading, sums);
	sl_arena_release(&reading->scan.arena);
	free(sums->hours);
	free(reading);
}

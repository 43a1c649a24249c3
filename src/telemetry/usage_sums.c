/* usage_sums.c - ask the store's thread for the hours of a key. */
#include "telemetry/usage_sums.h"

#include <stdlib.h>
#include <string.h>

#include "store/store.h"

enum { KEY_ID_MAX = 64, HOURS_MAX = (SL_USAGE_DAYS_MAX + 1) * 24 };

struct reading {
	struct sl_usage_sums sums;
	struct sl_store_job  job;
	char                 key_id[KEY_ID_MAX];
	size_t               key_id_len;
	int64_t              since_wall_ms, until_wall_ms;
};

static bool
take(void *context, const struct sl_spend_row *row)
{
	struct reading *reading = context;

	if (!sl_slice_eq(row->name, sl_slice_make(reading->key_id, reading->key_id_len)))
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

static void
run(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct reading *reading = SL_CONTAINER(job, struct reading, job);
	const struct sl_spend_query query = {
		.by = SL_SPEND_KEY,
		.since_wall_ms = reading->since_wall_ms,
		.until_wall_ms = reading->until_wall_ms,
		.hourly = true,
	};

	job->err = ops->spend(conn, &query, take, reading);
}

static void
job_done(struct sl_store_job *job)
{
	struct reading *reading = SL_CONTAINER(job, struct reading, job);

	reading->sums.err = job->err;
	reading->sums.done(&reading->sums);
}

struct sl_usage_sums *
sl_usage_sums_start(struct sl_store *store, struct sl_loop *loop, struct sl_slice key_id,
                    int64_t since_wall_ms, int64_t until_wall_ms,
                    void (*done)(struct sl_usage_sums *sums), void *user)
{
	struct reading *reading = calloc(1, sizeof(*reading));

	if (!reading || key_id.len > KEY_ID_MAX)
		goto fail;
	reading->sums.done = done;
	reading->sums.user = user;
	reading->sums.hours = calloc(HOURS_MAX, sizeof(reading->sums.hours[0]));
	memcpy(reading->key_id, key_id.ptr, key_id.len);
	reading->key_id_len = key_id.len;
	reading->since_wall_ms = since_wall_ms;
	reading->until_wall_ms = until_wall_ms;
	reading->job = (struct sl_store_job){ .loop = loop, .run = run, .done = job_done };
	if (reading->sums.hours && sl_store_submit(store, &reading->job) == SL_OK)
		return &reading->sums;
fail:
	if (reading)
		free(reading->sums.hours);
	free(reading);
	return NULL;
}

void
sl_usage_sums_free(struct sl_usage_sums *sums)
{
	if (!sums)
		return;
	free(sums->hours);
	free(SL_CONTAINER(sums, struct reading, sums));
}

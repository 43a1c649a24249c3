/* store_bench.c - what a record costs: on the loop, on its way to the disk, and when
 * somebody asks for the spend of a million.
 *
 *   make build/bench/store_bench && build/bench/store_bench [DIRECTORY] [ROWS] [KEYS]
 *   (default: . 1000000 200)
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/store.h"
#include "telemetry/telemetry.h"

enum { KEYS = 200, MODELS = 20 };

static double
cpu_s(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static double
now_s(void)
{
	return (double)sl_clock_mono_ns() * 1e-9;
}

struct spend_job {
	struct sl_store_job   job;
	struct sl_spend_query query;
	int64_t               requests;
};

static bool
see_spend(void *context, const struct sl_spend_row *row)
{
	((struct spend_job *)context)->requests += row->requests;
	return true;
}

static void
run_spend(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct spend_job *s = SL_CONTAINER(job, struct spend_job, job);

	job->err = ops->spend(conn, &s->query, see_spend, s);
}

static void
ask_spend(struct sl_store *store, const char *what, int64_t since, int64_t until)
{
	struct spend_job s = { .job.run = run_spend, .query = { SL_SPEND_KEY, since, until } };
	double began = now_s();

	if (sl_store_run(store, &s.job) != SL_OK)
		exit(1);
	printf("spend by key, %-28s %8.1f ms (%lld asks)\n", what, (now_s() - began) * 1e3,
	       (long long)s.requests);
}

int
main(int argc, char **argv)
{
	struct sl_telemetry_config config = { .loops = 1 };
	long rows = argc > 2 ? atol(argv[2]) : 1000000;
	long used_keys = argc > 3 && atol(argv[3]) < KEYS ? atol(argv[3]) : KEYS;
	const int64_t first = 1700000000000;
	char url[256], path[240], keys[KEYS][32], models[MODELS][32];
	struct sl_record record = {
		.row.request_id = SL_SLICE("req_01HZX3J9Q3N8Y5T2W7V4K6M1P0"),
		.row.trace_id = SL_SLICE("0af7651916cd43dd8448eb211c80319c"),
		.row.team = SL_SLICE("search"), .row.surface = SL_SLICE("gateway"),
		.row.shape = SL_SLICE("openai_chat"), .row.operation = SL_SLICE("chat"),
		.row.model_requested = SL_SLICE("openai/gpt-4o-mini"), .row.provider = SL_SLICE("openai"),
		.row.model_reported = SL_SLICE("gpt-4o-mini-2024-07-18"), .row.status = 200,
		.row.upstream_status = 200, .priced = true, .row.cost_nanousd = 123456,
		.row.price_date = SL_SLICE("2025-01-01"), .row.attempts = 1, .row.bytes_in = 512,
		.row.bytes_out = 2048, .row.total_us = 350000, .row.first_content_us = 120000,
		.row.upstream_us = 349000, .row.added_us = 42,
	};
	double began, loop_s = 0, thread_s, all_s;
	const char *reason = "";
	struct sl_telemetry *telemetry;
	struct sl_store *store;

	snprintf(path, sizeof(path), "%s/store_bench.db", argc > 1 ? argv[1] : ".");
	snprintf(url, sizeof(url), "sqlite:%s", path);
	for (int i = 0; i < KEYS; i++)
		snprintf(keys[i], sizeof(keys[i]), "vk_01HZX3J9Q3N8Y5T2W7V4K6M%03d", i);
	for (int i = 0; i < MODELS; i++)
		snprintf(models[i], sizeof(models[i]), "gpt-4o-mini-%d", i);
	record.usage.source = SL_USAGE_REPORTED;
	sl_usage_set(&record.usage, SL_USAGE_INPUT, 100);
	sl_usage_set(&record.usage, SL_USAGE_OUTPUT, 20);

	began = now_s();
	store = sl_store_new(sl_slice_str(url), &reason);
	if (!store) {
		fprintf(stderr, "%s\n", reason);
		return 1;
	}
	printf("open, new file                             %8.1f ms\n", (now_s() - began) * 1e3);
	telemetry = sl_telemetry_new(&config, store);
	if (!telemetry)
		return 1;
	began = now_s();
	all_s = cpu_s(CLOCK_PROCESS_CPUTIME_ID);
	for (long i = 0; i < rows;) {
		double burst = cpu_s(CLOCK_THREAD_CPUTIME_ID);

		/* Bursts of 1000, never more than the queue holds. */
		for (long k = 0; k < 1000 && i < rows; k++, i++) {
			record.row.key_id = sl_slice_str(keys[i * 7 % used_keys]);
			record.row.model_served = sl_slice_str(models[i / 3 % (used_keys < MODELS ? used_keys : MODELS)]);
			record.row.begin_wall_ms = first + i / 30; /* a million a day */
			sl_telemetry_begin(telemetry, 0);
			sl_telemetry_finish(telemetry, 0, &record);
		}
		loop_s += cpu_s(CLOCK_THREAD_CPUTIME_ID) - burst;
		while (sl_telemetry_pending(telemetry) > 50000)
			usleep(1000);
	}
	sl_telemetry_free(telemetry);
	thread_s = cpu_s(CLOCK_PROCESS_CPUTIME_ID) - all_s - loop_s;
	printf("finish on the loop                         %8.3f us\n", loop_s / (double)rows * 1e6);
	printf("other threads, CPU per row                 %8.3f us\n",
	       thread_s / (double)rows * 1e6);
	printf("rows per second, durable                   %8.0f\n",
	       (double)rows / (now_s() - began));
	ask_spend(store, "everything", 0, INT64_MAX);
	ask_spend(store, "ragged edges within hours", first + 1234567, first + rows * 86 - 1234567);
	sl_store_free(store);
	unlink(path);
	return 0;
}

/* money_bench.c - what a hold and its settlement cost the loop, and how many a second.
 *
 *   make build/bench/money_bench && build/bench/money_bench [THREADS] [COUNT]
 *   (default: 2 threads, 200000 each)
 *
 * First what the bound costs that is held: the walk over the body and the sum of prices.
 * Latency is taken at a steady 20,000 a second, throughput flat out until the journal's
 * room ends it; then how long the store takes to have it all.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "../tests/money_harness.h"
#include "base/clock.h"
#include "ledger/money_bound.h"
#include "shapes/extent.h"

enum { THREADS_MAX = 16, GAP_NS = 50000, BOUNDS = 20000 };

static struct till till;
static size_t per_thread = 200000;
static uint32_t *nanoseconds;
static atomic_size_t busy;

static bool
one(struct sl_money_request *request)
{
	struct sl_money_refusal why;
	struct sl_hold *hold;

	/* Ids begin with the time: a clock that stood still would scatter the rows. */
	request->now_wall_ms = sl_clock_wall_ms();
	if (till_hold(&till, request, &hold, &why) != SL_OK)
		return false;
	sl_money_dispatched(hold, 10);
	sl_money_settle(hold, &(struct sl_money_settlement){ .cost = 900, .now_wall_ms = request->now_wall_ms,
	                .source = SL_USAGE_REPORTED, .input_tokens = 100, .output_tokens = 50 });
	return true;
}

static void *
flat_out(void *argument)
{
	char key[16];
	struct sl_money_request request;

	snprintf(key, sizeof(key), "key-%zu", (size_t)(uintptr_t)argument);
	request = till_request(&till, key, "team", "work", &sl_money_unlimited, 1000);
	for (size_t i = 0; i < per_thread; i++) {
		while (!one(&request)) {
			atomic_fetch_add(&busy, 1);
			nanosleep(&(struct timespec){ 0, 200000 }, NULL);
		}
	}
	return NULL;
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Of a chat request of about so many bytes, in messages of 256. */
static void
bound(size_t bytes)
{
	static const char message[] = "{\"role\":\"user\",\"content\":\"%0216d\"},";
	struct sl_model_card card = { .price = { .present = 1u << SL_USAGE_INPUT | 1u << SL_USAGE_OUTPUT } };
	struct sl_bound_request request = { .media_part_tokens = -1, .max_tokens = 100, .n = 1 };
	struct sl_shape_input input;
	struct sl_extent extent;
	struct sl_arena arena;
	struct sl_fault fault;
	struct sl_steer steer;
	struct sl_buf body;
	uint64_t began;
	int64_t amount;

	sl_buf_init(&body, 1 << 20);
	sl_buf_append(&body, SL_SLICE("{\"model\":\"m\",\"messages\":["));
	while (body.len < bytes)
		sl_buf_printf(&body, message, 0);
	sl_buf_append(&body, SL_SLICE("{\"role\":\"user\",\"content\":\"\"}]}"));
	sl_arena_init(&arena, 4096, 0);
	input = (struct sl_shape_input){ .body = sl_buf_slice(&body) };
	if (!sl_shape_openai_chat.read_request(&input, &arena, &steer, &fault))
		exit(1);
	for (size_t i = 0; i < BOUNDS; i++) {
		began = sl_clock_mono_ns();
		sl_extent_read(&sl_shape_openai_chat, &steer, &extent);
		request.body_bytes = (int64_t)body.len;
		request.media_parts = extent.media_parts;
		if (sl_money_bound(&card, &request, &amount) != SL_BOUND_PROVEN)
			exit(1);
		nanoseconds[i] = (uint32_t)(sl_clock_mono_ns() - began);
	}
	qsort(nanoseconds, BOUNDS, sizeof(*nanoseconds), compare);
	printf("bound of %zu bytes: p50 %.2f us, p99 %.2f us\n", body.len,
	       nanoseconds[BOUNDS / 2] * 1e-3, nanoseconds[BOUNDS * 99 / 100] * 1e-3);
	sl_arena_release(&arena);
	sl_buf_release(&body);
}

static void
latency(size_t count, bool unlimited)
{
	struct sl_money_request request = till_request(&till, "key", "team", "work",
	                                               &sl_money_unlimited, 1000);
	uint64_t due = sl_clock_mono_ns();

	request.unlimited = unlimited;
	for (size_t i = 0; i < count; i++) {
		uint64_t began;

		while (sl_clock_mono_ns() < due)
			continue;
		due += GAP_NS;
		began = sl_clock_mono_ns();
		one(&request);
		nanoseconds[i] = (uint32_t)(sl_clock_mono_ns() - began);
	}
	qsort(nanoseconds, count, sizeof(*nanoseconds), compare);
	printf("hold + dispatched + settle at 20k/s%s: p50 %.2f us, p99 %.2f us, p99.9 %.2f us, "
	       "max %.0f us\n", unlimited ? " without limits" : "",
	       nanoseconds[count / 2] * 1e-3, nanoseconds[count * 99 / 100] * 1e-3,
	       nanoseconds[count * 999 / 1000] * 1e-3, nanoseconds[count - 1] * 1e-3);
}

static void
throughput(size_t threads)
{
	pthread_t ids[THREADS_MAX];
	uint64_t began = sl_clock_mono_ns(), done;
	struct sl_money_totals totals;
	double count = (double)(threads * per_thread);

	for (size_t i = 0; i < threads; i++)
		pthread_create(&ids[i], NULL, flat_out, (void *)(uintptr_t)i);
	for (size_t i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	done = sl_clock_mono_ns();
	printf("%zu threads flat out: %.0f holds and settlements a second (%zu waits for room)\n",
	       threads, count / ((double)(done - began) * 1e-9), atomic_load(&busy));
	do {
		nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
		sl_money_totals(till.money, &totals);
	} while (totals.folded < totals.appended);
	done = sl_clock_mono_ns();
	printf("all in the store: %.0f a second\n", count / ((double)(done - began) * 1e-9));
}

int
main(int argc, char **argv)
{
	static const size_t sizes[] = { 512, 8192, 16384, 32768, 131072 };
	size_t threads = argc > 1 ? strtoul(argv[1], NULL, 10) : 2;
	struct sl_money_audit audit;

	if (argc > 2)
		per_thread = strtoul(argv[2], NULL, 10);
	if (threads == 0 || threads > THREADS_MAX || per_thread == 0)
		return 2;
	nanoseconds = malloc((per_thread > BOUNDS ? per_thread : BOUNDS) * sizeof(*nanoseconds));
	if (!nanoseconds || !till_open(&till, SL_DURABLE_LEASE))
		return 1;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		bound(sizes[i]);
	till_shut(&till);
	till.options.ring_slots = 1 << 19;
	till.options.segment_records = 1 << 20;
	if (!till_reopen(&till))
		return 1;
	latency(per_thread < 100000 ? per_thread : 100000, false);
	latency(per_thread < 100000 ? per_thread : 100000, true);
	throughput(threads);
	till_shut(&till);
	printf("audit: %s", till_verify(&till, &audit) ? "good" : "BROKEN");
	printf(", %lld rows of attempts, %lld entries\n", (long long)audit.attempts,
	       (long long)audit.entries);
	till_remove(&till);
	free(nanoseconds);
	return 0;
}

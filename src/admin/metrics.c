/* metrics.c - /metrics, for Prometheus.
 *
 * What asks counted comes from telemetry; how the targets are doing from the board,
 * summed by configured provider, so that labels are as few as providers.
 */
#include <inttypes.h>

#include "admin/call.h"
#include "ledger/key.h"
#include "model/config.h"
#include "pipeline/board.h"
#include "pipeline/queue.h"

enum { METRICS_MAX = 16 << 20 };

struct provider_sums {
	uint64_t in_flight, attempts, failures, limited, opened;
	uint64_t breaker[SL_BREAKER_STATES];
};

struct sums {
	const struct sl_config *config;
	struct provider_sums   *providers; /* as config->providers */
};

static void
add_target(void *context, const struct sl_board_view *view)
{
	struct sums *sums = context;

	for (size_t i = 0; i < sums->config->provider_count; i++) {
		struct provider_sums *sum = &sums->providers[i];

		if (!sl_slice_eq(sums->config->providers[i].name, view->provider))
			continue;
		sum->in_flight += view->live.in_flight;
		sum->attempts += view->attempts;
		sum->failures += view->failures;
		sum->limited += view->limited;
		sum->opened += view->opened;
		sum->breaker[view->live.breaker]++;
		return;
	}
}

static void
put_family(struct sl_buf *out, const struct sums *sums, const char *name, const char *type,
           const char *help, size_t offset)
{
	sl_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
	for (size_t i = 0; i < sums->config->provider_count; i++)
		sl_buf_printf(out, "%s{provider=\"%.*s\"} %" PRIu64 "\n", name,
		              SL_ARG(sums->config->providers[i].name),
		              *(const uint64_t *)((const char *)&sums->providers[i] + offset));
}

static void
put_breakers(struct sl_buf *out, const struct sums *sums)
{
	static const char name[] = "sluice_breakers";

	sl_buf_printf(out, "# HELP %s Targets by the state of their circuit breaker.\n"
	                   "# TYPE %s gauge\n", name, name);
	for (size_t i = 0; i < sums->config->provider_count; i++)
		for (int state = 0; state < SL_BREAKER_STATES; state++)
			sl_buf_printf(out, "%s{provider=\"%.*s\",state=\"%s\"} %" PRIu64 "\n",
			              name,
			              SL_ARG(sums->config->providers[i].name),
			              sl_breaker_name((enum sl_breaker)state),
			              sums->providers[i].breaker[state]);
}

static void
put_hedges(struct sl_buf *out, const struct sl_board *board)
{
	static const char *const names[SL_HEDGE_EVENT_COUNT] = {
#define NAME(id, name) name,
		SL_HEDGE_EVENTS(NAME)
#undef NAME
	};

	sl_buf_printf(out, "# HELP sluice_hedges_total Second attempts beside a slow first one.\n"
	                   "# TYPE sluice_hedges_total counter\n"
	                   "sluice_hedges_total %" PRIu64 "\n"
	                   "# HELP sluice_hedges_won_total Second attempts that gave the answer.\n"
	                   "# TYPE sluice_hedges_won_total counter\n"
	                   "sluice_hedges_won_total %" PRIu64 "\n"
	                   "# HELP sluice_hedges_skipped_total Slow first attempts that stayed "
	                   "alone, by what was in the way.\n"
	                   "# TYPE sluice_hedges_skipped_total counter\n",
	              sl_board_hedges(board, SL_HEDGE_STARTED), sl_board_hedges(board, SL_HEDGE_WON));
	for (size_t i = SL_HEDGE_WON + 1; i < SL_HEDGE_EVENT_COUNT; i++)
		sl_buf_printf(out, "sluice_hedges_skipped_total{reason=\"%s\"} %" PRIu64 "\n",
		              names[i], sl_board_hedges(board, (enum sl_hedge_event)i));
}

static void
put_queue(struct sl_buf *out, const struct sl_queue *queue)
{
	static const char *const names[SL_QUEUE_END_COUNT] = {
#define NAME(id, name) name,
		SL_QUEUE_ENDS(NAME)
#undef NAME
	};

	sl_buf_printf(out, "# HELP sluice_waiting Requests that wait for room.\n"
	                   "# TYPE sluice_waiting gauge\n"
	                   "sluice_waiting %zu\n"
	                   "# HELP sluice_waits_total Requests that waited for room, or found no "
	                   "place to wait, by how that ended.\n"
	                   "# TYPE sluice_waits_total counter\n", sl_queue_count(queue));
	for (size_t i = 0; i < SL_QUEUE_END_COUNT; i++)
		sl_buf_printf(out, "sluice_waits_total{end=\"%s\"} %" PRIu64 "\n", names[i],
		              sl_queue_ends(queue, (enum sl_queue_end)i));
}

static void
put_board(struct admin_call *call, struct sl_buf *out)
{
	const struct sl_admin_services *services = &call->admin->services;
	struct sums sums = { services->config(services->context), NULL };

	sums.providers = SL_ARENA_ARRAY(&call->exchange->arena, struct provider_sums,
	                                sums.config->provider_count + 1);
	if (!sums.providers) {
		out->failed = true;
		return;
	}
	sl_board_each(services->board, sl_loop_now_ns(call->admin->loop) / 1000, add_target,
	              &sums);
	put_breakers(out, &sums);
#define FAMILY(name, type, help, member) \
	put_family(out, &sums, name, type, help, offsetof(struct provider_sums, member))
	FAMILY("sluice_upstream_attempts_in_flight", "gauge",
	       "Attempts that wait for a provider or stream from it.", in_flight);
	FAMILY("sluice_upstream_attempts_total", "counter", "Attempts at providers.", attempts);
	FAMILY("sluice_upstream_failures_total", "counter",
	       "Attempts that failed: not reached, 5xx, broken, cut.", failures);
	FAMILY("sluice_upstream_rate_limited_total", "counter", "Attempts answered with 429.",
	       limited);
	FAMILY("sluice_breaker_opened_total", "counter", "Times a circuit breaker opened.",
	       opened);
#undef FAMILY
	sl_buf_printf(out, "# HELP sluice_retries_refused_total Further attempts that the retry "
	                   "budget did not allow.\n"
	                   "# TYPE sluice_retries_refused_total counter\n"
	                   "sluice_retries_refused_total %" PRIu64 "\n",
	              sl_board_retries_refused(services->board));
	put_hedges(out, services->board);
	if (services->queue)
		put_queue(out, services->queue);
}

void
admin_metrics(struct admin_call *call)
{
	const struct sl_admin_services *services = &call->admin->services;
	struct sl_telemetry_gauges gauges = { 0 };
	struct sl_buf text;

	if (services->gauges)
		services->gauges(services->context, &gauges);
	gauges.keys = sl_keyring_count(services->keyring);
	sl_buf_init(&text, METRICS_MAX);
	sl_telemetry_metrics(services->telemetry, &gauges, &text);
	put_board(call, &text);
	if (text.failed)
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE,
		                        "The metrics do not fit into memory.");
	else
		admin_answer(call, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, 0,
		             sl_buf_slice(&text));
	sl_buf_release(&text);
}

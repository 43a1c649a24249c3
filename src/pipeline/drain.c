/* drain.c - reading on for the bill. */
#include "pipeline/drain.h"

#include <stdlib.h>

#include "pipeline/ask.h"

/* On one loop. Each holds a connection to a provider and little memory; beyond it the
 * attempt is cancelled as with "cancel". */
enum { DRAINS_MAX = 4096 };

static void
end(struct sl_drain *drain, enum sl_gone_reason why)
{
	struct sl_ask *ask = drain->ask;
	struct sl_exchange *exchange = ask->exchange;

	sl_timer_clear(&drain->timer);
	sl_list_remove(&drain->node);
	ask->gateway->drain_count--;
	ask->bytes_out = drain->bytes_out;
	sl_ask_gone(ask, why);
	sl_exchange_discard(exchange);
	free(drain);
}

static void
on_due(struct sl_timer *timer)
{
	end(SL_CONTAINER(timer, struct sl_drain, timer), SL_GONE_DONE);
}

/* Whether the end of the answer would tell something about its cost. */
static bool
is_worth_it(const struct sl_ask *ask, enum sl_gone_reason why)
{
	if (why != SL_GONE_PEER && why != SL_GONE_TIMEOUT && why != SL_GONE_PROTOCOL)
		return false;
	if (!ask->spend.hold || !ask->fetching || sl_key_policy(ask->key)->cancel_on_disconnect)
		return false;
	if (ask->upstream_status == 0)
		return ask->fetch.sent;
	return ask->upstream_status < 300 && !ask->reply.facts.finished;
}

bool
sl_drain_begin(struct sl_ask *ask, enum sl_gone_reason why)
{
	const struct sl_config_limits *limits = &ask->world->config->limits;
	struct sl_gateway *gateway = ask->gateway;
	struct sl_exchange *exchange;
	struct sl_drain *drain;

	if (ask->drain || !is_worth_it(ask, why) || gateway->drain_count >= DRAINS_MAX)
		return false;
	drain = calloc(1, sizeof(*drain));
	exchange = drain ? sl_exchange_detach(ask->exchange) : NULL;
	if (!exchange) {
		free(drain);
		return false;
	}
	ask->exchange = exchange;
	exchange->user = ask;
	ask->drain = drain;
	drain->ask = ask;
	drain->bytes_left = limits->drain_bytes;
	drain->bytes_out = ask->bytes_out;
	drain->timer.on_due = on_due;
	sl_timer_set(gateway->loop, &drain->timer, limits->drain_ms);
	sl_list_push_back(&gateway->drains, &drain->node);
	gateway->drain_count++;
	sl_hedge_end(ask);
	/* What waited for the caller waits for nobody now, and reading goes on. */
	sl_relay_drained(ask);
	return true;
}

void
sl_drain_took(struct sl_ask *ask, size_t bytes)
{
	struct sl_drain *drain = ask->drain;

	if (!drain)
		return;
	if (bytes > drain->bytes_left)
		sl_timer_set(ask->gateway->loop, &drain->timer, 0);
	drain->bytes_left -= bytes < drain->bytes_left ? bytes : drain->bytes_left;
}

void
sl_drain_answered(struct sl_ask *ask)
{
	if (ask->drain)
		sl_timer_set(ask->gateway->loop, &ask->drain->timer, 0);
}

void
sl_drain_stop_all(struct sl_gateway *gateway)
{
	while (!sl_list_empty(&gateway->drains))
		end(SL_CONTAINER(gateway->drains.next, struct sl_drain, node), SL_GONE_SHUTDOWN);
}

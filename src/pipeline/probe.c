/* probe.c - a timer, and at most PROBES_MAX small requests at a time. */
#include "pipeline/probe.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "pipeline/board.h"
#include "pipeline/world.h"

enum {
	PROBES_MAX = 16,
	IDLE_MS = 1000, /* how often to look whether probes were switched on */
	PATH_MAX_BYTES = 2048,
};

struct probe {
	struct sl_fetch   fetch;
	struct sl_prober *prober;
	struct sl_world  *world;    /* a reference, while it is under way; NULL: free */
	size_t            provider;
	char              path[PATH_MAX_BYTES];
};

struct sl_prober {
	struct sl_loop   *loop;
	struct sl_client *client;
	struct sl_board  *board;
	struct sl_world *(*current)(void *context);
	void             *context;
	struct sl_timer   timer;
	struct probe      probes[PROBES_MAX];
};

static void
finish(struct probe *probe, bool alive)
{
	struct sl_prober *prober = probe->prober;
	const struct sl_config *config = probe->world->config;
	uint64_t now_us = sl_loop_now_ns(prober->loop) / 1000;

	sl_log(SL_LOG_DEBUG, "probe", SL_LOG_S("provider", config->providers[probe->provider].name),
	       SL_LOG_Z("answered", alive ? "yes" : "no"));
	/* No caller is sent before three probes are missing: one may be late. */
	sl_board_hint(prober->board, config->providers[probe->provider].name, alive, now_us,
	              now_us + config->router_probe_interval_ms * 3000);
	sl_world_unref(probe->world);
	probe->world = NULL;
}

static struct probe *
probe_of(struct sl_fetch *fetch)
{
	return SL_CONTAINER(fetch, struct probe, fetch);
}

/* The head tells; what follows is not waited for. */
static void
on_head(struct sl_fetch *fetch, int status, const struct sl_headers *headers,
        int64_t content_length)
{
	(void)headers;
	(void)content_length;
	sl_fetch_cancel(fetch);
	finish(probe_of(fetch), status < 500);
}

static void
on_data(struct sl_fetch *fetch, struct sl_slice bytes)
{
	(void)fetch;
	(void)bytes;
}

static void
on_end(struct sl_fetch *fetch, const struct sl_headers *trailers)
{
	(void)trailers;
	finish(probe_of(fetch), false);
}

static void
on_fail(struct sl_fetch *fetch, const struct sl_fetch_error *error)
{
	(void)error;
	finish(probe_of(fetch), false);
}

static const struct sl_fetch_ops ops = {
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_fail = on_fail,
};

static struct probe *
take_free(struct sl_prober *prober, size_t provider)
{
	struct probe *found = NULL;

	for (size_t i = 0; i < PROBES_MAX; i++) {
		if (prober->probes[i].world && prober->probes[i].provider == provider)
			return NULL;
		if (!prober->probes[i].world)
			found = &prober->probes[i];
	}
	return found;
}

static void
start(struct sl_prober *prober, struct sl_world *world, size_t provider)
{
	struct sl_upstream *up = &world->upstreams[provider];
	struct probe *probe = take_free(prober, provider);
	struct sl_fetch_request request = { .method = SL_SLICE("GET") };
	int len;

	if (!probe)
		return;
	len = snprintf(probe->path, sizeof(probe->path), "%.*s/models", SL_ARG(up->url.path));
	if (len < 0 || (size_t)len >= sizeof(probe->path))
		return;
	request.target = sl_slice_make(probe->path, (size_t)len);
	probe->fetch = (struct sl_fetch){ .ops = &ops };
	probe->prober = prober;
	probe->provider = provider;
	if (sl_fetch_start(prober->client, &up->origin, &probe->fetch, &request) == SL_OK)
		probe->world = sl_world_ref(world);
}

static void
on_due(struct sl_timer *timer)
{
	struct sl_prober *prober = SL_CONTAINER(timer, struct sl_prober, timer);
	struct sl_world *world = prober->current(prober->context);
	const struct sl_config *config = world->config;
	uint64_t interval_ms = config->router_probe_interval_ms;

	for (size_t i = 0; interval_ms > 0 && i < config->provider_count; i++)
		if (config->providers[i].enabled && !config->providers[i].from_route &&
		    sl_board_is_open(prober->board, config->providers[i].name))
			start(prober, world, i);
	sl_timer_set(prober->loop, timer, interval_ms > 0 ? interval_ms : IDLE_MS);
}

struct sl_prober *
sl_prober_new(struct sl_loop *loop, struct sl_client *client, struct sl_board *board,
              struct sl_world *(*world)(void *context), void *context)
{
	struct sl_prober *prober = calloc(1, sizeof(*prober));

	if (!prober)
		return NULL;
	prober->loop = loop;
	prober->client = client;
	prober->board = board;
	prober->current = world;
	prober->context = context;
	prober->timer.on_due = on_due;
	sl_timer_set(loop, &prober->timer, IDLE_MS);
	return prober;
}

void
sl_prober_free(struct sl_prober *prober)
{
	if (!prober)
		return;
	sl_timer_clear(&prober->timer);
	for (size_t i = 0; i < PROBES_MAX; i++)
		if (prober->probes[i].world) {
			sl_fetch_cancel(&prober->probes[i].fetch);
			sl_world_unref(prober->probes[i].world);
		}
	free(prober);
}

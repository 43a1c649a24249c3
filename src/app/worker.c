/* worker.c - one event loop and its thread.
 *
 *   init (main thread) -> start -> runs -> [swap]* -> drain -> drained -> stop
 *
 * A worker owns its server, client, gateway and admin room; other threads reach
 * it only by posted tasks and read only its gauges.
 */
#include "app/serve.h"

#include "ledger/key.h"
#include "ledger/money.h"
#include "pipeline/alerts.h"
#include "pipeline/probe.h"

enum {
	GAUGE_PERIOD_MS = 1000,
	DRAIN_PERIOD_MS = 10,
	STACK_SIZE = 512 * 1024, /* deep enough: nothing recurses on input */
};

/* --- what the other rooms ask ------------------------------------------------- */

static bool
is_draining(void *context)
{
	struct sl_worker *worker = context;

	return atomic_load_explicit(&worker->app->draining, memory_order_relaxed);
}

static enum sl_err
reload(void *context, struct sl_reload *reload)
{
	struct sl_worker *worker = context;

	return sl_app_reload_start(worker->app, worker->loop, reload);
}

static struct sl_slice
base_url(void *context)
{
	struct sl_worker *worker = context;
	struct sl_slice url = worker->app->base_url;

	/* "host:port" */
	return sl_slice_from(url, (size_t)sl_slice_search(url, SL_SLICE("://")) + 3);
}

static struct sl_slice
sample_model(void *context)
{
	struct sl_worker *worker = context;

	return sl_world_sample_model(worker->world);
}

static const struct sl_config *
config_of(void *context)
{
	struct sl_worker *worker = context;

	return sl_world_config(worker->world);
}

static struct sl_world *
world_of(void *context)
{
	struct sl_worker *worker = context;

	return worker->world;
}

static void
publish_gauges(struct sl_worker *worker)
{
	struct sl_worker_gauges *gauges = &worker->gauges;
	struct sl_client_stats stats;

	sl_client_stats(worker->client, &stats);
	atomic_store_explicit(&gauges->connections, sl_server_connection_count(worker->server),
	                      memory_order_relaxed);
	atomic_store_explicit(&gauges->exchanges, sl_server_exchange_count(worker->server),
	                      memory_order_relaxed);
	atomic_store_explicit(&gauges->drains, sl_gateway_draining(worker->gateway),
	                      memory_order_relaxed);
	atomic_store_explicit(&gauges->upstream_open, stats.open, memory_order_relaxed);
	atomic_store_explicit(&gauges->upstream_idle, stats.idle, memory_order_relaxed);
	atomic_store_explicit(&gauges->upstream_opened, stats.opened, memory_order_relaxed);
	atomic_store_explicit(&gauges->upstream_reused, stats.reused, memory_order_relaxed);
}

static uint64_t
read_gauge(atomic_uint_fast64_t *gauge)
{
	return atomic_load_explicit(gauge, memory_order_relaxed);
}

/* This loop exactly, the others as of their last period. */
static void
sum_gauges(void *context, struct sl_telemetry_gauges *out)
{
	struct sl_worker *worker = context;
	struct sl_app *app = worker->app;
	struct sl_money_totals money;

	publish_gauges(worker);
	*out = (struct sl_telemetry_gauges){ 0 };
	for (unsigned i = 0; i < app->worker_count; i++) {
		struct sl_worker_gauges *gauges = &app->workers[i].gauges;

		out->connections += read_gauge(&gauges->connections);
		out->exchanges += read_gauge(&gauges->exchanges);
		out->drains += read_gauge(&gauges->drains);
		out->upstream_open += read_gauge(&gauges->upstream_open);
		out->upstream_idle += read_gauge(&gauges->upstream_idle);
		out->upstream_opened += read_gauge(&gauges->upstream_opened);
		out->upstream_reused += read_gauge(&gauges->upstream_reused);
	}
	sl_money_totals(app->money, &money);
	out->open_holds = (uint64_t)money.open_holds;
	out->unfolded = money.appended - money.folded;
	out->held_nanousd = money.held;
	out->overrun_nanousd = money.overrun;
	out->keys = sl_keyring_count(app->keyring);
	out->config_loaded_wall_ms = (uint64_t)atomic_load(&app->loaded_wall_ms);
}

/* As configured, as far as the descriptors go. */
static struct sl_server_limits
server_limits(const struct sl_app *app, const struct sl_world *world)
{
	struct sl_server_limits limits = sl_world_server_limits(world);

	if (limits.connections > app->connections_max)
		limits.connections = app->connections_max;
	return limits;
}

/* --- timers and tasks ---------------------------------------------------------- */

static void
on_gauge_timer(struct sl_timer *timer)
{
	struct sl_worker *worker = SL_CONTAINER(timer, struct sl_worker, gauge_timer);

	publish_gauges(worker);
	if (worker->draining && sl_server_exchange_count(worker->server) == 0 &&
	    sl_gateway_draining(worker->gateway) == 0)
		atomic_store(&worker->drained, true);
	sl_timer_set(worker->loop, timer, worker->draining ? DRAIN_PERIOD_MS : GAUGE_PERIOD_MS);
}

/* Changes to next_world. */
static void
swap(struct sl_worker *worker)
{
	struct sl_app *app = worker->app;
	struct sl_server_limits limits;
	struct sl_world *next, *old = NULL;

	pthread_mutex_lock(&app->lock);
	next = worker->next_world;
	worker->next_world = NULL;
	pthread_mutex_unlock(&app->lock);
	if (next) {
		old = worker->world;
		worker->world = next;
		sl_gateway_set_world(worker->gateway, next);
		limits = server_limits(app, next);
		sl_server_set_limits(worker->server, &limits);
		pthread_mutex_lock(&app->lock);
		app->swaps_due--;
		pthread_cond_broadcast(&app->swapped);
		pthread_mutex_unlock(&app->lock);
	}
	sl_world_unref(old);
}

static void
run_swap(struct sl_task *task)
{
	struct sl_worker *worker = SL_CONTAINER(task, struct sl_worker, swap_task);

	pthread_mutex_lock(&worker->app->lock);
	worker->swap_queued = false;
	pthread_mutex_unlock(&worker->app->lock);
	swap(worker);
}

static void
run_drain(struct sl_task *task)
{
	struct sl_worker *worker = SL_CONTAINER(task, struct sl_worker, drain_task);

	worker->draining = true;
	sl_server_drain(worker->server);
	sl_timer_set(worker->loop, &worker->gauge_timer, 0);
}

void
sl_worker_drain(struct sl_worker *worker)
{
	sl_loop_post(worker->loop, &worker->drain_task);
}

/* --- life ----------------------------------------------------------------------- */

static bool
cannot_listen(const struct sl_config_listen *listen, unsigned port, enum sl_err err,
              struct sl_buf *reason)
{
	sl_buf_printf(reason, "cannot listen on %.*s port %u: %s\n", SL_ARG(listen->host), port,
	              err == SL_EBUSY ? "another program has it; stop that one, or choose another "
	                                "address with --listen or `listen:`"
	              : err == SL_EPOLICY ? "not permitted; ports under 1024 need a privilege, "
	                                    "choose a higher one"
	              : err == SL_EINVAL ? "this machine has no such address; choose another with "
	                                   "--listen or `listen:`"
	                                 : sl_err_text(err));
	return false;
}

bool
sl_worker_probe(struct sl_app *app, struct sl_buf *reason)
{
	const struct sl_config *config = sl_world_config(app->world);

	for (size_t i = 0; i < config->listen_count; i++) {
		const struct sl_config_listen *listen = &config->listen[i];
		struct sl_listen_config probed = {
			.host = sl_arena_strdup(&app->arena, listen->host),
			.port = listen->port,
		};
		enum sl_err err = probed.host ? sl_server_probe(&probed) : SL_ENOMEM;

		if (err != SL_OK)
			return cannot_listen(listen, listen->port, err, reason);
	}
	return true;
}

static bool
listen_on(struct sl_worker *worker, size_t at, uint16_t *port, struct sl_buf *reason)
{
	const struct sl_config_listen *listen = &sl_world_config(worker->world)->listen[at];
	struct sl_arena *arena = &worker->app->arena;
	struct sl_listen_config config = {
		.host = sl_arena_strdup(arena, listen->host),
		.port = *port,
		.tls = worker->app->tls[at],
	};
	enum sl_err err = config.host ? sl_server_listen(worker->server, &config, port)
	                              : SL_ENOMEM;

	return err == SL_OK || cannot_listen(listen, config.port, err, reason);
}

bool
sl_worker_init(struct sl_worker *worker, struct sl_app *app, unsigned index, uint16_t *ports,
               struct sl_buf *reason)
{
	struct sl_server_limits limits = server_limits(app, app->world);

	worker->app = app;
	worker->index = index;
	worker->swap_task.run = run_swap;
	worker->drain_task.run = run_drain;
	worker->gauge_timer.on_due = on_gauge_timer;
	worker->world = sl_world_ref(app->world);
	worker->loop = sl_loop_new(index);
	if (!worker->loop)
		goto fail;
	worker->client = sl_client_new(worker->loop);
	worker->admin_services = (struct sl_admin_services){
		.store = app->store,
		.keyring = app->keyring,
		.tenants = app->tenants,
		.telemetry = app->telemetry,
		.board = app->board,
		.queue = app->queue,
		.stacks = app->stacks,
		.agents = app->agents,
		.money = app->money,
		.config = config_of,
		.world = world_of,
		.keys_required = app->keys_required,
		.reload = reload,
		.gauges = sum_gauges,
		.base_url = base_url,
		.sample_model = sample_model,
		.draining = is_draining,
		.context = worker,
	};
	worker->admin = worker->client ? sl_admin_new(worker->loop, &worker->admin_services) : NULL;
	if (!worker->admin)
		goto fail;
	worker->services = (struct sl_services){
		.keyring = app->keyring,
		.tenants = app->tenants,
		.alerts = app->alerts,
		.telemetry = app->telemetry,
		.board = app->board,
		.stacks = app->stacks,
		.sticky = app->sticky,
		.shelf = app->shelf,
		.queue = app->queue,
		.money = app->money,
		.store = app->store,
		.answers = app->answers,
		.corrections = app->corrections,
		.agents = app->agents,
		.draining = is_draining,
		.context = worker,
		.site = sl_admin_handler(worker->admin),
		.site_owns = sl_admin_owns,
	};
	worker->gateway =
	    sl_gateway_new(worker->loop, worker->client, &worker->services, worker->world);
	if (!worker->gateway)
		goto fail;
	/* One loop watches the budgets. */
	if (index == 0)
		sl_alerts_start(app->alerts, worker->loop, worker->client,
		                &(struct sl_alert_sources){
			                .store = app->store, .money = app->money,
			                .keyring = app->keyring, .tenants = app->tenants,
			                .stacks = app->stacks,
			                .world = world_of, .context = worker });
	if (index == 0) {
		worker->prober = sl_prober_new(worker->loop, worker->client, app->board, world_of,
		                               worker);
		if (!worker->prober)
			goto fail;
	}
	worker->server = sl_server_new(worker->loop, &limits, sl_gateway_handler(worker->gateway));
	if (!worker->server)
		goto fail;
	for (size_t i = 0; i < app->listener_count; i++)
		if (!listen_on(worker, i, &ports[i], reason))
			return false;
	return true;
fail:
	sl_buf_append_str(reason, "out of memory or file descriptors\n");
	return false;
}

static void *
run_thread(void *context)
{
	struct sl_worker *worker = context;

	sl_timer_set(worker->loop, &worker->gauge_timer, GAUGE_PERIOD_MS);
	sl_loop_run(worker->loop);
	sl_timer_clear(&worker->gauge_timer);
	return NULL;
}

bool
sl_worker_start(struct sl_worker *worker)
{
	pthread_attr_t attributes;

	if (pthread_attr_init(&attributes) != 0)
		return false;
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	worker->started = pthread_create(&worker->thread, &attributes, run_thread, worker) == 0;
	pthread_attr_destroy(&attributes);
	return worker->started;
}

void
sl_worker_close(struct sl_worker *worker)
{
	if (worker->server)
		sl_server_free(worker->server);
	if (worker->gateway)
		sl_gateway_free(worker->gateway);
	sl_prober_free(worker->prober);
	if (worker->admin)
		sl_admin_free(worker->admin);
	if (worker->index == 0 && worker->app)
		sl_alerts_stop(worker->app->alerts);
	if (worker->client)
		sl_client_free(worker->client);
	sl_world_unref(worker->world);
	sl_world_unref(worker->next_world);
	worker->server = NULL;
	worker->gateway = NULL;
	worker->prober = NULL;
	worker->admin = NULL;
	worker->client = NULL;
	worker->world = worker->next_world = NULL;
}

void
sl_worker_release(struct sl_worker *worker)
{
	if (worker->loop)
		sl_loop_free(worker->loop);
	worker->loop = NULL;
}

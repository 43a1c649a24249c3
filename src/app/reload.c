/* reload.c - a new configuration for all workers, or none.
 *
 * The file is read and checked and the new world built before anything changes.
 * Then each worker gets it as a posted task and changes over between two events;
 * asks in flight keep the world they began with, which lives until the last of
 * them gives it back. Whoever reloads waits, briefly, for all of them, so that
 * the answer means what it says. No loop reads a configuration: what the admin
 * API asks for runs on a thread that lives as long as it takes.
 *
 *   free --reloading--> read -> publish -> wait for the loops -> free
 */
#include "app/serve.h"

#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "ledger/tenants.h"

enum {
	REPORT_PATHS_MAX = 64 * 1024,
	SWAP_WAIT_MS = 1000,
};

/* Options of the command line rule over the file's. */
static bool
apply_overrides(struct sl_app *app, struct sl_config *config, struct sl_buf *report)
{
	struct sl_config_provider *mock = sl_config_mock(config);
	struct sl_config_listen *listen;
	const char *reason = NULL;

	if (app->options->listen) {
		listen = SL_ARENA_NEW(&config->arena, struct sl_config_listen);
		if (!listen ||
		    !sl_config_parse_address(sl_slice_str(app->options->listen), &listen->host,
		                             &listen->port)) {
			sl_buf_append_str(report, "--listen: not an address; write IP:PORT, such "
			                          "as 127.0.0.1:8080\n");
			return false;
		}
		listen->tls_cert = config->tls_cert;
		listen->tls_key = config->tls_key;
		config->listen = listen;
		config->listen_count = 1;
	}
	if (!mock)
		return true;
	if (!app->mock) {
		app->mock = sl_mock_thread_start(&sl_mock_options_default, &app->mock_port, &reason);
		if (!app->mock) {
			sl_buf_printf(report, "the simulated provider cannot start: %s\n",
			              reason ? reason : "out of memory");
			return false;
		}
	}
	mock->base_url = sl_arena_printf(&config->arena, "http://127.0.0.1:%u",
	                                 (unsigned)app->mock_port);
	return mock->base_url.ptr != NULL;
}

struct sl_world *
sl_app_load(struct sl_app *app, struct sl_buf *report)
{
	const struct sl_config_source source = { .path = app->options->config_path,
		                                 .env = getenv };
	struct sl_config_report problems;
	struct sl_config *config;

	sl_config_report_init(&problems, sl_slice_str(source.path ? source.path : "environment"));
	config = sl_config_load(&source, &problems);
	/* What stands in the way is told alone. */
	sl_config_report_print(&problems, config != NULL, report);
	sl_config_report_release(&problems);
	if (!config)
		return NULL;
	if (!apply_overrides(app, config, report)) {
		sl_config_free(config);
		return NULL;
	}
	return sl_world_new(config, report);
}

/* Gives the world to every worker. Returns the one it replaces. */
static struct sl_world *
publish(struct sl_app *app, struct sl_world *world_take)
{
	struct sl_world *old;

	pthread_mutex_lock(&app->lock);
	old = app->world;
	app->world = world_take;
	for (unsigned i = 0; i < app->worker_count; i++) {
		struct sl_worker *worker = &app->workers[i];
		struct sl_world *unseen = worker->next_world;

		worker->next_world = sl_world_ref(world_take);
		if (unseen)
			sl_world_unref(unseen); /* the newer one is found instead */
		else
			app->swaps_due++;
		if (worker->swap_queued)
			continue;
		worker->swap_queued = true;
		sl_loop_post(worker->loop, &worker->swap_task);
	}
	pthread_mutex_unlock(&app->lock);
	return old;
}

/* Bounded: a loop that is busy for so long changes over a little later. */
static void
wait_for_loops(struct sl_app *app)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += SWAP_WAIT_MS / 1000;
	pthread_mutex_lock(&app->lock);
	while (app->swaps_due > 0)
		if (pthread_cond_timedwait(&app->swapped, &app->lock, &until) != 0)
			break;
	pthread_mutex_unlock(&app->lock);
}

/* Never waits for another one: two that wait for one another's change would for ever. */
static bool
begin(struct sl_app *app)
{
	if (atomic_exchange(&app->reloading, true))
		return false;
	if (!atomic_load(&app->draining))
		return true;
	atomic_store(&app->reloading, false);
	return false;
}

static enum sl_err
reload(struct sl_app *app, struct sl_buf *report)
{
	struct sl_json_writer json;
	struct sl_world *world, *old;
	struct sl_buf problems;

	sl_buf_init(&problems, REPORT_PATHS_MAX);
	world = sl_app_load(app, &problems);
	if (!world) {
		sl_buf_append(report, sl_buf_slice(&problems));
		sl_buf_release(&problems);
		return SL_ESYNTAX;
	}
	sl_buf_release(&problems);
	sl_board_register(app->board, sl_world_config(world));
	sl_tenants_seed(app->tenants, sl_world_config(world)->workspaces,
	                sl_world_config(world)->workspace_count);
	/* Only a reload replaces it, and there is one at a time. */
	sl_world_inherit(world, app->world);
	old = publish(app, world);
	wait_for_loops(app);
	atomic_store(&app->loaded_wall_ms, sl_clock_wall_ms());
	sl_json_writer_init(&json, report);
	sl_config_diff(sl_world_config(old), sl_world_config(world), &json);
	sl_world_unref(old);
	return SL_OK;
}

enum sl_err
sl_app_reload(struct sl_app *app, struct sl_buf *report)
{
	enum sl_err err;

	if (!begin(app)) {
		sl_buf_append_str(report, "another reload is running, or the process ends\n");
		return SL_EBUSY;
	}
	err = reload(app, report);
	atomic_store(&app->reloading, false);
	return err;
}

/* --- for a loop -------------------------------------------------------------------- */

/* On the loop that asked. Who is told may ask for the next one. */
static void
tell(struct sl_task *task)
{
	struct sl_app *app = SL_CONTAINER(task, struct sl_app, reload_task);
	struct sl_reload *asked = app->reload;

	app->reload = NULL;
	atomic_store(&app->reloading, false);
	asked->done(asked);
}

static void *
run(void *argument)
{
	struct sl_app *app = argument;

	app->reload->err = reload(app, &app->reload->report);
	sl_block_forget();
	sl_loop_post(app->reload_loop, &app->reload_task);
	return NULL;
}

void
sl_app_reload_join(struct sl_app *app)
{
	if (app->reloader_began)
		pthread_join(app->reloader, NULL);
	app->reloader_began = false;
}

void
sl_app_reload_end(struct sl_app *app)
{
	if (app->reload)
		tell(&app->reload_task);
}

enum sl_err
sl_app_reload_start(struct sl_app *app, struct sl_loop *loop, struct sl_reload *asked)
{
	if (!begin(app))
		return SL_EBUSY;
	sl_app_reload_join(app); /* the last one has nothing left to do but to end */
	app->reload_task.run = tell;
	app->reload = asked;
	app->reload_loop = loop;
	app->reloader_began = pthread_create(&app->reloader, NULL, run, app) == 0;
	if (app->reloader_began)
		return SL_OK;
	app->reload = NULL;
	atomic_store(&app->reloading, false);
	return SL_ENOMEM;
}

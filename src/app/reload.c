/* reload.c - a new configuration for all workers, or none.
 *
 * The file is read and checked and the new world built before anything changes.
 * Then each worker gets it as a posted task and changes over between two events;
 * asks in flight keep the world they began with, which lives until the last of
 * them gives it back. When the reload was asked for on a worker's own thread,
 * that one changes at once and waits, briefly, for the others, so that the
 * answer means what it says.
 */
#include "app/serve.h"

#include <stdlib.h>
#include <time.h>

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
	struct sl_worker *own = sl_worker_current();
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
		if (worker == own || worker->swap_queued)
			continue;
		worker->swap_queued = true;
		sl_loop_post(worker->loop, &worker->swap_task);
	}
	pthread_mutex_unlock(&app->lock);
	if (own)
		sl_worker_swap(own);
	return old;
}

/* Bounded: a loop that is busy for so long changes over a little later. */
static void
wait_for_others(struct sl_app *app)
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

enum sl_err
sl_app_reload(struct sl_app *app, struct sl_buf *report)
{
	struct sl_json_writer json;
	struct sl_world *world, *old;
	struct sl_buf problems;
	enum sl_err err = SL_OK;

	if (atomic_load(&app->draining)) {
		sl_buf_append_str(report, "the process is shutting down\n");
		return SL_EBUSY;
	}
	/* Never waited for: two loops that waited for one another's change would. */
	if (pthread_mutex_trylock(&app->reload_lock) != 0) {
		sl_buf_append_str(report, "another reload is running\n");
		return SL_EBUSY;
	}
	sl_buf_init(&problems, REPORT_PATHS_MAX);
	world = sl_app_load(app, &problems);
	if (!world) {
		sl_buf_append(report, sl_buf_slice(&problems));
		err = SL_ESYNTAX;
		goto out;
	}
	sl_board_register(app->board, sl_world_config(world));
	sl_tenants_seed(app->tenants, sl_world_config(world)->workspaces,
	                sl_world_config(world)->workspace_count);
	/* Only a reload replaces it, and there is one at a time. */
	sl_world_inherit(world, app->world);
	old = publish(app, world);
	wait_for_others(app);
	atomic_store(&app->loaded_wall_ms, sl_clock_wall_ms());
	sl_json_writer_init(&json, report);
	sl_config_diff(sl_world_config(old), sl_world_config(world), &json);
	sl_world_unref(old);
out:
	sl_buf_release(&problems);
	pthread_mutex_unlock(&app->reload_lock);
	return err;
}

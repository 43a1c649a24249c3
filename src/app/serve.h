/* serve.h - the running process. Private to src/app/.
 *
 *   serve.c         assembled, taken apart: store, keys, workers, signals
 *   serve_money.c   the ledger: its files, its recovery
 *   worker.c        one event loop and its thread
 *   reload.c        a new configuration, published to the workers
 *   banner.c        what a person reads at the start
 *   config_diff.c   which options a reload changed
 *
 * Threads: the main thread waits for signals; each worker runs a loop; the store
 * and the simulated provider have threads of their own.
 */
#ifndef SL_APP_SERVE_H
#define SL_APP_SERVE_H

#include <pthread.h>
#include <stdatomic.h>

#include "admin/admin.h"
#include "app/config_load.h"
#include "base/json.h"
#include "mock/mock.h"
#include "net/client.h"
#include "net/server.h"
#include "pipeline/board.h"
#include "pipeline/gateway.h"
#include "telemetry/telemetry.h"

struct sl_answers;
struct sl_app;
struct sl_money;

/* What /metrics and the end of a drain read of another loop. shared: atomic. */
struct sl_worker_gauges {
	atomic_uint_fast64_t connections, exchanges, drains, upstream_open, upstream_idle,
	    upstream_opened, upstream_reused;
};

/* One event loop. owner: its thread, except where it says otherwise. */
struct sl_prober;

struct sl_worker {
	struct sl_app       *app;
	unsigned             index;
	pthread_t            thread;
	bool                 started;  /* main thread */
	struct sl_loop      *loop;
	struct sl_client    *client;
	struct sl_admin     *admin;
	struct sl_gateway   *gateway;
	struct sl_server    *server;
	struct sl_services   services;
	struct sl_prober    *prober; /* the first worker's */
	struct sl_admin_services admin_services;
	struct sl_world     *world;    /* a reference */
	/* Under app->lock: the world to change to, and whether swap_task is queued
	 * (it may still be when the worker has changed over by itself). */
	struct sl_world     *next_world;
	bool                 swap_queued;
	struct sl_task       swap_task, drain_task;
	struct sl_timer      gauge_timer;
	struct sl_worker_gauges gauges;
	bool                 draining;
	atomic_bool          drained;  /* draining, and nothing is in flight */
};

struct sl_serve_options {
	const char *config_path; /* NULL: none */
	const char *listen;      /* NULL: as configured; else instead of it */
};

struct sl_app {
	const struct sl_serve_options *options;
	struct sl_store        *store;
	struct sl_money        *money;
	struct sl_answers      *answers;
	const char             *ring_path; /* of its journal */
	struct sl_spool        *spool;     /* of records, and its file: */
	const char             *spool_path;
	struct sl_keyring      *keyring;
	struct sl_tenants      *tenants;
	struct sl_alerts       *alerts;
	struct sl_telemetry    *telemetry;
	struct sl_board        *board;
	struct sl_stacks       *stacks;
	struct sl_token_memory *corrections; /* of token estimates */
	struct sl_sticky       *sticky;
	struct sl_shelf        *shelf;
	struct sl_queue        *queue;
	struct sl_agent_book   *agents;
	struct sl_mock_thread  *mock;
	uint16_t                mock_port;
	struct sl_worker       *workers;
	unsigned                worker_count;
	struct sl_tls_context **tls;     /* one for each listener; NULL: cleartext */
	size_t                  listener_count;
	struct sl_slice         base_url; /* "http://127.0.0.1:8080" */
	struct sl_arena         arena;   /* for the process's life */
	bool                    keys_required;
	uint32_t                connections_max; /* that the descriptors allow */
	atomic_bool             draining;
	_Atomic(int64_t)        loaded_wall_ms;
	pthread_mutex_t         lock;    /* guards what follows, and next_world */
	pthread_cond_t          swapped;
	struct sl_world        *world;   /* the newest, a reference */
	unsigned                swaps_due; /* workers that have not changed over yet */
	atomic_bool             reloading;  /* one reload at a time; never waited for */
	/* Whoever set reloading owns what follows. */
	pthread_t               reloader;
	bool                    reloader_began; /* to be joined */
	struct sl_reload       *reload;         /* that it works on, until it is told to */
	struct sl_loop         *reload_loop;
	struct sl_task          reload_task;
};

/* Runs until it is told to stop. Returns the exit status. */
int sl_serve_run(const struct sl_serve_options *options);

/* Opens the ledger and recovers what a crash left. False: reason tells the operator. */
bool sl_app_open_money(struct sl_app *app, struct sl_buf *reason);
/* After the connections and the telemetry, before the store. */
/* recorded: every record is in the store. */
void sl_app_close_money(struct sl_app *app, bool recorded);

/* Whether every address of the configuration is free. All are asked before one is
 * taken, because 0.0.0.0 and [::] overlap. False: reason tells the operator. */
bool sl_worker_probe(struct sl_app *app, struct sl_buf *reason);
/* Builds a loop with its parts and listens; the thread is not started. False:
 * reason tells the operator. port[i] is the port of listener i: 0 is filled in. */
bool sl_worker_init(struct sl_worker *worker, struct sl_app *app, unsigned index,
                    uint16_t *ports, struct sl_buf *reason);
bool sl_worker_start(struct sl_worker *worker);
/* Any thread. */
void sl_worker_drain(struct sl_worker *worker);
/* Ends what is in flight; after the thread was joined. The loop stays. */
void sl_worker_close(struct sl_worker *worker);
void sl_worker_release(struct sl_worker *worker);

/* Reads and checks the configuration as at the start: overrides applied, the
 * simulated provider's address filled in. NULL: report holds the problems. */
struct sl_world *sl_app_load(struct sl_app *app, struct sl_buf *report);
/* A new configuration for all workers, or none: SL_ESYNTAX with the problems as
 * text, SL_EBUSY while another reload runs or the process ends. SL_OK: report is
 * {"changed":[...],"restart_needed":[...]}, and every loop has changed over. It takes its
 * time: for any thread but a worker's. */
enum sl_err sl_app_reload(struct sl_app *app, struct sl_buf *report);
/* The same on a thread of its own, for a worker's: reload->done comes on the loop. SL_EBUSY,
 * SL_ENOMEM: it does not. */
enum sl_err sl_app_reload_start(struct sl_app *app, struct sl_loop *loop,
                                struct sl_reload *reload);
/* After the loops have ended: waits for the thread. */
void sl_app_reload_join(struct sl_app *app);
/* After the workers were closed: done for what no loop told any more. */
void sl_app_reload_end(struct sl_app *app);

/* Names of the options that differ, as two JSON arrays of texts. */
void sl_config_diff(const struct sl_config *before, const struct sl_config *after,
                    struct sl_json_writer *out);

/* What was made at this first start; empty: not made. */
void sl_banner_print(struct sl_app *app, struct sl_slice master_key, struct sl_slice first_key);

#endif

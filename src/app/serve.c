/* serve.c - the running process: assembled, told by signals, taken apart.
 *
 *   configuration -> world -> store -> keys -> ledger -> telemetry -> workers
 *                                                        -> listening -> banner
 *
 *   RUNNING --SIGHUP--> reload, RUNNING
 *      '-----SIGTERM, SIGINT--> DRAINING --all idle | grace over | second signal--> STOPPED
 *
 * While draining nothing new is accepted and what is in flight goes on. The end
 * runs in the order that loses nothing: threads, then connections (which end their
 * holds and leave their records), then telemetry and the ledger (which flush them),
 * then the store.
 */
#include "app/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/cli.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "ledger/answers.h"
#include "ledger/key.h"
#include "ledger/tenants.h"
#include "net/resolve.h"
#include "pipeline/agent_book.h"
#include "pipeline/alerts.h"
#include "pipeline/queue.h"
#include "pipeline/shelf.h"
#include "pipeline/sticky.h"
#include "routing/stack.h"
#include "store/store.h"
#include "tokens/tokens.h"

enum {
	REPORT_MAX = 1024 * 1024,
	DRAIN_LOOK_MS = 10,
	SETTLED_MS = 100,  /* after the banner: who waited for the start was served */
	FDS_RESERVED = 64, /* descriptors that are no connections */
	WORKERS_MAX = 256,
	FD_TABLE_MAX = 128 * 1024, /* sized at start, 8 bytes each */
	HEAP_SPARE = 8 * 1024 * 1024, /* bytes each thread's heap keeps for the next requests */
	MAPPED_FROM = 2 * 1024 * 1024,
};

/* --- the process ---------------------------------------------------------------- */

/* Keys are in this memory: no core file, no other process of the same user may
 * look. The sanitizers need to. */
static void
harden(void)
{
	const struct rlimit none = { 0, 0 };

	umask(077);
	if (SL_SANITIZED)
		return;
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
}

/* As many descriptors as the process may have, and no more connections of
 * callers than they allow: each may need one upstream. */
static void
raise_fd_limit(struct sl_app *app, uint64_t connections)
{
	struct rlimit limit;

	app->connections_max = UINT32_MAX;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		(void)getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= connections * 2 + FDS_RESERVED)
		return;
	app->connections_max = limit.rlim_cur > 2 * FDS_RESERVED
	                           ? (uint32_t)((limit.rlim_cur - FDS_RESERVED) / 2)
	                           : FDS_RESERVED / 2;
	sl_log(SL_LOG_INFO,
	       "connections are limited by file descriptors; raise LimitNOFILE or ulimit -n for more",
	       SL_LOG_I("descriptors", limit.rlim_cur),
	       SL_LOG_I("connections", app->connections_max));
}

/* Makes the table of descriptors as large as it will be. Later, with threads,
 * each doubling of it would wait for an RCU grace period inside accept: stalls of
 * ten milliseconds in which every stream stands still. */
static void
size_fd_table(uint64_t connections)
{
	struct rlimit limit;
	uint64_t size = connections * 2 + FDS_RESERVED;
	int fd;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (size > limit.rlim_cur)
		size = limit.rlim_cur;
	if (size > FD_TABLE_MAX)
		size = FD_TABLE_MAX;
	fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, (int)size - 1);
	if (fd >= 0)
		close(fd);
}

/* Constants and relocations of the binary and its libraries, 3 MB of which loading and
 * starting read once. They are pages of files: what is needed again comes back by itself. */
static int
forget_constants(struct dl_phdr_info *object, size_t size, void *context)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size;
	(void)context;
	for (size_t i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &object->dlpi_phdr[i];
		uintptr_t from = (object->dlpi_addr + part->p_vaddr) & ~(page - 1);
		uintptr_t to = object->dlpi_addr + part->p_vaddr + part->p_filesz;

		/* Not code: a debugger's breakpoints are private copies of pages. */
		if (part->p_type == PT_LOAD && part->p_flags == PF_R)
			(void)madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 0;
}

/* Bodies come and go by the hundred kilobytes. Left to itself, malloc gives their pages
 * back and takes them anew: forty page faults for each request of 200 KB. Called before
 * the workers start and behind the rest, so that what the start needed is given back. */
static void
keep_heap(void)
{
	(void)mallopt(M_TRIM_THRESHOLD, HEAP_SPARE);
	(void)mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
}

/* Blocked everywhere and read from one descriptor; the threads inherit the mask. */
static int
open_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The next signal, or 0 when none came within timeout_ms (-1: wait). */
static int
next_signal(int fd, int timeout_ms)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	struct signalfd_siginfo info;

	if (poll(&wait, 1, timeout_ms) <= 0 || read(fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	return (int)info.ssi_signo;
}

/* --- start ----------------------------------------------------------------------- */

static enum sl_log_level
log_level(struct sl_slice name)
{
	static const char *const names[] = { "debug", "info", "warn", "error", "off" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (sl_slice_is(name, names[i]))
			return (enum sl_log_level)i;
	return SL_LOG_INFO;
}

static bool
open_tls(struct sl_app *app, const struct sl_config *config, struct sl_buf *reason)
{
	app->listener_count = config->listen_count;
	app->tls = SL_ARENA_ARRAY(&app->arena, struct sl_tls_context *, config->listen_count);
	for (size_t i = 0; app->tls && i < config->listen_count; i++) {
		const struct sl_config_listen *listen = &config->listen[i];
		const char *why = NULL;

		if (!listen->tls_cert.len)
			continue;
		app->tls[i] = sl_tls_server_new(sl_arena_strdup(&app->arena, listen->tls_cert),
		                                sl_arena_strdup(&app->arena, listen->tls_key), &why);
		if (!app->tls[i]) {
			sl_buf_printf(reason, "TLS with %.*s: %s\n", SL_ARG(listen->tls_cert),
			              why ? why : "out of memory");
			return false;
		}
	}
	return app->tls != NULL;
}

struct first_start {
	struct sl_store_job job;
	bool                first;
};

/* Whether the store has never seen a start. Marks it. */
static void
run_first_start(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct first_start *start = SL_CONTAINER(job, struct first_start, job);
	struct sl_buf value;

	sl_buf_init(&value, 64);
	job->err = ops->meta_get(conn, "first_start", &value);
	start->first = job->err == SL_ENOTFOUND;
	if (start->first)
		job->err = ops->meta_put(conn, "first_start", SL_SLICE(SL_VERSION));
	sl_buf_release(&value);
}

/* What is seeded is stored before the next job ends. */
static enum sl_err
open_tenants(struct sl_app *app, const struct sl_config *config)
{
	enum sl_err err;

	app->alerts = sl_alerts_new();
	app->tenants = sl_tenants_new();
	err = app->tenants && app->alerts ? sl_tenants_load(app->tenants, app->store) : SL_ENOMEM;
	if (err == SL_OK)
		sl_tenants_seed(app->tenants, config->workspaces, config->workspace_count);
	return err;
}

static bool
open_state(struct sl_app *app, struct sl_buf *master_key, struct sl_buf *first_key,
           struct sl_buf *reason)
{
	const struct sl_config *config = sl_world_config(app->world);
	struct first_start start = { .job.run = run_first_start };
	const char *why = NULL;
	enum sl_err err;

	app->store = sl_store_new(config->store, &why);
	if (!app->store) {
		sl_buf_printf(reason, "store %.*s: %s\n", SL_ARG(config->store),
		              why ? why : "cannot be opened");
		return false;
	}
	app->keyring = sl_keyring_new();
	err = app->keyring ? sl_keyring_load(app->keyring, app->store) : SL_ENOMEM;
	if (err == SL_OK)
		err = sl_keyring_set_master(app->keyring, app->store,
		                            sl_secret_reveal(&config->master_key), master_key);
	if (err == SL_OK)
		err = open_tenants(app, config);
	if (err == SL_OK)
		err = sl_store_run(app->store, &start.job);
	if (err == SL_OK && start.first && config->keys_required &&
	    sl_keyring_count(app->keyring) == 0)
		err = sl_keyring_create_first(app->keyring, SL_SLICE("first key"), first_key);
	if (err != SL_OK) {
		sl_buf_printf(reason, "store %.*s: %s\n", SL_ARG(config->store), sl_err_text(err));
		return false;
	}
	return true;
}

static bool
open_board(struct sl_app *app, const struct sl_config *config, struct sl_buf *reason)
{
	enum sl_err err;

	app->board = sl_board_new();
	err = app->board ? sl_admin_load_switches(app->board, app->store) : SL_ENOMEM;
	if (err != SL_OK) {
		sl_buf_printf(reason, "store %.*s: the list of disabled deployments: %s\n",
		              SL_ARG(config->store), sl_err_text(err));
		return false;
	}
	sl_board_register(app->board, config);
	return true;
}

static bool
open_stacks(struct sl_app *app, const struct sl_config *config, struct sl_buf *reason)
{
	enum sl_err err;

	app->stacks = sl_stacks_new();
	app->sticky = sl_sticky_new();
	app->shelf = sl_shelf_new();
	app->queue = sl_queue_new();
	err = app->stacks && app->sticky && app->shelf && app->queue
	          ? sl_admin_load_stacks(app->stacks, app->store)
	          : SL_ENOMEM;
	if (err != SL_OK)
		sl_buf_printf(reason, "store %.*s: the stacks: %s\n", SL_ARG(config->store),
		              sl_err_text(err));
	return err == SL_OK;
}

static unsigned
count_workers(const struct sl_config *config)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (config->workers)
		return (unsigned)config->workers;
	return cores < 1 ? 1 : cores > WORKERS_MAX ? WORKERS_MAX : (unsigned)cores;
}

/* What a person types: a wildcard address is reached as loopback. */
static bool
set_base_url(struct sl_app *app, const struct sl_config *config, uint16_t port)
{
	struct sl_slice host = config->listen[0].host;
	bool v6;

	if (sl_slice_is(host, "0.0.0.0"))
		host = SL_SLICE("127.0.0.1");
	else if (sl_slice_is(host, "::"))
		host = SL_SLICE("::1");
	v6 = sl_slice_find(host, ':') >= 0;
	app->base_url = sl_arena_printf(&app->arena, "%s://%s%.*s%s:%u",
	                                app->tls[0] ? "https" : "http", v6 ? "[" : "",
	                                SL_ARG(host), v6 ? "]" : "", (unsigned)port);
	return app->base_url.ptr != NULL;
}

static bool
open_workers(struct sl_app *app, struct sl_buf *reason)
{
	const struct sl_config *config = sl_world_config(app->world);
	uint16_t *ports = SL_ARENA_ARRAY(&app->arena, uint16_t, app->listener_count);
	unsigned count = count_workers(config);

	app->workers = calloc(count, sizeof(*app->workers));
	if (!app->workers || !ports) {
		sl_buf_append_str(reason, "out of memory\n");
		return false;
	}
	app->worker_count = count;
	for (size_t i = 0; i < app->listener_count; i++)
		ports[i] = config->listen[i].port;
	/* All listen before one runs: a failure then has nothing to undo. */
	for (unsigned i = 0; i < count; i++)
		if (!sl_worker_init(&app->workers[i], app, i, ports, reason))
			return false;
	if (!set_base_url(app, config, ports[0]))
		return false;
	for (unsigned i = 0; i < count; i++)
		if (!sl_worker_start(&app->workers[i])) {
			sl_buf_append_str(reason, "cannot start a thread\n");
			return false;
		}
	return true;
}

static bool
start(struct sl_app *app, struct sl_buf *reason)
{
	struct sl_telemetry_config telemetry;
	struct sl_buf master_key, first_key;
	const struct sl_config *config;
	bool ok = false;

	sl_buf_init(&master_key, 1024);
	sl_buf_init(&first_key, 1024);
	app->world = sl_app_load(app, reason);
	if (!app->world)
		goto out;
	/* Warnings. */
	fwrite(reason->ptr ? reason->ptr : "", 1, reason->len, stderr);
	sl_buf_clear(reason);
	config = sl_world_config(app->world);
	app->keys_required = config->keys_required;
	sl_log_init(log_level(config->log_level), STDERR_FILENO);
	sl_resolve_use_servers(config->dns_servers.items, config->dns_servers.count);
	raise_fd_limit(app, config->limits.connections);
	size_fd_table(config->limits.connections);
	atomic_store(&app->loaded_wall_ms, sl_clock_wall_ms());
	/* A start that fails must not make keys that nobody gets to see. */
	if (!open_tls(app, config, reason) || !sl_worker_probe(app, reason) ||
	    !open_state(app, &master_key, &first_key, reason) || !sl_app_open_money(app, reason))
		goto out;
	telemetry = (struct sl_telemetry_config){ .loops = count_workers(config),
		                                  .access_log = config->access_log,
		                                  .version = SL_VERSION,
		                                  .queue_bytes =
		                                      config->limits.record_queue_bytes,
		                                  .spool = app->spool };
	app->telemetry = sl_telemetry_new(&telemetry, app->store);
	if (!app->telemetry) {
		sl_buf_append_str(reason, "out of memory\n");
		goto out;
	}
	/* Without memory for these, estimates stay as they are and agents new. */
	app->corrections = sl_token_memory_new();
	app->agents = sl_agent_book_new();
	if (!open_board(app, config, reason) || !open_stacks(app, config, reason))
		goto out;
	keep_heap();
	if (!open_workers(app, reason))
		goto out;
	sl_banner_print(app, sl_buf_slice(&master_key), sl_buf_slice(&first_key));
	ok = true;
out:
	if (master_key.ptr)
		explicit_bzero(master_key.ptr, master_key.len);
	if (first_key.ptr)
		explicit_bzero(first_key.ptr, first_key.len);
	sl_buf_release(&master_key);
	sl_buf_release(&first_key);
	return ok;
}

/* --- run and stop ------------------------------------------------------------------ */

static void
reload_by_signal(struct sl_app *app)
{
	struct sl_buf report;
	enum sl_err err;

	sl_buf_init(&report, REPORT_MAX);
	err = sl_app_reload(app, &report);
	if (err == SL_OK)
		sl_log(SL_LOG_INFO, "configuration reloaded",
		       { .name = "report", .kind = SL_LOG_JSON, .text = sl_buf_slice(&report) });
	else
		sl_log(SL_LOG_ERROR, "configuration refused, the old one stays",
		       SL_LOG_S("reason", sl_buf_slice(&report)));
	sl_buf_release(&report);
}

static bool
all_drained(struct sl_app *app)
{
	for (unsigned i = 0; i < app->worker_count; i++)
		if (!atomic_load(&app->workers[i].drained))
			return false;
	return true;
}

static void
drain(struct sl_app *app, int signals)
{
	uint64_t grace_ms, end_ns;
	int signal_number;

	pthread_mutex_lock(&app->lock);
	grace_ms = sl_world_config(app->world)->shutdown_grace_ms;
	pthread_mutex_unlock(&app->lock);
	sl_log(SL_LOG_INFO, "stopping: nothing new is accepted, requests in flight go on",
	       SL_LOG_I("grace_ms", grace_ms));
	atomic_store(&app->draining, true);
	for (unsigned i = 0; i < app->worker_count; i++)
		sl_worker_drain(&app->workers[i]);
	end_ns = sl_clock_mono_ns() + grace_ms * 1000000u;
	while (!all_drained(app) && sl_clock_mono_ns() < end_ns) {
		signal_number = next_signal(signals, DRAIN_LOOK_MS);
		if (signal_number == SIGTERM || signal_number == SIGINT) {
			sl_log(SL_LOG_WARN, "told twice: stopping now");
			break;
		}
	}
}

static void
wait_for_the_end(struct sl_app *app, int signals)
{
	bool settled = false;

	for (;;) {
		switch (next_signal(signals, settled ? -1 : SETTLED_MS)) {
		case SIGHUP:
			reload_by_signal(app);
			break;
		case SIGTERM:
		case SIGINT:
			drain(app, signals);
			return;
		default:
			if (!settled)
				(void)dl_iterate_phdr(forget_constants, NULL);
			settled = true;
			break;
		}
	}
}

static void
stop(struct sl_app *app)
{
	for (unsigned i = 0; i < app->worker_count; i++)
		if (app->workers[i].started)
			sl_loop_stop(app->workers[i].loop);
	for (unsigned i = 0; i < app->worker_count; i++)
		if (app->workers[i].started)
			pthread_join(app->workers[i].thread, NULL);
	sl_app_reload_join(app);
	for (unsigned i = 0; i < app->worker_count; i++)
		sl_worker_close(&app->workers[i]);
	sl_app_reload_end(app);
	sl_app_close_money(app, sl_telemetry_free(app->telemetry));
	sl_store_free(app->store);
	sl_answers_free(app->answers);
	if (app->keyring)
		sl_keyring_free(app->keyring);
	sl_tenants_free(app->tenants);
	sl_board_free(app->board);
	sl_stacks_free(app->stacks);
	sl_token_memory_free(app->corrections);
	sl_sticky_free(app->sticky);
	sl_shelf_free(app->shelf);
	sl_agent_book_free(app->agents);
	/* Last: the store posts the end of its jobs to them. */
	for (unsigned i = 0; i < app->worker_count; i++)
		sl_worker_release(&app->workers[i]);
	sl_queue_free(app->queue);
	sl_alerts_free(app->alerts);
	free(app->workers);
	if (app->mock)
		sl_mock_thread_stop(app->mock);
	for (size_t i = 0; app->tls && i < app->listener_count; i++)
		if (app->tls[i])
			sl_tls_unref(app->tls[i]);
	sl_world_unref(app->world);
	sl_arena_release(&app->arena);
}

int
sl_serve_run(const struct sl_serve_options *options)
{
	struct sl_app app = { .options = options };
	pthread_condattr_t attributes;
	struct sl_buf reason;
	int signals, status = SL_EXIT_FAILED;

	harden();
	sl_arena_init(&app.arena, 4096, 1024 * 1024);
	sl_buf_init(&reason, REPORT_MAX);
	pthread_mutex_init(&app.lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&app.swapped, &attributes);
	pthread_condattr_destroy(&attributes);
	signals = open_signals();
	if (signals < 0)
		fprintf(stderr, "sluice serve: signals: %s\n", strerror(errno));
	else if (!start(&app, &reason))
		fprintf(stderr, "%.*ssluice serve: not started\n", (int)reason.len,
		        reason.ptr ? reason.ptr : "");
	else {
		wait_for_the_end(&app, signals);
		status = SL_EXIT_OK;
	}
	stop(&app);
	if (signals >= 0)
		close(signals);
	pthread_cond_destroy(&app.swapped);
	pthread_mutex_destroy(&app.lock);
	sl_buf_release(&reason);
	return status;
}

/* admin.h - the operator's side of the port: the admin API, health, metrics, and
 * the page at "/".
 *
 * One route table; every row names the role it needs (none, master), and a row
 * without one stops start-up. JSON in and out, errors in the gateway envelope
 * {"error":{"type","message",...}}. One sl_admin per loop.
 */
#ifndef SL_ADMIN_ADMIN_H
#define SL_ADMIN_ADMIN_H

#include "base/buf.h"
#include "net/server.h"
#include "telemetry/telemetry.h"

struct sl_agent_book;
struct sl_board;
struct sl_queue;
struct sl_config;
struct sl_keyring;
struct sl_money;
struct sl_tenants;
struct sl_stacks;
struct sl_store;
struct sl_world;
struct sl_admin;

/* A configuration that is being read. Its owner keeps it until done, which comes once, on
 * the loop that asked, or at the end of the process, when calls and admin are gone. */
struct sl_reload {
	/* SL_OK: {"changed":[...]} in report; SL_ESYNTAX: the problems as text, one
	 * "FILE:LINE:COL: ..." a line; SL_EBUSY: the process ends. */
	enum sl_err    err;
	struct sl_buf  report;
	void         (*done)(struct sl_reload *reload);
};

/* What the admin room works on. shared: frozen for the process's life. */
struct sl_admin_services {
	struct sl_store     *store;
	struct sl_keyring   *keyring;
	struct sl_tenants   *tenants;
	struct sl_telemetry *telemetry;
	struct sl_board     *board;
	struct sl_queue     *queue;
	struct sl_stacks    *stacks;
	struct sl_agent_book *agents; /* NULL: all are newcomers */
	struct sl_money     *money;
	/* The configuration in force on this loop, valid during the call. */
	const struct sl_config *(*config)(void *context);
	struct sl_world *(*world)(void *context);
	bool                 keys_required;
	/* POST /admin/reload. SL_OK: it is read on another thread, and done follows. SL_EBUSY:
	 * another one is under way, or the process ends; SL_ENOMEM. */
	enum sl_err (*reload)(void *context, struct sl_reload *reload);
	void (*gauges)(void *context, struct sl_telemetry_gauges *out);
	/* "host:port" of the first listener and a model to try, for the page. */
	struct sl_slice (*base_url)(void *context);
	struct sl_slice (*sample_model)(void *context);
	bool (*draining)(void *context);
	void *context;
};

struct sl_admin *sl_admin_new(struct sl_loop *loop, const struct sl_admin_services *services);
void sl_admin_free(struct sl_admin *admin);
const struct sl_server_handler *sl_admin_handler(struct sl_admin *admin);
/* At start, before the loops: which deployments were disabled. */
enum sl_err sl_admin_load_switches(struct sl_board *board, struct sl_store *store);
/* The same for the stacks that the admin API made. */
enum sl_err sl_admin_load_stacks(struct sl_stacks *stacks, struct sl_store *store);
/* Whether the raw path is the admin room's: /admin and below, /health, /ready,
 * /metrics, / and what the page needs. */
bool sl_admin_owns(struct sl_slice path);

#endif

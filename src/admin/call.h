/* call.h - one request to the admin room, as its handlers see it.
 *
 * A call lives as long as its exchange or as the last work it waits for,
 * whichever is longer: work for the store holds a reference, and an answer to a
 * peer that has gone is dropped. owner: loop.
 */
#ifndef SL_ADMIN_CALL_H
#define SL_ADMIN_CALL_H

#include "admin/admin.h"
#include "base/json.h"
#include "base/list.h"
#include "ledger/key.h"
#include "model/fault.h"
#include "telemetry/settled.h"

enum {
	ADMIN_BODY_MAX = 1 << 20,      /* bytes of a request */
	ADMIN_ANSWER_MAX = 256 << 20,  /* bytes of an answer: a long list of keys */
	ADMIN_ID_MAX = 64,             /* bytes of :id */
};

enum admin_role { ADMIN_ROLE_UNSET, ADMIN_ROLE_NONE, ADMIN_ROLE_KEY, ADMIN_ROLE_MASTER };

struct admin_call;

struct admin_route {
	const char     *method;
	const char     *pattern;
	enum admin_role role;
	void (*handle)(struct admin_call *call);
};

/* The table, for the self-check and for tests that go through all of it. */
extern const struct admin_route admin_routes[];
extern const size_t admin_route_count;
/* NULL, or what is wrong with a table: a row without method, pattern, role or
 * handler, or two rows for the same method and pattern. */
const char *admin_check_routes(const struct admin_route *routes, size_t count);

struct sl_admin {
	struct sl_loop          *loop;
	struct sl_admin_services services;
	struct sl_server_handler handler;
	struct sl_list           calls;
};

struct admin_call {
	struct sl_list            node;     /* in admin->calls */
	struct sl_admin          *admin;    /* NULL once the room was closed */
	struct sl_exchange       *exchange; /* NULL once the peer or the answer is gone */
	const struct admin_route *route;
	char                      id[ADMIN_ID_MAX + 1]; /* :id, decoded */
	struct sl_key            *key;      /* of role KEY; a reference */
	unsigned                  refs;
	/* Waiting for records to become durable. */
	struct sl_settled         settled;
	void (*then)(struct admin_call *call);
};

void admin_call_ref(struct admin_call *call);
void admin_call_unref(struct admin_call *call);
/* Whether there is anybody left to answer. */
bool admin_call_alive(const struct admin_call *call);

/* --- reading --------------------------------------------------------------- */

/* The body as a JSON document; false: it was refused and answered. */
bool admin_body(struct admin_call *call, struct sl_json *body);
/* A query parameter, percent-decoded on the exchange's arena. False: absent.
 * A broken escape gives the raw text. */
bool admin_query(struct admin_call *call, const char *name, struct sl_slice *value);

/* Who asks, for the audit log: "master key from 203.0.113.9", on the exchange's arena. */
struct sl_slice admin_actor(struct admin_call *call);

/* --- answering: at most once; dropped when nobody is there ------------------- */

void admin_answer(struct admin_call *call, int status, const char *content_type,
                  const struct sl_header *more, size_t more_count, struct sl_slice body);
/* A JSON body; a buffer that failed is answered as a fault. Releases it. */
void admin_answer_json(struct admin_call *call, int status, struct sl_buf *body);
void admin_answer_empty(struct admin_call *call, int status);
void admin_answer_fault(struct admin_call *call, const struct sl_fault *fault);
void admin_answer_fault_text(struct admin_call *call, enum sl_fault_kind kind,
                             const char *message);
/* 400 that names the parameter; false, for those who return it. */
bool admin_refuse(struct admin_call *call, const char *param, const char *message);
/* 405, with the path's methods. */
void admin_answer_method(struct admin_call *call, struct sl_slice allow);
/* What a failed store job means to the caller: never 401, 403 or 404. */
void admin_answer_store(struct admin_call *call, enum sl_err err);

/* Calls then when every record that was finished before now is durable, so that
 * sums include the request before; or after half a second, whatever happened. */
void admin_settled(struct admin_call *call, void (*then)(struct admin_call *call));

/* Writes a row of the audit log by itself, for what changes nothing in the store. */
void admin_note(struct admin_call *call, const char *action, struct sl_slice after_json);
/* The same for a call whose peer may have gone since. */
void admin_note_of(struct admin_call *call, struct sl_slice actor, const char *action,
                   struct sl_slice after_json);

/* --- handlers, as routes.def names them ---------------------------------------- */

#define SL_ROUTE(method, pattern, role, handler) void admin_##handler(struct admin_call *call);
#include "admin/routes.def"
#undef SL_ROUTE

#endif

/* store.h - durable state behind one ops-table.
 *
 * A store kind (SQLite now; PostgreSQL later) implements sl_store_ops with
 * plain blocking calls. They run on one store thread, which alone holds the
 * connection; everybody else submits jobs and is told on its own loop. No event
 * loop ever waits for a disk.
 *
 * To add a kind: one file and one line in stores.def.
 */
#ifndef SL_STORE_STORE_H
#define SL_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "net/loop.h"

/* A virtual key as stored. The secret itself is nowhere: digest is
 * HMAC-SHA-256 under the store's pepper. */
struct sl_key_row {
	struct sl_slice id;          /* "vk_" + ULID */
	unsigned char   digest[32];
	struct sl_slice hint;        /* first characters, for people: "gw_virt_ab12" */
	struct sl_slice policy_json; /* every other field, as the admin API shows it */
	int64_t         created_wall_ms;
	int64_t         revoked_wall_ms; /* 0: not revoked */
};

/* One finished ask, flattened for storage. Text is already capped. */
struct sl_record_row {
	struct sl_slice text[18];    /* columns of records.def, in order */
	int64_t         number[40];
};

enum sl_spend_group { SL_SPEND_KEY, SL_SPEND_TEAM, SL_SPEND_WORKSPACE, SL_SPEND_MODEL,
	              SL_SPEND_PROVIDER, SL_SPEND_GROUPS };
struct sl_spend_query {
	enum sl_spend_group by;
	int64_t             since_wall_ms, until_wall_ms; /* [since, until) */
};
struct sl_spend_row {
	struct sl_slice name;
	int64_t requests, input_tokens, output_tokens, cost_nanousd, unpriced_requests;
};

struct sl_store_ops {
	const char *scheme; /* "sqlite" */
	/* rest: the URL behind "scheme:". On failure *reason tells the operator
	 * (static or valid until close). Creates and migrates the schema. */
	enum sl_err (*open)(struct sl_slice rest, void **conn, const char **reason);
	void (*close)(void *conn);
	enum sl_err (*begin)(void *conn);
	enum sl_err (*commit)(void *conn);
	void (*rollback)(void *conn);
	/* Small named values: pepper, master key digest, schema facts. */
	enum sl_err (*meta_get)(void *conn, const char *name, struct sl_buf *out);
	enum sl_err (*meta_put)(void *conn, const char *name, struct sl_slice value);
	enum sl_err (*key_put)(void *conn, const struct sl_key_row *row); /* insert or replace by id */
	enum sl_err (*key_each)(void *conn, bool (*each)(void *context, const struct sl_key_row *row),
	                        void *context);
	enum sl_err (*records_append)(void *conn, const struct sl_record_row *rows, size_t count);
	enum sl_err (*spend)(void *conn, const struct sl_spend_query *query,
	                     bool (*each)(void *context, const struct sl_spend_row *row),
	                     void *context);
};

struct sl_store;

/* Opens synchronously (start-up), then starts the store thread. NULL: *reason. */
struct sl_store *sl_store_new(struct sl_slice url, const char **reason);
/* Runs every submitted job, then stops. */
void sl_store_free(struct sl_store *store);

/* Work for the store thread. Embedded in its owner. run is called on the store
 * thread; then done on `loop` (or, when loop is NULL, on the store thread). */
struct sl_store_job {
	struct sl_task  task; /* private */
	struct sl_loop *loop;
	enum sl_err     err;  /* for run to leave its result in */
	void (*run)(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn);
	void (*done)(struct sl_store_job *job);
};
/* Any thread. SL_EBUSY when too many jobs wait (nothing was queued). */
enum sl_err sl_store_submit(struct sl_store *store, struct sl_store_job *job);
/* Runs the job and waits for it: only before the loops start and in commands. */
enum sl_err sl_store_run(struct sl_store *store, struct sl_store_job *job);
/* False while the disk refuses writes (full, I/O error): /ready says so. */
bool sl_store_healthy(const struct sl_store *store);

#endif

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
#include "model/usage.h"
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

/* One finished ask, flattened for storage: the columns of records.def. Empty
 * text and SL_RECORD_NULL are stored as NULL. Text is UTF-8 and already capped. */
#define SL_RECORD_NULL INT64_MIN
struct sl_record_row {
#define SL_RECORD_TEXT(name, max_size) struct sl_slice name;
#define SL_RECORD_INT(name)            int64_t name;
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
	int64_t usage[SL_USAGE_COUNT];
	/* Equal bytes: equal in all columns that many rows have in common, the owner and kind
	 * of sqlite_columns.def. Empty: nothing is known of that. */
	struct sl_slice common;
};

/* Where records_append takes rows from; false at the end. A row's text is valid
 * until records_append returns; `row` is zeroed at first, then as the last call left it. */
struct sl_record_source {
	bool (*next)(struct sl_record_source *source, struct sl_record_row *row);
};

enum sl_spend_group { SL_SPEND_KEY, SL_SPEND_TEAM, SL_SPEND_WORKSPACE, SL_SPEND_MODEL,
	              SL_SPEND_PROVIDER, SL_SPEND_TAG, SL_SPEND_GROUPS };
struct sl_spend_query {
	enum sl_spend_group by;
	int64_t             since_wall_ms, until_wall_ms; /* [since, until), by end of the ask */
	bool                hourly; /* a row for each name and hour, else for each name */
};
/* Asks without the property asked for (no key, no provider ...) come under the
 * empty name, so that every grouping has the same sums. model: as served. */
struct sl_spend_row {
	struct sl_slice name;
	int64_t hour; /* since 1970; 0 unless hourly */
	int64_t requests, input_tokens, output_tokens, cost_nanousd, unpriced_requests;
};

/* A paid answer that is kept for who asks the same again (ledger/answers.h). */
struct sl_answer_row {
	struct sl_slice id, request; /* digests */
	struct sl_slice content_type, body;
	struct sl_slice told; /* JSON: what its head said of the choice */
	int             status;
	int64_t         expires_wall_ms;
};

struct sl_log_ops;
struct sl_money_ops;
struct sl_response_ops;
struct sl_tenant_ops;

struct sl_store_ops {
	const char *scheme; /* "sqlite" */
	/* rest: the URL behind "scheme:". Creates and migrates the schema. On
	 * failure *reason tells the operator what to change (valid until this
	 * thread's next open). Refuses a database another process has open. */
	enum sl_err (*open)(struct sl_slice rest, void **conn, const char **reason);
	/* A second connection that only reads, beside the one above or another
	 * process's: for commands. */
	enum sl_err (*open_reader)(struct sl_slice rest, void **conn, const char **reason);
	void (*close)(void *conn);
	/* A transaction is durable when commit returned SL_OK. After any failure
	 * of commit nothing of it remains. */
	enum sl_err (*begin)(void *conn);
	enum sl_err (*commit)(void *conn);
	void (*rollback)(void *conn);
	/* A part of the transaction that can be taken back alone: mark, then keep
	 * or undo. When undo fails the whole transaction is lost. */
	enum sl_err (*mark)(void *conn);
	enum sl_err (*keep)(void *conn);
	enum sl_err (*undo)(void *conn);
	/* Small named values: pepper, master key digest, schema facts.
	 * meta_get appends; SL_ENOTFOUND when there is none. */
	enum sl_err (*meta_get)(void *conn, const char *name, struct sl_buf *out);
	enum sl_err (*meta_put)(void *conn, const char *name, struct sl_slice value);
	enum sl_err (*key_put)(void *conn, const struct sl_key_row *row); /* insert or replace by id */
	/* In the order of ids (so of creation); stops when each returns false. */
	enum sl_err (*key_each)(void *conn, bool (*each)(void *context, const struct sl_key_row *row),
	                        void *context);
	/* The rows and what spend reads, together or not at all. */
	enum sl_err (*records_append)(void *conn, struct sl_record_source *source);
	/* The record of a request, if it has ended. SL_ENOTFOUND. end_wall_ms: when, for who
	 * knows and asks often; else SL_RECORD_NULL. */
	enum sl_err (*record_find)(void *conn, struct sl_slice request_id, int64_t end_wall_ms,
	                           void (*found)(void *context, const struct sl_record_row *row),
	                           void *context);
	/* In the order of names, then hours. Rows are valid during each. */
	enum sl_err (*spend)(void *conn, const struct sl_spend_query *query,
	                     bool (*each)(void *context, const struct sl_spend_row *row),
	                     void *context);
	enum sl_err (*answer_put)(void *conn, const struct sl_answer_row *row); /* by id */
	/* In the order of their ends; stops when each returns false. */
	enum sl_err (*answer_each)(void *conn,
	                           bool (*each)(void *context, const struct sl_answer_row *row),
	                           void *context);
	/* Removes those that ended by then, and the oldest but `most`. */
	enum sl_err (*answer_trim)(void *conn, int64_t now_wall_ms, size_t most);
	const struct sl_log_ops *log; /* store/log_store.h */
	const struct sl_money_ops *money; /* store/money_store.h */
	const struct sl_tenant_ops *tenants; /* store/tenant_store.h */
	const struct sl_response_ops *responses; /* store/response_store.h */
};

#define SL_STORE(id) extern const struct sl_store_ops sl_store_##id;
#include "store/stores.def"
#undef SL_STORE

struct sl_store;

/* Opens synchronously (start-up), then starts the store thread. url is
 * "scheme:rest" as in the configuration. NULL: *reason says what to change, valid
 * until the calling thread's next sl_store_new. */
struct sl_store *sl_store_new(struct sl_slice url, const char **reason);
/* A reading connection of its own, for commands; *conn is closed by (*ops)->close. */
enum sl_err sl_store_open_reader(struct sl_slice url, const struct sl_store_ops **ops,
                                 void **conn, const char **reason);
/* Runs every submitted job, then stops. done of the last jobs is posted to their
 * loops, which may no longer run it. NULL is allowed. */
void sl_store_free(struct sl_store *store);

/* Work for the store thread. Embedded in its owner, who keeps it until done. run
 * is called on the store thread and leaves its result in err; then done on `loop`
 * (or, when loop is NULL, on the store thread). err is final in done: jobs that
 * arrived together share a transaction, SL_OK means that what run wrote is on
 * disk, anything else that nothing of it was kept. run is called exactly once and
 * makes no transaction calls. */
struct sl_store_job {
	struct sl_task  task; /* private */
	struct sl_loop *loop;
	enum sl_err     err;  /* for run to leave its result in */
	void (*run)(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn);
	void (*done)(struct sl_store_job *job);
};
enum { SL_STORE_JOBS_MAX = 4096 };
/* Any thread. SL_EBUSY when too many jobs wait (nothing was queued). */
enum sl_err sl_store_submit(struct sl_store *store, struct sl_store_job *job);
/* Runs the job and waits for it: only before the loops start and in commands.
 * Returns job->err; done is not called. */
enum sl_err sl_store_run(struct sl_store *store, struct sl_store_job *job);
/* False while the disk refuses writes (full, I/O error): /ready says so. Jobs are
 * still tried and fail with the reason; a probe write finds out within
 * SL_STORE_PROBE_MS that the disk is well again. */
enum { SL_STORE_PROBE_MS = 250 };
bool sl_store_healthy(const struct sl_store *store);

#endif

/* audit.c - GET /admin/audit?limit&after&before: what operators changed.
 *
 * Newest first, and ?before=ID goes on where an answer ended. With ?after=ID oldest first,
 * for those who copy the log elsewhere. Each row carries its chain, so a
 * copy can be checked against the store later.
 */
#include <stdlib.h>

#include "admin/call.h"
#include "base/timestamp.h"
#include "ledger/audit.h"
#include "ledger/digest.h"

enum { LIMIT = 100, LIMIT_MAX = 1000 };

struct query {
	struct sl_store_job   job;
	struct admin_call    *call;
	int64_t               after, before, limit;
	bool                  oldest_first;
	struct sl_json_writer w;
	struct sl_buf         body;
};

static void
put_change(struct sl_json_writer *w, const char *name, struct sl_slice json)
{
	sl_json_key(w, name);
	if (json.len)
		sl_json_put_raw(w, json);
	else
		sl_json_put_null(w);
}

static bool
put_row(void *context, const struct sl_audit_row *row)
{
	struct query *query = context;
	struct sl_json_writer *w = &query->w;
	char time[SL_TIMESTAMP_LEN + 1], chain[2 * SL_AUDIT_CHAIN_SIZE];

	sl_hex_encode(row->chain, sizeof(row->chain), chain);
	sl_json_obj(w);
	sl_json_int(w, "id", row->id);
	sl_json_str(w, "at", sl_slice_make(time, sl_timestamp_format(row->wall_ms, time)));
	sl_json_str(w, "actor", row->actor);
	sl_json_str(w, "action", row->action);
	sl_json_str(w, "target", row->target);
	put_change(w, "before", row->before_json);
	put_change(w, "after", row->after_json);
	sl_json_str(w, "chain", sl_slice_make(chain, sizeof(chain)));
	sl_json_obj_end(w);
	return !query->body.failed;
}

static void
run_query(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct query *query = SL_CONTAINER(job, struct query, job);

	sl_json_writer_init(&query->w, &query->body);
	sl_json_obj(&query->w);
	sl_json_key(&query->w, "data");
	sl_json_arr(&query->w);
	job->err = ops->tenants->audit_each(conn, query->oldest_first ? query->after : query->before,
	                                    query->limit, !query->oldest_first, put_row, query);
	sl_json_arr_end(&query->w);
	sl_json_obj_end(&query->w);
}

static void
query_done(struct sl_store_job *job)
{
	struct query *query = SL_CONTAINER(job, struct query, job);
	struct admin_call *call = query->call;

	if (admin_call_alive(call) && job->err == SL_OK)
		admin_answer_json(call, 200, &query->body);
	else if (admin_call_alive(call))
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE,
		                        "The store could not be read. See the log.");
	sl_buf_release(&query->body);
	free(query);
	admin_call_unref(call);
}

/* A whole number of 1 or more. False: refused and answered. */
static bool
read_number(struct admin_call *call, const char *name, int64_t *value, bool *given)
{
	struct sl_slice text;

	*given = admin_query(call, name, &text);
	if (!*given || (sl_slice_i64(text, value) && *value >= 0))
		return true;
	return admin_refuse(call, name, "limit, after and before are whole numbers; after and "
	                                "before are ids of rows.");
}

void
admin_audit(struct admin_call *call)
{
	struct query *query = calloc(1, sizeof(*query));
	bool given;

	if (!query) {
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE, "Out of memory.");
		return;
	}
	query->limit = LIMIT;
	if (!read_number(call, "limit", &query->limit, &given) ||
	    !read_number(call, "before", &query->before, &given) ||
	    !read_number(call, "after", &query->after, &query->oldest_first)) {
		free(query);
		return;
	}
	if (query->limit < 1 || query->limit > LIMIT_MAX)
		query->limit = LIMIT_MAX;
	query->job.loop = call->admin->loop;
	query->job.run = run_query;
	query->job.done = query_done;
	query->call = call;
	sl_buf_init(&query->body, ADMIN_ANSWER_MAX);
	if (sl_store_submit(call->admin->services.store, &query->job) == SL_OK) {
		admin_call_ref(call);
		return;
	}
	free(query);
	admin_answer_fault_text(call, SL_FAULT_OVERLOADED, "The store is busy. Try again soon.");
}

/* spend.c - GET /admin/spend?by=key,team,...&since&until: sums over the records.
 *
 * Times are RFC 3339, a date, or seconds since 1970; [since, until). The rows of
 * every grouping add up to the same total, because asks without a key, a team or
 * a provider stand under null.
 */
#include <stdlib.h>

#include "admin/call.h"
#include "base/timestamp.h"
#include "ledger/key.h"
#include "store/store.h"

static const struct group {
	const char *name; /* in ?by= and as the row's member */
	const char *list; /* in the answer */
} groups[SL_SPEND_GROUPS] = {
	[SL_SPEND_KEY] = { "key", "by_key" },
	[SL_SPEND_TEAM] = { "team", "by_team" },
	[SL_SPEND_WORKSPACE] = { "workspace", "by_workspace" },
	[SL_SPEND_MODEL] = { "model", "by_model" },
	[SL_SPEND_PROVIDER] = { "provider", "by_provider" },
};

struct query {
	struct sl_store_job   job;
	struct admin_call    *call;
	struct sl_keyring    *keyring;
	unsigned              wanted; /* bit 1 << group */
	bool                  has_since, has_until;
	int64_t               since_wall_ms, until_wall_ms;
	/* store thread, while it runs */
	enum sl_spend_group   group;
	bool                  first;
	struct sl_spend_row   total;
	struct sl_json_writer writer;
	struct sl_buf         body;
};

/* --- on the store's thread ------------------------------------------------------- */

static void
write_sums(struct sl_json_writer *w, const struct sl_spend_row *row)
{
	sl_json_int(w, "requests", row->requests);
	sl_json_int(w, "input_tokens", row->input_tokens);
	sl_json_int(w, "output_tokens", row->output_tokens);
	sl_json_usd(w, "cost_usd", row->cost_nanousd);
	sl_json_int(w, "unpriced_requests", row->unpriced_requests);
}

static void
write_name(struct query *query, struct sl_slice id)
{
	struct sl_buf name;

	sl_buf_init(&name, 1024);
	sl_json_key(&query->writer, "name");
	if (sl_keyring_name(query->keyring, id, &name) && name.len)
		sl_json_put_str(&query->writer, sl_buf_slice(&name));
	else
		sl_json_put_null(&query->writer);
	sl_buf_release(&name);
}

static bool
write_row(void *context, const struct sl_spend_row *row)
{
	struct query *query = context;
	struct sl_json_writer *w = &query->writer;

	sl_json_obj(w);
	sl_json_key(w, groups[query->group].name);
	if (row->name.len)
		sl_json_put_str(w, row->name);
	else
		sl_json_put_null(w);
	if (query->group == SL_SPEND_KEY && row->name.len)
		write_name(query, row->name);
	write_sums(w, row);
	sl_json_obj_end(w);
	if (query->first) {
		query->total.requests += row->requests;
		query->total.input_tokens += row->input_tokens;
		query->total.output_tokens += row->output_tokens;
		query->total.cost_nanousd += row->cost_nanousd;
		query->total.unpriced_requests += row->unpriced_requests;
	}
	return !query->body.failed;
}

static void
write_time(struct sl_json_writer *w, const char *name, bool given, int64_t wall_ms)
{
	char text[SL_TIMESTAMP_LEN + 1];

	sl_json_key(w, name);
	if (given)
		sl_json_put_str(w, sl_slice_make(text, sl_timestamp_format(wall_ms, text)));
	else
		sl_json_put_null(w);
}

static void
run_query(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct query *query = SL_CONTAINER(job, struct query, job);
	struct sl_json_writer *w = &query->writer;

	job->err = SL_OK;
	query->first = true;
	sl_json_writer_init(w, &query->body);
	sl_json_obj(w);
	sl_json_key(w, "data");
	sl_json_obj(w);
	for (unsigned i = 0; i < SL_SPEND_GROUPS && job->err == SL_OK; i++) {
		struct sl_spend_query asked = { (enum sl_spend_group)i, query->since_wall_ms,
			                        query->until_wall_ms };

		if (!(query->wanted >> i & 1))
			continue;
		query->group = asked.by;
		sl_json_key(w, groups[i].list);
		sl_json_arr(w);
		job->err = ops->spend(conn, &asked, write_row, query);
		sl_json_arr_end(w);
		query->first = false;
	}
	sl_json_obj_end(w);
	sl_json_key(w, "total");
	sl_json_obj(w);
	write_sums(w, &query->total);
	sl_json_obj_end(w);
	write_time(w, "since", query->has_since, query->since_wall_ms);
	write_time(w, "until", query->has_until, query->until_wall_ms);
	sl_json_obj_end(w);
}

/* --- on the loop ------------------------------------------------------------------ */

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

static bool
refuse(struct admin_call *call, const char *param, const char *message)
{
	struct sl_fault fault;

	sl_fault_set(&fault, SL_FAULT_BAD_REQUEST, sl_slice_str(message));
	fault.param = sl_slice_str(param);
	admin_answer_fault(call, &fault);
	return false;
}

static bool
read_groups(struct admin_call *call, unsigned *wanted)
{
	struct sl_slice rest;

	*wanted = 1u << SL_SPEND_KEY | 1u << SL_SPEND_TEAM | 1u << SL_SPEND_MODEL;
	if (!admin_query(call, "by", &rest) || rest.len == 0)
		return true;
	*wanted = 0;
	while (rest.len) {
		struct sl_slice name = sl_slice_trim(sl_slice_cut(&rest, ','));
		unsigned bit = 0;

		for (unsigned i = 0; i < SL_SPEND_GROUPS; i++)
			if (sl_slice_is(name, groups[i].name))
				bit = 1u << i;
		if (!bit)
			return refuse(call, "by", "by is a list of key, team, workspace, model "
			                          "and provider, separated by commas.");
		*wanted |= bit;
	}
	return true;
}

static bool
read_time(struct admin_call *call, const char *name, bool *given, int64_t *wall_ms)
{
	struct sl_slice text;

	*given = admin_query(call, name, &text) && text.len > 0;
	if (!*given || sl_timestamp_parse(text, wall_ms))
		return true;
	return refuse(call, name, "Times are written as 2027-01-31T23:59:59Z, as 2027-01-31 or as "
	                          "seconds since 1970.");
}

static bool
read_query(struct admin_call *call, struct query *query)
{
	struct sl_slice ignored;

	query->until_wall_ms = INT64_MAX;
	if (admin_query(call, "interval", &ignored))
		return refuse(call, "interval", "interval is not supported yet: ask for several "
		                                "ranges with since and until.");
	if (!read_groups(call, &query->wanted) ||
	    !read_time(call, "since", &query->has_since, &query->since_wall_ms) ||
	    !read_time(call, "until", &query->has_until, &query->until_wall_ms))
		return false;
	return query->since_wall_ms <= query->until_wall_ms ||
	       refuse(call, "until", "until is before since.");
}

static void
start(struct admin_call *call)
{
	struct query *query = calloc(1, sizeof(*query));

	if (!query) {
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE, "Out of memory.");
		return;
	}
	if (!read_query(call, query)) {
		free(query);
		return;
	}
	query->job.loop = call->admin->loop;
	query->job.run = run_query;
	query->job.done = query_done;
	query->call = call;
	query->keyring = call->admin->services.keyring;
	sl_buf_init(&query->body, ADMIN_ANSWER_MAX);
	if (sl_store_submit(call->admin->services.store, &query->job) == SL_OK) {
		admin_call_ref(call);
		return;
	}
	free(query);
	admin_answer_fault_text(call, SL_FAULT_OVERLOADED, "The store is busy. Try again soon.");
}

void
admin_spend(struct admin_call *call)
{
	admin_settled(call, start);
}

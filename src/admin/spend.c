/* spend.c - GET /admin/spend?by=key,team,...&since&until&interval: sums over the records.
 *
 * Times are RFC 3339, a date, or seconds since 1970; [since, until). The rows of every
 * grouping add up to the same total, because asks without a key, a team or a provider
 * stand under null. With an interval (hour, day, month; UTC) each row has a series too.
 * format=csv, or an Accept header that asks for text/csv, gives a line for each row, or for
 * each row and interval.
 */
#include <stdlib.h>

#include "admin/call.h"
#include "base/timestamp.h"
#include "ledger/key.h"
#include "ledger/zone.h"
#include "store/store.h"

#define HOUR_MS INT64_C(3600000)

static const struct group {
	const char *name; /* in ?by= and as the row's member */
	const char *list; /* in the answer */
} groups[SL_SPEND_GROUPS] = {
	[SL_SPEND_KEY] = { "key", "by_key" },
	[SL_SPEND_TEAM] = { "team", "by_team" },
	[SL_SPEND_WORKSPACE] = { "workspace", "by_workspace" },
	[SL_SPEND_MODEL] = { "model", "by_model" },
	[SL_SPEND_PROVIDER] = { "provider", "by_provider" },
	[SL_SPEND_TAG] = { "tag", "by_tag" },
};

enum interval { INTERVAL_NONE, INTERVAL_HOUR, INTERVAL_DAY, INTERVAL_MONTH, INTERVALS };
static const char *const interval_names[INTERVALS] = { "", "hour", "day", "month" };

struct sums { int64_t requests, input_tokens, output_tokens, cost_nanousd, unpriced_requests; };

struct query {
	struct sl_store_job   job;
	struct admin_call    *call;
	struct sl_keyring    *keyring;
	unsigned              wanted; /* bit 1 << group */
	bool                  has_since, has_until;
	int64_t               since_wall_ms, until_wall_ms;
	enum interval         interval;
	bool                  csv;
	/* store thread, while it runs */
	enum sl_spend_group   group;
	bool                  first;
	bool                  open;   /* a row is being written: */
	struct sl_buf         name;
	int64_t               time_ms; /* of the interval that is being summed */
	struct sums           part, row;
	struct sums           total;
	struct sl_json_writer writer;
	struct sl_buf         body;
};

/* --- on the store's thread ------------------------------------------------------- */

static void
add(struct sums *to, const struct sums *more)
{
	to->requests += more->requests;
	to->input_tokens += more->input_tokens;
	to->output_tokens += more->output_tokens;
	to->cost_nanousd += more->cost_nanousd;
	to->unpriced_requests += more->unpriced_requests;
}

static void
write_sums(struct sl_json_writer *w, const struct sums *sums)
{
	sl_json_int(w, "requests", sums->requests);
	sl_json_int(w, "input_tokens", sums->input_tokens);
	sl_json_int(w, "output_tokens", sums->output_tokens);
	sl_json_usd(w, "cost_usd", sums->cost_nanousd);
	sl_json_int(w, "unpriced_requests", sums->unpriced_requests);
}

static void
write_label(struct query *query)
{
	struct sl_json_writer *w = &query->writer;
	struct sl_buf label;

	sl_json_key(w, groups[query->group].name);
	if (query->name.len)
		sl_json_put_str(w, sl_buf_slice(&query->name));
	else
		sl_json_put_null(w);
	if (query->group != SL_SPEND_KEY || !query->name.len)
		return;
	sl_buf_init(&label, 1024);
	sl_json_key(w, "name");
	if (sl_keyring_name(query->keyring, sl_buf_slice(&query->name), &label) && label.len)
		sl_json_put_str(w, sl_buf_slice(&label));
	else
		sl_json_put_null(w);
	sl_buf_release(&label);
}

/* RFC 4180. Names are other people's text: one that a spreadsheet would take for a formula
 * gets an apostrophe in front. */
static void
put_cell(struct sl_buf *out, struct sl_slice text)
{
	sl_buf_append_char(out, '"');
	if (text.len && strchr("=+-@\t\r", text.ptr[0]))
		sl_buf_append_char(out, '\'');
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '"')
			sl_buf_append_char(out, '"');
		sl_buf_append_char(out, text.ptr[i]);
	}
	sl_buf_append_str(out, "\",");
}

static void
write_line(struct query *query)
{
	struct sl_buf *out = &query->body, label;
	char time[SL_TIMESTAMP_LEN + 1] = "";
	struct sl_json_writer amount;

	sl_buf_init(&label, 1024);
	if (query->group == SL_SPEND_KEY && query->name.len)
		(void)sl_keyring_name(query->keyring, sl_buf_slice(&query->name), &label);
	if (query->interval != INTERVAL_NONE)
		sl_timestamp_format(query->time_ms, time);
	sl_buf_append_str(out, groups[query->group].name);
	sl_buf_append_char(out, ',');
	put_cell(out, sl_buf_slice(&query->name));
	put_cell(out, sl_buf_slice(&label));
	sl_buf_printf(out, "%s,%lld,%lld,%lld,", time, (long long)query->part.requests,
	              (long long)query->part.input_tokens, (long long)query->part.output_tokens);
	sl_json_writer_init(&amount, out);
	sl_json_put_nanousd(&amount, query->part.cost_nanousd);
	sl_buf_printf(out, ",%lld\r\n", (long long)query->part.unpriced_requests);
	sl_buf_release(&label);
}

/* The interval that was summed. */
static void
end_part(struct query *query)
{
	struct sl_json_writer *w = &query->writer;
	char time[SL_TIMESTAMP_LEN + 1];

	add(&query->row, &query->part);
	if (query->csv) {
		write_line(query);
	} else if (query->interval != INTERVAL_NONE) {
		sl_json_obj(w);
		sl_json_str(w, "time",
		            sl_slice_make(time, sl_timestamp_format(query->time_ms, time)));
		write_sums(w, &query->part);
		sl_json_obj_end(w);
	}
	query->part = (struct sums){ 0 };
}

static void
end_row(struct query *query)
{
	struct sl_json_writer *w = &query->writer;

	if (!query->open)
		return;
	end_part(query);
	if (!query->csv) {
		if (query->interval != INTERVAL_NONE)
			sl_json_arr_end(w);
		write_sums(w, &query->row);
		sl_json_obj_end(w);
	}
	if (query->first)
		add(&query->total, &query->row);
	query->open = false;
}

static void
begin_row(struct query *query, struct sl_slice name)
{
	query->open = true;
	query->row = query->part = (struct sums){ 0 };
	sl_buf_clear(&query->name);
	sl_buf_append(&query->name, name);
	if (query->csv)
		return;
	sl_json_obj(&query->writer);
	write_label(query);
	if (query->interval == INTERVAL_NONE)
		return;
	sl_json_key(&query->writer, "series");
	sl_json_arr(&query->writer);
}

/* The beginning of the interval that an hour belongs to. */
static int64_t
interval_of(enum interval interval, int64_t hour)
{
	int32_t day = sl_zone_day(NULL, hour * HOUR_MS);

	if (interval == INTERVAL_DAY)
		return sl_zone_day_begins_ms(NULL, day);
	if (interval == INTERVAL_MONTH)
		return sl_zone_day_begins_ms(NULL, sl_day_of_month(sl_month_of_day(day)));
	return hour * HOUR_MS;
}

/* Rows come in the order of names and hours, so each sum is whole when another begins. */
static bool
take_row(void *context, const struct sl_spend_row *row)
{
	const struct sums sums = { row->requests, row->input_tokens, row->output_tokens,
		                   row->cost_nanousd, row->unpriced_requests };
	struct query *query = context;
	int64_t time_ms = interval_of(query->interval, row->hour);

	if (query->open && !sl_slice_eq(sl_buf_slice(&query->name), row->name))
		end_row(query);
	if (!query->open)
		begin_row(query, row->name);
	else if (time_ms != query->time_ms)
		end_part(query);
	query->time_ms = time_ms;
	add(&query->part, &sums);
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

static enum sl_err
write_group(struct query *query, enum sl_spend_group group, const struct sl_store_ops *ops,
            void *conn)
{
	const struct sl_spend_query asked = { group, query->since_wall_ms, query->until_wall_ms,
		                              query->interval != INTERVAL_NONE };
	enum sl_err err;

	query->group = group;
	if (!query->csv) {
		sl_json_key(&query->writer, groups[group].list);
		sl_json_arr(&query->writer);
	}
	err = ops->spend(conn, &asked, take_row, query);
	end_row(query);
	if (!query->csv)
		sl_json_arr_end(&query->writer);
	query->first = false;
	return err;
}

static void
run_query(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct query *query = SL_CONTAINER(job, struct query, job);
	struct sl_json_writer *w = &query->writer;

	job->err = SL_OK;
	query->first = true;
	sl_json_writer_init(w, &query->body);
	if (query->csv) {
		sl_buf_append_str(&query->body, "by,id,name,time,requests,input_tokens,output_tokens,"
		                                "cost_usd,unpriced_requests\r\n");
	} else {
		sl_json_obj(w);
		sl_json_key(w, "data");
		sl_json_obj(w);
	}
	for (unsigned i = 0; i < SL_SPEND_GROUPS && job->err == SL_OK; i++)
		if (query->wanted >> i & 1)
			job->err = write_group(query, (enum sl_spend_group)i, ops, conn);
	if (query->csv)
		return;
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

	if (admin_call_alive(call) && job->err == SL_OK && query->csv && !query->body.failed)
		admin_answer(call, 200, "text/csv; charset=utf-8", NULL, 0,
		             sl_buf_slice(&query->body));
	else if (admin_call_alive(call) && job->err == SL_OK)
		admin_answer_json(call, 200, &query->body);
	else if (admin_call_alive(call))
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE,
		                        "The store could not be read. See the log.");
	sl_buf_release(&query->body);
	sl_buf_release(&query->name);
	free(query);
	admin_call_unref(call);
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
			return admin_refuse(call, "by", "by is a list of key, team, workspace, model, "
			                          "provider and tag, separated by commas.");
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
	return admin_refuse(call, name, "Times are written as 2027-01-31T23:59:59Z, as 2027-01-31 or as "
	                          "seconds since 1970.");
}

static bool
read_interval(struct admin_call *call, enum interval *interval)
{
	struct sl_slice text;

	*interval = INTERVAL_NONE;
	if (!admin_query(call, "interval", &text) || text.len == 0)
		return true;
	for (int i = INTERVAL_HOUR; i < INTERVALS; i++)
		if (sl_slice_is(text, interval_names[i]))
			*interval = (enum interval)i;
	return *interval != INTERVAL_NONE ||
	       admin_refuse(call, "interval", "interval is hour, day or month.");
}

static bool
read_format(struct admin_call *call, bool *csv)
{
	struct sl_slice text = sl_headers_get(&call->exchange->request.headers, "accept");

	*csv = sl_slice_istarts(text, SL_SLICE("text/csv"));
	if (!admin_query(call, "format", &text))
		return true;
	*csv = sl_slice_is(text, "csv");
	return *csv || sl_slice_is(text, "json") ||
	       admin_refuse(call, "format", "format is json or csv.");
}

static bool
read_query(struct admin_call *call, struct query *query)
{
	query->until_wall_ms = INT64_MAX;
	if (!read_groups(call, &query->wanted) ||
	    !read_interval(call, &query->interval) || !read_format(call, &query->csv) ||
	    !read_time(call, "since", &query->has_since, &query->since_wall_ms) ||
	    !read_time(call, "until", &query->has_until, &query->until_wall_ms))
		return false;
	return query->since_wall_ms <= query->until_wall_ms ||
	       admin_refuse(call, "until", "until is before since.");
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
	sl_buf_init(&query->name, 4096);
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

/* receipts.c - GET /v1/receipts/:id: what a request of the caller's own key was charged.
 *
 * From the record of the request and the ledger's rows of its attempts: usage by class,
 * the prices it was multiplied with, and what each try cost. Another key's request is as
 * unknown as one that never was. Where the record of a request says that it had one attempt
 * and the ledger has no row of that, the record is the row. A request whose record was lost with
 * the machine's power is told from the ledger alone.
 */
#include <stdlib.h>

#include "admin/call.h"
#include "base/rand.h"
#include "base/timestamp.h"
#include "ledger/key.h"
#include "ledger/money.h"
#include "model/catalog.h"
#include "pipeline/bidding.h"
#include "pipeline/gateway.h"
#include "store/money_store.h"
#include "store/store.h"

enum { RECEIPT_MAX = 256 * 1024, ATTEMPTS_MAX = 64, ULID_TIME_SIZE = 6, SLACK_MS = 1000,
       BEGUN_MS = 60000 /* without a record: how long after the request its tries are sought */ };
static const char id_prefix[] = "req_";

struct query {
	struct sl_store_job    job;
	struct admin_call     *call;
	struct sl_key         *key; /* borrowed from the call */
	char                   id[ADMIN_ID_MAX + 1];
	unsigned char          request[SL_ULID_SIZE];
	int64_t                asked_wall_ms; /* as the id says; 0: it is none of ours */
	uint32_t               owner; /* the key's number in the ledger; 0: it never spent */
	/* Store thread, then the loop. */
	bool                   found;
	struct sl_record_row   row; /* texts on the arena */
	struct sl_arena        arena;
	struct sl_attempt_row  attempts[ATTEMPTS_MAX];
	struct sl_slice        targets[ATTEMPTS_MAX]; /* PROVIDER/MODEL, on the arena */
	size_t                 attempt_count;
};

/* --- on the store's thread ------------------------------------------------------- */

static void
keep_record(void *context, const struct sl_record_row *row)
{
	struct query *query = context;

	if (!sl_slice_eq(row->key_id, sl_key_id(query->key)))
		return;
	query->found = true;
	query->row = *row;
#define SL_RECORD_TEXT(name, max_size) query->row.name = sl_arena_dup(&query->arena, row->name);
#define SL_RECORD_INT(name)
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
}

static bool
keep_attempt(void *context, const struct sl_attempt_row *row)
{
	struct query *query = context;

	query->attempts[query->attempt_count++] = *row;
	return query->attempt_count < ATTEMPTS_MAX;
}

static bool
keep_own_attempt(void *context, const struct sl_attempt_row *row)
{
	struct query *query = context;

	for (size_t i = 0; i < row->scope_count; i++)
		if (row->owner[i] == query->owner)
			return keep_attempt(query, row);
	return true;
}

/* What stands in the record's place: nothing is known but what the attempts say. */
static void
make_record(struct query *query)
{
	struct sl_record_row *row = &query->row;
	int64_t cost = 0;
	bool bought = false;

	*row = (struct sl_record_row){
#define SL_RECORD_TEXT(name, max_size)
#define SL_RECORD_INT(name) .name = SL_RECORD_NULL,
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
	};
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		row->usage[i] = SL_RECORD_NULL;
	for (size_t i = 0; i < query->attempt_count; i++) {
		const struct sl_attempt_row *attempt = &query->attempts[i];

		if (attempt->state == SL_ATTEMPT_HELD || attempt->state == SL_ATTEMPT_DISPATCHED)
			return;
		cost += attempt->charged + attempt->overrun;
		row->end_wall_ms = attempt->end_wall_ms;
		if (attempt->state == SL_ATTEMPT_RELEASED)
			continue;
		bought = true;
		row->usage_source = sl_slice_str(
		    sl_usage_source_name((enum sl_usage_source)attempt->usage_source));
	}
	if (!bought)
		return;
	row->request_id = sl_slice_str(query->id);
	row->key_id = sl_key_id(query->key);
	row->begin_wall_ms = query->attempts[0].begin_wall_ms;
	row->cost_nanousd = cost;
	row->attempts = (int64_t)query->attempt_count;
	query->found = true;
}

static void
find_attempts(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn,
              int64_t since_wall_ms, int64_t until_wall_ms)
{
	struct query *query = SL_CONTAINER(job, struct query, job);

	job->err = ops->money->attempt_of(conn, query->request, since_wall_ms - SLACK_MS,
	                                  until_wall_ms + SLACK_MS,
	                                  query->found ? keep_attempt : keep_own_attempt, query);
}

struct naming {
	struct query *query;
	size_t        at;
};

static void
keep_target(void *context, const struct sl_money_owner_row *row)
{
	struct naming *naming = context;

	naming->query->targets[naming->at] = sl_arena_dup(&naming->query->arena, row->name);
}

static void
name_targets(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct query *query = SL_CONTAINER(job, struct query, job);
	struct naming naming = { .query = query };

	for (; naming.at < query->attempt_count && job->err == SL_OK; naming.at++) {
		job->err = ops->money->owner_get(conn, query->attempts[naming.at].target, keep_target,
		                                 &naming);
		if (job->err == SL_ENOTFOUND)
			job->err = SL_OK;
	}
}

static void
run_query(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct query *query = SL_CONTAINER(job, struct query, job);

	job->err = ops->record_find(conn, sl_slice_str(query->id), SL_RECORD_NULL,
	                             keep_record, query);
	if (job->err == SL_ENOTFOUND)
		job->err = SL_OK;
	if (job->err == SL_OK && query->found) {
		find_attempts(job, ops, conn, query->row.begin_wall_ms, query->row.end_wall_ms);
	} else if (job->err == SL_OK && query->owner > 0 && query->asked_wall_ms > 0) {
		find_attempts(job, ops, conn, query->asked_wall_ms, query->asked_wall_ms + BEGUN_MS);
		if (job->err == SL_OK)
			make_record(query);
	}
	if (job->err == SL_OK)
		name_targets(job, ops, conn);
}

/* --- on the loop ------------------------------------------------------------------ */

static void
put_text(struct sl_json_writer *w, const char *name, struct sl_slice text)
{
	sl_json_key(w, name);
	if (text.len)
		sl_json_put_str(w, text);
	else
		sl_json_put_null(w);
}

static void
put_time(struct sl_json_writer *w, const char *name, int64_t wall_ms)
{
	char text[SL_TIMESTAMP_LEN + 1];

	sl_json_key(w, name);
	if (wall_ms > 0)
		sl_json_put_str(w, sl_slice_make(text, sl_timestamp_format(wall_ms, text)));
	else
		sl_json_put_null(w);
}

static void
put_int(struct sl_json_writer *w, const char *name, int64_t number)
{
	sl_json_key(w, name);
	if (number != SL_RECORD_NULL)
		sl_json_put_i64(w, number);
	else
		sl_json_put_null(w);
}

static void
put_usage(struct sl_json_writer *w, const struct sl_record_row *row)
{
	sl_json_key(w, "usage");
	sl_json_obj(w);
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		if (row->usage[i] != SL_RECORD_NULL)
			sl_json_int(w, sl_usage_class_name((enum sl_usage_class)i), row->usage[i]);
	sl_json_obj_end(w);
	put_text(w, "usage_source", row->usage_source);
}

/* Of the list that the record names; another one would tell wrong prices. */
static void
put_prices(struct sl_json_writer *w, const struct query *query)
{
	const struct sl_admin_services *services = &query->call->admin->services;
	const struct sl_record_row *row = &query->row;
	const struct sl_model_card *card =
	    services->world && row->provider.len
	        ? sl_world_card(services->world(services->context), row->provider,
	                        row->model_served) : NULL;
	int64_t bid;

	put_text(w, "price_date", row->price_date);
	sl_json_key(w, "prices_usd_per_million");
	if (sl_bidding_price_of(row->price_date, &bid)) {
		sl_json_obj(w);
		sl_json_usd(w, sl_usage_class_name(SL_USAGE_INPUT), bid);
		sl_json_usd(w, sl_usage_class_name(SL_USAGE_OUTPUT), bid);
		sl_json_obj_end(w);
		return;
	}
	if (!card || !row->price_date.len || !sl_slice_eq(card->price_date, row->price_date)) {
		sl_json_put_null(w);
		return;
	}
	sl_json_obj(w);
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		if (card->price.present >> i & 1)
			sl_json_usd(w, sl_usage_class_name((enum sl_usage_class)i),
			            card->price.nanousd[i]);
	sl_json_obj_end(w);
}

static void
put_amount(struct sl_json_writer *w, const char *name, int64_t nanousd)
{
	sl_json_key(w, name);
	if (nanousd != SL_RECORD_NULL)
		sl_json_put_nanousd(w, nanousd);
	else
		sl_json_put_null(w);
}

static void
put_attempt(struct sl_json_writer *w, const struct sl_attempt_row *attempt,
            struct sl_slice target)
{
	struct sl_slice provider = sl_slice_cut(&target, '/');

	sl_json_obj(w);
	sl_json_int(w, "attempt", attempt->attempt_no);
	put_text(w, "provider", provider);
	put_text(w, "model", target);
	sl_json_str(w, "state",
	            sl_slice_str(sl_attempt_state_name((enum sl_attempt_state)attempt->state)));
	put_amount(w, "held_usd", attempt->held);
	put_amount(w, "charged_usd", attempt->charged);
	put_amount(w, "cost_usd", attempt->charged + attempt->overrun);
	sl_json_str(w, "usage_source",
	            sl_slice_str(sl_usage_source_name((enum sl_usage_source)attempt->usage_source)));
	sl_json_int(w, "input_tokens", attempt->input_tokens);
	sl_json_int(w, "output_tokens", attempt->output_tokens);
	put_time(w, "begin_at", attempt->begin_wall_ms);
	put_time(w, "end_at", attempt->end_wall_ms);
	sl_json_obj_end(w);
}

/* The only one of its request: the record tells of it. */
static void
put_only_attempt(struct sl_json_writer *w, const struct sl_record_row *row)
{
	sl_json_obj(w);
	sl_json_int(w, "attempt", 1);
	put_text(w, "provider", row->provider);
	put_text(w, "model", row->model_served);
	sl_json_str(w, "state", row->usage_source.len ? SL_SLICE("settled") : SL_SLICE("released"));
	put_amount(w, "held_usd", SL_RECORD_NULL);
	put_amount(w, "charged_usd", SL_RECORD_NULL);
	put_amount(w, "cost_usd", row->cost_nanousd);
	sl_json_str(w, "usage_source", row->usage_source.len ? row->usage_source : SL_SLICE("none"));
	put_int(w, "input_tokens", row->usage[SL_USAGE_INPUT]);
	put_int(w, "output_tokens", row->usage[SL_USAGE_OUTPUT]);
	put_time(w, "begin_at", row->begin_wall_ms);
	put_time(w, "end_at", row->end_wall_ms);
	sl_json_obj_end(w);
}

static void
put_attempts(struct sl_json_writer *w, const struct query *query)
{
	sl_json_key(w, "attempts");
	sl_json_arr(w);
	for (size_t i = 0; i < query->attempt_count; i++)
		put_attempt(w, &query->attempts[i], query->targets[i]);
	if (query->attempt_count == 0 && query->row.attempts == 1)
		put_only_attempt(w, &query->row);
	sl_json_arr_end(w);
}

static void
answer(const struct query *query)
{
	const struct sl_record_row *row = &query->row;
	struct sl_json_writer w;
	struct sl_buf body;

	sl_buf_init(&body, RECEIPT_MAX);
	sl_json_writer_init(&w, &body);
	sl_json_obj(&w);
	sl_json_str(&w, "request_id", row->request_id);
	sl_json_str(&w, "key", row->key_id);
	put_text(&w, "team", row->team);
	put_text(&w, "workspace", row->workspace);
	put_text(&w, "end_user", row->end_user);
	put_text(&w, "tag", row->tag);
	put_time(&w, "begin_at", row->begin_wall_ms);
	put_time(&w, "end_at", row->end_wall_ms);
	put_int(&w, "status", row->status);
	put_text(&w, "outcome", row->outcome);
	put_text(&w, "model_requested", row->model_requested);
	put_text(&w, "provider", row->provider);
	put_text(&w, "model", row->model_served);
	sl_json_key(&w, "stream");
	if (row->stream != SL_RECORD_NULL)
		sl_json_put_bool(&w, row->stream == 1);
	else
		sl_json_put_null(&w);
	put_usage(&w, row);
	put_prices(&w, query);
	put_amount(&w, "cost_usd", row->cost_nanousd);
	sl_json_bool(&w, "unpriced", row->unpriced == 1);
	sl_json_int(&w, "attempt_count", row->attempts);
	put_attempts(&w, query);
	sl_json_obj_end(&w);
	admin_answer_json(query->call, 200, &body);
}

static void
query_done(struct sl_store_job *job)
{
	struct query *query = SL_CONTAINER(job, struct query, job);
	struct admin_call *call = query->call;

	if (admin_call_alive(call) && job->err != SL_OK)
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE,
		                        "The store could not be read. See the log.");
	else if (admin_call_alive(call) && query->found)
		answer(query);
	else if (admin_call_alive(call))
		admin_answer_fault_text(call, SL_FAULT_NOT_FOUND,
		                        "This key has no finished request of this id "
		                        "(X-Gateway-Request-Id).");
	sl_arena_release(&query->arena);
	free(query);
	admin_call_unref(call);
}

static void
start(struct admin_call *call)
{
	struct query *query = calloc(1, sizeof(*query));

	if (!query) {
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE, "Out of memory.");
		return;
	}
	sl_arena_init(&query->arena, 1024, RECEIPT_MAX);
	query->job.loop = call->admin->loop;
	query->job.run = run_query;
	query->job.done = query_done;
	query->call = call;
	query->key = call->key;
	memcpy(query->id, call->id, sizeof(query->id));
	/* An id that is none of ours finds nothing. */
	if (sl_slice_starts(sl_slice_str(call->id), sl_slice_str(id_prefix)) &&
	    sl_ulid_bytes(sl_slice_str(call->id + sizeof(id_prefix) - 1), query->request))
		for (int i = 0; i < ULID_TIME_SIZE; i++)
			query->asked_wall_ms = query->asked_wall_ms << 8 | query->request[i];
	if (call->admin->services.money)
		query->owner = sl_money_owner(call->admin->services.money, SL_SCOPE_KEY,
		                              sl_key_id(call->key));
	if (sl_store_submit(call->admin->services.store, &query->job) == SL_OK) {
		admin_call_ref(call);
		return;
	}
	free(query);
	admin_answer_fault_text(call, SL_FAULT_OVERLOADED, "The store is busy. Try again soon.");
}

void
admin_receipt(struct admin_call *call)
{
	admin_settled(call, start);
}

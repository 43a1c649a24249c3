/* keys.c - /admin/keys: virtual keys made, shown, changed, revoked.
 *
 * What a key has spent is asked of the store, where the records are: the sums
 * are then the records' own, also after a restart.
 */
#include <stdlib.h>

#include "admin/call.h"
#include "admin/membership.h"
#include "ledger/key.h"
#include "store/store.h"

/* --- showing ----------------------------------------------------------------- */

struct spent {
	char    id[ADMIN_ID_MAX + 1];
	int64_t cost_nanousd;
};

/* Spend by key, in the order of ids. */
struct spend_query {
	struct sl_store_job job;
	struct admin_call  *call;
	struct spent       *rows;
	size_t              count, cap;
	void (*answer)(struct admin_call *call, const struct sl_key_spend *spend);
};

static bool
collect(void *context, const struct sl_spend_row *row)
{
	struct spend_query *query = context;
	struct spent *spent;

	if (row->name.len == 0 || row->name.len > ADMIN_ID_MAX)
		return true;
	if (query->count == query->cap) {
		size_t cap = query->cap ? query->cap * 2 : 64;
		struct spent *rows = realloc(query->rows, cap * sizeof(*rows));

		if (!rows) {
			query->job.err = SL_ENOMEM;
			return false;
		}
		query->rows = rows;
		query->cap = cap;
	}
	spent = &query->rows[query->count++];
	memcpy(spent->id, row->name.ptr, row->name.len);
	spent->id[row->name.len] = '\0';
	spent->cost_nanousd = row->cost_nanousd;
	return true;
}

static void
run_query(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct spend_query *query = SL_CONTAINER(job, struct spend_query, job);
	const struct sl_spend_query all = { .by = SL_SPEND_KEY, .until_wall_ms = INT64_MAX };
	enum sl_err err;

	job->err = SL_OK;
	err = ops->spend(conn, &all, collect, query);
	if (job->err == SL_OK)
		job->err = err;
}

static int
compare_id(const void *id, const void *row)
{
	return strcmp(id, ((const struct spent *)row)->id);
}

static int64_t
spent_by(void *context, struct sl_slice id)
{
	const struct spend_query *query = context;
	char name[ADMIN_ID_MAX + 1];
	const struct spent *row;

	if (query->count == 0 || id.len > ADMIN_ID_MAX)
		return 0;
	memcpy(name, id.ptr, id.len);
	name[id.len] = '\0';
	row = bsearch(name, query->rows, query->count, sizeof(*query->rows), compare_id);
	return row ? row->cost_nanousd : 0;
}

static void
query_done(struct sl_store_job *job)
{
	struct spend_query *query = SL_CONTAINER(job, struct spend_query, job);
	struct admin_call *call = query->call;

	if (admin_call_alive(call) && job->err == SL_OK)
		query->answer(call, &(struct sl_key_spend){ spent_by, query });
	else if (admin_call_alive(call))
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE,
		                        "The store could not be read. See the log.");
	free(query->rows);
	free(query);
	admin_call_unref(call);
}

static void
query_spend(struct admin_call *call,
            void (*answer)(struct admin_call *call, const struct sl_key_spend *spend))
{
	struct spend_query *query = calloc(1, sizeof(*query));

	if (!query) {
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE, "Out of memory.");
		return;
	}
	query->job.loop = call->admin->loop;
	query->job.run = run_query;
	query->job.done = query_done;
	query->call = call;
	query->answer = answer;
	if (sl_store_submit(call->admin->services.store, &query->job) == SL_OK) {
		admin_call_ref(call);
		return;
	}
	free(query);
	admin_answer_fault_text(call, SL_FAULT_OVERLOADED, "The store is busy. Try again soon.");
}

static void
answer_list(struct admin_call *call, const struct sl_key_spend *spend)
{
	struct sl_json_writer w;
	struct sl_buf body;

	sl_buf_init(&body, ADMIN_ANSWER_MAX);
	sl_json_writer_init(&w, &body);
	sl_json_obj(&w);
	sl_json_key(&w, "data");
	sl_keyring_list(call->admin->services.keyring, spend, &w);
	sl_json_obj_end(&w);
	admin_answer_json(call, 200, &body);
}

static void
answer_one(struct admin_call *call, const struct sl_key_spend *spend)
{
	struct sl_json_writer w;
	struct sl_buf body;

	sl_buf_init(&body, ADMIN_ANSWER_MAX);
	sl_json_writer_init(&w, &body);
	if (sl_keyring_show(call->admin->services.keyring, sl_slice_str(call->id), spend, &w))
		admin_answer_json(call, 200, &body);
	else
		admin_answer_store(call, SL_ENOTFOUND);
	sl_buf_release(&body);
}

static void
query_list(struct admin_call *call)
{
	query_spend(call, answer_list);
}

static void
query_one(struct admin_call *call)
{
	query_spend(call, answer_one);
}

void
admin_keys_list(struct admin_call *call)
{
	admin_settled(call, query_list);
}

void
admin_keys_show(struct admin_call *call)
{
	admin_settled(call, query_one);
}

/* --- changing ------------------------------------------------------------------ */

struct change {
	struct sl_key_change public;
	struct admin_call   *call;
};

static struct change *
new_change(struct admin_call *call, void (*done)(struct sl_key_change *public))
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change) {
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE, "Out of memory.");
		return NULL;
	}
	change->public.done = done;
	change->public.loop = call->admin->loop;
	change->public.actor = admin_actor(call);
	change->call = call;
	admin_call_ref(call);
	return change;
}

static void
drop(struct change *change)
{
	struct admin_call *call = change->call;

	sl_buf_release(&change->public.json);
	free(change);
	admin_call_unref(call);
}

/* What every ending has in common: whether there is a success to answer. */
static bool
succeeded(struct change *change)
{
	if (admin_call_alive(change->call) && change->public.err != SL_OK)
		admin_answer_store(change->call, change->public.err);
	return admin_call_alive(change->call) && change->public.err == SL_OK;
}

static void
created(struct sl_key_change *public)
{
	struct change *change = SL_CONTAINER(public, struct change, public);

	if (succeeded(change))
		admin_answer_json(change->call, 201, &public->json);
	drop(change);
}

static void
patched(struct sl_key_change *public)
{
	struct change *change = SL_CONTAINER(public, struct change, public);

	if (succeeded(change))
		query_one(change->call);
	drop(change);
}

static void
revoked(struct sl_key_change *public)
{
	struct change *change = SL_CONTAINER(public, struct change, public);

	if (succeeded(change))
		admin_answer_empty(change->call, 204);
	drop(change);
}

static void
refuse(struct change *change, const struct sl_fault *fault)
{
	admin_answer_fault(change->call, fault);
	drop(change);
}

static void
create(struct admin_call *call)
{
	struct change *change;
	struct sl_fault fault;
	struct sl_json body;

	if (!admin_body(call, &body) || !(change = new_change(call, created)))
		return;
	if (!sl_keyring_create(call->admin->services.keyring, body, &call->exchange->arena,
	                       &change->public, &fault))
		refuse(change, &fault);
}

void
admin_keys_create(struct admin_call *call)
{
	admin_membership(call, NULL, create);
}

static void
patch(struct admin_call *call)
{
	struct change *change;
	struct sl_fault fault;
	struct sl_json body;

	if (!admin_body(call, &body) || !(change = new_change(call, patched)))
		return;
	if (!sl_keyring_patch(call->admin->services.keyring, sl_slice_str(call->id), body,
	                      &call->exchange->arena, &change->public, &fault))
		refuse(change, &fault);
}

void
admin_keys_patch(struct admin_call *call)
{
	struct sl_key *key = sl_keyring_by_id(call->admin->services.keyring,
	                                      sl_slice_str(call->id));

	/* No team is made for a key that is not there. */
	if (key)
		admin_membership(call, key, patch);
	else
		patch(call);
	sl_key_unref(key);
}

void
admin_keys_revoke(struct admin_call *call)
{
	struct change *change = new_change(call, revoked);
	struct sl_fault fault;

	if (change && !sl_keyring_revoke(call->admin->services.keyring, sl_slice_str(call->id),
	                                 &change->public, &fault))
		refuse(change, &fault);
}

/* deployments.c - /admin/deployments: where requests may go, how it is doing there,
 * and the switch of each.
 *
 *   disable, enable --> the list in the store, changed in one transaction
 *                         --durable--> the board, in the order of commits --> answer
 *
 * The list is read, changed and written on the store's thread, and applied there
 * too: two changes at once, on two loops, end up the same on disk and in memory.
 * What is disabled stays so when its deployment leaves the configuration and comes
 * back.
 */
#include <stdlib.h>

#include "admin/call.h"
#include "base/clock.h"
#include "ledger/audit.h"
#include "model/config.h"
#include "pipeline/board.h"
#include "store/store.h"

enum {
	LIST_MAX = 2 << 20, /* bytes of the list as stored */
	MATCHES_MAX = 256,  /* deployments that one body can mean */
};

static const char meta_name[] = "deployments_disabled";

/* --- the list as stored: a JSON array of ids -------------------------------------- */

/* Calls each with every id; SL_EPROTO: the stored text is no such list. */
static enum sl_err
each_stored(struct sl_slice text, struct sl_arena *arena,
            enum sl_err (*each)(void *context, struct sl_slice id), void *context)
{
	struct sl_json_error error;
	struct sl_json_iter it;
	enum sl_err err = SL_OK;

	if (sl_json_validate(text, &sl_json_limits_default, &error) != SL_OK)
		return SL_EPROTO;
	it = sl_json_iter(sl_json_parse(text));
	while (err == SL_OK && sl_json_next(&it)) {
		struct sl_slice id;

		err = sl_json_string(it.value, arena, &id) ? each(context, id) : SL_EPROTO;
	}
	return err;
}

struct load {
	struct sl_store_job job;
	struct sl_board    *board;
};

static enum sl_err
load_one(void *context, struct sl_slice id)
{
	return sl_board_switch(context, id, true);
}

static void
run_load(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct load *load = SL_CONTAINER(job, struct load, job);
	struct sl_arena arena;
	struct sl_buf text;

	sl_arena_init(&arena, 4096, LIST_MAX);
	sl_buf_init(&text, LIST_MAX);
	job->err = ops->meta_get(conn, meta_name, &text);
	if (job->err == SL_OK)
		job->err = each_stored(sl_buf_slice(&text), &arena, load_one, load->board);
	else if (job->err == SL_ENOTFOUND)
		job->err = SL_OK;
	sl_buf_release(&text);
	sl_arena_release(&arena);
}

enum sl_err
sl_admin_load_switches(struct sl_board *board, struct sl_store *store)
{
	struct load load = { .job.run = run_load, .board = board };

	return sl_store_run(store, &load.job);
}

/* --- showing ------------------------------------------------------------------------ */

static uint64_t
now_us(const struct admin_call *call)
{
	return sl_loop_now_ns(call->admin->loop) / 1000;
}

static const char *
health_of(const struct sl_board_view *view)
{
	const struct sl_health_figures *live = &view->live;

	if (view->attempts == 0)
		return "unknown";
	if (live->breaker != SL_BREAKER_CLOSED)
		return "unhealthy";
	return live->ejected || live->error_rate > 0.1 ? "degraded" : "healthy";
}

static void
put_concurrency(struct sl_json_writer *w, uint64_t concurrency)
{
	sl_json_key(w, "concurrency");
	if (concurrency > 0)
		sl_json_put_i64(w, (int64_t)concurrency);
	else
		sl_json_put_null(w);
}

static void
put_health(struct sl_json_writer *w, const struct sl_board_view *view, uint64_t at_us)
{
	const struct sl_health_figures *live = &view->live;

	sl_json_str(w, "health", sl_slice_str(health_of(view)));
	sl_json_str(w, "breaker", sl_slice_str(sl_breaker_name(live->breaker)));
	sl_json_key(w, "latency_ms");
	if (live->latency_us > 0)
		sl_json_put_f64(w, (double)(live->latency_us / 100) / 10);
	else
		sl_json_put_null(w);
	sl_json_int(w, "in_flight", live->in_flight);
	sl_json_key(w, "error_rate");
	sl_json_put_f64(w, (double)(int64_t)(live->error_rate * 1000 + 0.5) / 1000);
	sl_json_int(w, "cooldown_ms",
	            live->due_us > at_us ? (int64_t)((live->due_us - at_us) / 1000) : 0);
	sl_json_int(w, "attempts", (int64_t)view->attempts);
	sl_json_int(w, "failures", (int64_t)view->failures);
	sl_json_int(w, "rate_limited", (int64_t)view->limited);
	sl_json_int(w, "breaker_opened", (int64_t)view->opened);
}

struct listing {
	struct admin_call      *call;
	const struct sl_config *config;
	struct sl_board        *board;
	struct sl_json_writer   w;
	struct sl_buf           body;
	uint64_t                at_us;
};

static void
open_listing(struct listing *list, struct admin_call *call)
{
	const struct sl_admin_services *services = &call->admin->services;

	list->call = call;
	list->config = services->config(services->context);
	list->board = services->board;
	list->at_us = now_us(call);
	sl_buf_init(&list->body, ADMIN_ANSWER_MAX);
	sl_json_writer_init(&list->w, &list->body);
	sl_json_obj(&list->w);
	sl_json_key(&list->w, "data");
	sl_json_arr(&list->w);
}

static void
send_listing(struct listing *list)
{
	sl_json_arr_end(&list->w);
	sl_json_obj_end(&list->w);
	admin_answer_json(list->call, 200, &list->body);
}

static const struct sl_config_provider *
find_provider(const struct sl_config *config, struct sl_slice name)
{
	for (size_t i = 0; i < config->provider_count; i++)
		if (sl_slice_eq(config->providers[i].name, name))
			return &config->providers[i];
	return NULL;
}

static void
put_deployment(struct listing *list, const struct sl_config_model *alias,
               const struct sl_config_deployment *deployment)
{
	const struct sl_config_provider *provider =
	    find_provider(list->config, deployment->provider);
	struct sl_json_writer *w = &list->w;
	struct sl_board_view view;

	sl_board_look(list->board, deployment->provider, deployment->model, list->at_us, &view);
	sl_json_obj(w);
	sl_json_str(w, "id", deployment->id);
	sl_json_str(w, "model", alias->name);
	sl_json_str(w, "provider", deployment->provider);
	sl_json_str(w, "provider_model", deployment->model);
	sl_json_int(w, "weight", (int64_t)deployment->weight);
	sl_json_key(w, "tier");
	if (deployment->tier.len > 0)
		sl_json_put_str(w, deployment->tier);
	else
		sl_json_put_null(w);
	sl_json_int(w, "priority", deployment->priority);
	put_concurrency(w, deployment->concurrency);
	sl_json_bool(w, "enabled", provider && provider->enabled &&
	                               !sl_board_is_disabled(list->board, deployment->id));
	put_health(w, &view, list->at_us);
	sl_json_obj_end(w);
}

/* A target that callers reach as provider/model. */
static void
put_named(struct listing *list, struct sl_slice id, const struct sl_board_view *view)
{
	struct sl_json_writer *w = &list->w;

	sl_json_obj(w);
	sl_json_str(w, "id", id);
	sl_json_str(w, "model", id);
	sl_json_str(w, "provider", view->provider);
	sl_json_str(w, "provider_model", view->model);
	sl_json_int(w, "weight", 1);
	sl_json_key(w, "tier");
	sl_json_put_null(w);
	sl_json_int(w, "priority", 0);
	put_concurrency(w, 0);
	sl_json_bool(w, "enabled", !sl_board_is_disabled(list->board, id));
	put_health(w, view, list->at_us);
	sl_json_obj_end(w);
}

/* Used by a name of its own, and enabled: the others come with the switches. */
static void
put_used(void *context, const struct sl_board_view *view)
{
	struct listing *list = context;
	struct sl_slice id;

	if (view->deployed || view->attempts == 0)
		return;
	id = sl_arena_printf(&list->call->exchange->arena, "%.*s/%.*s", SL_ARG(view->provider),
	                     SL_ARG(view->model));
	if (!sl_board_is_disabled(list->board, id))
		put_named(list, id, view);
}

static bool
is_deployment(const struct sl_config *config, struct sl_slice id)
{
	for (size_t i = 0; i < config->model_count; i++)
		for (size_t k = 0; k < config->models[i].deployment_count; k++)
			if (sl_slice_eq(config->models[i].deployments[k].id, id))
				return true;
	return false;
}

struct ids {
	struct sl_slice *items;
	size_t           count;
	struct sl_arena *arena;
};

static void
copy_id(void *context, struct sl_slice id)
{
	struct ids *ids = context;

	ids->items[ids->count++] = sl_arena_dup(ids->arena, id);
}

/* What is switched off and is no deployment: provider/model, or something that was
 * a deployment once. */
static void
put_disabled(struct listing *list)
{
	struct sl_arena *arena = &list->call->exchange->arena;
	struct ids ids = { SL_ARENA_ARRAY(arena, struct sl_slice, SL_BOARD_SWITCHES_MAX), 0,
		           arena };

	if (!ids.items)
		return;
	/* Copied, because showing one asks the board again. */
	sl_board_each_disabled(list->board, copy_id, &ids);
	for (size_t i = 0; i < ids.count; i++) {
		struct sl_slice model = ids.items[i];
		struct sl_slice provider = sl_slice_cut(&model, '/');
		struct sl_board_view view;

		if (is_deployment(list->config, ids.items[i]))
			continue;
		sl_board_look(list->board, provider, model, list->at_us, &view);
		put_named(list, ids.items[i], &view);
	}
}

void
admin_deployments(struct admin_call *call)
{
	struct listing list;

	open_listing(&list, call);
	for (size_t i = 0; i < list.config->model_count; i++)
		for (size_t k = 0; k < list.config->models[i].deployment_count; k++)
			put_deployment(&list, &list.config->models[i],
			               &list.config->models[i].deployments[k]);
	sl_board_each(list.board, list.at_us, put_used, &list);
	put_disabled(&list);
	send_listing(&list);
}

/* --- changing ------------------------------------------------------------------------ */

struct change {
	struct sl_store_job job;
	struct sl_task      task; /* back to the loop, to answer */
	struct admin_call  *call;
	struct sl_loop     *loop;
	struct sl_board    *board;
	bool                disable;
	struct sl_slice     ids[MATCHES_MAX]; /* on the arena */
	struct sl_slice     actor;
	size_t              id_count;
	struct sl_arena     arena;
	struct sl_json_writer w;  /* the new list, while it is written */
	size_t              stored;
};

static void
drop_change(struct change *change)
{
	struct admin_call *call = change->call;

	sl_arena_release(&change->arena);
	free(change);
	admin_call_unref(call);
}

static bool
is_meant(const struct change *change, struct sl_slice id)
{
	for (size_t i = 0; i < change->id_count; i++)
		if (sl_slice_eq(change->ids[i], id))
			return true;
	return false;
}

static enum sl_err
keep_one(void *context, struct sl_slice id)
{
	struct change *change = context;

	if (is_meant(change, id))
		return SL_OK;
	change->stored++;
	sl_json_put_str(&change->w, id);
	return SL_OK;
}

static enum sl_err
audit(const struct change *change, struct sl_slice before, struct sl_slice after,
      const struct sl_store_ops *ops, void *conn)
{
	const struct sl_audit_entry entry = {
		.actor = change->actor,
		.action = change->disable ? SL_SLICE("deployment.disable")
		                          : SL_SLICE("deployment.enable"),
		.target = change->ids[0],
		.before_json = before,
		.after_json = after,
	};

	return sl_audit_add(ops, conn, &entry, sl_clock_wall_ms());
}

static void
run_change(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct change *change = SL_CONTAINER(job, struct change, job);
	struct sl_buf before, after;

	sl_buf_init(&before, LIST_MAX);
	sl_buf_init(&after, LIST_MAX);
	sl_json_writer_init(&change->w, &after);
	sl_json_arr(&change->w);
	job->err = ops->meta_get(conn, meta_name, &before);
	if (job->err == SL_OK)
		job->err = each_stored(sl_buf_slice(&before), &change->arena, keep_one, change);
	else if (job->err == SL_ENOTFOUND)
		job->err = SL_OK;
	for (size_t i = 0; change->disable && i < change->id_count; i++, change->stored++)
		sl_json_put_str(&change->w, change->ids[i]);
	sl_json_arr_end(&change->w);
	if (job->err == SL_OK && (change->stored > SL_BOARD_SWITCHES_MAX || after.failed))
		job->err = SL_ELIMIT;
	if (job->err == SL_OK)
		job->err = ops->meta_put(conn, meta_name, sl_buf_slice(&after));
	if (job->err == SL_OK)
		job->err = audit(change, sl_buf_slice(&before), sl_buf_slice(&after), ops, conn);
	sl_buf_release(&before);
	sl_buf_release(&after);
}

/* On the store's thread: in the order in which the changes became durable. */
static void
apply_change(struct sl_store_job *job)
{
	struct change *change = SL_CONTAINER(job, struct change, job);

	for (size_t i = 0; job->err == SL_OK && i < change->id_count; i++)
		job->err = sl_board_switch(change->board, change->ids[i], change->disable);
	sl_loop_post(change->loop, &change->task);
}

static void
put_changed(struct listing *list, const struct change *change)
{
	for (size_t i = 0; i < list->config->model_count; i++)
		for (size_t k = 0; k < list->config->models[i].deployment_count; k++) {
			const struct sl_config_model *alias = &list->config->models[i];

			if (is_meant(change, alias->deployments[k].id))
				put_deployment(list, alias, &alias->deployments[k]);
		}
	for (size_t i = 0; i < change->id_count; i++) {
		struct sl_slice model = change->ids[i];
		struct sl_slice provider = sl_slice_cut(&model, '/');
		struct sl_board_view view;

		if (is_deployment(list->config, change->ids[i]))
			continue;
		sl_board_look(list->board, provider, model, list->at_us, &view);
		put_named(list, change->ids[i], &view);
	}
}

static void
answer_change(struct sl_task *task)
{
	struct change *change = SL_CONTAINER(task, struct change, task);
	struct admin_call *call = change->call;
	struct listing list;

	if (!admin_call_alive(call)) {
		drop_change(change);
		return;
	}
	if (change->job.err == SL_OK) {
		open_listing(&list, call);
		put_changed(&list, change);
		send_listing(&list);
	} else if (change->job.err == SL_ELIMIT) {
		admin_answer_fault_text(call, SL_FAULT_BAD_REQUEST,
		                        "Too many deployments are disabled. Enable those that are "
		                        "no longer needed, or remove them from the configuration.");
	} else {
		admin_answer_store(call, change->job.err);
	}
	drop_change(change);
}

static void
mean(struct change *change, struct sl_slice id)
{
	if (change->id_count < MATCHES_MAX && !is_meant(change, id))
		change->ids[change->id_count++] = sl_arena_dup(&change->arena, id);
}

/* {"id"}: a deployment, provider/model, or whatever is disabled now. */
static void
mean_id(struct change *change, const struct sl_config *config, struct sl_slice id)
{
	struct sl_slice model = id;
	struct sl_slice provider = sl_slice_cut(&model, '/');

	if (is_deployment(config, id) || sl_board_is_disabled(change->board, id) ||
	    (model.len > 0 && find_provider(config, provider)))
		mean(change, id);
}

/* {"model","provider"}: the deployments of that alias, or with that model, there;
 * without any, the target that callers name provider/model. */
static void
mean_pair(struct change *change, const struct sl_config *config, struct sl_slice model,
          struct sl_slice provider)
{
	for (size_t i = 0; i < config->model_count; i++)
		for (size_t k = 0; k < config->models[i].deployment_count; k++) {
			const struct sl_config_deployment *deployment =
			    &config->models[i].deployments[k];

			if (sl_slice_eq(deployment->provider, provider) &&
			    (sl_slice_eq(config->models[i].name, model) ||
			     sl_slice_eq(deployment->model, model)))
				mean(change, deployment->id);
		}
	if (change->id_count == 0 && model.len > 0 && find_provider(config, provider))
		mean(change, sl_arena_printf(&change->arena, "%.*s/%.*s", SL_ARG(provider),
		                             SL_ARG(model)));
}

/* False: refused and answered. */
static bool
read_body(struct change *change, struct admin_call *call)
{
	const struct sl_admin_services *services = &call->admin->services;
	const struct sl_config *config = services->config(services->context);
	struct sl_slice id, model, provider;
	struct sl_json body;

	if (!admin_body(call, &body))
		return false;
	if (sl_json_string(sl_json_get(body, "id"), &change->arena, &id)) {
		mean_id(change, config, id);
	} else if (sl_json_string(sl_json_get(body, "model"), &change->arena, &model) &&
	           sl_json_string(sl_json_get(body, "provider"), &change->arena, &provider)) {
		mean_pair(change, config, model, provider);
	} else {
		admin_answer_fault_text(call, SL_FAULT_BAD_REQUEST,
		                        "Say which deployment: {\"id\": ...}, or {\"model\": ..., "
		                        "\"provider\": ...}. GET /admin/deployments lists them.");
		return false;
	}
	for (size_t i = 0; i < change->id_count; i++)
		if (change->ids[i].len > SL_BOARD_ID_MAX)
			change->id_count = 0;
	if (change->id_count > 0)
		return true;
	admin_answer_fault_text(call, SL_FAULT_NOT_FOUND,
	                        "There is no such deployment. GET /admin/deployments lists them.");
	return false;
}

static void
start_change(struct admin_call *call, bool disable)
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change) {
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE, "Out of memory.");
		return;
	}
	sl_arena_init(&change->arena, 4096, 2 * LIST_MAX);
	change->job.run = run_change;
	change->job.done = apply_change;
	change->task.run = answer_change;
	change->call = call;
	change->loop = call->admin->loop;
	change->board = call->admin->services.board;
	change->disable = disable;
	change->actor = sl_arena_dup(&change->arena, admin_actor(call));
	admin_call_ref(call);
	if (!read_body(change, call)) {
		drop_change(change);
	} else if (sl_store_submit(call->admin->services.store, &change->job) != SL_OK) {
		admin_answer_fault_text(call, SL_FAULT_OVERLOADED,
		                        "The store is busy. Try again soon.");
		drop_change(change);
	}
}

void
admin_deployments_disable(struct admin_call *call)
{
	start_change(call, true);
}

void
admin_deployments_enable(struct admin_call *call)
{
	start_change(call, false);
}

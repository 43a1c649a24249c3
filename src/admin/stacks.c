/* stacks.c - /admin/stacks: versioned bundles of routing policy.
 *
 *   create, activate --> the text in the store, changed in one transaction
 *                          --durable--> the book, swapped whole --> answer
 *
 * The text is read, changed and written on the store's thread, and the book is swapped
 * there too: two changes at once, on two loops, end up the same on disk and in memory.
 * A version never changes once made; activating one is the only way to go back.
 */
#include <stdlib.h>

#include "admin/call.h"
#include "ledger/audit.h"
#include "routing/stack.h"
#include "store/store.h"

static const char meta_name[] = "stacks";

/* --- loading ------------------------------------------------------------------------ */

struct load {
	struct sl_store_job job;
	struct sl_stacks   *stacks;
};

static void
run_load(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct load *load = SL_CONTAINER(job, struct load, job);
	struct sl_buf text;

	sl_buf_init(&text, SL_STACKS_TEXT_MAX);
	job->err = ops->meta_get(conn, meta_name, &text);
	if (job->err == SL_OK)
		job->err = sl_stacks_replace(load->stacks, sl_buf_slice(&text));
	else if (job->err == SL_ENOTFOUND)
		job->err = SL_OK;
	sl_buf_release(&text);
}

enum sl_err
sl_admin_load_stacks(struct sl_stacks *stacks, struct sl_store *store)
{
	struct load load = { .job.run = run_load, .stacks = stacks };

	return sl_store_run(store, &load.job);
}

/* --- showing ------------------------------------------------------------------------ */

static const struct sl_config *
config_of(const struct admin_call *call)
{
	const struct sl_admin_services *services = &call->admin->services;

	return services->config(services->context);
}

/* Of a stack with a budget: what is spent, and what follows from it. */
static void
put_standing(const struct admin_call *call, const struct sl_config_stack *stack,
             struct sl_json_writer *w)
{
	const struct sl_config_budget *budget = &stack->budget;
	const int64_t limits[SL_WINDOW_COUNT] = { [SL_WINDOW_DAY] = budget->daily_nanousd,
		                                  [SL_WINDOW_MONTH] = budget->monthly_nanousd };
	struct sl_money_standing standing;
	const char *state = "ok";

	if ((budget->daily_nanousd <= 0 && budget->monthly_nanousd <= 0) ||
	    !call->admin->services.money)
		return;
	sl_money_standing(call->admin->services.money, SL_SCOPE_STACK, stack->slug, NULL,
	                  sl_loop_wall_ms(call->admin->loop), &standing);
	for (int i = 0; i < SL_WINDOW_COUNT; i++) {
		double used = limits[i] > 0 ? (double)standing.spent[i] / (double)limits[i] * 100 : -1;

		if (budget->stop_percent > 0 && used >= (double)budget->stop_percent)
			state = "stopped";
		else if (budget->warn_percent > 0 && used >= (double)budget->warn_percent &&
		         strcmp(state, "ok") == 0)
			state = "warning";
	}
	sl_json_usd(w, "daily_spend_usd", standing.spent[SL_WINDOW_DAY]);
	sl_json_usd(w, "monthly_spend_usd", standing.spent[SL_WINDOW_MONTH]);
	sl_json_str(w, "budget_state", sl_slice_str(state));
}

static void
put_stack(const struct admin_call *call, struct sl_json_writer *w,
          const struct sl_config_stack *stack, const char *source, bool active)
{
	sl_json_obj(w);
	sl_stack_write(stack, w);
	if (active)
		put_standing(call, stack, w);
	sl_json_bool(w, "active", active);
	sl_json_str(w, "source", sl_slice_str(source));
	sl_json_obj_end(w);
}

/* Every version of every source; with a slug only its own. Returns how many. */
static size_t
list_stacks(const struct admin_call *call, struct sl_json_writer *w,
            const struct sl_stack_book *book, const struct sl_config *config, struct sl_slice slug)
{
	size_t count = 0;

	for (size_t i = 0; i < book->count; i++) {
		const struct sl_config_stack *stack = &book->versions[i].stack;

		if (slug.len > 0 && !sl_slice_eq(stack->slug, slug))
			continue;
		put_stack(call, w, stack, "admin", book->versions[i].active);
		count++;
	}
	for (size_t i = 0; i < config->stack_count; i++) {
		const struct sl_config_stack *stack = &config->stacks[i];

		if (slug.len > 0 && !sl_slice_eq(stack->slug, slug))
			continue;
		put_stack(call, w, stack, "configuration",
		          sl_stack_find(book, config, stack->slug) == stack);
		count++;
	}
	for (size_t i = 0; i < sl_stack_managed_count(); i++) {
		const struct sl_config_stack *stack = sl_stack_managed(i);

		if (slug.len > 0 && !sl_slice_eq(stack->slug, slug))
			continue;
		put_stack(call, w, stack, "managed", sl_stack_find(book, config, stack->slug) == stack);
		count++;
	}
	return count;
}

static void
answer_list(struct admin_call *call, struct sl_slice slug)
{
	const struct sl_stack_book *book = sl_stacks_ref(call->admin->services.stacks);
	struct sl_json_writer w;
	struct sl_buf body;
	size_t count;

	sl_buf_init(&body, ADMIN_ANSWER_MAX);
	sl_json_writer_init(&w, &body);
	sl_json_obj(&w);
	sl_json_key(&w, "data");
	sl_json_arr(&w);
	count = list_stacks(call, &w, book, config_of(call), slug);
	sl_json_arr_end(&w);
	sl_json_obj_end(&w);
	sl_stack_book_unref(book);
	if (count > 0 || slug.len == 0) {
		admin_answer_json(call, 200, &body);
		return;
	}
	sl_buf_release(&body);
	admin_answer_fault_text(call, SL_FAULT_NOT_FOUND,
	                        "There is no stack of this slug. GET /admin/stacks lists them.");
}

void
admin_stacks_list(struct admin_call *call)
{
	answer_list(call, SL_SLICE_NONE);
}

void
admin_stacks_show(struct admin_call *call)
{
	answer_list(call, sl_slice_str(call->id));
}

/* --- changing ------------------------------------------------------------------------ */

struct change {
	struct sl_store_job    job;
	struct sl_task         task; /* back to the loop, to answer */
	struct admin_call     *call;
	struct sl_loop        *loop;
	struct sl_stacks      *stacks;
	struct sl_arena        arena;
	bool                   create;
	bool                   activate; /* of a new version: also where it is not the first */
	struct sl_config_stack stack;    /* new; of an activation slug and version */
	int64_t                version_below; /* of the configuration or the managed one; 0: none */
	int64_t                now_wall_ms;
	struct sl_slice        actor;    /* for the audit log, on the arena */
	bool                   active;   /* what came of it */
	struct sl_buf          text;     /* the new one */
};

static void
drop_change(struct change *change)
{
	struct admin_call *call = change->call;

	sl_buf_release(&change->text);
	sl_arena_release(&change->arena);
	free(change);
	admin_call_unref(call);
}

static void
store_version(struct sl_json_writer *w, const struct sl_config_stack *stack, bool active,
              int64_t created_wall_ms)
{
	sl_json_obj(w);
	sl_stack_write(stack, w);
	sl_json_bool(w, "active", active);
	sl_json_int(w, "created_wall_ms", created_wall_ms);
	sl_json_obj_end(w);
}

/* Which version is in force after the change: that of the new text, or 0 for none. */
static enum sl_err
decide(struct change *change, const struct sl_stack_book *book, int64_t *active)
{
	int64_t newest = change->version_below, in_force = 0;
	bool known = false;

	for (size_t i = 0; i < book->count; i++) {
		const struct sl_stack_version *version = &book->versions[i];

		if (!sl_slice_eq(version->stack.slug, change->stack.slug))
			continue;
		if (version->stack.version > newest)
			newest = version->stack.version;
		if (version->active)
			in_force = version->stack.version;
		known = known || version->stack.version == change->stack.version;
	}
	if (change->create) {
		change->stack.version = newest + 1;
		/* The first of a slug has nothing to wait for. */
		change->active = change->activate || newest == 0;
		*active = change->active ? change->stack.version : in_force;
		return SL_OK;
	}
	if (change->stack.version == 0)
		change->stack.version = newest;
	else if (!known && change->stack.version != change->version_below)
		return SL_ENOTFOUND;
	if (newest == 0)
		return SL_ENOTFOUND;
	change->active = true;
	*active = change->stack.version;
	return SL_OK;
}

static enum sl_err
write_text(struct change *change, const struct sl_stack_book *book)
{
	struct sl_json_writer w;
	int64_t active;
	enum sl_err err = decide(change, book, &active);

	if (err != SL_OK)
		return err;
	if (change->create && book->count == SL_STACK_VERSIONS_MAX)
		return SL_ELIMIT;
	sl_json_writer_init(&w, &change->text);
	sl_json_obj(&w);
	sl_json_key(&w, "stacks");
	sl_json_arr(&w);
	for (size_t i = 0; i < book->count; i++) {
		const struct sl_stack_version *version = &book->versions[i];
		bool same = sl_slice_eq(version->stack.slug, change->stack.slug);

		store_version(&w, &version->stack,
		              same ? version->stack.version == active : version->active,
		              version->created_wall_ms);
	}
	if (change->create)
		store_version(&w, &change->stack, change->active, change->now_wall_ms);
	sl_json_arr_end(&w);
	sl_json_obj_end(&w);
	return change->text.failed ? SL_ELIMIT : SL_OK;
}

static enum sl_err
audit(const struct change *change, const struct sl_store_ops *ops, void *conn)
{
	struct sl_json_writer w;
	struct sl_buf after;
	struct sl_audit_entry entry = {
		.actor = change->actor,
		.action = change->create ? SL_SLICE("stack.create") : SL_SLICE("stack.activate"),
		.target = change->stack.slug,
	};
	enum sl_err err;

	sl_buf_init(&after, SL_STACKS_TEXT_MAX);
	sl_json_writer_init(&w, &after);
	sl_json_obj(&w);
	if (change->create)
		sl_stack_write(&change->stack, &w);
	else
		sl_json_int(&w, "version", change->stack.version);
	sl_json_bool(&w, "active", change->active);
	sl_json_obj_end(&w);
	entry.after_json = sl_buf_slice(&after);
	err = after.failed ? SL_ELIMIT : sl_audit_add(ops, conn, &entry, change->now_wall_ms);
	sl_buf_release(&after);
	return err;
}

/* The book in memory may lag behind a job of the same transaction: the stored text
 * counts. */
static void
run_change(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct change *change = SL_CONTAINER(job, struct change, job);
	struct sl_stacks *stored = sl_stacks_new();
	const struct sl_stack_book *book;
	struct sl_buf before;

	sl_buf_init(&before, SL_STACKS_TEXT_MAX);
	job->err = stored ? ops->meta_get(conn, meta_name, &before) : SL_ENOMEM;
	if (job->err == SL_OK)
		job->err = sl_stacks_replace(stored, sl_buf_slice(&before));
	else if (job->err == SL_ENOTFOUND)
		job->err = SL_OK;
	if (job->err == SL_OK) {
		book = sl_stacks_ref(stored);
		job->err = write_text(change, book);
		sl_stack_book_unref(book);
	}
	if (job->err == SL_OK)
		job->err = ops->meta_put(conn, meta_name, sl_buf_slice(&change->text));
	if (job->err == SL_OK)
		job->err = audit(change, ops, conn);
	sl_buf_release(&before);
	sl_stacks_free(stored);
}

/* On the store's thread: in the order in which the changes became durable. */
static void
apply_change(struct sl_store_job *job)
{
	struct change *change = SL_CONTAINER(job, struct change, job);

	if (job->err == SL_OK)
		job->err = sl_stacks_replace(change->stacks, sl_buf_slice(&change->text));
	sl_loop_post(change->loop, &change->task);
}

static void
tell_change(struct change *change)
{
	struct sl_json_writer w;
	struct sl_buf body;

	sl_buf_init(&body, ADMIN_ANSWER_MAX);
	sl_json_writer_init(&w, &body);
	if (change->create) {
		put_stack(change->call, &w, &change->stack, "admin", change->active);
		admin_answer_json(change->call, 201, &body);
		return;
	}
	sl_json_obj(&w);
	sl_json_str(&w, "slug", change->stack.slug);
	sl_json_int(&w, "version", change->stack.version);
	sl_json_bool(&w, "active", true);
	sl_json_obj_end(&w);
	admin_answer_json(change->call, 200, &body);
}

static void
answer_change(struct sl_task *task)
{
	struct change *change = SL_CONTAINER(task, struct change, task);
	struct admin_call *call = change->call;

	if (admin_call_alive(call)) {
		if (change->job.err == SL_OK)
			tell_change(change);
		else if (change->job.err == SL_ENOTFOUND)
			admin_answer_fault_text(call, SL_FAULT_NOT_FOUND,
			                        "There is no such version. GET /admin/stacks lists "
			                        "them.");
		else if (change->job.err == SL_ELIMIT)
			admin_answer_fault_text(call, SL_FAULT_BAD_REQUEST,
			                        "There are too many versions of stacks to keep "
			                        "another.");
		else
			admin_answer_store(call, change->job.err);
	}
	drop_change(change);
}

/* NULL: refused and answered. */
static struct change *
new_change(struct admin_call *call, bool create)
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change) {
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE, "Out of memory.");
		return NULL;
	}
	sl_arena_init(&change->arena, 4096, SL_STACKS_TEXT_MAX);
	sl_buf_init(&change->text, SL_STACKS_TEXT_MAX);
	change->job.run = run_change;
	change->job.done = apply_change;
	change->task.run = answer_change;
	change->call = call;
	change->loop = call->admin->loop;
	change->stacks = call->admin->services.stacks;
	change->create = create;
	change->actor = sl_arena_dup(&change->arena, admin_actor(call));
	change->now_wall_ms = sl_loop_wall_ms(call->admin->loop);
	admin_call_ref(call);
	return change;
}

static void
submit(struct change *change)
{
	struct admin_call *call = change->call;
	const struct sl_config_stack *below = sl_stack_find(NULL, config_of(call),
	                                                    change->stack.slug);

	change->version_below = below ? below->version : 0;
	if (sl_store_submit(call->admin->services.store, &change->job) == SL_OK)
		return;
	admin_answer_fault_text(call, SL_FAULT_OVERLOADED, "The store is busy. Try again soon.");
	drop_change(change);
}

/* A boundary with a name that nothing has would hold nothing back. */
static bool
knows_providers(const struct sl_config *config, const struct sl_config_strings *names,
                struct sl_slice *unknown)
{
	for (size_t i = 0; i < names->count; i++) {
		size_t k = 0;

		while (k < config->provider_count &&
		       !sl_slice_eq(config->providers[k].name, names->items[i]))
			k++;
		if (k == config->provider_count) {
			*unknown = names->items[i];
			return false;
		}
	}
	return true;
}

static bool
knows_models(const struct sl_config *config, const struct sl_config_strings *names,
             struct sl_slice *unknown)
{
	for (size_t i = 0; i < names->count; i++) {
		struct sl_slice rest = names->items[i];
		struct sl_slice provider = sl_slice_cut(&rest, '/');
		const struct sl_config_strings one = { &provider, 1 };
		size_t k = 0;

		while (k < config->model_count &&
		       !sl_slice_eq(config->models[k].name, names->items[i]))
			k++;
		if (k == config->model_count &&
		    (rest.len == 0 || !knows_providers(config, &one, unknown))) {
			*unknown = names->items[i];
			return false;
		}
	}
	return true;
}

static bool
check_names(struct change *change, struct sl_fault *fault)
{
	const struct sl_config *config = config_of(change->call);
	const struct sl_config_stack *stack = &change->stack;
	struct sl_slice unknown;
	const char *what = NULL;

	if (!knows_models(config, &stack->models, &unknown))
		what = "models";
	else if (!knows_providers(config, &stack->allowed_providers, &unknown))
		what = "allowed_providers";
	else if (!knows_providers(config, &stack->blocked_providers, &unknown))
		what = "blocked_providers";
	if (!what)
		return true;
	sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
	             sl_arena_printf(&change->arena, "'%s' names '%.*s', which this gateway does "
	                             "not have.", what, SL_ARG(unknown)));
	fault->param = sl_slice_str(what);
	return false;
}

/* "activate" is of the call, not of the stack. False: *fault. */
static bool
read_new(struct change *change, struct sl_json body, struct sl_fault *fault)
{
	struct sl_json activate = sl_json_get(body, "activate");

	change->activate = activate.type == SL_JSON_NONE || sl_json_true(activate);
	return sl_stack_read(body, &change->arena, &change->stack, fault) &&
	       check_names(change, fault);
}

void
admin_stacks_create(struct admin_call *call)
{
	struct change *change;
	struct sl_fault fault;
	struct sl_json body;

	if (!admin_body(call, &body))
		return;
	change = new_change(call, true);
	if (!change)
		return;
	if (read_new(change, body, &fault)) {
		submit(change);
		return;
	}
	admin_answer_fault(call, &fault);
	drop_change(change);
}

void
admin_stacks_activate(struct admin_call *call)
{
	struct change *change;
	struct sl_json body, version;

	if (!admin_body(call, &body))
		return;
	change = new_change(call, false);
	if (!change)
		return;
	change->stack.slug = sl_arena_dup(&change->arena, sl_slice_str(call->id));
	version = sl_json_get(body, "version");
	if (version.type == SL_JSON_NONE || version.type == SL_JSON_NULL ||
	    (sl_json_i64(version, &change->stack.version) && change->stack.version > 0)) {
		submit(change);
		return;
	}
	admin_answer_fault_text(call, SL_FAULT_BAD_REQUEST,
	                        "'version' must be the number of a version; without it the newest "
	                        "is meant.");
	drop_change(change);
}

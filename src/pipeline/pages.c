/* pages.c - paths that the caller's contract answers itself.
 *
 * Most pages are written from what is in memory: the configuration, the catalogue,
 * what the key may do. One that tells what was used waits for the store:
 *
 *   found --> written
 *     '-----> ASKED --the store answers--> written
 *               '-----the caller leaves--> nobody is told
 */
#include "pipeline/ask.h"
#include "telemetry/usage_sums.h"

enum { PAGE_BYTES_MAX = 4 * 1024 * 1024, DAY_MS = 86400000 };

static bool
allows(void *context, struct sl_slice model)
{
	const struct sl_ask *ask = context;

	return sl_tenancy_allows(&ask->tenancy, model, SL_SLICE_NONE, SL_SLICE_NONE);
}

/* Those of the world that the caller may use, as many as a request weighs. */
static void
put_offers(struct sl_ask *ask, struct sl_surface_view *view)
{
	const struct sl_offers *offers = &ask->world->offers;
	struct sl_slice *names = sl_arena_alloc(view->arena, SL_OFFERS_MAX * sizeof(*names));

	view->offers = names;
	for (size_t i = 0; names && i < offers->count && view->offer_count < SL_OFFERS_MAX; i++) {
		const struct sl_slice provider =
		    view->config->providers[offers->list[i].provider].name;
		const struct sl_slice model = offers->list[i].card->model;

		if (sl_tenancy_allows(&ask->tenancy, model, provider, model))
			names[view->offer_count++] = sl_arena_join(
			    view->arena, (struct sl_slice[]){ provider, SL_SLICE("/"), model }, 3);
	}
}

static struct sl_surface_view
view_of(struct sl_ask *ask)
{
	struct sl_surface_view view = {
		.config = ask->world->config,
		.catalog = ask->world->catalog,
		.path = ask->head->selection.path,
		.query = ask->exchange->request.query,
		.arena = &ask->exchange->arena,
		.now_wall_ms = sl_loop_wall_ms(ask->gateway->loop),
		.decision = &ask->decision,
		.allows = allows,
		.context = ask,
	};

	if (ask->key)
		view.rpm = sl_key_policy(ask->key)->limits.rpm;
	put_offers(ask, &view);
	return view;
}

static void
write_page(struct sl_ask *ask, const struct sl_surface_view *view)
{
	struct sl_json_writer w;
	struct sl_fault fault;
	struct sl_buf body;

	sl_buf_init(&body, PAGE_BYTES_MAX);
	sl_json_writer_init(&w, &body);
	if (!ask->page->write(view, &w, &fault))
		sl_ask_refuse(ask, &fault);
	else
		sl_ask_answer_json(ask, &body);
	sl_buf_release(&body);
}

/* --- what was used ------------------------------------------------------------- */

static void
on_sums(struct sl_usage_sums *sums)
{
	struct sl_ask *ask = sums->user;
	struct sl_surface_view view;
	struct sl_fault fault;

	if (ask) {
		ask->sums = NULL;
		view = view_of(ask);
		view.hours = sums->hours;
		view.hour_count = sums->count;
		view.times = sums->has_times ? &sums->times : NULL;
		view.calls = sums->calls;
		view.call_count = sums->call_count;
		if (sums->err == SL_ELIMIT)
			sl_ask_refuse_with(ask, SL_FAULT_BAD_REQUEST,
			                   SL_SLICE("There are too many records of that time to be "
			                            "narrowed: ask for a shorter one."));
		else if (sums->err != SL_OK)
			sl_ask_refuse_with(ask, SL_FAULT_UNAVAILABLE,
			                   SL_SLICE("The records cannot be read now. Try again "
			                            "shortly."));
		else if (!ask->page->ask(&view, &view.question, &fault))
			sl_ask_refuse(ask, &fault);
		else
			write_page(ask, &view);
	}
	sl_usage_sums_free(sums);
}

static void
ask_store(struct sl_ask *ask)
{
	struct sl_surface_view view = view_of(ask);
	struct sl_fault fault;

	if (!ask->key) {
		sl_ask_refuse_with(ask, SL_FAULT_NOT_FOUND,
		                   SL_SLICE("Where no keys are needed, nobody has a usage of their "
		                            "own: GET /admin/spend tells the whole."));
		return;
	}
	if (!ask->page->ask(&view, &view.question, &fault)) {
		sl_ask_refuse(ask, &fault);
		return;
	}
	if (view.question.until_wall_ms - view.question.since_wall_ms >
	    (int64_t)SL_USAGE_DAYS_MAX * DAY_MS) {
		sl_ask_refuse_with(ask, SL_FAULT_BAD_REQUEST,
		                   SL_SLICE("That is a longer time than one answer tells of: ask for "
		                            "400 days at most."));
		return;
	}
	ask->sums = ask->gateway->services.store
	                ? sl_usage_sums_start(ask->gateway->services.store,
	                                      ask->gateway->services.telemetry,
	                                      ask->gateway->loop, sl_key_id(ask->key),
	                                      &view.question, on_sums, ask)
	                : NULL;
	if (!ask->sums)
		sl_ask_refuse_with(ask, SL_FAULT_UNAVAILABLE,
		                   SL_SLICE("The records cannot be read now. Try again shortly."));
}

/* --- the journey ------------------------------------------------------------------ */

static void
show(struct sl_ask *ask)
{
	struct sl_surface_view view;

	sl_quota_note(ask);
	view = view_of(ask);
	write_page(ask, &view);
}

bool
sl_pages_answer(struct sl_ask *ask, bool authenticated)
{
	struct sl_ask_head *head = ask->head;
	const struct sl_surface_page *page;

	if (!head->looked)
		head->page = sl_surface_page(ask->surface, ask->exchange->request.method,
		                             head->selection.path, &head->page_allow);
	head->looked = true;
	page = head->page;
	if (page && (authenticated || page->open)) {
		ask->page = page;
		if (page->ask)
			return true; /* sl_pages_run follows, with the end of the request */
		show(ask);
		return true;
	}
	if (!head->page_allow || page || !authenticated)
		return false;
	sl_ask_refuse_method(ask, sl_slice_str(head->page_allow));
	return true;
}

bool
sl_pages_run(struct sl_ask *ask)
{
	if (!ask->page)
		return false;
	sl_quota_note(ask);
	ask_store(ask);
	return true;
}

void
sl_pages_gone(struct sl_ask *ask)
{
	if (ask->sums)
		sl_usage_sums_leave(ask->sums);
	ask->sums = NULL;
}

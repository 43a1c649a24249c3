/* pages.c - paths that the caller's contract answers itself.
 *
 * A surface's pages are written from what is in memory: the configuration, the
 * catalogue and what the key may do.
 */
#include "pipeline/ask.h"

enum { PAGE_BYTES_MAX = 4 * 1024 * 1024 };

static bool
allows(void *context, struct sl_slice model)
{
	const struct sl_ask *ask = context;

	return sl_admission_allows(ask, model, SL_SLICE_NONE, SL_SLICE_NONE);
}

static void
write_page(struct sl_ask *ask, const struct sl_surface_page *page)
{
	const struct sl_surface_view view = {
		.config = ask->world->config,
		.catalog = ask->world->catalog,
		.query = ask->exchange->request.query,
		.arena = &ask->exchange->arena,
		.allows = allows,
		.context = ask,
	};
	struct sl_json_writer w;
	struct sl_fault fault;
	struct sl_buf body;

	sl_buf_init(&body, PAGE_BYTES_MAX);
	sl_json_writer_init(&w, &body);
	if (!page->write(&view, &w, &fault))
		sl_ask_refuse(ask, &fault);
	else if (body.failed)
		sl_ask_refuse_with(ask, SL_FAULT_OVERLOADED,
		                   SL_SLICE("The gateway is out of memory. Try again shortly."));
	else
		sl_ask_answer(ask, 200, SL_SLICE("application/json"), sl_buf_slice(&body));
	sl_buf_release(&body);
}

bool
sl_pages_answer(struct sl_ask *ask, bool authenticated)
{
	const struct sl_surface_page *page;
	const char *allow;

	page = sl_surface_page(ask->surface, ask->exchange->request.method, ask->selection.path,
	                       &allow);
	if (page && (authenticated || page->open)) {
		write_page(ask, page);
		return true;
	}
	if (!allow || page || !authenticated)
		return false;
	sl_ask_refuse_method(ask, sl_slice_str(allow));
	return true;
}

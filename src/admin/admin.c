/* admin.c - the door of the admin room: which route, and may you.
 *
 *   head --> cross-site? --> route --> role --> media type --> body --> handler
 *              403            404       401/403    415
 *                             405
 *
 * Everything below /admin needs the master key before it learns even which
 * paths exist. There are no cookies, so a foreign page can do nothing by itself;
 * requests that a browser marks as cross-site are refused all the same, and no
 * CORS header is ever sent from here.
 */
#include <stdlib.h>

#include "admin/call.h"
#include "base/log.h"
#include "base/percent.h"
#include "ledger/key.h"
#include "surfaces/surface.h"

const struct admin_route admin_routes[] = {
#define SL_ROUTE(method, pattern, role, handler)                              \
	{ #method, pattern, ADMIN_ROLE_##role, admin_##handler },
#include "admin/routes.def"
#undef SL_ROUTE
};
const size_t admin_route_count = sizeof(admin_routes) / sizeof(admin_routes[0]);

const char *
admin_check_routes(const struct admin_route *routes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!routes[i].method || !routes[i].pattern || !routes[i].handle)
			return "a route is incomplete";
		if (routes[i].role != ADMIN_ROLE_NONE && routes[i].role != ADMIN_ROLE_KEY &&
		    routes[i].role != ADMIN_ROLE_MASTER)
			return "a route has no role";
		for (size_t k = 0; k < i; k++)
			if (strcmp(routes[i].method, routes[k].method) == 0 &&
			    strcmp(routes[i].pattern, routes[k].pattern) == 0)
				return "two routes are the same";
	}
	return NULL;
}

/* --- routes ------------------------------------------------------------------ */

/* Whether a raw path fits a pattern; id receives the decoded ":id" segment. */
static bool
match(const char *pattern, struct sl_slice path, char id[ADMIN_ID_MAX + 1])
{
	struct sl_slice left = sl_slice_str(pattern);

	if (path.len > 1 && path.ptr[path.len - 1] == '/')
		path.len--;
	while (left.len && path.len) {
		struct sl_slice want = sl_slice_cut(&left, '/');
		struct sl_slice have = sl_slice_cut(&path, '/');
		char decoded[3 * ADMIN_ID_MAX];
		ptrdiff_t len;

		if (!sl_slice_is(want, ":id")) {
			if (!sl_slice_eq(want, have))
				return false;
			continue;
		}
		if (have.len == 0 || have.len > sizeof(decoded))
			return false;
		len = sl_percent_decode(have, decoded);
		if (len <= 0 || len > ADMIN_ID_MAX)
			return false;
		memcpy(id, decoded, (size_t)len);
		id[len] = '\0';
	}
	return left.len == 0 && path.len == 0;
}

static bool
method_fits(const char *method, struct sl_slice asked)
{
	return sl_slice_is(asked, method) ||
	       (sl_slice_is(asked, "HEAD") && strcmp(method, "GET") == 0);
}

/* The route of a request, or NULL; *allow lists the methods that the path has,
 * empty when it has none. */
static const struct admin_route *
find_route(struct sl_exchange *exchange, char id[ADMIN_ID_MAX + 1], struct sl_slice *allow)
{
	const struct sl_request *request = &exchange->request;
	const struct admin_route *found = NULL;

	*allow = SL_SLICE_NONE;
	for (size_t i = 0; i < admin_route_count; i++) {
		const struct admin_route *route = &admin_routes[i];
		bool is_get = strcmp(route->method, "GET") == 0;

		if (!match(route->pattern, request->path, id))
			continue;
		if (method_fits(route->method, request->method))
			found = route;
		*allow = sl_arena_printf(&exchange->arena, "%.*s%s, ", SL_ARG(*allow),
		                         is_get ? "GET, HEAD" : route->method);
	}
	if (allow->len)
		*allow = sl_arena_printf(&exchange->arena, "%.*sOPTIONS", SL_ARG(*allow));
	return found;
}

bool
sl_admin_owns(struct sl_slice path)
{
	static const char *const exact[] = { "/", "/health", "/ready", "/metrics", "/admin",
		                             "/v1/credits", "/v1/vouchers/redeem",
		                             "/openapi.json" };

	for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++)
		if (sl_slice_is(path, exact[i]))
			return true;
	return sl_slice_starts(path, SL_SLICE("/admin/")) ||
	       sl_slice_starts(path, SL_SLICE("/v1/receipts/")) ||
	       sl_slice_is(path, "/health/") || sl_slice_is(path, "/ready/") ||
	       sl_slice_is(path, "/metrics/");
}

static bool
below_admin(struct sl_slice path)
{
	return sl_slice_is(path, "/admin") || sl_slice_starts(path, SL_SLICE("/admin/"));
}

/* --- who -------------------------------------------------------------------- */

static struct sl_slice
credential_of(const struct sl_headers *headers)
{
	struct sl_slice value = sl_headers_get(headers, "authorization");

	if (sl_slice_istarts(value, SL_SLICE("bearer ")))
		return sl_slice_trim(sl_slice_from(value, 7));
	if (value.len > 0 && sl_slice_find(value, ' ') < 0)
		return value; /* without a scheme, as some clients write it */
	return sl_slice_trim(sl_headers_get(headers, "x-api-key"));
}

/* True: the master key was shown. Else answered: 401, or 403 for a key that is
 * good elsewhere. */
static bool
authorise(struct admin_call *call)
{
	struct sl_keyring *ring = call->admin->services.keyring;
	struct sl_slice secret = credential_of(&call->exchange->request.headers);
	struct sl_fault fault;
	struct sl_key *key;
	enum sl_err err;

	if (sl_keyring_is_master(ring, secret))
		return true;
	err = sl_keyring_find(ring, secret, &key, &fault);
	sl_key_unref(key);
	if (err == SL_OK)
		admin_answer_fault_text(call, SL_FAULT_FORBIDDEN,
		                        "This is a virtual key: /admin needs the master key.");
	else if (err != SL_ENOTFOUND)
		admin_answer_fault(call, &fault);
	else if (secret.len == 0)
		admin_answer_fault_text(call, SL_FAULT_AUTH_MISSING,
		                        "Send the master key as \"Authorization: Bearer ...\" or "
		                        "x-api-key.");
	else
		admin_answer_fault_text(call, SL_FAULT_AUTH, "This is not the master key.");
	return false;
}

/* The key of a caller who asks for what is its own, wherever its contract carries it.
 * False: answered. */
static bool
identify(struct admin_call *call)
{
	const struct sl_request *request = &call->exchange->request;
	const struct sl_surface_request view = sl_surface_request_of(
	    request->method, request->path, request->query, &request->headers,
	    call->admin->services.config(call->admin->services.context));
	const struct sl_surface_ops *surface = sl_surface_recognise(&view);
	struct sl_fault fault;

	if (sl_keyring_find(call->admin->services.keyring,
	                    surface->credential(&view, &call->exchange->arena), &call->key,
	                    &fault) == SL_OK)
		return true;
	admin_answer_fault(call, &fault);
	return false;
}

/* --- one request --------------------------------------------------------------- */

static bool
is_json(struct sl_slice content_type)
{
	struct sl_slice type = sl_slice_trim(sl_slice_cut(&content_type, ';'));

	return sl_slice_ieq(type, SL_SLICE("application/json"));
}

static void
refuse_route(struct admin_call *call, struct sl_slice allow)
{
	const struct sl_header field = { SL_SLICE("allow"), allow };

	if (!allow.len)
		admin_answer_fault_text(call, SL_FAULT_NOT_FOUND, "There is nothing at this path.");
	else if (sl_slice_is(call->exchange->request.method, "OPTIONS"))
		admin_answer(call, 204, NULL, &field, 1, SL_SLICE_NONE);
	else
		admin_answer_method(call, allow);
}

static struct admin_call *
new_call(struct sl_admin *admin, struct sl_exchange *exchange)
{
	struct admin_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->admin = admin;
	call->exchange = exchange;
	call->refs = 1;
	sl_list_push_back(&admin->calls, &call->node);
	exchange->user = call;
	return call;
}

static void
on_head(void *context, struct sl_exchange *exchange, size_t *body_max)
{
	const struct sl_request *request = &exchange->request;
	struct admin_call *call = new_call(context, exchange);
	struct sl_slice allow;

	if (*body_max > ADMIN_BODY_MAX)
		*body_max = ADMIN_BODY_MAX;
	if (!call) {
		sl_exchange_abort(exchange);
		return;
	}
	call->route = find_route(exchange, call->id, &allow);
	if (below_admin(request->path)) {
		if (sl_slice_is(sl_headers_get(&request->headers, "sec-fetch-site"), "cross-site")) {
			admin_answer_fault_text(call, SL_FAULT_FORBIDDEN,
			                        "A page of another site may not use the admin API.");
			return;
		}
		if (!authorise(call))
			return;
	}
	if (call->route && call->route->role == ADMIN_ROLE_KEY && !identify(call))
		return;
	if (!call->route)
		refuse_route(call, allow);
	else if (request->has_body &&
	         !is_json(sl_headers_get(&request->headers, "content-type")))
		admin_answer_fault_text(call, SL_FAULT_MEDIA_TYPE,
		                        "Send the body with \"Content-Type: application/json\".");
}

static void
on_request(void *context, struct sl_exchange *exchange)
{
	struct admin_call *call = exchange->user;

	(void)context;
	call->route->handle(call);
}

static enum sl_fault_kind
kind_of_status(int status)
{
	switch (status) {
	case 408: return SL_FAULT_TIMEOUT;
	case 413: return SL_FAULT_TOO_LARGE;
	case 431: return SL_FAULT_HEADERS_TOO_LARGE;
	default:  return status >= 500 ? SL_FAULT_INTERNAL : SL_FAULT_BAD_REQUEST;
	}
}

static void
on_bad_request(void *context, struct sl_exchange *exchange, int status, const char *reason)
{
	struct admin_call *call = exchange->user ? exchange->user : new_call(context, exchange);
	struct sl_fault fault;

	if (!call) {
		sl_exchange_abort(exchange);
		return;
	}
	sl_fault_set(&fault, kind_of_status(status), sl_slice_str(reason));
	fault.status = status;
	admin_answer_fault(call, &fault);
}

/* Answers are handed over whole: there is nothing to go on with. */
static void
on_drain(void *context, struct sl_exchange *exchange)
{
	(void)context;
	(void)exchange;
}

static void
on_gone(void *context, struct sl_exchange *exchange, enum sl_gone_reason why)
{
	struct admin_call *call = exchange->user;

	(void)context;
	(void)why;
	if (!call)
		return;
	exchange->user = NULL;
	call->exchange = NULL;
	admin_call_unref(call);
}

/* --- lifetime ------------------------------------------------------------------- */

struct sl_admin *
sl_admin_new(struct sl_loop *loop, const struct sl_admin_services *services)
{
	const char *wrong = admin_check_routes(admin_routes, admin_route_count);
	struct sl_admin *admin;

	if (wrong) {
		sl_log(SL_LOG_ERROR, "the admin route table is broken", SL_LOG_Z("reason", wrong));
		return NULL;
	}
	admin = calloc(1, sizeof(*admin));
	if (!admin)
		return NULL;
	admin->loop = loop;
	admin->services = *services;
	admin->handler = (struct sl_server_handler){
		.context = admin,
		.on_head = on_head,
		.on_request = on_request,
		.on_bad_request = on_bad_request,
		.on_drain = on_drain,
		.on_gone = on_gone,
	};
	sl_list_init(&admin->calls);
	return admin;
}

/* Calls whose work is still with the store outlive the room. */
void
sl_admin_free(struct sl_admin *admin)
{
	if (!admin)
		return;
	while (!sl_list_empty(&admin->calls)) {
		struct admin_call *call =
		    SL_CONTAINER(admin->calls.next, struct admin_call, node);

		sl_list_remove(&call->node);
		sl_settled_cancel(&call->settled);
		call->admin = NULL;
	}
	free(admin);
}

const struct sl_server_handler *
sl_admin_handler(struct sl_admin *admin)
{
	return &admin->handler;
}

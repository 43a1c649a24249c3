/* stolabs.c - the 638Labs gateway's contract.
 *
 * One path, /api/v1, and a named endpoint in X-Stolabs-Route-Name: a place elsewhere,
 * or an agent of this gateway. Authorization and X-Provider-Authorization are the
 * endpoint's credential, never ours. Registered endpoints can be read without a key.
 */
#include "surfaces/surface.h"

static bool
is_gateway_path(struct sl_slice path)
{
	return sl_slice_is(path, "/api/v1") || sl_slice_is(path, "/api/v1/");
}

static enum sl_claim
claim(const struct sl_surface_request *request)
{
	if (sl_headers_has(request->headers, "x-stolabs-api-key"))
		return SL_CLAIM_CARRIER;
	if (is_gateway_path(request->path) ||
	    sl_slice_starts(request->path, SL_SLICE("/api/aiendpoint/")))
		return SL_CLAIM_PATH;
	return SL_CLAIM_NONE;
}

static struct sl_slice
credential(const struct sl_surface_request *request, struct sl_arena *arena)
{
	(void)arena;
	return sl_headers_get(request->headers, "x-stolabs-api-key");
}

static bool
choose(const struct sl_surface_request *request, struct sl_slice request_id,
       struct sl_arena *arena, struct sl_selection *out, struct sl_fault *fault)
{
	(void)request_id;
	(void)arena;
	out->wish.route = sl_headers_get(request->headers, "x-stolabs-route-name");
	out->upstream_key = sl_headers_get(request->headers, "x-provider-authorization");
	if (!is_gateway_path(request->path))
		return true;
	out->path = SL_SLICE("/v1/chat/completions");
	if (out->wish.route.len > 0)
		return true;
	sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
	             SL_SLICE("X-Stolabs-Route-Name is missing: name the registered endpoint that "
	                      "the request is for, as in 'org/name'."));
	fault->code = SL_SLICE("missing_route_name");
	return false;
}

/* --- the registry ----------------------------------------------------------------- */

static struct sl_slice
type_of(const struct sl_config_route *route)
{
	return route->system.len > 0 ? SL_SLICE("agent") : SL_SLICE("model");
}

/* Behind the last slash: org/name is a name to people. */
static struct sl_slice
short_name(struct sl_slice name)
{
	while (sl_slice_find(name, '/') >= 0)
		sl_slice_cut(&name, '/');
	return name;
}

static void
put_endpoint(const struct sl_config_route *route, struct sl_json_writer *w)
{
	const struct sl_config_auction *auction = &route->auction;

	sl_json_obj(w);
	sl_json_str(w, "name", short_name(route->name));
	sl_json_str(w, "route_name", route->name);
	sl_json_str(w, "route_type", type_of(route));
	sl_json_key(w, "agent");
	sl_json_obj(w);
	sl_json_str(w, "category", auction->category);
	sl_json_str(w, "model_family", route->model);
	sl_json_str(w, "model_flavour", SL_SLICE("any"));
	sl_json_str(w, "availability", SL_SLICE("public"));
	sl_json_bool(w, "online", true);
	sl_json_key(w, "quality_score");
	sl_json_put_f64(w, auction->quality);
	sl_json_obj_end(w);
	sl_json_key(w, "auction");
	sl_json_obj(w);
	sl_json_bool(w, "enabled", auction->enabled);
	if (auction->enabled) {
		sl_json_str(w, "bid_strategy", auction->bid);
		sl_json_usd(w, "price_min", auction->price_min_nanousd);
		sl_json_usd(w, "price_max", auction->price_max_nanousd);
		sl_json_str(w, "currency", SL_SLICE("USD"));
		sl_json_str(w, "unit", SL_SLICE("1million_token"));
	}
	sl_json_obj_end(w);
	sl_json_obj_end(w);
}

/* Whether a wish of the query is met; one that is empty or "any" always is. */
static bool
meets(const struct sl_surface_view *view, const char *name, struct sl_slice value)
{
	struct sl_slice wanted = sl_surface_parameter(view->query, name, view->arena);

	return wanted.len == 0 || sl_slice_is(wanted, "any") || sl_slice_ieq(wanted, value);
}

static bool
is_asked_for(const struct sl_surface_view *view, const struct sl_config_route *route)
{
	struct sl_slice text = sl_surface_parameter(view->query, "query", view->arena);

	return meets(view, "category", route->auction.category) &&
	       meets(view, "model_family", route->model) &&
	       meets(view, "model_flavour", SL_SLICE("any")) &&
	       meets(view, "route_type", type_of(route)) &&
	       (text.len == 0 || sl_slice_search(route->name, text) >= 0 ||
	        sl_slice_search(route->auction.category, text) >= 0);
}

static bool
write_endpoints(const struct sl_surface_view *view, struct sl_json_writer *w,
                struct sl_fault *fault)
{
	(void)fault;
	sl_json_obj(w);
	sl_json_key(w, "data");
	sl_json_arr(w);
	for (size_t i = 0; i < view->config->route_count; i++)
		if (is_asked_for(view, &view->config->routes[i]))
			put_endpoint(&view->config->routes[i], w);
	sl_json_arr_end(w);
	sl_json_obj_end(w);
	return true;
}

static const struct sl_surface_page pages[] = {
	{ "GET", "/api/aiendpoint/public", true, write_endpoints, NULL },
	{ "GET", "/api/aiendpoint/discover", true, write_endpoints, NULL },
	{ NULL, NULL, false, NULL, NULL },
};

/* --- what comes back ---------------------------------------------------------------- */

/* The contract has no headers of its own; ours find the record. */
static void
headers(const struct sl_decision *decision, struct sl_arena *arena,
        struct sl_surface_headers *out)
{
	(void)arena;
	sl_surface_put(out, SL_SLICE("x-gateway-request-id"), decision->request_id);
}

/* The winner's completion, and beside its members where it came from: two shapes that
 * clients of the contract read. */
static bool
rewrite(const struct sl_decision *decision, const struct sl_shape_ops *shape,
        struct sl_slice body, struct sl_arena *arena, struct sl_buf *out)
{
	const struct sl_won_auction *won = decision->auction;
	struct sl_slice trimmed = sl_slice_trim(body);
	struct sl_json_iter members = sl_json_iter(sl_json_parse(trimmed));
	struct sl_json_writer w;

	(void)shape;
	(void)arena;
	if (!won || !sl_json_next(&members) ||
	    trimmed.ptr[trimmed.len - 1] != '}')
		return false;
	sl_buf_append(out, sl_slice_upto(trimmed, trimmed.len - 1));
	sl_buf_append_str(out, ",\"message\":");
	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_key(&w, "endpoint");
	sl_json_obj(&w);
	sl_json_str(&w, "route_name", won->agent);
	sl_json_usd(&w, "bid_price", won->bid_nanousd);
	sl_json_usd(&w, "price", won->paid_nanousd);
	if (decision->priced)
		sl_json_usd(&w, "charged_usd", decision->cost_nanousd);
	sl_json_str(&w, "category", won->category);
	sl_json_key(&w, "reputation_score");
	sl_json_put_f64(&w, won->quality);
	sl_json_obj_end(&w);
	sl_json_key(&w, "result");
	sl_json_put_raw(&w, trimmed);
	sl_json_obj_end(&w);
	sl_buf_append_str(out, "}");
	return true;
}

static int
fault(const struct sl_decision *decision, const struct sl_shape_ops *shape,
      const struct sl_fault *refused, struct sl_arena *arena, struct sl_buf *out,
      struct sl_surface_headers *fields)
{
	struct sl_fault told = *refused;

	(void)shape;
	headers(decision, arena, fields);
	if (told.kind == SL_FAULT_AUTH_MISSING || told.kind == SL_FAULT_AUTH ||
	    told.kind == SL_FAULT_DISABLED || told.kind == SL_FAULT_EXPIRED)
		told.code = SL_SLICE("invalid_api_key");
	else if (told.kind == SL_FAULT_BALANCE)
		told.status = 429;
	sl_shape_openai_chat.write_fault(&told, decision->request_id, out);
	return sl_fault_status(&told);
}

const struct sl_surface_ops sl_surface_stolabs = {
	.name = "stolabs",
	.claim = claim,
	.credential = credential,
	.credential_hint = "X-Stolabs-Api-Key is missing: send a key of this gateway in it.",
	.select = choose,
	.pages = pages,
	.headers = headers,
	.rewrite = rewrite,
	.fault = fault,
	.own_header = SL_SLICE_INIT("x-provider-authorization"),
};

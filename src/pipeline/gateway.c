/* gateway.c - an ask from its head to its plan.
 *
 *   head  -> surface -> credential -> path -> admission      (on_head)
 *   body  -> what steers -> plan -> first attempt            (on_request)
 *
 * A refusal at any step answers at once in the envelope of the API that was
 * called. The credential is checked before the body is read.
 */
#include "pipeline/gateway.h"

#include <stdlib.h>

#include "base/compiler.h"
#include "pipeline/aim.h"
#include "pipeline/ask.h"
#include "pipeline/bidding.h"
#include "pipeline/estimate.h"
#include "pipeline/learn.h"
#include "telemetry/telemetry.h"

/* Bytes: ids and names that live as long as the answer, and as long as the head. */
enum { ASK_TEXTS = 160, HEAD_TEXTS = 64 };

static bool
is_method(const struct sl_exchange *exchange, const char *method)
{
	return sl_slice_is(exchange->request.method, method);
}

static bool
is_sites(const struct sl_gateway *gateway, const struct sl_exchange *exchange)
{
	return gateway->services.site && gateway->services.site_owns(exchange->request.path);
}

static struct sl_surface_request
view_of(const struct sl_ask *ask)
{
	const struct sl_request *request = &ask->exchange->request;

	return sl_surface_request_of(request->method, request->path, request->query,
	                             &request->headers, ask->world->config);
}

/* --- who ------------------------------------------------------------------ */

/* Which contract the request speaks, and what its head chooses. False: *fault, to
 * be told once it is known who asks. */
static bool
listen_to(struct sl_ask *ask, const struct sl_surface_request *view, struct sl_fault *fault)
{
	struct sl_selection *selection = &ask->head->selection;
	bool good;

	ask->surface = sl_surface_recognise(view);
	good = !ask->surface->select ||
	       ask->surface->select(view, ask->decision.request_id, ask->exchange->head,
	                            selection, fault);
	ask->head->standing.provider_requested = selection->provider;
	if (ask->record.tag.len == 0)
		ask->record.tag = selection->tag;
	if (selection->request_id.len == 0)
		return good;
	/* The id that the caller knows finds the record. */
	if (sl_slice_eq(ask->record.client_request_id, ask->decision.request_id))
		ask->record.client_request_id = selection->request_id;
	ask->head->standing.public_id = selection->request_id;
	return good;
}

static bool
authenticate(struct sl_ask *ask, const struct sl_surface_request *view)
{
	SL_UNINIT struct sl_fault fault; /* read where it was filled */

	ask->head->credential = ask->surface->credential(view, ask->exchange->head);
	if (!ask->world->config->keys_required)
		return true;
	if (ask->head->credential.len == 0) {
		sl_ask_refuse_with(ask, SL_FAULT_AUTH_MISSING,
		                   sl_slice_str(ask->surface->credential_hint));
		return false;
	}
	if (sl_keyring_find(ask->gateway->services.keyring, ask->head->credential, &ask->key, &fault) ==
	    SL_OK) {
		ask->decision.key_id = sl_key_id(ask->key);
		sl_admission_open(ask);
		ask->head->standing.key_hint = sl_key_hint(ask->key);
		ask->head->standing.workspace = sl_tenancy_workspace(&ask->tenancy);
		return true;
	}
	sl_ask_refuse(ask, &fault);
	return false;
}

/* --- what ----------------------------------------------------------------- */

static bool
is_preflight(const struct sl_ask *ask)
{
	return is_method(ask->exchange, "OPTIONS") &&
	       ask->world->config->cors_origins.count > 0 &&
	       sl_headers_has(&ask->exchange->request.headers, "origin") &&
	       sl_headers_has(&ask->exchange->request.headers, "access-control-request-method");
}

/* Codex tries a WebSocket on /v1/responses first and falls back at once on 426;
 * other statuses make it retry for seconds. */
static bool
refuse_upgrade(struct sl_ask *ask)
{
	if (!sl_headers_has(&ask->exchange->request.headers, "upgrade") ||
	    !is_method(ask->exchange, "GET"))
		return false;
	sl_ask_refuse_with(ask, SL_FAULT_UPGRADE,
	                   SL_SLICE("WebSockets are not offered here. Use HTTP: POST the same "
	                            "request, with 'stream': true for events."));
	return true;
}

/* False when nobody owns the path or the method is wrong: answered. */
static bool
check_path(struct sl_ask *ask)
{
	if (!ask->shape) {
		sl_ask_refuse_with(ask, SL_FAULT_NOT_FOUND,
		                   sl_arena_printf(&ask->exchange->arena,
		                       "There is no '%.*s' here. GET / lists what this gateway "
		                       "answers.", SL_ARG(ask->exchange->request.path)));
		return false;
	}
	if (is_method(ask->exchange, "POST"))
		return true;
	if (!refuse_upgrade(ask))
		sl_ask_refuse_method(ask, SL_SLICE("POST"));
	return false;
}

static bool
refuse_encoding(struct sl_ask *ask)
{
	struct sl_slice encoding =
	    sl_headers_get(&ask->exchange->request.headers, "content-encoding");

	if (encoding.len == 0 || sl_slice_ieq(encoding, SL_SLICE("identity")))
		return false;
	sl_ask_refuse_with(ask, SL_FAULT_MEDIA_TYPE,
	                   SL_SLICE("Compressed request bodies are not accepted. Send the body "
	                            "without Content-Encoding."));
	return true;
}

/* Whether the provider that the caller named may get the request in another API, or
 * speaks this one. */
static bool
fits_provider(const struct sl_ask *ask)
{
	const struct sl_config *config = ask->world->config;

	for (size_t i = 0; ask->head->selection.own_shape_only && i < config->provider_count; i++)
		if (sl_slice_eq(config->providers[i].name, ask->head->selection.provider))
			return sl_provider_serves(ask->world->upstreams[i].kind, ask->shape);
	return true;
}

/* A path that no shape owns, or a method it does not take, or one that is not the
 * provider's, of a caller who named it. */
static bool
pass_through(struct sl_ask *ask)
{
	if (!ask->head->selection.any_path ||
	    (ask->shape && is_method(ask->exchange, "POST") && fits_provider(ask)))
		return false;
	ask->shape = &sl_shape_proxy;
	return true;
}

/* What cannot be recorded is not begun. */
static void
refuse_rowless(struct sl_ask *ask)
{
	struct sl_fault fault;

	sl_fault_set(&fault, SL_FAULT_UNAVAILABLE,
	             SL_SLICE("Records of requests wait for the store, as many as "
	                      "limits.record_queue_bytes allows. Try again shortly."));
	fault.retry_after_s = 1;
	sl_ask_refuse(ask, &fault);
}

static void
on_head(void *context, struct sl_exchange *exchange, size_t *body_max)
{
	struct sl_gateway *gateway = context;
	const struct sl_request *request = &exchange->request;
	const struct sl_server_handler *site = gateway->services.site;
	struct sl_surface_request view;
	SL_UNINIT struct sl_fault wrong_choice; /* read unless chosen */
	struct sl_ask *ask;
	bool chosen;

	if (is_sites(gateway, exchange)) {
		site->on_head(site->context, exchange, body_max);
		return;
	}
	ask = sl_ask_new(gateway, exchange);
	if (!ask) {
		sl_exchange_abort(exchange);
		return;
	}
	view = view_of(ask);
	chosen = listen_to(ask, &view, &wrong_choice);
	if (is_preflight(ask)) {
		sl_ask_answer(ask, 204, SL_SLICE_NONE, SL_SLICE_NONE);
		return;
	}
	ask->head->input.query = request->query;
	ask->head->input.content_type = sl_headers_get(&request->headers, "content-type");
	/* So far the shape only chooses the envelope: who asks comes first. */
	ask->shape = sl_shape_match(ask->head->selection.path, exchange->head, &ask->head->input);
	if (!ask->shape && sl_estimate_owns(ask->head->selection.path))
		ask->shape = &sl_shape_estimate;
	if (ask->rowless) {
		refuse_rowless(ask);
		return;
	}
	/* Who asks is known with the second. */
	if (sl_pages_answer(ask, false) || !authenticate(ask, &view) ||
	    (ask->head->page_allow && sl_pages_answer(ask, true)))
		return;
	if (!chosen) {
		sl_ask_refuse(ask, &wrong_choice);
		return;
	}
	if ((!pass_through(ask) && (sl_models_answer(ask) || sl_stored_owns(ask) ||
	                             !check_path(ask))) ||
	    refuse_encoding(ask))
		return;
	sl_admission_head(ask);
}

/* --- where ---------------------------------------------------------------- */

static bool
make_plan(struct sl_ask *ask)
{
	SL_UNINIT struct sl_fault fault; /* read where it was filled */

	if (!sl_aim_ask(ask, &fault)) {
		sl_ask_refuse(ask, &fault);
		return false;
	}
	return true;
}

/* A model that the path names is meant whatever the body repeats. */
static struct sl_slice
written_model(const struct sl_ask *ask)
{
	return ask->head->input.path_model.len > 0 ? ask->head->input.path_model : ask->front->steer.model;
}

static bool
read_members(struct sl_ask *ask, struct sl_fault *fault)
{
	struct sl_surface_members members = { .model = written_model(ask),
		                              .shape = ask->shape };

	if (!ask->surface->read_members)
		return true;
	sl_shape_members(&ask->front->steer, &members.astrolabe, &members.nexus,
	                 &members.sto_payload);
	return ask->surface->read_members(&members, &ask->front->arena, &ask->head->selection, fault);
}


void
sl_ask_go_on(struct sl_ask *ask)
{
	struct sl_exchange *exchange = ask->exchange;
	SL_UNINIT struct sl_fault fault; /* read where it was filled */

	if (!ask->shape->read_request(&ask->head->input, &ask->front->arena, &ask->front->steer, &fault)) {
		sl_ask_refuse(ask, &fault);
		return;
	}
	if (ask->shape == &sl_shape_estimate) {
		sl_estimate_answer(ask);
		return;
	}
	if (sl_stored_expand(ask) || !sl_bidding_apply(ask))
		return;
	if (!sl_route_apply(ask, &fault)) {
		sl_ask_refuse(ask, &fault);
		return;
	}
	ask->stream = ask->front->steer.stream;
	ask->framing = ask->front->steer.framing;
	if (!read_members(ask, &fault)) {
		sl_ask_refuse(ask, &fault);
		return;
	}
	ask->decision.stream = ask->stream;
	ask->record.model_requested = sl_arena_dup(&exchange->arena,
	                                           sl_aim_model(&ask->head->selection,
	                                                        written_model(ask)));
	ask->head->standing.model_requested = ask->record.model_requested;
	ask->record.end_user = sl_arena_dup(&exchange->arena, ask->head->selection.end_user.len > 0
	                                    ? ask->head->selection.end_user
	                                    : ask->front->steer.end_user);
	if (ask->record.end_user.len == 0 && ask->key)
		ask->record.end_user = sl_key_policy(ask->key)->user;
	if (sl_repeat_begin(ask))
		sl_gateway_admit(ask);
}

void
sl_gateway_admit(struct sl_ask *ask)
{
	struct sl_gateway *gateway = ask->gateway;

	if (!sl_admission_body(ask))
		return;
	sl_waiting_over(ask);
	if (!make_plan(ask) || !sl_recall_answer(ask))
		return;
	sl_ask_set_state(ask, SL_ASK_PLANNED);
	sl_board_request(gateway->services.board, sl_loop_turn_ns(gateway->loop) / 1000);
	sl_attempt_again(ask, NULL);
	sl_learn_count(ask);
}

static void
on_request(void *context, struct sl_exchange *exchange)
{
	struct sl_gateway *gateway = context;
	const struct sl_server_handler *site = gateway->services.site;
	struct sl_ask *ask = exchange->user;

	if (is_sites(gateway, exchange)) {
		site->on_request(site->context, exchange);
		return;
	}
	ask->whole = true;
	ask->record.bytes_in = exchange->body.len;
	if (!sl_pace_hold(ask))
		sl_gateway_begin(ask);
}

void
sl_gateway_begin(struct sl_ask *ask)
{
	struct sl_exchange *exchange = ask->exchange;

	if (sl_pages_run(ask) || sl_stored_run(ask))
		return;
	if (!sl_ask_open_front(ask)) {
		sl_ask_refuse_memory(ask);
		return;
	}
	ask->head->input.body = sl_buf_slice(&exchange->body);
	sl_ask_go_on(ask);
}

/* --- the rest of the handler ---------------------------------------------- */

/* The wire's reason in words that say which option holds the limit. */
static struct sl_slice
explain_wire(struct sl_exchange *exchange, const struct sl_config_limits *limits, int status,
             const char *reason)
{
	struct sl_slice text = SL_SLICE_NONE;

	if (status == 413)
		text = sl_arena_printf(&exchange->arena,
		    "The request body is larger than %llu bytes, the limit of this gateway "
		    "(limits.body_bytes).", (unsigned long long)limits->body_bytes);
	else if (status == 431)
		text = sl_arena_printf(&exchange->arena,
		    "The header fields are larger than %llu bytes or more than %llu, the limits of "
		    "this gateway (limits.header_bytes, limits.header_count).",
		    (unsigned long long)limits->header_bytes,
		    (unsigned long long)limits->header_count);
	return text.len ? text : sl_slice_str(reason);
}

static void
on_bad_request(void *context, struct sl_exchange *exchange, int status, const char *reason)
{
	struct sl_gateway *gateway = context;
	struct sl_ask *ask;
	struct sl_fault fault;
	enum sl_fault_kind kind = SL_FAULT_BAD_REQUEST;

	if (is_sites(gateway, exchange)) {
		const struct sl_server_handler *site = gateway->services.site;

		site->on_bad_request(site->context, exchange, status, reason);
		return;
	}
	ask = exchange->user ? exchange->user : sl_ask_new(gateway, exchange);
	if (!ask) {
		sl_exchange_abort(exchange);
		return;
	}
	if (!ask->surface) {
		const struct sl_surface_request view = view_of(ask);

		listen_to(ask, &view, &fault);
	}
	if (status == 408)
		kind = SL_FAULT_TIMEOUT;
	else if (status == 413)
		kind = SL_FAULT_TOO_LARGE;
	else if (status == 431)
		kind = SL_FAULT_HEADERS_TOO_LARGE;
	sl_fault_set(&fault, kind,
	             explain_wire(exchange, &ask->world->config->limits, status, reason));
	if (kind == SL_FAULT_BAD_REQUEST)
		fault.status = status;
	sl_ask_refuse(ask, &fault);
}

static void
on_drain(void *context, struct sl_exchange *exchange)
{
	struct sl_gateway *gateway = context;

	if (is_sites(gateway, exchange))
		gateway->services.site->on_drain(gateway->services.site->context, exchange);
	else if (exchange->user)
		sl_relay_drained(exchange->user);
}

static void
on_gone(void *context, struct sl_exchange *exchange, enum sl_gone_reason why)
{
	struct sl_gateway *gateway = context;

	if (is_sites(gateway, exchange))
		gateway->services.site->on_gone(gateway->services.site->context, exchange, why);
	else if (exchange->user)
		sl_ask_gone(exchange->user, why);
}

struct sl_gateway *
sl_gateway_new(struct sl_loop *loop, struct sl_client *client,
               const struct sl_services *services, struct sl_world *world)
{
	struct sl_gateway *gateway = calloc(1, sizeof(*gateway));

	if (!gateway)
		return NULL;
	gateway->loop = loop;
	gateway->client = client;
	gateway->services = *services;
	gateway->tokens = sl_token_store_new(loop, client);
	if (!gateway->tokens ||
	    !sl_keyring_derive(services->keyring, SL_SLICE("seal of reasoning state"),
	                       gateway->sealer.key)) {
		sl_token_store_free(gateway->tokens);
		free(gateway);
		return NULL;
	}
	gateway->world = sl_world_ref(world);
	sl_list_init(&gateway->drains);
	sl_pace_init(&gateway->pace);
	gateway->handler = (struct sl_server_handler){
		.context = gateway,
		.arena_size = sizeof(struct sl_ask) + ASK_TEXTS,
		.head_size = sizeof(struct sl_ask_head) + HEAD_TEXTS,
		.on_head = on_head,
		.on_request = on_request,
		.on_bad_request = on_bad_request,
		.on_drain = on_drain,
		.on_gone = on_gone,
	};
	return gateway;
}

void
sl_gateway_free(struct sl_gateway *gateway)
{
	if (!gateway)
		return;
	sl_drain_stop_all(gateway);
	sl_timer_clear(&gateway->pace.timer);
	sl_token_store_free(gateway->tokens);
	sl_world_unref(gateway->world);
	free(gateway);
}

const struct sl_server_handler *
sl_gateway_handler(struct sl_gateway *gateway)
{
	return &gateway->handler;
}

void
sl_gateway_set_world(struct sl_gateway *gateway, struct sl_world *world)
{
	struct sl_world *old = gateway->world;

	gateway->world = sl_world_ref(world);
	sl_world_unref(old);
}

size_t
sl_gateway_draining(const struct sl_gateway *gateway)
{
	return gateway->drain_count;
}

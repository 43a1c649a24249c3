/* explain.c - read a request that somebody describes, plan it, tell the plan.
 *
 * The same steps as a request that came over the wire: the contract by its headers, the
 * shape by its path, what steers by the body, then the plan. What a key may not do is in
 * the answer; its rates are not touched.
 */
#include "pipeline/explain.h"

#include "base/rand.h"
#include "ledger/keyring.h"
#include "ledger/scopes.h"
#include "pipeline/bidding.h"
#include "pipeline/hedge.h"
#include "pipeline/route.h"
#include "routing/stack.h"
#include "shapes/extent.h"

enum { HEADERS_MAX = 64 };

/* A request as described. */
struct described {
	const struct sl_surface_ops *surface;
	const struct sl_shape_ops   *shape;
	struct sl_header             fields[HEADERS_MAX];
	struct sl_headers            headers;
	struct sl_surface_request    view;
	struct sl_shape_input        input;
	struct sl_steer              steer;
	struct sl_selection          selection;
	struct sl_key               *key; /* a reference */
	struct sl_tenancy            tenancy;
	struct sl_bidding           *bidding; /* NULL: no auction */
	struct sl_extent             extent;
};

static bool
refuse(struct sl_fault *fault, enum sl_fault_kind kind, struct sl_slice message, const char *param)
{
	sl_fault_set(fault, kind, message);
	fault->param = sl_slice_str(param);
	return false;
}

/* --- reading ---------------------------------------------------------------------- */

static bool
read_headers(struct described *request, struct sl_json object, struct sl_arena *arena,
             struct sl_fault *fault)
{
	struct sl_json_iter it = sl_json_iter(object);

	while (sl_json_next(&it)) {
		struct sl_header *field = &request->fields[request->headers.count];
		struct sl_slice name, value;
		char *lower;

		if (request->headers.count == HEADERS_MAX)
			return refuse(fault, SL_FAULT_BAD_REQUEST,
			              SL_SLICE("More than 64 headers."), "headers");
		if (!sl_json_unescape(it.key, arena, &name) ||
		    !sl_json_string(it.value, arena, &value))
			return refuse(fault, SL_FAULT_BAD_TYPE,
			              SL_SLICE("'headers' must be an object of texts."), "headers");
		lower = sl_arena_strdup(arena, name);
		if (!lower)
			return refuse(fault, SL_FAULT_UNAVAILABLE, SL_SLICE("Out of memory."),
			              "headers");
		for (size_t i = 0; i < name.len; i++)
			if (lower[i] >= 'A' && lower[i] <= 'Z')
				lower[i] = (char)(lower[i] | 0x20);
		*field = (struct sl_header){ sl_slice_make(lower, name.len), value };
		if (!sl_header_is_valid(field->name, field->value))
			return refuse(fault, SL_FAULT_BAD_REQUEST,
			              SL_SLICE("A header that could not be sent."), "headers");
		request->headers.count++;
	}
	return true;
}

/* Which contract and which API. */
static bool
read_head(struct described *request, struct sl_json source, const struct sl_explain *how,
          struct sl_fault *fault)
{
	struct sl_arena *arena = how->arena;
	struct sl_slice path = SL_SLICE_NONE, name, query;

	request->headers.items = request->fields;
	if (!read_headers(request, sl_json_get(source, "headers"), arena, fault))
		return false;
	sl_json_string(sl_json_get(source, "path"), arena, &path);
	if (sl_json_string(sl_json_get(source, "shape"), arena, &name)) {
		request->shape = sl_shape_by_name(name);
		if (!request->shape)
			return refuse(fault, SL_FAULT_BAD_REQUEST,
			              SL_SLICE("There is no such shape."), "shape");
	} else if (path.len == 0) {
		path = SL_SLICE("/v1/chat/completions");
	}
	query = path;
	path = sl_slice_cut(&query, '?');
	request->view = sl_surface_request_of(SL_SLICE("POST"), path, query, &request->headers,
	                                      how->world->config);
	request->surface = sl_surface_recognise(&request->view);
	request->selection.path = path;
	if (request->surface->select &&
	    !request->surface->select(&request->view, SL_SLICE("req_00000000000000000000000000"),
	                              arena, &request->selection, fault))
		return false;
	request->input.query = query;
	request->input.content_type = sl_headers_get(&request->headers, "content-type");
	if (!request->shape)
		request->shape = sl_shape_match(request->selection.path, arena, &request->input);
	if (!request->shape)
		return refuse(fault, SL_FAULT_NOT_FOUND,
		              SL_SLICE("No API of this gateway owns that path."), "path");
	if (!request->input.verb && request->shape->paths)
		request->input.verb = request->shape->paths[0].verb;
	return true;
}

static bool
read_key(struct described *request, const struct sl_explain *how, struct sl_json source,
         struct sl_fault *fault)
{
	struct sl_slice text;

	if (sl_json_string(sl_json_get(source, "key"), how->arena, &text)) {
		request->key = sl_keyring_by_id(how->keyring, text);
		return request->key || refuse(fault, SL_FAULT_NOT_FOUND,
		                              SL_SLICE("There is no key with this id."), "key");
	}
	text = request->surface->credential(&request->view, how->arena);
	return text.len == 0 ||
	       sl_keyring_find(how->keyring, text, &request->key, fault) == SL_OK;
}

static bool
read_body(struct described *request, struct sl_json source, struct sl_arena *arena,
          struct sl_fault *fault)
{
	struct sl_json body = sl_json_get(source, "body");
	struct sl_surface_members members = { .model = SL_SLICE_NONE };

	request->input.body = body.raw;
	if (body.type == SL_JSON_STRING)
		sl_json_string(body, arena, &request->input.body);
	else if (body.type != SL_JSON_OBJECT)
		return refuse(fault, SL_FAULT_BAD_TYPE,
		              SL_SLICE("'body' must be the request's body: an object, or its "
		                       "bytes as text."), "body");
	if (!request->shape->read_request(&request->input, arena, &request->steer, fault))
		return false;
	if (!request->surface->read_members)
		return true;
	members.shape = request->shape;
	members.model = request->input.path_model.len > 0 ? request->input.path_model
	                                                  : request->steer.model;
	sl_shape_members(&request->steer, &members.astrolabe, &members.nexus,
	                 &members.sto_payload);
	return request->surface->read_members(&members, arena, &request->selection, fault);
}

/* --- telling ------------------------------------------------------------------------ */

static void
put_usd(struct sl_json_writer *w, const char *name, bool known, int64_t nanousd)
{
	if (known) {
		sl_json_usd(w, name, nanousd);
		return;
	}
	sl_json_key(w, name);
	sl_json_put_null(w);
}

static void
put_ratio(struct sl_json_writer *w, const char *name, double value)
{
	sl_json_key(w, name);
	sl_json_put_f64(w, (double)(int64_t)(value * 1000 + 0.5) / 1000);
}

static void
put_text(struct sl_json_writer *w, const char *name, struct sl_slice text)
{
	sl_json_key(w, name);
	if (text.len > 0)
		sl_json_put_str(w, text);
	else
		sl_json_put_null(w);
}

static void
put_target(const struct sl_world *world, const struct sl_plan *plan,
           const struct sl_plan_target *target, const char *reason, struct sl_json_writer *w)
{
	struct sl_slice provider = world->config->providers[target->provider].name;
	struct sl_buf name;

	sl_buf_init(&name, 4096);
	sl_buf_printf(&name, "%.*s/%.*s", SL_ARG(provider), SL_ARG(target->model));
	sl_json_str(w, "target", sl_buf_slice(&name));
	sl_buf_release(&name);
	sl_json_str(w, "provider", provider);
	sl_json_str(w, "model", target->model);
	put_text(w, "deployment", target->deployment);
	sl_json_str(w, reason, sl_slice_str(target->reason));
	sl_json_str(w, "tier", sl_bucket_name(target->tier));
	sl_json_key(w, "latency_ms");
	if (target->latency_us > 0)
		sl_json_put_f64(w, (double)(target->latency_us / 100) / 10);
	else
		sl_json_put_null(w);
	if (!plan->judged)
		return;
	put_ratio(w, "expected_quality", target->quality);
	sl_json_str(w, "quality_of", target->by_model ? SL_SLICE("model") : SL_SLICE("tier"));
	sl_json_bool(w, "passes_quality", target->passes);
	sl_json_int(w, "input_tokens", target->tokens.input);
	put_usd(w, "expected_cost_usd", target->cost.known, target->cost.expected_nanousd);
	put_usd(w, "low_cost_usd", target->cost.known, target->cost.low_nanousd);
	put_usd(w, "high_cost_usd", target->cost.known, target->cost.high_nanousd);
	put_usd(w, "hold_usd", target->bounded, target->bound_nanousd);
}

static void
put_class(const struct sl_plan *plan, struct sl_json_writer *w)
{
	sl_json_key(w, "classification");
	if (!plan->classified) {
		sl_json_put_null(w);
		return;
	}
	sl_json_obj(w);
	sl_json_str(w, "category", sl_slice_str(plan->class.category));
	sl_json_str(w, "bucket", sl_bucket_name(plan->class.bucket));
	put_ratio(w, "score", plan->class.score);
	put_ratio(w, "complexity", plan->class.complexity);
	put_ratio(w, "confidence", plan->class.confidence);
	sl_json_bool(w, "unsure", plan->class.unsure);
	sl_json_key(w, "expected_quality");
	sl_json_obj(w);
	for (int i = 0; i < SL_BUCKETS; i++)
		put_ratio(w, sl_bucket_name((enum sl_bucket)i).ptr, plan->class.quality[i]);
	sl_json_obj_end(w);
	sl_json_obj_end(w);
}

static void
put_tokens(const struct sl_tokens *tokens, struct sl_json_writer *w)
{
	sl_json_key(w, "tokens");
	sl_json_obj(w);
	sl_json_int(w, "input_low", tokens->input_low);
	sl_json_int(w, "input", tokens->input);
	sl_json_int(w, "input_high", tokens->input_high);
	sl_json_int(w, "output_low", tokens->output_low);
	sl_json_int(w, "output", tokens->output);
	sl_json_int(w, "output_high", tokens->output_high);
	sl_json_obj_end(w);
}

static void
put_policy(const struct sl_plan *plan, struct sl_json_writer *w)
{
	sl_json_key(w, "stack");
	if (plan->stack.len > 0) {
		sl_json_obj(w);
		sl_json_str(w, "slug", plan->stack);
		sl_json_int(w, "version", plan->stack_version);
		sl_json_obj_end(w);
	} else {
		sl_json_put_null(w);
	}
	put_text(w, "route", plan->route ? plan->route->name : SL_SLICE_NONE);
	put_text(w, "objective", sl_slice_str(sl_objective_name(plan->objective)));
	put_text(w, "quality", sl_slice_str(sl_quality_name(plan->quality)));
	put_text(w, "verification", sl_slice_str(sl_verification_name(plan->verification)));
	sl_json_bool(w, "fallback", plan->fallback);
}

/* The decision as JSON members, without braces. */
static void
write_explained(const struct sl_world *world, const struct sl_plan *plan,
                 struct sl_json_writer *w)
{
	sl_json_str(w, "requested", plan->requested);
	put_policy(plan, w);
	put_class(plan, w);
	sl_json_key(w, "plan");
	sl_json_arr(w);
	for (size_t i = 0; i < plan->count; i++) {
		sl_json_obj(w);
		put_target(world, plan, &plan->targets[i], "reason", w);
		sl_json_obj_end(w);
	}
	sl_json_arr_end(w);
	sl_json_key(w, "dropped");
	sl_json_arr(w);
	for (size_t i = 0; i < plan->drop_count; i++) {
		sl_json_obj(w);
		put_target(world, plan, &plan->drops[i], "why", w);
		sl_json_obj_end(w);
	}
	sl_json_arr_end(w);
	if (!plan->judged)
		return;
	put_tokens(&plan->tokens, w);
	put_usd(w, "baseline_cost_usd", plan->baseline.known, plan->baseline.expected_nanousd);
	put_usd(w, "savings_usd",
	        plan->baseline.known && plan->count > 0 && plan->targets[0].cost.known,
	        plan->baseline.expected_nanousd -
	            (plan->count > 0 ? plan->targets[0].cost.expected_nanousd : 0));
}

/* When and where a second attempt would be made beside the first. */
static void
put_hedge(const struct sl_explain *how, const struct described *request,
          const struct sl_plan *plan, struct sl_json_writer *w)
{
	const struct sl_config *config = how->world->config;
	const struct sl_config_hedge *hedge =
	    plan->count > 1 && config->router_retries > 0 ? sl_hedge_of(config, &plan->targets[0])
	                                                  : NULL;
	const struct sl_plan_target *second = &plan->targets[1];
	uint64_t delay_us;

	sl_json_key(w, "hedge");
	if (!hedge || !sl_hedge_may_double(request->shape, &request->steer)) {
		sl_json_put_null(w);
		return;
	}
	delay_us = sl_hedge_delay_us(hedge, config, how->board, &plan->targets[0],
	                             request->steer.stream);
	sl_json_obj(w);
	sl_json_key(w, "after_ms");
	if (delay_us > 0)
		sl_json_put_i64(w, (int64_t)((delay_us + 999) / 1000));
	else
		sl_json_put_null(w);
	sl_json_str(w, "target", sl_arena_printf(how->arena, "%.*s/%.*s",
	            SL_ARG(config->providers[second->provider].name), SL_ARG(second->model)));
	sl_json_obj_end(w);
}

/* Up to the route that is meant: an auction is held, and its winner stands for its name.
 * False: the request is refused with *fault, which the answer tells. */
static bool
settle_route(struct described *request, const struct sl_explain *how, struct sl_fault *fault)
{
	const struct sl_bidding_view view = {
		.world = how->world, .board = how->board, .tenancy = &request->tenancy,
		.book = how->agents, .money = how->money, .now_wall_ms = how->now_wall_ms, .steer = &request->steer, .now_us = how->now_us,
		.arena = how->arena,
	};

	if (sl_bidding_is_asked(&request->selection)) {
		request->bidding = sl_bidding_hold(&view, fault);
		if (!request->bidding)
			return false;
		if (request->bidding->result.count == 0) {
			sl_bidding_explain_nobody(request->bidding, fault);
			return false;
		}
		request->selection.wish.route = sl_bidding_agent(request->bidding)->name;
	}
	return sl_route_instruct(how->world->config, request->selection.wish.route,
	                         request->shape, how->arena, &request->input, &request->steer,
	                         fault);
}

static void
put_budget(const struct sl_money_scope *scope, const char *window, int64_t limit, int64_t spent,
           int64_t held, struct sl_json_writer *w)
{
	sl_json_obj(w);
	sl_json_str(w, "level", sl_slice_str(sl_scope_kind_name(scope->kind)));
	sl_json_str(w, "name", scope->name);
	sl_json_str(w, "window", sl_slice_str(window));
	sl_json_usd(w, "limit_usd", limit);
	sl_json_usd(w, "spent_usd", spent);
	sl_json_usd(w, "held_usd", held);
	sl_json_usd(w, "left_usd", limit - spent - held);
	sl_json_obj_end(w);
}

/* What limits the money of such a request, and how much is left. */
static void
put_budgets(const struct sl_explain *how, const struct described *request,
            const struct sl_plan *plan, struct sl_json_writer *w)
{
	struct sl_money_limits of_stack;
	struct sl_scopes scopes;

	sl_scopes_of_tenancy(&request->tenancy, &scopes);
	sl_scopes_add_stack(&scopes, plan->stack, &plan->stack_budget, &of_stack);
	sl_json_key(w, "budgets");
	sl_json_arr(w);
	for (size_t i = 0; how->money && i < scopes.count; i++) {
		const struct sl_money_scope *scope = &scopes.scope[i];
		struct sl_money_standing standing;

		if (!sl_money_limits_set(scope->limits))
			continue;
		sl_money_standing(how->money, scope->kind, scope->name, scope->limits->zone,
		                  how->now_wall_ms, &standing);
		for (int k = 0; k < SL_WINDOW_COUNT; k++)
			if (scope->limits->window[k] >= 0)
				put_budget(scope, sl_refused_by_name((enum sl_refused_by)k),
				           scope->limits->window[k], standing.spent[k],
				           standing.held[k], w);
		if (scope->limits->per_request >= 0)
			put_budget(scope, sl_refused_by_name(SL_REFUSED_PER_REQUEST),
			           scope->limits->per_request, 0, 0, w);
		if (scope->limits->prepaid) {
			int64_t left = sl_money_spendable(scope->limits, standing.available);

			put_budget(scope, sl_refused_by_name(SL_REFUSED_BALANCE),
			           left > 0 ? left : 0, 0, 0, w);
		}
	}
	sl_json_arr_end(w);
}

static void
write_answer(const struct sl_explain *how, const struct described *request,
             const struct sl_plan *plan, const struct sl_fault *fault, struct sl_buf *out)
{
	struct sl_json_writer w;

	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_str(&w, "surface", sl_slice_str(request->surface->name));
	sl_json_str(&w, "shape", sl_slice_str(request->shape->name));
	put_text(&w, "key", request->key ? sl_key_id(request->key) : SL_SLICE_NONE);
	write_explained(how->world, plan, &w);
	put_hedge(how, request, plan, &w);
	if (request->bidding)
		sl_bidding_write(request->bidding, &w);
	put_budgets(how, request, plan, &w);
	if (fault) {
		sl_json_key(&w, "error");
		sl_json_obj(&w);
		sl_json_str(&w, "code", sl_fault_code(fault));
		sl_json_int(&w, "status", sl_fault_status(fault));
		sl_json_str(&w, "message", fault->message);
		sl_json_obj_end(&w);
	}
	sl_json_obj_end(&w);
}

bool
sl_explain_request(const struct sl_explain *how, struct sl_json source, struct sl_buf *out,
                   struct sl_fault *fault)
{
	struct described *request = SL_ARENA_NEW(how->arena, struct described);
	struct sl_plan *plan = SL_ARENA_NEW(how->arena, struct sl_plan);
	struct sl_aim aim;
	bool read, planned;

	if (!request || !plan)
		return refuse(fault, SL_FAULT_UNAVAILABLE, SL_SLICE("Out of memory."), "body");
	read = read_head(request, source, how, fault) &&
	       read_key(request, how, source, fault) &&
	       read_body(request, source, how->arena, fault);
	if (request->key)
		sl_tenancy_open(&request->tenancy, how->tenants, request->key);
	if (read) {
		aim = (struct sl_aim){
			.world = how->world,
			.board = how->board,
			.stacks = how->stacks,
			.tenancy = &request->tenancy,
			.shape = request->shape,
			.steer = &request->steer,
			.selection = &request->selection,
			.model = sl_aim_model(&request->selection,
			                      request->input.path_model.len > 0
			                          ? request->input.path_model
			                          : request->steer.model),
			.chance = sl_rand_u64(),
			.now_us = how->now_us,
			.explain = true,
			.arena = how->arena,
			.extent = &request->extent,
			.now_wall_ms = how->now_wall_ms,
		};
		planned = settle_route(request, how, fault);
		if (!request->bidding)
			aim.money = how->money;
		if (planned)
			planned = sl_aim_plan(&aim, plan, fault);
		else
			plan->requested = aim.model;
		if (planned && request->bidding)
			sl_bidding_apply_price(request->bidding, plan, how->arena);
		write_answer(how, request, plan, planned ? NULL : fault, out);
	}
	sl_tenancy_close(&request->tenancy);
	sl_key_unref(request->key);
	return read;
}

/* astrolabe.c - Astrolabe Cloud's contract.
 *
 * Keys astrolabe_live_... as bearer or x-api-key. A model may be virtual
 * (astrolabe/auto and its lanes): an alias of that name decides what it means, else
 * the stack that the lane stands for. metadata.astrolabe holds the wishes of one request. Headers
 * and a member of the body tell what was decided; errors carry the request's id.
 */
#include "surfaces/surface.h"

#include <inttypes.h>

#define PREFIX  SL_SLICE("astrolabe_live_")
#define VIRTUAL SL_SLICE("astrolabe/")

static const struct lane {
	const char *name, *title, *description, *trigger;
} lanes[] = {
	{ "auto", "Auto", "Chooses by what the request asks.", "default" },
	{ "coding", "Coding", "Writing, changing and explaining code.", "code in the request" },
	{ "research", "Research", "Questions that need many facts.", "research questions" },
	{ "vision", "Vision", "Requests with pictures.", "pictures in the request" },
	{ "strict-json", "Strict JSON", "Answers that must follow a schema.",
	  "a JSON schema for the answer" },
	{ "cheap", "Cheap", "The least expensive model that is good enough.", "by name only" },
	{ "safe", "Safe", "What must not go wrong.", "by name only" },
};

enum { LANE_COUNT = sizeof(lanes) / sizeof(lanes[0]) };

static struct sl_slice
value_of(const struct sl_surface_request *request)
{
	struct sl_slice value = request->bearer;

	if (!sl_slice_starts(value, PREFIX))
		value = sl_headers_get(request->headers, "x-api-key");
	return sl_slice_starts(value, PREFIX) ? value : SL_SLICE_NONE;
}

static enum sl_claim
claim(const struct sl_surface_request *request)
{
	return value_of(request).len > 0 ? SL_CLAIM_PREFIX : SL_CLAIM_NONE;
}

static struct sl_slice
credential(const struct sl_surface_request *request, struct sl_arena *arena)
{
	(void)arena;
	return value_of(request);
}

static bool
choose(const struct sl_surface_request *request, struct sl_slice request_id,
       struct sl_arena *arena, struct sl_selection *out, struct sl_fault *fault)
{
	(void)request_id;
	(void)fault;
	out->own_shape_only =
	    sl_surface_keeps_shape(request, request->config->responses_astrolabe, arena);
	out->wish.always_stack = true;
	return true;
}

/* --- virtual models ------------------------------------------------------------ */

static const struct lane *
lane_of(struct sl_slice model)
{
	if (!sl_slice_starts(model, VIRTUAL))
		return NULL;
	model = sl_slice_from(model, VIRTUAL.len);
	for (size_t i = 0; i < LANE_COUNT; i++)
		if (sl_slice_is(model, lanes[i].name))
			return &lanes[i];
	return NULL;
}

static bool
read_members(const struct sl_surface_members *members, struct sl_arena *arena,
             struct sl_selection *out, struct sl_fault *fault)
{
	struct sl_slice model = members->model;

	if (model.len == 0 || sl_slice_is(model, "auto"))
		model = SL_SLICE("astrolabe/auto");
	if (lane_of(model))
		out->model = model;
	if (members->astrolabe.type != SL_JSON_OBJECT && members->astrolabe.type != SL_JSON_NULL &&
	    members->astrolabe.type != SL_JSON_NONE) {
		sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
		             SL_SLICE("'metadata.astrolabe' must be an object: {\"stack\": ..., "
		                      "\"quality\": ...}."));
		fault->code = SL_SLICE("invalid_type");
		return false;
	}
	return sl_wish_read_members(&out->wish, members->astrolabe, arena, fault);
}

/* --- pages ---------------------------------------------------------------------- */

static const struct sl_config_model *
find_alias(const struct sl_config *config, struct sl_slice name)
{
	for (size_t i = 0; i < config->model_count; i++)
		if (sl_slice_eq(config->models[i].name, name))
			return &config->models[i];
	return NULL;
}

/* What serves a lane here: an alias of its name, or what `auto` stands for. */
static const struct sl_config_model *
alias_of(const struct sl_surface_view *view, const struct lane *lane)
{
	struct sl_slice name = sl_arena_printf(view->arena, "astrolabe/%s", lane->name);
	const struct sl_config_model *own = find_alias(view->config, name);

	return own ? own : find_alias(view->config, view->config->router_auto);
}

static void
put_deployment(const struct sl_surface_view *view, const struct sl_config_deployment *deployment,
               struct sl_json_writer *w)
{
	sl_json_put_str(w, sl_arena_join(view->arena,
	    (struct sl_slice[]){ deployment->provider, SL_SLICE("/"), deployment->model }, 3));
}

static void
put_deployments(const struct sl_surface_view *view, const struct sl_config_model *alias,
                struct sl_json_writer *w)
{
	for (size_t i = 0; i < alias->deployment_count; i++)
		put_deployment(view, &alias->deployments[i], w);
}

static bool
has_deployment(const struct sl_config_model *alias, size_t among,
               const struct sl_config_deployment *wanted)
{
	for (size_t i = 0; i < among; i++)
		if (sl_slice_eq(alias->deployments[i].provider, wanted->provider) &&
		    sl_slice_eq(alias->deployments[i].model, wanted->model))
			return true;
	return false;
}

static bool
may_use(const struct sl_surface_view *view, size_t alias)
{
	return view->allows(view->context, view->config->models[alias].name);
}

/* Each once, however many aliases that the key may use have it. */
static void
put_every_alias(const struct sl_surface_view *view, struct sl_json_writer *w)
{
	const struct sl_config_model *models = view->config->models;

	for (size_t i = 0; i < view->config->model_count; i++)
		for (size_t d = 0; d < models[i].deployment_count && may_use(view, i); d++) {
			const struct sl_config_deployment *at = &models[i].deployments[d];
			bool told = has_deployment(&models[i], d, at);

			for (size_t before = 0; before < i && !told; before++)
				told = may_use(view, before) &&
				       has_deployment(&models[before],
				                      models[before].deployment_count, at);
			if (!told)
				put_deployment(view, at, w);
		}
}

/* What a lane chooses from: its alias, else what `router.auto` names, else every alias,
 * else what the providers offer. */
static void
put_candidates(const struct sl_surface_view *view, const struct sl_config_model *alias,
               struct sl_json_writer *w)
{
	const struct sl_config *config = view->config;

	sl_json_arr(w);
	if (alias)
		put_deployments(view, alias, w);
	else if (config->router_auto.len > 0)
		sl_json_put_str(w, config->router_auto);
	else if (config->model_count > 0)
		put_every_alias(view, w);
	else
		for (size_t i = 0; i < view->offer_count; i++)
			sl_json_put_str(w, view->offers[i]);
	sl_json_arr_end(w);
}

static void
put_fallbacks(const struct sl_surface_view *view, const struct sl_config_model *alias,
              struct sl_json_writer *w)
{
	const struct sl_config_model *next;

	for (size_t i = 0; alias && i < alias->fallbacks.count; i++) {
		next = find_alias(view->config, alias->fallbacks.items[i]);
		if (next)
			put_deployments(view, next, w);
	}
}

static bool
write_models(const struct sl_surface_view *view, struct sl_json_writer *w, struct sl_fault *fault)
{
	(void)fault;
	sl_json_obj(w);
	sl_json_str(w, "object", SL_SLICE("list"));
	sl_json_key(w, "data");
	sl_json_arr(w);
	for (size_t i = 0; i < LANE_COUNT; i++) {
		sl_json_obj(w);
		sl_json_str(w, "id", sl_arena_printf(view->arena, "astrolabe/%s", lanes[i].name));
		sl_json_str(w, "object", SL_SLICE("model"));
		sl_json_str(w, "type", SL_SLICE("virtual"));
		sl_json_str(w, "lane", sl_slice_str(lanes[i].name));
		sl_json_str(w, "name", sl_slice_str(lanes[i].title));
		sl_json_str(w, "description", sl_slice_str(lanes[i].description));
		sl_json_key(w, "candidates");
		put_candidates(view, alias_of(view, &lanes[i]), w);
		sl_json_obj_end(w);
	}
	sl_json_arr_end(w);
	sl_json_obj_end(w);
	return true;
}

static bool
write_lanes(const struct sl_surface_view *view, struct sl_json_writer *w, struct sl_fault *fault)
{
	(void)fault;
	sl_json_obj(w);
	sl_json_str(w, "object", SL_SLICE("list"));
	sl_json_key(w, "data");
	sl_json_arr(w);
	for (size_t i = 0; i < LANE_COUNT; i++) {
		const struct sl_config_model *alias = alias_of(view, &lanes[i]);

		sl_json_obj(w);
		sl_json_str(w, "id", sl_arena_printf(view->arena, "astrolabe/%s", lanes[i].name));
		sl_json_str(w, "lane", sl_slice_str(lanes[i].name));
		sl_json_str(w, "description", sl_slice_str(lanes[i].description));
		sl_json_bool(w, "preview_allowed", false);
		sl_json_key(w, "default_candidates");
		put_candidates(view, alias, w);
		sl_json_key(w, "fallback_candidates");
		sl_json_arr(w);
		put_fallbacks(view, alias, w);
		sl_json_arr_end(w);
		sl_json_key(w, "trigger_rules");
		sl_json_arr(w);
		sl_json_put_str(w, sl_slice_str(lanes[i].trigger));
		sl_json_arr_end(w);
		sl_json_obj_end(w);
	}
	sl_json_arr_end(w);
	sl_json_obj_end(w);
	return true;
}

static const struct sl_surface_page pages[] = {
	{ "GET", "/v1/models", false, write_models, NULL },
	{ "GET", "/v1/lanes", false, write_lanes, NULL },
	{ NULL, NULL, false, NULL, NULL },
};

/* --- what comes back ------------------------------------------------------------- */

/* The classifier's categories in this contract's words. */
static const char *
category_of(struct sl_slice category)
{
	static const char *const words[][2] = {
		{ "code", "coding" },        { "writing", "creative" },
		{ "extraction", "retrieval" }, { "chat", "communication" },
		{ "medicine", "high_stakes" }, { "law", "high_stakes" },
		{ "business", "planning" },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (sl_slice_is(category, words[i][0]))
			return words[i][1];
	return "research";
}

/* A lane that was asked for by name says more than the category. */
static const char *
action_of(const struct lane *lane, const char *category)
{
	static const char *const words[][2] = {
		{ "coding", "code_edit" },          { "creative", "message_drafting" },
		{ "communication", "casual_chat" }, { "high_stakes", "high_stakes" },
		{ "planning", "message_drafting" },
	};

	if (lane && strcmp(lane->name, "strict-json") == 0)
		return "strict_json";
	if (lane && strcmp(lane->name, "vision") == 0)
		return "vision_analysis";
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(category, words[i][0]) == 0)
			return words[i][1];
	return "research_synthesis";
}

static const char *
complexity_of(const struct sl_decision *decision)
{
	if (sl_slice_is(decision->bucket, "simple"))
		return "simple";
	if (sl_slice_is(decision->bucket, "medium"))
		return "standard";
	return decision->score >= 0.9 ? "critical" : "complex";
}

static const char *
decision_of(const struct sl_decision *decision)
{
	if (decision->attempts > 1)
		return "fallback";
	return lane_of(decision->standing->model_requested) ? "routed" : "direct";
}

static unsigned
confidence_of(const struct sl_decision *decision)
{
	unsigned level = 1 + (unsigned)(decision->confidence * 4 + 0.5);

	return level > 5 ? 5 : level;
}

/* A key without a limit has the largest number that clients can be relied on to
 * read as one. */
static void
put_limits(const struct sl_decision *decision, struct sl_arena *arena,
           struct sl_surface_headers *out)
{
	bool limited = decision->standing->rpm_limit > 0;

	sl_surface_put(out, SL_SLICE("x-ratelimit-limit"),
	               sl_arena_printf(arena, "%" PRId64,
	                               limited ? decision->standing->rpm_limit : INT32_MAX));
	sl_surface_put(out, SL_SLICE("x-ratelimit-remaining"),
	               sl_arena_printf(arena, "%" PRId64,
	                               limited ? decision->standing->rpm_remaining : INT32_MAX));
	sl_surface_put(out, SL_SLICE("x-ratelimit-reset"),
	               sl_arena_printf(arena, "%" PRId64,
	                               decision->standing->wall_s + decision->standing->rpm_reset_s));
}

static void
put_class(const struct sl_decision *decision, struct sl_arena *arena,
          struct sl_surface_headers *out)
{
	const struct lane *lane = lane_of(decision->standing->model_requested);
	const char *category = category_of(decision->category);

	if (lane)
		sl_surface_put(out, SL_SLICE("x-astrolabe-lane"), sl_slice_str(lane->name));
	if (decision->category.len == 0)
		return;
	sl_surface_put(out, SL_SLICE("x-astrolabe-category"), sl_slice_str(category));
	sl_surface_put(out, SL_SLICE("x-astrolabe-action-class"),
	               sl_slice_str(action_of(lane, category)));
	sl_surface_put(out, SL_SLICE("x-astrolabe-complexity"),
	               sl_slice_str(complexity_of(decision)));
	sl_surface_put(out, SL_SLICE("x-astrolabe-confidence-score"),
	               sl_arena_u64(arena, confidence_of(decision)));
}

/* What it costs; while that is not known, as of a stream, what was expected of the choice.
 * False: nobody knows. */
static bool
cost_of(const struct sl_decision *decision, int64_t *nanousd)
{
	*nanousd = decision->cost_known ? decision->cost_nanousd : decision->estimate_nanousd;
	return decision->cost_known ? decision->priced
	                            : decision->has_estimate && decision->attempts <= 1;
}

static void
put_savings(const struct sl_decision *decision, struct sl_arena *arena,
            struct sl_surface_headers *out)
{
	int64_t cost, less;

	if (!decision->has_baseline || !cost_of(decision, &cost))
		return;
	less = decision->baseline_nanousd - cost;
	sl_surface_put(out, SL_SLICE("x-astrolabe-estimated-baseline-cost-usd"),
	               sl_surface_usd(decision->baseline_nanousd, 6, arena));
	sl_surface_put(out, SL_SLICE("x-astrolabe-estimated-savings-usd"),
	               sl_surface_usd(less > 0 ? less : 0, 6, arena));
}

static void
headers(const struct sl_decision *decision, struct sl_arena *arena,
        struct sl_surface_headers *out)
{
	const struct sl_standing *standing = decision->standing;

	sl_surface_put(out, SL_SLICE("x-astrolabe-cloud-request-id"), decision->request_id);
	if (decision->key_id.len == 0)
		return;
	sl_surface_put(out, SL_SLICE("x-astrolabe-cloud-workspace"),
	               standing->workspace.len > 0 ? standing->workspace : SL_SLICE("default"));
	sl_surface_put(out, SL_SLICE("x-astrolabe-cloud-key"), standing->key_hint);
	put_limits(decision, arena, out);
	if (standing->model_requested.len > 0)
		sl_surface_put(out, SL_SLICE("x-astrolabe-model"), standing->model_requested);
	if (decision->stack.len > 0) {
		sl_surface_put(out, SL_SLICE("x-astrolabe-stack-id"),
		               sl_arena_printf(arena, "%.*s:%" PRId64, SL_ARG(decision->stack),
		                               decision->stack_version));
		sl_surface_put(out, SL_SLICE("x-astrolabe-stack-name"), decision->stack);
		sl_surface_put(out, SL_SLICE("x-astrolabe-stack-version"),
		               sl_arena_printf(arena, "%" PRId64, decision->stack_version));
	}
	if (decision->provider.len == 0)
		return;
	sl_surface_put(out, SL_SLICE("x-astrolabe-policy-status"), SL_SLICE("passed"));
	sl_surface_put(out, SL_SLICE("x-astrolabe-decision"), sl_slice_str(decision_of(decision)));
	sl_surface_put(out, SL_SLICE("x-astrolabe-selected-provider"), decision->provider);
	sl_surface_put(out, SL_SLICE("x-astrolabe-selected-model"), decision->model);
	put_class(decision, arena, out);
	if (decision->verification.len > 0)
		sl_surface_put(out, SL_SLICE("x-astrolabe-verification-status"),
		               decision->verification);
	put_savings(decision, arena, out);
}

/* What `explain` adds: why, and what was expected of the choice. */
static void
put_explanation(const struct sl_decision *decision, struct sl_json_writer *w)
{
	sl_json_int(w, "attempts", decision->attempts);
	if (decision->has_estimate) {
		sl_json_str(w, "reason", decision->reason);
		sl_json_usd(w, "expected_cost_usd", decision->estimate_nanousd);
	}
	if (decision->has_baseline)
		sl_json_usd(w, "baseline_cost_usd", decision->baseline_nanousd);
	if (decision->category.len == 0)
		return;
	sl_json_str(w, "action_class",
	            sl_slice_str(action_of(lane_of(decision->standing->model_requested),
	                                   category_of(decision->category))));
	sl_json_key(w, "score");
	sl_json_put_f64(w, decision->score);
}

/* The decision as an object, for the body of an answer. */
static struct sl_slice
route_json(const struct sl_decision *decision, struct sl_arena *arena)
{
	const struct lane *lane = lane_of(decision->standing->model_requested);
	struct sl_json_writer w;
	struct sl_slice text;
	struct sl_buf buf;

	sl_buf_init(&buf, 64 * 1024);
	sl_json_writer_init(&w, &buf);
	sl_json_obj(&w);
	sl_json_str(&w, "request_id", decision->request_id);
	sl_json_str(&w, "model", decision->standing->model_requested);
	sl_json_str(&w, "decision", sl_slice_str(decision_of(decision)));
	sl_json_str(&w, "selected_provider", decision->provider);
	sl_json_str(&w, "selected_model", decision->model);
	if (lane)
		sl_json_str(&w, "lane", sl_slice_str(lane->name));
	if (decision->category.len > 0) {
		const char *category = category_of(decision->category);

		sl_json_str(&w, "category", sl_slice_str(category));
		sl_json_str(&w, "complexity", sl_slice_str(complexity_of(decision)));
		sl_json_int(&w, "confidence_score", confidence_of(decision));
	}
	if (decision->stack.len > 0) {
		sl_json_str(&w, "stack", decision->stack);
		sl_json_int(&w, "stack_version", decision->stack_version);
	}
	if (decision->verification.len > 0)
		sl_json_str(&w, "verification_status", decision->verification);
	if (decision->explain)
		put_explanation(decision, &w);
	sl_json_obj_end(&w);
	text = buf.failed ? SL_SLICE_NONE : sl_arena_dup(arena, sl_buf_slice(&buf));
	sl_buf_release(&buf);
	return text;
}

/* Chat answers get a member `astrolabe`, Responses one in their metadata and the time of
 * their creation under this contract's name for it, too. */
static bool
rewrite(const struct sl_decision *decision, const struct sl_shape_ops *shape,
        struct sl_slice body, struct sl_arena *arena, struct sl_buf *out)
{
	enum { METADATA, OWN, INNER, CREATED, CREATED_AT, WANTS };
	static const struct sl_json_want wants[WANTS] = {
		{ "metadata" }, { "astrolabe" }, { "metadata.astrolabe" }, { "created" },
		{ "created_at" },
	};
	struct sl_json_found found[WANTS], top;
	struct sl_slice route = route_json(decision, arena);
	bool responses = strcmp(shape->name, "openai_responses") == 0;
	struct sl_json_splice splice;
	enum sl_err err;

	if ((!responses && strcmp(shape->name, "openai_chat") != 0) || route.len == 0 ||
	    sl_json_scan(body, NULL, wants, WANTS, found, &top, NULL) != SL_OK)
		return false;
	sl_json_splice_init(&splice, body);
	if (!responses)
		err = found[OWN].type != SL_JSON_NONE
		          ? sl_json_splice_replace(&splice, &found[OWN], route)
		          : sl_json_splice_insert(&splice, &top, SL_SLICE("astrolabe"), route);
	else if (found[INNER].type != SL_JSON_NONE)
		err = sl_json_splice_replace(&splice, &found[INNER], route);
	else if (found[METADATA].type == SL_JSON_OBJECT)
		err = sl_json_splice_insert(&splice, &found[METADATA], SL_SLICE("astrolabe"), route);
	else {
		struct sl_slice whole =
		    sl_arena_join(arena, (struct sl_slice[]){ SL_SLICE("{\"astrolabe\":"), route,
		                                              SL_SLICE("}") }, 3);

		err = found[METADATA].type != SL_JSON_NONE
		          ? sl_json_splice_replace(&splice, &found[METADATA], whole)
		          : sl_json_splice_insert(&splice, &top, SL_SLICE("metadata"), whole);
	}
	if (err == SL_OK && responses && found[CREATED].type == SL_JSON_NONE &&
	    found[CREATED_AT].type == SL_JSON_NUMBER)
		err = sl_json_splice_insert(&splice, &top, SL_SLICE("created"),
		                            sl_json_found_raw(body, &found[CREATED_AT]));
	return err == SL_OK && sl_json_splice_append(&splice, out) == SL_OK;
}

/* --- refusals -------------------------------------------------------------------- */

/* A provider's error says what it says, and under this contract's names whose request it
 * was; a code only where the provider has none. */
static bool
rewrite_error(const struct sl_decision *decision, const struct sl_shape_ops *shape,
              struct sl_slice body, struct sl_arena *arena, struct sl_buf *out)
{
	enum { ERROR, CODE, REQUEST_ID, WANTS };
	static const struct sl_json_want wants[WANTS] = {
		{ "error" }, { "error.code" }, { "error.requestId" },
	};
	const struct sl_slice code = SL_SLICE("\"upstream_error\"");
	struct sl_slice id = sl_arena_join(arena, (struct sl_slice[]){ SL_SLICE("\""),
	                                   decision->request_id, SL_SLICE("\"") }, 3);
	struct sl_json_found found[WANTS];
	struct sl_json_splice splice;
	enum sl_err err;

	(void)shape;
	if (id.len == 0 || sl_json_scan(body, NULL, wants, WANTS, found, NULL, NULL) != SL_OK ||
	    found[ERROR].type != SL_JSON_OBJECT || found[REQUEST_ID].type != SL_JSON_NONE)
		return false;
	sl_json_splice_init(&splice, body);
	err = sl_json_splice_insert(&splice, &found[ERROR], SL_SLICE("requestId"), id);
	if (err == SL_OK && found[CODE].type == SL_JSON_NULL)
		err = sl_json_splice_replace(&splice, &found[CODE], code);
	else if (err == SL_OK && found[CODE].type == SL_JSON_NONE)
		err = sl_json_splice_insert(&splice, &found[ERROR], SL_SLICE("code"), code);
	return err == SL_OK && sl_json_splice_append(&splice, out) == SL_OK;
}

/* status 0 and code NULL: the fault's own. */
static const struct reply {
	enum sl_fault_kind kind;
	int                status;
	const char        *code;
} replies[] = {
	{ SL_FAULT_AUTH_MISSING, 0, "unauthorized" }, { SL_FAULT_AUTH, 0, "unauthorized" },
	{ SL_FAULT_DISABLED, 0, "unauthorized" },     { SL_FAULT_EXPIRED, 0, "unauthorized" },
	{ SL_FAULT_BALANCE, 402, "payment_required" },
	{ SL_FAULT_BUDGET, 402, "payment_required" },
	{ SL_FAULT_POLICY, 409, "routing_policy_blocked" },
	{ SL_FAULT_NO_ROUTE, 404, "unknown_model" },
	{ SL_FAULT_TOO_LARGE, 0, "payload_too_large" },
	{ SL_FAULT_RPM, 0, "rate_limited" },          { SL_FAULT_TPM, 0, "rate_limited" },
	{ SL_FAULT_CONCURRENCY, 0, "rate_limited" },
};

static int
fault(const struct sl_decision *decision, const struct sl_shape_ops *shape,
      const struct sl_fault *refused, struct sl_arena *arena, struct sl_buf *out,
      struct sl_surface_headers *fields)
{
	struct sl_fault told = *refused;
	struct sl_json_writer w;

	(void)shape;
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
		if (replies[i].kind == refused->kind) {
			/* Routing says which stack it missed. */
			if (!sl_slice_starts(refused->code, SL_SLICE("routing_")))
				told.code = sl_slice_str(replies[i].code);
			if (replies[i].status > 0)
				told.status = replies[i].status;
		}
	headers(decision, arena, fields);
	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_key(&w, "error");
	sl_json_obj(&w);
	sl_json_str(&w, "code", sl_fault_code(&told));
	sl_json_str(&w, "message", told.message);
	sl_json_str(&w, "requestId", decision->request_id);
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
	return sl_fault_status(&told);
}

const struct sl_surface_ops sl_surface_astrolabe = {
	.name = "astrolabe",
	.claim = claim,
	.credential = credential,
	.credential_hint = "No API key was given. Send one as 'Authorization: Bearer "
	                   "astrolabe_live_...' or 'x-api-key'.",
	.select = choose,
	.read_members = read_members,
	.pages = pages,
	.headers = headers,
	.rewrite = rewrite,
	.rewrite_error = rewrite_error,
	.fault = fault,
};

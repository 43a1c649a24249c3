/* ingate.c - the Ingate proxy's contract.
 *
 * X-Ingate-Key says who, X-Ingate-Provider where to: any path passes to that
 * provider as it is, with the credential stored here or, where the provider is
 * configured so, the caller's own. X-Ingate-Translate lets a provider of another
 * API serve the request. Errors are flat: {"error":"...","error_code":"..."}.
 */
#include "surfaces/surface.h"

enum { LABEL_MAX = 256 };

#define PREFIX SL_SLICE("sk-ingate-")

static enum sl_claim
claim(const struct sl_surface_request *request)
{
	if (sl_headers_has(request->headers, "x-ingate-key") ||
	    sl_headers_has(request->headers, "x-ingate-provider"))
		return SL_CLAIM_CARRIER;
	/* In the query to refuse it: URLs end up in logs. */
	if (sl_slice_starts(request->bearer, PREFIX) ||
	    sl_slice_starts(sl_surface_query(request->query, "key"), PREFIX))
		return SL_CLAIM_PREFIX;
	return SL_CLAIM_NONE;
}

static struct sl_slice
credential(const struct sl_surface_request *request, struct sl_arena *arena)
{
	struct sl_slice bearer = request->bearer;

	(void)arena;
	if (sl_headers_has(request->headers, "x-ingate-key"))
		return sl_headers_get(request->headers, "x-ingate-key");
	return sl_slice_starts(bearer, PREFIX) ? bearer : SL_SLICE_NONE;
}

/* OpenAI's SDK, pointed at this gateway without /v1, leaves it out. */
static struct sl_slice
whole_path(struct sl_slice path, struct sl_arena *arena)
{
	struct sl_shape_input input = { 0 };
	struct sl_slice longer;

	if (sl_shape_match(path, arena, &input))
		return path;
	longer = sl_arena_join(arena, (struct sl_slice[]){ SL_SLICE("/v1"), path }, 2);
	return sl_shape_match(longer, arena, &input) ? longer : path;
}

static struct sl_slice
first_of_kind(const struct sl_config *config, const char *kind)
{
	for (size_t i = 0; i < config->provider_count; i++)
		if (config->providers[i].enabled && sl_slice_is(config->providers[i].kind, kind))
			return config->providers[i].name;
	return SL_SLICE_NONE;
}

/* Whom a path belongs to, else the default; empty when neither is there. */
static struct sl_slice
detect(const struct sl_config *config, struct sl_slice path)
{
	static const char *const owners[][2] = {
		{ "/v1/chat/completions", "openai" }, { "/v1/embeddings", "openai" },
		{ "/v1/messages", "anthropic" },      { "/api/generate", "ollama" },
		{ "/api/chat", "ollama" },
	};
	struct sl_slice found = SL_SLICE_NONE;

	for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++)
		if (sl_slice_is(path, owners[i][0]))
			found = first_of_kind(config, owners[i][1]);
	return found.len > 0 ? found : config->ingate_default;
}

static bool
choose(const struct sl_surface_request *request, struct sl_slice request_id,
       struct sl_arena *arena, struct sl_selection *out, struct sl_fault *fault)
{
	const struct sl_headers *in = request->headers;

	out->request_id = sl_surface_uuid(request_id, arena);
	out->path = whole_path(request->path, arena);
	out->provider = sl_headers_get(in, "x-ingate-provider");
	out->any_path = true;
	out->cache_s = request->config->cache_ingate_s;
	out->own_shape_only = !sl_slice_ieq(sl_headers_get(in, "x-ingate-translate"),
	                                    SL_SLICE("true"));
	out->end_user = sl_slice_upto(sl_headers_get(in, "x-ingate-user-id"), LABEL_MAX);
	out->tag = sl_slice_upto(sl_headers_get(in, "x-ingate-session-id"), LABEL_MAX);
	if (out->provider.len == 0 && sl_slice_starts(request->path, SL_SLICE("/api/v1/"))) {
		sl_fault_set(fault, SL_FAULT_NOT_FOUND,
		             SL_SLICE("There is no such page: /api/v1/usage/summary, "
		                      "/api/v1/usage/timeseries, /api/v1/logs and "
		                      "/api/v1/budgets are."));
		return false;
	}
	if (out->provider.len == 0 && request->config->ingate_detect)
		out->provider = detect(request->config, out->path);
	if (out->provider.len > 0)
		return true;
	sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
	             SL_SLICE("X-Ingate-Provider is missing: name the provider that the request "
	                      "is for."));
	fault->code = SL_SLICE("missing_provider");
	return false;
}

static void
headers(const struct sl_decision *decision, struct sl_arena *arena,
        struct sl_surface_headers *out)
{
	(void)arena;
	sl_surface_put(out, SL_SLICE("x-ingate-request-id"), decision->standing->public_id);
	if (decision->provider.len > 0)
		sl_surface_put(out, SL_SLICE("x-cache"), sl_surface_cache(decision));
	if (decision->provider.len > 0 &&
	    !sl_slice_eq(decision->provider, decision->standing->provider_requested))
		sl_surface_put(out, SL_SLICE("x-ingate-served-by"), decision->provider);
	sl_surface_put(out, SL_SLICE("x-content-type-options"), SL_SLICE("nosniff"));
	sl_surface_put(out, SL_SLICE("x-frame-options"), SL_SLICE("DENY"));
	sl_surface_put(out, SL_SLICE("x-xss-protection"), SL_SLICE("1; mode=block"));
	sl_surface_put(out, SL_SLICE("referrer-policy"),
	               SL_SLICE("strict-origin-when-cross-origin"));
	sl_surface_put(out, SL_SLICE("permissions-policy"),
	               SL_SLICE("geolocation=(), camera=(), microphone=()"));
}

/* --- usage and budgets ------------------------------------------------------------ */

enum { DAYS_BY_DEFAULT = 30, CALLS_BY_DEFAULT = 50, CALLS_MAX = 500 };

static struct sl_slice
parameter(const struct sl_surface_view *view, const char *name)
{
	return sl_surface_parameter(view->query, name, view->arena);
}

/* What narrows a usage. There are no apps here, and a sum that looks narrowed and is not
 * would be a wrong one. */
static bool
ask_usage(const struct sl_surface_view *view, struct sl_usage_question *question,
          struct sl_fault *fault)
{
	if (!sl_surface_period(view, "since", "until", DAYS_BY_DEFAULT, question, fault))
		return false;
	question->provider = parameter(view, "provider");
	question->model = parameter(view, "model");
	question->team = parameter(view, "team_id");
	question->end_user = parameter(view, "user_id");
	question->tag = parameter(view, "session_id");
	if (sl_surface_query(view->query, "app_id").len == 0)
		return true;
	sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
	             SL_SLICE("There are no apps here, so 'app_id' cannot narrow the usage. Leave it "
	                      "out: it is of the key that asks."));
	fault->param = SL_SLICE("app_id");
	return false;
}

static bool
ask_summary(const struct sl_surface_view *view, struct sl_usage_question *question,
            struct sl_fault *fault)
{
	question->times = true;
	return ask_usage(view, question, fault);
}

static bool
ask_logs(const struct sl_surface_view *view, struct sl_usage_question *question,
         struct sl_fault *fault)
{
	struct sl_slice limit = sl_surface_query(view->query, "limit");
	int64_t calls = CALLS_BY_DEFAULT;

	if (limit.len > 0 && (!sl_slice_i64(limit, &calls) || calls < 1 || calls > CALLS_MAX)) {
		sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
		             SL_SLICE("'limit' is a number from 1 to 500."));
		fault->param = SL_SLICE("limit");
		return false;
	}
	question->calls = (uint32_t)calls;
	return ask_usage(view, question, fault);
}

static void
put_sum(struct sl_json_writer *w, const struct sl_usage_hour *sum)
{
	sl_json_int(w, "total_requests", sum->requests);
	sl_json_int(w, "total_input_tokens", sum->input_tokens);
	sl_json_int(w, "total_output_tokens", sum->output_tokens);
	sl_json_usd(w, "total_cost_usd", sum->cost_nanousd);
}

static void
put_milliseconds(struct sl_json_writer *w, const char *name, uint64_t us)
{
	sl_json_key(w, name);
	sl_json_put_f64(w, (double)((us + 50) / 100) / 10);
}

static void
put_rate(struct sl_json_writer *w, const char *name, int64_t part, int64_t whole)
{
	sl_json_key(w, name);
	sl_json_put_f64(w, whole > 0 ? (double)part / (double)whole : 0);
}

/* What nobody could add up in the time is null, not zero. */
static void
put_times(const struct sl_surface_view *view, struct sl_json_writer *w)
{
	static const char *const names[] = { "avg_latency_ms", "p99_latency_ms", "cache_hit_rate",
		                             "error_rate" };
	const struct sl_usage_times *times = view->times;

	if (times) {
		uint64_t count = times->requests > 0 ? (uint64_t)times->requests : 1;

		put_milliseconds(w, names[0], times->total_us / count);
		put_milliseconds(w, names[1], times->p99_us);
		put_rate(w, names[2], times->cached, times->requests);
		put_rate(w, names[3], times->failed, times->requests);
		return;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		sl_json_key(w, names[i]);
		sl_json_put_null(w);
	}
}

static void
put_period(const struct sl_surface_view *view, struct sl_json_writer *w)
{
	sl_surface_put_time(w, "since", view->question.since_wall_ms);
	sl_surface_put_time(w, "until", view->question.until_wall_ms);
}

static bool
write_summary(const struct sl_surface_view *view, struct sl_json_writer *w,
              struct sl_fault *fault)
{
	struct sl_usage_hour sum = { 0 };
	size_t at = 0;

	(void)fault;
	if (view->hour_count > 0)
		sum = sl_surface_sum(view, INT64_MAX, &at);
	sl_json_obj(w);
	put_sum(w, &sum);
	put_times(view, w);
	put_period(view, w);
	sl_json_obj_end(w);
	return true;
}

static bool
write_series(const struct sl_surface_view *view, struct sl_json_writer *w, struct sl_fault *fault)
{
	struct sl_slice step = sl_surface_query(view->query, "granularity");
	bool daily = sl_slice_is(step, "day");

	if (step.len > 0 && !daily && !sl_slice_is(step, "hour")) {
		sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
		             SL_SLICE("'granularity' is hour or day."));
		fault->param = SL_SLICE("granularity");
		return false;
	}
	sl_json_obj(w);
	sl_json_key(w, "data");
	sl_json_arr(w);
	for (size_t at = 0; at < view->hour_count;) {
		struct sl_usage_hour sum =
		    sl_surface_sum(view, daily ? SL_SURFACE_DAY_MS : SL_SURFACE_HOUR_MS, &at);

		sl_json_obj(w);
		sl_surface_put_time(w, "timestamp", sum.hour * SL_SURFACE_HOUR_MS);
		put_sum(w, &sum);
		sl_json_obj_end(w);
	}
	sl_json_arr_end(w);
	put_period(view, w);
	sl_json_obj_end(w);
	return true;
}

static void
put_label(struct sl_json_writer *w, const char *name, struct sl_slice text)
{
	sl_json_key(w, name);
	if (text.len > 0)
		sl_json_put_str(w, text);
	else
		sl_json_put_null(w);
}

static void
put_call(const struct sl_surface_view *view, const struct sl_usage_call *call,
         struct sl_json_writer *w)
{
	sl_json_obj(w);
	sl_json_str(w, "request_id", sl_surface_uuid(call->request_id, view->arena));
	sl_surface_put_time(w, "timestamp", call->end_wall_ms);
	put_label(w, "provider", call->provider);
	put_label(w, "model", call->model);
	put_label(w, "operation", call->operation);
	sl_json_int(w, "status", call->status);
	put_milliseconds(w, "latency_ms", (uint64_t)call->total_us);
	sl_json_int(w, "input_tokens", call->input_tokens);
	sl_json_int(w, "output_tokens", call->output_tokens);
	sl_json_key(w, "cost_usd");
	if (call->priced)
		sl_json_put_nanousd(w, call->cost_nanousd);
	else
		sl_json_put_null(w);
	sl_json_bool(w, "stream", call->stream);
	sl_json_bool(w, "cached", call->cached);
	put_label(w, "user_id", call->end_user);
	put_label(w, "session_id", call->tag);
	sl_json_obj_end(w);
}

static bool
write_logs(const struct sl_surface_view *view, struct sl_json_writer *w, struct sl_fault *fault)
{
	(void)fault;
	sl_json_obj(w);
	sl_json_key(w, "data");
	sl_json_arr(w);
	for (size_t i = 0; i < view->call_count; i++)
		put_call(view, &view->calls[i], w);
	sl_json_arr_end(w);
	put_period(view, w);
	sl_json_obj_end(w);
	return true;
}

static struct sl_slice
budget_id(const struct sl_surface_view *view)
{
	return sl_arena_join(view->arena, (struct sl_slice[]){ SL_SLICE("key:"),
	                                                      view->decision->key_id }, 2);
}

static void
put_budget(const struct sl_surface_view *view, struct sl_json_writer *w)
{
	sl_json_obj(w);
	sl_json_str(w, "id", budget_id(view));
	sl_json_str(w, "scope", SL_SLICE("key"));
	sl_json_str(w, "scope_id", view->decision->key_id);
	sl_json_key(w, "soft_limit_usd");
	sl_json_put_null(w);
	sl_json_usd(w, "hard_limit_usd", view->decision->standing->quota_limit_nanousd);
	sl_json_str(w, "period_type", sl_slice_str(view->decision->standing->quota_window));
	sl_json_obj_end(w);
}

static bool
write_budgets(const struct sl_surface_view *view, struct sl_json_writer *w,
              struct sl_fault *fault)
{
	(void)fault;
	sl_json_obj(w);
	sl_json_key(w, "data");
	sl_json_arr(w);
	if (view->decision->standing->has_quota)
		put_budget(view, w);
	sl_json_arr_end(w);
	sl_json_obj_end(w);
	return true;
}

static bool
write_status(const struct sl_surface_view *view, struct sl_json_writer *w)
{
	const struct sl_standing *key = view->decision->standing;
	int64_t left = key->quota_limit_nanousd - key->quota_used_nanousd;
	double share = key->quota_limit_nanousd > 0
	                   ? (double)key->quota_used_nanousd / (double)key->quota_limit_nanousd
	                   : 1;

	sl_json_obj(w);
	sl_json_key(w, "budget");
	put_budget(view, w);
	sl_json_usd(w, "current_spend", key->quota_used_nanousd);
	sl_json_usd(w, "remaining", left > 0 ? left : 0);
	sl_json_key(w, "utilization");
	sl_json_put_f64(w, share);
	sl_json_obj_end(w);
	return true;
}

/* /api/v1/budgets/ID and .../ID/status: the only one a key sees is its own. */
static bool
write_budget(const struct sl_surface_view *view, struct sl_json_writer *w, struct sl_fault *fault)
{
	struct sl_slice rest = sl_slice_from(view->path, sizeof("/api/v1/budgets/") - 1);
	struct sl_slice id = sl_surface_decoded(sl_slice_cut(&rest, '/'), view->arena);

	if (view->decision->standing->has_quota && sl_slice_eq(id, budget_id(view))) {
		if (sl_slice_is(rest, "status"))
			return write_status(view, w);
		if (rest.len == 0) {
			put_budget(view, w);
			return true;
		}
	}
	sl_fault_set(fault, SL_FAULT_NOT_FOUND, SL_SLICE("This key has no such budget."));
	return false;
}

static const struct sl_surface_page pages[] = {
	{ "GET", "/api/v1/usage/summary", false, write_summary, ask_summary },
	{ "GET", "/api/v1/usage/timeseries", false, write_series, ask_usage },
	{ "GET", "/api/v1/logs", false, write_logs, ask_logs },
	{ "GET", "/api/logs", false, write_logs, ask_logs },
	{ "GET", "/api/v1/budgets", false, write_budgets, NULL },
	{ "GET", "/api/v1/budgets/", false, write_budget, NULL },
	{ NULL, NULL, false, NULL, NULL },
};

/* --- refusals --------------------------------------------------------------------- */

/* The contract knows 400, 401, 404, 413, 429 and 502. */
static int
status_of(const struct sl_fault *fault)
{
	int status = sl_fault_status(fault);

	if (fault->kind == SL_FAULT_BALANCE)
		return 429;
	return status > 502 ? 502 : status;
}

static int
fault(const struct sl_decision *decision, const struct sl_shape_ops *shape,
      const struct sl_fault *refused, struct sl_arena *arena, struct sl_buf *out,
      struct sl_surface_headers *fields)
{
	bool budget = refused->kind == SL_FAULT_BUDGET || refused->kind == SL_FAULT_BALANCE;
	struct sl_json_writer w;

	(void)shape;
	headers(decision, arena, fields);
	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_str(&w, "error", budget ? SL_SLICE("budget exceeded") : refused->message);
	sl_json_str(&w, "error_code",
	            budget ? SL_SLICE("budget_exceeded") : sl_fault_code(refused));
	if (budget) {
		sl_json_str(&w, "budget_id", refused->limit_of);
		sl_json_usd(&w, "current_spend", refused->used_nanousd);
		sl_json_usd(&w, "hard_limit_usd", refused->limit_nanousd);
		sl_json_str(&w, "message", refused->message);
	}
	sl_json_obj_end(&w);
	return status_of(refused);
}

const struct sl_surface_ops sl_surface_ingate = {
	.name = "ingate",
	.claim = claim,
	.credential = credential,
	.credential_hint = "X-Ingate-Key is missing: send a key of this gateway in it; the query is no "
	                   "place for one.",
	.tells_quota = true,
	.select = choose,
	.pages = pages,
	.headers = headers,
	.fault = fault,
};

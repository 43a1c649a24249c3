/* nexus.c - the Nexus gateway's contract.
 *
 * Keys nvk_... in x-nexus-virtual-key or where the SDKs of the four APIs put
 * theirs, never in the query. X-Nexus-* tell of every answer what served it.
 * Errors have the envelope of the API that was called and Nexus' own codes. A
 * Responses request goes to a provider that speaks it, or nowhere.
 */
#include "surfaces/surface.h"

#include <inttypes.h>

#include "base/timestamp.h"

#define PREFIX SL_SLICE("nvk_")

enum {
	DAYS_MAX = 92, /* 90, told generously at both ends */
	QUOTA_WARN_PERCENT = 80,
};

static enum sl_claim
claim(const struct sl_surface_request *request)
{
	if (sl_headers_has(request->headers, "x-nexus-virtual-key"))
		return SL_CLAIM_CARRIER;
	if (sl_surface_prefixed(request, PREFIX).len > 0 ||
	    sl_slice_starts(sl_surface_query(request->query, "key"), PREFIX))
		return SL_CLAIM_PREFIX;
	return sl_slice_is(request->path, "/healthz") ? SL_CLAIM_PATH : SL_CLAIM_NONE;
}

static struct sl_slice
credential(const struct sl_surface_request *request, struct sl_arena *arena)
{
	struct sl_slice value = sl_headers_get(request->headers, "x-nexus-virtual-key");

	(void)arena;
	return value.len > 0 ? value : sl_surface_prefixed(request, PREFIX);
}

static bool
choose(const struct sl_surface_request *request, struct sl_slice request_id,
       struct sl_arena *arena, struct sl_selection *out, struct sl_fault *fault)
{
	struct sl_slice given = sl_headers_get(request->headers, "x-nexus-request-id");

	(void)fault;
	out->own_shape_only =
	    sl_surface_keeps_shape(request, request->config->responses_nexus, arena);
	/* The second is its older name. */
	if (sl_headers_get(request->headers, "x-nexus-no-cache").len == 0 &&
	    sl_headers_get(request->headers, "x-nexus-aigw-no-cache").len == 0)
		out->cache_s = request->config->cache_nexus_s;
	out->request_id = sl_surface_is_id(given) ? given : sl_surface_uuid(request_id, arena);
	return true;
}

/* What decides where a request goes, what it says and what it may cost stands in the
 * message, where everybody looks for it. */
static bool
may_extend(struct sl_json members, struct sl_arena *arena, struct sl_fault *fault)
{
	static const char *const fixed[] = {
		"model", "stream", "messages", "input", "contents", "prompt", "system",
		"instructions", "tools", "n", "best_of", "max_tokens", "max_completion_tokens",
		"max_output_tokens", "generationConfig", "generation_config", "service_tier",
		"nexus", "metadata", "stoPayload",
	};

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (sl_json_get(members, fixed[i]).type != SL_JSON_NONE) {
			sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
			             sl_arena_printf(arena, "nexus.ext cannot set '%s': write it "
			                             "in the request itself.", fixed[i]));
			fault->param = SL_SLICE("nexus.ext");
			return false;
		}
	return true;
}

static bool
is_object(struct sl_json value, const char *param, struct sl_fault *fault)
{
	if (value.type == SL_JSON_OBJECT || value.type == SL_JSON_NULL ||
	    value.type == SL_JSON_NONE)
		return true;
	sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
	             SL_SLICE("Members for one provider are written as {\"nexus\": {\"ext\": "
	                      "{\"PROVIDER\": {...}}}}: all three are objects."));
	fault->code = SL_SLICE("invalid_type");
	fault->param = sl_slice_str(param);
	return false;
}

static bool
read_members(const struct sl_surface_members *members, struct sl_arena *arena,
             struct sl_selection *out, struct sl_fault *fault)
{
	struct sl_json extensions = sl_json_get(members->nexus, "ext");
	struct sl_json_iter it = sl_json_iter(extensions);

	if (sl_slice_is(members->model, "auto") &&
	    strcmp(members->shape->operation, "embeddings") == 0) {
		sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
		             SL_SLICE("Embeddings of different models cannot be compared: name one "
		                      "instead of 'auto'."));
		fault->param = SL_SLICE("model");
		return false;
	}
	if (!is_object(members->nexus, "nexus", fault) ||
	    !is_object(extensions, "nexus.ext", fault))
		return false;
	while (extensions.type == SL_JSON_OBJECT && sl_json_next(&it))
		if (!is_object(it.value, "nexus.ext", fault) ||
		    !may_extend(it.value, arena, fault))
			return false;
	out->extensions = extensions;
	return true;
}

/* --- what comes back ---------------------------------------------------------- */

static struct sl_slice
milliseconds(uint64_t us, struct sl_arena *arena)
{
	return sl_arena_printf(arena, "%.1f", (double)us / 1000);
}

/* "/seed, /messages/0/name" of "parameter_dropped;/seed, ..." as "seed,messages.0.name". */
static struct sl_slice
coerced(struct sl_slice warnings, struct sl_arena *arena)
{
	char *out = sl_arena_alloc(arena, warnings.len + 1);
	size_t len = 0;

	while (out && warnings.len > 0) {
		struct sl_slice place = sl_slice_trim(sl_slice_cut(&warnings, ','));

		sl_slice_cut(&place, ';');
		if (place.len < 2)
			continue;
		if (len > 0)
			out[len++] = ',';
		for (size_t i = 1; i < place.len; i++)
			out[len++] = place.ptr[i] == '/' ? '.' : place.ptr[i];
	}
	return len > 0 ? sl_slice_make(out, len) : SL_SLICE_NONE;
}

static void
put_quota_fields(const struct sl_standing *standing, struct sl_arena *arena,
                 struct sl_surface_headers *out)
{
	int64_t limit = standing->quota_limit_nanousd;
	double percent = limit > 0 ? (double)standing->quota_used_nanousd * 100 / (double)limit : 100;

	sl_surface_put(out, SL_SLICE("x-nexus-quota-used"),
	               sl_surface_usd(standing->quota_used_nanousd, 2, arena));
	sl_surface_put(out, SL_SLICE("x-nexus-quota-limit"), sl_surface_usd(limit, 2, arena));
	if (percent >= QUOTA_WARN_PERCENT)
		sl_surface_put(out, SL_SLICE("x-nexus-quota-warning"),
		               sl_arena_printf(arena, "%.0f%% of the %s quota is used", percent,
		                               standing->quota_window));
}

static void
headers(const struct sl_decision *decision, struct sl_arena *arena,
        struct sl_surface_headers *out)
{
	sl_surface_put(out, SL_SLICE("x-nexus-request-id"), decision->standing->public_id);
	sl_surface_put(out, SL_SLICE("x-nexus-via"), SL_SLICE("ai-gateway"));
	sl_surface_put(out, SL_SLICE("x-nexus-hook"), SL_SLICE("none"));
	sl_surface_put(out, SL_SLICE("x-nexus-mode"), SL_SLICE(""));
	if (decision->standing->rpm_limit > 0)
		sl_surface_put(out, SL_SLICE("x-ratelimit-limit"),
		               sl_arena_printf(arena, "%" PRId64, decision->standing->rpm_limit));
	if (decision->standing->has_quota)
		put_quota_fields(decision->standing, arena, out);
	if (decision->provider.len == 0)
		return;
	sl_surface_put(out, SL_SLICE("x-nexus-routed-provider"), decision->provider);
	sl_surface_put(out, SL_SLICE("x-nexus-routed-model"), decision->model);
	sl_surface_put(out, SL_SLICE("x-nexus-attempts"),
	               sl_arena_u64(arena, decision->attempts > 0 ? decision->attempts : 1));
	sl_surface_put(out, SL_SLICE("x-nexus-cache"), sl_surface_cache(decision));
	sl_surface_put(out, SL_SLICE("x-nexus-coerced"), coerced(decision->warnings, arena));
	if (decision->upstream_us > 0)
		sl_surface_put(out, SL_SLICE("server-timing"),
		    sl_arena_printf(arena, "gw;dur=%s, upstream-ttfb;dur=%s, upstream-total;dur=%s",
		                    milliseconds(decision->gateway_us, arena).ptr,
		                    milliseconds(decision->first_byte_us, arena).ptr,
		                    milliseconds(decision->upstream_us, arena).ptr));
}

/* --- usage ---------------------------------------------------------------------- */

static bool
this_month(const struct sl_surface_view *view, struct sl_usage_question *question,
           struct sl_fault *fault)
{
	return sl_surface_period(view, "", "", 0, question, fault);
}

static bool
asked_days(const struct sl_surface_view *view, struct sl_usage_question *question,
           struct sl_fault *fault)
{
	if (!sl_surface_period(view, "startDate", "endDate", 0, question, fault))
		return false;
	if (question->until_wall_ms - question->since_wall_ms <=
	    (int64_t)DAYS_MAX * SL_SURFACE_DAY_MS)
		return true;
	sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
	             SL_SLICE("That is a longer time than one answer tells of: ask for 90 days "
	                      "at most."));
	fault->param = SL_SLICE("startDate");
	return false;
}

static void
put_sum(struct sl_json_writer *w, const struct sl_usage_hour *sum)
{
	sl_json_int(w, "totalRequests", sum->requests);
	sl_json_int(w, "promptTokens", sum->input_tokens);
	sl_json_int(w, "completionTokens", sum->output_tokens);
	sl_json_int(w, "totalTokens", sum->input_tokens + sum->output_tokens);
	sl_json_usd(w, "estimatedCostUsd", sum->cost_nanousd);
}

static void
put_usd_or_null(struct sl_json_writer *w, const char *name, bool known, int64_t nanousd)
{
	sl_json_key(w, name);
	if (known)
		sl_json_put_nanousd(w, nanousd);
	else
		sl_json_put_null(w);
}

static void
put_quota(const struct sl_surface_view *view, struct sl_json_writer *w)
{
	const struct sl_standing *key = view->decision->standing;
	int64_t left = key->quota_limit_nanousd - key->quota_used_nanousd;

	sl_json_key(w, "quota");
	sl_json_obj(w);
	put_usd_or_null(w, "limitUsd", key->has_quota, key->quota_limit_nanousd);
	put_usd_or_null(w, "usedUsd", key->has_quota, key->quota_used_nanousd);
	put_usd_or_null(w, "remainingUsd", key->has_quota, left > 0 ? left : 0);
	sl_json_str(w, "enforcementMode", SL_SLICE("reject"));
	sl_json_key(w, "rateLimitRpm");
	if (view->rpm > 0)
		sl_json_put_i64(w, view->rpm);
	else
		sl_json_put_null(w);
	sl_json_obj_end(w);
}

static struct sl_slice
date_of(int64_t wall_ms, size_t len, struct sl_arena *arena)
{
	char text[SL_TIMESTAMP_LEN + 1];

	sl_timestamp_format(wall_ms, text);
	return sl_arena_dup(arena, sl_slice_make(text, len));
}

static bool
write_usage(const struct sl_surface_view *view, struct sl_json_writer *w, struct sl_fault *fault)
{
	struct sl_usage_hour sum = { 0 };
	size_t at = 0;

	(void)fault;
	if (view->hour_count > 0)
		sum = sl_surface_sum(view, INT64_MAX, &at);
	sl_json_obj(w);
	sl_json_str(w, "virtualKeyId", view->decision->key_id);
	sl_json_str(w, "period", date_of(view->question.since_wall_ms, 7, view->arena));
	sl_json_str(w, "periodType", SL_SLICE("monthly"));
	sl_json_key(w, "usage");
	sl_json_obj(w);
	put_sum(w, &sum);
	sl_json_obj_end(w);
	put_quota(view, w);
	sl_json_obj_end(w);
	return true;
}

static bool
write_days(const struct sl_surface_view *view, struct sl_json_writer *w, struct sl_fault *fault)
{
	(void)fault;
	sl_json_obj(w);
	sl_json_str(w, "virtualKeyId", view->decision->key_id);
	sl_json_str(w, "startDate", date_of(view->question.since_wall_ms, 10, view->arena));
	sl_json_str(w, "endDate", date_of(view->question.until_wall_ms - 1, 10, view->arena));
	sl_json_key(w, "data");
	sl_json_arr(w);
	for (size_t at = 0; at < view->hour_count;) {
		struct sl_usage_hour sum = sl_surface_sum(view, SL_SURFACE_DAY_MS, &at);

		sl_json_obj(w);
		sl_json_str(w, "date", date_of(sum.hour * SL_SURFACE_HOUR_MS, 10, view->arena));
		put_sum(w, &sum);
		sl_json_obj_end(w);
	}
	sl_json_arr_end(w);
	sl_json_obj_end(w);
	return true;
}

static bool
write_health(const struct sl_surface_view *view, struct sl_json_writer *w, struct sl_fault *fault)
{
	(void)view;
	(void)fault;
	sl_json_obj(w);
	sl_json_str(w, "status", SL_SLICE("ok"));
	sl_json_str(w, "service", SL_SLICE("ai-gateway"));
	sl_json_obj_end(w);
	return true;
}

static const struct sl_surface_page pages[] = {
	{ "GET", "/healthz", true, write_health, NULL },
	{ "GET", "/v1/usage", false, write_usage, this_month },
	{ "GET", "/v1/usage/daily", false, write_days, asked_days },
	{ NULL, NULL, false, NULL, NULL },
};

/* --- refusals ----------------------------------------------------------------- */

/* status 0: the fault's own. */
static const struct reply {
	enum sl_fault_kind kind;
	int                status;
	const char        *code;
} replies[] = {
	{ SL_FAULT_AUTH_MISSING, 0, "AUTH_KEY_MISSING" },
	{ SL_FAULT_AUTH, 0, "AUTH_INVALID_KEY" },
	{ SL_FAULT_DISABLED, 0, "AUTH_KEY_DISABLED" },
	{ SL_FAULT_EXPIRED, 0, "AUTH_KEY_EXPIRED" },
	{ SL_FAULT_MODEL_DENIED, 0, "MODEL_NOT_ALLOWED" },
	{ SL_FAULT_NO_ROUTE, 0, "ROUTING_NO_MATCH" },
	{ SL_FAULT_TOO_LARGE, 0, "PAYLOAD_TOO_LARGE" },
	{ SL_FAULT_RPM, 0, "RATE_LIMITED" },
	{ SL_FAULT_TPM, 0, "RATE_LIMITED" },
	{ SL_FAULT_CONCURRENCY, 0, "RATE_LIMITED" },
	{ SL_FAULT_BUDGET, 429, "QUOTA_EXCEEDED" },
	{ SL_FAULT_BALANCE, 429, "QUOTA_EXCEEDED" },
	{ SL_FAULT_UPSTREAM_UNREACHABLE, 0, "PROVIDER_UNAVAILABLE" },
	{ SL_FAULT_UPSTREAM_BROKEN, 0, "PROVIDER_UNAVAILABLE" },
	{ SL_FAULT_UPSTREAM_CUT, 0, "PROVIDER_UNAVAILABLE" },
	{ SL_FAULT_UPSTREAM_AUTH, 0, "PROVIDER_UNAVAILABLE" },
	{ SL_FAULT_UPSTREAM_STATUS, 0, "PROVIDER_UNAVAILABLE" },
	{ SL_FAULT_UPSTREAM_TIMEOUT, 0, "PROVIDER_UNAVAILABLE" },
	{ SL_FAULT_OVERLOADED, 429, "gateway_overloaded" },
};

/* Estimates have codes of their own. NULL: not for this. */
static const char *
estimate_code(enum sl_fault_kind kind, const struct sl_shape_ops *shape)
{
	if (strcmp(shape->operation, "estimate") != 0)
		return NULL;
	switch (kind) {
	case SL_FAULT_AUTH_MISSING:
	case SL_FAULT_AUTH:
	case SL_FAULT_DISABLED:
	case SL_FAULT_EXPIRED:
		return "estimate_unauthorized";
	case SL_FAULT_RPM:
		return "estimate_compare_rate_limited";
	default:
		return NULL;
	}
}

static bool
is_responses(const struct sl_shape_ops *shape)
{
	return strcmp(shape->name, "openai_responses") == 0;
}

static const char *
type_of(const struct sl_fault *fault, const struct sl_shape_ops *shape)
{
	if (fault->kind != SL_FAULT_UNSUPPORTED)
		return "proxy_error";
	return is_responses(shape) ? "unsupported_feature" : "no_compatible_provider";
}

static void
openai_body(const struct sl_fault *fault, const struct sl_shape_ops *shape, struct sl_buf *out)
{
	struct sl_json_writer w;

	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_key(&w, "error");
	sl_json_obj(&w);
	sl_json_str(&w, "message", fault->message);
	sl_json_str(&w, "type", sl_slice_str(type_of(fault, shape)));
	sl_json_str(&w, "code", sl_fault_code(fault));
	sl_json_key(&w, "param");
	if (fault->param.len > 0)
		sl_json_put_str(&w, fault->param);
	else
		sl_json_put_null(&w);
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
}

static int
fault(const struct sl_decision *decision, const struct sl_shape_ops *shape,
      const struct sl_fault *refused, struct sl_arena *arena, struct sl_buf *out,
      struct sl_surface_headers *fields)
{
	struct sl_fault told = *refused;

	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
		if (replies[i].kind == refused->kind) {
			told.code = sl_slice_str(replies[i].code);
			if (replies[i].status > 0)
				told.status = replies[i].status;
		}
	if (estimate_code(refused->kind, shape))
		told.code = sl_slice_str(estimate_code(refused->kind, shape));
	if (refused->kind == SL_FAULT_UNSUPPORTED && is_responses(shape)) {
		told.code = SL_SLICE("feature_requires_native_responses_target");
		if (told.param.len == 0)
			told.param = SL_SLICE("model");
	}
	headers(decision, arena, fields);
	if (sl_slice_is(sl_slice_str(shape->family), "openai"))
		openai_body(&told, shape, out);
	else
		shape->write_fault(&told, decision->request_id, out);
	return sl_fault_status(&told);
}

const struct sl_surface_ops sl_surface_nexus = {
	.name = "nexus",
	.claim = claim,
	.credential = credential,
	.tells_quota = true,
	.credential_hint = "No virtual key was given. Send one as 'Authorization: Bearer nvk_...' or "
	                   "'x-nexus-virtual-key'; the query is no place for it.",
	.select = choose,
	.read_members = read_members,
	.pages = pages,
	.headers = headers,
	.fault = fault,
};

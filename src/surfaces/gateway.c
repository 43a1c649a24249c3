/* gateway.c - the native surface: Gateway-LLM's contract, extended.
 *
 * Keys gw_virt_... in any carrier an SDK uses, X-Gateway-* on every answer,
 * its 429 body byte for byte. Refusals otherwise look as the called API's own
 * errors do, so that the caller's SDK raises its native exception.
 */
#include "surfaces/surface.h"

#include <inttypes.h>

#include "base/text.h"

static enum sl_claim
claim(const struct sl_surface_request *request)
{
	(void)request;
	return SL_CLAIM_REST;
}

static bool
choose(const struct sl_surface_request *request, struct sl_slice request_id,
       struct sl_arena *arena, struct sl_selection *out, struct sl_fault *refused)
{
	(void)request_id;
	out->cache_s = request->config->cache_gateway_s;
	out->own_shape_only =
	    sl_surface_keeps_shape(request, request->config->responses_gateway, arena);
	return sl_wish_read_headers(&out->wish, request->headers, SL_SLICE("x-gateway-"), refused);
}

/* Six decimals, as published; where that rounds, all nine beside it: what callers add
 * up is what is charged. An unknown price is no price: the field is there and empty. */
static void
put_cost(const struct sl_decision *decision, struct sl_arena *arena,
         struct sl_surface_headers *out)
{
	if (!decision->cost_known || !(decision->priced || decision->bought))
		return;
	sl_surface_put_own(out, SL_SLICE("x-gateway-cost-usd"),
	                   decision->priced ? sl_surface_usd(decision->cost_nanousd, 6, arena)
	                                    : SL_SLICE(""));
	if (decision->priced && decision->cost_nanousd % 1000)
		sl_surface_put_own(out, SL_SLICE("x-gateway-cost-exact-usd"),
		                   sl_surface_usd(decision->cost_nanousd, 9, arena));
}

/* A number, before what was written so far. */
static struct sl_slice
number(char **at, int64_t value)
{
	char *end = *at;

	*at = sl_put_u64_before(end, value > 0 ? (uint64_t)value : 0);
	return sl_slice_make(*at, (size_t)(end - *at));
}

struct limit_fields { struct sl_slice limit, remaining, reset; };
static const struct limit_fields request_fields = {
	SL_SLICE_INIT("x-ratelimit-limit-requests"),
	SL_SLICE_INIT("x-ratelimit-remaining-requests"),
	SL_SLICE_INIT("x-ratelimit-reset-requests"),
};
static const struct limit_fields token_fields = {
	SL_SLICE_INIT("x-ratelimit-limit-tokens"),
	SL_SLICE_INIT("x-ratelimit-remaining-tokens"),
	SL_SLICE_INIT("x-ratelimit-reset-tokens"),
};

/* As OpenAI writes them. */
static void
put_limit(struct sl_surface_headers *out, struct sl_arena *arena,
          const struct limit_fields *fields, int64_t limit, int64_t remaining, int64_t reset_s)
{
	enum { SIZE = 3 * SL_U64_DIGITS + 1 };
	char *text = limit > 0 ? sl_arena_alloc(arena, SIZE) : NULL, *at;
	struct sl_slice reset;

	if (!text)
		return;
	at = text + SIZE - 1;
	*at = 's';
	reset = number(&at, reset_s);
	reset.len++;
	sl_surface_put_own(out, fields->limit, number(&at, limit));
	sl_surface_put_own(out, fields->remaining, number(&at, remaining));
	sl_surface_put_own(out, fields->reset, reset);
}

/* Which rules held, what came of them, and what the choice saved. */
static void
put_choice(const struct sl_decision *decision, struct sl_arena *arena,
           struct sl_surface_headers *out)
{
	if (decision->stack.len > 0)
		sl_surface_put(out, SL_SLICE("x-gateway-stack"),
		               sl_arena_printf(arena, "%.*s;version=%" PRId64,
		                               SL_ARG(decision->stack), decision->stack_version));
	if (decision->category.len > 0)
		sl_surface_put(out, SL_SLICE("x-gateway-category"), decision->category);
	if (decision->verification.len > 0)
		sl_surface_put(out, SL_SLICE("x-gateway-verification"), decision->verification);
	if (decision->has_baseline)
		sl_surface_put(out, SL_SLICE("x-gateway-baseline-cost-usd"),
		               sl_surface_usd(decision->baseline_nanousd, 6, arena));
	if (decision->explain && decision->has_estimate) {
		sl_surface_put(out, SL_SLICE("x-gateway-reason"), decision->reason);
		sl_surface_put(out, SL_SLICE("x-gateway-expected-cost-usd"),
		               sl_surface_usd(decision->estimate_nanousd, 6, arena));
	}
}

static void
headers(const struct sl_decision *decision, struct sl_arena *arena,
        struct sl_surface_headers *out)
{
	const struct sl_standing *standing = decision->standing;

	if (decision->provider.len > 0) {
		sl_surface_put(out, SL_SLICE("x-gateway-decision"),
		    sl_arena_join(arena, (struct sl_slice[]){ decision->provider, SL_SLICE("/"),
		                                              decision->model }, 3));
		sl_surface_put_own(out, SL_SLICE("x-gateway-route-bucket"), decision->bucket);
		sl_surface_put_own(out, SL_SLICE("x-gateway-route-score"),
		    decision->score > 0 ? sl_arena_printf(arena, "%.2f", decision->score)
		                        : SL_SLICE("0.00"));
		sl_surface_put_own(out, SL_SLICE("x-gateway-retries"),
		    decision->attempts > 1 ? sl_arena_u64(arena, decision->attempts - 1)
		                           : SL_SLICE("0"));
		if (decision->hedged)
			sl_surface_put(out, SL_SLICE("x-gateway-hedge"),
			               decision->hedge_won ? SL_SLICE("won") : SL_SLICE("lost"));
	}
	if (decision->recall != SL_RECALL_NONE)
		sl_surface_put(out, SL_SLICE("x-gateway-cache"), sl_surface_cache(decision));
	put_choice(decision, arena, out);
	put_cost(decision, arena, out);
	sl_surface_put_own(out, SL_SLICE("x-gateway-request-id"), decision->request_id);
	put_limit(out, arena, &request_fields, standing->rpm_limit, standing->rpm_remaining,
	          standing->rpm_reset_s);
	put_limit(out, arena, &token_fields, standing->tpm_limit, standing->tpm_remaining,
	          standing->tpm_reset_s);
}

static struct sl_slice
trailer_names(void)
{
	return SL_SLICE("X-Gateway-Cost-Usd, X-Gateway-Cost-Exact-Usd");
}

static void
trailers(const struct sl_decision *decision, struct sl_arena *arena,
         struct sl_surface_headers *out)
{
	put_cost(decision, arena, out);
}

/* --- usage ------------------------------------------------------------------------ */

static bool
period(const struct sl_surface_view *view, struct sl_usage_question *question,
       struct sl_fault *refused)
{
	return sl_surface_period(view, "since", "until", 0, question, refused);
}

static void
put_sum(struct sl_json_writer *w, const struct sl_usage_hour *sum)
{
	sl_json_int(w, "requests", sum->requests);
	sl_json_int(w, "input_tokens", sum->input_tokens);
	sl_json_int(w, "output_tokens", sum->output_tokens);
	sl_json_usd(w, "cost_usd", sum->cost_nanousd);
}

static bool
write_usage(const struct sl_surface_view *view, struct sl_json_writer *w,
            struct sl_fault *refused)
{
	struct sl_usage_hour sum = { 0 };
	size_t at = 0;

	(void)refused;
	if (view->hour_count > 0)
		sum = sl_surface_sum(view, INT64_MAX, &at);
	sl_json_obj(w);
	sl_json_str(w, "key", view->decision->key_id);
	sl_surface_put_time(w, "since", view->question.since_wall_ms);
	sl_surface_put_time(w, "until", view->question.until_wall_ms);
	put_sum(w, &sum);
	sl_json_key(w, "by_day");
	sl_json_arr(w);
	for (at = 0; at < view->hour_count;) {
		sum = sl_surface_sum(view, SL_SURFACE_DAY_MS, &at);
		sl_json_obj(w);
		sl_surface_put_time(w, "time", sum.hour * SL_SURFACE_HOUR_MS);
		put_sum(w, &sum);
		sl_json_obj_end(w);
	}
	sl_json_arr_end(w);
	sl_json_obj_end(w);
	return true;
}

static const struct sl_surface_page pages[] = {
	{ "GET", "/v1/usage", false, write_usage, period },
	{ NULL, NULL, false, NULL, NULL },
};

/* --- refusals --------------------------------------------------------------------- */

static void
limit_body(const struct sl_fault *refused, struct sl_buf *out)
{
	struct sl_json_writer w;

	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_key(&w, "error");
	sl_json_obj(&w);
	sl_json_str(&w, "type", SL_SLICE("rate_limit_exceeded"));
	sl_json_str(&w, "message", refused->message);
	sl_json_str(&w, "kind", sl_slice_str(refused->limit_kind));
	sl_json_int(&w, "retry_after_seconds", refused->retry_after_s);
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
}

static void
drop_empty(struct sl_surface_headers *fields)
{
	size_t kept = 0;

	for (size_t i = 0; i < fields->count; i++)
		if (fields->items[i].value.len > 0)
			fields->items[kept++] = fields->items[i];
	fields->count = kept;
}

static int
fault(const struct sl_decision *decision, const struct sl_shape_ops *shape,
      const struct sl_fault *refused, struct sl_arena *arena, struct sl_buf *out,
      struct sl_surface_headers *fields)
{
	headers(decision, arena, fields);
	drop_empty(fields); /* a cost that is not known is told of what was served */
	if (refused->limit_kind)
		sl_surface_put(fields, SL_SLICE("x-gateway-limit-kind"), sl_slice_str(refused->limit_kind));
	/* The contract's 429 is written as published. Callers of the other API
	 * families need their own envelope to raise a typed error. */
	if (refused->limit_kind && sl_slice_is(sl_slice_str(shape->family), "openai"))
		limit_body(refused, out);
	else
		shape->write_fault(refused, decision->request_id, out);
	return sl_fault_status(refused);
}

const struct sl_surface_ops sl_surface_gateway = {
	.name = "gateway",
	.claim = claim,
	.credential = sl_surface_sdk_credential,
	.credential_hint = "No API key was given. Send a key of this gateway as "
	                   "'Authorization: Bearer ...', 'x-api-key', 'api-key' or "
	                   "'x-goog-api-key'.",
	.select = choose,
	.pages = pages,
	.headers = headers,
	.trailer_names = trailer_names,
	.trailers = trailers,
	.fault = fault,
};

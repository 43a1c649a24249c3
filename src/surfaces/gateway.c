/* gateway.c - the native surface: Gateway-LLM's contract, extended.
 *
 * Keys gw_virt_... in any carrier an SDK uses, X-Gateway-* on every answer,
 * its 429 body byte for byte. Refusals otherwise look as the called API's own
 * errors do, so that the caller's SDK raises its native exception.
 */
#include "surfaces/surface.h"

#include <inttypes.h>

#include "base/json.h"
#include "base/text.h"

static bool
recognise(const struct sl_surface_request *request)
{
	(void)request;
	return true;
}

static void
put(struct sl_surface_headers *out, struct sl_slice name, struct sl_slice value)
{
	if (out->count == SL_SURFACE_HEADERS_MAX || !value.ptr ||
	    !sl_header_is_valid(name, value))
		return;
	out->items[out->count++] = (struct sl_header){ name, value };
}

/* US dollars with six decimals, rounded half up. */
static struct sl_slice
usd6(int64_t nanousd, struct sl_arena *arena)
{
	uint64_t micro = nanousd > 0 ? ((uint64_t)nanousd + 500) / 1000 : 0;
	char room[SL_U64_DIGITS + 8], *at = sl_put_u64(room, micro / 1000000);

	*at++ = '.';
	for (uint64_t unit = 100000; unit > 0; unit /= 10)
		*at++ = (char)('0' + micro / unit % 10);
	return sl_arena_dup(arena, sl_slice_make(room, (size_t)(at - room)));
}

static void
headers(const struct sl_decision *decision, struct sl_arena *arena,
        struct sl_surface_headers *out)
{
	if (decision->provider.len > 0) {
		put(out, SL_SLICE("x-gateway-decision"),
		    sl_arena_join(arena, (struct sl_slice[]){ decision->provider, SL_SLICE("/"),
		                                              decision->model }, 3));
		put(out, SL_SLICE("x-gateway-route-bucket"), decision->bucket);
		put(out, SL_SLICE("x-gateway-route-score"),
		    decision->score > 0 ? sl_arena_printf(arena, "%.2f", decision->score)
		                        : SL_SLICE("0.00"));
		put(out, SL_SLICE("x-gateway-retries"),
		    sl_arena_u64(arena, decision->attempts > 0 ? decision->attempts - 1 : 0));
	}
	/* An unknown price is no price: the header is left out rather than zero. */
	if (decision->cost_known && decision->priced)
		put(out, SL_SLICE("x-gateway-cost-usd"), usd6(decision->cost_nanousd, arena));
	put(out, SL_SLICE("x-gateway-request-id"), decision->request_id);
	if (decision->rpm_limit > 0) {
		put(out, SL_SLICE("x-ratelimit-limit-requests"),
		    sl_arena_printf(arena, "%" PRId64, decision->rpm_limit));
		put(out, SL_SLICE("x-ratelimit-remaining-requests"),
		    sl_arena_printf(arena, "%" PRId64, decision->rpm_remaining));
		put(out, SL_SLICE("x-ratelimit-reset-requests"),
		    sl_arena_printf(arena, "%" PRId64 "s", decision->rpm_reset_s));
	}
}

static struct sl_slice
trailer_names(void)
{
	return SL_SLICE("X-Gateway-Cost-Usd");
}

static void
trailers(const struct sl_decision *decision, struct sl_arena *arena,
         struct sl_surface_headers *out)
{
	if (decision->cost_known && decision->priced)
		put(out, SL_SLICE("x-gateway-cost-usd"), usd6(decision->cost_nanousd, arena));
}

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
fault(const struct sl_decision *decision, const struct sl_shape_ops *shape,
      const struct sl_fault *refused, struct sl_arena *arena, struct sl_buf *out,
      struct sl_surface_headers *fields)
{
	headers(decision, arena, fields);
	if (refused->limit_kind)
		put(fields, SL_SLICE("x-gateway-limit-kind"), sl_slice_str(refused->limit_kind));
	/* The contract's 429 is written as published. Callers of the other API
	 * families need their own envelope to raise a typed error. */
	if (refused->limit_kind && sl_slice_is(sl_slice_str(shape->family), "openai"))
		limit_body(refused, out);
	else
		shape->write_fault(refused, decision->request_id, out);
}

static bool
owns_header(struct sl_slice name)
{
	return sl_slice_istarts(name, SL_SLICE("x-gateway-"));
}

const struct sl_surface_ops sl_surface_gateway = {
	.name = "gateway",
	.recognise = recognise,
	.credential = sl_surface_sdk_credential,
	.headers = headers,
	.trailer_names = trailer_names,
	.trailers = trailers,
	.fault = fault,
	.owns_header = owns_header,
};

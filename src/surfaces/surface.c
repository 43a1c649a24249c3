/* surface.c - the list of surfaces, and what they share: where SDKs put a credential,
 * how values of headers are written. */
#include "surfaces/surface.h"

#include "base/compiler.h"
#include "base/percent.h"
#include "base/text.h"
#include "base/timestamp.h"

static const struct sl_surface_ops *const surfaces[] = {
#define SL_SURFACE(id, prefix) &sl_surface_##id,
#include "model/surfaces.def"
};

enum { SURFACE_COUNT = sizeof(surfaces) / sizeof(surfaces[0]) };

const struct sl_surface_ops *
sl_surface_recognise(const struct sl_surface_request *request)
{
	const struct sl_surface_ops *best = surfaces[SURFACE_COUNT - 1];
	enum sl_claim strongest = SL_CLAIM_NONE;

	for (size_t i = 0; i < SURFACE_COUNT; i++) {
		enum sl_claim claim = surfaces[i]->claim(request);

		if (claim > strongest) {
			strongest = claim;
			best = surfaces[i];
		}
	}
	return best;
}

bool
sl_surface_owns_header(struct sl_slice name)
{
#define SL_SURFACE(id, prefix)                              \
	sl_slice_starts(name, SL_SLICE("x-" #id "-")) || \
	    sl_slice_eq(name, sl_surface_##id.own_header) ||
	return sl_slice_starts(name, SL_SLICE("x-")) && (
#include "model/surfaces.def"
	    false);
}

static bool
page_has(const struct sl_surface_page *page, struct sl_slice path)
{
	struct sl_slice pattern = sl_slice_str(page->pattern);

	if (sl_slice_ends(pattern, SL_SLICE("/")))
		return path.len > pattern.len && sl_slice_starts(path, pattern);
	return sl_slice_eq(path, pattern);
}

const struct sl_surface_page *
sl_surface_page(const struct sl_surface_ops *surface, struct sl_slice method,
                struct sl_slice path, const char **allow)
{
	*allow = NULL;
	for (const struct sl_surface_page *page = surface->pages; page && page->pattern; page++) {
		bool is_get;

		if (!page_has(page, path))
			continue;
		is_get = strcmp(page->method, "GET") == 0;
		*allow = is_get ? "GET, HEAD" : page->method;
		if (sl_slice_is(method, page->method) || (is_get && sl_slice_is(method, "HEAD")))
			return page;
	}
	return NULL;
}

/* --- where a credential is ---------------------------------------------------- */

static void
carry(struct sl_surface_request *request, struct sl_slice value)
{
	if (value.len > 0)
		request->carried[request->carried_count++] = value;
}

/* Few callers use any of them. */
static SL_APART void
carry_others(struct sl_surface_request *request)
{
	carry(request, sl_headers_get(request->headers, "x-api-key"));
	carry(request, sl_headers_get(request->headers, "api-key"));
	carry(request, sl_headers_get(request->headers, "x-goog-api-key"));
}

static struct sl_slice
bearer_of(const struct sl_headers *headers)
{
	struct sl_slice value = sl_headers_get(headers, "authorization");

	/* As nearly everybody writes it, or in any case. */
	if (!sl_slice_starts(value, SL_SLICE("Bearer ")) &&
	    !sl_slice_istarts(value, SL_SLICE("bearer ")))
		return SL_SLICE_NONE;
	return sl_slice_trim(sl_slice_from(value, 7));
}

struct sl_surface_request
sl_surface_request_of(struct sl_slice method, struct sl_slice path, struct sl_slice query,
                      const struct sl_headers *headers, const struct sl_config *config)
{
	const uint64_t others = SL_HEADER_MARK("x-api-key") | SL_HEADER_MARK("api-key") |
	                        SL_HEADER_MARK("x-goog-api-key");
	SL_UNINIT struct sl_surface_request request; /* carried: up to its count */

	request.method = method;
	request.path = path;
	request.query = query;
	request.headers = headers;
	request.config = config;
	request.bearer = bearer_of(headers);
	request.carried_count = 0;
	carry(&request, request.bearer);
	if (!headers->marks || (headers->marks & others))
		carry_others(&request);
	return request;
}

struct sl_slice
sl_surface_prefixed(const struct sl_surface_request *request, struct sl_slice prefix)
{
	for (size_t i = 0; i < request->carried_count; i++)
		if (sl_slice_starts(request->carried[i], prefix))
			return request->carried[i];
	return SL_SLICE_NONE;
}

bool
sl_surface_keeps_shape(const struct sl_surface_request *request, struct sl_slice responses,
                       struct sl_arena *arena)
{
	struct sl_slice model;

	return sl_slice_is(responses, "native") &&
	       sl_slice_is(sl_shape_path(request->path, arena, &model), "/v1/responses");
}

struct sl_slice
sl_surface_query(struct sl_slice query, const char *name)
{
	while (query.len > 0) {
		struct sl_slice pair = sl_slice_cut(&query, '&');

		if (sl_slice_is(sl_slice_cut(&pair, '='), name))
			return pair;
	}
	return SL_SLICE_NONE;
}

struct sl_slice
sl_surface_parameter(struct sl_slice query, const char *name, struct sl_arena *arena)
{
	return sl_surface_decoded(sl_surface_query(query, name), arena);
}

struct sl_slice
sl_surface_decoded(struct sl_slice raw, struct sl_arena *arena)
{
	char *out = sl_arena_alloc(arena, raw.len + 1);
	ptrdiff_t len = out ? sl_percent_decode(raw, out) : 0;

	if (!out)
		return SL_SLICE_NONE;
	return len < 0 ? raw : sl_slice_make(out, (size_t)len);
}

struct sl_slice
sl_surface_sdk_credential(const struct sl_surface_request *request, struct sl_arena *arena)
{
	return request->carried_count > 0 ? request->carried[0]
	                                  : sl_surface_parameter(request->query, "key", arena);
}

/* --- what headers are made of -------------------------------------------------- */

void
sl_surface_put(struct sl_surface_headers *out, struct sl_slice name, struct sl_slice value)
{
	if (out->count == SL_SURFACE_HEADERS_MAX || !value.ptr ||
	    !sl_header_is_valid(name, value))
		return;
	out->items[out->count++] = (struct sl_header){ name, value };
}

struct sl_slice
sl_surface_cache(const struct sl_decision *decision)
{
	return decision->recall == SL_RECALL_HIT ? SL_SLICE("HIT") : SL_SLICE("MISS");
}

struct sl_slice
sl_surface_usd(int64_t nanousd, unsigned decimals, struct sl_arena *arena)
{
	static const uint64_t tens[] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000,
		                         100000000, 1000000000 };
	const uint64_t step = tens[9 - decimals], unit = tens[decimals];
	uint64_t value = nanousd > 0 ? (uint64_t)nanousd : 0;
	char *text = sl_arena_alloc(arena, SL_U64_DIGITS + 1 + 9), *at = text;

	if (!text)
		return SL_SLICE_NONE;
	value = value / step + (value % step * 2 >= step && step > 1);
	at = sl_put_u64(at, value / unit);
	if (decimals == 0)
		return sl_slice_make(text, (size_t)(at - text));
	*at++ = '.';
	at = sl_put_digits(at, value, decimals);
	return sl_slice_make(text, (size_t)(at - text));
}

struct sl_slice
sl_surface_uuid(struct sl_slice request_id, struct sl_arena *arena)
{
	static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	struct sl_slice ulid = sl_slice_from(request_id, 4);
	uint64_t high = 0, low = 0;
	char hex[2 * SL_HEX64_DIGITS];

	for (size_t i = 0; i < ulid.len; i++) {
		const char *digit = memchr(alphabet, ulid.ptr[i], sizeof(alphabet) - 1);

		high = high << 5 | low >> 59;
		low = low << 5 | (uint64_t)(digit ? digit - alphabet : 0);
	}
	/* Version and variant, RFC 9562: the time stays where both have it. */
	high = (high & ~(uint64_t)0xf000) | 0x7000;
	low = (low & ~((uint64_t)3 << 62)) | (uint64_t)2 << 62;
	sl_put_hex64(sl_put_hex64(hex, high), low);
	return sl_arena_printf(arena, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
	                       hex + 20);
}

/* --- what was used ---------------------------------------------------------------- */

static bool
read_moment(const struct sl_surface_view *view, const char *name, int64_t *wall_ms, bool *is_date,
            struct sl_fault *fault)
{
	struct sl_slice text = sl_surface_parameter(view->query, name, view->arena);

	*is_date = text.len == 10;
	if (text.len == 0 || sl_timestamp_parse(text, wall_ms))
		return true;
	sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
	             sl_arena_printf(view->arena, "'%s' is no date such as 2026-07-31 and no moment "
	                             "such as 2026-07-31T12:00:00Z.", name));
	fault->param = sl_slice_str(name);
	return false;
}

bool
sl_surface_period(const struct sl_surface_view *view, const char *since, const char *until,
                  unsigned days, struct sl_usage_question *question, struct sl_fault *fault)
{
	int64_t *since_wall_ms = &question->since_wall_ms;
	int64_t *until_wall_ms = &question->until_wall_ms;
	char text[SL_TIMESTAMP_LEN + 1];
	bool is_date;

	sl_timestamp_format(view->now_wall_ms, text);
	memcpy(text + 8, "01", 3); /* the first day of the month */
	*until_wall_ms = view->now_wall_ms;
	if (!sl_timestamp_parse(sl_slice_make(text, 10), since_wall_ms) ||
	    !read_moment(view, until, until_wall_ms, &is_date, fault))
		return false;
	if (is_date)
		*until_wall_ms += SL_SURFACE_DAY_MS;
	if (days > 0)
		*since_wall_ms = *until_wall_ms - (int64_t)days * SL_SURFACE_DAY_MS;
	if (!read_moment(view, since, since_wall_ms, &is_date, fault))
		return false;
	if (*since_wall_ms <= *until_wall_ms)
		return true;
	sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
	             sl_arena_printf(view->arena, "'%s' lies behind '%s'.", since, until));
	fault->param = sl_slice_str(since);
	return false;
}

struct sl_usage_hour
sl_surface_sum(const struct sl_surface_view *view, int64_t step_ms, size_t *at)
{
	int64_t step = step_ms / SL_SURFACE_HOUR_MS;
	struct sl_usage_hour sum = { .hour = view->hours[*at].hour / step * step };

	for (; *at < view->hour_count && view->hours[*at].hour / step * step == sum.hour; ++*at) {
		const struct sl_usage_hour *hour = &view->hours[*at];

		sum.requests += hour->requests;
		sum.input_tokens += hour->input_tokens;
		sum.output_tokens += hour->output_tokens;
		sum.cost_nanousd += hour->cost_nanousd;
	}
	return sum;
}

void
sl_surface_put_time(struct sl_json_writer *w, const char *name, int64_t wall_ms)
{
	char text[SL_TIMESTAMP_LEN + 1];

	sl_json_str(w, name, sl_slice_make(text, sl_timestamp_format(wall_ms, text)));
}

bool
sl_surface_is_id(struct sl_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < 0x21 || text.ptr[i] > 0x7e)
			return false;
	return text.len > 0 && text.len <= 128;
}

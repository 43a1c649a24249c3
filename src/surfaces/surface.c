/* surface.c - the list of surfaces, and where SDKs put a credential. */
#include "surfaces/surface.h"

static const struct sl_surface_ops *const surfaces[] = {
#define SL_SURFACE(id) &sl_surface_##id,
#include "surfaces/surfaces.def"
#undef SL_SURFACE
};

enum { SURFACE_COUNT = sizeof(surfaces) / sizeof(surfaces[0]) };

const struct sl_surface_ops *
sl_surface_recognise(const struct sl_surface_request *request)
{
	for (size_t i = 0; i < SURFACE_COUNT; i++)
		if (surfaces[i]->recognise(request))
			return surfaces[i];
	return surfaces[SURFACE_COUNT - 1];
}

bool
sl_surface_owns_header(struct sl_slice name)
{
	/* Contracts that clients send headers of although no surface here speaks
	 * them: those say who the caller is and must not travel either. */
	static const char *const others[] = { "x-stolabs-", "x-provider-authorization",
		                              "x-ingate-", "x-nexus-", "x-astrolabe-" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (sl_slice_istarts(name, sl_slice_str(others[i])))
			return true;
	for (size_t i = 0; i < SURFACE_COUNT; i++)
		if (surfaces[i]->owns_header(name))
			return true;
	return false;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* The value of `key` in a query string, percent-decoded. */
static struct sl_slice
query_key(struct sl_slice query, struct sl_arena *arena)
{
	while (query.len > 0) {
		struct sl_slice pair = sl_slice_cut(&query, '&');
		struct sl_slice name = sl_slice_cut(&pair, '=');
		char *out;
		size_t len = 0;

		if (!sl_slice_is(name, "key"))
			continue;
		out = sl_arena_alloc(arena, pair.len + 1);
		if (!out)
			return SL_SLICE_NONE;
		for (size_t i = 0; i < pair.len; i++) {
			int high = -1, low = -1;

			if (pair.ptr[i] == '%' && i + 2 < pair.len) {
				high = hex_digit(pair.ptr[i + 1]);
				low = hex_digit(pair.ptr[i + 2]);
			}
			if (high >= 0 && low >= 0) {
				out[len++] = (char)(high * 16 + low);
				i += 2;
			} else {
				out[len++] = pair.ptr[i];
			}
		}
		return sl_slice_make(out, len);
	}
	return SL_SLICE_NONE;
}

struct sl_slice
sl_surface_sdk_credential(const struct sl_surface_request *request, struct sl_arena *arena)
{
	static const char *const carriers[] = { "x-api-key", "api-key", "x-goog-api-key" };
	struct sl_slice value = sl_headers_get(request->headers, "authorization");

	if (sl_slice_istarts(value, SL_SLICE("bearer "))) {
		value = sl_slice_trim(sl_slice_from(value, 7));
		if (value.len > 0)
			return value;
	}
	for (size_t i = 0; i < sizeof(carriers) / sizeof(carriers[0]); i++) {
		value = sl_headers_get(request->headers, carriers[i]);
		if (value.len > 0)
			return value;
	}
	return query_key(request->query, arena);
}

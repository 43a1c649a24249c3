/* provider.c - the registry of provider kinds, and where a request goes. */
#include "providers/provider.h"

static const struct sl_provider_kind *const own[] = {
#define SL_PROVIDER(id) &sl_provider_##id,
#include "providers/providers.def"
#undef SL_PROVIDER
};
enum { OWN_COUNT = sizeof(own) / sizeof(own[0]) };

size_t
sl_provider_kind_count(void)
{
	return OWN_COUNT + sl_provider_compatible_count;
}

const struct sl_provider_kind *
sl_provider_kind_at(size_t index)
{
	if (index < OWN_COUNT)
		return own[index];
	index -= OWN_COUNT;
	return index < sl_provider_compatible_count ? &sl_provider_compatible[index] : NULL;
}

const struct sl_provider_kind *
sl_provider_kind_find(struct sl_slice name)
{
	for (size_t i = 0; i < sl_provider_kind_count(); i++)
		if (sl_slice_is(name, sl_provider_kind_at(i)->name))
			return sl_provider_kind_at(i);
	return NULL;
}

enum sl_auth_mode
sl_provider_auth(const struct sl_provider_kind *kind, const struct sl_config_provider *config)
{
	if (config->auth != SL_AUTH_DEFAULT)
		return config->auth;
	if (!sl_secret_empty(&config->api_key) &&
	    (kind->auth == SL_AUTH_AWS || kind->auth == SL_AUTH_GOOGLE))
		return SL_AUTH_BEARER;
	if (sl_secret_empty(&config->api_key) && config->cloud.client_id.len > 0)
		return SL_AUTH_ENTRA;
	return kind->auth;
}

bool
sl_provider_serves(const struct sl_provider_kind *kind, const struct sl_shape_ops *shape)
{
	if (kind->family && kind->family != shape->family &&
	    strcmp(kind->family, shape->family) != 0)
		return false;
	if (!kind->shapes)
		return true;
	for (const char *const *name = kind->shapes; *name; name++)
		if (strcmp(*name, shape->name) == 0)
			return true;
	return false;
}

bool
sl_provider_is_region(struct sl_slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	return text.len > 0 && text.len <= 40;
}

/* --- targets ------------------------------------------------------------------ */

/* One path segment: everything but unreserved characters is encoded, so that no
 * model id can leave its place. RFC 3986, section 2.3. */
static struct sl_slice
encode_segment(struct sl_slice text, struct sl_arena *arena)
{
	static const char digits[] = "0123456789ABCDEF";
	char *out = sl_arena_alloc(arena, text.len * 3 + 1);
	size_t len = 0;

	if (!out)
		return SL_SLICE_NONE;
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
		    c == '-' || c == '.' || c == '_' || c == '~') {
			out[len++] = (char)c;
			continue;
		}
		out[len++] = '%';
		out[len++] = digits[c >> 4];
		out[len++] = digits[c & 15];
	}
	/* "." and ".." are places, not names. */
	if (sl_slice_is(text, ".") || sl_slice_is(text, ".."))
		return SL_SLICE_NONE;
	return sl_slice_make(out, len);
}

/* text with the first `{name}` replaced. */
static struct sl_slice
fill(struct sl_slice text, struct sl_slice name, struct sl_slice value, struct sl_arena *arena)
{
	ptrdiff_t at = sl_slice_search(text, name);
	struct sl_slice behind;

	if (at < 0)
		return text;
	behind = sl_slice_from(text, (size_t)at + name.len);
	return sl_arena_join(arena, (struct sl_slice[]){ sl_slice_upto(text, (size_t)at), value,
	                                                  behind }, 3);
}

/* The base without the version that the path brings itself. */
static struct sl_slice
trim_version(struct sl_slice base, struct sl_slice path)
{
	size_t end = 1;
	struct sl_slice first;

	while (end < path.len && path.ptr[end] != '/')
		end++;
	first = sl_slice_upto(path, end);
	if (sl_slice_starts(first, SL_SLICE("/v")) && sl_slice_ends(base, first))
		base.len -= first.len;
	return base;
}

struct sl_slice
sl_provider_join(struct sl_slice base, struct sl_slice path,
                 const struct sl_provider_request *request, struct sl_slice query,
                 struct sl_arena *arena)
{
	struct sl_slice model;

	base = trim_version(base, path);
	if (sl_slice_search(path, SL_SLICE("{model}")) >= 0) {
		model = encode_segment(request->model, arena);
		if (model.len == 0)
			return SL_SLICE_NONE;
		path = fill(path, SL_SLICE("{model}"), model, arena);
		path = fill(path, SL_SLICE("{verb}"), sl_slice_str(request->verb), arena);
	}
	return sl_arena_join(arena, (struct sl_slice[]){ base, path,
	                     query.len ? SL_SLICE("?") : SL_SLICE_NONE, query }, 4);
}

/* The caller's own path at the provider's host: a version at the end of the base
 * is the provider's way of writing paths, the caller brings a whole one. */
static struct sl_slice
pass_on(const struct sl_provider_request *request, struct sl_arena *arena)
{
	struct sl_slice base = request->base_path;
	size_t last = base.len;

	while (last > 0 && base.ptr[last - 1] != '/')
		last--;
	if (last > 0 && sl_slice_starts(sl_slice_from(base, last), SL_SLICE("v")))
		base.len = last - 1;
	return sl_arena_join(arena, (struct sl_slice[]){ base, request->path,
	                     request->query.len ? SL_SLICE("?") : SL_SLICE_NONE,
	                     request->query }, 4);
}

struct sl_slice
sl_provider_target(const struct sl_provider_kind *kind,
                   const struct sl_provider_request *request, struct sl_arena *arena)
{
	if (request->path.len > 0)
		return pass_on(request, arena);
	if (!sl_provider_serves(kind, request->shape))
		return SL_SLICE_NONE;
	if (kind->target)
		return kind->target(request, arena);
	return sl_provider_join(request->base_path, sl_slice_str(request->shape->upstream_path),
	                        request, request->query, arena);
}

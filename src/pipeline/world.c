/* world.c - build a world from a checked configuration. */
#include "pipeline/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/dial.h"
#include "pipeline/alerts.h"

enum {
	CATALOG_FILE_MAX = 8 * 1024 * 1024,
};

static bool
complain(struct sl_buf *reason, const char *what, struct sl_slice name, const char *why)
{
	sl_buf_printf(reason, "%s '%.*s': %s\n", what, SL_ARG(name), why);
	return false;
}

static bool
read_file(struct sl_slice path, struct sl_arena *arena, struct sl_slice *out)
{
	FILE *file = fopen(path.ptr, "re");
	char *text;
	size_t len;

	if (!file)
		return false;
	text = sl_arena_alloc(arena, CATALOG_FILE_MAX);
	len = text ? fread(text, 1, CATALOG_FILE_MAX, file) : 0;
	fclose(file);
	*out = sl_slice_make(text, len);
	return text && len < CATALOG_FILE_MAX;
}

static bool
load_catalog(struct sl_world *world, struct sl_buf *reason)
{
	struct sl_config *config = world->config;
	struct sl_slice text = sl_catalog_builtin_text();
	struct sl_catalog_error error = { 0 };

	if (config->catalog.len > 0 && !read_file(config->catalog, &config->arena, &text))
		return complain(reason, "catalog", config->catalog,
		                "cannot be read (it must be a file under 8 MiB)");
	world->catalog = sl_catalog_parse(text, &config->arena, &error);
	if (!world->catalog) {
		sl_buf_printf(reason, "%.*s:%u:%u: %s\n", SL_ARG(config->catalog), error.line,
		              error.column, error.reason ? error.reason : "out of memory");
		return false;
	}
	return true;
}

/* A configured price is filed under the provider's name, the shipped ones under
 * its kind: two providers of one kind may cost differently. */
static bool
apply_prices(struct sl_world *world, struct sl_buf *reason)
{
	struct sl_config *config = world->config;

	for (size_t i = 0; i < config->price_count; i++) {
		const struct sl_config_price *price = &config->prices[i];

		if (sl_catalog_override(world->catalog, &config->arena, price->provider,
		                        price->model, price->fields) != SL_OK)
			return complain(reason, "price", price->model, "is not a valid price list");
	}
	return true;
}

static enum sl_http2_mode
http2_mode(struct sl_slice text)
{
	if (sl_slice_is(text, "off"))
		return SL_HTTP2_OFF;
	if (sl_slice_is(text, "only"))
		return SL_HTTP2_ONLY;
	return SL_HTTP2_AUTO;
}

/* NULL: *reason says why. */
static struct sl_cidr *
parse_ranges(const struct sl_config_strings *allow, struct sl_arena *arena, struct sl_buf *reason)
{
	struct sl_cidr *ranges = SL_ARENA_ARRAY(arena, struct sl_cidr, allow->count + 1);

	if (!ranges)
		complain(reason, "allow_cidr", SL_SLICE_NONE, "out of memory");
	for (size_t i = 0; ranges && i < allow->count; i++)
		if (sl_cidr_parse(allow->items[i], &ranges[i]) != SL_OK) {
			complain(reason, "allow_cidr", allow->items[i],
			         "is not a network such as 10.0.0.0/8");
			ranges = NULL;
		}
	return ranges;
}

static bool
set_policy(struct sl_upstream *up, struct sl_arena *arena, struct sl_buf *reason)
{
	up->origin.allow = parse_ranges(&up->config->allow_cidr, arena, reason);
	if (!up->origin.allow)
		return false;
	up->origin.allow_count = up->config->allow_cidr.count;
	up->origin.host_is_literal = up->url.host_is_literal;
	return true;
}

static bool
set_tls(struct sl_upstream *up, struct sl_arena *arena, struct sl_buf *reason)
{
	const char *why = NULL;
	const char *ca_file = NULL;

	if (!up->url.tls)
		return true;
	if (up->config->ca_file.len > 0)
		ca_file = sl_arena_strdup(arena, up->config->ca_file);
	up->origin.tls = sl_tls_client_new(ca_file, up->origin.http2 != SL_HTTP2_OFF, &why);
	if (!up->origin.tls)
		return complain(reason, "provider", up->config->name,
		                why ? why : "TLS could not be set up");
	return true;
}

/* On the arena; releases the buffer. */
static struct sl_slice
with_ranges(struct sl_buf *buf, const struct sl_config_strings *allow, struct sl_arena *arena)
{
	struct sl_slice text;

	for (size_t i = 0; i < allow->count; i++)
		sl_buf_printf(buf, "|%.*s", SL_ARG(allow->items[i]));
	text = sl_arena_dup(arena, sl_buf_slice(buf));
	sl_buf_release(buf);
	return text;
}

/* Connections may be shared only between origins that are equal in everything
 * that decides whom one talks to and on what terms. */
static struct sl_slice
identity(const struct sl_upstream *up, struct sl_arena *arena)
{
	struct sl_buf buf;

	sl_buf_init(&buf, 64 * 1024);
	sl_buf_printf(&buf, "%s|%.*s|%u|%d|%d|%.*s", up->url.tls ? "https" : "http",
	              SL_ARG(up->url.host), (unsigned)up->url.port, (int)up->origin.http2,
	              up->origin.host_is_literal, SL_ARG(up->config->ca_file));
	return with_ranges(&buf, &up->config->allow_cidr, arena);
}

/* What needs nothing of a request. */
static bool
make_targets(struct sl_upstream *up, struct sl_arena *arena)
{
	up->targets = SL_ARENA_ARRAY(arena, struct sl_slice, sl_shape_count());
	for (size_t i = 0; up->targets && !up->kind->target && i < sl_shape_count(); i++) {
		const struct sl_provider_request request = { .shape = sl_shape_at(i),
			                                     .base_path = up->url.path };

		if (request.shape->upstream_path && !strchr(request.shape->upstream_path, '{'))
			up->targets[i] = sl_provider_target(up->kind, &request, arena);
	}
	return up->targets != NULL;
}

static bool
make_upstream(struct sl_world *world, size_t index, struct sl_buf *reason)
{
	struct sl_arena *arena = &world->config->arena;
	struct sl_upstream *up = &world->upstreams[index];
	const struct sl_config_provider *config = &world->config->providers[index];
	struct sl_slice base_url = config->base_url;

	up->config = config;
	up->kind = sl_provider_kind_find(config->kind);
	if (!up->kind)
		return complain(reason, "provider", config->name, "its kind does not exist");
	if (base_url.len == 0)
		base_url = up->kind->address ? up->kind->address(config->cloud.region, arena)
		                             : sl_slice_str(up->kind->base_url);
	if (sl_url_parse(base_url, &up->url) != SL_OK)
		return complain(reason, "provider", config->name, "its base_url is not a URL");
	up->origin = (struct sl_origin){
		.host = up->url.host,
		.port = up->url.port,
		.timeouts = { .connect_ms = (uint32_t)config->timeouts.connect_ms,
		              .first_byte_ms = (uint32_t)config->timeouts.first_byte_ms,
		              .idle_ms = (uint32_t)config->timeouts.idle_ms,
		              .total_ms = (uint32_t)config->timeouts.total_ms },
		.http2 = http2_mode(config->http2),
		.max_connections = (uint32_t)config->max_connections,
	};
	if (!set_policy(up, arena, reason) || !set_tls(up, arena, reason) ||
	    !sl_credential_prepare(up, arena, reason))
		return false;
	if (!make_targets(up, arena))
		return complain(reason, "provider", config->name, "out of memory");
	up->origin.identity = identity(up, arena);
	return true;
}

static bool
prepare_media(struct sl_world *world, struct sl_buf *reason)
{
	const struct sl_config_media *media = &world->config->media;
	const char *why = NULL;
	struct sl_buf buf;

	if (!media->fetch)
		return true;
	sl_buf_init(&buf, 64 * 1024);
	sl_buf_append_str(&buf, "media");
	world->media.identity = with_ranges(&buf, &media->allow_cidr, &world->config->arena);
	world->media.allow = parse_ranges(&media->allow_cidr, &world->config->arena, reason);
	world->media.allow_count = media->allow_cidr.count;
	world->media.tls = sl_tls_client_new(NULL, false, &why);
	if (!world->media.tls)
		return complain(reason, "media.fetch", SL_SLICE("true"),
		                why ? why : "TLS could not be set up");
	return world->media.allow != NULL;
}

/* What the banner and the page propose: an alias if there is one, else the
 * catalogue's newest small chat model of the first provider. */
static void
choose_sample(struct sl_world *world)
{
	const struct sl_config *config = world->config;
	const struct sl_model_card *best = NULL;

	if (config->model_count > 0) {
		world->sample_model = config->models[0].name;
		return;
	}
	for (size_t p = 0; p < config->provider_count && !best; p++) {
		const struct sl_upstream *up = &world->upstreams[p];

		if (!up->config->enabled)
			continue;
		if (sl_slice_is(up->config->kind, "mock")) {
			world->sample_model = SL_SLICE("gpt-4o-mini");
			return;
		}
		for (size_t i = 0; i < sl_catalog_count(world->catalog); i++) {
			const struct sl_model_card *card = sl_catalog_at(world->catalog, i);

			if (!sl_slice_eq(card->provider, up->config->kind) ||
			    !(card->output_modalities & SL_MODALITY_TEXT) ||
			    !((card->price.present >> SL_USAGE_OUTPUT) & 1))
				continue;
			if (!best ||
			    card->price.nanousd[SL_USAGE_OUTPUT] < best->price.nanousd[SL_USAGE_OUTPUT])
				best = card;
		}
		if (best)
			world->sample_model =
			    sl_arena_printf(&world->config->arena, "%.*s/%.*s",
			                    SL_ARG(up->config->name), SL_ARG(best->model));
	}
}

static bool
make_offers(struct sl_world *world)
{
	struct sl_config *config = world->config;
	bool *own_names = SL_ARENA_ARRAY(&config->arena, bool, config->provider_count + 1);

	if (!own_names)
		return false;
	for (size_t i = 0; i < config->provider_count; i++)
		own_names[i] = (world->upstreams[i].kind->quirks & SL_QUIRK_OWN_NAMES) != 0;
	return sl_offers_make(config, world->catalog, own_names, &config->arena, &world->offers);
}

static void
world_free(struct sl_world *world)
{
	struct sl_config *config = world->config;

	for (size_t i = 0; world->upstreams && i < config->provider_count; i++) {
		sl_credential_release(&world->upstreams[i]);
		sl_tls_unref(world->upstreams[i].origin.tls);
	}
	sl_tls_unref(world->alert.origin.tls);
	sl_tls_unref(world->media.tls);
	sl_config_free(config);
	free(world);
}

/* Of the worlds made so far. */
static _Atomic uint64_t serials = 1;

struct sl_world *
sl_world_new(struct sl_config *config_take, struct sl_buf *reason)
{
	struct sl_world *world = calloc(1, sizeof(*world));

	if (!world) {
		sl_config_free(config_take);
		return NULL;
	}
	world->config = config_take;
	world->serial = atomic_fetch_add(&serials, 1);
	atomic_init(&world->refs, 1);
	world->upstreams = SL_ARENA_ARRAY(&config_take->arena, struct sl_upstream,
	                                  config_take->provider_count + 1);
	if (!world->upstreams || !load_catalog(world, reason) || !apply_prices(world, reason))
		goto fail;
	for (size_t i = 0; i < config_take->provider_count; i++)
		if (!make_upstream(world, i, reason))
			goto fail;
	if (!make_offers(world) || !sl_alerts_prepare(world, reason) ||
	    !prepare_media(world, reason))
		goto fail;
	choose_sample(world);
	return world;
fail:
	world_free(world);
	return NULL;
}

void
sl_world_inherit(struct sl_world *world, const struct sl_world *from)
{
	for (size_t i = 0; i < world->config->provider_count; i++)
		for (size_t k = 0; k < from->config->provider_count; k++) {
			struct sl_upstream *up = &world->upstreams[i];
			const struct sl_upstream *was = &from->upstreams[k];

			if (sl_slice_eq(up->config->name, was->config->name) &&
			    sl_slice_eq(up->url.host, was->url.host) && up->url.port == was->url.port)
				sl_keyset_inherit(&up->keys, &was->keys);
		}
}

struct sl_world *
sl_world_ref(struct sl_world *world)
{
	atomic_fetch_add_explicit(&world->refs, 1, memory_order_relaxed);
	return world;
}

void
sl_world_unref(struct sl_world *world)
{
	if (world && atomic_fetch_sub_explicit(&world->refs, 1, memory_order_acq_rel) == 1)
		world_free(world);
}

const struct sl_model_card *
sl_world_card(const struct sl_world *world, struct sl_slice provider, struct sl_slice model)
{
	const struct sl_model_card *card = sl_catalog_find(world->catalog, provider, model);

	for (size_t i = 0; i < world->config->provider_count && !card; i++)
		if (sl_slice_eq(world->config->providers[i].name, provider))
			card = sl_catalog_find(world->catalog, world->config->providers[i].kind, model);
	return card;
}

const struct sl_config *
sl_world_config(const struct sl_world *world)
{
	return world->config;
}

struct sl_slice
sl_world_sample_model(const struct sl_world *world)
{
	return world->sample_model;
}

struct sl_server_limits
sl_world_server_limits(const struct sl_world *world)
{
	const struct sl_config_limits *limits = &world->config->limits;

	return (struct sl_server_limits){
		.header_bytes = limits->header_bytes,
		.header_count = (uint32_t)limits->header_count,
		.body_bytes = limits->body_bytes,
		.header_timeout_ms = (uint32_t)limits->header_timeout_ms,
		.body_timeout_ms = (uint32_t)limits->body_timeout_ms,
		.keepalive_timeout_ms = (uint32_t)limits->keepalive_timeout_ms,
		.write_stall_ms = (uint32_t)limits->write_stall_ms,
		.connections = (uint32_t)limits->connections,
		.h2_streams = (uint32_t)limits->h2_streams,
		.write_buffer_bytes = limits->write_buffer_bytes,
		.requests_per_connection = (uint32_t)limits->requests_per_connection,
	};
}

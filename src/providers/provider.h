/* provider.h - a place that serves some shapes.
 *
 * Mostly data: base URL, environment variables, credential scheme, the shapes
 * it speaks and where, quirks. A provider never sees a caller and touches no
 * socket: it describes a request, the pipeline performs it.
 *
 * To add an OpenAI-compatible provider: one row in compatible.def. To add one
 * with ways of its own: one file and one line in providers.def.
 */
#ifndef SL_PROVIDERS_PROVIDER_H
#define SL_PROVIDERS_PROVIDER_H

#include "base/arena.h"
#include "base/slice.h"
#include "model/config.h"
#include "shapes/shape.h"

enum sl_provider_quirk {
	SL_QUIRK_NO_STREAM_OPTIONS = 1 << 0, /* rejects stream_options */
	SL_QUIRK_MODEL_IN_PATH = 1 << 1,     /* Azure deployments, Gemini */
	SL_QUIRK_KEYLESS = 1 << 2,           /* usually without a credential (local servers) */
	SL_QUIRK_DEVELOPER_ROLE = 1 << 3,    /* chat: knows the role `developer` */
	SL_QUIRK_OWN_NAMES = 1 << 4,         /* models are called as the operator deployed them */
	SL_QUIRK_INLINE_MEDIA = 1 << 5,      /* takes pictures as data only, no URLs */
};

/* A URL split, as the dialler needs it. */
struct sl_url {
	bool            tls;
	struct sl_slice host; /* no brackets */
	uint16_t        port;
	struct sl_slice path; /* without trailing slash, may be empty */
	struct sl_slice query;
	bool            host_is_literal; /* an IP address, or "localhost" */
};
/* Strict: http or https, no userinfo, no fragment, no control, backslash or
 * percent in the host; canonical IP literals only. SL_ESYNTAX otherwise. */
enum sl_err sl_url_parse(struct sl_slice text, struct sl_url *out);

/* What the provider is asked to describe. */
struct sl_provider_request {
	const struct sl_shape_ops *shape;
	const char                *verb;  /* of the shape's path */
	struct sl_slice            path;  /* to pass on as it is; empty: the shape's own */
	struct sl_slice            model; /* provider's id */
	bool                       stream;
	struct sl_slice            query; /* the caller's, credentials removed; may be empty */
	struct sl_slice            base_path;   /* of the configured base URL */
	struct sl_slice            base_query;  /* the same */
	struct sl_slice            api_version; /* configured; may be empty */
	struct sl_slice            region, project; /* configured; may be empty */
};

/* An environment variable and the field of struct sl_config_cloud it fills where
 * none before it did. */
struct sl_provider_variable {
	const char *name;
	size_t      offset;
	bool        secret;
};

struct sl_provider_kind {
	const char *name;       /* "openai" as written in the configuration */
	const char *title;      /* "OpenAI" */
	const char *base_url;   /* default; NULL: must be configured */
	const char *env_key[4]; /* environment variables that hold a credential, NULL-filled */
	const char *env_base[3];/* ... that give the base URL */
	const char *env_version[3]; /* ... that give an API version */
	const struct sl_provider_variable *env_cloud; /* ... for `cloud`, ends with a NULL name */
	enum sl_auth_mode auth; /* never SL_AUTH_DEFAULT or SL_AUTH_PASSTHROUGH */
	/* The base URL for a region, on the arena, where base_url is NULL; empty: the
	 * region is none. NULL: it must be configured. */
	struct sl_slice (*address)(struct sl_slice region, struct sl_arena *arena);
	const char *auth_header;/* for SL_AUTH_HEADER: "x-api-key" */
	const char *family;     /* shapes of this family are spoken natively; NULL: of every one */
	const char *const *shapes; /* names of those it serves, NULL-terminated; NULL: all of the family */
	unsigned    quirks;
	const char *body_version; /* as in struct sl_shape_target; usually NULL */
	const struct sl_config_header *headers; /* sent unless the caller sent one: anthropic-version */
	size_t      header_count;
	/* Target (path and query) for a request, on the arena; empty when this
	 * provider does not serve the shape. NULL: base_path + upstream_path. */
	struct sl_slice (*target)(const struct sl_provider_request *request,
	                          struct sl_arena *arena);
};

size_t sl_provider_kind_count(void);
const struct sl_provider_kind *sl_provider_kind_at(size_t index);
const struct sl_provider_kind *sl_provider_kind_find(struct sl_slice name); /* NULL: unknown */

/* For the rows of compatible.def. */
extern const struct sl_provider_kind sl_provider_compatible[];
extern const size_t sl_provider_compatible_count;
#define SL_PROVIDER(id) extern const struct sl_provider_kind sl_provider_##id;
#include "providers/providers.def"
#undef SL_PROVIDER

/* How requests to a configured provider are authenticated; never
 * SL_AUTH_DEFAULT. A key that was given is sent as a key, whatever else the kind
 * could do. */
enum sl_auth_mode sl_provider_auth(const struct sl_provider_kind *kind,
                                   const struct sl_config_provider *config);
bool sl_provider_serves(const struct sl_provider_kind *kind, const struct sl_shape_ops *shape);
/* Path and query of the request; empty when the kind does not serve the shape
 * or memory is out. */
struct sl_slice sl_provider_target(const struct sl_provider_kind *kind,
                                   const struct sl_provider_request *request,
                                   struct sl_arena *arena);

/* Letters, digits and hyphens, for it becomes part of a host name. */
bool sl_provider_is_region(struct sl_slice text);

/* For kinds with a target function of their own:
 * base + path with {model} (percent-encoded as one segment) and {verb} filled
 * in, then the query. A base that ends as `path` begins ("/v1") is not repeated. */
struct sl_slice sl_provider_join(struct sl_slice base, struct sl_slice path,
                                 const struct sl_provider_request *request,
                                 struct sl_slice query, struct sl_arena *arena);

#endif

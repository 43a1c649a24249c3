/* config_check_providers.c - kinds, URLs and credentials of providers. */
#include "app/config_loader.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

#include "net/dial.h"
#include "net/trust.h"
#include "providers/provider.h"

enum { PROVIDERS_MAX = 1000 };

static struct sl_config_mark
mark_or_element(const struct sl_loader *loader, const void *field, const void *element)
{
	struct sl_config_mark mark = sl_loader_where(loader, field);

	return mark.line ? mark : sl_loader_where_element(loader, element);
}

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.';
}

/* The names stand in URLs, headers and "provider/model". */
static bool
is_provider_name(struct sl_slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!is_name_char(name.ptr[i]))
			return false;
	return name.len > 0 && name.len <= 64;
}

/* They go into paths, queries and header fields as they are. */
static void
check_ids(struct sl_loader *loader, const struct sl_config_provider *provider)
{
	const struct {
		const char            *name;
		const struct sl_slice *id;
	} ids[] = {
		{ "api_version", &provider->api_version },
		{ "access_key_id", &provider->cloud.access_key_id },
		{ "project", &provider->cloud.project },
		{ "tenant_id", &provider->cloud.tenant_id },
		{ "client_id", &provider->cloud.client_id },
	};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		for (size_t k = 0; k < ids[i].id->len; k++)
			if (!is_name_char(ids[i].id->ptr[k]) && ids[i].id->ptr[k] != ':') {
				sl_config_error(loader->report, sl_loader_where(loader, ids[i].id),
				                "%s holds more than letters, digits, - _ . and : — "
				                "write it as the provider shows it", ids[i].name);
				break;
			}
}

static bool
is_loopback(struct sl_slice host)
{
	return sl_slice_starts(host, SL_SLICE("127.")) || sl_slice_is(host, "localhost") ||
	       sl_slice_is(host, "::1");
}

bool
sl_loader_is_own_address(const struct sl_loader *loader, struct sl_slice text)
{
	const struct sl_config *config = loader->config;
	struct sl_url url;

	if (sl_url_parse(text, &url) != SL_OK)
		return false;
	for (size_t i = 0; i < config->listen_count; i++) {
		const struct sl_config_listen *own = &config->listen[i];
		bool any = sl_slice_is(own->host, "0.0.0.0") || sl_slice_is(own->host, "::");

		if (own->port == url.port && url.port != 0 &&
		    (sl_slice_eq(own->host, url.host) ||
		     (is_loopback(url.host) && (any || is_loopback(own->host)))))
			return true;
	}
	return false;
}

static const struct sl_provider_kind *
check_kind(struct sl_loader *loader, struct sl_config_provider *provider)
{
	enum { KINDS_MAX = 128 };
	const struct sl_provider_kind *kind;
	const char *names[KINDS_MAX];
	const char *nearest;
	size_t count = 0;

	if (!provider->kind.len)
		provider->kind = provider->name;
	kind = sl_provider_kind_find(provider->kind);
	if (kind)
		return kind;
	if (!sl_loader_written(loader, &provider->kind)) {
		sl_config_error(loader->report, sl_loader_where_element(loader, provider),
		                "provider %.*s has no kind, and its name is none — add kind: openai "
		                "for anything that speaks the OpenAI API",
		                SL_ARG(provider->name));
		return NULL;
	}
	for (; count < sl_provider_kind_count() && count < KINDS_MAX; count++)
		names[count] = sl_provider_kind_at(count)->name;
	nearest = sl_config_nearest(provider->kind, names, count);
	sl_config_error(loader->report, sl_loader_where(loader, &provider->kind),
	                "provider %.*s: unknown kind — %s%s%s", SL_ARG(provider->name),
	                nearest ? "did you mean " : "write openai for anything that speaks the "
	                                            "OpenAI API",
	                nearest ? nearest : "", nearest ? "?" : "");
	return NULL;
}

/* A literal address that no option opens. */
static bool
is_never_reached(const struct sl_url *url)
{
	struct sl_origin origin = { .host = url->host, .host_is_literal = true };
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	char text[INET6_ADDRSTRLEN];

	snprintf(text, sizeof(text), "%.*s", SL_ARG(url->host));
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return !sl_dial_allowed(&origin, (const struct sockaddr *)&in);
	if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
		return !sl_dial_allowed(&origin, (const struct sockaddr *)&in6);
	return false;
}

static void
check_url(struct sl_loader *loader, const struct sl_config_provider *provider,
          const struct sl_provider_kind *kind)
{
	struct sl_config_mark mark = mark_or_element(loader, &provider->base_url, provider);
	struct sl_url url;

	if (!provider->base_url.len && kind->address) {
		if (!sl_provider_is_region(provider->cloud.region))
			sl_config_error(loader->report,
			                mark_or_element(loader, &provider->cloud.region, provider),
			                "provider %.*s needs a region such as %s — it decides the "
			                "address", SL_ARG(provider->name),
			                kind->auth == SL_AUTH_AWS ? "us-east-1" : "us-central1");
		return;
	}
	if (!provider->base_url.len) {
		/* The simulated provider gets its address when it is started. */
		if (!kind->base_url && strcmp(kind->name, "mock") != 0)
			sl_config_error(loader->report, mark,
			                "provider %.*s needs a base_url — kind %s has no address of "
			                "its own",
			                SL_ARG(provider->name), kind->name);
		return;
	}
	if (sl_url_parse(provider->base_url, &url) != SL_OK) {
		/* What the file has was told where it was read. */
		if (!sl_loader_written(loader, &provider->base_url))
			sl_config_error(loader->report, mark,
			                "the base URL of provider %.*s is not usable — write "
			                "https://HOST[:PORT][/PATH] without user, password or #",
			                SL_ARG(provider->name));
	} else if (is_never_reached(&url)) {
		sl_config_error(loader->report, mark,
		                "provider %.*s is at %.*s, which is never connected to: it hands out "
		                "this machine's credentials — give the provider's own address",
		                SL_ARG(provider->name), SL_ARG(url.host));
	} else if (sl_loader_is_own_address(loader, provider->base_url)) {
		sl_config_error(loader->report, mark,
		                "provider %.*s is this gateway itself: every request would come back "
		                "— give the provider's own address",
		                SL_ARG(provider->name));
	} else if (!url.tls && !url.host_is_literal && !sl_secret_empty(&provider->api_key)) {
		sl_config_warn(loader->report, mark,
		               "provider %.*s gets its credential over http, readable on the way "
		               "— use https",
		               SL_ARG(provider->name));
	}
}

/* The usual variable stands in for an api_key that was left out, but only
 * towards the kind's own address: a credential goes to no other host. */
static void
borrow_key(struct sl_loader *loader, struct sl_config_provider *provider,
           const struct sl_provider_kind *kind)
{
	const char *name;

	if (sl_loader_written(loader, &provider->api_key) || provider->base_url.len ||
	    !kind->base_url || provider->from_environment)
		return;
	name = sl_loader_env_first(loader, kind->env_key,
	                           sizeof(kind->env_key) / sizeof(kind->env_key[0]));
	if (name && sl_secret_set(&provider->api_key,
	                          sl_slice_trim(sl_slice_str(loader->source->env(name)))) != SL_OK)
		loader->out_of_memory = true;
}

/* What a cloud's own way to authenticate lacks, or NULL. */
static const char *
missing_cloud(const struct sl_config_cloud *cloud, enum sl_auth_mode mode)
{
	if (mode == SL_AUTH_AWS && !cloud->access_key_id.len)
		return "access_key_id and secret_access_key, or api_key";
	if (mode == SL_AUTH_AWS && sl_secret_empty(&cloud->secret_access_key))
		return "secret_access_key";
	if (mode == SL_AUTH_GOOGLE && !cloud->credentials_file.len)
		return "credentials_file, the JSON key of a service account";
	if (mode == SL_AUTH_ENTRA && !cloud->client_id.len)
		return "client_id";
	if (mode == SL_AUTH_ENTRA && sl_secret_empty(&cloud->client_secret))
		return "client_secret";
	if (mode == SL_AUTH_ENTRA && !cloud->tenant_id.len && !cloud->token_url.len)
		return "tenant_id";
	return NULL;
}

static void
check_cloud(struct sl_loader *loader, const struct sl_config_provider *provider,
            enum sl_auth_mode mode)
{
	const char *missing = missing_cloud(&provider->cloud, mode);
	struct sl_url url;
	char what[128];

	if (missing)
		sl_config_error(loader->report, sl_loader_where_element(loader, provider),
		                "provider %.*s cannot authenticate — add %s",
		                SL_ARG(provider->name), missing);
	if ((mode == SL_AUTH_GOOGLE || mode == SL_AUTH_ENTRA) &&
	    sl_url_parse(provider->cloud.token_url, &url) == SL_OK && !url.tls && !url.host_is_literal)
		sl_config_error(loader->report, sl_loader_where(loader, &provider->cloud.token_url),
		                "token_url would send a credential over http — write https://");
	snprintf(what, sizeof(what), "providers.%.*s.credentials_file", SL_ARG(provider->name));
	if (mode == SL_AUTH_GOOGLE)
		sl_loader_check_readable(loader, &provider->cloud.credentials_file, what);
	/* It becomes part of a path. */
	if (mode == SL_AUTH_GOOGLE && provider->cloud.region.len &&
	    !sl_provider_is_region(provider->cloud.region))
		sl_config_error(loader->report, sl_loader_where(loader, &provider->cloud.region),
		                "not a location — write one such as us-central1 or global");
}

static void
check_credential(struct sl_loader *loader, struct sl_config_provider *provider,
                 const struct sl_provider_kind *kind)
{
	enum sl_auth_mode mode;
	bool needs;

	borrow_key(loader, provider, kind);
	if (!provider->enabled)
		return;
	mode = sl_provider_auth(kind, provider);
	if (mode == SL_AUTH_AWS || mode == SL_AUTH_GOOGLE || mode == SL_AUTH_ENTRA) {
		check_cloud(loader, provider, mode);
		return;
	}
	needs = (mode == SL_AUTH_BEARER || mode == SL_AUTH_HEADER) &&
	        (provider->auth != SL_AUTH_DEFAULT || !(kind->quirks & SL_QUIRK_KEYLESS));
	if (needs && sl_secret_empty(&provider->api_key) &&
	    !sl_config_report_has(loader->report, sl_loader_where(loader, &provider->api_key)))
		sl_config_warn(loader->report, mark_or_element(loader, &provider->api_key, provider),
		               "provider %.*s has no credential: it will refuse every request — set "
		               "%s, or auth: none or passthrough",
		               SL_ARG(provider->name),
		               kind->env_key[0] ? kind->env_key[0] : "api_key");
	if (!needs && provider->auth != SL_AUTH_DEFAULT && !sl_secret_empty(&provider->api_key))
		sl_config_warn(loader->report, sl_loader_where(loader, &provider->api_key),
		               "provider %.*s: api_key is never sent with this auth — remove one of "
		               "the two",
		               SL_ARG(provider->name));
}

void
sl_loader_check_ranges(struct sl_loader *loader, const struct sl_config_strings *ranges)
{
	struct sl_cidr cidr;

	for (size_t i = 0; i < ranges->count; i++)
		if (sl_cidr_parse(ranges->items[i], &cidr) != SL_OK)
			sl_config_error(loader->report, sl_loader_where(loader, &ranges->items[i]),
			                "not a range of addresses — write 10.0.0.0/8 or fd00::/8");
}

static void
check_one(struct sl_loader *loader, struct sl_config_provider *provider,
          const struct sl_config_names *names)
{
	const struct sl_provider_kind *kind;
	char what[128];

	if (!is_provider_name(provider->name))
		sl_config_error(loader->report, sl_loader_where_element(loader, provider),
		                "a provider's name is 1 to 64 letters, digits, - _ and . — rename it");
	check_ids(loader, provider);
	kind = check_kind(loader, provider);
	if (kind) {
		check_credential(loader, provider, kind);
		check_url(loader, provider, kind);
	}
	snprintf(what, sizeof(what), "providers.%.*s.ca_file", SL_ARG(provider->name));
	sl_loader_check_readable(loader, &provider->ca_file, what);
	/* PATH options are arena copies, so they end in NUL. */
	if (provider->ca_file.len && access(provider->ca_file.ptr, R_OK) == 0 &&
	    !sl_trust_check(provider->ca_file.ptr))
		sl_config_error(loader->report, sl_loader_where(loader, &provider->ca_file),
		                "%s: %s holds no certificate in PEM form — name the file with the "
		                "certificates of the authorities to be trusted",
		                what, provider->ca_file.ptr);
	sl_loader_check_ranges(loader, &provider->allow_cidr);
	for (size_t i = 0; i < provider->fallback.count; i++) {
		const struct sl_slice *name = &provider->fallback.items[i];

		if (sl_config_names_find(names, *name) < 0)
			sl_config_error(loader->report, sl_loader_where(loader, name),
			                "there is no provider of this name — %s",
			                sl_config_names_hint(loader, names, *name,
			                                     "add it under providers"));
	}
}

static const struct sl_config_strings *
provider_fallbacks(const struct sl_config *config, size_t index)
{
	return &config->providers[index].fallback;
}

void
sl_loader_check_providers(struct sl_loader *loader, const struct sl_config_names *names)
{
	struct sl_config *config = loader->config;

	if (config->provider_count > PROVIDERS_MAX) {
		sl_config_error(loader->report, sl_loader_where(loader, &config->providers),
		                "more than %d providers — split the file", PROVIDERS_MAX);
		return;
	}
	for (size_t i = 0; i < config->provider_count; i++)
		check_one(loader, &config->providers[i], names);
	if (config->provider_count == 0)
		sl_config_warn(loader->report, sl_loader_where(loader, &config->providers),
		               "there is no provider: every request will be refused — add one, or "
		               "set providers_from_environment: true");
	sl_config_find_cycles(loader, names, provider_fallbacks, config->provider_count,
	                      "provider");
}

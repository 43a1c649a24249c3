/* credential.c - how a provider learns that it is us.
 *
 * A key goes into a header as it is, and is made into that header once. Clouds
 * want more: AWS a signature over each request, Google and Entra a token that
 * has to be got first. What can be prepared is prepared when the configuration
 * is loaded.
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "pipeline/ask.h"
#include "providers/sigv4.h"

enum { KEY_MAX = 16 * 1024, KEY_FILE_MAX = 64 * 1024 };

static bool
complain(struct sl_buf *reason, const struct sl_upstream *up, const char *why)
{
	sl_buf_printf(reason, "provider '%.*s': %s\n", SL_ARG(up->config->name), why);
	return false;
}

/* --- at load ------------------------------------------------------------------ */

static bool
add_key(struct sl_upstream *up, const struct sl_secret *secret, struct sl_buf *reason)
{
	struct sl_slice key = sl_secret_reveal(secret);
	char value[KEY_MAX];
	int len;
	enum sl_err err;

	if (key.len == 0)
		return true;
	len = snprintf(value, sizeof(value), "%s%.*s",
	               up->auth == SL_AUTH_BEARER ? "Bearer " : "", SL_ARG(key));
	if (len < 0 || (size_t)len >= sizeof(value) ||
	    !sl_header_is_valid(up->auth_header, sl_slice_make(value, (size_t)len))) {
		explicit_bzero(value, sizeof(value));
		return complain(reason, up, "its credential cannot be sent as a header value");
	}
	err = sl_keyset_add(&up->keys, sl_slice_make(value, (size_t)len));
	explicit_bzero(value, sizeof(value));
	if (err != SL_OK)
		return complain(reason, up, "out of memory");
	return true;
}

static bool
set_keys(struct sl_upstream *up, struct sl_arena *arena, struct sl_buf *reason)
{
	const struct sl_config_provider *config = up->config;

	up->keys.slots = SL_ARENA_ARRAY(arena, struct sl_key_slot, config->credential_count + 1);
	if (!up->keys.slots)
		return complain(reason, up, "out of memory");
	if (!add_key(up, &config->api_key, reason))
		return false;
	for (size_t i = 0; i < config->credential_count; i++)
		if (!add_key(up, &config->credentials[i].api_key, reason))
			return false;
	return true;
}

static bool
set_token_url(struct sl_upstream *up, struct sl_token_grant *grant, struct sl_slice text,
              struct sl_arena *arena, struct sl_buf *reason)
{
	struct sl_url url;
	const char *why = NULL, *ca_file = NULL;

	if (sl_url_parse(text, &url) != SL_OK || (!url.tls && !url.host_is_literal))
		return complain(reason, up, "its token_url is not an https URL");
	/* A token is worth the patience of one request, not of a long stream. */
	grant->origin = (struct sl_origin){
		.host = url.host,
		.port = url.port,
		.timeouts = { .connect_ms = up->origin.timeouts.connect_ms,
		              .first_byte_ms = 10000, .idle_ms = 10000, .total_ms = 20000 },
		.http2 = SL_HTTP2_OFF,
		.host_is_literal = url.host_is_literal,
		.allow = up->origin.allow,
		.allow_count = up->origin.allow_count,
		.identity = sl_arena_printf(arena, "token|%.*s|%.*s", SL_ARG(up->config->name),
		                            SL_ARG(text)),
	};
	grant->target = sl_arena_join(arena, (struct sl_slice[]){
	    url.path.len ? url.path : SL_SLICE("/"), url.query.len ? SL_SLICE("?") : SL_SLICE_NONE,
	    url.query }, 3);
	if (!url.tls)
		return true;
	if (up->config->ca_file.len > 0)
		ca_file = sl_arena_strdup(arena, up->config->ca_file);
	grant->origin.tls = sl_tls_client_new(ca_file, false, &why);
	return grant->origin.tls || complain(reason, up, why ? why : "TLS could not be set up");
}

static bool
read_account(struct sl_upstream *up, struct sl_token_grant *grant, struct sl_arena *arena,
             struct sl_buf *reason)
{
	struct sl_slice path = up->config->cloud.credentials_file;
	char text[KEY_FILE_MAX];
	FILE *file = path.len ? fopen(sl_arena_strdup(arena, path), "re") : NULL;
	const char *why = "out of memory";
	size_t len;
	enum sl_err err;

	if (!file)
		return complain(reason, up, "its credentials_file cannot be read");
	len = fread(text, 1, sizeof(text), file);
	fclose(file);
	err = sl_oauth_account_read(sl_slice_make(text, len), arena, &grant->account, &why);
	explicit_bzero(text, sizeof(text));
	if (err == SL_OK)
		return true;
	sl_buf_printf(reason, "provider '%.*s': credentials_file %.*s: %s\n",
	              SL_ARG(up->config->name), SL_ARG(path), why);
	return false;
}

static bool
set_grant(struct sl_upstream *up, struct sl_arena *arena, struct sl_buf *reason)
{
	const struct sl_config_cloud *cloud = &up->config->cloud;
	struct sl_token_grant *grant = SL_ARENA_NEW(arena, struct sl_token_grant);
	struct sl_slice url = cloud->token_url, who = cloud->client_id;

	if (!grant)
		return complain(reason, up, "out of memory");
	up->grant = grant;
	grant->provider = up->config->name;
	grant->cloud = cloud;
	if (up->auth == SL_AUTH_GOOGLE) {
		if (!read_account(up, grant, arena, reason))
			return false;
		grant->scope = SL_SLICE("https://www.googleapis.com/auth/cloud-platform");
		/* Whom the assertion is for is the endpoint it is posted to. */
		if (url.len)
			grant->account.token_url = url;
		url = grant->account.token_url;
		who = grant->account.email;
		if (up->project.len == 0)
			up->project = grant->account.project;
		if (up->project.len == 0)
			return complain(reason, up, "its service account names no project — add "
			                            "project");
	} else {
		grant->scope = SL_SLICE("https://cognitiveservices.azure.com/.default");
		if (url.len == 0)
			url = sl_arena_printf(arena,
			    "https://login.microsoftonline.com/%.*s/oauth2/v2.0/token",
			    SL_ARG(cloud->tenant_id));
	}
	grant->identity = sl_arena_printf(arena, "%.*s|%.*s|%.*s|%.*s",
	                                  SL_ARG(up->config->name), SL_ARG(url), SL_ARG(who),
	                                  SL_ARG(grant->account.key_id));
	return set_token_url(up, grant, url, arena, reason);
}

bool
sl_credential_prepare(struct sl_upstream *up, struct sl_arena *arena, struct sl_buf *reason)
{
	up->auth = sl_provider_auth(up->kind, up->config);
	up->auth_header = SL_SLICE("authorization");
	up->project = up->config->cloud.project;
	switch (up->auth) {
	case SL_AUTH_HEADER:
		up->auth_header = up->config->auth_header.len > 0
		                      ? up->config->auth_header
		                      : sl_slice_str(up->kind->auth_header);
		return set_keys(up, arena, reason);
	case SL_AUTH_BEARER:
		return set_keys(up, arena, reason);
	case SL_AUTH_GOOGLE:
	case SL_AUTH_ENTRA:
		return set_grant(up, arena, reason);
	default:
		return true;
	}
}

void
sl_credential_release(struct sl_upstream *up)
{
	sl_keyset_release(&up->keys);
	if (up->grant) {
		sl_oauth_account_release(&up->grant->account);
		sl_tls_unref(up->grant->origin.tls);
	}
}

enum sl_err
sl_token_grant_form(const struct sl_token_grant *grant, int64_t now_s, struct sl_secret *form)
{
	if (grant->account.key)
		return sl_oauth_account_form(&grant->account, grant->scope, now_s, form);
	return sl_oauth_client_form(grant->cloud->client_id, &grant->cloud->client_secret,
	                            grant->scope, form);
}

/* --- per request -------------------------------------------------------------- */

static enum sl_err
sign(struct sl_ask *ask, struct sl_fetch_request *request, struct sl_header *fields, size_t max)
{
	const struct sl_upstream *up = ask->upstream;
	const struct sl_config_cloud *cloud = &up->config->cloud;
	struct sl_arena *arena = sl_ask_arena(ask);
	const struct sl_sigv4_credential credential = {
		.access_key_id = cloud->access_key_id,
		.secret_key = &cloud->secret_access_key,
		.session_token = &cloud->session_token,
	};
	struct sl_slice query = request->target, path = sl_slice_cut(&query, '?');
	struct sl_header signature[SL_SIGV4_HEADERS];
	struct sl_sigv4_request signing = {
		.method = request->method,
		.path = path,
		.query = query,
		.body = request->body,
		.body_count = request->body_count,
		.region = cloud->region,
		.service = SL_SLICE("bedrock"),
		.time_s = sl_loop_wall_ms(ask->gateway->loop) / 1000,
	};
	size_t count;

	/* The host is signed as it is sent. */
	request->authority = sl_fetch_authority(&up->origin, arena);
	signing.host = request->authority;
	count = sl_sigv4_sign(&credential, &signing, arena, signature);
	if (count == 0 || signing.host.len == 0)
		return SL_ENOMEM;
	if (request->header_count + count > max)
		return SL_ELIMIT;
	memcpy(fields + request->header_count, signature, count * sizeof(signature[0]));
	request->header_count += count;
	return SL_OK;
}

enum sl_err
sl_credential_put(struct sl_ask *ask, struct sl_fetch_request *request, struct sl_header *fields,
                  size_t max)
{
	const struct sl_upstream *up = ask->upstream;
	struct sl_slice token;
	enum sl_err err;

	if (up->auth == SL_AUTH_AWS)
		return sign(ask, request, fields, max);
	if (!up->grant)
		return SL_OK;
	err = sl_token_get(ask->gateway->tokens, ask->world, up->grant, &ask->front->token_waiter,
	                   &token);
	if (err != SL_OK)
		return err;
	if (request->header_count == max)
		return SL_ELIMIT;
	fields[request->header_count++] = (struct sl_header){ up->auth_header, token };
	return SL_OK;
}

/* fields.c - which header fields travel, in either direction.
 *
 * Towards the provider everything goes on that is not the connection's, not a
 * credential, not a gateway contract's and not about the caller's network: SDKs
 * and betas invent new fields weekly, and a closed list would break them.
 * Towards the caller the provider's fields pass except those that are the
 * connection's, ours, or would act on the caller's browser.
 */
#include "base/text.h"
#include "pipeline/ask.h"
#include "shapes/codec.h"

/* What is known of a field's name. */
enum {
	CREDENTIAL = 1,
	CALLERS    = 2, /* the caller's, between it and this gateway */
	PROVIDERS  = 4, /* the provider's, between it and this gateway */
};

#define IS(literal) sl_slice_eq(name, SL_SLICE(literal))

/* A set of the above, by the name's length first, because this runs for every field of
 * every request and reply. accept-encoding is not passed on: replies must be readable for
 * usage, so identity is asked for by saying nothing. */
static unsigned
kind_of(struct sl_slice name)
{
	switch (name.len) {
	case 3:
		return IS("via") ? CALLERS | PROVIDERS : 0;
	case 4:
		return IS("host") ? CALLERS : IS("date") || IS("vary") ? PROVIDERS : 0;
	case 6:
		return IS("expect") || IS("cookie") || IS("origin") ? CALLERS
		       : IS("server")                               ? PROVIDERS
		                                                    : 0;
	case 7:
		return IS("api-key") ? CREDENTIAL : IS("alt-svc") ? PROVIDERS : 0;
	case 9:
		return IS("x-api-key") ? CREDENTIAL : IS("forwarded") || IS("x-real-ip") ? CALLERS : 0;
	case 10:
		return IS("x-amz-date") ? CREDENTIAL : IS("set-cookie") ? PROVIDERS : 0;
	case 11:
		return IS("traceparent") ? CALLERS | PROVIDERS : 0;
	case 12:
		return IS("x-request-id") ? CALLERS | PROVIDERS : IS("x-powered-by") ? PROVIDERS : 0;
	case 13:
		return IS("authorization") ? CREDENTIAL : 0;
	case 14:
		return IS("content-length") ? CALLERS | PROVIDERS
		       : IS("x-goog-api-key") ? CREDENTIAL
		                              : 0;
	case 15:
		return IS("accept-encoding") || IS("idempotency-key") ? CALLERS : 0;
	case 16:
		return IS("content-encoding") ? CALLERS : 0;
	case 20:
		return IS("x-amz-security-token") || IS("x-amz-content-sha256") ? CREDENTIAL : 0;
	case 23:
		return IS("content-security-policy") ? PROVIDERS : 0;
	case 25:
		return IS("strict-transport-security") ? PROVIDERS : 0;
	default:
		return 0;
	}
}

static bool
is_credential(struct sl_slice name)
{
	return kind_of(name) & CREDENTIAL;
}

static inline bool
is_connection(const struct sl_header *field)
{
	return sl_slice_is(field->name, "connection");
}

/* The fields, where one of them names others as hop-by-hop; NULL where none says more than
 * the usual, which goes no further anyway. */
static const struct sl_headers *
nominations(const struct sl_headers *headers)
{
	if (!sl_headers_has(headers, "connection"))
		return NULL;
	for (size_t i = 0; i < headers->count; i++)
		if (is_connection(&headers->items[i]) &&
		    !sl_slice_ieq(headers->items[i].value, SL_SLICE("keep-alive")))
			return headers;
	return NULL;
}

/* Named by a Connection field, of which there may be several, hence hop-by-hop as well.
 * RFC 9110 7.6.1 and 5.3 */
static bool
is_nominated(const struct sl_headers *headers, struct sl_slice name)
{
	for (size_t i = 0; i < headers->count; i++) {
		struct sl_slice rest = is_connection(&headers->items[i]) ? headers->items[i].value
		                                                         : SL_SLICE_NONE;

		while (rest.len > 0)
			if (sl_slice_ieq(sl_slice_trim(sl_slice_cut(&rest, ',')), name))
				return true;
	}
	return false;
}

/* Groups of names that go no further, by their first letter. */
static inline bool
of_a_group(struct sl_slice name)
{
	switch (name.len > 0 ? name.ptr[0] : 0) {
	case 'a':
		return sl_slice_starts(name, SL_SLICE("access-control-"));
	case 's':
		return sl_slice_starts(name, SL_SLICE("sec-"));
	case 'x':
		return sl_slice_starts(name, SL_SLICE("x-forwarded-")) ||
		       sl_surface_owns_header(name);
	default:
		return false;
	}
}

static inline bool
stays_here(const struct sl_headers *nominated, struct sl_slice name)
{
	return of_a_group(name) ||
	       ((sl_header_mark(name.ptr, name.len) & sl_header_hop_marks()) &&
	        sl_header_is_hop_by_hop(name)) ||
	       (nominated && is_nominated(nominated, name));
}

/* Whether the field carries the credential that was presented to the gateway. */
static bool
is_gateway_credential(const struct sl_ask *ask, struct sl_slice value)
{
	if (ask->head->credential.len == 0)
		return false;
	if (sl_slice_istarts(value, SL_SLICE("bearer ")))
		value = sl_slice_trim(sl_slice_from(value, 7));
	return sl_slice_eq(value, ask->head->credential);
}

enum { TRACEPARENT_LEN = 55 };

/* The caller's trace goes on with a span of ours; its sampling decision holds.
 * https://www.w3.org/TR/trace-context/#traceparent-header */
static struct sl_slice
traceparent(struct sl_ask *ask)
{
	struct sl_slice given = sl_headers_get(&ask->exchange->request.headers, "traceparent");
	struct sl_slice flags = SL_SLICE("01");
	char *text = sl_arena_alloc(sl_ask_arena(ask), TRACEPARENT_LEN), *at = text;

	if (!text || ask->record.trace_id.len != 32)
		return SL_SLICE_NONE;
	if (given.len >= 55 && sl_slice_eq(sl_slice_make(given.ptr + 3, 32), ask->record.trace_id))
		flags = sl_slice_make(given.ptr + 53, 2);
	memcpy(at, "00-", 3);
	memcpy(at + 3, ask->record.trace_id.ptr, 32);
	at[35] = '-';
	at = sl_put_hex64(at + 36, sl_rand_u64() | 1);
	*at++ = '-';
	memcpy(at, flags.ptr, 2);
	return sl_slice_make(text, TRACEPARENT_LEN);
}

/* The caller's own credential where the provider of another API expects it. */
static struct sl_header
translated_credential(struct sl_ask *ask, const struct sl_upstream *upstream,
                      struct sl_slice value)
{
	if (sl_slice_istarts(value, SL_SLICE("bearer ")))
		value = sl_slice_trim(sl_slice_from(value, 7));
	if (upstream->kind->auth == SL_AUTH_HEADER)
		return (struct sl_header){ sl_slice_str(upstream->kind->auth_header), value };
	return (struct sl_header){ SL_SLICE("authorization"),
		                   sl_arena_join(sl_ask_arena(ask), (struct sl_slice[]){
		                       SL_SLICE("Bearer "), value }, 2) };
}

static bool
has(const struct sl_header *fields, size_t count, struct sl_slice name)
{
	for (size_t i = 0; i < count; i++)
		if (sl_slice_eq(fields[i].name, name))
			return true;
	return false;
}

static size_t
add(struct sl_header *out, size_t count, size_t max, struct sl_slice name,
    struct sl_slice value)
{
	if (count < max)
		out[count++] = (struct sl_header){ name, value };
	return count;
}

static struct sl_slice
bearer(struct sl_ask *ask)
{
	return sl_arena_join(sl_ask_arena(ask), (struct sl_slice[]){
	    SL_SLICE("Bearer "), ask->head->selection.upstream_key }, 2);
}

bool
sl_fields_may_be_callers(const struct sl_upstream *upstream)
{
	return upstream->keys.count == 0 && !upstream->grant && upstream->auth != SL_AUTH_AWS &&
	       upstream->auth != SL_AUTH_NONE;
}

bool
sl_fields_callers_account(const struct sl_ask *ask, const struct sl_upstream *upstream)
{
	const struct sl_headers *in = &ask->exchange->request.headers;

	if (!sl_fields_may_be_callers(upstream))
		return false;
	if (ask->head->selection.upstream_key.len > 0)
		return true;
	for (size_t i = 0; upstream->auth == SL_AUTH_PASSTHROUGH && i < in->count; i++)
		if (is_credential(in->items[i].name) &&
		    !(ask->key && is_gateway_credential(ask, in->items[i].value)))
			return true;
	return false;
}

/* The caller's fields that go on. A loop of its own: it is what most of the time here goes
 * to, and among what surrounds it there are not enough registers for it. */
static __attribute__((noinline)) size_t
pass_on(struct sl_ask *ask, const struct sl_upstream *upstream, struct sl_header *out,
        size_t max, bool *used_callers_credential)
{
	const struct sl_headers *in = &ask->exchange->request.headers;
	const struct sl_header *const end = in->items + in->count;
	const struct sl_headers *const nominated = nominations(in);
	const bool translated = ask->lane != NULL;
	size_t count = 0;

	for (const struct sl_header *field = in->items; field < end && count < max; field++) {
		const unsigned kind = kind_of(field->name);

		if (translated && !(kind & CREDENTIAL) && !sl_lane_passes_field(field->name))
			continue;
		if (kind & CREDENTIAL) {
			if (upstream->auth != SL_AUTH_PASSTHROUGH ||
			    (ask->key && is_gateway_credential(ask, field->value)))
				continue;
			*used_callers_credential = true;
			if (translated) {
				out[count++] = translated_credential(ask, upstream, field->value);
				continue;
			}
		} else if (kind & CALLERS || stays_here(nominated, field->name)) {
			continue;
		}
		out[count++] = *field;
	}
	return count;
}

size_t
sl_fields_to_upstream(struct sl_ask *ask, const struct sl_upstream *upstream,
                      struct sl_header *out, size_t max, bool *used_callers_credential)
{
	size_t count;

	*used_callers_credential = false;
	count = pass_on(ask, upstream, out, max, used_callers_credential);
	if (ask->lane)
		count = add(out, count, max, SL_SLICE("content-type"), SL_SLICE("application/json"));
	if (ask->key_index < upstream->keys.count)
		count = add(out, count, max, upstream->auth_header,
		            sl_secret_reveal(&upstream->keys.slots[ask->key_index].value));
	else if (ask->head->selection.upstream_key.len > 0 && upstream->auth != SL_AUTH_NONE &&
	         !*used_callers_credential) {
		*used_callers_credential = true;
		count = add(out, count, max, upstream->auth_header,
		            upstream->auth == SL_AUTH_BEARER ? bearer(ask)
		                                             : ask->head->selection.upstream_key);
	}
	for (size_t i = 0; i < upstream->kind->header_count; i++)
		if (!has(out, count, upstream->kind->headers[i].name))
			count = add(out, count, max, upstream->kind->headers[i].name,
			            upstream->kind->headers[i].value);
	for (size_t i = 0; i < upstream->config->header_count; i++)
		if (!has(out, count, upstream->config->headers[i].name))
			count = add(out, count, max, upstream->config->headers[i].name,
			            upstream->config->headers[i].value);
	count = add(out, count, max, SL_SLICE("traceparent"), traceparent(ask));
	return add(out, count, max, SL_SLICE("x-request-id"), ask->record.client_request_id);
}

static bool
stays_upstream(const struct sl_headers *nominated, struct sl_slice name)
{
	return kind_of(name) & PROVIDERS || sl_header_is_hop_by_hop(name) ||
	       sl_slice_starts(name, SL_SLICE("access-control-")) ||
	       sl_surface_owns_header(name) ||
	       (nominated && is_nominated(nominated, name));
}

size_t
sl_fields_from_upstream(struct sl_ask *ask, const struct sl_headers *reply,
                        struct sl_header **out)
{
	struct sl_arena *arena = sl_ask_arena(ask);
	struct sl_header *fields = SL_ARENA_ARRAY(arena, struct sl_header, reply->count + 1);
	const struct sl_headers *nominated = nominations(reply);
	const struct sl_standing *standing = ask->decision.standing;
	bool own_limits = standing->rpm_limit > 0 || standing->tpm_limit > 0;
	size_t count = 0;

	for (size_t i = 0; fields && i < reply->count && count < SL_ANSWER_FIELDS_MAX / 2; i++) {
		const struct sl_header *field = &reply->items[i];

		if (stays_upstream(nominated, field->name))
			continue;
		/* Our own limit is the one the caller can act on. */
		if (own_limits && sl_slice_starts(field->name, SL_SLICE("x-ratelimit-")))
			continue;
		fields[count++] = (struct sl_header){ sl_arena_dup(arena, field->name),
			                              sl_arena_dup(arena, field->value) };
	}
	if (ask->lane && fields)
		count = sl_lane_fields(ask, fields, count);
	*out = fields;
	return count;
}

void
sl_fields_read_delay(struct sl_ask *ask)
{
	struct sl_header *fields, *old = ask->reply_headers;
	struct sl_arena *arena = sl_ask_arena(ask);
	int64_t delay_ms = ask->retry_after_ms ? 0 : sl_codec_read_delay_ms(sl_buf_slice(&ask->held));

	if (delay_ms <= 0)
		return;
	ask->retry_after_ms = delay_ms < SL_HEALTH_RETRY_AFTER_MAX_MS
	                          ? (uint32_t)delay_ms
	                          : SL_HEALTH_RETRY_AFTER_MAX_MS;
	fields = SL_ARENA_ARRAY(arena, struct sl_header, ask->reply_header_count + 1);
	if (!fields)
		return;
	for (size_t i = 0; i < ask->reply_header_count; i++)
		fields[i] = old[i];
	fields[ask->reply_header_count++] = (struct sl_header){
		SL_SLICE("retry-after"),
		sl_arena_printf(arena, "%lld", (long long)(delay_ms + 999) / 1000),
	};
	ask->reply_headers = fields;
}

/* Parameters that end here: the credential, and the version of Azure's API that its
 * clients must name with a deployment. */
static bool
is_ours(const struct sl_ask *ask, struct sl_slice pair)
{
	return sl_slice_starts(pair, SL_SLICE("key=")) ||
	       (sl_slice_starts(pair, SL_SLICE("api-version=")) &&
	        sl_slice_starts(ask->head->selection.path, SL_SLICE("/openai/deployments/")));
}

struct sl_slice
sl_fields_query(struct sl_ask *ask)
{
	struct sl_slice rest = ask->exchange->request.query;
	struct sl_buf kept;
	struct sl_slice text;

	if (rest.len == 0 || (sl_slice_search(rest, SL_SLICE("key=")) < 0 &&
	                      sl_slice_search(rest, SL_SLICE("api-version=")) < 0))
		return rest;
	sl_buf_init(&kept, rest.len + 1);
	while (rest.len > 0) {
		struct sl_slice pair = sl_slice_cut(&rest, '&');

		if (is_ours(ask, pair))
			continue;
		if (kept.len > 0)
			sl_buf_append_char(&kept, '&');
		sl_buf_append(&kept, pair);
	}
	text = sl_arena_dup(sl_ask_arena(ask), sl_buf_slice(&kept));
	sl_buf_release(&kept);
	return text;
}

static struct sl_slice
allowed_origin(const struct sl_ask *ask)
{
	const struct sl_config_strings *origins = &ask->world->config->cors_origins;
	struct sl_slice origin = sl_headers_get(&ask->exchange->request.headers, "origin");

	for (size_t i = 0; origin.len > 0 && i < origins->count; i++)
		if (sl_slice_is(origins->items[i], "*") || sl_slice_eq(origins->items[i], origin))
			return origin;
	return SL_SLICE_NONE;
}

static size_t
add_cors(const struct sl_ask *ask, struct sl_header *out, size_t count, size_t max)
{
	struct sl_slice origin = allowed_origin(ask);
	const struct sl_headers *in = &ask->exchange->request.headers;
	struct sl_slice asked;

	if (origin.len == 0)
		return count;
	count = add(out, count, max, SL_SLICE("access-control-allow-origin"), origin);
	count = add(out, count, max, SL_SLICE("vary"), SL_SLICE("origin"));
	if (!sl_slice_is(ask->exchange->request.method, "OPTIONS"))
		return add(out, count, max, SL_SLICE("access-control-expose-headers"),
		           SL_SLICE("*"));
	count = add(out, count, max, SL_SLICE("access-control-allow-methods"),
	            SL_SLICE("GET, POST, OPTIONS"));
	count = add(out, count, max, SL_SLICE("access-control-max-age"), SL_SLICE("600"));
	asked = sl_headers_get(in, "access-control-request-headers");
	if (asked.len > 0)
		count = add(out, count, max, SL_SLICE("access-control-allow-headers"), asked);
	return count;
}

size_t
sl_fields_answer(const struct sl_ask *ask, struct sl_header *out, size_t count, size_t max)
{
	count = add(out, count, max, SL_SLICE("x-request-id"), ask->record.client_request_id);
	/* Anthropic's SDK reads request-id; the provider's own is kept. */
	if (ask->shape && sl_slice_is(sl_slice_str(ask->shape->family), "anthropic") &&
	    !has(out, count, SL_SLICE("request-id")))
		count = add(out, count, max, SL_SLICE("request-id"), ask->decision.request_id);
	return add_cors(ask, out, count, max);
}

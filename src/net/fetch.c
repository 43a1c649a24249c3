/* fetch.c - the life of one fetch: its request text, timers and callbacks.
 *
 * The request head is kept as HTTP/1.1 text whatever the protocol; HTTP/2 reads
 * its fields back from it. That is one copy and one block per request, and
 * the common case sends it as it is. Body slices are borrowed from the owner; those of a
 * short body are copied behind the head, which costs less than each one does in sendmsg.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/text.h"
#include "net/client_internal.h"
#include "net/head_text.h"
#include "net/http.h"

enum {
	WAITING_MAX = 8192, /* flights per pool */
	RETRY_MAX = 3,
	BODY_PARTS_MAX = 1024,
	HEAD_MAX = 256 * 1024,
	BODY_COPIED = 4 * 1024, /* a body up to this leaves in one piece with its head */
};

/* --- ends and timers ----------------------------------------------------------------------- */

static void
detach(struct sl_flight *flight)
{
	struct sl_upstream *up = flight->up;

	if (!up) {
		if (flight->node.next != &flight->node && !flight->failing)
			flight->pool->waiting_count--;
		sl_list_remove(&flight->node);
		return;
	}
	sl_list_remove(&flight->node); /* from client->starting */
	if (up->h2) {
		sl_h2_detach(flight);
		return;
	}
	flight->up = NULL;
	up->flight = NULL;
	sl_upstream_close(up);
}

void
sl_flight_fail(struct sl_flight *flight, enum sl_err err, const char *detail)
{
	struct sl_client *client = flight->client;

	/* Few fail: the rest has no room for a text. */
	if (!flight->error)
		flight->error = malloc(sizeof(*flight->error));
	if (flight->error) {
		flight->error->err = err;
		flight->error->stage = flight->stage;
		flight->error->sent = flight->sent;
		/* The text may live in what detaching closes. */
		snprintf(flight->error->detail, sizeof(flight->error->detail), "%.95s", detail);
	}
	detach(flight);
	sl_timer_clear(&flight->phase_timer);
	sl_timer_clear(&flight->total_timer);
	flight->failing = true;
	sl_list_push_back(&client->failing, &flight->node);
	sl_client_kick(client);
}

static enum sl_fetch_stage
waiting_stage(const struct sl_flight *flight)
{
	const struct sl_pool *pool = flight->pool;
	const struct sl_upstream *up;

	if (sl_list_empty(&pool->connecting))
		return SL_STAGE_CONNECT;
	up = SL_CONTAINER(pool->connecting.next, struct sl_upstream, node);
	return up->dial ? sl_dial_stage(up->dial) : SL_STAGE_TLS;
}

static void
on_phase_due(struct sl_timer *timer)
{
	struct sl_flight *flight = SL_CONTAINER(timer, struct sl_flight, phase_timer);
	const char *detail = "no reply within first_byte_ms";

	if (!flight->up) {
		bool connecting = !sl_list_empty(&flight->pool->connecting);

		flight->stage = waiting_stage(flight);
		detail = connecting ? "no connection within connect_ms"
		                    : "all connections to this origin were busy for connect_ms";
	} else if (flight->stage == SL_STAGE_SEND) {
		detail = "the request could not be sent within first_byte_ms";
	} else if (flight->stage == SL_STAGE_BODY) {
		detail = "no byte of the reply within idle_ms";
	}
	sl_flight_fail(flight, SL_ETIMEDOUT, detail);
}

static void
on_total_due(struct sl_timer *timer)
{
	struct sl_flight *flight = SL_CONTAINER(timer, struct sl_flight, total_timer);

	if (!flight->up && !flight->got_head)
		flight->stage = waiting_stage(flight);
	sl_flight_fail(flight, SL_ETIMEDOUT, "not complete within total_ms");
}

/* 0 means no limit. */
static void
set_phase(struct sl_flight *flight, uint32_t delay_ms)
{
	if (delay_ms)
		sl_timer_set(flight->client->loop, &flight->phase_timer, delay_ms);
	else
		sl_timer_clear(&flight->phase_timer);
}

/* --- the request --------------------------------------------------------------------- */

/* The wire's own: written here, or not for this connection to carry. */
static bool
is_own_field(struct sl_slice name)
{
	const uint64_t marks = sl_header_hop_marks() | SL_HEADER_MARK("host") |
	                       SL_HEADER_MARK("content-length") | SL_HEADER_MARK("expect");

	return name.len && name.ptr[0] != 'x' && (sl_header_mark(name.ptr, name.len) & marks) &&
	       (sl_slice_is(name, "host") || sl_slice_is(name, "content-length") ||
	        sl_slice_is(name, "expect") || sl_header_is_hop_by_hop(name));
}

static bool
is_target(struct sl_slice target)
{
	return target.len && target.ptr[0] == '/' &&
	       sl_plain_run(target, 0, ' ' + 1) == target.len;
}

static bool
is_method(struct sl_slice method)
{
	if (sl_slice_is(method, "POST"))
		return true;
	if (method.len == 0 || method.len > 16)
		return false;
	for (size_t i = 0; i < method.len; i++)
		if (method.ptr[i] < 'A' || method.ptr[i] > 'Z')
			return false;
	return true;
}

static bool
is_authority(struct sl_slice authority)
{
	for (size_t i = 0; i < authority.len; i++) {
		char c = authority.ptr[i];

		if (c <= ' ' || c == 0x7f || c == '/' || c == '@' || c == '\\' || c == '?' ||
		    c == '#')
			return false;
	}
	return true;
}

static enum sl_err
check_request(const struct sl_fetch_request *request)
{
	if (!is_method(request->method) || !is_target(request->target) ||
	    !is_authority(request->authority) || request->body_count > BODY_PARTS_MAX)
		return SL_EINVAL;
	return SL_OK;
}

static size_t
head_size(const struct sl_pool *pool, const struct sl_fetch_request *request)
{
	return 128 + request->method.len + request->target.len + request->authority.len +
	       pool->authority.len + sl_fields_size(request->headers, request->header_count);
}

char *
sl_put_authority(char *at, const struct sl_origin *origin)
{
	bool is_ipv6 = sl_slice_find(origin->host, ':') >= 0;

	if (is_ipv6)
		*at++ = '[';
	at = sl_put_text(at, origin->host);
	if (is_ipv6)
		*at++ = ']';
	if (origin->port != (origin->tls ? 443 : 80)) {
		*at++ = ':';
		at = sl_put_u64(at, origin->port);
	}
	return at;
}

struct sl_slice
sl_fetch_authority(const struct sl_origin *origin, struct sl_arena *arena)
{
	char *text = sl_arena_alloc(arena, origin->host.len + SL_AUTHORITY_EXTRA);

	return text ? sl_slice_make(text, (size_t)(sl_put_authority(text, origin) - text))
	            : SL_SLICE_NONE;
}

/* All but our own, in the runs between those. */
static char *
put_fields(char *at, const struct sl_fetch_request *request)
{
	const struct sl_header *fields = request->headers;
	const size_t count = request->header_count;
	size_t from = 0;

	for (size_t i = 0; at && i < count; i++) {
		if (!is_own_field(fields[i].name))
			continue;
		if (!sl_header_is_valid(fields[i].name, fields[i].value))
			return NULL;
		at = sl_put_fields(at, fields + from, i - from, request->lines);
		from = i + 1;
	}
	return at ? sl_put_fields(at, fields + from, count - from, request->lines) : NULL;
}

/* NULL when a field may not be sent. */
static char *
put_head(char *at, const struct sl_flight *flight, const struct sl_fetch_request *request)
{
	at = sl_put_text(at, request->method);
	*at++ = ' ';
	at = sl_put_text(at, request->target);
	at = sl_put_text(at, SL_SLICE(" HTTP/1.1\r\nhost: "));
	at = sl_put_text(at, request->authority.len ? request->authority : flight->pool->authority);
	at = sl_put_text(at, SL_SLICE("\r\n"));
	at = put_fields(at, request);
	if (!at)
		return NULL;
	/* A method that usually has a body says so even when it has none
	 * (RFC 9110 8.6). */
	if (flight->body_len || sl_slice_is(request->method, "POST") ||
	    sl_slice_is(request->method, "PUT") || sl_slice_is(request->method, "PATCH")) {
		at = sl_put_text(at, SL_SLICE("content-length: "));
		at = sl_put_u64(at, flight->body_len);
		at = sl_put_text(at, SL_SLICE("\r\n"));
	}
	return sl_put_text(at, SL_SLICE("\r\n"));
}

static enum sl_err
build_request(struct sl_flight *flight, const struct sl_fetch_request *request)
{
	size_t size = head_size(flight->pool, request), parts_size;
	char *head, *body;
	bool copied;

	if (size > HEAD_MAX)
		return SL_EINVAL;
	for (size_t i = 0; i < request->body_count; i++)
		flight->body_len += request->body[i].len;
	copied = flight->body_len > 0 && flight->body_len <= BODY_COPIED;
	parts_size = ((copied ? 1 : request->body_count) + 1) * sizeof(*flight->parts);
	flight->parts = sl_block_alloc(parts_size + size + (copied ? flight->body_len : 0));
	if (!flight->parts)
		return SL_ENOMEM;
	flight->part_count = 1;
	head = (char *)flight->parts + parts_size;
	body = put_head(head, flight, request);
	if (!body) {
		sl_flight_free_request(flight);
		return SL_EINVAL;
	}
	flight->parts[0] = sl_slice_make(head, (size_t)(body - head));
	if (copied)
		flight->parts[flight->part_count++] = sl_slice_make(body, flight->body_len);
	for (size_t i = 0; i < request->body_count; i++) {
		if (copied)
			body = sl_put_text(body, request->body[i]);
		else if (request->body[i].len > 0)
			flight->parts[flight->part_count++] = request->body[i];
	}
	return SL_OK;
}

void
sl_flight_free_request(struct sl_flight *flight)
{
	sl_block_free(flight->parts);
	free(flight->copied_body);
	flight->parts = NULL;
	flight->copied_body = NULL;
	flight->part_count = flight->part_index = 0;
}

int
sl_flight_unsent(const struct sl_flight *flight, struct iovec *out, int max)
{
	size_t offset = flight->part_offset;
	int count = 0;

	for (size_t i = flight->part_index; i < flight->part_count; i++) {
		char *at = (char *)(uintptr_t)flight->parts[i].ptr + offset;
		size_t len = flight->parts[i].len - offset;

		offset = 0;
		if (count > 0 && (char *)out[count - 1].iov_base + out[count - 1].iov_len == at) {
			out[count - 1].iov_len += len;
			continue;
		}
		if (count == max)
			break;
		out[count++] = (struct iovec){ at, len };
	}
	return count;
}

bool
sl_flight_all_sent(const struct sl_flight *flight)
{
	return flight->part_index == flight->part_count;
}

void
sl_flight_progress(struct sl_flight *flight, size_t size)
{
	flight->sent = flight->sent || size;
	while (size > 0) {
		size_t left = flight->parts[flight->part_index].len - flight->part_offset;

		if (size < left) {
			flight->part_offset += size;
			break;
		}
		size -= left;
		flight->part_index++;
		flight->part_offset = 0;
	}
	if (flight->got_head)
		return;
	if (sl_flight_all_sent(flight)) {
		flight->stage = SL_STAGE_FIRST_BYTE;
		flight->fetch->sent = true;
	}
	set_phase(flight, flight->timeouts.first_byte_ms);
}

void
sl_flight_drop_unsent(struct sl_flight *flight)
{
	flight->part_count = flight->part_index;
	flight->part_offset = 0;
}

/* What is left of the body is the owner's only until on_head: copied for the
 * rare server that answers 2xx before it has read everything. */
bool
sl_flight_copy_unsent(struct sl_flight *flight)
{
	size_t size = 0, offset = flight->part_offset;
	char *copy, *at;

	for (size_t i = flight->part_index; i < flight->part_count; i++)
		size += flight->parts[i].len;
	copy = at = malloc(size - offset);
	if (!copy)
		return false;
	for (size_t i = flight->part_index; i < flight->part_count; i++) {
		at = sl_put_text(at, sl_slice_from(flight->parts[i], offset));
		offset = 0;
	}
	flight->part_index = 0;
	flight->part_count = 1;
	flight->part_offset = 0;
	flight->parts[0] = sl_slice_make(copy, (size_t)(at - copy));
	flight->copied_body = copy;
	return true;
}

void
sl_flight_begin(struct sl_flight *flight, struct sl_upstream *up)
{
	flight->up = up;
	flight->stage = SL_STAGE_SEND;
	flight->fetch->reused = up->served;
	set_phase(flight, flight->timeouts.first_byte_ms);
}

/* --- the reply ------------------------------------------------------------------------ */

void
sl_flight_on_head(struct sl_flight *flight, int status, const struct sl_headers *headers,
                  int64_t content_length)
{
	struct sl_fetch *fetch = flight->fetch;

	flight->got_head = true;
	flight->stage = SL_STAGE_BODY;
	set_phase(flight, flight->timeouts.idle_ms);
	fetch->ops->on_head(fetch, status, headers, content_length);
}

void
sl_flight_on_data(struct sl_flight *flight, struct sl_slice bytes)
{
	set_phase(flight, flight->timeouts.idle_ms);
	flight->fetch->ops->on_data(flight->fetch, bytes);
}

bool
sl_flight_retry(struct sl_flight *flight)
{
	if (flight->retry_count == RETRY_MAX || !flight->parts)
		return false;
	flight->retry_count++;
	flight->up = NULL;
	flight->part_index = flight->part_offset = 0;
	flight->sent = false;
	flight->stage = SL_STAGE_CONNECT;
	sl_list_remove(&flight->node);
	sl_list_push_front(&flight->pool->waiting, &flight->node);
	flight->pool->waiting_count++;
	set_phase(flight, flight->timeouts.connect_ms);
	return true;
}

/* --- the owner's calls -------------------------------------------------------------------- */

enum sl_err
sl_fetch_start(struct sl_client *client, const struct sl_origin *origin,
               struct sl_fetch *fetch, const struct sl_fetch_request *request)
{
	struct sl_flight *flight;
	struct sl_pool *pool;
	enum sl_err err = check_request(request);

	fetch->internal = NULL;
	if (client->freed)
		return SL_ECANCELLED;
	if (err != SL_OK || origin->identity.len == 0)
		return SL_EINVAL;
	pool = sl_client_pool(client, origin);
	flight = sl_block_alloc(sizeof(*flight));
	if (!pool || !flight) {
		sl_block_free(flight);
		return SL_ENOMEM;
	}
	memset(flight, 0, sizeof(*flight));
	flight->pool = pool;
	err = pool->waiting_count < WAITING_MAX ? build_request(flight, request) : SL_ELIMIT;
	if (err != SL_OK) {
		sl_block_free(flight);
		return err;
	}
	flight->fetch = fetch;
	flight->client = client;
	flight->timeouts = origin->timeouts;
	flight->is_head = sl_slice_is(request->method, "HEAD");
	flight->stage = SL_STAGE_CONNECT;
	flight->phase_timer.on_due = on_phase_due;
	flight->total_timer.on_due = on_total_due;
	sl_list_init(&flight->resumed);
	sl_list_push_back(&client->flights, &flight->all);
	fetch->internal = flight;
	fetch->reused = fetch->sent = false;
	set_phase(flight, flight->timeouts.connect_ms);
	if (flight->timeouts.total_ms)
		sl_timer_set(client->loop, &flight->total_timer, flight->timeouts.total_ms);
	sl_list_push_back(&pool->waiting, &flight->node);
	pool->waiting_count++;
	sl_pool_serve(pool);
	return SL_OK;
}

void
sl_flight_free(struct sl_flight *flight)
{
	sl_timer_clear(&flight->phase_timer);
	sl_timer_clear(&flight->total_timer);
	sl_list_remove(&flight->node);
	sl_list_remove(&flight->all);
	sl_list_remove(&flight->resumed);
	sl_flight_free_request(flight);
	sl_buf_release(&flight->held);
	if (flight->client->resuming == flight)
		flight->client->resuming = NULL;
	sl_client_return_head(flight->client, flight->head);
	flight->fetch->internal = NULL;
	free(flight->error);
	sl_block_free(flight);
}

void
sl_fetch_pause(struct sl_fetch *fetch)
{
	struct sl_flight *flight = fetch->internal;

	if (!flight)
		return;
	/* Also takes back a resume that was not carried out yet. */
	sl_list_remove(&flight->resumed);
	flight->paused = true;
	if (flight->got_head)
		sl_timer_clear(&flight->phase_timer);
}

/* The flight stays paused until the end of the turn: bytes that arrive before
 * then must queue behind those that are held. */
void
sl_fetch_resume(struct sl_fetch *fetch)
{
	struct sl_flight *flight = fetch->internal;

	if (!flight || !flight->paused || flight->failing)
		return;
	if (flight->got_head)
		set_phase(flight, flight->timeouts.idle_ms);
	sl_list_remove(&flight->resumed);
	sl_list_push_back(&flight->client->resumed, &flight->resumed);
	sl_client_kick(flight->client);
}

void
sl_fetch_cancel(struct sl_fetch *fetch)
{
	struct sl_flight *flight = fetch->internal;

	if (!flight)
		return;
	detach(flight);
	sl_flight_free(flight);
}

static void
own(struct sl_fetch *fetch)
{
	struct sl_flight *flight = fetch->internal;

	if (flight)
		flight->fetch = fetch;
}

void
sl_fetch_swap(struct sl_fetch *a, struct sl_fetch *b)
{
	struct sl_fetch kept = *a;

	*a = *b;
	*b = kept;
	own(a);
	own(b);
}

/* client.c - pools and connections. Fetches are in fetch.c, protocols in h?_client.c.
 *
 * A flight (one fetch) always enters its pool's queue; sl_pool_serve() then
 * matches queue and connections, and opens connections for what is left:
 *
 *   WAITING --sl_pool_serve--> SENDING --all written--> ANSWER --> ended
 *      ^                          |
 *      '------ sl_flight_retry ---'  only if nothing of it was processed
 *
 * A connection:
 *
 *   CONNECT --> TLS --> IDLE <--> BUSY
 *      '---------'--------'---------'----> CLOSED, freed by the task
 *
 * What may be retried. A request is a purchase: sent twice it may be bought
 * twice. A flight goes back to the queue only when (a) a reused connection ended
 * or failed before it took a byte, or (b) HTTP/2 says that the stream
 * was not processed (REFUSED_STREAM, GOAWAY below its id; RFC 9113 8.7). A
 * reused connection that dies after a byte was written is reported, with
 * error.sent, and the caller decides. To make that rare, an idle connection
 * stays registered, so a close is seen when it happens, and one that rested
 * for a moment is asked once more before its next use.
 *
 * Re-entrance. on_fail is always called from the deferred task. A connection
 * that is closed is unhooked at once but freed by the task, so code on the
 * stack may still look at its state.
 */
#include "net/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/client_internal.h"

enum {
	IDLE_TIMEOUT_MS = 60000,
	ASK_AGAIN_MS = 100,        /* rest after which an idle connection is asked */
	CONNECTIONS_DEFAULT = 1024,
	CONNECT_DEFAULT_MS = 10000,
	H2_STREAMS_GUESS = 100,    /* per connection, before SETTINGS said more */
};

static void on_upstream_ready(struct sl_io *io, uint32_t events);
static void on_upstream_timer(struct sl_timer *timer);

/* --- deferred work ------------------------------------------------------------- */

static void
free_upstream(struct sl_upstream *up)
{
	sl_list_remove(&up->node);
	sl_h1_clear(up);
	sl_h2_clear(up);
	free(up);
}

static void
free_pool(struct sl_pool *pool)
{
	sl_tls_unref(pool->origin.tls);
	free(pool->text);
	free(pool);
}

static void
sweep_pools(struct sl_client *client)
{
	client->sweep = false;
	for (size_t i = 0; i < SL_POOL_BUCKETS; i++) {
		struct sl_pool **link = &client->pools[i];

		while (*link) {
			struct sl_pool *pool = *link;

			if (pool->open_count || pool->waiting_count) {
				link = &pool->next;
				continue;
			}
			*link = pool->next;
			client->pool_count--;
			free_pool(pool);
		}
	}
}

static void
fail_now(struct sl_flight *flight)
{
	struct sl_fetch *fetch = flight->fetch;
	struct sl_fetch_error error = { .err = SL_ENOMEM, .stage = flight->stage,
		                        .sent = flight->sent };

	if (flight->error)
		error = *flight->error;
	sl_flight_free(flight);
	fetch->ops->on_fail(fetch, &error);
}

static void
run_deferred(struct sl_task *task)
{
	struct sl_client *client = SL_CONTAINER(task, struct sl_client, task);

	client->task_pending = false;
	while (!sl_list_empty(&client->starting)) {
		struct sl_flight *flight =
		    SL_CONTAINER(client->starting.next, struct sl_flight, node);

		sl_list_remove(&flight->node);
		sl_h1_send(flight->up);
	}
	while (!sl_list_empty(&client->resumed)) {
		struct sl_flight *flight =
		    SL_CONTAINER(client->resumed.next, struct sl_flight, resumed);

		sl_list_remove(&flight->resumed);
		flight->paused = false;
		if (!flight->up && !flight->ended)
			continue;
		if (flight->up && !flight->up->h2)
			sl_h1_resume(flight->up);
		else
			sl_h2_resume(flight);
	}
	while (!sl_list_empty(&client->failing))
		fail_now(SL_CONTAINER(client->failing.next, struct sl_flight, node));
	while (!sl_list_empty(&client->closed)) {
		struct sl_upstream *up = SL_CONTAINER(client->closed.next, struct sl_upstream, node);
		struct sl_pool *pool = up->pool;

		free_upstream(up);
		/* It made room under max_connections. */
		if (pool->waiting_count)
			sl_pool_serve(pool);
	}
	if (client->sweep)
		sweep_pools(client);
}

void
sl_client_kick(struct sl_client *client)
{
	/* sl_client_free does the work itself. */
	if (client->task_pending || client->freed)
		return;
	client->task_pending = true;
	sl_loop_defer(client->loop, &client->task);
}

struct sl_reply_head *
sl_client_take_head(struct sl_client *client)
{
	struct sl_reply_head *head = client->spare_head;

	client->spare_head = NULL;
	if (!head)
		return sl_reply_head_new();
	sl_reply_head_clear(head);
	return head;
}

void
sl_client_return_head(struct sl_client *client, struct sl_reply_head *head)
{
	if (head && !client->spare_head)
		client->spare_head = head;
	else
		sl_reply_head_free(head);
}

/* --- connections ------------------------------------------------------------------ */

void
sl_upstream_watch(struct sl_upstream *up, uint32_t events)
{
	struct sl_loop *loop = up->client->loop;

	/* Only HTTP/1 over TCP says when it has read all. An end behind a reply is to be seen
	 * before the next request, but not while nothing is read. */
	if (events && !up->sock.ssl && up->pool->origin.http2 != SL_HTTP2_ONLY)
		events |= EPOLLET | (events & EPOLLIN ? EPOLLRDHUP : 0);
	if (events == 0) {
		if (up->registered)
			sl_loop_remove(loop, &up->io);
		up->registered = false;
	} else if (up->registered) {
		sl_loop_change(loop, &up->io, events);
	} else {
		up->io.fd = up->sock.fd;
		up->registered = sl_loop_add(loop, &up->io, events) == SL_OK;
	}
}

void
sl_upstream_close(struct sl_upstream *up)
{
	struct sl_pool *pool = up->pool;

	if (up->state == SL_UP_CLOSED)
		return;
	if (up->state == SL_UP_CONNECT || up->state == SL_UP_TLS)
		pool->connecting_count--;
	pool->open_count--;
	sl_timer_clear(&up->timer);
	sl_dial_cancel(up->dial);
	up->dial = NULL;
	sl_upstream_watch(up, 0);
	/* RST in the middle of an exchange, so that the peer stops producing. */
	if (up->sock.fd >= 0) {
		if (up->state == SL_UP_IDLE)
			sl_sock_shutdown(&up->sock);
		sl_sock_close(&up->sock, up->state == SL_UP_BUSY);
	}
	up->state = SL_UP_CLOSED;
	sl_list_remove(&up->node);
	sl_list_push_back(&up->client->closed, &up->node);
	sl_client_kick(up->client);
}

static void
fail_connect(struct sl_upstream *up, enum sl_err err, enum sl_fetch_stage stage,
             const char *detail)
{
	struct sl_pool *pool = up->pool;
	char reason[sizeof(((struct sl_fetch_error *)0)->detail)];
	size_t others = pool->open_count - pool->connecting_count;
	/* Those who came for this connection: one, or, where several were to
	 * share it (HTTP/2), an equal part of the queue. */
	size_t share = others || pool->waiting_count == 0
	                   ? 1
	                   : (pool->waiting_count + pool->connecting_count - 1) /
	                         pool->connecting_count;

	/* The TLS layer's reason dies with its connection. */
	snprintf(reason, sizeof(reason), "%s", detail ? detail : "");
	sl_upstream_close(up);
	while (share-- > 0 && !sl_list_empty(&pool->waiting)) {
		struct sl_flight *flight =
		    SL_CONTAINER(pool->waiting.next, struct sl_flight, node);

		flight->stage = stage;
		sl_flight_fail(flight, err, reason);
	}
	sl_pool_serve(pool);
}

static void
become_ready(struct sl_upstream *up)
{
	struct sl_pool *pool = up->pool;
	bool h2 = pool->origin.http2 == SL_HTTP2_ONLY;

	if (up->sock.ssl) {
		h2 = sl_slice_is(sl_tls_alpn(&up->sock), "h2");
		if (!h2 && pool->origin.http2 == SL_HTTP2_ONLY) {
			fail_connect(up, SL_EPROTO, SL_STAGE_TLS,
			             "the server does not speak HTTP/2, which is required here");
			return;
		}
	}
	pool->knows_protocol = true;
	pool->speaks_h2 = h2;
	pool->connecting_count--;
	up->state = SL_UP_IDLE;
	up->idle_since_ms = sl_loop_now_ms(up->client->loop);
	sl_list_remove(&up->node);
	sl_upstream_watch(up, EPOLLIN);
	sl_timer_set(up->client->loop, &up->timer, IDLE_TIMEOUT_MS);
	if (h2) {
		sl_list_push_back(&pool->h2, &up->node);
		if (sl_h2_open(up) != SL_OK)
			sl_upstream_close(up);
	} else {
		sl_list_push_front(&pool->idle, &up->node);
	}
	sl_pool_serve(pool);
}

static void
step_handshake(struct sl_upstream *up)
{
	enum sl_err err = sl_tls_handshake(&up->sock);

	if (err == SL_AGAIN)
		sl_upstream_watch(up, up->sock.wants_write ? EPOLLOUT : EPOLLIN);
	else if (err != SL_OK)
		fail_connect(up, err, SL_STAGE_TLS, sl_tls_reason(&up->sock));
	else
		become_ready(up);
}

static void
on_dialled(void *context, int fd, const struct sl_fetch_error *error)
{
	struct sl_upstream *up = context;
	const struct sl_origin *origin = &up->pool->origin;
	enum sl_err err;

	up->dial = NULL;
	if (fd < 0) {
		fail_connect(up, error->err, error->stage, error->detail);
		return;
	}
	up->sock.fd = fd;
	if (!origin->tls) {
		become_ready(up);
		return;
	}
	up->state = SL_UP_TLS;
	err = sl_tls_start(origin->tls, &up->sock, origin->host, origin->identity);
	if (err != SL_OK) {
		fail_connect(up, SL_ETLS, SL_STAGE_TLS,
		             err == SL_EINVAL ? "the host name cannot be verified"
		                              : "TLS could not be set up");
		return;
	}
	step_handshake(up);
}

/* A byte, an end or an error on a connection that carries nothing. TLS may have
 * brought a session ticket, which is no byte for us. */
static bool
is_still_quiet(struct sl_upstream *up)
{
	char byte;

	/* Not the loop's scratch buffer: that may be in use further up the stack. */
	return sl_sock_read(&up->sock, &byte, 1) == SL_AGAIN;
}

static void
on_upstream_ready(struct sl_io *io, uint32_t events)
{
	struct sl_upstream *up = SL_CONTAINER(io, struct sl_upstream, io);

	if (up->state == SL_UP_TLS)
		step_handshake(up);
	else if (up->h2)
		sl_h2_on_ready(up, events);
	else if (up->state == SL_UP_BUSY)
		sl_h1_on_ready(up, events);
	else if (!is_still_quiet(up))
		sl_upstream_close(up);
}

static void
on_upstream_timer(struct sl_timer *timer)
{
	struct sl_upstream *up = SL_CONTAINER(timer, struct sl_upstream, timer);
	uint64_t now_ms = sl_loop_now_ms(up->client->loop), idle_ms;

	switch (up->state) {
	case SL_UP_CONNECT:
		fail_connect(up, SL_ETIMEDOUT, sl_dial_stage(up->dial),
		             "the connection was not opened in time");
		return;
	case SL_UP_TLS:
		fail_connect(up, SL_ETIMEDOUT, SL_STAGE_TLS,
		             "the TLS handshake did not finish in time");
		return;
	case SL_UP_IDLE:
		idle_ms = now_ms - up->idle_since_ms;
		if (idle_ms >= IDLE_TIMEOUT_MS)
			sl_upstream_close(up);
		else
			sl_timer_set(up->client->loop, timer, IDLE_TIMEOUT_MS - idle_ms);
		return;
	case SL_UP_BUSY:
		/* HTTP/1: nothing to do; set again when the connection rests. */
		if (up->h2)
			sl_h2_on_timer(up);
		return;
	case SL_UP_CLOSED:
		return;
	}
}

static bool
open_upstream(struct sl_pool *pool)
{
	struct sl_client *client = pool->client;
	struct sl_upstream *up = calloc(1, sizeof(*up));
	uint32_t connect_ms = pool->origin.timeouts.connect_ms;

	if (!up)
		return false;
	up->client = client;
	up->pool = pool;
	up->io = (struct sl_io){ .fd = -1, .on_ready = on_upstream_ready };
	up->sock.fd = -1;
	up->timer.on_due = on_upstream_timer;
	up->state = SL_UP_CONNECT;
	up->dial = sl_dial_start(client->dialer, &pool->origin, on_dialled, up);
	if (!up->dial) {
		free(up);
		return false;
	}
	sl_list_push_back(&pool->connecting, &up->node);
	pool->connecting_count++;
	pool->open_count++;
	client->opened++;
	sl_timer_set(client->loop, &up->timer, connect_ms ? connect_ms : CONNECT_DEFAULT_MS);
	return true;
}

void
sl_upstream_release(struct sl_upstream *up)
{
	up->served = true;
	up->state = SL_UP_IDLE;
	up->idle_since_ms = sl_loop_now_ms(up->client->loop);
	sl_upstream_watch(up, EPOLLIN);
	sl_timer_set(up->client->loop, &up->timer, IDLE_TIMEOUT_MS);
	sl_list_remove(&up->node);
	sl_list_push_front(&up->pool->idle, &up->node);
	sl_pool_serve(up->pool);
}

void
sl_upstream_set_full(struct sl_upstream *up, bool full)
{
	sl_list_remove(&up->node);
	sl_list_push_front(full ? &up->pool->h2_full : &up->pool->h2, &up->node);
}

/* --- pools --------------------------------------------------------------------------- */

static size_t
wanted_connections(const struct sl_pool *pool)
{
	const struct sl_origin *origin = &pool->origin;
	bool may_be_h2 = origin->http2 == SL_HTTP2_ONLY ||
	                 (origin->http2 == SL_HTTP2_AUTO && origin->tls);

	if (pool->speaks_h2)
		return (pool->waiting_count + H2_STREAMS_GUESS - 1) / H2_STREAMS_GUESS;
	/* The first connection tells whether the others can share it. */
	if (may_be_h2 && !pool->knows_protocol)
		return pool->waiting_count ? 1 : 0;
	return pool->waiting_count;
}

static struct sl_upstream *
pick_upstream(struct sl_pool *pool)
{
	uint64_t now_ms = sl_loop_now_ms(pool->client->loop);

	if (!sl_list_empty(&pool->h2))
		return SL_CONTAINER(pool->h2.next, struct sl_upstream, node);
	while (!sl_list_empty(&pool->idle)) {
		struct sl_upstream *up = SL_CONTAINER(pool->idle.next, struct sl_upstream, node);

		if (now_ms - up->idle_since_ms < ASK_AGAIN_MS || is_still_quiet(up))
			return up;
		sl_upstream_close(up);
	}
	return NULL;
}

static void
assign(struct sl_upstream *up, struct sl_flight *flight)
{
	sl_list_remove(&flight->node);
	flight->pool->waiting_count--;
	if (up->served)
		up->client->reused++;
	up->state = SL_UP_BUSY;
	sl_flight_begin(flight, up);
	if (up->h2) {
		up->served = true;
		sl_h2_start(up, flight);
		return;
	}
	up->flight = flight;
	sl_list_remove(&up->node);
	sl_list_push_back(&up->pool->busy, &up->node);
	sl_h1_start(up, flight);
}

void
sl_pool_serve(struct sl_pool *pool)
{
	uint32_t max = pool->origin.max_connections ? pool->origin.max_connections
	                                            : CONNECTIONS_DEFAULT;

	while (!sl_list_empty(&pool->waiting)) {
		struct sl_upstream *up = pick_upstream(pool);

		if (!up)
			break;
		assign(up, SL_CONTAINER(pool->waiting.next, struct sl_flight, node));
	}
	while (pool->connecting_count < wanted_connections(pool) && pool->open_count < max) {
		if (open_upstream(pool))
			continue;
		sl_flight_fail(SL_CONTAINER(pool->waiting.next, struct sl_flight, node),
		               SL_ENOMEM, "out of memory");
	}
}

static size_t
bucket_of(struct sl_slice identity)
{
	const uint64_t odd = 0x9e3779b97f4a7c15;
	uint64_t hash = identity.len, word;
	size_t at = 0;

	for (; at + sizeof(word) <= identity.len; at += sizeof(word)) {
		memcpy(&word, identity.ptr + at, sizeof(word));
		hash = (hash ^ word) * odd;
		hash ^= hash >> 32;
	}
	for (; at < identity.len; at++)
		hash = (hash ^ (unsigned char)identity.ptr[at]) * odd;
	return (size_t)(hash >> 32) % SL_POOL_BUCKETS;
}

/* host, identity, authority and the allow list in one block. */
static bool
copy_origin(struct sl_pool *pool, const struct sl_origin *origin)
{
	size_t allow_size = origin->allow_count * sizeof(*origin->allow);
	char *text = malloc(allow_size + 2 * origin->host.len + origin->identity.len +
	                    SL_AUTHORITY_EXTRA);

	if (!text)
		return false;
	pool->text = text;
	pool->origin = *origin;
	if (allow_size)
		memcpy(text, origin->allow, allow_size);
	pool->origin.allow = (const struct sl_cidr *)(void *)text;
	text += allow_size;
	memcpy(text, origin->host.ptr, origin->host.len);
	pool->origin.host.ptr = text;
	text += origin->host.len;
	memcpy(text, origin->identity.ptr, origin->identity.len);
	pool->origin.identity.ptr = text;
	text += origin->identity.len;
	pool->authority = sl_slice_make(text, (size_t)(sl_put_authority(text, origin) - text));
	sl_tls_ref(pool->origin.tls);
	return true;
}

static struct sl_pool *
add_pool(struct sl_client *client, const struct sl_origin *origin, size_t bucket)
{
	struct sl_pool *pool = calloc(1, sizeof(*pool));

	if (!pool || !copy_origin(pool, origin)) {
		free(pool);
		return NULL;
	}
	pool->client = client;
	sl_list_init(&pool->idle);
	sl_list_init(&pool->busy);
	sl_list_init(&pool->connecting);
	sl_list_init(&pool->h2);
	sl_list_init(&pool->h2_full);
	sl_list_init(&pool->waiting);
	pool->next = client->pools[bucket];
	client->pools[bucket] = pool;
	client->pool_count++;
	/* Pools that fell empty go when a new one comes: their number stays that
	 * of the origins in use. Not now, a caller on the stack may hold one. */
	client->sweep = true;
	sl_client_kick(client);
	return pool;
}

struct sl_pool *
sl_client_pool(struct sl_client *client, const struct sl_origin *origin)
{
	size_t bucket = bucket_of(origin->identity);

	for (struct sl_pool *pool = client->pools[bucket]; pool; pool = pool->next) {
		if (!sl_slice_eq(pool->origin.identity, origin->identity))
			continue;
		/* After a reload: the same trust, read anew. */
		if (pool->origin.tls != origin->tls) {
			sl_tls_unref(pool->origin.tls);
			pool->origin.tls = sl_tls_ref(origin->tls);
		}
		pool->origin.max_connections = origin->max_connections;
		pool->origin.timeouts = origin->timeouts;
		return pool;
	}
	return add_pool(client, origin, bucket);
}

/* --- client ---------------------------------------------------------------------------- */

struct sl_client *
sl_client_new(struct sl_loop *loop)
{
	struct sl_client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	client->loop = loop;
	client->task.run = run_deferred;
	sl_list_init(&client->flights);
	sl_list_init(&client->failing);
	sl_list_init(&client->starting);
	sl_list_init(&client->resumed);
	sl_list_init(&client->closed);
	client->dialer = sl_dialer_new(loop);
	if (!client->dialer) {
		free(client);
		return NULL;
	}
	return client;
}

static void
close_all(struct sl_list *list)
{
	while (!sl_list_empty(list))
		sl_upstream_close(SL_CONTAINER(list->next, struct sl_upstream, node));
}

void
sl_client_free(struct sl_client *client)
{
	if (!client)
		return;
	client->freed = true;
	while (!sl_list_empty(&client->flights)) {
		struct sl_flight *flight =
		    SL_CONTAINER(client->flights.next, struct sl_flight, all);

		if (!flight->failing)
			sl_flight_fail(flight, SL_ECANCELLED, "the gateway is shutting down");
		fail_now(flight);
	}
	for (size_t i = 0; i < SL_POOL_BUCKETS; i++)
		for (struct sl_pool *pool = client->pools[i]; pool; pool = pool->next) {
			close_all(&pool->idle);
			close_all(&pool->busy);
			close_all(&pool->connecting);
			close_all(&pool->h2);
			close_all(&pool->h2_full);
		}
	while (!sl_list_empty(&client->closed))
		free_upstream(SL_CONTAINER(client->closed.next, struct sl_upstream, node));
	sweep_pools(client);
	sl_dialer_free(client->dialer);
	sl_reply_head_free(client->spare_head);
	sl_loop_undefer(client->loop, &client->task);
	free(client);
}

void
sl_client_stats(const struct sl_client *client, struct sl_client_stats *out)
{
	*out = (struct sl_client_stats){ .opened = client->opened, .reused = client->reused };
	for (size_t i = 0; i < SL_POOL_BUCKETS; i++)
		for (const struct sl_pool *pool = client->pools[i]; pool; pool = pool->next) {
			out->open += pool->open_count;
			for (const struct sl_list *node = pool->idle.next; node != &pool->idle;
			     node = node->next)
				out->idle++;
			for (const struct sl_list *node = pool->h2.next; node != &pool->h2;
			     node = node->next)
				out->idle += SL_CONTAINER(node, struct sl_upstream, node)->state ==
				             SL_UP_IDLE;
		}
	for (const struct sl_list *node = client->flights.next; node != &client->flights;
	     node = node->next)
		out->active++;
}

/* h1_server.c - HTTP/1.0 and 1.1 connections: requests in, answers out.
 *
 * One exchange at a time. The state says where the reader stands; the answer
 * keeps its own few flags, because it may begin and end in any of these states.
 *
 *            on_bytes           head complete            body complete
 *   IDLE ------------> HEAD ----------------> LENGTH ----------------> WAIT
 *    ^                  |  '----------------> CHUNKED --> TRAILERS --'  |
 *    |                  '- bad_request -> SINK <- bad_request -'        |
 *    '------------------------- end_answer -----------------------------'
 *
 * WAIT: the request is complete; further bytes are the next request's and are
 * kept, with reading paused, until this answer is out. SINK: nothing that comes
 * is wanted; the connection closes behind the answer. When the answer is out
 * before the body came, the reader goes on in its state without an exchange,
 * dropping at most SL_DISCARD_MAX bytes.
 *
 * Read feed() for the way in, h1_answer.c for the way out, end_answer() for what
 * follows. Nothing but the exchange is held while it waits for its answer.
 */
#include <stdlib.h>

#include "net/h1_server.h"

enum {
	DIRECT_READ = 16 * 1024,   /* larger rests of a body are read in place */
	DIRECT_MAX = 256 * 1024,   /* bytes asked of one read */
	FRAMING_MAX = 16 * 1024,   /* bytes of chunk framing beyond what data pays for */
};

static void
set_timer(struct h1 *h1, enum h1_timer timer, uint32_t delay_ms)
{
	h1->timer = delay_ms ? timer : H1_TIMER_NONE;
	if (h1->timer != H1_TIMER_NONE)
		sl_timer_set(h1->conn->server->loop, &h1->conn->timer, delay_ms);
}

/* --- head parsers, of which the server keeps one --------------------------------- */

static bool
take_head(struct h1 *h1)
{
	struct sl_server *server = h1->conn->server;

	h1->head = server->spare_head ? server->spare_head : sl_h1_head_new();
	server->spare_head = NULL;
	if (!h1->head)
		return false;
	sl_h1_head_reset(h1->head, server->limits.header_bytes, server->limits.header_count);
	return true;
}

static void
drop_head(struct h1 *h1)
{
	struct sl_server *server = h1->conn->server;

	if (!h1->head)
		return;
	if (server->spare_head || h1->head->text.cap > SL_SPARE_MAX)
		sl_h1_head_free(h1->head);
	else
		server->spare_head = h1->head;
	h1->head = NULL;
}

/* --- the exchange begins ------------------------------------------------------------ */

static bool
begin_exchange(struct h1 *h1)
{
	size_t head_size = h1->head ? sl_h1_head_size(h1->head) : 0;

	h1->exchange = sl_exchange_new(h1->conn, sizeof(*h1->exchange), &sl_h1_exchange_ops, head_size);
	if (!h1->exchange) {
		sl_conn_close(h1->conn, SL_GONE_ABORTED, true);
		return false;
	}
	h1->exchange->h1 = h1;
	h1->exchange->base.begin_ns = h1->begin_ns;
	h1->exchange->base.request.http_major = 1;
	h1->started = h1->finished = h1->chunked = h1->bodiless = false;
	h1->corked = h1->limited = false;
	return true;
}

/* Copies what the parser holds into the request, complete or not. */
static enum sl_err
fill_request(struct h1 *h1)
{
	struct sl_exchange *exchange = &h1->exchange->base;
	struct sl_request *request = &exchange->request;
	struct sl_slice target;

	if (!h1->head->has_target)
		return SL_OK;
	request->method = sl_slice_str(
	    llhttp_method_name((llhttp_method_t)llhttp_get_method(&h1->head->parser)));
	request->is_head = h1->head->parser.method == HTTP_HEAD;
	if (sl_h1_head_copy(h1->head, exchange->head, &request->headers, &target) != SL_OK)
		return SL_ENOMEM;
	return sl_request_set_target(request, target);
}

/* Asks the handler for an answer to a fault of the wire; the connection closes
 * behind it. An answer that is on its way already is left to end. */
static void
bad_request(struct h1 *h1, int status, const char *reason)
{
	struct sl_server *server = h1->conn->server;
	bool in_head = h1->state == H1_HEAD;

	h1->state = H1_SINK;
	h1->keep_alive = false;
	set_timer(h1, H1_TIMER_NONE, 0);
	if (!h1->exchange && !in_head) {
		/* The rest of a request that was answered before. */
		drop_head(h1);
		sl_conn_linger(h1->conn);
		return;
	}
	if (!h1->exchange) {
		if (!begin_exchange(h1))
			return;
		/* As much of it as can be understood. */
		if (h1->head)
			fill_request(h1);
	}
	drop_head(h1);
	if (h1->started)
		return;
	server->handler.on_bad_request(server->handler.context, &h1->exchange->base, status,
	                               reason);
	if (!h1->started)
		sl_conn_close(h1->conn, SL_GONE_PROTOCOL, false);
}

/* --- reading: the end of a request ---------------------------------------------------- */

static void
end_request(struct h1 *h1)
{
	struct sl_server *server = h1->conn->server;

	drop_head(h1);
	set_timer(h1, H1_TIMER_NONE, 0);
	if (!h1->exchange) {
		/* It was answered before; this was the discarded rest. */
		h1->state = H1_IDLE;
		set_timer(h1, H1_TIMER_IDLE, server->limits.keepalive_timeout_ms);
		if (server->draining)
			sl_conn_linger(h1->conn);
		return;
	}
	h1->state = H1_WAIT;
	h1->exchange->base.body_end_ns = sl_loop_event_ns(server->loop);
	if (!h1->started)
		server->handler.on_request(server->handler.context, &h1->exchange->base);
}

/* Whether body bytes go into the exchange; else they are dropped. */
static bool
body_wanted(const struct h1 *h1)
{
	return h1->exchange && !h1->started;
}

/* Body bytes nobody wants. False: the connection does not go on. */
static bool
discard(struct h1 *h1, size_t size)
{
	h1->discarded += size;
	if (h1->discarded <= SL_DISCARD_MAX)
		return true;
	h1->state = H1_SINK;
	h1->keep_alive = false;
	drop_head(h1);
	if (!h1->exchange)
		sl_conn_linger(h1->conn);
	return false;
}

static bool
take_body(struct h1 *h1, struct sl_slice data)
{
	struct sl_buf *body = h1->exchange ? &h1->exchange->base.body : NULL;

	if (!body_wanted(h1))
		return discard(h1, data.len);
	if (data.len > h1->body_max - body->len) {
		bad_request(h1, 413, "the body is larger than the limit");
		return false;
	}
	if (sl_buf_append(body, data) != SL_OK) {
		bad_request(h1, 503, "out of memory");
		return false;
	}
	return true;
}

static size_t
read_length(struct h1 *h1, struct sl_slice bytes)
{
	struct sl_slice data = sl_slice_upto(bytes, h1->body_left);

	if (!take_body(h1, data))
		return bytes.len;
	h1->body_left -= data.len;
	if (h1->body_left == 0)
		end_request(h1);
	return data.len;
}

static size_t
read_chunked(struct h1 *h1, struct sl_slice bytes)
{
	struct sl_slice data;
	const char *reason;
	bool done;
	ptrdiff_t used = sl_h1_head_read_chunk(h1->head, bytes, &data, &done, &reason);

	if (used < 0) {
		bad_request(h1, 400, reason);
		return bytes.len;
	}
	/* One byte per chunk, or an endless chunk extension, costs the reader more
	 * than it brings; a sender has to pay for framing with data. */
	h1->framing += (size_t)used - data.len;
	h1->received += data.len;
	if (data.len && !take_body(h1, data))
		return bytes.len;
	if (h1->framing > FRAMING_MAX + h1->received * 16) {
		bad_request(h1, 400, "the chunked framing outweighs the body");
		return bytes.len;
	}
	if (done) {
		h1->state = H1_TRAILERS;
		sl_h1_head_begin_trailers(h1->head, h1->conn->server->limits.header_bytes);
	}
	return (size_t)used;
}

static size_t
read_trailers(struct h1 *h1, struct sl_slice bytes)
{
	struct sl_slice no_target;
	const char *reason;
	bool done;
	ptrdiff_t used = sl_h1_head_read(h1->head, bytes, &done, &reason);

	if (used < 0) {
		bad_request(h1, used == SL_ELIMIT ? 431 : 400, reason);
		return bytes.len;
	}
	if (!done)
		return (size_t)used;
	if (h1->exchange &&
	    sl_h1_head_copy(h1->head, &h1->exchange->base.arena, &h1->exchange->base.trailers,
	                    &no_target) != SL_OK) {
		bad_request(h1, 503, "out of memory");
		return bytes.len;
	}
	end_request(h1);
	return (size_t)used;
}

/* --- reading: the head ------------------------------------------------------------------ */

static void
send_continue(struct h1 *h1)
{
	static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct iovec part = { text, sizeof(text) - 1 };

	h1->expecting = false;
	sl_conn_send(h1->conn, &part, 1);
}

/* The handler has seen the head and wants the body. */
static void
begin_body(struct h1 *h1, int64_t content_length, bool more)
{
	struct sl_buf *body = &h1->exchange->base.body;

	if (content_length >= 0 && (uint64_t)content_length > h1->body_max) {
		bad_request(h1, 413, "the body is larger than the limit");
		return;
	}
	/* The buffer ends exactly where the body does, but a declaration alone
	 * does not allocate it all. */
	body->max_size = content_length >= 0 ? (size_t)content_length : h1->body_max;
	if (body->max_size == 0)
		body->max_size = 1;
	if (content_length >= 0 &&
	    sl_buf_reserve(body, body->max_size < SL_BODY_FIRST ? body->max_size : SL_BODY_FIRST)) {
		bad_request(h1, 503, "out of memory");
		return;
	}
	if (h1->expecting && !more)
		send_continue(h1);
	h1->expecting = false;
}

static void
end_head(struct h1 *h1, bool more)
{
	struct sl_server *server = h1->conn->server;
	struct sl_h1_framing framing;
	struct sl_request *request;
	const char *reason;
	enum sl_err err;
	int status;

	if (!begin_exchange(h1))
		return;
	h1->requests++;
	request = &h1->exchange->base.request;
	err = fill_request(h1);
	if (err != SL_OK) {
		bad_request(h1, err == SL_ENOMEM ? 503 : 400,
		            err == SL_ENOMEM ? "out of memory" : "the request target is malformed");
		return;
	}
	status = sl_h1_head_judge(h1->head, &request->headers, &framing, &request->authority,
	                          &reason);
	h1->http10 = framing.http10;
	if (status) {
		bad_request(h1, status, reason);
		return;
	}
	h1->keep_alive = framing.keep_alive && (server->limits.requests_per_connection == 0 ||
	                                        h1->requests < server->limits.requests_per_connection);
	request->content_length = framing.content_length;
	request->has_body = framing.chunked || framing.content_length > 0;
	h1->expecting = framing.expects_continue && request->has_body && !h1->http10 && !more;
	h1->state = framing.chunked ? H1_CHUNKED : request->has_body ? H1_LENGTH : H1_WAIT;
	h1->body_left = request->has_body && !framing.chunked ? (size_t)framing.content_length : 0;
	h1->body_max = server->limits.body_bytes;
	h1->framing = h1->received = h1->discarded = 0;
	if (request->has_body)
		set_timer(h1, H1_TIMER_BODY, server->limits.body_timeout_ms);
	if (!framing.chunked)
		drop_head(h1);
	server->handler.on_head(server->handler.context, &h1->exchange->base, &h1->body_max);
	if (h1->conn->phase != SL_CONN_OPEN)
		return;
	if (!request->has_body)
		end_request(h1);
	else if (!h1->started)
		begin_body(h1, framing.content_length, more);
}

static size_t
read_head(struct h1 *h1, struct sl_slice bytes)
{
	const char *reason;
	bool done;
	ptrdiff_t used = sl_h1_head_read(h1->head, bytes, &done, &reason);

	if (used < 0) {
		bad_request(h1, used == SL_ELIMIT ? 431 : 400, reason);
		return bytes.len;
	}
	if (done)
		end_head(h1, (size_t)used < bytes.len);
	return (size_t)used;
}

static void
begin_head(struct h1 *h1)
{
	if (!take_head(h1)) {
		sl_conn_close(h1->conn, SL_GONE_ABORTED, true);
		return;
	}
	h1->begin_ns = sl_loop_event_ns(h1->conn->server->loop);
	h1->state = H1_HEAD;
	h1->http10 = false;
	h1->timer = H1_TIMER_NONE;
}

/* Bytes of the next request, while this one waits for its answer. */
static void
keep_pending(struct h1 *h1, struct sl_slice bytes)
{
	if (sl_buf_append(&h1->pending, bytes) != SL_OK)
		sl_conn_close(h1->conn, SL_GONE_ABORTED, true);
	else
		sl_conn_pause(h1->conn, true);
}

static void
feed(struct h1 *h1, struct sl_slice bytes)
{
	while (bytes.len && h1->conn->phase == SL_CONN_OPEN) {
		size_t used = bytes.len;

		switch (h1->state) {
		case H1_IDLE:
			begin_head(h1);
			used = 0;
			break;
		case H1_HEAD:
			used = read_head(h1, bytes);
			break;
		case H1_LENGTH:
			used = read_length(h1, bytes);
			break;
		case H1_CHUNKED:
			used = read_chunked(h1, bytes);
			break;
		case H1_TRAILERS:
			used = read_trailers(h1, bytes);
			break;
		case H1_WAIT:
			if (h1->keep_alive)
				keep_pending(h1, bytes);
			break;
		case H1_SINK:
			break;
		}
		bytes = sl_slice_from(bytes, used);
	}
	/* Counted from the first byte: later bytes do not extend it. */
	if (h1->state == H1_HEAD && h1->timer != H1_TIMER_HEAD &&
	    h1->conn->phase == SL_CONN_OPEN)
		set_timer(h1, H1_TIMER_HEAD, h1->conn->server->limits.header_timeout_ms);
}

/* The peer will send no more. */
static void
end_input(struct h1 *h1)
{
	if (sl_h1_reading_body(h1) && body_wanted(h1))
		bad_request(h1, 400, "the connection ended inside the request body");
	else
		sl_conn_close(h1->conn, SL_GONE_PEER, false);
}

/* A large rest of a body is read straight to its place. True when it was tried. */
static bool
read_in_place(struct h1 *h1, size_t *got, bool *ended)
{
	struct sl_buf *body;
	size_t size = h1->body_left < DIRECT_MAX ? h1->body_left : DIRECT_MAX;

	if (h1->state != H1_LENGTH || h1->body_left < DIRECT_READ || !body_wanted(h1))
		return false;
	body = &h1->exchange->base.body;
	/* The room that is there already first; then it grows by doubling. */
	if (body->cap > body->len && body->cap - body->len < size)
		size = body->cap - body->len;
	if (sl_buf_reserve(body, size) != SL_OK) {
		bad_request(h1, 503, "out of memory");
		return true;
	}
	*got = sl_conn_read(h1->conn, body->ptr + body->len, size, ended);
	body->len += *got;
	h1->body_left -= *got;
	if (*got && h1->body_left == 0)
		end_request(h1);
	return true;
}

static void
on_readable(struct sl_conn *conn)
{
	struct h1 *h1 = conn->state;
	char *scratch = sl_loop_scratch(conn->server->loop);
	bool ended = false;
	size_t got = 0;

	if (!read_in_place(h1, &got, &ended)) {
		got = sl_conn_read(conn, scratch, SL_LOOP_SCRATCH, &ended);
		if (got)
			feed(h1, sl_slice_make(scratch, got));
	}
	if (ended)
		end_input(h1);
}

static void
on_bytes(struct sl_conn *conn, struct sl_slice bytes)
{
	feed(conn->state, bytes);
}

/* --- after the answer ----------------------------------------------------------------------- */

static void
on_written(struct sl_conn *conn)
{
	struct h1 *h1 = conn->state;
	struct sl_server *server = conn->server;

	if (!h1->exchange)
		return;
	if (h1->finished)
		sl_conn_defer(conn);
	else if (h1->limited && sl_conn_unsent(conn) < server->limits.write_buffer_bytes / 2) {
		h1->limited = false;
		server->handler.on_drain(server->handler.context, &h1->exchange->base);
	}
}

/* The bytes that came while the last request was answered. */
static void
feed_pending(struct h1 *h1)
{
	struct sl_buf held = h1->pending;

	sl_buf_init(&h1->pending, held.max_size);
	feed(h1, sl_buf_slice(&held));
	sl_buf_release(&held);
}

static void
end_answer(struct h1 *h1)
{
	struct sl_conn *conn = h1->conn;
	struct sl_server *server = conn->server;

	sl_exchange_free(conn, &h1->exchange->base, SL_GONE_DONE);
	h1->exchange = NULL;
	if (!h1->keep_alive || server->draining || h1->state == H1_SINK) {
		drop_head(h1);
		sl_conn_linger(conn);
		return;
	}
	if (sl_h1_reading_body(h1)) {
		set_timer(h1, H1_TIMER_DISCARD, SL_LINGER_MS);
		return;
	}
	h1->state = H1_IDLE;
	if (h1->pending.len)
		feed_pending(h1);
	if (conn->phase != SL_CONN_OPEN)
		return;
	if (h1->state == H1_IDLE)
		set_timer(h1, H1_TIMER_IDLE, server->limits.keepalive_timeout_ms);
	if (h1->pending.len == 0)
		sl_conn_pause(conn, false);
	if (!conn->paused && sl_sock_has_buffered(&conn->sock))
		on_readable(conn);
}

static void
on_task(struct sl_conn *conn)
{
	struct h1 *h1 = conn->state;

	if (h1->corked) {
		/* What follows from the answer waits until the turn's others are out, too. */
		h1->corked = false;
		sl_conn_send(conn, NULL, 0);
		sl_conn_defer(conn);
		return;
	}
	if (h1->exchange && h1->finished && sl_conn_unsent(conn) == 0)
		end_answer(h1);
	if (!conn->server->draining || h1->state != H1_IDLE || conn->phase != SL_CONN_OPEN)
		return;
	/* A request that is here already is still answered. */
	on_readable(conn);
	if (h1->state == H1_IDLE)
		sl_conn_close(conn, SL_GONE_SHUTDOWN, false);
}

static void
on_hangup(struct sl_conn *conn)
{
	sl_conn_close(conn, SL_GONE_PEER, false);
}

static void
on_timer(struct sl_conn *conn)
{
	struct h1 *h1 = conn->state;

	switch (h1->timer) {
	case H1_TIMER_NONE:
		break;
	case H1_TIMER_IDLE:
		if (h1->state == H1_IDLE)
			sl_conn_close(conn, SL_GONE_DONE, false);
		break;
	case H1_TIMER_HEAD:
		bad_request(h1, 408, "the request head took too long");
		break;
	case H1_TIMER_BODY:
		if (body_wanted(h1))
			bad_request(h1, 408, "the request body took too long");
		else
			h1->keep_alive = false;
		break;
	case H1_TIMER_DISCARD:
		sl_conn_linger(conn);
		break;
	}
}

static void
drain(struct sl_conn *conn)
{
	struct h1 *h1 = conn->state;

	if (h1->state == H1_IDLE)
		sl_conn_defer(conn);
}

static enum sl_err
open_h1(struct sl_conn *conn)
{
	struct h1 *h1 = calloc(1, sizeof(*h1));

	if (!h1)
		return SL_ENOMEM;
	h1->conn = conn;
	conn->state = h1;
	sl_buf_init(&h1->pending, SL_LOOP_SCRATCH);
	/* A connection that opened over TLS and says nothing is idle. */
	set_timer(h1, H1_TIMER_IDLE, conn->server->limits.keepalive_timeout_ms);
	return SL_OK;
}

static void
end_h1(struct sl_conn *conn)
{
	struct h1 *h1 = conn->state;

	drop_head(h1);
	if (h1->exchange)
		sl_exchange_free(conn, &h1->exchange->base, conn->gone);
	sl_buf_release(&h1->pending);
	free(h1);
}

const struct sl_conn_ops sl_h1_ops = {
	.open = open_h1,
	.on_bytes = on_bytes,
	.on_readable = on_readable,
	.on_written = on_written,
	.on_hangup = on_hangup,
	.on_timer = on_timer,
	.on_task = on_task,
	.drain = drain,
	.end = end_h1,
};

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
 * Read feed() for the way in, send_* for the way out, end_answer for what
 * follows. Nothing but the exchange is held while it waits for its answer.
 */
#include <stdlib.h>

#include "net/h1_head.h"
#include "net/server_internal.h"

enum {
	DIRECT_READ = 16 * 1024,   /* larger rests of a body are read in place */
	DIRECT_MAX = 256 * 1024,   /* bytes asked of one read */
	FRAMING_MAX = 16 * 1024,   /* bytes of chunk framing beyond what data pays for */
};

enum h1_state { H1_IDLE, H1_HEAD, H1_LENGTH, H1_CHUNKED, H1_TRAILERS, H1_WAIT, H1_SINK };

/* What conn->timer is running for. It is left running when its reason is gone,
 * because re-arming is cheaper than clearing. */
enum h1_timer { H1_TIMER_NONE, H1_TIMER_IDLE, H1_TIMER_HEAD, H1_TIMER_BODY, H1_TIMER_DISCARD };

struct h1;

struct h1_exchange {
	struct sl_exchange base;
	struct h1         *h1;
};

struct h1 {
	struct sl_conn     *conn;
	struct h1_exchange *exchange;  /* NULL between two */
	struct sl_h1_head  *head;      /* while a request is being read */
	struct sl_buf       pending;   /* bytes of the next requests */
	uint64_t            begin_ns;
	size_t              body_max;
	size_t              body_left; /* H1_LENGTH: bytes to come */
	size_t              framing;   /* H1_CHUNKED: bytes that are not data */
	size_t              received;  /* H1_CHUNKED: bytes of data */
	size_t              discarded;
	int64_t             answer_left; /* bytes declared and not written; -1: streamed */
	uint32_t            requests;
	enum h1_state       state;
	enum h1_timer       timer;
	bool keep_alive;  /* the connection may serve another request */
	bool http10;
	bool expecting;   /* the client waits for 100 Continue */
	bool started, finished, chunked, bodiless; /* the answer */
	bool limited;     /* a write was refused; on_drain is owed */
};

static const struct sl_exchange_ops exchange_ops;

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
	const struct sl_h1_head *head = h1->head;
	size_t head_size = head ? head->text.len + head->count * sizeof(struct sl_header) : 0;

	h1->exchange = sl_exchange_new(h1->conn, sizeof(*h1->exchange), &exchange_ops, head_size);
	if (!h1->exchange) {
		sl_conn_close(h1->conn, SL_GONE_ABORTED, true);
		return false;
	}
	h1->exchange->h1 = h1;
	h1->exchange->base.begin_ns = h1->begin_ns;
	h1->exchange->base.request.http_major = 1;
	h1->started = h1->finished = h1->chunked = h1->bodiless = h1->limited = false;
	return true;
}

/* Copies what the parser holds into the request, complete or not. */
static bool
fill_request(struct h1 *h1)
{
	struct sl_exchange *exchange = &h1->exchange->base;
	struct sl_request *request = &exchange->request;
	struct sl_slice target;

	if (!h1->head->has_target)
		return true;
	request->method = sl_slice_str(
	    llhttp_method_name((llhttp_method_t)llhttp_get_method(&h1->head->parser)));
	request->is_head = h1->head->parser.method == HTTP_HEAD;
	target = sl_arena_dup(&exchange->arena, sl_h1_head_target(h1->head));
	if (!target.ptr || sl_h1_head_fields(h1->head, &exchange->arena, &request->headers))
		return false;
	return sl_request_set_target(request, target) == SL_OK;
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
	h1->exchange->base.body_end_ns = sl_loop_now_ns(server->loop);
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
	const char *reason;
	bool done;
	ptrdiff_t used = sl_h1_head_read(h1->head, bytes, &done, &reason);

	if (used < 0) {
		bad_request(h1, used == SL_ELIMIT ? 431 : 400, reason);
		return bytes.len;
	}
	if (!done)
		return (size_t)used;
	if (h1->exchange && sl_h1_head_fields(h1->head, &h1->exchange->base.arena,
	                                      &h1->exchange->base.trailers) != SL_OK) {
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
	int status;

	if (!begin_exchange(h1))
		return;
	h1->requests++;
	request = &h1->exchange->base.request;
	if (!fill_request(h1)) {
		bad_request(h1, 400, "the request target is malformed");
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
	h1->begin_ns = sl_loop_now_ns(h1->conn->server->loop);
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
	bool in_body = h1->state == H1_LENGTH || h1->state == H1_CHUNKED ||
	               h1->state == H1_TRAILERS;

	if (in_body && body_wanted(h1))
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

/* --- answering --------------------------------------------------------------------------- */

static struct h1 *
h1_of(const struct sl_exchange *exchange)
{
	return ((const struct h1_exchange *)(const void *)exchange)->h1;
}

static bool
reading_body(const struct h1 *h1)
{
	return h1->state == H1_LENGTH || h1->state == H1_CHUNKED || h1->state == H1_TRAILERS;
}

/* Whether another request may follow this answer. A client that waits for 100
 * may or may not send its body now, so nobody could tell where the next request
 * begins (RFC 9110 10.1.1). */
static bool
may_go_on(const struct h1 *h1)
{
	if (!h1->keep_alive || h1->conn->server->draining)
		return false;
	if (!reading_body(h1))
		return true;
	return !h1->expecting && h1->body_left <= SL_DISCARD_MAX;
}

static void
put_number(struct sl_buf *out, uint64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + number % 10);
	while (number /= 10);
	sl_buf_append(out, sl_slice_make(digits + at, sizeof(digits) - at));
}

static void
put_field(struct sl_buf *out, struct sl_slice name, struct sl_slice value)
{
	sl_buf_append(out, name);
	sl_buf_append(out, SL_SLICE(": "));
	sl_buf_append(out, value);
	sl_buf_append(out, SL_SLICE("\r\n"));
}

static enum sl_err
check_fields(const struct sl_header *fields, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!sl_header_is_valid(fields[i].name, fields[i].value))
			return SL_EINVAL;
	return SL_OK;
}

static void
put_status(struct h1 *h1, struct sl_buf *out, int status)
{
	sl_buf_append(out, SL_SLICE("HTTP/1.1 "));
	put_number(out, (uint64_t)status);
	sl_buf_append_char(out, ' ');
	sl_buf_append_str(out, sl_http_reason(status));
	sl_buf_append(out, SL_SLICE("\r\ndate: "));
	sl_buf_append(out, sl_server_date(h1->conn->server));
	sl_buf_append(out, SL_SLICE("\r\n"));
}

static void
put_framing(struct h1 *h1, struct sl_buf *out, int status, int64_t body_length,
            struct sl_slice trailer_names)
{
	if (status != 204 && status != 304) {
		if (body_length >= 0) {
			sl_buf_append(out, SL_SLICE("content-length: "));
			put_number(out, (uint64_t)body_length);
			sl_buf_append(out, SL_SLICE("\r\n"));
		} else if (h1->chunked) {
			sl_buf_append(out, SL_SLICE("transfer-encoding: chunked\r\n"));
			if (trailer_names.len)
				put_field(out, SL_SLICE("trailer"), trailer_names);
		}
	}
	if (!h1->keep_alive)
		sl_buf_append(out, SL_SLICE("connection: close\r\n"));
	else if (h1->http10)
		sl_buf_append(out, SL_SLICE("connection: keep-alive\r\n"));
	sl_buf_append(out, SL_SLICE("\r\n"));
}

static enum sl_err
send_start(struct sl_exchange *exchange, int status, const struct sl_header *headers,
           size_t count, int64_t body_length, struct sl_slice trailer_names)
{
	struct h1 *h1 = h1_of(exchange);
	struct sl_buf *out;

	if (h1->conn->phase != SL_CONN_OPEN)
		return SL_ECLOSED;
	if (h1->started || status < 200 || status > 999 ||
	    check_fields(headers, count) != SL_OK ||
	    (trailer_names.len && !sl_header_is_valid(SL_SLICE("trailer"), trailer_names)))
		return SL_EINVAL;
	h1->keep_alive = may_go_on(h1);
	h1->bodiless = exchange->request.is_head || status == 204 || status == 304;
	h1->answer_left = body_length;
	h1->chunked = body_length < 0 && !h1->http10;
	/* HTTP/1.0 has no other end for a body of unknown length than the
	 * connection's. */
	if (body_length < 0 && h1->http10)
		h1->keep_alive = false;
	out = sl_conn_out(h1->conn);
	put_status(h1, out, status);
	for (size_t i = 0; i < count; i++)
		put_field(out, headers[i].name, headers[i].value);
	put_framing(h1, out, status, body_length, trailer_names);
	if (out->failed) {
		sl_conn_close(h1->conn, SL_GONE_ABORTED, true);
		return SL_ENOMEM;
	}
	h1->started = true;
	return SL_OK;
}

static size_t
put_hex(char *out, size_t number)
{
	char digits[16];
	size_t at = sizeof(digits);

	do
		digits[--at] = "0123456789abcdef"[number % 16];
	while (number /= 16);
	memcpy(out, digits + at, sizeof(digits) - at);
	return sizeof(digits) - at;
}

static enum sl_err
send_bytes(struct sl_exchange *exchange, struct sl_slice bytes)
{
	struct h1 *h1 = h1_of(exchange);
	struct sl_conn *conn = h1->conn;
	struct iovec parts[3];
	char size_line[20];
	size_t len;

	if (conn->phase != SL_CONN_OPEN)
		return SL_ECLOSED;
	if (!h1->started || h1->finished)
		return SL_EINVAL;
	if (h1->answer_left >= 0 && bytes.len > (uint64_t)h1->answer_left)
		return SL_EINVAL;
	/* A peer that reads slowly is asked to wait; one that takes everything
	 * may be given more than the limit at once. */
	if (conn->blocked &&
	    sl_conn_unsent(conn) + bytes.len > conn->server->limits.write_buffer_bytes) {
		h1->limited = true;
		return SL_ELIMIT;
	}
	if (h1->answer_left >= 0)
		h1->answer_left -= (int64_t)bytes.len;
	if (h1->bodiless || bytes.len == 0)
		return sl_conn_send(conn, NULL, 0);
	parts[0] = (struct iovec){ (void *)(uintptr_t)bytes.ptr, bytes.len };
	if (!h1->chunked)
		return sl_conn_send(conn, parts, 1);
	len = put_hex(size_line, bytes.len);
	size_line[len++] = '\r';
	size_line[len++] = '\n';
	parts[1] = parts[0];
	parts[0] = (struct iovec){ size_line, len };
	parts[2] = (struct iovec){ size_line + len - 2, 2 };
	return sl_conn_send(conn, parts, 3);
}

static enum sl_err
send_end(struct sl_exchange *exchange, const struct sl_header *trailers, size_t count)
{
	struct h1 *h1 = h1_of(exchange);
	struct sl_conn *conn = h1->conn;

	if (conn->phase != SL_CONN_OPEN)
		return SL_ECLOSED;
	if (!h1->started || h1->finished || check_fields(trailers, count) != SL_OK)
		return SL_EINVAL;
	if (h1->answer_left > 0 && !h1->bodiless) {
		/* Shorter than declared: the peer must not take it for whole. */
		sl_conn_close(conn, SL_GONE_ABORTED, false);
		return SL_EINVAL;
	}
	h1->finished = true;
	if (h1->chunked && !h1->bodiless) {
		struct sl_buf *out = sl_conn_out(conn);

		sl_buf_append(out, SL_SLICE("0\r\n"));
		for (size_t i = 0; i < count; i++)
			put_field(out, trailers[i].name, trailers[i].value);
		sl_buf_append(out, SL_SLICE("\r\n"));
		if (out->failed) {
			sl_conn_close(conn, SL_GONE_ABORTED, false);
			return SL_ENOMEM;
		}
	}
	sl_conn_defer(conn);
	return sl_conn_send(conn, NULL, 0);
}

static void
abort_answer(struct sl_exchange *exchange)
{
	struct h1 *h1 = h1_of(exchange);
	bool open_ended = h1->started && !h1->chunked && h1->answer_left < 0 && !h1->bodiless;

	/* Where the end of the connection is the end of the body, only a reset
	 * tells the peer that something is missing. */
	sl_conn_close(h1->conn, SL_GONE_ABORTED, open_ended);
}

static size_t
backlog(const struct sl_exchange *exchange)
{
	return sl_conn_unsent(h1_of(exchange)->conn);
}

static bool
is_started(const struct sl_exchange *exchange)
{
	return h1_of(exchange)->started;
}

static const struct sl_exchange_ops exchange_ops = {
	.start = send_start,
	.write = send_bytes,
	.finish = send_end,
	.abort = abort_answer,
	.backlog = backlog,
	.started = is_started,
};

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
	if (reading_body(h1)) {
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

	if (h1->exchange && h1->finished && sl_conn_unsent(conn) == 0)
		end_answer(h1);
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

	/* A request that has begun is still answered. */
	if (h1->state == H1_IDLE)
		sl_conn_close(conn, SL_GONE_SHUTDOWN, false);
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

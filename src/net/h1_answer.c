/* h1_answer.c - answers over HTTP/1.0 and 1.1.
 *
 * A head is held in conn->out until the first bytes of the body, so that both
 * leave in one system call; so do a chunk's size line, its data and its end.
 * Whether the connection goes on is decided when the head is made, because the
 * head says so.
 *
 * A short answer that is written whole leaves at the end of the loop's turn, in one
 * burst with the turn's others: one by one each would wake a receiver that went to sleep
 * after the one before, which is half of what a send costs. Streams do not wait.
 */
#include "base/compiler.h"
#include "base/text.h"
#include "net/h1_server.h"
#include "net/head_text.h"

enum { CORK_MAX = 8 * 1024, LINES_SIZE = 256 }; /* of status, date and framing */

static struct h1 *
h1_of(const struct sl_exchange *exchange)
{
	return ((const struct h1_exchange *)(const void *)exchange)->h1;
}

/* Whether another request may follow this answer. A client that waits for 100
 * may or may not send its body now, so nobody could tell where the next request
 * begins (RFC 9110 10.1.1). */
static bool
may_go_on(const struct h1 *h1)
{
	if (!h1->keep_alive || h1->conn->server->draining)
		return false;
	if (!sl_h1_reading_body(h1))
		return true;
	return !h1->expecting && h1->body_left <= SL_DISCARD_MAX;
}

/* Status line and date, which many answers of a second have in common. */
static void
make_start(struct sl_server *server, int status)
{
	struct sl_slice date = sl_server_date(server);
	char *at = server->start;

	at = sl_put_text(at, SL_SLICE("HTTP/1.1 "));
	at = sl_put_u64(at, (uint64_t)status);
	*at++ = ' ';
	at = sl_put_text(at, sl_slice_str(sl_http_reason(status)));
	at = sl_put_text(at, SL_SLICE("\r\ndate: "));
	at = sl_put_text(at, date);
	at = sl_put_text(at, SL_SLICE("\r\n"));
	server->start_len = (size_t)(at - server->start);
	server->start_status = status;
	server->start_s = server->date_s;
}

static char *
put_start(char *at, struct sl_server *server, int status)
{
	if (server->start_status != status ||
	    server->start_s != sl_loop_wall_ms(server->loop) / 1000)
		make_start(server, status);
	return sl_put_text(at, sl_slice_make(server->start, server->start_len));
}

static char *
put_framing(char *at, const struct h1 *h1, int status, int64_t body_length,
            struct sl_slice trailer_names)
{
	if (status != 204 && status != 304) {
		if (body_length >= 0) {
			at = sl_put_text(at, SL_SLICE("content-length: "));
			at = sl_put_u64(at, (uint64_t)body_length);
			at = sl_put_text(at, SL_SLICE("\r\n"));
		} else if (h1->chunked) {
			at = sl_put_text(at, SL_SLICE("transfer-encoding: chunked\r\n"));
			if (trailer_names.len) {
				at = sl_put_text(at, SL_SLICE("trailer: "));
				at = sl_put_text(at, trailer_names);
				at = sl_put_text(at, SL_SLICE("\r\n"));
			}
		}
	}
	if (!h1->keep_alive)
		at = sl_put_text(at, SL_SLICE("connection: close\r\n"));
	else if (h1->http10)
		at = sl_put_text(at, SL_SLICE("connection: keep-alive\r\n"));
	return sl_put_text(at, SL_SLICE("\r\n"));
}

static enum sl_err
send_start(struct sl_exchange *exchange, int status, const struct sl_header *headers,
           size_t count, int64_t body_length, struct sl_slice trailer_names)
{
	struct h1 *h1 = h1_of(exchange);
	struct sl_buf *out;
	size_t size;
	char *at;

	if (h1->conn->phase != SL_CONN_OPEN)
		return SL_ECLOSED;
	if (h1->started || status < 200 || status > 999 ||
	    (trailer_names.len && !sl_header_is_valid(SL_SLICE("trailer"), trailer_names)))
		return SL_EINVAL;
	out = sl_conn_out(h1->conn);
	size = LINES_SIZE + trailer_names.len + sl_fields_size(headers, count);
	/* A short body follows into the same memory. */
	if (sl_buf_reserve(out, size + (body_length > 0 && body_length <= CORK_MAX
	                                    ? (size_t)body_length : 0)) != SL_OK) {
		sl_conn_close(h1->conn, SL_GONE_ABORTED, true);
		return SL_ENOMEM;
	}
	at = put_start(out->ptr + out->len, h1->conn->server, status);
	at = sl_put_fields(at, headers, count, SL_SLICE_NONE);
	if (!at)
		return SL_EINVAL;
	h1->keep_alive = may_go_on(h1);
	h1->bodiless = exchange->request.is_head || status == 204 || status == 304;
	h1->answer_left = body_length;
	h1->chunked = body_length < 0 && !h1->http10;
	/* HTTP/1.0 has no other end for a body of unknown length than the
	 * connection's. */
	if (body_length < 0 && h1->http10)
		h1->keep_alive = false;
	at = put_framing(at, h1, status, body_length, trailer_names);
	out->len = (size_t)(at - out->ptr);
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

/* A backlog over half of the limit owes on_drain, refused or not: the handler
 * may have stopped producing because of it. */
static enum sl_err
send_body(struct h1 *h1, struct iovec *parts, int count)
{
	struct sl_conn *conn = h1->conn;
	enum sl_err err = sl_conn_send(conn, parts, count);

	if (err == SL_OK &&
	    sl_conn_unsent(conn) > conn->server->limits.write_buffer_bytes / 2)
		h1->limited = true;
	return err;
}

static enum sl_err
send_bytes(struct sl_exchange *exchange, struct sl_slice bytes)
{
	struct h1 *h1 = h1_of(exchange);
	struct sl_conn *conn = h1->conn;
	struct iovec parts[3] SL_UNINIT; /* one or all are set and passed on */
	char size_line[20] SL_UNINIT;    /* the first `len` are read */
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
	if (h1->answer_left == 0 && bytes.len <= CORK_MAX && !conn->blocked &&
	    sl_buf_append(sl_conn_out(conn), bytes) == SL_OK) {
		h1->corked = true;
		return SL_OK;
	}
	parts[0] = (struct iovec){ (void *)(uintptr_t)bytes.ptr, bytes.len };
	if (!h1->chunked)
		return send_body(h1, parts, 1);
	len = put_hex(size_line, bytes.len);
	size_line[len++] = '\r';
	size_line[len++] = '\n';
	parts[1] = parts[0];
	parts[0] = (struct iovec){ size_line, len };
	parts[2] = (struct iovec){ size_line + len - 2, 2 };
	return send_body(h1, parts, 3);
}

static enum sl_err
send_end(struct sl_exchange *exchange, const struct sl_header *trailers, size_t count)
{
	struct h1 *h1 = h1_of(exchange);
	struct sl_conn *conn = h1->conn;

	if (conn->phase != SL_CONN_OPEN)
		return SL_ECLOSED;
	if (!h1->started || h1->finished || !sl_fields_are_valid(trailers, count))
		return SL_EINVAL;
	if (h1->answer_left > 0 && !h1->bodiless) {
		/* Shorter than declared: the peer must not take it for whole. */
		sl_conn_close(conn, SL_GONE_ABORTED, false);
		return SL_EINVAL;
	}
	h1->finished = true;
	if (h1->chunked && !h1->bodiless) {
		struct sl_buf *out = sl_conn_out(conn);

		char *at;

		if (sl_buf_reserve(out, LINES_SIZE + sl_fields_size(trailers, count)) != SL_OK) {
			sl_conn_close(conn, SL_GONE_ABORTED, false);
			return SL_ENOMEM;
		}
		at = sl_put_text(out->ptr + out->len, SL_SLICE("0\r\n"));
		at = sl_put_fields(at, trailers, count, SL_SLICE_NONE);
		at = sl_put_text(at, SL_SLICE("\r\n"));
		out->len = (size_t)(at - out->ptr);
	}
	sl_conn_defer(conn);
	return h1->corked ? SL_OK : sl_conn_send(conn, NULL, 0);
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

const struct sl_exchange_ops sl_h1_exchange_ops = {
	.start = send_start,
	.write = send_bytes,
	.finish = send_end,
	.abort = abort_answer,
	.backlog = backlog,
	.started = is_started,
};

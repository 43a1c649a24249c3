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
#include "net/h1_server.h"

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
	size_t size = name.len + value.len + 4;
	char *at;

	if (sl_buf_reserve(out, size) != SL_OK)
		return;
	at = out->ptr + out->len;
	memcpy(at, name.ptr, name.len);
	at += name.len;
	memcpy(at, ": ", 2);
	at += 2;
	if (value.len)
		memcpy(at, value.ptr, value.len);
	memcpy(at + value.len, "\r\n", 2);
	out->len += size;
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

/* About what the answer takes up, so that it is allocated once. */
static size_t
size_of(const struct sl_header *fields, size_t count, int64_t body_length)
{
	size_t size = LINES_SIZE + (body_length > 0 && body_length <= CORK_MAX
	                            ? (size_t)body_length : 0);

	for (size_t i = 0; i < count; i++)
		size += fields[i].name.len + fields[i].value.len + 4;
	return size;
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
	sl_buf_reserve(out, size_of(headers, count, body_length));
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

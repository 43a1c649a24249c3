/* h2_answer.c - answers over HTTP/2, and the way of all frames to the socket.
 *
 * A body waits in stream->out until nghttp2 asks for it, which it does as far as
 * the peer's windows are open; OUT_FILL bytes of frames are made ready for one
 * write. A peer that keeps its window shut meets the write stall like one that
 * stops reading.
 */
#include "net/h2_server.h"

#include <stdio.h>

enum {
	OUT_FILL = 64 * 1024, /* bytes made ready for one write */
	NV_MAX = 96,          /* fields of an answer */
};

enum sl_err
sl_h2_flush(struct h2 *h2)
{
	struct sl_conn *conn = h2->conn;
	const uint8_t *bytes;
	ssize_t got = 1;
	enum sl_err err;

	if (conn->phase != SL_CONN_OPEN)
		return SL_ECLOSED;
	if (h2->receiving)
		return SL_OK;
	while (got > 0 && !conn->blocked) {
		struct sl_buf *out = sl_conn_out(conn);

		while (sl_conn_unsent(conn) < OUT_FILL &&
		       (got = nghttp2_session_mem_send(h2->session, &bytes)) > 0)
			sl_buf_append(out, sl_slice_make(bytes, (size_t)got));
		if (got < 0 || out->failed) {
			sl_conn_close(conn, SL_GONE_ABORTED, true);
			return SL_ECLOSED;
		}
		err = sl_conn_send(conn, NULL, 0);
		if (err != SL_OK)
			return err;
	}
	if (!nghttp2_session_want_read(h2->session) || (h2->closing && h2->stream_count == 0))
		sl_conn_defer(conn);
	return SL_OK;
}

static size_t
unsent(const struct h2_stream *stream)
{
	return stream->out.len - stream->out_sent;
}

static bool
submit_trailers(struct h2_stream *stream)
{
	nghttp2_nv fields[NV_MAX];

	for (size_t i = 0; i < stream->trailers.count; i++)
		fields[i] = sl_h2_nv(stream->trailers.items[i].name,
		                    stream->trailers.items[i].value);
	return nghttp2_submit_trailer(stream->h2->session, stream->id, fields,
	                              stream->trailers.count) == 0;
}

/* nghttp2 asks for bytes of an answer's body. */
static ssize_t
read_out(nghttp2_session *session, int32_t id, uint8_t *into, size_t size, uint32_t *flags,
         nghttp2_data_source *source, void *user)
{
	struct h2_stream *stream = source->ptr;
	struct h2 *h2 = user;
	struct sl_server *server = h2->conn->server;
	size_t waiting = unsent(stream);

	(void)session, (void)id;
	if (waiting == 0 && !stream->finished)
		return NGHTTP2_ERR_DEFERRED;
	if (size > waiting)
		size = waiting;
	if (size)
		memcpy(into, stream->out.ptr + stream->out_sent, size);
	stream->out_sent += size;
	if (stream->out_sent == stream->out.len) {
		stream->out_sent = 0;
		sl_buf_release(&stream->out);
		sl_timer_clear(&stream->timer);
		if (stream->finished) {
			*flags |= NGHTTP2_DATA_FLAG_EOF;
			/* Without memory for them the answer ends here. */
			if (stream->trailers.count && submit_trailers(stream))
				*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		}
	} else {
		sl_h2_set_timer(stream, server->limits.write_stall_ms);
	}
	if (stream->limited && unsent(stream) < server->limits.write_buffer_bytes / 2) {
		stream->limited = false;
		stream->drain_due = h2->drain_due = true;
		sl_conn_defer(h2->conn);
	}
	return (ssize_t)size;
}

/* --- answering -------------------------------------------------------------------------- */

static struct h2_stream *
stream_of(const struct sl_exchange *exchange)
{
	return (struct h2_stream *)(uintptr_t)exchange;
}

static bool
is_open(const struct h2_stream *stream)
{
	return stream->h2->conn->phase == SL_CONN_OPEN && !stream->ended;
}

static enum sl_err
send_start(struct sl_exchange *exchange, int status, const struct sl_header *headers,
           size_t count, int64_t body_length, struct sl_slice trailer_names)
{
	struct h2_stream *stream = stream_of(exchange);
	nghttp2_data_provider provider = { .source.ptr = stream, .read_callback = read_out };
	nghttp2_nv fields[NV_MAX];
	char status_text[8], length_text[24];
	size_t used = 0;

	if (!is_open(stream))
		return SL_ECLOSED;
	if (stream->started || status < 200 || status > 999 || count > NV_MAX - 4)
		return SL_EINVAL;
	snprintf(status_text, sizeof(status_text), "%d", status);
	fields[used++] = sl_h2_nv(SL_SLICE(":status"), sl_slice_str(status_text));
	fields[used++] = sl_h2_nv(SL_SLICE("date"), sl_server_date(stream->h2->conn->server));
	for (size_t i = 0; i < count; i++) {
		if (!sl_header_is_valid(headers[i].name, headers[i].value))
			return SL_EINVAL;
		fields[used++] = sl_h2_nv(headers[i].name, headers[i].value);
	}
	if (body_length >= 0 && status != 204 && status != 304) {
		snprintf(length_text, sizeof(length_text), "%lld", (long long)body_length);
		fields[used++] = sl_h2_nv(SL_SLICE("content-length"), sl_slice_str(length_text));
	}
	if (trailer_names.len)
		fields[used++] = sl_h2_nv(SL_SLICE("trailer"), trailer_names);
	stream->bodiless = exchange->request.is_head || status == 204 || status == 304;
	stream->answer_left = body_length;
	/* The fields are copied; they leave with the first write. */
	if (nghttp2_submit_response(stream->h2->session, stream->id, fields, used, &provider))
		return SL_ENOMEM;
	stream->started = true;
	if (stream->request_done)
		sl_timer_clear(&stream->timer);
	return SL_OK;
}

/* Lets nghttp2 ask for bytes again. It may be asking already. */
static enum sl_err
resume(struct h2_stream *stream)
{
	struct h2 *h2 = stream->h2;

	if (nghttp2_is_fatal(nghttp2_session_resume_data(h2->session, stream->id))) {
		sl_conn_close(h2->conn, SL_GONE_ABORTED, true);
		return SL_ENOMEM;
	}
	return sl_h2_flush(h2);
}

static enum sl_err
send_bytes(struct sl_exchange *exchange, struct sl_slice bytes)
{
	struct h2_stream *stream = stream_of(exchange);
	const struct sl_server *server = stream->h2->conn->server;

	if (!is_open(stream))
		return SL_ECLOSED;
	if (!stream->started || stream->finished ||
	    (stream->answer_left >= 0 && bytes.len > (uint64_t)stream->answer_left))
		return SL_EINVAL;
	if (unsent(stream) && unsent(stream) + bytes.len > server->limits.write_buffer_bytes) {
		stream->limited = true;
		return SL_ELIMIT;
	}
	if (stream->answer_left >= 0)
		stream->answer_left -= (int64_t)bytes.len;
	if (!stream->bodiless && bytes.len) {
		if (stream->out_sent) {
			sl_buf_consume(&stream->out, stream->out_sent);
			stream->out_sent = 0;
		}
		if (sl_buf_append(&stream->out, bytes) != SL_OK)
			return SL_ENOMEM;
		if (!sl_timer_is_set(&stream->timer))
			sl_h2_set_timer(stream, server->limits.write_stall_ms);
		/* The handler may stop producing because of this backlog. */
		if (unsent(stream) > server->limits.write_buffer_bytes / 2)
			stream->limited = true;
	}
	return resume(stream);
}

void
sl_h2_reset_stream(struct h2_stream *stream, enum sl_gone_reason why, uint32_t code)
{
	stream->refused = true;
	stream->gone = why;
	sl_timer_clear(&stream->timer);
	if (nghttp2_submit_rst_stream(stream->h2->session, NGHTTP2_FLAG_NONE, stream->id, code))
		sl_conn_close(stream->h2->conn, SL_GONE_ABORTED, true);
	sl_h2_flush(stream->h2);
}

static enum sl_err
keep_trailers(struct h2_stream *stream, const struct sl_header *trailers, size_t count)
{
	struct sl_header *items;

	if (count == 0)
		return SL_OK;
	if (count > NV_MAX)
		return SL_EINVAL;
	items = SL_ARENA_ARRAY(&stream->base.arena, struct sl_header, count);
	for (size_t i = 0; items && i < count; i++) {
		if (!sl_header_is_valid(trailers[i].name, trailers[i].value))
			return SL_EINVAL;
		items[i].name = sl_arena_dup(&stream->base.arena, trailers[i].name);
		items[i].value = sl_arena_dup(&stream->base.arena, trailers[i].value);
		if (!items[i].name.ptr || !items[i].value.ptr)
			return SL_ENOMEM;
	}
	if (!items)
		return SL_ENOMEM;
	stream->trailers = (struct sl_headers){ .items = items, .count = count };
	return SL_OK;
}

static enum sl_err
send_end(struct sl_exchange *exchange, const struct sl_header *trailers, size_t count)
{
	struct h2_stream *stream = stream_of(exchange);
	enum sl_err err;

	if (!is_open(stream))
		return SL_ECLOSED;
	if (!stream->started || stream->finished)
		return SL_EINVAL;
	if (stream->answer_left > 0 && !stream->bodiless) {
		sl_h2_reset_stream(stream, SL_GONE_ABORTED, NGHTTP2_INTERNAL_ERROR);
		return SL_EINVAL;
	}
	err = keep_trailers(stream, trailers, stream->bodiless ? 0 : count);
	if (err != SL_OK)
		return err;
	stream->finished = true;
	return resume(stream);
}

static void
abort_answer(struct sl_exchange *exchange)
{
	struct h2_stream *stream = stream_of(exchange);

	if (is_open(stream))
		sl_h2_reset_stream(stream, SL_GONE_ABORTED, NGHTTP2_INTERNAL_ERROR);
}

static size_t
backlog(const struct sl_exchange *exchange)
{
	return unsent(stream_of(exchange));
}

static bool
is_started(const struct sl_exchange *exchange)
{
	return stream_of(exchange)->started;
}

const struct sl_exchange_ops sl_h2_exchange_ops = {
	.start = send_start,
	.write = send_bytes,
	.finish = send_end,
	.abort = abort_answer,
	.backlog = backlog,
	.started = is_started,
};

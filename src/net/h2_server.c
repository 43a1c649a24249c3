/* h2_server.c - HTTP/2 connections, over nghttp2.
 *
 * A stream is an exchange. nghttp2 keeps the protocol's state and validates
 * messages (RFC 9113 8); this file maps its callbacks to exchanges and adds
 * limits of its own.
 *
 *   in:   on_readable -> receive -> on_header*, on_frame (head) -> handler.on_head
 *                                -> on_data*,   on_frame (end)  -> handler.on_request
 *   out:  send_* -> stream->out -> read_out (asked by nghttp2) -> flush -> conn->out
 *   end:  on_stream_close -> h2->ended -> on_task -> handler.on_gone
 *
 * nghttp2 must not be entered from its own callbacks, so what a handler sends
 * while bytes are being received leaves when receiving is over (h2->receiving).
 *
 * What costs us more than its sender is counted: resets, pings, settings, empty
 * frames, broken frames, and resets that the peer provoked. The count drains
 * with time; a connection that overflows it is told ENHANCE_YOUR_CALM and
 * closed. Bodies are bounded per stream and per connection.
 */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/server_internal.h"

enum {
	GLITCH_BURST = 400,
	GLITCH_PER_SECOND = 40,
	STREAM_WINDOW = 256 * 1024,
	CONN_WINDOW = 1024 * 1024,
	OUT_FILL = 64 * 1024,    /* bytes made ready for one write */
	HEADER_EXCESS = 4,       /* times the limit a head may be read to answer 431 */
	FIELD_OVERHEAD = 32,     /* RFC 9113 6.5.2 */
	FIELDS_FIRST = 16,
	NV_MAX = 96,             /* fields of an answer */
};

struct h2_field {
	uint32_t name_at, name_len, value_at, value_len;
};

struct h2_stream {
	struct sl_exchange base;
	struct h2         *h2;
	struct sl_list     node;      /* in h2->streams or h2->ended */
	struct sl_timer    timer;     /* body timeout, then write stall */
	struct sl_buf      out;       /* body bytes nghttp2 has not taken */
	size_t             out_sent;
	size_t             body_max;
	size_t             buffered;  /* its part of h2->buffered */
	int64_t            answer_left;
	struct sl_headers  trailers;  /* of the answer */
	int32_t            id;
	enum sl_gone_reason gone;
	bool request_done, started, finished, ended, bodiless, limited, drain_due, refused;
};

struct h2 {
	struct sl_conn  *conn;
	nghttp2_session *session;
	struct sl_list   streams;     /* open */
	struct sl_list   ended;       /* closed, the handler is not told yet */
	size_t           stream_count;
	size_t           buffered;    /* bytes of incomplete request bodies */
	uint32_t         requests;
	/* The head being received; header blocks never interleave. */
	struct sl_buf    text;
	struct h2_field *fields;
	uint32_t         field_count, field_capacity;
	size_t           head_size;   /* as RFC 9113 counts it */
	uint64_t         head_begin_ns;
	bool             head_too_large;
	uint64_t         glitches;    /* thousandths */
	uint64_t         glitch_ms;   /* when they were last drained */
	bool             receiving;
	bool             closing;     /* GOAWAY was sent */
	bool             drain_due;   /* some stream's is */
};

static const struct sl_exchange_ops exchange_ops;

static struct h2_stream *
stream_of(const struct sl_exchange *exchange)
{
	return (struct h2_stream *)(uintptr_t)exchange;
}

/* --- floods ------------------------------------------------------------------------ */

/* Counts something a sane client does rarely. False: it did too much of it. */
static bool
count_glitch(struct h2 *h2)
{
	uint64_t now_ms = sl_loop_now_ms(h2->conn->server->loop);
	uint64_t drained = (now_ms - h2->glitch_ms) * GLITCH_PER_SECOND;

	h2->glitches = h2->glitches > drained ? h2->glitches - drained : 0;
	h2->glitch_ms = now_ms;
	h2->glitches += 1000;
	return h2->glitches <= GLITCH_BURST * 1000;
}

/* --- writing ------------------------------------------------------------------------- */

static void
say_goodbye(struct h2 *h2)
{
	if (h2->closing)
		return;
	h2->closing = true;
	nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
	                      nghttp2_session_get_last_proc_stream_id(h2->session),
	                      NGHTTP2_NO_ERROR, NULL, 0);
}

/* Moves what nghttp2 has to say to the socket. */
static enum sl_err
flush(struct h2 *h2)
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

static void
set_stream_timer(struct h2_stream *stream, uint32_t delay_ms)
{
	if (delay_ms)
		sl_timer_set(stream->h2->conn->server->loop, &stream->timer, delay_ms);
}

static nghttp2_nv
make_nv(struct sl_slice name, struct sl_slice value)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.ptr,
		             .namelen = name.len,
		             .value = (uint8_t *)(uintptr_t)value.ptr,
		             .valuelen = value.len };
}

static void
submit_trailers(struct h2_stream *stream)
{
	nghttp2_nv fields[NV_MAX];

	for (size_t i = 0; i < stream->trailers.count; i++)
		fields[i] = make_nv(stream->trailers.items[i].name,
		                    stream->trailers.items[i].value);
	nghttp2_submit_trailer(stream->h2->session, stream->id, fields, stream->trailers.count);
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
			if (stream->trailers.count) {
				*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
				submit_trailers(stream);
			}
		}
	} else {
		set_stream_timer(stream, server->limits.write_stall_ms);
	}
	if (stream->limited && unsent(stream) < server->limits.write_buffer_bytes / 2) {
		stream->limited = false;
		stream->drain_due = h2->drain_due = true;
		sl_conn_defer(h2->conn);
	}
	return (ssize_t)size;
}

/* --- answering -------------------------------------------------------------------------- */

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
	fields[used++] = make_nv(SL_SLICE(":status"), sl_slice_str(status_text));
	fields[used++] = make_nv(SL_SLICE("date"), sl_server_date(stream->h2->conn->server));
	for (size_t i = 0; i < count; i++) {
		if (!sl_header_is_valid(headers[i].name, headers[i].value))
			return SL_EINVAL;
		fields[used++] = make_nv(headers[i].name, headers[i].value);
	}
	if (body_length >= 0 && status != 204 && status != 304) {
		snprintf(length_text, sizeof(length_text), "%lld", (long long)body_length);
		fields[used++] = make_nv(SL_SLICE("content-length"), sl_slice_str(length_text));
	}
	if (trailer_names.len)
		fields[used++] = make_nv(SL_SLICE("trailer"), trailer_names);
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
			set_stream_timer(stream, server->limits.write_stall_ms);
		nghttp2_session_resume_data(stream->h2->session, stream->id);
	}
	return flush(stream->h2);
}

static void
reset_stream(struct h2_stream *stream, enum sl_gone_reason why, uint32_t code)
{
	stream->refused = true;
	stream->gone = why;
	sl_timer_clear(&stream->timer);
	nghttp2_submit_rst_stream(stream->h2->session, NGHTTP2_FLAG_NONE, stream->id, code);
	flush(stream->h2);
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
	stream->trailers = (struct sl_headers){ items, count };
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
		reset_stream(stream, SL_GONE_ABORTED, NGHTTP2_INTERNAL_ERROR);
		return SL_EINVAL;
	}
	err = keep_trailers(stream, trailers, stream->bodiless ? 0 : count);
	if (err != SL_OK)
		return err;
	stream->finished = true;
	nghttp2_session_resume_data(stream->h2->session, stream->id);
	return flush(stream->h2);
}

static void
abort_answer(struct sl_exchange *exchange)
{
	struct h2_stream *stream = stream_of(exchange);

	if (is_open(stream))
		reset_stream(stream, SL_GONE_ABORTED, NGHTTP2_INTERNAL_ERROR);
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

static const struct sl_exchange_ops exchange_ops = {
	.start = send_start,
	.write = send_bytes,
	.finish = send_end,
	.abort = abort_answer,
	.backlog = backlog,
	.started = is_started,
};

/* --- heads -------------------------------------------------------------------------------- */

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2 *h2 = user;

	(void)session, (void)frame;
	sl_buf_clear(&h2->text);
	h2->field_count = 0;
	h2->head_size = 0;
	h2->head_too_large = false;
	h2->head_begin_ns = sl_loop_now_ns(h2->conn->server->loop);
	return 0;
}

static struct h2_field *
open_field(struct h2 *h2)
{
	if (h2->field_count == h2->field_capacity) {
		uint32_t capacity = h2->field_capacity ? h2->field_capacity * 2 : FIELDS_FIRST;
		struct h2_field *grown = realloc(h2->fields, capacity * sizeof(*grown));

		if (!grown)
			return NULL;
		h2->fields = grown;
		h2->field_capacity = capacity;
	}
	return &h2->fields[h2->field_count];
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
          size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
	enum { PSEUDO_FIELDS = 4 };
	struct h2 *h2 = user;
	const struct sl_server_limits *limits = &h2->conn->server->limits;
	struct h2_field *field;

	(void)session, (void)frame, (void)flags;
	h2->head_size += name_len + value_len + FIELD_OVERHEAD;
	/* A compressed head may be a bomb: past any answer, the connection ends. */
	if (h2->head_size > limits->header_bytes * HEADER_EXCESS + 16384)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (h2->head_too_large || name_len + value_len > limits->header_bytes - h2->text.len ||
	    h2->field_count >= limits->header_count + PSEUDO_FIELDS) {
		h2->head_too_large = true;
		return 0;
	}
	field = open_field(h2);
	if (!field)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	*field = (struct h2_field){ .name_at = (uint32_t)h2->text.len,
		                    .name_len = (uint32_t)name_len,
		                    .value_at = (uint32_t)(h2->text.len + name_len),
		                    .value_len = (uint32_t)value_len };
	sl_buf_append(&h2->text, sl_slice_make(name, name_len));
	sl_buf_append(&h2->text, sl_slice_make(value, value_len));
	h2->field_count++;
	return h2->text.failed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static void
drop_fields(struct h2 *h2)
{
	sl_buf_release(&h2->text);
	free(h2->fields);
	h2->fields = NULL;
	h2->field_count = h2->field_capacity = 0;
}

/* Copies the fields that were collected; pseudo fields go to the request. */
static enum sl_err
fill_fields(struct h2 *h2, struct sl_exchange *exchange, struct sl_headers *out)
{
	struct sl_request *request = &exchange->request;
	struct sl_header *items;
	char *text;

	items = sl_arena_alloc(&exchange->arena, h2->field_count * sizeof(*items) + h2->text.len);
	if (!items)
		return SL_ENOMEM;
	text = (char *)(items + h2->field_count);
	if (h2->text.len)
		memcpy(text, h2->text.ptr, h2->text.len);
	out->items = items;
	for (uint32_t i = 0; i < h2->field_count; i++) {
		const struct h2_field *field = &h2->fields[i];
		struct sl_slice name = sl_slice_make(text + field->name_at, field->name_len);
		struct sl_slice value = sl_slice_make(text + field->value_at, field->value_len);

		if (sl_slice_is(name, ":method"))
			request->method = value;
		else if (sl_slice_is(name, ":path"))
			request->target = value;
		else if (sl_slice_is(name, ":authority"))
			request->authority = value;
		else if (name.len && name.ptr[0] != ':')
			items[out->count++] = (struct sl_header){ name, sl_slice_trim(value) };
	}
	return SL_OK;
}

static void
bad_request(struct h2_stream *stream, int status, const char *reason)
{
	struct sl_server *server = stream->h2->conn->server;

	if (stream->started || stream->refused)
		return;
	/* What comes after this is not wanted. */
	stream->refused = true;
	sl_timer_clear(&stream->timer);
	server->handler.on_bad_request(server->handler.context, &stream->base, status, reason);
	if (!stream->started)
		reset_stream(stream, SL_GONE_PROTOCOL, NGHTTP2_PROTOCOL_ERROR);
}

static void
settle_buffered(struct h2_stream *stream)
{
	stream->h2->buffered -= stream->buffered;
	stream->buffered = 0;
}

static void
end_request(struct h2_stream *stream)
{
	struct sl_server *server = stream->h2->conn->server;

	stream->request_done = true;
	settle_buffered(stream);
	if (stream->started || stream->refused)
		return;
	sl_timer_clear(&stream->timer);
	stream->base.body_end_ns = sl_loop_now_ns(server->loop);
	server->handler.on_request(server->handler.context, &stream->base);
}

static void
on_stream_timer(struct sl_timer *timer)
{
	struct h2_stream *stream = SL_CONTAINER(timer, struct h2_stream, timer);

	if (!stream->request_done && !stream->started)
		bad_request(stream, 408, "the request body took too long");
	else
		reset_stream(stream, SL_GONE_TIMEOUT, NGHTTP2_CANCEL);
}

/* 0, or the status to refuse the head with. */
static int
judge_head(struct h2_stream *stream, const char **reason)
{
	struct sl_request *request = &stream->base.request;
	struct sl_slice host = sl_headers_get(&request->headers, "host");
	struct sl_slice length = sl_headers_get(&request->headers, "content-length");

	request->is_head = sl_slice_is(request->method, "HEAD");
	*reason = "the header fields are too large";
	if (stream->h2->head_too_large)
		return 431;
	*reason = "CONNECT is not offered here";
	if (sl_slice_is(request->method, "CONNECT"))
		return 501;
	*reason = "the request target is malformed";
	if (sl_request_set_target(request, request->target) != SL_OK)
		return 400;
	*reason = ":authority and host name different servers";
	if (request->authority.len && host.len && !sl_slice_ieq(request->authority, host))
		return 400;
	if (request->authority.len == 0)
		request->authority = host;
	*reason = "Content-Length must be one decimal number";
	if (length.len && (!sl_slice_i64(length, &request->content_length) ||
	                   request->content_length < 0))
		return 400;
	return 0;
}

static void
begin_body(struct h2_stream *stream)
{
	struct sl_exchange *exchange = &stream->base;
	int64_t declared = exchange->request.content_length;
	nghttp2_nv proceed = make_nv(SL_SLICE(":status"), SL_SLICE("100"));

	if (declared >= 0 && (uint64_t)declared > stream->body_max) {
		bad_request(stream, 413, "the body is larger than the limit");
		return;
	}
	exchange->body.max_size = declared > 0 ? (size_t)declared
	                          : stream->body_max ? stream->body_max
	                                             : 1;
	if (declared > 0 &&
	    sl_buf_reserve(&exchange->body, (size_t)declared < SL_BODY_FIRST ? (size_t)declared
	                                                                     : SL_BODY_FIRST)) {
		bad_request(stream, 503, "out of memory");
		return;
	}
	if (sl_slice_ieq(sl_headers_get(&exchange->request.headers, "expect"),
	                 SL_SLICE("100-continue")))
		nghttp2_submit_headers(stream->h2->session, NGHTTP2_FLAG_NONE, stream->id, NULL,
		                       &proceed, 1, NULL);
	set_stream_timer(stream, stream->h2->conn->server->limits.body_timeout_ms);
}

static int
begin_stream(struct h2 *h2, const nghttp2_frame *frame)
{
	struct sl_server *server = h2->conn->server;
	struct h2_stream *stream =
	    sl_exchange_new(h2->conn, sizeof(*stream), &exchange_ops,
	                    h2->text.len + h2->field_count * sizeof(struct sl_header));
	const char *reason;
	enum sl_err err;
	int status;

	if (!stream)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	stream->h2 = h2;
	stream->id = frame->hd.stream_id;
	stream->gone = SL_GONE_PEER;
	stream->timer.on_due = on_stream_timer;
	stream->base.begin_ns = h2->head_begin_ns;
	stream->base.request.http_major = 2;
	stream->base.request.has_body = !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
	sl_buf_init(&stream->out, SL_OUT_MAX);
	sl_list_push_back(&h2->streams, &stream->node);
	h2->stream_count++;
	h2->requests++;
	sl_timer_clear(&h2->conn->timer);
	nghttp2_session_set_stream_user_data(h2->session, stream->id, stream);
	err = fill_fields(h2, &stream->base, &stream->base.request.headers);
	status = err == SL_OK ? judge_head(stream, &reason) : 503;
	if (err != SL_OK)
		reason = "out of memory";
	drop_fields(h2);
	if (status) {
		bad_request(stream, status, reason);
		return 0;
	}
	stream->body_max = server->limits.body_bytes;
	server->handler.on_head(server->handler.context, &stream->base, &stream->body_max);
	if (!stream->base.request.has_body)
		end_request(stream);
	else if (!stream->started && !stream->refused)
		begin_body(stream);
	if (server->limits.requests_per_connection &&
	    h2->requests >= server->limits.requests_per_connection)
		say_goodbye(h2);
	return 0;
}

/* --- frames --------------------------------------------------------------------------------- */

static int
end_trailers(struct h2 *h2, struct h2_stream *stream)
{
	enum sl_err err = SL_OK;

	if (h2->head_too_large)
		bad_request(stream, 431, "the trailer fields are too large");
	else if (h2->field_count)
		err = fill_fields(h2, &stream->base, &stream->base.trailers);
	drop_fields(h2);
	return err == SL_OK ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2 *h2 = user;
	struct h2_stream *stream =
	    nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	bool last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	bool glitch = false;
	int result = 0;

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
			return begin_stream(h2, frame);
		if (stream)
			result = end_trailers(h2, stream);
		break;
	case NGHTTP2_DATA:
		glitch = frame->hd.length == 0 && !last;
		break;
	case NGHTTP2_WINDOW_UPDATE:
		return 0;
	default:
		glitch = !(frame->hd.flags & NGHTTP2_FLAG_ACK);
		break;
	}
	if (glitch && !count_glitch(h2))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (stream && last && result == 0 && !stream->request_done)
		end_request(stream);
	return result;
}

static int
on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
	(void)session, (void)frame, (void)error;
	return count_glitch(user) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
        void *user)
{
	struct h2 *h2 = user;
	struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, id);
	struct sl_buf *body;

	(void)flags;
	if (!stream || stream->started || stream->refused)
		return 0;
	body = &stream->base.body;
	if (len > stream->body_max - body->len) {
		bad_request(stream, 413, "the body is larger than the limit");
		return 0;
	}
	/* Many streams together must not hold what one may not. */
	if (h2->buffered + len > 2 * h2->conn->server->limits.body_bytes + STREAM_WINDOW) {
		bad_request(stream, 503, "too many large bodies on one connection");
		return 0;
	}
	if (sl_buf_append(body, sl_slice_make(data, len)) != SL_OK) {
		bad_request(stream, 503, "out of memory");
		return 0;
	}
	h2->buffered += len;
	stream->buffered += len;
	return 0;
}

static int
on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2 *h2 = user;
	struct h2_stream *stream =
	    nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	/* A reset that the peer provoked costs like one it sent. */
	if (frame->hd.type == NGHTTP2_RST_STREAM && !(stream && stream->gone == SL_GONE_ABORTED))
		count_glitch(h2);
	if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) || !stream ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	stream->gone = SL_GONE_DONE;
	/* Answered before the body was in: the rest is not wanted (RFC 9113 8.1). */
	if (!stream->request_done)
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
	return 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
	struct h2 *h2 = user;
	struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, id);

	(void)code;
	if (!stream)
		return 0;
	settle_buffered(stream);
	stream->ended = true;
	sl_timer_clear(&stream->timer);
	sl_buf_release(&stream->out);
	stream->out_sent = 0;
	sl_list_remove(&stream->node);
	sl_list_push_back(&h2->ended, &stream->node);
	h2->stream_count--;
	sl_conn_defer(h2->conn);
	return 0;
}

/* --- the connection ---------------------------------------------------------------------------- */

static void
receive(struct h2 *h2, struct sl_slice bytes)
{
	struct sl_conn *conn = h2->conn;
	ssize_t used;

	h2->receiving = true;
	used = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes.ptr, bytes.len);
	h2->receiving = false;
	if (conn->phase != SL_CONN_OPEN)
		return;
	if (used >= 0 && h2->glitches > GLITCH_BURST * 1000)
		used = NGHTTP2_ERR_CALLBACK_FAILURE;
	if (used < 0) {
		nghttp2_session_terminate_session(h2->session, used == NGHTTP2_ERR_CALLBACK_FAILURE
		                                                   ? NGHTTP2_ENHANCE_YOUR_CALM
		                                                   : NGHTTP2_PROTOCOL_ERROR);
		flush(h2);
		sl_conn_close(conn, SL_GONE_PROTOCOL, false);
		return;
	}
	flush(h2);
}

static void
on_bytes(struct sl_conn *conn, struct sl_slice bytes)
{
	receive(conn->state, bytes);
}

static void
on_readable(struct sl_conn *conn)
{
	char *scratch = sl_loop_scratch(conn->server->loop);
	bool ended;
	size_t got = sl_conn_read(conn, scratch, SL_LOOP_SCRATCH, &ended);

	if (got)
		receive(conn->state, sl_slice_make(scratch, got));
	if (ended)
		sl_conn_close(conn, SL_GONE_PEER, false);
}

static void
on_written(struct sl_conn *conn)
{
	flush(conn->state);
}

static void
tell_drained(struct h2 *h2)
{
	struct sl_server *server = h2->conn->server;
	struct sl_list *at, *next;

	h2->drain_due = false;
	for (at = h2->streams.next; at != &h2->streams; at = next) {
		struct h2_stream *stream = SL_CONTAINER(at, struct h2_stream, node);

		next = at->next;
		if (!stream->drain_due)
			continue;
		stream->drain_due = false;
		server->handler.on_drain(server->handler.context, &stream->base);
		/* Its writes may have closed any stream; begin again. */
		next = h2->streams.next;
	}
}

static void
end_stream(struct h2 *h2, struct h2_stream *stream, enum sl_gone_reason why)
{
	sl_list_remove(&stream->node);
	sl_timer_clear(&stream->timer);
	sl_buf_release(&stream->out);
	sl_exchange_free(h2->conn, &stream->base, why);
}

static void
on_task(struct sl_conn *conn)
{
	struct h2 *h2 = conn->state;
	bool over;

	while (!sl_list_empty(&h2->ended)) {
		struct h2_stream *stream = SL_CONTAINER(h2->ended.next, struct h2_stream, node);

		end_stream(h2, stream, stream->gone);
	}
	if (h2->drain_due)
		tell_drained(h2);
	if (conn->phase != SL_CONN_OPEN || h2->stream_count)
		return;
	over = h2->closing || !nghttp2_session_want_read(h2->session);
	if (over && sl_conn_unsent(conn) == 0 && sl_list_empty(&h2->ended))
		sl_conn_linger(conn);
	else if (!over && conn->server->limits.keepalive_timeout_ms)
		sl_timer_set(conn->server->loop, &conn->timer,
		             conn->server->limits.keepalive_timeout_ms);
}

static void
on_hangup(struct sl_conn *conn)
{
	sl_conn_close(conn, SL_GONE_PEER, false);
}

/* Runs while there is no stream. */
static void
on_timer(struct sl_conn *conn)
{
	struct h2 *h2 = conn->state;

	if (h2->stream_count)
		return;
	say_goodbye(h2);
	flush(h2);
}

static void
drain(struct sl_conn *conn)
{
	struct h2 *h2 = conn->state;

	say_goodbye(h2);
	flush(h2);
}

static enum sl_err
new_session(struct h2 *h2)
{
	nghttp2_session_callbacks *callbacks;
	enum sl_err err = SL_OK;

	if (nghttp2_session_callbacks_new(&callbacks))
		return SL_ENOMEM;
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	if (nghttp2_session_server_new(&h2->session, callbacks, h2))
		err = SL_ENOMEM;
	nghttp2_session_callbacks_del(callbacks);
	return err;
}

static enum sl_err
open_h2(struct sl_conn *conn)
{
	const struct sl_server_limits *limits = &conn->server->limits;
	nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->h2_streams },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)limits->header_bytes },
	};
	struct h2 *h2 = calloc(1, sizeof(*h2));

	if (!h2)
		return SL_ENOMEM;
	h2->conn = conn;
	sl_list_init(&h2->streams);
	sl_list_init(&h2->ended);
	sl_buf_init(&h2->text, limits->header_bytes);
	h2->glitch_ms = sl_loop_now_ms(conn->server->loop);
	if (new_session(h2) != SL_OK) {
		free(h2);
		return SL_ENOMEM;
	}
	nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings,
	                        sizeof(settings) / sizeof(*settings));
	nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW);
	conn->state = h2;
	/* Until the first stream: a peer that opens none is idle. */
	if (limits->header_timeout_ms)
		sl_timer_set(conn->server->loop, &conn->timer, limits->header_timeout_ms);
	return SL_OK;
}

static void
end_h2(struct sl_conn *conn)
{
	struct h2 *h2 = conn->state;
	struct h2_stream *stream;

	while (!sl_list_empty(&h2->ended)) {
		stream = SL_CONTAINER(h2->ended.next, struct h2_stream, node);
		end_stream(h2, stream, stream->gone);
	}
	while (!sl_list_empty(&h2->streams)) {
		stream = SL_CONTAINER(h2->streams.next, struct h2_stream, node);
		end_stream(h2, stream, conn->gone);
	}
	nghttp2_session_del(h2->session);
	drop_fields(h2);
	free(h2);
}

const struct sl_conn_ops sl_h2_ops = {
	.open = open_h2,
	.on_bytes = on_bytes,
	.on_readable = on_readable,
	.on_written = on_written,
	.on_hangup = on_hangup,
	.on_timer = on_timer,
	.on_task = on_task,
	.drain = drain,
	.end = end_h2,
};

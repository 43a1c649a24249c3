/* h2_server.c - HTTP/2 connections, over nghttp2.
 *
 * A stream is an exchange. nghttp2 keeps the protocol's state and validates
 * messages (RFC 9113 8); this file maps its callbacks to exchanges and adds
 * limits of its own.
 *
 *   in:   on_readable -> receive -> on_header*, on_frame (head) -> handler.on_head
 *                                -> on_data*,   on_frame (end)  -> handler.on_request
 *   out:  h2_answer.c: send_* -> stream->out -> read_out -> sl_h2_flush -> conn->out
 *   end:  on_stream_close -> h2->ended -> on_task -> handler.on_gone
 *         on_frame_sent (end, body not in) -> h2->answered -> on_task -> handler.on_gone
 *
 * nghttp2 must not be entered from its own callbacks, so what a handler sends
 * while bytes are being received leaves when receiving is over (h2->receiving).
 *
 * What costs us more than its sender is counted: resets, pings, settings, empty
 * frames, broken frames, and resets that the peer provoked. The count drains
 * with time; a connection that overflows it is told ENHANCE_YOUR_CALM and
 * closed. Bodies are bounded per stream and per connection.
 */
#include "net/h2_server.h"

#include <stdlib.h>

enum {
	GLITCH_BURST = 400,
	GLITCH_PER_SECOND = 40,
	STREAM_WINDOW = 256 * 1024,
	CONN_WINDOW = 1024 * 1024,
	HEADER_EXCESS = 4,       /* times the limit a head may be read to answer 431 */
	FIELD_OVERHEAD = 32,     /* RFC 9113 6.5.2 */
	FIELDS_FIRST = 16,
};

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
	h2->head_begin_ns = sl_loop_event_ns(h2->conn->server->loop);
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
fill_fields(struct h2 *h2, struct sl_exchange *exchange, struct sl_arena *arena,
            struct sl_headers *out)
{
	struct sl_request *request = &exchange->request;
	struct sl_header *items;
	char *text;

	items = sl_arena_alloc(arena, h2->field_count * sizeof(*items) + h2->text.len);
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
			request->path = value; /* the target, until it is judged */
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
		sl_h2_reset_stream(stream, SL_GONE_PROTOCOL, NGHTTP2_PROTOCOL_ERROR);
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
	stream->base.body_end_ns = sl_loop_event_ns(server->loop);
	server->handler.on_request(server->handler.context, &stream->base);
}

static void
on_stream_timer(struct sl_timer *timer)
{
	struct h2_stream *stream = SL_CONTAINER(timer, struct h2_stream, timer);

	if (stream->gone == SL_GONE_DONE)
		sl_h2_reset_stream(stream, SL_GONE_DONE, NGHTTP2_NO_ERROR);
	else if (!stream->request_done && !stream->started)
		bad_request(stream, 408, "the request body took too long");
	else
		sl_h2_reset_stream(stream, SL_GONE_TIMEOUT, NGHTTP2_CANCEL);
}

/* 0, or the status to refuse the head with. */
static int
judge_head(struct h2_stream *stream, const char **reason)
{
	struct sl_request *request = &stream->base.request;
	struct sl_slice host = sl_headers_get(&request->headers, "host");
	struct sl_slice length = sl_headers_get(&request->headers, "content-length");

	struct sl_slice target = request->path;
	bool has_target;

	/* Before any refusal: the path says in which envelope. */
	request->path = SL_SLICE_NONE;
	has_target = sl_request_set_target(request, target) == SL_OK;
	request->is_head = sl_slice_is(request->method, "HEAD");
	*reason = "the header fields are too large";
	if (stream->h2->head_too_large)
		return 431;
	*reason = "CONNECT is not offered here";
	if (sl_slice_is(request->method, "CONNECT"))
		return 501;
	*reason = "the request target is malformed";
	if (!has_target)
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
	nghttp2_nv proceed = sl_h2_nv(SL_SLICE(":status"), SL_SLICE("100"));

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
	sl_h2_set_timer(stream, stream->h2->conn->server->limits.body_timeout_ms);
}

static int
begin_stream(struct h2 *h2, const nghttp2_frame *frame)
{
	struct sl_server *server = h2->conn->server;
	struct h2_stream *stream =
	    sl_exchange_new(h2->conn, sizeof(*stream), &sl_h2_exchange_ops,
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
	err = fill_fields(h2, &stream->base, stream->base.head, &stream->base.request.headers);
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
		err = fill_fields(h2, &stream->base, &stream->base.arena,
		                  &stream->base.trailers);
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
		if (stream && stream->gone == SL_GONE_DONE)
			drop_fields(h2);
		else if (stream)
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

/* Behind the answer. Who has used what its window was opened by since then has seen it. */
static void
drop_data(struct h2_stream *stream, size_t len)
{
	if (len > stream->body_max) {
		stream->body_max = SIZE_MAX; /* once */
		sl_h2_reset_stream(stream, SL_GONE_DONE, NGHTTP2_NO_ERROR);
	}
	stream->body_max -= len;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
        void *user)
{
	struct h2 *h2 = user;
	struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, id);
	struct sl_buf *body;

	(void)flags;
	if (stream && stream->gone == SL_GONE_DONE)
		drop_data(stream, len);
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
	uint32_t body_ms = h2->conn->server->limits.body_timeout_ms;

	/* A reset that the peer provoked costs like one it sent. */
	if (frame->hd.type == NGHTTP2_RST_STREAM && !(stream && stream->gone == SL_GONE_ABORTED))
		count_glitch(h2);
	if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) || !stream ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	stream->gone = SL_GONE_DONE;
	/* Answered before the body was in: the rest is not wanted (RFC 9113 8.1). A client that
	 * is told so at once may not read the answer (curl 7.88), so the rest is dropped first. */
	if (!stream->request_done) {
		sl_list_remove(&stream->node);
		sl_list_push_back(&h2->answered, &stream->node);
		sl_conn_defer(h2->conn);
		stream->body_max = STREAM_WINDOW;
		sl_h2_set_timer(stream, body_ms && body_ms < SL_LINGER_MS ? body_ms : SL_LINGER_MS);
	}
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
		sl_h2_flush(h2);
		sl_conn_close(conn, SL_GONE_PROTOCOL, false);
		return;
	}
	sl_h2_flush(h2);
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
	sl_h2_flush(conn->state);
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

/* For the handler it is over; the stream waits for the end of the body. */
static void
tell_answered(struct h2 *h2, struct h2_stream *stream)
{
	sl_list_remove(&stream->node);
	sl_list_push_back(&h2->streams, &stream->node);
	stream->told = true;
	stream->drain_due = false;
	settle_buffered(stream);
	sl_exchange_end(h2->conn, &stream->base, stream->gone);
}

static void
end_stream(struct h2 *h2, struct h2_stream *stream, enum sl_gone_reason why)
{
	sl_list_remove(&stream->node);
	sl_timer_clear(&stream->timer);
	sl_buf_release(&stream->out);
	if (stream->told)
		sl_block_free(stream);
	else
		sl_exchange_free(h2->conn, &stream->base, why);
}

static void
on_task(struct sl_conn *conn)
{
	struct h2 *h2 = conn->state;
	bool over;

	while (!sl_list_empty(&h2->answered))
		tell_answered(h2, SL_CONTAINER(h2->answered.next, struct h2_stream, node));
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
	sl_h2_flush(h2);
}

static void
drain(struct sl_conn *conn)
{
	struct h2 *h2 = conn->state;

	say_goodbye(h2);
	sl_h2_flush(h2);
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
	sl_list_init(&h2->answered);
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

	while (!sl_list_empty(&h2->answered))
		tell_answered(h2, SL_CONTAINER(h2->answered.next, struct h2_stream, node));
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

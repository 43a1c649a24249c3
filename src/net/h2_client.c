/* h2_client.c - HTTP/2 towards an upstream, over nghttp2 (RFC 9113).
 *
 * One session per connection carries as many flights as the peer allows; then
 * the connection stands in its pool's "full" list until a stream ends.
 *
 * Flow control is the owner's pause: the connection's window is opened at once,
 * a stream's only for bytes the owner took. What arrives for a paused stream
 * is held, and cannot exceed its window.
 *
 * A stream that the peer says it did not process (REFUSED_STREAM, or an id above
 * that of GOAWAY, which nghttp2 reports as the same) goes back to the queue.
 * Everything else that ends a stream early is the caller's to judge.
 *
 * A peer from which nothing came for 10 s while streams are open is pinged,
 * and given up when 15 s were silent: TCP alone would not notice a peer whose
 * kernel answers and whose process does not.
 *
 * nghttp2 may call back from within receiving and sending; `depth` counts that,
 * and sending is then left to the outermost caller. Owners may leave inside any
 * callback of theirs; `current` turns NULL when the flight being served went.
 */
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "net/client_internal.h"

enum {
	STREAM_WINDOW = 256 * 1024,
	CONNECTION_WINDOW = 16 * 1024 * 1024,
	STREAMS_MAX = 1000,
	OUT_MAX = 1024 * 1024,
	OUT_GATHER = 64 * 1024, /* bytes collected before a write */
	CHECK_MS = 2500,
	PING_AFTER_MS = 10000,
	DEAD_AFTER_MS = 15000,
};

struct sl_h2 {
	nghttp2_session    *session;
	struct sl_upstream *up;
	struct sl_flight   *current;
	struct sl_buf       out;      /* taken from the session, not yet by the socket */
	size_t              stream_count;
	uint64_t            heard_ms; /* when the peer last sent anything */
	unsigned            depth;
	bool                full, draining, pinged, freed_room;
};

static void flush(struct sl_upstream *up);

/* --- streams and flights ------------------------------------------------------------ */

static struct sl_flight *
flight_of(struct sl_h2 *h2, int32_t stream_id)
{
	return nghttp2_session_get_stream_user_data(h2->session, stream_id);
}

/* The stream, if it still exists, belongs to nobody from now on. */
static void
unhook(struct sl_h2 *h2, struct sl_flight *flight)
{
	if (flight->stream_id > 0)
		nghttp2_session_set_stream_user_data(h2->session, flight->stream_id, NULL);
	if (h2->current == flight)
		h2->current = NULL;
	flight->up = NULL;
	flight->stream_id = 0;
}

static void
update_full(struct sl_upstream *up)
{
	bool full = !sl_h2_has_room(up);

	if (full == up->h2->full)
		return;
	up->h2->full = full;
	sl_upstream_set_full(up, full);
	up->h2->freed_room = up->h2->freed_room || !full;
}

bool
sl_h2_has_room(const struct sl_upstream *up)
{
	const struct sl_h2 *h2 = up->h2;
	size_t max = nghttp2_session_get_remote_settings(
	    h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	if (max > STREAMS_MAX)
		max = STREAMS_MAX;
	return !h2->draining && h2->stream_count < max &&
	       nghttp2_session_check_request_allowed(h2->session);
}

/* The connection is of no more use: every flight on it fails. */
static void
fail_all(struct sl_upstream *up, enum sl_err err, const char *detail)
{
	struct sl_list *list = &up->client->flights, *next;

	up->h2->draining = true;
	up->h2->depth++; /* resetting streams on a dead connection writes nothing */
	for (struct sl_list *node = list->next; node != list; node = next) {
		struct sl_flight *flight = SL_CONTAINER(node, struct sl_flight, all);

		next = node->next;
		if (flight->up == up)
			sl_flight_fail(flight, err, detail);
	}
	up->h2->depth--;
	sl_upstream_close(up);
}

static void
finish(struct sl_flight *flight)
{
	struct sl_upstream *up = flight->up;
	struct sl_client *client = flight->client;
	struct sl_fetch *fetch = flight->fetch;
	struct sl_reply_head *head = flight->head;
	struct sl_headers trailers = { 0 };

	/* A complete answer to an incomplete request: the rest is not wanted. */
	if (up && flight->stream_id > 0 && !sl_flight_all_sent(flight))
		nghttp2_submit_rst_stream(up->h2->session, NGHTTP2_FLAG_NONE, flight->stream_id,
		                          NGHTTP2_NO_ERROR);
	if (up)
		unhook(up->h2, flight);
	flight->head = NULL;
	sl_flight_free(flight);
	if (head)
		trailers = sl_reply_head_fields(head);
	fetch->ops->on_end(fetch, &trailers);
	sl_client_return_head(client, head);
}

/* --- receiving ------------------------------------------------------------------------ */

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	struct sl_h2 *h2 = context;
	struct sl_flight *flight = flight_of(h2, frame->hd.stream_id);

	(void)session;
	if (!flight)
		return 0;
	if (!flight->head)
		flight->head = sl_client_take_head(flight->client);
	else
		sl_reply_head_clear(flight->head);
	if (!flight->head)
		sl_flight_fail(flight, SL_ENOMEM, "out of memory");
	return 0;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
          size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *context)
{
	struct sl_h2 *h2 = context;
	struct sl_flight *flight = flight_of(h2, frame->hd.stream_id);
	struct sl_slice text = sl_slice_make(value, value_len);
	int64_t status;

	(void)session, (void)flags;
	if (!flight)
		return 0;
	if (name_len && name[0] == ':') {
		/* nghttp2 has checked that it is :status, three digits, and first. */
		flight->status = sl_slice_i64(text, &status) ? (int)status : 0;
		return 0;
	}
	if (sl_reply_head_name(flight->head, sl_slice_make(name, name_len), true) != SL_OK ||
	    sl_reply_head_value(flight->head, text) != SL_OK)
		sl_flight_fail(flight, SL_ELIMIT, "the reply has too many or too large fields");
	return 0;
}

static int64_t
content_length(const struct sl_headers *headers)
{
	struct sl_slice value = sl_headers_get(headers, "content-length");
	int64_t length = -1;

	return sl_slice_i64(value, &length) && length >= 0 ? length : -1;
}

static void
deliver_head(struct sl_h2 *h2, struct sl_flight *flight)
{
	struct sl_headers headers;
	struct sl_reply_head *head = flight->head;

	if (flight->status < 200) {
		if (flight->status == 101)
			sl_flight_fail(flight, SL_EPROTO, "unexpected status in the reply");
		else if (++flight->interim_count > SL_REPLY_INTERIM_MAX)
			sl_flight_fail(flight, SL_EPROTO, "more than 8 interim replies");
		return;
	}
	/* The body is the owner's only until on_head, see sl_flight_copy_unsent. */
	if (sl_flight_all_sent(flight))
		sl_flight_free_request(flight);
	else if (flight->status >= 300 || !sl_flight_copy_unsent(flight))
		flight->body_dropped = true;
	headers = sl_reply_head_fields(head);
	flight->head = NULL;
	h2->current = flight;
	sl_flight_on_head(flight, flight->status, &headers, content_length(&headers));
	sl_client_return_head(h2->up->client, head);
}

static void
take_end(struct sl_flight *flight)
{
	if (!flight->got_head) {
		sl_flight_fail(flight, SL_EPROTO, "the stream ended without a final reply");
		return;
	}
	flight->ended = true;
	if (!flight->paused)
		finish(flight);
}

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	struct sl_h2 *h2 = context;
	struct sl_flight *flight;

	(void)session;
	switch (frame->hd.type) {
	case NGHTTP2_GOAWAY:
		h2->draining = true;
		update_full(h2->up);
		return 0;
	case NGHTTP2_SETTINGS:
		update_full(h2->up);
		return 0;
	case NGHTTP2_HEADERS:
		flight = flight_of(h2, frame->hd.stream_id);
		if (flight && !flight->got_head)
			deliver_head(h2, flight);
		break;
	case NGHTTP2_DATA:
		break;
	default:
		return 0;
	}
	flight = flight_of(h2, frame->hd.stream_id);
	if (flight && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		take_end(flight);
	return 0;
}

static int
on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
              size_t size, void *context)
{
	struct sl_h2 *h2 = context;
	struct sl_flight *flight = flight_of(h2, stream_id);

	(void)flags;
	nghttp2_session_consume_connection(session, size);
	if (!flight)
		return 0;
	if (flight->paused) {
		if (sl_buf_append(&flight->held, sl_slice_make(data, size)) != SL_OK)
			sl_flight_fail(flight, SL_ELIMIT, "more bytes than the stream's window");
		return 0;
	}
	h2->current = flight;
	sl_flight_on_data(flight, sl_slice_make(data, size));
	if (h2->current == flight)
		nghttp2_session_consume_stream(session, stream_id, size);
	return 0;
}

static void
settle_idle(struct sl_upstream *up)
{
	if (up->state != SL_UP_BUSY || up->h2->stream_count > 0)
		return;
	up->state = SL_UP_IDLE;
	up->idle_since_ms = sl_loop_now_ms(up->client->loop);
}

static int
on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *context)
{
	struct sl_h2 *h2 = context;
	struct sl_flight *flight = flight_of(h2, stream_id);

	(void)session;
	h2->stream_count--;
	update_full(h2->up);
	settle_idle(h2->up);
	if (!flight)
		return 0;
	flight->stream_id = 0;
	/* A complete reply whose owner pauses: handed over when it goes on, whatever
	 * becomes of this connection. */
	if (flight->ended) {
		unhook(h2, flight);
		return 0;
	}
	if (code == NGHTTP2_REFUSED_STREAM && !flight->got_head) {
		unhook(h2, flight);
		if (sl_flight_retry(flight))
			h2->freed_room = true;
		else
			sl_flight_fail(flight, SL_ECLOSED, "the server keeps refusing streams");
		return 0;
	}
	sl_flight_fail(flight, code == NGHTTP2_PROTOCOL_ERROR ? SL_EPROTO : SL_ECLOSED,
	               nghttp2_http2_strerror(code));
	return 0;
}

/* --- sending ------------------------------------------------------------------------------ */

static ssize_t
read_body(nghttp2_session *session, int32_t stream_id, uint8_t *out, size_t size,
          uint32_t *flags, nghttp2_data_source *source, void *context)
{
	struct sl_h2 *h2 = context;
	struct sl_flight *flight = flight_of(h2, stream_id);
	struct iovec part;

	(void)session, (void)source;
	/* The owner left or does not want to send more; the reset is on its way. */
	if (!flight || flight->body_dropped)
		return NGHTTP2_ERR_DEFERRED;
	if (sl_flight_unsent(flight, &part, 1) == 0) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		return 0;
	}
	if (size > part.iov_len)
		size = part.iov_len;
	memcpy(out, part.iov_base, size);
	sl_flight_progress(flight, size);
	if (sl_flight_all_sent(flight))
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)size;
}

/* Moves frames from the session to `out`. */
static enum sl_err
gather(struct sl_h2 *h2)
{
	while (h2->out.len < OUT_GATHER) {
		const uint8_t *data;
		ssize_t size = nghttp2_session_mem_send(h2->session, &data);

		if (size == 0)
			break;
		if (size < 0)
			return SL_EPROTO;
		if (sl_buf_append(&h2->out, sl_slice_make(data, (size_t)size)) != SL_OK)
			return SL_ELIMIT;
	}
	return SL_OK;
}

static enum sl_err
write_out(struct sl_upstream *up)
{
	struct sl_h2 *h2 = up->h2;

	for (;;) {
		struct iovec part;
		ssize_t put;

		if (gather(h2) != SL_OK)
			return SL_EPROTO;
		if (h2->out.len == 0)
			return SL_OK;
		part = (struct iovec){ .iov_base = h2->out.ptr, .iov_len = h2->out.len };
		put = sl_sock_write(&up->sock, &part, 1);
		if (put == SL_AGAIN)
			return SL_OK;
		if (put < 0)
			return (enum sl_err)put;
		sl_buf_consume(&h2->out, (size_t)put);
	}
}

static void
flush(struct sl_upstream *up)
{
	struct sl_h2 *h2 = up->h2;
	enum sl_err err;

	if (h2->depth > 0 || up->state == SL_UP_CLOSED)
		return;
	h2->depth++;
	err = write_out(up);
	h2->depth--;
	if (err != SL_OK) {
		fail_all(up, err, "the connection broke while sending");
		sl_pool_serve(up->pool);
		return;
	}
	if (h2->out.len == 0)
		sl_buf_release(&h2->out);
	if (h2->stream_count == 0 &&
	    (h2->draining || (!nghttp2_session_want_read(h2->session) &&
	                      !nghttp2_session_want_write(h2->session)))) {
		sl_upstream_close(up);
	} else {
		sl_upstream_watch(up, EPOLLIN | (h2->out.len || up->sock.wants_write ? EPOLLOUT
		                                                                     : 0u));
	}
	if (h2->freed_room) {
		h2->freed_room = false;
		sl_pool_serve(up->pool);
	}
}

/* --- requests -------------------------------------------------------------------------------- */

static nghttp2_nv
make_field(struct sl_slice name, struct sl_slice value)
{
	nghttp2_nv field = { .name = (uint8_t *)(uintptr_t)name.ptr,
		             .namelen = name.len,
		             .value = (uint8_t *)(uintptr_t)value.ptr,
		             .valuelen = value.len };

	/* Credentials stay out of compression tables (RFC 7541 7.1.3). */
	if (sl_slice_is(name, "authorization") || sl_slice_ends(name, SL_SLICE("api-key")))
		field.flags = NGHTTP2_NV_FLAG_NO_INDEX;
	return field;
}

/* Reads the head text back: request line, host, fields. Room for one field per
 * line and two more. */
static size_t
read_fields(const struct sl_flight *flight, bool secure, nghttp2_nv *out)
{
	struct sl_slice rest = flight->parts[0];
	struct sl_slice line = sl_slice_trim(sl_slice_cut(&rest, '\n'));
	struct sl_slice method = sl_slice_cut(&line, ' ');
	size_t count = 0;

	out[count++] = make_field(SL_SLICE(":method"), method);
	out[count++] = make_field(SL_SLICE(":scheme"),
	                          secure ? SL_SLICE("https") : SL_SLICE("http"));
	out[count++] = make_field(SL_SLICE(":path"), sl_slice_cut(&line, ' '));
	while (rest.len) {
		struct sl_slice name;

		line = sl_slice_trim(sl_slice_cut(&rest, '\n'));
		if (line.len == 0)
			break;
		name = sl_slice_cut(&line, ':');
		out[count++] = make_field(sl_slice_is(name, "host") ? SL_SLICE(":authority") : name,
		                          sl_slice_trim(line));
	}
	return count;
}

static int32_t
submit(struct sl_upstream *up, struct sl_flight *flight)
{
	nghttp2_data_provider body = { .read_callback = read_body };
	struct sl_slice head = flight->parts[0];
	size_t lines = 2, count;
	nghttp2_nv *fields;
	int32_t stream_id;

	for (size_t i = 0; i < head.len; i++)
		lines += head.ptr[i] == '\n';
	fields = calloc(lines, sizeof(*fields));
	if (!fields)
		return NGHTTP2_ERR_NOMEM;
	count = read_fields(flight, up->sock.ssl != NULL, fields);
	stream_id = nghttp2_submit_request(up->h2->session, NULL, fields, count,
	                                   flight->body_len ? &body : NULL, flight);
	free(fields);
	return stream_id;
}

void
sl_h2_start(struct sl_upstream *up, struct sl_flight *flight)
{
	struct sl_h2 *h2 = up->h2;
	int32_t stream_id = submit(up, flight);

	if (stream_id < 0) {
		flight->stream_id = 0;
		h2->draining = true; /* ids used up, or no memory: use another connection */
		update_full(up);
		settle_idle(up);
		sl_flight_fail(flight, SL_ECONNECT, nghttp2_strerror(stream_id));
		return;
	}
	if (h2->stream_count++ == 0) {
		h2->heard_ms = sl_loop_now_ms(up->client->loop);
		sl_timer_set(up->client->loop, &up->timer, CHECK_MS);
	}
	flight->stream_id = stream_id;
	sl_buf_init(&flight->held, (size_t)2 * STREAM_WINDOW);
	sl_flight_progress(flight, flight->parts[0].len);
	update_full(up);
	flush(up);
}

void
sl_h2_detach(struct sl_flight *flight)
{
	struct sl_upstream *up = flight->up;
	int32_t stream_id = flight->stream_id;

	unhook(up->h2, flight);
	if (stream_id > 0)
		nghttp2_submit_rst_stream(up->h2->session, NGHTTP2_FLAG_NONE, stream_id,
		                          NGHTTP2_CANCEL);
	flush(up);
}

void
sl_h2_resume(struct sl_flight *flight)
{
	struct sl_client *client = flight->client;
	struct sl_upstream *up = flight->up;
	struct sl_buf held = flight->held;

	sl_buf_init(&flight->held, held.max_size);
	client->resuming = flight;
	if (up)
		up->h2->depth++;
	if (held.len)
		sl_flight_on_data(flight, sl_buf_slice(&held));
	if (client->resuming == flight) {
		if (flight->stream_id > 0)
			nghttp2_session_consume_stream(up->h2->session, flight->stream_id,
			                               held.len);
		if (flight->ended && !flight->paused)
			finish(flight);
	}
	client->resuming = NULL;
	sl_buf_release(&held);
	if (!up)
		return;
	up->h2->depth--;
	flush(up);
}

/* --- the connection ------------------------------------------------------------------------------ */

static void
receive(struct sl_upstream *up)
{
	struct sl_h2 *h2 = up->h2;
	uint8_t *scratch = (uint8_t *)sl_loop_scratch(up->client->loop);
	ssize_t got, used;

	do {
		got = sl_sock_read(&up->sock, scratch, SL_LOOP_SCRATCH);
		if (got == SL_AGAIN)
			return;
		if (got <= 0) {
			fail_all(up, got == 0 ? SL_ECLOSED : (enum sl_err)got,
			         "the connection ended with the stream open");
			return;
		}
		h2->heard_ms = sl_loop_now_ms(up->client->loop);
		h2->pinged = false;
		h2->depth++;
		used = nghttp2_session_mem_recv(h2->session, scratch, (size_t)got);
		h2->depth--;
		if (used < 0) {
			fail_all(up, SL_EPROTO, nghttp2_strerror((int)used));
			return;
		}
	} while (up->state != SL_UP_CLOSED && sl_sock_has_buffered(&up->sock));
}

void
sl_h2_on_ready(struct sl_upstream *up, uint32_t events)
{
	struct sl_pool *pool = up->pool;

	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		receive(up);
	if (up->state == SL_UP_CLOSED)
		sl_pool_serve(pool);
	else
		flush(up);
}

void
sl_h2_on_timer(struct sl_upstream *up)
{
	struct sl_h2 *h2 = up->h2;
	uint64_t silent_ms = sl_loop_now_ms(up->client->loop) - h2->heard_ms;

	if (silent_ms >= DEAD_AFTER_MS) {
		fail_all(up, SL_ETIMEDOUT, "the server did not answer a ping for 5 s");
		sl_pool_serve(up->pool);
		return;
	}
	sl_timer_set(up->client->loop, &up->timer, CHECK_MS);
	if (silent_ms >= PING_AFTER_MS && !h2->pinged) {
		h2->pinged = true;
		nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL);
		flush(up);
	}
}

static nghttp2_session *
new_session(struct sl_h2 *h2)
{
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *option = NULL;
	nghttp2_session *session = NULL;

	if (nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0) {
		nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks,
		                                                        on_begin_headers);
		nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
		                                                          on_data_chunk);
		nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
		                                                       on_stream_close);
		nghttp2_option_set_no_auto_window_update(option, 1);
		if (nghttp2_session_client_new2(&session, callbacks, h2, option) != 0)
			session = NULL;
	}
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	return session;
}

enum sl_err
sl_h2_open(struct sl_upstream *up)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, SL_REPLY_HEAD_MAX },
	};
	struct sl_h2 *h2 = calloc(1, sizeof(*h2));

	if (!h2)
		return SL_ENOMEM;
	up->h2 = h2;
	h2->up = up;
	h2->heard_ms = sl_loop_now_ms(up->client->loop);
	sl_buf_init(&h2->out, OUT_MAX);
	h2->session = new_session(h2);
	if (!h2->session ||
	    nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings,
	                            sizeof(settings) / sizeof(settings[0])) != 0 ||
	    nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
	                                          CONNECTION_WINDOW) != 0)
		return SL_ENOMEM;
	return SL_OK;
}

void
sl_h2_clear(struct sl_upstream *up)
{
	if (!up->h2)
		return;
	nghttp2_session_del(up->h2->session);
	sl_buf_release(&up->h2->out);
	free(up->h2);
	up->h2 = NULL;
}

/* h1_client.c - one HTTP/1.1 exchange on an upstream connection.
 *
 *   HEAD --1xx--> HEAD (at most 8 times)
 *   HEAD --final head--> BODY --its framing is satisfied--> complete
 *     '------------------- anything else --------------> the flight fails
 *
 * A plain head that came whole (plain_head.h) and whose body has a length needs no parser:
 * that many bytes are the body. For all others llhttp parses in strict mode; before it sees
 * a head, scan_head() has looked at the line structure, because llhttp joins folded lines and
 * we refuse them, and because the byte limit must hold across reads. What decides framing is
 * then checked by our own rules: one content-length or one transfer-encoding
 * of exactly "chunked", never both (RFC 9112 6.1). An upstream is not trusted
 * more than a caller: a reply that two parsers could read differently ends here.
 *
 * A connection is used again only when request and reply are both complete, no
 * byte follows, and the peer did not ask to close. The owner's callbacks are
 * made with the parser's state settled, and after each one up->flight tells
 * whether the owner is still there.
 *
 * While the owner pauses, nothing is read; bytes of the current read that were
 * not delivered yet are kept, at most one read.
 */
#include <stdlib.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "net/client_internal.h"

enum { WRITE_PARTS = 32 };

static int on_field(llhttp_t *parser, const char *at, size_t len);
static int on_field_complete(llhttp_t *parser);
static int on_value(llhttp_t *parser, const char *at, size_t len);
static int on_body(llhttp_t *parser, const char *at, size_t len);
static int on_headers_complete(llhttp_t *parser);
static int on_message_complete(llhttp_t *parser);

static const llhttp_settings_t settings = {
	.on_header_field = on_field,
	.on_header_field_complete = on_field_complete,
	.on_header_value = on_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

/* --- parser callbacks ------------------------------------------------------------- */

static int
stop(struct sl_h1 *h1, enum sl_err err, const char *detail)
{
	h1->err = err;
	h1->detail = detail;
	return HPE_USER;
}

static int
on_field(llhttp_t *parser, const char *at, size_t len)
{
	struct sl_h1 *h1 = &((struct sl_upstream *)parser->data)->h1;
	bool begins = h1->in_value || !h1->head || h1->head->count == 0;

	/* Trailers come after the head was handed out. */
	if (!h1->head) {
		h1->head = sl_client_take_head(((struct sl_upstream *)parser->data)->client);
		if (!h1->head)
			return stop(h1, SL_ENOMEM, "out of memory");
	}
	h1->in_value = false; /* set again by on_field_complete */
	if (sl_reply_head_name(h1->head, sl_slice_make(at, len), begins) != SL_OK)
		return stop(h1, SL_ELIMIT, "the reply has too many or too large fields");
	return 0;
}

/* An empty value makes no on_value call, so the name's end is noted here. */
static int
on_field_complete(llhttp_t *parser)
{
	((struct sl_upstream *)parser->data)->h1.in_value = true;
	return 0;
}

static int
on_value(llhttp_t *parser, const char *at, size_t len)
{
	struct sl_h1 *h1 = &((struct sl_upstream *)parser->data)->h1;

	if (!h1->head || sl_reply_head_value(h1->head, sl_slice_make(at, len)) != SL_OK)
		return stop(h1, SL_ELIMIT, "the reply has too many or too large fields");
	return 0;
}

/* The one content-length, or why the fields cannot be trusted. */
static const char *
read_framing(struct sl_h1 *h1, const struct sl_headers *headers, bool is_http10,
             bool *chunked)
{
	size_t lengths = 0, encodings = 0;

	h1->content_length = -1;
	*chunked = false;
	for (size_t i = 0; i < headers->count; i++) {
		struct sl_slice value = headers->items[i].value;

		/* What llhttp lets pass and our own promise (headers.h) forbids. */
		if (!sl_header_is_valid(headers->items[i].name, value))
			return "invalid field in the reply";
		if (sl_slice_is(headers->items[i].name, "content-length")) {
			lengths++;
			if (value.len == 0 || value.ptr[0] == '-' ||
			    !sl_slice_i64(value, &h1->content_length))
				return "invalid content-length in the reply";
		} else if (sl_slice_is(headers->items[i].name, "transfer-encoding")) {
			encodings++;
			*chunked = sl_slice_ieq(value, SL_SLICE("chunked"));
			if (!*chunked)
				return "unknown transfer-encoding in the reply";
		}
	}
	if (lengths > 1)
		return "more than one content-length in the reply";
	if (encodings > 1)
		return "more than one transfer-encoding in the reply";
	if (lengths && encodings)
		return "content-length and transfer-encoding in one reply";
	if (encodings && is_http10)
		return "transfer-encoding in an HTTP/1.0 reply";
	return NULL;
}

static int
on_headers_complete(llhttp_t *parser)
{
	struct sl_upstream *up = parser->data;
	struct sl_h1 *h1 = &up->h1;
	struct sl_headers headers = { 0 };
	bool chunked, bodiless;
	int status = parser->status_code;
	const char *fault;

	/* An end of trailers does not come here. */
	h1->in_head = false;
	if (parser->http_major != 1 || parser->http_minor > 1)
		return stop(h1, SL_EPROTO, "the reply is not HTTP/1.0 or HTTP/1.1");
	if (status < 100 || status > 599 || status == 101)
		return stop(h1, SL_EPROTO, "unexpected status in the reply");
	if (h1->head)
		headers = sl_reply_head_fields(h1->head);
	fault = read_framing(h1, &headers, parser->http_minor == 0, &chunked);
	if (fault)
		return stop(h1, SL_EPROTO, fault);
	if (status < 200)
		return 0;
	bodiless = up->flight->is_head || status == 204 || status == 304;
	h1->head_done = true;
	h1->until_close = !bodiless && !chunked && h1->content_length < 0;
	/* 204 with a body announced: whether one follows is anybody's guess. */
	h1->keep_alive = !(status == 204 && (chunked || h1->content_length > 0));
	return bodiless ? 1 : 0;
}

static int
on_body(llhttp_t *parser, const char *at, size_t len)
{
	struct sl_upstream *up = parser->data;
	struct sl_flight *flight = up->flight;

	if (len == 0)
		return 0;
	sl_flight_on_data(flight, sl_slice_make(at, len));
	if (up->flight != flight)
		return HPE_USER;
	return flight->paused ? HPE_PAUSED : 0;
}

static int
on_message_complete(llhttp_t *parser)
{
	struct sl_h1 *h1 = &((struct sl_upstream *)parser->data)->h1;

	/* Also after a 1xx: nothing behind the end is looked at by this run. */
	if (h1->head_done) {
		h1->complete = true;
		h1->keep_alive = h1->keep_alive && !h1->until_close &&
		                 llhttp_should_keep_alive(parser);
	}
	return HPE_PAUSED;
}

/* --- receiving ----------------------------------------------------------------------- */

static void
begin_head(struct sl_upstream *up)
{
	struct sl_h1 *h1 = &up->h1;

	h1->parser.data = NULL;
	h1->in_head = true;
	h1->in_value = h1->last_cr = h1->plain = false;
	h1->line_len = h1->line_count = 0;
}

/* The status of a plain line "HTTP/1.1 200 OK" that a body follows, 0 for others; *at: behind
 * the line. */
static int
plain_status(struct sl_slice text, size_t *at)
{
	enum { DIGITS_AT = 9, REASON_AT = 13 };
	const char *digits = text.ptr + DIGITS_AT;
	int status;

	if (text.len <= REASON_AT || !sl_slice_starts(text, SL_SLICE("HTTP/1.1 ")) ||
	    digits[0] < '2' || digits[0] > '5' || digits[1] < '0' || digits[1] > '9' ||
	    digits[2] < '0' || digits[2] > '9' || digits[3] != ' ')
		return 0;
	status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
	*at = sl_plain_run(text, REASON_AT, ' ');
	if (!sl_slice_starts(sl_slice_from(text, *at), SL_SLICE("\r\n")))
		return 0;
	*at += 2;
	return status == 204 || status == 304 ? 0 : status;
}

/* Takes a plain head at the beginning of a reply. Returns bytes used; 0: not plain. */
static size_t
read_plain_head(struct sl_upstream *up, struct sl_slice text)
{
	struct sl_h1 *h1 = &up->h1;
	size_t at, used;
	int status = up->flight->is_head ? 0 : plain_status(text, &at);
	struct sl_reply_head *head = status ? sl_client_take_head(up->client) : NULL;

	if (!head)
		return 0;
	used = sl_reply_head_plain(head, text, at, &h1->content_length);
	if (used == 0 || h1->content_length < 0) {
		sl_client_return_head(up->client, head);
		return 0;
	}
	h1->head = head;
	h1->head_bytes = (uint32_t)used;
	h1->in_head = false;
	h1->head_done = h1->plain = true;
	h1->complete = h1->content_length == 0;
	h1->parser.status_code = (uint16_t)status;
	return used;
}

/* The same as parse() behind a plain head. */
static ptrdiff_t
pass_plain_body(struct sl_upstream *up, struct sl_slice bytes)
{
	struct sl_flight *flight = up->flight;
	struct sl_h1 *h1 = &up->h1;

	bytes = sl_slice_upto(bytes, (size_t)h1->content_length);
	if (bytes.len == 0)
		return 0;
	h1->content_length -= (int64_t)bytes.len;
	h1->complete = h1->content_length == 0;
	sl_flight_on_data(flight, bytes);
	return up->flight == flight ? (ptrdiff_t)bytes.len : -1;
}

/* Bytes before the first CR, LF or NUL. */
static size_t
plain_run(const char *at, size_t size)
{
	static const char ends[] = { '\r', '\n', '\0' };

	for (size_t i = 0; i < sizeof(ends) && size > 0; i++) {
		const char *end = memchr(at, ends[i], size);

		size = end ? (size_t)(end - at) : size;
	}
	return size;
}

/* Bytes of data that belong to the head; sets err when its lines are not as
 * they must be. */
static size_t
scan_head(struct sl_h1 *h1, const char *data, size_t size)
{
	for (size_t i = 0, run; i < size; i += run) {
		char c = data[i];

		run = h1->last_cr ? 0 : plain_run(data + i, size - i);
		if (run == 0)
			run = 1;
		h1->head_bytes += (uint32_t)run;
		if (h1->head_bytes > SL_REPLY_HEAD_MAX) {
			stop(h1, SL_ELIMIT, "the reply head is larger than 64 KiB");
			return i;
		}
		if (c == '\n') {
			if (!h1->last_cr) {
				stop(h1, SL_EPROTO, "bare LF in the reply head");
				return i;
			}
			h1->last_cr = false;
			if (h1->line_len == 0 && h1->line_count > 0)
				return i + 1;
			h1->line_count++;
			h1->line_len = 0;
			continue;
		}
		if (h1->last_cr || c == '\0') {
			stop(h1, SL_EPROTO, "bare CR or NUL in the reply head");
			return i;
		}
		h1->last_cr = c == '\r';
		if (h1->last_cr)
			continue;
		if (h1->line_len == 0 && h1->line_count > 0 && (c == ' ' || c == '\t')) {
			stop(h1, SL_EPROTO, "folded line in the reply head");
			return i;
		}
		h1->line_len += (uint32_t)run;
	}
	return size;
}

static void
fail_up(struct sl_upstream *up, enum sl_err err, const char *detail)
{
	/* Closes the connection too. */
	sl_flight_fail(up->flight, err, detail);
}

/* The exchange is complete. The connection is released first, so that a fetch
 * started by on_end can use it. */
static void
finish(struct sl_upstream *up, bool clean)
{
	struct sl_flight *flight = up->flight;
	struct sl_client *client = up->client;
	struct sl_fetch *fetch = flight->fetch;
	struct sl_reply_head *head = up->h1.head;
	struct sl_headers trailers = { 0 };
	bool reusable = clean && !up->pool->origin.once && up->h1.keep_alive &&
	                sl_flight_all_sent(flight) &&
	                !sl_sock_has_buffered(&up->sock);

	up->flight = NULL;
	up->h1.head = NULL;
	flight->up = NULL;
	sl_flight_free(flight);
	if (reusable) {
		sl_upstream_release(up);
	} else {
		up->state = SL_UP_IDLE; /* nothing is cut: FIN, not RST */
		sl_upstream_close(up);
	}
	if (head)
		trailers = sl_reply_head_fields(head);
	fetch->ops->on_end(fetch, &trailers);
	sl_client_return_head(client, head);
}

/* The head was parsed: hand it out. False when the exchange is over. */
static bool
deliver_head(struct sl_upstream *up)
{
	struct sl_flight *flight = up->flight;
	struct sl_h1 *h1 = &up->h1;
	struct sl_headers headers = { 0 };
	struct sl_reply_head *head = h1->head;
	int status = h1->parser.status_code;
	int64_t content_length = h1->content_length;

	if (!sl_flight_all_sent(flight)) {
		/* A refusal makes the rest of the body pointless; a success needs it. */
		if (status >= 300 || !sl_flight_copy_unsent(flight)) {
			sl_flight_drop_unsent(flight);
			h1->keep_alive = false;
		}
	}
	if (head)
		headers = sl_reply_head_fields(head);
	h1->head = NULL;
	sl_flight_on_head(flight, status, &headers, content_length);
	sl_client_return_head(up->client, head);
	return up->flight == flight;
}

static void
hold(struct sl_upstream *up, const char *data, size_t size)
{
	struct sl_h1 *h1 = &up->h1;
	char *copy = malloc(size);

	if (!copy) {
		fail_up(up, SL_ENOMEM, "out of memory");
		return;
	}
	memcpy(copy, data, size);
	free(h1->held);
	h1->held = copy;
	h1->held_len = size;
}

/* Interim reply: forget its fields, expect another head. */
static bool
skip_interim(struct sl_upstream *up)
{
	struct sl_h1 *h1 = &up->h1;

	if (++h1->interim_count > SL_REPLY_INTERIM_MAX) {
		fail_up(up, SL_EPROTO, "more than 8 interim replies");
		return false;
	}
	sl_client_return_head(up->client, h1->head);
	h1->head = NULL;
	begin_head(up);
	return true;
}

/* Runs the parser over a piece; returns the bytes used, or less than 0 when
 * the flight has failed or gone. */
static ptrdiff_t
parse(struct sl_upstream *up, const char *data, size_t size)
{
	struct sl_flight *flight = up->flight;
	struct sl_h1 *h1 = &up->h1;
	llhttp_errno_t code;
	size_t used;

	if (h1->plain)
		return pass_plain_body(up, sl_slice_make(data, size));
	if (h1->in_head && h1->head_bytes == 0) {
		used = read_plain_head(up, sl_slice_make(data, size));
		if (used > 0)
			return (ptrdiff_t)used;
	}
	if (h1->in_head) {
		size = scan_head(h1, data, size);
		if (h1->err) {
			fail_up(up, h1->err, h1->detail);
			return -1;
		}
	}
	if (!h1->parser.data) {
		llhttp_init(&h1->parser, HTTP_RESPONSE, &settings);
		h1->parser.data = up;
	}
	code = llhttp_execute(&h1->parser, data, size);
	if (up->flight != flight)
		return -1;
	if (code == HPE_PAUSED) {
		if (size > 0)
			size = (size_t)(llhttp_get_error_pos(&h1->parser) - data);
		llhttp_resume(&h1->parser);
		return (ptrdiff_t)size;
	}
	if (code == HPE_OK)
		return (ptrdiff_t)size;
	if (h1->err)
		fail_up(up, h1->err, h1->detail);
	else
		fail_up(up, SL_EPROTO, llhttp_get_error_reason(&h1->parser));
	return -1;
}

static void
feed(struct sl_upstream *up, const char *data, size_t size)
{
	struct sl_h1 *h1 = &up->h1;
	size_t at = 0;

	while (at < size && !h1->complete) {
		bool was_in_head = h1->in_head;
		ptrdiff_t used;

		if (up->flight->paused) {
			hold(up, data + at, size - at);
			return;
		}
		used = parse(up, data + at, size - at);
		if (used < 0)
			return;
		at += (size_t)used;
		if (!was_in_head || h1->in_head)
			continue;
		if (!h1->head_done ? !skip_interim(up) : !deliver_head(up))
			return;
	}
	if (!h1->complete)
		return;
	/* Bytes behind the end belong to nobody: they cost the connection. */
	if (at < size)
		h1->keep_alive = false;
	if (!up->flight->paused)
		finish(up, true);
}

static void
take_end(struct sl_upstream *up)
{
	struct sl_h1 *h1 = &up->h1;

	if (h1->head_done && h1->until_close) {
		finish(up, false);
		return;
	}
	fail_up(up, SL_ECLOSED,
	        h1->head_done        ? "the reply ended before it was complete"
	        : h1->head_bytes > 0 ? "the connection ended within the reply head"
	                             : "the connection ended before a reply");
}

static void
receive(struct sl_upstream *up)
{
	char *scratch = sl_loop_scratch(up->client->loop);
	ssize_t got;

	do {
		got = sl_sock_read(&up->sock, scratch, SL_LOOP_SCRATCH);
		if (!up->sock.ssl && (got == SL_AGAIN || (got > 0 && got < SL_LOOP_SCRATCH)))
			sl_loop_drained(up->client->loop, &up->io);
		if (got == SL_AGAIN)
			return;
		if (got == 0) {
			take_end(up);
			return;
		}
		if (got < 0) {
			fail_up(up, (enum sl_err)got,
			        up->h1.head_done ? "the connection broke within the reply"
			                         : "the connection broke before a reply");
			return;
		}
		feed(up, scratch, (size_t)got);
	} while (up->flight && !up->flight->paused && sl_sock_has_buffered(&up->sock));
}

/* --- sending ----------------------------------------------------------------------------- */

/* What epoll should tell us now. */
static void
watch(struct sl_upstream *up)
{
	struct sl_flight *flight = up->flight;
	uint32_t events = flight->paused ? 0 : EPOLLIN;

	if (!sl_flight_all_sent(flight) || up->sock.wants_write)
		events |= EPOLLOUT;
	sl_upstream_watch(up, events);
}

/* Provably not processed: the request waits for another connection. */
static void
try_elsewhere(struct sl_upstream *up, enum sl_err err)
{
	struct sl_flight *flight = up->flight;
	struct sl_pool *pool = up->pool;

	up->flight = NULL;
	flight->up = NULL;
	sl_upstream_close(up);
	if (!sl_flight_retry(flight))
		sl_flight_fail(flight, err, "the connection broke before the request");
	sl_pool_serve(pool);
}

/* A connection that rested, and not a byte of the request on it. */
static bool
is_untouched(const struct sl_flight *flight)
{
	return flight->fetch->reused && !flight->sent;
}

/* A write that failed. The peer may have said why before it closed (401, 413):
 * the rest of the request is dropped, and what the socket still holds, a reply
 * or the error, is read when the loop reports it. */
static void
take_write_failure(struct sl_upstream *up, enum sl_err err)
{
	struct sl_flight *flight = up->flight;

	if (is_untouched(flight)) {
		try_elsewhere(up, err);
		return;
	}
	up->h1.keep_alive = false;
	sl_flight_drop_unsent(flight);
	watch(up);
}

static void
send_request(struct sl_upstream *up)
{
	struct sl_flight *flight = up->flight;
	struct iovec parts[WRITE_PARTS] SL_UNINIT; /* as many are read as sl_flight_unsent says */

	while (!sl_flight_all_sent(flight)) {
		int count = sl_flight_unsent(flight, parts, WRITE_PARTS);
		ssize_t put = sl_sock_write(&up->sock, parts, count);

		if (put == SL_AGAIN)
			break;
		if (put < 0) {
			take_write_failure(up, (enum sl_err)put);
			return;
		}
		sl_flight_progress(flight, (size_t)put);
	}
	if (sl_flight_all_sent(flight))
		sl_flight_free_request(flight);
	watch(up);
}

/* --- for client.c --------------------------------------------------------------------------- */

void
sl_h1_start(struct sl_upstream *up, struct sl_flight *flight)
{
	struct sl_h1 *h1 = &up->h1;

	h1->head_bytes = 0;
	h1->err = SL_OK;
	h1->interim_count = 0;
	h1->head_done = h1->complete = h1->until_close = false;
	h1->keep_alive = true;
	begin_head(up);
	/* Written at the end of the turn, with the turn's other requests: one burst
	 * keeps the receiver awake where single writes would wake it each. */
	sl_list_push_back(&up->client->starting, &flight->node);
	sl_client_kick(up->client);
}

void
sl_h1_send(struct sl_upstream *up)
{
	send_request(up);
}

void
sl_h1_on_ready(struct sl_upstream *up, uint32_t events)
{
	struct sl_flight *flight = up->flight;

	/* What comes before the request is an end, or no answer to it. */
	if (is_untouched(flight) && (events & (EPOLLIN | EPOLLERR | EPOLLHUP))) {
		try_elsewhere(up, SL_ECLOSED);
		return;
	}
	if (!sl_flight_all_sent(flight) && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
		send_request(up);
		if (up->flight != flight)
			return;
	}
	if (flight->paused) {
		watch(up);
		return;
	}
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		receive(up);
	if (up->flight == flight && ((events & EPOLLOUT) || up->sock.wants_write))
		watch(up);
}

void
sl_h1_resume(struct sl_upstream *up)
{
	struct sl_flight *flight = up->flight;
	char *held = up->h1.held;
	size_t held_len = up->h1.held_len;

	up->h1.held = NULL;
	up->h1.held_len = 0;
	/* Paused on the last byte, the parser has its end still before it. */
	if (held_len || !up->h1.head_done || up->h1.complete || parse(up, "", 0) >= 0)
		feed(up, held, held_len);
	free(held);
	if (up->flight != flight || flight->paused)
		return;
	if (sl_sock_has_buffered(&up->sock))
		receive(up);
	if (up->flight == flight)
		watch(up);
}

void
sl_h1_clear(struct sl_upstream *up)
{
	free(up->h1.held);
	up->h1.held = NULL;
	sl_client_return_head(up->client, up->h1.head);
	up->h1.head = NULL;
}

/* server_fuzz.h - a server over a socket pair, fed with bytes at chosen splits.
 *
 * The handler answers in several ways, by the path's second byte, and keeps an
 * account: every exchange is announced once and ends once, and none is left when
 * the connection is gone. The log of callbacks is what two runs are compared by.
 */
#ifndef SL_TESTS_FUZZ_SERVER_FUZZ_H
#define SL_TESTS_FUZZ_SERVER_FUZZ_H

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/head_text.h"
#include "net/server_internal.h"

#define MUST(condition)                                                       \
	do {                                                                  \
		if (!(condition))                                             \
			abort();                                              \
	} while (0)

static struct sl_loop *loop;
static struct sl_server *server;
static struct sl_buf history;
static struct sl_task stop_task;

static inline void
fuzz_stop(struct sl_task *task)
{
	(void)task;
	sl_loop_stop(loop);
}

static inline void
fuzz_turn(void)
{
	sl_loop_post(loop, &stop_task);
	sl_loop_run(loop);
}

static inline char
fuzz_way(const struct sl_exchange *exchange)
{
	return exchange->request.path.len > 1 ? exchange->request.path.ptr[1] : '/';
}

/* The fields as lines are the same bytes, whether they are those that were read or not. */
static inline bool
goes_on_alike(const struct sl_headers *fields)
{
	size_t size = sl_fields_size(fields->items, fields->count);
	char *text = malloc(2 * size + 1), *end, *again;
	bool alike;

	MUST(text);
	end = sl_put_fields(text, fields->items, fields->count, sl_headers_lines(fields));
	again = sl_put_fields(text + size, fields->items, fields->count, SL_SLICE_NONE);
	alike = end == text + size && again == end + size && memcmp(text, end, size) == 0;
	free(text);
	return alike;
}

static inline void
fuzz_on_head(void *context, struct sl_exchange *exchange, size_t *body_max)
{
	(void)context, (void)body_max;
	MUST(!exchange->user);
	exchange->user = exchange;
	sl_buf_printf(&history, "head %.*s %.*s %.*s %zu %lld\n", SL_ARG(exchange->request.method),
	              SL_ARG(exchange->request.path), SL_ARG(exchange->request.query),
	              exchange->request.headers.count,
	              (long long)exchange->request.content_length);
	for (size_t i = 0; i < exchange->request.headers.count; i++) {
		const struct sl_header *field = &exchange->request.headers.items[i];

		MUST(sl_header_is_valid(field->name, field->value));
		sl_buf_printf(&history, "%.*s: %.*s\n", SL_ARG(field->name), SL_ARG(field->value));
	}
	MUST(goes_on_alike(&exchange->request.headers));
	/* Whether the connection goes on behind an early answer to one who expects "100 Continue"
	 * depends on what came with the head, too. */
	if (fuzz_way(exchange) == 'e' && !sl_headers_has(&exchange->request.headers, "expect"))
		sl_exchange_send(exchange, 401, NULL, 0, SL_SLICE("early"));
}

static inline void
fuzz_on_request(void *context, struct sl_exchange *exchange)
{
	struct sl_header trailer = { SL_SLICE("x-end"), SL_SLICE("1") };

	(void)context;
	sl_buf_printf(&history, "request %zu %zu\n", exchange->body.len,
	              exchange->trailers.count);
	switch (fuzz_way(exchange)) {
	case 'w':
		return;
	case 'a':
		sl_exchange_start(exchange, 200, NULL, 0, -1, SL_SLICE_NONE);
		sl_exchange_write(exchange, SL_SLICE("part"));
		sl_exchange_abort(exchange);
		return;
	case 's':
		sl_exchange_start(exchange, 200, NULL, 0, -1, SL_SLICE("x-end"));
		sl_exchange_write(exchange, SL_SLICE("part"));
		sl_exchange_finish(exchange, &trailer, 1);
		return;
	default:
		sl_exchange_send(exchange, 200, NULL, 0, sl_buf_slice(&exchange->body));
	}
}

static inline void
fuzz_on_bad(void *context, struct sl_exchange *exchange, int status, const char *reason)
{
	(void)context;
	MUST(status >= 400 && reason && reason[0]);
	exchange->user = exchange;
	/* A head that is both malformed and too long is refused for what is seen first, which
	 * depends on how it comes. */
	sl_buf_printf(&history, "bad %d\n", status == 431 ? 400 : status);
	sl_exchange_send(exchange, status, NULL, 0, sl_slice_str(reason));
}

static inline void
fuzz_on_drain(void *context, struct sl_exchange *exchange)
{
	(void)context, (void)exchange;
}

static inline void
fuzz_on_gone(void *context, struct sl_exchange *exchange, enum sl_gone_reason why)
{
	(void)context, (void)why;
	MUST(exchange->user == exchange);
	sl_buf_append_str(&history, "gone\n");
}

static inline void
fuzz_set_up(void)
{
	static const struct sl_server_limits limits = {
		.header_bytes = 2048,
		.header_count = 20,
		.body_bytes = 4096,
		.header_timeout_ms = 60000,
		.body_timeout_ms = 60000,
		.keepalive_timeout_ms = 60000,
		.write_stall_ms = 60000,
		.h2_streams = 8,
		.write_buffer_bytes = 65536,
	};
	static const struct sl_server_handler handler = { .on_head = fuzz_on_head,
		                                          .on_request = fuzz_on_request,
		                                          .on_bad_request = fuzz_on_bad,
		                                          .on_drain = fuzz_on_drain,
		                                          .on_gone = fuzz_on_gone };

	if (server)
		return;
	signal(SIGPIPE, SIG_IGN);
	loop = sl_loop_new(0);
	MUST(loop);
	stop_task.run = fuzz_stop;
	server = sl_server_new(loop, &limits, &handler);
	MUST(server);
	sl_buf_init(&history, 64 * 1024 * 1024);
}

/* Sends the bytes in parts whose sizes the seed decides; seed 0: at once. */
static inline void
fuzz_feed(struct sl_slice first, struct sl_slice bytes, uint32_t seed)
{
	static char answer[65536];
	int pair[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	sl_server_adopt(server, pair[0]);
	if (first.len)
		MUST(send(pair[1], first.ptr, first.len, MSG_NOSIGNAL) == (ssize_t)first.len);
	fuzz_turn();
	while (bytes.len) {
		size_t size = bytes.len;

		if (seed) {
			seed = seed * 1664525u + 1013904223u;
			size = 1 + (seed >> 16) % (seed & 1 ? 4 : 64);
			size = size < bytes.len ? size : bytes.len;
		}
		if (send(pair[1], bytes.ptr, size, MSG_NOSIGNAL) < 0)
			break;
		fuzz_turn();
		bytes = sl_slice_from(bytes, size);
	}
	/* Pipelined requests are answered one a turn. */
	for (int i = 0; i < 3; i++)
		fuzz_turn();
	/* Closed with bytes unread it would be a reset, which one run sees and the other not:
	 * whether "100 Continue" is sent depends on what came with the head. */
	while (recv(pair[1], answer, sizeof(answer), MSG_DONTWAIT) > 0)
		continue;
	close(pair[1]);
	for (int i = 0; i < 4 && sl_server_connection_count(server); i++)
		fuzz_turn();
	MUST(sl_server_connection_count(server) == 0);
	MUST(sl_server_exchange_count(server) == 0);
}

#endif

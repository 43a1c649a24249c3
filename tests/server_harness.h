/* server_harness.h - a server and its client in one thread, step by step.
 *
 * The client's sockets are real loopback TCP; a turn of the server's loop runs
 * only when the test says so, which makes every split of the input exact. The
 * handler logs what it was told and answers by path:
 *
 *   /early      answered in on_head        /wait    not answered at all
 *   /stream     streamed, its head forgotten, two writes, one trailer
 *   /big        8 MiB in writes of 64 KiB, with back-pressure
 *   /abort      streamed, then cut         /short   declared 10, written 3
 *   /unsendable one field too many lines
 *   anything    "METHOD path?query|body length|body"
 */
#ifndef SL_TESTS_SERVER_HARNESS_H
#define SL_TESTS_SERVER_HARNESS_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/server.h"

enum { BIG_SIZE = 8 * 1024 * 1024, BIG_PART = 64 * 1024 };

struct harness {
	struct sl_loop          *loop;
	struct sl_server        *server;
	struct sl_server_handler handler;
	struct sl_buf            log;     /* one line per callback */
	struct sl_exchange      *waiting; /* the last one on /wait */
	struct sl_task           stop;
	size_t                   big_left;
	size_t                   limited;
	size_t                   body_max; /* set by on_head when not 0 */
	uint16_t                 port;
};

static const struct sl_server_limits harness_limits = {
	.header_bytes = 8192,
	.header_count = 40,
	.body_bytes = 1024 * 1024,
	.header_timeout_ms = 5000,
	.body_timeout_ms = 5000,
	.keepalive_timeout_ms = 5000,
	.write_stall_ms = 5000,
	.h2_streams = 16,
	.write_buffer_bytes = 256 * 1024,
};

static inline void
harness_answer(struct sl_exchange *exchange, int status, struct sl_slice body)
{
	struct sl_header type = { SL_SLICE("content-type"), SL_SLICE("text/plain") };

	assert_int_equal(sl_exchange_send(exchange, status, &type, 1, body), SL_OK);
}

static inline void
harness_on_head(void *context, struct sl_exchange *exchange, size_t *body_max)
{
	struct harness *h = context;

	sl_buf_printf(&h->log, "head %.*s\n", SL_ARG(exchange->request.path));
	if (h->body_max)
		*body_max = h->body_max;
	if (sl_slice_is(exchange->request.path, "/early"))
		harness_answer(exchange, 401, SL_SLICE("no"));
}

static inline void
harness_pump(struct harness *h, struct sl_exchange *exchange)
{
	static char part[BIG_PART];

	while (h->big_left) {
		enum sl_err err = sl_exchange_write(exchange, sl_slice_make(part, BIG_PART));

		if (err == SL_ELIMIT) {
			h->limited++;
			return;
		}
		if (err != SL_OK)
			return;
		h->big_left -= BIG_PART;
	}
	sl_exchange_finish(exchange, NULL, 0);
}

static inline void
harness_stream(struct sl_exchange *exchange)
{
	struct sl_header type = { SL_SLICE("content-type"), SL_SLICE("text/event-stream") };
	struct sl_header trailer = { SL_SLICE("x-cost"), SL_SLICE("0.5") };

	sl_exchange_start(exchange, 200, &type, 1, -1, SL_SLICE("x-cost"));
	sl_exchange_forget_head(exchange);
	assert_int_equal(exchange->request.headers.count, 0);
	sl_exchange_write(exchange, SL_SLICE("data: one\n\n"));
	sl_exchange_write(exchange, SL_SLICE("data: two\n\n"));
	sl_exchange_finish(exchange, &trailer, 1);
}

static inline void
harness_echo(struct sl_exchange *exchange)
{
	const struct sl_request *request = &exchange->request;
	struct sl_buf text;

	sl_buf_init(&text, 4 * 1024 * 1024);
	sl_buf_printf(&text, "%.*s %.*s?%.*s|%zu|", SL_ARG(request->method),
	              SL_ARG(request->path), SL_ARG(request->query), exchange->body.len);
	sl_buf_append(&text, sl_buf_slice(&exchange->body));
	for (size_t i = 0; i < exchange->trailers.count; i++)
		sl_buf_printf(&text, "|%.*s=%.*s", SL_ARG(exchange->trailers.items[i].name),
		              SL_ARG(exchange->trailers.items[i].value));
	harness_answer(exchange, 200, sl_buf_slice(&text));
	sl_buf_release(&text);
}

static inline void
harness_on_request(void *context, struct sl_exchange *exchange)
{
	struct harness *h = context;
	struct sl_slice path = exchange->request.path;

	sl_buf_printf(&h->log, "request %.*s %zu\n", SL_ARG(path), exchange->body.len);
	if (sl_slice_is(path, "/wait")) {
		h->waiting = exchange;
	} else if (sl_slice_is(path, "/stream")) {
		harness_stream(exchange);
	} else if (sl_slice_is(path, "/big")) {
		h->big_left = BIG_SIZE;
		sl_exchange_start(exchange, 200, NULL, 0, BIG_SIZE, SL_SLICE_NONE);
		harness_pump(h, exchange);
	} else if (sl_slice_is(path, "/abort")) {
		sl_exchange_start(exchange, 200, NULL, 0, -1, SL_SLICE_NONE);
		sl_exchange_write(exchange, SL_SLICE("part"));
		sl_exchange_abort(exchange);
	} else if (sl_slice_is(path, "/short")) {
		sl_exchange_start(exchange, 200, NULL, 0, 10, SL_SLICE_NONE);
		sl_exchange_write(exchange, SL_SLICE("abc"));
		assert_int_equal(sl_exchange_finish(exchange, NULL, 0), SL_EINVAL);
	} else if (sl_slice_is(path, "/unsendable")) {
		struct sl_header split = { SL_SLICE("x-a"), SL_SLICE("b\r\nx-c: d") };

		assert_int_equal(sl_exchange_send(exchange, 200, &split, 1, SL_SLICE("abc")),
		                 SL_EINVAL);
	} else {
		harness_echo(exchange);
	}
}

static inline void
harness_on_bad(void *context, struct sl_exchange *exchange, int status, const char *reason)
{
	struct harness *h = context;

	assert_non_null(reason);
	sl_buf_printf(&h->log, "bad %d\n", status);
	harness_answer(exchange, status, sl_slice_str(reason));
}

static inline void
harness_on_drain(void *context, struct sl_exchange *exchange)
{
	harness_pump(context, exchange);
}

static inline void
harness_on_gone(void *context, struct sl_exchange *exchange, enum sl_gone_reason why)
{
	struct harness *h = context;

	if (h->waiting == exchange)
		h->waiting = NULL;
	sl_buf_printf(&h->log, "gone %d\n", why);
}

static inline void
harness_on_stop(struct sl_task *task)
{
	sl_loop_stop(SL_CONTAINER(task, struct harness, stop)->loop);
}

/* One turn: everything that is ready now. */
static inline void
harness_turn(struct harness *h)
{
	sl_loop_post(h->loop, &h->stop);
	sl_loop_run(h->loop);
}

static inline void
harness_turns(struct harness *h, int count)
{
	while (count-- > 0)
		harness_turn(h);
}

static inline void
harness_open(struct harness *h, const struct sl_server_limits *limits)
{
	struct sl_listen_config listen = { .host = "127.0.0.1" };

	*h = (struct harness){ .stop.run = harness_on_stop,
		               .handler = { .on_head = harness_on_head,
		                            .on_request = harness_on_request,
		                            .on_bad_request = harness_on_bad,
		                            .on_drain = harness_on_drain,
		                            .on_gone = harness_on_gone } };
	h->handler.context = h;
	sl_buf_init(&h->log, 16 * 1024 * 1024);
	h->loop = sl_loop_new(0);
	assert_non_null(h->loop);
	h->server = sl_server_new(h->loop, limits, &h->handler);
	assert_non_null(h->server);
	assert_int_equal(sl_server_listen(h->server, &listen, &h->port), SL_OK);
	assert_int_not_equal(h->port, 0);
}

static inline void
harness_close(struct harness *h)
{
	sl_server_free(h->server);
	sl_loop_free(h->loop);
	sl_buf_release(&h->log);
}

static inline int
harness_connect(struct harness *h)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_port = htons(h->port),
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = 5 };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static inline void
harness_put(int fd, struct sl_slice bytes)
{
	/* A server that refuses may have closed already. */
	ssize_t put = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

	(void)put;
}

/* What the server sent and has not been read. True at the end of the stream. */
static inline bool
harness_get(int fd, struct sl_buf *out)
{
	static char room[256 * 1024];
	ssize_t got;

	while ((got = recv(fd, room, sizeof(room), MSG_DONTWAIT)) > 0)
		sl_buf_append(out, sl_slice_make(room, (size_t)got));
	return got == 0 || (got < 0 && errno != EAGAIN);
}

/* Runs the server until the log or the output holds the text, or the time is up. */
static inline bool
harness_until(struct harness *h, const struct sl_buf *where, const char *text, unsigned limit_ms)
{
	uint64_t end_ns = sl_clock_mono_ns() + (uint64_t)limit_ms * 1000000u;

	while (sl_slice_search(sl_buf_slice(where), sl_slice_str(text)) < 0) {
		if (sl_clock_mono_ns() > end_ns)
			return false;
		harness_turn(h);
		usleep(1000);
	}
	return true;
}

#endif

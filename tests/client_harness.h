/* client_harness.h - a scripted server and fetches that remember, in one loop.
 *
 * The server answers its n-th request with the n-th scripted reply, in pieces of
 * a chosen size, and then goes on as told; a call counts what it was told, may
 * cancel or pause on the way, and stops the loop when all calls are done.
 */
#ifndef SL_TESTS_CLIENT_HARNESS_H
#define SL_TESTS_CLIENT_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/client.h"


/* --- a scripted server --------------------------------------------------------- */

enum after { KEEP_OPEN, CLOSE, RESET };

struct server;
struct world;
struct peer {
	struct sl_io   io;
	struct server *server;
	struct sl_list node;
	struct sl_timer timer;
	size_t         reply_at, request_count;
	bool           answering;
	struct sl_buf  got;
};

struct server {
	struct sl_loop  *loop;
	struct sl_io     io;
	uint16_t         port;
	struct sl_list   peers;
	size_t           accepted;
	/* The script: for the n-th request of the whole test. */
	const char      *replies[8];
	size_t           reply_count, served;
	size_t           piece_size;   /* bytes per write, 0: all at once */
	uint32_t         first_delay_ms;
	enum after       after;
	bool             answer_early; /* before the body came */
	bool             silent;
	size_t           total_received, spoiled; /* spoiled: reads with an 'X' */
	struct sl_buf    last_request;
};

static void
peer_free(struct peer *peer, bool reset)
{
	struct linger linger = { .l_onoff = 1 };

	sl_loop_remove(peer->server->loop, &peer->io);
	if (reset)
		setsockopt(peer->io.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(peer->io.fd);
	sl_timer_clear(&peer->timer);
	sl_list_remove(&peer->node);
	sl_buf_release(&peer->got);
	free(peer);
}

static const char *
peer_reply(struct peer *peer)
{
	struct server *server = peer->server;
	size_t index = server->served < server->reply_count ? server->served
	                                                    : server->reply_count - 1;

	return server->replies[index];
}

static void
peer_step(struct sl_timer *timer)
{
	struct peer *peer = SL_CONTAINER(timer, struct peer, timer);
	struct server *server = peer->server;
	const char *reply = peer_reply(peer);
	size_t left = strlen(reply) - peer->reply_at;
	size_t size = server->piece_size && server->piece_size < left ? server->piece_size : left;
	ssize_t put = send(peer->io.fd, reply + peer->reply_at, size, MSG_NOSIGNAL);

	if (put < 0 && errno != EAGAIN) {
		peer_free(peer, false);
		return;
	}
	peer->reply_at += put > 0 ? (size_t)put : 0;
	/* One piece per turn of the loop: the client reads in between. */
	if (reply[peer->reply_at]) {
		sl_loop_change(server->loop, &peer->io, EPOLLIN | EPOLLOUT);
		return;
	}
	sl_loop_change(server->loop, &peer->io, EPOLLIN);
	server->served++;
	peer->answering = false;
	peer->reply_at = 0;
	if (server->after != KEEP_OPEN)
		peer_free(peer, server->after == RESET);
}

/* Whole request: head and, by content-length, body. */
static bool
request_complete(struct peer *peer)
{
	struct sl_slice got = sl_buf_slice(&peer->got);
	ptrdiff_t end = sl_slice_search(got, SL_SLICE("\r\n\r\n"));
	ptrdiff_t at = sl_slice_search(got, SL_SLICE("content-length: "));
	size_t body = 0;

	if (end < 0)
		return false;
	if (peer->server->answer_early)
		return true;
	if (at >= 0)
		body = (size_t)atoi(got.ptr + at + 16);
	return got.len >= (size_t)end + 4 + body;
}

static void
peer_ready(struct sl_io *io, uint32_t events)
{
	struct peer *peer = SL_CONTAINER(io, struct peer, io);
	struct server *server = peer->server;
	char bytes[65536];
	ssize_t got;

	if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP))) {
		peer_step(&peer->timer);
		return;
	}
	got = recv(io->fd, bytes, sizeof(bytes), 0);
	if (got <= 0) {
		peer_free(peer, false);
		return;
	}
	server->total_received += (size_t)got;
	server->spoiled += memchr(bytes, 'X', (size_t)got) != NULL;
	sl_buf_append(&peer->got, sl_slice_make(bytes, (size_t)got));
	if (peer->answering || server->silent || !request_complete(peer))
		return;
	peer->answering = true;
	peer->request_count++;
	sl_buf_clear(&server->last_request);
	sl_buf_append(&server->last_request, sl_buf_slice(&peer->got));
	if (!server->answer_early)
		sl_buf_clear(&peer->got);
	if (server->first_delay_ms)
		sl_timer_set(server->loop, &peer->timer, server->first_delay_ms);
	else
		peer_step(&peer->timer);
}

static void
on_accept(struct sl_io *io, uint32_t events)
{
	struct server *server = SL_CONTAINER(io, struct server, io);
	struct peer *peer;
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;

	(void)events;
	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	peer = calloc(1, sizeof(*peer));
	assert_non_null(peer);
	peer->server = server;
	peer->io = (struct sl_io){ .fd = fd, .on_ready = peer_ready };
	peer->timer.on_due = peer_step;
	sl_buf_init(&peer->got, 64 << 20);
	sl_list_push_back(&server->peers, &peer->node);
	server->accepted++;
	assert_int_equal(sl_loop_add(server->loop, &peer->io, EPOLLIN), SL_OK);
}

static void
server_open(struct server *server, struct sl_loop *loop)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*server = (struct server){ .loop = loop };
	sl_list_init(&server->peers);
	sl_buf_init(&server->last_request, 64 << 20);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 128), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	server->port = ntohs(address.sin_port);
	server->io = (struct sl_io){ .fd = fd, .on_ready = on_accept };
	assert_int_equal(sl_loop_add(loop, &server->io, EPOLLIN), SL_OK);
}

static void
server_close(struct server *server)
{
	while (!sl_list_empty(&server->peers))
		peer_free(SL_CONTAINER(server->peers.next, struct peer, node), false);
	sl_loop_remove(server->loop, &server->io);
	close(server->io.fd);
	sl_buf_release(&server->last_request);
}

/* --- a fetch that remembers ------------------------------------------------------- */

struct nag;
struct call {
	struct sl_fetch       fetch;
	struct world         *world;
	int                   status;
	int64_t               content_length;
	struct sl_buf         body;
	char                  field[64];   /* value of x-canary in the head */
	char                  trailer[64]; /* value of x-end in the trailers */
	size_t                header_count, heads, ends, fails;
	struct sl_fetch_error error;
	size_t                cancel_after; /* body bytes; SIZE_MAX: in on_head */
	char                 *spoil;        /* the request's body, overwritten in on_head */
	struct nag           *nag; /* resumes from another descriptor's event */
	bool                  pause_often;
	struct sl_timer       resume;
	struct call          *then; /* started by on_end */
};

struct world {
	struct sl_loop   *loop;
	struct sl_client *client;
	struct server     server;
	struct sl_origin  origin;
	struct sl_timer   guard;
	size_t            open_calls;
	bool              timed_out;
};

static void start(struct world *world, struct call *call, const char *method, const char *body);

static void
done(struct call *call)
{
	if (--call->world->open_calls == 0)
		sl_loop_stop(call->world->loop);
}

static void
copy_field(const struct sl_headers *headers, const char *name, char out[64])
{
	for (size_t i = 0; i < headers->count; i++)
		if (sl_slice_is(headers->items[i].name, name))
			snprintf(out, 64, "%.*s", SL_ARG(headers->items[i].value));
}

static void
call_head(struct sl_fetch *fetch, int status, const struct sl_headers *headers, int64_t length)
{
	struct call *call = SL_CONTAINER(fetch, struct call, fetch);

	call->heads++;
	call->status = status;
	call->content_length = length;
	call->header_count = headers->count;
	copy_field(headers, "x-canary", call->field);
	if (call->spoil)
		memset(call->spoil, 'X', strlen(call->spoil));
	if (call->cancel_after == SIZE_MAX) {
		sl_fetch_cancel(fetch);
		done(call);
	}
}

static void
call_resume(struct sl_timer *timer)
{
	sl_fetch_resume(&SL_CONTAINER(timer, struct call, resume)->fetch);
}

static void
call_data(struct sl_fetch *fetch, struct sl_slice bytes)
{
	struct call *call = SL_CONTAINER(fetch, struct call, fetch);

	assert_int_equal(sl_buf_append(&call->body, bytes), SL_OK);
	if (call->cancel_after && call->body.len >= call->cancel_after) {
		sl_fetch_cancel(fetch);
		done(call);
	} else if (call->nag) {
		sl_fetch_pause(fetch);
	} else if (call->pause_often) {
		sl_fetch_pause(fetch);
		call->resume.on_due = call_resume;
		sl_timer_set(call->world->loop, &call->resume, 1);
	}
}

static void
call_end(struct sl_fetch *fetch, const struct sl_headers *trailers)
{
	struct call *call = SL_CONTAINER(fetch, struct call, fetch);

	call->ends++;
	copy_field(trailers, "x-end", call->trailer);
	if (call->then)
		start(call->world, call->then, "POST", "{}");
	done(call);
}

static void
call_fail(struct sl_fetch *fetch, const struct sl_fetch_error *error)
{
	struct call *call = SL_CONTAINER(fetch, struct call, fetch);

	call->fails++;
	call->error = *error;
	if (getenv("SHOW_FAILURES"))
		print_message("%s: %s\n", sl_err_text(error->err), error->detail);
	done(call);
}

static const struct sl_fetch_ops call_ops = { call_head, call_data, call_end, call_fail };

static void
start(struct world *world, struct call *call, const char *method, const char *body)
{
	struct sl_header headers[] = { { SL_SLICE("content-type"), SL_SLICE("application/json") },
		                       { SL_SLICE("connection"), SL_SLICE("x-drop") } };
	struct sl_slice parts[2] = { sl_slice_upto(sl_slice_str(body), 1),
		                     sl_slice_from(sl_slice_str(body), 1) };
	struct sl_fetch_request request = { .method = sl_slice_str(method),
		                            .target = SL_SLICE("/v1/x?y=z"),
		                            .headers = headers,
		                            .header_count = 2,
		                            .body = parts,
		                            .body_count = 2 };

	sl_buf_init(&call->body, 64 << 20);
	call->fetch.ops = &call_ops;
	call->world = world;
	world->open_calls++;
	assert_int_equal(sl_fetch_start(world->client, &world->origin, &call->fetch, &request),
	                 SL_OK);
}

static void
on_guard(struct sl_timer *timer)
{
	struct world *world = SL_CONTAINER(timer, struct world, guard);

	world->timed_out = true;
	sl_loop_stop(world->loop);
}

static void
open_world(struct world *world)
{
	signal(SIGPIPE, SIG_IGN);
	*world = (struct world){ .loop = sl_loop_new(0) };
	assert_non_null(world->loop);
	server_open(&world->server, world->loop);
	world->client = sl_client_new(world->loop);
	assert_non_null(world->client);
	world->origin = (struct sl_origin){
		.host = SL_SLICE("127.0.0.1"),
		.port = world->server.port,
		.host_is_literal = true,
		.identity = SL_SLICE("http://127.0.0.1 test"),
		.timeouts = { .connect_ms = 5000, .first_byte_ms = 5000, .idle_ms = 5000 },
	};
}

static void
close_world(struct world *world)
{
	sl_timer_clear(&world->guard);
	sl_client_free(world->client);
	server_close(&world->server);
	sl_loop_free(world->loop);
}

/* Runs until every started call is over. */
static void
run(struct world *world)
{
	world->guard.on_due = on_guard;
	sl_timer_set(world->loop, &world->guard, 60000);
	sl_loop_run(world->loop);
	assert_false(world->timed_out);
}

/* Lets the loop turn without a call. */
static void
run_for(struct world *world, uint32_t time_ms)
{
	world->guard.on_due = on_guard;
	sl_timer_clear(&world->guard);
	sl_timer_set(world->loop, &world->guard, time_ms);
	sl_loop_run(world->loop);
	world->timed_out = false;
}

#endif

/* h2_client_test.c - fetches over HTTP/2 against a server made of nghttp2.
 *
 * The server speaks prior knowledge on loopback, in the client's own loop, and
 * answers by the path: what it is asked to do wrong, it does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <nghttp2/nghttp2.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/client.h"

/* --- the server ------------------------------------------------------------------- */

struct server;
struct peer {
	struct sl_io     io;
	struct server   *server;
	struct sl_list   node;
	nghttp2_session *session;
};

/* One stream of it. */
struct answer {
	char   path[32];
	size_t body_size; /* received */
	size_t left;      /* to be sent */
};

struct server {
	struct sl_loop *loop;
	struct sl_io    io;
	uint16_t        port;
	struct sl_list  peers;
	size_t          accepted, requests;
	uint32_t        max_streams;
	size_t          refuse; /* so many streams are refused first */
	char            last_fields[512];
};

static void
peer_free(struct peer *peer)
{
	sl_loop_remove(peer->server->loop, &peer->io);
	close(peer->io.fd);
	/* Streams that were open get no close callback. */
	for (int32_t id = 1; id < 1000; id += 2)
		free(nghttp2_session_get_stream_user_data(peer->session, id));
	nghttp2_session_del(peer->session);
	sl_list_remove(&peer->node);
	free(peer);
}

static ssize_t
server_send(nghttp2_session *session, const uint8_t *data, size_t size, int flags, void *context)
{
	struct peer *peer = context;
	ssize_t put = send(peer->io.fd, data, size, MSG_NOSIGNAL);

	(void)session, (void)flags;
	return put < 0 ? NGHTTP2_ERR_WOULDBLOCK : put;
}

static ssize_t
server_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t size, uint32_t *flags,
            nghttp2_data_source *source, void *context)
{
	struct answer *answer = source->ptr;
	nghttp2_nv trailer = { .name = (uint8_t *)(uintptr_t)"x-end", .value = (uint8_t *)(uintptr_t)"t",
		               .namelen = 5, .valuelen = 1 };

	(void)context;
	if (size > answer->left)
		size = answer->left;
	memset(out, 'a', size);
	answer->left -= size;
	if (answer->left == 0) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (strcmp(answer->path, "/trailers") == 0) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			nghttp2_submit_trailer(session, id, &trailer, 1);
		}
		if (strcmp(answer->path, "/cut") == 0) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
		}
	}
	return (ssize_t)size;
}

static void
respond(struct peer *peer, int32_t id, struct answer *answer)
{
	nghttp2_data_provider body = { .source.ptr = answer, .read_callback = server_body };
	char size[24];
	nghttp2_nv fields[2] = {
		{ .name = (uint8_t *)(uintptr_t)":status", .value = (uint8_t *)(uintptr_t)"200",
		  .namelen = 7, .valuelen = 3 },
		{ .name = (uint8_t *)(uintptr_t)"x-size", .value = (uint8_t *)size, .namelen = 6 },
	};

	if (strcmp(answer->path, "/hang") == 0)
		return;
	if (strcmp(answer->path, "/die") == 0) {
		shutdown(peer->io.fd, SHUT_RDWR);
		return;
	}
	if (strcmp(answer->path, "/interim") == 0) {
		nghttp2_nv interim = fields[0];

		interim.value = (uint8_t *)(uintptr_t)"103";
		nghttp2_submit_headers(peer->session, NGHTTP2_FLAG_NONE, id, NULL, &interim, 1, NULL);
	}
	if (strcmp(answer->path, "/goaway") == 0)
		nghttp2_submit_goaway(peer->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR, NULL, 0);
	answer->left = strcmp(answer->path, "/large") == 0 ? 3u << 20 : 5;
	fields[1].valuelen = (size_t)snprintf(size, sizeof(size), "%zu", answer->body_size);
	nghttp2_submit_response(peer->session, id, fields, 2, &body);
}

static int
server_begin(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	(void)context;
	return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id,
	                                            calloc(1, sizeof(struct answer)));
}

static int
server_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
              size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *context)
{
	struct answer *answer = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	struct server *server = ((struct peer *)context)->server;
	size_t used = strlen(server->last_fields);

	(void)flags;
	if (sl_slice_is(sl_slice_make(name, name_len), ":path"))
		snprintf(answer->path, sizeof(answer->path), "%.*s", (int)value_len, value);
	snprintf(server->last_fields + used, sizeof(server->last_fields) - used, "%.*s=%.*s\n",
	         (int)name_len, name, (int)value_len, value);
	return 0;
}

static int
server_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
            void *context)
{
	struct answer *answer = nghttp2_session_get_stream_user_data(session, id);

	(void)flags, (void)data, (void)context;
	answer->body_size += size;
	return 0;
}

static int
server_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	struct peer *peer = context;
	struct server *server = peer->server;
	int32_t id = frame->hd.stream_id;

	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	server->requests++;
	if (server->refuse > 0) {
		server->refuse--;
		return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id,
		                                 NGHTTP2_REFUSED_STREAM);
	}
	respond(peer, id, nghttp2_session_get_stream_user_data(session, id));
	return 0;
}

static int
server_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *context)
{
	(void)code, (void)context;
	free(nghttp2_session_get_stream_user_data(session, id));
	return 0;
}

static void
peer_ready(struct sl_io *io, uint32_t events)
{
	struct peer *peer = SL_CONTAINER(io, struct peer, io);
	uint8_t bytes[65536];

	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
		ssize_t got = recv(io->fd, bytes, sizeof(bytes), 0);

		if (got <= 0 || nghttp2_session_mem_recv(peer->session, bytes, (size_t)got) < 0) {
			peer_free(peer);
			return;
		}
	}
	nghttp2_session_send(peer->session);
	sl_loop_change(peer->server->loop, io,
	               nghttp2_session_want_write(peer->session) ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void
on_accept(struct sl_io *io, uint32_t events)
{
	struct server *server = SL_CONTAINER(io, struct server, io);
	struct peer *peer = calloc(1, sizeof(*peer));
	nghttp2_session_callbacks *callbacks;
	nghttp2_settings_entry setting = { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
		                           server->max_streams };
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;

	(void)events;
	assert_non_null(peer);
	assert_true(fd >= 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	nghttp2_session_callbacks_new(&callbacks);
	nghttp2_session_callbacks_set_send_callback(callbacks, server_send);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, server_begin);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, server_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, server_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, server_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, server_stream_close);
	peer->server = server;
	peer->io = (struct sl_io){ .fd = fd, .on_ready = peer_ready };
	assert_int_equal(nghttp2_session_server_new(&peer->session, callbacks, peer), 0);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_submit_settings(peer->session, NGHTTP2_FLAG_NONE, &setting, 1);
	sl_list_push_back(&server->peers, &peer->node);
	server->accepted++;
	assert_int_equal(sl_loop_add(server->loop, &peer->io, EPOLLIN | EPOLLOUT), SL_OK);
}

/* --- the client side ----------------------------------------------------------------- */

struct world {
	struct sl_loop   *loop;
	struct sl_client *client;
	struct server     server;
	struct sl_origin  origin;
	struct sl_timer   guard;
	size_t            open_calls;
	bool              timed_out;
};

struct call {
	struct sl_fetch       fetch;
	struct world         *world;
	int                   status;
	size_t                size, heads, ends, fails, pieces;
	char                  echoed[32], trailer[16];
	struct sl_fetch_error error;
	struct sl_timer       resume;
	uint64_t              pause_ms; /* 0: 1 */
	bool                  pauses, cancels;
	bool                  leaves;   /* cancels instead of going on */
};

static void
done(struct call *call)
{
	if (--call->world->open_calls == 0)
		sl_loop_stop(call->world->loop);
}

static void
call_head(struct sl_fetch *fetch, int status, const struct sl_headers *headers, int64_t length)
{
	struct call *call = SL_CONTAINER(fetch, struct call, fetch);
	struct sl_slice size = sl_headers_get(headers, "x-size");

	(void)length;
	call->heads++;
	call->status = status;
	snprintf(call->echoed, sizeof(call->echoed), "%.*s", SL_ARG(size));
}

static void
call_resume(struct sl_timer *timer)
{
	struct call *call = SL_CONTAINER(timer, struct call, resume);

	if (call->leaves) {
		sl_fetch_cancel(&call->fetch);
		done(call);
	} else {
		sl_fetch_resume(&call->fetch);
	}
}

static void
call_data(struct sl_fetch *fetch, struct sl_slice bytes)
{
	struct call *call = SL_CONTAINER(fetch, struct call, fetch);

	call->size += bytes.len;
	call->pieces++;
	if (call->cancels) {
		sl_fetch_cancel(fetch);
		done(call);
	} else if (call->pauses) {
		sl_fetch_pause(fetch);
		call->resume.on_due = call_resume;
		sl_timer_set(call->world->loop, &call->resume, call->pause_ms ? call->pause_ms : 1);
	}
}

static void
call_end(struct sl_fetch *fetch, const struct sl_headers *trailers)
{
	struct call *call = SL_CONTAINER(fetch, struct call, fetch);
	struct sl_slice end = sl_headers_get(trailers, "x-end");

	call->ends++;
	snprintf(call->trailer, sizeof(call->trailer), "%.*s", SL_ARG(end));
	done(call);
}

static void
call_fail(struct sl_fetch *fetch, const struct sl_fetch_error *error)
{
	struct call *call = SL_CONTAINER(fetch, struct call, fetch);

	call->fails++;
	call->error = *error;
	done(call);
}

static const struct sl_fetch_ops call_ops = { call_head, call_data, call_end, call_fail };

static void
start(struct world *world, struct call *call, const char *path, struct sl_slice body)
{
	struct sl_header header = { SL_SLICE("authorization"), SL_SLICE("Bearer x") };
	struct sl_fetch_request request = { .method = SL_SLICE("POST"),
		                            .target = sl_slice_str(path),
		                            .headers = &header,
		                            .header_count = 1,
		                            .body = &body,
		                            .body_count = 1 };

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
run(struct world *world)
{
	world->guard.on_due = on_guard;
	sl_timer_set(world->loop, &world->guard, 60000);
	sl_loop_run(world->loop);
	assert_false(world->timed_out);
}

static void
open_world(struct world *world)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	signal(SIGPIPE, SIG_IGN);
	*world = (struct world){ .loop = sl_loop_new(0) };
	world->server = (struct server){ .loop = world->loop, .max_streams = 100 };
	sl_list_init(&world->server.peers);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 128), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	world->server.io = (struct sl_io){ .fd = fd, .on_ready = on_accept };
	assert_int_equal(sl_loop_add(world->loop, &world->server.io, EPOLLIN), SL_OK);
	world->client = sl_client_new(world->loop);
	world->origin = (struct sl_origin){
		.host = SL_SLICE("127.0.0.1"),
		.port = ntohs(address.sin_port),
		.host_is_literal = true,
		.http2 = SL_HTTP2_ONLY,
		.identity = SL_SLICE("h2c test"),
		.timeouts = { .connect_ms = 5000, .first_byte_ms = 5000, .idle_ms = 5000 },
	};
}

static void
close_world(struct world *world)
{
	sl_timer_clear(&world->guard);
	sl_client_free(world->client);
	while (!sl_list_empty(&world->server.peers))
		peer_free(SL_CONTAINER(world->server.peers.next, struct peer, node));
	sl_loop_remove(world->loop, &world->server.io);
	close(world->server.io.fd);
	sl_loop_free(world->loop);
}

/* --- tests ------------------------------------------------------------------------------ */

static void
one_connection_carries_many(void **state)
{
	struct world world;
	struct call calls[50] = { 0 };
	struct sl_client_stats stats;

	(void)state;
	open_world(&world);
	for (size_t i = 0; i < 50; i++)
		start(&world, &calls[i], i % 2 ? "/trailers" : "/interim", SL_SLICE("{\"a\":1}"));
	run(&world);
	for (size_t i = 0; i < 50; i++) {
		assert_int_equal(calls[i].ends, 1);
		assert_int_equal(calls[i].heads, 1);
		assert_int_equal(calls[i].status, 200);
		assert_int_equal(calls[i].size, 5);
		assert_string_equal(calls[i].echoed, "7");
		assert_string_equal(calls[i].trailer, i % 2 ? "t" : "");
	}
	assert_int_equal(world.server.accepted, 1);
	sl_client_stats(world.client, &stats);
	assert_int_equal(stats.open, 1);
	assert_int_equal(stats.active, 0);
	assert_non_null(strstr(world.server.last_fields, ":method=POST\n:scheme=http\n:path="));
	assert_non_null(strstr(world.server.last_fields, ":authority=127.0.0.1:"));
	assert_non_null(strstr(world.server.last_fields, "authorization=Bearer x\n"));
	assert_null(strstr(world.server.last_fields, "host="));
	close_world(&world);
}

static void
the_peers_limit_is_kept(void **state)
{
	struct world world;
	struct call first = { 0 }, calls[20] = { 0 };

	(void)state;
	open_world(&world);
	world.origin.max_connections = 1;
	world.server.max_streams = 3;
	start(&world, &first, "/x", SL_SLICE_NONE);
	run(&world);
	for (size_t i = 0; i < 20; i++)
		start(&world, &calls[i], "/x", SL_SLICE_NONE);
	run(&world);
	assert_int_equal(world.server.accepted, 1);
	assert_int_equal(world.server.requests, 21);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(calls[i].ends, 1);
	close_world(&world);
}

static void
large_bodies_pass_both_ways_under_pauses(void **state)
{
	struct world world;
	struct call plain = { 0 }, paused = { .pauses = true };
	size_t size = 1 << 20;
	char *body = malloc(size);

	(void)state;
	assert_non_null(body);
	memset(body, 'b', size);
	open_world(&world);
	start(&world, &plain, "/large", sl_slice_make(body, size));
	start(&world, &paused, "/large", SL_SLICE("x"));
	run(&world);
	assert_int_equal(plain.ends, 1);
	assert_string_equal(plain.echoed, "1048576");
	assert_int_equal(plain.size, 3u << 20);
	assert_int_equal(paused.ends, 1);
	assert_int_equal(paused.size, 3u << 20);
	assert_true(paused.pieces > 10);
	free(body);
	close_world(&world);
}

static void
refused_streams_are_tried_again(void **state)
{
	struct world world;
	struct call call = { 0 }, hopeless = { 0 };

	(void)state;
	open_world(&world);
	world.server.refuse = 2;
	start(&world, &call, "/x", SL_SLICE("{}"));
	run(&world);
	assert_int_equal(call.ends, 1);
	assert_string_equal(call.echoed, "2");
	assert_int_equal(world.server.requests, 3);
	world.server.refuse = 100;
	start(&world, &hopeless, "/x", SL_SLICE("{}"));
	run(&world);
	assert_int_equal(hopeless.fails, 1);
	assert_int_equal(hopeless.error.err, SL_ECLOSED);
	assert_true(world.server.requests < 10);
	close_world(&world);
}

static void
a_dead_connection_fails_its_streams_once(void **state)
{
	struct world world;
	struct call dying = { 0 }, hanging = { 0 }, cut = { 0 };

	(void)state;
	open_world(&world);
	start(&world, &cut, "/cut", SL_SLICE("{}"));
	run(&world);
	assert_int_equal(cut.fails, 1);
	assert_int_equal(cut.error.stage, SL_STAGE_BODY);
	start(&world, &hanging, "/hang", SL_SLICE("{}"));
	start(&world, &dying, "/die", SL_SLICE("{}"));
	run(&world);
	assert_int_equal(dying.fails, 1);
	assert_int_equal(dying.error.err, SL_ECLOSED);
	assert_int_equal(dying.error.stage, SL_STAGE_FIRST_BYTE);
	assert_true(dying.error.sent);
	assert_int_equal(hanging.fails, 1);
	assert_int_equal(world.server.requests, 3); /* none was sent twice */
	close_world(&world);
}

static void
after_goaway_a_new_connection_is_used(void **state)
{
	struct world world;
	struct call first = { 0 }, second = { 0 };

	(void)state;
	open_world(&world);
	start(&world, &first, "/goaway", SL_SLICE("{}"));
	run(&world);
	assert_int_equal(first.ends, 1);
	start(&world, &second, "/x", SL_SLICE("{}"));
	run(&world);
	assert_int_equal(second.ends, 1);
	assert_int_equal(world.server.accepted, 2);
	close_world(&world);
}

/* The reply is here, its owner pauses, and the connection it came on ends. */
static void
a_complete_reply_outlives_its_connection(void **state)
{
	struct world world;
	struct call kept = { .pauses = true, .pause_ms = 50 };
	struct call left = { .pauses = true, .pause_ms = 50, .leaves = true };
	struct sl_client_stats stats;

	(void)state;
	open_world(&world);
	start(&world, &kept, "/goaway", SL_SLICE("{}"));
	run(&world);
	assert_int_equal(kept.size, 5);
	assert_int_equal(kept.ends, 1);
	start(&world, &left, "/goaway", SL_SLICE("{}"));
	run(&world);
	assert_int_equal(left.size, 5);
	assert_int_equal(left.ends + left.fails, 0);
	sl_client_stats(world.client, &stats);
	assert_int_equal(stats.opened, 2);
	assert_int_equal(stats.open, 0);
	assert_int_equal(stats.active, 0);
	close_world(&world);
}

static void
cancel_resets_one_stream_only(void **state)
{
	struct world world;
	struct call cancelled = { .cancels = true }, other = { 0 }, timed = { 0 };

	(void)state;
	open_world(&world);
	start(&world, &cancelled, "/large", SL_SLICE("{}"));
	start(&world, &other, "/large", SL_SLICE("{}"));
	run(&world);
	assert_int_equal(cancelled.ends + cancelled.fails, 0);
	assert_int_equal(other.ends, 1);
	assert_int_equal(other.size, 3u << 20);
	world.origin.timeouts.first_byte_ms = 50;
	start(&world, &timed, "/hang", SL_SLICE("{}"));
	run(&world);
	assert_int_equal(timed.error.err, SL_ETIMEDOUT);
	assert_int_equal(timed.error.stage, SL_STAGE_FIRST_BYTE);
	assert_int_equal(world.server.accepted, 1);
	close_world(&world);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_connection_carries_many),
		cmocka_unit_test(the_peers_limit_is_kept),
		cmocka_unit_test(large_bodies_pass_both_ways_under_pauses),
		cmocka_unit_test(refused_streams_are_tried_again),
		cmocka_unit_test(a_dead_connection_fails_its_streams_once),
		cmocka_unit_test(after_goaway_a_new_connection_is_used),
		cmocka_unit_test(a_complete_reply_outlives_its_connection),
		cmocka_unit_test(cancel_resets_one_stream_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

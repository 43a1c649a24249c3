/* client_test.c - fetches over HTTP/1.1 against a scripted server on loopback.
 *
 * The server lives in the same loop as the client: a listening socket whose
 * connections read a request and then follow a script of pieces to write, so
 * that every split, cut and delay is exact and nothing sleeps.
 */
#include "client_harness.h"

/* --- tests ------------------------------------------------------------------------- */

static void
replies_arrive_as_sent(void **state)
{
	struct world world;
	struct call call = { 0 };

	(void)state;
	open_world(&world);
	world.server.replies[0] = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX-Canary:  a b \r\n"
	                          "empty:\r\n\r\nhello";
	world.server.reply_count = 1;
	start(&world, &call, "POST", "{\"a\":1}");
	run(&world);
	assert_int_equal(call.ends, 1);
	assert_int_equal(call.status, 200);
	assert_int_equal(call.content_length, 5);
	assert_int_equal(call.header_count, 3);
	assert_string_equal(call.field, "a b");
	assert_true(sl_slice_is(sl_buf_slice(&call.body), "hello"));
	assert_true(sl_slice_starts(sl_buf_slice(&world.server.last_request),
	                            SL_SLICE("POST /v1/x?y=z HTTP/1.1\r\nhost: 127.0.0.1:")));
	assert_true(sl_slice_ends(sl_buf_slice(&world.server.last_request),
	                          SL_SLICE("\r\ncontent-length: 7\r\n\r\n{\"a\":1}")));
	assert_true(sl_slice_search(sl_buf_slice(&world.server.last_request),
	                            SL_SLICE("x-drop")) < 0);
	sl_buf_release(&call.body);
	close_world(&world);
}


static void
one(struct world *world, struct call *call, const char *reply, const char *method)
{
	world->server.replies[0] = reply;
	world->server.reply_count = 1;
	world->server.served = 0;
	start(world, call, method, "{}");
	run(world);
}

/* Every reply is sent in pieces of each size, so every byte boundary is a split. */
static void
every_split_gives_the_same(void **state)
{
	static const struct {
		const char *reply;
		enum after  after;
		const char *body, *trailer;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-Canary: c\r\n\r\nhello world", KEEP_OPEN,
		  "hello world", "" },
		{ "HTTP/1.1 200 OK\r\nX-Canary: c\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-End: t\r\n\r\n",
		  KEEP_OPEN, "hello world", "t" },
		{ "HTTP/1.1 200 OK\r\nX-Canary: c\r\n\r\nhello world", CLOSE, "hello world", "" },
		{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
		  "HTTP/1.1 200 OK\r\nX-Canary: c\r\nContent-Length: 0\r\n\r\n",
		  KEEP_OPEN, "", "" },
		{ "HTTP/1.1 204 No Content\r\nX-Canary: c\r\n\r\n", KEEP_OPEN, "", "" },
		{ "HTTP/1.0 200 OK\r\nX-Canary: c\r\n\r\nhello world", CLOSE, "hello world", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t size = 1; size < 60; size = size < 4 ? size + 1 : size * 3) {
			struct world world;
			struct call call = { .pause_often = size == 3 };

			open_world(&world);
			world.server.piece_size = size;
			world.server.after = cases[i].after;
			one(&world, &call, cases[i].reply, "POST");
			assert_int_equal(call.fails, 0);
			assert_int_equal(call.heads, 1);
			assert_int_equal(call.ends, 1);
			assert_string_equal(call.field, "c");
			assert_string_equal(call.trailer, cases[i].trailer);
			assert_true(sl_slice_is(sl_buf_slice(&call.body), cases[i].body));
			sl_buf_release(&call.body);
			close_world(&world);
		}
}

/* A descriptor that is always ready, and resumes the paused call from its event:
 * bytes of the reply may be due in the very same turn. */
struct nag {
	struct sl_io io;
	struct call *call;
};

static void
on_nag(struct sl_io *io, uint32_t events)
{
	(void)events;
	sl_fetch_resume(&SL_CONTAINER(io, struct nag, io)->call->fetch);
}

static void
a_resume_keeps_the_order_of_bytes(void **state)
{
	enum { CHUNKS = 3000 };
	static char reply[CHUNKS * 160], body[CHUNKS * 150];
	struct world world;
	struct call call = { 0 };
	struct nag nag = { .call = &call };
	size_t at, body_len = 0;

	(void)state;
	at = (size_t)snprintf(reply, sizeof(reply),
	                      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
	for (int i = 0; i < CHUNKS; i++) {
		int size = 1 + i * 7 % 141;

		at += (size_t)snprintf(reply + at, sizeof(reply) - at, "%x\r\n", (unsigned)size);
		memset(reply + at, 'a' + i % 26, (size_t)size);
		memset(body + body_len, 'a' + i % 26, (size_t)size);
		at += (size_t)size;
		body_len += (size_t)size;
		at += (size_t)snprintf(reply + at, sizeof(reply) - at, "\r\n");
	}
	snprintf(reply + at, sizeof(reply) - at, "0\r\n\r\n");
	open_world(&world);
	world.server.piece_size = 777;
	nag.io.fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	nag.io.on_ready = on_nag;
	call.nag = &nag;
	assert_int_equal(sl_loop_add(world.loop, &nag.io, EPOLLIN), SL_OK);
	one(&world, &call, reply, "POST");
	assert_int_equal(call.fails, 0);
	assert_int_equal(call.ends, 1);
	assert_int_equal(call.body.len, body_len);
	assert_memory_equal(call.body.ptr, body, body_len);
	sl_loop_remove(world.loop, &nag.io);
	close(nag.io.fd);
	sl_buf_release(&call.body);
	close_world(&world);
}

static void
bodiless_replies_end_at_the_head(void **state)
{
	struct world world;
	struct call head = { 0 }, next = { 0 };

	(void)state;
	open_world(&world);
	one(&world, &head, "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", "HEAD");
	assert_int_equal(head.ends, 1);
	assert_int_equal(head.content_length, 99);
	one(&world, &next, "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", "GET");
	assert_int_equal(next.ends, 1);
	assert_int_equal(next.status, 304);
	assert_true(next.fetch.reused);
	assert_int_equal(world.server.accepted, 1);
	close_world(&world);
}

static void
ambiguous_replies_are_refused(void **state)
{
	static const struct {
		const char *reply;
		enum sl_err err;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
		  SL_EPROTO },
		{ "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello", SL_EPROTO },
		{ "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello", SL_EPROTO },
		{ "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello", SL_EPROTO },
		{ "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nhello", SL_EPROTO },
		{ "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", SL_EPROTO },
		{ "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\nhello", SL_EPROTO },
		{ "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", SL_EPROTO },
		{ "HTTP/1.1 200 OK\r\nx-a: b\r\n folded\r\ncontent-length: 0\r\n\r\n", SL_EPROTO },
		{ "HTTP/1.1 200 OK\r\nx-a: b\ncontent-length: 0\r\n\r\n", SL_EPROTO },
		{ "HTTP/1.1 200 OK\r\nx-a: b\rc\r\ncontent-length: 0\r\n\r\n", SL_EPROTO },
		{ "HTTP/1.1 200 OK\r\nx a: b\r\ncontent-length: 0\r\n\r\n", SL_EPROTO },
		{ "HTTP/1.1 200 OK\r\n: b\r\ncontent-length: 0\r\n\r\n", SL_EPROTO },
		{ "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", SL_EPROTO },
		{ "HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n", SL_EPROTO },
		{ "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", SL_EPROTO },
		{ "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
		  "ffffffffffffffff1\r\nx", SL_EPROTO },
		{ "garbage that is no HTTP at all\r\n\r\n", SL_EPROTO },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world world;
		struct call call = { 0 };
		struct sl_client_stats stats;

		open_world(&world);
		one(&world, &call, cases[i].reply, "POST");
		if (call.fails != 1)
			print_error("accepted: %s\n", cases[i].reply);
		assert_int_equal(call.fails, 1);
		assert_int_equal(call.ends, 0);
		assert_int_equal(call.error.err, cases[i].err);
		assert_true(call.error.sent);
		assert_true(call.error.detail[0] != '\0');
		sl_client_stats(world.client, &stats);
		assert_int_equal(stats.open, 0);
		sl_buf_release(&call.body);
		close_world(&world);
	}
}

/* An upstream cannot make us keep more than the limits say. */
static void
endless_heads_are_cut(void **state)
{
	struct world world;
	struct call big = { 0 }, many = { 0 }, interim = { 0 };
	struct sl_buf reply;

	(void)state;
	open_world(&world);
	sl_buf_init(&reply, 1 << 20);
	sl_buf_append_str(&reply, "HTTP/1.1 200 OK\r\nx-a: ");
	while (reply.len < 70000)
		sl_buf_append_char(&reply, 'a');
	sl_buf_append_str(&reply, "\r\n\r\n");
	sl_buf_append_char(&reply, '\0');
	one(&world, &big, reply.ptr, "POST");
	assert_int_equal(big.error.err, SL_ELIMIT);
	sl_buf_clear(&reply);
	sl_buf_append_str(&reply, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 201; i++)
		sl_buf_printf(&reply, "x-%d: 1\r\n", i);
	sl_buf_append_str(&reply, "\r\n");
	sl_buf_append_char(&reply, '\0');
	one(&world, &many, reply.ptr, "POST");
	assert_int_equal(many.error.err, SL_ELIMIT);
	sl_buf_clear(&reply);
	for (int i = 0; i < 9; i++)
		sl_buf_append_str(&reply, "HTTP/1.1 103 Early Hints\r\n\r\n");
	sl_buf_append_char(&reply, '\0');
	one(&world, &interim, reply.ptr, "POST");
	assert_int_equal(interim.error.err, SL_EPROTO);
	sl_buf_release(&reply);
	close_world(&world);
}

/* Cut at every byte: before the end of the framing that is always a failure. */
static void
truncation_is_never_an_end(void **state)
{
	static const char *const replies[] = {
		"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	};

	(void)state;
	for (size_t r = 0; r < 2; r++)
		for (size_t cut = 0; cut < strlen(replies[r]); cut++) {
			struct world world;
			struct call call = { 0 };
			char reply[128] = "";

			open_world(&world);
			memcpy(reply, replies[r], cut);
			world.server.after = cut % 2 ? CLOSE : RESET;
			one(&world, &call, reply, "POST");
			assert_int_equal(call.fails, 1);
			assert_int_equal(call.error.err, SL_ECLOSED);
			assert_int_equal(call.error.stage, call.heads ? SL_STAGE_BODY
			                                              : SL_STAGE_FIRST_BYTE);
			assert_true(call.error.sent);
			assert_int_equal(world.server.accepted, 1); /* sent once, not again */
			sl_buf_release(&call.body);
			close_world(&world);
		}
}

static void
bytes_behind_a_reply_cost_the_connection(void **state)
{
	struct world world;
	struct call call = { 0 }, next = { 0 };

	(void)state;
	open_world(&world);
	one(&world, &call, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n", "POST");
	assert_int_equal(call.ends, 1);
	one(&world, &next, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "POST");
	assert_int_equal(next.ends, 1);
	assert_false(next.fetch.reused);
	assert_int_equal(world.server.accepted, 2);
	sl_buf_release(&call.body);
	sl_buf_release(&next.body);
	close_world(&world);
}

/* Threat T13: whoever comes after a cancelled fetch gets his own reply. */
static void
cancel_at_every_byte_spoils_nobody(void **state)
{
	static const char first[] = "HTTP/1.1 200 OK\r\nX-Canary: first\r\ntransfer-encoding: chunked\r\n"
	                            "\r\n6\r\nfirst!\r\n6\r\nfirst!\r\n0\r\n\r\n";
	static const char second[] = "HTTP/1.1 200 OK\r\nX-Canary: second\r\ncontent-length: 6\r\n\r\n"
	                             "second";

	(void)state;
	for (size_t at = 0; at <= 12; at++) {
		struct world world;
		struct call call = { .cancel_after = at == 0 ? SIZE_MAX : at }, next = { 0 };

		open_world(&world);
		world.server.piece_size = 1;
		one(&world, &call, first, "POST");
		assert_int_equal(call.ends + call.fails, 0);
		world.server.piece_size = 0;
		one(&world, &next, second, "POST");
		assert_int_equal(next.ends, 1);
		assert_string_equal(next.field, "second");
		assert_true(sl_slice_is(sl_buf_slice(&next.body), "second"));
		assert_int_equal(world.server.accepted, 2);
		sl_buf_release(&call.body);
		sl_buf_release(&next.body);
		close_world(&world);
	}
}

static void
connections_are_reused_last_first(void **state)
{
	struct world world;
	struct call calls[20] = { 0 };
	struct sl_client_stats stats;

	(void)state;
	open_world(&world);
	world.server.replies[0] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
	world.server.reply_count = 1;
	for (size_t i = 0; i + 1 < 20; i++)
		calls[i].then = &calls[i + 1];
	start(&world, &calls[0], "POST", "{}");
	run(&world);
	assert_int_equal(world.server.accepted, 1);
	sl_client_stats(world.client, &stats);
	assert_int_equal(stats.opened, 1);
	assert_int_equal(stats.reused, 19);
	assert_int_equal(stats.idle, 1);
	assert_int_equal(stats.active, 0);
	for (size_t i = 0; i < 20; i++) {
		assert_int_equal(calls[i].ends, 1);
		sl_buf_release(&calls[i].body);
	}
	close_world(&world);
}

static void
the_queue_waits_for_a_free_connection(void **state)
{
	struct world world;
	struct call calls[8] = { 0 };

	(void)state;
	open_world(&world);
	world.origin.max_connections = 2;
	world.server.replies[0] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
	world.server.reply_count = 1;
	for (size_t i = 0; i < 8; i++)
		start(&world, &calls[i], "POST", "{}");
	run(&world);
	assert_int_equal(world.server.accepted, 2);
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(calls[i].ends, 1);
		sl_buf_release(&calls[i].body);
	}
	close_world(&world);
}

static void
a_connection_closed_while_idle_is_not_used(void **state)
{
	struct world world;
	struct call call = { 0 }, next = { 0 };
	struct sl_client_stats stats;

	(void)state;
	open_world(&world);
	world.server.after = CLOSE; /* keep-alive promised, then closed */
	one(&world, &call, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "POST");
	assert_int_equal(call.ends, 1);
	run_for(&world, 20);
	sl_client_stats(world.client, &stats);
	assert_int_equal(stats.open, 0);
	one(&world, &next, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "POST");
	assert_int_equal(next.ends, 1);
	assert_false(next.fetch.reused);
	sl_buf_release(&call.body);
	sl_buf_release(&next.body);
	close_world(&world);
}

/* The end is in the socket already, but the loop has not seen it. */
static void
a_connection_closed_unseen_costs_no_request(void **state)
{
	struct world world;
	struct call call = { 0 }, next = { 0 };

	(void)state;
	open_world(&world);
	one(&world, &call, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "POST");
	assert_int_equal(call.ends, 1);
	peer_free(SL_CONTAINER(world.server.peers.next, struct peer, node), false);
	one(&world, &next, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "POST");
	assert_int_equal(next.fails, 0);
	assert_int_equal(next.ends, 1);
	assert_int_equal(world.server.accepted, 2);
	sl_buf_release(&call.body);
	sl_buf_release(&next.body);
	close_world(&world);
}

static void
timeouts_name_their_stage(void **state)
{
	struct world world;
	struct call silent = { 0 }, slow = { 0 }, total = { 0 }, paused = { .pause_often = true };

	(void)state;
	open_world(&world);
	world.origin.timeouts.first_byte_ms = 60;
	world.server.silent = true;
	one(&world, &silent, "", "POST");
	assert_int_equal(silent.error.err, SL_ETIMEDOUT);
	assert_int_equal(silent.error.stage, SL_STAGE_FIRST_BYTE);
	assert_true(silent.error.sent);
	world.server.silent = false;
	world.origin.timeouts.first_byte_ms = 5000;
	world.origin.timeouts.idle_ms = 60;
	one(&world, &slow, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", "POST");
	assert_int_equal(slow.error.err, SL_ETIMEDOUT);
	assert_int_equal(slow.error.stage, SL_STAGE_BODY);
	world.origin.timeouts.idle_ms = 5000;
	world.origin.timeouts.total_ms = 60;
	world.server.piece_size = 1;
	one(&world, &total, "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhellohellohellohellohello"
	                    "hellohellohellohellohellohellohellohellohellohello", "POST");
	assert_int_equal(total.error.err, SL_ETIMEDOUT);
	world.origin.timeouts.total_ms = 0;
	world.server.piece_size = 2;
	one(&world, &paused, "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello!", "POST");
	assert_int_equal(paused.ends, 1);
	sl_buf_release(&slow.body);
	sl_buf_release(&total.body);
	sl_buf_release(&paused.body);
	close_world(&world);
}

static void
an_early_refusal_stops_the_upload(void **state)
{
	struct world world;
	struct call call = { 0 };
	size_t size = 20 << 20;
	char *body = malloc(size + 1);

	(void)state;
	assert_non_null(body);
	memset(body, 'a', size);
	body[size] = '\0';
	open_world(&world);
	world.server.answer_early = true;
	world.server.replies[0] = "HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno";
	world.server.reply_count = 1;
	start(&world, &call, "POST", body);
	run(&world);
	assert_int_equal(call.status, 413);
	assert_int_equal(call.ends, 1);
	free(body);
	sl_buf_release(&call.body);
	close_world(&world);
}

static void
an_early_success_gets_the_whole_body(void **state)
{
	struct world world;
	struct call call = { 0 };
	size_t size = 20 << 20;
	char *body = malloc(size + 1);

	(void)state;
	assert_non_null(body);
	memset(body, 'a', size);
	body[size] = '\0';
	open_world(&world);
	world.server.answer_early = true;
	world.server.piece_size = 20; /* one byte of body at a time behind the head */
	world.server.replies[0] = "HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n"
	    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
	    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";
	world.server.reply_count = 1;
	/* Borrowed until on_head only: afterwards the client must have its own. */
	call.spoil = body;
	start(&world, &call, "POST", body);
	run(&world);
	assert_int_equal(call.ends, 1);
	assert_true(world.server.total_received > 0);
	assert_int_equal(world.server.spoiled, 0);
	assert_int_equal(call.body.len, 200);
	free(body);
	sl_buf_release(&call.body);
	close_world(&world);
}

static void
redirects_are_answers(void **state)
{
	struct world world;
	struct call call = { 0 };

	(void)state;
	open_world(&world);
	one(&world, &call, "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n"
	                   "content-length: 0\r\n\r\n", "POST");
	assert_int_equal(call.ends, 1);
	assert_int_equal(call.status, 302);
	assert_int_equal(world.server.accepted, 1);
	close_world(&world);
}

static void
refused_and_forbidden_say_so(void **state)
{
	struct world world;
	struct call refused = { 0 }, forbidden = { 0 };

	(void)state;
	open_world(&world);
	world.origin.port = 1; /* nothing listens on tcpmux */
	one(&world, &refused, "", "POST");
	assert_int_equal(refused.error.err, SL_ECONNECT);
	assert_int_equal(refused.error.stage, SL_STAGE_CONNECT);
	assert_false(refused.error.sent);
	assert_non_null(strstr(refused.error.detail, "127.0.0.1:1"));
	world.origin.identity = SL_SLICE("another");
	world.origin.host_is_literal = false;
	one(&world, &forbidden, "", "POST");
	assert_int_equal(forbidden.error.err, SL_EPOLICY);
	assert_false(forbidden.error.sent);
	close_world(&world);
}

/* A listener whose queue is full does not answer SYNs: a black hole without a
 * route to anywhere. */
static void
a_black_hole_ends_by_the_clock(void **state)
{
	struct world world;
	struct call call = { 0 };
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fillers[4];

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	for (int i = 0; i < 4; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(fillers[i], (struct sockaddr *)&address, sizeof(address));
	}
	open_world(&world);
	world.origin.port = ntohs(address.sin_port);
	world.origin.timeouts.connect_ms = 100;
	one(&world, &call, "", "POST");
	assert_int_equal(call.error.err, SL_ETIMEDOUT);
	assert_int_equal(call.error.stage, SL_STAGE_CONNECT);
	assert_false(call.error.sent);
	for (int i = 0; i < 4; i++)
		close(fillers[i]);
	close(listener);
	close_world(&world);
}

static void
freeing_the_client_fails_what_is_open(void **state)
{
	struct world world;
	struct call waiting = { 0 }, other = { 0 };

	(void)state;
	open_world(&world);
	start(&world, &waiting, "POST", "{}");
	start(&world, &other, "POST", "{}");
	sl_client_free(world.client);
	world.client = NULL;
	assert_int_equal(waiting.error.err, SL_ECANCELLED);
	assert_int_equal(other.error.err, SL_ECANCELLED);
	close_world(&world);
}

static void
bad_requests_are_not_sent(void **state)
{
	struct world world;
	struct sl_fetch fetch = { .ops = &call_ops };
	struct sl_header forged = { SL_SLICE("x-a"), SL_SLICE("b\r\nx-evil: 1") };
	struct sl_fetch_request request = { .method = SL_SLICE("POST"), .target = SL_SLICE("/a b") };

	(void)state;
	open_world(&world);
	assert_int_equal(sl_fetch_start(world.client, &world.origin, &fetch, &request), SL_EINVAL);
	request.target = SL_SLICE("/");
	request.headers = &forged;
	request.header_count = 1;
	assert_int_equal(sl_fetch_start(world.client, &world.origin, &fetch, &request), SL_EINVAL);
	request.header_count = 0;
	request.authority = SL_SLICE("a@b");
	assert_int_equal(sl_fetch_start(world.client, &world.origin, &fetch, &request), SL_EINVAL);
	close_world(&world);
}

/* Two fetches under way change places: each reply goes to where its fetch is now. */
static void
fetches_change_places(void **state)
{
	struct world world;
	struct call a = { 0 }, b = { 0 };

	(void)state;
	open_world(&world);
	world.server.replies[0] = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none";
	world.server.replies[1] = "HTTP/1.1 201 Created\r\ncontent-length: 3\r\n\r\ntwo";
	world.server.reply_count = 2;
	world.server.first_delay_ms = 20;
	start(&world, &a, "POST", "{}");
	start(&world, &b, "POST", "{}");
	sl_fetch_swap(&a.fetch, &b.fetch);
	run(&world);
	assert_int_equal(a.ends, 1);
	assert_int_equal(b.ends, 1);
	assert_int_equal(a.status + b.status, 401);
	sl_buf_release(&a.body);
	sl_buf_release(&b.body);
	/* With one that is none: nothing is left of it here. */
	a = b = (struct call){ 0 };
	start(&world, &a, "POST", "{}");
	sl_buf_init(&b.body, 64);
	b.world = &world;
	sl_fetch_swap(&a.fetch, &b.fetch);
	sl_fetch_cancel(&a.fetch);
	run(&world);
	assert_int_equal(a.heads + a.ends + a.fails, 0);
	assert_int_equal(b.ends, 1);
	sl_buf_release(&a.body);
	sl_buf_release(&b.body);
	close_world(&world);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_arrive_as_sent),
		cmocka_unit_test(every_split_gives_the_same),
		cmocka_unit_test(a_resume_keeps_the_order_of_bytes),
		cmocka_unit_test(bodiless_replies_end_at_the_head),
		cmocka_unit_test(ambiguous_replies_are_refused),
		cmocka_unit_test(endless_heads_are_cut),
		cmocka_unit_test(truncation_is_never_an_end),
		cmocka_unit_test(bytes_behind_a_reply_cost_the_connection),
		cmocka_unit_test(cancel_at_every_byte_spoils_nobody),
		cmocka_unit_test(connections_are_reused_last_first),
		cmocka_unit_test(the_queue_waits_for_a_free_connection),
		cmocka_unit_test(a_connection_closed_while_idle_is_not_used),
		cmocka_unit_test(a_connection_closed_unseen_costs_no_request),
		cmocka_unit_test(timeouts_name_their_stage),
		cmocka_unit_test(an_early_refusal_stops_the_upload),
		cmocka_unit_test(an_early_success_gets_the_whole_body),
		cmocka_unit_test(redirects_are_answers),
		cmocka_unit_test(refused_and_forbidden_say_so),
		cmocka_unit_test(a_black_hole_ends_by_the_clock),
		cmocka_unit_test(freeing_the_client_fails_what_is_open),
		cmocka_unit_test(bad_requests_are_not_sent),
		cmocka_unit_test(fetches_change_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

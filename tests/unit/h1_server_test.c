/* h1_server_test.c - HTTP/1 on real sockets: splits, smuggling, limits, time. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "server_harness.h"

/* --- helpers ------------------------------------------------------------------- */

/* Dates are cut out, because two runs may fall into two seconds. */
static void
cut_dates(struct sl_buf *out)
{
	enum { DATE_LINE = 37 };
	ptrdiff_t at;

	while ((at = sl_slice_search(sl_buf_slice(out), SL_SLICE("date: "))) >= 0) {
		size_t behind = (size_t)at + DATE_LINE;

		memmove(out->ptr + at, out->ptr + behind, out->len - behind);
		out->len -= DATE_LINE;
	}
}

/* Sends bytes with turns of the loop between the parts and collects what comes
 * back. cut 0: every byte by itself; else one cut there. Returns whether the
 * server closed. */
static bool
run(struct harness *h, struct sl_slice bytes, size_t cut, struct sl_buf *out)
{
	int fd = harness_connect(h);
	size_t sent = 0;
	bool ended = false;

	harness_turn(h);
	while (sent < bytes.len) {
		size_t size = cut == 0                    ? 1
		              : sent == 0 && cut < bytes.len ? cut
		                                             : bytes.len - sent;

		harness_put(fd, sl_slice_make(bytes.ptr + sent, size));
		sent += size;
		harness_turn(h);
	}
	for (int i = 0; i < 8 && !ended; i++) {
		harness_turn(h);
		ended = harness_get(fd, out);
	}
	close(fd);
	harness_turns(h, 2);
	cut_dates(out);
	return ended;
}

static bool
holds(const struct sl_buf *buf, const char *text)
{
	return sl_slice_search(sl_buf_slice(buf), sl_slice_str(text)) >= 0;
}

static unsigned
occurrences(struct sl_slice text, const char *word)
{
	unsigned count = 0;
	ptrdiff_t at;

	while ((at = sl_slice_search(text, sl_slice_str(word))) >= 0) {
		count++;
		text = sl_slice_from(text, (size_t)at + 1);
	}
	return count;
}

/* --- exchanges -------------------------------------------------------------------- */

static const char dialogue[] =
    "\r\nGET /v1/models?limit=2 HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-Space:  b  \r\n\r\n"
    "POST /v1/chat HTTP/1.1\r\nhost: a\r\nContent-Length: 11\r\n\r\nhello world"
    "POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n"
    "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 7\r\n\r\n"
    "HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n"
    "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
    "GET http://a/absolute?x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

static void
every_split_gives_the_same_exchanges(void **state)
{
	struct sl_slice bytes = sl_slice_make(dialogue, sizeof(dialogue) - 1);
	struct sl_buf first, again, first_log;
	struct harness h;

	(void)state;
	harness_open(&h, &harness_limits);
	sl_buf_init(&first, 65536);
	sl_buf_init(&again, 65536);
	sl_buf_init(&first_log, 65536);
	assert_true(run(&h, bytes, bytes.len, &first));
	sl_buf_append(&first_log, sl_buf_slice(&h.log));
	assert_int_equal(occurrences(sl_buf_slice(&first), "HTTP/1.1 200 OK\r\n"), 6);
	assert_int_equal(occurrences(sl_buf_slice(&first), "HTTP/1.1 401 Unauthorized\r\n"), 1);
	assert_true(holds(&first, "\r\n\r\nGET /v1/models?limit=2|0|"));
	assert_true(holds(&first, "POST /v1/chat?|11|hello world"));
	assert_true(holds(&first, "POST /c?|11|hello world|x-sum=7"));
	assert_true(holds(&first, "transfer-encoding: chunked\r\ntrailer: x-cost\r\n"));
	assert_true(holds(&first, "\r\n\r\nb\r\ndata: one\n\n\r\nb\r\ndata: two\n\n\r\n"
	                          "0\r\nx-cost: 0.5\r\n\r\n"));
	assert_true(holds(&first, "content-length: 11\r\n\r\nHTTP/1.1 401"));
	assert_true(holds(&first, "GET /absolute?x|0|"));
	for (size_t cut = 0; cut < bytes.len; cut++) {
		sl_buf_clear(&h.log);
		sl_buf_clear(&again);
		assert_true(run(&h, bytes, cut, &again));
		if (!sl_slice_eq(sl_buf_slice(&again), sl_buf_slice(&first)))
			fail_msg("cut at %zu gives\n%.*s", cut, SL_ARG(sl_buf_slice(&again)));
		assert_int_equal(occurrences(sl_buf_slice(&h.log), "gone 0\n"), 7);
	}
	assert_int_equal(sl_server_exchange_count(h.server), 0);
	assert_int_equal(sl_server_connection_count(h.server), 0);
	sl_buf_release(&first);
	sl_buf_release(&again);
	sl_buf_release(&first_log);
	harness_close(&h);
}

#define HOST "Host: a\r\n"

static const struct {
	const char *bytes;
	int         status;
} refused[] = {
	/* framing that two readers could understand differently */
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
	  "0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"
	  "0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\nabc", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\nabc", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: -3\r\n\r\nabc", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x3\r\n\r\nabc", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 3 3\r\n\r\nabc", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\nabc", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\nabc", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\nabc", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"
	  "\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\x0b" "chunked\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.0\r\n" HOST "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
	  "0\r\n\r\n", 400 },
	/* line ends, folding, names */
	{ "GET / HTTP/1.1\n" "Host: a\n\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\tfolded\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX\x01Y: b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: b\x01\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: b\x7f\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX{}: b\r\n\r\n", 400 },
	/* hosts, targets, versions */
	{ "GET / HTTP/1.1\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400 },
	{ "GET /a#b HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET /\x80 HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET a HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "GET / HTTP/2.0\r\n" HOST "\r\n", 505 },
	{ "GET / HTTP/1.2\r\n" HOST "\r\n", 400 },
	{ "GET / RTSP/1.1\r\n" HOST "\r\n", 505 },
	{ "SOURCE / ICE/1.1\r\n" HOST "\r\n", 505 },
	{ "GET /\r\n\r\n", 505 },
	{ "GET  / HTTP/1.1\r\n" HOST "\r\n", 400 },
	{ "\x16\x03\x01\x02\x01\x01\x01\xfc", 400 },
	{ "CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n", 0 },
	{ "GET / HTTP/1.1\r\n" HOST "Expect: miracles\r\n\r\n", 417 },
	/* chunks */
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3;a\nb\r\nabc\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
	  "fffffffffffffffff\r\nabc", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\r\n b\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n X: a\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\n", 400 },
};

/* The one answer is a refusal, nothing behind it is taken for a request, and the
 * connection is closed - whole, byte by byte, and at every cut. */
static void
smuggling_is_refused(void **state)
{
	static const char behind[] = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
	struct sl_buf out, bytes;
	struct harness h;
	char status[16];

	(void)state;
	harness_open(&h, &harness_limits);
	sl_buf_init(&out, 65536);
	sl_buf_init(&bytes, 65536);
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		sl_buf_clear(&bytes);
		sl_buf_append_str(&bytes, refused[i].bytes);
		sl_buf_append_str(&bytes, behind);
		snprintf(status, sizeof(status), "HTTP/1.1 %d", refused[i].status);
		for (size_t cut = 0; cut < bytes.len; cut += cut == 0 ? bytes.len - 1 : 1) {
			sl_buf_clear(&out);
			sl_buf_clear(&h.log);
			if (!run(&h, sl_buf_slice(&bytes), cut, &out))
				fail_msg("case %zu is not closed:\n%s\n--\n%.*s", i,
				         refused[i].bytes, SL_ARG(sl_buf_slice(&out)));
			if (occurrences(sl_buf_slice(&out), "HTTP/1.1 ") != 1 ||
			    occurrences(sl_buf_slice(&h.log), "bad ") != 1 ||
			    holds(&h.log, "request ") || holds(&h.log, "smuggled") ||
			    (refused[i].status && !holds(&out, status)))
				fail_msg("case %zu, cut %zu:\n%s\n-- answered\n%.*s\n-- log\n%.*s", i,
				         cut, refused[i].bytes, SL_ARG(sl_buf_slice(&out)),
				         SL_ARG(sl_buf_slice(&h.log)));
		}
	}
	sl_buf_release(&out);
	sl_buf_release(&bytes);
	harness_close(&h);
}

static void
a_nul_is_refused_wherever_it_stands(void **state)
{
	static const char good[] = "GET /abc HTTP/1.1\r\nHost: abc\r\nX-Name: value\r\n\r\n";
	char bytes[sizeof(good)];
	struct sl_buf out;
	struct harness h;

	(void)state;
	harness_open(&h, &harness_limits);
	sl_buf_init(&out, 65536);
	for (size_t at = 0; at < sizeof(good) - 5; at++) {
		memcpy(bytes, good, sizeof(good));
		bytes[at] = '\0';
		sl_buf_clear(&out);
		assert_true(run(&h, sl_slice_make(bytes, sizeof(good) - 1), 0, &out));
		if (!holds(&out, "HTTP/1.1 4") && !holds(&out, "HTTP/1.1 5"))
			fail_msg("NUL at %zu: %.*s", at, SL_ARG(sl_buf_slice(&out)));
	}
	assert_false(holds(&h.log, "request"));
	sl_buf_release(&out);
	harness_close(&h);
}

/* --- one thing at a time -------------------------------------------------------------- */

static void
http10_is_served_without_chunks(void **state)
{
	struct sl_buf out;
	struct harness h;

	(void)state;
	harness_open(&h, &harness_limits);
	sl_buf_init(&out, 65536);
	assert_true(run(&h, SL_SLICE("GET /stream HTTP/1.0\r\n\r\n"), 0, &out));
	assert_true(holds(&out, "connection: close\r\n\r\ndata: one\n\ndata: two\n\n"));
	assert_false(holds(&out, "chunked"));
	assert_false(holds(&out, "x-cost"));
	sl_buf_clear(&out);
	assert_false(run(&h, SL_SLICE("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), 0,
	                 &out));
	assert_true(holds(&out, "connection: keep-alive\r\n"));
	sl_buf_release(&out);
	harness_close(&h);
}

static void
continue_is_sent_when_the_body_is_wanted(void **state)
{
	static const char head[] = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
	                           "Expect: 100-continue\r\n\r\n";
	struct sl_buf out;
	struct harness h;
	int fd;

	(void)state;
	harness_open(&h, &harness_limits);
	sl_buf_init(&out, 65536);
	fd = harness_connect(&h);
	harness_put(fd, sl_slice_str(head));
	harness_turns(&h, 3);
	harness_get(fd, &out);
	assert_true(sl_slice_is(sl_buf_slice(&out), "HTTP/1.1 100 Continue\r\n\r\n"));
	harness_put(fd, SL_SLICE("body"));
	harness_turns(&h, 2);
	harness_get(fd, &out);
	assert_true(holds(&out, "POST /x?|4|body"));
	close(fd);
	/* Body sent along: no 100. Answered early: no 100, and the end. */
	sl_buf_clear(&out);
	assert_false(run(&h, SL_SLICE("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
	                              "Expect: 100-continue\r\n\r\nbody"), 1000, &out));
	assert_false(holds(&out, "100 Continue"));
	sl_buf_clear(&out);
	assert_true(run(&h, SL_SLICE("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
	                             "Expect: 100-continue\r\n\r\n"), 1000, &out));
	assert_false(holds(&out, "100 Continue"));
	assert_true(holds(&out, "connection: close"));
	sl_buf_release(&out);
	harness_close(&h);
}

/* A large upload that is refused: the client reads the answer, not a reset. */
static void
early_answer_survives_a_large_body(void **state)
{
	static char rest[300 * 1024];
	struct sl_buf out;
	struct harness h;
	int fd;

	(void)state;
	harness_open(&h, &harness_limits);
	sl_buf_init(&out, 65536);
	fd = harness_connect(&h);
	harness_put(fd, SL_SLICE("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n"));
	for (size_t sent = 0; sent < sizeof(rest); sent += 20000) {
		harness_put(fd, sl_slice_make(rest, 20000));
		harness_turn(&h);
	}
	assert_true(harness_get(fd, &out));
	assert_true(holds(&out, "HTTP/1.1 401"));
	assert_true(holds(&out, "connection: close"));
	assert_true(holds(&h.log, "gone 0"));
	close(fd);
	harness_turns(&h, 2);
	assert_int_equal(sl_server_connection_count(h.server), 0);
	sl_buf_release(&out);
	harness_close(&h);
}

static void
size_limits_have_their_statuses(void **state)
{
	struct sl_server_limits limits = harness_limits;
	struct sl_buf bytes, out;
	struct harness h;

	(void)state;
	limits.header_bytes = 300;
	limits.header_count = 5;
	limits.body_bytes = 100;
	harness_open(&h, &limits);
	sl_buf_init(&out, 65536);
	sl_buf_init(&bytes, 65536);
	sl_buf_append_str(&bytes, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
	while (bytes.len < 400)
		sl_buf_append_char(&bytes, 'x');
	sl_buf_append_str(&bytes, "\r\n\r\n");
	for (size_t cut = 0; cut < bytes.len; cut += 37) {
		sl_buf_clear(&out);
		assert_true(run(&h, sl_buf_slice(&bytes), cut, &out));
		assert_true(holds(&out, "HTTP/1.1 431 "));
	}
	sl_buf_clear(&out);
	assert_true(run(&h, SL_SLICE("GET / HTTP/1.1\r\nHost: a\r\nA:1\r\nB:1\r\nC:1\r\nD:1\r\n"
	                             "E:1\r\n\r\n"), 0, &out));
	assert_true(holds(&out, "HTTP/1.1 431 "));
	sl_buf_clear(&out);
	assert_true(run(&h, SL_SLICE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n"),
	                0, &out));
	assert_true(holds(&out, "HTTP/1.1 413 "));
	sl_buf_clear(&out);
	sl_buf_clear(&bytes);
	sl_buf_append_str(&bytes, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	                          "65\r\n");
	for (int i = 0; i < 101; i++)
		sl_buf_append_char(&bytes, 'y');
	sl_buf_append_str(&bytes, "\r\n0\r\n\r\n");
	assert_true(run(&h, sl_buf_slice(&bytes), 0, &out));
	assert_true(holds(&out, "HTTP/1.1 413 "));
	sl_buf_release(&out);
	sl_buf_release(&bytes);
	harness_close(&h);
}

static void
a_body_of_many_reads_arrives_whole(void **state)
{
	enum { SIZE = 900 * 1024 };
	struct sl_buf bytes, out;
	struct harness h;
	size_t sent = 0;
	int fd;

	(void)state;
	harness_open(&h, &harness_limits);
	sl_buf_init(&bytes, 2 * SIZE);
	sl_buf_init(&out, 2 * SIZE);
	sl_buf_printf(&bytes, "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", SIZE);
	for (int i = 0; i < SIZE; i++)
		sl_buf_append_char(&bytes, (char)('a' + i % 23));
	fd = harness_connect(&h);
	while (sent < bytes.len) {
		ssize_t put = send(fd, bytes.ptr + sent, bytes.len - sent, MSG_DONTWAIT);

		if (put > 0)
			sent += (size_t)put;
		harness_turn(&h);
	}
	for (int i = 0; i < 200 && out.len < SIZE; i++) {
		harness_turn(&h);
		harness_get(fd, &out);
	}
	assert_true(holds(&out, "POST /up?|921600|abcdefg"));
	assert_memory_equal(out.ptr + out.len - 1000, bytes.ptr + bytes.len - 1000, 1000);
	close(fd);
	sl_buf_release(&bytes);
	sl_buf_release(&out);
	harness_close(&h);
}

static void
slow_readers_meet_back_pressure(void **state)
{
	struct sl_buf out;
	struct harness h;
	size_t backlog_max = harness_limits.write_buffer_bytes + BIG_PART;
	int fd;

	(void)state;
	harness_open(&h, &harness_limits);
	sl_buf_init(&out, 16 * 1024 * 1024);
	fd = harness_connect(&h);
	harness_put(fd, SL_SLICE("GET /big HTTP/1.1\r\nHost: a\r\n\r\n"));
	harness_turns(&h, 5);
	assert_true(h.limited > 0);
	assert_true(h.big_left > 0);
	for (int i = 0; i < 20000 && out.len < BIG_SIZE; i++) {
		harness_get(fd, &out);
		harness_turn(&h);
	}
	harness_get(fd, &out);
	assert_true(out.len > BIG_SIZE);
	assert_true(out.len < BIG_SIZE + 512);
	assert_true(backlog_max < BIG_SIZE);
	assert_true(holds(&h.log, "gone 0"));
	close(fd);
	sl_buf_release(&out);
	harness_close(&h);
}

static void
cut_answers_cannot_pass_for_whole(void **state)
{
	struct sl_buf out;
	struct harness h;

	(void)state;
	harness_open(&h, &harness_limits);
	sl_buf_init(&out, 65536);
	assert_true(run(&h, SL_SLICE("GET /abort HTTP/1.1\r\nHost: a\r\n\r\n"), 0, &out));
	assert_true(holds(&out, "4\r\npart\r\n"));
	assert_false(holds(&out, "0\r\n\r\n"));
	sl_buf_clear(&out);
	assert_true(run(&h, SL_SLICE("GET /short HTTP/1.1\r\nHost: a\r\n\r\n"), 0, &out));
	assert_true(holds(&out, "content-length: 10\r\n\r\nabc"));
	sl_buf_clear(&out);
	/* One that cannot be sent ends as well: nobody waits for it. */
	assert_true(run(&h, SL_SLICE("GET /unsendable HTTP/1.1\r\nHost: a\r\n\r\n"), 0, &out));
	assert_int_equal(out.len, 0);
	assert_int_equal(occurrences(sl_buf_slice(&h.log), "gone 4\n"), 3);
	sl_buf_release(&out);
	harness_close(&h);
}

/* --- peers that leave, and time --------------------------------------------------------- */

static void
a_peer_that_leaves_is_noticed(void **state)
{
	static const char *const tails[] = { "", "GET /next HTTP/1.1\r\nHost: a\r\n\r\n" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct harness h;
		int fd;

		harness_open(&h, &harness_limits);
		fd = harness_connect(&h);
		harness_put(fd, SL_SLICE("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"));
		harness_put(fd, sl_slice_str(tails[i]));
		harness_turns(&h, 3);
		assert_non_null(h.waiting);
		close(fd);
		harness_turns(&h, 3);
		assert_null(h.waiting);
		assert_true(holds(&h.log, "gone 1"));
		assert_int_equal(sl_server_connection_count(h.server), 0);
		harness_close(&h);
	}
}

static void
a_truncated_upload_is_answered(void **state)
{
	struct sl_buf out;
	struct harness h;
	int fd;

	(void)state;
	harness_open(&h, &harness_limits);
	sl_buf_init(&out, 65536);
	fd = harness_connect(&h);
	harness_put(fd, SL_SLICE("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"));
	shutdown(fd, SHUT_WR);
	harness_turns(&h, 4);
	assert_true(harness_get(fd, &out));
	assert_true(holds(&out, "HTTP/1.1 400 "));
	assert_false(holds(&h.log, "request"));
	close(fd);
	sl_buf_release(&out);
	harness_close(&h);
}

static void
slow_heads_and_bodies_are_timed_out(void **state)
{
	struct sl_server_limits limits = harness_limits;
	struct sl_buf out;
	struct harness h;
	int head, body, idle;

	(void)state;
	limits.header_timeout_ms = limits.body_timeout_ms = 120;
	limits.keepalive_timeout_ms = 60;
	harness_open(&h, &limits);
	sl_buf_init(&out, 65536);
	head = harness_connect(&h);
	body = harness_connect(&h);
	idle = harness_connect(&h);
	harness_put(idle, SL_SLICE("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"));
	harness_put(body, SL_SLICE("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n"));
	harness_put(head, SL_SLICE("GET / HTTP/1.1\r\nHost: a\r\nX: "));
	/* A trickle must not extend either: 400 ms at least, and as many turns. */
	for (int turn = 0; turn < 40; turn++) {
		harness_put(head, SL_SLICE("E"));
		harness_put(body, SL_SLICE("x"));
		harness_turn(&h);
		usleep(10000);
	}
	assert_true(harness_get(head, &out));
	assert_true(holds(&out, "HTTP/1.1 408 "));
	sl_buf_clear(&out);
	assert_true(harness_get(body, &out));
	assert_true(holds(&out, "HTTP/1.1 408 "));
	sl_buf_clear(&out);
	assert_true(harness_get(idle, &out));
	assert_true(holds(&out, "HTTP/1.1 200 "));
	assert_int_equal(occurrences(sl_buf_slice(&out), "HTTP/1.1 "), 1);
	close(head), close(body), close(idle);
	sl_buf_release(&out);
	harness_close(&h);
}

static void
a_stalled_reader_is_reset(void **state)
{
	struct sl_server_limits limits = harness_limits;
	struct harness h;
	int fd;

	(void)state;
	limits.write_stall_ms = 100;
	harness_open(&h, &limits);
	fd = harness_connect(&h);
	harness_put(fd, SL_SLICE("GET /big HTTP/1.1\r\nHost: a\r\n\r\n"));
	assert_true(harness_until(&h, &h.log, "gone 2", 30000));
	assert_int_equal(sl_server_connection_count(h.server), 0);
	close(fd);
	harness_close(&h);
}

/* --- the server as a whole ---------------------------------------------------------------- */

static void
over_the_limit_connections_wait(void **state)
{
	static const char request[] = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
	struct sl_server_limits limits = harness_limits;
	struct sl_buf out;
	struct harness h;
	int first, second, third;

	(void)state;
	limits.connections = 2;
	harness_open(&h, &limits);
	sl_buf_init(&out, 65536);
	first = harness_connect(&h);
	second = harness_connect(&h);
	third = harness_connect(&h);
	harness_put(third, sl_slice_str(request));
	harness_turns(&h, 5);
	assert_int_equal(sl_server_connection_count(h.server), 2);
	harness_get(third, &out);
	assert_int_equal(out.len, 0);
	close(first);
	harness_turns(&h, 5);
	harness_get(third, &out);
	assert_true(holds(&out, "HTTP/1.1 200 "));
	close(second), close(third);
	sl_buf_release(&out);
	harness_close(&h);
}

static void
drain_lets_the_answer_out(void **state)
{
	struct sl_buf out;
	struct harness h;
	int busy, idle;

	(void)state;
	harness_open(&h, &harness_limits);
	sl_buf_init(&out, 65536);
	busy = harness_connect(&h);
	idle = harness_connect(&h);
	harness_put(busy, SL_SLICE("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"));
	harness_put(idle, SL_SLICE("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"));
	harness_turns(&h, 4);
	harness_get(idle, &out);
	sl_server_drain(h.server);
	harness_turns(&h, 2);
	assert_true(harness_get(idle, &out));
	assert_non_null(h.waiting);
	harness_answer(h.waiting, 200, SL_SLICE("late"));
	harness_turns(&h, 2);
	sl_buf_clear(&out);
	assert_true(harness_get(busy, &out));
	assert_true(holds(&out, "connection: close\r\n\r\nlate"));
	close(busy), close(idle);
	sl_buf_release(&out);
	harness_close(&h);
}

/* Requests that reached this machine before the drain began are answered: one in
 * the listener's queue, one on a kept connection, unread both. */
static void
drain_loses_no_request(void **state)
{
	struct sl_buf out;
	struct harness h;
	int kept, queued, silent;

	(void)state;
	harness_open(&h, &harness_limits);
	sl_buf_init(&out, 65536);
	kept = harness_connect(&h);
	harness_put(kept, SL_SLICE("GET /first HTTP/1.1\r\nHost: a\r\n\r\n"));
	harness_turns(&h, 3);
	harness_put(kept, SL_SLICE("GET /kept HTTP/1.1\r\nHost: a\r\n\r\n"));
	queued = harness_connect(&h);
	harness_put(queued, SL_SLICE("GET /queued HTTP/1.1\r\nHost: a\r\n\r\n"));
	silent = harness_connect(&h);
	sl_server_drain(h.server);
	harness_turns(&h, 5);
	assert_true(harness_get(kept, &out));
	assert_true(holds(&out, "GET /kept?|0|"));
	assert_true(harness_get(queued, &out));
	assert_true(holds(&out, "GET /queued?|0|"));
	assert_int_equal(occurrences(sl_buf_slice(&out), "connection: close"), 2);
	close(kept), close(queued), close(silent);
	harness_turns(&h, 3);
	assert_int_equal(sl_server_connection_count(h.server), 0);
	sl_buf_release(&out);
	harness_close(&h);
}

static void
shutdown_ends_every_exchange(void **state)
{
	struct harness h;
	int fd;

	(void)state;
	harness_open(&h, &harness_limits);
	fd = harness_connect(&h);
	harness_put(fd, SL_SLICE("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"));
	harness_turns(&h, 3);
	assert_non_null(h.waiting);
	sl_server_free(h.server);
	h.server = NULL;
	assert_true(holds(&h.log, "gone 5"));
	close(fd);
	harness_close(&h);
}

static void
what_cannot_be_a_header_is_not_sent(void **state)
{
	struct sl_header bad[] = {
		{ SL_SLICE("x"), SL_SLICE("a\r\nset-cookie: b") },
		{ SL_SLICE("x y"), SL_SLICE("a") },
		{ SL_SLICE(""), SL_SLICE("a") },
	};
	struct harness h;
	int fd;

	(void)state;
	harness_open(&h, &harness_limits);
	fd = harness_connect(&h);
	harness_put(fd, SL_SLICE("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"));
	harness_turns(&h, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(sl_exchange_start(h.waiting, 200, &bad[i], 1, 1, SL_SLICE_NONE),
		                 SL_EINVAL);
	assert_false(sl_exchange_started(h.waiting));
	close(fd);
	harness_turns(&h, 2);
	harness_close(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_split_gives_the_same_exchanges),
		cmocka_unit_test(smuggling_is_refused),
		cmocka_unit_test(a_nul_is_refused_wherever_it_stands),
		cmocka_unit_test(http10_is_served_without_chunks),
		cmocka_unit_test(continue_is_sent_when_the_body_is_wanted),
		cmocka_unit_test(early_answer_survives_a_large_body),
		cmocka_unit_test(size_limits_have_their_statuses),
		cmocka_unit_test(a_body_of_many_reads_arrives_whole),
		cmocka_unit_test(slow_readers_meet_back_pressure),
		cmocka_unit_test(cut_answers_cannot_pass_for_whole),
		cmocka_unit_test(a_peer_that_leaves_is_noticed),
		cmocka_unit_test(a_truncated_upload_is_answered),
		cmocka_unit_test(slow_heads_and_bodies_are_timed_out),
		cmocka_unit_test(a_stalled_reader_is_reset),
		cmocka_unit_test(over_the_limit_connections_wait),
		cmocka_unit_test(drain_lets_the_answer_out),
		cmocka_unit_test(drain_loses_no_request),
		cmocka_unit_test(shutdown_ends_every_exchange),
		cmocka_unit_test(what_cannot_be_a_header_is_not_sent),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

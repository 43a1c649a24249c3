/* h2_server_test.c - HTTP/2 on real sockets, with nghttp2 as the client. */
#include <nghttp2/nghttp2.h>
#include <signal.h>

#include "server_harness.h"

enum { STREAMS_MAX = 2048 };

struct reply {
	int           status;
	bool          closed;
	uint32_t      error;
	struct sl_buf body;
	char          cost[16]; /* the trailer x-cost */
};

struct client {
	struct harness  *h;
	nghttp2_session *session;
	int              fd;
	bool             ended;    /* the server closed */
	bool             goaway;
	uint32_t         goaway_error;
	bool             withhold; /* open no windows */
	struct reply     replies[STREAMS_MAX];
};

/* A body to send. */
struct upload {
	size_t left;
	char   fill;
};

static struct reply *
reply_of(struct client *c, int32_t id)
{
	assert_true(id / 2 < STREAMS_MAX);
	return &c->replies[id / 2];
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
          size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
	struct reply *reply = reply_of(user, frame->hd.stream_id);
	struct sl_slice key = sl_slice_make(name, name_len);

	(void)session, (void)flags;
	if (sl_slice_is(key, ":status"))
		reply->status = atoi((const char *)value);
	if (sl_slice_is(key, "x-cost") && value_len < sizeof(reply->cost))
		memcpy(reply->cost, value, value_len);
	return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
        void *user)
{
	struct client *c = user;
	struct reply *reply = reply_of(c, id);

	(void)flags;
	if (!reply->body.max_size)
		sl_buf_init(&reply->body, 64 * 1024 * 1024);
	sl_buf_append(&reply->body, sl_slice_make(data, len));
	if (!c->withhold)
		nghttp2_session_consume(session, id, len);
	return 0;
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct client *c = user;

	(void)session;
	if (frame->hd.type == NGHTTP2_GOAWAY) {
		c->goaway = true;
		c->goaway_error = frame->goaway.error_code;
	}
	return 0;
}

static int
on_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
	struct reply *reply = reply_of(user, id);

	(void)session;
	reply->closed = true;
	reply->error = error;
	return 0;
}

static void
pump(struct client *c, int turns)
{
	static uint8_t room[256 * 1024];
	const uint8_t *bytes;
	ssize_t len;

	while (turns-- > 0) {
		while (!c->ended && (len = nghttp2_session_mem_send(c->session, &bytes)) > 0)
			harness_put(c->fd, sl_slice_make(bytes, (size_t)len));
		harness_turn(c->h);
		while ((len = recv(c->fd, room, sizeof(room), MSG_DONTWAIT)) > 0)
			assert_true(nghttp2_session_mem_recv(c->session, room, (size_t)len) >= 0);
		if (len == 0 || (len < 0 && errno != EAGAIN))
			c->ended = true;
	}
}

static void
open_client(struct client *c, struct harness *h, uint32_t window)
{
	nghttp2_settings_entry settings = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window };
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;

	memset(c, 0, sizeof(*c));
	c->h = h;
	nghttp2_session_callbacks_new(&callbacks);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	nghttp2_option_new(&option);
	nghttp2_option_set_no_auto_window_update(option, 1);
	assert_int_equal(nghttp2_session_client_new2(&c->session, callbacks, c, option), 0);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, &settings, 1);
	c->fd = harness_connect(h);
	pump(c, 3);
}

static void
close_client(struct client *c)
{
	close(c->fd);
	harness_turns(c->h, 3);
	nghttp2_session_del(c->session);
	for (size_t i = 0; i < STREAMS_MAX; i++)
		sl_buf_release(&c->replies[i].body);
}

static nghttp2_nv
field(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value,
		             strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE };
}

static ssize_t
read_upload(nghttp2_session *session, int32_t id, uint8_t *into, size_t size, uint32_t *flags,
            nghttp2_data_source *source, void *user)
{
	struct upload *upload = source->ptr;

	(void)session, (void)id, (void)user;
	if (size > upload->left)
		size = upload->left;
	memset(into, upload->fill, size);
	upload->left -= size;
	if (upload->left == 0)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)size;
}

static int32_t
ask(struct client *c, const char *method, const char *path, struct upload *upload)
{
	nghttp2_nv fields[] = { field(":method", method), field(":scheme", "http"),
		                field(":authority", "a"), field(":path", path),
		                field("x-one", "1") };
	nghttp2_data_provider provider = { .source.ptr = upload, .read_callback = read_upload };
	int32_t id = nghttp2_submit_request(c->session, NULL, fields,
	                                    sizeof(fields) / sizeof(*fields),
	                                    upload ? &provider : NULL, NULL);

	assert_true(id > 0);
	return id;
}

static bool
body_is(struct client *c, int32_t id, const char *text)
{
	return sl_slice_is(sl_buf_slice(&reply_of(c, id)->body), text);
}

static bool
logged(const struct harness *h, const char *text)
{
	return sl_slice_search(sl_buf_slice(&h->log), sl_slice_str(text)) >= 0;
}

/* --- tests ------------------------------------------------------------------------ */

static struct client client; /* too large for the stack */

static void
streams_are_exchanges(void **state)
{
	struct upload upload = { 5, 'u' };
	struct client *c = &client;
	struct harness h;
	int32_t get, post, stream, head, early;

	(void)state;
	harness_open(&h, &harness_limits);
	open_client(c, &h, 65535);
	get = ask(c, "GET", "/v1/models?limit=1", NULL);
	post = ask(c, "POST", "/v1/chat", &upload);
	stream = ask(c, "GET", "/stream", NULL);
	head = ask(c, "HEAD", "/h", NULL);
	early = ask(c, "GET", "/early", NULL);
	pump(c, 6);
	assert_true(body_is(c, get, "GET /v1/models?limit=1|0|"));
	assert_true(body_is(c, post, "POST /v1/chat?|5|uuuuu"));
	assert_true(body_is(c, stream, "data: one\n\ndata: two\n\n"));
	assert_string_equal(reply_of(c, stream)->cost, "0.5");
	assert_int_equal(reply_of(c, head)->status, 200);
	assert_int_equal(reply_of(c, head)->body.len, 0);
	assert_int_equal(reply_of(c, early)->status, 401);
	for (int32_t id = get; id <= early; id += 2) {
		assert_true(reply_of(c, id)->closed);
		assert_int_equal(reply_of(c, id)->error, 0);
	}
	assert_int_equal(sl_server_exchange_count(h.server), 0);
	close_client(c);
	assert_int_equal(sl_server_connection_count(h.server), 0);
	harness_close(&h);
}

/* The client's bytes, cut at every place, give the same log. */
static void
every_split_gives_the_same_exchanges(void **state)
{
	struct upload upload = { 3, 'z' };
	struct sl_buf bytes, log, answers;
	struct client *c = &client;
	const uint8_t *part;
	struct harness h;
	ssize_t len;

	(void)state;
	harness_open(&h, &harness_limits);
	sl_buf_init(&bytes, 65536);
	sl_buf_init(&log, 65536);
	sl_buf_init(&answers, 65536);
	open_client(c, &h, 65535);
	close_client(c);
	/* A second session's bytes are recorded, not sent. */
	open_client(c, &h, 65535);
	nghttp2_session_del(c->session);
	nghttp2_session_callbacks *callbacks;
	nghttp2_session_callbacks_new(&callbacks);
	nghttp2_session_client_new(&c->session, callbacks, c);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0);
	ask(c, "GET", "/one", NULL);
	ask(c, "POST", "/two", &upload);
	while ((len = nghttp2_session_mem_send(c->session, &part)) > 0)
		sl_buf_append(&bytes, sl_slice_make(part, (size_t)len));
	for (size_t cut = 0; cut < bytes.len; cut++) {
		int fd = harness_connect(&h);

		sl_buf_clear(&h.log);
		for (size_t at = 0; at < bytes.len;) {
			size_t size = cut == 0 ? 1 : at == 0 ? cut : bytes.len - at;

			harness_put(fd, sl_slice_make(bytes.ptr + at, size));
			at += size;
			harness_turn(&h);
		}
		harness_turns(&h, 2);
		sl_buf_clear(&answers);
		assert_false(harness_get(fd, &answers));
		assert_true(sl_slice_search(sl_buf_slice(&answers), SL_SLICE("GET /one?|0|")) > 0);
		assert_true(sl_slice_search(sl_buf_slice(&answers), SL_SLICE("POST /two?|3|zzz")) >
		            0);
		assert_true(logged(&h, "head /two\n"));
		assert_true(logged(&h, "request /two 3\n"));
		close(fd);
		harness_turns(&h, 2);
	}
	close_client(c);
	sl_buf_release(&bytes);
	sl_buf_release(&log);
	sl_buf_release(&answers);
	harness_close(&h);
}

static void
large_bodies_go_both_ways(void **state)
{
	struct sl_server_limits limits = harness_limits;
	struct upload upload = { 3 * 1024 * 1024, 'b' };
	struct client *c = &client;
	struct harness h;
	int32_t post, big;

	(void)state;
	limits.body_bytes = 32 * 1024 * 1024;
	harness_open(&h, &limits);
	open_client(c, &h, 65535);
	post = ask(c, "POST", "/up", &upload);
	for (int i = 0; i < 3000 && !reply_of(c, post)->closed; i++)
		pump(c, 1);
	assert_int_equal(reply_of(c, post)->body.len, 3 * 1024 * 1024 + 18);
	big = ask(c, "GET", "/big", NULL);
	for (int i = 0; i < 3000 && !reply_of(c, big)->closed; i++)
		pump(c, 1);
	assert_int_equal(reply_of(c, big)->body.len, BIG_SIZE);
	assert_true(h.limited > 0);
	close_client(c);
	harness_close(&h);
}

static void
cut_answers_are_resets(void **state)
{
	struct client *c = &client;
	struct harness h;
	int32_t cut, shorter, unsendable;

	(void)state;
	harness_open(&h, &harness_limits);
	open_client(c, &h, 65535);
	cut = ask(c, "GET", "/abort", NULL);
	shorter = ask(c, "GET", "/short", NULL);
	unsendable = ask(c, "GET", "/unsendable", NULL);
	pump(c, 5);
	assert_int_equal(reply_of(c, cut)->error, NGHTTP2_INTERNAL_ERROR);
	assert_int_equal(reply_of(c, shorter)->error, NGHTTP2_INTERNAL_ERROR);
	assert_int_equal(reply_of(c, unsendable)->error, NGHTTP2_INTERNAL_ERROR);
	assert_true(logged(&h, "gone 4\n"));
	assert_false(c->ended);
	close_client(c);
	harness_close(&h);
}

static void
a_cancelled_stream_is_gone(void **state)
{
	struct client *c = &client;
	struct harness h;
	int32_t id;

	(void)state;
	harness_open(&h, &harness_limits);
	open_client(c, &h, 65535);
	id = ask(c, "GET", "/wait", NULL);
	pump(c, 2);
	assert_non_null(h.waiting);
	nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
	pump(c, 3);
	assert_null(h.waiting);
	assert_true(logged(&h, "gone 1\n"));
	/* And a connection that goes takes its streams along. */
	ask(c, "GET", "/wait", NULL);
	pump(c, 2);
	assert_non_null(h.waiting);
	close_client(c);
	assert_null(h.waiting);
	assert_int_equal(sl_server_exchange_count(h.server), 0);
	harness_close(&h);
}

static void
limits_have_their_statuses(void **state)
{
	struct sl_server_limits limits = harness_limits;
	struct upload upload = { 5000, 'x' };
	struct client *c = &client;
	nghttp2_nv fields[44];
	struct harness h;
	int32_t large, many, id;
	char value[1500];

	(void)state;
	limits.body_bytes = 1000;
	limits.header_bytes = 1000;
	limits.header_count = 30;
	harness_open(&h, &limits);
	open_client(c, &h, 65535);
	large = ask(c, "POST", "/up", &upload);
	pump(c, 5);
	assert_int_equal(reply_of(c, large)->status, 413);
	assert_true(reply_of(c, large)->closed);
	fields[0] = field(":method", "GET");
	fields[1] = field(":scheme", "http");
	fields[2] = field(":authority", "a");
	fields[3] = field(":path", "/x");
	memset(value, 'v', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	fields[4] = field("x-long", value);
	id = nghttp2_submit_request(c->session, NULL, fields, 5, NULL, NULL);
	for (size_t i = 4; i < 44; i++)
		fields[i] = field("x", "");
	many = nghttp2_submit_request(c->session, NULL, fields, 44, NULL, NULL);
	pump(c, 5);
	assert_int_equal(reply_of(c, id)->status, 431);
	assert_int_equal(reply_of(c, many)->status, 431);
	assert_false(c->ended);
	close_client(c);
	harness_close(&h);
}

static bool held;

static ssize_t
read_late(nghttp2_session *session, int32_t id, uint8_t *into, size_t size, uint32_t *flags,
          nghttp2_data_source *source, void *user)
{
	(void)session, (void)id, (void)into, (void)size, (void)source, (void)user;
	if (held)
		return NGHTTP2_ERR_DEFERRED;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	return 0;
}

static int32_t
ask_early(struct client *c)
{
	nghttp2_nv fields[] = { field(":method", "POST"), field(":scheme", "http"),
		                field(":authority", "a"), field(":path", "/early") };
	nghttp2_data_provider provider = { .read_callback = read_late };

	return nghttp2_submit_request(c->session, NULL, fields, 4, &provider, NULL);
}

/* A client may still be sending: it has the whole answer before it is told to stop. */
static void
early_answers_are_not_followed_by_a_reset_at_once(void **state)
{
	struct sl_server_limits limits = harness_limits;
	struct upload upload = { 3 * 1024 * 1024, 'x' };
	struct client *c = &client;
	struct harness h;
	int32_t id;

	(void)state;
	harness_open(&h, &limits);
	open_client(c, &h, 65535);
	held = true;
	id = ask_early(c);
	pump(c, 5);
	assert_int_equal(reply_of(c, id)->status, 401);
	assert_true(body_is(c, id, "no"));
	assert_false(reply_of(c, id)->closed);
	/* For the handler it was over with the answer. */
	assert_true(logged(&h, "gone 0\n"));
	assert_int_equal(sl_server_exchange_count(h.server), 0);
	held = false;
	nghttp2_session_resume_data(c->session, id);
	pump(c, 5);
	assert_true(reply_of(c, id)->closed);
	assert_int_equal(reply_of(c, id)->error, NGHTTP2_NO_ERROR);
	/* One that goes on and on is told. */
	id = ask(c, "POST", "/early", &upload);
	for (int i = 0; i < 3000 && !reply_of(c, id)->closed; i++)
		pump(c, 1);
	assert_true(reply_of(c, id)->closed);
	assert_int_equal(reply_of(c, id)->error, NGHTTP2_NO_ERROR);
	assert_int_equal(reply_of(c, id)->status, 401);
	assert_true(upload.left > 0);
	/* One that hangs up instead has its answer all the same. */
	held = true;
	ask_early(c);
	pump(c, 5);
	close_client(c);
	assert_false(logged(&h, "gone 1\n"));
	harness_close(&h);
	/* And, some time, one that never ends its body. */
	limits.body_timeout_ms = 50;
	harness_open(&h, &limits);
	open_client(c, &h, 65535);
	held = true;
	id = ask_early(c);
	for (int i = 0; i < 5000 && !reply_of(c, id)->closed; i++) {
		pump(c, 1);
		usleep(2000);
	}
	assert_true(reply_of(c, id)->closed);
	assert_int_equal(reply_of(c, id)->error, NGHTTP2_NO_ERROR);
	assert_int_equal(reply_of(c, id)->status, 401);
	assert_true(body_is(c, id, "no"));
	assert_true(logged(&h, "gone 0\n"));
	assert_false(c->ended);
	close_client(c);
	harness_close(&h);
}

static void
floods_are_stopped(void **state)
{
	struct client *c = &client;
	struct harness h;

	(void)state;
	/* Pings. */
	harness_open(&h, &harness_limits);
	open_client(c, &h, 65535);
	for (int i = 0; i < 3000 && !c->ended; i++) {
		nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
		if (i % 50 == 0)
			pump(c, 1);
	}
	pump(c, 3);
	assert_true(c->ended);
	assert_int_equal(c->goaway_error, NGHTTP2_ENHANCE_YOUR_CALM);
	close_client(c);
	/* Streams opened and reset at once. */
	open_client(c, &h, 65535);
	for (int i = 0; i < 1500 && !c->ended; i++) {
		int32_t id = ask(c, "GET", "/wait", NULL);

		pump(c, 1);
		nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
		pump(c, 1);
	}
	assert_true(c->ended);
	assert_int_equal(c->goaway_error, NGHTTP2_ENHANCE_YOUR_CALM);
	close_client(c);
	assert_int_equal(sl_server_exchange_count(h.server), 0);
	assert_int_equal(sl_server_connection_count(h.server), 0);
	harness_close(&h);
}

static void
a_closed_window_is_timed_out(void **state)
{
	struct sl_server_limits limits = harness_limits;
	struct client *c = &client;
	struct harness h;
	int32_t id;

	(void)state;
	limits.write_stall_ms = 100;
	harness_open(&h, &limits);
	open_client(c, &h, 65535);
	c->withhold = true;
	id = ask(c, "GET", "/big", NULL);
	for (int i = 0; i < 200 && !reply_of(c, id)->closed; i++) {
		pump(c, 1);
		usleep(5000);
	}
	assert_true(reply_of(c, id)->closed);
	pump(c, 2);
	assert_true(logged(&h, "gone 2\n"));
	close_client(c);
	harness_close(&h);
}

static void
slow_uploads_are_timed_out(void **state)
{
	struct sl_server_limits limits = harness_limits;
	struct upload upload = { 1000, 'x' };
	struct client *c = &client;
	struct harness h;
	int32_t id;

	(void)state;
	limits.body_timeout_ms = 80;
	limits.body_bytes = 1024 * 1024;
	harness_open(&h, &limits);
	open_client(c, &h, 65535);
	nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, 65535);
	upload.left = 900 * 1024; /* more than one window: the rest is never sent */
	id = ask(c, "POST", "/up", &upload);
	pump(c, 1);
	for (int i = 0; i < 100; i++) {
		harness_turn(&h);
		usleep(2000);
	}
	pump(c, 3);
	assert_int_equal(reply_of(c, id)->status, 408);
	close_client(c);
	harness_close(&h);
}

static void
drain_says_goodbye(void **state)
{
	struct client *c = &client;
	struct harness h;
	int32_t id;

	(void)state;
	harness_open(&h, &harness_limits);
	open_client(c, &h, 65535);
	id = ask(c, "GET", "/wait", NULL);
	pump(c, 2);
	sl_server_drain(h.server);
	pump(c, 2);
	assert_true(c->goaway);
	assert_int_equal(c->goaway_error, NGHTTP2_NO_ERROR);
	assert_false(c->ended);
	harness_answer(h.waiting, 200, SL_SLICE("late"));
	pump(c, 4);
	assert_true(body_is(c, id, "late"));
	assert_true(c->ended);
	close_client(c);
	assert_int_equal(sl_server_connection_count(h.server), 0);
	harness_close(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_are_exchanges),
		cmocka_unit_test(every_split_gives_the_same_exchanges),
		cmocka_unit_test(large_bodies_go_both_ways),
		cmocka_unit_test(cut_answers_are_resets),
		cmocka_unit_test(a_cancelled_stream_is_gone),
		cmocka_unit_test(limits_have_their_statuses),
		cmocka_unit_test(early_answers_are_not_followed_by_a_reset_at_once),
		cmocka_unit_test(floods_are_stopped),
		cmocka_unit_test(a_closed_window_is_timed_out),
		cmocka_unit_test(slow_uploads_are_timed_out),
		cmocka_unit_test(drain_says_goodbye),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

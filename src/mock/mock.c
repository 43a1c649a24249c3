/* mock.c - the simulated provider as a server.
 *
 *   request --first_ms--> head + begin --chunk_ms--> piece ... --> end
 *
 * Without delays a stream is still written piece by piece, one write each, as
 * providers do; a slow reader stops it until on_drain.
 */
#include "mock/mock.h"

#include <pthread.h>
#include <stdlib.h>

#include "mock/reply.h"

enum {
	CHUNKS_MAX = 1000000,
	CHUNK_SIZE_MAX = 1024 * 1024,
	DELAY_MAX_MS = 120000,
	HANG_MS = 120000,
	REPLY_BYTES_MAX = 64 * 1024 * 1024,
};

struct sl_mock {
	struct sl_loop          *loop;
	struct sl_server        *server;
	struct sl_server_handler handler;
	struct sl_mock_options   defaults;
};

struct play {
	struct sl_mock      *mock;
	struct sl_exchange  *exchange;
	struct sl_timer      timer;
	struct sl_mock_reply reply;
	uint32_t             next; /* piece; one more than there are: the end was written */
	uint64_t             sent; /* bytes of the body */
	bool                 begun;
	bool                 over;
	struct sl_buf        out;
};

/* --- options in the header ------------------------------------------------ */

static uint32_t
bounded(int64_t value, int64_t max)
{
	return (uint32_t)(value < 0 ? 0 : value > max ? max : value);
}

static void
set_option(struct sl_mock_options *options, struct sl_slice name, int64_t value)
{
	if (sl_slice_is(name, "chunks"))
		options->chunks = bounded(value, CHUNKS_MAX);
	else if (sl_slice_is(name, "size"))
		options->chunk_size = bounded(value, CHUNK_SIZE_MAX);
	else if (sl_slice_is(name, "chunk_ms"))
		options->chunk_ms = bounded(value, DELAY_MAX_MS);
	else if (sl_slice_is(name, "first_ms"))
		options->first_ms = bounded(value, DELAY_MAX_MS);
	else if (sl_slice_is(name, "input"))
		options->input_tokens = value;
	else if (sl_slice_is(name, "output"))
		options->output_tokens = value;
	else if (sl_slice_is(name, "status") && value >= 400 && value < 600)
		options->status = (int)value;
	else if (sl_slice_is(name, "retry_after"))
		options->retry_after_s = bounded(value, 3600);
	else if (sl_slice_is(name, "cut"))
		options->cut = value;
	else if (sl_slice_is(name, "cut_byte"))
		options->cut_byte = value;
	else if (sl_slice_is(name, "hang"))
		options->hang = value != 0;
	else if (sl_slice_is(name, "garbage"))
		options->garbage = value != 0;
}

static void
read_options(struct sl_mock_options *options, struct sl_slice text)
{
	while (text.len > 0) {
		struct sl_slice value = sl_slice_trim(sl_slice_cut(&text, ','));
		struct sl_slice name = sl_slice_cut(&value, '=');
		int64_t number;

		if (sl_slice_i64(value, &number))
			set_option(options, name, number);
	}
}

/* --- answering ------------------------------------------------------------ */

static void
send_json(struct play *play, int status)
{
	struct sl_header fields[2] = { { SL_SLICE("content-type"), SL_SLICE("application/json") } };
	size_t count = 1;

	if (play->reply.options.retry_after_s > 0)
		fields[count++] = (struct sl_header){
			SL_SLICE("retry-after"),
			sl_arena_printf(&play->exchange->arena, "%u",
			                play->reply.options.retry_after_s)
		};
	sl_exchange_send(play->exchange, status, fields, count, sl_buf_slice(&play->out));
	play->over = true;
}

static void
refuse(struct play *play, int status)
{
	sl_buf_clear(&play->out);
	sl_mock_put_error(play->reply.kind, status, &play->out);
	send_json(play, status);
}

static void
send_garbage(struct play *play)
{
	static const struct sl_header fields[] = { { { "content-type", 12 },
		                                     { "text/html", 9 } } };

	sl_exchange_send(play->exchange, 200, fields, 1,
	                 SL_SLICE("<html>this is {not] a reply</html>"));
	play->over = true;
}

static void
cut(struct play *play)
{
	play->over = true;
	sl_exchange_abort(play->exchange);
}

static void
begin_stream(struct play *play)
{
	struct sl_header field = { SL_SLICE("content-type"), SL_SLICE("text/event-stream") };

	if (play->reply.array_stream)
		field.value = SL_SLICE("application/json");
	sl_exchange_start(play->exchange, 200, &field, 1, -1, SL_SLICE_NONE);
	play->begun = true;
	sl_mock_put_begin(&play->reply, &play->out);
}

/* Writes what is buffered; false when the reader is slow: on_drain goes on; and when
 * that was all there is to be before the cut. */
static bool
flush(struct play *play)
{
	int64_t cut_byte = play->reply.options.cut_byte;
	struct sl_slice bytes = sl_buf_slice(&play->out);
	bool last = cut_byte >= 0 && play->sent + bytes.len >= (uint64_t)cut_byte;

	if (last)
		bytes = sl_slice_upto(bytes, (size_t)((uint64_t)cut_byte - play->sent));
	if (bytes.len > 0 && sl_exchange_write(play->exchange, bytes) != SL_OK)
		return false;
	play->sent += bytes.len;
	sl_buf_clear(&play->out);
	if (last)
		cut(play);
	return !last;
}

static void
send_whole(struct play *play)
{
	static const struct sl_header field = { { "content-type", 12 },
		                                { "application/json", 16 } };

	sl_mock_put_whole(&play->reply, &play->out);
	if (play->reply.options.cut_byte < 0) {
		send_json(play, 200);
		return;
	}
	sl_exchange_start(play->exchange, 200, &field, 1, (int64_t)play->out.len, SL_SLICE_NONE);
	if (!flush(play))
		return;
	play->over = true;
	sl_exchange_finish(play->exchange, NULL, 0);
}

static void
play_stream(struct play *play)
{
	const struct sl_mock_options *options = &play->reply.options;

	if (!play->begun)
		begin_stream(play);
	while (flush(play)) {
		if (play->next > options->chunks) {
			play->over = true;
			sl_exchange_finish(play->exchange, NULL, 0);
			return;
		}
		if (options->cut >= 0 && play->next >= (uint64_t)options->cut) {
			cut(play);
			return;
		}
		if (play->next == options->chunks) {
			sl_mock_put_end(&play->reply, &play->out);
			play->next++;
			continue;
		}
		sl_mock_put_piece(&play->reply, play->next++, &play->out);
		if (options->chunk_ms > 0) {
			flush(play);
			if (!play->over)
				sl_timer_set(play->mock->loop, &play->timer, options->chunk_ms);
			return;
		}
	}
}

static void
perform(struct play *play)
{
	const struct sl_mock_options *options = &play->reply.options;

	if (options->hang) {
		cut(play);
	} else if (options->status) {
		refuse(play, options->status);
	} else if (options->garbage) {
		send_garbage(play);
	} else if (play->reply.kind == SL_MOCK_UNKNOWN) {
		refuse(play, 404);
	} else if (play->reply.stream) {
		play_stream(play);
	} else if (options->cut >= 0) {
		cut(play);
	} else {
		send_whole(play);
	}
}

static void
on_due(struct sl_timer *timer)
{
	struct play *play = SL_CONTAINER(timer, struct play, timer);

	if (play->begun)
		play_stream(play);
	else
		perform(play);
}

/* --- the server's handler ------------------------------------------------- */

static void
on_head(void *context, struct sl_exchange *exchange, size_t *body_max)
{
	(void)context;
	(void)exchange;
	(void)body_max;
}

static void
on_request(void *context, struct sl_exchange *exchange)
{
	struct sl_mock *mock = context;
	const struct sl_request *request = &exchange->request;
	struct play *play = calloc(1, sizeof(*play));
	uint32_t wait_ms;

	if (!play) {
		sl_exchange_abort(exchange);
		return;
	}
	exchange->user = play;
	play->mock = mock;
	play->exchange = exchange;
	play->timer.on_due = on_due;
	play->reply.options = mock->defaults;
	play->reply.created_s = sl_loop_wall_ms(mock->loop) / 1000;
	sl_buf_init(&play->out, REPLY_BYTES_MAX);
	read_options(&play->reply.options, sl_headers_get(&request->headers, "x-mock"));
	play->reply.kind = sl_mock_kind_of(request->path);
	if (play->reply.kind != SL_MOCK_UNKNOWN &&
	    !sl_mock_read(&play->reply, request->path, request->query,
	                  sl_buf_slice(&exchange->body))) {
		refuse(play, 400);
		return;
	}
	sl_buf_release(&exchange->body);
	wait_ms = play->reply.options.hang ? HANG_MS : play->reply.options.first_ms;
	if (wait_ms > 0)
		sl_timer_set(mock->loop, &play->timer, wait_ms);
	else
		perform(play);
}

static void
on_bad_request(void *context, struct sl_exchange *exchange, int status, const char *reason)
{
	static const struct sl_header fields[] = { { { "content-type", 12 },
		                                     { "text/plain", 10 } } };

	(void)context;
	sl_exchange_send(exchange, status, fields, 1, sl_slice_str(reason));
}

static void
on_drain(void *context, struct sl_exchange *exchange)
{
	struct play *play = exchange->user;

	(void)context;
	if (play && play->begun && !play->over && !sl_timer_is_set(&play->timer))
		play_stream(play);
}

static void
on_gone(void *context, struct sl_exchange *exchange, enum sl_gone_reason why)
{
	struct play *play = exchange->user;

	(void)context;
	(void)why;
	if (!play)
		return;
	sl_timer_clear(&play->timer);
	sl_buf_release(&play->out);
	free(play);
	exchange->user = NULL;
}

struct sl_mock *
sl_mock_new(struct sl_loop *loop, const char *host, uint16_t port,
            const struct sl_mock_options *defaults, uint16_t *bound_port,
            const char **reason)
{
	static const struct sl_server_limits limits = {
		.header_bytes = 64 * 1024,
		.header_count = 200,
		.body_bytes = 64 * 1024 * 1024,
		.header_timeout_ms = 30000,
		.body_timeout_ms = 60000,
		.keepalive_timeout_ms = 120000,
		.write_stall_ms = 120000,
		.connections = 60000,
		.h2_streams = 1000,
		.write_buffer_bytes = 4 * 1024 * 1024,
	};
	const struct sl_listen_config listen = { .host = host, .port = port };
	struct sl_mock *mock = calloc(1, sizeof(*mock));
	enum sl_err err = SL_ENOMEM;

	if (mock) {
		mock->loop = loop;
		mock->defaults = *defaults;
		mock->handler = (struct sl_server_handler){
			.context = mock,
			.on_head = on_head,
			.on_request = on_request,
			.on_bad_request = on_bad_request,
			.on_drain = on_drain,
			.on_gone = on_gone,
		};
		mock->server = sl_server_new(loop, &limits, &mock->handler);
	}
	if (mock && mock->server)
		err = sl_server_listen(mock->server, &listen, bound_port);
	if (err == SL_OK)
		return mock;
	*reason = sl_err_text(err);
	sl_mock_free(mock);
	return NULL;
}

void
sl_mock_free(struct sl_mock *mock)
{
	if (!mock)
		return;
	if (mock->server)
		sl_server_free(mock->server);
	free(mock);
}

/* --- on a thread of its own ----------------------------------------------- */

struct sl_mock_thread {
	pthread_t       thread;
	struct sl_loop *loop;
	struct sl_mock *mock;
};

static void *
run(void *argument)
{
	struct sl_mock_thread *thread = argument;

	sl_loop_run(thread->loop);
	return NULL;
}

static void
free_thread(struct sl_mock_thread *thread)
{
	sl_mock_free(thread->mock);
	sl_loop_free(thread->loop);
	free(thread);
}

struct sl_mock_thread *
sl_mock_thread_start(const struct sl_mock_options *defaults, uint16_t *bound_port,
                     const char **reason)
{
	struct sl_mock_thread *thread = calloc(1, sizeof(*thread));

	*reason = "out of memory";
	if (!thread)
		return NULL;
	thread->loop = sl_loop_new(0);
	if (thread->loop)
		thread->mock = sl_mock_new(thread->loop, "127.0.0.1", 0, defaults, bound_port,
		                           reason);
	if (!thread->mock || pthread_create(&thread->thread, NULL, run, thread) != 0) {
		free_thread(thread);
		return NULL;
	}
	return thread;
}

void
sl_mock_thread_stop(struct sl_mock_thread *thread)
{
	if (!thread)
		return;
	sl_loop_stop(thread->loop);
	pthread_join(thread->thread, NULL);
	free_thread(thread);
}

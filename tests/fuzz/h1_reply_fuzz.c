/* h1_reply_fuzz.c - a reply in random parts, with pauses, gives what the whole gives.
 *
 * The first byte of the input seeds the parts, the rest is what an upstream
 * sent before it closed. No socket is involved: bytes go straight into the
 * exchange, as if read.
 */
#include "net/h1_client.c"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sl_loop *loop;
static struct sl_client *client;
static struct sl_buf *log_to; /* what the owner saw */
static uint32_t pause_seed;   /* 0: never pauses */

static void
saw_head(struct sl_fetch *fetch, int status, const struct sl_headers *headers, int64_t length)
{
	(void)fetch;
	sl_buf_printf(log_to, "head %d %lld\n", status, (long long)length);
	for (size_t i = 0; i < headers->count; i++) {
		if (!sl_header_is_valid(headers->items[i].name, headers->items[i].value))
			abort();
		sl_buf_append(log_to, headers->items[i].name);
		sl_buf_append(log_to, headers->items[i].value);
	}
	sl_buf_append_str(log_to, "\nbody ");
}

static void
saw_data(struct sl_fetch *fetch, struct sl_slice bytes)
{
	if (bytes.len == 0)
		abort();
	sl_buf_append(log_to, bytes);
	if (pause_seed && (pause_seed = pause_seed * 1664525u + 1013904223u) & 0x10000)
		sl_fetch_pause(fetch);
}

static void
saw_end(struct sl_fetch *fetch, const struct sl_headers *trailers)
{
	(void)fetch;
	sl_buf_printf(log_to, "\nend %zu", trailers->count);
}

static void
saw_failure(struct sl_fetch *fetch, const struct sl_fetch_error *error)
{
	(void)fetch, (void)error;
	sl_buf_append_str(log_to, "\nfailed");
}

static const struct sl_fetch_ops ops = { saw_head, saw_data, saw_end, saw_failure };

static void
stop_loop(struct sl_task *task)
{
	(void)task;
	sl_loop_stop(loop);
}

/* One turn: deferred failures, resumed fetches, closed connections. */
static void
turn(void)
{
	struct sl_task task = { .run = stop_loop };

	sl_loop_defer(loop, &task);
	sl_loop_run(loop);
}

static struct sl_upstream *
open_exchange(struct sl_pool *pool, struct sl_fetch *fetch)
{
	struct sl_upstream *up = calloc(1, sizeof(*up));
	struct sl_flight *flight = sl_block_alloc(sizeof(*flight));

	if (!up || !flight)
		abort();
	*flight = (struct sl_flight){ 0 };
	up->client = client;
	up->pool = pool;
	up->sock.fd = up->io.fd = -1;
	up->state = SL_UP_BUSY;
	up->flight = flight;
	sl_list_push_back(&pool->busy, &up->node);
	pool->open_count++;
	*fetch = (struct sl_fetch){ .ops = &ops, .internal = flight };
	flight->fetch = fetch;
	flight->client = client;
	flight->pool = pool;
	flight->up = up;
	flight->sent = true;
	sl_list_init(&flight->node);
	sl_list_init(&flight->resumed);
	sl_list_push_back(&client->flights, &flight->all);
	up->h1.keep_alive = true;
	begin_head(up);
	return up;
}

/* Neither complete nor failed. */
static bool
is_running(const struct sl_fetch *fetch)
{
	const struct sl_flight *flight = fetch->internal;

	return flight && !flight->failing;
}

static void
play(struct sl_slice reply, size_t most, uint32_t seed, struct sl_buf *out)
{
	static const struct sl_origin origin = { .host = { "h", 1 }, .identity = { "i", 1 } };
	struct sl_fetch fetch;
	struct sl_pool *pool = sl_client_pool(client, &origin);
	struct sl_upstream *up = open_exchange(pool, &fetch);
	struct sl_flight *flight = up->flight;

	log_to = out;
	while (is_running(&fetch) && reply.len) {
		size_t size;
		char *copy;

		seed = seed * 1664525u + 1013904223u;
		size = 1 + (seed >> 8) % most;
		size = size < reply.len ? size : reply.len;
		copy = malloc(size);
		if (!copy)
			abort();
		memcpy(copy, reply.ptr, size);
		reply = sl_slice_from(reply, size);
		feed(up, copy, size);
		free(copy);
		while (is_running(&fetch) && flight->paused) {
			sl_fetch_resume(&fetch);
			turn();
		}
	}
	if (is_running(&fetch))
		take_end(up);
	/* A turn may have freed connection and pool: ask anew. */
	pool = sl_client_pool(client, &origin);
	while (!sl_list_empty(&pool->idle))
		sl_upstream_close(SL_CONTAINER(pool->idle.next, struct sl_upstream, node));
	turn();
	if (fetch.internal)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sl_buf whole, parts;
	struct sl_slice reply;

	if (size == 0)
		return 0;
	if (!loop) {
		loop = sl_loop_new(0);
		client = loop ? sl_client_new(loop) : NULL;
		if (!client)
			abort();
	}
	reply = sl_slice_make(data + 1, size - 1);
	sl_buf_init(&whole, 1 << 26);
	sl_buf_init(&parts, 1 << 26);
	pause_seed = 0;
	play(reply, SIZE_MAX / 2, data[0], &whole);
	pause_seed = data[0];
	play(reply, 1 + data[0] % 32, data[0], &parts);
	if (!sl_slice_eq(sl_buf_slice(&whole), sl_buf_slice(&parts))) {
		fprintf(stderr, "whole: %.*s\nparts: %.*s\n", SL_ARG(sl_buf_slice(&whole)),
		        SL_ARG(sl_buf_slice(&parts)));
		abort();
	}
	sl_buf_release(&whole);
	sl_buf_release(&parts);
	return 0;
}

/* client_bench.c - what one fetch over a pooled connection costs.
 *
 * Client and a trivial server share one loop and one core, so the figure holds
 * both ends: four system calls of each request are the kernel's loopback.
 * usage: client_bench [fetches] [concurrent]
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/client.h"

static struct sl_loop *loop;
static struct sl_client *client;
static struct sl_origin origin;
static long left, running, failed;

struct peer {
	struct sl_io io;
};

static void
peer_ready(struct sl_io *io, uint32_t events)
{
	static const char reply[] = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
	                            "content-length: 2\r\n\r\n{}";
	char bytes[4096];

	(void)events;
	if (recv(io->fd, bytes, sizeof(bytes), 0) <= 0) {
		sl_loop_remove(loop, io);
		close(io->fd);
		free(SL_CONTAINER(io, struct peer, io));
		return;
	}
	if (send(io->fd, reply, sizeof(reply) - 1, MSG_NOSIGNAL) < 0)
		perror("send");
}

static void
on_accept(struct sl_io *io, uint32_t events)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	int one = 1;

	(void)events;
	if (!peer)
		abort();
	peer->io.fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	peer->io.on_ready = peer_ready;
	setsockopt(peer->io.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (sl_loop_add(loop, &peer->io, EPOLLIN) != SL_OK)
		abort();
}

static void start(struct sl_fetch *fetch);

static void
on_head(struct sl_fetch *fetch, int status, const struct sl_headers *headers, int64_t length)
{
	(void)fetch, (void)status, (void)headers, (void)length;
}

static void
on_data(struct sl_fetch *fetch, struct sl_slice bytes)
{
	(void)fetch, (void)bytes;
}

static void
next(struct sl_fetch *fetch)
{
	if (left > 0)
		start(fetch);
	else if (--running == 0)
		sl_loop_stop(loop);
}

static void
on_end(struct sl_fetch *fetch, const struct sl_headers *trailers)
{
	(void)trailers;
	next(fetch);
}

static void
on_fail(struct sl_fetch *fetch, const struct sl_fetch_error *error)
{
	(void)error;
	failed++;
	next(fetch);
}

static const struct sl_fetch_ops ops = { on_head, on_data, on_end, on_fail };

static void
start(struct sl_fetch *fetch)
{
	static char text[500];
	static struct sl_slice body = { text, sizeof(text) };
	static const struct sl_header headers[] = {
		{ { "content-type", 12 }, { "application/json", 16 } },
		{ { "authorization", 13 }, { "Bearer 0123456789", 17 } },
		{ { "accept", 6 }, { "*/*", 3 } },
	};
	struct sl_fetch_request request = { .method = SL_SLICE("POST"),
		                            .target = SL_SLICE("/v1/chat/completions"),
		                            .headers = headers,
		                            .header_count = 3,
		                            .body = &body,
		                            .body_count = 1 };

	left--;
	fetch->ops = &ops;
	if (sl_fetch_start(client, &origin, fetch, &request) != SL_OK)
		abort();
}

static double
cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

int
main(int argc, char **argv)
{
	long total = argc > 1 ? atol(argv[1]) : 200000, concurrent = argc > 2 ? atol(argv[2]) : 16;
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	struct sl_io listener = { .on_ready = on_accept };
	struct sl_fetch *fetches;
	struct sl_client_stats stats;
	uint64_t begin_ns;
	double begin_us;

	if (total < 1 || concurrent < 1 || concurrent > 1000)
		return 2;
	left = total;
	running = concurrent;
	loop = sl_loop_new(0);
	client = sl_client_new(loop);
	fetches = calloc((size_t)concurrent, sizeof(*fetches));
	listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (!client || !fetches || bind(listener.fd, (struct sockaddr *)&address, size) < 0 ||
	    listen(listener.fd, 1024) < 0 ||
	    getsockname(listener.fd, (struct sockaddr *)&address, &size) < 0 ||
	    sl_loop_add(loop, &listener, EPOLLIN) != SL_OK)
		return 1;
	origin = (struct sl_origin){ .host = SL_SLICE("127.0.0.1"),
		                     .port = ntohs(address.sin_port),
		                     .host_is_literal = true,
		                     .identity = SL_SLICE("bench"),
		                     .timeouts = { 5000, 5000, 5000, 0 } };
	begin_ns = sl_clock_mono_ns();
	begin_us = cpu_us();
	for (long i = 0; i < concurrent; i++)
		start(&fetches[i]);
	sl_loop_run(loop);
	sl_client_stats(client, &stats);
	printf("%ld fetches, %ld failed, %llu connections: %.0f/s, %.2f us CPU each, both ends\n",
	       total, failed, (unsigned long long)stats.opened,
	       (double)total / ((double)(sl_clock_mono_ns() - begin_ns) / 1e9),
	       (cpu_us() - begin_us) / (double)total);
	sl_client_free(client);
	sl_loop_free(loop);
	free(fetches);
	return failed ? 1 : 0;
}

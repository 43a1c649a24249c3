/* load.c - the load generator: requests, streams, first answer.
 *
 *   load requests --to ADDRESS:PORT [options]   keep-alive connections, one request
 *                                               after the other; with --rate from a
 *                                               schedule, whose times count
 *   load streams  --to ADDRESS:PORT [options]   many concurrent event streams
 *   load first    --to ADDRESS:PORT -- COMMAND  exec of COMMAND to its first 200
 *
 * One thread, one epoll. Prints one JSON object. CPU and memory of the process
 * given with --watch are read at the edges of the measured window. Latency under
 * --rate counts from when a request was due, so a proxy that stalls cannot hide
 * it by delaying the requests behind (coordinated omission).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "histogram.h"
#include "stream.h"
#include "watch.h"

enum { READ_SIZE = 256 * 1024, EVENTS = 512 };

static struct {
	struct sockaddr_in to;
	const char *key, *path, *model;
	size_t      connections, body_bytes, requests;
	double      seconds, warm_s, rate;
	size_t      streams, chunks, event_bytes;
	unsigned    chunk_ms;
	double      ramp_s;
	int         watched;
	char      **command;
} options = {
	.key = "none", .path = "/v1/chat/completions", .model = "bench",
	.connections = 64, .body_bytes = 504, .seconds = 2, .warm_s = 0.3,
	.streams = 100, .chunks = 10, .event_bytes = 227, .chunk_ms = 1000, .ramp_s = 2,
};

struct conn {
	int           fd;
	size_t        unsent;     /* of the request, from its end */
	bool          busy, connected;
	uint64_t      due_ns;     /* when the request was to be sent */
	uint64_t      sent_ns;
	char          head[4096]; /* of the reply, as far as it came */
	size_t        head_len;
	int64_t       body_left;  /* -1: head not complete */
	struct stream stream;
};

static int              epoll_fd;
static char            *request;
static size_t           request_len;
static char             read_buffer[READ_SIZE];
static struct conn     *conns;
static size_t           error_count;
static struct histogram latency, lag, first_byte;
static struct watch_cpu cpu_from, cpu_to;

/* --- the request ---------------------------------------------------------------- */

/* A chat request of about body_bytes with the fields that clients send. */
static void
build_request(bool streamed)
{
	char *body = malloc(options.body_bytes + 1024), how[128] = "";
	size_t len, room;

	request = malloc(options.body_bytes + 4096);
	if (!body || !request)
		die("malloc");
	len = (size_t)sprintf(body, "{\"model\":\"%s\",\"temperature\":0.7,\"max_tokens\":256,%s"
	                      "\"messages\":[{\"role\":\"system\",\"content\":\"You are a helpful "
	                      "assistant.\"},{\"role\":\"user\",\"content\":\"", options.model,
	                      streamed ? "\"stream\":true,\"stream_options\":{\"include_usage\":true}," : "");
	room = options.body_bytes > len + 4 ? options.body_bytes - len - 4 : 0;
	for (size_t i = 0; i < room; i++)
		body[len++] = "Say something about the sea, the wind and what they do. "[i % 56];
	len += (size_t)sprintf(body + len, "\"}]}");
	if (streamed)
		snprintf(how, sizeof(how), "x-mock: chunks=%zu, chunk_ms=%u, size=%zu\r\n",
		         options.chunks, options.chunk_ms, options.event_bytes);
	request_len = (size_t)sprintf(request,
	    "POST %s HTTP/1.1\r\nhost: bench.local:8080\r\nauthorization: Bearer %s\r\n"
	    "user-agent: OpenAI/Python 1.99.0\r\naccept: application/json\r\n"
	    "accept-encoding: identity\r\nx-stainless-lang: python\r\nx-stainless-os: Linux\r\n"
	    "x-stainless-arch: x64\r\nx-stainless-runtime: CPython\r\n"
	    "x-stainless-runtime-version: 3.11.2\r\nx-stainless-retry-count: 0\r\n%s"
	    "content-type: application/json\r\ncontent-length: %zu\r\n\r\n",
	    options.path, options.key, how, len);
	memcpy(request + request_len, body, len);
	request_len += len;
	free(body);
}

/* --- connections ------------------------------------------------------------------- */

static void
control(struct conn *conn, int op, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = conn };

	if (epoll_ctl(epoll_fd, op, conn->fd, &event) < 0)
		die("epoll_ctl");
}

/* Non-blocking: EPOLLOUT tells that it is connected. */
static void
open_conn(struct conn *conn)
{
	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0)
		die("socket");
	no_delay(conn->fd);
	if (connect(conn->fd, (struct sockaddr *)&options.to, sizeof(options.to)) < 0 &&
	    errno != EINPROGRESS)
		die("connect");
	conn->connected = false;
	control(conn, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

/* Reset instead of a handshake: tens of thousands of ports would stay taken. */
static void
close_conn(struct conn *conn)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	if (conn->fd < 0)
		return;
	setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(conn->fd);
	conn->fd = -1;
	conn->busy = false;
}

static bool
push(struct conn *conn)
{
	bool waited = conn->unsent < request_len;
	ssize_t put = send(conn->fd, request + request_len - conn->unsent, conn->unsent,
	                   MSG_NOSIGNAL);

	if (put < 0 && errno != EAGAIN)
		return false;
	conn->unsent -= put > 0 ? (size_t)put : 0;
	if (conn->unsent > 0)
		control(conn, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
	else if (waited)
		control(conn, EPOLL_CTL_MOD, EPOLLIN);
	return true;
}

static bool
begin_request(struct conn *conn, uint64_t due_ns)
{
	conn->busy = true;
	conn->due_ns = due_ns;
	conn->unsent = request_len;
	conn->head_len = 0;
	conn->body_left = -1;
	return push(conn);
}

/* Takes head bytes; *bytes moves behind them. False: not a 200. The body's length
 * is left in body_left, INT64_MAX for a chunked one. */
static bool
take_head(struct conn *conn, char **bytes, size_t *len)
{
	size_t room = sizeof(conn->head) - 1 - conn->head_len;
	size_t took = *len < room ? *len : room;
	const char *end, *field;
	size_t head_len;

	memcpy(conn->head + conn->head_len, *bytes, took);
	conn->head[conn->head_len + took] = '\0';
	end = strstr(conn->head, "\r\n\r\n");
	if (!end) {
		conn->head_len += took;
		*bytes += took;
		*len -= took;
		return *len == 0;
	}
	head_len = (size_t)(end + 4 - conn->head);
	*bytes += head_len - conn->head_len;
	*len -= head_len - conn->head_len;
	conn->head[head_len] = '\0';
	conn->head_len = head_len;
	if (memcmp(conn->head, "HTTP/1.1 200", 12) != 0)
		return false;
	field = strcasestr(conn->head, "\r\ncontent-length:");
	if (field)
		conn->body_left = (int64_t)strtoull(field + 17, NULL, 10);
	else if (strcasestr(conn->head, "\r\ntransfer-encoding: chunked"))
		conn->body_left = INT64_MAX;
	return conn->body_left > 0;
}

static void
explain(const struct conn *conn, const char *what)
{
	if (error_count++ < 3)
		fprintf(stderr, "load: %s: %.300s\n", what, conn->head_len || conn->body_left >= 0
		                                               ? conn->head : "no reply");
}

static void
print_cpu(double per, const char *unit)
{
	uint64_t all_ns, busiest_ns;

	watch_compare(&cpu_from, &cpu_to, &all_ns, &busiest_ns);
	printf("\"cpu_us_per_%s\": %.3f, \"loop_us_per_%s\": %.3f, ", unit,
	       (double)all_ns / 1e3 / per, unit, (double)busiest_ns / 1e3 / per);
}

static void
wait_events(struct epoll_event *events, int *count, uint64_t until_ns)
{
	uint64_t now_ns = sl_clock_mono_ns();
	uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	struct timespec timeout = { (time_t)(left_ns / 1000000000), (long)(left_ns % 1000000000) };

	*count = epoll_pwait2(epoll_fd, events, EVENTS, &timeout, NULL);
}

/* --- requests ------------------------------------------------------------------------ */

static struct {
	uint64_t begin_ns, end_ns; /* measured window */
	uint64_t next_due_ns, gap_ns;
	size_t   done, in_window;
	bool     measuring, scheduled;
} run;

static void
fail_request(struct conn *conn, const char *what)
{
	explain(conn, what);
	if (error_count > options.connections * 2 + 100) {
		fprintf(stderr, "load: too many errors\n");
		exit(1);
	}
	close_conn(conn);
	open_conn(conn);
}

static void
finish_request(struct conn *conn, uint64_t now_ns)
{
	conn->busy = false;
	run.done++;
	if (run.measuring && now_ns < run.end_ns) {
		run.in_window++;
		histogram_add(&latency, now_ns - conn->due_ns);
	}
	if (!run.scheduled && !begin_request(conn, now_ns))
		fail_request(conn, "connection lost");
}

static void
on_reply(struct conn *conn)
{
	ssize_t got = recv(conn->fd, read_buffer, READ_SIZE, 0);
	char *bytes = read_buffer;
	size_t len = (size_t)got;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0 || !conn->busy) {
		fail_request(conn, got <= 0 ? "connection closed" : "unasked bytes");
		return;
	}
	if (conn->body_left < 0 && !take_head(conn, &bytes, &len)) {
		fail_request(conn, "not a 200");
		return;
	}
	if (conn->body_left < 0)
		return;
	if ((int64_t)len > conn->body_left || conn->body_left == INT64_MAX) {
		fail_request(conn, "not the declared length");
		return;
	}
	conn->body_left -= (int64_t)len;
	if (conn->body_left == 0)
		finish_request(conn, sl_clock_mono_ns());
}

/* Gives due requests to idle connections; those beyond wait for one. */
static void
run_schedule(uint64_t now_ns)
{
	static size_t turn;

	for (size_t tried = 0; run.next_due_ns <= now_ns && tried < options.connections;) {
		struct conn *conn = &conns[turn++ % options.connections];

		if (conn->busy || !conn->connected) {
			tried++;
			continue;
		}
		if (!begin_request(conn, run.next_due_ns))
			fail_request(conn, "connection lost");
		run.next_due_ns += run.gap_ns;
		tried = 0;
	}
}

static void
on_request_event(struct conn *conn, uint32_t events)
{
	if (events & EPOLLOUT && !conn->connected) {
		conn->connected = true;
		control(conn, EPOLL_CTL_MOD, EPOLLIN);
		if (!run.scheduled && !begin_request(conn, sl_clock_mono_ns()))
			fail_request(conn, "connection lost");
	} else if (events & EPOLLOUT && conn->unsent > 0 && !push(conn)) {
		fail_request(conn, "connection lost");
		return;
	}
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		on_reply(conn);
}

static bool
requests_left(uint64_t now_ns)
{
	return options.requests ? run.done < options.requests : now_ns < run.end_ns;
}

static void
run_requests(void)
{
	struct epoll_event events[EVENTS];
	uint64_t now_ns = sl_clock_mono_ns();
	int count;

	run.scheduled = options.rate > 0;
	run.gap_ns = run.scheduled ? (uint64_t)(1e9 / options.rate) : 0;
	run.next_due_ns = now_ns + 50000000;
	run.begin_ns = now_ns + (uint64_t)(options.warm_s * 1e9);
	run.end_ns = options.requests ? UINT64_MAX
	                              : run.begin_ns + (uint64_t)(options.seconds * 1e9);
	for (size_t i = 0; i < options.connections; i++)
		open_conn(&conns[i]);
	while (requests_left(now_ns)) {
		uint64_t until_ns = run.measuring ? run.end_ns : run.begin_ns;

		/* When every connection is busy only a reply helps: polling would
		 * take the core from the upstream. */
		if (run.scheduled && run.next_due_ns > now_ns && run.next_due_ns < until_ns)
			until_ns = run.next_due_ns;
		if (until_ns > now_ns + 1000000000)
			until_ns = now_ns + 1000000000;
		wait_events(events, &count, until_ns);
		now_ns = sl_clock_mono_ns();
		if (!run.measuring && now_ns >= run.begin_ns) {
			watch_read_cpu(options.watched, &cpu_from);
			run.begin_ns = sl_clock_mono_ns();
			run.measuring = true;
		}
		for (int i = 0; i < count; i++)
			on_request_event(events[i].data.ptr, events[i].events);
		if (run.scheduled)
			run_schedule(now_ns);
	}
	watch_read_cpu(options.watched, &cpu_to);
	printf("{\"requests\": %zu, \"errors\": %zu, ", run.in_window, error_count);
	print_cpu((double)(run.in_window ? run.in_window : 1), "request");
	printf("\"per_s\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, "
	       "\"private_bytes\": %llu}\n",
	       (double)run.in_window * 1e9 / (double)(now_ns - run.begin_ns),
	       histogram_us(&latency, 0.5), histogram_us(&latency, 0.99),
	       (double)latency.max_ns / 1e3,
	       (unsigned long long)watch_private_bytes(options.watched));
}

/* --- streams ------------------------------------------------------------------------- */

static struct {
	size_t   opened, ended, good;
	bool     measuring, measured;
	uint64_t window_ns;
} flow;

static void
end_stream(struct conn *conn, const char *problem)
{
	if (problem)
		explain(conn, problem);
	else
		flow.good++;
	flow.ended++;
	close_conn(conn);
}

static void
on_stream_bytes(struct conn *conn, uint64_t now_ns)
{
	ssize_t got = recv(conn->fd, read_buffer, READ_SIZE, 0);
	char *bytes = read_buffer;
	size_t len = (size_t)got;
	enum stream_state state;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		end_stream(conn, "stream cut");
		return;
	}
	if (conn->sent_ns) {
		histogram_add(&first_byte, now_ns - conn->sent_ns);
		conn->sent_ns = 0;
	}
	if (conn->body_left < 0 && !take_head(conn, &bytes, &len)) {
		end_stream(conn, "not a 200");
		return;
	}
	if (conn->body_left < 0)
		return;
	state = stream_take(&conn->stream, bytes, len, flow.measuring ? &lag : NULL);
	if (state == STREAM_BROKEN)
		end_stream(conn, conn->stream.problem);
	else if (state == STREAM_ENDED)
		end_stream(conn, conn->stream.next_event == options.chunks ? NULL : "events lost");
}

static void
on_stream_event(struct conn *conn, uint32_t events)
{
	if (events & EPOLLOUT && !conn->connected) {
		conn->connected = true;
		conn->sent_ns = sl_clock_mono_ns();
		control(conn, EPOLL_CTL_MOD, EPOLLIN);
		if (!begin_request(conn, conn->sent_ns)) {
			end_stream(conn, "connection lost");
			return;
		}
	} else if (events & EPOLLOUT && conn->unsent > 0 && !push(conn)) {
		end_stream(conn, "connection lost");
		return;
	}
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP) && conn->fd >= 0)
		on_stream_bytes(conn, sl_clock_mono_ns());
}

/* The window lies between the ramp, with a second to settle, and the time when
 * the first streams end. */
static void
run_streams(void)
{
	struct epoll_event events[EVENTS];
	uint64_t start_ns = sl_clock_mono_ns(), now_ns = start_ns;
	uint64_t gap_ns = (uint64_t)(options.ramp_s * 1e9 / (double)options.streams);
	uint64_t length_ns = (uint64_t)options.chunks * options.chunk_ms * 1000000;
	uint64_t from_ns = start_ns + (uint64_t)(options.ramp_s * 1e9) + 1000000000;
	uint64_t to_ns = start_ns + length_ns - 200000000;
	uint64_t give_up_ns = start_ns + (uint64_t)(options.ramp_s * 1e9) + length_ns + 10000000000;
	uint64_t memory_before = watch_private_bytes(options.watched), memory = 0;
	int count;

	while (flow.ended < options.streams && now_ns < give_up_ns) {
		uint64_t next_ns = start_ns + gap_ns * flow.opened;

		wait_events(events, &count, flow.opened < options.streams ? next_ns
		                                                          : now_ns + 20000000);
		for (int i = 0; i < count; i++)
			on_stream_event(events[i].data.ptr, events[i].events);
		now_ns = sl_clock_mono_ns();
		while (flow.opened < options.streams && now_ns >= start_ns + gap_ns * flow.opened) {
			stream_init(&conns[flow.opened].stream, options.event_bytes);
			open_conn(&conns[flow.opened++]);
		}
		if (!flow.measured && !flow.measuring && now_ns >= from_ns && now_ns < to_ns) {
			watch_read_cpu(options.watched, &cpu_from);
			flow.measuring = true;
			flow.window_ns = sl_clock_mono_ns();
		} else if (flow.measuring && now_ns >= to_ns) {
			watch_read_cpu(options.watched, &cpu_to);
			memory = watch_private_bytes(options.watched);
			flow.measuring = false;
			flow.measured = true;
			flow.window_ns = sl_clock_mono_ns() - flow.window_ns;
		}
	}
	printf("{\"streams\": %zu, \"good\": %zu, \"errors\": %zu, \"unfinished\": %zu, ",
	       options.streams, flow.good, error_count, options.streams - flow.ended);
	print_cpu((double)(lag.count ? lag.count : 1), "event");
	printf("\"events_per_s\": %.0f, \"lag_p50_us\": %.1f, \"lag_p99_us\": %.1f, "
	       "\"lag_p999_us\": %.1f, \"lag_max_us\": %.1f, \"ttfb_p50_us\": %.1f, "
	       "\"ttfb_p99_us\": %.1f, ",
	       (double)lag.count * 1e9 / (double)(flow.window_ns ? flow.window_ns : 1),
	       histogram_us(&lag, 0.5), histogram_us(&lag, 0.99), histogram_us(&lag, 0.999),
	       (double)lag.max_ns / 1e3, histogram_us(&first_byte, 0.5),
	       histogram_us(&first_byte, 0.99));
	/* Sluice lets only root look into its memory. */
	if (memory && memory_before)
		printf("\"bytes_per_stream\": %.0f}\n",
		       ((double)memory - (double)memory_before) / (double)options.streams);
	else
		printf("\"bytes_per_stream\": null}\n");
}

/* --- first answer -------------------------------------------------------------------- */

static bool
asks_once(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = { .tv_sec = 2 };
	bool good = false;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&options.to, sizeof(options.to)) == 0 &&
	    send(fd, request, request_len, MSG_NOSIGNAL) == (ssize_t)request_len)
		good = recv(fd, read_buffer, READ_SIZE, 0) > 12 &&
		       memcmp(read_buffer, "HTTP/1.1 200", 12) == 0;
	close(fd);
	return good;
}

static void
run_first(void)
{
	uint64_t start_ns = sl_clock_mono_ns(), took_ns = 0;
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child == 0) {
		execvp(options.command[0], options.command);
		die(options.command[0]);
	}
	while (took_ns < 20000000000 && !asks_once()) {
		usleep(500);
		took_ns = sl_clock_mono_ns() - start_ns;
		if (waitpid(child, NULL, WNOHANG) == child) {
			fprintf(stderr, "load: the command ended\n");
			exit(1);
		}
	}
	took_ns = sl_clock_mono_ns() - start_ns;
	usleep(300000);
	printf("{\"first_ms\": %.2f, \"private_bytes\": %llu}\n", (double)took_ns / 1e6,
	       (unsigned long long)watch_private_bytes(child));
	kill(child, SIGTERM);
	waitpid(child, NULL, 0);
}

/* --- options ------------------------------------------------------------------------- */

static void
read_options(char **args)
{
	for (; *args && strcmp(*args, "--") != 0; args += 2) {
		const char *name = args[0], *value = args[1];

		if (!value) {
			fprintf(stderr, "load: %s needs a value\n", name);
			exit(2);
		}
		if (strcmp(name, "--to") == 0)
			options.to = parse_address(value);
		else if (strcmp(name, "--key") == 0)
			options.key = value;
		else if (strcmp(name, "--path") == 0)
			options.path = value;
		else if (strcmp(name, "--model") == 0)
			options.model = value;
		else if (strcmp(name, "--connections") == 0)
			options.connections = strtoul(value, NULL, 10);
		else if (strcmp(name, "--body") == 0)
			options.body_bytes = strtoul(value, NULL, 10);
		else if (strcmp(name, "--requests") == 0)
			options.requests = strtoul(value, NULL, 10);
		else if (strcmp(name, "--seconds") == 0)
			options.seconds = atof(value);
		else if (strcmp(name, "--warm") == 0)
			options.warm_s = atof(value);
		else if (strcmp(name, "--rate") == 0)
			options.rate = atof(value);
		else if (strcmp(name, "--streams") == 0)
			options.streams = strtoul(value, NULL, 10);
		else if (strcmp(name, "--chunks") == 0)
			options.chunks = strtoul(value, NULL, 10);
		else if (strcmp(name, "--chunk-ms") == 0)
			options.chunk_ms = (unsigned)strtoul(value, NULL, 10);
		else if (strcmp(name, "--ramp") == 0)
			options.ramp_s = atof(value);
		else if (strcmp(name, "--watch") == 0)
			options.watched = atoi(value);
		else {
			fprintf(stderr, "load: unknown option %s\n", name);
			exit(2);
		}
	}
	options.command = *args ? args + 1 : args;
}

int
main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	bool streamed = strcmp(mode, "streams") == 0;
	size_t count;

	if (!streamed && strcmp(mode, "requests") != 0 && strcmp(mode, "first") != 0) {
		fprintf(stderr, "usage: load requests|streams|first --to ADDRESS:PORT ...\n");
		return 2;
	}
	read_options(argv + 2);
	raise_fd_limit();
	prctl(PR_SET_TIMERSLACK, 1UL);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	build_request(streamed);
	count = streamed ? options.streams : options.connections;
	conns = calloc(count, sizeof(*conns));
	if (!conns || epoll_fd < 0)
		die("start");
	for (size_t i = 0; i < count; i++)
		conns[i].fd = -1;
	if (streamed)
		run_streams();
	else if (mode[0] == 'r')
		run_requests();
	else
		run_first();
	return 0;
}

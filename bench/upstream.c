/* upstream.c - the cheapest possible provider, for measuring what stands before it.
 *
 *   upstream PORT [REPLY_BYTES]
 *
 * One thread, two system calls per request. Answers every request with a chat
 * completion of REPLY_BYTES (700), or, when its head has a field
 *
 *   x-mock: chunks=50, chunk_ms=20, size=227
 *
 * with a stream of that many events, each written by a call of its own and
 * stamped with the time of that call. The pace is kept from the first event on,
 * so a slow turn does not shift what follows. `sluice mock` is the friendly
 * version of this; it costs more and has no stamps.
 */
#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/list.h"
#include "bench.h"

enum {
	HEAD_MAX = 16 * 1024,
	READ_SIZE = 256 * 1024,
	SLOTS = 8192, /* of 1 ms: the longest chunk_ms */
};

struct conn {
	int      fd;
	size_t   head_len;       /* of an incomplete head in `head` */
	char    *head;           /* HEAD_MAX bytes */
	size_t   body_left;
	bool     streaming;
	uint32_t event_size, event_count, next_event, interval_ms;
	uint64_t next_due_ms;
	char    *unsent;         /* rest of a short write */
	size_t   unsent_len;
	struct sl_list due;      /* in wheel[] while paced */
};

static struct sl_list wheel[SLOTS];
static uint64_t       swept_ms;
static size_t         paced_count;
static int            epoll_fd;
static char           reply[256 * 1024];
static size_t         reply_len;
static char           read_buffer[READ_SIZE];

static void
close_conn(struct conn *conn)
{
	if (conn->due.next != &conn->due)
		paced_count--;
	sl_list_remove(&conn->due);
	close(conn->fd);
	free(conn->head);
	free(conn->unsent);
	free(conn);
}

static void
watch(struct conn *conn, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = conn };

	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
}

/* False: the peer is gone. */
static bool
send_bytes(struct conn *conn, const char *bytes, size_t len)
{
	ssize_t put = send(conn->fd, bytes, len, MSG_NOSIGNAL);

	if (put < 0 && errno != EAGAIN)
		return false;
	if (put < 0)
		put = 0;
	if ((size_t)put == len)
		return true;
	conn->unsent_len = len - (size_t)put;
	conn->unsent = malloc(conn->unsent_len);
	if (!conn->unsent)
		die("malloc");
	memcpy(conn->unsent, bytes + put, conn->unsent_len);
	watch(conn, EPOLLIN | EPOLLOUT);
	return true;
}

/* Every event that is due now, one write each. */
static bool
send_events(struct conn *conn, uint64_t now_ms)
{
	char chunk[EVENT_MAX + 64];

	while (conn->next_event < conn->event_count && !conn->unsent) {
		int head;

		if (conn->interval_ms && conn->next_due_ms > now_ms)
			break;
		head = snprintf(chunk, sizeof(chunk), "%x\r\n", conn->event_size);
		event_template(chunk + head, conn->event_size);
		event_stamp(chunk + head, sl_clock_mono_ns(), conn->next_event++);
		memcpy(chunk + head + conn->event_size, "\r\n", 2);
		conn->next_due_ms += conn->interval_ms;
		if (!send_bytes(conn, chunk, (size_t)head + conn->event_size + 2))
			return false;
	}
	if (conn->unsent)
		return true; /* goes on when it is written */
	if (conn->next_event == conn->event_count) {
		int len = snprintf(chunk, sizeof(chunk), "%zx\r\n" EVENT_END "\r\n0\r\n\r\n",
		                   sizeof(EVENT_END) - 1);

		conn->streaming = false;
		return send_bytes(conn, chunk, (size_t)len);
	}
	sl_list_push_back(&wheel[conn->next_due_ms % SLOTS], &conn->due);
	paced_count++;
	return true;
}

static uint32_t
number_after(const char *text, const char *name, uint32_t otherwise)
{
	const char *at = strstr(text, name);

	return at ? (uint32_t)strtoul(at + strlen(name), NULL, 10) : otherwise;
}

/* What a complete head (text) asks for; returns the length of its body. */
static size_t
read_head(struct conn *conn, const char *head)
{
	const char *length = strcasestr(head, "\r\ncontent-length:");
	const char *how = strcasestr(head, "\r\nx-mock:");

	conn->streaming = how != NULL;
	if (how) {
		conn->event_count = number_after(how, "chunks=", 16);
		conn->interval_ms = number_after(how, "chunk_ms=", 0) % SLOTS;
		conn->event_size = number_after(how, "size=", 227);
		if (conn->event_size < EVENT_MIN || conn->event_size > EVENT_MAX)
			conn->event_size = EVENT_MIN;
	}
	return length ? strtoul(length + 17, NULL, 10) : 0;
}

static bool
answer(struct conn *conn)
{
	static const char head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
	                           "cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

	if (!conn->streaming)
		return send_bytes(conn, reply, reply_len);
	conn->next_event = 0;
	conn->next_due_ms = sl_clock_mono_ns() / 1000000;
	return send_bytes(conn, head, sizeof(head) - 1) && send_events(conn, conn->next_due_ms);
}

/* The bytes of one read; one more byte of room is behind them. Proxies do not
 * pipeline, so requests come one by one. False: not what we understand. */
static bool
take(struct conn *conn, char *bytes, size_t len)
{
	size_t head_len, body_len;
	char *end;

	if (conn->body_left > 0) {
		if (len > conn->body_left)
			return false;
		conn->body_left -= len;
		return conn->body_left > 0 || answer(conn);
	}
	if (conn->head_len + len >= HEAD_MAX && conn->head_len > 0)
		return false;
	if (conn->head_len > 0) {
		memcpy(conn->head + conn->head_len, bytes, len);
		bytes = conn->head;
		len += conn->head_len;
	}
	bytes[len] = '\0';
	end = strstr(bytes, "\r\n\r\n");
	if (!end) {
		if (!conn->head && !(conn->head = malloc(HEAD_MAX)))
			die("malloc");
		if (len < HEAD_MAX)
			memmove(conn->head, bytes, len);
		conn->head_len = len;
		return len < HEAD_MAX;
	}
	head_len = (size_t)(end + 4 - bytes);
	end[2] = '\0';
	body_len = read_head(conn, bytes);
	conn->head_len = 0;
	if (len - head_len > body_len)
		return false;
	conn->body_left = body_len - (len - head_len);
	return conn->body_left > 0 || answer(conn);
}

static bool
flush(struct conn *conn)
{
	char *bytes = conn->unsent;
	bool alive;

	conn->unsent = NULL;
	alive = send_bytes(conn, bytes, conn->unsent_len);
	free(bytes);
	if (!alive || conn->unsent)
		return alive;
	watch(conn, EPOLLIN);
	return !conn->streaming || send_events(conn, sl_clock_mono_ns() / 1000000);
}

static void
on_ready(struct conn *conn, uint32_t events)
{
	bool alive = true;

	if (events & EPOLLOUT && conn->unsent)
		alive = flush(conn);
	if (alive && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		ssize_t got = recv(conn->fd, read_buffer, READ_SIZE - 1, 0);

		if (got > 0)
			alive = take(conn, read_buffer, (size_t)got);
		else
			alive = got < 0 && errno == EAGAIN;
	}
	if (!alive)
		close_conn(conn);
}

static void
accept_all(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *conn = calloc(1, sizeof(*conn));
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = conn };

		if (!conn)
			die("calloc");
		no_delay(fd);
		conn->fd = fd;
		sl_list_init(&conn->due);
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
	}
}

static void
run_wheel(uint64_t now_ms)
{
	for (; swept_ms < now_ms; swept_ms++) {
		struct sl_list *slot = &wheel[(swept_ms + 1) % SLOTS];

		while (!sl_list_empty(slot)) {
			struct conn *conn = SL_CONTAINER(slot->next, struct conn, due);

			sl_list_remove(&conn->due);
			paced_count--;
			if (!send_events(conn, now_ms))
				close_conn(conn);
		}
	}
}

static void
build_reply(size_t size)
{
	static const char head[] = "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\","
	                           "\"created\":1,\"model\":\"bench\",\"choices\":[{\"index\":0,"
	                           "\"message\":{\"role\":\"assistant\",\"content\":\"";
	static const char tail[] = "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":100,"
	                           "\"completion_tokens\":50,\"total_tokens\":150}}";
	int at;

	if (size < sizeof(head) + sizeof(tail))
		size = sizeof(head) + sizeof(tail);
	if (size > sizeof(reply) - 256)
		size = sizeof(reply) - 256;
	at = snprintf(reply, sizeof(reply), "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
	              "content-length: %zu\r\n\r\n", size);
	reply_len = (size_t)at + size;
	memset(reply + at, '.', size);
	memcpy(reply + at, head, sizeof(head) - 1);
	memcpy(reply + reply_len - (sizeof(tail) - 1), tail, sizeof(tail) - 1);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event events[512], first = { .events = EPOLLIN };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (argc < 2) {
		fprintf(stderr, "usage: upstream PORT [REPLY_BYTES]\n");
		return 2;
	}
	raise_fd_limit();
	build_reply(argc > 2 ? strtoul(argv[2], NULL, 10) : 700);
	for (size_t i = 0; i < SLOTS; i++)
		sl_list_init(&wheel[i]);
	swept_ms = sl_clock_mono_ns() / 1000000;
	address.sin_port = htons((uint16_t)atoi(argv[1]));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 4096) < 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &first) < 0)
		die("listen");
	for (;;) {
		int count = epoll_wait(epoll_fd, events, 512, paced_count ? 1 : 1000);

		for (int i = 0; i < count; i++)
			if (events[i].data.ptr)
				on_ready(events[i].data.ptr, events[i].events);
			else
				accept_all(listener);
		run_wheel(sl_clock_mono_ns() / 1000000);
	}
}

/* server.c - listeners, and connections until their protocol is known.
 *
 * Every loop opens its own listening socket on the same address (SO_REUSEPORT),
 * so the kernel spreads connections and no lock is shared. Accepting pauses when
 * the process holds limits.connections connections or has no descriptor left;
 * it resumes when a connection of this loop closes, or after ACCEPT_RETRY_MS,
 * because the descriptor may come back elsewhere.
 *
 * A connection's bytes decide its protocol: ALPN over TLS, and on cleartext the
 * HTTP/2 preface, whose start is no HTTP/1 request. Start reading at on_ready;
 * the states of a connection are drawn in server_internal.h.
 */
#include "net/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/compiler.h"
#include "net/server_internal.h"

enum {
	ACCEPT_RETRY_MS = 100,
	ACCEPT_BATCH = 32,     /* per turn, so that connections get their turn too */
	BACKLOG = 4096,
	DRAIN_SILENCE_MS = 500, /* a new connection may still be about to speak */
	KEEPALIVE_IDLE_S = 30, /* a dead peer is noticed after 30 + 3 * 10 s */
	KEEPALIVE_PROBE_S = 10,
	KEEPALIVE_PROBES = 3,
};

static const char h2_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct listener {
	struct sl_io           io;
	struct sl_list         node;
	struct sl_server      *server;
	struct sl_tls_context *tls;
};

/* The limit on connections is the process's, not a loop's. */
static atomic_size_t open_connections;

/* --- connections --------------------------------------------------------------- */

/* What TLS reads of the socket is not what its owner reads of it. */
static uint32_t
edge_of(const struct sl_conn *conn)
{
	return conn->sock.ssl ? 0 : EPOLLET;
}

/* TLS may need the other direction to make progress in this one. */
static void
update_events(struct sl_conn *conn)
{
	uint32_t events = EPOLLRDHUP | edge_of(conn);

	if (!conn->paused || (conn->blocked && conn->sock.wants_read))
		events |= EPOLLIN;
	if (conn->blocked || conn->sock.wants_write)
		events |= EPOLLOUT;
	sl_loop_change(conn->server->loop, &conn->io, events);
}

static void resume_accepting(struct sl_server *server);

static void
release_out(struct sl_conn *conn)
{
	struct sl_server *server = conn->server;

	conn->out_sent = 0;
	if (!conn->out.ptr || server->spare_count == SL_SPARES || conn->out.cap > SL_SPARE_MAX) {
		sl_buf_release(&conn->out);
		return;
	}
	server->spare_out[server->spare_count++] = conn->out;
	sl_buf_init(&conn->out, SL_OUT_MAX);
}

static void
free_conn(struct sl_conn *conn)
{
	struct sl_server *server = conn->server;

	if (conn->ops)
		conn->ops->end(conn);
	sl_list_remove(&conn->node);
	server->conn_count--;
	free(conn);
}

static void
run_conn_task(struct sl_task *task)
{
	struct sl_conn *conn = SL_CONTAINER(task, struct sl_conn, task);

	conn->task_queued = false;
	if (conn->phase != SL_CONN_DEAD && conn->ops)
		conn->ops->on_task(conn);
	if (conn->phase == SL_CONN_DEAD && !conn->task_queued)
		free_conn(conn);
}

void
sl_conn_defer(struct sl_conn *conn)
{
	if (conn->task_queued)
		return;
	conn->task_queued = true;
	sl_loop_defer(conn->server->loop, &conn->task);
}

void
sl_conn_close(struct sl_conn *conn, enum sl_gone_reason why, bool reset)
{
	if (conn->phase == SL_CONN_DEAD)
		return;
	conn->phase = SL_CONN_DEAD;
	conn->gone = why;
	sl_timer_clear(&conn->timer);
	sl_timer_clear(&conn->stall_timer);
	sl_loop_remove(conn->server->loop, &conn->io);
	sl_sock_close(&conn->sock, reset);
	release_out(conn);
	atomic_fetch_sub_explicit(&open_connections, 1, memory_order_relaxed);
	resume_accepting(conn->server);
	sl_conn_defer(conn);
}

void
sl_conn_linger(struct sl_conn *conn)
{
	if (conn->phase == SL_CONN_DEAD)
		return;
	conn->phase = SL_CONN_LINGER;
	release_out(conn);
	sl_sock_shutdown(&conn->sock);
	conn->blocked = conn->paused = false;
	update_events(conn);
	sl_timer_set(conn->server->loop, &conn->timer, SL_LINGER_MS);
}

void
sl_conn_pause(struct sl_conn *conn, bool paused)
{
	if (conn->paused == paused || conn->phase == SL_CONN_DEAD)
		return;
	conn->paused = paused;
	update_events(conn);
}

size_t
sl_conn_read(struct sl_conn *conn, char *into, size_t size, bool *ended)
{
	bool wanted_write = conn->sock.wants_write;
	ssize_t got = sl_sock_read(&conn->sock, into, size);

	*ended = got == 0;
	if (!conn->sock.ssl && (got == SL_AGAIN || (got > 0 && (size_t)got < size)))
		sl_loop_drained(conn->server->loop, &conn->io);
	if (wanted_write != conn->sock.wants_write)
		update_events(conn);
	if (got > 0)
		return (size_t)got;
	if (got == SL_ETLS)
		sl_conn_close(conn, SL_GONE_PROTOCOL, false);
	else if (got != 0 && got != SL_AGAIN)
		sl_conn_close(conn, SL_GONE_PEER, false);
	return 0;
}

struct sl_buf *
sl_conn_out(struct sl_conn *conn)
{
	struct sl_server *server = conn->server;

	if (!conn->out.ptr && server->spare_count > 0) {
		conn->out = server->spare_out[--server->spare_count];
		sl_buf_clear(&conn->out);
	}
	/* A slow peer must not make the buffer's sent front grow for ever. */
	if (conn->out_sent && conn->out_sent >= conn->out.len / 2) {
		sl_buf_consume(&conn->out, conn->out_sent);
		conn->out_sent = 0;
	}
	return &conn->out;
}

/* Keeps of the parts what lies behind the first `sent` bytes of them. */
static enum sl_err
keep_rest(struct sl_conn *conn, const struct iovec *parts, int count, size_t sent)
{
	struct sl_buf *out = sl_conn_out(conn);

	for (int i = 0; i < count; i++) {
		size_t size = parts[i].iov_len;

		if (sent >= size) {
			sent -= size;
			continue;
		}
		sl_buf_append(out, sl_slice_make((const char *)parts[i].iov_base + sent,
		                                 size - sent));
		sent = 0;
	}
	if (!out->failed)
		return SL_OK;
	sl_conn_close(conn, SL_GONE_ABORTED, true);
	return SL_ENOMEM;
}

static void
set_blocked(struct sl_conn *conn, bool progress)
{
	uint32_t stall_ms = conn->server->limits.write_stall_ms;

	if (stall_ms && (!conn->blocked || progress))
		sl_timer_set(conn->server->loop, &conn->stall_timer, stall_ms);
	conn->blocked = true;
	update_events(conn);
}

enum sl_err
sl_conn_send(struct sl_conn *conn, struct iovec *parts, int count)
{
	enum { PARTS_MAX = 6 };
	struct iovec all[PARTS_MAX] SL_UNINIT; /* the first `used` are read */
	size_t waiting = sl_conn_unsent(conn), total = waiting;
	int used = 0;
	ssize_t put;

	if (conn->phase == SL_CONN_DEAD)
		return SL_ECLOSED;
	if (conn->blocked || count >= PARTS_MAX)
		return keep_rest(conn, parts, count, 0);
	if (waiting)
		all[used++] = (struct iovec){ conn->out.ptr + conn->out_sent, waiting };
	for (int i = 0; i < count; i++) {
		total += parts[i].iov_len;
		all[used++] = parts[i];
	}
	if (total == 0)
		return SL_OK;
	put = sl_sock_write(&conn->sock, all, used);
	if (put < 0 && put != SL_AGAIN) {
		sl_conn_close(conn, SL_GONE_PEER, false);
		return SL_ECLOSED;
	}
	if (put < 0)
		put = 0;
	if ((size_t)put == total) {
		release_out(conn);
		return SL_OK;
	}
	if ((size_t)put < waiting) {
		conn->out_sent += (size_t)put;
		put = 0;
	} else {
		conn->out_sent += waiting;
		put -= (ssize_t)waiting;
	}
	if (keep_rest(conn, parts, count, (size_t)put) != SL_OK)
		return SL_ENOMEM;
	set_blocked(conn, true);
	return SL_OK;
}

/* The socket takes bytes again. */
static void
flush(struct sl_conn *conn)
{
	struct iovec part = { conn->out.ptr + conn->out_sent, sl_conn_unsent(conn) };
	ssize_t put = part.iov_len ? sl_sock_write(&conn->sock, &part, 1) : 0;

	if (put < 0 && put != SL_AGAIN) {
		sl_conn_close(conn, SL_GONE_PEER, false);
		return;
	}
	if (put > 0)
		conn->out_sent += (size_t)put;
	if (sl_conn_unsent(conn) > 0) {
		set_blocked(conn, put > 0);
	} else {
		conn->blocked = false;
		sl_timer_clear(&conn->stall_timer);
		release_out(conn);
		update_events(conn);
	}
	if (put >= 0 && conn->ops)
		conn->ops->on_written(conn);
}

static void
on_stall(struct sl_timer *timer)
{
	struct sl_conn *conn = SL_CONTAINER(timer, struct sl_conn, stall_timer);

	sl_conn_close(conn, SL_GONE_TIMEOUT, true);
}

static void
on_timer(struct sl_timer *timer)
{
	struct sl_conn *conn = SL_CONTAINER(timer, struct sl_conn, timer);

	if (conn->phase == SL_CONN_OPEN)
		conn->ops->on_timer(conn);
	else
		sl_conn_close(conn, SL_GONE_TIMEOUT, false);
}

/* --- which protocol ------------------------------------------------------------- */

static bool
open_protocol(struct sl_conn *conn, const struct sl_conn_ops *ops)
{
	sl_timer_clear(&conn->timer);
	if (ops->open(conn) != SL_OK) {
		sl_conn_close(conn, SL_GONE_ABORTED, true);
		return false;
	}
	conn->ops = ops;
	conn->phase = SL_CONN_OPEN;
	return true;
}

static void
shake_hands(struct sl_conn *conn)
{
	enum sl_err err = sl_tls_handshake(&conn->sock);

	if (err == SL_AGAIN) {
		update_events(conn);
		return;
	}
	if (err != SL_OK) {
		sl_conn_close(conn, SL_GONE_PROTOCOL, false);
		return;
	}
	update_events(conn);
	if (!open_protocol(conn, sl_slice_is(sl_tls_alpn(&conn->sock), "h2") ? &sl_h2_ops
	                                                                     : &sl_h1_ops))
		return;
	if (sl_sock_has_buffered(&conn->sock))
		conn->ops->on_readable(conn);
	if (conn->server->draining && conn->phase == SL_CONN_OPEN)
		conn->ops->drain(conn);
}

/* Cleartext: bytes that still agree with the preface are not kept, because they
 * are known. */
static void
read_preface(struct sl_conn *conn)
{
	char *scratch = sl_loop_scratch(conn->server->loop);
	size_t seen = conn->preface_len, same = 0, got;
	bool ended;

	/* Room in front for the known bytes, so that the protocol gets one run. */
	got = sl_conn_read(conn, scratch + seen, SL_LOOP_SCRATCH - seen, &ended);
	if (ended)
		sl_conn_close(conn, SL_GONE_PEER, false);
	if (got == 0)
		return;
	memcpy(scratch, h2_preface, seen);
	while (same < got && seen + same < sizeof(h2_preface) - 1 &&
	       scratch[seen + same] == h2_preface[seen + same])
		same++;
	if (same == got && seen + same < sizeof(h2_preface) - 1) {
		conn->preface_len = (uint8_t)(seen + same);
		return;
	}
	if (!open_protocol(conn, seen + same == sizeof(h2_preface) - 1 ? &sl_h2_ops
	                                                               : &sl_h1_ops))
		return;
	conn->ops->on_bytes(conn, sl_slice_make(scratch, seen + got));
	if (conn->server->draining && conn->phase == SL_CONN_OPEN)
		conn->ops->drain(conn);
}

static void
read_away(struct sl_conn *conn)
{
	bool ended;
	size_t got = sl_conn_read(conn, sl_loop_scratch(conn->server->loop), SL_LOOP_SCRATCH,
	                          &ended);

	(void)got;
	if (ended)
		sl_conn_close(conn, SL_GONE_DONE, false);
}

static void
read_ready(struct sl_conn *conn)
{
	switch (conn->phase) {
	case SL_CONN_HANDSHAKE:
		shake_hands(conn);
		return;
	case SL_CONN_PREFACE:
		read_preface(conn);
		return;
	case SL_CONN_LINGER:
		read_away(conn);
		return;
	case SL_CONN_DEAD:
		return;
	case SL_CONN_OPEN:
		break;
	}
	/* epoll does not see what TLS has decrypted already. */
	do
		conn->ops->on_readable(conn);
	while (conn->phase == SL_CONN_OPEN && !conn->paused &&
	       sl_sock_has_buffered(&conn->sock));
}

static void
on_ready(struct sl_io *io, uint32_t events)
{
	struct sl_conn *conn = SL_CONTAINER(io, struct sl_conn, io);

	if (conn->blocked && ((events & EPOLLOUT) || conn->sock.wants_read))
		flush(conn);
	if (conn->phase == SL_CONN_DEAD)
		return;
	/* An end is read like bytes, behind the bytes before it. */
	if (!conn->paused)
		read_ready(conn);
	else if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		conn->ops->on_hangup(conn);
}

/* --- accepting -------------------------------------------------------------------- */

static void
set_listening(struct sl_server *server, bool listening)
{
	for (struct sl_list *at = server->listeners.next; at != &server->listeners; at = at->next) {
		struct listener *listener = SL_CONTAINER(at, struct listener, node);

		sl_loop_change(server->loop, &listener->io, listening ? EPOLLIN : 0);
	}
}

static void
pause_accepting(struct sl_server *server)
{
	set_listening(server, false);
	sl_timer_set(server->loop, &server->accept_timer, ACCEPT_RETRY_MS);
}

static void
resume_accepting(struct sl_server *server)
{
	if (!sl_timer_is_set(&server->accept_timer))
		return;
	sl_timer_clear(&server->accept_timer);
	set_listening(server, true);
}

static void
on_accept_timer(struct sl_timer *timer)
{
	set_listening(SL_CONTAINER(timer, struct sl_server, accept_timer), true);
}

/* Text of an address without its port; a mapped IPv4 address as IPv4. */
static void
name_peer(struct sl_conn *conn, const struct sockaddr_storage *address)
{
	const struct sockaddr_in6 *six = (const void *)address;
	const struct sockaddr_in *four = (const void *)address;

	if (address->ss_family == AF_INET)
		inet_ntop(AF_INET, &four->sin_addr, conn->peer, sizeof(conn->peer));
	else if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
		inet_ntop(AF_INET, &six->sin6_addr.s6_addr[12], conn->peer, sizeof(conn->peer));
	else if (address->ss_family == AF_INET6)
		inet_ntop(AF_INET6, &six->sin6_addr, conn->peer, sizeof(conn->peer));
	conn->peer_len = (uint8_t)strlen(conn->peer);
}

/* Takes the descriptor over; it is closed when memory or epoll refuses. */
static void
add_conn(struct sl_server *server, struct sl_tls_context *tls, int fd,
         const struct sockaddr_storage *address)
{
	struct sl_conn *conn = calloc(1, sizeof(*conn));

	if (!conn) {
		close(fd);
		atomic_fetch_sub_explicit(&open_connections, 1, memory_order_relaxed);
		return;
	}
	conn->server = server;
	conn->sock.fd = conn->io.fd = fd;
	conn->io.on_ready = on_ready;
	conn->task.run = run_conn_task;
	conn->timer.on_due = on_timer;
	conn->stall_timer.on_due = on_stall;
	conn->phase = tls ? SL_CONN_HANDSHAKE : SL_CONN_PREFACE;
	sl_buf_init(&conn->out, SL_OUT_MAX);
	name_peer(conn, address);
	sl_list_push_back(&server->conns, &conn->node);
	server->conn_count++;
	if ((tls && sl_tls_start(tls, &conn->sock, SL_SLICE_NONE, SL_SLICE_NONE) != SL_OK) ||
	    sl_loop_add(server->loop, &conn->io, EPOLLIN | EPOLLRDHUP | edge_of(conn)) != SL_OK) {
		sl_conn_close(conn, SL_GONE_ABORTED, true);
		return;
	}
	sl_timer_set(server->loop, &conn->timer, server->limits.header_timeout_ms);
}

void
sl_server_adopt(struct sl_server *server, int fd)
{
	struct sockaddr_storage unknown = { 0 };

	atomic_fetch_add_explicit(&open_connections, 1, memory_order_relaxed);
	add_conn(server, NULL, fd, &unknown);
}

static bool
over_limit(const struct sl_server *server)
{
	size_t before = atomic_fetch_add_explicit(&open_connections, 1, memory_order_relaxed);

	if (server->limits.connections == 0 || before < server->limits.connections)
		return false;
	atomic_fetch_sub_explicit(&open_connections, 1, memory_order_relaxed);
	return true;
}

static void
on_acceptable(struct sl_io *io, uint32_t events)
{
	struct listener *listener = SL_CONTAINER(io, struct listener, io);

	(void)events;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_storage address = { 0 };
		socklen_t size = sizeof(address);
		int fd;

		if (over_limit(listener->server)) {
			pause_accepting(listener->server);
			return;
		}
		fd = accept4(io->fd, (struct sockaddr *)&address, &size,
		             SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			add_conn(listener->server, listener->tls, fd, &address);
			continue;
		}
		atomic_fetch_sub_explicit(&open_connections, 1, memory_order_relaxed);
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			pause_accepting(listener->server);
		else if (errno == ECONNABORTED || errno == EINTR)
			continue;
		return;
	}
}

/* --- listeners ---------------------------------------------------------------------- */

static void
set_option(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof(value));
}

/* Accepted sockets inherit all of these, which saves a call per connection. */
static void
set_socket_options(int fd, int family)
{
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_PROBE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
	if (family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
}

static enum sl_err
bind_error(int error)
{
	if (error == EADDRINUSE)
		return SL_EBUSY;
	if (error == EACCES || error == EPERM)
		return SL_EPOLICY;
	return error == EADDRNOTAVAIL ? SL_EINVAL : SL_EIO;
}

static struct addrinfo *
find_address(const struct sl_listen_config *config)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		                  .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	char port[8];

	snprintf(port, sizeof(port), "%u", config->port);
	return getaddrinfo(config->host, port, &hints, &found) == 0 ? found : NULL;
}

/* Without SO_REUSEPORT, bind fails when anybody listens there. */
enum sl_err
sl_server_probe(const struct sl_listen_config *config)
{
	struct addrinfo *found = find_address(config);
	enum sl_err err = SL_OK;
	int fd;

	if (!found)
		return SL_EINVAL;
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
		if (bind(fd, found->ai_addr, found->ai_addrlen) < 0)
			err = bind_error(errno);
		close(fd);
	} else {
		err = SL_EIO;
	}
	freeaddrinfo(found);
	return err;
}

static enum sl_err
open_listener(const struct sl_listen_config *config, int *out_fd, uint16_t *bound_port)
{
	struct addrinfo *found = find_address(config);
	struct sockaddr_storage bound;
	socklen_t size = sizeof(bound);
	enum sl_err err = SL_OK;
	int fd;

	if (!found)
		return SL_EINVAL;
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		freeaddrinfo(found);
		return SL_EIO;
	}
	set_socket_options(fd, found->ai_family);
	if (bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&bound, &size) < 0)
		err = bind_error(errno);
	freeaddrinfo(found);
	if (err != SL_OK) {
		close(fd);
		return err;
	}
	*bound_port = ntohs(bound.ss_family == AF_INET6
	                        ? ((const struct sockaddr_in6 *)(const void *)&bound)->sin6_port
	                        : ((const struct sockaddr_in *)(const void *)&bound)->sin_port);
	*out_fd = fd;
	return SL_OK;
}

enum sl_err
sl_server_listen(struct sl_server *server, const struct sl_listen_config *config,
                 uint16_t *bound_port)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	enum sl_err err;

	if (!listener)
		return SL_ENOMEM;
	err = open_listener(config, &listener->io.fd, bound_port);
	if (err != SL_OK) {
		free(listener);
		return err;
	}
	listener->server = server;
	listener->io.on_ready = on_acceptable;
	err = sl_loop_add(server->loop, &listener->io, EPOLLIN);
	if (err != SL_OK) {
		close(listener->io.fd);
		free(listener);
		return err;
	}
	listener->tls = sl_tls_ref(config->tls);
	sl_list_push_back(&server->listeners, &listener->node);
	return SL_OK;
}

static void
close_listeners(struct sl_server *server)
{
	sl_timer_clear(&server->accept_timer);
	while (!sl_list_empty(&server->listeners)) {
		struct listener *listener =
		    SL_CONTAINER(server->listeners.next, struct listener, node);

		sl_loop_remove(server->loop, &listener->io);
		close(listener->io.fd);
		sl_tls_unref(listener->tls);
		sl_list_remove(&listener->node);
		free(listener);
	}
}

/* --- the server ---------------------------------------------------------------------- */

struct sl_server *
sl_server_new(struct sl_loop *loop, const struct sl_server_limits *limits,
              const struct sl_server_handler *handler)
{
	struct sl_server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	server->loop = loop;
	server->limits = *limits;
	server->handler = *handler;
	server->accept_timer.on_due = on_accept_timer;
	server->date_s = -1;
	sl_list_init(&server->listeners);
	sl_list_init(&server->conns);
	return server;
}

void
sl_server_set_limits(struct sl_server *server, const struct sl_server_limits *limits)
{
	server->limits = *limits;
}

void
sl_server_drain(struct sl_server *server)
{
	struct sl_list *at, *next;

	server->draining = true;
	/* Closing a listener resets what waits in its queue. */
	for (at = server->listeners.next; at != &server->listeners; at = at->next)
		on_acceptable(&SL_CONTAINER(at, struct listener, node)->io, EPOLLIN);
	close_listeners(server);
	for (at = server->conns.next; at != &server->conns; at = next) {
		struct sl_conn *conn = SL_CONTAINER(at, struct sl_conn, node);

		next = at->next;
		if (conn->phase == SL_CONN_OPEN)
			conn->ops->drain(conn);
		else if (conn->phase == SL_CONN_PREFACE)
			sl_timer_set(server->loop, &conn->timer, DRAIN_SILENCE_MS);
	}
}

void
sl_server_free(struct sl_server *server)
{
	if (!server)
		return;
	close_listeners(server);
	while (!sl_list_empty(&server->conns)) {
		struct sl_conn *conn = SL_CONTAINER(server->conns.next, struct sl_conn, node);

		sl_conn_close(conn, SL_GONE_SHUTDOWN, false);
		sl_loop_undefer(server->loop, &conn->task);
		free_conn(conn);
	}
	sl_h1_head_free(server->spare_head);
	while (server->spare_count > 0)
		sl_buf_release(&server->spare_out[--server->spare_count]);
	free(server);
}

size_t
sl_server_exchange_count(const struct sl_server *server)
{
	return server->exchange_count;
}

size_t
sl_server_connection_count(const struct sl_server *server)
{
	return server->conn_count;
}

struct sl_slice
sl_server_date(struct sl_server *server)
{
	int64_t now_s = sl_loop_wall_ms(server->loop) / 1000;

	if (now_s != server->date_s) {
		time_t seconds = (time_t)now_s;
		struct tm utc;

		gmtime_r(&seconds, &utc);
		strftime(server->date, sizeof(server->date), "%a, %d %b %Y %H:%M:%S GMT", &utc);
		server->date_s = now_s;
	}
	return sl_slice_str(server->date);
}

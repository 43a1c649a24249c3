/* dial.c - resolve, check, connect: the one way out.
 *
 *   RESOLVE --addresses--> CONNECT --first socket writable--> done(fd)
 *      '---- failure ---------'---- all failed ------------> done(err)
 *
 * Addresses are tried in the resolver's order with the families interleaved,
 * the next one after 250 ms or as soon as the one before failed; the first to
 * connect wins and the others are closed (RFC 8305). An address that the policy
 * denies is dropped before the first packet; when no address is left, that is
 * SL_EPOLICY. A result known at once is delivered from a deferred task, so
 * the caller never sees done() inside sl_dial_start.
 */
#include "net/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/resolve.h"

enum {
	STAGGER_MS = 250,        /* RFC 8305 5 */
	/* A dead peer is noticed within 15 s; the kernel's timers are up to a tenth late. */
	USER_TIMEOUT_MS = 13000, /* unacknowledged data: the peer is dead */
	KEEPALIVE_IDLE_S = 5,    /* a silent peer is probed at 5 and 9 s and, by */
	KEEPALIVE_INTERVAL_S = 4,/* the user timeout, given up at 13 s */
	KEEPALIVE_COUNT = 2,
};

/* One address being connected. */
struct try {
	struct sl_io    io; /* fd -1: not in use */
	struct sl_dial *dial;
	size_t          index; /* of its address */
};

struct sl_dial {
	struct sl_dialer       *dialer;
	const struct sl_origin *origin;
	sl_dial_done           *done;
	void                   *context;
	struct sl_list          node;     /* dialer->dials or dialer->finished */
	struct sl_resolve       resolve;
	struct sl_timer         stagger;
	union sl_address        addresses[SL_RESOLVE_MAX];
	size_t                  count, next, open; /* open: tries under way */
	struct sl_fetch_error   error;
	int                     fd;       /* the winner */
	struct try              tries[SL_RESOLVE_MAX];
};

struct sl_dialer {
	struct sl_loop     *loop;
	struct sl_resolver *resolver;
	struct sl_list      dials;
	struct sl_list      finished; /* to be told by the task */
	struct sl_task      task;
	bool                task_pending;
};

static void
run_finished(struct sl_task *task)
{
	struct sl_dialer *dialer = SL_CONTAINER(task, struct sl_dialer, task);

	dialer->task_pending = false;
	while (!sl_list_empty(&dialer->finished)) {
		struct sl_dial *dial = SL_CONTAINER(dialer->finished.next, struct sl_dial, node);
		sl_dial_done *done = dial->done;
		void *context = dial->context;
		struct sl_fetch_error error = dial->error;
		int fd = dial->fd;

		dial->fd = -1;
		sl_dial_cancel(dial);
		done(context, fd, fd >= 0 ? NULL : &error);
	}
}

static void
close_try(struct sl_dial *dial, struct try *try)
{
	if (try->io.fd < 0)
		return;
	sl_loop_remove(dial->dialer->loop, &try->io);
	close(try->io.fd);
	try->io.fd = -1;
	dial->open--;
}

/* The result stands in dial->fd or dial->error. */
static void
finish(struct sl_dial *dial)
{
	struct sl_dialer *dialer = dial->dialer;

	sl_timer_clear(&dial->stagger);
	for (size_t i = 0; i < dial->count; i++)
		close_try(dial, &dial->tries[i]);
	sl_list_remove(&dial->node);
	sl_list_push_back(&dialer->finished, &dial->node);
	if (!dialer->task_pending) {
		dialer->task_pending = true;
		sl_loop_defer(dialer->loop, &dialer->task);
	}
}

static void
finish_failed(struct sl_dial *dial, enum sl_err err, enum sl_fetch_stage stage,
              const char *detail)
{
	dial->error.err = err;
	dial->error.stage = stage;
	snprintf(dial->error.detail, sizeof(dial->error.detail), "%.95s", detail);
	finish(dial);
}

/* --- connecting ------------------------------------------------------------------- */

static void
address_text(const union sl_address *address, char *out, size_t size)
{
	char text[INET6_ADDRSTRLEN] = "?";

	if (address->any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &address->in6.sin6_addr, text, sizeof(text));
		snprintf(out, size, "[%s]:%u", text, ntohs(address->in6.sin6_port));
	} else {
		inet_ntop(AF_INET, &address->in.sin_addr, text, sizeof(text));
		snprintf(out, size, "%s:%u", text, ntohs(address->in.sin_port));
	}
}

static void
note_failure(struct sl_dial *dial, size_t index, int error_number)
{
	char address[INET6_ADDRSTRLEN + 10];

	address_text(&dial->addresses[index], address, sizeof(address));
	dial->error.err = SL_ECONNECT;
	dial->error.stage = SL_STAGE_CONNECT;
	snprintf(dial->error.detail, sizeof(dial->error.detail), "connect to %s: %s", address,
	         strerrordesc_np(error_number) ? strerrordesc_np(error_number) : "failed");
}

static void
set_option(int fd, int level, int name, int value)
{
	/* Missing support only makes a dead peer be noticed later. */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

static int
open_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

	if (fd < 0)
		return -1;
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
	return fd;
}

static void try_next(struct sl_dial *dial);

static void
on_connect_ready(struct sl_io *io, uint32_t events)
{
	struct try *try = SL_CONTAINER(io, struct try, io);
	struct sl_dial *dial = try->dial;
	int error_number = 0;
	socklen_t size = sizeof(error_number);

	(void)events;
	if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &error_number, &size) < 0)
		error_number = errno;
	if (error_number) {
		note_failure(dial, try->index, error_number);
		close_try(dial, try);
		try_next(dial);
		return;
	}
	sl_loop_remove(dial->dialer->loop, io);
	dial->fd = io->fd;
	io->fd = -1;
	dial->open--;
	finish(dial);
}

/* Begins to connect to one address; false when that failed at once. */
static bool
begin_try(struct sl_dial *dial, size_t index)
{
	const union sl_address *address = &dial->addresses[index];
	struct try *try = &dial->tries[index];
	socklen_t size = address->any.sa_family == AF_INET6 ? sizeof(address->in6)
	                                                    : sizeof(address->in);
	int fd = open_socket(address->any.sa_family);

	if (fd < 0) {
		note_failure(dial, index, errno);
		return false;
	}
	if (connect(fd, &address->any, size) < 0 && errno != EINPROGRESS) {
		note_failure(dial, index, errno);
		close(fd);
		return false;
	}
	*try = (struct try){ .io = { .fd = fd, .on_ready = on_connect_ready },
		             .dial = dial,
		             .index = index };
	if (sl_loop_add(dial->dialer->loop, &try->io, EPOLLOUT) != SL_OK) {
		note_failure(dial, index, errno);
		close(fd);
		try->io.fd = -1;
		return false;
	}
	dial->open++;
	return true;
}

static void
try_next(struct sl_dial *dial)
{
	while (dial->next < dial->count) {
		if (begin_try(dial, dial->next++)) {
			if (dial->next < dial->count)
				sl_timer_set(dial->dialer->loop, &dial->stagger, STAGGER_MS);
			else
				sl_timer_clear(&dial->stagger);
			return;
		}
	}
	if (dial->open == 0)
		finish(dial);
}

static void
on_stagger(struct sl_timer *timer)
{
	try_next(SL_CONTAINER(timer, struct sl_dial, stagger));
}

/* --- resolving ---------------------------------------------------------------------- */

/* Takes over the allowed addresses, families in turn, first family first. */
static void
take_addresses(struct sl_dial *dial, const union sl_address *from, size_t count)
{
	bool taken[SL_RESOLVE_MAX] = { false };
	int family = count ? from[0].any.sa_family : AF_INET;
	size_t left = count < SL_RESOLVE_MAX ? count : SL_RESOLVE_MAX;

	count = left;
	while (left > 0) {
		size_t pick = count;

		for (size_t i = 0; i < count; i++)
			if (!taken[i] && (pick == count || (from[i].any.sa_family == family &&
			                                    from[pick].any.sa_family != family)))
				pick = i;
		taken[pick] = true;
		left--;
		family = from[pick].any.sa_family == AF_INET ? AF_INET6 : AF_INET;
		if (!sl_dial_allowed(dial->origin, &from[pick].any))
			continue;
		dial->addresses[dial->count] = from[pick];
		if (from[pick].any.sa_family == AF_INET6)
			dial->addresses[dial->count].in6.sin6_port = htons(dial->origin->port);
		else
			dial->addresses[dial->count].in.sin_port = htons(dial->origin->port);
		dial->tries[dial->count].io.fd = -1;
		dial->count++;
	}
}

static void
connect_to(struct sl_dial *dial, const union sl_address *addresses, size_t count)
{
	char text[INET6_ADDRSTRLEN + 10], detail[128];

	take_addresses(dial, addresses, count);
	if (dial->count == 0) {
		address_text(&addresses[0], text, sizeof(text));
		*strrchr(text, ':') = '\0';
		snprintf(detail, sizeof(detail), "%s is not a public address; allow its range",
		         text);
		finish_failed(dial, SL_EPOLICY, SL_STAGE_RESOLVE, detail);
		return;
	}
	try_next(dial);
}

static void
on_resolved(struct sl_resolve *resolve, enum sl_err err, const union sl_address *addresses,
            size_t count, const char *detail)
{
	struct sl_dial *dial = SL_CONTAINER(resolve, struct sl_dial, resolve);

	if (err != SL_OK)
		finish_failed(dial, err, SL_STAGE_RESOLVE, detail);
	else
		connect_to(dial, addresses, count);
}

struct sl_dial *
sl_dial_start(struct sl_dialer *dialer, const struct sl_origin *origin, sl_dial_done *done,
              void *context)
{
	struct sl_dial *dial = calloc(1, sizeof(*dial));
	struct sl_resolved known;
	enum sl_err err;

	if (!dial)
		return NULL;
	dial->dialer = dialer;
	dial->origin = origin;
	dial->done = done;
	dial->context = context;
	dial->fd = -1;
	dial->resolve.on_done = on_resolved;
	dial->stagger.on_due = on_stagger;
	sl_list_push_back(&dialer->dials, &dial->node);
	err = sl_resolve_start(dialer->resolver, origin->host, &dial->resolve, &known);
	if (err == SL_OK)
		connect_to(dial, known.addresses, known.count);
	else if (err != SL_AGAIN)
		finish_failed(dial, err, SL_STAGE_RESOLVE, known.detail);
	return dial;
}

void
sl_dial_cancel(struct sl_dial *dial)
{
	if (!dial)
		return;
	sl_resolve_cancel(&dial->resolve);
	sl_timer_clear(&dial->stagger);
	for (size_t i = 0; i < dial->count; i++)
		close_try(dial, &dial->tries[i]);
	if (dial->fd >= 0)
		close(dial->fd);
	sl_list_remove(&dial->node);
	free(dial);
}

enum sl_fetch_stage
sl_dial_stage(const struct sl_dial *dial)
{
	return dial->count ? SL_STAGE_CONNECT : SL_STAGE_RESOLVE;
}

struct sl_dialer *
sl_dialer_new(struct sl_loop *loop)
{
	struct sl_dialer *dialer = calloc(1, sizeof(*dialer));

	if (!dialer)
		return NULL;
	dialer->loop = loop;
	dialer->task.run = run_finished;
	sl_list_init(&dialer->dials);
	sl_list_init(&dialer->finished);
	dialer->resolver = sl_resolver_new(loop);
	if (!dialer->resolver) {
		free(dialer);
		return NULL;
	}
	return dialer;
}

void
sl_dialer_free(struct sl_dialer *dialer)
{
	if (!dialer)
		return;
	while (!sl_list_empty(&dialer->dials))
		sl_dial_cancel(SL_CONTAINER(dialer->dials.next, struct sl_dial, node));
	while (!sl_list_empty(&dialer->finished))
		sl_dial_cancel(SL_CONTAINER(dialer->finished.next, struct sl_dial, node));
	sl_resolver_free(dialer->resolver);
	sl_loop_undefer(dialer->loop, &dialer->task);
	free(dialer);
}

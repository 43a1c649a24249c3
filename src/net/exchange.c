/* exchange.c - an exchange, whichever protocol carries it. */
#include <stdlib.h>

#include "net/plain_head.h"
#include "net/server_internal.h"

/* An arena that is on itself. */
static struct sl_arena *
new_head(size_t size)
{
	struct sl_arena arena, *head;

	sl_arena_init(&arena, sizeof(arena) + size, SL_ARENA_MAX);
	head = SL_ARENA_NEW(&arena, struct sl_arena);
	if (head)
		*head = arena;
	return head;
}

static void
free_head(struct sl_exchange *exchange)
{
	struct sl_arena arena;

	if (!exchange->head)
		return;
	arena = *exchange->head;
	exchange->head = NULL;
	sl_arena_release(&arena);
}

void
sl_exchange_forget_head(struct sl_exchange *exchange)
{
	struct sl_request *request = &exchange->request;

	free_head(exchange);
	request->method = request->path = request->query = request->authority = SL_SLICE_NONE;
	request->headers = (struct sl_headers){ 0 };
}

void *
sl_exchange_new(struct sl_conn *conn, size_t size, const struct sl_exchange_ops *ops,
                size_t head_size)
{
	struct sl_exchange *exchange = sl_block_alloc(size);
	const struct sl_server_handler *handler = &conn->server->handler;

	if (!exchange)
		return NULL;
	memset(exchange, 0, size);
	exchange->head = new_head(head_size + handler->head_size);
	if (!exchange->head) {
		sl_block_free(exchange);
		return NULL;
	}
	exchange->ops = ops;
	exchange->request.peer = sl_slice_make(conn->peer, conn->peer_len);
	exchange->request.secure = conn->sock.ssl != NULL;
	exchange->request.content_length = -1;
	sl_arena_init(&exchange->arena, handler->arena_size ? handler->arena_size : SL_ARENA_FIRST,
	              SL_ARENA_MAX);
	sl_buf_init(&exchange->body, SL_BODY_FIRST);
	conn->server->exchange_count++;
	return exchange;
}

void
sl_exchange_end(struct sl_conn *conn, struct sl_exchange *exchange, enum sl_gone_reason why)
{
	struct sl_server *server = conn->server;

	server->exchange_count--;
	server->handler.on_gone(server->handler.context, exchange, why);
	sl_buf_release(&exchange->body);
	free_head(exchange);
	sl_arena_release(&exchange->arena);
}

void
sl_exchange_free(struct sl_conn *conn, struct sl_exchange *exchange, enum sl_gone_reason why)
{
	sl_exchange_end(conn, exchange, why);
	sl_block_free(exchange);
}

enum sl_err
sl_request_set_target(struct sl_request *request, struct sl_slice target)
{
	struct sl_slice rest = target;
	ptrdiff_t at;

	/* RFC 3986: visible ASCII, and a fragment is never sent. */
	if (sl_plain_run(target, 0, ' ' + 1) < target.len || sl_slice_find(target, '#') >= 0)
		return SL_ESYNTAX;
	if (target.len == 0)
		return SL_ESYNTAX;
	if (target.ptr[0] != '/' && !sl_slice_is(target, "*")) {
		at = sl_slice_search(target, SL_SLICE("://"));
		if (at <= 0)
			return SL_ESYNTAX;
		rest = sl_slice_from(target, (size_t)at + 3);
		at = sl_slice_find(rest, '/');
		if (at < 0)
			return SL_ESYNTAX;
		rest = sl_slice_from(rest, (size_t)at);
	}
	request->path = sl_slice_cut(&rest, '?');
	request->query = rest;
	return SL_OK;
}

enum sl_err
sl_exchange_start(struct sl_exchange *exchange, int status, const struct sl_header *headers,
                  size_t count, int64_t body_length, struct sl_slice trailer_names)
{
	return exchange->ops->start(exchange, status, headers, count, body_length,
	                            trailer_names);
}

enum sl_err
sl_exchange_write(struct sl_exchange *exchange, struct sl_slice bytes)
{
	return exchange->ops->write(exchange, bytes);
}

enum sl_err
sl_exchange_finish(struct sl_exchange *exchange, const struct sl_header *trailers, size_t count)
{
	return exchange->ops->finish(exchange, trailers, count);
}

enum sl_err
sl_exchange_send(struct sl_exchange *exchange, int status, const struct sl_header *headers,
                 size_t count, struct sl_slice body)
{
	enum sl_err err = sl_exchange_start(exchange, status, headers, count,
	                                    (int64_t)body.len, SL_SLICE_NONE);

	if (err == SL_OK && body.len)
		err = sl_exchange_write(exchange, body);
	if (err == SL_OK)
		err = sl_exchange_finish(exchange, NULL, 0);
	/* A part does not stand for the whole, and nobody waits for what never comes. */
	if (err != SL_OK)
		sl_exchange_abort(exchange);
	return err;
}

void
sl_exchange_abort(struct sl_exchange *exchange)
{
	exchange->ops->abort(exchange);
}

size_t
sl_exchange_backlog(const struct sl_exchange *exchange)
{
	return exchange->ops->backlog(exchange);
}

bool
sl_exchange_started(const struct sl_exchange *exchange)
{
	return exchange->ops->started(exchange);
}

/* --- without a peer ---------------------------------------------------------- */

static enum sl_err
sink_start(struct sl_exchange *exchange, int status, const struct sl_header *headers,
           size_t count, int64_t body_length, struct sl_slice trailer_names)
{
	(void)exchange, (void)status, (void)headers, (void)count, (void)body_length;
	(void)trailer_names;
	return SL_OK;
}

static enum sl_err
sink_write(struct sl_exchange *exchange, struct sl_slice bytes)
{
	(void)exchange, (void)bytes;
	return SL_OK;
}

static enum sl_err
sink_finish(struct sl_exchange *exchange, const struct sl_header *trailers, size_t count)
{
	(void)exchange, (void)trailers, (void)count;
	return SL_OK;
}

static void
sink_abort(struct sl_exchange *exchange)
{
	(void)exchange;
}

static size_t
sink_backlog(const struct sl_exchange *exchange)
{
	(void)exchange;
	return 0;
}

static bool
sink_started(const struct sl_exchange *exchange)
{
	(void)exchange;
	return true;
}

static const struct sl_exchange_ops sink_ops = {
	.start = sink_start,
	.write = sink_write,
	.finish = sink_finish,
	.abort = sink_abort,
	.backlog = sink_backlog,
	.started = sink_started,
};

struct sl_exchange *
sl_exchange_detach(struct sl_exchange *exchange)
{
	struct sl_exchange *detached = malloc(sizeof(*detached));

	if (!detached)
		return NULL;
	*detached = *exchange;
	detached->ops = &sink_ops;
	detached->request.headers = (struct sl_headers){ 0 };
	detached->trailers = (struct sl_headers){ 0 };
	/* Of the connection, which ends. */
	detached->request.peer = sl_arena_dup(&detached->arena, exchange->request.peer);
	sl_arena_init(&exchange->arena, SL_ARENA_FIRST, SL_ARENA_MAX);
	sl_buf_init(&exchange->body, SL_BODY_FIRST);
	exchange->head = NULL;
	exchange->user = NULL;
	return detached;
}

void
sl_exchange_discard(struct sl_exchange *exchange)
{
	struct sl_arena arena = exchange->arena;

	sl_buf_release(&exchange->body);
	free_head(exchange);
	free(exchange);
	sl_arena_release(&arena);
}

/* server.h - the wire in: listeners, connections and exchanges.
 *
 * An exchange is one request and its answer, over HTTP/1.1 or one HTTP/2
 * stream. It is created when a request head is complete and lives until both
 * sides are done or the peer is gone. owner: loop.
 *
 *            on_head           on_request            answer finished
 *   HEAD ------------> BODY -------------> ANSWERING ----------------> gone
 *                        '--- answered early: the rest of the body is
 *                             discarded (small) or the connection closed
 *
 * The handler is told exactly once, by on_gone, that an exchange ended,
 * whatever the reason; after it the exchange must not be used.
 */
#ifndef SL_NET_SERVER_H
#define SL_NET_SERVER_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/buf.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls.h"

/* Every limit of the wire in. Values are the configuration's (limits.*). */
struct sl_server_limits {
	size_t   header_bytes;          /* request line and fields; 431 */
	uint32_t header_count;          /* 431 */
	size_t   body_bytes;            /* 413 */
	uint32_t header_timeout_ms;     /* first byte to complete head; 408 */
	uint32_t body_timeout_ms;       /* head to complete body; 408 */
	uint32_t keepalive_timeout_ms;  /* idle connection; closed silently */
	uint32_t write_stall_ms;        /* no progress while writing; reset */
	uint32_t connections;           /* per process; over it: accept pauses */
	uint32_t h2_streams;            /* concurrent streams per connection */
	size_t   write_buffer_bytes;    /* unsent bytes that a peer may cause */
	uint32_t requests_per_connection; /* then Connection: close / GOAWAY */
};

/* A request head. Slices live until the exchange ends or forgets its head. */
struct sl_request {
	struct sl_slice   method;     /* "POST" */
	struct sl_slice   path;       /* of the target up to '?', still percent-encoded */
	struct sl_slice   query;      /* behind '?', may be empty */
	struct sl_slice   authority;  /* Host or :authority */
	struct sl_headers headers;
	int64_t           content_length; /* -1: not declared */
	bool              has_body;
	bool              is_head;
	bool              secure;     /* came over TLS */
	uint8_t           http_major; /* 1 or 2 */
	struct sl_slice   peer;       /* "203.0.113.9" */
};

/* One request and its answer. Fields are read-only to the handler except
 * `user`. The body arrives complete in `body` before on_request. */
struct sl_exchange {
	struct sl_request request;
	struct sl_arena  *head;       /* what the request's slices are on, and itself; NULL: forgotten */
	struct sl_arena   arena;      /* lifetime of the exchange */
	struct sl_buf     body;       /* the request body; the handler may release it early */
	struct sl_headers trailers;   /* of the request, after the body */
	uint64_t          begin_ns;   /* first byte of the head, monotonic */
	uint64_t          body_end_ns;/* last byte of the body, monotonic */
	void             *user;       /* the handler's */
	const struct sl_exchange_ops *ops; /* private: HTTP/1 or HTTP/2 */
};

enum sl_gone_reason {
	SL_GONE_DONE,       /* the answer was written completely */
	SL_GONE_PEER,       /* the peer closed or reset before that */
	SL_GONE_TIMEOUT,    /* body timeout or write stall */
	SL_GONE_PROTOCOL,   /* the peer broke the protocol */
	SL_GONE_ABORTED,    /* sl_exchange_abort */
	SL_GONE_SHUTDOWN,   /* the grace period ended */
};

/* What the pipeline implements. Called on the exchange's loop, never from
 * inside one of the functions below (so no re-entrance). */
struct sl_server_handler {
	void *context;
	/* Bytes that an exchange takes from its arena while it is answered, and from its head
	 * besides the fields, so that each is one piece; 0: unknown. */
	size_t arena_size, head_size;
	/* Head complete. Either answer now (sl_exchange_send and friends), or
	 * return and let the body come. *body_max starts as limits.body_bytes
	 * and may be lowered. */
	void (*on_head)(void *context, struct sl_exchange *exchange, size_t *body_max);
	/* The whole body is in exchange->body. Not called when answered early. */
	void (*on_request)(void *context, struct sl_exchange *exchange);
	/* A fault found by the wire itself (400, 408, 413, 431, 501 ...): the handler
	 * answers in the caller's envelope. exchange->request holds what is known
	 * (path may be empty); reason is static text. The connection closes after. */
	void (*on_bad_request)(void *context, struct sl_exchange *exchange, int status,
	                       const char *reason);
	/* The backlog fell below half of write_buffer_bytes after it was above. */
	void (*on_drain)(void *context, struct sl_exchange *exchange);
	/* Last call. */
	void (*on_gone)(void *context, struct sl_exchange *exchange, enum sl_gone_reason why);
};

/* --- answering ------------------------------------------------------------ */

/* Starts the answer. body_length >= 0: declared; -1: streamed (chunked or h2).
 * Fields `date`, `content-length`, `transfer-encoding`, `connection` are the
 * wire's own and must not be given. trailer_names: value of a Trailer field
 * for names sent by sl_exchange_finish, or empty; dropped silently for peers
 * that cannot get trailers (HTTP/1.0). The head is held until the first write
 * or finish so that both leave in one system call. Slices are copied. */
enum sl_err sl_exchange_start(struct sl_exchange *exchange, int status,
                              const struct sl_header *headers, size_t count,
                              int64_t body_length, struct sl_slice trailer_names);
/* Body bytes. Sent at once as far as the socket takes them, the rest is copied.
 * SL_ELIMIT: bytes are pending already and more than write_buffer_bytes would be
 * (nothing was taken); stop producing until on_drain. One write with nothing
 * pending is always taken. SL_EINVAL: more than body_length. SL_ECLOSED: the
 * peer is gone (on_gone follows). */
enum sl_err sl_exchange_write(struct sl_exchange *exchange, struct sl_slice bytes);
/* Complete; trailers may be NULL. */
enum sl_err sl_exchange_finish(struct sl_exchange *exchange,
                               const struct sl_header *trailers, size_t count);
/* start + write + finish in one: for complete answers. What cannot be sent is
 * aborted. */
enum sl_err sl_exchange_send(struct sl_exchange *exchange, int status,
                             const struct sl_header *headers, size_t count,
                             struct sl_slice body);
/* The handler needs the head no more: its slices and what else is on exchange->head are
 * freed, so that a long answer costs little. The peer and how the request was framed stay.
 * Not before the answer has begun. */
void sl_exchange_forget_head(struct sl_exchange *exchange);
/* Cuts the answer so that the peer cannot take it for complete: no last chunk,
 * RST_STREAM. on_gone follows from the loop, not from inside this call. */
void sl_exchange_abort(struct sl_exchange *exchange);
/* From inside on_gone only: what the handler made on the ending exchange - head, arena
 * and body, with the request's slices - goes over to a new one that has no peer. Answers to
 * it vanish, its fields are gone, on_gone is not called for it. NULL: no memory. */
struct sl_exchange *sl_exchange_detach(struct sl_exchange *exchange);
/* Frees a detached one. */
void sl_exchange_discard(struct sl_exchange *exchange);
/* Unsent body bytes. */
size_t sl_exchange_backlog(const struct sl_exchange *exchange);
/* Whether sl_exchange_start was called. */
bool sl_exchange_started(const struct sl_exchange *exchange);

/* --- serving -------------------------------------------------------------- */

struct sl_listen_config {
	const char            *host;  /* "127.0.0.1", "::1", "0.0.0.0" */
	uint16_t               port;  /* 0: any free port */
	struct sl_tls_context *tls;   /* NULL: cleartext (HTTP/1.1 and h2 prior knowledge) */
};

struct sl_server; /* one per loop */

/* Limits are read at each use; swap them with sl_server_set_limits on reload. */
struct sl_server *sl_server_new(struct sl_loop *loop, const struct sl_server_limits *limits,
                                const struct sl_server_handler *handler);
void sl_server_set_limits(struct sl_server *server, const struct sl_server_limits *limits);
/* SL_EBUSY when anybody listens there already. To be asked before the first loop
 * listens: sl_server_listen shares the address with every process of the same
 * user that shares it too, such as another gateway, with other keys. */
enum sl_err sl_server_probe(const struct sl_listen_config *config);
/* Opens a listening socket with SO_REUSEPORT in this loop. *bound_port tells the
 * port taken. SL_EBUSY: in use by a program that does not share; SL_EPOLICY: no permission. */
enum sl_err sl_server_listen(struct sl_server *server, const struct sl_listen_config *config,
                             uint16_t *bound_port);
/* Stops accepting, closes idle connections, answers in-flight requests with
 * Connection: close / GOAWAY. Existing exchanges go on. */
void sl_server_drain(struct sl_server *server);
/* Ends every exchange (on_gone with SL_GONE_SHUTDOWN) and closes everything. */
void sl_server_free(struct sl_server *server);
size_t sl_server_exchange_count(const struct sl_server *server);
size_t sl_server_connection_count(const struct sl_server *server);

#endif

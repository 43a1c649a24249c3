/* server_internal.h - what the files of the wire in share: the connection.
 *
 * A connection is a socket, the bytes that wait to be written, and a protocol
 * (HTTP/1 or HTTP/2) that is chosen once its first bytes are known.
 *
 *   HANDSHAKE --TLS done--> PREFACE --first bytes--> OPEN --sl_conn_linger--> LINGER
 *       |                      |                       |                        |
 *       '----------------------'--- sl_conn_close -----'------------------------'--> DEAD
 *
 * Two rules keep callbacks from re-entering one another. What follows from an
 * answer - on_gone, the next request, the end of the connection - runs in the
 * connection's task, at the end of the loop's turn. And a connection is freed
 * by that task alone, so every function above it may finish its work on a
 * connection that died under its hands.
 */
#ifndef SL_NET_SERVER_INTERNAL_H
#define SL_NET_SERVER_INTERNAL_H

#include "net/server.h"
#include "net/sock.h"

enum {
	SL_DISCARD_MAX = 64 * 1024,      /* bytes of an unwanted body that are read away */
	SL_LINGER_MS = 5000,             /* a peer may go on sending after our last byte */
	SL_BODY_FIRST = 1024 * 1024,     /* bytes allocated on a declaration's word */
	SL_OUT_MAX = 256 * 1024 * 1024,  /* hard end for one complete answer */
	SL_SPARE_MAX = 16 * 1024,        /* larger buffers are not kept for reuse */
	SL_SPARES = 32,                  /* answers of a turn, of which each has a buffer */
	SL_ARENA_FIRST = 1632,           /* first chunk of an exchange's arena, where the
	                                  * handler does not say */
	SL_ARENA_MAX = 256 * 1024 * 1024,
};

struct sl_conn;
struct sl_h1_head;

struct sl_conn_ops {
	enum sl_err (*open)(struct sl_conn *conn);
	/* Bytes that were read while the protocol was being found out. */
	void (*on_bytes)(struct sl_conn *conn, struct sl_slice bytes);
	void (*on_readable)(struct sl_conn *conn);
	/* Some of conn->out was written; it may be empty now. */
	void (*on_written)(struct sl_conn *conn);
	/* The peer closed, or closed its sending half, while reading was paused. */
	void (*on_hangup)(struct sl_conn *conn);
	void (*on_timer)(struct sl_conn *conn);
	/* The connection's task: deferred work. */
	void (*on_task)(struct sl_conn *conn);
	/* No new requests. */
	void (*drain)(struct sl_conn *conn);
	/* Ends every exchange with conn->gone and frees the protocol's state. */
	void (*end)(struct sl_conn *conn);
};

extern const struct sl_conn_ops sl_h1_ops;
extern const struct sl_conn_ops sl_h2_ops;

enum sl_conn_phase {
	SL_CONN_HANDSHAKE,
	SL_CONN_PREFACE,
	SL_CONN_OPEN,
	SL_CONN_LINGER,
	SL_CONN_DEAD,
};

/* owner: loop */
struct sl_conn {
	struct sl_io              io;
	struct sl_sock            sock;
	struct sl_server         *server;
	struct sl_list            node;        /* in server->conns */
	struct sl_task            task;
	struct sl_timer           timer;       /* what it means is the protocol's business */
	struct sl_timer           stall_timer; /* runs while `blocked` */
	const struct sl_conn_ops *ops;         /* NULL before SL_CONN_OPEN */
	void                     *state;       /* the protocol's */
	struct sl_buf             out;         /* waits to be written */
	size_t                    out_sent;    /* bytes of out that are gone already */
	enum sl_conn_phase        phase;
	enum sl_gone_reason       gone;        /* why it died */
	bool                      task_queued;
	bool                      paused;      /* reading is */
	bool                      blocked;     /* the socket took no more */
	uint8_t                   preface_len; /* bytes of the HTTP/2 preface seen */
	uint8_t                   peer_len;
	char                      peer[46];    /* INET6_ADDRSTRLEN */
};

/* owner: loop */
struct sl_server {
	struct sl_loop            *loop;
	struct sl_server_limits    limits;
	struct sl_server_handler   handler;
	struct sl_list             listeners;
	struct sl_list             conns;
	size_t                     conn_count;
	size_t                     exchange_count;
	struct sl_timer            accept_timer; /* set while accepting is paused */
	bool                       draining;
	struct sl_h1_head         *spare_head;   /* kept for the next request */
	struct sl_buf              spare_out[SL_SPARES];
	size_t                     spare_count;
	int64_t                    date_s;       /* second that `date` shows */
	char                       date[32];
	int64_t                    start_s;      /* second and status of `start` */
	int                        start_status; /* 0: none yet */
	size_t                     start_len;
	char                       start[128];   /* the first lines of an HTTP/1 answer */
};

static inline size_t
sl_conn_unsent(const struct sl_conn *conn)
{
	return conn->out.len - conn->out_sent;
}

/* Runs ops->on_task at the end of this turn. */
void sl_conn_defer(struct sl_conn *conn);
/* Closes the socket now; the task then ends the exchanges, telling `why`, and
 * frees the connection. Only the first call counts. */
void sl_conn_close(struct sl_conn *conn, enum sl_gone_reason why, bool reset);
/* No more is sent; what the peer still sends is dropped for SL_LINGER_MS, so
 * that no reset destroys the answer on its way. The exchanges have ended. */
void sl_conn_linger(struct sl_conn *conn);
/* Reading on or off. */
void sl_conn_pause(struct sl_conn *conn, bool paused);
/* Reads once. > 0, or 0 when there is nothing to handle now: the caller returns.
 * *ended tells an end of the stream; a reset closes the connection. */
size_t sl_conn_read(struct sl_conn *conn, char *into, size_t size, bool *ended);
/* Room in conn->out for bytes that sl_conn_send will take along. */
struct sl_buf *sl_conn_out(struct sl_conn *conn);
/* Writes conn->out and the parts behind it in one call; what the socket does
 * not take is kept. SL_ECLOSED, SL_ENOMEM: the connection is closed. */
enum sl_err sl_conn_send(struct sl_conn *conn, struct iovec *parts, int count);

/* Serves a connected, non-blocking stream socket, cleartext; the server owns it. */
void sl_server_adopt(struct sl_server *server, int fd);

/* A new exchange of `size` bytes (struct sl_exchange first), counted; with room for a
 * head of head_size bytes. */
void *sl_exchange_new(struct sl_conn *conn, size_t size, const struct sl_exchange_ops *ops,
                      size_t head_size);
/* Tells the handler and frees what the exchange holds; it is to be freed with sl_block_free. */
void sl_exchange_end(struct sl_conn *conn, struct sl_exchange *exchange,
                     enum sl_gone_reason why);
/* And frees it. */
void sl_exchange_free(struct sl_conn *conn, struct sl_exchange *exchange,
                      enum sl_gone_reason why);

/* Divides the target into path and query, taking the origin of an absolute one
 * off. SL_ESYNTAX for bytes that no target may have. */
enum sl_err sl_request_set_target(struct sl_request *request, struct sl_slice target);

/* Value of the Date field for this second. */
struct sl_slice sl_server_date(struct sl_server *server);

/* How the protocols implement server.h. */
struct sl_exchange_ops {
	enum sl_err (*start)(struct sl_exchange *exchange, int status,
	                     const struct sl_header *headers, size_t count,
	                     int64_t body_length, struct sl_slice trailer_names);
	enum sl_err (*write)(struct sl_exchange *exchange, struct sl_slice bytes);
	enum sl_err (*finish)(struct sl_exchange *exchange, const struct sl_header *trailers,
	                      size_t count);
	void (*abort)(struct sl_exchange *exchange);
	size_t (*backlog)(const struct sl_exchange *exchange);
	bool (*started)(const struct sl_exchange *exchange);
};

void sl_h1_head_free(struct sl_h1_head *head);

#endif

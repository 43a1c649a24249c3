/* client_internal.h - what the pool and the two protocols share.
 *
 * Private to client.c, fetch.c, h1_client.c, h2_client.c and reply_head.c. A *flight* is
 * the private half of a fetch; an *upstream* is one connection; a *pool* holds
 * the upstreams and the waiting flights of one origin identity.
 */
#ifndef SL_NET_CLIENT_INTERNAL_H
#define SL_NET_CLIENT_INTERNAL_H

#include <llhttp.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "net/client.h"
#include "net/dial.h"
#include "net/plain_head.h"

enum {
	SL_REPLY_HEAD_MAX = 64 * 1024, /* bytes */
	SL_REPLY_FIELD_MAX = 200,
	SL_REPLY_INTERIM_MAX = 8,      /* 1xx replies before the final one */
	SL_AUTHORITY_EXTRA = sizeof("[]:65535") - 1,
};

struct sl_pool;
struct sl_upstream;

/* --- reply_head.c ----------------------------------------------------------- */

/* Fields of a reply being received; offsets, because the text may move. */
struct sl_reply_head {
	struct sl_buf text;
	size_t        count;
	struct sl_plain_head plain;      /* of a plain head: uses `fields` */
	bool          is_plain;
	struct sl_field_at fields[SL_REPLY_FIELD_MAX];
	struct sl_header items[SL_REPLY_FIELD_MAX]; /* as handed out */
};

struct sl_reply_head *sl_reply_head_new(void);
void sl_reply_head_free(struct sl_reply_head *head);
void sl_reply_head_clear(struct sl_reply_head *head);
/* A name begins or goes on, a value goes on; bytes may come in pieces. SL_ELIMIT. */
enum sl_err sl_reply_head_name(struct sl_reply_head *head, struct sl_slice piece, bool begins);
enum sl_err sl_reply_head_value(struct sl_reply_head *head, struct sl_slice piece);
/* Reads the fields of a plain head, of which the lines begin at `at`; see sl_plain_fields. */
size_t sl_reply_head_plain(struct sl_reply_head *head, struct sl_slice text, size_t at,
                           int64_t *content_length);
/* The fields: names lower-case, values trimmed; valid until the next change. */
struct sl_headers sl_reply_head_fields(struct sl_reply_head *head);

/* --- h1_client.c -------------------------------------------------------------- */

struct sl_h1 {
	llhttp_t              parser;
	struct sl_reply_head *head;   /* while a head or trailers are being received */
	char                 *held;   /* bytes read while the owner had paused */
	size_t                held_len;
	int64_t               content_length; /* of a plain reply: what is left of it */
	uint32_t              head_bytes;
	uint32_t              line_len;  /* of the head line being scanned */
	uint32_t              line_count;
	enum sl_err           err;       /* why a parser callback stopped */
	const char           *detail;
	uint8_t               interim_count;
	bool                  in_head, last_cr, in_value;
	bool                  plain;     /* by plain_head.h, without the parser */
	bool                  head_done, complete;
	bool                  until_close : 1, keep_alive : 1; /* one byte */
};

/* --- connections ---------------------------------------------------------------- */

enum sl_upstream_state {
	SL_UP_CONNECT, /* dialling */
	SL_UP_TLS,     /* handshake */
	SL_UP_IDLE,    /* HTTP/1: pooled; HTTP/2: no stream */
	SL_UP_BUSY,
	SL_UP_CLOSED,  /* to be freed when the stack has unwound */
};

struct sl_upstream {
	struct sl_io           io;
	struct sl_sock         sock;
	struct sl_client      *client;
	struct sl_pool        *pool;
	struct sl_list         node;   /* in one of the pool's lists, or the client's closed */
	struct sl_timer        timer;  /* connect; idle; HTTP/2 liveness */
	struct sl_dial        *dial;
	uint64_t               idle_since_ms;
	struct sl_flight      *flight; /* HTTP/1: the one being served */
	struct sl_h2          *h2;     /* HTTP/2, else NULL */
	enum sl_upstream_state state;
	bool                   registered; /* io is in the loop */
	bool                   served;     /* completed an exchange before */
	struct sl_h1           h1;
};

struct sl_flight {
	struct sl_fetch          *fetch;
	struct sl_client         *client;
	struct sl_pool           *pool;
	struct sl_upstream       *up;      /* NULL while waiting, and when `ended` is set
	                                    * and the stream closed */
	struct sl_list            node;    /* pool->waiting, client->starting or failing, or none */
	struct sl_list            all;     /* client->flights */
	struct sl_list            resumed; /* client->resumed, or none */
	struct sl_timer           phase_timer; /* connect, first byte or idle */
	struct sl_timer           total_timer;
	struct sl_fetch_timeouts  timeouts;
	struct sl_fetch_error    *error;   /* set once it failed; NULL then: no memory */
	enum sl_fetch_stage       stage;
	int32_t                   stream_id; /* HTTP/2; 0: none */
	bool                      is_head, paused, got_head, sent, failing;
	uint8_t                   retry_count;
	/* The request: parts[0] is the head as HTTP/1.1 text, the rest the body.
	 * One block, freed once sent (HTTP/1) or answered (HTTP/2). */
	struct sl_slice          *parts;
	size_t                    part_count;
	size_t                    part_index, part_offset; /* next byte to send */
	uint64_t                  body_len;
	char                     *copied_body; /* rest of the body, see sl_flight_copy_unsent */
	/* HTTP/2: reply bytes that came while paused, and the end. They need no
	 * connection: it may close before the owner goes on. */
	struct sl_buf             held;
	bool                      ended, body_dropped;
	struct sl_reply_head     *head;
	int                       status;
	uint8_t                   interim_count;
};

/* Connections of one origin identity. Its copy of the origin outlives the
 * configuration snapshot that a fetch came with. */
struct sl_pool {
	struct sl_client *client;
	struct sl_pool   *next;        /* in the hash chain */
	struct sl_origin  origin;      /* slices point into `text` */
	char             *text;
	struct sl_slice   authority;   /* Host of a fetch that gives none; in `text` */
	struct sl_list    idle;        /* HTTP/1, last used first */
	struct sl_list    busy;        /* HTTP/1 */
	struct sl_list    connecting;
	struct sl_list    h2;          /* HTTP/2, taking streams */
	struct sl_list    h2_full;     /* HTTP/2, draining or full */
	struct sl_list    waiting;     /* flights, first come first */
	size_t            waiting_count, connecting_count, open_count;
	bool              knows_protocol, speaks_h2;
};

enum { SL_POOL_BUCKETS = 64 };

struct sl_client {
	struct sl_loop        *loop;
	struct sl_dialer      *dialer;
	struct sl_pool        *pools[SL_POOL_BUCKETS];
	size_t                 pool_count;
	struct sl_list         flights;
	struct sl_list         failing; /* on_fail is due */
	struct sl_list         starting; /* HTTP/1 requests to be written */
	struct sl_list         resumed; /* bytes may be due */
	struct sl_list         closed;  /* upstreams to free */
	struct sl_flight      *resuming; /* HTTP/2; turns NULL when it went */
	struct sl_task         task;
	bool                   task_pending;
	bool                   sweep;   /* empty pools may exist */
	bool                   freed;
	struct sl_reply_head  *spare_head; /* most heads come in one read: reuse one */
	uint64_t               opened, reused;
};

/* --- client.c, for the protocols ------------------------------------------------- */

/* Runs the client's deferred work at the end of this turn. */
void sl_client_kick(struct sl_client *client);
struct sl_reply_head *sl_client_take_head(struct sl_client *client);
void sl_client_return_head(struct sl_client *client, struct sl_reply_head *head);

/* Watches for these events; 0 stops watching altogether, also for errors. */
void sl_upstream_watch(struct sl_upstream *up, uint32_t events);
/* Takes the connection out of its pool and closes it; memory goes later. The
 * flight must have been detached. */
void sl_upstream_close(struct sl_upstream *up);
/* HTTP/1 exchange complete and clean: pool it, or serve the next flight. */
void sl_upstream_release(struct sl_upstream *up);
/* HTTP/2: moves between the pool's h2 and h2_full lists. */
void sl_upstream_set_full(struct sl_upstream *up, bool full);
/* HTTP/2: a stream or the whole capacity became free. */
void sl_pool_serve(struct sl_pool *pool);

/* The pool of an origin, made when there is none; NULL: out of memory. */
struct sl_pool *sl_client_pool(struct sl_client *client, const struct sl_origin *origin);

/* --- fetch.c ------------------------------------------------------------------------ */

/* Writes the Host of the origin at `at`: host.len + SL_AUTHORITY_EXTRA bytes at the most. Returns
 * the end. */
char *sl_put_authority(char *at, const struct sl_origin *origin);
/* Ends the flight with on_fail, at the end of this turn. It leaves its queue or
 * connection; an HTTP/1 connection is closed, an HTTP/2 stream reset. */
void sl_flight_fail(struct sl_flight *flight, enum sl_err err, const char *detail);
/* It left the queue for this connection: stage, times, first-byte timer. */
void sl_flight_begin(struct sl_flight *flight, struct sl_upstream *up);
/* Back to the front of the queue, when nothing of it can have been processed. The
 * caller has unhooked it from its connection and calls sl_pool_serve. False when
 * it was tried often enough. */
bool sl_flight_retry(struct sl_flight *flight);
/* The final reply head. The owner may cancel inside: look at up->flight (HTTP/1)
 * or the stream's user data (HTTP/2) before touching the flight again. */
void sl_flight_on_head(struct sl_flight *flight, int status, const struct sl_headers *headers,
                       int64_t content_length);
/* The same holds here. */
void sl_flight_on_data(struct sl_flight *flight, struct sl_slice bytes);
/* Frees the flight; the owner is not told. It has left queue and connection. */
void sl_flight_free(struct sl_flight *flight);

/* Unsent request bytes as iovecs; returns their number. */
int sl_flight_unsent(const struct sl_flight *flight, struct iovec *out, int max);
bool sl_flight_all_sent(const struct sl_flight *flight);
/* So many of them were written: cursor, stage and timer move on. */
void sl_flight_progress(struct sl_flight *flight, size_t size);
/* The unsent rest is not wanted any more. */
void sl_flight_drop_unsent(struct sl_flight *flight);
/* Makes the unsent rest of the body our own. False: out of memory. */
bool sl_flight_copy_unsent(struct sl_flight *flight);
void sl_flight_free_request(struct sl_flight *flight);

/* --- the protocols, for client.c --------------------------------------------------- */

/* The request follows at the end of the turn, by sl_h1_send. */
void sl_h1_start(struct sl_upstream *up, struct sl_flight *flight);
void sl_h1_send(struct sl_upstream *up);
void sl_h1_on_ready(struct sl_upstream *up, uint32_t events);
void sl_h1_resume(struct sl_upstream *up);
void sl_h1_clear(struct sl_upstream *up);

enum sl_err sl_h2_open(struct sl_upstream *up);
bool sl_h2_has_room(const struct sl_upstream *up);
void sl_h2_start(struct sl_upstream *up, struct sl_flight *flight);
void sl_h2_on_ready(struct sl_upstream *up, uint32_t events);
void sl_h2_on_timer(struct sl_upstream *up);
void sl_h2_resume(struct sl_flight *flight);
/* The owner left: resets the stream. */
void sl_h2_detach(struct sl_flight *flight);
void sl_h2_clear(struct sl_upstream *up);

#endif

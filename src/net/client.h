/* client.h - the wire out: origins, connection pools, fetches.
 *
 * A fetch is one request to an origin and its reply. Connections are pooled
 * per loop and origin; one that carried an incomplete exchange is closed, never
 * pooled. Nothing is retried here except a request whose reused connection
 * turned out dead before one byte of the reply and before the peer could have
 * seen it whole (RFC 9110 9.2.2 does not allow more for POST). Redirects are
 * not followed. The one dial() of the program is in net/dial.c. owner: loop.
 */
#ifndef SL_NET_CLIENT_H
#define SL_NET_CLIENT_H

#include "base/arena.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls.h"

/* 0: no limit, except connect_ms and first_byte_ms, which must be set. */
struct sl_fetch_timeouts {
	uint32_t connect_ms;    /* waiting for a free connection, or resolve, connect (all
	                         * addresses, raced) and TLS together */
	uint32_t first_byte_ms; /* last progress of sending to the reply head */
	uint32_t idle_ms;       /* between bytes of the reply */
	uint32_t total_ms;      /* start to end */
};

struct sl_cidr {
	uint8_t address[16]; /* IPv4 as mapped IPv6 */
	uint8_t prefix_bits; /* 0..128 */
};

enum sl_http2_mode { SL_HTTP2_AUTO, SL_HTTP2_OFF, SL_HTTP2_ONLY /* also prior knowledge on cleartext */ };

/* Where a fetch goes. shared: frozen; lives in a configuration snapshot that
 * the caller keeps alive while fetches use it. */
struct sl_origin {
	struct sl_slice          host;        /* name or IP literal, no brackets */
	uint16_t                 port;
	struct sl_tls_context   *tls;         /* NULL: cleartext */
	struct sl_fetch_timeouts timeouts;
	enum sl_http2_mode       http2;
	/* Address policy (dial.h): an IP literal written by the operator is allowed
	 * as it is (host_is_literal, set by the caller; on a name it opens nothing);
	 * "localhost" is always loopback and allowed without the flag; other names
	 * must resolve to public addresses unless covered here. */
	bool                     host_is_literal;
	/* Who wrote the host is not trusted: "localhost" opens nothing either. */
	bool                     host_is_foreign;
	bool                     once; /* HTTP/1: a connection is not kept for the next */
	const struct sl_cidr    *allow;
	size_t                   allow_count;
	uint32_t                 max_connections; /* per loop; 0: 1024 */
	/* Connections are shared exactly between origins with equal identity:
	 * scheme, host, port, CA and policy, as text. */
	struct sl_slice          identity;
};

/* Where a fetch stood when it failed. */
enum sl_fetch_stage {
	SL_STAGE_RESOLVE,
	SL_STAGE_CONNECT,
	SL_STAGE_TLS,
	SL_STAGE_SEND,       /* request partly written */
	SL_STAGE_FIRST_BYTE, /* request written, no reply head yet */
	SL_STAGE_BODY,       /* within the reply */
};

struct sl_fetch_error {
	enum sl_err         err;      /* SL_ERESOLVE, SL_ECONNECT, SL_ETLS, SL_EPOLICY,
	                               * SL_ETIMEDOUT, SL_ECLOSED, SL_EPROTO, SL_ELIMIT ... */
	enum sl_fetch_stage stage;
	bool                sent;     /* a byte of the request may have reached the peer */
	char                detail[96]; /* for the log; no secret */
};

struct sl_fetch;
struct sl_fetch_ops {
	/* The final reply head (1xx are swallowed). content_length -1: unknown. */
	void (*on_head)(struct sl_fetch *fetch, int status, const struct sl_headers *headers,
	                int64_t content_length);
	/* Reply bytes, transfer coding removed; valid during the call. */
	void (*on_data)(struct sl_fetch *fetch, struct sl_slice bytes);
	/* Complete, as its framing says. Last call. */
	void (*on_end)(struct sl_fetch *fetch, const struct sl_headers *trailers);
	/* Failed. Last call. Never made from inside sl_fetch_start. */
	void (*on_fail)(struct sl_fetch *fetch, const struct sl_fetch_error *error);
};

/* What to send. All slices are borrowed until on_head, on_fail or cancel;
 * the header array and slices only during sl_fetch_start. */
struct sl_fetch_request {
	struct sl_slice         method;
	struct sl_slice         target;    /* path and query */
	struct sl_slice         authority; /* Host; empty: from the origin */
	const struct sl_header *headers;   /* without host, content-length, connection */
	size_t                  header_count;
	struct sl_slice         lines;     /* sl_headers_lines of who asked; may be empty */
	const struct sl_slice  *body;      /* slices, sent in order; may be 0 */
	size_t                  body_count;
};

/* Embedded in its owner (an attempt). */
struct sl_fetch {
	const struct sl_fetch_ops *ops;
	void *internal; /* private */
	bool  reused;   /* a pooled connection served it */
	bool  sent;     /* all of the request */
};

struct sl_client; /* one per loop: resolver, pools */

struct sl_client *sl_client_new(struct sl_loop *loop);
/* Fails every fetch (SL_ECANCELLED) and closes every connection. */
void sl_client_free(struct sl_client *client);

/* Limits on what an upstream may send; fixed: head 64 KiB and 200 fields, 8
 * interim replies. Returns SL_OK, then exactly one of on_end / on_fail follows
 * unless cancelled; or an error at once: SL_ENOMEM, SL_EINVAL (a method, target
 * or field that cannot be sent), SL_ELIMIT (8192 fetches wait for this origin),
 * SL_ECANCELLED (the client is being freed). */
enum sl_err sl_fetch_start(struct sl_client *client, const struct sl_origin *origin,
                           struct sl_fetch *fetch, const struct sl_fetch_request *request);
/* Stops reading (back-pressure); the idle timeout stops too. */
void sl_fetch_pause(struct sl_fetch *fetch);
void sl_fetch_resume(struct sl_fetch *fetch);
/* No further call is made. Allowed from inside a callback. The connection is
 * closed unless the exchange was complete. */
void sl_fetch_cancel(struct sl_fetch *fetch);
/* What either is, with its calls, goes on as the other; both are fetches or zero. Allowed
 * from inside a callback of one of them. */
void sl_fetch_swap(struct sl_fetch *a, struct sl_fetch *b);

/* What stands in the Host field of a fetch that gives no authority of its own, on
 * the arena; empty: out of memory. */
struct sl_slice sl_fetch_authority(const struct sl_origin *origin, struct sl_arena *arena);

struct sl_client_stats { size_t open, idle, active; uint64_t opened, reused; };
void sl_client_stats(const struct sl_client *client, struct sl_client_stats *out);

#endif

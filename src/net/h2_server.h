/* h2_server.h - an HTTP/2 connection, as its reader and its writer share it.
 *
 * h2_server.c receives frames; h2_answer.c makes answers and writes them out.
 */
#ifndef SL_NET_H2_SERVER_H
#define SL_NET_H2_SERVER_H

#include <nghttp2/nghttp2.h>

#include "net/server_internal.h"

struct h2_field {
	uint32_t name_at, name_len, value_at, value_len;
};

struct h2_stream {
	struct sl_exchange base;
	struct h2         *h2;
	struct sl_list     node;      /* in h2->streams, h2->answered or h2->ended */
	struct sl_timer    timer;     /* body timeout, write stall, linger */
	struct sl_buf      out;       /* body bytes nghttp2 has not taken */
	size_t             out_sent;
	size_t             body_max;  /* behind the answer: what is still dropped */
	size_t             buffered;  /* its part of h2->buffered */
	int64_t            answer_left;
	struct sl_headers  trailers;  /* of the answer */
	int32_t            id;
	enum sl_gone_reason gone;
	bool request_done, started, finished, ended, bodiless, limited, drain_due, refused;
	bool told; /* the handler was, and the exchange is over: the rest of its body is dropped */
};

struct h2 {
	struct sl_conn  *conn;
	nghttp2_session *session;
	struct sl_list   streams;     /* open */
	struct sl_list   answered;    /* before the body was in; the handler is not told yet */
	struct sl_list   ended;       /* closed, and the same */
	size_t           stream_count;
	size_t           buffered;    /* bytes of incomplete request bodies */
	uint32_t         requests;
	/* The head being received; header blocks never interleave. */
	struct sl_buf    text;
	struct h2_field *fields;
	uint32_t         field_count, field_capacity;
	size_t           head_size;   /* as RFC 9113 counts it */
	uint64_t         head_begin_ns;
	bool             head_too_large;
	uint64_t         glitches;    /* thousandths */
	uint64_t         glitch_ms;   /* when they were last drained */
	bool             receiving;
	bool             closing;     /* GOAWAY was sent */
	bool             drain_due;   /* some stream's is */
};

/* The answer of a struct h2_stream. */
extern const struct sl_exchange_ops sl_h2_exchange_ops;

/* Moves what nghttp2 has to say to the socket; while bytes are being received
 * this is left for later. SL_ECLOSED: the connection died. */
enum sl_err sl_h2_flush(struct h2 *h2);
/* Ends the stream; the handler will be told `why`. */
void sl_h2_reset_stream(struct h2_stream *stream, enum sl_gone_reason why, uint32_t code);

/* 0: no limit. */
static inline void
sl_h2_set_timer(struct h2_stream *stream, uint32_t delay_ms)
{
	if (delay_ms)
		sl_timer_set(stream->h2->conn->server->loop, &stream->timer, delay_ms);
}

/* nghttp2 copies what it is given, it only does not say const. */
static inline nghttp2_nv
sl_h2_nv(struct sl_slice name, struct sl_slice value)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.ptr,
		             .namelen = name.len,
		             .value = (uint8_t *)(uintptr_t)value.ptr,
		             .valuelen = value.len };
}

#endif

/* h1_server.h - an HTTP/1 connection, as its reader and its writer share it.
 *
 * h1_server.c reads requests and draws the states; h1_answer.c writes answers.
 */
#ifndef SL_NET_H1_SERVER_H
#define SL_NET_H1_SERVER_H

#include "net/h1_head.h"
#include "net/server_internal.h"

enum h1_state { H1_IDLE, H1_HEAD, H1_LENGTH, H1_CHUNKED, H1_TRAILERS, H1_WAIT, H1_SINK };

/* What conn->timer is running for. It is left running when its reason is gone,
 * because re-arming is cheaper than clearing. */
enum h1_timer { H1_TIMER_NONE, H1_TIMER_IDLE, H1_TIMER_HEAD, H1_TIMER_BODY, H1_TIMER_DISCARD };

struct h1;

struct h1_exchange {
	struct sl_exchange base;
	struct h1         *h1;
};

struct h1 {
	struct sl_conn     *conn;
	struct h1_exchange *exchange;  /* NULL between two */
	struct sl_h1_head  *head;      /* while a request is being read */
	struct sl_buf       pending;   /* bytes of the next requests */
	uint64_t            begin_ns;
	size_t              body_max;
	size_t              body_left; /* H1_LENGTH: bytes to come */
	size_t              framing;   /* H1_CHUNKED: bytes that are not data */
	size_t              received;  /* H1_CHUNKED: bytes of data */
	size_t              discarded;
	int64_t             answer_left; /* bytes declared and not written; -1: streamed */
	uint32_t            requests;
	enum h1_state       state;
	enum h1_timer       timer;
	bool keep_alive;  /* the connection may serve another request */
	bool http10;
	bool expecting;   /* the client waits for 100 Continue */
	bool started, finished, chunked, bodiless; /* the answer */
	bool corked;      /* the whole answer stands in conn->out, to leave in the task */
	bool limited;     /* the backlog was over half of its limit; on_drain is owed */
};

/* The answer of a struct h1_exchange. */
extern const struct sl_exchange_ops sl_h1_exchange_ops;

/* Whether body bytes of the current request are still to come. */
static inline bool
sl_h1_reading_body(const struct h1 *h1)
{
	return h1->state == H1_LENGTH || h1->state == H1_CHUNKED || h1->state == H1_TRAILERS;
}

#endif

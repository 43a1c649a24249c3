/* health.h - how a target has been doing, learnt from the requests it got.
 *
 * Passive: no probe of its own ever costs a token. Pure: time and chance arrive
 * as arguments, so that a trace gives the same transitions every time. Whoever
 * shares one between threads guards it (pipeline/board.c). Times are monotonic
 * microseconds.
 *
 * An attempt is told in this order: begin, content (at most once), end (exactly
 * once, with the ticket that begin gave).
 */
#ifndef SL_ROUTING_HEALTH_H
#define SL_ROUTING_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "routing/spread.h"

enum {
	SL_HEALTH_CONSECUTIVE = 5,       /* failures in a row that open the breaker */
	SL_HEALTH_WINDOW_S = 10,
	SL_HEALTH_WINDOW_MIN = 20,       /* results in the window before a share counts */
	SL_HEALTH_COOL_MS = 1000,        /* base; doubles with each opening in a row */
	SL_HEALTH_COOL_MAX_MS = 30000,
	SL_HEALTH_RETRY_AFTER_MAX_MS = 600000, /* believed of a provider */
	SL_HEALTH_LATENCY_TAU_MS = 10000, /* in which an old latency loses its weight */
};

enum sl_breaker { SL_BREAKER_CLOSED, SL_BREAKER_OPEN, SL_BREAKER_HALF_OPEN, SL_BREAKER_STATES };
const char *sl_breaker_name(enum sl_breaker breaker); /* "closed", "open", "half_open" */

/* How an attempt ended, as far as the target is concerned. */
enum sl_verdict {
	SL_VERDICT_OK,      /* it answered, were it to refuse the request as wrong */
	SL_VERDICT_FAILED,  /* not reached, 5xx, broken, cut, an error in the stream */
	SL_VERDICT_LIMITED, /* 429: it lives and wants fewer requests */
	SL_VERDICT_NONE,    /* nothing was learnt: the caller left, or we did not send */
};

struct sl_health {
	enum sl_breaker breaker;
	uint32_t        epoch;       /* openings so far: results of earlier ones are late */
	uint32_t        trips;       /* openings since the last good end: back-off */
	uint32_t        consecutive; /* failures in a row */
	uint64_t        open_until_us;
	uint64_t        cool_until_us; /* the provider asked for quiet until then */
	uint32_t        in_flight;
	uint32_t        max_in_flight; /* 0: no limit; set by whoever knows it */
	/* Results of the last seconds, bucket s % SL_HEALTH_WINDOW_S. */
	struct {
		uint64_t second;
		uint32_t total, failed;
	} window[SL_HEALTH_WINDOW_S];
	/* Peak EWMA of the time to first content: [0] whole replies, [1] streams. */
	double          latency_us[2];
	uint64_t        latency_at_us[2];
	struct sl_spread spread[2];  /* of the same */
	double          error_rate;  /* EWMA of 0 and 1 over results */
	uint64_t        attempts, failures, limited, opened; /* since the start */
};

struct sl_health_ticket {
	uint64_t begin_us;
	uint32_t epoch;
	bool     probe;
	bool     stream;
	bool     told; /* content came */
};

/* What policies and people see. */
struct sl_health_figures {
	enum sl_breaker breaker;
	bool            ejected;     /* not to be used while there is another */
	uint64_t        due_us;      /* when it may be used again; 0: now */
	bool            full;        /* as many are in flight as may be */
	bool            cooling;     /* it asked for quiet, and is well else */
	uint32_t        in_flight;
	uint64_t        latency_us;  /* time to first content; 0: unknown */
	double          error_rate;  /* 0 to 1 */
};

/* Zero-initialised is a target nobody knows: closed, no figures. */
void sl_health_figures(const struct sl_health *health, bool stream, uint64_t now_us,
                       struct sl_health_figures *out);

/* Whether an attempt may go there; `last`: there is no other target, so it may unless
 * max_in_flight are there. True: it is in flight and *ticket is due to sl_health_end. When the
 * cool-down of an open breaker is over, the one attempt that asks first is the
 * probe, and the breaker half-open until that one is told. */
bool sl_health_begin(struct sl_health *health, bool stream, bool last, uint64_t now_us,
                     struct sl_health_ticket *ticket);
/* The first content came: the target lives. */
void sl_health_content(struct sl_health *health, struct sl_health_ticket *ticket,
                       uint64_t now_us);
/* retry_after_ms: what the provider asked for, 0: nothing. chance: uniformly
 * random, for the jitter of the cool-down. */
void sl_health_end(struct sl_health *health, const struct sl_health_ticket *ticket,
                   enum sl_verdict verdict, uint64_t retry_after_ms, uint64_t now_us,
                   uint64_t chance);

/* Of a probe that cost nothing. alive: an open breaker takes its one attempt at once, but
 * not again when that failed; else it takes none before until_us. Others are left alone. */
void sl_health_hint(struct sl_health *health, bool alive, uint64_t now_us, uint64_t until_us);

/* How many further attempts all requests together may make: a tenth of the
 * requests of the last ten seconds, at least SL_RETRY_FLOOR. A provider that is
 * down for everybody is not asked three times by each. */
enum { SL_RETRY_FLOOR = 50, SL_RETRY_SHARE = 10 };
struct sl_retry_budget {
	struct {
		uint64_t second;
		uint32_t requests, retries;
	} window[SL_HEALTH_WINDOW_S];
};
void sl_retry_request(struct sl_retry_budget *budget, uint64_t now_us);
/* True: one was taken. */
bool sl_retry_take(struct sl_retry_budget *budget, uint64_t now_us);

/* Second attempts beside a slow first one (pipeline/hedge.h): each request earns its
 * percent of one, and no more than SL_HEDGE_BURST are saved up. So they are never more
 * than that percent of the requests, and after a quiet hour no flood. Zero: none yet. */
enum { SL_HEDGE_BURST = 10 };
struct sl_hedge_budget {
	uint32_t hundredths;
};
void sl_hedge_earn(struct sl_hedge_budget *budget, uint32_t percent);
/* True: one was taken. */
bool sl_hedge_take(struct sl_hedge_budget *budget);

#endif

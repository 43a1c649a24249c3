/* record.h - what happened to one ask, told once.
 *
 * The pipeline fills one of these when an ask ends, whatever the end; the
 * telemetry room turns it into the stored row, the access-log line and the
 * metrics. No prompt, no answer and no secret has a field here.
 */
#ifndef SL_TELEMETRY_RECORD_H
#define SL_TELEMETRY_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "model/fault.h"
#include "model/usage.h"

/* id, name in records, logs and metrics */
#define SL_OUTCOMES(X)                                                                 \
	X(OK, "ok")                         /* answered completely */                  \
	X(REFUSED, "refused")               /* refused before any upstream byte */     \
	X(UPSTREAM_ERROR, "upstream_error") /* the provider's error, relayed */        \
	X(FAILED, "failed")                 /* no usable answer from upstream */       \
	X(CUT, "cut")                       /* the stream lacked its proper end */     \
	X(CLIENT_GONE, "client_gone")       /* the caller hung up first */             \
	X(SHUTDOWN, "shutdown")             /* the grace period ended */

enum sl_outcome {
#define SL_OUTCOME_ENUM(id, name) SL_OUTCOME_##id,
	SL_OUTCOMES(SL_OUTCOME_ENUM)
#undef SL_OUTCOME_ENUM
	SL_OUTCOME_COUNT,
};
const char *sl_outcome_name(enum sl_outcome outcome); /* "ok", "refused", ... */

/* Slices are borrowed for the call; long ones are cut where stored. */
struct sl_record {
	struct sl_slice request_id;   /* ours: "req_" + ULID */
	struct sl_slice client_request_id; /* the caller's x-request-id, a label */
	struct sl_slice trace_id;     /* 32 hex, may be empty */
	int64_t         begin_wall_ms;
	struct sl_slice key_id, team, workspace, end_user, tag;
	struct sl_slice surface, shape, operation;
	struct sl_slice model_requested;
	struct sl_slice provider;     /* configured name; empty: none was asked */
	struct sl_slice model_served; /* the provider's id that was asked for */
	struct sl_slice model_reported; /* as the reply names it */
	struct sl_slice deployment;
	struct sl_slice translation;  /* what was changed or lost between two APIs */
	struct sl_slice bids;         /* of the auction that chose where it went */
	int             status;       /* sent to the caller; 0: nothing was sent */
	int             upstream_status; /* 0: no reply */
	bool            stream;
	bool            cached;       /* it had been given before */
	enum sl_outcome outcome;
	enum sl_fault_kind fault;
	struct sl_usage usage;
	bool            priced;
	int64_t         cost_nanousd; /* when priced */
	struct sl_slice price_date;
	struct sl_slice bucket;       /* "direct" where no classifier ran, else: */
	struct sl_slice category;     /* what kind of request it judged this to be; */
	double          score;        /* 0-1, how much a stronger model is worth */
	uint32_t        attempts;     /* upstream tries */
	uint64_t        bytes_in, bytes_out; /* bodies */
	/* Durations in microseconds, 0 where it did not come to that. */
	uint64_t        total_us;     /* first byte of the request to the end */
	uint64_t        first_content_us; /* ... to the first content sent */
	uint64_t        upstream_us;  /* attempt start to its end, last attempt */
	uint64_t        added_us;     /* in here: body complete to upstream send, plus reply head to first byte out */
};

#endif

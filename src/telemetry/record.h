/* record.h - what happened to one ask, told once.
 *
 * The pipeline fills one of these when an ask ends, whatever the end, most of it where it
 * will be stored; the telemetry room puts what it knows as numbers into words and makes the
 * access-log line and the metrics of it. No prompt, no answer and no secret has a field here.
 */
#ifndef SL_TELEMETRY_RECORD_H
#define SL_TELEMETRY_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "model/fault.h"
#include "model/usage.h"
#include "store/store.h"

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

/* Slices are borrowed for the call; long ones are cut where stored. Of the row: durations
 * are in microseconds, 0 where it did not come to that; total_us is from the first byte of
 * the request to the end, first_content_us to the first content sent, upstream_us from the
 * start of the last attempt to its end, added_us what was spent in here: body complete to
 * upstream send, plus reply head to first byte out. Its outcome, fault, usage, usage_source,
 * end_wall_ms, score_permille, cached and unpriced follow from the others (row.h). */
struct sl_record {
	struct sl_record_row row;
	enum sl_outcome      outcome;
	enum sl_fault_kind   fault;
	bool                 priced;  /* else the row's cost is of no account */
	bool                 cached;  /* it had been given before */
	double               score;   /* 0-1, how much a stronger model is worth; of no account
	                               * without a category */
	struct sl_usage      usage;
};

#endif

/* spend.h - the money of an ask. Private to the pipeline.
 *
 * One attempt, one hold: taken before any upstream byte, ended exactly once whatever
 * became of the attempt.
 *
 *   NONE --begin--> [WAITS --ready-->] HELD --sent--> DISPATCHED --end--> NONE
 *                       |               |                              ^
 *                       '---------------'------------ end -------------'
 *
 * sl_attempt_drop and sl_ask_settle call sl_spend_end; every way out of an attempt
 * passes one of them, and a new attempt cannot begin before. What was bought:
 *
 *   no reply, request not sent whole, or refused   nothing
 *   an error reply                                 nothing
 *   no reply in time, or nobody waited for it      the input, counted
 *   a whole answer, or one cut off                 what the provider reported; counted
 *                                                  here where it reported nothing, or less
 *
 * What is counted never exceeds the hold (it is then the bound); what a provider
 * reports above it goes to the operator's overrun book.
 */
#ifndef SL_PIPELINE_SPEND_H
#define SL_PIPELINE_SPEND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/fault.h"

struct sl_ask;
struct sl_hold;
struct sl_plan_target;

struct sl_spend {
	struct sl_hold *hold;         /* of the running attempt; NULL: nobody pays */
	bool            open;         /* an attempt is under way */
	bool            bound;        /* a budget limits it: the hold is what it may cost */
	bool            gave_up;      /* its reply did not come in time */
	bool            bought;       /* an attempt so far may be charged for, */
	bool            priced;       /* and this is known of one: */
	int64_t         input_tokens; /* of the request, counted; -1: not yet */
	int64_t         output_limit; /* to be put into the request; 0: none */
	int64_t         cost_nanousd; /* of all attempts so far */
	uint64_t        told_ns;      /* the last progress mark */
	uint32_t        attempt_no;   /* of the running attempt */
	uint32_t        mark, mark_no; /* of the ended attempt with the highest number; 0: none */
};

/* Whether no provider charges for it: it needs no bound, and no budget refuses it. */
bool sl_spend_is_free(const struct sl_ask *ask);
/* Holds what the attempt may cost at most. SL_OK: go on. SL_AGAIN: on_held follows,
 * once, unless the attempt is dropped before. Else refused: *fault says why, and
 * whether another target may do better (its kind is BAD_REQUEST then). */
enum sl_err sl_spend_begin(struct sl_ask *ask, const struct sl_plan_target *target,
                           void (*on_held)(struct sl_ask *ask, enum sl_err err),
                           struct sl_fault *fault);
/* Right before the request is handed to the wire. */
void sl_spend_sent(struct sl_ask *ask);
/* Bytes of a stream were read: marks what it costs so far, about once a second. */
void sl_spend_progress(struct sl_ask *ask);
/* The request's bytes are about to be freed: counts its input if that was not done. */
void sl_spend_count_input(struct sl_ask *ask);
/* The attempt is over, or its usage is final: settles, or releases. Sets the ask's
 * usage to what was charged for. Nothing when no attempt is under way. */
void sl_spend_end(struct sl_ask *ask);
/* The ask's record is written, or there will be none. */
void sl_spend_recorded(struct sl_ask *ask);
/* "1.25": all digits that say something. */
struct sl_slice sl_spend_usd(struct sl_arena *arena, int64_t nanousd);
/* A wait for the hold ended in an error. */
SL_COLD void sl_spend_explain_store(struct sl_fault *fault);

#endif

/* waiting.h - a request that finds no room waits for it. Private to the pipeline.
 *
 * With router.queue, for two things: a limit of requests at a time (of the key or what it
 * belongs to), and targets that all have as many requests as they may or asked for quiet.
 * Tenants take turns (queue.h): workspaces at targets, keys at a limit.
 *
 *   --no room--> WAITING --turn, room--> goes on
 *                 |  ^  '--turn, none---> (first of its line again)
 *                 |  '-------------------'
 *                 '--router.queue.wait_ms, or X-Stainless-Timeout of the SDK, or displaced:
 *                    503 or 429 with Retry-After
 *
 * Nothing is held while it waits: what it may cost is known for a target only, and a hold
 * would keep others of the same budget out for as long. It is held, or refused for its
 * cost, when room is there. Nor does one that waits for a limit count in it. A caller who
 * leaves gives the place up at once. owner: loop.
 */
#ifndef SL_PIPELINE_WAITING_H
#define SL_PIPELINE_WAITING_H

#include <stdbool.h>
#include <stdint.h>

#include "model/fault.h"
#include "net/loop.h"

struct sl_ask;
struct sl_place;
struct sl_plan_target;

/* On the ask's front. */
struct sl_waiting {
	struct sl_place *place;    /* NULL: it does not wait */
	struct sl_timer  timer;
	uint64_t         until_ms; /* of the loop's clock; 0: it never waited */
	uint64_t         begin_ns, waited_ns; /* since when; all of it, when it waits no more */
	bool             turn;     /* its turn came and was not used yet */
	bool             over;     /* it waited long enough, or lost its place */
	bool             for_limit; /* of requests at a time; else for targets */
	bool             failed;   /* an attempt did, before: */
	struct sl_fault  why;      /* as which fault; or the limit's refusal */
	uint32_t         retried;  /* attempts that the retry budget was asked for */
};

/* Whether requests may wait. */
bool sl_waiting_may(const struct sl_ask *ask);
/* Nothing is left to be tried; last: why the last attempt failed, or NULL. True: the ask
 * waits, and sl_attempt_again follows. */
bool sl_waiting_for_targets(struct sl_ask *ask, const struct sl_fault *last);
/* A limit of requests at a time refused it. True: it waits, and sl_gateway_admit follows. */
bool sl_waiting_for_limit(struct sl_ask *ask, const struct sl_fault *refused);
/* Whether the target is left alone: others wait for it, or it asked for quiet and that
 * can be waited for. */
bool sl_waiting_skips(struct sl_ask *ask, const struct sl_plan_target *target);
/* There was room, and it is taken. Harmless for one that did not wait. */
void sl_waiting_over(struct sl_ask *ask);
/* The ask ends. */
void sl_waiting_cancel(struct sl_ask *ask);
/* What somebody may wait for, a meter or a target of the board, is used less; NULL is
 * fine. */
void sl_waiting_freed(struct sl_ask *ask, const void *thing);
/* Why it goes nowhere: no target has room. Text is on the exchange. */
void sl_waiting_explain(struct sl_ask *ask, struct sl_fault *fault);

#endif

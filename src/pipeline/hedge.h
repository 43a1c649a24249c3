/* hedge.h - a second attempt beside a first that is slow. Private to the pipeline.
 *
 * When the first target has given no content after a delay, the next target of the plan is
 * asked too. The first content of either is the answer; the other attempt is cancelled and
 * settled like any attempt that nobody waits for: each has its own row and its own hold,
 * taken before it is sent. One that fails while the other runs leaves the answer to it.
 *
 *   NONE --launched--> ARMED --slow, allowed--> RACING --content of one--> NONE
 *                        |                        |
 *                        '---- content, end ------'---- one failed, the other goes on
 *
 * Allowed: a target that is well, router.retries, the retry budget, the hedge budget, room
 * for the second hold. Never for what must not be made twice: a request with an
 * Idempotency-Key, one of an auction, one that the caller pays for itself, one that lets
 * the provider run tools, one that it stores or continues, and anything but text and
 * embeddings.
 *
 * While two run, one stands in the ask's own members and the other is parked; they change
 * places when the other's reply has something to say. Whatever handles a reply therefore
 * knows one attempt only.
 */
#ifndef SL_PIPELINE_HEDGE_H
#define SL_PIPELINE_HEDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/config.h"

struct sl_ask;
struct sl_board;
struct sl_plan_target;
struct sl_shape_ops;
struct sl_steer;

/* What holds for a target's alias, else for the router; NULL: no hedging. */
const struct sl_config_hedge *sl_hedge_of(const struct sl_config *config,
                                          const struct sl_plan_target *target);
/* When an attempt at the target counts as slow, in microseconds; 0: not known yet. */
uint64_t sl_hedge_delay_us(const struct sl_config_hedge *hedge, const struct sl_config *config,
                           struct sl_board *board, const struct sl_plan_target *target,
                           bool stream);

/* Whether it does nothing but cost when a request is made twice, as far as it tells. */
bool sl_hedge_may_double(const struct sl_shape_ops *shape, const struct sl_steer *steer);

/* An attempt is on its way. */
void sl_hedge_arm(struct sl_ask *ask);
/* Content came of the ask's own attempt: the other is over. */
void sl_hedge_decide(struct sl_ask *ask);
/* The ask's own attempt failed. True: the other is its own now, and goes on. */
bool sl_hedge_go_on(struct sl_ask *ask);
/* Nobody waits for a second attempt any more: ends the parked one. Harmless when there is
 * none. */
void sl_hedge_end(struct sl_ask *ask);

#endif

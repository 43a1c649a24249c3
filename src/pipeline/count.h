/* count.h - tokens of a request, counted here where the provider cannot be asked.
 *
 * The answer is the one of the API that was called, is free of charge, and names its
 * method in X-Gateway-Translation-Warnings: count_exact, or, as losses that a strict
 * request refuses, count_calibrated and count_by_length (docs/tokens.md). Private to the
 * pipeline; owner: loop.
 */
#ifndef SL_PIPELINE_COUNT_H
#define SL_PIPELINE_COUNT_H

#include <stdbool.h>

#include "model/fault.h"

struct sl_ask;
struct sl_plan_target;

/* Answers a count for the target's model (sl_lane_ends_here). False: *fault says why not. */
bool sl_count_answer(struct sl_ask *ask, const struct sl_plan_target *target,
                     struct sl_fault *fault);
/* The provider has answered a count with the error that is held. True: the error says that
 * there is no such operation, and the count was answered here. */
bool sl_count_replaces(struct sl_ask *ask);

#endif

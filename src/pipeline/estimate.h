/* estimate.h - POST /v1/estimate: what a request would cost, without sending it. */
#ifndef SL_PIPELINE_ESTIMATE_H
#define SL_PIPELINE_ESTIMATE_H

#include <stdbool.h>

#include "shapes/shape.h"

struct sl_ask;

/* The shape of such a request, for envelopes and records; no provider speaks it. */
extern const struct sl_shape_ops sl_shape_estimate;

bool sl_estimate_owns(struct sl_slice path);
/* The body is complete and read: answers or refuses. */
void sl_estimate_answer(struct sl_ask *ask);

#endif

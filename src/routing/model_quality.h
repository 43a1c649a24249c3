/* model_quality.h - models whose answers the training data knows by name.
 */
#ifndef SL_ROUTING_MODEL_QUALITY_H
#define SL_ROUTING_MODEL_QUALITY_H

#include "routing/classify.h"

/* What is expected of the model's answer where each tier's is `tiers`. The name is compared
 * without a vendor before a slash, without marks and case, as far as the known one goes, so
 * that providers may call it what they like. False: not known, *quality is left alone. */
bool sl_model_quality(struct sl_slice model, const double tiers[SL_BUCKETS], double *quality);

#endif

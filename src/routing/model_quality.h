/* model_quality.h - models whose answers the training data knows by name.
 */
#ifndef SL_ROUTING_MODEL_QUALITY_H
#define SL_ROUTING_MODEL_QUALITY_H

#include "routing/model_heads.h"

/* A prompt whose heads are read when the first model asks for one. */
struct sl_model_heads_of {
	const struct sl_prompt *prompt; /* NULL: it could not be judged */
	bool                    read;
	double                  quality[SL_MODEL_HEADS_MAX];
};

/* What is expected of the model's answer: by its own head, else by what it does better or
 * worse than its tier, where each tier's expectation is `tiers`. heads: NULL, of no prompt.
 * The name is compared without a vendor before a slash, without marks and case, as far as
 * the known one goes, so that providers may call it what they like. False: not known,
 * *quality is left alone. */
bool sl_model_quality(struct sl_slice model, const double tiers[SL_BUCKETS],
                      struct sl_model_heads_of *heads, double *quality);

#endif

/* model_heads.h - how good an answer of models that the training data knows by name is
 * expected to be for a prompt.
 */
#ifndef SL_ROUTING_MODEL_HEADS_H
#define SL_ROUTING_MODEL_HEADS_H

#include "routing/classify.h"

enum { SL_MODEL_HEADS_MAX = 16 };

/* Of each head, 0-1; model_quality.inc says which is whose. Some microseconds. */
void sl_model_heads(const struct sl_prompt *prompt, double quality[SL_MODEL_HEADS_MAX]);

#endif

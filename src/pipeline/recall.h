/* recall.h - the same question again gets the same answer, without a purchase.
 *
 * For callers whose contract has a cache (sl_selection.cache_s) and requests that say
 * they are deterministic: temperature 0. What may be given back was given to the same
 * key, for the same bytes, on the same path, with the same header fields but those that
 * differ with every request, under the same configuration. Private to the pipeline.
 *
 *   planned --found--> answered, cost 0, nothing sent
 *      '-- not found --> bought --whole and good--> kept
 */
#ifndef SL_PIPELINE_RECALL_H
#define SL_PIPELINE_RECALL_H

#include <stdbool.h>

#include "base/slice.h"

struct sl_ask;
struct sl_recall; /* an answer that is to be kept; on the exchange's arena */

/* The request was allowed and has a plan. False: it is answered from what is kept. */
bool sl_recall_answer(struct sl_ask *ask);
/* The head of the answer goes out, which is to be kept with what is told of it. */
void sl_recall_head(struct sl_ask *ask);
/* It was complete. */
void sl_recall_keep(struct sl_ask *ask, int status, struct sl_slice content_type,
                    struct sl_slice body);

#endif

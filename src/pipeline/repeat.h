/* repeat.h - a request with an Idempotency-Key is served once. Private to the pipeline.
 *
 * The answer is written down while it goes out; when it was complete it is kept
 * (ledger/answers.h) with what its head told of the choice, and the same request gets it
 * again without a purchase. A caller
 * who hung up and whose answer was read on (drain.h) finds it that way. What failed is
 * not kept: the caller may try again.
 */
#ifndef SL_PIPELINE_REPEAT_H
#define SL_PIPELINE_REPEAT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/headers.h"

struct sl_answer;
struct sl_ask;
struct sl_recall;

/* On the exchange's arena. */
struct sl_repeat {
	struct sl_answer *claim; /* NULL: no Idempotency-Key */
	struct sl_recall *recall; /* NULL: nothing for the cache (recall.h). Never both. */
	int               status;
	struct sl_slice   content_type, told; /* on the exchange's arena */
	struct sl_buf     body;
};

/* The request is read and nothing was bought. False: it is answered, with what is kept
 * or with a refusal (409, 422). */
bool sl_repeat_begin(struct sl_ask *ask);
/* From here the answer is written down, up to so many bytes. False: out of memory. */
bool sl_repeat_write(struct sl_ask *ask, struct sl_answer *claim, struct sl_recall *recall,
                     size_t max_size);
/* The head and the body of the answer, as they go to the caller. */
void sl_repeat_head(struct sl_ask *ask, int status, const struct sl_header *headers,
                    size_t count);
void sl_repeat_body(struct sl_ask *ask, struct sl_slice bytes);
/* The ask is over. */
void sl_repeat_end(struct sl_ask *ask);

#endif

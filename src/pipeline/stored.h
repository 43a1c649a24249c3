/* stored.h - answers that the gateway keeps for callers of POST /v1/responses. Private to
 * the pipeline.
 *
 * OpenAI keeps the answers it gave. Where another API gave one, the gateway does, unless
 * the request says store: false (ledger/responses.h):
 *
 *   POST with previous_response_id of ours
 *        --the store--> the conversation's items before the request's own --> its journey
 *   a translated answer ends           --> kept, before its last bytes go out
 *   GET, DELETE /v1/responses/{id}, GET .../input_items      from the store
 *
 * An id of a provider's own goes to that provider as it is, and to no other. With
 * responses.keep_days 0 nothing is kept, `store` is false in the answer, and a request
 * that insists on store: true is refused by whoever would have to keep it.
 *
 * owner: loop.
 */
#ifndef SL_PIPELINE_STORED_H
#define SL_PIPELINE_STORED_H

#include <stdbool.h>

#include "base/slice.h"

struct sl_ask;
struct sl_fault;

enum sl_stored_page { SL_STORED_NONE, SL_STORED_GET, SL_STORED_ITEMS, SL_STORED_DELETE };

/* With the head: whether the path is one of a kept answer. True: it is answered (405), or
 * sl_stored_run will. */
bool sl_stored_owns(struct sl_ask *ask);
/* With the end of the request. True: it was for such a path. */
bool sl_stored_run(struct sl_ask *ask);
/* The request was read. True: it goes on from an answer of ours, and either waits for it,
 * then sl_ask_go_on follows, or is answered. */
bool sl_stored_expand(struct sl_ask *ask);
/* The body as the caller sent it, for what answers repeat of it. */
struct sl_slice sl_stored_body(const struct sl_ask *ask);
/* Whether the answer of an attempt that is translated will be kept. False with a fault
 * of a kind: it must be and cannot. */
bool sl_stored_wanted(const struct sl_ask *ask, struct sl_fault *fault);
/* The translated answer is complete: the response object. */
void sl_stored_keep(struct sl_ask *ask, struct sl_slice response);
void sl_stored_gone(struct sl_ask *ask);

#endif

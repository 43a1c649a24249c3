/* verify.h - look at a whole answer before the caller gets it. Private to the pipeline.
 *
 *   good answer ---------------------------------------------> sent, "passed"
 *      '-- strong: set aside, a second model is asked --PASS-> sent, "passed"
 *                                  |           '-- no word --> sent, "unverified"
 *                                 FAIL
 *   bad answer --------------------'--> set aside, a stronger target is asked, once
 *                                           |-- good --------> that is sent, "escalated"
 *                                           |-- bad as well -> that is sent, "failed"
 *                                           '-- no answer ---> the first is sent, "failed"
 *
 * Every one of these attempts is held, paid and recorded as any other. Streams are not
 * verified: what was sent cannot be taken back.
 */
#ifndef SL_PIPELINE_VERIFY_H
#define SL_PIPELINE_VERIFY_H

#include <stdbool.h>

struct sl_ask;
struct sl_ask_front;
struct sl_verify;

/* A whole good reply is in ask->held. True: it was set aside, another attempt is under
 * way or has ended it all. False: send what is held. */
bool sl_verify_answer(struct sl_ask *ask);
/* No further attempt will bring an answer. True: the one that was set aside was sent. */
bool sl_verify_fall_back(struct sl_ask *ask);
/* Attempts beyond router.retries. */
unsigned sl_verify_extra(const struct sl_ask *ask);
/* With the front. */
void sl_verify_release(struct sl_ask_front *front);

#endif

/* learn.h - what providers report corrects what is estimated. */
#ifndef SL_PIPELINE_LEARN_H
#define SL_PIPELINE_LEARN_H

struct sl_ask;

/* After an attempt was sent: now and then the request is counted, while its provider is
 * at work. */
void sl_learn_count(struct sl_ask *ask);
/* At the end: usage that came back for a request that was counted is noted. */
void sl_learn_note(struct sl_ask *ask);

#endif

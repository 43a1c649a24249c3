/* bidding.h - auctions among the configured agents. Private to the pipeline.
 *
 *   stoPayload.stoAuction --agents, their record--> auction --AIX--> the winner's route
 *                                                      '----AIR--> the ranking, answered
 */
#ifndef SL_PIPELINE_BIDDING_H
#define SL_PIPELINE_BIDDING_H

#include <stdbool.h>

struct sl_ask;

/* The request was read: when it names the auction, the winner's route takes the name's
 * place. False: answered, with the ranking or a refusal. */
bool sl_bidding_apply(struct sl_ask *ask);
/* The end: how the winner did. */
void sl_bidding_note(struct sl_ask *ask);

#endif

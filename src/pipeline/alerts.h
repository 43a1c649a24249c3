/* alerts.h - tell a webhook when a budget is used to so many percent.
 *
 * After each settlement the levels that have a budget are noted; once a second one loop
 * compares what they spent with their thresholds. What is due is marked in the store
 * first, once for ever by level, window, period and threshold, and posted then, so no
 * alert is sent twice; one that a crash catches in between is not sent at all.
 *
 *   touched --over a threshold--> MARKING --new--> POSTING --2xx--> done
 *                                    |               |  ^
 *                                known: done         '--' again, later, a few times
 *
 * sl_alerts_touch: any thread. Everything else, owner: the loop it was started on.
 */
#ifndef SL_PIPELINE_ALERTS_H
#define SL_PIPELINE_ALERTS_H

#include "ledger/tenancy.h"
#include "pipeline/world.h"

struct sl_alerts;
struct sl_money;
struct sl_stacks;
struct sl_store;

/* What it reads. Everything must outlive it. */
struct sl_alert_sources {
	struct sl_store   *store;
	struct sl_money   *money;
	struct sl_keyring *keyring;
	struct sl_tenants *tenants;
	struct sl_stacks  *stacks;
	/* The world in force on the loop; valid during the call. */
	struct sl_world *(*world)(void *context);
	void *context;
};

struct sl_alerts *sl_alerts_new(void);
/* After the store was freed. NULL is fine. */
void sl_alerts_free(struct sl_alerts *alerts);
/* Before the loop runs. */
void sl_alerts_start(struct sl_alerts *alerts, struct sl_loop *loop, struct sl_client *client,
                     const struct sl_alert_sources *sources);
/* Ends what is being posted; before the client is freed. */
void sl_alerts_stop(struct sl_alerts *alerts);
/* Something was spent, or refused for want of budget. */
void sl_alerts_touch(struct sl_alerts *alerts, const struct sl_tenancy *tenancy);

/* The same of a stack, which may have a budget of its own. */
void sl_alerts_touch_stack(struct sl_alerts *alerts, struct sl_slice slug);

/* Where a configuration wants them: fills world->alert. False: *reason says why not. */
bool sl_alerts_prepare(struct sl_world *world, struct sl_buf *reason);

#endif

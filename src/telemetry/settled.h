/* settled.h - waits until the records that there are now can be read. owner: loop.
 */
#ifndef SL_TELEMETRY_SETTLED_H
#define SL_TELEMETRY_SETTLED_H

#include "net/loop.h"

struct sl_telemetry;

struct sl_settled {
	struct sl_timer      timer; /* private, as the rest */
	struct sl_loop      *loop;
	struct sl_telemetry *telemetry;
	uint64_t             mark;
	unsigned             steps;
	void (*then)(struct sl_settled *settled);
};

/* then: once, perhaps before this returns, when every record that was queued is stored, or
 * the store has not taken them for half a second. telemetry may be NULL. */
void sl_settled_wait(struct sl_settled *settled, struct sl_telemetry *telemetry,
                     struct sl_loop *loop, void (*then)(struct sl_settled *settled));
/* then is not called any more. What was never waited for, too, if it is zeros. */
void sl_settled_cancel(struct sl_settled *settled);

#endif

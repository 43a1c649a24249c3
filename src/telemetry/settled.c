/* settled.c - a look at the writer every few milliseconds. */
#include "telemetry/settled.h"

#include "base/compiler.h"
#include "telemetry/telemetry.h"

enum { STEP_MS = 5, STEPS = 100 };

static void
look(struct sl_timer *timer)
{
	struct sl_settled *settled = SL_CONTAINER(timer, struct sl_settled, timer);

	if (settled->telemetry && !sl_telemetry_stored(settled->telemetry, settled->mark) &&
	    settled->steps++ < STEPS)
		sl_timer_set(settled->loop, &settled->timer, STEP_MS);
	else
		settled->then(settled);
}

void
sl_settled_wait(struct sl_settled *settled, struct sl_telemetry *telemetry, struct sl_loop *loop,
                void (*then)(struct sl_settled *settled))
{
	settled->telemetry = telemetry;
	settled->loop = loop;
	settled->then = then;
	settled->mark = telemetry ? sl_telemetry_mark(telemetry) : 0;
	settled->steps = 0;
	settled->timer.on_due = look;
	look(&settled->timer);
}

void
sl_settled_cancel(struct sl_settled *settled)
{
	sl_timer_clear(&settled->timer);
}

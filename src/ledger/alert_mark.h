/* alert_mark.h - what was told of a budget, each once for ever.
 */
#ifndef SL_LEDGER_ALERT_MARK_H
#define SL_LEDGER_ALERT_MARK_H

#include "store/store.h"

/* Embedded in its owner, who keeps it until done. */
struct sl_alert_mark {
	struct sl_slice id; /* level, name, window, period, threshold */
	int64_t         now_wall_ms;
	struct sl_loop *loop;
	enum sl_err     err; /* SL_OK: it is new, and durable; SL_EEXIST: it was marked before */
	void          (*done)(struct sl_alert_mark *mark); /* on the loop */
	struct sl_store_job job; /* private */
};
/* SL_OK: done follows. */
enum sl_err sl_alert_mark(struct sl_store *store, struct sl_alert_mark *mark);

#endif

/* pace.h - requests come in no faster than their records are written. Private to the
 * pipeline.
 *
 * Every request leaves a row. When more rows wait for the store than it should be behind,
 * requests wait, in the order they came, while it writes: who asks again only after an
 * answer is slowed, and nobody is refused. A store that stands still helps nobody who
 * waits; then requests go on, as long as there is memory for their rows
 * (limits.record_queue_bytes), and beyond that they are refused (gateway.c).
 *
 *   on_request --rows wait, store writes--> HELD --fewer rows, store stands still,
 *                                            |     PACE_MAX_MS--> goes on
 *                                            '--caller is gone--> left
 *
 * The same holds when the ledger's journal is behind (sl_money_behind), for two seconds at
 * most. What waits has its row's room already. What is answered at its head does not wait;
 * it leaves no row while many wait (sl_telemetry_finish_headed). owner: loop.
 */
#ifndef SL_PIPELINE_PACE_H
#define SL_PIPELINE_PACE_H

#include <stdbool.h>

#include "net/loop.h"

struct sl_ask;
struct sl_gateway;

/* The gateway's. */
struct sl_pace {
	struct sl_list  held;  /* asks, the longest waiting first */
	struct sl_timer timer; /* while there are any */
};

/* An ask's place. Zero-initialised: not held. */
struct sl_pace_place {
	struct sl_list node;
	struct sl_ask *ask;
	uint64_t       since_ms;
};

void sl_pace_init(struct sl_pace *pace);
/* True: it waits, and sl_gateway_begin follows, unless it leaves before. */
bool sl_pace_hold(struct sl_ask *ask);
/* Harmless for one that does not wait. */
void sl_pace_leave(struct sl_ask *ask);

#endif

/* drain.h - an answer that is read on although its caller hung up. Private to the
 * pipeline.
 *
 * What a provider was asked for is paid for, whoever listens; its true cost stands at
 * the end of the answer. For a key with on_disconnect "drain" the ask is therefore moved
 * off its exchange and the answer is read to its end, within limits.drain_ms and
 * limits.drain_bytes. No further attempt is made for it.
 *
 *   caller gone --sl_drain_begin--> DRAINING --answered, or a limit--> sl_ask_gone
 */
#ifndef SL_PIPELINE_DRAIN_H
#define SL_PIPELINE_DRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "net/server.h"

struct sl_ask;
struct sl_gateway;

struct sl_drain {
	struct sl_list  node;       /* in gateway->drains */
	struct sl_timer timer;
	struct sl_ask  *ask;
	uint64_t        bytes_left;
	uint64_t        bytes_out;  /* that the caller got */
};

/* From on_gone. True: the ask lives on, and is none of the exchange's any more. */
bool sl_drain_begin(struct sl_ask *ask, enum sl_gone_reason why);
/* Bytes of the reply came. */
void sl_drain_took(struct sl_ask *ask, size_t bytes);
/* The ask is answered: it ends with the loop's next turn. */
void sl_drain_answered(struct sl_ask *ask);
/* The process ends: all of them do, charged for what came so far. */
void sl_drain_stop_all(struct sl_gateway *gateway);

#endif

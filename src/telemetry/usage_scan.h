/* usage_scan.h - sums over the records of one key, taken in one by one.
 *
 * No store and no thread: usage_sums.c reads, this adds up.
 */
#ifndef SL_TELEMETRY_USAGE_SCAN_H
#define SL_TELEMETRY_USAGE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "model/usage.h"
#include "store/log_store.h"

enum {
	SL_SPAN_STEPS = 64, /* of each doubling */
	SL_SPAN_CELLS = 27 * SL_SPAN_STEPS, /* up to 2^32 us, more than an hour */
};

struct sl_usage_scan {
	struct sl_arena          arena; /* of the calls' text */
	struct sl_usage_question question;
	struct sl_usage_hour    *hours;  /* the newest first; NULL: not wanted */
	size_t                   hour_count, hour_room;
	struct sl_usage_times    times;
	uint64_t                 longest_us;
	uint32_t                 cells[SL_SPAN_CELLS];
	struct sl_usage_call    *calls;  /* room for question.calls */
	size_t                   call_count;
	bool                     out_of_memory;
};

/* Whether the hours have to be read from the records. */
bool sl_usage_is_narrowed(const struct sl_usage_question *question);
/* Takes in the next record, each older than the last. False: nothing more is needed. */
bool sl_usage_scan_take(struct sl_usage_scan *scan, const struct sl_log_row *row);
/* Turns the hours around and works out what remains. */
void sl_usage_scan_end(struct sl_usage_scan *scan);

#endif

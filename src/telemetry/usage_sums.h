/* usage_sums.h - what one key used, hour by hour, read from the store.
 */
#ifndef SL_TELEMETRY_USAGE_SUMS_H
#define SL_TELEMETRY_USAGE_SUMS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "model/usage.h"

struct sl_loop;
struct sl_store;

enum { SL_USAGE_DAYS_MAX = 92 }; /* of one question */

/* One question. owner: the loop that asked; the hours are its own until it is freed. */
struct sl_usage_sums {
	void (*done)(struct sl_usage_sums *sums); /* once, on the loop */
	void                 *user;
	enum sl_err           err;   /* in done */
	struct sl_usage_hour *hours; /* those with requests, in order */
	size_t                count;
};

/* [since, until), at most SL_USAGE_DAYS_MAX days. NULL: no memory, or the store has too
 * much to do; done is then not called. Else it is, and frees. */
struct sl_usage_sums *sl_usage_sums_start(struct sl_store *store, struct sl_loop *loop,
                                          struct sl_slice key_id, int64_t since_wall_ms,
                                          int64_t until_wall_ms,
                                          void (*done)(struct sl_usage_sums *sums), void *user);
void sl_usage_sums_free(struct sl_usage_sums *sums);

#endif

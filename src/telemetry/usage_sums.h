/* usage_sums.h - what one key used, read from the store: hour by hour, and how it went.
 *
 * Hours that nothing narrows are the sums that the store keeps. Everything else is read
 * from the records, in pieces, of which there may be SL_USAGE_RECORDS_MAX in all.
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
struct sl_telemetry;

enum {
	SL_USAGE_DAYS_MAX = 400,         /* of one question */
	SL_USAGE_RECORDS_MAX = 1000000,  /* of all keys, that are looked at for one */
	SL_USAGE_CALLS_MAX = 1000,       /* told one by one */
};

/* One question. owner: the loop that asked; what is told is its own until it is freed. */
struct sl_usage_sums {
	void (*done)(struct sl_usage_sums *sums); /* once, on the loop */
	void                 *user; /* NULL: nobody waits any more */
	/* In done. SL_ELIMIT: narrowed hours of a time that has more records. */
	enum sl_err           err;
	struct sl_usage_hour *hours; /* those with requests, in order */
	size_t                count;
	bool                  has_times; /* asked for, and not of too many records */
	struct sl_usage_times times;
	struct sl_usage_call *calls;     /* the newest first */
	size_t                call_count;
};

/* Of at most SL_USAGE_DAYS_MAX days, with every request that has ended before. NULL: no
 * memory; done is then not called. Else it is, and frees. */
struct sl_usage_sums *sl_usage_sums_start(struct sl_store *store,
                                          struct sl_telemetry *telemetry,
                                          struct sl_loop *loop, struct sl_slice key_id,
                                          const struct sl_usage_question *question,
                                          void (*done)(struct sl_usage_sums *sums), void *user);
/* Nobody waits for it any more: its user is NULL in done, or there is no done. */
void sl_usage_sums_leave(struct sl_usage_sums *sums);
void sl_usage_sums_free(struct sl_usage_sums *sums);

#endif

/* limits.h - what one level (a key, a team, a workspace, an end user) may use.
 *
 * rpm, tpm and requests at a time are counted in a meter, which outlives changes of
 * the limits; money is counted by the ledger (ledger/money.h).
 */
#ifndef SL_LEDGER_LIMITS_H
#define SL_LEDGER_LIMITS_H

#include <pthread.h>
#include <stdatomic.h>

#include "ledger/money.h"
#include "ledger/rate.h"

struct sl_limits {
	int64_t                rpm, tpm, concurrency; /* 0: none */
	struct sl_money_limits money;
};

/* Embedded. shared: atomic. */
struct sl_meter {
	pthread_mutex_t     lock; /* guards the windows */
	struct sl_rate      requests, tokens;
	struct sl_rate      estimates; /* previews of a key, which cost nothing */
	atomic_int_fast64_t in_flight;
};

void sl_meter_init(struct sl_meter *meter);
void sl_meter_release(struct sl_meter *meter);

/* No limit at all. */
extern const struct sl_limits sl_limits_none;

/* Without a product that could overflow. */
static inline int64_t
sl_percent_of(int64_t amount, uint64_t percent)
{
	int64_t share = (int64_t)percent;

	return amount / 100 * share + amount % 100 * share / 100;
}

/* Whether any limit of money is set. */
static inline bool
sl_money_limits_set(const struct sl_money_limits *limits)
{
	bool set = limits->per_request >= 0 || limits->prepaid;

	for (int w = 0; w < SL_WINDOW_COUNT; w++)
		set |= limits->window[w] >= 0;
	return set;
}

#endif

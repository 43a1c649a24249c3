/* limits.c - a level without limits, and its counters.
 */
#include "ledger/limits.h"

const struct sl_limits sl_limits_none = {
	.money = { .window = { -1, -1, -1, -1 }, .per_request = -1 },
};

void
sl_meter_init(struct sl_meter *meter)
{
	pthread_mutex_init(&meter->lock, NULL);
	sl_rate_init(&meter->requests);
	sl_rate_init(&meter->tokens);
	sl_rate_init(&meter->estimates);
	atomic_init(&meter->in_flight, 0);
}

void
sl_meter_release(struct sl_meter *meter)
{
	pthread_mutex_destroy(&meter->lock);
	sl_rate_release(&meter->requests);
	sl_rate_release(&meter->tokens);
	sl_rate_release(&meter->estimates);
}

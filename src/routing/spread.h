/* spread.h - how long a target takes to its first content: not the mean, the shares.
 *
 * A histogram of 72 steps, four to each doubling, from 0.25 ms to 67 s: a percentile is
 * told as the upper end of its step, so at most a quarter too high. Old samples fade: all
 * counts are halved when there are SL_SPREAD_MAX. Pure; guarded by whoever shares it.
 */
#ifndef SL_ROUTING_SPREAD_H
#define SL_ROUTING_SPREAD_H

#include <stdint.h>

enum {
	SL_SPREAD_STEPS = 72,
	SL_SPREAD_MIN = 20,   /* samples before a percentile means something */
	SL_SPREAD_MAX = 1024,
};

/* Zero-initialised: nothing is known. */
struct sl_spread {
	uint16_t count[SL_SPREAD_STEPS];
	uint16_t total;
};

void sl_spread_add(struct sl_spread *spread, uint64_t us);
/* What so many of a hundred stay below, in microseconds; 0: too few samples. */
uint64_t sl_spread_percentile(const struct sl_spread *spread, uint32_t percent);

#endif

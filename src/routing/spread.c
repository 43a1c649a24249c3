/* spread.c - steps of a histogram: the exponent and two bits behind it. */
#include "routing/spread.h"

enum { UNIT_US = 256, BITS = 2, PER_DOUBLING = 1 << BITS };

static unsigned
step_of(uint64_t us)
{
	uint64_t value = us / UNIT_US;
	unsigned exponent, step;

	if (value < PER_DOUBLING)
		return (unsigned)value;
	exponent = 63u - (unsigned)__builtin_clzll(value);
	step = (exponent - 1) * PER_DOUBLING +
	       (unsigned)(value >> (exponent - BITS) & (PER_DOUBLING - 1));
	return step < SL_SPREAD_STEPS ? step : SL_SPREAD_STEPS - 1;
}

static uint64_t
end_of(unsigned step)
{
	uint64_t mantissa = PER_DOUBLING + step % PER_DOUBLING + 1;

	if (step < PER_DOUBLING)
		return (uint64_t)(step + 1) * UNIT_US;
	return (mantissa << (step / PER_DOUBLING - 1)) * UNIT_US;
}

void
sl_spread_add(struct sl_spread *spread, uint64_t us)
{
	if (spread->total >= SL_SPREAD_MAX) {
		spread->total = 0;
		for (unsigned i = 0; i < SL_SPREAD_STEPS; i++) {
			spread->count[i] /= 2;
			spread->total = (uint16_t)(spread->total + spread->count[i]);
		}
	}
	spread->count[step_of(us)]++;
	spread->total++;
}

uint64_t
sl_spread_percentile(const struct sl_spread *spread, uint32_t percent)
{
	uint32_t wanted = (spread->total * percent + 99) / 100, seen = 0;

	if (spread->total < SL_SPREAD_MIN)
		return 0;
	for (unsigned i = 0; i < SL_SPREAD_STEPS; i++) {
		seen += spread->count[i];
		if (seen >= wanted && seen > 0)
			return end_of(i);
	}
	return end_of(SL_SPREAD_STEPS - 1);
}

/* histogram.h - counts of durations, exact to 1.6 %: 64 steps in each doubling. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { STEPS = 64, STEP_BITS = 6, BUCKETS = (64 - STEP_BITS) * STEPS };

struct histogram {
	uint64_t count;
	uint64_t max_ns;
	uint64_t buckets[BUCKETS];
};

static inline void
histogram_add(struct histogram *h, uint64_t ns)
{
	int shift = ns < 2 * STEPS ? 0 : 63 - __builtin_clzll(ns) - STEP_BITS;

	h->buckets[(size_t)shift * STEPS + (size_t)(ns >> shift)]++;
	h->count++;
	h->max_ns = ns > h->max_ns ? ns : h->max_ns;
}

/* The duration that this share of all did not exceed, in microseconds. */
static inline double
histogram_us(const struct histogram *h, double share)
{
	uint64_t wanted = (uint64_t)(share * (double)h->count), seen = 0;

	for (size_t i = 0; i < BUCKETS; i++) {
		size_t shift = i < 2 * STEPS ? 0 : i / STEPS - 1;

		seen += h->buckets[i];
		if (seen > wanted)
			return (double)((i - shift * STEPS) << shift) / 1e3;
	}
	return (double)h->max_ns / 1e3;
}

#endif

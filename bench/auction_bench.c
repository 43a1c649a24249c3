/* auction_bench.c - microseconds for an auction, by the number of agents.
 *
 * Prices are drawn anew for each auction, so that the ranking is never the same; ties
 * and names are part of it. Median and 99th percentile.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "routing/auction.h"

enum { ROUNDS = 20000, AGENTS = 512 };

static const size_t sizes[] = { 2, 8, 64, AGENTS };

static uint64_t seed = 1;

static int64_t
next(int64_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (int64_t)((seed >> 33) % (uint64_t)below);
}

static int
by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
draw(struct sl_agent *agents, char (*names)[32], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int64_t low = next(200) * 10000000;

		snprintf(names[i], sizeof(names[i]), "org/agent-%zu", i);
		agents[i] = (struct sl_agent){
			.name = sl_slice_str(names[i]),
			.category = SL_SLICE("summarization"),
			.strategy = (enum sl_bid_strategy)next(SL_BID_STRATEGY_COUNT),
			.floor = { 0, low, low },
			.ceiling = { 0, low + 1000000000, low + 2000000000 },
			.quality_ppm = (int32_t)next(SL_AUCTION_PPM),
			.won_ppm = (int32_t)next(SL_AUCTION_PPM),
		};
	}
}

int
main(void)
{
	static struct sl_agent agents[AGENTS];
	static char names[AGENTS][32];
	static uint64_t times_ns[ROUNDS];
	const struct sl_auction auction = {
		.category = SL_SLICE("summarization"), .input_tokens = 1200, .output_tokens = 300,
		.reserve_mtok = 5000000000, .credit_nanousd = -1, .quality_value = 1000000,
		.rule = SL_AUCTION_SECOND_SCORE,
	};
	int64_t sum = 0;

	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		for (size_t i = 0; i < ROUNDS; i++) {
			struct sl_auction_result result;
			uint64_t start;

			draw(agents, names, sizes[k]);
			start = sl_clock_mono_ns();
			sl_auction_run(&auction, agents, NULL, sizes[k], &result);
			times_ns[i] = sl_clock_mono_ns() - start;
			sum += result.price_nanousd;
		}
		qsort(times_ns, ROUNDS, sizeof(times_ns[0]), by_time);
		printf("auction of %3zu  median %6.2f us  p99 %6.2f us\n", sizes[k],
		       (double)times_ns[ROUNDS / 2] / 1e3, (double)times_ns[ROUNDS / 100 * 99] / 1e3);
	}
	return sum < 0;
}

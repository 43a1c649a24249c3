/* rate.h - a sliding window of what was accepted: requests, or tokens.
 *
 * At most `limit` are accepted in any window of SL_RATE_WINDOW_MS, and what is
 * refused is not counted. Not thread-safe: its owner holds a lock.
 * Time is an argument, monotonic, in milliseconds; one that runs backwards
 * (loops read their clocks at different moments) is taken for the newest seen.
 */
#ifndef SL_LEDGER_RATE_H
#define SL_LEDGER_RATE_H

#include <stdbool.h>
#include <stdint.h>

enum { SL_RATE_WINDOW_MS = 60000, SL_RATE_MARKS_MAX = 1024 };

struct sl_rate_mark {
	uint32_t at_ms; /* low bits of the time of what came last */
	uint32_t count;
};

struct sl_rate {
	struct sl_rate_mark *marks; /* a ring; NULL before the first request */
	uint32_t             size;  /* marks allocated, a power of two */
	uint32_t             first; /* the oldest */
	uint32_t             live;  /* marks in use */
	uint64_t             used;  /* what they stand for together */
	uint64_t             newest_ms;
};

/* What a window says about the next ones. */
struct sl_rate_state {
	int64_t remaining; /* that would still be accepted now */
	int64_t wait_ms;   /* until what was asked for will be; 0: it is, or more was asked
	                    * for than the limit, which no waiting changes */
	int64_t reset_ms;  /* until the oldest that is counted leaves; 0: none counted */
};

void sl_rate_init(struct sl_rate *rate);
void sl_rate_release(struct sl_rate *rate);

/* Accepts one request under limit (> 0), or counts nothing and returns false.
 * *state is as of after the call. Also false when the first mark finds no
 * memory: a limit that cannot be kept is not waived. */
bool sl_rate_take(struct sl_rate *rate, int64_t limit, uint64_t now_ms,
                  struct sl_rate_state *state);

/* The same in two steps, for amounts and for several windows that accept
 * together or not at all: whether `amount` (>= 0) fits (then an add finds its
 * memory; else *state says why not), and counting it. An add may exceed the limit,
 * when more was used than was asked for. */
bool sl_rate_fits(struct sl_rate *rate, int64_t limit, int64_t amount, uint64_t now_ms,
                  struct sl_rate_state *state);
void sl_rate_add(struct sl_rate *rate, int64_t limit, int64_t amount, uint64_t now_ms);
/* Takes back up to `amount` of what was added at at_ms, if it is still counted. */
void sl_rate_undo(struct sl_rate *rate, int64_t amount, uint64_t at_ms, uint64_t now_ms);
/* The state as of now, as if nothing more were asked for. */
void sl_rate_look(struct sl_rate *rate, int64_t limit, uint64_t now_ms,
                  struct sl_rate_state *state);

#endif

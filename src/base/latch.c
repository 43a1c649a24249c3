/* latch.c - when a latch is taken. */
#include "base/latch.h"

#include <time.h>

enum { LOOKS = 100, NAP_NS = 20000 };

/* Its owner is a few instructions from the end, on another core or waiting for this one. */
void
sl_latch_wait(struct sl_latch *latch)
{
	do {
		int looks = 0;

		while (looks < LOOKS && atomic_load_explicit(&latch->taken, memory_order_relaxed))
			looks++;
		if (looks == LOOKS)
			nanosleep(&(struct timespec){ .tv_nsec = NAP_NS }, NULL);
	} while (atomic_exchange_explicit(&latch->taken, true, memory_order_acquire));
}

/* latch.h - a lock for a few plain loads and stores.
 *
 * Taking it is one atomic exchange and giving it back one store, a third of what a mutex
 * takes when nobody is in the way. Who finds it taken looks a few times and then sleeps for
 * moments, so whoever has it must not call, wait or allocate. Zero: free. Any thread.
 */
#ifndef SL_BASE_LATCH_H
#define SL_BASE_LATCH_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/compiler.h"

struct sl_latch {
	atomic_bool taken;
};

SL_COLD void sl_latch_wait(struct sl_latch *latch); /* private */

static inline void
sl_latch_lock(struct sl_latch *latch)
{
	if (atomic_exchange_explicit(&latch->taken, true, memory_order_acquire))
		sl_latch_wait(latch);
}

static inline void
sl_latch_unlock(struct sl_latch *latch)
{
	atomic_store_explicit(&latch->taken, false, memory_order_release);
}

#endif

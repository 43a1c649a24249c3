/* keyset.c - turns, and rests. */
#include "pipeline/keyset.h"

void
sl_keyset_release(struct sl_keyset *set)
{
	for (size_t i = 0; i < set->count; i++)
		sl_secret_release(&set->slots[i].value);
	set->count = 0;
}

size_t
sl_keyset_pick(struct sl_keyset *set, uint64_t now_us)
{
	size_t best = 0;
	uint64_t best_until = UINT64_MAX;
	unsigned turn;

	if (set->count < 2)
		return 0;
	turn = atomic_fetch_add_explicit(&set->turn, 1, memory_order_relaxed);
	for (size_t i = 0; i < set->count; i++) {
		size_t at = (turn + i) % set->count;
		uint64_t until = atomic_load_explicit(&set->slots[at].rests_until_us,
		                                      memory_order_relaxed);

		if (until <= now_us)
			return at;
		if (until < best_until) {
			best_until = until;
			best = at;
		}
	}
	return best;
}

bool
sl_keyset_rest(struct sl_keyset *set, size_t index, int status, uint32_t retry_after_ms,
               uint64_t now_us)
{
	uint64_t rest_ms = status == 429 ? SL_KEYSET_LIMITED_MS : SL_KEYSET_REFUSED_MS;

	if (set->count < 2 || index >= set->count)
		return false;
	if (status == 429 && retry_after_ms > 0)
		rest_ms = retry_after_ms;
	atomic_store_explicit(&set->slots[index].rests_until_us, now_us + rest_ms * 1000,
	                      memory_order_relaxed);
	for (size_t i = 0; i < set->count; i++)
		if (atomic_load_explicit(&set->slots[i].rests_until_us, memory_order_relaxed) <=
		    now_us)
			return true;
	return false;
}

/* keyset.c - turns, and rests. */
#include "pipeline/keyset.h"

#include <stdlib.h>

struct sl_key_rest {
	atomic_uint       refs;
	_Atomic(uint64_t) until_us;
};

static void
unref(struct sl_key_rest *rest)
{
	if (rest && atomic_fetch_sub(&rest->refs, 1) == 1)
		free(rest);
}

static uint64_t
rests_until(const struct sl_key_slot *slot)
{
	return atomic_load_explicit(&slot->rest->until_us, memory_order_relaxed);
}

enum sl_err
sl_keyset_add(struct sl_keyset *set, struct sl_slice value)
{
	struct sl_key_slot *slot = &set->slots[set->count];
	enum sl_err err = sl_secret_set(&slot->value, value);

	if (err != SL_OK)
		return err;
	slot->rest = calloc(1, sizeof(*slot->rest));
	if (!slot->rest) {
		sl_secret_release(&slot->value);
		return SL_ENOMEM;
	}
	atomic_init(&slot->rest->refs, 1);
	set->count++;
	return SL_OK;
}

void
sl_keyset_release(struct sl_keyset *set)
{
	for (size_t i = 0; i < set->count; i++) {
		sl_secret_release(&set->slots[i].value);
		unref(set->slots[i].rest);
	}
	set->count = 0;
}

void
sl_keyset_inherit(struct sl_keyset *set, const struct sl_keyset *from)
{
	for (size_t i = 0; i < set->count; i++)
		for (size_t k = 0; k < from->count; k++) {
			struct sl_key_slot *slot = &set->slots[i];

			if (!sl_secret_eq(&slot->value, sl_secret_reveal(&from->slots[k].value)))
				continue;
			unref(slot->rest);
			slot->rest = from->slots[k].rest;
			atomic_fetch_add(&slot->rest->refs, 1);
			break;
		}
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
		uint64_t until = rests_until(&set->slots[at]);

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
	atomic_store_explicit(&set->slots[index].rest->until_us, now_us + rest_ms * 1000,
	                      memory_order_relaxed);
	for (size_t i = 0; i < set->count; i++)
		if (rests_until(&set->slots[i]) <= now_us)
			return true;
	return false;
}

/* memory.c - how far each model's estimates were off.
 *
 * A fixed table; a slot is claimed once for a provider and model and never given back.
 * A slot's state is one word, so that readers and writers on any loop need no lock: how
 * many reports (up to SETTLED) and the mean of reported over estimated. The mean of the
 * first reports is plain, later ones are averaged in with a weight of one in SETTLED. A
 * report that another loop overtakes is tried again a few times and then dropped.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "tokens/tokens.h"

enum {
	SLOTS = 512,  /* a power of two */
	PROBES = 16,
	SETTLED = 64,
	TRIES = 4,
	COUNT_BITS = 8,
	/* Short requests say more of what surrounds a text than of the text. */
	ESTIMATED_MIN = 32,
};
#define RATIO_MIN (SL_TOKEN_RATIO_ONE / 2)
#define RATIO_MAX (SL_TOKEN_RATIO_ONE * 2)

struct slot {
	_Atomic uint64_t key;   /* 0: free */
	_Atomic uint64_t state; /* ratio_ppm << COUNT_BITS | count */
};

struct sl_token_memory {
	struct slot slots[SLOTS];
};

struct sl_token_memory *
sl_token_memory_new(void)
{
	return calloc(1, sizeof(struct sl_token_memory));
}

void
sl_token_memory_free(struct sl_token_memory *memory)
{
	free(memory);
}

static uint64_t
hash_of(uint64_t hash, struct sl_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ (uint8_t)text.ptr[i]) * 0x100000001B3u;
	return (hash ^ 0xff) * 0x100000001B3u;
}

static uint64_t
key_of(struct sl_slice provider, struct sl_slice model)
{
	uint64_t key = hash_of(hash_of(0xCBF29CE484222325u, provider), model);

	return key ? key : 1;
}

/* The slot of a key, or a free one behind its place; NULL: neither. */
static const struct slot *
find(const struct sl_token_memory *memory, uint64_t key)
{
	for (size_t i = 0; i < PROBES; i++) {
		const struct slot *slot = &memory->slots[((key >> 32) + i) % SLOTS];
		uint64_t owner = atomic_load_explicit(&slot->key, memory_order_acquire);

		if (owner == key || owner == 0)
			return slot;
	}
	return NULL;
}

static int64_t
within(int64_t ratio_ppm)
{
	if (ratio_ppm < RATIO_MIN)
		return RATIO_MIN;
	return ratio_ppm > RATIO_MAX ? RATIO_MAX : ratio_ppm;
}

void
sl_token_memory_note(struct sl_token_memory *memory, struct sl_slice provider,
                     struct sl_slice model, int64_t estimated, int64_t reported)
{
	uint64_t key = key_of(provider, model), free_key = 0, state, next;
	struct slot *slot = (struct slot *)find(memory, key);
	int64_t ratio_ppm;

	if (!slot || estimated < ESTIMATED_MIN || reported <= 0 || reported > INT32_MAX)
		return;
	if (!atomic_compare_exchange_strong(&slot->key, &free_key, key) && free_key != key)
		return; /* another model came first; the next report looks again */
	ratio_ppm = within((int64_t)((double)reported / (double)estimated * SL_TOKEN_RATIO_ONE));
	state = atomic_load(&slot->state);
	for (int i = 0; i < TRIES; i++) {
		int64_t count = (int64_t)(state & ((1 << COUNT_BITS) - 1));
		int64_t mean = (int64_t)(state >> COUNT_BITS);

		count = count < SETTLED ? count + 1 : SETTLED;
		mean += (ratio_ppm - mean) / count;
		next = (uint64_t)mean << COUNT_BITS | (uint64_t)count;
		if (atomic_compare_exchange_weak(&slot->state, &state, next))
			return;
	}
}

/* 0 where nothing is known. */
static uint64_t
state_of(const struct sl_token_memory *memory, struct sl_slice provider, struct sl_slice model)
{
	uint64_t key = key_of(provider, model);
	const struct slot *slot = find(memory, key);

	if (!slot || atomic_load_explicit(&slot->key, memory_order_acquire) != key)
		return 0;
	return atomic_load_explicit(&slot->state, memory_order_relaxed);
}

bool
sl_token_memory_is_settled(const struct sl_token_memory *memory, struct sl_slice provider,
                           struct sl_slice model)
{
	return (state_of(memory, provider, model) & ((1 << COUNT_BITS) - 1)) == SETTLED;
}

int64_t
sl_token_memory_ratio(const struct sl_token_memory *memory, struct sl_slice provider,
                      struct sl_slice model)
{
	uint64_t state = state_of(memory, provider, model);

	return state ? (int64_t)(state >> COUNT_BITS) : SL_TOKEN_RATIO_ONE;
}

/* bpe_table.h - a vocabulary as it lies in the binary. Private to tokens/ and to
 * tools/bpe_compile.c, which writes it.
 *
 *   head | starts: first 4 bytes -> lengths | slots: hash -> where the token stands | pool
 *
 * The pool has a record for each token: three bytes of rank, one of split (how many
 * bytes its left part has, 0 for a single byte), one of length, its bytes. Everything is read where
 * it lies, so that the pages are shared, come in when they are needed and cost
 * nothing before. In the byte order of the machine that built it.
 */
#ifndef SL_TOKENS_BPE_TABLE_H
#define SL_TOKENS_BPE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
	BPE_TOKEN_MAX = 255,  /* bytes of one token */
	BPE_RECORD_HEAD = 5,
	BPE_START_BITS = 15,
	BPE_START_BYTES = 4,
	/* Bit n of a start: tokens of BPE_START_BYTES + n bytes begin so; the last of them
	 * stands for that length and every longer one. Above them, the longest. */
	BPE_START_LAST = 55,
	BPE_START_LONGEST = 56,
};
#define BPE_MAGIC 0x31657062u /* "bpe1" */

struct bpe_head {
	uint32_t magic;
	uint32_t slot_bits;
	uint32_t token_count;
	uint32_t longest;   /* bytes of the longest token */
	uint32_t pool_size; /* bytes */
	uint32_t unused;
	/* Then uint64_t starts[1 << BPE_START_BITS], uint32_t slots[1 << slot_bits] and
	 * the pool. A slot: 8 bits of the hash, 24 of offset in the pool; 0: free.
	 * Collisions go to the next slot. */
};

/* A table in use. */
struct bpe {
	const uint32_t *slots;
	const uint64_t *starts;
	const uint8_t  *pool;
	uint32_t        slot_bits;
};

static inline uint64_t
bpe_load(const uint8_t *p, size_t count)
{
	uint64_t value = 0;

	memcpy(&value, p, count);
	return value;
}

static inline uint64_t
bpe_mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#define BPE_KEY_A 0x9E3779B97F4A7C15u
#define BPE_KEY_B 0xD6E8FEB86659FD93u

/* Of 1 to BPE_TOKEN_MAX bytes. The ends overlap, so no byte outside is read. */
static inline uint64_t
bpe_hash(const uint8_t *p, size_t len)
{
	uint64_t seed = BPE_KEY_A ^ (len * BPE_KEY_B), low, high;

	for (; len > 16; p += 8, len -= 8)
		seed = bpe_mix(bpe_load(p, 8) ^ seed, BPE_KEY_B);
	if (len >= 8) {
		low = bpe_load(p, 8);
		high = bpe_load(p + len - 8, 8);
	} else if (len >= 4) {
		low = bpe_load(p, 4);
		high = bpe_load(p + len - 4, 4);
	} else {
		low = (uint64_t)p[0] | (uint64_t)p[len / 2] << 8;
		high = p[len - 1];
	}
	return bpe_mix(low ^ seed, high ^ BPE_KEY_B);
}

static inline uint32_t
bpe_slot(uint64_t hash, uint32_t offset)
{
	return (uint32_t)(hash & 0xff) << 24 | offset;
}

static inline uint32_t
bpe_start(const uint8_t *p)
{
	return ((uint32_t)bpe_load(p, 4) * 0x9E3779B1u) >> (32 - BPE_START_BITS);
}

static inline uint64_t
bpe_start_bit(size_t len)
{
	size_t bit = len - BPE_START_BYTES;

	return (uint64_t)1 << (bit < BPE_START_LAST ? bit : BPE_START_LAST);
}

/* memcmp without a call for the lengths that most tokens have. */
static inline bool
bpe_same(const uint8_t *a, const uint8_t *b, size_t len)
{
	if (len > 16)
		return memcmp(a, b, len) == 0;
	if (len >= 8)
		return bpe_load(a, 8) == bpe_load(b, 8) &&
		       bpe_load(a + len - 8, 8) == bpe_load(b + len - 8, 8);
	if (len >= 4)
		return bpe_load(a, 4) == bpe_load(b, 4) &&
		       bpe_load(a + len - 4, 4) == bpe_load(b + len - 4, 4);
	return a[0] == b[0] && a[len / 2] == b[len / 2] && a[len - 1] == b[len - 1];
}

/* The record of a token, NULL when these bytes are none. len is at least 1. */
static inline const uint8_t *
bpe_find(const struct bpe *bpe, const uint8_t *p, size_t len)
{
	uint64_t hash = bpe_hash(p, len);
	uint32_t wanted = bpe_slot(hash, 0);
	size_t mask = ((size_t)1 << bpe->slot_bits) - 1;

	for (size_t at = hash >> (64 - bpe->slot_bits);; at = (at + 1) & mask) {
		uint32_t slot = bpe->slots[at];
		const uint8_t *record = bpe->pool + (slot & 0xffffff);

		if (slot == 0)
			return NULL;
		if (((slot ^ wanted) >> 24) == 0 && record[4] == len &&
		    bpe_same(record + BPE_RECORD_HEAD, p, len))
			return record;
	}
}

static inline uint32_t
bpe_rank(const uint8_t *record)
{
	return (uint32_t)record[0] | (uint32_t)record[1] << 8 | (uint32_t)record[2] << 16;
}

#endif

/* bpe.c - counting the tokens of a piece without merging it.
 *
 * Byte-pair encoding is defined by merging: as long as two neighbours together are a
 * token, the pair that ranks lowest becomes one. Done so, a word of a million letters
 * takes millions of searches. But the result has a local test: two neighbouring tokens
 * stand side by side in an encoding exactly when the encoding of just these two is
 * they (fits, below), and an encoding whose neighbours all fit is the only one. So:
 *
 *   take the longest token that begins here and fits the one before;
 *   none fits: this place cannot be the end of a token, step back, try shorter.
 *
 * A place found to be none is marked and never tried again, so the work is bounded by
 * the length times the length of a token. Most pieces are one token and are found at
 * once.
 */
#include "tokens/bpe.h"

#include <stdlib.h>

enum {
	STACK_BYTES = 4096,
	BITS = 64,
};

bool
sl_bpe_open(struct bpe *bpe, const uint8_t *table, size_t size)
{
	const struct bpe_head *head = (const void *)table;

	if (size < sizeof(*head) || head->magic != BPE_MAGIC)
		return false;
	bpe->slot_bits = head->slot_bits;
	bpe->starts = (const void *)(head + 1);
	bpe->slots = (const void *)(bpe->starts + ((size_t)1 << BPE_START_BITS));
	bpe->pool = (const void *)(bpe->slots + ((size_t)1 << head->slot_bits));
	return true;
}

static inline size_t
record_len(const uint8_t *record)
{
	return record[4];
}

/* The longest token of at most `limit` bytes at p, where limit bytes can be read. NULL
 * only when limit is 0: every byte is a token. */
static const uint8_t *
longest(const struct bpe *bpe, const uint8_t *p, size_t limit)
{
	const uint8_t *record;

	if (limit >= BPE_START_BYTES) {
		uint64_t start = bpe->starts[bpe_start(p)];
		size_t most = start >> BPE_START_LONGEST;
		uint64_t lengths = start & (((uint64_t)1 << BPE_START_LONGEST) - 1);
		size_t len = limit < most ? limit : most;

		for (; len >= BPE_START_BYTES + BPE_START_LAST; len--)
			if ((lengths >> BPE_START_LAST & 1) && (record = bpe_find(bpe, p, len)))
				return record;
		/* The lengths that remain are bits; the highest first. */
		if (len >= BPE_START_BYTES)
			lengths &= ((uint64_t)2 << (len - BPE_START_BYTES)) - 1;
		else
			lengths = 0;
		for (; lengths; lengths ^= bpe_start_bit(len)) {
			len = BPE_START_BYTES + (size_t)(BITS - 1 - __builtin_clzll(lengths));
			record = bpe_find(bpe, p, len);
			if (record)
				return record;
		}
		limit = BPE_START_BYTES - 1;
	}
	for (; limit > 0; limit--) {
		record = bpe_find(bpe, p, limit);
		if (record)
			return record;
	}
	return NULL;
}

/* Whether the tokens `left`, which ends at p, and `right`, which begins there, would be
 * left alone by merging. Goes back through the merges that made them, the latest first,
 * and looks whether another pair across p would have been merged before. */
static bool
fits(const struct bpe *bpe, const uint8_t *left, const uint8_t *right, const uint8_t *p)
{
	uint32_t limit = UINT32_MAX;

	for (;;) {
		size_t left_len = record_len(left), right_len = record_len(right);
		bool left_first = bpe_rank(left) > bpe_rank(right);
		const uint8_t *both = NULL;

		if (left_len + right_len <= BPE_TOKEN_MAX)
			both = bpe_find(bpe, p - left_len, left_len + right_len);
		if (both && bpe_rank(both) < limit)
			return false;
		/* The younger of the two falls apart; a single byte cannot. */
		if (left[3] == 0 && right[3] == 0)
			return true;
		if (left_first ? left[3] != 0 : right[3] == 0) {
			limit = bpe_rank(left);
			left = bpe_find(bpe, p - left_len + left[3], left_len - left[3]);
		} else {
			/* A pair of the same rank further left goes first. */
			limit = bpe_rank(right) + 1;
			right = bpe_find(bpe, p, right[3]);
		}
		if (!left || !right)
			return true; /* a table that was not made by bpe_compile */
	}
}

struct stack {
	uint8_t  *lengths; /* of the tokens taken so far */
	uint64_t *closed;  /* one bit for each offset: not between two tokens */
	size_t    count;
};

static inline bool
is_closed(const struct stack *stack, size_t at)
{
	return stack->closed[at / BITS] >> (at % BITS) & 1;
}

/* Tokens to try behind `before`: that one once more, because in long runs of anything
 * it is the answer and each other one would lead some way astray; then the others, from
 * the longest down. NULL `tried` asks for the first, NULL is answered behind the last. */
static const uint8_t *
candidate(const struct bpe *bpe, const uint8_t *before, const uint8_t *tried, const uint8_t *p,
          size_t rest)
{
	const uint8_t *token;

	if (!tried && before && record_len(before) <= rest &&
	    bpe_same(before + BPE_RECORD_HEAD, p, record_len(before)))
		return before;
	token = longest(bpe, p, tried && tried != before ? record_len(tried) - 1 : rest);
	if (token && token == before)
		token = longest(bpe, p, record_len(token) - 1);
	return token;
}

static int64_t
walk(const struct bpe *bpe, const uint8_t *piece, size_t len, struct stack *stack)
{
	const uint8_t *before = NULL, *token = NULL;
	size_t at = 0;

	for (;;) {
		size_t size;

		token = candidate(bpe, before, token, piece + at, len - at);
		if (token) {
			size = record_len(token);
			if (is_closed(stack, at + size) ||
			    (before && !fits(bpe, before, token, piece + at)))
				continue;
			stack->lengths[stack->count++] = (uint8_t)size;
			at += size;
			if (at == len)
				return (int64_t)stack->count;
			before = token;
			token = NULL;
			continue;
		}
		if (stack->count == 0)
			return -1; /* a table that was not made by bpe_compile */
		stack->closed[at / BITS] |= (uint64_t)1 << (at % BITS);
		at -= stack->lengths[--stack->count];
		token = before;
		before = NULL;
		if (stack->count > 0) {
			size = stack->lengths[stack->count - 1];
			before = bpe_find(bpe, piece + at - size, size);
		}
	}
}

/* Apart from the common case, which must not pay for this frame. */
__attribute__((noinline)) static int64_t
count_parts(const struct bpe *bpe, const uint8_t *piece, size_t len)
{
	uint64_t room[STACK_BYTES / sizeof(uint64_t)] __attribute__((uninitialized));
	uint64_t *memory = room;
	size_t words = (len + BITS) / BITS;
	struct stack stack = { 0 };
	int64_t count;

	if (words * sizeof(uint64_t) + len > sizeof(room)) {
		memory = malloc(words * sizeof(uint64_t) + len);
		if (!memory)
			return -1;
	}
	memset(memory, 0, words * sizeof(uint64_t));
	stack.closed = memory;
	stack.lengths = (uint8_t *)(memory + words);
	count = walk(bpe, piece, len, &stack);
	if (memory != room)
		free(memory);
	return count;
}

int64_t
sl_bpe_count(const struct bpe *bpe, const uint8_t *piece, size_t len)
{
	if (len == 1 || (len <= BPE_TOKEN_MAX && bpe_find(bpe, piece, len)))
		return 1;
	return count_parts(bpe, piece, len);
}

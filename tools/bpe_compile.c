/* bpe_compile.c - a vocabulary as published, made the table that tokens/bpe.c reads.
 *
 *   bpe_compile INPUT OUTPUT
 *
 * INPUT has lines "BASE64 RANK". Where it does not exist OUTPUT becomes empty: then
 * the binary counts without this encoding. Each token's split is found by merging its
 * bytes as the encoding does, with the tokens that rank before it.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "tokens/bpe_table.h"

struct token {
	uint8_t  bytes[BPE_TOKEN_MAX];
	uint8_t  len;
	uint8_t  split;
	uint32_t rank;
	uint32_t offset;
};

static struct token *tokens;
static size_t token_count;
static uint32_t *slots;
static uint64_t *starts;
static struct bpe_head head = { .magic = BPE_MAGIC };
static struct bpe bpe;

static void
fail(const char *what, const char *detail)
{
	fprintf(stderr, "bpe_compile: %s: %s\n", what, detail);
	exit(1);
}

static void *
allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory)
		fail("memory", "none left");
	return memory;
}

static int
digit_of(char c)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static void
read_line(const char *line, struct token *token)
{
	uint32_t bits = 0;
	unsigned have = 0;
	int digit;

	for (; (digit = digit_of(*line)) >= 0; line++) {
		bits = bits << 6 | (uint32_t)digit;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		if (token->len == BPE_TOKEN_MAX)
			fail("a token is too long", line);
		token->bytes[token->len++] = (uint8_t)(bits >> have);
	}
	while (*line == '=')
		line++;
	if (*line != ' ' || token->len == 0)
		fail("not \"BASE64 RANK\"", line);
	token->rank = (uint32_t)strtoul(line + 1, NULL, 10);
	if (token->rank >= 1u << 24)
		fail("a rank is too high", line);
}

static void
read_tokens(FILE *in)
{
	char line[1024];
	size_t room = 0;

	while (fgets(line, sizeof(line), in)) {
		if (token_count == room) {
			room = room ? room * 2 : 1 << 17;
			tokens = realloc(tokens, room * sizeof(*tokens));
			if (!tokens)
				fail("memory", "none left");
		}
		memset(&tokens[token_count], 0, sizeof(*tokens));
		read_line(line, &tokens[token_count++]);
	}
	if (token_count < 256)
		fail("too few tokens", "the input is not a vocabulary");
}

static void
add_slot(const struct token *token)
{
	uint64_t hash = bpe_hash(token->bytes, token->len);
	size_t mask = ((size_t)1 << head.slot_bits) - 1;
	size_t at = hash >> (64 - head.slot_bits);

	if (bpe_find(&bpe, token->bytes, token->len))
		fail("a token is there twice", "the input is not a vocabulary");
	while (slots[at] != 0)
		at = (at + 1) & mask;
	slots[at] = bpe_slot(hash, token->offset);
}

static void
add_start(const struct token *token)
{
	uint64_t *start;

	if (token->len < BPE_START_BYTES)
		return;
	start = &starts[bpe_start(token->bytes)];
	*start |= bpe_start_bit(token->len);
	if (token->len > *start >> BPE_START_LONGEST) {
		*start &= ((uint64_t)1 << BPE_START_LONGEST) - 1;
		*start |= (uint64_t)token->len << BPE_START_LONGEST;
	}
}

static void
put_record(uint8_t *pool, const struct token *token)
{
	uint8_t *record = pool + token->offset;

	record[0] = (uint8_t)token->rank;
	record[1] = (uint8_t)(token->rank >> 8);
	record[2] = (uint8_t)(token->rank >> 16);
	record[4] = token->len;
	memcpy(record + BPE_RECORD_HEAD, token->bytes, token->len);
}

/* Merges the lowest pair below the token's own rank until there is none. */
static uint8_t
split_of(const struct token *token)
{
	uint8_t ends[BPE_TOKEN_MAX + 1];
	size_t count = token->len;

	for (size_t i = 0; i < count; i++)
		ends[i] = (uint8_t)(i + 1);
	for (;;) {
		uint32_t lowest = token->rank;
		size_t best = count;

		for (size_t i = 0; i + 1 < count; i++) {
			size_t start = i ? ends[i - 1] : 0;
			const uint8_t *record = bpe_find(&bpe, token->bytes + start, ends[i + 1] - start);

			if (record && bpe_rank(record) < lowest) {
				lowest = bpe_rank(record);
				best = i;
			}
		}
		if (best == count)
			break;
		memmove(ends + best, ends + best + 1, count - best - 1);
		count--;
	}
	if (count > 2)
		fail("a token cannot be made by merging", "the counter relies on it");
	return count == 2 ? ends[0] : 0;
}

int
main(int argc, char **argv)
{
	FILE *in, *out;
	uint8_t *pool;

	if (argc != 3)
		fail("usage", "bpe_compile INPUT OUTPUT");
	in = fopen(argv[1], "r");
	if (!in && errno != ENOENT)
		fail(argv[1], strerror(errno));
	out = fopen(argv[2], "wb");
	if (!out)
		fail(argv[2], strerror(errno));
	if (!in)
		return fclose(out) == 0 ? 0 : 1;
	read_tokens(in);
	head.token_count = (uint32_t)token_count;
	for (head.slot_bits = 9; (size_t)1 << head.slot_bits < token_count * 4 / 3;)
		head.slot_bits++;
	/* Offset 0 is nobody's: a slot of 0 is free. */
	head.pool_size = BPE_RECORD_HEAD;
	for (size_t i = 0; i < token_count; i++) {
		tokens[i].offset = head.pool_size;
		head.pool_size += BPE_RECORD_HEAD + tokens[i].len;
		if (tokens[i].len > head.longest)
			head.longest = tokens[i].len;
	}
	if (head.pool_size >= 1u << 24)
		fail("a vocabulary is too large", argv[1]);
	slots = allocate((size_t)1 << head.slot_bits, sizeof(*slots));
	starts = allocate((size_t)1 << BPE_START_BITS, sizeof(*starts));
	pool = allocate(head.pool_size, 1);
	bpe = (struct bpe){ slots, starts, pool, head.slot_bits };
	for (size_t i = 0; i < token_count; i++) {
		put_record(pool, &tokens[i]);
		add_slot(&tokens[i]);
		add_start(&tokens[i]);
	}
	for (size_t i = 0; i < token_count; i++)
		pool[tokens[i].offset + 3] = split_of(&tokens[i]);
	if (fwrite(&head, sizeof(head), 1, out) != 1 ||
	    fwrite(starts, sizeof(*starts), (size_t)1 << BPE_START_BITS, out) !=
	        (size_t)1 << BPE_START_BITS ||
	    fwrite(slots, sizeof(*slots), (size_t)1 << head.slot_bits, out) !=
	        (size_t)1 << head.slot_bits ||
	    fwrite(pool, head.pool_size, 1, out) != 1 || fclose(out) != 0)
		fail(argv[2], "cannot be written");
	fclose(in);
	return 0;
}

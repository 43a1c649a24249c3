/* bpe.h - tokens of one piece, by byte-pair encoding. Private to tokens/. */
#ifndef SL_TOKENS_BPE_H
#define SL_TOKENS_BPE_H

#include <stdbool.h>
#include <stdint.h>

#include "tokens/bpe_table.h"

/* Takes a table as it lies in memory, 8-byte aligned. False: there is none. */
bool sl_bpe_open(struct bpe *bpe, const uint8_t *table, size_t size);

/* How many tokens the piece is; len is at least 1. Linear in len. -1: no memory, which
 * only pieces above 3 KB need. */
int64_t sl_bpe_count(const struct bpe *bpe, const uint8_t *piece, size_t len);

#endif

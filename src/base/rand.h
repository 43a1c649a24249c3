/* rand.h - random bytes under the kernel's seeds, buffered per thread. */
#ifndef SL_BASE_RAND_H
#define SL_BASE_RAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Cryptographically strong; aborts the process if the kernel refuses, because
 * a key or id made from weak bytes is worse than no service. */
void     sl_rand_bytes(void *out, size_t size);
uint64_t sl_rand_u64(void);

/* A ULID (26 characters of Crockford base32, NUL-terminated; sorts by time).
 * https://github.com/ulid/spec */
enum { SL_ULID_LEN = 26, SL_ULID_SIZE = 16 };
void sl_rand_ulid(char out[SL_ULID_LEN + 1], int64_t wall_ms);
/* The 128 bits of a new one: 48 of the time, then random ones. */
void sl_ulid_mint(unsigned char out[SL_ULID_SIZE], int64_t wall_ms);
/* Those of a text. False: it is no ULID. */
bool sl_ulid_bytes(struct sl_slice text, unsigned char out[SL_ULID_SIZE]);
/* The other way; NUL-terminated. */
void sl_ulid_text(const unsigned char bytes[SL_ULID_SIZE], char out[SL_ULID_LEN + 1]);
/* When the one of a text was minted. False: it does not begin with a time. */
bool sl_ulid_time(struct sl_slice text, int64_t *wall_ms);

#endif

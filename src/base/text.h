/* text.h - numbers as text on the hot path, where printf would cost more than the
 * work around it. Each writes at `at` without a NUL and returns the end.
 */
#ifndef SL_BASE_TEXT_H
#define SL_BASE_TEXT_H

#include <stdint.h>
#include <string.h>

enum { SL_U64_DIGITS = 20, SL_HEX64_DIGITS = 16 };

/* At most SL_U64_DIGITS bytes. */
static inline char *
sl_put_u64(char *at, uint64_t value)
{
	char digits[SL_U64_DIGITS];
	size_t start = sizeof(digits);

	do
		digits[--start] = (char)('0' + value % 10);
	while (value /= 10);
	memcpy(at, digits + start, sizeof(digits) - start);
	return at + (sizeof(digits) - start);
}

/* Exactly SL_HEX64_DIGITS bytes, lower case. */
static inline char *
sl_put_hex64(char *at, uint64_t value)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		*at++ = "0123456789abcdef"[value >> shift & 15];
	return at;
}

#endif

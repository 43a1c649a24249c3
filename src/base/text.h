/* text.h - numbers as text on the hot path, where printf would cost more than the
 * work around it. Each writes at `at` without a NUL and returns the end.
 */
#ifndef SL_BASE_TEXT_H
#define SL_BASE_TEXT_H

#include <stdint.h>
#include <string.h>

enum { SL_U64_DIGITS = 20, SL_HEX64_DIGITS = 16 };

extern const char sl_digit_pairs[]; /* "000102...99" */

/* So many of the last digits of a value, with zeros in front. */
static inline char *
sl_put_digits(char *at, uint64_t value, unsigned count)
{
	unsigned left = count;

	for (; left > 1; left -= 2, value /= 100)
		memcpy(at + left - 2, &sl_digit_pairs[value % 100 * 2], 2);
	if (left > 0)
		*at = (char)('0' + value % 10);
	return at + count;
}

/* The same backwards, for who does not mind where it begins: writes before `end` and returns
 * the start. */
static inline char *
sl_put_u64_before(char *end, uint64_t value)
{
	for (; value >= 10; value /= 100) {
		end -= 2;
		memcpy(end, &sl_digit_pairs[value % 100 * 2], 2);
		if (value < 100)
			return end;
	}
	*--end = (char)('0' + value);
	return end;
}

/* At most SL_U64_DIGITS bytes. */
static inline char *
sl_put_u64(char *at, uint64_t value)
{
	unsigned count = 1;
	uint64_t left;

	for (left = value; left >= 100; left /= 100)
		count += 2;
	return sl_put_digits(at, value, count + (left >= 10));
}

/* The eight digits of a value, one in each byte, the first in the lowest. */
static inline uint64_t
sl_hex_digits(uint32_t value)
{
	uint64_t digits = __builtin_bswap32(value), letters;

	digits = (digits | digits << 16) & 0x0000ffff0000ffff;
	digits = (digits | digits << 8) & 0x00ff00ff00ff00ff;
	digits = (digits >> 4 | digits << 8) & 0x0f0f0f0f0f0f0f0f;
	letters = (digits + 0x0606060606060606) >> 4 & 0x0101010101010101;
	return digits + 0x3030303030303030 + letters * ('a' - '0' - 10);
}

/* The lowest byte first. A loop over the bytes becomes eight stores. */
static inline void
sl_put_le64(char *at, uint64_t value)
{
	if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
		value = __builtin_bswap64(value);
	memcpy(at, &value, sizeof(value));
}

/* Exactly SL_HEX64_DIGITS bytes, lower case. */
static inline char *
sl_put_hex64(char *at, uint64_t value)
{
	const uint64_t high = sl_hex_digits((uint32_t)(value >> 32));
	const uint64_t low = sl_hex_digits((uint32_t)value);

	sl_put_le64(at, high);
	sl_put_le64(at + 8, low);
	return at + SL_HEX64_DIGITS;
}

#endif

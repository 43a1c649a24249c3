/* utf8.h - is it UTF-8? */
#ifndef SL_BASE_UTF8_H
#define SL_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

static inline bool
sl_utf8_is_tail(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

/* Length of the well-formed UTF-8 sequence at p < end, whose first byte is not
 * ASCII; 0 when there is none. Unicode 15, table 3-7. */
static inline size_t
sl_utf8_size(const uint8_t *p, const uint8_t *end)
{
	size_t room = (size_t)(end - p);
	uint8_t c = p[0];

	if (c < 0xe0)
		return c >= 0xc2 && room >= 2 && sl_utf8_is_tail(p[1]) ? 2 : 0;
	if (c < 0xf0) {
		if (room < 3 || !sl_utf8_is_tail(p[1]) || !sl_utf8_is_tail(p[2]))
			return 0;
		/* e0 80..9f is overlong, ed a0..bf a surrogate. */
		if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f))
			return 0;
		return 3;
	}
	if (c > 0xf4 || room < 4 || !sl_utf8_is_tail(p[1]) || !sl_utf8_is_tail(p[2]) ||
	    !sl_utf8_is_tail(p[3]))
		return 0;
	/* f0 80..8f is overlong, f4 90.. is beyond U+10FFFF. */
	if ((c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f))
		return 0;
	return 4;
}

/* Offset of the first byte that is not part of well-formed UTF-8; text.len
 * when there is none. */
size_t sl_utf8_check(struct sl_slice text);

#endif

/* head_text.h - a head being written to memory that has room for all of it. Each function
 * writes at `at` and returns the end.
 */
#ifndef SL_NET_HEAD_TEXT_H
#define SL_NET_HEAD_TEXT_H

#include "base/slice.h"

/* Names and values are short: up to 32 bytes without a call. */
static inline char *
sl_put_text(char *at, struct sl_slice bytes)
{
	enum { HALF = 16, WORD = 8 };
	const char *from = bytes.ptr;
	size_t len = bytes.len;

	if (len >= WORD && len <= 2 * WORD) {
		memcpy(at, from, WORD);
		memcpy(at + len - WORD, from + len - WORD, WORD);
	} else if (len > HALF && len <= 2 * HALF) {
		memcpy(at, from, HALF);
		memcpy(at + len - HALF, from + len - HALF, HALF);
	} else if (len) {
		memcpy(at, from, len);
	}
	return at + len;
}

/* Takes as many bytes as name and value, and four. */
static inline char *
sl_put_field(char *at, struct sl_slice name, struct sl_slice value)
{
	at = sl_put_text(at, name);
	*at++ = ':';
	*at++ = ' ';
	at = sl_put_text(at, value);
	*at++ = '\r';
	*at++ = '\n';
	return at;
}

#endif

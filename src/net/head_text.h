/* head_text.h - a head being written to memory that has room for all of it. Each function
 * writes at `at` and returns the end.
 */
#ifndef SL_NET_HEAD_TEXT_H
#define SL_NET_HEAD_TEXT_H

#include "base/headers.h"

/* Texts are short: up to 32 bytes without a call. */
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

/* Bytes that the fields take at most. */
size_t sl_fields_size(const struct sl_header *fields, size_t count);
/* Whether each may be sent. */
bool sl_fields_are_valid(const struct sl_header *fields, size_t count);
/* Writes the fields as lines and judges them by the way, as sl_header_is_valid does; NULL
 * when one of them may not be sent. Those that stand in `lines`, as sl_headers_lines has them
 * (empty: none), were judged, and neighbours among them are one piece. */
char *sl_put_fields(char *at, const struct sl_header *fields, size_t count,
                    struct sl_slice lines);

#endif

/* headers.h - header fields, as net, surfaces and the pipeline share them.
 */
#ifndef SL_BASE_HEADERS_H
#define SL_BASE_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* A field. Names are lower-case, values without surrounding space, both
 * validated (token characters; no CR, LF or NUL). Empty values are legal. */
struct sl_header {
	struct sl_slice name;
	struct sl_slice value;
};

struct sl_headers {
	struct sl_header *items;
	size_t            count;
	/* sl_header_mark of each name; 0: not known. Whoever adds a field to a list that has
	 * it adds its mark. */
	uint64_t          marks;
	/* Where the text ends that begins with the first field's name, when fields of the list
	 * stand there as "name: value CR LF", each judged valid as it was read; NULL: none. */
	const char       *lines_end;
};

/* That text; empty when there is none. */
static inline struct sl_slice
sl_headers_lines(const struct sl_headers *headers)
{
	const char *start = headers->lines_end ? headers->items->name.ptr : NULL;

	return start ? sl_slice_make(start, (size_t)(headers->lines_end - start)) : SL_SLICE_NONE;
}

/* A bit by a name's length and last byte, which few other names have; the same in either
 * case. Of all factors this one parts what SDKs send best from what is looked for. */
static inline uint64_t
sl_header_mark(const char *name, size_t len)
{
	unsigned last = len ? (unsigned char)name[len - 1] | 0x20 : 0;

	return UINT64_C(1) << ((len * 44 + last) & 63);
}

/* NULL when there is none; looks at every field. */
const struct sl_header *sl_headers_look(const struct sl_headers *headers, const char *name,
                                        size_t len);
/* The same. Most of what is asked for is not there, nor is another name of its mark. */
static inline const struct sl_header *
sl_headers_find(const struct sl_headers *headers, const char *name, size_t len)
{
	if (headers->marks && !(headers->marks & sl_header_mark(name, len)))
		return NULL;
	return sl_headers_look(headers, name, len);
}

/* First field with this lower-case name; empty slice when absent (use
 * sl_headers_has to tell it from an empty value). */
static inline struct sl_slice
sl_headers_get(const struct sl_headers *headers, const char *name)
{
	const struct sl_header *header = sl_headers_find(headers, name, strlen(name));

	return header ? header->value : SL_SLICE_NONE;
}

static inline bool
sl_headers_has(const struct sl_headers *headers, const char *name)
{
	return sl_headers_find(headers, name, strlen(name)) != NULL;
}

#define SL_HEADER_MARK(literal) sl_header_mark((literal), sizeof(literal) - 1)

/* Fields that belong to one connection and never travel on: connection,
 * keep-alive, proxy-connection, transfer-encoding, te, trailer, upgrade,
 * proxy-authenticate, proxy-authorization, http2-settings. RFC 9110 7.6.1 */
bool sl_header_is_hop_by_hop(struct sl_slice name);
/* The marks of them all. */
static inline uint64_t
sl_header_hop_marks(void)
{
	return SL_HEADER_MARK("connection") | SL_HEADER_MARK("keep-alive") |
	       SL_HEADER_MARK("proxy-connection") | SL_HEADER_MARK("transfer-encoding") |
	       SL_HEADER_MARK("te") | SL_HEADER_MARK("trailer") | SL_HEADER_MARK("upgrade") |
	       SL_HEADER_MARK("proxy-authenticate") | SL_HEADER_MARK("proxy-authorization") |
	       SL_HEADER_MARK("http2-settings");
}

/* Whether name and value may be sent as a field; used on everything that did
 * not come from our own literals, so no value can forge or split a header. */
bool sl_header_is_valid(struct sl_slice name, struct sl_slice value);
/* A-Z of a name become a-z, in place. */
void sl_header_lower(char *name, size_t len);

#endif

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
	/* A bit for each length of a name, modulo 64; 0: not known. Whoever adds a field to
	 * a list that has it adds its bit. */
	uint64_t          lengths;
};

/* NULL when there is none. */
const struct sl_header *sl_headers_find(const struct sl_headers *headers, const char *name,
                                        size_t len);
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

/* Fields that belong to one connection and never travel on: connection,
 * keep-alive, proxy-connection, transfer-encoding, te, trailer, upgrade,
 * proxy-authenticate, proxy-authorization, http2-settings. RFC 9110 7.6.1 */
bool sl_header_is_hop_by_hop(struct sl_slice name);

/* Whether name and value may be sent as a field; used on everything that did
 * not come from our own literals, so no value can forge or split a header. */
bool sl_header_is_valid(struct sl_slice name, struct sl_slice value);
/* A-Z of a name become a-z, in place. */
void sl_header_lower(char *name, size_t len);

#endif

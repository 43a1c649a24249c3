/* percent.h - percent-encoding of paths and queries. RFC 3986 2.1
 */
#ifndef SL_BASE_PERCENT_H
#define SL_BASE_PERCENT_H

#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

/* Decodes into out (at least text.len bytes), once; returns the length, or SL_ESYNTAX
 * for a broken escape or an encoded NUL. A plus stays one: it is a space in forms only. */
ptrdiff_t sl_percent_decode(struct sl_slice text, char *out);

#endif

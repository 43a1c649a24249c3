/* timestamp.h - moments as the outside world writes them. RFC 3339, UTC inside. */
#ifndef SL_BASE_TIMESTAMP_H
#define SL_BASE_TIMESTAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { SL_TIMESTAMP_LEN = 24 }; /* "2026-01-31T23:59:59.000Z" */

/* "2026-01-31T23:59:59Z", the milliseconds only when there are any; returns the
 * length. Years 1970 to 9999; other moments are cut to those. */
size_t sl_timestamp_format(int64_t wall_ms, char out[SL_TIMESTAMP_LEN + 1]);

/* "2026-01-31T23:59:59[.123](Z|+hh:mm)" (T may be t or a space, Z may be z),
 * "2026-01-31" (midnight UTC), or seconds since the epoch ("1767225600").
 * A leap second counts as the second after it. False: none of these. */
bool sl_timestamp_parse(struct sl_slice text, int64_t *wall_ms);
/* "Sun, 06 Nov 1994 08:49:37 GMT", as HTTP writes dates (RFC 9110 5.6.7; the two obsolete
 * forms are not read). False: it is none. */
bool sl_timestamp_parse_http(struct sl_slice text, int64_t *wall_ms);

#endif

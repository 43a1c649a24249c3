/* http.h - HTTP messages as both sides of the gateway see them.
 *
 * Version-neutral: HTTP/1.1 and HTTP/2 are translated at the edge, so nobody
 * above net/ knows which one carried a message. RFC 9110.
 */
#ifndef SL_NET_HTTP_H
#define SL_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/headers.h"
#include "base/slice.h"

/* "Not Found" for 404; never NULL. */
const char *sl_http_reason(int status);

#endif

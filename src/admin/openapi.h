/* openapi.h - the API document: OpenAPI 3.1 of everything that is answered here. */
#ifndef SL_ADMIN_OPENAPI_H
#define SL_ADMIN_OPENAPI_H

#include "base/buf.h"

/* Appends the document. */
void admin_openapi_write(struct sl_buf *out);
/* NULL, or the path of an operation that has a route and no description, or the
 * other way round. */
const char *admin_openapi_gap(void);

#endif

/* openapi.h - the API document: OpenAPI 3.1 of everything that is answered here. */
#ifndef SL_ADMIN_OPENAPI_H
#define SL_ADMIN_OPENAPI_H

#include "base/buf.h"
#include "base/json.h"

/* The document into out, made on demand; out->failed when it did not fit. */
void admin_openapi_write(struct sl_buf *out);
/* NULL, or the path of an operation without a row in openapi.def, of a row without a
 * route, of two rows with one id, or the name of what a row uses and nobody describes. */
const char *admin_openapi_gap(void);

/* openapi_schema.c, in its notation: a JSON Schema; the members of an object, after a
 * "type" that the caller wrote. */
void admin_openapi_type(struct sl_json_writer *w, struct sl_slice text);
void admin_openapi_members(struct sl_json_writer *w, struct sl_slice text);

#endif

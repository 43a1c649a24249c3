/* json_schema.h - whether a JSON document is what a schema asks for.
 *
 * The keywords that providers of models take in structured outputs: type, enum, const,
 * properties, required, additionalProperties, items, prefixItems, anyOf, oneOf, allOf,
 * $ref within the schema, nullable, and the bounds of numbers, texts and arrays. Others
 * are not looked at, so what passes here may still break them; what fails is broken.
 * https://json-schema.org/draft/2020-12/json-schema-validation
 */
#ifndef SL_BASE_JSON_SCHEMA_H
#define SL_BASE_JSON_SCHEMA_H

#include "base/json.h"

enum {
	SL_JSON_SCHEMA_STEPS_MAX = 200000, /* then the rest is taken for good */
	SL_JSON_SCHEMA_DEPTH_MAX = 64,
};

/* Both validated. NULL: it fits; else what does not, static text. */
const char *sl_json_schema_check(struct sl_json schema, struct sl_json value);

#endif

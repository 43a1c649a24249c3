/* tool_schema.h - schemas of tools for APIs that take no union at their top. Private to
 * shapes/. */
#ifndef SL_SHAPES_TOOL_SCHEMA_H
#define SL_SHAPES_TOOL_SCHEMA_H

#include "base/arena.h"
#include "base/json.h"

/* Whether anyOf, oneOf or allOf stands at the schema's top. */
bool sl_tool_schema_has_union(struct sl_slice schema);
/* The schema as one object without them, on the arena; empty: it cannot be one, because a
 * choice is no object, a reference leads nowhere, or it is too large. */
struct sl_slice sl_tool_schema_merge(struct sl_slice schema, struct sl_arena *arena);

#endif

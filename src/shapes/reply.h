/* reply.h - what all shapes do with a reply or a frame: validate, locate,
 * note what was learnt. Nothing is allocated per frame: a model's name and an
 * error are copied to the arena once. Private to shapes/.
 */
#ifndef SL_SHAPES_REPLY_H
#define SL_SHAPES_REPLY_H

#include "shapes/shape.h"

/* Validates a reply or a frame and locates members. False when it is no JSON
 * object: then the facts say failed. */
bool sl_reply_scan(struct sl_slice doc, const struct sl_json_want *wants, size_t want_count,
                   struct sl_json_found *found, struct sl_arena *arena,
                   struct sl_reply_facts *facts);
static inline struct sl_json
sl_reply_value(struct sl_slice doc, const struct sl_json_found *found)
{
	return sl_json_found_value(doc, found);
}

/* The first name that is not empty stays. */
void sl_reply_model(struct sl_reply_facts *facts, struct sl_json model, struct sl_arena *arena);
/* An error as providers write it: {"type","code","status","message"}, a text,
 * or anything else; null and absent are no error. True when there is one. */
bool sl_reply_error(struct sl_reply_facts *facts, struct sl_json error, struct sl_arena *arena);
void sl_reply_fail(struct sl_reply_facts *facts, struct sl_arena *arena, struct sl_slice type,
                   struct sl_slice message);

/* A shape's read_reply where nothing is metered: whole, unless it is an error. */
void sl_reply_read_plain(const struct sl_steer *steer, struct sl_slice body,
                         struct sl_arena *arena, struct sl_reply_facts *facts);

/* Whether a value carries something: a text that is not empty, an array or
 * object with members. */
bool sl_reply_has(struct sl_json value);
/* A count at a dotted path; false when absent, null, negative or no integer. */
bool sl_reply_count(struct sl_json object, const char *path, int64_t *out);

#endif

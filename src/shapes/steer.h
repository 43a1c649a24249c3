/* steer.h - what all shapes do with a request body: locate what steers, judge
 * its types, and edit the located members. Private to shapes/.
 */
#ifndef SL_SHAPES_STEER_H
#define SL_SHAPES_STEER_H

#include "shapes/shape.h"

/* Every JSON shape's want list begins with SL_WANTS_COMMON; its own members
 * follow from SL_WANT_OWN on. `metadata.astrolabe`, `nexus` and `stoPayload`
 * are contracts between a caller and a gateway and never travel upstream. */
enum {
	SL_WANT_MODEL,
	SL_WANT_STREAM,
	SL_WANT_METADATA,
	SL_WANT_METADATA_ASTROLABE,
	SL_WANT_NEXUS,
	SL_WANT_STO_PAYLOAD,
	SL_WANT_OWN,
};
#define SL_WANTS_COMMON                                                       \
	{ "model" }, { "stream" }, { "metadata" }, { "metadata.astrolabe" },  \
	{ "nexus" }, { "stoPayload" }

/* One read_request in progress. */
struct sl_reading {
	const struct sl_json_want *wants;
	size_t                     want_count; /* at most SL_SHAPE_WANTS_MAX */
	struct sl_steer           *steer;
	struct sl_arena           *arena;
	struct sl_fault           *fault;
};

/* Initialises the steer with its defaults. */
void sl_steer_init(struct sl_steer *steer, const struct sl_shape_input *input);
/* Validates the body and locates the wants. False: *fault says where and why. */
bool sl_steer_scan(struct sl_reading *reading);

/* Values of located members. Absent leaves *out alone; so does null, except
 * for strings. Another type is a BAD_TYPE fault that names the member. */
bool sl_steer_string(struct sl_reading *reading, size_t want, struct sl_slice *out);
bool sl_steer_bool(struct sl_reading *reading, size_t want, bool *out);
bool sl_steer_object(struct sl_reading *reading, size_t want);
/* A limit on tokens: a negative one means none to those servers that take it. */
bool sl_steer_limit(struct sl_reading *reading, size_t want, int64_t *out);
/* How many answers: 1 to 1024, because the highest possible cost follows. */
bool sl_steer_choices(struct sl_reading *reading, size_t want, int64_t *out);
/* A string for the record only: another type is the provider's business. */
void sl_steer_end_user(struct sl_reading *reading, size_t want);
/* model and stream. */
bool sl_steer_common(struct sl_reading *reading);

/* `text` as a JSON string, quotes included, on the arena. */
enum sl_err sl_steer_quote(struct sl_slice text, struct sl_arena *arena, struct sl_slice *out);
/* The edits that every JSON body gets: the model's name and the removal of the
 * gateway's own members. */
enum sl_err sl_steer_splice(const struct sl_steer *steer, const struct sl_shape_target *target,
                            struct sl_arena *arena, struct sl_json_splice *splice);
/* Inserts target->max_output_tokens as a top-level member, if there is any. */
enum sl_err sl_steer_put_limit(const struct sl_steer *steer,
                               const struct sl_shape_target *target, const char *name,
                               struct sl_arena *arena, struct sl_json_splice *splice);
enum sl_err sl_steer_finish(struct sl_json_splice *splice, struct sl_forward *out);
/* forward() of shapes that need no more than sl_steer_splice. */
enum sl_err sl_steer_forward(const struct sl_steer *steer, const struct sl_shape_target *target,
                             struct sl_arena *arena, struct sl_forward *out);

#endif

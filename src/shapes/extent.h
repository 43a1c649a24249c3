/* extent.h - what a request may make a provider read and do, beyond its own text.
 *
 * For the upper bound of its cost: whatever is not known to be text counts as more than
 * text, so that an unknown part, tool or member makes the bound larger, never smaller.
 * Pure.
 */
#ifndef SL_SHAPES_EXTENT_H
#define SL_SHAPES_EXTENT_H

#include "shapes/shape.h"

struct sl_extent {
	int64_t text_bytes;     /* of the body, without parts that are no text */
	int64_t media_parts;    /* pictures, sound, files, and parts that are not known */
	int64_t paid_calls;     /* the most calls of tools that the provider runs; -1: no limit */
	bool    stored_context; /* refers to text that is not in the body */
	const char *of;         /* the body that was read; NULL: none was */
};

/* Of a request that its shape has read. Costs the length of the body. */
void sl_extent_read(const struct sl_shape_ops *shape, const struct sl_steer *steer,
                    struct sl_extent *out);
/* As above, unless *extent is this body's already. */
static inline const struct sl_extent *
sl_extent_once(const struct sl_shape_ops *shape, const struct sl_steer *steer,
               struct sl_extent *extent)
{
	if (!extent->of || extent->of != steer->input.body.ptr)
		sl_extent_read(shape, steer, extent);
	return extent;
}

#endif

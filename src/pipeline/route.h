/* route.h - the instructions of a named endpoint. Private to the pipeline.
 */
#ifndef SL_PIPELINE_ROUTE_H
#define SL_PIPELINE_ROUTE_H

#include "model/config.h"
#include "shapes/shape.h"

/* Puts the instructions of the route of this name, if there is one and it has any, into
 * the request that was read. False: *fault. */
bool sl_route_instruct(const struct sl_config *config, struct sl_slice name,
                       const struct sl_shape_ops *shape, struct sl_arena *arena,
                       struct sl_shape_input *input, struct sl_steer *steer,
                       struct sl_fault *fault);

#endif

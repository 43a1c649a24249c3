/* anthropic.h - what the shapes of the Anthropic family share. Private to
 * shapes/. */
#ifndef SL_SHAPES_ANTHROPIC_H
#define SL_SHAPES_ANTHROPIC_H

#include "shapes/reply.h"
#include "shapes/steer.h"

/* Merges a usage object into a snapshot: INPUT is made to include the caches,
 * a figure never shrinks, null and absent leave what is known. */
void sl_anthropic_usage(struct sl_json value, struct sl_usage *usage);

/* The name the API has for errors of this status: "overloaded_error". */
const char *sl_anthropic_error_type(int status);

/* {"type":"error","error":{"type","message"},"request_id"} */
void sl_anthropic_write_fault(const struct sl_fault *fault, struct sl_slice request_id,
                              struct sl_buf *out);
/* event: error */
void sl_anthropic_write_stream_fault(const struct sl_stream_state *state,
                                     const struct sl_fault *fault, struct sl_slice request_id,
                                     enum sl_framing framing, struct sl_buf *out);

#endif

/* gemini.h - what the shapes of the Gemini family share. Private to shapes/. */
#ifndef SL_SHAPES_GEMINI_H
#define SL_SHAPES_GEMINI_H

#include "shapes/reply.h"
#include "shapes/steer.h"

/* Google's SDKs use both versions. */
#define SL_GEMINI_PATHS(verb)                                                 \
	{ "/v1beta/models/{model}:" verb, verb }, { "/v1/models/{model}:" verb, verb }

/* Merges a usageMetadata object into a snapshot. False when it is none. */
bool sl_gemini_usage(struct sl_json value, struct sl_usage *usage);

/* The body, with the members located and the model from the path. */
bool sl_gemini_read_request(struct sl_reading *reading, const struct sl_shape_input *input);
/* sl_steer_splice for bodies that name the model as "models/ID", if at all.
 * *named is that name as a JSON string for further places, empty when the model
 * stays and nothing has to be replaced. */
enum sl_err sl_gemini_splice(const struct sl_steer *steer, const struct sl_shape_target *target,
                             struct sl_arena *arena, struct sl_json_splice *splice,
                             struct sl_slice *named);
/* A reply of which only model, error and usage matter. */
void sl_gemini_read_reply(const struct sl_steer *steer, struct sl_slice body,
                          struct sl_arena *arena, struct sl_reply_facts *facts);

/* "INVALID_ARGUMENT" for 400: the names of google.rpc.Code. */
const char *sl_gemini_status_name(int status);
/* {"error":{"code","message","status","details"}} */
void sl_gemini_write_fault(const struct sl_fault *fault, struct sl_slice request_id,
                           struct sl_buf *out);
/* As a data frame, or as the last element of the array. */
void sl_gemini_write_stream_fault(const struct sl_stream_state *state,
                                  const struct sl_fault *fault, struct sl_slice request_id,
                                  enum sl_framing framing, struct sl_buf *out);

#endif

/* openai.h - what the shapes of the OpenAI family share. Private to shapes/. */
#ifndef SL_SHAPES_OPENAI_H
#define SL_SHAPES_OPENAI_H

#include "shapes/reply.h"
#include "shapes/steer.h"

/* Other places where clients look for them: aliases.def. */
#define SL_OPENAI_PATHS(path, verb) { "/v1" path, verb }, { NULL, NULL }

/* A usage object of any member of the family, vendors' aliases included. False
 * when it names no tokens. Source is left alone. */
bool sl_openai_usage(struct sl_json usage, struct sl_usage *out);

/* Reads a whole JSON reply: model, error, usage and, where there are choices,
 * whether a filter stopped one. */
void sl_openai_read_reply(const struct sl_steer *steer, struct sl_slice body,
                          struct sl_arena *arena, struct sl_reply_facts *facts);

/* {"error":{"message","type","param","code"}} */
void sl_openai_write_fault(const struct sl_fault *fault, struct sl_slice request_id,
                           struct sl_buf *out);
/* The same as one data frame; no [DONE] follows, so SDKs raise it. */
void sl_openai_write_stream_fault(const struct sl_stream_state *state,
                                  const struct sl_fault *fault, struct sl_slice request_id,
                                  enum sl_framing framing, struct sl_buf *out);

/* Chat and legacy completions are one grammar of stream; the pieces of a
 * choice differ and are looked for both. */
enum sl_frame_verdict sl_openai_read_chunk(struct sl_stream_state *state, struct sl_slice event,
                                           struct sl_slice data, struct sl_arena *arena);
void sl_openai_end_chunks(struct sl_stream_state *state);
/* forward() of both: model, and stream_options where it streams. */
struct sl_openai_stream_wants {
	size_t stream_options;
	size_t include_usage;
	const char *limit; /* what a limit on the answer's length is called */
};
enum sl_err sl_openai_forward_chunks(const struct sl_steer *steer,
                                     const struct sl_shape_target *target,
                                     const struct sl_openai_stream_wants *wants,
                                     struct sl_arena *arena, struct sl_forward *out);
/* stream_options.include_usage into steer->wants_usage and the framing. */
bool sl_openai_read_stream(struct sl_reading *reading,
                           const struct sl_openai_stream_wants *wants);

/* `data: [DONE]`, which ends streams of the family. */
static inline bool
sl_openai_is_done(struct sl_slice data)
{
	return sl_slice_is(sl_slice_trim(data), "[DONE]");
}

#endif

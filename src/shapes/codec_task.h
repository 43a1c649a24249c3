/* codec_task.h - codecs of what is no conversation: counting tokens and embedding.
 * Private to shapes/.
 *
 * They use the same lane. A text to embed is an OPAQUE part whose raw is a JSON
 * string, all in one turn of the user, so settling leaves them alone; a vector of an
 * answer is an OPAQUE part whose raw is a JSON array. A count is the usage.
 */
#ifndef SL_SHAPES_CODEC_TASK_H
#define SL_SHAPES_CODEC_TASK_H

#include "shapes/codec.h"

/* The reply as JSON, or SL_JSON_NONE when it is an error or no JSON: then the flow
 * has failed. */
struct sl_json sl_task_reply(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena);
/* The end of a reply: model may be none; input_tokens -1: not said. */
void sl_task_end(struct sl_flow *flow, int64_t input_tokens);

/* A reply of which only the count named `member` matters. */
void sl_task_read_count(struct sl_flow *flow, struct sl_slice body, const char *member,
                        struct sl_arena *arena);
/* What another codec's encoder would send, as members of an open object, but for
 * those in `gone`. */
enum sl_err sl_task_put_request(struct sl_encode *encode,
                                enum sl_err (*other)(struct sl_encode *encode),
                                const struct sl_slice *gone, size_t gone_count,
                                struct sl_json_writer *w);

/* A text to embed: a JSON string. */
void sl_task_add_text(struct sl_dialog *dialog, struct sl_slice literal, struct sl_where where);
/* The first part of what is to be embedded; NULL: nothing. */
const struct sl_part *sl_task_texts(const struct sl_dialog *dialog);
/* They as member `name`, an array. */
void sl_task_put_texts(struct sl_json_writer *w, const char *name,
                       const struct sl_dialog *dialog);
/* What embeddings are for: Cohere's word for Gemini's, *exact if it means the same, and
 * back (SL_SLICE_NONE: no such word; else a JSON string). */
const char *sl_task_cohere_purpose(struct sl_json task, bool *exact);
struct sl_slice sl_task_gemini_purpose(struct sl_json input_type);
/* A reply of OpenAI's API and of those who copy it. */
void sl_task_read_data(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena);
/* A vector: a JSON array of numbers. */
void sl_task_tell_vector(struct sl_flow *flow, struct sl_slice raw);

#endif

/* openai_chat_codec.h - the parts of chat's translation. Private to shapes/.
 *
 * Reasoning for callers of this API: `reasoning_content` is the text, as vendors
 * have it; `reasoning_details` is what must come back,
 *   [{"type":"reasoning.text","index":0,"text":"...","signature":"<token>",
 *     "format":"sluice-v1"}], or "reasoning.encrypted" with "data",
 * one entry per block, once. Callers that keep unknown members of a message return
 * it as it is; signatures of calls ride on the calls' ids besides.
 */
#ifndef SL_SHAPES_OPENAI_CHAT_CODEC_H
#define SL_SHAPES_OPENAI_CHAT_CODEC_H

#include "shapes/codec.h"

extern const struct sl_codec_ops sl_openai_chat_codec;
extern const struct sl_codec_ops sl_openai_completions_codec;

/* openai_chat_decode.c */
bool sl_openai_chat_decode(const struct sl_codec_input *in, struct sl_dialog *out,
                           struct sl_fault *fault);
/* Members that chat and completions share: sampling, limits, stop. True: taken. */
bool sl_openai_take_common(struct sl_dialog *dialog, struct sl_slice key, struct sl_json value,
                           struct sl_where where);
/* openai_chat_encode.c */
enum sl_err sl_openai_chat_encode(struct sl_encode *encode);
/* openai_chat_reply.c */
enum { SL_OPENAI_CHAT_READER_SIZE = 3072, SL_OPENAI_CHAT_WRITER_SIZE = 128 };
/* openai_chat_write.c */
void sl_openai_chat_write_whole(const struct sl_completion *answer,
                                const struct sl_codec_caller *caller, struct sl_buf *out);
void sl_openai_chat_write_event(void *writer, const struct sl_codec_caller *caller,
                                const struct sl_event *event, struct sl_buf *out);
void sl_openai_chat_writer_release(void *writer);
const char *sl_openai_finish_reason(enum sl_stop stop);
/* What every answer of chat and completions begins with: id (`prefix` and ours where the
 * provider gave none), object, created, model. */
void sl_openai_put_head(struct sl_json_writer *w, const struct sl_codec_caller *caller,
                        const char *prefix, const char *object, struct sl_text id,
                        struct sl_text model, int64_t created_s);
/* The same as the beginning of every chunk, up to its choices; on the caller's arena. */
struct sl_slice sl_openai_chunk_head(const struct sl_codec_caller *caller, const char *prefix,
                                     const char *object, const struct sl_event *start);
/* usage of chat and completions, as member "usage". */
void sl_openai_put_usage(struct sl_json_writer *w, const struct sl_usage *usage);

#endif

/* anthropic_codec.h - the parts of Anthropic's translation. Private to shapes/. */
#ifndef SL_SHAPES_ANTHROPIC_CODEC_H
#define SL_SHAPES_ANTHROPIC_CODEC_H

#include "shapes/codec.h"

extern const struct sl_codec_ops sl_anthropic_codec;

/* anthropic_decode.c */
bool sl_anthropic_decode(const struct sl_codec_input *in, struct sl_dialog *out,
                         struct sl_fault *fault);
/* anthropic_encode.c */
enum sl_err sl_anthropic_encode(struct sl_encode *encode);
/* anthropic_write.c */
enum { SL_ANTHROPIC_WRITER_SIZE = 64 };
void sl_anthropic_write_whole(const struct sl_completion *answer,
                              const struct sl_codec_caller *caller, struct sl_buf *out);
void sl_anthropic_write_event(void *writer, const struct sl_codec_caller *caller,
                              const struct sl_event *event, struct sl_buf *out);

#endif

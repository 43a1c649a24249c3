/* bedrock_codec.h - the parts of Converse's translation. Private to shapes/. */
#ifndef SL_SHAPES_BEDROCK_CODEC_H
#define SL_SHAPES_BEDROCK_CODEC_H

#include "shapes/codec.h"

extern const struct sl_codec_ops sl_bedrock_codec;

/* bedrock_decode.c */
bool sl_bedrock_decode(const struct sl_codec_input *in, struct sl_dialog *out,
                       struct sl_fault *fault);
/* bedrock_encode.c */
enum sl_err sl_bedrock_encode(struct sl_encode *encode);
/* bedrock_write.c */
enum { SL_BEDROCK_WRITER_SIZE = 32 };
void sl_bedrock_write_whole(const struct sl_completion *answer, const struct sl_codec_caller *caller,
                            struct sl_buf *out);
void sl_bedrock_write_event(void *writer, const struct sl_codec_caller *caller,
                            const struct sl_event *event, struct sl_buf *out);

#endif

/* bedrock.h - what the files of Bedrock's shape share. Private to shapes/. */
#ifndef SL_SHAPES_BEDROCK_H
#define SL_SHAPES_BEDROCK_H

#include "shapes/shape.h"

/* Merges a `usage` object into a snapshot; nothing when it is none. */
void sl_bedrock_usage(struct sl_json value, struct sl_usage *usage);
/* Whether a message of the stream is an error, by its type. */
bool sl_bedrock_is_exception(struct sl_slice type);
/* The fault as an exception message of the stream. */
void sl_bedrock_write_exception(const struct sl_fault *fault, struct sl_buf *out);

#endif

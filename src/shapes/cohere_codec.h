/* cohere_codec.h - the parts of Cohere's translation. Private to shapes/. */
#ifndef SL_SHAPES_COHERE_CODEC_H
#define SL_SHAPES_COHERE_CODEC_H

#include "shapes/codec.h"

/* cohere_encode.c */
enum sl_err sl_cohere_encode(struct sl_encode *encode);

#endif

/* vocabulary.h - the compiled table of an encoding. Private to tokens/. */
#ifndef SL_TOKENS_VOCABULARY_H
#define SL_TOKENS_VOCABULARY_H

#include "base/slice.h"
#include "tokens/encoding.h"

/* As bpe_table.h says; empty: the build had no vocabulary. */
struct sl_slice sl_vocabulary(enum sl_encoding encoding);

#endif

/* encoding.h - how many tokens of an OpenAI encoding a text is, exactly.
 *
 * Pure and shared: frozen. The vocabularies lie in the binary's read-only data; a
 * build that had none knows how a text falls into pieces and estimates from that.
 */
#ifndef SL_TOKENS_ENCODING_H
#define SL_TOKENS_ENCODING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum sl_encoding {
	SL_ENCODING_O200K,  /* o200k_base: GPT-4o and everything after */
	SL_ENCODING_CL100K, /* cl100k_base: GPT-4, GPT-3.5, text-embedding-3 */
	SL_ENCODINGS,
};

const char *sl_encoding_name(enum sl_encoding encoding); /* "o200k_base" */
/* Whether its vocabulary was compiled in. */
bool sl_encoding_is_exact(enum sl_encoding encoding);

/* The tokens of a text; what looks like a special token is text. Equal to the package
 * tiktoken (0.14, encode_ordinary) on UTF-8; each byte that is none is a character of
 * its own. Time is linear in the length whatever the text. -1: the vocabulary is not
 * there, or memory for a very long word is not. */
int64_t sl_encoding_count(enum sl_encoding encoding, struct sl_slice text);

/* The same from the pieces alone: on English prose within 2 % in the sum. */
int64_t sl_encoding_guess(enum sl_encoding encoding, struct sl_slice text);

#endif

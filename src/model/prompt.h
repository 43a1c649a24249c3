/* prompt.h - what a request asks, as far as choosing a model needs it.
 *
 * Read from a validated body by its shape, judged by the classifier. Text is
 * borrowed from the body or on the request's arena.
 */
#ifndef SL_MODEL_PROMPT_H
#define SL_MODEL_PROMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { SL_PROMPT_TEXTS_MAX = 8, SL_PROMPT_BYTES_MAX = 4096 };

struct sl_prompt {
	/* What the user said last, in its order, at most SL_PROMPT_BYTES_MAX bytes
	 * altogether; of a longer text its beginning and its end. UTF-8. */
	struct sl_slice text[SL_PROMPT_TEXTS_MAX];
	size_t          text_count;
	size_t          size_bytes; /* of all messages and instructions, as in the body */
	size_t          turns;      /* messages of the conversation */
	uint64_t        opening;    /* hash of what stays the same through a conversation: the
	                             * instructions and all up to the first words of the user */
	bool            tools;      /* functions may be called */
	bool            schema;     /* the answer must follow a JSON schema */
	bool            media;      /* pictures, sound or files are part of it */
	uint32_t        modalities; /* which: SL_MODALITY_* (model/catalog.h), without text */
};

#endif

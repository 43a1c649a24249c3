/* tokens.h - how many input tokens a text or a request is for a model.
 *
 *   text --tally--> counts under an encoding --family of the model--> tokens, low, high
 *
 * Exact for the models whose encoding and message format are published; calibrated for
 * the others: the count of a published encoding times a factor of the model's family,
 * corrected by what the provider has reported for that model. Pure but for the memory
 * of corrections, which is shared: atomic.
 */
#ifndef SL_TOKENS_TOKENS_H
#define SL_TOKENS_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "tokens/encoding.h"

enum sl_token_method {
	SL_TOKENS_EXACT,      /* low, tokens and high are one figure */
	SL_TOKENS_CALIBRATED, /* estimated from what was counted or seen of the text */
	SL_TOKENS_BYTES,      /* part of the text was too long to look at: by its length */
};
const char *sl_token_method_name(enum sl_token_method method); /* "exact", ... */

struct sl_token_count {
	int64_t              tokens;
	int64_t              low, high; /* where it lies, but for one in a hundred or so */
	enum sl_token_method method;
};

/* --- families --------------------------------------------------------------- */

struct sl_token_family {
	const char      *name;
	enum sl_encoding encoding;
	int32_t          factor, low, high; /* per mille of the encoding's count */
	int32_t          per_message, per_request;
	int32_t          with_tools;        /* added when there are any */
	int32_t          image_low, image, image_high;
	const char      *patterns;
};

/* By the model's name as the provider has it; never NULL. */
const struct sl_token_family *sl_token_family_of(struct sl_slice model);

/* --- what a request holds ---------------------------------------------------- */

/* Text of one request that is looked at; what is beyond counts by its bytes. A loop is
 * kept for at most about 20 ms. */
enum { SL_TALLY_BYTES_MAX = 1 << 20 };

struct sl_tally {
	enum sl_encoding encoding;
	bool    guessed;       /* the build has no vocabulary */
	int64_t text_tokens;
	int64_t looked_bytes;
	int64_t beyond_bytes;
	int64_t messages;
	int64_t names;         /* of speakers */
	int64_t functions, properties, enum_items; /* of tools */
	bool    tools, schema; /* what providers render in a form of their own */
	int64_t images;
	int64_t media_bytes;   /* audio and files, as in the body */
};

void sl_tally_init(struct sl_tally *tally, enum sl_encoding encoding);
/* Adds text, unescaped UTF-8. */
void sl_tally_text(struct sl_tally *tally, struct sl_slice text);
/* What the tally, made with the family's encoding, is for a model of the family.
 * ratio_ppm: from sl_token_memory_ratio, SL_TOKEN_RATIO_ONE where nothing is known. */
struct sl_token_count sl_tally_total(const struct sl_tally *tally,
                                     const struct sl_token_family *family, int64_t ratio_ppm);

/* One text on its own, as an embedding model or `sluice tokens` takes it. */
struct sl_token_count sl_tokens_of_text(const struct sl_token_family *family,
                                        struct sl_slice text);

/* --- corrections ------------------------------------------------------------- */

enum { SL_TOKEN_RATIO_ONE = 1000000 };

/* What was reported over what was estimated, for up to some hundred models. */
struct sl_token_memory;
struct sl_token_memory *sl_token_memory_new(void);
void sl_token_memory_free(struct sl_token_memory *memory);
/* An answer came back: what sl_tally_total said with ratio ONE, and what the provider
 * charged for. Off the path of a request. When the memory is full new models are left. */
void sl_token_memory_note(struct sl_token_memory *memory, struct sl_slice provider,
                          struct sl_slice model, int64_t estimated, int64_t reported);
/* Whether as many answers came back as the mean is taken over. */
bool sl_token_memory_is_settled(const struct sl_token_memory *memory, struct sl_slice provider,
                                struct sl_slice model);
/* Parts per million, between a half and two; ONE while nothing is known. */
int64_t sl_token_memory_ratio(const struct sl_token_memory *memory, struct sl_slice provider,
                              struct sl_slice model);

#endif

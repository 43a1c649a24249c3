/* money_bound.h - the most that a request can cost, proven before it is sent. */
#ifndef SL_LEDGER_MONEY_BOUND_H
#define SL_LEDGER_MONEY_BOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "model/catalog.h"

/* What is known of a request before it goes out; -1: unknown. */
struct sl_bound_request {
	int64_t body_bytes;        /* of the request body: no more text tokens than bytes */
	int64_t media_parts;       /* pictures, audio and files given in line or by address */
	int64_t media_part_tokens; /* the most input tokens one of them can be; -1: unknown */
	int64_t max_tokens;        /* asked for, or injected; thinking included */
	int64_t n;                 /* answers wanted; at least 1 */
	int64_t web_searches;      /* the most tool calls with a fee; 0: no such tool */
	int64_t images;            /* pictures to be made */
	int64_t audio_ms;          /* length of speech to be read */
	bool    stored_context;    /* refers to text that is not in the body */
	int64_t tool_calls;      /* tools the provider runs: each result is read by one more
	                          * pass over everything; -1: no maximum */
};

enum sl_bound_gap {
	SL_BOUND_PROVEN,
	SL_BOUND_NO_PRICE,      /* the model has no price list */
	SL_BOUND_NO_MAX_TOKENS, /* none given and the card knows no maximum */
	SL_BOUND_MEDIA,         /* a picture, audio or file of unknown size */
	SL_BOUND_TOOLS,         /* tool calls with a fee, without a maximum */
	SL_BOUND_CONTEXT,       /* a stored conversation of unknown size */
	SL_BOUND_TOO_LARGE,     /* beyond any hold */
};
/* What to change, for a 400; static. */
const char *sl_bound_gap_text(enum sl_bound_gap gap);

/* Sets *nanousd to an amount that the request cannot exceed: every input token at the
 * dearest rate any of its classes has in any price tier it may reach (cached writes of
 * an hour, audio, long context), every output token likewise, times n, plus fees. Source:
 * bytes >= tokens holds for every byte-pair tokenizer. */
enum sl_bound_gap sl_money_bound(const struct sl_model_card *card,
                                 const struct sl_bound_request *request, int64_t *nanousd);

#endif

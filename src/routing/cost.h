/* cost.h - what a request would cost at a target, before it is sent.
 *
 * Estimates, in three figures: low, expected, high. They rank targets and are told to
 * people; the ledger holds a proven bound instead (ledger/money_bound.h). Pure.
 */
#ifndef SL_ROUTING_COST_H
#define SL_ROUTING_COST_H

#include <stdbool.h>
#include <stdint.h>

#include "model/catalog.h"
#include "model/prompt.h"

/* Tokens of a request that was not sent yet. */
struct sl_tokens {
	int64_t input_low, input, input_high;
	int64_t output_low, output, output_high; /* high: what may be asked of any model */
};

struct sl_cost {
	bool    known; /* the target has prices for both sides */
	int64_t low_nanousd, expected_nanousd, high_nanousd;
};

/* By length: bytes for each token, from the leanest text to the densest. prompt NULL:
 * body_bytes are taken for all text. max_output -1: not limited. category as the
 * classifier names it, or NULL. */
void sl_tokens_guess(const struct sl_prompt *prompt, int64_t body_bytes, int64_t max_output,
                     int64_t choices, const char *category, struct sl_tokens *out);
/* card NULL, or without prices: not known. */
void sl_cost_of(const struct sl_model_card *card, const struct sl_tokens *tokens,
                struct sl_cost *out);

#endif

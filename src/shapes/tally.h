/* tally.h - what of a request counts as input tokens. */
#ifndef SL_SHAPES_TALLY_H
#define SL_SHAPES_TALLY_H

#include "base/slice.h"
#include "tokens/tokens.h"

/* Adds a validated request body of any API: messages, instructions, tools, schemas,
 * pictures. What it does not know is not counted. */
void sl_tally_request(struct sl_tally *tally, struct sl_slice body);

#endif

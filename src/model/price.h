/* price.h - amounts as people write them in a price list. */
#ifndef SL_MODEL_PRICE_H
#define SL_MODEL_PRICE_H

#include "base/err.h"
#include "base/slice.h"
#include "model/catalog.h"

/* "1.25" to nano-dollars: digits, at most nine after the point, no sign, at most
 * one million dollars. */
bool sl_price_parse_usd(struct sl_slice text, int64_t *nanousd);

/* Sets the price of a name as the catalogue writes it ("input", "web_search_1k",
 * "audio_minute"). SL_ENOTFOUND: unknown name; SL_ELIMIT: too large. */
enum sl_err sl_price_set(struct sl_price *price, struct sl_slice name, int64_t nanousd);

#endif

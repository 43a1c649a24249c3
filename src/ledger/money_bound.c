/* money_bound.c - a bound is the sum of the dearest of everything.
 *
 * A price may belong to the part or to the total (model/price.c charges a part without a
 * price of its own as its total), and parts may overlap in reports, so a token is taken
 * at the dearest rate of its side. A provider may also add tokens of its own (chat
 * templates, tool headers): TEMPLATE_TOKENS covers the documented ones. Where tokens are
 * unknown, the context window of the card bounds what one request can read.
 */
#include "ledger/money_bound.h"

enum { MILLION = 1000000, TEMPLATE_TOKENS = 1024 };
#define BOUND_MAX (INT64_MAX / 4096)

__extension__ typedef __int128 wide;

const char *
sl_bound_gap_text(enum sl_bound_gap gap)
{
	switch (gap) {
	case SL_BOUND_PROVEN:
		return "the cost is bounded";
	case SL_BOUND_NO_PRICE:
		return "the model has no known price: add one to `prices`, or use a key without a budget";
	case SL_BOUND_NO_MAX_TOKENS:
		return "the answer's length is not bounded: set max_tokens";
	case SL_BOUND_MEDIA:
		return "a picture, audio or file has no known size: leave it out, or use a key without "
		       "a budget";
	case SL_BOUND_TOOLS:
		return "a tool with a fee has no maximum of calls: set its max_uses";
	case SL_BOUND_CONTEXT:
		return "a stored conversation has no known size: send the messages themselves";
	default:
		return "the request could cost more than can be held: lower max_tokens or n";
	}
}

#define CLASS(id) (1u << SL_USAGE_##id)

/* Of the classes that the list has. */
static bool
dearest_of(const struct sl_price *price, uint32_t classes, int64_t *nanousd)
{
	uint32_t left = price->present & classes;

	for (uint32_t rest = left; rest; rest &= rest - 1)
		if (price->nanousd[__builtin_ctz(rest)] > *nanousd)
			*nanousd = price->nanousd[__builtin_ctz(rest)];
	return left != 0;
}

/* The dearest price per million of some classes (a bit each), in the base list and in
 * every tier. False: none has one. */
static bool
dearest(const struct sl_model_card *card, uint32_t classes, int64_t reach_tokens,
        int64_t *nanousd)
{
	bool found;

	*nanousd = 0;
	found = dearest_of(&card->price, classes, nanousd);
	for (uint32_t t = 0; t < card->tier_count; t++)
		if (card->tiers[t].from_input_tokens <= reach_tokens)
			found |= dearest_of(&card->tiers[t].price, classes, nanousd);
	return found;
}

/* The most input tokens; -1: no bound. */
static int64_t
input_tokens(const struct sl_model_card *card, const struct sl_bound_request *request,
             enum sl_bound_gap *gap)
{
	int64_t window = card->context_tokens > 0 ? card->context_tokens : -1;
	wide tokens = (wide)request->body_bytes + TEMPLATE_TOKENS;

	*gap = SL_BOUND_PROVEN;
	if (request->stored_context || request->tool_calls > 0)
		*gap = SL_BOUND_CONTEXT;
	else if (request->media_parts > 0 && request->media_part_tokens < 0)
		*gap = SL_BOUND_MEDIA;
	if (*gap != SL_BOUND_PROVEN) {
		/* One request reads no more than the window. */
		if (window > 0)
			*gap = SL_BOUND_PROVEN;
		return window;
	}
	if (request->media_parts > 0)
		tokens += (wide)request->media_parts * request->media_part_tokens;
	if (tokens > BOUND_MAX)
		*gap = SL_BOUND_TOO_LARGE;
	return tokens > BOUND_MAX ? -1 : (int64_t)tokens;
}

static bool
add_fee(const struct sl_model_card *card, enum sl_usage_class class_, int64_t units, wide *sum)
{
	int64_t price;

	if (!dearest(card, 1u << class_, INT64_MAX, &price))
		return false;
	*sum += (wide)price * units;
	return true;
}

enum sl_bound_gap
sl_money_bound(const struct sl_model_card *card, const struct sl_bound_request *request,
               int64_t *nanousd)
{
	const uint32_t in = CLASS(INPUT) | CLASS(CACHE_READ) | CLASS(CACHE_WRITE) |
	                    CLASS(CACHE_WRITE_1H) | CLASS(INPUT_AUDIO) | CLASS(INPUT_IMAGE);
	const uint32_t out = CLASS(OUTPUT) | CLASS(REASONING) | CLASS(OUTPUT_AUDIO) |
	                     CLASS(OUTPUT_IMAGE);
	int64_t n = request->n > 0 ? request->n : 1, max = request->max_tokens, input, in_price, out_price;
	bool priced = false;
	enum sl_bound_gap gap;
	wide sum = 0;

	if (!card)
		return SL_BOUND_NO_PRICE;
	if (request->tool_calls < 0)
		return SL_BOUND_TOOLS;
	input = input_tokens(card, request, &gap);
	if (gap != SL_BOUND_PROVEN)
		return gap;
	if (request->tool_calls > 0)
		n *= request->tool_calls + 1;
	/* Some providers read the prompt once for each answer. */
	if (dearest(card, in, input, &in_price)) {
		sum += (wide)in_price * input * n;
		priced = true;
	}
	if (dearest(card, out, input, &out_price)) {
		if (max < 0)
			max = card->max_output_tokens > 0 ? card->max_output_tokens : -1;
		if (max < 0)
			return SL_BOUND_NO_MAX_TOKENS;
		sum += (wide)out_price * max * (request->n > 0 ? request->n : 1);
		priced = true;
	}
	if (request->web_searches < 0)
		return SL_BOUND_TOOLS;
	if (request->web_searches > 0 &&
	    !add_fee(card, SL_USAGE_WEB_SEARCH, request->web_searches, &sum))
		return SL_BOUND_NO_PRICE;
	/* Measured again what tokens may measure: what has a price counts. */
	priced |= request->images > 0 && add_fee(card, SL_USAGE_IMAGES, request->images, &sum);
	priced |= add_fee(card, SL_USAGE_CHARACTERS, request->body_bytes, &sum);
	if ((card->price.present >> SL_USAGE_AUDIO_MS) & 1u) {
		if (request->audio_ms < 0)
			return SL_BOUND_MEDIA;
		priced |= add_fee(card, SL_USAGE_AUDIO_MS, request->audio_ms, &sum);
	}
	if (!priced)
		return SL_BOUND_NO_PRICE;
	sum += MILLION - 1;
	/* Dividing 64 bits is much quicker. */
	sum = sum <= INT64_MAX ? (int64_t)sum / MILLION : sum / MILLION;
	if (sum > BOUND_MAX)
		return SL_BOUND_TOO_LARGE;
	*nanousd = (int64_t)sum;
	return SL_BOUND_PROVEN;
}

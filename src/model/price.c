/* price.c - what a usage costs.
 *
 * All amounts are integers: price per million units times units, summed in 128
 * bits, divided by a million once. So the order of the terms does not matter and
 * a cost never differs by a rounding between two places that compute it.
 */
#include "model/price.h"

#include "base/compiler.h"

enum { USD_MAX = 1000000, MILLION = 1000000 };
#define NANO INT64_C(1000000000)

__extension__ typedef __int128 wide;

bool
sl_price_parse_usd(struct sl_slice text, int64_t *nanousd)
{
	int64_t whole = 0, part = 0, unit = NANO;
	size_t i = 0;

	for (; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++) {
		whole = whole * 10 + (text.ptr[i] - '0');
		if (whole > USD_MAX)
			return false;
	}
	if (i == 0)
		return false;
	if (i < text.len && text.ptr[i] == '.') {
		size_t point = i++;

		for (; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++) {
			unit /= 10;
			if (unit == 0)
				return false;
			part += (text.ptr[i] - '0') * unit;
		}
		if (i == point + 1)
			return false;
	}
	*nanousd = whole * NANO + part;
	return i == text.len;
}

enum sl_err
sl_price_set(struct sl_price *price, struct sl_slice name, int64_t nanousd)
{
	static const struct {
		const char         *name;
		enum sl_usage_class class_;
		int64_t             units; /* that the price is for */
	} names[] = {
		{ "input", SL_USAGE_INPUT, MILLION },
		{ "cache_read", SL_USAGE_CACHE_READ, MILLION },
		{ "cache_write", SL_USAGE_CACHE_WRITE, MILLION },
		{ "cache_write_1h", SL_USAGE_CACHE_WRITE_1H, MILLION },
		{ "input_audio", SL_USAGE_INPUT_AUDIO, MILLION },
		{ "input_image", SL_USAGE_INPUT_IMAGE, MILLION },
		{ "output", SL_USAGE_OUTPUT, MILLION },
		{ "reasoning", SL_USAGE_REASONING, MILLION },
		{ "output_audio", SL_USAGE_OUTPUT_AUDIO, MILLION },
		{ "output_image", SL_USAGE_OUTPUT_IMAGE, MILLION },
		{ "characters", SL_USAGE_CHARACTERS, MILLION },
		{ "web_search_1k", SL_USAGE_WEB_SEARCH, 1000 },
		{ "image", SL_USAGE_IMAGES, 1 },
		{ "audio_minute", SL_USAGE_AUDIO_MS, 60000 },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		wide per_million;

		if (!sl_slice_is(name, names[i].name))
			continue;
		per_million = ((wide)nanousd * MILLION + names[i].units / 2) / names[i].units;
		if (nanousd < 0 || per_million > INT64_MAX)
			return SL_ELIMIT;
		price->nanousd[names[i].class_] = (int64_t)per_million;
		price->present |= 1u << names[i].class_;
		return SL_OK;
	}
	return SL_ENOTFOUND;
}

/* --- cost --------------------------------------------------------------------- */

struct bill {
	const struct sl_usage *usage;
	const struct sl_price *price; /* of the tier that holds */
	wide                   sum;   /* nano-dollars times a million */
};

static bool
priced(const struct bill *bill, enum sl_usage_class class_)
{
	return (bill->price->present >> class_) & 1u;
}

static void
charge(struct bill *bill, enum sl_usage_class class_, int64_t units)
{
	bill->sum += (wide)bill->price->nanousd[class_] * units;
}

/* Charges a part at its own price, if it has one, and takes it out of *total. A
 * provider's parts may exceed its total; nothing is charged below zero. */
static void
take_part(struct bill *bill, enum sl_usage_class class_, int64_t units, int64_t *total)
{
	if (!priced(bill, class_))
		return;
	charge(bill, class_, units);
	*total = units < *total ? *total - units : 0;
}

/* Cached writes of one hour are a part of a part. */
static void
take_cache_writes(struct bill *bill, int64_t *total)
{
	int64_t writes = sl_usage_get(bill->usage, SL_USAGE_CACHE_WRITE);
	int64_t hour = sl_usage_get(bill->usage, SL_USAGE_CACHE_WRITE_1H);

	if (priced(bill, SL_USAGE_CACHE_WRITE_1H)) {
		take_part(bill, SL_USAGE_CACHE_WRITE_1H, hour, total);
		writes = hour < writes ? writes - hour : 0;
	}
	take_part(bill, SL_USAGE_CACHE_WRITE, writes, total);
}

/* Parts of the totals, which most usages have none of. */
static void
charge_parts(struct bill *bill, int64_t *input, int64_t *output)
{
	static const enum sl_usage_class in[] = {
		SL_USAGE_CACHE_READ, SL_USAGE_INPUT_AUDIO, SL_USAGE_INPUT_IMAGE,
	};
	static const enum sl_usage_class out[] = {
		SL_USAGE_REASONING, SL_USAGE_OUTPUT_AUDIO, SL_USAGE_OUTPUT_IMAGE,
	};

	take_cache_writes(bill, input);
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
		take_part(bill, in[i], sl_usage_get(bill->usage, in[i]), input);
	for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
		take_part(bill, out[i], sl_usage_get(bill->usage, out[i]), output);
}

/* True when the tokens that are left have a price or are none. */
static bool
charge_tokens(struct bill *bill)
{
	const uint32_t totals = 1u << SL_USAGE_INPUT | 1u << SL_USAGE_OUTPUT;
	int64_t input = sl_usage_get(bill->usage, SL_USAGE_INPUT);
	int64_t output = sl_usage_get(bill->usage, SL_USAGE_OUTPUT);

	if (bill->usage->present & ~totals)
		charge_parts(bill, &input, &output);
	charge(bill, SL_USAGE_INPUT, input);
	charge(bill, SL_USAGE_OUTPUT, output);
	return (input == 0 || priced(bill, SL_USAGE_INPUT)) &&
	       (output == 0 || priced(bill, SL_USAGE_OUTPUT));
}

/* What is no token: pictures, characters, audio, searches. False: it is used and nothing
 * says what it costs. */
static bool
charge_others(struct bill *bill, bool tokens_used, bool *media_priced)
{
	static const enum sl_usage_class media[] = {
		SL_USAGE_IMAGES, SL_USAGE_CHARACTERS, SL_USAGE_AUDIO_MS,
	};
	int64_t searches = sl_usage_get(bill->usage, SL_USAGE_WEB_SEARCH);
	bool used = false;

	for (size_t i = 0; i < sizeof(media) / sizeof(media[0]); i++) {
		int64_t units = sl_usage_get(bill->usage, media[i]);

		used |= units > 0;
		*media_priced |= units > 0 && priced(bill, media[i]);
		charge(bill, media[i], units);
	}
	charge(bill, SL_USAGE_WEB_SEARCH, searches);
	return (searches == 0 || priced(bill, SL_USAGE_WEB_SEARCH)) &&
	       (!used || *media_priced || tokens_used);
}

/* The card's list, or in *room what the tiers make of it. */
static const struct sl_price *
price_at(const struct sl_model_card *card, int64_t input_tokens, struct sl_price *room)
{
	if (card->tier_count == 0)
		return &card->price;
	*room = card->price;
	for (uint32_t t = 0; t < card->tier_count; t++) {
		const struct sl_price_tier *tier = &card->tiers[t];

		if (input_tokens < tier->from_input_tokens)
			continue;
		for (int i = 0; i < SL_USAGE_COUNT; i++)
			if ((tier->price.present >> i) & 1u)
				room->nanousd[i] = tier->price.nanousd[i];
		room->present |= tier->price.present;
	}
	return room;
}

bool
sl_price_cost(const struct sl_model_card *card, const struct sl_usage *usage,
              int64_t *cost_nanousd)
{
	SL_UNINIT struct sl_price tiered; /* written before it is read */
	struct bill bill = { .usage = usage };
	const uint32_t others = 1u << SL_USAGE_WEB_SEARCH | 1u << SL_USAGE_IMAGES |
	                        1u << SL_USAGE_CHARACTERS | 1u << SL_USAGE_AUDIO_MS;
	bool media_priced = false, tokens_used, tokens_priced;

	if (!card || usage->present == 0)
		return false;
	bill.price = price_at(card, sl_usage_get(usage, SL_USAGE_INPUT), &tiered);
	tokens_used = sl_usage_get(usage, SL_USAGE_INPUT) > 0 ||
	              sl_usage_get(usage, SL_USAGE_OUTPUT) > 0;
	tokens_priced = charge_tokens(&bill);
	if ((usage->present & others) && !charge_others(&bill, tokens_used, &media_priced))
		return false;
	if (tokens_used && !tokens_priced && !media_priced)
		return false;
	bill.sum += MILLION / 2;
	/* Dividing 64 bits is much quicker. */
	if (bill.sum <= INT64_MAX) {
		*cost_nanousd = (int64_t)bill.sum / MILLION;
		return true;
	}
	bill.sum /= MILLION;
	if (bill.sum > INT64_MAX)
		return false;
	*cost_nanousd = (int64_t)bill.sum;
	return true;
}

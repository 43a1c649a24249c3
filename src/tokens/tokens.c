/* tokens.c - from what was counted to what a model will count. */
#include "tokens/tokens.h"

#include <string.h>

enum { REMEMBERED = 128, REMEMBERED_BYTES = 56 };
enum { PER_MILLE = 1000, BYTES_PER_TOKEN = 4 };
/* OpenAI's cookbook: what surrounds a function, a property, an item of an enum. */
enum { FUNCTION_TOKENS = 7, PROPERTY_TOKENS = 6, ENUM_ITEM_TOKENS = 3 };

const char *
sl_token_method_name(enum sl_token_method method)
{
	static const char *const names[] = { "exact", "calibrated", "bytes" };

	return names[method];
}

/* --- families --------------------------------------------------------------- */

#define SL_TOKEN_FAMILY(name, encoding, factor, low, high, per_message, per_request, with_tools, \
                        image_low, image, image_high, patterns)                                  \
	{ #name, SL_ENCODING_##encoding, factor, low, high, per_message, per_request,            \
	  with_tools, image_low, image, image_high, patterns },
static const struct sl_token_family families[] = {
#include "tokens/families.def"
};
#undef SL_TOKEN_FAMILY
enum { FAMILIES = sizeof(families) / sizeof(families[0]) };

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return lower(c) >= 'a' && lower(c) <= 'z';
}

/* "gpt-4" is in "gpt-4-turbo", not in "gpt-4o"; "llama" is in "llama3". */
static bool
stands_at(struct sl_slice model, size_t at, struct sl_slice pattern)
{
	char next;

	if (model.len - at < pattern.len)
		return false;
	if (at > 0 && (is_letter(model.ptr[at - 1]) || is_digit(model.ptr[at - 1])))
		return false;
	for (size_t i = 0; i < pattern.len; i++)
		if (lower(model.ptr[at + i]) != pattern.ptr[i])
			return false;
	if (at + pattern.len == model.len)
		return true;
	next = model.ptr[at + pattern.len];
	return !is_letter(next) &&
	       !(is_digit(next) && is_digit(pattern.ptr[pattern.len - 1]));
}

static bool
has(struct sl_slice model, const char *patterns)
{
	while (*patterns) {
		struct sl_slice pattern = sl_slice_make(patterns, strcspn(patterns, " "));

		for (size_t at = 0; at < model.len; at++)
			if (stands_at(model, at, pattern))
				return true;
		patterns += pattern.len;
		patterns += strspn(patterns, " ");
	}
	return false;
}

static const struct sl_token_family *
search(struct sl_slice model)
{
	size_t i = 0;

	while (i < FAMILIES - 1 && !has(model, families[i].patterns))
		i++;
	return &families[i];
}

/* A plan asks for every candidate, and the candidates are few: a name that was asked for
 * before on this thread is found by its hash instead of by every pattern. */
const struct sl_token_family *
sl_token_family_of(struct sl_slice model)
{
	static _Thread_local struct {
		const struct sl_token_family *family;
		size_t                        len;
		char                          name[REMEMBERED_BYTES];
	} remembered[REMEMBERED];
	uint32_t hash = 0x811C9DC5u;
	size_t at;

	if (model.len == 0 || model.len > REMEMBERED_BYTES)
		return search(model);
	for (size_t i = 0; i < model.len; i++)
		hash = (hash ^ (uint8_t)model.ptr[i]) * 0x01000193u;
	at = (hash ^ hash >> 16) % REMEMBERED;
	if (remembered[at].len != model.len ||
	    memcmp(remembered[at].name, model.ptr, model.len) != 0) {
		remembered[at].family = search(model);
		remembered[at].len = model.len;
		memcpy(remembered[at].name, model.ptr, model.len);
	}
	return remembered[at].family;
}

/* --- tallies ---------------------------------------------------------------- */

void
sl_tally_init(struct sl_tally *tally, enum sl_encoding encoding)
{
	*tally = (struct sl_tally){ .encoding = encoding };
	tally->guessed = !sl_encoding_is_exact(encoding);
}

void
sl_tally_text(struct sl_tally *tally, struct sl_slice text)
{
	int64_t room = SL_TALLY_BYTES_MAX - tally->looked_bytes, tokens = -1;

	if ((int64_t)text.len > room) {
		tally->beyond_bytes += (int64_t)text.len - room;
		text.len = (size_t)room;
	}
	tally->looked_bytes += (int64_t)text.len;
	if (!tally->guessed)
		tokens = sl_encoding_count(tally->encoding, text);
	if (tokens < 0) {
		tally->guessed = true;
		tokens = sl_encoding_guess(tally->encoding, text);
	}
	tally->text_tokens += tokens;
}

/* What surrounds the text. */
static int64_t
overhead(const struct sl_tally *tally, const struct sl_token_family *family)
{
	int64_t sum = tally->messages * family->per_message + tally->names;

	if (tally->messages > 0)
		sum += family->per_request;
	if (tally->tools)
		sum += family->with_tools + tally->functions * FUNCTION_TOKENS +
		       tally->properties * PROPERTY_TOKENS + tally->enum_items * ENUM_ITEM_TOKENS;
	return sum;
}

static bool
is_exact(const struct sl_tally *tally, const struct sl_token_family *family)
{
	return !tally->guessed && family->low == PER_MILLE && family->high == PER_MILLE &&
	       tally->beyond_bytes == 0 && !tally->tools && !tally->schema && tally->images == 0 &&
	       tally->media_bytes == 0;
}

static int64_t
scaled(int64_t value, int64_t numerator, int64_t denominator)
{
	return (int64_t)((double)value * (double)numerator / (double)denominator + 0.5);
}

struct sl_token_count
sl_tally_total(const struct sl_tally *tally, const struct sl_token_family *family,
               int64_t ratio_ppm)
{
	int64_t around = overhead(tally, family);
	int64_t beyond = (tally->beyond_bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
	int64_t media = tally->media_bytes / (4 * BYTES_PER_TOKEN);
	/* Each source of doubt widens the range. */
	int64_t low = family->low, high = family->high;
	struct sl_token_count count;

	if (is_exact(tally, family)) {
		count.tokens = count.low = count.high = tally->text_tokens + around;
		count.method = SL_TOKENS_EXACT;
		return count;
	}
	if (tally->guessed) {
		low -= 150;
		high += 250;
	}
	if (tally->tools || tally->schema) {
		low -= 50;
		high += 100;
	}
	count.tokens = scaled(tally->text_tokens + beyond, family->factor, PER_MILLE) + around;
	count.low = scaled(tally->text_tokens + beyond / 2, low, PER_MILLE) + around / 2;
	count.high = scaled(tally->text_tokens, high, PER_MILLE) + around + around / 2;
	count.tokens = scaled(count.tokens, ratio_ppm, SL_TOKEN_RATIO_ONE);
	/* What was reported so far moves the range too, but never makes it narrower. */
	if (ratio_ppm < SL_TOKEN_RATIO_ONE)
		count.low = scaled(count.low, ratio_ppm, SL_TOKEN_RATIO_ONE);
	else
		count.high = scaled(count.high, ratio_ppm, SL_TOKEN_RATIO_ONE);
	count.high += tally->beyond_bytes;
	count.tokens += tally->images * family->image + media;
	count.low += tally->images * family->image_low;
	count.high += tally->images * family->image_high + tally->media_bytes;
	if (count.low > count.tokens)
		count.low = count.tokens;
	if (count.high < count.tokens)
		count.high = count.tokens;
	count.method = tally->beyond_bytes > 0 ? SL_TOKENS_BYTES : SL_TOKENS_CALIBRATED;
	return count;
}

struct sl_token_count
sl_tokens_of_text(const struct sl_token_family *family, struct sl_slice text)
{
	struct sl_tally tally;

	sl_tally_init(&tally, family->encoding);
	sl_tally_text(&tally, text);
	return sl_tally_total(&tally, family, SL_TOKEN_RATIO_ONE);
}

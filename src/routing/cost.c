/* cost.c - tokens by length, money by the catalogue. */
#include "routing/cost.h"

#include <string.h>

enum {
	/* Bytes for a token, in hundredths: 10^5 English prompts lie at 4.2 in the median;
	 * code and other scripts are denser, JSON escapes and base64 leaner. */
	BYTES_LEAN = 600,
	BYTES_USUAL = 420,
	BYTES_DENSE = 200,
	OUTPUT_USUAL = 350,
	OUTPUT_MAX = 4096, /* of a model that does not say */
};

/* Tokens of an answer, by what is asked. Orders of magnitude, for ranking. */
static const struct {
	const char *category;
	int64_t     tokens;
} usual_output[] = {
	{ "code", 600 },      { "math", 500 },      { "science", 250 },   { "medicine", 300 },
	{ "law", 300 },       { "business", 300 },  { "humanities", 250 }, { "reasoning", 400 },
	{ "knowledge", 120 }, { "writing", 700 },   { "extraction", 150 }, { "chat", 200 },
};

static int64_t
usual_of(const char *category)
{
	for (size_t i = 0; category && i < sizeof(usual_output) / sizeof(usual_output[0]); i++)
		if (strcmp(category, usual_output[i].category) == 0)
			return usual_output[i].tokens;
	return OUTPUT_USUAL;
}

static int64_t
at_most(int64_t value, int64_t most)
{
	return value < most ? value : most;
}

void
sl_tokens_guess(const struct sl_prompt *prompt, int64_t body_bytes, int64_t max_output,
                int64_t choices, const char *category, struct sl_tokens *out)
{
	int64_t bytes = prompt && prompt->size_bytes > 0 ? (int64_t)prompt->size_bytes : body_bytes;
	int64_t high = max_output >= 0 ? max_output : OUTPUT_MAX;
	int64_t usual = at_most(usual_of(category), high);

	if (choices < 1)
		choices = 1;
	*out = (struct sl_tokens){
		.input_low = bytes * 100 / BYTES_LEAN + 1,
		.input = bytes * 100 / BYTES_USUAL + 1,
		.input_high = at_most(bytes * 100 / BYTES_DENSE + 1, bytes + 1),
		.output_low = usual / 8 * choices,
		.output = usual * choices,
		.output_high = high * choices,
	};
}

static bool
price(const struct sl_model_card *card, int64_t input, int64_t output, int64_t *nanousd)
{
	struct sl_usage usage = { .source = SL_USAGE_COUNTED };

	sl_usage_set(&usage, SL_USAGE_INPUT, input);
	/* Embeddings put none out, and have no price for it. */
	if (!(card->output_modalities == SL_MODALITY_EMBEDDING))
		sl_usage_set(&usage, SL_USAGE_OUTPUT, output);
	return sl_price_cost(card, &usage, nanousd);
}

void
sl_cost_of(const struct sl_model_card *card, const struct sl_tokens *tokens,
           struct sl_cost *out)
{
	int64_t most = tokens->output_high;

	*out = (struct sl_cost){ .known = false };
	if (!card)
		return;
	if (card->max_output_tokens > 0)
		most = at_most(most, card->max_output_tokens);
	if (most < tokens->output)
		most = tokens->output;
	out->known = price(card, tokens->input_low, tokens->output_low, &out->low_nanousd) &&
	             price(card, tokens->input, tokens->output, &out->expected_nanousd) &&
	             price(card, tokens->input_high, most, &out->high_nanousd);
}

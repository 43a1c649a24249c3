/* classify.c - a linear model over hashed words.
 *
 *   text --tokens--> words and pairs of words --hash--> rows of the table
 *                         '--known, English?--> evidence  '--sum--> heads
 *   counts of the text ---shape features------------------------'
 *
 * Each row has one signed byte for each head: twelve categories, the gain, the
 * quality of three tiers. A row counts once however often its words occur, and
 * the sum is divided by the root of the number of rows. tools/train_router.py
 * computes the same; tests/vectors/classify holds the two together.
 *
 * The score is where the expected gain of the strongest tier stands among the
 * prompts of the training data. What these never show - tools, a schema, a long
 * conversation - adds a fixed amount each. It shows English only: letters that English does
 * not have, and small words of other languages, take from the evidence.
 */
#include "routing/classify.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { CATEGORIES = 12, HEAD_GAIN = 12, HEAD_TIERS = 13, HEADS = 16, SHAPES = 8 };

#include "routing/classifier_table.inc"
#include "routing/foreign_words.inc"

_Static_assert(1 << TABLE_BITS == SL_FEATURE_ROWS, "the table has another size");
_Static_assert((int)SHAPES == (int)SL_FEATURE_SHAPES, "counts of the text are missing");

enum {
	TABLE = 1 << TABLE_BITS,
	/* Sums of bytes stay inside 16 bits for this many rows. */
	FLUSH = 256,
};

/* The table as the trainer wrote it: TABLE rows of HEADS bytes, then one bit for
 * each of two hashes of a known word. */
__asm__(".section .rodata\n"
        ".balign 64\n"
        ".globl sl_classifier_weights\n"
        "sl_classifier_weights:\n"
        ".incbin \"src/routing/classifier_weights.bin\"\n"
        ".previous\n");

extern const int8_t sl_classifier_weights[] __attribute__((visibility("hidden")));

static const char *const category_names[CATEGORIES] = {
	"code", "math", "science", "medicine", "law", "business",
	"humanities", "reasoning", "knowledge", "writing", "extraction", "chat",
};

/* Not in the training data, so not learnt: see the model card. */
static const double score_of_tools = 0.10;
static const double score_of_schema = 0.05;
static const double score_of_size = 0.05; /* for each doubling of 4 KB, up to four */
static const double simple_below = 0.33;
static const double medium_below = 0.66;
static const double unsure_below = 0.60;
/* A text of which a third is foreign is one. */
static const double weight_of_foreign = 3;

typedef int8_t bytes16 __attribute__((vector_size(16)));
typedef int16_t shorts16 __attribute__((vector_size(32)));

struct reading {
	uint64_t seen[TABLE / 64]; /* rows that were counted */
	shorts16 sums;
	int32_t  totals[HEADS];
	uint32_t rows, rows_in_sums;
	uint32_t before;           /* hash of the token before */
	size_t   bytes;
	uint32_t words, known, foreign, numbers, lines, marks;
	uint32_t questions, options, code;
};

static void
flush(struct reading *reading)
{
	for (size_t i = 0; i < HEADS; i++)
		reading->totals[i] += reading->sums[i];
	reading->sums = (shorts16){ 0 };
	reading->rows_in_sums = 0;
}

static uint32_t
top_bits(uint32_t hash, unsigned bits)
{
	return (hash * 0x9E3779B1u) >> (32 - bits);
}

static inline void
add_row(struct reading *reading, uint32_t hash)
{
	uint32_t row = top_bits(hash, TABLE_BITS);
	uint64_t bit = (uint64_t)1 << (row % 64);
	bytes16 weights;

	if (reading->seen[row / 64] & bit)
		return;
	reading->seen[row / 64] |= bit;
	memcpy(&weights, sl_classifier_weights + (size_t)row * HEADS, sizeof(weights));
	reading->sums += __builtin_convertvector(weights, shorts16);
	reading->rows++;
	if (++reading->rows_in_sums == FLUSH)
		flush(reading);
}

static inline void
add_token(struct reading *reading, uint32_t hash)
{
	add_row(reading, hash);
	add_row(reading, ((reading->before * 0x9E3779B1u) ^ hash) * 0x85EBCA6Bu);
	reading->before = hash;
}

/* --- tokens --------------------------------------------------------------- */

static const uint32_t hash_start = 0x811C9DC5u;

static inline uint32_t
hash_byte(uint32_t hash, uint8_t byte)
{
	return (hash ^ byte) * 0x01000193u;
}

static inline bool
is_letter(uint8_t c)
{
	return (uint8_t)((c | 0x20) - 'a') < 26 || c >= 0x80;
}

static inline bool
is_digit(uint8_t c)
{
	return (uint8_t)(c - '0') < 10;
}

static bool
is_set(uint32_t bit)
{
	const int8_t *known = sl_classifier_weights + (size_t)TABLE * HEADS;

	return ((uint8_t)known[bit / 8] >> (bit % 8)) & 1;
}

static bool
is_known(uint32_t hash)
{
	return is_set(top_bits(hash, KNOWN_BITS)) && is_set(top_bits(hash * 0x85EBCA6Bu, KNOWN_BITS));
}

static bool
is_foreign_word(uint32_t hash)
{
	uint32_t first = top_bits(hash, FOREIGN_BITS);
	uint32_t second = top_bits(hash * 0x85EBCA6Bu, FOREIGN_BITS);

	return (foreign_bits[first / 8] >> (first % 8) & 1) &&
	       (foreign_bits[second / 8] >> (second % 8) & 1);
}

/* Letters of other alphabets, or with marks; no quotes, dashes, symbols and pictures, and
 * no single letter, which may be of a formula. */
static bool
has_foreign_letter(const uint8_t *word, size_t len)
{
	for (size_t i = 0; i < len && len > 2; i++)
		if (word[i] >= 0xC3 && word[i] < 0xF0 && word[i] != 0xE2)
			return true;
	return false;
}

static size_t
read_word(struct reading *reading, const uint8_t *text, size_t at, size_t end)
{
	uint32_t hash = hash_start;
	size_t start = at;
	uint8_t high = 0;

	for (; at < end && is_letter(text[at]); at++) {
		hash = hash_byte(hash, text[at] < 0x80 ? text[at] | 0x20 : text[at]);
		high |= text[at];
	}
	reading->words++;
	reading->known += is_known(hash);
	reading->foreign += is_foreign_word(hash) ||
	                    (high >= 0x80 && has_foreign_letter(text + start, at - start));
	add_token(reading, hash);
	return at;
}

/* A single digit stands for itself, a longer number for its length. */
static size_t
read_number(struct reading *reading, const uint8_t *text, size_t at, size_t end)
{
	size_t start = at;
	uint32_t hash = hash_start;

	while (at < end && is_digit(text[at]))
		at++;
	if (at - start == 1) {
		hash = hash_byte(hash, text[start]);
	} else {
		hash = hash_byte(hash_byte(hash, '0'), '#');
		hash = hash_byte(hash, (uint8_t)('0' + (at - start < 9 ? at - start : 9)));
	}
	reading->numbers++;
	add_token(reading, hash);
	return at;
}

static size_t
read_mark(struct reading *reading, const uint8_t *text, size_t at, size_t end)
{
	uint8_t mark = text[at];

	while (at < end && text[at] == mark)
		at++;
	reading->marks++;
	reading->questions += mark == '?';
	reading->code += memchr("{};=`_<>[]", mark, 10) != NULL;
	add_token(reading, hash_byte(hash_start, mark));
	return at;
}

static size_t
read_line_break(struct reading *reading, const uint8_t *text, size_t at, size_t end)
{
	reading->lines++;
	reading->options += at + 2 < end && text[at + 1] >= 'A' && text[at + 1] <= 'D' &&
	                    text[at + 2] == '.';
	add_token(reading, hash_byte(hash_start, '\n'));
	return at + 1;
}

static void
read_text(struct reading *reading, struct sl_slice slice)
{
	const uint8_t *text = (const uint8_t *)slice.ptr;
	size_t end = slice.len;
	size_t at = 0;

	if (end > SL_PROMPT_BYTES_MAX - reading->bytes)
		end = SL_PROMPT_BYTES_MAX - reading->bytes;
	reading->bytes += end;
	while (at < end) {
		uint8_t c = text[at];

		if (is_letter(c))
			at = read_word(reading, text, at, end);
		else if (is_digit(c))
			at = read_number(reading, text, at, end);
		else if (c == '\n')
			at = read_line_break(reading, text, at, end);
		else if (c > ' ' && c < 0x7f)
			at = read_mark(reading, text, at, end);
		else
			at++;
	}
}

/* --- heads ---------------------------------------------------------------- */

static float
at_most_one(float value)
{
	return value > 1 ? 1 : value;
}

static float
scale_of(const struct reading *reading)
{
	return 1 / sqrtf(reading->rows ? (float)reading->rows : 1);
}

static void
read_shapes(const struct reading *reading, float shapes[SHAPES])
{
	uint32_t count = reading->words + reading->numbers + reading->lines + reading->marks;
	float tokens = count ? (float)count : 1;

	shapes[0] = at_most_one(log2f(1 + (float)reading->bytes) / 12);
	shapes[1] = at_most_one(log2f(1 + tokens) / 10);
	shapes[2] = (float)reading->numbers / tokens;
	shapes[3] = at_most_one((float)reading->lines / 16);
	shapes[4] = (float)reading->marks / tokens;
	shapes[5] = at_most_one((float)reading->questions / 4);
	shapes[6] = at_most_one((float)reading->options / 4);
	shapes[7] = at_most_one((float)reading->code / 32);
}

static void
read_heads(const struct reading *reading, float heads[HEADS])
{
	float scale = scale_of(reading), shapes[SHAPES];

	read_shapes(reading, shapes);
	for (size_t i = 0; i < HEADS; i++) {
		heads[i] = head_bias[i] + (float)reading->totals[i] * head_scale[i] * scale;
		for (size_t k = 0; k < SHAPES; k++)
			heads[i] += shapes[k] * shape_weights[k][i];
	}
}

static double
probability(float logit)
{
	return 1 / (1 + exp(-(double)logit));
}

/* Where the gain stands among the knots, which ascend. */
static double
score_of_gain(double gain)
{
	size_t k = 0;
	double part;

	if (!(gain > (double)score_knots[0]))
		return 0;
	if (gain >= (double)score_knots[KNOTS - 1])
		return 1;
	while (gain >= (double)score_knots[k + 1])
		k++;
	part = (gain - (double)score_knots[k]) / (double)(score_knots[k + 1] - score_knots[k]);
	return ((double)k + part) / (KNOTS - 1);
}

static double
score_of_request(const struct sl_prompt *prompt)
{
	double score = 0;

	if (prompt->tools)
		score += score_of_tools;
	if (prompt->schema)
		score += score_of_schema;
	for (size_t size = 8192; size <= prompt->size_bytes && size <= 65536; size *= 2)
		score += score_of_size;
	return score;
}

static void
read_prompt(struct reading *reading, const struct sl_prompt *prompt)
{
	for (size_t i = 0; i < prompt->text_count && i < SL_PROMPT_TEXTS_MAX; i++)
		read_text(reading, prompt->text[i]);
	flush(reading);
}

void
sl_classify_features(const struct sl_prompt *prompt, struct sl_features *out)
{
	struct reading reading = { 0 };

	read_prompt(&reading, prompt);
	memcpy(out->seen, reading.seen, sizeof(out->seen));
	out->scale = scale_of(&reading);
	read_shapes(&reading, out->shapes);
}

struct sl_class
sl_classify(const struct sl_prompt *prompt)
{
	struct reading reading = { 0 };
	struct sl_class class = { 0 };
	float heads[HEADS];
	double evidence, trust;
	size_t best = 0;
	size_t step;

	read_prompt(&reading, prompt);
	read_heads(&reading, heads);
	for (size_t i = 1; i < CATEGORIES; i++)
		if (heads[i] > heads[best])
			best = i;
	class.category = category_names[best];
	for (size_t i = 0; i < SL_BUCKETS; i++)
		class.quality[i] = probability(heads[HEAD_TIERS + i]);
	class.complexity = 1 - class.quality[SL_BUCKET_SIMPLE];
	/* By the tiers' own quality, and by the head that learnt the difference. */
	class.score = score_of_gain(class.quality[SL_BUCKET_COMPLEX] -
	                            (class.quality[SL_BUCKET_SIMPLE] +
	                             class.quality[SL_BUCKET_MEDIUM]) / 2 +
	                            probability(heads[HEAD_GAIN]));
	step = (size_t)(class.score * (KNOTS - 1));
	trust = (double)score_trust[step < KNOTS - 1 ? step : KNOTS - 2];
	class.score = fmin(class.score + score_of_request(prompt), 1);
	/* Of words it never met the model knows nothing: as good as a coin. */
	evidence = reading.words ? (double)reading.known / reading.words : 0;
	evidence *= reading.words ? fmax(1 - weight_of_foreign * reading.foreign / reading.words, 0) : 0;
	class.confidence = evidence * trust + (1 - evidence) / 2;
	class.unsure = class.confidence < unsure_below;
	if (class.unsure)
		class.bucket = SL_BUCKET_DEFAULT;
	else if (class.score < simple_below)
		class.bucket = SL_BUCKET_SIMPLE;
	else if (class.score < medium_below)
		class.bucket = SL_BUCKET_MEDIUM;
	else
		class.bucket = SL_BUCKET_COMPLEX;
	return class;
}

/* --- buckets -------------------------------------------------------------- */

static const char *const bucket_names[SL_BUCKETS] = { "simple", "medium", "complex" };

struct sl_slice
sl_bucket_name(enum sl_bucket bucket)
{
	return sl_slice_str(bucket_names[bucket]);
}

bool
sl_bucket_find(struct sl_slice name, enum sl_bucket *out)
{
	for (size_t i = 0; i < SL_BUCKETS; i++)
		if (sl_slice_is(name, bucket_names[i])) {
			*out = (enum sl_bucket)i;
			return true;
		}
	return false;
}

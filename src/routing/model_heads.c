/* model_heads.c - how good models by name are at a prompt: by what kind of prompt it is.
 *
 *   rows --table--> likeness to each kind --softmax--> how likely each
 *   counts of the text --as they stand in each kind--> quality of each model, if of that kind
 *                                                      sum over kinds --> by kind
 *   likenesses, counts --linear--> overall
 *   the greatest likeness --> how much of each --> quality
 *
 * What is like no kind well would be taken for the kind that it is least unlike: it is judged
 * by what being like each kind is worth. Two of the classifier's rows share one row here: half the memory, and no figure is the worse
 * for it. tools/router_kinds.py computes the same; tests/vectors/classify holds the two
 * together. Read only where a plan has such a model among its targets.
 */
#include "routing/model_heads.h"

#include <math.h>
#include <string.h>

enum { SHAPES = SL_FEATURE_SHAPES, ROWS_SHIFT = 1, WORDS = SL_FEATURE_ROWS / 64, KINDS_MAX = 16 };

#include "routing/model_heads.inc"

_Static_assert((int)KINDS <= (int)KINDS_MAX, "more kinds than the table has columns");
_Static_assert((int)MODELS <= (int)SL_MODEL_HEADS_MAX, "more models than heads");
_Static_assert(sizeof(float[SL_MODEL_HEADS_MAX]) == 64, "a row of weights is one vector");

/* As the trainer wrote it: rows of KINDS_MAX bytes. */
__asm__(".section .rodata\n"
        ".balign 64\n"
        ".globl sl_model_weights\n"
        "sl_model_weights:\n"
        ".incbin \"src/routing/model_weights.bin\"\n"
        ".previous\n");

extern const int8_t sl_model_weights[] __attribute__((visibility("hidden")));

enum { FLUSH = 256 /* sums of bytes stay inside 16 bits for this many rows */ };

typedef int8_t  bytes16 __attribute__((vector_size(16)));
typedef int16_t shorts16 __attribute__((vector_size(32)));
typedef float   floats16 __attribute__((vector_size(64)));

/* So far a number may be from the middle of a kind, in its own spreads. */
static const float spreads_bound = 3;
/* How fast the greatest likeness tells kinds that were met from those that were not. */
static const float likeness_slope = 2;

static void
sum_rows(const struct sl_features *features, int32_t totals[KINDS_MAX])
{
	shorts16 sums = { 0 };
	unsigned room = FLUSH;

	for (size_t word = 0; word < WORDS; word++)
		for (uint64_t bits = features->seen[word]; bits; bits &= bits - 1) {
			size_t row = (word * 64 + (size_t)__builtin_ctzll(bits)) >> ROWS_SHIFT;
			bytes16 weights;

			memcpy(&weights, sl_model_weights + row * KINDS_MAX, sizeof(weights));
			sums += __builtin_convertvector(weights, shorts16);
			if (--room > 0)
				continue;
			for (size_t i = 0; i < KINDS_MAX; i++)
				totals[i] += sums[i];
			sums = (shorts16){ 0 };
			room = FLUSH;
		}
	for (size_t i = 0; i < KINDS_MAX; i++)
		totals[i] += sums[i];
}

static void
read_likenesses(const struct sl_features *features, float likenesses[KINDS])
{
	int32_t totals[KINDS_MAX] = { 0 };

	sum_rows(features, totals);
	for (size_t kind = 0; kind < KINDS; kind++) {
		likenesses[kind] = kind_bias[kind] +
		                   (float)totals[kind] * kind_scale[kind] * features->scale;
		for (size_t k = 0; k < SHAPES; k++)
			likenesses[kind] += features->shapes[k] * kind_shapes[k][kind];
	}
}

/* How likely each kind is, and how likely it is any. */
static float
read_kinds(const float likenesses[KINDS], float likely[KINDS])
{
	float most = -INFINITY, total = 0;

	for (size_t kind = 0; kind < KINDS; kind++)
		most = fmaxf(most, likenesses[kind]);
	for (size_t kind = 0; kind < KINDS; kind++)
		total += likely[kind] = expf(likenesses[kind] - most);
	for (size_t kind = 0; kind < KINDS; kind++)
		likely[kind] /= total;
	return 1 / (1 + expf(-likeness_slope * (most - unlike_likeness)));
}

static void
add_row(floats16 *sums, float times, const float row[SL_MODEL_HEADS_MAX])
{
	floats16 weights;

	memcpy(&weights, row, sizeof(weights));
	*sums += times * weights;
}

/* Numbers where they stand between others; the first row is of where all are in the middle. */
static void
add_rows(floats16 *sums, float times, const float *values, const float *middles,
         const float *spreads, size_t count, const float rows[][SL_MODEL_HEADS_MAX])
{
	add_row(sums, times, rows[0]);
	for (size_t k = 0; k < count; k++) {
		float at = (values[k] - middles[k]) / spreads[k];

		at = fminf(fmaxf(at, -spreads_bound), spreads_bound);
		add_row(sums, times * at, rows[1 + k]);
	}
}

void
sl_model_heads(const struct sl_prompt *prompt, double quality[SL_MODEL_HEADS_MAX])
{
	struct sl_features features;
	floats16 sums = { 0 };
	float numbers[KINDS + SHAPES], likely[KINDS], of_kind;

	sl_classify_features(prompt, &features);
	read_likenesses(&features, numbers);
	memcpy(numbers + KINDS, features.shapes, sizeof(features.shapes));
	of_kind = read_kinds(numbers, likely);
	for (size_t kind = 0; kind < KINDS; kind++)
		add_rows(&sums, of_kind * likely[kind], features.shapes, middle[kind], spread[kind],
		         SHAPES, quality_weights[kind]);
	add_rows(&sums, 1 - of_kind, numbers, overall_middle, overall_spread, KINDS + SHAPES,
	         overall_weights);
	for (size_t i = 0; i < SL_MODEL_HEADS_MAX; i++)
		quality[i] = fmin(fmax((double)sums[i], 0), 1);
}

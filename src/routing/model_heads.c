/* model_heads.c - one more linear model over the classifier's features, with a head for each
 * model of the training data. Two of the classifier's rows share one row here: half the
 * memory, and no figure is the worse for it.
 *
 * Read only where a plan has such a model among its targets.
 */
#include "routing/model_heads.h"

#include <math.h>
#include <string.h>

enum { SHAPES = SL_FEATURE_SHAPES, ROWS_SHIFT = 1, WORDS = SL_FEATURE_ROWS / 64 };

#include "routing/model_heads.inc"

/* As the trainer wrote it: rows of SL_MODEL_HEADS_MAX bytes. */
__asm__(".section .rodata\n"
        ".balign 64\n"
        ".globl sl_model_weights\n"
        "sl_model_weights:\n"
        ".incbin \"src/routing/model_weights.bin\"\n"
        ".previous\n");

extern const int8_t sl_model_weights[] __attribute__((visibility("hidden")));

typedef int8_t  bytes16 __attribute__((vector_size(16)));
typedef int32_t words16 __attribute__((vector_size(64)));

void
sl_model_heads(const struct sl_prompt *prompt, double quality[SL_MODEL_HEADS_MAX])
{
	struct sl_features features;
	words16 sums = { 0 };

	sl_classify_features(prompt, &features);
	for (size_t word = 0; word < WORDS; word++)
		for (uint64_t bits = features.seen[word]; bits; bits &= bits - 1) {
			size_t row = (word * 64 + (size_t)__builtin_ctzll(bits)) >> ROWS_SHIFT;
			bytes16 weights;

			memcpy(&weights, sl_model_weights + row * SL_MODEL_HEADS_MAX, sizeof(weights));
			sums += __builtin_convertvector(weights, words16);
		}
	for (size_t i = 0; i < SL_MODEL_HEADS_MAX; i++) {
		float logit = head_bias[i] + (float)sums[i] * head_scale[i] * features.scale;

		for (size_t k = 0; k < SHAPES; k++)
			logit += features.shapes[k] * shape_weights[k][i];
		quality[i] = 1 / (1 + exp(-(double)logit));
	}
}

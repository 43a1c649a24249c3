/* prompt_fuzz.c - the prompt of an arbitrary request, its class, and what is expected of models.
 *
 * The first byte chooses the shape, the rest is the body. What a shape takes as a
 * request must yield a prompt within its bounds and a class within its own.
 */
#include <stdint.h>
#include <stdlib.h>

#include "routing/model_heads.h"
#include "shapes/shape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {
	"openai_chat", "openai_responses", "openai_completions", "anthropic_messages",
	"gemini_generate",
};

static void
check(const struct sl_prompt *prompt, size_t body_len)
{
	struct sl_class class = sl_classify(prompt);
	double quality[SL_MODEL_HEADS_MAX];
	size_t bytes = 0;

	if (prompt->text_count > SL_PROMPT_TEXTS_MAX || prompt->turns > body_len)
		abort();
	for (size_t i = 0; i < prompt->text_count; i++)
		bytes += prompt->text[i].len;
	if (bytes > SL_PROMPT_BYTES_MAX)
		abort();
	if (!(class.score >= 0 && class.score <= 1) || class.bucket >= SL_BUCKETS ||
	    !(class.confidence >= 0 && class.confidence <= 1) || !class.category)
		abort();
	sl_model_heads(prompt, quality);
	for (size_t i = 0; i < SL_MODEL_HEADS_MAX; i++)
		if (!(quality[i] >= 0 && quality[i] <= 1))
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct sl_shape_ops *shape;
	struct sl_shape_input input = { .verb = "generateContent", .path_model = SL_SLICE("m") };
	struct sl_prompt prompt;
	struct sl_steer steer;
	struct sl_fault fault;
	struct sl_arena arena;

	if (size < 1)
		return 0;
	shape = sl_shape_by_name(sl_slice_str(names[data[0] % (sizeof(names) / sizeof(names[0]))]));
	input.body = sl_slice_make(data + 1, size - 1);
	sl_arena_init(&arena, 4096, 1 << 22);
	if (shape->read_request(&input, &arena, &steer, &fault)) {
		shape->read_prompt(&steer, &arena, &prompt);
		check(&prompt, size);
	}
	sl_arena_release(&arena);
	return 0;
}

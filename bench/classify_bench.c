/* classify_bench.c - microseconds to classify a prompt, to judge models by name for it, and to
 * find it in a body.
 *
 * Prompts of several sizes and textures, each timed on its own many times; a
 * different prompt in between keeps the table from being all in the nearest
 * cache. Prints a table: median and 99th percentile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "routing/model_heads.h"
#include "shapes/shape.h"

enum { ROUNDS = 20000, WORDS = 4000 };

static const size_t sizes[] = { 64, 447, 2048, 4096, 32768 };
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static uint64_t seed = 1;

static uint64_t
next(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return seed >> 33;
}

/* Words drawn with few common and many rare ones, as in prose. */
static void
build(struct sl_buf *text, size_t size)
{
	while (text->len < size) {
		uint64_t word = next() % WORDS;

		word = word * word / WORDS;
		for (uint64_t letters = 3 + word % 7; letters > 0; letters--, word = word * 31 + 7)
			sl_buf_printf(text, "%c", (char)('a' + word % 26));
		sl_buf_append_str(text, next() % 12 ? " " : next() % 3 ? ", " : ".\n");
	}
	text->len = size;
}

static int
by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
report(const char *what, size_t size, uint64_t *times_ns)
{
	qsort(times_ns, ROUNDS, sizeof(times_ns[0]), by_time);
	printf("%-10s %6zu bytes  median %7.2f us  p99 %7.2f us\n", what, size,
	       (double)times_ns[ROUNDS / 2] / 1e3, (double)times_ns[ROUNDS / 100 * 99] / 1e3);
}

static double
classify(const struct sl_prompt *prompt)
{
	return sl_classify(prompt).score;
}

static double
judge_models(const struct sl_prompt *prompt)
{
	double quality[SL_MODEL_HEADS_MAX];

	sl_model_heads(prompt, quality);
	return quality[0];
}

static void
bench_prompt(const char *what, double (*judge)(const struct sl_prompt *),
             const struct sl_buf *texts, uint64_t *times_ns)
{
	for (size_t k = 0; k < SIZES; k++) {
		double sum = 0;

		for (size_t i = 0; i < ROUNDS; i++) {
			struct sl_prompt prompt = { .text_count = 1 };
			uint64_t start;

			prompt.text[0] = sl_buf_slice(&texts[(k + i) % SIZES]);
			sum += judge(&prompt);
			prompt.text[0] = sl_buf_slice(&texts[k]);
			start = sl_clock_mono_ns();
			sum += judge(&prompt);
			times_ns[i] = sl_clock_mono_ns() - start;
		}
		if (sum < 0)
			abort();
		report(what, sizes[k], times_ns);
	}
}

static void
bench_find(const struct sl_buf *texts, uint64_t *times_ns)
{
	const struct sl_shape_ops *shape = sl_shape_by_name(SL_SLICE("openai_chat"));

	for (size_t k = 0; k < SIZES; k++) {
		struct sl_buf body;
		struct sl_steer steer;
		struct sl_arena arena;
		struct sl_fault fault;
		struct sl_shape_input input = { .verb = "chat" };

		sl_buf_init(&body, 1 << 20);
		sl_buf_append_str(&body, "{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":");
		sl_json_quote(&body, sl_buf_slice(&texts[k]));
		sl_buf_append_str(&body, "}]}");
		input.body = sl_buf_slice(&body);
		for (size_t i = 0; i < ROUNDS; i++) {
			struct sl_prompt prompt;
			uint64_t start;

			sl_arena_init(&arena, 65536, 1 << 20);
			if (!shape->read_request(&input, &arena, &steer, &fault))
				abort();
			start = sl_clock_mono_ns();
			shape->read_prompt(&steer, &arena, &prompt);
			times_ns[i] = sl_clock_mono_ns() - start;
			sl_arena_release(&arena);
		}
		report("find", sizes[k], times_ns);
		sl_buf_release(&body);
	}
}

int
main(void)
{
	uint64_t *times_ns = calloc(ROUNDS, sizeof(times_ns[0]));
	struct sl_buf texts[SIZES];

	if (!times_ns)
		return 1;
	for (size_t i = 0; i < SIZES; i++) {
		sl_buf_init(&texts[i], 1 << 16);
		build(&texts[i], sizes[i]);
	}
	bench_prompt("classify", classify, texts, times_ns);
	bench_prompt("models", judge_models, texts, times_ns);
	bench_find(texts, times_ns);
	for (size_t i = 0; i < SIZES; i++)
		sl_buf_release(&texts[i]);
	free(times_ns);
	return 0;
}

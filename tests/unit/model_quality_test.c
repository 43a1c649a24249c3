/* Models by name: found however a provider writes them, and judged for the prompt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "routing/model_quality.h"

static const double easy[SL_BUCKETS] = { 0.9, 0.93, 0.95 };
static const double hard[SL_BUCKETS] = { 0.3, 0.4, 0.6 };

static void
however_it_is_written(void **state)
{
	static const char *const same[] = {
		"llama-3.1-8b-instruct", "meta-llama/Llama-3.1-8B-Instruct",
		"accounts/x/models/llama-3.1-8b-instruct", "Llama-3.1-8B-Instruct-Turbo",
	};
	double first, quality;

	(void)state;
	assert_true(sl_model_quality(sl_slice_str(same[0]), easy, NULL, &first));
	for (size_t i = 1; i < sizeof(same) / sizeof(same[0]); i++) {
		assert_true(sl_model_quality(sl_slice_str(same[i]), easy, NULL, &quality));
		assert_true(quality == first);
	}
}

static void
unknown_ones_are_left_to_their_tier(void **state)
{
	static const char *const unknown[] = { "", "/", "gpt-5.5", "llama", "x-llama-3.1-8b-instruct" };
	double quality = 0.123;

	(void)state;
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		assert_false(sl_model_quality(sl_slice_str(unknown[i]), easy, NULL, &quality));
	assert_true(quality == 0.123);
}

static void
worse_models_are_expected_to_do_worse(void **state)
{
	double codegemma, llama, on_hard;

	(void)state;
	assert_true(sl_model_quality(SL_SLICE("codegemma-7b"), easy, NULL, &codegemma));
	assert_true(sl_model_quality(SL_SLICE("llama-3.1-8b-instruct"), easy, NULL, &llama));
	assert_true(sl_model_quality(SL_SLICE("llama-3.1-8b-instruct"), hard, NULL, &on_hard));
	assert_true(codegemma < llama && on_hard < llama);
	assert_true(codegemma > 0 && llama < 1);
}

/* One table is read for all models of a plan, and it tells prompts apart. */
static void
heads_are_read_once_for_a_prompt(void **state)
{
	const struct sl_prompt easy_one = {
		.text = { SL_SLICE("Tom buys 3 bags of 4 apples and eats 2 apples. How many apples does "
		                   "he have left?") },
		.text_count = 1,
	};
	const struct sl_prompt puzzle = {
		.text = { SL_SLICE("Q: There are 4 houses in a row, numbered 1 on the left to 4 on the "
		                   "right. What is the number of the house where the baker lives?") },
		.text_count = 1,
	};
	struct sl_model_heads_of heads = { .prompt = &easy_one }, others = { .prompt = &puzzle };
	double first, again, other, by_tier;

	(void)state;
	assert_true(sl_model_quality(SL_SLICE("llama-3.1-8b-instruct"), easy, &heads, &first));
	assert_true(heads.read && first > 0 && first < 1);
	heads.prompt = &puzzle;
	assert_true(sl_model_quality(SL_SLICE("llama-3.1-8b-instruct"), easy, &heads, &again));
	assert_true(again == first);
	assert_true(sl_model_quality(SL_SLICE("llama-3.1-8b-instruct"), easy, &others, &other));
	assert_true(other < first);
	/* Who has no head goes by its tier. */
	others.read = false;
	assert_true(sl_model_quality(SL_SLICE("mixtral-8x7b-instruct"), easy, &others, &other));
	assert_true(sl_model_quality(SL_SLICE("mixtral-8x7b-instruct"), easy, NULL, &by_tier));
	assert_true(other == by_tier && !others.read);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(however_it_is_written),
		cmocka_unit_test(unknown_ones_are_left_to_their_tier),
		cmocka_unit_test(worse_models_are_expected_to_do_worse),
		cmocka_unit_test(heads_are_read_once_for_a_prompt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

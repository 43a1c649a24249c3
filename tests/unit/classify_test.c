/* classify_test.c - the classifier computes what the trainer computed, keeps its
 * bounds on any bytes, and puts plain cases where anybody would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "routing/classify.h"
#include "routing/model_quality.h"

static struct sl_class
classify(struct sl_slice text)
{
	const struct sl_prompt prompt = { .text = { text }, .text_count = 1, .turns = 1 };

	return sl_classify(&prompt);
}

static void
check_bounds(const struct sl_class *class)
{
	assert_true(class->score >= 0 && class->score <= 1);
	assert_true(class->confidence >= 0 && class->confidence <= 1);
	assert_true(class->complexity >= 0 && class->complexity <= 1);
	assert_true(class->bucket < SL_BUCKETS);
	assert_non_null(class->category);
	for (size_t i = 0; i < SL_BUCKETS; i++)
		assert_true(class->quality[i] >= 0 && class->quality[i] <= 1);
}

static void
near(const char *what, double is, struct sl_json wanted)
{
	double value;

	assert_true(sl_json_f64(wanted, &value));
	if (fabs(is - value) > 0.002)
		fail_msg("%s is %f, the trainer said %f", what, is, value);
}

static void
the_trainer_says_the_same(void **state)
{
	FILE *file = fopen("tests/vectors/classify/cases.jsonl", "r");
	char *line = NULL;
	size_t room = 0, cases = 0;
	ssize_t len;
	struct sl_arena arena;

	(void)state;
	assert_non_null(file);
	sl_arena_init(&arena, 65536, 1 << 24);
	while ((len = getline(&line, &room, file)) > 0) {
		struct sl_json expected = sl_json_parse(sl_slice_make(line, (size_t)len));
		struct sl_json_iter quality = sl_json_iter(sl_json_get(expected, "quality"));
		struct sl_slice prompt;
		struct sl_class class;

		assert_true(sl_json_string(sl_json_get(expected, "prompt"), &arena, &prompt));
		class = classify(prompt);
		check_bounds(&class);
		if (!sl_json_is(sl_json_get(expected, "category"), class.category))
			fail_msg("%s: %s", class.category, line);
		near("score", class.score, sl_json_get(expected, "score"));
		for (size_t i = 0; sl_json_next(&quality); i++)
			near("quality", class.quality[i], quality.value);
		cases++;
	}
	assert_true(cases > 50);
	free(line);
	fclose(file);
	sl_arena_release(&arena);
}

/* Of models by name, each asked alone: the name leads to its head. */
static void
the_trainer_says_the_same_of_models(void **state)
{
	static const double tiers[SL_BUCKETS] = { 0, 0, 0 };
	FILE *file = fopen("tests/vectors/classify/models.jsonl", "r");
	size_t room = 0, cases = 0, models = 0;
	char *line = NULL;
	ssize_t len;
	struct sl_arena arena;

	(void)state;
	assert_non_null(file);
	sl_arena_init(&arena, 65536, 1 << 24);
	for (; (len = getline(&line, &room, file)) > 0; cases++) {
		struct sl_json expected = sl_json_parse(sl_slice_make(line, (size_t)len));
		struct sl_json_iter it = sl_json_iter(sl_json_get(expected, "quality"));
		struct sl_prompt prompt = { .text_count = 1, .turns = 1 };

		assert_true(sl_json_string(sl_json_get(expected, "prompt"), &arena, &prompt.text[0]));
		for (; sl_json_next(&it); models++) {
			struct sl_model_heads_of heads = { .prompt = &prompt };
			double quality = -1;

			assert_true(sl_model_quality(it.key, tiers, &heads, &quality));
			near("quality", quality, it.value);
		}
	}
	assert_true(cases > 50 && models >= cases);
	free(line);
	fclose(file);
	sl_arena_release(&arena);
}

static void
plain_cases_go_where_anybody_would_put_them(void **state)
{
	static const char *const simple[] = {
		"Hello, how are you?", "What is the capital of Norway?", "Translate into French: good night",
		"thanks, bye",
	};
	static const char *const complex_ones[] = {
		"Prove step by step that the square root of every prime is irrational, then derive "
		"a bound for its continued fraction and explain each step.",
		"Debug this code. It loses entries under load. Find the race, explain the root cause "
		"and prove that your lock-free version is linearizable.\n```c\nstatic int\n"
		"put(struct map *m, int k)\n{\n\tm->items[k & MASK] = k;\n\treturn m->count++;\n}\n```",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(simple) / sizeof(simple[0]); i++) {
		struct sl_class class = classify(sl_slice_str(simple[i]));

		if (class.bucket != SL_BUCKET_SIMPLE)
			fail_msg("%s: %f, confidence %f", simple[i], class.score, class.confidence);
	}
	for (size_t i = 0; i < sizeof(complex_ones) / sizeof(complex_ones[0]); i++) {
		struct sl_class class = classify(sl_slice_str(complex_ones[i]));

		if (class.bucket != SL_BUCKET_COMPLEX)
			fail_msg("%s: %f, confidence %f", complex_ones[i], class.score, class.confidence);
	}
}

static void
what_it_cannot_judge_goes_to_the_default(void **state)
{
	static const char *const strange[] = {
		"", " ", "12 + 34", "zxqj vvkw qpzz wjjx",
		"Wo finde ich morgen fr\xc3\xbch einen ge\xc3\xb6""ffneten B\xc3\xa4""cker?",
		"\xd0\x93\xd0\xb4\xd0\xb5 \xd1\x82\xd1\x83\xd1\x82 \xd0\xb2\xd0\xbe\xd0\xba"
		"\xd0\xb7\xd0\xb0\xd0\xbb? \xd0\x94\xd0\xb0\xd0\xbb\xd0\xb5\xd0\xba\xd0\xbe?",
		"\xe5\x85\x89\xe5\x90\x88, \xe4\xbd\x9c\xe7\x94\xa8 \xe6\x98\xaf, "
		"\xe4\xbb\x80\xe4\xb9\x88",
	};
	const struct sl_prompt nothing = { .media = true };

	(void)state;
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		struct sl_class class = classify(sl_slice_str(strange[i]));

		if (!class.unsure)
			fail_msg("%s: %f, confidence %f", strange[i], class.score, class.confidence);
		assert_int_equal(class.bucket, SL_BUCKET_DEFAULT);
	}
	assert_int_equal(sl_classify(&nothing).bucket, SL_BUCKET_DEFAULT);
}

/* Of other languages it knows nothing, and says so; of English it is not made shy. Lines of
 * "language TAB prompt". */
static void
other_languages_go_to_the_default(void **state)
{
	FILE *file = fopen("tests/vectors/classify/languages.tsv", "r");
	size_t room = 0, foreign = 0, english = 0, missed = 0;
	char *line = NULL;
	ssize_t len;

	(void)state;
	assert_non_null(file);
	while ((len = getline(&line, &room, file)) > 0) {
		struct sl_slice prompt = sl_slice_trim(sl_slice_make(line, (size_t)len));
		bool is_english = sl_slice_is(sl_slice_cut(&prompt, '\t'), "en");
		struct sl_class class = classify(prompt);

		check_bounds(&class);
		if (class.unsure && is_english)
			fail_msg("%sconfidence %f", line, class.confidence);
		if (class.unsure)
			assert_int_equal(class.bucket, SL_BUCKET_DEFAULT);
		missed += !class.unsure && !is_english;
		assert_true(is_english || class.confidence < 0.65);
		english += is_english;
		foreign += !is_english;
	}
	assert_true(english >= 10 && foreign >= 40 && missed * 20 <= foreign);
	free(line);
	fclose(file);
}

static void
tools_a_schema_and_size_only_raise_the_score(void **state)
{
	struct sl_prompt prompt = { .text = { SL_SLICE("What is the capital of Norway?") },
		                    .text_count = 1 };
	double score = sl_classify(&prompt).score;

	(void)state;
	prompt.tools = true;
	assert_true(fabs(sl_classify(&prompt).score - score - 0.10) < 1e-9);
	prompt.schema = true;
	assert_true(fabs(sl_classify(&prompt).score - score - 0.15) < 1e-9);
	prompt.size_bytes = 8191;
	assert_true(fabs(sl_classify(&prompt).score - score - 0.15) < 1e-9);
	prompt.size_bytes = 8192;
	assert_true(fabs(sl_classify(&prompt).score - score - 0.20) < 1e-9);
	prompt.size_bytes = SIZE_MAX;
	assert_true(fabs(sl_classify(&prompt).score - score - 0.35) < 1e-9);
}

static void
any_bytes_keep_the_bounds_and_repeat(void **state)
{
	uint64_t seed = 42;
	char *text = malloc(20000);

	(void)state;
	assert_non_null(text);
	for (size_t round = 0; round < 200; round++) {
		size_t len = round * 100;
		struct sl_class first, second;

		for (size_t i = 0; i < len; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			text[i] = (char)(seed >> 56);
		}
		first = classify(sl_slice_make(text, len));
		second = classify(sl_slice_make(text, len));
		check_bounds(&first);
		assert_true(first.score == second.score);
		assert_true(first.confidence == second.confidence);
		assert_ptr_equal(first.category, second.category);
		/* No more than the bound is looked at. */
		if (len > SL_PROMPT_BYTES_MAX) {
			second = classify(sl_slice_make(text, SL_PROMPT_BYTES_MAX));
			assert_true(first.score == second.score);
		}
	}
	free(text);
}

static void
buckets_have_names(void **state)
{
	enum sl_bucket bucket = SL_BUCKET_SIMPLE;

	(void)state;
	for (size_t i = 0; i < SL_BUCKETS; i++) {
		assert_true(sl_bucket_find(sl_bucket_name((enum sl_bucket)i), &bucket));
		assert_int_equal(bucket, i);
	}
	assert_false(sl_bucket_find(SL_SLICE("huge"), &bucket));
	assert_int_equal(bucket, SL_BUCKET_COMPLEX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_trainer_says_the_same),
		cmocka_unit_test(the_trainer_says_the_same_of_models),
		cmocka_unit_test(plain_cases_go_where_anybody_would_put_them),
		cmocka_unit_test(what_it_cannot_judge_goes_to_the_default),
		cmocka_unit_test(other_languages_go_to_the_default),
		cmocka_unit_test(tools_a_schema_and_size_only_raise_the_score),
		cmocka_unit_test(any_bytes_keep_the_bounds_and_repeat),
		cmocka_unit_test(buckets_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

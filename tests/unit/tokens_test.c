/* tokens_test.c - models find their family, requests are counted with what surrounds
 * their texts, ranges hold, and reports correct estimates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "shapes/tally.h"
#include "tokens/tokens.h"

static void
models_find_their_family(void **state)
{
	static const char *const cases[][2] = {
		{ "gpt-4o-mini-2024-07-18", "gpt4o" }, { "gpt-4.1-nano", "gpt4o" },
		{ "gpt-4-turbo", "gpt4" }, { "gpt-35-turbo", "gpt4" }, { "gpt-5-mini", "o200k" },
		{ "gpt-5.1", "o200k" }, { "o1", "o200k" }, { "openai/o3-mini", "o200k" },
		{ "ft:gpt-4o-mini:acme::1", "gpt4o" }, { "text-embedding-3-large", "embedding" },
		{ "claude-3-haiku-20240307", "claude" }, { "claude-sonnet-4-5", "claude" },
		{ "us.anthropic.claude-opus-4-20250514-v1:0", "claude" },
		{ "claude-opus-4-6", "claude" }, { "claude-opus-4-7", "claude_new" },
		{ "anthropic/claude-opus-4.8-fast", "claude_new" },
		{ "claude-sonnet-5", "claude_newer" }, { "claude-fable-5", "claude_newer" },
		{ "models/gemini-2.5-flash", "gemini" }, { "Meta-Llama-3.1-70B-Instruct", "llama" },
		{ "llama3.1:8b", "llama" }, { "deepseek-ai/DeepSeek-V3", "deepseek" },
		{ "Qwen/Qwen3-32B", "qwen" }, { "mistral-large-latest", "mistral" },
		{ "solo1", "other" }, { "", "other" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(sl_token_family_of(sl_slice_str(cases[i][0]))->name, cases[i][1]);
}

static struct sl_tally
tally_of(const char *model, const char *body)
{
	struct sl_tally tally;

	sl_tally_init(&tally, sl_token_family_of(sl_slice_str(model))->encoding);
	sl_tally_request(&tally, sl_slice_str(body));
	return tally;
}

static struct sl_token_count
count_of(const char *model, const char *body)
{
	struct sl_tally tally = tally_of(model, body);

	return sl_tally_total(&tally, sl_token_family_of(sl_slice_str(model)), SL_TOKEN_RATIO_ONE);
}

static void
need_vocabulary(void)
{
	if (sl_encoding_is_exact(SL_ENCODING_O200K))
		return;
	print_message("this build has no vocabulary: tools/vocabulary fetches it\n");
	skip();
}

static void
messages_are_counted_as_published(void **state)
{
	/* OpenAI's cookbook counts these six messages as 129 tokens for gpt-4 and 124 for
	 * gpt-4o. */
	static const char cookbook[] =
	    "{\"messages\":["
	    "{\"role\":\"system\",\"content\":\"You are a helpful, pattern-following assistant that "
	    "translates corporate jargon into plain English.\"},"
	    "{\"role\":\"system\",\"name\":\"example_user\",\"content\":\"New synergies will help "
	    "drive top-line growth.\"},"
	    "{\"role\":\"system\",\"name\":\"example_assistant\",\"content\":\"Things working well "
	    "together will increase revenue.\"},"
	    "{\"role\":\"system\",\"name\":\"example_user\",\"content\":\"Let's circle back when we "
	    "have more bandwidth to touch base on opportunities for increased leverage.\"},"
	    "{\"role\":\"system\",\"name\":\"example_assistant\",\"content\":\"Let's talk later when "
	    "we're less busy about how to do better.\"},"
	    "{\"role\":\"user\",\"content\":\"This late pivot means we don't have time to boil the "
	    "ocean for the client deliverable.\"}]}";
	struct sl_token_count count;

	(void)state;
	need_vocabulary();
	count = count_of("gpt-4-0613", cookbook);
	assert_int_equal(count.method, SL_TOKENS_EXACT);
	assert_int_equal(count.tokens, 129);
	assert_int_equal(count.low, 129);
	assert_int_equal(count.high, 129);
	assert_int_equal(count_of("gpt-4o", cookbook).tokens, 124);
}

static void
every_api_is_read(void **state)
{
	static const struct {
		const char *body;
		int64_t     bytes, messages, images, functions;
	} cases[] = {
		{ "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
		  "\"text\":\"a\\nb\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:x\"}}]}]}",
		  3, 1, 1, 0 },
		{ "{\"instructions\":\"be\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":"
		  "\"input_text\",\"text\":\"four\"}]}]}", 6, 2, 0, 0 },
		{ "{\"input\":[\"ab\",\"cd\"]}", 4, 0, 0, 0 },
		{ "{\"system\":[{\"type\":\"text\",\"text\":\"be\"}],\"messages\":[{\"role\":\"user\","
		  "\"content\":\"four\"},{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\","
		  "\"id\":\"t\",\"name\":\"fn\",\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":"
		  "\"tool_result\",\"tool_use_id\":\"t\",\"content\":[{\"type\":\"text\",\"text\":\"out\"}"
		  "]}]}],\"tools\":[{\"name\":\"fn\",\"description\":\"does\",\"input_schema\":{}}]}",
		  19, 4, 0, 1 },
		{ "{\"systemInstruction\":{\"parts\":[{\"text\":\"be\"}]},\"contents\":[{\"parts\":["
		  "{\"text\":\"four\"},{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"AA\"}}]}],"
		  "\"tools\":[{\"functionDeclarations\":[{\"name\":\"fn\"},{\"name\":\"gn\"}]}]}",
		  10, 2, 1, 2 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_tally tally = tally_of("gpt-4o", cases[i].body);

		assert_int_equal(tally.looked_bytes, cases[i].bytes);
		assert_int_equal(tally.messages, cases[i].messages);
		assert_int_equal(tally.images, cases[i].images);
		assert_int_equal(tally.functions, cases[i].functions);
		assert_int_equal(tally.tools, cases[i].functions > 0);
	}
}

static void
tools_and_pictures_are_estimates(void **state)
{
	struct sl_token_count plain, with;

	(void)state;
	plain = count_of("gpt-4o", "{\"messages\":[{\"role\":\"user\",\"content\":\"hi there\"}]}");
	with = count_of("gpt-4o", "{\"messages\":[{\"role\":\"user\",\"content\":\"hi there\"}],"
	                "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":"
	                "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"enum\":"
	                "[\"x\",\"y\"]}}}}}]}");
	assert_int_equal(with.method, SL_TOKENS_CALIBRATED);
	assert_true(with.tokens > plain.tokens + 15);
	assert_true(with.low < with.tokens && with.tokens < with.high);
	with = count_of("gpt-4o", "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
	                "\"image_url\":{\"url\":\"x\"}}]}]}");
	assert_true(with.tokens >= 765 && with.high >= 1445 && with.low >= 85);
}

static void
text_beyond_the_limit_counts_by_bytes(void **state)
{
	static char text[SL_TALLY_BYTES_MAX + 40000];
	const struct sl_token_family *family = sl_token_family_of(SL_SLICE("gpt-4o"));
	struct sl_token_count count;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 5 ? 'a' : ' ';
	count = sl_tokens_of_text(family, sl_slice_make(text, sizeof(text)));
	assert_int_equal(count.method, SL_TOKENS_BYTES);
	assert_true(count.high >= 40000 && count.low <= count.tokens && count.tokens <= count.high);
}

static void
reports_correct_estimates(void **state)
{
	struct sl_token_memory *memory = sl_token_memory_new();
	const struct sl_slice provider = SL_SLICE("anthropic"), model = SL_SLICE("claude-x");
	uint64_t seed = 3;
	int64_t ratio;

	(void)state;
	assert_non_null(memory);
	assert_int_equal(sl_token_memory_ratio(memory, provider, model), SL_TOKEN_RATIO_ONE);
	/* Reports lie 12 % above the estimates, give or take 10 %. */
	for (int i = 0; i < 200; i++) {
		int64_t estimated = 1000, reported;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		reported = 1020 + (int64_t)((seed >> 33) % 201);
		sl_token_memory_note(memory, provider, model, estimated, reported);
		assert_int_equal(sl_token_memory_is_settled(memory, provider, model), i + 1 >= 64);
	}
	assert_false(sl_token_memory_is_settled(memory, provider, SL_SLICE("claude-y")));
	ratio = sl_token_memory_ratio(memory, provider, model);
	assert_in_range(ratio, 1100000, 1140000);
	assert_int_equal(sl_token_memory_ratio(memory, provider, SL_SLICE("claude-y")),
	                 SL_TOKEN_RATIO_ONE);
	/* What cannot be is held within bounds; what says nothing is left out. */
	sl_token_memory_note(memory, provider, SL_SLICE("m"), 1000, 90000);
	assert_int_equal(sl_token_memory_ratio(memory, provider, SL_SLICE("m")),
	                 2 * SL_TOKEN_RATIO_ONE);
	sl_token_memory_note(memory, provider, SL_SLICE("n"), 3, 90000);
	sl_token_memory_note(memory, provider, SL_SLICE("n"), 1000, 0);
	assert_int_equal(sl_token_memory_ratio(memory, provider, SL_SLICE("n")), SL_TOKEN_RATIO_ONE);
	/* Any number of models: those that find no room are left out. */
	for (int i = 0; i < 5000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "m%d", i);
		sl_token_memory_note(memory, provider, sl_slice_str(name), 100, 110);
	}
	assert_int_equal(sl_token_memory_ratio(memory, provider, model), ratio);
	sl_token_memory_free(memory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(models_find_their_family),
		cmocka_unit_test(messages_are_counted_as_published),
		cmocka_unit_test(every_api_is_read),
		cmocka_unit_test(tools_and_pictures_are_estimates),
		cmocka_unit_test(text_beyond_the_limit_counts_by_bytes),
		cmocka_unit_test(reports_correct_estimates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

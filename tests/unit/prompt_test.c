/* prompt_test.c - what was asked is found in the requests of every API, and no
 * more of a long one is taken than the bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "shapes/shape.h"

static struct sl_arena arena;

static struct sl_prompt
read_prompt(const char *name, struct sl_slice body)
{
	const struct sl_shape_ops *shape = sl_shape_by_name(sl_slice_str(name));
	const struct sl_shape_input input = { .verb = "generateContent",
		                              .path_model = SL_SLICE("m"), .body = body };
	struct sl_prompt prompt;
	struct sl_steer steer;
	struct sl_fault fault;

	assert_true(shape->read_request(&input, &arena, &steer, &fault));
	shape->read_prompt(&steer, &arena, &prompt);
	return prompt;
}

static void
texts_are(const struct sl_prompt *prompt, const char *expected)
{
	struct sl_buf all;

	sl_buf_init(&all, 1 << 16);
	for (size_t i = 0; i < prompt->text_count; i++) {
		if (i)
			sl_buf_append_str(&all, "|");
		sl_buf_append(&all, prompt->text[i]);
	}
	if (!sl_slice_is(sl_buf_slice(&all), expected))
		fail_msg("%.*s", SL_ARG(sl_buf_slice(&all)));
	sl_buf_release(&all);
}

static void
every_api_is_read(void **state)
{
	struct sl_prompt prompt;

	(void)state;
	prompt = read_prompt("openai_chat", SL_SLICE(
	    "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"},"
	    "{\"role\":\"user\",\"content\":\"first\"},{\"role\":\"assistant\",\"content\":\"yes\"},"
	    "{\"role\":\"user\",\"content\":\"a\\nb \\u00e9\"},{\"role\":\"assistant\",\"content\":"
	    "null},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"last\"},"
	    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}}]}],"
	    "\"tools\":[{\"type\":\"function\"}],"
	    "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}}"));
	texts_are(&prompt, "a\nb \xc3\xa9|last");
	assert_int_equal(prompt.turns, 6);
	assert_true(prompt.tools && prompt.schema && prompt.media);

	prompt = read_prompt("openai_responses", SL_SLICE(
	    "{\"model\":\"m\",\"instructions\":\"x\",\"input\":[{\"role\":\"user\",\"content\":"
	    "[{\"type\":\"input_text\",\"text\":\"why\"}]},{\"type\":\"function_call_output\","
	    "\"call_id\":\"c\",\"output\":\"no\"}],\"tools\":[],\"text\":{\"format\":{\"type\":"
	    "\"json_schema\"}}}"));
	texts_are(&prompt, "why");
	assert_true(prompt.schema && !prompt.tools && !prompt.media);
	prompt = read_prompt("openai_responses", SL_SLICE("{\"model\":\"m\",\"input\":\"what\"}"));
	texts_are(&prompt, "what");
	assert_int_equal(prompt.turns, 1);

	prompt = read_prompt("openai_completions", SL_SLICE("{\"model\":\"m\",\"prompt\":\"go\"}"));
	texts_are(&prompt, "go");
	prompt = read_prompt("openai_completions", SL_SLICE(
	    "{\"model\":\"m\",\"prompt\":[\"one\",\"two\"]}"));
	texts_are(&prompt, "one|two");
	prompt = read_prompt("openai_completions", SL_SLICE("{\"model\":\"m\",\"prompt\":[1,2]}"));
	texts_are(&prompt, "");

	prompt = read_prompt("anthropic_messages", SL_SLICE(
	    "{\"model\":\"m\",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"s\"}],"
	    "\"messages\":[{\"role\":\"user\",\"content\":\"list files\"},{\"role\":\"assistant\","
	    "\"content\":[{\"type\":\"tool_use\"}]},{\"role\":\"user\",\"content\":[{\"type\":"
	    "\"tool_result\",\"content\":\"a.c\"}]}],\"tools\":[{\"name\":\"ls\"}],"
	    "\"output_format\":{\"type\":\"json_schema\"}}"));
	texts_are(&prompt, "list files");
	assert_true(prompt.tools && prompt.schema);

	prompt = read_prompt("gemini_generate", SL_SLICE(
	    "{\"contents\":[{\"parts\":[{\"text\":\"look\"},{\"inlineData\":{\"data\":\"\"}}]},"
	    "{\"role\":\"model\",\"parts\":[{\"text\":\"hm\"}]}],"
	    "\"generationConfig\":{\"responseSchema\":{\"type\":\"OBJECT\"}}}"));
	texts_are(&prompt, "look");
	assert_true(prompt.media && prompt.schema && !prompt.tools);
}

static void
strange_types_are_no_prompt(void **state)
{
	static const char *const bodies[] = {
		"{\"model\":\"m\"}", "{\"model\":\"m\",\"messages\":7}",
		"{\"model\":\"m\",\"messages\":[null,3,[],{}]}",
		"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":{\"text\":\"x\"}}]}",
		"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[[\"x\"],{\"text\":1}]}]}",
		"{\"model\":\"m\",\"tools\":{},\"response_format\":\"json_schema\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct sl_prompt prompt = read_prompt("openai_chat", sl_slice_str(bodies[i]));

		texts_are(&prompt, "");
		assert_false(prompt.tools || prompt.schema);
	}
}

static void
of_a_long_text_the_beginning_and_the_end_are_taken(void **state)
{
	static const char *const fillers[] = { "word ", "\\\\\\\"", "\\u00e9 ", "\xc3\xa9", "xxxx" };
	struct sl_buf body;

	(void)state;
	for (size_t i = 0; i < sizeof(fillers) / sizeof(fillers[0]); i++) {
		size_t taken = 0;
		struct sl_prompt prompt;

		sl_buf_init(&body, 1 << 20);
		sl_buf_append_str(&body, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\","
		                         "\"content\":\"earlier\"},{\"role\":\"user\",\"content\":"
		                         "\"Begin: ");
		while (body.len < 100000)
			sl_buf_append_str(&body, fillers[i]);
		sl_buf_append_str(&body, " the question\"}]}");
		prompt = read_prompt("openai_chat", sl_buf_slice(&body));
		assert_true(prompt.text_count >= 2);
		for (size_t k = 0; k < prompt.text_count; k++)
			taken += prompt.text[k].len;
		assert_true(taken <= SL_PROMPT_BYTES_MAX);
		assert_true(prompt.size_bytes > 99000);
		assert_memory_equal(prompt.text[prompt.text_count - 1].ptr +
		                    prompt.text[prompt.text_count - 1].len - 12, "the question", 12);
		sl_buf_release(&body);
	}
}

static int
setup(void **state)
{
	(void)state;
	sl_arena_init(&arena, 65536, 1 << 24);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	sl_arena_release(&arena);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_api_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(strange_types_are_no_prompt, setup, teardown),
		cmocka_unit_test_setup_teardown(of_a_long_text_the_beginning_and_the_end_are_taken,
		                                setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

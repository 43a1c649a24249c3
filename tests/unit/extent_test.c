/* extent_test.c - what is text and what may be more, whichever way it is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shapes/extent.h"

static struct sl_extent
extent_of(const struct sl_shape_ops *shape, const char *body)
{
	struct sl_shape_input input = { .body = sl_slice_str(body), .verb = "generateContent",
		                        .path_model = SL_SLICE("m") };
	struct sl_steer steer;
	struct sl_fault fault;
	struct sl_extent extent;
	struct sl_arena arena;

	sl_arena_init(&arena, 1024, 0);
	if (!shape->read_request(&input, &arena, &steer, &fault))
		fail_msg("%s: %.*s", body, SL_ARG(fault.message));
	sl_extent_read(shape, &steer, &extent);
	sl_arena_release(&arena);
	return extent;
}

static void
text_is_text(void **state)
{
	static const struct {
		const struct sl_shape_ops *shape;
		const char                *body;
	} cases[] = {
		{ &sl_shape_openai_chat, "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":"
		  "\"a\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":"
		  "\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\"}]},"
		  "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"c\"}],\"tools\":[{\"type\":"
		  "\"function\",\"function\":{\"name\":\"f\"}}]}" },
		{ &sl_shape_anthropic_messages, "{\"model\":\"m\",\"max_tokens\":5,\"system\":[{\"type\":"
		  "\"text\",\"text\":\"a\"}],\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
		  "\"tool_result\",\"content\":[{\"type\":\"text\",\"text\":\"b\"}]}]}],\"tools\":[{"
		  "\"name\":\"f\",\"input_schema\":{}},{\"type\":\"bash_20250124\",\"name\":\"bash\"}]}" },
		{ &sl_shape_openai_responses, "{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":[{"
		  "\"type\":\"input_text\",\"text\":\"a\"}]},{\"type\":\"function_call_output\",\"output\":"
		  "\"b\"}],\"previous_response_id\":null}" },
		{ &sl_shape_gemini_generate, "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"},{"
		  "\"functionResponse\":{}}]}],\"tools\":[{\"functionDeclarations\":[]}]}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_extent extent = extent_of(cases[i].shape, cases[i].body);

		if (extent.media_parts || extent.paid_calls || extent.stored_context)
			fail_msg("%s", cases[i].body);
		assert_int_equal(extent.text_bytes, strlen(cases[i].body));
	}
}

static void
what_is_not_known_is_media(void **state)
{
	static const struct {
		const struct sl_shape_ops *shape;
		const char                *body;
	} cases[] = {
		{ &sl_shape_openai_chat, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{"
		  "\"type\":\"image_url\",\"image_url\":{\"url\":\"https://a/b\"}}]}]}" },
		/* Escaped, it is no known text either. */
		{ &sl_shape_openai_chat, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{"
		  "\"type\":\"\\u0069mage_url\"}]}]}" },
		{ &sl_shape_anthropic_messages, "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":"
		  "\"user\",\"content\":[{\"type\":\"tool_result\",\"content\":[{\"type\":\"image\","
		  "\"source\":{}}]}]}]}" },
		{ &sl_shape_openai_responses, "{\"model\":\"m\",\"input\":[{\"type\":\"input_file\"}]}" },
		/* What it is may be said behind what it holds. */
		{ &sl_shape_anthropic_messages, "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":"
		  "\"user\",\"content\":[{\"content\":[{\"source\":{},\"type\":\"image\"}],\"type\":"
		  "\"tool_result\"}]}]}" },
		{ &sl_shape_anthropic_messages, "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":"
		  "\"user\",\"content\":[{\"c\\u006fntent\":[{\"type\":\"image\",\"source\":{}}],"
		  "\"type\":\"tool_result\"}]}]}" },
		{ &sl_shape_gemini_generate, "{\"contents\":[{\"parts\":[{\"inlineData\":{\"data\":\"AA\"}}]"
		  "}]}" },
		{ &sl_shape_gemini_generate, "{\"contents\":{\"parts\":{\"file\\u0044ata\":{}}}}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (extent_of(cases[i].shape, cases[i].body).media_parts != 1)
			fail_msg("%s", cases[i].body);
}

static void
tools_with_a_fee_are_counted(void **state)
{
	static const struct {
		const struct sl_shape_ops *shape;
		const char                *body;
		int64_t                    calls;
	} cases[] = {
		{ &sl_shape_anthropic_messages, "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[],\"tools\":"
		  "[{\"type\":\"web_search_20250305\",\"name\":\"web_search\",\"max_uses\":3}]}", 3 },
		{ &sl_shape_anthropic_messages, "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[],\"tools\":"
		  "[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]}", -1 },
		{ &sl_shape_openai_responses, "{\"model\":\"m\",\"input\":\"a\",\"tools\":[{\"type\":"
		  "\"web_search\"}],\"max_tool_calls\":2}", 2 },
		{ &sl_shape_openai_responses, "{\"model\":\"m\",\"input\":\"a\",\"tools\":[{\"type\":"
		  "\"mcp\"}]}", -1 },
		{ &sl_shape_openai_chat, "{\"model\":\"m\",\"messages\":[],\"web_search_options\":{}}", -1 },
		{ &sl_shape_openai_chat, "{\"model\":\"m\",\"messages\":[],\"web_search\\u005foptions\":{}}",
		  -1 },
		{ &sl_shape_gemini_generate, "{\"contents\":[],\"tools\":[{\"googleSearch\":{}}]}", -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (extent_of(cases[i].shape, cases[i].body).paid_calls != cases[i].calls)
			fail_msg("%s", cases[i].body);
}

static void
text_that_is_elsewhere_is_seen(void **state)
{
	static const struct {
		const struct sl_shape_ops *shape;
		const char                *body;
	} cases[] = {
		{ &sl_shape_openai_responses, "{\"model\":\"m\",\"previous_response_id\":\"r\"}" },
		{ &sl_shape_openai_responses, "{\"model\":\"m\",\"conversation\":{\"id\":\"c\"}}" },
		{ &sl_shape_openai_responses, "{\"model\":\"m\",\"prompt\":{\"id\":\"p\"}}" },
		{ &sl_shape_openai_responses, "{\"model\":\"m\",\"conv\\u0065rsation\":\"c\"}" },
		{ &sl_shape_gemini_generate, "{\"contents\":[],\"cachedContent\":\"cachedContents/1\"}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!extent_of(cases[i].shape, cases[i].body).stored_context)
			fail_msg("%s", cases[i].body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_text),
		cmocka_unit_test(what_is_not_known_is_media),
		cmocka_unit_test(tools_with_a_fee_are_counted),
		cmocka_unit_test(text_that_is_elsewhere_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

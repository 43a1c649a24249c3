/* anthropic_shapes_test.c - error types by status, the error event, usage that
 * comes in two halves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shapes/anthropic.h"

static void
every_fault_has_a_type_of_this_api(void **state)
{
	static const char *const known[] = {
		"invalid_request_error", "authentication_error", "billing_error",
		"permission_error", "not_found_error", "conflict_error", "request_too_large",
		"rate_limit_error", "api_error", "timeout_error", "overloaded_error",
	};

	(void)state;
	for (int kind = SL_FAULT_NONE + 1; kind < SL_FAULT_KINDS; kind++) {
		struct sl_fault fault;
		const char *type;
		bool found = false;

		sl_fault_set(&fault, (enum sl_fault_kind)kind, SL_SLICE("x"));
		type = sl_anthropic_error_type(sl_fault_status(&fault));
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			found |= strcmp(type, known[i]) == 0;
		assert_true(found);
	}
	assert_string_equal(sl_anthropic_error_type(401), "authentication_error");
	assert_string_equal(sl_anthropic_error_type(402), "billing_error");
	assert_string_equal(sl_anthropic_error_type(413), "request_too_large");
	assert_string_equal(sl_anthropic_error_type(502), "api_error");
	assert_string_equal(sl_anthropic_error_type(529), "overloaded_error");
}

static void
a_broken_stream_ends_with_an_error_event(void **state)
{
	struct sl_stream_state stream = { 0 };
	struct sl_fault fault;
	struct sl_buf out;

	(void)state;
	sl_buf_init(&out, 4096);
	sl_fault_set(&fault, SL_FAULT_OVERLOADED, SL_SLICE("later"));
	sl_shape_anthropic_messages.write_stream_fault(&stream, &fault, SL_SLICE("req_7"),
	                                               SL_FRAMING_SSE, &out);
	assert_true(sl_slice_is(sl_buf_slice(&out),
	    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
	    "\"message\":\"later\"},\"request_id\":\"req_7\"}\n\n"));
	sl_buf_release(&out);
}

static void
later_figures_complete_earlier_ones(void **state)
{
	static const char *const said[] = {
		"{\"input_tokens\":10,\"cache_read_input_tokens\":5,\"output_tokens\":1}",
		"{\"output_tokens\":9}",
		"{\"input_tokens\":0,\"cache_read_input_tokens\":null,\"output_tokens\":12}",
		"{\"cache_creation_input_tokens\":100,\"output_tokens\":12}",
	};
	struct sl_usage usage = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		sl_anthropic_usage(sl_json_parse(sl_slice_str(said[i])), &usage);
	assert_int_equal(sl_usage_get(&usage, SL_USAGE_INPUT), 115);
	assert_int_equal(sl_usage_get(&usage, SL_USAGE_CACHE_READ), 5);
	assert_int_equal(sl_usage_get(&usage, SL_USAGE_CACHE_WRITE), 100);
	assert_int_equal(sl_usage_get(&usage, SL_USAGE_OUTPUT), 12);
	assert_true(sl_usage_consistent(&usage));
}

static void
absurd_figures_do_not_wrap(void **state)
{
	struct sl_usage usage = { 0 };

	(void)state;
	for (int i = 0; i < 2; i++)
		sl_anthropic_usage(sl_json_parse(SL_SLICE(
		    "{\"input_tokens\":9223372036854775807,\"cache_read_input_tokens\":"
		    "9223372036854775807,\"cache_creation_input_tokens\":9223372036854775807}")),
		    &usage);
	assert_true(sl_usage_get(&usage, SL_USAGE_INPUT) == INT64_MAX);
}

static void
a_place_for_text_is_no_content(void **state)
{
	static const struct {
		const char *data;
		bool        content;
	} cases[] = {
		{ "{\"type\":\"ping\"}", false },
		{ "{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\","
		  "\"text\":\"\"}}", false },
		{ "{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"thinking\","
		  "\"thinking\":\"\"}}", false },
		{ "{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\","
		  "\"text\":\"x\"}}", true },
		{ "{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"tool_use\"}}",
		  true },
		{ "{\"type\":\"brand_new\"}", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_stream_state stream = { 0 };
		struct sl_arena arena;

		sl_arena_init(&arena, 256, 0);
		sl_shape_anthropic_messages.read_frame(&stream, SL_SLICE_NONE,
		                                       sl_slice_str(cases[i].data), &arena);
		assert_int_equal(stream.facts.content, cases[i].content);
		sl_arena_release(&arena);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_fault_has_a_type_of_this_api),
		cmocka_unit_test(a_broken_stream_ends_with_an_error_event),
		cmocka_unit_test(later_figures_complete_earlier_ones),
		cmocka_unit_test(absurd_figures_do_not_wrap),
		cmocka_unit_test(a_place_for_text_is_no_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* openai_shapes_test.c - faults as OpenAI's SDKs read them, and usage under the
 * names that vendors have for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shapes/openai.h"

static void
written(struct sl_buf *out, const char *expected)
{
	assert_false(out->failed);
	if (!sl_slice_is(sl_buf_slice(out), expected))
		fail_msg("%.*s", SL_ARG(sl_buf_slice(out)));
	sl_buf_release(out);
	sl_buf_init(out, 65536);
}

static void
faults_have_all_four_members(void **state)
{
	struct sl_fault fault;
	struct sl_buf out;

	(void)state;
	sl_buf_init(&out, 65536);
	sl_fault_set(&fault, SL_FAULT_NO_ROUTE, SL_SLICE("No \"such\" model."));
	sl_shape_openai_embeddings.write_fault(&fault, SL_SLICE("r"), &out);
	written(&out, "{\"error\":{\"message\":\"No \\\"such\\\" model.\",\"type\":"
	              "\"not_found_error\",\"param\":null,\"code\":\"model_not_found\"}}");
	fault.param = SL_SLICE("model");
	fault.code = SL_SLICE("gone");
	sl_shape_openai_chat.write_fault(&fault, SL_SLICE_NONE, &out);
	written(&out, "{\"error\":{\"message\":\"No \\\"such\\\" model.\",\"type\":"
	              "\"not_found_error\",\"param\":\"model\",\"code\":\"gone\"}}");
	sl_buf_release(&out);
}

static void
a_broken_chat_stream_gets_no_done(void **state)
{
	struct sl_stream_state stream = { .frames = 3 };
	struct sl_fault fault;
	struct sl_buf out;

	(void)state;
	sl_buf_init(&out, 65536);
	sl_fault_set(&fault, SL_FAULT_UPSTREAM_CUT, SL_SLICE("cut"));
	sl_shape_openai_chat.write_stream_fault(&stream, &fault, SL_SLICE("r"), SL_FRAMING_SSE,
	                                        &out);
	written(&out, "data: {\"error\":{\"message\":\"cut\",\"type\":\"server_error\","
	              "\"param\":null,\"code\":\"upstream_stream_cut\"}}\n\n");
	sl_buf_release(&out);
}

static void
a_broken_response_continues_its_sequence(void **state)
{
	static const char *const events[] = {
		"{\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":"
		"\"resp_9\",\"created_at\":17,\"model\":\"gpt-4.1\"}}",
		"{\"type\":\"response.output_text.delta\",\"sequence_number\":41,\"delta\":\"x\"}",
	};
	struct sl_stream_state stream = { 0 };
	struct sl_fault fault;
	struct sl_arena arena;
	struct sl_buf out;

	(void)state;
	sl_arena_init(&arena, 1024, 0);
	sl_buf_init(&out, 65536);
	for (size_t i = 0; i < 2; i++)
		sl_shape_openai_responses.read_frame(&stream, SL_SLICE_NONE,
		                                     sl_slice_str(events[i]), &arena);
	assert_true(stream.facts.content);
	sl_fault_set(&fault, SL_FAULT_UPSTREAM_CUT, SL_SLICE("cut"));
	sl_shape_openai_responses.write_stream_fault(&stream, &fault, SL_SLICE("r"),
	                                             SL_FRAMING_SSE, &out);
	written(&out,
	        "event: error\ndata: {\"type\":\"error\",\"sequence_number\":42,\"code\":"
	        "\"upstream_stream_cut\",\"message\":\"cut\",\"param\":null}\n\n"
	        "event: response.failed\ndata: {\"type\":\"response.failed\","
	        "\"sequence_number\":43,\"response\":{\"id\":\"resp_9\",\"object\":\"response\","
	        "\"created_at\":17,\"status\":\"failed\",\"error\":{\"code\":\"server_error\","
	        "\"message\":\"cut\"},\"incomplete_details\":null,\"instructions\":null,"
	        "\"model\":\"gpt-4.1\",\"output\":[],\"parallel_tool_calls\":true,"
	        "\"metadata\":{},\"tool_choice\":\"auto\",\"tools\":[],\"temperature\":null,"
	        "\"top_p\":null}}\n\n");
	sl_buf_release(&out);
	sl_arena_release(&arena);
}

static void
nothing_grows_with_the_stream(void **state)
{
	static const char chunk[] =
	    "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":"
	    "\"\\u00e9\"},\"finish_reason\":null}],\"usage\":null}";
	struct sl_stream_state stream = { 0 };
	struct sl_arena arena;
	size_t size;

	(void)state;
	sl_arena_init(&arena, 256, 0);
	sl_shape_openai_chat.read_frame(&stream, SL_SLICE_NONE, SL_SLICE(chunk), &arena);
	size = arena.total_size;
	for (int i = 0; i < 10000; i++)
		sl_shape_openai_chat.read_frame(&stream, SL_SLICE_NONE, SL_SLICE(chunk), &arena);
	assert_int_equal(arena.total_size, size);
	sl_arena_release(&arena);
}

static void
usage_is_read_under_all_its_names(void **state)
{
	static const struct {
		const char *json;
		int64_t     input, read, output, reasoning;
	} cases[] = {
		{ "{\"prompt_tokens\":5,\"completion_tokens\":2}", 5, 0, 2, 0 },
		{ "{\"input_tokens\":5,\"output_tokens\":2,\"input_tokens_details\":"
		  "{\"cached_tokens\":4}}", 5, 4, 2, 0 },
		{ "{\"prompt_tokens\":5,\"prompt_cache_hit_tokens\":3,\"completion_tokens\":2}",
		  5, 3, 2, 0 },
		{ "{\"prompt_tokens\":5,\"prompt_tokens_details\":null,\"completion_tokens\":2.0}",
		  5, 0, 2, 0 },
		{ "{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":10,"
		  "\"completion_tokens_details\":{\"reasoning_tokens\":7}}", 1, 0, 9, 7 },
		/* within: the total says so */
		{ "{\"prompt_tokens\":1,\"completion_tokens\":9,\"total_tokens\":10,"
		  "\"completion_tokens_details\":{\"reasoning_tokens\":7}}", 1, 0, 9, 7 },
		{ "{\"prompt_tokens\":-1,\"completion_tokens\":3}", 0, 0, 3, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_usage usage = { 0 };

		assert_true(sl_openai_usage(sl_json_parse(sl_slice_str(cases[i].json)), &usage));
		assert_int_equal(sl_usage_get(&usage, SL_USAGE_INPUT), cases[i].input);
		assert_int_equal(sl_usage_get(&usage, SL_USAGE_CACHE_READ), cases[i].read);
		assert_int_equal(sl_usage_get(&usage, SL_USAGE_OUTPUT), cases[i].output);
		assert_int_equal(sl_usage_get(&usage, SL_USAGE_REASONING), cases[i].reasoning);
	}
	for (size_t i = 0; i < 3; i++) {
		static const char *const none[] = { "null", "{}", "{\"prompt_tokens\":\"5\"}" };
		struct sl_usage usage = { 0 };

		assert_false(sl_openai_usage(sl_json_parse(sl_slice_str(none[i])), &usage));
		assert_int_equal(usage.present, 0);
	}
}

static void
a_model_with_a_line_end_cannot_forge_a_part(void **state)
{
	static const char body[] = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n"
	                           "x\r\n--b--\r\n";
	const struct sl_shape_target target = { .model = SL_SLICE("y\r\n--b\r\n") };
	struct sl_shape_input input = {
		.content_type = SL_SLICE("multipart/form-data; boundary=b"),
		.body = SL_SLICE(body),
	};
	struct sl_forward forward;
	struct sl_steer steer;
	struct sl_fault fault;
	struct sl_arena arena;

	(void)state;
	sl_arena_init(&arena, 256, 0);
	assert_true(sl_shape_openai_transcriptions.read_request(&input, &arena, &steer, &fault));
	assert_int_equal(sl_shape_openai_transcriptions.forward(&steer, &target, &arena, &forward),
	                 SL_EINVAL);
	sl_arena_release(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_have_all_four_members),
		cmocka_unit_test(a_broken_chat_stream_gets_no_done),
		cmocka_unit_test(a_broken_response_continues_its_sequence),
		cmocka_unit_test(nothing_grows_with_the_stream),
		cmocka_unit_test(usage_is_read_under_all_its_names),
		cmocka_unit_test(a_model_with_a_line_end_cannot_forge_a_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

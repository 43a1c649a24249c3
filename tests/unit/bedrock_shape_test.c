/* bedrock_shape_test.c - what steers in a Converse request, and what replies tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/eventstream.h"
#include "shapes/shape.h"

static struct sl_arena arena;
static const struct sl_shape_ops *shape = &sl_shape_bedrock_converse;

static int
set_up(void **state)
{
	(void)state;
	sl_arena_init(&arena, 4096, 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	sl_arena_release(&arena);
	return 0;
}

static void
read_body(const char *path, const char *body, struct sl_steer *steer)
{
	struct sl_shape_input input = { 0 };
	struct sl_fault fault;

	assert_ptr_equal(sl_shape_match(sl_slice_str(path), &arena, &input), shape);
	input.body = sl_slice_str(body);
	*steer = (struct sl_steer){ 0 };
	assert_true(shape->read_request(&input, &arena, steer, &fault));
}

static void
path_names_model_and_streaming(void **state)
{
	struct sl_steer steer;

	(void)state;
	read_body("/model/us.anthropic.x-v1%3A0/converse", "{}", &steer);
	assert_true(sl_slice_is(steer.model, "us.anthropic.x-v1:0"));
	assert_false(steer.stream);
	read_body("/model/arn%3Aaws%3Abedrock%3A1%2Fy/converse-stream",
	          "{\"inferenceConfig\":{\"maxTokens\":7}}", &steer);
	assert_true(sl_slice_is(steer.model, "arn:aws:bedrock:1/y"));
	assert_true(steer.stream);
	assert_int_equal(steer.framing, SL_FRAMING_EVENTS);
	assert_int_equal(steer.max_output_tokens, 7);
}

static void
a_limit_goes_into_the_configuration(void **state)
{
	static const struct { const char *body, *sent; } cases[] = {
		{ "{\"messages\":[]}", "{\"inferenceConfig\":{\"maxTokens\":50},\"messages\":[]}" },
		{ "{ \"inferenceConfig\" : {\"topP\":1e0} }",
		  "{ \"inferenceConfig\" : {\"maxTokens\":50,\"topP\":1e0} }" },
		{ "{\"inferenceConfig\":null}", "{\"inferenceConfig\":{\"maxTokens\":50}}" },
	};
	const struct sl_shape_target target = { .model = SL_SLICE("m"),
		                                .max_output_tokens = 50 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_steer steer;
		struct sl_forward out;
		struct sl_slice sent;

		read_body("/model/m/converse", cases[i].body, &steer);
		assert_int_equal(shape->forward(&steer, &target, &arena, &out), SL_OK);
		sent = sl_arena_join(&arena, out.body, out.body_count);
		assert_true(sl_slice_is(sent, cases[i].sent));
	}
}

static void
usage_counts_the_cache_as_input(void **state)
{
	struct sl_reply_facts facts = { 0 };

	(void)state;
	shape->read_reply(NULL, SL_SLICE("{\"output\":{},\"stopReason\":\"end_turn\",\"usage\":{"
	    "\"inputTokens\":10,\"outputTokens\":5,\"cacheReadInputTokens\":100,"
	    "\"cacheWriteInputTokens\":1000,\"totalTokens\":1115}}"), &arena, &facts);
	assert_true(facts.finished && !facts.failed);
	assert_int_equal(sl_usage_get(&facts.usage, SL_USAGE_INPUT), 1110);
	assert_int_equal(sl_usage_get(&facts.usage, SL_USAGE_CACHE_READ), 100);
	assert_int_equal(sl_usage_get(&facts.usage, SL_USAGE_CACHE_WRITE), 1000);
	assert_int_equal(sl_usage_get(&facts.usage, SL_USAGE_OUTPUT), 5);
	assert_true(sl_usage_consistent(&facts.usage));
}

static void
a_200_without_output_is_an_error(void **state)
{
	struct sl_reply_facts facts = { 0 };

	(void)state;
	shape->read_reply(NULL, SL_SLICE("{\"message\":\"no access\"}"), &arena, &facts);
	assert_true(facts.failed);
	assert_true(sl_slice_is(facts.error_message, "no access"));
}

static void
a_stream_is_complete_behind_its_stop(void **state)
{
	static const struct { const char *type, *data; } frames[] = {
		{ "messageStart", "{\"role\":\"assistant\"}" },
		{ "contentBlockDelta", "{\"delta\":{\"text\":\"hello\"},\"contentBlockIndex\":0}" },
		{ "contentBlockStop", "{\"contentBlockIndex\":0}" },
		{ "messageStop", "{\"stopReason\":\"guardrail_intervened\"}" },
		{ "metadata", "{\"usage\":{\"inputTokens\":3,\"outputTokens\":1}}" },
	};
	const size_t count = sizeof(frames) / sizeof(frames[0]);

	(void)state;
	for (size_t cut = 0; cut <= count; cut++) {
		struct sl_stream_state stream = { 0 };

		for (size_t i = 0; i < cut; i++)
			shape->read_frame(&stream, sl_slice_str(frames[i].type),
			                  sl_slice_str(frames[i].data), &arena);
		shape->end_stream(&stream);
		assert_int_equal(stream.facts.finished, cut >= 4);
		assert_int_equal(stream.facts.content, cut >= 2);
		assert_int_equal(stream.facts.content_filter, cut >= 4);
		assert_int_equal(sl_usage_get(&stream.facts.usage, SL_USAGE_INPUT), cut == 5 ? 3 : 0);
	}
}

static void
an_exception_is_an_error(void **state)
{
	struct sl_stream_state stream = { 0 };

	(void)state;
	shape->read_frame(&stream, SL_SLICE("throttlingException"),
	                  SL_SLICE("{\"message\":\"slow down\"}"), &arena);
	shape->end_stream(&stream);
	assert_true(stream.facts.failed && !stream.facts.finished);
	assert_true(sl_slice_is(stream.facts.error_message, "slow down"));
}

static void
a_fault_in_a_stream_is_an_exception(void **state)
{
	struct sl_event_reader reader;
	struct sl_event_message message;
	struct sl_fault fault;
	struct sl_buf out;
	struct sl_slice bytes;

	(void)state;
	sl_fault_set(&fault, SL_FAULT_UPSTREAM_CUT, SL_SLICE("It ended."));
	sl_buf_init(&out, 4096);
	shape->write_stream_fault(NULL, &fault, SL_SLICE("req_1"), SL_FRAMING_EVENTS, &out);
	sl_event_reader_init(&reader, 4096);
	bytes = sl_buf_slice(&out);
	assert_int_equal(sl_event_read(&reader, &bytes, &message), SL_OK);
	assert_true(sl_slice_is(message.kind, "exception"));
	assert_true(sl_slice_is(message.type, "modelStreamErrorException"));
	assert_true(sl_slice_is(message.payload, "{\"message\":\"It ended.\"}"));
	sl_event_reader_release(&reader);
	sl_buf_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(path_names_model_and_streaming),
		cmocka_unit_test(a_limit_goes_into_the_configuration),
		cmocka_unit_test(usage_counts_the_cache_as_input),
		cmocka_unit_test(a_200_without_output_is_an_error),
		cmocka_unit_test(a_stream_is_complete_behind_its_stop),
		cmocka_unit_test(an_exception_is_an_error),
		cmocka_unit_test(a_fault_in_a_stream_is_an_exception),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

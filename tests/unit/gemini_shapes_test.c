/* gemini_shapes_test.c - Google's envelope, an array that stays readable, and the
 * two meanings of candidatesTokenCount. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shapes/gemini.h"

static void
faults_carry_what_clients_can_read(void **state)
{
	struct sl_fault fault;
	struct sl_buf out;

	(void)state;
	sl_buf_init(&out, 4096);
	sl_fault_set(&fault, SL_FAULT_RPM, SL_SLICE("slow"));
	fault.retry_after_s = 7;
	sl_shape_gemini_generate.write_fault(&fault, SL_SLICE("r"), &out);
	assert_true(sl_slice_is(sl_buf_slice(&out),
	    "{\"error\":{\"code\":429,\"message\":\"slow\",\"status\":\"RESOURCE_EXHAUSTED\","
	    "\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\","
	    "\"retryDelay\":\"7s\"}]}}"));
	sl_buf_release(&out);
	assert_string_equal(sl_gemini_status_name(400), "INVALID_ARGUMENT");
	assert_string_equal(sl_gemini_status_name(415), "INVALID_ARGUMENT");
	assert_string_equal(sl_gemini_status_name(401), "UNAUTHENTICATED");
	assert_string_equal(sl_gemini_status_name(502), "INTERNAL");
	assert_string_equal(sl_gemini_status_name(504), "DEADLINE_EXCEEDED");
}

static void
a_broken_array_stays_readable(void **state)
{
	static const char *const begun[] = { "", "[{\"a\":1}", "[{\"a\":1},\n{\"b\":2}" };

	(void)state;
	for (uint32_t frames = 0; frames < 3; frames++) {
		struct sl_stream_state stream = { .frames = frames };
		struct sl_fault fault;
		struct sl_buf out;

		sl_buf_init(&out, 4096);
		sl_buf_append_str(&out, begun[frames]);
		sl_fault_set(&fault, SL_FAULT_UPSTREAM_CUT, SL_SLICE("cut"));
		sl_shape_gemini_generate.write_stream_fault(&stream, &fault, SL_SLICE("r"),
		                                            SL_FRAMING_JSON_ARRAY, &out);
		assert_int_equal(sl_json_validate(sl_buf_slice(&out), NULL, NULL), SL_OK);
		assert_true(sl_slice_ends(sl_buf_slice(&out),
		    SL_SLICE("{\"error\":{\"code\":502,\"message\":\"cut\",\"status\":"
		             "\"INTERNAL\"}}]")));
		sl_buf_release(&out);
	}
}

static void
the_total_decides_what_candidates_mean(void **state)
{
	static const struct {
		const char *json;
		int64_t     output;
	} cases[] = {
		{ "{\"promptTokenCount\":10,\"candidatesTokenCount\":20,\"thoughtsTokenCount\":5,"
		  "\"totalTokenCount\":35}", 25 },
		{ "{\"promptTokenCount\":10,\"candidatesTokenCount\":20,\"thoughtsTokenCount\":5,"
		  "\"totalTokenCount\":30}", 20 },
		{ "{\"promptTokenCount\":10,\"candidatesTokenCount\":20,\"thoughtsTokenCount\":5}",
		  25 },
		{ "{\"promptTokenCount\":10,\"candidatesTokenCount\":20,\"thoughtsTokenCount\":5,"
		  "\"totalTokenCount\":99}", 25 },
		{ "{\"promptTokenCount\":10,\"thoughtsTokenCount\":5,\"totalTokenCount\":15}", 5 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_usage usage = { 0 };

		assert_true(sl_gemini_usage(sl_json_parse(sl_slice_str(cases[i].json)), &usage));
		assert_int_equal(sl_usage_get(&usage, SL_USAGE_OUTPUT), cases[i].output);
		assert_true(sl_usage_consistent(&usage));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_carry_what_clients_can_read),
		cmocka_unit_test(a_broken_array_stays_readable),
		cmocka_unit_test(the_total_decides_what_candidates_mean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

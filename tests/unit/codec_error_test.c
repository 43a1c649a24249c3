/* codec_error_test.c - error replies of every provider, in every caller's envelope. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shapes/codec.h"

static const struct row {
	int                status;
	const char        *body;
	enum sl_fault_kind kind;
	const char        *message; /* NULL: made up */
	const char        *code;    /* NULL: the kind's own */
} rows[] = {
	{ 400, "{\"error\":{\"message\":\"no\",\"type\":\"invalid_request_error\",\"param\":\"x\","
	       "\"code\":null}}", SL_FAULT_BAD_REQUEST, "no", NULL },
	{ 400, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
	       "\"prompt is too long: 9 > 8\"}}",
	  SL_FAULT_BAD_REQUEST, "prompt is too long: 9 > 8", "context_length_exceeded" },
	{ 400, "{\"error\":{\"code\":400,\"message\":\"bad\",\"status\":\"INVALID_ARGUMENT\"}}",
	  SL_FAULT_BAD_REQUEST, "bad", NULL },
	{ 429, "[{\"error\":{\"code\":429,\"message\":\"slow down\",\"status\":"
	       "\"RESOURCE_EXHAUSTED\"}}]", SL_FAULT_RPM, "slow down", NULL },
	{ 400, "{\"message\":\"The value at messages is empty.\"}", SL_FAULT_BAD_REQUEST,
	  "The value at messages is empty.", NULL },
	{ 404, "{\"error\":\"model 'x' not found\"}", SL_FAULT_NO_ROUTE,
	  "model 'x' not found", NULL },
	{ 422, "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"field required\",\"type\":\"x\"}]}",
	  SL_FAULT_BAD_REQUEST, "field required", NULL },
	{ 400, "{\"object\":\"error\",\"message\":\"too odd\",\"type\":\"BadRequestError\","
	       "\"param\":null,\"code\":400}", SL_FAULT_BAD_REQUEST, "too odd", NULL },
	{ 500, "<html><body>nginx</body></html>", SL_FAULT_UPSTREAM_STATUS, NULL, NULL },
	{ 502, "", SL_FAULT_UPSTREAM_STATUS, NULL, NULL },
	{ 500, "\"what\"", SL_FAULT_UPSTREAM_STATUS, NULL, NULL },
	{ 529, "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":"
	       "\"Overloaded\"}}", SL_FAULT_OVERLOADED, "Overloaded", NULL },
	{ 503, "{\"error\":{\"code\":503,\"message\":\"busy\",\"status\":\"UNAVAILABLE\"}}",
	  SL_FAULT_OVERLOADED, "busy", NULL },
	{ 429, "{\"error\":{\"message\":\"pay\",\"type\":\"insufficient_quota\",\"param\":null,"
	       "\"code\":\"insufficient_quota\"}}", SL_FAULT_RPM, "pay", "insufficient_quota" },
};

static void
any_body_is_the_class_of_its_status(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sl_arena arena;
		struct sl_fault fault;

		sl_arena_init(&arena, 1024, 0);
		sl_codec_read_error(rows[i].status, sl_slice_str(rows[i].body), &arena, &fault);
		if (fault.kind != rows[i].kind ||
		    (rows[i].message && !sl_slice_is(fault.message, rows[i].message)) ||
		    !sl_slice_is(fault.code, rows[i].code ? rows[i].code : ""))
			fail_msg("%d %s: %s '%.*s' %.*s", rows[i].status, rows[i].body,
			         sl_fault_name(fault.kind), SL_ARG(fault.message),
			         SL_ARG(fault.code));
		assert_true(fault.message.len > 0);
		assert_int_equal(fault.param.len, 0); /* it names one of another API */
		sl_arena_release(&arena);
	}
}

static void
every_envelope_is_json(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t s = 0; s < sl_shape_count(); s++) {
			struct sl_arena arena;
			struct sl_fault fault;
			struct sl_buf out;

			if (!sl_shape_at(s)->write_fault)
				continue;
			sl_arena_init(&arena, 1024, 0);
			sl_buf_init(&out, 65536);
			sl_codec_read_error(rows[i].status, sl_slice_str(rows[i].body), &arena,
			                    &fault);
			sl_shape_at(s)->write_fault(&fault, SL_SLICE("req_1"), &out);
			assert_int_equal(sl_json_validate(sl_buf_slice(&out), NULL, NULL), SL_OK);
			assert_true(sl_slice_search(sl_buf_slice(&out), SL_SLICE("message")) > 0);
			sl_buf_release(&out);
			sl_arena_release(&arena);
		}
}

#define RETRY(delay) \
	"{\"error\":{\"code\":429,\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.Help\"}," \
	"{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":" delay "}]}}"

static void
a_delay_is_read_from_the_body(void **state)
{
	static const struct {
		const char *body;
		int64_t     delay_ms;
	} delays[] = {
		{ RETRY("\"7s\""), 7000 }, { RETRY("\"0.25s\""), 250 }, { "[" RETRY("\"3s\"") "]", 3000 },
		{ RETRY("\"s\""), 0 }, { RETRY("\"7\""), 0 }, { RETRY("\"-7s\""), 0 },
		{ RETRY("\"1e9s\""), 0 }, { RETRY("\"99999999999999999999s\""), 0 },
		{ RETRY("\"1.2.3s\""), 0 }, { RETRY("7"), 0 }, { "google.rpc.RetryInfo", 0 },
		{ "[]", 0 }, { "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++)
		assert_int_equal(sl_codec_read_delay_ms(sl_slice_str(delays[i].body)),
		                 delays[i].delay_ms);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_body_is_the_class_of_its_status),
		cmocka_unit_test(every_envelope_is_json),
		cmocka_unit_test(a_delay_is_read_from_the_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

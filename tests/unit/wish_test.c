/* wish_test.c - wishes mean the same in header fields and in JSON members. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/wish.h"

static void
test_headers(void **state)
{
	struct sl_header fields[] = {
		{ SL_SLICE("x-gateway-stack"), SL_SLICE("customer-data") },
		{ SL_SLICE("x-gateway-cost-mode"), SL_SLICE("fastest_passable") },
		{ SL_SLICE("x-gateway-latency-slo-ms"), SL_SLICE("800") },
		{ SL_SLICE("x-gateway-fallback"), SL_SLICE("false") },
		{ SL_SLICE("x-gateway-something-else-that-is-longer-than-a-wish"), SL_SLICE("?") },
		{ SL_SLICE("quality"), SL_SLICE("not a wish without the prefix") },
	};
	struct sl_headers headers = { .items = fields, .count = sizeof(fields) / sizeof(fields[0]) };
	struct sl_wish wish = { 0 };
	struct sl_fault fault;

	(void)state;
	assert_true(sl_wish_read_headers(&wish, &headers, SL_SLICE("x-gateway-"), &fault));
	assert_true(sl_slice_is(wish.stack, "customer-data"));
	assert_int_equal(wish.cost_mode, SL_OBJECTIVE_FASTEST_PASSABLE);
	assert_int_equal(wish.latency_slo_ms, 800);
	assert_int_equal(wish.fallback, SL_NO);
	assert_int_equal(wish.quality, SL_QUALITY_UNSET);
	fields[1].value = SL_SLICE("cheapest");
	assert_false(sl_wish_read_headers(&wish, &headers, SL_SLICE("x-gateway-"), &fault));
	assert_int_equal(fault.kind, SL_FAULT_BAD_REQUEST);
	assert_true(sl_slice_is(fault.param, "x-gateway-cost-mode"));
	assert_true(sl_slice_search(fault.message, SL_SLICE("lowest_passable")) > 0);
}

static void
test_members(void **state)
{
	static const char text[] = "{\"stack\":\"a\\u002db\",\"quality\":\"high\",\"fallback\":true,"
	                           "\"latency_slo_ms\":250,\"explain\":true,\"cost_mode\":null,"
	                           "\"verification\":\"strong\",\"tool_profile\":{\"x\":[1]}}";
	struct sl_wish wish = { 0 };
	struct sl_arena arena;
	struct sl_fault fault;

	(void)state;
	sl_arena_init(&arena, 256, 0);
	assert_true(sl_wish_read_members(&wish, sl_json_parse(sl_slice_str(text)), &arena, &fault));
	assert_true(sl_slice_is(wish.stack, "a-b"));
	assert_int_equal(wish.quality, SL_QUALITY_HIGH);
	assert_int_equal(wish.verification, SL_VERIFY_STRONG);
	assert_int_equal(wish.fallback, SL_YES);
	assert_int_equal(wish.explain, SL_YES);
	assert_int_equal(wish.latency_slo_ms, 250);
	assert_int_equal(wish.cost_mode, SL_OBJECTIVE_UNSET);
	sl_arena_release(&arena);
}

static void
test_refused(void **state)
{
	static const char *const bad[][2] = {
		{ "stack", "" }, { "quality", "best" }, { "cost_mode", "High" },
		{ "verification", "on" }, { "latency_slo_ms", "0" }, { "latency_slo_ms", "-5" },
		{ "latency_slo_ms", "1.5" }, { "latency_slo_ms", "3600001" }, { "fallback", "1" },
		{ "explain", "yes" }, { "route", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct sl_wish wish = { 0 };
		struct sl_fault fault;

		assert_false(sl_wish_set(&wish, sl_slice_str(bad[i][0]), sl_slice_str(bad[i][1]),
		                         &fault));
		assert_true(sl_slice_is(fault.param, bad[i][0]));
		assert_true(sl_slice_search(fault.message, sl_slice_str(bad[i][0])) == 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

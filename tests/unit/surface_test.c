/* surface_test.c - who has a request, and that no value forges a header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "surfaces/surface.h"

static void
requests_are_recognised(void **state)
{
	static const struct {
		const char *name, *value, *more_name, *more_value, *path, *query, *surface;
	} cases[] = {
		{ NULL, NULL, NULL, NULL, "/v1/chat/completions", "", "gateway" },
		{ "authorization", "Bearer gw_virt_0", NULL, NULL, "/v1/x", "", "gateway" },
		{ "authorization", "Bearer nvk_0", NULL, NULL, "/v1/x", "", "nexus" },
		{ "authorization", "bearer nvk_0", NULL, NULL, "/v1/x", "", "nexus" },
		{ "authorization", "nvk_0", NULL, NULL, "/v1/x", "", "gateway" },
		{ "x-api-key", "nvk_0", NULL, NULL, "/v1/messages", "", "nexus" },
		{ "x-goog-api-key", "nvk_0", NULL, NULL, "/v1beta/x", "", "nexus" },
		{ "api-key", "nvk_0", NULL, NULL, "/openai/x", "", "nexus" },
		{ NULL, NULL, NULL, NULL, "/v1/x", "a=1&key=nvk_0", "nexus" },
		{ NULL, NULL, NULL, NULL, "/v1/x", "a=1&key=sk-ingate-0", "ingate" },
		{ "x-nexus-virtual-key", "", NULL, NULL, "/v1/x", "", "nexus" },
		{ "x-ingate-key", "", NULL, NULL, "/v1/x", "", "ingate" },
		{ "x-ingate-provider", "openai", NULL, NULL, "/v1/x", "", "ingate" },
		{ "authorization", "Bearer sk-ingate-0", NULL, NULL, "/v1/x", "", "ingate" },
		{ "authorization", "Bearer astrolabe_live_0", NULL, NULL, "/v1/x", "", "astrolabe" },
		{ "x-api-key", "astrolabe_live_0", NULL, NULL, "/v1/x", "", "astrolabe" },
		{ "api-key", "astrolabe_live_0", NULL, NULL, "/v1/x", "", "gateway" },
		{ "x-stolabs-api-key", "", NULL, NULL, "/v1/x", "", "stolabs" },
		{ NULL, NULL, NULL, NULL, "/api/v1", "", "stolabs" },
		{ NULL, NULL, NULL, NULL, "/api/v1/", "", "stolabs" },
		{ NULL, NULL, NULL, NULL, "/api/v1/x", "", "gateway" },
		{ NULL, NULL, NULL, NULL, "/api/aiendpoint/public", "", "stolabs" },
		{ "x-ingate-key", "k", NULL, NULL, "/api/v1", "", "ingate" },
		{ "authorization", "Bearer nvk_0", NULL, NULL, "/api/v1", "", "nexus" },
		/* The carrier is stronger than the prefix of another key. */
		{ "authorization", "Bearer nvk_0", "x-ingate-key", "k", "/v1/x", "", "ingate" },
		{ "authorization", "Bearer sk-ingate-0", "x-nexus-virtual-key", "k", "/v1/x", "",
		  "nexus" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_header fields[2] = {
			{ sl_slice_str(cases[i].name), sl_slice_str(cases[i].value) },
			{ sl_slice_str(cases[i].more_name), sl_slice_str(cases[i].more_value) },
		};
		struct sl_headers headers = { .items = fields, .count = (size_t)(cases[i].name != NULL) +
			                              (cases[i].more_name != NULL) };
		struct sl_surface_request request =
		    sl_surface_request_of(SL_SLICE("POST"), sl_slice_str(cases[i].path),
		                          sl_slice_str(cases[i].query), &headers, NULL);
		const struct sl_surface_ops *surface = sl_surface_recognise(&request);

		if (strcmp(surface->name, cases[i].surface) != 0)
			fail_msg("case %zu is %s, not %s", i, surface->name, cases[i].surface);
	}
}

/* Each text of a decision is somebody else's word: a provider's, a model's, the caller's,
 * an operator's. */
struct told {
	struct sl_standing     standing;
	struct sl_won_auction  auction;
	struct sl_decision     decision;
};

static void
tell(struct told *told, struct sl_slice text)
{
	told->standing = (struct sl_standing){
		.public_id = text, .key_hint = text, .workspace = text, .model_requested = text,
		.provider_requested = text, .rpm_limit = 1, .tpm_limit = 1, .has_quota = true,
		.quota_window = "monthly",
	};
	told->auction = (struct sl_won_auction){ .agent = text, .category = text };
	told->decision = (struct sl_decision){
		.request_id = SL_SLICE("req_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
		.key_id = text, .provider = text, .model = text,
		.bucket = SL_SLICE("direct"), .category = text, .stack = text, .stack_version = 1,
		.verification = text, .reason = text, .auction = &told->auction,
		.warnings = text, .attempts = 2, .recall = SL_RECALL_MISS, .hedged = true,
		.explain = true, .has_estimate = true, .has_baseline = true, .bought = true,
		.priced = true, .cost_known = true, .cost_nanousd = 1, .upstream_us = 1,
		.standing = &told->standing,
	};
}

static void
check_fields(const struct sl_surface_headers *fields)
{
	for (size_t i = 0; i < fields->count; i++)
		assert_true(sl_header_is_valid(fields->items[i].name, fields->items[i].value));
}

/* Whatever a provider calls its model or itself, each surface's fields stay what they are:
 * valid, and none but the value of that one affected. In answers, trailers and refusals. */
static void
values_forge_nothing(void **state)
{
	static const char *const evil[] = { "a\r\nx-forged: 1", "a\nb", "a\0b", "\x7f", " a", "a\r" };
	static const struct sl_surface_ops *const surfaces[] = {
#define SL_SURFACE(id, prefix) &sl_surface_##id,
#include "model/surfaces.def"
	};
	const struct sl_shape_ops *shape = &sl_shape_openai_chat;
	struct sl_arena arena;

	(void)state;
	sl_arena_init(&arena, 4096, 0);
	for (size_t s = 0; s < sizeof(surfaces) / sizeof(surfaces[0]); s++)
		for (size_t i = 0; i < sizeof(evil) / sizeof(evil[0]); i++) {
			struct sl_slice text = sl_slice_make(evil[i], i == 2 ? 3 : strlen(evil[i]));
			struct told evil_told, plain_told;
			const struct sl_decision *decision = &evil_told.decision;
			struct sl_surface_headers out = { .count = 0 }, safe = { .count = 0 },
			                          refused = { .count = 0 }, behind = { .count = 0 };
			struct sl_fault fault;
			struct sl_buf body;

			tell(&evil_told, text);
			tell(&plain_told, SL_SLICE("plain"));
			surfaces[s]->headers(decision, &arena, &out);
			surfaces[s]->headers(&plain_told.decision, &arena, &safe);
			assert_true(out.count > 0 && out.count <= safe.count);
			check_fields(&out);
			if (surfaces[s]->trailers)
				surfaces[s]->trailers(decision, &arena, &behind);
			check_fields(&behind);
			sl_fault_set(&fault, SL_FAULT_RPM, text);
			fault.limit_kind = "rpm";
			fault.code = fault.param = fault.limit_of = text;
			sl_buf_init(&body, 64 * 1024);
			surfaces[s]->fault(decision, shape, &fault, &arena, &body, &refused);
			check_fields(&refused);
			assert_int_equal(sl_json_validate(sl_buf_slice(&body), NULL, NULL), SL_OK);
			sl_buf_release(&body);
		}
	sl_arena_release(&arena);
}

static void
money_and_ids_are_written(void **state)
{
	struct sl_arena arena;
	struct sl_slice uuid;

	(void)state;
	sl_arena_init(&arena, 256, 0);
	assert_true(sl_slice_is(sl_surface_usd(99000, 6, &arena), "0.000099"));
	assert_true(sl_slice_is(sl_surface_usd(99500, 6, &arena), "0.000100"));
	assert_true(sl_slice_is(sl_surface_usd(99499, 6, &arena), "0.000099"));
	assert_true(sl_slice_is(sl_surface_usd(12345000000, 2, &arena), "12.35"));
	assert_true(sl_slice_is(sl_surface_usd(1, 9, &arena), "0.000000001"));
	assert_true(sl_slice_is(sl_surface_usd(-5, 2, &arena), "0.00"));
	uuid = sl_surface_uuid(SL_SLICE("req_01ARZ3NDEKTSV4RRFFQ69G5FAV"), &arena);
	assert_int_equal(uuid.len, 36);
	/* The ULID is 0x01563e3ab5d3d6764c61efb99302bd5b. */
	assert_true(sl_slice_is(uuid, "01563e3a-b5d3-7676-8c61-efb99302bd5b"));
	sl_arena_release(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_recognised),
		cmocka_unit_test(values_forge_nothing),
		cmocka_unit_test(money_and_ids_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

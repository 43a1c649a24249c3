/* key_policy_test.c - the members of a key: taken, refused with reason and name,
 * shown, and read back from what is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ledger/key_policy.h"

static struct sl_arena arena;
static struct sl_fault fault;
static struct sl_key_policy policy;

static int
set_up(void **state)
{
	(void)state;
	sl_arena_init(&arena, 1024, 0);
	sl_key_policy_init(&policy, SL_SCOPE_KEY);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	sl_arena_release(&arena);
	return 0;
}

static bool
apply(const char *body, enum sl_policy_source source)
{
	struct sl_json_error error;

	assert_int_equal(sl_json_validate(sl_slice_str(body), &sl_json_limits_default, &error),
	                 SL_OK);
	return sl_key_policy_apply(&policy, sl_json_parse(sl_slice_str(body)), source,
	                           1700000000000, &arena, &arena, &fault);
}

static const char *
shown(void)
{
	static char text[8192];
	struct sl_json_writer w;
	struct sl_buf buf;

	sl_buf_init(&buf, sizeof(text) - 1);
	sl_json_writer_init(&w, &buf);
	sl_json_obj(&w);
	sl_key_policy_show(&policy, &w);
	sl_json_obj_end(&w);
	assert_false(buf.failed);
	memcpy(text, buf.ptr, buf.len);
	text[buf.len] = '\0';
	sl_buf_release(&buf);
	return text;
}

static void
everything_is_taken_and_shown(void **state)
{
	(void)state;
	assert_true(apply("{\"name\":\"CI \\u00e9\",\"surface\":\"nexus\",\"team\":\"search\","
	                  "\"workspace\":\"acme\",\"user\":\"u1\","
	                  "\"models\":[\"gpt-4o*\",\"claude-haiku\"],\"rpm\":120,\"tpm\":9000,"
	                  "\"blocked_models\":[\"gpt-4o-audio*\"],\"end_user_rpm\":5,\"alert_percents\":[50,100],"
	                  "\"concurrency\":4,\"expires_at\":\"2027-01-31T12:00:00+02:00\","
	                  "\"on_disconnect\":\"cancel\",\"strict\":true,\"enabled\":false,"
	                  "\"metadata\":{\"a\":[1,2]}}", SL_POLICY_CREATE));
	assert_string_equal(shown(),
	    "{\"name\":\"CI é\",\"surface\":\"nexus\",\"team\":\"search\",\"workspace\":\"acme\","
	    "\"stack\":null,\"user\":\"u1\",\"models\":[\"gpt-4o*\",\"claude-haiku\"],"
	    "\"blocked_models\":[\"gpt-4o-audio*\"],\"providers\":[\"*\"],"
	    "\"blocked_providers\":[],\"rpm\":120,\"tpm\":9000,\"concurrency\":4,"
	    "\"request_budget_usd\":null,\"daily_budget_usd\":null,\"weekly_budget_usd\":null,"
	    "\"monthly_budget_usd\":null,\"total_budget_usd\":null,\"alert_percents\":[50,100],"
	    "\"time_zone\":null,"
	    "\"end_user_rpm\":5,\"end_user_tpm\":null,\"end_user_concurrency\":null,"
	    "\"end_user_daily_budget_usd\":null,\"end_user_monthly_budget_usd\":null,"
	    "\"expires_at\":\"2027-01-31T10:00:00Z\",\"on_disconnect\":\"cancel\","
	    "\"strict\":true,\"enabled\":false,\"metadata\":{\"a\":[1,2]}}");
}

static void
each_level_has_its_own_members(void **state)
{
	static const struct { enum sl_scope_kind level; const char *body; bool taken; } cases[] = {
		{ SL_SCOPE_TEAM, "{\"slug\":\"search\",\"name\":\"Search\",\"workspace\":\"acme\"}", true },
		{ SL_SCOPE_TEAM, "{\"surface\":\"nexus\"}", false },
		{ SL_SCOPE_TEAM, "{\"minimum_balance_usd\":1}", false },
		{ SL_SCOPE_TEAM, "{\"slug\":\"a/b\"}", false },
		{ SL_SCOPE_TEAM, "{\"slug\":\"\"}", false },
		{ SL_SCOPE_WORKSPACE, "{\"slug\":\"acme\",\"minimum_balance_usd\":1.5}", true },
		{ SL_SCOPE_WORKSPACE, "{\"stack\":\"s\"}", true },
		{ SL_SCOPE_WORKSPACE, "{\"workspace\":\"x\"}", false },
		{ SL_SCOPE_KEY, "{\"slug\":\"x\"}", false },
		{ SL_SCOPE_KEY, "{\"prepaid\":true}", false },
		{ SL_SCOPE_KEY, "{\"allowed_providers\":[\"openai\"]}", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		sl_key_policy_init(&policy, cases[i].level);
		if (apply(cases[i].body, SL_POLICY_CREATE) != cases[i].taken)
			fail_msg("%s", cases[i].body);
	}
	sl_key_policy_init(&policy, SL_SCOPE_WORKSPACE);
	assert_true(apply("{\"slug\":\"acme\"}", SL_POLICY_CREATE));
	assert_false(apply("{\"slug\":\"other\"}", SL_POLICY_PATCH));
	sl_key_policy_init(&policy, SL_SCOPE_TEAM);
	assert_false(apply("{\"colour\":1}", SL_POLICY_CREATE));
	assert_true(sl_slice_search(fault.message, SL_SLICE("A team has: slug, name, workspace,")) > 0);
}

static void
budgets_go_by_the_calendar_of_their_zone(void **state)
{
	(void)state;
	assert_true(apply("{\"time_zone\":\"Europe/Berlin\"}", SL_POLICY_CREATE));
	assert_int_equal(sl_zone_offset_s(policy.limits.money.zone, 1750000000), 7200);
	assert_ptr_equal(policy.end_user.money.zone, policy.limits.money.zone);
	assert_true(apply("{\"time_zone\":\"-03:30\"}", SL_POLICY_PATCH));
	assert_int_equal(sl_zone_offset_s(policy.limits.money.zone, 0), -12600);
	assert_false(apply("{\"time_zone\":\"Moon/Crater\"}", SL_POLICY_PATCH));
	assert_true(apply("{\"time_zone\":null}", SL_POLICY_PATCH));
	assert_null(policy.limits.money.zone);
}

static void
what_is_shown_reads_back_the_same(void **state)
{
	char before[8192];

	(void)state;
	assert_true(apply("{\"name\":\"n\",\"stack\":\"s\",\"tpm\":5,\"monthly_budget_usd\":0.1,"
	                  "\"daily_budget_usd\":0,\"total_budget_usd\":12.000000001,"
	                  "\"models\":[\"a\"],\"strict\":true,\"from_the_future\":1}",
	                  SL_POLICY_STORED));
	assert_int_equal(policy.limits.money.window[SL_WINDOW_MONTH], 100000000);
	assert_int_equal(policy.limits.money.window[SL_WINDOW_DAY], 0);
	assert_int_equal(policy.limits.money.window[SL_WINDOW_TOTAL], 12000000001);
	strcpy(before, shown());
	sl_key_policy_init(&policy, SL_SCOPE_KEY);
	assert_true(apply(before, SL_POLICY_STORED));
	assert_string_equal(shown(), before);
}

static void
nothing_given_is_no_limit(void **state)
{
	(void)state;
	assert_true(apply("{}", SL_POLICY_CREATE));
	assert_null(strstr(shown(), "0"));
	assert_non_null(strstr(shown(), "{\"name\":null,\"surface\":\"gateway\",\"team\":null,"));
	assert_non_null(strstr(shown(), "\"models\":[\"*\"],\"blocked_models\":[],"));
	assert_non_null(strstr(shown(), "\"on_disconnect\":\"drain\",\"strict\":false,"
	                                "\"enabled\":true,\"metadata\":{}}"));
	assert_false(sl_money_limits_set(&policy.limits.money));
	assert_false(sl_money_limits_set(&policy.end_user.money));
}

static void
names_of_other_gateways_are_taken(void **state)
{
	(void)state;
	assert_true(apply("{\"team_id\":\"t\",\"rpm_limit\":3,\"is_active\":false,"
	                  "\"user_id\":\"u\",\"max_budget\":null,\"expires_at\":1800000000}",
	                  SL_POLICY_CREATE));
	assert_true(sl_slice_is(policy.team, "t"));
	assert_true(sl_slice_is(policy.user, "u"));
	assert_int_equal(policy.limits.rpm, 3);
	assert_true(policy.disabled);
	assert_int_equal(policy.expires_wall_ms, 1800000000000);
}

static void
null_restores_a_default(void **state)
{
	(void)state;
	assert_true(apply("{\"rpm\":3,\"team\":\"t\",\"models\":[\"a\"],\"enabled\":false,"
	                  "\"concurrency\":3,\"metadata\":{\"a\":1}}", SL_POLICY_CREATE));
	assert_true(apply("{\"concurrency\":0,\"tpm\":0}", SL_POLICY_PATCH));
	assert_int_equal(policy.limits.concurrency, 0);
	assert_true(apply("{\"rpm\":null,\"team\":null,\"models\":null,\"enabled\":null,"
	                  "\"metadata\":null}", SL_POLICY_PATCH));
	assert_int_equal(policy.limits.rpm, 0);
	assert_int_equal(policy.team.len, 0);
	assert_int_equal(policy.models.count, 0);
	assert_false(policy.disabled);
	assert_int_equal(policy.metadata_json.len, 0);
}

static void
refusals_name_the_member_and_the_remedy(void **state)
{
	static const struct {
		const char *body, *param, *code, *says;
	} cases[] = {
		{ "{\"rmp\":1}", "rmp", "unknown_field", "Did you mean \"rpm\"?" },
		{ "{\"modles\":[]}", "modles", "unknown_field", "Did you mean \"models\"?" },
		{ "{\"colour\":1}", "colour", "unknown_field", "A key has: name" },
		{ "{\"id\":\"vk_1\"}", "id", "read_only", "leave it out" },
		{ "{\"rpm\":\"5\"}", "rpm", "invalid_type", "not string" },
		{ "{\"rpm\":\"0\"}", "rpm", "invalid_type", "whole number" },
		{ "{\"rpm\":1.5}", "rpm", "invalid_value", "whole number" },
		{ "{\"rpm\":-1}", "rpm", "invalid_value", "from 1" },
		{ "{\"rpm\":1e300}", "rpm", "invalid_value", "from 1" },
		{ "{\"rpm\":1,\"rpm\":2}", "rpm", "duplicate_field", "twice" },
		{ "{\"rpm\":1,\"rpm_limit\":2}", "rpm", "duplicate_field", "twice" },
		{ "{\"models\":[]}", "models", "invalid_value", "null allows all" },
		{ "{\"models\":\"a\"}", "models", "invalid_type", "list" },
		{ "{\"models\":[1]}", "models", "invalid_type", "strings" },
		{ "{\"models\":[\"a*b\"]}", "models", "invalid_value", "end" },
		{ "{\"surface\":\"gatway\"}", "surface", "invalid_value", "nexus" },
		{ "{\"expires_at\":\"tomorrow\"}", "expires_at", "invalid_value", "2027-01-31" },
		{ "{\"expires_at\":1600000000}", "expires_at", "invalid_value", "future" },
		{ "{\"on_disconnect\":\"stop\"}", "on_disconnect", "invalid_value", "drain" },
		{ "{\"strict\":\"yes\"}", "strict", "invalid_type", "true or false" },
		{ "{\"name\":\"a\\u0000b\"}", "name", "invalid_value", "control" },
		{ "{\"name\":5}", "name", "invalid_type", "a string, not number" },
		{ "{\"metadata\":[]}", "metadata", "invalid_type", "an object" },
		{ "{\"alert_percents\":[0]}", "alert_percents", "invalid_value", "from 1" },
		{ "{\"alert_percents\":80}", "alert_percents", "invalid_type", "list" },
		{ "{\"tpm\":-1}", "tpm", "invalid_value", "from 1" },
		{ "{\"monthly_budget_usd\":-5}", "monthly_budget_usd", "invalid_value", "0 or more" },
		{ "{\"daily_budget_usd\":\"5\"}", "daily_budget_usd", "invalid_type", "dollars" },
		{ "{\"max_budget\":1e-10}", "total_budget_usd", "invalid_value", "nine" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (apply(cases[i].body, SL_POLICY_CREATE))
			fail_msg("taken: %s", cases[i].body);
		assert_int_equal(sl_fault_status(&fault), 400);
		if (!sl_slice_is(fault.param, cases[i].param) ||
		    !sl_slice_is(sl_fault_code(&fault), cases[i].code) ||
		    sl_slice_search(fault.message, sl_slice_str(cases[i].says)) < 0)
			fail_msg("%s: %.*s %.*s %.*s", cases[i].body, SL_ARG(fault.param),
			         SL_ARG(sl_fault_code(&fault)), SL_ARG(fault.message));
		sl_key_policy_init(&policy, SL_SCOPE_KEY);
	}
	assert_false(apply("[]", SL_POLICY_CREATE));
	assert_false(apply("{\"surface\":\"nexus\"}", SL_POLICY_PATCH));
	sl_key_policy_init(&policy, SL_SCOPE_KEY);
	assert_true(apply("{\"surface\":\"gateway\"}", SL_POLICY_PATCH));
}

static bool
goes(const char *requested, const char *provider, const char *model)
{
	return sl_key_policy_allows(&policy, sl_slice_str(requested), sl_slice_str(provider),
	                            sl_slice_str(model));
}

static bool
named(const char *requested)
{
	return goes(requested, "", "");
}

static void
models_match_exactly_or_by_prefix(void **state)
{
	(void)state;
	assert_true(named("anything"));
	assert_true(apply("{\"models\":[\"gpt-4o\",\"anthropic/*\"]}", SL_POLICY_CREATE));
	assert_true(named("gpt-4o"));
	assert_false(named("gpt-4o-mini"));
	assert_false(named("gpt-4"));
	assert_true(named("anthropic/x"));
	assert_false(named("anthropic"));
	assert_true(goes("alias", "anthropic", "x"));
	assert_true(goes("gpt-4o", "azure", "x"));
	assert_false(goes("alias", "anthropics", "x"));
	assert_true(apply("{\"models\":[\"a\",\"*\"]}", SL_POLICY_PATCH));
	assert_true(named("anything"));
}

static void
what_is_blocked_is_blocked_under_every_name(void **state)
{
	(void)state;
	assert_true(apply("{\"blocked_models\":[\"gpt-4o\",\"azure/*\",\"o1*\"],"
	                  "\"blocked_providers\":[\"shady*\"]}", SL_POLICY_CREATE));
	assert_false(goes("gpt-4o", "openai", "gpt-4o"));
	assert_false(goes("alias", "openai", "gpt-4o"));
	assert_false(goes("openai/gpt-4o", "openai", "gpt-4o"));
	assert_false(goes("alias", "azure", "x"));
	assert_false(goes("alias", "openai", "o1-mini"));
	assert_false(goes("alias", "shady-2", "x"));
	assert_true(goes("alias", "openai", "gpt-4o-mini"));
	assert_false(named("gpt-4o"));
	assert_true(named("alias"));
	assert_true(apply("{\"blocked_models\":[],\"blocked_providers\":null,"
	                  "\"providers\":[\"openai\",\"local*\"]}", SL_POLICY_PATCH));
	assert_true(goes("gpt-4o", "openai", "gpt-4o"));
	assert_true(goes("gpt-4o", "local-2", "x"));
	assert_false(goes("gpt-4o", "openai-b", "gpt-4o"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(everything_is_taken_and_shown),
		TEST(what_is_shown_reads_back_the_same),
		TEST(nothing_given_is_no_limit),
		TEST(names_of_other_gateways_are_taken),
		TEST(null_restores_a_default),
		TEST(refusals_name_the_member_and_the_remedy),
		TEST(models_match_exactly_or_by_prefix),
		TEST(what_is_blocked_is_blocked_under_every_name),
		TEST(each_level_has_its_own_members),
		TEST(budgets_go_by_the_calendar_of_their_zone),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

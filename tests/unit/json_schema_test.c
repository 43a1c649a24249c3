/* json_schema_test.c - documents that fit a schema, and what does not in those that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/json_schema.h"

static bool
fits(const char *schema, const char *value)
{
	return sl_json_schema_check(sl_json_parse(sl_slice_str(schema)),
	                            sl_json_parse(sl_slice_str(value))) == NULL;
}

static void
cases(void **state)
{
	static const struct {
		const char *schema, *good[4], *bad[6];
	} all[] = {
		{ "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"integer\"}},"
		  "\"additionalProperties\":false}",
		  { "{\"a\":1}", "{\"a\":1.0}" },
		  { "{}", "{\"a\":\"1\"}", "{\"a\":1.5}", "{\"a\":1,\"b\":2}", "[]" } },
		{ "{\"type\":[\"string\",\"null\"]}", { "\"x\"", "null" }, { "1", "true", "[]" } },
		{ "{\"type\":\"STRING\",\"nullable\":true}", { "\"x\"", "null" }, { "1" } },
		{ "{\"enum\":[\"a\",1,null]}", { "\"a\"", "1.0", "null" }, { "\"b\"", "2", "false" } },
		{ "{\"const\":3}", { "3", "3e0" }, { "4", "\"3\"" } },
		{ "{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"minItems\":1,\"maxItems\":2}",
		  { "[true]", "[true,false]" }, { "[]", "[true,true,true]", "[1]" } },
		{ "{\"prefixItems\":[{\"type\":\"string\"}],\"items\":false}",
		  { "[\"a\"]", "[]" }, { "[1]", "[\"a\",1]" } },
		{ "{\"minimum\":0,\"exclusiveMaximum\":1}", { "0", "0.5", "\"text\"" },
		  { "-1", "1", "2" } },
		{ "{\"minLength\":2,\"maxLength\":3}", { "\"ab\"", "\"\\u00e4\\n\"", "\"äöü\"" },
		  { "\"a\"", "\"abcd\"" } },
		{ "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}", { "\"a\"", "1" },
		  { "1.5", "null" } },
		{ "{\"allOf\":[{\"minimum\":1},{\"maximum\":3}]}", { "2" }, { "0", "4" } },
		{ "{\"$ref\":\"#/$defs/node\",\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":"
		  "{\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/node\"},{\"type\":\"null\"}]}},"
		  "\"required\":[\"next\"]}}}",
		  { "{\"next\":null}", "{\"next\":{\"next\":null}}" },
		  { "{}", "{\"next\":{}}", "{\"next\":1}" } },
		{ "true", { "1", "{}" }, { NULL } },
		{ "{\"pattern\":\"not looked at\"}", { "\"x\"" }, { NULL } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		for (size_t k = 0; k < 4 && all[i].good[k]; k++)
			if (!fits(all[i].schema, all[i].good[k]))
				fail_msg("%s does not fit %s", all[i].good[k], all[i].schema);
		for (size_t k = 0; k < 6 && all[i].bad[k]; k++)
			if (fits(all[i].schema, all[i].bad[k]))
				fail_msg("%s fits %s", all[i].bad[k], all[i].schema);
	}
}

/* A schema comes from a caller: neither depth nor branching may take long. */
static void
hostile(void **state)
{
	static const char loop[] = "{\"$ref\":\"#\"}";
	static const char bush[] =
	    "{\"$defs\":{\"x\":{\"allOf\":[{\"$ref\":\"#/$defs/x\"},{\"$ref\":\"#/$defs/x\"}]}},"
	    "\"$ref\":\"#/$defs/x\"}";

	(void)state;
	assert_true(fits(loop, "1"));
	assert_true(fits(bush, "1"));
	assert_true(fits("{\"$ref\":\"#/nowhere\"}", "1"));
	assert_true(fits("{\"$ref\":\"https://example.com/x\"}", "1"));
	assert_true(fits("{\"$ref\":\"\"}", "1"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cases),
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

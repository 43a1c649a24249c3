/* What `auto` is offered by a catalogue: current chat models, in turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "routing/offers.h"

#define S(text) { text, sizeof(text) - 1 }
#define HEAD "provider,model,name,context,max_output,input,output,capabilities,released,priced,prices,long_context\n"

static struct sl_arena arena;
static struct sl_offers offers;

static void
make(const char *rows, struct sl_config_provider *providers, size_t count, const bool *own_names)
{
	struct sl_config config = { .providers = providers, .provider_count = count };
	struct sl_catalog_error error;
	struct sl_catalog *catalog = sl_catalog_parse(sl_slice_str(rows), &arena, &error);

	assert_non_null(catalog);
	assert_true(sl_offers_make(&config, catalog, own_names, &arena, &offers));
}

static int
setup(void **state)
{
	(void)state;
	sl_arena_init(&arena, 4096, 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	sl_arena_release(&arena);
	return 0;
}

static bool
offered(size_t at, const char *model)
{
	return at < offers.count && sl_slice_is(offers.list[at].card->model, model);
}

static void
only_current_chat_models(void **state)
{
	struct sl_config_provider openai[] = {
		{ .name = S("openai"), .kind = S("openai"), .enabled = true },
	};

	(void)state;
	make(HEAD
	     "openai,*,any,,,text,text,tools,2026-01-01,2026-01-01,input=1 output=1,\n"
	     "openai,old,,9,9,text,text,tools,2020-01-01,2026-01-01,input=1 output=1,\n"
	     "openai,talk,,9,9,text image,text,tools,2026-01-01,2026-01-01,input=1 output=1,\n"
	     "openai,talk-2026-01-01,,9,9,text,text,tools,2026-01-01,2026-01-01,input=1 output=1,\n"
	     "openai,talk-codex,,9,9,text,text,tools,2026-01-01,2026-01-01,input=1 output=1,\n"
	     "openai,no-tools,,9,9,text,text,,2026-01-01,2026-01-01,input=1 output=1,\n"
	     "openai,no-price,,9,9,text,text,tools,2026-01-01,2026-01-01,,\n"
	     "openai,absurd,,9,9,text,text,tools,2026-01-01,2026-01-01,input=1 output=600,\n"
	     "openai,embed,,9,9,text,embedding,tools,2026-01-01,2026-01-01,input=1 output=1,\n"
	     "openai,speak,,9,9,text,text audio,tools,2026-01-01,2026-01-01,input=1 output=1,\n"
	     "openai,undated,,,,text,text,,,2026-01-01,input=1 output=1,\n"
	     "mistral,other,,9,9,text,text,tools,2026-01-01,2026-01-01,input=1 output=1,\n",
	     openai, 1, NULL);
	assert_int_equal(offers.count, 1);
	assert_true(offered(0, "talk"));
}

static void
in_turns_of_providers_and_tiers(void **state)
{
	struct sl_config_provider both[] = {
		{ .name = S("a"), .kind = S("openai"), .enabled = true },
		{ .name = S("b"), .kind = S("mistral"), .enabled = true },
		{ .name = S("off"), .kind = S("openai"), .enabled = false },
	};
	const bool own_names[] = { false, true, false };
	const char *rows = HEAD
	    "mistral,m,,9,9,text,text,tools,2026-01-01,2026-01-01,input=1 output=3,\n"
	    "openai,big,,9,9,text,text,tools,2026-01-01,2026-01-01,input=1 output=20,\n"
	    "openai,small-1,,9,9,text,text,tools,2025-10-01,2026-01-01,input=1 output=1,\n"
	    "openai,small-2,,9,9,text,text,tools,2026-01-01,2026-01-01,input=1 output=1,\n";

	(void)state;
	make(rows, both, 3, NULL);
	assert_int_equal(offers.count, 4);
	assert_true(offered(0, "small-2") && offered(1, "big") && offered(2, "m") &&
	            offered(3, "small-1"));
	assert_int_equal(offers.list[0].tier, SL_BUCKET_SIMPLE);
	assert_int_equal(offers.list[2].tier, SL_BUCKET_MEDIUM);
	assert_int_equal(offers.list[2].provider, 1);
	make(rows, both, 3, own_names);
	assert_int_equal(offers.count, 3);
}

static void
of_the_built_in_catalogue(void **state)
{
	struct sl_config_provider all[] = {
		{ .name = S("openai"), .kind = S("openai"), .enabled = true },
		{ .name = S("anthropic"), .kind = S("anthropic"), .enabled = true },
		{ .name = S("gemini"), .kind = S("gemini"), .enabled = true },
		{ .name = S("mistral"), .kind = S("mistral"), .enabled = true },
		{ .name = S("groq"), .kind = S("groq"), .enabled = true },
		{ .name = S("mock"), .kind = S("mock"), .enabled = true },
		{ .name = S("nobody"), .kind = S("ollama"), .enabled = true },
	};
	struct sl_catalog_error error;
	struct sl_catalog *catalog =
	    sl_catalog_parse(sl_catalog_builtin_text(), &arena, &error);

	(void)state;
	assert_non_null(catalog);
	for (size_t p = 0; p < sizeof(all) / sizeof(all[0]); p++) {
		struct sl_config config = { .providers = &all[p], .provider_count = 1 };

		assert_true(sl_offers_make(&config, catalog, NULL, &arena, &offers));
		assert_true((offers.count > 0) == !sl_slice_is(all[p].name, "nobody"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_current_chat_models, setup, teardown),
		cmocka_unit_test_setup_teardown(in_turns_of_providers_and_tiers, setup, teardown),
		cmocka_unit_test_setup_teardown(of_the_built_in_catalogue, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

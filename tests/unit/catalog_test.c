/* catalog_test.c - the catalogue file, its mistakes, look-ups and overrides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "model/catalog.h"
#include "providers/provider.h"

#define HEAD                                                                  \
	"provider,model,name,context,max_output,input,output,capabilities,"   \
	"released,priced,prices,long_context\n"

static int
open_arena(void **state)
{
	struct sl_arena *arena = test_malloc(sizeof(*arena));

	sl_arena_init(arena, 4096, 0);
	*state = arena;
	return 0;
}

static int
close_arena(void **state)
{
	sl_arena_release(*state);
	test_free(*state);
	return 0;
}

static struct sl_catalog *
parse(struct sl_arena *arena, const char *text)
{
	struct sl_catalog_error error = { 0, 0, "" };
	struct sl_catalog *catalog = sl_catalog_parse(sl_slice_str(text), arena, &error);

	if (!catalog)
		print_error("%u:%u: %s\n", error.line, error.column, error.reason);
	return catalog;
}

static void
the_file_in_the_tree_is_good(void **state)
{
	struct sl_catalog_error error = { 0, 0, NULL };
	struct sl_catalog *catalog = sl_catalog_parse(sl_catalog_builtin_text(), *state, &error);
	struct sl_slice before = SL_SLICE_NONE;

	if (!catalog)
		fail_msg("%u:%u: %s", error.line, error.column, error.reason);
	assert_true(sl_catalog_count(catalog) > 500);
	for (size_t i = 0; i < sl_catalog_count(catalog); i++) {
		const struct sl_model_card *card = sl_catalog_at(catalog, i);

		/* Rows belong to kinds that exist, in their order, and a row with
		 * prices says of when they are. */
		if (!sl_slice_eq(card->provider, before)) {
			assert_non_null(sl_provider_kind_find(card->provider));
			before = card->provider;
		}
		assert_true(!card->price.present || card->price_date.len == 10);
		assert_true(card->input_modalities && card->output_modalities);
	}
	assert_null(sl_catalog_at(catalog, sl_catalog_count(catalog)));
}

static void
first_party_models_are_there_with_prices(void **state)
{
	static const char *const known[][2] = {
		{ "openai", "gpt-4o-mini" }, { "openai", "text-embedding-3-small" },
		{ "azure", "gpt-4o" }, { "anthropic", "claude-sonnet-4-5" },
		{ "anthropic", "claude-haiku-4-5-20251001" }, { "gemini", "gemini-2.5-flash" },
		{ "gemini", "gemini-embedding-001" }, { "mistral", "mistral-small-latest" },
		{ "deepseek", "deepseek-chat" }, { "xai", "grok-4.3" },
		{ "groq", "llama-3.1-8b-instant" }, { "moonshot", "kimi-k2.6" },
		{ "zhipu", "glm-4.6" }, { "glm", "glm-4.6" }, { "perplexity", "sonar" },
		{ "cohere", "command-a-03-2025" }, { "cerebras", "gpt-oss-120b" },
	};
	struct sl_catalog *catalog = sl_catalog_parse(sl_catalog_builtin_text(), *state, NULL);

	assert_non_null(catalog);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const struct sl_model_card *card = sl_catalog_find(
		    catalog, sl_slice_str(known[i][0]), sl_slice_str(known[i][1]));

		if (!card || !card->price.present)
			fail_msg("%s/%s", known[i][0], known[i][1]);
	}
}

static void
a_row_is_read_whole(void **state)
{
	struct sl_catalog *catalog = parse(*state,
	    "# a comment\n\n" HEAD
	    "p,m,\"A \"\"big\"\", model\",1000,100,text image pdf,text embedding,"
	    "tools reasoning json_schema temperature open_weights,2025-01-02,2026-07-02,"
	    "input=2.5 output=10 web_search_1k=10 audio_minute=0.006 image=0.04,"
	    ">200000 input=5 output=20; >1000000 input=7.123456789\r\n");
	const struct sl_model_card *card;

	assert_non_null(catalog);
	card = sl_catalog_find(catalog, SL_SLICE("p"), SL_SLICE("m"));
	assert_non_null(card);
	assert_true(sl_slice_is(card->name, "A \"big\", model"));
	assert_int_equal(card->context_tokens, 1000);
	assert_int_equal(card->max_output_tokens, 100);
	assert_int_equal(card->input_modalities,
	                 SL_MODALITY_TEXT | SL_MODALITY_IMAGE | SL_MODALITY_PDF);
	assert_int_equal(card->output_modalities, SL_MODALITY_TEXT | SL_MODALITY_EMBEDDING);
	assert_int_equal(card->capabilities, 31);
	assert_true(card->price.nanousd[SL_USAGE_INPUT] == 2500000000);
	assert_true(card->price.nanousd[SL_USAGE_WEB_SEARCH] == 10000000000000);
	assert_true(card->price.nanousd[SL_USAGE_AUDIO_MS] == 100000000);
	assert_true(card->price.nanousd[SL_USAGE_IMAGES] == 40000000000000);
	assert_int_equal(card->tier_count, 2);
	assert_int_equal(card->tiers[0].from_input_tokens, 200001);
	assert_true(card->tiers[1].price.nanousd[SL_USAGE_INPUT] == 7123456789);
	assert_true(sl_slice_is(card->price_date, "2026-07-02"));
}

static void
a_mistake_is_named_with_its_place(void **state)
{
	static const struct {
		const char *text;
		uint32_t    line, column;
	} wrong[] = {
		{ "", 1, 1 },
		{ "# only a comment\n", 1, 1 },
		{ "provider,model\n", 1, 15 },
		{ HEAD "p,m,n\n", 2, 6 },
		{ HEAD "p,m,n,,,text,text,,,,,,\n", 2, 23 },
		{ HEAD ",m,n,,,text,text,,,,,\n", 2, 1 },
		{ HEAD "p,m,n,big,,text,text,,,,,\n", 2, 7 },
		{ HEAD "p,m,n,-1,,text,text,,,,,\n", 2, 7 },
		{ HEAD "p,m,n,,,text smell,text,,,,,\n", 2, 14 },
		{ HEAD "p,m,n,,,text,text,,2025-1-2,,,\n", 2, 20 },
		{ HEAD "p,m,n,,,text,text,,,,input=x,\n", 2, 22 },
		{ HEAD "p,m,n,,,text,text,,,,input=1.0000000001,\n", 2, 22 },
		{ HEAD "p,m,n,,,text,text,,,,input=-1,\n", 2, 22 },
		{ HEAD "p,m,n,,,text,text,,,,input=1e3,\n", 2, 22 },
		{ HEAD "p,m,n,,,text,text,,,,input=1.,\n", 2, 22 },
		{ HEAD "p,m,n,,,text,text,,,,input=9999999,\n", 2, 22 },
		{ HEAD "p,m,n,,,text,text,,,,smell=1,\n", 2, 22 },
		{ HEAD "p,m,n,,,text,text,,,,input=1 input=2,\n", 2, 30 },
		{ HEAD "p,m,n,,,text,text,,,,,200 input=1\n", 2, 23 },
		{ HEAD "p,m,n,,,text,text,,,,,>200 input=1; >200 input=2\n", 2, 37 },
		{ HEAD "p,m,\"n,,,text,text,,,,,\n", 2, 5 },
		{ HEAD "p,m,n,,,text,text,,,,,\n\np,m,n,,,text,text,,,,,\n", 4, 1 },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct sl_catalog_error error = { 0, 0, NULL };

		assert_null(sl_catalog_parse(sl_slice_str(wrong[i].text), *state, &error));
		assert_non_null(error.reason);
		if (error.line != wrong[i].line || error.column != wrong[i].column)
			fail_msg("case %zu: %u:%u %s", i, error.line, error.column, error.reason);
	}
}

static void
dates_and_latest_fall_back(void **state)
{
	struct sl_catalog *catalog = parse(*state, HEAD
	    "p,claude-x,n,,,text,text,,,,,\n"
	    "p,claude-x-20250101,n,,,text,text,,,,,\n"
	    "q,claude-x,n,,,text,text,,,,,\n");
	static const struct {
		const char *asked, *got;
	} cases[] = {
		{ "claude-x", "claude-x" }, { "claude-x-20250101", "claude-x-20250101" },
		{ "claude-x-20260909", "claude-x" }, { "claude-x@20260909", "claude-x" },
		{ "claude-x-2026-09-09", "claude-x" }, { "claude-x-latest", "claude-x" },
		{ "claude-x-2026-09-9a", NULL }, { "claude-x-2026", NULL }, { "-latest", NULL },
		{ "", NULL }, { "-20250101", NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct sl_model_card *card =
		    sl_catalog_find(catalog, SL_SLICE("p"), sl_slice_str(cases[i].asked));

		if (!cases[i].got)
			assert_null(card);
		else
			assert_true(card && sl_slice_is(card->model, cases[i].got));
	}
	assert_null(sl_catalog_find(catalog, SL_SLICE("r"), SL_SLICE("claude-x")));
}

static void
overrides_replace_the_list(void **state)
{
	struct sl_catalog *catalog = parse(*state, HEAD
	    "p,m,n,500,,text,text,tools,,2026-07-02,input=1 output=2 cache_read=0.1,"
	    ">10 input=3\n");
	struct sl_slice p = SL_SLICE("p");
	const struct sl_model_card *card = sl_catalog_find(catalog, p, SL_SLICE("m"));
	char name[16];

	assert_int_equal(sl_catalog_override(catalog, *state, p, SL_SLICE("m"),
	                                     SL_SLICE("{\"input\":0.5,\"output\":0}")), SL_OK);
	assert_ptr_equal(card, sl_catalog_find(catalog, p, SL_SLICE("m")));
	assert_true(card->price.nanousd[SL_USAGE_INPUT] == 500000000);
	assert_int_equal(card->price.present, 1u << SL_USAGE_INPUT | 1u << SL_USAGE_OUTPUT);
	assert_int_equal(card->tier_count, 0);
	assert_true(sl_slice_starts(card->price_date, SL_SLICE("configured-")));
	assert_int_equal(card->price_date.len, strlen("configured-123456789"));

	/* A new card takes the facts of the model it is a version of. */
	assert_int_equal(sl_catalog_override(catalog, *state, p, SL_SLICE("m-20260101"),
	                                     SL_SLICE("{\"input\":9}")), SL_OK);
	card = sl_catalog_find(catalog, p, SL_SLICE("m-20260101"));
	assert_int_equal(card->context_tokens, 500);
	assert_true(sl_slice_is(card->model, "m-20260101"));
	/* Many: the table grows and old cards stay. */
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "new-%d", i);
		assert_int_equal(sl_catalog_override(catalog, *state, p, sl_slice_str(name),
		                                     SL_SLICE("{\"input\":1}")), SL_OK);
	}
	assert_int_equal(sl_catalog_count(catalog), 3002);
	assert_ptr_equal(card, sl_catalog_find(catalog, p, SL_SLICE("m-20260101")));
	assert_non_null(sl_catalog_find(catalog, p, SL_SLICE("new-2999")));

	assert_int_equal(sl_catalog_override(catalog, *state, p, SL_SLICE("m"), SL_SLICE("{")),
	                 SL_ESYNTAX);
	assert_int_equal(sl_catalog_override(catalog, *state, p, SL_SLICE("m"), SL_SLICE("[]")),
	                 SL_ETYPE);
	assert_int_equal(sl_catalog_override(catalog, *state, p, SL_SLICE("m"),
	                                     SL_SLICE("{\"input\":-1}")), SL_ESYNTAX);
	assert_int_equal(sl_catalog_override(catalog, *state, p, SL_SLICE("m"),
	                                     SL_SLICE("{\"in\":1}")), SL_ENOTFOUND);
}

/* Holds name the price list by it. */
static void
a_price_date_has_a_number(void **state)
{
	(void)state;
	assert_int_equal(sl_catalog_version(SL_SLICE("2026-07-02")), 20260702);
	assert_int_equal(sl_catalog_version(SL_SLICE("configured-123456789")), 123456789);
	assert_int_equal(sl_catalog_version(SL_SLICE_NONE), 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_arena, close_arena)
	const struct CMUnitTest tests[] = {
		T(the_file_in_the_tree_is_good),
		T(first_party_models_are_there_with_prices),
		T(a_row_is_read_whole),
		T(a_mistake_is_named_with_its_place),
		T(dates_and_latest_fall_back),
		T(overrides_replace_the_list),
		cmocka_unit_test(a_price_date_has_a_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* price_test.c - costs: parts and totals, tiers, units, rounding, the unknown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/price.h"

static void
price(struct sl_price *list, const char *name, const char *usd)
{
	int64_t nanousd;

	assert_true(sl_price_parse_usd(sl_slice_str(usd), &nanousd));
	assert_int_equal(sl_price_set(list, sl_slice_str(name), nanousd), SL_OK);
}

static struct sl_model_card
sonnet(void)
{
	static struct sl_price_tier tiers[1];
	struct sl_model_card card = { .tiers = tiers, .tier_count = 1 };

	price(&card.price, "input", "3");
	price(&card.price, "output", "15");
	price(&card.price, "cache_read", "0.3");
	price(&card.price, "cache_write", "3.75");
	price(&card.price, "cache_write_1h", "6");
	card.tiers[0].from_input_tokens = 200001;
	price(&card.tiers[0].price, "input", "6");
	price(&card.tiers[0].price, "output", "22.5");
	return card;
}

static int64_t
cost(const struct sl_model_card *card, const struct sl_usage *usage)
{
	int64_t nanousd = -1;

	assert_true(sl_price_cost(card, usage, &nanousd));
	return nanousd;
}

static void
parts_are_taken_out_of_totals(void **state)
{
	struct sl_model_card card = sonnet();
	struct sl_usage usage = { 0 };

	(void)state;
	sl_usage_set(&usage, SL_USAGE_INPUT, 10000);
	sl_usage_set(&usage, SL_USAGE_OUTPUT, 1000);
	assert_true(cost(&card, &usage) == 30000000 + 15000000);
	sl_usage_set(&usage, SL_USAGE_CACHE_READ, 4000);
	sl_usage_set(&usage, SL_USAGE_CACHE_WRITE, 3000);
	sl_usage_set(&usage, SL_USAGE_CACHE_WRITE_1H, 1000);
	/* 3000 fresh, 4000 read, 2000 written for 5 minutes, 1000 for an hour */
	assert_true(cost(&card, &usage) ==
	            3000 * 3000 + 4000 * 300 + 2000 * 3750 + 1000 * 6000 + 15000000);
	/* Reasoning has no price of its own: it is output. */
	sl_usage_set(&usage, SL_USAGE_REASONING, 900);
	assert_true(cost(&card, &usage) ==
	            3000 * 3000 + 4000 * 300 + 2000 * 3750 + 1000 * 6000 + 15000000);
	price(&card.price, "reasoning", "20");
	assert_true(cost(&card, &usage) == 3000 * 3000 + 4000 * 300 + 2000 * 3750 +
	                                       1000 * 6000 + 100 * 15000 + 900 * 20000);
}

static void
a_part_without_a_price_costs_what_its_total_costs(void **state)
{
	struct sl_model_card card = { 0 };
	struct sl_usage usage = { 0 };

	(void)state;
	price(&card.price, "input", "1");
	price(&card.price, "cache_write_1h", "2");
	sl_usage_set(&usage, SL_USAGE_INPUT, 100);
	sl_usage_set(&usage, SL_USAGE_CACHE_WRITE, 60);
	sl_usage_set(&usage, SL_USAGE_CACHE_WRITE_1H, 10);
	assert_true(cost(&card, &usage) == 90 * 1000 + 10 * 2000);
	/* Parts beyond the total do not make it negative. */
	sl_usage_set(&usage, SL_USAGE_CACHE_WRITE_1H, 200);
	assert_true(cost(&card, &usage) == 200 * 2000);
}

static void
long_contexts_change_the_list(void **state)
{
	struct sl_model_card card = sonnet();
	struct sl_usage usage = { 0 };

	(void)state;
	sl_usage_set(&usage, SL_USAGE_INPUT, 200000);
	sl_usage_set(&usage, SL_USAGE_OUTPUT, 1);
	assert_true(cost(&card, &usage) == INT64_C(200000) * 3000 + 15000);
	sl_usage_set(&usage, SL_USAGE_INPUT, 200001);
	assert_true(cost(&card, &usage) == INT64_C(200001) * 6000 + 22500);
	/* What the tier does not name stays. */
	sl_usage_set(&usage, SL_USAGE_CACHE_READ, 1);
	assert_true(cost(&card, &usage) == INT64_C(200000) * 6000 + 300 + 22500);
}

static void
unknown_is_not_zero(void **state)
{
	struct sl_model_card card = { 0 };
	struct sl_usage usage = { 0 };
	int64_t nanousd;

	(void)state;
	assert_false(sl_price_cost(&card, &usage, &nanousd)); /* nothing known */
	sl_usage_set(&usage, SL_USAGE_INPUT, 1);
	assert_false(sl_price_cost(NULL, &usage, &nanousd));
	assert_false(sl_price_cost(&card, &usage, &nanousd));
	price(&card.price, "input", "0");
	assert_true(cost(&card, &usage) == 0); /* said to be free */
	sl_usage_set(&usage, SL_USAGE_OUTPUT, 1);
	assert_false(sl_price_cost(&card, &usage, &nanousd));
	sl_usage_set(&usage, SL_USAGE_OUTPUT, 0); /* not used */
	assert_true(cost(&card, &usage) == 0);
	sl_usage_set(&usage, SL_USAGE_WEB_SEARCH, 2);
	assert_false(sl_price_cost(&card, &usage, &nanousd));
	price(&card.price, "web_search_1k", "10");
	assert_true(cost(&card, &usage) == 20000000);
}

static void
media_and_tokens_measure_the_same_thing(void **state)
{
	struct sl_model_card tokens = { 0 }, pictures = { 0 }, neither = { 0 };
	struct sl_usage usage = { 0 };
	int64_t nanousd;

	(void)state;
	price(&tokens.price, "input", "5");
	price(&tokens.price, "output", "40");
	price(&pictures.price, "image", "0.04");
	sl_usage_set(&usage, SL_USAGE_IMAGES, 2);
	assert_true(cost(&pictures, &usage) == 80000000);
	assert_false(sl_price_cost(&tokens, &usage, &nanousd));
	sl_usage_set(&usage, SL_USAGE_INPUT, 100);
	sl_usage_set(&usage, SL_USAGE_OUTPUT, 1000);
	assert_true(cost(&tokens, &usage) == 100 * 5000 + 1000 * 40000);
	assert_true(cost(&pictures, &usage) == 80000000);
	assert_false(sl_price_cost(&neither, &usage, &nanousd));
}

static void
rounding_happens_once(void **state)
{
	struct sl_model_card card = { 0 };
	struct sl_usage usage = { 0 };

	(void)state;
	/* 0.4 nano-dollars per token, twice: 0.8 rounds to 1; each alone to 0. */
	price(&card.price, "input", "0.0004");
	price(&card.price, "output", "0.0004");
	sl_usage_set(&usage, SL_USAGE_INPUT, 1);
	assert_true(cost(&card, &usage) == 0);
	sl_usage_set(&usage, SL_USAGE_OUTPUT, 1);
	assert_true(cost(&card, &usage) == 1);
	sl_usage_set(&usage, SL_USAGE_INPUT, 0);
	price(&card.price, "output", "0.0005");
	assert_true(cost(&card, &usage) == 1); /* half goes up */
}

static void
absurd_figures_do_not_wrap(void **state)
{
	struct sl_model_card card = sonnet();
	struct sl_usage usage = { 0 };
	int64_t nanousd;

	(void)state;
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		sl_usage_set(&usage, (enum sl_usage_class)i, INT64_MAX);
	assert_false(sl_price_cost(&card, &usage, &nanousd));
}

static void
amounts_are_strict(void **state)
{
	static const char *const bad[] = { "", ".", "1.", ".5", "-1", "+1", "1e3", "1 ", "0x1",
		                           "1.0000000000", "1000001", "99999999999999999999" };
	int64_t nanousd;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(sl_price_parse_usd(sl_slice_str(bad[i]), &nanousd));
	assert_true(sl_price_parse_usd(SL_SLICE("0.000000001"), &nanousd));
	assert_true(nanousd == 1);
	assert_true(sl_price_parse_usd(SL_SLICE("1000000"), &nanousd));
	assert_true(nanousd == INT64_C(1000000000000000));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_taken_out_of_totals),
		cmocka_unit_test(a_part_without_a_price_costs_what_its_total_costs),
		cmocka_unit_test(long_contexts_change_the_list),
		cmocka_unit_test(unknown_is_not_zero),
		cmocka_unit_test(media_and_tokens_measure_the_same_thing),
		cmocka_unit_test(rounding_happens_once),
		cmocka_unit_test(absurd_figures_do_not_wrap),
		cmocka_unit_test(amounts_are_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* money_bound_test.c - no usage that a request can cause costs more than its bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ledger/money_bound.h"

static void
price(struct sl_price *list, enum sl_usage_class class_, int64_t nanousd)
{
	list->nanousd[class_] = nanousd;
	list->present |= 1u << class_;
}

static struct sl_model_card
card(void)
{
	static struct sl_price_tier tiers[1];
	struct sl_model_card out = { .context_tokens = 200000, .max_output_tokens = 8192,
		                     .tiers = tiers };

	price(&out.price, SL_USAGE_INPUT, 3000000000);
	price(&out.price, SL_USAGE_CACHE_WRITE_1H, 6000000000);
	price(&out.price, SL_USAGE_CACHE_READ, 300000000);
	price(&out.price, SL_USAGE_OUTPUT, 15000000000);
	out.tier_count = 1;
	out.tiers[0].from_input_tokens = 100000;
	price(&out.tiers[0].price, SL_USAGE_INPUT, 9000000000);
	price(&out.tiers[0].price, SL_USAGE_OUTPUT, 30000000000);
	return out;
}

static void
random_usages_cost_no_more(void **state)
{
	(void)state;
	srandom(11);
	for (int i = 0; i < 200000; i++) {
		struct sl_model_card c = card();
		struct sl_bound_request request = { .body_bytes = random() % 150000,
			                            .max_tokens = random() % 9000, .n = 1 + random() % 3 };
		struct sl_usage usage = { 0 };
		int64_t bound, cost, input = 1 + random() % (request.body_bytes + 900);
		int64_t part = random() % (input + 1), output = random() % (request.max_tokens * request.n + 1);

		assert_int_equal(sl_money_bound(&c, &request, &bound), SL_BOUND_PROVEN);
		sl_usage_set(&usage, SL_USAGE_INPUT, input);
		sl_usage_set(&usage, SL_USAGE_CACHE_WRITE, part);
		sl_usage_set(&usage, SL_USAGE_CACHE_WRITE_1H, random() % (part + 1));
		sl_usage_set(&usage, SL_USAGE_CACHE_READ, random() % (input - part + 1));
		sl_usage_set(&usage, SL_USAGE_OUTPUT, output);
		sl_usage_set(&usage, SL_USAGE_REASONING, random() % (output + 1));
		assert_true(sl_price_cost(&c, &usage, &cost));
		assert_true(cost <= bound);
	}
}

static void
what_cannot_be_bounded_is_named(void **state)
{
	struct sl_bound_request request = { .body_bytes = 100, .max_tokens = -1, .n = 1 };
	struct sl_model_card c = card(), none = { 0 };
	int64_t bound = 0, whole = 0;

	(void)state;
	/* The card's maximum stands in. */
	assert_int_equal(sl_money_bound(&c, &request, &bound), SL_BOUND_PROVEN);
	request.max_tokens = 8192;
	assert_int_equal(sl_money_bound(&c, &request, &whole), SL_BOUND_PROVEN);
	assert_int_equal(bound, whole);
	request.max_tokens = -1;
	c.max_output_tokens = 0;
	assert_int_equal(sl_money_bound(&c, &request, &bound), SL_BOUND_NO_MAX_TOKENS);
	request.max_tokens = 10;
	request.web_searches = -1;
	assert_int_equal(sl_money_bound(&c, &request, &bound), SL_BOUND_TOOLS);
	request.web_searches = 3;
	assert_int_equal(sl_money_bound(&c, &request, &bound), SL_BOUND_NO_PRICE);
	request.web_searches = 0;
	request.media_parts = 1;
	request.media_part_tokens = -1;
	assert_int_equal(sl_money_bound(&c, &request, &bound), SL_BOUND_PROVEN);
	c.context_tokens = 0;
	assert_int_equal(sl_money_bound(&c, &request, &bound), SL_BOUND_MEDIA);
	request.media_parts = 0;
	request.stored_context = true;
	assert_int_equal(sl_money_bound(&c, &request, &bound), SL_BOUND_CONTEXT);
	request.stored_context = false;
	request.max_tokens = INT64_MAX / 2;
	assert_int_equal(sl_money_bound(&c, &request, &bound), SL_BOUND_TOO_LARGE);
	assert_int_equal(sl_money_bound(&none, &request, &bound), SL_BOUND_NO_PRICE);
	assert_int_equal(sl_money_bound(NULL, &request, &bound), SL_BOUND_NO_PRICE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_usages_cost_no_more),
		cmocka_unit_test(what_cannot_be_bounded_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* policy_test.c - the order in which each policy puts deployments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "routing/policy.h"

static struct sl_config_deployment deployments[] = {
	{ .id = SL_SLICE_INIT("0"), .weight = 1 },
	{ .id = SL_SLICE_INIT("1"), .weight = 1 },
	{ .id = SL_SLICE_INIT("2"), .weight = 1 },
	{ .id = SL_SLICE_INIT("3"), .weight = 1 },
};

static void
fill(struct sl_candidate list[4])
{
	for (size_t i = 0; i < 4; i++)
		list[i] = (struct sl_candidate){ .deployment = &deployments[i], .index = i };
}

static void
every_policy_keeps_every_candidate(void **state)
{
	static const char *const names[] = { "weighted", "priority", "round_robin",
		                             "least_latency", "least_busy", "cheapest" };

	(void)state;
	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
		const struct sl_policy_ops *policy = sl_policy_find(sl_slice_str(names[n]));

		assert_non_null(policy);
		assert_true(policy->reason[0] != '\0');
		for (size_t count = 1; count <= 4; count++)
			for (uint64_t i = 0; i < 200; i++) {
				const struct sl_policy_view view = {
					.chance = i * 0x9e3779b97f4a7c15u, .turn = i,
				};
				struct sl_candidate list[4];
				unsigned seen = 0;

				fill(list);
				policy->rank(&view, list, count);
				for (size_t k = 0; k < count; k++)
					seen |= 1u << list[k].index;
				assert_int_equal(seen, (1u << count) - 1);
			}
	}
}

static void
latency_draws_two_and_takes_the_better(void **state)
{
	unsigned first[4] = { 0 };

	(void)state;
	for (uint64_t i = 0; i < 12000; i++) {
		const struct sl_policy_view view = {
			.chance = (i * 0x9e3779b97f4a7c15u) ^ (i << 40),
		};
		struct sl_candidate list[4];

		fill(list);
		for (size_t k = 0; k < 4; k++)
			list[k].live.latency_us = (k + 1) * 100000;
		sl_policy_least_latency.rank(&view, list, 4);
		first[list[0].index]++;
		/* The others follow from quick to slow. */
		assert_true(list[1].index < list[2].index && list[2].index < list[3].index);
	}
	/* Of the six pairs the quickest wins three, the slowest none. */
	assert_in_range(first[0], 5400, 6600);
	assert_in_range(first[1], 3400, 4600);
	assert_in_range(first[2], 1400, 2600);
	assert_int_equal(first[3], 0);
}

static void
latency_counts_what_waits_there(void **state)
{
	const struct sl_policy_view view = { .chance = 0 };
	struct sl_candidate list[4];

	(void)state;
	fill(list);
	list[0].live.latency_us = 100;
	list[0].live.in_flight = 9;
	list[1].live.latency_us = 400;
	sl_policy_least_latency.rank(&view, list, 2);
	assert_int_equal(list[0].index, 1);
	/* Unknown and idle is tried; unknown and asked already is waited for. */
	fill(list);
	list[0].live.latency_us = 100;
	sl_policy_least_latency.rank(&view, list, 2);
	assert_int_equal(list[0].index, 1);
	fill(list);
	list[0].live.latency_us = 100;
	list[1].live.in_flight = 1;
	sl_policy_least_latency.rank(&view, list, 2);
	assert_int_equal(list[0].index, 0);
}

static void
busy_takes_the_idle_by_turns(void **state)
{
	unsigned first[4] = { 0 };

	(void)state;
	for (uint64_t turn = 0; turn < 400; turn++) {
		const struct sl_policy_view view = { .turn = turn };
		struct sl_candidate list[4];

		fill(list);
		list[1].live.in_flight = 2;
		list[3].live.in_flight = 1;
		sl_policy_least_busy.rank(&view, list, 4);
		first[list[0].index]++;
		assert_int_equal(list[2].index, 3);
		assert_int_equal(list[3].index, 1);
	}
	assert_true(first[0] >= 100 && first[2] >= 100 && first[0] + first[2] == 400);
}

static void
cheapest_knows_what_it_does_not_know(void **state)
{
	const struct sl_policy_view view = { .chance = 7 };
	static struct sl_model_card cards[4];
	struct sl_candidate list[4];

	(void)state;
	fill(list);
	/* 3 in, 1 out: 3 * 10 + 100 = 130; unknown output; 3 * 20 + 20 = 80; no card. */
	cards[0].price.nanousd[SL_USAGE_INPUT] = 10;
	cards[0].price.nanousd[SL_USAGE_OUTPUT] = 100;
	cards[0].price.present = 1u << SL_USAGE_INPUT | 1u << SL_USAGE_OUTPUT;
	cards[1].price.nanousd[SL_USAGE_INPUT] = 1;
	cards[1].price.present = 1u << SL_USAGE_INPUT;
	cards[2].price.nanousd[SL_USAGE_INPUT] = 20;
	cards[2].price.nanousd[SL_USAGE_OUTPUT] = 20;
	cards[2].price.present = cards[0].price.present;
	for (size_t i = 0; i < 3; i++)
		list[i].card = &cards[i];
	sl_policy_cheapest.rank(&view, list, 4);
	assert_int_equal(list[0].index, 2);
	assert_int_equal(list[1].index, 0);
	assert_int_equal(list[2].index, 1);
	assert_int_equal(list[3].index, 3);
	/* Embeddings have no output to price. */
	fill(list);
	cards[1].output_modalities = SL_MODALITY_EMBEDDING;
	for (size_t i = 0; i < 3; i++)
		list[i].card = &cards[i];
	sl_policy_cheapest.rank(&view, list, 4);
	assert_int_equal(list[0].index, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_policy_keeps_every_candidate),
		cmocka_unit_test(latency_draws_two_and_takes_the_better),
		cmocka_unit_test(latency_counts_what_waits_there),
		cmocka_unit_test(busy_takes_the_idle_by_turns),
		cmocka_unit_test(cheapest_knows_what_it_does_not_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

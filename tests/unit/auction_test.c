/* auction_test.c - the properties of an auction, over random cases: the order of agents
 * does not matter, nobody is paid less than it bid nor more than the caller gives, a lower
 * bid never loses, and by the second-score rule honesty pays best. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "routing/auction.h"

enum { CASES = 100000, AGENTS_MAX = 9, DEVIATIONS = 50 };

static uint64_t seed = 11;

static int64_t
next(int64_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (int64_t)((seed >> 33) % (uint64_t)below);
}

static char names[AGENTS_MAX][24];

struct instance {
	struct sl_auction auction;
	struct sl_agent   agents[AGENTS_MAX];
	int64_t           bids[AGENTS_MAX];
	size_t            count;
};

/* Above its own greatest price an agent cannot bid. */
static int64_t
greatest_bid(const struct instance *instance, size_t agent)
{
	struct sl_agent same = instance->agents[agent];

	same.strategy = SL_BID_ADAPTIVE;
	same.won_ppm = SL_AUCTION_PPM;
	return sl_auction_bid(&instance->auction, &same);
}

/* Few different amounts in some of them, so that ties are common. */
static void
make(struct instance *instance, enum sl_auction_rule rule)
{
	int64_t unit = next(2) ? 1 : 100000;

	*instance = (struct instance){ .count = 1 + (size_t)next(AGENTS_MAX) };
	instance->auction = (struct sl_auction){
		.category = next(4) ? SL_SLICE("chat") : SL_SLICE_NONE,
		.input_tokens = next(5000),
		.output_tokens = 1 + next(2000),
		.reserve_mtok = next(3) ? next(3000) * 1000000 : -1,
		.credit_nanousd = next(4) ? -1 : next(8000000),
		.quality_value = next(3) ? next(4) * 1000000 : 0,
		.rule = rule,
	};
	for (size_t i = 0; i < instance->count; i++) {
		struct sl_agent *agent = &instance->agents[i];
		int64_t low = next(1000) * 1000000;

		snprintf(names[i], sizeof(names[i]), "a/%zu", i);
		*agent = (struct sl_agent){
			.name = sl_slice_str(names[i]),
			.category = next(8) ? SL_SLICE("chat") : SL_SLICE("code"),
			.owner = next(4) ? SL_SLICE_NONE : next(2) ? SL_SLICE("x") : SL_SLICE("y"),
			.strategy = (enum sl_bid_strategy)next(SL_BID_STRATEGY_COUNT),
			.floor = { next(2) * 10000, low, low },
			.ceiling = { 10000, low + next(1000) * 1000000, low + next(2000) * 1000000 },
			.context_tokens = next(4) ? 0 : next(9000),
			.quality_ppm = (int32_t)next(5) * 250000,
			.won_ppm = (int32_t)next(1000001),
			.out = next(10) == 0,
		};
		instance->bids[i] = next(40) * 20000 + next(3) * unit;
		if (instance->bids[i] > greatest_bid(instance, i))
			instance->bids[i] = greatest_bid(instance, i);
	}
}

static void
run(const struct instance *instance, bool own_bids, struct sl_auction_result *result)
{
	sl_auction_run(&instance->auction, instance->agents, own_bids ? NULL : instance->bids,
	               instance->count, result);
}

/* What the caller may pay at most, INT64_MAX: no limit. */
static int64_t
limit_of(const struct sl_auction *auction)
{
	int64_t limit = INT64_MAX, tokens = auction->input_tokens + auction->output_tokens;

	if (auction->reserve_mtok >= 0)
		limit = (int64_t)((double)auction->reserve_mtok / 1e6 * (double)tokens);
	if (auction->credit_nanousd >= 0 && auction->credit_nanousd < limit)
		limit = auction->credit_nanousd;
	return limit;
}

static void
order_does_not_matter(void **state)
{
	(void)state;
	for (int i = 0; i < CASES; i++) {
		struct instance instance;
		struct sl_auction_result before, after;
		bool own = next(2);

		make(&instance, (enum sl_auction_rule)next(2));
		run(&instance, own, &before);
		struct sl_agent was[AGENTS_MAX];

		memcpy(was, instance.agents, sizeof(was));
		for (size_t k = instance.count; k > 1; k--) {
			size_t other = (size_t)next((int64_t)k);
			struct sl_agent agent = instance.agents[k - 1];
			int64_t bid = instance.bids[k - 1];

			instance.agents[k - 1] = instance.agents[other];
			instance.bids[k - 1] = instance.bids[other];
			instance.agents[other] = agent;
			instance.bids[other] = bid;
		}
		run(&instance, own, &after);
		assert_int_equal(before.count, after.count);
		assert_int_equal(before.price_nanousd, after.price_nanousd);
		for (size_t k = 0; k < before.count; k++) {
			assert_int_equal(before.ranking[k].price_nanousd, after.ranking[k].price_nanousd);
			assert_true(sl_slice_eq(was[before.ranking[k].agent].name,
			                        instance.agents[after.ranking[k].agent].name));
		}
	}
}

/* Who is next when the winner cannot answer is paid as in an auction without those before. */
static void
the_next_is_paid_as_if_first(void **state)
{
	(void)state;
	for (int i = 0; i < CASES / 10; i++) {
		struct sl_auction_result result, without;
		struct instance instance;
		bool own = next(2);

		make(&instance, (enum sl_auction_rule)next(2));
		for (size_t k = 0; k < instance.count; k++)
			instance.agents[k].owner = SL_SLICE_NONE;
		run(&instance, own, &result);
		for (size_t at = 0; at < result.count; at++) {
			run(&instance, own, &without);
			assert_int_equal(without.count, result.count - at);
			assert_int_equal(without.ranking[0].agent, result.ranking[at].agent);
			assert_int_equal(without.price_nanousd,
			                 sl_auction_price_at(&instance.auction, instance.agents, &result, at));
			instance.agents[result.ranking[at].agent].out = true;
		}
	}
}

static void
prices_are_within_bounds(void **state)
{
	(void)state;
	for (int i = 0; i < CASES; i++) {
		struct instance instance;
		struct sl_auction_result result;
		int64_t limit;

		make(&instance, (enum sl_auction_rule)next(2));
		run(&instance, next(2), &result);
		limit = limit_of(&instance.auction);
		if (result.count == 0)
			assert_int_equal(result.price_nanousd, 0);
		else
			assert_true(result.price_nanousd >= result.ranking[0].price_nanousd &&
			            result.price_nanousd <= limit);
		for (size_t k = 0; k < result.count; k++) {
			const struct sl_agent *agent = &instance.agents[result.ranking[k].agent];

			assert_true(result.ranking[k].price_nanousd <= limit);
			assert_false(agent->out);
			if (instance.auction.category.len)
				assert_true(sl_slice_eq(agent->category, instance.auction.category));
			if (k)
				assert_true(result.ranking[k - 1].score >= result.ranking[k].score);
			for (size_t m = 0; m < k; m++)
				assert_false(agent->owner.len &&
				             sl_slice_eq(agent->owner,
				                         instance.agents[result.ranking[m].agent].owner));
		}
	}
}

static void
a_lower_bid_never_loses(void **state)
{
	(void)state;
	for (int i = 0; i < CASES; i++) {
		struct instance instance;
		struct sl_auction_result result;
		size_t winner;

		make(&instance, (enum sl_auction_rule)next(2));
		run(&instance, false, &result);
		if (result.count == 0)
			continue;
		winner = result.ranking[0].agent;
		instance.bids[winner] -= next(instance.bids[winner] + 1);
		run(&instance, false, &result);
		assert_int_equal(result.ranking[0].agent, winner);
	}
}

/* An agent's gain is what it is paid less what it needs, where it wins. */
static int64_t
gain_of(const struct instance *instance, size_t agent, int64_t cost)
{
	struct sl_auction_result result;

	run(instance, false, &result);
	return result.count > 0 && result.ranking[0].agent == agent ? result.price_nanousd - cost
	                                                            : 0;
}

static void
honesty_pays_best(void **state)
{
	(void)state;
	for (int i = 0; i < CASES; i++) {
		struct instance instance;
		size_t agent;
		int64_t cost, honest, most;

		make(&instance, SL_AUCTION_SECOND_SCORE);
		agent = (size_t)next((int64_t)instance.count);
		/* An owner may do better by another of its agents: that is no deceit. */
		instance.agents[agent].owner = SL_SLICE_NONE;
		most = greatest_bid(&instance, agent);
		cost = instance.bids[agent];
		honest = gain_of(&instance, agent, cost);
		assert_true(honest >= 0);
		for (int k = 0; k < DEVIATIONS; k++) {
			int64_t other = next(3) ? next(1200000) : cost + next(7) - 3;

			instance.bids[agent] = other < 0 ? 0 : other;
			if (instance.bids[agent] > most)
				instance.bids[agent] = most;
			if (gain_of(&instance, agent, cost) > honest)
				fail_msg("case %d: bidding %lld instead of %lld gains %lld", i,
				         (long long)instance.bids[agent], (long long)cost,
				         (long long)(gain_of(&instance, agent, cost) - honest));
		}
	}
}

/* The price by the second-score rule is the greatest bid that still wins, but for ties. */
static void
the_price_is_the_critical_bid(void **state)
{
	(void)state;
	for (int i = 0; i < CASES / 10; i++) {
		struct instance instance;
		struct sl_auction_result result, other;
		int64_t low, high;
		size_t winner;

		make(&instance, SL_AUCTION_SECOND_SCORE);
		if (limit_of(&instance.auction) == INT64_MAX)
			instance.auction.reserve_mtok = 1000000000000;
		run(&instance, false, &result);
		if (result.count == 0)
			continue;
		winner = result.ranking[0].agent;
		if (instance.agents[winner].owner.len > 0)
			continue; /* its owner's other agents win in its place */
		low = result.ranking[0].price_nanousd;
		high = limit_of(&instance.auction) + 1;
		while (high - low > 1) {
			int64_t bid = low + (high - low) / 2;

			instance.bids[winner] = bid;
			run(&instance, false, &other);
			if (other.count > 0 && other.ranking[0].agent == winner)
				low = bid;
			else
				high = bid;
		}
		assert_in_range(result.price_nanousd, low, low + 1);
	}
}

static void
strategies_bid_between_floor_and_ceiling(void **state)
{
	const struct sl_auction auction = { .input_tokens = 600000, .output_tokens = 400000,
		                            .reserve_mtok = 1000000000, .credit_nanousd = -1 };
	struct sl_agent agent = {
		.floor = { 0, 200000000, 200000000 }, .ceiling = { 0, 800000000, 800000000 },
	};

	(void)state;
	assert_int_equal(sl_auction_bid(&auction, &agent), 200000000);
	agent.strategy = SL_BID_UNDERCUT; /* 0.95 is above its ceiling */
	assert_int_equal(sl_auction_bid(&auction, &agent), 800000000);
	agent.ceiling = (struct sl_price_formula){ 0, 2000000000, 2000000000 };
	assert_int_equal(sl_auction_bid(&auction, &agent), 950000000);
	agent.strategy = SL_BID_ADAPTIVE;
	agent.won_ppm = 500000;
	assert_int_equal(sl_auction_bid(&auction, &agent), 1100000000);
	agent.won_ppm = 0;
	assert_int_equal(sl_auction_bid(&auction, &agent), 200000000);
	agent.floor = (struct sl_price_formula){ 7, 1000000000, 500000000 };
	assert_int_equal(sl_auction_bid(&auction, &agent), 7 + 600000000 + 200000000);
	assert_int_equal(sl_auction_per_mtok(&auction, 7), 7);
}

static void
the_winner_is_explained_by_an_example(void **state)
{
	const struct sl_price_formula tenth = { 0, 100000000, 100000000 },
	                              third = { 0, 300000000, 300000000 };
	struct sl_agent agents[] = {
		{ .name = SL_SLICE("o/deep"), .floor = third, .ceiling = third, .quality_ppm = 900000 },
		{ .name = SL_SLICE("o/bullet"), .floor = tenth, .ceiling = tenth, .quality_ppm = 500000 },
	};
	struct sl_auction auction = { .input_tokens = 1000000, .reserve_mtok = 1000000000,
		                      .credit_nanousd = -1 };
	struct sl_auction_result result;

	(void)state;
	sl_auction_run(&auction, agents, NULL, 2, &result);
	assert_int_equal(result.ranking[0].agent, 1);
	assert_int_equal(result.price_nanousd, 100000000);
	auction.rule = SL_AUCTION_SECOND_SCORE;
	sl_auction_run(&auction, agents, NULL, 2, &result);
	assert_int_equal(result.ranking[0].agent, 1);
	assert_int_equal(result.price_nanousd, 300000000);
	/* Where 0.4 of quality is worth 0.4 dollars, the better one wins with 0.2 to spare. */
	auction.quality_value = 1000000000;
	sl_auction_run(&auction, agents, NULL, 2, &result);
	assert_int_equal(result.ranking[0].agent, 0);
	assert_int_equal(result.price_nanousd, 500000000);
	auction.reserve_mtok = 99999999;
	sl_auction_run(&auction, agents, NULL, 2, &result);
	assert_int_equal(result.count, 0);
}

static void
quality_is_what_was_seen(void **state)
{
	struct sl_reputation newcomer = { 0 }, good = { 0 }, bad = { 0 };
	int32_t start = sl_reputation_ppm(&newcomer), before = start;

	(void)state;
	assert_in_range(start, 300000, 600000);
	for (int i = 0; i < 5000; i++) {
		sl_reputation_note(&good, true);
		sl_reputation_note(&bad, false);
		if (i < 100) {
			assert_true(sl_reputation_ppm(&good) > before);
			before = sl_reputation_ppm(&good);
		}
	}
	assert_true(sl_reputation_ppm(&good) > 980000);
	assert_true(sl_reputation_ppm(&bad) < 10000);
	/* What was long ago fades. */
	for (int i = 0; i < 1000; i++)
		sl_reputation_note(&good, false);
	assert_true(sl_reputation_ppm(&good) < 300000);
}

static void
any_number_of_agents_is_ranked(void **state)
{
	static struct sl_agent agents[300];
	static char many[300][8];
	const struct sl_auction auction = { .input_tokens = 1000000, .reserve_mtok = -1,
		                            .credit_nanousd = -1 };
	struct sl_auction_result result;

	(void)state;
	for (size_t i = 0; i < 300; i++) {
		int64_t price = 1000 + (int64_t)(i * 7919 % 300);

		snprintf(many[i], sizeof(many[i]), "o/%zu", i);
		agents[i] = (struct sl_agent){ .name = sl_slice_str(many[i]), .floor = { 0, price, 0 },
			                       .ceiling = { 0, price, 0 } };
	}
	sl_auction_run(&auction, agents, NULL, 300, &result);
	assert_int_equal(result.count, SL_AUCTION_MAX);
	for (size_t i = 0; i < SL_AUCTION_MAX; i++)
		assert_int_equal(result.ranking[i].price_nanousd, 1000 + i);
	/* One owner's many agents crowd nobody out. */
	for (size_t i = 0; i < 299; i++)
		agents[i].owner = SL_SLICE("crowd");
	sl_auction_run(&auction, agents, NULL, 300, &result);
	assert_int_equal(result.count, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_does_not_matter),
		cmocka_unit_test(the_next_is_paid_as_if_first),
		cmocka_unit_test(prices_are_within_bounds),
		cmocka_unit_test(a_lower_bid_never_loses),
		cmocka_unit_test(honesty_pays_best),
		cmocka_unit_test(the_price_is_the_critical_bid),
		cmocka_unit_test(strategies_bid_between_floor_and_ceiling),
		cmocka_unit_test(the_winner_is_explained_by_an_example),
		cmocka_unit_test(quality_is_what_was_seen),
		cmocka_unit_test(any_number_of_agents_is_ranked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

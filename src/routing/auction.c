/* auction.c - bids, ranking, payment.
 *
 * Qualified is who is in the category, well, has room for the request, and bids no more
 * than the caller may pay. The ranking goes by score, then price, then quality, then
 * name. By the second-score rule the winner is paid what makes its score equal to that of
 * the best other owner, or what the caller may pay at most where that is less or nobody
 * else is there: an amount in which its own bid does not occur.
 */
#include "routing/auction.h"

#include <string.h>

enum {
	MILLION = 1000000,
	UNDERCUT_PARTS = 20,
	NOTES_MAX = 512, /* then half is forgotten */
};
#define PRICE_MAX (INT64_MAX / 16)

__extension__ typedef __int128 wide;

bool
sl_bid_strategy_find(struct sl_slice name, enum sl_bid_strategy *out)
{
	static const char *const names[] = {
#define SL_BID_NAME(id, name) name,
		SL_BID_STRATEGIES(SL_BID_NAME)
#undef SL_BID_NAME
	};

	for (size_t i = 0; i < SL_BID_STRATEGY_COUNT; i++)
		if (sl_slice_is(name, names[i])) {
			*out = (enum sl_bid_strategy)i;
			return true;
		}
	return false;
}

/* --- quality ------------------------------------------------------------------ */

void
sl_reputation_note(struct sl_reputation *reputation, bool good)
{
	if (good)
		reputation->good++;
	else
		reputation->bad++;
	if (reputation->good + reputation->bad >= NOTES_MAX) {
		reputation->good /= 2;
		reputation->bad /= 2;
	}
}

static uint64_t
square_root(uint64_t value)
{
	uint64_t root = 0;

	for (uint64_t bit = (uint64_t)1 << 31; bit > 0; bit >>= 1)
		if ((root | bit) * (root | bit) <= value)
			root |= bit;
	return root;
}

/* A beta distribution that began with two good answers and one bad: its mean less one
 * standard deviation. */
int32_t
sl_reputation_ppm(const struct sl_reputation *reputation)
{
	uint64_t good = (uint64_t)reputation->good + 2, all = good + reputation->bad + 1;
	uint64_t mean = good * MILLION / all;
	uint64_t variance = mean * (MILLION - mean) / (all + 1);
	uint64_t deviation = square_root(variance);

	return (int32_t)(mean > deviation ? mean - deviation : 0);
}

/* --- bids --------------------------------------------------------------------- */

static int64_t
bounded(wide value)
{
	if (value < 0)
		return 0;
	return value > PRICE_MAX ? PRICE_MAX : (int64_t)value;
}

static int64_t
per_million(wide amount, wide units)
{
	return bounded((amount * units + MILLION - 1) / MILLION);
}

static int64_t
price_of(const struct sl_auction *auction, const struct sl_price_formula *formula)
{
	wide sum = formula->per_call;

	sum += per_million(formula->per_input_mtok, auction->input_tokens);
	sum += per_million(formula->per_output_mtok, auction->output_tokens);
	return bounded(sum);
}

static int64_t
total_tokens(const struct sl_auction *auction)
{
	return bounded((wide)auction->input_tokens + auction->output_tokens);
}

/* The caller's maximum for this request; rounded down, unlike what is asked for. */
static int64_t
reserve_of(const struct sl_auction *auction)
{
	return bounded((wide)auction->reserve_mtok * total_tokens(auction) / MILLION);
}

static int64_t
between(int64_t value, int64_t least, int64_t most)
{
	if (value > most)
		value = most;
	return value < least ? least : value;
}

int64_t
sl_auction_bid(const struct sl_auction *auction, const struct sl_agent *agent)
{
	int64_t floor = price_of(auction, &agent->floor);
	int64_t ceiling = price_of(auction, &agent->ceiling), from;

	if (ceiling < floor)
		ceiling = floor;
	switch (agent->strategy) {
	case SL_BID_UNDERCUT:
		from = auction->reserve_mtok >= 0 ? reserve_of(auction) : ceiling;
		return between(from - from / UNDERCUT_PARTS, floor, ceiling);
	case SL_BID_ADAPTIVE:
		return between(floor + per_million(ceiling - floor, agent->won_ppm), floor, ceiling);
	default:
		return floor;
	}
}

int64_t
sl_auction_per_mtok(const struct sl_auction *auction, int64_t nanousd)
{
	int64_t tokens = total_tokens(auction);

	return tokens > 0 ? bounded(((wide)nanousd * MILLION + tokens - 1) / tokens) : 0;
}

/* --- ranking ------------------------------------------------------------------ */

/* The most that the caller may pay the agent; PRICE_MAX: no limit. */
static int64_t
limit_of(const struct sl_auction *auction, const struct sl_agent *agent)
{
	int64_t limit = PRICE_MAX;

	if (auction->reserve_mtok >= 0)
		limit = reserve_of(auction);
	if (!agent->paid_elsewhere && auction->credit_nanousd >= 0 &&
	    auction->credit_nanousd < limit)
		limit = auction->credit_nanousd;
	return limit;
}

const char *
sl_auction_too_dear(const struct sl_auction *auction, const struct sl_agent *agent,
                    int64_t bid_nanousd)
{
	if (bid_nanousd <= limit_of(auction, agent))
		return NULL;
	return auction->reserve_mtok >= 0 && bid_nanousd > reserve_of(auction)
	           ? "bids more than the reserve price"
	           : "bids more than is left of the caller's budget or balance";
}

const char *
sl_auction_unfit(const struct sl_auction *auction, const struct sl_agent *agent)
{
	if (auction->category.len > 0 && !sl_slice_eq(auction->category, agent->category))
		return "of another category";
	if (agent->context_tokens > 0 && total_tokens(auction) > agent->context_tokens)
		return "context window too small";
	return agent->out ? "breaker open, or switched off" : NULL;
}

static int64_t
value_of(const struct sl_auction *auction, const struct sl_agent *agent)
{
	return bounded((wide)auction->quality_value * agent->quality_ppm / SL_AUCTION_PPM);
}

static int
by_name(struct sl_slice a, struct sl_slice b)
{
	int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static bool
is_before(const struct sl_agent *agents, const struct sl_bid *a, const struct sl_bid *b)
{
	if (a->score != b->score)
		return a->score > b->score;
	if (a->price_nanousd != b->price_nanousd)
		return a->price_nanousd < b->price_nanousd;
	if (agents[a->agent].quality_ppm != agents[b->agent].quality_ppm)
		return agents[a->agent].quality_ppm > agents[b->agent].quality_ppm;
	return by_name(agents[a->agent].name, agents[b->agent].name) < 0;
}

/* Who bids through several agents bids once, with the best. False: a better one stands. */
static bool
replaces_own(const struct sl_agent *agents, const struct sl_bid *bid,
             struct sl_auction_result *out)
{
	struct sl_slice owner = agents[bid->agent].owner;

	for (size_t i = 0; owner.len > 0 && i < out->count; i++) {
		if (!sl_slice_eq(owner, agents[out->ranking[i].agent].owner))
			continue;
		if (is_before(agents, &out->ranking[i], bid))
			return false;
		out->count--;
		memmove(&out->ranking[i], &out->ranking[i + 1],
		        (out->count - i) * sizeof(out->ranking[0]));
		return true;
	}
	return true;
}

/* Into its place in the ranking; the last one falls out of a full one. */
static void
insert(const struct sl_agent *agents, const struct sl_bid *bid, struct sl_auction_result *out)
{
	size_t at;

	if (!replaces_own(agents, bid, out))
		return;
	at = out->count;
	if (at == SL_AUCTION_MAX) {
		if (!is_before(agents, bid, &out->ranking[at - 1]))
			return;
		at--;
	} else {
		out->count++;
	}
	for (; at > 0 && is_before(agents, bid, &out->ranking[at - 1]); at--)
		out->ranking[at] = out->ranking[at - 1];
	out->ranking[at] = *bid;
}

int64_t
sl_auction_price_at(const struct sl_auction *auction, const struct sl_agent *agents,
                    const struct sl_auction_result *result, size_t at)
{
	const struct sl_bid *winner = &result->ranking[at];
	const struct sl_agent *agent = &agents[winner->agent];
	int64_t limit = limit_of(auction, agent), paid;

	if (auction->rule == SL_AUCTION_FIRST_PRICE)
		return winner->price_nanousd;
	/* Without any limit its own greatest price is one. */
	if (limit == PRICE_MAX)
		limit = price_of(auction, &agent->ceiling);
	paid = limit;
	if (result->count > at + 1)
		paid = between(value_of(auction, agent) - result->ranking[at + 1].score, 0, limit);
	return paid < winner->price_nanousd ? winner->price_nanousd : paid;
}

void
sl_auction_run(const struct sl_auction *auction, const struct sl_agent *agents,
               const int64_t *bids_nanousd, size_t count, struct sl_auction_result *out)
{
	out->count = 0;
	out->price_nanousd = 0;
	for (size_t i = 0; i < count; i++) {
		struct sl_bid bid = { .agent = i };

		if (sl_auction_unfit(auction, &agents[i]))
			continue;
		bid.price_nanousd = bids_nanousd ? bids_nanousd[i]
		                                 : sl_auction_bid(auction, &agents[i]);
		if (bid.price_nanousd > limit_of(auction, &agents[i]))
			continue;
		bid.score = value_of(auction, &agents[i]) - bid.price_nanousd;
		insert(agents, &bid, out);
	}
	if (out->count > 0)
		out->price_nanousd = sl_auction_price_at(auction, agents, out, 0);
}

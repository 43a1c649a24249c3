/* bidding.c - from a request's auction to a route, or to a ranking.
 *
 * Agents are the routes with an `auction`. Their bids follow from their registration and
 * this request's tokens; their quality is what was seen here of their answers, whatever
 * they promise. No bid is told to anybody but in the ranking that the caller asked for.
 * AIX goes on as if the winner had been named; AIR answers and executes nothing.
 */
#include "pipeline/bidding.h"

#include "pipeline/agent_book.h"
#include "pipeline/ask.h"
#include "routing/auction.h"
#include "routing/cost.h"
#include "shapes/tally.h"

enum { ANSWER_BYTES_MAX = 256 * 1024, TOP_K = 3, AGENTS_MAX = 1024 };

/* What is asked for. */
struct bidding {
	struct sl_auction auction;
	struct sl_slice   family;   /* empty: any */
	bool              ranks;    /* AIR */
	int64_t           top_k;
};

static bool
refuse(struct sl_ask *ask, const char *param, const char *message)
{
	struct sl_fault fault;

	sl_fault_set(&fault, SL_FAULT_BAD_REQUEST, sl_slice_str(message));
	fault.code = SL_SLICE("invalid_sto_payload");
	fault.param = sl_slice_str(param);
	sl_ask_refuse(ask, &fault);
	return false;
}

/* --- what is asked for ----------------------------------------------------------- */

/* A text member; "any" is none. Another type is let through as none. */
static struct sl_slice
text_of(struct sl_json object, const char *name, struct sl_arena *arena)
{
	struct sl_slice text;

	if (!sl_json_string(sl_json_get(object, name), arena, &text) || sl_slice_is(text, "any"))
		return SL_SLICE_NONE;
	return text;
}

static bool
read_core(struct sl_ask *ask, struct sl_json core, struct bidding *bidding)
{
	struct sl_arena *arena = &ask->front->arena;
	struct sl_slice mode = text_of(core, "auction_mode", arena);
	struct sl_slice unit = text_of(core, "price_unit", arena);
	struct sl_json reserve = sl_json_get(core, "reserve_price");
	struct sl_json top_k = sl_json_get(core, "top_k");

	bidding->auction.category = text_of(core, "category", arena);
	bidding->ranks = sl_slice_is(mode, "air");
	if (mode.len > 0 && !bidding->ranks && !sl_slice_is(mode, "aix"))
		return refuse(ask, "stoPayload.stoAuction.core.auction_mode",
		              "'auction_mode' must be aix or air.");
	if (unit.len > 0 && !sl_slice_is(unit, "1million_token"))
		return refuse(ask, "stoPayload.stoAuction.core.price_unit",
		              "'price_unit' must be 1million_token.");
	bidding->auction.reserve_mtok = -1;
	if (reserve.type != SL_JSON_NONE && reserve.type != SL_JSON_NULL &&
	    (!sl_json_nanousd(reserve, &bidding->auction.reserve_mtok) ||
	     bidding->auction.reserve_mtok < 0))
		return refuse(ask, "stoPayload.stoAuction.core.reserve_price",
		              "'reserve_price' must be an amount of US dollars for a million tokens.");
	bidding->top_k = TOP_K;
	if (top_k.type != SL_JSON_NONE && top_k.type != SL_JSON_NULL &&
	    (!sl_json_i64(top_k, &bidding->top_k) || bidding->top_k < 1 ||
	     bidding->top_k > SL_AUCTION_MAX))
		return refuse(ask, "stoPayload.stoAuction.core.top_k", "'top_k' must be 1 to 64.");
	return true;
}

static void
count_tokens(struct sl_ask *ask, struct sl_auction *auction)
{
	const struct sl_steer *steer = &ask->front->steer;
	struct sl_tokens tokens;
	struct sl_tally tally;

	sl_tally_init(&tally, SL_ENCODING_O200K);
	sl_tally_request(&tally, steer->input.body);
	sl_tokens_guess(NULL, (int64_t)steer->input.body.len, steer->max_output_tokens,
	                steer->choices, NULL, &tokens);
	auction->input_tokens = sl_tally_total(&tally, sl_token_family_of(SL_SLICE("gpt-4o")),
	                                       SL_TOKEN_RATIO_ONE).tokens;
	auction->output_tokens = tokens.output;
}

static bool
read_bidding(struct sl_ask *ask, struct bidding *bidding)
{
	struct sl_json astrolabe, nexus, payload, auction, core;
	const struct sl_config *config = ask->world->config;

	sl_shape_members(&ask->front->steer, &astrolabe, &nexus, &payload);
	auction = sl_json_get(payload, "stoAuction");
	core = sl_json_get(auction, "core");
	if (core.type != SL_JSON_OBJECT)
		return refuse(ask, "stoPayload", "An auction needs 'stoPayload': {\"stoAuction\": "
		              "{\"core\": {\"category\": ...}}}.");
	*bidding = (struct bidding){ .auction = { .credit_nanousd = -1 } };
	if (!read_core(ask, core, bidding))
		return false;
	bidding->family = text_of(sl_json_get(auction, "constraints"), "model_family",
	                          &ask->front->arena);
	count_tokens(ask, &bidding->auction);
	bidding->auction.rule = sl_slice_is(config->auction_payment, "second_score")
	                            ? SL_AUCTION_SECOND_SCORE : SL_AUCTION_FIRST_PRICE;
	bidding->auction.quality_value =
	    config->auction_quality_nanousd / 1000000 *
	    (bidding->auction.input_tokens + bidding->auction.output_tokens);
	return true;
}

/* --- who bids ---------------------------------------------------------------------- */

static bool
may_bid(const struct sl_ask *ask, const struct sl_config_route *route,
        const struct bidding *bidding)
{
	if (!route->auction.enabled)
		return false;
	if (bidding->family.len > 0 && !sl_slice_ieq(bidding->family, route->model))
		return false;
	return route->model.len == 0 ||
	       sl_admission_allows(ask, route->model, SL_SLICE_NONE, SL_SLICE_NONE);
}

/* The agents, on the front's arena; NULL: none. */
static struct sl_agent *
gather(struct sl_ask *ask, const struct bidding *bidding, size_t *count)
{
	const struct sl_config *config = ask->world->config;
	size_t room = config->route_count < AGENTS_MAX ? config->route_count : AGENTS_MAX;
	struct sl_agent *agents = sl_arena_zalloc(&ask->front->arena, room ? room : 1, sizeof(*agents));

	*count = 0;
	for (size_t i = 0; agents && i < config->route_count && *count < room; i++) {
		const struct sl_config_route *route = &config->routes[i];
		int64_t low = route->auction.price_min_nanousd, high = route->auction.price_max_nanousd;
		struct sl_agent *agent = &agents[*count];

		if (!may_bid(ask, route, bidding))
			continue;
		agent->name = route->name;
		agent->category = route->auction.category;
		sl_bid_strategy_find(route->auction.bid, &agent->strategy);
		agent->floor = (struct sl_price_formula){ 0, low, low };
		agent->ceiling = (struct sl_price_formula){ 0, high, high };
		sl_agent_book_look(ask->gateway->services.agents, agent);
		(*count)++;
	}
	return agents;
}

/* --- what comes of it ---------------------------------------------------------------- */

static bool
refuse_nobody(struct sl_ask *ask)
{
	struct sl_fault fault;

	sl_fault_set(&fault, SL_FAULT_NOT_FOUND,
	             SL_SLICE("No agent of this category bids within the reserve price: raise it, or "
	                      "look at /api/aiendpoint/discover for who is registered."));
	fault.code = SL_SLICE("no_eligible_agents");
	sl_ask_refuse(ask, &fault);
	return false;
}

static void
put_candidates(struct sl_json_writer *w, const struct bidding *bidding,
               const struct sl_agent *agents, const struct sl_auction_result *result)
{
	sl_json_key(w, "candidates");
	sl_json_arr(w);
	for (size_t i = 0; i < result->count && i < (size_t)bidding->top_k; i++) {
		const struct sl_bid *bid = &result->ranking[i];
		const struct sl_agent *agent = &agents[bid->agent];
		int64_t price = sl_auction_per_mtok(&bidding->auction, bid->price_nanousd);

		sl_json_obj(w);
		sl_json_int(w, "rank", (int64_t)i + 1);
		sl_json_str(w, "route_name", agent->name);
		sl_json_usd(w, "price", price);
		sl_json_usd(w, "bid_price", price);
		sl_json_key(w, "reputation_score");
		sl_json_put_f64(w, (double)agent->quality_ppm / SL_AUCTION_PPM);
		sl_json_str(w, "category", agent->category);
		sl_json_obj_end(w);
	}
	sl_json_arr_end(w);
}

static void
answer_ranking(struct sl_ask *ask, const struct bidding *bidding, const struct sl_agent *agents,
               const struct sl_auction_result *result)
{
	struct sl_json_writer w;
	struct sl_buf out;

	sl_buf_init(&out, ANSWER_BYTES_MAX);
	sl_json_writer_init(&w, &out);
	sl_json_obj(&w);
	put_candidates(&w, bidding, agents, result);
	sl_json_key(&w, "message");
	sl_json_obj(&w);
	put_candidates(&w, bidding, agents, result);
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
	if (out.failed)
		sl_ask_refuse_with(ask, SL_FAULT_OVERLOADED,
		                   SL_SLICE("The gateway is out of memory. Try again shortly."));
	else
		sl_ask_answer(ask, 200, SL_SLICE("application/json"), sl_buf_slice(&out));
	sl_buf_release(&out);
}

static void
choose(struct sl_ask *ask, const struct bidding *bidding, const struct sl_agent *agents,
       const struct sl_auction_result *result)
{
	const struct sl_agent *winner = &agents[result->ranking[0].agent];
	struct sl_decision *decision = &ask->decision;

	for (size_t i = 0; i < result->count; i++)
		sl_agent_book_auction(ask->gateway->services.agents,
		                      agents[result->ranking[i].agent].name, i == 0);
	ask->head->selection.wish.route = winner->name;
	decision->agent = winner->name;
	decision->agent_category = winner->category;
	decision->agent_quality = (double)winner->quality_ppm / SL_AUCTION_PPM;
	decision->bid_nanousd =
	    sl_auction_per_mtok(&bidding->auction, result->ranking[0].price_nanousd);
	decision->paid_nanousd = sl_auction_per_mtok(&bidding->auction, result->price_nanousd);
}

bool
sl_bidding_apply(struct sl_ask *ask)
{
	struct sl_auction_result result;
	struct sl_agent *agents;
	struct bidding bidding;
	size_t count;

	if (!sl_slice_is(ask->head->selection.wish.route, "stolabs/stoAuction"))
		return true;
	if (!read_bidding(ask, &bidding))
		return false;
	agents = gather(ask, &bidding, &count);
	if (!agents)
		return refuse_nobody(ask);
	sl_auction_run(&bidding.auction, agents, NULL, count, &result);
	if (result.count == 0)
		return refuse_nobody(ask);
	if (bidding.ranks) {
		answer_ranking(ask, &bidding, agents, &result);
		return false;
	}
	choose(ask, &bidding, agents, &result);
	return true;
}

void
sl_bidding_note(struct sl_ask *ask)
{
	if (ask->decision.agent.len == 0 || ask->record.attempts == 0)
		return;
	/* A caller who left says nothing of the answer. */
	if (ask->record.outcome == SL_OUTCOME_OK || ask->record.outcome == SL_OUTCOME_FAILED ||
	    ask->record.outcome == SL_OUTCOME_CUT || ask->record.outcome == SL_OUTCOME_UPSTREAM_ERROR)
		sl_agent_book_answer(ask->gateway->services.agents, ask->decision.agent,
		                     ask->record.outcome == SL_OUTCOME_OK);
}

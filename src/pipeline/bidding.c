/* bidding.c - an auction, from what a request asks for to a ranking.
 *
 * Agents are the routes with an `auction`. Their bids follow from their registration and
 * this request's tokens; their quality is what was seen here of their answers, whatever
 * they promise. No bid is told to anybody but in the ranking that the caller asked for and
 * in an explanation to the operator.
 */
#include "pipeline/bidding.h"

#include "pipeline/agent_book.h"
#include "ledger/scopes.h"
#include "ledger/tenancy.h"
#include "routing/cost.h"
#include "shapes/tally.h"

enum { TOP_K = 3, AGENTS_MAX = 1024 };

static bool
refuse(struct sl_fault *fault, const char *param, const char *message)
{
	sl_fault_set(fault, SL_FAULT_BAD_REQUEST, sl_slice_str(message));
	fault->code = SL_SLICE("invalid_sto_payload");
	fault->param = sl_slice_str(param);
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
is_text(struct sl_json object, const char *name)
{
	enum sl_json_type type = sl_json_get(object, name).type;

	return type == SL_JSON_STRING || type == SL_JSON_NULL || type == SL_JSON_NONE;
}

static bool
read_core(const struct sl_bidding_view *view, struct sl_json core, struct sl_bidding *bidding,
          struct sl_fault *fault)
{
	struct sl_slice mode = text_of(core, "auction_mode", view->arena);
	struct sl_slice unit = text_of(core, "price_unit", view->arena);
	struct sl_slice type = text_of(core, "auction_type", view->arena);
	struct sl_json reserve = sl_json_get(core, "reserve_price");
	struct sl_json top_k = sl_json_get(core, "top_k");

	if (!is_text(core, "category") || !is_text(core, "auction_mode") ||
	    !is_text(core, "price_unit") || !is_text(core, "auction_type"))
		return refuse(fault, "stoPayload.stoAuction.core",
		              "'category', 'auction_mode', 'auction_type' and 'price_unit' are strings.");
	/* Nobody bids again in the longer time of a batch: it ends as a single round does. */
	if (type.len > 0 && !sl_slice_is(type, "rt") && !sl_slice_is(type, "batch"))
		return refuse(fault, "stoPayload.stoAuction.core.auction_type",
		              "'auction_type' must be rt or batch.");
	bidding->auction.category = text_of(core, "category", view->arena);
	bidding->ranks = sl_slice_is(mode, "air");
	if (mode.len > 0 && !bidding->ranks && !sl_slice_is(mode, "aix"))
		return refuse(fault, "stoPayload.stoAuction.core.auction_mode",
		              "'auction_mode' must be aix or air.");
	if (unit.len > 0 && !sl_slice_is(unit, "1million_token"))
		return refuse(fault, "stoPayload.stoAuction.core.price_unit",
		              "'price_unit' must be 1million_token.");
	bidding->auction.reserve_mtok = -1;
	if (reserve.type != SL_JSON_NONE && reserve.type != SL_JSON_NULL &&
	    (!sl_json_nanousd(reserve, &bidding->auction.reserve_mtok) ||
	     bidding->auction.reserve_mtok < 0))
		return refuse(fault, "stoPayload.stoAuction.core.reserve_price",
		              "'reserve_price' must be an amount of US dollars for a million tokens.");
	bidding->top_k = TOP_K;
	if (top_k.type != SL_JSON_NONE && top_k.type != SL_JSON_NULL &&
	    (!sl_json_i64(top_k, &bidding->top_k) || bidding->top_k < 1 ||
	     bidding->top_k > SL_AUCTION_MAX))
		return refuse(fault, "stoPayload.stoAuction.core.top_k", "'top_k' must be 1 to 64.");
	return true;
}

static void
count_tokens(const struct sl_steer *steer, struct sl_auction *auction)
{
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

/* What is left for the caller to spend. A stack's own budget is not known here: a hold
 * still refuses what it has no room for. */
static int64_t
credit_of(const struct sl_bidding_view *view)
{
	struct sl_scopes scopes;

	if (!view->money)
		return -1;
	sl_scopes_of_tenancy(view->tenancy, &scopes);
	return sl_scopes_room(&scopes, view->money, view->now_wall_ms);
}

static bool
read_bidding(const struct sl_bidding_view *view, struct sl_bidding *bidding,
             struct sl_fault *fault)
{
	struct sl_json astrolabe, nexus, payload, auction, core;
	const struct sl_config *config = view->world->config;

	sl_shape_members(view->steer, &astrolabe, &nexus, &payload);
	auction = sl_json_get(payload, "stoAuction");
	core = sl_json_get(auction, "core");
	if (core.type != SL_JSON_OBJECT)
		return refuse(fault, "stoPayload", "An auction needs 'stoPayload': {\"stoAuction\": "
		              "{\"core\": {\"category\": ...}}}.");
	bidding->auction.credit_nanousd = credit_of(view);
	if (!read_core(view, core, bidding, fault))
		return false;
	if (!is_text(sl_json_get(auction, "constraints"), "model_family"))
		return refuse(fault, "stoPayload.stoAuction.constraints.model_family",
		              "'model_family' must be a string.");
	bidding->family = text_of(sl_json_get(auction, "constraints"), "model_family", view->arena);
	count_tokens(view->steer, &bidding->auction);
	bidding->auction.rule = sl_slice_is(config->auction_payment, "second_score")
	                            ? SL_AUCTION_SECOND_SCORE : SL_AUCTION_FIRST_PRICE;
	bidding->auction.quality_value =
	    config->auction_quality_nanousd / 1000000 *
	    (bidding->auction.input_tokens + bidding->auction.output_tokens);
	return true;
}

/* --- who bids ---------------------------------------------------------------------- */

static bool
may_bid(const struct sl_bidding_view *view, const struct sl_config_route *route,
        const struct sl_bidding *bidding)
{
	if (!route->auction.enabled)
		return false;
	if (bidding->family.len > 0 && !sl_slice_ieq(bidding->family, route->model))
		return false;
	return route->model.len == 0 ||
	       sl_tenancy_allows(view->tenancy, route->model, SL_SLICE_NONE, SL_SLICE_NONE);
}

/* One place where the agent's answers may come from. */
static void
look_at_place(const struct sl_bidding_view *view, struct sl_slice provider,
              struct sl_slice model, struct sl_slice deployment, struct sl_agent *agent)
{
	const struct sl_model_card *card = sl_world_card(view->world, provider, model);
	int64_t window = card ? card->context_tokens : 0;
	struct sl_health_figures live = { .ejected = false };

	sl_board_figures(view->board, provider, model, view->steer->stream, view->now_us, &live);
	if (live.ejected || (deployment.len > 0 && sl_board_is_disabled(view->board, deployment)))
		return;
	/* The largest window counts; an unknown one is taken for enough. */
	if (agent->out || window == 0 || (agent->context_tokens > 0 && window > agent->context_tokens))
		agent->context_tokens = window;
	agent->out = false;
}

static void
look_at_places(const struct sl_bidding_view *view, const struct sl_config_route *route,
               struct sl_agent *agent)
{
	const struct sl_config *config = view->world->config;
	struct sl_slice model = route->model, provider;

	agent->out = true;
	if (route->base_url.len > 0) {
		look_at_place(view, route->name, model, SL_SLICE_NONE, agent);
		return;
	}
	for (size_t i = 0; i < config->model_count; i++) {
		const struct sl_config_model *alias = &config->models[i];

		for (size_t d = 0; sl_slice_eq(alias->name, model) && d < alias->deployment_count; d++)
			look_at_place(view, alias->deployments[d].provider, alias->deployments[d].model,
			              alias->deployments[d].id, agent);
		if (sl_slice_eq(alias->name, model) && (!agent->out || alias->fallbacks.count == 0))
			return;
	}
	provider = sl_slice_cut(&model, '/');
	if (model.len > 0)
		look_at_place(view, provider, model, SL_SLICE_NONE, agent);
	else
		agent->out = false;
}

/* False: out of memory. */
static bool
gather(const struct sl_bidding_view *view, struct sl_bidding *bidding)
{
	const struct sl_config *config = view->world->config;
	size_t room = config->route_count < AGENTS_MAX ? config->route_count : AGENTS_MAX;

	bidding->agents = sl_arena_zalloc(view->arena, room ? room : 1, sizeof(*bidding->agents));
	for (size_t i = 0; bidding->agents && i < config->route_count && bidding->agent_count < room;
	     i++) {
		const struct sl_config_route *route = &config->routes[i];
		int64_t low = route->auction.price_min_nanousd, high = route->auction.price_max_nanousd;
		struct sl_agent *agent = &bidding->agents[bidding->agent_count];

		if (!may_bid(view, route, bidding))
			continue;
		agent->name = route->name;
		agent->category = route->auction.category;
		sl_bid_strategy_find(route->auction.bid, &agent->strategy);
		agent->floor = (struct sl_price_formula){ 0, low, low };
		agent->ceiling = (struct sl_price_formula){ 0, high, high };
		agent->paid_elsewhere = route->base_url.len > 0 && route->auth == SL_AUTH_PASSTHROUGH;
		look_at_places(view, route, agent);
		sl_agent_book_look(view->book, agent);
		bidding->agent_count++;
	}
	return bidding->agents != NULL;
}

/* --- the auction --------------------------------------------------------------------- */

bool
sl_bidding_is_asked(const struct sl_selection *selection)
{
	return sl_slice_is(selection->wish.route, "stolabs/stoAuction");
}

static void
run(struct sl_bidding *bidding)
{
	bool ill = false;

	sl_auction_run(&bidding->auction, bidding->agents, NULL, bidding->agent_count,
	               &bidding->result);
	/* The last are never ejected. */
	for (size_t i = 0; bidding->result.count == 0 && i < bidding->agent_count; i++) {
		ill |= bidding->agents[i].out;
		bidding->agents[i].out = false;
	}
	if (ill)
		sl_auction_run(&bidding->auction, bidding->agents, NULL, bidding->agent_count,
		               &bidding->result);
}

struct sl_bidding *
sl_bidding_hold(const struct sl_bidding_view *view, struct sl_fault *fault)
{
	struct sl_bidding *bidding = sl_arena_zalloc(view->arena, 1, sizeof(*bidding));

	sl_fault_set_memory(fault);
	if (!bidding || !read_bidding(view, bidding, fault) || !gather(view, bidding))
		return NULL;
	run(bidding);
	/* Who has nothing left is refused by the hold, which says what of and until when. */
	if (bidding->result.count == 0 && !bidding->ranks && bidding->auction.credit_nanousd >= 0) {
		bidding->auction.credit_nanousd = -1;
		run(bidding);
	}
	return bidding;
}

const struct sl_agent *
sl_bidding_agent(const struct sl_bidding *bidding)
{
	return &bidding->agents[bidding->result.ranking[bidding->at].agent];
}

int64_t
sl_bidding_price(const struct sl_bidding *bidding)
{
	return sl_auction_per_mtok(&bidding->auction,
	                           sl_auction_price_at(&bidding->auction, bidding->agents,
	                                               &bidding->result, bidding->at));
}

static bool
is_beyond_credit(const struct sl_auction *auction, const struct sl_agent *agent)
{
	struct sl_auction unlimited = *auction;
	int64_t bid = sl_auction_bid(auction, agent);

	unlimited.credit_nanousd = -1;
	return sl_auction_too_dear(auction, agent, bid) &&
	       !sl_auction_too_dear(&unlimited, agent, bid);
}

void
sl_bidding_explain_nobody(const struct sl_bidding *bidding, struct sl_fault *fault)
{
	sl_fault_set(fault, SL_FAULT_NOT_FOUND,
	             SL_SLICE("No agent of this category bids within the reserve price: raise it, or "
	                      "look at /api/aiendpoint/discover for who is registered."));
	for (size_t i = 0; i < bidding->agent_count; i++)
		if (!sl_auction_unfit(&bidding->auction, &bidding->agents[i]) &&
		    is_beyond_credit(&bidding->auction, &bidding->agents[i]))
			fault->message = SL_SLICE("No agent of this category bids within what is left of the "
			                          "key's budget or balance: raise it, or ask for less.");
	fault->code = SL_SLICE("no_eligible_agents");
}

/* --- what it costs --------------------------------------------------------------------- */

/* What stands on a record instead of the date of a price list; the price follows. */
static const struct sl_slice price_mark = SL_SLICE_INIT("auction-");

/* Tokens of both sides at the auction's price, and nothing else. */
static const struct sl_model_card *
card_at(const struct sl_model_card *place, int64_t price_mtok, struct sl_arena *arena)
{
	struct sl_model_card *card = sl_arena_zalloc(arena, 1, sizeof(*card));

	if (!card)
		return NULL;
	if (place)
		*card = *place;
	card->tiers = NULL;
	card->tier_count = 0;
	card->price = (struct sl_price){
		.present = 1u << SL_USAGE_INPUT | 1u << SL_USAGE_OUTPUT | 1u << SL_USAGE_WEB_SEARCH,
		.nanousd = { [SL_USAGE_INPUT] = price_mtok, [SL_USAGE_OUTPUT] = price_mtok },
	};
	card->price_date = sl_arena_printf(arena, "%.*s%lld", SL_ARG(price_mark),
	                                   (long long)price_mtok);
	card->price_version = sl_catalog_version(card->price_date);
	return card;
}

void
sl_bidding_apply_price(const struct sl_bidding *bidding, struct sl_plan *plan,
                       struct sl_arena *arena)
{
	int64_t price_mtok = sl_bidding_price(bidding);

	for (size_t i = 0; i < plan->count; i++) {
		struct sl_plan_target *target = &plan->targets[i];

		target->card = card_at(target->card, price_mtok, arena);
		if (plan->judged)
			sl_cost_of(target->card, &target->tokens, &target->cost);
	}
}

bool
sl_bidding_price_of(struct sl_slice price_date, int64_t *nanousd)
{
	return sl_slice_starts(price_date, price_mark) &&
	       sl_slice_i64(sl_slice_from(price_date, price_mark.len), nanousd);
}

/* --- telling --------------------------------------------------------------------------- */

static void
write_bid(const struct sl_bidding *bidding, size_t at, struct sl_json_writer *w)
{
	const struct sl_bid *bid = &bidding->result.ranking[at];
	const struct sl_agent *agent = &bidding->agents[bid->agent];
	int64_t price = sl_auction_price_at(&bidding->auction, bidding->agents, &bidding->result, at);

	sl_json_obj(w);
	sl_json_int(w, "rank", (int64_t)at + 1);
	sl_json_str(w, "route_name", agent->name);
	sl_json_str(w, "category", agent->category);
	sl_json_usd(w, "bid_price", sl_auction_per_mtok(&bidding->auction, bid->price_nanousd));
	sl_json_usd(w, "price", sl_auction_per_mtok(&bidding->auction, price));
	sl_json_usd(w, "expected_cost_usd", price);
	sl_json_key(w, "reputation_score");
	sl_json_put_f64(w, (double)agent->quality_ppm / SL_AUCTION_PPM);
	sl_json_obj_end(w);
}

static bool
is_ranked(const struct sl_bidding *bidding, size_t agent)
{
	for (size_t i = 0; i < bidding->result.count; i++)
		if (bidding->result.ranking[i].agent == agent)
			return true;
	return false;
}

static void
write_absent(const struct sl_bidding *bidding, size_t at, struct sl_json_writer *w)
{
	const struct sl_agent *agent = &bidding->agents[at];
	const char *why = sl_auction_unfit(&bidding->auction, agent);
	int64_t bid = sl_auction_bid(&bidding->auction, agent);

	sl_json_obj(w);
	sl_json_str(w, "route_name", agent->name);
	sl_json_usd(w, "bid_price", sl_auction_per_mtok(&bidding->auction, bid));
	sl_json_usd(w, "expected_cost_usd", bid);
	if (!why)
		why = sl_auction_too_dear(&bidding->auction, agent, bid);
	/* More than are ranked, or another agent of its owner stands there. */
	sl_json_str(w, "why", sl_slice_str(why ? why : "others bid better"));
	sl_json_obj_end(w);
}

static bool
print_bid(const struct sl_bidding *bidding, const struct sl_agent *agent, int64_t nanousd,
          struct sl_buf *out)
{
	struct sl_json_writer w;
	size_t begun = out->len;

	sl_buf_printf(out, "%s%.*s=", out->len ? " " : "", SL_ARG(agent->name));
	sl_json_writer_init(&w, out);
	sl_json_put_nanousd(&w, sl_auction_per_mtok(&bidding->auction, nanousd));
	if (out->len + sizeof(" | +1024") <= SL_BIDS_MAX)
		return true;
	out->len = begun;
	return false;
}

struct sl_slice
sl_bidding_print(const struct sl_bidding *bidding, struct sl_arena *arena)
{
	struct sl_slice text;
	struct sl_buf out;
	size_t left_out = 0;
	bool bar = false;

	sl_buf_init(&out, 2 * SL_BIDS_MAX);
	for (size_t i = 0; i < bidding->result.count; i++) {
		const struct sl_bid *bid = &bidding->result.ranking[i];

		left_out += !print_bid(bidding, &bidding->agents[bid->agent], bid->price_nanousd, &out);
	}
	for (size_t i = 0; i < bidding->agent_count; i++) {
		const struct sl_agent *agent = &bidding->agents[i];

		if (is_ranked(bidding, i))
			continue;
		if (!bar)
			sl_buf_append_str(&out, " |");
		bar = true;
		left_out += !print_bid(bidding, agent, sl_auction_bid(&bidding->auction, agent), &out);
	}
	if (left_out > 0)
		sl_buf_printf(&out, " +%zu", left_out);
	text = sl_arena_dup(arena, sl_buf_slice(&out));
	sl_buf_release(&out);
	return text;
}

void
sl_bidding_write(const struct sl_bidding *bidding, struct sl_json_writer *w)
{
	bool second = bidding->auction.rule == SL_AUCTION_SECOND_SCORE;

	sl_json_key(w, "auction");
	sl_json_obj(w);
	sl_json_str(w, "mode", bidding->ranks ? SL_SLICE("air") : SL_SLICE("aix"));
	sl_json_str(w, "payment", second ? SL_SLICE("second_score") : SL_SLICE("first_price"));
	sl_json_int(w, "input_tokens", bidding->auction.input_tokens);
	sl_json_int(w, "output_tokens", bidding->auction.output_tokens);
	sl_json_key(w, "ranking");
	sl_json_arr(w);
	for (size_t i = 0; i < bidding->result.count; i++)
		write_bid(bidding, i, w);
	sl_json_arr_end(w);
	sl_json_key(w, "dropped");
	sl_json_arr(w);
	for (size_t i = 0; i < bidding->agent_count; i++)
		if (!is_ranked(bidding, i))
			write_absent(bidding, i, w);
	sl_json_arr_end(w);
	sl_json_obj_end(w);
}

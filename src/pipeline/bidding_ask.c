/* bidding_ask.c - an ask whose route is chosen by auction.
 *
 * AIX goes on as if the winner had been named; when it cannot answer, the next in the
 * ranking is asked, without a new auction and within router.retries. AIR answers and
 * executes nothing.
 */
#include "pipeline/agent_book.h"
#include "pipeline/aim.h"
#include "pipeline/ask.h"
#include "pipeline/bidding.h"

enum { ANSWER_BYTES_MAX = 256 * 1024 };

/* --- AIR ----------------------------------------------------------------------------- */

static void
put_candidates(struct sl_json_writer *w, const struct sl_bidding *bidding)
{
	const struct sl_auction_result *result = &bidding->result;

	sl_json_key(w, "candidates");
	sl_json_arr(w);
	for (size_t i = 0; i < result->count && i < (size_t)bidding->top_k; i++) {
		const struct sl_bid *bid = &result->ranking[i];
		const struct sl_agent *agent = &bidding->agents[bid->agent];
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
answer_ranking(struct sl_ask *ask, const struct sl_bidding *bidding)
{
	struct sl_json_writer w;
	struct sl_buf out;

	sl_buf_init(&out, ANSWER_BYTES_MAX);
	sl_json_writer_init(&w, &out);
	sl_json_obj(&w);
	put_candidates(&w, bidding);
	sl_json_key(&w, "message");
	sl_json_obj(&w);
	put_candidates(&w, bidding);
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
	sl_ask_answer_json(ask, &out);
	sl_buf_release(&out);
}

/* --- AIX ------------------------------------------------------------------------------ */

/* The agent whose turn it is takes the place of the auction's name. False: no memory. */
static bool
choose(struct sl_ask *ask, const struct sl_bidding *bidding)
{
	const struct sl_agent *agent = sl_bidding_agent(bidding);
	struct sl_won_auction *won = SL_ARENA_NEW(&ask->exchange->arena, struct sl_won_auction);

	if (!won)
		return false;
	ask->head->selection.wish.route = agent->name;
	won->agent = agent->name;
	won->category = agent->category;
	won->quality = (double)agent->quality_ppm / SL_AUCTION_PPM;
	won->bid_nanousd =
	    sl_auction_per_mtok(&bidding->auction, bidding->result.ranking[bidding->at].price_nanousd);
	won->paid_nanousd = sl_bidding_price(bidding);
	ask->decision.auction = won;
	return true;
}

/* False: it is answered. */
static bool
hold_auction(struct sl_ask *ask)
{
	const struct sl_bidding_view view = {
		.world = ask->world,
		.board = ask->gateway->services.board,
		.tenancy = &ask->tenancy,
		.book = ask->gateway->services.agents,
		.money = ask->gateway->services.money,
		.now_wall_ms = ask->record.begin_wall_ms,
		.steer = &ask->front->steer,
		.now_us = sl_loop_now_ns(ask->gateway->loop) / 1000,
		.arena = &ask->front->arena,
	};
	struct sl_bidding *bidding;
	struct sl_fault fault;

	bidding = sl_bidding_hold(&view, &fault);
	if (bidding)
		ask->record.bids = sl_bidding_print(bidding, &ask->exchange->arena);
	if (bidding && bidding->result.count == 0)
		sl_bidding_explain_nobody(bidding, &fault);
	if (!bidding || bidding->result.count == 0) {
		sl_ask_refuse(ask, &fault);
		return false;
	}
	if (bidding->ranks) {
		answer_ranking(ask, bidding);
		return false;
	}
	for (size_t i = 0; i < bidding->result.count; i++)
		sl_agent_book_auction(view.book, bidding->agents[bidding->result.ranking[i].agent].name,
		                      i == 0);
	bidding->input = ask->head->input;
	bidding->steer = ask->front->steer;
	ask->front->bidding = bidding;
	if (choose(ask, bidding))
		return true;
	sl_ask_refuse_memory(ask);
	return false;
}

bool
sl_bidding_apply(struct sl_ask *ask)
{
	return !sl_bidding_is_asked(&ask->head->selection) || hold_auction(ask);
}

/* --- when it fails ----------------------------------------------------------------------- */

/* What would be refused to the next one too. */
static bool
is_for_all(const struct sl_fault *fault)
{
	return fault && (fault->kind == SL_FAULT_BUDGET || fault->kind == SL_FAULT_BALANCE ||
	                 fault->kind == SL_FAULT_UNAVAILABLE);
}

/* Targets of the plan that is about to go, where they are still spoken of. */
static bool
keep_targets(struct sl_ask_front *front)
{
	struct sl_plan_target *room = SL_ARENA_ARRAY(&front->arena, struct sl_plan_target, 2);

	if (!room)
		return false;
	if (front->target) {
		room[0] = *front->target;
		front->target = &room[0];
	}
	if (front->kept.target) {
		room[1] = *front->kept.target;
		front->kept.target = &room[1];
	}
	return true;
}

/* The request as it was, for another agent. False: this one cannot take it. */
static bool
turn_to(struct sl_ask *ask, const struct sl_bidding *bidding)
{
	struct sl_ask_front *front = ask->front;
	struct sl_fault fault;

	if (!choose(ask, bidding))
		return false;
	ask->head->input = bidding->input;
	front->steer = bidding->steer;
	front->translation = NULL;
	front->next_target = 0;
	return sl_route_apply(ask, &fault) && sl_aim_ask(ask, &fault);
}

bool
sl_bidding_next(struct sl_ask *ask, const struct sl_fault *last)
{
	struct sl_bidding *bidding = ask->front->bidding;

	if (!bidding || ask->drain || is_for_all(last) ||
	    ask->record.attempts > ask->world->config->router_retries || !keep_targets(ask->front))
		return false;
	while (bidding->at + 1 < bidding->result.count) {
		sl_agent_book_answer(ask->gateway->services.agents, ask->decision.auction->agent, false);
		bidding->at++;
		if (turn_to(ask, bidding)) {
			sl_attempt_next(ask, last);
			return true;
		}
	}
	return false;
}

void
sl_bidding_note(struct sl_ask *ask)
{
	if (!ask->decision.auction || ask->record.attempts == 0)
		return;
	/* A caller who left says nothing of the answer. */
	if (ask->record.outcome == SL_OUTCOME_OK || ask->record.outcome == SL_OUTCOME_FAILED ||
	    ask->record.outcome == SL_OUTCOME_CUT || ask->record.outcome == SL_OUTCOME_UPSTREAM_ERROR)
		sl_agent_book_answer(ask->gateway->services.agents, ask->decision.auction->agent,
		                     ask->record.outcome == SL_OUTCOME_OK);
}

/* bidding.h - auctions among the configured agents. Private to the pipeline.
 *
 *   stoPayload.stoAuction --agents, their record--> auction --AIX--> the winner's route
 *                                                      |                |
 *                                                      |              fails --> the next one's
 *                                                      '--AIR--> the ranking, answered
 *
 * Who executes is paid its price of a million tokens for the tokens that were used: that
 * is what the caller is charged, in the ledger, the record and the header. What the place
 * behind the agent charges is between it and the operator.
 */
#ifndef SL_PIPELINE_BIDDING_H
#define SL_PIPELINE_BIDDING_H

#include "base/json.h"
#include "pipeline/board.h"
#include "pipeline/world.h"
#include "routing/auction.h"
#include "routing/plan.h"
#include "surfaces/surface.h"

struct sl_ask;
struct sl_agent_book;
struct sl_money;
struct sl_tenancy;

/* Who asks for what. Everything is borrowed. */
struct sl_bidding_view {
	struct sl_world         *world;
	struct sl_board         *board;
	const struct sl_tenancy *tenancy; /* closed: everything is allowed */
	struct sl_agent_book    *book;    /* NULL: all are newcomers */
	struct sl_money         *money;   /* NULL: nothing limits what the caller can pay */
	int64_t                  now_wall_ms;
	const struct sl_steer   *steer;
	uint64_t                 now_us;
	struct sl_arena         *arena;   /* as long as the bidding */
};

enum { SL_BIDS_MAX = 1024 }; /* bytes of the record's bids */

/* An auction that was held. */
struct sl_bidding {
	struct sl_auction        auction;
	struct sl_slice          family;  /* empty: any */
	bool                     ranks;   /* AIR: nothing is executed */
	int64_t                  top_k;
	struct sl_agent         *agents;
	size_t                   agent_count;
	struct sl_auction_result result;
	size_t                   at;      /* place in the ranking of who executes */
	struct sl_shape_input    input;   /* the request before an agent's instructions */
	struct sl_steer          steer;
};

/* Whether the request names the auction for its route. */
bool sl_bidding_is_asked(const struct sl_selection *selection);
/* Holds it. NULL: *fault, a request that is wrong. Nobody may qualify: result.count 0. */
struct sl_bidding *sl_bidding_hold(const struct sl_bidding_view *view, struct sl_fault *fault);
/* Who executes, and at which price of a million tokens. */
const struct sl_agent *sl_bidding_agent(const struct sl_bidding *bidding);
int64_t sl_bidding_price(const struct sl_bidding *bidding);
void sl_bidding_explain_nobody(const struct sl_bidding *bidding, struct sl_fault *fault);
/* Puts the auction's price in the place of the catalogue's. arena: as long as the cards. */
void sl_bidding_apply_price(const struct sl_bidding *bidding, struct sl_plan *plan,
                            struct sl_arena *arena);
/* The price of a million tokens of a record whose price was an auction's. False: it was not. */
bool sl_bidding_price_of(struct sl_slice price_date, int64_t *nanousd);
/* Every bid, best first, as "NAME=USD" of a million tokens and spaces between; behind a bar
 * those that did not qualify. For the record: what does not fit is counted, "+3". */
struct sl_slice sl_bidding_print(const struct sl_bidding *bidding, struct sl_arena *arena);
/* "auction": {...}, for people. */
void sl_bidding_write(const struct sl_bidding *bidding, struct sl_json_writer *w);

/* The request was read: when it names the auction, the winner's route takes the name's
 * place. False: answered, with the ranking or a refusal. */
bool sl_bidding_apply(struct sl_ask *ask);
/* Who executed failed, and `last` says how. True: the next in the ranking is under way, or
 * has ended it all. */
bool sl_bidding_next(struct sl_ask *ask, const struct sl_fault *last);
/* The end: how the agent did. */
void sl_bidding_note(struct sl_ask *ask);

#endif

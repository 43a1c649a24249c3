/* auction.h - agents bid for a request.
 *
 * Sealed, one round: each agent's bid follows from what it registered and from this
 * request alone, nobody's from another's bid. All arithmetic is in integers and ties are
 * broken by name, so the same auction has the same outcome wherever and in whatever order
 * it is computed. Pure.
 *
 *   agents --category, health, context--> bids --reserve, credit--> ranking --> price
 */
#ifndef SL_ROUTING_AUCTION_H
#define SL_ROUTING_AUCTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* id, name in the configuration */
#define SL_BID_STRATEGIES(X)                                                              \
	X(MINIMUM, "minimum")   /* the least it takes */                                  \
	X(UNDERCUT, "undercut") /* a twentieth below the reserve price, or its greatest */\
	X(ADAPTIVE, "adaptive") /* between both, higher the more it has won */

enum sl_bid_strategy {
#define SL_BID_ENUM(id, name) SL_BID_##id,
	SL_BID_STRATEGIES(SL_BID_ENUM)
#undef SL_BID_ENUM
	SL_BID_STRATEGY_COUNT,
};
/* False: no such name. */
bool sl_bid_strategy_find(struct sl_slice name, enum sl_bid_strategy *out);

/* What a request costs at an agent, in nano-dollars; at most a million dollars each. */
struct sl_price_formula {
	int64_t per_call;
	int64_t per_input_mtok, per_output_mtok; /* of a million tokens */
};

/* --- quality ------------------------------------------------------------------ */

/* How an agent's answers were, as the gateway saw them: zeros for a newcomer. */
struct sl_reputation {
	uint32_t good, bad;
};
/* One answer more. Old ones fade: half of everything is forgotten now and then. */
void sl_reputation_note(struct sl_reputation *reputation, bool good);
/* Parts per million: the mean that is likely, less what is uncertain about it, so that a
 * newcomer is neither worthless nor first. */
int32_t sl_reputation_ppm(const struct sl_reputation *reputation);

/* --- the auction ---------------------------------------------------------------- */

enum { SL_AUCTION_MAX = 64, SL_AUCTION_PPM = 1000000 };

struct sl_agent {
	struct sl_slice         name;     /* unique; the last word in ties */
	struct sl_slice         category;
	struct sl_slice         owner;    /* who bids through several agents bids once; empty:
	                                   * nobody else's */
	enum sl_bid_strategy    strategy;
	struct sl_price_formula floor, ceiling;
	int64_t                 context_tokens; /* 0: unknown, taken for enough */
	int32_t                 quality_ppm;    /* measured, never claimed */
	int32_t                 won_ppm;        /* share of its last auctions; ADAPTIVE */
	bool                    out;            /* ill, switched off, or not allowed */
	bool                    paid_elsewhere; /* by the caller itself: its credit here does
	                                         * not bound the bid */
};

enum sl_auction_rule {
	SL_AUCTION_FIRST_PRICE,  /* the winner is paid its bid */
	SL_AUCTION_SECOND_SCORE, /* the winner is paid up to what would just have won: then an
	                          * agent does best by bidding what it needs */
};

struct sl_auction {
	struct sl_slice      category;       /* empty: any */
	int64_t              input_tokens, output_tokens; /* expected of this request */
	int64_t              reserve_mtok;   /* the caller's maximum of a million tokens, nano-
	                                      * dollars; -1: none */
	int64_t              credit_nanousd; /* what the caller can pay at all; -1: no limit */
	int64_t              quality_value;  /* nano-dollars that the step from quality 0 to 1
	                                      * is worth for this request; 0: price alone */
	enum sl_auction_rule rule;
};

struct sl_bid {
	size_t  agent;         /* index into the agents */
	int64_t price_nanousd; /* of this request */
	int64_t score;         /* its quality's value less the price */
};

struct sl_auction_result {
	struct sl_bid ranking[SL_AUCTION_MAX]; /* best first */
	size_t        count;         /* 0: nobody qualified */
	int64_t       price_nanousd; /* what the winner is paid; never below its bid, never above
	                              * what the caller may pay */
};

/* NULL, or why the agent cannot take part, whatever it bids. */
const char *sl_auction_unfit(const struct sl_auction *auction, const struct sl_agent *agent);

/* NULL, or why the caller cannot pay the bid. */
const char *sl_auction_too_dear(const struct sl_auction *auction, const struct sl_agent *agent,
                                int64_t bid_nanousd);

/* The bid of one agent; it is made whether or not the caller can pay it. */
int64_t sl_auction_bid(const struct sl_auction *auction, const struct sl_agent *agent);

/* bids_nanousd: made elsewhere, one for each agent; NULL: as sl_auction_bid makes them. Of
 * more than SL_AUCTION_MAX qualified agents the best are ranked. */
void sl_auction_run(const struct sl_auction *auction, const struct sl_agent *agents,
                    const int64_t *bids_nanousd, size_t count, struct sl_auction_result *out);

/* What the agent at a place of the ranking would be paid if those before it were not there:
 * who is next when an answer fails needs no new auction. */
int64_t sl_auction_price_at(const struct sl_auction *auction, const struct sl_agent *agents,
                            const struct sl_auction_result *result, size_t at);

/* An amount for this request as a price of a million tokens, rounded up. */
int64_t sl_auction_per_mtok(const struct sl_auction *auction, int64_t nanousd);

#endif

/* board.h - how every target of the process is doing, and which are switched off.
 *
 * One for the process: all loops learn from each other's attempts, and a reload
 * forgets nothing. A target is a provider's name and its model id, whatever alias
 * led there. Deployments that are configured always have a place; targets that
 * callers named as provider/model share what is left (SL_BOARD_NAMED_MAX), and
 * beyond that count under their provider's "*", so that made-up names cost no
 * memory.
 *
 * shared: each target behind its own lock, held for a few plain loads and stores.
 * Any thread.
 */
#ifndef SL_PIPELINE_BOARD_H
#define SL_PIPELINE_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "model/config.h"
#include "routing/health.h"

enum {
	SL_BOARD_TARGETS_MAX = 2048,
	SL_BOARD_NAMED_MAX = 1024,
	SL_BOARD_SWITCHES_MAX = 1024,  /* deployments that are switched off */
	SL_BOARD_ID_MAX = 512,         /* bytes of a deployment's id */
};

struct sl_board;
struct sl_board_target;

struct sl_board *sl_board_new(void);
void sl_board_free(struct sl_board *board);
/* Gives each deployment its place; those of earlier configurations are deployments
 * no longer. */
void sl_board_register(struct sl_board *board, const struct sl_config *config);

/* --- attempts ------------------------------------------------------------------- */

/* An attempt in flight. Zero: none. owner: whoever makes the attempt. */
struct sl_board_ticket {
	struct sl_board_target *target; /* NULL: none, or there was no room to watch it */
	struct sl_health_ticket health;
};

void sl_board_figures(struct sl_board *board, struct sl_slice provider, struct sl_slice model,
                      bool stream, uint64_t now_us, struct sl_health_figures *out);
/* What a ticket's target is known by; NULL: it was never seen. */
const void *sl_board_thing(struct sl_board *board, struct sl_slice provider,
                           struct sl_slice model);
/* Where the target's attempts count; lives as long as the board. NULL: there is no room. */
struct sl_board_target *sl_board_place(struct sl_board *board, struct sl_slice provider,
                                       struct sl_slice model);
/* False: not this target now, take another. place may be NULL. */
bool sl_board_begin(struct sl_board_target *place, bool stream, bool last, uint64_t now_us,
                    struct sl_board_ticket *ticket);
/* For the ledger's number of the ticket's target, with its model or of the provider alone:
 * 0 until somebody puts it there. NULL: the place is that of several. */
atomic_uint *sl_board_number(const struct sl_board_ticket *ticket, bool with_model);
void sl_board_content(struct sl_board_ticket *ticket, uint64_t now_us);
/* Ends the attempt and empties the ticket; an empty one is fine. */
void sl_board_end(struct sl_board_ticket *ticket, enum sl_verdict verdict,
                  uint64_t retry_after_ms, uint64_t now_us);

/* Whether the breaker of any of the provider's targets is open. */
bool sl_board_is_open(struct sl_board *board, struct sl_slice provider);
/* A probe of the provider was answered, or not: sl_health_hint of each such target. */
void sl_board_hint(struct sl_board *board, struct sl_slice provider, bool alive,
                   uint64_t now_us, uint64_t until_us);

/* A request came / wants a further attempt: false when the budget is spent. */
void sl_board_request(struct sl_board *board, uint64_t now_us);
bool sl_board_retry(struct sl_board *board, uint64_t now_us);

/* --- hedges (hedge.h) ---------------------------------------------------------------- */

/* What came of those that were due. */
#define SL_HEDGE_EVENTS(X)                                                            \
	X(STARTED, "started")                                                         \
	X(WON, "won")         /* of the started: the second attempt was the quicker */ \
	X(NO_BUDGET, "budget")                                                        \
	X(NO_MONEY, "money")  /* no limit had room for a second hold */               \
	X(NO_TARGET, "target")                                                        \
	X(NOT_TWICE, "request") /* it must not be made twice */
enum sl_hedge_event {
#define SL_HEDGE_ENUM(id, name) SL_HEDGE_##id,
	SL_HEDGE_EVENTS(SL_HEDGE_ENUM)
#undef SL_HEDGE_ENUM
	SL_HEDGE_EVENT_COUNT,
};
/* A request came that may be hedged. */
void sl_board_hedge_earn(struct sl_board *board, uint32_t percent);
/* Wants a second attempt, which is a further one too. Refused ones are counted. */
bool sl_board_hedge_take(struct sl_board *board, uint64_t now_us);
void sl_board_hedge_count(struct sl_board *board, enum sl_hedge_event event);
uint64_t sl_board_hedges(const struct sl_board *board, enum sl_hedge_event event);
/* What so many of a hundred first contents of the target took at most; 0: not known. */
uint64_t sl_board_percentile_us(struct sl_board *board, struct sl_slice provider,
                                struct sl_slice model, bool stream, uint32_t percent);

/* --- switches ---------------------------------------------------------------------- */

/* Ids are those of deployments, "alias/provider/model", or "provider/model". */
bool sl_board_is_disabled(struct sl_board *board, struct sl_slice id);
/* Whether nothing at all is switched off: the usual case, without a lock. */
bool sl_board_all_enabled(const struct sl_board *board);
/* SL_ELIMIT: too many, or the id is too long. */
enum sl_err sl_board_switch(struct sl_board *board, struct sl_slice id, bool disabled);

/* --- looking ------------------------------------------------------------------------ */

/* A copy of one target, for people. Text lives as long as the board. */
struct sl_board_view {
	struct sl_slice          provider, model;
	bool                     deployed; /* an alias of the present configuration has it */
	struct sl_health_figures live;     /* latency: of streams, or of whole replies */
	uint64_t                 attempts, failures, limited, opened;
};
/* False: never seen. */
bool sl_board_look(struct sl_board *board, struct sl_slice provider, struct sl_slice model,
                   uint64_t now_us, struct sl_board_view *out);
/* Every target that was seen, in no order, while others may be added. */
void sl_board_each(struct sl_board *board, uint64_t now_us,
                   void (*each)(void *context, const struct sl_board_view *view),
                   void *context);
/* Every id that is switched off, also those of deployments that are no more. */
void sl_board_each_disabled(struct sl_board *board,
                            void (*each)(void *context, struct sl_slice id), void *context);
/* Further attempts that the budget did not allow, since the start. */
uint64_t sl_board_retries_refused(struct sl_board *board);

#endif

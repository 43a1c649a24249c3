/* aim.h - a plan for a request, from what this process knows.
 *
 * The plan itself is pure (routing/plan.h). Here its questions are answered: by the
 * world, the board, the key and the shape. The same answers serve a request that is
 * to be sent and one that is only explained.
 */
#ifndef SL_PIPELINE_AIM_H
#define SL_PIPELINE_AIM_H

#include "ledger/tenancy.h"
#include "pipeline/board.h"
#include "pipeline/world.h"
#include "routing/plan.h"
#include "routing/stack.h"
#include "shapes/shape.h"
#include "shapes/tally.h"
#include "surfaces/surface.h"

struct sl_ask;
struct sl_extent;
struct sl_money;

/* Who asks for what. Everything is borrowed for the call. */
struct sl_aim {
	struct sl_world           *world;
	struct sl_board           *board;
	const struct sl_tenancy   *tenancy; /* closed: everything is allowed */
	struct sl_stacks          *stacks;
	struct sl_sticky          *sticky; /* NULL: no conversation is known */
	const struct sl_shape_ops *shape;
	const struct sl_steer     *steer; /* as the shape read it */
	const struct sl_selection *selection; /* what was chosen besides the message */
	struct sl_slice            model; /* as requested */
	struct sl_plan_names      *names; /* the loop's memory; NULL: none */
	uint64_t                   chance; /* uniformly random */
	uint64_t                   turn;
	uint64_t                   now_us;
	bool                       explain; /* judge every target */
	struct sl_arena           *arena; /* as long as the plan */
	/* NULL: what is left of budgets is not asked. */
	struct sl_money           *money;
	struct sl_extent          *extent; /* of the body, kept for the hold; with money */
	int64_t                    now_wall_ms;
	const struct sl_token_memory *corrections; /* NULL: none */
	struct sl_tally           *tallies[SL_ENCODINGS]; /* the plan's own; NULL: not made yet */
};

/* The model that is meant: what the contract chose, else what was written. */
static inline struct sl_slice
sl_aim_model(const struct sl_selection *selection, struct sl_slice written)
{
	return selection->model.len > 0 ? selection->model : written;
}

/* The stack is the first that is named: by the request, its key, the key's workspace;
 * where the contract or a virtual model needs one, the managed default. False: *fault,
 * text on the arena. */
bool sl_aim_plan(struct sl_aim *aim, struct sl_plan *plan, struct sl_fault *fault);

/* Plans an ask whose request was read, and notes the decision. */
bool sl_aim_ask(struct sl_ask *ask, struct sl_fault *fault);

#endif

/* explain.h - where a request would go, and why, without sending it.
 */
#ifndef SL_PIPELINE_EXPLAIN_H
#define SL_PIPELINE_EXPLAIN_H

#include "base/json.h"
#include "pipeline/aim.h"

struct sl_agent_book;
struct sl_keyring;
struct sl_money;
struct sl_tenants;

/* What the answer is made from. Borrowed for the call. */
struct sl_explain {
	struct sl_world   *world;
	struct sl_board   *board;
	struct sl_stacks  *stacks;
	struct sl_keyring *keyring;
	struct sl_tenants *tenants;
	struct sl_agent_book *agents;
	struct sl_money   *money; /* NULL: budgets are not told */
	int64_t            now_wall_ms;
	uint64_t           now_us;
	struct sl_arena   *arena;
};

/* request: {"path" or "shape", "headers": {...}, "body": {...} or text, "key": id}; the
 * key may also stand among the headers as a caller sends it. True: the answer is in out,
 * also when no target is left ("error" says why). False: *fault, the request cannot be
 * explained. */
bool sl_explain_request(const struct sl_explain *how, struct sl_json request, struct sl_buf *out,
                        struct sl_fault *fault);


#endif

/* judge.h - what targets of a plan can do, cost and promise. Private to routing/.
 */
#ifndef SL_ROUTING_JUDGE_H
#define SL_ROUTING_JUDGE_H

#include "routing/plan.h"

/* What the request asks, read and classified once. False: it holds no prompt. */
bool sl_judge_prompt(const struct sl_plan_query *query, struct sl_plan *plan);
bool sl_judge_class(const struct sl_plan_query *query, struct sl_plan *plan);

/* NULL, or the boundary of the stack that forbids the target. */
const char *sl_judge_boundary(const struct sl_plan_query *query,
                              const struct sl_plan_target *target);
/* NULL, or why the catalogue says that the target cannot serve the request. */
const char *sl_judge_fitness(const struct sl_plan_query *query, struct sl_plan *plan,
                             const struct sl_plan_target *target);
/* Where the operator names none: by the price of its output. */
enum sl_bucket sl_judge_tier(struct sl_slice configured, const struct sl_model_card *card);
/* Tokens, costs, qualities and the baseline of every target and drop. */
void sl_judge_plan(const struct sl_plan_query *query, struct sl_plan *plan);
/* Orders the targets of a judged plan by its objective. */
void sl_judge_rank(const struct sl_plan_query *query, struct sl_plan *plan);

#endif

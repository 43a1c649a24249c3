/* plan_names.h - what models' names stand for, remembered.
 *
 * Most names stand for one place, whoever asks for them: provider/model, an alias with one
 * deployment. Which one it is follows from the configuration alone, so it is found once in
 * each; whether the place may be used is asked for every request.
 *
 * owner: one thread. Bounded; a name that another one displaced is found anew.
 */
#ifndef SL_ROUTING_PLAN_NAMES_H
#define SL_ROUTING_PLAN_NAMES_H

#include "routing/plan.h"

enum { SL_PLAN_NAMES = 16, SL_PLAN_NAME_MAX = 72 };

struct sl_plan_name {
	uint64_t              serial; /* of the configuration; 0: not in use */
	uint64_t              hash;
	struct sl_plan_target target; /* before anybody asked for it */
	size_t                within; /* where the target's model begins in the name; SIZE_MAX:
	                               * it is the configuration's */
	bool                  from_alias;
	uint8_t               len;
	char                  text[SL_PLAN_NAME_MAX];
};

/* Zeros are an empty one. */
struct sl_plan_names {
	struct sl_plan_name list[SL_PLAN_NAMES];
};

/* NULL: not remembered. The target's model is to be taken from `name` where it is within. */
const struct sl_plan_name *sl_plan_names_find(const struct sl_plan_names *names, uint64_t serial,
                                              struct sl_slice name);
/* The name stands for the target and nothing else in the configuration with this serial
 * (not 0), which lives as long as somebody asks with it. */
void sl_plan_names_put(struct sl_plan_names *names, uint64_t serial, struct sl_slice name,
                       const struct sl_plan_target *target, bool from_alias);

#endif

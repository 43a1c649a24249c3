/* outlay.h - the most that a request can cost at a model.
 *
 * One bound for the plan, which leaves out what cannot be paid, and for the hold, which
 * decides. Pure.
 */
#ifndef SL_PIPELINE_OUTLAY_H
#define SL_PIPELINE_OUTLAY_H

#include "ledger/money_bound.h"
#include "shapes/extent.h"

struct sl_outlay {
	const struct sl_shape_ops *shape;
	const struct sl_steer     *steer;
	const struct sl_extent    *extent;
	int64_t                    body_bytes;   /* of what is sent */
	int64_t                    output_limit; /* put in; 0: the caller's, if there is one */
};

enum sl_bound_gap sl_outlay_bound(const struct sl_outlay *outlay,
                                  const struct sl_model_card *card, int64_t *nanousd);
/* As above; where no limit of the answer is known and the shape takes one, limit is put
 * into outlay->output_limit. */
enum sl_bound_gap sl_outlay_limit(struct sl_outlay *outlay, const struct sl_model_card *card,
                                  uint64_t limit, int64_t *nanousd);

#endif

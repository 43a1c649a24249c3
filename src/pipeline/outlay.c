/* outlay.c - what a shape's request is to the ledger's bound. */
#include "pipeline/outlay.h"

enum sl_bound_gap
sl_outlay_bound(const struct sl_outlay *outlay, const struct sl_model_card *card,
                int64_t *nanousd)
{
	const struct sl_extent *extent = outlay->extent;
	const struct sl_steer *steer = outlay->steer;
	const struct sl_bound_request request = {
		.body_bytes = outlay->body_bytes,
		.media_parts = extent->media_parts,
		.media_part_tokens = -1,
		.max_tokens = outlay->output_limit > 0 ? outlay->output_limit
		                                       : steer->max_output_tokens,
		.n = steer->choices,
		.web_searches = extent->paid_calls,
		.tool_calls = extent->paid_calls,
		.images = outlay->shape == &sl_shape_openai_images ? steer->choices : 0,
		.audio_ms = outlay->shape == &sl_shape_openai_transcriptions ? -1 : 0,
		.stored_context = extent->stored_context,
	};

	return sl_money_bound(card, &request, nanousd);
}

enum sl_bound_gap
sl_outlay_limit(struct sl_outlay *outlay, const struct sl_model_card *card, uint64_t limit,
                int64_t *nanousd)
{
	enum sl_bound_gap gap = sl_outlay_bound(outlay, card, nanousd);

	if (gap != SL_BOUND_NO_MAX_TOKENS || !outlay->shape->takes_limit)
		return gap;
	outlay->output_limit = (int64_t)limit;
	return sl_outlay_bound(outlay, card, nanousd);
}

/* record.c - names of outcomes, and a record as a stored row. */
#include "telemetry/record.h"

#include "telemetry/row.h"

const char *
sl_outcome_name(enum sl_outcome outcome)
{
	static const char *const names[] = {
#define SL_OUTCOME_NAME(id, name) name,
		SL_OUTCOMES(SL_OUTCOME_NAME)
#undef SL_OUTCOME_NAME
	};

	return names[outcome];
}

bool
sl_record_unpriced(const struct sl_record *record)
{
	if (record->priced || record->provider.len == 0)
		return false;
	switch (record->outcome) {
	case SL_OUTCOME_OK:
	case SL_OUTCOME_CUT:
	case SL_OUTCOME_CLIENT_GONE:
	case SL_OUTCOME_SHUTDOWN:
		return record->upstream_status > 0 || record->usage.source != SL_USAGE_NONE;
	case SL_OUTCOME_REFUSED:
	case SL_OUTCOME_UPSTREAM_ERROR:
	case SL_OUTCOME_FAILED:
	case SL_OUTCOME_COUNT:
		break;
	}
	return record->usage.source != SL_USAGE_NONE;
}

static struct sl_slice
fault_text(enum sl_fault_kind fault)
{
	return fault == SL_FAULT_NONE ? SL_SLICE_NONE : sl_slice_str(sl_fault_name(fault));
}

static struct sl_slice
source_text(enum sl_usage_source source)
{
	return source == SL_USAGE_NONE ? SL_SLICE_NONE
	                               : sl_slice_str(sl_usage_source_name(source));
}

void
sl_record_to_row(const struct sl_record *record, struct sl_record_row *row)
{
	*row = (struct sl_record_row){
		.request_id = record->request_id,
		.client_request_id = record->client_request_id,
		.trace_id = record->trace_id,
		.key_id = record->key_id,
		.team = record->team,
		.workspace = record->workspace,
		.end_user = record->end_user,
		.tag = record->tag,
		.surface = record->surface,
		.shape = record->shape,
		.operation = record->operation,
		.model_requested = record->model_requested,
		.provider = record->provider,
		.model_served = record->model_served,
		.model_reported = record->model_reported,
		.deployment = record->deployment,
		.outcome = sl_slice_str(sl_outcome_name(record->outcome)),
		.fault = fault_text(record->fault),
		.usage_source = source_text(record->usage.source),
		.price_date = record->price_date,
		.bucket = record->bucket,
		.category = record->category,
		.translation = record->translation,
		.bids = record->bids,
		.begin_wall_ms = record->begin_wall_ms,
		.end_wall_ms = record->begin_wall_ms + (int64_t)(record->total_us / 1000),
		.status = record->status,
		.upstream_status = record->upstream_status,
		.stream = record->stream,
		.attempts = record->attempts,
		.score_permille = record->category.len ? (int64_t)(record->score * 1000)
		                                       : SL_RECORD_NULL,
		.bytes_in = (int64_t)record->bytes_in,
		.bytes_out = (int64_t)record->bytes_out,
		.total_us = (int64_t)record->total_us,
		.first_content_us = (int64_t)record->first_content_us,
		.upstream_us = (int64_t)record->upstream_us,
		.added_us = (int64_t)record->added_us,
		.cost_nanousd = record->priced ? record->cost_nanousd : SL_RECORD_NULL,
		.cached = record->cached ? 1 : SL_RECORD_NULL,
		.unpriced = sl_record_unpriced(record),
	};
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		row->usage[i] = sl_usage_has(&record->usage, (enum sl_usage_class)i)
		                    ? record->usage.count[i]
		                    : SL_RECORD_NULL;
}

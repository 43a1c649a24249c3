/* record.c - names of outcomes, and what of a record's row follows from the rest. */
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
	if (record->priced || record->row.provider.len == 0)
		return false;
	switch (record->outcome) {
	case SL_OUTCOME_OK:
	case SL_OUTCOME_CUT:
	case SL_OUTCOME_CLIENT_GONE:
	case SL_OUTCOME_SHUTDOWN:
		return record->row.upstream_status > 0 || record->usage.source != SL_USAGE_NONE;
	case SL_OUTCOME_REFUSED:
	case SL_OUTCOME_UPSTREAM_ERROR:
	case SL_OUTCOME_FAILED:
	case SL_OUTCOME_COUNT:
		break;
	}
	return record->usage.source != SL_USAGE_NONE;
}

void
sl_record_complete(struct sl_record *record)
{
	struct sl_record_row *row = &record->row;

	row->outcome = sl_slice_str(sl_outcome_name(record->outcome));
	row->fault = record->fault == SL_FAULT_NONE ? SL_SLICE_NONE
	                                            : sl_slice_str(sl_fault_name(record->fault));
	row->usage_source = record->usage.source == SL_USAGE_NONE
	                        ? SL_SLICE_NONE
	                        : sl_slice_str(sl_usage_source_name(record->usage.source));
	row->end_wall_ms = row->begin_wall_ms + row->total_us / 1000;
	row->score_permille = row->category.len ? (int64_t)(record->score * 1000) : SL_RECORD_NULL;
	row->cached = record->cached ? 1 : SL_RECORD_NULL;
	row->unpriced = sl_record_unpriced(record);
	if (!record->priced)
		row->cost_nanousd = SL_RECORD_NULL;
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		row->usage[i] = SL_RECORD_NULL;
	for (unsigned left = record->usage.present; left; left &= left - 1) {
		int class_ = __builtin_ctz(left);

		row->usage[class_] = record->usage.count[class_];
	}
}

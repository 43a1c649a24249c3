/* usage_scan.c - add up records: by hour, by duration, and the newest as they are.
 *
 * Durations fall into cells: below 128 us one for each, then 64 to a doubling, so that what
 * is read back is off by less than one part in 64.
 */
#include "telemetry/usage_scan.h"

#include "store/store.h"

enum { HOUR_MS = 3600 * 1000, LINEAR = 2 * SL_SPAN_STEPS };

static int64_t
known(int64_t number)
{
	return number == SL_RECORD_NULL ? 0 : number;
}

bool
sl_usage_is_narrowed(const struct sl_usage_question *question)
{
	return question->provider.len > 0 || question->model.len > 0 || question->team.len > 0 ||
	       question->end_user.len > 0 || question->tag.len > 0;
}

static bool
fits(struct sl_slice wanted, struct sl_slice given)
{
	return wanted.len == 0 || sl_slice_eq(wanted, given);
}

static bool
is_asked_for(const struct sl_usage_question *question, const struct sl_log_row *row)
{
	return fits(question->provider, row->provider) && fits(question->team, row->team) &&
	       fits(question->end_user, row->end_user) && fits(question->tag, row->tag) &&
	       (fits(question->model, row->model_served) ||
	        fits(question->model, row->model_requested));
}

/* --- durations ---------------------------------------------------------------- */

static size_t
cell_of(uint64_t us)
{
	unsigned doubling = 0;

	if (us > UINT32_MAX)
		us = UINT32_MAX;
	while (us >> doubling >= LINEAR)
		doubling++;
	return (size_t)doubling * SL_SPAN_STEPS + (size_t)(us >> doubling);
}

/* The most that falls into the cell. */
static uint64_t
most_of(size_t cell)
{
	size_t doubling = cell < LINEAR ? 0 : cell / SL_SPAN_STEPS - 1;

	return ((uint64_t)(cell - doubling * SL_SPAN_STEPS) + 1) << doubling;
}

/* The duration that 99 of 100 do not exceed. */
static uint64_t
p99_of(const struct sl_usage_scan *scan)
{
	uint64_t rank = (uint64_t)scan->times.requests * 99 / 100, seen = 0, us;

	rank += (uint64_t)scan->times.requests * 99 % 100 > 0;
	for (size_t i = 0; i < SL_SPAN_CELLS; i++) {
		seen += scan->cells[i];
		if (seen < rank || rank == 0)
			continue;
		us = most_of(i) - 1;
		return us < scan->longest_us ? us : scan->longest_us;
	}
	return scan->longest_us;
}

/* --- records -------------------------------------------------------------------- */

static void
add_times(struct sl_usage_scan *scan, const struct sl_log_row *row)
{
	uint64_t us = (uint64_t)known(row->total_us);
	bool ok = sl_slice_is(row->outcome, "ok") && known(row->status) < 400;

	scan->times.requests++;
	scan->times.failed += !ok;
	scan->times.cached += known(row->cached) > 0;
	scan->times.total_us += us;
	scan->cells[cell_of(us)]++;
	if (us > scan->longest_us)
		scan->longest_us = us;
}

static void
add_hour(struct sl_usage_scan *scan, const struct sl_log_row *row)
{
	int64_t hour = row->end_wall_ms / HOUR_MS;
	struct sl_usage_hour *sum = scan->hours + scan->hour_count - 1;

	if (scan->hour_count == 0 || sum->hour != hour) {
		if (scan->hour_count == scan->hour_room)
			return;
		sum = &scan->hours[scan->hour_count++];
		*sum = (struct sl_usage_hour){ .hour = hour };
	}
	sum->requests++;
	sum->input_tokens += known(row->input_tokens);
	sum->output_tokens += known(row->output_tokens);
	sum->cost_nanousd += known(row->cost_nanousd);
}

static struct sl_slice
kept(struct sl_usage_scan *scan, struct sl_slice text)
{
	struct sl_slice copy = sl_arena_dup(&scan->arena, text);

	scan->out_of_memory = scan->out_of_memory || !copy.ptr;
	return copy;
}

static void
add_call(struct sl_usage_scan *scan, const struct sl_log_row *row)
{
	scan->calls[scan->call_count++] = (struct sl_usage_call){
		.request_id = kept(scan, row->request_id),
		.provider = kept(scan, row->provider),
		.model = kept(scan, row->model_served.len > 0 ? row->model_served
		                                              : row->model_requested),
		.operation = kept(scan, row->operation),
		.end_user = kept(scan, row->end_user),
		.tag = kept(scan, row->tag),
		.end_wall_ms = row->end_wall_ms,
		.status = known(row->status),
		.input_tokens = known(row->input_tokens),
		.output_tokens = known(row->output_tokens),
		.cost_nanousd = known(row->cost_nanousd),
		.total_us = known(row->total_us),
		.priced = row->cost_nanousd != SL_RECORD_NULL,
		.stream = known(row->stream) > 0,
		.cached = known(row->cached) > 0,
	};
}

bool
sl_usage_scan_take(struct sl_usage_scan *scan, const struct sl_log_row *row)
{
	const struct sl_usage_question *question = &scan->question;
	/* As the kept sums have it: what was refused here, or only read something, was no
	 * request to a model. */
	bool counts = known(row->attempts) > 0 || known(row->cached) > 0;

	if (!is_asked_for(question, row))
		return true;
	if (counts && question->times)
		add_times(scan, row);
	if (counts && scan->hours)
		add_hour(scan, row);
	if (scan->call_count < question->calls && (counts || known(row->status) >= 400))
		add_call(scan, row);
	return !scan->out_of_memory && (question->times || scan->hours ||
	                                scan->call_count < question->calls);
}

void
sl_usage_scan_end(struct sl_usage_scan *scan)
{
	for (size_t i = 0; i < scan->hour_count / 2; i++) {
		struct sl_usage_hour other = scan->hours[i];

		scan->hours[i] = scan->hours[scan->hour_count - 1 - i];
		scan->hours[scan->hour_count - 1 - i] = other;
	}
	scan->times.p99_us = p99_of(scan);
}

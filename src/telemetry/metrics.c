/* metrics.c - sharded counters and their Prometheus text.
 *
 * What asks count hangs on a *lane*: one shape, operation, provider and model.
 * A shard finds a lane in a hash table of pointers that only grow; the pointer is
 * published once the lane's labels are written, and its numbers are relaxed
 * atomics with a single writer, so counting costs plain loads and stores and a
 * reader never sees a torn value.
 *
 * Labels stay few whatever callers send: a model becomes a label only when a
 * provider has answered for it with success, at most LANES_MODEL_MAX of them per
 * shard; the rest counts under model="other", and when even those are too many,
 * under "other" altogether.
 */
#include "telemetry/metrics.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "telemetry/row.h"

enum {
	LABELS = 4, /* shape, operation, provider, model */
	LABEL_MAX_SIZE = 96,
	LANES_MODEL_MAX = 256,
	LANES_MAX = 320,
	TABLE_SLOTS = 512,
	CELLS = 24,  /* status and outcome pairs of a lane; the last takes the rest */
	BUCKETS_MAX = 16,
};

/* --- histograms ------------------------------------------------------------ */

struct scale {
	uint64_t bound[BUCKETS_MAX]; /* inclusive, in the unit counted */
	size_t   count;
	double   unit; /* what one is worth in the unit shown */
};

/* The bounds that OpenTelemetry's semantic conventions for generative AI advise
 * (gen_ai.server.request.duration, .time_to_first_token, gen_ai.client.token.usage). */
static const struct scale duration_scale = {
	{ 10000, 20000, 40000, 80000, 160000, 320000, 640000, 1280000, 2560000, 5120000,
	  10240000, 20480000, 40960000, 81920000 }, 14, 1e-6,
};
static const struct scale first_token_scale = {
	{ 1000, 5000, 10000, 20000, 40000, 60000, 80000, 100000, 250000, 500000, 750000,
	  1000000, 2500000, 5000000, 7500000, 10000000 }, 16, 1e-6,
};
static const struct scale token_scale = {
	{ 1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216,
	  67108864 }, 14, 1,
};
/* Ours: what the gateway itself adds. */
static const struct scale added_scale = {
	{ 5, 10, 20, 30, 50, 75, 100, 150, 250, 500, 1000, 2500, 5000, 10000, 25000, 100000 },
	16, 1e-6,
};

struct histogram {
	_Atomic uint64_t bucket[BUCKETS_MAX + 1]; /* not cumulative; the last is +Inf */
	_Atomic uint64_t sum;
};

static void
count_up(_Atomic uint64_t *number, uint64_t by)
{
	atomic_store_explicit(number,
	                      atomic_load_explicit(number, memory_order_relaxed) + by,
	                      memory_order_relaxed);
}

static uint64_t
value_of(const _Atomic uint64_t *number)
{
	return atomic_load_explicit(number, memory_order_relaxed);
}

static void
observe(struct histogram *histogram, const struct scale *scale, uint64_t value)
{
	size_t i = 0;

	while (i < scale->count && value > scale->bound[i])
		i++;
	count_up(&histogram->bucket[i], 1);
	count_up(&histogram->sum, value);
}

/* --- lanes ----------------------------------------------------------------- */

struct cell {
	int     status;
	int     outcome; /* SL_OUTCOME_COUNT: the rest */
	_Atomic uint64_t requests;
};

struct lane {
	uint64_t         hash;
	struct sl_slice  label[LABELS]; /* safe to print between quotes */
	struct cell      cells[CELLS];
	atomic_size_t    cell_count;    /* published after the cell's labels */
	_Atomic uint64_t          tokens[SL_USAGE_COUNT];
	_Atomic uint64_t          cost_nanousd, unpriced, retries;
	struct histogram duration, first_token, added, input, output;
	char             text[];
};

enum label { LABEL_SHAPE, LABEL_OPERATION, LABEL_PROVIDER, LABEL_MODEL };

struct sl_metrics_shard {
	struct lane *_Atomic table[TABLE_SLOTS];
	size_t               lane_count; /* owner: loop */
	struct lane         *last;       /* owner: loop; the lane of the last ask */
	struct lane         *lane;       /* owner: loop; where the last record was counted; NULL: */
	struct cell         *cell;       /* nowhere */
	_Atomic uint64_t              began, finished, faults[SL_FAULT_KINDS];
};

static uint64_t
hash_labels(const struct sl_slice *label)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < LABELS; i++) {
		for (size_t k = 0; k < label[i].len; k++)
			hash = (hash ^ (unsigned char)label[i].ptr[k]) * 0x100000001b3u;
		hash = (hash ^ 0xff) * 0x100000001b3u;
	}
	return hash ^ hash >> 29;
}

static bool
same_labels(const struct sl_slice *a, const struct sl_slice *b)
{
	for (size_t i = 0; i < LABELS; i++)
		if (!sl_slice_eq(a[i], b[i]))
			return false;
	return true;
}

static struct lane *
lane_new(const struct sl_slice *label, uint64_t hash)
{
	struct lane *lane;
	size_t size = 0;
	char *text;

	for (size_t i = 0; i < LABELS; i++)
		size += label[i].len;
	lane = calloc(1, sizeof(*lane) + size);
	if (!lane)
		return NULL;
	lane->hash = hash;
	text = lane->text;
	for (size_t i = 0; i < LABELS; i++) {
		lane->label[i] = sl_slice_make(text, label[i].len);
		if (label[i].len)
			memcpy(text, label[i].ptr, label[i].len);
		text += label[i].len;
	}
	return lane;
}

/* NULL when there is none and `max` lanes exist already, or memory is out. */
static struct lane *
find_lane(struct sl_metrics_shard *shard, const struct sl_slice *label, size_t max)
{
	uint64_t hash = hash_labels(label);
	size_t slot = hash % TABLE_SLOTS;
	struct lane *lane;

	for (;; slot = (slot + 1) % TABLE_SLOTS) {
		lane = atomic_load_explicit(&shard->table[slot], memory_order_relaxed);
		if (!lane)
			break;
		if (lane->hash == hash && same_labels(lane->label, label))
			return lane;
	}
	if (shard->lane_count >= max)
		return NULL;
	lane = lane_new(label, hash);
	if (!lane)
		return NULL;
	shard->lane_count++;
	atomic_store_explicit(&shard->table[slot], lane, memory_order_release);
	return lane;
}

/* Labels as they are printed: short, and nothing that would need an escape. */
static struct sl_slice
clean_label(struct sl_slice text, char *out)
{
	text = sl_slice_upto(text, LABEL_MAX_SIZE);
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		out[i] = c > 0x20 && c < 0x7f && c != '"' && c != '\\' ? c : '_';
	}
	return sl_slice_make(out, text.len);
}

static struct lane *
lane_of(struct sl_metrics_shard *shard, const struct sl_record_row *row)
{
	SL_UNINIT char text[LABELS][LABEL_MAX_SIZE]; /* read up to the labels' lengths */
	struct sl_slice label[LABELS] = {
		[LABEL_SHAPE] = row->shape,
		[LABEL_OPERATION] = row->operation,
		[LABEL_PROVIDER] = row->provider,
		[LABEL_MODEL] = row->model_served,
	};
	bool known = row->upstream_status >= 200 && row->upstream_status < 300;
	struct lane *lane = shard->last;

	/* What equals a clean label is clean. */
	if (lane && same_labels(lane->label, label))
		return lane;
	for (size_t i = 0; i < LABELS; i++)
		label[i] = clean_label(label[i], text[i]);
	lane = find_lane(shard, label, known || !label[LABEL_MODEL].len ? LANES_MODEL_MAX : 0);
	if (lane) {
		shard->last = lane;
		return lane;
	}
	label[LABEL_MODEL] = SL_SLICE("other");
	lane = find_lane(shard, label, LANES_MAX - 1);
	if (lane)
		return lane;
	for (size_t i = 0; i < LABELS; i++)
		label[i] = SL_SLICE("other");
	return find_lane(shard, label, LANES_MAX);
}

static struct cell *
cell_of(struct lane *lane, int status, int outcome)
{
	size_t count = atomic_load_explicit(&lane->cell_count, memory_order_relaxed);
	struct cell *cell = &lane->cells[count];

	for (size_t i = 0; i < count; i++)
		if (lane->cells[i].status == status && lane->cells[i].outcome == outcome)
			return &lane->cells[i];
	if (count == CELLS)
		return &lane->cells[CELLS - 1];
	cell->status = count < CELLS - 1 ? status : 0;
	cell->outcome = count < CELLS - 1 ? outcome : SL_OUTCOME_COUNT;
	atomic_store_explicit(&lane->cell_count, count + 1, memory_order_release);
	return cell;
}

/* --- counting -------------------------------------------------------------- */

struct sl_metrics_shard *
sl_metrics_shard_new(void)
{
	return calloc(1, sizeof(struct sl_metrics_shard));
}

void
sl_metrics_shard_free(struct sl_metrics_shard *shard)
{
	if (!shard)
		return;
	for (size_t i = 0; i < TABLE_SLOTS; i++)
		free(atomic_load(&shard->table[i]));
	free(shard);
}

void
sl_metrics_begin(struct sl_metrics_shard *shard)
{
	count_up(&shard->began, 1);
}

static void
count_usage(struct lane *lane, const struct sl_usage *usage)
{
	for (unsigned left = usage->present; left; left &= left - 1) {
		int class_ = __builtin_ctz(left);

		count_up(&lane->tokens[class_], (uint64_t)usage->count[class_]);
	}
	if (sl_usage_has(usage, SL_USAGE_INPUT))
		observe(&lane->input, &token_scale, (uint64_t)usage->count[SL_USAGE_INPUT]);
	if (sl_usage_has(usage, SL_USAGE_OUTPUT))
		observe(&lane->output, &token_scale, (uint64_t)usage->count[SL_USAGE_OUTPUT]);
}

void
sl_metrics_finish(struct sl_metrics_shard *shard, const struct sl_record *record, bool alike)
{
	const struct sl_record_row *row = &record->row;
	struct lane *lane = shard->lane;

	if (record->fault != SL_FAULT_NONE)
		count_up(&shard->faults[record->fault], 1);
	if (!alike || !lane) {
		lane = shard->lane = lane_of(shard, row);
		if (!lane)
			return;
		shard->cell = cell_of(lane, (int)row->status, (int)record->outcome);
	}
	count_up(&shard->cell->requests, 1);
	count_usage(lane, &record->usage);
	if (record->priced)
		count_up(&lane->cost_nanousd, (uint64_t)row->cost_nanousd);
	else if (sl_record_unpriced(record))
		count_up(&lane->unpriced, 1);
	if (row->attempts > 1)
		count_up(&lane->retries, (uint64_t)row->attempts - 1);
	observe(&lane->duration, &duration_scale, (uint64_t)row->total_us);
	if (row->first_content_us)
		observe(&lane->first_token, &first_token_scale, (uint64_t)row->first_content_us);
	if (row->provider.len)
		observe(&lane->added, &added_scale, (uint64_t)row->added_us);
}

void
sl_metrics_over(struct sl_metrics_shard *shard)
{
	atomic_store_explicit(&shard->finished, value_of(&shard->finished) + 1,
	                      memory_order_release);
}

/* --- text ------------------------------------------------------------------ */

/* Every lane of every shard, sorted by the labels of the family being printed;
 * lanes that agree in them are one series. */
struct view {
	struct lane **lane;
	size_t        count;
	const char *const *names; /* of the labels shown, in order of enum label; NULL: not shown */
};

static const char *const own_names[LABELS] = {
	[LABEL_SHAPE] = "shape", [LABEL_PROVIDER] = "provider", [LABEL_MODEL] = "model",
};
static const char *const shape_names[LABELS] = { [LABEL_SHAPE] = "shape" };
static const char *const otel_names[LABELS] = {
	[LABEL_OPERATION] = "gen_ai_operation_name",
	[LABEL_PROVIDER] = "gen_ai_provider_name",
	[LABEL_MODEL] = "gen_ai_request_model",
};

static int
compare_slices(struct sl_slice a, struct sl_slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.ptr, b.ptr, len) : 0;

	if (order)
		return order;
	return (a.len > b.len) - (a.len < b.len);
}

static int
compare_lanes(const void *a, const void *b, void *context)
{
	const struct lane *left = *(struct lane *const *)a, *right = *(struct lane *const *)b;
	const char *const *names = context;

	for (size_t i = 0; i < LABELS; i++) {
		int order = names[i] ? compare_slices(left->label[i], right->label[i]) : 0;

		if (order)
			return order;
	}
	return 0;
}

static void
sort_view(struct view *view, const char *const *names)
{
	view->names = names;
	qsort_r(view->lane, view->count, sizeof(struct lane *), compare_lanes, (void *)names);
}

/* The lanes [at, end) are one series; returns end. */
static size_t
series_end(const struct view *view, size_t at)
{
	size_t end = at + 1;

	while (end < view->count &&
	       compare_lanes(&view->lane[at], &view->lane[end], (void *)view->names) == 0)
		end++;
	return end;
}

static void
put_head(struct sl_buf *out, const char *name, const char *type, const char *help)
{
	sl_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* The labels of the series at `at`, without braces. */
static void
put_labels(struct sl_buf *out, const struct view *view, size_t at)
{
	const char *comma = "";

	for (size_t i = 0; i < LABELS; i++) {
		if (!view->names[i])
			continue;
		sl_buf_printf(out, "%s%s=\"%.*s\"", comma, view->names[i],
		              SL_ARG(view->lane[at]->label[i]));
		comma = ",";
	}
}

/* A counter of each lane, found by its offset; `extra` is a further label. */
static void
put_counter(struct sl_buf *out, const struct view *view, const char *name, size_t offset,
            double unit, const char *extra)
{
	size_t end;

	for (size_t at = 0; at < view->count; at = end) {
		uint64_t sum = 0;

		end = series_end(view, at);
		for (size_t i = at; i < end; i++)
			sum += value_of((const _Atomic uint64_t *)(const void *)
			                ((const char *)view->lane[i] + offset));
		if (sum == 0)
			continue;
		sl_buf_printf(out, "%s{", name);
		put_labels(out, view, at);
		sl_buf_printf(out, "%s} %.17g\n", extra, (double)sum * unit);
	}
}

static void
put_one_histogram(struct sl_buf *out, const struct view *view, size_t at, const char *name,
                  const struct histogram *sums, const struct scale *scale, const char *extra)
{
	uint64_t below = 0;

	for (size_t i = 0; i <= scale->count; i++) {
		below += value_of(&sums->bucket[i]);
		sl_buf_printf(out, "%s_bucket{", name);
		put_labels(out, view, at);
		if (i < scale->count)
			sl_buf_printf(out, "%s,le=\"%.9g\"} %llu\n", extra,
			              (double)scale->bound[i] * scale->unit,
			              (unsigned long long)below);
		else
			sl_buf_printf(out, "%s,le=\"+Inf\"} %llu\n", extra,
			              (unsigned long long)below);
	}
	sl_buf_printf(out, "%s_sum{", name);
	put_labels(out, view, at);
	sl_buf_printf(out, "%s} %.17g\n%s_count{", extra,
	              (double)value_of(&sums->sum) * scale->unit, name);
	put_labels(out, view, at);
	sl_buf_printf(out, "%s} %llu\n", extra, (unsigned long long)below);
}

static void
put_histogram(struct sl_buf *out, const struct view *view, const char *name, size_t offset,
              const struct scale *scale, const char *extra)
{
	size_t end;

	for (size_t at = 0; at < view->count; at = end) {
		struct histogram sums = { 0 };
		uint64_t observed = 0;

		end = series_end(view, at);
		for (size_t i = at; i < end; i++) {
			const struct histogram *one = (const struct histogram *)(const void *)
			    ((const char *)view->lane[i] + offset);

			for (size_t k = 0; k <= scale->count; k++) {
				uint64_t seen = value_of(&one->bucket[k]);

				count_up(&sums.bucket[k], seen);
				observed += seen;
			}
			count_up(&sums.sum, value_of(&one->sum));
		}
		if (observed)
			put_one_histogram(out, view, at, name, &sums, scale, extra);
	}
}

/* requests_total of one series: its lanes' cells, added up by status and outcome. */
static void
put_cells(struct sl_buf *out, const struct view *view, size_t at, size_t end)
{
	struct cell sums[CELLS * 4] = { 0 };
	size_t count = 0;

	for (size_t i = at; i < end; i++) {
		struct lane *lane = view->lane[i];
		size_t cells = atomic_load_explicit(&lane->cell_count, memory_order_acquire);

		for (size_t k = 0; k < cells; k++) {
			const struct cell *cell = &lane->cells[k];
			size_t s = 0;

			while (s < count && (sums[s].status != cell->status ||
			                     sums[s].outcome != cell->outcome))
				s++;
			if (s == CELLS * 4)
				s--;
			if (s == count)
				sums[count++] = (struct cell){ cell->status, cell->outcome, 0 };
			count_up(&sums[s].requests, value_of(&cell->requests));
		}
	}
	for (size_t s = 0; s < count; s++) {
		sl_buf_append_str(out, "sluice_requests_total{");
		put_labels(out, view, at);
		sl_buf_printf(out, ",status=\"%d\",outcome=\"%s\"} %llu\n", sums[s].status,
		              sums[s].outcome == SL_OUTCOME_COUNT
		                  ? "other"
		                  : sl_outcome_name((enum sl_outcome)sums[s].outcome),
		              (unsigned long long)value_of(&sums[s].requests));
	}
}

static void
put_own(struct sl_buf *out, struct view *view)
{
	sort_view(view, own_names);
	put_head(out, "sluice_requests_total", "counter",
	         "Asks that ended, by status sent (0: none) and how they ended.");
	for (size_t at = 0, end; at < view->count; at = end) {
		end = series_end(view, at);
		put_cells(out, view, at, end);
	}
	put_head(out, "sluice_tokens_total", "counter",
	         "Usage by class; classes overlap as in docs/telemetry.md.");
	for (int i = 0; i < SL_USAGE_COUNT; i++) {
		char extra[64];

		snprintf(extra, sizeof(extra), ",class=\"%s\"",
		         sl_usage_class_name((enum sl_usage_class)i));
		put_counter(out, view, "sluice_tokens_total",
		            offsetof(struct lane, tokens) + (size_t)i * sizeof(uint64_t), 1, extra);
	}
	put_head(out, "sluice_cost_usd_total", "counter", "Cost of priced asks in US dollars.");
	put_counter(out, view, "sluice_cost_usd_total", offsetof(struct lane, cost_nanousd), 1e-9,
	            "");
	put_head(out, "sluice_unpriced_requests_total", "counter",
	         "Asks that bought something at a price the catalogue does not know.");
	put_counter(out, view, "sluice_unpriced_requests_total", offsetof(struct lane, unpriced), 1,
	            "");
	put_head(out, "sluice_upstream_retries_total", "counter",
	         "Upstream tries beyond the first.");
	put_counter(out, view, "sluice_upstream_retries_total", offsetof(struct lane, retries), 1,
	            "");
	sort_view(view, shape_names);
	put_head(out, "sluice_request_duration_seconds", "histogram",
	         "First byte of the ask to its end.");
	put_histogram(out, view, "sluice_request_duration_seconds",
	              offsetof(struct lane, duration), &duration_scale, "");
	put_head(out, "sluice_added_seconds", "histogram",
	         "Time spent in here: body complete to upstream send, plus reply head to first "
	         "byte out.");
	put_histogram(out, view, "sluice_added_seconds", offsetof(struct lane, added),
	              &added_scale, "");
}

/* https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/ with names as
 * the Prometheus exporter maps them; only asks that reached a provider. */
static void
put_otel(struct sl_buf *out, const struct view *all)
{
	struct view view = { .lane = all->lane };

	for (size_t i = 0; i < all->count; i++)
		if (all->lane[i]->label[LABEL_PROVIDER].len) {
			struct lane *lane = view.lane[view.count];

			view.lane[view.count++] = all->lane[i];
			all->lane[i] = lane;
		}
	sort_view(&view, otel_names);
	put_head(out, "gen_ai_client_token_usage", "histogram",
	         "Input and output tokens of each ask.");
	put_histogram(out, &view, "gen_ai_client_token_usage", offsetof(struct lane, input),
	              &token_scale, ",gen_ai_token_type=\"input\"");
	put_histogram(out, &view, "gen_ai_client_token_usage", offsetof(struct lane, output),
	              &token_scale, ",gen_ai_token_type=\"output\"");
	put_head(out, "gen_ai_server_request_duration_seconds", "histogram",
	         "First byte of the ask to its end.");
	put_histogram(out, &view, "gen_ai_server_request_duration_seconds",
	              offsetof(struct lane, duration), &duration_scale, "");
	put_head(out, "gen_ai_server_time_to_first_token_seconds", "histogram",
	         "First byte of the ask to the first content sent.");
	put_histogram(out, &view, "gen_ai_server_time_to_first_token_seconds",
	              offsetof(struct lane, first_token), &first_token_scale, "");
}

static void
put_faults(struct sl_buf *out, struct sl_metrics_shard *const *shards, size_t count)
{
	put_head(out, "sluice_faults_total", "counter", "Refusals and failures by reason.");
	for (int kind = 1; kind < SL_FAULT_KINDS; kind++) {
		uint64_t sum = 0;

		for (size_t i = 0; i < count; i++)
			sum += value_of(&shards[i]->faults[kind]);
		if (sum)
			sl_buf_printf(out, "sluice_faults_total{reason=\"%s\"} %llu\n",
			              sl_fault_name((enum sl_fault_kind)kind),
			              (unsigned long long)sum);
	}
}

static uint64_t
in_flight(struct sl_metrics_shard *const *shards, size_t count)
{
	uint64_t began = 0, finished = 0;

	/* Ends first: an ask that ends in between is counted once too often, never
	 * once too seldom, so the difference cannot wrap. */
	for (size_t i = 0; i < count; i++)
		finished += atomic_load(&shards[i]->finished);
	for (size_t i = 0; i < count; i++)
		began += atomic_load(&shards[i]->began);
	return began > finished ? began - finished : 0;
}

void
sl_metrics_render(struct sl_metrics_shard *const *shards, size_t count, struct sl_buf *out)
{
	struct view view = { .lane = calloc(count * LANES_MAX + 1, sizeof(struct lane *)) };
	/* First: what is over by now stands in the counters below. */
	uint64_t flying = in_flight(shards, count);

	if (!view.lane) {
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < TABLE_SLOTS; k++) {
			struct lane *lane = atomic_load_explicit(&shards[i]->table[k],
			                                         memory_order_acquire);

			if (lane && view.count < count * LANES_MAX)
				view.lane[view.count++] = lane;
		}
	put_own(out, &view);
	put_otel(out, &view);
	free(view.lane);
	put_faults(out, shards, count);
	sl_metrics_put(out, "sluice_requests_in_flight", "gauge", "Asks that have not ended.",
	               (double)flying);
}

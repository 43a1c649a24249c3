/* access_log.c - one JSON line per ask.
 *
 * The line has the columns of the stored row under the same names, those without
 * a value left out, and cost_usd instead of nano-dollars. Prompts, answers and
 * secrets cannot appear, because a record has no field for them; what callers
 * chose themselves (ids, labels, model names) is escaped and redacted by the log
 * writer.
 */
#include "base/json.h"
#include "base/log.h"
#include "telemetry/row.h"

enum { FIELDS_MAX = 64 };

struct fields {
	struct sl_log_field items[FIELDS_MAX + 1];
	size_t              count;
};

static void
put_text(struct fields *fields, const char *name, struct sl_slice text)
{
	if (text.len && fields->count < FIELDS_MAX)
		fields->items[fields->count++] = SL_LOG_S(name, text);
}

static void
put_int(struct fields *fields, const char *name, int64_t number)
{
	if (number != SL_RECORD_NULL && fields->count < FIELDS_MAX)
		fields->items[fields->count++] = SL_LOG_I(name, number);
}

/* cost_nanousd as a decimal number of dollars, which people read. */
static void
put_cost(struct fields *fields, struct sl_buf *text, int64_t nanousd)
{
	struct sl_json_writer w;

	if (nanousd == SL_RECORD_NULL || fields->count == FIELDS_MAX)
		return;
	sl_json_writer_init(&w, text);
	sl_json_put_nanousd(&w, nanousd);
	fields->items[fields->count++] =
	    (struct sl_log_field){ .name = "cost_usd", .kind = SL_LOG_JSON,
		                   .text = sl_buf_slice(text) };
}

enum sl_err
sl_access_log_append(struct sl_buf *lines, const struct sl_record_row *row)
{
	struct fields fields = { .count = 0 };
	struct sl_record_row shown = *row;
	struct sl_buf cost;
	enum sl_err err;

	sl_buf_init(&cost, 64);
	put_cost(&fields, &cost, row->cost_nanousd);
	shown.cost_nanousd = SL_RECORD_NULL;
	shown.end_wall_ms = SL_RECORD_NULL; /* the line's own time */
#define SL_RECORD_TEXT(name, max_size) put_text(&fields, #name, shown.name);
#define SL_RECORD_INT(name)            put_int(&fields, #name, shown.name);
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		put_int(&fields, sl_usage_class_name((enum sl_usage_class)i), row->usage[i]);
	fields.items[fields.count] = (struct sl_log_field){ 0 };
	err = sl_log_append(lines, SL_LOG_INFO, row->end_wall_ms, "request", fields.items);
	sl_buf_release(&cost);
	return err;
}

/* sqlite_log.c - the records of one key, the newest first.
 *
 * Records are in the order of their ids, which begin with the time (sqlite_records.c); there is no
 * index by key, which every record would pay for. So the records of all keys are passed
 * over, a bounded number for each step.
 */
#include "store/sqlite_internal.h"
#include "store/sqlite_records.h"
#include "store/store.h"

#define LOG_TEXTS(X)                                                                     \
	X(key_id) X(request_id) X(team) X(end_user) X(tag) X(operation) X(outcome)         \
	X(model_requested) X(model_served) X(provider)
#define LOG_INTS(X)                                                                      \
	X(end_wall_ms) X(status) X(stream) X(attempts) X(cached) X(total_us)               \
	X(input_tokens) X(output_tokens) X(cost_nanousd)

static const char *const each_sql[] = { "SELECT id"
#define COLUMN(name) ", " #name
    LOG_TEXTS(COLUMN) LOG_INTS(COLUMN)
#undef COLUMN
    " FROM records WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3" };

static void
read_row(sqlite3_stmt *stmt, struct sl_log_row *row)
{
	int at = 1;

#define TEXT(name) row->name = sl_sqlite_column(stmt, at++);
#define INT(name)                                                                        \
	row->name = sqlite3_column_type(stmt, at) == SQLITE_NULL                           \
	                ? SL_RECORD_NULL                                                   \
	                : sqlite3_column_int64(stmt, at);                                  \
	at++;
	LOG_TEXTS(TEXT)
	LOG_INTS(INT)
#undef TEXT
#undef INT
}

/* The first id that a record which ended then can have. */
static int64_t
first_id(int64_t wall_ms)
{
	return sl_sqlite_clamp_wall_ms(wall_ms) << SL_SQLITE_ID_SHIFT;
}

static enum sl_err
log_each(void *conn, struct sl_log_query *query,
         bool (*each)(void *context, const struct sl_log_row *row), void *context)
{
	struct sl_sqlite_part *part = sl_sqlite_part(conn, SL_SQLITE_LOG);
	sqlite3_stmt *stmt;
	struct sl_log_row row;
	uint32_t looked_at = 0;
	int rc;

	sl_sqlite_need_view(conn);
	stmt = sl_sqlite_statement(part, each_sql, 0);
	if (!stmt)
		return sl_sqlite_unprepared(part);
	sqlite3_bind_int64(stmt, 1, first_id(query->since_wall_ms));
	sqlite3_bind_int64(stmt, 2, query->behind > 0 ? query->behind
	                                              : first_id(query->until_wall_ms));
	sqlite3_bind_int64(stmt, 3, query->most);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		looked_at++;
		query->behind = sqlite3_column_int64(stmt, 0);
		if (!sl_slice_eq(sl_sqlite_column(stmt, 1), query->key_id))
			continue;
		read_row(stmt, &row);
		if (!each(context, &row)) {
			query->ended = true;
			break;
		}
	}
	query->ended = query->ended || looked_at < query->most;
	sqlite3_reset(stmt);
	return sl_sqlite_error(rc);
}

const struct sl_log_ops sl_sqlite_log_ops = { .each = log_each };

/* sqlite_responses.c - the table of kept answers.
 *
 * responses   by id: whose, after which, the items of the request, the answer. `size` is
 *             what a row counts for; the index on time and size answers every trim.
 */
#include "store/sqlite_internal.h"

#define STATEMENTS(X)                                                                    \
	X(PUT, "INSERT OR REPLACE INTO responses VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")     \
	X(GET, "SELECT previous, input, response, created_wall_ms FROM responses"          \
	       " WHERE id = ?1 AND owner = ?2")                                           \
	X(REMOVE, "DELETE FROM responses WHERE id = ?1 AND owner = ?2")                    \
	X(TRIM_TIME, "DELETE FROM responses WHERE created_wall_ms < ?1")                   \
	X(TRIM_SIZE, "DELETE FROM responses WHERE id IN (SELECT id FROM (SELECT id,"       \
	             " sum(size) OVER (ORDER BY created_wall_ms DESC, id DESC) AS upto"    \
	             " FROM responses) WHERE upto > ?1)")

enum statement {
#define STATEMENT_ENUM(id, sql) STATEMENT_##id,
	STATEMENTS(STATEMENT_ENUM)
#undef STATEMENT_ENUM
	STATEMENT_COUNT,
};
_Static_assert((int)STATEMENT_COUNT <= (int)SL_SQLITE_STATEMENTS_MAX, "room for statements");

static const char *const statement_sql[STATEMENT_COUNT] = {
#define STATEMENT_SQL(id, sql) sql,
	STATEMENTS(STATEMENT_SQL)
#undef STATEMENT_SQL
};

static sqlite3_stmt *
statement(void *conn, enum statement which)
{
	return sl_sqlite_statement(sl_sqlite_part(conn, SL_SQLITE_RESPONSES), statement_sql, which);
}

static enum sl_err
unprepared(void *conn)
{
	return sl_sqlite_unprepared(sl_sqlite_part(conn, SL_SQLITE_RESPONSES));
}

static enum sl_err
response_put(void *conn, const struct sl_response_row *row)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_PUT);

	if (!stmt)
		return unprepared(conn);
	sl_sqlite_bind_text(stmt, 1, row->id);
	sl_sqlite_bind_text(stmt, 2, row->owner);
	sl_sqlite_bind_text(stmt, 3, row->previous);
	sl_sqlite_bind_text(stmt, 4, row->input);
	sl_sqlite_bind_text(stmt, 5, row->response);
	sqlite3_bind_int64(stmt, 6, row->created_wall_ms);
	sqlite3_bind_int64(stmt, 7, (sqlite3_int64)(row->input.len + row->response.len));
	return sl_sqlite_run_once(stmt);
}

static enum sl_err
response_get(void *conn, struct sl_slice id, struct sl_slice owner,
             enum sl_err (*found)(void *context, const struct sl_response_row *row), void *context)
{
	enum sl_err err;
	sqlite3_stmt *stmt = statement(conn, STATEMENT_GET);
	int rc;

	if (!stmt)
		return unprepared(conn);
	sl_sqlite_bind_text(stmt, 1, id);
	sl_sqlite_bind_text(stmt, 2, owner);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		err = found(context, &(struct sl_response_row){
		    .id = id,
		    .owner = owner,
		    .previous = sl_sqlite_column(stmt, 0),
		    .input = sl_sqlite_column(stmt, 1),
		    .response = sl_sqlite_column(stmt, 2),
		    .created_wall_ms = sqlite3_column_int64(stmt, 3),
		});
	else
		err = rc == SQLITE_DONE ? SL_ENOTFOUND : sl_sqlite_error(rc);
	sqlite3_reset(stmt);
	return err;
}

static enum sl_err
response_remove(void *conn, struct sl_slice id, struct sl_slice owner)
{
	enum sl_err err;
	sqlite3_stmt *stmt = statement(conn, STATEMENT_REMOVE);

	if (!stmt)
		return unprepared(conn);
	sl_sqlite_bind_text(stmt, 1, id);
	sl_sqlite_bind_text(stmt, 2, owner);
	err = sl_sqlite_run_once(stmt);
	return err == SL_OK && sqlite3_changes(sqlite3_db_handle(stmt)) == 0 ? SL_ENOTFOUND : err;
}

static enum sl_err
delete_upto(void *conn, enum statement which, int64_t limit)
{
	sqlite3_stmt *stmt = statement(conn, which);

	if (!stmt)
		return unprepared(conn);
	sqlite3_bind_int64(stmt, 1, limit);
	return sl_sqlite_run_once(stmt);
}

static enum sl_err
response_trim(void *conn, int64_t since_wall_ms, int64_t most_bytes)
{
	enum sl_err err = delete_upto(conn, STATEMENT_TRIM_TIME, since_wall_ms);

	return err == SL_OK ? delete_upto(conn, STATEMENT_TRIM_SIZE, most_bytes) : err;
}

const struct sl_response_ops sl_sqlite_response_ops = {
	.put = response_put,
	.get = response_get,
	.remove = response_remove,
	.trim = response_trim,
};

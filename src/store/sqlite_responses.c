/* sqlite_responses.c - the table of kept answers.
 *
 * responses   by id: whose, after which, the items of the request, the answer. `size` is
 *             what a row counts for; the index on time and size answers every trim.
 */
#include "store/sqlite_responses.h"

#include "store/sqlite_money.h"

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
_Static_assert((int)STATEMENT_COUNT == (int)SL_SQLITE_RESPONSE_STATEMENTS, "room for statements");

static const char *const statement_sql[STATEMENT_COUNT] = {
#define STATEMENT_SQL(id, sql) sql,
	STATEMENTS(STATEMENT_SQL)
#undef STATEMENT_SQL
};

/* NULL: *err says why. */
static sqlite3_stmt *
statement(void *conn, enum statement which, enum sl_err *err)
{
	struct sl_sqlite_responses *responses = sl_sqlite_responses(conn);
	sqlite3_stmt **stmt = &responses->statements[which];

	*err = SL_OK;
	if (!*stmt)
		sqlite3_prepare_v3(responses->db, statement_sql[which], -1,
		                   SQLITE_PREPARE_PERSISTENT, stmt, NULL);
	if (!*stmt)
		*err = sl_sqlite_error(sqlite3_errcode(responses->db));
	return *stmt;
}

void
sl_sqlite_responses_release(struct sl_sqlite_responses *responses)
{
	for (int i = 0; i < STATEMENT_COUNT; i++)
		sqlite3_finalize(responses->statements[i]);
}

static enum sl_err
run_once(sqlite3_stmt *stmt)
{
	int rc = sqlite3_step(stmt), reset_rc = sqlite3_reset(stmt);

	sqlite3_clear_bindings(stmt);
	return sl_sqlite_error(rc == SQLITE_DONE || rc == SQLITE_ROW ? reset_rc : rc);
}

static void
bind_text(sqlite3_stmt *stmt, int at, struct sl_slice text)
{
	sqlite3_bind_text(stmt, at, text.len ? text.ptr : "", (int)text.len, SQLITE_STATIC);
}

static struct sl_slice
column(sqlite3_stmt *stmt, int at)
{
	const void *bytes = sqlite3_column_blob(stmt, at);

	return sl_slice_make(bytes, (size_t)sqlite3_column_bytes(stmt, at));
}

static enum sl_err
response_put(void *conn, const struct sl_response_row *row)
{
	enum sl_err err;
	sqlite3_stmt *stmt = statement(conn, STATEMENT_PUT, &err);

	if (!stmt)
		return err;
	bind_text(stmt, 1, row->id);
	bind_text(stmt, 2, row->owner);
	bind_text(stmt, 3, row->previous);
	bind_text(stmt, 4, row->input);
	bind_text(stmt, 5, row->response);
	sqlite3_bind_int64(stmt, 6, row->created_wall_ms);
	sqlite3_bind_int64(stmt, 7, (sqlite3_int64)(row->input.len + row->response.len));
	return run_once(stmt);
}

static enum sl_err
response_get(void *conn, struct sl_slice id, struct sl_slice owner,
             enum sl_err (*found)(void *context, const struct sl_response_row *row), void *context)
{
	enum sl_err err;
	sqlite3_stmt *stmt = statement(conn, STATEMENT_GET, &err);
	int rc;

	if (!stmt)
		return err;
	bind_text(stmt, 1, id);
	bind_text(stmt, 2, owner);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		err = found(context, &(struct sl_response_row){
		    .id = id,
		    .owner = owner,
		    .previous = column(stmt, 0),
		    .input = column(stmt, 1),
		    .response = column(stmt, 2),
		    .created_wall_ms = sqlite3_column_int64(stmt, 3),
		});
	else
		err = rc == SQLITE_DONE ? SL_ENOTFOUND : sl_sqlite_error(rc);
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return err;
}

static enum sl_err
response_remove(void *conn, struct sl_slice id, struct sl_slice owner)
{
	struct sl_sqlite_responses *responses = sl_sqlite_responses(conn);
	enum sl_err err;
	sqlite3_stmt *stmt = statement(conn, STATEMENT_REMOVE, &err);

	if (!stmt)
		return err;
	bind_text(stmt, 1, id);
	bind_text(stmt, 2, owner);
	err = run_once(stmt);
	return err == SL_OK && sqlite3_changes(responses->db) == 0 ? SL_ENOTFOUND : err;
}

static enum sl_err
delete_upto(void *conn, enum statement which, int64_t limit)
{
	enum sl_err err;
	sqlite3_stmt *stmt = statement(conn, which, &err);

	if (!stmt)
		return err;
	sqlite3_bind_int64(stmt, 1, limit);
	return run_once(stmt);
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

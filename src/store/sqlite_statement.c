/* sqlite_statement.c - prepared statements of the embedded store. */
#include "store/sqlite_internal.h"

sqlite3_stmt *
sl_sqlite_statement(struct sl_sqlite_part *part, const char *const *sql, unsigned which)
{
	sqlite3_stmt **stmt = &part->statements[which];

	if (!*stmt)
		sqlite3_prepare_v3(part->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL);
	return *stmt;
}

enum sl_err
sl_sqlite_unprepared(const struct sl_sqlite_part *part)
{
	return sl_sqlite_error(sqlite3_errcode(part->db));
}

int
sl_sqlite_step_once(sqlite3_stmt *stmt)
{
	int rc = sqlite3_step(stmt), reset_rc = sqlite3_reset(stmt);

	return rc == SQLITE_DONE || rc == SQLITE_ROW ? reset_rc : rc;
}

enum sl_err
sl_sqlite_run_once(sqlite3_stmt *stmt)
{
	return sl_sqlite_error(sl_sqlite_step_once(stmt));
}

enum sl_err
sl_sqlite_error(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW:
		return SL_OK;
	case SQLITE_FULL:
		return SL_EFULL;
	case SQLITE_NOMEM:
		return SL_ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return SL_EBUSY;
	case SQLITE_CONSTRAINT:
		return SL_EEXIST;
	case SQLITE_TOOBIG:
		return SL_ELIMIT;
	default:
		return SL_EIO;
	}
}

void
sl_sqlite_bind_text(sqlite3_stmt *stmt, int at, struct sl_slice text)
{
	sqlite3_bind_text(stmt, at, text.len ? text.ptr : "", (int)text.len, SQLITE_STATIC);
}

void
sl_sqlite_bind_blob(sqlite3_stmt *stmt, int at, const void *bytes, size_t size)
{
	sqlite3_bind_blob(stmt, at, size ? bytes : "", (int)size, SQLITE_STATIC);
}

struct sl_slice
sl_sqlite_column(sqlite3_stmt *stmt, int at)
{
	const void *bytes = sqlite3_column_blob(stmt, at);

	return sl_slice_make(bytes, (size_t)sqlite3_column_bytes(stmt, at));
}

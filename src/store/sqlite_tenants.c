/* sqlite_tenants.c - tables of teams, workspaces and the audit log.
 *
 * tenants   by kind and slug: the policy as JSON
 * alerts    ids of what was told, each once
 * audit     immutable, numbered without a gap; triggers refuse UPDATE and DELETE
 */
#include "store/sqlite_internal.h"

#include <string.h>

#define AUDIT_COLUMNS "id, wall_ms, actor, action, target, before_json, after_json, chain"

#define STATEMENTS(X)                                                                    \
	X(GET, "SELECT policy_json FROM tenants WHERE kind = ?1 AND slug = ?2")           \
	X(PUT, "INSERT INTO tenants VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET"     \
	       " policy_json = excluded.policy_json")                                     \
	X(REMOVE, "DELETE FROM tenants WHERE kind = ?1 AND slug = ?2")                     \
	X(EACH, "SELECT kind, slug, policy_json, created_wall_ms FROM tenants"             \
	        " ORDER BY kind, slug")                                                   \
	X(ALERT_MARK, "INSERT INTO alerts VALUES (?1, ?2)")                                \
	X(AUDIT_ADD, "INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")          \
	X(AUDIT_END, "SELECT id, chain FROM audit ORDER BY id DESC LIMIT 1")               \
	X(AUDIT_UP, "SELECT " AUDIT_COLUMNS " FROM audit WHERE id > ?1 ORDER BY id"        \
	            " LIMIT ?2")                                                          \
	X(AUDIT_DOWN, "SELECT " AUDIT_COLUMNS " FROM audit WHERE id < ?1 ORDER BY id DESC" \
	              " LIMIT ?2")

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
	return sl_sqlite_statement(sl_sqlite_part(conn, SL_SQLITE_TENANTS), statement_sql, which);
}

static enum sl_err
unprepared(void *conn)
{
	return sl_sqlite_unprepared(sl_sqlite_part(conn, SL_SQLITE_TENANTS));
}

/* --- tenants ------------------------------------------------------------------- */

static enum sl_err
tenant_get(void *conn, uint8_t kind, struct sl_slice slug, struct sl_buf *policy_json)
{
	enum sl_err err;
	sqlite3_stmt *stmt = statement(conn, STATEMENT_GET);
	int rc;

	if (!stmt)
		return unprepared(conn);
	sqlite3_bind_int(stmt, 1, kind);
	sl_sqlite_bind_text(stmt, 2, slug);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		err = sl_buf_append(policy_json, sl_sqlite_column(stmt, 0));
	else
		err = rc == SQLITE_DONE ? SL_ENOTFOUND : sl_sqlite_error(rc);
	sqlite3_reset(stmt);
	return err;
}

static enum sl_err
tenant_put(void *conn, const struct sl_tenant_row *row)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_PUT);

	if (!stmt)
		return unprepared(conn);
	sqlite3_bind_int(stmt, 1, row->kind);
	sl_sqlite_bind_text(stmt, 2, row->slug);
	sl_sqlite_bind_text(stmt, 3, row->policy_json);
	sqlite3_bind_int64(stmt, 4, row->created_wall_ms);
	return sl_sqlite_run_once(stmt);
}

static enum sl_err
tenant_remove(void *conn, uint8_t kind, struct sl_slice slug)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_REMOVE);

	if (!stmt)
		return unprepared(conn);
	sqlite3_bind_int(stmt, 1, kind);
	sl_sqlite_bind_text(stmt, 2, slug);
	return sl_sqlite_run_once(stmt);
}

static enum sl_err
tenant_each(void *conn, bool (*each)(void *, const struct sl_tenant_row *), void *context)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_EACH);
	int rc;

	if (!stmt)
		return unprepared(conn);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		const struct sl_tenant_row row = {
			.kind = (uint8_t)sqlite3_column_int(stmt, 0),
			.slug = sl_sqlite_column(stmt, 1),
			.policy_json = sl_sqlite_column(stmt, 2),
			.created_wall_ms = sqlite3_column_int64(stmt, 3),
		};

		if (!each(context, &row))
			break;
	}
	sqlite3_reset(stmt);
	return sl_sqlite_error(rc);
}

static enum sl_err
alert_mark(void *conn, struct sl_slice id, int64_t wall_ms)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_ALERT_MARK);

	if (!stmt)
		return unprepared(conn);
	sl_sqlite_bind_text(stmt, 1, id);
	sqlite3_bind_int64(stmt, 2, wall_ms);
	return sl_sqlite_run_once(stmt);
}

/* --- audit ----------------------------------------------------------------------- */

static enum sl_err
audit_add(void *conn, const struct sl_audit_row *row)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_AUDIT_ADD);

	if (!stmt)
		return unprepared(conn);
	sqlite3_bind_int64(stmt, 1, row->id);
	sqlite3_bind_int64(stmt, 2, row->wall_ms);
	sl_sqlite_bind_text(stmt, 3, row->actor);
	sl_sqlite_bind_text(stmt, 4, row->action);
	sl_sqlite_bind_text(stmt, 5, row->target);
	sl_sqlite_bind_text(stmt, 6, row->before_json);
	sl_sqlite_bind_text(stmt, 7, row->after_json);
	sqlite3_bind_blob(stmt, 8, row->chain, sizeof(row->chain), SQLITE_STATIC);
	return sl_sqlite_run_once(stmt);
}

static enum sl_err
audit_end(void *conn, int64_t *id, unsigned char chain[SL_AUDIT_CHAIN_SIZE])
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_AUDIT_END);
	int rc;

	*id = 0;
	memset(chain, 0, SL_AUDIT_CHAIN_SIZE);
	if (!stmt)
		return unprepared(conn);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		struct sl_slice bytes = sl_sqlite_column(stmt, 1);

		*id = sqlite3_column_int64(stmt, 0);
		if (bytes.len == SL_AUDIT_CHAIN_SIZE)
			memcpy(chain, bytes.ptr, SL_AUDIT_CHAIN_SIZE);
	}
	sqlite3_reset(stmt);
	return sl_sqlite_error(rc);
}

static enum sl_err
audit_each(void *conn, int64_t after_id, int64_t limit, bool newest_first,
           bool (*each)(void *, const struct sl_audit_row *), void *context)
{
	sqlite3_stmt *stmt = statement(conn, newest_first ? STATEMENT_AUDIT_DOWN
	                                                  : STATEMENT_AUDIT_UP);
	int rc;

	if (!stmt)
		return unprepared(conn);
	sqlite3_bind_int64(stmt, 1, newest_first && after_id <= 0 ? INT64_MAX : after_id);
	sqlite3_bind_int64(stmt, 2, limit > 0 ? limit : -1);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct sl_slice chain = sl_sqlite_column(stmt, 7);
		struct sl_audit_row row = {
			.id = sqlite3_column_int64(stmt, 0),
			.wall_ms = sqlite3_column_int64(stmt, 1),
			.actor = sl_sqlite_column(stmt, 2),
			.action = sl_sqlite_column(stmt, 3),
			.target = sl_sqlite_column(stmt, 4),
			.before_json = sl_sqlite_column(stmt, 5),
			.after_json = sl_sqlite_column(stmt, 6),
		};

		/* A damaged chain stays zeros, which fit nothing. */
		if (chain.len == sizeof(row.chain))
			memcpy(row.chain, chain.ptr, sizeof(row.chain));
		if (!each(context, &row))
			break;
	}
	sqlite3_reset(stmt);
	return sl_sqlite_error(rc);
}

const struct sl_tenant_ops sl_sqlite_tenant_ops = {
	.tenant_get = tenant_get,
	.tenant_put = tenant_put,
	.tenant_remove = tenant_remove,
	.tenant_each = tenant_each,
	.alert_mark = alert_mark,
	.audit_add = audit_add,
	.audit_end = audit_end,
	.audit_each = audit_each,
};

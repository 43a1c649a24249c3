/* sqlite.c - the embedded store: one file, one connection, one thread.
 *
 * Durability: WAL with synchronous=FULL for everything. Every commit is a group
 * commit of all that waited (store.c), so records cost one fsync per flush, not
 * one each, and SL_OK means "survives power loss" for keys and records alike.
 * One process and one connection write and checkpoint: SQLite before 3.51.3 can
 * corrupt a WAL that two connections reset at once. flock on the file keeps a
 * second Sluice out; people may still read it with the sqlite3 shell.
 *
 * Tables (sqlite_schema.c): meta (named values), keys, record_lines (one row per ask; the rowid
 * is the end time in milliseconds shifted left by 20 bits plus a counter, so time needs
 * no index of its own and inserts go to the right edge), record_owners and record_kinds (what
 * many of them have in common; the view records shows all together), record_asks, record_rows
 * and records_before (of versions that had more columns, a column for each thing, and
 * everything in each row),
 * hours (sums per hour and key, team, workspace, model, provider, tag, kept by the same
 * transaction that inserts the records: spend reads hours, and records only where a range
 * begins or ends within an hour), migrations. Records have an index by request id for those
 * that do not lie where the id tells (sqlite_request.h), and none by key: it more than doubled
 * the cost of a record (12 us instead of 5 with 200 keys, bench/store_bench.c); hours says in
 * which hours a key was used, and an hour is a range of rowids.
 */
#include <sqlite3.h>
#include <stdlib.h>

#include "store/sqlite_records.h"
#include "store/sqlite_request.h"
#include "store/sqlite_schema.h"
#include "store/store.h"

enum { HOUR_MS = SL_SQLITE_HOUR_MS, ID_SHIFT = SL_SQLITE_ID_SHIFT };

#define SPEND_EDGE(column, from, to)                                                   \
	" UNION ALL SELECT ifnull(" column ", ''), (id >> 20) / 3600000 * ?7, 1,"       \
	" ifnull(input_tokens, 0), ifnull(output_tokens, 0), ifnull(cost_nanousd, 0),"  \
	" ifnull(unpriced, 0) FROM records WHERE (attempts > 0 OR cached) AND id >= "   \
	from " AND id < " to
#define SPEND_SQL(hours_column, records_column)                                        \
	"SELECT name, bucket, sum(requests), sum(input), sum(output), sum(cost),"       \
	" sum(unpriced) FROM (SELECT " hours_column " AS name, hour * ?7 AS bucket,"    \
	" requests, input_tokens AS input, output_tokens AS output,"                    \
	" cost_nanousd AS cost, unpriced_requests AS unpriced"                          \
	" FROM hours WHERE hour >= ?1 AND hour < ?2"                                    \
	SPEND_EDGE(records_column, "?3", "?4") SPEND_EDGE(records_column, "?5", "?6")   \
	") GROUP BY name, bucket ORDER BY name, bucket"

static const char find_record_sql[] = "SELECT 0"
#define SL_RECORD_TEXT(name, max_size) ", " #name
#define SL_RECORD_INT(name)            ", " #name
#define USAGE_COLUMN(id, name)         ", " name
#include "store/records.def"
    SL_USAGE_CLASSES(USAGE_COLUMN)
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
#undef USAGE_COLUMN
    " FROM records WHERE request_id = ?1 AND id >= ?2 AND id <= ?3";

/* The id of the row; the last part looks through what lies near the place that the request's
 * id tells (sqlite_request.h). */
static const char place_sql[] =
    "SELECT id FROM record_lines WHERE request = ?1 AND request < x''"
    " UNION ALL SELECT id FROM record_asks WHERE request_id = ?1"
    " UNION ALL SELECT id FROM record_rows WHERE request_id = ?1"
    " UNION ALL SELECT id FROM records_before WHERE request_id = ?1"
    " UNION ALL SELECT id FROM record_lines NOT INDEXED WHERE id >= ?3 AND id < ?4"
    " AND request = ?2 LIMIT 1";

/* id, SQL. Prepared at first use, kept until close. */
#define STATEMENTS(X)                                                                   \
	X(BEGIN, "BEGIN")                                                               \
	X(COMMIT, "COMMIT")                                                             \
	X(ROLLBACK, "ROLLBACK")                                                         \
	X(MARK, "SAVEPOINT job")                                                        \
	X(KEEP, "RELEASE job")                                                          \
	X(UNDO, "ROLLBACK TO job")                                                      \
	X(META_GET, "SELECT value FROM meta WHERE name = ?1")                           \
	X(META_PUT, "INSERT INTO meta(name, value) VALUES (?1, ?2)"                     \
	            " ON CONFLICT(name) DO UPDATE SET value = excluded.value")          \
	X(KEY_PUT, "INSERT INTO keys(id, digest, hint, policy_json, created_wall_ms,"   \
	           " revoked_wall_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"                  \
	           " ON CONFLICT(id) DO UPDATE SET digest = excluded.digest,"           \
	           " hint = excluded.hint, policy_json = excluded.policy_json,"         \
	           " created_wall_ms = excluded.created_wall_ms,"                       \
	           " revoked_wall_ms = excluded.revoked_wall_ms")                       \
	X(ANSWER_PUT, "INSERT OR REPLACE INTO answers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)") \
	X(ANSWER_EACH, "SELECT id, request, status, content_type, body, expires_wall_ms,"   \
	               " told FROM answers ORDER BY expires_wall_ms")                             \
	X(ANSWER_TRIM, "DELETE FROM answers WHERE expires_wall_ms <= max(?1,"                \
	               " ifnull((SELECT expires_wall_ms FROM answers ORDER BY expires_wall_ms" \
	               " DESC LIMIT 1 OFFSET ?2), 0))")                                      \
	X(KEY_EACH, "SELECT id, digest, hint, policy_json, created_wall_ms,"            \
	            " revoked_wall_ms FROM keys ORDER BY id")                           \
	X(LAST_RECORD, "SELECT max(ifnull((SELECT max(id) FROM record_lines), -1),"     \
	               " ifnull((SELECT max(id) FROM record_asks), -1),"                \
	               " ifnull((SELECT max(id) FROM record_rows), -1),"                \
	               " ifnull((SELECT max(id) FROM records_before), -1))")            \
	X(SPEND_KEY, SPEND_SQL("key_id", "key_id"))                                     \
	X(SPEND_TEAM, SPEND_SQL("team", "team"))                                        \
	X(SPEND_WORKSPACE, SPEND_SQL("workspace", "workspace"))                         \
	X(SPEND_MODEL, SPEND_SQL("model", "model_served"))                              \
	X(SPEND_PROVIDER, SPEND_SQL("provider", "provider"))                            \
	X(SPEND_TAG, SPEND_SQL("tag", "tag"))                                           \
	X(RECORD_PLACE, place_sql)                                                      \
	X(RECORD_FIND, find_record_sql)

enum statement {
#define STATEMENT_ENUM(id, sql) STATEMENT_##id,
	STATEMENTS(STATEMENT_ENUM)
#undef STATEMENT_ENUM
	STATEMENT_COUNT,
};

static const char *const statement_sql[STATEMENT_COUNT] = {
#define STATEMENT_SQL(id, sql) sql,
	STATEMENTS(STATEMENT_SQL)
#undef STATEMENT_SQL
};

struct conn {
	sqlite3              *db;
	int                   lock_fd; /* -1: in memory */
	struct sl_sqlite_part parts[SL_SQLITE_PARTS];
	struct sl_sqlite_records records;
	bool                  has_view; /* a rollback may take it along */
	bool                  is_reader; /* has it from the beginning */
};

struct sl_sqlite_part *
sl_sqlite_part(void *conn, enum sl_sqlite_part_id id)
{
	return &((struct conn *)conn)->parts[id];
}

void
sl_sqlite_need_view(void *conn)
{
	struct conn *c = conn;

	if (!c->has_view && !c->is_reader)
		c->has_view = sl_sqlite_show_records(c->db);
}

/* --- statements ------------------------------------------------------------ */

/* NULL when it cannot be prepared (memory, a damaged schema). */
static sqlite3_stmt *
statement(struct conn *conn, enum statement which)
{
	return sl_sqlite_statement(&conn->parts[SL_SQLITE_CORE], statement_sql, which);
}

static enum sl_err
run_plain(struct conn *conn, enum statement which)
{
	sqlite3_stmt *stmt = statement(conn, which);

	return sl_sqlite_error(stmt ? sl_sqlite_step_once(stmt) : sqlite3_errcode(conn->db));
}

/* --- transactions ---------------------------------------------------------- */

static enum sl_err
sqlite_begin(void *conn)
{
	return run_plain(conn, STATEMENT_BEGIN);
}

static enum sl_err
sqlite_commit(void *conn)
{
	return run_plain(conn, STATEMENT_COMMIT);
}

static void
sqlite_rollback(void *conn)
{
	struct conn *c = conn;

	sl_sqlite_records_forget(&c->records);
	c->has_view = false;
	/* Some errors have rolled back already. */
	if (!sqlite3_get_autocommit(c->db))
		run_plain(c, STATEMENT_ROLLBACK);
}

static enum sl_err
sqlite_mark(void *conn)
{
	return run_plain(conn, STATEMENT_MARK);
}

static enum sl_err
sqlite_keep(void *conn)
{
	return run_plain(conn, STATEMENT_KEEP);
}

static enum sl_err
sqlite_undo(void *conn)
{
	struct conn *c = conn;
	enum sl_err err;

	sl_sqlite_records_forget(&c->records);
	c->has_view = false;
	if (sqlite3_get_autocommit(c->db))
		return SL_EIO;
	err = run_plain(c, STATEMENT_UNDO);
	return err != SL_OK ? err : run_plain(c, STATEMENT_KEEP);
}

/* --- meta and keys --------------------------------------------------------- */

static enum sl_err
sqlite_meta_get(void *conn, const char *name, struct sl_buf *out)
{
	struct conn *c = conn;
	sqlite3_stmt *stmt = statement(c, STATEMENT_META_GET);
	enum sl_err err;
	int rc;

	if (!stmt)
		return sl_sqlite_unprepared(&c->parts[SL_SQLITE_CORE]);
	sl_sqlite_bind_text(stmt, 1, sl_slice_str(name));
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		err = sl_buf_append(out, sl_sqlite_column(stmt, 0));
	else
		err = rc == SQLITE_DONE ? SL_ENOTFOUND : sl_sqlite_error(rc);
	sqlite3_reset(stmt);
	return err;
}

static enum sl_err
sqlite_meta_put(void *conn, const char *name, struct sl_slice value)
{
	struct conn *c = conn;
	sqlite3_stmt *stmt = statement(c, STATEMENT_META_PUT);

	if (!stmt)
		return sl_sqlite_unprepared(&c->parts[SL_SQLITE_CORE]);
	sl_sqlite_bind_text(stmt, 1, sl_slice_str(name));
	sl_sqlite_bind_blob(stmt, 2, value.ptr, value.len);
	return sl_sqlite_run_once(stmt);
}

static enum sl_err
sqlite_key_put(void *conn, const struct sl_key_row *row)
{
	struct conn *c = conn;
	sqlite3_stmt *stmt = statement(c, STATEMENT_KEY_PUT);

	if (!stmt)
		return sl_sqlite_unprepared(&c->parts[SL_SQLITE_CORE]);
	sl_sqlite_bind_text(stmt, 1, row->id);
	sqlite3_bind_blob(stmt, 2, row->digest, (int)sizeof(row->digest), SQLITE_STATIC);
	sl_sqlite_bind_text(stmt, 3, row->hint);
	sl_sqlite_bind_text(stmt, 4, row->policy_json);
	sqlite3_bind_int64(stmt, 5, row->created_wall_ms);
	sqlite3_bind_int64(stmt, 6, row->revoked_wall_ms);
	return sl_sqlite_run_once(stmt);
}

static enum sl_err
sqlite_key_each(void *conn, bool (*each)(void *context, const struct sl_key_row *row),
                void *context)
{
	struct conn *c = conn;
	sqlite3_stmt *stmt = statement(c, STATEMENT_KEY_EACH);
	int rc;

	if (!stmt)
		return sl_sqlite_unprepared(&c->parts[SL_SQLITE_CORE]);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct sl_slice digest = sl_sqlite_column(stmt, 1);
		struct sl_key_row row = {
			.id = sl_sqlite_column(stmt, 0),
			.hint = sl_sqlite_column(stmt, 2),
			.policy_json = sl_sqlite_column(stmt, 3),
			.created_wall_ms = sqlite3_column_int64(stmt, 4),
			.revoked_wall_ms = sqlite3_column_int64(stmt, 5),
		};

		if (digest.len != sizeof(row.digest)) {
			rc = SQLITE_CORRUPT;
			break;
		}
		memcpy(row.digest, digest.ptr, sizeof(row.digest));
		if (!each(context, &row)) {
			rc = SQLITE_DONE;
			break;
		}
	}
	sqlite3_reset(stmt);
	return sl_sqlite_error(rc);
}

/* --- answers ----------------------------------------------------------------- */

static enum sl_err
sqlite_answer_put(void *conn, const struct sl_answer_row *row)
{
	struct conn *c = conn;
	sqlite3_stmt *stmt = statement(c, STATEMENT_ANSWER_PUT);

	if (!stmt)
		return sl_sqlite_unprepared(&c->parts[SL_SQLITE_CORE]);
	sl_sqlite_bind_blob(stmt, 1, row->id.ptr, row->id.len);
	sl_sqlite_bind_blob(stmt, 2, row->request.ptr, row->request.len);
	sqlite3_bind_int64(stmt, 3, row->status);
	sl_sqlite_bind_text(stmt, 4, row->content_type);
	sl_sqlite_bind_blob(stmt, 5, row->body.ptr, row->body.len);
	sqlite3_bind_int64(stmt, 6, row->expires_wall_ms);
	sl_sqlite_bind_text(stmt, 7, row->told);
	return sl_sqlite_run_once(stmt);
}

static enum sl_err
sqlite_answer_each(void *conn, bool (*each)(void *context, const struct sl_answer_row *row),
                   void *context)
{
	struct conn *c = conn;
	sqlite3_stmt *stmt = statement(c, STATEMENT_ANSWER_EACH);
	int rc;

	if (!stmt)
		return sl_sqlite_unprepared(&c->parts[SL_SQLITE_CORE]);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		const struct sl_answer_row row = {
			.id = sl_sqlite_column(stmt, 0),
			.request = sl_sqlite_column(stmt, 1),
			.status = sqlite3_column_int(stmt, 2),
			.content_type = sl_sqlite_column(stmt, 3),
			.body = sl_sqlite_column(stmt, 4),
			.expires_wall_ms = sqlite3_column_int64(stmt, 5),
			.told = sl_sqlite_column(stmt, 6),
		};

		if (!each(context, &row)) {
			rc = SQLITE_DONE;
			break;
		}
	}
	sqlite3_reset(stmt);
	return sl_sqlite_error(rc);
}

static enum sl_err
sqlite_answer_trim(void *conn, int64_t now_wall_ms, size_t most)
{
	struct conn *c = conn;
	sqlite3_stmt *stmt = statement(c, STATEMENT_ANSWER_TRIM);

	if (!stmt)
		return sl_sqlite_unprepared(&c->parts[SL_SQLITE_CORE]);
	sqlite3_bind_int64(stmt, 1, now_wall_ms);
	sqlite3_bind_int64(stmt, 2, (int64_t)most);
	return sl_sqlite_run_once(stmt);
}

/* --- records --------------------------------------------------------------- */

static enum sl_err
sqlite_records_append(void *conn, struct sl_record_source *source)
{
	return sl_sqlite_records_append(&((struct conn *)conn)->records, source);
}

static void
read_record(sqlite3_stmt *stmt, struct sl_record_row *row)
{
	int at = 1;

#define IS_NULL (sqlite3_column_type(stmt, at) == SQLITE_NULL)
#define SL_RECORD_TEXT(name, max_size)                                                 \
	row->name = sl_sqlite_column(stmt, at);                                             \
	at++;
#define SL_RECORD_INT(name)                                                            \
	row->name = IS_NULL ? SL_RECORD_NULL : sqlite3_column_int64(stmt, at);         \
	at++;
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
	for (int i = 0; i < SL_USAGE_COUNT; i++, at++)
		row->usage[i] = IS_NULL ? SL_RECORD_NULL : sqlite3_column_int64(stmt, at);
#undef IS_NULL
}

static enum sl_err
find_place(struct conn *conn, struct sl_slice request_id, int64_t end_wall_ms, int64_t *id)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_RECORD_PLACE);
	int64_t since, until;
	struct sl_slice key;
	int rc;

	if (!stmt)
		return sl_sqlite_unprepared(&conn->parts[SL_SQLITE_CORE]);
	if (!sl_sqlite_request_place(request_id, &since, &key)) {
		since = until = 0;
	} else if (end_wall_ms != SL_RECORD_NULL) {
		since = sl_sqlite_clamp_wall_ms(end_wall_ms);
		until = since + 1;
	} else {
		since = sl_sqlite_clamp_wall_ms(since);
		until = since + SL_SQLITE_NEAR_MS;
	}
	sl_sqlite_bind_text(stmt, 1, request_id);
	sl_sqlite_bind_blob(stmt, 2, key.ptr, key.len);
	sqlite3_bind_int64(stmt, 3, since << ID_SHIFT);
	sqlite3_bind_int64(stmt, 4, until << ID_SHIFT);
	rc = sqlite3_step(stmt);
	*id = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_reset(stmt);
	return rc == SQLITE_DONE ? SL_ENOTFOUND : sl_sqlite_error(rc);
}

/* False where a reader came before the gateway brought the file to this schema: the versions
 * before have indexes for all rows. */
static bool
has_lines(struct conn *conn)
{
	return sqlite3_table_column_metadata(conn->db, NULL, "record_lines", NULL, NULL, NULL,
	                                     NULL, NULL, NULL) == SQLITE_OK;
}

static enum sl_err
sqlite_record_find(void *conn, struct sl_slice request_id, int64_t end_wall_ms,
                   void (*found)(void *context, const struct sl_record_row *row), void *context)
{
	struct conn *c = conn;
	sqlite3_stmt *stmt;
	struct sl_record_row row = { 0 };
	int64_t first = INT64_MIN, last = INT64_MAX;
	int rc;

	sl_sqlite_need_view(c);
	stmt = statement(c, STATEMENT_RECORD_FIND);
	if (!stmt)
		return sl_sqlite_unprepared(&c->parts[SL_SQLITE_CORE]);
	if (has_lines(c)) {
		enum sl_err err = find_place(c, request_id, end_wall_ms, &first);

		if (err != SL_OK)
			return err;
		last = first;
	}
	sl_sqlite_bind_text(stmt, 1, request_id);
	sqlite3_bind_int64(stmt, 2, first);
	sqlite3_bind_int64(stmt, 3, last);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		read_record(stmt, &row);
		found(context, &row);
	}
	sqlite3_reset(stmt);
	return rc == SQLITE_DONE ? SL_ENOTFOUND : sl_sqlite_error(rc);
}

/* --- spend ----------------------------------------------------------------- */

/* Whether a record ended at or after the time. */
static enum sl_err
has_records_from(struct conn *conn, int64_t wall_ms, bool *answer)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_LAST_RECORD);
	int rc = stmt ? sqlite3_step(stmt) : sqlite3_errcode(conn->db);

	*answer = rc == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL &&
	          sqlite3_column_int64(stmt, 0) >= wall_ms << ID_SHIFT;
	if (stmt)
		sqlite3_reset(stmt);
	return sl_sqlite_error(rc);
}

/* Splits [since, until) into whole hours and the edges around them. The last
 * hour counts as whole while nothing lies behind `until`: the usual "until now"
 * reads no record at all. */
static enum sl_err
bind_range(struct conn *conn, sqlite3_stmt *stmt, const struct sl_spend_query *query)
{
	int64_t since = sl_sqlite_clamp_wall_ms(query->since_wall_ms);
	int64_t until = sl_sqlite_clamp_wall_ms(query->until_wall_ms);
	int64_t first = (since + HOUR_MS - 1) / HOUR_MS;
	int64_t last = until / HOUR_MS;
	int64_t edge[4] = { since, first * HOUR_MS, last * HOUR_MS, until };
	bool more;
	enum sl_err err = has_records_from(conn, until, &more);

	if (!more) {
		last = (until + HOUR_MS - 1) / HOUR_MS;
		edge[2] = edge[3] = until;
	}
	if (first >= last) {
		first = last = 0;
		edge[1] = until;
		edge[2] = edge[3] = until;
	}
	sqlite3_bind_int64(stmt, 1, first);
	sqlite3_bind_int64(stmt, 2, last);
	for (int i = 0; i < 4; i++)
		sqlite3_bind_int64(stmt, 3 + i, edge[i] << ID_SHIFT);
	sqlite3_bind_int64(stmt, 7, query->hourly);
	return err;
}

static enum sl_err
sqlite_spend(void *conn, const struct sl_spend_query *query,
             bool (*each)(void *context, const struct sl_spend_row *row), void *context)
{
	static const enum statement by[SL_SPEND_GROUPS] = {
		[SL_SPEND_KEY] = STATEMENT_SPEND_KEY,
		[SL_SPEND_TEAM] = STATEMENT_SPEND_TEAM,
		[SL_SPEND_WORKSPACE] = STATEMENT_SPEND_WORKSPACE,
		[SL_SPEND_MODEL] = STATEMENT_SPEND_MODEL,
		[SL_SPEND_PROVIDER] = STATEMENT_SPEND_PROVIDER,
		[SL_SPEND_TAG] = STATEMENT_SPEND_TAG,
	};
	struct conn *c = conn;
	sqlite3_stmt *stmt;
	enum sl_err err;
	int rc;

	sl_sqlite_need_view(c);
	stmt = statement(c, by[query->by]);
	if (!stmt)
		return sl_sqlite_unprepared(&c->parts[SL_SQLITE_CORE]);
	err = bind_range(c, stmt, query);
	if (err != SL_OK)
		return err;
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct sl_spend_row row = {
			.name = sl_sqlite_column(stmt, 0),
			.hour = sqlite3_column_int64(stmt, 1),
			.requests = sqlite3_column_int64(stmt, 2),
			.input_tokens = sqlite3_column_int64(stmt, 3),
			.output_tokens = sqlite3_column_int64(stmt, 4),
			.cost_nanousd = sqlite3_column_int64(stmt, 5),
			.unpriced_requests = sqlite3_column_int64(stmt, 6),
		};

		if (!each(context, &row)) {
			rc = SQLITE_DONE;
			break;
		}
	}
	sqlite3_reset(stmt);
	return sl_sqlite_error(rc);
}

/* --- open and close -------------------------------------------------------- */

static enum sl_err
open_with(enum sl_err (*open)(struct sl_slice path, sqlite3 **db, int *lock_fd,
                              const char **reason),
          struct sl_slice rest, void **out, const char **reason)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	enum sl_err err;

	if (!conn) {
		*reason = "out of memory";
		return SL_ENOMEM;
	}
	err = open(rest, &conn->db, &conn->lock_fd, reason);
	if (err != SL_OK) {
		free(conn);
		return err;
	}
	for (int i = 0; i < SL_SQLITE_PARTS; i++)
		conn->parts[i].db = conn->db;
	if (sl_sqlite_records_open(&conn->records, &conn->parts[SL_SQLITE_RECORDS]) != SQLITE_OK) {
		sl_sqlite_close(conn->db, conn->lock_fd);
		free(conn);
		*reason = "out of memory";
		return SL_ENOMEM;
	}
	*out = conn;
	return SL_OK;
}

static enum sl_err
sqlite_open(struct sl_slice rest, void **out, const char **reason)
{
	return open_with(sl_sqlite_open, rest, out, reason);
}

static enum sl_err
sqlite_open_reader(struct sl_slice rest, void **out, const char **reason)
{
	enum sl_err err = open_with(sl_sqlite_open_reader, rest, out, reason);

	if (err == SL_OK)
		((struct conn *)*out)->is_reader = true;
	return err;
}

static void
sqlite_close(void *conn)
{
	struct conn *c = conn;

	for (int part = 0; part < SL_SQLITE_PARTS; part++)
		for (int i = 0; i < SL_SQLITE_STATEMENTS_MAX; i++)
			sqlite3_finalize(c->parts[part].statements[i]);
	sl_sqlite_records_release(&c->records);
	sl_sqlite_close(c->db, c->lock_fd);
	free(c);
}

const struct sl_store_ops sl_store_sqlite = {
	.scheme = "sqlite",
	.open = sqlite_open,
	.open_reader = sqlite_open_reader,
	.close = sqlite_close,
	.begin = sqlite_begin,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.mark = sqlite_mark,
	.keep = sqlite_keep,
	.undo = sqlite_undo,
	.meta_get = sqlite_meta_get,
	.meta_put = sqlite_meta_put,
	.key_put = sqlite_key_put,
	.key_each = sqlite_key_each,
	.records_append = sqlite_records_append,
	.record_find = sqlite_record_find,
	.spend = sqlite_spend,
	.answer_put = sqlite_answer_put,
	.answer_each = sqlite_answer_each,
	.answer_trim = sqlite_answer_trim,
	.money = &sl_sqlite_money_ops,
	.tenants = &sl_sqlite_tenant_ops,
	.responses = &sl_sqlite_response_ops,
	.log = &sl_sqlite_log_ops,
};

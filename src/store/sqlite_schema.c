/* sqlite_schema.c - open, check, migrate.
 *
 * Order matters: our lock first (so that nobody else's WAL is touched), then
 * whose file it is, then the journal mode, then the migrations this file has not
 * seen, all in one transaction. Columns of records.def that their tables lack are
 * added, and the view that shows them is made anew when it would be another. The
 * check at start covers the two tables whose damage would lock people out (keys,
 * meta); a scan of all records would make start-up as slow as the history is long.
 */
#include "store/sqlite_schema.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "model/usage.h"
#include "store/sqlite_facts.h"
#include "store/sqlite_request.h"

enum {
	APPLICATION_ID = 0x534c5543, /* "SLUC" */
	BUSY_MS = 250,               /* somebody's shell holds a lock */
	PATH_MAX_SIZE = 4096,
	VIEW_MAX_SIZE = 16 * 1024,
	ASKS_SINCE = 13,             /* schema with record_asks, */
	LINES_SINCE = 14,            /* with record_lines */
};

/* Schema n is reached by running migrations[0..n-1]. Never change one that was
 * released; append. The columns of records are no part of them: a new store gets
 * all at once, because each one that is added to it makes SQLite read its whole
 * schema again (a million instructions). */
static const char *const migrations[] = {
	"CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID, STRICT;"
	"CREATE TABLE keys(id TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE,"
	" hint TEXT NOT NULL, policy_json TEXT NOT NULL, created_wall_ms INTEGER NOT NULL,"
	" revoked_wall_ms INTEGER NOT NULL) WITHOUT ROWID, STRICT;"
	"CREATE TABLE records(id INTEGER PRIMARY KEY"
#define SL_RECORD_TEXT(name, max_size) ", " #name " TEXT"
#define SL_RECORD_INT(name)            ", " #name " INTEGER"
#define USAGE_COLUMN(id, name)         ", " name " INTEGER"
#include "store/records.def"
	SL_USAGE_CLASSES(USAGE_COLUMN)
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
#undef USAGE_COLUMN
	") STRICT;"
	"CREATE TABLE hours(hour INTEGER NOT NULL, key_id TEXT NOT NULL, team TEXT NOT NULL,"
	" workspace TEXT NOT NULL, model TEXT NOT NULL, provider TEXT NOT NULL,"
	" requests INTEGER NOT NULL, input_tokens INTEGER NOT NULL,"
	" output_tokens INTEGER NOT NULL, cost_nanousd INTEGER NOT NULL,"
	" unpriced_requests INTEGER NOT NULL,"
	" PRIMARY KEY(hour, key_id, team, workspace, model, provider)) WITHOUT ROWID, STRICT;",
	"CREATE TABLE money_owners(number INTEGER PRIMARY KEY, kind INTEGER NOT NULL,"
	" name TEXT NOT NULL, lease_mark INTEGER NOT NULL, UNIQUE(kind, name)) STRICT;"
	"CREATE TABLE money_books(book INTEGER PRIMARY KEY, balance INTEGER NOT NULL,"
	" entries INTEGER NOT NULL, chain BLOB NOT NULL,"
	" CHECK(book < 8 OR book % 8 IN (2, 3) OR balance >= 0)) STRICT;"
	"CREATE TABLE money_entries(id INTEGER PRIMARY KEY, event INTEGER NOT NULL,"
	" book INTEGER NOT NULL, amount INTEGER NOT NULL, balance INTEGER NOT NULL,"
	" wall_ms INTEGER NOT NULL, kind TEXT NOT NULL, reference BLOB NOT NULL,"
	" chain BLOB NOT NULL) STRICT;"
	"CREATE TRIGGER money_entries_kept BEFORE DELETE ON money_entries"
	" BEGIN SELECT raise(ABORT, 'ledger entries are never deleted'); END;"
	"CREATE TRIGGER money_entries_frozen BEFORE UPDATE ON money_entries"
	" BEGIN SELECT raise(ABORT, 'ledger entries are never changed'); END;"
	"CREATE TABLE money_attempts(id BLOB PRIMARY KEY, request BLOB NOT NULL,"
	" attempt_no INTEGER NOT NULL, price_version INTEGER NOT NULL, state INTEGER NOT NULL,"
	" policy INTEGER NOT NULL, usage_source INTEGER NOT NULL, prepaid INTEGER NOT NULL,"
	" scopes BLOB NOT NULL, held INTEGER NOT NULL, progress INTEGER NOT NULL,"
	" charged INTEGER NOT NULL, overrun INTEGER NOT NULL, input_tokens INTEGER NOT NULL,"
	" output_tokens INTEGER NOT NULL, begin_wall_ms INTEGER NOT NULL,"
	" end_wall_ms INTEGER NOT NULL) WITHOUT ROWID, STRICT;"
	"CREATE INDEX money_attempts_open ON money_attempts(id) WHERE state < 2;"
	"CREATE TABLE money_spent(owner INTEGER NOT NULL, win INTEGER NOT NULL,"
	" period INTEGER NOT NULL, amount INTEGER NOT NULL,"
	" PRIMARY KEY(owner, win, period)) WITHOUT ROWID, STRICT;"
	"CREATE TABLE money_credits(external_id TEXT PRIMARY KEY, owner INTEGER NOT NULL,"
	" amount INTEGER NOT NULL, wall_ms INTEGER NOT NULL) WITHOUT ROWID, STRICT;"
	"CREATE TABLE money_vouchers(code_digest BLOB PRIMARY KEY, amount INTEGER NOT NULL,"
	" used_by INTEGER NOT NULL) WITHOUT ROWID, STRICT;",
	"CREATE TABLE tenants(kind INTEGER NOT NULL, slug TEXT NOT NULL,"
	" policy_json TEXT NOT NULL, created_wall_ms INTEGER NOT NULL,"
	" PRIMARY KEY(kind, slug)) WITHOUT ROWID, STRICT;"
	"CREATE TABLE audit(id INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL,"
	" actor TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL,"
	" before_json TEXT NOT NULL, after_json TEXT NOT NULL, chain BLOB NOT NULL) STRICT;"
	"CREATE TRIGGER audit_kept BEFORE DELETE ON audit"
	" BEGIN SELECT raise(ABORT, 'audit rows are never deleted'); END;"
	"CREATE TRIGGER audit_frozen BEFORE UPDATE ON audit"
	" BEGIN SELECT raise(ABORT, 'audit rows are never changed'); END;",
	"ALTER TABLE money_vouchers ADD COLUMN expires_wall_ms INTEGER NOT NULL DEFAULT 0;",
	"CREATE TABLE answers(id BLOB PRIMARY KEY, request BLOB NOT NULL, status INTEGER NOT NULL,"
	" content_type TEXT NOT NULL, body BLOB NOT NULL, expires_wall_ms INTEGER NOT NULL) STRICT;"
	"CREATE INDEX answers_expire ON answers(expires_wall_ms);",
	"ALTER TABLE hours RENAME TO hours_before;"
	"CREATE TABLE hours(hour INTEGER NOT NULL, key_id TEXT NOT NULL, team TEXT NOT NULL,"
	" workspace TEXT NOT NULL, model TEXT NOT NULL, provider TEXT NOT NULL,"
	" tag TEXT NOT NULL, requests INTEGER NOT NULL, input_tokens INTEGER NOT NULL,"
	" output_tokens INTEGER NOT NULL, cost_nanousd INTEGER NOT NULL,"
	" unpriced_requests INTEGER NOT NULL,"
	" PRIMARY KEY(hour, key_id, team, workspace, model, provider, tag)) WITHOUT ROWID, STRICT;"
	"INSERT INTO hours SELECT hour, key_id, team, workspace, model, provider, '', requests,"
	" input_tokens, output_tokens, cost_nanousd, unpriced_requests FROM hours_before;"
	"DROP TABLE hours_before;",
	"CREATE TABLE alerts(id TEXT PRIMARY KEY, wall_ms INTEGER NOT NULL) WITHOUT ROWID, STRICT;",
	"CREATE TABLE responses(id TEXT PRIMARY KEY, owner TEXT NOT NULL, previous TEXT NOT NULL,"
	" input TEXT NOT NULL, response TEXT NOT NULL, created_wall_ms INTEGER NOT NULL,"
	" size INTEGER NOT NULL) STRICT;"
	"CREATE INDEX responses_age ON responses(created_wall_ms, id, size);",
	("CREATE TABLE claims(name BLOB PRIMARY KEY, digest BLOB NOT NULL, request BLOB NOT NULL,"
	" expires_wall_ms INTEGER NOT NULL, charged INTEGER NOT NULL) WITHOUT ROWID, STRICT;"),
	"ALTER TABLE answers ADD COLUMN told TEXT NOT NULL DEFAULT '';",
#define IN_ID(text)    text
#define IN_USER(text)  text
#define IN_HEX(text)   text
#define IN_BEGIN(text) text
#define IN_FACT(text)  text
#define IN_RARE(text)  text
#define IN_LABEL(text) text
#define IN_OWNER(text)
#define IN_KIND(text)
#define SL_COLUMN(place, type, name) IN_##place(", " #name " " #type)
	"ALTER TABLE records RENAME TO records_before;"
	"CREATE TABLE record_rows(id INTEGER PRIMARY KEY, owner INTEGER NOT NULL,"
	" kind INTEGER NOT NULL, more TEXT, input_tokens INTEGER, output_tokens INTEGER"
#include "store/sqlite_columns.def"
	") STRICT;"
#undef IN_ID
#undef IN_USER
#undef IN_HEX
#undef IN_BEGIN
#undef IN_FACT
#undef IN_RARE
#undef IN_LABEL
#undef IN_OWNER
#define IN_ID(text)
#define IN_USER(text)
#define IN_HEX(text)
#define IN_BEGIN(text)
#define IN_FACT(text)
#define IN_RARE(text)
#define IN_LABEL(text)
#define IN_OWNER(text) text
	"CREATE TABLE record_owners(id INTEGER PRIMARY KEY"
#include "store/sqlite_columns.def"
	") STRICT;"
#undef IN_OWNER
#undef IN_KIND
#define IN_OWNER(text)
#define IN_KIND(text) text
	"CREATE TABLE record_kinds(id INTEGER PRIMARY KEY"
#include "store/sqlite_columns.def"
	") STRICT;",
#undef SL_COLUMN
#undef IN_ID
#undef IN_USER
#undef IN_HEX
#undef IN_BEGIN
#undef IN_FACT
#undef IN_RARE
#undef IN_LABEL
#undef IN_OWNER
#undef IN_KIND
	"ALTER TABLE money_attempts ADD COLUMN target INTEGER NOT NULL DEFAULT 0;",
	"CREATE TABLE record_asks(id INTEGER PRIMARY KEY, owner INTEGER, kind INTEGER,"
	" request_id TEXT, trace_id ANY, end_user TEXT, facts TEXT) STRICT;",
	"CREATE TABLE record_lines(id INTEGER PRIMARY KEY, request ANY, trace ANY, facts TEXT)"
	" STRICT;"
	"CREATE INDEX record_lines_by_request ON record_lines(request) WHERE request < x'';",
};
enum { SCHEMA_VERSION = sizeof(migrations) / sizeof(migrations[0]) };

#define TABLE_ID    "record_rows"
#define TABLE_USER  "record_rows"
#define TABLE_HEX   "record_rows"
#define TABLE_BEGIN "record_rows"
#define TABLE_FACT  "record_rows"
#define TABLE_RARE  "record_rows"
#define TABLE_LABEL "record_rows"
#define TABLE_OWNER "record_owners"
#define TABLE_KIND  "record_kinds"
static const struct column {
	const char *table, *name, *type;
} record_columns[] = {
#define SL_COLUMN(place, type, name)   { TABLE_##place, #name, #type },
#define SL_RECORD_TEXT(name, max_size) { "records_before", #name, "TEXT" },
#define SL_RECORD_INT(name)            { "records_before", #name, "INTEGER" },
#define USAGE_COLUMN(id, name)         { "records_before", name, "INTEGER" },
#include "store/sqlite_columns.def"
#include "store/records.def"
	SL_USAGE_CLASSES(USAGE_COLUMN)
#undef SL_COLUMN
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
#undef USAGE_COLUMN
};
enum { RECORD_COLUMNS = sizeof(record_columns) / sizeof(record_columns[0]) };

static _Thread_local char reason_text[PATH_MAX_SIZE + 256];

static enum sl_err
refuse(const char **reason, enum sl_err err, struct sl_slice path, const char *why)
{
	snprintf(reason_text, sizeof(reason_text), "the database file %.*s %s",
	         SL_ARG(sl_slice_upto(path, PATH_MAX_SIZE)), why);
	*reason = reason_text;
	return err;
}

/* With what SQLite said last. */
static enum sl_err
refuse_db(const char **reason, struct sl_slice path, sqlite3 *db, const char *why)
{
	char text[256];

	snprintf(text, sizeof(text), "%s: %s", why, db ? sqlite3_errmsg(db) : "out of memory");
	return refuse(reason, SL_EIO, path, text);
}

/* --- the file -------------------------------------------------------------- */

static const char *
open_failure(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return "cannot be created: its directory does not exist; create the directory "
		       "or change `store`";
	case EACCES:
	case EPERM:
	case EROFS:
		return "cannot be opened for writing by this user; change its permissions or "
		       "its owner, or name another path in `store`";
	case EISDIR:
		return "is a directory; name a file in `store`";
	case ENOSPC:
	case EDQUOT:
		return "cannot be created: the disk is full";
	default:
		return strerror(error);
	}
}

static enum sl_err
lock_file(const char *path, int *lock_fd, const char **reason)
{
	/* SQLite gives its -wal and -shm files the mode of this one. */
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return refuse(reason, SL_EIO, sl_slice_str(path), open_failure(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return refuse(reason, SL_EBUSY, sl_slice_str(path),
		              "is in use by another process of Sluice; stop that one or "
		              "name another file in `store`");
	}
	*lock_fd = fd;
	return SL_OK;
}

/* --- questions ------------------------------------------------------------- */

/* The first column of the first row; false on an error. No row: 0. */
static bool
query_int(sqlite3 *db, const char *sql, int64_t *out)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	*out = 0;
	if (rc == SQLITE_OK) {
		rc = sqlite3_step(stmt);
		if (rc == SQLITE_ROW)
			*out = sqlite3_column_int64(stmt, 0);
	}
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static bool
query_says(sqlite3 *db, const char *sql, const char *expected)
{
	sqlite3_stmt *stmt = NULL;
	bool same = false;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(stmt, 0);

		same = text && strcmp(text, expected) == 0;
	}
	sqlite3_finalize(stmt);
	return same;
}

static bool
execute(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* Refuses files that are not ours. */
static enum sl_err
check_owner(sqlite3 *db, struct sl_slice path, const char **reason)
{
	int64_t id, objects;

	if (!query_int(db, "PRAGMA application_id", &id) ||
	    !query_int(db, "SELECT count(*) FROM sqlite_schema", &objects)) {
		if ((sqlite3_errcode(db) & 0xff) == SQLITE_NOTADB)
			return refuse(reason, SL_ESYNTAX, path,
			              "is not an SQLite database; move it away or name "
			              "another file in `store`");
		return refuse_db(reason, path, db, "cannot be read");
	}
	if (id != APPLICATION_ID && (id != 0 || objects != 0))
		return refuse(reason, SL_EEXIST, path,
		              "belongs to another program; name another file in `store`");
	return SL_OK;
}

/* --- schema ---------------------------------------------------------------- */

/* Marks one of ours as present. `from`: where it may be found at once, because those of a
 * table come in our order; returns that of the next one. */
static size_t
note_column(const char *table, const char *name, size_t from, bool *present)
{
	for (size_t n = 0; table && name && n < RECORD_COLUMNS; n++) {
		size_t i = (from + n) % RECORD_COLUMNS;

		if (strcmp(name, record_columns[i].name) == 0 &&
		    strcmp(table, record_columns[i].table) == 0) {
			present[i] = true;
			return i + 1;
		}
	}
	return from;
}

static bool
add_missing_columns(sqlite3 *db)
{
	bool present[RECORD_COLUMNS] = { false };
	size_t next = 0;
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, "SELECT t.name, c.name FROM sqlite_schema t,"
	                            " pragma_table_info(t.name) c WHERE t.type = 'table' AND"
	                            " t.name LIKE 'record%'", -1, &stmt, NULL);

	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(stmt);
		if (rc == SQLITE_ROW)
			next = note_column((const char *)sqlite3_column_text(stmt, 0),
			                   (const char *)sqlite3_column_text(stmt, 1), next, present);
	}
	sqlite3_finalize(stmt);
	for (size_t i = 0; i < RECORD_COLUMNS && rc == SQLITE_DONE; i++) {
		char sql[128];

		if (present[i])
			continue;
		snprintf(sql, sizeof(sql), "ALTER TABLE %s ADD COLUMN %s %s",
		         record_columns[i].table, record_columns[i].name, record_columns[i].type);
		if (!execute(db, sql))
			return false;
	}
	return rc == SQLITE_DONE;
}

static const char *const classes[SL_USAGE_COUNT] = {
#define CLASS_NAME(id, name) [SL_USAGE_##id] = name,
	SL_USAGE_CLASSES(CLASS_NAME)
#undef CLASS_NAME
};

/* The columns of the view are in the same order in all of its parts. */
#define SL_COLUMN(place, type, name) IN_##place(type, name)
#define IN_OWNER(type, name) sl_buf_append_str(sql, ", o." #name " AS " #name);
#define IN_KIND(type, name)  sl_buf_append_str(sql, ", k." #name " AS " #name);

/* How a table says what is not of the same place in all. */
struct form {
	const char *table;
	int64_t     since;  /* schema */
	const char *owner, *kind;
	const char *request, *trace, *user;
	int         moved; /* its facts, towards the front */
	void      (*put)(struct sl_buf *sql, const struct form *form);
};

#define IN_ID(type, name)    sl_buf_printf(sql, ", %s AS " #name, form->request);
#define IN_USER(type, name)  sl_buf_printf(sql, ", %s AS " #name, form->user);
#define IN_HEX(type, name)                                                             \
	sl_buf_printf(sql, ", CAST(CASE typeof(%s) WHEN 'blob' THEN lower(hex(%s))"     \
	                   " ELSE %s END AS " #type ") AS " #name, form->trace,         \
	              form->trace, form->trace);
#define IN_BEGIN(type, name)                                                           \
	sl_buf_printf(sql, ", CAST((r.id >> 20) - json_extract(r.facts, '$[%d]') AS "   \
	                   #type ") AS " #name, SL_FACT_##name - form->moved);
#define IN_FACT(type, name)                                                            \
	sl_buf_printf(sql, ", CAST(json_extract(r.facts, '$[%d]') AS " #type ") AS " #name, \
	              SL_FACT_##name - form->moved);
#define IN_RARE(type, name)                                                            \
	sl_buf_printf(sql, ", CAST(json_extract(r.facts, '$[%d]." #name "') AS " #type  \
	                   ") AS " #name, SL_FACT_RARE - form->moved);
#define IN_LABEL(type, name)                                                           \
	sl_buf_printf(sql, ", CAST(ifnull(json_extract(r.facts, '$[%d]." #name "'), %s)" \
	                   " AS " #type ") AS " #name, SL_FACT_RARE - form->moved,      \
	              form->request);
static void
put_facts(struct sl_buf *sql, const struct form *form)
{
#include "store/sqlite_columns.def"
	for (int i = 0; i < SL_USAGE_COUNT; i++) {
		if (i == SL_USAGE_INPUT || i == SL_USAGE_OUTPUT)
			sl_buf_printf(sql, ", CAST(json_extract(r.facts, '$[%d]') AS INTEGER) AS %s",
			              (i == SL_USAGE_INPUT ? SL_FACT_INPUT : SL_FACT_OUTPUT) -
			                  form->moved,
			              classes[i]);
		else
			sl_buf_printf(sql, ", CAST(json_extract(r.facts, '$[%d].%s') AS INTEGER) AS %s",
			              SL_FACT_RARE - form->moved, classes[i], classes[i]);
	}
}
#undef IN_ID
#undef IN_USER
#undef IN_HEX
#undef IN_BEGIN
#undef IN_FACT
#undef IN_RARE
#undef IN_LABEL

#define IN_ROW(type, name)   sl_buf_append_str(sql, ", r." #name " AS " #name);
#define IN_ID(type, name)    IN_ROW(type, name)
#define IN_USER(type, name)  IN_ROW(type, name)
#define IN_HEX(type, name)   IN_ROW(type, name)
#define IN_BEGIN(type, name) IN_ROW(type, name)
#define IN_FACT(type, name)  IN_ROW(type, name)
#define IN_RARE(type, name)  IN_ROW(type, name)
#define IN_LABEL(type, name)                                                           \
	sl_buf_append_str(sql, ", CAST(ifnull(r." #name ", r.request_id) AS " #type ")" \
	                       " AS " #name);
static void
put_columns(struct sl_buf *sql, const struct form *form)
{
	(void)form;
#include "store/sqlite_columns.def"
	for (int i = 0; i < SL_USAGE_COUNT; i++) {
		if (i == SL_USAGE_INPUT || i == SL_USAGE_OUTPUT)
			sl_buf_printf(sql, ", r.%s AS %s", classes[i], classes[i]);
		else
			/* A number ends where the next name begins. */
			sl_buf_printf(sql, ", CAST(substr(r.more, nullif(instr(r.more, ' %s='), 0)"
			              " + %zu) AS INTEGER) AS %s",
			              classes[i], strlen(classes[i]) + 2, classes[i]);
	}
}
#undef SL_COLUMN

/* Records as they were asked for, whoever keeps what of them in a file of this schema. SQLite
 * flattens it, so that indexes are used, because all parts have the same affinities. */
static void
put_view(struct sl_buf *sql, const char *create, int64_t version)
{
	static const struct form forms[] = {
		{ "record_lines", LINES_SINCE, "json_extract(r.facts, '$[0]')",
		  "json_extract(r.facts, '$[1]')", SL_SQLITE_REQUEST_SQL, "r.trace",
		  "CAST(json_extract(r.facts, '$[12].end_user') AS TEXT)", 0, put_facts },
		{ "record_asks", ASKS_SINCE, "r.owner", "r.kind", "r.request_id", "r.trace_id",
		  "r.end_user", SL_FACTS_MOVED, put_facts },
		{ "record_rows", 0, "r.owner", "r.kind", NULL, NULL, NULL, 0, put_columns },
	};

	_Static_assert(SL_FACT_OWNER == 0 && SL_FACT_KIND == 1 && SL_FACT_RARE == 12, "forms");
	sl_buf_append_str(sql, create);
	sl_buf_append_str(sql, " records AS ");
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (forms[i].since > version)
			continue;
		sl_buf_append_str(sql, "SELECT r.id AS id, CAST(r.id >> 20 AS INTEGER) AS end_wall_ms");
		forms[i].put(sql, &forms[i]);
		sl_buf_printf(sql, " FROM %s r CROSS JOIN record_owners o CROSS JOIN record_kinds k"
		              " WHERE o.id = %s AND k.id = %s UNION ALL ", forms[i].table,
		              forms[i].owner, forms[i].kind);
	}
#define SL_COLUMN(place, type, name) ", " #name
	sl_buf_append_str(sql, "SELECT id, end_wall_ms"
#include "store/sqlite_columns.def"
	                 );
#undef SL_COLUMN
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		sl_buf_printf(sql, ", %s", classes[i]);
	sl_buf_append_str(sql, " FROM records_before");
}

/* Only when it is another: each change of the schema is a write. */
static bool
make_view(sqlite3 *db)
{
	struct sl_buf sql;
	bool made = false;

	sl_buf_init(&sql, VIEW_MAX_SIZE);
	put_view(&sql, "CREATE VIEW", SCHEMA_VERSION);
	sl_buf_append_char(&sql, '\0');
	if (!sql.failed)
		made = query_says(db, "SELECT sql FROM sqlite_schema WHERE name = 'records'",
		                  sql.ptr) ||
		       (execute(db, "DROP VIEW IF EXISTS records") && execute(db, sql.ptr));
	sl_buf_release(&sql);
	return made;
}

/* The view in the file is for people. We do not trust a file so far that its views may
 * call what they like, which json_extract falls under; this one is our own. */
static bool
make_own_view(sqlite3 *db, int64_t version)
{
	struct sl_buf sql;
	bool made;

	sl_buf_init(&sql, VIEW_MAX_SIZE);
	put_view(&sql, "CREATE TEMP VIEW IF NOT EXISTS", version);
	sl_buf_append_char(&sql, '\0');
	made = !sql.failed && execute(db, sql.ptr);
	sl_buf_release(&sql);
	return made;
}

bool
sl_sqlite_show_records(sqlite3 *db)
{
	return make_own_view(db, SCHEMA_VERSION);
}

static bool
run_migrations(sqlite3 *db, int64_t version)
{
	char sql[160];

	snprintf(sql, sizeof(sql),
	         "PRAGMA application_id = %d;"
	         "CREATE TABLE IF NOT EXISTS migrations(version INTEGER PRIMARY KEY,"
	         " applied_wall_ms INTEGER NOT NULL)",
	         APPLICATION_ID);
	if (version == 0 && !execute(db, sql))
		return false;
	for (; version < SCHEMA_VERSION; version++) {
		snprintf(sql, sizeof(sql), "INSERT INTO migrations VALUES (%lld, %lld)",
		         (long long)version + 1, (long long)sl_clock_wall_ms());
		if (!execute(db, migrations[version]) || !execute(db, sql))
			return false;
	}
	return add_missing_columns(db) && make_view(db) &&
	       execute(db, "CREATE INDEX IF NOT EXISTS record_asks_by_request"
	                   " ON record_asks(request_id);"
	                   "CREATE INDEX IF NOT EXISTS record_rows_by_request"
	                   " ON record_rows(request_id);"
	                   "CREATE INDEX IF NOT EXISTS records_by_request"
	                   " ON records_before(request_id)");
}

/* The schema of the file, 0 where it has none yet; one of a newer Sluice is refused. */
static enum sl_err
find_version(sqlite3 *db, struct sl_slice path, int64_t *version, const char **reason)
{
	int64_t known;
	char text[160];

	*version = 0;
	if (!query_int(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'migrations'",
	               &known) ||
	    (known && !query_int(db, "SELECT max(version) FROM migrations", version)))
		return refuse_db(reason, path, db, "cannot be read");
	if (*version <= SCHEMA_VERSION)
		return SL_OK;
	snprintf(text, sizeof(text),
	         "has schema %lld, written by a newer Sluice; this one knows %d: run the "
	         "newer one or restore a backup",
	         (long long)*version, (int)SCHEMA_VERSION);
	return refuse(reason, SL_EUNSUPPORTED, path, text);
}

static enum sl_err
migrate(sqlite3 *db, struct sl_slice path, const char **reason)
{
	int64_t version;
	enum sl_err err = find_version(db, path, &version, reason);

	if (err != SL_OK)
		return err;
	if (!execute(db, "BEGIN") || !run_migrations(db, version) || !execute(db, "COMMIT")) {
		err = refuse_db(reason, path, db, "cannot take the current schema");
		execute(db, "ROLLBACK");
		return err;
	}
	return SL_OK;
}

static enum sl_err
configure(sqlite3 *db, struct sl_slice path, const char **reason)
{
	bool in_memory = sl_slice_is(path, ":memory:");

	sqlite3_busy_timeout(db, BUSY_MS);
	/* journal_size_limit: a WAL that grew during a stall is cut back later. */
	if (!execute(db, "PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;"
	                 "PRAGMA cache_size = -1024; PRAGMA trusted_schema = OFF;"
	                 "PRAGMA wal_autocheckpoint = 1000;"
	                 "PRAGMA journal_size_limit = 16777216"))
		return refuse_db(reason, path, db, "cannot be set up");
	if (!query_says(db, "PRAGMA journal_mode = WAL", in_memory ? "memory" : "wal"))
		return refuse_db(reason, path, db,
		                 "cannot be switched to write-ahead logging (its directory must "
		                 "be writable, and not on a network file system)");
	return SL_OK;
}

static enum sl_err
check(sqlite3 *db, struct sl_slice path, const char **reason)
{
	if (query_says(db, "PRAGMA quick_check('keys')", "ok") &&
	    query_says(db, "PRAGMA quick_check('meta')", "ok"))
		return SL_OK;
	return refuse(reason, SL_EIO, path,
	              "is damaged (quick_check failed); restore a backup, or save what can be "
	              "read with `sqlite3 FILE .recover`");
}

static const char *vfs_name;

/* Counting every allocation under a mutex helps nobody here. */
static void
set_up_library(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	vfs_name = sl_sqlite_vfs();
}

static enum sl_err
open_locked(const char *path, sqlite3 **db, const char **reason)
{
	struct sl_slice name = sl_slice_str(path);
	enum sl_err err;

	if (sqlite3_open_v2(path, db,
	                    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
	                    vfs_name) != SQLITE_OK)
		return refuse_db(reason, name, *db, "cannot be opened");
	sqlite3_extended_result_codes(*db, 1);
	err = check_owner(*db, name, reason);
	if (err == SL_OK)
		err = configure(*db, name, reason);
	if (err == SL_OK)
		err = migrate(*db, name, reason);
	if (err == SL_OK)
		err = check(*db, name, reason);
	return err;
}

enum sl_err
sl_sqlite_open(struct sl_slice path, sqlite3 **db, int *lock_fd, const char **reason)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char name[PATH_MAX_SIZE];
	enum sl_err err = SL_OK;

	pthread_once(&once, set_up_library);
	*db = NULL;
	*lock_fd = -1;
	if (path.len == 0 || path.len >= sizeof(name) || memchr(path.ptr, '\0', path.len)) {
		*reason = "the store must name a file: sqlite:PATH, for example sqlite:sluice.db";
		return SL_EINVAL;
	}
	memcpy(name, path.ptr, path.len);
	name[path.len] = '\0';
	if (strcmp(name, ":memory:") != 0)
		err = lock_file(name, lock_fd, reason);
	if (err == SL_OK)
		err = open_locked(name, db, reason);
	if (err != SL_OK) {
		sl_sqlite_close(*db, *lock_fd);
		*db = NULL;
		*lock_fd = -1;
	}
	return err;
}

/* A file that was not brought to the current schema yet is shown as it is: by a view of our
 * own, or, before any called json_extract, by its own. */
static enum sl_err
open_to_read(const char *path, sqlite3 **db, const char **reason)
{
	struct sl_slice name = sl_slice_str(path);
	int64_t id = 0, version = 0;
	enum sl_err err;

	if (sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
	        SQLITE_OK ||
	    !execute(*db, "PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 0;"
	                  "PRAGMA trusted_schema = OFF") ||
	    !query_int(*db, "PRAGMA application_id", &id) || id != APPLICATION_ID)
		return refuse_db(reason, name, *db, "cannot be read as a ledger");
	err = find_version(*db, name, &version, reason);
	if (err == SL_OK && ((version >= ASKS_SINCE && !make_own_view(*db, version)) ||
	                     !execute(*db, "PRAGMA query_only = ON")))
		err = refuse_db(reason, name, *db, "cannot be read as a ledger");
	return err;
}

enum sl_err
sl_sqlite_open_reader(struct sl_slice path, sqlite3 **db, int *lock_fd, const char **reason)
{
	char name[PATH_MAX_SIZE];
	enum sl_err err;

	*db = NULL;
	*lock_fd = -1;
	if (path.len == 0 || path.len >= sizeof(name) || memchr(path.ptr, '\0', path.len))
		return refuse(reason, SL_EINVAL, path, "is no usable name");
	memcpy(name, path.ptr, path.len);
	name[path.len] = '\0';
	err = open_to_read(name, db, reason);
	if (err != SL_OK) {
		sqlite3_close(*db);
		*db = NULL;
		return err;
	}
	sqlite3_busy_timeout(*db, BUSY_MS);
	/* The last connection to close would checkpoint; that is the writer's work. */
	sqlite3_db_config(*db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return SL_OK;
}

void
sl_sqlite_close(sqlite3 *db, int lock_fd)
{
	sqlite3_close(db);
	/* Last: closing a descriptor of the file drops SQLite's own locks on it. */
	if (lock_fd >= 0)
		close(lock_fd);
}

/* sqlite_internal.h - what the files of the embedded store share: statements that are prepared
 * when they are first used, and their values. Private to them.
 *
 * Each file has tables of its own and names its statements; their prepared forms are a part
 * of the connection.
 */
#ifndef SL_STORE_SQLITE_INTERNAL_H
#define SL_STORE_SQLITE_INTERNAL_H

#include <sqlite3.h>

#include "store/log_store.h"
#include "store/money_store.h"
#include "store/response_store.h"
#include "store/tenant_store.h"

enum sl_sqlite_part_id {
	SL_SQLITE_CORE,
	SL_SQLITE_MONEY,
	SL_SQLITE_TENANTS,
	SL_SQLITE_RESPONSES,
	SL_SQLITE_RECORDS,
	SL_SQLITE_LOG,
	SL_SQLITE_PARTS,
};

enum { SL_SQLITE_STATEMENTS_MAX = 32 }; /* of one part */

struct sl_sqlite_part {
	sqlite3      *db;
	sqlite3_stmt *statements[SL_SQLITE_STATEMENTS_MAX];
};

extern const struct sl_money_ops sl_sqlite_money_ops;
extern const struct sl_tenant_ops sl_sqlite_tenant_ops;
extern const struct sl_response_ops sl_sqlite_response_ops;
extern const struct sl_log_ops sl_sqlite_log_ops;

/* conn: what the operations of the store are called with (sqlite.c). */
struct sl_sqlite_part *sl_sqlite_part(void *conn, enum sl_sqlite_part_id id);
/* Before each use of a statement that reads the view `records`. Parsing it takes a tenth of a
 * start, in which nobody asks for it. Without memory the statement fails. */
void sl_sqlite_need_view(void *conn);

/* sql: the texts of the part's statements. NULL when it cannot be prepared (memory, a damaged
 * schema): sl_sqlite_unprepared says why. */
sqlite3_stmt *sl_sqlite_statement(struct sl_sqlite_part *part, const char *const *sql,
                                  unsigned which);
enum sl_err sl_sqlite_unprepared(const struct sl_sqlite_part *part);

/* Runs a statement whose rows do not matter and makes it ready for the next time. */
int sl_sqlite_step_once(sqlite3_stmt *stmt);
enum sl_err sl_sqlite_run_once(sqlite3_stmt *stmt);
enum sl_err sl_sqlite_error(int rc);

/* Nothing is copied: the bytes must last until the statement was stepped. An empty slice is
 * the empty text or blob, not NULL. */
void sl_sqlite_bind_text(sqlite3_stmt *stmt, int at, struct sl_slice text);
void sl_sqlite_bind_blob(sqlite3_stmt *stmt, int at, const void *bytes, size_t size);
/* Valid until the statement is stepped again. */
struct sl_slice sl_sqlite_column(sqlite3_stmt *stmt, int at);

#endif

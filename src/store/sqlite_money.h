/* sqlite_money.h - the ledger's statements beside those of sqlite.c. Private to the
 * embedded store.
 */
#ifndef SL_STORE_SQLITE_MONEY_H
#define SL_STORE_SQLITE_MONEY_H

#include <sqlite3.h>

#include "store/money_store.h"

enum { SL_SQLITE_MONEY_STATEMENTS = 32 };
struct sl_sqlite_money {
	sqlite3      *db;
	sqlite3_stmt *statements[SL_SQLITE_MONEY_STATEMENTS];
};

/* The part of a connection that is ours (sqlite.c). */
struct sl_sqlite_money *sl_sqlite_money(void *conn);
void sl_sqlite_money_release(struct sl_sqlite_money *money);
enum sl_err sl_sqlite_error(int rc);

extern const struct sl_money_ops sl_sqlite_money_ops;

#endif

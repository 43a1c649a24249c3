/* sqlite_tenants.h - the statements for teams, workspaces and the audit log. Private to
 * the embedded store.
 */
#ifndef SL_STORE_SQLITE_TENANTS_H
#define SL_STORE_SQLITE_TENANTS_H

#include <sqlite3.h>

#include "store/tenant_store.h"

enum { SL_SQLITE_TENANT_STATEMENTS = 9 };
struct sl_sqlite_tenants {
	sqlite3      *db;
	sqlite3_stmt *statements[SL_SQLITE_TENANT_STATEMENTS];
};

/* The part of a connection that is ours (sqlite.c). */
struct sl_sqlite_tenants *sl_sqlite_tenants(void *conn);
void sl_sqlite_tenants_release(struct sl_sqlite_tenants *tenants);

extern const struct sl_tenant_ops sl_sqlite_tenant_ops;

#endif

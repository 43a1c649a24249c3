/* sqlite_responses.h - the statements for kept answers. Private to the embedded store. */
#ifndef SL_STORE_SQLITE_RESPONSES_H
#define SL_STORE_SQLITE_RESPONSES_H

#include <sqlite3.h>

#include "store/response_store.h"

enum { SL_SQLITE_RESPONSE_STATEMENTS = 5 };
struct sl_sqlite_responses {
	sqlite3      *db;
	sqlite3_stmt *statements[SL_SQLITE_RESPONSE_STATEMENTS];
};

/* The part of a connection that is ours (sqlite.c). */
struct sl_sqlite_responses *sl_sqlite_responses(void *conn);
void sl_sqlite_responses_release(struct sl_sqlite_responses *responses);

extern const struct sl_response_ops sl_sqlite_response_ops;

#endif

/* sqlite_schema.h - opening a database file and bringing its schema up to date.
 * Private to sqlite.c.
 */
#ifndef SL_STORE_SQLITE_SCHEMA_H
#define SL_STORE_SQLITE_SCHEMA_H

#include <sqlite3.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"

/* path: a file, created with mode 0600 when missing, or ":memory:". *lock_fd is
 * the descriptor that keeps other processes out, -1 in memory. On failure
 * nothing is left open and *reason (this thread's) says what to change. */
enum sl_err sl_sqlite_open(struct sl_slice path, sqlite3 **db, int *lock_fd,
                           const char **reason);
/* To read beside a process that writes: no lock, no migration. */
enum sl_err sl_sqlite_open_reader(struct sl_slice path, sqlite3 **db, int *lock_fd,
                                  const char **reason);
/* Makes the connection's own view of the records, unless it is there. A reader has it. */
bool sl_sqlite_show_records(sqlite3 *db);
void sl_sqlite_close(sqlite3 *db, int lock_fd);

/* Registers the VFS that gathers what is written to logs (sqlite_wal.c), for connections
 * whose every transaction ends with a sync. Once for the process. NULL: use the default. */
const char *sl_sqlite_vfs(void);

#endif

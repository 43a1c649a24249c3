/* sqlite_wal.c - the write-ahead log in few system calls.
 *
 * SQLite writes each page of a transaction with two system calls, 24 bytes and the page, all
 * one behind the other. Here they gather, and are written together: when there are
 * WAL_SIZE of them, when something else is asked of the file, and before it is synced. A
 * transaction ends with a sync (synchronous is FULL) before anybody is told of its pages,
 * so nothing that counts is ever only gathered. A write that fails fails the sync: SQLite
 * then takes the transaction back, as when the write itself had failed.
 *
 * Everything else is the system's: this is a VFS (https://www.sqlite.org/vfs.html) that
 * stands before the default one and only looks at how logs are opened.
 */
#include "store/sqlite_schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"

enum { WAL_SIZE = 32 * 1024 };

struct wal_file {
	sqlite3_file  base;
	unsigned char *bytes; /* WAL_SIZE of them, NULL before the first */
	sqlite3_int64 offset; /* in the file, of those gathered */
	int           size;
	sqlite3_file  real;   /* as much as the system's VFS wants; the last member */
};

static struct wal_file *
wal_of(sqlite3_file *file)
{
	return SL_CONTAINER(file, struct wal_file, base);
}

static int
flush(struct wal_file *wal)
{
	int size = wal->size;

	wal->size = 0;
	return size == 0 ? SQLITE_OK
	                 : wal->real.pMethods->xWrite(&wal->real, wal->bytes, size, wal->offset);
}

static int
wal_close(sqlite3_file *file)
{
	struct wal_file *wal = wal_of(file);
	int rc = flush(wal), closed = wal->real.pMethods->xClose(&wal->real);

	free(wal->bytes);
	return rc == SQLITE_OK ? closed : rc;
}

static int
wal_read(sqlite3_file *file, void *out, int size, sqlite3_int64 offset)
{
	struct wal_file *wal = wal_of(file);
	int rc = flush(wal);

	return rc == SQLITE_OK ? wal->real.pMethods->xRead(&wal->real, out, size, offset) : rc;
}

static int
wal_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset)
{
	struct wal_file *wal = wal_of(file);
	int rc = SQLITE_OK;

	if (!wal->bytes)
		wal->bytes = malloc(WAL_SIZE);
	if (wal->size > 0 && (offset != wal->offset + wal->size || size > WAL_SIZE - wal->size))
		rc = flush(wal);
	if (rc != SQLITE_OK)
		return rc;
	if (!wal->bytes || size > WAL_SIZE)
		return wal->real.pMethods->xWrite(&wal->real, bytes, size, offset);
	if (wal->size == 0)
		wal->offset = offset;
	memcpy(wal->bytes + wal->size, bytes, (size_t)size);
	wal->size += size;
	return SQLITE_OK;
}

static int
wal_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct wal_file *wal = wal_of(file);
	int rc = flush(wal);

	return rc == SQLITE_OK ? wal->real.pMethods->xTruncate(&wal->real, size) : rc;
}

static int
wal_sync(sqlite3_file *file, int flags)
{
	struct wal_file *wal = wal_of(file);
	int rc = flush(wal);

	return rc == SQLITE_OK ? wal->real.pMethods->xSync(&wal->real, flags) : rc;
}

static int
wal_size(sqlite3_file *file, sqlite3_int64 *size)
{
	struct wal_file *wal = wal_of(file);
	int rc = flush(wal);

	return rc == SQLITE_OK ? wal->real.pMethods->xFileSize(&wal->real, size) : rc;
}

static int
wal_lock(sqlite3_file *file, int level)
{
	return wal_of(file)->real.pMethods->xLock(&wal_of(file)->real, level);
}

static int
wal_unlock(sqlite3_file *file, int level)
{
	return wal_of(file)->real.pMethods->xUnlock(&wal_of(file)->real, level);
}

static int
wal_check_lock(sqlite3_file *file, int *locked)
{
	return wal_of(file)->real.pMethods->xCheckReservedLock(&wal_of(file)->real, locked);
}

static int
wal_control(sqlite3_file *file, int what, void *argument)
{
	return wal_of(file)->real.pMethods->xFileControl(&wal_of(file)->real, what, argument);
}

static int
wal_sector_size(sqlite3_file *file)
{
	return wal_of(file)->real.pMethods->xSectorSize(&wal_of(file)->real);
}

static int
wal_characteristics(sqlite3_file *file)
{
	return wal_of(file)->real.pMethods->xDeviceCharacteristics(&wal_of(file)->real);
}

static const sqlite3_io_methods wal_methods = {
	.iVersion = 1, /* what a log is asked for: no shared memory, no mapping */
	.xClose = wal_close,
	.xRead = wal_read,
	.xWrite = wal_write,
	.xTruncate = wal_truncate,
	.xSync = wal_sync,
	.xFileSize = wal_size,
	.xLock = wal_lock,
	.xUnlock = wal_unlock,
	.xCheckReservedLock = wal_check_lock,
	.xFileControl = wal_control,
	.xSectorSize = wal_sector_size,
	.xDeviceCharacteristics = wal_characteristics,
};

static sqlite3_vfs *
system_vfs(sqlite3_vfs *vfs)
{
	return vfs->pAppData;
}

static int
open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
	sqlite3_vfs *system = system_vfs(vfs);
	struct wal_file *wal = SL_CONTAINER(file, struct wal_file, base);
	int rc;

	if (!(flags & SQLITE_OPEN_WAL))
		return system->xOpen(system, name, file, flags, out_flags);
	memset(wal, 0, sizeof(*wal));
	rc = system->xOpen(system, name, &wal->real, flags, out_flags);
	/* Where it has no methods it is not closed. */
	if (wal->real.pMethods)
		wal->base.pMethods = &wal_methods;
	return rc;
}

static int
delete_file(sqlite3_vfs *vfs, const char *name, int sync_directory)
{
	return system_vfs(vfs)->xDelete(system_vfs(vfs), name, sync_directory);
}

static int
access_file(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
	return system_vfs(vfs)->xAccess(system_vfs(vfs), name, flags, out);
}

static int
full_path(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
	return system_vfs(vfs)->xFullPathname(system_vfs(vfs), name, size, out);
}

const char *
sl_sqlite_vfs(void)
{
	static sqlite3_vfs vfs;
	sqlite3_vfs *system = sqlite3_vfs_find(NULL);

	if (!system)
		return NULL;
	/* Time, randomness and errors are the system's own, which ask nothing of it. */
	vfs = *system;
	vfs.pNext = NULL;
	vfs.pAppData = system;
	vfs.zName = "sluice";
	vfs.szOsFile += (int)sizeof(struct wal_file);
	vfs.xOpen = open_file;
	vfs.xDelete = delete_file;
	vfs.xAccess = access_file;
	vfs.xFullPathname = full_path;
	return sqlite3_vfs_register(&vfs, 0) == SQLITE_OK ? vfs.zName : NULL;
}

/* sqlite_wal.c - the write-ahead log and its checkpoints in few system calls.
 *
 * SQLite writes each page of a transaction to the log with two system calls, 24 bytes and
 * the page, all one behind the other; and each page of a checkpoint to the database with
 * one, most of them one behind the other too. Here they gather, and are written together:
 * when there are GATHERED_SIZE of them, when something else is asked of the file, and before
 * it is synced. A transaction ends with a sync of the log (synchronous is FULL) before
 * anybody is told of its pages, and a checkpoint with one of the database before anybody is
 * told to look there, so nothing that counts is ever only gathered. A write that fails fails
 * the sync: SQLite then takes the transaction back, or keeps what the log has, as when the
 * write itself had failed. A checkpoint that a reader holds up ends without a sync: flush().
 *
 * Everything else is the system's: this is a VFS (https://www.sqlite.org/vfs.html) that
 * stands before the default one and only looks at how these two files are opened.
 */
#include "store/sqlite_schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"

enum { GATHERED_SIZE = 32 * 1024 };

struct file {
	sqlite3_file  base;
	unsigned char *bytes; /* GATHERED_SIZE of them, NULL before the first */
	sqlite3_int64 offset; /* in the file, of those gathered */
	int           size;
	bool          keeps;  /* what could not be written */
	sqlite3_file  real;   /* as much as the system's VFS wants; the last member */
};

static struct file *
file_of(sqlite3_file *base)
{
	return SL_CONTAINER(base, struct file, base);
}

/* What the log cannot take, SQLite takes back. The end of a checkpoint is told by an
 * xFileControl of which it does not look at the result, and then counts the pages as written:
 * they stay here, and all that is asked of the database fails until they are. */
static int
flush(struct file *file)
{
	int rc = SQLITE_OK;

	if (file->size > 0)
		rc = file->real.pMethods->xWrite(&file->real, file->bytes, file->size, file->offset);
	if (rc == SQLITE_OK || !file->keeps)
		file->size = 0;
	return rc;
}

static int
file_close(sqlite3_file *base)
{
	struct file *file = file_of(base);
	int rc = flush(file), closed = file->real.pMethods->xClose(&file->real);

	free(file->bytes);
	return rc == SQLITE_OK ? closed : rc;
}

static int
file_read(sqlite3_file *base, void *out, int size, sqlite3_int64 offset)
{
	struct file *file = file_of(base);
	int rc = flush(file);

	return rc == SQLITE_OK ? file->real.pMethods->xRead(&file->real, out, size, offset) : rc;
}

static int
file_write(sqlite3_file *base, const void *bytes, int size, sqlite3_int64 offset)
{
	struct file *file = file_of(base);
	int rc = SQLITE_OK;

	if (!file->bytes)
		file->bytes = malloc(GATHERED_SIZE);
	if (file->size > 0 &&
	    (offset != file->offset + file->size || size > GATHERED_SIZE - file->size))
		rc = flush(file);
	if (rc != SQLITE_OK)
		return rc;
	if (!file->bytes || size > GATHERED_SIZE)
		return file->real.pMethods->xWrite(&file->real, bytes, size, offset);
	if (file->size == 0)
		file->offset = offset;
	memcpy(file->bytes + file->size, bytes, (size_t)size);
	file->size += size;
	return SQLITE_OK;
}

static int
file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
	struct file *file = file_of(base);
	int rc = flush(file);

	return rc == SQLITE_OK ? file->real.pMethods->xTruncate(&file->real, size) : rc;
}

static int
file_sync(sqlite3_file *base, int flags)
{
	struct file *file = file_of(base);
	int rc = flush(file);

	return rc == SQLITE_OK ? file->real.pMethods->xSync(&file->real, flags) : rc;
}

static int
file_size(sqlite3_file *base, sqlite3_int64 *size)
{
	struct file *file = file_of(base);
	int rc = flush(file);

	return rc == SQLITE_OK ? file->real.pMethods->xFileSize(&file->real, size) : rc;
}

static int
file_lock(sqlite3_file *base, int level)
{
	struct file *file = file_of(base);
	int rc = flush(file);

	return rc == SQLITE_OK ? file->real.pMethods->xLock(&file->real, level) : rc;
}

/* Whatever was written: a lock that stayed would be worse. */
static int
file_unlock(sqlite3_file *base, int level)
{
	struct file *file = file_of(base);
	int rc = flush(file), unlocked = file->real.pMethods->xUnlock(&file->real, level);

	return rc == SQLITE_OK ? unlocked : rc;
}

static int
file_check_lock(sqlite3_file *base, int *locked)
{
	return file_of(base)->real.pMethods->xCheckReservedLock(&file_of(base)->real, locked);
}

static int
file_control(sqlite3_file *base, int what, void *argument)
{
	struct file *file = file_of(base);
	int rc = flush(file);

	return rc == SQLITE_OK ? file->real.pMethods->xFileControl(&file->real, what, argument) : rc;
}

static int
file_sector_size(sqlite3_file *base)
{
	return file_of(base)->real.pMethods->xSectorSize(&file_of(base)->real);
}

static int
file_characteristics(sqlite3_file *base)
{
	return file_of(base)->real.pMethods->xDeviceCharacteristics(&file_of(base)->real);
}

/* --- the index of the log, which hangs on the database ---------------------------------- */

static int
file_shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **out)
{
	return file_of(base)->real.pMethods->xShmMap(&file_of(base)->real, region, size, extend, out);
}

static int
file_shm_lock(sqlite3_file *base, int offset, int count, int flags)
{
	return file_of(base)->real.pMethods->xShmLock(&file_of(base)->real, offset, count, flags);
}

static void
file_shm_barrier(sqlite3_file *base)
{
	file_of(base)->real.pMethods->xShmBarrier(&file_of(base)->real);
}

static int
file_shm_unmap(sqlite3_file *base, int remove)
{
	return file_of(base)->real.pMethods->xShmUnmap(&file_of(base)->real, remove);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2, /* no mapping of the database */
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_check_lock,
	.xFileControl = file_control,
	.xSectorSize = file_sector_size,
	.xDeviceCharacteristics = file_characteristics,
	.xShmMap = file_shm_map,
	.xShmLock = file_shm_lock,
	.xShmBarrier = file_shm_barrier,
	.xShmUnmap = file_shm_unmap,
};

/* --- the VFS ----------------------------------------------------------------------------- */

static sqlite3_vfs *
system_vfs(sqlite3_vfs *vfs)
{
	return vfs->pAppData;
}

static int
open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *out_flags)
{
	sqlite3_vfs *system = system_vfs(vfs);
	struct file *file = file_of(base);
	int rc;

	if (!(flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_DB)))
		return system->xOpen(system, name, base, flags, out_flags);
	memset(file, 0, sizeof(*file));
	file->keeps = flags & SQLITE_OPEN_MAIN_DB;
	rc = system->xOpen(system, name, &file->real, flags, out_flags);
	/* Where it has no methods it is not closed. */
	if (file->real.pMethods)
		file->base.pMethods = &methods;
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
	vfs.szOsFile += (int)sizeof(struct file);
	vfs.xOpen = open_file;
	vfs.xDelete = delete_file;
	vfs.xAccess = access_file;
	vfs.xFullPathname = full_path;
	return sqlite3_vfs_register(&vfs, 0) == SQLITE_OK ? vfs.zName : NULL;
}

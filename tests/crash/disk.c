/* disk.c - the system calls that change files, in front of the C library's.
 *
 * Calls of SQLite and of the journal both end here. Syncs are not passed on: a killed
 * process loses nothing that it wrote, and a power loss is played by putting the old
 * bytes back. What was written but not synced is kept in shared memory, old and new
 * bytes, for the parent to undo wholly and redo in part, in any mixture a disk may
 * leave.
 */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { CHANGES_MAX = 1 << 16, BYTES_MAX = 256 << 20, PATHS_MAX = 64, PATH_SIZE = 160 };

struct change {
	int      path; /* -1: synced meanwhile */
	bool     cut;  /* ftruncate */
	uint64_t at, size, old_size, bytes; /* old bytes, then new ones */
	uint64_t old_len;
};
struct shared {
	atomic_long   count, die_at;
	atomic_int    remember;
	int           change_count, path_count;
	uint64_t      used;
	char          paths[PATHS_MAX][PATH_SIZE];
	struct change changes[CHANGES_MAX];
	char          bytes[BYTES_MAX];
};

static struct shared *shared;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int fdatasync(int fd);

void
disk_init(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	              MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (shared == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
}

void
disk_arm(long nth)
{
	atomic_store(&shared->count, 0);
	atomic_store(&shared->die_at, nth);
}

long
disk_count(void)
{
	return atomic_load(&shared->count);
}

void
disk_remember(bool on)
{
	shared->change_count = 0;
	shared->path_count = 0;
	shared->used = 0;
	atomic_store(&shared->remember, on);
}

static bool
is_file(int fd)
{
	struct stat st;

	return shared && fd > 2 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* Dies here when it is time; half of the writes are torn. */
static void
tick(int fd, const void *bytes, size_t size, off_t at)
{
	long count = atomic_fetch_add(&shared->count, 1) + 1;

	if (count != atomic_load(&shared->die_at))
		return;
	if (size > 1 && count % 2 == 0)
		syscall(SYS_pwrite64, fd, bytes, size / 2, at);
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

static int
path_of(int fd)
{
	char link[64], path[PATH_SIZE];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len <= 0)
		return -1;
	path[len] = '\0';
	/* Memory, not disk. */
	if (strstr(path, ".ring") || strstr(path, "-shm"))
		return -1;
	for (int i = 0; i < shared->path_count; i++)
		if (strcmp(shared->paths[i], path) == 0)
			return i;
	if (shared->path_count == PATHS_MAX)
		abort();
	memcpy(shared->paths[shared->path_count], path, sizeof(path));
	return shared->path_count++;
}

static void
remember(int fd, const void *bytes, uint64_t size, off_t at, bool cut)
{
	struct stat st;
	struct change *change;
	ssize_t old;

	if (!atomic_load(&shared->remember))
		return;
	pthread_mutex_lock(&lock);
	if (shared->change_count == CHANGES_MAX || shared->used + 2 * size > BYTES_MAX)
		abort();
	change = &shared->changes[shared->change_count];
	*change = (struct change){ .path = path_of(fd), .cut = cut, .at = (uint64_t)at,
		                   .size = size, .bytes = shared->used };
	if (change->path >= 0 && fstat(fd, &st) == 0) {
		change->old_size = (uint64_t)st.st_size;
		/* The bytes a shorter file loses are kept as the old ones. */
		if (cut)
			size = change->old_size > (uint64_t)at ? change->old_size - (uint64_t)at : 0;
		old = syscall(SYS_pread64, fd, shared->bytes + change->bytes, size, at);
		change->old_len = old > 0 ? (uint64_t)old : 0;
		if (bytes)
			memcpy(shared->bytes + change->bytes + size, bytes, size);
		shared->used += 2 * size;
		shared->change_count++;
	}
	pthread_mutex_unlock(&lock);
}

static int
synced(int fd)
{
	int path, left = 0;

	if (!is_file(fd))
		return 0;
	tick(fd, NULL, 0, 0);
	if (!atomic_load(&shared->remember))
		return 0;
	pthread_mutex_lock(&lock);
	path = path_of(fd);
	for (int i = 0; i < shared->change_count; i++) {
		if (shared->changes[i].path == path)
			shared->changes[i].path = -1;
		left += shared->changes[i].path >= 0;
	}
	if (left == 0) {
		shared->change_count = 0;
		shared->used = 0;
	}
	pthread_mutex_unlock(&lock);
	return 0;
}

/* --- in front of the C library ------------------------------------------------------ */

int
fsync(int fd)
{
	return synced(fd);
}

int
fdatasync(int fd)
{
	return synced(fd);
}

ssize_t
pwrite(int fd, const void *bytes, size_t size, off_t at)
{
	if (is_file(fd)) {
		tick(fd, bytes, size, at);
		remember(fd, bytes, size, at, false);
	}
	return syscall(SYS_pwrite64, fd, bytes, size, at);
}

ssize_t
pwrite64(int fd, const void *bytes, size_t size, off_t at)
{
	return pwrite(fd, bytes, size, at);
}

int
ftruncate(int fd, off_t size)
{
	if (is_file(fd)) {
		tick(fd, NULL, 0, 0);
		remember(fd, NULL, 0, size, true);
	}
	return (int)syscall(SYS_ftruncate, fd, size);
}

int
ftruncate64(int fd, off_t size)
{
	return ftruncate(fd, size);
}

/* --- the loss -------------------------------------------------------------------------- */

static void
undo(const struct change *change, int fd)
{
	if (change->old_len)
		syscall(SYS_pwrite64, fd, shared->bytes + change->bytes, change->old_len,
		        (off_t)change->at);
	syscall(SYS_ftruncate, fd, (off_t)change->old_size);
}

static void
redo(const struct change *change, int fd)
{
	if (change->cut)
		syscall(SYS_ftruncate, fd, (off_t)change->at);
	else
		syscall(SYS_pwrite64, fd, shared->bytes + change->bytes + change->size, change->size,
		        (off_t)change->at);
}

static void
apply(int index, void (*how)(const struct change *change, int fd))
{
	const struct change *change = &shared->changes[index];
	int fd = change->path >= 0 ? open(shared->paths[change->path], O_RDWR) : -1;

	if (fd >= 0) {
		how(change, fd);
		close(fd);
	}
}

void
disk_lose(uint64_t seed)
{
	/* All, none or some of it, by chance. */
	unsigned kept_of_16 = (unsigned)(seed % 17);

	atomic_store(&shared->remember, 0);
	for (int i = shared->change_count - 1; i >= 0; i--)
		apply(i, undo);
	for (int i = 0; i < shared->change_count; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		if (seed >> 60 < kept_of_16)
			apply(i, redo);
	}
	shared->change_count = 0;
	shared->used = 0;
}

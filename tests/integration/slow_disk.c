/* slow_disk.c - preloaded into the gateway: a disk that takes its time.
 *
 * SLOW_DISK names a file of one 64-bit integer, shared with the test: milliseconds that
 * fsync and fdatasync take longer; -1: they hang until it is something else. So does opening
 * the file that SLOW_FILE names, if it does.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_MS = 5 };

static _Atomic int64_t *extra_ms;

__attribute__((constructor)) static void
attach(void)
{
	const char *path = getenv("SLOW_DISK");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, sizeof(*extra_ms), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at != MAP_FAILED)
		extra_ms = at;
}

static void
dawdle(void)
{
	const struct timespec look = { .tv_nsec = LOOK_MS * 1000000 };

	for (int64_t waited_ms = 0; extra_ms; waited_ms += LOOK_MS) {
		int64_t ms = atomic_load(extra_ms);

		if (ms >= 0 && waited_ms >= ms)
			return;
		nanosleep(&look, NULL);
	}
}

int
open(const char *path, int flags, ...)
{
	static int (*real)(const char *path, int flags, ...);
	const char *slow = getenv("SLOW_FILE");
	va_list rest;
	mode_t mode;

	va_start(rest, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
	va_end(rest);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "open");
	if (slow && strcmp(path, slow) == 0)
		dawdle();
	return real(path, flags, mode);
}

int
fdatasync(int fd)
{
	static int (*real)(int fd);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
	dawdle();
	return real(fd);
}

int
fsync(int fd)
{
	static int (*real)(int fd);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fsync");
	dawdle();
	return real(fd);
}

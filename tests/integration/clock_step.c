/* clock_step.c - preloaded into the gateway: another wall clock.
 *
 * CLOCK_STEP names a file of one 64-bit integer, shared with the test: nanoseconds that
 * the wall clock is ahead of the machine's. The monotonic clock is left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { SECOND_NS = 1000000000 };

static _Atomic int64_t *ahead_ns;
static int (*real)(clockid_t clock, struct timespec *out);

__attribute__((constructor)) static void
attach(void)
{
	const char *path = getenv("CLOCK_STEP");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, sizeof(*ahead_ns), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at != MAP_FAILED)
		ahead_ns = at;
}

int
clock_gettime(clockid_t clock, struct timespec *out)
{
	int64_t ns;
	int result;

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	result = real(clock, out);
	if (result != 0 || !ahead_ns || clock != CLOCK_REALTIME)
		return result;
	ns = out->tv_nsec + *ahead_ns % SECOND_NS;
	out->tv_sec += *ahead_ns / SECOND_NS + ns / SECOND_NS;
	out->tv_nsec = ns % SECOND_NS;
	if (out->tv_nsec < 0) {
		out->tv_nsec += SECOND_NS;
		out->tv_sec--;
	}
	return 0;
}

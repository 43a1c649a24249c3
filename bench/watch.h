/* watch.h - what another process uses: CPU by thread, and its own memory.
 *
 * CPU comes from /proc/PID/task/TID/schedstat, in nanoseconds, so that windows
 * of a second are exact. The generator reads it itself at the edges of its
 * window: a helper process would be scheduled too late on a busy machine.
 */
#ifndef BENCH_WATCH_H
#define BENCH_WATCH_H

#include <dirent.h>
#include <stdbool.h>

#include "bench.h"

enum { WATCH_THREADS = 64 };

struct watch_cpu {
	size_t   count;
	long     tids[WATCH_THREADS];
	uint64_t cpu_ns[WATCH_THREADS];
};

static inline bool
read_small_file(const char *path, char *out, size_t size)
{
	FILE *file = fopen(path, "r");
	size_t got;

	if (!file)
		return false;
	got = fread(out, 1, size - 1, file);
	out[got] = '\0';
	fclose(file);
	return got > 0;
}

static inline void
watch_read_cpu(int pid, struct watch_cpu *cpu)
{
	char path[64], text[64];
	struct dirent *entry;
	DIR *dir;

	cpu->count = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = pid ? opendir(path) : NULL;
	while (dir && (entry = readdir(dir)) && cpu->count < WATCH_THREADS) {
		long tid = atol(entry->d_name);

		snprintf(path, sizeof(path), "/proc/%d/task/%ld/schedstat", pid, tid);
		if (tid <= 0 || !read_small_file(path, text, sizeof(text)))
			continue;
		cpu->tids[cpu->count] = tid;
		cpu->cpu_ns[cpu->count++] = strtoull(text, NULL, 10);
	}
	if (dir)
		closedir(dir);
}

/* Between two readings: of all threads, and of the busiest one (the loop). */
static inline void
watch_compare(const struct watch_cpu *from, const struct watch_cpu *to, uint64_t *all_ns,
              uint64_t *busiest_ns)
{
	*all_ns = *busiest_ns = 0;
	for (size_t i = 0; i < to->count; i++) {
		uint64_t used = to->cpu_ns[i];

		for (size_t j = 0; j < from->count; j++)
			if (from->tids[j] == to->tids[i])
				used -= from->cpu_ns[j];
		*all_ns += used;
		*busiest_ns = used > *busiest_ns ? used : *busiest_ns;
	}
}

/* Private resident bytes: what the process has to itself. */
static inline uint64_t
watch_private_bytes(int pid)
{
	static const char *const names[] = { "\nPrivate_Clean:", "\nPrivate_Dirty:" };
	char path[64], text[4096];
	uint64_t kb = 0;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	if (!pid || !read_small_file(path, text, sizeof(text)))
		return 0;
	for (size_t i = 0; i < 2; i++) {
		const char *at = strstr(text, names[i]);

		kb += at ? strtoull(at + strlen(names[i]), NULL, 10) : 0;
	}
	return kb * 1024;
}

#endif

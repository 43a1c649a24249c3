/* process_metrics.c - the process's own figures under the names that Prometheus
 * client libraries give them.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "telemetry/metrics.h"

void
sl_metrics_put(struct sl_buf *out, const char *name, const char *type, const char *help,
               double value)
{
	sl_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name,
	              value);
}

static bool
read_file(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	size_t len;

	if (!file)
		return false;
	len = fread(text, 1, size - 1, file);
	text[len] = '\0';
	fclose(file);
	return len > 0;
}

static void
put_memory(struct sl_buf *out)
{
	int64_t virtual_pages, resident_pages;
	double page_size = (double)sysconf(_SC_PAGESIZE);
	struct sl_slice rest;
	char text[128];

	if (!read_file("/proc/self/statm", text, sizeof(text)))
		return;
	rest = sl_slice_str(text);
	if (!sl_slice_i64(sl_slice_cut(&rest, ' '), &virtual_pages) ||
	    !sl_slice_i64(sl_slice_cut(&rest, ' '), &resident_pages))
		return;
	sl_metrics_put(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
	               (double)resident_pages * page_size);
	sl_metrics_put(out, "process_virtual_memory_bytes", "gauge", "Virtual memory.",
	               (double)virtual_pages * page_size);
}

static void
put_descriptors(struct sl_buf *out)
{
	DIR *dir = opendir("/proc/self/fd");
	struct rlimit limit;
	int count = -3; /* ".", ".." and the directory itself */

	if (!dir)
		return;
	while (readdir(dir))
		count++;
	closedir(dir);
	sl_metrics_put(out, "process_open_fds", "gauge", "Open file descriptors.", count);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		sl_metrics_put(out, "process_max_fds", "gauge", "Most file descriptors allowed.",
		               (double)limit.rlim_cur);
}

/* Field 22 of stat counts clock ticks from boot to our start. */
static void
put_start_time(struct sl_buf *out)
{
	char text[1024], *at;
	double began_s, up_s, now_s = (double)sl_clock_wall_ms() * 1e-3;

	if (!read_file("/proc/self/stat", text, sizeof(text)))
		return;
	/* The second field, a name in parentheses, may hold anything. */
	at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return;
	began_s = (double)strtoull(at + 1, NULL, 10) / (double)sysconf(_SC_CLK_TCK);
	if (!read_file("/proc/uptime", text, sizeof(text)))
		return;
	up_s = strtod(text, NULL);
	sl_metrics_put(out, "process_start_time_seconds", "gauge",
	               "Start of the process, seconds since the epoch.", now_s - up_s + began_s);
}

static double
seconds(struct timeval tv)
{
	return (double)tv.tv_sec + (double)tv.tv_usec * 1e-6;
}

void
sl_metrics_put_process(struct sl_buf *out)
{
	struct rusage usage;

	put_memory(out);
	put_descriptors(out);
	put_start_time(out);
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		sl_metrics_put(out, "process_cpu_seconds_total", "counter",
		               "User and system CPU time.",
		               seconds(usage.ru_utime) + seconds(usage.ru_stime));
}

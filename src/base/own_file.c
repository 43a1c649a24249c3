/* own_file.c - open with care. */
#include "base/own_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int
sl_own_file_open(const char *path, off_t *size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & 077) || st.st_nlink != 1) {
		close(fd);
		errno = EPERM;
		return -1;
	}
	*size = st.st_size;
	return fd;
}

void
sl_boot_read(char out[SL_BOOT_SIZE])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	memset(out, 0, SL_BOOT_SIZE);
	if (fd >= 0) {
		if (read(fd, out, SL_BOOT_SIZE - 1) < 0)
			out[0] = '\0';
		close(fd);
	}
}

/* own_file.h - files of ours in directories that others may write to, and whether what
 * lies in them is of the time since the machine was started.
 */
#ifndef SL_BASE_OWN_FILE_H
#define SL_BASE_OWN_FILE_H

#include <sys/types.h>

/* Opens or makes it for reading and writing. Only a plain file of our own that nobody else
 * can open is taken. *size: of it now. -1: errno says why. */
int sl_own_file_open(const char *path, off_t *size);

/* Names the time since the machine was started; zeros where nothing does. */
enum { SL_BOOT_SIZE = 40 };
void sl_boot_read(char out[SL_BOOT_SIZE]);

#endif

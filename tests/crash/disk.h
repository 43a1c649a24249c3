/* disk.h - every write and sync of the process, counted; killed at one of them; and
 * taken back after a power loss. */
#ifndef CRASH_DISK_H
#define CRASH_DISK_H

#include <stdbool.h>
#include <stdint.h>

/* Before the first fork. */
void disk_init(void);
/* The process that calls it dies at its nth write or sync from now; 0: never. */
void disk_arm(long nth);
/* Writes from now on are remembered until they are synced; nothing is unsynced yet. */
void disk_remember(bool on);
/* How many writes and syncs since disk_arm. */
long disk_count(void);
/* What was never synced is lost, apart from a random part of it. In the parent, after
 * the child died. */
void disk_lose(uint64_t seed);

#endif

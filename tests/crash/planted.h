/* planted.h - included before the sources of the ledger when the crash driver is built:
 * a bug can be switched on by name, to see whether the harness catches it. */
#ifndef PLANTED_H
#define PLANTED_H

#include <stdbool.h>

bool crash_planted(const char *bug);
#define SL_PLANTED(bug) crash_planted(bug)

#endif

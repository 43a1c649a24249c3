/* planted.c - the switch of the planted bugs in a whole gateway: SLUICE_PLANT. */
#include "planted.h"

#include <stdlib.h>
#include <string.h>

bool
crash_planted(const char *bug)
{
	const char *on = getenv("SLUICE_PLANT");

	return on && strcmp(on, bug) == 0;
}

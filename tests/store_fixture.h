/* store_fixture.h - what tests on a real store share: a directory of their own and the
 * database in it. */
#ifndef SL_TESTS_STORE_FIXTURE_H
#define SL_TESTS_STORE_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/store.h"

static char directory[64], path[96], url[128];

static inline int
make_directory(void)
{
	strcpy(directory, "/tmp/sluice-test-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/test.db", directory);
	snprintf(url, sizeof(url), "sqlite:%s", path);
	return 0;
}

/* What else a test put there is the test's to remove before. */
static inline int
remove_directory(void)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
	char name[128];

	for (size_t i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		unlink(name);
	}
	return rmdir(directory);
}

static inline struct sl_store *
open_store(void)
{
	const char *reason = "";
	struct sl_store *opened = sl_store_new(sl_slice_str(url), &reason);

	if (!opened)
		fail_msg("%s", reason);
	return opened;
}

#endif

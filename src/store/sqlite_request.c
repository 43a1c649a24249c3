/* sqlite_request.c - see the header. */
#include "store/sqlite_request.h"

#include <string.h>

#include "base/rand.h"

#define PREFIX "req_"
enum { PREFIX_SIZE = sizeof(PREFIX) - 1 };

bool
sl_sqlite_request_place(struct sl_slice id, int64_t *begin_wall_ms, struct sl_slice *key)
{
	*begin_wall_ms = 0;
	*key = SL_SLICE_NONE;
	if (id.len != PREFIX_SIZE + SL_ULID_LEN || memcmp(id.ptr, PREFIX, PREFIX_SIZE) != 0)
		return false;
	*key = sl_slice_from(id, PREFIX_SIZE);
	return sl_ulid_time(*key, begin_wall_ms);
}

bool
sl_sqlite_request_is_near(struct sl_slice id, int64_t begin_wall_ms, int64_t end_wall_ms,
                          struct sl_slice *key)
{
	int64_t told_ms;

	return begin_wall_ms >= 0 && begin_wall_ms <= end_wall_ms &&
	       end_wall_ms - begin_wall_ms < SL_SQLITE_NEAR_MS &&
	       sl_sqlite_request_place(id, &told_ms, key) && told_ms == begin_wall_ms;
}

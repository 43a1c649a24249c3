/* sqlite_request.h - how a row of record_lines is found by its request's id. Private to the
 * embedded store.
 *
 * Rows lie in the order in which requests ended, and the ids we make say when they began. So
 * the row of a request that was short lies near the place that its id tells, and looking
 * through the few rows there costs less than an index entry for each would: an index by id
 * was two fifths of what a row cost. What took longer, or has an id that tells nothing, is
 * in the index; there are few of these in a second, as it took them that long.
 *
 *   column request   blob: the id without its "req_", near its time
 *                    text: the whole id, in the index record_lines_by_request
 *
 * A row without a trace is in the index too: such were not written by who served the request
 * but for it, when it had been killed, and are found whatever they say of its times.
 */
#ifndef SL_STORE_SQLITE_REQUEST_H
#define SL_STORE_SQLITE_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* So long after it began, at most, lies the row of a request that is not in the index. */
enum { SL_SQLITE_NEAR_MS = 250 };

/* Of record_lines as r. */
#define SL_SQLITE_REQUEST_SQL                                                           \
	"CAST(CASE typeof(r.request) WHEN 'blob' THEN 'req_' || CAST(r.request AS TEXT)" \
	" ELSE r.request END AS TEXT)"

/* When a request with the id began, and what is stored of the id near there. False: such a
 * row is not near anything. */
bool sl_sqlite_request_place(struct sl_slice id, int64_t *begin_wall_ms, struct sl_slice *key);

/* Whether a row of these times is found without the index: by the key. */
bool sl_sqlite_request_is_near(struct sl_slice id, int64_t begin_wall_ms, int64_t end_wall_ms,
                               struct sl_slice *key);

#endif

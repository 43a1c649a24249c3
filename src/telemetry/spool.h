/* spool.h - memory for rows that outlives the process, and what a killed one left in it.
 * shared: any thread.
 *
 * A file, best on a memory file system, mapped and cut into chunks (row_queue.h). What a
 * process that was killed had not stored is stored at the next start, each row once: a
 * request has one record, and its id says whether it is there.
 */
#ifndef SL_TELEMETRY_SPOOL_H
#define SL_TELEMETRY_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct sl_row_chunk;
struct sl_spool;
struct sl_store;

struct sl_spool_recovery {
	uint64_t found;  /* rows that were left */
	uint64_t stored; /* of them, now: the others were in the store */
};

/* Opens or makes the file, which has chunks of up to `size` bytes, and stores what is left
 * in it; blocking, before anything is recorded. NULL: *reason says what to change (this
 * thread's until its next open). The file stays as it was where rows could not be stored. */
struct sl_spool *sl_spool_open(const char *path, size_t size, struct sl_store *store,
                               struct sl_spool_recovery *recovery, const char **reason);
/* Rows of chunks that were not given back stay in the file. NULL is fine. */
void sl_spool_free(struct sl_spool *spool);

/* A chunk without rows; NULL: there is no room for more. */
struct sl_row_chunk *sl_spool_take(struct sl_spool *spool);
/* Its rows are stored. The chunk is the spool's. */
void sl_spool_give(struct sl_spool *spool, struct sl_row_chunk *chunk);
/* Gives memory back: of chunks that nobody needed since the last call, or, when there is
 * nothing to do, of nearly all that are spare. */
void sl_spool_tidy(struct sl_spool *spool, bool idle);
bool sl_spool_has(const struct sl_spool *spool, const struct sl_row_chunk *chunk);

#endif

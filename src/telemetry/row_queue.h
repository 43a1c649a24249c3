/* row_queue.h - encoded rows on their way from one loop to the telemetry thread.
 *
 * A list of chunks with one producer (the loop) and one consumer (the telemetry
 * thread, or the store thread on its behalf). Rows are appended and never change;
 * the consumer reads with cursors as often as it likes and frees whole chunks
 * when their rows are durable. No memory before the first row, a bound on all.
 */
#ifndef SL_TELEMETRY_ROW_QUEUE_H
#define SL_TELEMETRY_ROW_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

struct sl_spool; /* telemetry/spool.h */

enum { SL_ROW_CHUNK_SIZE = 32 * 1024 - 16 }; /* bytes of rows */

struct sl_row_chunk { /* a whole number of pages */
	struct sl_row_chunk *_Atomic next;
	atomic_uint                  used; /* bytes; what lies below is frozen */
	uint32_t                     unused;
	char                         bytes[SL_ROW_CHUNK_SIZE];
};
_Static_assert(sizeof(struct sl_row_chunk) == 32 * 1024, "chunk size");

struct sl_row_queue {
	struct sl_row_chunk *_Atomic first;  /* set once by the producer, then the consumer's */
	struct sl_row_chunk         *tail;   /* owner: producer */
	_Atomic uint64_t             pushed; /* rows ever, by the producer */
	_Atomic uint64_t             dropped;/* rows refused, by the producer */
	atomic_size_t                chunks; /* alive */
	size_t                       max_chunks;
	struct sl_spool             *spool;  /* where chunks come from; NULL: the heap */
	struct sl_record_row         said;   /* owner: producer; of it, what the last row had in
	                                      * common with others, in `tail` */
};

/* A place between two rows. chunk NULL: the very beginning. */
struct sl_row_cursor {
	struct sl_row_chunk *chunk;
	size_t               offset; /* bytes */
	struct sl_slice      common; /* what the rows there have in common, in the chunk */
};

/* max_size: bytes of chunks alive, at least one chunk. spool, which may be NULL, must
 * outlive the queue. */
void sl_row_queue_init(struct sl_row_queue *queue, size_t max_size, struct sl_spool *spool);
/* After both sides stopped. */
void sl_row_queue_release(struct sl_row_queue *queue);

/* Producer. Whether this many more rows fit, however large they are. */
bool sl_row_queue_takes(const struct sl_row_queue *queue, size_t rows);
/* Any thread. Whether the rows in it take more than an eighth of the room. */
bool sl_row_queue_behind(const struct sl_row_queue *queue);
/* Any thread. Whether they take less than half of that. */
bool sl_row_queue_roomy(const struct sl_row_queue *queue);
/* Producer. Whether it is as the last one in all that many rows have in common, the owner
 * and kind of store/sqlite_columns.def. */
bool sl_row_alike(const struct sl_row_queue *queue, const struct sl_record_row *row);
/* Producer. alike: what that said. Texts are cut to their columns' sizes. False: the queue
 * is full or memory is out; the row is counted as dropped. */
bool sl_row_push(struct sl_row_queue *queue, const struct sl_record_row *row, bool alike);

/* Consumer. The row at the cursor, which moves on; false at the end. The row's
 * text lies in the chunk, or, where the row before said the same, in that one's: row is
 * zeroed at first, then as the last call left it. row NULL: only moves. */
bool sl_row_next(struct sl_row_queue *queue, struct sl_row_cursor *at,
                 struct sl_record_row *row);
/* Consumer. Frees the chunks before the cursor's. */
void sl_row_free_before(struct sl_row_queue *queue, const struct sl_row_cursor *at);

/* How rows are laid out: a word for each column, how it is written and its name. */
void sl_row_columns(struct sl_buf *out);
/* Cuts a row off the bytes of a chunk, which were laid out as `columns` says, by this or
 * another version; columns that are unknown here are skipped, others than those are null.
 * *common is none at the chunk's beginning, then as the last call left it. False: this is no
 * whole row. */
bool sl_row_read(struct sl_slice columns, struct sl_slice *bytes, struct sl_slice *common,
                 struct sl_record_row *row);

#endif

/* journal.h - an append-only log of 128-byte records that survives kill -9 at once
 * and power loss within sync_ms, without a disk wait for who appends.
 *
 * Appending stores the record in a ring that is a shared mapping of a file (best on
 * a memory file system): the kernel keeps it when the process dies. One log thread
 * writes the ring to two segment files in turn, made at full size in advance, so that
 * a full disk cannot refuse a record, and syncs them. A segment is used again when all
 * of it was folded into the store.
 *
 * Beside the ring lies the board: bytes of the caller's own that survive kill -9 as the
 * ring does. They are zeros when the machine was started anew, because what a disk
 * kept of them need not be of one moment.
 *
 * Records carry a CRC, a sequence without gaps and the epoch of the process; stale
 * bytes can therefore never be taken for records. Byte order is the host's.
 */
#ifndef SL_STORE_JOURNAL_H
#define SL_STORE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { SL_JOURNAL_RECORD_SIZE = 128, SL_JOURNAL_BODY_SIZE = 104 };

struct sl_journal_record {
	uint32_t      crc;  /* CRC-32C of what follows; set by append */
	uint8_t       kind; /* not 0 */
	uint8_t       small[3];
	uint64_t      seq;   /* set by append */
	uint64_t      epoch; /* set by append */
	unsigned char body[SL_JOURNAL_BODY_SIZE];
};
_Static_assert(sizeof(struct sl_journal_record) == SL_JOURNAL_RECORD_SIZE, "record size");

/* Told on the log thread. */
struct sl_journal_sink {
	/* Records up to written are in the files, up to synced on the disk. Called
	 * after every sync, and at least every sync_ms while records are not folded. */
	void (*advanced)(void *context, uint64_t written, uint64_t synced);
	/* A write or sync failed: nothing is written any more (a sync that failed must
	 * not be tried again). */
	void (*failed)(void *context);
	void *context;
};

struct sl_journal_options {
	const char *path;            /* segments are path.0 and path.1 */
	const char *ring_path;
	uint64_t    instance;        /* whose ring it is; another one's is ignored */
	uint32_t    ring_slots;      /* a power of two */
	size_t      board_size;      /* bytes */
	uint32_t    segment_records;
	uint32_t    sync_ms;
};

struct sl_journal;

/* Opens or makes the files; blocking. NULL: *reason says what to change (static, or
 * this thread's until its next open). */
struct sl_journal *sl_journal_open(const struct sl_journal_options *options,
                                   const char **reason);
/* Every record behind `after`, in order, up to the first that is damaged or missing.
 * each returns an error to stop. *last: the highest sequence seen anywhere. */
enum sl_err sl_journal_replay(struct sl_journal *journal, uint64_t after,
                              enum sl_err (*each)(void *context,
                                                  const struct sl_journal_record *record),
                              void *context, uint64_t *last);
/* Syncs the directory of the segments and takes the memory that a ring with its board needs at
 * most: 6 MB, a millisecond that may pass while something else is waited for. SL_EIO: *reason
 * says why. */
enum sl_err sl_journal_settle(struct sl_journal *journal, const char **reason);
/* Aligned to a page; as long as the journal. Before the files are settled only the first page
 * of a new one, which is zeros, may be looked at. */
void *sl_journal_board(const struct sl_journal *journal);
/* Starts anew behind `last`: everything before was folded. epoch must be higher than
 * in any run before. The files must be settled. */
enum sl_err sl_journal_start(struct sl_journal *journal, uint64_t last, uint64_t epoch,
                             const struct sl_journal_sink *sink);
/* Writes and syncs what waits and ends the thread. While the store does not fold, so
 * that the segments stay full, it gives up after a second: the ring keeps the rest. */
void sl_journal_stop(struct sl_journal *journal);
/* Stops it, if it runs. NULL is fine. */
void sl_journal_free(struct sl_journal *journal);

/* --- appending: one thread at a time, the caller's lock sees to it ------------ */

/* Free slots of the ring. */
size_t sl_journal_room(const struct sl_journal *journal);
/* There must be room. Returns the record's sequence. */
uint64_t sl_journal_append(struct sl_journal *journal, struct sl_journal_record *record);

/* --- any thread ------------------------------------------------------------------ */

/* Somebody waits for the sync. */
void sl_journal_hurry(struct sl_journal *journal);
/* The sink shall be told within sync_ms, and 40 times more. No system call unless the
 * thread sleeps. */
void sl_journal_nudge(struct sl_journal *journal);
uint64_t sl_journal_appended(const struct sl_journal *journal); /* the last */
uint64_t sl_journal_written(const struct sl_journal *journal);
/* Copies up to max records from sequence `from` on, which are written and not folded;
 * returns how many. */
size_t sl_journal_read(struct sl_journal *journal, uint64_t from,
                       struct sl_journal_record *out, size_t max);
/* Records up to seq are in the store for good. */
void sl_journal_folded(struct sl_journal *journal, uint64_t seq);

#endif

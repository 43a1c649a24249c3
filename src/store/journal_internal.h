/* journal_internal.h - what journal.c and journal_files.c share. */
#ifndef SL_STORE_JOURNAL_INTERNAL_H
#define SL_STORE_JOURNAL_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/journal.h"

/* A test that includes the source may plant a bug to see whether it is caught. */
#ifndef SL_PLANTED
#define SL_PLANTED(bug) 0
#endif

enum { JOURNAL_SEGMENTS = 2 };

struct sl_journal_segment {
	int      fd;
	uint64_t first; /* sequence of its first record; 0: empty */
	uint32_t count; /* records written */
};

struct sl_journal {
	struct sl_journal_options options;
	struct sl_journal_sink    sink;
	struct sl_journal_record *ring;     /* slots, shared with the file */
	void                     *mapping;
	size_t                    mapping_size;
	bool                      ring_is_new; /* nothing of an earlier run is in it */
	int                       ring_fd;  /* until the files are settled, else -1 */
	uint64_t                  epoch;
	atomic_uint_fast64_t      head;     /* last appended */
	atomic_uint_fast64_t      written;
	atomic_bool               sleeping; /* the thread waits without a due time */
	atomic_bool               nudged;
	void                     *board;    /* in the mapping */
	struct sl_journal_segment segments[JOURNAL_SEGMENTS]; /* guarded by lock */
	unsigned                  current;  /* guarded by lock */
	uint64_t                  folded;   /* guarded by lock */
	uint64_t                  synced;   /* owner: log thread */
	uint64_t                  forgotten; /* owner: log thread; written when pages were */
	pthread_mutex_t           lock;
	pthread_cond_t            wake;
	bool                      hurry;    /* guarded by lock */
	bool                      stopping; /* guarded by lock */
	bool                      failed;   /* owner: log thread */
	bool                      running;
	pthread_t                 thread;
};

uint32_t sl_journal_crc(const struct sl_journal_record *record);
/* journal_files.c; false: errno says why, *what which file. */
bool sl_journal_open_files(struct sl_journal *journal, const char **what);
void sl_journal_close_files(struct sl_journal *journal);
/* The names of the segments on the disk, all pages of the ring; once. */
bool sl_journal_settle_files(struct sl_journal *journal, const char **what);
/* The ring's pages leave our memory; what is in them stays in the file's. */
void sl_journal_forget_pages(const struct sl_journal *journal);
/* Whole buffer at the offset, or false. */
bool sl_journal_pwrite(int fd, const void *bytes, size_t size, uint64_t offset);

#endif

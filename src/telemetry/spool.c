/* spool.c - a file of chunks.
 *
 *   HOLE --take--> USED --give--> SPARE --take--> USED
 *    ^                             |
 *    '---- not needed of late -----'
 *
 * A chunk takes memory only once it was used: its pages are made (a hole in a mapped file
 * would be a SIGBUS on a full disk). Under load the same chunks go round, the one that was
 * given last first, with their pages and what of them is in the processor's cache: making
 * pages anew for each was 2 % of what a request costs. What lay spare for all of
 * a second, but a few, goes back to the file (sl_spool_tidy). The
 * header says how many chunks may hold rows and how those are laid out, for a process of
 * another version, and whose they are: a new store may have the place of another one, but
 * gets none of its rows. Rows lie there in the order of a single writer's stores, which only
 * the death of the machine mixes up: then, told by its boot, nothing is taken from it.
 */
#include "telemetry/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/log.h"
#include "base/own_file.h"
#include "base/rand.h"
#include "store/store.h"
#include "telemetry/row_queue.h"

enum { HEADER_SIZE = 8192, CHUNK_SIZE = sizeof(struct sl_row_chunk), KEPT = 8, TRIES = 4 };
static const char spool_magic[8] = "SLROWS02";
#define META_STORE "records_store" /* which one this is */

struct header {
	char        magic[8];
	char        boot[SL_BOOT_SIZE];
	uint64_t    store;   /* whose rows these are */
	atomic_uint chunks;  /* that may hold rows: none behind them was ever taken */
	uint32_t    columns; /* bytes of: */
	char        layout[];
};

struct sl_spool {
	int             fd;
	uint64_t        store;
	struct header  *header; /* of the mapping */
	size_t          mapping_size;
	pthread_mutex_t lock;   /* guards what follows */
	bool            warned; /* that there was no room */
	unsigned        most;   /* chunks */
	unsigned        spare_count, idle_count; /* spare; the fewest since it was tidied */
	unsigned        hole_count;
	uint32_t       *holes;  /* chunks that were given back to the file */
	uint32_t        spare[]; /* the last one was given last; room for all, as behind it */
};

static _Thread_local char reason_text[512];

static struct sl_row_chunk *
chunk_at(const struct sl_spool *spool, uint32_t index)
{
	return (struct sl_row_chunk *)(void *)((char *)spool->header + HEADER_SIZE +
	                                       (size_t)index * CHUNK_SIZE);
}

static off_t
place_of(uint32_t index)
{
	return HEADER_SIZE + (off_t)index * CHUNK_SIZE;
}

/* --- chunks -------------------------------------------------------------------------- */

/* UINT32_MAX: none. */
static uint32_t
make_chunk(struct sl_spool *spool)
{
	unsigned made = atomic_load(&spool->header->chunks);
	uint32_t index = made;

	if (spool->hole_count > 0)
		index = spool->holes[spool->hole_count - 1];
	else if (made >= spool->most)
		return UINT32_MAX;
	if (posix_fallocate(spool->fd, place_of(index), CHUNK_SIZE) != 0) {
		if (!spool->warned)
			sl_log(SL_LOG_WARN, "no room for records in memory that outlives the process: "
			                    "those of the last moments are lost if it is killed");
		spool->warned = true;
		return UINT32_MAX;
	}
	if (spool->hole_count > 0)
		spool->hole_count--;
	return index;
}

struct sl_row_chunk *
sl_spool_take(struct sl_spool *spool)
{
	struct sl_row_chunk *chunk = NULL;
	uint32_t index;

	pthread_mutex_lock(&spool->lock);
	index = spool->spare_count > 0 ? spool->spare[--spool->spare_count] : make_chunk(spool);
	if (spool->spare_count < spool->idle_count)
		spool->idle_count = spool->spare_count;
	if (index != UINT32_MAX) {
		chunk = chunk_at(spool, index);
		atomic_store(&chunk->used, 0);
		/* Only now may it be looked at. */
		if (index >= atomic_load(&spool->header->chunks))
			atomic_store(&spool->header->chunks, index + 1);
	}
	pthread_mutex_unlock(&spool->lock);
	return chunk;
}

bool
sl_spool_has(const struct sl_spool *spool, const struct sl_row_chunk *chunk)
{
	const char *at = (const char *)chunk, *first = (const char *)spool->header;

	return at >= first && at < first + spool->mapping_size;
}

void
sl_spool_give(struct sl_spool *spool, struct sl_row_chunk *chunk)
{
	size_t offset = (size_t)((const char *)chunk - (const char *)spool->header);
	uint32_t index;

	assert(sl_spool_has(spool, chunk));
	index = (uint32_t)((offset - HEADER_SIZE) / CHUNK_SIZE);
	atomic_store(&chunk->used, 0);
	pthread_mutex_lock(&spool->lock);
	spool->spare[spool->spare_count++] = index;
	pthread_mutex_unlock(&spool->lock);
}

/* The first one, which was given the longest ago; false: too few were idle. */
static bool
make_hole(struct sl_spool *spool)
{
	bool made = false;

	pthread_mutex_lock(&spool->lock);
	if (spool->idle_count > KEPT) {
		uint32_t index = spool->spare[0];

		spool->idle_count--;
		memmove(spool->spare, spool->spare + 1,
		        --spool->spare_count * sizeof(spool->spare[0]));
		(void)fallocate(spool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		                place_of(index), CHUNK_SIZE);
		spool->holes[spool->hole_count++] = index;
		made = true;
	}
	pthread_mutex_unlock(&spool->lock);
	return made;
}

static void
look_again(struct sl_spool *spool)
{
	pthread_mutex_lock(&spool->lock);
	spool->idle_count = spool->spare_count;
	pthread_mutex_unlock(&spool->lock);
}

void
sl_spool_tidy(struct sl_spool *spool, bool idle)
{
	if (idle)
		look_again(spool);
	/* One by one: a loop may be waiting for a chunk. */
	while (make_hole(spool))
		continue;
	look_again(spool);
}

/* --- what was left -------------------------------------------------------------------- */

struct recovery {
	struct sl_store_job       job;
	struct sl_record_source   source;
	struct sl_spool_recovery *told;
	const struct sl_store_ops *ops;
	void                     *conn;
	int                       fd;
	uint64_t                  left_by, store;
	unsigned                  chunks;
	struct sl_slice           columns;
	struct sl_row_chunk      *chunk; /* that is being read */
	struct sl_slice           rest;  /* of it */
	struct sl_slice           common; /* that its rows have */
	enum sl_err               err;
};

static void
found(void *context, const struct sl_record_row *row)
{
	(void)row;
	*(bool *)context = true;
}

/* The next row of the chunk that the store does not have. */
static bool
next_row(struct sl_record_source *source, struct sl_record_row *row)
{
	struct recovery *recovery = SL_CONTAINER(source, struct recovery, source);

	for (;;) {
		bool known = false;
		enum sl_err err;

		if (!sl_row_read(recovery->columns, &recovery->rest, &recovery->common, row))
			break;
		recovery->told->found++;
		err = recovery->ops->record_find(recovery->conn, row->request_id, row->end_wall_ms,
		                                 found, &known);
		if (err != SL_OK && err != SL_ENOTFOUND) {
			recovery->err = err;
			return false;
		}
		if (known)
			continue;
		recovery->told->stored++;
		return true;
	}
	if (recovery->rest.len > 0)
		recovery->err = SL_ESYNTAX;
	return false;
}

static enum sl_err
recover_chunk(struct recovery *recovery, uint32_t index)
{
	unsigned used;
	enum sl_err err;

	/* Not through the mapping: what is a hole takes no memory. */
	if (pread(recovery->fd, recovery->chunk, CHUNK_SIZE, place_of(index)) != CHUNK_SIZE)
		return SL_EIO;
	used = atomic_load(&recovery->chunk->used);
	if (used > SL_ROW_CHUNK_SIZE)
		return SL_ESYNTAX;
	recovery->rest = sl_slice_make(recovery->chunk->bytes, used);
	recovery->common = SL_SLICE_NONE;
	err = recovery->ops->records_append(recovery->conn, &recovery->source);
	return err == SL_OK ? recovery->err : err;
}

/* Which store this is; it gets a number at its first start. */
static enum sl_err
know_store(struct recovery *recovery)
{
	struct sl_buf value;
	enum sl_err err;

	sl_buf_init(&value, sizeof(recovery->store));
	err = recovery->ops->meta_get(recovery->conn, META_STORE, &value);
	if (err == SL_OK && value.len == sizeof(recovery->store)) {
		memcpy(&recovery->store, value.ptr, sizeof(recovery->store));
	} else if (err == SL_OK || err == SL_ENOTFOUND) {
		recovery->store = sl_rand_u64();
		err = recovery->ops->meta_put(recovery->conn, META_STORE,
		                              sl_slice_make(&recovery->store,
		                                            sizeof(recovery->store)));
	}
	sl_buf_release(&value);
	return err;
}

static void
run_recovery(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct recovery *recovery = SL_CONTAINER(job, struct recovery, job);

	recovery->ops = ops;
	recovery->conn = conn;
	*recovery->told = (struct sl_spool_recovery){ 0 };
	job->err = know_store(recovery);
	if (recovery->left_by != recovery->store)
		return;
	for (uint32_t i = 0; i < recovery->chunks && job->err == SL_OK; i++)
		job->err = recover_chunk(recovery, i);
}

/* Whether the file holds rows that can be told. */
static bool
read_header(struct recovery *recovery, off_t size, char bytes[HEADER_SIZE])
{
	struct header *header = (struct header *)(void *)bytes;
	char boot[SL_BOOT_SIZE];

	sl_boot_read(boot);
	if (size < HEADER_SIZE || pread(recovery->fd, bytes, HEADER_SIZE, 0) != HEADER_SIZE ||
	    memcmp(header->magic, spool_magic, sizeof(spool_magic)) != 0 ||
	    memcmp(header->boot, boot, sizeof(boot)) != 0 ||
	    header->columns > HEADER_SIZE - sizeof(*header))
		return false;
	recovery->left_by = header->store;
	recovery->chunks = atomic_load(&header->chunks);
	recovery->columns = sl_slice_make(header->layout, header->columns);
	return true;
}

static enum sl_err
recover(struct sl_spool *spool, off_t size, struct sl_store *store,
        struct sl_spool_recovery *told)
{
	struct recovery recovery = { .job.run = run_recovery, .source.next = next_row,
		                     .told = told, .fd = spool->fd };
	_Alignas(struct header) char bytes[HEADER_SIZE];
	enum sl_err err;
	int tries = 0;

	if (read_header(&recovery, size, bytes)) {
		recovery.chunk = malloc(CHUNK_SIZE);
		if (!recovery.chunk)
			return SL_ENOMEM;
	}
	do
		/* An id of theirs may be taken: they get others. */
		err = sl_store_run(store, &recovery.job);
	while (err == SL_EEXIST && ++tries < TRIES);
	spool->store = recovery.store;
	free(recovery.chunk);
	return err;
}

/* --- life ------------------------------------------------------------------------------ */

static bool
describe_rows(struct header *header)
{
	struct sl_buf columns;
	bool fits;

	_Static_assert(sizeof(struct header) < HEADER_SIZE, "header");
	sl_buf_init(&columns, HEADER_SIZE - sizeof(struct header));
	sl_row_columns(&columns);
	fits = !columns.failed;
	errno = ENOMEM;
	if (fits) {
		header->columns = (uint32_t)columns.len;
		memcpy(header->layout, columns.ptr, columns.len);
	}
	sl_buf_release(&columns);
	return fits;
}

/* Empty, with all memory given back. */
static bool
renew(struct sl_spool *spool)
{
	int err;

	if (ftruncate(spool->fd, 0) < 0 || ftruncate(spool->fd, (off_t)spool->mapping_size) < 0)
		return false;
	err = posix_fallocate(spool->fd, 0, HEADER_SIZE);
	if (err) {
		errno = err;
		return false;
	}
	spool->header = mmap(NULL, spool->mapping_size, PROT_READ | PROT_WRITE, MAP_SHARED,
	                     spool->fd, 0);
	if (spool->header == MAP_FAILED) {
		spool->header = NULL;
		return false;
	}
	sl_boot_read(spool->header->boot);
	spool->header->store = spool->store;
	if (!describe_rows(spool->header))
		return false;
	memcpy(spool->header->magic, spool_magic, sizeof(spool_magic));
	return true;
}

struct sl_spool *
sl_spool_open(const char *path, size_t size, struct sl_store *store,
              struct sl_spool_recovery *recovery, const char **reason)
{
	size_t most = size / CHUNK_SIZE + 1;
	struct sl_spool *spool = calloc(1, sizeof(*spool) + 2 * most * sizeof(spool->spare[0]));
	enum sl_err err;
	off_t file_size;

	*recovery = (struct sl_spool_recovery){ 0 };
	*reason = "out of memory";
	if (!spool)
		return NULL;
	pthread_mutex_init(&spool->lock, NULL);
	spool->most = (unsigned)most;
	spool->holes = spool->spare + most;
	spool->mapping_size = HEADER_SIZE + most * CHUNK_SIZE;
	spool->fd = sl_own_file_open(path, &file_size);
	if (spool->fd >= 0 && flock(spool->fd, LOCK_EX | LOCK_NB) < 0) {
		/* Of the same path elsewhere, as two containers have it that share memory. */
		snprintf(reason_text, sizeof(reason_text), "the file %s, for records that wait, is in "
		         "use by another process: give each its own RUNTIME_DIRECTORY, or its store "
		         "another path", path);
		*reason = reason_text;
		sl_spool_free(spool);
		return NULL;
	}
	err = spool->fd < 0 ? SL_EIO : recover(spool, file_size, store, recovery);
	if (err == SL_OK && renew(spool))
		return spool;
	snprintf(reason_text, sizeof(reason_text), err == SL_OK || spool->fd < 0
	         ? "the file %s cannot be used for records that wait: %s"
	         : "records that wait in %s cannot be stored: %s; free space for the store, or move "
	           "the file away to start without them", path,
	         err == SL_OK || spool->fd < 0 ? strerror(errno) : sl_err_text(err));
	*reason = reason_text;
	sl_spool_free(spool);
	return NULL;
}

void
sl_spool_free(struct sl_spool *spool)
{
	if (!spool)
		return;
	if (spool->header)
		munmap(spool->header, spool->mapping_size);
	if (spool->fd >= 0)
		close(spool->fd);
	pthread_mutex_destroy(&spool->lock);
	free(spool);
}

/* journal_files.c - the journal's files: made, checked, replayed.
 *
 * Replay trusts nothing but the records themselves: a segment is read from its start
 * while CRC and sequence go on, the older segment first; then the ring, whose slots
 * follow from the sequence, supplies what was never written. The first record that
 * is missing ends it, and an epoch that falls does too: a run after a power loss may
 * have stopped just before records of the run that lost it.
 */
#include "store/journal_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own_file.h"

enum { PATH_SIZE = 4096, HEADER_SIZE = 4096, RING_VERSION = 1, CHUNK = 128 };
static const char ring_magic[8] = "SLRING01";

struct ring_header {
	char     magic[8];
	uint64_t instance;
	uint32_t slots, version;
	char     boot[SL_BOOT_SIZE]; /* of the machine, when the board was last written */
};

/* --- CRC-32C (Castagnoli), eight bytes at a time ---------------------------------- */

static uint32_t crc_table[8][256];

static void
make_crc_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
		crc_table[0][i] = crc;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int t = 1; t < 8; t++)
			crc_table[t][i] = crc_table[t - 1][i] >> 8 ^
			                  crc_table[0][crc_table[t - 1][i] & 0xff];
}

static uint32_t
step(uint32_t crc, const unsigned char *p)
{
	uint32_t low, high;

	memcpy(&low, p, 4);
	memcpy(&high, p + 4, 4);
	low ^= crc;
	return crc_table[7][low & 0xff] ^ crc_table[6][low >> 8 & 0xff] ^
	       crc_table[5][low >> 16 & 0xff] ^ crc_table[4][low >> 24] ^
	       crc_table[3][high & 0xff] ^ crc_table[2][high >> 8 & 0xff] ^
	       crc_table[1][high >> 16 & 0xff] ^ crc_table[0][high >> 24];
}

uint32_t
sl_journal_crc(const struct sl_journal_record *record)
{
	const unsigned char *p = (const unsigned char *)record + 4;
	uint32_t crc = ~0u;

	for (int i = 0; i < 4; i++)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *p++) & 0xff];
	for (int i = 0; i < (SL_JOURNAL_RECORD_SIZE - 8) / 8; i++, p += 8)
		crc = step(crc, p);
	return ~crc;
}

static bool
record_is_good(const struct sl_journal_record *record)
{
	return record->kind != 0 && record->crc == sl_journal_crc(record);
}

/* --- files ------------------------------------------------------------------------ */

bool
sl_journal_pwrite(int fd, const void *bytes, size_t size, uint64_t offset)
{
	const char *at = bytes;

	while (size > 0) {
		ssize_t done = pwrite(fd, at, size, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		at += done;
		size -= (size_t)done;
		offset += (uint64_t)done;
	}
	return true;
}

static bool
read_all(int fd, void *bytes, size_t size, uint64_t offset)
{
	char *at = bytes;

	while (size > 0) {
		ssize_t done = pread(fd, at, size, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		at += done;
		size -= (size_t)done;
		offset += (uint64_t)done;
	}
	return true;
}

/* A file of zeros up to size, on the disk: later writes change no metadata. */
static bool
fill(int fd, uint64_t size)
{
	/* Not const: memory of zeros, which takes none, and not 64 KB of the binary. */
	static char zeros[64 * 1024];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	if ((uint64_t)st.st_size >= size)
		return true;
	for (uint64_t at = (uint64_t)st.st_size; at < size;) {
		size_t part = size - at < sizeof(zeros) ? (size_t)(size - at) : sizeof(zeros);

		if (!sl_journal_pwrite(fd, zeros, part, at))
			return false;
		at += part;
	}
	return fsync(fd) == 0;
}

static bool
sync_directory(const char *path)
{
	char name[PATH_SIZE];
	char *slash;
	bool ok;
	int fd;

	snprintf(name, sizeof(name), "%s", path);
	slash = strrchr(name, '/');
	if (slash)
		slash[slash == name] = '\0';
	fd = open(slash ? name : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool
open_segments(struct sl_journal *journal)
{
	char name[PATH_SIZE];

	for (int i = 0; i < JOURNAL_SEGMENTS; i++) {
		int fd;

		if (snprintf(name, sizeof(name), "%s.%d", journal->options.path, i) >=
		    (int)sizeof(name)) {
			errno = ENAMETOOLONG;
			return false;
		}
		fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		journal->segments[i].fd = fd;
		if (fd < 0 ||
		    !fill(fd, (uint64_t)journal->options.segment_records * SL_JOURNAL_RECORD_SIZE))
			return false;
	}
	return true;
}

/* Whether the file is a ring of ours with what its last run left in it. */
static bool
is_our_ring(int fd, off_t file_size, const struct sl_journal_options *options, size_t size)
{
	struct ring_header header;

	return file_size >= (off_t)size && read_all(fd, &header, sizeof(header), 0) &&
	       memcmp(header.magic, ring_magic, sizeof(ring_magic)) == 0 &&
	       header.instance == options->instance && header.slots == options->ring_slots &&
	       header.version == RING_VERSION;
}

/* The pages of a part of the file. A hole in a mapped file would be a SIGBUS when the disk is
 * full. */
static bool
take_pages(int fd, size_t offset, size_t size)
{
	int err = posix_fallocate(fd, (off_t)offset, (off_t)size);

	if (err)
		errno = err;
	return err == 0;
}

/* All zeros, without writing them: only what is used of it takes memory of ours. The rest has
 * its pages by sl_journal_settle. */
static bool
renew_ring(int fd, size_t board_at, size_t size)
{
	return ftruncate(fd, 0) == 0 && ftruncate(fd, (off_t)size) == 0 &&
	       take_pages(fd, 0, HEADER_SIZE) &&
	       (board_at == size || take_pages(fd, board_at, 1));
}

static void
open_board(struct sl_journal *journal, struct ring_header *header, size_t offset)
{
	char boot[SL_BOOT_SIZE];

	journal->board = (char *)journal->mapping + offset;
	sl_boot_read(boot);
	if (memcmp(header->boot, boot, SL_BOOT_SIZE) == 0)
		return;
	if (!journal->ring_is_new)
		memset(journal->board, 0, journal->options.board_size);
	memcpy(header->boot, boot, SL_BOOT_SIZE);
}

static bool
open_ring(struct sl_journal *journal)
{
	const struct sl_journal_options *options = &journal->options;
	size_t ring_size = HEADER_SIZE + (size_t)options->ring_slots * SL_JOURNAL_RECORD_SIZE;
	size_t size = ring_size + options->board_size;
	struct ring_header *header;
	off_t file_size;
	int fd = sl_own_file_open(options->ring_path, &file_size);

	if (fd < 0)
		return false;
	journal->ring_fd = fd;
	journal->ring_is_new = !is_our_ring(fd, file_size, options, ring_size);
	/* One from before there was a board, or with a smaller one, is kept. */
	if (journal->ring_is_new ? !renew_ring(fd, ring_size, size) : !take_pages(fd, 0, size))
		return false;
	journal->mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (journal->mapping == MAP_FAILED) {
		journal->mapping = NULL;
		return false;
	}
	journal->mapping_size = size;
	journal->ring = (void *)((char *)journal->mapping + HEADER_SIZE);
	header = journal->mapping;
	if (journal->ring_is_new) {
		*header = (struct ring_header){ .instance = options->instance,
			                        .slots = options->ring_slots,
			                        .version = RING_VERSION };
		memcpy(header->magic, ring_magic, 8);
	}
	open_board(journal, header, ring_size);
	return true;
}

bool
sl_journal_settle_files(struct sl_journal *journal, const char **what)
{
	bool settled;

	*what = journal->options.path;
	if (journal->ring_fd < 0)
		return true;
	/* First what waits for the disk: whoever shares the core goes on meanwhile. */
	settled = sync_directory(journal->options.path);
	if (settled && journal->ring_is_new) {
		*what = journal->options.ring_path;
		settled = take_pages(journal->ring_fd, 0, journal->mapping_size);
	}
	close(journal->ring_fd);
	journal->ring_fd = -1;
	return settled;
}

void
sl_journal_forget_pages(const struct sl_journal *journal)
{
	(void)madvise(journal->mapping, journal->mapping_size - journal->options.board_size,
	              MADV_DONTNEED);
}

bool
sl_journal_open_files(struct sl_journal *journal, const char **what)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_crc_table);
	journal->ring_fd = -1;
	for (int i = 0; i < JOURNAL_SEGMENTS; i++)
		journal->segments[i].fd = -1;
	*what = journal->options.path;
	if (!open_segments(journal))
		return false;
	*what = journal->options.ring_path;
	return open_ring(journal);
}

void
sl_journal_close_files(struct sl_journal *journal)
{
	for (int i = 0; i < JOURNAL_SEGMENTS; i++)
		if (journal->segments[i].fd >= 0)
			close(journal->segments[i].fd);
	if (journal->ring_fd >= 0)
		close(journal->ring_fd);
	if (journal->mapping)
		munmap(journal->mapping, journal->mapping_size);
}

/* --- replay ------------------------------------------------------------------------- */

struct replay {
	enum sl_err (*each)(void *context, const struct sl_journal_record *record);
	void    *context;
	uint64_t next;  /* sequence that comes next */
	uint64_t epoch; /* of the last one */
	uint64_t last;  /* highest seen anywhere */
};

/* SL_MORE: this is not the next record; what follows it is not to be trusted. */
static enum sl_err
take(struct replay *replay, const struct sl_journal_record *record)
{
	if (record->seq < replay->next)
		return SL_OK;
	if (record->seq > replay->next || record->epoch < replay->epoch)
		return SL_MORE;
	replay->next++;
	replay->epoch = record->epoch;
	return replay->each(replay->context, record);
}

/* First sequence of a segment, 0 when it holds none. */
static uint64_t
first_of(const struct sl_journal *journal, int index)
{
	struct sl_journal_record record;

	if (!read_all(journal->segments[index].fd, &record, sizeof(record), 0) ||
	    !record_is_good(&record))
		return 0;
	return record.seq;
}

static enum sl_err
replay_segment(const struct sl_journal *journal, int index, uint64_t seq, struct replay *replay)
{
	struct sl_journal_record chunk[CHUNK];
	uint32_t total = journal->options.segment_records;
	enum sl_err err = SL_OK;

	for (uint32_t at = 0; at < total && err == SL_OK;) {
		uint32_t count = total - at < CHUNK ? total - at : CHUNK;

		if (!read_all(journal->segments[index].fd, chunk, count * sizeof(*chunk),
		              (uint64_t)at * SL_JOURNAL_RECORD_SIZE))
			return SL_EIO;
		for (uint32_t i = 0; i < count && err == SL_OK; i++) {
			if (chunk[i].seq != seq || !record_is_good(&chunk[i]))
				return SL_OK;
			if (seq > replay->last)
				replay->last = seq;
			err = take(replay, &chunk[i]);
			seq++;
		}
		at += count;
	}
	return err;
}

static enum sl_err
replay_ring(const struct sl_journal *journal, struct replay *replay)
{
	uint32_t mask = journal->options.ring_slots - 1;
	enum sl_err err = SL_OK;

	if (journal->ring_is_new)
		return SL_OK;
	for (uint32_t i = 0; i <= mask; i++)
		if (journal->ring[i].seq > replay->last && record_is_good(&journal->ring[i]))
			replay->last = journal->ring[i].seq;
	while (err == SL_OK) {
		const struct sl_journal_record *record = &journal->ring[replay->next & mask];

		if (record->seq != replay->next || !record_is_good(record))
			break;
		err = take(replay, record);
	}
	return err;
}

enum sl_err
sl_journal_replay(struct sl_journal *journal, uint64_t after,
                  enum sl_err (*each)(void *context, const struct sl_journal_record *record),
                  void *context, uint64_t *last)
{
	struct replay replay = { .each = each, .context = context, .next = after + 1,
		                 .last = after };
	uint64_t first[JOURNAL_SEGMENTS] = { first_of(journal, 0), first_of(journal, 1) };
	int older = first[0] <= first[1] ? 0 : 1;
	enum sl_err err = SL_OK;

	/* Where one source ends another may go on: only the very next record is taken. */
	for (int i = 0; i < JOURNAL_SEGMENTS && (err == SL_OK || err == SL_MORE); i++) {
		int index = i == 0 ? older : !older;

		if (first[index])
			err = replay_segment(journal, index, first[index], &replay);
	}
	if (err == SL_OK || err == SL_MORE)
		err = replay_ring(journal, &replay);
	sl_journal_forget_pages(journal);
	*last = replay.last;
	if (err == SL_OK || err == SL_MORE) {
		if (replay.last >= replay.next)
			sl_log(SL_LOG_WARN, "the journal has a gap; what follows it was not used",
			       SL_LOG_I("missing", replay.next), SL_LOG_I("last", replay.last));
		return SL_OK;
	}
	return err;
}

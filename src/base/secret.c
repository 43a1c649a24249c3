/* secret.c - credentials on pages of their own.
 *
 * Secrets live in slabs mapped apart from the heap, kept out of core dumps and,
 * as far as the memory-lock limit goes, out of swap. A slab is cut into cells
 * of CELL_SIZE bytes; a secret takes a run of cells, first fit. There are few
 * secrets and they change with the configuration only, so a lock and a search
 * through a bitmap cost nothing that matters. Slabs are kept for reuse.
 */
#include "base/secret.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <sys/mman.h>

enum {
	CELL_SIZE = 64,
	SLAB_SIZE = 64 * 1024,
	CELLS = SLAB_SIZE / CELL_SIZE,
	SLABS_MAX = 64,
};

struct slab {
	char *bytes;
	bool  used[CELLS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards slabs */
static struct slab slabs[SLABS_MAX];
static size_t slab_count;

static size_t
cells_for(size_t size)
{
	return (size + CELL_SIZE - 1) / CELL_SIZE;
}

static bool
add_slab(void)
{
	void *bytes;

	if (slab_count == SLABS_MAX)
		return false;
	bytes = mmap(NULL, SLAB_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bytes == MAP_FAILED)
		return false;
	/* Both are best effort: a container may forbid them. */
	(void)madvise(bytes, SLAB_SIZE, MADV_DONTDUMP);
	(void)mlock(bytes, SLAB_SIZE);
	slabs[slab_count++].bytes = bytes;
	return true;
}

static char *
take_cells(struct slab *slab, size_t count)
{
	size_t run = 0;

	for (size_t i = 0; i < CELLS; i++) {
		run = slab->used[i] ? 0 : run + 1;
		if (run < count)
			continue;
		memset(&slab->used[i + 1 - count], true, count);
		return slab->bytes + (i + 1 - count) * CELL_SIZE;
	}
	return NULL;
}

static char *
take(size_t size)
{
	char *at = NULL;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; !at && i < slab_count; i++)
		at = take_cells(&slabs[i], cells_for(size));
	if (!at && add_slab())
		at = take_cells(&slabs[slab_count - 1], cells_for(size));
	pthread_mutex_unlock(&lock);
	return at;
}

static void
give_back(char *at, size_t size)
{
	explicit_bzero(at, size);
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < slab_count; i++) {
		uintptr_t offset = (uintptr_t)at - (uintptr_t)slabs[i].bytes;

		if (offset < SLAB_SIZE)
			memset(&slabs[i].used[offset / CELL_SIZE], false, cells_for(size));
	}
	pthread_mutex_unlock(&lock);
}

enum sl_err
sl_secret_set(struct sl_secret *secret, struct sl_slice bytes)
{
	struct sl_secret fresh = { 0 };

	if (bytes.len > SLAB_SIZE)
		return SL_ELIMIT;
	if (bytes.len) {
		fresh.opaque = take(bytes.len);
		if (!fresh.opaque)
			return SL_ENOMEM;
		memcpy(fresh.opaque, bytes.ptr, bytes.len);
		fresh.opaque_len = bytes.len;
	}
	/* Only now: bytes may be the old secret's own. */
	sl_secret_release(secret);
	*secret = fresh;
	return SL_OK;
}

void
sl_secret_release(struct sl_secret *secret)
{
	if (secret->opaque)
		give_back(secret->opaque, secret->opaque_len);
	*secret = (struct sl_secret){ 0 };
}

bool
sl_secret_empty(const struct sl_secret *secret)
{
	return secret->opaque_len == 0;
}

bool
sl_secret_eq(const struct sl_secret *secret, struct sl_slice bytes)
{
	if (secret->opaque_len != bytes.len)
		return false;
	return bytes.len == 0 || CRYPTO_memcmp(secret->opaque, bytes.ptr, bytes.len) == 0;
}

struct sl_slice
sl_secret_reveal(const struct sl_secret *secret)
{
	return sl_slice_make(secret->opaque, secret->opaque_len);
}

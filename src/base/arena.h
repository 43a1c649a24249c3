/* arena.h - memory with one lifetime.
 *
 * Allocations are bumped out of chunks and freed together. One arena per ask
 * and one per configuration snapshot. Not thread-safe: it has its owner's
 * thread.
 */
#ifndef SL_BASE_ARENA_H
#define SL_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/slice.h"

struct sl_arena_chunk;

struct sl_arena {
	struct sl_arena_chunk *head;
	char                  *next;
	char                  *end;
	size_t                 chunk_size; /* bytes of the next chunk */
	size_t                 total_size; /* bytes taken from malloc */
	size_t                 max_size;   /* bytes, 0: no cap */
};

/* No memory is taken before the first allocation. max_size 0: uncapped. */
void sl_arena_init(struct sl_arena *arena, size_t first_chunk_size, size_t max_size);
void sl_arena_release(struct sl_arena *arena);

/* Aligned for any type, not zeroed; NULL when memory or the cap is exhausted. */
void *sl_arena_alloc(struct sl_arena *arena, size_t size);
/* The same, zeroed, with an overflow-checked product. */
void *sl_arena_zalloc(struct sl_arena *arena, size_t count, size_t size);
/* Copies of the bytes, NUL-terminated; ptr is NULL on failure. */
struct sl_slice sl_arena_dup(struct sl_arena *arena, struct sl_slice bytes);
char *sl_arena_strdup(struct sl_arena *arena, struct sl_slice bytes);
/* The parts one behind the other, NUL-terminated. */
struct sl_slice sl_arena_join(struct sl_arena *arena, const struct sl_slice *parts,
                              size_t count);
struct sl_slice sl_arena_u64(struct sl_arena *arena, uint64_t value);
struct sl_slice sl_arena_printf(struct sl_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold)); /* numbers on the hot path: text.h */

/* A block alone, for a short life: from those that the thread keeps of released chunks, which
 * glibc's own cache does not where many come and go together. Free it with sl_block_free;
 * NULL is free already. */
void *sl_block_alloc(size_t size);
void sl_block_free(void *block);
/* As realloc: with its bytes, of which there may be more than were asked for. */
void *sl_block_resize(void *block, size_t size);
/* Those that the thread keeps go back: the last thing of one that ends before the process. */
void sl_block_forget(void);

#define SL_ARENA_NEW(arena, type) ((type *)sl_arena_zalloc((arena), 1, sizeof(type)))
#define SL_ARENA_ARRAY(arena, type, count)                                    \
	((type *)sl_arena_zalloc((arena), (count), sizeof(type)))

#endif

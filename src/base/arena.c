/* arena.c - bump allocation in chunks.
 *
 * Chunks up to SPARE_SIZE go to a list of their size when they are released, a few of
 * each for every thread: the requests of a loop look alike, and glibc's own cache ends
 * at 1 KB. As many are kept as a busy core has requests under way. Small sizes are those
 * that fill what malloc gives, since some of them live as long as a stream; large ones are
 * rounded up coarsely, since they come and go. Sanitizers see every chunk come and go
 * instead.
 */
#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/text.h"

struct sl_arena_chunk {
	struct sl_arena_chunk *below;
	size_t                 size; /* of bytes */
	max_align_t            bytes[];
};

enum { CHUNK_MAX = 64 * 1024, ALIGNMENT = _Alignof(max_align_t) };

enum { SPARE_SIZE = SL_SANITIZED ? 0 : 16 * 1024, SPARE_KEPT = SL_SANITIZED ? 0 : 64 };

enum {
	SMALL_SIZE = 4096 - 8,
	SMALL_STEP = 16, /* of malloc; its own word makes all but 8 of it ours */
	LARGE_STEP = 1024,
	RESIZED_STEP = SL_SANITIZED ? 1 : 256, /* of those that say how large they want to be */
	SMALL_LISTS = SMALL_SIZE / SMALL_STEP + 1,
};

static _Thread_local struct {
	struct sl_arena_chunk *first;
	int                    count;
} spares[SMALL_LISTS + SPARE_SIZE / LARGE_STEP + 1];

/* Up to SPARE_SIZE: each list has one size, so that any of its chunks will do. */
static size_t
round_up(size_t size)
{
	if (size <= SMALL_SIZE)
		return ((size + 7) & ~(size_t)(SMALL_STEP - 1)) + 8;
	return (size + LARGE_STEP - 1) & ~(size_t)(LARGE_STEP - 1);
}

static size_t
list_of(size_t rounded_size)
{
	return rounded_size <= SMALL_SIZE ? rounded_size / SMALL_STEP
	                                  : SMALL_LISTS + rounded_size / LARGE_STEP;
}

static struct sl_arena_chunk *
take_chunk(size_t size)
{
	struct sl_arena_chunk *chunk;

	if (size <= SPARE_SIZE) {
		size_t at;

		size = round_up(size);
		at = list_of(size);
		chunk = spares[at].first;
		if (chunk) {
			spares[at].first = chunk->below;
			spares[at].count--;
			return chunk;
		}
	}
	chunk = malloc(sizeof(*chunk) + size);
	if (chunk)
		chunk->size = size;
	return chunk;
}

static void
give_chunk(struct sl_arena_chunk *chunk)
{
	size_t at;

	if (chunk->size > SPARE_SIZE || spares[at = list_of(chunk->size)].count >= SPARE_KEPT) {
		free(chunk);
		return;
	}
	chunk->below = spares[at].first;
	spares[at].first = chunk;
	spares[at].count++;
}

void *
sl_block_alloc(size_t size)
{
	struct sl_arena_chunk *chunk = size < SIZE_MAX / 2 ? take_chunk(size) : NULL;

	return chunk ? chunk->bytes : NULL;
}

static struct sl_arena_chunk *
chunk_of(void *block)
{
	return (struct sl_arena_chunk *)(void *)
	       ((char *)block - offsetof(struct sl_arena_chunk, bytes));
}

void
sl_block_free(void *block)
{
	if (block)
		give_chunk(chunk_of(block));
}

void
sl_block_forget(void)
{
	for (size_t i = 0; i < sizeof(spares) / sizeof(spares[0]); i++) {
		while (spares[i].first) {
			struct sl_arena_chunk *chunk = spares[i].first;

			spares[i].first = chunk->below;
			free(chunk);
		}
		spares[i].count = 0;
	}
}

void *
sl_block_resize(void *block, size_t size)
{
	struct sl_arena_chunk *chunk = block ? chunk_of(block) : NULL, *made;

	if (size >= SIZE_MAX / 2)
		return NULL;
	size = (size + RESIZED_STEP - 1) & ~(size_t)(RESIZED_STEP - 1);
	if (chunk && chunk->size > SPARE_SIZE && size > SPARE_SIZE) {
		/* Large ones may stay where they are. */
		made = realloc(chunk, sizeof(*chunk) + size);
		if (made)
			made->size = size;
	} else {
		made = take_chunk(size);
		if (made && chunk) {
			memcpy(made->bytes, block, chunk->size < size ? chunk->size : size);
			give_chunk(chunk);
		}
	}
	return made ? made->bytes : NULL;
}

void
sl_arena_init(struct sl_arena *arena, size_t first_chunk_size, size_t max_size)
{
	*arena = (struct sl_arena){ .chunk_size = first_chunk_size, .max_size = max_size };
}

void
sl_arena_release(struct sl_arena *arena)
{
	struct sl_arena_chunk *chunk = arena->head;

	while (chunk) {
		struct sl_arena_chunk *below = chunk->below;

		give_chunk(chunk);
		chunk = below;
	}
	*arena = (struct sl_arena){ .chunk_size = arena->chunk_size,
		                    .max_size = arena->max_size };
}

/* Apart, so that the usual way saves no registers for it. */
static __attribute__((noinline)) void *
alloc_chunk(struct sl_arena *arena, size_t size)
{
	size_t room = size > arena->chunk_size ? size : arena->chunk_size;
	struct sl_arena_chunk *chunk;

	if (room > SIZE_MAX / 2 ||
	    (arena->max_size && room > arena->max_size - arena->total_size))
		room = size;
	if (arena->max_size && room > arena->max_size - arena->total_size)
		return NULL;
	chunk = take_chunk(room);
	if (!chunk)
		return NULL;
	arena->total_size += room;
	chunk->below = arena->head;
	arena->head = chunk;
	/* A request that fills a chunk of its own must not waste the room
	 * that is left in the current one. */
	if (room - size >= (size_t)(arena->end - arena->next)) {
		arena->next = (char *)chunk->bytes + size;
		arena->end = (char *)chunk->bytes + room;
		if (arena->chunk_size < CHUNK_MAX)
			arena->chunk_size *= 2;
	}
	return chunk->bytes;
}

void *
sl_arena_alloc(struct sl_arena *arena, size_t size)
{
	void *at;

	if (size > SIZE_MAX / 4)
		return NULL;
	size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (size <= (size_t)(arena->end - arena->next)) {
		at = arena->next;
		arena->next += size;
		return at;
	}
	return alloc_chunk(arena, size);
}

void *
sl_arena_zalloc(struct sl_arena *arena, size_t count, size_t size)
{
	size_t total;
	void *at;

	if (__builtin_mul_overflow(count, size, &total))
		return NULL;
	at = sl_arena_alloc(arena, total);
	if (at)
		memset(at, 0, total);
	return at;
}

struct sl_slice
sl_arena_dup(struct sl_arena *arena, struct sl_slice bytes)
{
	char *at;

	if (bytes.len == 0)
		return SL_SLICE("");
	at = bytes.len < SIZE_MAX ? sl_arena_alloc(arena, bytes.len + 1) : NULL;
	if (!at)
		return SL_SLICE_NONE;
	memcpy(at, bytes.ptr, bytes.len);
	at[bytes.len] = '\0';
	return sl_slice_make(at, bytes.len);
}

char *
sl_arena_strdup(struct sl_arena *arena, struct sl_slice bytes)
{
	return (char *)(uintptr_t)sl_arena_dup(arena, bytes).ptr;
}

struct sl_slice
sl_arena_join(struct sl_arena *arena, const struct sl_slice *parts, size_t count)
{
	size_t len = 0;
	char *at, *text;

	for (size_t i = 0; i < count; i++)
		if (__builtin_add_overflow(len, parts[i].len, &len))
			return SL_SLICE_NONE;
	text = at = len < SIZE_MAX ? sl_arena_alloc(arena, len + 1) : NULL;
	if (!text)
		return SL_SLICE_NONE;
	for (size_t i = 0; i < count; i++) {
		if (parts[i].len)
			memcpy(at, parts[i].ptr, parts[i].len);
		at += parts[i].len;
	}
	*at = '\0';
	return sl_slice_make(text, len);
}

struct sl_slice
sl_arena_u64(struct sl_arena *arena, uint64_t value)
{
	char room[SL_U64_DIGITS];

	return sl_arena_dup(arena, sl_slice_make(room, (size_t)(sl_put_u64(room, value) - room)));
}

struct sl_slice
sl_arena_printf(struct sl_arena *arena, const char *format, ...)
{
	char room[128];
	va_list args;
	int len;
	char *at;

	/* Most texts are short: formatted once, then copied. */
	va_start(args, format);
	len = vsnprintf(room, sizeof(room), format, args);
	va_end(args);
	if (len < 0)
		return SL_SLICE_NONE;
	if ((size_t)len < sizeof(room))
		return sl_arena_dup(arena, sl_slice_make(room, (size_t)len));
	at = sl_arena_alloc(arena, (size_t)len + 1);
	if (!at)
		return SL_SLICE_NONE;
	va_start(args, format);
	vsnprintf(at, (size_t)len + 1, format, args);
	va_end(args);
	return sl_slice_make(at, (size_t)len);
}

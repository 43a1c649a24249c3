/* json_fixture.h - what tests of parsers share: a buffer that ends at an
 * unreadable page, numbers from a seed, random JSON. */
#ifndef SL_TESTS_JSON_FIXTURE_H
#define SL_TESTS_JSON_FIXTURE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/slice.h"

struct fence {
	char  *map;
	size_t size; /* bytes */
};

/* A copy of bytes whose last one stands directly before a page that cannot be
 * read. */
static inline struct sl_slice
fence_make(struct fence *fence, struct sl_slice bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t room = (bytes.len + page) / page * page;
	char *at;

	fence->size = room + page;
	fence->map = mmap(NULL, fence->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                  -1, 0);
	if (fence->map == MAP_FAILED || mprotect(fence->map + room, page, PROT_NONE) != 0)
		abort();
	at = fence->map + room - bytes.len;
	if (bytes.len)
		memcpy(at, bytes.ptr, bytes.len);
	return sl_slice_make(at, bytes.len);
}

static inline void
fence_free(struct fence *fence)
{
	munmap(fence->map, fence->size);
}

/* 0 <= result < bound; splitmix64. */
static inline size_t
random_below(uint64_t *seed, size_t bound)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (size_t)((z ^ z >> 31) % bound);
}

static inline void
random_space(struct sl_buf *buf, uint64_t *seed)
{
	static const char *const spaces[] = { "", "", "", "", " ", "\n", "\r\n\t", "  " };

	sl_buf_append_str(buf, spaces[random_below(seed, 8)]);
}

static inline void
random_string(struct sl_buf *buf, uint64_t *seed)
{
	static const char *const pieces[] = {
		"a", "some plain words, long enough for a vector ", "\\n", "\\\"", "\\\\", "\\u00e9",
		"\\ud83d\\ude00", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xe2\x80\xa8", "{}[]:,",
	};

	sl_buf_append_char(buf, '"');
	for (size_t i = random_below(seed, 8); i > 0; i--)
		sl_buf_append_str(buf, pieces[random_below(seed, 12)]);
	sl_buf_append_char(buf, '"');
}

/* Appends a random value and counts it and all it holds in *values. */
static inline void
random_value(struct sl_buf *buf, uint64_t *seed, unsigned depth, size_t *values)
{
	static const char *const scalars[] = {
		"null", "true", "false", "0", "-1", "1.50", "12e3", "1E-7", "123456789012345678901234",
	};
	size_t kind = random_below(seed, depth > 5 ? 2 : 4);
	size_t count = random_below(seed, 6);

	(*values)++;
	if (kind == 0)
		sl_buf_append_str(buf, scalars[random_below(seed, 9)]);
	if (kind == 1)
		random_string(buf, seed);
	if (kind < 2)
		return;
	sl_buf_append_char(buf, kind == 2 ? '{' : '[');
	random_space(buf, seed);
	for (size_t i = 0; i < count; i++) {
		if (kind == 2) {
			random_string(buf, seed);
			random_space(buf, seed);
			sl_buf_append_char(buf, ':');
			random_space(buf, seed);
		}
		random_value(buf, seed, depth + 1, values);
		random_space(buf, seed);
		if (i + 1 < count)
			sl_buf_append_char(buf, ',');
		random_space(buf, seed);
	}
	sl_buf_append_char(buf, kind == 2 ? '}' : ']');
}

#endif

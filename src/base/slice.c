/* slice.c - questions about borrowed bytes. */
#include "base/slice.h"

#include <stdint.h>

#include "base/avx2.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool
blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Eight bytes, or four of them twice, as lower case. */
static inline uint64_t
lower_word(const char *at, size_t len)
{
	const uint64_t ones = 0x0101010101010101, high = ones * 0x80;
	uint64_t word, low, upper;
	uint32_t half;

	if (len >= sizeof(word)) {
		memcpy(&word, at, sizeof(word));
	} else {
		memcpy(&half, at, sizeof(half));
		word = half;
	}
	/* With bytes below 0x80, x + (0x80 - n) has the high bit exactly when x >= n. */
	low = word & ~high;
	upper = (low + ones * (0x80 - 'A')) & ~(low + ones * (0x80 - 'Z' - 1)) & ~word & high;
	return word | upper >> 2;
}

bool
sl_slice_ieq(struct sl_slice a, struct sl_slice b)
{
	if (a.len != b.len)
		return false;
	/* By words of which the last one overlaps the one before. */
	if (a.len >= 4) {
		size_t step = a.len >= 8 ? 8 : 4, last = a.len - step;

		for (size_t at = 0; at < last; at += step)
			if (lower_word(a.ptr + at, a.len) != lower_word(b.ptr + at, a.len))
				return false;
		return lower_word(a.ptr + last, a.len) == lower_word(b.ptr + last, a.len);
	}
	for (size_t i = 0; i < a.len; i++)
		if (a.ptr[i] != b.ptr[i] && lower(a.ptr[i]) != lower(b.ptr[i]))
			return false;
	return true;
}

bool
sl_slice_ends(struct sl_slice a, struct sl_slice suffix)
{
	return a.len >= suffix.len &&
	       sl_slice_eq(sl_slice_from(a, a.len - suffix.len), suffix);
}

ptrdiff_t
sl_slice_find(struct sl_slice a, char c)
{
	const char *at = a.len ? memchr(a.ptr, c, a.len) : NULL;

	return at ? at - a.ptr : -1;
}

/* Searches by blocks: places where the needle's first and its last byte are right are few
 * in any text. Each goes on at *from; false: the needle begins nowhere before the new
 * *from, else *from is where it does. */

/* Of the places that the bits stand for, counted from *from. */
static inline bool
is_at_any(struct sl_slice a, struct sl_slice needle, uint64_t places, size_t *from)
{
	for (; places; places &= places - 1) {
		size_t place = *from + (size_t)__builtin_ctzll(places);

		if (memcmp(a.ptr + place, needle.ptr, needle.len) == 0) {
			*from = place;
			return true;
		}
	}
	return false;
}

#ifdef SL_AVX2
/* Which of 32 places have the right first and last byte. */
static inline SL_AVX2 __m256i
likely_32(const char *at, size_t to_last, __m256i first, __m256i last)
{
	__m256i begins = _mm256_loadu_si256((const __m256i *)(const void *)at);
	__m256i ends = _mm256_loadu_si256((const __m256i *)(const void *)(at + to_last));

	return _mm256_and_si256(_mm256_cmpeq_epi8(begins, first), _mm256_cmpeq_epi8(ends, last));
}

/* Of 64 places. */
static inline SL_AVX2 uint64_t
likely_64(const char *at, size_t to_last, __m256i first, __m256i last)
{
	__m256i low = likely_32(at, to_last, first, last);
	__m256i high = likely_32(at + 32, to_last, first, last);

	return (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32 |
	       (uint32_t)_mm256_movemask_epi8(low);
}

/* Where there are 64 places at least. */
static SL_AVX2 bool
search_64(struct sl_slice a, struct sl_slice needle, size_t *from)
{
	const size_t to_last = needle.len - 1, last_block = a.len - to_last - 64;
	const __m256i first = _mm256_set1_epi8(needle.ptr[0]);
	const __m256i last = _mm256_set1_epi8(needle.ptr[to_last]);

	for (size_t at = 0; at < last_block; at += 64) {
		uint64_t places = likely_64(a.ptr + at, to_last, first, last);

		*from = at;
		if (places && is_at_any(a, needle, places, from))
			return true;
	}
	/* The last block ends with the slice: some of it may have been looked at before. */
	*from = last_block;
	return is_at_any(a, needle, likely_64(a.ptr + last_block, to_last, first, last), from);
}
#endif

#ifdef __SSE2__
static bool
search_16(struct sl_slice a, struct sl_slice needle, size_t *from)
{
	const __m128i first = _mm_set1_epi8(needle.ptr[0]);
	const __m128i last = _mm_set1_epi8(needle.ptr[needle.len - 1]);

	for (; *from + needle.len + 15 <= a.len; *from += 16) {
		const char *at = a.ptr + *from;
		__m128i begins = _mm_loadu_si128((const __m128i *)(const void *)at);
		__m128i ends = _mm_loadu_si128((const __m128i *)(const void *)(at + needle.len - 1));
		int places = _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(begins, first),
		                                             _mm_cmpeq_epi8(ends, last)));

		if (is_at_any(a, needle, (unsigned)places, from))
			return true;
	}
	return false;
}
#endif

ptrdiff_t
sl_slice_search(struct sl_slice a, struct sl_slice needle)
{
	size_t from = 0;

	if (needle.len == 0)
		return 0;
#ifdef SL_AVX2
	if (a.len >= 256 && needle.len <= a.len - 63 && sl_has_avx2())
		return search_64(a, needle, &from) ? (ptrdiff_t)from : -1;
#endif
#ifdef __SSE2__
	if (search_16(a, needle, &from))
		return (ptrdiff_t)from;
#endif
	for (size_t i = from; i + needle.len <= a.len; i++) {
		const char *at = memchr(a.ptr + i, needle.ptr[0], a.len - needle.len - i + 1);

		if (!at)
			return -1;
		i = (size_t)(at - a.ptr);
		if (memcmp(at, needle.ptr, needle.len) == 0)
			return (ptrdiff_t)i;
	}
	return -1;
}

struct sl_slice
sl_slice_trim_ends(struct sl_slice a)
{
	while (a.len && blank(a.ptr[0])) {
		a.ptr++;
		a.len--;
	}
	while (a.len && blank(a.ptr[a.len - 1]))
		a.len--;
	return a;
}

struct sl_slice
sl_slice_cut(struct sl_slice *rest, char c)
{
	ptrdiff_t at = sl_slice_find(*rest, c);
	struct sl_slice head = *rest;

	if (at < 0) {
		*rest = SL_SLICE_NONE;
		return head;
	}
	head.len = (size_t)at;
	*rest = sl_slice_from(*rest, (size_t)at + 1);
	return head;
}

bool
sl_slice_i64(struct sl_slice a, int64_t *out)
{
	bool negative = a.len > 0 && a.ptr[0] == '-';
	size_t i = negative ? 1 : 0;
	int64_t value = 0;

	if (i == a.len)
		return false;
	for (; i < a.len; i++) {
		char c = a.ptr[i];

		if (c < '0' || c > '9')
			return false;
		/* Accumulated downwards so that INT64_MIN is reachable. */
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_sub_overflow(value, c - '0', &value))
			return false;
	}
	if (!negative && __builtin_sub_overflow((int64_t)0, value, &value))
		return false;
	*out = value;
	return true;
}

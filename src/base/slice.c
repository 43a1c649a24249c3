/* slice.c - questions about borrowed bytes. */
#include "base/slice.h"

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

bool
sl_slice_ieq(struct sl_slice a, struct sl_slice b)
{
	if (a.len != b.len)
		return false;
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

#ifdef __SSE2__
/* Where the needle is, or where a search byte by byte goes on: places where its first and
 * its last byte are right, sixteen looked at together, are few in any text. */
static size_t
search_blocks(struct sl_slice a, struct sl_slice needle, bool *found)
{
	const __m128i first = _mm_set1_epi8(needle.ptr[0]);
	const __m128i last = _mm_set1_epi8(needle.ptr[needle.len - 1]);
	size_t i = 0;

	for (; i + needle.len + 15 <= a.len; i += 16) {
		const char *at = a.ptr + i;
		__m128i begins = _mm_loadu_si128((const __m128i *)(const void *)at);
		__m128i ends = _mm_loadu_si128((const __m128i *)(const void *)(at + needle.len - 1));
		int mask = _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(begins, first),
		                                           _mm_cmpeq_epi8(ends, last)));

		for (; mask; mask &= mask - 1) {
			size_t place = i + (size_t)__builtin_ctz((unsigned)mask);

			if (memcmp(a.ptr + place, needle.ptr, needle.len) == 0) {
				*found = true;
				return place;
			}
		}
	}
	return i;
}
#endif

ptrdiff_t
sl_slice_search(struct sl_slice a, struct sl_slice needle)
{
	size_t from = 0;
	bool found = false;

	if (needle.len == 0)
		return 0;
#ifdef __SSE2__
	from = search_blocks(a, needle, &found);
	if (found)
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

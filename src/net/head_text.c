/* head_text.c - fields as lines of a head, judged in the same pass that copies them.
 *
 * Whatever is sent passes here, wherever it came from: no caller's promise that a field is
 * valid has to be believed. Names and values go through the same registers to be copied and
 * to be looked at, and what was seen is asked once, behind the last field. Nearly all heads
 * are made of a-z, 0-9 and '-' in names and of no control byte in values; where one holds
 * anything else, every field is asked the slow way.
 */
#include "net/head_text.h"

#include "base/header_block.h"

size_t
sl_fields_size(const struct sl_header *fields, size_t count)
{
	size_t size = 4 * count;

	for (size_t i = 0; i < count; i++)
		size += fields[i].name.len + fields[i].value.len;
	return size;
}

bool
sl_fields_are_valid(const struct sl_header *fields, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!sl_header_is_valid(fields[i].name, fields[i].value))
			return false;
	return true;
}

#ifdef __SSE2__
/* All bits of each byte that is no usual one. */
static inline __m128i
odd_in_name(__m128i block)
{
	return _mm_andnot_si128(sl_block_name(block), _mm_set1_epi8(-1));
}

static inline __attribute__((always_inline)) void
put_block(char *at, const char *from, __m128i *odd, __m128i (*odd_in)(__m128i block))
{
	__m128i block = sl_block_load(from);

	_mm_storeu_si128((__m128i *)(void *)at, block);
	*odd = _mm_or_si128(*odd, odd_in(block));
}

/* Copies by blocks of which the last one overlaps the one before, and adds to *odd what
 * `odd_in` says of all of them. No byte of the source's neighbours is read. */
static inline __attribute__((always_inline)) char *
put_run(char *at, struct sl_slice run, __m128i *odd, __m128i (*odd_in)(__m128i block))
{
	const char *from = run.ptr;
	size_t len = run.len;

	if (len >= 16) {
		for (size_t i = 0; i + 16 < len; i += 16)
			put_block(at + i, from + i, odd, odd_in);
		put_block(at + len - 16, from + len - 16, odd, odd_in);
	} else if (len >= 8) {
		__m128i low = _mm_loadl_epi64((const __m128i *)(const void *)from);
		__m128i high = _mm_loadl_epi64((const __m128i *)(const void *)(from + len - 8));

		_mm_storel_epi64((__m128i *)(void *)at, low);
		_mm_storel_epi64((__m128i *)(void *)(at + len - 8), high);
		*odd = _mm_or_si128(*odd, odd_in(_mm_unpacklo_epi64(low, high)));
	} else if (len >= 4) {
		uint32_t low, high;
		__m128i block;

		memcpy(&low, from, sizeof(low));
		memcpy(&high, from + len - sizeof(high), sizeof(high));
		memcpy(at, &low, sizeof(low));
		memcpy(at + len - sizeof(high), &high, sizeof(high));
		block = _mm_unpacklo_epi32(_mm_cvtsi32_si128((int)low), _mm_cvtsi32_si128((int)high));
		*odd = _mm_or_si128(*odd, odd_in(_mm_unpacklo_epi64(block, block)));
	} else {
		for (size_t i = 0; i < len; i++) {
			at[i] = from[i];
			*odd = _mm_or_si128(*odd, odd_in(_mm_set1_epi8(from[i])));
		}
	}
	return at + len;
}

char *
sl_put_fields(char *at, const struct sl_header *fields, size_t count)
{
	__m128i odd = _mm_setzero_si128();
	bool bare = false; /* a name without a byte, or space at an end of a value */

	for (size_t i = 0; i < count; i++) {
		const struct sl_slice name = fields[i].name, value = fields[i].value;

		at = put_run(at, name, &odd, odd_in_name);
		memcpy(at, ": ", 2);
		at = put_run(at + 2, value, &odd, sl_block_control);
		memcpy(at, "\r\n", 2);
		at += 2;
		bare |= name.len == 0;
		if (value.len)
			bare |= (unsigned char)value.ptr[0] <= ' ' ||
			        (unsigned char)value.ptr[value.len - 1] <= ' ';
	}
	if ((bare || _mm_movemask_epi8(odd)) && !sl_fields_are_valid(fields, count))
		return NULL;
	return at;
}
#else
char *
sl_put_fields(char *at, const struct sl_header *fields, size_t count)
{
	if (!sl_fields_are_valid(fields, count))
		return NULL;
	for (size_t i = 0; i < count; i++) {
		at = sl_put_text(at, fields[i].name);
		memcpy(at, ": ", 2);
		at = sl_put_text(at + 2, fields[i].value);
		memcpy(at, "\r\n", 2);
		at += 2;
	}
	return at;
}
#endif

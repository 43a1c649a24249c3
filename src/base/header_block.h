/* header_block.h - what the bytes of header fields may be, sixteen at once (SSE2 only).
 *
 * The usual bytes alone: a block with any other has to be looked at byte by byte, as
 * sl_header_is_valid does.
 */
#ifndef SL_BASE_HEADER_BLOCK_H
#define SL_BASE_HEADER_BLOCK_H

#ifdef __SSE2__
#include <emmintrin.h>

static inline __m128i
sl_block_load(const char *at)
{
	return _mm_loadu_si128((const __m128i *)(const void *)at);
}

/* All bits of each byte that is at most `span` above `first`. */
static inline __m128i
sl_block_within(__m128i block, char first, char span)
{
	__m128i above = _mm_sub_epi8(block, _mm_set1_epi8(first));

	return _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8(span)), above);
}

/* All bits of each byte that is more than `span` above `first`, or below it. */
static inline __m128i
sl_block_beyond(__m128i block, char first, unsigned char span)
{
	__m128i above = _mm_sub_epi8(block, _mm_set1_epi8(first));

	return _mm_cmpeq_epi8(_mm_max_epu8(above, _mm_set1_epi8((char)(span + 1))), above);
}

/* All bits of each byte that is a-z or '-', which nearly all names are made of. */
static inline __m128i
sl_block_name(__m128i block)
{
	return _mm_or_si128(sl_block_within(block, 'a', 'z' - 'a'),
	                    _mm_cmpeq_epi8(block, _mm_set1_epi8('-')));
}

/* All bits of each byte that is below ' ' or DEL. */
static inline __m128i
sl_block_control(__m128i block)
{
	return _mm_or_si128(sl_block_within(block, 0, ' ' - 1),
	                    _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f)));
}
#endif

#endif

/* json_lex.h - byte-level kernels shared by the JSON files; private to them.
 *
 * All take [p, end) and never read outside it.
 */
#ifndef SL_BASE_JSON_LEX_H
#define SL_BASE_JSON_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/slice.h"
#include "base/utf8.h"

/* Whether the raw bytes between quotes, their escapes resolved, equal text. */
bool sl_json_text_is(struct sl_slice raw, struct sl_slice text);

static inline bool
sl_json_is_space(uint8_t c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool
sl_json_is_digit(uint8_t c)
{
	return (uint8_t)(c - '0') <= 9;
}

static inline const uint8_t *
sl_json_skip_space(const uint8_t *p, const uint8_t *end)
{
	/* Mostly there is none. */
	while (p < end && *p <= ' ' && sl_json_is_space(*p))
		p++;
	return p;
}

/* Value of a hexadecimal digit, -1 when it is none. */
static inline int
sl_json_hex(uint8_t c)
{
	if (sl_json_is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether a byte stands for itself in a string: ASCII, no control character,
 * no quote, no backslash. */
static inline bool
sl_json_is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

#ifdef __SSE2__
/* The high bit of each byte that is not plain. */
static inline __m128i
sl_json_not_plain(__m128i bytes)
{
	__m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
	__m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
	/* Signed: true for control characters and for everything over 0x7f. */
	__m128i outside = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));

	return _mm_or_si128(_mm_or_si128(quote, backslash), outside);
}

/* All bits of each byte that ends or breaks a run inside a string: a control
 * character, a quote, a backslash. */
static inline __m128i
sl_json_special(__m128i bytes)
{
	__m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
	__m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
	__m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);

	return _mm_or_si128(_mm_or_si128(quote, backslash), control);
}

static inline __m128i
sl_json_load(const uint8_t *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}
#endif

/* The first byte from p on that ends or breaks a run inside a string, or end. Text beyond
 * ASCII is a run like any other. */
static inline const uint8_t *
sl_json_skip_text(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
	if (end - p >= 16) {
		int mask = _mm_movemask_epi8(sl_json_special(sl_json_load(p)));

		if (mask)
			return p + __builtin_ctz((unsigned)mask);
		p += 16;
	}
	while (end - p >= 64) {
		__m128i a = sl_json_special(sl_json_load(p));
		__m128i b = sl_json_special(sl_json_load(p + 16));
		__m128i c = sl_json_special(sl_json_load(p + 32));
		__m128i d = sl_json_special(sl_json_load(p + 48));

		if (_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d))))
			break;
		p += 64;
	}
	while (end - p >= 16) {
		int mask = _mm_movemask_epi8(sl_json_special(sl_json_load(p)));

		if (mask)
			return p + __builtin_ctz((unsigned)mask);
		p += 16;
	}
#endif
	while (p < end && *p >= 0x20 && *p != '"' && *p != '\\')
		p++;
	return p;
}

/* The first byte from p on that is not plain, or end. */
static inline const uint8_t *
sl_json_skip_plain(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
	if (end - p >= 16) {
		int mask = _mm_movemask_epi8(sl_json_not_plain(sl_json_load(p)));

		if (mask)
			return p + __builtin_ctz((unsigned)mask);
		p += 16;
	}
	while (end - p >= 64) {
		__m128i a = sl_json_not_plain(sl_json_load(p));
		__m128i b = sl_json_not_plain(sl_json_load(p + 16));
		__m128i c = sl_json_not_plain(sl_json_load(p + 32));
		__m128i d = sl_json_not_plain(sl_json_load(p + 48));

		if (_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d))))
			break;
		p += 64;
	}
	while (end - p >= 16) {
		int mask = _mm_movemask_epi8(sl_json_not_plain(sl_json_load(p)));

		if (mask)
			return p + __builtin_ctz((unsigned)mask);
		p += 16;
	}
#endif
	while (p < end && sl_json_is_plain(*p))
		p++;
	return p;
}

#endif

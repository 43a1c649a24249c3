/* utf8.c - validate UTF-8, sixteen bytes at a time where the CPU can.
 *
 * The vector code follows J. Keiser and D. Lemire, "Validating UTF-8 In Less
 * Than One Instruction Per Byte" (2020): whether two neighbouring bytes can
 * stand together depends on three nibbles, so three table look-ups, ANDed,
 * leave a bit for each rule that the pair breaks. What two bytes cannot tell,
 * that a second or third continuation was due, is told by the leads two and
 * three bytes before. It only answers yes or no; the place is found byte by
 * byte, since bad input need not be fast.
 */
#include "base/utf8.h"

#if defined(__x86_64__)
#include <tmmintrin.h>
#endif

/* Without the vectors, or to find the place. */
static size_t
check_bytes(struct sl_slice text)
{
	const uint8_t *start = (const uint8_t *)text.ptr, *p = start, *end = p + text.len;

	while (p < end) {
		size_t size = *p < 0x80 ? 1 : sl_utf8_size(p, end);

		if (size == 0)
			break;
		p += size;
	}
	return (size_t)(p - start);
}

#if defined(__x86_64__)

/* The rules, by what is broken. TOO_LARGE_8 and OVERLONG_4 share a bit: they
 * need the same second byte and differ in the first. */
enum {
	TOO_SHORT = 1 << 0,   /* a lead without continuation */
	TOO_LONG = 1 << 1,    /* ASCII before a continuation */
	OVERLONG_3 = 1 << 2,  /* e0 80..9f */
	TOO_LARGE = 1 << 3,   /* f4 90..bf, f5.. 90..bf */
	SURROGATE = 1 << 4,   /* ed a0..bf */
	OVERLONG_2 = 1 << 5,  /* c0, c1 */
	TOO_LARGE_8 = 1 << 6, /* f5.. 80..8f */
	OVERLONG_4 = 1 << 6,  /* f0 80..8f */
	TWO_TAILS = 1 << 7,   /* wrong unless a longer lead stands before */
	ANY_LOW = TOO_SHORT | TOO_LONG | TWO_TAILS,
	LARGE_LOW = ANY_LOW | TOO_LARGE | TOO_LARGE_8,
	TAIL = TOO_LONG | OVERLONG_2 | TWO_TAILS,
};

#define TABLE __attribute__((aligned(16))) static const uint8_t

TABLE first_high[16] = {
	TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
	TWO_TAILS, TWO_TAILS, TWO_TAILS, TWO_TAILS,
	TOO_SHORT | OVERLONG_2, TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE,
	TOO_SHORT | TOO_LARGE | TOO_LARGE_8 | OVERLONG_4,
};
TABLE first_low[16] = {
	ANY_LOW | OVERLONG_2 | OVERLONG_3 | OVERLONG_4, ANY_LOW | OVERLONG_2, ANY_LOW, ANY_LOW,
	ANY_LOW | TOO_LARGE, LARGE_LOW, LARGE_LOW, LARGE_LOW, LARGE_LOW, LARGE_LOW, LARGE_LOW,
	LARGE_LOW, LARGE_LOW, LARGE_LOW | SURROGATE, LARGE_LOW, LARGE_LOW,
};
TABLE second_high[16] = {
	TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
	TAIL | OVERLONG_3 | TOO_LARGE_8 | OVERLONG_4, TAIL | OVERLONG_3 | TOO_LARGE,
	TAIL | SURROGATE | TOO_LARGE, TAIL | SURROGATE | TOO_LARGE,
	TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
};

#define SSSE3 __attribute__((target("ssse3")))

SSSE3 static inline __m128i
load_table(const uint8_t table[16])
{
	return _mm_load_si128((const __m128i *)(const void *)table);
}

SSSE3 static inline __m128i
high_nibbles(__m128i bytes)
{
	return _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(0x0f));
}

/* Not zero where `bytes`, which follow `before`, break a rule. */
SSSE3 static inline __m128i
broken_rules(__m128i bytes, __m128i before)
{
	__m128i prev1 = _mm_alignr_epi8(bytes, before, 15);
	__m128i prev2 = _mm_alignr_epi8(bytes, before, 14);
	__m128i prev3 = _mm_alignr_epi8(bytes, before, 13);
	__m128i low = _mm_and_si128(prev1, _mm_set1_epi8(0x0f));
	__m128i pair = _mm_and_si128(
	    _mm_and_si128(_mm_shuffle_epi8(load_table(first_high), high_nibbles(prev1)),
	                  _mm_shuffle_epi8(load_table(first_low), low)),
	    _mm_shuffle_epi8(load_table(second_high), high_nibbles(bytes)));
	/* The high bit where prev2 >= e0 or prev3 >= f0: there two tails are
	 * due, anywhere else they are wrong. */
	__m128i due = _mm_or_si128(_mm_subs_epu8(prev2, _mm_set1_epi8(0xe0 - 0x80)),
	                           _mm_subs_epu8(prev3, _mm_set1_epi8(0xf0 - 0x80)));

	return _mm_xor_si128(_mm_and_si128(due, _mm_set1_epi8((char)0x80)), pair);
}

SSSE3 static bool
is_valid_ssse3(struct sl_slice text)
{
	const char *p = text.ptr, *end = p + text.len;
	__m128i before = _mm_setzero_si128(), broken = _mm_setzero_si128();
	char last[16] = { 0 };

	for (; end - p >= 16; p += 16) {
		__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);

		if (_mm_movemask_epi8(_mm_or_si128(bytes, before)))
			broken = _mm_or_si128(broken, broken_rules(bytes, before));
		before = bytes;
	}
	/* Padded with NUL, which shows a sequence that the end cuts off. */
	memcpy(last, p, (size_t)(end - p));
	broken = _mm_or_si128(broken, broken_rules(_mm_loadu_si128((const __m128i *)(const void *)last),
	                                           before));
	return _mm_movemask_epi8(_mm_cmpeq_epi8(broken, _mm_setzero_si128())) == 0xffff;
}

#endif

size_t
sl_utf8_check(struct sl_slice text)
{
#if defined(__x86_64__)
	if (text.len >= 64 && __builtin_cpu_supports("ssse3") && is_valid_ssse3(text))
		return text.len;
#endif
	return check_bytes(text);
}

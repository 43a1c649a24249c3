/* headers.c - look-ups and rules that hold for every header field. */
#include "base/headers.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

const struct sl_header *
sl_headers_look(const struct sl_headers *headers, const char *name, size_t len)
{
	for (size_t i = 0; i < headers->count; i++) {
		const struct sl_slice *at = &headers->items[i].name;

		/* The last byte tells x-... apart sooner than the first. */
		if (at->len == len && len > 0 && at->ptr[len - 1] == name[len - 1] &&
		    memcmp(at->ptr, name, len) == 0)
			return &headers->items[i];
	}
	return NULL;
}

bool
sl_header_is_hop_by_hop(struct sl_slice name)
{
	switch (name.len) {
	case 2:
		return sl_slice_is(name, "te");
	case 7:
		return sl_slice_is(name, "upgrade") || sl_slice_is(name, "trailer");
	case 10:
		return sl_slice_is(name, "connection") || sl_slice_is(name, "keep-alive");
	case 14:
		return sl_slice_is(name, "http2-settings");
	case 16:
		return sl_slice_is(name, "proxy-connection");
	case 17:
		return sl_slice_is(name, "transfer-encoding");
	case 18:
		return sl_slice_is(name, "proxy-authenticate");
	case 19:
		return sl_slice_is(name, "proxy-authorization");
	default:
		return false;
	}
}

#define ONES ((uint64_t)0x0101010101010101)
#define HIGH ((uint64_t)0x8080808080808080)

/* Eight bytes, or four of them twice; len is 4 or more. `at` is where they begin. */
static uint64_t
load(const char *at, size_t len)
{
	uint64_t word;
	uint32_t half;

	if (len >= sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		return word;
	}
	memcpy(&half, at, sizeof(half));
	return half | (uint64_t)half << 32;
}

#ifdef __SSE2__
/* Whether all of a run of 4 bytes or more is good, by blocks of 16 of which the last one
 * overlaps the one before. A shorter run's block is its first eight and last eight bytes. */
static inline __attribute__((always_inline)) bool
all_good(struct sl_slice run, bool (*good)(__m128i block))
{
	if (run.len < 16) {
		size_t step = run.len >= 8 ? 8 : 4;

		return good(_mm_set_epi64x((long long)load(run.ptr + run.len - step, run.len),
		                           (long long)load(run.ptr, run.len)));
	}
	for (size_t at = 0; at + 16 < run.len; at += 16)
		if (!good(_mm_loadu_si128((const __m128i *)(const void *)(run.ptr + at))))
			return false;
	return good(_mm_loadu_si128((const __m128i *)(const void *)(run.ptr + run.len - 16)));
}

/* All bits of each byte that is at most `span` above `first`. */
static inline __m128i
within(__m128i block, char first, char span)
{
	__m128i above = _mm_sub_epi8(block, _mm_set1_epi8(first));

	return _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8(span)), above);
}

/* Whether all bytes are of a-z, 0-9 or '-', which nearly all names are. */
static inline bool
is_plain_name(__m128i block)
{
	__m128i letters = _mm_or_si128(within(block, 'a', 'z' - 'a'), within(block, '0', 9));
	__m128i dashes = _mm_cmpeq_epi8(block, _mm_set1_epi8('-'));

	return _mm_movemask_epi8(_mm_or_si128(letters, dashes)) == 0xffff;
}

/* Whether none is below ' ' or DEL. */
static inline bool
is_plain_value(__m128i block)
{
	__m128i control = within(block, 0, ' ' - 1);
	__m128i del = _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f));

	return _mm_movemask_epi8(_mm_or_si128(control, del)) == 0;
}
#else
/* The same by words of eight bytes. */
static inline __attribute__((always_inline)) bool
all_good(struct sl_slice run, bool (*good)(uint64_t word))
{
	size_t step = run.len >= 8 ? 8 : 4;

	for (size_t at = 0; at + step < run.len; at += step)
		if (!good(load(run.ptr + at, run.len)))
			return false;
	return good(load(run.ptr + run.len - step, run.len));
}

/* With bytes below 0x80, x + (0x80 - n) has the high bit exactly when x >= n. */
static inline bool
is_plain_name(uint64_t word)
{
	uint64_t letter = (word + ONES * (0x80 - 'a')) & ~(word + ONES * (0x80 - 'z' - 1));
	uint64_t digit = (word + ONES * (0x80 - '0')) & ~(word + ONES * (0x80 - '9' - 1));
	uint64_t dash = ~((word ^ ONES * '-') + ONES * 0x7f);

	return (((letter | digit | dash) & ~word) & HIGH) == HIGH;
}

/* Subtracting sets the high bit of a byte that was too small and had it clear. Exact for
 * the word as a whole. */
static inline bool
is_plain_value(uint64_t word)
{
	uint64_t del = word ^ (ONES * 0x7f);

	return ((((word - ONES * ' ') & ~word) | ((del - ONES) & ~del)) & HIGH) == 0;
}
#endif

/* tchar of RFC 9110 5.6.2 without upper case, one bit for each byte:
 * !#$%&'*+-.^_`|~ digits a-z. Every field of a request passes here three times. */
static bool
is_name(struct sl_slice name)
{
	static const uint64_t allowed[4] = { 0x03ff6cfa00000000, 0x57ffffffc0000000, 0, 0 };
	uint64_t all = name.len > 0;

	if (name.len >= 4 && all_good(name, is_plain_name))
		return true;
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.ptr[i];

		all &= allowed[c >> 6] >> (c & 63);
	}
	return all & 1;
}

/* Visible, space, tab, and bytes over 0x7f (obs-text). */
static bool
is_value_byte(unsigned char c)
{
	return (c >= ' ' || c == '\t') && c != 0x7f;
}

static bool
is_value(struct sl_slice value)
{
	if (value.len >= 4 && all_good(value, is_plain_value))
		return true;
	for (size_t i = 0; i < value.len; i++)
		if (!is_value_byte((unsigned char)value.ptr[i]))
			return false;
	return true;
}

bool
sl_header_is_valid(struct sl_slice name, struct sl_slice value)
{
	if (!is_name(name) || !is_value(value))
		return false;
	return value.len == 0 || (value.ptr[0] != ' ' && value.ptr[0] != '\t' &&
	                          value.ptr[value.len - 1] != ' ' &&
	                          value.ptr[value.len - 1] != '\t');
}

static inline void
lower_word(char *at)
{
	uint64_t word, low, upper;

	memcpy(&word, at, sizeof(word));
	low = word & ~HIGH;
	upper = (low + ONES * (0x80 - 'A')) & ~(low + ONES * (0x80 - 'Z' - 1)) & ~word & HIGH;
	word |= upper >> 2;
	memcpy(at, &word, sizeof(word));
}

void
sl_header_lower(char *name, size_t len)
{
	if (len >= 8) {
		for (size_t at = 0; at + 8 < len; at += 8)
			lower_word(name + at);
		lower_word(name + len - 8);
		return;
	}
	for (size_t at = 0; at < len; at++)
		if (name[at] >= 'A' && name[at] <= 'Z')
			name[at] = (char)(name[at] | 0x20);
}

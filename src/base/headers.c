/* headers.c - look-ups and rules that hold for every header field. */
#include "base/headers.h"

#include "base/header_block.h"

const struct sl_header *
sl_headers_look(const struct sl_headers *headers, const char *name, size_t len)
{
	const struct sl_header *const end = headers->items + headers->count;

	/* The last byte tells x-... apart sooner than the first. */
	for (const struct sl_header *at = headers->items; len > 0 && at < end; at++)
		if (at->name.len == len && at->name.ptr[len - 1] == name[len - 1] &&
		    memcmp(at->name.ptr, name, len) == 0)
			return at;
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

/* All of a run of 1 to 15 bytes, some of them twice, and `fill` in what is left of 16. */
static inline void
load_short(struct sl_slice run, char fill, uint64_t *low, uint64_t *high)
{
	if (run.len >= 4) {
		size_t step = run.len >= 8 ? 8 : 4;

		*low = load(run.ptr, run.len);
		*high = load(run.ptr + run.len - step, run.len);
		return;
	}
	*high = ONES * (unsigned char)fill;
	*low = *high << 24 | (uint64_t)(unsigned char)run.ptr[0] |
	       (uint64_t)(unsigned char)run.ptr[run.len / 2] << 8 |
	       (uint64_t)(unsigned char)run.ptr[run.len - 1] << 16;
}

#ifdef __SSE2__
/* Whether all of a run that is not empty is good, as `fill` is, by blocks of 16 of which the
 * last one overlaps the one before. */
static inline __attribute__((always_inline)) bool
all_good(struct sl_slice run, char fill, bool (*good)(__m128i block))
{
	uint64_t low, high;

	if (run.len < 16) {
		load_short(run, fill, &low, &high);
		return good(_mm_set_epi64x((long long)high, (long long)low));
	}
	for (size_t at = 0; at + 16 < run.len; at += 16)
		if (!good(sl_block_load(run.ptr + at)))
			return false;
	return good(sl_block_load(run.ptr + run.len - 16));
}

/* Whether all bytes are of a-z or '-', which nearly all names are. */
static inline bool
is_plain_name(__m128i block)
{
	return _mm_movemask_epi8(sl_block_name(block)) == 0xffff;
}

/* Whether none is below ' ' or DEL. */
static inline bool
is_plain_value(__m128i block)
{
	return _mm_movemask_epi8(sl_block_control(block)) == 0;
}
#else
/* The same by words of eight bytes. */
static inline __attribute__((always_inline)) bool
all_good(struct sl_slice run, char fill, bool (*good)(uint64_t word))
{
	uint64_t low, high;

	if (run.len < 16) {
		load_short(run, fill, &low, &high);
		return good(low) && good(high);
	}
	for (size_t at = 0; at + 8 < run.len; at += 8)
		if (!good(load(run.ptr + at, run.len)))
			return false;
	return good(load(run.ptr + run.len - 8, run.len));
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
 * !#$%&'*+-.^_`|~ digits a-z. */
static __attribute__((noinline)) bool
is_rare_name(struct sl_slice name)
{
	static const uint64_t allowed[4] = { 0x03ff6cfa00000000, 0x57ffffffc0000000, 0, 0 };
	uint64_t all = 1;

	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.ptr[i];

		all &= allowed[c >> 6] >> (c & 63);
	}
	return all & 1;
}

/* Visible, space, tab, and bytes over 0x7f (obs-text). */
static __attribute__((noinline)) bool
is_rare_value(struct sl_slice value)
{
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.ptr[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

bool
sl_header_is_valid(struct sl_slice name, struct sl_slice value)
{
	if (name.len == 0 || (!all_good(name, 'a', is_plain_name) && !is_rare_name(name)))
		return false;
	if (value.len == 0)
		return true;
	/* Of the bytes up to ' ', a value may hold only space and tab, and neither at an end. */
	return (unsigned char)value.ptr[0] > ' ' && (unsigned char)value.ptr[value.len - 1] > ' ' &&
	       (all_good(value, 'a', is_plain_value) || is_rare_value(value));
}

#ifdef __SSE2__
static inline __m128i
lower_block(__m128i block)
{
	return _mm_xor_si128(block, _mm_and_si128(sl_block_within(block, 'A', 'Z' - 'A'),
	                                          _mm_set1_epi8(0x20)));
}

static inline void
lower_16(char *at)
{
	_mm_storeu_si128((__m128i *)(void *)at, lower_block(sl_block_load(at)));
}

static inline void
lower_8(char *at)
{
	__m128i block = _mm_loadl_epi64((const __m128i *)(const void *)at);

	_mm_storel_epi64((__m128i *)(void *)at, lower_block(block));
}
#else
static inline void
lower_8(char *at)
{
	uint64_t word, low, upper;

	memcpy(&word, at, sizeof(word));
	low = word & ~HIGH;
	upper = (low + ONES * (0x80 - 'A')) & ~(low + ONES * (0x80 - 'Z' - 1)) & ~word & HIGH;
	word |= upper >> 2;
	memcpy(at, &word, sizeof(word));
}

static inline void
lower_16(char *at)
{
	lower_8(at);
	lower_8(at + 8);
}
#endif

/* By blocks of which the last one overlaps the one before. */
void
sl_header_lower(char *name, size_t len)
{
	if (len >= 16) {
		for (size_t at = 0; at + 16 < len; at += 16)
			lower_16(name + at);
		lower_16(name + len - 16);
	} else if (len >= 8) {
		lower_8(name);
		lower_8(name + len - 8);
	} else {
		for (size_t at = 0; at < len; at++)
			if (name[at] >= 'A' && name[at] <= 'Z')
				name[at] = (char)(name[at] | 0x20);
	}
}

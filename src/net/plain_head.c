/* plain_head.c - one pass over the lines of a plain head, by blocks of 16 bytes. */
#include "net/plain_head.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
	HEAD_MAX = 64 * 1024, /* what is longer is not plain */
	LENGTH_DIGITS = 18,   /* of any number that fits */
};

/* The first byte from at on that is below `lowest`, DEL or beyond ASCII. */
static inline const char *
skip_text(const char *at, const char *end, char lowest)
{
#ifdef __SSE2__
	for (; end - at >= 16; at += 16) {
		__m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
		/* Signed: what is beyond ASCII is below. */
		__m128i odd = _mm_or_si128(_mm_cmplt_epi8(block, _mm_set1_epi8(lowest)),
		                           _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f)));
		unsigned mask = (unsigned)_mm_movemask_epi8(odd);

		if (mask)
			return at + __builtin_ctz(mask);
	}
#endif
	while (at < end && (signed char)*at >= lowest && *at != 0x7f)
		at++;
	return at;
}

static inline bool
is_name_byte(char c)
{
	return (unsigned char)((c | 0x20) - 'a') <= 'z' - 'a' || (unsigned char)(c - '0') <= 9 ||
	       c == '-' || c == '_';
}

#ifdef __SSE2__
/* All bits of each byte that is at most `span` above `first`. */
static inline __m128i
within(__m128i block, char first, char span)
{
	__m128i above = _mm_sub_epi8(block, _mm_set1_epi8(first));

	return _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8(span)), above);
}
#endif

/* The first byte from at on that is no letter, digit, '-' or '_'. */
static inline const char *
skip_name(const char *at, const char *end)
{
#ifdef __SSE2__
	for (; end - at >= 16; at += 16) {
		__m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
		__m128i good = within(_mm_or_si128(block, _mm_set1_epi8(0x20)), 'a', 'z' - 'a');
		unsigned mask;

		good = _mm_or_si128(good, within(block, '0', 9));
		good = _mm_or_si128(good, _mm_cmpeq_epi8(block, _mm_set1_epi8('-')));
		good = _mm_or_si128(good, _mm_cmpeq_epi8(block, _mm_set1_epi8('_')));
		mask = (unsigned)_mm_movemask_epi8(good) ^ 0xffff;
		if (mask)
			return at + __builtin_ctz(mask);
	}
#endif
	while (at < end && is_name_byte(*at))
		at++;
	return at;
}

static bool
read_length(struct sl_plain_head *head, struct sl_slice value)
{
	int64_t length = 0;

	if (head->content_length >= 0 || value.len == 0 || value.len > LENGTH_DIGITS)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] < '0' || value.ptr[i] > '9')
			return false;
		length = length * 10 + (value.ptr[i] - '0');
	}
	head->content_length = length;
	return true;
}

/* Whether a field leaves the framing and the connection as they are, or is the one length. */
static bool
is_plain_field(struct sl_plain_head *head, struct sl_slice name, struct sl_slice value)
{
	char first = (char)(name.ptr[0] | 0x20);

	switch (name.len) {
	case 7:
		return first != 'u' || !sl_slice_ieq(name, SL_SLICE("upgrade"));
	case 10:
		return first != 'c' || !sl_slice_ieq(name, SL_SLICE("connection")) ||
		       sl_slice_ieq(value, SL_SLICE("keep-alive"));
	case 14:
		return first != 'c' || !sl_slice_ieq(name, SL_SLICE("content-length")) ||
		       read_length(head, value);
	case 16:
		return first != 'p' || !sl_slice_ieq(name, SL_SLICE("proxy-connection"));
	case 17:
		return first != 't' || !sl_slice_ieq(name, SL_SLICE("transfer-encoding"));
	default:
		return true;
	}
}

size_t
sl_plain_fields(struct sl_plain_head *head, struct sl_slice text, size_t at)
{
	const char *start = text.ptr, *end, *line = start + at;

	end = start + (text.len < HEAD_MAX ? text.len : HEAD_MAX);
	head->count = 0;
	head->content_length = -1;
	while (end - line >= 2 && *line != '\r') {
		const char *colon = skip_name(line, end), *value, *stop;

		if (colon == line || colon == end || *colon != ':' || head->count == head->room)
			return 0;
		value = colon + 1;
		while (value < end && *value == ' ')
			value++;
		stop = skip_text(value, end, ' ');
		if (end - stop < 2 || stop[0] != '\r' || stop[1] != '\n' ||
		    !is_plain_field(head, sl_slice_make(line, (size_t)(colon - line)),
		                    sl_slice_make(value, (size_t)(stop - value))))
			return 0;
		head->fields[head->count++] = (struct sl_field_at){
			.name_at = (uint32_t)(line - start),
			.name_len = (uint32_t)(colon - line),
			.value_at = (uint32_t)(value - start),
			.value_len = (uint32_t)(stop - value),
		};
		line = stop + 2;
	}
	return end - line >= 2 && line[1] == '\n' ? (size_t)(line + 2 - start) : 0;
}

size_t
sl_plain_run(struct sl_slice text, size_t at, char lowest)
{
	return (size_t)(skip_text(text.ptr + at, text.ptr + text.len, lowest) - text.ptr);
}

/* plain_head.c - one pass over the lines of a plain head, by blocks of 16 bytes. */
#include "net/plain_head.h"

#include "base/header_block.h"

enum {
	HEAD_MAX = 64 * 1024, /* what is longer is not plain */
	LENGTH_DIGITS = 18,   /* of any number that fits */
};

/* From here on a block would go beyond the text's end. */
static inline const char *
tail_of(struct sl_slice text)
{
	return text.len < 16 ? text.ptr : text.ptr + text.len - 15;
}

/* The first byte from at on that is below `lowest`, DEL or beyond ASCII. */
static inline const char *
skip_text(const char *at, const char *tail, const char *end, char lowest)
{
#ifdef __SSE2__
	for (; at < tail; at += 16) {
		__m128i odd = sl_block_beyond(sl_block_load(at), lowest, (unsigned char)('~' - lowest));
		unsigned mask = (unsigned)_mm_movemask_epi8(odd);

		if (mask)
			return at + __builtin_ctz(mask);
	}
#endif
	(void)tail;
	while (at < end && *at >= lowest && *at <= '~')
		at++;
	return at;
}

/* Behind some of the letters and '-' from at on; skip_name_slowly() goes on from there. *upper
 * becomes other than 0 when one of them is upper case. */
static inline const char *
skip_name(const char *at, const char *tail, unsigned *upper)
{
#ifdef __SSE2__
	for (; at < tail; at += 16) {
		__m128i block = sl_block_load(at), folded = _mm_or_si128(block, _mm_set1_epi8(0x20));
		__m128i letters = sl_block_within(folded, 'a', 'z' - 'a');
		__m128i good = _mm_or_si128(letters, _mm_cmpeq_epi8(block, _mm_set1_epi8('-')));
		/* The bit that tells the cases apart becomes the highest of its byte. */
		__m128i uppers = _mm_andnot_si128(_mm_slli_epi16(block, 2), letters);
		unsigned mask = (unsigned)_mm_movemask_epi8(good) ^ 0xffff;

		if (mask) {
			*upper |= (unsigned)_mm_movemask_epi8(uppers) & (mask ^ (mask - 1));
			return at + __builtin_ctz(mask);
		}
		*upper |= (unsigned)_mm_movemask_epi8(uppers);
	}
#endif
	(void)tail, (void)upper;
	return at;
}

/* The first byte from at on that is no letter, digit, '-' or '_'. */
static __attribute__((noinline)) const char *
skip_name_slowly(const char *at, const char *end, bool *upper)
{
	for (; at < end; at++) {
		char c = *at;

		if ((unsigned char)((c | 0x20) - 'a') > 'z' - 'a' && (unsigned char)(c - '0') > 9 &&
		    c != '-' && c != '_')
			break;
		*upper |= (unsigned char)(c - 'A') <= 'Z' - 'A';
	}
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

/* Whether a name of this length, of which every byte was found to be one of a name's, is this
 * one in either case. */
static inline __attribute__((always_inline)) bool
is_named(const char *name, const char *known, size_t len)
{
	const uint64_t fold = 0x2020202020202020;
	uint64_t diff = 0, a, b;
	uint32_t c, d;

	for (size_t at = 0; at < len && len >= sizeof(a); at += sizeof(a)) {
		size_t from = at + sizeof(a) <= len ? at : len - sizeof(a);

		memcpy(&a, name + from, sizeof(a));
		memcpy(&b, known + from, sizeof(b));
		diff |= (a | fold) ^ b;
	}
	for (size_t at = 0; at < len && len < sizeof(a); at += sizeof(c)) {
		size_t from = at + sizeof(c) <= len ? at : len - sizeof(c);

		memcpy(&c, name + from, sizeof(c));
		memcpy(&d, known + from, sizeof(d));
		diff |= (c | (uint32_t)fold) ^ d;
	}
	return diff == 0;
}

#define KNOWN(name, literal) is_named((name).ptr, (literal), sizeof(literal) - 1)

/* Of the names that is_plain_field() knows. */
static inline uint64_t
known_marks(void)
{
	return SL_HEADER_MARK("host") | SL_HEADER_MARK("expect") | SL_HEADER_MARK("upgrade") |
	       SL_HEADER_MARK("connection") | SL_HEADER_MARK("content-length") |
	       SL_HEADER_MARK("proxy-connection") | SL_HEADER_MARK("transfer-encoding");
}

/* Whether a field leaves the framing and the connection as they are, or is the one length or
 * the one host. */
static __attribute__((noinline)) bool
is_plain_field(struct sl_plain_head *head, uint32_t index, struct sl_slice name,
               struct sl_slice value)
{
	switch (name.len) {
	case 4:
		if (!KNOWN(name, "host"))
			return true;
		head->host = index;
		return head->hosts++ == 0;
	case 6:
		return !KNOWN(name, "expect");
	case 7:
		return !KNOWN(name, "upgrade");
	case 10:
		return !KNOWN(name, "connection") || sl_slice_ieq(value, SL_SLICE("keep-alive"));
	case 14:
		return !KNOWN(name, "content-length") || read_length(head, value);
	case 16:
		return !KNOWN(name, "proxy-connection");
	case 17:
		return !KNOWN(name, "transfer-encoding");
	default:
		return true;
	}
}

size_t
sl_plain_fields(struct sl_plain_head *head, struct sl_slice text, size_t at)
{
	const struct sl_slice read = sl_slice_upto(text, HEAD_MAX);
	const char *start = text.ptr, *line = start + at;
	const char *end = start + read.len, *tail = tail_of(read);
	struct sl_field_at *field = head->fields, *const room = field + head->room;
	uint64_t marks = 0;
	unsigned upper = 0;
	bool more_upper = false;

	head->hosts = head->host = 0;
	head->content_length = -1;
	while (end - line >= 2 && *line != '\r') {
		const char *colon = skip_name(line, tail, &upper), *value = colon + 2, *stop;
		size_t name_len;
		uint64_t mark;

		if (end - colon < 3 || memcmp(colon, ": ", 2) != 0 || *value == ' ') {
			colon = skip_name_slowly(colon, end, &more_upper);
			if (colon == end || *colon != ':')
				return 0;
			for (value = colon + 1; value < end && *value == ' ';)
				value++;
		}
		stop = skip_text(value, tail, end, ' ');
		/* A space before the end would have to be cut off. */
		if (end - stop < 2 || memcmp(stop, "\r\n", 2) != 0 ||
		    (stop[-1] == ' ' && stop > value))
			return 0;
		name_len = (size_t)(colon - line);
		if (name_len == 0 || field == room)
			return 0;
		mark = sl_header_mark(line, name_len);
		marks |= mark;
		if ((mark & known_marks()) &&
		    !is_plain_field(head, (uint32_t)(field - head->fields),
		                    sl_slice_make(line, name_len),
		                    sl_slice_make(value, (size_t)(stop - value))))
			return 0;
		*field++ = (struct sl_field_at){
			.name_at = (uint32_t)(line - start),
			.name_len = (uint32_t)name_len,
			.value_at = (uint32_t)(value - start),
			.value_len = (uint32_t)(stop - value),
		};
		line = stop + 2;
	}
	head->count = (uint32_t)(field - head->fields);
	head->marks = marks;
	head->has_upper = upper != 0 || more_upper;
	head->size = (uint32_t)(line - start) + 2;
	return end - line >= 2 && line[1] == '\n' ? head->size : 0;
}

struct sl_headers
sl_plain_headers(const struct sl_plain_head *head, char *text, struct sl_header *items)
{
	const struct sl_field_at *fields = head->fields;
	const uint32_t count = head->count;

	for (uint32_t i = 0; i < count; i++) {
		items[i].name = sl_slice_make(text + fields[i].name_at, fields[i].name_len);
		items[i].value = sl_slice_make(text + fields[i].value_at, fields[i].value_len);
	}
	for (uint32_t i = 0; head->has_upper && i < count; i++)
		sl_header_lower(text + fields[i].name_at, fields[i].name_len);
	return (struct sl_headers){ .items = items, .count = count, .marks = head->marks,
		                    .lines_end = count ? text + head->size : NULL };
}

size_t
sl_plain_run(struct sl_slice text, size_t at, char lowest)
{
	return (size_t)(skip_text(text.ptr + at, tail_of(text), text.ptr + text.len, lowest) -
	                text.ptr);
}

/* head_text.c - fields as lines of a head, judged in the same pass that copies them.
 *
 * Whatever is sent passes here, wherever it came from: no caller's promise that a field is
 * valid has to be believed, but that of the reader which judged the same bytes. Names and
 * values go through the same registers to be copied and to be looked at, and what was seen is
 * asked once, behind the last field. Nearly all heads are made of a-z and '-' in names and of
 * no control byte in values; where one holds anything else, every field is asked the slow way.
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

/* Copies the first of the fields, whose name stands in the text, with those that follow it
 * there, as far as they are its lines. Returns how many they are. */
static size_t
put_lines(char **at, const struct sl_header *fields, size_t count, struct sl_slice lines)
{
	const char *const from = fields->name.ptr, *end = from;
	size_t used = 0, size;

	while (used < count && fields[used].name.ptr == end && fields[used].name.len > 0 &&
	       fields[used].value.ptr == end + fields[used].name.len + 2) {
		end = fields[used].value.ptr + fields[used].value.len + 2;
		used++;
	}
	size = (size_t)(end - from);
	if (used == 0 || end > lines.ptr + lines.len || memcmp(end - 2, "\r\n", 2) != 0)
		return 0;
	memcpy(*at, from, size);
	*at += size;
	return used;
}

#ifdef __SSE2__
/* What was seen so far. */
struct seen {
	__m128i names;  /* all ones where every byte was a usual one of a name */
	__m128i values; /* other than zero where one was none of a value */
};

static inline void
see_name(struct seen *seen, __m128i block)
{
	seen->names = _mm_and_si128(seen->names, sl_block_name(block));
}

static inline void
see_value(struct seen *seen, __m128i block)
{
	seen->values = _mm_or_si128(seen->values, sl_block_control(block));
}

typedef void see_fn(struct seen *seen, __m128i block);

static inline __attribute__((always_inline)) void
put_block(char *at, const char *from, struct seen *seen, see_fn *see)
{
	__m128i block = sl_block_load(from);

	_mm_storeu_si128((__m128i *)(void *)at, block);
	see(seen, block);
}

/* Copies by blocks of which the last one overlaps the one before. Nothing beside the run is
 * read. */
static inline __attribute__((always_inline)) char *
put_run(char *at, struct sl_slice run, struct seen *seen, see_fn *see)
{
	const char *from = run.ptr;
	size_t len = run.len;

	if (len >= 16) {
		put_block(at, from, seen, see);
		for (size_t i = 16; i + 16 < len; i += 16)
			put_block(at + i, from + i, seen, see);
		put_block(at + len - 16, from + len - 16, seen, see);
	} else if (len >= 8) {
		__m128i low = _mm_loadl_epi64((const __m128i *)(const void *)from);
		__m128i high = _mm_loadl_epi64((const __m128i *)(const void *)(from + len - 8));

		_mm_storel_epi64((__m128i *)(void *)at, low);
		_mm_storel_epi64((__m128i *)(void *)(at + len - 8), high);
		see(seen, _mm_unpacklo_epi64(low, high));
	} else if (len >= 4) {
		uint32_t low, high;
		__m128i block;

		memcpy(&low, from, sizeof(low));
		memcpy(&high, from + len - sizeof(high), sizeof(high));
		memcpy(at, &low, sizeof(low));
		memcpy(at + len - sizeof(high), &high, sizeof(high));
		block = _mm_unpacklo_epi32(_mm_cvtsi32_si128((int)low), _mm_cvtsi32_si128((int)high));
		see(seen, _mm_unpacklo_epi64(block, block));
	} else {
		/* Only names are ever empty here, and may not be. */
		if (len == 0)
			see(seen, _mm_setzero_si128());
		for (size_t i = 0; i < len; i++) {
			at[i] = from[i];
			see(seen, _mm_set1_epi8(from[i]));
		}
	}
	return at + len;
}

static inline __attribute__((always_inline)) char *
put_field(char *at, const struct sl_header *field, struct seen *seen, unsigned char *lowest_end)
{
	const struct sl_slice value = field->value;

	at = put_run(at, field->name, seen, see_name);
	memcpy(at, ": ", 2);
	at += 2;
	if (value.len) {
		unsigned char first = (unsigned char)value.ptr[0];
		unsigned char last = (unsigned char)value.ptr[value.len - 1];

		*lowest_end = first < *lowest_end ? first : *lowest_end;
		*lowest_end = last < *lowest_end ? last : *lowest_end;
		at = put_run(at, value, seen, see_value);
	}
	memcpy(at, "\r\n", 2);
	return at + 2;
}

char *
sl_put_fields(char *at, const struct sl_header *fields, size_t count, struct sl_slice lines)
{
	struct seen seen = { _mm_set1_epi8(-1), _mm_setzero_si128() };
	unsigned char lowest_end = 0xff; /* of the bytes at the ends of values */

	for (size_t i = 0, put; i < count; i += put) {
		const struct sl_header *field = &fields[i];

		put = 0;
		if ((uintptr_t)field->name.ptr - (uintptr_t)lines.ptr < lines.len)
			put = put_lines(&at, field, count - i, lines);
		if (put > 0)
			continue;
		at = put_field(at, field, &seen, &lowest_end);
		put = 1;
	}
	if (lowest_end <= ' ' || _mm_movemask_epi8(seen.names) != 0xffff ||
	    _mm_movemask_epi8(seen.values) != 0)
		return sl_fields_are_valid(fields, count) ? at : NULL;
	return at;
}
#else
char *
sl_put_fields(char *at, const struct sl_header *fields, size_t count, struct sl_slice lines)
{
	(void)lines;
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

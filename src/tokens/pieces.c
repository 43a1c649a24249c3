/* pieces.c - the splitters of the OpenAI encodings as a state machine.
 *
 * They are published as regular expressions with look-ahead and back-tracking. Here
 * each alternative is a scan that goes forward once; what the expression would try
 * again is remembered on the way. In the order in which they are tried:
 *
 *   o200k   prefix? Capitals* small+ contraction?     prefix: one character that is
 *           prefix? Capitals+ small* contraction?     no letter, number, line end
 *           1 to 3 numbers
 *           space? marks-and-symbols+ (line ends and slashes)*
 *           white space up to its last line end
 *           white space without its last character, which goes to what follows
 *
 *   cl100k  contraction; prefix? letters+; then as above, without the slashes; white
 *           space that ends the text is one piece
 *
 * Letters without case and marks count as capital and as small, so a run of capitals
 * may end in something small: the last of them is where back-tracking would stop.
 */
#include "tokens/pieces.h"

#include <stdbool.h>

#include "base/utf8.h"

#include "tokens/unicode_classes.inc"

#define SET(class_) (1u << SL_CHAR_##class_)
enum {
	LETTERS = SET(UPPER) | SET(LOWER) | SET(LETTER),
	CAPITALS = SET(UPPER) | SET(LETTER) | SET(MARK),
	SMALL = SET(LOWER) | SET(LETTER) | SET(MARK),
	SYMBOLS = SET(OTHER) | SET(MARK),
	SPACES = SET(SPACE) | SET(NEWLINE),
	NO_PREFIX = LETTERS | SET(NUMBER) | SET(NEWLINE),
};

/* ASCII; from 0x80 on the table of code points is asked. */
static const uint8_t ascii_class[128] = {
	['\t'] = SL_CHAR_SPACE, ['\n'] = SL_CHAR_NEWLINE, ['\v'] = SL_CHAR_SPACE,
	['\f'] = SL_CHAR_SPACE, ['\r'] = SL_CHAR_NEWLINE, [' '] = SL_CHAR_SPACE,
	['0'] = 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
	['A'] = 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
	['a'] = 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
};
_Static_assert(SL_CHAR_UPPER == 1 && SL_CHAR_LOWER == 2 && SL_CHAR_NUMBER == 5,
               "as written in ascii_class");

static uint32_t
code_point(const uint8_t *p, size_t size)
{
	switch (size) {
	case 2:
		return (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f);
	case 3:
		return (uint32_t)(p[0] & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
	default:
		return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3f) << 12 |
		       (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3f);
	}
}

static enum sl_char_class
class_of(uint32_t code)
{
	uint32_t at = code / CLASS_BLOCK;
	uint8_t pair;

	if (at >= CLASS_INDEX)
		at = CLASS_INDEX - 1;
	pair = class_blocks[class_index[at]][code % CLASS_BLOCK / 2];
	return (enum sl_char_class)(code % 2 ? pair >> 4 : pair & 15);
}

static enum sl_char_class
wide_class_at(const uint8_t *p, const uint8_t *end, size_t *size)
{
	*size = sl_utf8_size(p, end);
	if (*size == 0) {
		*size = 1;
		return SL_CHAR_OTHER;
	}
	return class_of(code_point(p, *size));
}

static inline enum sl_char_class
class_at(const uint8_t *p, const uint8_t *end, size_t *size)
{
	if (*p < 0x80) {
		*size = 1;
		return (enum sl_char_class)ascii_class[*p];
	}
	return wide_class_at(p, end, size);
}

enum sl_char_class
sl_char_class_at(const uint8_t *p, const uint8_t *end, size_t *size)
{
	return class_at(p, end, size);
}

/* Behind the longest run of characters of a set. */
static inline const uint8_t *
run_of(unsigned set, const uint8_t *p, const uint8_t *end)
{
	size_t size;

	while (p < end && (set >> class_at(p, end, &size) & 1))
		p += size;
	return p;
}

/* --- letters ---------------------------------------------------------------- */

/* Behind 's 't 're 've 'm 'll 'd in either case; p itself when there is none. U+017F,
 * the long s, is an s in either case. */
static const uint8_t *
contraction(const uint8_t *p, const uint8_t *end)
{
	uint8_t first, second;

	if (end - p < 2 || p[0] != '\'')
		return p;
	first = p[1] | 0x20;
	if (first == 's' || first == 't' || first == 'm' || first == 'd')
		return p + 2;
	if (end - p < 3)
		return p;
	if (p[1] == 0xc5 && p[2] == 0xbf)
		return p + 3;
	second = p[2] | 0x20;
	if ((second == 'e' && (first == 'r' || first == 'v')) || (first == 'l' && second == 'l'))
		return p + 3;
	return p;
}

/* Capitals* small+: its end, NULL when it does not match. *run is then the end of the
 * capitals. */
static inline const uint8_t *
word(const uint8_t *p, const uint8_t *end, const uint8_t **run)
{
	const uint8_t *small = NULL; /* behind the last that is both */
	size_t size;

	while (p < end) {
		enum sl_char_class class_ = class_at(p, end, &size);

		if (!(CAPITALS >> class_ & 1)) {
			if (class_ == SL_CHAR_LOWER)
				return run_of(SMALL, p + size, end);
			break;
		}
		p += size;
		if (SMALL >> class_ & 1)
			small = p;
	}
	*run = p;
	return small;
}

/* NULL: no word begins here. */
static inline const uint8_t *
o200k_word(enum sl_char_class first, size_t size, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *behind, *run = p;

	if (first == SL_CHAR_NUMBER || first == SL_CHAR_NEWLINE)
		return NULL;
	if (LETTERS >> first & 1) {
		behind = word(p, end, &run);
	} else {
		behind = word(p + size, end, &run);
		if (!behind && first == SL_CHAR_MARK)
			behind = word(p, end, &run);
		else if (!behind && run == p + size)
			return NULL;
	}
	return contraction(behind ? behind : run, end);
}

static inline const uint8_t *
cl100k_word(enum sl_char_class first, size_t size, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *behind;

	if (*p == '\'' && (behind = contraction(p, end)) != p)
		return behind;
	if (first == SL_CHAR_NUMBER || first == SL_CHAR_NEWLINE)
		return NULL;
	behind = run_of(LETTERS, p + size, end);
	return behind > p + size || (LETTERS >> first & 1) ? behind : NULL;
}

/* --- the rest --------------------------------------------------------------- */

static const uint8_t *
numbers(const uint8_t *p, const uint8_t *end)
{
	size_t size;

	for (int i = 0; i < 3 && p < end && class_at(p, end, &size) == SL_CHAR_NUMBER; i++)
		p += size;
	return p;
}

/* Behind space? symbols+ and what they take along; NULL when there is no symbol. */
static inline const uint8_t *
symbols(bool slashes, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *start = *p == ' ' ? p + 1 : p;

	p = run_of(SYMBOLS, start, end);
	if (p == start)
		return NULL;
	while (p < end && (*p == '\r' || *p == '\n' || (slashes && *p == '/')))
		p++;
	return p;
}

static const uint8_t *
spaces(bool whole_at_end, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *start = p, *last = p, *behind_newline = NULL;
	size_t size;

	while (p < end) {
		enum sl_char_class class_ = class_at(p, end, &size);

		if (!(SPACES >> class_ & 1))
			break;
		last = p;
		p += size;
		if (class_ == SL_CHAR_NEWLINE)
			behind_newline = p;
	}
	if (p == end && (whole_at_end || !behind_newline))
		return p;
	if (behind_newline)
		return behind_newline;
	return last > start ? last : p;
}

const uint8_t *
sl_piece_end(enum sl_encoding encoding, const uint8_t *p, const uint8_t *end)
{
	bool o200k = encoding == SL_ENCODING_O200K;
	const uint8_t *behind;
	size_t size;
	enum sl_char_class first = class_at(p, end, &size);

	behind = o200k ? o200k_word(first, size, p, end) : cl100k_word(first, size, p, end);
	if (behind)
		return behind;
	if (first == SL_CHAR_NUMBER)
		return numbers(p, end);
	behind = symbols(o200k, p, end);
	return behind ? behind : spaces(!o200k, p, end);
}

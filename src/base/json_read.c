/* json_read.c - walk a validated document in place.
 *
 * A value is a slice; nothing is built. Skipping a value costs its length, so
 * a walk over the whole document costs at most length times depth, and depth
 * was bounded by the scan. The code trusts the grammar for its answers, never
 * for its bounds.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/json_lex.h"

const char *
sl_json_type_name(enum sl_json_type type)
{
	switch (type) {
	case SL_JSON_NULL:
		return "null";
	case SL_JSON_FALSE:
	case SL_JSON_TRUE:
		return "boolean";
	case SL_JSON_NUMBER:
		return "number";
	case SL_JSON_STRING:
		return "string";
	case SL_JSON_ARRAY:
		return "array";
	case SL_JSON_OBJECT:
		return "object";
	case SL_JSON_NONE:
		break;
	}
	return "nothing";
}

static enum sl_json_type
type_of(uint8_t first)
{
	if (sl_json_is_digit(first))
		return SL_JSON_NUMBER;
	switch (first) {
	case '{':
		return SL_JSON_OBJECT;
	case '[':
		return SL_JSON_ARRAY;
	case '"':
		return SL_JSON_STRING;
	case 't':
		return SL_JSON_TRUE;
	case 'f':
		return SL_JSON_FALSE;
	case 'n':
		return SL_JSON_NULL;
	default:
		return first == '-' ? SL_JSON_NUMBER : SL_JSON_NONE;
	}
}

struct sl_json
sl_json_parse(struct sl_slice validated)
{
	struct sl_slice raw = sl_slice_trim(validated);

	if (raw.len == 0)
		return (struct sl_json){ SL_JSON_NONE, SL_SLICE_NONE };
	return (struct sl_json){ type_of((uint8_t)raw.ptr[0]), raw };
}

/* --- skipping ------------------------------------------------------------- */

/* From behind the opening quote to the closing one, or end. */
static const uint8_t *
find_quote(const uint8_t *p, const uint8_t *end)
{
	for (;;) {
		p = sl_json_skip_text(p, end);
		if (p == end || *p == '"')
			return p;
		if (*p == '\\' && end - p >= 2)
			p++;
		p++;
	}
}

/* From an opening bracket to the byte behind the one that closes it. */
static const uint8_t *
skip_container(const uint8_t *p, const uint8_t *end)
{
	size_t depth = 0;

	while (p < end) {
		switch (*p++) {
		case '"':
			p = find_quote(p, end);
			if (p < end)
				p++;
			break;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			if (--depth == 0)
				return p;
			break;
		default:
			break;
		}
	}
	return end;
}

static const uint8_t *
skip_value(const uint8_t *p, const uint8_t *end)
{
	if (*p == '"') {
		p = find_quote(p + 1, end);
		return p < end ? p + 1 : end;
	}
	if (*p == '{' || *p == '[')
		return skip_container(p, end);
	while (p < end && (sl_json_is_digit(*p) ||
	                   (*p != ',' && *p != '}' && *p != ']' && !sl_json_is_space(*p))))
		p++;
	return p;
}

/* --- iteration ------------------------------------------------------------ */

struct sl_json_iter
sl_json_iter(struct sl_json value)
{
	struct sl_json_iter it = { .object = value.type == SL_JSON_OBJECT, .index = SIZE_MAX };

	if (it.object || value.type == SL_JSON_ARRAY)
		it.rest = sl_slice_from(value.raw, 1);
	return it;
}

bool
sl_json_next(struct sl_json_iter *it)
{
	const uint8_t *p = (const uint8_t *)it->rest.ptr, *end, *start;

	if (it->rest.len == 0)
		return false;
	end = p + it->rest.len;
	it->rest = SL_SLICE_NONE;
	while (p < end && (sl_json_is_space(*p) || *p == ','))
		p++;
	if (p == end || *p == '}' || *p == ']')
		return false;
	if (it->object) {
		start = ++p;
		p = find_quote(p < end ? p : end, end);
		it->key = sl_slice_make(start, (size_t)(p - start));
		while (p < end && (*p == '"' || *p == ':' || sl_json_is_space(*p))) {
			/* The colon is the last before the value, whose own
			 * quote must not be taken. */
			if (*p++ == ':')
				break;
		}
		p = sl_json_skip_space(p, end);
		if (p == end)
			return false;
	}
	start = p;
	p = skip_value(p, end);
	if (p == start)
		return false;
	it->value = (struct sl_json){ type_of(*start), sl_slice_make(start, (size_t)(p - start)) };
	it->rest = sl_slice_make(p, (size_t)(end - p));
	it->index++;
	return true;
}

/* --- one pass --------------------------------------------------------------- */

struct sl_json_walk
sl_json_walk(struct sl_slice validated)
{
	const uint8_t *p = (const uint8_t *)validated.ptr;

	if (!p)
		return (struct sl_json_walk){ NULL, NULL };
	return (struct sl_json_walk){ sl_json_skip_space(p, p + validated.len), p + validated.len };
}

enum sl_json_type
sl_json_walk_type(const struct sl_json_walk *walk)
{
	return walk->at < walk->end ? type_of(*walk->at) : SL_JSON_NONE;
}

struct sl_slice
sl_json_walk_skip(struct sl_json_walk *walk)
{
	const uint8_t *start = walk->at;

	if (start < walk->end)
		walk->at = skip_value(start, walk->end);
	return sl_slice_make(start, (size_t)(walk->at - start));
}

void
sl_json_walk_enter(struct sl_json_walk *walk)
{
	walk->at += walk->at < walk->end;
}

bool
sl_json_walk_next(struct sl_json_walk *walk)
{
	const uint8_t *p = walk->at, *end = walk->end;

	while (p < end && *p <= ',' && (*p == ',' || sl_json_is_space(*p)))
		p++;
	/* A bracket that closes is passed. */
	walk->at = p < end && (*p == ']' || *p == '}') ? p + 1 : p;
	return walk->at == p && p < end;
}

bool
sl_json_walk_member(struct sl_json_walk *walk, struct sl_slice *key)
{
	const uint8_t *start, *p, *end = walk->end;

	if (!sl_json_walk_next(walk))
		return false;
	start = walk->at + 1;
	p = find_quote(start, end);
	*key = sl_slice_make(start, (size_t)(p - start));
	/* Mostly written without space. */
	if (end - p > 2 && p[1] == ':' && p[2] > ' ') {
		walk->at = p + 2;
		return true;
	}
	p += p < end;
	p = sl_json_skip_space(p, end);
	p += p < end && *p == ':';
	walk->at = sl_json_skip_space(p, end);
	return walk->at < end;
}

bool
sl_json_key_is(struct sl_slice raw, struct sl_slice name)
{
	return sl_slice_eq(raw, name) ||
	       (raw.len > name.len && memchr(raw.ptr, '\\', raw.len) && sl_json_text_is(raw, name));
}

bool
sl_json_walk_count(struct sl_json_walk *walk, int64_t *out)
{
	enum { SHORT = 18 }; /* digits that fit whatever they are */
	const uint8_t *start = walk->at, *p = start;
	const uint8_t *stop = walk->end - start > SHORT ? start + SHORT : walk->end;
	int64_t value = 0;

	/* Nearly all are a few digits alone. */
	while (p < stop && sl_json_is_digit(*p))
		value = value * 10 + (*p++ - '0');
	if (p > start && p < stop && (*p == ',' || *p == '}')) {
		walk->at = p;
		*out = value;
		return true;
	}
	return sl_json_i64(sl_json_parse(sl_json_walk_skip(walk)), out) && *out >= 0;
}

static struct sl_json
get_slice(struct sl_json value, struct sl_slice name)
{
	struct sl_json found = { SL_JSON_NONE, SL_SLICE_NONE };
	struct sl_json_iter it;

	if (value.type != SL_JSON_OBJECT)
		return found;
	it = sl_json_iter(value);
	while (sl_json_next(&it))
		if (sl_json_text_is(it.key, name))
			found = it.value;
	return found;
}

struct sl_json
sl_json_get(struct sl_json value, const char *name)
{
	return get_slice(value, sl_slice_str(name));
}

struct sl_json
sl_json_at(struct sl_json value, const char *path)
{
	struct sl_slice rest = sl_slice_str(path);

	while (rest.len && value.type != SL_JSON_NONE)
		value = get_slice(value, sl_slice_cut(&rest, '.'));
	return value;
}

/* --- strings -------------------------------------------------------------- */

/* Four hex digits behind "\u" at p, or -1. */
static int32_t
read_u16(const uint8_t *p, const uint8_t *end)
{
	int32_t unit = 0;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (size_t i = 2; i < 6; i++) {
		int digit = sl_json_hex(p[i]);

		if (digit < 0)
			return -1;
		unit = unit * 16 + digit;
	}
	return unit;
}

static size_t
put_utf8(uint32_t code, char out[4])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

/* Decodes the escape at *at and advances it; returns the bytes written. */
static size_t
decode_escape(const uint8_t **at, const uint8_t *end, char out[4])
{
	static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	const uint8_t *p = *at;
	const char *letter = end - p >= 2 && p[1] ? strchr(letters, p[1]) : NULL;
	int32_t unit = read_u16(p, end), low;

	if (letter) {
		*at = p + 2;
		out[0] = bytes[letter - letters];
		return 1;
	}
	if (unit < 0) {
		*at = p + 1;
		out[0] = '\\';
		return 1;
	}
	*at = p + 6;
	if (unit < 0xd800 || unit > 0xdfff)
		return put_utf8((uint32_t)unit, out);
	low = read_u16(p + 6, end);
	if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff)
		return put_utf8(0xfffd, out);
	*at = p + 12;
	return put_utf8(0x10000u + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(low - 0xdc00),
	                out);
}

/* Resolves the escapes of the raw bytes between quotes into out, which has
 * room for raw.len bytes; returns the length. Half a surrogate pair becomes
 * U+FFFD; on text that was not validated, a bad escape is copied as it is. */
static size_t
decode(struct sl_slice raw, char *out)
{
	const uint8_t *p = (const uint8_t *)raw.ptr, *end = p + raw.len;
	size_t len = 0;

	while (p < end) {
		const uint8_t *escape = memchr(p, '\\', (size_t)(end - p));
		size_t run = (size_t)((escape ? escape : end) - p);
		char code[4];
		size_t size;

		memcpy(out + len, p, run);
		len += run;
		p += run;
		if (!escape)
			break;
		/* Never longer than the escape itself, so `out` suffices. */
		size = decode_escape(&p, end, code);
		memcpy(out + len, code, size);
		len += size;
	}
	return len;
}

bool
sl_json_text_is(struct sl_slice raw, struct sl_slice text)
{
	const uint8_t *p = (const uint8_t *)raw.ptr, *end;

	if (raw.len < text.len)
		return false;
	if (raw.len == 0)
		return true;
	end = p + raw.len;
	while (p < end) {
		char code[4];
		size_t size = 1;

		if (*p == '\\')
			size = decode_escape(&p, end, code);
		else
			code[0] = (char)*p++;
		if (size > text.len || memcmp(code, text.ptr, size) != 0)
			return false;
		text.ptr += size;
		text.len -= size;
	}
	return text.len == 0;
}

bool
sl_json_unescape(struct sl_slice raw, struct sl_arena *arena, struct sl_slice *out)
{
	char *room;

	if (raw.len == 0 || !memchr(raw.ptr, '\\', raw.len)) {
		*out = raw;
		return true;
	}
	room = sl_arena_alloc(arena, raw.len);
	if (!room)
		return false;
	*out = sl_slice_make(room, decode(raw, room));
	return true;
}

/* The bytes between the quotes of a string value. */
static struct sl_slice
between_quotes(struct sl_json value)
{
	if (value.raw.len < 2)
		return SL_SLICE_NONE;
	return sl_slice_make(value.raw.ptr + 1, value.raw.len - 2);
}

bool
sl_json_string(struct sl_json value, struct sl_arena *arena, struct sl_slice *out)
{
	return value.type == SL_JSON_STRING && sl_json_unescape(between_quotes(value), arena, out);
}

bool
sl_json_is(struct sl_json value, const char *text)
{
	return value.type == SL_JSON_STRING &&
	       sl_json_text_is(between_quotes(value), sl_slice_str(text));
}

bool
sl_json_true(struct sl_json value)
{
	return value.type == SL_JSON_TRUE;
}

/* --- numbers -------------------------------------------------------------- */

enum {
	/* Digits that decide the rounding of a double (767 do), and one more
	 * that stands for all behind them. */
	F64_DIGITS = 770,
	/* Beyond any exponent that a number of bounded length can balance. */
	EXPONENT_FAR = 1 << 30,
};

/* A number taken apart: +-digits[0..count) * 10^exponent, the digits without
 * zeros at either end; count 0 is zero. */
struct decimal {
	bool    negative;
	bool    inexact; /* digits did not fit and were dropped */
	size_t  count;
	int64_t exponent;
	char    digits[F64_DIGITS];
};

/* The exponent's digits, "e-05" onwards from the sign; saturates. */
static int64_t
read_exponent(const uint8_t *p, const uint8_t *end)
{
	bool negative = p < end && *p == '-';
	int64_t value = 0;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	for (; p < end && sl_json_is_digit(*p); p++)
		if (value < EXPONENT_FAR)
			value = value * 10 + (*p - '0');
	return negative ? -value : value;
}

static void
add_digit(struct decimal *d, char digit, int64_t *zeros)
{
	if (digit == '0') {
		/* Leading zeros vanish, others wait for a digit behind them. */
		*zeros += d->count > 0;
		return;
	}
	for (; *zeros > 0 && d->count < F64_DIGITS; (*zeros)--)
		d->digits[d->count++] = '0';
	if (*zeros == 0 && d->count < F64_DIGITS) {
		d->digits[d->count++] = digit;
		return;
	}
	d->inexact = true;
	(*zeros)++;
}

/* One pass over the text, whatever the exponent. */
static bool
take_apart(struct sl_json value, struct decimal *d)
{
	const uint8_t *p = (const uint8_t *)value.raw.ptr, *end;
	int64_t zeros = 0, places = 0;
	bool fraction = false;

	if (value.type != SL_JSON_NUMBER)
		return false;
	end = p + value.raw.len;
	d->negative = *p == '-';
	d->inexact = false;
	d->count = 0;
	d->exponent = 0;
	for (p += d->negative; p < end && (*p | 0x20) != 'e'; p++) {
		if (sl_json_is_digit(*p)) {
			add_digit(d, (char)*p, &zeros);
			places += fraction;
		}
		fraction |= *p == '.';
	}
	if (p < end)
		d->exponent = read_exponent(p + 1, end);
	/* What is still in `zeros` was never written to the digits. */
	d->exponent += zeros - places;
	return true;
}

/* The number times 10^shift, when that is an integer inside int64. */
static bool
to_i64(struct sl_json value, int64_t shift, int64_t *out)
{
	struct decimal d __attribute__((uninitialized));
	int64_t result = 0;

	if (!take_apart(value, &d))
		return false;
	shift += d.exponent;
	/* The last digit is not zero: a negative shift leaves a fraction, and
	 * nineteen digits are the most int64 has. */
	if (d.count > 0 && (shift < 0 || shift > 19 || d.count > 19 || d.inexact))
		return false;
	for (size_t i = 0; i < d.count + (d.count ? (size_t)shift : 0); i++) {
		int digit = i < d.count ? d.digits[i] - '0' : 0;

		/* Downwards, so that INT64_MIN is reachable. */
		if (__builtin_mul_overflow(result, 10, &result) ||
		    __builtin_sub_overflow(result, digit, &result))
			return false;
	}
	if (!d.negative && __builtin_sub_overflow((int64_t)0, result, &result))
		return false;
	*out = result;
	return true;
}

bool
sl_json_i64(struct sl_json value, int64_t *out)
{
	enum { SHORT = 18 }; /* digits that fit whatever they are */
	int64_t result = 0;

	if (value.type != SL_JSON_NUMBER || value.raw.len > SHORT)
		return to_i64(value, 0, out);
	/* Nearly all are digits alone. */
	for (size_t i = 0; i < value.raw.len; i++) {
		if (!sl_json_is_digit((uint8_t)value.raw.ptr[i]))
			return to_i64(value, 0, out);
		result = result * 10 + (value.raw.ptr[i] - '0');
	}
	*out = result;
	return true;
}

bool
sl_json_nanousd(struct sl_json value, int64_t *out)
{
	return to_i64(value, 9, out);
}

bool
sl_json_f64(struct sl_json value, double *out)
{
	struct decimal d __attribute__((uninitialized));
	/* Digits as an integer with an exponent: no decimal point, so the
	 * locale cannot matter. */
	char text[F64_DIGITS + 32] __attribute__((uninitialized));
	size_t len = 0;
	double result;

	if (!take_apart(value, &d))
		return false;
	if (d.count == 0) {
		*out = d.negative ? -0.0 : 0.0;
		return true;
	}
	if (d.exponent > EXPONENT_FAR)
		return false;
	if (d.negative)
		text[len++] = '-';
	memcpy(text + len, d.digits, d.count);
	len += d.count;
	if (d.inexact) {
		/* Anything behind the kept digits: only breaks ties. */
		text[len++] = '1';
		d.exponent--;
	}
	if (d.exponent < -EXPONENT_FAR)
		d.exponent = -EXPONENT_FAR;
	snprintf(text + len, sizeof(text) - len, "e%lld", (long long)d.exponent);
	result = strtod(text, NULL);
	if (!isfinite(result))
		return false;
	*out = result;
	return true;
}

/* sqlite_facts.c - the writer; its reader is the view `records` (sqlite_schema.c). */
#include "store/sqlite_facts.h"

#include <string.h>

#include "base/text.h"

enum {
#define SL_RECORD_TEXT(name, max_size) MAX_##name = (max_size), /* bytes */
#define SL_RECORD_INT(name)
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
};

static char *
put_literal(char *at, const char *text)
{
	size_t len = strlen(text);

	memcpy(at, text, len);
	return at + len;
}

static char *
put_number(char *at, int64_t number)
{
	if (number >= 0)
		return sl_put_u64(at, (uint64_t)number);
	if (number == SL_RECORD_NULL)
		return put_literal(at, "null");
	*at++ = '-';
	return sl_put_u64(at, 0 - (uint64_t)number);
}

/* In one pass without a branch, as nearly no text needs it. */
static bool
needs_escapes(struct sl_slice text)
{
	unsigned char found = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		found |= (unsigned char)((c < 0x20) | (c == '"') | (c == '\\'));
	}
	return found;
}

/* SQLite ends a text at U+0000: another character stands for it. */
static char *
put_escaped(char *at, struct sl_slice text)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c == '\0') {
			at = put_literal(at, "\\ufffd");
			continue;
		}
		if (c < 0x20) {
			at = put_literal(at, "\\u00");
			*at++ = digits[c >> 4];
			*at++ = digits[c & 15];
			continue;
		}
		if (c == '"' || c == '\\')
			*at++ = '\\';
		*at++ = (char)c;
	}
	return at;
}

static char *
put_text(char *at, struct sl_slice text, size_t max_size)
{
	text = sl_slice_upto(text, max_size);
	if (text.len == 0)
		return put_literal(at, "null");
	*at++ = '"';
	if (needs_escapes(text)) {
		at = put_escaped(at, text);
	} else {
		memcpy(at, text.ptr, text.len);
		at += text.len;
	}
	*at++ = '"';
	return at;
}

#define HAS_TEXT(name)    (row->name.len > 0)
#define HAS_INTEGER(name) (row->name != SL_RECORD_NULL)
#define HAS_LABEL(name)   (HAS_TEXT(name) && !sl_slice_eq(row->name, row->request_id))
#define PUT_TEXT(name)    at = put_text(at, row->name, MAX_##name);
#define PUT_INTEGER(name) at = put_number(at, row->name);
#define PUT_BEGIN(name)                                                                \
	at = put_number(at, row->name == SL_RECORD_NULL                                 \
	                        ? SL_RECORD_NULL                                         \
	                        : (int64_t)((uint64_t)end_wall_ms - (uint64_t)row->name));
#define PUT_MEMBER(type, name)                                                         \
	at = put_literal(at, ",\"" #name "\":");                                        \
	PUT_##type(name)

#define IN_ID(type, name)
#define IN_HEX(type, name)
#define IN_OWNER(type, name)
#define IN_KIND(type, name)
#define SL_COLUMN(place, type, name) IN_##place(type, name)

#define IN_BEGIN(type, name)
#define IN_FACT(type, name)
#define IN_RARE(type, name)                                                            \
	if (HAS_##type(name)) {                                                         \
		PUT_MEMBER(type, name)                                                   \
	}
#define IN_USER(type, name) IN_RARE(type, name)
#define IN_LABEL(type, name)                                                           \
	if (HAS_LABEL(name)) {                                                          \
		PUT_MEMBER(type, name)                                                   \
	}
/* Each with a comma before it. */
static char *
put_rare(const struct sl_record_row *row, char *at)
{
	static const struct sl_slice member[SL_USAGE_COUNT] = {
#define USAGE_MEMBER(id, name) [SL_USAGE_##id] = SL_SLICE_INIT(",\"" name "\":"),
		SL_USAGE_CLASSES(USAGE_MEMBER)
#undef USAGE_MEMBER
	};

	int64_t used = 0;

#include "store/sqlite_columns.def"
	/* Most rows are done with this. */
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		used |= i == SL_USAGE_INPUT || i == SL_USAGE_OUTPUT ? 0 : row->usage[i] ^ SL_RECORD_NULL;
	for (int i = 0; used != 0 && i < SL_USAGE_COUNT; i++) {
		if (i == SL_USAGE_INPUT || i == SL_USAGE_OUTPUT || row->usage[i] == SL_RECORD_NULL)
			continue;
		memcpy(at, member[i].ptr, member[i].len);
		at = put_number(at + member[i].len, row->usage[i]);
	}
	return at;
}
#undef IN_BEGIN
#undef IN_USER
#undef IN_FACT
#undef IN_RARE
#undef IN_LABEL

#define IN_BEGIN(type, name)                                                           \
	PUT_BEGIN(name)                                                                 \
	*at++ = ',';
#define IN_FACT(type, name)                                                            \
	PUT_##type(name)                                                                \
	*at++ = ',';
#define IN_RARE(type, name)
#define IN_USER(type, name)
#define IN_LABEL(type, name)
size_t
sl_sqlite_facts(const struct sl_record_row *row, int64_t end_wall_ms, int64_t owner,
                int64_t kind, char *out)
{
	char *at = out, *rare;

	*at++ = '[';
	at = put_number(at, owner);
	*at++ = ',';
	at = put_number(at, kind);
	*at++ = ',';
#include "store/sqlite_columns.def"
	at = put_number(at, row->usage[SL_USAGE_INPUT]);
	*at++ = ',';
	at = put_number(at, row->usage[SL_USAGE_OUTPUT]);
	rare = put_rare(row, at + 1);
	if (rare > at + 1) {
		/* The object's brace takes the place of its first comma. */
		at[0] = ',';
		at[1] = '{';
		at = rare;
		*at++ = '}';
	}
	*at++ = ']';
	return (size_t)(at - out);
}

/* Eight at a time; what is no such digit does not come back the same. */
bool
sl_sqlite_pack_hex(struct sl_slice text, unsigned char *out, size_t size)
{
	uint64_t differ = 0;

	if (text.len != 2 * size)
		return false;
	for (size_t i = 0; i < size; i += sizeof(uint32_t)) {
		uint64_t digits, given;
		uint32_t value;

		memcpy(&given, text.ptr + 2 * i, sizeof(given));
		/* Letters have bit 6, and 1 in the others where a is 10. */
		digits = (given & 0x0f0f0f0f0f0f0f0f) + 9 * (given >> 6 & 0x0101010101010101);
		digits = (digits << 4 | digits >> 8) & 0x00ff00ff00ff00ff;
		digits = (digits | digits >> 8) & 0x0000ffff0000ffff;
		value = (uint32_t)(digits | digits >> 16);
		memcpy(out + i, &value, sizeof(value));
		differ |= sl_hex_digits(__builtin_bswap32(value)) ^ given;
	}
	return differ == 0;
}

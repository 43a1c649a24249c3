/* headers.c - look-ups and rules that hold for every header field. */
#include "base/headers.h"

#include <stdint.h>

static const struct sl_header *
find(const struct sl_headers *headers, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < headers->count; i++)
		if (headers->items[i].name.len == len &&
		    memcmp(headers->items[i].name.ptr, name, len) == 0)
			return &headers->items[i];
	return NULL;
}

struct sl_slice
sl_headers_get(const struct sl_headers *headers, const char *name)
{
	const struct sl_header *header = find(headers, name);

	return header ? header->value : SL_SLICE_NONE;
}

bool
sl_headers_has(const struct sl_headers *headers, const char *name)
{
	return find(headers, name) != NULL;
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

/* tchar of RFC 9110 5.6.2 without upper case, one bit for each byte:
 * !#$%&'*+-.^_`|~ digits a-z. Every field of a request passes here three times. */
static bool
is_name(struct sl_slice name)
{
	static const uint64_t allowed[4] = { 0x03ff6cfa00000000, 0x57ffffffc0000000, 0, 0 };
	uint64_t all = name.len > 0;

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

/* Whether one of eight bytes is below ' ' or DEL: subtracting sets the high bit
 * of a byte that was too small and had it clear. Exact for the word as a whole. */
static bool
needs_a_look(uint64_t word)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
	uint64_t del = word ^ (ones * 0x7f);

	return (((word - ones * ' ') & ~word) | ((del - ones) & ~del)) & high;
}

static bool
is_value(struct sl_slice value)
{
	size_t at = 0;

	while (at < value.len) {
		uint64_t word;
		size_t end = at + sizeof(word) <= value.len ? at + sizeof(word) : value.len;

		if (end - at == sizeof(word)) {
			memcpy(&word, value.ptr + at, sizeof(word));
			if (!needs_a_look(word)) {
				at = end;
				continue;
			}
		}
		for (; at < end; at++)
			if (!is_value_byte((unsigned char)value.ptr[at]))
				return false;
	}
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

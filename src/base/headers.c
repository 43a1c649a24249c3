/* headers.c - look-ups and rules that hold for every header field. */
#include "base/headers.h"

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

/* tchar of RFC 9110 5.6.2 without upper case. */
static bool
is_name_byte(unsigned char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
		return true;
	return c > ' ' && c < 0x7f && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool
sl_header_is_valid(struct sl_slice name, struct sl_slice value)
{
	if (name.len == 0)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (!is_name_byte((unsigned char)name.ptr[i]))
			return false;
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.ptr[i];

		/* Visible, space, tab, and bytes over 0x7f (obs-text). */
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return value.len == 0 || (value.ptr[0] != ' ' && value.ptr[0] != '\t' &&
	                          value.ptr[value.len - 1] != ' ' &&
	                          value.ptr[value.len - 1] != '\t');
}

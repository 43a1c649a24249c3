/* url.c - the address of a provider, split strictly.
 *
 * Two readers of one URL must not see two hosts: whatever parsers are known to
 * disagree about (user names, backslashes, escapes in the host, numbers that
 * mean an address) is refused rather than interpreted.
 */
#include <arpa/inet.h>

#include "providers/provider.h"

enum { HOST_MAX = 253 };

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* No control characters, no space, nothing beyond ASCII, no backslash. */
static bool
is_plain(struct sl_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f || text.ptr[i] == '\\')
			return false;
	return true;
}

/* Whether resolvers might take the name for a number: its last label is all
 * digits or begins like a hexadecimal one. */
static bool
ends_in_number(struct sl_slice host)
{
	size_t at = host.len, digits = 0;
	struct sl_slice label;

	while (at > 0 && host.ptr[at - 1] != '.')
		at--;
	label = sl_slice_from(host, at);
	while (digits < label.len && is_digit(label.ptr[digits]))
		digits++;
	return digits == label.len || sl_slice_istarts(label, SL_SLICE("0x"));
}

static bool
is_name(struct sl_slice host)
{
	size_t label = 0;

	for (size_t i = 0; i < host.len; i++) {
		char c = host.ptr[i];

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if (!is_digit(c) && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && c != '-' &&
		    c != '_')
			return false;
		if (++label > 63)
			return false;
	}
	return label > 0;
}

/* An address in the one form that printing it gives. */
static bool
is_canonical(int family, struct sl_slice host)
{
	char text[INET6_ADDRSTRLEN], again[INET6_ADDRSTRLEN];
	unsigned char address[sizeof(struct in6_addr)];

	if (host.len == 0 || host.len >= sizeof(text))
		return false;
	memcpy(text, host.ptr, host.len);
	text[host.len] = '\0';
	return strlen(text) == host.len && inet_pton(family, text, address) == 1 &&
	       inet_ntop(family, address, again, sizeof(again)) &&
	       sl_slice_ieq(host, sl_slice_str(again));
}

static bool
parse_port(struct sl_slice text, uint16_t *port)
{
	int64_t value;

	if (text.len == 0 || text.len > 5 || text.ptr[0] == '0' || text.ptr[0] == '-' ||
	    !sl_slice_i64(text, &value) || value > UINT16_MAX)
		return false;
	*port = (uint16_t)value;
	return true;
}

static bool
parse_authority(struct sl_slice authority, struct sl_url *out)
{
	struct sl_slice rest = authority;

	if (sl_slice_starts(authority, SL_SLICE("["))) {
		ptrdiff_t end = sl_slice_find(authority, ']');

		if (end < 0)
			return false;
		out->host = sl_slice_make(authority.ptr + 1, (size_t)end - 1);
		out->host_is_literal = true;
		if (!is_canonical(AF_INET6, out->host))
			return false;
		rest = sl_slice_from(authority, (size_t)end + 1);
		if (rest.len == 0)
			return true;
		return rest.ptr[0] == ':' && parse_port(sl_slice_from(rest, 1), &out->port);
	}
	out->host = sl_slice_cut(&rest, ':');
	if (out->host.len == 0 || out->host.len > HOST_MAX || !is_name(out->host))
		return false;
	if (ends_in_number(out->host)) {
		if (!is_canonical(AF_INET, out->host))
			return false;
		out->host_is_literal = true;
	} else {
		out->host_is_literal = sl_slice_ieq(out->host, SL_SLICE("localhost"));
	}
	if (out->host.len == authority.len)
		return true;
	return parse_port(rest, &out->port);
}

enum sl_err
sl_url_parse(struct sl_slice text, struct sl_url *out)
{
	struct sl_slice rest = text, authority;
	size_t end = 0;

	*out = (struct sl_url){ 0 };
	if (!is_plain(text) || sl_slice_find(text, '#') >= 0)
		return SL_ESYNTAX;
	if (sl_slice_istarts(text, SL_SLICE("https://"))) {
		out->tls = true;
		out->port = 443;
		rest = sl_slice_from(text, 8);
	} else if (sl_slice_istarts(text, SL_SLICE("http://"))) {
		out->port = 80;
		rest = sl_slice_from(text, 7);
	} else {
		return SL_ESYNTAX;
	}
	while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
		end++;
	authority = sl_slice_upto(rest, end);
	if (!parse_authority(authority, out))
		return SL_ESYNTAX;
	out->query = sl_slice_from(rest, end);
	out->path = sl_slice_cut(&out->query, '?');
	while (out->path.len && out->path.ptr[out->path.len - 1] == '/')
		out->path.len--;
	return SL_OK;
}

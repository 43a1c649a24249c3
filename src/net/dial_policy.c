/* dial_policy.c - which addresses an outgoing connection may reach.
 *
 * Pure: one table, one pass. The order decides:
 *
 *   metadata service        denied, whatever else is said
 *   literal by the operator allowed, if the address is that literal
 *   origin's allow list     allowed
 *   "localhost"             allowed for loopback, unless a caller wrote it: the name is
 *                           never looked up (RFC 6761 6.3), so it says 127.0.0.1
 *   special-purpose range   denied
 *   anything else           allowed
 *
 * IPv4 is judged in its mapped form ::ffff:a.b.c.d, so a mapped IPv6 address is
 * the IPv4 address it stands for. Addresses behind NAT64 (64:ff9b::/96) are
 * unwrapped too: DNS64 networks reach the whole IPv4 Internet that way, and its
 * private part must not be reachable by the same door.
 */
#include "net/dial.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* IANA special-purpose registries (RFC 6890 and successors). */
static const char *const denied[] = {
	"0.0.0.0/8",       /* this network */
	"10.0.0.0/8",      /* private */
	"100.64.0.0/10",   /* shared, carrier-grade NAT */
	"127.0.0.0/8",     /* loopback */
	"169.254.0.0/16",  /* link-local */
	"172.16.0.0/12",   /* private */
	"192.0.0.0/24",    /* protocol assignments */
	"192.0.2.0/24",    /* documentation */
	"192.88.99.0/24",  /* 6to4 relays */
	"192.168.0.0/16",  /* private */
	"198.18.0.0/15",   /* benchmarks */
	"198.51.100.0/24", /* documentation */
	"203.0.113.0/24",  /* documentation */
	"224.0.0.0/4",     /* multicast */
	"240.0.0.0/4",     /* reserved, broadcast */
	/* Of IPv6 only 2000::/3 is global unicast; the rest goes as a whole:
	 * loopback, compatible and translated forms, unique-local, link-local,
	 * site-local, multicast. IPv4 in mapped form is exempt, see is_ipv4(). */
	"::/3",
	"4000::/2",
	"8000::/1",
	"2001::/23",       /* protocol assignments, Teredo, ORCHID */
	"2001:db8::/32",   /* documentation */
	"2002::/16",       /* 6to4: wraps any IPv4 address */
	"3fff::/20",       /* documentation */
};

/* Services that hand out a machine's credentials to whoever asks from it. */
static const char *const metadata[] = {
	"169.254.169.254", /* AWS, Google, Azure, Oracle, DigitalOcean ... */
	"169.254.170.2",   /* AWS container credentials */
	"169.254.170.23",  /* AWS pod identity */
	"fd00:ec2::254",   /* AWS over IPv6 */
	"fd00:ec2::23",    /* AWS pod identity over IPv6 */
	"fd20:ce::254",    /* Google over IPv6 */
	"100.100.100.200", /* Alibaba */
	"192.0.0.192",     /* Oracle, older */
	"168.63.129.16",   /* Azure host agent */
};

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
static const uint8_t nat64_prefix[12] = { 0, 0x64, 0xff, 0x9b };

static bool
is_ipv4(const uint8_t address[16])
{
	return memcmp(address, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

/* Text of one address, without brackets or zone. */
static bool
parse_address(struct sl_slice text, uint8_t out[16], bool *ipv4)
{
	char copy[INET6_ADDRSTRLEN];

	if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len))
		return false;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	*ipv4 = inet_pton(AF_INET, copy, out + 12) == 1;
	if (*ipv4) {
		memcpy(out, mapped_prefix, sizeof(mapped_prefix));
		return true;
	}
	return inet_pton(AF_INET6, copy, out) == 1;
}

enum sl_err
sl_cidr_parse(struct sl_slice text, struct sl_cidr *out)
{
	struct sl_slice rest = text;
	struct sl_slice address = sl_slice_cut(&rest, '/');
	bool has_bits = address.len < text.len, ipv4;
	int64_t bits;

	memset(out, 0, sizeof(*out));
	if (!parse_address(address, out->address, &ipv4))
		return SL_ESYNTAX;
	bits = ipv4 ? 32 : 128;
	if (has_bits) {
		int64_t most = bits;

		if (rest.len == 0 || rest.len > 3 || rest.ptr[0] == '-' ||
		    !sl_slice_i64(rest, &bits) || bits > most)
			return SL_ESYNTAX;
	}
	out->prefix_bits = (uint8_t)(ipv4 ? bits + 96 : bits);
	return SL_OK;
}

static bool
covers(const struct sl_cidr *range, const uint8_t address[16])
{
	size_t whole = range->prefix_bits / 8;
	unsigned rest = range->prefix_bits % 8;

	if (memcmp(range->address, address, whole) != 0)
		return false;
	return rest == 0 || ((range->address[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

/* The tables are text to be read; comparing them costs a parse per row, once
 * per new connection. */
static bool
in_table(const char *const *table, size_t count, const uint8_t address[16])
{
	bool ipv4 = is_ipv4(address);

	for (size_t i = 0; i < count; i++) {
		struct sl_cidr range;

		if (sl_cidr_parse(sl_slice_str(table[i]), &range) != SL_OK)
			continue;
		if (ipv4 == is_ipv4(range.address) && covers(&range, address))
			return true;
	}
	return false;
}

static bool
address_bytes(const struct sockaddr *address, uint8_t out[16])
{
	if (address->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, address, sizeof(in));
		memcpy(out, mapped_prefix, sizeof(mapped_prefix));
		memcpy(out + 12, &in.sin_addr, 4);
		return true;
	}
	if (address->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, address, sizeof(in6));
		memcpy(out, &in6.sin6_addr, 16);
		if (memcmp(out, nat64_prefix, sizeof(nat64_prefix)) == 0)
			memcpy(out, mapped_prefix, sizeof(mapped_prefix));
		return true;
	}
	return false;
}

bool
sl_dial_host_is_localhost(struct sl_slice host)
{
	if (host.len && host.ptr[host.len - 1] == '.')
		host.len--;
	if (host.len > 10)
		host = sl_slice_ieq(sl_slice_upto(sl_slice_from(host, host.len - 10), 1),
		                    SL_SLICE("."))
		           ? sl_slice_from(host, host.len - 9)
		           : host;
	return sl_slice_ieq(host, SL_SLICE("localhost"));
}

static bool
is_loopback(const uint8_t address[16])
{
	static const uint8_t one[16] = { [15] = 1 };

	return (is_ipv4(address) && address[12] == 127) || memcmp(address, one, 16) == 0;
}

bool
sl_dial_allowed(const struct sl_origin *origin, const struct sockaddr *sockaddr)
{
	uint8_t address[16], literal[16];
	bool ipv4;

	if (!address_bytes(sockaddr, address))
		return false;
	if (in_table(metadata, sizeof(metadata) / sizeof(metadata[0]), address))
		return false;
	if (origin->host_is_literal && parse_address(origin->host, literal, &ipv4) &&
	    memcmp(literal, address, sizeof(literal)) == 0)
		return true;
	for (size_t i = 0; i < origin->allow_count; i++)
		if (covers(&origin->allow[i], address))
			return true;
	if (!origin->host_is_foreign && sl_dial_host_is_localhost(origin->host) &&
	    is_loopback(address))
		return true;
	return !in_table(denied, sizeof(denied) / sizeof(denied[0]), address);
}

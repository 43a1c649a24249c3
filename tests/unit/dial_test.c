/* dial_test.c - the address policy as a table, and the race to connect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/dial.h"

static bool
allowed(const struct sl_origin *origin, const char *text)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return sl_dial_allowed(origin, (struct sockaddr *)&in);
	assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	return sl_dial_allowed(origin, (struct sockaddr *)&in6);
}

static void
names_reach_public_addresses_only(void **state)
{
	static const char *const denied[] = {
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255",
		"127.0.0.1", "127.255.255.255", "169.254.0.1", "169.254.169.254", "172.16.0.1",
		"172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1",
		"198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1",
		"240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
		"::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1",
		"2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "4000::1", "fc00::1",
		"fd00::1", "fe80::1", "fec0::1", "ff02::1", "168.63.129.16", "100.100.100.200",
	};
	static const char *const open[] = {
		"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
		"126.255.255.255", "128.0.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0",
		"192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
		"2606:4700::1111", "2a00:1450::1", "2001:4860::8888", "64:ff9b::101:101",
		"::ffff:1.1.1.1",
	};
	struct sl_origin origin = { .host = SL_SLICE("api.example") };

	(void)state;
	for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++)
		if (allowed(&origin, denied[i]))
			fail_msg("allowed: %s", denied[i]);
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
		if (!allowed(&origin, open[i]))
			fail_msg("denied: %s", open[i]);
}

static void
the_operator_opens_what_he_names(void **state)
{
	struct sl_cidr ranges[3];
	struct sl_origin origin = { .host = SL_SLICE("vllm.internal"),
		                    .allow = ranges,
		                    .allow_count = 3 };

	(void)state;
	assert_int_equal(sl_cidr_parse(SL_SLICE("10.1.0.0/16"), &ranges[0]), SL_OK);
	assert_int_equal(sl_cidr_parse(SL_SLICE("fd12::/16"), &ranges[1]), SL_OK);
	assert_int_equal(sl_cidr_parse(SL_SLICE("192.168.7.7"), &ranges[2]), SL_OK);
	assert_true(allowed(&origin, "10.1.2.3"));
	assert_true(allowed(&origin, "::ffff:10.1.2.3"));
	assert_true(allowed(&origin, "fd12::1"));
	assert_true(allowed(&origin, "192.168.7.7"));
	assert_false(allowed(&origin, "10.2.0.1"));
	assert_false(allowed(&origin, "192.168.7.8"));
	assert_false(allowed(&origin, "127.0.0.1"));

	origin = (struct sl_origin){ .host = SL_SLICE("192.168.1.5"), .host_is_literal = true };
	assert_true(allowed(&origin, "192.168.1.5"));
	assert_false(allowed(&origin, "192.168.1.6"));
	origin.host_is_literal = false;
	assert_false(allowed(&origin, "192.168.1.5"));
	/* The flag on a name opens nothing. */
	origin = (struct sl_origin){ .host = SL_SLICE("evil.example"), .host_is_literal = true };
	assert_false(allowed(&origin, "127.0.0.1"));
	origin = (struct sl_origin){ .host = SL_SLICE("localhost") };
	assert_true(allowed(&origin, "127.0.0.1"));
	assert_true(allowed(&origin, "::1"));
	assert_false(allowed(&origin, "10.0.0.1"));
	origin.host = SL_SLICE("xlocalhost");
	assert_false(allowed(&origin, "127.0.0.1"));
	origin.host = SL_SLICE("a.localhost.");
	assert_true(allowed(&origin, "127.0.0.1"));
	/* Nor does the name, from a caller. */
	origin.host_is_foreign = true;
	assert_false(allowed(&origin, "127.0.0.1"));
	assert_false(allowed(&origin, "::1"));
}

static void
metadata_is_never_reached(void **state)
{
	static const char *const metadata[] = { "169.254.169.254", "fd00:ec2::254",
		                                "100.100.100.200", "::ffff:169.254.169.254",
		                                "64:ff9b::a9fe:a9fe", "169.254.170.2" };
	struct sl_cidr all[2];

	(void)state;
	assert_int_equal(sl_cidr_parse(SL_SLICE("0.0.0.0/0"), &all[0]), SL_OK);
	assert_int_equal(sl_cidr_parse(SL_SLICE("::/0"), &all[1]), SL_OK);
	for (size_t i = 0; i < sizeof(metadata) / sizeof(metadata[0]); i++) {
		struct sl_origin origin = { .host = sl_slice_str(metadata[i]),
			                    .host_is_literal = true,
			                    .allow = all,
			                    .allow_count = 2 };

		assert_false(allowed(&origin, metadata[i]));
	}
}

static void
ranges_are_parsed_strictly(void **state)
{
	static const char *const bad[] = { "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/-1",
		                           "fd00::/129", "10.0.0.0/8/8", "host/8", "10.0.0.0/ 8",
		                           "010.0.0.1/8", "[::1]" };
	struct sl_cidr range;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (sl_cidr_parse(sl_slice_str(bad[i]), &range) == SL_OK)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(sl_cidr_parse(SL_SLICE("10.0.0.0/8"), &range), SL_OK);
	assert_int_equal(range.prefix_bits, 104);
}

struct result {
	struct sl_loop       *loop;
	int                   fd, calls;
	struct sl_fetch_error error;
};

static void
on_done(void *context, int fd, const struct sl_fetch_error *error)
{
	struct result *result = context;

	result->calls++;
	result->fd = fd;
	if (error)
		result->error = *error;
	sl_loop_stop(result->loop);
}

static int
listen_on(int family, uint16_t *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr *address = family == AF_INET ? (struct sockaddr *)&in
	                                             : (struct sockaddr *)&in6;
	socklen_t size = family == AF_INET ? sizeof(in) : sizeof(in6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, address, size) < 0 || listen(fd, 4) < 0 ||
	    getsockname(fd, address, &size) < 0)
		return -1;
	*port = ntohs(family == AF_INET ? in.sin_port : in6.sin6_port);
	return fd;
}

static struct result
dial(const struct sl_origin *origin)
{
	struct result result = { .loop = sl_loop_new(0), .fd = -1 };
	struct sl_dialer *dialer = sl_dialer_new(result.loop);

	assert_non_null(sl_dial_start(dialer, origin, on_done, &result));
	assert_int_equal(result.calls, 0); /* never from inside */
	sl_loop_run(result.loop);
	assert_int_equal(result.calls, 1);
	sl_dialer_free(dialer);
	sl_loop_free(result.loop);
	return result;
}

static int
option_of(int fd, int name)
{
	int value = 0;
	socklen_t size = sizeof(value);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, name, &value, &size), 0);
	return value;
}

/* The third time that the keepalive timer runs out, unless the user timeout says later; a
 * timer of the kernel may be an eighth late. */
static void
a_dead_peer_is_noticed_within_15_s(void **state)
{
	struct sl_origin origin = { .host = SL_SLICE("localhost") };
	int listener = listen_on(AF_INET, &origin.port), given_up_s;
	struct result result = dial(&origin);

	(void)state;
	assert_true(listener >= 0 && result.fd >= 0);
	given_up_s = option_of(result.fd, TCP_KEEPIDLE) + 2 * option_of(result.fd, TCP_KEEPINTVL);
	assert_true(option_of(result.fd, TCP_USER_TIMEOUT) <= given_up_s * 1000);
	assert_true(given_up_s * 9 <= 15 * 8);
	close(result.fd);
	close(listener);
}

/* "localhost" is two addresses; a server on the second one is found although
 * the first refuses. */
static void
a_refused_address_is_followed_by_the_next(void **state)
{
	struct sl_origin origin = { .host = SL_SLICE("localhost") };
	struct result result;
	int listener = listen_on(AF_INET6, &origin.port);

	(void)state;
	if (listener < 0) {
		print_message("no IPv6 loopback here\n");
		skip();
	}
	result = dial(&origin);
	assert_true(result.fd >= 0);
	close(result.fd);
	close(listener);
}

static void
names_of_nobody_fail_in_the_resolver(void **state)
{
	struct sl_origin origin = { .host = SL_SLICE("not a name"), .port = 80 };
	struct result result = dial(&origin);

	(void)state;
	assert_int_equal(result.error.err, SL_EINVAL);
	assert_int_equal(result.error.stage, SL_STAGE_RESOLVE);
	origin.host = SL_SLICE("10.0.0.1");
	result = dial(&origin);
	assert_int_equal(result.error.err, SL_EPOLICY);
	assert_non_null(strstr(result.error.detail, "10.0.0.1"));
}

static void
a_cancelled_dial_is_silent(void **state)
{
	struct result result = { .loop = sl_loop_new(0), .fd = -1 };
	struct sl_dialer *dialer = sl_dialer_new(result.loop);
	struct sl_origin origin = { .host = SL_SLICE("localhost"), .port = 1 };
	struct sl_dial *one = sl_dial_start(dialer, &origin, on_done, &result);
	struct sl_dial *two = sl_dial_start(dialer, &origin, on_done, &result);

	(void)state;
	sl_dial_cancel(one);
	assert_non_null(two);
	sl_loop_run(result.loop);
	assert_int_equal(result.calls, 1);
	sl_dialer_free(dialer);
	sl_loop_free(result.loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_reach_public_addresses_only),
		cmocka_unit_test(the_operator_opens_what_he_names),
		cmocka_unit_test(metadata_is_never_reached),
		cmocka_unit_test(ranges_are_parsed_strictly),
		cmocka_unit_test(a_dead_peer_is_noticed_within_15_s),
		cmocka_unit_test(a_refused_address_is_followed_by_the_next),
		cmocka_unit_test(names_of_nobody_fail_in_the_resolver),
		cmocka_unit_test(a_cancelled_dial_is_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* url_test.c - addresses of providers: what is taken, and all that is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "providers/provider.h"

static void
good_ones_are_split(void **state)
{
	static const struct {
		const char *text, *host, *path, *query;
		uint16_t    port;
		bool        tls, literal;
	} good[] = {
		{ "https://api.openai.com/v1", "api.openai.com", "/v1", "", 443, true, false },
		{ "HTTP://Example.COM", "Example.COM", "", "", 80, false, false },
		{ "http://127.0.0.1:8000/v1/", "127.0.0.1", "/v1", "", 8000, false, true },
		{ "http://[::1]:8080", "::1", "", "", 8080, false, true },
		{ "https://[2001:db8::a]/x//", "2001:db8::a", "/x", "", 443, true, true },
		{ "http://localhost:1?a=b", "localhost", "", "a=b", 1, false, true },
		{ "http://my_service/a?b?c", "my_service", "/a", "b?c", 80, false, false },
		{ "https://1a.example.com:65535", "1a.example.com", "", "", 65535, true, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct sl_url url;

		if (sl_url_parse(sl_slice_str(good[i].text), &url) != SL_OK)
			fail_msg("%s", good[i].text);
		assert_true(sl_slice_is(url.host, good[i].host));
		assert_true(sl_slice_is(url.path, good[i].path));
		assert_true(sl_slice_is(url.query, good[i].query));
		assert_int_equal(url.port, good[i].port);
		assert_int_equal(url.tls, good[i].tls);
		assert_int_equal(url.host_is_literal, good[i].literal);
	}
}

static void
ambiguous_ones_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "http", "http:/x", "http://", "https:///v1", "ftp://x", "//x", "x.com/v1",
		"http://user@host", "http://user:pw@host", "http://host#x", "http://host/#x",
		"http://ho st", "http://host\\@evil", "http://host/\\x", "http://h%6fst",
		"http://host\n", "http://h\xc3\xb6st", "http://host\x7f", "http://host:",
		"http://host:0", "http://host:080", "http://host:65536", "http://host:-1",
		"http://host:1x", "http://host:80:80", "http://.host", "http://a..b", "http://a.",
		/* other ways to write an address */
		"http://127.1", "http://2130706433", "http://0177.0.0.1", "http://0x7f.0.0.1",
		"http://0x7f000001", "http://127.0.0.1.", "http://256.0.0.1", "http://1.2.3",
		"http://127.0.0.01", "http://foo.0x10",
		"http://[::1", "http://::1", "http://[::1]x", "http://[::1]:", "http://[]",
		"http://[0:0:0:0:0:0:0:1]", "http://[::0001]", "http://[fe80::1%eth0]",
		"http://[::127.0.0.1.1]", "http://[127.0.0.1]",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct sl_url url;

		if (sl_url_parse(sl_slice_str(bad[i]), &url) != SL_ESYNTAX)
			fail_msg("%s was taken", bad[i]);
	}
}

static void
a_nul_ends_nothing(void **state)
{
	struct sl_url url;

	(void)state;
	assert_int_equal(sl_url_parse(SL_SLICE("http://a\0b"), &url), SL_ESYNTAX);
	assert_int_equal(sl_url_parse(SL_SLICE("http://[::1\0]"), &url), SL_ESYNTAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_ones_are_split),
		cmocka_unit_test(ambiguous_ones_are_refused),
		cmocka_unit_test(a_nul_ends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

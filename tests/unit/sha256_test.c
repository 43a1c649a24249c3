/* sha256_test.c - the published examples: FIPS 180-4, RFC 4231. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/sha256.h"

static void
assert_hex(const unsigned char digest[SL_SHA256_SIZE], const char *hex)
{
	static const char digits[] = "0123456789abcdef";
	char text[2 * SL_SHA256_SIZE + 1] = { 0 };

	for (size_t i = 0; i < SL_SHA256_SIZE; i++) {
		text[2 * i] = digits[digest[i] >> 4];
		text[2 * i + 1] = digits[digest[i] & 15];
	}
	assert_string_equal(text, hex);
}

static void
digests_are_those_of_the_standard(void **state)
{
	static const struct {
		const char *text, *hex;
	} cases[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};
	unsigned char digest[SL_SHA256_SIZE];
	char thousand[1000];
	struct sl_sha256 hash;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_slice text = sl_slice_str(cases[i].text);

		sl_sha256(text, digest);
		assert_hex(digest, cases[i].hex);
		for (size_t cut = 0; cut <= text.len; cut++) {
			struct sl_sha256 copy;

			sl_sha256_begin(&hash);
			sl_sha256_add(&hash, sl_slice_upto(text, cut));
			copy = hash;
			sl_sha256_add(&hash, SL_SLICE("goes on by itself"));
			sl_sha256_add(&copy, sl_slice_from(text, cut));
			sl_sha256_end(&copy, digest);
			assert_hex(digest, cases[i].hex);
		}
	}
	memset(thousand, 'a', sizeof(thousand));
	sl_sha256_begin(&hash);
	for (int i = 0; i < 1000; i++)
		sl_sha256_add(&hash, sl_slice_make(thousand, sizeof(thousand)));
	sl_sha256_end(&hash, digest);
	assert_hex(digest, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void
parts_do_not_run_together(void **state)
{
	const struct sl_slice divided[][2] = { { SL_SLICE("ab"), SL_SLICE("c") },
		                               { SL_SLICE("a"), SL_SLICE("bc") },
		                               { SL_SLICE("abc"), SL_SLICE_NONE } };
	unsigned char digests[3][SL_SHA256_SIZE];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct sl_sha256 hash;

		sl_sha256_begin(&hash);
		sl_sha256_add_part(&hash, divided[i][0]);
		sl_sha256_add_part(&hash, divided[i][1]);
		sl_sha256_end(&hash, digests[i]);
	}
	assert_memory_not_equal(digests[0], digests[1], SL_SHA256_SIZE);
	assert_memory_not_equal(digests[0], digests[2], SL_SHA256_SIZE);
	assert_memory_not_equal(digests[1], digests[2], SL_SHA256_SIZE);
	/* The form is on disks: eight bytes of length, the lowest first. */
	sl_sha256(SL_SLICE("\2\0\0\0\0\0\0\0ab\1\0\0\0\0\0\0\0c"), digests[1]);
	assert_memory_equal(digests[0], digests[1], SL_SHA256_SIZE);
}

static void
authentication_codes_are_those_of_the_standard(void **state)
{
	char long_key[131], fifty_dd[50];
	const struct {
		struct sl_slice key, text;
		const char     *hex;
	} cases[] = {
		{ SL_SLICE_INIT("\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"
		                "\x0b\x0b\x0b\x0b"), SL_SLICE_INIT("Hi There"),
		  "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
		{ SL_SLICE_INIT("Jefe"), SL_SLICE_INIT("what do ya want for nothing?"),
		  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
		{ SL_SLICE_INIT("\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
		                "\xaa\xaa\xaa\xaa"), { fifty_dd, sizeof(fifty_dd) },
		  "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe" },
		{ { long_key, sizeof(long_key) },
		  SL_SLICE_INIT("Test Using Larger Than Block-Size Key - Hash Key First"),
		  "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
	};
	unsigned char code[SL_SHA256_SIZE];

	(void)state;
	memset(long_key, 0xaa, sizeof(long_key));
	memset(fifty_dd, 0xdd, sizeof(fifty_dd));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_hmac hmac;

		sl_hmac(cases[i].key, cases[i].text, code);
		assert_hex(code, cases[i].hex);
		sl_hmac_init(&hmac, cases[i].key);
		for (int again = 0; again < 2; again++) {
			sl_hmac_of(&hmac, cases[i].text, code);
			assert_hex(code, cases[i].hex);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests_are_those_of_the_standard),
		cmocka_unit_test(parts_do_not_run_together),
		cmocka_unit_test(authentication_codes_are_those_of_the_standard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

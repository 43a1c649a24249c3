/* rand_test.c - random bytes are ChaCha20's under a fresh key, whichever way they are made;
 * ULIDs there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "base/rand.c"

enum { BLOCK_SIZE = 64 };

/* The pool as its blocks would stand one after the other. */
static void
in_order(const unsigned char pool[POOL_SIZE], unsigned char out[POOL_SIZE])
{
	for (size_t block = 0; block < POOL_SIZE / BLOCK_SIZE; block++)
		for (size_t word = 0; word < STATE_WORDS; word++)
			memcpy(out + block * BLOCK_SIZE + word * 4,
			       pool + block / LANES * BLOCKS_SIZE + word * sizeof(lanes) +
			           block % LANES * 4, 4);
}

static void
a_pool_is_the_stream_of_its_key(void **state)
{
	static unsigned char pool[POOL_SIZE], stream[POOL_SIZE], expected[POOL_SIZE];
	static const unsigned char zeros[POOL_SIZE];
	unsigned char start[16] = { 0 }; /* block number and nonce */
	uint32_t key[KEY_WORDS];

	(void)state;
	for (int i = 0; i < 50; i++) {
		EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
		int size = 0;

		get_key(key);
		assert_true(EVP_EncryptInit(cipher, EVP_chacha20(), (unsigned char *)key, start));
		assert_true(EVP_EncryptUpdate(cipher, expected, &size, zeros, POOL_SIZE));
		assert_int_equal(size, POOL_SIZE);
		EVP_CIPHER_CTX_free(cipher);
		stretch(key, pool);
		in_order(pool, stream);
		assert_memory_equal(stream, expected, POOL_SIZE);
#ifdef SL_AVX2
		if (sl_has_avx2()) {
			stretch_avx2(key, pool);
			in_order(pool, stream);
			assert_memory_equal(stream, expected, POOL_SIZE);
		}
#endif
	}
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

/* Of 16 bytes each, over many pools and their ends: no two are alike. */
static void
no_bytes_come_twice(void **state)
{
	enum { TAKEN = 20000 };
	static unsigned char taken[TAKEN][16];
	static unsigned char odd[2 * POOL_SIZE + 7];
	unsigned bits = 0;

	(void)state;
	for (size_t i = 0; i < TAKEN; i++) {
		sl_rand_bytes(taken[i], 16);
		if (i % 1000 == 0)
			sl_rand_bytes(odd, i % sizeof(odd));
		for (int k = 0; k < 16; k++)
			bits += (unsigned)__builtin_popcount(taken[i][k]);
	}
	qsort(taken, TAKEN, 16, compare);
	for (size_t i = 1; i < TAKEN; i++)
		assert_memory_not_equal(taken[i - 1], taken[i], 16);
	/* Half of them, 20 standard deviations of 800 either way. */
	assert_in_range(bits, TAKEN * 64 - 16000, TAKEN * 64 + 16000);
}

static void
ulids_there_and_back(void **state)
{
	unsigned char bytes[SL_ULID_SIZE];
	char text[SL_ULID_LEN + 1], again[SL_ULID_LEN + 1];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		int64_t wall_ms = 1700000000000 + i * 86400000LL, told_ms;

		sl_rand_ulid(text, wall_ms);
		assert_int_equal(strlen(text), SL_ULID_LEN);
		assert_true(sl_ulid_bytes(sl_slice_str(text), bytes));
		for (int k = 0; k < 6; k++)
			assert_int_equal(bytes[k], (unsigned char)(wall_ms >> (40 - 8 * k)));
		sl_ulid_text(bytes, again);
		assert_string_equal(text, again);
		assert_true(sl_ulid_time(sl_slice_str(text), &told_ms));
		assert_int_equal(told_ms, wall_ms);
	}
	/* The largest, and each digit's place. */
	assert_true(sl_ulid_bytes(SL_SLICE("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"), bytes));
	for (int k = 0; k < SL_ULID_SIZE; k++)
		assert_int_equal(bytes[k], 0xff);
	for (size_t at = 0; at < SL_ULID_LEN; at++) {
		memset(text, '0', SL_ULID_LEN);
		text[at] = '1';
		assert_true(sl_ulid_bytes(sl_slice_str(text), bytes));
		for (size_t k = 0, bit = 5 * (SL_ULID_LEN - 1 - at); k < SL_ULID_SIZE; k++)
			assert_int_equal(bytes[k], bit / 8 == 15 - k ? 1 << bit % 8 : 0);
	}
}

static void
what_is_no_ulid_is_refused(void **state)
{
	static const char *const wrong[] = {
		"", "01HZX3J9Q3N8Y5T2W7V4K6M1P", "01HZX3J9Q3N8Y5T2W7V4K6M1P00",
		"81HZX3J9Q3N8Y5T2W7V4K6M1P0", "/1HZX3J9Q3N8Y5T2W7V4K6M1P0",
		"01HZX3J9Q3N8Y5T2W7V4K6M1PI", "01HZX3J9Q3N8L5T2W7V4K6M1P0",
		"01HZX3J9Q3N8O5T2W7V4K6M1P0", "01HZX3J9Q3N8Y5U2W7V4K6M1P0",
		"01hZX3J9Q3N8Y5T2W7V4K6M1P0", "01HZX3J9Q3N8Y-T2W7V4K6M1P0",
		"01HZX3J9Q3N8Y\3772W7V4K6M1P0",
	};
	unsigned char bytes[SL_ULID_SIZE];
	int64_t wall_ms;

	(void)state;
	assert_false(sl_ulid_time(SL_SLICE("01HZX3J9Q"), &wall_ms));
	assert_false(sl_ulid_time(SL_SLICE("81HZX3J9Q3N8Y5T2W7V4K6M1P0"), &wall_ms));
	assert_false(sl_ulid_time(SL_SLICE("01HZX3J9QUN8Y5T2W7V4K6M1P0"), &wall_ms));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(sl_ulid_bytes(sl_slice_str(wrong[i]), bytes));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pool_is_the_stream_of_its_key),
		cmocka_unit_test(no_bytes_come_twice),
		cmocka_unit_test(ulids_there_and_back),
		cmocka_unit_test(what_is_no_ulid_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

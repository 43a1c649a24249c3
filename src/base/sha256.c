/* sha256.c - FIPS 180-4 by OpenSSL's low-level functions; RFC 2104 on top. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/sha256.h"

#include <openssl/crypto.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK_SIZE = 64 };

void
sl_sha256_begin(struct sl_sha256 *hash)
{
	SHA256_Init(&hash->context);
}

void
sl_sha256_add(struct sl_sha256 *hash, struct sl_slice bytes)
{
	if (bytes.len)
		SHA256_Update(&hash->context, bytes.ptr, bytes.len);
}

void
sl_sha256_add_part(struct sl_sha256 *hash, struct sl_slice bytes)
{
	unsigned char len[8];

	for (int i = 0; i < 8; i++)
		len[i] = (unsigned char)((uint64_t)bytes.len >> 8 * i);
	SHA256_Update(&hash->context, len, sizeof(len));
	sl_sha256_add(hash, bytes);
}

void
sl_sha256_end(struct sl_sha256 *hash, unsigned char out[SL_SHA256_SIZE])
{
	SHA256_Final(out, &hash->context);
}

void
sl_sha256(struct sl_slice bytes, unsigned char out[SL_SHA256_SIZE])
{
	struct sl_sha256 hash;

	sl_sha256_begin(&hash);
	sl_sha256_add(&hash, bytes);
	sl_sha256_end(&hash, out);
}

void
sl_hmac_init(struct sl_hmac *hmac, struct sl_slice key)
{
	unsigned char block[BLOCK_SIZE] = { 0 };

	if (key.len > sizeof(block))
		sl_sha256(key, block);
	else if (key.len)
		memcpy(block, key.ptr, key.len);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36;
	sl_sha256_begin(&hmac->inner);
	sl_sha256_add(&hmac->inner, sl_slice_make((const char *)block, sizeof(block)));
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36 ^ 0x5c;
	sl_sha256_begin(&hmac->outer);
	sl_sha256_add(&hmac->outer, sl_slice_make((const char *)block, sizeof(block)));
	OPENSSL_cleanse(block, sizeof(block));
}

void
sl_hmac_of(const struct sl_hmac *hmac, struct sl_slice text, unsigned char out[SL_SHA256_SIZE])
{
	struct sl_sha256 hash = hmac->inner;

	sl_sha256_add(&hash, text);
	sl_sha256_end(&hash, out);
	hash = hmac->outer;
	sl_sha256_add(&hash, sl_slice_make((const char *)out, SL_SHA256_SIZE));
	sl_sha256_end(&hash, out);
}

void
sl_hmac(struct sl_slice key, struct sl_slice text, unsigned char out[SL_SHA256_SIZE])
{
	struct sl_hmac hmac;

	sl_hmac_init(&hmac, key);
	sl_hmac_of(&hmac, text, out);
	OPENSSL_cleanse(&hmac, sizeof(hmac));
}

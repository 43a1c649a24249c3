/* digest.c - keyed digests and the form of secrets.
 *
 * An HMAC context is costly to make and cheap to reuse (OpenSSL 3: 1.5 us
 * against 0.3 us), so each thread keeps one. The contexts hang on the digester,
 * which frees them all: loops live as long as it does, and a thread that ended
 * early leaves one context behind until then.
 */
#include "ledger/digest.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <zlib.h>

#include "base/rand.h"

struct sl_digester_thread {
	struct sl_digester_thread *next;
	EVP_MAC_CTX               *context;
};

enum sl_err
sl_digester_init(struct sl_digester *digester, const unsigned char pepper[SL_PEPPER_SIZE])
{
	memset(digester, 0, sizeof(*digester));
	memcpy(digester->pepper, pepper, SL_PEPPER_SIZE);
	digester->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (!digester->mac)
		return SL_ENOMEM;
	if (pthread_key_create(&digester->key, NULL) != 0) {
		EVP_MAC_free(digester->mac);
		digester->mac = NULL;
		return SL_ENOMEM;
	}
	pthread_mutex_init(&digester->lock, NULL);
	return SL_OK;
}

void
sl_digester_release(struct sl_digester *digester)
{
	struct sl_digester_thread *thread, *next;

	if (!digester->mac)
		return;
	for (thread = digester->threads; thread; thread = next) {
		next = thread->next;
		EVP_MAC_CTX_free(thread->context);
		free(thread);
	}
	pthread_key_delete(digester->key);
	pthread_mutex_destroy(&digester->lock);
	EVP_MAC_free(digester->mac);
	OPENSSL_cleanse(digester, sizeof(*digester));
}

static EVP_MAC_CTX *
new_context(struct sl_digester *digester)
{
	char name[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
		OSSL_PARAM_construct_end(),
	};
	struct sl_digester_thread *thread = malloc(sizeof(*thread));
	EVP_MAC_CTX *context = EVP_MAC_CTX_new(digester->mac);

	if (!thread || !context ||
	    !EVP_MAC_init(context, digester->pepper, SL_PEPPER_SIZE, params) ||
	    pthread_setspecific(digester->key, context) != 0) {
		EVP_MAC_CTX_free(context);
		free(thread);
		return NULL;
	}
	thread->context = context;
	pthread_mutex_lock(&digester->lock);
	thread->next = digester->threads;
	digester->threads = thread;
	pthread_mutex_unlock(&digester->lock);
	return context;
}

bool
sl_digest(struct sl_digester *digester, struct sl_slice secret, unsigned char out[SL_DIGEST_SIZE])
{
	EVP_MAC_CTX *context = pthread_getspecific(digester->key);
	size_t size;

	if (!context && !(context = new_context(digester)))
		return false;
	/* Without a key, init starts over under the one it has. */
	return EVP_MAC_init(context, NULL, 0, NULL) &&
	       EVP_MAC_update(context, (const unsigned char *)secret.ptr, secret.len) &&
	       EVP_MAC_final(context, out, &size, SL_DIGEST_SIZE);
}

bool
sl_digest_eq(const unsigned char a[SL_DIGEST_SIZE], const unsigned char b[SL_DIGEST_SIZE])
{
	return CRYPTO_memcmp(a, b, SL_DIGEST_SIZE) == 0;
}

/* --- the form of secrets --------------------------------------------------- */

enum { CRC_HEX_LEN = 8 };

static const struct {
	const char *surface;
	const char *prefix;
} surfaces[] = {
#define SURFACE_ROW(surface, prefix) { surface, prefix },
	SL_KEY_SURFACES(SURFACE_ROW)
#undef SURFACE_ROW
};

const char *
sl_secret_prefix(struct sl_slice surface)
{
	for (size_t i = 0; i < sizeof(surfaces) / sizeof(surfaces[0]); i++)
		if (sl_slice_is(surface, surfaces[i].surface))
			return surfaces[i].prefix;
	return NULL;
}

static void
crc_hex(struct sl_slice bytes, char out[CRC_HEX_LEN])
{
	/* As in IEEE 802.3 and zlib. */
	uint32_t crc = (uint32_t)crc32_z(0, (const Bytef *)bytes.ptr, bytes.len);
	unsigned char big_endian[4] = { (unsigned char)(crc >> 24), (unsigned char)(crc >> 16),
		                        (unsigned char)(crc >> 8), (unsigned char)crc };

	sl_hex_encode(big_endian, sizeof(big_endian), out);
}

size_t
sl_secret_mint(const char *prefix, char *out)
{
	unsigned char random[(SL_SECRET_HEX_LEN - CRC_HEX_LEN) / 2];
	size_t len = strlen(prefix);

	memcpy(out, prefix, len);
	sl_rand_bytes(random, sizeof(random));
	sl_hex_encode(random, sizeof(random), out + len);
	OPENSSL_cleanse(random, sizeof(random));
	len += 2 * sizeof(random);
	crc_hex(sl_slice_make(out, len), out + len);
	len += CRC_HEX_LEN;
	out[len] = '\0';
	return len;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool
sl_secret_shaped(struct sl_slice secret)
{
	size_t prefix_len = secret.len - SL_SECRET_HEX_LEN;
	bool known = false;

	if (secret.len <= SL_SECRET_HEX_LEN)
		return false;
	for (size_t i = 0; i < sizeof(surfaces) / sizeof(surfaces[0]) && !known; i++)
		known = sl_slice_is(sl_slice_upto(secret, prefix_len), surfaces[i].prefix);
	if (!known)
		return false;
	for (size_t i = prefix_len; i < secret.len; i++)
		if (hex_value(secret.ptr[i]) < 0)
			return false;
	return true;
}

bool
sl_secret_intact(struct sl_slice secret)
{
	size_t len = secret.len - CRC_HEX_LEN;
	char expected[CRC_HEX_LEN];

	crc_hex(sl_slice_upto(secret, len), expected);
	return memcmp(expected, secret.ptr + len, CRC_HEX_LEN) == 0;
}

void
sl_hex_encode(const unsigned char *bytes, size_t size, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < size; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
}

bool
sl_hex_decode(struct sl_slice text, unsigned char *out, size_t size)
{
	if (text.len != 2 * size)
		return false;
	for (size_t i = 0; i < size; i++) {
		int high = hex_value(text.ptr[2 * i]), low = hex_value(text.ptr[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

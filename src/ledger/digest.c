/* digest.c - keyed digests and the form of secrets.
 *
 * A client presents the same credential with every request, so each thread remembers
 * the last digests by a fingerprint: SipHash-2-4 with 128 bits under a random key of
 * the process (https://131002.net/siphash/). Nobody who does not know that key can
 * make two credentials of one fingerprint, and the credential itself is not kept. Only
 * the digest is remembered, never what it was good for: that is looked up each time.
 * What threads remember hangs on the digester, which frees it all: loops live as long as
 * it does, and a thread that ended early leaves its part behind until then.
 */
#include "ledger/digest.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include <zlib.h>

#include "base/rand.h"

enum { REMEMBERED = 64 };

struct fingerprint {
	uint64_t low, high;
};

struct sl_digester_thread {
	struct sl_digester_thread *next;
	struct {
		struct fingerprint of;
		unsigned char      digest[SL_DIGEST_SIZE];
		bool               used;
	} remembered[REMEMBERED];
};

/* --- fingerprints ------------------------------------------------------------- */

struct sip {
	uint64_t a, b, c, d;
};

static inline uint64_t
rotate(uint64_t value, int bits)
{
	return value << bits | value >> (64 - bits);
}

/* By value, so that it stays in registers. */
static inline __attribute__((always_inline)) struct sip
sip_round(struct sip v)
{
	v.a += v.b;
	v.b = rotate(v.b, 13) ^ v.a;
	v.a = rotate(v.a, 32);
	v.c += v.d;
	v.d = rotate(v.d, 16) ^ v.c;
	v.a += v.d;
	v.d = rotate(v.d, 21) ^ v.a;
	v.c += v.b;
	v.b = rotate(v.b, 17) ^ v.c;
	v.c = rotate(v.c, 32);
	return v;
}

static inline struct sip
sip_word(struct sip v, uint64_t word)
{
	v.d ^= word;
	v = sip_round(sip_round(v));
	v.a ^= word;
	return v;
}

static inline struct sip
sip_end(struct sip v)
{
	for (int i = 0; i < 4; i++)
		v = sip_round(v);
	return v;
}

static struct fingerprint
fingerprint_of(const uint64_t key[2], struct sl_slice secret)
{
	struct sip v = { key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d ^ 0xee,
		         key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573 };
	uint64_t word, last = (uint64_t)secret.len << 56;
	struct fingerprint out;
	size_t at = 0;

	for (; at + sizeof(word) <= secret.len; at += sizeof(word)) {
		memcpy(&word, secret.ptr + at, sizeof(word));
		v = sip_word(v, word);
	}
	for (size_t i = at; i < secret.len; i++)
		last |= (uint64_t)(unsigned char)secret.ptr[i] << 8 * (i - at);
	v = sip_word(v, last);
	v.c ^= 0xee;
	v = sip_end(v);
	out.low = v.a ^ v.b ^ v.c ^ v.d;
	v.b ^= 0xdd;
	v = sip_end(v);
	out.high = v.a ^ v.b ^ v.c ^ v.d;
	return out;
}

/* --- digests -------------------------------------------------------------------- */

enum sl_err
sl_digester_init(struct sl_digester *digester, const unsigned char pepper[SL_PEPPER_SIZE])
{
	memset(digester, 0, sizeof(*digester));
	sl_hmac_init(&digester->hmac, sl_slice_make((const char *)pepper, SL_PEPPER_SIZE));
	digester->fingerprint_key[0] = sl_rand_u64();
	digester->fingerprint_key[1] = sl_rand_u64();
	if (pthread_key_create(&digester->key, NULL) != 0)
		return SL_ENOMEM;
	pthread_mutex_init(&digester->lock, NULL);
	digester->open = true;
	return SL_OK;
}

void
sl_digester_release(struct sl_digester *digester)
{
	struct sl_digester_thread *thread, *next;

	if (!digester->open)
		return;
	for (thread = digester->threads; thread; thread = next) {
		next = thread->next;
		OPENSSL_cleanse(thread, sizeof(*thread));
		free(thread);
	}
	pthread_key_delete(digester->key);
	pthread_mutex_destroy(&digester->lock);
	OPENSSL_cleanse(digester, sizeof(*digester));
}

static struct sl_digester_thread *
new_thread(struct sl_digester *digester)
{
	struct sl_digester_thread *thread = calloc(1, sizeof(*thread));

	if (!thread || pthread_setspecific(digester->key, thread) != 0) {
		free(thread);
		return NULL;
	}
	pthread_mutex_lock(&digester->lock);
	thread->next = digester->threads;
	digester->threads = thread;
	pthread_mutex_unlock(&digester->lock);
	return thread;
}

bool
sl_digest(struct sl_digester *digester, struct sl_slice secret, unsigned char out[SL_DIGEST_SIZE])
{
	struct sl_digester_thread *thread = pthread_getspecific(digester->key);
	struct fingerprint of = fingerprint_of(digester->fingerprint_key, secret);
	size_t slot = of.low % REMEMBERED;

	if (!thread && !(thread = new_thread(digester)))
		return false;
	if (thread->remembered[slot].used &&
	    ((thread->remembered[slot].of.low ^ of.low) |
	     (thread->remembered[slot].of.high ^ of.high)) == 0) {
		memcpy(out, thread->remembered[slot].digest, SL_DIGEST_SIZE);
		return true;
	}
	sl_hmac_of(&digester->hmac, secret, out);
	thread->remembered[slot].of = of;
	memcpy(thread->remembered[slot].digest, out, SL_DIGEST_SIZE);
	thread->remembered[slot].used = true;
	return true;
}

bool
sl_digest_eq(const unsigned char a[SL_DIGEST_SIZE], const unsigned char b[SL_DIGEST_SIZE])
{
	uint64_t left[SL_DIGEST_SIZE / 8], right[SL_DIGEST_SIZE / 8], differ = 0;

	/* All of it is looked at, whatever differs. */
	memcpy(left, a, sizeof(left));
	memcpy(right, b, sizeof(right));
	for (size_t i = 0; i < SL_DIGEST_SIZE / 8; i++)
		differ |= left[i] ^ right[i];
	return differ == 0;
}

/* --- the form of secrets --------------------------------------------------- */

enum { CRC_HEX_LEN = 8 };

static const struct {
	const char *surface;
	const char *prefix;
} surfaces[] = {
#define SL_SURFACE(id, prefix) { #id, prefix },
#include "model/surfaces.def"
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

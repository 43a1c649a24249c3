/* sha256.h - SHA-256 and HMAC-SHA-256, which cannot fail.
 *
 * OpenSSL 3 looks an algorithm up in its providers, and loads these for the first one: 4 ms
 * of a start and 2 MB. The same code, with the processor's own instructions, stands behind
 * its older functions, which need neither.
 */
#ifndef SL_BASE_SHA256_H
#define SL_BASE_SHA256_H

#include <openssl/sha.h>

#include "base/slice.h"

enum { SL_SHA256_SIZE = 32 };

/* A digest in the making; a copy goes on by itself. */
struct sl_sha256 {
	SHA256_CTX context;
};

void sl_sha256_begin(struct sl_sha256 *hash);
void sl_sha256_add(struct sl_sha256 *hash, struct sl_slice bytes);
/* The same with the length before them, so that no byte can move from one part to the next. */
void sl_sha256_add_part(struct sl_sha256 *hash, struct sl_slice bytes);
void sl_sha256_end(struct sl_sha256 *hash, unsigned char out[SL_SHA256_SIZE]);
void sl_sha256(struct sl_slice bytes, unsigned char out[SL_SHA256_SIZE]);

/* A key, ready for many texts; as secret as the key itself. */
struct sl_hmac {
	struct sl_sha256 inner, outer;
};

void sl_hmac_init(struct sl_hmac *hmac, struct sl_slice key);
void sl_hmac_of(const struct sl_hmac *hmac, struct sl_slice text,
                unsigned char out[SL_SHA256_SIZE]);
/* For one text; nothing of the key stays behind. */
void sl_hmac(struct sl_slice key, struct sl_slice text, unsigned char out[SL_SHA256_SIZE]);

#endif

/* digest.h - what is kept of a secret, and what a secret looks like.
 *
 * Of every credential only HMAC-SHA-256 under the store's pepper is kept: who
 * can read the database learns no key, and who can only write to it (a restored
 * backup, an injected row) cannot mint one.
 *
 * A minted secret is its surface's prefix, 56 random hexadecimal digits (224
 * bits) and 8 more, the CRC-32 of everything before them, so that scanners and
 * people can tell a mistyped key from an unknown one without asking anybody.
 */
#ifndef SL_LEDGER_DIGEST_H
#define SL_LEDGER_DIGEST_H

#include <pthread.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/sha256.h"
#include "base/slice.h"

enum {
	SL_DIGEST_SIZE = 32,       /* bytes */
	SL_PEPPER_SIZE = 32,
	SL_SECRET_HEX_LEN = 64,    /* behind the prefix */
	SL_SECRET_MAX = 512,       /* bytes of any credential that is looked at */
	SL_SECRET_HINT_HEX = 4,    /* shown to people with the prefix */
};

struct sl_digester_thread;

/* Embedded. shared: frozen after init; every thread remembers digests of its own. */
struct sl_digester {
	struct sl_hmac             hmac;    /* under the pepper */
	uint64_t                   fingerprint_key[2]; /* random, of this process */
	bool                       open;
	pthread_key_t              key;
	pthread_mutex_t            lock;    /* guards threads */
	struct sl_digester_thread *threads;
};

enum sl_err sl_digester_init(struct sl_digester *digester,
                             const unsigned char pepper[SL_PEPPER_SIZE]);
void sl_digester_release(struct sl_digester *digester);
/* False: out of memory. Any thread. */
bool sl_digest(struct sl_digester *digester, struct sl_slice secret,
               unsigned char out[SL_DIGEST_SIZE]);
/* Constant time. */
bool sl_digest_eq(const unsigned char a[SL_DIGEST_SIZE], const unsigned char b[SL_DIGEST_SIZE]);

/* The prefix of a surface's keys; NULL when there is no such surface. */
const char *sl_secret_prefix(struct sl_slice surface);

/* Writes prefix and digits, NUL-terminated; returns the length. out holds
 * strlen(prefix) + SL_SECRET_HEX_LEN + 1 bytes. */
size_t sl_secret_mint(const char *prefix, char *out);
/* Whether it has a known prefix, the right length and only hexadecimal digits:
 * anything else is no key of ours and is not worth a digest. */
bool sl_secret_shaped(struct sl_slice secret);
/* Whether the CRC-32 of a shaped secret fits. */
bool sl_secret_intact(struct sl_slice secret);

void sl_hex_encode(const unsigned char *bytes, size_t size, char *out); /* 2 * size, no NUL */
/* False unless text is exactly 2 * size hexadecimal digits. */
bool sl_hex_decode(struct sl_slice text, unsigned char *out, size_t size);

#endif

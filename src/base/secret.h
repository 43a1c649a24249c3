/* secret.h - bytes that must not be printed.
 *
 * A secret is not a slice and has no function that formats it; the one way out
 * is sl_secret_reveal, whose callers are the header writers and digests. The
 * bytes live outside core dumps (MADV_DONTDUMP) where the kernel allows, and
 * are wiped on release.
 */
#ifndef SL_BASE_SECRET_H
#define SL_BASE_SECRET_H

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"

/* Zero-initialised: empty. Thread: its owner's; distinct secrets may be set and
 * released on any thread. */
struct sl_secret {
	void  *opaque; /* private */
	size_t opaque_len;
};

/* Copies bytes, at most 64 KiB (SL_ELIMIT), in place of what it held; on
 * failure (SL_ENOMEM) it keeps that. */
enum sl_err sl_secret_set(struct sl_secret *secret, struct sl_slice bytes);
void sl_secret_release(struct sl_secret *secret);
bool sl_secret_empty(const struct sl_secret *secret);
/* Constant-time comparison of contents; only the length can be learnt. */
bool sl_secret_eq(const struct sl_secret *secret, struct sl_slice bytes);
/* Borrowed until release. Only for writing a credential header or a digest. */
struct sl_slice sl_secret_reveal(const struct sl_secret *secret);

#endif

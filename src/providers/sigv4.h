/* sigv4.h - AWS Signature Version 4 for one request.
 *
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
 *
 * Pure: time comes in, header fields come out. The path is signed as every
 * service but S3 expects it: each segment percent-encoded once more than it
 * stands in the request, so an ARN's %3A is signed as %253A.
 */
#ifndef SL_PROVIDERS_SIGV4_H
#define SL_PROVIDERS_SIGV4_H

#include <stdint.h>

#include "base/arena.h"
#include "base/headers.h"
#include "base/secret.h"
#include "base/slice.h"

struct sl_sigv4_credential {
	struct sl_slice         access_key_id;
	const struct sl_secret *secret_key;
	const struct sl_secret *session_token; /* NULL or empty: a long-lived credential */
};

struct sl_sigv4_request {
	struct sl_slice         method;
	struct sl_slice         host;   /* as in the Host field, with a port that is not usual */
	struct sl_slice         path;   /* as sent: percent-encoded once */
	struct sl_slice         query;  /* as sent, without '?'; may be empty */
	const struct sl_slice  *body;   /* parts, in order */
	size_t                  body_count;
	struct sl_slice         region, service;
	int64_t                 time_s; /* Unix time; AWS refuses one that is 5 minutes off */
};

enum { SL_SIGV4_HEADERS = 4 };

/* Fields to send besides Host: x-amz-date, x-amz-content-sha256, authorization
 * and, with a session token, x-amz-security-token. Signed are those and Host.
 * Values on the arena, the token's on its secret. Returns how many, 0: out of
 * memory, or a path or query of more than 8 KiB. Any thread. */
size_t sl_sigv4_sign(const struct sl_sigv4_credential *credential,
                     const struct sl_sigv4_request *request, struct sl_arena *arena,
                     struct sl_header out[SL_SIGV4_HEADERS]);

#endif

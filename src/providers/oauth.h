/* oauth.h - access tokens that a provider wants instead of a key.
 *
 * Two grants: a signed assertion of a Google service account (RFC 7523,
 * https://developers.google.com/identity/protocols/oauth2/service-account) and
 * Microsoft Entra client credentials (RFC 6749 4.4,
 * https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow).
 * This file writes the form that is posted to the token endpoint and reads the
 * answer; it touches no socket and no clock.
 */
#ifndef SL_PROVIDERS_OAUTH_H
#define SL_PROVIDERS_OAUTH_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/slice.h"

/* A service account as in the JSON file that Google issues for it. Slices on the
 * arena it was read to. */
struct sl_oauth_account {
	struct sl_slice email;
	struct sl_slice key_id;
	struct sl_slice token_url;
	struct sl_slice project;
	void           *key; /* private: its RSA key */
};

/* Reads the file's text. On failure *why says what is wrong, in words for the
 * operator, without a byte of the key. Release in any case. The text is the
 * caller's to wipe. */
enum sl_err sl_oauth_account_read(struct sl_slice json, struct sl_arena *arena,
                                  struct sl_oauth_account *account, const char **why);
void sl_oauth_account_release(struct sl_oauth_account *account);

/* application/x-www-form-urlencoded bodies for the token endpoint; a credential:
 * wipe it after use. SL_ELIMIT (longer than 16 KiB), SL_ENOMEM. Any thread. */
enum sl_err sl_oauth_account_form(const struct sl_oauth_account *account, struct sl_slice scope,
                                  int64_t now_s, struct sl_secret *form);
enum sl_err sl_oauth_client_form(struct sl_slice client_id, const struct sl_secret *client_secret,
                                 struct sl_slice scope, struct sl_secret *form);

/* Reads a token endpoint's 200 (RFC 6749 5.1). `header` becomes the value of the
 * Authorization field ("Bearer ..."), *lifetime_s how long it is good from now.
 * SL_ESYNTAX: it is no such answer, or no bearer token. */
enum sl_err sl_oauth_reply_read(struct sl_slice body, struct sl_secret *header,
                                int64_t *lifetime_s);

#endif

/* trust.h - certificates of authorities, by file.
 *
 * A public bundle holds 140 of them, of which a process meets three. They are kept as
 * they stand in the file, found by subject, and made certificates when a chain asks for
 * one: reading a bundle takes 1 ms instead of 20, and 0.2 MB instead of 1.3. Files are
 * shared: whoever names one that did not change since has what was read. Any thread.
 */
#ifndef SL_NET_TRUST_H
#define SL_NET_TRUST_H

#include <openssl/x509.h>
#include <stdbool.h>

struct sl_trust;

/* What a PEM file holds; NULL: the system's store, file and directory. NULL when it cannot
 * be read, holds no certificate, or one that is none; OpenSSL's queue of errors says why.
 * Of each the frame is checked; what is wrong inside is found when a chain asks for it. */
struct sl_trust *sl_trust_take(const char *ca_file);
/* Whether the first certificate of a file is one, by its frame. */
bool sl_trust_check(const char *ca_file);
/* Harmless with NULL. */
void sl_trust_give(struct sl_trust *trust);
/* For SSL_CTX_set1_cert_store; the trust must outlive its use. */
X509_STORE *sl_trust_store(const struct sl_trust *trust);

#endif

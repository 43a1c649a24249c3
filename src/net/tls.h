/* tls.h - TLS 1.2 and 1.3 through OpenSSL 3, both sides.
 *
 * Client side: the peer is always verified against the system's store or one
 * CA file, by name, without partial wildcards; there is no switch to turn that
 * off. Sessions are resumed per origin. Contexts are shared: frozen.
 */
#ifndef SL_NET_TLS_H
#define SL_NET_TLS_H

#include "base/err.h"
#include "base/slice.h"
#include "net/sock.h"

struct sl_tls_context;

/* Server context from PEM files (certificate chain and key), ALPN h2 and
 * http/1.1. On error *reason is a text for the operator (static or on the
 * caller's behalf owned by the library until the next call on this thread). */
struct sl_tls_context *sl_tls_server_new(const char *cert_path, const char *key_path,
                                         const char **reason);
/* Client context; ca_file NULL: the system's trust store. offer_h2: ALPN. */
struct sl_tls_context *sl_tls_client_new(const char *ca_file, bool offer_h2,
                                         const char **reason);
struct sl_tls_context *sl_tls_ref(struct sl_tls_context *tls);
void sl_tls_unref(struct sl_tls_context *tls);

/* Puts TLS on a connected socket. host is the verified name and SNI (client)
 * or empty (server). session_key: connections with the same key may resume
 * one another's session (client; empty: no resumption). */
enum sl_err sl_tls_start(struct sl_tls_context *tls, struct sl_sock *sock,
                         struct sl_slice host, struct sl_slice session_key);
/* One step: SL_OK done, SL_AGAIN (see wants_read / wants_write), SL_ETLS;
 * then sl_tls_reason() tells the operator why. */
enum sl_err sl_tls_handshake(struct sl_sock *sock);
const char *sl_tls_reason(const struct sl_sock *sock);
/* "h2", "http/1.1" or empty, after the handshake. */
struct sl_slice sl_tls_alpn(const struct sl_sock *sock);

#endif

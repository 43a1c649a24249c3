/* sock.h - a non-blocking byte stream: TCP, or TLS over TCP.
 *
 * Knows nothing of HTTP. Readiness is the owner's business: it registers
 * sock.fd with its loop and calls again when a call said SL_AGAIN.
 */
#ifndef SL_NET_SOCK_H
#define SL_NET_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/slice.h"

struct ssl_st;
struct sl_tls_context; /* net/tls.h */

struct sl_sock {
	int            fd;   /* -1: closed */
	struct ssl_st *ssl;  /* NULL: plain TCP */
	bool           wants_write; /* TLS needs writability to make progress */
	bool           wants_read;  /* TLS needs readability to make progress */
	bool           failed;      /* broken: only close is left */
};

/* Bytes read (> 0), 0 at an orderly end, SL_AGAIN, SL_ECLOSED (reset, or a TLS
 * end without close_notify), SL_ETLS. */
ssize_t sl_sock_read(struct sl_sock *sock, void *out, size_t size);
/* Bytes written (> 0, maybe fewer than asked), SL_AGAIN, SL_ECLOSED, SL_ETLS. */
ssize_t sl_sock_write(struct sl_sock *sock, const struct iovec *parts, int count);
/* Bytes decrypted but not read yet: epoll does not see them. */
bool sl_sock_has_buffered(const struct sl_sock *sock);
/* Orderly half: TLS close_notify and shutdown(SHUT_WR), best effort. */
void sl_sock_shutdown(struct sl_sock *sock);
/* Frees everything and closes the descriptor. reset: RST instead of FIN. */
void sl_sock_close(struct sl_sock *sock, bool reset);

#endif

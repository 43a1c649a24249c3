/* sock.c - one non-blocking stream over TCP or TLS.
 *
 * A gathered write is one system call on TCP. Over TLS the parts are packed
 * into records of up to 16 KiB first, because every SSL_write makes a record
 * and a system call of its own. A write that said SL_AGAIN must be repeated
 * with the same bytes in front (more may follow): OpenSSL has sealed them in
 * a record already.
 */
#include "net/sock.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compiler.h"

enum { TLS_RECORD_SIZE = 16 * 1024 };

static int
fail(struct sl_sock *sock, int err)
{
	sock->failed = true;
	return err;
}

/* --- TCP --------------------------------------------------------------------- */

/* recv and send of the C library are points of cancellation, which costs each call two locked
 * exchanges. No thread is cancelled here: these are the bare calls. Sanitizers know the
 * library's, and that what was sent by one thread happened before another received it. */
static ssize_t
bare_recv(int fd, void *out, size_t size)
{
	if (SL_SANITIZED)
		return recv(fd, out, size, 0);
	return syscall(SYS_recvfrom, fd, out, size, 0, NULL, NULL);
}

static ssize_t
bare_send(int fd, const void *bytes, size_t size)
{
	if (SL_SANITIZED)
		return send(fd, bytes, size, MSG_NOSIGNAL);
	return syscall(SYS_sendto, fd, bytes, size, MSG_NOSIGNAL, NULL, 0);
}

static ssize_t
tcp_read(struct sl_sock *sock, void *out, size_t size)
{
	ssize_t got;

	do
		got = bare_recv(sock->fd, out, size);
	while (got < 0 && errno == EINTR);
	if (got >= 0)
		return got;
	return errno == EAGAIN || errno == EWOULDBLOCK ? SL_AGAIN : fail(sock, SL_ECLOSED);
}

static ssize_t
tcp_write(struct sl_sock *sock, const struct iovec *parts, int count)
{
	/* sendmsg borrows the vector and does not change it. */
	struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)parts,
		                  .msg_iovlen = (size_t)count };
	ssize_t put;

	/* One part costs the kernel less without a vector. */
	do
		put = count == 1 ? bare_send(sock->fd, parts->iov_base, parts->iov_len)
		                 : sendmsg(sock->fd, &message, MSG_NOSIGNAL);
	while (put < 0 && errno == EINTR);
	if (put > 0)
		return put;
	if (put == 0 || errno == EAGAIN || errno == EWOULDBLOCK)
		return SL_AGAIN;
	return fail(sock, SL_ECLOSED);
}

/* --- TLS --------------------------------------------------------------------- */

/* What the last SSL call on this sock means. */
static int
tls_outcome(struct sl_sock *sock, int result)
{
	unsigned long code;

	switch (SSL_get_error(sock->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		sock->wants_read = true;
		return SL_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		sock->wants_write = true;
		return SL_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		return fail(sock, SL_ECLOSED);
	default:
		code = ERR_peek_last_error();
		ERR_clear_error();
		if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
			return fail(sock, SL_ECLOSED);
		return fail(sock, SL_ETLS);
	}
}

static ssize_t
tls_read(struct sl_sock *sock, char *out, size_t size)
{
	size_t done = 0;

	/* The rest of a record that is decrypted already costs no system call. */
	do {
		size_t got = 0;
		int result = SSL_read_ex(sock->ssl, out + done, size - done, &got);

		if (result != 1)
			return done ? (ssize_t)done : tls_outcome(sock, result);
		done += got;
	} while (done < size && SSL_pending(sock->ssl) > 0);
	return (ssize_t)done;
}

/* The next bytes of parts from offset on, at most one record: borrowed when one
 * part fills it, else packed into room. */
static struct sl_slice
gather(const struct iovec *parts, int count, size_t offset, char *room)
{
	size_t len = 0;

	for (int i = 0; i < count; i++) {
		const char *from = parts[i].iov_base;
		size_t size = parts[i].iov_len;

		if (offset >= size) {
			offset -= size;
			continue;
		}
		from += offset;
		size -= offset;
		offset = 0;
		if (len == 0 && (size >= TLS_RECORD_SIZE || i == count - 1))
			return sl_slice_make(from, size < TLS_RECORD_SIZE ? size : TLS_RECORD_SIZE);
		if (size > TLS_RECORD_SIZE - len)
			size = TLS_RECORD_SIZE - len;
		memcpy(room + len, from, size);
		len += size;
	}
	return sl_slice_make(room, len);
}

static ssize_t
tls_write(struct sl_sock *sock, const struct iovec *parts, int count)
{
	char room[TLS_RECORD_SIZE] SL_UNINIT; /* gather() says how much of it is to be read */
	size_t done = 0;

	for (;;) {
		struct sl_slice next = gather(parts, count, done, room);
		size_t put = 0;
		int result, err;

		if (next.len == 0)
			return done ? (ssize_t)done : SL_AGAIN;
		result = SSL_write_ex(sock->ssl, next.ptr, next.len, &put);
		if (result != 1) {
			err = tls_outcome(sock, result);
			if (done)
				return (ssize_t)done;
			/* The peer's close_notify does not end our side, but
			 * nobody is left to read what we write. */
			return err == 0 ? fail(sock, SL_ECLOSED) : err;
		}
		done += put;
	}
}

/* --- both -------------------------------------------------------------------- */

ssize_t
sl_sock_read(struct sl_sock *sock, void *out, size_t size)
{
	if (sock->failed || sock->fd < 0)
		return SL_ECLOSED;
	if (!sock->ssl)
		return tcp_read(sock, out, size);
	sock->wants_read = sock->wants_write = false;
	ERR_clear_error();
	return tls_read(sock, out, size);
}

ssize_t
sl_sock_write(struct sl_sock *sock, const struct iovec *parts, int count)
{
	if (sock->failed || sock->fd < 0)
		return SL_ECLOSED;
	if (!sock->ssl)
		return tcp_write(sock, parts, count);
	sock->wants_read = sock->wants_write = false;
	ERR_clear_error();
	return tls_write(sock, parts, count);
}

bool
sl_sock_has_buffered(const struct sl_sock *sock)
{
	return sock->ssl && !sock->failed && SSL_pending(sock->ssl) > 0;
}

void
sl_sock_shutdown(struct sl_sock *sock)
{
	if (sock->fd < 0)
		return;
	/* OpenSSL forbids SSL_shutdown after a fatal error or inside a handshake. */
	if (sock->ssl && !sock->failed && SSL_is_init_finished(sock->ssl)) {
		ERR_clear_error();
		SSL_shutdown(sock->ssl);
		ERR_clear_error();
	}
	shutdown(sock->fd, SHUT_WR);
}

void
sl_sock_close(struct sl_sock *sock, bool reset)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	SSL_free(sock->ssl);
	sock->ssl = NULL;
	if (sock->fd >= 0) {
		if (reset)
			setsockopt(sock->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(sock->fd);
	}
	sock->fd = -1;
	sock->failed = true;
}

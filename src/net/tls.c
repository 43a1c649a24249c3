/* tls.c - TLS contexts, handshakes and resumption, over OpenSSL 3.
 *
 * A context holds one set of trust settings (client) or one certificate
 * (server) and is used by every loop at once; after its first connection only its
 * session table changes, under a lock. That table lives in the context, so a session
 * can never be offered under other trust settings than those that verified
 * it; and its key contains the verified name, because resumption does not
 * look at the certificate again.
 *
 * What OpenSSL leaves open by default is closed here: verification is off
 * (SSL_CTX_set_verify(3)), names are not checked (SSL_set1_host(3)), partial
 * wildcards match, renegotiation is allowed. SSL_OP_IGNORE_UNEXPECTED_EOF stays
 * off, so an end without close_notify is told from an orderly one. Early data
 * is never sent or accepted: a replayed request would be bought twice.
 */
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/trust.h"

enum {
	SESSION_MAX = 512,    /* per context */
	HOST_SIZE = 256,      /* RFC 1035: 253 bytes of name */
	SESSION_KEY_SIZE = 512,
	REASON_SIZE = 160,
};

/* One remembered session. The oldest is replaced when the table is full. */
struct session {
	char        *key;
	SSL_SESSION *session;
	uint64_t     used;
};

struct sl_tls_context {
	struct sl_trust *trust; /* NULL: a server's */
	atomic_size_t   refs;
	bool            is_server, offers_h2;
	pthread_mutex_t lock; /* guards what follows */
	SSL_CTX        *ssl_ctx; /* of a client: NULL before its first connection */
	struct session *sessions;
	size_t          session_count;
	uint64_t        clock; /* counts uses, for the choice of the oldest */
};

/* What a connection carries besides its SSL; hangs on it as ex_data. */
struct peer {
	struct sl_tls_context *tls;
	char                  *session_key; /* NULL: no resumption */
	char                  *reason;      /* NULL until the handshake failed */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int peer_slot = -1;

static void
free_peer(void *parent, void *ptr, CRYPTO_EX_DATA *data, int slot, long argl, void *argp)
{
	struct peer *peer = ptr;

	(void)parent, (void)data, (void)slot, (void)argl, (void)argp;
	if (!peer)
		return;
	sl_tls_unref(peer->tls);
	free(peer->session_key);
	free(peer->reason);
	free(peer);
}

static void
init_once(void)
{
	peer_slot = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_peer);
}

/* The first error of this thread's queue, the cause of those behind it, as text;
 * empties the queue. */
static const char *
first_error(void)
{
	static _Thread_local char text[REASON_SIZE];
	unsigned long code = ERR_peek_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	if (code && ERR_SYSTEM_ERROR(code))
		snprintf(text, sizeof(text), "%s", strerror(ERR_GET_REASON(code)));
	else
		snprintf(text, sizeof(text), "%s", reason ? reason : "unknown TLS error");
	ERR_clear_error();
	return text;
}

/* --- remembered sessions --------------------------------------------------- */

static struct session *
find_session(struct sl_tls_context *tls, const char *key)
{
	for (size_t i = 0; i < tls->session_count; i++)
		if (strcmp(tls->sessions[i].key, key) == 0)
			return &tls->sessions[i];
	return NULL;
}

/* A free entry for key, or NULL. The lock is held. */
static struct session *
add_session(struct sl_tls_context *tls, const char *key)
{
	struct session *entry;
	char *copy = strdup(key);

	if (!copy)
		return NULL;
	if (!tls->sessions) {
		tls->sessions = calloc(SESSION_MAX, sizeof(*tls->sessions));
		if (!tls->sessions) {
			free(copy);
			return NULL;
		}
	}
	if (tls->session_count < SESSION_MAX) {
		entry = &tls->sessions[tls->session_count++];
	} else {
		entry = &tls->sessions[0];
		for (size_t i = 1; i < SESSION_MAX; i++)
			if (tls->sessions[i].used < entry->used)
				entry = &tls->sessions[i];
		free(entry->key);
		SSL_SESSION_free(entry->session);
	}
	*entry = (struct session){ .key = copy };
	return entry;
}

/* OpenSSL calls this for every ticket a server sends. 1: we keep the reference. */
static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct peer *peer = SSL_get_ex_data(ssl, peer_slot);
	struct sl_tls_context *tls;
	struct session *entry;

	if (!peer || !peer->session_key)
		return 0;
	tls = peer->tls;
	pthread_mutex_lock(&tls->lock);
	entry = find_session(tls, peer->session_key);
	if (!entry)
		entry = add_session(tls, peer->session_key);
	if (entry) {
		SSL_SESSION_free(entry->session);
		entry->session = session;
		entry->used = ++tls->clock;
	}
	pthread_mutex_unlock(&tls->lock);
	return entry ? 1 : 0;
}

static void
offer_session(struct sl_tls_context *tls, SSL *ssl, const char *key)
{
	struct session *entry;

	pthread_mutex_lock(&tls->lock);
	entry = find_session(tls, key);
	if (entry && SSL_SESSION_is_resumable(entry->session)) {
		entry->used = ++tls->clock;
		SSL_set_session(ssl, entry->session);
	}
	pthread_mutex_unlock(&tls->lock);
}

/* --- contexts ---------------------------------------------------------------- */

void
sl_tls_unref(struct sl_tls_context *tls)
{
	if (!tls || atomic_fetch_sub(&tls->refs, 1) != 1)
		return;
	for (size_t i = 0; i < tls->session_count; i++) {
		free(tls->sessions[i].key);
		SSL_SESSION_free(tls->sessions[i].session);
	}
	free(tls->sessions);
	SSL_CTX_free(tls->ssl_ctx);
	sl_trust_give(tls->trust);
	pthread_mutex_destroy(&tls->lock);
	free(tls);
}

struct sl_tls_context *
sl_tls_ref(struct sl_tls_context *tls)
{
	if (tls)
		atomic_fetch_add(&tls->refs, 1);
	return tls;
}

static bool
harden(SSL_CTX *ctx)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
	                             SSL_OP_CIPHER_SERVER_PREFERENCE |
	                             SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_clear_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF |
	                               SSL_OP_LEGACY_SERVER_CONNECT);
	/* Buffers are returned while a connection is quiet: an idle stream then
	 * costs no 16 KiB record buffers. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 0);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) &&
	       SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL") &&
	       SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384");
}

static struct sl_tls_context *
context_new(bool is_server, const char **reason)
{
	struct sl_tls_context *tls = calloc(1, sizeof(*tls));

	*reason = "out of memory";
	if (!tls)
		return NULL;
	pthread_mutex_init(&tls->lock, NULL);
	atomic_init(&tls->refs, 1);
	tls->is_server = is_server;
	return tls;
}

/* NULL: the queue of errors says why. */
static SSL_CTX *
new_ssl_ctx(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	pthread_once(&once, init_once);
	if (ctx && peer_slot >= 0 && harden(ctx))
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

/* Server side: HTTP/2 when the client offers it, else HTTP/1.1, else refuse. */
static int
select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
            const unsigned char *offer, unsigned offer_len, void *context)
{
	static const unsigned char ours[] = "\x02h2\x08http/1.1";
	unsigned char *chosen;

	(void)ssl, (void)context;
	if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, offer,
	                          offer_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static bool
set_server(SSL_CTX *ctx, const char *cert_path, const char *key_path)
{
	static const unsigned char session_context[] = "sluice";

	SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
	/* Resumption by tickets alone: nothing is kept per client. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_max_early_data(ctx, 0);
	return SSL_CTX_use_certificate_chain_file(ctx, cert_path) &&
	       SSL_CTX_use_PrivateKey_file(ctx, key_path, SSL_FILETYPE_PEM) &&
	       SSL_CTX_check_private_key(ctx);
}

struct sl_tls_context *
sl_tls_server_new(const char *cert_path, const char *key_path, const char **reason)
{
	struct sl_tls_context *tls = context_new(true, reason);

	if (!tls)
		return NULL;
	ERR_clear_error();
	tls->ssl_ctx = new_ssl_ctx(TLS_server_method());
	if (!tls->ssl_ctx || !set_server(tls->ssl_ctx, cert_path, key_path)) {
		*reason = first_error();
		sl_tls_unref(tls);
		return NULL;
	}
	*reason = NULL;
	return tls;
}

struct sl_tls_context *
sl_tls_client_new(const char *ca_file, bool offer_h2, const char **reason)
{
	struct sl_tls_context *tls = context_new(false, reason);

	if (!tls)
		return NULL;
	tls->offers_h2 = offer_h2;
	tls->trust = sl_trust_take(ca_file);
	if (!tls->trust) {
		*reason = first_error();
		sl_tls_unref(tls);
		return NULL;
	}
	*reason = NULL;
	return tls;
}

/* A client's is made for its first connection: the first in a process takes about a
 * millisecond and 1 MB, and not every provider that is configured is used. */
static SSL_CTX *
client_ssl_ctx(struct sl_tls_context *tls)
{
	static const unsigned char both[] = "\x02h2\x08http/1.1";
	static const unsigned char http1[] = "\x08http/1.1";
	SSL_CTX *ctx;
	int failed;

	pthread_mutex_lock(&tls->lock);
	ctx = tls->ssl_ctx;
	if (!ctx)
		ctx = new_ssl_ctx(TLS_client_method());
	if (ctx && !tls->ssl_ctx) {
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT |
		                                        SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(ctx, on_new_session);
		SSL_CTX_set1_cert_store(ctx, sl_trust_store(tls->trust));
		/* This one function returns 0 for success. */
		failed = tls->offers_h2 ? SSL_CTX_set_alpn_protos(ctx, both, sizeof(both) - 1)
		                        : SSL_CTX_set_alpn_protos(ctx, http1, sizeof(http1) - 1);
		if (failed) {
			SSL_CTX_free(ctx);
			ctx = NULL;
		}
		tls->ssl_ctx = ctx;
	}
	pthread_mutex_unlock(&tls->lock);
	return ctx;
}

/* --- connections -------------------------------------------------------------- */

/* The name to verify; an address is matched against iPAddress entries and is
 * not sent as SNI (RFC 6066 3). */
static bool
expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	unsigned char address[16];

	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (inet_pton(AF_INET, host, address) == 1)
		return X509_VERIFY_PARAM_set1_ip(param, address, 4);
	if (inet_pton(AF_INET6, host, address) == 1)
		return X509_VERIFY_PARAM_set1_ip(param, address, 16);
	return SSL_set1_host(ssl, host) && SSL_set_tlsext_host_name(ssl, host);
}

static enum sl_err
start_client(struct sl_tls_context *tls, SSL *ssl, struct peer *peer, struct sl_slice host,
             struct sl_slice session_key)
{
	char name[HOST_SIZE], key[SESSION_KEY_SIZE];

	/* An embedded NUL would let one name be verified and another be meant. */
	if (host.len == 0 || host.len >= sizeof(name) || memchr(host.ptr, '\0', host.len))
		return SL_EINVAL;
	memcpy(name, host.ptr, host.len);
	name[host.len] = '\0';
	if (!expect_host(ssl, name))
		return SL_EINVAL;
	if (session_key.len && session_key.len + host.len + 2 < sizeof(key) &&
	    !memchr(session_key.ptr, '\0', session_key.len)) {
		snprintf(key, sizeof(key), "%s|%.*s", name, SL_ARG(session_key));
		peer->session_key = strdup(key);
		if (!peer->session_key)
			return SL_ENOMEM;
		offer_session(tls, ssl, key);
	}
	SSL_set_connect_state(ssl);
	return SL_OK;
}

enum sl_err
sl_tls_start(struct sl_tls_context *tls, struct sl_sock *sock, struct sl_slice host,
             struct sl_slice session_key)
{
	SSL_CTX *ctx = tls->is_server ? tls->ssl_ctx : client_ssl_ctx(tls);
	SSL *ssl = ctx ? SSL_new(ctx) : NULL;
	struct peer *peer = calloc(1, sizeof(*peer));
	enum sl_err err = SL_ENOMEM;

	if (!ssl || !peer || !SSL_set_ex_data(ssl, peer_slot, peer)) {
		free(peer);
		goto out;
	}
	/* From here on the peer is freed with the SSL. */
	peer->tls = sl_tls_ref(tls);
	if (!SSL_set_fd(ssl, sock->fd))
		goto out;
	err = SL_OK;
	if (tls->is_server)
		SSL_set_accept_state(ssl);
	else
		err = start_client(tls, ssl, peer, host, session_key);
	if (err == SL_OK) {
		sock->ssl = ssl;
		ssl = NULL;
	}
out:
	SSL_free(ssl);
	ERR_clear_error();
	return err;
}

static void
keep_reason(SSL *ssl, int ssl_error)
{
	struct peer *peer = SSL_get_ex_data(ssl, peer_slot);
	long verify = SSL_get_verify_result(ssl);
	int system_error = errno;
	char text[REASON_SIZE];

	if (verify != X509_V_OK)
		snprintf(text, sizeof(text), "certificate not trusted: %s",
		         X509_verify_cert_error_string(verify));
	else if (ERR_peek_last_error())
		snprintf(text, sizeof(text), "%s", first_error());
	else if (ssl_error == SSL_ERROR_SYSCALL && system_error)
		snprintf(text, sizeof(text), "%s", strerror(system_error));
	else
		snprintf(text, sizeof(text), "the peer closed during the handshake");
	if (peer && !peer->reason)
		peer->reason = strdup(text);
	ERR_clear_error();
}

enum sl_err
sl_tls_handshake(struct sl_sock *sock)
{
	int result, ssl_error;

	ERR_clear_error();
	errno = 0;
	sock->wants_read = sock->wants_write = false;
	result = SSL_do_handshake(sock->ssl);
	if (result == 1)
		return SL_OK;
	ssl_error = SSL_get_error(sock->ssl, result);
	if (ssl_error == SSL_ERROR_WANT_READ) {
		sock->wants_read = true;
		return SL_AGAIN;
	}
	if (ssl_error == SSL_ERROR_WANT_WRITE) {
		sock->wants_write = true;
		return SL_AGAIN;
	}
	keep_reason(sock->ssl, ssl_error);
	sock->failed = true;
	return SL_ETLS;
}

const char *
sl_tls_reason(const struct sl_sock *sock)
{
	struct peer *peer = sock->ssl ? SSL_get_ex_data(sock->ssl, peer_slot) : NULL;

	return peer && peer->reason ? peer->reason : "the TLS connection failed";
}

struct sl_slice
sl_tls_alpn(const struct sl_sock *sock)
{
	const unsigned char *name = NULL;
	unsigned len = 0;

	if (sock->ssl)
		SSL_get0_alpn_selected(sock->ssl, &name, &len);
	return sl_slice_make(name, len);
}

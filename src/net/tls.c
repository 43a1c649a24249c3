/* tls.c - TLS contexts, handshakes and resumption, over OpenSSL 3.
 *
 * A context holds one set of trust settings (client) or one certificate
 * (server) and is used by every loop at once; after creation only its session
 * table changes, under a lock. That table lives in the context, so a session
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
#include <sys/stat.h>

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

/* Certificates that are trusted, in memory: those of one file. Reading the system's
 * takes 20 ms and 1.7 MB, so contexts of one file share it; one that changed since is
 * read anew. */
struct trust {
	struct trust *next;
	X509_STORE   *store;
	size_t        users;
	bool          is_system; /* the directory of the system's store counts too */
	struct stat   file;      /* as it was read; zeros: there was none */
	char          path[];
};

static struct {
	pthread_mutex_t lock;
	struct trust   *first;
} trusts = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct sl_tls_context {
	SSL_CTX        *ssl_ctx;
	struct trust   *trust; /* NULL: a server's */
	atomic_size_t   refs;
	bool            is_server;
	pthread_mutex_t lock; /* guards what follows */
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

static bool
is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void
free_trust(struct trust *trust)
{
	X509_STORE_free(trust->store);
	free(trust);
}

/* Under the lock. NULL: the queue of errors says why. */
static struct trust *
read_trust(const char *path, bool is_system, const struct stat *file)
{
	struct trust *trust = calloc(1, sizeof(*trust) + strlen(path) + 1);

	if (!trust)
		return NULL;
	trust->is_system = is_system;
	trust->file = *file;
	memcpy(trust->path, path, strlen(path) + 1);
	trust->store = X509_STORE_new();
	if (!trust->store || !(is_system ? X509_STORE_set_default_paths(trust->store)
	                                 : X509_STORE_load_file(trust->store, path))) {
		free_trust(trust);
		return NULL;
	}
	trust->next = trusts.first;
	trusts.first = trust;
	return trust;
}

/* ca_file NULL: the system's. */
static struct trust *
take_trust(const char *ca_file)
{
	const char *path = ca_file;
	struct stat file = { 0 };
	struct trust *trust;

	if (!path)
		path = getenv(X509_get_default_cert_file_env());
	if (!path)
		path = X509_get_default_cert_file();
	if (stat(path, &file) != 0)
		file = (struct stat){ 0 };
	pthread_mutex_lock(&trusts.lock);
	for (trust = trusts.first; trust; trust = trust->next)
		if (trust->is_system == !ca_file && strcmp(trust->path, path) == 0 &&
		    is_same_file(&trust->file, &file))
			break;
	if (!trust)
		trust = read_trust(path, !ca_file, &file);
	if (trust)
		trust->users++;
	pthread_mutex_unlock(&trusts.lock);
	return trust;
}

static void
give_trust(struct trust *trust)
{
	struct trust **at = &trusts.first;

	if (!trust)
		return;
	pthread_mutex_lock(&trusts.lock);
	if (--trust->users == 0) {
		while (*at != trust)
			at = &(*at)->next;
		*at = trust->next;
		free_trust(trust);
	}
	pthread_mutex_unlock(&trusts.lock);
}

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
	give_trust(tls->trust);
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

	pthread_once(&once, init_once);
	ERR_clear_error();
	*reason = "out of memory";
	if (!tls)
		return NULL;
	pthread_mutex_init(&tls->lock, NULL);
	atomic_init(&tls->refs, 1);
	tls->is_server = is_server;
	tls->ssl_ctx = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
	if (!tls->ssl_ctx || peer_slot < 0 || !harden(tls->ssl_ctx)) {
		*reason = first_error();
		sl_tls_unref(tls);
		return NULL;
	}
	return tls;
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

struct sl_tls_context *
sl_tls_server_new(const char *cert_path, const char *key_path, const char **reason)
{
	static const unsigned char session_context[] = "sluice";
	struct sl_tls_context *tls = context_new(true, reason);

	if (!tls)
		return NULL;
	SSL_CTX_set_alpn_select_cb(tls->ssl_ctx, select_alpn, NULL);
	/* Resumption by tickets alone: nothing is kept per client. */
	SSL_CTX_set_session_cache_mode(tls->ssl_ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(tls->ssl_ctx, session_context,
	                               sizeof(session_context) - 1);
	SSL_CTX_set_num_tickets(tls->ssl_ctx, 1);
	SSL_CTX_set_max_early_data(tls->ssl_ctx, 0);
	if (!SSL_CTX_use_certificate_chain_file(tls->ssl_ctx, cert_path) ||
	    !SSL_CTX_use_PrivateKey_file(tls->ssl_ctx, key_path, SSL_FILETYPE_PEM) ||
	    !SSL_CTX_check_private_key(tls->ssl_ctx)) {
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
	static const unsigned char both[] = "\x02h2\x08http/1.1";
	static const unsigned char http1[] = "\x08http/1.1";
	struct sl_tls_context *tls = context_new(false, reason);
	int failed;

	if (!tls)
		return NULL;
	SSL_CTX_set_verify(tls->ssl_ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(tls->ssl_ctx, SSL_SESS_CACHE_CLIENT |
	                                                 SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(tls->ssl_ctx, on_new_session);
	/* This one function returns 0 for success. */
	failed = offer_h2 ? SSL_CTX_set_alpn_protos(tls->ssl_ctx, both, sizeof(both) - 1)
	                  : SSL_CTX_set_alpn_protos(tls->ssl_ctx, http1, sizeof(http1) - 1);
	tls->trust = failed ? NULL : take_trust(ca_file);
	if (!tls->trust) {
		*reason = first_error();
		sl_tls_unref(tls);
		return NULL;
	}
	SSL_CTX_set1_cert_store(tls->ssl_ctx, tls->trust->store);
	*reason = NULL;
	return tls;
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
	SSL *ssl = SSL_new(tls->ssl_ctx);
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

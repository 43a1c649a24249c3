/* tls_test.c - who is trusted, what is spoken, what is remembered.
 *
 * Certificates are made here; client and server sit on a socket pair and are
 * stepped in turn. Each case that must be refused is one that some client in
 * the wild once accepted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <malloc.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/tls.h"

static char dir[] = "/tmp/sluice-tls-XXXXXX";

struct identity {
	EVP_PKEY *key;
	X509     *cert;
	char      cert_path[64], key_path[64];
};

static struct identity ca, other_ca, good, expired, self_signed, wildcard;

static void
write_files(struct identity *identity, const char *name)
{
	FILE *file;

	snprintf(identity->cert_path, sizeof(identity->cert_path), "%s/%s.pem", dir, name);
	snprintf(identity->key_path, sizeof(identity->key_path), "%s/%s.key", dir, name);
	file = fopen(identity->cert_path, "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_X509(file, identity->cert), 1);
	fclose(file);
	file = fopen(identity->key_path, "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_PrivateKey(file, identity->key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
}

static void
add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;

	X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	assert_non_null(extension);
	X509_add_ext(cert, extension, -1);
	X509_EXTENSION_free(extension);
}

/* issuer NULL: signs itself. names: subjectAltName, or NULL for an authority. */
static void
make_identity(struct identity *identity, const char *name, const char *names,
              const struct identity *issuer, long from_s, long to_s)
{
	X509 *cert = X509_new();
	EVP_PKEY *key = EVP_EC_gen("P-256");
	static long serial = 1;

	assert_non_null(cert);
	assert_non_null(key);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(cert), from_s);
	X509_gmtime_adj(X509_getm_notAfter(cert), to_s);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
	                           (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer->cert : cert));
	if (names)
		add_extension(cert, cert, NID_subject_alt_name, names);
	else
		add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
	/* By these, authorities of one name are told apart. */
	add_extension(cert, cert, NID_subject_key_identifier, "hash");
	if (issuer)
		add_extension(cert, issuer->cert, NID_authority_key_identifier, "keyid");
	assert_true(X509_sign(cert, issuer ? issuer->key : key, EVP_sha256()) > 0);
	identity->key = key;
	identity->cert = cert;
	write_files(identity, name);
}

static int
make_all(void **state)
{
	const long day = 86400;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_non_null(mkdtemp(dir));
	make_identity(&ca, "ca", NULL, NULL, -day, day);
	make_identity(&other_ca, "other-ca", NULL, NULL, -day, day);
	make_identity(&good, "good", "DNS:api.test,IP:127.0.0.1,IP:::1", &ca, -day, day);
	make_identity(&expired, "expired", "DNS:api.test", &ca, -2 * day, -day);
	make_identity(&self_signed, "self", "DNS:api.test", NULL, -day, day);
	make_identity(&wildcard, "wild", "DNS:*.api.test,DNS:f*o.api2.test", &ca, -day, day);
	return 0;
}

static void
forget_identity(struct identity *identity)
{
	unlink(identity->cert_path);
	unlink(identity->key_path);
	X509_free(identity->cert);
	EVP_PKEY_free(identity->key);
}

static int
remove_all(void **state)
{
	struct identity *all[] = { &ca, &other_ca, &good, &expired, &self_signed, &wildcard };

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		forget_identity(all[i]);
	return rmdir(dir);
}

struct link {
	struct sl_tls_context *client_tls, *server_tls;
	struct sl_sock         client, server;
};

static void
open_link(struct link *link)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	link->client = (struct sl_sock){ .fd = fds[0] };
	link->server = (struct sl_sock){ .fd = fds[1] };
}

static enum sl_err
shake(struct link *link)
{
	enum sl_err client = SL_AGAIN, server = SL_AGAIN;

	for (int i = 0; i < 20 && (client == SL_AGAIN || server == SL_AGAIN); i++) {
		if (client == SL_AGAIN)
			client = sl_tls_handshake(&link->client);
		if (client == SL_ETLS)
			return client;
		if (server == SL_AGAIN)
			server = sl_tls_handshake(&link->server);
	}
	return client == SL_OK ? server : client;
}

/* One whole handshake with new contexts; the client's verdict. */
static enum sl_err
verdict(const struct identity *server, const char *ca_path, struct sl_slice host, char reason[200])
{
	struct link link;
	const char *why;
	enum sl_err err;

	link.server_tls = sl_tls_server_new(server->cert_path, server->key_path, &why);
	link.client_tls = sl_tls_client_new(ca_path, true, &why);
	assert_non_null(link.server_tls);
	assert_non_null(link.client_tls);
	open_link(&link);
	assert_int_equal(sl_tls_start(link.server_tls, &link.server, SL_SLICE_NONE, SL_SLICE_NONE),
	                 SL_OK);
	err = sl_tls_start(link.client_tls, &link.client, host, SL_SLICE_NONE);
	if (err == SL_OK)
		err = shake(&link);
	snprintf(reason, 200, "%s", err == SL_ETLS ? sl_tls_reason(&link.client) : "");
	sl_sock_close(&link.client, false);
	sl_sock_close(&link.server, false);
	sl_tls_unref(link.client_tls);
	sl_tls_unref(link.server_tls);
	return err;
}

static void
only_the_right_certificate_is_trusted(void **state)
{
	const struct {
		const struct identity *server;
		const struct identity *trust;
		const char            *host;
		const char            *reason; /* NULL: accepted */
	} cases[] = {
		{ &good, &ca, "api.test", NULL },
		{ &good, &ca, "127.0.0.1", NULL },
		{ &good, &ca, "::1", NULL },
		{ &wildcard, &ca, "a.api.test", NULL },
		{ &good, &ca, "127.0.0.2", "IP address mismatch" },
		{ &good, &ca, "other.test", "ostname mismatch" },
		{ &wildcard, &ca, "a.b.api.test", "ostname mismatch" },
		{ &wildcard, &ca, "foo.api2.test", "ostname mismatch" },
		{ &expired, &ca, "api.test", "expired" },
		{ &self_signed, &ca, "api.test", "self-signed" },
		{ &good, &other_ca, "api.test", "unable to get local issuer" },
		{ &good, NULL, "api.test", "unable to get local issuer" },
	};
	char reason[200];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum sl_err err = verdict(cases[i].server,
		                          cases[i].trust ? cases[i].trust->cert_path : NULL,
		                          sl_slice_str(cases[i].host), reason);

		assert_int_equal(err, cases[i].reason ? SL_ETLS : SL_OK);
		if (cases[i].reason && !strstr(reason, cases[i].reason)) {
			print_error("%s: %s\n", cases[i].host, reason);
			assert_true(false);
		}
	}
	assert_int_equal(verdict(&good, ca.cert_path, SL_SLICE("api.test\0.evil"), reason),
	                 SL_EINVAL);
	assert_int_equal(verdict(&good, ca.cert_path, SL_SLICE(""), reason), SL_EINVAL);
}

static void
old_versions_are_refused(void **state)
{
	SSL_CTX *old = SSL_CTX_new(TLS_server_method());
	struct link link;
	const char *why;

	(void)state;
	SSL_CTX_set_min_proto_version(old, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(old, TLS1_1_VERSION);
	SSL_CTX_set_security_level(old, 0);
	assert_int_equal(SSL_CTX_use_certificate_file(old, good.cert_path, SSL_FILETYPE_PEM), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(old, good.key_path, SSL_FILETYPE_PEM), 1);
	link.client_tls = sl_tls_client_new(ca.cert_path, false, &why);
	open_link(&link);
	link.server.ssl = SSL_new(old);
	SSL_set_fd(link.server.ssl, link.server.fd);
	SSL_set_accept_state(link.server.ssl);
	assert_int_equal(sl_tls_start(link.client_tls, &link.client, SL_SLICE("api.test"),
	                              SL_SLICE_NONE), SL_OK);
	assert_int_equal(sl_tls_handshake(&link.client), SL_AGAIN);
	assert_true(SSL_do_handshake(link.server.ssl) != 1);
	assert_int_equal(sl_tls_handshake(&link.client), SL_ETLS);
	sl_sock_close(&link.client, false);
	sl_sock_close(&link.server, false);
	sl_tls_unref(link.client_tls);
	SSL_CTX_free(old);
}

static void
open_good(struct link *link, bool h2)
{
	const char *why;

	link->server_tls = sl_tls_server_new(good.cert_path, good.key_path, &why);
	link->client_tls = sl_tls_client_new(ca.cert_path, h2, &why);
	assert_non_null(link->server_tls);
	assert_non_null(link->client_tls);
}

static void
connect_good(struct link *link, struct sl_slice session_key)
{
	open_link(link);
	assert_int_equal(sl_tls_start(link->server_tls, &link->server, SL_SLICE_NONE, SL_SLICE_NONE),
	                 SL_OK);
	assert_int_equal(sl_tls_start(link->client_tls, &link->client, SL_SLICE("api.test"),
	                              session_key), SL_OK);
	assert_int_equal(shake(link), SL_OK);
}

static void
close_good(struct link *link)
{
	sl_tls_unref(link->client_tls);
	sl_tls_unref(link->server_tls);
}

static void
alpn_chooses_http2_when_offered(void **state)
{
	struct link link;

	(void)state;
	for (int h2 = 0; h2 < 2; h2++) {
		open_good(&link, h2);
		connect_good(&link, SL_SLICE_NONE);
		assert_true(sl_slice_is(sl_tls_alpn(&link.client), h2 ? "h2" : "http/1.1"));
		sl_sock_close(&link.client, false);
		sl_sock_close(&link.server, false);
		close_good(&link);
	}
}

/* Connects, lets the ticket arrive, closes; whether it was a resumption. */
static bool
resumed(struct link *link, struct sl_slice session_key)
{
	struct iovec hello = { .iov_base = (char[]){ "x" }, .iov_len = 1 };
	char byte;
	bool was;

	connect_good(link, session_key);
	assert_int_equal(sl_sock_write(&link->server, &hello, 1), 1);
	assert_int_equal(sl_sock_read(&link->client, &byte, 1), 1);
	was = SSL_session_reused(link->client.ssl);
	sl_sock_shutdown(&link->client);
	sl_sock_close(&link->client, false);
	sl_sock_close(&link->server, false);
	return was;
}

static void
sessions_are_resumed_within_one_key_only(void **state)
{
	struct link link, other;

	(void)state;
	open_good(&link, false);
	assert_false(resumed(&link, SL_SLICE("one")));
	assert_true(resumed(&link, SL_SLICE("one")));
	assert_true(resumed(&link, SL_SLICE("one")));
	assert_false(resumed(&link, SL_SLICE("two")));
	assert_false(resumed(&link, SL_SLICE_NONE));
	/* Other trust settings know nothing of it. */
	open_good(&other, false);
	sl_tls_unref(other.server_tls);
	other.server_tls = sl_tls_ref(link.server_tls);
	assert_false(resumed(&other, SL_SLICE("one")));
	/* The table is bounded: many keys, and the newest still works. */
	for (int i = 0; i < 600; i++) {
		char key[16];

		snprintf(key, sizeof(key), "key%d", i);
		assert_false(resumed(&link, sl_slice_str(key)));
	}
	assert_true(resumed(&link, SL_SLICE("key599")));
	assert_false(resumed(&link, SL_SLICE("one")));
	close_good(&other);
	close_good(&link);
}

static void
an_end_without_close_notify_is_truncation(void **state)
{
	struct link link;
	char byte;

	(void)state;
	open_good(&link, false);
	connect_good(&link, SL_SLICE_NONE);
	shutdown(link.server.fd, SHUT_WR);
	assert_int_equal(sl_sock_read(&link.client, &byte, 1), SL_ECLOSED);
	sl_sock_close(&link.client, false);
	sl_sock_close(&link.server, false);
	connect_good(&link, SL_SLICE_NONE);
	sl_sock_shutdown(&link.server);
	assert_int_equal(sl_sock_read(&link.client, &byte, 1), 0);
	sl_sock_close(&link.client, false);
	sl_sock_close(&link.server, false);
	close_good(&link);
}

static void
files_that_do_not_fit_are_explained(void **state)
{
	const char *why = NULL;

	(void)state;
	assert_null(sl_tls_server_new("/nonexistent.pem", good.key_path, &why));
	assert_non_null(why);
	assert_non_null(strstr(why, "No such file"));
	assert_null(sl_tls_server_new(good.cert_path, ca.key_path, &why));
	assert_non_null(strstr(why, "key values mismatch"));
	assert_null(sl_tls_client_new("/nonexistent.pem", true, &why));
	assert_non_null(why);
}

/* Contexts share what they trust; a reload must see the file as it is now. */
static void
a_changed_trust_file_is_read_anew(void **state)
{
	struct identity trusted = ca, next = other_ca;
	struct sl_tls_context *old;
	const char *why;
	char reason[200];

	(void)state;
	write_files(&trusted, "trusted");
	old = sl_tls_client_new(trusted.cert_path, true, &why);
	assert_non_null(old);
	assert_int_equal(verdict(&good, trusted.cert_path, SL_SLICE("api.test"), reason), SL_OK);
	/* Another file under the same name, as tools that rotate certificates do it. */
	write_files(&next, "next");
	assert_int_equal(rename(next.cert_path, trusted.cert_path), 0);
	assert_int_equal(verdict(&good, trusted.cert_path, SL_SLICE("api.test"), reason), SL_ETLS);
	assert_int_equal(verdict(&good, ca.cert_path, SL_SLICE("api.test"), reason), SL_OK);
	sl_tls_unref(old);
	unlink(trusted.cert_path);
	unlink(trusted.key_path);
	unlink(next.key_path);
}

/* Writes the certificate behind what is in the file. */
static void
append(const char *path, const struct identity *identity, bool trusted)
{
	FILE *file = fopen(path, "a");

	assert_non_null(file);
	assert_int_equal(trusted ? PEM_write_X509_AUX(file, identity->cert)
	                         : PEM_write_X509(file, identity->cert), 1);
	fclose(file);
}

/* Of a file of many only what a chain asks for is decoded; two may have one name. */
static void
a_bundle_finds_who_signed(void **state)
{
	enum { MANY = 12 };
	struct identity many[MANY], namesake, last;
	char path[80], name[32], reason[200];

	(void)state;
	snprintf(path, sizeof(path), "%s/bundle.pem", dir);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "authority %d", i);
		make_identity(&many[i], name, NULL, NULL, -86400, 86400);
		append(path, &many[i], i % 2 == 0);
	}
	assert_int_equal(verdict(&good, path, SL_SLICE("api.test"), reason), SL_ETLS);
	assert_non_null(strstr(reason, "unable to get local issuer"));
	/* make_identity writes over the files of the one with the same name. */
	make_identity(&namesake, "ca", NULL, NULL, -86400, 86400);
	append(path, &namesake, false);
	assert_int_equal(verdict(&good, path, SL_SLICE("api.test"), reason), SL_ETLS);
	append(path, &ca, false);
	for (int i = 0; i < 3; i++)
		assert_int_equal(verdict(&good, path, SL_SLICE("api.test"), reason), SL_OK);
	make_identity(&last, "last", "DNS:api.test", &many[4], -86400, 86400);
	assert_int_equal(verdict(&last, path, SL_SLICE("api.test"), reason), SL_OK);
	assert_int_equal(verdict(&last, ca.cert_path, SL_SLICE("api.test"), reason), SL_ETLS);
	forget_identity(&last);
	forget_identity(&namesake);
	write_files(&ca, "ca");
	for (int i = 0; i < MANY; i++)
		forget_identity(&many[i]);
	unlink(path);
}

static void
rewrite(const char *path, const char *before, const char *pem, const char *after)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fprintf(file, "%s%s%s", before, pem, after);
	fclose(file);
}

/* Written as programs do or by hand, it is the same authority; a file with a fault is
 * refused whole, wherever the fault is. */
static void
a_bundle_is_read_however_it_is_written(void **state)
{
	static const char *const faults[] = {
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"-----BEGIN CERTIFICATE-----\nMIIB!\n-----END CERTIFICATE-----\n",
		"-----BEGIN CERTIFICATE-----\nMIIB\n", "-----BEGIN CERTIFICATE-----\n",
		"-----BEGIN CERTIFICATE-----\nMIIB\n-----END TRUSTED CERTIFICATE-----\n",
	};
	char path[80], reason[200], pem[4096], windows[8192], *out = windows, longer[600];
	const char *why;
	FILE *file;
	size_t len;

	(void)state;
	snprintf(path, sizeof(path), "%s/written.pem", dir);
	file = fopen(ca.cert_path, "r");
	assert_non_null(file);
	len = fread(pem, 1, sizeof(pem) - 1, file);
	fclose(file);
	pem[len] = '\0';
	for (const char *at = pem; *at; *out++ = *at++)
		if (*at == '\n')
			*out++ = '\r';
	*out = '\0';
	memset(longer, '=', sizeof(longer));
	longer[sizeof(longer) - 2] = '\n';
	longer[sizeof(longer) - 1] = '\0';
	const struct { const char *before, *pem, *after; } forms[] = {
		{ "", pem, "" }, { "# ca\n\n====\n", pem, "\nwhat else\n" }, { "", windows, "" },
		{ "\xef\xbb\xbf", pem, "" }, { longer, pem, longer }, { "", pem, "no newline" },
		{ windows, pem, pem },
	};
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		rewrite(path, forms[i].before, forms[i].pem, forms[i].after);
		assert_int_equal(verdict(&good, path, SL_SLICE("api.test"), reason), SL_OK);
		assert_int_equal(verdict(&self_signed, path, SL_SLICE("api.test"), reason), SL_ETLS);
	}
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		rewrite(path, pem, faults[i], "");
		assert_null(sl_tls_client_new(path, true, &why));
		assert_non_null(why);
		rewrite(path, "", faults[i], pem);
		assert_null(sl_tls_client_new(path, true, &why));
	}
	rewrite(path, "", "nothing\n", "");
	assert_null(sl_tls_client_new(path, true, &why));
	/* Large memory is given back in another way. */
	unlink(path);
	for (int i = 0; i < 80; i++)
		append(path, i < 79 ? &other_ca : &ca, false);
	assert_int_equal(verdict(&good, path, SL_SLICE("api.test"), reason), SL_OK);
	unlink(path);
}

/* A context with its trust, shared by threads that meet its authority at once. */
static void *
shake_often(void *context)
{
	struct sl_tls_context **contexts = context;
	struct link link = { .client_tls = contexts[0], .server_tls = contexts[1] };

	open_link(&link);
	if (sl_tls_start(link.server_tls, &link.server, SL_SLICE_NONE, SL_SLICE_NONE) != SL_OK ||
	    sl_tls_start(link.client_tls, &link.client, SL_SLICE("api.test"), SL_SLICE_NONE) != SL_OK ||
	    shake(&link) != SL_OK)
		context = NULL;
	sl_sock_close(&link.client, false);
	sl_sock_close(&link.server, false);
	return context;
}

static void
threads_meet_one_authority(void **state)
{
	enum { THREADS = 4, ROUNDS = 8 };
	const char *why;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct sl_tls_context *contexts[2] = {
			sl_tls_client_new(ca.cert_path, true, &why),
			sl_tls_server_new(good.cert_path, good.key_path, &why),
		};
		pthread_t threads[THREADS];

		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, shake_often, contexts), 0);
		for (int i = 0; i < THREADS; i++) {
			void *result;

			assert_int_equal(pthread_join(threads[i], &result), 0);
			assert_ptr_equal(result, contexts);
		}
		sl_tls_unref(contexts[0]);
		sl_tls_unref(contexts[1]);
	}
}

static void
what_is_no_authority_is_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "no certificate found" },
		{ "these are not the certificates\n", "no certificate found" },
		{ "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "" },
		{ "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "" },
		{ "-----BEGIN CERTIFICATE-----\n*&^%\n-----END CERTIFICATE-----\n", "" },
		{ "-----BEGIN CERTIFICATE-----\nMAA=\n", "" },
		{ "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n",
		  "no certificate found" },
	};
	char path[80];

	(void)state;
	snprintf(path, sizeof(path), "%s/none.pem", dir);
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		bool behind_good = i % 2 == 1;
		const char *why = NULL;
		struct sl_tls_context *tls;
		FILE *file;

		/* Alone, and behind one that is good. */
		if (behind_good)
			append(path, &ca, false);
		file = fopen(path, "a");
		assert_non_null(file);
		fputs(cases[i / 2].text, file);
		fclose(file);
		tls = sl_tls_client_new(path, true, &why);
		if (behind_good && *cases[i / 2].why) {
			assert_non_null(tls);
			sl_tls_unref(tls);
		} else {
			assert_null(tls);
			assert_non_null(why);
			assert_non_null(strstr(why, cases[i / 2].why));
		}
		unlink(path);
	}
}

/* A quiet connection keeps no record buffers. Both ends of each are counted; an
 * allocator with shadow memory (ASan) reports nothing here and is not judged. */
static void
a_quiet_connection_is_small(void **state)
{
	enum { LINKS = 64 };
	struct link *links = calloc(LINKS, sizeof(*links)), first;
	size_t before, after;

	(void)state;
	open_good(&first, false);
	connect_good(&first, SL_SLICE_NONE);
	before = mallinfo2().uordblks;
	for (int i = 0; i < LINKS; i++) {
		links[i] = first;
		connect_good(&links[i], SL_SLICE_NONE);
	}
	after = mallinfo2().uordblks;
	print_message("one TLS end: %zu bytes\n", (after - before) / LINKS / 2);
	assert_true((after - before) / LINKS / 2 < (size_t)20 * 1024);
	for (int i = 0; i < LINKS; i++) {
		sl_sock_close(&links[i].client, false);
		sl_sock_close(&links[i].server, false);
	}
	sl_sock_close(&first.client, false);
	sl_sock_close(&first.server, false);
	close_good(&first);
	free(links);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_right_certificate_is_trusted),
		cmocka_unit_test(old_versions_are_refused),
		cmocka_unit_test(alpn_chooses_http2_when_offered),
		cmocka_unit_test(sessions_are_resumed_within_one_key_only),
		cmocka_unit_test(an_end_without_close_notify_is_truncation),
		cmocka_unit_test(files_that_do_not_fit_are_explained),
		cmocka_unit_test(a_changed_trust_file_is_read_anew),
		cmocka_unit_test(a_bundle_finds_who_signed),
		cmocka_unit_test(a_bundle_is_read_however_it_is_written),
		cmocka_unit_test(threads_meet_one_authority),
		cmocka_unit_test(what_is_no_authority_is_refused),
		cmocka_unit_test(a_quiet_connection_is_small),
	};

	return cmocka_run_group_tests(tests, make_all, remove_all);
}

/* server_test.c - listeners, TLS, descriptors running out, loops side by side. */
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include "net/sock.h"
#include "net/tls.h"
#include "server_harness.h"

static bool
holds(const struct sl_buf *buf, const char *text)
{
	return sl_slice_search(sl_buf_slice(buf), sl_slice_str(text)) >= 0;
}

/* --- TLS ------------------------------------------------------------------------ */

static char cert_path[] = "/tmp/sluice-cert-XXXXXX";
static char key_path[] = "/tmp/sluice-key-XXXXXX";

static int
make_identity(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);
	X509_EXTENSION *names =
	    X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost");
	FILE *cert_file = fdopen(mkstemp(cert_path), "w");
	FILE *key_file = fdopen(mkstemp(key_path), "w");

	(void)state;
	assert_true(key && cert && names && cert_file && key_file);
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost",
	                           -1, -1, 0);
	X509_set_issuer_name(cert, name);
	X509_set_pubkey(cert, key);
	X509_add_ext(cert, names, -1);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	PEM_write_X509(cert_file, cert);
	PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL);
	fclose(cert_file);
	fclose(key_file);
	X509_EXTENSION_free(names);
	X509_free(cert);
	EVP_PKEY_free(key);
	return 0;
}

static int
remove_identity(void **state)
{
	(void)state;
	unlink(cert_path);
	unlink(key_path);
	return 0;
}

static void
listen_tls(struct harness *h)
{
	struct sl_listen_config listen = { .host = "127.0.0.1" };
	const char *reason;

	harness_open(h, &harness_limits);
	listen.tls = sl_tls_server_new(cert_path, key_path, &reason);
	assert_non_null(listen.tls);
	assert_int_equal(sl_server_listen(h->server, &listen, &h->port), SL_OK);
	sl_tls_unref(listen.tls);
}

/* A connected client; the handshake runs in turns with the server. */
static void
connect_tls(struct harness *h, struct sl_tls_context *tls, struct sl_sock *sock)
{
	enum sl_err err = SL_AGAIN;

	*sock = (struct sl_sock){ .fd = harness_connect(h) };
	assert_int_equal(fcntl(sock->fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(sl_tls_start(tls, sock, SL_SLICE("localhost"), SL_SLICE_NONE), SL_OK);
	for (int i = 0; i < 20 && err == SL_AGAIN; i++) {
		err = sl_tls_handshake(sock);
		harness_turn(h);
	}
	assert_int_equal(err, SL_OK);
}

static void
requests_come_over_tls(void **state)
{
	enum { SIZE = 100 * 1024 };
	struct sl_tls_context *tls;
	struct sl_buf bytes, out;
	struct sl_sock sock;
	struct harness h;
	const char *reason;
	size_t sent = 0;
	char room[8192];

	(void)state;
	listen_tls(&h);
	tls = sl_tls_client_new(cert_path, false, &reason);
	assert_non_null(tls);
	connect_tls(&h, tls, &sock);
	assert_true(sl_slice_is(sl_tls_alpn(&sock), "http/1.1"));
	sl_buf_init(&bytes, 2 * SIZE);
	sl_buf_init(&out, 2 * SIZE);
	sl_buf_printf(&bytes, "POST /tls HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", SIZE);
	for (int i = 0; i < SIZE; i++)
		sl_buf_append_char(&bytes, (char)('a' + i % 26));
	sl_buf_append_str(&bytes, "GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
	for (int i = 0; i < 500 && !holds(&out, "GET /second?|0|"); i++) {
		struct iovec part = { bytes.ptr + sent, bytes.len - sent };
		ssize_t put = part.iov_len ? sl_sock_write(&sock, &part, 1) : 0;
		ssize_t got;

		sent += put > 0 ? (size_t)put : 0;
		harness_turn(&h);
		while ((got = sl_sock_read(&sock, room, sizeof(room))) > 0)
			sl_buf_append(&out, sl_slice_make(room, (size_t)got));
	}
	assert_true(holds(&out, "POST /tls?|102400|abcdef"));
	assert_true(holds(&out, "GET /second?|0|"));
	sl_sock_shutdown(&sock);
	sl_sock_close(&sock, false);
	harness_turns(&h, 3);
	assert_int_equal(sl_server_connection_count(h.server), 0);
	sl_tls_unref(tls);
	sl_buf_release(&bytes);
	sl_buf_release(&out);
	harness_close(&h);
}

static void
alpn_chooses_http2(void **state)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	struct sl_tls_context *tls;
	struct sl_sock sock;
	struct harness h;
	struct iovec part = { (void *)(uintptr_t)preface, sizeof(preface) - 1 };
	const char *reason;
	char room[512];
	ssize_t got = SL_AGAIN;

	(void)state;
	listen_tls(&h);
	tls = sl_tls_client_new(cert_path, true, &reason);
	connect_tls(&h, tls, &sock);
	assert_true(sl_slice_is(sl_tls_alpn(&sock), "h2"));
	assert_int_equal(sl_sock_write(&sock, &part, 1), sizeof(preface) - 1);
	for (int i = 0; i < 10 && got == SL_AGAIN; i++) {
		harness_turn(&h);
		got = sl_sock_read(&sock, room, sizeof(room));
	}
	/* The server's SETTINGS. */
	assert_true(got > 9);
	assert_int_equal(room[3], 4);
	sl_sock_close(&sock, false);
	sl_tls_unref(tls);
	harness_close(&h);
}

static void
garbage_instead_of_a_handshake_is_closed(void **state)
{
	struct sl_buf out;
	struct harness h;
	int fd;

	(void)state;
	listen_tls(&h);
	sl_buf_init(&out, 4096);
	fd = harness_connect(&h);
	harness_put(fd, SL_SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
	harness_turns(&h, 4);
	assert_true(harness_get(fd, &out));
	assert_int_equal(sl_server_connection_count(h.server), 0);
	assert_int_equal(h.log.len, 0);
	close(fd);
	sl_buf_release(&out);
	harness_close(&h);
}

/* --- listening -------------------------------------------------------------------- */

static void
a_foreign_port_is_told_apart(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	struct sl_listen_config config = { .host = "127.0.0.1" };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct harness h;
	uint16_t port;

	(void)state;
	harness_open(&h, &harness_limits);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	getsockname(fd, (struct sockaddr *)&address, &size);
	config.port = ntohs(address.sin_port);
	assert_int_equal(sl_server_probe(&config), SL_EBUSY);
	assert_int_equal(sl_server_listen(h.server, &config, &port), SL_EBUSY);
	config.port = h.port; /* shared gladly, but a probe tells */
	assert_int_equal(sl_server_probe(&config), SL_EBUSY);
	config.host = "no address";
	assert_int_equal(sl_server_listen(h.server, &config, &port), SL_EINVAL);
	assert_int_equal(sl_server_probe(&config), SL_EINVAL);
	config.host = "192.0.2.1";
	assert_int_equal(sl_server_listen(h.server, &config, &port), SL_EINVAL);
	close(fd);
	harness_close(&h);
}

struct pause {
	struct sl_timer timer;
	struct sl_loop *loop;
};

static void
on_stop_timer(struct sl_timer *timer)
{
	sl_loop_stop(SL_CONTAINER(timer, struct pause, timer)->loop);
}

static void
run_for(struct harness *h, unsigned duration_ms)
{
	struct pause pause = { .timer.on_due = on_stop_timer, .loop = h->loop };

	sl_timer_set(h->loop, &pause.timer, duration_ms);
	sl_loop_run(h->loop);
}

static uint64_t
cpu_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* No descriptor is left: accepting pauses without spinning and resumes. */
static void
running_out_of_descriptors_is_survived(void **state)
{
	enum { CLIENTS = 8, ROOM = 3 };
	struct rlimit before, low;
	struct sl_buf out;
	struct harness h;
	int clients[CLIENTS];
	uint64_t cpu_before_us, cpu_spent_us;

	(void)state;
	harness_open(&h, &harness_limits);
	sl_buf_init(&out, 65536);
	for (size_t i = 0; i < CLIENTS; i++) {
		clients[i] = harness_connect(&h);
		harness_put(clients[i], SL_SLICE("GET /fd HTTP/1.1\r\nHost: a\r\n\r\n"));
	}
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = (rlim_t)clients[CLIENTS - 1] + 1 + ROOM;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	harness_turns(&h, 5);
	assert_int_equal(sl_server_connection_count(h.server), ROOM);
	cpu_before_us = cpu_us();
	run_for(&h, 400);
	cpu_spent_us = cpu_us() - cpu_before_us;
	assert_true(cpu_spent_us < 100000);
	for (size_t i = 0; i < CLIENTS; i++) {
		sl_buf_clear(&out);
		for (int turn = 0; turn < 100 && out.len == 0; turn++) {
			run_for(&h, 20);
			harness_get(clients[i], &out);
		}
		assert_true(holds(&out, "GET /fd?|0|"));
		close(clients[i]);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	harness_turns(&h, 3);
	sl_buf_release(&out);
	harness_close(&h);
}

/* --- several loops on one port -------------------------------------------------------- */

enum { LOOPS = 3, CALLERS = 4, CALLS = 150 };

static void *
run_loop(void *arg)
{
	struct harness *h = arg;

	sl_loop_run(h->loop);
	return NULL;
}

struct caller {
	pthread_t       thread;
	struct harness *h;
	unsigned        answered;
};

/* Connects anew every few requests, so that the kernel spreads them. */
static void *
run_caller(void *arg)
{
	static const char request[] = "POST /many HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
	struct caller *caller = arg;
	char room[4096];
	int fd = -1;

	for (unsigned i = 0; i < CALLS; i++) {
		size_t len = 0;

		if (i % 5 == 0) {
			if (fd >= 0)
				close(fd);
			fd = harness_connect(caller->h);
		}
		harness_put(fd, sl_slice_make(request, sizeof(request) - 1));
		while (sl_slice_search(sl_slice_make(room, len), SL_SLICE("|3|abc")) < 0) {
			ssize_t got = recv(fd, room + len, sizeof(room) - len, 0);

			if (got <= 0)
				break;
			len += (size_t)got;
		}
		caller->answered += sl_slice_search(sl_slice_make(room, len), SL_SLICE("|3|abc")) > 0;
	}
	close(fd);
	return NULL;
}

static void
loops_share_one_port(void **state)
{
	struct harness loops[LOOPS];
	struct caller callers[CALLERS] = { 0 };
	pthread_t threads[LOOPS];
	struct sl_listen_config listen = { .host = "127.0.0.1" };

	(void)state;
	for (size_t i = 0; i < LOOPS; i++) {
		harness_open(&loops[i], &harness_limits);
		listen.port = loops[0].port;
		if (i > 0)
			assert_int_equal(sl_server_listen(loops[i].server, &listen, &loops[i].port),
			                 SL_OK);
		pthread_create(&threads[i], NULL, run_loop, &loops[i]);
	}
	for (size_t i = 0; i < CALLERS; i++) {
		callers[i].h = &loops[0];
		pthread_create(&callers[i].thread, NULL, run_caller, &callers[i]);
	}
	for (size_t i = 0; i < CALLERS; i++) {
		pthread_join(callers[i].thread, NULL);
		assert_int_equal(callers[i].answered, CALLS);
	}
	for (size_t i = 0; i < LOOPS; i++) {
		sl_loop_stop(loops[i].loop);
		pthread_join(threads[i], NULL);
		assert_true(holds(&loops[i].log, "request /many 3\n"));
		harness_close(&loops[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_come_over_tls),
		cmocka_unit_test(alpn_chooses_http2),
		cmocka_unit_test(garbage_instead_of_a_handshake_is_closed),
		cmocka_unit_test(a_foreign_port_is_told_apart),
		cmocka_unit_test(running_out_of_descriptors_is_survived),
		cmocka_unit_test(loops_share_one_port),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_identity, remove_identity);
}

/* trust.c - reading a file of authorities, and finding the one that a chain needs.
 *
 *   file --PEM--> DER, framed as it must be --a chain asks for a subject--> X509 in the store
 *
 * A file in the form that bundles have is read by pem.c; one that is not, or in which
 * anything is wrong, once more by OpenSSL, which then has the say.
 *
 * What makes a bundle slow to read is its public keys, each of which OpenSSL 3 sends
 * through its decoders. The store asks a lookup method for a subject it does not know;
 * ours then decodes those of that subject, and the store keeps them. Nothing before that
 * needs OpenSSL's providers, which take longer to be loaded than the file.
 */
#include "net/trust.h"

#include <fcntl.h>
#include <openssl/asn1err.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/pem.h"

enum {
	BYTES_MAX = 64 * 1024 * 1024,
	ROOTS_MAX = 64 * 1024,
	FIRST_BYTES = 16 * 1024, /* in which the first certificate stands, as a rule */
};

/* One certificate: where it stands in `der`. */
struct root {
	uint32_t at, len, subject_at, subject_len;
	uint32_t hash; /* of its subject, as OpenSSL compares names, once it is indexed */
	bool     aux;  /* with OpenSSL's own part behind it ("TRUSTED CERTIFICATE") */
};

struct sl_trust {
	struct sl_trust *next;
	X509_STORE      *store;
	size_t           users;
	struct sl_buf    der;
	struct root     *roots;
	size_t           count, capacity;
	pthread_mutex_t  lock; /* guards the hashes */
	bool             indexed;
	bool             is_system; /* the directory of the system's store counts too */
	struct stat      file;      /* as it was read; zeros: there was none */
	char             path[];
};

static struct {
	pthread_mutex_t  lock;
	struct sl_trust *first;
} trusts = { .lock = PTHREAD_MUTEX_INITIALIZER };

static pthread_once_t      once = PTHREAD_ONCE_INIT;
static X509_LOOKUP_METHOD *method;

/* --- one certificate --------------------------------------------------------- */

/* Enters (or skips) the element at *at; tag 0: any. Its content is *at up to *end. */
static bool
enter(const unsigned char **at, const unsigned char **end, int tag)
{
	long len;
	int found, class;
	const unsigned char *behind = *end;

	if (*at >= behind || (ASN1_get_object(at, &len, &found, &class, behind - *at) & 0x80) ||
	    (tag && (found != tag || class != V_ASN1_UNIVERSAL)))
		return false;
	*end = *at + len;
	return true;
}

static bool
skip(const unsigned char **at, const unsigned char *end, int tag)
{
	const unsigned char *own_end = end;

	if (!enter(at, &own_end, tag))
		return false;
	*at = own_end;
	return true;
}

/* Whether the bytes are framed as a certificate (RFC 5280 4.1), whose subject is then
 * *subject. What is behind it is OpenSSL's own, or nothing. */
static bool
walk(const unsigned char *der, size_t len, bool aux, struct sl_slice *subject)
{
	const unsigned char *at = der, *end = der + len, *own, *own_end;

	if (!enter(&at, &end, V_ASN1_SEQUENCE) || (end != der + len && !aux))
		return false;
	own = at;
	own_end = end;
	if (!enter(&own, &own_end, V_ASN1_SEQUENCE))
		return false;
	at = own_end;
	if (!skip(&at, end, V_ASN1_SEQUENCE) || !skip(&at, end, V_ASN1_BIT_STRING) || at != end)
		return false;
	/* The version, which is left out for the first. */
	if (own < own_end && *own == (V_ASN1_CONTEXT_SPECIFIC | V_ASN1_CONSTRUCTED) &&
	    !skip(&own, own_end, 0))
		return false;
	if (!skip(&own, own_end, V_ASN1_INTEGER) || !skip(&own, own_end, V_ASN1_SEQUENCE) ||
	    !skip(&own, own_end, V_ASN1_SEQUENCE) || !skip(&own, own_end, V_ASN1_SEQUENCE))
		return false;
	subject->ptr = (const char *)own;
	if (!skip(&own, own_end, V_ASN1_SEQUENCE))
		return false;
	subject->len = (size_t)((const char *)own - subject->ptr);
	/* Its key, and what version 3 adds. */
	if (!skip(&own, own_end, V_ASN1_SEQUENCE))
		return false;
	while (own < own_end)
		if (!skip(&own, own_end, 0))
			return false;
	return true;
}

static X509 *
decode(const struct sl_trust *trust, const struct root *root)
{
	const unsigned char *at = (const unsigned char *)trust->der.ptr + root->at;

	return root->aux ? d2i_X509_AUX(NULL, &at, root->len) : d2i_X509(NULL, &at, root->len);
}

/* --- the file ------------------------------------------------------------------ */

/* What stands at trust->der from `at` on. */
static bool
add_root(struct sl_trust *trust, size_t at, size_t len, bool aux)
{
	const unsigned char *der = (const unsigned char *)trust->der.ptr + at;
	struct root root = { .at = (uint32_t)at, .len = (uint32_t)len, .aux = aux };
	struct sl_slice subject;

	if (!walk(der, len, aux, &subject)) {
		ERR_raise(ERR_LIB_ASN1, ASN1_R_DECODE_ERROR);
		return false;
	}
	root.subject_at = root.at + (uint32_t)(subject.ptr - (const char *)der);
	root.subject_len = (uint32_t)subject.len;
	if (trust->count == trust->capacity) {
		size_t capacity = trust->capacity ? 2 * trust->capacity : 4;
		struct root *more = realloc(trust->roots, capacity * sizeof(*more));

		if (!more)
			return false;
		trust->roots = more;
		trust->capacity = capacity;
	}
	trust->roots[trust->count++] = root;
	return true;
}

/* True at the end of the file: nothing else begins there. */
static bool
at_end(void)
{
	unsigned long error = ERR_peek_last_error();

	return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

/* A device could be read without end. */
static BIO *
open_file(const char *path)
{
	struct stat info;

	if (stat(path, &info) == 0 && (!S_ISREG(info.st_mode) || info.st_size > BYTES_MAX)) {
		ERR_raise(ERR_LIB_X509, X509_R_NO_CERTIFICATE_FOUND);
		return NULL;
	}
	return BIO_new_file(path, "r");
}

static bool
is_certificate(const char *name, bool *aux)
{
	*aux = strcmp(name, PEM_STRING_X509_TRUSTED) == 0;
	return *aux || strcmp(name, PEM_STRING_X509) == 0 ||
	       strcmp(name, PEM_STRING_X509_OLD) == 0;
}

static bool
read_any_form(struct sl_trust *trust, size_t count_max)
{
	BIO *file = open_file(trust->path);
	char *name, *header;
	unsigned char *der;
	long len;
	bool good = file != NULL, aux;

	while (good && trust->count < count_max &&
	       PEM_read_bio(file, &name, &header, &der, &len)) {
		if (is_certificate(name, &aux)) {
			size_t at = trust->der.len;

			good = sl_buf_append(&trust->der, sl_slice_make((const char *)der,
			                                                (size_t)len)) == SL_OK &&
			       add_root(trust, at, (size_t)len, aux);
		}
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_free(der);
	}
	BIO_free(file);
	if (!good || (trust->count < count_max && !at_end()))
		return false;
	ERR_clear_error();
	if (trust->count == 0)
		ERR_raise(ERR_LIB_X509, X509_R_NO_CERTIFICATE_FOUND);
	return trust->count > 0;
}

/* The first bytes of an ordinary file, `max` of them at most. */
static bool
read_bytes(const char *path, size_t max, struct sl_buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	bool whole = false;
	struct stat info;
	size_t size;

	if (fd < 0)
		return false;
	if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size <= BYTES_MAX) {
		size = (size_t)info.st_size < max ? (size_t)info.st_size : max;
		whole = sl_buf_reserve(out, size + 1) == SL_OK &&
		        read(fd, out->ptr, size + (size < max)) == (ssize_t)size;
		out->len = whole ? size : 0;
	}
	close(fd);
	return whole;
}

static bool
read_plain_form(struct sl_trust *trust, size_t count_max)
{
	struct sl_pem pem = { .text = NULL };
	enum sl_err err = SL_OK;
	struct sl_slice der;

	if (!read_bytes(trust->path, count_max == 1 ? FIRST_BYTES : BYTES_MAX, &trust->der))
		return false;
	pem.text = trust->der.ptr;
	pem.len = trust->der.len;
	while (err == SL_OK && trust->count < count_max) {
		err = sl_pem_next(&pem, &der);
		if (err == SL_OK && !add_root(trust, pem.out - der.len, der.len, false))
			err = SL_ESYNTAX;
	}
	trust->der.len = pem.out;
	if (trust->count == 0 || (err != SL_OK && err != SL_ENOTFOUND))
		return false;
	/* The certificates take two thirds of the memory that the text did. */
	sl_buf_trim(&trust->der);
	return true;
}

/* What is wrong with a file OpenSSL's reader says. */
static bool
read_file(struct sl_trust *trust, size_t count_max)
{
	if (read_plain_form(trust, count_max))
		return true;
	trust->count = 0;
	sl_buf_release(&trust->der);
	ERR_clear_error();
	return read_any_form(trust, count_max);
}

/* --- the store ------------------------------------------------------------------- */

static uint32_t
hash_of(const X509_NAME *name)
{
	return (uint32_t)X509_NAME_hash_ex(name, NULL, NULL, NULL);
}

static void
index_once(struct sl_trust *trust)
{
	pthread_mutex_lock(&trust->lock);
	for (size_t i = 0; !trust->indexed && i < trust->count; i++) {
		struct root *root = &trust->roots[i];
		const unsigned char *at = (const unsigned char *)trust->der.ptr + root->subject_at;
		X509_NAME *name = d2i_X509_NAME(NULL, &at, root->subject_len);

		root->hash = name ? hash_of(name) : 0;
		X509_NAME_free(name);
	}
	trust->indexed = true;
	pthread_mutex_unlock(&trust->lock);
}

/* Puts those of this name into the store. */
static void
add_to_store(struct sl_trust *trust, X509_STORE *store, const X509_NAME *name)
{
	uint32_t hash = hash_of(name);

	index_once(trust);
	for (size_t i = 0; i < trust->count; i++) {
		X509 *cert = trust->roots[i].hash == hash ? decode(trust, &trust->roots[i]) : NULL;

		if (cert && X509_NAME_cmp(X509_get_subject_name(cert), name) == 0) {
			/* What OpenSSL keeps of its extensions is worked out while this thread
			 * alone has it: a lock that orders it goes with the store. */
			X509_check_purpose(cert, -1, 0);
			X509_STORE_add_cert(store, cert);
		}
		X509_free(cert);
	}
}

static int
find(X509_LOOKUP *lookup, X509_LOOKUP_TYPE type, const X509_NAME *name, X509_OBJECT *found)
{
	X509_STORE *store = X509_LOOKUP_get_store(lookup);
	X509_OBJECT *object;
	X509 *cert = NULL;

	if (type != X509_LU_X509)
		return 0;
	add_to_store(X509_LOOKUP_get_method_data(lookup), store, name);
	/* Another thread may have added the same one first: what the store has is told. */
	if (!X509_STORE_lock(store))
		return 0;
	object = X509_OBJECT_retrieve_by_subject(X509_STORE_get0_objects(store), type, name);
	if (object && X509_OBJECT_set1_X509(found, X509_OBJECT_get0_X509(object)))
		cert = X509_OBJECT_get0_X509(found);
	X509_STORE_unlock(store);
	/* Who asked takes a reference too, and this one would be lost: X509_LOOKUP_meth_new(3). */
	X509_free(cert);
	return cert != NULL;
}

static void
make_method(void)
{
	method = X509_LOOKUP_meth_new("authorities of a file");
	if (method && !X509_LOOKUP_meth_set_get_by_subject(method, find)) {
		X509_LOOKUP_meth_free(method);
		method = NULL;
	}
}

static bool
fill_store(struct sl_trust *trust)
{
	X509_LOOKUP *lookup;

	trust->store = X509_STORE_new();
	lookup = trust->store && method ? X509_STORE_add_lookup(trust->store, method) : NULL;
	if (!lookup || !X509_LOOKUP_set_method_data(lookup, trust))
		return false;
	if (!trust->is_system)
		return true;
	lookup = X509_STORE_add_lookup(trust->store, X509_LOOKUP_hash_dir());
	return lookup && X509_LOOKUP_add_dir(lookup, NULL, X509_FILETYPE_DEFAULT) == 1;
}

/* --- sharing ---------------------------------------------------------------------- */

static bool
is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void
free_trust(struct sl_trust *trust)
{
	X509_STORE_free(trust->store);
	pthread_mutex_destroy(&trust->lock);
	sl_buf_release(&trust->der);
	free(trust->roots);
	free(trust);
}

static struct sl_trust *
new_trust(const char *path)
{
	struct sl_trust *trust = calloc(1, sizeof(*trust) + strlen(path) + 1);

	if (!trust)
		return NULL;
	pthread_mutex_init(&trust->lock, NULL);
	sl_buf_init(&trust->der, BYTES_MAX + 1);
	memcpy(trust->path, path, strlen(path) + 1);
	return trust;
}

/* Under the lock. NULL: the queue of errors says why. */
static struct sl_trust *
read_trust(const char *path, bool is_system, const struct stat *file)
{
	struct sl_trust *trust = new_trust(path);

	if (!trust)
		return NULL;
	trust->is_system = is_system;
	trust->file = *file;
	/* Many systems have the directory only. */
	if ((!(is_system && file->st_ino == 0) && !read_file(trust, ROOTS_MAX)) ||
	    !fill_store(trust)) {
		free_trust(trust);
		return NULL;
	}
	trust->next = trusts.first;
	trusts.first = trust;
	return trust;
}

struct sl_trust *
sl_trust_take(const char *ca_file)
{
	const char *path = ca_file;
	struct stat file = { 0 };
	struct sl_trust *trust;

	pthread_once(&once, make_method);
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

void
sl_trust_give(struct sl_trust *trust)
{
	struct sl_trust **at = &trusts.first;

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

bool
sl_trust_check(const char *ca_file)
{
	struct sl_trust *trust = new_trust(ca_file);
	bool good = trust && read_file(trust, 1);

	if (!good)
		ERR_clear_error();
	if (trust)
		free_trust(trust);
	return good;
}

X509_STORE *
sl_trust_store(const struct sl_trust *trust)
{
	return trust->store;
}

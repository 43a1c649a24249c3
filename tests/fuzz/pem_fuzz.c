/* pem_fuzz.c - a text that pem.c reads to its end holds for OpenSSL's reader the same
 * certificates, byte for byte, and nothing else; they stay, one behind another, in the text. */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/pem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whether OpenSSL reads this one next. */
static void
check_next(BIO *bio, struct sl_slice der)
{
	unsigned char *bytes = NULL;
	char *name = NULL, *header = NULL;
	long len;

	if (!PEM_read_bio(bio, &name, &header, &bytes, &len) || strcmp(name, PEM_STRING_X509) != 0 ||
	    header[0] != '\0' || (size_t)len != der.len || memcmp(bytes, der.ptr, der.len) != 0)
		abort();
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(bytes);
}

static void
check_end(BIO *bio)
{
	unsigned char *bytes;
	char *name, *header;
	unsigned long error;
	long len;

	if (PEM_read_bio(bio, &name, &header, &bytes, &len))
		abort();
	error = ERR_peek_last_error();
	if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE)
		abort();
	ERR_clear_error();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	BIO *bio = BIO_new_mem_buf(data, (int)size);
	struct sl_pem pem = { .text = malloc(size + 1), .len = size };
	char *seen = malloc(size + 1);
	size_t seen_len = 0;
	struct sl_slice der;
	enum sl_err err;

	if (!bio || !pem.text || !seen)
		abort();
	if (size)
		memcpy(pem.text, data, size);
	while ((err = sl_pem_next(&pem, &der)) == SL_OK) {
		check_next(bio, der);
		memcpy(seen + seen_len, der.ptr, der.len);
		seen_len += der.len;
	}
	if (pem.out != seen_len || memcmp(pem.text, seen, seen_len) != 0)
		abort();
	if (err == SL_ENOTFOUND)
		check_end(bio);
	else if (err != SL_EUNSUPPORTED)
		abort();
	free(pem.text);
	free(seen);
	BIO_free(bio);
	return 0;
}

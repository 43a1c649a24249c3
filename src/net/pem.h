/* pem.h - certificates of a text in PEM form (RFC 7468) as programs write them.
 *
 * OpenSSL's reader takes 3,000 instructions for each line; a public bundle has 3,400. What
 * is taken here is the strict form alone: whole lines, base64 without white space, nothing
 * but certificates. It then gives what OpenSSL gives for the same text (a fuzz target
 * compares), and of everything else it says that it does not know.
 */
#ifndef SL_NET_PEM_H
#define SL_NET_PEM_H

#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

/* The text, which reading it destroys: the certificates come to stand at its beginning, one
 * behind another. */
struct sl_pem {
	char  *text;
	size_t len;
	size_t at;  /* 0 to begin with */
	size_t out; /* bytes of certificates so far */
};

/* The DER of the next certificate, which stays in the text. SL_ENOTFOUND: there is no other.
 * SL_EUNSUPPORTED: this text, what came before included, is to be read in another way. */
enum sl_err sl_pem_next(struct sl_pem *pem, struct sl_slice *der);

#endif

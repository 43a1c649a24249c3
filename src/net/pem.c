/* pem.c - one pass over lines. Text between certificates is skipped, as OpenSSL does. */
#include "net/pem.h"

#include <stdbool.h>
#include <string.h>

enum {
	LINE_MAX = 200, /* OpenSSL reads 254 bytes at a time: what stands behind is a line to it */
	ODD = 0x80,     /* no letter of base64 */
};

static const char begin_text[] = "-----BEGIN CERTIFICATE-----";
static const char end_text[] = "-----END CERTIFICATE-----";

/* The six bits of each letter of base64. */
enum { X = ODD };
#define X16 X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X
static const unsigned char sextets[256] = {
	X16, X16,
	X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  62, X,  X,  X,  63,
	52, 53, 54, 55, 56, 57, 58, 59, 60, 61, X,  X,  X,  X,  X,  X,
	X,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14,
	15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, X,  X,  X,  X,  X,
	X,  26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, X,  X,  X,  X,  X,
	X16, X16, X16, X16, X16, X16, X16, X16,
};

/* False: the text is written another way. Its end is a newline, which is left out. */
static bool
next_line(struct sl_pem *pem, struct sl_slice *line)
{
	const char *from = pem->text + pem->at;
	size_t left = pem->len - pem->at;
	const char *end = memchr(from, '\n', left > LINE_MAX ? LINE_MAX : left);

	if (!end || memchr(from, '\0', (size_t)(end - from)))
		return false;
	*line = sl_slice_make(from, (size_t)(end - from));
	pem->at += line->len + 1;
	return true;
}

/* Groups of four letters, decoded to `out`, which may be where they stand or before. */
static bool
decode(const char *letters, size_t groups, unsigned char *out)
{
	unsigned odd = 0;

	for (size_t i = 0; i < groups; i++) {
		const unsigned char *in = (const unsigned char *)letters + 4 * i;
		unsigned a = sextets[in[0]], b = sextets[in[1]], c = sextets[in[2]], d = sextets[in[3]];

		odd |= a | b | c | d;
		out[3 * i] = (unsigned char)(a << 2 | b >> 4);
		out[3 * i + 1] = (unsigned char)(b << 4 | c >> 2);
		out[3 * i + 2] = (unsigned char)(c << 6 | d);
	}
	return (odd & ODD) == 0;
}

/* *size: of what the line holds. *padded: it was the last. */
static bool
decode_line(struct sl_slice line, unsigned char *out, size_t *size, bool *padded)
{
	size_t groups = line.len / 4, pad = 0;
	char tail[4];

	if (*padded || line.len == 0 || line.len % 4 != 0)
		return false;
	while (pad < 2 && line.ptr[line.len - 1 - pad] == '=')
		pad++;
	memcpy(tail, line.ptr + line.len - 4, 4);
	memset(tail + 4 - pad, 'A', pad);
	*padded = pad > 0;
	*size = 3 * groups - pad;
	return decode(line.ptr, groups - 1, out) && decode(tail, 1, out + 3 * (groups - 1));
}

static bool
read_body(struct sl_pem *pem, struct sl_slice *der)
{
	unsigned char *out = (unsigned char *)pem->text + pem->out;
	struct sl_slice line;
	bool padded = false;
	size_t len = 0, size;

	while (next_line(pem, &line)) {
		if (sl_slice_is(line, end_text)) {
			*der = sl_slice_make((const char *)out, len);
			pem->out += len;
			return len > 0;
		}
		if (!decode_line(line, out + len, &size, &padded))
			return false;
		len += size;
	}
	return false;
}

enum sl_err
sl_pem_next(struct sl_pem *pem, struct sl_slice *der)
{
	struct sl_slice line;

	/* OpenSSL looks behind a byte order mark. */
	if (pem->at == 0 && pem->len > 0 && ((unsigned char)pem->text[0] & ODD))
		return SL_EUNSUPPORTED;
	while (pem->at < pem->len) {
		if (!next_line(pem, &line))
			return SL_EUNSUPPORTED;
		if (!sl_slice_starts(line, SL_SLICE("-----BEGIN ")))
			continue;
		return sl_slice_is(line, begin_text) && read_body(pem, der) ? SL_OK
		                                                            : SL_EUNSUPPORTED;
	}
	return SL_ENOTFOUND;
}

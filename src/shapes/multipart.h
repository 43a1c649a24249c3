/* multipart.h - multipart/form-data, read in place. Private to shapes/.
 *
 * RFC 7578 over RFC 2046: lines end in CRLF, a delimiter is "--boundary" at the
 * start of a line with nothing but blanks behind it. Bodies of parts are never
 * decoded or copied; what looks like a delimiter but goes on is content.
 */
#ifndef SL_SHAPES_MULTIPART_H
#define SL_SHAPES_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

enum { SL_MULTIPART_BOUNDARY_MAX = 70, SL_MULTIPART_HEADERS_MAX_SIZE = 8192 };

struct sl_multipart {
	struct sl_slice body;
	struct sl_slice boundary;
	size_t          at;   /* behind the delimiter before the next part */
	bool            ended; /* the closing delimiter was seen */
};

struct sl_multipart_part {
	struct sl_slice name; /* as written, quotes removed, escapes kept */
	struct sl_slice body;
	bool            is_file; /* it has a filename */
};

/* Whether the header says multipart/form-data; the boundary is empty when there
 * is none that RFC 2046 allows. */
bool sl_multipart_boundary(struct sl_slice content_type, struct sl_slice *boundary);

/* SL_OK, or SL_ESYNTAX when no part begins in the body. */
enum sl_err sl_multipart_begin(struct sl_multipart *m, struct sl_slice body,
                               struct sl_slice boundary);
/* SL_OK: *part is set. SL_ENOTFOUND: that was the last one. SL_ESYNTAX: broken
 * or cut off at byte m->at. SL_ELIMIT: a part's headers are too long. */
enum sl_err sl_multipart_next(struct sl_multipart *m, struct sl_multipart_part *part);

#endif

/* plain_head.h - the fields of a head that came in one read and holds nothing odd.
 *
 * Nearly every head is such a one, and is read here in one pass. Nothing is refused here:
 * what is not whole, or unusual in any way, is left to llhttp and the rules around it. A
 * head that is taken here is one that they would take, in the same pieces; the fuzz targets
 * h1 and h1_reply compare the two by cutting the input.
 */
#ifndef SL_NET_PLAIN_HEAD_H
#define SL_NET_PLAIN_HEAD_H

#include <stdint.h>

#include "base/slice.h"

/* Offsets, because the text may move. */
struct sl_field_at {
	uint32_t name_at, name_len;
	uint32_t value_at, value_len;
};

struct sl_plain_head {
	struct sl_field_at *fields;
	uint32_t            room;  /* fields that they may become */
	uint32_t            count;
	int64_t             content_length; /* -1: none */
};

/* Reads the lines from offset `at` of the text through the empty line behind them. Names are
 * as they came, values may end in spaces; the message is framed by its Content-Length or
 * has no other framing. Returns the offset behind; 0: not plain. */
size_t sl_plain_fields(struct sl_plain_head *head, struct sl_slice text, size_t at);
/* Offset of the first byte from `at` on that is below `lowest`, DEL or beyond ASCII; text.len
 * when there is none. */
size_t sl_plain_run(struct sl_slice text, size_t at, char lowest);

#endif

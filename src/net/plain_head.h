/* plain_head.h - the fields of a head that came in one read and holds nothing odd.
 *
 * Nearly every head is such a one, and is read here in one pass. Nothing is refused here:
 * what is not whole, or unusual in any way, is left to llhttp and the rules around it. A
 * head that is taken here is one that they would take, in the same pieces and with the same
 * framing; the fuzz targets h1 and h1_reply compare the two by cutting the input.
 */
#ifndef SL_NET_PLAIN_HEAD_H
#define SL_NET_PLAIN_HEAD_H

#include "base/headers.h"

/* Offsets, because the text may move. */
struct sl_field_at {
	uint32_t name_at, name_len;
	uint32_t value_at, value_len;
};

struct sl_plain_head {
	struct sl_field_at *fields;
	uint32_t            room;  /* fields that they may become */
	uint32_t            count;
	uint32_t            hosts; /* 0 or 1 */
	uint32_t            host;  /* which field that is */
	uint32_t            size;  /* of the text through the empty line */
	uint64_t            marks; /* of the names, as struct sl_headers has them */
	int64_t             content_length; /* -1: none */
	bool                has_upper; /* in a name */
};

/* Reads the lines from offset `at` of the text through the empty line behind them. Names are
 * as they came; the message is framed by its Content-Length or has no other framing, the
 * connection stays, and nothing is expected of the receiver before the body. Returns the
 * offset behind; 0: not plain. */
size_t sl_plain_fields(struct sl_plain_head *head, struct sl_slice text, size_t at);
/* The fields in `text`, a copy of what was read: names become lower case there. `items` has
 * room for all. What is taken here is valid, so these are the list's lines. */
struct sl_headers sl_plain_headers(const struct sl_plain_head *head, char *text,
                                   struct sl_header *items);
/* Offset of the first byte from `at` on that is below `lowest`, DEL or beyond ASCII; text.len
 * when there is none. */
size_t sl_plain_run(struct sl_slice text, size_t at, char lowest);

#endif

/* sse.h - server-sent events, read from any split of the bytes.
 *
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 * as providers use it: LF, CRLF, CR and mixtures end a line, a byte order mark
 * is skipped once, several data lines join with LF, one space after the colon
 * is dropped, comment lines are heartbeats. Bytes are never decoded, so no
 * Unicode line separator can split a line.
 */
#ifndef SL_BASE_SSE_H
#define SL_BASE_SSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* One complete frame. Slices are valid until the next call on the reader, and
 * as long as the input they lie in. */
struct sl_sse_frame {
	struct sl_slice event; /* empty when the frame names none */
	struct sl_slice data;  /* joined data lines; empty for pure comments */
	struct sl_slice raw;   /* the frame's bytes as received, with its blank line */
	bool            comment_only; /* no field at all: comments or blank lines */
};

/* Members are private. */
struct sl_sse_reader {
	struct sl_buf pending; /* bytes of the frame that is not complete yet */
	struct sl_buf joined;  /* data lines joined, when there are several */
	size_t        lead;    /* bytes before the frame's first line */
	enum sl_err   broken;  /* what every further call returns */
	unsigned char bom_len; /* bytes of the byte order mark seen */
	bool          began;   /* it was dealt with */
	bool          taken;   /* the frame in pending was returned */
	bool          in_line; /* the current line has bytes */
	bool          skip_lf; /* the last byte was a CR; an LF belongs to it */
};

/* max_frame_size in bytes: a longer frame is SL_ELIMIT. Takes no memory before
 * a frame is split across two inputs. */
void sl_sse_reader_init(struct sl_sse_reader *reader, size_t max_frame_size);
void sl_sse_reader_release(struct sl_sse_reader *reader);

/* Takes the next frame out of *input, advancing it. SL_OK: *frame is set, call
 * again. SL_MORE: all of *input was consumed. SL_ELIMIT, SL_ENOMEM: broken for
 * good. A frame that lies in one input is returned as slices of it, uncopied.
 * A frame is complete with its blank line's CR, without waiting for an LF: one
 * that comes in a later input is the first byte of the next frame's raw. */
enum sl_err sl_sse_read(struct sl_sse_reader *reader, struct sl_slice *input,
                        struct sl_sse_frame *frame);

/* At the end of the stream: a last frame without its blank line, if any
 * (SL_OK), else SL_MORE. */
enum sl_err sl_sse_finish(struct sl_sse_reader *reader, struct sl_sse_frame *frame);

/* Bytes held back of an incomplete frame; 0 at a frame's end. */
size_t sl_sse_pending(const struct sl_sse_reader *reader);

#endif

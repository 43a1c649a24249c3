/* eventstream.h - the binary event stream of AWS, read from any split of the bytes.
 *
 * application/vnd.amazon.eventstream: messages of
 *   u32 total length | u32 headers length | u32 CRC-32 of those eight bytes
 *   headers | payload | u32 CRC-32 of everything before
 * in network byte order; a header is u8 name length, name, u8 type, value.
 * https://smithy.io/2.0/aws/amazon-eventstream.html
 */
#ifndef SL_BASE_EVENTSTREAM_H
#define SL_BASE_EVENTSTREAM_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* One message. Slices are valid until the next call on the reader, and as long
 * as the input they lie in. Empty where a header is absent. */
struct sl_event_message {
	struct sl_slice kind;         /* :message-type: "event", "exception", "error" */
	struct sl_slice type;         /* :event-type, :exception-type or :error-code */
	struct sl_slice error;        /* :error-message */
	struct sl_slice content_type; /* :content-type */
	struct sl_slice payload;
	struct sl_slice raw;          /* the message's bytes as received */
};

/* Members are private. */
struct sl_event_reader {
	struct sl_buf pending; /* bytes of the message that is not complete yet */
	size_t        max_size;
	enum sl_err   broken;  /* what every further call returns */
	bool          taken;   /* the message in pending was returned */
};

/* max_size in bytes: a message that claims more is SL_ELIMIT, before a byte of
 * it is kept. Takes no memory before a message is split across two inputs. */
void sl_event_reader_init(struct sl_event_reader *reader, size_t max_size);
void sl_event_reader_release(struct sl_event_reader *reader);

/* Takes the next message out of *input, advancing it. SL_OK: *message is set,
 * call again. SL_MORE: all of *input was consumed. SL_ESYNTAX (a checksum or a
 * length that does not hold), SL_ELIMIT, SL_ENOMEM: broken for good. */
enum sl_err sl_event_read(struct sl_event_reader *reader, struct sl_slice *input,
                          struct sl_event_message *message);

/* Bytes held back of an incomplete message; 0 at a message's end. */
size_t sl_event_pending(const struct sl_event_reader *reader);

/* Appends one message with string headers; kind "event" names its type
 * :event-type, "exception" :exception-type, "error" :error-code. Errors are the
 * buffer's sticky failure; SL_ELIMIT for a type longer than 255 bytes. */
enum sl_err sl_event_write(struct sl_buf *out, struct sl_slice kind, struct sl_slice type,
                           struct sl_slice content_type, struct sl_slice payload);

#endif

/* eventstream.c - AWS's binary event stream.
 *
 * A message that lies whole in one input is returned as slices of it; one that is
 * split is put together in `pending`. Its prelude (lengths and their checksum) is
 * judged as soon as its twelve bytes are there, so that a length nobody vouches
 * for never makes the reader wait or take memory.
 */
#include "base/eventstream.h"

#include <stdint.h>
#include <zlib.h>

enum {
	PRELUDE_SIZE = 12,
	TRAILER_SIZE = 4,
	TYPE_STRING = 7,
};

void
sl_event_reader_init(struct sl_event_reader *reader, size_t max_size)
{
	*reader = (struct sl_event_reader){ .max_size = max_size };
	sl_buf_init(&reader->pending, max_size > PRELUDE_SIZE ? max_size : PRELUDE_SIZE);
}

void
sl_event_reader_release(struct sl_event_reader *reader)
{
	sl_buf_release(&reader->pending);
}

size_t
sl_event_pending(const struct sl_event_reader *reader)
{
	return reader->taken ? 0 : reader->pending.len;
}

static uint32_t
get_u16(const char *at)
{
	const unsigned char *bytes = (const unsigned char *)at;

	return (uint32_t)bytes[0] << 8 | bytes[1];
}

static uint32_t
get_u32(const char *at)
{
	return get_u16(at) << 16 | get_u16(at + 2);
}

static uint32_t
checksum(struct sl_slice bytes)
{
	return (uint32_t)crc32_z(0, (const Bytef *)bytes.ptr, bytes.len);
}

/* Bytes of a header's value, its length field included; 0: not to be known. The
 * types: true, false, byte, short, int, long, bytes, string, timestamp, uuid. */
static size_t
value_size(unsigned type, struct sl_slice at)
{
	static const unsigned char fixed[] = { 0, 0, 1, 2, 4, 8, 0, 0, 8, 16 };

	if (type == 6 || type == TYPE_STRING)
		return at.len < 2 ? SIZE_MAX : 2 + get_u16(at.ptr);
	return type < sizeof(fixed) ? fixed[type] : SIZE_MAX;
}

static void
note_header(struct sl_event_message *message, struct sl_slice name, struct sl_slice value)
{
	if (sl_slice_is(name, ":message-type"))
		message->kind = value;
	else if (sl_slice_is(name, ":event-type") || sl_slice_is(name, ":exception-type") ||
	         sl_slice_is(name, ":error-code"))
		message->type = value;
	else if (sl_slice_is(name, ":error-message"))
		message->error = value;
	else if (sl_slice_is(name, ":content-type"))
		message->content_type = value;
}

static enum sl_err
read_headers(struct sl_slice rest, struct sl_event_message *message)
{
	while (rest.len > 0) {
		size_t name_len = (unsigned char)rest.ptr[0], size;
		struct sl_slice name;
		unsigned type;

		if (rest.len < 1 + name_len + 1)
			return SL_ESYNTAX;
		name = sl_slice_make(rest.ptr + 1, name_len);
		type = (unsigned char)rest.ptr[1 + name_len];
		rest = sl_slice_from(rest, 2 + name_len);
		size = value_size(type, rest);
		if (size > rest.len)
			return SL_ESYNTAX;
		if (type == TYPE_STRING)
			note_header(message, name, sl_slice_make(rest.ptr + 2, size - 2));
		rest = sl_slice_from(rest, size);
	}
	return SL_OK;
}

/* Bytes of the message that begins with this prelude. */
static enum sl_err
read_prelude(const struct sl_event_reader *reader, const char *at, size_t *total)
{
	size_t headers = get_u32(at + 4);

	*total = get_u32(at);
	if (checksum(sl_slice_make(at, 8)) != get_u32(at + 8))
		return SL_ESYNTAX;
	if (*total > reader->max_size)
		return SL_ELIMIT;
	if (*total < PRELUDE_SIZE + TRAILER_SIZE ||
	    headers > *total - PRELUDE_SIZE - TRAILER_SIZE)
		return SL_ESYNTAX;
	return SL_OK;
}

static enum sl_err
read_message(struct sl_slice raw, struct sl_event_message *message)
{
	size_t headers = get_u32(raw.ptr + 4);

	*message = (struct sl_event_message){ .raw = raw };
	if (checksum(sl_slice_make(raw.ptr, raw.len - TRAILER_SIZE)) !=
	    get_u32(raw.ptr + raw.len - TRAILER_SIZE))
		return SL_ESYNTAX;
	message->payload = sl_slice_make(raw.ptr + PRELUDE_SIZE + headers,
	                                 raw.len - PRELUDE_SIZE - headers - TRAILER_SIZE);
	return read_headers(sl_slice_make(raw.ptr + PRELUDE_SIZE, headers), message);
}

/* Moves bytes of the input to pending until it holds `want` or the input ends. */
static enum sl_err
gather(struct sl_event_reader *reader, struct sl_slice *input, size_t want)
{
	size_t more = want - reader->pending.len;
	enum sl_err err;

	more = more < input->len ? more : input->len;
	err = sl_buf_append(&reader->pending, sl_slice_make(input->ptr, more));
	if (err != SL_OK)
		return err;
	*input = sl_slice_from(*input, more);
	return reader->pending.len == want ? SL_OK : SL_MORE;
}

static enum sl_err
read_split(struct sl_event_reader *reader, struct sl_slice *input,
           struct sl_event_message *message)
{
	size_t total;
	enum sl_err err;

	if (reader->pending.len < PRELUDE_SIZE) {
		err = gather(reader, input, PRELUDE_SIZE);
		if (err != SL_OK)
			return err;
	}
	err = read_prelude(reader, reader->pending.ptr, &total);
	if (err == SL_OK)
		err = gather(reader, input, total);
	if (err != SL_OK)
		return err;
	reader->taken = true;
	return read_message(sl_buf_slice(&reader->pending), message);
}

static enum sl_err
read_next(struct sl_event_reader *reader, struct sl_slice *input,
          struct sl_event_message *message)
{
	size_t total;
	enum sl_err err;

	if (reader->taken) {
		sl_buf_clear(&reader->pending);
		reader->taken = false;
	}
	if (reader->pending.len > 0 || input->len < PRELUDE_SIZE)
		return input->len ? read_split(reader, input, message) : SL_MORE;
	err = read_prelude(reader, input->ptr, &total);
	if (err != SL_OK)
		return err;
	if (total > input->len)
		return read_split(reader, input, message);
	err = read_message(sl_slice_make(input->ptr, total), message);
	*input = sl_slice_from(*input, total);
	return err;
}

enum sl_err
sl_event_read(struct sl_event_reader *reader, struct sl_slice *input,
              struct sl_event_message *message)
{
	enum sl_err err;

	if (reader->broken != SL_OK)
		return reader->broken;
	err = read_next(reader, input, message);
	if (err != SL_OK && err != SL_MORE)
		reader->broken = err;
	return err;
}

/* --- write ---------------------------------------------------------------- */

static void
put_u32(struct sl_buf *out, uint32_t value)
{
	const char bytes[] = { (char)(value >> 24), (char)(value >> 16), (char)(value >> 8),
		               (char)value };

	sl_buf_append(out, sl_slice_make(bytes, sizeof(bytes)));
}

static size_t
header_size(struct sl_slice name, struct sl_slice value)
{
	return 1 + name.len + 1 + 2 + value.len;
}

static void
put_header(struct sl_buf *out, struct sl_slice name, struct sl_slice value)
{
	const char length[] = { TYPE_STRING, (char)(value.len >> 8), (char)value.len };

	sl_buf_append_char(out, (char)name.len);
	sl_buf_append(out, name);
	sl_buf_append(out, sl_slice_make(length, sizeof(length)));
	sl_buf_append(out, value);
}

static struct sl_slice
type_header(struct sl_slice kind)
{
	if (sl_slice_is(kind, "exception"))
		return SL_SLICE(":exception-type");
	return sl_slice_is(kind, "error") ? SL_SLICE(":error-code") : SL_SLICE(":event-type");
}

enum sl_err
sl_event_write(struct sl_buf *out, struct sl_slice kind, struct sl_slice type,
               struct sl_slice content_type, struct sl_slice payload)
{
	const struct { struct sl_slice name, value; } headers[] = {
		{ type_header(kind), type },
		{ SL_SLICE(":content-type"), content_type },
		{ SL_SLICE(":message-type"), kind },
	};
	size_t begin = out->len, size = 0, total;

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		if (headers[i].value.len > 255)
			return SL_ELIMIT;
		size += header_size(headers[i].name, headers[i].value);
	}
	total = PRELUDE_SIZE + size + payload.len + TRAILER_SIZE;
	if (payload.len > UINT32_MAX / 2 || sl_buf_reserve(out, total) != SL_OK)
		return SL_ELIMIT;
	put_u32(out, (uint32_t)total);
	put_u32(out, (uint32_t)size);
	put_u32(out, checksum(sl_slice_make(out->ptr + begin, 8)));
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		put_header(out, headers[i].name, headers[i].value);
	sl_buf_append(out, payload);
	put_u32(out, checksum(sl_slice_make(out->ptr + begin, total - TRAILER_SIZE)));
	return out->failed ? SL_ENOMEM : SL_OK;
}

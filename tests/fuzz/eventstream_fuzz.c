/* eventstream_fuzz.c - a stream in random parts gives the messages of the whole.
 *
 * The first byte of the input seeds the parts. Random bytes rarely carry a right
 * checksum, so the second half of the runs writes messages out of the input and
 * damages one byte.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/eventstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 1 << 16 };

static void
read_parts(struct sl_slice stream, size_t most, uint32_t seed, struct sl_buf *out)
{
	struct sl_event_reader reader;
	struct sl_event_message message;
	enum sl_err err = SL_MORE;

	sl_event_reader_init(&reader, MESSAGE_MAX);
	while (stream.len && err == SL_MORE) {
		size_t size;
		char *copy;
		struct sl_slice part;

		seed = seed * 1664525u + 1013904223u;
		size = 1 + (seed >> 8) % most;
		size = size < stream.len ? size : stream.len;
		copy = malloc(size);
		if (!copy)
			abort();
		memcpy(copy, stream.ptr, size);
		part = sl_slice_make(copy, size);
		stream = sl_slice_from(stream, size);
		while ((err = sl_event_read(&reader, &part, &message)) == SL_OK)
			sl_buf_printf(out, "%.*s %.*s %zu\n", SL_ARG(message.kind),
			              SL_ARG(message.type), message.payload.len);
		free(copy);
	}
	sl_buf_printf(out, "%d", err != SL_MORE);
	sl_event_reader_release(&reader);
}

static void
make_stream(const uint8_t *data, size_t size, struct sl_buf *out)
{
	struct sl_slice rest = sl_slice_make((const char *)data, size);

	if (data[0] % 2) {
		sl_buf_append(out, rest);
		return;
	}
	while (rest.len > 1) {
		struct sl_slice part = sl_slice_upto(rest, 1 + (unsigned char)rest.ptr[0]);

		sl_event_write(out, SL_SLICE("event"), sl_slice_upto(part, 5), SL_SLICE("x/y"),
		               part);
		rest = sl_slice_from(rest, part.len);
	}
	if (out->len && size > 3 && data[1] % 4 == 0)
		out->ptr[((size_t)data[2] | (size_t)data[3] << 8) % out->len] ^= 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sl_buf stream, whole, parts;

	if (size < 2)
		return 0;
	sl_buf_init(&stream, 1 << 24);
	sl_buf_init(&whole, 1 << 24);
	sl_buf_init(&parts, 1 << 24);
	make_stream(data, size, &stream);
	read_parts(sl_buf_slice(&stream), SIZE_MAX / 2, data[0], &whole);
	read_parts(sl_buf_slice(&stream), 1 + data[0] % 40, data[0], &parts);
	if (!sl_slice_eq(sl_buf_slice(&whole), sl_buf_slice(&parts)))
		abort();
	sl_buf_release(&stream);
	sl_buf_release(&whole);
	sl_buf_release(&parts);
	return 0;
}

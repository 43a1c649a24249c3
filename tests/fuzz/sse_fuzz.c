/* sse_fuzz.c - a stream in random parts gives the frames of the whole.
 *
 * The first byte of the input seeds the parts, the rest is the stream.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FRAME_MAX = 1 << 20 };

static void
note(struct sl_buf *out, const struct sl_sse_frame *frame)
{
	sl_buf_printf(out, "%d %zu:%.*s %zu:%.*s\n", frame->comment_only, frame->event.len,
	              SL_ARG(frame->event), frame->data.len, SL_ARG(frame->data));
}

/* Parts of 1 to `most` bytes, each in memory of its own so that reading past
 * it is seen. Returns the raw bytes of all frames. */
static size_t
read_parts(struct sl_slice stream, size_t most, uint32_t seed, struct sl_buf *out)
{
	struct sl_sse_reader reader;
	struct sl_sse_frame frame;
	size_t raw = 0;

	sl_sse_reader_init(&reader, FRAME_MAX);
	while (stream.len) {
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
		while (sl_sse_read(&reader, &part, &frame) == SL_OK) {
			note(out, &frame);
			raw += frame.raw.len;
		}
		free(copy);
	}
	if (sl_sse_finish(&reader, &frame) == SL_OK) {
		note(out, &frame);
		raw += frame.raw.len;
	}
	sl_sse_reader_release(&reader);
	return raw;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sl_slice stream;
	struct sl_buf whole, parts;

	if (size == 0)
		return 0;
	stream = sl_slice_make(data + 1, size - 1);
	sl_buf_init(&whole, 1 << 26);
	sl_buf_init(&parts, 1 << 26);
	if (read_parts(stream, SIZE_MAX / 2, data[0], &whole) != stream.len &&
	    !sl_slice_is(stream, "\xef\xbb\xbf"))
		abort();
	/* An LF that comes alone behind the last CR belongs to no frame. */
	if (read_parts(stream, 1 + data[0] % 32, data[0], &parts) + 3 < stream.len)
		abort();
	if (!sl_slice_eq(sl_buf_slice(&whole), sl_buf_slice(&parts)))
		abort();
	sl_buf_release(&whole);
	sl_buf_release(&parts);
	return 0;
}

/* sse.c - cut a byte stream into event frames.
 *
 * Two passes over each frame, both over bytes that are in the cache. The first
 * looks only for line ends and stops behind the first blank line; its state is
 * a few flags, so that it can stop and resume between any two bytes. The
 * second runs once the frame is whole and contiguous (in the input, or in
 * `pending` if inputs split it) and takes the fields.
 *
 * First pass, per line end:
 *
 *   LINE --CR, LF--> BLANK? --other byte--> LINE
 *                      '-----CR, LF-------> frame complete
 *
 * where an LF directly behind a CR is no line end of its own. The stream
 * starts in BLANK?.
 */
#include "base/sse.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* A stream that idles between frames should not keep a page for the next. */
enum { KEEP_SIZE = 1024 };

static const char byte_order_mark[3] = "\xef\xbb\xbf";

void
sl_sse_reader_init(struct sl_sse_reader *reader, size_t max_frame_size)
{
	*reader = (struct sl_sse_reader){ .lead = 0 };
	sl_buf_init(&reader->pending, max_frame_size);
	sl_buf_init(&reader->joined, max_frame_size);
}

void
sl_sse_reader_release(struct sl_sse_reader *reader)
{
	sl_buf_release(&reader->pending);
	sl_buf_release(&reader->joined);
}

size_t
sl_sse_pending(const struct sl_sse_reader *reader)
{
	if (reader->taken || reader->pending.len < reader->lead)
		return 0;
	return reader->pending.len - reader->lead;
}

/* The first CR or LF from p on, or end. */
static const char *
find_line_end(const char *p, const char *end)
{
#ifdef __SSE2__
	while (end - p >= 16) {
		__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i hits = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\n')),
		                            _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\r')));
		int mask = _mm_movemask_epi8(hits);

		if (mask)
			return p + __builtin_ctz((unsigned)mask);
		p += 16;
	}
#endif
	while (p < end && *p != '\n' && *p != '\r')
		p++;
	return p;
}

/* --- second pass: the fields of a whole frame ------------------------------ */

/* Cuts the next line with its end off *rest. */
static struct sl_slice
take_line(struct sl_slice *rest)
{
	const char *start = rest->ptr, *end = start + rest->len;
	const char *stop = find_line_end(start, end), *next = stop;

	if (next < end)
		next += next + 1 < end && next[0] == '\r' && next[1] == '\n' ? 2 : 1;
	*rest = sl_slice_make(next, (size_t)(end - next));
	return sl_slice_make(start, (size_t)(stop - start));
}

static void
add_data(struct sl_sse_reader *reader, struct sl_sse_frame *frame, struct sl_slice line,
         size_t index)
{
	if (index == 0) {
		frame->data = line;
		return;
	}
	if (index == 1) {
		sl_buf_clear(&reader->joined);
		sl_buf_append(&reader->joined, frame->data);
	}
	sl_buf_append_char(&reader->joined, '\n');
	sl_buf_append(&reader->joined, line);
	frame->data = sl_buf_slice(&reader->joined);
}

static enum sl_err
take_fields(struct sl_sse_reader *reader, struct sl_slice raw, struct sl_sse_frame *frame)
{
	struct sl_slice rest = sl_slice_from(raw, reader->lead);
	size_t data_lines = 0;

	reader->lead = 0;
	*frame = (struct sl_sse_frame){ .raw = raw, .comment_only = true };
	while (rest.len) {
		struct sl_slice value = take_line(&rest), name;

		if (value.len == 0 || value.ptr[0] == ':')
			continue;
		frame->comment_only = false;
		name = sl_slice_cut(&value, ':');
		if (value.len && value.ptr[0] == ' ')
			value = sl_slice_from(value, 1);
		if (sl_slice_is(name, "data"))
			add_data(reader, frame, value, data_lines++);
		else if (sl_slice_is(name, "event"))
			frame->event = value;
	}
	if (data_lines > 1 && reader->joined.failed) {
		/* Joined lines are shorter than the frame: only memory can lack. */
		reader->broken = SL_ENOMEM;
		return SL_ENOMEM;
	}
	return SL_OK;
}

/* --- first pass: where the frame ends -------------------------------------- */

/* Bytes of the stream's first line that may be a byte order mark. Returns the
 * bytes that are, of which the line then does not consist. */
static size_t
skip_bom(struct sl_sse_reader *reader, struct sl_slice input)
{
	size_t i = 0;

	while (!reader->began && i < input.len) {
		if (input.ptr[i] != byte_order_mark[reader->bom_len]) {
			/* What looked like one is the start of a line. */
			reader->in_line = reader->bom_len > 0;
			reader->began = true;
			return 0;
		}
		i++;
		if (++reader->bom_len == sizeof(byte_order_mark)) {
			reader->lead = sizeof(byte_order_mark);
			reader->began = true;
		}
	}
	return i;
}

/* Length of the part of input that completes the frame, 0 when it does not. */
static size_t
find_frame_end(struct sl_sse_reader *reader, struct sl_slice input)
{
	const char *start = input.ptr, *end = start + input.len, *p = start;

	p += skip_bom(reader, input);
	if (reader->skip_lf && p < end) {
		reader->skip_lf = false;
		if (*p == '\n') {
			p++;
			/* Its CR completed the frame before. */
			if (reader->pending.len == 0)
				reader->lead = 1;
		}
	}
	while (p < end) {
		const char *stop = find_line_end(p, end);
		bool blank = stop == p && !reader->in_line;

		reader->in_line = true;
		if (stop == end)
			break;
		p = stop + 1;
		if (*stop == '\r') {
			if (p == end)
				reader->skip_lf = true;
			else if (*p == '\n')
				p++;
		}
		reader->in_line = false;
		if (blank)
			return (size_t)(p - start);
	}
	return 0;
}

static void
drop_taken(struct sl_sse_reader *reader)
{
	if (!reader->taken)
		return;
	reader->taken = false;
	if (reader->pending.cap > KEEP_SIZE)
		sl_buf_release(&reader->pending);
	sl_buf_clear(&reader->pending);
	if (reader->joined.cap > KEEP_SIZE)
		sl_buf_release(&reader->joined);
}

/* Adds to the frame in pending; breaks the reader when that is impossible. */
static enum sl_err
hold(struct sl_sse_reader *reader, struct sl_slice bytes)
{
	reader->broken = sl_buf_append(&reader->pending, bytes);
	return reader->broken;
}

enum sl_err
sl_sse_read(struct sl_sse_reader *reader, struct sl_slice *input, struct sl_sse_frame *frame)
{
	struct sl_slice raw;
	size_t size;

	if (reader->broken != SL_OK)
		return reader->broken;
	drop_taken(reader);
	if (input->len == 0)
		return SL_MORE;
	size = find_frame_end(reader, *input);
	if (size == 0) {
		raw = *input;
		*input = SL_SLICE_NONE;
		return hold(reader, raw) == SL_OK ? SL_MORE : reader->broken;
	}
	raw = sl_slice_upto(*input, size);
	if (size > reader->pending.max_size - reader->pending.len) {
		reader->broken = SL_ELIMIT;
		return SL_ELIMIT;
	}
	*input = sl_slice_from(*input, size);
	if (reader->pending.len > 0) {
		if (hold(reader, raw) != SL_OK)
			return reader->broken;
		raw = sl_buf_slice(&reader->pending);
		reader->taken = true;
	}
	return take_fields(reader, raw, frame);
}

enum sl_err
sl_sse_finish(struct sl_sse_reader *reader, struct sl_sse_frame *frame)
{
	if (reader->broken != SL_OK)
		return reader->broken;
	drop_taken(reader);
	if (sl_sse_pending(reader) == 0)
		return SL_MORE;
	reader->taken = true;
	return take_fields(reader, sl_buf_slice(&reader->pending), frame);
}

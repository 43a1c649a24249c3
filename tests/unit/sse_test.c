/* sse_test.c - frames from any split of the bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/sse.h"
#include "json_fixture.h"

/* What a reader saw, as text: one "event|data|c\n" per frame, and all the raw
 * bytes. */
struct seen {
	struct sl_buf frames;
	struct sl_buf raw;
	enum sl_err   err;
};

static void
seen_init(struct seen *seen)
{
	sl_buf_init(&seen->frames, 1 << 20);
	sl_buf_init(&seen->raw, 1 << 20);
	seen->err = SL_OK;
}

static void
seen_release(struct seen *seen)
{
	sl_buf_release(&seen->frames);
	sl_buf_release(&seen->raw);
}

static void
note(struct seen *seen, const struct sl_sse_frame *frame)
{
	sl_buf_append(&seen->frames, frame->event);
	sl_buf_append_char(&seen->frames, '|');
	sl_buf_append(&seen->frames, frame->data);
	sl_buf_append_str(&seen->frames, frame->comment_only ? "|c\n" : "|\n");
	sl_buf_append(&seen->raw, frame->raw);
}

static void
feed(struct sl_sse_reader *reader, struct sl_slice part, struct seen *seen)
{
	struct sl_sse_frame frame;
	struct fence fence;
	struct sl_slice input = fence_make(&fence, part);

	while ((seen->err = sl_sse_read(reader, &input, &frame)) == SL_OK)
		note(seen, &frame);
	if (seen->err == SL_MORE)
		assert_int_equal(input.len, 0);
	fence_free(&fence);
}

static void
finish(struct sl_sse_reader *reader, struct seen *seen)
{
	struct sl_sse_frame frame;

	if (sl_sse_finish(reader, &frame) == SL_OK)
		note(seen, &frame);
	assert_int_equal(sl_sse_finish(reader, &frame), SL_MORE);
}

/* Feeds bytes in parts: cut at `first`, then at `second`. */
static void
read_split(struct sl_slice bytes, size_t first, size_t second, struct seen *seen)
{
	struct sl_sse_reader reader;

	sl_sse_reader_init(&reader, 4096);
	feed(&reader, sl_slice_upto(bytes, first), seen);
	feed(&reader, sl_slice_upto(sl_slice_from(bytes, first), second - first), seen);
	feed(&reader, sl_slice_from(bytes, second), seen);
	finish(&reader, seen);
	sl_sse_reader_release(&reader);
}

static void
assert_frames(struct sl_slice bytes, const char *frames)
{
	for (size_t first = 0; first <= bytes.len; first++)
		for (size_t second = first; second <= bytes.len; second++) {
			struct seen seen;

			seen_init(&seen);
			read_split(bytes, first, second, &seen);
			if (!sl_slice_is(sl_buf_slice(&seen.frames), frames))
				fail_msg("cut at %zu and %zu: %.*s", first, second,
				         SL_ARG(sl_buf_slice(&seen.frames)));
			/* Only an LF behind the last frame's CR may be left. */
			assert_true(seen.raw.len == bytes.len ||
			            (seen.raw.len + 1 == bytes.len && bytes.ptr[bytes.len - 1] == '\n'));
			assert_memory_equal(seen.raw.ptr, bytes.ptr, seen.raw.len);
			seen_release(&seen);
		}
}

static void
frames_are_the_same_at_every_split(void **state)
{
	(void)state;
	assert_frames(SL_SLICE("data: a\n\ndata: b\n\n"), "|a|\n|b|\n");
	assert_frames(SL_SLICE("data: a\r\n\r\ndata: b\r\n\r\n"), "|a|\n|b|\n");
	assert_frames(SL_SLICE("data: a\r\rdata: b\r\r"), "|a|\n|b|\n");
	assert_frames(SL_SLICE("data: a\r\n\ndata: b\n\r\n: c\r\n\r"), "|a|\n|b|\n||c\n");
	assert_frames(SL_SLICE("event: x\ndata: 1\ndata:2\ndata:  3\n\n"), "x|1\n2\n 3|\n");
	assert_frames(SL_SLICE("data\n\ndata:\ndata\n\n"), "||\n|\n|\n");
	assert_frames(SL_SLICE(": ping\n\n:\n\n"), "||c\n||c\n");
	assert_frames(SL_SLICE("id: 7\nretry: 10\nother\n\n"), "||\n");
	assert_frames(SL_SLICE("event:a\nevent: b\ndata:x:y\n\n"), "b|x:y|\n");
	assert_frames(SL_SLICE("\xef\xbb\xbf" "data: a\n\n"), "|a|\n");
	assert_frames(SL_SLICE("\xef\xbb\xbf" "\ndata: a\n\n"), "||c\n|a|\n");
	assert_frames(SL_SLICE("data: a\n\n\xef\xbb\xbf" "data: b\n\n"), "|a|\n||\n");
	assert_frames(SL_SLICE("\xef\xbb" "data: a\n\n"), "||\n");
	assert_frames(SL_SLICE("\n\r\n\r\rdata: a\n\n"), "||c\n||c\n||c\n||c\n|a|\n");
	assert_frames(SL_SLICE("data: cut short"), "|cut short|\n");
	assert_frames(SL_SLICE("data: one\r\n"), "|one|\n");
	assert_frames(SL_SLICE(""), "");
}

/* Only CR and LF end a line, whatever Unicode says about others. */
static void
other_separators_stay_in_the_line(void **state)
{
	(void)state;
	assert_frames(SL_SLICE("data: a\xe2\x80\xa8" "b\xc2\x85" "c\v\f\x1c\x1d" "d\n\n"),
	              "|a\xe2\x80\xa8" "b\xc2\x85" "c\v\f\x1c\x1d" "d|\n");
	assert_frames(SL_SLICE("data: \xff\xfe\x80\n\n"), "|\xff\xfe\x80|\n");
}

/* The frame must not wait for the byte behind its blank line. */
static void
a_frame_is_given_with_its_last_byte(void **state)
{
	struct sl_sse_reader reader;
	struct sl_sse_frame frame;
	struct sl_slice input = SL_SLICE("data: a\r\n\r");

	(void)state;
	sl_sse_reader_init(&reader, 64);
	assert_int_equal(sl_sse_read(&reader, &input, &frame), SL_OK);
	assert_true(sl_slice_is(frame.data, "a"));
	assert_int_equal(sl_sse_pending(&reader), 0);
	input = SL_SLICE("\n");
	assert_int_equal(sl_sse_read(&reader, &input, &frame), SL_MORE);
	assert_int_equal(sl_sse_pending(&reader), 0);
	assert_int_equal(sl_sse_finish(&reader, &frame), SL_MORE);
	sl_sse_reader_release(&reader);
}

static void
whole_frames_are_not_copied(void **state)
{
	struct sl_sse_reader reader;
	struct sl_sse_frame frame;
	struct sl_slice bytes = SL_SLICE("event: e\ndata: abc\n\ndata: d"), input = bytes;

	(void)state;
	sl_sse_reader_init(&reader, 64);
	assert_int_equal(sl_sse_read(&reader, &input, &frame), SL_OK);
	assert_ptr_equal(frame.raw.ptr, bytes.ptr);
	assert_ptr_equal(frame.data.ptr, bytes.ptr + 15);
	assert_null(reader.pending.ptr);
	assert_int_equal(sl_sse_read(&reader, &input, &frame), SL_MORE);
	assert_int_equal(sl_sse_pending(&reader), 7);
	sl_sse_reader_release(&reader);
}

static void
long_frames_are_refused(void **state)
{
	static const char line[] = "data: 12345678\n";
	struct sl_sse_reader reader;
	struct sl_sse_frame frame;
	struct sl_slice input;
	enum sl_err err = SL_MORE;

	(void)state;
	sl_sse_reader_init(&reader, 100);
	for (size_t i = 0; i < 6; i++) {
		input = sl_slice_str(line);
		assert_int_equal(sl_sse_read(&reader, &input, &frame), SL_MORE);
	}
	for (size_t i = 0; i < 3; i++) {
		input = sl_slice_str(line);
		err = sl_sse_read(&reader, &input, &frame);
		assert_int_equal(err, SL_ELIMIT);
	}
	assert_int_equal(sl_sse_finish(&reader, &frame), SL_ELIMIT);
	sl_sse_reader_release(&reader);
	sl_sse_reader_init(&reader, 10);
	input = SL_SLICE("data: 123456\n\n");
	assert_int_equal(sl_sse_read(&reader, &input, &frame), SL_ELIMIT);
	sl_sse_reader_release(&reader);
}

/* Random streams in random parts against the stream in one part. */
static void
random_parts_give_the_same_frames(void **state)
{
	static const char *const pieces[] = {
		"\r", "\n", "\r\n", "\n\n", "\r\n\r\n", "data: ", "data:", "event: x", ":", " ", "a",
		"{\"choices\":[{\"delta\":{\"content\":\"twenty bytes and more\"}}]}", "\xef\xbb\xbf",
		"\xe2\x80\xa8", "id: 3", "data",
	};
	uint64_t seed = 11;

	(void)state;
	for (size_t round = 0; round < 3000; round++) {
		struct sl_sse_reader reader;
		struct seen whole, parts;
		struct sl_buf bytes;
		struct sl_slice rest;

		sl_buf_init(&bytes, 1 << 16);
		for (size_t i = random_below(&seed, 40); i > 0; i--)
			sl_buf_append_str(&bytes, pieces[random_below(&seed, 16)]);
		seen_init(&whole);
		seen_init(&parts);
		read_split(sl_buf_slice(&bytes), bytes.len, bytes.len, &whole);
		sl_sse_reader_init(&reader, 4096);
		for (rest = sl_buf_slice(&bytes); rest.len;) {
			size_t size = 1 + random_below(&seed, 30);

			feed(&reader, sl_slice_upto(rest, size), &parts);
			rest = sl_slice_from(rest, size);
		}
		finish(&reader, &parts);
		assert_int_equal(whole.frames.len, parts.frames.len);
		assert_memory_equal(whole.frames.ptr, parts.frames.ptr, whole.frames.len);
		sl_sse_reader_release(&reader);
		seen_release(&whole);
		seen_release(&parts);
		sl_buf_release(&bytes);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_the_same_at_every_split),
		cmocka_unit_test(other_separators_stay_in_the_line),
		cmocka_unit_test(a_frame_is_given_with_its_last_byte),
		cmocka_unit_test(whole_frames_are_not_copied),
		cmocka_unit_test(long_frames_are_refused),
		cmocka_unit_test(random_parts_give_the_same_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

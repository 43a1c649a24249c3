/* eventstream_test.c - AWS's event stream from any split, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/eventstream.h"
#include "json_fixture.h"

enum { MESSAGE_MAX = 4096 };

/* A messageStart as AWS's own codec writes it. */
static const char sample_hex[] =
    "000000760000005296d5fade0d3a6d6573736167652d747970650700056576656e74"
    "0b3a6576656e742d7479706507000c6d65737361676553746172740d3a636f6e7465"
    "6e742d747970650700106170706c69636174696f6e2f6a736f6e7b22726f6c65223a"
    "22617373697374616e74227d1cc6be18";

static struct sl_slice
sample(void)
{
	static char bytes[(sizeof(sample_hex) - 1) / 2];

	for (size_t i = 0; i < sizeof(bytes); i++) {
		const char pair[] = { sample_hex[2 * i], sample_hex[2 * i + 1], 0 };

		bytes[i] = (char)strtoul(pair, NULL, 16);
	}
	return sl_slice_make(bytes, sizeof(bytes));
}

static void
assert_sample(const struct sl_event_message *message)
{
	assert_true(sl_slice_is(message->kind, "event"));
	assert_true(sl_slice_is(message->type, "messageStart"));
	assert_true(sl_slice_is(message->content_type, "application/json"));
	assert_true(sl_slice_is(message->payload, "{\"role\":\"assistant\"}"));
	assert_int_equal(message->raw.len, sample().len);
}

/* Feeds bytes in two parts, each in memory of its own; returns the messages
 * read, each of which must be the sample, and the last answer. */
static size_t
read_in_two(struct sl_slice bytes, size_t cut, enum sl_err *last)
{
	struct sl_event_reader reader;
	struct sl_event_message message;
	size_t count = 0;

	sl_event_reader_init(&reader, MESSAGE_MAX);
	*last = SL_MORE;
	for (int part = 0; part < 2 && *last == SL_MORE; part++) {
		struct fence fence;
		struct sl_slice input = fence_make(&fence, part == 0
		    ? sl_slice_make(bytes.ptr, cut) : sl_slice_from(bytes, cut));

		while ((*last = sl_event_read(&reader, &input, &message)) == SL_OK) {
			assert_sample(&message);
			count++;
		}
		if (*last == SL_MORE)
			assert_int_equal(input.len, 0);
		fence_free(&fence);
	}
	if (*last == SL_MORE && count * sample().len == bytes.len)
		assert_int_equal(sl_event_pending(&reader), 0);
	sl_event_reader_release(&reader);
	return count;
}

static void
reads_what_aws_wrote_at_every_split(void **state)
{
	struct sl_buf twice;
	enum sl_err last;

	(void)state;
	sl_buf_init(&twice, 1024);
	sl_buf_append(&twice, sample());
	sl_buf_append(&twice, sample());
	for (size_t cut = 0; cut <= twice.len; cut++) {
		assert_int_equal(read_in_two(sl_buf_slice(&twice), cut, &last), 2);
		assert_int_equal(last, SL_MORE);
	}
	sl_buf_release(&twice);
}

static void
any_changed_byte_is_refused(void **state)
{
	(void)state;
	for (size_t at = 0; at < sample().len; at++) {
		char bytes[256];
		enum sl_err last;

		memcpy(bytes, sample().ptr, sample().len);
		bytes[at] = (char)(bytes[at] ^ 0x10);
		for (size_t cut = 0; cut <= sample().len; cut += 13) {
			assert_int_equal(
			    read_in_two(sl_slice_make(bytes, sample().len), cut, &last), 0);
			assert_true(last == SL_ESYNTAX || last == SL_ELIMIT);
		}
	}
}

static void
a_broken_reader_stays_broken(void **state)
{
	struct sl_event_reader reader;
	struct sl_event_message message;
	char bytes[256];
	struct sl_slice input = sl_slice_make(bytes, sample().len);

	(void)state;
	memcpy(bytes, sample().ptr, sample().len);
	bytes[40] ^= 1;
	sl_event_reader_init(&reader, MESSAGE_MAX);
	assert_int_equal(sl_event_read(&reader, &input, &message), SL_ESYNTAX);
	input = sample();
	assert_int_equal(sl_event_read(&reader, &input, &message), SL_ESYNTAX);
	sl_event_reader_release(&reader);
}

static void
a_huge_length_takes_no_memory(void **state)
{
	struct sl_event_reader reader;
	struct sl_event_message message;
	static const char payload[2 * MESSAGE_MAX];
	struct sl_buf bytes;
	struct sl_slice input;

	(void)state;
	sl_buf_init(&bytes, 1 << 20);
	assert_int_equal(sl_event_write(&bytes, SL_SLICE("event"), SL_SLICE("x"),
	                                SL_SLICE_NONE, sl_slice_make(payload, sizeof(payload))),
	                 SL_OK);
	sl_event_reader_init(&reader, MESSAGE_MAX);
	input = sl_slice_make(bytes.ptr, 12);
	assert_int_equal(sl_event_read(&reader, &input, &message), SL_ELIMIT);
	assert_true(reader.pending.cap < MESSAGE_MAX);
	sl_event_reader_release(&reader);
	sl_buf_release(&bytes);
}

static void
what_is_written_is_read(void **state)
{
	static const char *const kinds[] = { "event", "exception", "error" };
	struct sl_event_reader reader;
	struct sl_event_message message;
	struct sl_buf bytes;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct sl_slice input;

		sl_buf_init(&bytes, 1024);
		sl_event_reader_init(&reader, MESSAGE_MAX);
		assert_int_equal(sl_event_write(&bytes, sl_slice_str(kinds[i]),
		                                SL_SLICE("throttlingException"),
		                                SL_SLICE("application/json"),
		                                SL_SLICE("{\"message\":\"slow\"}")), SL_OK);
		input = sl_buf_slice(&bytes);
		assert_int_equal(sl_event_read(&reader, &input, &message), SL_OK);
		assert_true(sl_slice_is(message.kind, kinds[i]));
		assert_true(sl_slice_is(message.type, "throttlingException"));
		assert_true(sl_slice_is(message.payload, "{\"message\":\"slow\"}"));
		assert_int_equal(input.len, 0);
		sl_event_reader_release(&reader);
		sl_buf_release(&bytes);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_aws_wrote_at_every_split),
		cmocka_unit_test(any_changed_byte_is_refused),
		cmocka_unit_test(a_broken_reader_stays_broken),
		cmocka_unit_test(a_huge_length_takes_no_memory),
		cmocka_unit_test(what_is_written_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

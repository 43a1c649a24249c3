/* json_array_test.c - every split of a streamed array gives the same elements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json_array.h"

static const char stream[] =
    "[{\"a\": \"]}\\\"[\", \"b\": [1, {\"c\": 2}]}\n,\r\n{\"d\": {}}, 12 , \"x,]\" ,null]\n";
static const char *const elements[] = { "{\"a\": \"]}\\\"[\", \"b\": [1, {\"c\": 2}]}",
	                                "{\"d\": {}}", "12", "\"x,]\"", "null", "" };

/* Feeds `pieces` cuts of the stream and checks elements and the sum of raw bytes. */
static void
check(const size_t *cuts, size_t cut_count)
{
	struct sl_json_array_reader reader;
	struct sl_buf raw;
	size_t from = 0, seen = 0;

	sl_json_array_init(&reader, 1024);
	sl_buf_init(&raw, 4096);
	for (size_t i = 0; i <= cut_count; i++) {
		size_t to = i < cut_count ? cuts[i] : sizeof(stream) - 1;
		/* An allocation of exactly this size: ASan sees any over-read. */
		char *piece = malloc(to - from + 1);
		struct sl_slice input = { piece, to - from };
		struct sl_json_array_item item;
		enum sl_err err;

		memcpy(piece, stream + from, to - from);
		while ((err = sl_json_array_read(&reader, &input, &item)) == SL_OK) {
			/* White space behind the end comes as further empty items. */
			assert_true(seen < 6 || item.data.len == 0);
			if (seen < 6)
				assert_true(sl_slice_is(item.data, elements[seen++]));
			sl_buf_append(&raw, item.raw);
		}
		assert_int_equal(err, SL_MORE);
		free(piece);
		from = to;
	}
	assert_int_equal(seen, 6);
	assert_true(sl_json_array_closed(&reader));
	/* Everything was handed out, nothing twice. */
	assert_int_equal(raw.len, sizeof(stream) - 1);
	assert_memory_equal(raw.ptr, stream, raw.len);
	sl_buf_release(&raw);
	sl_json_array_release(&reader);
}

static void
every_cut_and_every_pair_of_cuts(void **state)
{
	(void)state;
	check(NULL, 0);
	for (size_t a = 0; a < sizeof(stream); a++) {
		check(&a, a < sizeof(stream) - 1 ? 1 : 0);
		for (size_t b = a; b < sizeof(stream) - 1; b++)
			check((size_t[]){ a, b }, 2);
	}
}

static void
byte_by_byte(void **state)
{
	size_t cuts[sizeof(stream)];

	(void)state;
	for (size_t i = 0; i < sizeof(stream) - 2; i++)
		cuts[i] = i + 1;
	check(cuts, sizeof(stream) - 2);
}

static enum sl_err
feed(const char *text, size_t max, size_t *items)
{
	struct sl_json_array_reader reader;
	struct sl_slice input = sl_slice_str(text);
	struct sl_json_array_item item;
	enum sl_err err;

	*items = 0;
	sl_json_array_init(&reader, max);
	while ((err = sl_json_array_read(&reader, &input, &item)) == SL_OK)
		++*items;
	sl_json_array_release(&reader);
	return err;
}

static void
what_is_no_array_is_refused(void **state)
{
	size_t items;

	(void)state;
	assert_int_equal(feed("{\"error\":1}", 100, &items), SL_ESYNTAX);
	assert_int_equal(feed("[1}", 100, &items), SL_ESYNTAX);
	assert_int_equal(feed("[1] x", 100, &items), SL_ESYNTAX);
	assert_int_equal(feed("[{\"a\":1},", 100, &items), SL_MORE);
	assert_int_equal(items, 1);
}

static void
a_long_element_is_refused(void **state)
{
	struct sl_json_array_reader reader;
	struct sl_json_array_item item;
	enum sl_err err = SL_MORE;

	(void)state;
	sl_json_array_init(&reader, 64);
	for (int i = 0; i < 100 && err == SL_MORE; i++) {
		struct sl_slice input = i == 0 ? SL_SLICE("[\"") : SL_SLICE("xxxxxxx");

		err = sl_json_array_read(&reader, &input, &item);
	}
	assert_int_equal(err, SL_ELIMIT);
	sl_json_array_release(&reader);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cut_and_every_pair_of_cuts),
		cmocka_unit_test(byte_by_byte),
		cmocka_unit_test(what_is_no_array_is_refused),
		cmocka_unit_test(a_long_element_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* head_text_test.c - what is written is what was given, and what may not be sent is refused,
 * exactly as sl_header_is_valid has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/head_text.h"

enum { LEN_MAX = 50 };

/* Into memory of exactly the size that was asked for, so that sanitizers see a step too far. */
static bool
is_written(const struct sl_header *fields, size_t count)
{
	const size_t size = sl_fields_size(fields, count);
	char *text = malloc(size ? size : 1), *end;
	const char *at = text;

	assert_non_null(text);
	end = sl_put_fields(text, fields, count);
	for (size_t i = 0; end && i < count; i++) {
		assert_memory_equal(at, fields[i].name.ptr, fields[i].name.len);
		at += fields[i].name.len;
		assert_memory_equal(at, ": ", 2);
		at += 2;
		if (fields[i].value.len)
			assert_memory_equal(at, fields[i].value.ptr, fields[i].value.len);
		at += fields[i].value.len;
		assert_memory_equal(at, "\r\n", 2);
		at += 2;
	}
	if (end) {
		assert_ptr_equal(at, end);
		assert_int_equal(end - text, size);
	}
	free(text);
	return end != NULL;
}

/* Each byte at each place of names and values of each length, each in memory of its own size,
 * between two fields that are good. */
static void
each_byte_is_judged_in_every_lane(void **state)
{
	(void)state;
	for (size_t len = 1; len <= LEN_MAX; len++) {
		char *text = malloc(len);

		assert_non_null(text);
		memset(text, 'a', len);
		for (size_t at = 0; at < len; at++) {
			for (unsigned c = 0; c <= 0xff; c++) {
				struct sl_header fields[] = {
					{ SL_SLICE("x-first"), SL_SLICE("") },
					{ sl_slice_make(text, len), SL_SLICE("1") },
					{ SL_SLICE("x-last"), SL_SLICE("a value of some bytes") },
				};

				text[at] = (char)c;
				assert_int_equal(is_written(fields, 3),
				                 sl_header_is_valid(fields[1].name, fields[1].value));
				fields[1] = (struct sl_header){ SL_SLICE("n"), fields[1].name };
				assert_int_equal(is_written(fields, 3),
				                 sl_header_is_valid(fields[1].name, fields[1].value));
				text[at] = 'a';
			}
		}
		free(text);
	}
}

static void
no_field_and_no_name(void **state)
{
	static const struct sl_header nameless[] = { { SL_SLICE_INIT(""), SL_SLICE_INIT("v") } };

	(void)state;
	assert_true(is_written(NULL, 0));
	assert_false(is_written(nameless, 1));
	assert_false(sl_fields_are_valid(nameless, 1));
	assert_true(sl_fields_are_valid(NULL, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_byte_is_judged_in_every_lane),
		cmocka_unit_test(no_field_and_no_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

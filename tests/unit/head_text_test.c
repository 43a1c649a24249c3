/* head_text_test.c - what is written is what was given, and what may not be sent is refused,
 * exactly as sl_header_is_valid has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/head_text.h"
#include "net/plain_head.h"

enum { LEN_MAX = 50 };

/* Into memory of exactly the size that was asked for, so that sanitizers see a step too far. */
static bool
is_written(const struct sl_header *fields, size_t count)
{
	const size_t size = sl_fields_size(fields, count);
	char *text = malloc(size ? size : 1), *end;
	const char *at = text;

	assert_non_null(text);
	end = sl_put_fields(text, fields, count, SL_SLICE_NONE);
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

enum { LINES_FIELDS = 8 };

/* Writes the fields in both ways into memory of exactly their size: with their lines, and as if
 * nobody had judged them. */
static void
check_lines(const struct sl_header *fields, size_t count, struct sl_slice lines)
{
	const size_t size = sl_fields_size(fields, count);
	char *fast = malloc(size ? size : 1), *slow = malloc(size ? size : 1), *end, *slow_end;

	assert_true(fast && slow);
	end = sl_put_fields(fast, fields, count, lines);
	slow_end = sl_put_fields(slow, fields, count, SL_SLICE_NONE);
	assert_int_equal(end != NULL, slow_end != NULL);
	if (end) {
		assert_int_equal(end - fast, size);
		assert_int_equal(slow_end - slow, size);
		assert_memory_equal(fast, slow, size);
	}
	free(fast);
	free(slow);
}

/* Any choice of a plain head's fields, in its order or turned around, with one of another
 * place among them, and with each a little changed: the same bytes with its lines as without. */
static void
lines_give_the_same_bytes(void **state)
{
	static const char head[] = "Host: a\r\nX-One: 1\r\nX-Two:  two\r\nEmpty: \r\nNone:\r\n"
	                           "x_3: three words\r\nX-Api4: 4\r\naccept: */*\r\n\r\n";
	struct sl_field_at at[LINES_FIELDS];
	struct sl_plain_head plain = { .fields = at, .room = LINES_FIELDS };
	struct sl_header items[LINES_FIELDS], chosen[LINES_FIELDS + 1];
	const size_t size = sizeof(head) - 1;
	char *text = malloc(size);
	struct sl_headers list;
	struct sl_slice lines;

	(void)state;
	assert_non_null(text);
	memcpy(text, head, size);
	assert_int_equal(sl_plain_fields(&plain, sl_slice_make(text, size), 0), size);
	list = sl_plain_headers(&plain, text, items);
	assert_int_equal(list.count, LINES_FIELDS);
	lines = sl_headers_lines(&list);
	assert_int_equal(lines.len, size);
	assert_true(sl_fields_are_valid(items, list.count));
	for (unsigned set = 0; set < 1 << LINES_FIELDS; set++) {
		for (unsigned other = 0; other <= LINES_FIELDS; other++) {
			size_t count = 0, turned = 0;

			for (unsigned i = 0; i <= LINES_FIELDS; i++) {
				if (i == other)
					chosen[count++] = (struct sl_header){ SL_SLICE("x-own"),
						                              SL_SLICE("ours") };
				if (i < LINES_FIELDS && (set >> i & 1))
					chosen[count++] = items[i];
				assert_true(count <= LINES_FIELDS + 1);
			}
			check_lines(chosen, count, lines);
			for (; turned < count / 2; turned++) {
				struct sl_header kept = chosen[turned];

				chosen[turned] = chosen[count - 1 - turned];
				chosen[count - 1 - turned] = kept;
			}
			check_lines(chosen, count, lines);
		}
	}
	for (size_t i = 0; i < LINES_FIELDS; i++) {
		struct sl_header *field = &items[i], kept = *field;

		field->value = sl_slice_upto(kept.value, 2); /* cut off at its end */
		check_lines(items, LINES_FIELDS, lines);
		field->value = sl_slice_from(kept.value, 1); /* at its beginning */
		check_lines(items, LINES_FIELDS, lines);
		field->value = SL_SLICE("another");
		check_lines(items, LINES_FIELDS, lines);
		field->value = kept.value;
		field->name = sl_slice_from(kept.name, 2); /* the end of a name */
		check_lines(items, LINES_FIELDS, lines);
		field->name = sl_slice_from(kept.name, kept.name.len); /* nothing of it */
		assert_null(sl_put_fields((char[512]){ 0 }, items, LINES_FIELDS, lines));
		field->name = SL_SLICE("x-another");
		check_lines(items, LINES_FIELDS, lines);
		*field = kept;
	}
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_byte_is_judged_in_every_lane),
		cmocka_unit_test(no_field_and_no_name),
		cmocka_unit_test(lines_give_the_same_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

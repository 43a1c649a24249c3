/* plain_head_test.c - what is plain, and that nothing is read behind a text's end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "net/plain_head.h"

enum { ROOM = 4 };

/* From a copy of exactly its size, so that sanitizers see a step too far. */
static size_t
read_fields(struct sl_slice text, struct sl_plain_head *head, struct sl_field_at *fields)
{
	char *copy = malloc(text.len ? text.len : 1);
	size_t used;

	assert_non_null(copy);
	memcpy(copy, text.ptr, text.len);
	*head = (struct sl_plain_head){ .fields = fields, .room = ROOM };
	used = sl_plain_fields(head, sl_slice_make(copy, text.len), 0);
	free(copy);
	return used;
}

static bool
is_plain(struct sl_slice text)
{
	struct sl_field_at fields[ROOM];
	struct sl_plain_head head;

	return read_fields(text, &head, fields) > 0;
}

static void
fields_are_found_and_the_end_with_them(void **state)
{
	static const struct sl_slice text = SL_SLICE_INIT(
	    "Host: a\r\nX-A-Name_Of-More-Than-16-Bytes:  a value, as long as that\r\n"
	    "empty:\r\nContent-Length: 12\r\n\r\nbody");
	static const char *const names[] = { "Host", "X-A-Name_Of-More-Than-16-Bytes", "empty",
		                             "Content-Length" };
	static const char *const values[] = { "a", "a value, as long as that", "", "12" };
	struct sl_field_at fields[ROOM];
	struct sl_plain_head head;

	(void)state;
	assert_int_equal(read_fields(text, &head, fields), text.len - 4);
	assert_int_equal(head.count, ROOM);
	assert_int_equal(head.content_length, 12);
	assert_int_equal(head.hosts, 1);
	assert_int_equal(head.host, 0);
	assert_true(head.has_upper);
	for (size_t i = 0; i < ROOM; i++) {
		assert_true(sl_slice_is(sl_slice_make(text.ptr + fields[i].name_at,
		                                      fields[i].name_len), names[i]));
		assert_true(sl_slice_is(sl_slice_make(text.ptr + fields[i].value_at,
		                                      fields[i].value_len), values[i]));
	}
}

static void
a_part_of_a_head_is_not_plain(void **state)
{
	static const struct sl_slice text =
	    SL_SLICE_INIT("Host: somewhere.example\r\nConnection: Keep-Alive\r\nx: y\r\n\r\n");

	(void)state;
	for (size_t len = 0; len < text.len; len++)
		assert_false(is_plain(sl_slice_upto(text, len)));
	assert_true(is_plain(text));
}

static void
what_is_odd_is_not_plain(void **state)
{
	static const char *const odd[] = {
		" a: b\r\n\r\n", "a : b\r\n\r\n", ": b\r\n\r\n", "a b: c\r\n\r\n", "a\r\n\r\n",
		"a: b\n\r\n", "a: b\r\n\n", "a: b\rc\r\n\r\n", "a: b\r\n c\r\n\r\n",
		"a: \tb\r\n\r\n", "a: b\x01\r\n\r\n", "a: b\x7f\r\n\r\n", "a: \xc3\xa9\r\n\r\n",
		"a: 0123456789abcdef\x80\r\n\r\n", "\xc3\xa9: b\r\n\r\n",
		"0123456789abcdef@: b\r\n\r\n", "Upgrade: h2c\r\n\r\n", "connection: close\r\n\r\n",
		"Connection: keep-alive, upgrade\r\n\r\n", "Proxy-Connection: keep-alive\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\n", "Content-Length:\r\n\r\n",
		"Content-Length: -1\r\n\r\n", "Content-Length: 1 \r\n\r\n",
		"Content-Length: 0x1\r\n\r\n", "Content-Length: 1234567890123456789\r\n\r\n",
		"Content-Length: 1\r\ncontent-length: 1\r\n\r\n",
		"a: 1\r\na: 2\r\na: 3\r\na: 4\r\na: 5\r\n\r\n",
		"host: a\r\nHOST: a\r\n\r\n", "Expect: 100-continue\r\n\r\n",
		"a: b \r\n\r\n", "a: a value, as long as that \r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		if (is_plain(sl_slice_str(odd[i])))
			fail_msg("taken for plain: %s", odd[i]);
	assert_false(is_plain(SL_SLICE("a: b\0\r\n\r\n")));
	assert_true(is_plain(SL_SLICE("\r\n")));
}

/* Every byte in every place of names of many lengths, against what a name is made of. */
static void
a_name_is_judged_and_folded_in_every_place(void **state)
{
	static const char rest[] = ": v\r\n\r\n";
	enum { LEN_MAX = 36 };
	char text[LEN_MAX + sizeof(rest)];

	(void)state;
	for (size_t len = 1; len <= LEN_MAX; len++) {
		memset(text, 'a', len);
		memcpy(text + len, rest, sizeof(rest));
		for (size_t at = 0; at < len; at++) {
			for (unsigned c = 1; c <= 0xff; c++) {
				struct sl_slice whole = sl_slice_make(text, len + sizeof(rest) - 1);
				bool upper = c >= 'A' && c <= 'Z';
				bool good = upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
				            c == '-' || c == '_';
				struct sl_field_at fields[ROOM];
				struct sl_header items[ROOM];
				struct sl_plain_head head;
				struct sl_headers headers;
				char copy[sizeof(text)];

				text[at] = (char)c;
				if (c == ':' && at > 0) {
					/* Ends the name: what follows is its value. */
					text[at] = 'a';
					continue;
				}
				assert_int_equal(read_fields(whole, &head, fields) > 0, good);
				memcpy(copy, text, sizeof(text));
				text[at] = 'a';
				if (!good)
					continue;
				assert_int_equal(head.has_upper, upper);
				headers = sl_plain_headers(&head, copy, items);
				assert_int_equal(headers.count, 1);
				assert_true(sl_slice_is(items[0].value, "v"));
				assert_true(headers.marks == sl_header_mark(copy, len));
				assert_int_equal(items[0].name.len, len);
				for (size_t i = 0; i < len; i++)
					assert_int_equal((unsigned char)items[0].name.ptr[i],
					                 i == at ? (upper ? c | 0x20 : c) : 'a');
			}
		}
	}
}

static void
runs_end_at_each_other_byte(void **state)
{
	enum { LEN = 40 };
	char *text = malloc(LEN);

	(void)state;
	assert_non_null(text);
	memset(text, 'a', LEN);
	for (size_t from = 0; from < LEN; from++)
		assert_int_equal(sl_plain_run(sl_slice_make(text, LEN), from, ' '), LEN);
	for (size_t at = 0; at < LEN; at++) {
		for (int byte = 0; byte < 256; byte++) {
			bool inside = byte >= ' ' && byte < 0x7f;

			text[at] = (char)byte;
			assert_int_equal(sl_plain_run(sl_slice_make(text, LEN), 0, ' '),
			                 inside ? LEN : at);
		}
		text[at] = 'a';
	}
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_found_and_the_end_with_them),
		cmocka_unit_test(a_part_of_a_head_is_not_plain),
		cmocka_unit_test(what_is_odd_is_not_plain),
		cmocka_unit_test(a_name_is_judged_and_folded_in_every_place),
		cmocka_unit_test(runs_end_at_each_other_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

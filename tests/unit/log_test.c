/* log_test.c - log lines are JSON, bounded, and carry no credential. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "json_fixture.h"

static char line[70000];

/* What was written since the last call, checked to be lines of JSON objects. */
static struct sl_slice
read_line(int fd)
{
	ssize_t size = read(fd, line, sizeof(line));

	assert_true(size > 0);
	assert_int_equal(line[size - 1], '\n');
	assert_int_equal(sl_json_scan(sl_slice_make(line, (size_t)size), NULL, NULL, 0, NULL, NULL,
	                              NULL), SL_OK);
	return sl_slice_make(line, (size_t)size);
}

static void
lines_are_json_objects(void **state)
{
	int fds[2];
	struct sl_json doc;
	struct sl_slice ts;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	sl_log_init(SL_LOG_INFO, fds[1]);
	sl_log(SL_LOG_DEBUG, "not written");
	sl_log(SL_LOG_INFO, "hello", SL_LOG_Z("name", "a\"\n\x1b[31m\0b"), SL_LOG_I("n", -5),
	       SL_LOG_S("bytes", SL_SLICE("\xff\0x")),
	       { .name = "raw", .kind = SL_LOG_JSON, .text = SL_SLICE("[1,2]") });
	doc = sl_json_parse(read_line(fds[0]));
	assert_true(sl_json_is(sl_json_get(doc, "msg"), "hello"));
	assert_true(sl_json_is(sl_json_get(doc, "level"), "info"));
	assert_true(sl_json_is(sl_json_get(doc, "name"), "a\"\n\x1b[31m"));
	assert_true(sl_slice_is(sl_json_get(doc, "n").raw, "-5"));
	assert_true(sl_slice_is(sl_json_get(doc, "raw").raw, "[1,2]"));
	ts = sl_json_get(doc, "ts").raw;
	assert_int_equal(ts.len, sizeof("\"2026-01-01T00:00:00.000Z\"") - 1);
	sl_log(SL_LOG_ERROR, "without fields");
	doc = sl_json_parse(read_line(fds[0]));
	assert_true(sl_json_is(sl_json_get(doc, "level"), "error"));
	sl_log_init(SL_LOG_OFF, fds[1]);
	assert_false(sl_log_enabled(SL_LOG_ERROR));
	assert_false(sl_log_enabled(SL_LOG_OFF));
	sl_log_init(SL_LOG_INFO, STDERR_FILENO);
	close(fds[0]);
	close(fds[1]);
}

static void
long_values_are_cut_and_long_lines_lose_fields(void **state)
{
	static char text[5000];
	struct sl_log_field fields[41] = { 0 };
	struct sl_json doc;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	sl_log_init(SL_LOG_DEBUG, fds[1]);
	for (size_t i = 0; i + 3 < sizeof(text); i += 3)
		memcpy(text + i, "\xe2\x82\xac", 3);
	sl_log(SL_LOG_INFO, "cut", SL_LOG_S("text", sl_slice_make(text, 4998)));
	doc = sl_json_parse(read_line(fds[0]));
	/* 682 whole characters, none of them replaced. */
	assert_int_equal(sl_json_get(doc, "text").raw.len, 682 * 3 + 2);
	for (size_t i = 0; i < 40; i++)
		fields[i] = SL_LOG_S("text", sl_slice_make(text, 4998));
	sl_log_write(SL_LOG_WARN, "too much", fields);
	doc = sl_json_parse(read_line(fds[0]));
	assert_true(sl_json_is(sl_json_get(doc, "msg"), "too much"));
	assert_int_equal(sl_json_get(doc, "fields_dropped").type, SL_JSON_NUMBER);
	sl_log_init(SL_LOG_INFO, STDERR_FILENO);
	close(fds[0]);
	close(fds[1]);
}

static void
credentials_are_redacted(void **state)
{
	static const struct { const char *before; const char *after; } cases[] = {
		{ "Authorization: Bearer abc.def-123", "Authorization: Bearer [redacted]" },
		{ "bearer AAAAAAAAAAAAAAAAAAAA, then", "bearer [redacted], then" },
		{ "authorization: plainsecretvalue", "authorization: [redacted]" },
		{ "Incorrect API key provided: sk-proj-abcdefgh12345.", "Incorrect API key provided: [redacted]" },
		{ "sk-ant-api03-abc_DEF-123", "[redacted]" },
		{ "(gw_virt_01HZX9ABCDEF)", "([redacted])" },
		{ "gw_virt_01HZX9ABCDEF\tgw_virt_01HZX9ABCDEF", "[redacted]\t[redacted]" },
		{ "GET /v1beta/models?key=AIzaSyA1234567890&alt=sse", "GET /v1beta/models?key=[redacted]&alt=sse" },
		{ "?api_key=abc", "?api_key=***" },
		{ "x-api-key: 0123456789abcdef", "x-api-key: [redacted]" },
		{ "{\"api_key\":\"0123456789abcdef\"}", "{\"api_key\":\"[redacted]\"}" },
		{ "\"{\\\"password\\\": \\\"0123456789\\\"}\"", "\"{\\\"password\\\": \\\"[redacted]\\\"}\"" },
		{ "postgres://sluice:hunter2hunter2@db/x", "postgres://sluice:[redacted]@db/x" },
		{ "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "[redacted]" },
		{ "\"line\\nsk-abcdefghijklmnop\"", "\"line\\n[redacted]\"" },
		{ "\"\\u001bsk-abcdefghijklmnop\"", "\"\\u001b[redacted]\"" },
		/* What is no credential stays. */
		{ "", "" },
		{ "task-based risk-free work on sk-1", "task-based risk-free work on sk-1" },
		{ "{\"key\":\"vk_01HZX9ABCDEF\",\"input_tokens\":12}", "{\"key\":\"vk_01HZX9ABCDEF\",\"input_tokens\":12}" },
		{ "{\"secret\":false,\"password\":12}", "{\"secret\":false,\"password\":12}" },
		{ "http://127.0.0.1:8080/a@b", "http://127.0.0.1:8080/a@b" },
		{ "\"\\fw_abcdefghijklmnop \\basic abcdefghijkl\"", "\"\\fw_abcdefghijklmnop \\basic abcdefghijkl\"" },
		{ "\"password:\\n\"", "\"password:\\n\"" },
		{ "key=", "key=" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		size_t len = (size_t)snprintf(text, sizeof(text), "%s", cases[i].before);

		len = sl_log_redact(text, len);
		if (!sl_slice_is(sl_slice_make(text, len), cases[i].after))
			fail_msg("%s became %.*s", cases[i].before, (int)len, text);
	}
}

static void
a_secret_has_no_way_into_a_line(void **state)
{
	struct sl_slice written;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	sl_log_init(SL_LOG_INFO, fds[1]);
	sl_log(SL_LOG_INFO, "key sk-canary0canary0canary",
	       SL_LOG_Z("authorization", "sk-canary0canary0canary"),
	       SL_LOG_Z("url", "https://x/?key=canary0canary0canary"),
	       SL_LOG_Z("body", "{\"error\":\"bad key\nsk-canary0canary0canary\"}"));
	written = read_line(fds[0]);
	assert_int_equal(sl_slice_search(written, SL_SLICE("canary")), -1);
	sl_log_init(SL_LOG_INFO, STDERR_FILENO);
	close(fds[0]);
	close(fds[1]);
}

/* Valid JSON stays valid and does not grow, whatever stands in it. */
static void
redaction_keeps_json_valid(void **state)
{
	static const char *const pieces[] = {
		"sk-", "abcdefgh12345678", "Bearer ", "key=", "password", "\":\"", "\":", "\",\"", ":", "=",
		"\\", "\"", "\n", " ", "://u:p@", "eyJ", "api_key", "12", "null", "fw_", "\x01", "\xc3\xa9",
	};
	uint64_t seed = 5;
	struct sl_buf text, json;

	(void)state;
	sl_buf_init(&text, 1 << 16);
	sl_buf_init(&json, 1 << 16);
	for (size_t round = 0; round < 20000; round++) {
		struct sl_json_writer w;
		size_t len;

		sl_buf_clear(&json);
		sl_json_writer_init(&w, &json);
		sl_json_obj(&w);
		for (size_t members = 0; members < 3; members++) {
			for (size_t part = 0; part < 2; part++) {
				sl_buf_clear(&text);
				for (size_t i = random_below(&seed, 8); i > 0; i--)
					sl_buf_append_str(&text, pieces[random_below(&seed, 22)]);
				if (part == 0)
					sl_json_key_slice(&w, sl_buf_slice(&text));
				else if (random_below(&seed, 4) == 0)
					sl_json_put_i64(&w, 1234567890123);
				else
					sl_json_put_str(&w, sl_buf_slice(&text));
			}
		}
		sl_json_obj_end(&w);
		assert_int_equal(sl_json_validate(sl_buf_slice(&json), NULL, NULL), SL_OK);
		len = sl_log_redact(json.ptr, json.len);
		assert_true(len <= json.len);
		if (sl_json_validate(sl_slice_make(json.ptr, len), NULL, NULL) != SL_OK)
			fail_msg("broken: %.*s", (int)len, json.ptr);
	}
	sl_buf_release(&text);
	sl_buf_release(&json);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_json_objects),
		cmocka_unit_test(long_values_are_cut_and_long_lines_lose_fields),
		cmocka_unit_test(credentials_are_redacted),
		cmocka_unit_test(a_secret_has_no_way_into_a_line),
		cmocka_unit_test(redaction_keeps_json_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* attach_test.c - which URLs of callers are asked, and what may stand in a part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/media.h"
#include "pipeline/attach.h"
#include "providers/provider.h"

static void
urls_are_taken_apart(void **state)
{
	static const struct {
		const char *text, *host, *target;
	} good[] = {
		{ "https://example.com/a.png", "example.com", "/a.png" },
		{ " http://example.com/a/?b=/c#d ", "example.com", "/a/?b=/c" },
		{ "https://example.com:8443/dir/", "example.com", "/dir/" },
		{ "https://example.com", "example.com", "/" },
		{ "http://[2001:db8::1]:8080/x", "2001:db8::1", "/x" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct sl_url url;
		struct sl_slice target;

		assert_null(sl_attach_url(sl_slice_str(good[i].text), &url, &target));
		assert_true(sl_slice_is(url.host, good[i].host));
		assert_true(sl_slice_is(target, good[i].target));
	}
}

static void
others_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "ftp://example.com/a", "data:image/png;base64,AA==", "//example.com/a",
		"http://u@example.com/a", "http://u:p@example.com/a", "http://example.com\\@x/",
		"http://exa mple.com/", "http://ex%61mple.com/", "http://127.1/", "http://0x7f.1/",
		"http://2130706433/", "http://example.com:22/a", "http://example.com:0/a",
		"http://example.com:25/", "http://example.com?x", "http://example.com/\r\nX: y",
		"http://example.com/\xc3\xa9", "http://example.com/a b",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct sl_url url;
		struct sl_slice target;

		if (!sl_attach_url(sl_slice_str(bad[i]), &url, &target))
			fail_msg("%s", bad[i]);
	}
}

static struct sl_slice
judge(enum sl_part_kind kind, const char *said, const char *content_type, const char *base64)
{
	struct sl_part part = { .kind = kind, .media.type = sl_slice_str(said) };

	return sl_attach_type(&part, sl_slice_str(content_type), sl_slice_str(base64));
}

static void
types_are_proven_or_believed(void **state)
{
	const char *png = "iVBORw0KGgoAAAANSUhEUgAA", *pdf = "JVBERi0xLjQKMSAwIG9iago8";
	const char *html = "PGh0bWw+bm90IGZvdW5kPC9o", *text = "aGVsbG8gdGhlcmUgbXkgZnJp";

	(void)state;
	assert_true(sl_slice_is(judge(SL_PART_IMAGE, "", "image/jpeg", png), "image/png"));
	assert_true(sl_slice_is(judge(SL_PART_IMAGE, "", "", png), "image/png"));
	assert_true(sl_slice_is(judge(SL_PART_IMAGE, "", "x/y", pdf), "application/pdf"));
	assert_true(sl_slice_is(judge(SL_PART_IMAGE, "", "image/heic; a=b", text), "image/heic"));
	assert_int_equal(judge(SL_PART_IMAGE, "", "image/png", html).len, 0);
	assert_int_equal(judge(SL_PART_IMAGE, "", "text/html", html).len, 0);
	assert_int_equal(judge(SL_PART_IMAGE, "image/png", "text/html", html).len, 0);
	assert_int_equal(judge(SL_PART_IMAGE, "", "", html).len, 0);
	assert_true(sl_slice_is(judge(SL_PART_DOCUMENT, "", "text/plain; charset=utf-8", text),
	                        "text/plain"));
	assert_true(sl_slice_is(judge(SL_PART_DOCUMENT, "text/csv", "text/plain", text), "text/csv"));
	assert_int_equal(judge(SL_PART_DOCUMENT, "", "application/pdf", html).len, 0);
	assert_int_equal(judge(SL_PART_DOCUMENT, "", "application/octet-stream", text).len, 0);
	assert_true(sl_slice_is(judge(SL_PART_VIDEO, "", "video/mp4", text), "video/mp4"));
	assert_int_equal(judge(SL_PART_AUDIO, "", "video/mp4", text).len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_are_taken_apart),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(types_are_proven_or_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

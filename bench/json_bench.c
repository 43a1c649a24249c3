/* json_bench.c - microseconds per document for the JSON scanner.
 *
 * Chat requests of three sizes and several textures; each is scanned the way
 * the gateway scans a request, best of several rounds. Prints a table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

static const struct sl_json_want wants[] = {
	{ "model" }, { "stream" }, { "stream_options" }, { "stream_options.include_usage" },
	{ "max_tokens" }, { "max_completion_tokens" }, { "n" }, { "user" }, { "metadata" },
	{ "metadata.astrolabe" }, { "tools" }, { "temperature" },
};
enum { WANTS = sizeof(wants) / sizeof(wants[0]), ROUNDS = 7 };

static const struct {
	const char *name;
	const char *text; /* repeated to make the messages' content */
} textures[] = {
	{ "plain", "The quick brown fox jumps over the lazy dog, twice, before it rests. " },
	{ "mixed", "Paragraphs of prose with a break now and then,\\n\\u00e9crits d'\xc3\xa9t\xc3\xa9 and "
	           "quoted \\\"words\\\" among a hundred others that are plain letters only; " },
	{ "code", "\\tif (x == \\\"y\\\") {\\n\\t\\treturn f(x, 1);\\n\\t}\\n" },
	{ "cyrillic", "\xd0\x91\xd1\x8b\xd1\x81\xd1\x82\xd1\x80\xd0\xb0\xd1\x8f "
	              "\xd0\xbb\xd0\xb8\xd1\x81\xd0\xb0 " },
	{ "chinese", "\xe6\x95\x8f\xe6\x8d\xb7\xe7\x9a\x84\xe6\xa3\x95\xe8\x89\xb2\xe7\x8b\x90"
	             "\xe7\x8b\xb8\xef\xbc\x8c" },
	{ "numbers", NULL },
};
enum { TEXTURES = sizeof(textures) / sizeof(textures[0]) };

static void
build(struct sl_buf *doc, size_t texture, size_t size)
{
	size_t messages = size / 4000 + 2;

	sl_buf_append_str(doc, "{\"model\":\"gpt-4o-mini\",\"temperature\":0.7,\"stream\":true,"
	                       "\"stream_options\":{\"include_usage\":true},\"max_tokens\":512,"
	                       "\"messages\":[");
	for (size_t i = 0; i < messages; i++) {
		size_t until = size / messages * (i + 1);

		sl_buf_printf(doc, "%s{\"role\":\"%s\",\"content\":", i ? "," : "", i % 2 ? "assistant" : "user");
		sl_buf_append_str(doc, textures[texture].text ? "\"" : "[0");
		while (doc->len < until)
			if (textures[texture].text)
				sl_buf_append_str(doc, textures[texture].text);
			else
				sl_buf_printf(doc, ",%zu.%zu", doc->len, doc->len * 7919 % 100000);
		sl_buf_append_str(doc, textures[texture].text ? "\"}" : "]}");
	}
	sl_buf_append_str(doc, "]}");
}

static double
measure(struct sl_slice doc)
{
	struct sl_json_found found[WANTS], top;
	struct sl_json_error error = { 0 };
	size_t repeats = 4000000 / doc.len + 1;
	double best = 1e9;

	for (size_t round = 0; round < ROUNDS; round++) {
		uint64_t start = sl_clock_mono_ns();
		double us;

		for (size_t i = 0; i < repeats; i++)
			if (sl_json_scan(doc, NULL, wants, WANTS, found, &top, &error) != SL_OK) {
				fprintf(stderr, "offset %zu: %s\n", error.offset, error.reason);
				exit(1);
			}
		us = (double)(sl_clock_mono_ns() - start) / 1e3 / (double)repeats;
		best = us < best ? us : best;
	}
	return best;
}

int
main(void)
{
	static const size_t sizes[] = { 500, 10000, 200000 };

	printf("%-10s %10s %12s %10s\n", "text", "bytes", "us/document", "MB/s");
	for (size_t t = 0; t < TEXTURES; t++)
		for (size_t s = 0; s < 3; s++) {
			struct sl_buf doc;
			double us;

			sl_buf_init(&doc, 1 << 24);
			build(&doc, t, sizes[s]);
			us = measure(sl_buf_slice(&doc));
			printf("%-10s %10zu %12.3f %10.0f\n", textures[t].name, doc.len, us,
			       (double)doc.len / us);
			sl_buf_release(&doc);
		}
	return 0;
}

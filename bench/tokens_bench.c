/* tokens_bench.c - megabytes a second of token counting, and what long runs cost.
 *
 * Each text is counted ROUNDS times; the best round stands, because on a busy machine
 * the others say more of the neighbours. Prose is read from the files given, or drawn
 * from words.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "tokens/tokens.h"

enum { ROUNDS = 7, MEGABYTE = 1000000 };

static uint64_t seed = 1;

static uint32_t
next(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % below;
}

/* Common words and, now and then, one that no vocabulary has. */
static void
build_prose(struct sl_buf *text)
{
	static const char *const words[] = {
		"the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be",
		"which", "following", "question", "statement", "between", "system", "function",
		"temperature", "government", "probability", "consequently", "because", "example",
		"answer", "number", "people", "different", "42", "1999", "(see", "above)", "however,",
	};

	while (text->len < MEGABYTE) {
		if (next(12) == 0)
			for (uint32_t letters = 5 + next(8); letters > 0; letters--)
				sl_buf_printf(text, "%c", (char)('a' + next(26)));
		else
			sl_buf_append_str(text, words[next(sizeof(words) / sizeof(words[0]))]);
		sl_buf_append_str(text, next(12) ? " " : next(4) ? ", " : ".\n\n");
	}
}

static void
build_run(struct sl_buf *text, const char *unit)
{
	while (text->len < MEGABYTE)
		sl_buf_append_str(text, unit);
}

static void
measure(const char *name, struct sl_slice text)
{
	printf("%-24s %8zu bytes", name, text.len);
	for (int e = 0; e < SL_ENCODINGS; e++) {
		enum sl_encoding encoding = (enum sl_encoding)e;
		bool exact = sl_encoding_is_exact(encoding);
		uint64_t best_ns = UINT64_MAX;
		int64_t count = 0;

		for (int i = 0; i < ROUNDS; i++) {
			uint64_t start = sl_clock_mono_ns(), took;

			count = exact ? sl_encoding_count(encoding, text) : sl_encoding_guess(encoding, text);
			took = sl_clock_mono_ns() - start;
			if (took < best_ns)
				best_ns = took;
		}
		printf("  %s %s %8lld tokens %6.1f MB/s", exact ? "" : "guessed",
		       sl_encoding_name(encoding), (long long)count,
		       (double)text.len * 1e3 / (double)best_ns);
	}
	printf("\n");
}

static void
measure_file(const char *path)
{
	FILE *in = fopen(path, "r");
	struct sl_buf text;
	char part[65536];
	size_t len;

	if (!in) {
		perror(path);
		exit(1);
	}
	sl_buf_init(&text, 1 << 28);
	while ((len = fread(part, 1, sizeof(part), in)) > 0)
		sl_buf_append(&text, sl_slice_make(part, len));
	fclose(in);
	measure(path, sl_buf_slice(&text));
	sl_buf_release(&text);
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name, *unit;
	} runs[] = {
		{ "one letter", "a" }, { "one capital", "A" }, { "spaces", " " }, { "line ends", "\n" },
		{ "dashes", "-" }, { "digits", "1" }, { "three letters", "abc" },
		{ "Chinese", "\xe4\xbb\x8a\xe5\xa4\xa9\xe5\xa4\xa9\xe6\xb0\x94\xe5\xbe\x88\xe5\xa5\xbd" },
	};
	struct sl_buf text;

	for (int i = 1; i < argc; i++)
		measure_file(argv[i]);
	sl_buf_init(&text, 1 << 24);
	build_prose(&text);
	measure("prose, drawn", sl_buf_slice(&text));
	sl_buf_release(&text);
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		sl_buf_init(&text, 1 << 24);
		build_run(&text, runs[i].unit);
		measure(runs[i].name, sl_buf_slice(&text));
		sl_buf_release(&text);
	}
	return 0;
}

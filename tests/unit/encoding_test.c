/* encoding_test.c - texts fall into the pieces that the published expressions make,
 * and each piece into as many tokens as merging it by definition does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tokens/bpe.h"
#include "tokens/encoding.h"
#include "tokens/pieces.h"
#include "tokens/vocabulary.h"

static uint64_t seed = 7;

static uint32_t
next(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % below;
}

/* The pieces of a text with bars between them. */
static void
pieces_are(enum sl_encoding encoding, const char *text, const char *expected)
{
	const uint8_t *p = (const uint8_t *)text, *end = p + strlen(text);
	char out[512];
	size_t len = 0;

	while (p < end) {
		const uint8_t *behind = sl_piece_end(encoding, p, end);

		assert_true(behind > p && behind <= end);
		if (len)
			out[len++] = '|';
		memcpy(out + len, p, (size_t)(behind - p));
		len += (size_t)(behind - p);
		p = behind;
	}
	out[len] = '\0';
	assert_string_equal(out, expected);
}

static void
text_falls_into_pieces(void **state)
{
	static const struct {
		const char *text, *o200k, *cl100k;
	} cases[] = {
		{ "Hello, world!", "Hello|,| world|!", "Hello|,| world|!" },
		{ "HTTPServer", "HTTPServer", "HTTPServer" },
		{ "helloWorldABC", "hello|World|ABC", "helloWorldABC" },
		{ "don't DON'T we'Ll x'", "don't| DON'T| we'Ll| x|'",
		  "don|'t| DON|'T| we|'Ll| x|'" },
		{ "'sam", "'sam", "'s|am" },
		{ "it'\xc5\xbf", "it'\xc5\xbf", "it|'\xc5\xbf" },
		{ "12345678", "123|456|78", "123|456|78" },
		{ "a  b", "a| | b", "a| | b" },
		{ "a \n\n  b", "a| \n\n| | b", "a| \n\n| | b" },
		{ "a\n  ", "a|\n|  ", "a|\n  " },
		{ "http://a/\n//x", "http|://|a|/\n//|x", "http|://|a|/\n|//|x" },
		{ " (x)\t5", " (|x|)|\t|5", " (|x|)|\t|5" },
		/* A run of capitals ends at its last letter without case. */
		{ "AB\xe3\x81\x82" "CD", "AB\xe3\x81\x82|CD", "AB\xe3\x81\x82" "CD" },
		/* A mark may be a prefix, a letter or a symbol. */
		{ "\xcc\x81" "AB", "\xcc\x81|AB", "\xcc\x81" "AB" },
		{ "e\xcc\x81te", "e\xcc\x81te", "e|\xcc\x81te" },
		{ "\xff\xfe" "a", "\xff\xfe|a", "\xff\xfe|a" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pieces_are(SL_ENCODING_O200K, cases[i].text, cases[i].o200k);
		pieces_are(SL_ENCODING_CL100K, cases[i].text, cases[i].cl100k);
	}
}

static void
code_points_have_their_class(void **state)
{
	static const struct {
		const char *text;
		enum sl_char_class class_;
	} cases[] = {
		{ "\xc3\x89", SL_CHAR_UPPER }, { "\xc7\x85", SL_CHAR_UPPER }, /* titlecase */
		{ "\xc3\xa9", SL_CHAR_LOWER }, { "\xe4\xb8\xad", SL_CHAR_LETTER },
		{ "\xcc\x81", SL_CHAR_MARK }, { "\xc2\xbd", SL_CHAR_NUMBER },
		{ "\xc2\xa0", SL_CHAR_SPACE }, { "\xe3\x80\x80", SL_CHAR_SPACE },
		{ "\xc2\x85", SL_CHAR_SPACE }, { "\x1c", SL_CHAR_OTHER },
		{ "\xf0\x9f\x98\x80", SL_CHAR_OTHER }, { "\xf4\x8f\xbf\xbf", SL_CHAR_OTHER },
		{ "\xf0\xb1\x8d\x90", SL_CHAR_LETTER }, /* U+31350, of Unicode 15 */
		{ "\xf0\x90\xb5\x90", SL_CHAR_UPPER },  /* U+10D50, of Unicode 16 */
		{ "\xc3", SL_CHAR_OTHER },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const uint8_t *p = (const uint8_t *)cases[i].text;
		size_t len = strlen(cases[i].text), size;

		assert_int_equal(sl_char_class_at(p, p + len, &size), cases[i].class_);
		assert_int_equal(size, len);
	}
}

/* --- with a vocabulary ------------------------------------------------------ */

static void
need_vocabulary(void)
{
	if (sl_encoding_is_exact(SL_ENCODING_O200K))
		return;
	print_message("this build has no vocabulary: tools/vocabulary fetches it\n");
	skip();
}

static void
known_texts_are_counted(void **state)
{
	/* Counted with the package tiktoken. */
	static const struct {
		const char *text;
		int         o200k, cl100k;
	} cases[] = {
		{ "", 0, 0 },
		{ "hello world", 2, 2 },
		{ "tiktoken is great!", 6, 6 },
		{ "antidisestablishmentarianism", 6, 6 },
		{ "<|endoftext|>", 7, 7 },
		{ "\xe3\x81\x8a\xe8\xaa\x95\xe7\x94\x9f\xe6\x97\xa5\xe3\x81\x8a\xe3\x82\x81"
		  "\xe3\x81\xa7\xe3\x81\xa8\xe3\x81\x86", 8, 9 },
	};

	(void)state;
	need_vocabulary();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_slice text = sl_slice_str(cases[i].text);

		assert_int_equal(sl_encoding_count(SL_ENCODING_O200K, text), cases[i].o200k);
		assert_int_equal(sl_encoding_count(SL_ENCODING_CL100K, text), cases[i].cl100k);
	}
}

enum { PIECE_MAX = 200 };

/* By definition: the neighbours that rank lowest together, the leftmost first. */
static int64_t
merge(const struct bpe *bpe, const uint8_t *piece, size_t len)
{
	size_t ends[PIECE_MAX], count = len;

	if (bpe_find(bpe, piece, len))
		return 1;
	for (size_t i = 0; i < len; i++)
		ends[i] = i + 1;
	for (;;) {
		uint32_t lowest = UINT32_MAX;
		size_t best = 0;

		for (size_t i = 0; i + 1 < count; i++) {
			size_t start = i ? ends[i - 1] : 0;
			const uint8_t *record = bpe_find(bpe, piece + start, ends[i + 1] - start);

			if (record && bpe_rank(record) < lowest) {
				lowest = bpe_rank(record);
				best = i;
			}
		}
		if (lowest == UINT32_MAX)
			return (int64_t)count;
		memmove(ends + best, ends + best + 1, (count - best - 1) * sizeof(ends[0]));
		count--;
	}
}

/* Of few different bytes, so that many merges compete. */
static size_t
make_piece(uint8_t *piece)
{
	static const char *const alphabets[] = {
		"ab", "abcde", "etaoinshr", "-=", "ABCabc ", "\xe4\xb8\xad\xe6\x96\x87",
		"\xd0\xb0\xd0\xbe\xd1\x80",
	};
	const char *alphabet = alphabets[next(sizeof(alphabets) / sizeof(alphabets[0]))];
	size_t letters = strlen(alphabet), len = 2 + next(PIECE_MAX - 2);
	bool repeats = next(3) == 0;

	for (size_t i = 0; i < len; i++)
		piece[i] = repeats && i > 6 ? piece[i - 1 - next(2) * 5]
		                            : (uint8_t)alphabet[next((uint32_t)letters)];
	return len;
}

static void
counting_equals_merging(void **state)
{
	(void)state;
	need_vocabulary();
	for (int e = 0; e < SL_ENCODINGS; e++) {
		struct sl_slice table = sl_vocabulary((enum sl_encoding)e);
		struct bpe bpe;

		assert_true(sl_bpe_open(&bpe, (const uint8_t *)table.ptr, table.len));
		for (int round = 0; round < 1500; round++) {
			uint8_t *piece = malloc(PIECE_MAX);
			size_t len;
			int64_t is, wanted;

			assert_non_null(piece);
			len = make_piece(piece);
			piece = realloc(piece, len); /* a byte behind it is seen by the sanitizer */
			is = sl_bpe_count(&bpe, piece, len);
			wanted = merge(&bpe, piece, len);
			if (is != wanted)
				fail_msg("%.*s: %lld instead of %lld", (int)len, piece, (long long)is,
				         (long long)wanted);
			free(piece);
		}
	}
}

/* Of this process: how busy the machine is does not count. */
static uint64_t
cpu_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec;
}

/* What would take quadratic time otherwise takes hours, not seconds. */
static void
long_words_take_linear_time(void **state)
{
	static const char *const units[] = { "a", "A", " ", "\n", "-", "=", "ab", "the", "e\xcc\x81",
		                             "\xe3\x81\x82" "A", "!", "1", "\n ", "\xff" };
	const size_t len = 1 << 20;
	char *text = malloc(len);
	uint64_t start_s = cpu_s();

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t unit = strlen(units[i]);

		for (size_t k = 0; k < len; k++)
			text[k] = units[i][k % unit];
		for (int e = 0; e < SL_ENCODINGS; e++) {
			int64_t count = sl_encoding_count((enum sl_encoding)e, sl_slice_make(text, len));

			if (sl_encoding_is_exact((enum sl_encoding)e))
				assert_true(count > 0 && (size_t)count <= len);
			assert_true(sl_encoding_guess((enum sl_encoding)e, sl_slice_make(text, len)) > 0);
		}
	}
	free(text);
	assert_true(cpu_s() - start_s < 240);
}

static void
guesses_are_near(void **state)
{
	const struct sl_slice text = SL_SLICE(
	    "The ledger holds the greatest possible cost of a request before it is sent, and "
	    "gives back what was not used when the provider has reported it. In 1999, 42 of "
	    "them (one in three!) did not.\n\nWhat would you change?");
	int64_t guess = sl_encoding_guess(SL_ENCODING_O200K, text);

	(void)state;
	assert_in_range(guess, 48, 60); /* 51 by the vocabulary */
	assert_int_equal(sl_encoding_guess(SL_ENCODING_O200K, SL_SLICE_NONE), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_falls_into_pieces),
		cmocka_unit_test(code_points_have_their_class),
		cmocka_unit_test(known_texts_are_counted),
		cmocka_unit_test(counting_equals_merging),
		cmocka_unit_test(long_words_take_linear_time),
		cmocka_unit_test(guesses_are_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

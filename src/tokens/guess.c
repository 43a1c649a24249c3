/* guess.c - tokens from the pieces, where there is no vocabulary.
 *
 * What the pieces of a kind and a length are on average, in hundredths of a token;
 * fitted on English questions, source code and mixed scripts that were counted
 * exactly.
 */
#include "tokens/pieces.h"

enum { HUNDREDTHS = 100 };

static int64_t
word_of(int64_t len)
{
	if (len <= 4)
		return 101;
	if (len <= 8)
		return 101 + 4 * (len - 4);
	if (len <= 16)
		return 117 + 11 * (len - 8);
	return 205 + 25 * (len - 16);
}

static int64_t
symbols_of(int64_t len)
{
	return len <= 3 ? 101 : 101 + 40 * (len - 3);
}

/* The shortest wide pieces lie below the line; none is less than a token. */
static int64_t
wide_of(enum sl_encoding encoding, int64_t len)
{
	int64_t hundredths = encoding == SL_ENCODING_O200K ? 50 + 22 * len : 60 + 29 * len;

	return hundredths < HUNDREDTHS ? HUNDREDTHS : hundredths;
}

static bool
is_wide(const uint8_t *p, const uint8_t *end)
{
	while (p < end)
		if (*p++ >= 0x80)
			return true;
	return false;
}

static int64_t
piece_of(enum sl_encoding encoding, const uint8_t *p, const uint8_t *end)
{
	int64_t len = end - p;
	size_t size;
	enum sl_char_class class_ = sl_char_class_at(p, end, &size);

	if (is_wide(p, end))
		return wide_of(encoding, len);
	/* A word may begin with a space or a mark. */
	if ((class_ == SL_CHAR_OTHER || class_ == SL_CHAR_SPACE) && len > 1)
		class_ = sl_char_class_at(p + 1, end, &size);
	if (class_ == SL_CHAR_UPPER || class_ == SL_CHAR_LOWER)
		return word_of(len);
	if (class_ == SL_CHAR_OTHER)
		return symbols_of(len);
	return HUNDREDTHS;
}

int64_t
sl_encoding_guess(enum sl_encoding encoding, struct sl_slice text)
{
	const uint8_t *p = (const uint8_t *)text.ptr, *end = p + text.len;
	int64_t sum = 0;

	while (p < end) {
		const uint8_t *behind = sl_piece_end(encoding, p, end);

		sum += piece_of(encoding, p, behind);
		p = behind;
	}
	return (sum + HUNDREDTHS - 1) / HUNDREDTHS;
}

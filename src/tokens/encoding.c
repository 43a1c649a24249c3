/* encoding.c - a text, piece by piece. */
#include "tokens/encoding.h"

#include "tokens/bpe.h"
#include "tokens/pieces.h"
#include "tokens/vocabulary.h"

const char *
sl_encoding_name(enum sl_encoding encoding)
{
	return encoding == SL_ENCODING_O200K ? "o200k_base" : "cl100k_base";
}

static bool
open_table(enum sl_encoding encoding, struct bpe *bpe)
{
	struct sl_slice table = sl_vocabulary(encoding);

	return sl_bpe_open(bpe, (const uint8_t *)table.ptr, table.len);
}

bool
sl_encoding_is_exact(enum sl_encoding encoding)
{
	struct bpe bpe;

	return open_table(encoding, &bpe);
}

int64_t
sl_encoding_count(enum sl_encoding encoding, struct sl_slice text)
{
	const uint8_t *p = (const uint8_t *)text.ptr, *end = p + text.len;
	int64_t count = 0;
	struct bpe bpe;

	if (!open_table(encoding, &bpe))
		return -1;
	while (p < end) {
		const uint8_t *behind = sl_piece_end(encoding, p, end);
		int64_t tokens = sl_bpe_count(&bpe, p, (size_t)(behind - p));

		if (tokens < 0)
			return -1;
		count += tokens;
		p = behind;
	}
	return count;
}

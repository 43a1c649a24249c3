/* tokens_fuzz.c - tokens of arbitrary bytes, and of an arbitrary request.
 *
 * The first byte chooses the encoding. Pieces must go forward and stay inside, and a text
 * has no more tokens than bytes and no fewer than pieces. The same bytes are then taken
 * for a request, when they are JSON.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"
#include "shapes/tally.h"
#include "tokens/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(enum sl_encoding encoding, const uint8_t *p, const uint8_t *end)
{
	struct sl_slice text = sl_slice_make((const char *)p, (size_t)(end - p));
	int64_t tokens = sl_encoding_count(encoding, text), pieces = 0;

	for (; p < end; pieces++) {
		const uint8_t *behind = sl_piece_end(encoding, p, end);

		if (behind <= p || behind > end)
			abort();
		p = behind;
	}
	if (sl_encoding_is_exact(encoding) && (tokens < pieces || tokens > (int64_t)text.len))
		abort();
	if (sl_encoding_guess(encoding, text) < pieces)
		abort();
}

static void
check_request(enum sl_encoding encoding, struct sl_slice body)
{
	struct sl_tally tally;
	struct sl_token_count count;

	if (sl_json_scan(body, NULL, NULL, 0, NULL, NULL, NULL) != SL_OK)
		return;
	sl_tally_init(&tally, encoding);
	sl_tally_request(&tally, body);
	count = sl_tally_total(&tally, sl_token_family_of(body), SL_TOKEN_RATIO_ONE);
	if (count.low < 0 || count.low > count.tokens || count.tokens > count.high)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum sl_encoding encoding;

	if (size < 1)
		return 0;
	encoding = data[0] % 2 ? SL_ENCODING_O200K : SL_ENCODING_CL100K;
	check_text(encoding, data + 1, data + size);
	check_request(encoding, sl_slice_make((const char *)data + 1, size - 1));
	return 0;
}

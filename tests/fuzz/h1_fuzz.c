/* h1_fuzz.c - HTTP/1 requests: any bytes, the same exchanges at every split. */
#include "fuzz/server_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sl_buf whole;
	struct sl_slice bytes;

	if (size < 2 || size > 8192)
		return 0;
	fuzz_set_up();
	if (!whole.max_size)
		sl_buf_init(&whole, 64 * 1024 * 1024);
	bytes = sl_slice_make(data + 1, size - 1);
	/* HTTP/2 has a target of its own. */
	if (sl_slice_starts(bytes, SL_SLICE("PRI * HTTP/2.0\r\n")))
		return 0;
	sl_buf_clear(&history);
	fuzz_feed(SL_SLICE_NONE, bytes, 0);
	sl_buf_clear(&whole);
	sl_buf_append(&whole, sl_buf_slice(&history));
	sl_buf_clear(&history);
	fuzz_feed(SL_SLICE_NONE, bytes, data[0] + 1u);
	MUST(sl_slice_eq(sl_buf_slice(&whole), sl_buf_slice(&history)));
	return 0;
}

/* h2_fuzz.c - HTTP/2 frames behind a good preface, at any split. */
#include "fuzz/server_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

	if (size < 2 || size > 16384)
		return 0;
	fuzz_set_up();
	sl_buf_clear(&history);
	fuzz_feed(sl_slice_make(preface, sizeof(preface) - 1), sl_slice_make(data + 1, size - 1),
	          data[0]);
	return 0;
}

/* percent.c - percent-decoding. */
#include "base/percent.h"

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

ptrdiff_t
sl_percent_decode(struct sl_slice text, char *out)
{
	ptrdiff_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		int high, low;

		if (text.ptr[i] != '%') {
			out[len++] = text.ptr[i];
			continue;
		}
		if (text.len - i < 3)
			return SL_ESYNTAX;
		high = hex_value(text.ptr[i + 1]);
		low = hex_value(text.ptr[i + 2]);
		if (high < 0 || low < 0 || (high == 0 && low == 0))
			return SL_ESYNTAX;
		out[len++] = (char)(high * 16 + low);
		i += 2;
	}
	return len;
}

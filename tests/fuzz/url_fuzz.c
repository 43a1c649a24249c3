/* url_fuzz.c - any text as an address: what is taken, taken apart and put together
 * again, is taken the same way. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "providers/provider.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sl_url url, again;
	char text[4096];
	bool is_v6;
	int len;

	if (sl_url_parse(sl_slice_make(data, size), &url) != SL_OK || size > 2048)
		return 0;
	is_v6 = sl_slice_find(url.host, ':') >= 0;
	len = snprintf(text, sizeof(text), "%s://%s%.*s%s:%u%.*s%s%.*s", url.tls ? "https" : "http",
	               is_v6 ? "[" : "", SL_ARG(url.host), is_v6 ? "]" : "", url.port,
	               SL_ARG(url.path), url.query.len ? "?" : "", SL_ARG(url.query));
	if (sl_url_parse(sl_slice_make(text, (size_t)len), &again) != SL_OK)
		abort();
	if (!sl_slice_eq(url.host, again.host) || url.port != again.port || url.tls != again.tls ||
	    !sl_slice_eq(url.path, again.path) || !sl_slice_eq(url.query, again.query) ||
	    url.host_is_literal != again.host_is_literal)
		abort();
	return 0;
}

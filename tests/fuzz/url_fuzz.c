/* url_fuzz.c - any text as an address: what is taken, taken apart and put together
 * again, is taken the same way. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/attach.h"
#include "providers/provider.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a caller wrote: one host, and a target that is one line of a request. */
static void
check_callers(struct sl_slice text)
{
	struct sl_url url;
	struct sl_slice target;

	if (sl_attach_url(text, &url, &target))
		return;
	if (url.host.len == 0 || target.len == 0 || target.ptr[0] != '/' ||
	    (url.port != 80 && url.port != 443 && url.port < 1024))
		abort();
	for (size_t i = 0; i < target.len; i++)
		if (target.ptr[i] <= ' ' || target.ptr[i] >= 0x7f || target.ptr[i] == '#')
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sl_url url, again;
	char text[4096];
	bool is_v6;
	int len;

	check_callers(sl_slice_make(data, size));
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

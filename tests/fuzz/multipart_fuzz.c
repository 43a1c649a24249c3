/* multipart_fuzz.c - any body under any boundary.
 *
 * The first line of the input is the Content-Type, the rest the body. Parts must
 * lie in the body, in order, and end.
 */
#include <stdint.h>
#include <stdlib.h>

#include "shapes/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sl_slice body = sl_slice_make(data, size), boundary;
	struct sl_slice type = sl_slice_cut(&body, '\n');
	struct sl_multipart m;
	struct sl_multipart_part part;
	const char *at = body.ptr;
	size_t parts = 0;

	if (!sl_multipart_boundary(type, &boundary) ||
	    sl_multipart_begin(&m, body, boundary) != SL_OK)
		return 0;
	while (sl_multipart_next(&m, &part) == SL_OK) {
		if (part.body.ptr < at || part.body.ptr + part.body.len > body.ptr + body.len)
			abort();
		at = part.body.ptr + part.body.len;
		if (++parts > size)
			abort();
	}
	return 0;
}

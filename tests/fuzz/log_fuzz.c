/* log_fuzz.c - the redactor keeps JSON valid and never makes a text longer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	bool valid = sl_json_validate(sl_slice_make(data, size), NULL, NULL) == SL_OK;
	size_t len;

	if (!text)
		abort();
	memcpy(text, data, size);
	len = sl_log_redact(text, size);
	if (len > size)
		abort();
	if (valid && sl_json_validate(sl_slice_make(text, len), NULL, NULL) != SL_OK)
		abort();
	free(text);
	return 0;
}

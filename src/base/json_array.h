/* json_array.h - elements of a streamed JSON array, from any split of the bytes.
 *
 * Gemini's streamGenerateContent without alt=sse answers one JSON array whose
 * elements arrive over time. The reader hands out an element as soon as its
 * last byte is there. Works on structure only (depth, strings, escapes); each
 * element is to be validated by whoever reads it.
 */
#ifndef SL_BASE_JSON_ARRAY_H
#define SL_BASE_JSON_ARRAY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct sl_json_array_item {
	struct sl_slice data; /* the element; empty for the closing bracket */
	struct sl_slice raw;  /* with what stood before it: '[', ',', white space */
};

struct sl_json_array_reader {
	struct sl_buf pending;   /* bytes of the element that is not complete yet */
	size_t        scanned;   /* bytes of pending that were looked at */
	size_t        item_start;
	size_t        max_item_size;
	uint32_t      depth;     /* 0 outside, 1 in the array, more in an element */
	bool          in_item, in_string, escaped, closed;
};

/* max_item_size in bytes; a longer element is SL_ELIMIT. */
void sl_json_array_init(struct sl_json_array_reader *reader, size_t max_item_size);
void sl_json_array_release(struct sl_json_array_reader *reader);

/* Takes the next item out of *input, advancing it. SL_OK: *item is set (its data
 * is empty when it is the array's end, or white space behind that). SL_MORE: all input consumed. SL_ESYNTAX:
 * not an array, or bytes after its end. SL_ELIMIT, SL_ENOMEM. Slices are valid
 * until the next call. */
enum sl_err sl_json_array_read(struct sl_json_array_reader *reader, struct sl_slice *input,
                               struct sl_json_array_item *item);
/* Whether the closing bracket was seen. */
bool sl_json_array_closed(const struct sl_json_array_reader *reader);

#endif

/* json_array.c - split a streamed JSON array into its elements.
 *
 *   outside --'['--> between --first byte--> in an element --its last byte--.
 *                      ^  |                                                 |
 *                      |  '--']'--> closed                                  |
 *                      '----------------------------------------------------'
 *
 * An element that is a bare number or word ends where the ',' or ']' behind it
 * begins, so it needs one byte more; objects, which is what arrives in practice,
 * end with their own bracket.
 */
#include "base/json_array.h"

void
sl_json_array_init(struct sl_json_array_reader *reader, size_t max_item_size)
{
	*reader = (struct sl_json_array_reader){ .max_item_size = max_item_size };
	/* One element plus what one read adds behind it. */
	sl_buf_init(&reader->pending, max_item_size + 1);
}

void
sl_json_array_release(struct sl_json_array_reader *reader)
{
	sl_buf_release(&reader->pending);
}

bool
sl_json_array_closed(const struct sl_json_array_reader *reader)
{
	return reader->closed;
}

static bool
blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

enum verdict { GO_ON, ITEM_ENDS_HERE, ITEM_ENDED_BEFORE, ARRAY_ENDS_HERE, BROKEN };

static enum verdict
step_inside(struct sl_json_array_reader *reader, char c)
{
	if (reader->in_string) {
		if (reader->escaped)
			reader->escaped = false;
		else if (c == '\\')
			reader->escaped = true;
		else if (c == '"')
			reader->in_string = false;
		return !reader->in_string && reader->depth == 1 ? ITEM_ENDS_HERE : GO_ON;
	}
	switch (c) {
	case '"':
		reader->in_string = true;
		return GO_ON;
	case '{':
	case '[':
		reader->depth++;
		return GO_ON;
	case '}':
	case ']':
		if (reader->depth == 1)
			return c == ']' ? ITEM_ENDED_BEFORE : BROKEN;
		reader->depth--;
		return reader->depth == 1 ? ITEM_ENDS_HERE : GO_ON;
	case ',':
		return reader->depth == 1 ? ITEM_ENDED_BEFORE : GO_ON;
	default:
		return reader->depth == 1 && blank(c) ? ITEM_ENDED_BEFORE : GO_ON;
	}
}

/* Looks at one byte; `at` is its offset from the start of the raw bytes. */
static enum verdict
step(struct sl_json_array_reader *reader, char c, size_t at)
{
	if (reader->in_item)
		return step_inside(reader, c);
	if (blank(c))
		return GO_ON;
	if (reader->depth == 0) {
		if (c != '[' || reader->closed)
			return BROKEN;
		reader->depth = 1;
		return GO_ON;
	}
	if (c == ',')
		return GO_ON;
	if (c == ']') {
		reader->depth = 0;
		reader->closed = true;
		return ARRAY_ENDS_HERE;
	}
	reader->in_item = true;
	reader->item_start = at;
	return step_inside(reader, c);
}

/* Scans `raw` from offset `from`. On SL_OK *end is the length of the item's raw
 * bytes and *data_len that of the element (0: the array's end). */
static enum sl_err
scan(struct sl_json_array_reader *reader, struct sl_slice raw, size_t from, size_t *end,
     size_t *data_len)
{
	for (size_t i = from; i < raw.len; i++) {
		switch (step(reader, raw.ptr[i], i)) {
		case GO_ON:
			continue;
		case ITEM_ENDS_HERE:
			*end = i + 1;
			*data_len = *end - reader->item_start;
			reader->in_item = false;
			return SL_OK;
		case ITEM_ENDED_BEFORE:
			*end = i;
			*data_len = *end - reader->item_start;
			reader->in_item = false;
			return SL_OK;
		case ARRAY_ENDS_HERE:
			*end = i + 1;
			*data_len = 0;
			return SL_OK;
		case BROKEN:
			return SL_ESYNTAX;
		}
	}
	return SL_MORE;
}

enum sl_err
sl_json_array_read(struct sl_json_array_reader *reader, struct sl_slice *input,
                   struct sl_json_array_item *item)
{
	struct sl_slice raw = *input;
	size_t held = 0, end = 0, data_len = 0;
	enum sl_err err;

	if (reader->scanned == 0)
		sl_buf_clear(&reader->pending);
	if (reader->closed) {
		/* Only white space may follow. */
		if (sl_slice_trim(raw).len > 0)
			return SL_ESYNTAX;
		*input = SL_SLICE_NONE;
		*item = (struct sl_json_array_item){ .raw = raw };
		return raw.len ? SL_OK : SL_MORE;
	}
	held = reader->pending.len;
	if (held > 0) {
		if (sl_buf_append(&reader->pending, raw) != SL_OK) {
			/* The item may still end within its limit: take what fits. */
			reader->pending.failed = false;
			raw = sl_slice_upto(raw, reader->pending.max_size - held);
			if (raw.len == 0 || sl_buf_append(&reader->pending, raw) != SL_OK)
				return SL_ELIMIT;
		}
		raw = sl_buf_slice(&reader->pending);
	}
	err = scan(reader, raw, reader->scanned, &end, &data_len);
	if (err == SL_MORE) {
		if (raw.len > reader->max_item_size)
			return SL_ELIMIT;
		if (held == 0 && sl_buf_append(&reader->pending, raw) != SL_OK)
			return SL_ENOMEM;
		reader->scanned = reader->pending.len;
		*input = SL_SLICE_NONE;
		return SL_MORE;
	}
	if (err != SL_OK)
		return err;
	*input = sl_slice_from(*input, end - held);
	reader->pending.len = held > 0 ? end : 0;
	reader->scanned = 0;
	item->raw = sl_slice_make(raw.ptr, end);
	item->data = data_len > 0 ? sl_slice_make(raw.ptr + reader->item_start, data_len)
	                          : SL_SLICE_NONE;
	return SL_OK;
}

/* json_write.c - append JSON to a buffer.
 *
 * The writer only knows whether a comma is due at each depth; memory, limits
 * and failure are the buffer's.
 */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/json_lex.h"

enum { WRITE_DEPTH_MAX = 64 };

void
sl_json_writer_init(struct sl_json_writer *w, struct sl_buf *buf)
{
	*w = (struct sl_json_writer){ .buf = buf };
}

static uint64_t
depth_bit(const struct sl_json_writer *w)
{
	return UINT64_C(1) << (w->depth - 1);
}

static void
put_comma(struct sl_json_writer *w)
{
	if (w->after_key) {
		w->after_key = false;
		return;
	}
	if (w->depth == 0)
		return;
	if (w->has_member & depth_bit(w))
		sl_buf_append_char(w->buf, ',');
	w->has_member |= depth_bit(w);
}

static void
put_open(struct sl_json_writer *w, char bracket)
{
	put_comma(w);
	if (w->depth == WRITE_DEPTH_MAX) {
		w->buf->failed = true;
		return;
	}
	w->depth++;
	w->has_member &= ~depth_bit(w);
	sl_buf_append_char(w->buf, bracket);
}

static void
put_close(struct sl_json_writer *w, char bracket)
{
	if (w->depth == 0) {
		w->buf->failed = true;
		return;
	}
	w->depth--;
	sl_buf_append_char(w->buf, bracket);
}

void
sl_json_obj(struct sl_json_writer *w)
{
	put_open(w, '{');
}

void
sl_json_obj_end(struct sl_json_writer *w)
{
	put_close(w, '}');
}

void
sl_json_arr(struct sl_json_writer *w)
{
	put_open(w, '[');
}

void
sl_json_arr_end(struct sl_json_writer *w)
{
	put_close(w, ']');
}

/* --- strings -------------------------------------------------------------- */

/* Appends what stands for the byte at p, which is not plain; returns the bytes
 * of input it took. */
static size_t
put_special(struct sl_buf *buf, const uint8_t *p, const uint8_t *end)
{
	static const char short_forms[0x20] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r',
	};
	char text[6] = { '\\', 'u', '0', '0' };
	size_t size;

	if (*p >= 0x80) {
		size = sl_utf8_size(p, end);
		if (size == 0) {
			sl_buf_append(buf, SL_SLICE("\xef\xbf\xbd"));
			return 1;
		}
		sl_buf_append(buf, sl_slice_make(p, size));
		return size;
	}
	if (*p >= 0x20 || short_forms[*p]) {
		text[1] = *p >= 0x20 ? (char)*p : short_forms[*p];
		sl_buf_append(buf, sl_slice_make(text, 2));
		return 1;
	}
	text[4] = "0123456789abcdef"[*p >> 4];
	text[5] = "0123456789abcdef"[*p & 15];
	sl_buf_append(buf, sl_slice_make(text, 6));
	return 1;
}

enum sl_err
sl_json_quote(struct sl_buf *buf, struct sl_slice text)
{
	const uint8_t *p = (const uint8_t *)text.ptr, *end;

	sl_buf_append_char(buf, '"');
	if (text.len) {
		end = p + text.len;
		while (p < end) {
			const uint8_t *special = sl_json_skip_plain(p, end);

			sl_buf_append(buf, sl_slice_make(p, (size_t)(special - p)));
			p = special;
			if (p < end)
				p += put_special(buf, p, end);
		}
	}
	return sl_buf_append_char(buf, '"');
}

void
sl_json_key_slice(struct sl_json_writer *w, struct sl_slice key)
{
	put_comma(w);
	sl_json_quote(w->buf, key);
	sl_buf_append_char(w->buf, ':');
	w->after_key = true;
}

void
sl_json_key(struct sl_json_writer *w, const char *key)
{
	sl_json_key_slice(w, sl_slice_str(key));
}

void
sl_json_put_str(struct sl_json_writer *w, struct sl_slice text)
{
	put_comma(w);
	sl_json_quote(w->buf, text);
}

/* --- the other values ----------------------------------------------------- */

void
sl_json_put_raw(struct sl_json_writer *w, struct sl_slice json)
{
	put_comma(w);
	sl_buf_append(w->buf, json);
}

void
sl_json_put_i64(struct sl_json_writer *w, int64_t value)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%" PRId64, value);

	sl_json_put_raw(w, sl_slice_make(text, (size_t)len));
}

void
sl_json_put_f64(struct sl_json_writer *w, double value)
{
	char text[32];
	int digits = 15, len;

	if (!isfinite(value)) {
		sl_json_put_null(w);
		return;
	}
	/* Fifteen digits always survive, seventeen always suffice. Subnormals
	 * have fewer, so their shortest form must be searched from one. */
	if (value != 0 && fabs(value) < DBL_MIN)
		digits = 1;
	do
		len = snprintf(text, sizeof(text), "%.*g", digits, value);
	while (digits++ < 17 && strtod(text, NULL) != value);
	sl_json_put_raw(w, sl_slice_make(text, (size_t)len));
}

void
sl_json_put_bool(struct sl_json_writer *w, bool value)
{
	sl_json_put_raw(w, value ? SL_SLICE("true") : SL_SLICE("false"));
}

void
sl_json_put_null(struct sl_json_writer *w)
{
	sl_json_put_raw(w, SL_SLICE("null"));
}

void
sl_json_put_nanousd(struct sl_json_writer *w, int64_t nanousd)
{
	uint64_t nano = nanousd < 0 ? 0 - (uint64_t)nanousd : (uint64_t)nanousd;
	char text[32];
	int len = snprintf(text, sizeof(text), "%s%" PRIu64 ".%09" PRIu64,
	                   nanousd < 0 ? "-" : "", nano / 1000000000u, nano % 1000000000u);

	while (text[len - 1] == '0')
		len--;
	if (text[len - 1] == '.')
		len--;
	sl_json_put_raw(w, sl_slice_make(text, (size_t)len));
}

void
sl_json_str(struct sl_json_writer *w, const char *key, struct sl_slice text)
{
	sl_json_key(w, key);
	sl_json_put_str(w, text);
}

void
sl_json_int(struct sl_json_writer *w, const char *key, int64_t value)
{
	sl_json_key(w, key);
	sl_json_put_i64(w, value);
}

void
sl_json_bool(struct sl_json_writer *w, const char *key, bool value)
{
	sl_json_key(w, key);
	sl_json_put_bool(w, value);
}

void
sl_json_usd(struct sl_json_writer *w, const char *key, int64_t nanousd)
{
	sl_json_key(w, key);
	sl_json_put_nanousd(w, nanousd);
}

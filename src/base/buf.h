/* buf.h - a growing byte buffer with a cap.
 *
 * Failure is sticky: after an append that did not fit, the buffer keeps what
 * it had, every further append fails too, and one check of `failed` at the
 * end is enough. Not thread-safe.
 */
#ifndef SL_BASE_BUF_H
#define SL_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

struct sl_buf {
	char  *ptr;
	size_t len;      /* bytes in use */
	size_t cap;      /* bytes allocated */
	size_t max_size; /* bytes it may grow to */
	bool   failed;
};

/* No memory is taken before the first append. max_size must be > 0. */
void sl_buf_init(struct sl_buf *buf, size_t max_size);
/* Frees the memory; the buffer is empty and usable again. */
void sl_buf_release(struct sl_buf *buf);
/* Gives memory back that is not in use, when there is other for what is. */
void sl_buf_trim(struct sl_buf *buf);
/* Empty and not failed; keeps the memory. */
void sl_buf_clear(struct sl_buf *buf);

/* Makes room for `size` more bytes at ptr + len. SL_ELIMIT or SL_ENOMEM. */
enum sl_err sl_buf_reserve(struct sl_buf *buf, size_t size);
enum sl_err sl_buf_append_str(struct sl_buf *buf, const char *text);
enum sl_err sl_buf_append_char(struct sl_buf *buf, char c);
enum sl_err sl_buf_printf(struct sl_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Drops the first `size` bytes. */
void sl_buf_consume(struct sl_buf *buf, size_t size);

static inline enum sl_err
sl_buf_append(struct sl_buf *buf, struct sl_slice bytes)
{
	enum sl_err err;

	if (buf->failed || bytes.len > buf->cap - buf->len) {
		err = sl_buf_reserve(buf, bytes.len);
		if (err != SL_OK)
			return err;
	}
	if (bytes.len)
		memcpy(buf->ptr + buf->len, bytes.ptr, bytes.len);
	buf->len += bytes.len;
	return SL_OK;
}

static inline struct sl_slice
sl_buf_slice(const struct sl_buf *buf)
{
	return sl_slice_make(buf->ptr, buf->len);
}

#endif

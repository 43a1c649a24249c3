/* buf.c - a growing byte buffer with a cap; its memory is a block (arena.h). */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/arena.h"

enum { BUF_FIRST = 256 };

void
sl_buf_init(struct sl_buf *buf, size_t max_size)
{
	*buf = (struct sl_buf){ .max_size = max_size };
}

void
sl_buf_release(struct sl_buf *buf)
{
	sl_block_free(buf->ptr);
	*buf = (struct sl_buf){ .max_size = buf->max_size };
}

void
sl_buf_trim(struct sl_buf *buf)
{
	char *ptr = buf->len < buf->cap ? sl_block_resize(buf->ptr, buf->len) : NULL;

	if (ptr) {
		buf->ptr = ptr;
		buf->cap = buf->len;
	}
}

void
sl_buf_clear(struct sl_buf *buf)
{
	buf->len = 0;
	buf->failed = false;
}

enum sl_err
sl_buf_reserve(struct sl_buf *buf, size_t size)
{
	size_t need, cap;
	char *ptr;

	if (buf->failed)
		return SL_ELIMIT;
	if (size <= buf->cap - buf->len)
		return SL_OK;
	if (size > buf->max_size - buf->len) {
		buf->failed = true;
		return SL_ELIMIT;
	}
	need = buf->len + size;
	cap = buf->cap ? buf->cap : BUF_FIRST;
	/* A large first reserve is taken as it is: bodies are sized from
	 * Content-Length and must not be rounded up to the next power. */
	if (buf->cap == 0 && need > cap)
		cap = need;
	while (cap < need)
		cap = cap > buf->max_size / 2 ? buf->max_size : cap * 2;
	if (cap > buf->max_size)
		cap = buf->max_size;
	ptr = sl_block_resize(buf->ptr, cap);
	if (!ptr) {
		buf->failed = true;
		return SL_ENOMEM;
	}
	buf->ptr = ptr;
	buf->cap = cap;
	return SL_OK;
}

enum sl_err
sl_buf_append_str(struct sl_buf *buf, const char *text)
{
	return sl_buf_append(buf, sl_slice_str(text));
}

enum sl_err
sl_buf_append_char(struct sl_buf *buf, char c)
{
	return sl_buf_append(buf, sl_slice_make(&c, 1));
}

enum sl_err
sl_buf_printf(struct sl_buf *buf, const char *format, ...)
{
	va_list args;
	int len;
	enum sl_err err;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0)
		return SL_EINVAL;
	err = sl_buf_reserve(buf, (size_t)len + 1);
	if (err != SL_OK)
		return err;
	va_start(args, format);
	vsnprintf(buf->ptr + buf->len, (size_t)len + 1, format, args);
	va_end(args);
	buf->len += (size_t)len;
	return SL_OK;
}

void
sl_buf_consume(struct sl_buf *buf, size_t size)
{
	if (size >= buf->len) {
		buf->len = 0;
		return;
	}
	memmove(buf->ptr, buf->ptr + size, buf->len - size);
	buf->len -= size;
}

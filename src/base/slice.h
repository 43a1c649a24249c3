/* slice.h - a borrowed run of bytes.
 *
 * A slice never owns memory and is not NUL-terminated. Passing one borrows
 * the bytes until the callee returns, unless its contract says otherwise.
 */
#ifndef SL_BASE_SLICE_H
#define SL_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sl_slice {
	const char *ptr; /* may be NULL when len is 0 */
	size_t      len; /* bytes */
};

#define SL_SLICE(literal)                                                     \
	((struct sl_slice){ (literal), sizeof(literal) - 1 })
/* The same for static tables. */
#define SL_SLICE_INIT(literal) { (literal), sizeof(literal) - 1 }
#define SL_SLICE_NONE ((struct sl_slice){ NULL, 0 })
/* For printf("%.*s", SL_ARG(slice)). */
#define SL_ARG(slice) (int)(slice).len, ((slice).ptr ? (slice).ptr : "")

static inline struct sl_slice
sl_slice_make(const void *ptr, size_t len)
{
	return (struct sl_slice){ ptr, len };
}

/* NULL gives the empty slice. */
static inline struct sl_slice
sl_slice_str(const char *text)
{
	return (struct sl_slice){ text, text ? strlen(text) : 0 };
}

static inline bool
sl_slice_eq(struct sl_slice a, struct sl_slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Always in place: of a literal the length is known, and few lengths are alike. */
static inline __attribute__((always_inline)) bool
sl_slice_is(struct sl_slice a, const char *text)
{
	size_t len = strlen(text);

	return a.len == len && (len == 0 || memcmp(a.ptr, text, len) == 0);
}

/* ASCII case folded; bytes over 0x7f compare as they are. */
bool sl_slice_ieq(struct sl_slice a, struct sl_slice b);
bool sl_slice_ends(struct sl_slice a, struct sl_slice suffix);

/* Offset of the first byte c, or -1. */
ptrdiff_t sl_slice_find(struct sl_slice a, char c);
/* Offset of the first occurrence of needle, or -1; the empty needle is at 0. */
ptrdiff_t sl_slice_search(struct sl_slice a, struct sl_slice needle);

/* The bytes from offset on; empty when offset is past the end. */
static inline struct sl_slice
sl_slice_from(struct sl_slice a, size_t offset)
{
	if (offset >= a.len)
		return SL_SLICE_NONE;
	return (struct sl_slice){ a.ptr + offset, a.len - offset };
}

static inline struct sl_slice
sl_slice_upto(struct sl_slice a, size_t len)
{
	return (struct sl_slice){ a.ptr, len < a.len ? len : a.len };
}

static inline bool
sl_slice_starts(struct sl_slice a, struct sl_slice prefix)
{
	return a.len >= prefix.len &&
	       (prefix.len == 0 || memcmp(a.ptr, prefix.ptr, prefix.len) == 0);
}

/* Case folded, as sl_slice_ieq. Most fail on the first or the last byte of the prefix,
 * whose bits but that of the case must be alike. */
static inline bool
sl_slice_istarts(struct sl_slice a, struct sl_slice prefix)
{
	return a.len >= prefix.len &&
	       (prefix.len == 0 ||
	        (((a.ptr[0] ^ prefix.ptr[0]) |
	          (a.ptr[prefix.len - 1] ^ prefix.ptr[prefix.len - 1])) & ~0x20) == 0) &&
	       sl_slice_ieq(sl_slice_upto(a, prefix.len), prefix);
}

/* Without leading and trailing SP, HTAB, CR, LF. */
struct sl_slice sl_slice_trim_ends(struct sl_slice a);
static inline struct sl_slice
sl_slice_trim(struct sl_slice a)
{
	if (a.len == 0 || ((unsigned char)a.ptr[0] > ' ' && (unsigned char)a.ptr[a.len - 1] > ' '))
		return a;
	return sl_slice_trim_ends(a);
}

/* Cuts at the first byte c: returns what stands before it and advances *rest
 * behind it. Without c the whole is returned and *rest becomes empty. */
struct sl_slice sl_slice_cut(struct sl_slice *rest, char c);

/* Strict decimal: optional '-', digits only, no overflow. */
bool sl_slice_i64(struct sl_slice a, int64_t *out);

#endif

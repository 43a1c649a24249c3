/* json.h - JSON without trees.
 *
 * Three tools over the bytes as they came:
 *
 *   scan    validates a whole document in one pass (RFC 8259 grammar, UTF-8,
 *           depth, member count) and locates the members that steer a request;
 *   splice  edits located members and touches no other byte;
 *   read    walks a validated document; values are slices of it;
 *   write   appends JSON to a buffer.
 *
 * Numbers are never converted unless asked for, unknown members and key order
 * survive by construction. No recursion: depth is bounded by limits.
 */
#ifndef SL_BASE_JSON_H
#define SL_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum sl_json_type {
	SL_JSON_NONE = 0, /* absent */
	SL_JSON_NULL,
	SL_JSON_FALSE,
	SL_JSON_TRUE,
	SL_JSON_NUMBER,
	SL_JSON_STRING,
	SL_JSON_ARRAY,
	SL_JSON_OBJECT,
};

/* "null", "boolean", "number", "string", "array", "object", "nothing". */
const char *sl_json_type_name(enum sl_json_type type);

struct sl_json_limits {
	uint32_t max_depth;   /* nesting of arrays and objects, at most 1024 */
	uint32_t max_members; /* members of one object, elements are not counted */
};
/* depth 64 and 4096 members (reliability: depth bombs and key floods). */
extern const struct sl_json_limits sl_json_limits_default;

/* --- scan ----------------------------------------------------------------- */

/* A member to locate. `path` is dotted from the top-level object
 * ("model", "stream_options.include_usage", "metadata.astrolabe"); components
 * are matched against the unescaped key; arrays are not entered. Every wanted
 * member, and every object on the way to one, may occur only once: a duplicate
 * is refused, because two parsers would disagree about it. */
struct sl_json_want {
	char path[48]; /* in place, with its NUL: a name's length is compared before its bytes */
};

/* At most SL_JSON_WANTS_MAX wants of at most SL_JSON_PATH_DEPTH_MAX components
 * in one scan; more is SL_EINVAL. */
enum { SL_JSON_WANTS_MAX = 64, SL_JSON_PATH_DEPTH_MAX = 8 };

/* Where a wanted member stands; all offsets in bytes from the document start.
 * Valid when type != SL_JSON_NONE. */
struct sl_json_found {
	enum sl_json_type type;
	uint32_t member_count; /* of an object; 0 for all else */
	size_t   key_start;    /* at the opening quote of the key */
	size_t   value_start;  /* first byte of the value */
	size_t   value_end;    /* one past its last byte */
	/* For the splice: where the member stands among its neighbours. */
	size_t   parent_inside; /* behind the '{' of the object that holds it */
	size_t   comma_before;  /* 0: it is the first member */
	size_t   comma_after;   /* 0: it is the last member */
	size_t   next_key;      /* opening quote of the next member, 0: the last */
};

struct sl_json_error {
	size_t      offset; /* byte where it went wrong */
	const char *reason; /* static text, fit for the caller */
};

/* Validates `doc`, whose top level must be an object, and fills found[i] for
 * wants[i] (type SL_JSON_NONE when absent). `top`, when not NULL, is filled
 * for the top-level object itself so that a member can be inserted. `limits`
 * NULL means the default ones; `error` may be NULL.
 * Returns SL_OK; SL_ESYNTAX (grammar, UTF-8, trailing bytes), SL_ETYPE (well
 * formed, but not an object), SL_ELIMIT (depth, members), SL_EDUPLICATE; then
 * *error says where and *found is not to be used. No byte outside `doc` is
 * read. A \u escape of half a surrogate pair is grammar and is let through. */
enum sl_err sl_json_scan(struct sl_slice doc, const struct sl_json_limits *limits,
                         const struct sl_json_want *wants, size_t want_count,
                         struct sl_json_found *found, struct sl_json_found *top,
                         struct sl_json_error *error);

/* Validates any JSON text (any top-level type). */
enum sl_err sl_json_validate(struct sl_slice doc, const struct sl_json_limits *limits,
                             struct sl_json_error *error);

/* The raw bytes of a located value; empty when absent. */
static inline struct sl_slice
sl_json_found_raw(struct sl_slice doc, const struct sl_json_found *found)
{
	if (found->type == SL_JSON_NONE)
		return SL_SLICE_NONE;
	return sl_slice_make(doc.ptr + found->value_start,
	                     found->value_end - found->value_start);
}

/* --- splice --------------------------------------------------------------- */

enum {
	SL_JSON_EDITS_MAX = 24,
	/* Slices that any set of edits fits in. */
	SL_JSON_SLICES_MAX = SL_JSON_EDITS_MAX * 6 + 1,
};

/* A set of edits on one document. Embedded, no memory of its own; the inserted
 * slices are borrowed until the last use of the splice. Members are private. */
struct sl_json_splice {
	struct sl_slice doc;
	size_t count;
	struct sl_json_edit {
		enum { SL_JSON_INSERT, SL_JSON_REPLACE, SL_JSON_REMOVE } kind;
		size_t          start; /* the bytes it speaks for: [start, end) */
		size_t          end;
		size_t          parent; /* `inside` of the object it changes */
		size_t          comma_before; /* of a removed member, as found */
		size_t          comma_after;
		size_t          next_key;
		uint32_t        member_count; /* of the object inserted into */
		struct sl_slice key;
		struct sl_slice value;
	} edits[SL_JSON_EDITS_MAX]; /* ordered by start */
};

/* The edits return SL_ELIMIT when there are too many, SL_EINVAL when they
 * overlap another edit (a member inside one that was removed, twice the same
 * member) or reach outside the document; such an edit is not taken. */
void sl_json_splice_init(struct sl_json_splice *splice, struct sl_slice doc);
/* Replaces the located value by raw JSON text. SL_ENOTFOUND when absent. */
enum sl_err sl_json_splice_replace(struct sl_json_splice *splice,
                                   const struct sl_json_found *found,
                                   struct sl_slice raw_value);
/* Removes the located member with the comma it no longer needs; any set of
 * neighbours may go. Nothing to do when it is absent. */
enum sl_err sl_json_splice_remove(struct sl_json_splice *splice,
                                  const struct sl_json_found *found);
/* Inserts a member at the start of a located object (SL_ETYPE when it is
 * none), behind those inserted before. `key` is written as it is between
 * quotes (it must need no escaping); `raw_value` is JSON text. */
enum sl_err sl_json_splice_insert(struct sl_json_splice *splice,
                                  const struct sl_json_found *object,
                                  struct sl_slice key, struct sl_slice raw_value);
/* The edited document as a list of slices of the original and of the inserted
 * text, for writev. Returns the number of slices, or SL_ELIMIT when they do
 * not fit in max_count. With no edits: one slice. */
int sl_json_splice_slices(const struct sl_json_splice *splice, struct sl_slice *out,
                          size_t max_count);
/* The same, appended to a buffer. */
enum sl_err sl_json_splice_append(const struct sl_json_splice *splice, struct sl_buf *out);

/* --- read: for documents that were validated ------------------------------ *
 *
 * On text that was not validated the answers mean nothing, but no byte outside
 * it is read and every loop ends.
 */

/* A value inside a validated document. raw has no surrounding space. */
struct sl_json {
	enum sl_json_type type;
	struct sl_slice   raw;
};

/* The value that a validated document is. SL_JSON_NONE for empty input. */
struct sl_json sl_json_parse(struct sl_slice validated);
/* A located value. */
static inline struct sl_json
sl_json_found_value(struct sl_slice doc, const struct sl_json_found *found)
{
	return (struct sl_json){ found->type, sl_json_found_raw(doc, found) };
}

/* Iteration over an object or an array:
 *   struct sl_json_iter it = sl_json_iter(value);
 *   while (sl_json_next(&it)) use(it.key, it.value);
 * it.key is raw (without quotes, still escaped) and empty for arrays. On a
 * value of another type the loop body never runs. */
struct sl_json_iter {
	struct sl_slice rest;
	bool            object;
	size_t          index; /* of the current element */
	struct sl_slice key;
	struct sl_json  value;
};
struct sl_json_iter sl_json_iter(struct sl_json value);
bool sl_json_next(struct sl_json_iter *it);

/* One pass over a document, for which no value is looked at twice, as it is when an
 * iteration first finds a container's end and then another goes through it:
 *
 *   struct sl_json_walk walk = sl_json_walk(document);
 *   if (sl_json_walk_type(&walk) == SL_JSON_OBJECT)
 *       for (sl_json_walk_enter(&walk); sl_json_walk_member(&walk, &key);)
 *           enter a container and go through it to its end, or sl_json_walk_skip(&walk);
 *
 * Arrays go by sl_json_walk_next. Every value must be left behind before the next one is
 * asked for. */
struct sl_json_walk {
	const uint8_t *at; /* the first byte of a value */
	const uint8_t *end;
};
struct sl_json_walk sl_json_walk(struct sl_slice validated);
enum sl_json_type sl_json_walk_type(const struct sl_json_walk *walk);
/* Leaves the value behind and returns its bytes. */
struct sl_slice sl_json_walk_skip(struct sl_json_walk *walk);
/* The same of a count: whether it is an integer, not negative, as sl_json_i64 takes it. */
bool sl_json_walk_count(struct sl_json_walk *walk, int64_t *out);
/* Into the object or array that the value is. */
void sl_json_walk_enter(struct sl_json_walk *walk);
/* To the next element. False: the container has ended and is left behind. */
bool sl_json_walk_next(struct sl_json_walk *walk);
/* The same in an object; the key is raw. */
bool sl_json_walk_member(struct sl_json_walk *walk, struct sl_slice *key);
/* Whether a raw key, unescaped, is the name, which holds no backslash. */
bool sl_json_key_is(struct sl_slice raw, struct sl_slice name);

/* Member by name (compared with the unescaped key), SL_JSON_NONE when absent
 * or when value is no object; the last one wins among duplicates. */
struct sl_json sl_json_get(struct sl_json value, const char *name);
/* Dotted path of members. */
struct sl_json sl_json_at(struct sl_json value, const char *path);

/* Unescaped text of a string value; borrowed from the document when it holds
 * no escape, else on the arena. Unpaired surrogates become U+FFFD. Returns
 * false when the value is no string or memory is out. */
bool sl_json_string(struct sl_json value, struct sl_arena *arena, struct sl_slice *out);
/* The same with the raw bytes between quotes as input (an iterator's key). */
bool sl_json_unescape(struct sl_slice raw, struct sl_arena *arena, struct sl_slice *out);
/* Whether a string value equals text, without allocation. */
bool sl_json_is(struct sl_json value, const char *text);
/* Integers written as such or as an integral float ("1.0", "1e3") inside
 * int64; false otherwise. Bounded work whatever the exponent. */
bool sl_json_i64(struct sl_json value, int64_t *out);
/* Correctly rounded; false when it is no number or too large for a double. */
bool sl_json_f64(struct sl_json value, double *out);
/* True only for `true`. */
bool sl_json_true(struct sl_json value);

/* Decimal number of US dollars to nano-dollars, exact; false when it is no
 * number, has more than nine decimal places that matter, or overflows. */
bool sl_json_nanousd(struct sl_json value, int64_t *out);

/* --- write ---------------------------------------------------------------- */

/* Appends JSON to a buffer, putting the commas. Depth at most 64. Errors are
 * the buffer's sticky failure. Keys are escaped like strings. */
struct sl_json_writer {
	struct sl_buf *buf;
	uint64_t       has_member; /* one bit per depth */
	uint32_t       depth;
	bool           after_key;
};
void sl_json_writer_init(struct sl_json_writer *w, struct sl_buf *buf);
void sl_json_obj(struct sl_json_writer *w);       /* { */
void sl_json_obj_end(struct sl_json_writer *w);   /* } */
void sl_json_arr(struct sl_json_writer *w);       /* [ */
void sl_json_arr_end(struct sl_json_writer *w);   /* ] */
void sl_json_key(struct sl_json_writer *w, const char *key);
void sl_json_key_slice(struct sl_json_writer *w, struct sl_slice key);
/* Escapes what must be escaped; bytes that are not UTF-8 become U+FFFD. */
void sl_json_put_str(struct sl_json_writer *w, struct sl_slice text);
void sl_json_put_i64(struct sl_json_writer *w, int64_t value);
void sl_json_put_f64(struct sl_json_writer *w, double value); /* shortest that round-trips; null when not finite */
void sl_json_put_bool(struct sl_json_writer *w, bool value);
void sl_json_put_null(struct sl_json_writer *w);
void sl_json_put_raw(struct sl_json_writer *w, struct sl_slice json);
/* Nano-dollars as a decimal number of US dollars, up to nine places, no
 * exponent, no trailing zeros: 1500000000 -> 1.5 */
void sl_json_put_nanousd(struct sl_json_writer *w, int64_t nanousd);
/* key + value in one call. */
void sl_json_str(struct sl_json_writer *w, const char *key, struct sl_slice text);
void sl_json_int(struct sl_json_writer *w, const char *key, int64_t value);
void sl_json_bool(struct sl_json_writer *w, const char *key, bool value);
void sl_json_usd(struct sl_json_writer *w, const char *key, int64_t nanousd);

/* Appends `text` as a quoted JSON string, without a writer. */
enum sl_err sl_json_quote(struct sl_buf *buf, struct sl_slice text);

#endif

/* row_queue.c - chunks of encoded rows.
 *
 * A chunk is entries, each its length (2 bytes, native) and so many bytes. One with
 * COMMON_ENTRY in its length is no row, but what the rows behind it have in common, the
 * owner and kind of store/sqlite_columns.def; the producer compares a row with it, and
 * writes another one where they differ. It begins every chunk. Text is a length (a
 * varint) and bytes; a number is 8 bytes, and one of those in common a zigzag varint plus
 * one, so that SL_RECORD_NULL (INT64_MIN) wraps to the single byte 0. Of the usage, a mask
 * says which classes there are. The caller's own id for the request is empty where it has
 * none and ours stands for it. A usual row takes 200 bytes.
 *
 * Publication: the producer writes the bytes, then stores `used`; a full chunk
 * gets its successor only after its last row. The consumer that sees a successor
 * therefore sees the final `used`. `pushed` counts a row once it can be read, and
 * is stored sequentially consistent: whether the telemetry thread may fall asleep
 * depends on the order of that store and the producer's look at its flag.
 */
#include "telemetry/row_queue.h"

#include <stdlib.h>
#include <string.h>

#include "telemetry/spool.h"

enum {
	BEHIND_SHARE = 8,
	VARINT_MAX = 10,
	TEXT_COUNT = 0
#define SL_RECORD_TEXT(name, max_size) +1
#define SL_RECORD_INT(name)
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
	,
	INT_COUNT = SL_USAGE_COUNT
#define SL_RECORD_TEXT(name, max_size)
#define SL_RECORD_INT(name) +1
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
	,
	/* Everything but the text itself, at its longest. */
	FIXED_MAX = 2 + 2 + 4 + VARINT_MAX * (TEXT_COUNT + INT_COUNT),
	TEXT_MAX = 0
#define SL_RECORD_TEXT(name, max_size) +(max_size)
#define SL_RECORD_INT(name)
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
	,
	ROW_MAX = FIXED_MAX + TEXT_MAX,
	ROWS_PER_CHUNK = SL_ROW_CHUNK_SIZE / ROW_MAX, /* the largest ones */
#define SL_RECORD_TEXT(name, max_size) MAX_##name = (max_size), /* bytes */
#define SL_RECORD_INT(name)
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
};
enum { SIZE_SIZE = 2, MASK_SIZE = 4, NUMBER_SIZE = 8 };
#define COMMON_ENTRY 0x8000u
_Static_assert(ROW_MAX < COMMON_ENTRY, "the length of an entry");
_Static_assert(SL_USAGE_COUNT <= 8 * MASK_SIZE, "classes of usage");

/* Columns by what is done with them: COMMON(type, name), OTHER(type, name), and the one
 * label. */
#define IN_OWNER(type, name) COMMON(type, name)
#define IN_KIND(type, name)  COMMON(type, name)
#define IN_ID(type, name)    OTHER(type, name)
#define IN_USER(type, name)  OTHER(type, name)
#define IN_HEX(type, name)   OTHER(type, name)
#define IN_BEGIN(type, name) OTHER(type, name)
#define IN_FACT(type, name)  OTHER(type, name)
#define IN_RARE(type, name)  OTHER(type, name)
#define IN_LABEL(type, name) LABEL(type, name)
#define SL_COLUMN(place, type, name) IN_##place(type, name)

/* --- encoding -------------------------------------------------------------- */

static unsigned char *
put_varint(unsigned char *out, uint64_t value)
{
	while (value >= 0x80) {
		*out++ = (unsigned char)(value | 0x80);
		value >>= 7;
	}
	*out++ = (unsigned char)value;
	return out;
}

static inline const unsigned char *
get_varint(const unsigned char *in, uint64_t *value)
{
	unsigned shift = 0;

	*value = 0;
	while (*in & 0x80) {
		*value |= (uint64_t)(*in++ & 0x7f) << shift;
		shift += 7;
	}
	*value |= (uint64_t)*in++ << shift;
	return in;
}

static __attribute__((noinline)) unsigned char *
put_large(unsigned char *out, int64_t value)
{
	uint64_t sign = value < 0 ? UINT64_MAX : 0;

	return put_varint(out, (((uint64_t)value << 1) ^ sign) + 1);
}

/* Most are absent or small. */
static inline unsigned char *
put_int(unsigned char *out, int64_t value)
{
	if ((uint64_t)value < 0x40)
		*out = (unsigned char)(2 * value + 1);
	else if (value == SL_RECORD_NULL)
		*out = 0;
	else
		return put_large(out, value);
	return out + 1;
}

static inline const unsigned char *
get_int(const unsigned char *in, int64_t *value)
{
	uint64_t raw;

	in = get_varint(in, &raw);
	raw -= 1;
	*value = (int64_t)((raw >> 1) ^ (raw & 1 ? UINT64_MAX : 0));
	return in;
}

/* Never in the middle of a character. */
static struct sl_slice
cut(struct sl_slice text, size_t max_size)
{
	size_t len = max_size;

	if (text.len <= max_size)
		return text;
	while (len > max_size - 3 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
		len--;
	return sl_slice_upto(text, len);
}

/* Most are short: no further call for those. */
static __attribute__((noinline)) unsigned char *
put_bytes(unsigned char *out, struct sl_slice text, size_t max_size)
{
	const char *from = text.ptr;
	size_t len;

	if (text.len > max_size)
		text = cut(text, max_size);
	len = text.len;
	out = put_varint(out, len);
	if (len > 32) {
		memcpy(out, from, len);
	} else if (len >= 16) {
		memcpy(out, from, 16);
		memcpy(out + len - 16, from + len - 16, 16);
	} else if (len >= 8) {
		memcpy(out, from, 8);
		memcpy(out + len - 8, from + len - 8, 8);
	} else if (len >= 4) {
		memcpy(out, from, 4);
		memcpy(out + len - 4, from + len - 4, 4);
	} else {
		out[0] = (unsigned char)from[0];
		out[len / 2] = (unsigned char)from[len / 2];
		out[len - 1] = (unsigned char)from[len - 1];
	}
	return out + len;
}

static inline unsigned char *
put_text(unsigned char *out, struct sl_slice text, size_t max_size)
{
	if (text.len > 0)
		return put_bytes(out, text, max_size);
	*out = 0;
	return out + 1;
}

static const unsigned char *
get_text(const unsigned char *in, struct sl_slice *text)
{
	uint64_t len;

	in = get_varint(in, &len);
	*text = sl_slice_make(in, (size_t)len);
	return in + len;
}

static inline unsigned char *
put_number(unsigned char *out, int64_t value)
{
	memcpy(out, &value, NUMBER_SIZE);
	return out + NUMBER_SIZE;
}

static inline const unsigned char *
get_number(const unsigned char *in, int64_t *value)
{
	memcpy(value, in, NUMBER_SIZE);
	return in + NUMBER_SIZE;
}

static inline void
put_size(unsigned char *entry, size_t size)
{
	uint16_t raw = (uint16_t)size;

	memcpy(entry, &raw, SIZE_SIZE);
}

/* With COMMON_ENTRY in it, or not. */
static inline unsigned
get_size(const void *entry)
{
	uint16_t raw;

	memcpy(&raw, entry, SIZE_SIZE);
	return raw;
}

/* Most are short: no further call for those. */
static __attribute__((noinline)) bool
same_bytes(const char *a, const char *b, size_t len)
{
	if (len == 0)
		return true;
	if (len > 32)
		return memcmp(a, b, len) == 0;
	if (len >= 16)
		return memcmp(a, b, 16) == 0 && memcmp(a + len - 16, b + len - 16, 16) == 0;
	if (len >= 8)
		return memcmp(a, b, 8) == 0 && memcmp(a + len - 8, b + len - 8, 8) == 0;
	if (len >= 4)
		return memcmp(a, b, 4) == 0 && memcmp(a + len - 4, b + len - 4, 4) == 0;
	return a[0] == b[0] && a[len / 2] == b[len / 2] && a[len - 1] == b[len - 1];
}

static inline bool
same_text(struct sl_slice a, struct sl_slice b)
{
	return a.len == b.len && same_bytes(a.ptr, b.ptr, a.len);
}

/* Out of tables that never change. */
static inline bool
same_name(struct sl_slice a, struct sl_slice b)
{
	return a.ptr == b.ptr || same_text(a, b);
}

/* What rows have in common. */
#define OTHER(type, name)
#define LABEL(type, name)
#define COMMON(type, name) DO_##type(name)

#define IS(name, other) (offsetof(struct sl_record_row, name) == \
                         offsetof(struct sl_record_row, other))
#define IS_NAME(name) (IS(name, surface) || IS(name, shape) || IS(name, operation) || \
                       IS(name, outcome) || IS(name, fault) || IS(name, usage_source))
#define DO_TEXT(name) \
	&& (IS_NAME(name) ? same_name : same_text)(row->name, said->name)
#define DO_INTEGER(name) && row->name == said->name
bool
sl_row_alike(const struct sl_row_queue *queue, const struct sl_record_row *row)
{
	const struct sl_record_row *said = &queue->said;

	return queue->tail
#include "store/sqlite_columns.def"
	    ;
}
#undef DO_TEXT
#undef DO_INTEGER

#define DO_TEXT(name)    out = put_text(out, row->name, MAX_##name);
#define DO_INTEGER(name) out = put_int(out, row->name);
static size_t
encode_common(const struct sl_record_row *row, unsigned char *entry)
{
	unsigned char *out = entry + SIZE_SIZE;

#include "store/sqlite_columns.def"
	put_size(entry, (size_t)(out - entry) | COMMON_ENTRY);
	return (size_t)(out - entry);
}
#undef DO_TEXT
#undef DO_INTEGER

#define DO_TEXT(name)    in = get_text(in, &row->name);
#define DO_INTEGER(name) in = get_int(in, &row->name);
static void
decode_common(const unsigned char *entry, struct sl_record_row *row)
{
	const unsigned char *in = entry + SIZE_SIZE;

#include "store/sqlite_columns.def"
}
#undef DO_TEXT
#undef DO_INTEGER
#undef COMMON
#undef OTHER
#undef LABEL

/* The others: numbers, usage, texts. */
#define COMMON(type, name)
#define OTHER(type, name) DO_##type(name)
#define SKIP(name)

static size_t
encode(const struct sl_record_row *row, unsigned char *entry)
{
	struct sl_slice label = row->client_request_id;
	unsigned char *out = entry + SIZE_SIZE, *mask;
	uint32_t present = 0;

	if (label.ptr == row->request_id.ptr)
		label.len = 0;
#define LABEL(type, name)
#define DO_TEXT SKIP
#define DO_INTEGER(name) out = put_number(out, row->name);
	DO_INTEGER(end_wall_ms)
#include "store/sqlite_columns.def"
#undef LABEL
#undef DO_TEXT
#undef DO_INTEGER
	mask = out;
	out += MASK_SIZE;
	/* As a loop it takes one line of the cache instead of eight. */
#pragma GCC unroll 1
	for (int i = 0; i < SL_USAGE_COUNT; i++) {
		if (row->usage[i] == SL_RECORD_NULL)
			continue;
		present |= 1u << i;
		out = put_number(out, row->usage[i]);
	}
	memcpy(mask, &present, MASK_SIZE);
#define LABEL(type, name) out = put_text(out, label, MAX_##name);
#define DO_TEXT(name) out = put_text(out, row->name, MAX_##name);
#define DO_INTEGER SKIP
#include "store/sqlite_columns.def"
#undef LABEL
#undef DO_TEXT
#undef DO_INTEGER
	put_size(entry, (size_t)(out - entry));
	return (size_t)(out - entry);
}

/* As the request's own id, where it has none. */
static void
label(struct sl_record_row *row)
{
	if (row->client_request_id.len == 0)
		row->client_request_id = row->request_id;
}

static void
decode(const unsigned char *entry, struct sl_record_row *row)
{
	const unsigned char *in = entry + SIZE_SIZE;
	uint32_t present;

#define LABEL(type, name)
#define DO_TEXT SKIP
#define DO_INTEGER(name) in = get_number(in, &row->name);
	DO_INTEGER(end_wall_ms)
#include "store/sqlite_columns.def"
#undef LABEL
#undef DO_TEXT
#undef DO_INTEGER
	memcpy(&present, in, MASK_SIZE);
	in += MASK_SIZE;
	for (int i = 0; i < SL_USAGE_COUNT; i++) {
		if (present & 1u << i)
			in = get_number(in, &row->usage[i]);
		else
			row->usage[i] = SL_RECORD_NULL;
	}
#define LABEL(type, name) OTHER(type, name)
#define DO_TEXT(name) in = get_text(in, &row->name);
#define DO_INTEGER SKIP
#include "store/sqlite_columns.def"
#undef LABEL
#undef DO_TEXT
#undef DO_INTEGER
	label(row);
}
#undef COMMON
#undef OTHER

static size_t
encoded_max(const struct sl_record_row *row)
{
	size_t size = FIXED_MAX;

#define SL_RECORD_TEXT(name, max_size)                                                 \
	size += row->name.len < (max_size) ? row->name.len : (max_size);
#define SL_RECORD_INT(name)
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
	return size;
}

/* --- what another process left ------------------------------------------------ */

enum coding {
	CODE_TEXT = 'T',
	CODE_VARINT = 'I',
	CODE_NUMBER = 'N',
	CODE_MASK = 'M',   /* which of those that follow there are */
	CODE_MASKED = 'C', /* a number, if it is there */
	CODE_BAR = '|',    /* what stands before is in common */
};

/* As entries have them. */
#define COLUMN(coding, name) { coding, #name, offsetof(struct sl_record_row, name) },
static const struct column {
	enum coding coding;
	const char *name;
	size_t      offset; /* in the row */
} row_columns[] = {
#define COMMON(type, name) DO_##type(name)
#define OTHER(type, name)
#define LABEL(type, name)
#define DO_TEXT(name)    COLUMN(CODE_TEXT, name)
#define DO_INTEGER(name) COLUMN(CODE_VARINT, name)
#include "store/sqlite_columns.def"
#undef COMMON
#undef OTHER
#undef LABEL
#undef DO_TEXT
#undef DO_INTEGER
	{ CODE_BAR, "", 0 },
#define COMMON(type, name)
#define OTHER(type, name) DO_##type(name)
#define LABEL(type, name) OTHER(type, name)
#define DO_TEXT SKIP
#define DO_INTEGER(name) COLUMN(CODE_NUMBER, name)
	DO_INTEGER(end_wall_ms)
#include "store/sqlite_columns.def"
#undef DO_TEXT
#undef DO_INTEGER
	{ CODE_MASK, "usage", 0 },
#define USAGE_COLUMN(id, name) \
	{ CODE_MASKED, name, offsetof(struct sl_record_row, usage) + SL_USAGE_##id * NUMBER_SIZE },
	SL_USAGE_CLASSES(USAGE_COLUMN)
#undef USAGE_COLUMN
#define DO_TEXT(name) COLUMN(CODE_TEXT, name)
#define DO_INTEGER SKIP
#include "store/sqlite_columns.def"
#undef DO_TEXT
#undef DO_INTEGER
#undef COMMON
#undef OTHER
#undef LABEL
};
enum { ROW_COLUMNS = sizeof(row_columns) / sizeof(row_columns[0]) };

void
sl_row_columns(struct sl_buf *out)
{
	for (size_t i = 0; i < ROW_COLUMNS; i++) {
		sl_buf_append_char(out, (char)row_columns[i].coding);
		sl_buf_append_str(out, row_columns[i].name);
		sl_buf_append_char(out, ' ');
	}
}

static bool
is_number(enum coding coding)
{
	return coding == CODE_VARINT || coding == CODE_NUMBER || coding == CODE_MASKED;
}

/* NULL: unknown. guess: where it stands if nothing has changed. */
static const struct column *
find_column(struct sl_slice word, size_t guess)
{
	struct sl_slice name = sl_slice_from(word, 1);
	bool number = is_number((enum coding)word.ptr[0]);

	for (size_t i = 0; i < ROW_COLUMNS; i++) {
		const struct column *column = &row_columns[(guess + i) % ROW_COLUMNS];

		if (is_number(column->coding) == number && sl_slice_is(name, column->name))
			return column;
	}
	return NULL;
}

static bool
read_varint(struct sl_slice *in, uint64_t *value)
{
	size_t size = 0;

	while (size < in->len && size < VARINT_MAX && ((unsigned char)in->ptr[size] & 0x80))
		size++;
	if (size >= in->len || size >= VARINT_MAX)
		return false;
	(void)get_varint((const unsigned char *)in->ptr, value);
	*in = sl_slice_from(*in, size + 1);
	return true;
}

static bool
read_bytes(struct sl_slice *in, void *out, size_t size)
{
	if (in->len < size)
		return false;
	memcpy(out, in->ptr, size);
	*in = sl_slice_from(*in, size);
	return true;
}

static bool
read_text(struct sl_slice *in, struct sl_slice *text)
{
	uint64_t len;

	if (!read_varint(in, &len) || len > in->len)
		return false;
	*text = sl_slice_upto(*in, (size_t)len);
	*in = sl_slice_from(*in, text->len);
	return true;
}

/* A column as `word` says it is written; what is unknown is passed over. */
static bool
read_column(struct sl_slice word, const struct column *column, struct sl_slice *in,
            uint32_t *mask, struct sl_record_row *row)
{
	char *out = column ? (char *)row + column->offset : NULL;
	const unsigned char *at = (const unsigned char *)in->ptr;
	int64_t number = SL_RECORD_NULL;
	struct sl_slice text;
	bool there;
	uint64_t raw;

	switch ((enum coding)word.ptr[0]) {
	case CODE_TEXT:
		if (!read_text(in, &text))
			return false;
		if (out)
			memcpy(out, &text, sizeof(text));
		return true;
	case CODE_MASK:
		return read_bytes(in, mask, MASK_SIZE);
	case CODE_VARINT:
		if (!read_varint(in, &raw))
			return false;
		(void)get_int(at, &number);
		break;
	case CODE_MASKED:
		there = *mask & 1;
		*mask >>= 1;
		if (there && !read_bytes(in, &number, NUMBER_SIZE))
			return false;
		break;
	case CODE_NUMBER:
		if (!read_bytes(in, &number, NUMBER_SIZE))
			return false;
		break;
	case CODE_BAR:
	default:
		return false;
	}
	if (out)
		memcpy(out, &number, sizeof(number));
	return true;
}

static bool
read_entry(struct sl_slice columns, struct sl_slice entry, struct sl_record_row *row)
{
	const struct column *column;
	uint32_t mask = 0;
	size_t guess = 0;

	while (columns.len > 0) {
		struct sl_slice word = sl_slice_cut(&columns, ' ');

		if (word.len == 0)
			continue;
		column = find_column(word, guess);
		guess = column ? (size_t)(column - row_columns) + 1 : guess + 1;
		if (!read_column(word, column, &entry, &mask, row))
			return false;
	}
	return entry.len == 0;
}

/* Cuts an entry off, without its size; false: it is no whole one. */
static bool
cut_entry(struct sl_slice *bytes, struct sl_slice *entry, bool *common)
{
	unsigned size;

	if (bytes->len < SIZE_SIZE)
		return false;
	size = get_size(bytes->ptr);
	*common = size & COMMON_ENTRY;
	size &= COMMON_ENTRY - 1;
	if (size < SIZE_SIZE || size > bytes->len)
		return false;
	*entry = sl_slice_from(sl_slice_upto(*bytes, size), SIZE_SIZE);
	*bytes = sl_slice_from(*bytes, size);
	return true;
}

bool
sl_row_read(struct sl_slice columns, struct sl_slice *bytes, struct sl_slice *common,
            struct sl_record_row *row)
{
	struct sl_slice in_common = SL_SLICE_NONE, rest = *bytes, entry;
	ptrdiff_t bar = sl_slice_find(columns, CODE_BAR);
	bool is_common;

	/* An older layout has it all in every row. */
	if (bar >= 0) {
		in_common = sl_slice_upto(columns, (size_t)bar);
		columns = sl_slice_from(columns, (size_t)bar + 1);
	}
	while (cut_entry(&rest, &entry, &is_common)) {
		if (is_common) {
			*common = entry;
			continue;
		}
		memset(row, 0, sizeof(*row));
		for (size_t i = 0; i < ROW_COLUMNS; i++)
			if (is_number(row_columns[i].coding))
				memcpy((char *)row + row_columns[i].offset,
				       &(int64_t){ SL_RECORD_NULL }, sizeof(int64_t));
		if (!read_entry(in_common, *common, row) || !read_entry(columns, entry, row))
			return false;
		label(row);
		*bytes = rest;
		return true;
	}
	return false;
}

/* --- the queue ------------------------------------------------------------- */

void
sl_row_queue_init(struct sl_row_queue *queue, size_t max_size, struct sl_spool *spool)
{
	memset(queue, 0, sizeof(*queue));
	queue->max_chunks = max_size / sizeof(struct sl_row_chunk);
	if (queue->max_chunks == 0)
		queue->max_chunks = 1;
	queue->spool = spool;
}

/* From memory that outlives the process, as long as there is some. */
static struct sl_row_chunk *
take_chunk(struct sl_row_queue *queue)
{
	struct sl_row_chunk *chunk = queue->spool ? sl_spool_take(queue->spool) : NULL;

	return chunk ? chunk : malloc(sizeof(*chunk));
}

static void
give_chunk(struct sl_row_queue *queue, struct sl_row_chunk *chunk)
{
	if (queue->spool && sl_spool_has(queue->spool, chunk))
		sl_spool_give(queue->spool, chunk);
	else
		free(chunk);
}

void
sl_row_queue_release(struct sl_row_queue *queue)
{
	struct sl_row_chunk *chunk = atomic_load(&queue->first);

	while (chunk) {
		struct sl_row_chunk *next = atomic_load(&chunk->next);

		/* What was not stored stays in the spool's file. */
		if (!queue->spool || !sl_spool_has(queue->spool, chunk))
			free(chunk);
		chunk = next;
	}
	memset(queue, 0, sizeof(*queue));
}

static struct sl_row_chunk *
add_chunk(struct sl_row_queue *queue)
{
	struct sl_row_chunk *chunk;

	if (atomic_load_explicit(&queue->chunks, memory_order_relaxed) >= queue->max_chunks)
		return NULL;
	chunk = take_chunk(queue);
	if (!chunk)
		return NULL;
	atomic_init(&chunk->next, NULL);
	atomic_init(&chunk->used, 0);
	atomic_fetch_add_explicit(&queue->chunks, 1, memory_order_relaxed);
	if (queue->tail)
		atomic_store_explicit(&queue->tail->next, chunk, memory_order_release);
	else
		atomic_store_explicit(&queue->first, chunk, memory_order_release);
	queue->tail = chunk;
	return chunk;
}

bool
sl_row_queue_takes(const struct sl_row_queue *queue, size_t rows)
{
	size_t chunks = atomic_load_explicit(&queue->chunks, memory_order_relaxed);

	return chunks + (rows + ROWS_PER_CHUNK - 1) / ROWS_PER_CHUNK <= queue->max_chunks;
}

bool
sl_row_queue_behind(const struct sl_row_queue *queue)
{
	/* The one that is being filled does not count. */
	return atomic_load_explicit(&queue->chunks, memory_order_relaxed) >
	       queue->max_chunks / BEHIND_SHARE + 1;
}

bool
sl_row_queue_roomy(const struct sl_row_queue *queue)
{
	return atomic_load_explicit(&queue->chunks, memory_order_relaxed) <=
	       queue->max_chunks / (2 * BEHIND_SHARE) + 1;
}

/* The number of bytes. */
static unsigned
say_common(struct sl_row_queue *queue, const struct sl_record_row *row, unsigned char *entry)
{
	struct sl_record_row *said = &queue->said;
	size_t size = encode_common(row, entry);

	decode_common(entry, said);
#define COMMON(type, name) DO_##type(name)
#define OTHER(type, name)
#define LABEL(type, name)
#define DO_TEXT(name)    if (IS_NAME(name)) said->name = row->name;
#define DO_INTEGER SKIP
#include "store/sqlite_columns.def"
	return (unsigned)size;
}

bool
sl_row_push(struct sl_row_queue *queue, const struct sl_record_row *row, bool alike)
{
	struct sl_row_chunk *chunk = queue->tail;
	unsigned used = 0;

	if (chunk)
		used = atomic_load_explicit(&chunk->used, memory_order_relaxed);
	if (!chunk || (SL_ROW_CHUNK_SIZE - used < ROW_MAX &&
	               SL_ROW_CHUNK_SIZE - used < encoded_max(row))) {
		chunk = add_chunk(queue);
		used = 0;
	}
	if (!chunk) {
		atomic_fetch_add_explicit(&queue->dropped, 1, memory_order_relaxed);
		return false;
	}
	if (!alike || used == 0)
		used += say_common(queue, row, (unsigned char *)chunk->bytes + used);
	used += (unsigned)encode(row, (unsigned char *)chunk->bytes + used);
	atomic_store_explicit(&chunk->used, used, memory_order_release);
	atomic_store(&queue->pushed,
	             atomic_load_explicit(&queue->pushed, memory_order_relaxed) + 1);
	return true;
}

/* Moves to where there is an entry; false: there is none. */
static bool
find_entry(struct sl_row_queue *queue, struct sl_row_cursor *at)
{
	if (!at->chunk) {
		at->chunk = atomic_load_explicit(&queue->first, memory_order_acquire);
		at->offset = 0;
		if (!at->chunk)
			return false;
	}
	while (at->offset == atomic_load_explicit(&at->chunk->used, memory_order_acquire)) {
		struct sl_row_chunk *next =
		    atomic_load_explicit(&at->chunk->next, memory_order_acquire);

		if (!next)
			return false;
		/* Only now is the used size known to be the last one. */
		if (at->offset != atomic_load_explicit(&at->chunk->used, memory_order_acquire))
			break;
		at->chunk = next;
		at->offset = 0;
	}
	return true;
}

/* What the row says in common, it may have from the one before. */
static void
take_common(struct sl_slice common, struct sl_record_row *row)
{
	if (row->common.ptr == common.ptr || sl_slice_eq(row->common, common))
		return;
	decode_common((const unsigned char *)common.ptr, row);
	row->common = common;
}

bool
sl_row_next(struct sl_row_queue *queue, struct sl_row_cursor *at, struct sl_record_row *row)
{
	const char *entry;
	unsigned size;

	if (!find_entry(queue, at))
		return false;
	entry = at->chunk->bytes + at->offset;
	size = get_size(entry);
	if (size & COMMON_ENTRY) {
		at->common = sl_slice_make(entry, size - COMMON_ENTRY);
		at->offset += at->common.len;
		/* A row of it came with it. */
		entry += at->common.len;
		size = get_size(entry);
	}
	if (row) {
		take_common(at->common, row);
		decode((const unsigned char *)entry, row);
	}
	at->offset += size;
	return true;
}

void
sl_row_free_before(struct sl_row_queue *queue, const struct sl_row_cursor *at)
{
	struct sl_row_chunk *chunk = atomic_load_explicit(&queue->first, memory_order_acquire);

	while (at->chunk && chunk != at->chunk) {
		struct sl_row_chunk *next = atomic_load_explicit(&chunk->next, memory_order_acquire);

		give_chunk(queue, chunk);
		atomic_fetch_sub_explicit(&queue->chunks, 1, memory_order_relaxed);
		chunk = next;
		atomic_store_explicit(&queue->first, chunk, memory_order_relaxed);
	}
}

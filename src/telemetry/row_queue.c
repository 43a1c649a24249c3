/* row_queue.c - chunks of encoded rows.
 *
 * A row is its length (2 bytes, native), then how many bytes the columns take that many
 * rows have in common, these, and the others: text as a length and bytes, numbers as zigzag
 * varints plus one, so that SL_RECORD_NULL (INT64_MIN) wraps to the single byte 0. What
 * is in common (the owner and kind of store/sqlite_columns.def) is two thirds of a row; the
 * reader of a row like the one before compares these bytes and is done with them. A usual
 * row takes 200-300 bytes and 100 ns.
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
	FIXED_MAX = 2 + 2 + VARINT_MAX * (TEXT_COUNT + INT_COUNT),
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
/* How long the columns in common are is said as a number of two bytes. */
_Static_assert(2 * ROW_MAX + 1 < 1 << 14, "the length of what is in common");

/* Columns in the order of a row: COMMON(type, name), then OTHER(type, name). */
#define IN_OWNER(type, name) COMMON(type, name)
#define IN_KIND(type, name)  COMMON(type, name)
#define IN_ROW(type, name)   OTHER(type, name)
#define IN_HEX(type, name)   OTHER(type, name)
#define IN_BEGIN(type, name) OTHER(type, name)
#define IN_FACT(type, name)  OTHER(type, name)
#define IN_RARE(type, name)  OTHER(type, name)
#define IN_LABEL(type, name) OTHER(type, name)
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

#define PUT_TEXT(name)    out = put_text(out, row->name, MAX_##name);
#define PUT_INTEGER(name) out = put_int(out, row->name);
#define COMMON(type, name) PUT_##type(name)
#define OTHER(type, name)
static unsigned char *
encode_common(const struct sl_record_row *row, unsigned char *out)
{
#include "store/sqlite_columns.def"
	return out;
}
#undef COMMON
#undef OTHER

#define COMMON(type, name)
#define OTHER(type, name) PUT_##type(name)
static unsigned char *
encode_others(const struct sl_record_row *row, unsigned char *out)
{
	PUT_INTEGER(end_wall_ms)
#include "store/sqlite_columns.def"
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		out = put_int(out, row->usage[i]);
	return out;
}
#undef COMMON
#undef OTHER

/* As put_int would, in two bytes whatever it is. */
static void
put_length(unsigned char *out, size_t len)
{
	uint64_t raw = (uint64_t)len * 2 + 1;

	out[0] = (unsigned char)(raw | 0x80);
	out[1] = (unsigned char)(raw >> 7);
}

static size_t
get_length(const unsigned char *in)
{
	return ((size_t)(in[0] & 0x7f) | (size_t)in[1] << 7) / 2;
}

static size_t
encode(const struct sl_record_row *row, unsigned char *start)
{
	unsigned char *common = start + 4, *others = encode_common(row, common);
	uint16_t size;

	put_length(start + 2, (size_t)(others - common));
	size = (uint16_t)(encode_others(row, others) - start);
	memcpy(start, &size, sizeof(size));
	return size;
}

#define GET_TEXT(name)    in = get_text(in, &row->name);
#define GET_INTEGER(name) in = get_int(in, &row->name);
#define COMMON(type, name) GET_##type(name)
#define OTHER(type, name)
static void
decode_common(const unsigned char *in, struct sl_record_row *row)
{
#include "store/sqlite_columns.def"
}
#undef COMMON
#undef OTHER

#define COMMON(type, name)
#define OTHER(type, name) GET_##type(name)
static void
decode(const unsigned char *in, struct sl_record_row *row)
{
	struct sl_slice common = sl_slice_make(in + 4, get_length(in + 2));

	/* What it says, the row has from the one before. */
	if (!sl_slice_eq(row->common, common)) {
		decode_common(in + 4, row);
		row->common = common;
	}
	in += 4 + common.len;
	GET_INTEGER(end_wall_ms)
#include "store/sqlite_columns.def"
	/* Most are null. */
	for (int i = 0; i < SL_USAGE_COUNT; i++) {
		if (*in != 0) {
			in = get_int(in, &row->usage[i]);
			continue;
		}
		row->usage[i] = SL_RECORD_NULL;
		in++;
	}
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

#define AS_TEXT    true
#define AS_INTEGER false
#define LETTER_TEXT    "T"
#define LETTER_INTEGER "I"
#define COMMON(type, name) LETTER_##type #name " "
#define OTHER(type, name)
const char sl_row_columns[] = "Icommon "
#include "store/sqlite_columns.def"
#undef COMMON
#undef OTHER
#define COMMON(type, name)
#define OTHER(type, name) LETTER_##type #name " "
#define USAGE_COLUMN(id, name) "I" name " "
	"Iend_wall_ms "
#include "store/sqlite_columns.def"
	SL_USAGE_CLASSES(USAGE_COLUMN);
#undef COMMON
#undef OTHER
#undef USAGE_COLUMN

static const struct column {
	const char *name;
	size_t      offset; /* in the row */
	bool        is_text;
} row_columns[] = {
#define ROW_COLUMN(type, name) { #name, offsetof(struct sl_record_row, name), AS_##type },
#define COMMON(type, name) ROW_COLUMN(type, name)
#define OTHER(type, name)
#include "store/sqlite_columns.def"
#undef COMMON
#undef OTHER
#define COMMON(type, name)
#define OTHER(type, name) ROW_COLUMN(type, name)
#define USAGE_COLUMN(id, name) \
	{ name, offsetof(struct sl_record_row, usage) + SL_USAGE_##id * sizeof(int64_t), false },
	ROW_COLUMN(INTEGER, end_wall_ms)
#include "store/sqlite_columns.def"
	SL_USAGE_CLASSES(USAGE_COLUMN)
};
enum { ROW_COLUMNS = sizeof(row_columns) / sizeof(row_columns[0]) };

/* NULL: unknown. guess: where it stands if nothing has changed. */
static const struct column *
find_column(struct sl_slice word, size_t guess)
{
	struct sl_slice name = sl_slice_from(word, 1);
	bool is_text = word.ptr[0] == 'T';

	for (size_t i = 0; i < ROW_COLUMNS; i++) {
		const struct column *column = &row_columns[(guess + i) % ROW_COLUMNS];

		if (column->is_text == is_text && sl_slice_is(name, column->name))
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
read_column(const struct column *column, bool is_text, struct sl_slice *in,
            struct sl_record_row *row)
{
	const unsigned char *at = (const unsigned char *)in->ptr;
	char *out = column ? (char *)row + column->offset : NULL;
	struct sl_slice text;
	uint64_t raw;
	int64_t number;

	if (!read_varint(in, &raw) || (is_text && raw > in->len))
		return false;
	if (is_text) {
		text = sl_slice_upto(*in, (size_t)raw);
		*in = sl_slice_from(*in, text.len);
		if (out)
			memcpy(out, &text, sizeof(text));
		return true;
	}
	(void)get_int(at, &number);
	if (out)
		memcpy(out, &number, sizeof(number));
	return true;
}

size_t
sl_row_read(struct sl_slice columns, struct sl_slice bytes, struct sl_record_row *row)
{
	struct sl_slice rest;
	uint16_t size;

	if (bytes.len < sizeof(size))
		return 0;
	memcpy(&size, bytes.ptr, sizeof(size));
	if (size < sizeof(size) || size > bytes.len)
		return 0;
	rest = sl_slice_from(sl_slice_upto(bytes, size), sizeof(size));
	memset(row, 0, sizeof(*row));
	for (size_t i = 0; i < ROW_COLUMNS; i++)
		if (!row_columns[i].is_text)
			memcpy((char *)row + row_columns[i].offset, &(int64_t){ SL_RECORD_NULL },
			       sizeof(int64_t));
	for (size_t i = 0; columns.len > 0; i++) {
		struct sl_slice word = sl_slice_cut(&columns, ' ');

		/* The first word is no column: how long what is in common is. */
		if (word.len > 1 &&
		    !read_column(find_column(word, i > 0 ? i - 1 : 0), word.ptr[0] == 'T', &rest, row))
			return 0;
	}
	return rest.len == 0 ? size : 0;
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

bool
sl_row_push(struct sl_row_queue *queue, const struct sl_record_row *row)
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
	used += (unsigned)encode(row, (unsigned char *)chunk->bytes + used);
	atomic_store_explicit(&chunk->used, used, memory_order_release);
	atomic_store(&queue->pushed,
	             atomic_load_explicit(&queue->pushed, memory_order_relaxed) + 1);
	return true;
}

bool
sl_row_next(struct sl_row_queue *queue, struct sl_row_cursor *at, struct sl_record_row *row)
{
	uint16_t size;

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
	memcpy(&size, at->chunk->bytes + at->offset, sizeof(size));
	if (row)
		decode((const unsigned char *)at->chunk->bytes + at->offset, row);
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

/* sqlite_facts.h - what a stored row says of its request alone, as one JSON text: a column
 * of SQLite costs as much as twenty digits do, and most requests have nothing to say in
 * most columns. Private to the embedded store.
 *
 *   [owner, kind, milliseconds before the end, facts ..., input tokens, output tokens,
 *    {"tag":"x"}]
 *
 * Owner and kind are ids of what it has in common with others. Facts stand at the places of their lines in sqlite_columns.def, null where nothing is
 * known. The object has what is rare, by name; where there is nothing, it is left out.
 */
#ifndef SL_STORE_SQLITE_FACTS_H
#define SL_STORE_SQLITE_FACTS_H

#include "store/store.h"

/* Places in the array. */
enum {
	SL_FACT_OWNER,
	SL_FACT_KIND,
#define IN_ID(name)
#define IN_USER(name)
#define IN_HEX(name)
#define IN_BEGIN(name) SL_FACT_##name,
#define IN_FACT(name)  SL_FACT_##name,
#define IN_RARE(name)
#define IN_LABEL(name)
#define IN_OWNER(name)
#define IN_KIND(name)
#define SL_COLUMN(place, type, name) IN_##place(name)
#include "store/sqlite_columns.def"
#undef SL_COLUMN
#undef IN_ID
#undef IN_USER
#undef IN_HEX
#undef IN_BEGIN
#undef IN_FACT
#undef IN_RARE
#undef IN_LABEL
#undef IN_OWNER
#undef IN_KIND
	SL_FACT_INPUT,
	SL_FACT_OUTPUT,
	SL_FACT_RARE,
};

/* So many places later than in record_asks, of the version before. */
enum { SL_FACTS_MOVED = SL_FACT_KIND + 1 };

/* All texts escaped, and numbers with their names. */
enum {
	SL_FACTS_MAX_SIZE = 64 * SL_USAGE_COUNT
#define SL_RECORD_TEXT(name, max_size) + 6 * (max_size) + 32
#define SL_RECORD_INT(name)            + 64
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
	,
};

/* out: SL_FACTS_MAX_SIZE bytes. Returns how many are written. Texts beyond their columns'
 * sizes are cut. */
size_t sl_sqlite_facts(const struct sl_record_row *row, int64_t end_wall_ms, int64_t owner,
                       int64_t kind, char *out);

/* Two lower-case digits in each byte of out. False: text is not 2 * size of them. size is a
 * multiple of 4. */
bool sl_sqlite_pack_hex(struct sl_slice text, unsigned char *out, size_t size);

#endif

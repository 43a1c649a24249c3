/* sqlite_records.c - a batch of records in one statement.
 *
 * The rows of a batch are read by SQLite as a virtual table, `incoming`, with the columns
 * of records: INSERT ... SELECT takes them all with one execution, whose cursors stay at
 * the right edge of table and index, and nothing is bound. Row by row, with the columns
 * that differ bound anew, it was twice as much work.
 *
 *   source --advance--> row, has_row --column by column--> records
 *                        '--> sums --when all are in, or there is no room--> hours
 *
 * An id is taken only when the clock was set back to a time of an earlier run, and then
 * hardly ever: the batch fails, and is tried again with other ids.
 */
#include "store/sqlite_records.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/rand.h"

#define WALL_MAX_MS ((int64_t)1 << 42) /* the year 2109 */

static const char insert_sql[] = "INSERT INTO records(id"
#define SL_RECORD_TEXT(name, max_size) ", " #name
#define SL_RECORD_INT(name)            ", " #name
#define USAGE_COLUMN(id, name)         ", " name
#include "store/records.def"
    SL_USAGE_CLASSES(USAGE_COLUMN)
    ") SELECT id"
#include "store/records.def"
    SL_USAGE_CLASSES(USAGE_COLUMN)
    " FROM incoming";

static const char incoming_sql[] = "CREATE TABLE incoming(id"
#include "store/records.def"
    SL_USAGE_CLASSES(USAGE_COLUMN)
    ")";
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
#undef USAGE_COLUMN

static const char sum_sql[] =
    "INSERT INTO hours(hour, key_id, team, workspace, model, provider, tag, requests,"
    " input_tokens, output_tokens, cost_nanousd, unpriced_requests)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
    " ON CONFLICT DO UPDATE SET requests = requests + excluded.requests,"
    " input_tokens = input_tokens + excluded.input_tokens,"
    " output_tokens = output_tokens + excluded.output_tokens,"
    " cost_nanousd = cost_nanousd + excluded.cost_nanousd,"
    " unpriced_requests = unpriced_requests + excluded.unpriced_requests";

#define STATEMENTS(X)                                                                  \
	X(INSERT, insert_sql)                                                          \
	X(SUM, sum_sql)

enum statement {
#define STATEMENT_ENUM(id, sql) STATEMENT_##id,
	STATEMENTS(STATEMENT_ENUM)
#undef STATEMENT_ENUM
};

static const char *const statement_sql[] = {
#define STATEMENT_SQL(id, sql) sql,
	STATEMENTS(STATEMENT_SQL)
#undef STATEMENT_SQL
};

/* Where the columns behind the id are in a row. */
static const struct {
	uint16_t offset;
	bool     text;
} columns[] = {
#define SL_RECORD_TEXT(name, max_size) { offsetof(struct sl_record_row, name), true },
#define SL_RECORD_INT(name)            { offsetof(struct sl_record_row, name), false },
#define USAGE_COLUMN(id, name)                                                         \
	{ offsetof(struct sl_record_row, usage) + sizeof(int64_t) * SL_USAGE_##id, false },
#include "store/records.def"
	SL_USAGE_CLASSES(USAGE_COLUMN)
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
#undef USAGE_COLUMN
};

/* --- sums --------------------------------------------------------------------------- */

static int64_t
known(int64_t number)
{
	return number == SL_RECORD_NULL ? 0 : number;
}

int64_t
sl_sqlite_clamp_wall_ms(int64_t wall_ms)
{
	if (wall_ms < 0)
		return 0;
	return wall_ms < WALL_MAX_MS ? wall_ms : WALL_MAX_MS;
}

static void
clear_sums(struct sl_sqlite_records *records)
{
	while (records->sum_count > 0)
		records->sums[records->used[--records->sum_count]].used = false;
}

static enum sl_err
write_sums(struct sl_sqlite_records *records)
{
	sqlite3_stmt *stmt = sl_sqlite_statement(records->part, statement_sql, STATEMENT_SUM);
	enum sl_err err = stmt ? SL_OK : sl_sqlite_unprepared(records->part);

	for (size_t i = 0; i < records->sum_count && err == SL_OK; i++) {
		const struct sl_sqlite_sum *sum = &records->sums[records->used[i]];
		int at = 1;

		sqlite3_bind_int64(stmt, at++, sum->hour);
		for (int k = 0; k < SL_SPEND_GROUPS; k++)
			sl_sqlite_bind_text(stmt, at++, sum->name[k]);
		sqlite3_bind_int64(stmt, at++, sum->requests);
		sqlite3_bind_int64(stmt, at++, sum->input_tokens);
		sqlite3_bind_int64(stmt, at++, sum->output_tokens);
		sqlite3_bind_int64(stmt, at++, sum->cost_nanousd);
		sqlite3_bind_int64(stmt, at++, sum->unpriced);
		err = sl_sqlite_run_once(stmt);
	}
	clear_sums(records);
	return err;
}

static uint64_t
hash_text(uint64_t hash, struct sl_slice text)
{
	uint64_t word;
	size_t i = 0;

	for (; i + sizeof(word) <= text.len; i += sizeof(word)) {
		memcpy(&word, text.ptr + i, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 32;
	}
	for (; i < text.len; i++)
		hash = (hash ^ (unsigned char)text.ptr[i]) * 0x100000001b3u;
	return (hash ^ 0xff) * 0x100000001b3u; /* where one ends and the next begins */
}

static bool
is_sum(const struct sl_sqlite_sum *sum, int64_t hour, const struct sl_slice *name)
{
	if (sum->hour != hour)
		return false;
	for (int i = 0; i < SL_SPEND_GROUPS; i++)
		if (!sl_slice_eq(sum->name[i], name[i]))
			return false;
	return true;
}

static struct sl_sqlite_sum *
find_sum(struct sl_sqlite_records *records, int64_t hour, const struct sl_slice *name)
{
	uint64_t hash = (uint64_t)hour * 0x9e3779b97f4a7c15u;
	struct sl_sqlite_sum *sum;

	for (int i = 0; i < SL_SPEND_GROUPS; i++)
		hash = hash_text(hash, name[i]);
	hash ^= hash >> 32;
	for (;; hash++) {
		sum = &records->sums[hash % SL_SQLITE_SUMS];
		if (!sum->used)
			break;
		if (is_sum(sum, hour, name))
			return sum;
	}
	*sum = (struct sl_sqlite_sum){ .used = true, .hour = hour };
	memcpy(sum->name, name, sizeof(sum->name));
	records->used[records->sum_count++] = (uint16_t)(hash % SL_SQLITE_SUMS);
	return sum;
}

static void
add_to_sums(struct sl_sqlite_records *records, const struct sl_record_row *row)
{
	const struct sl_slice name[SL_SPEND_GROUPS] = {
		[SL_SPEND_KEY] = row->key_id,
		[SL_SPEND_TEAM] = row->team,
		[SL_SPEND_WORKSPACE] = row->workspace,
		[SL_SPEND_MODEL] = row->model_served,
		[SL_SPEND_PROVIDER] = row->provider,
		[SL_SPEND_TAG] = row->tag,
	};
	struct sl_sqlite_sum *sum;

	/* What was refused here, or only read something, was no request to a model. */
	if (known(row->attempts) == 0 && known(row->cached) == 0)
		return;
	sum = find_sum(records, sl_sqlite_clamp_wall_ms(row->end_wall_ms) / SL_SQLITE_HOUR_MS,
	               name);
	sum->requests++;
	sum->input_tokens += known(row->usage[SL_USAGE_INPUT]);
	sum->output_tokens += known(row->usage[SL_USAGE_OUTPUT]);
	sum->cost_nanousd += known(row->cost_nanousd);
	sum->unpriced += known(row->unpriced);
}

/* --- the virtual table ---------------------------------------------------------------- */

struct incoming {
	sqlite3_vtab              base;
	struct sl_sqlite_records *records;
};

/* To the next row, if there is one. */
static void
advance(struct sl_sqlite_records *records)
{
	uint64_t seq;

	records->has_row = records->source->next(records->source, &records->row);
	if (!records->has_row)
		return;
	seq = records->seq++ & ((1u << SL_SQLITE_ID_SHIFT) - 1);
	records->row_id = sl_sqlite_clamp_wall_ms(records->row.end_wall_ms) << SL_SQLITE_ID_SHIFT |
	                  (int64_t)seq;
}

/* Probing needs free places: then the statement ends, and the next one goes on. */
static bool
has_room(const struct sl_sqlite_records *records)
{
	return records->sum_count < SL_SQLITE_SUMS * 3 / 4;
}

static int
incoming_connect(sqlite3 *db, void *context, int argc, const char *const *argv,
                 sqlite3_vtab **out, char **problem)
{
	struct incoming *incoming = sqlite3_malloc(sizeof(*incoming));

	(void)argc;
	(void)argv;
	(void)problem;
	if (!incoming)
		return SQLITE_NOMEM;
	*incoming = (struct incoming){ .records = context };
	*out = &incoming->base;
	return sqlite3_declare_vtab(db, incoming_sql);
}

static int
incoming_disconnect(sqlite3_vtab *table)
{
	sqlite3_free(SL_CONTAINER(table, struct incoming, base));
	return SQLITE_OK;
}

/* All rows, in their order. */
static int
incoming_best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
	(void)table;
	info->estimatedCost = 1;
	return SQLITE_OK;
}

static int
incoming_open(sqlite3_vtab *table, sqlite3_vtab_cursor **cursor)
{
	(void)table;
	*cursor = sqlite3_malloc(sizeof(**cursor));
	if (!*cursor)
		return SQLITE_NOMEM;
	memset(*cursor, 0, sizeof(**cursor));
	return SQLITE_OK;
}

static int
incoming_close(sqlite3_vtab_cursor *cursor)
{
	sqlite3_free(cursor);
	return SQLITE_OK;
}

static struct sl_sqlite_records *
records_of(sqlite3_vtab_cursor *cursor)
{
	return SL_CONTAINER(cursor->pVtab, struct incoming, base)->records;
}

/* The row that the statement before left is the first. */
static int
incoming_filter(sqlite3_vtab_cursor *cursor, int number, const char *name, int argc,
                sqlite3_value **argv)
{
	(void)cursor;
	(void)number;
	(void)name;
	(void)argc;
	(void)argv;
	return SQLITE_OK;
}

static int
incoming_next(sqlite3_vtab_cursor *cursor)
{
	struct sl_sqlite_records *records = records_of(cursor);

	add_to_sums(records, &records->row);
	advance(records);
	return SQLITE_OK;
}

static int
incoming_eof(sqlite3_vtab_cursor *cursor)
{
	const struct sl_sqlite_records *records = records_of(cursor);

	return !records->has_row || !has_room(records);
}

/* A column of which nothing is said is NULL. */
static int
incoming_column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int at)
{
	const struct sl_sqlite_records *records = records_of(cursor);
	const char *member;

	if (at == 0) {
		sqlite3_result_int64(context, records->row_id);
		return SQLITE_OK;
	}
	member = (const char *)&records->row + columns[at - 1].offset;
	if (columns[at - 1].text) {
		const struct sl_slice *text = (const void *)member;

		/* It stays where it is until the last row of the source. */
		if (text->len)
			sqlite3_result_text(context, text->ptr, (int)text->len, SQLITE_STATIC);
	} else {
		const int64_t *number = (const void *)member;

		if (*number != SL_RECORD_NULL)
			sqlite3_result_int64(context, *number);
	}
	return SQLITE_OK;
}

static int
incoming_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *id)
{
	*id = records_of(cursor)->row_id;
	return SQLITE_OK;
}

static const sqlite3_module incoming_module = {
	.iVersion = 1,
	.xConnect = incoming_connect, /* and no xCreate: nobody makes another */
	.xBestIndex = incoming_best_index,
	.xDisconnect = incoming_disconnect,
	.xDestroy = incoming_disconnect,
	.xOpen = incoming_open,
	.xClose = incoming_close,
	.xFilter = incoming_filter,
	.xNext = incoming_next,
	.xEof = incoming_eof,
	.xColumn = incoming_column,
	.xRowid = incoming_rowid,
};

/* --- batches -------------------------------------------------------------------------- */

int
sl_sqlite_records_open(struct sl_sqlite_records *records, struct sl_sqlite_part *part)
{
	records->part = part;
	records->seq = sl_rand_u64();
	return sqlite3_create_module(part->db, "incoming", &incoming_module, records);
}

void
sl_sqlite_records_release(struct sl_sqlite_records *records)
{
	free(records->sums);
}

enum sl_err
sl_sqlite_records_append(struct sl_sqlite_records *records, struct sl_record_source *source)
{
	sqlite3_stmt *stmt = sl_sqlite_statement(records->part, statement_sql, STATEMENT_INSERT);
	enum sl_err err = SL_OK;

	if (!stmt)
		return sl_sqlite_unprepared(records->part);
	if (!records->sums)
		records->sums = calloc(SL_SQLITE_SUMS, sizeof(*records->sums));
	if (!records->sums)
		return SL_ENOMEM;
	records->source = source;
	advance(records);
	while (err == SL_OK && records->has_row) {
		err = sl_sqlite_run_once(stmt);
		if (err == SL_OK)
			err = write_sums(records);
	}
	clear_sums(records);
	if (err == SL_EEXIST)
		records->seq = sl_rand_u64();
	return err;
}

/* sqlite_records.c - a batch of records in one statement.
 *
 * The rows of a batch are read by SQLite as a virtual table, `incoming`, with the columns
 * of record_lines: INSERT ... SELECT takes them all with one execution, whose cursors stay at
 * the right edge of table and index, and nothing is bound. A row whose id may be the one
 * behind the last gets it from SQLite, which need not look for its place then. Row by row
 * it was twice as much work, and with all columns in each row twice as much again: what many
 * requests have in common (sqlite_columns.def) is written once, to record_owners and
 * record_kinds, and rows name it. What this process wrote there last it remembers; it reads
 * none of it, so terms may stand there more than once.
 *
 *   source --advance--> row --owner and kind known--> record_lines
 *                        |   '--not: the statement ends, they get theirs, the next goes on
 *                        '--> sums --when all are in, or there is no room--> hours
 *
 * An id is taken only when the clock was set back to a time of an earlier run, and then
 * hardly ever: the batch fails, and is tried again with other ids.
 */
#include "store/sqlite_records.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/compiler.h"
#include "base/rand.h"
#include "store/sqlite_facts.h"
#include "store/sqlite_request.h"

#define WALL_MAX_MS ((int64_t)1 << 42) /* the year 2109 */

static const char insert_sql[] =
    "INSERT INTO record_lines(id, request, trace, facts)"
    " SELECT id, request, trace, facts FROM incoming";
static const char incoming_sql[] = "CREATE TABLE incoming(id, request, trace, facts)";

#define IN_ID(text)
#define IN_USER(text)
#define IN_HEX(text)
#define IN_BEGIN(text)
#define IN_FACT(text)
#define IN_RARE(text)
#define IN_LABEL(text)
#define IN_OWNER(text) text
#define IN_KIND(text)
#define SL_COLUMN(place, type, name) IN_##place(", " #name)
static const char owner_sql[] = "INSERT INTO record_owners(id"
#include "store/sqlite_columns.def"
    ") VALUES (NULL"
#undef SL_COLUMN
#define SL_COLUMN(place, type, name) IN_##place(", ?")
#include "store/sqlite_columns.def"
    ")";
#undef SL_COLUMN
#undef IN_OWNER
#undef IN_KIND
#define IN_OWNER(text)
#define IN_KIND(text) text
#define SL_COLUMN(place, type, name) IN_##place(", " #name)
static const char kind_sql[] = "INSERT INTO record_kinds(id"
#include "store/sqlite_columns.def"
    ") VALUES (NULL"
#undef SL_COLUMN
#define SL_COLUMN(place, type, name) IN_##place(", ?")
#include "store/sqlite_columns.def"
    ")";
#undef SL_COLUMN
#undef IN_OWNER
#undef IN_KIND

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
	X(LAST, "SELECT id FROM record_lines ORDER BY id DESC LIMIT 1")                   \
	X(OWNER, owner_sql)                                                            \
	X(KIND, kind_sql)                                                              \
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

/* Columns of incoming. */
enum { AT_ID, AT_REQUEST, AT_TRACE, AT_FACTS };

/* All of records.def but end_wall_ms have a place. */
#define SL_COLUMN(place, type, name)   +1
#define SL_RECORD_TEXT(name, max_size) +1
#define SL_RECORD_INT(name)            +1
_Static_assert(1
#include "store/sqlite_columns.def"
    == 0
#include "store/records.def"
    , "each column of records.def has a line in sqlite_columns.def");
#undef SL_COLUMN
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT

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
	records->sum = NULL;
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
	int64_t hour = sl_sqlite_clamp_wall_ms(row->end_wall_ms) / SL_SQLITE_HOUR_MS;
	struct sl_sqlite_sum *sum = records->sum;

	/* What was refused here, or only read something, was no request to a model. */
	if (known(row->attempts) == 0 && known(row->cached) == 0)
		return;
	if (!sum || !row->common.ptr || records->sum_common != row->common.ptr || sum->hour != hour ||
	    !sl_slice_eq(sum->name[SL_SPEND_TAG], row->tag))
		sum = find_sum(records, hour, name);
	records->sum = sum;
	records->sum_common = row->common.ptr;
	sum->requests++;
	sum->input_tokens += known(row->usage[SL_USAGE_INPUT]);
	sum->output_tokens += known(row->usage[SL_USAGE_OUTPUT]);
	sum->cost_nanousd += known(row->cost_nanousd);
	sum->unpriced += known(row->unpriced);
}

/* --- owners and kinds -------------------------------------------------------------------- */

enum { KEY_MAX_SIZE = 4096 };

/* The columns that make a term, one after the other. */
struct key {
	size_t size; /* over KEY_MAX_SIZE: it did not fit, and is not remembered */
	char   bytes[KEY_MAX_SIZE];
};

static void
put_bytes(struct key *key, const void *bytes, size_t size)
{
	if (size <= KEY_MAX_SIZE && key->size <= KEY_MAX_SIZE - size)
		memcpy(key->bytes + key->size, bytes, size);
	key->size += size;
}

static void
put_TEXT(struct key *key, struct sl_slice text)
{
	uint16_t size = (uint16_t)text.len;

	put_bytes(key, &size, sizeof(size));
	if (text.len)
		put_bytes(key, text.ptr, text.len);
}

static void
put_INTEGER(struct key *key, int64_t number)
{
	put_bytes(key, &number, sizeof(number));
}

static void
bind_TEXT(sqlite3_stmt *stmt, int at, struct sl_slice text)
{
	if (text.len)
		sl_sqlite_bind_text(stmt, at, text);
	else
		sqlite3_bind_null(stmt, at);
}

static void
bind_INTEGER(sqlite3_stmt *stmt, int at, int64_t number)
{
	if (number != SL_RECORD_NULL)
		sqlite3_bind_int64(stmt, at, number);
	else
		sqlite3_bind_null(stmt, at);
}

#define IN_OWNER(code) code
#define IN_KIND(code)
static void
owner_key(const struct sl_record_row *row, struct key *key)
{
#define SL_COLUMN(place, type, name) IN_##place(put_##type(key, row->name);)
#include "store/sqlite_columns.def"
#undef SL_COLUMN
}

static void
bind_owner(sqlite3_stmt *stmt, const struct sl_record_row *row)
{
	int at = 1;

#define SL_COLUMN(place, type, name) IN_##place(bind_##type(stmt, at++, row->name);)
#include "store/sqlite_columns.def"
#undef SL_COLUMN
}
#undef IN_OWNER
#undef IN_KIND

#define IN_OWNER(code)
#define IN_KIND(code) code
static void
kind_key(const struct sl_record_row *row, struct key *key)
{
#define SL_COLUMN(place, type, name) IN_##place(put_##type(key, row->name);)
#include "store/sqlite_columns.def"
#undef SL_COLUMN
}

static void
bind_kind(sqlite3_stmt *stmt, const struct sl_record_row *row)
{
	int at = 1;

#define SL_COLUMN(place, type, name) IN_##place(bind_##type(stmt, at++, row->name);)
#include "store/sqlite_columns.def"
#undef SL_COLUMN
}
#undef IN_ID
#undef IN_USER
#undef IN_HEX
#undef IN_BEGIN
#undef IN_FACT
#undef IN_RARE
#undef IN_LABEL
#undef IN_OWNER
#undef IN_KIND

static struct sl_sqlite_term *
slot_of(struct sl_sqlite_term *terms, const struct key *key, uint64_t *hash)
{
	*hash = hash_text(0, sl_slice_make(key->bytes, key->size));
	return &terms[(*hash ^ *hash >> 32) % SL_SQLITE_TERMS];
}

/* 0: nobody remembers it. */
static int64_t
find_term(struct sl_sqlite_term *terms, const struct key *key)
{
	const struct sl_sqlite_term *slot;
	uint64_t hash;

	if (key->size > KEY_MAX_SIZE)
		return 0;
	slot = slot_of(terms, key, &hash);
	return slot->key && slot->hash == hash && slot->size == key->size &&
	               memcmp(slot->key, key->bytes, key->size) == 0
	           ? slot->id
	           : 0;
}

/* Instead of what hashes alike. Without memory it is written again the next time. */
static void
remember(struct sl_sqlite_term *terms, const struct key *key, int64_t id)
{
	struct sl_sqlite_term *slot;
	uint64_t hash;

	if (key->size > KEY_MAX_SIZE)
		return;
	slot = slot_of(terms, key, &hash);
	free(slot->key);
	*slot = (struct sl_sqlite_term){ id, hash, malloc(key->size), key->size };
	if (slot->key)
		memcpy(slot->key, key->bytes, key->size);
}

static void
forget_terms(struct sl_sqlite_term *terms)
{
	for (size_t i = 0; terms && i < SL_SQLITE_TERMS; i++) {
		free(terms[i].key);
		terms[i].key = NULL;
	}
}

void
sl_sqlite_records_forget(struct sl_sqlite_records *records)
{
	forget_terms(records->owners);
	forget_terms(records->kinds);
}

static void
look_up(struct sl_sqlite_records *records)
{
	SL_UNINIT struct key key; /* up to its size */

	/* As the row before. */
	if (records->known && records->row.common.ptr &&
	    records->row.common.ptr == records->known_common)
		return;
	records->known_common = records->row.common.ptr;
	key.size = 0;
	owner_key(&records->row, &key);
	records->owner = find_term(records->owners, &key);
	key.size = 0;
	kind_key(&records->row, &key);
	records->kind = find_term(records->kinds, &key);
	records->known = records->owner && records->kind;
}

/* Writes what the store does not have of the row's. */
static enum sl_err
make_known(struct sl_sqlite_records *records)
{
	SL_UNINIT struct key key;
	sqlite3_stmt *owner = sl_sqlite_statement(records->part, statement_sql, STATEMENT_OWNER);
	sqlite3_stmt *kind = sl_sqlite_statement(records->part, statement_sql, STATEMENT_KIND);
	enum sl_err err = SL_OK;

	if (!owner || !kind)
		return sl_sqlite_unprepared(records->part);
	if (!records->owner) {
		key.size = 0;
		owner_key(&records->row, &key);
		bind_owner(owner, &records->row);
		err = sl_sqlite_run_once(owner);
		records->owner = sqlite3_last_insert_rowid(records->part->db);
		if (err == SL_OK)
			remember(records->owners, &key, records->owner);
	}
	if (err == SL_OK && !records->kind) {
		key.size = 0;
		kind_key(&records->row, &key);
		bind_kind(kind, &records->row);
		err = sl_sqlite_run_once(kind);
		records->kind = sqlite3_last_insert_rowid(records->part->db);
		if (err == SL_OK)
			remember(records->kinds, &key, records->kind);
	}
	records->known = true;
	return err;
}

/* --- the virtual table ---------------------------------------------------------------- */

struct incoming {
	sqlite3_vtab              base;
	struct sl_sqlite_records *records;
};

/* Of the same millisecond as the last id: the one behind it will do. It is never above
 * the row's own, so that those to come are free. */
static void
choose_id(struct sl_sqlite_records *records)
{
	int64_t next = records->last_id + 1;

	records->id_is_next = next >> SL_SQLITE_ID_SHIFT == records->row_id >> SL_SQLITE_ID_SHIFT &&
	                      next <= records->row_id;
	if (records->id_is_next)
		records->row_id = next;
	if (records->row_id > records->last_id)
		records->last_id = records->row_id;
}

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
	choose_id(records);
	records->trace_is_hex = sl_sqlite_pack_hex(records->row.trace_id, records->trace,
	                                           sizeof(records->trace));
	look_up(records);
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

	return !records->has_row || !records->known || !has_room(records);
}

/* What is empty is NULL, as all of which nothing is said. */
static void
say_text(sqlite3_context *context, const char *text, size_t size)
{
	/* It stays as it is until the row is in. */
	if (size > 0)
		sqlite3_result_text(context, text, (int)size, SQLITE_STATIC);
}

static void
say_request(sqlite3_context *context, const struct sl_sqlite_records *records)
{
	struct sl_slice id = records->row.request_id, key;

	if (records->trace_is_hex &&
	    sl_sqlite_request_is_near(id, records->row.begin_wall_ms,
	                              records->row_id >> SL_SQLITE_ID_SHIFT, &key))
		sqlite3_result_blob(context, key.ptr, (int)key.len, SQLITE_STATIC);
	else
		say_text(context, id.ptr, id.len);
}

static int
incoming_column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int at)
{
	const struct sl_sqlite_records *records = records_of(cursor);
	const struct sl_record_row *row = &records->row;

	switch (at) {
	case AT_ID:
		if (!records->id_is_next)
			sqlite3_result_int64(context, records->row_id);
		break;
	case AT_REQUEST:
		say_request(context, records);
		break;
	case AT_TRACE:
		if (records->trace_is_hex)
			sqlite3_result_blob(context, records->trace, sizeof(records->trace),
			                    SQLITE_STATIC);
		else
			say_text(context, row->trace_id.ptr, row->trace_id.len);
		break;
	case AT_FACTS:
		say_text(context, records->facts,
		         sl_sqlite_facts(row, records->row_id >> SL_SQLITE_ID_SHIFT, records->owner,
		                         records->kind, records->facts));
		break;
	default:
		break;
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
	sl_sqlite_records_forget(records);
	free(records->owners);
	free(records->kinds);
	free(records->sums);
	free(records->facts);
}

/* At the first batch: a gateway that serves nobody yet needs none of it. */
static bool
get_memory(struct sl_sqlite_records *records)
{
	if (!records->sums)
		records->sums = calloc(SL_SQLITE_SUMS, sizeof(*records->sums));
	if (!records->owners)
		records->owners = calloc(SL_SQLITE_TERMS, sizeof(*records->owners));
	if (!records->kinds)
		records->kinds = calloc(SL_SQLITE_TERMS, sizeof(*records->kinds));
	if (!records->facts)
		records->facts = malloc(SL_FACTS_MAX_SIZE);
	return records->sums && records->owners && records->kinds && records->facts;
}

static enum sl_err
find_last(struct sl_sqlite_records *records)
{
	sqlite3_stmt *stmt = sl_sqlite_statement(records->part, statement_sql, STATEMENT_LAST);
	int rc;

	if (!stmt)
		return sl_sqlite_unprepared(records->part);
	rc = sqlite3_step(stmt);
	/* Without a row, the first one's id would be 1. */
	records->last_id = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_reset(stmt);
	return sl_sqlite_error(rc);
}

enum sl_err
sl_sqlite_records_append(struct sl_sqlite_records *records, struct sl_record_source *source)
{
	sqlite3_stmt *stmt = sl_sqlite_statement(records->part, statement_sql, STATEMENT_INSERT);
	enum sl_err err = stmt ? find_last(records) : sl_sqlite_unprepared(records->part);

	if (err != SL_OK)
		return err;
	if (!get_memory(records))
		return SL_ENOMEM;
	records->source = source;
	memset(&records->row, 0, sizeof(records->row));
	records->known = false;
	advance(records);
	while (err == SL_OK && records->has_row) {
		if (!records->known)
			err = make_known(records);
		if (err == SL_OK)
			err = sl_sqlite_run_once(stmt);
		if (err == SL_OK && (!records->has_row || !has_room(records)))
			err = write_sums(records);
	}
	clear_sums(records);
	if (err != SL_OK)
		sl_sqlite_records_forget(records);
	if (err == SL_EEXIST)
		records->seq = sl_rand_u64();
	return err;
}

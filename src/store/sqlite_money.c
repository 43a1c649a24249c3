/* sqlite_money.c - the ledger's tables.
 *
 * money_owners    numbered scopes, with how far their lease reaches
 * money_books     accounts of the double entry: balance and end of the hash chain
 * money_entries   immutable; triggers refuse UPDATE and DELETE
 * money_attempts  one row per upstream try; the id sorts by time, so rows go to the
 *                 right edge; an open one is found by a partial index
 * money_spent     sums by owner, window and period, for budgets
 * money_credits   external ids of top-ups and corrections, each once
 * money_vouchers  by digest of the code
 */
#include "store/sqlite_internal.h"

#include <string.h>

#define ATTEMPT_COLUMNS                                                                  \
	"id, request, attempt_no, price_version, state, policy, usage_source, prepaid,"  \
	" scopes, held, progress, charged, overrun, input_tokens, output_tokens,"        \
	" begin_wall_ms, end_wall_ms, target"

#define STATEMENTS(X)                                                                    \
	X(OWNER_PUT, "INSERT INTO money_owners VALUES (?1, ?2, ?3, ?4) ON CONFLICT(number)"\
	             " DO NOTHING")                                                       \
	X(LEASE_PUT, "UPDATE money_owners SET lease_mark = max(lease_mark, ?2) WHERE number = ?1")\
	X(OWNER_EACH, "SELECT number, kind, name, lease_mark FROM money_owners ORDER BY number")\
	X(OWNER_GET, "SELECT number, kind, name, lease_mark FROM money_owners WHERE number = ?1")\
	X(BOOK_GET, "SELECT book, balance, entries, chain FROM money_books WHERE book = ?1")\
	X(BOOK_PUT, "INSERT INTO money_books VALUES (?1, ?2, ?3, ?4) ON CONFLICT(book) DO" \
	            " UPDATE SET balance = excluded.balance, entries = excluded.entries," \
	            " chain = excluded.chain")                                            \
	X(BOOK_EACH, "SELECT book, balance, entries, chain FROM money_books ORDER BY book")\
	X(ENTRY_ADD, "INSERT INTO money_entries(event, book, amount, balance, wall_ms, kind,"\
	             " reference, chain) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")        \
	X(ENTRY_ALL, "SELECT id, event, book, amount, balance, wall_ms, kind, reference,"  \
	             " chain FROM money_entries ORDER BY id")                             \
	X(ENTRY_BOOK, "SELECT id, event, book, amount, balance, wall_ms, kind, reference," \
	              " chain FROM money_entries WHERE book = ?1 AND wall_ms >= ?2 ORDER BY id")\
	X(ATTEMPT_ADD, "INSERT INTO money_attempts(" ATTEMPT_COLUMNS ") VALUES (?1, ?2, ?3,"\
	               " ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)")\
	X(ATTEMPT_UPDATE, "UPDATE money_attempts SET state = ?2, progress = ?3, charged = ?4,"\
	                  " overrun = ?5, usage_source = ?6, input_tokens = ?7,"          \
	                  " output_tokens = ?8, end_wall_ms = ?9, held = ?10"             \
	                  " WHERE id = ?1 AND state < 2")                                 \
	X(ATTEMPT_ALL, "SELECT " ATTEMPT_COLUMNS " FROM money_attempts ORDER BY id")       \
	X(ATTEMPT_OPEN, "SELECT " ATTEMPT_COLUMNS " FROM money_attempts WHERE state < 2"   \
	                " ORDER BY id")                                                   \
	X(ATTEMPT_OF, "SELECT " ATTEMPT_COLUMNS " FROM money_attempts WHERE id >= ?2"       \
	              " AND id < ?3 AND request = ?1 ORDER BY attempt_no")                \
	X(SPENT_ADD, "INSERT INTO money_spent VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE"\
	             " SET amount = amount + excluded.amount")                            \
	X(SPENT_EACH, "SELECT owner, win, period, amount FROM money_spent"                 \
	              " ORDER BY owner, win, period")                                     \
	X(CREDIT_ADD, "INSERT INTO money_credits VALUES (?1, ?2, ?3, ?4)")                 \
	X(CREDIT_SAME, "SELECT 1 FROM money_credits WHERE external_id = ?1 AND owner = ?2" \
	               " AND amount = ?3")                                                \
	X(VOUCHER_ADD, "INSERT INTO money_vouchers VALUES (?1, ?2, 0, ?3)")                \
	X(VOUCHER_GET, "SELECT amount, used_by, expires_wall_ms FROM money_vouchers"       \
	               " WHERE code_digest = ?1")                                         \
	X(VOUCHER_USE, "UPDATE money_vouchers SET used_by = ?2 WHERE code_digest = ?1"     \
	               " AND used_by = 0")                                                \
	X(CLAIM_PUT, "INSERT OR REPLACE INTO claims VALUES (?1, ?2, ?3, ?4, ?5)")          \
	X(CLAIM_DROP, "DELETE FROM claims WHERE name = ?1 AND request = ?2")               \
	X(CLAIM_EACH, "SELECT name, digest, request, expires_wall_ms, charged FROM claims")\
	X(CLAIM_TRIM, "DELETE FROM claims WHERE expires_wall_ms <= ?1")                    \
	X(EVENT_NEXT, "SELECT ifnull(max(id), 0) + 1 FROM money_entries")

enum statement {
#define STATEMENT_ENUM(id, sql) STATEMENT_##id,
	STATEMENTS(STATEMENT_ENUM)
#undef STATEMENT_ENUM
	STATEMENT_COUNT,
};
_Static_assert((int)STATEMENT_COUNT <= (int)SL_SQLITE_STATEMENTS_MAX, "room for statements");

static const char *const statement_sql[STATEMENT_COUNT] = {
#define STATEMENT_SQL(id, sql) sql,
	STATEMENTS(STATEMENT_SQL)
#undef STATEMENT_SQL
};

static sqlite3_stmt *
statement(void *conn, enum statement which)
{
	return sl_sqlite_statement(sl_sqlite_part(conn, SL_SQLITE_MONEY), statement_sql, which);
}

static enum sl_err
unprepared(void *conn)
{
	return sl_sqlite_unprepared(sl_sqlite_part(conn, SL_SQLITE_MONEY));
}

/* False: the row is damaged. */
static bool
column_bytes(sqlite3_stmt *stmt, int at, void *out, size_t size)
{
	struct sl_slice bytes = sl_sqlite_column(stmt, at);

	if (bytes.len != size)
		return false;
	memcpy(out, bytes.ptr, size);
	return true;
}

/* Walks a prepared statement; each turns the row and says whether to go on. */
#define EACH_ROW(stmt, rc, decode, call)                                               \
	do {                                                                           \
		while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {                      \
			if (!(decode)) {                                               \
				rc = SQLITE_CORRUPT;                                   \
				break;                                                 \
			}                                                              \
			if (!(call)) {                                                 \
				rc = SQLITE_DONE;                                      \
				break;                                                 \
			}                                                              \
		}                                                                      \
		sqlite3_reset(stmt);                                                   \
	} while (0)

/* --- owners and books ------------------------------------------------------------- */

static enum sl_err
owner_put(void *conn, const struct sl_money_owner_row *row)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_OWNER_PUT);

	if (!stmt)
		return unprepared(conn);
	sqlite3_bind_int64(stmt, 1, row->number);
	sqlite3_bind_int64(stmt, 2, row->kind);
	sl_sqlite_bind_text(stmt, 3, row->name);
	sqlite3_bind_int64(stmt, 4, row->lease_mark);
	return sl_sqlite_run_once(stmt);
}

static enum sl_err
lease_put(void *conn, uint32_t number, int64_t mark)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_LEASE_PUT);

	if (!stmt)
		return unprepared(conn);
	sqlite3_bind_int64(stmt, 1, number);
	sqlite3_bind_int64(stmt, 2, mark);
	return sl_sqlite_run_once(stmt);
}

static bool
owner_row(sqlite3_stmt *stmt, struct sl_money_owner_row *row)
{
	row->number = (uint32_t)sqlite3_column_int64(stmt, 0);
	row->kind = (uint8_t)sqlite3_column_int64(stmt, 1);
	row->name = sl_sqlite_column(stmt, 2);
	row->lease_mark = sqlite3_column_int64(stmt, 3);
	return row->number != 0;
}

static enum sl_err
owner_each(void *conn, bool (*each)(void *, const struct sl_money_owner_row *), void *context)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_OWNER_EACH);
	struct sl_money_owner_row row;
	int rc;

	if (!stmt)
		return unprepared(conn);
	EACH_ROW(stmt, rc, owner_row(stmt, &row), each(context, &row));
	return sl_sqlite_error(rc);
}

static enum sl_err
owner_get(void *conn, uint32_t number, void (*found)(void *, const struct sl_money_owner_row *),
          void *context)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_OWNER_GET);
	struct sl_money_owner_row row;
	int rc;

	if (!stmt)
		return unprepared(conn);
	sqlite3_bind_int64(stmt, 1, number);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW && owner_row(stmt, &row))
		found(context, &row);
	sqlite3_reset(stmt);
	return rc == SQLITE_DONE ? SL_ENOTFOUND : sl_sqlite_error(rc);
}

static bool
book_row(sqlite3_stmt *stmt, struct sl_book_row *row)
{
	row->book = sqlite3_column_int64(stmt, 0);
	row->balance = sqlite3_column_int64(stmt, 1);
	row->entries = sqlite3_column_int64(stmt, 2);
	return column_bytes(stmt, 3, row->chain, sizeof(row->chain));
}

static enum sl_err
book_get(void *conn, int64_t book, struct sl_book_row *row)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_BOOK_GET);
	int rc;

	if (!stmt)
		return unprepared(conn);
	*row = (struct sl_book_row){ .book = book };
	sqlite3_bind_int64(stmt, 1, book);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW && !book_row(stmt, row))
		rc = SQLITE_CORRUPT;
	sqlite3_reset(stmt);
	return sl_sqlite_error(rc);
}

static enum sl_err
book_put(void *conn, const struct sl_book_row *row)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_BOOK_PUT);

	if (!stmt)
		return unprepared(conn);
	sqlite3_bind_int64(stmt, 1, row->book);
	sqlite3_bind_int64(stmt, 2, row->balance);
	sqlite3_bind_int64(stmt, 3, row->entries);
	sl_sqlite_bind_blob(stmt, 4, row->chain, sizeof(row->chain));
	return sl_sqlite_run_once(stmt);
}

static enum sl_err
book_each(void *conn, bool (*each)(void *, const struct sl_book_row *), void *context)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_BOOK_EACH);
	struct sl_book_row row;
	int rc;

	if (!stmt)
		return unprepared(conn);
	EACH_ROW(stmt, rc, book_row(stmt, &row), each(context, &row));
	return sl_sqlite_error(rc);
}

/* --- entries ------------------------------------------------------------------------ */

static enum sl_err
entry_add(void *conn, const struct sl_entry_row *row)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_ENTRY_ADD);

	if (!stmt)
		return unprepared(conn);
	sqlite3_bind_int64(stmt, 1, row->event);
	sqlite3_bind_int64(stmt, 2, row->book);
	sqlite3_bind_int64(stmt, 3, row->amount);
	sqlite3_bind_int64(stmt, 4, row->balance);
	sqlite3_bind_int64(stmt, 5, row->wall_ms);
	sl_sqlite_bind_text(stmt, 6, row->kind);
	sl_sqlite_bind_blob(stmt, 7, row->reference.ptr, row->reference.len);
	sl_sqlite_bind_blob(stmt, 8, row->chain, sizeof(row->chain));
	return sl_sqlite_run_once(stmt);
}

static bool
entry_row(sqlite3_stmt *stmt, struct sl_entry_row *row)
{
	row->id = sqlite3_column_int64(stmt, 0);
	row->event = sqlite3_column_int64(stmt, 1);
	row->book = sqlite3_column_int64(stmt, 2);
	row->amount = sqlite3_column_int64(stmt, 3);
	row->balance = sqlite3_column_int64(stmt, 4);
	row->wall_ms = sqlite3_column_int64(stmt, 5);
	row->kind = sl_sqlite_column(stmt, 6);
	row->reference = sl_sqlite_column(stmt, 7);
	return column_bytes(stmt, 8, row->chain, sizeof(row->chain));
}

static enum sl_err
entry_each(void *conn, int64_t book, int64_t since_wall_ms,
           bool (*each)(void *, const struct sl_entry_row *), void *context)
{
	sqlite3_stmt *stmt = statement(conn, book < 0 ? STATEMENT_ENTRY_ALL
	                                              : STATEMENT_ENTRY_BOOK);
	struct sl_entry_row row;
	int rc;

	if (!stmt)
		return unprepared(conn);
	if (book >= 0) {
		sqlite3_bind_int64(stmt, 1, book);
		sqlite3_bind_int64(stmt, 2, since_wall_ms);
	}
	EACH_ROW(stmt, rc, entry_row(stmt, &row), each(context, &row));
	return sl_sqlite_error(rc);
}

/* --- attempts ------------------------------------------------------------------------ */

/* Owners and days of the scopes, 8 bytes each. Rows of earlier versions, and of requests
 * that touch no more scopes, end before the last. */
enum { SCOPES_FIRST = 4 };
struct scopes {
	uint32_t owner[SCOPES_FIRST];
	int32_t  day[SCOPES_FIRST];
	uint32_t last_owner;
	int32_t  last_day;
};
_Static_assert(SL_MONEY_SCOPES_MAX == SCOPES_FIRST + 1, "one scope stands behind the others");

static void
pack_scopes(const struct sl_attempt_row *row, struct scopes *out)
{
	memcpy(out->owner, row->owner, sizeof(out->owner));
	memcpy(out->day, row->day, sizeof(out->day));
	out->last_owner = row->owner[SCOPES_FIRST];
	out->last_day = row->day[SCOPES_FIRST];
}

/* False: the row is damaged. */
static bool
unpack_scopes(sqlite3_stmt *stmt, int at, struct sl_attempt_row *row)
{
	struct scopes scopes = { .last_owner = 0 };

	if (!column_bytes(stmt, at, &scopes, sizeof(scopes)) &&
	    !column_bytes(stmt, at, &scopes, offsetof(struct scopes, last_owner)))
		return false;
	memcpy(row->owner, scopes.owner, sizeof(scopes.owner));
	memcpy(row->day, scopes.day, sizeof(scopes.day));
	row->owner[SCOPES_FIRST] = scopes.last_owner;
	row->day[SCOPES_FIRST] = scopes.last_day;
	return true;
}

static enum sl_err
attempt_add(void *conn, const struct sl_attempt_row *row)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_ATTEMPT_ADD);
	int64_t numbers[] = { row->attempt_no, row->price_version, row->state, row->policy,
		              row->usage_source, row->prepaid };
	int64_t amounts[] = { row->held, row->progress, row->charged, row->overrun,
		              row->input_tokens, row->output_tokens, row->begin_wall_ms,
		              row->end_wall_ms, row->target };
	struct scopes scopes;

	if (!stmt)
		return unprepared(conn);
	pack_scopes(row, &scopes);
	sl_sqlite_bind_blob(stmt, 1, row->id, sizeof(row->id));
	sl_sqlite_bind_blob(stmt, 2, row->request, sizeof(row->request));
	for (int i = 0; i < 6; i++)
		sqlite3_bind_int64(stmt, 3 + i, numbers[i]);
	sl_sqlite_bind_blob(stmt, 9, &scopes, scopes.last_owner ? sizeof(scopes)
	                                               : offsetof(struct scopes, last_owner));
	for (int i = 0; i < 9; i++)
		sqlite3_bind_int64(stmt, 10 + i, amounts[i]);
	return sl_sqlite_run_once(stmt);
}

static enum sl_err
attempt_update(void *conn, const struct sl_attempt_row *row)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_ATTEMPT_UPDATE);
	int64_t numbers[] = { row->state, row->progress, row->charged, row->overrun,
		              row->usage_source, row->input_tokens, row->output_tokens,
		              row->end_wall_ms, row->held };
	enum sl_err err;

	if (!stmt)
		return unprepared(conn);
	sl_sqlite_bind_blob(stmt, 1, row->id, sizeof(row->id));
	for (int i = 0; i < 9; i++)
		sqlite3_bind_int64(stmt, 2 + i, numbers[i]);
	err = sl_sqlite_run_once(stmt);
	if (err == SL_OK && sqlite3_changes(sqlite3_db_handle(stmt)) != 1)
		err = SL_ENOTFOUND;
	return err;
}

static bool
attempt_row(sqlite3_stmt *stmt, struct sl_attempt_row *row)
{
	if (!column_bytes(stmt, 0, row->id, sizeof(row->id)) ||
	    !column_bytes(stmt, 1, row->request, sizeof(row->request)) ||
	    !unpack_scopes(stmt, 8, row))
		return false;
	row->scope_count = 0;
	while (row->scope_count < SL_MONEY_SCOPES_MAX && row->owner[row->scope_count])
		row->scope_count++;
	row->attempt_no = (uint32_t)sqlite3_column_int64(stmt, 2);
	row->price_version = (uint32_t)sqlite3_column_int64(stmt, 3);
	row->state = (uint8_t)sqlite3_column_int64(stmt, 4);
	row->policy = (uint8_t)sqlite3_column_int64(stmt, 5);
	row->usage_source = (uint8_t)sqlite3_column_int64(stmt, 6);
	row->prepaid = (uint8_t)sqlite3_column_int64(stmt, 7);
	row->held = sqlite3_column_int64(stmt, 9);
	row->progress = sqlite3_column_int64(stmt, 10);
	row->charged = sqlite3_column_int64(stmt, 11);
	row->overrun = sqlite3_column_int64(stmt, 12);
	row->input_tokens = sqlite3_column_int64(stmt, 13);
	row->output_tokens = sqlite3_column_int64(stmt, 14);
	row->begin_wall_ms = sqlite3_column_int64(stmt, 15);
	row->end_wall_ms = sqlite3_column_int64(stmt, 16);
	row->target = (uint32_t)sqlite3_column_int64(stmt, 17);
	return row->scope_count > 0 && row->state < SL_ATTEMPT_STATE_COUNT;
}

static enum sl_err
attempt_each(void *conn, bool open_only, bool (*each)(void *, const struct sl_attempt_row *),
             void *context)
{
	sqlite3_stmt *stmt = statement(conn, open_only ? STATEMENT_ATTEMPT_OPEN
	                                               : STATEMENT_ATTEMPT_ALL);
	struct sl_attempt_row row;
	int rc;

	if (!stmt)
		return unprepared(conn);
	EACH_ROW(stmt, rc, attempt_row(stmt, &row), each(context, &row));
	return sl_sqlite_error(rc);
}

/* The first id of a moment: an attempt's begins with its milliseconds (ledger/money.c). */
static void
first_id(int64_t wall_ms, unsigned char id[SL_ATTEMPT_ID_SIZE])
{
	memset(id, 0, SL_ATTEMPT_ID_SIZE);
	for (int i = 0; i < 6; i++)
		id[i] = (unsigned char)((uint64_t)wall_ms >> (40 - 8 * i));
}

static enum sl_err
attempt_of(void *conn, const unsigned char request[16], int64_t since_wall_ms,
           int64_t until_wall_ms, bool (*each)(void *, const struct sl_attempt_row *),
           void *context)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_ATTEMPT_OF);
	unsigned char from[SL_ATTEMPT_ID_SIZE], to[SL_ATTEMPT_ID_SIZE];
	struct sl_attempt_row row;
	int rc;

	if (!stmt)
		return unprepared(conn);
	first_id(since_wall_ms < 0 ? 0 : since_wall_ms, from);
	first_id(until_wall_ms < 0 ? 0 : until_wall_ms + 1, to);
	sl_sqlite_bind_blob(stmt, 1, request, 16);
	sl_sqlite_bind_blob(stmt, 2, from, sizeof(from));
	sl_sqlite_bind_blob(stmt, 3, to, sizeof(to));
	EACH_ROW(stmt, rc, attempt_row(stmt, &row), each(context, &row));
	return sl_sqlite_error(rc);
}

/* --- sums, credits, vouchers --------------------------------------------------------- */

static enum sl_err
spent_add(void *conn, const struct sl_spent_row *row)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_SPENT_ADD);

	if (!stmt)
		return unprepared(conn);
	sqlite3_bind_int64(stmt, 1, row->owner);
	sqlite3_bind_int64(stmt, 2, row->window);
	sqlite3_bind_int64(stmt, 3, row->period);
	sqlite3_bind_int64(stmt, 4, row->amount);
	return sl_sqlite_run_once(stmt);
}

static bool
spent_row(sqlite3_stmt *stmt, struct sl_spent_row *row)
{
	row->owner = (uint32_t)sqlite3_column_int64(stmt, 0);
	row->window = (uint8_t)sqlite3_column_int64(stmt, 1);
	row->period = (int32_t)sqlite3_column_int64(stmt, 2);
	row->amount = sqlite3_column_int64(stmt, 3);
	return true;
}

static enum sl_err
spent_each(void *conn, bool (*each)(void *, const struct sl_spent_row *), void *context)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_SPENT_EACH);
	struct sl_spent_row row;
	int rc;

	if (!stmt)
		return unprepared(conn);
	EACH_ROW(stmt, rc, spent_row(stmt, &row), each(context, &row));
	return sl_sqlite_error(rc);
}

static enum sl_err
credit_add(void *conn, struct sl_slice external_id, uint32_t owner, int64_t amount,
           int64_t wall_ms)
{
	sqlite3_stmt *add = statement(conn, STATEMENT_CREDIT_ADD);
	sqlite3_stmt *same = statement(conn, STATEMENT_CREDIT_SAME);
	enum sl_err err;
	int rc;

	if (!add || !same)
		return unprepared(conn);
	sl_sqlite_bind_text(add, 1, external_id);
	sqlite3_bind_int64(add, 2, owner);
	sqlite3_bind_int64(add, 3, amount);
	sqlite3_bind_int64(add, 4, wall_ms);
	err = sl_sqlite_run_once(add);
	if (err != SL_EEXIST)
		return err;
	sl_sqlite_bind_text(same, 1, external_id);
	sqlite3_bind_int64(same, 2, owner);
	sqlite3_bind_int64(same, 3, amount);
	rc = sqlite3_step(same);
	sqlite3_reset(same);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return sl_sqlite_error(rc);
	return rc == SQLITE_ROW ? SL_EEXIST : SL_EDUPLICATE;
}

static enum sl_err
voucher_add(void *conn, const struct sl_voucher_row *row)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_VOUCHER_ADD);

	if (!stmt)
		return unprepared(conn);
	sl_sqlite_bind_blob(stmt, 1, row->code_digest.ptr, row->code_digest.len);
	sqlite3_bind_int64(stmt, 2, row->amount);
	sqlite3_bind_int64(stmt, 3, row->expires_wall_ms);
	return sl_sqlite_run_once(stmt);
}

static enum sl_err
voucher_use(void *conn, struct sl_slice code_digest, uint32_t owner, int64_t now_wall_ms,
            int64_t *amount)
{
	sqlite3_stmt *get = statement(conn, STATEMENT_VOUCHER_GET);
	sqlite3_stmt *use = statement(conn, STATEMENT_VOUCHER_USE);
	int64_t expires_wall_ms = 0;
	bool used = false;
	int rc;

	if (!get || !use)
		return unprepared(conn);
	sl_sqlite_bind_blob(get, 1, code_digest.ptr, code_digest.len);
	rc = sqlite3_step(get);
	if (rc == SQLITE_ROW) {
		*amount = sqlite3_column_int64(get, 0);
		used = sqlite3_column_int64(get, 1) != 0;
		expires_wall_ms = sqlite3_column_int64(get, 2);
	}
	sqlite3_reset(get);
	if (rc == SQLITE_DONE)
		return SL_ENOTFOUND;
	if (rc != SQLITE_ROW || used)
		return used ? SL_EEXIST : sl_sqlite_error(rc);
	if (expires_wall_ms && now_wall_ms >= expires_wall_ms)
		return SL_ETIMEDOUT;
	sl_sqlite_bind_blob(use, 1, code_digest.ptr, code_digest.len);
	sqlite3_bind_int64(use, 2, owner);
	return sl_sqlite_run_once(use);
}

/* --- claims ------------------------------------------------------------------------- */

static enum sl_err
claim_put(void *conn, const struct sl_claim_row *row)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_CLAIM_PUT);

	if (!stmt)
		return unprepared(conn);
	sl_sqlite_bind_blob(stmt, 1, row->name.ptr, row->name.len);
	sl_sqlite_bind_blob(stmt, 2, row->digest.ptr, row->digest.len);
	sl_sqlite_bind_blob(stmt, 3, row->request, sizeof(row->request));
	sqlite3_bind_int64(stmt, 4, row->expires_wall_ms);
	sqlite3_bind_int64(stmt, 5, row->charged);
	return sl_sqlite_run_once(stmt);
}

static enum sl_err
claim_drop(void *conn, struct sl_slice name, const unsigned char request[16])
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_CLAIM_DROP);

	if (!stmt)
		return unprepared(conn);
	sl_sqlite_bind_blob(stmt, 1, name.ptr, name.len);
	sl_sqlite_bind_blob(stmt, 2, request, 16);
	return sl_sqlite_run_once(stmt);
}

static enum sl_err
claim_trim(void *conn, int64_t now_wall_ms)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_CLAIM_TRIM);

	if (!stmt)
		return unprepared(conn);
	sqlite3_bind_int64(stmt, 1, now_wall_ms);
	return sl_sqlite_run_once(stmt);
}

static bool
claim_row(sqlite3_stmt *stmt, struct sl_claim_row *row)
{
	row->name = sl_slice_make(sqlite3_column_blob(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
	row->digest = sl_slice_make(sqlite3_column_blob(stmt, 1),
	                            (size_t)sqlite3_column_bytes(stmt, 1));
	row->expires_wall_ms = sqlite3_column_int64(stmt, 3);
	row->charged = sqlite3_column_int64(stmt, 4);
	return row->name.len == SL_CLAIM_DIGEST_SIZE && row->digest.len == SL_CLAIM_DIGEST_SIZE &&
	       column_bytes(stmt, 2, row->request, sizeof(row->request));
}

static enum sl_err
claim_each(void *conn, bool (*each)(void *, const struct sl_claim_row *), void *context)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_CLAIM_EACH);
	struct sl_claim_row row;
	int rc;

	if (!stmt)
		return unprepared(conn);
	EACH_ROW(stmt, rc, claim_row(stmt, &row), each(context, &row));
	return sl_sqlite_error(rc);
}

static enum sl_err
event_next(void *conn, int64_t *event)
{
	sqlite3_stmt *stmt = statement(conn, STATEMENT_EVENT_NEXT);
	int rc;

	if (!stmt)
		return unprepared(conn);
	rc = sqlite3_step(stmt);
	*event = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_reset(stmt);
	return sl_sqlite_error(rc);
}

const char *
sl_attempt_state_name(enum sl_attempt_state state)
{
	static const char *const names[SL_ATTEMPT_STATE_COUNT] = {
#define STATE_NAME(id, name) name,
		SL_ATTEMPT_STATES(STATE_NAME)
#undef STATE_NAME
	};

	return state < SL_ATTEMPT_STATE_COUNT ? names[state] : "damaged";
}

const struct sl_money_ops sl_sqlite_money_ops = {
	.owner_put = owner_put,
	.owner_get = owner_get,
	.owner_each = owner_each,
	.lease_put = lease_put,
	.book_get = book_get,
	.book_put = book_put,
	.book_each = book_each,
	.entry_add = entry_add,
	.entry_each = entry_each,
	.attempt_add = attempt_add,
	.attempt_update = attempt_update,
	.attempt_each = attempt_each,
	.attempt_of = attempt_of,
	.spent_add = spent_add,
	.spent_each = spent_each,
	.credit_add = credit_add,
	.voucher_add = voucher_add,
	.voucher_use = voucher_use,
	.claim_put = claim_put,
	.claim_drop = claim_drop,
	.claim_each = claim_each,
	.claim_trim = claim_trim,
	.event_next = event_next,
};

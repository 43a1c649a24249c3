/* records_test.c - rows of requests: what is written comes back, wherever it is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "../store_fixture.h"
#include "base/log.h"
#include "base/rand.h"
#include "store/sqlite_request.h"

enum { KINDS = 3000, ID_SIZE = 32 };

static int
set_up(void **state)
{
	(void)state;
	return make_directory();
}

static int
tear_down(void **state)
{
	(void)state;
	return remove_directory();
}

static void
run_sql(const char *sql)
{
	char *problem = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &problem) != SQLITE_OK)
		print_error("%s\n", problem);
	assert_null(problem);
	sqlite3_close(db);
}

/* The first row, its columns behind each other. */
static const char *
query(const char *sql)
{
	static char text[2048];
	sqlite3_stmt *stmt;
	sqlite3 *db;

	text[0] = '\0';
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	while (sqlite3_step(stmt) == SQLITE_ROW)
		for (int i = 0; i < sqlite3_column_count(stmt); i++) {
			const char *column = (const char *)sqlite3_column_text(stmt, i);

			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s|",
			         column ? column : "NULL");
		}
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return text;
}

/* --- jobs -------------------------------------------------------------------- */

struct work {
	struct sl_store_job     job;
	struct sl_record_source source;
	struct sl_record_row   *rows;
	size_t                  count, at;
	const char             *id;
	int64_t                 end_wall_ms;
	void (*found)(void *context, const struct sl_record_row *row);
	void                   *context;
	bool                    fails;
};

static bool
next_row(struct sl_record_source *source, struct sl_record_row *row)
{
	struct work *work = SL_CONTAINER(source, struct work, source);

	if (work->at == work->count)
		return false;
	*row = work->rows[work->at++];
	return true;
}

static void
run_append(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct work *work = SL_CONTAINER(job, struct work, job);

	job->err = ops->records_append(conn, &work->source);
	if (job->err == SL_OK && work->fails)
		job->err = SL_EINVAL;
}

static enum sl_err
append(struct sl_store *store, struct sl_record_row *rows, size_t count, bool fails)
{
	struct work work = { .job.run = run_append, .source.next = next_row, .rows = rows,
		             .count = count, .fails = fails };

	return sl_store_run(store, &work.job);
}

static void
run_find(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct work *work = SL_CONTAINER(job, struct work, job);

	job->err = ops->record_find(conn, sl_slice_str(work->id), work->end_wall_ms, work->found,
	                            work->context);
}

static enum sl_err
find_ended(struct sl_store *store, const char *id, int64_t end_wall_ms,
           void (*found)(void *context, const struct sl_record_row *row), void *context)
{
	struct work work = { .job.run = run_find, .id = id, .end_wall_ms = end_wall_ms,
		             .found = found, .context = context };

	return sl_store_run(store, &work.job);
}

static enum sl_err
find(struct sl_store *store, const char *id,
     void (*found)(void *context, const struct sl_record_row *row), void *context)
{
	return find_ended(store, id, SL_RECORD_NULL, found, context);
}

static struct sl_record_row
empty_row(const char *request_id, int64_t end_wall_ms)
{
	struct sl_record_row row = { 0 };

#define SL_RECORD_TEXT(name, max_size) row.name = SL_SLICE_NONE;
#define SL_RECORD_INT(name)            row.name = SL_RECORD_NULL;
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		row.usage[i] = SL_RECORD_NULL;
	row.request_id = row.client_request_id = sl_slice_str(request_id);
	row.end_wall_ms = end_wall_ms;
	return row;
}

/* --- every column ------------------------------------------------------------ */

static void
same_row(void *context, const struct sl_record_row *row)
{
	const struct sl_record_row *wanted = context;

#define SL_RECORD_TEXT(name, max_size) assert_true(sl_slice_eq(row->name, wanted->name));
#define SL_RECORD_INT(name)            assert_int_equal(row->name, wanted->name);
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		assert_int_equal(row->usage[i], wanted->usage[i]);
}

static void
every_column_comes_back(void **state)
{
	struct sl_store *store = open_store();
	struct sl_record_row rows[3] = { empty_row("req_full", 0),
		                         empty_row("req_empty", 1700000000001),
		                         empty_row("req_zero", 1700000000000) };
	int64_t number = 1700000000000;

	(void)state;
#define SL_RECORD_TEXT(name, max_size) rows[0].name = SL_SLICE("a '" #name "' \"=1\xc3\xa9");
#define SL_RECORD_INT(name)            rows[0].name = number++;
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
	rows[0].request_id = SL_SLICE("req_full");
	for (int i = 0; i < SL_USAGE_COUNT; i++) {
		rows[0].usage[i] = i % 2 ? number++ : 1000 + i;
		rows[2].usage[i] = i % 3 ? SL_RECORD_NULL : 0;
	}
	rows[2].status = rows[2].attempts = rows[2].cost_nanousd = 0;
	assert_int_equal(append(store, rows, 3, false), SL_OK);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(find(store, "req_full", same_row, &rows[0]), SL_OK);
		assert_int_equal(find(store, "req_empty", same_row, &rows[1]), SL_OK);
		assert_int_equal(find(store, "req_zero", same_row, &rows[2]), SL_OK);
		assert_int_equal(find(store, "req_", same_row, NULL), SL_ENOTFOUND);
		sl_store_free(store);
		store = open_store();
	}
	sl_store_free(store);
}

/* --- what many have in common -------------------------------------------------- */

static void
what_is_alike_is_kept_once(void **state)
{
	struct sl_store *store = open_store();
	struct sl_record_row rows[100];

	(void)state;
	for (int i = 0; i < 100; i++) {
		rows[i] = empty_row("req_1", 1700000000000 + i);
		rows[i].key_id = i % 2 ? SL_SLICE("vk_1") : SL_SLICE("vk_2");
		rows[i].provider = i % 5 ? SL_SLICE("openai") : SL_SLICE("gemini");
		rows[i].status = 200;
	}
	assert_int_equal(append(store, rows, 100, false), SL_OK);
	assert_int_equal(append(store, rows, 100, false), SL_OK);
	sl_store_free(store);
	assert_string_equal(query("SELECT count(*) FROM record_lines UNION ALL"
	                          " SELECT count(*) FROM record_owners UNION ALL"
	                          " SELECT count(*) FROM record_kinds"), "200|2|2|");
	assert_string_equal(query("SELECT key_id, provider, count(*) FROM records"
	                          " GROUP BY 1, 2 ORDER BY 1, 2"),
	                    "vk_1|gemini|20|vk_1|openai|80|vk_2|gemini|20|vk_2|openai|80|");
}

/* Ids begin with the time a request ended, whatever the order; and rows of one millisecond
 * stay in theirs, over batches too. */
static void
rows_out_of_order_keep_their_times(void **state)
{
	static const int jumps[] = { 0, 0, 1, 0, -1, 1, 0, 0, 5, -5, 0, 2, 2, 0, -9, 9 };
	enum { ROWS = 1000, BATCH = 90 };
	static struct sl_record_row rows[ROWS];
	struct sl_store *store = open_store();
	int64_t now = 1700000000000;

	(void)state;
	for (int i = 0; i < ROWS; i++) {
		now += jumps[i * 7 % 16] + (i % 100 == 0);
		rows[i] = empty_row("req_1", now);
		rows[i].bytes_in = i;
		rows[i].bytes_out = now;
	}
	for (size_t at = 0; at < ROWS; at += BATCH)
		assert_int_equal(append(store, rows + at, ROWS - at < BATCH ? ROWS - at : BATCH, false),
		                 SL_OK);
	sl_store_free(store);
	assert_string_equal(query("SELECT count(DISTINCT id), sum(end_wall_ms = bytes_out) FROM records"),
	                    "1000|1000|");
}

/* What is written to the log gathers, but not past the end of a transaction: other
 * connections see all of it then, and nothing of one that was taken back, however large. */
static void
others_see_what_is_stored_at_once(void **state)
{
	enum { ROWS = 4000, ROUNDS = 4 }; /* each round more than is gathered, or kept in memory */
	static struct sl_record_row rows[ROWS];
	struct sl_store *store = open_store();
	char expected[64];

	(void)state;
	for (int round = 1; round <= ROUNDS; round++) {
		for (int i = 0; i < ROWS; i++) {
			rows[i] = empty_row("req_1", 1700000000000 + round * ROWS + i);
			rows[i].end_user = SL_SLICE("somebody whose name makes the row somewhat longer "
			                            "than it would be without it, and then longer yet");
			rows[i].bytes_in = i;
		}
		assert_int_equal(append(store, rows, ROWS, true), SL_EINVAL);
		assert_int_equal(append(store, rows, ROWS, false), SL_OK);
		assert_int_equal(append(store, rows, 1, false), SL_OK);
		snprintf(expected, sizeof(expected), "%d|%d|", round * (ROWS + 1),
		         round * (ROWS * (ROWS - 1) / 2));
		assert_string_equal(query("SELECT count(*), sum(bytes_in) FROM records"), expected);
		assert_string_equal(query("PRAGMA integrity_check"), "ok|");
	}
	sl_store_free(store);
	assert_string_equal(query("SELECT count(*), sum(bytes_in) FROM records"), expected);
}

/* More than are remembered; and those of a transaction that was taken back are not. */
static void
each_row_has_its_own(void **state)
{
	static char names[KINDS][ID_SIZE];
	static struct sl_record_row rows[KINDS];
	struct sl_store *store = open_store();

	(void)state;
	for (int i = 0; i < KINDS; i++) {
		snprintf(names[i], sizeof(names[i]), "name-%d", i);
		rows[i] = empty_row(names[i], 1700000000000 + i);
		rows[i].model_requested = rows[i].team = rows[i].tag = sl_slice_str(names[i]);
		rows[i].attempts = 1;
	}
	assert_int_equal(append(store, rows, KINDS, true), SL_EINVAL);
	assert_int_equal(append(store, rows, KINDS, false), SL_OK);
	assert_int_equal(append(store, rows, 10, true), SL_EINVAL);
	assert_int_equal(append(store, rows, 10, false), SL_OK);
	sl_store_free(store);
	assert_string_equal(query("SELECT count(*) FROM records WHERE request_id ="
	                          " model_requested AND team = request_id AND tag = team"),
	                    "3010|");
	assert_string_equal(query("SELECT count(*), sum(requests) FROM hours"), "3000|3010|");
}

/* Rows that came out of order, or from several loops at once, are as good. */
static void
rows_come_in_any_order(void **state)
{
	static struct sl_record_row rows[1000];
	struct sl_store *store = open_store();

	(void)state;
	for (int i = 0; i < 1000; i++)
		rows[i] = empty_row("req", 1700000000000 + i * 7919 % 1000);
	assert_int_equal(append(store, rows, 1000, false), SL_OK);
	sl_store_free(store);
	assert_string_equal(query("SELECT count(*), count(DISTINCT id),"
	                          " count(DISTINCT end_wall_ms) FROM records"), "1000|1000|1000|");
}

/* --- the view ------------------------------------------------------------------ */

static void
questions_use_indexes(void **state)
{
	(void)state;
	sl_store_free(open_store());
	/* The ends of the range are there: none of what lies near is nothing of it all. */
	assert_null(strstr(query("EXPLAIN QUERY PLAN SELECT * FROM records WHERE request_id = 'x'"
	                         " AND id >= 5 AND id <= 5"), "SCAN"));
	assert_null(strstr(query("EXPLAIN QUERY PLAN SELECT id FROM record_lines"
	                         " WHERE request = 'x' AND request < x''"), "SCAN"));
	assert_null(strstr(query("EXPLAIN QUERY PLAN SELECT key_id, cost_nanousd FROM records"
	                         " WHERE attempts > 0 AND id >= 5 AND id < 6"), "SCAN"));
	/* The newest first are not sorted: that would take all that the range has. */
	assert_null(strstr(query("EXPLAIN QUERY PLAN SELECT id, key_id FROM records WHERE id >= 5"
	                         " AND id < 9 ORDER BY id DESC LIMIT 2"), "TEMP B-TREE"));
}

static void
columns_that_are_missing_are_added(void **state)
{
	(void)state;
	sl_store_free(open_store());
	run_sql("DROP VIEW records; ALTER TABLE record_rows DROP COLUMN added_us;"
	        "ALTER TABLE record_kinds DROP COLUMN fault;"
	        "ALTER TABLE record_owners DROP COLUMN workspace");
	sl_store_free(open_store());
	run_sql("SELECT added_us, fault, workspace FROM records");
	/* As the first version began it. */
	run_sql("DROP VIEW records; DROP TABLE records_before;"
	        "CREATE TABLE records_before(id INTEGER PRIMARY KEY) STRICT");
	sl_store_free(open_store());
	run_sql("SELECT request_id, tag, added_us, unpriced, input_tokens, images FROM records"
	        " WHERE request_id = ''");
}

static bool
count_requests(void *context, const struct sl_spend_row *row)
{
	*(int64_t *)context += row->requests;
	return true;
}

static void
run_spend(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct work *work = SL_CONTAINER(job, struct work, job);
	const struct sl_spend_query within_the_hour = { .by = SL_SPEND_KEY,
		.since_wall_ms = 1700000000000, .until_wall_ms = 1700000000500 };

	job->err = ops->spend(conn, &within_the_hour, count_requests, work->context);
}

static int64_t
requests_of_the_hour(struct sl_store *store)
{
	int64_t requests = 0;
	struct work spend = { .job.run = run_spend, .context = &requests };

	assert_int_equal(sl_store_run(store, &spend.job), SL_OK);
	return requests;
}

/* Its table of records had everything in each row. */
static void
records_of_the_version_before_stay(void **state)
{
	struct sl_record_row before = empty_row("req_before", 1700000000100);
	struct sl_record_row later = empty_row("req_later", 1700000000200);
	struct sl_record_row far = empty_row("req_far", 1700000009000);
	struct sl_store *store;

	(void)state;
	sl_store_free(open_store());
	run_sql("DROP VIEW records; DROP TABLE record_rows; DROP TABLE record_owners;"
	        "DROP TABLE record_kinds; ALTER TABLE records_before RENAME TO records;"
	        /* The next versions': a column of another table, and a table of records. */
	        "ALTER TABLE money_attempts DROP COLUMN target; DROP TABLE record_asks;"
	        "DROP TABLE record_lines;"
	        "DELETE FROM migrations WHERE version > (SELECT max(version) - 4 FROM migrations);"
	        "INSERT INTO records(id, request_id, client_request_id, end_wall_ms, key_id, status,"
	        " attempts, cost_nanousd, input_tokens, reasoning_tokens)"
	        " VALUES (1700000000100 << 20, 'req_before', 'mine', 1700000000100, 'vk_1', 200, 1,"
	        " 55, 9, 3)");
	store = open_store();
	before.client_request_id = SL_SLICE("mine");
	before.key_id = later.key_id = SL_SLICE("vk_1");
	before.status = 200;
	before.attempts = later.attempts = far.attempts = 1;
	before.cost_nanousd = 55;
	before.usage[SL_USAGE_INPUT] = 9;
	before.usage[SL_USAGE_REASONING] = 3;
	assert_int_equal(append(store, &later, 1, false), SL_OK);
	assert_int_equal(append(store, &far, 1, false), SL_OK);
	assert_int_equal(find(store, "req_before", same_row, &before), SL_OK);
	assert_int_equal(find(store, "req_later", same_row, &later), SL_OK);
	assert_int_equal(requests_of_the_hour(store), 2);
	sl_store_free(store);
	assert_string_equal(query("SELECT request_id, key_id FROM records ORDER BY id"),
	                    "req_before|vk_1|req_later|vk_1|req_far|NULL|");
}

/* Its table of records had a column for each thing that is a request's own. */
static void
records_with_a_column_for_each_thing_stay(void **state)
{
	struct sl_record_row before = empty_row("req_before", 1700000000100);
	struct sl_record_row bare = empty_row("req_bare", 1700000000150);
	struct sl_record_row later = empty_row("req_later", 1700000000200);
	struct sl_store *store;

	(void)state;
	before.begin_wall_ms = 1700000000050;
	before.trace_id = SL_SLICE("0af7651916cd43dd8448eb211c80319c");
	before.client_request_id = SL_SLICE("mine");
	before.tag = SL_SLICE("a \"tag\"");
	before.end_user = SL_SLICE("somebody");
	before.bytes_in = 17;
	before.score_permille = 500;
	before.cost_nanousd = 55;
	before.usage[SL_USAGE_INPUT] = 9;
	before.usage[SL_USAGE_OUTPUT] = 0;
	before.usage[SL_USAGE_CACHE_WRITE] = 2;
	before.usage[SL_USAGE_REASONING] = 3;
	before.key_id = later.key_id = bare.key_id = SL_SLICE("vk_1");
	before.provider = bare.provider = SL_SLICE("openai");
	before.attempts = bare.attempts = later.attempts = 1;
	sl_store_free(open_store());
	run_sql("DROP VIEW records; DROP TABLE record_asks; DROP TABLE record_lines;"
	        "DELETE FROM migrations WHERE version > (SELECT max(version) - 2 FROM migrations);"
	        "INSERT INTO record_owners(id, key_id) VALUES (1, 'vk_1');"
	        "INSERT INTO record_kinds(id, provider, attempts) VALUES (4, 'openai', 1);"
	        "INSERT INTO record_rows(id, owner, kind, request_id, begin_wall_ms, trace_id,"
	        " client_request_id, tag, end_user, bytes_in, score_permille, cost_nanousd,"
	        " input_tokens, output_tokens, more) VALUES (1700000000100 << 20, 1, 4,"
	        " 'req_before', 1700000000050, '0af7651916cd43dd8448eb211c80319c', 'mine',"
	        " 'a \"tag\"', 'somebody', 17, 500, 55, 9, 0,"
	        " ' cache_write_tokens=2 reasoning_tokens=3');"
	        "INSERT INTO record_rows(id, owner, kind, request_id)"
	        " VALUES (1700000000150 << 20, 1, 4, 'req_bare')");
	store = open_store();
	assert_int_equal(append(store, &later, 1, false), SL_OK);
	assert_int_equal(find(store, "req_before", same_row, &before), SL_OK);
	assert_int_equal(find(store, "req_bare", same_row, &bare), SL_OK);
	assert_int_equal(find(store, "req_later", same_row, &later), SL_OK);
	assert_int_equal(requests_of_the_hour(store), 3);
	sl_store_free(store);
	assert_string_equal(query("SELECT request_id, key_id FROM records ORDER BY id"),
	                    "req_before|vk_1|req_bare|vk_1|req_later|vk_1|");
}

/* Short requests lie near where their ids tell; all others are in the index, as are those
 * whose ids tell nothing or not their time, and those that have no trace. */
static void
rows_are_found_by_id(void **state)
{
	static const char trace[] = "0af7651916cd43dd8448eb211c80319c";
	static const struct {
		const char *id;    /* NULL: of its begin */
		const char *trace;
		int64_t     begun_ms; /* before its end */
		bool        indexed;
	} cases[] = {
		{ NULL, trace, 0, false },
		{ NULL, trace, 1, false },
		{ NULL, trace, SL_SQLITE_NEAR_MS - 1, false },
		{ NULL, trace, SL_SQLITE_NEAR_MS, true },
		{ NULL, trace, 600000, true },
		{ NULL, trace, -1, true }, /* the clock was set back */
		{ NULL, NULL, 3, true },
		{ NULL, "0AF7651916CD43DD8448EB211C80319C", 3, true },
		{ "req_01HF7YAT00", trace, 0, true },
		{ "req_01HF7YAT00XXXXXXXXXXXXXXXXx", trace, 0, true },
		{ "REQ_01HF7YAT00XXXXXXXXXXXXXXXX", trace, 0, true },
		{ "req_00000000010000000000000000", trace, 5, true },
		{ "req_ZZZZZZZZZZ0000000000000000", trace, 5, true },
		{ "anything", trace, 0, true },
	};
	enum { ROUNDS = 30, CASES = sizeof(cases) / sizeof(cases[0]) };
	static struct sl_record_row rows[ROUNDS * CASES];
	static char ids[ROUNDS * CASES][64];
	struct sl_store *store = open_store();
	char expected[64], ulid[SL_ULID_LEN + 1];
	size_t indexed = 0;

	(void)state;
	for (size_t i = 0; i < ROUNDS * CASES; i++) {
		int64_t end_ms = 1700000000000 + (int64_t)i / 7;
		size_t at = i % CASES;

		sl_rand_ulid(ulid, end_ms - cases[at].begun_ms);
		if (cases[at].id)
			snprintf(ids[i], sizeof(ids[i]), i < CASES ? "%s" : "%s%zu", cases[at].id, i);
		else
			snprintf(ids[i], sizeof(ids[i]), "req_%s", ulid);
		rows[i] = empty_row(ids[i], end_ms);
		rows[i].begin_wall_ms = end_ms - cases[at].begun_ms;
		if (cases[at].trace)
			rows[i].trace_id = sl_slice_str(cases[at].trace);
		indexed += cases[at].indexed;
	}
	assert_int_equal(append(store, rows, ROUNDS * CASES, false), SL_OK);
	for (size_t i = 0; i < ROUNDS * CASES; i++) {
		assert_int_equal(find(store, ids[i], same_row, &rows[i]), SL_OK);
		assert_int_equal(find_ended(store, ids[i], rows[i].end_wall_ms, same_row, &rows[i]),
		                 SL_OK);
	}
	for (int i = 0; i < 20; i++) {
		sl_rand_ulid(ulid, 1700000000000 + i);
		snprintf(ids[0], sizeof(ids[0]), "req_%s", ulid);
		assert_int_equal(find(store, ids[0], same_row, NULL), SL_ENOTFOUND);
		assert_int_equal(find_ended(store, ids[0], 1700000000000 + i, same_row, NULL),
		                 SL_ENOTFOUND);
	}
	assert_int_equal(find(store, "", same_row, NULL), SL_ENOTFOUND);
	sl_store_free(store);
	snprintf(expected, sizeof(expected), "%zu|%zu|", (size_t)ROUNDS * CASES, indexed);
	assert_string_equal(query("SELECT count(*), sum(typeof(request) = 'text') FROM record_lines"),
	                    expected);
	snprintf(expected, sizeof(expected), "%zu|", indexed);
	assert_string_equal(query("SELECT count(*) FROM record_lines INDEXED BY"
	                          " record_lines_by_request WHERE request < x''"), expected);
	assert_string_equal(query("SELECT count(DISTINCT request_id) FROM records"
	                          " WHERE request_id = client_request_id"), "420|");
	assert_string_equal(query("PRAGMA integrity_check"), "ok|");
}

/* Its table of records had a column for each part, and all of them in the index. */
static void
records_with_more_columns_stay(void **state)
{
	struct sl_record_row before = empty_row("req_01HF7YAT140000000000000000", 1700000000100);
	struct sl_record_row bare = empty_row("req_bare", 1700000000150);
	struct sl_record_row later = empty_row("req_01HF7YAT780000000000000000", 1700000000240);
	struct sl_store *store;

	(void)state;
	before.begin_wall_ms = 1700000000036;
	before.trace_id = later.trace_id = SL_SLICE("0af7651916cd43dd8448eb211c80319c");
	before.client_request_id = SL_SLICE("mine");
	before.end_user = later.end_user = SL_SLICE("some\"body");
	before.bytes_in = 17;
	before.cost_nanousd = 55;
	before.usage[SL_USAGE_INPUT] = 9;
	before.usage[SL_USAGE_OUTPUT] = 0;
	before.usage[SL_USAGE_IMAGES] = 3;
	before.key_id = later.key_id = bare.key_id = SL_SLICE("vk_1");
	before.provider = bare.provider = SL_SLICE("openai");
	before.attempts = bare.attempts = later.attempts = 1;
	later.begin_wall_ms = 1700000000232;
	sl_store_free(open_store());
	run_sql("DROP VIEW records; DROP TABLE record_lines;"
	        "DELETE FROM migrations WHERE version = (SELECT max(version) FROM migrations);"
	        "INSERT INTO record_owners(id, key_id) VALUES (1, 'vk_1');"
	        "INSERT INTO record_kinds(id, provider, attempts) VALUES (4, 'openai', 1);"
	        "INSERT INTO record_asks(id, owner, kind, request_id, trace_id, end_user, facts)"
	        " VALUES (1700000000100 << 20, 1, 4, 'req_01HF7YAT140000000000000000',"
	        " x'0af7651916cd43dd8448eb211c80319c', 'some\"body', '[64,17,null,null,null,null,"
	        "null,55,9,0,{\"client_request_id\":\"mine\",\"images\":3}]'),"
	        " (1700000000150 << 20, 1, 4, 'req_bare', NULL, NULL,"
	        " '[null,null,null,null,null,null,null,null,null,null]')");
	store = open_store();
	assert_int_equal(append(store, &later, 1, false), SL_OK);
	assert_int_equal(find(store, "req_01HF7YAT140000000000000000", same_row, &before), SL_OK);
	assert_int_equal(find_ended(store, "req_01HF7YAT140000000000000000", before.end_wall_ms,
	                            same_row, &before), SL_OK);
	assert_int_equal(find(store, "req_bare", same_row, &bare), SL_OK);
	assert_int_equal(find(store, "req_01HF7YAT780000000000000000", same_row, &later), SL_OK);
	assert_int_equal(requests_of_the_hour(store), 3);
	sl_store_free(store);
	assert_string_equal(query("SELECT request_id, key_id FROM records ORDER BY id"),
	                    "req_01HF7YAT140000000000000000|vk_1|req_bare|vk_1|"
	                    "req_01HF7YAT780000000000000000|vk_1|");
	assert_string_equal(query("SELECT count(*) FROM record_lines"), "1|");
}

static void
read_as_it_is(const char *id, struct sl_record_row *row)
{
	const struct sl_store_ops *ops;
	const char *reason = "";
	void *conn;

	assert_int_equal(sl_store_open_reader(sl_slice_str(url), &ops, &conn, &reason), SL_OK);
	assert_int_equal(ops->record_find(conn, sl_slice_str(id), SL_RECORD_NULL, same_row, row),
	                 SL_OK);
	ops->close(conn);
}

/* `sluice ledger` may be run before the gateway has brought a store to its schema. A view that
 * the file has may not call json_extract. */
static void
a_store_of_the_version_before_can_be_read(void **state)
{
	struct sl_record_row before = empty_row("req_before", 1700000000100);
	struct sl_record_row asked = empty_row("req_asked", 1700000000150);

	(void)state;
	asked.begin_wall_ms = 1700000000100;
	asked.cost_nanousd = 55;
	asked.tag = SL_SLICE("blue");
	asked.key_id = SL_SLICE("vk_1");
	sl_store_free(open_store());
	run_sql("DROP VIEW records; DROP TABLE record_lines;"
	        "CREATE VIEW records AS SELECT *, json_extract(end_user, '$[0]') FROM records_before;"
	        "DELETE FROM migrations WHERE version = (SELECT max(version) FROM migrations);"
	        "INSERT INTO record_owners(id, key_id) VALUES (1, 'vk_1');"
	        "INSERT INTO record_kinds(id) VALUES (4);"
	        "INSERT INTO record_asks(id, owner, kind, request_id, facts) VALUES"
	        " (1700000000150 << 20, 1, 4, 'req_asked', '[50,null,null,null,null,null,null,55,"
	        "null,null,{\"tag\":\"blue\"}]');"
	        "INSERT INTO records_before(id, request_id, client_request_id, end_wall_ms)"
	        " VALUES (1700000000100 << 20, 'req_before', 'req_before', 1700000000100)");
	before.client_request_id = before.request_id;
	asked.client_request_id = asked.request_id;
	read_as_it_is("req_before", &before);
	read_as_it_is("req_asked", &asked);
	/* And of the one before that. */
	run_sql("DROP VIEW records; DROP TABLE record_asks;"
	        "CREATE VIEW records AS SELECT * FROM records_before;"
	        "DELETE FROM migrations WHERE version = (SELECT max(version) FROM migrations)");
	read_as_it_is("req_before", &before);
}

/* Where facts stand in their array is for ever. */
static void
facts_of_stored_rows_keep_their_places(void **state)
{
	struct sl_record_row row = empty_row("req_1", 1700000000100);
	struct sl_store *store;

	(void)state;
	row.begin_wall_ms = 1700000000058;
	row.bytes_in = 1;
	row.bytes_out = 2;
	row.total_us = 3;
	row.first_content_us = 4;
	row.upstream_us = 5;
	row.added_us = 6;
	row.cost_nanousd = 7;
	row.usage[SL_USAGE_INPUT] = 8;
	row.usage[SL_USAGE_OUTPUT] = 9;
	row.usage[SL_USAGE_IMAGES] = 10;
	row.client_request_id = SL_SLICE("mine");
	row.tag = SL_SLICE("tag");
	row.translation = SL_SLICE("all");
	row.bids = SL_SLICE("none");
	row.score_permille = 11;
	row.trace_id = SL_SLICE("0af7651916cd43dd8448eb211c80319c");
	store = open_store();
	assert_int_equal(append(store, &row, 1, false), SL_OK);
	sl_store_free(store);
	assert_string_equal(query("SELECT facts, hex(trace), typeof(trace) FROM record_lines"),
	                    "[1,1,42,1,2,3,4,5,6,7,8,9,{\"client_request_id\":\"mine\",\"tag\":\"tag\","
	                    "\"translation\":\"all\",\"bids\":\"none\",\"score_permille\":11,"
	                    "\"images\":10}]|0AF7651916CD43DD8448EB211C80319C|blob|");
}

/* A batch that was taken back left nothing behind that the next could be counted from. */
static void
first_rows_that_were_taken_back_keep_their_times(void **state)
{
	struct sl_record_row row = empty_row("req_1", 1700000000100);
	struct sl_store *store = open_store();

	(void)state;
	assert_int_equal(append(store, &row, 1, true), SL_EINVAL);
	assert_int_equal(append(store, &row, 1, false), SL_OK);
	assert_int_equal(find(store, "req_1", same_row, &row), SL_OK);
	sl_store_free(store);
}

/* What is told short, or escaped, comes back as it was. */
static void
odd_values_come_back(void **state)
{
	static const char *const traces[] = {
		"0123456789abcdeffedcba9876543210", "0123456789ABCDEFFEDCBA9876543210",
		"0123456789abcdeffedcba987654321g", "0123456789abcdeffedcba987654321", "`/:@[", "\"\\\x01",
	};
	static const int64_t numbers[] = { 0, 9, 10, 99, 12345678, 99999999, 100000000, 123456789012,
		                           -1, INT64_MAX, INT64_MIN + 1, SL_RECORD_NULL };
	enum { TRACES = sizeof(traces) / sizeof(traces[0]),
	       NUMBERS = sizeof(numbers) / sizeof(numbers[0]), ROWS = TRACES * NUMBERS };
	static struct sl_record_row rows[ROWS];
	static char names[ROWS][16], tags[ROWS][8];
	struct sl_store *store = open_store();

	(void)state;
	for (int i = 0; i < ROWS; i++) {
		snprintf(names[i], sizeof(names[i]), "req_%d", i);
		rows[i] = empty_row(names[i], 1700000000000 + i);
		rows[i].trace_id = sl_slice_str(traces[i % TRACES]);
		rows[i].cost_nanousd = rows[i].total_us = numbers[i / TRACES];
		rows[i].usage[SL_USAGE_OUTPUT] = rows[i].usage[SL_USAGE_REASONING] =
		    numbers[i / TRACES];
		rows[i].begin_wall_ms = i % 3 ? rows[i].end_wall_ms - i : SL_RECORD_NULL;
		/* Each control character, what JSON escapes, and bytes that are no UTF-8. */
		snprintf(tags[i], sizeof(tags[i]), "%c\"\\%c\xff", i % 31 + 1, i + 0x20);
		rows[i].tag = sl_slice_str(tags[i]);
	}
	assert_int_equal(append(store, rows, ROWS, false), SL_OK);
	for (int i = 0; i < ROWS; i++)
		assert_int_equal(find(store, names[i], same_row, &rows[i]), SL_OK);
	sl_store_free(store);
}

static void
ends_behind(void *context, const struct sl_record_row *row)
{
	(void)context;
	assert_true(sl_slice_is(row->end_user, "some\xef\xbf\xbd" "body"));
}

/* A caller may say it in JSON; nothing behind it is lost. */
static void
a_nul_in_a_text_is_told_as_another_character(void **state)
{
	struct sl_record_row row = empty_row("req_1", 1700000000100);
	struct sl_store *store = open_store();

	(void)state;
	row.end_user = SL_SLICE("some\0body");
	assert_int_equal(append(store, &row, 1, false), SL_OK);
	assert_int_equal(find(store, "req_1", ends_behind, NULL), SL_OK);
	sl_store_free(store);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(every_column_comes_back),
		TEST(what_is_alike_is_kept_once),
		TEST(rows_out_of_order_keep_their_times),
		TEST(others_see_what_is_stored_at_once),
		TEST(each_row_has_its_own),
		TEST(rows_come_in_any_order),
		TEST(questions_use_indexes),
		TEST(columns_that_are_missing_are_added),
		TEST(records_of_the_version_before_stay),
		TEST(records_with_a_column_for_each_thing_stay),
		TEST(rows_are_found_by_id),
		TEST(records_with_more_columns_stay),
		TEST(a_store_of_the_version_before_can_be_read),
		TEST(facts_of_stored_rows_keep_their_places),
		TEST(first_rows_that_were_taken_back_keep_their_times),
		TEST(odd_values_come_back),
		TEST(a_nul_in_a_text_is_told_as_another_character),
	};

	sl_log_init(SL_LOG_OFF, STDERR_FILENO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

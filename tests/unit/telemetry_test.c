/* telemetry_test.c - rows from loops to the store and the log; metrics text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "telemetry/row.h"
#include "telemetry/row_queue.h"
#include "telemetry/telemetry.h"

static char directory[64];
static char path[128];
static char log_path[128];
static int  log_fd;

static int
set_up(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/sluice-telemetry-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/test.db", directory);
	snprintf(log_path, sizeof(log_path), "%s/log", directory);
	log_fd = open(log_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	sl_log_init(SL_LOG_INFO, log_fd);
	return log_fd < 0 ? -1 : 0;
}

static int
tear_down(void **state)
{
	static const char *const names[] = { "test.db", "test.db-wal", "test.db-shm", "log" };
	char name[160];

	(void)state;
	sl_log_init(SL_LOG_INFO, STDERR_FILENO);
	close(log_fd);
	for (size_t i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s/%s", directory, names[i]);
		unlink(name);
	}
	return rmdir(directory);
}

static struct sl_store *
open_store(void)
{
	const char *reason = NULL;
	char url[160];
	struct sl_store *store;

	snprintf(url, sizeof(url), "sqlite:%s", path);
	store = sl_store_new(sl_slice_str(url), &reason);
	if (!store)
		print_error("%s\n", reason);
	assert_non_null(store);
	return store;
}

static struct sl_telemetry *
open_telemetry(struct sl_store *store, unsigned loops, bool access_log)
{
	struct sl_telemetry_config config = { .loops = loops, .access_log = access_log,
		                              .version = "1.2.3" };
	struct sl_telemetry *telemetry = sl_telemetry_new(&config, store);

	assert_non_null(telemetry);
	return telemetry;
}

static int64_t
query(const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *stmt;
	int64_t result;

	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	result = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return result;
}

static struct sl_record
usual_record(void)
{
	struct sl_record record = {
		.row.request_id = SL_SLICE("req_01HZX3J9Q3N8Y5T2W7V4K6M1P0"),
		.row.trace_id = SL_SLICE("0af7651916cd43dd8448eb211c80319c"),
		.row.begin_wall_ms = 1700000000000,
		.row.key_id = SL_SLICE("vk_01HZX3J9Q3N8Y5T2W7V4K6M1P1"),
		.row.team = SL_SLICE("search"),
		.row.surface = SL_SLICE("gateway"),
		.row.shape = SL_SLICE("openai_chat"),
		.row.operation = SL_SLICE("chat"),
		.row.model_requested = SL_SLICE("openai/gpt-4o-mini"),
		.row.provider = SL_SLICE("openai"),
		.row.model_served = SL_SLICE("gpt-4o-mini"),
		.row.model_reported = SL_SLICE("gpt-4o-mini-2024-07-18"),
		.row.status = 200,
		.row.upstream_status = 200,
		.outcome = SL_OUTCOME_OK,
		.priced = true,
		.row.cost_nanousd = 123456,
		.row.price_date = SL_SLICE("2025-01-01"),
		.row.attempts = 1,
		.row.bytes_in = 512,
		.row.bytes_out = 2048,
		.row.total_us = 350000,
		.row.first_content_us = 120000,
		.row.upstream_us = 349000,
		.row.added_us = 42,
	};

	record.usage.source = SL_USAGE_REPORTED;
	sl_usage_set(&record.usage, SL_USAGE_INPUT, 100);
	sl_usage_set(&record.usage, SL_USAGE_OUTPUT, 20);
	return record;
}

/* --- rows ------------------------------------------------------------------ */

static void
encoded_rows_come_back(void **state)
{
	static const int64_t edges[] = { 0, 1, -1, 63, 64, -64, -65, INT64_MAX, INT64_MIN + 1,
		                         SL_RECORD_NULL, 1700000000000 };
	struct sl_row_queue queue;
	struct sl_row_cursor at = { 0 };
	struct sl_record record = usual_record();
	struct sl_record_row in, out = { 0 };
	char big[5000];

	(void)state;
	memset(big, 'x', sizeof(big));
	sl_row_queue_init(&queue, 1 << 20, NULL);
	assert_false(sl_row_next(&queue, &at, &out));
	sl_record_complete(&record);
	in = record.row;
	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		in.added_us = edges[i];
		in.usage[SL_USAGE_AUDIO_MS] = edges[i];
		assert_true(sl_row_push(&queue, &in, sl_row_alike(&queue, &in)));
	}
	/* Cut at the column's size, before the character that would be split. */
	memcpy(big + 127, "\xe2\x82\xac", 3);
	in.end_user = sl_slice_make(big, sizeof(big));
	assert_true(sl_row_push(&queue, &in, sl_row_alike(&queue, &in)));
	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		assert_true(sl_row_next(&queue, &at, &out));
		assert_true(out.added_us == edges[i]);
		assert_true(out.usage[SL_USAGE_AUDIO_MS] == edges[i]);
		assert_true(sl_slice_eq(out.model_reported, in.model_reported));
		assert_true(sl_slice_is(out.outcome, "ok"));
		assert_int_equal(out.workspace.len, 0);
		assert_true(out.usage[SL_USAGE_REASONING] == SL_RECORD_NULL);
		assert_int_equal(out.end_wall_ms, 1700000000350);
	}
	assert_true(sl_row_next(&queue, &at, &out));
	assert_int_equal(out.end_user.len, 127);
	assert_false(sl_row_next(&queue, &at, &out));
	sl_row_queue_release(&queue);
}

/* What many rows have in common is decoded once; each row says the same all the same. */
static void
rows_like_the_one_before_say_all_of_theirs(void **state)
{
	static const char text[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
	enum { ROWS = 2000 };
	struct sl_row_queue queue;
	struct sl_row_cursor at = { 0 };
	struct sl_record record = usual_record();
	struct sl_record_row in, out = { 0 };
	const char *common = NULL;
	unsigned same = 0;

	(void)state;
	sl_row_queue_init(&queue, 1 << 20, NULL);
	sl_record_complete(&record);
	in = record.row;
	for (unsigned i = 0; i < ROWS; i++) {
		in.key_id = sl_slice_make(text, i / 3 % 50); /* each length */
		in.status = 200 + i / 7 % 5;
		in.request_id = sl_slice_make(text + i % 10, i % 40);
		in.bytes_in = i;
		assert_true(sl_row_push(&queue, &in, sl_row_alike(&queue, &in)));
	}
	for (unsigned i = 0; i < ROWS; i++) {
		assert_true(sl_row_next(&queue, &at, &out));
		assert_true(sl_slice_eq(out.key_id, sl_slice_make(text, i / 3 % 50)));
		assert_int_equal(out.status, 200 + i / 7 % 5);
		assert_true(sl_slice_eq(out.request_id, sl_slice_make(text + i % 10, i % 40)));
		assert_int_equal(out.bytes_in, i);
		assert_true(sl_slice_eq(out.outcome, SL_SLICE("ok")));
		same += common == out.common.ptr;
		common = out.common.ptr;
	}
	/* All whose key and status are those of the one before. */
	assert_int_equal(same, ROWS - 1 - (ROWS - 1) / 3 - (ROWS - 1) / 7 + (ROWS - 1) / 21);
	assert_false(sl_row_next(&queue, &at, &out));
	sl_row_queue_release(&queue);
}

/* Whichever column of those in common it is in which a row differs from the one before. */
static void
each_column_in_common_is_told(void **state)
{
	struct sl_row_queue queue;
	struct sl_row_cursor at = { 0 };
	struct sl_record record = usual_record();
	struct sl_record_row in, changed, out = { 0 };
	unsigned columns = 0;

	(void)state;
	sl_row_queue_init(&queue, 1 << 20, NULL);
	sl_record_complete(&record);
	in = record.row;
	/* Texts of the same length that differ at their end, in the middle, at their begin. */
#define TRY_TEXT(name, value) \
	changed = in; \
	changed.name = sl_slice_make(value, sizeof(value) - 1); \
	assert_false(sl_row_alike(&queue, &changed)); \
	assert_true(sl_row_push(&queue, &changed, false)); \
	assert_true(sl_row_next(&queue, &at, &out)); \
	assert_true(sl_slice_is(out.name, value)); \
	assert_true(sl_row_alike(&queue, &changed));
#define TRY_INTEGER(name, value) \
	changed = in; \
	changed.name = value; \
	assert_false(sl_row_alike(&queue, &changed)); \
	assert_true(sl_row_push(&queue, &changed, false)); \
	assert_true(sl_row_next(&queue, &at, &out)); \
	assert_true(out.name == (value));
#define EACH_TEXT(name) \
	TRY_TEXT(name, "") TRY_TEXT(name, "a") TRY_TEXT(name, "b") TRY_TEXT(name, "abc") \
	TRY_TEXT(name, "abd") TRY_TEXT(name, "acd") TRY_TEXT(name, "12345678") \
	TRY_TEXT(name, "12345679") TRY_TEXT(name, "02345679") TRY_TEXT(name, "123456789012") \
	TRY_TEXT(name, "123456789013") TRY_TEXT(name, "023456789013")
#define EACH_INTEGER(name) \
	TRY_INTEGER(name, 77) TRY_INTEGER(name, SL_RECORD_NULL) TRY_INTEGER(name, -78)
#define IN_OWNER(type, name) EACH_##type(name) columns++;
#define IN_KIND(type, name)  EACH_##type(name) columns++;
#define IN_ID(type, name)
#define IN_ROW(type, name)
#define IN_USER(type, name)
#define IN_HEX(type, name)
#define IN_BEGIN(type, name)
#define IN_FACT(type, name)
#define IN_RARE(type, name)
#define IN_LABEL(type, name)
#define SL_COLUMN(place, type, name) IN_##place(type, name)
#include "store/sqlite_columns.def"
#undef SL_COLUMN
	assert_true(columns > 20);
	/* What stands in every row is not looked at. */
	changed.request_id = SL_SLICE("req_2");
	changed.bytes_in = changed.begin_wall_ms = 5;
	assert_true(sl_row_alike(&queue, &changed));
	sl_row_queue_release(&queue);
}

static void
a_full_queue_drops_and_counts(void **state)
{
	struct sl_row_queue queue;
	struct sl_row_cursor at = { 0 };
	struct sl_record record = usual_record();
	struct sl_record_row row;
	uint64_t pushed = 0, read = 0;

	(void)state;
	sl_record_complete(&record);
	row = record.row;
	sl_row_queue_init(&queue, 3 * sizeof(struct sl_row_chunk), NULL);
	while (sl_row_push(&queue, &row, sl_row_alike(&queue, &row)))
		pushed++;
	assert_true(pushed > 3 * SL_ROW_CHUNK_SIZE / 1200);
	assert_int_equal(atomic_load(&queue.dropped), 1);
	while (sl_row_next(&queue, &at, NULL))
		read++;
	assert_int_equal(read, pushed);
	sl_row_free_before(&queue, &at);
	assert_true(sl_row_push(&queue, &row, sl_row_alike(&queue, &row))); /* there is room again */
	sl_row_queue_release(&queue);
}

/* --- nothing is lost ------------------------------------------------------- */

enum { LOOPS = 4, ROWS_PER_LOOP = 25000 };

struct producer {
	struct sl_telemetry *telemetry;
	unsigned             index;
};

static void *
produce(void *argument)
{
	struct producer *producer = argument;
	struct sl_record record = usual_record();

	for (int i = 0; i < ROWS_PER_LOOP; i++) {
		record.row.begin_wall_ms = 1700000000000 + i;
		record.row.cost_nanousd = i;
		sl_telemetry_begin(producer->telemetry, producer->index);
		sl_telemetry_finish(producer->telemetry, producer->index, &record);
	}
	return NULL;
}

static void
no_row_is_lost_at_shutdown(void **state)
{
	struct sl_store *store = open_store();
	struct sl_telemetry *telemetry = open_telemetry(store, LOOPS, false);
	struct producer producers[LOOPS];
	pthread_t threads[LOOPS];
	struct sl_telemetry_gauges gauges = { 0 };
	struct sl_buf text;

	(void)state;
	for (unsigned i = 0; i < LOOPS; i++) {
		producers[i] = (struct producer){ telemetry, i };
		pthread_create(&threads[i], NULL, produce, &producers[i]);
	}
	sl_buf_init(&text, 1 << 20);
	for (int i = 0; i < 20; i++) { /* somebody looks while the loops count */
		sl_buf_clear(&text);
		sl_telemetry_metrics(telemetry, &gauges, &text);
		usleep(1000);
	}
	sl_buf_release(&text);
	for (unsigned i = 0; i < LOOPS; i++)
		pthread_join(threads[i], NULL);
	sl_telemetry_free(telemetry);
	sl_store_free(store);
	assert_int_equal(query("SELECT count(*) FROM records"), LOOPS * ROWS_PER_LOOP);
	assert_int_equal(query("SELECT sum(cost_nanousd) FROM records"),
	                 (int64_t)LOOPS * ROWS_PER_LOOP * (ROWS_PER_LOOP - 1) / 2);
	assert_int_equal(query("SELECT sum(requests) FROM hours"), LOOPS * ROWS_PER_LOOP);
	assert_int_equal(query("SELECT sum(cost_nanousd) FROM hours"),
	                 query("SELECT sum(cost_nanousd) FROM records"));
}

static void
finish_one(struct sl_telemetry *telemetry, struct sl_record *record)
{
	sl_telemetry_begin(telemetry, 0);
	sl_telemetry_finish(telemetry, 0, record);
}

static bool
becomes_durable(struct sl_telemetry *telemetry, int within_ms)
{
	for (; within_ms > 0 && sl_telemetry_pending(telemetry) > 0; within_ms -= 5)
		usleep(5000);
	return sl_telemetry_pending(telemetry) == 0;
}

static void
rows_become_durable_by_themselves(void **state)
{
	struct sl_store *store = open_store();
	struct sl_telemetry *telemetry = open_telemetry(store, 1, false);
	struct sl_record record = usual_record();

	(void)state;
	for (int i = 0; i < 3; i++) { /* also after having slept */
		finish_one(telemetry, &record);
		assert_true(becomes_durable(telemetry, 30000));
		usleep(60000);
	}
	assert_int_equal(query("SELECT count(*) FROM records"), 3);
	sl_telemetry_free(telemetry);
	sl_store_free(store);
}

static void
limit_files(rlim_t size)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void
rows_wait_for_an_ill_store(void **state)
{
	struct sl_store *store = open_store();
	struct sl_telemetry *telemetry = open_telemetry(store, 1, false);
	struct sl_record record = usual_record();

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	limit_files(1);
	for (int i = 0; i < 1000; i++)
		finish_one(telemetry, &record);
	for (int i = 0; i < 6000 && sl_store_healthy(store); i++)
		usleep(5000);
	assert_false(sl_store_healthy(store));
	assert_int_equal(sl_telemetry_pending(telemetry), 1000);
	limit_files(RLIM_INFINITY);
	assert_true(becomes_durable(telemetry, 30000));
	sl_telemetry_free(telemetry);
	sl_store_free(store);
	assert_int_equal(query("SELECT count(*) FROM records"), 1000);
	assert_int_equal(query("SELECT sum(requests) FROM hours"), 1000);
}

/* Whatever was begun has room for its row, the largest one too. */
static void
no_row_of_what_was_begun_is_lost(void **state)
{
	static const struct sl_telemetry_config config = { .loops = 1, .queue_bytes = 1 << 20 };
	struct sl_store *store = open_store();
	struct sl_telemetry *telemetry = sl_telemetry_new(&config, store);
	struct sl_record record = usual_record();
	uint64_t begun = 0, refused = 0;
	size_t open = 0;
	char huge[200];

	(void)state;
	memset(huge, 'x', sizeof(huge));
	record.row.client_request_id = record.row.end_user = record.row.model_requested = record.row.team =
	    sl_slice_make(huge, sizeof(huge));
	signal(SIGXFSZ, SIG_IGN);
	limit_files(1);
	while (refused < 100) {
		if (sl_telemetry_begin(telemetry, 0)) {
			begun++;
			open++;
		} else {
			refused++;
			sl_telemetry_finish_rowless(telemetry, 0, &record);
		}
		/* A hundred in flight; then they end, and there may be room again. */
		while (open > 0 && (open == 100 || refused > 0)) {
			open--;
			sl_telemetry_finish(telemetry, 0, &record);
		}
	}
	assert_true(begun > 500);
	assert_int_equal(sl_telemetry_pending(telemetry), begun);
	limit_files(RLIM_INFINITY);
	assert_true(becomes_durable(telemetry, 30000));
	assert_true(sl_telemetry_begin(telemetry, 0));
	sl_telemetry_finish(telemetry, 0, &record);
	sl_telemetry_free(telemetry);
	sl_store_free(store);
	assert_int_equal(query("SELECT count(*) FROM records"), begun + 1);
}

/* Keeps the store's thread busy until it is let go. */
struct blocker {
	struct sl_store_job job;
	atomic_bool         let_go, ended;
};

static void
block(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct blocker *blocker = SL_CONTAINER(job, struct blocker, job);

	(void)ops;
	(void)conn;
	while (!atomic_load(&blocker->let_go))
		usleep(1000);
}

static void
blocked(struct sl_store_job *job)
{
	atomic_store(&SL_CONTAINER(job, struct blocker, job)->ended, true);
}

static bool
room_becomes(struct sl_telemetry *telemetry, enum sl_room room)
{
	for (int i = 0; i < 30000 && sl_telemetry_room(telemetry, 0) != room; i++)
		usleep(1000);
	return sl_telemetry_room(telemetry, 0) == room;
}

/* A store that is behind makes the room tight; one that stands still, useless to wait for. */
static void
the_room_says_how_the_store_does(void **state)
{
	static const struct sl_telemetry_config config = { .loops = 1, .queue_bytes = 1 << 20 };
	struct blocker blocker = { .job = { .run = block, .done = blocked } };
	struct sl_store *store = open_store();
	struct sl_telemetry *telemetry = sl_telemetry_new(&config, store);
	struct sl_record record = usual_record();
	uint64_t rows = 0;

	(void)state;
	assert_int_equal(sl_telemetry_room(telemetry, 0), SL_ROOM_FREE);
	assert_int_equal(sl_store_submit(store, &blocker.job), SL_OK);
	while (sl_telemetry_room(telemetry, 0) == SL_ROOM_FREE) {
		/* Long before it is full. */
		assert_true(sl_telemetry_begin(telemetry, 0));
		sl_telemetry_finish(telemetry, 0, &record);
		rows++;
	}
	assert_true(sl_telemetry_begin(telemetry, 0));
	sl_telemetry_finish(telemetry, 0, &record);
	assert_true(room_becomes(telemetry, SL_ROOM_STUCK));
	atomic_store(&blocker.let_go, true);
	assert_true(room_becomes(telemetry, SL_ROOM_FREE));
	assert_true(becomes_durable(telemetry, 20000));
	sl_telemetry_free(telemetry);
	sl_store_free(store);
	assert_true(atomic_load(&blocker.ended));
	assert_int_equal(query("SELECT count(*) FROM records"), rows + 1);
}

/* One that was answered at its head is over, whether it left a row or not. */
static void
what_leaves_no_row_is_over(void **state)
{
	static const struct sl_telemetry_config config = { .loops = 1, .queue_bytes = 1 << 20 };
	const struct sl_telemetry_gauges gauges = { 0 };
	struct blocker blocker = { .job = { .run = block, .done = blocked } };
	struct sl_store *store = open_store();
	struct sl_telemetry *telemetry = sl_telemetry_new(&config, store);
	struct sl_record record = usual_record();
	uint64_t begun = 0, rows;
	struct sl_buf text;

	(void)state;
	assert_int_equal(sl_store_submit(store, &blocker.job), SL_OK);
	do {
		assert_true(sl_telemetry_begin(telemetry, 0));
		sl_telemetry_finish_headed(telemetry, 0, &record);
		begun++;
	} while (sl_telemetry_pending(telemetry) == begun);
	rows = sl_telemetry_pending(telemetry);
	sl_buf_init(&text, 1 << 20);
	sl_telemetry_metrics(telemetry, &gauges, &text);
	assert_int_equal(sl_buf_append(&text, sl_slice_make("", 1)), SL_OK);
	assert_non_null(strstr(text.ptr, "\nsluice_requests_in_flight 0\n"));
	assert_non_null(strstr(text.ptr, "\nsluice_records_skipped_total 1\n"));
	sl_buf_release(&text);
	atomic_store(&blocker.let_go, true);
	assert_true(sl_telemetry_free(telemetry));
	sl_store_free(store);
	assert_int_equal(query("SELECT count(*) FROM records"), rows);
}

static void
values_reach_their_columns(void **state)
{
	struct sl_store *store = open_store();
	struct sl_telemetry *telemetry = open_telemetry(store, 1, false);
	struct sl_record record = usual_record();

	(void)state;
	finish_one(telemetry, &record);
	record.priced = false;
	finish_one(telemetry, &record);
	record.outcome = SL_OUTCOME_REFUSED;
	record.fault = SL_FAULT_RPM;
	record.row.status = 429;
	record.row.provider = record.row.model_served = SL_SLICE_NONE;
	record.usage = (struct sl_usage){ 0 };
	finish_one(telemetry, &record);
	sl_telemetry_free(telemetry);
	sl_store_free(store);
	assert_int_equal(query("SELECT count(*) FROM records WHERE team = 'search' AND"
	                       " model_served = 'gpt-4o-mini' AND outcome = 'ok' AND"
	                       " cost_nanousd = 123456 AND input_tokens = 100 AND"
	                       " output_tokens = 20 AND reasoning_tokens IS NULL AND"
	                       " usage_source = 'reported' AND fault IS NULL AND unpriced = 0 AND"
	                       " end_wall_ms = 1700000000350 AND id >> 20 = end_wall_ms"), 1);
	assert_int_equal(query("SELECT count(*) FROM records WHERE cost_nanousd IS NULL AND"
	                       " unpriced = 1 AND outcome = 'ok'"), 1);
	assert_int_equal(query("SELECT count(*) FROM records WHERE cost_nanousd IS NULL AND"
	                       " unpriced = 0 AND outcome = 'refused' AND fault = 'RPM' AND"
	                       " provider IS NULL AND usage_source IS NULL"), 1);
	assert_int_equal(query("SELECT sum(unpriced_requests) FROM hours"), 1);
}

/* --- the access log -------------------------------------------------------- */

static char *
read_log(void)
{
	static char text[1 << 20];
	ssize_t size = pread(log_fd, text, sizeof(text) - 1, 0);

	assert_true(size >= 0);
	text[size] = '\0';
	return text;
}

static void
log_lines_parse_whatever_callers_send(void **state)
{
	static const char hostile[] = "a\r\n{\"level\":\"error\"}\n\x1b[31m\0\x7f\"\\\xff\xc3";
	struct sl_telemetry *telemetry = open_telemetry(NULL, 1, true);
	struct sl_record record = usual_record();
	struct sl_slice rest, bad = sl_slice_make(hostile, sizeof(hostile) - 1);
	char huge[4000];
	int lines = 0;

	(void)state;
	memset(huge, '\x01', sizeof(huge));
	record.row.client_request_id = record.row.end_user = record.row.model_requested = bad;
	finish_one(telemetry, &record);
	record.row.client_request_id = record.row.team = record.row.workspace = record.row.model_reported =
	    sl_slice_make(huge, sizeof(huge));
	finish_one(telemetry, &record);
	record = usual_record();
	record.row.end_user = SL_SLICE("Bearer sk-live-abcdefghijklmnopqrstuvwxyz0123456789");
	finish_one(telemetry, &record);
	sl_telemetry_free(telemetry);
	rest = sl_slice_str(read_log());
	assert_null(strstr(rest.ptr, "abcdefghijklmnop"));
	while (rest.len) {
		struct sl_slice line = sl_slice_cut(&rest, '\n');
		struct sl_json_error error;
		struct sl_json json;

		for (size_t i = 0; i < line.len; i++)
			assert_true((unsigned char)line.ptr[i] >= 0x20);
		assert_int_equal(sl_json_validate(line, &sl_json_limits_default, &error), SL_OK);
		json = sl_json_parse(line);
		assert_true(sl_json_is(sl_json_get(json, "msg"), "request"));
		assert_true(sl_json_is(sl_json_get(json, "outcome"), "ok"));
		lines++;
	}
	assert_int_equal(lines, 3);
}

static void
log_lines_arrive_soon(void **state)
{
	struct sl_telemetry *telemetry = open_telemetry(NULL, 1, true);
	struct sl_record record = usual_record();
	int waited_ms = 0;

	(void)state;
	usleep(20000);
	finish_one(telemetry, &record);
	for (; waited_ms < 30000 && !strstr(read_log(), "\n"); waited_ms += 5)
		usleep(5000);
	assert_in_range(waited_ms, 0, 29999);
	assert_non_null(strstr(read_log(), "\"cost_usd\":0.000123456"));
	assert_non_null(strstr(read_log(), "\"ts\":\"2023-11-14T22:13:20.350Z\""));
	assert_null(strstr(read_log(), "workspace"));
	sl_telemetry_free(telemetry);
}

static double
counted(struct sl_telemetry *telemetry, const char *provider, const char *status)
{
	char series[200];
	struct sl_buf text;
	double value = 0;
	char *at;

	sl_buf_init(&text, 1 << 20);
	sl_telemetry_metrics(telemetry, &(struct sl_telemetry_gauges){ 0 }, &text);
	assert_int_equal(sl_buf_append_char(&text, '\0'), SL_OK);
	for (at = text.ptr; (at = strstr(at, "\nsluice_requests_total{")); at++) {
		snprintf(series, sizeof(series), "%.*s", (int)strcspn(at + 1, "}"), at + 1);
		if (strstr(series, provider) && strstr(series, status))
			value += strtod(strchr(at, '}') + 1, NULL);
	}
	sl_buf_release(&text);
	return value;
}

/* In whatever order they come, with a row or without. */
static void
each_record_is_counted_where_it_belongs(void **state)
{
	static const char *const providers[] = { "first", "second" };
	static const char *const statuses[] = { "status=\"200\"", "status=\"503\"" };
	struct sl_telemetry *telemetry = open_telemetry(NULL, 1, false);
	struct sl_record record = usual_record();
	unsigned expected[2][2] = { 0 };

	(void)state;
	for (unsigned i = 0; i < 4000; i++) {
		unsigned provider = i * i / 7 % 2, status = i / 5 % 3 == 0;

		record.row.provider = sl_slice_str(providers[provider]);
		record.row.status = status ? 503 : 200;
		record.outcome = status ? SL_OUTCOME_FAILED : SL_OUTCOME_OK;
		expected[provider][status]++;
		assert_true(sl_telemetry_begin(telemetry, 0));
		if (i / 11 % 4 == 1)
			sl_telemetry_finish_rowless(telemetry, 0, &record);
		else
			sl_telemetry_finish(telemetry, 0, &record);
	}
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(counted(telemetry, providers[i / 2], statuses[i % 2]),
		                 expected[i / 2][i % 2]);
	sl_telemetry_free(telemetry);
}

/* --- marks ----------------------------------------------------------------- */

/* However many come after it from another loop. */
static void
what_was_queued_before_a_mark_is_stored_then(void **state)
{
	enum { OTHERS = 40000 }; /* more than a batch */
	struct blocker blocker = { .job = { .run = block, .done = blocked } };
	struct sl_store *store = open_store();
	struct sl_telemetry *telemetry = open_telemetry(store, 2, false);
	struct sl_record record = usual_record();
	uint64_t mark;

	(void)state;
	assert_int_equal(sl_store_submit(store, &blocker.job), SL_OK);
	record.row.request_id = SL_SLICE("req_early");
	assert_true(sl_telemetry_begin(telemetry, 1));
	sl_telemetry_finish(telemetry, 1, &record);
	mark = sl_telemetry_mark(telemetry);
	record.row.request_id = SL_SLICE("req_other");
	for (int i = 0; i < OTHERS; i++) {
		assert_true(sl_telemetry_begin(telemetry, 0));
		sl_telemetry_finish(telemetry, 0, &record);
	}
	assert_false(sl_telemetry_stored(telemetry, mark));
	atomic_store(&blocker.let_go, true);
	for (int tries = 0; tries < 60000 && !sl_telemetry_stored(telemetry, mark); tries++)
		usleep(1000);
	assert_int_equal(query("SELECT count(*) FROM records WHERE request_id = 'req_early'"), 1);
	assert_true(sl_telemetry_free(telemetry));
	assert_int_equal(query("SELECT count(*) FROM records"), OTHERS + 1);
	sl_store_free(store);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(encoded_rows_come_back),
		TEST(rows_like_the_one_before_say_all_of_theirs),
		TEST(each_column_in_common_is_told),
		TEST(a_full_queue_drops_and_counts),
		TEST(no_row_is_lost_at_shutdown),
		TEST(rows_become_durable_by_themselves),
		TEST(rows_wait_for_an_ill_store),
		TEST(no_row_of_what_was_begun_is_lost),
		TEST(the_room_says_how_the_store_does),
		TEST(what_leaves_no_row_is_over),
		TEST(values_reach_their_columns),
		TEST(log_lines_parse_whatever_callers_send),
		TEST(log_lines_arrive_soon),
		TEST(each_record_is_counted_where_it_belongs),
		TEST(what_was_queued_before_a_mark_is_stored_then),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

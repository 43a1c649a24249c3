/* sqlite_wal_test.c - gathered pages and a disk that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../store_fixture.h"
#include "store/sqlite_wal.c"

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

static sqlite3 *
open_db(const char *vfs)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs),
	                 SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
	                                  "PRAGMA wal_autocheckpoint = 0", NULL, NULL, NULL),
	                 SQLITE_OK);
	return db;
}

static void
run(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

static void
expect_text(sqlite3 *db, const char *sql, const char *wanted)
{
	sqlite3_stmt *stmt;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(stmt, 0), wanted);
	sqlite3_finalize(stmt);
}

static int
fail_to_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset)
{
	(void)file;
	(void)bytes;
	(void)size;
	(void)offset;
	return SQLITE_FULL;
}

static const sqlite3_io_methods *system_methods;

/* Of the database, not of its log. */
static void
set_disk(sqlite3 *db, bool works)
{
	static sqlite3_io_methods failing;
	sqlite3_file *base;
	struct file *file;

	assert_int_equal(sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &base),
	                 SQLITE_OK);
	file = file_of(base);
	if (works) {
		file->real.pMethods = system_methods;
		return;
	}
	system_methods = file->real.pMethods;
	failing = *system_methods;
	failing.xWrite = fail_to_write;
	file->real.pMethods = &failing;
}

static int
checkpoint(sqlite3 *db, int mode)
{
	return sqlite3_wal_checkpoint_v2(db, "main", mode, NULL, NULL);
}

static void
a_checkpoint_that_cannot_write_fails(void **state)
{
	sqlite3 *db = open_db(sl_sqlite_vfs());

	(void)state;
	run(db, "CREATE TABLE t(x); INSERT INTO t VALUES (1), (2)");
	set_disk(db, false);
	assert_int_not_equal(checkpoint(db, SQLITE_CHECKPOINT_TRUNCATE), SQLITE_OK);
	set_disk(db, true);
	expect_text(db, "SELECT count(*) FROM t", "2");
	assert_int_equal(checkpoint(db, SQLITE_CHECKPOINT_TRUNCATE), SQLITE_OK);
	sqlite3_close(db);
	db = open_db(NULL);
	expect_text(db, "SELECT count(*) FROM t", "2");
	expect_text(db, "PRAGMA integrity_check", "ok");
	sqlite3_close(db);
}

/* A reader holds it up: SQLite ends it without a sync. */
static void
what_a_part_of_a_checkpoint_could_not_write_is_written_later(void **state)
{
	sqlite3 *db = open_db(sl_sqlite_vfs()), *reader;

	(void)state;
	run(db, "CREATE TABLE t(x); INSERT INTO t VALUES (1), (2)");
	reader = open_db(NULL);
	run(reader, "BEGIN");
	expect_text(reader, "SELECT count(*) FROM t", "2");
	run(db, "INSERT INTO t VALUES (3)");
	set_disk(db, false);
	(void)checkpoint(db, SQLITE_CHECKPOINT_PASSIVE);
	set_disk(db, true);
	run(reader, "COMMIT");
	sqlite3_close(reader);
	assert_int_equal(checkpoint(db, SQLITE_CHECKPOINT_TRUNCATE), SQLITE_OK);
	sqlite3_close(db);
	db = open_db(NULL);
	expect_text(db, "SELECT count(*) FROM t", "3");
	expect_text(db, "PRAGMA integrity_check", "ok");
	sqlite3_close(db);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_checkpoint_that_cannot_write_fails),
		TEST(what_a_part_of_a_checkpoint_could_not_write_is_written_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

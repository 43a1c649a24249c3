/* Rows that wait in memory that outlives the process: stored once by the next start,
 * whatever became of the one before. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/rand.h"
#include "store_fixture.h"
#include "telemetry/row_queue.h"
#include "telemetry/spool.h"

enum { ROWS = 500, SIZE = 1 << 20, IMAGE_MAX = 4 << 20 };
static char spool_path[128];
static _Alignas(struct sl_row_chunk) char image[IMAGE_MAX];
static size_t image_size;

static int
set_up(void **state)
{
	(void)state;
	if (make_directory() < 0)
		return -1;
	snprintf(spool_path, sizeof(spool_path), "%s/rows", directory);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	unlink(spool_path);
	return remove_directory();
}

static struct sl_spool *
open_spool(struct sl_store *store, uint64_t found, uint64_t stored)
{
	struct sl_spool_recovery recovery;
	const char *reason = "";
	struct sl_spool *spool = sl_spool_open(spool_path, SIZE, store, &recovery, &reason);

	if (!spool)
		fail_msg("%s", reason);
	assert_int_equal(recovery.found, found);
	assert_int_equal(recovery.stored, stored);
	return spool;
}

/* Every fifth has an id that tells its time, as the gateway gives: the store has two ways to
 * find rows. */
static void
name_request(unsigned i, struct sl_record_row *row, char id[32])
{
	unsigned char bytes[SL_ULID_SIZE];

	snprintf(id, 32, "req_%06u", i);
	if (i % 5 != 3)
		return;
	row->begin_wall_ms = row->end_wall_ms - i % 100;
	row->trace_id = SL_SLICE("0af7651916cd43dd8448eb211c80319c");
	sl_ulid_mint(bytes, row->begin_wall_ms);
	memset(bytes + 6, (int)i, sizeof(bytes) - 6); /* behind the time */
	sl_ulid_text(bytes, id + 4);
}

static void
push(struct sl_row_queue *queue, unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++) {
		char id[32];
		struct sl_record_row row = { .attempts = 1, .cost_nanousd = 1000 + i,
			                     .end_wall_ms = 1700000000000 + i };

		for (int k = 0; k < SL_USAGE_COUNT; k++)
			row.usage[k] = SL_RECORD_NULL;
		name_request(i, &row, id);
		row.request_id = sl_slice_str(id);
		row.key_id = SL_SLICE("vk_1");
		row.bucket = SL_SLICE("simple");
		row.provider = SL_SLICE("somewhere");
		assert_true(sl_row_push(queue, &row, sl_row_alike(queue, &row)));
	}
}

static void
read_image(void)
{
	int fd = open(spool_path, O_RDONLY);
	ssize_t size = read(fd, image, sizeof(image));

	assert_true(size > 0 && size < IMAGE_MAX);
	image_size = (size_t)size;
	close(fd);
}

static void
write_image(void)
{
	int fd = open(spool_path, O_WRONLY | O_TRUNC);

	assert_int_equal(write(fd, image, image_size), image_size);
	close(fd);
}

/* What a process that was killed leaves: so many rows in the image, none stored. */
static void
kill_with_rows(struct sl_store *store, unsigned count)
{
	struct sl_spool *spool = open_spool(store, 0, 0);
	struct sl_row_queue queue;

	sl_row_queue_init(&queue, SIZE, spool);
	push(&queue, 0, count);
	read_image();
	sl_row_queue_release(&queue);
	sl_spool_free(spool);
}

struct found { struct sl_store_job job; const char *id; bool there, bucket; int64_t cost; };

static void
keep(void *context, const struct sl_record_row *row)
{
	struct found *found = context;

	found->there = true;
	found->bucket = row->bucket.len > 0;
	found->cost = row->cost_nanousd;
}

static void
run_find(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct found *found = (struct found *)(void *)job;

	job->err = ops->record_find(conn, sl_slice_str(found->id), SL_RECORD_NULL, keep, found);
}

static struct found
find(struct sl_store *store, const char *id)
{
	struct found found = { .job.run = run_find, .id = id };

	(void)sl_store_run(store, &found.job);
	return found;
}

static void
rows_left_are_stored_once(void **state)
{
	struct sl_record_row short_one = { .end_wall_ms = 1700000000000 + 498 };
	struct sl_store *store = open_store();
	char id[32];
	struct sl_spool *spool = open_spool(store, 0, 0);
	struct sl_row_queue queue;

	(void)state;
	sl_row_queue_init(&queue, SIZE, spool);
	push(&queue, 0, ROWS);
	read_image(); /* as a kill would leave it */
	sl_row_queue_release(&queue);
	sl_spool_free(spool);
	sl_spool_free(open_spool(store, ROWS, ROWS));
	assert_int_equal(find(store, "req_000000").cost, 1000);
	assert_int_equal(find(store, "req_000499").cost, 1499);
	name_request(498, &short_one, id);
	assert_int_equal(find(store, id).cost, 1498);
	/* Killed before the file was emptied: they are there. */
	write_image();
	sl_spool_free(open_spool(store, ROWS, 0));
	sl_spool_free(open_spool(store, 0, 0));
	sl_store_free(store);
}

static void
what_was_given_back_is_not_found(void **state)
{
	struct sl_store *store = open_store();
	struct sl_spool *spool = open_spool(store, 0, 0);
	struct sl_row_cursor at = { 0 };
	struct sl_row_queue queue;
	unsigned left = 0;

	(void)state;
	sl_row_queue_init(&queue, SIZE, spool);
	/* More than spares: memory goes back to the file, and comes again. */
	for (unsigned round = 0; round < 3; round++) {
		push(&queue, round * 6000, 6000);
		while (sl_row_next(&queue, &at, NULL))
			left++;
		sl_row_free_before(&queue, &at);
	}
	assert_int_equal(left, 18000);
	sl_row_queue_release(&queue);
	sl_spool_free(spool);
	{
		struct sl_spool_recovery recovery;
		const char *reason = "";

		spool = sl_spool_open(spool_path, SIZE, store, &recovery, &reason);
		assert_non_null(spool);
		/* Only those of the last chunk, which is never given back. */
		assert_true(recovery.found > 0 && recovery.found < 6000);
		sl_spool_free(spool);
	}
	sl_store_free(store);
}

static blkcnt_t
blocks(void)
{
	struct stat st;

	assert_int_equal(stat(spool_path, &st), 0);
	return st.st_blocks;
}

static void
chunks_go_round_until_nobody_needs_them(void **state)
{
	enum { CHUNKS = SIZE / 2 / sizeof(struct sl_row_chunk) };
	struct sl_store *store = open_store();
	struct sl_spool *spool = open_spool(store, 0, 0);
	struct sl_row_chunk *first[CHUNKS], *again;
	blkcnt_t all;

	(void)state;
	for (int i = 0; i < CHUNKS; i++) {
		first[i] = sl_spool_take(spool);
		assert_non_null(first[i]);
	}
	all = blocks();
	for (int i = 0; i < CHUNKS; i++)
		sl_spool_give(spool, first[i]);
	/* They were needed a moment ago; the last one is the first to come again. */
	sl_spool_tidy(spool, false);
	assert_true(blocks() >= all);
	again = sl_spool_take(spool);
	assert_ptr_equal(again, first[CHUNKS - 1]);
	sl_spool_give(spool, again);
	/* All but one were not needed since. */
	sl_spool_tidy(spool, false);
	assert_true(blocks() < all);
	assert_ptr_equal(sl_spool_take(spool), again);
	sl_spool_give(spool, again);
	/* What went back to the file comes from there again. */
	for (int i = 0; i < CHUNKS; i++) {
		first[i] = sl_spool_take(spool);
		assert_non_null(first[i]);
		memset(first[i]->bytes, i, sizeof(first[i]->bytes));
	}
	assert_true(blocks() >= all);
	for (int i = 0; i < CHUNKS; i++)
		sl_spool_give(spool, first[i]);
	sl_spool_tidy(spool, true); /* nothing to do: at once */
	assert_true(blocks() < all);
	sl_spool_free(spool);
	sl_store_free(store);
}

static char *
in_image(const char *text)
{
	return memmem(image, image_size, text, strlen(text));
}

static void
another_versions_columns_are_told_by_name(void **state)
{
	struct sl_store *store = open_store();
	struct found found;

	(void)state;
	kill_with_rows(store, 1);
	memcpy(in_image("Tbucket "), "Tbicket ", 8);
	write_image();
	sl_spool_free(open_spool(store, 1, 1));
	found = find(store, "req_000000");
	assert_true(found.there && !found.bucket);
	assert_int_equal(found.cost, 1000);
	sl_store_free(store);
}

static char *
put_old(char *out, const char *bytes, size_t size)
{
	uint16_t all = (uint16_t)(size + 2);

	memcpy(out, &all, sizeof(all));
	memcpy(out + 2, bytes, size);
	return out + all;
}

/* All columns in each row, numbers as varints, as versions before this one left them. */
static void
rows_of_the_layout_before_are_stored(void **state)
{
	static const char columns[] = "Icommon Tkey_id Tprovider Istatus Tgone Trequest_id "
	                              "Icost_nanousd Iend_wall_ms Iinput_tokens ";
	static const char first[] = "\x1b\x04vk_1\x03one\x91\x03\x01g\x0aold_000001\xd1\x0f\x29\x00";
	static const char second[] = "\x09\x00\x03two\x91\x03\x00\x0aold_000002\x00\x2b\x03";
	struct sl_store *store = open_store();
	struct sl_row_chunk *chunk;
	struct found found;
	char *layout, *end;
	uint32_t size = sizeof(columns) - 1;

	(void)state;
	kill_with_rows(store, 1);
	layout = in_image("Tkey_id ");
	memcpy(layout - sizeof(size), &size, sizeof(size));
	memcpy(layout, columns, size);
	chunk = (struct sl_row_chunk *)(void *)(image + 8192);
	end = put_old(chunk->bytes, first, sizeof(first) - 1);
	end = put_old(end, second, sizeof(second) - 1);
	chunk->used = (unsigned)(end - chunk->bytes);
	write_image();
	sl_spool_free(open_spool(store, 2, 2));
	found = find(store, "old_000001");
	assert_true(found.there && !found.bucket);
	assert_int_equal(found.cost, 1000);
	found = find(store, "old_000002");
	assert_true(found.there);
	assert_true(found.cost == SL_RECORD_NULL);
	assert_false(find(store, "req_000000").there);
	sl_store_free(store);
}

static void
what_is_no_row_or_of_another_boot_is_not_taken(void **state)
{
	struct sl_store *store = open_store();
	struct sl_spool_recovery recovery;
	const char *reason = "";
	char *row;

	(void)state;
	kill_with_rows(store, 3);
	row = in_image("req_000001");
	memset(row - 3, 0xff, 30);
	write_image();
	assert_null(sl_spool_open(spool_path, SIZE, store, &recovery, &reason));
	assert_non_null(strstr(reason, spool_path));
	assert_false(find(store, "req_000000").there);
	image[8] ^= 1; /* its boot */
	write_image();
	sl_spool_free(open_spool(store, 0, 0));
	sl_store_free(store);
}

static void
another_store_in_the_same_place_gets_none(void **state)
{
	struct sl_store *store = open_store();

	(void)state;
	kill_with_rows(store, 3);
	sl_store_free(store);
	assert_int_equal(unlink(path), 0);
	store = open_store();
	write_image();
	sl_spool_free(open_spool(store, 0, 0));
	assert_false(find(store, "req_000000").there);
	/* From now on it is this one's. */
	sl_spool_free(open_spool(store, 0, 0));
	sl_store_free(store);
	store = open_store();
	kill_with_rows(store, 3);
	sl_spool_free(open_spool(store, 3, 3));
	sl_store_free(store);
}

static void
what_another_process_uses_is_left_alone(void **state)
{
	struct sl_store *store = open_store();
	struct sl_spool *spool = open_spool(store, 0, 0);
	struct sl_spool_recovery recovery;
	const char *reason = "";
	struct sl_row_queue queue;

	(void)state;
	sl_row_queue_init(&queue, SIZE, spool);
	push(&queue, 0, 3);
	assert_null(sl_spool_open(spool_path, SIZE, store, &recovery, &reason));
	assert_non_null(strstr(reason, "another process"));
	push(&queue, 3, 3);
	sl_row_queue_release(&queue);
	sl_spool_free(spool);
	sl_spool_free(open_spool(store, 6, 6));
	sl_store_free(store);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_left_are_stored_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_given_back_is_not_found, set_up, tear_down),
		cmocka_unit_test_setup_teardown(chunks_go_round_until_nobody_needs_them, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(another_versions_columns_are_told_by_name, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(rows_of_the_layout_before_are_stored, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_row_or_of_another_boot_is_not_taken, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(another_store_in_the_same_place_gets_none, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(what_another_process_uses_is_left_alone, set_up,
		                                tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

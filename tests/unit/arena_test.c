/* arena_test.c - arena and buffer: alignment, caps, sticky failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <malloc.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/text.h"

static void
allocations_are_aligned_and_disjoint(void **state)
{
	struct sl_arena arena;
	char *seen[200];

	(void)state;
	sl_arena_init(&arena, 64, 0);
	for (size_t i = 0; i < 200; i++) {
		seen[i] = sl_arena_alloc(&arena, i + 1);
		assert_non_null(seen[i]);
		assert_int_equal((uintptr_t)seen[i] % _Alignof(max_align_t), 0);
		memset(seen[i], (int)i, i + 1);
	}
	for (size_t i = 0; i < 200; i++)
		for (size_t k = 0; k <= i; k++)
			assert_int_equal((unsigned char)seen[i][k], i);
	sl_arena_release(&arena);
}

static void
cap_refuses_and_survives(void **state)
{
	struct sl_arena arena;

	(void)state;
	sl_arena_init(&arena, 64, 256);
	assert_null(sl_arena_alloc(&arena, 1000));
	assert_non_null(sl_arena_alloc(&arena, 100));
	assert_null(sl_arena_zalloc(&arena, SIZE_MAX / 2, 3));
	assert_true(arena.total_size <= 256);
	sl_arena_release(&arena);
}

static void
buffer_failure_is_sticky(void **state)
{
	struct sl_buf buf;

	(void)state;
	sl_buf_init(&buf, 10);
	assert_int_equal(sl_buf_append(&buf, SL_SLICE("12345678")), SL_OK);
	assert_int_equal(sl_buf_append(&buf, SL_SLICE("abc")), SL_ELIMIT);
	assert_true(buf.failed);
	assert_int_equal(sl_buf_append(&buf, SL_SLICE("x")), SL_ELIMIT);
	assert_true(sl_slice_is(sl_buf_slice(&buf), "12345678"));
	sl_buf_clear(&buf);
	assert_int_equal(sl_buf_printf(&buf, "%d", 42), SL_OK);
	assert_true(sl_slice_is(sl_buf_slice(&buf), "42"));
	sl_buf_release(&buf);
}

static void
integers_are_strict(void **state)
{
	int64_t value;

	(void)state;
	assert_true(sl_slice_i64(SL_SLICE("-9223372036854775808"), &value));
	assert_true(value == INT64_MIN);
	assert_false(sl_slice_i64(SL_SLICE("9223372036854775808"), &value));
	assert_false(sl_slice_i64(SL_SLICE("+1"), &value));
	assert_false(sl_slice_i64(SL_SLICE(""), &value));
	assert_false(sl_slice_i64(SL_SLICE("-"), &value));
	assert_int_equal(sl_slice_search(SL_SLICE("xabab"), SL_SLICE("ab")), 1);
	assert_int_equal(sl_slice_search(SL_SLICE("aab"), SL_SLICE("ab")), 1);
	assert_int_equal(sl_slice_search(SL_SLICE("a"), SL_SLICE("ab")), -1);
}

/* At every place of a text of several blocks, with what looks like it everywhere else. */
static void
searches_find_the_first_place_in_long_text(void **state)
{
	enum { SIZE = 420 };
	const struct sl_slice needle = SL_SLICE("sluicev1");
	char *text = malloc(SIZE); /* of its own, so that a sanitizer sees its end */

	(void)state;
	assert_non_null(text);
	for (size_t size = 1; size <= SIZE; size += size < 300 ? 37 : 1) {
		struct sl_slice all = sl_slice_make(text + SIZE - size, size);

		for (size_t i = 0; i < SIZE; i++)
			text[i] = "sluicev_sluice_1"[i % 16];
		assert_int_equal(sl_slice_search(all, needle), -1);
		assert_int_equal(sl_slice_search(all, SL_SLICE("~")), -1);
		for (size_t place = 0; place + needle.len <= size; place += 3) {
			char kept[8];
			char *at = text + SIZE - size + place;

			memcpy(kept, at, sizeof(kept));
			memcpy(at, needle.ptr, needle.len);
			assert_int_equal(sl_slice_search(all, needle), place);
			memcpy(at, kept, sizeof(kept));
		}
		text[SIZE - 1] = '~';
		assert_int_equal(sl_slice_search(all, SL_SLICE("~")), size - 1);
	}
	free(text);
}

static void
check_backwards(uint64_t value)
{
	char ours[SL_U64_DIGITS], theirs[SL_U64_DIGITS + 1];
	const int len = snprintf(theirs, sizeof(theirs), "%llu", (unsigned long long)value);
	const char *start = sl_put_u64_before(ours + sizeof(ours), value);

	assert_int_equal(ours + sizeof(ours) - start, len);
	assert_memory_equal(start, theirs, (size_t)len);
}

static void
digits_are_those_of_printf(void **state)
{
	uint64_t value = 0x0123456789abcdef;
	char ours[SL_U64_DIGITS], theirs[SL_U64_DIGITS + 1];

	(void)state;
	for (int i = 0; i < 1000; i++, value = value * 6364136223846793005 + 1442695040888963407) {
		snprintf(theirs, sizeof(theirs), "%016llx", (unsigned long long)value);
		assert_ptr_equal(sl_put_hex64(ours, value), ours + SL_HEX64_DIGITS);
		assert_memory_equal(ours, theirs, SL_HEX64_DIGITS);
		snprintf(theirs, sizeof(theirs), "%llu", (unsigned long long)(value >> i % 64));
		assert_memory_equal(ours, theirs,
		                    (size_t)(sl_put_u64(ours, value >> i % 64) - ours));
		check_backwards(value >> i % 64);
	}
	check_backwards(0);
	for (uint64_t tens = 1, i = 0; i < 20; i++, tens *= 10) {
		check_backwards(tens - 1);
		check_backwards(tens);
	}
	check_backwards(UINT64_MAX);
}

static void
a_trimmed_buffer_has_its_bytes_and_grows_again(void **state)
{
	static const size_t sizes[] = { 0, 1, 300, 20000, 300000 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct sl_buf buf;

		sl_buf_init(&buf, 1 << 20);
		assert_int_equal(sl_buf_reserve(&buf, 400000), SL_OK);
		for (size_t k = 0; k < sizes[i]; k++)
			sl_buf_append_char(&buf, (char)('a' + k % 23));
		sl_buf_trim(&buf);
		assert_int_equal(buf.cap, sizes[i]);
		for (size_t k = 0; k < 1000; k++)
			sl_buf_append_char(&buf, (char)('a' + (sizes[i] + k) % 23));
		assert_false(buf.failed);
		assert_int_equal(buf.len, sizes[i] + 1000);
		for (size_t k = 0; k < buf.len; k++)
			assert_int_equal(buf.ptr[k], 'a' + k % 23);
		sl_buf_release(&buf);
		sl_buf_trim(&buf);
		assert_null(buf.ptr);
	}
}

static void
a_block_keeps_its_bytes_when_it_is_resized(void **state)
{
	/* From nothing, within a step, up and down, to what no list keeps and back. */
	static const size_t sizes[] = { 1, 255, 256, 257, 4000, 300, 16 * 1024, 16 * 1024 + 1,
		                        200000, 500000, 70000, 16 * 1024, 100 };
	char *block = NULL, *others[8];
	size_t had = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		block = sl_block_resize(block, sizes[i]);
		assert_non_null(block);
		assert_int_equal((uintptr_t)block % _Alignof(max_align_t), 0);
		for (size_t k = 0; k < had && k < sizes[i]; k++)
			assert_int_equal((unsigned char)block[k], (k * 7 + k / 256) % 256);
		had = sizes[i];
		for (size_t k = 0; k < had; k++)
			block[k] = (char)((k * 7 + k / 256) % 256);
		/* What was given back comes again, to others. */
		for (size_t k = 0; k < 8; k++) {
			others[k] = sl_block_alloc(sizes[i]);
			assert_non_null(others[k]);
			assert_ptr_not_equal(others[k], block);
			memset(others[k], 0xee, sizes[i]);
		}
		for (size_t k = 0; k < 8; k++)
			sl_block_free(others[k]);
	}
	assert_null(sl_block_resize(block, SIZE_MAX - 10));
	assert_int_equal(block[1], 7);
	sl_block_free(block);
}

/* Or each thread that ends would leave them behind. (Sanitizers' malloc says 0.) */
static void
what_a_thread_keeps_it_can_give_back(void **state)
{
	enum { COUNT = 40, SIZE = 4000 };
	void *blocks[COUNT];
	size_t before, kept;

	(void)state;
	sl_block_forget();
	before = mallinfo2().uordblks;
	for (size_t i = 0; i < COUNT; i++)
		assert_non_null(blocks[i] = sl_block_alloc(SIZE));
	for (size_t i = 0; i < COUNT; i++)
		sl_block_free(blocks[i]);
	kept = mallinfo2().uordblks;
	sl_block_forget();
	assert_true(mallinfo2().uordblks < before + SIZE);
	assert_true(kept == 0 || kept > before);
	/* It goes on with new ones. */
	blocks[0] = sl_block_alloc(SIZE);
	assert_non_null(blocks[0]);
	memset(blocks[0], 1, SIZE);
	sl_block_free(blocks[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_trimmed_buffer_has_its_bytes_and_grows_again),
		cmocka_unit_test(what_a_thread_keeps_it_can_give_back),
		cmocka_unit_test(a_block_keeps_its_bytes_when_it_is_resized),
		cmocka_unit_test(allocations_are_aligned_and_disjoint),
		cmocka_unit_test(cap_refuses_and_survives),
		cmocka_unit_test(buffer_failure_is_sticky),
		cmocka_unit_test(integers_are_strict),
		cmocka_unit_test(digits_are_those_of_printf),
		cmocka_unit_test(searches_find_the_first_place_in_long_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

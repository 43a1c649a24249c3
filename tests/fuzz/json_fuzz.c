/* json_fuzz.c - scan, compare with the reference, edit, scan again; then read everything.
 *
 * The first byte of the input chooses the edits, the rest is the document.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "json_reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WANTS = 5, READ_DEPTH = 70 };

static const struct sl_json_want wants[WANTS] = {
	{ "model" }, { "stream" }, { "stream_options" }, { "stream_options.include_usage" }, { "a.b.c" },
};

static void
read_all(struct sl_json value, struct sl_arena *arena, unsigned depth)
{
	struct sl_slice text;
	int64_t integer, nano;
	double number;
	bool is_integer = sl_json_i64(value, &integer);

	sl_json_nanousd(value, &nano);
	if (sl_json_f64(value, &number) && is_integer && integer > -1000 && integer < 1000 &&
	    number != (double)integer)
		abort();
	if (sl_json_string(value, arena, &text) && text.len > value.raw.len)
		abort();
	if (depth == READ_DEPTH)
		return;
	for (struct sl_json_iter it = sl_json_iter(value); sl_json_next(&it);) {
		sl_json_unescape(it.key, arena, &text);
		read_all(it.value, arena, depth + 1);
	}
}

/* What it holds, by either way of going through it. */
static size_t
count_values(struct sl_json value)
{
	size_t count = 1;

	for (struct sl_json_iter it = sl_json_iter(value); sl_json_next(&it);)
		count += count_values(it.value);
	return count;
}

static size_t
walk_values(struct sl_json_walk *walk, unsigned depth)
{
	const enum sl_json_type type = sl_json_walk_type(walk);
	struct sl_slice key;
	size_t count = 1;

	if (depth == READ_DEPTH || (type != SL_JSON_OBJECT && type != SL_JSON_ARRAY)) {
		sl_json_walk_skip(walk);
		return count;
	}
	sl_json_walk_enter(walk);
	while (type == SL_JSON_OBJECT ? sl_json_walk_member(walk, &key) : sl_json_walk_next(walk))
		count += walk_values(walk, depth + 1);
	return count;
}

static void
edit(struct sl_slice doc, uint8_t choice, const struct sl_json_found *found,
     const struct sl_json_found *top)
{
	struct sl_json_splice splice;
	struct sl_json_found again[WANTS];
	struct sl_json_error error;
	struct sl_buf out;

	sl_json_splice_init(&splice, doc);
	for (size_t i = 0; i < WANTS; i++) {
		unsigned what = choice >> i & 1;

		if (what)
			sl_json_splice_remove(&splice, &found[i]);
		else
			sl_json_splice_replace(&splice, &found[i], SL_SLICE("\"new\""));
	}
	if (choice & 32)
		sl_json_splice_insert(&splice, top, SL_SLICE("inserted"), SL_SLICE("{}"));
	if (choice & 64)
		sl_json_splice_insert(&splice, &found[2], SL_SLICE("inserted"), SL_SLICE("[]"));
	sl_buf_init(&out, doc.len + 1024);
	if (sl_json_splice_append(&splice, &out) != SL_OK)
		abort();
	/* An insertion may take an object one over the limit of members. */
	if (sl_json_scan(sl_buf_slice(&out), NULL, wants, WANTS, again, NULL, &error) != SL_OK &&
	    top->member_count < sl_json_limits_default.max_members)
		abort();
	sl_buf_release(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sl_json_found found[WANTS], top;
	struct sl_json_error error;
	struct sl_json_walk walk;
	struct sl_arena arena;
	struct sl_slice doc;
	enum sl_err err;
	size_t walked;

	if (size == 0)
		return 0;
	doc = sl_slice_make(data + 1, size - 1);
	sl_arena_init(&arena, 1024, 1 << 24);
	err = sl_json_scan(doc, NULL, wants, WANTS, found, &top, &error);
	if (err == SL_OK)
		edit(doc, data[0], found, &top);
	else if (error.offset > doc.len || !error.reason)
		abort();
	if (!reference_agrees(doc, &sl_json_limits_default, wants, WANTS))
		abort();
	/* What scans, validates. */
	if (err == SL_OK && sl_json_validate(doc, NULL, NULL) != SL_OK)
		abort();
	/* Both ways through it see the same; on what is no document the walk must end. */
	walk = sl_json_walk(doc);
	walked = walk_values(&walk, 0);
	if (err == SL_OK && walked != count_values(sl_json_parse(doc)))
		abort();
	/* The reader must keep its bounds on anything. */
	read_all(sl_json_parse(doc), &arena, 0);
	sl_arena_release(&arena);
	return 0;
}

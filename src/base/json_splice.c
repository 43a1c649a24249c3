/* json_splice.c - edits of a few members, the other bytes left as they are.
 *
 * Edits are kept ordered by the offset where they start and never overlap, so
 * the result is written in one walk. Commas need care in two places only:
 *
 *   - neighbours that are removed together form a run, and the run decides
 *     which comma goes: the one before it, or, when it starts the object, the
 *     one behind it;
 *   - an inserted member needs a comma behind it unless nothing is left in
 *     the object.
 */
#include "base/json.h"

/* Where the walk writes to. */
struct sink {
	struct sl_slice *out;
	size_t           max_count;
	size_t           count;
};

void
sl_json_splice_init(struct sl_json_splice *splice, struct sl_slice doc)
{
	splice->doc = doc;
	splice->count = 0;
}

static bool
overlap(const struct sl_json_edit *a, const struct sl_json_edit *b)
{
	/* Insertions are empty ranges: they collide only with what spans them,
	 * and never with each other. */
	return a->start < b->end && b->start < a->end;
}

static enum sl_err
add_edit(struct sl_json_splice *splice, const struct sl_json_edit *edit)
{
	size_t at;

	if (edit->end > splice->doc.len || edit->start > edit->end)
		return SL_EINVAL;
	for (size_t i = 0; i < splice->count; i++)
		if (overlap(edit, &splice->edits[i]))
			return SL_EINVAL;
	if (splice->count == SL_JSON_EDITS_MAX)
		return SL_ELIMIT;
	/* Behind its equals, but an insertion before the member that starts at
	 * the same byte. */
	for (at = splice->count; at > 0; at--) {
		const struct sl_json_edit *other = &splice->edits[at - 1];

		if (other->start < edit->start ||
		    (other->start == edit->start && other->kind == SL_JSON_INSERT))
			break;
		splice->edits[at] = *other;
	}
	splice->edits[at] = *edit;
	splice->count++;
	return SL_OK;
}

enum sl_err
sl_json_splice_replace(struct sl_json_splice *splice, const struct sl_json_found *found,
                       struct sl_slice raw_value)
{
	if (found->type == SL_JSON_NONE)
		return SL_ENOTFOUND;
	return add_edit(splice, &(struct sl_json_edit){
	                            .kind = SL_JSON_REPLACE,
	                            .start = found->value_start,
	                            .end = found->value_end,
	                            .value = raw_value,
	                        });
}

enum sl_err
sl_json_splice_remove(struct sl_json_splice *splice, const struct sl_json_found *found)
{
	if (found->type == SL_JSON_NONE)
		return SL_OK;
	return add_edit(splice, &(struct sl_json_edit){
	                            .kind = SL_JSON_REMOVE,
	                            .start = found->key_start,
	                            .end = found->value_end,
	                            .parent = found->parent_inside,
	                            .comma_before = found->comma_before,
	                            .comma_after = found->comma_after,
	                            .next_key = found->next_key,
	                        });
}

enum sl_err
sl_json_splice_insert(struct sl_json_splice *splice, const struct sl_json_found *object,
                      struct sl_slice key, struct sl_slice raw_value)
{
	if (object->type != SL_JSON_OBJECT)
		return SL_ETYPE;
	return add_edit(splice, &(struct sl_json_edit){
	                            .kind = SL_JSON_INSERT,
	                            .start = object->value_start + 1,
	                            .end = object->value_start + 1,
	                            .parent = object->value_start + 1,
	                            .member_count = object->member_count,
	                            .key = key,
	                            .value = raw_value,
	                        });
}

static void
emit(struct sink *sink, struct sl_slice bytes)
{
	if (bytes.len == 0)
		return;
	if (sink->count < sink->max_count)
		sink->out[sink->count] = bytes;
	sink->count++;
}

/* Whether a member follows the insertion at index in the edited object. */
static bool
member_follows(const struct sl_json_splice *splice, size_t index)
{
	const struct sl_json_edit *edit = &splice->edits[index];
	uint32_t removed = 0;

	if (index + 1 < splice->count && splice->edits[index + 1].kind == SL_JSON_INSERT &&
	    splice->edits[index + 1].parent == edit->parent)
		return true;
	for (size_t i = index + 1; i < splice->count; i++)
		removed += splice->edits[i].kind == SL_JSON_REMOVE &&
		           splice->edits[i].parent == edit->parent;
	return removed < edit->member_count;
}

/* Takes the run of removed neighbours that starts at *index; on return *index
 * is its last edit. Gives the bytes to leave out. */
static void
take_run(const struct sl_json_splice *splice, size_t *index, size_t *start, size_t *end)
{
	const struct sl_json_edit *first = &splice->edits[*index], *last = first;

	while (*index + 1 < splice->count) {
		const struct sl_json_edit *next = &splice->edits[*index + 1];

		if (next->kind != SL_JSON_REMOVE || last->comma_after == 0 ||
		    next->comma_before != last->comma_after)
			break;
		last = next;
		(*index)++;
	}
	*start = first->comma_before ? first->comma_before : first->start;
	*end = !first->comma_before && last->next_key ? last->next_key : last->end;
}

static void
walk(const struct sl_json_splice *splice, struct sink *sink)
{
	struct sl_slice doc = splice->doc;
	size_t done = 0;

	for (size_t i = 0; i < splice->count; i++) {
		const struct sl_json_edit *edit = &splice->edits[i];
		size_t start = edit->start, end = edit->end;

		if (edit->kind == SL_JSON_REMOVE)
			take_run(splice, &i, &start, &end);
		emit(sink, sl_slice_make(doc.ptr + done, start - done));
		done = end;
		if (edit->kind == SL_JSON_INSERT) {
			emit(sink, SL_SLICE("\""));
			emit(sink, edit->key);
			emit(sink, SL_SLICE("\":"));
		}
		if (edit->kind != SL_JSON_REMOVE)
			emit(sink, edit->value);
		if (edit->kind == SL_JSON_INSERT && member_follows(splice, i))
			emit(sink, SL_SLICE(","));
	}
	emit(sink, sl_slice_from(doc, done));
}

int
sl_json_splice_slices(const struct sl_json_splice *splice, struct sl_slice *out,
                      size_t max_count)
{
	struct sink sink = { .out = out, .max_count = max_count };

	walk(splice, &sink);
	return sink.count <= max_count ? (int)sink.count : SL_ELIMIT;
}

enum sl_err
sl_json_splice_append(const struct sl_json_splice *splice, struct sl_buf *out)
{
	struct sl_slice slices[SL_JSON_SLICES_MAX] __attribute__((uninitialized));
	int count = sl_json_splice_slices(splice, slices, SL_JSON_SLICES_MAX);
	size_t size = 0;
	enum sl_err err;

	for (int i = 0; i < count; i++)
		size += slices[i].len;
	/* All or nothing: a half-written document is of no use. */
	err = sl_buf_reserve(out, size);
	for (int i = 0; err == SL_OK && i < count; i++)
		err = sl_buf_append(out, slices[i]);
	return err;
}

/* notes.c - the codes, the list, and places as text. */
#include "model/notes.h"

#include "base/buf.h"

enum { STEPS_MAX = 12, POINTER_MAX = 256, HEADER_MAX = 2048 };

static const struct {
	const char *name;
	bool        drop;
	const char *text;
} codes[SL_NOTE_CODES] = {
#define DROP   true
#define CHANGE false
#define SL_NOTE(id, severity, text) { #id, severity, text },
#include "model/notes.def"
#undef SL_NOTE
#undef DROP
#undef CHANGE
};

const char *
sl_note_name(enum sl_note_code code)
{
	return codes[code].name;
}

const char *
sl_note_text(enum sl_note_code code)
{
	return codes[code].text;
}

bool
sl_note_is_drop(enum sl_note_code code)
{
	return codes[code].drop;
}

/* --- places ------------------------------------------------------------------- */

/* The steps from the document down; the deepest ones of a place that is deeper. */
static size_t
steps(const struct sl_where *where, const struct sl_where *out[STEPS_MAX])
{
	size_t count = 0;

	for (; where && count < STEPS_MAX; where = where->up)
		out[count++] = where;
	for (size_t i = 0; i < count / 2; i++) {
		const struct sl_where *other = out[count - 1 - i];

		out[count - 1 - i] = out[i];
		out[i] = other;
	}
	return count;
}

/* A name that cannot stand in a header as it is shows '?' in those places. */
static void
put_name(struct sl_buf *out, struct sl_slice name, bool pointer)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (pointer && (c == '~' || c == '/'))
			sl_buf_append_str(out, c == '~' ? "~0" : "~1");
		else
			sl_buf_append_char(out, c > 0x20 && c < 0x7f && c != ',' && c != ';' ? c : '?');
	}
}

static struct sl_slice
print(const struct sl_where *where, bool pointer, struct sl_arena *arena)
{
	const struct sl_where *list[STEPS_MAX];
	size_t count = steps(where, list);
	struct sl_slice text;
	struct sl_buf out;

	sl_buf_init(&out, POINTER_MAX);
	for (size_t i = 0; i < count; i++) {
		if (list[i]->name.len == 0) {
			sl_buf_printf(&out, pointer ? "/%u" : "[%u]", list[i]->index);
			continue;
		}
		if (pointer || i > 0)
			sl_buf_append_char(&out, pointer ? '/' : '.');
		put_name(&out, sl_slice_upto(list[i]->name, 64), pointer);
	}
	text = sl_arena_dup(arena, sl_buf_slice(&out));
	sl_buf_release(&out);
	return text;
}

struct sl_slice
sl_where_pointer(const struct sl_where *where, struct sl_arena *arena)
{
	return print(where, true, arena);
}

struct sl_slice
sl_where_param(const struct sl_where *where, struct sl_arena *arena)
{
	return print(where, false, arena);
}

/* --- the list ------------------------------------------------------------------- */

static bool
is_same(const struct sl_where *a, const struct sl_where *b)
{
	if (a == b)
		return true;
	return a && b && a->up == b->up && a->index == b->index && sl_slice_eq(a->name, b->name);
}

void
sl_note(struct sl_notes *notes, enum sl_note_code code, const struct sl_where *where)
{
	for (size_t i = 0; i < notes->count; i++)
		if (notes->items[i].code == code && is_same(notes->items[i].where, where))
			return;
	if (codes[code].drop && !notes->dropped) {
		notes->dropped = true;
		notes->first_drop = (struct sl_note){ code, where };
	}
	notes->total++;
	if (notes->count < SL_NOTES_MAX)
		notes->items[notes->count++] = (struct sl_note){ code, where };
}

struct sl_slice
sl_notes_print(const struct sl_notes *notes, struct sl_arena *arena)
{
	struct sl_buf out;
	struct sl_slice text;
	size_t shown = 0;

	if (notes->count == 0)
		return SL_SLICE_NONE;
	sl_buf_init(&out, HEADER_MAX + POINTER_MAX + 64);
	for (; shown < notes->count && out.len < HEADER_MAX; shown++) {
		const struct sl_note *note = &notes->items[shown];

		if (shown > 0)
			sl_buf_append_str(&out, ", ");
		sl_buf_append_str(&out, codes[note->code].name);
		if (note->where) {
			sl_buf_append_char(&out, ';');
			sl_buf_append(&out, sl_where_pointer(note->where, arena));
		}
	}
	if (shown < notes->total)
		sl_buf_printf(&out, ", +%zu", notes->total - shown);
	text = sl_arena_dup(arena, sl_buf_slice(&out));
	sl_buf_release(&out);
	return text;
}

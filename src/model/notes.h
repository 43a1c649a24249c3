/* notes.h - what was changed or lost when a request or a reply was translated.
 *
 * Each note is a code and a place. A place is a chain of steps that lives with
 * the thing it names and costs nothing until somebody prints it; printed, it is
 * a JSON pointer (RFC 6901) into the caller's own document.
 */
#ifndef SL_MODEL_NOTES_H
#define SL_MODEL_NOTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

/* One step from `up` (NULL: the document): a member when it has a name, else an
 * element. The name is unescaped. Lives as long as what it names. */
struct sl_where {
	const struct sl_where *up;
	struct sl_slice        name;
	uint32_t               index;
};

static inline struct sl_where
sl_where_member(const struct sl_where *up, struct sl_slice name)
{
	return (struct sl_where){ .up = up, .name = name };
}

static inline struct sl_where
sl_where_element(const struct sl_where *up, size_t index)
{
	return (struct sl_where){ .up = up, .index = (uint32_t)index };
}

/* "/messages/1/content/0", on the arena. At most 12 steps and 256 bytes of
 * printable ASCII are shown: it goes into a header. NULL: the empty pointer. */
struct sl_slice sl_where_pointer(const struct sl_where *where, struct sl_arena *arena);
/* The same as parameters are named to people: "messages[1].content[0]". */
struct sl_slice sl_where_param(const struct sl_where *where, struct sl_arena *arena);

enum sl_note_code {
#define SL_NOTE(id, severity, text) SL_NOTE_##id,
#include "model/notes.def"
#undef SL_NOTE
	SL_NOTE_CODES,
};
const char *sl_note_name(enum sl_note_code code); /* "parameter_dropped" */
const char *sl_note_text(enum sl_note_code code);
bool        sl_note_is_drop(enum sl_note_code code);

enum { SL_NOTES_MAX = 64 };

struct sl_note {
	enum sl_note_code      code;
	const struct sl_where *where; /* NULL: the whole */
};

/* A value: copying it is a snapshot, so that every attempt starts from what the
 * decoder noted. Of more than SL_NOTES_MAX the first are kept and all counted. */
struct sl_notes {
	struct sl_note items[SL_NOTES_MAX];
	size_t         count; /* kept */
	size_t         total;
	bool           dropped;    /* at least one is a drop: */
	struct sl_note first_drop;
};

/* The same code and place twice is noted once. where must outlive the notes. */
void sl_note(struct sl_notes *notes, enum sl_note_code code, const struct sl_where *where);
/* "code;/pointer, code;/pointer" for a header; at most 2 KiB, then ", +N". Empty
 * when there is none. On the arena. */
struct sl_slice sl_notes_print(const struct sl_notes *notes, struct sl_arena *arena);

#endif

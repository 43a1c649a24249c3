/* gemini_args.c - arguments of a call that come piece by piece, as JSON text.
 *
 * The service tells single values, each with its place (RFC 9535, "$.plan.steps[0].text"),
 * in the order in which the model writes them. So the text can be written as they come:
 * what is common with the last place stays open, what is not is closed or opened.
 *
 *   $.a = 1          {"a":1
 *   $.b.c[0] = "x    {"a":1,"b":{"c":["x
 *   $.b.c[0] = y"    {"a":1,"b":{"c":["xy
 *   $.d = true       {"a":1,"b":{"c":["xy"]},"d":true
 *   end              ...}
 *
 * A text goes on while its place is the same, whatever is said of its going on. A place
 * that is left and comes again cannot be written any more: that is an error, and never a
 * member that stands twice.
 */
#include "shapes/gemini_codec.h"

#include <string.h>

enum { KEYS_MAX = 1 << 20, HOLES_MAX = 4096 };

struct step {
	struct sl_slice key;   /* of an object: a JSON string */
	int64_t         index; /* of an array; -1: of an object */
};

/* --- places ---------------------------------------------------------------------------- */

/* ['it\'s'] as a JSON string: escapes are JSON's but for the quotes. */
static bool
quoted(struct sl_slice *rest, struct sl_arena *arena, struct step *step)
{
	char quote = rest->ptr[0], *out = sl_arena_alloc(arena, rest->len * 2 + 2);
	size_t at = 1, len = 0;

	if (!out)
		return false;
	out[len++] = '"';
	for (; at < rest->len && rest->ptr[at] != quote; at++) {
		if (rest->ptr[at] == '\\' && at + 1 < rest->len) {
			at++;
			if (rest->ptr[at] != '\'')
				out[len++] = '\\';
		} else if (rest->ptr[at] == '"') {
			out[len++] = '\\';
		}
		out[len++] = rest->ptr[at];
	}
	out[len++] = '"';
	*step = (struct step){ sl_slice_make(out, len), -1 };
	if (at + 1 >= rest->len || rest->ptr[at + 1] != ']')
		return false;
	*rest = sl_slice_from(*rest, at + 2);
	return sl_json_validate(step->key, NULL, NULL) == SL_OK;
}

static bool
bracketed(struct sl_slice *rest, struct sl_arena *arena, struct step *step)
{
	ptrdiff_t end = sl_slice_find(*rest, ']');

	if (rest->len && (rest->ptr[0] == '\'' || rest->ptr[0] == '"'))
		return quoted(rest, arena, step);
	if (end <= 0 || !sl_slice_i64(sl_slice_upto(*rest, (size_t)end), &step->index) ||
	    step->index < 0)
		return false;
	*rest = sl_slice_from(*rest, (size_t)end + 1);
	return true;
}

static bool
named(struct sl_slice *rest, struct sl_arena *arena, struct step *step)
{
	size_t len = 0;

	while (len < rest->len && rest->ptr[len] != '.' && rest->ptr[len] != '[')
		len++;
	*step = (struct step){ sl_arena_join(arena, (struct sl_slice[]){ SL_SLICE("\""),
	                       sl_slice_upto(*rest, len), SL_SLICE("\"") }, 3), -1 };
	*rest = sl_slice_from(*rest, len);
	return len > 0 && sl_json_validate(step->key, NULL, NULL) == SL_OK;
}

/* How many steps; 0: it is no place of a value in an object. */
static size_t
parse(struct sl_slice path, struct sl_arena *arena, struct step *steps)
{
	size_t count = 0;

	if (!sl_slice_starts(path, SL_SLICE("$")))
		return 0;
	for (path = sl_slice_from(path, 1); path.len; count++) {
		bool dot = path.ptr[0] == '.';

		if ((!dot && path.ptr[0] != '[') || count == SL_GEMINI_STEPS_MAX)
			return 0;
		path = sl_slice_from(path, 1);
		if (!(dot ? named : bracketed)(&path, arena, &steps[count]))
			return 0;
	}
	return count && steps[0].index < 0 ? count : 0;
}

/* --- what is open ------------------------------------------------------------------------- */

/* Members that an open object has so far stand one behind the other in args->keys, each
 * behind its length; the last one is where the writing is. */
static bool
next_key(const struct sl_gemini_args *args, size_t *at, struct sl_slice *key)
{
	struct sl_slice keys = sl_buf_slice(&args->keys);
	uint32_t len;

	if (*at >= keys.len)
		return false;
	memcpy(&len, keys.ptr + *at, sizeof(len));
	*key = sl_slice_make(keys.ptr + *at + sizeof(len), len);
	*at += sizeof(len) + len;
	return true;
}

static bool
has_key(const struct sl_gemini_args *args, size_t level, struct sl_slice wanted)
{
	size_t at = args->levels[level].keys_at;
	struct sl_slice key;

	while (next_key(args, &at, &key))
		if (sl_slice_eq(key, wanted))
			return true;
	return false;
}

static bool
is_at(const struct sl_gemini_args *args, size_t level, const struct step *step)
{
	const struct sl_gemini_level *open = &args->levels[level];
	size_t at = open->key_at;
	struct sl_slice key;

	if (open->index >= 0 || step->index >= 0)
		return open->index == step->index;
	return next_key(args, &at, &key) && sl_slice_eq(key, step->key);
}

static void
close_text(struct sl_gemini_args *args, struct sl_buf *out)
{
	if (args->in_text)
		sl_buf_append_char(out, '"');
	args->in_text = false;
}

/* Closes all but the outer `depth` containers. */
static void
close_levels(struct sl_gemini_args *args, size_t depth, struct sl_buf *out)
{
	close_text(args, out);
	while (args->depth > depth) {
		const struct sl_gemini_level *level = &args->levels[--args->depth];

		sl_buf_append_char(out, level->index >= 0 ? ']' : '}');
		args->keys.len = level->keys_at;
	}
}

/* Goes to the step in the innermost container, which is at another or at none yet. */
static bool
go_to(struct sl_gemini_args *args, const struct step *step, bool first, struct sl_buf *out)
{
	struct sl_gemini_level *level = &args->levels[args->depth - 1];
	uint32_t len = (uint32_t)step->key.len;

	if (step->index >= 0) {
		int64_t next = first ? 0 : level->index + 1;

		if (step->index < next || step->index - next > HOLES_MAX)
			return false;
		for (; next <= step->index; next++) {
			if (next > 0)
				sl_buf_append_char(out, ',');
			if (next < step->index)
				sl_buf_append_str(out, "null");
		}
		level->index = step->index;
		return true;
	}
	if (has_key(args, args->depth - 1, step->key))
		return false;
	if (!first)
		sl_buf_append_char(out, ',');
	sl_buf_append(out, step->key);
	sl_buf_append_char(out, ':');
	level->key_at = args->keys.len;
	sl_buf_append(&args->keys, sl_slice_make((const char *)&len, sizeof(len)));
	sl_buf_append(&args->keys, step->key);
	return !args->keys.failed;
}

/* --- values ----------------------------------------------------------------------------------- */

static struct sl_slice
value_of(struct sl_json partial, bool *text)
{
	static const char *const names[] = { "stringValue", "numberValue", "boolValue" };

	*text = false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct sl_json value = sl_json_get(partial, names[i]);

		if (value.type <= SL_JSON_NULL)
			continue;
		*text = value.type == SL_JSON_STRING;
		return *text ? sl_slice_make(value.raw.ptr + 1, value.raw.len - 2) : value.raw;
	}
	return sl_json_get(partial, "nullValue").type != SL_JSON_NONE ? SL_SLICE("null")
	                                                              : SL_SLICE_NONE;
}

static bool
add(struct sl_gemini_args *args, struct sl_json partial, struct sl_arena *arena,
    struct sl_buf *out)
{
	struct step steps[SL_GEMINI_STEPS_MAX];
	struct sl_slice path, value;
	size_t count, same = 0;
	bool text;

	value = value_of(partial, &text);
	if (!sl_json_string(sl_json_get(partial, "jsonPath"), arena, &path) || (!text && !value.len))
		return false;
	count = parse(path, arena, steps);
	while (same < count && same < args->depth && is_at(args, same, &steps[same]))
		same++;
	if (count == 0)
		return false;
	if (same == count && same == args->depth && text && args->in_text) {
		sl_buf_append(out, value);
		return true;
	}
	/* Inside a value that is written, or a value in the place of what is open. */
	if (same == count || (same == args->depth && args->depth > 0) ||
	    (same < args->depth &&
	     (args->levels[same].index >= 0) != (steps[same].index >= 0)))
		return false;
	if (args->depth > 0)
		close_levels(args, same + 1, out);
	for (size_t i = same; i < count; i++) {
		bool fresh = i >= args->depth;

		if (fresh) {
			args->levels[args->depth++] = (struct sl_gemini_level){
				.index = steps[i].index >= 0 ? 0 : -1, .keys_at = args->keys.len,
				.key_at = args->keys.len,
			};
			sl_buf_append_char(out, steps[i].index >= 0 ? '[' : '{');
		}
		if (!go_to(args, &steps[i], fresh, out))
			return false;
	}
	if (text)
		sl_buf_append_char(out, '"');
	args->in_text = text;
	sl_buf_append(out, value);
	return true;
}

void
sl_gemini_args_begin(struct sl_gemini_args *args)
{
	*args = (struct sl_gemini_args){ .open = true };
	sl_buf_init(&args->keys, KEYS_MAX);
}

bool
sl_gemini_args_add(struct sl_gemini_args *args, struct sl_json partials, struct sl_arena *arena,
                   struct sl_buf *out)
{
	for (struct sl_json_iter it = sl_json_iter(partials);
	     partials.type == SL_JSON_ARRAY && sl_json_next(&it);)
		if (!add(args, it.value, arena, out))
			return false;
	return true;
}

void
sl_gemini_args_end(struct sl_gemini_args *args, struct sl_buf *out)
{
	if (!args->open)
		return;
	close_levels(args, 0, out);
	sl_gemini_args_release(args);
}

void
sl_gemini_args_release(struct sl_gemini_args *args)
{
	sl_buf_release(&args->keys);
	args->open = false;
}

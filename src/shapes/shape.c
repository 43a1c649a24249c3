/* shape.c - the registry of shapes and the match of paths.
 *
 * Fixed text of a pattern matches byte for byte. {model} takes what stands
 * between the text before and the text behind it. A '/' in it belongs to the
 * model: Google's SDK sends "provider/model" as it is, others encode it. Because
 * the text behind is anchored at the end of the path, "a:b:generateContent" is
 * the model "a:b".
 */
#include "shapes/shape.h"

#include "base/percent.h"

#define MODEL "{model}"

static const struct sl_shape_ops *const shapes[] = {
#define SL_SHAPE(id) &sl_shape_##id,
#include "shapes/shapes.def"
#undef SL_SHAPE
};

size_t
sl_shape_count(void)
{
	return sizeof(shapes) / sizeof(shapes[0]);
}

const struct sl_shape_ops *
sl_shape_at(size_t index)
{
	return index < sl_shape_count() ? shapes[index] : NULL;
}

size_t
sl_shape_index(const struct sl_shape_ops *shape)
{
	size_t index = 0;

	while (index < sl_shape_count() && shapes[index] != shape)
		index++;
	return index;
}

const struct sl_shape_ops *
sl_shape_by_name(struct sl_slice name)
{
	for (size_t i = 0; i < sl_shape_count(); i++)
		if (sl_slice_is(name, shapes[i]->name))
			return shapes[i];
	return NULL;
}

/* Percent-decodes a model id. Refuses broken escapes and control characters:
 * a model id is printed in headers and logs. */
static bool
decode_segment(struct sl_slice raw, struct sl_arena *arena, struct sl_slice *out)
{
	char *text = sl_arena_alloc(arena, raw.len);
	ptrdiff_t len = text ? sl_percent_decode(raw, text) : SL_ENOMEM;

	for (ptrdiff_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	*out = sl_slice_make(text, len > 0 ? (size_t)len : 0);
	return len >= 0;
}

/* What of a path stands behind its model, or -1. Its colon may be written %3A, as clients
 * do that encode the whole segment. */
static ptrdiff_t
length_behind(struct sl_slice path, struct sl_slice behind)
{
	struct sl_slice verb, colon;

	if (sl_slice_ends(path, behind))
		return (ptrdiff_t)behind.len;
	if (behind.len == 0 || behind.ptr[0] != ':')
		return -1;
	verb = sl_slice_from(behind, 1);
	if (path.len < verb.len + 3 || !sl_slice_ends(path, verb))
		return -1;
	colon = sl_slice_make(path.ptr + path.len - verb.len - 3, 3);
	return sl_slice_ieq(colon, SL_SLICE("%3A")) ? (ptrdiff_t)verb.len + 3 : -1;
}

static bool
match_path(const struct sl_shape_path *row, struct sl_slice path, struct sl_arena *arena,
           struct sl_shape_input *input)
{
	struct sl_slice pattern = sl_slice_str(row->pattern);
	ptrdiff_t at = sl_slice_search(pattern, SL_SLICE(MODEL));
	struct sl_slice before, behind, segment;
	ptrdiff_t tail;

	input->path_model = SL_SLICE_NONE;
	if (at < 0) {
		if (!sl_slice_eq(path, pattern))
			return false;
	} else {
		before = sl_slice_upto(pattern, (size_t)at);
		behind = sl_slice_from(pattern, (size_t)at + sizeof(MODEL) - 1);
		tail = sl_slice_starts(path, before) ? length_behind(path, behind) : -1;
		if (tail < 0 || path.len <= before.len + (size_t)tail)
			return false;
		segment = sl_slice_make(path.ptr + before.len,
		                        path.len - before.len - (size_t)tail);
		if (!decode_segment(segment, arena, &input->path_model))
			return false;
	}
	input->verb = row->verb;
	return true;
}

/* --- aliases ---------------------------------------------------------------- */

static const struct {
	struct sl_slice written, meant;
} aliases[] = {
#define SL_PATH_ALIAS(written, meant) { SL_SLICE_INIT(written), SL_SLICE_INIT(meant) },
#include "shapes/aliases.def"
#undef SL_PATH_ALIAS
};

/* Compares segment by segment. */
static bool
fits(struct sl_slice written, struct sl_slice path, struct sl_slice *model,
     struct sl_slice *rest)
{
	*model = SL_SLICE_NONE;
	for (;;) {
		struct sl_slice want = sl_slice_cut(&written, '/'), have;

		if (sl_slice_is(want, "{rest}")) {
			*rest = path;
			return path.len > 0;
		}
		have = sl_slice_cut(&path, '/');
		if (sl_slice_is(want, "{model}"))
			*model = have;
		else if (!sl_slice_is(want, "{any}") && !sl_slice_eq(want, have))
			return false;
		if (sl_slice_is(want, "{model}") && have.len == 0)
			return false;
		if (written.len == 0 || path.len == 0)
			return written.len == 0 && path.len == 0;
	}
}

struct sl_slice
sl_shape_path(struct sl_slice path, struct sl_arena *arena, struct sl_slice *model)
{
	*model = SL_SLICE_NONE;
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		struct sl_slice meant = aliases[i].meant, raw, rest = SL_SLICE_NONE;
		struct sl_slice written = aliases[i].written;
		ptrdiff_t at;

		/* Before its first segment of any text a path is told by comparing. */
		if (!sl_slice_starts(path, sl_slice_cut(&written, '{')))
			continue;
		at = sl_slice_search(meant, SL_SLICE("{rest}"));
		if (!fits(aliases[i].written, path, &raw, &rest) ||
		    (raw.len > 0 && !decode_segment(raw, arena, model)))
			continue;
		if (at < 0)
			return meant;
		return sl_arena_join(arena,
		                     (struct sl_slice[]){ sl_slice_upto(meant, (size_t)at), rest }, 2);
	}
	return path;
}

static const struct sl_shape_ops *
find_shape(struct sl_slice path, struct sl_arena *arena, struct sl_shape_input *input)
{
	struct sl_slice model;

	path = sl_shape_path(path, arena, &model);
	for (size_t i = 0; i < sl_shape_count(); i++)
		for (const struct sl_shape_path *row = shapes[i]->paths; row->pattern; row++) {
			if (!match_path(row, path, arena, input))
				continue;
			if (model.len > 0)
				input->path_model = model;
			return shapes[i];
		}
	return NULL;
}

/* Nearly all requests have one of a few paths, and where those name no model the answer
 * depends on nothing else: each thread remembers some. */
const struct sl_shape_ops *
sl_shape_match(struct sl_slice path, struct sl_arena *arena, struct sl_shape_input *input)
{
	enum { SLOTS = 8, PATH_MAX_LEN = 47 };
	static _Thread_local struct {
		const struct sl_shape_ops *shape;
		const char                *verb;
		uint8_t                    len; /* 0: nothing is remembered */
		char                       path[PATH_MAX_LEN];
	} remembered[SLOTS];
	const size_t slot = path.len % SLOTS;
	const struct sl_shape_ops *shape;

	if (path.len > 0 && remembered[slot].len == path.len &&
	    memcmp(remembered[slot].path, path.ptr, path.len) == 0) {
		input->path_model = SL_SLICE_NONE;
		input->verb = remembered[slot].verb;
		return remembered[slot].shape;
	}
	shape = find_shape(path, arena, input);
	if (shape && input->path_model.len == 0 && path.len <= PATH_MAX_LEN) {
		memcpy(remembered[slot].path, path.ptr, path.len);
		remembered[slot].len = (uint8_t)path.len;
		remembered[slot].shape = shape;
		remembered[slot].verb = input->verb;
	}
	return shape;
}

const struct sl_shape_ops *
sl_shape_for_errors(struct sl_slice path)
{
	if (sl_slice_starts(path, SL_SLICE("/v1/messages")))
		return &sl_shape_anthropic_messages;
	/* Gemini's SDK uses /v1/models/ID:verb as well; OpenAI has no such colon. */
	if (sl_slice_starts(path, SL_SLICE("/v1beta")) ||
	    (sl_slice_starts(path, SL_SLICE("/v1/models/")) && sl_slice_find(path, ':') >= 0))
		return &sl_shape_gemini_generate;
	return &sl_shape_openai_chat;
}

/* dialog.c - building a dialog, and text in its two forms. */
#include "model/dialog.h"

#include <string.h>

bool
sl_text_utf8(struct sl_text text, struct sl_arena *arena, struct sl_slice *out)
{
	if (!text.json) {
		*out = text.raw;
		return true;
	}
	return sl_json_string(sl_json_parse(text.raw), arena, out);
}

void
sl_text_put(struct sl_json_writer *w, struct sl_text text)
{
	if (text.json)
		sl_json_put_raw(w, text.raw);
	else
		sl_json_put_str(w, text.raw);
}

void
sl_text_append(struct sl_buf *buf, struct sl_text text)
{
	size_t start = buf->len;

	if (sl_text_empty(text))
		return;
	if (text.json) {
		sl_buf_append(buf, sl_slice_make(text.raw.ptr + 1, text.raw.len - 2));
		return;
	}
	/* Quoted, then the quotes taken off again. */
	if (sl_json_quote(buf, text.raw) != SL_OK || buf->failed)
		return;
	memmove(buf->ptr + start, buf->ptr + start + 1, buf->len - start - 2);
	buf->len -= 2;
}

enum sl_param_loss
sl_param_loss(enum sl_param param)
{
	static const unsigned char losses[SL_PARAMS] = {
#define SL_PARAM(id, loss) SL_LOSS_##loss,
#include "model/dialog.def"
#undef SL_PARAM
	};

	return losses[param];
}

/* --- reasoning ---------------------------------------------------------------- */

static const char *const effort_names[] = { NULL, "minimal", "low", "medium", "high", "xhigh",
	                                    "max" };
static const int64_t budgets[] = { 0, 1024, 2048, 8192, 24576, 32768, 32768 };
enum { EFFORTS = sizeof(budgets) / sizeof(budgets[0]) };

const char *
sl_effort_name(enum sl_effort effort)
{
	return effort_names[effort];
}

enum sl_effort
sl_effort_parse(struct sl_json word)
{
	for (size_t i = SL_EFFORT_MINIMAL; i < EFFORTS; i++)
		if (sl_json_is(word, effort_names[i]))
			return (enum sl_effort)i;
	return SL_EFFORT_UNSET;
}

int64_t
sl_effort_budget(enum sl_effort effort)
{
	return budgets[effort];
}

enum sl_effort
sl_effort_of_budget(int64_t budget_tokens)
{
	/* The nearest in the middle between two: 1536, 5120, 16384. */
	if (budget_tokens < 1536)
		return budget_tokens < 1024 ? SL_EFFORT_MINIMAL : SL_EFFORT_LOW;
	if (budget_tokens < 5120)
		return SL_EFFORT_LOW;
	return budget_tokens < 16384 ? SL_EFFORT_MEDIUM : SL_EFFORT_HIGH;
}

/* --- building ------------------------------------------------------------------ */

void
sl_dialog_init(struct sl_dialog *dialog, const char *origin, struct sl_arena *arena)
{
	*dialog = (struct sl_dialog){ .arena = arena, .origin = origin };
	dialog->reasoning.budget_tokens = -1;
}

/* What is built when memory is out goes here and is never read. */
static _Thread_local struct sl_turn bin_turn;
static _Thread_local struct sl_tool bin_tool;
static _Thread_local struct sl_part bin_part;
static _Thread_local struct sl_where bin_where;

struct sl_turn *
sl_dialog_turn(struct sl_dialog *dialog, enum sl_role role, struct sl_where where)
{
	struct sl_turn *turn = SL_ARENA_NEW(dialog->arena, struct sl_turn);

	if (!turn) {
		dialog->failed = true;
		bin_turn = (struct sl_turn){ 0 };
		return &bin_turn;
	}
	turn->role = role;
	turn->where = where;
	if (dialog->turns_last)
		dialog->turns_last->next = turn;
	else
		dialog->turns = turn;
	dialog->turns_last = turn;
	return turn;
}

struct sl_tool *
sl_dialog_tool(struct sl_dialog *dialog, enum sl_tool_kind kind, struct sl_where where)
{
	struct sl_tool *tool = SL_ARENA_NEW(dialog->arena, struct sl_tool);

	if (!tool) {
		dialog->failed = true;
		bin_tool = (struct sl_tool){ 0 };
		return &bin_tool;
	}
	tool->kind = kind;
	tool->where = where;
	tool->origin = dialog->origin;
	if (dialog->tools_last)
		dialog->tools_last->next = tool;
	else
		dialog->tools = tool;
	dialog->tools_last = tool;
	return tool;
}

static struct sl_part *
add_part(struct sl_dialog *dialog, struct sl_part **first, struct sl_part **last,
         enum sl_part_kind kind, struct sl_where where)
{
	struct sl_part *part = SL_ARENA_NEW(dialog->arena, struct sl_part);

	if (!part) {
		dialog->failed = true;
		bin_part = (struct sl_part){ 0 };
		return &bin_part;
	}
	part->kind = kind;
	part->where = where;
	part->origin = dialog->origin;
	if (*last)
		(*last)->next = part;
	else
		*first = part;
	*last = part;
	return part;
}

struct sl_part *
sl_turn_part(struct sl_dialog *dialog, struct sl_turn *turn, enum sl_part_kind kind,
             struct sl_where where)
{
	return add_part(dialog, &turn->parts, &turn->parts_last, kind, where);
}

struct sl_part *
sl_part_part(struct sl_dialog *dialog, struct sl_part *part, enum sl_part_kind kind,
             struct sl_where where)
{
	return add_part(dialog, &part->parts, &part->parts_last, kind, where);
}

const struct sl_where *
sl_dialog_where(struct sl_dialog *dialog, struct sl_where where)
{
	struct sl_where *kept = SL_ARENA_NEW(dialog->arena, struct sl_where);

	if (!kept) {
		dialog->failed = true;
		return &bin_where;
	}
	*kept = where;
	return kept;
}

void
sl_dialog_extra(struct sl_dialog *dialog, struct sl_where where, struct sl_slice key,
                struct sl_slice raw)
{
	struct sl_extra *extra = SL_ARENA_NEW(dialog->arena, struct sl_extra);

	if (!extra) {
		dialog->failed = true;
		return;
	}
	*extra = (struct sl_extra){ .where = where, .key = key, .raw = raw, .top = !where.up };
	if (dialog->extras_last)
		dialog->extras_last->next = extra;
	else
		dialog->extras = extra;
	dialog->extras_last = extra;
}

void
sl_dialog_param(struct sl_dialog *dialog, enum sl_param param, struct sl_json value,
                struct sl_where where)
{
	if (value.type <= SL_JSON_NULL)
		return;
	dialog->params[param] = (struct sl_param_value){ value, where };
}

int64_t
sl_dialog_int(const struct sl_dialog *dialog, enum sl_param param, int64_t none)
{
	int64_t value;

	return sl_json_i64(dialog->params[param].value, &value) ? value : none;
}

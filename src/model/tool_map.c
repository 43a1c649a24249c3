/* tool_map.c - names and ids under a target's rules. */
#include "model/tool_map.h"

enum { HASH_HEX = 6 };

/* FNV-1a, 64 bits: the same in every process. */
static uint64_t
hash(struct sl_slice text)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < text.len; i++)
		h = (h ^ (unsigned char)text.ptr[i]) * UINT64_C(1099511628211);
	return h ^ h >> 29;
}

static bool
is_letter(char c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool
is_allowed(char c, const char *also)
{
	return is_letter(c) || (c >= '0' && c <= '9') || (c && also && strchr(also, c));
}

/* The text with '_' for what is not allowed, cut, and a hash of the original. */
static struct sl_slice
rewrite(struct sl_slice text, const char *also, size_t max_len, bool letter_first,
        struct sl_arena *arena)
{
	static const char hex[] = "0123456789abcdef";
	size_t room = max_len ? max_len : text.len + 2 + HASH_HEX;
	char *out = sl_arena_alloc(arena, room + 1);
	size_t len = 0;
	uint64_t h = hash(text);

	if (!out)
		return SL_SLICE_NONE;
	if (letter_first && (text.len == 0 || (!is_letter(text.ptr[0]) && text.ptr[0] != '_')))
		out[len++] = '_';
	for (size_t i = 0; i < text.len && len + 1 + HASH_HEX < room; i++)
		out[len++] = is_allowed(text.ptr[i], also) ? text.ptr[i] : '_';
	out[len++] = '_';
	for (int i = 0; i < HASH_HEX; i++, h >>= 4)
		out[len++] = hex[h & 15];
	return sl_slice_make(out, len);
}

static struct sl_slice
exact(struct sl_slice text, size_t len, struct sl_arena *arena)
{
	static const char digits[] =
	    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	char *out = sl_arena_alloc(arena, len);
	uint64_t h = hash(text);

	if (!out)
		return SL_SLICE_NONE;
	for (size_t i = 0; i < len; i++, h /= 62) {
		if (h == 0)
			h = hash(sl_slice_make(out, i));
		out[i] = digits[h % 62];
	}
	return sl_slice_make(out, len);
}

static bool
is_legal(struct sl_slice text, const char *also, size_t max_len)
{
	if (text.len == 0 || (max_len && text.len > max_len))
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (!is_allowed(text.ptr[i], also))
			return false;
	return true;
}

const struct sl_id_rule sl_short_ids = { .exact_len = 9 };

struct sl_slice
sl_call_id_map(const struct sl_id_rule *rule, struct sl_slice id, struct sl_arena *arena)
{
	if (!rule || (!rule->also && !rule->exact_len && rule->max_len && id.len &&
	              id.len <= rule->max_len))
		return id;
	if (rule->exact_len) {
		if (id.len == rule->exact_len && is_legal(id, NULL, 0))
			return id;
		return exact(id, rule->exact_len, arena);
	}
	if (is_legal(id, rule->also, rule->max_len))
		return id;
	return rewrite(id, rule->also ? rule->also : "_-", rule->max_len, false, arena);
}

struct sl_slice
sl_tool_name_map(const struct sl_name_rule *rule, struct sl_slice name, struct sl_arena *arena)
{
	if (!rule)
		return name;
	if (is_legal(name, rule->also, rule->max_len) &&
	    (!rule->letter_first || is_letter(name.ptr[0]) || name.ptr[0] == '_'))
		return name;
	return rewrite(name, rule->also, rule->max_len, rule->letter_first, arena);
}

bool
sl_tool_names_make(struct sl_tool_names *names, const struct sl_dialog *dialog,
                   const struct sl_name_rule *rule, struct sl_notes *notes,
                   struct sl_arena *arena)
{
	struct sl_tool_name *items = NULL;
	size_t count = 0;

	*names = (struct sl_tool_names){ 0 };
	for (const struct sl_tool *tool = dialog->tools; tool; tool = tool->next) {
		struct sl_slice target;
		bool custom = tool->kind == SL_TOOL_CUSTOM;

		if (tool->kind == SL_TOOL_HOSTED)
			continue;
		target = sl_tool_name_map(rule, tool->name, arena);
		if (target.len == 0)
			return false;
		if (target.ptr == tool->name.ptr && !custom)
			continue;
		if (target.ptr != tool->name.ptr)
			sl_note(notes, SL_NOTE_tool_name_changed, &tool->where);
		if (count == SL_TOOL_NAMES_MAX)
			return false;
		if (!items)
			items = SL_ARENA_ARRAY(arena, struct sl_tool_name, SL_TOOL_NAMES_MAX);
		if (!items)
			return false;
		items[count] = (struct sl_tool_name){ sl_arena_dup(arena, tool->name),
			                              sl_arena_dup(arena, target), custom };
		if (!items[count].caller.ptr || !items[count].target.ptr)
			return false;
		count++;
	}
	*names = (struct sl_tool_names){ items, count };
	return true;
}

const struct sl_tool_name *
sl_tool_names_back(const struct sl_tool_names *names, struct sl_slice target)
{
	for (size_t i = 0; names && i < names->count; i++)
		if (sl_slice_eq(names->items[i].target, target))
			return &names->items[i];
	return NULL;
}

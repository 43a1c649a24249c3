/* openapi_schema.c - the short notation of openapi_schemas.def, as JSON Schema.
 *
 *   members = member, member, ...      an object; what is not marked is always there
 *   member  = name: type | name?: type | @key | @team | @workspace | ...
 *   type    = text | time | whole | number | usd | flag | object | any | file | null
 *           | 'word' | Schema | [type] | {type} | (members) | type "|" type
 *
 * "..." says that members of other names are welcome. [type] is a list, {type} an object with such members of any name. @LEVEL stands for
 * the members that a key, a team or a workspace shows, @LEVEL? for those it takes: both
 * from the table that reads and shows them.
 */
#include "admin/openapi.h"

#include "ledger/key_policy.h"

static void put_type(struct sl_json_writer *w, struct sl_slice text);

/* Cuts off what stands before the first separator that is inside of no bracket. */
static struct sl_slice
cut(struct sl_slice *rest, char separator)
{
	struct sl_slice whole = *rest;
	size_t depth = 0, at;

	for (at = 0; at < whole.len && (depth > 0 || whole.ptr[at] != separator); at++)
		if (whole.ptr[at] == '[' || whole.ptr[at] == '{' || whole.ptr[at] == '(')
			depth++;
		else if (whole.ptr[at] == ']' || whole.ptr[at] == '}' || whole.ptr[at] == ')')
			depth--;
	*rest = at < whole.len ? sl_slice_from(whole, at + 1) : SL_SLICE_NONE;
	return sl_slice_trim(sl_slice_upto(whole, at));
}

/* --- types ------------------------------------------------------------------------ */

static const struct {
	const char *name, *schema;
} words[] = {
	{ "text", "{\"type\":\"string\"}" },
	{ "time", "{\"type\":\"string\",\"format\":\"date-time\"}" },
	{ "whole", "{\"type\":\"integer\"}" },
	{ "number", "{\"type\":\"number\"}" },
	{ "usd", "{\"type\":\"number\",\"description\":\"US dollars, at most nine decimal places\"}" },
	{ "flag", "{\"type\":\"boolean\"}" },
	{ "object", "{\"type\":\"object\",\"additionalProperties\":true}" },
	{ "any", "{}" },
	{ "file", "{\"type\":\"string\",\"format\":\"binary\"}" },
	{ "null", "{\"type\":\"null\"}" },
};

static void
put_reference(struct sl_json_writer *w, struct sl_slice name)
{
	static const struct sl_slice root = SL_SLICE_INIT("#/components/schemas/");
	struct sl_buf text;

	sl_buf_init(&text, 256);
	sl_buf_append(&text, root);
	sl_buf_append(&text, name);
	sl_json_obj(w);
	sl_json_str(w, "$ref", sl_buf_slice(&text));
	sl_json_obj_end(w);
	sl_buf_release(&text);
}

static struct sl_slice
inside(struct sl_slice bracketed)
{
	return sl_slice_make(bracketed.ptr + 1, bracketed.len - 2);
}

static void
put_one(struct sl_json_writer *w, struct sl_slice text)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (sl_slice_is(text, words[i].name)) {
			sl_json_put_raw(w, sl_slice_str(words[i].schema));
			return;
		}
	if (text.len < 2 || !strchr("[{(", text.ptr[0])) {
		put_reference(w, text);
		return;
	}
	sl_json_obj(w);
	sl_json_str(w, "type", text.ptr[0] == '[' ? SL_SLICE("array") : SL_SLICE("object"));
	if (text.ptr[0] == '(') {
		admin_openapi_members(w, inside(text));
	} else {
		sl_json_key(w, text.ptr[0] == '[' ? "items" : "additionalProperties");
		put_type(w, inside(text));
	}
	sl_json_obj_end(w);
}

/* Words in quotes are one choice, however many they are. */
static void
put_words(struct sl_json_writer *w, struct sl_slice alternatives)
{
	sl_json_obj(w);
	sl_json_str(w, "type", SL_SLICE("string"));
	sl_json_key(w, "enum");
	sl_json_arr(w);
	while (alternatives.len > 0) {
		struct sl_slice one = cut(&alternatives, '|');

		if (one.len > 0 && one.ptr[0] == '\'')
			sl_json_put_str(w, inside(one));
	}
	sl_json_arr_end(w);
	sl_json_obj_end(w);
}

static void
put_type(struct sl_json_writer *w, struct sl_slice text)
{
	struct sl_slice rest = text, one;
	size_t others = 0, quoted = 0;

	while (rest.len > 0) {
		one = cut(&rest, '|');
		quoted += one.len > 0 && one.ptr[0] == '\'';
		others += one.len > 0 && one.ptr[0] != '\'';
	}
	if (others + (quoted > 0) > 1) {
		sl_json_obj(w);
		sl_json_key(w, "anyOf");
		sl_json_arr(w);
	}
	if (quoted > 0)
		put_words(w, text);
	for (rest = text; rest.len > 0;) {
		one = cut(&rest, '|');
		if (one.len > 0 && one.ptr[0] != '\'')
			put_one(w, one);
	}
	if (others + (quoted > 0) > 1) {
		sl_json_arr_end(w);
		sl_json_obj_end(w);
	}
}

/* --- objects ------------------------------------------------------------------------ */

static enum sl_scope_kind
level_of(struct sl_slice name)
{
	return sl_slice_starts(name, SL_SLICE("@key"))    ? SL_SCOPE_KEY
	       : sl_slice_starts(name, SL_SLICE("@team")) ? SL_SCOPE_TEAM
	                                                  : SL_SCOPE_WORKSPACE;
}

static bool
is_optional(struct sl_slice name)
{
	return name.ptr[name.len - 1] == '?';
}

static void
put_member(struct sl_json_writer *w, struct sl_slice member)
{
	struct sl_slice name = cut(&member, ':');

	if (name.len == 0 || sl_slice_is(name, "..."))
		return;
	if (name.ptr[0] == '@') {
		sl_key_policy_schema(level_of(name), !is_optional(name), w);
		return;
	}
	if (is_optional(name))
		name.len--;
	sl_json_key_slice(w, name);
	put_type(w, sl_slice_trim(member));
}

static void
put_required(struct sl_json_writer *w, struct sl_slice member)
{
	struct sl_slice name = cut(&member, ':');

	if (name.len == 0 || sl_slice_is(name, "...") || is_optional(name))
		return;
	if (name.ptr[0] == '@')
		sl_key_policy_names(level_of(name), w);
	else
		sl_json_put_str(w, name);
}

void
admin_openapi_members(struct sl_json_writer *w, struct sl_slice text)
{
	struct sl_slice rest = text;

	sl_json_key(w, "properties");
	sl_json_obj(w);
	while (rest.len > 0)
		put_member(w, cut(&rest, ','));
	sl_json_obj_end(w);
	sl_json_key(w, "required");
	sl_json_arr(w);
	for (rest = text; rest.len > 0;)
		put_required(w, cut(&rest, ','));
	sl_json_arr_end(w);
	if (sl_slice_ends(text, SL_SLICE("...")))
		sl_json_bool(w, "additionalProperties", true);
}

void
admin_openapi_type(struct sl_json_writer *w, struct sl_slice text)
{
	put_type(w, text);
}

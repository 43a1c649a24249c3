/* extent.c - the parts of a request, judged by lists of what is known to be harmless.
 *
 * Names are compared as they are written. An escaped one is on no list, and so counts
 * as the worst; that is what makes the lists safe against "\u0069mage_url".
 *
 * One pass: what a part is may be said behind what it holds, so both readings of it are
 * summed until its end.
 */
#include "shapes/extent.h"

#define NAME(literal) SL_SLICE_INIT(literal)
#define END           { NULL, 0 }

/* The list ends with an empty name. */
static bool
is_any(struct sl_slice name, const struct sl_slice *list)
{
	for (; list->len; list++)
		if (sl_slice_eq(name, *list))
			return true;
	return false;
}

/* What a string says, as it is written. */
static struct sl_slice
inside(struct sl_slice raw)
{
	return raw.len >= 2 ? sl_slice_make(raw.ptr + 1, raw.len - 2) : SL_SLICE_NONE;
}

static bool
is_string(struct sl_slice raw)
{
	return raw.len > 0 && raw.ptr[0] == '"';
}

static bool
is_escaped(struct sl_slice name)
{
	return sl_slice_find(name, '\\') >= 0;
}

static void
count_media(struct sl_extent *extent, size_t len)
{
	extent->media_parts++;
	extent->text_bytes -= (int64_t)len;
}

static void
add_parts(struct sl_extent *extent, const struct sl_extent *more)
{
	extent->media_parts += more->media_parts;
	extent->text_bytes += more->text_bytes;
}

/* --- parts of messages ---------------------------------------------------------- */

static void read_parts(struct sl_extent *extent, struct sl_json_walk *walk, int depth);

/* One part or item. Where none has a type (Gemini), its members tell. */
static void
read_part(struct sl_extent *extent, struct sl_json_walk *walk, int depth)
{
	static const struct sl_slice text_types[] = {
		NAME("text"), NAME("input_text"), NAME("output_text"), NAME("refusal"),
		NAME("thinking"), NAME("redacted_thinking"), NAME("tool_use"), NAME("tool_result"),
		NAME("message"), NAME("reasoning"), NAME("summary_text"), NAME("reasoning_text"),
		NAME("function_call"), NAME("function_call_output"), NAME("custom_tool_call"),
		NAME("custom_tool_call_output"), END
	};
	static const struct sl_slice text_members[] = {
		NAME("role"), NAME("content"), NAME("text"), NAME("thought"),
		NAME("thoughtSignature"), NAME("thought_signature"), NAME("functionCall"),
		NAME("function_call"), NAME("functionResponse"), NAME("function_response"),
		NAME("parts"), NAME("name"), NAME("tool_call_id"), NAME("tool_calls"),
		NAME("refusal"), NAME("reasoning_content"), NAME("reasoning"),
		NAME("reasoning_details"), NAME("cache_control"), NAME("prefix"), END
	};
	static const struct sl_slice holders[] = { NAME("content"), NAME("parts"), NAME("output"), END };
	const enum sl_json_type part = sl_json_walk_type(walk);
	const uint8_t *start = walk->at;
	struct sl_extent typed = { 0 }, untyped = { 0 };
	struct sl_slice key, type = SL_SLICE_NONE;

	if (part != SL_JSON_OBJECT) {
		size_t len = sl_json_walk_skip(walk).len;

		if (part != SL_JSON_STRING)
			count_media(extent, len);
		return;
	}
	for (sl_json_walk_enter(walk); sl_json_walk_member(walk, &key);) {
		const bool known = is_any(key, text_members);
		const uint8_t *value = walk->at;
		struct sl_extent held = { 0 };

		if (is_any(key, holders))
			read_parts(&held, walk, depth + 1);
		else if (sl_json_key_is(key, SL_SLICE("type")))
			type = sl_json_walk_skip(walk);
		else
			sl_json_walk_skip(walk);
		if (!known)
			count_media(&untyped, (size_t)(walk->at - value));
		else
			add_parts(&untyped, &held);
		if (is_escaped(key))
			count_media(&typed, (size_t)(walk->at - value));
		else
			add_parts(&typed, &held);
	}
	if (type.len == 0)
		add_parts(extent, &untyped);
	else if (is_string(type) && is_any(inside(type), text_types))
		add_parts(extent, &typed);
	else
		count_media(extent, (size_t)(walk->at - start));
}

/* Messages hold parts, and results of tools hold parts again. */
static void
read_parts(struct sl_extent *extent, struct sl_json_walk *walk, int depth)
{
	enum { DEPTH_MAX = 4 };
	const enum sl_json_type type = sl_json_walk_type(walk);

	if (type == SL_JSON_STRING || type == SL_JSON_NULL)
		sl_json_walk_skip(walk);
	else if (depth > DEPTH_MAX)
		count_media(extent, sl_json_walk_skip(walk).len);
	else if (type == SL_JSON_OBJECT)
		read_part(extent, walk, depth);
	else if (type == SL_JSON_ARRAY)
		for (sl_json_walk_enter(walk); sl_json_walk_next(walk);)
			read_part(extent, walk, depth);
	else
		sl_json_walk_skip(walk);
}

/* --- tools ------------------------------------------------------------------------ */

static void
add_calls(struct sl_extent *extent, int64_t calls)
{
	enum { CALLS_MAX = 1000 };

	if (calls < 0 || extent->paid_calls < 0 || calls > CALLS_MAX)
		extent->paid_calls = -1;
	else
		extent->paid_calls += calls;
}

/* The caller runs it: Anthropic's client tools are named and dated. */
static bool
is_callers(struct sl_slice name)
{
	static const struct sl_slice types[] = { NAME("function"), NAME("custom"), END };
	static const struct sl_slice dated[] = { NAME("bash_"), NAME("text_editor_"),
		                                 NAME("computer_"), NAME("memory_"), END };

	if (is_any(name, types))
		return true;
	for (size_t i = 0; dated[i].len; i++)
		if (sl_slice_starts(name, dated[i]))
			return true;
	return false;
}

static void read_tools(struct sl_extent *extent, struct sl_json_walk *walk, int depth);

static void
read_tool(struct sl_extent *extent, struct sl_json_walk *walk, int depth)
{
	static const struct sl_slice members[] = {
		NAME("functionDeclarations"), NAME("function_declarations"), NAME("name"),
		NAME("description"), NAME("input_schema"), NAME("cache_control"), NAME("strict"),
		NAME("input_examples"), END
	};
	struct sl_slice key, type = SL_SLICE_NONE, max_uses = SL_SLICE_NONE, tools = SL_SLICE_NONE;
	struct sl_json_walk held;
	bool unknown = false;
	int64_t uses;

	if (sl_json_walk_type(walk) != SL_JSON_OBJECT) {
		if (sl_json_walk_type(walk) == SL_JSON_ARRAY)
			add_calls(extent, -1);
		sl_json_walk_skip(walk);
		return;
	}
	for (sl_json_walk_enter(walk); sl_json_walk_member(walk, &key);) {
		struct sl_slice value = sl_json_walk_skip(walk);

		unknown = unknown || !is_any(key, members);
		if (sl_json_key_is(key, SL_SLICE("type")))
			type = value;
		else if (sl_json_key_is(key, SL_SLICE("max_uses")))
			max_uses = value;
		else if (sl_json_key_is(key, SL_SLICE("tools")))
			tools = value;
	}
	if (!is_string(type)) {
		if (unknown)
			add_calls(extent, -1);
	} else if (depth == 0 && sl_json_is(sl_json_parse(type), "namespace")) {
		/* The caller runs what is in one, as far as it would without. */
		held = sl_json_walk(tools);
		read_tools(extent, &held, depth + 1);
	} else if (!is_callers(inside(type))) {
		add_calls(extent, sl_json_i64(sl_json_parse(max_uses), &uses) ? uses : -1);
	}
}

static void
read_tools(struct sl_extent *extent, struct sl_json_walk *walk, int depth)
{
	if (sl_json_walk_type(walk) != SL_JSON_ARRAY) {
		read_tool(extent, walk, depth);
		return;
	}
	for (sl_json_walk_enter(walk); sl_json_walk_next(walk);)
		read_tool(extent, walk, depth);
}

/* --- the body ----------------------------------------------------------------------- */

/* The walk is at the member's value, and behind it afterwards. */
static void
read_member(struct sl_extent *extent, struct sl_slice name, struct sl_json_walk *walk)
{
	static const struct sl_slice messages[] = {
		NAME("messages"), NAME("input"), NAME("contents"), NAME("system"),
		NAME("systemInstruction"), NAME("system_instruction"), END
	};
	static const struct sl_slice elsewhere[] = {
		NAME("previous_response_id"), NAME("conversation"), NAME("cachedContent"),
		NAME("cached_content"), NAME("container"), END
	};
	static const struct sl_slice hosted[] = { NAME("web_search_options"), NAME("mcp_servers"),
		                                  END };
	const enum sl_json_type type = sl_json_walk_type(walk);

	if (type != SL_JSON_NULL && is_any(name, messages)) {
		read_parts(extent, walk, 0);
		return;
	}
	if (type != SL_JSON_NULL && sl_slice_eq(name, SL_SLICE("tools"))) {
		read_tools(extent, walk, 0);
		return;
	}
	sl_json_walk_skip(walk);
	if (type == SL_JSON_NULL)
		return;
	if (is_any(name, hosted))
		add_calls(extent, -1);
	else if (is_any(name, elsewhere) ||
	         (sl_slice_eq(name, SL_SLICE("prompt")) && type == SL_JSON_OBJECT))
		extent->stored_context = true;
	else if (is_escaped(name)) {
		extent->stored_context = true;
		add_calls(extent, -1);
	}
}

void
sl_extent_read(const struct sl_shape_ops *shape, const struct sl_steer *steer,
               struct sl_extent *out)
{
	struct sl_json_walk walk = sl_json_walk(steer->input.body);
	struct sl_slice key, limit = SL_SLICE_NONE;
	int64_t calls;

	*out = (struct sl_extent){ .text_bytes = (int64_t)steer->input.body.len,
		                   .of = steer->input.body.ptr };
	/* Where the input is a list of texts or of token numbers, or a recording. */
	if (!shape->read_prompt || sl_json_walk_type(&walk) != SL_JSON_OBJECT)
		return;
	for (sl_json_walk_enter(&walk); sl_json_walk_member(&walk, &key);) {
		const uint8_t *value = walk.at;

		read_member(out, key, &walk);
		if (sl_json_key_is(key, SL_SLICE("max_tool_calls")))
			limit = sl_slice_make(value, (size_t)(walk.at - value));
	}
	if (out->paid_calls != 0 && sl_json_i64(sl_json_parse(limit), &calls) && calls >= 0 &&
	    calls <= 1000)
		out->paid_calls = calls;
	if (out->text_bytes < 0)
		out->text_bytes = 0;
}

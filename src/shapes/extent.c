/* extent.c - the parts of a request, judged by lists of what is known to be harmless.
 *
 * Names are compared as they are written. An escaped one is on no list, and so counts
 * as the worst; that is what makes the lists safe against "\u0069mage_url".
 */
#include "shapes/extent.h"

static bool
is_any(struct sl_slice name, const char *const *list)
{
	for (; *list; list++)
		if (sl_slice_is(name, *list))
			return true;
	return false;
}

static bool
is_any_text(struct sl_json value, const char *const *list)
{
	return value.type == SL_JSON_STRING &&
	       is_any(sl_slice_make(value.raw.ptr + 1, value.raw.len - 2), list);
}

static void
count_media(struct sl_extent *extent, struct sl_json part)
{
	extent->media_parts++;
	extent->text_bytes -= (int64_t)part.raw.len;
}

/* --- parts of messages ---------------------------------------------------------- */

static void read_parts(struct sl_extent *extent, struct sl_json parts, int depth);

/* One part or item. Where none has a type (Gemini), its members tell. */
static void
read_part(struct sl_extent *extent, struct sl_json part, int depth)
{
	static const char *const text_types[] = {
		"text", "input_text", "output_text", "refusal", "thinking", "redacted_thinking",
		"tool_use", "tool_result", "message", "reasoning", "summary_text", "reasoning_text",
		"function_call", "function_call_output", "custom_tool_call",
		"custom_tool_call_output", NULL,
	};
	static const char *const text_members[] = {
		"text", "thought", "thoughtSignature", "thought_signature", "functionCall",
		"function_call", "functionResponse", "function_response", "role", "content", "parts",
		"name", "tool_call_id", "tool_calls", "refusal", "reasoning_content", "reasoning",
		"reasoning_details", "cache_control", "prefix", NULL,
	};
	struct sl_json_iter it = sl_json_iter(part);
	struct sl_json type = sl_json_get(part, "type");

	if (part.type == SL_JSON_STRING)
		return;
	if (part.type != SL_JSON_OBJECT ||
	    (type.type != SL_JSON_NONE && !is_any_text(type, text_types))) {
		count_media(extent, part);
		return;
	}
	while (sl_json_next(&it)) {
		if (type.type == SL_JSON_NONE && !is_any(it.key, text_members)) {
			count_media(extent, it.value);
		} else if (sl_slice_is(it.key, "content") || sl_slice_is(it.key, "parts") ||
		           sl_slice_is(it.key, "output")) {
			read_parts(extent, it.value, depth + 1);
		}
	}
}

/* Messages hold parts, and results of tools hold parts again. */
static void
read_parts(struct sl_extent *extent, struct sl_json parts, int depth)
{
	enum { DEPTH_MAX = 4 };
	struct sl_json_iter it = sl_json_iter(parts);

	if (parts.type == SL_JSON_STRING || parts.type == SL_JSON_NULL)
		return;
	if (depth > DEPTH_MAX) {
		count_media(extent, parts);
		return;
	}
	if (parts.type == SL_JSON_OBJECT)
		read_part(extent, parts, depth);
	while (parts.type == SL_JSON_ARRAY && sl_json_next(&it))
		read_part(extent, it.value, depth);
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
is_callers(struct sl_json type)
{
	static const char *const types[] = { "function", "custom", NULL };
	static const char *const dated[] = { "bash_", "text_editor_", "computer_", "memory_" };
	struct sl_slice name = sl_slice_make(type.raw.ptr + 1, type.raw.len - 2);

	if (is_any(name, types))
		return true;
	for (size_t i = 0; i < sizeof(dated) / sizeof(dated[0]); i++)
		if (sl_slice_starts(name, sl_slice_str(dated[i])))
			return true;
	return false;
}

static void read_tools(struct sl_extent *extent, struct sl_json tools, int depth);

static void
read_tool(struct sl_extent *extent, struct sl_json tool, int depth)
{
	static const char *const members[] = {
		"functionDeclarations", "function_declarations", "name", "description",
		"input_schema", "cache_control", "strict", "input_examples", NULL,
	};
	struct sl_json type = sl_json_get(tool, "type");
	struct sl_json_iter it = sl_json_iter(tool);
	int64_t uses = -1;

	if (type.type == SL_JSON_STRING) {
		if (is_callers(type))
			return;
		/* The caller runs what is in one, as far as it would without. */
		if (sl_json_is(type, "namespace") && depth == 0) {
			read_tools(extent, sl_json_get(tool, "tools"), depth + 1);
			return;
		}
		if (!sl_json_i64(sl_json_get(tool, "max_uses"), &uses))
			uses = -1;
		add_calls(extent, uses);
		return;
	}
	while (sl_json_next(&it))
		if (!is_any(it.key, members))
			add_calls(extent, -1);
}

static void
read_tools(struct sl_extent *extent, struct sl_json tools, int depth)
{
	struct sl_json_iter it = sl_json_iter(tools);

	if (tools.type == SL_JSON_OBJECT)
		read_tool(extent, tools, depth);
	while (tools.type == SL_JSON_ARRAY && sl_json_next(&it))
		read_tool(extent, it.value, depth);
}

/* --- the body ----------------------------------------------------------------------- */

static void
read_member(struct sl_extent *extent, struct sl_slice name, struct sl_json value)
{
	static const char *const messages[] = {
		"messages", "input", "contents", "system", "systemInstruction",
		"system_instruction", NULL,
	};
	static const char *const elsewhere[] = {
		"previous_response_id", "conversation", "cachedContent", "cached_content",
		"container", NULL,
	};
	static const char *const hosted[] = { "web_search_options", "mcp_servers", NULL };

	if (value.type == SL_JSON_NULL)
		return;
	if (is_any(name, messages))
		read_parts(extent, value, 0);
	else if (sl_slice_is(name, "tools"))
		read_tools(extent, value, 0);
	else if (is_any(name, hosted))
		add_calls(extent, -1);
	else if (is_any(name, elsewhere) ||
	         (sl_slice_is(name, "prompt") && value.type == SL_JSON_OBJECT))
		extent->stored_context = true;
	else if (sl_slice_find(name, '\\') >= 0) {
		extent->stored_context = true;
		add_calls(extent, -1);
	}
}

void
sl_extent_read(const struct sl_shape_ops *shape, const struct sl_steer *steer,
               struct sl_extent *out)
{
	struct sl_json body = sl_json_parse(steer->input.body);
	struct sl_json_iter it = sl_json_iter(body);
	int64_t calls;

	*out = (struct sl_extent){ .text_bytes = (int64_t)steer->input.body.len };
	/* Where the input is a list of texts or of token numbers, or a recording. */
	if (!shape->read_prompt || body.type != SL_JSON_OBJECT)
		return;
	while (sl_json_next(&it))
		read_member(out, it.key, it.value);
	if (out->paid_calls != 0 && sl_json_i64(sl_json_get(body, "max_tool_calls"), &calls) &&
	    calls >= 0 && calls <= 1000)
		out->paid_calls = calls;
	if (out->text_bytes < 0)
		out->text_bytes = 0;
}

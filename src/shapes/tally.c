/* tally.c - the walk that finds the text of a request.
 *
 *   body --members--> messages  --> content: text, parts --> text, media, calls, results
 *                     instructions
 *                     tools     --> functions --> name, description, properties
 *                     schema of the answer
 *
 * The APIs name the same things differently, and their names do not collide, so one walk
 * does for all. Calls, results and schemas are JSON that providers render in forms of
 * their own: their bytes are counted as text, which is near. Members are compared as
 * they are written.
 */
#include "shapes/tally.h"

#include "base/arena.h"
#include "base/json.h"

enum { NESTING_MAX = 32 };

struct walk {
	struct sl_tally *tally;
	unsigned         nesting;
};

static bool
is_any(struct sl_slice name, const char *const *list)
{
	for (; *list; list++)
		if (sl_slice_is(name, *list))
			return true;
	return false;
}

static void
add_text(struct walk *walk, struct sl_json value)
{
	struct sl_arena arena;
	struct sl_slice text;

	if (value.type != SL_JSON_STRING || value.raw.len <= 2)
		return;
	sl_arena_init(&arena, value.raw.len, 0);
	if (!sl_json_string(value, &arena, &text))
		text = value.raw; /* no memory: the escapes count too */
	sl_tally_text(walk->tally, text);
	sl_arena_release(&arena);
}

/* JSON as it stands: a string's text, anything else its bytes. */
static void
add_json(struct walk *walk, struct sl_json value)
{
	if (value.type == SL_JSON_STRING)
		add_text(walk, value);
	else if (value.type == SL_JSON_OBJECT || value.type == SL_JSON_ARRAY)
		sl_tally_text(walk->tally, value.raw);
}

/* --- content ---------------------------------------------------------------- */

static void add_content(struct walk *walk, struct sl_json content);

static bool
add_media(struct walk *walk, struct sl_json part)
{
	static const char *const pictures[] = { "image_url", "input_image", "image", NULL };
	static const char *const files[] = { "input_audio", "file", "input_file", "document", NULL };
	static const char *const inline_data[] = { "inlineData", "inline_data", "fileData", "file_data",
		                                   NULL };
	struct sl_json type = sl_json_get(part, "type");

	for (size_t i = 0; pictures[i]; i++)
		if (sl_json_is(type, pictures[i])) {
			walk->tally->images++;
			return true;
		}
	for (size_t i = 0; files[i]; i++)
		if (sl_json_is(type, files[i])) {
			walk->tally->media_bytes += (int64_t)part.raw.len;
			return true;
		}
	for (size_t i = 0; inline_data[i]; i++) {
		struct sl_json data = sl_json_get(part, inline_data[i]), mime;

		if (data.type != SL_JSON_OBJECT)
			continue;
		mime = sl_json_get(data, "mimeType");
		if (mime.type == SL_JSON_NONE)
			mime = sl_json_get(data, "mime_type");
		if (sl_slice_starts(mime.raw, SL_SLICE("\"image/")))
			walk->tally->images++;
		else
			walk->tally->media_bytes += (int64_t)data.raw.len;
		return true;
	}
	return false;
}

/* A call of a tool or what it gave, in any API's words. */
static void
add_call(struct walk *walk, struct sl_slice member, struct sl_json value)
{
	static const char *const texts[] = { "name", "arguments", "input", "args", "response",
		                             "output", "thinking", "refusal", NULL };
	static const char *const calls[] = { "function", "functionCall", "functionResponse",
		                             "function_call", NULL };

	if (is_any(member, texts)) {
		add_json(walk, value);
	} else if (is_any(member, calls) && value.type == SL_JSON_OBJECT) {
		add_json(walk, sl_json_get(value, "name"));
		add_json(walk, sl_json_get(value, "arguments"));
		add_json(walk, sl_json_get(value, "args"));
		add_json(walk, sl_json_get(value, "response"));
	} else {
		return;
	}
	walk->tally->schema = true;
}

static void
add_part(struct walk *walk, struct sl_json part)
{
	struct sl_json_iter it = sl_json_iter(part);

	if (part.type == SL_JSON_STRING) {
		add_text(walk, part);
		return;
	}
	if (part.type != SL_JSON_OBJECT || add_media(walk, part))
		return;
	while (sl_json_next(&it)) {
		if (sl_slice_is(it.key, "text"))
			add_text(walk, it.value);
		else if (sl_slice_is(it.key, "content"))
			add_content(walk, it.value);
		else
			add_call(walk, it.key, it.value);
	}
}

static void
add_content(struct walk *walk, struct sl_json content)
{
	struct sl_json_iter it = sl_json_iter(content);

	if (content.type != SL_JSON_ARRAY) {
		add_part(walk, content);
		return;
	}
	if (walk->nesting == NESTING_MAX) {
		sl_tally_text(walk->tally, content.raw);
		return;
	}
	walk->nesting++;
	while (sl_json_next(&it))
		add_part(walk, it.value);
	walk->nesting--;
}

/* --- messages --------------------------------------------------------------- */

static void
add_message(struct walk *walk, struct sl_json message)
{
	struct sl_json_iter it = sl_json_iter(message);

	walk->tally->messages++;
	while (sl_json_next(&it)) {
		if (sl_slice_is(it.key, "content") || sl_slice_is(it.key, "parts")) {
			add_content(walk, it.value);
		} else if (sl_slice_is(it.key, "tool_calls")) {
			add_content(walk, it.value);
		} else if (sl_slice_is(it.key, "name") && sl_json_get(message, "role").type != SL_JSON_NONE) {
			add_text(walk, it.value);
			walk->tally->names++;
		} else {
			add_call(walk, it.key, it.value);
		}
	}
}

/* Messages; or texts, as embeddings and completions have them. */
static void
add_messages(struct walk *walk, struct sl_json list)
{
	struct sl_json_iter it = sl_json_iter(list);

	if (list.type == SL_JSON_STRING) {
		walk->tally->messages++;
		add_text(walk, list);
		return;
	}
	if (list.type != SL_JSON_ARRAY)
		return;
	while (sl_json_next(&it)) {
		if (it.value.type == SL_JSON_OBJECT)
			add_message(walk, it.value);
		else if (it.value.type == SL_JSON_NUMBER)
			walk->tally->text_tokens++; /* tokens, counted by the caller */
		else
			add_text(walk, it.value);
	}
}

static void
add_instructions(struct walk *walk, struct sl_json value)
{
	struct sl_json parts = sl_json_get(value, "parts");

	walk->tally->messages++;
	add_content(walk, parts.type == SL_JSON_NONE ? value : parts);
}

/* --- tools ------------------------------------------------------------------ */

static void add_schema(struct walk *walk, struct sl_json schema);

static void
add_properties(struct walk *walk, struct sl_json properties)
{
	struct sl_json_iter it = sl_json_iter(properties);

	while (sl_json_next(&it)) {
		walk->tally->properties++;
		sl_tally_text(walk->tally, it.key);
		add_schema(walk, it.value);
	}
}

static void
add_enum(struct walk *walk, struct sl_json items)
{
	struct sl_json_iter it = sl_json_iter(items);

	while (sl_json_next(&it)) {
		walk->tally->enum_items++;
		add_text(walk, it.value);
	}
}

static void
add_schema(struct walk *walk, struct sl_json schema)
{
	struct sl_json_iter it = sl_json_iter(schema);

	if (walk->nesting == NESTING_MAX) {
		sl_tally_text(walk->tally, schema.raw);
		return;
	}
	walk->nesting++;
	while (sl_json_next(&it)) {
		if (sl_slice_is(it.key, "properties") && it.value.type == SL_JSON_OBJECT)
			add_properties(walk, it.value);
		else if (sl_slice_is(it.key, "enum"))
			add_enum(walk, it.value);
		else if (sl_slice_is(it.key, "description") || sl_slice_is(it.key, "type"))
			add_text(walk, it.value);
		else if (it.value.type == SL_JSON_OBJECT)
			add_schema(walk, it.value);
	}
	walk->nesting--;
}

static void
add_function(struct walk *walk, struct sl_json function)
{
	static const char *const schemas[] = {
		"parameters", "input_schema", "parametersJsonSchema", "parameters_json_schema", NULL,
	};

	walk->tally->functions++;
	add_text(walk, sl_json_get(function, "name"));
	add_text(walk, sl_json_get(function, "description"));
	for (size_t i = 0; schemas[i]; i++)
		add_schema(walk, sl_json_get(function, schemas[i]));
}

static void
add_tools(struct walk *walk, struct sl_json tools)
{
	struct sl_json_iter it = sl_json_iter(tools);

	while (sl_json_next(&it)) {
		struct sl_json function = sl_json_get(it.value, "function");
		struct sl_json many = sl_json_get(it.value, "functionDeclarations");

		walk->tally->tools = true;
		if (many.type == SL_JSON_NONE)
			many = sl_json_get(it.value, "function_declarations");
		if (many.type == SL_JSON_ARRAY) {
			struct sl_json_iter each = sl_json_iter(many);

			while (sl_json_next(&each))
				add_function(walk, each.value);
		} else {
			add_function(walk, function.type == SL_JSON_OBJECT ? function : it.value);
		}
	}
}

/* --- the form of the answer --------------------------------------------------- */

static void
add_answer_schema(struct walk *walk, struct sl_json schema)
{
	if (schema.type != SL_JSON_OBJECT)
		return;
	walk->tally->schema = true;
	sl_tally_text(walk->tally, schema.raw);
}

static void
add_member(struct walk *walk, struct sl_slice member, struct sl_json value)
{
	static const char *const lists[] = { "messages", "input", "contents", "prompt", NULL };
	static const char *const instructions[] = {
		"system", "instructions", "systemInstruction", "system_instruction", NULL,
	};
	static const char *const gemini[] = {
		"responseSchema", "responseJsonSchema", "response_schema", "response_json_schema", NULL,
	};

	if (is_any(member, lists)) {
		add_messages(walk, value);
	} else if (is_any(member, instructions)) {
		add_instructions(walk, value);
	} else if (sl_slice_is(member, "tools") || sl_slice_is(member, "functions")) {
		add_tools(walk, value);
	} else if (sl_slice_is(member, "response_format")) {
		add_answer_schema(walk, sl_json_get(value, "json_schema"));
	} else if (sl_slice_is(member, "text") || sl_slice_is(member, "output_config")) {
		add_answer_schema(walk, sl_json_get(value, "format"));
	} else if (sl_slice_is(member, "output_format")) {
		add_answer_schema(walk, value);
	} else if (sl_slice_is(member, "generationConfig") ||
	           sl_slice_is(member, "generation_config")) {
		for (size_t i = 0; gemini[i]; i++)
			add_answer_schema(walk, sl_json_get(value, gemini[i]));
	} else if (sl_slice_is(member, "previous_response_id") || sl_slice_is(member, "conversation")) {
		/* Text that is not here: what is counted is only a part. */
		walk->tally->schema = true;
	}
}

void
sl_tally_request(struct sl_tally *tally, struct sl_slice body)
{
	static const char *const inside[] = { "generateContentRequest", "generate_content_request",
		                              NULL };
	struct walk walk = { .tally = tally };
	struct sl_json top = sl_json_parse(body);
	struct sl_json_iter it;

	/* What Gemini's callers have counted may stand inside. */
	for (size_t i = 0; inside[i]; i++)
		if (sl_json_get(top, inside[i]).type == SL_JSON_OBJECT)
			top = sl_json_get(top, inside[i]);
	it = sl_json_iter(top);
	while (sl_json_next(&it))
		add_member(&walk, it.key, it.value);
}

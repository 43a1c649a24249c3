/* gist.c - the text of answers, and why they ended, in each API's words. */
#include "shapes/gist.h"

enum { TEXT_MAX = 4 << 20, QUESTION_OUTPUT_TOKENS = 1024 };

/* Joins texts: the first is borrowed, more are put together on the arena. */
static void
add_text(struct sl_gist *out, struct sl_json value, struct sl_arena *arena)
{
	struct sl_slice text;

	if (!sl_json_string(value, arena, &text) || text.len == 0)
		return;
	if (out->text.len == 0)
		out->text = text;
	else if (out->text.len + text.len <= TEXT_MAX)
		out->text = sl_arena_join(arena, (struct sl_slice[]){ out->text, text }, 2);
}

static bool
holds(struct sl_json value)
{
	struct sl_json_iter it = sl_json_iter(value);

	return (value.type == SL_JSON_ARRAY || value.type == SL_JSON_OBJECT) && sl_json_next(&it);
}

static struct sl_json
first_of(struct sl_json list)
{
	struct sl_json_iter it = sl_json_iter(list);

	return sl_json_next(&it) ? it.value : (struct sl_json){ .type = SL_JSON_NONE };
}

void
sl_gist_openai_chat(struct sl_slice body, struct sl_arena *arena, struct sl_gist *out)
{
	struct sl_json choice = first_of(sl_json_get(sl_json_parse(body), "choices"));
	struct sl_json message = sl_json_get(choice, "message");
	struct sl_json content = sl_json_get(message, "content");
	struct sl_json reason = sl_json_get(choice, "finish_reason");
	struct sl_json_iter it = sl_json_iter(content);

	add_text(out, content, arena);
	while (content.type == SL_JSON_ARRAY && sl_json_next(&it))
		add_text(out, sl_json_get(it.value, "text"), arena);
	out->acts = holds(sl_json_get(message, "tool_calls")) ||
	            holds(sl_json_get(message, "function_call")) ||
	            holds(sl_json_get(message, "audio"));
	out->refused = sl_json_get(message, "refusal").type == SL_JSON_STRING ||
	               sl_json_is(reason, "content_filter");
	out->truncated = sl_json_is(reason, "length");
}

void
sl_gist_openai_responses(struct sl_slice body, struct sl_arena *arena, struct sl_gist *out)
{
	struct sl_json reply = sl_json_parse(body);
	struct sl_json why = sl_json_at(reply, "incomplete_details.reason");
	struct sl_json_iter items = sl_json_iter(sl_json_get(reply, "output"));

	while (sl_json_next(&items)) {
		struct sl_json_iter parts = sl_json_iter(sl_json_get(items.value, "content"));
		struct sl_json type = sl_json_get(items.value, "type");

		if (!sl_json_is(type, "message")) {
			out->acts = out->acts || !sl_json_is(type, "reasoning");
			continue;
		}
		while (sl_json_next(&parts)) {
			add_text(out, sl_json_get(parts.value, "text"), arena);
			out->refused = out->refused ||
			               sl_json_is(sl_json_get(parts.value, "type"), "refusal");
		}
	}
	out->refused = out->refused || sl_json_is(why, "content_filter");
	out->truncated = sl_json_is(why, "max_output_tokens");
}

void
sl_gist_anthropic(struct sl_slice body, struct sl_arena *arena, struct sl_gist *out)
{
	struct sl_json reply = sl_json_parse(body);
	struct sl_json reason = sl_json_get(reply, "stop_reason");
	struct sl_json_iter it = sl_json_iter(sl_json_get(reply, "content"));

	while (sl_json_next(&it)) {
		struct sl_json type = sl_json_get(it.value, "type");

		if (sl_json_is(type, "text"))
			add_text(out, sl_json_get(it.value, "text"), arena);
		else
			out->acts = out->acts || !(sl_json_is(type, "thinking") ||
			                           sl_json_is(type, "redacted_thinking"));
	}
	out->refused = sl_json_is(reason, "refusal");
	out->truncated = sl_json_is(reason, "max_tokens");
}

void
sl_gist_gemini(struct sl_slice body, struct sl_arena *arena, struct sl_gist *out)
{
	static const char *const refusals[] = {
		"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY",
	};
	struct sl_json reply = sl_json_parse(body);
	struct sl_json candidate = first_of(sl_json_get(reply, "candidates"));
	struct sl_json reason = sl_json_get(candidate, "finishReason");
	struct sl_json_iter it = sl_json_iter(sl_json_at(candidate, "content.parts"));

	while (sl_json_next(&it)) {
		struct sl_json text = sl_json_get(it.value, "text");

		if (sl_json_true(sl_json_get(it.value, "thought")))
			continue;
		add_text(out, text, arena);
		out->acts = out->acts || text.type == SL_JSON_NONE;
	}
	out->refused = sl_json_at(reply, "promptFeedback.blockReason").type == SL_JSON_STRING;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		out->refused = out->refused || sl_json_is(reason, refusals[i]);
	out->truncated = sl_json_is(reason, "MAX_TOKENS");
}

/* --- the request's side ----------------------------------------------------------- */

static bool
wants_by_format(struct sl_json format, struct sl_json *schema)
{
	struct sl_json inner = sl_json_at(format, "json_schema.schema");

	if (sl_json_is(sl_json_get(format, "type"), "json_object"))
		return true;
	if (!sl_json_is(sl_json_get(format, "type"), "json_schema"))
		return false;
	*schema = inner.type == SL_JSON_OBJECT ? inner : sl_json_get(format, "schema");
	return true;
}

bool
sl_gist_wants_json(struct sl_slice body, struct sl_json *schema)
{
	static const char *const formats[] = { "response_format", "text.format",
		                               "output_config.format", "output_format" };
	static const char *const schemas[] = {
		"generationConfig.responseJsonSchema", "generationConfig.responseSchema",
		"generation_config.response_json_schema", "generation_config.response_schema",
	};
	struct sl_json request = sl_json_parse(body);

	*schema = (struct sl_json){ .type = SL_JSON_NONE };
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (wants_by_format(sl_json_at(request, formats[i]), schema))
			return true;
	for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
		*schema = sl_json_at(request, schemas[i]);
		if (schema->type == SL_JSON_OBJECT)
			return true;
	}
	return sl_json_is(sl_json_at(request, "generationConfig.responseMimeType"),
	                  "application/json");
}

bool
sl_gist_question(const char *shape, struct sl_slice question, struct sl_buf *out)
{
	struct sl_slice name = sl_slice_str(shape);
	bool gemini = sl_slice_is(name, "gemini_generate");
	bool responses = sl_slice_is(name, "openai_responses");
	bool anthropic = sl_slice_is(name, "anthropic_messages");
	struct sl_json_writer w;

	if (!gemini && !responses && !anthropic && !sl_slice_is(name, "openai_chat"))
		return false;
	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	if (!gemini)
		sl_json_str(&w, "model", SL_SLICE("judge"));
	if (anthropic)
		sl_json_int(&w, "max_tokens", QUESTION_OUTPUT_TOKENS);
	if (responses) {
		sl_json_str(&w, "input", question);
		sl_json_obj_end(&w);
		return true;
	}
	sl_json_key(&w, gemini ? "contents" : "messages");
	sl_json_arr(&w);
	sl_json_obj(&w);
	sl_json_str(&w, "role", SL_SLICE("user"));
	if (gemini) {
		sl_json_key(&w, "parts");
		sl_json_arr(&w);
		sl_json_obj(&w);
		sl_json_str(&w, "text", question);
		sl_json_obj_end(&w);
		sl_json_arr_end(&w);
	} else {
		sl_json_str(&w, "content", question);
	}
	sl_json_obj_end(&w);
	sl_json_arr_end(&w);
	sl_json_obj_end(&w);
	return true;
}

/* gemini_encode.c - a dialog as a generateContent request.
 *
 * The service refuses members that it does not know, so nothing is written that a
 * model's generation may lack (model_rules.def). Two roles: results and what the
 * user says share one content. Media inside a result follow the results, where the
 * model has no place for them.
 */
#include "shapes/gemini_codec.h"

#include <stdio.h>

enum { STOPS_MAX = 5, CANDIDATES_MAX = 8, BUDGET_MAX = 24576, BUDGET_PRO_MAX = 32768,
       BUDGET_PRO_MIN = 128 };

struct encoding {
	struct sl_encode     *encode;
	struct sl_json_writer w;
	const char           *open_role; /* of the content that is open, NULL: none */
	bool                  json_in_words; /* the format is asked for by an instruction */
	enum sl_err           err;
};

static bool
rule(const struct encoding *e, uint32_t flag)
{
	return (e->encode->target->rules & flag) != 0;
}

/* --- parts ----------------------------------------------------------------------------- */

static void
put_text_part(struct encoding *e, struct sl_text text)
{
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "text");
	sl_text_put(&e->w, text);
	sl_json_obj_end(&e->w);
}

static void
put_signature(struct encoding *e, const struct sl_part *part)
{
	if (sl_encode_is_issuer(e->encode, part))
		sl_json_str(&e->w, "thoughtSignature", part->signature);
}

static void
put_reasoning(struct encoding *e, const struct sl_part *part)
{
	bool ours = sl_slice_is(part->issuer, e->encode->target->issuer);

	if (!ours || (sl_text_empty(part->text) && part->signature.len == 0)) {
		if (!ours)
			sl_note(e->encode->notes, SL_NOTE_reasoning_stripped, &part->where);
		return;
	}
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "text");
	sl_text_put(&e->w, sl_text_empty(part->text) ? sl_text_plain(SL_SLICE("")) : part->text);
	if (!sl_text_empty(part->text))
		sl_json_bool(&e->w, "thought", true);
	put_signature(e, part);
	sl_json_obj_end(&e->w);
}

/* Vertex AI alone has names of files. */
static void
put_title(struct encoding *e, const struct sl_part *part)
{
	if (strcmp(e->encode->target->provider, "vertex") != 0) {
		sl_encode_no_title(e->encode, part);
	} else if (!sl_text_empty(part->media.title)) {
		sl_json_key(&e->w, "displayName");
		sl_text_put(&e->w, part->media.title);
	}
}

static void
put_blob(struct encoding *e, const struct sl_part *part)
{
	const struct sl_media *media = &part->media;

	sl_json_key(&e->w, "inlineData");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "mimeType", media->type);
	sl_json_str(&e->w, "data", media->data);
	put_title(e, part);
	sl_json_obj_end(&e->w);
}

static void
put_detail(struct encoding *e, const struct sl_part *part)
{
	struct sl_slice detail = part->media.detail;
	const char *level = NULL;

	if (detail.len == 0 || sl_slice_is(detail, "auto"))
		return;
	if (rule(e, SL_RULE_THINKING_LEVEL)) {
		if (sl_slice_is(detail, "low"))
			level = "MEDIA_RESOLUTION_LOW";
		else if (sl_slice_is(detail, "high"))
			level = "MEDIA_RESOLUTION_HIGH";
	}
	if (!level) {
		sl_note(e->encode->notes, SL_NOTE_media_detail_dropped, &part->where);
		return;
	}
	sl_json_key(&e->w, "mediaResolution");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "level", sl_slice_str(level));
	sl_json_obj_end(&e->w);
}

/* Files that the service itself keeps, and videos of its owner. */
bool
sl_gemini_knows_url(struct sl_slice url)
{
	static const char *const starts[] = {
		"https://generativelanguage.googleapis.com/", "https://www.youtube.com/",
		"https://youtu.be/", "https://storage.googleapis.com/",
	};

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		if (sl_slice_istarts(url, sl_slice_str(starts[i])))
			return true;
	return false;
}

static void put_media(struct encoding *e, const struct sl_part *part);

static void
put_document_parts(struct encoding *e, const struct sl_part *part)
{
	sl_note(e->encode->notes, SL_NOTE_document_as_text, &part->where);
	for (const struct sl_part *inner = part->parts; inner; inner = inner->next) {
		if (inner->kind == SL_PART_TEXT)
			put_text_part(e, inner->text);
		else
			put_media(e, inner);
	}
}

static void
put_media(struct encoding *e, const struct sl_part *part)
{
	const struct sl_media *media = &part->media;

	if (media->citations)
		sl_note(e->encode->notes, SL_NOTE_citations_dropped, &part->where);
	switch (media->source) {
	case SL_MEDIA_INLINE:
		sl_json_obj(&e->w);
		put_blob(e, part);
		put_detail(e, part);
		sl_json_obj_end(&e->w);
		return;
	case SL_MEDIA_TEXT:
		sl_note(e->encode->notes, SL_NOTE_document_as_text, &part->where);
		put_text_part(e, part->text);
		return;
	case SL_MEDIA_PARTS:
		put_document_parts(e, part);
		return;
	case SL_MEDIA_URL:
	case SL_MEDIA_URI:
		if (media->source == SL_MEDIA_URI ? !sl_slice_starts(media->data, SL_SLICE("gs://"))
		                                  : !sl_gemini_knows_url(media->data)) {
			e->err = sl_encode_refuse(e->encode, &part->where,
			                          "it fetches no URLs. Send the content itself, "
			                          "in base64, or have media.fetch switched on.");
			return;
		}
		sl_json_obj(&e->w);
		sl_json_key(&e->w, "fileData");
		sl_json_obj(&e->w);
		if (media->type.len)
			sl_json_str(&e->w, "mimeType", media->type);
		sl_json_str(&e->w, "fileUri", media->data);
		put_title(e, part);
		sl_json_obj_end(&e->w);
		sl_json_obj_end(&e->w);
		return;
	case SL_MEDIA_FILE_ID:
		e->err = sl_encode_refuse(e->encode, &part->where,
		                          "a file id is known to its own provider only. Send the "
		                          "content itself, in base64.");
		return;
	}
}

/* Of parallel calls only the first has a signature. One that is lost is said to
 * be, where the model insists on it. */
static void
put_call(struct encoding *e, const struct sl_part *part, bool first)
{
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "functionCall");
	sl_json_obj(&e->w);
	if (rule(e, SL_RULE_CALL_IDS) && part->call_id.len)
		sl_json_str(&e->w, "id", sl_encode_id(e->encode, part->call_id));
	sl_json_str(&e->w, "name", sl_encode_name(e->encode, part->name));
	sl_json_key(&e->w, "args");
	sl_json_put_raw(&e->w, sl_encode_args(e->encode, part));
	sl_json_obj_end(&e->w);
	if (sl_encode_is_issuer(e->encode, part))
		put_signature(e, part);
	else if (first && rule(e, SL_RULE_SIGNATURES))
		sl_json_str(&e->w, "thoughtSignature", SL_SLICE(SL_GEMINI_NO_SIGNATURE));
	sl_json_obj_end(&e->w);
}

/* --- results ----------------------------------------------------------------------------- */

/* The texts of a result as one, escaped. */
static struct sl_slice
result_text(struct encoding *e, const struct sl_part *result, struct sl_buf *buf)
{
	const struct sl_part *only = NULL;
	struct sl_slice utf8 = SL_SLICE_NONE;
	size_t count = 0;

	sl_buf_append_char(buf, '"');
	for (const struct sl_part *part = result->parts; part; part = part->next) {
		if (part->kind != SL_PART_TEXT)
			continue;
		only = part;
		count++;
		sl_text_append(buf, part->text);
	}
	sl_buf_append_char(buf, '"');
	/* An object stays the object that it is. */
	if (count == 1 && result->is_error != SL_YES &&
	    sl_text_utf8(only->text, e->encode->arena, &utf8)) {
		utf8 = sl_slice_trim(utf8);
		if (utf8.len > 1 && utf8.ptr[0] == '{' &&
		    sl_json_validate(utf8, NULL, NULL) == SL_OK)
			return utf8;
	}
	return SL_SLICE_NONE;
}

static bool
is_media(const struct sl_part *part)
{
	return part->kind == SL_PART_IMAGE || part->kind == SL_PART_DOCUMENT ||
	       part->kind == SL_PART_AUDIO || part->kind == SL_PART_VIDEO;
}

static void
put_result(struct encoding *e, const struct sl_part *result)
{
	struct sl_buf text;
	struct sl_slice object;
	bool media = false;

	for (const struct sl_part *part = result->parts; part; part = part->next)
		media |= is_media(part);
	sl_buf_init(&text, 256u * 1024 * 1024);
	object = result_text(e, result, &text);
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "functionResponse");
	sl_json_obj(&e->w);
	if (rule(e, SL_RULE_CALL_IDS) && result->call_id.len)
		sl_json_str(&e->w, "id", sl_encode_id(e->encode, result->call_id));
	sl_json_str(&e->w, "name", sl_encode_name(e->encode, result->name));
	sl_json_key(&e->w, "response");
	if (object.len) {
		sl_json_put_raw(&e->w, object);
	} else {
		sl_json_obj(&e->w);
		sl_json_key(&e->w, result->is_error == SL_YES ? "error" : "output");
		sl_json_put_raw(&e->w, sl_buf_slice(&text));
		sl_json_obj_end(&e->w);
	}
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
	if (text.failed)
		e->encode->out->failed = true;
	sl_buf_release(&text);
	if (media)
		sl_note(e->encode->notes, SL_NOTE_tool_media_moved, &result->where);
}

/* --- contents ------------------------------------------------------------------------------ */

static void
put_part(struct encoding *e, const struct sl_part *part, bool first_call)
{
	sl_encode_no_cache(e->encode, part->cache, &part->where);
	switch (part->kind) {
	case SL_PART_TEXT:
		sl_json_obj(&e->w);
		sl_json_key(&e->w, "text");
		sl_text_put(&e->w, part->text);
		put_signature(e, part);
		sl_json_obj_end(&e->w);
		break;
	case SL_PART_REFUSAL:
		sl_note(e->encode->notes, SL_NOTE_refusal_as_text, &part->where);
		put_text_part(e, part->text);
		break;
	case SL_PART_REASONING:
		put_reasoning(e, part);
		break;
	case SL_PART_TOOL_CALL:
		put_call(e, part, first_call);
		break;
	case SL_PART_TOOL_RESULT:
		put_result(e, part);
		break;
	case SL_PART_OPAQUE:
		if (part->origin && sl_slice_is(sl_slice_str(part->origin), "gemini_generate"))
			sl_json_put_raw(&e->w, part->raw);
		else
			sl_note(e->encode->notes, SL_NOTE_part_dropped, &part->where);
		break;
	case SL_PART_IMAGE:
	case SL_PART_AUDIO:
	case SL_PART_VIDEO:
	case SL_PART_DOCUMENT:
		put_media(e, part);
		break;
	}
}

static void
close_content(struct encoding *e)
{
	if (!e->open_role)
		return;
	sl_json_arr_end(&e->w);
	sl_json_obj_end(&e->w);
	e->open_role = NULL;
}

/* A turn of which nothing can be said makes no content. */
static bool
says_something(const struct encoding *e, const struct sl_turn *turn)
{
	for (const struct sl_part *part = turn->parts; part; part = part->next) {
		bool ours = sl_slice_is(part->issuer, e->encode->target->issuer);

		if (part->kind != SL_PART_REASONING && part->kind != SL_PART_OPAQUE)
			return true;
		if (part->kind == SL_PART_REASONING && ours &&
		    (!sl_text_empty(part->text) || part->signature.len))
			return true;
		if (part->kind == SL_PART_OPAQUE && part->origin &&
		    sl_slice_is(sl_slice_str(part->origin), "gemini_generate"))
			return true;
	}
	return false;
}

static void
put_turn(struct encoding *e, const struct sl_turn *turn)
{
	const char *role = turn->role == SL_ROLE_ASSISTANT ? "model" : "user";
	bool first = true, speaks = says_something(e, turn);

	sl_encode_no_name(e->encode, turn);
	if (speaks && e->open_role != role) {
		close_content(e);
		sl_json_obj(&e->w);
		sl_json_str(&e->w, "role", sl_slice_str(role));
		sl_json_key(&e->w, "parts");
		sl_json_arr(&e->w);
		e->open_role = role;
	}
	for (const struct sl_part *part = turn->parts; part; part = part->next) {
		put_part(e, part, first);
		first = first && part->kind != SL_PART_TOOL_CALL;
	}
	if (turn->role != SL_ROLE_TOOL)
		return;
	for (const struct sl_part *part = turn->parts; part; part = part->next)
		for (const struct sl_part *inner = part->parts; inner; inner = inner->next)
			if (is_media(inner))
				put_media(e, inner);
}

static void
put_contents(struct encoding *e)
{
	sl_json_key(&e->w, "contents");
	sl_json_arr(&e->w);
	for (const struct sl_turn *turn = e->encode->dialog->turns; turn; turn = turn->next)
		if (!sl_turn_instructs(turn))
			put_turn(e, turn);
	close_content(e);
	sl_json_arr_end(&e->w);
}

static void
put_instructions(struct encoding *e)
{
	bool any = e->json_in_words, talking = false;

	for (const struct sl_turn *turn = e->encode->dialog->turns; turn; turn = turn->next)
		any |= sl_turn_instructs(turn);
	if (!any)
		return;
	sl_json_key(&e->w, "systemInstruction");
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "parts");
	sl_json_arr(&e->w);
	for (const struct sl_turn *turn = e->encode->dialog->turns; turn; turn = turn->next) {
		if (!sl_turn_instructs(turn)) {
			talking = true;
			continue;
		}
		sl_encode_no_name(e->encode, turn);
		if (talking)
			sl_note(e->encode->notes, SL_NOTE_instruction_moved, &turn->where);
		for (const struct sl_part *part = turn->parts; part; part = part->next)
			put_part(e, part, false);
	}
	if (e->json_in_words)
		put_text_part(e, sl_text_plain(sl_encode_format_words(e->encode)));
	sl_json_arr_end(&e->w);
	sl_json_obj_end(&e->w);
}

/* --- tools ------------------------------------------------------------------------------------ */

static struct sl_slice
schema_for(struct encoding *e, struct sl_slice schema, const struct sl_where *where)
{
	struct sl_gemini_schema how = { .arena = e->encode->arena,
		                        .legacy = !rule(e, SL_RULE_JSON_SCHEMA) };
	struct sl_slice fit = sl_gemini_schema_to(&how, schema);

	if (how.changed)
		sl_note(e->encode->notes, SL_NOTE_tool_schema_changed, where);
	if (!fit.ptr)
		e->encode->out->failed = true;
	return fit;
}

/* An object without properties is said by leaving the parameters out. */
static bool
takes_nothing(struct sl_slice schema)
{
	struct sl_json value = sl_json_parse(schema);
	struct sl_json properties = sl_json_get(value, "properties");

	return schema.len == 0 || value.type != SL_JSON_OBJECT ||
	       ((properties.type != SL_JSON_OBJECT || properties.raw.len <= 2) &&
	        sl_json_get(value, "anyOf").type == SL_JSON_NONE &&
	        sl_json_get(value, "oneOf").type == SL_JSON_NONE &&
	        sl_json_get(value, "allOf").type == SL_JSON_NONE &&
	        sl_json_get(value, "$ref").type == SL_JSON_NONE);
}

static void
put_tool(struct encoding *e, const struct sl_tool *tool)
{
	static const char text_only[] = "{\"type\":\"object\",\"properties\":{\"input\":"
	                                "{\"type\":\"string\"}},\"required\":[\"input\"]}";
	struct sl_slice schema = tool->schema;

	if (tool->kind == SL_TOOL_HOSTED) {
		e->err = sl_encode_refuse(e->encode, &tool->where,
		                          "the tool runs at another provider. Choose a model of that "
		                          "provider, or leave the tool out.");
		return;
	}
	if (tool->kind == SL_TOOL_CUSTOM) {
		if (tool->raw.len && sl_json_is(sl_json_get(sl_json_parse(tool->raw), "type"),
		                                "grammar")) {
			e->err = sl_encode_refuse(e->encode, &tool->where,
			                          "it cannot hold a tool's input to a grammar.");
			return;
		}
		sl_note(e->encode->notes, SL_NOTE_custom_tool_emulated, &tool->where);
		schema = SL_SLICE(text_only);
	}
	if (tool->strict == SL_YES)
		sl_note(e->encode->notes, SL_NOTE_tool_strict_dropped, &tool->where);
	sl_encode_no_cache(e->encode, tool->cache, &tool->where);
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "name", sl_encode_name(e->encode, tool->name));
	if (!sl_text_empty(tool->description)) {
		sl_json_key(&e->w, "description");
		sl_text_put(&e->w, tool->description);
	}
	if (!takes_nothing(schema)) {
		sl_json_key(&e->w, rule(e, SL_RULE_JSON_SCHEMA) ? "parametersJsonSchema"
		                                               : "parameters");
		sl_json_put_raw(&e->w, schema_for(e, schema, &tool->where));
	}
	sl_json_obj_end(&e->w);
}

static void
put_tools(struct encoding *e)
{
	bool any = false;

	for (const struct sl_tool *tool = e->encode->dialog->tools; tool; tool = tool->next)
		any = true;
	if (!any)
		return;
	sl_json_key(&e->w, "tools");
	sl_json_arr(&e->w);
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "functionDeclarations");
	sl_json_arr(&e->w);
	for (const struct sl_tool *tool = e->encode->dialog->tools;
	     tool && e->err == SL_OK; tool = tool->next)
		put_tool(e, tool);
	sl_json_arr_end(&e->w);
	sl_json_obj_end(&e->w);
	sl_json_arr_end(&e->w);
}

static void
put_choice(struct encoding *e)
{
	const struct sl_tool_choice *choice = &e->encode->dialog->choice;
	const char *mode = "AUTO";

	if (choice->mode == SL_CHOICE_UNSET)
		return;
	if (!e->encode->dialog->tools) {
		if (choice->mode != SL_CHOICE_NONE && choice->mode != SL_CHOICE_AUTO)
			sl_note(e->encode->notes, SL_NOTE_tool_choice_dropped, &choice->where);
		return;
	}
	if (choice->mode == SL_CHOICE_NONE)
		mode = "NONE";
	else if (choice->mode == SL_CHOICE_AUTO)
		mode = choice->name_count ? "VALIDATED" : "AUTO";
	else
		mode = "ANY";
	sl_json_key(&e->w, "toolConfig");
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "functionCallingConfig");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "mode", sl_slice_str(mode));
	if (choice->name_count && choice->mode != SL_CHOICE_NONE) {
		sl_json_key(&e->w, "allowedFunctionNames");
		sl_json_arr(&e->w);
		for (size_t i = 0; i < choice->name_count; i++)
			sl_json_put_str(&e->w, sl_encode_name(e->encode, choice->names[i]));
		sl_json_arr_end(&e->w);
	}
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

/* --- generationConfig ---------------------------------------------------------------------------- */

static void
put_level(struct encoding *e, const struct sl_reasoning *reasoning)
{
	static const char *const levels[] = { NULL, "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH",
		                              "HIGH" };
	enum sl_effort effort = reasoning->effort;

	if (effort == SL_EFFORT_UNSET && reasoning->budget_tokens >= 0)
		effort = sl_effort_of_budget(reasoning->budget_tokens);
	if (reasoning->mode == SL_REASONING_OFF)
		effort = SL_EFFORT_LOW; /* the least that every model of this kind has */
	if (reasoning->mode == SL_REASONING_OFF || effort > SL_EFFORT_HIGH ||
	    (reasoning->budget_tokens >= 0 && reasoning->effort == SL_EFFORT_UNSET))
		sl_note(e->encode->notes, SL_NOTE_reasoning_changed, &reasoning->where);
	if (levels[effort])
		sl_json_str(&e->w, "thinkingLevel", sl_slice_str(levels[effort]));
}

static void
put_budget(struct encoding *e, const struct sl_reasoning *reasoning)
{
	bool always = rule(e, SL_RULE_THINKING_ALWAYS);
	int64_t most = always ? BUDGET_PRO_MAX : BUDGET_MAX, budget = reasoning->budget_tokens;

	if (reasoning->mode == SL_REASONING_OFF)
		budget = 0;
	else if (budget < 0 && reasoning->effort != SL_EFFORT_UNSET)
		budget = sl_effort_budget(reasoning->effort);
	if (budget < 0) {
		sl_json_int(&e->w, "thinkingBudget", -1); /* as the model likes */
		return;
	}
	if (budget > most || (always && budget < BUDGET_PRO_MIN)) {
		sl_note(e->encode->notes, SL_NOTE_reasoning_changed, &reasoning->where);
		budget = budget > most ? most : BUDGET_PRO_MIN;
	}
	sl_json_int(&e->w, "thinkingBudget", budget);
}

static void
put_thinking(struct encoding *e)
{
	const struct sl_reasoning *reasoning = &e->encode->dialog->reasoning;
	bool on = reasoning->mode != SL_REASONING_OFF;

	if (reasoning->mode == SL_REASONING_UNSET && reasoning->show != SL_YES) {
		sl_encode_no_effort(e->encode);
		return;
	}
	if (!rule(e, SL_RULE_THINKING_LEVEL | SL_RULE_THINKING_BUDGET)) {
		if (on)
			sl_note(e->encode->notes, SL_NOTE_parameter_dropped, &reasoning->where);
		return;
	}
	sl_json_key(&e->w, "thinkingConfig");
	sl_json_obj(&e->w);
	if (rule(e, SL_RULE_THINKING_LEVEL))
		put_level(e, reasoning);
	else
		put_budget(e, reasoning);
	if (on && reasoning->show != SL_NO)
		sl_json_bool(&e->w, "includeThoughts", true);
	sl_json_obj_end(&e->w);
}

static void
put_format(struct encoding *e)
{
	const struct sl_output *output = &e->encode->dialog->output;

	if (output->format == SL_FORMAT_TEXT || e->json_in_words)
		return;
	sl_json_str(&e->w, "responseMimeType", SL_SLICE("application/json"));
	if (output->format != SL_FORMAT_SCHEMA || output->schema.len == 0)
		return;
	sl_json_key(&e->w, rule(e, SL_RULE_JSON_SCHEMA) ? "responseJsonSchema" : "responseSchema");
	sl_json_put_raw(&e->w, schema_for(e, output->schema, &output->where));
	sl_encode_no_description(e->encode);
}

static void
put_modalities(struct encoding *e)
{
	struct sl_json value = e->encode->dialog->params[SL_PARAM_MODALITIES].value;
	bool audio = false;

	if (value.type != SL_JSON_ARRAY)
		return;
	for (struct sl_json_iter it = sl_json_iter(value); sl_json_next(&it);)
		audio |= sl_json_is(it.value, "audio");
	if (audio)
		return; /* its voices and formats differ: refused as a leftover */
	sl_encode_takes(e->encode, SL_PARAM_MODALITIES);
	sl_json_key(&e->w, "responseModalities");
	sl_json_arr(&e->w);
	for (struct sl_json_iter it = sl_json_iter(value); sl_json_next(&it);)
		sl_json_put_str(&e->w, sl_json_is(it.value, "image") ? SL_SLICE("IMAGE")
		                                                    : SL_SLICE("TEXT"));
	sl_json_arr_end(&e->w);
}

static size_t
count_of(struct sl_json array)
{
	size_t count = 0;

	for (struct sl_json_iter it = sl_json_iter(array);
	     array.type == SL_JSON_ARRAY && sl_json_next(&it);)
		count++;
	return count;
}

static void
put_config(struct encoding *e)
{
	static const struct {
		enum sl_param param;
		const char   *name;
	} rows[] = {
		{ SL_PARAM_TEMPERATURE, "temperature" }, { SL_PARAM_TOP_P, "topP" },
		{ SL_PARAM_TOP_K, "topK" },
		{ SL_PARAM_SEED, "seed" }, { SL_PARAM_PRESENCE_PENALTY, "presencePenalty" },
		{ SL_PARAM_FREQUENCY_PENALTY, "frequencyPenalty" },
		{ SL_PARAM_LOGPROBS, "responseLogprobs" }, { SL_PARAM_TOP_LOGPROBS, "logprobs" },
	};
	const struct sl_dialog *dialog = e->encode->dialog;
	int64_t limit = sl_encode_max_tokens(e->encode, false);

	sl_json_key(&e->w, "generationConfig");
	sl_json_obj(&e->w);
	if (limit > 0)
		sl_json_int(&e->w, "maxOutputTokens", limit);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		sl_encode_param(e->encode, &e->w, rows[i].param, rows[i].name);
	if (count_of(dialog->params[SL_PARAM_STOP].value) > STOPS_MAX)
		e->err = sl_encode_refuse(e->encode, &dialog->params[SL_PARAM_STOP].where,
		                          "it takes at most 5 stop sequences.");
	sl_encode_param(e->encode, &e->w, SL_PARAM_STOP, "stopSequences");
	if (sl_dialog_int(dialog, SL_PARAM_N, 1) > CANDIDATES_MAX)
		e->err = sl_encode_refuse(e->encode, &dialog->params[SL_PARAM_N].where,
		                          "it makes at most 8 alternatives.");
	sl_encode_param(e->encode, &e->w, SL_PARAM_N, "candidateCount");
	put_format(e);
	put_thinking(e);
	put_modalities(e);
	sl_json_obj_end(&e->w);
}

/* --- the whole -------------------------------------------------------------------------------------- */

enum sl_err
sl_gemini_encode(struct sl_encode *encode)
{
	struct encoding e = { .encode = encode };
	const struct sl_dialog *dialog = encode->dialog;

	/* Before the third generation functions and a format exclude each other. */
	e.json_in_words = dialog->output.format != SL_FORMAT_TEXT && dialog->tools &&
	                  !rule(&e, SL_RULE_THINKING_LEVEL);
	if (!dialog->tools || sl_json_true(dialog->params[SL_PARAM_PARALLEL_TOOLS].value))
		sl_encode_takes(encode, SL_PARAM_PARALLEL_TOOLS);
	sl_json_writer_init(&e.w, encode->out);
	sl_json_obj(&e.w);
	put_instructions(&e);
	put_contents(&e);
	put_tools(&e);
	put_choice(&e);
	put_config(&e);
	sl_encode_param(encode, &e.w, SL_PARAM_SAFETY_SETTINGS, "safetySettings");
	if (sl_slice_is(sl_slice_str(dialog->origin), "gemini_generate"))
		sl_encode_param(encode, &e.w, SL_PARAM_CACHED_CONTENT, "cachedContent");
	sl_json_obj_end(&e.w);
	return e.err;
}

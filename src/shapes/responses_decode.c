/* responses_decode.c - a Responses request as a dialog.
 *
 * Input is a flat list of items. Those of the assistant that follow each other (its
 * reasoning, its words, its calls) are one turn, and so are the outputs that follow
 * each other: this grouping is what makes calls parallel. State that the provider
 * keeps (previous_response_id, conversation, item references) cannot be looked up
 * here: parameters are refused by whoever cannot keep them, references at once.
 */
#include "model/media.h"
#include "shapes/responses_codec.h"

struct decoding {
	const struct sl_codec_input *in;
	struct sl_dialog            *dialog;
	struct sl_arena             *arena;
	struct sl_fault             *fault;
	struct sl_turn              *assistant, *outputs; /* that may still grow, or NULL */
};

static bool
refuse(struct decoding *d, const struct sl_where *where, const char *message)
{
	return sl_codec_refuse(d->fault, SL_FAULT_BAD_TYPE, d->dialog, where, message);
}

static bool
unsupported(struct decoding *d, const struct sl_where *where, const char *message)
{
	return sl_codec_refuse(d->fault, SL_FAULT_UNSUPPORTED, d->dialog, where, message);
}

static struct sl_slice
text_of(struct decoding *d, struct sl_json value)
{
	struct sl_slice text = SL_SLICE_NONE;

	if (value.type == SL_JSON_STRING && !sl_json_string(value, d->arena, &text))
		d->dialog->failed = true;
	return text;
}

/* What no translation knows of an item, a part or a tool is at least named. */
static void
keep_rest(struct decoding *d, struct sl_json object, struct sl_where where)
{
	static const struct sl_slice known[] = {
		SL_SLICE_INIT("type"), SL_SLICE_INIT("role"), SL_SLICE_INIT("content"),
		SL_SLICE_INIT("id"), SL_SLICE_INIT("status"), SL_SLICE_INIT("call_id"),
		SL_SLICE_INIT("name"), SL_SLICE_INIT("arguments"), SL_SLICE_INIT("input"),
		SL_SLICE_INIT("output"), SL_SLICE_INIT("summary"), SL_SLICE_INIT("text"),
		SL_SLICE_INIT("encrypted_content"), SL_SLICE_INIT("annotations"),
		SL_SLICE_INIT("logprobs"), SL_SLICE_INIT("image_url"), SL_SLICE_INIT("file_id"),
		SL_SLICE_INIT("detail"), SL_SLICE_INIT("file_data"), SL_SLICE_INIT("file_url"),
		SL_SLICE_INIT("filename"), SL_SLICE_INIT("input_audio"), SL_SLICE_INIT("refusal"),
		SL_SLICE_INIT("description"), SL_SLICE_INIT("parameters"), SL_SLICE_INIT("strict"),
		SL_SLICE_INIT("format"), SL_SLICE_INIT("namespace"),
	};

	sl_codec_rest(d->dialog, object, sl_dialog_where(d->dialog, where), known,
	              sizeof(known) / sizeof(known[0]));
}

static struct sl_json
made(struct decoding *d, struct sl_slice json)
{
	if (!json.ptr)
		d->dialog->failed = true;
	return json.ptr ? sl_json_parse(json) : (struct sl_json){ .type = SL_JSON_NONE };
}

/* --- parts ------------------------------------------------------------------------------ */

static bool
take_image(struct decoding *d, struct sl_json value, struct sl_part *part)
{
	struct sl_slice url = text_of(d, sl_json_get(value, "image_url"));
	struct sl_slice file = text_of(d, sl_json_get(value, "file_id"));

	part->kind = SL_PART_IMAGE;
	if (url.len) {
		if (!sl_media_from_url(url, d->arena, d->in->notes, part))
			return refuse(d, &part->where, "expected a URL, or a data URL in base64.");
	} else if (file.len) {
		part->media.source = SL_MEDIA_FILE_ID;
		part->media.data = file;
	} else {
		return refuse(d, &part->where, "expected an image_url or a file_id.");
	}
	part->media.detail = text_of(d, sl_json_get(value, "detail"));
	return true;
}

static bool
take_file(struct decoding *d, struct sl_json value, struct sl_part *part)
{
	struct sl_slice data = text_of(d, sl_json_get(value, "file_data"));
	struct sl_slice url = text_of(d, sl_json_get(value, "file_url"));
	struct sl_slice file = text_of(d, sl_json_get(value, "file_id"));

	part->kind = SL_PART_DOCUMENT;
	if (data.len) {
		if (sl_media_is_data_url(data)
		        ? !sl_media_from_url(data, d->arena, d->in->notes, part)
		        : !sl_media_from_base64(SL_SLICE_NONE, data, d->arena, d->in->notes, part))
			return refuse(d, &part->where, "expected file_data in base64.");
	} else if (url.len) {
		part->media.source = SL_MEDIA_URL;
		part->media.data = url;
	} else if (file.len) {
		part->media.source = SL_MEDIA_FILE_ID;
		part->media.data = file;
	} else {
		return refuse(d, &part->where, "expected file_data, file_url or file_id.");
	}
	part->media.title = sl_text_json(sl_json_get(value, "filename"));
	return true;
}

static bool
take_audio(struct decoding *d, struct sl_json value, struct sl_part *part)
{
	struct sl_json audio = sl_json_get(value, "input_audio");
	struct sl_slice format = text_of(d, sl_json_get(audio, "format"));

	part->kind = SL_PART_AUDIO;
	if (!sl_media_from_base64(sl_arena_printf(d->arena, "audio/%.*s", SL_ARG(format)),
	                          text_of(d, sl_json_get(audio, "data")), d->arena, d->in->notes,
	                          part))
		return refuse(d, &part->where, "expected data in base64.");
	return true;
}

/* What a message, or the output of a function, may consist of. */
static bool
take_part(struct decoding *d, struct sl_json value, struct sl_part *part)
{
	struct sl_json type = sl_json_get(value, "type");

	keep_rest(d, value, part->where);
	if (sl_json_is(type, "input_text") || sl_json_is(type, "output_text") ||
	    sl_json_is(type, "text") || sl_json_is(type, "summary_text")) {
		part->text = sl_text_json(sl_json_get(value, "text"));
		if (!sl_codec_says_nothing(sl_json_get(value, "annotations")))
			sl_note(d->in->notes, SL_NOTE_citations_dropped, &part->where);
		return part->text.json || refuse(d, &part->where, "expected a text.");
	}
	if (sl_json_is(type, "refusal")) {
		part->kind = SL_PART_REFUSAL;
		part->text = sl_text_json(sl_json_get(value, "refusal"));
		return part->text.json || refuse(d, &part->where, "expected a refusal.");
	}
	if (sl_json_is(type, "input_image"))
		return take_image(d, value, part);
	if (sl_json_is(type, "input_file"))
		return take_file(d, value, part);
	if (sl_json_is(type, "input_audio"))
		return take_audio(d, value, part);
	return refuse(d, &part->where, "this type of content is not known. Use input_text, "
	                               "input_image, input_file, output_text or refusal.");
}

/* --- items ------------------------------------------------------------------------------- */

static struct sl_turn *
assistant(struct decoding *d, struct sl_where where)
{
	d->outputs = NULL;
	if (!d->assistant)
		d->assistant = sl_dialog_turn(d->dialog, SL_ROLE_ASSISTANT, where);
	return d->assistant;
}

static bool
take_content(struct decoding *d, struct sl_json content, const struct sl_where *up,
             struct sl_turn *turn)
{
	if (content.type == SL_JSON_STRING) {
		sl_turn_part(d->dialog, turn, SL_PART_TEXT, *up)->text = sl_text_json(content);
		return true;
	}
	if (content.type != SL_JSON_ARRAY)
		return refuse(d, up, "expected a string or an array.");
	for (struct sl_json_iter it = sl_json_iter(content); sl_json_next(&it);)
		if (!take_part(d, it.value, sl_turn_part(d->dialog, turn, SL_PART_TEXT,
		                                         sl_where_element(up, it.index))))
			return false;
	return true;
}

static bool
take_message(struct decoding *d, struct sl_json item, struct sl_where where)
{
	const struct sl_where *up = sl_dialog_where(d->dialog, where);
	const struct sl_where *content =
	    sl_dialog_where(d->dialog, sl_where_member(up, SL_SLICE("content")));
	struct sl_json role = sl_json_get(item, "role");
	struct sl_turn *turn;

	if (sl_json_is(role, "assistant")) {
		turn = assistant(d, where);
	} else {
		enum sl_role as = SL_ROLE_USER;

		if (sl_json_is(role, "system"))
			as = SL_ROLE_SYSTEM;
		else if (sl_json_is(role, "developer"))
			as = SL_ROLE_DEVELOPER;
		else if (!sl_json_is(role, "user"))
			return refuse(d, up, "expected the role user, assistant, system or "
			                     "developer.");
		d->assistant = d->outputs = NULL;
		turn = sl_dialog_turn(d->dialog, as, where);
	}
	return take_content(d, sl_json_get(item, "content"), content, turn);
}

/* Of a tool in a namespace: "crm.find". */
static struct sl_slice
full_name(struct decoding *d, struct sl_slice space, struct sl_slice name)
{
	struct sl_slice full = name;

	if (space.len && name.len)
		full = sl_arena_join(d->arena, (struct sl_slice[]){
		    space, SL_SLICE(SL_RESPONSES_SPACE_END), name }, 3);
	if (name.len && !full.ptr)
		d->dialog->failed = true;
	return full;
}

/* As calls and choices name a tool. */
static struct sl_slice
name_of(struct decoding *d, struct sl_json value)
{
	return full_name(d, text_of(d, sl_json_get(value, "namespace")),
	                 text_of(d, sl_json_get(value, "name")));
}

static bool
take_call(struct decoding *d, struct sl_json item, struct sl_where where, bool custom)
{
	struct sl_part *part =
	    sl_turn_part(d->dialog, assistant(d, where), SL_PART_TOOL_CALL, where);

	part->custom = custom;
	part->name = name_of(d, item);
	part->args = text_of(d, sl_json_get(item, custom ? "input" : "arguments"));
	if (part->name.len == 0)
		return refuse(d, &part->where, "expected a name.");
	return sl_codec_call_id(d->in, d->dialog, sl_json_get(item, "call_id"), part) ||
	       refuse(d, &part->where, "expected a call_id.");
}

static bool
take_output(struct decoding *d, struct sl_json item, struct sl_where where)
{
	const struct sl_where *up = sl_dialog_where(d->dialog, where);
	const struct sl_where *list =
	    sl_dialog_where(d->dialog, sl_where_member(up, SL_SLICE("output")));
	struct sl_json output = sl_json_get(item, "output");
	struct sl_part *part;

	d->assistant = NULL;
	if (!d->outputs)
		d->outputs = sl_dialog_turn(d->dialog, SL_ROLE_TOOL, where);
	part = sl_turn_part(d->dialog, d->outputs, SL_PART_TOOL_RESULT, where);
	if (!sl_codec_call_id(d->in, d->dialog, sl_json_get(item, "call_id"), part))
		return refuse(d, up, "expected a call_id.");
	if (output.type == SL_JSON_STRING) {
		sl_part_part(d->dialog, part, SL_PART_TEXT, *list)->text = sl_text_json(output);
		return true;
	}
	if (output.type != SL_JSON_ARRAY)
		return refuse(d, list, "expected a string or an array.");
	for (struct sl_json_iter it = sl_json_iter(output); sl_json_next(&it);)
		if (!take_part(d, it.value, sl_part_part(d->dialog, part, SL_PART_TEXT,
		                                         sl_where_element(list, it.index))))
			return false;
	return true;
}

/* The texts of a summary or of a thought as one. */
static struct sl_text
joined(struct decoding *d, struct sl_json parts)
{
	struct sl_text text = SL_TEXT_NONE;
	struct sl_buf buf;
	size_t count = 0;

	if (parts.type != SL_JSON_ARRAY)
		return text;
	sl_buf_init(&buf, parts.raw.len + 64);
	sl_buf_append_char(&buf, '"');
	for (struct sl_json_iter it = sl_json_iter(parts); sl_json_next(&it);) {
		text = sl_text_json(sl_json_get(it.value, "text"));
		if (count++)
			sl_buf_append_str(&buf, "\\n\\n");
		sl_text_append(&buf, text);
	}
	sl_buf_append_char(&buf, '"');
	if (count > 1) {
		text = (struct sl_text){ sl_arena_dup(d->arena, sl_buf_slice(&buf)), true };
		if (buf.failed || !text.raw.ptr)
			d->dialog->failed = true;
	}
	sl_buf_release(&buf);
	return text;
}

static void
take_reasoning(struct decoding *d, struct sl_json item, struct sl_where where)
{
	struct sl_part *part =
	    sl_turn_part(d->dialog, assistant(d, where), SL_PART_REASONING, where);
	struct sl_json content = sl_json_get(item, "content");

	part->item_id = text_of(d, sl_json_get(item, "id"));
	part->text = joined(d, content);
	if (sl_text_empty(part->text)) {
		part->text = joined(d, sl_json_get(item, "summary"));
		part->summary = true;
	}
	sl_codec_signature(d->in, d->dialog, text_of(d, sl_json_get(item, "encrypted_content")),
	                   "openai", part);
}

static bool
is_known(struct sl_json type)
{
	return type.type <= SL_JSON_NULL || sl_json_is(type, "message") ||
	       sl_json_is(type, "function_call") || sl_json_is(type, "custom_tool_call") ||
	       sl_json_is(type, "function_call_output") ||
	       sl_json_is(type, "custom_tool_call_output") || sl_json_is(type, "reasoning");
}

static bool
take_item(struct decoding *d, struct sl_json item, struct sl_where where)
{
	struct sl_json type = sl_json_get(item, "type");
	struct sl_part *part;

	if (item.type != SL_JSON_OBJECT)
		return refuse(d, &where, "expected an object.");
	if (is_known(type))
		keep_rest(d, item, where);
	if (type.type <= SL_JSON_NULL ? sl_json_get(item, "role").type == SL_JSON_STRING
	                              : sl_json_is(type, "message"))
		return take_message(d, item, where);
	if (sl_json_is(type, "function_call") || sl_json_is(type, "custom_tool_call"))
		return take_call(d, item, where, sl_json_is(type, "custom_tool_call"));
	if (sl_json_is(type, "function_call_output") ||
	    sl_json_is(type, "custom_tool_call_output"))
		return take_output(d, item, where);
	if (sl_json_is(type, "reasoning")) {
		take_reasoning(d, item, where);
		return true;
	}
	if (sl_json_is(type, "item_reference") || type.type <= SL_JSON_NULL)
		return unsupported(d, &where,
		                   "the item is kept by a provider and cannot be looked up for "
		                   "another one. Send the item itself.");
	/* Hosted calls and what is to come: readable where it was made only. */
	part = sl_turn_part(d->dialog, assistant(d, where), SL_PART_OPAQUE, where);
	part->raw = item.raw;
	return true;
}

static bool
take_input(struct decoding *d, struct sl_json input)
{
	const struct sl_where *up =
	    sl_dialog_where(d->dialog, sl_where_member(NULL, SL_SLICE("input")));

	if (input.type == SL_JSON_STRING) {
		struct sl_turn *turn = sl_dialog_turn(d->dialog, SL_ROLE_USER, *up);

		sl_turn_part(d->dialog, turn, SL_PART_TEXT, *up)->text = sl_text_json(input);
		return true;
	}
	if (input.type == SL_JSON_NONE)
		return true; /* a prompt template may bring it */
	if (input.type != SL_JSON_ARRAY)
		return refuse(d, up, "expected a string or an array of items.");
	for (struct sl_json_iter it = sl_json_iter(input); sl_json_next(&it);)
		if (!take_item(d, it.value, sl_where_element(up, it.index)))
			return false;
	return true;
}

/* --- tools --------------------------------------------------------------------------------- */

static bool
take_tool(struct decoding *d, struct sl_json value, struct sl_where where, struct sl_slice space)
{
	struct sl_json type = sl_json_get(value, "type");
	struct sl_json schema = sl_json_get(value, "parameters");
	struct sl_json strict = sl_json_get(value, "strict");
	bool function = sl_json_is(type, "function"), custom = sl_json_is(type, "custom");
	struct sl_tool *tool;

	if (!function && !custom) {
		tool = sl_dialog_tool(d->dialog, SL_TOOL_HOSTED, where);
		tool->name = text_of(d, type);
		tool->raw = value.raw;
		return tool->name.len > 0 || refuse(d, &where, "expected a type.");
	}
	keep_rest(d, value, where);
	tool = sl_dialog_tool(d->dialog, custom ? SL_TOOL_CUSTOM : SL_TOOL_FUNCTION, where);
	tool->name = full_name(d, space, text_of(d, sl_json_get(value, "name")));
	tool->description = sl_text_json(sl_json_get(value, "description"));
	if (schema.type == SL_JSON_OBJECT)
		tool->schema = schema.raw;
	if (custom && sl_json_get(value, "format").type == SL_JSON_OBJECT)
		tool->raw = sl_json_get(value, "format").raw;
	/* Left out means true here, but only where the schema allows it: no promise. */
	tool->strict = sl_codec_tri(strict);
	return tool->name.len > 0 || refuse(d, &where, "expected a name.");
}

static bool
take_tools(struct decoding *d, struct sl_json tools, struct sl_where where, struct sl_slice space)
{
	const struct sl_where *up = sl_dialog_where(d->dialog, where);

	if (tools.type != SL_JSON_ARRAY)
		return refuse(d, up, "expected an array.");
	for (struct sl_json_iter it = sl_json_iter(tools); sl_json_next(&it);) {
		struct sl_where at = sl_where_element(up, it.index);
		struct sl_slice name = text_of(d, sl_json_get(it.value, "name"));
		struct sl_json inner = sl_json_get(it.value, "tools");

		/* The caller runs what is in a namespace; only the grouping is its own. */
		if (space.len == 0 && name.len &&
		    sl_json_is(sl_json_get(it.value, "type"), "namespace")) {
			const struct sl_where *group = sl_dialog_where(d->dialog, at);

			sl_codec_only(d->dialog, it.value, group, "type name description tools");
			if (!take_tools(d, inner, sl_where_member(group, SL_SLICE("tools")), name))
				return false;
		} else if (!take_tool(d, it.value, at, space)) {
			return false;
		}
	}
	return true;
}

static bool
take_allowed(struct decoding *d, struct sl_json value, struct sl_tool_choice *choice)
{
	struct sl_json tools = sl_json_get(value, "tools");

	sl_codec_only(d->dialog, value, &choice->where, "type mode tools");
	choice->mode = sl_json_is(sl_json_get(value, "mode"), "required") ? SL_CHOICE_REQUIRED
	                                                                  : SL_CHOICE_AUTO;
	for (struct sl_json_iter it = sl_json_iter(tools);
	     tools.type == SL_JSON_ARRAY && sl_json_next(&it);) {
		struct sl_slice name = name_of(d, it.value);

		if (name.len == 0)
			return unsupported(d, &choice->where, "a tool that runs at the provider "
			                                      "cannot be chosen elsewhere.");
		if (choice->name_count < SL_CHOICE_NAMES_MAX)
			choice->names[choice->name_count++] = name;
	}
	return true;
}

static bool
take_choice(struct decoding *d, struct sl_json value, struct sl_where where)
{
	struct sl_tool_choice *choice = &d->dialog->choice;
	struct sl_json type = sl_json_get(value, "type");

	choice->where = where;
	if (sl_json_is(value, "auto"))
		choice->mode = SL_CHOICE_AUTO;
	else if (sl_json_is(value, "none"))
		choice->mode = SL_CHOICE_NONE;
	else if (sl_json_is(value, "required"))
		choice->mode = SL_CHOICE_REQUIRED;
	else if (value.type != SL_JSON_OBJECT)
		return refuse(d, &where, "expected auto, none, required or an object.");
	if (value.type != SL_JSON_OBJECT)
		return true;
	choice->names = SL_ARENA_ARRAY(d->arena, struct sl_slice, SL_CHOICE_NAMES_MAX);
	if (!choice->names) {
		d->dialog->failed = true;
		return true;
	}
	if (sl_json_is(type, "allowed_tools"))
		return take_allowed(d, value, choice);
	if (!sl_json_is(type, "function") && !sl_json_is(type, "custom"))
		return unsupported(d, &where, "a tool that runs at the provider cannot be chosen "
		                              "elsewhere.");
	sl_codec_only(d->dialog, value, &where, "type name namespace");
	choice->mode = SL_CHOICE_NAMED;
	choice->names[choice->name_count++] = name_of(d, value);
	return true;
}

/* --- settings -------------------------------------------------------------------------------- */

static void
take_reasoning_config(struct decoding *d, struct sl_json value, struct sl_where where)
{
	struct sl_reasoning *reasoning = &d->dialog->reasoning;
	struct sl_json effort = sl_json_get(value, "effort");
	struct sl_slice summary = text_of(d, sl_json_get(value, "summary"));

	if (summary.len == 0)
		summary = text_of(d, sl_json_get(value, "generate_summary"));
	reasoning->where = where;
	sl_codec_only(d->dialog, value, &where, "effort summary generate_summary");
	if (sl_json_is(effort, "none")) {
		reasoning->mode = SL_REASONING_OFF;
	} else if (effort.type == SL_JSON_STRING) {
		reasoning->mode = SL_REASONING_ON;
		reasoning->effort = sl_effort_parse(effort);
	}
	if (summary.len) {
		reasoning->summary = summary;
		reasoning->show = SL_YES;
	}
}

static void
take_text_config(struct decoding *d, struct sl_json value, struct sl_where where)
{
	const struct sl_where *up = sl_dialog_where(d->dialog, where);
	struct sl_json format = sl_json_get(value, "format");
	struct sl_json strict = sl_json_get(format, "strict");
	struct sl_output *output = &d->dialog->output;

	sl_dialog_param(d->dialog, SL_PARAM_VERBOSITY, sl_json_get(value, "verbosity"),
	                sl_where_member(up, SL_SLICE("verbosity")));
	output->where = sl_where_member(up, SL_SLICE("format"));
	sl_codec_only(d->dialog, value, up, "format verbosity");
	sl_codec_only(d->dialog, format, &output->where, "type name schema strict description");
	if (sl_json_is(sl_json_get(format, "type"), "json_object"))
		output->format = SL_FORMAT_JSON;
	if (!sl_json_is(sl_json_get(format, "type"), "json_schema"))
		return;
	output->format = SL_FORMAT_SCHEMA;
	output->schema = sl_json_get(format, "schema").raw;
	output->schema_name = text_of(d, sl_json_get(format, "name"));
	output->description = sl_text_json(sl_json_get(format, "description"));
	output->described = sl_where_member(sl_dialog_where(d->dialog, output->where),
	                                    SL_SLICE("description"));
	output->strict = sl_codec_tri(strict);
}

/* Encrypted reasoning is always given; log probabilities are a parameter; the rest
 * is named. */
static void
take_include(struct decoding *d, struct sl_json value, struct sl_where where)
{
	struct sl_buf rest;
	struct sl_json_writer w;
	bool any = false;

	if (value.type != SL_JSON_ARRAY)
		return;
	sl_buf_init(&rest, value.raw.len + 64);
	sl_json_writer_init(&w, &rest);
	sl_json_arr(&w);
	for (struct sl_json_iter it = sl_json_iter(value); sl_json_next(&it);) {
		if (sl_json_is(it.value, "reasoning.encrypted_content"))
			continue;
		if (sl_json_is(it.value, "message.output_text.logprobs")) {
			sl_dialog_param(d->dialog, SL_PARAM_LOGPROBS,
			                sl_json_parse(SL_SLICE("true")), where);
			continue;
		}
		sl_json_put_raw(&w, it.value.raw);
		any = true;
	}
	sl_json_arr_end(&w);
	if (any)
		sl_dialog_param(d->dialog, SL_PARAM_INCLUDE,
		                made(d, sl_arena_dup(d->arena, sl_buf_slice(&rest))), where);
	sl_buf_release(&rest);
}

static const struct sl_codec_param plain[] = {
	{ SL_SLICE_INIT("max_output_tokens"), SL_PARAM_MAX_TOKENS },
	{ SL_SLICE_INIT("temperature"), SL_PARAM_TEMPERATURE },
	{ SL_SLICE_INIT("top_p"), SL_PARAM_TOP_P },
	{ SL_SLICE_INIT("parallel_tool_calls"), SL_PARAM_PARALLEL_TOOLS },
	{ SL_SLICE_INIT("max_tool_calls"), SL_PARAM_MAX_TOOL_CALLS },
	{ SL_SLICE_INIT("user"), SL_PARAM_USER },
	{ SL_SLICE_INIT("safety_identifier"), SL_PARAM_SAFETY_IDENTIFIER },
	{ SL_SLICE_INIT("service_tier"), SL_PARAM_SERVICE_TIER },
	{ SL_SLICE_INIT("prompt_cache_key"), SL_PARAM_CACHE_KEY },
	{ SL_SLICE_INIT("prompt_cache_retention"), SL_PARAM_CACHE_RETENTION },
	{ SL_SLICE_INIT("previous_response_id"), SL_PARAM_PREVIOUS_RESPONSE },
	{ SL_SLICE_INIT("conversation"), SL_PARAM_CONVERSATION },
	{ SL_SLICE_INIT("prompt"), SL_PARAM_PROMPT_TEMPLATE },
	{ SL_SLICE_INIT("context_management"), SL_PARAM_CONTEXT_MANAGEMENT },
};
/* The same, where a value that says nothing is left out. */
static const struct sl_codec_param unless_empty[] = {
	{ SL_SLICE_INIT("store"), SL_PARAM_STORE },
	{ SL_SLICE_INIT("metadata"), SL_PARAM_METADATA },
	{ SL_SLICE_INIT("background"), SL_PARAM_BACKGROUND },
	{ SL_SLICE_INIT("top_logprobs"), SL_PARAM_TOP_LOGPROBS },
};

static bool
take_member(struct decoding *d, struct sl_slice key, struct sl_json value)
{
	const struct sl_where where = sl_where_member(NULL, key);

	if (sl_codec_take_param(d->dialog, plain, sizeof(plain) / sizeof(plain[0]), key, value,
	                        where))
		return true;
	if (sl_codec_says_nothing(value))
		return true;
	if (sl_codec_take_param(d->dialog, unless_empty,
	                        sizeof(unless_empty) / sizeof(unless_empty[0]), key, value, where))
		return true;
	if (sl_slice_is(key, "tools"))
		return take_tools(d, value, where, SL_SLICE_NONE);
	if (sl_slice_is(key, "tool_choice"))
		return take_choice(d, value, where);
	if (sl_slice_is(key, "reasoning"))
		take_reasoning_config(d, value, where);
	else if (sl_slice_is(key, "text"))
		take_text_config(d, value, where);
	else if (sl_slice_is(key, "include"))
		take_include(d, value, where);
	else if (sl_slice_is(key, "stream"))
		d->dialog->stream = sl_json_true(value);
	else if (sl_slice_is(key, "stream_options"))
		sl_codec_only(d->dialog, value, &where, "include_obfuscation");
	else if (sl_slice_is(key, "truncation")) {
		if (!sl_json_is(value, "disabled"))
			sl_dialog_param(d->dialog, SL_PARAM_TRUNCATION, value, where);
	} else if (!sl_slice_is(key, "model") && !sl_slice_is(key, "input") &&
	           !sl_slice_is(key, "instructions"))
		sl_dialog_extra(d->dialog, where, key, value.raw);
	return true;
}

/* instructions come before every item, wherever the member stands. */
static bool
take_instructions(struct decoding *d, struct sl_json value)
{
	const struct sl_where where = sl_where_member(NULL, SL_SLICE("instructions"));
	struct sl_turn *turn;

	if (value.type <= SL_JSON_NULL)
		return true;
	turn = sl_dialog_turn(d->dialog, SL_ROLE_SYSTEM, where);
	return take_content(d, value, sl_dialog_where(d->dialog, where), turn);
}

bool
sl_responses_decode(const struct sl_codec_input *in, struct sl_dialog *dialog,
                    struct sl_fault *fault)
{
	struct decoding d = { .in = in, .dialog = dialog, .arena = dialog->arena, .fault = fault };
	struct sl_json body = sl_json_parse(in->input->body);

	sl_dialog_init(dialog, SL_RESPONSES_ORIGIN, dialog->arena);
	dialog->wants_usage = true;
	for (struct sl_json_iter it = sl_json_iter(body); sl_json_next(&it);)
		if (!take_member(&d, sl_codec_key(it.key, d.arena), it.value))
			return false;
	return take_instructions(&d, sl_json_get(body, "instructions")) &&
	       take_input(&d, sl_json_get(body, "input"));
}

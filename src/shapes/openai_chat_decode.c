/* openai_chat_decode.c - a request of POST /v1/chat/completions into a dialog. */
#include "model/media.h"
#include "shapes/openai_chat_codec.h"

#define NAME(text) SL_SLICE_INIT(text)
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

struct decoding {
	const struct sl_codec_input *in;
	struct sl_dialog            *dialog;
	struct sl_fault             *fault;
};

static bool
refuse_type(struct decoding *d, const struct sl_where *where, const char *message)
{
	return sl_codec_refuse(d->fault, SL_FAULT_BAD_TYPE, d->dialog, where, message);
}

static const struct sl_where *
below(struct decoding *d, const struct sl_where *up, const char *name)
{
	return sl_dialog_where(d->dialog, sl_where_member(up, sl_slice_str(name)));
}

static struct sl_slice
string_of(struct decoding *d, struct sl_json value)
{
	struct sl_slice text;

	return sl_json_string(value, d->dialog->arena, &text) ? text : SL_SLICE_NONE;
}

/* --- parts ----------------------------------------------------------------------------- */

static bool
decode_image(struct decoding *d, struct sl_json value, struct sl_part *part)
{
	struct sl_json image = sl_json_get(value, "image_url");
	struct sl_json url = image.type == SL_JSON_STRING ? image : sl_json_get(image, "url");
	const struct sl_where *where = below(d, &part->where, "image_url");

	part->kind = SL_PART_IMAGE;
	sl_codec_only(d->dialog, image, where, "url detail");
	part->media.detail = string_of(d, sl_json_get(image, "detail"));
	if (url.type != SL_JSON_STRING)
		return refuse_type(d, where, "needs a url, a string.");
	if (!sl_media_from_url(string_of(d, url), d->dialog->arena, d->in->notes, part))
		return refuse_type(d, where, "is no base64 data URL.");
	return true;
}

static bool
decode_audio(struct decoding *d, struct sl_json value, struct sl_part *part)
{
	struct sl_json audio = sl_json_get(value, "input_audio");
	struct sl_slice type = sl_json_is(sl_json_get(audio, "format"), "wav")
	                           ? SL_SLICE("audio/wav")
	                           : SL_SLICE("audio/mpeg");

	part->kind = SL_PART_AUDIO;
	sl_codec_only(d->dialog, audio, below(d, &part->where, "input_audio"), "data format");
	if (!sl_media_from_base64(type, string_of(d, sl_json_get(audio, "data")),
	                          d->dialog->arena, d->in->notes, part))
		return refuse_type(d, below(d, &part->where, "input_audio"),
		                   "data is not valid base64.");
	part->kind = SL_PART_AUDIO;
	return true;
}

static bool
decode_file(struct decoding *d, struct sl_json value, struct sl_part *part)
{
	struct sl_json file = sl_json_get(value, "file");
	struct sl_slice data = string_of(d, sl_json_get(file, "file_data"));

	part->kind = SL_PART_DOCUMENT;
	sl_codec_only(d->dialog, file, below(d, &part->where, "file"),
	              "file_data file_id filename");
	part->media.title = sl_text_json(sl_json_get(file, "filename"));
	if (data.len == 0) {
		part->media.source = SL_MEDIA_FILE_ID;
		part->media.data = string_of(d, sl_json_get(file, "file_id"));
		return part->media.data.len > 0 ||
		       refuse_type(d, below(d, &part->where, "file"),
		                   "needs file_data or file_id.");
	}
	if (sl_media_is_data_url(data)
	        ? !sl_media_from_url(data, d->dialog->arena, d->in->notes, part)
	        : !sl_media_from_base64(SL_SLICE("application/pdf"), data, d->dialog->arena,
	                                d->in->notes, part))
		return refuse_type(d, below(d, &part->where, "file"), "file_data is no base64.");
	return true;
}

static bool
decode_part(struct decoding *d, struct sl_json value, struct sl_part *part)
{
	static const struct sl_slice known[] = {
		NAME("type"), NAME("text"), NAME("image_url"), NAME("input_audio"), NAME("file"),
		NAME("refusal"), NAME("cache_control"), NAME("prompt_cache_breakpoint"),
	};
	static const struct sl_slice types[] = {
		NAME("\"text\""), NAME("\"image_url\""), NAME("\"input_audio\""),
		NAME("\"file\""), NAME("\"refusal\""),
	};
	struct sl_json type = sl_json_get(value, "type");

	if (value.type == SL_JSON_STRING) {
		part->text = sl_text_json(value);
		return true;
	}
	if (value.type != SL_JSON_OBJECT || type.type != SL_JSON_STRING)
		return refuse_type(d, &part->where, "must be an object with a type.");
	if (sl_codec_find(type.raw, types, COUNT(types)) < 0) {
		part->kind = SL_PART_OPAQUE;
		part->raw = value.raw;
		return true;
	}
	part->cache = sl_codec_cache(sl_json_get(value, "cache_control"));
	if (part->cache == SL_CACHE_NONE &&
	    !sl_codec_says_nothing(sl_json_get(value, "prompt_cache_breakpoint")))
		part->cache = SL_CACHE_DEFAULT;
	sl_codec_rest(d->dialog, value, &part->where, known, COUNT(known));
	if (sl_json_is(type, "text")) {
		part->text = sl_text_json(sl_json_get(value, "text"));
		return part->text.json || refuse_type(d, &part->where, "text must be a string.");
	}
	if (sl_json_is(type, "image_url"))
		return decode_image(d, value, part);
	if (sl_json_is(type, "input_audio"))
		return decode_audio(d, value, part);
	if (sl_json_is(type, "file"))
		return decode_file(d, value, part);
	part->kind = SL_PART_REFUSAL;
	part->text = sl_text_json(sl_json_get(value, "refusal"));
	return true;
}

/* A string or a list, into a turn or, for results, into a part. */
static bool
decode_content(struct decoding *d, struct sl_json content, struct sl_turn *turn,
               struct sl_part *into, const struct sl_where *where)
{
	struct sl_part *part;

	if (content.type <= SL_JSON_NULL)
		return true;
	if (content.type == SL_JSON_STRING) {
		part = into ? sl_part_part(d->dialog, into, SL_PART_TEXT, *where)
		            : sl_turn_part(d->dialog, turn, SL_PART_TEXT, *where);
		part->text = sl_text_json(content);
		return true;
	}
	if (content.type != SL_JSON_ARRAY)
		return refuse_type(d, where, "must be a string or a list of parts.");
	for (struct sl_json_iter it = sl_json_iter(content); sl_json_next(&it);) {
		struct sl_where place = sl_where_element(where, it.index);

		part = into ? sl_part_part(d->dialog, into, SL_PART_TEXT, place)
		            : sl_turn_part(d->dialog, turn, SL_PART_TEXT, place);
		if (!decode_part(d, it.value, part))
			return false;
	}
	return true;
}

/* --- reasoning that comes back ------------------------------------------------------------- */

static void
decode_detail(struct decoding *d, struct sl_json detail, struct sl_turn *turn,
              const struct sl_where *where)
{
	struct sl_json type = sl_json_get(detail, "type");
	bool closed = sl_json_is(type, "reasoning.encrypted") ||
	              sl_json_is(type, "redacted_thinking");
	struct sl_part *part = sl_turn_part(d->dialog, turn, SL_PART_REASONING, *where);
	struct sl_json text = sl_json_get(detail, "text");

	if (text.type != SL_JSON_STRING)
		text = sl_json_get(detail, "thinking");
	if (text.type != SL_JSON_STRING)
		text = sl_json_get(detail, "summary");
	part->text = sl_text_json(text);
	part->redacted = closed;
	sl_codec_signature(d->in, d->dialog,
	                   string_of(d, sl_json_get(detail, closed ? "data" : "signature")),
	                   sl_slice_starts(string_of(d, sl_json_get(detail, "format")),
	                                   SL_SLICE("openai"))
	                       ? "openai"
	                       : "anthropic",
	                   part);
}

static void
decode_reasoning(struct decoding *d, struct sl_json message, struct sl_turn *turn,
                 const struct sl_where *where)
{
	static const char *const lists[] = { "reasoning_details", "thinking_blocks" };
	static const char *const texts[] = { "reasoning_content", "reasoning" };

	for (size_t i = 0; i < COUNT(lists); i++) {
		struct sl_json list = sl_json_get(message, lists[i]);
		const struct sl_where *place;

		if (list.type != SL_JSON_ARRAY || sl_codec_says_nothing(list))
			continue;
		place = below(d, where, lists[i]);
		for (struct sl_json_iter it = sl_json_iter(list); sl_json_next(&it);)
			decode_detail(d, it.value, turn,
			              sl_dialog_where(d->dialog, sl_where_element(place, it.index)));
		return;
	}
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct sl_json text = sl_json_get(message, texts[i]);

		if (text.type != SL_JSON_STRING)
			continue;
		sl_turn_part(d->dialog, turn, SL_PART_REASONING,
		             sl_where_member(where, sl_slice_str(texts[i])))
		    ->text = sl_text_json(text);
		return;
	}
}

/* --- calls ------------------------------------------------------------------------------------ */

static bool
decode_call(struct decoding *d, struct sl_json call, struct sl_turn *turn,
            struct sl_where where)
{
	bool custom = sl_json_is(sl_json_get(call, "type"), "custom");
	struct sl_json function = sl_json_get(call, custom ? "custom" : "function");
	struct sl_json args = sl_json_get(function, custom ? "input" : "arguments");
	struct sl_part *part = sl_turn_part(d->dialog, turn, SL_PART_TOOL_CALL, where);

	part->custom = custom;
	sl_codec_only(d->dialog, call, &part->where, "id type index function custom");
	sl_codec_only(d->dialog, function, below(d, &part->where, custom ? "custom" : "function"),
	              "name arguments input");
	part->name = string_of(d, sl_json_get(function, "name"));
	if (!sl_codec_call_id(d->in, d->dialog, sl_json_get(call, "id"), part) ||
	    part->name.len == 0)
		return refuse_type(d, &part->where, "needs an id and a function with a name.");
	/* Some vendors' clients send the object itself. */
	part->args = args.type == SL_JSON_STRING ? string_of(d, args) : args.raw;
	return true;
}

static bool
decode_calls(struct decoding *d, struct sl_json message, struct sl_turn *turn,
             const struct sl_where *where)
{
	struct sl_json calls = sl_json_get(message, "tool_calls");
	struct sl_json old = sl_json_get(message, "function_call");
	const struct sl_where *place = below(d, where, "tool_calls");
	struct sl_part *part;

	if (calls.type > SL_JSON_NULL && calls.type != SL_JSON_ARRAY)
		return refuse_type(d, place, "must be a list of calls.");
	for (struct sl_json_iter it = sl_json_iter(calls); sl_json_next(&it);)
		if (!decode_call(d, it.value, turn, sl_where_element(place, it.index)))
			return false;
	if (old.type != SL_JSON_OBJECT)
		return true;
	/* Before calls had ids the name was the id. */
	part = sl_turn_part(d->dialog, turn, SL_PART_TOOL_CALL,
	                    sl_where_member(where, SL_SLICE("function_call")));
	part->name = part->call_id = string_of(d, sl_json_get(old, "name"));
	part->args = string_of(d, sl_json_get(old, "arguments"));
	return part->name.len > 0 || refuse_type(d, &part->where, "needs a name.");
}

static bool
decode_result(struct decoding *d, struct sl_json message, bool old, const struct sl_where *where)
{
	struct sl_turn *turn = sl_dialog_turn(d->dialog, SL_ROLE_TOOL, *where);
	struct sl_part *part = sl_turn_part(d->dialog, turn, SL_PART_TOOL_RESULT, *where);

	part->cache = sl_codec_cache(sl_json_get(message, "cache_control"));
	if (old)
		part->call_id = string_of(d, sl_json_get(message, "name"));
	else if (!sl_codec_call_id(d->in, d->dialog, sl_json_get(message, "tool_call_id"), part))
		return refuse_type(d, where, "needs a tool_call_id.");
	return decode_content(d, sl_json_get(message, "content"), NULL, part,
	                      below(d, where, "content"));
}

/* --- messages ------------------------------------------------------------------------------------ */

static bool
decode_message(struct decoding *d, struct sl_json message, const struct sl_where *where)
{
	static const struct {
		const char  *name;
		enum sl_role role;
	} roles[] = {
		{ "user", SL_ROLE_USER }, { "assistant", SL_ROLE_ASSISTANT },
		{ "tool", SL_ROLE_TOOL }, { "system", SL_ROLE_SYSTEM },
		{ "developer", SL_ROLE_DEVELOPER }, { "function", SL_ROLE_TOOL },
	};
	static const struct sl_slice known[] = {
		NAME("role"), NAME("content"), NAME("name"), NAME("tool_calls"),
		NAME("tool_call_id"), NAME("refusal"), NAME("reasoning_content"),
		NAME("reasoning"), NAME("reasoning_details"), NAME("thinking_blocks"),
		NAME("function_call"), NAME("cache_control"), NAME("id"),
	};
	struct sl_json role = sl_json_get(message, "role"), refusal;
	struct sl_turn *turn;
	size_t row = 0;

	while (row < COUNT(roles) && !sl_json_is(role, roles[row].name))
		row++;
	if (row == COUNT(roles))
		return refuse_type(d, where, "role must be 'system', 'developer', 'user', "
		                             "'assistant' or 'tool'.");
	sl_codec_rest(d->dialog, message, where, known, COUNT(known));
	if (roles[row].role == SL_ROLE_TOOL)
		return decode_result(d, message, row == 5, where);
	turn = sl_dialog_turn(d->dialog, roles[row].role, *where);
	turn->name = sl_text_json(sl_json_get(message, "name"));
	if (turn->role == SL_ROLE_ASSISTANT)
		decode_reasoning(d, message, turn, where);
	if (!decode_content(d, sl_json_get(message, "content"), turn, NULL,
	                    below(d, where, "content")))
		return false;
	if (turn->parts_last && turn->parts_last->cache == SL_CACHE_NONE)
		turn->parts_last->cache = sl_codec_cache(sl_json_get(message, "cache_control"));
	refusal = sl_json_get(message, "refusal");
	if (refusal.type == SL_JSON_STRING)
		sl_turn_part(d->dialog, turn, SL_PART_REFUSAL,
		             sl_where_member(where, SL_SLICE("refusal")))
		    ->text = sl_text_json(refusal);
	return turn->role != SL_ROLE_ASSISTANT || decode_calls(d, message, turn, where);
}

static bool
decode_messages(struct decoding *d, struct sl_json messages, const struct sl_where *where)
{
	if (messages.type != SL_JSON_ARRAY)
		return refuse_type(d, where, "must be a list of messages.");
	for (struct sl_json_iter it = sl_json_iter(messages); sl_json_next(&it);)
		if (!decode_message(d, it.value,
		                    sl_dialog_where(d->dialog, sl_where_element(where, it.index))))
			return false;
	return true;
}

/* --- tools -------------------------------------------------------------------------------------- */

static bool
decode_function(struct decoding *d, struct sl_json function, struct sl_tool *tool,
                const struct sl_where *where)
{
	static const struct sl_slice known[] = {
		NAME("name"), NAME("description"), NAME("parameters"), NAME("strict"),
		NAME("format"), NAME("cache_control"),
	};
	struct sl_json schema = sl_json_get(function, "parameters");
	struct sl_json format = sl_json_get(function, "format");

	sl_codec_rest(d->dialog, function, where, known, COUNT(known));
	tool->name = string_of(d, sl_json_get(function, "name"));
	tool->description = sl_text_json(sl_json_get(function, "description"));
	tool->strict = sl_codec_tri(sl_json_get(function, "strict"));
	if (schema.type == SL_JSON_OBJECT && !sl_codec_says_nothing(schema))
		tool->schema = schema.raw;
	if (sl_json_is(sl_json_get(format, "type"), "grammar"))
		tool->raw = format.raw;
	return tool->name.len > 0 || refuse_type(d, where, "needs a name.");
}

static bool
decode_tool(struct decoding *d, struct sl_json value, struct sl_where where)
{
	struct sl_json type = sl_json_get(value, "type");
	bool custom = sl_json_is(type, "custom");
	struct sl_tool *tool;

	if (!custom && !sl_json_is(type, "function")) {
		tool = sl_dialog_tool(d->dialog, SL_TOOL_HOSTED, where);
		tool->name = string_of(d, type);
		tool->raw = value.raw;
		return true;
	}
	tool = sl_dialog_tool(d->dialog, custom ? SL_TOOL_CUSTOM : SL_TOOL_FUNCTION, where);
	tool->cache = sl_codec_cache(sl_json_get(value, "cache_control"));
	sl_codec_only(d->dialog, value, &tool->where, "type function custom cache_control");
	return decode_function(d, sl_json_get(value, custom ? "custom" : "function"), tool,
	                       below(d, &tool->where, custom ? "custom" : "function"));
}

static bool
decode_tools(struct decoding *d, struct sl_json tools, const struct sl_where *where)
{
	if (tools.type > SL_JSON_NULL && tools.type != SL_JSON_ARRAY)
		return refuse_type(d, where, "must be a list of tools.");
	for (struct sl_json_iter it = sl_json_iter(tools); sl_json_next(&it);)
		if (!decode_tool(d, it.value, sl_where_element(where, it.index)))
			return false;
	return true;
}

static bool
decode_functions(struct decoding *d, struct sl_json functions, const struct sl_where *where)
{
	for (struct sl_json_iter it = sl_json_iter(functions); sl_json_next(&it);) {
		struct sl_tool *tool = sl_dialog_tool(d->dialog, SL_TOOL_FUNCTION,
		                                      sl_where_element(where, it.index));

		if (!decode_function(d, it.value, tool, &tool->where))
			return false;
	}
	return true;
}

static bool
take_names(struct decoding *d, struct sl_json tools)
{
	struct sl_tool_choice *out = &d->dialog->choice;

	out->names = SL_ARENA_ARRAY(d->dialog->arena, struct sl_slice, SL_CHOICE_NAMES_MAX);
	for (struct sl_json_iter it = sl_json_iter(tools); out->names && sl_json_next(&it);) {
		struct sl_json name = sl_json_at(it.value, "function.name");

		if (name.type == SL_JSON_NONE)
			name = sl_json_at(it.value, "custom.name");
		if (out->name_count < SL_CHOICE_NAMES_MAX)
			out->names[out->name_count++] = string_of(d, name);
	}
	return out->name_count > 0;
}

static bool
decode_choice(struct decoding *d, struct sl_json choice, const struct sl_where *where)
{
	struct sl_tool_choice *out = &d->dialog->choice;
	struct sl_json type = sl_json_get(choice, "type"), name;

	out->where = *where;
	if (choice.type == SL_JSON_NULL)
		return true;
	if (sl_json_is(choice, "auto") || sl_json_is(choice, "none") ||
	    sl_json_is(choice, "required")) {
		out->mode = sl_json_is(choice, "auto")   ? SL_CHOICE_AUTO
		            : sl_json_is(choice, "none") ? SL_CHOICE_NONE
		                                         : SL_CHOICE_REQUIRED;
		return true;
	}
	if (sl_json_is(type, "allowed_tools")) {
		struct sl_json allowed = sl_json_get(choice, "allowed_tools");

		out->mode = sl_json_is(sl_json_get(allowed, "mode"), "required")
		                ? SL_CHOICE_REQUIRED
		                : SL_CHOICE_AUTO;
		return take_names(d, sl_json_get(allowed, "tools")) ||
		       refuse_type(d, where, "names no tool.");
	}
	sl_codec_only(d->dialog, choice, where, "type function custom name");
	sl_codec_only(d->dialog, sl_json_get(choice, "function"), below(d, where, "function"),
	              "name");
	name = sl_json_at(choice, sl_json_is(type, "custom") ? "custom.name" : "function.name");
	if (name.type == SL_JSON_NONE)
		name = sl_json_get(choice, "name"); /* function_call of old */
	out->mode = SL_CHOICE_NAMED;
	out->names = SL_ARENA_ARRAY(d->dialog->arena, struct sl_slice, 1);
	out->name_count = 1;
	if (!out->names || (*out->names = string_of(d, name)).len == 0)
		return refuse_type(d, where, "is no choice of this API.");
	return true;
}

/* --- the rest ------------------------------------------------------------------------------------ */

static bool
decode_format(struct decoding *d, struct sl_json format, const struct sl_where *where)
{
	struct sl_output *out = &d->dialog->output;
	struct sl_json type = sl_json_get(format, "type");
	struct sl_json inner = sl_json_get(format, "json_schema");

	out->where = *where;
	sl_codec_only(d->dialog, format, where, "type json_schema");
	sl_codec_only(d->dialog, inner, below(d, where, "json_schema"),
	              "name description schema strict");
	if (format.type == SL_JSON_NULL || sl_json_is(type, "text"))
		return true;
	if (sl_json_is(type, "json_object")) {
		out->format = SL_FORMAT_JSON;
		return true;
	}
	out->format = SL_FORMAT_SCHEMA;
	out->schema = sl_json_get(inner, "schema").raw;
	out->schema_name = string_of(d, sl_json_get(inner, "name"));
	out->description = sl_text_json(sl_json_get(inner, "description"));
	out->described = *below(d, below(d, where, "json_schema"), "description");
	out->strict = sl_codec_tri(sl_json_get(inner, "strict"));
	if (sl_json_is(type, "json_schema") && out->schema.len)
		return true;
	if (sl_json_is(type, "json_schema")) {
		out->format = SL_FORMAT_JSON;
		return true;
	}
	return refuse_type(d, where, "type must be 'text', 'json_object' or 'json_schema'.");
}

static bool
decode_effort(struct decoding *d, struct sl_json effort, const struct sl_where *where)
{
	struct sl_reasoning *out = &d->dialog->reasoning;

	if (effort.type == SL_JSON_NULL)
		return true;
	out->where = *where;
	if (sl_json_is(effort, "none")) {
		out->mode = SL_REASONING_OFF;
		return true;
	}
	out->mode = SL_REASONING_ON;
	out->effort = sl_effort_parse(effort);
	return out->effort != SL_EFFORT_UNSET ||
	       refuse_type(d, where, "must be 'none', 'minimal', 'low', 'medium', 'high', "
	                             "'xhigh' or 'max'.");
}

/* GLM, DeepSeek and translating proxies: {"type":"enabled","budget_tokens":n};
 * OpenRouter: {"effort"} or {"max_tokens"}. */
static bool
decode_thinking(struct decoding *d, struct sl_json value, const struct sl_where *where)
{
	struct sl_reasoning *out = &d->dialog->reasoning;
	struct sl_json type = sl_json_get(value, "type");

	if (value.type != SL_JSON_OBJECT)
		return true;
	out->where = *where;
	if (sl_json_is(type, "disabled") || sl_json_get(value, "enabled").type == SL_JSON_FALSE)
		out->mode = SL_REASONING_OFF;
	else if (sl_json_is(type, "adaptive"))
		out->mode = SL_REASONING_ADAPTIVE;
	else
		out->mode = SL_REASONING_ON;
	if (!sl_json_i64(sl_json_get(value, "budget_tokens"), &out->budget_tokens))
		sl_json_i64(sl_json_get(value, "max_tokens"), &out->budget_tokens);
	if (sl_json_get(value, "effort").type == SL_JSON_STRING)
		return decode_effort(d, sl_json_get(value, "effort"), where);
	return true;
}

static bool
decode_metadata(struct decoding *d, struct sl_json metadata, const struct sl_where *where)
{
	struct sl_json_writer w;
	struct sl_buf rest;

	if (metadata.type != SL_JSON_OBJECT)
		return true;
	/* What is the gateway's own stays here. */
	if (sl_json_get(metadata, "astrolabe").type != SL_JSON_NONE) {
		sl_buf_init(&rest, metadata.raw.len * 2 + 2);
		sl_json_writer_init(&w, &rest);
		sl_json_obj(&w);
		for (struct sl_json_iter it = sl_json_iter(metadata); sl_json_next(&it);)
			if (!sl_slice_is(it.key, "astrolabe")) {
				sl_json_key_slice(&w, sl_codec_key(it.key, d->dialog->arena));
				sl_json_put_raw(&w, it.value.raw);
			}
		sl_json_obj_end(&w);
		metadata.raw = sl_arena_dup(d->dialog->arena, sl_buf_slice(&rest));
		sl_buf_release(&rest);
	}
	if (!sl_codec_says_nothing(metadata))
		sl_dialog_param(d->dialog, SL_PARAM_METADATA, metadata, *where);
	return true;
}

static bool
decode_stream(struct decoding *d, struct sl_json stream, const struct sl_where *where)
{
	(void)where;
	d->dialog->stream = sl_json_true(stream);
	return true;
}

static bool
decode_stream_options(struct decoding *d, struct sl_json options, const struct sl_where *where)
{
	sl_codec_only(d->dialog, options, where, "include_usage include_obfuscation");
	d->dialog->wants_usage = sl_json_true(sl_json_get(options, "include_usage"));
	return true;
}

static bool
decode_modalities(struct decoding *d, struct sl_json value, const struct sl_where *where)
{
	struct sl_json_iter it = sl_json_iter(value);
	bool only_text = true;

	while (sl_json_next(&it))
		only_text = only_text && sl_json_is(it.value, "text");
	if (!only_text)
		sl_dialog_param(d->dialog, SL_PARAM_MODALITIES, value, *where);
	return true;
}

/* The newer name wins wherever it stands; another number under the older is lost. */
static bool
decode_limit(struct decoding *d, struct sl_json value, const struct sl_where *where)
{
	const struct sl_param_value *had = &d->dialog->params[SL_PARAM_MAX_TOKENS];
	bool both = sl_dialog_has(d->dialog, SL_PARAM_MAX_TOKENS);
	bool newer = sl_slice_is(where->name, "max_completion_tokens");

	if (value.type == SL_JSON_NULL)
		return true;
	if (both && !sl_slice_eq(had->value.raw, value.raw))
		sl_note(d->in->notes, SL_NOTE_parameter_dropped,
		        newer ? sl_dialog_where(d->dialog, had->where) : where);
	if (!both || newer)
		sl_dialog_param(d->dialog, SL_PARAM_MAX_TOKENS, value, *where);
	return true;
}

static bool
skip(struct decoding *d, struct sl_json value, const struct sl_where *where)
{
	(void)d;
	(void)value;
	(void)where;
	return true;
}

bool
sl_openai_take_common(struct sl_dialog *dialog, struct sl_slice key, struct sl_json value,
                      struct sl_where where)
{
	static const struct sl_codec_param always[] = {
		{ NAME("temperature"), SL_PARAM_TEMPERATURE }, { NAME("top_p"), SL_PARAM_TOP_P },
		{ NAME("seed"), SL_PARAM_SEED }, { NAME("user"), SL_PARAM_USER },
		{ NAME("top_k"), SL_PARAM_TOP_K }, { NAME("min_p"), SL_PARAM_MIN_P },
		{ NAME("parallel_tool_calls"), SL_PARAM_PARALLEL_TOOLS },
		{ NAME("safety_identifier"), SL_PARAM_SAFETY_IDENTIFIER },
		{ NAME("prompt_cache_key"), SL_PARAM_CACHE_KEY },
		{ NAME("prompt_cache_retention"), SL_PARAM_CACHE_RETENTION },
		{ NAME("verbosity"), SL_PARAM_VERBOSITY },
	};
	/* Only where they say something. */
	static const struct sl_codec_param saying[] = {
		{ NAME("presence_penalty"), SL_PARAM_PRESENCE_PENALTY },
		{ NAME("frequency_penalty"), SL_PARAM_FREQUENCY_PENALTY },
		{ NAME("logit_bias"), SL_PARAM_LOGIT_BIAS }, { NAME("stop"), SL_PARAM_STOP },
		{ NAME("logprobs"), SL_PARAM_LOGPROBS },
		{ NAME("top_logprobs"), SL_PARAM_TOP_LOGPROBS },
		{ NAME("prediction"), SL_PARAM_PREDICTION }, { NAME("audio"), SL_PARAM_AUDIO },
		{ NAME("web_search_options"), SL_PARAM_WEB_SEARCH },
		{ NAME("store"), SL_PARAM_STORE },
	};
	int64_t number;

	if (sl_codec_take_param(dialog, always, COUNT(always), key, value, where))
		return true;
	if (sl_slice_is(key, "n")) {
		if (!sl_json_i64(value, &number) || number != 1)
			sl_dialog_param(dialog, SL_PARAM_N, value, where);
		return true;
	}
	if (sl_slice_is(key, "service_tier")) {
		if (!sl_json_is(value, "auto"))
			sl_dialog_param(dialog, SL_PARAM_SERVICE_TIER, value, where);
		return true;
	}
	if (sl_slice_is(key, "stop") && value.type == SL_JSON_STRING) {
		value.type = SL_JSON_ARRAY;
		value.raw = sl_arena_join(dialog->arena, (struct sl_slice[]){
		    SL_SLICE("["), value.raw, SL_SLICE("]") }, 3);
	}
	/* web_search_options {} asks for the search all the same. */
	if (sl_slice_is(key, "web_search_options")
	        ? value.type > SL_JSON_NULL
	        : !sl_codec_says_nothing(value))
		return sl_codec_take_param(dialog, saying, COUNT(saying), key, value, where);
	return sl_codec_find(key, (const struct sl_slice[]){
	    NAME("presence_penalty"), NAME("frequency_penalty"), NAME("logit_bias"), NAME("stop"),
	    NAME("logprobs"), NAME("top_logprobs"), NAME("prediction"), NAME("audio"),
	    NAME("web_search_options") }, 9) >= 0;
}

bool
sl_openai_chat_decode(const struct sl_codec_input *in, struct sl_dialog *out,
                      struct sl_fault *fault)
{
	static const struct {
		struct sl_slice name;
		bool (*decode)(struct decoding *, struct sl_json, const struct sl_where *);
	} members[] = {
		{ NAME("messages"), decode_messages }, { NAME("tools"), decode_tools },
		{ NAME("tool_choice"), decode_choice }, { NAME("stream"), decode_stream },
		{ NAME("stream_options"), decode_stream_options },
		{ NAME("max_tokens"), decode_limit },
		{ NAME("max_completion_tokens"), decode_limit },
		{ NAME("response_format"), decode_format },
		{ NAME("reasoning_effort"), decode_effort }, { NAME("thinking"), decode_thinking },
		{ NAME("reasoning"), decode_thinking }, { NAME("metadata"), decode_metadata },
		{ NAME("modalities"), decode_modalities }, { NAME("functions"), decode_functions },
		{ NAME("function_call"), decode_choice }, { NAME("model"), skip },
		{ NAME("nexus"), skip }, { NAME("stoPayload"), skip },
	};
	struct decoding d = { in, out, fault };
	struct sl_json_iter it = sl_json_iter(sl_json_parse(in->input->body));

	sl_dialog_init(out, "openai_chat", out->arena);
	while (sl_json_next(&it)) {
		struct sl_slice key = sl_codec_key(it.key, out->arena);
		struct sl_where where = sl_where_member(NULL, key);
		size_t row = 0;

		while (row < COUNT(members) && !sl_slice_eq(key, members[row].name))
			row++;
		if (row < COUNT(members)) {
			if (!members[row].decode(&d, it.value, sl_dialog_where(out, where)))
				return false;
		} else if (!sl_openai_take_common(out, key, it.value, where) &&
		           !sl_codec_says_nothing(it.value)) {
			sl_dialog_extra(out, where, key, it.value.raw);
		}
	}
	if (out->failed)
		return sl_codec_refuse(fault, SL_FAULT_OVERLOADED, out, NULL,
		                       "The gateway is out of memory.");
	return true;
}

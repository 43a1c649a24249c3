/* anthropic_decode.c - a request of POST /v1/messages into a dialog.
 *
 * Results stand in user messages there; here they have turns of their own, so a
 * user message becomes as many turns as it changes between the two.
 */
#include "model/media.h"
#include "shapes/anthropic_codec.h"

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

/* --- blocks ------------------------------------------------------------------------ */

static bool
string_of(struct decoding *d, struct sl_json value, struct sl_slice *out)
{
	if (!sl_json_string(value, d->dialog->arena, out))
		*out = SL_SLICE_NONE;
	return out->len > 0;
}

static void
keep(struct decoding *d, struct sl_json object, const struct sl_where *where, const char *name)
{
	struct sl_json value = sl_json_get(object, name);
	struct sl_slice key = sl_slice_str(name);

	if (!sl_codec_says_nothing(value))
		sl_dialog_extra(d->dialog,
		                sl_where_member(sl_dialog_where(d->dialog, *where), key), key,
		                value.raw);
}

static enum sl_cache
take_cache(struct decoding *d, struct sl_json object, const struct sl_where *where)
{
	const struct sl_where at = sl_where_member(where, SL_SLICE("cache_control"));
	struct sl_json marker = sl_json_get(object, "cache_control");

	sl_codec_only(d->dialog, marker, &at, "type ttl");
	return sl_codec_cache(marker);
}

static bool decode_block(struct decoding *d, struct sl_json block, struct sl_part *part,
                         int depth);

/* Content that is a string or a list of blocks, into a part. */
static bool
decode_inner(struct decoding *d, struct sl_json content, struct sl_part *into,
             const struct sl_where *where, int depth)
{
	if (content.type == SL_JSON_STRING) {
		sl_part_part(d->dialog, into, SL_PART_TEXT, *where)->text = sl_text_json(content);
		return true;
	}
	if (content.type > SL_JSON_NULL && content.type != SL_JSON_ARRAY)
		return refuse_type(d, where, "must be a string or a list of blocks.");
	for (struct sl_json_iter it = sl_json_iter(content); sl_json_next(&it);) {
		struct sl_part *part = sl_part_part(d->dialog, into, SL_PART_TEXT,
		                                    sl_where_element(where, it.index));

		if (!decode_block(d, it.value, part, depth + 1))
			return false;
	}
	return true;
}

static bool
decode_source(struct decoding *d, struct sl_json block, struct sl_part *part, int depth)
{
	struct sl_json source = sl_json_get(block, "source");
	struct sl_json kind = sl_json_get(source, "type");
	const struct sl_where *where =
	    sl_dialog_where(d->dialog, sl_where_member(&part->where, SL_SLICE("source")));
	enum sl_part_kind was = part->kind;
	struct sl_slice type = SL_SLICE_NONE, data = SL_SLICE_NONE;

	sl_codec_only(d->dialog, source, where, "type media_type data url file_id content");
	string_of(d, sl_json_get(source, "media_type"), &type);
	if (sl_json_is(kind, "base64")) {
		string_of(d, sl_json_get(source, "data"), &data);
		if (!sl_media_from_base64(type, data, d->dialog->arena, d->in->notes, part))
			return refuse_type(d, where, "data is not valid base64.");
		if (part->kind != SL_PART_IMAGE && part->kind != SL_PART_DOCUMENT)
			part->kind = was;
		return true;
	}
	if (sl_json_is(kind, "url")) {
		part->media.source = SL_MEDIA_URL;
		string_of(d, sl_json_get(source, "url"), &part->media.data);
	} else if (sl_json_is(kind, "file")) {
		part->media.source = SL_MEDIA_FILE_ID;
		string_of(d, sl_json_get(source, "file_id"), &part->media.data);
	} else if (sl_json_is(kind, "text")) {
		part->media.source = SL_MEDIA_TEXT;
		part->media.type = SL_SLICE("text/plain");
		part->text = sl_text_json(sl_json_get(source, "data"));
		return true;
	} else if (sl_json_is(kind, "content")) {
		part->media.source = SL_MEDIA_PARTS;
		return decode_inner(d, sl_json_get(source, "content"), part, where, depth);
	}
	if (part->media.data.len == 0)
		return refuse_type(d, where, "is no source of this API.");
	return true;
}

static bool
decode_document(struct decoding *d, struct sl_json block, struct sl_part *part, int depth)
{
	const struct sl_where where = sl_where_member(&part->where, SL_SLICE("citations"));

	part->kind = SL_PART_DOCUMENT;
	sl_codec_only(d->dialog, sl_json_get(block, "citations"), &where, "enabled");
	part->media.title = sl_text_json(sl_json_get(block, "title"));
	part->media.context = sl_text_json(sl_json_get(block, "context"));
	part->media.citations = sl_json_true(sl_json_at(block, "citations.enabled"));
	return decode_source(d, block, part, depth);
}

static bool
decode_thinking(struct decoding *d, struct sl_json block, struct sl_part *part, bool redacted)
{
	struct sl_slice proof;

	part->kind = SL_PART_REASONING;
	part->redacted = redacted;
	string_of(d, sl_json_get(block, redacted ? "data" : "signature"), &proof);
	if (!redacted)
		part->text = sl_text_json(sl_json_get(block, "thinking"));
	sl_codec_signature(d->in, d->dialog, proof, "anthropic", part);
	return true;
}

static bool
decode_call(struct decoding *d, struct sl_json block, struct sl_part *part)
{
	part->kind = SL_PART_TOOL_CALL;
	if (!sl_codec_call_id(d->in, d->dialog, sl_json_get(block, "id"), part) ||
	    !string_of(d, sl_json_get(block, "name"), &part->name))
		return refuse_type(d, &part->where, "needs an id and a name, both strings.");
	part->args = sl_json_get(block, "input").raw;
	if (!sl_json_is(sl_json_at(block, "caller.type"), "direct"))
		keep(d, block, &part->where, "caller");
	return true;
}

static bool
decode_result(struct decoding *d, struct sl_json block, struct sl_part *part, int depth)
{
	struct sl_json is_error = sl_json_get(block, "is_error");
	const struct sl_where *where =
	    sl_dialog_where(d->dialog, sl_where_member(&part->where, SL_SLICE("content")));

	part->kind = SL_PART_TOOL_RESULT;
	if (!sl_codec_call_id(d->in, d->dialog, sl_json_get(block, "tool_use_id"), part))
		return refuse_type(d, &part->where, "needs a tool_use_id.");
	part->is_error = sl_codec_tri(is_error);
	return decode_inner(d, sl_json_get(block, "content"), part, where, depth);
}

static bool
decode_block(struct decoding *d, struct sl_json block, struct sl_part *part, int depth)
{
	static const struct sl_slice known[] = {
		NAME("type"), NAME("text"), NAME("source"), NAME("title"), NAME("context"),
		NAME("citations"), NAME("thinking"), NAME("signature"), NAME("data"), NAME("id"),
		NAME("name"), NAME("input"), NAME("tool_use_id"), NAME("content"),
		NAME("is_error"), NAME("cache_control"), NAME("caller"),
	};
	static const struct sl_slice types[] = {
		NAME("\"text\""), NAME("\"image\""), NAME("\"document\""), NAME("\"tool_use\""),
		NAME("\"tool_result\""), NAME("\"thinking\""), NAME("\"redacted_thinking\""),
	};
	struct sl_json type = sl_json_get(block, "type");

	if (block.type != SL_JSON_OBJECT || type.type != SL_JSON_STRING)
		return refuse_type(d, &part->where, "must be an object with a type.");
	if (depth > 3)
		return refuse_type(d, &part->where, "is nested too deeply.");
	if (sl_codec_find(type.raw, types, COUNT(types)) < 0) {
		part->kind = SL_PART_OPAQUE;
		part->raw = block.raw;
		return true;
	}
	part->cache = take_cache(d, block, &part->where);
	sl_codec_rest(d->dialog, block, &part->where, known, COUNT(known));
	if (sl_json_is(type, "text")) {
		part->text = sl_text_json(sl_json_get(block, "text"));
		if (!sl_codec_says_nothing(sl_json_get(block, "citations")))
			sl_note(d->in->notes, SL_NOTE_citations_dropped, &part->where);
		if (!part->text.json)
			return refuse_type(d, &part->where, "text must be a string.");
		return true;
	}
	if (sl_json_is(type, "image")) {
		part->kind = SL_PART_IMAGE;
		return decode_source(d, block, part, depth);
	}
	if (sl_json_is(type, "document"))
		return decode_document(d, block, part, depth);
	if (sl_json_is(type, "tool_use"))
		return decode_call(d, block, part);
	if (sl_json_is(type, "tool_result"))
		return decode_result(d, block, part, depth);
	return decode_thinking(d, block, part, sl_json_is(type, "redacted_thinking"));
}

/* --- messages ------------------------------------------------------------------------- */

static bool
decode_blocks(struct decoding *d, struct sl_json content, enum sl_role role,
              const struct sl_where *where)
{
	struct sl_turn *turn = NULL;

	for (struct sl_json_iter it = sl_json_iter(content); sl_json_next(&it);) {
		bool result = sl_json_is(sl_json_get(it.value, "type"), "tool_result");
		enum sl_role wanted = result && role == SL_ROLE_USER ? SL_ROLE_TOOL : role;

		if (!turn || turn->role != wanted)
			turn = sl_dialog_turn(d->dialog, wanted, *where);
		if (!decode_block(d, it.value,
		                  sl_turn_part(d->dialog, turn, SL_PART_TEXT,
		                               sl_where_element(where, it.index)), 0))
			return false;
	}
	return true;
}

/* where: of the content. */
static bool
decode_content(struct decoding *d, struct sl_json content, enum sl_role role,
               const struct sl_where *where)
{
	struct sl_turn *turn;

	if (content.type == SL_JSON_ARRAY)
		return decode_blocks(d, content, role, where);
	if (content.type != SL_JSON_STRING)
		return refuse_type(d, where, "must be a string or a list of blocks.");
	turn = sl_dialog_turn(d->dialog, role, *where);
	sl_turn_part(d->dialog, turn, SL_PART_TEXT, *where)->text = sl_text_json(content);
	return true;
}

static bool
decode_message(struct decoding *d, struct sl_json message, const struct sl_where *where)
{
	static const struct sl_slice known[] = { NAME("role"), NAME("content") };
	struct sl_json role_name = sl_json_get(message, "role");
	enum sl_role role;

	if (sl_json_is(role_name, "user"))
		role = SL_ROLE_USER;
	else if (sl_json_is(role_name, "assistant"))
		role = SL_ROLE_ASSISTANT;
	else if (sl_json_is(role_name, "system"))
		role = SL_ROLE_SYSTEM;
	else
		return refuse_type(d, where, "role must be 'user' or 'assistant'.");
	sl_codec_rest(d->dialog, message, where, known, COUNT(known));
	return decode_content(d, sl_json_get(message, "content"), role,
	                      sl_dialog_where(d->dialog,
	                                      sl_where_member(where, SL_SLICE("content"))));
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

/* --- tools ------------------------------------------------------------------------------ */

static bool
decode_tool(struct decoding *d, struct sl_json value, struct sl_where where)
{
	static const struct sl_slice known[] = {
		NAME("type"), NAME("name"), NAME("description"), NAME("input_schema"),
		NAME("strict"), NAME("cache_control"), NAME("eager_input_streaming"),
	};
	struct sl_json type = sl_json_get(value, "type"), strict = sl_json_get(value, "strict");
	bool hosted = type.type == SL_JSON_STRING && !sl_json_is(type, "custom");
	struct sl_tool *tool = sl_dialog_tool(
	    d->dialog, hosted ? SL_TOOL_HOSTED : SL_TOOL_FUNCTION, where);

	tool->raw = hosted ? value.raw : SL_SLICE_NONE;
	tool->cache = take_cache(d, value, &tool->where);
	if (!string_of(d, hosted ? type : sl_json_get(value, "name"), &tool->name))
		return refuse_type(d, &tool->where, "needs a name.");
	if (hosted)
		return true;
	sl_codec_rest(d->dialog, value, &tool->where, known, COUNT(known));
	tool->description = sl_text_json(sl_json_get(value, "description"));
	if (sl_json_get(value, "input_schema").type == SL_JSON_OBJECT)
		tool->schema = sl_json_get(value, "input_schema").raw;
	tool->strict = sl_codec_tri(strict);
	return true;
}

static bool
decode_tools(struct decoding *d, struct sl_json tools, const struct sl_where *where)
{
	if (tools.type != SL_JSON_ARRAY)
		return refuse_type(d, where, "must be a list of tools.");
	for (struct sl_json_iter it = sl_json_iter(tools); sl_json_next(&it);)
		if (!decode_tool(d, it.value, sl_where_element(where, it.index)))
			return false;
	return true;
}

static bool
decode_choice(struct decoding *d, struct sl_json choice, const struct sl_where *where)
{
	struct sl_tool_choice *out = &d->dialog->choice;
	struct sl_json type = sl_json_get(choice, "type");
	struct sl_json single = sl_json_get(choice, "disable_parallel_tool_use");

	out->where = *where;
	sl_codec_only(d->dialog, choice, where, "type name disable_parallel_tool_use");
	if (sl_json_is(type, "auto"))
		out->mode = SL_CHOICE_AUTO;
	else if (sl_json_is(type, "any"))
		out->mode = SL_CHOICE_REQUIRED;
	else if (sl_json_is(type, "none"))
		out->mode = SL_CHOICE_NONE;
	else if (sl_json_is(type, "tool"))
		out->mode = SL_CHOICE_NAMED;
	else
		return refuse_type(d, where, "type must be 'auto', 'any', 'tool' or 'none'.");
	if (out->mode == SL_CHOICE_NAMED) {
		out->names = SL_ARENA_ARRAY(d->dialog->arena, struct sl_slice, 1);
		out->name_count = 1;
		if (!out->names || !string_of(d, sl_json_get(choice, "name"), out->names))
			return refuse_type(d, where, "names no tool.");
	}
	if (single.type == SL_JSON_TRUE || single.type == SL_JSON_FALSE) {
		const struct sl_json parallel = { single.type == SL_JSON_TRUE ? SL_JSON_FALSE
		                                                              : SL_JSON_TRUE,
			                          single.type == SL_JSON_TRUE ? SL_SLICE("false")
			                                                      : SL_SLICE("true") };

		sl_dialog_param(d->dialog, SL_PARAM_PARALLEL_TOOLS, parallel,
		                sl_where_member(sl_dialog_where(d->dialog, *where),
		                                SL_SLICE("disable_parallel_tool_use")));
	}
	return true;
}

/* --- the rest ------------------------------------------------------------------------------ */

static bool
decode_thinking_mode(struct decoding *d, struct sl_json thinking, const struct sl_where *where)
{
	struct sl_reasoning *out = &d->dialog->reasoning;
	struct sl_json type = sl_json_get(thinking, "type");

	out->where = *where;
	sl_codec_only(d->dialog, thinking, where, "type budget_tokens display");
	if (sl_json_is(type, "enabled"))
		out->mode = SL_REASONING_ON;
	else if (sl_json_is(type, "disabled"))
		out->mode = SL_REASONING_OFF;
	else if (sl_json_is(type, "adaptive") || sl_json_is(type, "between_tools"))
		out->mode = SL_REASONING_ADAPTIVE;
	else if (thinking.type > SL_JSON_NULL)
		return refuse_type(d, where, "type must be 'enabled', 'adaptive' or 'disabled'.");
	sl_json_i64(sl_json_get(thinking, "budget_tokens"), &out->budget_tokens);
	if (sl_json_is(sl_json_get(thinking, "display"), "omitted"))
		out->show = SL_NO;
	else if (sl_json_is(sl_json_get(thinking, "display"), "summarized"))
		out->show = SL_YES;
	return true;
}

static void
decode_format(struct decoding *d, struct sl_json format, struct sl_where where)
{
	struct sl_output *out = &d->dialog->output;

	if (!sl_json_is(sl_json_get(format, "type"), "json_schema"))
		return;
	out->format = SL_FORMAT_SCHEMA;
	out->schema = sl_json_get(format, "schema").raw;
	out->strict = SL_YES;
	out->where = where;
	sl_codec_only(d->dialog, format, &where, "type schema");
}

static bool
decode_output_config(struct decoding *d, struct sl_json config, const struct sl_where *where)
{
	static const struct sl_slice known[] = { NAME("effort"), NAME("format") };
	enum sl_effort effort = sl_effort_parse(sl_json_get(config, "effort"));

	if (effort != SL_EFFORT_UNSET) {
		d->dialog->reasoning.effort = effort;
		if (d->dialog->reasoning.where.name.len == 0)
			d->dialog->reasoning.where = sl_where_member(where, SL_SLICE("effort"));
	}
	decode_format(d, sl_json_get(config, "format"), sl_where_member(where, SL_SLICE("format")));
	sl_codec_rest(d->dialog, config, where, known, COUNT(known));
	return true;
}

static bool
decode_metadata(struct decoding *d, struct sl_json metadata, const struct sl_where *where)
{
	static const struct sl_slice known[] = { NAME("user_id"), NAME("astrolabe") };

	sl_dialog_param(d->dialog, SL_PARAM_USER, sl_json_get(metadata, "user_id"),
	                sl_where_member(where, SL_SLICE("user_id")));
	sl_codec_rest(d->dialog, metadata, where, known, COUNT(known));
	return true;
}

static bool
decode_system(struct decoding *d, struct sl_json system, const struct sl_where *where)
{
	return system.type == SL_JSON_NULL || decode_content(d, system, SL_ROLE_SYSTEM, where);
}

static bool
decode_stream(struct decoding *d, struct sl_json stream, const struct sl_where *where)
{
	(void)where;
	d->dialog->stream = d->dialog->wants_usage = sl_json_true(stream);
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
sl_anthropic_decode(const struct sl_codec_input *in, struct sl_dialog *out,
                    struct sl_fault *fault)
{
	static const struct sl_codec_param params[] = {
		{ NAME("max_tokens"), SL_PARAM_MAX_TOKENS },
		{ NAME("temperature"), SL_PARAM_TEMPERATURE }, { NAME("top_p"), SL_PARAM_TOP_P },
		{ NAME("top_k"), SL_PARAM_TOP_K }, { NAME("container"), SL_PARAM_CONTAINER },
		{ NAME("service_tier"), SL_PARAM_SERVICE_TIER },
		{ NAME("context_management"), SL_PARAM_CONTEXT_MANAGEMENT },
	};
	static const struct {
		struct sl_slice name;
		bool (*decode)(struct decoding *, struct sl_json, const struct sl_where *);
	} members[] = {
		{ NAME("messages"), decode_messages }, { NAME("tools"), decode_tools },
		{ NAME("tool_choice"), decode_choice }, { NAME("thinking"), decode_thinking_mode },
		{ NAME("output_config"), decode_output_config },
		{ NAME("metadata"), decode_metadata }, { NAME("stream"), decode_stream },
		{ NAME("model"), skip }, { NAME("system"), skip }, { NAME("nexus"), skip },
		{ NAME("stoPayload"), skip },
	};
	struct decoding d = { in, out, fault };
	struct sl_json body = sl_json_parse(in->input->body);
	struct sl_json_iter it;

	sl_dialog_init(out, "anthropic_messages", out->arena);
	/* Instructions come first in the dialog, wherever they stand in the body. */
	if (sl_json_get(body, "system").type != SL_JSON_NONE &&
	    !decode_system(&d, sl_json_get(body, "system"),
	                   sl_dialog_where(out, sl_where_member(NULL, SL_SLICE("system")))))
		return false;
	for (it = sl_json_iter(body); sl_json_next(&it);) {
		struct sl_slice key = sl_codec_key(it.key, out->arena);
		struct sl_where where = sl_where_member(NULL, key);
		size_t row = 0;

		while (row < COUNT(members) && !sl_slice_eq(key, members[row].name))
			row++;
		if (row < COUNT(members)) {
			if (!members[row].decode(&d, it.value, sl_dialog_where(out, where)))
				return false;
		} else if (sl_slice_is(key, "stop_sequences") ||
		           sl_slice_is(key, "mcp_servers")) {
			if (!sl_codec_says_nothing(it.value))
				sl_dialog_param(out, key.ptr[0] == 's' ? SL_PARAM_STOP
				                                       : SL_PARAM_MCP_SERVERS,
				                it.value, where);
		} else if (!sl_codec_take_param(out, params, COUNT(params), key, it.value, where) &&
		           !sl_codec_says_nothing(it.value)) {
			sl_dialog_extra(out, where, key, it.value.raw);
		}
	}
	if (out->failed)
		return sl_codec_refuse(fault, SL_FAULT_OVERLOADED, out, NULL,
		                       "The gateway is out of memory.");
	return true;
}

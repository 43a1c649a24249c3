/* bedrock_decode.c - a request of Converse into a dialog.
 *
 * Each block is a union with one member. A cachePoint is a block of its own here and
 * marks the part before it; results stand in user messages and get turns of their own.
 */
#include "model/media.h"
#include "shapes/bedrock_codec.h"

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

static bool
string_of(struct decoding *d, struct sl_json value, struct sl_slice *out)
{
	if (!sl_json_string(value, d->dialog->arena, out))
		*out = SL_SLICE_NONE;
	return out->len > 0;
}

static const struct sl_where *
member(struct decoding *d, const struct sl_where *up, const char *name)
{
	return sl_dialog_where(d->dialog, sl_where_member(up, sl_slice_str(name)));
}

/* --- blocks ------------------------------------------------------------------------- */

/* A cachePoint marks what stands before it: into is that, NULL when nothing does. */
static void
take_cache(struct decoding *d, struct sl_json block, struct sl_where where, enum sl_cache *into)
{
	struct sl_json point = sl_json_get(block, "cachePoint");

	sl_codec_only(d->dialog, block, &where, "cachePoint");
	sl_codec_only(d->dialog, point, member(d, sl_dialog_where(d->dialog, where), "cachePoint"),
	              "type ttl");
	if (!into)
		sl_note(d->in->notes, SL_NOTE_cache_marker_dropped,
		        sl_dialog_where(d->dialog, where));
	else
		*into = sl_json_is(sl_json_get(point, "ttl"), "1h") ? SL_CACHE_1H
		                                                    : SL_CACHE_DEFAULT;
}

static const struct {
	const char     *format;
	struct sl_slice type;
} types[] = {
	{ "png", NAME("image/png") }, { "jpeg", NAME("image/jpeg") }, { "gif", NAME("image/gif") },
	{ "webp", NAME("image/webp") }, { "pdf", NAME("application/pdf") },
	{ "txt", NAME("text/plain") }, { "csv", NAME("text/csv") }, { "html", NAME("text/html") },
	{ "md", NAME("text/markdown") }, { "doc", NAME("application/msword") },
	{ "docx",
	  NAME("application/vnd.openxmlformats-officedocument.wordprocessingml.document") },
	{ "xls", NAME("application/vnd.ms-excel") },
	{ "xlsx", NAME("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet") },
	{ "mp4", NAME("video/mp4") }, { "mov", NAME("video/quicktime") },
	{ "webm", NAME("video/webm") }, { "mp3", NAME("audio/mpeg") }, { "wav", NAME("audio/wav") },
};

/* A document in pieces, which are texts. */
static bool
decode_pieces(struct decoding *d, struct sl_json content, const struct sl_where *where,
              struct sl_part *part)
{
	part->media.source = SL_MEDIA_PARTS;
	for (struct sl_json_iter it = sl_json_iter(content); sl_json_next(&it);) {
		struct sl_part *piece =
		    sl_part_part(d->dialog, part, SL_PART_TEXT, sl_where_element(where, it.index));
		struct sl_json text = sl_json_get(it.value, "text");

		if (text.type != SL_JSON_STRING)
			return refuse_type(d, &piece->where, "must be an object with a text.");
		sl_codec_only(d->dialog, it.value, &piece->where, "text");
		piece->text = sl_text_json(text);
	}
	return true;
}

static bool
decode_media(struct decoding *d, struct sl_json value, const struct sl_where *where,
             enum sl_part_kind kind, struct sl_part *part)
{
	struct sl_json source = sl_json_get(value, "source");
	struct sl_json bytes = sl_json_get(source, "bytes");
	struct sl_slice data;

	part->kind = kind;
	sl_codec_only(d->dialog, value, where, "format source name context citations");
	sl_codec_only(d->dialog, source, member(d, where, "source"), "bytes s3Location text content");
	sl_codec_only(d->dialog, sl_json_get(source, "s3Location"),
	              member(d, member(d, where, "source"), "s3Location"), "uri");
	sl_codec_only(d->dialog, sl_json_get(value, "citations"), member(d, where, "citations"),
	              "enabled");
	for (size_t i = 0; i < COUNT(types); i++)
		if (sl_json_is(sl_json_get(value, "format"), types[i].format))
			part->media.type = types[i].type;
	if (kind == SL_PART_DOCUMENT) {
		part->media.title = sl_text_json(sl_json_get(value, "name"));
		part->media.context = sl_text_json(sl_json_get(value, "context"));
		part->media.citations = sl_json_true(sl_json_at(value, "citations.enabled"));
	}
	if (bytes.type == SL_JSON_STRING) {
		part->media.source = SL_MEDIA_INLINE;
		if (!string_of(d, bytes, &data) ||
		    !sl_media_base64(data, d->dialog->arena, &part->media.data))
			return refuse_type(d, &part->where, "source.bytes is not valid base64.");
		return true;
	}
	if (string_of(d, sl_json_at(source, "s3Location.uri"), &part->media.data)) {
		part->media.source = SL_MEDIA_URI;
		return true;
	}
	if (sl_json_get(source, "text").type == SL_JSON_STRING) {
		part->media.source = SL_MEDIA_TEXT;
		part->text = sl_text_json(sl_json_get(source, "text"));
		return true;
	}
	if (kind == SL_PART_DOCUMENT && sl_json_get(source, "content").type == SL_JSON_ARRAY)
		return decode_pieces(d, sl_json_get(source, "content"),
		                     member(d, member(d, where, "source"), "content"), part);
	return refuse_type(d, &part->where, kind == SL_PART_DOCUMENT
	                   ? "source needs bytes, s3Location, text or content."
	                   : "source needs bytes or s3Location.");
}

static bool
decode_call(struct decoding *d, struct sl_json use, struct sl_part *part)
{
	part->kind = SL_PART_TOOL_CALL;
	sl_codec_only(d->dialog, use, member(d, &part->where, "toolUse"), "toolUseId name input");
	if (!sl_codec_call_id(d->in, d->dialog, sl_json_get(use, "toolUseId"), part) ||
	    !string_of(d, sl_json_get(use, "name"), &part->name))
		return refuse_type(d, &part->where, "needs toolUseId and name, both strings.");
	part->args = sl_json_get(use, "input").raw;
	return true;
}

static bool
decode_reasoning(struct decoding *d, struct sl_json reasoning, struct sl_part *part)
{
	const struct sl_where *where = member(d, &part->where, "reasoningContent");
	struct sl_json text = sl_json_get(reasoning, "reasoningText");
	struct sl_slice proof;

	part->kind = SL_PART_REASONING;
	sl_codec_only(d->dialog, reasoning, where, "reasoningText redactedContent");
	sl_codec_only(d->dialog, text, member(d, where, "reasoningText"), "text signature");
	part->redacted = text.type != SL_JSON_OBJECT;
	part->text = sl_text_json(sl_json_get(text, "text"));
	string_of(d, part->redacted ? sl_json_get(reasoning, "redactedContent")
	                            : sl_json_get(text, "signature"), &proof);
	sl_codec_signature(d->in, d->dialog, proof, "bedrock", part);
	return true;
}

static bool decode_result(struct decoding *d, struct sl_json result, struct sl_part *part);

/* The one member of a block, into a part that has its place. */
static bool
decode_union(struct decoding *d, struct sl_json block, struct sl_part *part, bool inside)
{
	static const struct {
		const char       *name;
		enum sl_part_kind kind;
	} media[] = {
		{ "image", SL_PART_IMAGE }, { "document", SL_PART_DOCUMENT },
		{ "video", SL_PART_VIDEO }, { "audio", SL_PART_AUDIO },
	};
	struct sl_json value = sl_json_get(block, "text");

	if (value.type == SL_JSON_STRING) {
		part->text = sl_text_json(value);
		return true;
	}
	for (size_t i = 0; i < COUNT(media); i++) {
		value = sl_json_get(block, media[i].name);
		if (value.type == SL_JSON_OBJECT)
			return decode_media(d, value, member(d, &part->where, media[i].name),
			                    media[i].kind, part);
	}
	value = sl_json_get(block, "json");
	if (inside && value.type > SL_JSON_NULL) {
		part->text = sl_text_plain(value.raw);
		return true;
	}
	if (sl_json_get(block, "toolUse").type == SL_JSON_OBJECT)
		return decode_call(d, sl_json_get(block, "toolUse"), part);
	if (!inside && sl_json_get(block, "toolResult").type == SL_JSON_OBJECT)
		return decode_result(d, sl_json_get(block, "toolResult"), part);
	if (sl_json_get(block, "reasoningContent").type == SL_JSON_OBJECT)
		return decode_reasoning(d, sl_json_get(block, "reasoningContent"), part);
	if (block.type != SL_JSON_OBJECT)
		return refuse_type(d, &part->where, "must be an object with one member.");
	part->kind = SL_PART_OPAQUE;
	part->origin = "bedrock_converse";
	part->raw = block.raw;
	return true;
}

static bool
decode_block(struct decoding *d, struct sl_json block, struct sl_part *part, bool inside)
{
	if (!decode_union(d, block, part, inside))
		return false;
	if (part->kind != SL_PART_OPAQUE)
		sl_codec_only(d->dialog, block, &part->where,
		              inside ? "text image document video audio json toolUse "
		                       "reasoningContent"
		                     : "text image document video audio toolUse toolResult "
		                       "reasoningContent");
	return true;
}

static bool
decode_result(struct decoding *d, struct sl_json result, struct sl_part *part)
{
	const struct sl_where *up = member(d, &part->where, "toolResult");
	const struct sl_where *where = member(d, up, "content");

	part->kind = SL_PART_TOOL_RESULT;
	sl_codec_only(d->dialog, result, up, "toolUseId status content");
	if (!sl_codec_call_id(d->in, d->dialog, sl_json_get(result, "toolUseId"), part))
		return refuse_type(d, &part->where, "needs a toolUseId.");
	if (sl_json_is(sl_json_get(result, "status"), "error"))
		part->is_error = SL_YES;
	else if (sl_json_is(sl_json_get(result, "status"), "success"))
		part->is_error = SL_NO;
	for (struct sl_json_iter it = sl_json_iter(sl_json_get(result, "content"));
	     sl_json_next(&it);)
		if (!decode_block(d, it.value,
		                  sl_part_part(d->dialog, part, SL_PART_TEXT,
		                               sl_where_element(where, it.index)), true))
			return false;
	return true;
}

/* --- messages ----------------------------------------------------------------------- */

static bool
decode_blocks(struct decoding *d, struct sl_json content, enum sl_role role,
              const struct sl_where *where)
{
	struct sl_turn *turn = NULL;

	if (content.type != SL_JSON_ARRAY)
		return refuse_type(d, where, "must be a list of blocks.");
	for (struct sl_json_iter it = sl_json_iter(content); sl_json_next(&it);) {
		struct sl_json point = sl_json_get(it.value, "cachePoint");
		bool result = sl_json_get(it.value, "toolResult").type == SL_JSON_OBJECT;
		enum sl_role wanted = result && role == SL_ROLE_USER ? SL_ROLE_TOOL : role;

		if (point.type == SL_JSON_OBJECT) {
			take_cache(d, it.value, sl_where_element(where, it.index),
			           turn && turn->parts_last ? &turn->parts_last->cache : NULL);
			continue;
		}
		if (!turn || turn->role != wanted)
			turn = sl_dialog_turn(d->dialog, wanted, *where);
		if (!decode_block(d, it.value,
		                  sl_turn_part(d->dialog, turn, SL_PART_TEXT,
		                               sl_where_element(where, it.index)), false))
			return false;
	}
	return true;
}

static bool
decode_messages(struct decoding *d, struct sl_json messages, const struct sl_where *where)
{
	static const struct sl_slice known[] = { NAME("role"), NAME("content") };

	if (messages.type != SL_JSON_ARRAY)
		return refuse_type(d, where, "must be a list of messages.");
	for (struct sl_json_iter it = sl_json_iter(messages); sl_json_next(&it);) {
		const struct sl_where *at =
		    sl_dialog_where(d->dialog, sl_where_element(where, it.index));
		struct sl_json role = sl_json_get(it.value, "role");
		bool assistant = sl_json_is(role, "assistant");

		if (!assistant && !sl_json_is(role, "user") && !sl_json_is(role, "system"))
			return refuse_type(d, at, "role must be 'user' or 'assistant'.");
		sl_codec_rest(d->dialog, it.value, at, known, COUNT(known));
		if (!decode_blocks(d, sl_json_get(it.value, "content"),
		                   assistant                      ? SL_ROLE_ASSISTANT
		                   : sl_json_is(role, "system") ? SL_ROLE_SYSTEM
		                                                  : SL_ROLE_USER,
		                   member(d, at, "content")))
			return false;
	}
	return true;
}

/* --- tools -------------------------------------------------------------------------- */

static bool
decode_tool(struct decoding *d, struct sl_json value, const struct sl_where *where)
{
	static const struct sl_slice known[] = { NAME("name"), NAME("description"),
		                                 NAME("inputSchema"), NAME("strict") };
	struct sl_json spec = sl_json_get(value, "toolSpec");
	struct sl_json strict = sl_json_get(spec, "strict");
	bool hosted = spec.type != SL_JSON_OBJECT;
	struct sl_tool *tool =
	    sl_dialog_tool(d->dialog, hosted ? SL_TOOL_HOSTED : SL_TOOL_FUNCTION, *where);

	if (hosted) {
		tool->origin = "bedrock_converse";
		tool->raw = value.raw;
		tool->name = SL_SLICE("systemTool");
		return true;
	}
	if (!string_of(d, sl_json_get(spec, "name"), &tool->name))
		return refuse_type(d, where, "needs toolSpec.name.");
	sl_codec_only(d->dialog, value, where, "toolSpec");
	sl_codec_only(d->dialog, sl_json_get(spec, "inputSchema"),
	              member(d, member(d, where, "toolSpec"), "inputSchema"), "json");
	sl_codec_rest(d->dialog, spec, where, known, COUNT(known));
	tool->description = sl_text_json(sl_json_get(spec, "description"));
	if (sl_json_at(spec, "inputSchema.json").type == SL_JSON_OBJECT)
		tool->schema = sl_json_at(spec, "inputSchema.json").raw;
	tool->strict = sl_codec_tri(strict);
	return true;
}

static bool
decode_choice(struct decoding *d, struct sl_json choice, const struct sl_where *where)
{
	struct sl_tool_choice *out = &d->dialog->choice;

	if (choice.type <= SL_JSON_NULL)
		return true;
	out->where = *where;
	sl_codec_only(d->dialog, choice, where, "auto any tool");
	sl_codec_only(d->dialog, sl_json_get(choice, "tool"), member(d, where, "tool"), "name");
	if (sl_json_get(choice, "auto").type == SL_JSON_OBJECT) {
		out->mode = SL_CHOICE_AUTO;
	} else if (sl_json_get(choice, "any").type == SL_JSON_OBJECT) {
		out->mode = SL_CHOICE_REQUIRED;
	} else {
		out->mode = SL_CHOICE_NAMED;
		out->names = SL_ARENA_ARRAY(d->dialog->arena, struct sl_slice, 1);
		out->name_count = 1;
		if (!out->names || !string_of(d, sl_json_at(choice, "tool.name"), out->names))
			return refuse_type(d, where, "needs auto, any or tool.name.");
	}
	return true;
}

static bool
decode_tools(struct decoding *d, struct sl_json config, const struct sl_where *where)
{
	const struct sl_where *tools = member(d, where, "tools");

	sl_codec_only(d->dialog, config, where, "tools toolChoice");
	for (struct sl_json_iter it = sl_json_iter(sl_json_get(config, "tools"));
	     sl_json_next(&it);) {
		struct sl_json point = sl_json_get(it.value, "cachePoint");

		if (point.type == SL_JSON_OBJECT) {
			take_cache(d, it.value, sl_where_element(tools, it.index),
			           d->dialog->tools_last ? &d->dialog->tools_last->cache : NULL);
			continue;
		}
		if (!decode_tool(d, it.value,
		                 sl_dialog_where(d->dialog, sl_where_element(tools, it.index))))
			return false;
	}
	return decode_choice(d, sl_json_get(config, "toolChoice"), member(d, where, "toolChoice"));
}

/* --- the rest ------------------------------------------------------------------------ */

static bool
decode_inference(struct decoding *d, struct sl_json config, const struct sl_where *where)
{
	static const struct sl_codec_param params[] = {
		{ NAME("maxTokens"), SL_PARAM_MAX_TOKENS },
		{ NAME("temperature"), SL_PARAM_TEMPERATURE },
		{ NAME("topP"), SL_PARAM_TOP_P },
		{ NAME("stopSequences"), SL_PARAM_STOP },
	};

	for (struct sl_json_iter it = sl_json_iter(config); sl_json_next(&it);) {
		struct sl_slice key = sl_codec_key(it.key, d->dialog->arena);
		struct sl_where at = sl_where_member(where, key);

		if (sl_codec_says_nothing(it.value) && it.value.type != SL_JSON_NUMBER)
			continue;
		if (!sl_codec_take_param(d->dialog, params, COUNT(params), key, it.value, at))
			sl_dialog_extra(d->dialog, at, key, it.value.raw);
	}
	return true;
}

/* What Claude's own API has beyond the common parameters. */
static bool
decode_additional(struct decoding *d, struct sl_json fields, const struct sl_where *where)
{
	struct sl_reasoning *reasoning = &d->dialog->reasoning;
	struct sl_json thinking = sl_json_get(fields, "thinking");

	for (struct sl_json_iter it = sl_json_iter(fields); sl_json_next(&it);) {
		struct sl_slice key = sl_codec_key(it.key, d->dialog->arena);
		struct sl_where at = sl_where_member(where, key);

		if (sl_slice_is(key, "top_k"))
			sl_dialog_param(d->dialog, SL_PARAM_TOP_K, it.value, at);
		else if (!sl_slice_is(key, "thinking"))
			sl_dialog_extra(d->dialog, at, key, it.value.raw);
	}
	if (thinking.type != SL_JSON_OBJECT)
		return true;
	reasoning->where = *member(d, where, "thinking");
	sl_codec_only(d->dialog, thinking, &reasoning->where, "type budget_tokens");
	if (sl_json_is(sl_json_get(thinking, "type"), "enabled"))
		reasoning->mode = SL_REASONING_ON;
	else if (sl_json_is(sl_json_get(thinking, "type"), "adaptive"))
		reasoning->mode = SL_REASONING_ADAPTIVE;
	else
		reasoning->mode = SL_REASONING_OFF;
	sl_json_i64(sl_json_get(thinking, "budget_tokens"), &reasoning->budget_tokens);
	return true;
}

static bool
decode_output(struct decoding *d, struct sl_json config, const struct sl_where *where)
{
	struct sl_output *out = &d->dialog->output;
	struct sl_json format = sl_json_get(config, "textFormat");
	struct sl_json schema = sl_json_at(format, "structure.jsonSchema");
	const struct sl_where *at = member(d, where, "textFormat");
	struct sl_slice text;

	enum sl_effort effort = sl_effort_parse(sl_json_get(config, "effort"));

	sl_codec_only(d->dialog, config, where, effort ? "textFormat effort" : "textFormat");
	if (effort) {
		d->dialog->reasoning.effort = effort;
		if (d->dialog->reasoning.where.name.len == 0)
			d->dialog->reasoning.where = *member(d, where, "effort");
	}
	sl_codec_only(d->dialog, format, at, "type structure");
	sl_codec_only(d->dialog, sl_json_get(format, "structure"), member(d, at, "structure"),
	              "jsonSchema");
	sl_codec_only(d->dialog, schema, member(d, member(d, at, "structure"), "jsonSchema"),
	              "schema name description");
	if (schema.type != SL_JSON_OBJECT)
		return true;
	out->where = *at;
	out->format = SL_FORMAT_SCHEMA;
	out->strict = SL_YES;
	/* The schema travels as text. */
	if (!string_of(d, sl_json_get(schema, "schema"), &text) ||
	    sl_json_validate(text, NULL, NULL) != SL_OK)
		return refuse_type(d, &out->where, "structure.jsonSchema.schema must be a JSON "
		                                   "Schema as a string.");
	out->schema = text;
	string_of(d, sl_json_get(schema, "name"), &out->schema_name);
	out->description = sl_text_json(sl_json_get(schema, "description"));
	out->described = *member(d, member(d, member(d, &out->where, "structure"), "jsonSchema"),
	                         "description");
	return true;
}

static bool
decode_metadata(struct decoding *d, struct sl_json metadata, const struct sl_where *where)
{
	if (metadata.type == SL_JSON_OBJECT)
		sl_dialog_param(d->dialog, SL_PARAM_METADATA, metadata, *where);
	return true;
}

static bool
decode_tier(struct decoding *d, struct sl_json tier, const struct sl_where *where)
{
	sl_codec_only(d->dialog, tier, where, "type");
	sl_dialog_param(d->dialog, SL_PARAM_SERVICE_TIER, sl_json_get(tier, "type"), *where);
	return true;
}

static bool
decode_system(struct decoding *d, struct sl_json system, const struct sl_where *where)
{
	return system.type <= SL_JSON_NULL || decode_blocks(d, system, SL_ROLE_SYSTEM, where);
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
sl_bedrock_decode(const struct sl_codec_input *in, struct sl_dialog *out, struct sl_fault *fault)
{
	static const struct {
		struct sl_slice name;
		bool (*decode)(struct decoding *, struct sl_json, const struct sl_where *);
	} members[] = {
		{ NAME("messages"), decode_messages },
		{ NAME("toolConfig"), decode_tools },
		{ NAME("inferenceConfig"), decode_inference },
		{ NAME("additionalModelRequestFields"), decode_additional },
		{ NAME("outputConfig"), decode_output },
		{ NAME("requestMetadata"), decode_metadata },
		{ NAME("serviceTier"), decode_tier },
		{ NAME("system"), skip },
		{ NAME("nexus"), skip },
		{ NAME("stoPayload"), skip },
	};
	struct decoding d = { in, out, fault };
	struct sl_json body = sl_json_parse(in->input->body);

	sl_dialog_init(out, "bedrock_converse", out->arena);
	out->stream = out->wants_usage =
	    sl_slice_is(sl_slice_str(in->input->verb), "converse-stream");
	/* Instructions come first in the dialog, wherever they stand in the body. */
	if (!decode_system(&d, sl_json_get(body, "system"), member(&d, NULL, "system")))
		return false;
	for (struct sl_json_iter it = sl_json_iter(body); sl_json_next(&it);) {
		struct sl_slice key = sl_codec_key(it.key, out->arena);
		struct sl_where where = sl_where_member(NULL, key);
		size_t row = 0;

		while (row < COUNT(members) && !sl_slice_eq(key, members[row].name))
			row++;
		if (row == COUNT(members) && !sl_codec_says_nothing(it.value))
			sl_dialog_extra(out, where, key, it.value.raw);
		if (row < COUNT(members) &&
		    !members[row].decode(&d, it.value, sl_dialog_where(out, where)))
			return false;
	}
	if (out->failed)
		return sl_codec_refuse(fault, SL_FAULT_OVERLOADED, out, NULL,
		                       "The gateway is out of memory.");
	return true;
}

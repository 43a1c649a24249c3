/* codec.c - what all codecs share: ids and signatures, what was not taken. */
#include "shapes/codec.h"

#include "shapes/tool_schema.h"

#include <string.h>

bool
sl_codec_can(const struct sl_shape_ops *from, const struct sl_shape_ops *via)
{
	return from->codec && via->codec && from->codec->task == via->codec->task &&
	       from->codec->decode_request && from->codec->write_whole &&
	       via->codec->encode_request && via->codec->read_whole;
}

/* --- decoders --------------------------------------------------------------------- */

bool
sl_codec_call_id(const struct sl_codec_input *in, struct sl_dialog *dialog, struct sl_json id,
                 struct sl_part *part)
{
	struct sl_sealed sealed;
	struct sl_slice text;

	if (!sl_json_string(id, dialog->arena, &text))
		return false;
	part->call_id = sl_unseal_id(in->sealer, text, dialog->arena, &sealed);
	if (part->kind == SL_PART_TOOL_CALL && sealed.kind == SL_SEAL_SIGNATURE &&
	    part->signature.len == 0) {
		part->signature = sealed.payload;
		part->issuer = sealed.issuer;
		part->behind_id = true;
	}
	return true;
}

void
sl_codec_signature(const struct sl_codec_input *in, struct sl_dialog *dialog,
                   struct sl_slice text, const char *native, struct sl_part *part)
{
	struct sl_sealed sealed;

	if (text.len == 0)
		return;
	if (sl_seal_is_marked(text)) {
		/* One that does not verify proves nothing to anybody. */
		if (!sl_unseal(in->sealer, text, dialog->arena, &sealed))
			return;
		part->issuer = sealed.issuer;
		part->signature = sealed.payload;
		part->redacted = sealed.kind == SL_SEAL_REDACTED;
		part->token_only = sealed.kind == SL_SEAL_NONE;
		return;
	}
	part->signature = text;
	part->issuer = sl_slice_str(native);
}

bool
sl_codec_refuse(struct sl_fault *fault, enum sl_fault_kind kind, struct sl_dialog *dialog,
                const struct sl_where *where, const char *message)
{
	struct sl_slice param = sl_where_param(where, dialog->arena);

	sl_fault_set(fault, kind,
	             param.len ? sl_arena_printf(dialog->arena, "'%.*s': %s", SL_ARG(param), message)
	                       : sl_slice_str(message));
	fault->param = param;
	return false;
}

struct sl_slice
sl_codec_key(struct sl_slice raw_key, struct sl_arena *arena)
{
	struct sl_slice key = raw_key;

	if (sl_slice_find(raw_key, '\\') >= 0)
		sl_json_unescape(raw_key, arena, &key);
	return key;
}

int
sl_codec_find(struct sl_slice key, const struct sl_slice *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (sl_slice_eq(key, names[i]))
			return (int)i;
	return -1;
}

bool
sl_codec_take_param(struct sl_dialog *dialog, const struct sl_codec_param *rows, size_t count,
                    struct sl_slice key, struct sl_json value, struct sl_where where)
{
	for (size_t i = 0; i < count; i++)
		if (sl_slice_eq(key, rows[i].name)) {
			sl_dialog_param(dialog, rows[i].param, value, where);
			return true;
		}
	return false;
}

enum sl_tri
sl_codec_tri(struct sl_json value)
{
	if (value.type == SL_JSON_TRUE)
		return SL_YES;
	return value.type == SL_JSON_FALSE ? SL_NO : SL_UNSET;
}

bool
sl_codec_says_nothing(struct sl_json value)
{
	struct sl_json_iter it;
	double number;

	switch (value.type) {
	case SL_JSON_NUMBER:
		return sl_json_f64(value, &number) && number == 0;
	case SL_JSON_STRING:
		return value.raw.len <= 2;
	case SL_JSON_ARRAY:
	case SL_JSON_OBJECT:
		it = sl_json_iter(value);
		return !sl_json_next(&it);
	case SL_JSON_TRUE:
		return false;
	default:
		return true;
	}
}

enum sl_cache
sl_codec_cache(struct sl_json cache_control)
{
	if (cache_control.type != SL_JSON_OBJECT)
		return SL_CACHE_NONE;
	if (sl_json_is(sl_json_get(cache_control, "ttl"), "1h"))
		return SL_CACHE_1H;
	return sl_json_is(sl_json_get(cache_control, "ttl"), "5m") ? SL_CACHE_5M
	                                                           : SL_CACHE_DEFAULT;
}

void
sl_codec_rest(struct sl_dialog *dialog, struct sl_json object, const struct sl_where *where,
              const struct sl_slice *known, size_t known_count)
{
	for (struct sl_json_iter it = sl_json_iter(object); sl_json_next(&it);) {
		struct sl_slice key = sl_codec_key(it.key, dialog->arena);

		if (sl_codec_find(key, known, known_count) < 0 && !sl_codec_says_nothing(it.value))
			sl_dialog_extra(dialog, sl_where_member(where, key), key, it.value.raw);
	}
}

bool
sl_codec_lists(const char *names, struct sl_slice key)
{
	struct sl_slice list = sl_slice_str(names);

	while (list.len) {
		ptrdiff_t end = sl_slice_find(list, ' ');
		size_t len = end < 0 ? list.len : (size_t)end;

		if (sl_slice_eq(key, sl_slice_upto(list, len)))
			return true;
		list = sl_slice_from(list, end < 0 ? len : len + 1);
	}
	return false;
}

void
sl_codec_only(struct sl_dialog *dialog, struct sl_json object, const struct sl_where *where,
              const char *known)
{
	const struct sl_where *up = NULL;

	if (object.type != SL_JSON_OBJECT)
		return;
	for (struct sl_json_iter it = sl_json_iter(object); sl_json_next(&it);) {
		struct sl_slice key = sl_codec_key(it.key, dialog->arena);

		if (sl_codec_lists(known, key) || sl_codec_says_nothing(it.value))
			continue;
		if (!up)
			up = sl_dialog_where(dialog, *where);
		sl_dialog_extra(dialog, sl_where_member(up, key), key, it.value.raw);
	}
}

/* --- encoders --------------------------------------------------------------------- */

struct sl_json
sl_encode_takes(struct sl_encode *encode, enum sl_param param)
{
	encode->taken |= UINT64_C(1) << param;
	return encode->dialog->params[param].value;
}

void
sl_encode_param(struct sl_encode *encode, struct sl_json_writer *w, enum sl_param param,
                const char *name)
{
	struct sl_json value = sl_encode_takes(encode, param);

	if (value.type == SL_JSON_NONE)
		return;
	sl_json_key(w, name);
	sl_json_put_raw(w, value.raw);
}

void
sl_encode_extras(struct sl_encode *encode, struct sl_json_writer *w)
{
	for (const struct sl_extra *extra = encode->dialog->extras; extra; extra = extra->next)
		if (extra->top) {
			sl_json_key_slice(w, extra->key);
			sl_json_put_raw(w, extra->raw);
		}
	encode->took_extras = true;
}

struct sl_slice
sl_encode_name(struct sl_encode *encode, struct sl_slice name)
{
	struct sl_slice mapped = sl_tool_name_map(encode->codec->target_names, name, encode->arena);

	if (mapped.len == 0)
		encode->out->failed = true;
	return mapped;
}

struct sl_slice
sl_encode_id(struct sl_encode *encode, struct sl_slice call_id)
{
	const struct sl_id_rule *rule = encode->codec->target_ids;
	struct sl_slice mapped;

	if (encode->target->rules & SL_RULE_SHORT_CALL_IDS)
		rule = &sl_short_ids;
	mapped = sl_call_id_map(rule, call_id, encode->arena);
	if (mapped.len == 0 && call_id.len)
		encode->out->failed = true;
	return mapped;
}

bool
sl_encode_is_issuer(const struct sl_encode *encode, const struct sl_part *part)
{
	return part->signature.len && !part->token_only &&
	       sl_slice_is(part->issuer, encode->target->issuer);
}

struct sl_slice
sl_encode_args(struct sl_encode *encode, const struct sl_part *call)
{
	struct sl_slice args = sl_slice_trim(call->args);
	struct sl_buf wrapped;
	struct sl_json_writer w;

	if (!call->custom && (args.len == 0 || sl_slice_is(args, "null")))
		return SL_SLICE("{}");
	if (!call->custom && args.ptr[0] == '{' && sl_json_validate(args, NULL, NULL) == SL_OK)
		return args;
	if (!call->custom)
		sl_note(encode->notes, SL_NOTE_tool_arguments_wrapped, &call->where);
	sl_buf_init(&wrapped, call->args.len * 6 + 64);
	sl_json_writer_init(&w, &wrapped);
	sl_json_obj(&w);
	sl_json_str(&w, "input", call->args);
	sl_json_obj_end(&w);
	args = sl_arena_dup(encode->arena, sl_buf_slice(&wrapped));
	if (wrapped.failed || !args.ptr)
		encode->out->failed = true;
	sl_buf_release(&wrapped);
	return args;
}

bool
sl_encode_allows(struct sl_encode *encode, const struct sl_tool *tool)
{
	const struct sl_tool_choice *choice = &encode->dialog->choice;

	if (choice->name_count == 0 || choice->mode == SL_CHOICE_NAMED)
		return true;
	for (size_t i = 0; i < choice->name_count; i++)
		if (sl_slice_eq(choice->names[i], tool->name))
			return true;
	sl_note(encode->notes, SL_NOTE_tool_choice_changed, &choice->where);
	return false;
}

static bool
has_string(struct sl_json list, struct sl_slice raw_key)
{
	for (struct sl_json_iter it = sl_json_iter(list);
	     list.type == SL_JSON_ARRAY && sl_json_next(&it);)
		if (it.value.type == SL_JSON_STRING && it.value.raw.len == raw_key.len + 2 &&
		    memcmp(it.value.raw.ptr + 1, raw_key.ptr, raw_key.len) == 0)
			return true;
	return false;
}

/* Every object within lists its properties as required and allows no others. */
static bool
is_closed(struct sl_json schema, int depth)
{
	struct sl_json properties = sl_json_get(schema, "properties");

	if (depth == 0)
		return false;
	if (schema.type == SL_JSON_OBJECT &&
	    (sl_json_is(sl_json_get(schema, "type"), "object") ||
	     properties.type == SL_JSON_OBJECT) &&
	    sl_json_get(schema, "additionalProperties").type != SL_JSON_FALSE)
		return false;
	for (struct sl_json_iter it = sl_json_iter(properties);
	     properties.type == SL_JSON_OBJECT && sl_json_next(&it);)
		if (!has_string(sl_json_get(schema, "required"), it.key))
			return false;
	/* What stands in the schema, whatever it is called: schemas, lists and maps of them. */
	for (struct sl_json_iter it = sl_json_iter(schema); sl_json_next(&it);)
		if ((it.value.type == SL_JSON_OBJECT || it.value.type == SL_JSON_ARRAY) &&
		    !is_closed(it.value, depth - 1))
			return false;
	return true;
}

enum sl_tri
sl_encode_strict(struct sl_encode *encode, enum sl_tri strict, struct sl_slice schema,
                 enum sl_note_code code, const struct sl_where *where)
{
	enum { DEPTH_MAX = 32 };

	if (strict != SL_YES || strncmp(encode->dialog->origin, "openai", 6) == 0 ||
	    is_closed(sl_json_parse(schema.len ? schema : SL_SLICE("{}")), DEPTH_MAX))
		return strict;
	sl_note(encode->notes, code, where);
	return SL_NO;
}

void
sl_encode_no_description(struct sl_encode *encode)
{
	const struct sl_output *output = &encode->dialog->output;

	if (!sl_text_empty(output->description))
		sl_note(encode->notes, SL_NOTE_parameter_dropped, &output->described);
}

void
sl_encode_no_title(struct sl_encode *encode, const struct sl_part *part)
{
	if (!sl_text_empty(part->media.title))
		sl_note(encode->notes, SL_NOTE_file_name_changed, &part->where);
}

int64_t
sl_encode_max_tokens(struct sl_encode *encode, bool needed)
{
	const struct sl_param_value *param = &encode->dialog->params[SL_PARAM_MAX_TOKENS];
	int64_t most = encode->target->card ? encode->target->card->max_output_tokens : 0;
	int64_t limit = 0;

	if (sl_json_i64(sl_encode_takes(encode, SL_PARAM_MAX_TOKENS), &limit) && limit >= 0) {
		if (most > 0 && limit > most) {
			sl_note(encode->notes, SL_NOTE_max_tokens_clamped, &param->where);
			limit = most;
		}
		return limit;
	}
	if (encode->target->limit > 0)
		return encode->target->limit;
	if (!needed)
		return 0;
	if (encode->codec->task != SL_CODEC_COUNT) /* which sends no limit */
		sl_note(encode->notes, SL_NOTE_max_tokens_defaulted, NULL);
	return most > 0 ? most : 4096;
}

void
sl_encode_no_effort(struct sl_encode *encode)
{
	const struct sl_reasoning *reasoning = &encode->dialog->reasoning;

	if (reasoning->effort != SL_EFFORT_UNSET)
		sl_note(encode->notes, SL_NOTE_parameter_dropped, &reasoning->where);
}

void
sl_encode_no_name(struct sl_encode *encode, const struct sl_turn *turn)
{
	if (!sl_text_empty(turn->name))
		sl_note(encode->notes, SL_NOTE_name_dropped, &turn->where);
}

void
sl_encode_no_cache(struct sl_encode *encode, enum sl_cache cache, const struct sl_where *where)
{
	if (cache != SL_CACHE_NONE)
		sl_note(encode->notes, SL_NOTE_cache_marker_dropped, where);
}

bool
sl_encode_schema(struct sl_encode *encode, const struct sl_tool *tool, struct sl_slice *out)
{
	struct sl_json type = sl_json_get(sl_json_parse(tool->schema), "type");
	struct sl_slice inner = SL_SLICE_NONE;

	*out = tool->schema;
	if (tool->kind == SL_TOOL_CUSTOM) {
		sl_note(encode->notes, SL_NOTE_custom_tool_emulated, &tool->where);
		*out = SL_SLICE("{\"type\":\"object\",\"properties\":{\"input\":"
		                "{\"type\":\"string\"}},\"required\":[\"input\"]}");
		return true;
	}
	if (encode->codec->plain_tools && sl_tool_schema_has_union(tool->schema)) {
		*out = sl_tool_schema_merge(tool->schema, encode->arena);
		if (out->len > 0)
			sl_note(encode->notes, SL_NOTE_tool_schema_changed, &tool->where);
		else
			sl_encode_refuse(encode, &tool->where,
			                 "the target takes no anyOf, oneOf or allOf at the top of a "
			                 "tool's input, and these cannot be made one object.");
		return out->len > 0;
	}
	if (sl_json_is(type, "object"))
		return true;
	if (type.type != SL_JSON_NONE) {
		sl_encode_refuse(encode, &tool->where,
		                 "the parameters of a function must be an object.");
		return false;
	}
	if (tool->schema.len > 2)
		inner = sl_slice_trim(sl_slice_make(tool->schema.ptr + 1, tool->schema.len - 2));
	if (inner.len == 0) {
		*out = SL_SLICE("{\"type\":\"object\",\"properties\":{}}");
		return true;
	}
	sl_note(encode->notes, SL_NOTE_tool_schema_changed, &tool->where);
	*out = sl_arena_join(encode->arena, (struct sl_slice[]){
	    SL_SLICE("{\"type\":\"object\","), inner, SL_SLICE("}") }, 3);
	if (!out->ptr)
		encode->out->failed = true;
	return true;
}

struct sl_slice
sl_encode_format_words(struct sl_encode *encode)
{
	const struct sl_output *output = &encode->dialog->output;

	sl_note(encode->notes, SL_NOTE_format_emulated, &output->where);
	if (output->format == SL_FORMAT_SCHEMA && output->strict == SL_YES)
		sl_note(encode->notes, SL_NOTE_format_strict_dropped, &output->where);
	if (output->format == SL_FORMAT_JSON)
		return SL_SLICE("Answer with a single valid JSON object and nothing else: no "
		                "explanation and no code fence.");
	return sl_arena_join(encode->arena, (struct sl_slice[]){
	    SL_SLICE("Answer with a single valid JSON value that follows this JSON Schema, and "
	             "nothing else: no explanation and no code fence.\n"),
	    output->schema }, 2);
}

void
sl_encode_message(struct sl_json_writer *w, const char **open, const char *role)
{
	if (*open && role && strcmp(*open, role) == 0)
		return;
	if (*open) {
		sl_json_arr_end(w);
		sl_json_obj_end(w);
	}
	*open = role;
	if (!role)
		return;
	sl_json_obj(w);
	sl_json_str(w, "role", sl_slice_str(role));
	sl_json_key(w, "content");
	sl_json_arr(w);
}

static bool
has_calls(const struct sl_dialog *dialog)
{
	for (const struct sl_turn *turn = dialog->turns; turn; turn = turn->next)
		if (turn->role == SL_ROLE_TOOL)
			return true;
	return false;
}

const struct sl_dialog *
sl_encode_schema_tool(const struct sl_dialog *dialog, const struct sl_codec_ops *codec,
                      const struct sl_codec_target *target, struct sl_notes *notes,
                      struct sl_arena *arena)
{
	const struct sl_output *output = &dialog->output;
	struct sl_dialog *copy;
	struct sl_tool *tool;

	/* A forced tool and reasoning exclude each other, and the caller's tools come first. */
	if (!codec->schema_by_tool || (target->rules & SL_RULE_JSON_SCHEMA) ||
	    output->format != SL_FORMAT_SCHEMA || dialog->tools || has_calls(dialog) ||
	    dialog->reasoning.mode == SL_REASONING_ON ||
	    dialog->reasoning.mode == SL_REASONING_ADAPTIVE ||
	    sl_slice_search(target->model, SL_SLICE("claude")) < 0 ||
	    !sl_json_is(sl_json_get(sl_json_parse(output->schema), "type"), "object"))
		return NULL;
	copy = SL_ARENA_NEW(arena, struct sl_dialog);
	tool = SL_ARENA_NEW(arena, struct sl_tool);
	if (!copy || !tool)
		return NULL;
	*copy = *dialog;
	*tool = (struct sl_tool){ .kind = SL_TOOL_FUNCTION, .where = output->where,
		                  .name = SL_SLICE(SL_SCHEMA_TOOL), .schema = output->schema };
	tool->description = sl_text_empty(output->description)
	                        ? sl_text_plain(SL_SLICE("Gives the answer."))
	                        : output->description;
	copy->tools = copy->tools_last = tool;
	copy->choice = (struct sl_tool_choice){ .mode = SL_CHOICE_NAMED, .where = output->where,
		                                .names = &tool->name, .name_count = 1 };
	copy->output.format = SL_FORMAT_TEXT;
	sl_note(notes, SL_NOTE_format_emulated, &output->where);
	if (output->strict == SL_YES)
		sl_note(notes, SL_NOTE_format_strict_dropped, &output->where);
	return copy;
}

enum sl_err
sl_encode_refuse(struct sl_encode *encode, const struct sl_where *where, const char *message)
{
	struct sl_slice param = sl_where_param(where, encode->arena);

	sl_fault_set(encode->fault, SL_FAULT_UNSUPPORTED,
	             sl_arena_printf(encode->arena, "'%.*s' cannot be served by %s/%.*s: %s",
	                             SL_ARG(param), encode->target->provider,
	                             SL_ARG(encode->target->model), message));
	encode->fault->param = param;
	return SL_EUNSUPPORTED;
}

/* Signatures of texts and calls that somebody else made stay here. Those that the gateway
 * put behind an id are no member of the caller's. */
static void
note_signatures(struct sl_encode *encode)
{
	for (const struct sl_turn *turn = encode->dialog->turns; turn; turn = turn->next)
		for (const struct sl_part *part = turn->parts; part; part = part->next)
			if ((part->kind == SL_PART_TEXT || part->kind == SL_PART_TOOL_CALL) &&
			    part->signature.len && !part->behind_id && !part->token_only &&
			    !sl_slice_is(part->issuer, encode->target->issuer))
				sl_note(encode->notes, SL_NOTE_reasoning_stripped, &part->where);
}

enum sl_err
sl_encode_leftovers(struct sl_encode *encode)
{
	const struct sl_dialog *dialog = encode->dialog;

	note_signatures(encode);
	for (int i = 0; i < SL_PARAMS; i++) {
		const struct sl_param_value *param = &dialog->params[i];

		if (param->value.type == SL_JSON_NONE || (encode->taken >> i & 1))
			continue;
		switch (sl_param_loss((enum sl_param)i)) {
		case SL_LOSS_REFUSE:
			return sl_encode_refuse(encode, &param->where,
			                        "its API has nothing like this parameter, and the "
			                        "answer would not be what was asked for. Leave it out "
			                        "or choose another model.");
		case SL_LOSS_DROP:
			sl_note(encode->notes, SL_NOTE_parameter_dropped, &param->where);
			break;
		case SL_LOSS_SILENT:
			break;
		}
	}
	for (const struct sl_extra *extra = dialog->extras; extra; extra = extra->next)
		if (!(encode->took_extras && extra->top))
			sl_note(encode->notes, SL_NOTE_unknown_member, &extra->where);
	return SL_OK;
}

/* --- writers ------------------------------------------------------------------------ */

void
sl_codec_note_lost(const struct sl_codec_caller *caller)
{
	if (caller->notes)
		sl_note(caller->notes, SL_NOTE_output_dropped, NULL);
}

void
sl_codec_put_id(struct sl_json_writer *w, const struct sl_codec_caller *caller,
                const char *prefix, struct sl_text id)
{
	sl_json_key(w, "id");
	if (sl_text_empty(id))
		sl_json_put_str(w, sl_arena_join(caller->arena, (struct sl_slice[]){
		    sl_slice_str(prefix), caller->request_id }, 2));
	else
		sl_text_put(w, id);
}

void
sl_codec_put_model(struct sl_json_writer *w, const struct sl_codec_caller *caller,
                   struct sl_text model)
{
	sl_json_key(w, "model");
	if (sl_text_empty(model))
		sl_json_put_str(w, caller->model);
	else
		sl_text_put(w, model);
}

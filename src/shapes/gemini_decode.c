/* gemini_decode.c - a generateContent request as a dialog.
 *
 * Contents have two roles and no ids: a call may carry one, an answer to it need
 * not. An answer without one belongs to the first call of its name that nobody
 * answered, as the service itself pairs them; a call without one gets a number.
 */
#include "model/media.h"
#include "shapes/gemini_codec.h"

#include <string.h>

/* A call that waits for its answer. */
struct waiting {
	struct waiting *next;
	struct sl_slice name, id;
};

struct decoding {
	const struct sl_codec_input *in;
	struct sl_dialog            *dialog;
	struct sl_arena             *arena;
	struct sl_fault             *fault;
	struct waiting              *first, *last;
	uint32_t                     calls;
};

struct sl_slice
sl_gemini_camel(struct sl_slice key, struct sl_arena *arena)
{
	char *out;
	size_t len = 0;

	if (sl_slice_find(key, '_') < 0)
		return key;
	out = sl_arena_alloc(arena, key.len);
	if (!out)
		return key;
	for (size_t i = 0; i < key.len; i++) {
		char c = key.ptr[i];

		if (c == '_' && i + 1 < key.len && i > 0) {
			c = key.ptr[++i];
			if (c >= 'a' && c <= 'z')
				c = (char)(c & ~0x20);
		}
		out[len++] = c;
	}
	return sl_slice_make(out, len);
}

/* One member of an object, under the name that the API documents. */
struct member {
	struct sl_slice key;
	struct sl_json  value;
	struct sl_where where;
};

static struct member
member_of(struct decoding *d, const struct sl_json_iter *it, const struct sl_where *up)
{
	struct member member = { .value = it->value };
	struct sl_slice key = SL_SLICE_NONE;

	if (!sl_json_unescape(it->key, d->arena, &key))
		d->dialog->failed = true;
	member.where = sl_where_member(up, key);
	member.key = sl_gemini_camel(key, d->arena);
	return member;
}

static struct sl_json
get(struct sl_json object, const char *camel, const char *snake)
{
	struct sl_json value = sl_json_get(object, camel);

	return value.type == SL_JSON_NONE ? sl_json_get(object, snake) : value;
}

static bool
refuse(struct decoding *d, const struct sl_where *where, const char *message)
{
	return sl_codec_refuse(d->fault, SL_FAULT_BAD_TYPE, d->dialog, where, message);
}

static void
keep(struct decoding *d, const struct member *member)
{
	sl_dialog_extra(d->dialog, member->where, member->key, member->value.raw);
}

/* What no translation knows of an object; known: as sl_codec_lists has them. */
static void
keep_rest(struct decoding *d, struct sl_json object, const struct sl_where *where,
          const char *known)
{
	const struct sl_where *up = NULL;

	if (object.type != SL_JSON_OBJECT)
		return;
	for (struct sl_json_iter it = sl_json_iter(object); sl_json_next(&it);) {
		struct member member = member_of(d, &it, NULL);

		if (sl_codec_lists(known, member.key) || sl_codec_says_nothing(it.value))
			continue;
		if (!up)
			up = sl_dialog_where(d->dialog, *where);
		member = member_of(d, &it, up);
		keep(d, &member);
	}
}

/* Raw JSON made here. */
static struct sl_json
made(struct decoding *d, struct sl_slice json)
{
	if (!json.ptr)
		d->dialog->failed = true;
	return json.ptr ? sl_json_parse(json) : (struct sl_json){ .type = SL_JSON_NONE };
}

static struct sl_slice
lower(struct decoding *d, struct sl_slice text)
{
	char *copy = sl_arena_strdup(d->arena, text);

	if (!copy) {
		d->dialog->failed = true;
		return SL_SLICE_NONE;
	}
	for (char *c = copy; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c | 0x20);
	return sl_slice_make(copy, text.len);
}

/* --- parts ---------------------------------------------------------------------------- */

/* The protocol takes both alphabets of base64, and Google's Python SDK writes the
 * one for URLs; other APIs know the plain one only. */
static struct sl_slice
plain_base64(struct decoding *d, struct sl_slice data)
{
	char *copy;

	if (sl_slice_find(data, '-') < 0 && sl_slice_find(data, '_') < 0)
		return data;
	copy = sl_arena_strdup(d->arena, data);
	if (!copy) {
		d->dialog->failed = true;
		return data;
	}
	for (size_t i = 0; i < data.len; i++) {
		if (copy[i] == '-')
			copy[i] = '+';
		else if (copy[i] == '_')
			copy[i] = '/';
	}
	return sl_slice_make(copy, data.len);
}

/* The levels that other APIs have as well; else it is a member that nobody knows. */
static bool
take_detail(struct sl_json resolution, struct sl_part *part)
{
	struct sl_json level = sl_json_get(resolution, "level");

	if (sl_json_get(resolution, "numTokens").type > SL_JSON_NULL)
		return false;
	if (sl_json_is(level, "MEDIA_RESOLUTION_LOW"))
		part->media.detail = SL_SLICE("low");
	else if (sl_json_is(level, "MEDIA_RESOLUTION_HIGH"))
		part->media.detail = SL_SLICE("high");
	return part->media.detail.len > 0;
}

/* Other APIs have names of documents only. */
static void
take_title(struct decoding *d, const struct member *member, struct sl_part *part)
{
	part->media.title = sl_text_json(get(member->value, "displayName", "display_name"));
	if (part->kind != SL_PART_DOCUMENT && !sl_text_empty(part->media.title))
		sl_note(d->in->notes, SL_NOTE_file_name_changed,
		        sl_dialog_where(d->dialog, member->where));
}

static bool
take_inline(struct decoding *d, const struct member *member, struct sl_part *part)
{
	struct sl_slice type = SL_SLICE_NONE, data;

	keep_rest(d, member->value, &member->where, "mimeType data displayName");
	sl_json_string(get(member->value, "mimeType", "mime_type"), d->arena, &type);
	if (!sl_json_string(sl_json_get(member->value, "data"), d->arena, &data) ||
	    !sl_media_from_base64(type, plain_base64(d, data), d->arena, d->in->notes, part))
		return refuse(d, &member->where, "expected mimeType and data, in base64.");
	take_title(d, member, part);
	return true;
}

static bool
take_file(struct decoding *d, const struct member *member, struct sl_part *part)
{
	struct sl_slice type = SL_SLICE_NONE, uri;

	keep_rest(d, member->value, &member->where, "mimeType fileUri displayName");
	if (!sl_json_string(get(member->value, "fileUri", "file_uri"), d->arena, &uri))
		return refuse(d, &member->where, "expected a fileUri.");
	sl_json_string(get(member->value, "mimeType", "mime_type"), d->arena, &type);
	part->media.type = lower(d, type);
	part->media.data = uri;
	part->media.source = sl_slice_istarts(uri, SL_SLICE("http")) ? SL_MEDIA_URL : SL_MEDIA_URI;
	part->kind = SL_PART_DOCUMENT;
	if (sl_slice_starts(part->media.type, SL_SLICE("image/")))
		part->kind = SL_PART_IMAGE;
	else if (sl_slice_starts(part->media.type, SL_SLICE("audio/")))
		part->kind = SL_PART_AUDIO;
	else if (sl_slice_starts(part->media.type, SL_SLICE("video/")))
		part->kind = SL_PART_VIDEO;
	take_title(d, member, part);
	return true;
}

/* Arguments that came piece by piece and are sent back that way, as one object. */
static bool
join_pieces(struct decoding *d, struct sl_json pieces, struct sl_slice *out)
{
	struct sl_gemini_args args;
	struct sl_buf text;
	bool good;

	sl_buf_init(&text, d->in->input->body.len * 2 + 2);
	sl_gemini_args_begin(&args);
	good = sl_gemini_args_add(&args, pieces, d->arena, &text);
	if (good)
		sl_gemini_args_end(&args, &text);
	sl_gemini_args_release(&args);
	good = good && !text.failed && sl_json_validate(sl_buf_slice(&text), NULL, NULL) == SL_OK;
	if (good)
		*out = sl_arena_dup(d->arena, sl_buf_slice(&text));
	sl_buf_release(&text);
	if (good && !out->ptr)
		d->dialog->failed = true;
	return good;
}

static bool
take_call(struct decoding *d, const struct member *member, struct sl_part *part)
{
	struct sl_json id = sl_json_get(member->value, "id");
	struct sl_json args = sl_json_get(member->value, "args");
	struct sl_json pieces = get(member->value, "partialArgs", "partial_args");
	struct waiting *waiting = SL_ARENA_NEW(d->arena, struct waiting);

	if (!sl_json_string(sl_json_get(member->value, "name"), d->arena, &part->name))
		return refuse(d, &member->where, "expected a name.");
	if (args.type > SL_JSON_NULL && args.type != SL_JSON_OBJECT)
		return refuse(d, &member->where, "expected args to be an object.");
	part->kind = SL_PART_TOOL_CALL;
	keep_rest(d, member->value, &member->where, "id name args partialArgs");
	part->args = args.type == SL_JSON_OBJECT ? args.raw : SL_SLICE("{}");
	if (!sl_codec_says_nothing(pieces) &&
	    (!sl_codec_says_nothing(args) || !join_pieces(d, pieces, &part->args)))
		return refuse(d, &member->where, "expected args, or partialArgs that make one "
		                                 "object.");
	d->calls++;
	if (id.type != SL_JSON_STRING || id.raw.len <= 2)
		part->call_id = sl_arena_printf(d->arena, "call_%u", d->calls);
	else if (!sl_codec_call_id(d->in, d->dialog, id, part))
		d->dialog->failed = true;
	if (!waiting) {
		d->dialog->failed = true;
		return true;
	}
	waiting->name = part->name;
	waiting->id = part->call_id;
	if (d->last)
		d->last->next = waiting;
	else
		d->first = waiting;
	d->last = waiting;
	return true;
}

/* The call that a result answers is not waited for any longer. */
static struct sl_slice
answered(struct decoding *d, struct sl_slice name, struct sl_slice id)
{
	struct waiting *before = NULL;

	for (struct waiting *w = d->first; w; before = w, w = w->next) {
		if (id.len ? !sl_slice_eq(w->id, id) : !sl_slice_eq(w->name, name))
			continue;
		if (before)
			before->next = w->next;
		else
			d->first = w->next;
		if (d->last == w)
			d->last = before;
		return w->id;
	}
	return id;
}

/* {"output": "text"} and {"error": ...} are the documented forms; any other object
 * is what the function said. */
static void
take_response(struct decoding *d, struct sl_json response, struct sl_part *result,
              struct sl_where where)
{
	struct sl_json_iter it = sl_json_iter(response);
	struct sl_part *text = sl_part_part(d->dialog, result, SL_PART_TEXT, where);
	struct sl_slice key = SL_SLICE_NONE;
	struct sl_json only = { .type = SL_JSON_NONE };
	size_t count = 0;

	for (; sl_json_next(&it); count++) {
		sl_json_unescape(it.key, d->arena, &key);
		only = it.value;
	}
	text->text = sl_text_plain(response.raw);
	if (count != 1 || only.type != SL_JSON_STRING)
		return;
	if (sl_slice_is(key, "error"))
		result->is_error = SL_YES;
	if (sl_slice_is(key, "output") || sl_slice_is(key, "error"))
		text->text = sl_text_json(only);
}

static bool
take_result(struct decoding *d, const struct member *member, struct sl_part *part)
{
	struct sl_json response = sl_json_get(member->value, "response");
	struct sl_json parts = sl_json_get(member->value, "parts");
	const struct sl_where *up = sl_dialog_where(d->dialog, member->where);
	const struct sl_where *list =
	    sl_dialog_where(d->dialog, sl_where_member(up, SL_SLICE("parts")));

	if (!sl_json_string(sl_json_get(member->value, "name"), d->arena, &part->name))
		return refuse(d, &member->where, "expected a name.");
	if (response.type != SL_JSON_OBJECT)
		return refuse(d, &member->where, "expected response to be an object.");
	part->kind = SL_PART_TOOL_RESULT;
	keep_rest(d, member->value, &member->where, "id name response parts");
	if (sl_json_get(member->value, "id").type == SL_JSON_STRING)
		sl_codec_call_id(d->in, d->dialog, sl_json_get(member->value, "id"), part);
	part->call_id = answered(d, part->name, part->call_id);
	take_response(d, response, part, member->where);
	for (struct sl_json_iter it = sl_json_iter(parts);
	     parts.type == SL_JSON_ARRAY && sl_json_next(&it);) {
		struct member inner = { .where = sl_where_element(list, it.index) };

		keep_rest(d, it.value, &inner.where, "inlineData");
		inner.value = get(it.value, "inlineData", "inline_data");
		if (inner.value.type == SL_JSON_OBJECT &&
		    !take_inline(d, &inner, sl_part_part(d->dialog, part, SL_PART_IMAGE,
		                                         inner.where)))
			return false;
	}
	return true;
}

static bool
take_data(struct decoding *d, const struct member *member, struct sl_part *part)
{
	if (sl_slice_is(member->key, "text")) {
		part->text = sl_text_json(member->value);
		return member->value.type == SL_JSON_STRING ||
		       refuse(d, &member->where, "expected a string.");
	}
	if (sl_slice_is(member->key, "inlineData"))
		return take_inline(d, member, part);
	if (sl_slice_is(member->key, "fileData"))
		return take_file(d, member, part);
	if (sl_slice_is(member->key, "functionCall"))
		return take_call(d, member, part);
	if (sl_slice_is(member->key, "functionResponse"))
		return take_result(d, member, part);
	return true;
}

static bool
is_data(struct sl_slice key)
{
	return sl_slice_is(key, "text") || sl_slice_is(key, "inlineData") ||
	       sl_slice_is(key, "fileData") || sl_slice_is(key, "functionCall") ||
	       sl_slice_is(key, "functionResponse");
}

static bool
take_part(struct decoding *d, struct sl_json value, struct sl_turn *turn, struct sl_where where)
{
	const struct sl_where *up = sl_dialog_where(d->dialog, where);
	struct sl_part *part = sl_turn_part(d->dialog, turn, SL_PART_TEXT, where);
	struct sl_slice signature = SL_SLICE_NONE;
	bool thought = false;

	part->text = sl_text_plain(SL_SLICE_NONE);
	for (struct sl_json_iter it = sl_json_iter(value); sl_json_next(&it);) {
		struct member member = member_of(d, &it, up);

		if (it.value.type == SL_JSON_NULL)
			continue;
		if (is_data(member.key)) {
			if (!take_data(d, &member, part))
				return false;
		} else if (sl_slice_is(member.key, "thought")) {
			thought = sl_json_true(it.value);
		} else if (sl_slice_is(member.key, "thoughtSignature")) {
			sl_json_string(it.value, d->arena, &signature);
		} else if (sl_slice_is(member.key, "executableCode") ||
		           sl_slice_is(member.key, "codeExecutionResult")) {
			part->kind = SL_PART_OPAQUE;
			part->raw = value.raw;
		} else if (!sl_slice_is(member.key, "mediaResolution") ||
		           !take_detail(it.value, part)) {
			keep(d, &member);
		}
	}
	if (thought && part->kind == SL_PART_TEXT) {
		part->kind = SL_PART_REASONING;
		part->summary = true;
	}
	if (signature.len && !sl_slice_is(signature, SL_GEMINI_NO_SIGNATURE))
		sl_codec_signature(d->in, d->dialog, signature, "gemini", part);
	return true;
}

/* A client that repeats the chunks of a stream has a thought in many parts, the
 * signature on the last: they are one again. */
static void
join_thoughts(struct decoding *d, struct sl_turn *turn)
{
	struct sl_buf text;

	for (struct sl_part *first = turn->parts; first; first = first->next) {
		struct sl_part *last = first;

		if (first->kind != SL_PART_REASONING)
			continue;
		while (last->signature.len == 0 && last->issuer.len == 0 && last->next &&
		       last->next->kind == SL_PART_REASONING)
			last = last->next;
		if (last == first)
			continue;
		sl_buf_init(&text, d->in->input->body.len + 2);
		sl_buf_append_char(&text, '"');
		for (const struct sl_part *part = first; part != last->next; part = part->next)
			sl_text_append(&text, part->text);
		sl_buf_append_char(&text, '"');
		first->text = (struct sl_text){ sl_arena_dup(d->arena, sl_buf_slice(&text)), true };
		if (text.failed || !first->text.raw.ptr)
			d->dialog->failed = true;
		sl_buf_release(&text);
		first->signature = last->signature;
		first->issuer = last->issuer;
		first->redacted = last->redacted;
		first->token_only = last->token_only;
		first->next = last->next;
		if (turn->parts_last == last)
			turn->parts_last = first;
	}
}

/* Answers of functions make a turn of their own, before what the user says. */
static bool
take_content(struct decoding *d, struct sl_json content, struct sl_where where,
             enum sl_role fixed)
{
	const struct sl_where *up = sl_dialog_where(d->dialog, where);
	struct sl_json role = sl_json_get(content, "role");
	struct sl_json parts = sl_json_get(content, "parts");
	const struct sl_where *list = sl_dialog_where(
	    d->dialog, sl_where_member(up, SL_SLICE("parts")));
	struct sl_turn *turn = NULL, *results = NULL;
	enum sl_role as = sl_json_is(role, "model") ? SL_ROLE_ASSISTANT : SL_ROLE_USER;

	if (content.type != SL_JSON_OBJECT)
		return refuse(d, &where, "expected an object with role and parts.");
	if (parts.type != SL_JSON_ARRAY)
		return refuse(d, list, "expected an array of parts.");
	keep_rest(d, content, &where, "role parts");
	if (fixed == SL_ROLE_SYSTEM)
		as = SL_ROLE_SYSTEM;
	else if (role.type > SL_JSON_NULL && !sl_json_is(role, "model") &&
	         !sl_json_is(role, "user") && !sl_json_is(role, "function"))
		return refuse(d, &where, "use a valid role: user, model.");
	for (struct sl_json_iter it = sl_json_iter(parts); sl_json_next(&it);) {
		bool result = get(it.value, "functionResponse", "function_response").type ==
		              SL_JSON_OBJECT;
		struct sl_turn **at = result ? &results : &turn;

		if (it.value.type != SL_JSON_OBJECT)
			return refuse(d, list, "expected objects.");
		if (!*at)
			*at = sl_dialog_turn(d->dialog, result ? SL_ROLE_TOOL : as, where);
		if (!take_part(d, it.value, *at, sl_where_element(list, it.index)))
			return false;
	}
	if (turn && as == SL_ROLE_ASSISTANT)
		join_thoughts(d, turn);
	return true;
}

static bool
take_contents(struct decoding *d, const struct member *member)
{
	const struct sl_where *up = sl_dialog_where(d->dialog, member->where);

	if (member->value.type != SL_JSON_ARRAY)
		return refuse(d, &member->where, "expected an array of contents.");
	for (struct sl_json_iter it = sl_json_iter(member->value); sl_json_next(&it);)
		if (!take_content(d, it.value, sl_where_element(up, it.index), SL_ROLE_USER))
			return false;
	return true;
}

/* --- tools ------------------------------------------------------------------------------ */

static bool
take_declaration(struct decoding *d, struct sl_json value, struct sl_where where)
{
	const struct sl_where *up = sl_dialog_where(d->dialog, where);
	struct sl_tool *tool = sl_dialog_tool(d->dialog, SL_TOOL_FUNCTION, where);

	for (struct sl_json_iter it = sl_json_iter(value); sl_json_next(&it);) {
		struct member member = member_of(d, &it, up);

		if (sl_slice_is(member.key, "name"))
			sl_json_string(it.value, d->arena, &tool->name);
		else if (sl_slice_is(member.key, "description"))
			tool->description = sl_text_json(it.value);
		else if (sl_slice_is(member.key, "parametersJsonSchema"))
			tool->schema = it.value.raw;
		else if (sl_slice_is(member.key, "parameters"))
			tool->schema = sl_gemini_schema_from(it.value.raw, d->arena);
		else if (it.value.type != SL_JSON_NULL)
			keep(d, &member);
	}
	return tool->name.len > 0 || refuse(d, &where, "expected a name.");
}

static bool
take_tools(struct decoding *d, const struct member *tools)
{
	const struct sl_where *up = sl_dialog_where(d->dialog, tools->where);

	if (tools->value.type != SL_JSON_ARRAY)
		return refuse(d, &tools->where, "expected an array.");
	for (struct sl_json_iter tool = sl_json_iter(tools->value); sl_json_next(&tool);) {
		const struct sl_where *at =
		    sl_dialog_where(d->dialog, sl_where_element(up, tool.index));

		for (struct sl_json_iter it = sl_json_iter(tool.value); sl_json_next(&it);) {
			struct member member = member_of(d, &it, at);
			const struct sl_where *list = sl_dialog_where(d->dialog, member.where);

			if (!sl_slice_is(member.key, "functionDeclarations")) {
				struct sl_tool *hosted =
				    sl_dialog_tool(d->dialog, SL_TOOL_HOSTED, member.where);

				hosted->name = member.key;
				hosted->raw = tool.value.raw;
				continue;
			}
			for (struct sl_json_iter f = sl_json_iter(it.value); sl_json_next(&f);)
				if (!take_declaration(d, f.value, sl_where_element(list, f.index)))
					return false;
		}
	}
	return true;
}

static void
take_choice(struct decoding *d, const struct member *config)
{
	struct sl_tool_choice *choice = &d->dialog->choice;
	struct sl_json inner = get(config->value, "functionCallingConfig",
	                           "function_calling_config");
	struct sl_json mode = sl_json_get(inner, "mode");
	struct sl_json names = get(inner, "allowedFunctionNames", "allowed_function_names");

	choice->where = config->where;
	keep_rest(d, config->value, &config->where, "functionCallingConfig");
	keep_rest(d, inner,
	          sl_dialog_where(d->dialog,
	                          sl_where_member(sl_dialog_where(d->dialog, config->where),
	                                          SL_SLICE("functionCallingConfig"))),
	          "mode allowedFunctionNames");
	if (sl_json_is(mode, "NONE"))
		choice->mode = SL_CHOICE_NONE;
	else if (sl_json_is(mode, "ANY"))
		choice->mode = SL_CHOICE_REQUIRED;
	else if (mode.type == SL_JSON_STRING)
		choice->mode = SL_CHOICE_AUTO;
	if (names.type != SL_JSON_ARRAY)
		return;
	choice->names = SL_ARENA_ARRAY(d->arena, struct sl_slice, SL_CHOICE_NAMES_MAX);
	if (!choice->names) {
		d->dialog->failed = true;
		return;
	}
	for (struct sl_json_iter it = sl_json_iter(names);
	     sl_json_next(&it) && choice->name_count < SL_CHOICE_NAMES_MAX;)
		if (sl_json_string(it.value, d->arena, &choice->names[choice->name_count]))
			choice->name_count++;
	if (choice->mode == SL_CHOICE_REQUIRED && choice->name_count == 1)
		choice->mode = SL_CHOICE_NAMED;
}

/* --- generationConfig -------------------------------------------------------------------- */

static void
take_thinking(struct decoding *d, const struct member *member)
{
	struct sl_reasoning *reasoning = &d->dialog->reasoning;
	struct sl_json show = get(member->value, "includeThoughts", "include_thoughts");
	struct sl_json budget = get(member->value, "thinkingBudget", "thinking_budget");
	struct sl_json level = get(member->value, "thinkingLevel", "thinking_level");
	struct sl_slice name;
	int64_t tokens;

	reasoning->where = member->where;
	keep_rest(d, member->value, &member->where, "includeThoughts thinkingBudget thinkingLevel");
	reasoning->show = sl_codec_tri(show);
	if (show.type == SL_JSON_TRUE)
		reasoning->mode = SL_REASONING_ON;
	if (sl_json_i64(budget, &tokens)) {
		reasoning->mode = tokens == 0 ? SL_REASONING_OFF : SL_REASONING_ON;
		reasoning->budget_tokens = tokens > 0 ? tokens : -1;
	}
	if (sl_json_string(level, d->arena, &name)) {
		reasoning->mode = SL_REASONING_ON;
		reasoning->effort = sl_effort_parse(made(d, sl_arena_printf(
		    d->arena, "\"%.*s\"", SL_ARG(lower(d, name)))));
	}
}

static void
take_modalities(struct decoding *d, const struct member *member)
{
	struct sl_json only = { .type = SL_JSON_NONE };
	size_t count = 0;

	for (struct sl_json_iter it = sl_json_iter(member->value);
	     member->value.type == SL_JSON_ARRAY && sl_json_next(&it); count++)
		only = it.value;
	if (count == 1 && (sl_json_is(only, "TEXT") || sl_json_is(only, "text")))
		return;
	sl_dialog_param(d->dialog, SL_PARAM_MODALITIES,
	                made(d, lower(d, member->value.raw)), member->where);
}

static bool
is_zero(struct sl_json value)
{
	double number;

	return sl_json_f64(value, &number) && number >= 0 && number <= 0;
}

static void
take_format(struct decoding *d, const struct member *member)
{
	struct sl_output *output = &d->dialog->output;

	output->where = member->where;
	if (sl_slice_is(member->key, "responseMimeType")) {
		if (sl_json_is(member->value, "application/json")) {
			if (output->format == SL_FORMAT_TEXT)
				output->format = SL_FORMAT_JSON;
		} else if (!sl_json_is(member->value, "text/plain")) {
			keep(d, member);
		}
		return;
	}
	output->format = SL_FORMAT_SCHEMA;
	output->strict = SL_YES; /* this API holds to every schema */
	output->schema = sl_slice_is(member->key, "responseSchema")
	                     ? sl_gemini_schema_from(member->value.raw, d->arena)
	                     : member->value.raw;
}

static bool
take_setting(struct decoding *d, const struct member *member)
{
	static const struct {
		const char   *name;
		enum sl_param param;
		bool          zero_is_none;
		int64_t       neutral; /* the value that says nothing; -1: none does */
	} rows[] = {
		{ "temperature", SL_PARAM_TEMPERATURE, false, -1 },
		{ "topP", SL_PARAM_TOP_P, false, -1 },
		{ "topK", SL_PARAM_TOP_K, false, -1 },
		{ "seed", SL_PARAM_SEED, false, -1 },
		{ "maxOutputTokens", SL_PARAM_MAX_TOKENS, false, -1 },
		{ "stopSequences", SL_PARAM_STOP, false, -1 },
		{ "candidateCount", SL_PARAM_N, false, 1 },
		{ "presencePenalty", SL_PARAM_PRESENCE_PENALTY, true, -1 },
		{ "frequencyPenalty", SL_PARAM_FREQUENCY_PENALTY, true, -1 },
		{ "logprobs", SL_PARAM_TOP_LOGPROBS, true, -1 },
	};
	int64_t number;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!sl_slice_is(member->key, rows[i].name))
			continue;
		if ((rows[i].zero_is_none && is_zero(member->value)) ||
		    (rows[i].neutral >= 0 && sl_json_i64(member->value, &number) &&
		     number == rows[i].neutral) ||
		    (member->value.type == SL_JSON_ARRAY && member->value.raw.len <= 2))
			return true;
		sl_dialog_param(d->dialog, rows[i].param, member->value, member->where);
		return true;
	}
	return false;
}

static void
take_config(struct decoding *d, const struct member *config)
{
	const struct sl_where *up = sl_dialog_where(d->dialog, config->where);

	for (struct sl_json_iter it = sl_json_iter(config->value); sl_json_next(&it);) {
		struct member member = member_of(d, &it, up);

		if (it.value.type == SL_JSON_NULL || take_setting(d, &member))
			continue;
		if (sl_slice_is(member.key, "thinkingConfig")) {
			take_thinking(d, &member);
		} else if (sl_slice_is(member.key, "responseModalities")) {
			take_modalities(d, &member);
		} else if (sl_slice_is(member.key, "responseLogprobs")) {
			if (sl_json_true(it.value))
				sl_dialog_param(d->dialog, SL_PARAM_LOGPROBS, it.value,
				                member.where);
		} else if (sl_slice_is(member.key, "responseMimeType") ||
		           sl_slice_is(member.key, "responseSchema") ||
		           sl_slice_is(member.key, "responseJsonSchema")) {
			take_format(d, &member);
		} else {
			keep(d, &member);
		}
	}
}

/* --- the whole ------------------------------------------------------------------------------ */

static bool
take_top(struct decoding *d, const struct member *member)
{
	static const struct {
		const char   *name;
		enum sl_param param;
	} rows[] = {
		{ "safetySettings", SL_PARAM_SAFETY_SETTINGS },
		{ "cachedContent", SL_PARAM_CACHED_CONTENT },
		{ "labels", SL_PARAM_METADATA },
		{ "serviceTier", SL_PARAM_SERVICE_TIER },
		{ "store", SL_PARAM_STORE },
	};

	if (sl_slice_is(member->key, "systemInstruction"))
		return take_content(d, member->value, member->where, SL_ROLE_SYSTEM);
	if (sl_slice_is(member->key, "tools"))
		return take_tools(d, member);
	if (sl_slice_is(member->key, "toolConfig")) {
		take_choice(d, member);
		return true;
	}
	if (sl_slice_is(member->key, "generationConfig")) {
		take_config(d, member);
		return true;
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (sl_slice_is(member->key, rows[i].name)) {
			if (rows[i].param != SL_PARAM_STORE || sl_json_true(member->value))
				sl_dialog_param(d->dialog, rows[i].param, member->value,
				                member->where);
			return true;
		}
	if (!sl_slice_is(member->key, "model"))
		keep(d, member);
	return true;
}

bool
sl_gemini_decode(const struct sl_codec_input *in, struct sl_dialog *dialog,
                 struct sl_fault *fault)
{
	return sl_gemini_decode_within(in, NULL, dialog, fault);
}

bool
sl_gemini_decode_within(const struct sl_codec_input *in, const struct sl_where *up,
                        struct sl_dialog *dialog, struct sl_fault *fault)
{
	struct decoding d = { .in = in, .dialog = dialog, .arena = dialog->arena, .fault = fault };
	struct sl_json body = sl_json_parse(in->input->body);
	struct member contents = { .where = sl_where_member(up, SL_SLICE("contents")) };

	sl_dialog_init(dialog, "gemini_generate", dialog->arena);
	dialog->stream = sl_slice_is(sl_slice_str(in->input->verb), "streamGenerateContent");
	dialog->wants_usage = true;
	for (struct sl_json_iter it = sl_json_iter(body); sl_json_next(&it);) {
		struct member member = member_of(&d, &it, up);

		if (it.value.type == SL_JSON_NULL)
			continue;
		if (sl_slice_is(member.key, "contents"))
			contents = member; /* behind the instruction, wherever that stands */
		else if (!take_top(&d, &member))
			return false;
	}
	return take_contents(&d, &contents);
}

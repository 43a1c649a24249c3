/* responses_encode.c - a dialog as a Responses request.
 *
 * Nothing is kept at the provider (store: false): reasoning comes back encrypted
 * and goes with the next request. A reasoning item must be followed by what it was
 * thought for; one that is not is left out.
 */
#include "shapes/responses_codec.h"

#include <stdio.h>

enum { LEAST_MAX_TOKENS = 16 };

struct encoding {
	struct sl_encode     *encode;
	struct sl_json_writer w;
	enum sl_err           err;
};

static bool
rule(const struct encoding *e, uint32_t flag)
{
	return (e->encode->target->rules & flag) != 0;
}

static void
refuse(struct encoding *e, const struct sl_where *where, const char *message)
{
	if (e->err == SL_OK)
		e->err = sl_encode_refuse(e->encode, where, message);
}

static bool
is_ours(const struct sl_part *part)
{
	return part->origin && sl_slice_is(sl_slice_str(part->origin), SL_RESPONSES_ORIGIN);
}

/* --- parts ----------------------------------------------------------------------------- */

static void
put_text(struct encoding *e, const char *type, struct sl_text text)
{
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", sl_slice_str(type));
	sl_json_key(&e->w, "text");
	sl_text_put(&e->w, text);
	sl_json_obj_end(&e->w);
}

static void
put_data_url(struct encoding *e, const char *key, const struct sl_media *media)
{
	sl_json_str(&e->w, key,
	            sl_arena_join(e->encode->arena, (struct sl_slice[]){
	                SL_SLICE("data:"), media->type, SL_SLICE(";base64,"), media->data }, 4));
}

static void
put_image(struct encoding *e, const struct sl_part *part)
{
	const struct sl_media *media = &part->media;

	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("input_image"));
	sl_json_str(&e->w, "detail", media->detail.len ? media->detail : SL_SLICE("auto"));
	if (media->source == SL_MEDIA_INLINE)
		put_data_url(e, "image_url", media);
	else if (media->source == SL_MEDIA_URL)
		sl_json_str(&e->w, "image_url", media->data);
	else if (media->source == SL_MEDIA_FILE_ID && is_ours(part))
		sl_json_str(&e->w, "file_id", media->data);
	else
		refuse(e, &part->where, "a file id or storage of another provider is out of its "
		                        "reach. Send the picture itself, in base64.");
	sl_json_obj_end(&e->w);
}

static void
put_input(struct encoding *e, const struct sl_part *part);

static void
put_document(struct encoding *e, const struct sl_part *part)
{
	const struct sl_media *media = &part->media;

	if (media->citations)
		sl_note(e->encode->notes, SL_NOTE_citations_dropped, &part->where);
	if (media->source == SL_MEDIA_TEXT || media->source == SL_MEDIA_PARTS) {
		sl_note(e->encode->notes, SL_NOTE_document_as_text, &part->where);
		if (media->source == SL_MEDIA_TEXT)
			put_text(e, "input_text", part->text);
		for (const struct sl_part *inner = part->parts; inner; inner = inner->next)
			put_input(e, inner);
		return;
	}
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("input_file"));
	if (media->source == SL_MEDIA_INLINE) {
		sl_json_key(&e->w, "filename");
		sl_text_put(&e->w, sl_text_empty(media->title) ? sl_text_plain(SL_SLICE("file"))
		                                              : media->title);
		put_data_url(e, "file_data", media);
	} else if (media->source == SL_MEDIA_URL) {
		sl_json_str(&e->w, "file_url", media->data);
	} else if (media->source == SL_MEDIA_FILE_ID && is_ours(part)) {
		sl_json_str(&e->w, "file_id", media->data);
	} else {
		refuse(e, &part->where, "a file id or storage of another provider is out of its "
		                        "reach. Send the file itself, in base64.");
	}
	sl_json_obj_end(&e->w);
}

/* What a user's message, or the output of a function, may consist of. */
static void
put_input(struct encoding *e, const struct sl_part *part)
{
	sl_encode_no_cache(e->encode, part->cache, &part->where);
	switch (part->kind) {
	case SL_PART_TEXT:
	case SL_PART_REFUSAL:
		put_text(e, "input_text", part->text);
		break;
	case SL_PART_IMAGE:
		put_image(e, part);
		break;
	case SL_PART_DOCUMENT:
		put_document(e, part);
		break;
	case SL_PART_AUDIO:
	case SL_PART_VIDEO:
		refuse(e, &part->where, "this API takes text, pictures and files only.");
		break;
	default:
		sl_note(e->encode->notes, SL_NOTE_part_dropped, &part->where);
	}
}

/* --- items ------------------------------------------------------------------------------- */

static void
put_message(struct encoding *e, const struct sl_turn *turn)
{
	const char *role = "user";

	if (turn->role == SL_ROLE_SYSTEM)
		role = "system";
	else if (turn->role == SL_ROLE_DEVELOPER)
		role = "developer";
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("message"));
	sl_json_str(&e->w, "role", sl_slice_str(role));
	sl_json_key(&e->w, "content");
	sl_json_arr(&e->w);
	for (const struct sl_part *part = turn->parts; part; part = part->next)
		put_input(e, part);
	sl_json_arr_end(&e->w);
	sl_json_obj_end(&e->w);
}

/* The id must look like one of the provider's; without storage it is only a name. */
static struct sl_slice
reasoning_id(struct encoding *e, const struct sl_part *part)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	if (sl_slice_starts(part->item_id, SL_SLICE("rs")))
		return part->item_id;
	for (size_t i = 0; i < part->signature.len; i++)
		hash = (hash ^ (unsigned char)part->signature.ptr[i]) * UINT64_C(1099511628211);
	return sl_arena_printf(e->encode->arena, "rs_%016llx%016llx", (unsigned long long)hash,
	                       (unsigned long long)(hash * UINT64_C(0x9e3779b97f4a7c15)));
}

/* Something that a thought can have led to stands behind it in the turn. */
static bool
leads_to_something(const struct sl_part *part)
{
	for (part = part->next; part; part = part->next)
		if (part->kind == SL_PART_TEXT || part->kind == SL_PART_TOOL_CALL ||
		    part->kind == SL_PART_REFUSAL)
			return true;
	return false;
}

static void
put_reasoning(struct encoding *e, const struct sl_part *part)
{
	bool shown = !sl_text_empty(part->text);

	if (!sl_encode_is_issuer(e->encode, part) || !leads_to_something(part)) {
		sl_note(e->encode->notes, SL_NOTE_reasoning_stripped, &part->where);
		return;
	}
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("reasoning"));
	sl_json_str(&e->w, "id", reasoning_id(e, part));
	sl_json_key(&e->w, "summary");
	sl_json_arr(&e->w);
	if (shown)
		put_text(e, "summary_text", part->text);
	sl_json_arr_end(&e->w);
	sl_json_str(&e->w, "encrypted_content", part->signature);
	sl_json_obj_end(&e->w);
}

static void
put_said(struct encoding *e, const struct sl_part *part)
{
	if (part->kind == SL_PART_REFUSAL)
		sl_note(e->encode->notes, SL_NOTE_refusal_as_text, &part->where);
	sl_encode_no_cache(e->encode, part->cache, &part->where);
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("message"));
	sl_json_str(&e->w, "role", SL_SLICE("assistant"));
	sl_json_key(&e->w, "content");
	sl_text_put(&e->w, part->text);
	sl_json_obj_end(&e->w);
}

static void
put_call(struct encoding *e, const struct sl_part *part)
{
	sl_encode_no_cache(e->encode, part->cache, &part->where);
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", part->custom ? SL_SLICE("custom_tool_call")
	                                        : SL_SLICE("function_call"));
	sl_json_str(&e->w, "call_id", sl_encode_id(e->encode, part->call_id));
	sl_json_str(&e->w, "name", sl_encode_name(e->encode, part->name));
	if (part->custom)
		sl_json_str(&e->w, "input", part->args);
	else
		sl_json_str(&e->w, "arguments", sl_encode_args(e->encode, part));
	sl_json_obj_end(&e->w);
}

static void
put_assistant(struct encoding *e, const struct sl_turn *turn)
{
	for (const struct sl_part *part = turn->parts; part; part = part->next) {
		switch (part->kind) {
		case SL_PART_TEXT:
		case SL_PART_REFUSAL:
			put_said(e, part);
			break;
		case SL_PART_REASONING:
			put_reasoning(e, part);
			break;
		case SL_PART_TOOL_CALL:
			put_call(e, part);
			break;
		case SL_PART_OPAQUE:
			if (is_ours(part))
				sl_json_put_raw(&e->w, part->raw);
			else
				sl_note(e->encode->notes, SL_NOTE_part_dropped, &part->where);
			break;
		default:
			sl_note(e->encode->notes, SL_NOTE_part_dropped, &part->where);
		}
	}
}

static bool
only_text(const struct sl_part *result)
{
	return !result->parts || (!result->parts->next && result->parts->kind == SL_PART_TEXT);
}

/* This API has no flag for an error. */
static void
put_output_text(struct encoding *e, const struct sl_part *result)
{
	struct sl_text text = result->parts ? result->parts->text : sl_text_plain(SL_SLICE(""));
	struct sl_buf marked;

	if (result->is_error != SL_YES) {
		sl_text_put(&e->w, text);
		return;
	}
	sl_buf_init(&marked, text.raw.len * 6 + 64);
	sl_buf_append_str(&marked, "\"Error: ");
	sl_text_append(&marked, text);
	sl_buf_append_char(&marked, '"');
	sl_json_put_raw(&e->w, sl_buf_slice(&marked));
	if (marked.failed)
		e->encode->out->failed = true;
	sl_buf_release(&marked);
}

static void
put_output(struct encoding *e, const struct sl_part *result, bool custom)
{
	sl_encode_no_cache(e->encode, result->cache, &result->where);
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", custom ? SL_SLICE("custom_tool_call_output")
	                                  : SL_SLICE("function_call_output"));
	sl_json_str(&e->w, "call_id", sl_encode_id(e->encode, result->call_id));
	sl_json_key(&e->w, "output");
	if (result->is_error == SL_YES)
		sl_note(e->encode->notes, SL_NOTE_tool_error_marked, &result->where);
	if (only_text(result)) {
		put_output_text(e, result);
	} else {
		sl_json_arr(&e->w);
		if (result->is_error == SL_YES)
			put_text(e, "input_text", sl_text_plain(SL_SLICE("Error: ")));
		for (const struct sl_part *part = result->parts; part; part = part->next)
			put_input(e, part);
		sl_json_arr_end(&e->w);
	}
	sl_json_obj_end(&e->w);
}

/* The results of a turn stand behind its calls, in their order (M1). */
static void
put_outputs(struct encoding *e, const struct sl_turn *calls, const struct sl_turn *turn)
{
	const struct sl_part *call = calls ? calls->parts : NULL;

	for (const struct sl_part *part = turn->parts; part; part = part->next) {
		while (call && call->kind != SL_PART_TOOL_CALL)
			call = call->next;
		put_output(e, part, call && call->custom);
		if (call)
			call = call->next;
	}
}

static void
put_items(struct encoding *e)
{
	const struct sl_turn *before = NULL;

	sl_json_key(&e->w, "input");
	sl_json_arr(&e->w);
	for (const struct sl_turn *turn = e->encode->dialog->turns; turn; turn = turn->next) {
		sl_encode_no_name(e->encode, turn);
		if (turn->role == SL_ROLE_ASSISTANT)
			put_assistant(e, turn);
		else if (turn->role == SL_ROLE_TOOL)
			put_outputs(e, before, turn);
		else
			put_message(e, turn);
		before = turn;
	}
	sl_json_arr_end(&e->w);
}

/* --- tools ---------------------------------------------------------------------------------- */

/* Chat wraps the grammar of a free-form tool once more. */
static void
put_custom_format(struct encoding *e, const struct sl_tool *tool)
{
	struct sl_json format = sl_json_parse(tool->raw);
	struct sl_json grammar = sl_json_get(format, "grammar");

	if (tool->raw.len == 0)
		return;
	sl_json_key(&e->w, "format");
	if (grammar.type != SL_JSON_OBJECT) {
		sl_json_put_raw(&e->w, tool->raw);
		return;
	}
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("grammar"));
	for (struct sl_json_iter it = sl_json_iter(grammar); sl_json_next(&it);) {
		sl_json_key_slice(&e->w, sl_codec_key(it.key, e->encode->arena));
		sl_json_put_raw(&e->w, it.value.raw);
	}
	sl_json_obj_end(&e->w);
}

static void
put_tool(struct encoding *e, const struct sl_tool *tool)
{
	enum sl_tri strict;

	if (tool->kind == SL_TOOL_HOSTED) {
		if (tool->origin && sl_slice_is(sl_slice_str(tool->origin), SL_RESPONSES_ORIGIN))
			sl_json_put_raw(&e->w, tool->raw);
		else
			refuse(e, &tool->where, "the tool runs at another provider. Choose a model "
			                        "of that provider, or leave the tool out.");
		return;
	}
	sl_encode_no_cache(e->encode, tool->cache, &tool->where);
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", tool->kind == SL_TOOL_CUSTOM ? SL_SLICE("custom")
	                                                        : SL_SLICE("function"));
	sl_json_str(&e->w, "name", sl_encode_name(e->encode, tool->name));
	if (!sl_text_empty(tool->description)) {
		sl_json_key(&e->w, "description");
		sl_text_put(&e->w, tool->description);
	}
	if (tool->kind == SL_TOOL_CUSTOM) {
		put_custom_format(e, tool);
	} else {
		sl_json_key(&e->w, "parameters");
		sl_json_put_raw(&e->w, tool->schema.len
		                           ? tool->schema
		                           : SL_SLICE("{\"type\":\"object\",\"properties\":{}}"));
		/* Left out it would mean true. */
		strict = sl_encode_strict(e->encode, tool->strict, tool->schema,
		                          SL_NOTE_tool_strict_dropped, &tool->where);
		sl_json_bool(&e->w, "strict", strict == SL_YES);
	}
	sl_json_obj_end(&e->w);
}

static void
put_named_tool(struct encoding *e, struct sl_slice name)
{
	bool custom = false;

	for (const struct sl_tool *tool = e->encode->dialog->tools; tool; tool = tool->next)
		custom |= tool->kind == SL_TOOL_CUSTOM && sl_slice_eq(tool->name, name);
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", custom ? SL_SLICE("custom") : SL_SLICE("function"));
	sl_json_str(&e->w, "name", sl_encode_name(e->encode, name));
	sl_json_obj_end(&e->w);
}

static void
put_choice(struct encoding *e)
{
	const struct sl_tool_choice *choice = &e->encode->dialog->choice;
	const char *mode = choice->mode == SL_CHOICE_REQUIRED ? "required" : "auto";

	if (choice->mode == SL_CHOICE_UNSET)
		return;
	if (!e->encode->dialog->tools) {
		if (choice->mode != SL_CHOICE_NONE && choice->mode != SL_CHOICE_AUTO)
			sl_note(e->encode->notes, SL_NOTE_tool_choice_dropped, &choice->where);
		return;
	}
	sl_json_key(&e->w, "tool_choice");
	if (choice->mode == SL_CHOICE_NONE) {
		sl_json_put_str(&e->w, SL_SLICE("none"));
	} else if (choice->mode == SL_CHOICE_NAMED && choice->name_count == 1) {
		put_named_tool(e, choice->names[0]);
	} else if (choice->name_count) {
		sl_json_obj(&e->w);
		sl_json_str(&e->w, "type", SL_SLICE("allowed_tools"));
		sl_json_str(&e->w, "mode", sl_slice_str(mode));
		sl_json_key(&e->w, "tools");
		sl_json_arr(&e->w);
		for (size_t i = 0; i < choice->name_count; i++)
			put_named_tool(e, choice->names[i]);
		sl_json_arr_end(&e->w);
		sl_json_obj_end(&e->w);
	} else {
		sl_json_put_str(&e->w, sl_slice_str(mode));
	}
}

static void
put_tools(struct encoding *e)
{
	if (!e->encode->dialog->tools) {
		sl_encode_takes(e->encode, SL_PARAM_PARALLEL_TOOLS);
		put_choice(e);
		return;
	}
	sl_json_key(&e->w, "tools");
	sl_json_arr(&e->w);
	for (const struct sl_tool *tool = e->encode->dialog->tools; tool; tool = tool->next)
		put_tool(e, tool);
	sl_json_arr_end(&e->w);
	put_choice(e);
	sl_encode_param(e->encode, &e->w, SL_PARAM_PARALLEL_TOOLS, "parallel_tool_calls");
}

/* --- settings --------------------------------------------------------------------------------- */

static void
put_limit(struct encoding *e)
{
	int64_t limit = sl_encode_max_tokens(e->encode, false);

	if (limit <= 0)
		return;
	if (limit < LEAST_MAX_TOKENS) {
		sl_note(e->encode->notes, SL_NOTE_max_tokens_clamped,
		        &e->encode->dialog->params[SL_PARAM_MAX_TOKENS].where);
		limit = LEAST_MAX_TOKENS;
	}
	sl_json_int(&e->w, "max_output_tokens", limit);
}

static void
put_sampling(struct encoding *e)
{
	static const struct {
		enum sl_param param;
		const char   *name;
	} rows[] = { { SL_PARAM_TEMPERATURE, "temperature" }, { SL_PARAM_TOP_P, "top_p" } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!rule(e, SL_RULE_NO_SAMPLING)) {
			sl_encode_param(e->encode, &e->w, rows[i].param, rows[i].name);
		} else if (sl_encode_takes(e->encode, rows[i].param).type != SL_JSON_NONE) {
			sl_note(e->encode->notes, SL_NOTE_sampling_dropped,
			        &e->encode->dialog->params[rows[i].param].where);
		}
	}
}

static enum sl_effort
effort_of(struct encoding *e, const struct sl_reasoning *reasoning)
{
	enum sl_effort effort = reasoning->effort;

	if (effort == SL_EFFORT_UNSET && reasoning->budget_tokens >= 0)
		effort = sl_effort_of_budget(reasoning->budget_tokens);
	if (reasoning->mode == SL_REASONING_OFF)
		effort = rule(e, SL_RULE_EFFORT) ? SL_EFFORT_MINIMAL : SL_EFFORT_LOW;
	if (effort > SL_EFFORT_HIGH)
		effort = SL_EFFORT_HIGH;
	if (effort != reasoning->effort)
		sl_note(e->encode->notes, SL_NOTE_reasoning_changed, &reasoning->where);
	return effort == SL_EFFORT_UNSET ? SL_EFFORT_MEDIUM : effort;
}

/* APIs in which a budget is given show thoughts unless told otherwise. Elsewhere a
 * summary is not asked for unasked: organisations may lack the right to it. */
static bool
shows(const struct sl_reasoning *reasoning)
{
	return reasoning->show == SL_YES ||
	       (reasoning->show == SL_UNSET && reasoning->mode != SL_REASONING_OFF &&
	        (reasoning->budget_tokens >= 0 || reasoning->mode == SL_REASONING_ADAPTIVE));
}

static void
put_reasoning_config(struct encoding *e)
{
	const struct sl_reasoning *reasoning = &e->encode->dialog->reasoning;

	if (!rule(e, SL_RULE_EFFORT | SL_RULE_RESPONSES)) {
		if (reasoning->mode == SL_REASONING_ON || reasoning->mode == SL_REASONING_ADAPTIVE)
			sl_note(e->encode->notes, SL_NOTE_parameter_dropped, &reasoning->where);
		return;
	}
	if (reasoning->mode == SL_REASONING_UNSET && reasoning->show == SL_UNSET) {
		sl_encode_no_effort(e->encode);
		return;
	}
	sl_json_key(&e->w, "reasoning");
	sl_json_obj(&e->w);
	if (reasoning->mode != SL_REASONING_UNSET)
		sl_json_str(&e->w, "effort", sl_slice_str(sl_effort_name(effort_of(e, reasoning))));
	if (reasoning->summary.len)
		sl_json_str(&e->w, "summary", reasoning->summary);
	else if (shows(reasoning))
		sl_json_str(&e->w, "summary", SL_SLICE("auto"));
	sl_json_obj_end(&e->w);
}

static void
put_format(struct encoding *e)
{
	const struct sl_output *output = &e->encode->dialog->output;
	enum sl_tri strict;

	sl_json_key(&e->w, "format");
	sl_json_obj(&e->w);
	if (output->format == SL_FORMAT_JSON) {
		sl_json_str(&e->w, "type", SL_SLICE("json_object"));
	} else {
		sl_json_str(&e->w, "type", SL_SLICE("json_schema"));
		sl_json_str(&e->w, "name", output->schema_name.len ? output->schema_name
		                                                   : SL_SLICE("answer"));
		if (!sl_text_empty(output->description)) {
			sl_json_key(&e->w, "description");
			sl_text_put(&e->w, output->description);
		}
		sl_json_key(&e->w, "schema");
		sl_json_put_raw(&e->w, output->schema.len ? output->schema : SL_SLICE("{}"));
		strict = sl_encode_strict(e->encode, output->strict, output->schema,
		                          SL_NOTE_format_strict_dropped, &output->where);
		sl_json_bool(&e->w, "strict", strict == SL_YES);
	}
	sl_json_obj_end(&e->w);
}

static void
put_text_config(struct encoding *e)
{
	bool format = e->encode->dialog->output.format != SL_FORMAT_TEXT;

	if (!format && !sl_dialog_has(e->encode->dialog, SL_PARAM_VERBOSITY))
		return;
	sl_json_key(&e->w, "text");
	sl_json_obj(&e->w);
	if (format)
		put_format(e);
	sl_encode_param(e->encode, &e->w, SL_PARAM_VERBOSITY, "verbosity");
	sl_json_obj_end(&e->w);
}

static void
put_include(struct encoding *e)
{
	struct sl_json more = sl_encode_takes(e->encode, SL_PARAM_INCLUDE);
	bool logprobs = sl_encode_takes(e->encode, SL_PARAM_LOGPROBS).type != SL_JSON_NONE;
	bool encrypted = rule(e, SL_RULE_RESPONSES);

	if (!logprobs && !encrypted && more.type != SL_JSON_ARRAY)
		return;
	sl_json_key(&e->w, "include");
	sl_json_arr(&e->w);
	if (encrypted)
		sl_json_put_str(&e->w, SL_SLICE("reasoning.encrypted_content"));
	if (logprobs)
		sl_json_put_str(&e->w, SL_SLICE("message.output_text.logprobs"));
	for (struct sl_json_iter it = sl_json_iter(more);
	     more.type == SL_JSON_ARRAY && sl_json_next(&it);)
		sl_json_put_raw(&e->w, it.value.raw);
	sl_json_arr_end(&e->w);
}

static void
put_rest(struct encoding *e)
{
	static const struct {
		enum sl_param param;
		const char   *name;
	} any[] = {
		{ SL_PARAM_TOP_LOGPROBS, "top_logprobs" }, { SL_PARAM_MAX_TOOL_CALLS, "max_tool_calls" },
		{ SL_PARAM_USER, "user" }, { SL_PARAM_SAFETY_IDENTIFIER, "safety_identifier" },
		{ SL_PARAM_METADATA, "metadata" }, { SL_PARAM_CACHE_KEY, "prompt_cache_key" },
		{ SL_PARAM_CACHE_RETENTION, "prompt_cache_retention" },
		{ SL_PARAM_TRUNCATION, "truncation" },
	}, own[] = {
		{ SL_PARAM_SERVICE_TIER, "service_tier" },
		{ SL_PARAM_PREVIOUS_RESPONSE, "previous_response_id" },
		{ SL_PARAM_CONVERSATION, "conversation" }, { SL_PARAM_BACKGROUND, "background" },
		{ SL_PARAM_PROMPT_TEMPLATE, "prompt" },
		{ SL_PARAM_CONTEXT_MANAGEMENT, "context_management" },
	};
	struct sl_slice origin = sl_slice_str(e->encode->dialog->origin);

	for (size_t i = 0; i < sizeof(any) / sizeof(any[0]); i++)
		sl_encode_param(e->encode, &e->w, any[i].param, any[i].name);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (sl_slice_is(origin, SL_RESPONSES_ORIGIN) ||
		    (i == 0 && sl_slice_is(origin, "openai_chat")))
			sl_encode_param(e->encode, &e->w, own[i].param, own[i].name);
}

enum sl_err
sl_responses_encode(struct sl_encode *encode)
{
	struct encoding e = { .encode = encode };

	sl_json_writer_init(&e.w, encode->out);
	sl_json_obj(&e.w);
	if (!encode->target->model_in_path)
		sl_json_str(&e.w, "model", encode->target->model);
	put_items(&e);
	put_tools(&e);
	put_limit(&e);
	put_sampling(&e);
	put_reasoning_config(&e);
	put_text_config(&e);
	put_include(&e);
	put_rest(&e);
	sl_json_bool(&e.w, "store", false);
	if (encode->dialog->stream)
		sl_json_bool(&e.w, "stream", true);
	sl_json_obj_end(&e.w);
	return e.err;
}

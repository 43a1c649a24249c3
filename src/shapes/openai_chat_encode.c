/* openai_chat_encode.c - a settled dialog as a body of POST /v1/chat/completions.
 *
 * OpenAI and Azure know the whole of the API; vendors who copied it know less and
 * refuse the rest, so they get no more than all of them know.
 */
#include "shapes/openai_chat_codec.h"

struct encoding {
	struct sl_encode     *encode;
	struct sl_json_writer w;
	bool                  own;    /* the caller speaks this API */
	bool                  family; /* ... or another one of OpenAI's */
	bool                  whole;  /* the target is OpenAI's own */
	enum sl_err           err;
};

static bool
has_rule(const struct encoding *e, enum sl_model_rule rule)
{
	return (e->encode->target->rules & rule) != 0;
}

static void
refuse(struct encoding *e, const struct sl_where *where, const char *message)
{
	if (e->err == SL_OK)
		e->err = sl_encode_refuse(e->encode, where, message);
}

static const struct sl_where *
where_of(const struct encoding *e, enum sl_param param)
{
	return &e->encode->dialog->params[param].where;
}

/* --- content --------------------------------------------------------------------------- */

static void
put_text_part(struct encoding *e, struct sl_text text)
{
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("text"));
	sl_json_key(&e->w, "text");
	sl_text_put(&e->w, text);
	sl_json_obj_end(&e->w);
}

static struct sl_slice
data_url(struct encoding *e, const struct sl_media *media)
{
	struct sl_slice url = sl_arena_join(e->encode->arena, (struct sl_slice[]){
	    SL_SLICE("data:"), media->type, SL_SLICE(";base64,"), media->data }, 4);

	if (!url.ptr)
		e->encode->out->failed = true;
	return url;
}

static void
put_image(struct encoding *e, const struct sl_part *part)
{
	const struct sl_media *media = &part->media;

	if (media->source != SL_MEDIA_INLINE && media->source != SL_MEDIA_URL) {
		refuse(e, &part->where, "pictures must be sent as data or as a URL.");
		return;
	}
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("image_url"));
	sl_json_key(&e->w, "image_url");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "url",
	            media->source == SL_MEDIA_URL ? media->data : data_url(e, media));
	if (media->detail.len)
		sl_json_str(&e->w, "detail", media->detail);
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

static void
put_audio(struct encoding *e, const struct sl_part *part)
{
	bool wav = sl_slice_ends(part->media.type, SL_SLICE("wav"));

	if (part->media.source != SL_MEDIA_INLINE ||
	    (!wav && !sl_slice_is(part->media.type, "audio/mpeg") &&
	     !sl_slice_is(part->media.type, "audio/mp3"))) {
		refuse(e, &part->where, "sound must be sent as data, wav or mp3.");
		return;
	}
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("input_audio"));
	sl_json_key(&e->w, "input_audio");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "data", part->media.data);
	sl_json_str(&e->w, "format", wav ? SL_SLICE("wav") : SL_SLICE("mp3"));
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

static void put_parts(struct encoding *e, const struct sl_part *part);

static void
put_document(struct encoding *e, const struct sl_part *part)
{
	const struct sl_media *media = &part->media;

	if (media->citations)
		sl_note(e->encode->notes, SL_NOTE_citations_dropped, &part->where);
	if (media->source == SL_MEDIA_TEXT || media->source == SL_MEDIA_PARTS) {
		sl_note(e->encode->notes, SL_NOTE_document_as_text, &part->where);
		if (!sl_text_empty(media->title))
			put_text_part(e, media->title);
		if (media->source == SL_MEDIA_PARTS)
			put_parts(e, part->parts);
		else if (!sl_text_empty(part->text))
			put_text_part(e, part->text);
		return;
	}
	if (media->source != SL_MEDIA_INLINE && !(media->source == SL_MEDIA_FILE_ID && e->family)) {
		refuse(e, &part->where, media->source == SL_MEDIA_URL
		                            ? "files must be sent as data; send it, or have "
		                              "media.fetch switched on."
		                            : "files must be sent as data.");
		return;
	}
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("file"));
	sl_json_key(&e->w, "file");
	sl_json_obj(&e->w);
	if (media->source == SL_MEDIA_FILE_ID) {
		sl_json_str(&e->w, "file_id", media->data);
	} else {
		sl_json_key(&e->w, "filename");
		if (sl_text_empty(media->title))
			sl_json_put_raw(&e->w, SL_SLICE("\"document.pdf\""));
		else
			sl_text_put(&e->w, media->title);
		sl_json_str(&e->w, "file_data", data_url(e, media));
	}
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

static void
put_part(struct encoding *e, const struct sl_part *part)
{
	sl_encode_no_cache(e->encode, part->cache, &part->where);
	switch (part->kind) {
	case SL_PART_TEXT:
	case SL_PART_REFUSAL:
		if (part->citations)
			sl_note(e->encode->notes, SL_NOTE_citations_dropped, &part->where);
		put_text_part(e, part->text);
		break;
	case SL_PART_IMAGE:
		put_image(e, part);
		break;
	case SL_PART_AUDIO:
		put_audio(e, part);
		break;
	case SL_PART_DOCUMENT:
		put_document(e, part);
		break;
	case SL_PART_VIDEO:
		refuse(e, &part->where, "this API takes no video.");
		break;
	case SL_PART_OPAQUE:
		if (e->own)
			sl_json_put_raw(&e->w, part->raw);
		else
			sl_note(e->encode->notes, SL_NOTE_part_dropped, &part->where);
		break;
	case SL_PART_REASONING:
		sl_note(e->encode->notes, SL_NOTE_reasoning_stripped, &part->where);
		break;
	case SL_PART_TOOL_CALL:
	case SL_PART_TOOL_RESULT:
		break;
	}
}

static void
put_parts(struct encoding *e, const struct sl_part *part)
{
	for (; part && e->err == SL_OK; part = part->next)
		put_part(e, part);
}

/* Of what a turn shows: the first part, and whether there is another. */
static const struct sl_part *
next_content(const struct sl_part *part)
{
	while (part && (part->kind == SL_PART_REASONING || part->kind == SL_PART_TOOL_CALL ||
	                part->kind == SL_PART_TOOL_RESULT))
		part = part->next;
	return part;
}

/* A single text as a string, which every vendor takes; else the list. */
static void
put_content(struct encoding *e, const struct sl_part *parts)
{
	const struct sl_part *first = next_content(parts);

	sl_json_key(&e->w, "content");
	if (first && first->kind == SL_PART_TEXT && !next_content(first->next)) {
		sl_encode_no_cache(e->encode, first->cache, &first->where);
		if (first->citations)
			sl_note(e->encode->notes, SL_NOTE_citations_dropped, &first->where);
		if (sl_text_empty(first->text))
			sl_json_put_raw(&e->w, SL_SLICE("\"\""));
		else
			sl_text_put(&e->w, first->text);
		return;
	}
	sl_json_arr(&e->w);
	for (; first && e->err == SL_OK; first = next_content(first->next))
		put_part(e, first);
	sl_json_arr_end(&e->w);
}

/* --- messages ---------------------------------------------------------------------------- */

static void
put_call(struct encoding *e, const struct sl_part *call)
{
	bool custom = call->custom && e->whole;

	sl_encode_no_cache(e->encode, call->cache, &call->where);
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "id", sl_encode_id(e->encode, call->call_id));
	sl_json_str(&e->w, "type", custom ? SL_SLICE("custom") : SL_SLICE("function"));
	sl_json_key(&e->w, custom ? "custom" : "function");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "name", sl_encode_name(e->encode, call->name));
	if (custom)
		sl_json_str(&e->w, "input", call->args);
	else
		sl_json_str(&e->w, "arguments", sl_encode_args(e->encode, call));
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

/* Vendors who want their reasoning back want it on every assistant message. */
static void
put_echo(struct encoding *e, const struct sl_turn *turn)
{
	struct sl_buf text;

	sl_buf_init(&text, 64 * 1024 * 1024);
	sl_buf_append_char(&text, '"');
	for (const struct sl_part *part = turn->parts; part; part = part->next)
		if (part->kind == SL_PART_REASONING) {
			sl_text_append(&text, part->redacted ? SL_TEXT_NONE : part->text);
			if (part->redacted && !part->token_only)
				sl_note(e->encode->notes, SL_NOTE_reasoning_stripped, &part->where);
		}
	sl_buf_append_char(&text, '"');
	sl_json_key(&e->w, "reasoning_content");
	sl_json_put_raw(&e->w, sl_buf_slice(&text));
	if (text.failed)
		e->encode->out->failed = true;
	sl_buf_release(&text);
}

/* A thought that its own provider could use again is lost on any other; one that
 * nobody signed is for reading only. */
static void
note_reasoning(struct encoding *e, const struct sl_turn *turn)
{
	for (const struct sl_part *part = turn->parts; part; part = part->next)
		if (part->kind == SL_PART_REASONING && !part->token_only && part->signature.len)
			sl_note(e->encode->notes, SL_NOTE_reasoning_stripped, &part->where);
}

static void
put_assistant(struct encoding *e, const struct sl_turn *turn)
{
	const struct sl_part *call = turn->parts, *refusal = NULL, *content;

	while (call && call->kind != SL_PART_TOOL_CALL)
		call = call->next;
	content = next_content(turn->parts);
	if (content && content->kind == SL_PART_REFUSAL && !next_content(content->next))
		refusal = content;
	if (!content && !call) {
		note_reasoning(e, turn);
		return;
	}
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "role", SL_SLICE("assistant"));
	if (!sl_text_empty(turn->name)) {
		sl_json_key(&e->w, "name");
		sl_text_put(&e->w, turn->name);
	}
	if (has_rule(e, SL_RULE_REASONING_ECHO))
		put_echo(e, turn);
	else
		note_reasoning(e, turn);
	if (!content || refusal) {
		sl_json_key(&e->w, "content");
		sl_json_put_null(&e->w);
	} else {
		put_content(e, turn->parts);
	}
	if (refusal) {
		sl_json_key(&e->w, "refusal");
		sl_text_put(&e->w, refusal->text);
	}
	if (call) {
		sl_json_key(&e->w, "tool_calls");
		sl_json_arr(&e->w);
		for (; call; call = call->next)
			put_call(e, call);
		sl_json_arr_end(&e->w);
	}
	sl_json_obj_end(&e->w);
}

static bool
is_media(const struct sl_part *part)
{
	return part->kind == SL_PART_IMAGE || part->kind == SL_PART_AUDIO ||
	       part->kind == SL_PART_VIDEO ||
	       (part->kind == SL_PART_DOCUMENT && part->media.source != SL_MEDIA_TEXT &&
	        part->media.source != SL_MEDIA_PARTS);
}

static void
put_result_content(struct encoding *e, const struct sl_part *result)
{
	const struct sl_part *part = result->parts;
	bool error = result->is_error == SL_YES;

	if (error)
		sl_note(e->encode->notes, SL_NOTE_tool_error_marked, &result->where);
	if (!error && part && !part->next && part->kind == SL_PART_TEXT) {
		put_content(e, part);
		return;
	}
	sl_json_key(&e->w, "content");
	if (!part && !error) {
		sl_json_put_raw(&e->w, SL_SLICE("\"\""));
		return;
	}
	sl_json_arr(&e->w);
	if (error)
		put_text_part(e, sl_text_plain(SL_SLICE("Error: ")));
	for (; part && e->err == SL_OK; part = part->next) {
		if (!is_media(part)) {
			if (part->kind != SL_PART_TEXT || !sl_text_empty(part->text))
				put_part(e, part);
			continue;
		}
		sl_note(e->encode->notes, SL_NOTE_tool_media_moved, &part->where);
		put_text_part(e, sl_text_plain(SL_SLICE("[attached to the next message]")));
	}
	sl_json_arr_end(&e->w);
}

/* Results first, each in a message of its own; then what they showed. */
static void
put_results(struct encoding *e, const struct sl_turn *turn)
{
	bool media = false;

	for (const struct sl_part *result = turn->parts; result; result = result->next) {
		sl_encode_no_cache(e->encode, result->cache, &result->where);
		sl_json_obj(&e->w);
		sl_json_str(&e->w, "role", SL_SLICE("tool"));
		sl_json_str(&e->w, "tool_call_id", sl_encode_id(e->encode, result->call_id));
		put_result_content(e, result);
		sl_json_obj_end(&e->w);
		for (const struct sl_part *part = result->parts; part; part = part->next)
			media = media || is_media(part);
	}
	if (!media)
		return;
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "role", SL_SLICE("user"));
	sl_json_key(&e->w, "content");
	sl_json_arr(&e->w);
	for (const struct sl_part *result = turn->parts; result; result = result->next)
		for (const struct sl_part *part = result->parts; part; part = part->next)
			if (is_media(part))
				put_part(e, part);
	sl_json_arr_end(&e->w);
	sl_json_obj_end(&e->w);
}

static void
put_turn(struct encoding *e, const struct sl_turn *turn)
{
	const char *role = "user";

	if (turn->role == SL_ROLE_ASSISTANT) {
		put_assistant(e, turn);
		return;
	}
	if (turn->role == SL_ROLE_TOOL) {
		put_results(e, turn);
		return;
	}
	if (turn->role == SL_ROLE_SYSTEM)
		role = "system";
	else if (turn->role == SL_ROLE_DEVELOPER)
		role = e->whole ? "developer" : "system";
	if (turn->role == SL_ROLE_DEVELOPER && !e->whole)
		sl_note(e->encode->notes, SL_NOTE_role_changed, &turn->where);
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "role", sl_slice_str(role));
	if (!sl_text_empty(turn->name)) {
		sl_json_key(&e->w, "name");
		sl_text_put(&e->w, turn->name);
	}
	put_content(e, turn->parts);
	sl_json_obj_end(&e->w);
}

static void
put_messages(struct encoding *e)
{
	sl_json_key(&e->w, "messages");
	sl_json_arr(&e->w);
	for (const struct sl_turn *turn = e->encode->dialog->turns; turn && e->err == SL_OK;
	     turn = turn->next)
		put_turn(e, turn);
	sl_json_arr_end(&e->w);
}

/* --- tools ---------------------------------------------------------------------------------- */

static void
put_tool(struct encoding *e, const struct sl_tool *tool)
{
	bool custom = tool->kind == SL_TOOL_CUSTOM && e->whole;
	enum sl_tri strict;

	if (tool->kind == SL_TOOL_HOSTED && e->own) {
		sl_json_put_raw(&e->w, tool->raw);
		return;
	}
	if (tool->kind == SL_TOOL_HOSTED) {
		refuse(e, &tool->where, "the tool runs at another provider. Choose a model "
			       "of that provider, or leave the tool out.");
		return;
	}
	if (tool->kind == SL_TOOL_CUSTOM && !custom && tool->raw.len) {
		refuse(e, &tool->where, "this API has no tools with a grammar.");
		return;
	}
	sl_encode_no_cache(e->encode, tool->cache, &tool->where);
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", custom ? SL_SLICE("custom") : SL_SLICE("function"));
	sl_json_key(&e->w, custom ? "custom" : "function");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "name", sl_encode_name(e->encode, tool->name));
	if (!sl_text_empty(tool->description)) {
		sl_json_key(&e->w, "description");
		sl_text_put(&e->w, tool->description);
	}
	if (custom && tool->raw.len) {
		sl_json_key(&e->w, "format");
		sl_json_put_raw(&e->w, tool->raw);
	} else if (!custom && tool->kind == SL_TOOL_CUSTOM) {
		sl_note(e->encode->notes, SL_NOTE_custom_tool_emulated, &tool->where);
		sl_json_key(&e->w, "parameters");
		sl_json_put_raw(&e->w, SL_SLICE("{\"type\":\"object\",\"properties\":{\"input\":"
		                                "{\"type\":\"string\"}},\"required\":[\"input\"]}"));
	} else if (!custom && tool->schema.len) {
		sl_json_key(&e->w, "parameters");
		sl_json_put_raw(&e->w, tool->schema);
	}
	strict = sl_encode_strict(e->encode, tool->strict, tool->schema,
	                          SL_NOTE_tool_strict_dropped, &tool->where);
	if (strict != SL_UNSET && !custom)
		sl_json_bool(&e->w, "strict", strict == SL_YES);
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

static void
put_choice_name(struct encoding *e, struct sl_slice name)
{
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("function"));
	sl_json_key(&e->w, "function");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "name", sl_encode_name(e->encode, name));
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

static void
put_choice(struct encoding *e)
{
	static const char *const words[] = { NULL, "auto", "none", "required", NULL };
	const struct sl_tool_choice *choice = &e->encode->dialog->choice;
	bool forced = choice->mode == SL_CHOICE_REQUIRED || choice->mode == SL_CHOICE_NAMED;

	if (choice->mode == SL_CHOICE_UNSET)
		return;
	sl_json_key(&e->w, "tool_choice");
	if (forced && has_rule(e, SL_RULE_NO_FORCED_TOOL)) {
		sl_note(e->encode->notes, SL_NOTE_tool_choice_changed, &choice->where);
		sl_json_put_str(&e->w, SL_SLICE("auto"));
		return;
	}
	if (choice->mode == SL_CHOICE_NAMED) {
		put_choice_name(e, choice->names[0]);
		return;
	}
	if (choice->name_count == 0 || !e->whole) {
		sl_json_put_str(&e->w, sl_slice_str(words[choice->mode]));
		return;
	}
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("allowed_tools"));
	sl_json_key(&e->w, "allowed_tools");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "mode", sl_slice_str(words[choice->mode]));
	sl_json_key(&e->w, "tools");
	sl_json_arr(&e->w);
	for (size_t i = 0; i < choice->name_count; i++)
		put_choice_name(e, choice->names[i]);
	sl_json_arr_end(&e->w);
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

static void
put_tools(struct encoding *e)
{
	const struct sl_dialog *dialog = e->encode->dialog;

	if (!dialog->tools) {
		sl_encode_takes(e->encode, SL_PARAM_PARALLEL_TOOLS);
		if (dialog->choice.mode == SL_CHOICE_REQUIRED ||
		    dialog->choice.mode == SL_CHOICE_NAMED)
			sl_note(e->encode->notes, SL_NOTE_tool_choice_dropped,
			        &dialog->choice.where);
		return;
	}
	sl_json_key(&e->w, "tools");
	sl_json_arr(&e->w);
	for (const struct sl_tool *tool = dialog->tools; tool && e->err == SL_OK;
	     tool = tool->next)
		if (e->whole || sl_encode_allows(e->encode, tool))
			put_tool(e, tool);
	sl_json_arr_end(&e->w);
	put_choice(e);
	if (e->whole && !has_rule(e, SL_RULE_NO_STOP))
		sl_encode_param(e->encode, &e->w, SL_PARAM_PARALLEL_TOOLS, "parallel_tool_calls");
	else if (sl_json_true(dialog->params[SL_PARAM_PARALLEL_TOOLS].value))
		sl_encode_takes(e->encode, SL_PARAM_PARALLEL_TOOLS);
}

/* --- the rest -------------------------------------------------------------------------------- */

static void
put_limit(struct encoding *e)
{
	int64_t limit = sl_encode_max_tokens(e->encode, false);

	if (limit > 0)
		sl_json_int(&e->w, e->whole || has_rule(e, SL_RULE_COMPLETION_TOKENS)
		                       ? "max_completion_tokens"
		                       : "max_tokens",
		            limit);
}

static void
drop_sampling(struct encoding *e)
{
	static const enum sl_param all[] = {
		SL_PARAM_TEMPERATURE, SL_PARAM_TOP_P, SL_PARAM_PRESENCE_PENALTY,
		SL_PARAM_FREQUENCY_PENALTY,
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		double number;

		if (!sl_dialog_has(e->encode->dialog, all[i]))
			continue;
		/* What is the default anyway is not missed. */
		if (!sl_json_f64(sl_encode_takes(e->encode, all[i]), &number) || number != 1)
			sl_note(e->encode->notes, SL_NOTE_sampling_dropped, where_of(e, all[i]));
	}
}

static void
put_sampling(struct encoding *e)
{
	if (has_rule(e, SL_RULE_NO_SAMPLING)) {
		drop_sampling(e);
	} else {
		sl_encode_param(e->encode, &e->w, SL_PARAM_TEMPERATURE, "temperature");
		sl_encode_param(e->encode, &e->w, SL_PARAM_TOP_P, "top_p");
		sl_encode_param(e->encode, &e->w, SL_PARAM_PRESENCE_PENALTY, "presence_penalty");
		sl_encode_param(e->encode, &e->w, SL_PARAM_FREQUENCY_PENALTY, "frequency_penalty");
	}
	sl_encode_param(e->encode, &e->w, SL_PARAM_SEED, "seed");
	sl_encode_param(e->encode, &e->w, SL_PARAM_N, "n");
	sl_encode_param(e->encode, &e->w, SL_PARAM_LOGPROBS, "logprobs");
	sl_encode_param(e->encode, &e->w, SL_PARAM_TOP_LOGPROBS, "top_logprobs");
	sl_encode_param(e->encode, &e->w, SL_PARAM_LOGIT_BIAS, "logit_bias");
}

static void
put_stop(struct encoding *e)
{
	size_t count = 0;

	if (!sl_dialog_has(e->encode->dialog, SL_PARAM_STOP) || has_rule(e, SL_RULE_NO_STOP))
		return; /* refused as a leftover */
	for (struct sl_json_iter it =
	         sl_json_iter(e->encode->dialog->params[SL_PARAM_STOP].value);
	     sl_json_next(&it);)
		count++;
	if (count > 4)
		refuse(e, where_of(e, SL_PARAM_STOP), "at most four stop sequences are taken.");
	sl_encode_param(e->encode, &e->w, SL_PARAM_STOP, "stop");
}

static void
put_effort(struct encoding *e)
{
	const struct sl_reasoning *reasoning = &e->encode->dialog->reasoning;
	const struct sl_model_card *card = e->encode->target->card;
	bool can = has_rule(e, SL_RULE_EFFORT) || has_rule(e, SL_RULE_NO_STOP) ||
	           (card && card->capabilities & SL_CAP_REASONING);
	enum sl_effort effort = reasoning->effort;
	const char *word;

	if (reasoning->mode == SL_REASONING_UNSET && effort == SL_EFFORT_UNSET)
		return;
	if (!can) {
		if (reasoning->mode != SL_REASONING_OFF)
			sl_note(e->encode->notes, SL_NOTE_parameter_dropped, &reasoning->where);
		return;
	}
	if (effort == SL_EFFORT_UNSET && reasoning->budget_tokens >= 0)
		effort = sl_effort_of_budget(reasoning->budget_tokens);
	if (effort == SL_EFFORT_UNSET && reasoning->mode != SL_REASONING_OFF)
		effort = SL_EFFORT_MEDIUM;
	word = sl_effort_name(effort);
	/* Not every model has every level; these three all have. */
	if (reasoning->mode == SL_REASONING_OFF)
		word = e->own ? "none" : has_rule(e, SL_RULE_EFFORT) ? "minimal" : "low";
	else if (!e->family && effort >= SL_EFFORT_HIGH)
		word = "high";
	else if (effort == SL_EFFORT_MINIMAL && !has_rule(e, SL_RULE_EFFORT))
		word = "low";
	if (effort == SL_EFFORT_UNSET || strcmp(word, sl_effort_name(effort)) != 0 ||
	    reasoning->budget_tokens >= 0)
		sl_note(e->encode->notes, SL_NOTE_reasoning_changed, &reasoning->where);
	sl_json_str(&e->w, "reasoning_effort", sl_slice_str(word));
}

static void
put_format(struct encoding *e)
{
	const struct sl_output *output = &e->encode->dialog->output;
	enum sl_tri strict;

	if (output->format == SL_FORMAT_TEXT)
		return;
	sl_json_key(&e->w, "response_format");
	sl_json_obj(&e->w);
	if (output->format == SL_FORMAT_JSON) {
		sl_json_str(&e->w, "type", SL_SLICE("json_object"));
		sl_json_obj_end(&e->w);
		return;
	}
	sl_json_str(&e->w, "type", SL_SLICE("json_schema"));
	sl_json_key(&e->w, "json_schema");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "name",
	            output->schema_name.len ? output->schema_name : SL_SLICE("answer"));
	if (!sl_text_empty(output->description)) {
		sl_json_key(&e->w, "description");
		sl_text_put(&e->w, output->description);
	}
	sl_json_key(&e->w, "schema");
	sl_json_put_raw(&e->w, output->schema);
	strict = sl_encode_strict(e->encode, output->strict, output->schema,
	                          SL_NOTE_format_strict_dropped, &output->where);
	if (strict != SL_UNSET)
		sl_json_bool(&e->w, "strict", strict == SL_YES);
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

static void
put_tier(struct encoding *e)
{
	struct sl_json tier = e->encode->dialog->params[SL_PARAM_SERVICE_TIER].value;

	if (e->family && e->whole) {
		sl_encode_param(e->encode, &e->w, SL_PARAM_SERVICE_TIER, "service_tier");
	} else if (sl_json_is(tier, "auto")) {
		sl_encode_takes(e->encode, SL_PARAM_SERVICE_TIER);
	} else if (e->whole && (sl_json_is(tier, "standard_only") || sl_json_is(tier, "standard"))) {
		sl_encode_takes(e->encode, SL_PARAM_SERVICE_TIER);
		sl_json_str(&e->w, "service_tier", SL_SLICE("default"));
	}
}

/* Members that OpenAI and Azure know and vendors mostly do not. */
static void
put_whole(struct encoding *e)
{
	static const struct {
		enum sl_param param;
		const char   *name;
	} rows[] = {
		{ SL_PARAM_SAFETY_IDENTIFIER, "safety_identifier" },
		{ SL_PARAM_CACHE_KEY, "prompt_cache_key" },
		{ SL_PARAM_CACHE_RETENTION, "prompt_cache_retention" },
		{ SL_PARAM_VERBOSITY, "verbosity" }, { SL_PARAM_PREDICTION, "prediction" },
		{ SL_PARAM_MODALITIES, "modalities" }, { SL_PARAM_AUDIO, "audio" },
		{ SL_PARAM_WEB_SEARCH, "web_search_options" }, { SL_PARAM_STORE, "store" },
	};
	const struct sl_dialog *dialog = e->encode->dialog;

	sl_encode_param(e->encode, &e->w, SL_PARAM_USER, "user");
	put_tier(e);
	if (!e->whole)
		return;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (e->own || rows[i].param != SL_PARAM_STORE)
			sl_encode_param(e->encode, &e->w, rows[i].param, rows[i].name);
	/* Labels of what is stored; refused where nothing is. */
	if (e->own || sl_json_true(dialog->params[SL_PARAM_STORE].value))
		sl_encode_param(e->encode, &e->w, SL_PARAM_METADATA, "metadata");
}

static void
put_extras(struct encoding *e)
{
	if (!e->own)
		return;
	sl_encode_extras(e->encode, &e->w);
}

enum sl_err
sl_openai_chat_encode(struct sl_encode *encode)
{
	const struct sl_dialog *dialog = encode->dialog;
	const struct sl_codec_target *target = encode->target;
	struct encoding e = { .encode = encode };

	e.own = strcmp(dialog->origin, "openai_chat") == 0;
	e.family = sl_slice_starts(sl_slice_str(dialog->origin), SL_SLICE("openai_"));
	e.whole = strcmp(target->provider, "openai") == 0 || strcmp(target->provider, "azure") == 0;
	sl_json_writer_init(&e.w, encode->out);
	sl_json_obj(&e.w);
	if (!target->model_in_path)
		sl_json_str(&e.w, "model", target->model);
	put_messages(&e);
	if (dialog->stream) {
		sl_json_bool(&e.w, "stream", true);
		if (target->ask_for_usage) {
			sl_json_key(&e.w, "stream_options");
			sl_json_put_raw(&e.w, SL_SLICE("{\"include_usage\":true}"));
		}
	}
	put_tools(&e);
	put_limit(&e);
	put_sampling(&e);
	put_stop(&e);
	put_effort(&e);
	put_format(&e);
	put_whole(&e);
	put_extras(&e);
	sl_json_obj_end(&e.w);
	return e.err;
}

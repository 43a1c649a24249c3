/* cohere_encode.c - a settled dialog as a body of POST /v2/chat.
 *
 * Like OpenAI's chat, with its own names for what samples, two words for the choice
 * of tools, and thoughts as a part of the content. Tool results hold text only.
 */
#include "shapes/cohere_codec.h"

enum { TEXT_MAX = 64 * 1024 * 1024 };

struct encoding {
	struct sl_encode     *encode;
	struct sl_json_writer w;
	int64_t               max_tokens;
	bool                  planned; /* the thoughts of this turn are its tool_plan */
	enum sl_err           err;
};

static void
refuse(struct encoding *e, const struct sl_where *where, const char *message)
{
	if (e->err == SL_OK)
		e->err = sl_encode_refuse(e->encode, where, message);
}

/* --- content ------------------------------------------------------------------------- */

static void
put_text_part(struct encoding *e, const char *type, struct sl_text text)
{
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", sl_slice_str(type));
	sl_json_key(&e->w, type);
	sl_text_put(&e->w, text);
	sl_json_obj_end(&e->w);
}

static void
put_image(struct encoding *e, const struct sl_part *part)
{
	const struct sl_media *media = &part->media;
	struct sl_slice url = media->data;

	if (part->kind != SL_PART_IMAGE ||
	    (media->source != SL_MEDIA_INLINE && media->source != SL_MEDIA_URL)) {
		refuse(e, &part->where, "this API takes pictures as data or URL, and text.");
		return;
	}
	if (media->source == SL_MEDIA_INLINE)
		url = sl_arena_join(e->encode->arena, (struct sl_slice[]){
		    SL_SLICE("data:"), media->type, SL_SLICE(";base64,"), media->data }, 4);
	if (!url.ptr)
		e->encode->out->failed = true;
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("image_url"));
	sl_json_key(&e->w, "image_url");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "url", url);
	if (media->detail.len)
		sl_json_str(&e->w, "detail", media->detail);
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

static void put_parts(struct encoding *e, const struct sl_part *part);

static void
put_document(struct encoding *e, const struct sl_part *part)
{
	if (part->media.source != SL_MEDIA_TEXT && part->media.source != SL_MEDIA_PARTS) {
		refuse(e, &part->where, "this API takes no files; send their text.");
		return;
	}
	sl_note(e->encode->notes, SL_NOTE_document_as_text, &part->where);
	if (!sl_text_empty(part->media.title))
		put_text_part(e, "text", part->media.title);
	if (part->media.source == SL_MEDIA_PARTS)
		put_parts(e, part->parts);
	else if (!sl_text_empty(part->text))
		put_text_part(e, "text", part->text);
}

static bool
can_reason(const struct encoding *e)
{
	const struct sl_model_card *card = e->encode->target->card;

	return card && card->capabilities & SL_CAP_REASONING;
}

/* Thoughts need no signature here, only their maker. */
static bool
is_own_thought(const struct encoding *e, const struct sl_part *part)
{
	return part->kind == SL_PART_REASONING && !part->redacted && !sl_text_empty(part->text) &&
	       sl_slice_is(part->issuer, e->encode->target->issuer);
}

static void
put_reasoning(struct encoding *e, const struct sl_part *part)
{
	if (!is_own_thought(e, part) || (!can_reason(e) && !e->planned))
		sl_note(e->encode->notes, SL_NOTE_reasoning_stripped, &part->where);
	else if (!e->planned)
		put_text_part(e, "thinking", part->text);
}

static void
put_part(struct encoding *e, const struct sl_part *part)
{
	sl_encode_no_cache(e->encode, part->cache, &part->where);
	switch (part->kind) {
	case SL_PART_REFUSAL:
		sl_note(e->encode->notes, SL_NOTE_refusal_as_text, &part->where);
		/* fallthrough */
	case SL_PART_TEXT:
		if (part->citations)
			sl_note(e->encode->notes, SL_NOTE_citations_dropped, &part->where);
		if (!sl_text_empty(part->text))
			put_text_part(e, "text", part->text);
		break;
	case SL_PART_REASONING:
		put_reasoning(e, part);
		break;
	case SL_PART_IMAGE:
	case SL_PART_AUDIO:
	case SL_PART_VIDEO:
		put_image(e, part);
		break;
	case SL_PART_DOCUMENT:
		put_document(e, part);
		break;
	case SL_PART_OPAQUE:
		sl_note(e->encode->notes, SL_NOTE_part_dropped, &part->where);
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

static void
put_content(struct encoding *e, const struct sl_part *parts)
{
	sl_json_key(&e->w, "content");
	if (parts && !parts->next && parts->kind == SL_PART_TEXT && !sl_text_empty(parts->text)) {
		sl_encode_no_cache(e->encode, parts->cache, &parts->where);
		sl_text_put(&e->w, parts->text);
		return;
	}
	sl_json_arr(&e->w);
	put_parts(e, parts);
	sl_json_arr_end(&e->w);
}

/* --- messages ------------------------------------------------------------------------- */

static void
put_call(struct encoding *e, const struct sl_part *call)
{
	sl_encode_no_cache(e->encode, call->cache, &call->where);
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "id", sl_encode_id(e->encode, call->call_id));
	sl_json_str(&e->w, "type", SL_SLICE("function"));
	sl_json_key(&e->w, "function");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "name", sl_encode_name(e->encode, call->name));
	sl_json_str(&e->w, "arguments", sl_encode_args(e->encode, call));
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

/* Whether a part other than a call would be written. */
static bool
is_shown(const struct encoding *e, const struct sl_part *part)
{
	switch (part->kind) {
	case SL_PART_TOOL_CALL:
	case SL_PART_TOOL_RESULT:
	case SL_PART_OPAQUE:
		return false;
	case SL_PART_REASONING:
		return is_own_thought(e, part) && can_reason(e);
	case SL_PART_TEXT:
	case SL_PART_REFUSAL:
		return !sl_text_empty(part->text);
	default:
		return true;
	}
}

/* What a model without thoughts said to itself before its calls. */
static void
put_plan(struct encoding *e, const struct sl_part *part)
{
	struct sl_buf text;
	bool any = false;

	sl_buf_init(&text, TEXT_MAX);
	sl_buf_append_char(&text, '"');
	for (; part; part = part->next) {
		if (!is_own_thought(e, part))
			continue;
		any = true;
		sl_text_append(&text, part->text);
	}
	sl_buf_append_char(&text, '"');
	if (text.failed)
		e->encode->out->failed = true;
	else if (any) {
		sl_json_key(&e->w, "tool_plan");
		sl_json_put_raw(&e->w, sl_buf_slice(&text));
	}
	sl_buf_release(&text);
}

static void
put_assistant(struct encoding *e, const struct sl_turn *turn)
{
	const struct sl_part *call = turn->parts, *shown = turn->parts;

	while (call && call->kind != SL_PART_TOOL_CALL)
		call = call->next;
	e->planned = call && !can_reason(e);
	while (shown && !is_shown(e, shown))
		shown = shown->next;
	if (!shown && !call) {
		sl_note(e->encode->notes, SL_NOTE_reasoning_stripped, &turn->where);
		return;
	}
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "role", SL_SLICE("assistant"));
	if (shown) {
		put_content(e, turn->parts);
	} else {
		for (const struct sl_part *part = turn->parts; part != call; part = part->next)
			put_part(e, part); /* writes nothing, for its notes */
	}
	if (e->planned)
		put_plan(e, turn->parts);
	if (call) {
		sl_json_key(&e->w, "tool_calls");
		sl_json_arr(&e->w);
		for (; call; call = call->next)
			put_call(e, call);
		sl_json_arr_end(&e->w);
	}
	sl_json_obj_end(&e->w);
}

/* The texts of a result as one. */
static void
put_result_text(struct encoding *e, const struct sl_part *result)
{
	struct sl_buf text;

	sl_buf_init(&text, TEXT_MAX);
	sl_buf_append_char(&text, '"');
	if (result->is_error == SL_YES) {
		sl_note(e->encode->notes, SL_NOTE_tool_error_marked, &result->where);
		sl_buf_append_str(&text, "Error: ");
	}
	for (const struct sl_part *part = result->parts; part; part = part->next) {
		sl_encode_no_cache(e->encode, part->cache, &part->where);
		if (part->kind == SL_PART_TEXT)
			sl_text_append(&text, part->text);
		else
			refuse(e, &part->where, "tool results of this API hold text only.");
	}
	sl_buf_append_char(&text, '"');
	if (text.failed)
		e->encode->out->failed = true;
	else
		sl_json_put_raw(&e->w, sl_buf_slice(&text));
	sl_buf_release(&text);
}

static void
put_results(struct encoding *e, const struct sl_turn *turn)
{
	for (const struct sl_part *result = turn->parts; result && e->err == SL_OK;
	     result = result->next) {
		sl_encode_no_cache(e->encode, result->cache, &result->where);
		sl_json_obj(&e->w);
		sl_json_str(&e->w, "role", SL_SLICE("tool"));
		sl_json_str(&e->w, "tool_call_id", sl_encode_id(e->encode, result->call_id));
		sl_json_key(&e->w, "content");
		put_result_text(e, result);
		sl_json_obj_end(&e->w);
	}
}

static void
put_turn(struct encoding *e, const struct sl_turn *turn)
{
	sl_encode_no_name(e->encode, turn);
	if (turn->role == SL_ROLE_ASSISTANT) {
		put_assistant(e, turn);
	} else if (turn->role == SL_ROLE_TOOL) {
		put_results(e, turn);
	} else {
		sl_json_obj(&e->w);
		sl_json_str(&e->w, "role", turn->role == SL_ROLE_USER ? SL_SLICE("user")
		                                                      : SL_SLICE("system"));
		put_content(e, turn->parts);
		sl_json_obj_end(&e->w);
	}
}

/* --- tools ---------------------------------------------------------------------------- */

static void
put_tool(struct encoding *e, const struct sl_tool *tool)
{
	struct sl_slice schema;

	if (tool->kind == SL_TOOL_HOSTED) {
		refuse(e, &tool->where, "the tool runs at another provider. Choose a model "
			       "of that provider, or leave the tool out.");
		return;
	}
	if (tool->kind == SL_TOOL_CUSTOM && tool->raw.len) {
		refuse(e, &tool->where, "this API has no tools with a grammar.");
		return;
	}
	if (!sl_encode_schema(e->encode, tool, &schema)) {
		e->err = SL_EUNSUPPORTED;
		return;
	}
	sl_encode_no_cache(e->encode, tool->cache, &tool->where);
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("function"));
	sl_json_key(&e->w, "function");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "name", sl_encode_name(e->encode, tool->name));
	if (!sl_text_empty(tool->description)) {
		sl_json_key(&e->w, "description");
		sl_text_put(&e->w, tool->description);
	}
	sl_json_key(&e->w, "parameters");
	sl_json_put_raw(&e->w, schema);
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

/* strict_tools is for all or none. */
static void
put_strict(struct encoding *e)
{
	const struct sl_tool *loose = NULL, *strict = NULL;

	for (const struct sl_tool *tool = e->encode->dialog->tools; tool; tool = tool->next)
		*(tool->strict == SL_YES ? &strict : &loose) = tool;
	if (strict && !loose)
		sl_json_bool(&e->w, "strict_tools", true);
	else if (strict)
		sl_note(e->encode->notes, SL_NOTE_tool_strict_dropped, &strict->where);
}

/* A named tool is REQUIRED with nothing else to choose from. */
static bool
is_offered(struct encoding *e, const struct sl_tool *tool)
{
	const struct sl_tool_choice *choice = &e->encode->dialog->choice;

	if (choice->mode != SL_CHOICE_NAMED)
		return sl_encode_allows(e->encode, tool);
	if (sl_slice_eq(tool->name, choice->names[0]))
		return true;
	sl_note(e->encode->notes, SL_NOTE_tool_choice_changed, &choice->where);
	return false;
}

static void
put_tools(struct encoding *e)
{
	const struct sl_dialog *dialog = e->encode->dialog;
	const struct sl_tool_choice *choice = &dialog->choice;
	bool forced = choice->mode == SL_CHOICE_REQUIRED || choice->mode == SL_CHOICE_NAMED;

	if (!dialog->tools) {
		if (forced)
			sl_note(e->encode->notes, SL_NOTE_tool_choice_dropped, &choice->where);
		return;
	}
	sl_json_key(&e->w, "tools");
	sl_json_arr(&e->w);
	for (const struct sl_tool *tool = dialog->tools; tool && e->err == SL_OK; tool = tool->next)
		if (is_offered(e, tool))
			put_tool(e, tool);
	sl_json_arr_end(&e->w);
	put_strict(e);
	if (forced)
		sl_json_str(&e->w, "tool_choice", SL_SLICE("REQUIRED"));
	else if (choice->mode == SL_CHOICE_NONE)
		sl_json_str(&e->w, "tool_choice", SL_SLICE("NONE"));
}

/* --- the rest -------------------------------------------------------------------------- */

static void
put_format(struct encoding *e)
{
	const struct sl_output *output = &e->encode->dialog->output;

	if (output->format == SL_FORMAT_TEXT)
		return;
	sl_json_key(&e->w, "response_format");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("json_object"));
	if (output->format == SL_FORMAT_SCHEMA) {
		sl_json_key(&e->w, "json_schema");
		sl_json_put_raw(&e->w, output->schema);
		sl_encode_no_description(e->encode);
	}
	sl_json_obj_end(&e->w);
}

static void
put_thinking(struct encoding *e)
{
	const struct sl_reasoning *reasoning = &e->encode->dialog->reasoning;
	int64_t budget = reasoning->budget_tokens;

	if (reasoning->mode == SL_REASONING_UNSET) {
		sl_encode_no_effort(e->encode);
		return;
	}
	if (!can_reason(e)) {
		if (reasoning->mode != SL_REASONING_OFF)
			sl_note(e->encode->notes, SL_NOTE_parameter_dropped, &reasoning->where);
		return;
	}
	sl_json_key(&e->w, "thinking");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", reasoning->mode == SL_REASONING_OFF ? SL_SLICE("disabled")
	                                                               : SL_SLICE("enabled"));
	if (budget < 0 && reasoning->effort != SL_EFFORT_UNSET) {
		budget = sl_effort_budget(reasoning->effort);
		sl_note(e->encode->notes, SL_NOTE_reasoning_changed, &reasoning->where);
	}
	if (reasoning->mode != SL_REASONING_OFF && budget > 0)
		sl_json_int(&e->w, "token_budget", budget);
	sl_json_obj_end(&e->w);
}

/* A number that this API takes within narrower bounds than others. */
static void
put_number(struct encoding *e, enum sl_param param, const char *name, double low, double high)
{
	struct sl_json value = sl_encode_takes(e->encode, param);
	double number = 0;

	if (!sl_json_f64(value, &number))
		return;
	sl_json_key(&e->w, name);
	if (number >= low && number <= high) {
		sl_json_put_raw(&e->w, value.raw);
		return;
	}
	sl_note(e->encode->notes, SL_NOTE_sampling_clamped,
	        &e->encode->dialog->params[param].where);
	sl_json_put_f64(&e->w, number < low ? low : high);
}

enum sl_err
sl_cohere_encode(struct sl_encode *encode)
{
	const struct sl_dialog *dialog = encode->dialog;
	struct encoding e = { .encode = encode };

	sl_json_writer_init(&e.w, encode->out);
	sl_json_obj(&e.w);
	sl_json_str(&e.w, "model", encode->target->model);
	if (dialog->stream)
		sl_json_bool(&e.w, "stream", true);
	sl_json_key(&e.w, "messages");
	sl_json_arr(&e.w);
	for (const struct sl_turn *turn = dialog->turns; turn && e.err == SL_OK; turn = turn->next)
		put_turn(&e, turn);
	sl_json_arr_end(&e.w);
	put_tools(&e);
	put_format(&e);
	put_thinking(&e);
	e.max_tokens = sl_encode_max_tokens(encode, false);
	if (e.max_tokens > 0)
		sl_json_int(&e.w, "max_tokens", e.max_tokens);
	put_number(&e, SL_PARAM_TEMPERATURE, "temperature", 0, 2);
	put_number(&e, SL_PARAM_TOP_P, "p", 0.01, 0.99);
	put_number(&e, SL_PARAM_TOP_K, "k", 0, 500);
	put_number(&e, SL_PARAM_PRESENCE_PENALTY, "presence_penalty", 0, 1);
	put_number(&e, SL_PARAM_FREQUENCY_PENALTY, "frequency_penalty", 0, 1);
	sl_encode_param(encode, &e.w, SL_PARAM_SEED, "seed");
	sl_encode_param(encode, &e.w, SL_PARAM_STOP, "stop_sequences");
	sl_json_obj_end(&e.w);
	return e.err;
}

/* anthropic_encode.c - a settled dialog as a body of POST /v1/messages.
 *
 * Results and what the user says behind them are one user message, results first.
 * An instruction in the middle becomes marked text of the user, because only some
 * models take the role. What a model refuses is the rules' (model_rules.def).
 */
#include "shapes/anthropic_codec.h"

enum { THINKING_MIN = 1024 };

struct encoding {
	struct sl_encode     *encode;
	struct sl_json_writer w;
	const char           *open;  /* role of the message that is being written */
	bool                  thinking;
	bool                  own;   /* the caller speaks this API: opaque blocks travel */
	int64_t               max_tokens;
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

static void
put_cache(struct encoding *e, enum sl_cache cache)
{
	if (cache == SL_CACHE_NONE)
		return;
	sl_json_key(&e->w, "cache_control");
	sl_json_put_raw(&e->w, cache == SL_CACHE_1H
	                           ? SL_SLICE("{\"type\":\"ephemeral\",\"ttl\":\"1h\"}")
	                           : SL_SLICE("{\"type\":\"ephemeral\"}"));
}

static void
put_text_block(struct encoding *e, struct sl_text text, enum sl_cache cache)
{
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("text"));
	sl_json_key(&e->w, "text");
	sl_text_put(&e->w, text);
	put_cache(e, cache);
	sl_json_obj_end(&e->w);
}

/* --- blocks -------------------------------------------------------------------------- */

static bool
is_picture(struct sl_slice type)
{
	return sl_slice_is(type, "image/png") || sl_slice_is(type, "image/jpeg") ||
	       sl_slice_is(type, "image/gif") || sl_slice_is(type, "image/webp");
}

static void put_parts(struct encoding *e, const struct sl_part *part);

static void
put_source(struct encoding *e, const struct sl_part *part)
{
	const struct sl_media *media = &part->media;

	sl_json_key(&e->w, "source");
	sl_json_obj(&e->w);
	switch (media->source) {
	case SL_MEDIA_INLINE:
		sl_json_str(&e->w, "type", SL_SLICE("base64"));
		sl_json_str(&e->w, "media_type", media->type);
		sl_json_str(&e->w, "data", media->data);
		break;
	case SL_MEDIA_URL:
		sl_json_str(&e->w, "type", SL_SLICE("url"));
		sl_json_str(&e->w, "url", media->data);
		break;
	case SL_MEDIA_FILE_ID:
		sl_json_str(&e->w, "type", SL_SLICE("file"));
		sl_json_str(&e->w, "file_id", media->data);
		break;
	case SL_MEDIA_TEXT:
		sl_json_str(&e->w, "type", SL_SLICE("text"));
		sl_json_str(&e->w, "media_type", SL_SLICE("text/plain"));
		sl_json_key(&e->w, "data");
		sl_text_put(&e->w, part->text);
		break;
	case SL_MEDIA_PARTS:
		sl_json_str(&e->w, "type", SL_SLICE("content"));
		sl_json_key(&e->w, "content");
		sl_json_arr(&e->w);
		put_parts(e, part->parts);
		sl_json_arr_end(&e->w);
		break;
	case SL_MEDIA_URI:
		break;
	}
	sl_json_obj_end(&e->w);
}

static void
put_media(struct encoding *e, const struct sl_part *part)
{
	const struct sl_media *media = &part->media;
	bool document = part->kind == SL_PART_DOCUMENT;

	if (part->kind == SL_PART_AUDIO || part->kind == SL_PART_VIDEO)
		refuse(e, &part->where, "this API takes no sound and no video.");
	else if (media->source == SL_MEDIA_FILE_ID && !e->own)
		refuse(e, &part->where, "a file id means something to its own provider only; send "
		                        "the data.");
	else if (media->source == SL_MEDIA_URI)
		refuse(e, &part->where, "this storage is out of the provider's reach; send the data.");
	else if (media->source == SL_MEDIA_INLINE && !document && !is_picture(media->type))
		refuse(e, &part->where, "pictures must be png, jpeg, gif or webp.");
	else if (media->source == SL_MEDIA_INLINE && document &&
	         !sl_slice_is(media->type, "application/pdf"))
		refuse(e, &part->where, "files must be PDF or text.");
	if (e->err != SL_OK)
		return;
	if (media->detail.len && !sl_slice_is(media->detail, "auto"))
		sl_note(e->encode->notes, SL_NOTE_media_detail_dropped, &part->where);
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", document ? SL_SLICE("document") : SL_SLICE("image"));
	put_source(e, part);
	if (document && !sl_text_empty(media->title)) {
		sl_json_key(&e->w, "title");
		sl_text_put(&e->w, media->title);
	}
	if (document && !sl_text_empty(media->context)) {
		sl_json_key(&e->w, "context");
		sl_text_put(&e->w, media->context);
	}
	if (document && media->citations) {
		sl_json_key(&e->w, "citations");
		sl_json_put_raw(&e->w, SL_SLICE("{\"enabled\":true}"));
	}
	put_cache(e, part->cache);
	sl_json_obj_end(&e->w);
}

static void
put_thinking(struct encoding *e, const struct sl_part *part)
{
	if (!sl_encode_is_issuer(e->encode, part)) {
		sl_note(e->encode->notes, SL_NOTE_reasoning_stripped, &part->where);
		return;
	}
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type",
	            part->redacted ? SL_SLICE("redacted_thinking") : SL_SLICE("thinking"));
	if (!part->redacted) {
		sl_json_key(&e->w, "thinking");
		if (sl_text_empty(part->text))
			sl_json_put_raw(&e->w, SL_SLICE("\"\""));
		else
			sl_text_put(&e->w, part->text);
	}
	sl_json_str(&e->w, part->redacted ? "data" : "signature", part->signature);
	sl_json_obj_end(&e->w);
}

static void
put_call(struct encoding *e, const struct sl_part *part)
{
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("tool_use"));
	sl_json_str(&e->w, "id", sl_encode_id(e->encode, part->call_id));
	sl_json_str(&e->w, "name", sl_encode_name(e->encode, part->name));
	sl_json_key(&e->w, "input");
	sl_json_put_raw(&e->w, sl_encode_args(e->encode, part));
	put_cache(e, part->cache);
	sl_json_obj_end(&e->w);
}

static void
put_result(struct encoding *e, const struct sl_part *part)
{
	const struct sl_part *inner = part->parts;
	bool plain = inner && !inner->next && inner->kind == SL_PART_TEXT &&
	             inner->cache == SL_CACHE_NONE;

	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("tool_result"));
	sl_json_str(&e->w, "tool_use_id", sl_encode_id(e->encode, part->call_id));
	if (inner) {
		sl_json_key(&e->w, "content");
		if (plain && sl_text_empty(inner->text)) {
			sl_json_put_raw(&e->w, SL_SLICE("\"\""));
		} else if (plain) {
			sl_text_put(&e->w, inner->text);
		} else {
			sl_json_arr(&e->w);
			put_parts(e, inner);
			sl_json_arr_end(&e->w);
		}
	}
	if (part->is_error == SL_YES)
		sl_json_bool(&e->w, "is_error", true);
	put_cache(e, part->cache);
	sl_json_obj_end(&e->w);
}

static void
put_part(struct encoding *e, const struct sl_part *part)
{
	switch (part->kind) {
	case SL_PART_REFUSAL:
		sl_note(e->encode->notes, SL_NOTE_refusal_as_text, &part->where);
		/* fallthrough */
	case SL_PART_TEXT:
		if (part->citations)
			sl_note(e->encode->notes, SL_NOTE_citations_dropped, &part->where);
		if (!sl_text_empty(part->text))
			put_text_block(e, part->text, part->cache);
		break;
	case SL_PART_REASONING:
		put_thinking(e, part);
		break;
	case SL_PART_TOOL_CALL:
		put_call(e, part);
		break;
	case SL_PART_TOOL_RESULT:
		put_result(e, part);
		break;
	case SL_PART_IMAGE:
	case SL_PART_AUDIO:
	case SL_PART_VIDEO:
	case SL_PART_DOCUMENT:
		put_media(e, part);
		break;
	case SL_PART_OPAQUE:
		if (e->own && strcmp(part->origin, e->encode->dialog->origin) == 0)
			sl_json_put_raw(&e->w, part->raw);
		else
			sl_note(e->encode->notes, SL_NOTE_part_dropped, &part->where);
		break;
	}
}

static void
put_parts(struct encoding *e, const struct sl_part *part)
{
	for (; part && e->err == SL_OK; part = part->next)
		put_part(e, part);
}

/* --- messages -------------------------------------------------------------------------- */

/* Whether anything of an assistant turn would be written. */
static bool
has_content(const struct encoding *e, const struct sl_turn *turn)
{
	for (const struct sl_part *part = turn->parts; part; part = part->next) {
		if (part->kind == SL_PART_OPAQUE && !e->own)
			continue;
		if (part->kind != SL_PART_REASONING || sl_encode_is_issuer(e->encode, part))
			return true;
	}
	return false;
}

static void
put_instruction(struct encoding *e, const struct sl_turn *turn)
{
	sl_note(e->encode->notes, SL_NOTE_instruction_moved, &turn->where);
	sl_encode_message(&e->w, &e->open, "user");
	put_text_block(e, sl_text_plain(SL_SLICE("<system>")), SL_CACHE_NONE);
	put_parts(e, turn->parts);
	put_text_block(e, sl_text_plain(SL_SLICE("</system>")), SL_CACHE_NONE);
}

/* White space at the end of a prefill is refused. */
static struct sl_slice
trimmed(struct encoding *e, const struct sl_part *part)
{
	struct sl_slice text, end;

	if (!sl_text_utf8(part->text, e->encode->arena, &text))
		return SL_SLICE_NONE;
	end = text;
	while (end.len && strchr(" \n\r\t", end.ptr[end.len - 1]))
		end.len--;
	if (end.len != text.len)
		sl_note(e->encode->notes, SL_NOTE_prefill_trimmed, &part->where);
	return end;
}

static void
put_prefill(struct encoding *e, const struct sl_turn *turn)
{
	if (has_rule(e, SL_RULE_NO_PREFILL)) {
		refuse(e, &turn->where, "the model does not go on from an assistant message at the "
		                        "end. Let a user message be the last one.");
		return;
	}
	for (const struct sl_part *part = turn->parts; part; part = part->next)
		if (!part->next && part->kind == SL_PART_TEXT)
			put_text_block(e, sl_text_plain(trimmed(e, part)), SL_CACHE_NONE);
		else
			put_part(e, part);
}

static void
put_turn(struct encoding *e, const struct sl_turn *turn)
{
	sl_encode_no_name(e->encode, turn);
	if (sl_turn_instructs(turn)) {
		put_instruction(e, turn);
		return;
	}
	if (turn->role != SL_ROLE_ASSISTANT) {
		sl_encode_message(&e->w, &e->open, "user");
		put_parts(e, turn->parts);
		return;
	}
	if (!has_content(e, turn)) {
		put_parts(e, turn->parts); /* for its notes */
		return;
	}
	if (!e->open) {
		sl_encode_message(&e->w, &e->open, "user");
		put_text_block(e, sl_text_plain(SL_SLICE(".")), SL_CACHE_NONE);
		sl_note(e->encode->notes, SL_NOTE_turn_placeholder, &turn->where);
	}
	sl_encode_message(&e->w, &e->open, "assistant");
	if (turn->next)
		put_parts(e, turn->parts);
	else
		put_prefill(e, turn);
}

/* What nothing was left of needs something to be said. */
static void
put_messages(struct encoding *e, const struct sl_turn *turn)
{
	sl_json_key(&e->w, "messages");
	sl_json_arr(&e->w);
	for (; turn && e->err == SL_OK; turn = turn->next)
		put_turn(e, turn);
	sl_encode_message(&e->w, &e->open, NULL);
	sl_json_arr_end(&e->w);
}

/* The leading instructions; returns the first turn behind them. */
static const struct sl_turn *
put_system(struct encoding *e)
{
	const struct sl_turn *turn = e->encode->dialog->turns;
	const struct sl_output *output = &e->encode->dialog->output;
	bool words = output->format == SL_FORMAT_JSON ||
	             (output->format == SL_FORMAT_SCHEMA && !has_rule(e, SL_RULE_JSON_SCHEMA));
	const struct sl_part *part;

	if (!words && (!turn || !sl_turn_instructs(turn)))
		return turn;
	for (const struct sl_turn *t = turn; t && sl_turn_instructs(t); t = t->next)
		sl_encode_no_name(e->encode, t);
	sl_json_key(&e->w, "system");
	part = turn && sl_turn_instructs(turn) ? turn->parts : NULL;
	if (!words && !part->next && part->cache == SL_CACHE_NONE && part->kind == SL_PART_TEXT &&
	    !(turn->next && sl_turn_instructs(turn->next))) {
		sl_text_put(&e->w, part->text);
		return turn->next;
	}
	sl_json_arr(&e->w);
	for (; turn && sl_turn_instructs(turn); turn = turn->next)
		put_parts(e, turn->parts);
	if (words)
		put_text_block(e, sl_text_plain(sl_encode_format_words(e->encode)), SL_CACHE_NONE);
	sl_json_arr_end(&e->w);
	return turn;
}

/* --- tools -------------------------------------------------------------------------------- */

static void
put_tool(struct encoding *e, const struct sl_tool *tool)
{
	struct sl_slice schema;

	if (tool->kind == SL_TOOL_HOSTED) {
		if (e->own)
			sl_json_put_raw(&e->w, tool->raw);
		else
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
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "name", sl_encode_name(e->encode, tool->name));
	if (!sl_text_empty(tool->description)) {
		sl_json_key(&e->w, "description");
		sl_text_put(&e->w, tool->description);
	}
	sl_json_key(&e->w, "input_schema");
	sl_json_put_raw(&e->w, schema);
	if (tool->strict == SL_YES && has_rule(e, SL_RULE_JSON_SCHEMA))
		sl_json_bool(&e->w, "strict", true);
	else if (tool->strict == SL_YES)
		sl_note(e->encode->notes, SL_NOTE_tool_strict_dropped, &tool->where);
	put_cache(e, tool->cache);
	sl_json_obj_end(&e->w);
}

static void
put_choice(struct encoding *e)
{
	static const char *const types[] = { "auto", "auto", "none", "any", "tool" };
	const struct sl_dialog *dialog = e->encode->dialog;
	const struct sl_tool_choice *choice = &dialog->choice;
	struct sl_json parallel = sl_encode_takes(e->encode, SL_PARAM_PARALLEL_TOOLS);
	bool single = parallel.type == SL_JSON_FALSE;

	if (choice->mode == SL_CHOICE_UNSET && !single)
		return;
	sl_json_key(&e->w, "tool_choice");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", sl_slice_str(types[choice->mode]));
	if (choice->mode == SL_CHOICE_NAMED)
		sl_json_str(&e->w, "name", sl_encode_name(e->encode, choice->names[0]));
	if (single && choice->mode != SL_CHOICE_NONE)
		sl_json_bool(&e->w, "disable_parallel_tool_use", true);
	sl_json_obj_end(&e->w);
}

static void
put_tools(struct encoding *e)
{
	const struct sl_dialog *dialog = e->encode->dialog;
	const struct sl_tool_choice *choice = &dialog->choice;

	if (!dialog->tools) {
		sl_encode_takes(e->encode, SL_PARAM_PARALLEL_TOOLS);
		if (choice->mode == SL_CHOICE_REQUIRED || choice->mode == SL_CHOICE_NAMED)
			sl_note(e->encode->notes, SL_NOTE_tool_choice_dropped, &choice->where);
		return;
	}
	sl_json_key(&e->w, "tools");
	sl_json_arr(&e->w);
	for (const struct sl_tool *tool = dialog->tools; tool && e->err == SL_OK;
	     tool = tool->next)
		if (sl_encode_allows(e->encode, tool))
			put_tool(e, tool);
	sl_json_arr_end(&e->w);
	if (e->err == SL_OK)
		put_choice(e);
}

/* --- reasoning, sampling --------------------------------------------------------------------- */

/* Thinking by budget wants its blocks back on a turn whose calls are being answered. */
static bool
lost_thinking(const struct encoding *e)
{
	const struct sl_turn *last_call = NULL;

	for (const struct sl_turn *turn = e->encode->dialog->turns; turn; turn = turn->next) {
		if (turn->role == SL_ROLE_ASSISTANT)
			last_call = turn->parts_last->kind == SL_PART_TOOL_CALL ? turn : NULL;
		if (turn->role == SL_ROLE_USER)
			last_call = NULL;
	}
	return last_call && !(last_call->parts->kind == SL_PART_REASONING &&
	                      sl_encode_is_issuer(e->encode, last_call->parts));
}

static bool
thinking_is_possible(struct encoding *e, bool by_budget)
{
	const struct sl_dialog *dialog = e->encode->dialog;
	const struct sl_model_card *card = e->encode->target->card;

	if (!has_rule(e, SL_RULE_THINKING_BUDGET) && !has_rule(e, SL_RULE_THINKING_ADAPTIVE) &&
	    !(card && card->capabilities & SL_CAP_REASONING) && !e->own) {
		sl_note(e->encode->notes, SL_NOTE_parameter_dropped, &dialog->reasoning.where);
		return false;
	}
	if (e->own)
		return true;
	if ((dialog->tools && (dialog->choice.mode == SL_CHOICE_REQUIRED ||
	                       dialog->choice.mode == SL_CHOICE_NAMED)) ||
	    (by_budget && (e->max_tokens <= THINKING_MIN || lost_thinking(e)))) {
		sl_note(e->encode->notes, SL_NOTE_reasoning_disabled, &dialog->reasoning.where);
		return false;
	}
	return true;
}

static void
put_budget(struct encoding *e, int64_t budget)
{
	const struct sl_reasoning *reasoning = &e->encode->dialog->reasoning;
	int64_t wanted = budget;

	if (budget < THINKING_MIN)
		budget = THINKING_MIN;
	if (budget >= e->max_tokens)
		budget = e->max_tokens - 1;
	if (budget != wanted)
		sl_note(e->encode->notes, SL_NOTE_reasoning_changed, &reasoning->where);
	sl_json_str(&e->w, "type", SL_SLICE("enabled"));
	sl_json_int(&e->w, "budget_tokens", budget);
}

static void
put_thinking_mode(struct encoding *e)
{
	const struct sl_reasoning *reasoning = &e->encode->dialog->reasoning;
	bool asked = reasoning->mode == SL_REASONING_ON || reasoning->mode == SL_REASONING_ADAPTIVE;
	bool adaptive = has_rule(e, SL_RULE_THINKING_ADAPTIVE) ||
	                (e->own && reasoning->mode == SL_REASONING_ADAPTIVE);
	int64_t budget = reasoning->budget_tokens;

	if (!asked || !thinking_is_possible(e, !adaptive)) {
		if (reasoning->mode == SL_REASONING_OFF && (e->own || adaptive)) {
			sl_json_key(&e->w, "thinking");
			sl_json_put_raw(&e->w, SL_SLICE("{\"type\":\"disabled\"}"));
		}
		return;
	}
	e->thinking = true;
	sl_json_key(&e->w, "thinking");
	sl_json_obj(&e->w);
	if (adaptive) {
		if (budget >= 0)
			sl_note(e->encode->notes, SL_NOTE_reasoning_changed, &reasoning->where);
		sl_json_str(&e->w, "type", SL_SLICE("adaptive"));
	} else {
		if (budget < 0)
			budget = sl_effort_budget(reasoning->effort ? reasoning->effort
			                                            : SL_EFFORT_MEDIUM);
		put_budget(e, budget);
	}
	if (reasoning->show != SL_UNSET && has_rule(e, SL_RULE_THINKING_ADAPTIVE))
		sl_json_str(&e->w, "display", reasoning->show == SL_YES ? SL_SLICE("summarized")
		                                                        : SL_SLICE("omitted"));
	sl_json_obj_end(&e->w);
}

static void
put_output_config(struct encoding *e)
{
	const struct sl_dialog *dialog = e->encode->dialog;
	const struct sl_output *output = &dialog->output;
	enum sl_effort effort = dialog->reasoning.effort;
	bool schema = output->format == SL_FORMAT_SCHEMA && has_rule(e, SL_RULE_JSON_SCHEMA);
	bool put_effort;

	if (effort == SL_EFFORT_UNSET && dialog->reasoning.budget_tokens >= 0)
		effort = sl_effort_of_budget(dialog->reasoning.budget_tokens);
	put_effort = effort != SL_EFFORT_UNSET &&
	             (has_rule(e, SL_RULE_THINKING_ADAPTIVE) || (e->own && !e->thinking));
	if (!put_effort && dialog->reasoning.mode == SL_REASONING_UNSET)
		sl_encode_no_effort(e->encode);
	if (!put_effort && !schema)
		return;
	sl_json_key(&e->w, "output_config");
	sl_json_obj(&e->w);
	if (put_effort) {
		if (effort == SL_EFFORT_MINIMAL) {
			sl_note(e->encode->notes, SL_NOTE_reasoning_changed,
			        &dialog->reasoning.where);
			effort = SL_EFFORT_LOW;
		}
		sl_json_str(&e->w, "effort", sl_slice_str(sl_effort_name(effort)));
	}
	if (schema) {
		sl_json_key(&e->w, "format");
		sl_json_obj(&e->w);
		sl_json_str(&e->w, "type", SL_SLICE("json_schema"));
		sl_json_key(&e->w, "schema");
		sl_json_put_raw(&e->w, output->schema);
		sl_json_obj_end(&e->w);
		sl_encode_no_description(e->encode);
	}
	sl_json_obj_end(&e->w);
}

static const struct sl_where *
where_of(const struct encoding *e, enum sl_param param)
{
	return &e->encode->dialog->params[param].where;
}

static void
put_temperature(struct encoding *e)
{
	struct sl_json value = sl_encode_takes(e->encode, SL_PARAM_TEMPERATURE);
	double number = 1;

	sl_json_f64(value, &number);
	if (e->thinking && number != 1) {
		sl_note(e->encode->notes, SL_NOTE_sampling_dropped, where_of(e, SL_PARAM_TEMPERATURE));
		return;
	}
	sl_json_key(&e->w, "temperature");
	if (number > 1) {
		sl_note(e->encode->notes, SL_NOTE_sampling_clamped, where_of(e, SL_PARAM_TEMPERATURE));
		sl_json_put_i64(&e->w, 1);
	} else {
		sl_json_put_raw(&e->w, value.raw);
	}
}

static void
put_sampling(struct encoding *e)
{
	static const enum sl_param all[] = { SL_PARAM_TEMPERATURE, SL_PARAM_TOP_P,
		                             SL_PARAM_TOP_K };
	const struct sl_dialog *dialog = e->encode->dialog;
	bool temperature = sl_dialog_has(dialog, SL_PARAM_TEMPERATURE);

	if (has_rule(e, SL_RULE_NO_SAMPLING)) {
		for (size_t i = 0; i < 3; i++)
			if (sl_dialog_has(dialog, all[i])) {
				sl_encode_takes(e->encode, all[i]);
				sl_note(e->encode->notes, SL_NOTE_sampling_dropped,
				        where_of(e, all[i]));
			}
		return;
	}
	if (temperature)
		put_temperature(e);
	if (sl_dialog_has(dialog, SL_PARAM_TOP_P) &&
	    ((temperature && has_rule(e, SL_RULE_ONE_SAMPLING)) || e->thinking)) {
		sl_encode_takes(e->encode, SL_PARAM_TOP_P);
		sl_note(e->encode->notes, SL_NOTE_sampling_dropped, where_of(e, SL_PARAM_TOP_P));
	} else {
		sl_encode_param(e->encode, &e->w, SL_PARAM_TOP_P, "top_p");
	}
	if (sl_dialog_has(dialog, SL_PARAM_TOP_K) && e->thinking) {
		sl_encode_takes(e->encode, SL_PARAM_TOP_K);
		sl_note(e->encode->notes, SL_NOTE_sampling_dropped, where_of(e, SL_PARAM_TOP_K));
	} else {
		sl_encode_param(e->encode, &e->w, SL_PARAM_TOP_K, "top_k");
	}
}

/* --- the rest ---------------------------------------------------------------------------------- */

static void
put_user(struct encoding *e)
{
	struct sl_json user = sl_encode_takes(e->encode, SL_PARAM_USER);

	if (user.type == SL_JSON_NONE) {
		user = sl_encode_takes(e->encode, SL_PARAM_SAFETY_IDENTIFIER);
		if (user.type == SL_JSON_NONE)
			return;
	}
	sl_json_key(&e->w, "metadata");
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "user_id");
	sl_json_put_raw(&e->w, user.raw);
	sl_json_obj_end(&e->w);
}

static void
put_tier(struct encoding *e)
{
	struct sl_json tier = e->encode->dialog->params[SL_PARAM_SERVICE_TIER].value;

	if (sl_json_is(tier, "auto") || sl_json_is(tier, "standard_only"))
		sl_encode_param(e->encode, &e->w, SL_PARAM_SERVICE_TIER, "service_tier");
	else if (sl_json_is(tier, "default") || sl_json_is(tier, "standard")) {
		sl_encode_takes(e->encode, SL_PARAM_SERVICE_TIER);
		sl_json_str(&e->w, "service_tier", SL_SLICE("standard_only"));
	}
}

/* What only callers of this very API can have said. */
static void
put_own(struct encoding *e)
{
	if (!e->own)
		return;
	sl_encode_param(e->encode, &e->w, SL_PARAM_CONTAINER, "container");
	sl_encode_param(e->encode, &e->w, SL_PARAM_MCP_SERVERS, "mcp_servers");
	sl_encode_param(e->encode, &e->w, SL_PARAM_CONTEXT_MANAGEMENT, "context_management");
	sl_encode_extras(e->encode, &e->w);
}

static bool
is_white(struct encoding *e, struct sl_json value)
{
	struct sl_slice text;

	return value.type == SL_JSON_STRING && sl_json_string(value, e->encode->arena, &text) &&
	       sl_slice_trim(text).len == 0;
}

/* Sequences of white space alone are refused by the API. */
static void
put_stop(struct encoding *e)
{
	struct sl_json value = sl_encode_takes(e->encode, SL_PARAM_STOP);
	size_t kept = 0, lost = 0;

	for (struct sl_json_iter it = sl_json_iter(value);
	     value.type == SL_JSON_ARRAY && sl_json_next(&it);)
		*(is_white(e, it.value) ? &lost : &kept) += 1;
	if (lost)
		sl_note(e->encode->notes, SL_NOTE_parameter_dropped,
		        &e->encode->dialog->params[SL_PARAM_STOP].where);
	if (value.type == SL_JSON_NONE || (lost && !kept))
		return;
	sl_json_key(&e->w, "stop_sequences");
	if (!lost) {
		sl_json_put_raw(&e->w, value.raw);
		return;
	}
	sl_json_arr(&e->w);
	for (struct sl_json_iter it = sl_json_iter(value); sl_json_next(&it);)
		if (!is_white(e, it.value))
			sl_json_put_raw(&e->w, it.value.raw);
	sl_json_arr_end(&e->w);
}

enum sl_err
sl_anthropic_encode(struct sl_encode *encode)
{
	const struct sl_dialog *dialog = encode->dialog;
	struct encoding e = { .encode = encode,
		              .own = sl_slice_is(SL_SLICE("anthropic_messages"), dialog->origin) };
	const struct sl_turn *turn;

	sl_json_writer_init(&e.w, encode->out);
	sl_json_obj(&e.w);
	if (!encode->target->model_in_path)
		sl_json_str(&e.w, "model", encode->target->model);
	e.max_tokens = sl_encode_max_tokens(encode, true);
	sl_json_int(&e.w, "max_tokens", e.max_tokens);
	if (dialog->stream)
		sl_json_bool(&e.w, "stream", true);
	turn = put_system(&e);
	put_messages(&e, turn);
	put_tools(&e);
	put_thinking_mode(&e);
	put_output_config(&e);
	put_sampling(&e);
	put_stop(&e);
	put_user(&e);
	put_tier(&e);
	put_own(&e);
	sl_json_obj_end(&e.w);
	return e.err;
}

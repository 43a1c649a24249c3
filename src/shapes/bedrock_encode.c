/* bedrock_encode.c - a settled dialog as a body of Converse.
 *
 * The union types of this API have exactly one member each. Turns alternate and
 * begin with the user; results and what the user says behind them are one message.
 * What Claude takes beyond the common parameters goes into
 * additionalModelRequestFields. Tools must be declared wherever a turn has calls or
 * results, so they are declared again from the conversation if need be.
 */
#include "model/media.h"
#include "shapes/bedrock_codec.h"

enum { THINKING_MIN = 1024, NAME_MAX_LEN = 100, DERIVED_MAX = 64,
       DOCUMENT_NAMES = 32 };

struct encoding {
	struct sl_encode     *encode;
	struct sl_json_writer w;
	const char           *open;      /* role of the message that is being written */
	struct sl_slice       document_names[DOCUMENT_NAMES]; /* so far: they must differ */
	unsigned              documents;
	bool                  thinking;
	bool                  own;       /* the caller speaks this API */
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
	if (cache != SL_CACHE_NONE)
		sl_json_put_raw(&e->w, cache == SL_CACHE_1H
		    ? SL_SLICE("{\"cachePoint\":{\"type\":\"default\",\"ttl\":\"1h\"}}")
		    : SL_SLICE("{\"cachePoint\":{\"type\":\"default\"}}"));
}

/* Blank text is refused. */
static bool
is_blank(struct encoding *e, struct sl_text text)
{
	struct sl_slice utf8;

	return sl_text_empty(text) ||
	       (sl_text_utf8(text, e->encode->arena, &utf8) && sl_slice_trim(utf8).len == 0);
}

static void
put_text(struct encoding *e, struct sl_text text)
{
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "text");
	sl_text_put(&e->w, text);
	sl_json_obj_end(&e->w);
}

/* --- media ------------------------------------------------------------------------- */

static const struct {
	struct sl_slice type;
	const char     *format;
	enum sl_part_kind kind;
} formats[] = {
	{ SL_SLICE_INIT("image/png"), "png", SL_PART_IMAGE },
	{ SL_SLICE_INIT("image/jpeg"), "jpeg", SL_PART_IMAGE },
	{ SL_SLICE_INIT("image/gif"), "gif", SL_PART_IMAGE },
	{ SL_SLICE_INIT("image/webp"), "webp", SL_PART_IMAGE },
	{ SL_SLICE_INIT("application/pdf"), "pdf", SL_PART_DOCUMENT },
	{ SL_SLICE_INIT("text/plain"), "txt", SL_PART_DOCUMENT },
	{ SL_SLICE_INIT("text/csv"), "csv", SL_PART_DOCUMENT },
	{ SL_SLICE_INIT("text/html"), "html", SL_PART_DOCUMENT },
	{ SL_SLICE_INIT("text/markdown"), "md", SL_PART_DOCUMENT },
	{ SL_SLICE_INIT("application/msword"), "doc", SL_PART_DOCUMENT },
	{ SL_SLICE_INIT("application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
	  "docx", SL_PART_DOCUMENT },
	{ SL_SLICE_INIT("application/vnd.ms-excel"), "xls", SL_PART_DOCUMENT },
	{ SL_SLICE_INIT("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"), "xlsx",
	  SL_PART_DOCUMENT },
	{ SL_SLICE_INIT("video/mp4"), "mp4", SL_PART_VIDEO },
	{ SL_SLICE_INIT("video/quicktime"), "mov", SL_PART_VIDEO },
	{ SL_SLICE_INIT("video/webm"), "webm", SL_PART_VIDEO },
};

static const char *
format_of(const struct sl_part *part)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (formats[i].kind == part->kind && sl_slice_eq(formats[i].type, part->media.type))
			return formats[i].format;
	return NULL;
}

static bool
is_taken(const struct encoding *e, struct sl_slice name)
{
	for (unsigned i = 0; i + 1 < e->documents && i < DOCUMENT_NAMES; i++)
		if (sl_slice_eq(e->document_names[i], name))
			return true;
	return false;
}

/* Letters, digits, single spaces, - ( ) [ ]; no two documents of a request alike. */
static struct sl_slice
document_name(struct encoding *e, const struct sl_part *part)
{
	struct sl_slice title = SL_SLICE_NONE, plain, out;
	char name[NAME_MAX_LEN + 1];
	size_t len = 0;

	if (!sl_text_utf8(part->media.title, e->encode->arena, &title))
		title = SL_SLICE_NONE;
	for (size_t i = 0; i < title.len && len < NAME_MAX_LEN; i++) {
		char c = title.ptr[i];
		bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		            (c >= '0' && c <= '9') || strchr("-()[]", c);

		if (fine && c)
			name[len++] = c;
		else if (len > 0 && name[len - 1] != ' ')
			name[len++] = ' ';
	}
	while (len > 0 && name[len - 1] == ' ')
		len--;
	e->documents++;
	plain = len ? sl_arena_dup(e->encode->arena, sl_slice_make(name, len))
	            : sl_arena_printf(e->encode->arena, "document %u", e->documents);
	out = plain;
	for (unsigned n = e->documents; e->documents > DOCUMENT_NAMES || is_taken(e, out); n++) {
		out = sl_arena_printf(e->encode->arena, "%.*s (%u)", SL_ARG(plain), n);
		if (e->documents > DOCUMENT_NAMES)
			break;
	}
	if (e->documents <= DOCUMENT_NAMES)
		e->document_names[e->documents - 1] = out;
	if (title.len && !sl_slice_eq(title, out))
		sl_note(e->encode->notes, SL_NOTE_file_name_changed, &part->where);
	return out;
}

static bool
can_send(struct encoding *e, const struct sl_part *part)
{
	const struct sl_media *media = &part->media;
	bool bucket = media->source == SL_MEDIA_URI &&
	              sl_slice_starts(media->data, SL_SLICE("s3://"));

	if (part->kind == SL_PART_AUDIO)
		refuse(e, &part->where, "this API takes no sound.");
	else if (media->source == SL_MEDIA_URL)
		refuse(e, &part->where, "this API fetches no URLs; send the data, or have "
		                        "media.fetch switched on.");
	else if (media->source == SL_MEDIA_FILE_ID)
		refuse(e, &part->where, "a file id means something to its own provider only; send "
		                        "the data.");
	else if (media->source == SL_MEDIA_URI && !bucket)
		refuse(e, &part->where, "this storage is out of the provider's reach; send the data.");
	else if (!format_of(part))
		refuse(e, &part->where, "the media type is none that this API takes.");
	return e->err == SL_OK;
}

static void put_parts(struct encoding *e, const struct sl_part *part, bool inside);

static void
put_media(struct encoding *e, const struct sl_part *part, bool inside)
{
	const struct sl_media *media = &part->media;
	const char *member = part->kind == SL_PART_IMAGE      ? "image"
	                     : part->kind == SL_PART_DOCUMENT ? "document"
	                                                      : "video";

	if (media->source == SL_MEDIA_TEXT || media->source == SL_MEDIA_PARTS) {
		sl_note(e->encode->notes, SL_NOTE_document_as_text, &part->where);
		if (media->source == SL_MEDIA_PARTS)
			put_parts(e, part->parts, inside);
		else if (!is_blank(e, part->text))
			put_text(e, part->text);
		return;
	}
	if (!can_send(e, part))
		return;
	if (media->detail.len && !sl_slice_is(media->detail, "auto"))
		sl_note(e->encode->notes, SL_NOTE_media_detail_dropped, &part->where);
	if (media->citations)
		sl_note(e->encode->notes, SL_NOTE_citations_dropped, &part->where);
	sl_json_obj(&e->w);
	sl_json_key(&e->w, member);
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "format", sl_slice_str(format_of(part)));
	if (part->kind == SL_PART_DOCUMENT)
		sl_json_str(&e->w, "name", document_name(e, part));
	sl_json_key(&e->w, "source");
	sl_json_obj(&e->w);
	if (media->source == SL_MEDIA_INLINE) {
		sl_json_str(&e->w, "bytes", media->data);
	} else {
		sl_json_key(&e->w, "s3Location");
		sl_json_obj(&e->w);
		sl_json_str(&e->w, "uri", media->data);
		sl_json_obj_end(&e->w);
	}
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

/* --- blocks ------------------------------------------------------------------------ */

static void
put_reasoning(struct encoding *e, const struct sl_part *part)
{
	if (!sl_encode_is_issuer(e->encode, part)) {
		sl_note(e->encode->notes, SL_NOTE_reasoning_stripped, &part->where);
		return;
	}
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "reasoningContent");
	sl_json_obj(&e->w);
	if (part->redacted) {
		sl_json_str(&e->w, "redactedContent", part->signature);
	} else {
		sl_json_key(&e->w, "reasoningText");
		sl_json_obj(&e->w);
		sl_json_key(&e->w, "text");
		if (sl_text_empty(part->text))
			sl_json_put_raw(&e->w, SL_SLICE("\"\""));
		else
			sl_text_put(&e->w, part->text);
		if (part->signature.len)
			sl_json_str(&e->w, "signature", part->signature);
		sl_json_obj_end(&e->w);
	}
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

static void
put_call(struct encoding *e, const struct sl_part *part)
{
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "toolUse");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "toolUseId", sl_encode_id(e->encode, part->call_id));
	sl_json_str(&e->w, "name", sl_encode_name(e->encode, part->name));
	sl_json_key(&e->w, "input");
	sl_json_put_raw(&e->w, sl_encode_args(e->encode, part));
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

static void
put_result(struct encoding *e, const struct sl_part *part)
{
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "toolResult");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "toolUseId", sl_encode_id(e->encode, part->call_id));
	sl_json_key(&e->w, "content");
	sl_json_arr(&e->w);
	put_parts(e, part->parts, true);
	sl_json_arr_end(&e->w);
	if (part->is_error == SL_YES)
		sl_json_str(&e->w, "status", SL_SLICE("error"));
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

/* inside: of a tool result, where only text and media may stand. */
static void
put_part(struct encoding *e, const struct sl_part *part, bool inside)
{
	switch (part->kind) {
	case SL_PART_REFUSAL:
		sl_note(e->encode->notes, SL_NOTE_refusal_as_text, &part->where);
		/* fallthrough */
	case SL_PART_TEXT:
		if (part->citations)
			sl_note(e->encode->notes, SL_NOTE_citations_dropped, &part->where);
		if (!is_blank(e, part->text))
			put_text(e, part->text);
		else if (!sl_text_empty(part->text))
			sl_note(e->encode->notes, SL_NOTE_empty_dropped, &part->where);
		break;
	case SL_PART_REASONING:
		put_reasoning(e, part);
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
		put_media(e, part, inside);
		break;
	case SL_PART_OPAQUE:
		if (e->own && strcmp(part->origin, e->encode->dialog->origin) == 0)
			sl_json_put_raw(&e->w, part->raw);
		else
			sl_note(e->encode->notes, SL_NOTE_part_dropped, &part->where);
		break;
	}
	if (inside)
		sl_encode_no_cache(e->encode, part->cache, &part->where);
	else
		put_cache(e, part->cache);
}

static void
put_parts(struct encoding *e, const struct sl_part *part, bool inside)
{
	for (; part && e->err == SL_OK; part = part->next)
		put_part(e, part, inside);
}

/* --- messages ---------------------------------------------------------------------- */

/* Whether a part would be written at all; a message must not be empty. */
static bool
is_written(struct encoding *e, const struct sl_part *part)
{
	if (part->kind == SL_PART_TEXT || part->kind == SL_PART_REFUSAL)
		return !is_blank(e, part->text);
	if (part->kind == SL_PART_OPAQUE)
		return e->own;
	return part->kind != SL_PART_REASONING || sl_encode_is_issuer(e->encode, part);
}

static bool
has_content(struct encoding *e, const struct sl_turn *turn)
{
	for (const struct sl_part *part = turn->parts; part; part = part->next)
		if (is_written(e, part))
			return true;
	return false;
}

static void
put_turn(struct encoding *e, const struct sl_turn *turn)
{
	bool assistant = turn->role == SL_ROLE_ASSISTANT;

	sl_encode_no_name(e->encode, turn);
	if (assistant && !turn->next && has_rule(e, SL_RULE_NO_PREFILL)) {
		refuse(e, &turn->where, "the model does not go on from an assistant message at the "
		                        "end. Let a user message be the last one.");
		return;
	}
	if (!has_content(e, turn)) {
		put_parts(e, turn->parts, true); /* writes nothing, for its notes */
		return;
	}
	if (sl_turn_instructs(turn)) {
		sl_note(e->encode->notes, SL_NOTE_instruction_moved, &turn->where);
		sl_encode_message(&e->w, &e->open, "user");
		put_text(e, sl_text_plain(SL_SLICE("<system>")));
		put_parts(e, turn->parts, false);
		put_text(e, sl_text_plain(SL_SLICE("</system>")));
		return;
	}
	if (assistant && !e->open) {
		sl_encode_message(&e->w, &e->open, "user");
		put_text(e, sl_text_plain(SL_SLICE(".")));
		sl_note(e->encode->notes, SL_NOTE_turn_placeholder, &turn->where);
	}
	sl_encode_message(&e->w, &e->open, assistant ? "assistant" : "user");
	put_parts(e, turn->parts, false);
}

static void
put_messages(struct encoding *e, const struct sl_turn *turn)
{
	sl_json_key(&e->w, "messages");
	sl_json_arr(&e->w);
	for (; turn && e->err == SL_OK; turn = turn->next)
		put_turn(e, turn);
	if (!e->open) {
		sl_encode_message(&e->w, &e->open, "user");
		put_text(e, sl_text_plain(SL_SLICE(".")));
		sl_note(e->encode->notes, SL_NOTE_turn_placeholder, NULL);
	}
	sl_encode_message(&e->w, &e->open, NULL);
	sl_json_arr_end(&e->w);
}

static bool
has_native_schema(const struct encoding *e)
{
	return e->encode->dialog->output.format == SL_FORMAT_SCHEMA &&
	       has_rule(e, SL_RULE_JSON_SCHEMA);
}

static const struct sl_turn *
first_call(const struct sl_dialog *dialog)
{
	for (const struct sl_turn *turn = dialog->turns; turn; turn = turn->next)
		if (turn->role == SL_ROLE_ASSISTANT && turn->parts_last->kind == SL_PART_TOOL_CALL)
			return turn;
	return NULL;
}

/* Tools that are declared only because the conversation has calls. */
static bool
has_idle_tools(const struct sl_dialog *dialog)
{
	return (!dialog->tools || dialog->choice.mode == SL_CHOICE_NONE) && first_call(dialog);
}

/* The leading instructions; returns the first turn behind them. */
static const struct sl_turn *
put_system(struct encoding *e)
{
	const struct sl_turn *turn = e->encode->dialog->turns;
	bool words = e->encode->dialog->output.format != SL_FORMAT_TEXT && !has_native_schema(e);
	bool idle = has_idle_tools(e->encode->dialog);

	if (!words && !idle && (!turn || !sl_turn_instructs(turn)))
		return turn;
	sl_json_key(&e->w, "system");
	sl_json_arr(&e->w);
	for (; turn && sl_turn_instructs(turn); turn = turn->next) {
		sl_encode_no_name(e->encode, turn);
		put_parts(e, turn->parts, false);
	}
	if (idle)
		put_text(e, sl_text_plain(SL_SLICE("Do not call any tool: answer in text.")));
	if (words)
		put_text(e, sl_text_plain(sl_encode_format_words(e->encode)));
	sl_json_arr_end(&e->w);
	return turn;
}

/* --- tools ------------------------------------------------------------------------- */

static void
put_spec(struct encoding *e, struct sl_slice name, struct sl_text description,
         struct sl_slice schema, bool strict)
{
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "toolSpec");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "name", name);
	if (!sl_text_empty(description)) {
		sl_json_key(&e->w, "description");
		sl_text_put(&e->w, description);
	}
	sl_json_key(&e->w, "inputSchema");
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "json");
	sl_json_put_raw(&e->w, schema);
	sl_json_obj_end(&e->w);
	if (strict)
		sl_json_bool(&e->w, "strict", true);
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

static void
put_tool(struct encoding *e, const struct sl_tool *tool)
{
	struct sl_slice schema;
	bool strict = tool->strict == SL_YES && has_rule(e, SL_RULE_JSON_SCHEMA);

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
	if (tool->strict == SL_YES && !strict)
		sl_note(e->encode->notes, SL_NOTE_tool_strict_dropped, &tool->where);
	put_spec(e, sl_encode_name(e->encode, tool->name), tool->description, schema, strict);
	put_cache(e, tool->cache);
}

/* The tools that the conversation itself mentions, once each. */
static void
put_derived(struct encoding *e)
{
	struct sl_slice names[DERIVED_MAX];
	size_t count = 0;

	for (const struct sl_turn *turn = e->encode->dialog->turns; turn; turn = turn->next)
		for (const struct sl_part *part = turn->parts; part; part = part->next) {
			size_t seen = 0;

			if (part->kind != SL_PART_TOOL_CALL)
				continue;
			while (seen < count && !sl_slice_eq(names[seen], part->name))
				seen++;
			if (seen < count || count == DERIVED_MAX)
				continue;
			names[count++] = part->name;
			put_spec(e, sl_encode_name(e->encode, part->name), SL_TEXT_NONE,
			         SL_SLICE("{\"type\":\"object\",\"properties\":{}}"), false);
		}
}

static void
put_choice(struct encoding *e)
{
	const struct sl_tool_choice *choice = &e->encode->dialog->choice;

	if (choice->mode == SL_CHOICE_UNSET || choice->mode == SL_CHOICE_NONE)
		return;
	sl_json_key(&e->w, "toolChoice");
	if (choice->mode == SL_CHOICE_NAMED) {
		sl_json_obj(&e->w);
		sl_json_key(&e->w, "tool");
		sl_json_obj(&e->w);
		sl_json_str(&e->w, "name", sl_encode_name(e->encode, choice->names[0]));
		sl_json_obj_end(&e->w);
		sl_json_obj_end(&e->w);
	} else {
		sl_json_put_raw(&e->w, choice->mode == SL_CHOICE_REQUIRED
		                           ? SL_SLICE("{\"any\":{}}")
		                           : SL_SLICE("{\"auto\":{}}"));
	}
}

/* "none" has no word here: the tools are left out, unless the conversation needs
 * them declared; then an instruction says it. */
static void
put_tools(struct encoding *e)
{
	const struct sl_dialog *dialog = e->encode->dialog;
	const struct sl_tool_choice *choice = &dialog->choice;
	const struct sl_turn *call = first_call(dialog);
	bool none = choice->mode == SL_CHOICE_NONE;

	if (!dialog->tools && (choice->mode == SL_CHOICE_REQUIRED || choice->mode == SL_CHOICE_NAMED))
		sl_note(e->encode->notes, SL_NOTE_tool_choice_dropped, &choice->where);
	if (none && dialog->tools)
		sl_note(e->encode->notes, SL_NOTE_tool_choice_changed, &choice->where);
	if ((!dialog->tools || none) && !call)
		return;
	sl_json_key(&e->w, "toolConfig");
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "tools");
	sl_json_arr(&e->w);
	for (const struct sl_tool *tool = dialog->tools; tool && e->err == SL_OK; tool = tool->next)
		if (sl_encode_allows(e->encode, tool))
			put_tool(e, tool);
	if (!dialog->tools) {
		sl_note(e->encode->notes, SL_NOTE_tools_derived, &call->where);
		put_derived(e);
	}
	sl_json_arr_end(&e->w);
	if (dialog->tools)
		put_choice(e);
	sl_json_obj_end(&e->w);
}

/* --- inference --------------------------------------------------------------------- */

static void
drop_sampling(struct encoding *e, enum sl_param param)
{
	if (sl_encode_takes(e->encode, param).type != SL_JSON_NONE)
		sl_note(e->encode->notes, SL_NOTE_sampling_dropped,
		        &e->encode->dialog->params[param].where);
}

static void
put_sampling(struct encoding *e)
{
	const struct sl_dialog *dialog = e->encode->dialog;
	bool temperature = sl_dialog_has(dialog, SL_PARAM_TEMPERATURE);
	bool refused = has_rule(e, SL_RULE_NO_SAMPLING);
	double number = 1;

	sl_json_f64(dialog->params[SL_PARAM_TEMPERATURE].value, &number);
	if (refused || (e->thinking && number != 1)) {
		drop_sampling(e, SL_PARAM_TEMPERATURE);
	} else if (number > 1) {
		sl_encode_takes(e->encode, SL_PARAM_TEMPERATURE);
		sl_note(e->encode->notes, SL_NOTE_sampling_clamped,
		        &dialog->params[SL_PARAM_TEMPERATURE].where);
		sl_json_int(&e->w, "temperature", 1);
	} else {
		sl_encode_param(e->encode, &e->w, SL_PARAM_TEMPERATURE, "temperature");
	}
	if (refused || e->thinking || (temperature && has_rule(e, SL_RULE_ONE_SAMPLING)))
		drop_sampling(e, SL_PARAM_TOP_P);
	else
		sl_encode_param(e->encode, &e->w, SL_PARAM_TOP_P, "topP");
}

static void
put_inference(struct encoding *e)
{
	sl_json_key(&e->w, "inferenceConfig");
	sl_json_obj(&e->w);
	if (e->max_tokens > 0)
		sl_json_int(&e->w, "maxTokens", e->max_tokens);
	put_sampling(e);
	sl_encode_param(e->encode, &e->w, SL_PARAM_STOP, "stopSequences");
	sl_json_obj_end(&e->w);
}

/* A budget lies below a limit that is written: the provider's own cannot be counted on. */
static bool
wants_budget(const struct encoding *e)
{
	const struct sl_reasoning *reasoning = &e->encode->dialog->reasoning;

	return has_rule(e, SL_RULE_THINKING_BUDGET) && !has_rule(e, SL_RULE_THINKING_ADAPTIVE) &&
	       (reasoning->mode == SL_REASONING_ON || reasoning->mode == SL_REASONING_ADAPTIVE);
}

/* Thinking by budget wants its blocks back on a turn whose calls are being answered,
 * and goes with no forced tool. */
static bool
thinking_goes(const struct encoding *e)
{
	const struct sl_dialog *dialog = e->encode->dialog;
	const struct sl_turn *last = NULL;

	if (dialog->tools && (dialog->choice.mode == SL_CHOICE_REQUIRED ||
	                      dialog->choice.mode == SL_CHOICE_NAMED))
		return false;
	if (has_rule(e, SL_RULE_THINKING_ADAPTIVE))
		return true;
	for (const struct sl_turn *turn = dialog->turns; turn; turn = turn->next) {
		if (turn->role == SL_ROLE_ASSISTANT)
			last = turn->parts_last->kind == SL_PART_TOOL_CALL ? turn : NULL;
		else if (turn->role == SL_ROLE_USER)
			last = NULL;
	}
	return e->max_tokens > THINKING_MIN &&
	       (!last || (last->parts->kind == SL_PART_REASONING &&
	                  sl_encode_is_issuer(e->encode, last->parts)));
}

static int64_t
thinking_budget(struct encoding *e)
{
	const struct sl_reasoning *reasoning = &e->encode->dialog->reasoning;
	int64_t wanted = reasoning->budget_tokens, budget;

	if (wanted < 0)
		wanted = sl_effort_budget(reasoning->effort ? reasoning->effort : SL_EFFORT_MEDIUM);
	budget = wanted < THINKING_MIN ? THINKING_MIN : wanted;
	if (budget >= e->max_tokens)
		budget = e->max_tokens - 1;
	if (budget != wanted)
		sl_note(e->encode->notes, SL_NOTE_reasoning_changed, &reasoning->where);
	return budget;
}

/* Decided before sampling is written, because it narrows that. */
static void
decide_thinking(struct encoding *e)
{
	const struct sl_reasoning *reasoning = &e->encode->dialog->reasoning;

	if (reasoning->mode == SL_REASONING_UNSET)
		sl_encode_no_effort(e->encode);
	if (reasoning->mode != SL_REASONING_ON && reasoning->mode != SL_REASONING_ADAPTIVE)
		return;
	if (!has_rule(e, SL_RULE_THINKING_BUDGET) && !has_rule(e, SL_RULE_THINKING_ADAPTIVE))
		sl_note(e->encode->notes, SL_NOTE_parameter_dropped, &reasoning->where);
	else if (thinking_goes(e))
		e->thinking = true;
	else
		sl_note(e->encode->notes, SL_NOTE_reasoning_disabled, &reasoning->where);
}

/* What only Claude's own API has words for. */
static void
put_additional(struct encoding *e)
{
	bool top_k = sl_dialog_has(e->encode->dialog, SL_PARAM_TOP_K);

	if (top_k && (has_rule(e, SL_RULE_NO_SAMPLING) || e->thinking)) {
		drop_sampling(e, SL_PARAM_TOP_K);
		top_k = false;
	}
	if (!e->thinking && !top_k)
		return;
	sl_json_key(&e->w, "additionalModelRequestFields");
	sl_json_obj(&e->w);
	if (top_k)
		sl_encode_param(e->encode, &e->w, SL_PARAM_TOP_K, "top_k");
	if (e->thinking) {
		sl_json_key(&e->w, "thinking");
		sl_json_obj(&e->w);
		if (has_rule(e, SL_RULE_THINKING_ADAPTIVE)) {
			sl_json_str(&e->w, "type", SL_SLICE("adaptive"));
		} else {
			sl_json_str(&e->w, "type", SL_SLICE("enabled"));
			sl_json_int(&e->w, "budget_tokens", thinking_budget(e));
		}
		sl_json_obj_end(&e->w);
	}
	sl_json_obj_end(&e->w);
}

static void
put_output(struct encoding *e)
{
	const struct sl_output *output = &e->encode->dialog->output;

	if (!has_native_schema(e))
		return;
	sl_json_key(&e->w, "outputConfig");
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "textFormat");
	sl_json_obj(&e->w);
	sl_json_str(&e->w, "type", SL_SLICE("json_schema"));
	sl_json_key(&e->w, "structure");
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "jsonSchema");
	sl_json_obj(&e->w);
	/* The schema travels as text. */
	sl_json_str(&e->w, "schema", output->schema);
	if (output->schema_name.len)
		sl_json_str(&e->w, "name", output->schema_name);
	if (!sl_text_empty(output->description)) {
		sl_json_key(&e->w, "description");
		sl_text_put(&e->w, output->description);
	}
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
	sl_json_obj_end(&e->w);
}

static void
put_tier(struct encoding *e)
{
	struct sl_json tier = e->encode->dialog->params[SL_PARAM_SERVICE_TIER].value;

	if (!sl_json_is(tier, "default") && !sl_json_is(tier, "flex") &&
	    !sl_json_is(tier, "priority"))
		return;
	sl_encode_takes(e->encode, SL_PARAM_SERVICE_TIER);
	sl_json_key(&e->w, "serviceTier");
	sl_json_obj(&e->w);
	sl_json_key(&e->w, "type");
	sl_json_put_raw(&e->w, tier.raw);
	sl_json_obj_end(&e->w);
}

/* Labels for the operator's own logs, strings only. */
static void
put_metadata(struct encoding *e)
{
	struct sl_json metadata = sl_encode_takes(e->encode, SL_PARAM_METADATA);
	struct sl_json user = sl_encode_takes(e->encode, SL_PARAM_USER);
	bool any = user.type == SL_JSON_STRING;

	for (struct sl_json_iter it = sl_json_iter(metadata); sl_json_next(&it);)
		any = any || it.value.type == SL_JSON_STRING;
	if (!any)
		return;
	sl_json_key(&e->w, "requestMetadata");
	sl_json_obj(&e->w);
	for (struct sl_json_iter it = sl_json_iter(metadata); sl_json_next(&it);) {
		if (it.value.type != SL_JSON_STRING)
			continue;
		sl_json_key_slice(&e->w, sl_codec_key(it.key, e->encode->arena));
		sl_json_put_raw(&e->w, it.value.raw);
	}
	if (user.type == SL_JSON_STRING) {
		sl_json_key(&e->w, "user");
		sl_json_put_raw(&e->w, user.raw);
	}
	sl_json_obj_end(&e->w);
}

/* What only callers of this very API can have said. */
static void
put_own(struct encoding *e)
{
	if (!e->own)
		return;
	sl_encode_extras(e->encode, &e->w);
}

enum sl_err
sl_bedrock_encode(struct sl_encode *encode)
{
	struct encoding e = { .encode = encode,
		              .own = sl_slice_is(SL_SLICE("bedrock_converse"),
		                                 encode->dialog->origin) };
	const struct sl_turn *turn;

	sl_json_writer_init(&e.w, encode->out);
	sl_json_obj(&e.w);
	e.max_tokens = sl_encode_max_tokens(encode, wants_budget(&e));
	turn = put_system(&e);
	put_messages(&e, turn);
	put_tools(&e);
	decide_thinking(&e);
	put_inference(&e);
	put_additional(&e);
	put_output(&e);
	put_tier(&e);
	put_metadata(&e);
	put_own(&e);
	sl_json_obj_end(&e.w);
	return e.err;
}

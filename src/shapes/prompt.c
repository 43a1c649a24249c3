/* prompt.c - what the user said last, and what else speaks for a model.
 *
 *   body --members--> messages --user turns--> ring of their last texts
 *                                                 '--newest first--> excerpts
 *
 * The walk costs the length of the body, the excerpts at most SL_PROMPT_BYTES_MAX
 * bytes of unescaping. Members are compared as they are written: one whose name
 * is escaped is not recognised, and the prompt is then judged without it.
 */
#include "shapes/prompt.h"

#include <string.h>

#include "model/catalog.h"

enum {
	/* One excerpt may come in two parts. */
	TEXTS_KEPT = SL_PROMPT_TEXTS_MAX - 1,
	TURNS_KEPT = 2,
	OPENING_BYTES = 1024,
	/* Below this an excerpt says nothing. */
	EXCERPT_MIN = 64,
};

struct said {
	struct sl_slice raw; /* between the quotes, still escaped */
	size_t          turn;
};

struct prompt_reading {
	struct sl_prompt *out;
	struct said       ring[TEXTS_KEPT];
	size_t            count; /* texts seen; the ring holds the last of them */
	size_t            turn;  /* user turns with text */
	bool              turn_has_text;
	bool              opened;  /* the opening is complete */
};

static void
add_opening(struct prompt_reading *reading, struct sl_slice raw)
{
	uint64_t hash = reading->out->opening ? reading->out->opening : 0xcbf29ce484222325u;

	/* Instructions can be long; two conversations that differ do so early, late or in
	 * length. */
	if (raw.len > 2 * OPENING_BYTES) {
		add_opening(reading, sl_slice_upto(raw, OPENING_BYTES));
		hash = reading->out->opening ^ raw.len;
		raw = sl_slice_from(raw, raw.len - OPENING_BYTES);
	}
	for (size_t i = 0; i < raw.len; i++)
		hash = (hash ^ (unsigned char)raw.ptr[i]) * 0x100000001b3u;
	reading->out->opening = hash;
}

static bool
is_any(struct sl_slice name, const char *const *list)
{
	for (; *list; list++)
		if (sl_slice_is(name, *list))
			return true;
	return false;
}

static void
keep_text(struct prompt_reading *reading, struct sl_json text)
{
	if (text.type != SL_JSON_STRING || text.raw.len <= 2)
		return;
	if (!reading->turn_has_text)
		reading->turn++;
	reading->turn_has_text = true;
	reading->ring[reading->count++ % TEXTS_KEPT] = (struct said){
		.raw = sl_slice_make(text.raw.ptr + 1, text.raw.len - 2),
		.turn = reading->turn,
	};
}

/* --- messages ------------------------------------------------------------- */

static uint32_t
modality_of_type(struct sl_json mime)
{
	static const struct {
		const char *prefix;
		uint32_t    modality;
	} all[] = {
		{ "\"image/", SL_MODALITY_IMAGE }, { "\"audio/", SL_MODALITY_AUDIO },
		{ "\"video/", SL_MODALITY_VIDEO }, { "\"application/pdf", SL_MODALITY_PDF },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (sl_slice_starts(mime.raw, sl_slice_str(all[i].prefix)))
			return all[i].modality;
	return 0;
}

/* Whether the part is something other than text, and notes what. */
static bool
is_media(struct sl_json part, uint32_t *modalities)
{
	static const struct {
		const char *type;
		uint32_t    modality;
	} types[] = {
		{ "image_url", SL_MODALITY_IMAGE },   { "input_image", SL_MODALITY_IMAGE },
		{ "image", SL_MODALITY_IMAGE },       { "input_audio", SL_MODALITY_AUDIO },
		{ "video_url", SL_MODALITY_VIDEO },   { "file", SL_MODALITY_PDF },
		{ "input_file", SL_MODALITY_PDF },    { "document", SL_MODALITY_PDF },
	};
	static const char *const members[] = {
		"inlineData", "inline_data", "fileData", "file_data",
	};
	struct sl_json type = sl_json_get(part, "type");

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (sl_json_is(type, types[i].type)) {
			*modalities |= types[i].modality;
			return true;
		}
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		struct sl_json data = sl_json_get(part, members[i]);
		struct sl_json mime = sl_json_get(data, "mimeType");

		if (data.type != SL_JSON_OBJECT)
			continue;
		if (mime.type == SL_JSON_NONE)
			mime = sl_json_get(data, "mime_type");
		*modalities |= modality_of_type(mime);
		return true;
	}
	return false;
}

/* A message's content: a string, or parts of which some are text. */
static void
read_content(struct prompt_reading *reading, struct sl_json content)
{
	struct sl_json_iter it = sl_json_iter(content);

	keep_text(reading, content);
	if (content.type != SL_JSON_ARRAY)
		return;
	while (sl_json_next(&it)) {
		keep_text(reading, it.value);
		if (it.value.type != SL_JSON_OBJECT)
			continue;
		if (is_media(it.value, &reading->out->modalities))
			reading->out->media = true;
		else
			keep_text(reading, sl_json_get(it.value, "text"));
	}
}

/* Gemini may leave the role out; Responses has items that are no messages. */
static bool
is_users(struct sl_json message)
{
	struct sl_json role = sl_json_get(message, "role");

	if (role.type == SL_JSON_NONE)
		return sl_json_get(message, "parts").type == SL_JSON_ARRAY;
	return sl_json_is(role, "user");
}

static void
read_messages(struct prompt_reading *reading, struct sl_json list)
{
	struct sl_json_iter it = sl_json_iter(list);

	reading->out->size_bytes += list.raw.len;
	reading->turn_has_text = false;
	if (list.type == SL_JSON_STRING) {
		reading->out->turns++;
		add_opening(reading, list.raw);
		keep_text(reading, list);
		return;
	}
	if (list.type != SL_JSON_ARRAY)
		return;
	while (sl_json_next(&it)) {
		reading->out->turns++;
		reading->turn_has_text = false;
		keep_text(reading, it.value); /* completions: a list of prompts */
		if (!reading->opened)
			add_opening(reading, it.value.raw);
		reading->opened = reading->opened || is_users(it.value);
		if (!is_users(it.value))
			continue;
		read_content(reading, sl_json_get(it.value, "content"));
		read_content(reading, sl_json_get(it.value, "parts"));
	}
}

/* --- the form of the answer ------------------------------------------------ */

static bool
asks_for_schema(struct sl_slice member, struct sl_json value)
{
	static const char *const gemini[] = {
		"responseSchema", "responseJsonSchema", "response_schema", "response_json_schema",
	};

	if (sl_slice_is(member, "response_format") || sl_slice_is(member, "output_format"))
		return sl_json_is(sl_json_get(value, "type"), "json_schema");
	if (sl_slice_is(member, "text") || sl_slice_is(member, "output_config"))
		return sl_json_is(sl_json_at(value, "format.type"), "json_schema");
	if (sl_slice_is(member, "generationConfig") || sl_slice_is(member, "generation_config"))
		for (size_t i = 0; i < sizeof(gemini) / sizeof(gemini[0]); i++)
			if (sl_json_get(value, gemini[i]).type == SL_JSON_OBJECT)
				return true;
	return false;
}

static bool
is_filled_array(struct sl_json value)
{
	struct sl_json_iter it = sl_json_iter(value);

	return value.type == SL_JSON_ARRAY && sl_json_next(&it);
}

static void
read_instructions(struct prompt_reading *reading, struct sl_slice raw)
{
	reading->out->size_bytes += raw.len;
	add_opening(reading, raw);
}

static void
read_member(struct prompt_reading *reading, struct sl_slice member, struct sl_json value)
{
	static const char *const lists[] = { "messages", "input", "contents", "prompt", NULL };
	static const char *const instructions[] = {
		"system", "instructions", "systemInstruction", "system_instruction", NULL,
	};
	static const char *const tools[] = { "tools", "functions", NULL };

	if (is_any(member, lists))
		read_messages(reading, value);
	else if (is_any(member, instructions))
		read_instructions(reading, value.raw);
	else if (is_any(member, tools) && is_filled_array(value))
		reading->out->tools = true;
	else if (asks_for_schema(member, value))
		reading->out->schema = true;
}

/* --- excerpts --------------------------------------------------------------- */

/* How much of the raw text is at most max bytes and ends neither inside an escape
 * nor inside a character. */
static size_t
whole_until(struct sl_slice raw, size_t max)
{
	size_t at = 0;

	while (at < raw.len) {
		size_t step = 1;

		if (raw.ptr[at] == '\\')
			step = at + 1 < raw.len && raw.ptr[at + 1] == 'u' ? 6 : 2;
		if (at + step > max || at + step > raw.len)
			break;
		at += step;
	}
	while (at > 0 && at < raw.len && ((uint8_t)raw.ptr[at] & 0xc0) == 0x80)
		at--;
	return at;
}

/* The last max bytes from a space on, which no escape can hold; empty when the
 * text has none there. */
static struct sl_slice
tail_of(struct sl_slice raw, size_t max)
{
	struct sl_slice tail = sl_slice_from(raw, raw.len - max);
	const char *space = memchr(tail.ptr, ' ', tail.len);

	return space ? sl_slice_from(tail, (size_t)(space - tail.ptr) + 1) : SL_SLICE_NONE;
}

/* Puts what fits of a text before those that are there. The number of raw bytes
 * that it took of the budget. */
static size_t
put_excerpt(struct sl_prompt *out, struct sl_arena *arena, struct sl_slice raw, size_t budget)
{
	struct sl_slice parts[2] = { raw, SL_SLICE_NONE };
	size_t taken = 0;

	if (raw.len > budget) {
		parts[0] = sl_slice_upto(raw, whole_until(raw, budget / 8 * 5));
		parts[1] = tail_of(raw, budget / 8 * 3);
	}
	for (size_t i = 2; i-- > 0;) {
		struct sl_slice text;

		if (parts[i].len == 0 || !sl_json_unescape(parts[i], arena, &text))
			continue;
		memmove(out->text + 1, out->text, out->text_count * sizeof(out->text[0]));
		out->text[0] = text;
		out->text_count++;
		taken += parts[i].len;
	}
	return taken;
}

void
sl_prompt_read(const struct sl_steer *steer, struct sl_arena *arena, struct sl_prompt *out)
{
	struct prompt_reading reading = { .out = out };
	struct sl_json_iter it = sl_json_iter(sl_json_parse(steer->input.body));
	size_t budget = SL_PROMPT_BYTES_MAX;

	*out = (struct sl_prompt){ 0 };
	while (sl_json_next(&it))
		read_member(&reading, it.key, it.value);
	for (size_t i = reading.count; i > 0 && reading.count - i < TEXTS_KEPT; i--) {
		const struct said *said = &reading.ring[(i - 1) % TEXTS_KEPT];

		if (said->turn + TURNS_KEPT <= reading.turn ||
		    (said->raw.len > budget && budget < EXCERPT_MIN))
			break;
		budget -= put_excerpt(out, arena, said->raw, budget);
	}
}

/* dialog_generator.h - any conversation, from a number: texts, tools, parallel calls, media,
 * thoughts, cache markers, formats and settings. The same number gives the same one. */
#ifndef SL_TESTS_DIALOG_GENERATOR_H
#define SL_TESTS_DIALOG_GENERATOR_H

#include "model/dialog.h"

/* --- chance ------------------------------------------------------------------------- */

struct chance {
	uint64_t state;
	unsigned next_text;
};

static inline uint32_t
draw(struct chance *c, uint32_t below)
{
	c->state += 0x9e3779b97f4a7c15u;
	uint64_t x = c->state;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((x ^ x >> 31) % below);
}

static inline bool
one_in(struct chance *c, uint32_t times)
{
	return draw(c, times) == 0;
}

/* --- the dialog ------------------------------------------------------------------------ */

#define GEN_PNG "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
#define GEN_PDF "JVBERi0xLjQKJSVFT0YK"

struct gen {
	struct chance    chance;
	struct sl_dialog dialog;
	struct sl_arena *arena;
	const char      *issuer; /* of A */
	bool             odd_names;
	unsigned         calls;
};

static inline struct sl_text
text(struct gen *g)
{
	static const char *const spice[] = { "", " \\u00e9", " \xc3\xa9", " \\n", " \\\"q\\\"",
		                             " \\ud83d\\ude00", " <b>&amp;", "  x" };
	unsigned id = g->chance.next_text++;

	return (struct sl_text){ sl_arena_printf(g->arena, "\"t%ut%s\"", id,
	                                         spice[draw(&g->chance, 8)]), true };
}

static inline enum sl_cache
cache(struct gen *g)
{
	static const enum sl_cache kinds[] = { SL_CACHE_DEFAULT, SL_CACHE_5M, SL_CACHE_1H };

	return one_in(&g->chance, 12) ? kinds[draw(&g->chance, 3)] : SL_CACHE_NONE;
}

static inline void
fill_media(struct gen *g, struct sl_part *part)
{
	static const char *const details[] = { "low", "high", "auto" };

	if (part->kind == SL_PART_DOCUMENT && one_in(&g->chance, 4)) {
		part->media.source = SL_MEDIA_TEXT;
		part->media.type = SL_SLICE("text/plain");
		part->text = text(g);
		return;
	}
	if (part->kind == SL_PART_DOCUMENT) {
		part->media.type = SL_SLICE("application/pdf");
		part->media.data = SL_SLICE(GEN_PDF);
		if (one_in(&g->chance, 2))
			part->media.title = (struct sl_text){
			    sl_arena_printf(g->arena, "\"file%u.pdf\"", g->chance.next_text++), true };
		return;
	}
	part->media.type = SL_SLICE("image/png");
	part->media.data = SL_SLICE(GEN_PNG);
	if (one_in(&g->chance, 4))
		part->media.detail = sl_slice_str(details[draw(&g->chance, 3)]);
	if (one_in(&g->chance, 6)) {
		part->media.source = SL_MEDIA_URL;
		part->media.type = SL_SLICE_NONE;
		part->media.data = SL_SLICE("https://example.com/a.png");
	}
}

static inline void
add_user(struct gen *g)
{
	struct sl_turn *turn = sl_dialog_turn(&g->dialog, SL_ROLE_USER, (struct sl_where){ 0 });
	uint32_t count = 1 + draw(&g->chance, 3);

	if (one_in(&g->chance, 10))
		turn->name = sl_text_plain(SL_SLICE("ann"));
	for (uint32_t i = 0; i < count; i++) {
		static const enum sl_part_kind kinds[] = {
			SL_PART_TEXT, SL_PART_TEXT, SL_PART_TEXT, SL_PART_TEXT, SL_PART_IMAGE,
			SL_PART_DOCUMENT };
		enum sl_part_kind kind = kinds[draw(&g->chance, 6)];
		struct sl_part *part = sl_turn_part(&g->dialog, turn, kind, (struct sl_where){ 0 });

		if (kind == SL_PART_TEXT)
			part->text = text(g);
		else
			fill_media(g, part);
		part->cache = cache(g);
	}
}

static inline struct sl_slice
arguments(struct gen *g)
{
	static const char *const rows[] = {
		"{}", "{\"n\":9007199254740993}", "{\"a\":[1,{\"b\":null}],\"z\":\"\\u00e9\"}",
		"{\"zeta\":1.50,\"alpha\":true}", "{\"empty\":{},\"list\":[]}",
	};

	return sl_slice_str(rows[draw(&g->chance, 5)]);
}

/* The same each time: of most tools legal everywhere. */
static inline struct sl_slice
tool_name(struct gen *g, uint32_t number)
{
	return sl_arena_printf(g->arena, g->odd_names ? "fs/read.file-%u" : "f%u", number);
}

static inline void
add_result(struct gen *g, struct sl_turn *turn, struct sl_slice id)
{
	struct sl_part *result = sl_turn_part(&g->dialog, turn, SL_PART_TOOL_RESULT,
	                                      (struct sl_where){ 0 });
	uint32_t count = 1 + one_in(&g->chance, 4);

	result->call_id = id;
	if (one_in(&g->chance, 4))
		result->is_error = SL_YES;
	for (uint32_t i = 0; i < count; i++) {
		enum sl_part_kind kind = one_in(&g->chance, 8) ? SL_PART_IMAGE : SL_PART_TEXT;
		struct sl_part *part = sl_part_part(&g->dialog, result, kind,
		                                    (struct sl_where){ 0 });

		if (kind == SL_PART_TEXT)
			part->text = text(g);
		else
			fill_media(g, part);
	}
	result->cache = cache(g);
}

static inline void
add_assistant(struct gen *g, uint32_t tools, bool reasons)
{
	struct sl_turn *turn = sl_dialog_turn(&g->dialog, SL_ROLE_ASSISTANT,
	                                      (struct sl_where){ 0 });
	uint32_t calls = tools && one_in(&g->chance, 2) ? 1 + draw(&g->chance, 3) : 0;
	static const char *const odd_ids[] = {
		"call_%u", "functions.look:%u", "call-%u-of-more-than-sixty-four-letters-and-signs-"
		"so-that-it-is-too-long", "t_%u" };
	struct sl_slice ids[3];
	struct sl_part *part;

	if (reasons && one_in(&g->chance, 2)) {
		part = sl_turn_part(&g->dialog, turn, SL_PART_REASONING, (struct sl_where){ 0 });
		part->redacted = one_in(&g->chance, 8);
		if (!part->redacted)
			part->text = text(g);
		if (part->redacted || one_in(&g->chance, 2)) {
			part->signature = sl_arena_printf(g->arena, "c2lnbmF0dXJl%04u",
			                                  g->chance.next_text++ % 10000);
			part->issuer = sl_slice_str(g->issuer);
		}
	}
	if (!calls || one_in(&g->chance, 2)) {
		part = sl_turn_part(&g->dialog, turn,
		                    calls || !one_in(&g->chance, 10) ? SL_PART_TEXT
		                                                     : SL_PART_REFUSAL,
		                    (struct sl_where){ 0 });
		part->text = text(g);
		if (part->kind == SL_PART_TEXT)
			part->cache = cache(g);
	}
	for (uint32_t i = 0; i < calls; i++) {
		part = sl_turn_part(&g->dialog, turn, SL_PART_TOOL_CALL, (struct sl_where){ 0 });
		ids[i] = sl_arena_printf(g->arena, odd_ids[draw(&g->chance, 8) % 4], g->calls++);
		part->call_id = ids[i];
		part->name = tool_name(g, draw(&g->chance, tools));
		part->args = arguments(g);
	}
	if (!calls)
		return;
	turn = sl_dialog_turn(&g->dialog, SL_ROLE_TOOL, (struct sl_where){ 0 });
	for (uint32_t i = 0; i < calls; i++)
		add_result(g, turn, ids[i]);
}

static inline uint32_t
add_tools(struct gen *g)
{
	static const char *const schemas[] = {
		"", "{\"type\":\"object\",\"properties\":{}}",
		"{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}},"
		"\"required\":[\"city\"]}",
		"{\"type\":\"object\",\"properties\":{\"title\":{\"type\":\"string\","
		"\"enum\":[\"a\",\"b\"]},\"n\":{\"type\":\"integer\",\"minimum\":1}}}",
	};
	uint32_t count = draw(&g->chance, 4);
	struct sl_tool_choice *choice = &g->dialog.choice;

	g->odd_names = one_in(&g->chance, 12);
	for (uint32_t i = 0; i < count; i++) {
		struct sl_tool *tool = sl_dialog_tool(&g->dialog, SL_TOOL_FUNCTION,
		                                      (struct sl_where){ 0 });

		tool->name = tool_name(g, i);
		if (one_in(&g->chance, 2))
			tool->description = text(g);
		tool->schema = sl_slice_str(schemas[draw(&g->chance, 4)]);
		if (one_in(&g->chance, 4))
			tool->strict = one_in(&g->chance, 2) ? SL_YES : SL_NO;
		tool->cache = cache(g);
	}
	if (!count || !one_in(&g->chance, 2))
		return count;
	choice->mode = (enum sl_choice_mode)(1 + draw(&g->chance, 4));
	if (choice->mode == SL_CHOICE_NAMED || (choice->mode != SL_CHOICE_NONE &&
	                                        one_in(&g->chance, 3))) {
		choice->names = SL_ARENA_ARRAY(g->arena, struct sl_slice, 1);
		choice->names[0] = g->dialog.tools->name;
		choice->name_count = 1;
	}
	return count;
}

static inline void
add_param(struct gen *g, enum sl_param param, const char *raw, uint32_t times)
{
	if (one_in(&g->chance, times))
		sl_dialog_param(&g->dialog, param, sl_json_parse(sl_slice_str(raw)),
		                (struct sl_where){ 0 });
}

static inline void
add_settings(struct gen *g)
{
	static const char *const schema =
	    "{\"type\":\"object\",\"properties\":{\"answer\":{\"type\":\"string\"}},"
	    "\"required\":[\"answer\"],\"additionalProperties\":false}";
	struct sl_output *output = &g->dialog.output;

	add_param(g, SL_PARAM_MAX_TOKENS, "3000", 2);
	add_param(g, SL_PARAM_TEMPERATURE, "0.50", 4);
	add_param(g, SL_PARAM_TOP_P, "0.9", 6);
	add_param(g, SL_PARAM_TOP_K, "40", 8);
	add_param(g, SL_PARAM_SEED, "7", 8);
	add_param(g, SL_PARAM_PRESENCE_PENALTY, "0.25", 10);
	add_param(g, SL_PARAM_FREQUENCY_PENALTY, "0.125", 10);
	add_param(g, SL_PARAM_STOP, "[\"END\",\"\\n\\nUser:\"]", 6);
	add_param(g, SL_PARAM_USER, "\"u-1\"", 6);
	add_param(g, SL_PARAM_METADATA, "{\"team\":\"a\"}", 10);
	add_param(g, SL_PARAM_VERBOSITY, "\"low\"", 10);
	add_param(g, SL_PARAM_CACHE_KEY, "\"k1\"", 10);
	if (g->dialog.tools)
		add_param(g, SL_PARAM_PARALLEL_TOOLS, one_in(&g->chance, 2) ? "true" : "false", 4);
	if (!one_in(&g->chance, 5))
		return;
	output->format = one_in(&g->chance, 3) ? SL_FORMAT_JSON : SL_FORMAT_SCHEMA;
	if (output->format == SL_FORMAT_JSON)
		return;
	output->schema = sl_slice_str(schema);
	output->schema_name = SL_SLICE("reply");
	if (one_in(&g->chance, 2))
		output->strict = one_in(&g->chance, 4) ? SL_NO : SL_YES;
	if (one_in(&g->chance, 3))
		output->description = text(g);
}

static inline void
generate(struct gen *g, uint64_t seed, const char *issuer, struct sl_arena *arena)
{
	uint32_t turns, tools;
	bool reasons;

	*g = (struct gen){ .chance = { .state = seed }, .arena = arena, .issuer = issuer };
	sl_dialog_init(&g->dialog, "generated", arena);
	if (one_in(&g->chance, 2)) {
		struct sl_turn *turn = sl_dialog_turn(
		    &g->dialog, one_in(&g->chance, 4) ? SL_ROLE_DEVELOPER : SL_ROLE_SYSTEM,
		    (struct sl_where){ 0 });
		struct sl_part *part = sl_turn_part(&g->dialog, turn, SL_PART_TEXT,
		                                    (struct sl_where){ 0 });

		part->text = text(g);
		part->cache = cache(g);
	}
	tools = add_tools(g);
	reasons = one_in(&g->chance, 3);
	if (reasons) {
		g->dialog.reasoning.mode = SL_REASONING_ON;
		if (one_in(&g->chance, 2))
			g->dialog.reasoning.effort = (enum sl_effort)(1 + draw(&g->chance, 6));
		else
			g->dialog.reasoning.budget_tokens = 2048;
	} else if (one_in(&g->chance, 8)) {
		g->dialog.reasoning.mode = SL_REASONING_OFF;
	}
	turns = 1 + draw(&g->chance, 4);
	for (uint32_t i = 0; i < turns; i++) {
		add_user(g);
		if (i + 1 < turns)
			add_assistant(g, tools, reasons);
		if (i + 1 < turns && one_in(&g->chance, 12)) {
			struct sl_turn *turn = sl_dialog_turn(&g->dialog, SL_ROLE_SYSTEM,
			                                      (struct sl_where){ 0 });

			sl_turn_part(&g->dialog, turn, SL_PART_TEXT, (struct sl_where){ 0 })
			    ->text = text(g);
		}
	}
	add_settings(g);
}

#endif

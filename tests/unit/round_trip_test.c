/* round_trip_test.c - A to B and back, for every two shapes and any conversation.
 *
 * A generated dialog is written in A's grammar and read and written once more, after
 * which nothing of it is to be put right: that is the caller's request. It is then
 * crossed: decoded as A and encoded as B, decoded as B and encoded as A.
 *
 *   dialog --A--> a --A--> a1 --> D1 --B--> b --> D2 --A--> a2
 *
 * What D1 and D2 say is told apart into atoms ("assistant text t7", "call of f3 with
 * {...}", "temperature 0.5"). An atom that is gone, new or elsewhere must be explained by
 * a note whose code is about such atoms. Where no note was given, the next journey from
 * a2 comes back to a2, byte for byte: defaults that B has to write out are written out
 * once. The same with A for B: nothing that a shape can say is lost on it.
 *
 * Shapes that no caller speaks get each conversation as a target; what they are sent
 * must have every text of it, or a note.
 *
 * The seed of a failing case is printed; ROUND_TRIP_SEED=n runs that one alone,
 * ROUND_TRIP_CASES=n so many per pair.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dialog_generator.h"
#include "translate_harness.h"

enum { CASES = 250, ATOMS_MAX = 512, MODELS_MAX = 3, SHOWN_MAX = 20 };

/* --- shapes ------------------------------------------------------------------------- */

static const struct side {
	const struct sl_shape_ops *shape;
	const char *provider, *verb;
	const char *models[MODELS_MAX];
} sides[] = {
	{ &sl_shape_openai_chat, "openai", "chat", { "gpt-4o", "gpt-5-mini", "gpt-4.1" } },
	{ &sl_shape_openai_responses, "openai", "responses",
	  { "gpt-4o", "gpt-5-mini", "gpt-4.1" } },
	{ &sl_shape_anthropic_messages, "anthropic", "messages",
	  { "claude-sonnet-4-5", "claude-opus-4-8", "claude-3-5-haiku-20241022" } },
	{ &sl_shape_gemini_generate, "gemini", "generateContent",
	  { "gemini-2.5-flash", "gemini-3-pro-preview", "gemini-2.0-flash" } },
	{ &sl_shape_bedrock_converse, "bedrock", "converse",
	  { "us.anthropic.claude-haiku-4-5-20251001-v1:0", "amazon.nova-pro-v1:0",
	    "meta.llama3-3-70b-instruct-v1:0" } },
	{ &sl_shape_cohere_chat, "cohere", "chat",
	  { "command-a-03-2025", "command-a-reasoning-08-2025", "command-r7b-12-2024" } },
};
enum { SIDES = sizeof(sides) / sizeof(sides[0]) };

/* --- atoms ----------------------------------------------------------------------------- */

/* What may be said of: one letter of a note's scope. */
enum about {
	WORDS = 1 << 0,        /* texts, and in whose name */
	INSTRUCTIONS = 1 << 1,
	CALLS = 1 << 2,        /* calls and results */
	ERRORS = 1 << 3,       /* a result's flag */
	MEDIA = 1 << 4,
	DETAIL = 1 << 5,
	NAMES = 1 << 6,        /* of participants and files */
	REASONING = 1 << 7,    /* in the conversation */
	MARKERS = 1 << 8,      /* of caches */
	TOOLS = 1 << 9,
	STRICT = 1 << 10,
	CHOICE = 1 << 11,
	FORMAT = 1 << 12,
	FORMAT_STRICT = 1 << 13,
	LIMIT = 1 << 14,
	SAMPLING = 1 << 15,
	PARAMS = 1 << 16,
	EFFORT = 1 << 17,      /* how much to think */
	REFUSALS = 1 << 19,
	EXTRAS = 1 << 18,      /* members that found no place */
};

/* What a note of a code can be about. */
static const struct {
	enum sl_note_code code;
	uint32_t          about;
} scopes[] = {
	{ SL_NOTE_parameter_dropped, SAMPLING | PARAMS | EFFORT | FORMAT },
	{ SL_NOTE_unknown_member, EXTRAS },
	{ SL_NOTE_sampling_dropped, SAMPLING },
	{ SL_NOTE_sampling_clamped, SAMPLING },
	{ SL_NOTE_max_tokens_defaulted, LIMIT },
	{ SL_NOTE_max_tokens_clamped, LIMIT },
	{ SL_NOTE_instruction_moved, INSTRUCTIONS | WORDS },
	{ SL_NOTE_name_dropped, NAMES },
	{ SL_NOTE_turn_placeholder, WORDS },
	{ SL_NOTE_empty_dropped, WORDS },
	{ SL_NOTE_tool_result_missing, CALLS },
	{ SL_NOTE_tool_schema_changed, TOOLS },
	{ SL_NOTE_tool_strict_dropped, STRICT },
	{ SL_NOTE_tool_choice_dropped, CHOICE },
	{ SL_NOTE_tool_choice_changed, CHOICE | TOOLS | STRICT | MARKERS | INSTRUCTIONS },
	{ SL_NOTE_tools_derived, TOOLS | INSTRUCTIONS },
	{ SL_NOTE_tool_media_moved, MEDIA | WORDS },
	{ SL_NOTE_tool_error_marked, ERRORS | WORDS },
	{ SL_NOTE_media_detail_dropped, DETAIL },
	{ SL_NOTE_file_name_changed, NAMES },
	{ SL_NOTE_refusal_as_text, REFUSALS | WORDS },
	{ SL_NOTE_tool_name_changed, CALLS | TOOLS | STRICT | CHOICE },
	{ SL_NOTE_document_as_text, MEDIA | NAMES | WORDS },
	{ SL_NOTE_cache_marker_dropped, MARKERS },
	{ SL_NOTE_format_emulated, FORMAT | FORMAT_STRICT | WORDS | INSTRUCTIONS | TOOLS | CHOICE },
	{ SL_NOTE_format_strict_dropped, FORMAT_STRICT },
	{ SL_NOTE_reasoning_changed, EFFORT },
	{ SL_NOTE_reasoning_disabled, EFFORT },
	{ SL_NOTE_reasoning_stripped, REASONING },
	{ SL_NOTE_part_dropped, MEDIA },
};

struct atom {
	uint32_t        about;
	struct sl_slice says;
};

struct atoms {
	struct atom      items[ATOMS_MAX];
	size_t           count;
	struct sl_arena *arena;
};

static void
tell(struct atoms *atoms, uint32_t about, struct sl_slice says)
{
	assert_true(atoms->count < ATOMS_MAX);
	assert_non_null(says.ptr);
	atoms->items[atoms->count++] = (struct atom){ about, says };
}

static struct sl_slice
plain(struct atoms *atoms, struct sl_text words)
{
	struct sl_slice utf8 = SL_SLICE_NONE;

	assert_true(sl_text_utf8(words, atoms->arena, &utf8));
	return utf8;
}

/* What encoders call a file where the API insists on a name. */
static bool
is_placeholder(struct sl_slice title)
{
	return sl_slice_is(title, "file") || sl_slice_starts(title, SL_SLICE("document"));
}

static void
tell_media(struct atoms *atoms, const char *who, const struct sl_part *part)
{
	const struct sl_media *media = &part->media;

	tell(atoms, MEDIA, sl_arena_printf(atoms->arena, "%s media %d %.*s %.*s%.*s", who,
	                                   (int)media->source, SL_ARG(media->type),
	                                   SL_ARG(media->data), SL_ARG(plain(atoms, part->text))));
	if (media->detail.len && !sl_slice_is(media->detail, "auto"))
		tell(atoms, DETAIL, sl_arena_printf(atoms->arena, "detail %.*s",
		                                    SL_ARG(media->detail)));
	if (!sl_text_empty(media->title) && !is_placeholder(plain(atoms, media->title)))
		tell(atoms, NAMES, sl_arena_printf(atoms->arena, "file %.*s",
		                                   SL_ARG(plain(atoms, media->title))));
}

static void
tell_result(struct atoms *atoms, const struct sl_part *result, size_t number)
{
	struct sl_slice words = SL_SLICE_NONE;

	for (const struct sl_part *part = result->parts; part; part = part->next) {
		if (part->kind == SL_PART_TEXT)
			words = sl_arena_printf(atoms->arena, "%.*s%.*s", SL_ARG(words),
			                        SL_ARG(plain(atoms, part->text)));
		else
			tell_media(atoms, "tool", part);
	}
	tell(atoms, CALLS | WORDS, sl_arena_printf(atoms->arena, "result %zu of %.*s: %.*s", number,
	                                           SL_ARG(result->name), SL_ARG(words)));
	if (result->is_error == SL_YES)
		tell(atoms, ERRORS, sl_arena_printf(atoms->arena, "result %zu failed", number));
}

static void
tell_turn(struct atoms *atoms, const struct sl_turn *turn, size_t *results)
{
	static const char *const roles[] = { "instruction", "instruction", "user", "assistant",
		                             "tool" };
	const char *who = roles[turn->role];

	if (!sl_text_empty(turn->name))
		tell(atoms, NAMES, sl_arena_printf(atoms->arena, "%s named %.*s", who,
		                                   SL_ARG(plain(atoms, turn->name))));
	for (const struct sl_part *part = turn->parts; part; part = part->next) {
		switch (part->kind) {
		case SL_PART_TEXT:
			tell(atoms, turn->role <= SL_ROLE_DEVELOPER ? INSTRUCTIONS : WORDS,
			     sl_arena_printf(atoms->arena, "%s: %.*s", who,
			                     SL_ARG(plain(atoms, part->text))));
			break;
		case SL_PART_REASONING:
			tell(atoms, REASONING,
			     sl_arena_printf(atoms->arena, "thought %.*s %.*s",
			                     SL_ARG(plain(atoms, part->text)),
			                     SL_ARG(part->signature)));
			break;
		case SL_PART_REFUSAL:
			tell(atoms, REFUSALS, sl_arena_printf(atoms->arena, "refusal: %.*s",
			                                      SL_ARG(plain(atoms, part->text))));
			break;
		case SL_PART_TOOL_CALL:
			tell(atoms, CALLS, sl_arena_printf(atoms->arena, "call of %.*s: %.*s",
			                                   SL_ARG(part->name), SL_ARG(part->args)));
			break;
		case SL_PART_TOOL_RESULT:
			tell_result(atoms, part, (*results)++);
			break;
		default:
			tell_media(atoms, who, part);
		}
		if (part->cache != SL_CACHE_NONE)
			tell(atoms, MARKERS, sl_arena_printf(atoms->arena, "marker %d behind %s",
			                                     (int)part->cache, who));
	}
}

/* A schema of Gemini's own allows no other properties anyway and has no word for it. */
static struct sl_slice
open_schema(struct atoms *atoms, struct sl_slice schema)
{
	struct sl_slice word = SL_SLICE(",\"additionalProperties\":false");
	ptrdiff_t at = sl_slice_search(schema, word);

	if (at < 0)
		return schema;
	return sl_arena_printf(atoms->arena, "%.*s%.*s", SL_ARG(sl_slice_upto(schema, (size_t)at)),
	                       SL_ARG(sl_slice_from(schema, (size_t)at + word.len)));
}

/* A choice that leaves no other is a named one, one among all is none. */
static void
tell_choice(struct atoms *atoms, const struct sl_dialog *dialog)
{
	const struct sl_tool_choice *choice = &dialog->choice;
	size_t tools = 0;
	bool named;

	for (const struct sl_tool *tool = dialog->tools; tool; tool = tool->next)
		tools++;
	named = choice->mode == SL_CHOICE_NAMED ||
	        (choice->mode == SL_CHOICE_REQUIRED && (choice->name_count == 1 || tools == 1));
	if (choice->mode <= SL_CHOICE_AUTO && (choice->name_count == 0 || tools == 1))
		return;
	tell(atoms, CHOICE, sl_arena_printf(
	    atoms->arena, "choice %d %.*s", named ? SL_CHOICE_NAMED : (int)choice->mode,
	    SL_ARG(choice->name_count ? choice->names[0]
	           : named            ? dialog->tools->name
	                              : SL_SLICE_NONE)));
}

/* The user is one of the metadata where an API has no other place. */
static void
tell_metadata(struct atoms *atoms, const struct sl_dialog *dialog)
{
	struct sl_json user = dialog->params[SL_PARAM_USER].value;
	struct sl_json metadata = dialog->params[SL_PARAM_METADATA].value;

	if (user.type != SL_JSON_NONE)
		tell(atoms, PARAMS, sl_arena_printf(atoms->arena, "metadata user %.*s",
		                                    SL_ARG(user.raw)));
	for (struct sl_json_iter it = sl_json_iter(metadata);
	     metadata.type == SL_JSON_OBJECT && sl_json_next(&it);)
		tell(atoms, PARAMS, sl_arena_printf(atoms->arena, "metadata %.*s %.*s",
		                                    SL_ARG(it.key), SL_ARG(it.value.raw)));
}

static void
tell_request(struct atoms *atoms, const struct sl_dialog *dialog)
{
	const struct sl_reasoning *reasoning = &dialog->reasoning;
	const struct sl_output *output = &dialog->output;

	for (const struct sl_tool *tool = dialog->tools; tool; tool = tool->next) {
		bool nothing = tool->schema.len == 0 ||
		               sl_slice_is(tool->schema, "{\"type\":\"object\",\"properties\":{}}");

		tell(atoms, TOOLS, sl_arena_printf(atoms->arena, "tool %.*s: %.*s %.*s",
		                                   SL_ARG(tool->name),
		                                   SL_ARG(plain(atoms, tool->description)),
		                                   SL_ARG(nothing ? SL_SLICE("{}") : tool->schema)));
		if (tool->strict == SL_YES)
			tell(atoms, STRICT, sl_arena_printf(atoms->arena, "tool %.*s is strict",
			                                    SL_ARG(tool->name)));
		if (tool->cache != SL_CACHE_NONE)
			tell(atoms, MARKERS, sl_arena_printf(atoms->arena, "marker %d behind a tool",
			                                     (int)tool->cache));
	}
	tell_choice(atoms, dialog);
	/* "Adaptive" is one API's word for "on". */
	if (reasoning->mode != SL_REASONING_UNSET)
		tell(atoms, EFFORT, sl_arena_printf(
		    atoms->arena, "reasoning %d %d", (int)(reasoning->mode != SL_REASONING_OFF),
		    (int)(reasoning->effort ? reasoning->effort
		          : reasoning->budget_tokens > 0
		              ? sl_effort_of_budget(reasoning->budget_tokens)
		              : SL_EFFORT_UNSET)));
	if (output->format != SL_FORMAT_TEXT)
		tell(atoms, FORMAT, sl_arena_printf(atoms->arena, "format %d %.*s", (int)output->format,
		                                    SL_ARG(open_schema(atoms, output->schema))));
	if (output->format == SL_FORMAT_SCHEMA && !sl_text_empty(output->description))
		tell(atoms, FORMAT, sl_arena_printf(atoms->arena, "format is for %.*s",
		                                    SL_ARG(plain(atoms, output->description))));
	if (output->format != SL_FORMAT_TEXT && output->strict == SL_YES)
		tell(atoms, FORMAT_STRICT, SL_SLICE("format is strict"));
	tell_metadata(atoms, dialog);
	for (const struct sl_extra *extra = dialog->extras; extra; extra = extra->next)
		tell(atoms, EXTRAS, sl_arena_printf(atoms->arena, "extra %.*s %.*s",
		                                    SL_ARG(extra->key), SL_ARG(extra->raw)));
	for (int i = 0; i < SL_PARAMS; i++) {
		uint32_t about = i == SL_PARAM_MAX_TOKENS              ? LIMIT
		                 : i <= SL_PARAM_FREQUENCY_PENALTY ? SAMPLING
		                                                   : PARAMS;

		/* Whether an answer is kept is the gateway's to say; calls may be parallel
		 * everywhere unless that is forbidden, which says nothing where there are none. */
		if (i == SL_PARAM_USER || i == SL_PARAM_METADATA || i == SL_PARAM_STORE)
			continue;
		if (i == SL_PARAM_PARALLEL_TOOLS && (dialog->choice.mode == SL_CHOICE_NONE ||
		                                     sl_json_true(dialog->params[i].value)))
			continue;
		if (dialog->params[i].value.type != SL_JSON_NONE)
			tell(atoms, about, sl_arena_printf(atoms->arena, "param %d is %.*s", i,
			                                   SL_ARG(dialog->params[i].value.raw)));
	}
}

static void
tell_dialog(struct atoms *atoms, const struct sl_dialog *dialog, struct sl_arena *arena)
{
	size_t results = 0;

	*atoms = (struct atoms){ .arena = arena };
	for (const struct sl_turn *turn = dialog->turns; turn; turn = turn->next)
		tell_turn(atoms, turn, &results);
	tell_request(atoms, dialog);
}

/* --- a case ---------------------------------------------------------------------------- */

struct trip {
	uint64_t           seed;
	const struct side *a, *b;
	const char        *model_a, *model_b;
	struct sl_arena    arena;
	struct gen         gen;
	struct crossing    home, there, back;
	struct atoms       before, after;
	size_t             equal, refused, failures; /* of all cases */
};

/* Goes on, so that one run shows more than one bug. */
static void
complain(struct trip *t, const char *what, struct sl_slice says)
{
	if (t->failures++ >= SHOWN_MAX)
		return;
	fprintf(stderr,
	        "seed %llu, %s/%s and %s/%s: %s: %.*s\n"
	        "  a1 %.*s\n  b  %.*s\n  a2 %.*s\n  notes there: %.*s\n  notes back:  %.*s\n",
	        (unsigned long long)t->seed, t->a->shape->name, t->model_a, t->b->shape->name,
	        t->model_b, what, SL_ARG(says), SL_ARG(t->there.steer.input.body),
	        SL_ARG(sl_buf_slice(&t->there.sent)), SL_ARG(sl_buf_slice(&t->back.sent)),
	        SL_ARG(sl_notes_print(&t->there.notes, &t->arena)),
	        SL_ARG(sl_notes_print(&t->back.notes, &t->arena)));
}

static struct crossing_target
target_of(const struct side *side, const char *model)
{
	return (struct crossing_target){
		.provider = side->provider, .model = sl_slice_str(model), .most = 32000,
		.capabilities = SL_CAP_REASONING,
		.model_in_path = strcmp(side->provider, "gemini") == 0,
	};
}

/* The caller's request: the dialog in A's grammar. False: A cannot say it. */
static bool
first(struct trip *t, struct sl_buf *out)
{
	const struct sl_codec_ops *codec = t->a->shape->codec;
	const struct sl_model_card card = { .max_output_tokens = 32000,
		                            .capabilities = SL_CAP_REASONING };
	const struct sl_codec_target target = {
		.provider = t->a->provider, .model = sl_slice_str(t->model_a), .card = &card,
		.rules = sl_model_rules(sl_slice_str(t->model_a)), .ask_for_usage = true,
		.issuer = codec->issuer ? codec->issuer : t->a->provider,
	};
	struct sl_notes notes = { 0 };
	struct sl_fault fault = { 0 };
	struct sl_encode encode = { .dialog = &t->gen.dialog, .target = &target, .codec = codec,
		                    .notes = &notes, .fault = &fault, .arena = &t->arena,
		                    .out = out };

	generate(&t->gen, t->seed, target.issuer, &t->arena);
	assert_true(sl_dialog_settle(&t->gen.dialog, &notes));
	return codec->encode_request(&encode) == SL_OK && !out->failed;
}

static bool
cross(struct trip *t, struct crossing *c, const struct side *from, const struct side *via,
      const char *model, struct sl_slice body)
{
	const struct sl_shape_input input = { .verb = from->verb, .body = body,
		                              .path_model = SL_SLICE("m"), };
	const struct crossing_target target = target_of(via, model);

	crossing_init(c, from->shape, via->shape);
	if (crossing_request(c, &input, &target))
		return true;
	/* A refusal is loud: it names what it is about. */
	if (c->fault.kind != SL_FAULT_UNSUPPORTED || c->fault.param.len == 0)
		complain(t, "refused without a reason", c->fault.message);
	t->refused++;
	return false;
}

static uint32_t
explained(struct trip *t)
{
	uint32_t about = 0;

	for (int leg = 0; leg < 2; leg++) {
		const struct sl_notes *notes = leg ? &t->back.notes : &t->there.notes;

		for (size_t i = 0; i < notes->count; i++)
			for (size_t row = 0; row < sizeof(scopes) / sizeof(scopes[0]); row++)
				if (scopes[row].code == notes->items[i].code)
					about |= scopes[row].about;
		if (notes->total > notes->count)
			about = UINT32_MAX;
	}
	return about;
}

/* Whether a model thinks unless it is told not to. */
static bool
thinks(const char *model)
{
	return strncmp(model, "gpt-5", 5) == 0 || strncmp(model, "gemini-2.5", 10) == 0 ||
	       strncmp(model, "gemini-3", 8) == 0;
}

/* Atoms of one that the other lacks: each must be about something a note explains. */
static size_t
check_missing(struct trip *t, const struct atoms *has, const struct atoms *lacks,
              uint32_t about, bool gained)
{
	bool used[ATOMS_MAX] = { false };
	size_t missing = 0;

	for (size_t i = 0; i < has->count; i++) {
		size_t j = 0;

		while (j < lacks->count &&
		       (used[j] || !sl_slice_eq(has->items[i].says, lacks->items[j].says)))
			j++;
		if (j < lacks->count) {
			used[j] = true;
			continue;
		}
		missing++;
		/* Held more strictly than asked is no loss, nor is a word against thinking
		 * to a model that would not. */
		if ((gained && has->items[i].about & (STRICT | FORMAT_STRICT)) ||
		    (sl_slice_is(has->items[i].says, "reasoning 0 0") && !(thinks(t->model_a) &&
		                                                            thinks(t->model_b))))
			continue;
		if (!(has->items[i].about & about))
			complain(t, gained ? "new unnamed" : "lost unnamed", has->items[i].says);
	}
	return missing;
}

/* Those that both have stand in the same order. */
static void
check_order(struct trip *t, uint32_t about)
{
	size_t at = 0;

	if (about & (INSTRUCTIONS | MEDIA | WORDS | CALLS))
		return;
	for (size_t i = 0; i < t->before.count; i++) {
		const struct atom *atom = &t->before.items[i];

		if (!(atom->about & (WORDS | CALLS | MEDIA | INSTRUCTIONS)))
			continue;
		while (at < t->after.count &&
		       !sl_slice_eq(t->after.items[at].says, atom->says))
			at++;
		if (at++ == t->after.count)
			complain(t, "out of order", atom->says);
	}
}

static void
again(struct trip *t)
{
	struct sl_slice a2 = sl_buf_slice(&t->back.sent);
	struct crossing there, back;

	crossing_init(&there, t->a->shape, t->b->shape);
	crossing_init(&back, t->b->shape, t->a->shape);
	if (!cross(t, &there, t->a, t->b, t->model_b, a2) ||
	    !cross(t, &back, t->b, t->a, t->model_a, sl_buf_slice(&there.sent)) ||
	    !sl_slice_eq(sl_buf_slice(&back.sent), a2))
		complain(t, "nothing was noted, yet the next journey ends in",
		         sl_buf_slice(&back.sent));
	crossing_release(&there);
	crossing_release(&back);
}

static void
check_back(struct trip *t)
{
	uint32_t about = explained(t);
	size_t missing;

	tell_dialog(&t->before, &t->there.dialog, &t->arena);
	tell_dialog(&t->after, &t->back.dialog, &t->arena);
	missing = check_missing(t, &t->before, &t->after, about, false) +
	          check_missing(t, &t->after, &t->before, about, true);
	check_order(t, about);
	if (missing || t->there.notes.total || t->back.notes.total)
		return;
	again(t);
	t->equal++;
}

/* For a target that nobody calls: what it is sent has every text. */
static void
check_sent(struct trip *t)
{
	uint32_t about = explained(t);

	tell_dialog(&t->before, &t->there.dialog, &t->arena);
	for (unsigned id = 0; id < t->gen.chance.next_text; id++) {
		struct sl_slice word = sl_arena_printf(&t->arena, "t%ut", id);

		if (sl_slice_search(t->there.steer.input.body, word) >= 0 &&
		    sl_slice_search(sl_buf_slice(&t->there.sent), word) < 0 &&
		    !(about & (WORDS | INSTRUCTIONS | REASONING | TOOLS | CHOICE | FORMAT)))
			complain(t, "lost unnamed", word);
	}
}

static void
run_case(struct trip *t, uint64_t seed)
{
	struct chance models = { .state = ~seed };
	struct sl_buf a1;

	t->seed = seed;
	t->model_a = t->a->models[draw(&models, MODELS_MAX)];
	t->model_b = t->a == t->b ? t->model_a : t->b->models[draw(&models, MODELS_MAX)];
	sl_arena_init(&t->arena, 65536, 0);
	sl_buf_init(&a1, CROSSING_OUT_MAX);
	crossing_init(&t->home, t->a->shape, t->a->shape);
	crossing_init(&t->there, t->a->shape, t->b->shape);
	crossing_init(&t->back, t->b->shape, t->a->shape);
	if (first(t, &a1) && cross(t, &t->home, t->a, t->a, t->model_a, sl_buf_slice(&a1)) &&
	    cross(t, &t->there, t->a, t->b, t->model_b, sl_buf_slice(&t->home.sent))) {
		/* But for the name of who is merged with somebody else. */
		if (t->home.notes.dropped && t->home.notes.first_drop.code != SL_NOTE_name_dropped)
			complain(t, "lost at home", sl_notes_print(&t->home.notes, &t->arena));
		if (sl_json_validate(sl_buf_slice(&t->there.sent), NULL, NULL) != SL_OK)
			complain(t, "no JSON", SL_SLICE("b"));
		if (!t->b->shape->codec->decode_request)
			check_sent(t);
		else if (cross(t, &t->back, t->b, t->a, t->model_a, sl_buf_slice(&t->there.sent)))
			check_back(t);
	}
	crossing_release(&t->home);
	crossing_release(&t->there);
	crossing_release(&t->back);
	sl_buf_release(&a1);
	sl_arena_release(&t->arena);
}

static void
there_and_back(void **state)
{
	const char *one = getenv("ROUND_TRIP_SEED"), *many = getenv("ROUND_TRIP_CASES");
	const char *only = getenv("ROUND_TRIP_PAIR"); /* "openai_chat gemini_generate" */
	uint64_t cases = many ? strtoull(many, NULL, 10) : CASES;
	uint64_t from = one ? strtoull(one, NULL, 10) : 1;
	struct trip *t = test_calloc(1, sizeof(*t));

	(void)state;
	for (size_t a = 0; a < SIDES; a++)
		for (size_t b = 0; b < SIDES; b++) {
			char pair[128];

			t->a = &sides[a];
			t->b = &sides[b];
			t->equal = t->refused = 0;
			snprintf(pair, sizeof(pair), "%s %s", t->a->shape->name, t->b->shape->name);
			if (!t->a->shape->codec->decode_request || (only && strcmp(only, pair) != 0))
				continue;
			for (uint64_t i = 0; i < (one ? 1 : cases); i++)
				run_case(t, from + i);
			print_message("%-40s %zu the same to the byte, %zu refused\n", pair,
			              t->equal, t->refused);
			/* A property that nothing meets proves nothing. */
			if (!one && cases >= CASES && t->b->shape->codec->decode_request)
				assert_true(t->equal > 0);
		}
	cases = t->failures;
	test_free(t);
	assert_int_equal(cases, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* stack.c - the managed stacks, the book of the others, and stacks as JSON. */
#include "routing/stack.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/latch.h"
#include "model/catalog.h"
#include "model/wish.h"

enum { LIST_MAX = 256, NAME_BYTES_MAX = 256, BOOK_ARENA_MAX = 16 << 20 };

/* --- managed ------------------------------------------------------------------- */

#define S(text) SL_SLICE_INIT(text)

static struct sl_slice json_schema[] = { S("json_schema") };
static struct sl_slice tools[] = { S("tools") };
static struct sl_slice reasoning[] = { S("reasoning") };

/* Slugs as in Astrolabe's catalogue; no boundaries beyond what the purpose needs. */
static const struct sl_config_stack managed[] = {
	{ .slug = S(SL_STACK_DEFAULT), .version = 1, .objective = S("balanced"),
	  .quality = S("standard"), .verification = S("off"), .fallback = true },
	{ .slug = S("low-cost"), .version = 1, .objective = S("lowest_passable"),
	  .quality = S("draft"), .verification = S("off"), .fallback = true },
	{ .slug = S("high-quality"), .version = 1, .objective = S("premium"),
	  .quality = S("high"), .verification = S("auto"), .fallback = true },
	{ .slug = S("fast"), .version = 1, .objective = S("fastest_passable"),
	  .quality = S("standard"), .verification = S("off"), .fallback = true },
	{ .slug = S("strict-json"), .version = 1, .objective = S("balanced"),
	  .quality = S("standard"), .verification = S("strict"), .fallback = true,
	  .requires = { json_schema, 1 } },
	{ .slug = S("customer-data"), .version = 1, .objective = S("balanced"),
	  .quality = S("high"), .verification = S("strict"), .fallback = true },
	{ .slug = S("high-stakes"), .version = 1, .objective = S("premium"),
	  .quality = S("critical"), .verification = S("strong"), .fallback = true },
	{ .slug = S("code-agent"), .version = 1, .objective = S("balanced"),
	  .quality = S("high"), .verification = S("auto"), .fallback = true,
	  .requires = { tools, 1 } },
	{ .slug = S("research"), .version = 1, .objective = S("premium"),
	  .quality = S("high"), .verification = S("auto"), .fallback = true,
	  .requires = { reasoning, 1 } },
};

size_t
sl_stack_managed_count(void)
{
	return sizeof(managed) / sizeof(managed[0]);
}

const struct sl_config_stack *
sl_stack_managed(size_t index)
{
	return index < sl_stack_managed_count() ? &managed[index] : NULL;
}

struct sl_slice
sl_stack_of_virtual(struct sl_slice model)
{
	static const struct sl_slice lanes[][2] = {
		{ S("auto"), S(SL_STACK_DEFAULT) },     { S("vision"), S(SL_STACK_DEFAULT) },
		{ S("cheap"), S("low-cost") },          { S("safe"), S("high-stakes") },
		{ S("coding"), S("code-agent") },       { S("research"), S("research") },
		{ S("strict-json"), S("strict-json") },
	};
	static const struct sl_slice vendor = S("astrolabe/");

	if (sl_slice_is(model, "auto"))
		return lanes[0][1];
	if (!sl_slice_starts(model, vendor))
		return SL_SLICE_NONE;
	model = sl_slice_from(model, vendor.len);
	for (size_t i = 0; i < sizeof(lanes) / sizeof(lanes[0]); i++)
		if (sl_slice_eq(model, lanes[i][0]))
			return lanes[i][1];
	return SL_SLICE_NONE;
}

bool
sl_stack_requirement(struct sl_slice name, uint32_t *modality, uint32_t *capability)
{
	static const struct {
		struct sl_slice name;
		uint32_t        modality, capability;
	} all[] = {
		{ S("tools"), 0, SL_CAP_TOOLS },         { S("json_schema"), 0, SL_CAP_JSON_SCHEMA },
		{ S("reasoning"), 0, SL_CAP_REASONING }, { S("image"), SL_MODALITY_IMAGE, 0 },
		{ S("audio"), SL_MODALITY_AUDIO, 0 },    { S("video"), SL_MODALITY_VIDEO, 0 },
		{ S("pdf"), SL_MODALITY_PDF, 0 },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (sl_slice_eq(name, all[i].name)) {
			*modality |= all[i].modality;
			*capability |= all[i].capability;
			return true;
		}
	return false;
}

/* --- JSON ------------------------------------------------------------------------ */

struct reading {
	struct sl_arena *arena;
	struct sl_fault *fault;
	struct sl_slice  member;
};

static bool
refuse(struct reading *reading, const char *wanted)
{
	sl_fault_set(reading->fault, SL_FAULT_BAD_REQUEST,
	             sl_arena_printf(reading->arena, "'%.*s' must be %s.", SL_ARG(reading->member),
	                             wanted));
	reading->fault->param = reading->member;
	return false;
}

static bool
read_text(struct reading *reading, struct sl_json value, struct sl_slice *out)
{
	struct sl_slice text;

	if (!sl_json_string(value, reading->arena, &text) || text.len > NAME_BYTES_MAX)
		return refuse(reading, "a text of at most 256 bytes");
	*out = sl_arena_dup(reading->arena, text);
	return true;
}

static bool
read_list(struct reading *reading, struct sl_json value, struct sl_config_strings *out)
{
	struct sl_json_iter it = sl_json_iter(value);

	if (value.type != SL_JSON_ARRAY)
		return refuse(reading, "a list of texts");
	out->items = SL_ARENA_ARRAY(reading->arena, struct sl_slice, LIST_MAX);
	out->count = 0;
	if (!out->items)
		return refuse(reading, "shorter: the gateway is out of memory");
	while (sl_json_next(&it)) {
		if (out->count == LIST_MAX)
			return refuse(reading, "a list of at most 256 texts");
		if (!read_text(reading, it.value, &out->items[out->count++]))
			return false;
	}
	return true;
}

static bool
is_slug(struct sl_slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
		      c == '.'))
			return false;
	}
	return text.len > 0 && text.len <= SL_STACK_SLUG_MAX;
}

/* Members that name one of a few values. */
static bool
read_name(struct reading *reading, struct sl_json value, struct sl_config_stack *out)
{
	enum sl_objective objective;
	enum sl_quality quality;
	enum sl_verification verification;
	struct sl_slice text;

	if (!read_text(reading, value, &text))
		return false;
	if (sl_slice_is(reading->member, "slug")) {
		out->slug = text;
		return is_slug(text) ||
		       refuse(reading, "1 to 64 small letters, digits, '-', '_' or '.'");
	}
	if (sl_slice_is(reading->member, "objective")) {
		out->objective = text;
		return sl_objective_find(text, &objective) ||
		       refuse(reading, "lowest_passable, balanced, fastest_passable, premium or "
		                       "fixed");
	}
	if (sl_slice_is(reading->member, "quality")) {
		out->quality = text;
		return sl_quality_find(text, &quality) ||
		       refuse(reading, "draft, standard, high or critical");
	}
	out->verification = text;
	return sl_verification_find(text, &verification) ||
	       refuse(reading, "off, auto, light, strict or strong");
}

static bool
read_number(struct reading *reading, struct sl_json value, struct sl_config_stack *out)
{
	int64_t number;

	const struct {
		const char *name;
		int64_t    *nanousd;
	} amounts[] = {
		{ "max_cost_usd", &out->max_cost_nanousd },
		{ "daily_budget_usd", &out->budget.daily_nanousd },
		{ "monthly_budget_usd", &out->budget.monthly_nanousd },
	};

	for (size_t i = 0; i < sizeof(amounts) / sizeof(amounts[0]); i++)
		if (sl_slice_is(reading->member, amounts[i].name))
			return (sl_json_nanousd(value, amounts[i].nanousd) && *amounts[i].nanousd >= 0) ||
			       refuse(reading, "an amount of US dollars, 0 or more");
	if (sl_slice_ends(reading->member, SL_SLICE("_percent"))) {
		if (!sl_json_i64(value, &number) || number < 0 || number > 100)
			return refuse(reading, "a number from 0 to 100");
		*(sl_slice_is(reading->member, "budget_warn_percent") ? &out->budget.warn_percent
		                                                     : &out->budget.stop_percent) =
		    (uint64_t)number;
		return true;
	}
	if (!sl_json_i64(value, &number) || number < 0 || number > 3600000)
		return refuse(reading, "a number of milliseconds up to 3600000");
	out->latency_slo_ms = (uint64_t)number;
	return true;
}

static bool
read_requires(struct reading *reading, struct sl_json value, struct sl_config_stack *out)
{
	uint32_t modality, capability;

	if (!read_list(reading, value, &out->requires))
		return false;
	for (size_t i = 0; i < out->requires.count; i++)
		if (!sl_stack_requirement(out->requires.items[i], &modality, &capability))
			return refuse(reading, "a list of tools, json_schema, reasoning, image, "
			                       "audio, video, pdf");
	return true;
}

static bool
is_one_of(struct sl_slice name, const char *const *names)
{
	while (*names && !sl_slice_is(name, *names))
		names++;
	return *names != NULL;
}

static bool
read_member(struct reading *reading, struct sl_json value, struct sl_config_stack *out)
{
	static const char *const names[] = { "slug", "objective", "quality", "verification", NULL };
	static const char *const numbers[] = { "max_cost_usd", "latency_slo_ms", "daily_budget_usd",
		                               "monthly_budget_usd", "budget_warn_percent",
		                               "budget_stop_percent", NULL };
	static const char *const shown[] = { "version", "active", "source", "created_at",
		                             "created_wall_ms", "activate", "daily_spend_usd",
		                             "monthly_spend_usd", "budget_state", NULL };
	const struct {
		const char               *name;
		struct sl_config_strings *list;
	} lists[] = {
		{ "models", &out->models },
		{ "allowed_providers", &out->allowed_providers },
		{ "blocked_providers", &out->blocked_providers },
		{ "allowed_models", &out->allowed_models },
		{ "blocked_models", &out->blocked_models },
		{ "regions", &out->regions },
	};

	if (value.type == SL_JSON_NULL || is_one_of(reading->member, shown))
		return true;
	if (is_one_of(reading->member, names))
		return read_name(reading, value, out);
	if (is_one_of(reading->member, numbers))
		return read_number(reading, value, out);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (sl_slice_is(reading->member, lists[i].name))
			return read_list(reading, value, lists[i].list);
	if (sl_slice_is(reading->member, "requires"))
		return read_requires(reading, value, out);
	if (!sl_slice_is(reading->member, "fallback"))
		return refuse(reading, "left out: a stack has no such member");
	out->fallback = sl_json_true(value);
	return value.type == SL_JSON_TRUE || value.type == SL_JSON_FALSE ||
	       refuse(reading, "true or false");
}

bool
sl_stack_read(struct sl_json body, struct sl_arena *arena, struct sl_config_stack *out,
              struct sl_fault *fault)
{
	struct reading reading = { .arena = arena, .fault = fault };
	struct sl_json_iter it = sl_json_iter(body);

	*out = (struct sl_config_stack){ .version = 1, .fallback = true,
		                         .objective = SL_SLICE("balanced"),
		                         .budget = { .warn_percent = 80, .stop_percent = 100 } };
	while (sl_json_next(&it)) {
		if (!sl_json_unescape(it.key, arena, &reading.member) ||
		    !read_member(&reading, it.value, out))
			return false;
	}
	reading.member = SL_SLICE("slug");
	return out->slug.len > 0 || refuse(&reading, "given: the name that requests use");
}

static void
write_list(struct sl_json_writer *w, const char *name, const struct sl_config_strings *list)
{
	sl_json_key(w, name);
	sl_json_arr(w);
	for (size_t i = 0; i < list->count; i++)
		sl_json_put_str(w, list->items[i]);
	sl_json_arr_end(w);
}

static void
write_name(struct sl_json_writer *w, const char *name, struct sl_slice value)
{
	sl_json_key(w, name);
	if (value.len > 0)
		sl_json_put_str(w, value);
	else
		sl_json_put_null(w);
}

void
sl_stack_write(const struct sl_config_stack *stack, struct sl_json_writer *w)
{
	sl_json_str(w, "slug", stack->slug);
	sl_json_int(w, "version", stack->version);
	write_list(w, "models", &stack->models);
	write_list(w, "allowed_providers", &stack->allowed_providers);
	write_list(w, "blocked_providers", &stack->blocked_providers);
	write_list(w, "allowed_models", &stack->allowed_models);
	write_list(w, "blocked_models", &stack->blocked_models);
	write_list(w, "regions", &stack->regions);
	write_list(w, "requires", &stack->requires);
	write_name(w, "objective", stack->objective);
	write_name(w, "quality", stack->quality);
	write_name(w, "verification", stack->verification);
	sl_json_int(w, "latency_slo_ms", (int64_t)stack->latency_slo_ms);
	sl_json_bool(w, "fallback", stack->fallback);
	sl_json_usd(w, "max_cost_usd", stack->max_cost_nanousd);
	sl_json_usd(w, "daily_budget_usd", stack->budget.daily_nanousd);
	sl_json_usd(w, "monthly_budget_usd", stack->budget.monthly_nanousd);
	sl_json_int(w, "budget_warn_percent", (int64_t)stack->budget.warn_percent);
	sl_json_int(w, "budget_stop_percent", (int64_t)stack->budget.stop_percent);
}

/* --- the book ----------------------------------------------------------------------- */

struct book {
	struct sl_stack_book   book; /* first: what others hold */
	_Atomic unsigned       refs;
	struct sl_arena        arena;
};

struct sl_stacks {
	struct sl_latch lock; /* guards which book it is */
	struct book    *book;
};

static struct book *
book_new(void)
{
	struct book *book = calloc(1, sizeof(*book));

	if (!book)
		return NULL;
	atomic_init(&book->refs, 1);
	sl_arena_init(&book->arena, 4096, BOOK_ARENA_MAX);
	return book;
}

void
sl_stack_book_unref(const struct sl_stack_book *shown)
{
	struct book *book = (struct book *)(uintptr_t)shown;

	if (!book || atomic_fetch_sub(&book->refs, 1) != 1)
		return;
	sl_arena_release(&book->arena);
	free(book);
}

struct sl_stacks *
sl_stacks_new(void)
{
	struct sl_stacks *stacks = calloc(1, sizeof(*stacks));

	if (!stacks)
		return NULL;
	stacks->book = book_new();
	if (!stacks->book) {
		free(stacks);
		return NULL;
	}
	return stacks;
}

void
sl_stacks_free(struct sl_stacks *stacks)
{
	if (!stacks)
		return;
	sl_stack_book_unref(&stacks->book->book);
	free(stacks);
}

static enum sl_err
fill(struct book *book, struct sl_slice text)
{
	struct sl_json_error error;
	struct sl_json_iter it;
	struct sl_json list;
	size_t count = 0;

	if (text.len > SL_STACKS_TEXT_MAX)
		return SL_ELIMIT;
	if (sl_json_validate(text, &sl_json_limits_default, &error) != SL_OK)
		return SL_ESYNTAX;
	/* The versions' names are borrowed from it. */
	text = sl_arena_dup(&book->arena, text);
	if (!text.ptr)
		return SL_ENOMEM;
	list = sl_json_get(sl_json_parse(text), "stacks");
	for (it = sl_json_iter(list); sl_json_next(&it);)
		count++;
	if (count > SL_STACK_VERSIONS_MAX)
		return SL_ELIMIT;
	book->book.versions = SL_ARENA_ARRAY(&book->arena, struct sl_stack_version, count + 1);
	if (!book->book.versions)
		return SL_ENOMEM;
	for (it = sl_json_iter(list); sl_json_next(&it);) {
		struct sl_stack_version *version = &book->book.versions[book->book.count];
		struct sl_fault fault;

		if (!sl_stack_read(it.value, &book->arena, &version->stack, &fault) ||
		    !sl_json_i64(sl_json_get(it.value, "version"), &version->stack.version))
			return SL_ESYNTAX;
		version->active = sl_json_true(sl_json_get(it.value, "active"));
		sl_json_i64(sl_json_get(it.value, "created_wall_ms"), &version->created_wall_ms);
		book->book.count++;
	}
	return SL_OK;
}

enum sl_err
sl_stacks_replace(struct sl_stacks *stacks, struct sl_slice text)
{
	struct book *fresh = book_new(), *old;
	enum sl_err err;

	if (!fresh)
		return SL_ENOMEM;
	err = fill(fresh, text);
	if (err != SL_OK) {
		sl_stack_book_unref(&fresh->book);
		return err;
	}
	sl_latch_lock(&stacks->lock);
	old = stacks->book;
	stacks->book = fresh;
	sl_latch_unlock(&stacks->lock);
	sl_stack_book_unref(&old->book);
	return SL_OK;
}

const struct sl_stack_book *
sl_stacks_ref(struct sl_stacks *stacks)
{
	struct book *book;

	sl_latch_lock(&stacks->lock);
	book = stacks->book;
	atomic_fetch_add(&book->refs, 1);
	sl_latch_unlock(&stacks->lock);
	return &book->book;
}

const struct sl_config_stack *
sl_stack_find(const struct sl_stack_book *book, const struct sl_config *config,
              struct sl_slice slug)
{
	for (size_t i = 0; book && i < book->count; i++)
		if (book->versions[i].active && sl_slice_eq(book->versions[i].stack.slug, slug))
			return &book->versions[i].stack;
	for (size_t i = 0; i < config->stack_count; i++)
		if (sl_slice_eq(config->stacks[i].slug, slug))
			return &config->stacks[i];
	for (size_t i = 0; i < sl_stack_managed_count(); i++)
		if (sl_slice_eq(managed[i].slug, slug))
			return &managed[i];
	return NULL;
}

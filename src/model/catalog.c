/* catalog.c - the catalogue: parsed once, then only looked up.
 *
 * The file is comma-separated text (RFC 4180 quotes, no line breaks inside) with
 * '#' comments; its first lines say what the columns mean. A mistake is reported
 * with line and column and the whole file is refused: a price that was half read
 * is worse than one that is missing.
 *
 * Cards are found through an open-addressed table of pointers, so a card keeps
 * its address when the table grows.
 */
#include "model/catalog.h"

#include "base/hash.h"
#include "base/json.h"
#include "model/price.h"

enum { FIELDS = 12, ROWS_MAX = 1 << 20, TABLE_FIRST = 1024 };

enum column {
	PROVIDER, MODEL, NAME, CONTEXT, MAX_OUTPUT, INPUT, OUTPUT, CAPABILITIES, RELEASED, PRICED,
	PRICES, LONG_CONTEXT,
};

static const char *const columns[FIELDS] = {
	"provider", "model", "name", "context", "max_output", "input", "output", "capabilities",
	"released", "priced", "prices", "long_context",
};

struct sl_catalog {
	struct sl_model_card **cards; /* in the order of the file */
	size_t                 count;
	size_t                 room;
	struct sl_model_card **table; /* `size` slots, a power of two */
	size_t                 size;
};

struct flag {
	struct sl_slice name; /* empty: the end of a list */
	uint32_t        bit;
};
#define FLAG(name, bit) { { name, sizeof(name) - 1 }, bit }
static const struct flag modalities[] = {
	FLAG("text", SL_MODALITY_TEXT), FLAG("image", SL_MODALITY_IMAGE),
	FLAG("audio", SL_MODALITY_AUDIO), FLAG("video", SL_MODALITY_VIDEO),
	FLAG("pdf", SL_MODALITY_PDF), FLAG("embedding", SL_MODALITY_EMBEDDING), { { NULL, 0 }, 0 },
};
static const struct flag capabilities[] = {
	FLAG("tools", SL_CAP_TOOLS), FLAG("reasoning", SL_CAP_REASONING),
	FLAG("json_schema", SL_CAP_JSON_SCHEMA), FLAG("temperature", SL_CAP_TEMPERATURE),
	FLAG("open_weights", SL_CAP_OPEN_WEIGHTS), { { NULL, 0 }, 0 },
};

/* --- the table ------------------------------------------------------------------ */

static struct sl_model_card **
slot(struct sl_model_card **table, size_t size, struct sl_slice provider, struct sl_slice model)
{
	size_t at = (size_t)sl_hash(sl_hash(0, provider), model) & (size - 1);

	while (table[at] && !(sl_slice_eq(table[at]->model, model) &&
	                      sl_slice_eq(table[at]->provider, provider)))
		at = (at + 1) & (size - 1);
	return &table[at];
}

static bool
grow(struct sl_catalog *catalog, struct sl_arena *arena)
{
	size_t size = catalog->size ? catalog->size * 2 : TABLE_FIRST;
	struct sl_model_card **table = SL_ARENA_ARRAY(arena, struct sl_model_card *, size);
	struct sl_model_card **cards = SL_ARENA_ARRAY(arena, struct sl_model_card *, size / 2);

	if (!table || !cards)
		return false;
	for (size_t i = 0; i < catalog->count; i++) {
		cards[i] = catalog->cards[i];
		*slot(table, size, cards[i]->provider, cards[i]->model) = cards[i];
	}
	catalog->table = table;
	catalog->size = size;
	catalog->cards = cards;
	catalog->room = size / 2;
	return true;
}

/* SL_EDUPLICATE when it is there already. */
static enum sl_err
add(struct sl_catalog *catalog, struct sl_arena *arena, struct sl_model_card *card)
{
	struct sl_model_card **place;

	if (catalog->count == ROWS_MAX)
		return SL_ELIMIT;
	if (catalog->count == catalog->room && !grow(catalog, arena))
		return SL_ENOMEM;
	place = slot(catalog->table, catalog->size, card->provider, card->model);
	if (*place)
		return SL_EDUPLICATE;
	*place = card;
	catalog->cards[catalog->count++] = card;
	return SL_OK;
}

/* --- the file ------------------------------------------------------------------- */

struct reader {
	struct sl_slice          line;
	uint32_t                 line_number;
	struct sl_slice          fields[FIELDS];
	struct sl_arena         *arena;
	struct sl_catalog_error *error;
};

static bool
fail(struct reader *r, const char *at, const char *reason)
{
	if (r->error)
		*r->error = (struct sl_catalog_error){
			.line = r->line_number,
			.column = (uint32_t)(at - r->line.ptr) + 1,
			.reason = reason,
		};
	return false;
}

/* A field in quotes; the opening one is at *at. */
static bool
read_quoted(struct reader *r, size_t *at, struct sl_slice *out)
{
	const char *text = r->line.ptr;
	size_t start = *at + 1, end = start;
	bool doubled = false;
	char *copy;

	for (;; end++) {
		if (end == r->line.len)
			return fail(r, text + *at, "a quote is not closed on this line");
		if (text[end] != '"')
			continue;
		if (end + 1 == r->line.len || text[end + 1] != '"')
			break;
		doubled = true;
		end++;
	}
	*out = sl_slice_make(text + start, end - start);
	*at = end + 1;
	if (!doubled)
		return true;
	copy = sl_arena_strdup(r->arena, *out);
	if (!copy)
		return fail(r, text + start, "out of memory");
	out->len = 0;
	for (size_t i = start; i < end; i++) {
		copy[out->len++] = text[i];
		i += text[i] == '"';
	}
	out->ptr = copy;
	return true;
}

static bool
split(struct reader *r)
{
	size_t at = 0;

	for (size_t i = 0; i < FIELDS; i++) {
		if (at < r->line.len && r->line.ptr[at] == '"') {
			if (!read_quoted(r, &at, &r->fields[i]))
				return false;
		} else {
			struct sl_slice rest = sl_slice_make(r->line.ptr + at, r->line.len - at);
			ptrdiff_t len = sl_slice_find(rest, ',');

			r->fields[i] = len < 0 ? rest : sl_slice_upto(rest, (size_t)len);
			at += r->fields[i].len;
		}
		if (i + 1 == FIELDS)
			break;
		if (at == r->line.len || r->line.ptr[at] != ',')
			return fail(r, r->line.ptr + at, "a row has twelve columns; one is missing "
			                                 "here");
		at++;
	}
	return at == r->line.len || fail(r, r->line.ptr + at, "more than twelve columns");
}

static bool
read_count(struct reader *r, enum column column, int64_t *out)
{
	struct sl_slice text = r->fields[column];

	return text.len == 0 || (sl_slice_i64(text, out) && *out > 0) ||
	       fail(r, text.ptr, "expected a number of tokens, or nothing");
}

static bool
read_flags(struct reader *r, enum column column, const struct flag *flags, uint32_t *out)
{
	struct sl_slice rest = r->fields[column];

	while (rest.len) {
		struct sl_slice word = sl_slice_cut(&rest, ' ');
		const struct flag *flag = flags;

		while (flag->name.len && !sl_slice_eq(word, flag->name))
			flag++;
		if (!flag->name.len)
			return fail(r, word.ptr, "unknown word; the head of the file has the list");
		*out |= flag->bit;
	}
	return true;
}

/* Empty or YYYY-MM-DD. */
static bool
read_date(struct reader *r, enum column column, struct sl_slice *out)
{
	struct sl_slice text = r->fields[column];

	for (size_t i = 0; i < text.len; i++)
		if (text.len != 10 || (i == 4 || i == 7 ? text.ptr[i] != '-'
		                                        : text.ptr[i] < '0' || text.ptr[i] > '9'))
			return fail(r, text.ptr, "expected a date as 2026-01-31, or nothing");
	*out = text;
	return true;
}

/* "input=2.5 output=10" */
static bool
read_prices(struct reader *r, struct sl_slice rest, struct sl_price *price)
{
	while (rest.len) {
		struct sl_slice value = sl_slice_cut(&rest, ' ');
		struct sl_slice name = sl_slice_cut(&value, '=');
		struct sl_price before = *price;
		int64_t nanousd;

		if (!sl_price_parse_usd(value, &nanousd))
			return fail(r, name.ptr, "expected name=amount in US dollars, at most nine "
			                         "places behind the point");
		if (sl_price_set(price, name, nanousd) != SL_OK)
			return fail(r, name.ptr, "unknown price; the head of the file has the list");
		if (price->present == before.present)
			return fail(r, name.ptr, "this price stands twice");
	}
	return true;
}

/* ">200000 input=4 output=18; >1000000 input=8" */
static bool
read_tiers(struct reader *r, struct sl_model_card *card)
{
	struct sl_slice rest = r->fields[LONG_CONTEXT];
	int64_t above = 0, size;

	while (rest.len) {
		struct sl_slice prices = sl_slice_trim(sl_slice_cut(&rest, ';'));
		struct sl_slice head = sl_slice_cut(&prices, ' ');
		struct sl_price_tier *tier;

		if (!sl_slice_starts(head, SL_SLICE(">")) ||
		    !sl_slice_i64(sl_slice_from(head, 1), &size) || size <= above ||
		    size == INT64_MAX)
			return fail(r, head.ptr ? head.ptr : r->fields[LONG_CONTEXT].ptr,
			            "expected >TOKENS and prices, the smaller number first");
		if (card->tier_count == SL_PRICE_TIERS_MAX)
			return fail(r, head.ptr, "more than three price lists for long contexts");
		if (!card->tiers)
			card->tiers = SL_ARENA_ARRAY(r->arena, struct sl_price_tier, SL_PRICE_TIERS_MAX);
		if (!card->tiers)
			return fail(r, head.ptr, "out of memory");
		tier = &card->tiers[card->tier_count];
		above = size;
		tier->from_input_tokens = size + 1;
		if (!read_prices(r, prices, &tier->price))
			return false;
		card->tier_count++;
	}
	return true;
}

static bool
read_row(struct reader *r, struct sl_catalog *catalog)
{
	struct sl_model_card *card = SL_ARENA_NEW(r->arena, struct sl_model_card);
	enum sl_err err;

	if (!card)
		return fail(r, r->line.ptr, "out of memory");
	if (!split(r))
		return false;
	card->provider = r->fields[PROVIDER];
	card->model = r->fields[MODEL];
	card->name = r->fields[NAME];
	if (card->provider.len == 0 || card->model.len == 0)
		return fail(r, r->line.ptr, "a row needs a provider and a model");
	if (!read_count(r, CONTEXT, &card->context_tokens) ||
	    !read_count(r, MAX_OUTPUT, &card->max_output_tokens) ||
	    !read_flags(r, INPUT, modalities, &card->input_modalities) ||
	    !read_flags(r, OUTPUT, modalities, &card->output_modalities) ||
	    !read_flags(r, CAPABILITIES, capabilities, &card->capabilities) ||
	    !read_date(r, RELEASED, &card->released) ||
	    !read_date(r, PRICED, &card->price_date) ||
	    !read_prices(r, r->fields[PRICES], &card->price) || !read_tiers(r, card))
		return false;
	card->price_version = sl_catalog_version(card->price_date);
	err = add(catalog, r->arena, card);
	if (err == SL_EDUPLICATE)
		return fail(r, r->line.ptr, "this provider and model stand in an earlier row");
	return err == SL_OK || fail(r, r->line.ptr, sl_err_text(err));
}

static bool
read_head(struct reader *r)
{
	if (!split(r))
		return false;
	for (size_t i = 0; i < FIELDS; i++)
		if (!sl_slice_is(r->fields[i], columns[i]))
			return fail(r, r->fields[i].ptr,
			            "the first row must name the columns: provider,model,name,"
			            "context,max_output,input,output,capabilities,released,priced,"
			            "prices,long_context");
	return true;
}

struct sl_catalog *
sl_catalog_parse(struct sl_slice text, struct sl_arena *arena, struct sl_catalog_error *error)
{
	struct sl_catalog *catalog = SL_ARENA_NEW(arena, struct sl_catalog);
	struct reader r = { .arena = arena, .error = error };
	bool has_head = false;

	if (error)
		*error = (struct sl_catalog_error){ 1, 1, "out of memory" };
	if (!catalog || !grow(catalog, arena))
		return NULL;
	while (text.len) {
		r.line = sl_slice_cut(&text, '\n');
		r.line_number++;
		if (sl_slice_ends(r.line, SL_SLICE("\r")))
			r.line.len--;
		if (r.line.len == 0 || r.line.ptr[0] == '#')
			continue;
		if (has_head ? !read_row(&r, catalog) : !read_head(&r))
			return NULL;
		has_head = true;
	}
	if (!has_head) {
		if (error)
			*error = (struct sl_catalog_error){ 1, 1, "the catalogue has no rows" };
		return NULL;
	}
	return catalog;
}

/* --- questions -------------------------------------------------------------------- */

static bool
all_digits(struct sl_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
	return text.len > 0;
}

uint32_t
sl_catalog_version(struct sl_slice price_date)
{
	uint32_t version = 0;

	for (size_t i = 0; i < price_date.len && version < 100000000; i++)
		if (price_date.ptr[i] >= '0' && price_date.ptr[i] <= '9')
			version = version * 10 + (uint32_t)(price_date.ptr[i] - '0');
	return version;
}

struct sl_slice
sl_catalog_undated(struct sl_slice model)
{
	size_t len = model.len;

	if (sl_slice_ends(model, SL_SLICE("-latest")))
		return sl_slice_upto(model, len - 7);
	if (len > 9 && (model.ptr[len - 9] == '-' || model.ptr[len - 9] == '@') &&
	    all_digits(sl_slice_from(model, len - 8)))
		return sl_slice_upto(model, len - 9);
	if (len > 11 && model.ptr[len - 11] == '-' && model.ptr[len - 6] == '-' &&
	    model.ptr[len - 3] == '-' && all_digits(sl_slice_from(model, len - 2)) &&
	    all_digits(sl_slice_make(model.ptr + len - 5, 2)) &&
	    all_digits(sl_slice_make(model.ptr + len - 10, 4)))
		return sl_slice_upto(model, len - 11);
	return model;
}

const struct sl_model_card *
sl_catalog_find(const struct sl_catalog *catalog, struct sl_slice provider,
                struct sl_slice model)
{
	const struct sl_model_card *card =
	    *slot(catalog->table, catalog->size, provider, model);
	struct sl_slice base;

	/* An ARN of AWS names the model, or the profile named like it, behind its slash. */
	if (!card && sl_slice_starts(model, SL_SLICE("arn:")))
		while (sl_slice_find(model, '/') >= 0)
			(void)sl_slice_cut(&model, '/');
	if (!card)
		card = *slot(catalog->table, catalog->size, provider, model);
	base = sl_catalog_undated(model);
	if (!card && base.len < model.len)
		card = *slot(catalog->table, catalog->size, provider, base);
	if (!card)
		card = *slot(catalog->table, catalog->size, provider, SL_SLICE("*"));
	return card;
}

size_t
sl_catalog_count(const struct sl_catalog *catalog)
{
	return catalog->count;
}

const struct sl_model_card *
sl_catalog_at(const struct sl_catalog *catalog, size_t index)
{
	return index < catalog->count ? catalog->cards[index] : NULL;
}

/* --- overrides ---------------------------------------------------------------------- */

static enum sl_err
read_mapping(struct sl_slice text, struct sl_arena *arena, struct sl_price *price)
{
	struct sl_json mapping;
	struct sl_json_iter it;
	struct sl_slice name;
	int64_t nanousd;
	enum sl_err err = sl_json_validate(text, &sl_json_limits_default, NULL);

	if (err != SL_OK)
		return SL_ESYNTAX;
	mapping = sl_json_parse(text);
	if (mapping.type != SL_JSON_OBJECT)
		return SL_ETYPE;
	for (it = sl_json_iter(mapping); sl_json_next(&it);) {
		if (!sl_json_nanousd(it.value, &nanousd) || nanousd < 0)
			return SL_ESYNTAX;
		if (!sl_json_unescape(it.key, arena, &name))
			return SL_ENOMEM;
		err = sl_price_set(price, name, nanousd);
		if (err != SL_OK)
			return err == SL_ELIMIT ? SL_ESYNTAX : err;
	}
	return SL_OK;
}

/* "configured-123456789": a name of these prices, so that others, configured later, are not
 * taken for them. Nine digits, one more than a date has. */
static struct sl_slice
configured_version(const struct sl_price *price, struct sl_arena *arena)
{
	uint32_t hash = 0x811c9dc5u;

	for (int i = 0; i < SL_USAGE_COUNT; i++) {
		bool present = (price->present >> i) & 1u;
		uint64_t value = present ? (uint64_t)price->nanousd[i] + 1 : 0;

		for (int shift = 0; shift < 64; shift += 8)
			hash = (hash ^ (uint32_t)(value >> shift & 0xff)) * 0x01000193u;
	}
	return sl_arena_printf(arena, "configured-%u", 100000000u + hash % 900000000u);
}

enum sl_err
sl_catalog_override(struct sl_catalog *catalog, struct sl_arena *arena, struct sl_slice provider,
                    struct sl_slice model, struct sl_slice prices_json)
{
	struct sl_model_card *card = *slot(catalog->table, catalog->size, provider, model);
	const struct sl_model_card *like;
	struct sl_price price = { .present = 0 };
	enum sl_err err = read_mapping(prices_json, arena, &price);

	if (err != SL_OK)
		return err;
	if (!card) {
		like = sl_catalog_find(catalog, provider, model);
		card = SL_ARENA_NEW(arena, struct sl_model_card);
		if (!card)
			return SL_ENOMEM;
		if (like)
			*card = *like;
		card->provider = sl_arena_dup(arena, provider);
		card->model = sl_arena_dup(arena, model);
		if (!card->provider.ptr || !card->model.ptr)
			return SL_ENOMEM;
		if (!like)
			card->name = card->model;
		err = add(catalog, arena, card);
		if (err != SL_OK)
			return err;
	}
	card->price = price;
	card->tier_count = 0;
	card->price_date = configured_version(&price, arena);
	card->price_version = sl_catalog_version(card->price_date);
	return card->price_date.ptr ? SL_OK : SL_ENOMEM;
}

/* models.c - the models a caller may use, in the list its SDK understands.
 *
 * GET /v1/models[/{id}] is shared by three APIs: Anthropic's SDK sends
 * anthropic-version, Google's sends x-goog-api-key (or asks under /v1beta), all
 * others get OpenAI's list. What is listed: aliases, then the catalogue's models
 * of every provider in use as provider/model; only what the key may use, and
 * under the bare name where the key is allowed just that.
 */
#include "pipeline/ask.h"

#include <stdio.h>
#include <time.h>

#include "base/percent.h"
#include "base/timestamp.h"

enum { LIST_BYTES_MAX = 4 * 1024 * 1024 };

enum dialect { DIALECT_OPENAI, DIALECT_ANTHROPIC, DIALECT_GEMINI };

struct model {
	struct sl_slice             id;       /* as the caller writes it */
	struct sl_slice             owner;
	const struct sl_model_card *card;     /* NULL for an alias of unknown models */
};

typedef bool each_model(void *context, const struct model *model);

static bool
allowed(const struct sl_ask *ask, struct sl_slice id, struct sl_slice provider,
        struct sl_slice model)
{
	return sl_admission_allows(ask, id, provider, model);
}

static bool
serves_card(const struct sl_config_provider *provider, const struct sl_model_card *card)
{
	return provider->enabled && !sl_slice_is(card->model, "*") &&
	       (sl_slice_eq(card->provider, provider->kind) ||
	        sl_slice_eq(card->provider, provider->name));
}

/* A bare name is listed once, for the first provider that has it, and not when
 * an alias of that name stands above. */
static bool
bare_is_first(const struct sl_ask *ask, size_t provider, const struct sl_model_card *card)
{
	const struct sl_config *config = ask->world->config;

	for (size_t i = 0; i < config->model_count; i++)
		if (sl_slice_eq(config->models[i].name, card->model))
			return false;
	for (size_t i = 0; i < provider; i++)
		if (config->providers[i].enabled &&
		    sl_catalog_find(ask->world->catalog, config->providers[i].kind, card->model))
			return false;
	return true;
}

static bool
offer(const struct sl_ask *ask, size_t provider, const struct sl_model_card *card,
      each_model *each, void *context)
{
	struct sl_slice owner = ask->world->config->providers[provider].name;
	struct model model = { .owner = owner, .card = card };
	char id[512];
	int len = snprintf(id, sizeof(id), "%.*s/%.*s", SL_ARG(owner), SL_ARG(card->model));

	if (len < 0 || (size_t)len >= sizeof(id))
		return true;
	model.id = sl_slice_make(id, (size_t)len);
	if (allowed(ask, model.id, owner, card->model))
		return each(context, &model);
	model.id = card->model;
	if (allowed(ask, model.id, owner, card->model) && bare_is_first(ask, provider, card))
		return each(context, &model);
	return true;
}

/* Calls each() for every model the caller may use until it returns false. */
static void
for_each_model(const struct sl_ask *ask, each_model *each, void *context)
{
	const struct sl_config *config = ask->world->config;
	const struct sl_catalog *catalog = ask->world->catalog;

	for (size_t i = 0; i < config->model_count; i++) {
		struct model alias = { .id = config->models[i].name, .owner = SL_SLICE("sluice") };

		if (allowed(ask, alias.id, SL_SLICE_NONE, SL_SLICE_NONE) &&
		    !each(context, &alias))
			return;
	}
	for (size_t p = 0; p < config->provider_count; p++)
		for (size_t i = 0; i < sl_catalog_count(catalog); i++) {
			const struct sl_model_card *card = sl_catalog_at(catalog, i);

			if (serves_card(&config->providers[p], card) &&
			    !offer(ask, p, card, each, context))
				return;
		}
}

/* --- one entry, in each dialect ------------------------------------------- */

static int64_t
released_s(const struct model *model)
{
	int64_t wall_ms;

	if (!model->card || !sl_timestamp_parse(model->card->released, &wall_ms))
		return 0;
	return wall_ms / 1000;
}

static void
put_openai(struct sl_json_writer *w, const struct model *model)
{
	sl_json_obj(w);
	sl_json_str(w, "id", model->id);
	sl_json_str(w, "object", SL_SLICE("model"));
	sl_json_int(w, "created", released_s(model));
	sl_json_str(w, "owned_by", model->owner);
	sl_json_obj_end(w);
}

static void
put_anthropic(struct sl_json_writer *w, const struct model *model)
{
	time_t released = (time_t)released_s(model);
	struct tm date;
	char text[32];

	gmtime_r(&released, &date);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &date);
	sl_json_obj(w);
	sl_json_str(w, "type", SL_SLICE("model"));
	sl_json_str(w, "id", model->id);
	sl_json_str(w, "display_name",
	            model->card && model->card->name.len > 0 ? model->card->name : model->id);
	sl_json_str(w, "created_at", sl_slice_str(text));
	sl_json_obj_end(w);
}

static void
put_gemini(struct sl_json_writer *w, const struct model *model)
{
	const struct sl_model_card *card = model->card;
	bool embeds = card && (card->output_modalities & SL_MODALITY_EMBEDDING);
	char name[600];

	snprintf(name, sizeof(name), "models/%.*s", SL_ARG(model->id));
	sl_json_obj(w);
	sl_json_str(w, "name", sl_slice_str(name));
	sl_json_str(w, "displayName", card && card->name.len > 0 ? card->name : model->id);
	if (card && card->context_tokens > 0)
		sl_json_int(w, "inputTokenLimit", card->context_tokens);
	if (card && card->max_output_tokens > 0)
		sl_json_int(w, "outputTokenLimit", card->max_output_tokens);
	sl_json_key(w, "supportedGenerationMethods");
	sl_json_arr(w);
	sl_json_put_str(w, embeds ? SL_SLICE("embedContent") : SL_SLICE("generateContent"));
	sl_json_put_str(w, embeds ? SL_SLICE("batchEmbedContents") : SL_SLICE("countTokens"));
	sl_json_arr_end(w);
	sl_json_obj_end(w);
}

static void
put_model(struct sl_json_writer *w, const struct model *model, enum dialect dialect)
{
	switch (dialect) {
	case DIALECT_OPENAI:
		put_openai(w, model);
		break;
	case DIALECT_ANTHROPIC:
		put_anthropic(w, model);
		break;
	case DIALECT_GEMINI:
		put_gemini(w, model);
		break;
	}
}

/* --- list and single ------------------------------------------------------ */

struct listing {
	struct sl_json_writer w;
	enum dialect          dialect;
	struct sl_slice       first, last;
	struct sl_arena      *arena;
};

static bool
list_one(void *context, const struct model *model)
{
	struct listing *listing = context;

	put_model(&listing->w, model, listing->dialect);
	if (listing->dialect == DIALECT_ANTHROPIC) {
		listing->last = sl_arena_dup(listing->arena, model->id);
		if (!listing->first.ptr)
			listing->first = listing->last;
	}
	return !listing->w.buf->failed;
}

static void
write_list(struct sl_ask *ask, enum dialect dialect, struct sl_buf *out)
{
	struct listing listing = { .dialect = dialect, .arena = &ask->exchange->arena };
	struct sl_json_writer *w = &listing.w;

	sl_json_writer_init(w, out);
	sl_json_obj(w);
	if (dialect == DIALECT_OPENAI)
		sl_json_str(w, "object", SL_SLICE("list"));
	sl_json_key(w, dialect == DIALECT_GEMINI ? "models" : "data");
	sl_json_arr(w);
	for_each_model(ask, list_one, &listing);
	sl_json_arr_end(w);
	if (dialect == DIALECT_ANTHROPIC) {
		sl_json_bool(w, "has_more", false);
		sl_json_key(w, "first_id");
		if (listing.first.ptr)
			sl_json_put_str(w, listing.first);
		else
			sl_json_put_null(w);
		sl_json_key(w, "last_id");
		if (listing.last.ptr)
			sl_json_put_str(w, listing.last);
		else
			sl_json_put_null(w);
	}
	sl_json_obj_end(w);
}

struct search {
	struct sl_slice       id;
	struct sl_json_writer w;
	enum dialect          dialect;
	bool                  found;
};

static bool
match_one(void *context, const struct model *model)
{
	struct search *search = context;

	/* The bare id of a catalogue model finds it as well. */
	if (!sl_slice_eq(model->id, search->id) &&
	    !(model->card && sl_slice_eq(model->card->model, search->id)))
		return true;
	put_model(&search->w, model, search->dialect);
	search->found = true;
	return false;
}

static enum dialect
dialect_of(const struct sl_ask *ask, bool beta_path)
{
	const struct sl_headers *headers = &ask->exchange->request.headers;

	if (beta_path || sl_headers_has(headers, "x-goog-api-key"))
		return DIALECT_GEMINI;
	return sl_headers_has(headers, "anthropic-version") ? DIALECT_ANTHROPIC : DIALECT_OPENAI;
}

static const struct sl_shape_ops *
envelope_of(enum dialect dialect)
{
	switch (dialect) {
	case DIALECT_ANTHROPIC:
		return &sl_shape_anthropic_messages;
	case DIALECT_GEMINI:
		return &sl_shape_gemini_generate;
	case DIALECT_OPENAI:
		break;
	}
	return &sl_shape_openai_chat;
}

static void
answer_one(struct sl_ask *ask, struct sl_slice segment, enum dialect dialect,
           struct sl_buf *body)
{
	struct search search = { .dialect = dialect };
	char *id = sl_arena_alloc(&ask->exchange->arena, segment.len + 1);
	ptrdiff_t len = id ? sl_percent_decode(segment, id) : SL_ENOMEM;

	if (len >= 0) {
		search.id = sl_slice_make(id, (size_t)len);
		sl_json_writer_init(&search.w, body);
		for_each_model(ask, match_one, &search);
	}
	if (search.found) {
		sl_ask_answer_json(ask, body);
		return;
	}
	sl_ask_refuse_with(ask, SL_FAULT_NO_ROUTE,
	                   sl_arena_printf(&ask->exchange->arena,
	                       "The model '%.*s' does not exist here, or this key may not use "
	                       "it. GET /v1/models lists what it can use.", SL_ARG(search.id)));
}

/* Whether the path is a model list's; *rest is what stands behind it. */
static bool
is_models_path(struct sl_slice path, struct sl_arena *arena, struct sl_slice *rest, bool *beta)
{
	static const struct {
		struct sl_slice path;
		bool            beta;
	} roots[] = {
		{ { "/v1/models", 10 }, false },
		{ { "/v1beta/models", 14 }, true },
	};
	struct sl_slice model;

	path = sl_shape_path(path, arena, &model);
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		if (!sl_slice_starts(path, roots[i].path))
			continue;
		*rest = sl_slice_from(path, roots[i].path.len);
		*beta = roots[i].beta;
		return rest->len == 0 || rest->ptr[0] == '/';
	}
	return false;
}

bool
sl_models_answer(struct sl_ask *ask)
{
	const struct sl_request *request = &ask->exchange->request;
	struct sl_slice rest;
	enum dialect dialect;
	struct sl_buf body;
	bool beta;

	/* Gemini's generating paths stand below the same root. */
	if (ask->shape || !is_models_path(ask->head->selection.path, &ask->exchange->arena, &rest, &beta))
		return false;
	/* A verb that no shape knows is no model to be asked about. */
	if (sl_slice_is(request->method, "POST") && sl_slice_find(rest, ':') >= 0)
		return false;
	dialect = dialect_of(ask, beta);
	ask->shape = envelope_of(dialect);
	if (!sl_slice_is(request->method, "GET") && !sl_slice_is(request->method, "HEAD")) {
		sl_ask_refuse_method(ask, SL_SLICE("GET, HEAD"));
		return true;
	}
	sl_buf_init(&body, LIST_BYTES_MAX);
	if (rest.len > 1) {
		answer_one(ask, sl_slice_from(rest, 1), dialect, &body);
	} else {
		write_list(ask, dialect, &body);
		sl_ask_answer_json(ask, &body);
	}
	sl_buf_release(&body);
	return true;
}

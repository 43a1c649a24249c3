/* offers.c - current chat models, by the catalogue.
 *
 * A catalogue does not say what a model is for, but its row and its name do: chat models
 * answer in text and take tools; a name that holds "codex" or "search" is of a model for
 * that. Which of them are current the dates of release tell.
 */
#include "routing/offers.h"

#include <stdlib.h>
#include <string.h>

#include "base/timestamp.h"
#include "routing/judge.h"

enum {
	PER_TIER_MAX = 8, /* of one provider */
	AGE_MAX_DAYS = 550,
};
static const int64_t day_ms = 86400000;
/* Of a million tokens. Above it are models that nobody means who leaves the choice open. */
static const int64_t price_max_nanousd = 60000000000;

/* The best of one provider and tier, newest first. */
struct shelf {
	const struct sl_model_card *cards[PER_TIER_MAX];
	int64_t                     released_ms[PER_TIER_MAX];
	size_t                      count;
};

/* A row that may be of any provider: what decides that is looked up once, not for each. */
struct candidate {
	const struct sl_model_card *card;
	int64_t                     released_ms;
	bool                        dated;
};

/* --- which ----------------------------------------------------------------------- */

static bool
is_for_one_purpose(struct sl_slice model)
{
	static const char *const signs[] = {
		"codex", "code", "devstral", "search", "research", "audio", "realtime", "live",
		"image", "vision", "tts", "ocr", "guard", "safety", "translate", "preview", "beta",
		"-exp", "labs-", "customtools", "computer", "spark", ":free", "robotics",
	};

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (sl_slice_search(model, sl_slice_str(signs[i])) >= 0)
			return true;
	return false;
}

static bool
has_price(const struct sl_model_card *card, enum sl_usage_class class)
{
	return (card->price.present >> class) & 1;
}

/* Nothing but a price is known of it. */
static bool
is_bare(const struct sl_model_card *card)
{
	return card->capabilities == 0 && card->context_tokens == 0;
}

/* What the operator gave a price for, of a model that nobody else knows, is meant to be
 * used. */
static bool
is_the_operators(const struct sl_model_card *card)
{
	return is_bare(card) && sl_slice_starts(card->price_date, SL_SLICE("configured"));
}

static bool
is_chat_model(const struct sl_model_card *card)
{
	if (sl_slice_is(card->model, "*") || !has_price(card, SL_USAGE_INPUT) ||
	    !has_price(card, SL_USAGE_OUTPUT) ||
	    card->price.nanousd[SL_USAGE_OUTPUT] > price_max_nanousd)
		return false;
	if (is_the_operators(card))
		return card->output_modalities == 0 || card->output_modalities == SL_MODALITY_TEXT;
	return card->output_modalities == SL_MODALITY_TEXT &&
	       (card->input_modalities & SL_MODALITY_TEXT) &&
	       ((card->capabilities & SL_CAP_TOOLS) || is_bare(card)) &&
	       !is_for_one_purpose(card->model);
}

/* The row that holds for the provider: what stands under its own name goes before what
 * stands under its kind. */
static bool
holds_for(const struct sl_catalog *catalog, const struct sl_config_provider *provider,
          const struct sl_model_card *card)
{
	const struct sl_model_card *own;

	if (sl_slice_eq(card->provider, provider->name))
		return true;
	if (!sl_slice_eq(card->provider, provider->kind))
		return false;
	own = sl_catalog_find(catalog, provider->name, card->model);
	return !own || !sl_slice_eq(own->model, card->model);
}

/* Another row is the same model under a shorter name ("-20250929", "-latest"). */
static bool
is_dated_twin(const struct sl_catalog *catalog, const struct sl_model_card *card)
{
	struct sl_slice shorter = sl_catalog_undated(card->model);

	return shorter.len < card->model.len &&
	       sl_catalog_find(catalog, card->provider, shorter) &&
	       !sl_slice_is(sl_catalog_find(catalog, card->provider, shorter)->model, "*");
}

/* --- shelves ----------------------------------------------------------------------- */

static void
put(struct shelf *shelf, const struct sl_model_card *card, int64_t released_ms)
{
	size_t at = shelf->count;

	/* Equal dates: the cheaper first, then the shorter name. */
	while (at > 0 && (shelf->released_ms[at - 1] < released_ms ||
	                  (shelf->released_ms[at - 1] == released_ms &&
	                   (shelf->cards[at - 1]->price.nanousd[SL_USAGE_OUTPUT] >
	                        card->price.nanousd[SL_USAGE_OUTPUT] ||
	                    (shelf->cards[at - 1]->price.nanousd[SL_USAGE_OUTPUT] ==
	                         card->price.nanousd[SL_USAGE_OUTPUT] &&
	                     shelf->cards[at - 1]->model.len > card->model.len)))))
		at--;
	if (at == PER_TIER_MAX)
		return;
	if (shelf->count < PER_TIER_MAX)
		shelf->count++;
	for (size_t i = shelf->count - 1; i > at; i--) {
		shelf->cards[i] = shelf->cards[i - 1];
		shelf->released_ms[i] = shelf->released_ms[i - 1];
	}
	shelf->cards[at] = card;
	shelf->released_ms[at] = released_ms;
}

static bool
is_asked(const struct sl_config *config, const bool *named_by_operator, struct sl_slice provider)
{
	for (size_t p = 0; p < config->provider_count; p++)
		if (config->providers[p].enabled && !(named_by_operator && named_by_operator[p]) &&
		    (sl_slice_eq(config->providers[p].name, provider) ||
		     sl_slice_eq(config->providers[p].kind, provider)))
			return true;
	return false;
}

static size_t
find_candidates(const struct sl_config *config, const struct sl_catalog *catalog,
                const bool *named_by_operator, struct candidate *out)
{
	struct sl_slice provider = SL_SLICE_NONE;
	bool asked = false;
	size_t count = 0;

	for (size_t i = 0; i < sl_catalog_count(catalog); i++) {
		struct candidate *candidate = &out[count];

		candidate->card = sl_catalog_at(catalog, i);
		/* Rows of one provider mostly stand together. */
		if (!sl_slice_eq(candidate->card->provider, provider)) {
			provider = candidate->card->provider;
			asked = is_asked(config, named_by_operator, provider);
		}
		if (!asked || !is_chat_model(candidate->card))
			continue;
		candidate->dated = sl_timestamp_parse(candidate->card->released,
		                                      &candidate->released_ms);
		count++;
	}
	return count;
}

static void
stack_shelves(const struct sl_catalog *catalog, const struct sl_config_provider *provider,
              const struct candidate *candidates, size_t count, struct shelf shelves[SL_BUCKETS])
{
	int64_t newest_ms = 0;

	for (size_t i = 0; i < count; i++)
		if (candidates[i].dated && candidates[i].released_ms > newest_ms &&
		    holds_for(catalog, provider, candidates[i].card))
			newest_ms = candidates[i].released_ms;
	for (size_t i = 0; i < count; i++) {
		const struct sl_model_card *card = candidates[i].card;
		int64_t released_ms = candidates[i].dated ? candidates[i].released_ms : newest_ms;

		/* Without a date it may be of yesterday: only where nothing has one. */
		if (!candidates[i].dated && newest_ms > 0 && !is_the_operators(card))
			continue;
		if (newest_ms - released_ms <= AGE_MAX_DAYS * day_ms &&
		    holds_for(catalog, provider, card) && !is_dated_twin(catalog, card))
			put(&shelves[sl_judge_tier(SL_SLICE_NONE, card)], card, released_ms);
	}
}

bool
sl_offers_make(const struct sl_config *config, const struct sl_catalog *catalog,
               const bool *named_by_operator, struct sl_arena *arena, struct sl_offers *out)
{
	size_t most = config->provider_count * SL_BUCKETS * PER_TIER_MAX, count = 0;
	struct shelf *shelves = calloc(config->provider_count * SL_BUCKETS + 1, sizeof(*shelves));
	struct candidate *candidates = calloc(sl_catalog_count(catalog) + 1, sizeof(*candidates));
	struct sl_offer *list = SL_ARENA_ARRAY(arena, struct sl_offer, most + 1);
	size_t candidate_count;

	*out = (struct sl_offers){ .count = 0 };
	if (!shelves || !candidates || !list) {
		free(shelves);
		free(candidates);
		return false;
	}
	candidate_count = find_candidates(config, catalog, named_by_operator, candidates);
	for (size_t p = 0; p < config->provider_count; p++)
		if (config->providers[p].enabled && !(named_by_operator && named_by_operator[p]))
			stack_shelves(catalog, &config->providers[p], candidates, candidate_count,
			              &shelves[p * SL_BUCKETS]);
	for (size_t turn = 0; turn < PER_TIER_MAX; turn++)
		for (size_t s = 0; s < config->provider_count * SL_BUCKETS; s++)
			if (turn < shelves[s].count)
				list[count++] = (struct sl_offer){ .provider = s / SL_BUCKETS,
					                           .card = shelves[s].cards[turn],
					                           .tier = s % SL_BUCKETS };
	free(shelves);
	free(candidates);
	*out = (struct sl_offers){ list, count };
	return true;
}

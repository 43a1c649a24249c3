/* catalog.h - the model and price catalogue.
 *
 * Facts about models, read from a plain file that a person can correct
 * (catalog/models.csv, compiled into the binary; the option `catalog` names
 * another one, the option `prices` overrides single rows). shared: frozen.
 *
 * Prices are int64 nano-dollars per million units (1 USD per million tokens =
 * 1000000000), so every published price is exact. An unknown price is unknown,
 * never zero.
 */
#ifndef SL_MODEL_CATALOG_H
#define SL_MODEL_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "model/usage.h"

enum {
	SL_MODALITY_TEXT = 1 << 0,
	SL_MODALITY_IMAGE = 1 << 1,
	SL_MODALITY_AUDIO = 1 << 2,
	SL_MODALITY_VIDEO = 1 << 3,
	SL_MODALITY_PDF = 1 << 4,
	SL_MODALITY_EMBEDDING = 1 << 5,
};
enum {
	SL_CAP_TOOLS = 1 << 0,
	SL_CAP_REASONING = 1 << 1,
	SL_CAP_JSON_SCHEMA = 1 << 2,
	SL_CAP_TEMPERATURE = 1 << 3, /* accepts sampling parameters */
	SL_CAP_OPEN_WEIGHTS = 1 << 4,
};

struct sl_price {
	int64_t  nanousd[SL_USAGE_COUNT]; /* per million units */
	uint32_t present;                 /* bit 1 << class */
};

/* From this many input tokens on, another price list holds (long context). */
struct sl_price_tier {
	int64_t         from_input_tokens;
	struct sl_price price;
};

enum { SL_PRICE_TIERS_MAX = 3 };

struct sl_model_card {
	struct sl_slice provider; /* provider kind: "openai" */
	struct sl_slice model;    /* the provider's id */
	struct sl_slice name;     /* for people */
	int64_t         context_tokens;    /* 0: unknown */
	int64_t         max_output_tokens; /* 0: unknown */
	uint32_t        input_modalities;
	uint32_t        output_modalities;
	uint32_t        capabilities;
	struct sl_price price;
	struct sl_price_tier *tiers; /* tier_count of them; most models have none */
	uint32_t        tier_count;
	uint32_t        price_version; /* of price_date, as sl_catalog_version makes it */
	struct sl_slice price_date; /* "2026-07-02", "configured-123456789": the version of the
	                             * prices, written on each record */
	struct sl_slice released;   /* date, may be empty */
};

struct sl_catalog;

/* What is wrong in a catalogue text, and where. */
struct sl_catalog_error {
	uint32_t    line;   /* from 1 */
	uint32_t    column; /* from 1 */
	const char *reason;
};

/* Parses catalogue text; cards live on the arena. NULL: *error says why. */
struct sl_catalog *sl_catalog_parse(struct sl_slice text, struct sl_arena *arena,
                                    struct sl_catalog_error *error);
/* The catalogue compiled into the binary, as text. */
struct sl_slice sl_catalog_builtin_text(void);

/* Exact id, then the id without a date or "-latest" suffix, then the provider's
 * row "*" for every other model; NULL when unknown. */
const struct sl_model_card *sl_catalog_find(const struct sl_catalog *catalog,
                                            struct sl_slice provider, struct sl_slice model);
/* The first digits of a price_date as a number: 20260702. */
uint32_t sl_catalog_version(struct sl_slice price_date);
/* The name without "-latest", "-20250514", "@20250514" or "-2025-05-14"; the same when it
 * ends in none of them. */
struct sl_slice sl_catalog_undated(struct sl_slice model);
size_t sl_catalog_count(const struct sl_catalog *catalog);
const struct sl_model_card *sl_catalog_at(const struct sl_catalog *catalog, size_t index);

/* Replaces the whole price list of provider/model, tiers included, or creates the
 * card (with the other facts of the model that sl_catalog_find takes it for).
 * Prices are a JSON mapping with the names of the file's `prices` column, in USD
 * per million units: {"input":0.1,"output":0.4,"cache_read":...}. Only while the
 * catalogue is being built; pointers to cards stay valid. SL_ESYNTAX (no JSON, a
 * price that is no amount), SL_ETYPE (no mapping), SL_ENOTFOUND (unknown name),
 * SL_ENOMEM. */
enum sl_err sl_catalog_override(struct sl_catalog *catalog, struct sl_arena *arena,
                                struct sl_slice provider, struct sl_slice model,
                                struct sl_slice prices_json);

/* Cost of a usage under a card, in nano-dollars, rounded half up once, at the
 * end (128-bit intermediates). Parts with a price of their own are taken out
 * of their total; parts without one are charged as the total is. A tier replaces
 * the prices it names. Pictures, characters and audio measure again what tokens
 * may measure already: of these and tokens, what has a price is charged. False
 * when a class that was used has no price, nothing is known to be used, or card
 * is NULL: then the request is unpriced. */
bool sl_price_cost(const struct sl_model_card *card, const struct sl_usage *usage,
                   int64_t *cost_nanousd);

#endif

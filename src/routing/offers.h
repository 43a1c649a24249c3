/* offers.h - what `auto` chooses from where nobody says.
 *
 * Models of the configured providers that the catalogue knows for current chat models,
 * worked out when the configuration is loaded. Pure; shared: frozen.
 */
#ifndef SL_ROUTING_OFFERS_H
#define SL_ROUTING_OFFERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "model/catalog.h"
#include "model/config.h"
#include "routing/classify.h"

enum { SL_OFFERS_MAX = 9 }; /* as many that may be used are weighed against each other */

struct sl_offer {
	size_t                      provider; /* index into config->providers */
	const struct sl_model_card *card;
	enum sl_bucket              tier;
};

struct sl_offers {
	const struct sl_offer *list;
	size_t                 count;
};

/* Of every enabled provider its models that talk (text out, tools in), have prices and are
 * not much older than its newest, but no versions made for one purpose; and what the
 * operator gave prices for himself. In turns: of each provider the newest of each tier, then
 * the second ones, and so on, so that the first dozen is a good choice for a caller who
 * may use all of them. named_by_operator: per provider, its models are called as they were
 * deployed, so a catalogue cannot name them; NULL: none. False: out of memory. */
bool sl_offers_make(const struct sl_config *config, const struct sl_catalog *catalog,
                    const bool *named_by_operator, struct sl_arena *arena,
                    struct sl_offers *out);

#endif

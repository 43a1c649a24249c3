/* cohere.c - Cohere. https://docs.cohere.com/reference
 *
 * In its own grammar, to which every other is translated: the one that copies OpenAI's
 * lacks thoughts, citations and what embeddings are for.
 */
#include "providers/provider.h"

static const char *const shapes[] = { "cohere_chat", "cohere_embed", NULL };

const struct sl_provider_kind sl_provider_cohere = {
	.name = "cohere",
	.title = "Cohere",
	.base_url = "https://api.cohere.com",
	.env_key = { "COHERE_API_KEY", "CO_API_KEY" },
	.auth = SL_AUTH_BEARER,
	.shapes = shapes,
};

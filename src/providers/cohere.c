/* cohere.c - Cohere. https://docs.cohere.com/reference
 *
 * Chat in its own grammar, to which every other is translated: the one that copies
 * OpenAI's lacks thoughts and citations. Embeddings go through that copy.
 */
#include "providers/provider.h"

static const char *const shapes[] = { "cohere_chat", "openai_embeddings", NULL };

static struct sl_slice
target(const struct sl_provider_request *request, struct sl_arena *arena)
{
	struct sl_slice path = sl_slice_str(request->shape->upstream_path);

	if (strcmp(request->shape->name, "openai_embeddings") == 0)
		path = SL_SLICE("/compatibility/v1/embeddings");
	return sl_provider_join(request->base_path, path, request, request->query, arena);
}

const struct sl_provider_kind sl_provider_cohere = {
	.name = "cohere",
	.title = "Cohere",
	.base_url = "https://api.cohere.com",
	.env_key = { "COHERE_API_KEY", "CO_API_KEY" },
	.auth = SL_AUTH_BEARER,
	.shapes = shapes,
	.target = target,
};

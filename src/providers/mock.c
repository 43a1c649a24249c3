/* mock.c - the simulated provider in this binary. It speaks every family at one
 * address, which the application fills in when it starts one. */
#include "providers/provider.h"

static struct sl_slice
target(const struct sl_provider_request *request, struct sl_arena *arena)
{
	struct sl_slice path = sl_slice_str(request->shape->upstream_path);

	/* The OpenAI family's paths are below a base URL that ends in /v1. */
	if (strcmp(request->shape->family, "openai") == 0)
		path = sl_arena_printf(arena, "/v1%.*s", SL_ARG(path));
	return sl_provider_join(request->base_path, path, request, request->query, arena);
}

const struct sl_provider_kind sl_provider_mock = {
	.name = "mock",
	.title = "Simulated provider",
	.auth = SL_AUTH_BEARER,
	.quirks = SL_QUIRK_KEYLESS | SL_QUIRK_DEVELOPER_ROLE,
	.target = target,
};

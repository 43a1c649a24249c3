/* gemini.c - Google's Gemini API. https://ai.google.dev/api
 *
 * The API has two versions. v1beta takes all that v1 takes and more, so it
 * serves callers of both; `api_version`, or a base URL that ends in a version,
 * says otherwise.
 */
#include "providers/provider.h"

static struct sl_slice
target(const struct sl_provider_request *request, struct sl_arena *arena)
{
	struct sl_slice path = SL_SLICE("/v1beta/models/{model}:{verb}");

	if (sl_slice_ends(request->base_path, SL_SLICE("/v1")))
		path = SL_SLICE("/v1/models/{model}:{verb}");
	else if (request->api_version.len)
		path = sl_arena_printf(arena, "/%.*s/models/{model}:{verb}",
		                       SL_ARG(request->api_version));
	return sl_provider_join(request->base_path, path, request, request->query, arena);
}

const struct sl_provider_kind sl_provider_gemini = {
	.name = "gemini",
	.title = "Google Gemini",
	.base_url = "https://generativelanguage.googleapis.com",
	.env_key = { "GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY" },
	.env_base = { "GOOGLE_GEMINI_BASE_URL" },
	.auth = SL_AUTH_HEADER,
	.auth_header = "x-goog-api-key",
	.family = "gemini",
	.quirks = SL_QUIRK_MODEL_IN_PATH,
	.target = target,
};

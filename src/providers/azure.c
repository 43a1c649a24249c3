/* azure.c - OpenAI's models on Azure.
 * https://learn.microsoft.com/azure/ai-services/openai/reference
 *
 * Two ways in. The older one names the deployment in the path and a date in
 * api-version; Responses is not there. The newer one, /openai/v1, is OpenAI's
 * own layout and needs neither. Responses goes the newer way always, the rest
 * when the base URL says so. In place of a key, a token of Microsoft Entra
 * (https://learn.microsoft.com/azure/ai-foundry/openai/how-to/managed-identity).
 */
#include "providers/provider.h"

#define DEFAULT_VERSION "2024-10-21"

static const char *const shapes[] = {
	"openai_chat", "openai_completions", "openai_responses", "openai_embeddings",
	"openai_images", "openai_transcriptions", "openai_speech", NULL,
};

/* api-version first, then what the caller sent besides it. */
static struct sl_slice
with_version(const struct sl_provider_request *request, struct sl_arena *arena)
{
	struct sl_slice version = request->api_version, rest = request->query, query;

	if (version.len == 0)
		version = SL_SLICE(DEFAULT_VERSION);
	query = sl_arena_printf(arena, "api-version=%.*s", SL_ARG(version));
	while (rest.len) {
		struct sl_slice pair = sl_slice_cut(&rest, '&');

		if (pair.len && !sl_slice_starts(pair, SL_SLICE("api-version=")))
			query = sl_arena_printf(arena, "%.*s&%.*s", SL_ARG(query), SL_ARG(pair));
	}
	return query;
}

static struct sl_slice
target(const struct sl_provider_request *request, struct sl_arena *arena)
{
	struct sl_slice base = request->base_path;
	struct sl_slice path = sl_slice_str(request->shape->upstream_path);
	bool is_v1 = sl_slice_ends(base, SL_SLICE("/openai/v1"));

	if (is_v1)
		base.len -= sizeof("/openai/v1") - 1;
	else if (sl_slice_ends(base, SL_SLICE("/openai")))
		base.len -= sizeof("/openai") - 1;
	if (is_v1 || strcmp(request->shape->name, "openai_responses") == 0)
		return sl_provider_join(base,
		                        sl_arena_printf(arena, "/openai/v1%.*s", SL_ARG(path)),
		                        request, request->query, arena);
	return sl_provider_join(base,
	                        sl_arena_printf(arena, "/openai/deployments/{model}%.*s",
	                                        SL_ARG(path)),
	                        request, with_version(request, arena), arena);
}

static const struct sl_provider_variable variables[] = {
	{ "AZURE_TENANT_ID", offsetof(struct sl_config_cloud, tenant_id), false },
	{ "AZURE_CLIENT_ID", offsetof(struct sl_config_cloud, client_id), false },
	{ "AZURE_CLIENT_SECRET", offsetof(struct sl_config_cloud, client_secret), true },
	{ NULL, 0, false },
};

const struct sl_provider_kind sl_provider_azure = {
	.name = "azure",
	.title = "Azure OpenAI",
	.env_key = { "AZURE_OPENAI_API_KEY", "AZURE_API_KEY" },
	.env_base = { "AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE" },
	.env_version = { "AZURE_API_VERSION", "OPENAI_API_VERSION" },
	.env_cloud = variables,
	.auth = SL_AUTH_HEADER,
	.auth_header = "api-key",
	.family = "openai",
	.shapes = shapes,
	.quirks = SL_QUIRK_MODEL_IN_PATH | SL_QUIRK_OWN_NAMES | SL_QUIRK_DEVELOPER_ROLE,
	.target = target,
};

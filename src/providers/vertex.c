/* vertex.c - Gemini and Claude on Google Cloud's Vertex AI.
 * https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest
 * https://docs.anthropic.com/en/api/claude-on-vertex-ai
 *
 * The makers' own bodies under paths that name project and location, with a
 * token of a service account in place of a key. A region has a host of its own;
 * the location "global" has the one without a region. The two makers' models are
 * two kinds, because they speak two families of shapes.
 */
#include "providers/provider.h"

static const struct sl_provider_variable variables[] = {
	{ "GOOGLE_APPLICATION_CREDENTIALS", offsetof(struct sl_config_cloud, credentials_file),
	  false },
	{ "VERTEXAI_PROJECT", offsetof(struct sl_config_cloud, project), false },
	{ "GOOGLE_CLOUD_PROJECT", offsetof(struct sl_config_cloud, project), false },
	{ "VERTEXAI_LOCATION", offsetof(struct sl_config_cloud, region), false },
	{ "GOOGLE_CLOUD_LOCATION", offsetof(struct sl_config_cloud, region), false },
	{ NULL, 0, false },
};

/* Regions stand in a host name: letters, digits and hyphens. */
static struct sl_slice
address(struct sl_slice region, struct sl_arena *arena)
{
	if (!sl_provider_is_region(region))
		return SL_SLICE_NONE;
	if (sl_slice_is(region, "global"))
		return SL_SLICE("https://aiplatform.googleapis.com");
	return sl_arena_printf(arena, "https://%.*s-aiplatform.googleapis.com", SL_ARG(region));
}

static struct sl_slice
join(const struct sl_provider_request *request, const char *maker, const char *model,
     struct sl_arena *arena)
{
	struct sl_slice version = request->api_version.len ? request->api_version : SL_SLICE("v1");
	struct sl_slice path =
	    sl_arena_printf(arena, "/%.*s/projects/%.*s/locations/%.*s/publishers/%s/models/%s",
	                    SL_ARG(version), SL_ARG(request->project), SL_ARG(request->region),
	                    maker, model);

	return sl_provider_join(request->base_path, path, request, request->query, arena);
}

/* --- Gemini --------------------------------------------------------------------- */

static struct sl_slice
gemini_target(const struct sl_provider_request *request, struct sl_arena *arena)
{
	return join(request, "google", "{model}:{verb}", arena);
}

static const char *const gemini_shapes[] = { "gemini_generate", "gemini_count_tokens", NULL };

const struct sl_provider_kind sl_provider_vertex = {
	.name = "vertex",
	.title = "Gemini on Vertex AI",
	.env_cloud = variables,
	.auth = SL_AUTH_GOOGLE,
	.address = address,
	.family = "gemini",
	.shapes = gemini_shapes,
	.quirks = SL_QUIRK_MODEL_IN_PATH,
	.target = gemini_target,
};

/* --- Claude --------------------------------------------------------------------- */

static struct sl_slice
claude_target(const struct sl_provider_request *request, struct sl_arena *arena)
{
	return join(request, "anthropic",
	            request->stream ? "{model}:streamRawPredict" : "{model}:rawPredict", arena);
}

static const char *const claude_shapes[] = { "anthropic_messages", NULL };

const struct sl_provider_kind sl_provider_vertex_anthropic = {
	.name = "vertex_anthropic",
	.title = "Claude on Vertex AI",
	.env_cloud = variables,
	.auth = SL_AUTH_GOOGLE,
	.address = address,
	.family = "anthropic",
	.shapes = claude_shapes,
	.quirks = SL_QUIRK_MODEL_IN_PATH,
	.body_version = "vertex-2023-10-16",
	.target = claude_target,
};

/* endpoint.c - one URL that takes chat completions, as it stands: nothing is added
 * to its path, and nothing to the request that its caller did not write. The
 * caller's own credential goes along unless the configuration says otherwise. A route
 * with a base_url becomes one of these. */
#include "providers/provider.h"

static const char *const shapes[] = { "openai_chat", NULL };

static struct sl_slice
target(const struct sl_provider_request *request, struct sl_arena *arena)
{
	struct sl_slice own = request->base_query, callers = request->query;

	return sl_arena_join(arena, (struct sl_slice[]){
	    request->base_path.len ? request->base_path : SL_SLICE("/"),
	    own.len + callers.len ? SL_SLICE("?") : SL_SLICE_NONE, own,
	    own.len && callers.len ? SL_SLICE("&") : SL_SLICE_NONE, callers }, 5);
}

const struct sl_provider_kind sl_provider_endpoint = {
	.name = "endpoint",
	.title = "One URL for chat completions",
	.auth = SL_AUTH_PASSTHROUGH,
	.family = "openai",
	.shapes = shapes,
	/* A request without a model stays one. */
	.quirks = SL_QUIRK_NO_STREAM_OPTIONS | SL_QUIRK_MODEL_IN_PATH |
	          SL_QUIRK_DEVELOPER_ROLE,
	.target = target,
};

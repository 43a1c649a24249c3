/* openai.c - OpenAI, and whatever else serves the whole of its API under a
 * configured base URL. */
#include "providers/provider.h"

const struct sl_provider_kind sl_provider_openai = {
	.name = "openai",
	.title = "OpenAI",
	.base_url = "https://api.openai.com/v1",
	.env_key = { "OPENAI_API_KEY" },
	.env_base = { "OPENAI_BASE_URL", "OPENAI_API_BASE" },
	.auth = SL_AUTH_BEARER,
	.family = "openai",
	.quirks = SL_QUIRK_DEVELOPER_ROLE,
};

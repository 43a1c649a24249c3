/* anthropic.c - Anthropic. https://docs.anthropic.com/en/api
 *
 * The version header says which dated grammar the caller reads, so the caller's
 * own stands; the default is for callers that send none.
 */
#include "providers/provider.h"

static const struct sl_config_header headers[] = {
	{ { "anthropic-version", 17 }, { "2023-06-01", 10 } },
};

const struct sl_provider_kind sl_provider_anthropic = {
	.name = "anthropic",
	.title = "Anthropic",
	.base_url = "https://api.anthropic.com",
	.env_key = { "ANTHROPIC_API_KEY" },
	.env_base = { "ANTHROPIC_BASE_URL" },
	.auth = SL_AUTH_HEADER,
	.auth_header = "x-api-key",
	.family = "anthropic",
	.headers = headers,
	.header_count = sizeof(headers) / sizeof(headers[0]),
};

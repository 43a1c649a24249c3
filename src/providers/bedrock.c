/* bedrock.c - Amazon Bedrock. https://docs.aws.amazon.com/bedrock/
 *
 * The model id in the path is percent-encoded as one segment, for inference
 * profiles are ARNs with ':' and '/'. Requests are signed, unless an API key
 * stands in place of the AWS credential.
 */
#include "providers/provider.h"

static const struct sl_provider_variable variables[] = {
	{ "AWS_REGION", offsetof(struct sl_config_cloud, region), false },
	{ "AWS_DEFAULT_REGION", offsetof(struct sl_config_cloud, region), false },
	{ "AWS_ACCESS_KEY_ID", offsetof(struct sl_config_cloud, access_key_id), false },
	{ "AWS_SECRET_ACCESS_KEY", offsetof(struct sl_config_cloud, secret_access_key), true },
	{ "AWS_SESSION_TOKEN", offsetof(struct sl_config_cloud, session_token), true },
	{ NULL, 0, false },
};

static struct sl_slice
address(struct sl_slice region, struct sl_arena *arena)
{
	if (!sl_provider_is_region(region))
		return SL_SLICE_NONE;
	return sl_arena_printf(arena, "https://bedrock-runtime.%.*s.amazonaws.com%s",
	                       SL_ARG(region),
	                       sl_slice_starts(region, SL_SLICE("cn-")) ? ".cn" : "");
}

const struct sl_provider_kind sl_provider_bedrock = {
	.name = "bedrock",
	.title = "Amazon Bedrock",
	.env_key = { "AWS_BEARER_TOKEN_BEDROCK" },
	.env_cloud = variables,
	.auth = SL_AUTH_AWS,
	.address = address,
	.family = "bedrock",
	.quirks = SL_QUIRK_MODEL_IN_PATH,
};

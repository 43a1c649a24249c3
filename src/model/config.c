/* config.c - birth and end of a configuration snapshot. */
#include "model/config.h"

#include <stdlib.h>

enum {
	CONFIG_ARENA_FIRST = 8 * 1024,
	/* 1 MiB of YAML cannot make more than this; the cap is for aliases. */
	CONFIG_ARENA_MAX = 64 * 1024 * 1024,
};

struct sl_config *
sl_config_new(void)
{
	struct sl_config *config = calloc(1, sizeof(*config));

	if (config)
		sl_arena_init(&config->arena, CONFIG_ARENA_FIRST, CONFIG_ARENA_MAX);
	return config;
}

static void
provider_free(struct sl_config_provider *provider)
{
	sl_secret_release(&provider->api_key);
	for (size_t i = 0; i < provider->credential_count; i++)
		sl_secret_release(&provider->credentials[i].api_key);
	sl_secret_release(&provider->cloud.secret_access_key);
	sl_secret_release(&provider->cloud.session_token);
	sl_secret_release(&provider->cloud.client_secret);
}

void
sl_config_free(struct sl_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->provider_count; i++)
		provider_free(&config->providers[i]);
	sl_secret_release(&config->master_key);
	sl_secret_release(&config->alerts_secret);
	sl_arena_release(&config->arena);
	free(config);
}

/* config_routes.c - a route that leads elsewhere is a provider of its own.
 *
 * Made after the file was checked, so that health, limits, failover and records treat
 * it like every other place that a request can go to. Its name has a slash, which a
 * configured provider's cannot have.
 */
#include "app/config_loader.h"

static const struct sl_option_section *
provider_section(void)
{
	const struct sl_option_section *root = sl_options_root();

	for (size_t i = 0; i < root->count; i++)
		if (strcmp(root->options[i].key, "providers") == 0)
			return root->options[i].section;
	return NULL;
}

static void
add_provider(struct sl_loader *loader, const struct sl_config_route *route,
             struct sl_config_provider *provider)
{
	sl_loader_defaults(loader, provider_section(), provider);
	provider->name = route->name;
	provider->kind = SL_SLICE("endpoint");
	provider->base_url = route->base_url;
	provider->auth = route->auth;
	provider->auth_header = route->auth_header;
	provider->from_route = true;
}

void
sl_loader_routes(struct sl_loader *loader)
{
	struct sl_config *config = loader->config;
	struct sl_config_provider *providers;
	size_t count = config->provider_count, more = 0;

	for (size_t i = 0; i < config->route_count; i++)
		more += config->routes[i].base_url.len > 0;
	if (more == 0)
		return;
	providers = SL_ARENA_ARRAY(loader->arena, struct sl_config_provider, count + more);
	if (!providers) {
		loader->out_of_memory = true;
		return;
	}
	if (count > 0)
		memcpy(providers, config->providers, count * sizeof(providers[0]));
	for (size_t i = 0; i < config->route_count; i++)
		if (config->routes[i].base_url.len > 0)
			add_provider(loader, &config->routes[i], &providers[count++]);
	config->providers = providers;
	config->provider_count = count;
}

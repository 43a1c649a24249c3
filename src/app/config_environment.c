/* config_environment.c - providers that are there because a variable is set.
 *
 * A file that lists providers means those and no others, unless it says
 * `providers_from_environment: true`. Without such a list each kind whose usual
 * variable holds a credential becomes a provider of that name. When nothing at
 * all would be there, the built-in simulated provider is, so that the first
 * request needs no account.
 */
#include "app/config_loader.h"

#include "providers/provider.h"

const char *
sl_loader_env_first(const struct sl_loader *loader, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count && names[i]; i++) {
		const char *value = loader->source->env(names[i]);

		if (value && *value)
			return names[i];
	}
	return NULL;
}

static struct sl_slice
env_copy(struct sl_loader *loader, const char *name)
{
	struct sl_slice copy = SL_SLICE_NONE;

	if (name)
		copy = sl_arena_dup(loader->arena,
		                    sl_slice_trim(sl_slice_str(loader->source->env(name))));
	return copy;
}

static const struct sl_option *
root_option(const char *key)
{
	const struct sl_option_section *root = sl_options_root();

	for (size_t i = 0; i < root->count; i++)
		if (strcmp(root->options[i].key, key) == 0)
			return &root->options[i];
	return NULL;
}

static void
take_cloud(struct sl_loader *loader, const struct sl_provider_variable *variable,
           struct sl_config_cloud *cloud)
{
	void *field = (char *)cloud + variable->offset;
	const char *value = loader->source->env(variable->name);

	if (!value || !*value)
		return;
	if (variable->secret) {
		struct sl_secret *secret = field;

		if (sl_secret_empty(secret) &&
		    sl_secret_set(secret, sl_slice_trim(sl_slice_str(value))) != SL_OK)
			loader->out_of_memory = true;
	} else if (((struct sl_slice *)field)->len == 0) {
		*(struct sl_slice *)field = env_copy(loader, variable->name);
	}
}

/* Whether the variables hold all that the kind's own way to authenticate needs. */
static bool
has_cloud(const struct sl_loader *loader, const struct sl_provider_kind *kind)
{
	struct sl_config_cloud cloud = { 0 };
	unsigned secrets = 0;

	for (const struct sl_provider_variable *v = kind->env_cloud; v && v->name; v++) {
		const char *value = loader->source->env(v->name);

		if (!value || !*value)
			continue;
		if (v->secret)
			secrets++;
		else
			*(struct sl_slice *)(void *)((char *)&cloud + v->offset) = sl_slice_str(value);
	}
	if (kind->auth == SL_AUTH_AWS)
		return cloud.access_key_id.len && secrets && cloud.region.len;
	if (kind->auth == SL_AUTH_GOOGLE)
		return cloud.credentials_file.len && cloud.region.len;
	return cloud.tenant_id.len && cloud.client_id.len && secrets;
}

static void
add_provider(struct sl_loader *loader, const struct sl_provider_kind *kind, const char *key,
             const char *base)
{
	struct sl_config *config = loader->config;
	struct sl_config_provider *provider = &config->providers[config->provider_count++];
	struct sl_config_mark whole = { 0 };
	struct sl_config_scalar scalar = { 0 };

	sl_loader_defaults(loader, root_option("providers")->section, provider);
	provider->name = provider->kind = sl_slice_str(kind->name);
	provider->from_environment = true;
	provider->base_url = env_copy(loader, base);
	provider->api_version =
	    env_copy(loader, sl_loader_env_first(loader, kind->env_version,
	                                         sizeof(kind->env_version) /
	                                             sizeof(kind->env_version[0])));
	for (const struct sl_provider_variable *v = kind->env_cloud; v && v->name; v++)
		take_cloud(loader, v, &provider->cloud);
	if (!key)
		return;
	scalar.text = sl_slice_trim(sl_slice_str(loader->source->env(key)));
	for (size_t i = 0; i < scalar.text.len; i++)
		if ((unsigned char)scalar.text.ptr[i] <= 0x20 || scalar.text.ptr[i] == 0x7f) {
			sl_config_error(loader->report, whole,
			                "the environment variable %s holds a space, line end or "
			                "control character — set it to the credential alone", key);
			return;
		}
	if (sl_secret_set(&provider->api_key, scalar.text) != SL_OK)
		loader->out_of_memory = true;
}

static bool
is_configured(const struct sl_config *config, const char *name)
{
	for (size_t i = 0; i < config->provider_count; i++)
		if (sl_slice_is(config->providers[i].name, name))
			return true;
	return false;
}

/* The array of the file is not large enough for more. Places of its fields were
 * recorded by address, so it is not moved: new ones are only made when the file
 * had none, or the old are copied and their places with them. */
static bool
make_room(struct sl_loader *loader, size_t more)
{
	struct sl_config *config = loader->config;
	size_t count = config->provider_count;
	struct sl_config_provider *providers =
	    SL_ARENA_ARRAY(loader->arena, struct sl_config_provider, count + more);
	const char *old_start = (const char *)config->providers;
	size_t old_size = count * sizeof(providers[0]);

	if (!providers) {
		loader->out_of_memory = true;
		return false;
	}
	for (size_t i = 0; i < loader->place_count; i++) {
		uintptr_t at = (uintptr_t)loader->places[i].field - (uintptr_t)old_start;

		if (at < old_size)
			loader->places[i].field = (const char *)providers + at;
	}
	if (count)
		memcpy(providers, config->providers, count * sizeof(providers[0]));
	config->providers = providers;
	sl_loader_sort_places(loader);
	return true;
}

/* Only without a file: in one, `${SLUICE_MASTER_KEY}` says so. */
static void
set_master_key(struct sl_loader *loader)
{
	static const char *const names[] = { "SLUICE_MASTER_KEY" };
	const char *name = sl_loader_env_first(loader, names, 1);

	if (name && !loader->source->path &&
	    sl_secret_set(&loader->config->master_key,
	                  sl_slice_trim(sl_slice_str(loader->source->env(name)))) != SL_OK)
		loader->out_of_memory = true;
}

void
sl_loader_environment(struct sl_loader *loader)
{
	struct sl_config *config = loader->config;
	bool listed = sl_loader_written(loader, &config->providers);
	struct sl_config_mark nowhere = { 0 };

	set_master_key(loader);
	if (!sl_loader_written(loader, &config->providers_from_environment))
		config->providers_from_environment = !listed;
	if (!config->providers_from_environment ||
	    !make_room(loader, sl_provider_kind_count() + 1))
		return;
	for (size_t i = 0; i < sl_provider_kind_count(); i++) {
		const struct sl_provider_kind *kind = sl_provider_kind_at(i);
		const char *key = sl_loader_env_first(loader, kind->env_key,
		                                      sizeof(kind->env_key) /
		                                          sizeof(kind->env_key[0]));
		const char *base = sl_loader_env_first(loader, kind->env_base,
		                                       sizeof(kind->env_base) /
		                                           sizeof(kind->env_base[0]));

		/* A base URL alone is enough where no credential is usual, and a
		 * credential alone where the address is known. */
		if (!key && !(base && (kind->quirks & SL_QUIRK_KEYLESS)) &&
		    !(kind->env_cloud && has_cloud(loader, kind)))
			continue;
		if ((!base && !kind->base_url && !kind->address) ||
		    is_configured(config, kind->name))
			continue;
		if (base && sl_loader_is_own_address(
		                loader, sl_slice_str(loader->source->env(base)))) {
			sl_config_warn(loader->report, nowhere,
			               "%s leads to this gateway itself, as it does for "
			               "applications: no provider is made of it — unset it here",
			               base);
			continue;
		}
		add_provider(loader, kind, key, base);
	}
	if (config->provider_count == 0) {
		const struct sl_provider_kind *mock = sl_provider_kind_find(SL_SLICE("mock"));

		if (mock)
			add_provider(loader, mock, NULL, NULL);
	}
}

struct sl_config_provider *
sl_config_mock(struct sl_config *config)
{
	for (size_t i = 0; i < config->provider_count; i++)
		if (sl_slice_is(config->providers[i].kind, "mock") &&
		    config->providers[i].base_url.len == 0 && config->providers[i].enabled)
			return &config->providers[i];
	return NULL;
}

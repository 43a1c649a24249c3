/* banner.c - what a person reads at the start: where it is, what it made, and a
 * request that works as pasted. */
#include "app/serve.h"

#include <stdio.h>

#include "app/version.h"
#include "providers/provider.h"

enum { BANNER_MAX = 64 * 1024, PROVIDERS_SHOWN = 12 };

static void
print_providers(const struct sl_config *config, struct sl_buf *out)
{
	size_t shown = 0, hidden = 0;

	for (size_t i = 0; i < config->provider_count; i++) {
		const struct sl_config_provider *provider = &config->providers[i];

		if (!provider->enabled || provider->from_route)
			continue;
		if (shown == PROVIDERS_SHOWN) {
			hidden++;
			continue;
		}
		sl_buf_printf(out, "%s%.*s", shown++ ? ", " : "", SL_ARG(provider->name));
	}
	if (hidden)
		sl_buf_printf(out, " and %zu more", hidden);
	if (!shown)
		sl_buf_append_str(out, "none");
	sl_buf_append_char(out, '\n');
}

static bool
only_simulated(const struct sl_config *config)
{
	for (size_t i = 0; i < config->provider_count; i++)
		if (config->providers[i].enabled && !sl_slice_is(config->providers[i].kind, "mock"))
			return false;
	return config->provider_count > 0;
}

void
sl_banner_print(struct sl_app *app, struct sl_slice master_key, struct sl_slice first_key)
{
	const struct sl_config *config;
	struct sl_slice model;
	struct sl_world *world;
	struct sl_buf out;

	/* The workers run: one of them may be reloading. */
	pthread_mutex_lock(&app->lock);
	world = sl_world_ref(app->world);
	pthread_mutex_unlock(&app->lock);
	config = sl_world_config(world);
	model = sl_world_sample_model(world);
	sl_buf_init(&out, BANNER_MAX);
	sl_buf_printf(&out, "Sluice %s is ready on %.*s\n", SL_VERSION, SL_ARG(app->base_url));
	sl_buf_append_str(&out, "  providers   ");
	print_providers(config, &out);
	if (only_simulated(config))
		sl_buf_append_str(&out, "              (simulated: answers are made up and nothing "
		                        "leaves this machine; set OPENAI_API_KEY,\n"
		                        "              ANTHROPIC_API_KEY, GEMINI_API_KEY ... for "
		                        "real ones)\n");
	sl_buf_printf(&out, "  state       %.*s\n", SL_ARG(config->store));
	if (master_key.len)
		sl_buf_printf(&out, "  master key  %.*s   (for /admin; shown this once)\n",
		              SL_ARG(master_key));
	if (first_key.len)
		sl_buf_printf(&out, "  first key   %.*s   (for callers; shown this once)\n",
		              SL_ARG(first_key));
	if (!config->keys_required)
		sl_buf_append_str(&out, "  keys        off: whoever reaches this address may use "
		                        "it. Only for local use.\n");
	if (model.len) {
		sl_buf_append_str(&out, "\nTry it:\n\n");
		sl_buf_printf(&out, "  curl %.*s/v1/chat/completions \\\n", SL_ARG(app->base_url));
		if (config->keys_required)
			sl_buf_printf(&out, "    -H 'Authorization: Bearer %.*s' \\\n",
			              first_key.len ? (int)first_key.len : (int)strlen("YOUR_KEY"),
			              first_key.len ? first_key.ptr : "YOUR_KEY");
		sl_buf_append_str(&out, "    -H 'Content-Type: application/json' \\\n");
		sl_buf_printf(&out, "    -d '{\"model\": \"%.*s\", \"messages\": [{\"role\": "
		                    "\"user\", \"content\": \"Hello\"}]}'\n", SL_ARG(model));
		if (config->keys_required && !first_key.len)
			sl_buf_printf(&out, "\nYOUR_KEY is one that was printed before, or a new one:\n\n"
			                    "  SLUICE_MASTER_KEY=... sluice keys create --name app "
			                    "--url %.*s\n\n"
			                    "If the master key is lost, start with another one in "
			                    "%s.\n",
			              SL_ARG(app->base_url),
			              app->options->config_path ? "admin.master_key" : "SLUICE_MASTER_KEY");
	}
	sl_buf_append_char(&out, '\n');
	fwrite(out.ptr ? out.ptr : "", 1, out.len, stdout);
	fflush(stdout);
	if (out.ptr)
		explicit_bzero(out.ptr, out.len);
	sl_buf_release(&out);
	sl_world_unref(world);
}

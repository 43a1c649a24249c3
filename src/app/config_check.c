/* config_check.c - what only the whole can show: duplicates, references,
 * cycles, files that must be there. Providers: config_check_providers.c. */
#include "app/config_loader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "model/catalog.h"
#include "net/resolve.h"
#include "providers/provider.h"
#include "routing/stack.h"

struct check {
	struct sl_loader      *loader;
	struct sl_config      *config;
	struct sl_config_names providers, models, stacks;
};

enum { CATALOG_FILE_MAX = 8 * 1024 * 1024 };

void
sl_loader_check_readable(struct sl_loader *loader, const struct sl_slice *path, const char *what)
{
	/* PATH options are arena copies, so they end in NUL. */
	if (path->len && access(path->ptr, R_OK) != 0)
		sl_config_error(loader->report, sl_loader_where(loader, path),
		                "%s: %s cannot be read: %s — check the path and its permissions",
		                what, path->ptr, strerror(errno));
}

/* `alias` or `provider/model`. */
static bool
is_target(const struct check *check, struct sl_slice name)
{
	struct sl_slice rest = name;
	struct sl_slice first = sl_slice_cut(&rest, '/');

	if (sl_config_names_find(&check->models, name) >= 0)
		return true;
	return rest.len && sl_config_names_find(&check->providers, first) >= 0;
}

static void
check_target(struct check *check, const struct sl_slice *name, const char *what)
{
	if (name->len == 0 || is_target(check, *name))
		return;
	sl_config_error(check->loader->report, sl_loader_where(check->loader, name),
	                "%s: there is no model of this name — %s", what,
	                sl_config_names_hint(check->loader, &check->models, *name,
	                                     "name an alias under models, or provider/model"));
}

static void
check_provider_name(struct check *check, const struct sl_slice *name, const char *what)
{
	if (name->len == 0 || sl_config_names_find(&check->providers, *name) >= 0)
		return;
	sl_config_error(check->loader->report, sl_loader_where(check->loader, name),
	                "%s: there is no provider of this name — %s", what,
	                sl_config_names_hint(check->loader, &check->providers, *name,
	                                     "add it under providers"));
}

static void
check_duplicates(struct check *check, const struct sl_config_names *names, const char *base,
                 size_t size, size_t offset, const char *what)
{
	for (size_t i = 1; i < names->count; i++) {
		if (!sl_slice_eq(names->items[i].name, names->items[i - 1].name))
			continue;
		sl_config_error(check->loader->report,
		                sl_loader_where(check->loader,
		                                base + names->items[i].index * size + offset),
		                "%s of this name were written before — rename or remove one", what);
	}
}

/* --- cycles -------------------------------------------------------------------- */

struct cycles {
	struct sl_loader *loader;
	const struct sl_config_names *names;
	const struct sl_config_strings *(*list)(const struct sl_config *config, size_t index);
	unsigned char *state; /* 0 new, 1 on the way, 2 done */
	const char    *what;
	unsigned       depth;
};

/* Depth-first; a chain longer than any sane one counts as a fault too. */
static void
follow(struct cycles *cycles, size_t index)
{
	const struct sl_config_strings *list = cycles->list(cycles->loader->config, index);

	cycles->state[index] = 1;
	cycles->depth++;
	for (size_t i = 0; i < list->count; i++) {
		ptrdiff_t next = sl_config_names_find(cycles->names, list->items[i]);

		if (next < 0)
			continue;
		if (cycles->state[next] == 1 || cycles->depth >= 100)
			sl_config_error(cycles->loader->report,
			                sl_loader_where(cycles->loader, &list->items[i]),
			                "the fallbacks of this %s lead back to itself — a chain "
			                "of fallbacks must end; remove this one", cycles->what);
		else if (cycles->state[next] == 0)
			follow(cycles, (size_t)next);
	}
	cycles->depth--;
	cycles->state[index] = 2;
}

void
sl_config_find_cycles(struct sl_loader *loader, const struct sl_config_names *names,
                      const struct sl_config_strings *(*list)(const struct sl_config *config,
                                                              size_t index),
                      size_t count, const char *what)
{
	struct cycles cycles = { .loader = loader, .names = names, .list = list, .what = what };

	cycles.state = sl_arena_zalloc(loader->arena, count ? count : 1, 1);
	if (!cycles.state) {
		loader->out_of_memory = true;
		return;
	}
	for (size_t i = 0; i < count; i++)
		if (cycles.state[i] == 0)
			follow(&cycles, i);
}

static const struct sl_config_strings *
model_fallbacks(const struct sl_config *config, size_t index)
{
	return &config->models[index].fallbacks;
}

/* --- sections ------------------------------------------------------------------- */

static void
check_listen(struct check *check)
{
	struct sl_config *config = check->config;
	struct sl_loader *loader = check->loader;
	bool open_to_others = false;

	if (!config->tls_cert.len != !config->tls_key.len)
		sl_config_error(loader->report,
		                sl_loader_where(loader, config->tls_cert.len ? &config->tls_cert
		                                                             : &config->tls_key),
		                "tls needs both cert and key — add the other");
	sl_loader_check_readable(loader, &config->tls_cert, "tls.cert");
	sl_loader_check_readable(loader, &config->tls_key, "tls.key");
	for (size_t i = 0; i < config->listen_count; i++) {
		struct sl_config_listen *listen = &config->listen[i];

		if (listen->inherits_tls) {
			listen->tls_cert = config->tls_cert;
			listen->tls_key = config->tls_key;
		} else {
			sl_loader_check_readable(loader, &listen->tls_cert, "listen.tls.cert");
			sl_loader_check_readable(loader, &listen->tls_key, "listen.tls.key");
			if (!listen->tls_cert.len != !listen->tls_key.len)
				sl_config_error(loader->report,
				                sl_loader_where_element(loader, listen),
				                "tls needs both cert and key — add the other");
		}
		if (!sl_slice_starts(listen->host, SL_SLICE("127.")) &&
		    !sl_slice_is(listen->host, "::1"))
			open_to_others = true;
		for (size_t k = 0; k < i; k++)
			if (listen->port && config->listen[k].port == listen->port &&
			    sl_slice_eq(config->listen[k].host, listen->host))
				sl_config_error(loader->report,
				                sl_loader_where_element(loader, listen),
				                "this address is in the list already — remove one");
	}
	config->keys_required = sl_slice_is(config->keys, "required");
	if (!config->keys_required && open_to_others)
		sl_config_warn(loader->report, sl_loader_where(loader, &config->keys),
		               "keys: off, and not only this machine can connect: whoever reaches "
		               "the address spends your money — listen on 127.0.0.1, or keep keys on");
}

static void
check_store(struct check *check)
{
	struct sl_config *config = check->config;
	struct sl_loader *loader = check->loader;
	struct sl_config_mark mark = sl_loader_where(loader, &config->store);
	struct sl_slice path = sl_slice_from(config->store, strlen("sqlite:"));

	if (sl_slice_starts(config->store, SL_SLICE("postgresql:")) ||
	    sl_slice_starts(config->store, SL_SLICE("postgres:"))) {
		sl_config_error(loader->report, mark, "store: PostgreSQL is not available in this "
		                "version — use sqlite:PATH");
	} else if (!sl_slice_starts(config->store, SL_SLICE("sqlite:")) || path.len == 0) {
		sl_config_error(loader->report, mark, "store: not a store — write sqlite:PATH, "
		                "such as sqlite:sluice.db");
	} else if (mark.line && !sl_slice_is(path, ":memory:")) {
		path = sl_loader_resolve(loader, path);
		config->store = sl_arena_printf(loader->arena, "sqlite:%.*s", SL_ARG(path));
	}
	if (config->shared.len)
		sl_config_error(loader->report, sl_loader_where(loader, &config->shared),
		                "shared: state for many processes is not available in this version "
		                "— remove the option and run one process");
}

static void
check_catalog(struct check *check)
{
	struct sl_loader *loader = check->loader;
	const struct sl_slice *path = &check->config->catalog;
	struct sl_config_mark mark = sl_loader_where(loader, path);
	struct sl_catalog_error error = { 0 };
	struct sl_arena scratch;
	struct sl_buf text;
	ssize_t got = 0;
	int fd;

	if (!path->len)
		return;
	fd = open(path->ptr, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		sl_config_error(loader->report, mark, "catalog: %s cannot be read: %s — check the "
		                "path and its permissions", path->ptr, strerror(errno));
		return;
	}
	sl_buf_init(&text, CATALOG_FILE_MAX);
	sl_arena_init(&scratch, 64 * 1024, 8 * CATALOG_FILE_MAX);
	while (sl_buf_reserve(&text, 64 * 1024) == SL_OK &&
	       (got = read(fd, text.ptr + text.len, 64 * 1024)) > 0)
		text.len += (size_t)got;
	if (got < 0 || text.failed)
		sl_config_error(loader->report, mark, "catalog: %s cannot be read whole — name an "
		                "ordinary file of at most %d bytes", path->ptr, CATALOG_FILE_MAX);
	else if (!sl_catalog_parse(sl_buf_slice(&text), &scratch, &error))
		sl_config_error(loader->report, mark, "catalog: %s:%u:%u: %s — correct that line",
		                path->ptr, error.line, error.column,
		                error.reason ? error.reason : "out of memory");
	close(fd);
	sl_arena_release(&scratch);
	sl_buf_release(&text);
}

static void
check_deployment(struct check *check, const struct sl_config_model *model,
                 struct sl_config_deployment *deployment, size_t index)
{
	struct sl_loader *loader = check->loader;
	ptrdiff_t at = sl_config_names_find(&check->providers, deployment->provider);
	bool tiered = sl_slice_is(model->strategy, "tier");
	unsigned same = 0;

	check_provider_name(check, &deployment->provider, "provider");
	if (at >= 0 && !check->config->providers[at].enabled)
		sl_config_warn(loader->report, sl_loader_where(loader, &deployment->provider),
		               "this provider is disabled: the deployment is never used — set "
		               "enabled: true or remove it");
	if (tiered && !deployment->tier.len)
		sl_config_error(loader->report, sl_loader_where_element(loader, deployment),
		                "strategy tier needs a tier here — add tier: simple, medium or "
		                "complex");
	if (!tiered && deployment->tier.len)
		sl_config_warn(loader->report, sl_loader_where(loader, &deployment->tier),
		               "tier has no effect — set strategy: tier, or remove it");
	for (size_t i = 0; i < index; i++)
		if (sl_slice_eq(model->deployments[i].provider, deployment->provider) &&
		    sl_slice_eq(model->deployments[i].model, deployment->model))
			same++;
	deployment->id = sl_arena_printf(loader->arena, same ? "%.*s/%.*s/%.*s#%u" : "%.*s/%.*s/%.*s",
	                                 SL_ARG(model->name), SL_ARG(deployment->provider),
	                                 SL_ARG(deployment->model), same + 1);
	loader->out_of_memory |= !deployment->id.ptr;
}

static void
check_hedge(struct check *check, const struct sl_config_hedge *hedge)
{
	struct sl_config *config = check->config;

	if (hedge->delay_ms == 0 && hedge->percentile == 0)
		return;
	config->hedges = true;
	if (config->router_retries == 0)
		sl_config_warn(check->loader->report,
		               sl_loader_where(check->loader, hedge->delay_ms > 0
		                                   ? &hedge->delay_ms : &hedge->percentile),
		               "no second attempt is made while router.retries is 0 — raise it, or "
		               "remove this");
}

static void
check_models(struct check *check)
{
	enum { DEPLOYMENTS_MAX = 256 };
	struct sl_config *config = check->config;
	struct sl_loader *loader = check->loader;

	for (size_t i = 0; i < config->model_count; i++) {
		struct sl_config_model *model = &config->models[i];

		if (model->deployment_count == 0 && sl_loader_written(loader, &model->deployments))
			sl_config_error(loader->report, sl_loader_where(loader, &model->deployments),
			                "an alias needs at least one deployment — add "
			                "{provider: NAME, model: ID}");
		if (model->deployment_count > DEPLOYMENTS_MAX) {
			sl_config_error(loader->report, sl_loader_where(loader, &model->deployments),
			                "more than %d deployments — split the alias",
			                DEPLOYMENTS_MAX);
			continue;
		}
		for (size_t k = 0; k < model->deployment_count; k++)
			check_deployment(check, model, &model->deployments[k], k);
		check_hedge(check, &model->hedge);
		for (size_t k = 0; k < model->fallbacks.count; k++) {
			const struct sl_slice *name = &model->fallbacks.items[k];

			if (sl_config_names_find(&check->models, *name) < 0)
				sl_config_error(loader->report, sl_loader_where(loader, name),
				                "there is no alias of this name — %s",
				                sl_config_names_hint(loader, &check->models, *name,
				                                     "add it under models"));
		}
	}
	check_duplicates(check, &check->models, (const char *)config->models,
	                 sizeof(config->models[0]), offsetof(struct sl_config_model, name),
	                 "other models");
	sl_config_find_cycles(loader, &check->models, model_fallbacks, config->model_count, "alias");
	check_hedge(check, &config->hedge);
	check_target(check, &config->router_auto, "router.auto");
	check_provider_name(check, &config->ingate_default,
	                    "surfaces.ingate.default_provider");
	check_target(check, &config->router_baseline, "router.baseline");
}

static void
check_routes(struct check *check)
{
	struct sl_config *config = check->config;
	struct sl_loader *loader = check->loader;

	for (size_t i = 0; i < config->route_count; i++) {
		struct sl_config_route *route = &config->routes[i];
		struct sl_config_auction *auction = &route->auction;

		if (!route->base_url.len == !route->model.len)
			sl_config_error(loader->report, sl_loader_where_element(loader, route),
			                "a route has either base_url or model — give one of them");
		check_target(check, &route->model, "model");
		auction->enabled = sl_loader_written(loader, &auction->category) ||
		                   sl_loader_written(loader, &auction->price_min_nanousd) ||
		                   sl_loader_written(loader, &auction->price_max_nanousd) ||
		                   sl_loader_written(loader, &auction->bid) ||
		                   sl_loader_written(loader, &auction->quality);
		if (auction->enabled && auction->price_min_nanousd > auction->price_max_nanousd)
			sl_config_error(loader->report,
			                sl_loader_where(loader, &auction->price_min_nanousd),
			                "price_min is above price_max — swap them");
	}
}

static bool
is_managed_stack(struct sl_slice slug)
{
	for (size_t i = 0; i < sl_stack_managed_count(); i++)
		if (sl_slice_eq(sl_stack_managed(i)->slug, slug))
			return true;
	return false;
}

static void
check_tenants(struct check *check)
{
	struct sl_config *config = check->config;
	struct sl_config_names workspaces;
	uint32_t modality, capability;

	for (size_t i = 0; i < config->stack_count; i++) {
		struct sl_config_stack *stack = &config->stacks[i];

		for (size_t k = 0; k < stack->models.count; k++)
			check_target(check, &stack->models.items[k], "models");
		for (size_t k = 0; k < stack->requires.count; k++)
			if (!sl_stack_requirement(stack->requires.items[k], &modality, &capability))
				sl_config_error(check->loader->report,
				                sl_loader_where(check->loader,
				                                &stack->requires.items[k]),
				                "requires: not a thing that models can do — write "
				                "tools, json_schema, reasoning, image, audio, video "
				                "or pdf");
		for (size_t k = 0; k < stack->allowed_providers.count; k++)
			check_provider_name(check, &stack->allowed_providers.items[k],
			                    "allowed_providers");
		for (size_t k = 0; k < stack->blocked_providers.count; k++)
			check_provider_name(check, &stack->blocked_providers.items[k],
			                    "blocked_providers");
	}
	check_duplicates(check, &check->stacks, (const char *)config->stacks,
	                 sizeof(config->stacks[0]), offsetof(struct sl_config_stack, slug),
	                 "other stacks");
	for (size_t i = 0; i < config->workspace_count; i++) {
		const struct sl_slice *stack = &config->workspaces[i].stack;

		if (stack->len && sl_config_names_find(&check->stacks, *stack) < 0 &&
		    !is_managed_stack(*stack))
			sl_config_error(check->loader->report, sl_loader_where(check->loader, stack),
			                "there is no stack of this slug — %s",
			                sl_config_names_hint(check->loader, &check->stacks, *stack,
			                                     "add it under stacks"));
	}
	if (sl_config_names_init(check->loader, &workspaces, config->workspaces,
	                         config->workspace_count, sizeof(config->workspaces[0]),
	                         offsetof(struct sl_config_workspace, slug)))
		check_duplicates(check, &workspaces, (const char *)config->workspaces,
		                 sizeof(config->workspaces[0]),
		                 offsetof(struct sl_config_workspace, slug), "other workspaces");
}

static void
check_dns(struct check *check)
{
	const struct sl_config_strings *servers = &check->config->dns_servers;

	if (servers->count > SL_RESOLVE_SERVERS_MAX)
		sl_config_error(check->loader->report, sl_loader_where(check->loader, servers),
		                "dns.servers: more than %d — keep those that answer first",
		                SL_RESOLVE_SERVERS_MAX);
	for (size_t i = 0; i < servers->count; i++)
		if (!sl_resolve_is_server(servers->items[i]))
			sl_config_error(check->loader->report,
			                sl_loader_where(check->loader, &servers->items[i]),
			                "dns.servers: not the address of a server — write 10.0.0.53, "
			                "127.0.0.1:5353 or [fd00::53]:53");
}

/* As browsers write it: a scheme and a host, with nothing behind them. */
static bool
is_origin(struct sl_slice text)
{
	ptrdiff_t at = sl_slice_search(text, SL_SLICE("://"));

	if (sl_slice_is(text, "*") || sl_slice_is(text, "null"))
		return true;
	return at > 0 && text.len > (size_t)at + 3 && sl_slice_find(text, ' ') < 0 &&
	       sl_slice_find(sl_slice_from(text, (size_t)at + 3), '/') < 0;
}

static void
check_cors(struct check *check)
{
	const struct sl_config_strings *origins = &check->config->cors_origins;

	for (size_t i = 0; i < origins->count; i++)
		if (!is_origin(origins->items[i]))
			sl_config_error(check->loader->report,
			                sl_loader_where(check->loader, &origins->items[i]),
			                "cors.origins: not an origin — write https://app.example.com, "
			                "without a path or a / at the end");
}

void
sl_loader_check(struct sl_loader *loader)
{
	struct sl_config *config = loader->config;
	struct check check = { .loader = loader, .config = config };

	if (!sl_config_names_init(loader, &check.providers, config->providers,
	                          config->provider_count, sizeof(config->providers[0]),
	                          offsetof(struct sl_config_provider, name)) ||
	    !sl_config_names_init(loader, &check.models, config->models, config->model_count,
	                          sizeof(config->models[0]),
	                          offsetof(struct sl_config_model, name)) ||
	    !sl_config_names_init(loader, &check.stacks, config->stacks, config->stack_count,
	                          sizeof(config->stacks[0]),
	                          offsetof(struct sl_config_stack, slug)))
		return;
	check_listen(&check);
	check_store(&check);
	check_catalog(&check);
	sl_loader_check_providers(loader, &check.providers);
	check_models(&check);
	check_routes(&check);
	check_tenants(&check);
	sl_loader_check_ranges(loader, &config->media.allow_cidr);
	check_dns(&check);
	check_cors(&check);
	for (size_t i = 0; i < config->price_count; i++)
		if (sl_config_names_find(&check.providers, config->prices[i].provider) < 0)
			sl_config_error(loader->report,
			                sl_loader_where_element(loader, &config->prices[i]),
			                "there is no provider of this name — %s",
			                sl_config_names_hint(loader, &check.providers,
			                                     config->prices[i].provider,
			                                     "write the key as provider/model"));
	if (!sl_secret_empty(&config->master_key) &&
	    sl_secret_reveal(&config->master_key).len < 16)
		sl_config_warn(loader->report, sl_loader_where(loader, &config->master_key),
		               "admin.master_key is short enough to be guessed — use 32 random "
		               "characters");
}

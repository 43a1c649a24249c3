/* config_check_pending.c - what is accepted and does nothing in this version.
 *
 * The configuration contract is wider than what is built: a file that names a
 * thing that is not done yet loads, but nobody may believe that it holds. Each
 * gets a warning at its line, from `sluice check` and at start.
 */
#include "app/config_loader.h"

#include "routing/policy.h"

static void
pending(struct sl_loader *loader, struct sl_config_mark mark, const char *what)
{
	sl_config_warn(loader->report, mark, "%s", what);
}

static void
check_money(struct sl_loader *loader)
{
	const struct sl_config *config = loader->config;

	if (config->shared.len)
		pending(loader, sl_loader_where(loader, &config->shared),
		        "this version shares nothing between processes: run one, and leave it "
		        "out");
}

static void
check_choice(struct sl_loader *loader)
{
	const struct sl_config *config = loader->config;

	for (size_t i = 0; i < config->model_count; i++)
		if (!sl_policy_find(config->models[i].strategy))
			pending(loader, sl_loader_where(loader, &config->models[i].strategy),
			        "this strategy is not available in this version: the deployments "
			        "are drawn by weight — choose another");
}

void
sl_loader_check_pending(struct sl_loader *loader)
{
	/* Errors come first: a file that does not load promises nothing. */
	if (loader->report->errors)
		return;
	check_choice(loader);
	check_money(loader);
}

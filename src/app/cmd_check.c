/* cmd_check.c - `sluice check`: every problem of a configuration file. */
#include <stdio.h>
#include <stdlib.h>

#include "app/cli.h"
#include "app/config_load.h"
#include "app/options.h"

enum { TEXT_MAX = 4 * 1024 * 1024 };

static int
print_defaults(void)
{
	struct sl_buf out;
	bool ok;

	sl_buf_init(&out, TEXT_MAX);
	sl_options_print_yaml(&out);
	ok = !out.failed && fwrite(out.ptr, 1, out.len, stdout) == out.len;
	sl_buf_release(&out);
	return ok ? SL_EXIT_OK : SL_EXIT_FAILED;
}

static void
print_summary(const char *path, const struct sl_config *config)
{
	size_t enabled = 0, count = 0;

	for (size_t i = 0; i < config->provider_count; i++) {
		count += !config->providers[i].from_route;
		enabled += config->providers[i].enabled && !config->providers[i].from_route;
	}
	printf("%s: good. %zu of %zu providers enabled, %zu aliases, %zu routes; store %.*s\n",
	       path, enabled, count, config->model_count, config->route_count,
	       SL_ARG(config->store));
	for (size_t i = 0; i < config->listen_count; i++) {
		const struct sl_config_listen *listen = &config->listen[i];
		bool v6 = sl_slice_find(listen->host, ':') >= 0;

		printf("listens on %s://%s%.*s%s:%u\n", listen->tls_cert.len ? "https" : "http",
		       v6 ? "[" : "", SL_ARG(listen->host), v6 ? "]" : "", listen->port);
	}
}

static int
run(const struct sl_command *command, int argc, char **argv)
{
	const char *path = NULL;
	bool defaults = false;
	const struct sl_cli_flag flags[] = {
		{ "--defaults", NULL, NULL, &defaults,
		  "print a file with every option, its default and its meaning" },
	};
	struct sl_cli cli = {
		.command = command,
		.flags = flags,
		.flag_count = sizeof(flags) / sizeof(flags[0]),
		.positional = &path,
		.positional_max = 1,
		.details = "Reads the file as `sluice serve` would, with the environment of this\n"
		           "shell, and prints each problem as FILE:LINE:COLUMN. Nothing is started\n"
		           "and nothing is sent. Without FILE: what the environment alone gives.",
	};
	struct sl_config_report report;
	struct sl_config *config;
	struct sl_buf text;
	int status = sl_cli_parse(&cli, argc, argv);

	if (status != SL_CLI_GO_ON)
		return status;
	if (defaults)
		return path ? sl_cli_mistake(command, "give either FILE or --defaults")
		            : print_defaults();
	sl_config_report_init(&report, sl_slice_str(path ? path : "environment"));
	config = sl_config_load(&(struct sl_config_source){ .path = path, .env = getenv }, &report);
	sl_buf_init(&text, TEXT_MAX);
	sl_config_report_print(&report, true, &text);
	fwrite(text.len ? text.ptr : "", 1, text.len, stdout);
	if (config)
		print_summary(path ? path : "environment", config);
	else
		printf("%s: %zu error%s, %zu warning%s\n", path ? path : "environment",
		       report.errors, report.errors == 1 ? "" : "s", report.warnings,
		       report.warnings == 1 ? "" : "s");
	status = config ? SL_EXIT_OK : SL_EXIT_FAILED;
	sl_buf_release(&text);
	sl_config_free(config);
	sl_config_report_release(&report);
	return status;
}

const struct sl_command sl_command_check = {
	.name = "check",
	.synopsis = "[--defaults | FILE]",
	.summary = "Find every problem of a configuration file.",
	.run = run,
};

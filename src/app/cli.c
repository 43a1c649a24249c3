/* cli.c - flags of a subcommand: read, explained, corrected. */
#include "app/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "app/config_report.h"

int
sl_cli_mistake(const struct sl_command *command, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "sluice %s: ", command->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nTry: sluice %s --help\n", command->name);
	return SL_EXIT_USAGE;
}

static void
print_help(const struct sl_cli *cli)
{
	printf("usage: sluice %s%s%s\n\n%s\n", cli->command->name,
	       cli->command->synopsis[0] ? " " : "", cli->command->synopsis,
	       cli->command->summary);
	if (cli->flag_count)
		putchar('\n');
	for (size_t i = 0; i < cli->flag_count; i++) {
		const struct sl_cli_flag *flag = &cli->flags[i];
		char left[48];

		snprintf(left, sizeof(left), "%s%s%s", flag->name, flag->argument ? " " : "",
		         flag->argument ? flag->argument : "");
		printf("  %-22s %s\n", left, flag->help);
	}
	if (cli->details)
		printf("\n%s\n", cli->details);
}

static const struct sl_cli_flag *
find_flag(const struct sl_cli *cli, struct sl_slice name)
{
	for (size_t i = 0; i < cli->flag_count; i++)
		if (sl_slice_is(name, cli->flags[i].name))
			return &cli->flags[i];
	return NULL;
}

static int
unknown_flag(const struct sl_cli *cli, struct sl_slice name)
{
	enum { NAMES_MAX = 32 };
	const char *names[NAMES_MAX] = { "--help" };
	const char *nearest;
	size_t count = 1;

	for (size_t i = 0; i < cli->flag_count && count < NAMES_MAX; i++)
		names[count++] = cli->flags[i].name;
	nearest = sl_config_nearest(name, names, count);
	if (nearest)
		return sl_cli_mistake(cli->command, "unknown option %.*s, did you mean %s?",
		                      SL_ARG(name), nearest);
	return sl_cli_mistake(cli->command, "unknown option %.*s", SL_ARG(name));
}

int
sl_cli_parse(struct sl_cli *cli, int argc, char **argv)
{
	bool only_positional = false;

	for (int i = 1; i < argc; i++) {
		struct sl_slice rest = sl_slice_str(argv[i]);
		const struct sl_cli_flag *flag;
		struct sl_slice name;
		bool inline_value;

		if (only_positional || rest.len < 2 || rest.ptr[0] != '-') {
			if (cli->positional_count == cli->positional_max)
				return sl_cli_mistake(cli->command, "one argument too many: %s",
				                      argv[i]);
			cli->positional[cli->positional_count++] = argv[i];
			continue;
		}
		if (sl_slice_is(rest, "--")) {
			only_positional = true;
			continue;
		}
		if (sl_slice_is(rest, "--help") || sl_slice_is(rest, "-h")) {
			print_help(cli);
			return SL_EXIT_OK;
		}
		inline_value = sl_slice_find(rest, '=') >= 0;
		name = sl_slice_cut(&rest, '=');
		flag = find_flag(cli, name);
		if (!flag)
			return unknown_flag(cli, name);
		if (flag->set && inline_value)
			return sl_cli_mistake(cli->command, "%s takes no value", flag->name);
		if (flag->set) {
			*flag->set = true;
		} else if (inline_value) {
			*flag->value = argv[i] + name.len + 1;
		} else if (i + 1 < argc) {
			*flag->value = argv[++i];
		} else {
			return sl_cli_mistake(cli->command, "%s needs a value: %s", flag->name,
			                      flag->argument);
		}
	}
	return SL_CLI_GO_ON;
}

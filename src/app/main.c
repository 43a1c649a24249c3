/* main.c - read this first in src/app: picks the subcommand.
 *
 *   cmd_*.c      one file for each subcommand
 *   serve.c      the running process: threads, signals, reload, shutdown
 *   options.def  every name of the configuration
 *   config_load.c  from the file to a checked snapshot
 */
#include <stdio.h>
#include <string.h>

#include "app/cli.h"
#include "app/config_report.h"

static const struct sl_command *const commands[] = {
	&sl_command_serve, &sl_command_check, &sl_command_keys, &sl_command_ledger, &sl_command_mock,
	&sl_command_tokens, &sl_command_version,
};
enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static void
print_help(FILE *out)
{
	fputs("Sluice, an AI gateway: one address and one kind of key in front of many language\n"
	      "models, with limits, records and costs.\n\n", out);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(out, "  sluice %-8s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\n`sluice COMMAND --help` explains one. With nothing configured, start with\n"
	      "`sluice serve`: it prints a request to try.\n", out);
}

static int
unknown_command(const char *name)
{
	const char *names[COMMAND_COUNT];
	const char *nearest;

	for (size_t i = 0; i < COMMAND_COUNT; i++)
		names[i] = commands[i]->name;
	nearest = sl_config_nearest(sl_slice_str(name), names, COMMAND_COUNT);
	fprintf(stderr, "sluice: there is no command %s%s%s%s\nTry: sluice --help\n", name,
	        nearest ? ", did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
	return SL_EXIT_USAGE;
}

int
main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name) {
		print_help(stderr);
		return SL_EXIT_USAGE;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		print_help(stdout);
		return SL_EXIT_OK;
	}
	if (strcmp(name, "--version") == 0)
		name = "version";
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(name, commands[i]->name) == 0)
			return commands[i]->run(commands[i], argc - 1, argv + 1);
	return unknown_command(name);
}

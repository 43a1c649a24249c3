/* cli.h - subcommands and their flags, each from one table.
 *
 * Exit status of every command: 0 success, 1 failed, 2 wrong use.
 */
#ifndef SL_APP_CLI_H
#define SL_APP_CLI_H

#include <stdbool.h>
#include <stddef.h>

enum { SL_EXIT_OK = 0, SL_EXIT_FAILED = 1, SL_EXIT_USAGE = 2 };

struct sl_command {
	const char *name;
	const char *synopsis; /* behind the name: "[--config FILE]" */
	const char *summary;  /* one line */
	int (*run)(const struct sl_command *command, int argc, char **argv); /* argv[0] is the name */
};

/* Exactly one of value and set: a flag with an argument, or a switch. */
struct sl_cli_flag {
	const char  *name;     /* "--config" */
	const char  *argument; /* "FILE", for the help; NULL for a switch */
	const char **value;    /* gets the argument */
	bool        *set;
	const char  *help;
};

struct sl_cli {
	const struct sl_command  *command;
	const struct sl_cli_flag *flags;
	size_t                    flag_count;
	const char               *details;    /* further paragraphs of the help; may be NULL */
	const char              **positional; /* gets what is no flag */
	size_t                    positional_max, positional_count;
};

enum { SL_CLI_GO_ON = -1 };

/* SL_CLI_GO_ON, or the exit status after --help or a mistake, which was told. */
int sl_cli_parse(struct sl_cli *cli, int argc, char **argv);
/* Tells a mistake with a hint at --help; returns SL_EXIT_USAGE. */
int sl_cli_mistake(const struct sl_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

extern const struct sl_command sl_command_serve, sl_command_check, sl_command_mock,
    sl_command_keys, sl_command_ledger, sl_command_tokens, sl_command_version;

#endif

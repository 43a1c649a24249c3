/* cmd_serve.c - `sluice serve`: the gateway. */
#include "app/cli.h"
#include "app/serve.h"

static int
run(const struct sl_command *command, int argc, char **argv)
{
	struct sl_serve_options options = { 0 };
	const struct sl_cli_flag flags[] = {
		{ "--config", "FILE", &options.config_path, NULL,
		  "the configuration; without it: defaults and the environment" },
		{ "--listen", "IP:PORT", &options.listen, NULL,
		  "listen there instead of where the configuration says" },
	};
	struct sl_cli cli = {
		.command = command,
		.flags = flags,
		.flag_count = sizeof(flags) / sizeof(flags[0]),
		.details = "Without a file it listens on 127.0.0.1:8080, keeps its state in sluice.db\n"
		           "here, and uses each provider whose usual variable (OPENAI_API_KEY,\n"
		           "ANTHROPIC_API_KEY, GEMINI_API_KEY ...) is set; with none, a simulated one.\n"
		           "SIGHUP reads the file again. SIGTERM and SIGINT let requests in flight\n"
		           "finish, a second one does not.",
	};
	struct sl_slice host;
	uint16_t port;
	int status = sl_cli_parse(&cli, argc, argv);

	if (status != SL_CLI_GO_ON)
		return status;
	if (options.listen &&
	    !sl_config_parse_address(sl_slice_str(options.listen), &host, &port))
		return sl_cli_mistake(command, "--listen %s is not an address; write IP:PORT, such "
		                      "as 127.0.0.1:8080", options.listen);
	return sl_serve_run(&options);
}

const struct sl_command sl_command_serve = {
	.name = "serve",
	.synopsis = "[--config FILE] [--listen IP:PORT]",
	.summary = "Run the gateway.",
	.run = run,
};

/* cmd_version.c - `sluice version`: what this binary is and is built with. */
#include <stdio.h>

#include <ares.h>
#include <nghttp2/nghttp2.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <yaml.h>

#include "app/cli.h"
#include "app/version.h"
#include "tokens/encoding.h"

static int
run(const struct sl_command *command, int argc, char **argv)
{
	struct sl_cli cli = {
		.command = command,
		.details = "The libraries are those found at run time.",
	};
	int status = sl_cli_parse(&cli, argc, argv);

	if (status != SL_CLI_GO_ON)
		return status;
	printf("sluice %s\n", SL_VERSION);
	printf("%s, nghttp2 %s, c-ares %s, sqlite %s, libyaml %s\n",
	       OpenSSL_version(OPENSSL_VERSION), nghttp2_version(0)->version_str,
	       ares_version(NULL), sqlite3_libversion(), yaml_get_version_string());
	if (sl_encoding_is_exact(SL_ENCODING_O200K) && sl_encoding_is_exact(SL_ENCODING_CL100K))
		printf("token counts: exact for OpenAI's models (%s, %s), estimated for others\n",
		       sl_encoding_name(SL_ENCODING_O200K), sl_encoding_name(SL_ENCODING_CL100K));
	else
		printf("token counts: estimated; built without the vocabularies that "
		       "tools/vocabulary fetches\n");
	return SL_EXIT_OK;
}

const struct sl_command sl_command_version = {
	.name = "version",
	.synopsis = "",
	.summary = "Print the version of Sluice and of its libraries.",
	.run = run,
};

/* cmd_tokens.c - `sluice tokens`: count the tokens of a text for a model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "base/arena.h"
#include "base/json.h"
#include "tokens/tokens.h"

enum { TEXT_MAX = 256 * 1024 * 1024 };

/* Text longer than a request may have is counted in full here. */
static struct sl_token_count
count_of(const struct sl_token_family *family, struct sl_slice text)
{
	struct sl_token_count count = sl_tokens_of_text(family, text);
	int64_t exact;

	if (count.method != SL_TOKENS_BYTES)
		return count;
	exact = sl_encoding_count(family->encoding, text);
	if (exact >= 0 && family->low == family->high)
		count = (struct sl_token_count){ exact, exact, exact, SL_TOKENS_EXACT };
	return count;
}

static void
print_count(const struct sl_token_count *count, bool plain)
{
	if (plain)
		printf("%lld\n", (long long)count->tokens);
	else if (count->method == SL_TOKENS_EXACT)
		printf("%lld tokens, exact\n", (long long)count->tokens);
	else
		printf("%lld tokens, %s, between %lld and %lld\n", (long long)count->tokens,
		       sl_token_method_name(count->method), (long long)count->low,
		       (long long)count->high);
}

/* Each line a JSON string. */
static int
count_lines(const struct sl_token_family *family, FILE *in)
{
	char *line = NULL;
	size_t room = 0, number = 0;
	ssize_t len;
	int status = SL_EXIT_OK;

	while (status == SL_EXIT_OK && (len = getline(&line, &room, in)) > 0) {
		struct sl_slice doc = sl_slice_make(line, (size_t)len), text;
		struct sl_token_count count;
		struct sl_arena arena;

		number++;
		sl_arena_init(&arena, 4096, 0);
		if (sl_json_validate(doc, NULL, NULL) == SL_OK &&
		    sl_json_string(sl_json_parse(doc), &arena, &text)) {
			count = count_of(family, text);
			print_count(&count, true);
		} else {
			fprintf(stderr, "sluice tokens: line %zu is no JSON string\n", number);
			status = SL_EXIT_FAILED;
		}
		sl_arena_release(&arena);
	}
	free(line);
	return status;
}

static int
count_all(const struct sl_token_family *family, FILE *in)
{
	struct sl_token_count count;
	struct sl_buf text;
	char part[65536];
	size_t len;
	int status = SL_EXIT_OK;

	sl_buf_init(&text, TEXT_MAX);
	while ((len = fread(part, 1, sizeof(part), in)) > 0)
		sl_buf_append(&text, sl_slice_make(part, len));
	if (text.failed || ferror(in)) {
		fprintf(stderr, "sluice tokens: the text cannot be read, or is longer than %d MB\n",
		        TEXT_MAX >> 20);
		status = SL_EXIT_FAILED;
	} else {
		count = count_of(family, sl_buf_slice(&text));
		print_count(&count, false);
	}
	sl_buf_release(&text);
	return status;
}

static int
run(const struct sl_command *command, int argc, char **argv)
{
	const char *model = "gpt-4o", *path = NULL;
	bool lines = false;
	const struct sl_cli_flag flags[] = {
		{ "--model", "NAME", &model, NULL, "for this model (gpt-4o)" },
		{ "--lines", NULL, NULL, &lines,
		  "each line is a JSON string: print a number for each" },
	};
	struct sl_cli cli = {
		.command = command,
		.flags = flags,
		.flag_count = sizeof(flags) / sizeof(flags[0]),
		.positional = &path,
		.positional_max = 1,
		.details = "Reads FILE or the standard input. Text alone is counted, without what a\n"
		           "request adds for each message. Exact for OpenAI's models where this\n"
		           "binary has their vocabularies (`sluice version` tells), else an estimate\n"
		           "with its range.",
	};
	const struct sl_token_family *family;
	FILE *in = stdin;
	int status = sl_cli_parse(&cli, argc, argv);

	if (status != SL_CLI_GO_ON)
		return status;
	if (path && strcmp(path, "-") != 0 && !(in = fopen(path, "r"))) {
		fprintf(stderr, "sluice tokens: %s cannot be opened\n", path);
		return SL_EXIT_FAILED;
	}
	family = sl_token_family_of(sl_slice_str(model));
	status = lines ? count_lines(family, in) : count_all(family, in);
	if (in != stdin)
		fclose(in);
	return status;
}

const struct sl_command sl_command_tokens = {
	.name = "tokens",
	.synopsis = "[--model NAME] [--lines] [FILE]",
	.summary = "Count the tokens of a text for a model.",
	.run = run,
};

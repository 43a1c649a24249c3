/* cmd_keys.c - `sluice keys`: virtual keys of a running gateway. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/admin_client.h"
#include "app/cli.h"
#include "base/json.h"

enum { ANSWER_MAX = 64 * 1024 * 1024, ARGUMENTS_MAX = 2 };

struct keys_flags {
	const char *url, *master_key;
	const char *name, *models, *team, *workspace, *rpm, *tpm, *daily, *monthly, *total,
	    *expires_at, *surface;
	bool        json;
};

/* --- the table -------------------------------------------------------------------- */

enum { COLUMNS = 6, CELL_MAX = 40 };
static const char *const column_names[COLUMNS] = { "id", "name", "team", "rpm", "models",
	                                           "created_at" };

/* A member as a cell: texts without quotes, lists joined, the rest as it is. */
static void
write_cell(struct sl_json value, struct sl_arena *arena, char *out, size_t size)
{
	struct sl_slice text = value.raw;
	size_t used = 0;

	out[0] = '\0';
	if (value.type == SL_JSON_NONE || value.type == SL_JSON_NULL) {
		snprintf(out, size, "-");
		return;
	}
	if (value.type == SL_JSON_ARRAY) {
		struct sl_json_iter it = sl_json_iter(value);

		while (sl_json_next(&it) && used < size)
			if (sl_json_string(it.value, arena, &text))
				used += (size_t)snprintf(out + used, size - used, "%s%.*s",
				                         used ? "," : "", SL_ARG(text));
		if (!used)
			snprintf(out, size, "all");
		return;
	}
	if (value.type == SL_JSON_STRING && !sl_json_string(value, arena, &text))
		return;
	snprintf(out, size, "%.*s", SL_ARG(text));
	/* Names are other people's text: a terminal must not obey them. */
	for (char *c = out; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
}

static void
print_rows(struct sl_json list, int widths[COLUMNS], bool measure)
{
	struct sl_json_iter it = sl_json_iter(list);

	while (sl_json_next(&it)) {
		struct sl_arena arena;
		char cell[CELL_MAX + 1];

		sl_arena_init(&arena, 1024, 1024 * 1024);
		for (int i = 0; i < COLUMNS; i++) {
			write_cell(sl_json_get(it.value, column_names[i]), &arena, cell, sizeof(cell));
			if (!measure)
				printf("%-*s%s", widths[i], cell, i + 1 < COLUMNS ? "  " : "\n");
			else if ((int)strlen(cell) > widths[i])
				widths[i] = (int)strlen(cell);
		}
		sl_arena_release(&arena);
	}
}

static void
print_table(struct sl_json list)
{
	int widths[COLUMNS];

	for (int i = 0; i < COLUMNS; i++)
		widths[i] = (int)strlen(column_names[i]);
	print_rows(list, widths, true);
	for (int i = 0; i < COLUMNS; i++)
		printf("%-*s%s", widths[i], column_names[i], i + 1 < COLUMNS ? "  " : "\n");
	print_rows(list, widths, false);
}

/* --- calls -------------------------------------------------------------------------- */

/* Tells what the gateway answered instead of success. */
static int
refused(const struct sl_admin_call *call, struct sl_json answer)
{
	struct sl_slice message;
	struct sl_arena arena;

	sl_arena_init(&arena, 1024, 1024 * 1024);
	if (sl_json_string(sl_json_at(answer, "error.message"), &arena, &message))
		fprintf(stderr, "sluice keys: %.*s (status %d)\n", SL_ARG(message), call->status);
	else
		fprintf(stderr, "sluice keys: the gateway answered with status %d\n", call->status);
	if (call->status == 401 || call->status == 403)
		fprintf(stderr, "The master key comes from --master-key or SLUICE_MASTER_KEY; it was "
		                "printed at the gateway's first start.\n");
	sl_arena_release(&arena);
	return SL_EXIT_FAILED;
}

static void
print_created(struct sl_json key)
{
	struct sl_slice id, secret;
	struct sl_arena arena;

	sl_arena_init(&arena, 1024, 1024 * 1024);
	if (sl_json_string(sl_json_get(key, "id"), &arena, &id) &&
	    sl_json_string(sl_json_get(key, "key"), &arena, &secret))
		printf("id   %.*s\nkey  %.*s\n\nThe key is shown this once.\n", SL_ARG(id),
		       SL_ARG(secret));
	sl_arena_release(&arena);
}

/* Sends the call; on success prints the answer with `print`, or as JSON. */
static int
perform(struct sl_admin_call *call, const struct keys_flags *flags,
        void (*print)(struct sl_json answer))
{
	struct sl_json answer = { 0 };
	int status = SL_EXIT_OK;

	call->url = flags->url;
	call->master_key = flags->master_key;
	sl_buf_init(&call->answer, ANSWER_MAX);
	if (!sl_admin_call(call)) {
		fprintf(stderr, "sluice keys: %s\n", call->problem);
		status = SL_EXIT_FAILED;
		goto out;
	}
	if (sl_json_validate(sl_buf_slice(&call->answer), &sl_json_limits_default, NULL) == SL_OK)
		answer = sl_json_parse(sl_buf_slice(&call->answer));
	if (call->status < 200 || call->status > 299) {
		status = refused(call, answer);
	} else if (flags->json && answer.type != SL_JSON_NONE) {
		printf("%.*s\n", SL_ARG(answer.raw));
	} else if (print) {
		print(answer);
	}
out:
	if (call->answer.ptr)
		explicit_bzero(call->answer.ptr, call->answer.len);
	sl_buf_release(&call->answer);
	return status;
}

static void
print_list(struct sl_json answer)
{
	print_table(sl_json_get(answer, "data"));
}

static int
list(const struct keys_flags *flags)
{
	struct sl_admin_call call = { .method = "GET", .path = SL_SLICE("/admin/keys") };

	return perform(&call, flags, print_list);
}

/* As JSON writes one; what it may be, the gateway says. */
static bool
is_number(struct sl_slice text)
{
	return sl_json_validate(text, &sl_json_limits_default, NULL) == SL_OK &&
	       sl_json_parse(text).type == SL_JSON_NUMBER;
}

static int
create(const struct sl_command *command, const struct keys_flags *flags)
{
	struct sl_admin_call call = { .method = "POST", .path = SL_SLICE("/admin/keys") };
	struct sl_json_writer json;
	struct sl_buf body;
	const struct { const char *flag, *member, *value; } numbers[] = {
		{ "--rpm", "rpm", flags->rpm },
		{ "--tpm", "tpm", flags->tpm },
		{ "--daily-budget", "daily_budget_usd", flags->daily },
		{ "--monthly-budget", "monthly_budget_usd", flags->monthly },
		{ "--total-budget", "total_budget_usd", flags->total },
	};
	enum { NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };
	int status;

	for (size_t i = 0; i < NUMBERS; i++)
		if (numbers[i].value && !is_number(sl_slice_str(numbers[i].value)))
			return sl_cli_mistake(command, "%s %s is not a number", numbers[i].flag,
			                      numbers[i].value);
	sl_buf_init(&body, 64 * 1024);
	sl_json_writer_init(&json, &body);
	sl_json_obj(&json);
	if (flags->name)
		sl_json_str(&json, "name", sl_slice_str(flags->name));
	if (flags->team)
		sl_json_str(&json, "team", sl_slice_str(flags->team));
	if (flags->expires_at)
		sl_json_str(&json, "expires_at", sl_slice_str(flags->expires_at));
	if (flags->surface)
		sl_json_str(&json, "surface", sl_slice_str(flags->surface));
	if (flags->workspace)
		sl_json_str(&json, "workspace", sl_slice_str(flags->workspace));
	for (size_t i = 0; i < NUMBERS; i++)
		if (numbers[i].value) {
			sl_json_key(&json, numbers[i].member);
			sl_json_put_raw(&json, sl_slice_str(numbers[i].value));
		}
	if (flags->models) {
		struct sl_slice rest = sl_slice_str(flags->models);

		sl_json_key(&json, "models");
		sl_json_arr(&json);
		while (rest.len)
			sl_json_put_str(&json, sl_slice_trim(sl_slice_cut(&rest, ',')));
		sl_json_arr_end(&json);
	}
	sl_json_obj_end(&json);
	call.body = sl_buf_slice(&body);
	status = perform(&call, flags, print_created);
	sl_buf_release(&body);
	return status;
}

static int
revoke(const struct sl_command *command, const struct keys_flags *flags, const char *id)
{
	struct sl_admin_call call = { .method = "DELETE" };
	struct sl_buf path;
	int status;

	if (!id)
		return sl_cli_mistake(command, "revoke needs the id of a key (vk_...); see: sluice "
		                      "keys list");
	/* An id is letters, digits and _; anything else would be another path. */
	if (id[strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")])
		return sl_cli_mistake(command, "%s is not the id of a key (vk_...)", id);
	sl_buf_init(&path, 1024);
	sl_buf_printf(&path, "/admin/keys/%s", id);
	call.path = sl_buf_slice(&path);
	status = perform(&call, flags, NULL);
	if (status == SL_EXIT_OK && !flags->json)
		printf("%s is revoked.\n", id);
	sl_buf_release(&path);
	return status;
}

static int
run(const struct sl_command *command, int argc, char **argv)
{
	struct keys_flags values = { .url = "http://127.0.0.1:8080",
		                     .master_key = getenv("SLUICE_MASTER_KEY") };
	const struct sl_cli_flag flags[] = {
		{ "--url", "URL", &values.url, NULL, "the gateway (http://127.0.0.1:8080)" },
		{ "--master-key", "KEY", &values.master_key, NULL, "else SLUICE_MASTER_KEY is used" },
		{ "--json", NULL, NULL, &values.json, "print the answer as JSON" },
		{ "--name", "TEXT", &values.name, NULL, "create: what it is for" },
		{ "--surface", "NAME", &values.surface, NULL,
		  "create: the contract it is for (gateway)" },
		{ "--team", "TEXT", &values.team, NULL, "create: whose spending it counts as" },
		{ "--models", "A,B", &values.models, NULL,
		  "create: the models it may use; provider/* allows all of one" },
		{ "--rpm", "N", &values.rpm, NULL, "create: requests per minute" },
		{ "--workspace", "TEXT", &values.workspace, NULL, "create: the workspace it belongs to" },
		{ "--tpm", "N", &values.tpm, NULL, "create: tokens per minute" },
		{ "--daily-budget", "USD", &values.daily, NULL, "create: US dollars a day" },
		{ "--monthly-budget", "USD", &values.monthly, NULL, "create: US dollars a month" },
		{ "--total-budget", "USD", &values.total, NULL, "create: US dollars altogether" },
		{ "--expires-at", "TIME", &values.expires_at, NULL,
		  "create: end, such as 2030-01-31T00:00:00Z" },
	};
	const char *words[ARGUMENTS_MAX] = { NULL };
	struct sl_cli cli = {
		.command = command,
		.flags = flags,
		.flag_count = sizeof(flags) / sizeof(flags[0]),
		.positional = words,
		.positional_max = ARGUMENTS_MAX,
		.details = "create prints a new key, this one time. list shows all but the secrets.\n"
		           "revoke ID takes effect at once. A master key on the command line can be\n"
		           "seen by others on this machine; the variable cannot.",
	};
	int status = sl_cli_parse(&cli, argc, argv);

	if (status != SL_CLI_GO_ON)
		return status;
	if (!words[0])
		return sl_cli_mistake(command, "say what: create, list or revoke ID");
	if (!values.master_key || !*values.master_key)
		return sl_cli_mistake(command, "no master key: give --master-key or set "
		                      "SLUICE_MASTER_KEY");
	if (strcmp(words[0], "revoke") == 0)
		return revoke(command, &values, words[1]);
	if (words[1])
		return sl_cli_mistake(command, "one argument too many: %s", words[1]);
	if (strcmp(words[0], "create") == 0)
		return create(command, &values);
	if (strcmp(words[0], "list") == 0)
		return list(&values);
	return sl_cli_mistake(command, "%s is none of create, list and revoke", words[0]);
}

const struct sl_command sl_command_keys = {
	.name = "keys",
	.synopsis = "create|list|revoke [ID] [--name TEXT] ...",
	.summary = "Create, list and revoke virtual keys of a running gateway.",
	.run = run,
};

/* cmd_ledger.c - `sluice ledger`: is every amount right, and where did it go.
 *
 * Reads beside a running gateway; what its journal has not handed to the store yet (some
 * milliseconds of it) is not in the answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "app/cli.h"
#include "app/config_load.h"
#include "base/clock.h"
#include "ledger/audit.h"
#include "ledger/money.h"
#include "store/store.h"

enum { TEXT_MAX = 1024 * 1024, AMOUNT_SIZE = 32 };

struct reader {
	struct sl_config          *config;
	const struct sl_store_ops *ops;
	void                      *conn;
};

/* Tells what is wrong on stderr. */
static bool
open_reader(const char *path, struct reader *reader)
{
	struct sl_config_report report;
	struct sl_buf text;
	const char *reason = NULL;

	*reader = (struct reader){ 0 };
	sl_config_report_init(&report, sl_slice_str(path ? path : "environment"));
	reader->config = sl_config_load(&(struct sl_config_source){ .path = path, .env = getenv },
	                                &report);
	if (!reader->config) {
		sl_buf_init(&text, TEXT_MAX);
		sl_config_report_print(&report, true, &text);
		fwrite(text.len ? text.ptr : "", 1, text.len, stderr);
		sl_buf_release(&text);
	}
	sl_config_report_release(&report);
	if (!reader->config)
		return false;
	if (sl_store_open_reader(reader->config->store, &reader->ops, &reader->conn, &reason) ==
	    SL_OK)
		return true;
	fprintf(stderr, "sluice ledger: %s\n", reason);
	return false;
}

static void
close_reader(struct reader *reader)
{
	if (reader->conn)
		reader->ops->close(reader->conn);
	sl_config_free(reader->config);
}

/* Exact: "-12.000000001". */
static const char *
usd(int64_t nanousd, char out[AMOUNT_SIZE])
{
	uint64_t amount = nanousd < 0 ? 0 - (uint64_t)nanousd : (uint64_t)nanousd;

	snprintf(out, AMOUNT_SIZE, "%s%llu.%09llu", nanousd < 0 ? "-" : "",
	         (unsigned long long)(amount / 1000000000u),
	         (unsigned long long)(amount % 1000000000u));
	return out;
}

/* --- verify ------------------------------------------------------------------------------ */

static int
verify(struct reader *reader, bool json)
{
	char in[AMOUNT_SIZE], charged[AMOUNT_SIZE], overrun[AMOUNT_SIZE];
	struct sl_money_audit audit;
	struct sl_audit_check log = { 0 };
	enum sl_err err = sl_money_verify(reader->ops, reader->conn, sl_clock_wall_ms(), &audit);

	if (err == SL_OK && !audit.broken)
		err = sl_money_compare(reader->ops, reader->conn, &audit);
	if (err == SL_OK)
		err = sl_audit_verify(reader->ops, reader->conn, &log);
	if (err != SL_OK) {
		fprintf(stderr, "sluice ledger: the ledger cannot be read: %s\n", sl_err_text(err));
		return SL_EXIT_FAILED;
	}
	if (!audit.broken && log.why) {
		audit.broken = "audit";
		snprintf(audit.where, sizeof(audit.where), "row %lld of the audit log: %s",
		         (long long)log.bad_id, log.why);
	}
	usd(audit.topped_up, in);
	usd(audit.charged, charged);
	usd(audit.overrun, overrun);
	if (json) {
		printf("{\"good\": %s, \"invariant\": \"%s\", \"where\": \"%s\", \"owners\": %lld, "
		       "\"entries\": %lld, \"attempts\": %lld, \"open\": %lld, \"topped_up_usd\": %s, "
		       "\"charged_usd\": %s, \"overrun_usd\": %s}\n", audit.broken ? "false" : "true",
		       audit.broken ? audit.broken : "", audit.where, (long long)audit.owners,
		       (long long)audit.entries, (long long)audit.attempts, (long long)audit.open, in,
		       charged, overrun);
	} else if (audit.broken) {
		printf("BROKEN: invariant %s: %s\n", audit.broken, audit.where);
	} else {
		printf("good: %lld entries of %lld accounts, %lld attempts, %lld of them open\n"
		       "paid in %s USD, charged %s USD, borne by the operator %s USD\n"
		       "%lld rows of the audit log, unbroken\n",
		       (long long)audit.entries, (long long)audit.books, (long long)audit.attempts,
		       (long long)audit.open, in, charged, overrun, (long long)log.rows);
	}
	return audit.broken ? SL_EXIT_FAILED : SL_EXIT_OK;
}

/* --- statement ---------------------------------------------------------------------------- */

enum format { FORMAT_TEXT, FORMAT_CSV, FORMAT_JSON };
struct statement {
	struct sl_slice workspace;
	uint32_t        number;
	enum format     format;
	bool            prepaid; /* the book that is being printed */
	size_t          rows;
	int64_t         balance;
};

static bool
find_owner(void *context, const struct sl_money_owner_row *row)
{
	struct statement *statement = context;

	if (row->kind != SL_SCOPE_WORKSPACE || !sl_slice_eq(row->name, statement->workspace))
		return true;
	statement->number = row->number;
	return false;
}

static void
reference_text(const struct sl_entry_row *row, char *out, size_t size)
{
	bool attempt = sl_slice_is(row->kind, "hold") || sl_slice_is(row->kind, "settle") ||
	               sl_slice_is(row->kind, "release");
	size_t at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < row->reference.len && at + 3 < size; i++) {
		unsigned char c = (unsigned char)row->reference.ptr[i];

		if (attempt)
			at += (size_t)snprintf(out + at, size - at, "%02x", c);
		else
			/* An external id comes from elsewhere: no quotes, no control characters. */
			out[at++] = c < 0x20 || c == '"' || c == '\\' || c == ',' || c >= 0x7f ? '?' : (char)c;
	}
	if (!attempt)
		out[at] = '\0';
}

static bool
print_entry(void *context, const struct sl_entry_row *row)
{
	static const char *const formats[] = {
		[FORMAT_TEXT] = "%s  %-10.*s %8s %20s %20s  %s\n",
		[FORMAT_CSV] = "%s,%.*s,%s,%s,%s,%s\n",
		[FORMAT_JSON] = ("{\"at\": \"%s\", \"kind\": \"%.*s\", \"account\": \"%s\", "
		                 "\"amount_usd\": %s, \"balance_usd\": %s, \"reference\": \"%s\"}"),
	};
	struct statement *statement = context;
	char when[32], reference[300], amount[AMOUNT_SIZE], balance[AMOUNT_SIZE];
	time_t at = (time_t)(row->wall_ms / 1000);
	struct tm tm;

	gmtime_r(&at, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	reference_text(row, reference, sizeof(reference));
	usd(row->amount, amount);
	usd(row->balance, balance);
	if (statement->format == FORMAT_JSON)
		fputs(statement->rows ? ",\n  " : "\n  ", stdout);
	statement->rows++;
	statement->balance = row->balance;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	printf(formats[statement->format], when, SL_ARG(row->kind),
	       statement->prepaid ? "credit" : "owed", amount, balance, reference);
#pragma GCC diagnostic pop
	return true;
}

static int
print_statement(struct reader *reader, struct statement *statement)
{
	const struct sl_money_ops *money = reader->ops->money;
	enum sl_err err = money->owner_each(reader->conn, find_owner, statement);
	int64_t book = (int64_t)statement->number * SL_BOOK_PARTS;

	if (err == SL_OK && statement->number == 0) {
		fprintf(stderr, "sluice ledger: the workspace '%.*s' has never paid for anything\n",
		        SL_ARG(statement->workspace));
		return SL_EXIT_FAILED;
	}
	if (statement->format == FORMAT_CSV)
		puts("at,kind,account,amount_usd,balance_usd,reference");
	else if (statement->format == FORMAT_JSON)
		fputs("[", stdout);
	statement->prepaid = true;
	if (err == SL_OK)
		err = money->entry_each(reader->conn, book + SL_BOOK_AVAILABLE, 0, print_entry,
		                        statement);
	statement->prepaid = false;
	if (err == SL_OK)
		err = money->entry_each(reader->conn, book + SL_BOOK_OWED, 0, print_entry, statement);
	if (statement->format == FORMAT_JSON)
		puts(statement->rows ? "\n]" : "]");
	if (err != SL_OK)
		fprintf(stderr, "sluice ledger: the ledger cannot be read: %s\n", sl_err_text(err));
	return err == SL_OK ? SL_EXIT_OK : SL_EXIT_FAILED;
}

static int
run(const struct sl_command *command, int argc, char **argv)
{
	const char *path = NULL, *words[2] = { NULL, NULL };
	bool json = false, csv = false;
	const struct sl_cli_flag flags[] = {
		{ "--config", "FILE", &path, NULL, "the configuration that names the store" },
		{ "--json", NULL, NULL, &json, "for programs" },
		{ "--csv", NULL, NULL, &csv, "a statement for a spreadsheet" },
	};
	struct sl_cli cli = {
		.command = command,
		.flags = flags,
		.flag_count = sizeof(flags) / sizeof(flags[0]),
		.positional = words,
		.positional_max = 2,
		.details = "verify               check every invariant of every row; names the first bad one\n"
		           "statement WORKSPACE  each movement of a workspace's money\n\n"
		           "Both may run beside the gateway.",
	};
	struct statement statement;
	struct reader reader;
	bool verifies;
	int status = sl_cli_parse(&cli, argc, argv);

	if (status != SL_CLI_GO_ON)
		return status;
	verifies = words[0] && strcmp(words[0], "verify") == 0;
	if (!verifies && !(words[0] && strcmp(words[0], "statement") == 0))
		return sl_cli_mistake(command, "say verify or statement");
	if (verifies ? words[1] != NULL || csv : words[1] == NULL || (json && csv))
		return sl_cli_mistake(command, verifies ? "verify takes no name and no --csv"
		                                        : "statement needs a workspace, and one format");
	statement = (struct statement){ .workspace = sl_slice_str(words[1]),
		                        .format = json ? FORMAT_JSON : csv ? FORMAT_CSV : FORMAT_TEXT };
	status = SL_EXIT_FAILED;
	if (open_reader(path, &reader))
		status = verifies ? verify(&reader, json) : print_statement(&reader, &statement);
	close_reader(&reader);
	return status;
}

const struct sl_command sl_command_ledger = {
	.name = "ledger",
	.synopsis = "verify | statement WORKSPACE [--config FILE] [--json | --csv]",
	.summary = "Check the money ledger, or print a workspace's statement.",
	.run = run,
};

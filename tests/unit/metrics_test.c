/* metrics_test.c - the Prometheus text is well formed and adds up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry/metrics.h"
#include "telemetry/telemetry.h"

/* --- a small strict reader of the text format ------------------------------ */

enum { SERIES_MAX = 40000 };

struct series {
	char   name[400]; /* with labels, as printed */
	double value;
};

static struct series all[SERIES_MAX];
static char families[200][80];
static size_t family_count;
static size_t series_count;

static bool
is_name(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (!first && c >= '0' && c <= '9');
}

static const char *
read_name(const char *at)
{
	const char *start = at;

	while (is_name(*at, at == start))
		at++;
	assert_true(at > start);
	return at;
}

/* {name="value",...} with the three escapes. */
static const char *
read_labels(const char *at)
{
	if (*at != '{')
		return at;
	do {
		at = read_name(at + 1);
		assert_memory_equal(at, "=\"", 2);
		for (at += 2; *at != '"'; at++) {
			assert_true((unsigned char)*at >= 0x20);
			if (*at == '\\')
				assert_non_null(strchr("\\\"n", *++at));
		}
		at++;
	} while (*at == ',');
	assert_int_equal(*at, '}');
	return at + 1;
}

/* Every line is a comment of a family or a sample of the family last announced; no
 * family comes twice and no series either. */
static void
read_metrics(const struct sl_buf *text)
{
	struct sl_slice rest = sl_buf_slice(text);
	char family[80] = "";

	series_count = family_count = 0;
	assert_false(text->failed);
	while (rest.len) {
		struct sl_slice cut = sl_slice_cut(&rest, '\n');
		char line[1000], *end;
		const char *at;

		assert_true(cut.len > 0 && cut.len < sizeof(line));
		memcpy(line, cut.ptr, cut.len);
		line[cut.len] = '\0';
		if (strncmp(line, "# HELP ", 7) == 0) {
			at = read_name(line + 7);
			snprintf(family, sizeof(family), "%.*s", (int)(at - line - 7), line + 7);
			for (size_t i = 0; i < family_count; i++)
				assert_string_not_equal(families[i], family);
			assert_true(family_count < 200);
			strcpy(families[family_count++], family);
			continue;
		}
		if (strncmp(line, "# TYPE ", 7) == 0) {
			assert_memory_equal(line + 7, family, strlen(family));
			continue;
		}
		assert_true(strncmp(line, family, strlen(family)) == 0);
		at = read_labels(read_name(line));
		assert_int_equal(*at, ' ');
		assert_true(series_count < SERIES_MAX);
		snprintf(all[series_count].name, sizeof(all[0].name), "%.*s", (int)(at - line), line);
		all[series_count].value = strtod(at + 1, &end);
		assert_int_equal(*end, '\0');
		for (size_t i = series_count > 60 ? series_count - 60 : 0; i < series_count; i++)
			assert_string_not_equal(all[i].name, all[series_count].name);
		series_count++;
	}
}

static double
value_of(const char *name)
{
	for (size_t i = 0; i < series_count; i++)
		if (strcmp(all[i].name, name) == 0)
			return all[i].value;
	print_error("no series %s\n", name);
	return -1;
}

static double
sum_of(const char *prefix)
{
	double sum = 0;

	for (size_t i = 0; i < series_count; i++)
		if (strncmp(all[i].name, prefix, strlen(prefix)) == 0)
			sum += all[i].value;
	return sum;
}

/* --- tests ----------------------------------------------------------------- */

static struct sl_record
usual_record(void)
{
	struct sl_record record = {
		.row.shape = SL_SLICE("openai_chat"),
		.row.operation = SL_SLICE("chat"),
		.row.provider = SL_SLICE("openai"),
		.row.model_served = SL_SLICE("gpt-4o-mini"),
		.row.status = 200,
		.row.upstream_status = 200,
		.priced = true,
		.row.cost_nanousd = 1500000,
		.row.attempts = 1,
		.row.total_us = 350000,
		.row.first_content_us = 120000,
		.row.added_us = 42,
	};

	record.usage.source = SL_USAGE_REPORTED;
	sl_usage_set(&record.usage, SL_USAGE_INPUT, 100);
	sl_usage_set(&record.usage, SL_USAGE_OUTPUT, 20);
	return record;
}

static void
render(struct sl_metrics_shard *const *shards, size_t count)
{
	struct sl_buf text;

	sl_buf_init(&text, 64 << 20);
	sl_metrics_render(shards, count, &text);
	read_metrics(&text);
	sl_buf_release(&text);
}

static void
shards_and_shapes_add_up(void **state)
{
	struct sl_metrics_shard *shards[2] = { sl_metrics_shard_new(), sl_metrics_shard_new() };
	struct sl_record record = usual_record();

	(void)state;
	for (int i = 0; i < 10; i++) {
		sl_metrics_begin(shards[i % 2]);
		sl_metrics_finish(shards[i % 2], &record, false);
		sl_metrics_over(shards[i % 2]);
	}
	record.row.shape = SL_SLICE("anthropic_messages"); /* the same operation */
	record.row.attempts = 3;
	sl_metrics_begin(shards[0]);
	sl_metrics_begin(shards[0]);
	sl_metrics_finish(shards[0], &record, false);
	render(shards, 2);
	assert_true(value_of("sluice_requests_in_flight") == 2);
	assert_true(sum_of("sluice_requests_total{") == 11);
	sl_metrics_over(shards[0]);
	render(shards, 2);
	assert_true(value_of("sluice_requests_total{shape=\"openai_chat\",provider=\"openai\","
	                     "model=\"gpt-4o-mini\",status=\"200\",outcome=\"ok\"}") == 10);
	assert_true(sum_of("sluice_requests_total{") == 11);
	assert_true(value_of("sluice_requests_in_flight") == 1);
	assert_true(value_of("sluice_tokens_total{shape=\"openai_chat\",provider=\"openai\","
	                     "model=\"gpt-4o-mini\",class=\"input_tokens\"}") == 1000);
	assert_true(sum_of("sluice_cost_usd_total{") > 0.01649 &&
	            sum_of("sluice_cost_usd_total{") < 0.01651);
	assert_true(sum_of("sluice_upstream_retries_total{") == 2);
#define OTEL "gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"openai\","                 \
	     "gen_ai_request_model=\"gpt-4o-mini\""
	assert_true(value_of("gen_ai_server_request_duration_seconds_count{" OTEL "}") == 11);
	assert_true(value_of("gen_ai_server_request_duration_seconds_bucket{" OTEL
	                     ",le=\"0.32\"}") == 0);
	assert_true(value_of("gen_ai_server_request_duration_seconds_bucket{" OTEL
	                     ",le=\"0.64\"}") == 11);
	assert_true(value_of("gen_ai_client_token_usage_sum{" OTEL
	                     ",gen_ai_token_type=\"input\"}") == 1100);
	assert_true(value_of("gen_ai_server_time_to_first_token_seconds_bucket{" OTEL
	                     ",le=\"+Inf\"}") == 11);
	assert_true(value_of("sluice_added_seconds_bucket{shape=\"openai_chat\",le=\"3e-05\"}") == 0);
	assert_true(value_of("sluice_added_seconds_bucket{shape=\"openai_chat\",le=\"5e-05\"}") == 10);
	sl_metrics_shard_free(shards[0]);
	sl_metrics_shard_free(shards[1]);
}

static void
labels_stay_few_and_nothing_is_uncounted(void **state)
{
	struct sl_metrics_shard *shard = sl_metrics_shard_new();
	struct sl_record record = usual_record();
	char model[64];

	(void)state;
	/* A model that no provider answered for is no label. */
	record.row.upstream_status = record.row.status = 404;
	record.outcome = SL_OUTCOME_UPSTREAM_ERROR;
	for (int i = 0; i < 3000; i++) {
		snprintf(model, sizeof(model), "random-%d", i);
		record.row.model_served = sl_slice_str(model);
		sl_metrics_finish(shard, &record, false);
	}
	render(&shard, 1);
	assert_true(sum_of("sluice_requests_total{") == 3000);
	assert_true(value_of("sluice_requests_total{shape=\"openai_chat\",provider=\"openai\","
	                     "model=\"other\",status=\"404\",outcome=\"upstream_error\"}") == 3000);
	/* Even those that were answered for are bounded, as are statuses. */
	record.outcome = SL_OUTCOME_OK;
	for (int i = 0; i < 3000; i++) {
		snprintf(model, sizeof(model), "served-%d", i);
		record.row.model_served = sl_slice_str(model);
		record.row.upstream_status = 200;
		record.row.status = 200 + i % 300;
		sl_metrics_finish(shard, &record, false);
	}
	for (int i = 0; i < 3000; i++) {
		snprintf(model, sizeof(model), "shape-%d", i);
		record.row.shape = sl_slice_str(model);
		sl_metrics_finish(shard, &record, false);
	}
	render(&shard, 1);
	assert_true(sum_of("sluice_requests_total{") == 9000);
	assert_true(series_count < 320 * 120);
	sl_metrics_shard_free(shard);
}

static void
hostile_labels_are_printable(void **state)
{
	struct sl_metrics_shard *shard = sl_metrics_shard_new();
	struct sl_record record = usual_record();
	char huge[1000];

	(void)state;
	memset(huge, '\\', sizeof(huge));
	record.row.model_served = SL_SLICE("a\"} 1\nb\\\x01\xff{");
	sl_metrics_finish(shard, &record, false);
	record.row.provider = sl_slice_make(huge, sizeof(huge));
	sl_metrics_finish(shard, &record, false);
	render(&shard, 1);
	assert_true(sum_of("sluice_requests_total{") == 2);
	sl_metrics_shard_free(shard);
}

static void
refusals_count_by_reason(void **state)
{
	struct sl_metrics_shard *shard = sl_metrics_shard_new();
	struct sl_record record = { .row.shape = SL_SLICE("openai_chat"), .row.status = 429,
		                    .outcome = SL_OUTCOME_REFUSED, .fault = SL_FAULT_RPM };

	(void)state;
	sl_metrics_begin(shard);
	sl_metrics_finish(shard, &record, false);
	render(&shard, 1);
	assert_true(value_of("sluice_faults_total{reason=\"RPM\"}") == 1);
	assert_true(value_of("sluice_requests_total{shape=\"openai_chat\",provider=\"\",model=\"\","
	                     "status=\"429\",outcome=\"refused\"}") == 1);
	assert_true(sum_of("gen_ai_") == 0);
	assert_true(sum_of("sluice_unpriced_requests_total") == 0);
	sl_metrics_shard_free(shard);
}

/* That docs/telemetry.md has the name, quoted as code. Unit tests run at the root of
 * the tree. */
static void
expect_documented(const char *name)
{
	static char page[64 * 1024];
	char quoted[100];

	if (!page[0]) {
		FILE *file = fopen("docs/telemetry.md", "r");

		assert_non_null(file);
		page[fread(page, 1, sizeof(page) - 1, file)] = '\0';
		fclose(file);
	}
	snprintf(quoted, sizeof(quoted), "`%s`", name);
	if (!strstr(page, quoted))
		print_error("docs/telemetry.md lacks %s\n", quoted);
	assert_non_null(strstr(page, quoted));
}

static void
the_whole_page_is_well_formed(void **state)
{
	struct sl_telemetry_config config = { .loops = 2, .version = "1.2.3" };
	struct sl_telemetry_gauges gauges = { .connections = 7, .keys = 3 };
	struct sl_telemetry *telemetry = sl_telemetry_new(&config, NULL);
	struct sl_record record = usual_record();
	struct sl_buf text;

	(void)state;
	assert_non_null(telemetry);
	sl_telemetry_begin(telemetry, 1);
	sl_telemetry_finish(telemetry, 1, &record);
	sl_buf_init(&text, 1 << 20);
	sl_telemetry_metrics(telemetry, &gauges, &text);
	read_metrics(&text);
	assert_true(value_of("sluice_build_info{version=\"1.2.3\"}") == 1);
	assert_true(value_of("sluice_connections") == 7);
	assert_true(value_of("process_resident_memory_bytes") > 500000);
	assert_true(value_of("process_open_fds") >= 3);
	assert_true(value_of("process_start_time_seconds") > 1.5e9);
	assert_true(value_of("process_cpu_seconds_total") >= 0);
	sl_buf_release(&text);
	sl_telemetry_free(telemetry);
	for (size_t i = 0; i < family_count; i++)
		expect_documented(families[i]);
}

static void
every_column_is_documented(void **state)
{
	(void)state;
#define SL_RECORD_TEXT(name, max_size) expect_documented(#name);
#define SL_RECORD_INT(name)            expect_documented(#name);
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		expect_documented(sl_usage_class_name((enum sl_usage_class)i));
	for (int i = 0; i < SL_OUTCOME_COUNT; i++)
		expect_documented(sl_outcome_name((enum sl_outcome)i));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shards_and_shapes_add_up),
		cmocka_unit_test(labels_stay_few_and_nothing_is_uncounted),
		cmocka_unit_test(hostile_labels_are_printable),
		cmocka_unit_test(refusals_count_by_reason),
		cmocka_unit_test(the_whole_page_is_well_formed),
		cmocka_unit_test(every_column_is_documented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

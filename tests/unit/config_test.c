/* config_test.c - the loader: vectors with expected problems, substitution,
 * bombs, providers from the environment, and that no secret is shown. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/config_load.h"
#include "app/options.h"

#define CANARY "sk-canary-0123456789abcdef0123456789"

/* The environment of a test: NAME, value pairs, NULL at the end. */
static char *environment[16];

static char *
test_env(const char *name)
{
	for (size_t i = 0; environment[i]; i += 2)
		if (strcmp(environment[i], name) == 0)
			return environment[i + 1];
	return NULL;
}

static void
set_env(const char *name, const char *value)
{
	size_t i = 0;

	while (environment[i])
		i += 2;
	assert_true(i + 2 < sizeof(environment) / sizeof(environment[0]));
	environment[i] = (char *)(uintptr_t)name;
	environment[i + 1] = (char *)(uintptr_t)value;
}

static int
clear_env(void **state)
{
	(void)state;
	memset(environment, 0, sizeof(environment));
	return 0;
}

static struct sl_config *
load_slice(const char *path, struct sl_slice text, struct sl_config_report *report)
{
	const struct sl_config_source source = { .path = path, .text = text, .env = test_env };

	sl_config_report_init(report, sl_slice_str(path ? path : "environment"));
	return sl_config_load(&source, report);
}

/* A text that must load. */
static struct sl_config *
load_good(const char *text)
{
	struct sl_config_report report;
	struct sl_config *config = load_slice("test.yaml", sl_slice_str(text), &report);
	struct sl_buf out;

	sl_buf_init(&out, 65536);
	sl_config_report_print(&report, true, &out);
	if (!config)
		print_error("%.*s", SL_ARG(sl_buf_slice(&out)));
	assert_non_null(config);
	sl_buf_release(&out);
	sl_config_report_release(&report);
	return config;
}

/* A text that must not load; the first problem is at line:column and says so. */
static void
assert_problem(struct sl_slice text, uint32_t line, uint32_t column, const char *words)
{
	struct sl_config_report report;
	struct sl_buf out;

	assert_null(load_slice("test.yaml", text, &report));
	assert_true(report.errors > 0);
	sl_buf_init(&out, 1024 * 1024);
	sl_config_report_print(&report, false, &out);
	if (sl_slice_search(report.problems[0].text, sl_slice_str(words)) < 0 ||
	    report.problems[0].mark.line != line || report.problems[0].mark.column != column)
		fail_msg("wanted %u:%u %s, got\n%.*s", line, column, words,
		         SL_ARG(sl_buf_slice(&out)));
	assert_int_equal(sl_slice_search(sl_buf_slice(&out), SL_SLICE(CANARY)), -1);
	sl_buf_release(&out);
	sl_config_report_release(&report);
}

static struct sl_slice
read_all(const char *path, char *out, size_t size)
{
	FILE *file = fopen(path, "r");
	size_t len;

	assert_non_null(file);
	len = fread(out, 1, size, file);
	assert_true(len < size);
	fclose(file);
	return sl_slice_make(out, len);
}

/* --- vectors ------------------------------------------------------------------ */

/* Takes one expectation ("# error: words") out of what a line expects. */
static bool
take_expectation(struct sl_slice *rest, bool *warning, struct sl_slice *words)
{
	static const char *const marks[] = { "# error: ", "# warning: " };
	ptrdiff_t best = -1;
	size_t which = 0;

	for (size_t i = 0; i < 2; i++) {
		ptrdiff_t at = sl_slice_search(*rest, sl_slice_str(marks[i]));

		if (at >= 0 && (best < 0 || at < best)) {
			best = at;
			which = i;
		}
	}
	if (best < 0)
		return false;
	*warning = which == 1;
	*rest = sl_slice_from(*rest, (size_t)best + strlen(marks[which]));
	*words = *rest;
	best = sl_slice_search(*rest, SL_SLICE(" # "));
	if (best >= 0)
		*words = sl_slice_upto(*rest, (size_t)best);
	*words = sl_slice_trim(*words);
	return true;
}

static void
check_vector(const char *path)
{
	static char text[65536];
	struct sl_slice rest = read_all(path, text, sizeof(text)), line;
	bool met[SL_CONFIG_PROBLEMS_MAX] = { false };
	struct sl_config_report report;
	struct sl_config *config;
	uint32_t number = 0;
	int wrong = 0;

	config = load_slice(path, SL_SLICE_NONE, &report);
	while (rest.len) {
		struct sl_slice words;
		bool warning;

		line = sl_slice_cut(&rest, '\n');
		number++;
		if (line.len && line.ptr[0] == '#')
			continue;
		while (take_expectation(&line, &warning, &words)) {
			bool found = false;

			for (size_t i = 0; i < report.count && !found; i++) {
				const struct sl_config_problem *problem = &report.problems[i];

				if (met[i] || problem->mark.line != number ||
				    problem->warning != warning ||
				    sl_slice_search(problem->text, words) < 0)
					continue;
				assert_true(problem->mark.column > 0);
				found = met[i] = true;
			}
			if (!found) {
				print_error("%s:%u: nothing reported: %.*s\n", path, number,
				            SL_ARG(words));
				wrong++;
			}
		}
	}
	for (size_t i = 0; i < report.count; i++) {
		if (met[i])
			continue;
		print_error("%s:%u: not expected: %.*s\n", path, report.problems[i].mark.line,
		            SL_ARG(report.problems[i].text));
		wrong++;
	}
	assert_int_equal(wrong, 0);
	assert_true((config == NULL) == (report.errors > 0));
	sl_config_free(config);
	sl_config_report_release(&report);
}

static void
vectors_report_what_they_say(void **state)
{
	glob_t found;

	(void)state;
	set_env("SL_TEST_SPACE", "a b");
	set_env("SL_TEST_KEY", CANARY);
	assert_int_equal(glob("tests/vectors/config/*.yaml", 0, NULL, &found), 0);
	assert_true(found.gl_pathc > 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
		check_vector(found.gl_pathv[i]);
	globfree(&found);
}

static void
example_file_is_good(void **state)
{
	static char text[65536];
	struct sl_config_report report;
	struct sl_config *config;

	(void)state;
	read_all("contrib/sluice.yaml", text, sizeof(text));
	config = load_slice("contrib/sluice.yaml", SL_SLICE_NONE, &report);
	assert_non_null(config);
	/* Warnings: providers without a key. */
	assert_int_equal(report.errors, 0);
	assert_true(report.warnings >= 3);
	/* Four in the file, and two for the routes that lead elsewhere. */
	assert_int_equal(config->provider_count, 6);
	assert_int_equal(config->model_count, 3);
	assert_int_equal(config->models[0].deployments[0].weight, 3);
	assert_true(sl_slice_is(config->models[0].deployments[1].id,
	                        "gpt-4o-mini/local/llama-3.1-8b"));
	assert_true(sl_slice_is(config->models[2].strategy, "tier"));
	assert_int_equal(config->providers[3].auth, SL_AUTH_NONE);
	assert_true(sl_slice_is(config->store, "sqlite:contrib/sluice.db"));
	assert_int_equal(config->routes[1].auth, SL_AUTH_HEADER);
	assert_true(sl_slice_is(config->routes[1].auth_header, "x-api-key"));
	assert_true(config->routes[2].auction.enabled);
	assert_false(config->routes[0].auction.enabled);
	assert_true(config->routes[2].auction.price_min_nanousd == 100000000);
	assert_true(config->workspaces[0].minimum_balance_nanousd == 1000000000);
	assert_true(sl_slice_is(config->prices[0].provider, "local"));
	assert_true(sl_slice_is(config->prices[0].model, "llama-3.1-8b"));
	assert_true(sl_slice_is(config->prices[0].fields, "{\"input\":0.00,\"output\":0.00}"));
	sl_config_free(config);
	sl_config_report_release(&report);
}

/* --- values ------------------------------------------------------------------- */

static void
defaults_hold_without_a_file(void **state)
{
	struct sl_config_report report;
	struct sl_config *config = load_slice(NULL, SL_SLICE_NONE, &report);

	(void)state;
	assert_non_null(config);
	assert_int_equal(config->listen_count, 1);
	assert_int_equal(config->listen[0].port, 8080);
	assert_true(sl_slice_is(config->listen[0].host, "127.0.0.1"));
	assert_int_equal(config->limits.body_bytes, 32 * 1024 * 1024);
	assert_true(config->keys_required);
	assert_true(config->access_log);
	assert_int_equal(config->provider_count, 1);
	assert_ptr_equal(sl_config_mock(config), &config->providers[0]);
	assert_int_equal(report.errors + report.warnings, 0);
	sl_config_free(config);
	sl_config_report_release(&report);
}

static void
values_are_substituted(void **state)
{
	struct sl_config *config;
	char path[] = "/tmp/sluice-config-test-XXXXXX";
	char text[1024];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, CANARY "\r\n\n", strlen(CANARY) + 3), strlen(CANARY) + 3);
	close(fd);
	set_env("SET", "gpt-4o");
	set_env("EMPTY", "");
	set_env("LIMIT", "2048");
	snprintf(text, sizeof(text),
	         "providers:\n  openai: {api_key: \"${file:%s}\"}\n"
	         "limits: {body_bytes: \"${LIMIT}\"}\n"
	         "models:\n"
	         "  - {name: \"a-${SET}-$$-$x-${EMPTY:-e}${NONE:-n}${NONE:-}\", deployments: "
	         "[{provider: openai, model: \"${SET:-other}\"}]}\n",
	         path);
	config = load_good(text);
	unlink(path);
	assert_true(sl_secret_eq(&config->providers[0].api_key, SL_SLICE(CANARY)));
	assert_int_equal(config->limits.body_bytes, 2048);
	assert_true(sl_slice_is(config->models[0].name, "a-gpt-4o-$-$x-en"));
	assert_true(sl_slice_is(config->models[0].deployments[0].model, "gpt-4o"));
	sl_config_free(config);
	assert_problem(SL_SLICE("store: sqlite:${NONE}\n"), 1, 8, "NONE, which is not set");
	assert_problem(SL_SLICE("store: ${file:/nonexistent/x}\n"), 1, 8, "cannot be read");
	assert_problem(SL_SLICE("store: ${file:/dev/zero}\n"), 1, 8, "larger than");
	assert_problem(SL_SLICE("providers:\n  a: {kind: openai, auth: none, ca_file: /dev/zero}\n"),
	               2, 42, "holds no certificate");
	assert_problem(SL_SLICE("store: ${not a name}\n"), 1, 8, "which is not a reference");
	assert_problem(SL_SLICE("store: sqlite:${NONE\n"), 1, 8, "without }");
}

static void
addresses_are_read(void **state)
{
	struct sl_config *config = load_good("listen: [\"127.0.0.1:1\", \"[::1]:2\", localhost:3, 4,\n"
	                                     "  {address: 0.0.0.0:5}]\n");
	struct sl_slice host;
	uint16_t port;

	(void)state;
	assert_int_equal(config->listen_count, 5);
	assert_true(sl_slice_is(config->listen[1].host, "::1"));
	assert_true(sl_slice_is(config->listen[2].host, "127.0.0.1"));
	assert_int_equal(config->listen[3].port, 4);
	assert_true(sl_slice_is(config->listen[4].host, "0.0.0.0"));
	sl_config_free(config);
	assert_false(sl_config_parse_address(SL_SLICE("::1:80"), &host, &port));
	assert_false(sl_config_parse_address(SL_SLICE("127.0.0.1:65536"), &host, &port));
	assert_false(sl_config_parse_address(SL_SLICE("127.0.0.1:-1"), &host, &port));
	assert_false(sl_config_parse_address(SL_SLICE("example.com:80"), &host, &port));
	assert_false(sl_config_parse_address(SL_SLICE(":80"), &host, &port));
	assert_false(sl_config_parse_address(SL_SLICE(""), &host, &port));
	assert_problem(SL_SLICE("listen: [1, 1]\n"), 1, 13, "already");
	assert_problem(SL_SLICE("dns:\n  servers: [10.0.0.53, \"\"]\n"), 2, 24, "remove it from the list");
	assert_problem(SL_SLICE("dns: {servers: [ns.example.com]}\n"), 1, 17, "not the address");
}

static void
origins_are_read(void **state)
{
	struct sl_config *config = load_good("cors: {origins: [https://a.example, \"*\", \"null\", "
	                                     "\"chrome-extension://abc\"]}\n");

	(void)state;
	assert_int_equal(config->cors_origins.count, 4);
	sl_config_free(config);
	config = load_good("cors: {origins: \"${NONE:-}\"}\n");
	assert_int_equal(config->cors_origins.count, 0);
	sl_config_free(config);
	assert_problem(SL_SLICE("cors: {origins: [https://a.example/]}\n"), 1, 18, "not an origin");
	assert_problem(SL_SLICE("cors: {origins: a.example}\n"), 1, 17, "not an origin");
}

/* --- secrets ------------------------------------------------------------------ */

/* A credential in each wrong place: the message must not repeat it. */
static void
secrets_are_not_shown(void **state)
{
	static const char *const places[] = {
		"workers: ${KEY}\n", "keys: ${KEY}\n", "listen: ${KEY}\n", "store: ${KEY}\n",
		"shared: ${KEY}\n", "router: {auto: \"${KEY}\"}\n", "log: {access: \"${KEY}\"}\n",
		"providers: {openai: {kind: \"${KEY}\"}}\n",
		"providers: {openai: {base_url: \"${KEY}\"}}\n",
		"providers: {openai: {base_url: \"https://user:${KEY}@example.com\"}}\n",
		"providers: {openai: {auth: \"${KEY}\"}}\n",
		"providers: {openai: {fallback: \"${KEY}\"}}\n",
		"providers: {openai: {allow_cidr: \"${KEY}\"}}\n",
		"providers: {openai: {api_key: \"${KEY} ${KEY}\"}}\n",
		"prices: {openai/x: {input: \"${KEY}\"}}\nproviders: {openai: {}}\n",
		"models: [{name: x, deployments: [{provider: \"${KEY}\", model: x}]}]\n",
		"workspaces: [{slug: x, minimum_balance_usd: \"${KEY}\"}]\n",
		"workers: " CANARY "\n",
	};

	(void)state;
	set_env("KEY", CANARY);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct sl_config_report report;
		struct sl_buf out;

		if (load_slice("test.yaml", sl_slice_str(places[i]), &report))
			fail_msg("loaded: %s", places[i]);
		sl_buf_init(&out, 65536);
		sl_config_report_print(&report, true, &out);
		if (sl_slice_search(sl_buf_slice(&out), SL_SLICE("canary")) >= 0)
			fail_msg("shown: %.*s", SL_ARG(sl_buf_slice(&out)));
		sl_buf_release(&out);
		sl_config_report_release(&report);
	}
}

/* --- YAML ---------------------------------------------------------------------- */

static void
syntax_errors_have_a_place(void **state)
{
	(void)state;
	assert_problem(SL_SLICE("a:\n  b: [1,\nc: 2\n"), 4, 1, "not valid YAML");
	assert_problem(SL_SLICE("workers: 1\n\tkeys: off\n"), 2, 1, "not valid YAML");
	assert_problem(SL_SLICE("providers: {openai: {api_key: ${KEY}}}\n"), 1, 32,
	               "write \"${NAME}\" in quotes");
	assert_problem(SL_SLICE("workers: 1\nkeys: \xff\xfe\n"), 2, 7, "UTF-8");
	assert_problem(SL_SLICE("workers: 1\n---\nworkers: 2\n"), 3, 1, "second document");
	assert_problem(SL_SLICE("just text\n"), 1, 1, "the file is a single value");
	assert_problem(SL_SLICE("{[a]: b}\n"), 1, 2, "a key must be a name");
	assert_problem(SL_SLICE("router: &r {retries: 1}\nlimits:\n  <<: *r\n"), 3, 3,
	               "merge keys");
	sl_config_free(load_good(""));
	sl_config_free(load_good("# nothing\n"));
	sl_config_free(load_good("providers:\nmodels:\n"));
}

static void
bombs_are_refused(void **state)
{
	struct sl_config_report report;
	struct sl_buf text;

	(void)state;
	/* Each level doubles: 2^30 values when followed. */
	sl_buf_init(&text, 1024 * 1024);
	sl_buf_append_str(&text, "stacks:\n  - slug: s\n    models: &a0 [x]\n");
	for (int i = 1; i < 30; i++)
		sl_buf_printf(&text, "  - slug: s%d\n    models: &a%d [*a%d, *a%d]\n", i, i, i - 1,
		              i - 1);
	assert_null(load_slice("bomb.yaml", sl_buf_slice(&text), &report));
	sl_config_report_release(&report);
	/* A value that holds itself. */
	assert_null(load_slice("bomb.yaml", SL_SLICE("stacks: &s\n  - *s\n"), &report));
	sl_config_report_release(&report);
	assert_null(load_slice("bomb.yaml", SL_SLICE("models: &s\n  - {name: x, deployments: *s}\n"),
	                       &report));
	sl_config_report_release(&report);
	/* Deep, wide, long. */
	sl_buf_clear(&text);
	for (int i = 0; i < 100000; i++)
		sl_buf_append_char(&text, '[');
	assert_null(load_slice("bomb.yaml", sl_buf_slice(&text), &report));
	sl_config_report_release(&report);
	sl_buf_clear(&text);
	sl_buf_append_str(&text, "prices:\n");
	for (int i = 0; i < 30000; i++)
		sl_buf_printf(&text, " openai/%d: {input: 1}\n", i);
	assert_null(load_slice("bomb.yaml", sl_buf_slice(&text), &report));
	sl_config_report_release(&report);
	sl_buf_clear(&text);
	sl_buf_append_str(&text, "store: sqlite:");
	for (int i = 0; i < 100000; i++)
		sl_buf_append_char(&text, 'x');
	assert_null(load_slice("bomb.yaml", sl_buf_slice(&text), &report));
	sl_config_report_release(&report);
	sl_buf_release(&text);
}

static void
files_must_be_ordinary(void **state)
{
	struct sl_config_report report;

	(void)state;
	assert_null(load_slice("/nonexistent/sluice.yaml", SL_SLICE_NONE, &report));
	sl_config_report_release(&report);
	assert_null(load_slice("/", SL_SLICE_NONE, &report));
	sl_config_report_release(&report);
	assert_null(load_slice("/dev/zero", SL_SLICE_NONE, &report));
	sl_config_report_release(&report);
}

/* --- the environment ------------------------------------------------------------ */

static void
environment_makes_providers(void **state)
{
	struct sl_config_report report;
	struct sl_config *config;

	(void)state;
	set_env("OPENAI_API_KEY", " " CANARY "\n");
	set_env("OPENAI_BASE_URL", "https://proxy.example.com/v1");
	set_env("ANTHROPIC_API_KEY", CANARY);
	set_env("AZURE_API_KEY", CANARY); /* without an address: nowhere to go */
	set_env("SLUICE_MASTER_KEY", "0123456789abcdef0123");
	config = load_slice(NULL, SL_SLICE_NONE, &report);
	assert_non_null(config);
	assert_int_equal(config->provider_count, 2);
	assert_true(sl_slice_is(config->providers[0].name, "openai"));
	assert_true(sl_slice_is(config->providers[0].base_url, "https://proxy.example.com/v1"));
	assert_true(sl_secret_eq(&config->providers[0].api_key, SL_SLICE(CANARY)));
	assert_int_equal(config->providers[0].timeouts.connect_ms, 1000);
	assert_true(sl_secret_eq(&config->master_key, SL_SLICE("0123456789abcdef0123")));
	assert_null(sl_config_mock(config));
	sl_config_free(config);
	sl_config_report_release(&report);

	/* A list in a file means those and no others, unless it says so. */
	config = load_good("providers: {anthropic: {}}\n");
	assert_int_equal(config->provider_count, 1);
	assert_true(sl_secret_eq(&config->providers[0].api_key, SL_SLICE(CANARY)));
	assert_true(sl_secret_empty(&config->master_key));
	sl_config_free(config);
	config = load_good("providers: {anthropic: {}}\nproviders_from_environment: true\n");
	assert_int_equal(config->provider_count, 2);
	sl_config_free(config);
	config = load_good("workers: 1\n");
	assert_int_equal(config->provider_count, 2);
	sl_config_free(config);

	/* A key goes to no other address than the one it belongs to. */
	config = load_good("providers: {anthropic: {base_url: \"https://elsewhere.example\"}}\n");
	assert_true(sl_secret_empty(&config->providers[0].api_key));
	sl_config_free(config);
}

static void
broken_environment_is_refused(void **state)
{
	struct sl_config_report report;

	(void)state;
	set_env("OPENAI_API_KEY", "two words");
	assert_null(load_slice(NULL, SL_SLICE_NONE, &report));
	sl_config_report_release(&report);
}

/* Second attempts count among the further ones. */
static void
hedging_without_retries_is_told(void **state)
{
	static const char text[] = "providers: {a: {kind: openai, api_key: k}}\n"
	                           "models:\n"
	                           "  - {name: x, hedge: {percentile: 90}, "
	                           "deployments: [{provider: a, model: m}]}\n"
	                           "router: {retries: %d, hedge: {delay_ms: 5}}\n";

	(void)state;
	for (int retries = 0; retries < 2; retries++) {
		struct sl_config_report report;
		struct sl_config *config;
		char filled[sizeof(text) + 16];

		snprintf(filled, sizeof(filled), text, retries);
		config = load_slice("test.yaml", sl_slice_str(filled), &report);
		assert_non_null(config);
		assert_true(config->hedges);
		assert_int_equal(report.warnings, retries == 0 ? 2 : 0);
		assert_int_equal(config->models[0].hedge.percentile, 90);
		sl_config_free(config);
		sl_config_report_release(&report);
	}
}

/* --- the table ------------------------------------------------------------------- */

static void
printed_defaults_load(void **state)
{
	struct sl_config_report report;
	struct sl_config *config;
	struct sl_buf text;

	(void)state;
	sl_buf_init(&text, 1024 * 1024);
	sl_options_print_yaml(&text);
	assert_false(text.failed);
	config = load_slice("defaults.yaml", sl_buf_slice(&text), &report);
	assert_non_null(config);
	assert_int_equal(report.errors + report.warnings, 0);
	sl_config_free(config);
	sl_config_report_release(&report);
	sl_buf_release(&text);
}

static void
check_section(const struct sl_option_section *section, unsigned depth)
{
	assert_true(depth < 8);
	for (size_t i = 0; i < section->count; i++) {
		const struct sl_option *option = &section->options[i];
		bool numeric = option->type == SL_OPTION_UINT || option->type == SL_OPTION_INT;

		assert_true(option->help && strlen(option->help) > 3);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(option->key, section->options[k].key);
		if (numeric)
			assert_true(option->min < option->max);
		if (option->type == SL_OPTION_UINT)
			assert_true(option->min >= 0);
		if (depth == 0 &&
		    (option->type == SL_OPTION_LIST || option->type == SL_OPTION_MAP))
			assert_non_null(option->section->example);
		if (option->section)
			check_section(option->section, depth + 1);
	}
}

static void
table_is_sound(void **state)
{
	(void)state;
	check_section(sl_options_root(), 0);
}

static void
near_names_are_found(void **state)
{
	static const char *const names[] = { "listen", "limits", "providers", "keys" };

	(void)state;
	assert_string_equal(sl_config_nearest(SL_SLICE("lisetn"), names, 4), "listen");
	assert_string_equal(sl_config_nearest(SL_SLICE("provider"), names, 4), "providers");
	assert_null(sl_config_nearest(SL_SLICE("durability"), names, 4));
	assert_null(sl_config_nearest(SL_SLICE(""), names, 4));
}

#define WITH_ENV(test) cmocka_unit_test_setup(test, clear_env)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ENV(vectors_report_what_they_say),
		WITH_ENV(example_file_is_good),
		WITH_ENV(defaults_hold_without_a_file),
		WITH_ENV(values_are_substituted),
		WITH_ENV(addresses_are_read),
		WITH_ENV(origins_are_read),
		WITH_ENV(secrets_are_not_shown),
		WITH_ENV(syntax_errors_have_a_place),
		WITH_ENV(bombs_are_refused),
		WITH_ENV(files_must_be_ordinary),
		WITH_ENV(environment_makes_providers),
		WITH_ENV(broken_environment_is_refused),
		WITH_ENV(hedging_without_retries_is_told),
		WITH_ENV(printed_defaults_load),
		WITH_ENV(table_is_sound),
		WITH_ENV(near_names_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* plan_bench.c - microseconds to make a plan.
 *
 * By name, by an alias of four deployments (every filter, a strategy), and by a stack's
 * objective (costs and qualities of each); the prompt is given, reading and classifying
 * it are timed by classify_bench. The catalogue is the built-in one. Prints median and
 * 99th percentile.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "routing/plan.h"
#include "shapes/tally.h"

enum { ROUNDS = 50000, COUNT = 4 };
#define S(text) { text, sizeof(text) - 1 }

static struct sl_config_provider providers[] = {
	{ .name = S("openai"), .kind = S("openai"), .enabled = true },
	{ .name = S("anthropic"), .kind = S("anthropic"), .enabled = true },
	{ .name = S("gemini"), .kind = S("gemini"), .enabled = true },
	{ .name = S("mistral"), .kind = S("mistral"), .enabled = true },
};
static struct sl_config_deployment deployments[COUNT] = {
	{ .id = S("a"), .provider = S("openai"), .model = S("gpt-4o-mini"), .weight = 1 },
	{ .id = S("b"), .provider = S("anthropic"), .model = S("claude-haiku-4-5"), .weight = 1 },
	{ .id = S("c"), .provider = S("gemini"), .model = S("gemini-2.5-flash"), .weight = 1 },
	{ .id = S("d"), .provider = S("openai"), .model = S("gpt-4o"), .weight = 1 },
};
static struct sl_config_model models[] = {
	{ .name = S("pool"), .strategy = S("weighted"), .deployments = deployments,
	  .deployment_count = COUNT },
};
static const struct sl_config config = {
	.providers = providers, .provider_count = 4, .models = models, .model_count = 1,
	.router_auto = S("pool"),
};
static const struct sl_config_stack stack = {
	.slug = S("bench"), .version = 1, .fallback = true, .objective = S("balanced"),
	.quality = S("standard"),
};
/* Of a gateway that has providers only, `auto` chooses among what they offer. */
static const struct sl_config bare = { .providers = providers, .provider_count = 4 };
static struct sl_offers offers;

static bool
yes(void *context, size_t provider)
{
	(void)context;
	(void)provider;
	return true;
}

static bool
allows(void *context, size_t provider, struct sl_slice model)
{
	(void)context;
	(void)provider;
	(void)model;
	return true;
}

static bool
prompt(void *context, struct sl_prompt *out)
{
	(void)context;
	*out = (struct sl_prompt){ .text_count = 0, .size_bytes = 2000, .turns = 1 };
	return true;
}

/* As the pipeline answers it once the request was read by the family's tokenizer. */
static void
count(void *context, size_t provider, struct sl_slice model, int64_t *low, int64_t *tokens,
      int64_t *high)
{
	static struct sl_tally tally;
	struct sl_token_count counted =
	    sl_tally_total(&tally, sl_token_family_of(model), SL_TOKEN_RATIO_ONE);

	(void)context;
	(void)provider;
	*low = counted.low + 1;
	*tokens = counted.tokens + 1;
	*high = counted.high + 1;
}

static int
by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
bench(const struct sl_catalog *catalog, const char *what, const char *model,
      const struct sl_config *from, const struct sl_config_stack *by, bool counts,
      uint64_t *times_ns)
{
	static struct sl_plan plan;

	for (size_t i = 0; i < ROUNDS; i++) {
		const struct sl_plan_query query = {
			.config = from, .catalog = catalog, .offers = &offers, .model = sl_slice_str(model),
			.chance = i * 0x9e3779b97f4a7c15u, .turn = i, .stack = by,
			.body_bytes = 2048, .max_output_tokens = -1, .choices = 1, .serves = yes,
			.allows = allows, .accepts_any = yes, .prompt = prompt,
			.count = counts ? count : NULL,
		};
		struct sl_arena arena;
		struct sl_fault fault;
		uint64_t start;

		sl_arena_init(&arena, 4096, 0);
		start = sl_clock_mono_ns();
		if (!sl_plan_make(&query, &arena, &plan, &fault))
			abort();
		times_ns[i] = sl_clock_mono_ns() - start;
		sl_arena_release(&arena);
	}
	qsort(times_ns, ROUNDS, sizeof(times_ns[0]), by_time);
	printf("%-15s median %6.2f us  p99 %6.2f us\n", what, (double)times_ns[ROUNDS / 2] / 1e3,
	       (double)times_ns[ROUNDS / 100 * 99] / 1e3);
}

int
main(void)
{
	uint64_t *times_ns = malloc(ROUNDS * sizeof(*times_ns));
	struct sl_catalog_error error;
	struct sl_catalog *catalog;
	struct sl_arena arena;

	sl_arena_init(&arena, 1 << 20, 0);
	catalog = sl_catalog_parse(sl_catalog_builtin_text(), &arena, &error);
	if (!times_ns || !catalog || !sl_offers_make(&bare, catalog, NULL, &arena, &offers))
		return 1;
	bench(catalog, "name", "openai/gpt-4o-mini", &config, NULL, false, times_ns);
	bench(catalog, "alias", "pool", &config, NULL, false, times_ns);
	bench(catalog, "objective", "auto", &config, &stack, false, times_ns);
	bench(catalog, "counted", "auto", &config, &stack, true, times_ns);
	bench(catalog, "offers", "auto", &bare, &stack, false, times_ns);
	bench(catalog, "offers, counted", "auto", &bare, &stack, true, times_ns);
	free(times_ns);
	sl_arena_release(&arena);
	return 0;
}

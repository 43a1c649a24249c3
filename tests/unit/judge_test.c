/* judge_test.c - boundaries, fitness, costs and the order by objective, on a plan; and a
 * long seeded run of plans and breakers with targets that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "routing/plan.h"
#include "routing/stack.h"

#define S(text) { text, sizeof(text) - 1 }

enum { PROVIDERS = 4 };

static struct sl_config_provider providers[PROVIDERS] = {
	{ .name = S("p0"), .kind = S("openai"), .enabled = true, .cloud = { .region = S("eu") } },
	{ .name = S("p1"), .kind = S("openai"), .enabled = true, .cloud = { .region = S("us") } },
	{ .name = S("p2"), .kind = S("openai"), .enabled = true, .cloud = { .region = S("eu") } },
	{ .name = S("p3"), .kind = S("openai"), .enabled = true },
};
static struct sl_config_deployment pool[PROVIDERS] = {
	{ .id = S("pool/p0/m"), .provider = S("p0"), .model = S("m"), .weight = 1 },
	{ .id = S("pool/p1/m"), .provider = S("p1"), .model = S("m"), .weight = 1 },
	{ .id = S("pool/p2/m"), .provider = S("p2"), .model = S("m"), .weight = 1 },
	{ .id = S("pool/p3/m"), .provider = S("p3"), .model = S("m"), .weight = 1 },
};
static struct sl_config_model models[] = {
	{ .name = S("pool"), .strategy = S("priority"), .deployments = pool,
	  .deployment_count = PROVIDERS },
};
static struct sl_config config = {
	.providers = providers, .provider_count = PROVIDERS, .models = models, .model_count = 1,
	.router_auto = S("pool"),
};

/* p0 small, p1 middle, p2 and p3 large; p3 takes no tools and has no price. */
static const char catalog_text[] =
    "provider,model,name,context,max_output,input,output,capabilities,released,priced,prices,"
    "long_context\n"
    "p0,m,M,8000,4000,text,text,tools,2025-01-01,2025-01-01,input=0.1 output=0.4,\n"
    "p1,m,M,128000,4000,text image,text,tools json_schema,2025-01-01,2025-01-01,"
    "input=1 output=4,\n"
    "p2,m,M,1000000,4000,text image,text,tools json_schema reasoning,2025-01-01,2025-01-01,"
    "input=5 output=20,\n"
    "p3,m,M,128000,4000,text,text,temperature,2025-01-01,2025-01-01,,\n";

static struct world {
	struct sl_arena        arena;
	struct sl_catalog     *catalog;
	struct sl_config_stack stack;
	struct sl_wish         wish;
	struct sl_prompt       prompt;
	int64_t                body_bytes, max_output;
	uint64_t               latency_us[PROVIDERS];
	bool                   has_counter;
	size_t                 counts;
	struct sl_health       health[PROVIDERS];
	bool                   use_health;
	uint64_t               now_us;
	const char            *sticky; /* a provider */
	bool                   no_stack, explain;
	struct sl_plan         plan;
	struct sl_fault        fault;
} w;

static bool
serves(void *context, size_t provider)
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
	*out = w.prompt;
	return true;
}

static void
figures(void *context, size_t provider, struct sl_slice model, struct sl_health_figures *out)
{
	(void)context;
	(void)model;
	if (w.use_health)
		sl_health_figures(&w.health[provider], false, w.now_us, out);
	else
		out->latency_us = w.latency_us[provider];
}

static bool
sticky(void *context, const struct sl_prompt *read, struct sl_slice *provider,
       struct sl_slice *model)
{
	(void)context;
	(void)read;
	if (!w.sticky)
		return false;
	*provider = sl_slice_str(w.sticky);
	*model = SL_SLICE("m");
	return true;
}

/* p0's tokenizer makes ten times as many tokens of a text as the others'. */
static void
count(void *context, size_t provider, struct sl_slice model, int64_t *low, int64_t *tokens,
      int64_t *high)
{
	(void)context;
	(void)model;
	w.counts++;
	*low = *tokens = *high = provider == 0 ? 10000 : 1000;
}

static bool
make(const char *model)
{
	const struct sl_plan_query query = {
		.config = &config, .catalog = w.catalog, .model = sl_slice_str(model),
		.stack = w.no_stack ? NULL : &w.stack, .wish = &w.wish,
		.body_bytes = w.body_bytes, .max_output_tokens = w.max_output, .choices = 1,
		.explain = w.explain, .context = &w, .serves = serves, .allows = allows,
		.accepts_any = serves, .prompt = prompt, .figures = figures, .sticky = sticky,
		.count = w.has_counter ? count : NULL,
	};

	return sl_plan_make(&query, &w.arena, &w.plan, &w.fault);
}

/* "0 2 1": the providers of the plan in order. */
static void
expect(const char *wanted)
{
	char got[2 * SL_PLAN_TARGETS_MAX + 1] = "";

	for (size_t i = 0; i < w.plan.count; i++) {
		char one[3] = { (char)('0' + (int)w.plan.targets[i].provider),
			        i + 1 < w.plan.count ? ' ' : '\0' };

		strcat(got, one);
	}
	assert_string_equal(got, wanted);
}

static const char *
why(size_t provider)
{
	for (size_t i = 0; i < w.plan.drop_count; i++)
		if (w.plan.drops[i].provider == provider)
			return w.plan.drops[i].reason;
	return "";
}

static int
set_up(void **state)
{
	struct sl_catalog_error error = { 0 };

	(void)state;
	memset(&w, 0, sizeof(w));
	sl_arena_init(&w.arena, 4096, 0);
	w.catalog = sl_catalog_parse(sl_slice_str(catalog_text), &w.arena, &error);
	w.stack = (struct sl_config_stack){ .slug = S("s"), .version = 2, .fallback = true,
		                            .objective = S("fixed") };
	w.prompt = (struct sl_prompt){ .text = { S("Zxqj vvkw qpzz wjjx") }, .text_count = 1,
		                       .size_bytes = 400, .turns = 1 };
	w.body_bytes = 500;
	w.max_output = 100;
	config.router_baseline = SL_SLICE_NONE;
	return w.catalog ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	sl_arena_release(&w.arena);
	return 0;
}

static void
boundaries_hold(void **state)
{
	struct sl_slice two[] = { S("p1"), S("p2") }, regions[] = { S("eu") },
	                listed[] = { S("p0/m") }, able[] = { S("json_schema"), S("image") };

	(void)state;
	assert_true(make("auto"));
	expect("0 1 2 3");
	w.stack.allowed_providers = (struct sl_config_strings){ two, 2 };
	assert_true(make("auto"));
	expect("1 2");
	assert_string_equal(why(0), "provider not among the stack's allowed_providers");
	w.stack.regions = (struct sl_config_strings){ regions, 1 };
	assert_true(make("pool"));
	expect("2");
	w.stack = (struct sl_config_stack){ .slug = S("s"), .fallback = true,
		                            .objective = S("fixed"),
		                            .blocked_models = { listed, 1 } };
	assert_true(make("auto"));
	expect("1 2 3");
	w.stack.requires = (struct sl_config_strings){ able, 2 };
	assert_true(make("auto"));
	expect("1 2");
	assert_string_equal(why(3), "lacks what the stack requires");
	w.stack.blocked_providers = (struct sl_config_strings){ two, 2 };
	assert_false(make("auto"));
	assert_int_equal(w.fault.kind, SL_FAULT_POLICY);
	assert_true(sl_slice_is(w.fault.code, "routing_policy_blocked"));
}

static void
what_cannot_do_it_is_left_out(void **state)
{
	(void)state;
	w.no_stack = true;
	w.prompt.tools = true;
	assert_true(make("pool"));
	expect("0 1 2");
	assert_string_equal(why(3), "takes no tools");
	w.prompt.schema = true;
	assert_true(make("pool"));
	expect("1 2");
	w.prompt = (struct sl_prompt){ .size_bytes = 400000, .turns = 1 };
	assert_true(make("pool"));
	expect("1 2 3");
	assert_string_equal(why(0), "context window too small");
	w.prompt.size_bytes = 2000000;
	assert_true(make("pool"));
	expect("2");
	w.prompt.modalities = SL_MODALITY_AUDIO;
	/* Nobody can, as far as is known: then it is for the providers to say. */
	assert_true(make("pool"));
	expect("0 1 2 3");
	assert_int_equal(w.plan.drop_count, 0);
}

static void
objectives_order(void **state)
{
	(void)state;
	/* An unknown prompt: the middle tier passes for standard, the large for high. */
	w.wish.cost_mode = SL_OBJECTIVE_LOWEST_PASSABLE;
	w.wish.quality = SL_QUALITY_DRAFT;
	assert_true(make("auto"));
	assert_int_equal(w.plan.targets[0].provider, 0);
	w.wish.quality = SL_QUALITY_STANDARD;
	assert_true(make("auto"));
	assert_int_equal(w.plan.targets[0].provider, 1);
	w.wish.quality = SL_QUALITY_HIGH;
	assert_true(make("auto"));
	assert_int_equal(w.plan.targets[0].provider, 2);
	assert_false(w.plan.targets[w.plan.count - 1].passes);
	w.wish.cost_mode = SL_OBJECTIVE_PREMIUM;
	w.wish.quality = SL_QUALITY_DRAFT;
	assert_true(make("auto"));
	assert_int_equal(w.plan.targets[0].provider, 2);
	w.wish.cost_mode = SL_OBJECTIVE_FASTEST_PASSABLE;
	w.latency_us[0] = 900;
	w.latency_us[1] = 300;
	w.latency_us[2] = 500;
	assert_true(make("auto"));
	expect("1 2 0 3");
	w.wish.cost_mode = SL_OBJECTIVE_LOWEST_PASSABLE;
	w.wish.latency_slo_ms = 1;
	w.latency_us[0] = 5000;
	assert_true(make("auto"));
	/* The cheapest is too slow: it comes after those that are not. */
	assert_int_equal(w.plan.targets[0].provider, 1);
	w.wish = (struct sl_wish){ .cost_mode = SL_OBJECTIVE_FIXED };
	assert_true(make("auto"));
	expect("0 1 2 3");
	assert_string_equal(w.plan.targets[0].reason, "below the quality asked for");
}

static void
costs_and_baseline(void **state)
{
	(void)state;
	w.explain = true;
	w.no_stack = true;
	assert_true(make("pool"));
	assert_true(w.plan.judged && w.plan.targets[0].cost.known);
	for (size_t i = 0; i < 3; i++) {
		const struct sl_cost *cost = &w.plan.targets[i].cost;

		assert_true(cost->low_nanousd < cost->expected_nanousd);
		assert_true(cost->expected_nanousd < cost->high_nanousd);
	}
	assert_false(w.plan.targets[3].cost.known);
	assert_int_equal(w.plan.baseline.expected_nanousd,
	                 w.plan.targets[2].cost.expected_nanousd);
	config.router_baseline = SL_SLICE("p1/m");
	assert_true(make("pool"));
	assert_int_equal(w.plan.baseline.expected_nanousd,
	                 w.plan.targets[1].cost.expected_nanousd);
	w.no_stack = false;
	w.stack.max_cost_nanousd = w.plan.targets[0].cost.expected_nanousd;
	assert_true(make("pool"));
	expect("0");
	assert_string_equal(why(3), "its cost is unknown, and the stack sets a limit");
	w.stack.max_cost_nanousd = 1;
	assert_false(make("pool"));
	assert_int_equal(w.fault.kind, SL_FAULT_POLICY);
}

static void
conversations_only_rise(void **state)
{
	(void)state;
	w.no_stack = true;
	w.sticky = "p2";
	assert_true(make("pool"));
	expect("2 0 1 3");
	assert_string_equal(w.plan.targets[0].reason, "holds the conversation's prompt cache");
	/* A harder turn goes up, whatever cache lies below. */
	w.sticky = "p0";
	w.wish.cost_mode = SL_OBJECTIVE_PREMIUM;
	assert_true(make("pool"));
	assert_int_equal(w.plan.targets[0].provider, 2);
}

static void
fallback_off_leaves_one(void **state)
{
	(void)state;
	w.wish.fallback = SL_NO;
	assert_true(make("pool"));
	expect("0");
	assert_string_equal(why(3), "fallback is off");
}

/* --- the simulation ------------------------------------------------------------------- */

static uint64_t
next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 33;
}

/* Twenty thousand requests, a millisecond apart, at most three attempts each, on four
 * targets of which each is down a fifth of the time in spells; never all at once. */
static void
thousands_with_failing_targets(void **state)
{
	uint64_t seed = 42;
	unsigned lost = 0, attempts = 0, wasted = 0, requests = 20000;

	(void)state;
	w.no_stack = true;
	w.use_health = true;
	for (unsigned n = 0; n < requests; n++) {
		unsigned spell = n / 500 % 5; /* 4: all are well */
		bool answered = false;

		w.now_us += 1000;
		models[0].strategy = n % 2 ? SL_SLICE("round_robin") : SL_SLICE("weighted");
		assert_true(make("pool"));
		assert_true(w.plan.count >= 1);
		for (size_t i = 0; i < w.plan.count && i < 3 && !answered; i++) {
			size_t at = w.plan.targets[i].provider;
			struct sl_health_ticket ticket;
			bool down = at == spell;

			if (!sl_health_begin(&w.health[at], false, i + 1 == w.plan.count, w.now_us,
			                     &ticket))
				continue;
			attempts++;
			wasted += down;
			answered = !down;
			if (answered)
				sl_health_content(&w.health[at], &ticket, w.now_us);
			sl_health_end(&w.health[at], &ticket,
			              down ? SL_VERDICT_FAILED : SL_VERDICT_OK, 0, w.now_us,
			              next_random(&seed));
			assert_int_equal(w.health[at].in_flight, 0);
		}
		lost += !answered;
	}
	models[0].strategy = SL_SLICE("priority");
	/* Nobody notices, and the breaker keeps the waste below one in a hundred. */
	assert_int_equal(lost, 0);
	assert_int_equal(attempts, requests + wasted);
	assert_true(wasted > 0 && wasted * 100 < requests);
}

/* Where costs are compared the models' own tokenizers are asked, but not about long texts. */
static void
costs_go_by_counted_tokens(void **state)
{
	(void)state;
	w.has_counter = true;
	w.stack.objective = SL_SLICE("lowest_passable");
	w.stack.quality = SL_SLICE("draft");
	w.max_output = 1;
	assert_true(make("auto"));
	assert_true(w.plan.counted && w.counts > 0);
	for (size_t i = 0; i < w.plan.count; i++)
		assert_int_equal(w.plan.targets[i].tokens.input,
		                 w.plan.targets[i].provider == 0 ? 10000 : 1000);
	/* One target, nothing to compare: nothing is read. */
	w.counts = 0;
	assert_true(make("p0/m"));
	assert_false(w.plan.counted);
	assert_int_equal(w.counts, 0);
	w.body_bytes = 64 * 1024;
	assert_true(make("auto"));
	assert_false(w.plan.counted);
	w.explain = true;
	assert_true(make("auto"));
	assert_true(w.plan.counted);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(boundaries_hold),
		TEST(what_cannot_do_it_is_left_out),
		TEST(objectives_order),
		TEST(costs_and_baseline),
		TEST(costs_go_by_counted_tokens),
		TEST(conversations_only_rise),
		TEST(fallback_off_leaves_one),
		TEST(thousands_with_failing_targets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

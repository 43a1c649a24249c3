/* policy_tier_test.c - the bucket's tier first, then higher ones, then lower; and
 * a plan reads the prompt only when it needs to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "routing/plan.h"
#include "routing/policy.h"

#define S(text) { text, sizeof(text) - 1 }

static struct sl_config_provider providers[] = {
	{ .name = S("p"), .kind = S("openai"), .enabled = true },
};
static struct sl_config_deployment tiered[] = {
	{ .id = S("a"), .provider = S("p"), .model = S("a"), .tier = S("complex") },
	{ .id = S("b"), .provider = S("p"), .model = S("b"), .tier = S("simple") },
	{ .id = S("c"), .provider = S("p"), .model = S("c"), .tier = S("medium") },
	{ .id = S("d"), .provider = S("p"), .model = S("d"), .tier = S("simple") },
};
static struct sl_slice to_other[] = { S("other") };
static struct sl_config_model models[] = {
	{ .name = S("tiers"), .strategy = S("tier"), .deployments = tiered,
	  .deployment_count = 4, .fallbacks = { to_other, 1 } },
	{ .name = S("other"), .strategy = S("tier"), .deployments = tiered,
	  .deployment_count = 2 },
	{ .name = S("first"), .strategy = S("priority"), .deployments = tiered,
	  .deployment_count = 4 },
};
static const struct sl_config config = {
	.providers = providers, .provider_count = 1, .models = models, .model_count = 3,
	.router_auto = S("tiers"),
};

struct world {
	struct sl_arena    arena;
	struct sl_catalog *catalog;
	const char        *text; /* NULL: the request holds no prompt */
	unsigned           asked;
};

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
prompt_of(void *context, struct sl_prompt *out)
{
	struct world *world = context;

	world->asked++;
	if (!world->text)
		return false;
	*out = (struct sl_prompt){ .text = { sl_slice_str(world->text) }, .text_count = 1 };
	return true;
}

static void
plan(struct world *world, const char *model, struct sl_plan *out)
{
	const struct sl_plan_query query = {
		.config = &config, .catalog = world->catalog, .model = sl_slice_str(model),
		.context = world, .serves = serves, .allows = allows, .accepts_any = serves,
		.prompt = prompt_of,
	};
	struct sl_fault fault;

	world->asked = 0;
	assert_true(sl_plan_make(&query, &world->arena, out, &fault));
}

static void
order_is(const struct sl_candidate *list, const char *expected)
{
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(list[i].deployment->id.ptr[0], expected[i]);
}

static void
higher_tiers_come_before_lower_ones(void **state)
{
	static const char *const orders[SL_BUCKETS] = { "bdca", "cabd", "acbd" };
	struct sl_candidate list[4];

	(void)state;
	for (size_t bucket = 0; bucket < SL_BUCKETS; bucket++) {
		const struct sl_policy_view view = { .bucket = (enum sl_bucket)bucket };

		for (size_t i = 0; i < 4; i++)
			list[i] = (struct sl_candidate){ .deployment = &tiered[i], .index = i };
		sl_policy_tier.rank(&view, list, 4);
		order_is(list, orders[bucket]);
	}
}

static void
the_prompt_decides(void **state)
{
	struct world *world = *state;
	struct sl_plan out;

	world->text = "Hello, how are you?";
	plan(world, "tiers", &out);
	assert_true(out.classified);
	assert_int_equal(out.class.bucket, SL_BUCKET_SIMPLE);
	assert_true(sl_slice_is(out.targets[0].deployment, "b"));
	assert_int_equal(world->asked, 1);
	plan(world, "auto", &out);
	assert_true(sl_slice_is(out.targets[0].deployment, "b"));
	world->text = "zxqj vvkw qpzz wjjx";
	plan(world, "tiers", &out);
	assert_true(out.classified && out.class.unsure);
	assert_true(sl_slice_is(out.targets[0].deployment, "c"));
}

static void
no_prompt_no_class(void **state)
{
	struct world *world = *state;
	struct sl_plan out;

	world->text = NULL;
	plan(world, "tiers", &out);
	assert_false(out.classified);
	assert_true(sl_slice_is(out.targets[0].deployment, "c"));
	world->text = "Hello";
	plan(world, "first", &out);
	assert_false(out.classified);
	assert_int_equal(world->asked, 0);
}

static int
setup(void **state)
{
	static struct world world;
	struct sl_catalog_error error;

	world = (struct world){ .text = NULL };
	sl_arena_init(&world.arena, 4096, 0);
	world.catalog = sl_catalog_parse(sl_catalog_builtin_text(), &world.arena, &error);
	*state = &world;
	return world.catalog ? 0 : -1;
}

static int
teardown(void **state)
{
	sl_arena_release(&((struct world *)*state)->arena);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(higher_tiers_come_before_lower_ones),
		cmocka_unit_test_setup_teardown(the_prompt_decides, setup, teardown),
		cmocka_unit_test_setup_teardown(no_prompt_no_class, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

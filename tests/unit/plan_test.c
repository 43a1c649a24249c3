/* plan_test.c - names resolve to the right targets in the right order, and a
 * refusal says what was missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "routing/plan.h"
#include "routing/plan_names.h"

#define S(text) { text, sizeof(text) - 1 }

static struct sl_config_provider providers[] = {
	{ .name = S("openai"), .kind = S("openai"), .enabled = true },
	{ .name = S("anthropic"), .kind = S("anthropic"), .enabled = true },
	{ .name = S("local"), .kind = S("vllm"), .enabled = true },
	{ .name = S("dark"), .kind = S("openai"), .enabled = false },
};
static struct sl_config_deployment weighted[] = {
	{ .id = S("mix/openai/a"), .provider = S("openai"), .model = S("a"), .weight = 3 },
	{ .id = S("mix/local/b"), .provider = S("local"), .model = S("b"), .weight = 1 },
};
static struct sl_config_deployment ranked[] = {
	{ .id = S("rank/local/b"), .provider = S("local"), .model = S("b"), .priority = 2 },
	{ .id = S("rank/openai/a"), .provider = S("openai"), .model = S("a"), .priority = 1 },
};
static struct sl_config_deployment claude[] = {
	{ .id = S("c/anthropic/x"), .provider = S("anthropic"), .model = S("x"), .weight = 1 },
};
static struct sl_slice to_rank[] = { S("rank") };
static struct sl_slice to_ring[] = { S("ring") };
static struct sl_config_deployment same[] = {
	{ .id = S("s/anthropic/x"), .provider = S("anthropic"), .model = S("x"), .weight = 1 },
};
static struct sl_slice to_claude[] = { S("claude") };
static struct sl_config_model models[] = {
	{ .name = S("mix"), .strategy = S("weighted"), .deployments = weighted,
	  .deployment_count = 2, .fallbacks = { to_rank, 1 } },
	{ .name = S("rank"), .strategy = S("priority"), .deployments = ranked,
	  .deployment_count = 2 },
	{ .name = S("turns"), .strategy = S("round_robin"), .deployments = weighted,
	  .deployment_count = 2 },
	{ .name = S("claude"), .strategy = S("weighted"), .deployments = claude,
	  .deployment_count = 1 },
	{ .name = S("ring"), .strategy = S("weighted"), .deployments = claude,
	  .deployment_count = 1, .fallbacks = { to_ring, 1 } },
	/* One place under two ids, of which either may be switched off. */
	{ .name = S("same"), .strategy = S("weighted"), .deployments = same,
	  .deployment_count = 1, .fallbacks = { to_claude, 1 } },
};
static const struct sl_config config = {
	.providers = providers, .provider_count = 4, .models = models, .model_count = 6,
	.router_auto = S("rank"),
};

struct world {
	struct sl_arena    arena;
	struct sl_catalog *catalog;
	const char        *allowed; /* NULL: every name */
	size_t             mute;    /* provider that does not speak the shape */
	uint64_t           chance, turn;
	bool               sick[4];  /* providers whose breaker is open */
	const char        *disabled; /* a deployment */
	const char        *requested;
	int64_t            room;     /* of budgets */
	int64_t            bound[4]; /* of a request at each provider; -1: none */
	int                asked;    /* for the room */
	bool               explain, no_fallback;
	struct sl_plan_names *names; /* NULL: nothing is remembered */
	uint64_t           serial;
	const struct sl_config *config; /* NULL: the usual one */
};

static bool
serves(void *context, size_t provider)
{
	return provider != ((struct world *)context)->mute;
}

static bool
allows(void *context, size_t provider, struct sl_slice model)
{
	const struct world *world = context;
	char target[64];

	snprintf(target, sizeof(target), "%.*s/%.*s", SL_ARG(config.providers[provider].name),
	         SL_ARG(model));
	return !world->allowed || strcmp(world->allowed, world->requested) == 0 ||
	       strcmp(world->allowed, target) == 0;
}

static bool
accepts_any(void *context, size_t provider)
{
	(void)context;
	(void)provider;
	return false;
}

static void
figures(void *context, size_t provider, struct sl_slice model, struct sl_health_figures *out)
{
	(void)model;
	out->ejected = ((struct world *)context)->sick[provider];
}

static bool
disabled(void *context, size_t provider, struct sl_slice model, struct sl_slice deployment)
{
	const char *id = ((struct world *)context)->disabled;

	(void)provider;
	return id && sl_slice_is(deployment.len > 0 ? deployment : model, id);
}

static int64_t
room(void *context, const struct sl_plan *plan)
{
	struct world *world = context;

	(void)plan;
	world->asked++;
	return world->room;
}

static bool
bound(void *context, const struct sl_plan_target *target, int64_t *nanousd)
{
	*nanousd = ((struct world *)context)->bound[target->provider];
	return *nanousd >= 0;
}

static bool
plan(struct world *world, const char *model, struct sl_plan *out, struct sl_fault *fault)
{
	const struct sl_wish wish = { .fallback = world->no_fallback ? SL_NO : SL_UNSET };
	const struct sl_plan_query query = {
		.config = world->config ? world->config : &config, .catalog = world->catalog,
		.model = sl_slice_str(model), .names = world->names, .serial = world->serial,
		.chance = world->chance, .turn = world->turn, .context = world, .serves = serves,
		.allows = allows, .accepts_any = accepts_any, .figures = figures,
		.disabled = disabled, .room = room, .bound = bound, .wish = &wish,
		.explain = world->explain, .choices = 1, .max_output_tokens = -1,
	};

	world->requested = model;
	return sl_plan_make(&query, &world->arena, out, fault);
}

static int
setup(void **state)
{
	static struct world world;
	struct sl_catalog_error error;

	world = (struct world){ .mute = SIZE_MAX, .room = -1 };
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

static void
weights_hold_over_many_draws(void **state)
{
	struct world *world = *state;
	struct sl_plan out;
	struct sl_fault fault;
	int first_is_openai = 0;

	for (uint64_t i = 0; i < 4000; i++) {
		world->chance = i;
		assert_true(plan(world, "mix", &out, &fault));
		/* The fallback alias names the same targets: nothing is tried twice. */
		assert_int_equal(out.count, 2);
		first_is_openai += out.targets[0].provider == 0;
	}
	assert_int_equal(first_is_openai, 3000);
}

static void
priority_and_turns(void **state)
{
	struct world *world = *state;
	struct sl_plan out;
	struct sl_fault fault;

	assert_true(plan(world, "rank", &out, &fault));
	assert_int_equal(out.targets[0].provider, 0);
	assert_int_equal(out.targets[1].provider, 2);
	assert_true(plan(world, "auto", &out, &fault));
	assert_true(sl_slice_is(out.targets[0].deployment, "rank/openai/a"));
	for (world->turn = 0; world->turn < 6; world->turn++) {
		assert_true(plan(world, "turns", &out, &fault));
		assert_int_equal(out.targets[0].provider, world->turn % 2 ? 2 : 0);
	}
}

static void
names_of_providers_and_of_the_catalogue(void **state)
{
	struct world *world = *state;
	struct sl_plan out;
	struct sl_fault fault;

	assert_true(plan(world, "local/some/model:8b", &out, &fault));
	assert_int_equal(out.targets[0].provider, 2);
	assert_true(sl_slice_is(out.targets[0].model, "some/model:8b"));
	assert_true(plan(world, "gpt-4o-mini", &out, &fault));
	assert_int_equal(out.count, 1);
	assert_int_equal(out.targets[0].provider, 0);
	assert_non_null(out.targets[0].card);
}

static void
tuned_models_are_where_their_model_is(void **state)
{
	static const char *const names[] = { "ft:gpt-4o-mini:team::id",
		                             "ft:gpt-4o-mini-2024-07-18:team::id" };
	struct world *world = *state;
	struct sl_plan out;
	struct sl_fault fault;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_true(plan(world, names[i], &out, &fault));
		assert_int_equal(out.targets[0].provider, 0);
		assert_true(sl_slice_is(out.targets[0].model, names[i]));
		assert_null(out.targets[0].card); /* unpriced: tuned ones cost more */
	}
	assert_false(plan(world, "ft:", &out, &fault));
	assert_false(plan(world, "ft:other:team::id", &out, &fault));
	assert_false(plan(world, "nobody/gpt-4o-mini", &out, &fault));
	assert_true(sl_slice_search(fault.message, SL_SLICE("provider 'nobody'")) > 0);
}

static void
refusals_say_what_was_missing(void **state)
{
	struct world *world = *state;
	struct sl_plan out;
	struct sl_fault fault;

	assert_false(plan(world, "no-such-model", &out, &fault));
	assert_int_equal(fault.kind, SL_FAULT_NO_ROUTE);
	assert_true(sl_slice_search(fault.message, SL_SLICE("no-such-model")) > 0);
	assert_false(plan(world, "", &out, &fault));
	assert_int_equal(fault.kind, SL_FAULT_BAD_REQUEST);
	assert_false(plan(world, "dark/gpt-4o", &out, &fault));
	assert_int_equal(fault.kind, SL_FAULT_NO_ROUTE);
	world->mute = 1;
	assert_false(plan(world, "claude", &out, &fault));
	assert_int_equal(fault.kind, SL_FAULT_UNSUPPORTED);
	world->mute = SIZE_MAX;
	world->allowed = "other";
	assert_false(plan(world, "claude", &out, &fault));
	assert_int_equal(fault.kind, SL_FAULT_MODEL_DENIED);
	/* A key may name the target instead of the alias. */
	world->allowed = "openai/a";
	assert_true(plan(world, "mix", &out, &fault));
	assert_int_equal(out.count, 1);
}

static void
a_ring_of_fallbacks_ends(void **state)
{
	struct sl_plan out;
	struct sl_fault fault;

	assert_true(plan(*state, "ring", &out, &fault));
	assert_int_equal(out.count, 1);
}

static void
the_sick_are_dropped_while_another_is_well(void **state)
{
	struct world *world = *state;
	struct sl_plan out;
	struct sl_fault fault;

	for (world->chance = 0; world->chance < 50; world->chance++) {
		world->sick[0] = true;
		world->sick[2] = false;
		assert_true(plan(world, "mix", &out, &fault));
		assert_int_equal(out.count, 1);
		assert_int_equal(out.targets[0].provider, 2);
		assert_int_equal(out.drop_count, 1);
		assert_int_equal(out.drops[0].provider, 0);
		assert_string_equal(out.drops[0].reason, "breaker open or cooling down");
		/* All are kept when there is nobody else, in the policy's order. */
		world->sick[2] = true;
		assert_true(plan(world, "rank", &out, &fault));
		assert_int_equal(out.count, 2);
		assert_int_equal(out.targets[0].provider, 0);
		assert_int_equal(out.drop_count, 0);
		assert_true(plan(world, "openai/gpt-4o", &out, &fault));
		assert_int_equal(out.count, 1);
	}
}

static void
the_disabled_are_not_used_at_all(void **state)
{
	struct world *world = *state;
	struct sl_plan out;
	struct sl_fault fault;

	world->disabled = "turns-is-not-an-id";
	assert_true(plan(world, "turns", &out, &fault));
	assert_int_equal(out.count, 2);
	world->disabled = "rank/openai/a";
	assert_true(plan(world, "rank", &out, &fault));
	assert_int_equal(out.count, 1);
	assert_int_equal(out.targets[0].provider, 2);
	assert_string_equal(out.drops[0].reason, "disabled by an operator");
	world->disabled = "c/anthropic/x";
	assert_false(plan(world, "claude", &out, &fault));
	assert_int_equal(fault.kind, SL_FAULT_UNAVAILABLE);
	world->disabled = "gpt-4o";
	assert_false(plan(world, "openai/gpt-4o", &out, &fault));
	assert_int_equal(fault.kind, SL_FAULT_UNAVAILABLE);
}

static void
what_budgets_cannot_pay_is_not_tried(void **state)
{
	struct world *world = *state;
	struct sl_plan out;
	struct sl_fault fault;

	world->bound[0] = 101;
	world->bound[2] = 100;
	/* Nothing limits it. */
	assert_true(plan(world, "rank", &out, &fault));
	assert_int_equal(out.count, 2);
	assert_false(out.targets[0].bounded);
	world->room = 101;
	assert_true(plan(world, "rank", &out, &fault));
	assert_int_equal(out.count, 2);
	assert_int_equal(out.targets[0].provider, 0);
	assert_int_equal(out.targets[0].bound_nanousd, 101);
	world->room = 100;
	for (int i = 0; i < 2; i++) {
		/* Before the plan is cut to its first. */
		world->no_fallback = i;
		assert_true(plan(world, "rank", &out, &fault));
		assert_int_equal(out.count, 1);
		assert_int_equal(out.targets[0].provider, 2);
		assert_int_equal(out.drop_count, 1);
		assert_int_equal(out.drops[0].bound_nanousd, 101);
		assert_string_equal(out.drops[0].reason, "budget: it may cost more than is left");
	}
	world->no_fallback = false;
	/* The sick that can be paid rather than the well that cannot. */
	world->sick[2] = true;
	assert_true(plan(world, "rank", &out, &fault));
	assert_int_equal(out.count, 1);
	assert_int_equal(out.targets[0].provider, 2);
	world->sick[2] = false;
	/* The hold refuses: all stay, in their order. */
	for (world->room = 0; world->room < 100; world->room += 99) {
		assert_true(plan(world, "rank", &out, &fault));
		assert_int_equal(out.count, 2);
		assert_int_equal(out.targets[0].provider, 0);
		assert_int_equal(out.drop_count, 0);
	}
	world->bound[0] = -1;
	world->room = 100;
	assert_true(plan(world, "rank", &out, &fault));
	assert_int_equal(out.count, 1);
	assert_string_equal(out.drops[0].reason,
	                    "budget: the most that it may cost is not known");
}

static void
the_room_is_asked_once_and_where_there_is_a_choice(void **state)
{
	struct world *world = *state;
	struct sl_plan out;
	struct sl_fault fault;

	world->room = 1;
	world->bound[0] = 2;
	assert_true(plan(world, "openai/gpt-4o", &out, &fault));
	assert_int_equal(world->asked, 0);
	assert_true(plan(world, "mix", &out, &fault));
	assert_int_equal(world->asked, 1);
	world->explain = true;
	assert_true(plan(world, "openai/gpt-4o", &out, &fault));
	assert_int_equal(world->asked, 2);
	assert_true(out.targets[0].bounded && out.count == 1);
}

static void
assert_same_target(const struct sl_plan_target *a, const struct sl_plan_target *b)
{
	assert_int_equal(a->provider, b->provider);
	assert_true(sl_slice_eq(a->model, b->model));
	assert_true(sl_slice_eq(a->deployment, b->deployment));
	assert_true(sl_slice_eq(a->name, b->name));
	assert_ptr_equal(a->card, b->card);
	assert_string_equal(a->reason, b->reason);
	assert_int_equal(a->tier, b->tier);
	assert_int_equal(a->looked, b->looked);
	assert_int_equal(a->ejected, b->ejected);
}

/* With a memory or without one a plan is the same, and so is a refusal. */
static void
assert_remembered_right(struct world *world, struct sl_plan_names *names, const char *name)
{
	/* Names are the request's: none of them stands where another did. */
	char *copy = strdup(name);
	struct sl_plan expected, got;
	struct sl_fault fault, got_fault;
	bool planned;

	world->names = NULL;
	planned = plan(world, name, &expected, &fault);
	world->names = names;
	assert_int_equal(plan(world, copy, &got, &got_fault), planned);
	assert_int_equal(got.count, expected.count);
	assert_int_equal(got.dropped, expected.dropped);
	assert_int_equal(got.drop_count, expected.drop_count);
	assert_int_equal(got.from_alias, expected.from_alias);
	for (size_t i = 0; i < got.count; i++)
		assert_same_target(&got.targets[i], &expected.targets[i]);
	for (size_t i = 0; i < got.drop_count; i++)
		assert_same_target(&got.drops[i], &expected.drops[i]);
	if (!planned) {
		assert_int_equal(got_fault.kind, fault.kind);
		assert_true(sl_slice_eq(got_fault.message, fault.message));
	} else {
		/* What a plan says of a model lives as long as the request does. */
		assert_true(got.targets[0].deployment.len > 0 ||
		            (got.targets[0].model.ptr >= copy &&
		             got.targets[0].model.ptr < copy + strlen(copy)));
	}
	free(copy);
}

static void
what_is_remembered_changes_no_plan(void **state)
{
	static const char *const names[] = {
		"openai/gpt-4o", "local/some/model:8b", "gpt-4o-mini", "claude", "mix", "rank",
		"turns", "ring", "same", "auto", "dark/gpt-4o", "nobody/x", "no-such-model", "",
		"openai/a", "ft:gpt-4o-mini:team::id", "local/",
		"local/a-name-that-is-much-too-long-to-be-remembered-by-anybody-who-is-short-of-room",
	};
	static const char *const allowed[] = { NULL, "openai/a", "claude", "other" };
	static const char *const disabled[] = { NULL, "c/anthropic/x", "gpt-4o" };
	static struct sl_config_provider others[4];
	static struct sl_plan_names memory;
	struct sl_config other = config;
	struct world *world = *state;

	for (size_t i = 0; i < 4; i++)
		others[i] = providers[3 - i];
	other.providers = others;
	for (unsigned round = 0; round < 4 * 3 * 3 * 2 * 2 * 2 * 2; round++) {
		unsigned rest = round;

		world->allowed = allowed[rest % 4];
		world->disabled = disabled[(rest /= 4) % 3];
		world->mute = (rest /= 3) % 3 ? rest % 3 : SIZE_MAX;
		world->sick[0] = (rest /= 3) % 2;
		world->explain = (rest /= 2) % 2;
		world->no_fallback = (rest /= 2) % 2;
		/* Names of a configuration say nothing of another one. */
		world->serial = 1 + (rest /= 2) % 2;
		world->config = world->serial == 1 ? &config : &other;
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			assert_remembered_right(world, &memory, names[i]);
			assert_remembered_right(world, &memory, names[i]);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_remembered_changes_no_plan, setup, teardown),
		cmocka_unit_test_setup_teardown(weights_hold_over_many_draws, setup, teardown),
		cmocka_unit_test_setup_teardown(priority_and_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(tuned_models_are_where_their_model_is, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(names_of_providers_and_of_the_catalogue, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(refusals_say_what_was_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_ring_of_fallbacks_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(the_sick_are_dropped_while_another_is_well, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(the_disabled_are_not_used_at_all, setup, teardown),
		cmocka_unit_test_setup_teardown(what_budgets_cannot_pay_is_not_tried, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(the_room_is_asked_once_and_where_there_is_a_choice,
		                                setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

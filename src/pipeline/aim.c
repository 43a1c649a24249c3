/* aim.c - answer the plan's questions. */
#include "pipeline/aim.h"

#include "ledger/scopes.h"
#include "pipeline/ask.h"
#include "pipeline/bidding.h"
#include "pipeline/outlay.h"
#include "pipeline/sticky.h"

static bool
serves(void *context, size_t provider)
{
	const struct sl_aim *aim = context;

	return sl_lane_reaches(aim->world->upstreams[provider].kind, aim->shape,
	                       aim->selection && aim->selection->own_shape_only);
}

static bool
allows(void *context, size_t provider, struct sl_slice model)
{
	const struct sl_aim *aim = context;

	return sl_tenancy_allows(aim->tenancy, aim->model,
	                         aim->world->config->providers[provider].name, model);
}

static bool
allows_choice(void *context, struct sl_slice name, size_t provider, struct sl_slice model)
{
	const struct sl_aim *aim = context;

	return sl_tenancy_allows_choice(aim->tenancy, aim->model, name,
	                                aim->world->config->providers[provider].name, model);
}

static bool
accepts_any(void *context, size_t provider)
{
	const struct sl_aim *aim = context;

	return sl_slice_is(aim->world->upstreams[provider].config->kind, "mock");
}

static void
figures(void *context, size_t provider, struct sl_slice model, struct sl_health_figures *out)
{
	const struct sl_aim *aim = context;

	sl_board_figures(aim->board, aim->world->config->providers[provider].name, model,
	                 aim->steer->stream, aim->now_us, out);
}

static void *
place(void *context, size_t provider, struct sl_slice model)
{
	const struct sl_aim *aim = context;

	return sl_board_place(aim->board, aim->world->config->providers[provider].name, model);
}

static bool
disabled(void *context, size_t provider, struct sl_slice model, struct sl_slice deployment)
{
	const struct sl_aim *aim = context;
	struct sl_slice name = aim->world->config->providers[provider].name;

	if (sl_board_all_enabled(aim->board))
		return false;
	if (deployment.len == 0)
		deployment = sl_arena_join(aim->arena,
		                           (struct sl_slice[]){ name, SL_SLICE("/"), model }, 3);
	return sl_board_is_disabled(aim->board, deployment);
}

static bool
prompt(void *context, struct sl_prompt *out)
{
	const struct sl_aim *aim = context;

	if (!aim->shape->read_prompt)
		return false;
	aim->shape->read_prompt(aim->steer, aim->arena, out);
	return true;
}

static void
count(void *context, size_t provider, struct sl_slice model, int64_t *low, int64_t *tokens,
      int64_t *high)
{
	struct sl_aim *aim = context;
	const struct sl_token_family *family = sl_token_family_of(model);
	struct sl_tally **tally = &aim->tallies[family->encoding];
	struct sl_token_count counted;
	int64_t ratio = SL_TOKEN_RATIO_ONE;

	if (!*tally) {
		*tally = SL_ARENA_NEW(aim->arena, struct sl_tally);
		if (!*tally)
			return;
		sl_tally_init(*tally, family->encoding);
		sl_tally_request(*tally, aim->steer->input.body);
	}
	if (aim->corrections)
		ratio = sl_token_memory_ratio(aim->corrections,
		                              aim->world->config->providers[provider].name, model);
	counted = sl_tally_total(*tally, family, ratio);
	*low = counted.low;
	*tokens = counted.tokens;
	*high = counted.high;
}

static int64_t
room(void *context, const struct sl_plan *plan)
{
	const struct sl_aim *aim = context;
	struct sl_money_limits of_stack;
	struct sl_scopes scopes;

	sl_scopes_of_tenancy(aim->tenancy, &scopes);
	sl_scopes_add_stack(&scopes, plan->stack, &plan->stack_budget, &of_stack);
	return sl_scopes_room(&scopes, aim->money, aim->now_wall_ms);
}

/* At least so much is held for: what comes in, or with the target's name where that is
 * longer. What else an attempt puts in or a translation adds is not made yet. */
static int64_t
least_sent(const struct sl_aim *aim, const struct sl_upstream *upstream,
           const struct sl_plan_target *target)
{
	const struct sl_slice written = aim->steer->model;
	size_t bytes = aim->steer->input.body.len;

	if (sl_provider_serves(upstream->kind, aim->shape) && !upstream->config->from_route &&
	    !(upstream->kind->quirks & SL_QUIRK_MODEL_IN_PATH) && target->model.len > written.len)
		bytes += target->model.len - written.len;
	return (int64_t)bytes;
}

static bool
bound(void *context, const struct sl_plan_target *target, int64_t *nanousd)
{
	const struct sl_aim *aim = context;
	const struct sl_upstream *upstream = &aim->world->upstreams[target->provider];
	struct sl_extent extent = *sl_extent_once(aim->shape, aim->steer, aim->extent);
	struct sl_outlay outlay = { aim->shape, aim->steer, &extent,
		                    least_sent(aim, upstream, target), 0 };

	*nanousd = 0;
	if (sl_fields_may_be_callers(upstream))
		return true;
	/* No tool of a provider goes to another one. */
	if (!sl_provider_serves(upstream->kind, aim->shape))
		extent.paid_calls = 0;
	return sl_outlay_limit(&outlay, target->card, aim->world->config->limits.output_tokens,
	                       nanousd) == SL_BOUND_PROVEN;
}

static uint64_t
conversation_of(const struct sl_aim *aim, const struct sl_prompt *prompt_read)
{
	struct sl_slice tenant = aim->tenancy->key ? sl_key_id(aim->tenancy->key) : SL_SLICE_NONE;

	return sl_sticky_conversation(prompt_read->opening, tenant, aim->model);
}

/* The first turn has nothing to go back to. */
static bool
sticky(void *context, const struct sl_prompt *prompt_read, struct sl_slice *provider,
       struct sl_slice *model)
{
	const struct sl_aim *aim = context;
	char *room;

	if (!aim->sticky || prompt_read->turns < 2)
		return false;
	room = sl_arena_alloc(aim->arena, 2 * SL_STICKY_NAME_MAX);
	return room && sl_sticky_get(aim->sticky, conversation_of(aim, prompt_read), room, provider,
	                             room + SL_STICKY_NAME_MAX, model, aim->now_us);
}

/* --- which stack ------------------------------------------------------------------ */

static struct sl_slice
workspace_stack(const struct sl_config *config, struct sl_slice workspace)
{
	for (size_t i = 0; workspace.len > 0 && i < config->workspace_count; i++)
		if (sl_slice_eq(config->workspaces[i].slug, workspace))
			return config->workspaces[i].stack;
	return SL_SLICE_NONE;
}

/* The slug that was assigned to the caller, not chosen by it. */
static struct sl_slice
assigned_stack(const struct sl_aim *aim)
{
	const struct sl_tenancy *tenancy = aim->tenancy;

	if (!tenancy->key)
		return SL_SLICE_NONE;
	if (sl_key_policy(tenancy->key)->stack.len > 0)
		return sl_key_policy(tenancy->key)->stack;
	if (tenancy->workspace && sl_tenant_policy(tenancy->workspace)->stack.len > 0)
		return sl_tenant_policy(tenancy->workspace)->stack;
	return workspace_stack(aim->world->config, sl_tenancy_workspace(tenancy));
}

/* What stands where nobody names one; empty: none is needed. */
static struct sl_slice
default_stack(const struct sl_aim *aim)
{
	struct sl_slice slug = sl_stack_of_virtual(aim->model);

	for (size_t i = 0; i < aim->world->config->model_count; i++)
		if (sl_slice_eq(aim->world->config->models[i].name, aim->model))
			slug = SL_SLICE_NONE;
	if (aim->selection->wish.always_stack && slug.len == 0)
		return SL_SLICE(SL_STACK_DEFAULT);
	/* `auto` means router.auto, with its own strategy, where there is one. */
	if (!aim->selection->wish.always_stack && aim->world->config->router_auto.len > 0 &&
	    sl_slice_is(slug, SL_STACK_DEFAULT))
		return SL_SLICE_NONE;
	return slug;
}

/* Which one holds; *book has it, and is the caller's to unref where it is not NULL. */
static bool
find_stack(const struct sl_aim *aim, const struct sl_stack_book **book,
           const struct sl_config_stack **out, struct sl_fault *fault)
{
	struct sl_slice slug = aim->selection->wish.stack;
	bool chosen = slug.len > 0;

	*book = NULL;
	*out = NULL;
	if (!chosen)
		slug = assigned_stack(aim);
	if (slug.len == 0)
		slug = default_stack(aim);
	if (slug.len == 0)
		return true;
	*book = sl_stacks_ref(aim->stacks);
	*out = sl_stack_find(*book, aim->world->config, slug);
	if (*out)
		return true;
	sl_fault_set(fault, SL_FAULT_NO_ROUTE, sl_arena_printf(aim->arena, chosen
	             ? "There is no stack '%.*s' here, or none of its versions is active."
	             : "The stack '%.*s', to which this key or its workspace is bound, does not "
	               "exist or is not active. The gateway's operator must correct it.",
	             SL_ARG(slug)));
	fault->code = chosen ? SL_SLICE("routing_stack_not_found")
	                     : SL_SLICE("routing_stack_resolution_failed");
	fault->param = SL_SLICE("stack");
	return false;
}

/* --- the plan ------------------------------------------------------------------------ */

static bool
make_plan(struct sl_aim *aim, const struct sl_config_stack *stack, struct sl_plan *plan,
          struct sl_fault *fault)
{
	const struct sl_plan_query query = {
		.config = aim->world->config,
		.catalog = aim->world->catalog,
		.offers = &aim->world->offers,
		.model = aim->model,
		.provider = aim->selection->provider,
		.names = aim->names,
		.serial = aim->world->serial,
		.chance = aim->chance,
		.turn = aim->turn,
		.stack = stack,
		.wish = &aim->selection->wish,
		.body_bytes = (int64_t)aim->steer->input.body.len,
		.max_output_tokens = aim->steer->max_output_tokens,
		.choices = aim->steer->choices,
		.explain = aim->explain,
		.context = aim,
		.serves = serves,
		.allows = allows,
		.allows_choice = allows_choice,
		.accepts_any = accepts_any,
		.prompt = prompt,
		.figures = figures,
		.place = place,
		.count = aim->shape->read_prompt ? count : NULL,
		.disabled = disabled,
		.sticky = sticky,
		.room = aim->money && !aim->shape->free_of_charge ? room : NULL,
		.bound = bound,
	};
	bool made = sl_plan_make(&query, aim->arena, plan, fault);

	plan->stack = sl_arena_dup(aim->arena, plan->stack);
	return made;
}

bool
sl_aim_plan(struct sl_aim *aim, struct sl_plan *plan, struct sl_fault *fault)
{
	const struct sl_stack_book *book;
	const struct sl_config_stack *stack;
	bool made = false;

	if (find_stack(aim, &book, &stack, fault))
		made = make_plan(aim, stack, plan, fault);
	else
		*plan = (struct sl_plan){ .requested = aim->model };
	sl_stack_book_unref(book);
	return made;
}

/* What the plan says of the choice, for header fields and the record. */
static void
note_decision(struct sl_ask *ask, const struct sl_plan *plan)
{
	struct sl_decision *decision = &ask->decision;
	struct sl_arena *arena = &ask->exchange->arena;

	decision->stack = sl_arena_dup(arena, plan->stack);
	decision->stack_version = plan->stack_version;
	decision->explain = ask->head->selection.wish.explain == SL_YES;
	if (plan->classified) {
		decision->bucket = sl_bucket_name(plan->class.bucket);
		decision->score = plan->class.score;
		decision->category = sl_slice_str(plan->class.category);
		decision->confidence = plan->class.confidence;
		ask->record.category = decision->category;
	}
	ask->baseline_card = plan->baseline_card;
	decision->has_baseline = plan->baseline.known;
	decision->baseline_nanousd = plan->baseline.expected_nanousd;
	if (plan->count > 0 && plan->judged) {
		decision->reason = sl_slice_str(plan->targets[0].reason);
		decision->has_estimate = plan->targets[0].cost.known;
		decision->estimate_nanousd = plan->targets[0].cost.expected_nanousd;
	}
}

/* The end of the request's id is as random as anything. */
static uint64_t
chance_of(const struct sl_ask *ask)
{
	uint64_t chance;

	memcpy(&chance, ask->head->id + sizeof(ask->head->id) - sizeof(chance), sizeof(chance));
	return chance;
}

bool
sl_aim_ask(struct sl_ask *ask, struct sl_fault *fault)
{
	struct sl_ask_front *front = ask->front;
	struct sl_aim aim = {
		.world = ask->world,
		.board = ask->gateway->services.board,
		.tenancy = &ask->tenancy,
		.stacks = ask->gateway->services.stacks,
		.sticky = ask->gateway->services.sticky,
		.corrections = ask->gateway->services.corrections,
		.shape = ask->shape,
		.steer = &front->steer,
		.selection = &ask->head->selection,
		.model = ask->record.model_requested,
		.names = &ask->gateway->names,
		.chance = chance_of(ask),
		.turn = ask->gateway->turn++,
		.now_us = sl_loop_turn_ns(ask->gateway->loop) / 1000,
		.explain = ask->head->selection.wish.explain == SL_YES,
		.arena = &front->arena,
		/* Who is paid by an auction has bid within what is left. */
		.money = front->bidding || sl_spend_is_free(ask) ? NULL : ask->gateway->services.money,
		.extent = &front->extent,
		.now_wall_ms = sl_loop_wall_ms(ask->gateway->loop),
	};
	bool planned = sl_aim_plan(&aim, &front->plan, fault);

	if (planned && front->bidding)
		sl_bidding_apply_price(front->bidding, &front->plan, &ask->exchange->arena);
	note_decision(ask, &front->plan);
	/* Only where there was a choice the prompt was read. */
	if (front->plan.has_prompt && front->plan.count > 1)
		ask->conversation = conversation_of(&aim, &front->plan.prompt);
	return planned;
}

/* aim.c - answer the plan's questions. */
#include "pipeline/aim.h"

#include "pipeline/ask.h"

static bool
serves(void *context, size_t provider)
{
	const struct sl_aim *aim = context;

	return aim->shape == &sl_shape_proxy ||
	       sl_provider_serves(aim->world->upstreams[provider].kind, aim->shape);
}

static bool
allows(void *context, size_t provider, struct sl_slice model)
{
	const struct sl_aim *aim = context;

	return sl_tenancy_allows(aim->tenancy, aim->model,
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

bool
sl_aim_plan(const struct sl_aim *aim, struct sl_plan *plan, struct sl_fault *fault)
{
	struct sl_aim copy = *aim;
	const struct sl_plan_query query = {
		.config = aim->world->config,
		.catalog = aim->world->catalog,
		.model = aim->model,
		.provider = aim->selection->provider,
		.chance = sl_rand_u64(),
		.turn = aim->turn,
		.context = &copy,
		.serves = serves,
		.allows = allows,
		.accepts_any = accepts_any,
		.prompt = prompt,
		.figures = figures,
		.disabled = disabled,
	};

	return sl_plan_make(&query, aim->arena, plan, fault);
}

bool
sl_aim_ask(struct sl_ask *ask, struct sl_fault *fault)
{
	struct sl_ask_front *front = ask->front;
	const struct sl_aim aim = {
		.world = ask->world,
		.board = ask->gateway->services.board,
		.tenancy = &ask->tenancy,
		.shape = ask->shape,
		.steer = &front->steer,
		.selection = &ask->selection,
		.model = ask->record.model_requested,
		.turn = ask->gateway->turn++,
		.now_us = sl_loop_now_ns(ask->gateway->loop) / 1000,
		.arena = &front->arena,
	};

	if (!sl_aim_plan(&aim, &front->plan, fault))
		return false;
	if (front->plan.classified) {
		ask->decision.bucket = sl_bucket_name(front->plan.class.bucket);
		ask->decision.score = front->plan.class.score;
		ask->decision.category = sl_slice_str(front->plan.class.category);
		ask->decision.confidence = front->plan.class.confidence;
		ask->record.category = sl_slice_str(front->plan.class.category);
	}
	return true;
}

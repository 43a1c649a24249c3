/* count.c - a count of tokens that no provider gives. */
#include "pipeline/count.h"

#include "pipeline/ask.h"
#include "shapes/tally.h"

static struct sl_token_count
count(const struct sl_ask *ask, const struct sl_plan_target *target)
{
	const struct sl_token_family *family = sl_token_family_of(target->model);
	struct sl_token_memory *corrections = ask->gateway->services.corrections;
	struct sl_slice provider = ask->world->config->providers[target->provider].name;
	struct sl_tally tally;

	sl_tally_init(&tally, family->encoding);
	sl_tally_request(&tally, ask->front->steer.input.body);
	return sl_tally_total(&tally, family,
	                      corrections ? sl_token_memory_ratio(corrections, provider,
	                                                          target->model)
	                                  : SL_TOKEN_RATIO_ONE);
}

static enum sl_note_code
code_of(enum sl_token_method method)
{
	switch (method) {
	case SL_TOKENS_EXACT:
		return SL_NOTE_count_exact;
	case SL_TOKENS_CALIBRATED:
		return SL_NOTE_count_calibrated;
	case SL_TOKENS_BYTES:
		break;
	}
	return SL_NOTE_count_by_length;
}

static bool
refuse_estimate(struct sl_ask *ask, const struct sl_plan_target *target, enum sl_note_code code,
                struct sl_fault *fault)
{
	sl_fault_set(fault, SL_FAULT_UNSUPPORTED,
	             sl_arena_printf(&ask->exchange->arena, "Strict: the tokens would not be "
	                             "counted for %.*s/%.*s but %s (%s).",
	                             SL_ARG(ask->world->config->providers[target->provider].name),
	                             SL_ARG(target->model), sl_note_text(code),
	                             sl_note_name(code)));
	return false;
}

bool
sl_count_answer(struct sl_ask *ask, const struct sl_plan_target *target, struct sl_fault *fault)
{
	struct sl_arena *arena = &ask->exchange->arena;
	struct sl_decision *decision = &ask->decision;
	const struct sl_token_count counted = count(ask, target);
	enum sl_note_code code = code_of(counted.method);
	struct sl_completion answer = { .usage.source = SL_USAGE_COUNTED };
	struct sl_notes notes = { 0 };
	struct sl_codec_caller caller = { .arena = arena };
	struct sl_buf body;

	if (sl_note_is_drop(code) && sl_lane_is_strict(ask))
		return refuse_estimate(ask, target, code, fault);
	sl_note(&notes, code, NULL);
	decision->provider = ask->world->config->providers[target->provider].name;
	decision->model = sl_arena_dup(arena, target->model);
	decision->warnings = sl_notes_print(&notes, arena);
	decision->cost_known = decision->priced = true;
	decision->cost_nanousd = 0;
	ask->record.deployment = target->deployment;
	ask->record.translation = decision->warnings;
	sl_usage_set(&answer.usage, SL_USAGE_INPUT, counted.tokens);
	sl_buf_init(&body, 256);
	ask->shape->codec->write_whole(&answer, &caller, &body);
	sl_ask_answer(ask, 200, SL_SLICE("application/json"), sl_buf_slice(&body));
	sl_buf_release(&body);
	return true;
}

/* Of a model that is not there a 404 says so; of a path it cannot. */
static bool
lacks_operation(const struct sl_ask *ask)
{
	return ask->upstream_status == 405 || ask->upstream_status == 501 ||
	       (ask->upstream_status == 404 &&
	        sl_slice_search(sl_buf_slice(&ask->held), SL_SLICE("model")) < 0);
}

bool
sl_count_replaces(struct sl_ask *ask)
{
	const struct sl_plan_target *target = ask->front ? ask->front->target : NULL;
	struct sl_fault fault;

	if (!target || !ask->shape->codec || ask->shape->codec->task != SL_CODEC_COUNT ||
	    !lacks_operation(ask))
		return false;
	sl_ask_settle(ask);
	return sl_count_answer(ask, target, &fault);
}

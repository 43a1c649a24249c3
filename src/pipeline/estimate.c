/* estimate.c - tokens and costs of a request at up to ten targets.
 *
 *   {"request": body of any API, "compareTargets": [{"providerId", "modelId",
 *    "reasoningEffort"}], "options"}
 *
 * Each target is planned as if the request named it, so keys, stacks and switches mean
 * what they always mean; then its input is counted by its own tokenizer, its output
 * expected from what is asked, and both priced. Nothing is sent and nothing held. A
 * target that cannot be estimated says why and leaves the others alone.
 */
#include "pipeline/estimate.h"

#include <stdio.h>

#include "pipeline/aim.h"
#include "pipeline/ask.h"
#include "routing/classify.h"
#include "routing/cost.h"
#include "shapes/tally.h"

enum { TARGETS_MAX = 10, ANSWER_BYTES_MAX = 256 * 1024, PER_MINUTE = 30 };

/* --- the shape ---------------------------------------------------------------- */

static const struct sl_shape_path paths[] = { { NULL, NULL } };

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	struct sl_json_error error;

	*steer = (struct sl_steer){ .input = *input, .max_output_tokens = -1, .choices = 1 };
	if (sl_json_scan(input->body, NULL, NULL, 0, NULL, NULL, &error) == SL_OK)
		return true;
	sl_fault_set(fault, SL_FAULT_BAD_JSON,
	             sl_arena_printf(arena, "The body is not a JSON object: %s at byte %zu.",
	                             error.reason, error.offset));
	fault->code = SL_SLICE("estimate_invalid_json");
	return false;
}

static void
write_fault(const struct sl_fault *fault, struct sl_slice request_id, struct sl_buf *out)
{
	sl_shape_openai_chat.write_fault(fault, request_id, out);
}

const struct sl_shape_ops sl_shape_estimate = {
	.name = "estimate",
	.family = "openai",
	.operation = "estimate",
	.paths = paths,
	.read_request = read_request,
	.write_fault = write_fault,
};

bool
sl_estimate_owns(struct sl_slice path)
{
	return sl_slice_is(path, "/v1/estimate");
}

/* --- reasoning ------------------------------------------------------------------ */

/* Orders of magnitude, as the answer's assumptions say. */
static const struct effort {
	const char *name;
	int64_t     tokens;
} efforts[] = {
	{ "none", 0 }, { "minimal", 64 }, { "low", 512 }, { "medium", 2048 }, { "high", 8192 },
	{ "xhigh", 16384 },
};

static const struct effort *
find_effort(struct sl_json value)
{
	for (size_t i = 0; i < sizeof(efforts) / sizeof(efforts[0]); i++)
		if (sl_json_is(value, efforts[i].name))
			return &efforts[i];
	return NULL;
}

/* --- what is asked ------------------------------------------------------------------ */

struct estimate {
	struct sl_ask        *ask;
	struct sl_arena      *arena;
	struct sl_json        request;
	struct sl_steer       steer;      /* of the request, as far as any API has it */
	struct sl_prompt      prompt;
	struct sl_class       class;
	bool                  classified;
	const struct effort  *effort;     /* of the request; NULL: not given */
	struct sl_tally       tallies[SL_ENCODINGS];
	bool                  tallied[SL_ENCODINGS];
	/* The summary. */
	size_t                good, bad;
	int64_t               cheapest_nanousd, dearest_nanousd;
	struct sl_slice       cheapest;
};

struct target {
	struct sl_slice             provider_id, model_id;
	const struct effort        *effort;
	const struct sl_plan_target *chosen;
	struct sl_slice             provider, model;
	struct sl_token_count       input;
	struct sl_tokens            tokens;
	int64_t                     reasoning; /* expected, part of the output */
	bool                        reasons;
	struct sl_fault             fault;     /* kind NONE: good */
	const char                 *code;
};

/* The first of some members that is a number. */
static void
read_limit(struct sl_json request, const char *const *names, int64_t *out)
{
	int64_t value;

	for (; *names; names++)
		if (sl_json_i64(sl_json_at(request, *names), &value) && value >= 0) {
			*out = value;
			return;
		}
}

static void
read_inner(struct estimate *estimate)
{
	static const char *const limits[] = {
		"max_completion_tokens", "max_output_tokens", "max_tokens",
		"generationConfig.maxOutputTokens", "generation_config.max_output_tokens", NULL,
	};
	static const char *const choices[] = { "n", "generationConfig.candidateCount", NULL };
	struct sl_json effort = sl_json_get(estimate->request, "reasoning_effort");

	estimate->steer = (struct sl_steer){ .max_output_tokens = -1, .choices = 1 };
	estimate->steer.input.body = estimate->request.raw;
	read_limit(estimate->request, limits, &estimate->steer.max_output_tokens);
	read_limit(estimate->request, choices, &estimate->steer.choices);
	if (estimate->steer.choices < 1 || estimate->steer.choices > 1024)
		estimate->steer.choices = 1;
	sl_shape_openai_chat.read_prompt(&estimate->steer, estimate->arena, &estimate->prompt);
	estimate->classified = estimate->prompt.text_count > 0;
	if (estimate->classified)
		estimate->class = sl_classify(&estimate->prompt);
	if (effort.type != SL_JSON_STRING)
		effort = sl_json_at(estimate->request, "reasoning.effort");
	estimate->effort = find_effort(effort);
}

/* --- one target ------------------------------------------------------------------------ */

static bool
fail(struct target *target, const char *code, struct sl_slice message)
{
	sl_fault_set(&target->fault, SL_FAULT_BAD_REQUEST, message);
	target->code = code;
	return false;
}

/* Plans the target as if a request named it. */
static bool
aim(struct estimate *estimate, struct target *target)
{
	struct sl_ask *ask = estimate->ask;
	const struct sl_selection selection = { 0 };
	struct sl_plan *plan = SL_ARENA_NEW(estimate->arena, struct sl_plan);
	struct sl_aim aim = {
		.world = ask->world,
		.board = ask->gateway->services.board,
		.tenancy = &ask->tenancy,
		.stacks = ask->gateway->services.stacks,
		/* Any provider may be compared, whatever API it speaks. */
		.shape = &sl_shape_proxy,
		.steer = &estimate->steer,
		.selection = &selection,
		.model = target->provider_id.len == 0 ? target->model_id
		    : sl_arena_join(estimate->arena, (struct sl_slice[]){
		          target->provider_id, SL_SLICE("/"), target->model_id }, 3),
		.chance = sl_rand_u64(),
		.now_us = sl_loop_now_ns(ask->gateway->loop) / 1000,
		.arena = estimate->arena,
	};
	struct sl_fault fault;

	if (!plan || !aim.model.ptr)
		return fail(target, "estimate_failed", SL_SLICE("The gateway is out of memory."));
	if (sl_aim_plan(&aim, plan, &fault)) {
		target->chosen = &plan->targets[0];
		target->provider = ask->world->config->providers[target->chosen->provider].name;
		target->model = target->chosen->model;
		return true;
	}
	if (fault.kind == SL_FAULT_NO_ROUTE)
		return fail(target, "estimate_target_not_found", fault.message);
	if (fault.kind == SL_FAULT_MODEL_DENIED)
		return fail(target, "vk_model_not_allowed", fault.message);
	return fail(target, "estimate_failed", fault.message);
}

static void
count(struct estimate *estimate, struct target *target)
{
	struct sl_ask *ask = estimate->ask;
	const struct sl_token_family *family = sl_token_family_of(target->model);
	struct sl_tally *tally = &estimate->tallies[family->encoding];
	const struct sl_model_card *card = target->chosen->card;
	const struct effort *effort = target->effort ? target->effort : estimate->effort;
	struct sl_tokens *tokens = &target->tokens;
	int64_t ratio_ppm = SL_TOKEN_RATIO_ONE, most;

	if (!estimate->tallied[family->encoding]) {
		sl_tally_init(tally, family->encoding);
		sl_tally_request(tally, estimate->request.raw);
		estimate->tallied[family->encoding] = true;
	}
	if (ask->gateway->services.corrections)
		ratio_ppm = sl_token_memory_ratio(ask->gateway->services.corrections, target->provider,
		                                  target->model);
	target->input = sl_tally_total(tally, family, ratio_ppm);
	sl_tokens_guess(&estimate->prompt, (int64_t)estimate->request.raw.len,
	                estimate->steer.max_output_tokens, estimate->steer.choices,
	                estimate->classified ? estimate->class.category : NULL, tokens);
	tokens->input_low = target->input.low;
	tokens->input = target->input.tokens;
	tokens->input_high = target->input.high;
	target->reasons = card && (card->capabilities & SL_CAP_REASONING);
	if (target->reasons && effort)
		target->reasoning = effort->tokens;
	tokens->output += target->reasoning;
	most = card && card->max_output_tokens > 0 ? card->max_output_tokens * estimate->steer.choices
	                                           : INT64_MAX;
	if (tokens->output_high < tokens->output && estimate->steer.max_output_tokens < 0)
		tokens->output_high = tokens->output * 2;
	if (tokens->output_high > most)
		tokens->output_high = most;
	if (tokens->output > tokens->output_high)
		tokens->output = tokens->output_high;
	if (card && card->output_modalities == SL_MODALITY_EMBEDDING)
		tokens->output_low = tokens->output = tokens->output_high = target->reasoning = 0;
	if (target->reasoning > tokens->output)
		target->reasoning = tokens->output;
}

/* --- costs -------------------------------------------------------------------------- */

static bool
price(const struct sl_model_card *card, int64_t input, int64_t output, int64_t *nanousd)
{
	struct sl_usage usage = { .source = SL_USAGE_COUNTED };

	sl_usage_set(&usage, SL_USAGE_INPUT, input);
	if (output > 0)
		sl_usage_set(&usage, SL_USAGE_OUTPUT, output);
	return sl_price_cost(card, &usage, nanousd);
}

struct cost {
	int64_t input, output, total;
};

/* The output is what the request costs more with it: its price may hang on the length of
 * the input. */
static bool
cost_of(const struct sl_model_card *card, int64_t input, int64_t output, struct cost *cost)
{
	if (!card || !price(card, input, 0, &cost->input) ||
	    !price(card, input, output, &cost->total))
		return false;
	cost->output = cost->total - cost->input;
	return true;
}

static void
put_cost(struct sl_json_writer *w, const char *name, const struct cost *cost)
{
	sl_json_key(w, name);
	sl_json_obj(w);
	sl_json_usd(w, "uncachedInput", cost->input);
	sl_json_usd(w, "cacheRead", 0);
	sl_json_usd(w, "cacheWrite", 0);
	sl_json_usd(w, "output", cost->output);
	sl_json_usd(w, "total", cost->total);
	sl_json_obj_end(w);
}

/* --- the answer ----------------------------------------------------------------------- */

static void
put_range(struct sl_json_writer *w, const char *name, int64_t low, int64_t expected, int64_t high)
{
	sl_json_key(w, name);
	sl_json_obj(w);
	sl_json_int(w, "low", low);
	sl_json_int(w, "expected", expected);
	sl_json_int(w, "high", high);
	sl_json_obj_end(w);
}

static void
put_tokens(struct sl_json_writer *w, const struct target *target)
{
	const struct sl_tokens *tokens = &target->tokens;

	sl_json_key(w, "tokens");
	sl_json_obj(w);
	sl_json_str(w, "method", sl_slice_str(sl_token_method_name(target->input.method)));
	put_range(w, "input", tokens->input_low, tokens->input, tokens->input_high);
	sl_json_int(w, "uncachedInput", tokens->input);
	sl_json_int(w, "inputCached", 0);
	put_range(w, "output", tokens->output_low, tokens->output, tokens->output_high);
	put_range(w, "reasoning", 0, target->reasoning,
	          target->reasons ? tokens->output_high : 0);
	sl_json_obj_end(w);
	sl_json_key(w, "reasoning");
	sl_json_obj(w);
	if (target->effort)
		sl_json_str(w, "effortRequested", sl_slice_str(target->effort->name));
	sl_json_bool(w, "supportedByModel", target->reasons);
	sl_json_int(w, "estimatedTokens", target->reasoning);
	sl_json_obj_end(w);
}

static void
put_assumptions(struct estimate *estimate, struct sl_json_writer *w, const struct target *target)
{
	sl_json_key(w, "assumptions");
	sl_json_arr(w);
	if (target->input.method == SL_TOKENS_EXACT)
		sl_json_put_str(w, SL_SLICE("input tokens are counted with the model's own encoding"));
	else if (target->input.method == SL_TOKENS_CALIBRATED)
		sl_json_put_str(w, SL_SLICE("input tokens are estimated for the model's family"));
	else
		sl_json_put_str(w, SL_SLICE("text beyond 1 MB is estimated by its length"));
	sl_json_put_str(w, SL_SLICE("no input is read from a cache"));
	sl_json_put_str(w, estimate->classified
	                       ? sl_arena_printf(estimate->arena, "output as requests of the "
	                                         "category %s usually have it",
	                                         estimate->class.category)
	                       : SL_SLICE("output as requests usually have it"));
	if (target->reasons && target->reasoning == 0)
		sl_json_put_str(w, SL_SLICE("no reasoning effort was asked for, none is expected"));
	sl_json_arr_end(w);
}

static void
put_error(struct sl_json_writer *w, const char *code, struct sl_slice message)
{
	sl_json_key(w, "error");
	sl_json_obj(w);
	sl_json_str(w, "code", sl_slice_str(code));
	sl_json_str(w, "message", message);
	sl_json_obj_end(w);
}

static void
add_to_summary(struct estimate *estimate, const struct target *target, int64_t expected_nanousd)
{
	if (estimate->good == 0 || expected_nanousd < estimate->cheapest_nanousd) {
		estimate->cheapest_nanousd = expected_nanousd;
		estimate->cheapest = sl_arena_join(estimate->arena, (struct sl_slice[]){
		    target->provider, SL_SLICE("/"), target->model }, 3);
	}
	if (expected_nanousd > estimate->dearest_nanousd)
		estimate->dearest_nanousd = expected_nanousd;
	estimate->good++;
}

static void
put_target(struct estimate *estimate, struct target *target, struct sl_json_writer *w)
{
	struct cost low, expected, high;
	bool priced = false;

	if (target->code == NULL && aim(estimate, target)) {
		const struct sl_model_card *card = target->chosen->card;
		const struct sl_tokens *tokens = &target->tokens;

		count(estimate, target);
		priced = cost_of(card, tokens->input_low, tokens->output_low, &low) &&
		         cost_of(card, tokens->input, tokens->output, &expected) &&
		         cost_of(card, tokens->input_high, tokens->output_high, &high);
	}
	sl_json_obj(w);
	sl_json_str(w, "providerId", target->provider_id.len ? target->provider_id : target->provider);
	sl_json_str(w, "providerName", target->provider);
	sl_json_str(w, "modelId", target->model_id);
	sl_json_str(w, "modelCode", target->model);
	if (target->chosen) {
		put_tokens(w, target);
		put_assumptions(estimate, w, target);
	}
	if (priced) {
		sl_json_key(w, "cost");
		sl_json_obj(w);
		sl_json_str(w, "currency", SL_SLICE("USD"));
		put_cost(w, "low", &low);
		put_cost(w, "expected", &expected);
		put_cost(w, "high", &high);
		sl_json_obj_end(w);
		add_to_summary(estimate, target, expected.total);
	} else {
		estimate->bad++;
		put_error(w, target->code ? target->code : "estimate_failed",
		          target->code ? target->fault.message
		                       : SL_SLICE("The model has no known price: add one to `prices`."));
	}
	sl_json_obj_end(w);
}

static void
put_summary(const struct estimate *estimate, struct sl_json_writer *w)
{
	sl_json_key(w, "summary");
	sl_json_obj(w);
	if (estimate->good > 0) {
		sl_json_str(w, "cheapestExpectedTarget", estimate->cheapest);
		sl_json_usd(w, "cheapestExpectedTotalUsd", estimate->cheapest_nanousd);
		sl_json_usd(w, "mostExpensiveExpectedTotalUsd", estimate->dearest_nanousd);
	}
	sl_json_int(w, "errorsCount", (int64_t)estimate->bad);
	sl_json_int(w, "successCount", (int64_t)estimate->good);
	sl_json_obj_end(w);
}

/* --- reading the request ----------------------------------------------------------------- */

static bool
refuse(struct sl_ask *ask, const char *code, const char *param, struct sl_slice message)
{
	struct sl_fault fault;

	sl_fault_set(&fault, SL_FAULT_BAD_REQUEST, message);
	fault.code = sl_slice_str(code);
	fault.param = sl_slice_str(param);
	sl_ask_refuse(ask, &fault);
	return false;
}

/* False: answered. */
static bool
read_target(struct estimate *estimate, struct sl_json value, struct target *target)
{
	struct sl_json effort = sl_json_get(value, "reasoningEffort");

	*target = (struct target){ .fault = { .kind = SL_FAULT_NONE } };
	sl_json_string(sl_json_get(value, "providerId"), estimate->arena, &target->provider_id);
	sl_json_string(sl_json_get(value, "modelId"), estimate->arena, &target->model_id);
	if (effort.type != SL_JSON_NONE && effort.type != SL_JSON_NULL) {
		target->effort = find_effort(effort);
		if (!target->effort)
			return refuse(estimate->ask, "estimate_invalid_reasoning_effort",
			              "compareTargets.reasoningEffort",
			              SL_SLICE("'reasoningEffort' must be none, minimal, low, medium, "
			                       "high or xhigh."));
	}
	if (target->model_id.len == 0)
		fail(target, "estimate_target_not_found",
		     SL_SLICE("A target needs 'modelId': a model or an alias of this gateway."));
	return true;
}

/* The number of targets; 0: answered. */
static size_t
read_targets(struct estimate *estimate, struct sl_json list, struct target *targets)
{
	struct sl_json_iter it = sl_json_iter(list);
	size_t count = 0;

	while (list.type == SL_JSON_ARRAY && sl_json_next(&it)) {
		if (count == TARGETS_MAX) {
			refuse(estimate->ask, "estimate_too_many_targets", "compareTargets",
			       SL_SLICE("'compareTargets' has more than ten entries."));
			return 0;
		}
		if (!read_target(estimate, it.value, &targets[count++]))
			return 0;
	}
	if (count == 0)
		refuse(estimate->ask, "estimate_no_targets", "compareTargets",
		       SL_SLICE("Name one to ten targets: \"compareTargets\": [{\"providerId\": ..., "
		                "\"modelId\": ...}]."));
	return count;
}

static bool
within_rate(struct sl_ask *ask)
{
	struct sl_fault fault;

	if (!ask->key || sl_tenancy_take_estimate(&ask->tenancy, PER_MINUTE,
	                                          sl_loop_now_ms(ask->gateway->loop), &fault))
		return true;
	fault.code = SL_SLICE("estimate_compare_rate_limited");
	sl_ask_refuse(ask, &fault);
	return false;
}

void
sl_estimate_answer(struct sl_ask *ask)
{
	struct sl_json body = sl_json_parse(ask->head->input.body);
	struct estimate *estimate = SL_ARENA_NEW(&ask->front->arena, struct estimate);
	struct target targets[TARGETS_MAX];
	struct sl_json_writer w;
	struct sl_buf out;
	size_t count;

	if (!within_rate(ask))
		return;
	if (!estimate) {
		sl_ask_refuse_memory(ask);
		return;
	}
	estimate->ask = ask;
	estimate->arena = &ask->front->arena;
	estimate->request = sl_json_get(body, "request");
	if (estimate->request.type != SL_JSON_OBJECT) {
		refuse(ask, "estimate_no_request", "request",
		       SL_SLICE("'request' must be the body that would be sent: an object."));
		return;
	}
	count = read_targets(estimate, sl_json_get(body, "compareTargets"), targets);
	if (count == 0)
		return;
	read_inner(estimate);
	sl_buf_init(&out, ANSWER_BYTES_MAX);
	sl_json_writer_init(&w, &out);
	sl_json_obj(&w);
	sl_json_key(&w, "targets");
	sl_json_arr(&w);
	for (size_t i = 0; i < count; i++)
		put_target(estimate, &targets[i], &w);
	sl_json_arr_end(&w);
	put_summary(estimate, &w);
	sl_json_obj_end(&w);
	sl_ask_answer_json(ask, &out);
	sl_buf_release(&out);
}

/* recall.c - which requests may be answered from the shelf, and as what they are known. */
#include "pipeline/recall.h"

#include "base/sha256.h"
#include "pipeline/ask.h"
#include "pipeline/shelf.h"

struct sl_recall {
	unsigned char   id[SL_SHELF_ID_SIZE];
	uint64_t        ttl_ms;
	struct sl_slice warnings;
};

/* --- what may be kept ------------------------------------------------------------- */

static bool
is_number(struct sl_json value, double wanted)
{
	double number;

	return sl_json_f64(value, &number) && number >= wanted && number <= wanted;
}

static bool
is_deterministic(struct sl_slice body)
{
	const struct sl_json doc = sl_json_parse(body);
	struct sl_json chance = sl_json_get(doc, "temperature");
	struct sl_json share = sl_json_get(doc, "top_p");

	if (chance.type == SL_JSON_NONE) {
		chance = sl_json_at(doc, "generationConfig.temperature");
		share = sl_json_at(doc, "generationConfig.topP");
	}
	return is_number(chance, 0) && (share.type == SL_JSON_NONE || is_number(share, 1));
}

/* The caller wants an answer of its own (RFC 9111 5.2.1), or has a name for this one. */
static bool
refuses(const struct sl_headers *headers)
{
	struct sl_slice control = sl_headers_get(headers, "cache-control");

	return sl_slice_search(control, SL_SLICE("no-cache")) >= 0 ||
	       sl_slice_search(control, SL_SLICE("no-store")) >= 0 ||
	       sl_headers_has(headers, "idempotency-key");
}

static bool
may_recall(const struct sl_ask *ask)
{
	/* A Responses answer is a thing at its provider that later requests name. */
	return ask->head->selection.cache_s > 0 && ask->gateway->services.shelf &&
	       ask->shape->read_prompt && strcmp(ask->shape->name, "openai_responses") != 0 &&
	       !refuses(&ask->exchange->request.headers) &&
	       is_deterministic(ask->front->steer.input.body);
}

/* --- as what it is known ------------------------------------------------------------ */

/* Fields that differ with every request and decide nothing. */
static bool
is_noise(struct sl_slice name)
{
	static const char *const names[] = {
		"host", "connection", "content-length", "transfer-encoding", "expect", "date",
		"accept-encoding", "user-agent", "traceparent", "tracestate", "baggage",
		"x-request-id", "cache-control", "forwarded", "x-real-ip", "via", "cookie",
		"origin", "referer",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (sl_slice_is(name, names[i]))
			return true;
	return sl_slice_starts(name, SL_SLICE("x-forwarded-")) ||
	       sl_slice_starts(name, SL_SLICE("x-stainless-")) ||
	       sl_slice_starts(name, SL_SLICE("sec-"));
}

static void
identify(const struct sl_ask *ask, unsigned char id[SL_SHELF_ID_SIZE])
{
	const struct sl_request *request = &ask->exchange->request;
	const struct sl_headers *headers = &request->headers;
	const struct sl_slice parts[] = {
		sl_slice_make((const char *)&ask->world->serial, sizeof(ask->world->serial)),
		ask->decision.key_id,
		sl_slice_str(ask->surface->name),
		request->path,
		request->query,
		ask->front->steer.input.body,
	};
	struct sl_sha256 hash;

	sl_sha256_begin(&hash);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		sl_sha256_add_part(&hash, parts[i]);
	for (size_t i = 0; i < headers->count; i++) {
		if (is_noise(headers->items[i].name) ||
		    sl_slice_eq(headers->items[i].value, ask->head->standing.public_id))
			continue;
		sl_sha256_add_part(&hash, headers->items[i].name);
		sl_sha256_add_part(&hash, headers->items[i].value);
	}
	sl_sha256_end(&hash, id);
}

/* --- the journey -------------------------------------------------------------------- */

/* Whether who answered then could be asked now: rules may have changed. */
static bool
is_planned(const struct sl_ask *ask, const struct sl_shelved *kept)
{
	const struct sl_plan *plan = &ask->front->plan;
	const struct sl_config *config = ask->world->config;

	for (size_t i = 0; i < plan->count; i++)
		if (sl_slice_eq(config->providers[plan->targets[i].provider].name,
		                kept->provider) &&
		    sl_slice_eq(plan->targets[i].model, kept->model))
			return true;
	return false;
}

/* Nothing is bought, and who answered then is told as who answers now. */
static void
answer(struct sl_ask *ask, const struct sl_shelved *kept)
{
	struct sl_decision *decision = &ask->decision;
	struct sl_arena *arena = &ask->exchange->arena;

	decision->recall = SL_RECALL_HIT;
	decision->provider = sl_arena_dup(arena, kept->provider);
	decision->model = sl_arena_dup(arena, kept->model);
	decision->warnings = kept->warnings;
	decision->cost_known = decision->priced = true;
	decision->cost_nanousd = 0;
	sl_ask_answer(ask, kept->status, kept->content_type, kept->body);
	decision->warnings = SL_SLICE_NONE;
}

bool
sl_recall_answer(struct sl_ask *ask)
{
	const struct sl_shelved *kept;
	struct sl_recall *recall;

	if (ask->head->selection.cache_s > 0)
		ask->decision.recall = SL_RECALL_MISS;
	if (!may_recall(ask))
		return true;
	recall = SL_ARENA_NEW(&ask->exchange->arena, struct sl_recall);
	if (!recall)
		return true;
	identify(ask, recall->id);
	recall->ttl_ms = ask->head->selection.cache_s * 1000;
	kept = sl_shelf_find(ask->gateway->services.shelf, recall->id,
	                     sl_loop_now_ms(ask->gateway->loop));
	if (!kept || !is_planned(ask, kept)) {
		sl_shelved_unref(kept);
		(void)sl_repeat_write(ask, NULL, recall, SL_SHELVED_BODY_MAX);
		return true;
	}
	answer(ask, kept);
	sl_shelved_unref(kept);
	return false;
}

void
sl_recall_head(struct sl_ask *ask)
{
	struct sl_recall *recall = ask->repeat->recall;

	if (recall)
		recall->warnings = sl_arena_dup(&ask->exchange->arena, ask->decision.warnings);
}

void
sl_recall_keep(struct sl_ask *ask, int status, struct sl_slice content_type, struct sl_slice body)
{
	const struct sl_decision *decision = &ask->decision;
	const struct sl_recall *recall = ask->repeat->recall;

	/* What a second model or a stack made of an answer is not looked at again. */
	if (decision->verification.len > 0)
		return;
	sl_shelf_put(ask->gateway->services.shelf, recall->id, &(struct sl_shelved){
		.content_type = content_type,
		.body = body,
		.provider = decision->provider,
		.model = decision->model,
		.warnings = recall->warnings,
		.status = status,
	}, recall->ttl_ms, ask->world->config->limits.cache_bytes,
	             sl_loop_now_ms(ask->gateway->loop));
}

/* attempt.c - send the ask to the next target of its plan.
 *
 * One attempt is one physical try at one provider. Nothing has reached the
 * caller while attempts are made; what a provider may have bought is marked, so
 * that the caller's SDK does not buy it again.
 */
#include "pipeline/ask.h"

enum { FIELDS_MAX = 160 };

static void
release_reader(struct sl_ask *ask)
{
	if (!ask->reader_ready)
		return;
	if (ask->framing == SL_FRAMING_JSON_ARRAY)
		sl_json_array_release(&ask->reader.array);
	else
		sl_sse_reader_release(&ask->reader.sse);
	ask->reader_ready = false;
}

void
sl_attempt_drop(struct sl_ask *ask)
{
	if (ask->fetching) {
		ask->record.upstream_us =
		    (sl_loop_now_ns(ask->gateway->loop) - ask->attempt_ns) / 1000;
		ask->fetching = false;
		sl_fetch_cancel(&ask->fetch);
	}
	release_reader(ask);
}

static void
begin(struct sl_ask *ask, const struct sl_plan_target *target)
{
	ask->upstream = &ask->world->upstreams[target->provider];
	ask->card = target->card;
	ask->decision.provider = ask->upstream->config->name;
	/* The plan is gone when the answer begins, the record needs the name. */
	ask->decision.model = sl_arena_dup(&ask->exchange->arena, target->model);
	ask->record.deployment = target->deployment;
	ask->reply = (struct sl_stream_state){ 0 };
	ask->upstream_status = 0;
	ask->paused = false;
	sl_buf_clear(&ask->held);
}

/* Builds the request and starts it. SL_OK: a callback of relay.c follows. */
static enum sl_err
start(struct sl_ask *ask, const struct sl_plan_target *target)
{
	struct sl_ask_front *front = ask->front;
	struct sl_arena *arena = &front->arena;
	const struct sl_provider_kind *kind = ask->upstream->kind;
	const struct sl_shape_target shape_target = {
		.model = target->model,
		.model_in_path = (kind->quirks & SL_QUIRK_MODEL_IN_PATH) != 0,
		.ask_for_usage = (kind->quirks & SL_QUIRK_NO_STREAM_OPTIONS) == 0,
	};
	const struct sl_provider_request where = {
		.shape = ask->shape,
		.verb = ask->input.verb,
		.model = target->model,
		.stream = ask->stream,
		.query = sl_fields_query(ask),
		.base_path = ask->upstream->url.path,
		.api_version = ask->upstream->config->api_version,
	};
	struct sl_header fields[FIELDS_MAX];
	struct sl_fetch_request request = { .method = SL_SLICE("POST"), .headers = fields };
	enum sl_err err;

	front->forward = (struct sl_forward){ .body_count = 0 };
	err = ask->shape->forward(&front->steer, &shape_target, arena, &front->forward);
	if (err != SL_OK)
		return err;
	request.target = sl_provider_target(kind, &where, arena);
	if (request.target.len == 0)
		return SL_EUNSUPPORTED;
	request.header_count = sl_fields_to_upstream(ask, ask->upstream, fields, FIELDS_MAX,
	                                             &ask->used_callers_credential);
	request.body = front->forward.body;
	request.body_count = front->forward.body_count;
	ask->reply.hide_usage = front->forward.usage_injected;
	ask->reply.facts.usage = front->steer.counted;
	ask->fetch = (struct sl_fetch){ .ops = &sl_relay_ops };
	ask->attempt_ns = sl_loop_now_ns(ask->gateway->loop);
	if (ask->record.attempts == 0)
		ask->forward_ns = ask->attempt_ns - ask->exchange->body_end_ns;
	err = sl_fetch_start(ask->gateway->client, &ask->upstream->origin, &ask->fetch, &request);
	if (err == SL_OK) {
		ask->fetching = true;
		ask->record.attempts++;
		ask->decision.attempts = ask->record.attempts;
	}
	return err;
}

static void
explain_start(struct sl_ask *ask, enum sl_err err, struct sl_fault *fault)
{
	struct sl_arena *arena = &ask->exchange->arena;

	if (err == SL_ELIMIT)
		sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
		             SL_SLICE("The request repeats gateway options too often to be "
		                      "forwarded."));
	else if (err == SL_EUNSUPPORTED)
		sl_fault_set(fault, SL_FAULT_UNSUPPORTED,
		             sl_arena_printf(arena, "The provider '%.*s' does not serve this "
		                             "operation.", SL_ARG(ask->decision.provider)));
	else
		sl_fault_set(fault, SL_FAULT_OVERLOADED,
		             SL_SLICE("The gateway has no room for this request now. Try again "
		                      "shortly."));
}

void
sl_attempt_next(struct sl_ask *ask, const struct sl_fault *last)
{
	struct sl_ask_front *front = ask->front;
	struct sl_fault fault;

	sl_attempt_drop(ask);
	if (ask->state == SL_ASK_WAITING)
		sl_ask_set_state(ask, SL_ASK_PLANNED);
	while (front->next_target < front->plan.count &&
	       ask->record.attempts <= ask->world->config->router_retries) {
		const struct sl_plan_target *target = &front->plan.targets[front->next_target++];
		enum sl_err err;

		begin(ask, target);
		err = start(ask, target);
		if (err == SL_OK) {
			sl_ask_set_state(ask, SL_ASK_WAITING);
			return;
		}
		explain_start(ask, err, &fault);
		last = &fault;
	}
	sl_ask_refuse(ask, last);
}

/* ask.c - the life of an ask: birth, refusal, settlement, record.
 *
 * Every end of an ask, whichever path led there, passes sl_ask_gone, which
 * writes the one record; no path can skip it.
 */
#include "pipeline/ask.h"

#include <assert.h>

#include "base/compiler.h"
#include "base/text.h"
#include "pipeline/bidding.h"
#include "pipeline/learn.h"
#include "telemetry/telemetry.h"

enum { CLIENT_ID_MAX = 128, FRONT_CHUNK = 2048 };

void
sl_ask_set_state(struct sl_ask *ask, enum sl_ask_state state)
{
	static const unsigned char legal[] = {
		[SL_ASK_ARRIVING] = 1 << SL_ASK_PLANNED | 1 << SL_ASK_ANSWERED,
		[SL_ASK_PLANNED] = 1 << SL_ASK_WAITING | 1 << SL_ASK_ANSWERED,
		[SL_ASK_WAITING] = 1 << SL_ASK_PLANNED | 1 << SL_ASK_ANSWERING |
		                   1 << SL_ASK_ANSWERED,
		[SL_ASK_ANSWERING] = 1 << SL_ASK_ANSWERED,
		[SL_ASK_ANSWERED] = 0,
	};

	assert(legal[ask->state] & (1 << state));
	ask->state = state;
	if (state == SL_ASK_ANSWERED)
		sl_drain_answered(ask);
}

static bool
is_hex(struct sl_slice text)
{
	bool nonzero = false;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		nonzero = nonzero || c != '0';
	}
	return nonzero;
}

static struct sl_slice
trace_id(struct sl_ask *ask)
{
	struct sl_slice given = sl_headers_get(&ask->exchange->request.headers, "traceparent");
	uint64_t bits[2];
	char *made;

	/* 00-<32 hex>-<16 hex>-<2 hex>; longer for future versions. */
	if (given.len >= 55 && given.ptr[2] == '-' && given.ptr[35] == '-' &&
	    given.ptr[52] == '-' && is_hex(sl_slice_make(given.ptr + 3, 32)))
		return sl_arena_dup(&ask->exchange->arena, sl_slice_make(given.ptr + 3, 32));
	made = sl_arena_alloc(&ask->exchange->arena, 2 * SL_HEX64_DIGITS);
	if (!made)
		return SL_SLICE_NONE;
	sl_rand_bytes(bits, sizeof(bits));
	sl_put_hex64(sl_put_hex64(made, bits[0] | 1), bits[1]);
	return sl_slice_make(made, 2 * SL_HEX64_DIGITS);
}

/* The caller's own id is echoed and logged as a label, never used as ours. */
static struct sl_slice
client_request_id(const struct sl_ask *ask)
{
	struct sl_slice given = sl_headers_get(&ask->exchange->request.headers, "x-request-id");

	if (given.len == 0 || given.len > CLIENT_ID_MAX)
		return ask->decision.request_id;
	for (size_t i = 0; i < given.len; i++)
		if (given.ptr[i] < 0x21 || given.ptr[i] > 0x7e)
			return ask->decision.request_id;
	return given;
}

struct sl_ask *
sl_ask_new(struct sl_gateway *gateway, struct sl_exchange *exchange)
{
	struct sl_ask *ask = SL_ARENA_NEW(&exchange->arena, struct sl_ask);

	if (!ask)
		return NULL;
	ask->head = SL_ARENA_NEW(exchange->head, struct sl_ask_head);
	if (!ask->head)
		return NULL;
	ask->gateway = gateway;
	ask->exchange = exchange;
	ask->world = sl_world_ref(gateway->world);
	sl_buf_init(&ask->held, sl_relay_held_max(&gateway->world->config->limits));
	memcpy(ask->request_id, "req_", 4);
	sl_ulid_mint(ask->head->id, sl_loop_wall_ms(gateway->loop));
	sl_ulid_text(ask->head->id, ask->request_id + 4);
	ask->decision.request_id = sl_slice_make(ask->request_id, 4 + SL_ULID_LEN);
	ask->head->standing.public_id = ask->decision.request_id;
	ask->decision.standing = &ask->head->standing;
	ask->head->selection.path = exchange->request.path;
	ask->decision.bucket = SL_SLICE("direct");
	ask->head->standing.wall_s = sl_loop_wall_ms(gateway->loop) / 1000;
	ask->record.begin_wall_ms = sl_loop_wall_ms(gateway->loop);
	ask->record.trace_id = trace_id(ask);
	ask->record.client_request_id = client_request_id(ask);
	ask->record.tag = sl_slice_trim(sl_headers_get(&exchange->request.headers, "x-gateway-tag"));
	exchange->user = ask;
	ask->rowless = !sl_telemetry_begin(gateway->services.telemetry,
	                                   sl_loop_index(gateway->loop));
	return ask;
}

/* The room for targets and slices, 7 KB of 9, is read up to its counts; of what steers,
 * which reading the request writes whole, nothing is. */
static void
clear_front(struct sl_ask_front *front)
{
	const size_t from = offsetof(struct sl_ask_front, forward) + sizeof(front->forward);

	front->steer.input = (struct sl_shape_input){ 0 };
	sl_plan_clear(&front->plan);
	sl_forward_clear(&front->forward);
	memset((char *)front + from, 0, sizeof(*front) - from);
}

bool
sl_ask_open_front(struct sl_ask *ask)
{
	struct sl_arena arena;

	sl_arena_init(&arena, sizeof(*ask->front) + FRONT_CHUNK, 0);
	ask->front = sl_arena_alloc(&arena, sizeof(*ask->front));
	if (!ask->front)
		return false;
	clear_front(ask->front);
	ask->front->arena = arena;
	return true;
}

struct sl_arena *
sl_ask_arena(struct sl_ask *ask)
{
	return ask->front ? &ask->front->arena : &ask->exchange->arena;
}

void
sl_ask_close_front(struct sl_ask *ask)
{
	struct sl_arena arena;

	if (!ask->front)
		return;
	sl_spend_count_input(ask);
	sl_verify_release(ask->front);
	sl_buf_release(&ask->front->kept.body);
	sl_buf_release(&ask->front->body);
	arena = ask->front->arena;
	sl_arena_release(&arena);
	ask->front = NULL;
	ask->reply_headers = NULL;
	ask->reply_header_count = 0;
	if (ask->head)
		ask->head->input = (struct sl_shape_input){ 0 };
	sl_buf_release(&ask->exchange->body);
}

static void
keep(struct sl_ask *ask, struct sl_slice *text)
{
	if (text->len > 0 && text->ptr != ask->request_id)
		*text = sl_arena_dup(&ask->exchange->arena, *text);
}

void
sl_ask_forget_head(struct sl_ask *ask)
{
	keep(ask, &ask->record.client_request_id);
	keep(ask, &ask->record.tag);
	ask->decision.standing = NULL;
	ask->head = NULL;
	sl_exchange_forget_head(ask->exchange);
}

/* Bytes of a stream fault; empty when the grammar cannot carry one. */
static void
end_stream_with(struct sl_ask *ask, const struct sl_fault *fault)
{
	struct sl_buf bytes;
	bool told = false;

	sl_buf_init(&bytes, 64 * 1024);
	if (ask->reply_mode == SL_REPLY_STREAM && ask->shape->write_stream_fault &&
	    ask->held.len == 0) {
		if (ask->lane)
			sl_lane_write_fault(ask, fault, &bytes);
		else
			ask->shape->write_stream_fault(&ask->reply, fault,
			                               ask->decision.request_id,
			                               ask->framing, &bytes);
		told = !bytes.failed && bytes.len > 0 &&
		       sl_exchange_write(ask->exchange, sl_buf_slice(&bytes)) == SL_OK;
	}
	sl_buf_release(&bytes);
	sl_ask_set_state(ask, SL_ASK_ANSWERED);
	/* What cannot be told inside the answer must not look complete. */
	if (told)
		sl_exchange_finish(ask->exchange, NULL, 0);
	else
		sl_exchange_abort(ask->exchange);
}

static void
send_fault(struct sl_ask *ask, const struct sl_fault *fault)
{
	const struct sl_shape_ops *shape = ask->shape;
	struct sl_surface_headers fields = { .count = 0 };
	struct sl_header out[SL_ANSWER_FIELDS_MAX];
	struct sl_arena *arena = &ask->exchange->arena;
	struct sl_decision decision;
	struct sl_buf body;
	size_t count = 0;
	int status;

	if (!shape)
		shape = sl_shape_for_errors(ask->head->selection.path);
	sl_buf_init(&body, 64 * 1024);
	sl_quota_note(ask);
	decision = ask->decision;
	if (decision.attempts == 0) /* chosen and never asked */
		decision.provider = decision.model = SL_SLICE_NONE;
	status = ask->surface->fault(&decision, shape, fault, arena, &body, &fields);
	out[count++] = (struct sl_header){ SL_SLICE("content-type"),
		                           SL_SLICE("application/json") };
	if (fault->retry_after_s > 0)
		out[count++] = (struct sl_header){ SL_SLICE("retry-after"),
			                           sl_arena_printf(arena, "%u",
			                                           fault->retry_after_s) };
	if (fault->allow.len > 0)
		out[count++] = (struct sl_header){ SL_SLICE("allow"), fault->allow };
	/* What was sent may have been bought: an SDK must not buy it again. */
	if (ask->maybe_bought || fault->no_retry)
		out[count++] = (struct sl_header){ SL_SLICE("x-should-retry"), SL_SLICE("false") };
	for (size_t i = 0; i < fields.count; i++)
		out[count++] = fields.items[i];
	count = sl_fields_answer(ask, out, count, SL_ANSWER_FIELDS_MAX);
	ask->record.status = status;
	sl_ask_set_state(ask, SL_ASK_ANSWERED);
	ask->bytes_out += body.len;
	sl_exchange_send(ask->exchange, status, out, count, sl_buf_slice(&body));
	sl_buf_release(&body);
}

static enum sl_outcome
outcome_of(const struct sl_ask *ask, const struct sl_fault *fault)
{
	if (ask->state == SL_ASK_ANSWERING)
		return SL_OUTCOME_CUT;
	if (ask->record.attempts == 0)
		return SL_OUTCOME_REFUSED;
	return fault->kind == SL_FAULT_UPSTREAM_STATUS ? SL_OUTCOME_UPSTREAM_ERROR
	                                               : SL_OUTCOME_FAILED;
}

void
sl_ask_refuse(struct sl_ask *ask, const struct sl_fault *fault)
{
	bool begun = ask->state == SL_ASK_ANSWERING;

	if (ask->state == SL_ASK_ANSWERED || sl_verify_fall_back(ask))
		return;
	ask->record.outcome = outcome_of(ask, fault);
	ask->record.fault = fault->kind;
	sl_attempt_drop(ask);
	sl_ask_settle(ask);
	sl_repeat_end(ask); /* who is told may try again at once */
	if (begun)
		end_stream_with(ask, fault);
	else
		send_fault(ask, fault);
	sl_ask_close_front(ask);
}

void
sl_ask_refuse_with(struct sl_ask *ask, enum sl_fault_kind kind, struct sl_slice message)
{
	struct sl_fault fault;

	sl_fault_set(&fault, kind, message);
	sl_ask_refuse(ask, &fault);
}

void
sl_ask_refuse_memory(struct sl_ask *ask)
{
	struct sl_fault fault;

	sl_fault_set_memory(&fault);
	sl_ask_refuse(ask, &fault);
}

void
sl_ask_refuse_method(struct sl_ask *ask, struct sl_slice allow)
{
	struct sl_fault fault;

	sl_fault_set(&fault, SL_FAULT_METHOD,
	             sl_arena_printf(&ask->exchange->arena, "This path takes %.*s only.",
	                             SL_ARG(allow)));
	fault.allow = allow;
	sl_ask_refuse(ask, &fault);
}

void
sl_ask_answer(struct sl_ask *ask, int status, struct sl_slice content_type,
              struct sl_slice body)
{
	sl_ask_answer_with(ask, status, content_type, body, NULL);
}

void
sl_ask_answer_json(struct sl_ask *ask, const struct sl_buf *body)
{
	if (body->failed)
		sl_ask_refuse_memory(ask);
	else
		sl_ask_answer(ask, 200, SL_SLICE("application/json"), sl_buf_slice(body));
}

void
sl_ask_answer_with(struct sl_ask *ask, int status, struct sl_slice content_type,
                   struct sl_slice body, const struct sl_header *extra)
{
	struct sl_surface_headers fields = { .count = 0 };
	struct sl_header out[SL_ANSWER_FIELDS_MAX];
	size_t count = 0;

	if (content_type.len > 0)
		out[count++] = (struct sl_header){ SL_SLICE("content-type"), content_type };
	if (extra)
		out[count++] = *extra;
	if (ask->decision.warnings.len > 0)
		out[count++] = (struct sl_header){ SL_SLICE("x-gateway-translation-warnings"),
			                           ask->decision.warnings };
	sl_quota_note(ask);
	ask->surface->headers(&ask->decision, &ask->exchange->arena, &fields);
	for (size_t i = 0; i < fields.count; i++)
		out[count++] = fields.items[i];
	count = sl_fields_answer(ask, out, count, SL_ANSWER_FIELDS_MAX);
	ask->record.status = status;
	ask->record.outcome = SL_OUTCOME_OK;
	ask->bytes_out += body.len;
	sl_ask_set_state(ask, SL_ASK_ANSWERED);
	sl_exchange_send(ask->exchange, status, out, count, body);
}

void
sl_ask_settle(struct sl_ask *ask)
{
	int64_t cost;

	if (ask->decision.cost_known)
		return;
	sl_hedge_end(ask);
	ask->decision.cost_known = true;
	sl_spend_end(ask);
	ask->decision.bought = ask->spend.bought;
	ask->decision.priced = ask->spend.priced;
	ask->decision.cost_nanousd = ask->spend.cost_nanousd;
	/* The same usage at the price of what it is compared with. */
	if (ask->baseline_card && sl_price_cost(ask->baseline_card, &ask->reply.facts.usage, &cost)) {
		ask->decision.has_baseline = true;
		ask->decision.baseline_nanousd = cost;
	}
}

static int64_t
elapsed_us(uint64_t from_ns, uint64_t to_ns)
{
	return from_ns > 0 && to_ns > from_ns ? (int64_t)((to_ns - from_ns) / 1000) : 0;
}

static void
write_record(struct sl_ask *ask)
{
	struct sl_gateway *gateway = ask->gateway;
	const struct sl_ask_record *begun = &ask->record;
	const struct sl_exchange *exchange = ask->exchange;
	uint64_t now_ns = sl_loop_event_ns(gateway->loop);
	SL_UNINIT struct sl_record record; /* written whole below */

	sl_ask_settle(ask);
	sl_learn_note(ask);
	sl_bidding_note(ask);
	record = (struct sl_record){
		.row = {
			.request_id = ask->decision.request_id,
			.client_request_id = begun->client_request_id,
			.trace_id = begun->trace_id,
			.begin_wall_ms = begun->begin_wall_ms,
			.end_user = begun->end_user,
			.tag = begun->tag,
			.translation = begun->translation,
			.bids = begun->bids,
			.surface = sl_slice_str(ask->surface->name),
			.model_requested = begun->model_requested,
			.provider = ask->decision.provider,
			.model_served = ask->decision.model,
			.model_reported = ask->reply.facts.model,
			.deployment = begun->deployment,
			.status = begun->status,
			.upstream_status = ask->upstream_status,
			.stream = ask->stream,
			.cost_nanousd = ask->decision.cost_nanousd,
			.bucket = ask->decision.bucket,
			.category = begun->category,
			.attempts = begun->attempts,
			.bytes_in = (int64_t)begun->bytes_in,
			.bytes_out = (int64_t)ask->bytes_out,
			.total_us = elapsed_us(exchange->begin_ns, now_ns),
			.first_content_us = elapsed_us(exchange->begin_ns, ask->first_out_ns),
			.upstream_us = (int64_t)begun->upstream_us,
			.added_us = (int64_t)(ask->forward_ns / 1000),
		},
		.outcome = begun->outcome,
		.fault = begun->fault,
		.priced = ask->decision.priced,
		.cached = ask->decision.recall == SL_RECALL_HIT,
		.score = ask->decision.score,
		.usage = ask->reply.facts.usage,
	};
	if (ask->card)
		record.row.price_date = ask->card->price_date;
	if (ask->key) {
		record.row.key_id = sl_key_id(ask->key);
		record.row.team = sl_key_policy(ask->key)->team;
		record.row.workspace = sl_tenancy_workspace(&ask->tenancy);
	}
	if (ask->shape) {
		record.row.shape = sl_slice_str(ask->shape->name);
		record.row.operation = sl_slice_str(ask->shape->operation);
	}
	if (ask->rowless)
		sl_telemetry_finish_rowless(gateway->services.telemetry,
		                            sl_loop_index(gateway->loop), &record);
	else
		(ask->whole ? sl_telemetry_finish : sl_telemetry_finish_headed)(
		    gateway->services.telemetry, sl_loop_index(gateway->loop), &record);
	sl_spend_recorded(ask);
}

void
sl_ask_gone(struct sl_ask *ask, enum sl_gone_reason why)
{
	bool answered = ask->state == SL_ASK_ANSWERED;

	sl_pace_leave(ask);
	if (sl_drain_begin(ask, why))
		return;
	if (ask->drain)
		ask->record.outcome = SL_OUTCOME_CLIENT_GONE;
	else if (why == SL_GONE_SHUTDOWN)
		ask->record.outcome = SL_OUTCOME_SHUTDOWN;
	else if (why == SL_GONE_ABORTED && !answered)
		/* Ended here, for want of memory. */
		ask->record.outcome = ask->state == SL_ASK_ANSWERING ? SL_OUTCOME_CUT
		                                                     : SL_OUTCOME_FAILED;
	else if (why != SL_GONE_DONE && why != SL_GONE_ABORTED)
		/* SDKs hang up as soon as they saw the stream's last frame. */
		ask->record.outcome = ask->reply.facts.finished ? SL_OUTCOME_OK
		                                                : SL_OUTCOME_CLIENT_GONE;
	sl_pages_gone(ask);
	sl_stored_gone(ask);
	sl_attempt_drop(ask);
	write_record(ask);
	sl_repeat_end(ask);
	sl_admission_close(ask);
	sl_key_unref(ask->key);
	sl_buf_release(&ask->held);
	sl_lane_close(ask);
	sl_ask_close_front(ask);
	sl_world_unref(ask->world);
	ask->exchange->user = NULL;
}

/* relay.c - the reply of an attempt, on its way to the caller.
 *
 *   HOLD    whole replies are held, read for usage, and sent with their cost in
 *           the head; one that outgrows limits.reply_bytes becomes OPAQUE
 *   ERROR   the provider's error passes with its status, unless another target
 *           may do better (it is then kept: attempt.c), or the fault is our
 *           credential's
 *   STREAM  frames are held until the first content, then relayed as they
 *           arrive and read in passing; a stream that dies gets its grammar's
 *           error event, never a clean end
 *   OPAQUE  bytes pass
 *
 * Back-pressure: when the caller reads slowly its backlog grows, the fetch is
 * paused, and on_drain resumes it. Bytes that the exchange would not take wait
 * in ask->held.
 */
#include "base/compiler.h"
#include "base/log.h"
#include "base/timestamp.h"
#include "pipeline/ask.h"
#include "pipeline/count.h"

enum {
	ERROR_BYTES_MAX = 1024 * 1024,
	HELD_BEFORE_CONTENT_MAX = 1024 * 1024,
	READ_MAX = 1024 * 1024, /* bytes that one on_data may bring */
	WRITE_STEP = 32 * 1024,
};

static struct sl_ask *
ask_of(struct sl_fetch *fetch)
{
	struct sl_ask *ask = SL_CONTAINER(fetch, struct sl_ask, fetch);

	ask->entered_ns = sl_loop_event_ns(ask->gateway->loop);
	return ask;
}

/* --- towards the caller --------------------------------------------------- */

static void
pause_fetch(struct sl_ask *ask)
{
	if (ask->fetching && !ask->paused) {
		ask->paused = true;
		sl_fetch_pause(&ask->fetch);
	}
}

/* Over this the exchange owes on_drain, so a pause always ends. */
static bool
backlog_is_high(const struct sl_ask *ask)
{
	return sl_exchange_backlog(ask->exchange) >
	       ask->world->config->limits.write_buffer_bytes / 2;
}

size_t
sl_relay_held_max(const struct sl_config_limits *limits)
{
	size_t stream_max = HELD_BEFORE_CONTENT_MAX + limits->sse_event_bytes + READ_MAX;

	return limits->reply_bytes > stream_max ? limits->reply_bytes : stream_max;
}

/* False: not taken. Then on_drain follows, or the end of the exchange. */
static bool
write_out(struct sl_ask *ask, struct sl_slice bytes)
{
	enum sl_err err = sl_exchange_write(ask->exchange, bytes);

	if (err == SL_OK)
		sl_repeat_body(ask, bytes);
	if (err != SL_OK && err != SL_ELIMIT && err != SL_ECLOSED)
		sl_exchange_abort(ask->exchange);
	return err == SL_OK;
}

static void
send_held(struct sl_ask *ask)
{
	size_t sent = 0;

	while (sent < ask->held.len) {
		struct sl_slice step = sl_slice_upto(sl_slice_from(sl_buf_slice(&ask->held), sent),
		                                     WRITE_STEP);

		if (!write_out(ask, step))
			break;
		sent += step.len;
	}
	ask->bytes_out += sent;
	sl_buf_consume(&ask->held, sent);
	if (ask->held.len == 0)
		sl_buf_release(&ask->held);
	else
		pause_fetch(ask);
}

static void
put_out(struct sl_ask *ask, struct sl_slice bytes)
{
	if (bytes.len == 0)
		return;
	if (ask->state == SL_ASK_ANSWERING && ask->held.len == 0 && write_out(ask, bytes)) {
		ask->bytes_out += bytes.len;
		if (backlog_is_high(ask))
			pause_fetch(ask);
		return;
	}
	sl_buf_append(&ask->held, bytes);
	if (ask->state == SL_ASK_ANSWERING)
		pause_fetch(ask);
}

static size_t
say_no_retry(struct sl_header *out, size_t count)
{
	static const struct sl_slice name = SL_SLICE_INIT("x-should-retry");
	size_t at = 0;

	while (at < count && !sl_slice_eq(out[at].name, name))
		at++;
	out[at] = (struct sl_header){ name, SL_SLICE("false") };
	return at < count ? count : count + 1;
}

static bool
says(const struct sl_header *own, size_t count, struct sl_slice name)
{
	for (size_t i = 0; i < count; i++)
		if (sl_slice_eq(own[i].name, name))
			return true;
	return false;
}

static void
put_fields(struct sl_ask *ask, struct sl_surface_headers *fields)
{
	struct sl_header *out = fields->items;
	struct sl_slice warnings = sl_lane_warnings(ask);
	size_t count;

	fields->count = 0;
	ask->decision.gateway_us = ask->forward_ns / 1000;
	ask->decision.upstream_us = ask->fetching ? 0 : ask->record.upstream_us;
	ask->decision.warnings = warnings;
	sl_quota_note(ask);
	ask->surface->headers(&ask->decision, sl_ask_arena(ask), fields);
	count = fields->count;
	/* What the contract says of the answer, a provider cannot say too. */
	for (size_t i = 0; i < ask->reply_header_count; i++)
		if (!says(out, fields->count, ask->reply_headers[i].name))
			out[count++] = ask->reply_headers[i];
	if (ask->reply_mode == SL_REPLY_STREAM)
		out[count++] = (struct sl_header){ SL_SLICE("x-accel-buffering"), SL_SLICE("no") };
	if (warnings.len)
		out[count++] = (struct sl_header){ SL_SLICE("x-gateway-translation-warnings"),
			                           warnings };
	/* The provider speaks of its own attempt; an earlier one may have been bought. */
	if (ask->reply_mode == SL_REPLY_ERROR && ask->maybe_bought)
		count = say_no_retry(out, count);
	fields->count = sl_fields_answer(ask, out, count, SL_ANSWER_FIELDS_MAX);
}

/* The provider's status, unless its error was translated. */
static int
answer_status(const struct sl_ask *ask)
{
	return ask->answer_status ? ask->answer_status : ask->upstream_status;
}

static void
begin_answer(struct sl_ask *ask)
{
	SL_UNINIT struct sl_surface_headers fields; /* up to its count, here and below */

	put_fields(ask, &fields);
	sl_attempt_content(ask);
	ask->record.status = answer_status(ask);
	ask->first_out_ns = sl_loop_now_ns(ask->gateway->loop);
	ask->forward_ns += ask->first_out_ns - ask->entered_ns;
	sl_ask_set_state(ask, SL_ASK_ANSWERING);
	sl_repeat_head(ask, answer_status(ask), fields.items, fields.count);
	if (sl_exchange_start(ask->exchange, answer_status(ask), fields.items, fields.count, -1,
	                      ask->surface->trailer_names ? ask->surface->trailer_names()
	                                                  : SL_SLICE_NONE) != SL_OK)
		sl_exchange_abort(ask->exchange);
	sl_ask_close_front(ask);
	sl_ask_forget_head(ask);
	send_held(ask);
}

static void
finish_answer(struct sl_ask *ask)
{
	SL_UNINIT struct sl_surface_headers own;

	own.count = 0;
	if (ask->held.len > 0) {
		ask->finish_due = true;
		return;
	}
	if (ask->surface->trailers)
		ask->surface->trailers(&ask->decision, &ask->exchange->arena, &own);
	sl_ask_set_state(ask, SL_ASK_ANSWERED);
	sl_repeat_end(ask); /* who has the answer may ask for it again at once */
	sl_exchange_finish(ask->exchange, own.items, own.count);
}

/* What the caller's contract adds to an answer. Without memory for it the answer goes out
 * as the provider gave it. */
static void
rewrite(struct sl_ask *ask)
{
	bool (*add)(const struct sl_decision *decision, const struct sl_shape_ops *shape,
	            struct sl_slice body, struct sl_arena *arena, struct sl_buf *out) =
	    ask->upstream_status >= 400 ? ask->surface->rewrite_error : ask->surface->rewrite;
	struct sl_buf better;

	if (!add || (ask->upstream_status >= 300 && ask->upstream_status < 400))
		return;
	sl_buf_init(&better, sl_relay_held_max(&ask->world->config->limits));
	if (add(&ask->decision, ask->shape, sl_buf_slice(&ask->held), sl_ask_arena(ask),
	        &better) && !better.failed) {
		sl_buf_release(&ask->held);
		ask->held = better;
	} else {
		sl_buf_release(&better);
	}
}

/* A complete answer: the held bytes, with everything known. */
static void
send_whole(struct sl_ask *ask)
{
	SL_UNINIT struct sl_surface_headers fields;

	put_fields(ask, &fields);
	rewrite(ask);
	if (ask->lane && ask->lane->caller.stores && !ask->stream && answer_status(ask) < 300)
		sl_stored_keep(ask, sl_buf_slice(&ask->held));

	ask->record.status = answer_status(ask);
	ask->first_out_ns = sl_loop_now_ns(ask->gateway->loop);
	ask->forward_ns += ask->first_out_ns - ask->entered_ns;
	ask->bytes_out = ask->held.len;
	sl_ask_set_state(ask, SL_ASK_ANSWERED);
	sl_repeat_head(ask, answer_status(ask), fields.items, fields.count);
	sl_repeat_body(ask, sl_buf_slice(&ask->held));
	sl_repeat_end(ask); /* who has the answer may ask for it again at once */
	sl_exchange_send(ask->exchange, answer_status(ask), fields.items, fields.count,
	                 sl_buf_slice(&ask->held));
	sl_buf_release(&ask->held);
	sl_ask_close_front(ask);
}

/* --- when it goes wrong --------------------------------------------------- */

/* Nothing was sent and another target may do better: try it; else say so. A
 * try that timed out after dispatch may have been bought and is not repeated. */
static void
fail(struct sl_ask *ask, enum sl_fault_kind kind, struct sl_slice message)
{
	struct sl_fault fault;

	sl_attempt_end(ask, SL_VERDICT_FAILED);
	if (ask->state == SL_ASK_WAITING && sl_hedge_go_on(ask))
		return;
	sl_fault_set(&fault, kind, message);
	if (ask->state == SL_ASK_WAITING && sl_fault_may_retry(kind) &&
	    kind != SL_FAULT_UPSTREAM_TIMEOUT)
		sl_attempt_next(ask, &fault);
	else
		sl_ask_refuse(ask, &fault);
}

static struct sl_slice
say(struct sl_ask *ask, const char *what)
{
	return sl_arena_printf(&ask->exchange->arena, "The provider '%.*s' %s",
	                       SL_ARG(ask->decision.provider), what);
}

/* The provider reported an error inside a success. */
static void
fail_reported(struct sl_ask *ask)
{
	const struct sl_reply_facts *facts = &ask->reply.facts;

	fail(ask, SL_FAULT_UPSTREAM_BROKEN,
	     facts->error_message.len > 0
	         ? sl_arena_printf(&ask->exchange->arena,
	               "The provider '%.*s' %s: %.*s", SL_ARG(ask->decision.provider),
	               facts->broken ? "sent what is no answer of its API" : "reported an error",
	               SL_ARG(facts->error_message))
	         : say(ask, "answered with something that is no reply of its API."));
}

static void
scrub_secret(struct sl_ask *ask, const struct sl_secret *own)
{
	struct sl_slice secret = sl_secret_reveal(own);
	ptrdiff_t at;

	if (secret.len < 8)
		return;
	while ((at = sl_slice_search(sl_buf_slice(&ask->held), secret)) >= 0)
		memset(ask->held.ptr + at, '*', secret.len);
}

/* Our credentials never come back to a caller, whatever a provider echoes. */
static void
scrub(struct sl_ask *ask)
{
	const struct sl_config_provider *config = ask->upstream->config;

	scrub_secret(ask, &config->api_key);
	for (size_t i = 0; i < config->credential_count; i++)
		scrub_secret(ask, &config->credentials[i].api_key);
}

/* Bytes of the reply could not be kept: what follows would hide the gap. */
static bool
lost_bytes(struct sl_ask *ask)
{
	if (!ask->held.failed)
		return false;
	ask->maybe_bought = true;
	sl_ask_refuse_with(ask, SL_FAULT_OVERLOADED,
	                   SL_SLICE("The gateway had no room for the provider's reply."));
	return true;
}

/* Seconds, or a date; RFC 9110 10.2.3. retry-after-ms is what OpenAI adds. */
static uint32_t
retry_after_ms(const struct sl_headers *headers, int64_t now_wall_ms)
{
	struct sl_slice text = sl_headers_get(headers, "retry-after-ms");
	int64_t value;

	if (text.len == 0 || !sl_slice_i64(text, &value)) {
		text = sl_headers_get(headers, "retry-after");
		if (sl_timestamp_parse_http(text, &value))
			value -= now_wall_ms;
		else if (sl_slice_i64(text, &value) && value >= 0)
			value = value < SL_HEALTH_RETRY_AFTER_MAX_MS ? value * 1000 : value;
		else
			return 0;
	}
	if (value < 0)
		return 0;
	return value < SL_HEALTH_RETRY_AFTER_MAX_MS ? (uint32_t)value
	                                            : SL_HEALTH_RETRY_AFTER_MAX_MS;
}

void
sl_relay_error(struct sl_ask *ask)
{
	if (sl_verify_fall_back(ask))
		return;
	scrub(ask);
	sl_ask_settle(ask);
	ask->record.outcome = SL_OUTCOME_UPSTREAM_ERROR;
	ask->record.fault = SL_FAULT_UPSTREAM_STATUS;
	send_whole(ask);
}

static bool
worth_another(int status)
{
	return status == 408 || status == 429 || status >= 500;
}

static bool
says_too_long(struct sl_ask *ask)
{
	return (ask->upstream_status == 400 || ask->upstream_status == 413) &&
	       sl_codec_says_too_long(sl_buf_slice(&ask->held));
}

static bool
lacks_callers_credential(const struct sl_ask *ask)
{
	const struct sl_upstream *up = ask->upstream;

	return up->auth == SL_AUTH_PASSTHROUGH ||
	       (up->config->from_route && up->auth != SL_AUTH_NONE);
}

static void
finish_error(struct sl_ask *ask)
{
	int status = ask->upstream_status;
	/* A credential that the caller was to bring is no fault of this gateway's. */
	bool ours = !ask->used_callers_credential && !lacks_callers_credential(ask) &&
	            (status == 401 || status == 402 || status == 403);
	bool another;

	ask->finished_upstream = true;
	sl_fields_read_delay(ask);
	if (status == 401 && ask->upstream->grant)
		sl_token_refused(ask->gateway->tokens, ask->upstream->grant);
	/* Of one key nothing follows for the target. */
	if ((ours || status == 429) && sl_attempt_other_key(ask))
		sl_attempt_end(ask, SL_VERDICT_NONE);
	sl_attempt_end(ask, status == 429                  ? SL_VERDICT_LIMITED
	                    : ours || worth_another(status) ? SL_VERDICT_FAILED
	                                                    : SL_VERDICT_OK);
	if (ours) {
		fail(ask, SL_FAULT_UPSTREAM_AUTH,
		     say(ask, "did not accept the credential this gateway has for it. The "
		              "gateway's operator must correct it."));
		return;
	}
	another = worth_another(status) || (says_too_long(ask) && sl_attempt_bigger_window(ask));
	if (!another && sl_count_replaces(ask))
		return;
	if (ask->lane)
		ask->answer_status = sl_lane_error(ask);
	if (!another) {
		sl_relay_error(ask);
		return;
	}
	sl_attempt_keep_error(ask);
	fail(ask, SL_FAULT_UPSTREAM_STATUS, say(ask, "answered with an error."));
}

/* --- STREAM --------------------------------------------------------------- */

static bool
read_frame(struct sl_ask *ask, const struct sl_sse_frame *frame)
{
	if (frame->comment_only)
		return true;
	return ask->shape->read_frame(&ask->reply, frame->event, frame->data,
	                              &ask->exchange->arena) == SL_FRAME_PASS;
}

/* Whether the frame's bytes stand in `chunk`, right behind `run`. */
static bool
continues(struct sl_slice run, struct sl_slice raw)
{
	return run.len > 0 && run.ptr + run.len == raw.ptr;
}

static bool
inside(struct sl_slice chunk, struct sl_slice raw)
{
	return raw.ptr >= chunk.ptr && raw.ptr + raw.len <= chunk.ptr + chunk.len;
}

/* What is an error before anything was sent is not sent: another target may do. */
static void
put_translated(struct sl_ask *ask)
{
	struct sl_buf *out = &ask->lane->out;

	if (!(ask->reply.facts.failed && ask->state == SL_ASK_WAITING)) {
		if (out->failed)
			ask->held.failed = true;
		put_out(ask, sl_buf_slice(out));
	}
	sl_buf_clear(out);
}

/* Reads and passes on every complete frame in `bytes`; neighbouring frames leave
 * in one write. */
static enum sl_err
relay_frames(struct sl_ask *ask, struct sl_slice bytes)
{
	const struct sl_slice chunk = bytes;
	struct sl_slice run = SL_SLICE_NONE;
	struct sl_sse_frame frame;
	enum sl_err err;

	while ((err = sl_frames_read(&ask->frames, &bytes, &frame)) == SL_OK) {
		bool pass = read_frame(ask, &frame);

		/* Garbage is not passed on: an error event follows what was whole. */
		if (ask->reply.facts.broken) {
			put_out(ask, run);
			return SL_EPROTO;
		}
		if (pass && continues(run, frame.raw)) {
			run.len += frame.raw.len;
			continue;
		}
		put_out(ask, run);
		run = pass ? frame.raw : SL_SLICE_NONE;
		/* A frame assembled from two reads is gone with the next call. */
		if (!inside(chunk, run)) {
			put_out(ask, run);
			run = SL_SLICE_NONE;
		}
		if (ask->reply.facts.failed && ask->state == SL_ASK_WAITING)
			return SL_EPROTO;
	}
	put_out(ask, run);
	return err == SL_MORE ? SL_OK : err;
}

/* The same where the provider speaks another API. What its frames became leaves at
 * the end of the same turn of the loop. */
static enum sl_err
translate_frames(struct sl_ask *ask, struct sl_slice bytes)
{
	struct sl_sse_frame frame;
	enum sl_err err;

	while ((err = sl_frames_read(&ask->frames, &bytes, &frame)) == SL_OK) {
		if (!frame.comment_only)
			sl_lane_frame(ask, frame.event, frame.data);
		if (ask->reply.facts.failed)
			break;
	}
	put_translated(ask);
	return err == SL_MORE ? SL_OK : err;
}

static void
stream_data(struct sl_ask *ask, struct sl_slice bytes)
{
	enum sl_err err = ask->lane ? translate_frames(ask, bytes) : relay_frames(ask, bytes);
	const struct sl_reply_facts *facts = &ask->reply.facts;

	if (lost_bytes(ask))
		return;
	sl_spend_progress(ask);
	/* Callers hang up on the error event, before the provider ends. */
	if (facts->failed)
		sl_attempt_end(ask, SL_VERDICT_FAILED);
	if (ask->state == SL_ASK_WAITING && facts->failed) {
		fail_reported(ask);
		return;
	}
	if (err != SL_OK) {
		fail(ask, SL_FAULT_UPSTREAM_BROKEN,
		     err == SL_ELIMIT ? say(ask, "sent an event larger than this gateway passes on.")
		                      : say(ask, "sent a stream that breaks its own framing."));
		return;
	}
	if (ask->state == SL_ASK_WAITING &&
	    (facts->content || facts->finished || ask->held.len > HELD_BEFORE_CONTENT_MAX))
		begin_answer(ask);
}

/* What the reader still holds: a last frame without its blank line, or a byte
 * behind the last one that is only to be passed on. False: the frame is cut off,
 * and its bytes stay here so that an error event can follow the last whole one. */
static bool
flush_reader(struct sl_ask *ask)
{
	struct sl_sse_frame frame;
	struct sl_slice rest;
	bool was_broken = ask->reply.facts.broken, pass;
	enum sl_err err = sl_frames_finish(&ask->frames, &frame, &rest);

	if (err != SL_OK) {
		put_out(ask, rest);
		return err == SL_MORE;
	}
	pass = read_frame(ask, &frame);
	if (ask->reply.facts.broken && !was_broken)
		return false;
	if (pass)
		put_out(ask, frame.raw);
	return true;
}

/* What the reader still holds, and what the end of the bytes means. */
static void
end_translated(struct sl_ask *ask)
{
	struct sl_sse_frame frame;
	struct sl_slice rest;
	enum sl_err err;

	err = sl_frames_finish(&ask->frames, &frame, &rest);
	if (err == SL_OK && !frame.comment_only)
		sl_lane_frame(ask, frame.event, frame.data);
	if (err != SL_ESYNTAX && sl_frames_closed(&ask->frames))
		sl_lane_end(ask);
	put_translated(ask);
}

static void
stream_end(struct sl_ask *ask)
{
	if (ask->lane) {
		end_translated(ask);
	} else if (!flush_reader(ask)) {
		fail(ask, SL_FAULT_UPSTREAM_CUT, say(ask, "ended its stream inside an event."));
		return;
	}
	if (lost_bytes(ask))
		return;
	if (!ask->lane && ask->shape->end_stream && sl_frames_closed(&ask->frames))
		ask->shape->end_stream(&ask->reply);
	if (ask->state == SL_ASK_WAITING && ask->reply.facts.failed) {
		fail_reported(ask);
		return;
	}
	if (!ask->reply.facts.finished && !ask->reply.facts.failed) {
		fail(ask, SL_FAULT_UPSTREAM_CUT,
		     say(ask, "ended its stream before it was complete."));
		return;
	}
	ask->finished_upstream = ask->reply.facts.finished;
	sl_attempt_end(ask, ask->reply.facts.failed ? SL_VERDICT_FAILED : SL_VERDICT_OK);
	if (ask->reply.facts.failed) {
		ask->record.outcome = SL_OUTCOME_UPSTREAM_ERROR;
		ask->record.fault = SL_FAULT_UPSTREAM_STATUS;
	}
	sl_ask_settle(ask);
	if (ask->state == SL_ASK_WAITING)
		begin_answer(ask);
	finish_answer(ask);
}

void
sl_relay_whole(struct sl_ask *ask)
{
	sl_ask_settle(ask);
	send_whole(ask);
}

/* --- HOLD ----------------------------------------------------------------- */

static void
whole_end(struct sl_ask *ask)
{
	struct sl_reply_facts *facts = &ask->reply.facts;

	if (ask->lane)
		sl_lane_whole(ask);
	else
		ask->shape->read_reply(&ask->front->steer, sl_buf_slice(&ask->held),
		                       &ask->exchange->arena, facts);
	if (facts->failed) {
		fail_reported(ask);
		return;
	}
	if (lost_bytes(ask))
		return;
	if (ask->stream && !ask->lane) {
		fail(ask, SL_FAULT_UPSTREAM_BROKEN,
		     say(ask, "answered with a whole document where a stream was asked for."));
		return;
	}
	facts->finished = true;
	ask->finished_upstream = true;
	sl_attempt_content(ask);
	sl_attempt_end(ask, SL_VERDICT_OK);
	if (!sl_verify_answer(ask))
		sl_relay_whole(ask);
}

/* --- callbacks of the fetch ----------------------------------------------- */

static void
choose_mode(struct sl_ask *ask, const struct sl_headers *headers, int64_t content_length)
{
	struct sl_slice type = sl_headers_get(headers, "content-type");
	uint64_t reply_max = ask->world->config->limits.reply_bytes;

	if (ask->upstream_status >= 400)
		ask->reply_mode = SL_REPLY_ERROR;
	else if (ask->stream && sl_frames_suit(sl_ask_framing(ask), type))
		ask->reply_mode = SL_REPLY_STREAM;
	else if (ask->lane || (ask->stream && ask->shape->read_reply))
		ask->reply_mode = SL_REPLY_HOLD;
	else if (!ask->shape->read_reply || ask->shape->relay_reply ||
	         (content_length > 0 && (uint64_t)content_length > reply_max))
		ask->reply_mode = SL_REPLY_OPAQUE;
	else
		ask->reply_mode = SL_REPLY_HOLD;
	if (ask->reply_mode == SL_REPLY_STREAM)
		sl_frames_init(&ask->frames, sl_ask_framing(ask),
		               ask->world->config->limits.sse_event_bytes);
}

static void
on_head(struct sl_fetch *fetch, int status, const struct sl_headers *headers,
        int64_t content_length)
{
	struct sl_ask *ask = ask_of(fetch);
	struct sl_slice encoding = sl_headers_get(headers, "content-encoding");

	ask->upstream_status = status;
	ask->sent = true;
	ask->decision.first_byte_us = (ask->entered_ns - ask->attempt_ns) / 1000;
	if (status >= 400)
		ask->retry_after_ms = retry_after_ms(headers, sl_loop_wall_ms(ask->gateway->loop));
	ask->maybe_bought = ask->maybe_bought || status < 400;
	if (status >= 300 && status < 400) {
		fail(ask, SL_FAULT_UPSTREAM_BROKEN,
		     say(ask, "answered with a redirect, which is never followed."));
		return;
	}
	if (encoding.len > 0 && !sl_slice_ieq(encoding, SL_SLICE("identity"))) {
		fail(ask, SL_FAULT_UPSTREAM_BROKEN,
		     say(ask, "compressed its answer although it was not asked to."));
		return;
	}
	ask->reply_header_count = sl_fields_from_upstream(ask, headers, &ask->reply_headers);
	choose_mode(ask, headers, content_length);
	/* The size of what can be held is known: take it in one piece. */
	if (ask->reply_mode == SL_REPLY_HOLD && content_length > 0 &&
	    content_length <= ERROR_BYTES_MAX)
		sl_buf_reserve(&ask->held, (size_t)content_length);
	if (ask->reply_mode == SL_REPLY_OPAQUE) {
		if (ask->shape->relay_reply && ask->shape->read_reply) {
			ask->shape->read_reply(&ask->front->steer, SL_SLICE_NONE,
			                       &ask->exchange->arena, &ask->reply.facts);
			sl_ask_settle(ask);
		}
		begin_answer(ask);
	}
}

static void
on_data(struct sl_fetch *fetch, struct sl_slice bytes)
{
	struct sl_ask *ask = ask_of(fetch);

	sl_drain_took(ask, bytes.len);
	switch (ask->reply_mode) {
	case SL_REPLY_STREAM:
		stream_data(ask, bytes);
		break;
	case SL_REPLY_OPAQUE:
		put_out(ask, bytes);
		break;
	case SL_REPLY_ERROR:
		sl_buf_append(&ask->held,
		              sl_slice_upto(bytes, ERROR_BYTES_MAX - ask->held.len));
		break;
	case SL_REPLY_HOLD:
		if (ask->held.len + bytes.len <= ask->world->config->limits.reply_bytes) {
			sl_buf_append(&ask->held, bytes);
			break;
		}
		if (ask->lane) {
			fail(ask, SL_FAULT_UPSTREAM_BROKEN,
			     say(ask, "sent a reply larger than this gateway translates "
			              "(limits.reply_bytes)."));
			return;
		}
		/* Too large to be read: pass it on and leave it unpriced. */
		ask->reply_mode = SL_REPLY_OPAQUE;
		begin_answer(ask);
		put_out(ask, bytes);
		break;
	}
	lost_bytes(ask);
}

static void
end_attempt(struct sl_ask *ask)
{
	ask->fetching = false;
	ask->record.upstream_us = (ask->entered_ns - ask->attempt_ns) / 1000;
}

static void
on_end(struct sl_fetch *fetch, const struct sl_headers *trailers)
{
	struct sl_ask *ask = ask_of(fetch);

	(void)trailers;
	end_attempt(ask);
	switch (ask->reply_mode) {
	case SL_REPLY_STREAM:
		stream_end(ask);
		break;
	case SL_REPLY_OPAQUE:
		ask->reply.facts.finished = true;
		ask->finished_upstream = true;
		sl_attempt_end(ask, SL_VERDICT_OK);
		sl_ask_settle(ask);
		finish_answer(ask);
		break;
	case SL_REPLY_ERROR:
		finish_error(ask);
		break;
	case SL_REPLY_HOLD:
		whole_end(ask);
		break;
	}
}

static enum sl_fault_kind
kind_of(const struct sl_fetch_error *error)
{
	switch (error->stage) {
	case SL_STAGE_RESOLVE:
	case SL_STAGE_CONNECT:
	case SL_STAGE_TLS:
		return SL_FAULT_UPSTREAM_UNREACHABLE;
	case SL_STAGE_SEND:
	case SL_STAGE_FIRST_BYTE:
		return error->err == SL_ETIMEDOUT ? SL_FAULT_UPSTREAM_TIMEOUT
		                                  : SL_FAULT_UPSTREAM_BROKEN;
	case SL_STAGE_BODY:
		break;
	}
	return error->err == SL_ETIMEDOUT ? SL_FAULT_UPSTREAM_TIMEOUT : SL_FAULT_UPSTREAM_CUT;
}

static const char *
what_failed(const struct sl_fetch_error *error)
{
	if (error->err == SL_EPOLICY)
		return "could not be reached: its address is not allowed here.";
	switch (error->stage) {
	case SL_STAGE_RESOLVE:
		return "could not be reached: its host name did not resolve.";
	case SL_STAGE_CONNECT:
		return "could not be reached: no connection could be opened.";
	case SL_STAGE_TLS:
		return "could not be reached: TLS failed.";
	case SL_STAGE_SEND:
	case SL_STAGE_FIRST_BYTE:
		return error->err == SL_ETIMEDOUT ? "did not answer in time."
		                                  : "broke off without a valid answer.";
	case SL_STAGE_BODY:
		break;
	}
	return error->err == SL_ETIMEDOUT ? "stopped in the middle of its answer."
	                                  : "broke off in the middle of its answer.";
}

static void
on_fail(struct sl_fetch *fetch, const struct sl_fetch_error *error)
{
	struct sl_ask *ask = ask_of(fetch);

	end_attempt(ask);
	ask->maybe_bought = ask->maybe_bought || error->sent;
	ask->sent = ask->sent || error->sent;
	ask->spend.gave_up = error->err == SL_ETIMEDOUT && ask->fetch.sent;
	if (error->err == SL_ECANCELLED)
		sl_attempt_end(ask, SL_VERDICT_NONE);
	sl_log(SL_LOG_WARN, "upstream failed", SL_LOG_S("request_id", ask->decision.request_id),
	       SL_LOG_S("provider", ask->decision.provider),
	       SL_LOG_Z("error", sl_err_text(error->err)), SL_LOG_I("stage", error->stage),
	       SL_LOG_Z("detail", error->detail));
	fail(ask, kind_of(error), say(ask, what_failed(error)));
}

const struct sl_fetch_ops sl_relay_ops = {
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_fail = on_fail,
};

void
sl_relay_drained(struct sl_ask *ask)
{
	if (ask->state != SL_ASK_ANSWERING)
		return;
	send_held(ask);
	if (ask->held.len > 0 || backlog_is_high(ask))
		return;
	if (ask->finish_due) {
		finish_answer(ask);
	} else if (ask->paused && ask->fetching) {
		ask->paused = false;
		sl_fetch_resume(&ask->fetch);
	}
}
